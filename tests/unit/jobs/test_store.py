"""The store of jobs, over Microsoft's own Durable client and an extension that answers as it likes."""

from __future__ import annotations

import asyncio
import json
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest
from azure.durable_functions import DurableOrchestrationClient
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.job import ORCHESTRATOR, Intent, Progress
from shared.jobs import ids
from shared.jobs.store import DEADLINE, NOTE, PAGE, DurableStore
from shared.model import Reason
from shared.problem import Undecidable
from tests.fakes import ALICE, TENANT, LoopTime, settle
from tests.jobfakes import an_intent

BASE = "http://127.0.0.1:7071/durabletask/"
BOB = "22222222-0000-4000-8000-000000000002"


def anything(_intent: Intent) -> bool:
    return True


class Extension:
    """The Durable extension as the client sees it: HTTP, with an instance for each id."""

    def __init__(self) -> None:
        self.instances: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        """Every address that was called, after the base."""
        self.parsed = False
        """Whether inputs come back parsed, and not as JSON inside a string."""
        self.bare_lists = False
        """Whether lists carry neither inputs nor custom statuses."""
        self.before_start: Callable[[], Any] = lambda: None
        """What happens between the client's look and the extension's."""
        self.answer: Callable[[str, str], list[Any] | None] = lambda method, path: None
        """Answers in the extension's place where it returns something; may raise."""
        self.lose_start = False
        """Whether the answer of a start is lost, after it worked."""

    def client(self) -> DurableOrchestrationClient:
        context = {"taskHubName": "hub", "creationUrls": {}, "managementUrls": {}, "rpcBaseUrl": BASE}
        client = DurableOrchestrationClient(json.dumps(context))
        client._post_async_request = self.post
        client._get_async_request = self.get
        return client

    def put(self, instance: str, **fields: Any) -> dict[str, Any]:
        """Put an instance there by hand."""
        now = "2026-11-22T08:00:00Z"
        self.instances[instance] = {
            "name": ORCHESTRATOR,
            "instanceId": instance,
            "runtimeStatus": "Running",
            "input": None,
            "customStatus": None,
            "output": None,
            "createdTime": now,
            "lastUpdatedTime": now,
        } | fields
        return self.instances[instance]

    def put_job(self, intent: Intent, progress: Progress | None = None, **fields: Any) -> dict[str, Any]:
        kept = {"intent": msgspec.to_builtins(intent), "progress": progress and msgspec.to_builtins(progress)}
        return self.put(intent.job, **{"input": json.dumps(kept)} | fields)

    async def post(self, url: str, data: Any = None, *_args: Any, **_named: Any) -> list[Any]:
        path = self._path("POST", url)
        if isinstance(answer := await self._instead("POST", path), list):
            return answer
        if path.startswith("orchestrators/"):
            self.before_start()
            _, name, instance = path.split("/")
            there = self.instances.get(instance)
            if there is not None and there["runtimeStatus"] in ("Pending", "Running"):
                return [
                    409,
                    {"Message": f"An Orchestration instance with the status {there} already exists."},
                ]
            self.put(
                instance, name=name, runtimeStatus="Pending", input=json.loads(data) if self.parsed else data
            )
            if self.lose_start:
                raise aiohttp.ServerDisconnectedError
            return [202, {"id": instance}]
        _, instance, _, _event = path.split("/")
        there = self.instances.get(instance)
        if there is None:
            return [404, None]
        return [202 if there["runtimeStatus"] in ("Pending", "Running") else 410, None]

    async def get(self, url: str, *_args: Any) -> list[Any]:
        path = self._path("GET", url)
        if isinstance(answer := await self._instead("GET", path), list):
            return answer
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        instance = parts.path.removeprefix("instances/")
        if instance:
            there = self.instances.get(instance)
            if there is None:
                return [404, ""]
            return [202, dict(there) if query.get("showInput") == "True" else there | {"input": None}]
        states = query["runtimeStatus"].split(",") if "runtimeStatus" in query else None
        page = [
            there
            for key, there in sorted(self.instances.items())
            if key.startswith(query["instanceIdPrefix"])
            and (states is None or there["runtimeStatus"] in states)
        ][:PAGE]
        hidden = {"input": None, "customStatus": None} if self.bare_lists else {}
        return [200, [there | hidden for there in page]]

    def _path(self, method: str, url: str) -> str:
        assert url.startswith(BASE)
        path = url.removeprefix(BASE)
        self.asked.append(f"{method} {path}")
        return path

    async def _instead(self, method: str, path: str) -> list[Any] | None:
        await asyncio.sleep(0)
        return self.answer(method, path)


