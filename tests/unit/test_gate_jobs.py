"""The gate with the real backend of batch endpoints: in which order it checks, what it tells whom, what is on record."""

from __future__ import annotations

import asyncio
import json
from copy import replace
from typing import Any

import pytest

from shared.jobs import ids
from shared.model import Allow, Deny, Headers, JobTerms, Kind, Reason, Reply
from shared.problem import Problem, Unauthenticated, Undecidable
from tests.fakes import (
    ALICE,
    ANALYSTS,
    CONTRACTORS,
    ENGINEERS,
    JSON_HEADERS,
    TERMS,
    FakeBody,
    a_deny_rule,
    a_membership,
    a_route,
    a_rule,
    headers_of,
    settle,
)
from tests.house import (
    BOB,
    BOUNDS,
    IN,
    OUT,
    HeldStore,
    JobHouse,
    a_batch,
    a_job,
    document,
    slug,
    without_ids,
)
from tests.jobfakes import FakeJobStore, a_stored, an_intent

MINE = an_intent()
ADMINS = a_rule(id="admins", groups=frozenset({ENGINEERS}), job=JobTerms(see_all=True))
UNKNOWN = ids.new_job("churn", MINE.tenant, ALICE)
DOWN = Undecidable(Reason.GRAPH_UNAVAILABLE)
OPERATIONS = ["submit", "list", "look", "cancel"]


def with_job(*rules: Any, **changes: Any) -> JobHouse:
    """Return a house with alice's job, and `rules` after the analysts'; everybody's standing is known."""
    house = JobHouse(
        a_batch(rules=(*a_batch().rules, *rules)),
        store=FakeJobStore(a_stored(MINE, status="Running", **changes)),
    )
    house.become(ALICE, ANALYSTS)
    return house


async def do(house: JobHouse, operation: str, job: str = MINE.job, **changes: Any) -> Reply:
    """Return the answer to one of the four operations, on `job` where it is on one."""
    about = [job] if operation in ("look", "cancel") else []
    reply: Reply = await getattr(house, operation)(*about, **changes)
    return reply


def stored_nothing(house: JobHouse) -> bool:
    """Say whether the store was neither asked nor told anything."""
    return house.store.steps.names == []


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_order_who_comes_first(operation: str) -> None:
    """Ruling "Order": nobody is 401, before body, query, key, id or store are looked at."""
    house = with_job()
    house.authenticator.fault = Unauthenticated(Reason.PRINCIPAL_MISSING)
    body = FakeBody(b"", length=None)
    reply = await do(house, operation, "no id", body=body, query="a=b")
    assert (reply.status, slug(reply)) == (401, "authentication-required")
    assert (body.limits, stored_nothing(house)) == ([], True)


@pytest.mark.parametrize(
    ("route", "method", "allowed"),
    [
        ("jobs", "PUT", "GET, HEAD, POST"),
        ("jobs", "DELETE", "GET, HEAD, POST"),
        ("job", "POST", "GET, HEAD, DELETE"),
        ("job", "PATCH", "GET, HEAD, DELETE"),
        ("job", "OPTIONS", "GET, HEAD, DELETE"),
    ],
)
async def test_order_the_method_comes_before_whether(route: str, method: str, allowed: str) -> None:
    """T16, ruling "Order": 405 for a stranger too; nothing is asked of the store."""
    house = with_job()
    house.become(BOB)
    reply = await house.ask(route, method=method, params={"name": "churn", "id": MINE.job}, jobs=house.store)
    assert (reply.status, headers_of(reply)["allow"]) == (405, allowed)
    assert (house.memberships.calls, stored_nothing(house)) == ([], True)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_order_whether_comes_before_how_and_before_which(operation: str) -> None:
    """Ruling "Order", I07: who may not call the endpoint reads 403, whatever it sends and whichever job it names."""
    house = with_job()
    house.become(BOB)
    body = FakeBody(b"", length=None)
    told = {
        without_ids(await do(house, operation, job, body=body, query="a=b"))
        for job in (MINE.job, UNKNOWN, "x")
    }
    ((status, _, _),) = told
    assert (status, body.limits, stored_nothing(house)) == (403, [], True)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_i02_an_endpoint_that_is_unknown_is_as_one_that_is_forbidden(operation: str) -> None:
    """I02: byte for byte but for the ids; an online endpoint has no jobs either, and says so alike."""
    house = with_job()
    house.policy.routes["endpoint", "fraud"] = a_route()  # type: ignore[index]
    house.become(BOB)
    forbidden = without_ids(await do(house, operation))
    for name in ("nosuch", "fraud", "CHURN", ""):
        house.become(ALICE, ANALYSTS)
        assert without_ids(await do(house, operation, params={"name": name, "id": MINE.job})) == forbidden


