"""Microsoft Graph, asked sparingly and believed narrowly."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.membership.graph import GraphDirectory
from shared.membership.limiter import Limiter
from shared.model import Kind, Reason
from shared.ports import TransportFault
from shared.problem import Undecidable
from tests.fakes import FakeClock
from tests.unit.membership.fakes_graph import FakeAnswer, FakeTokens, FakeTransport, MovingSleep, Sent

OID = "0a1b2c3d-0000-4000-8000-0000000000ff"
SCOPE = "https://graph.microsoft.com/.default"
GROUPS = [f"6f1b2c3d-0000-4000-8000-{number:012x}" for number in range(100)]
ASKED = frozenset(GROUPS[:3])


def yes(*ids: str, **more: object) -> FakeAnswer:
    return FakeAnswer(body=json.dumps({"value": ids} | more).encode())


class Scene:
    """A directory with everything around it faked."""

    def __init__(self, script: Callable[[Sent], FakeAnswer | TransportFault]) -> None:
        self.clock = FakeClock()
        self.transport = FakeTransport(script)
        self.tokens = FakeTokens()
        self.limiter = Limiter(self.clock, sleep=MovingSleep(self.clock))
        self.directory = GraphDirectory(
            "https://graph.microsoft.com",
            SCOPE,
            transport=self.transport,
            tokens=self.tokens,
            clock=self.clock,
            limiter=self.limiter,
        )

    async def ask(self, groups: frozenset[str] = ASKED, *, kind: Kind = Kind.USER) -> frozenset[str] | None:
        return await self.directory.check_member_groups(kind, OID, groups)

    async def refused(self, reason: Reason = Reason.GRAPH_UNAVAILABLE) -> Undecidable:
        with pytest.raises(Undecidable) as caught:
            await self.ask()
        assert caught.value.reason is reason
        return caught.value


def replies(*answers: FakeAnswer | TransportFault) -> Scene:
    """Return a scene in which Graph gives `answers` one after the other, the last one for ever."""
    left = list(answers)
    return Scene(lambda _sent: left.pop(0) if len(left) > 1 else left[0])


@pytest.mark.parametrize(
    ("kind", "path"), [(Kind.USER, "users"), (Kind.GUEST, "users"), (Kind.APP, "servicePrincipals")]
)
async def test_the_question_goes_down_the_typed_path(kind: Kind, path: str) -> None:
    """Protocols 3.1: the kind decides the path; the token is the gate's; nothing of the caller but the id goes out."""
    scene = replies(yes(GROUPS[1]))
    assert await scene.ask(kind=kind) == {GROUPS[1]}
    (sent,) = scene.transport.sent
    assert sent.method == "POST"
    assert sent.url == f"https://graph.microsoft.com/v1.0/{path}/{OID}/checkMemberGroups"
    assert sent.ids == tuple(sorted(ASKED))
    assert sent.headers == {
        "authorization": f"Bearer {SCOPE}#1",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "x-ms-throttle-priority": "high",
    }
    assert sent.deadline == scene.clock.now + 2
    assert scene.transport.answers[0].closed


@pytest.mark.parametrize(
    ("kind", "oid", "groups"),
    [
        (Kind.UNDECIDED, OID, ASKED),
        (Kind.USER, "../me", ASKED),
        (Kind.USER, OID.upper(), ASKED),
        (Kind.USER, OID + "\n", ASKED),
        (Kind.USER, "", ASKED),
        (Kind.USER, OID, frozenset()),
    ],
)
async def test_what_must_never_be_asked_is_not(kind: Kind, oid: str, groups: frozenset[str]) -> None:
    """T20: no path for an undecided kind, no id that is not one."""
    scene = replies(yes())
    with pytest.raises(ValueError, match="nothing that Graph could be asked"):
        await scene.directory.check_member_groups(kind, oid, groups)
    assert scene.transport.sent == []


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (20, 1), (21, 2), (60, 3), (61, 4)])
async def test_twenty_ids_a_call_and_the_rest_beside_it(count: int, calls: int) -> None:
    """Graph takes at most twenty ids; more go in parallel, each id once."""
    scene = Scene(lambda sent: yes(sent.ids[0]))
    scene.transport.gate.clear()
    asking = asyncio.create_task(scene.ask(frozenset(GROUPS[:count])))
    await asyncio.sleep(0.01)
    assert scene.transport.in_air == calls
    scene.transport.gate.set()
    assert await asking == {sent.ids[0] for sent in scene.transport.sent}
    assert sorted(group for sent in scene.transport.sent for group in sent.ids) == GROUPS[:count]
    assert max(len(sent.ids) for sent in scene.transport.sent) <= 20