@pytest.fixture
def extension() -> Extension:
    return Extension()


@pytest.fixture
def store(extension: Extension) -> DurableStore:
    return DurableStore(extension.client())


def failing(fault: BaseException | list[Any], *, only: str = "") -> Callable[[str, str], list[Any] | None]:
    def answer(method: str, path: str) -> list[Any] | None:
        if only not in f"{method} {path}":
            return None
        if isinstance(fault, BaseException):
            raise fault
        return fault

    return answer


ERROR = {"Message": "Something went wrong", "ExceptionMessage": "MARKER", "ExceptionType": "StorageException"}
CALLS: dict[str, Callable[[DurableStore], Any]] = {
    "start": lambda store: store.start(an_intent()),
    "get": lambda store: store.get(ids.new_job("churn", TENANT, ALICE)),
    "find": lambda store: store.find(ids.endpoint_prefix("churn"), holds=anything),
    "note": lambda store: store.note("key.1", {"a": "b"}),
    "noted": lambda store: store.noted("key.1"),
    "wake": lambda store: store.wake(ids.new_job("churn", TENANT, ALICE)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(aiohttp.ClientError("MARKER"), id="the connection failed"),
        pytest.param(TimeoutError("MARKER"), id="the client gave up"),
        pytest.param(json.JSONDecodeError("MARKER", "<html>", 0), id="it answered no JSON"),
        pytest.param([503, "MARKER"], id="an unforeseen status"),
        pytest.param([500, ERROR], id="an error inside the extension"),
    ],
)
async def test_f44_a_store_that_fails_is_no_answer(
    name: str, fault: BaseException | list[Any], extension: Extension, store: DurableStore,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """F44, D10: every failure is job-store-unavailable, never `there is none` nor `it is done`; no text of it is told."""
    extension.answer = failing(fault)
    if name == "wake" and isinstance(fault, list):
        await CALLS[name](store)  # it only hastens, and the client tells a refusal in the same way
        return
    with pytest.raises(Undecidable) as raised:
        await CALLS[name](store)
    assert raised.value.reason is Reason.JOB_STORE_UNAVAILABLE
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "MARKER" not in caplog.text


@pytest.mark.parametrize("name", CALLS)
async def test_f44_a_store_that_does_not_answer_is_given_up(
    name: str, extension: Extension, store: DurableStore
) -> None:
    """F44: ten seconds for each method, whatever it asks, and not one more for each call that it makes."""
    loop = LoopTime()

    async def hang(*_args: Any, **_named: Any) -> list[Any]:
        await asyncio.Event().wait()
        raise AssertionError

    extension.post = extension.get = hang  # type: ignore[method-assign]
    asking = asyncio.ensure_future(CALLS[name](DurableStore(extension.client())))
    await settle()
    await loop.pass_(DEADLINE - 1)
    assert not asking.done()
    await loop.pass_(2)
    assert asking.done()
    with pytest.raises(Undecidable):
        asking.result()


@pytest.mark.parametrize(
    "job",
    [
        "",
        "x",
        "../instances/",
        "note.key.1",
        "a" * 8 + "-" + "b" * 16 + "-" + "c" * 31,
        "a" * 8 + "-" + "b" * 16 + "-" + "C" * 32,
        "a" * 8 + "-" + "b" * 16 + "-" + "c" * 32 + "\n",
        "a" * 8 + "-" + "b" * 16 + "-" + "c" * 32 + "?showHistory=true",
        "@dafx@key",
    ],
)
async def test_i07_what_is_no_id_of_a_job_is_asked_of_nobody(
    job: str, extension: Extension, store: DurableStore
) -> None:
    """I07: an id goes into the client's address as it stands, so nothing else ever does."""
    assert await store.get(job) is None
    await store.wake(job)
    assert extension.asked == []


@pytest.mark.parametrize("name", ["", "a/b", "A", "key 1", "..", "a?b", "é", "x" * 201])
async def test_i07_what_is_no_name_of_a_note_is_a_mistake_of_the_gate(name: str, store: DurableStore) -> None:
    """Names of notes are made by the gate; one that is not is an error before anything is asked."""
    with pytest.raises(ValueError, match="name of a note"):
        await store.note(name, {})


@pytest.mark.parametrize("prefix", ["", "note.", "x", "a/", "a" * 59])
async def test_i07_what_is_no_prefix_of_an_id_lists_nothing(
    prefix: str, extension: Extension, store: DurableStore
) -> None:
    """I07: no prefix would be everybody's jobs."""
    with pytest.raises(ValueError, match="prefix"):
        await store.find(prefix, holds=anything)
    assert extension.asked == []


INTENT = an_intent(app_roles=("Score.All",), accepted=1_784_000_000.25, seal="5" * 64)


def strange() -> list[Any]:
    good = {"intent": msgspec.to_builtins(INTENT), "progress": None}
    other = {"intent": msgspec.to_builtins(an_intent()), "progress": None}
    return [
        pytest.param({"name": "groupgate_other"}, id="another orchestrator"),
        pytest.param({"name": "Groupgate_Job"}, id="another spelling of it"),
        pytest.param({"name": None}, id="no orchestrator"),
        pytest.param({"input": None}, id="no input"),
        pytest.param({"input": ""}, id="an empty input"),
        pytest.param({"input": "{"}, id="half an input"),
        pytest.param({"input": "[" * 5000}, id="a deep input"),
        pytest.param({"input": json.dumps(INTENT.job)}, id="an id and nothing else"),
        pytest.param({"input": json.dumps(other)}, id="the intent of another job"),
        pytest.param({"input": json.dumps(good | {"intent": good["intent"] | {"accepted": "now"}})}, id="a wrong type"),
        pytest.param({"input": json.dumps(good | {"intent": good["intent"] | {"more": 1}})}, id="an unknown member"),
        pytest.param({"input": json.dumps({"intent": {**good["intent"], "body": None}})}, id="no body"),
        pytest.param({"input": 5}, id="a number"),
        pytest.param({"customStatus": {"polls": "many"}}, id="no progress"),
        pytest.param({"customStatus": [1]}, id="a list for progress"),
        pytest.param({"instanceId": ids.new_job("churn", TENANT, ALICE)}, id="the status of another instance"),
        pytest.param({"createdTime": None}, id="no time of creation"),
    ]  # fmt: skip


@pytest.mark.parametrize("fields", strange())
async def test_e10_what_somebody_else_started_under_the_id_is_no_job(
    fields: dict[str, Any], extension: Extension, store: DurableStore
) -> None:
    """E10: whoever holds a key of the host can start anything; only the gate's own shape is a job, in lists as well."""
    extension.put_job(INTENT)
    assert await store.get(INTENT.job) is not None
    extension.instances[INTENT.job] |= fields
    assert await store.get(INTENT.job) is None
    assert await store.find(INTENT.job[:26], holds=anything) == ()


async def test_an_unknown_job_is_none(store: DurableStore) -> None:
    """JobStore: the client's blank status for an id that nobody has is None."""
    assert await store.get(INTENT.job) is None
    assert await store.noted("key.1") is None


@pytest.mark.parametrize("parsed", [False, True])
async def test_a_job_that_was_started_is_read_back_as_it_was(
    parsed: bool, extension: Extension, store: DurableStore
) -> None:
    """JobStore: whether the input comes back as text or parsed, the intent is the same, its seal with it."""
    extension.parsed = parsed
    await store.start(INTENT)
    stored = await store.get(INTENT.job)
    assert stored is not None
    assert stored.intent == INTENT
    assert (stored.progress, stored.running) == (Progress(), True)
    assert extension.asked[0] == f"POST orchestrators/groupgate_job/{INTENT.job}"


@pytest.mark.parametrize("as_text", [False, True])
async def test_what_the_orchestration_shows_is_newer_than_what_it_was_started_with(
    as_text: bool, extension: Extension, store: DurableStore
) -> None:
    """JobStore: the custom status, else what was carried on into this history, else a job that has not begun."""
    there = extension.put_job(INTENT, Progress(status="Queued", polls=10))
    stored = await store.get(INTENT.job)
    assert stored is not None
    assert stored.progress == Progress(status="Queued", polls=10)
    shown = Progress(status="Running", polls=12, outputs={"score": {"Uri": "x"}})
    there["customStatus"] = json.dumps(msgspec.to_builtins(shown)) if as_text else msgspec.to_builtins(shown)
    stored = await store.get(INTENT.job)
    assert stored is not None
    assert stored.progress == shown


@pytest.mark.parametrize(
    ("state", "running"),
    [
        ("Pending", True),
        ("Running", True),
        ("ContinuedAsNew", True),
        ("Suspended", True),
        ("Completed", False),
        ("Failed", False),
        ("Canceled", False),
        ("Terminated", False),
    ],
)
async def test_a_job_runs_until_its_orchestration_ends(
    state: str, running: bool, extension: Extension, store: DurableStore
) -> None:
    """JobStore: one that is suspended may go on; one that was terminated will not."""
    extension.put_job(INTENT, runtimeStatus=state)
    stored = await store.get(INTENT.job)
    assert stored is not None
    assert stored.running is running
    assert len(await store.find(INTENT.job[:26], holds=anything, running=True)) == running


@pytest.fixture
def tokyo() -> Iterator[None]:
    """Let this process stand in another zone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
async def test_times_are_seconds_since_1970_with_or_without_a_zone(
    extension: Extension, store: DurableStore
) -> None:
    """JobStore: a time without a zone is UTC, wherever the app runs."""
    there = extension.put_job(
        INTENT, createdTime="2026-11-22T08:00:00", lastUpdatedTime="2026-11-22T09:00:00Z"
    )
    expected = datetime(2026, 11, 22, 8, tzinfo=UTC).timestamp()
    stored = await store.get(INTENT.job)
    assert stored is not None
    assert (stored.created, stored.updated) == (expected, expected + 3600)
    there["lastUpdatedTime"] = None
    stored = await store.get(INTENT.job)
    assert stored is not None
    assert stored.updated == expected


async def test_d10_a_start_whose_answer_was_lost_is_a_start(
    extension: Extension, store: DurableStore
) -> None:
    """D10: what is there tells; the caller gets its 202 and starts nothing twice."""
    extension.lose_start = True
    await store.start(INTENT)
    assert list(extension.instances) == [INTENT.job]


async def test_d10_starting_once_more_leaves_a_running_job_as_it_is(
    extension: Extension, store: DurableStore
) -> None:
    """D10: the second of two starts for one key finds the first one's job, and says no other thing."""
    await store.start(INTENT)
    await store.start(msgspec.structs.replace(INTENT, accepted=1.0, request_id="another"))
    stored = await store.get(INTENT.job)
    assert stored is not None
    assert stored.intent == INTENT


@pytest.mark.parametrize(
    "there",
    [
        pytest.param({"name": "groupgate_other"}, id="another orchestrator"),
        pytest.param({"input": "{}"}, id="no intent"),
    ],
)
async def test_e10_an_id_that_somebody_else_has_taken_is_no_start(
    there: dict[str, Any], extension: Extension, store: DurableStore
) -> None:
    """E10: 202 means that the gate's own intent is stored."""
    extension.put_job(INTENT, **there)
    with pytest.raises(Undecidable):
        await store.start(INTENT)


async def test_d10_an_id_with_another_submission_is_no_start(
    extension: Extension, store: DurableStore
) -> None:
    """D10: what was asked is not what is stored."""
    extension.put_job(msgspec.structs.replace(INTENT, asked="e" * 64))
    with pytest.raises(Undecidable):
        await store.start(INTENT)


@pytest.mark.parametrize("bare", [False, True])
async def test_jobs_are_found_by_how_their_ids_begin_newest_first(
    bare: bool, extension: Extension, store: DurableStore
) -> None:
    """JobStore: the owner's own, at this endpoint; where a list carries no inputs each job is asked for."""
    extension.bare_lists = bare
    mine = [an_intent(accepted=float(moment)) for moment in (5, 9, 7)]
    bobs = an_intent(principal=BOB)
    elsewhere = an_intent(endpoint="fraud")
    for intent in (*mine, bobs, elsewhere):
        extension.put_job(intent, Progress(status="Queued"))
    extension.put("note.key.1", name=NOTE)
    found = await store.find(ids.owner_prefix("churn", TENANT, ALICE), holds=anything)
    assert [stored.intent.accepted for stored in found] == [9, 7, 5]
    assert {stored.progress.status for stored in found} == {"Queued"}
    everyones = await store.find(ids.endpoint_prefix("churn"), holds=anything)
    assert {stored.intent.principal for stored in everyones} == {ALICE, BOB}


async def test_e10_a_list_has_only_what_holds_and_none_of_its_bodies(
    extension: Extension, store: DurableStore
) -> None:
    """E10, D10: all of an intent is asked whether it holds, body included; a list keeps no bodies, which may be many."""
    good, bad = an_intent(), an_intent()
    for intent in (good, bad):
        extension.put_job(intent)
    found = await store.find(ids.endpoint_prefix("churn"), holds=lambda intent: intent == good)
    assert [stored.intent for stored in found] == [msgspec.structs.replace(good, body="")]


async def test_d10_a_list_of_large_bodies_stays_small(extension: Extension, store: DurableStore) -> None:
    """D10: many jobs with bodies of 60 KB take no more than a few pages of them at a time."""
    body = '"' * 60_000
    for _ in range(3):
        intent = an_intent(body=body)
        extension.put_job(intent)
    tracemalloc.start()
    try:
        found = await store.find(ids.endpoint_prefix("churn"), holds=anything)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 3
    assert kept < 60_000


@pytest.mark.parametrize("shown", [{"wait": float("nan")}, {"wait": float("inf")}, {"status": "\ud800"}])
async def test_e10_what_is_no_json_is_no_job(
    shown: dict[str, Any], extension: Extension, store: DurableStore
) -> None:
    """E10: Python's own parser, with which the client reads, takes what cannot be told again."""
    extension.put_job(INTENT, customStatus=shown)
    assert await store.get(INTENT.job) is None
    assert await store.find(ids.endpoint_prefix("churn"), holds=anything) == ()


async def test_only_running_jobs_are_asked_for_where_only_they_count(
    extension: Extension, store: DurableStore
) -> None:
    """D10: a cap on running jobs must not read everything that ever ran."""
    for number in range(PAGE + 50):
        extension.put_job(an_intent(), runtimeStatus="Completed" if number % 10 else "Running")
    found = await store.find(ids.endpoint_prefix("churn"), holds=anything, running=True)
    assert len(found) == (PAGE + 50) // 10
    assert len(extension.asked) == 1


async def test_what_a_list_says_is_not_taken_on_trust(extension: Extension, store: DurableStore) -> None:
    """D10: a store that does not filter, or whose jobs end meanwhile, does not fill the caller's cap."""
    there = extension.put_job(an_intent(), runtimeStatus="Completed")
    extension.answer = failing([200, [there]], only="GET")
    assert await store.find(ids.endpoint_prefix("churn"), holds=anything, running=True) == ()


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 12 * PAGE])
@pytest.mark.parametrize("owners", [1, 300])
async def test_a_full_page_hides_nothing(
    count: int, owners: int, extension: Extension, store: DurableStore
) -> None:
    """JobStore: the client shows one page only, so a full one is asked for again in sixteen parts, and these too."""
    chance = random.Random(7)
    for number in range(count):
        oid = f"{number % owners:032x}"
        job = f"{ids.owner_prefix('churn', TENANT, oid)}{chance.getrandbits(128):032x}"
        extension.put_job(an_intent(job=job, principal=oid))
    found = await store.find(ids.endpoint_prefix("churn"), holds=anything)
    assert len({stored.intent.job for stored in found}) == len(found) == count
    owner = ids.owner_prefix("churn", TENANT, f"{0:032x}")
    assert len(await store.find(owner, holds=anything)) == len(
        [key for key in extension.instances if key.startswith(owner)]
    )


