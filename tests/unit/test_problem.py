"""The problems: one row for each slug, one slug for each reason, and RFC 9457 answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import problem
from shared.model import Reason, Reply
from shared.problem import (
    DEFAULT_RETRY_AFTER,
    MAX_RETRY_AFTER,
    OF_REASON,
    TABLE,
    AskedWrongly,
    NotFound,
    Problem,
    Slug,
    Unauthenticated,
    Undecidable,
    UpstreamFault,
    check_method,
    render,
)
from tests.fakes import headers_of

RID = "0d5c3f0e-0000-4000-8000-000000000000"
ALLOWS = {Reason.MEMBER, Reason.PRINCIPAL_LISTED, Reason.APP_ROLE, Reason.OUTAGE_GRACE}

STATUSES = {
    "authentication-required": 401,
    "principal-invalid": 401,
    "forbidden": 403,
    "not-found": 404,
    "job-not-found": 404,
    "idempotency-conflict": 409,
    "invalid-request": 400,
    "method-not-allowed": 405,
    "length-required": 411,
    "payload-too-large": 413,
    "unsupported-media-type": 415,
    "rate-limited": 429,
    "overloaded": 503,
    "gateway-misconfigured": 503,
    "membership-unavailable": 503,
    "verification-unavailable": 503,
    "upstream-credential-unavailable": 503,
    "limits-unavailable": 503,
    "audit-unavailable": 503,
    "job-store-unavailable": 503,
    "upstream-unreachable": 502,
    "upstream-timeout": 504,
    "upstream-rate-limited": 429,
    "upstream-unavailable": 503,
    "upstream-auth-failed": 502,
    "upstream-not-found": 502,
    "upstream-rejected": 400,
    "upstream-redirect": 502,
    "upstream-error": 502,
    "model-error": 424,
    "internal-error": 500,
}
"""Threats, section 6, and the slugs that the design adds."""

REASONS = {
    "forbidden": {"deny-rule", "not-member", "unknown-endpoint", "caller-kind", "client-not-allowed", "deployment-not-allowed", "operation-not-allowed", "input-not-allowed", "principal-not-found"},
    "authentication-required": {"principal-missing"},
    "principal-invalid": {"principal-malformed", "provider-mismatch", "tenant-mismatch", "issuer-mismatch", "audience-mismatch", "token-invalid"},
    "gateway-misconfigured": {"platform-auth-off", "misconfigured"},
    "membership-unavailable": {"graph-unavailable", "graph-forbidden"},
    "verification-unavailable": {"keys-unavailable"},
    "upstream-credential-unavailable": {"credential-unavailable"},
    "limits-unavailable": {"limits-unavailable"},
    "audit-unavailable": {"audit-unavailable"},
    "job-store-unavailable": {"job-store-unavailable"},
    "job-not-found": {"job-not-found", "job-owner-mismatch"},
    "overloaded": {"overloaded"},
    "invalid-request": {"invalid-request"},
    "rate-limited": {"rate-limited"},
}  # fmt: skip


def document(reply: Reply) -> dict[str, object]:
    assert isinstance(reply.body, bytes)
    parsed: dict[str, object] = json.loads(reply.body)
    return parsed


def test_no_reason_that_allows_has_a_refusal() -> None:
    """E05: the four reasons of an allow are no problems; every other reason has exactly one slug."""
    assert set(OF_REASON) == set(Reason) - ALLOWS


@pytest.mark.parametrize("slug", list(Slug))
def test_every_slug_has_its_row_and_the_contracts_status(slug: Slug) -> None:
    """Threats, section 6: one row for each slug, with fixed texts that are sentences."""
    row = TABLE[slug]
    assert row.status == STATUSES[slug]
    assert row.title
    assert row.detail.endswith(".")


def test_the_table_holds_nothing_else() -> None:
    """No row without a slug, no slug that the contract lacks."""
    assert set(TABLE) == set(Slug)
    assert {str(slug) for slug in Slug} == set(STATUSES)


def test_each_reason_is_told_as_the_contract_says() -> None:
    """Threats, section 6: which reasons share which answer."""
    assert {
        str(slug): {str(r) for r, s in OF_REASON.items() if s == slug} for slug in set(OF_REASON.values())
    } == REASONS


def test_i01_no_fixed_text_names_a_group_an_id_or_an_address() -> None:
    """I01: titles and details are the same for everybody and hold no address, id or file name."""
    for row in TABLE.values():
        assert not re.search(r"https?:|[0-9a-f]{8}-|\.toml|azure\.com|/", row.title + row.detail)


@pytest.mark.parametrize("slug", list(Slug))
def test_an_answer_is_rfc_9457(slug: Slug) -> None:
    """RFC 9457: the five members, nothing more, and the media type."""
    reply = render(Problem(slug, Reason.INVALID_REQUEST), request_id=RID)
    row = TABLE[slug]
    assert document(reply) == {
        "type": f"urn:groupgate:problem:{slug}",
        "title": row.title,
        "status": row.status,
        "detail": row.detail,
        "instance": f"urn:uuid:{RID}",
    }
    assert reply.status == row.status
    assert headers_of(reply)["content-type"] == "application/problem+json"


@pytest.mark.parametrize("slug", list(Slug))
def test_an_answer_for_openais_clients_says_the_same_in_their_words_too(slug: Slug) -> None:
    """Errors: `error.code` is the slug, `error.message` the detail; nothing else of the body changes."""
    fault = Problem(slug, Reason.INVALID_REQUEST, detail="Why not.")
    plain, told = (document(render(fault, request_id=RID, openai=openai)) for openai in (False, True))
    assert told.pop("error") == {"code": str(slug), "message": "Why not."}
    assert told == plain
    assert problem.document(fault, request_id=RID, openai=False) == plain


LASTING = {"gateway-misconfigured", "upstream-auth-failed", "upstream-not-found", "upstream-redirect"}
WAITS = {
    "membership-unavailable": 61,
    "upstream-rate-limited": 3600,
    "upstream-unavailable": 60.5,
    "rate-limited": 86_400,
}


@pytest.mark.parametrize("slug", list(Slug))
def test_whether_a_client_may_try_again_by_itself(slug: Slug) -> None:
    """OpenAI's clients try again within seconds, whatever longer wait they are told; then they are told no."""

    def told(*, openai: bool, retry_after: float | None) -> str | None:
        fault = Problem(slug, Reason.INVALID_REQUEST, retry_after=retry_after)
        return headers_of(render(fault, request_id=RID, openai=openai)).get("x-should-retry")

    for wait in (0, 60, 60.5, 86_400, None):
        assert told(openai=False, retry_after=wait) is None
    assert told(openai=True, retry_after=30) == ("false" if slug in LASTING else None)
    assert told(openai=True, retry_after=WAITS.get(slug, 31)) == "false"
    by_itself = told(openai=True, retry_after=None)
    assert by_itself == ("false" if slug in LASTING else None)