@pytest.mark.parametrize("operation", ["list", "look", "cancel"])
async def test_no_job_is_asked_for_with_a_query(operation: str) -> None:
    """400: `?code=`, `?api-version=` and whatever Durable's own addresses take are not taken here."""
    house = with_job()
    reply = await do(house, operation, query="code=k")
    assert (reply.status, slug(reply), stored_nothing(house)) == (400, "invalid-request", True)


async def test_s23_a_page_of_another_site_starts_and_ends_no_job() -> None:
    """S23: what a browser sends for another site's page, with the caller's cookie alone, is 403."""
    house = with_job()
    cross = Headers(
        (JSON_HEADERS[0], ("Cookie", "AppServiceAuthSession=x"), ("Sec-Fetch-Site", "cross-site"))
    )
    assert {
        (await do(house, operation, headers=cross)).status for operation in ("list", "look", "cancel")
    } == {403}
    lawful = {"method": "POST", "params": {"name": "churn"}, "body": FakeBody(a_job()), "jobs": house.store}
    assert (await house.ask("jobs", **{**lawful, "headers": cross})).status == 403
    assert stored_nothing(house)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_i07_an_unknown_job_and_another_callers_answer_alike(method: str) -> None:
    """I07: another's job, an unknown one, one of another endpoint and what is no id: the same 404, byte for byte but for ids."""
    house = with_job()
    fraud = an_intent(endpoint="fraud", principal=BOB)
    house.store.jobs[fraud.job] = a_stored(fraud)
    house.become(BOB, ANALYSTS)
    told = {
        without_ids(await house.look(job, method=method)) for job in (MINE.job, UNKNOWN, fraud.job, "x", "")
    }
    ((status, headers, body),) = told
    assert status == 404
    assert b"job-not-found" in body or method == "HEAD"
    assert dict(headers)["content-type"] == "application/problem+json"
    assert house.store.notes == {}
    reasons = [record["decision"].reason for record in house.recorder.decisions]
    assert reasons == [Reason.JOB_OWNER_MISMATCH, *[Reason.JOB_NOT_FOUND] * 4]


async def test_i07_another_callers_job_is_as_good_as_not_there_on_all_four_operations() -> None:
    """I07: bob can neither see, list nor cancel alice's job, nor reach it by a key of his own."""
    house = with_job()
    key = (("Idempotency-Key", "k"),)
    alices = document(await house.submit(headers=key))["name"]
    house.become(BOB, ANALYSTS)
    assert document(await house.list()) == {"value": []}
    assert {(await house.look(alices)).status, (await house.cancel(alices)).status} == {404}
    assert document(await house.submit(headers=key))["name"] != alices
    assert [name for name in house.store.notes if name.startswith("cancel")] == []


async def test_i07_no_answer_tells_of_durable_or_of_anybody_else() -> None:
    """I07: no key, management address or list of instances, and nobody's object id, in whatever is answered."""
    house = with_job(ADMINS)
    bobs = an_intent(principal=BOB)
    house.store.jobs[bobs.job] = a_stored(bobs)
    house.become(ALICE, ANALYSTS, ENGINEERS)
    for reply in [
        await do(house, operation, job) for operation in OPERATIONS for job in (MINE.job, bobs.job, UNKNOWN)
    ]:
        told = repr(reply.headers) + repr(reply.body)
        assert reply.status in (200, 202, 404)
        for hidden in ("code=", "/runtime/", "webhooks", "durabletask", BOB, ALICE, MINE.tenant):
            assert hidden not in told


@pytest.mark.parametrize("job", [MINE.job, UNKNOWN, "x"], ids=["another's", "unknown", "no id"])
@pytest.mark.parametrize("operation", ["look", "cancel"])
async def test_i07_where_nobody_can_say_who_sees_all_every_job_is_503_alike(operation: str, job: str) -> None:
    """I07, F23: with the directory down a job that is there differs in nothing from one that is not."""
    house = with_job(ADMINS)
    house.become(BOB, ANALYSTS)
    house.memberships.answers.update(known=a_membership(), ask=DOWN)
    reply = await do(house, operation, job)
    assert (reply.status, slug(reply)) == (503, "membership-unavailable")