@settings(deadline=None)
@given(st.lists(st.text(alphabet="0123456789abcdef", min_size=32, max_size=32), max_size=30, unique=True))
def test_whatever_the_ids_no_job_is_missed(ends: list[str]) -> None:
    """JobStore, with pages of two: every id that begins so is found once, however alike the ids are."""

    async def found(extension: Extension, prefix: str) -> list[str]:
        return [
            stored.intent.job
            for stored in await DurableStore(extension.client()).find(prefix, holds=anything)
        ]

    extension = Extension()
    prefix = ids.owner_prefix("churn", TENANT, ALICE)
    for end in ends:
        extension.put_job(an_intent(job=prefix + end))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shared.jobs.store.PAGE", 2)
        patched.setattr(f"{__name__}.PAGE", 2)
        for begins in (prefix[:8], prefix, prefix[:20]):
            assert sorted(asyncio.run(found(extension, begins))) == sorted(extension.instances)


async def test_a_note_is_written_once_and_never_changed(extension: Extension, store: DurableStore) -> None:
    """JobStore: the first value stays, and who came later is told it."""
    assert await store.note("key.1", {"job": "a"}) == ({"job": "a"}, True)
    assert await store.note("key.1", {"job": "b"}) == ({"job": "a"}, False)
    assert await store.noted("key.1") == {"job": "a"}
    assert extension.instances["note.key.1"]["name"] == NOTE