def test_t09_what_is_not_there_and_what_is_not_ones_own_read_alike() -> None:
    """T09: one 404 for both, with the true reason for the record alone."""
    answers = {
        render(NotFound(reason), request_id=RID)
        for reason in (Reason.OPERATION_NOT_ALLOWED, Reason.INPUT_NOT_ALLOWED)
    }
    assert [answer.status for answer in answers] == [404]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_t16_a_method_is_one_of_the_allowed_or_405_with_allow(method: str) -> None:
    """T16: the table is exact, in case too."""
    check_method(method, ("GET", "POST"))
    for other in (method.lower(), "PUT", ""):
        with pytest.raises(AskedWrongly) as refused:
            check_method(other, ("GET", "POST"))
        assert refused.value.headers == (("allow", "GET, POST"),)


@pytest.mark.parametrize("reason", sorted(set(Reason) - ALLOWS))
def test_i01_the_true_reason_is_never_told(reason: Reason) -> None:
    """Design, "Answers": the caller never reads the reason, only the slug that several reasons share."""
    slug = OF_REASON[reason]
    told, other = (
        render(Problem(slug, why, retry_after=1), request_id=RID) for why in (reason, Reason.MEMBER)
    )
    assert told == other


@pytest.mark.parametrize(
    ("slug", "challenge"),
    [
        (Slug.AUTHENTICATION_REQUIRED, 'Bearer realm="groupgate"'),
        (Slug.PRINCIPAL_INVALID, 'Bearer realm="groupgate", error="invalid_token"'),
    ],
)
def test_a_401_carries_its_challenge(slug: Slug, challenge: str) -> None:
    """RFC 6750, section 3.1: an error code only where something was presented."""
    assert (
        headers_of(render(Problem(slug, Reason.PRINCIPAL_MISSING), request_id=RID))["www-authenticate"]
        == challenge
    )


@pytest.mark.parametrize("slug", [slug for slug in Slug if STATUSES[slug] != 401])
def test_i04_no_other_answer_has_a_challenge(slug: Slug) -> None:
    """I04: only the gate's own 401 challenges."""
    assert "www-authenticate" not in headers_of(render(Problem(slug, Reason.INVALID_REQUEST), request_id=RID))