async def test_one_batch_that_fails_fails_them_all() -> None:
    """E05: half an answer is none."""
    scene = Scene(lambda sent: FakeAnswer(status=400) if GROUPS[25] in sent.ids else yes())
    with pytest.raises(Undecidable):
        await scene.ask(frozenset(GROUPS[:60]))


async def test_one_batch_without_the_principal_is_no_principal() -> None:
    """A principal that is deleted between two batches does not exist."""
    scene = Scene(lambda sent: FakeAnswer(status=404) if GROUPS[25] in sent.ids else yes())
    assert await scene.ask(frozenset(GROUPS[:60])) is None


async def test_an_empty_answer_is_no_membership() -> None:
    """Protocols 3.4: 200 with nothing in it means a member of none."""
    assert await replies(yes()).ask() == frozenset()


async def test_a_404_is_no_such_principal() -> None:
    """F26: gone, or of another kind."""
    assert await replies(FakeAnswer(status=404)).ask() is None


async def test_ids_in_capitals_are_the_same_ids() -> None:
    """E04: object ids compare in lower case."""
    scene = replies(
        yes(GROUPS[1].upper(), **{"@odata.context": "https://graph.microsoft.com/v1.0/$metadata"})
    )
    assert await scene.ask() == {GROUPS[1]}


HOSTILE: dict[str, FakeAnswer] = {
    "all groups, asked or not": yes(*GROUPS),
    "one id that was not asked": yes(GROUPS[0], GROUPS[50]),
    "an id that is none": yes(GROUPS[0], "everyone"),
    "an id with a space behind": yes(GROUPS[0] + " "),
    "a number": FakeAnswer(body=b'{"value": [1]}'),
    "null in the list": FakeAnswer(body=b'{"value": [null]}'),
    "an object in the list": FakeAnswer(body=b'{"value": [{"id": "x"}]}'),
    "nothing": FakeAnswer(body=b""),
    "an empty object": FakeAnswer(body=b"{}"),
    "a list": FakeAnswer(body=b"[]"),
    "value is no list": FakeAnswer(body=b'{"value": {}}'),
    "value is null": FakeAnswer(body=b'{"value": null}'),
    "value twice": FakeAnswer(body=b'{"value": [], "value": []}'),
    "an error in a 200": FakeAnswer(body=b'{"value": [], "error": {"code": "x"}}'),
    "an unknown member": FakeAnswer(body=b'{"value": [], "more": true}'),
    "a next page elsewhere": yes(**{"@odata.nextLink": "https://evil.example/steal"}),
    "HTML": FakeAnswer(body=b"<html></html>"),
    "truncated": FakeAnswer(body=b'{"value": ["6f1b'),
    "deep": FakeAnswer(body=b'{"value": ' + b"[" * 500 + b"]" * 500 + b"}"),
    "compressed": FakeAnswer(body=gzip.compress(b'{"value": []}'), headers={"content-encoding": "gzip"}),
    "a megabyte and more": FakeAnswer(body=b'{"value": [' + b" " * (1 << 20) + b"]}"),
    "a hundred thousand ids": yes(*[f"{number:036d}" for number in range(20_000)]),
    "a redirect": FakeAnswer(status=302, headers={"location": "https://evil.example/"}),
    "a bad request": FakeAnswer(status=400, body=b'{"error": {"code": "BadRequest"}}'),
    "no content": FakeAnswer(status=204, body=b""),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
async def test_an_answer_of_the_wrong_shape_is_graph_being_unavailable(answer: FakeAnswer) -> None:
    """E04, F27, T17, T19, T20: nothing is read into nonsense, nothing is followed, nothing is asked twice."""
    scene = replies(answer)
    await scene.refused()
    assert len(scene.transport.sent) == 1
    assert answer.closed


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(
        lambda value: json.dumps({"value": value}).encode()
    )
)
def test_any_answer_is_a_subset_of_what_was_asked_or_unavailable(body: bytes) -> None:
    """E04, P10: no body of Graph's adds a group that was not asked for, or raises anything else."""
    scene = replies(FakeAnswer(body=body))
    try:
        found = asyncio.run(scene.ask())
    except Undecidable as unsure:
        assert unsure.reason is Reason.GRAPH_UNAVAILABLE
    else:
        assert found is not None
        assert found <= ASKED


@pytest.mark.parametrize(
    "first",
    [
        TransportFault("unreachable", sent=False),
        TransportFault("unreachable", sent=True),
        TransportFault("truncated", sent=True),
        FakeAnswer(fault=TransportFault("truncated", sent=True)),
        FakeAnswer(status=500),
        FakeAnswer(status=503),
    ],
    ids=["refused", "reset", "cut", "cut in the body", "500", "503"],
)
async def test_a_hiccup_is_tried_once_more_within_the_same_deadline(
    first: FakeAnswer | TransportFault,
) -> None:
    """F22, F29: asking is harmless, so once more, and no more."""
    scene = replies(first, yes(GROUPS[0]))
    assert await scene.ask() == {GROUPS[0]}
    assert len({sent.deadline for sent in scene.transport.sent}) == 1
    again = replies(first)
    await again.refused()
    assert len(again.transport.sent) == 2