async def test_f23_a_list_is_of_ones_own_jobs_where_nobody_can_say_who_sees_all() -> None:
    """F23: who is proven by claims goes on working while Graph is down: with what is their own, and nobody else's."""
    house = with_job(ADMINS)
    bobs = an_intent(principal=BOB)
    house.store.jobs[bobs.job] = a_stored(bobs)
    house.memberships.answers.update(known=a_membership(), ask=DOWN)
    assert [job["name"] for job in document(await house.list())["value"]] == [MINE.job]
    assert (await house.look(MINE.job)).status == 200
    assert (await house.submit()).status == 202
    assert slug(await house.look(bobs.job)) == "membership-unavailable"


@pytest.mark.parametrize("job", [MINE.job, UNKNOWN], ids=["another's", "nobody's"])
async def test_i07_who_asks_for_what_is_not_theirs_is_on_record_with_the_id(job: str) -> None:
    """I07: a probe of ids is seen in the audit, though the answer says nothing."""
    house = with_job()
    house.become(BOB, ANALYSTS)
    assert (await house.look(job)).status == 404
    assert [record["asked"].job_id for record in house.recorder.decisions] == [job]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_e01_who_has_lost_its_membership_loses_its_jobs(operation: str) -> None:
    """E01: decided anew at submit, list, status and cancel: the owner of yesterday reads 403 today, and stores nothing."""
    house = with_job()
    assert (await do(house, operation)).status in (200, 202)
    house.store.notes.clear()
    jobs = dict(house.store.jobs)
    house.become(ALICE)
    assert (await do(house, operation)).status == 403
    assert (house.store.jobs, house.store.notes) == (jobs, {})


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_e01_a_key_that_was_good_does_not_outlive_the_rule(operation: str) -> None:
    """E01: a deny rule that comes to match ends everything, the repeat of an old submission included."""
    house = with_job(a_deny_rule())
    key = (("Idempotency-Key", "k"),)
    assert (await house.submit(headers=key)).status == 202
    started = list(house.store.started)
    house.become(ALICE, ANALYSTS, CONTRACTORS)
    changes = {"headers": key} if operation == "submit" else {}
    assert (await do(house, operation, **changes)).status == 403
    assert house.store.started == started


async def test_e01_who_sees_all_jobs_does_so_only_while_the_rule_is_theirs() -> None:
    """E01: `see = "all"` is decided at every look and every cancel."""
    house = with_job(ADMINS)
    house.become(BOB, ANALYSTS, ENGINEERS)
    assert document(await house.look(MINE.job))["name"] == MINE.job
    assert (await house.cancel(MINE.job)).status == 202
    house.store.notes.clear()
    house.become(BOB, ANALYSTS)
    assert {(await house.look(MINE.job)).status, (await house.cancel(MINE.job)).status} == {404}
    assert house.store.notes == {}


async def test_the_rule_on_record_for_jobs_of_others_is_the_one_that_gives_them() -> None:
    """Audit: the owner's look is by the first rule that lets him in, another's by the rule with `see = "all"`."""
    house = with_job(ADMINS)
    house.become(BOB, ANALYSTS, ENGINEERS)
    bobs = document(await house.submit())["name"]
    for job in (bobs, MINE.job):
        await house.look(job)
    await house.list()
    rules = [record["decision"].rule for record in house.recorder.decisions]
    assert rules == ["analysts", "analysts", "admins", "admins"]
    assert [
        record["asked"].job and record["asked"].job.intent.job for record in house.recorder.decisions[1:3]
    ] == [
        bobs,
        MINE.job,
    ]


REFUSED = {
    "a foreign account": (
        a_job("https://evil.blob.core.windows.net/customers/"),
        "properties.InputData.data.Uri",
    ),
    "another container": (
        a_job("https://contosodata.blob.core.windows.net/secrets/"),
        "properties.InputData.data.Uri",
    ),
    "a neighbour that begins alike": (
        a_job("https://contosodata.blob.core.windows.net/transactions2/"),
        "properties.InputData.data.Uri",
    ),
    "a way up": (a_job(f"{IN}../secrets/"), "properties.InputData.data.Uri"),
    "a signed address": (a_job(f"{IN}june/?sv=2024&sig=x"), "properties.InputData.data.Uri"),
    "an output elsewhere": (
        a_job(to="https://evil.blob.core.windows.net/scores/"),
        "properties.OutputData.score.Uri",
    ),
    "an output among the inputs": (a_job(to=f"{IN}june/"), "properties.OutputData.score.Uri"),
    "a compute of choice": (a_job(compute={"target": "gpu-huge"}), "properties.compute.target"),
    "an experiment of choice": (
        a_job(properties={"experimentName": "mine"}),
        "properties.properties.experimentName",
    ),
    "a setting of choice": (a_job(errorThreshold=-1), "properties.errorThreshold"),
    "an unknown key": (a_job(identity={}), "properties"),
}


