"""What is submitted to a batch endpoint: how it may be asked, and the intent that it becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backends import jobbody, submission
from shared.jobs.seal import Sealer
from shared.model import Headers, JobTerms, Kind
from shared.places import parse
from shared.problem import AskedWrongly, Problem, Slug
from tests.fakes import ALICE, JSON_HEADERS, SCOPE, TENANT, TERMS, FakeBody, a_principal, a_rule, an_inbound
from tests.house import OUT, JobHouse, a_batch, a_job, document, slug
from tests.jobfakes import JOBS_URL, MANAGEMENT, SECRET, WORKSPACE

CLIENT = "33333333-0000-4000-8000-000000000003"
TYPED = ("Content-Type", "application/json")


async def read(**changes: Any) -> submission.Submission:
    lawful = {"method": "POST", "headers": Headers(JSON_HEADERS), "body": FakeBody(a_job())}
    return await submission.read(an_inbound("jobs", **{**lawful, **changes}), None, limit=1024)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({"body": FakeBody(b"", length=None)}, Slug.LENGTH_REQUIRED, id="no length"),
        pytest.param({"body": FakeBody(b"")}, Slug.LENGTH_REQUIRED, id="no body"),
        pytest.param({"body": FakeBody(b"", length=None, chunked=True)}, Slug.LENGTH_REQUIRED, id="chunks of nothing"),
        pytest.param({"body": FakeBody(length=1025)}, Slug.PAYLOAD_TOO_LARGE, id="a length over the cap"),
        pytest.param({"body": FakeBody(b" " * 1025, length=None, chunked=True)}, Slug.PAYLOAD_TOO_LARGE, id="chunks over the cap"),
        pytest.param({"headers": Headers(())}, Slug.UNSUPPORTED_MEDIA_TYPE, id="no type"),
        pytest.param({"headers": Headers((("Content-Type", "text/json"),))}, Slug.UNSUPPORTED_MEDIA_TYPE, id="another type"),
        pytest.param({"headers": Headers((("Content-Type", "application/json; charset=utf-16"),))}, Slug.UNSUPPORTED_MEDIA_TYPE, id="another charset"),
        pytest.param({"headers": Headers((TYPED, TYPED))}, Slug.UNSUPPORTED_MEDIA_TYPE, id="two types"),
        pytest.param({"headers": Headers((TYPED, ("Content-Encoding", "gzip")))}, Slug.UNSUPPORTED_MEDIA_TYPE, id="a compressed body"),
        pytest.param({"query": "api-version=1"}, Slug.INVALID_REQUEST, id="a query"),
        pytest.param({"body": FakeBody(b"[]")}, Slug.INVALID_REQUEST, id="no object"),
        pytest.param({"body": FakeBody(b'{"properties":{},"properties":{}}')}, Slug.INVALID_REQUEST, id="a name twice"),
    ],
)  # fmt: skip
async def test_d10_a_body_that_is_asked_wrongly_is_refused_before_it_is_understood(
    changes: dict[str, Any], wrong: Slug
) -> None:
    """D10, design "Order": 411, 413, 415, 400; the cap is the endpoint's own, and nothing compressed is unpacked."""
    with pytest.raises(AskedWrongly) as refusal:
        await read(**changes)
    assert refusal.value.slug is wrong


async def test_a_body_of_a_batch_endpoint_is_read_whatever_types_its_policy_lists() -> None:
    """The type is JSON for every job; a charset of UTF-8 may be named."""
    told = await read(headers=Headers((("Content-Type", "application/json; charset=UTF-8"),)))
    assert [place for _, place in told.content.wanted.outputs] == [parse(OUT)]


async def test_t10_what_no_policy_can_allow_is_403_with_its_place() -> None:
    """T10: a signed address, say, is refused with where it stands, whatever the rules are."""
    with pytest.raises(Problem) as refusal:
        await read(body=FakeBody(a_job("https://contosodata.blob.core.windows.net/transactions/?sig=x")))
    assert refusal.value.slug is Slug.FORBIDDEN
    assert (refusal.value.detail or "").startswith("properties.InputData.data.Uri ")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(("",), id="empty"),
        pytest.param((" ",), id="a blank"),
        pytest.param(("a b",), id="a blank within"),
        pytest.param(("a,b",), id="two that the host has joined"),
        pytest.param(("a", "b"), id="two"),
        pytest.param(("a", "a"), id="the same twice"),
        pytest.param(("a" * 256,), id="too long"),
        pytest.param(("\x7f",), id="a control character"),
        pytest.param(("a\r\nb",), id="a line feed"),
        pytest.param(("k\u00e9y",), id="a letter beyond ASCII"),
    ],
)
async def test_a_key_that_could_be_read_in_two_ways_is_no_key(values: tuple[str, ...]) -> None:
    """Idempotency-Key: one value of 1 to 255 visible ASCII characters, else 400; never silently dropped."""
    headers = Headers((*JSON_HEADERS, *(("Idempotency-Key", value) for value in values)))
    with pytest.raises(AskedWrongly) as refusal:
        await read(headers=headers)
    assert "Idempotency-Key" in (refusal.value.detail or "")


