"""Bodies of requests for inference: which fields they may hold, and what is said to one that is wrong."""

import email
import email.policy
import json
from typing import Any

Document = dict[str, Any]

_SAMPLING = """frequency_penalty logit_bias logprobs n presence_penalty seed stop stream stream_options temperature
    top_p user"""
FORM = "audio/transcriptions"
"""The operation whose body is a form."""
FIELDS = {
    "chat/completions": f"""{_SAMPLING} audio data_sources function_call functions max_completion_tokens max_tokens
        messages metadata modalities model parallel_tool_calls prediction prompt_cache_key prompt_cache_retention
        reasoning_effort response_format safety_identifier service_tier store tool_choice tools top_logprobs
        verbosity web_search_options""",
    "completions": f"{_SAMPLING} best_of echo max_tokens model prompt suffix",
    "embeddings": "dimensions encoding_format input model user",
    "responses": """background conversation include input instructions max_output_tokens max_tool_calls metadata
        model parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_retention reasoning
        safety_identifier service_tier store stream stream_options temperature text tool_choice tools top_logprobs
        top_p truncation user""",
    "images/generations": """background model moderation n output_compression output_format prompt quality
        response_format size style user""",
    "audio/speech": "input instructions model response_format speed voice",
    FORM: """chunking_strategy chunking_strategy[type] file include[] language model prompt response_format
        temperature timestamp_granularities[]""",
}
"""What a body may hold, by operation; of the newest fields some are left out."""


class RefusedError(Exception):
    """A request that is refused, with the service's status and error object."""

    def __init__(self, status: int, code: str | None, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error: Document = {"code": code, "message": message}
        if status == 400:
            self.error |= {"type": "invalid_request_error", "param": param}


def read(operation: str, content_type: str, raw: bytes) -> Document:
    """Give a body's fields; raise `RefusedError` when it is malformed or holds a field of another name."""
    asked = _form(content_type, raw) if operation == FORM else _object(raw)
    known = FIELDS[operation].split()
    for name in asked:
        if name not in known:
            message = f"Unrecognized request argument supplied: {name}"
            raise RefusedError(400, None, message, param=name)
    return asked


def _object(raw: bytes) -> Document:
    try:
        asked = json.loads(raw)
    except ValueError as exc:
        message = "We could not parse the JSON body of your request."
        raise RefusedError(400, None, message) from exc
    if not isinstance(asked, dict):
        raise RefusedError(400, None, "The body of your request is not a JSON object.")
    return asked


def _form(content_type: str, raw: bytes) -> Document:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = email.message_from_bytes(head + raw, policy=email.policy.HTTP)
    if message.get_content_type() != "multipart/form-data" or not message.is_multipart():
        raise RefusedError(400, None, "Could not parse multipart form")
    fields: Document = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise RefusedError(400, None, "Could not parse multipart form")
        fields[name] = value if name == "file" else value.decode(errors="replace")
    return fields
