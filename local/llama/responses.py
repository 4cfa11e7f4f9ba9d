"""Adds to llama.cpp's answers at `/v1/responses` what it lacks: kept responses, and places of events.

llama.cpp answers one request and keeps nothing; here a response is kept until it is deleted, and a request that
names one is sent with all that was said before. Not built: a response in the background is answered when it is
whole, as any other; conversations.
"""

import json
from dataclasses import dataclass, field

from local.llama.bodies import Document, RefusedError
from local.llama.relay import Events

_LAST = "response.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A response, and what was said up to and with it."""

    response: Document
    said: list[Document]


@dataclass(slots=True)
class Responses:
    """The responses that a resource keeps."""

    kept: dict[str, Kept] = field(default_factory=dict)

    def forwarded(self, asked: Document) -> Document:
        """Give the request that llama.cpp understands; raise `RefusedError` when it follows one that is not kept."""
        previous = asked.get("previous_response_id")
        if previous is not None and previous not in self.kept:
            message = f"Previous response with id '{previous}' not found."
            raise RefusedError(400, "previous_response_not_found", message, param="previous_response_id")
        rest = {name: value for name, value in asked.items() if name != "previous_response_id"}
        return rest | {"input": self._said(asked)}

    def completed(self, asked: Document, response: Document) -> Document:
        """Add to llama.cpp's whole response what the service would say, and keep it unless `store` is false."""
        told = _described(asked, response)
        if told["store"]:
            self.kept[told["id"]] = Kept(response=told, said=self._said(asked) + told["output"])
        return told

    async def streamed(self, asked: Document, events: Events) -> Events:
        """Number the events and say which output each belongs to; keep the response that the last one holds."""
        number = 0
        async for event in events:
            head, mark, data = event.partition(b"data: ")
            if not mark:
                yield event
                continue
            told: Document = json.loads(data) | {"sequence_number": number}
            number += 1
            if "item" in told or "item_id" in told:
                told["output_index"] = 0
            if "item_id" in told:
                told["content_index"] = 0
            if told["type"] == _LAST:
                told["response"] = self.completed(asked, told["response"])
            elif "response" in told:
                told["response"] = _described(asked, told["response"])
            yield head + mark + json.dumps(told).encode() + b"\n\n"

    def _said(self, asked: Document) -> list[Document]:
        before = self.kept.get(asked.get("previous_response_id") or "")
        given = asked.get("input", [])
        now = given if isinstance(given, list) else [{"role": "user", "content": given}]
        return (before.said if before else []) + now


def _described(asked: Document, response: Document) -> Document:
    return (
        {"output": [], "model": asked.get("model"), "tools": []}
        | response
        | {
            "background": bool(asked.get("background")),
            "previous_response_id": asked.get("previous_response_id"),
            "store": asked.get("store") is not False,
        }
    )