@pytest.mark.parametrize(("body", "place"), REFUSED.values(), ids=list(REFUSED))
async def test_t10_what_the_rule_does_not_give_is_403_with_the_place_and_nothing_is_stored(
    body: bytes, place: str
) -> None:
    """T10: the gate's own identity reads and writes nothing that a rule does not name; the caller reads where it stands."""
    house = JobHouse()
    reply = await house.submit(body)
    assert (reply.status, slug(reply)) == (403, "forbidden")
    assert document(reply)["detail"].startswith(f"{place} ")
    (record,) = house.recorder.decisions
    assert record["decision"].reason is Reason.INPUT_NOT_ALLOWED
    assert (house.store.jobs, house.store.notes, house.store.started) == ({}, {}, [])


async def test_t10_a_place_is_told_only_to_whom_the_rule_is_for() -> None:
    """I02: a stranger's job is refused as everything of a stranger is, whatever it wants."""
    house = JobHouse()
    house.become(BOB)
    told = {without_ids(await house.submit(body)) for body, _ in REFUSED.values()}
    assert told == {without_ids(await house.submit())}


async def test_t10_the_first_rule_that_gives_all_of_it_is_on_record() -> None:
    """T10: rules do not add up: what one gives to read and another to write is no job of either."""
    reads = a_rule(id="reads", job=JobTerms(inputs=TERMS.inputs))
    writes = a_rule(id="writes", job=JobTerms(outputs=TERMS.outputs))
    house = JobHouse(a_batch(rules=(reads, writes)))
    assert (await house.submit()).status == 403
    house = JobHouse(a_batch(rules=(reads, writes, a_rule(id="both", job=TERMS))))
    assert (await house.submit()).status == 202
    assert house.recorder.decisions[0]["decision"].rule == "both"


async def test_t10_every_job_writes_into_a_folder_of_its_own() -> None:
    """T10: two jobs of one caller, and jobs of two callers, never share a folder that they write to."""
    house = JobHouse()
    for oid in (ALICE, ALICE, BOB):
        house.become(oid, ANALYSTS)
        await house.submit()
    outputs = [
        json.loads(stored.intent.body)["properties"]["OutputData"]["score"]["Uri"]
        for stored in house.store.jobs.values()
    ]
    assert len(set(outputs)) == 3
    assert [
        uri.startswith(f"{OUT}{oid}/") for uri, oid in zip(outputs, (ALICE, ALICE, BOB), strict=True)
    ] == [True] * 3


@pytest.mark.parametrize("kind", [Kind.GUEST, Kind.APP])
async def test_the_place_of_a_job_is_told_to_every_caller_whom_the_rule_is_for(kind: Kind) -> None:
    """Issue 1: unlike `help`, the place is about the caller's own body, and an app's owner has to read it."""
    house = JobHouse(a_batch(rules=(a_rule(callers=frozenset(Kind), job=TERMS),), help="Ask Ann."))
    house.become(ALICE, ANALYSTS, kind=kind)
    reply = await house.submit(a_job("https://contosodata.blob.core.windows.net/secrets/"))
    assert document(reply)["detail"].startswith("properties.InputData.data.Uri ")


async def test_head_is_an_answer_without_a_body_for_jobs_too() -> None:
    """Design, "Routes": HEAD is GET without a body: for a list, a job, and no job."""
    house = with_job()
    for head, get in (
        (await house.list(method="HEAD"), await house.list()),
        (await house.look(MINE.job, method="HEAD"), await house.look(MINE.job)),
        (await house.look(UNKNOWN, method="HEAD"), await house.look(UNKNOWN)),
    ):
        assert head.body == b""
        assert get.body
        assert without_ids(head)[:2] == without_ids(get)[:2]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_answer_about_jobs_is_the_callers_alone(operation: str) -> None:
    """I05: `no-store`, `Vary` and a request id, on successes as on refusals."""
    house = with_job()
    for oid, groups in ((ALICE, (ANALYSTS,)), (BOB, ())):
        house.become(oid, *groups)
        headers = headers_of(await do(house, operation))
        assert (headers["cache-control"], headers["vary"]) == ("no-store", "Authorization, Cookie")
        assert headers["x-request-id"]