@given(
    st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","),
        min_size=1,
        max_size=255,
    )
)
def test_every_visible_key_is_taken_as_it_is(key: str) -> None:
    """A key is compared byte for byte: quotes, case and signs are its own."""
    assert submission.key_of(an_inbound(headers=Headers((("Idempotency-Key", key),)))) == key


@given(
    st.binary(max_size=64),
    st.binary(max_size=64),
    st.sampled_from([None, "blue", "green"]),
    st.sampled_from([None, "blue", "green"]),
)
def test_two_submissions_have_one_digest_only_when_they_are_the_same(
    one: bytes, other: bytes, here: str | None, there: str | None
) -> None:
    """What the same key has to come with again: the same bytes, and the same deployment."""
    same = submission.digest_of(one, here) == submission.digest_of(other, there)
    assert same == ((one, here) == (other, there))


async def test_the_intent_is_all_that_the_job_may_do_and_is_sealed() -> None:
    """Submit: who, by which rule, what is sent where, until when; whatever changes in it breaks the seal.

    Of the groups in the claims only those that the endpoint's rules name are kept.
    """
    rule = a_rule(id="nightly", deployments=frozenset({"blue"}), job=TERMS)
    house = JobHouse(a_batch(rules=(a_rule(), rule), scope=SCOPE, groups=rule.groups), secret=SECRET)
    house.authenticator.principal = a_principal(
        client=CLIENT,
        app_roles=frozenset({"b", "a"}),
        groups=rule.groups | {"6f1b2c3d-0000-4000-8000-0000000000ff"},
        issued_at=1_749_999_000,
    )
    reply = await house.submit(headers=(("azureml-model-deployment", "blue"),))
    job = document(reply)["name"]
    intent = house.store.jobs[job].intent
    sent = json.loads(intent.body)["properties"]
    assert {name: getattr(intent, name) for name in intent.__struct_fields__ if name not in ("seal", "body", "asked")} == {
        "job": job, "endpoint": "churn", "tenant": TENANT, "principal": ALICE, "kind": "user", "client": CLIENT,
        "app_roles": ("a", "b"), "groups": tuple(rule.groups), "issued_at": 1_749_999_000, "rule": "nightly", "request_id": dict(reply.headers)["x-request-id"],
        "accepted": house.clock.time(), "deployment": "blue", "url": JOBS_URL, "scope": SCOPE,
        "workspace": WORKSPACE, "management": MANAGEMENT, "job_timeout": 86_400.0, "notify": None,
    }  # fmt: skip
    assert intent.asked == submission.digest_of(a_job(), "blue")
    assert sent["OutputData"]["score"]["Uri"] == f"{OUT}{ALICE}/{job}/"
    assert Sealer(SECRET).holds(intent)


async def test_what_the_rule_on_record_says_of_folders_and_of_the_end_is_what_counts() -> None:
    """Rules: of two that fit the first is on record, and the job is made on its terms."""
    hook = "https://hooks.contoso.com/churn"
    first = JobTerms(inputs=TERMS.inputs, outputs=TERMS.outputs, own_folder=False, notify=hook)
    for rules, uri, notify in (
        ((a_rule(job=first), a_rule(id="second", job=TERMS)), OUT, hook),
        ((a_rule(job=TERMS), a_rule(id="second", job=first)), f"{OUT}{ALICE}/", None),
    ):
        house = JobHouse(a_batch(rules=rules))
        await house.submit()
        (stored,) = house.store.jobs.values()
        sent = json.loads(stored.intent.body)["properties"]["OutputData"]["score"]["Uri"]
        assert sent.startswith(uri)
        assert (sent == uri) is (notify is not None)
        assert stored.intent.notify == notify


async def test_an_app_is_an_owner_like_any_other() -> None:
    """Owners are object ids: a managed identity's job is its own."""
    house = JobHouse(a_batch(rules=(a_rule(principals=frozenset({ALICE}), callers=None, job=TERMS),)))
    house.authenticator.principal = a_principal(kind=Kind.APP)
    await house.submit()
    assert [stored.intent.kind for stored in house.store.jobs.values()] == ["app"]


async def test_a_key_that_is_no_key_starts_nothing() -> None:
    """400, and nothing is stored."""
    house = JobHouse()
    assert slug(await house.submit(headers=(("Idempotency-Key", "a b"),))) == "invalid-request"
    assert (house.store.jobs, house.store.notes) == ({}, {})


def test_an_intent_is_for_batch_endpoints_only() -> None:
    """E05: a rule without terms, or an endpoint of another kind, makes no intent: that is a bug, and no job."""
    told = submission.Submission(content=jobbody.read(a_job()), deployment=None, key=None, digest="0" * 64)
    for route, rule in ((a_batch(), a_rule()), (a_batch(batch=None), a_rule(job=TERMS))):
        with pytest.raises(TypeError):
            submission.intent(
                told, job="j", route=route, rule=rule, principal=a_principal(), request_id="r", accepted=0.0
            )
