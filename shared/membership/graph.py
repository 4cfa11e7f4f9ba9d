"""Microsoft Graph's membership question, asked sparingly and believed narrowly (threats E04, T19, T20, F22 to F28)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shared import retryafter
from shared.ids import guid
from shared.membership.limiter import Limiter
from shared.model import Kind, Reason
from shared.ports import Answer, Clock, Tokens, Transport, TransportFault
from shared.problem import Undecidable
from shared.strictjson import StrictJsonError, loads_object

BATCH: Final = 20
"""Group ids that `checkMemberGroups` takes in one call."""
DEADLINE: Final = 2.0
"""Seconds for one batch, a second try included; waiting for a place or for the gate's own token comes before."""
MAX_ANSWER: Final = 1 << 20
"""Bytes."""
FORBIDDEN_PAUSE: Final = 60.0
"""Seconds told to callers while Graph refuses the gate's own identity: that takes a person to mend."""
DEFAULT_PAUSE: Final = 5
"""Seconds without a call after a 429 that says nothing."""
LONGEST_PAUSE: Final = 300
"""Seconds; a longer Retry-After is obeyed this long and then tried (threats, 5.1)."""
LONGEST_TOLD: Final = 60.0
"""Seconds that a caller is told at most (threats, 6)."""

_COLLECTIONS: Final[Mapping[Kind, str]] = MappingProxyType(
    {Kind.USER: "users", Kind.GUEST: "users", Kind.APP: "servicePrincipals"}
)
_NEAR_LIMIT: Final = 0.8
_SLOW: Final = 10.0


class GraphDirectory:
    """A ports.Directory over `checkMemberGroups` on the typed paths, transitive by Graph's own word (threat E02)."""

    def __init__(
        self,
        base_url: str,
        scope: str,
        *,
        transport: Transport,
        tokens: Tokens,
        clock: Clock,
        limiter: Limiter,
    ) -> None:
        self._base: Final = f"{base_url}/v1.0"
        self._scope: Final = scope
        self._transport: Final = transport
        self._tokens: Final = tokens
        self._clock: Final = clock
        self._limiter: Final = limiter
        self._paused_until = 0.0

    async def check_member_groups(
        self, kind: Kind, oid: str, groups: frozenset[str]
    ) -> frozenset[str] | None:
        """Return those of `groups` that hold the principal, None when it does not exist; raise problem.Undecidable.

        Raise ValueError for what must never be asked: an undecided kind, an `oid` that is none, no groups.
        """
        collection = _COLLECTIONS.get(kind)
        if collection is None or guid(oid) != oid or not groups:
            raise ValueError("nothing that Graph could be asked")
        url = f"{self._base}/{collection}/{oid}/checkMemberGroups"
        ids = sorted(groups)
        batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
        if len(batches) == 1:
            return await self._ask(url, batches[0])
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [tasks.create_task(self._ask(url, batch)) for batch in batches]
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        found = [part.result() for part in parts]
        return None if None in found else frozenset().union(*(ids for ids in found if ids is not None))

    async def _ask(self, url: str, ids: list[str]) -> frozenset[str] | None:
        self._check_pause()
        token = await self._tokens.token(self._scope)
        headers = {
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
            "x-ms-throttle-priority": "high",
        }
        body = json.dumps({"groupIds": ids}).encode()
        deadline: float | None = None
        for last_try in (False, True):
            async with self._limiter.place():
                self._check_pause()  # somebody else may have been told to wait while this one waited for its place
                if deadline is None:
                    deadline = self._clock.monotonic() + DEADLINE
                try:
                    answer = await self._transport.send(
                        "POST", url, headers=headers, body=body, deadline=deadline
                    )
                    try:
                        if answer.status < 500 or last_try or "retry-after" in answer.headers:
                            return await self._read(answer, ids, token)
                    finally:
                        answer.close()
                except TransportFault as fault:
                    # Asking twice is harmless; a timeout has left no time to, and nonsense would come again.
                    if last_try or fault.what not in ("unreachable", "truncated"):
                        raise Undecidable(Reason.GRAPH_UNAVAILABLE) from fault
        raise AssertionError("the last try returns or raises")

    async def _read(self, answer: Answer, ids: list[str], token: str) -> frozenset[str] | None:
        status = answer.status
        self._heed_limit(answer)
        if status == 200:
            return _members(await answer.read(MAX_ANSWER), ids)
        if status == 404:
            return None
        if status in (401, 403):
            if status == 401:
                self._tokens.drop(self._scope, token)
            raise Undecidable(Reason.GRAPH_FORBIDDEN, retry_after=FORBIDDEN_PAUSE)
        if status == 429 or status >= 500:
            told = retryafter.parse(
                answer.headers.get("retry-after"), now=self._clock.time(), cap=LONGEST_PAUSE
            )
            if told is None and status == 429:
                told = DEFAULT_PAUSE
            if told is not None:
                self._paused_until = max(self._paused_until, self._clock.monotonic() + told)
                raise Undecidable(Reason.GRAPH_UNAVAILABLE, retry_after=min(told, LONGEST_TOLD))
        raise Undecidable(Reason.GRAPH_UNAVAILABLE)

    def _check_pause(self) -> None:
        """Raise problem.Undecidable while Graph has asked for peace: for everybody, and without a call (threat F24)."""
        left = self._paused_until - self._clock.monotonic()
        if left > 0:
            raise Undecidable(Reason.GRAPH_UNAVAILABLE, retry_after=min(left, LONGEST_TOLD))

    def _heed_limit(self, answer: Answer) -> None:
        try:
            used = float(answer.headers.get("x-ms-throttle-limit-percentage", "0"))
        except ValueError:
            return
        if used >= _NEAR_LIMIT:
            self._limiter.slow_down(_SLOW)


def _members(body: bytes, asked: list[str]) -> frozenset[str]:
    """Return the ids in Graph's answer; raise problem.Undecidable unless it is exactly of the shape, and of the asked."""
    try:
        answer = loads_object(body, max_depth=4)
    except StrictJsonError as fault:
        raise Undecidable(Reason.GRAPH_UNAVAILABLE) from fault
    values = answer.pop("value", None)
    # A next link would mean that this is not the whole answer; checkMemberGroups has no pages (threat T20).
    strange = [name for name in answer if not name.startswith("@odata.") or name.endswith("Link")]
    if strange or not isinstance(values, list):
        raise Undecidable(Reason.GRAPH_UNAVAILABLE)
    members = frozenset(value.lower() if isinstance(value, str) else "" for value in values)
    if not members <= frozenset(asked):
        raise Undecidable(Reason.GRAPH_UNAVAILABLE)
    return members