@pytest.mark.parametrize("parsed", [False, True])
async def test_an_ended_note_counts_until_it_is_purged(
    parsed: bool, extension: Extension, store: DurableStore
) -> None:
    """JobStore: the extension would let an ended instance be started anew, so it is looked for first."""
    extension.parsed = parsed
    await store.note("key.1", {"job": "a"})
    extension.instances["note.key.1"]["runtimeStatus"] = "Completed"
    assert await store.note("key.1", {"job": "b"}) == ({"job": "a"}, False)


async def test_d10_of_many_who_write_at_once_exactly_one_does(extension: Extension) -> None:
    """D10: fifty with one key: one writes, and all read the same."""
    answers = await asyncio.gather(
        *(DurableStore(extension.client()).note("key.1", {"job": str(number)}) for number in range(50))
    )
    assert sum(wrote for _, wrote in answers) == 1
    assert len({value["job"] for value, _ in answers}) == 1


async def test_d10_who_overwrote_another_is_the_one_who_wrote(
    extension: Extension, store: DurableStore
) -> None:
    """D10: where the extension accepts two starts, the one whose value is read back has written, and no other."""

    def replaced() -> None:
        extension.answer = failing([202, {"id": "note.key.1"}], only="POST")
        theirs = {"nonce": "theirs", "value": {"job": "b"}}
        extension.put("note.key.1", name=NOTE, input=json.dumps(theirs))

    extension.answer = lambda method, path: replaced() if method == "POST" else None
    extension.before_start = replaced
    assert await store.note("key.1", {"job": "a"}) == ({"job": "b"}, False)