@pytest.mark.parametrize(
    ("slug", "seconds"),
    [
        ("gateway-misconfigured", "60"),
        ("membership-unavailable", "10"),
        ("verification-unavailable", "30"),
        ("upstream-credential-unavailable", "10"),
        ("limits-unavailable", "5"),
        ("audit-unavailable", "5"),
    ],
)
def test_what_passes_by_itself_tells_when_to_come_again(slug: str, seconds: str) -> None:
    """Threats, section 6: each 503 of the gate's own carries Retry-After."""
    assert (
        headers_of(render(Problem(Slug(slug), Reason.OVERLOADED), request_id=RID))["retry-after"] == seconds
    )


def test_every_503_of_the_gate_itself_has_a_retry_after() -> None:
    """Only the model's own 503 may be without one."""
    own = {slug for slug, row in TABLE.items() if row.status == 503} - {Slug.UPSTREAM_UNAVAILABLE}
    assert set(DEFAULT_RETRY_AFTER) | {Slug.OVERLOADED} == own


def test_whom_an_overload_turned_away_comes_back_spread_out() -> None:
    """Threats, section 6: `overloaded` tells 1 to 5 seconds, not the same to all."""
    told = {
        headers_of(render(Undecidable(Reason.OVERLOADED), request_id=RID))["retry-after"] for _ in range(200)
    }
    assert told == {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize(
    ("asked", "told"), [(0, "0"), (0.01, "1"), (29.5, "30"), (86_400, "86400"), (1e12, "86400"), (-3, "0")]
)
def test_a_better_number_wins_over_the_default(asked: float, told: str) -> None:
    """A wait that is known is told, in whole seconds, within a day."""
    reply = render(Undecidable(Reason.GRAPH_UNAVAILABLE, retry_after=asked), request_id=RID)
    assert headers_of(reply)["retry-after"] == told


@given(st.floats())
def test_p12_any_wait_becomes_seconds_within_a_day(seconds: float) -> None:
    """P12: whatever number comes, infinities and no number among them, the result lies in [0, 86,400]."""
    assert 0 <= problem.retry_after_seconds(seconds) <= MAX_RETRY_AFTER


def test_help_is_told_in_detail_and_nowhere_else() -> None:
    """Design, "Answers": the policy's help stands in `detail`; without it the 403 is the fixed one."""
    told = document(render(problem.forbidden(detail='Ask <b>Ann</b> \u2028\n"now".'), request_id=RID))
    plain = document(render(problem.forbidden(), request_id=RID))
    assert told["detail"] == 'Ask <b>Ann</b> \u2028\n"now".'
    assert {**told, "detail": plain["detail"]} == plain


@pytest.mark.parametrize(
    "reason", [Reason.PRINCIPAL_MISSING, Reason.TENANT_MISMATCH, Reason.PLATFORM_AUTH_OFF]
)
def test_who_is_not_known_is_401_or_503(reason: Reason) -> None:
    """S01: an unproven caller is 401; sign-in that is off is the gate's own fault, 503."""
    fault = Unauthenticated(reason)
    assert fault.status == (503 if reason is Reason.PLATFORM_AUTH_OFF else 401)


@pytest.mark.parametrize("reason", [r for r, s in OF_REASON.items() if STATUSES[s] == 503])
def test_what_cannot_be_decided_is_503(reason: Reason) -> None:
    """E05: no failure to decide has another status than 503."""
    assert Undecidable(reason).status == 503


def test_each_problem_keeps_its_own_headers_and_status() -> None:
    """An answer's extra headers come through once; an upstream status of its own replaces the row's."""
    wrong = render(AskedWrongly(Slug.METHOD_NOT_ALLOWED, headers=(("allow", "POST"),)), request_id=RID)
    assert headers_of(wrong)["allow"] == "POST"
    fault = UpstreamFault(Slug.UPSTREAM_REJECTED, outcome="upstream-422", upstream_status=422, status=422)
    assert document(render(fault, request_id=RID))["status"] == 422
    assert render(fault, request_id=RID).status == 422


def test_a_problems_text_for_logs_holds_codes_only() -> None:
    """R03: what a traceback shows of a problem is its slug and its reason."""
    assert str(problem.forbidden(detail="secret")) == "forbidden (not-member)"


def test_no_module_but_problem_knows_statuses_of_refusals() -> None:
    """Style, habit 5: no other module of the app writes a 401, 403, 405, 411, 413, 415 or 503 as a status."""
    shared = Path(problem.__file__).parent
    forward = shared / "backends" / "forward.py"  # reads the model's statuses
    for file in sorted(shared.rglob("*.py")):
        if file not in (Path(problem.__file__), forward):
            assert not re.search(r"status(_code)?=(4(0[135]|1[135])|503)\b", file.read_text()), file