@pytest.mark.parametrize("what", ["timeout", "protocol", "too-large"])
async def test_what_leaves_no_time_or_no_hope_is_not_tried_again(what: str) -> None:
    """F22, F23: silence has used up the deadline; nonsense would come again."""
    scene = replies(TransportFault(what, sent=True))
    assert (await scene.refused()).retry_after == 10
    assert len(scene.transport.sent) == 1


async def test_after_429_nobody_calls_until_the_time_is_over() -> None:
    """F24: one pause for every caller, told in Retry-After as it runs down, and no call within it."""
    scene = replies(FakeAnswer(status=429, headers={"retry-after": "30"}), yes())
    assert (await scene.refused()).retry_after == 30
    for _ in range(29):
        scene.clock.move(1)
        assert (await scene.refused()).retry_after == 1_030 - scene.clock.now
    assert len(scene.transport.sent) == 1
    scene.clock.move(1)
    assert await scene.ask() == frozenset()


async def test_those_who_wait_for_a_place_hear_of_the_pause_too() -> None:
    """F24: a call that was about to start when 429 came does not start."""
    scene = Scene(lambda _sent: FakeAnswer(status=429, headers={"retry-after": "30"}))
    scene.transport.gate.clear()
    asking = [asyncio.create_task(scene.ask()) for _ in range(20)]
    await asyncio.sleep(0.01)
    scene.transport.gate.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(outcome, Undecidable) for outcome in outcomes)
    assert len(scene.transport.sent) == 8


@pytest.mark.parametrize(
    ("status", "value", "told", "pause"),
    [
        (429, None, 5, 5),
        (429, "nonsense", 5, 5),
        (429, "-7", 5, 5),
        (429, "120", 60, 120),
        (429, "999999", 60, 300),
        (503, "7", 7, 7),
        (500, "0", 0, 0),
    ],
)
async def test_the_wait_that_graph_asks_for_is_obeyed_and_bounded(
    status: int, value: str | None, told: int, pause: int
) -> None:
    """F24, P12: obeyed up to five minutes, told up to one; a 429 without a number is five seconds."""
    answer = FakeAnswer(status=status, headers={} if value is None else {"retry-after": value})
    scene = replies(answer, yes())
    assert (await scene.refused()).retry_after == told
    assert len(scene.transport.sent) == 1
    if pause:
        scene.clock.move(pause - 0.5)
        await scene.refused()
        scene.clock.move(0.5)
    assert await scene.ask() == frozenset()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_of_the_gate_itself_is_not_a_no_for_the_caller(status: int) -> None:
    """F25: our permission is missing: 503 for a minute, never "not a member"."""
    scene = replies(FakeAnswer(status=status))
    assert (await scene.refused(Reason.GRAPH_FORBIDDEN)).retry_after == 60
    assert len(scene.transport.sent) == 1


async def test_a_refused_token_is_dropped_once() -> None:
    """401: the next question brings a new token; those still under way with the old one do not throw that away."""
    scene = Scene(
        lambda sent: yes() if sent.headers["authorization"].endswith("#2") else FakeAnswer(status=401)
    )
    scene.transport.gate.clear()
    asking = [asyncio.create_task(scene.ask()) for _ in range(5)]
    await asyncio.sleep(0.01)
    scene.transport.gate.set()
    await asyncio.gather(*asking, return_exceptions=True)
    assert scene.tokens.dropped == [SCOPE]
    assert await scene.ask() == frozenset()


async def test_a_403_keeps_the_token() -> None:
    """A missing permission is no fault of the token's."""
    scene = replies(FakeAnswer(status=403))
    await scene.refused(Reason.GRAPH_FORBIDDEN)
    assert scene.tokens.dropped == []


@pytest.mark.parametrize(
    ("used", "starts"), [("0.79", 40), ("0.8", 20), ("1.8", 20), ("nan", 40), ("much", 40)]
)
async def test_near_its_limit_graph_is_asked_half_as_often(used: str, starts: int) -> None:
    """Threats 5.1: `x-ms-throttle-limit-percentage` from 0.8 on halves the rate for a while."""
    scene = replies(FakeAnswer(headers={"x-ms-throttle-limit-percentage": used}))
    began = scene.clock.now
    for _ in range(60):
        await scene.ask()
    assert sum(sent.deadline - 2 < began + 1 for sent in scene.transport.sent) == starts