@pytest.mark.parametrize(
    ("operation", "name", "status"),
    [
        ("submit", "jobs/submit", 202),
        ("list", "jobs/list", 200),
        ("look", "jobs/status", 200),
        ("cancel", "jobs/cancel", 202),
    ],
)
async def test_each_operation_is_one_decision_and_one_outcome_on_record(
    operation: str, name: str, status: int
) -> None:
    """Audit: who asked what, by which rule, and how the request ended; nothing went upstream, so no status came from there."""
    house = with_job()
    reply = await do(house, operation)
    (decided,), (completed,) = house.recorder.decisions, house.recorder.outcomes
    assert decided["asked"].operation == name
    assert decided["decision"] == Allow(
        rule="analysts", reason=Reason.MEMBER, proof=decided["decision"].proof, group=ANALYSTS
    )
    assert decided["request_id"] == completed["request_id"] == headers_of(reply)["x-request-id"]
    assert (completed["outcome"], completed["status"], completed["upstream_status"]) == ("ok", status, None)
    assert reply.status == status


async def test_r01_a_job_is_on_record_before_it_is_stored() -> None:
    """R01: the decision first; where it cannot be recorded nothing is started, noted or cancelled, and the turn is free."""
    house = with_job()
    house.recorder.fault = Undecidable(Reason.AUDIT_UNAVAILABLE)
    for operation in OPERATIONS:
        assert slug(await do(house, operation)) == "audit-unavailable"
    assert (house.store.started, house.store.notes, len(house.batch._turns)) == ([], {}, 0)
    house.recorder.fault = None
    assert (await house.submit()).status == 202


async def test_r01_what_was_decided_is_on_record_with_what_kept_the_job_from_being_started() -> None:
    """Audit: a submission over the cap, or with a taken key, is an error by the rule that had let the caller in."""
    house = JobHouse(a_batch(batch=replace(BOUNDS, running_jobs=1)))
    key = (("Idempotency-Key", "k"),)
    await house.submit(headers=key)
    assert (await house.submit()).status == 429
    assert (await house.submit(a_job(f"{IN}july/"), headers=key)).status == 409
    for record, reason in zip(
        house.recorder.decisions[1:], (Reason.RATE_LIMITED, Reason.INVALID_REQUEST), strict=True
    ):
        assert isinstance(record["decision"], Problem)
        assert (record["decision"].reason, record["allowed"].rule) == (reason, "analysts")


async def test_a_denial_tells_the_record_what_was_wanted_and_the_caller_nothing_of_the_policy() -> None:
    """I01: neither the prefixes that would have been allowed nor the name of the rule is in the answer."""
    house = JobHouse()
    reply = await house.submit(a_job("https://contosodata.blob.core.windows.net/secrets/"))
    (record,) = house.recorder.decisions
    assert isinstance(record["decision"], Deny)
    assert record["decision"].place == "properties.InputData.data.Uri"
    assert isinstance(reply.body, bytes)
    for hidden in (b"transactions", b"contoso", b"analysts", b"secrets"):
        assert hidden not in reply.body


async def test_f46_a_caller_who_leaves_while_its_job_is_started_is_on_record_as_gone() -> None:
    """F46: the job is started or not; its own records tell, and the repeat with the key too."""
    store = HeldStore()
    house = JobHouse(store=store)
    key = (("Idempotency-Key", "k"),)
    asking = asyncio.ensure_future(house.submit(headers=key))
    await store.reached.wait()
    asking.cancel()
    await settle()
    assert [record["outcome"] for record in house.recorder.outcomes] == ["client-closed"]
    store.go.set()
    again = await house.submit(headers=key)
    assert [document(again)["name"]] == list(store.jobs) == store.started


async def test_t08_a_content_type_that_the_gate_does_not_read_starts_nothing() -> None:
    """T08: 415 before the body is read."""
    house = JobHouse()
    body = FakeBody(a_job())
    headers = Headers((("Content-Type", "text/plain"), JSON_HEADERS[1]))
    reply = await house.ask(
        "jobs", method="POST", params={"name": "churn"}, headers=headers, body=body, jobs=house.store
    )
    assert (reply.status, slug(reply), body.limits) == (415, "unsupported-media-type", [])
    assert stored_nothing(house)