async def test_d10_a_note_whose_answer_was_lost_was_written(
    extension: Extension, store: DurableStore
) -> None:
    """D10: what is there carries this call's own mark."""
    extension.lose_start = True
    assert await store.note("key.1", {"job": "a"}) == ({"job": "a"}, True)


async def test_a_note_that_cannot_be_read_back_is_undecided(
    extension: Extension, store: DurableStore
) -> None:
    """F44: accepted is not stored until it can be read."""
    extension.answer = failing([202, {"id": "note.key.1"}], only="POST")
    with pytest.raises(Undecidable):
        await store.note("key.1", {"job": "a"})


A_NOTE = '{"nonce":"n","value":{"job":"b"}}'


@pytest.mark.parametrize(
    "there",
    [
        pytest.param({"name": ORCHESTRATOR, "input": A_NOTE}, id="another orchestrator"),
        pytest.param({"name": NOTE, "input": A_NOTE, "instanceId": "note.key.2"}, id="another note"),
        pytest.param({"name": NOTE, "input": None}, id="no input"),
        pytest.param({"name": NOTE, "input": '{"nonce":"n","value":{"job":5}}'}, id="no text"),
        pytest.param({"name": NOTE, "input": '{"value":{}}'}, id="no mark"),
    ],
)
async def test_e10_what_is_no_note_is_neither_a_note_nor_its_absence(
    there: dict[str, Any], extension: Extension, store: DurableStore
) -> None:
    """E10: somebody with a key of the host can take a note's place; then nothing is decided by it."""
    extension.put("note.key.1", **there)
    with pytest.raises(Undecidable):
        await store.noted("key.1")
    with pytest.raises(Undecidable):
        await store.note("key.1", {"job": "a"})


@pytest.mark.parametrize("state", ["Completed", "Terminated", None])
async def test_waking_what_does_not_run_does_nothing(
    state: str | None, extension: Extension, store: DurableStore
) -> None:
    """JobStore: it only hastens; a job that has ended or is gone needs none."""
    if state is not None:
        extension.put_job(INTENT, runtimeStatus=state)
    await store.wake(INTENT.job)


async def test_waking_sends_the_event(extension: Extension, store: DurableStore) -> None:
    """JobStore: the event that the orchestration waits for, to this instance."""
    extension.put_job(INTENT)
    await store.wake(INTENT.job)
    assert extension.asked == [f"POST instances/{INTENT.job}/raiseEvent/wake"]
