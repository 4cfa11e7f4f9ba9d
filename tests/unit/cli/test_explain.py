"""`groupgate explain`: the same decision as the gate's, with every step; exit 0 allow, 1 deny, 2 error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from local.directory import GATE_CLIENT, TENANT, Directory, contoso
from local.entra import Entra
from local.graph import Graph
from local.managed_identity import ManagedIdentity
from shared.cli.main import main
from shared.cli.question import Question, rule_on, settled
from shared.model import Asked, Membership, Wanted
from tests.fakes import ALICE, TERMS, FakeMemberships, a_membership, a_principal, a_rule
from tests.house import JobHouse, a_batch

POLICY = """
version = 1
[groups]
analysts = "{analysts}"
contractors = "{contractors}"
[endpoints.fraud]
kind = "online"
url = "https://fraud.westeurope.inference.ml.azure.com/score"
  [[endpoints.fraud.rules]]
  id = "contractors-never"
  effect = "deny"
  groups = ["contractors"]
  [[endpoints.fraud.rules]]
  id = "analysts"
  effect = "allow"
  groups = ["analysts"]
  deployments = ["blue"]
[models.gpt]
kind = "openai"
url = "https://contoso.openai.azure.com"
  [[models.gpt.rules]]
  id = "chatters"
  effect = "allow"
  groups = ["analysts"]
  limits = {{ requests = "1/day", scope = "instance" }}
[endpoints.churn]
kind = "batch"
url = "https://churn.westeurope.inference.ml.azure.com/jobs"
  [[endpoints.churn.rules]]
  id = "june"
  effect = "allow"
  groups = ["analysts"]
  inputs = ["https://contosodata.blob.core.windows.net/transactions/june/"]
  [[endpoints.churn.rules]]
  id = "all-year"
  effect = "allow"
  groups = ["analysts"]
  deployments = ["blue"]
  inputs = ["https://contosodata.blob.core.windows.net/transactions/"]
  outputs = ["https://contosodata.blob.core.windows.net/scores/"]
  [[endpoints.churn.rules]]
  id = "contractors-see"
  effect = "allow"
  groups = ["contractors"]
  see = "all"
"""
DATA = "https://contosodata.blob.core.windows.net/"


@pytest.fixture
def directory() -> Directory:
    return contoso()


@pytest.fixture
async def graph(
    directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Graph]:
    """A laptop's environment: a policy, and stand-ins for Entra, the managed identity and Graph."""
    ids = {"analysts": directory.groups["fraud-analysts"], "contractors": directory.groups["contractors"]}
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(**ids))
    async with (
        Entra(directory) as entra,
        Graph(directory, entra) as graph,
        ManagedIdentity(entra, directory.apps["gate"]) as identity,
    ):
        settings = {
            "GROUPGATE_POLICY": str(policy),
            "GROUPGATE_TENANT_ID": TENANT,
            "GROUPGATE_AUTHORITY": entra.url,
            "GROUPGATE_GRAPH_URL": graph.url,
            "GROUPGATE_ALLOW_HTTP": "true",
            "GROUPGATE_JOBS": "on",
        } | identity.environment
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield graph


async def explain(*arguments: str) -> int:
    """Run the command in a thread of its own: it runs an event loop itself."""
    return await asyncio.to_thread(main, ["explain", *arguments, "--endpoint", "fraud"])


def header_json(directory: Directory, who: str, **changed: str | None) -> dict[str, Any]:
    """Return the JSON that App Service Authentication would put into the header, undated unless said."""
    person = directory.people[who]
    claims = {"tid": TENANT, "oid": person.oid, "scp": "user_impersonation", **changed}
    return {"auth_typ": "aad", "claims": [{"typ": k, "val": v} for k, v in claims.items() if v is not None]}


@pytest.fixture
def principal(directory: Directory, tmp_path: Path) -> Callable[..., str]:
    """Write a principal file for somebody and return its path."""

    def write(who: str, **changed: str | None) -> str:
        path = tmp_path / "principal.json"
        path.write_text(json.dumps(header_json(directory, who, **changed)))
        return str(path)

    return write


async def test_a_contractor_is_denied_by_the_deny_rule(
    graph: Graph, principal: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1; the rule that denies is named, and each rule tried is a line."""
    assert await explain(principal("erin")) == 1
    out = capsys.readouterr().out
    assert "rule        deny  contractors-never: matches (deny-rule)" in out
    assert "rule        allow analysts: matches (member)" in out
    assert "decision    deny by rule contractors-never: deny-rule" in out


async def test_a_user_by_object_id_is_asked_about_at_graph(
    graph: Graph, directory: Directory, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--user` has no claims, so every step rests on Graph; exit 0 with the proof's source."""
    oid = directory.people["alice"].oid
    assert await explain("--user", oid.upper(), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["decision"], said["reason"], said["rule"]) == ("allow", "member", "analysts")
    assert {group["name"]: (group["standing"], group["source"]) for group in said["membership"]} == {
        "analysts": ("in", "graph"),
        "contractors": ("out", "graph"),
    }
    assert sum(graph.counts.values()) == 1


async def test_an_outsider_is_not_a_member(
    graph: Graph, principal: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1; absence from the claims proves nothing, Graph's "out" does."""
    assert await explain(principal("bob")) == 1
    assert "decision    deny: not-member" in capsys.readouterr().out


async def test_e02_a_member_of_a_group_in_the_group_is_a_member(
    graph: Graph, directory: Directory, principal: Callable[..., str]
) -> None:
    """E02: membership is transitive, by Graph's own word; bob is in Marketing, and Marketing joins the analysts."""
    assert await explain(principal("bob")) == 1
    directory.add("fraud-analysts", "marketing")
    assert await explain(principal("bob")) == 0


async def test_a_deployment_that_no_rule_gives_is_denied(
    graph: Graph, principal: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The deployment is part of the question; `blue` is given, `green` is not."""
    assert await explain(principal("alice"), "--deployment", "green") == 1
    assert "decision    deny: deployment-not-allowed" in capsys.readouterr().out
    assert await explain(principal("alice"), "--deployment", "blue") == 0


@pytest.mark.parametrize(
    ("who", "arguments", "code", "decision", "reason", "rule"),
    [
        ("alice", ("--model", "gpt"), 0, "allow", "member", "chatters"),
        ("alice", ("--model", "gpt", "--operation", "embeddings"), 0, "allow", "member", "chatters"),
        ("alice", ("--model", "gpt", "--operation", "responses"), 1, "deny", "operation-not-allowed", None),
        ("alice", ("--model", "nosuch"), 1, "deny", "unknown-endpoint", None),
        ("alice", ("--model", "fraud"), 1, "deny", "unknown-endpoint", None),
        ("bob", ("--model", "gpt"), 1, "deny", "not-member", None),
    ],
)
async def test_a_model_is_explained_as_an_endpoint_is(
    who: str,
    arguments: tuple[str, ...],
    code: int,
    decision: str,
    reason: str,
    rule: str | None,
    graph: Graph,
    principal: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--model` and `--operation` ask what a client would; limits are counted by the gate alone, and decide nothing."""
    assert await asyncio.to_thread(main, ["explain", principal(who), *arguments, "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    assert (said["decision"], said["reason"], said["rule"]) == (decision, reason, rule)


JOBS = [
    pytest.param("alice", (), 0, "submit", "member", "june", None, id="a member may run jobs"),
    pytest.param("alice", ("--operation", "submit"), 0, "submit", "member", "june", None, id="by name"),
    pytest.param("bob", (), 1, "submit", "not-member", None, None, id="an outsider may not"),
    pytest.param("alice", ("--input", f"{DATA}transactions/june/1.csv"), 0, "submit", "member", "june", None, id="the first rule that has the input is on record"),
    pytest.param("alice", ("--input", f"{DATA}transactions/july/"), 0, "submit", "member", "all-year", None, id="the second, where the first has not"),
    pytest.param("alice", ("--input", f"{DATA}transactions/june/", "--output", f"{DATA}scores/"), 0, "submit", "member", "all-year", None, id="one rule has to give all of it"),
    pytest.param("alice", ("--input", f"{DATA}secrets/"), 1, "submit", "input-not-allowed", None, "properties.InputData.input1.Uri", id="an input that no rule has"),
    pytest.param("alice", ("--input", f"{DATA}transactions/june/", "--input", f"{DATA}secrets/"), 1, "submit", "input-not-allowed", None, "properties.InputData.input2.Uri", id="the second of two"),
    pytest.param("alice", ("--output", f"{DATA}transactions/june/"), 1, "submit", "input-not-allowed", None, "properties.OutputData.output1.Uri", id="an output among the inputs"),
    pytest.param("alice", ("--input", f"{DATA}transactions/?sig=x"), 1, "submit", "input-not-allowed", None, "properties.InputData.input1.Uri has a query, a signature (SAS) or a fragment; an address alone is taken.", id="a signed address"),
    pytest.param("bob", ("--input", f"{DATA}transactions/?sig=x"), 1, "submit", "not-member", None, None, id="an outsider's address is not looked at"),
    pytest.param("alice", ("--deployment", "blue"), 0, "submit", "member", "all-year", None, id="a deployment"),
    pytest.param("alice", ("--deployment", "green"), 1, "submit", "deployment-not-allowed", None, None, id="a deployment that no rule gives"),
    pytest.param("alice", ("--operation", "status"), 0, "status", "member", "june", None, id="own jobs"),
    pytest.param("alice", ("--operation", "status", "--all-jobs"), 1, "status", "job-owner-mismatch", None, None, id="jobs of others"),
    pytest.param("erin", ("--operation", "list", "--all-jobs"), 0, "list", "member", "contractors-see", None, id="jobs of others, by the rule that shows them"),
    pytest.param("erin", ("--operation", "cancel"), 0, "cancel", "member", "june", None, id="cancel"),
]  # fmt: skip


@pytest.mark.parametrize(("who", "arguments", "code", "operation", "reason", "rule", "place"), JOBS)
async def test_t10_a_job_is_explained_as_the_gate_decides_it(
    who: str,
    arguments: tuple[str, ...],
    code: int,
    operation: str,
    reason: str,
    rule: str | None,
    place: str | None,
    graph: Graph,
    principal: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """T10: `--input` and `--output` are read and decided as a job's own; the rule on record has all of it, or none is."""
    argv = ["explain", principal(who), "--endpoint", "churn", *arguments, "--json"]
    assert await asyncio.to_thread(main, argv) == code
    said = json.loads(capsys.readouterr().out)
    assert (said["operation"], said["reason"], said["rule"], said["place"]) == (
        f"jobs/{operation}",
        reason,
        rule,
        place,
    )
    assert said["everyones"] is ("--all-jobs" in arguments)


async def test_a_job_without_data_is_asked_for_as_the_gate_asks() -> None:
    """The gate reads the body before it decides on a job, so what claims alone allow is not yet the rule on record."""
    first = a_rule(job=TERMS)
    named = a_rule(id="named", groups=frozenset(), principals=frozenset({ALICE}), job=TERMS)
    house = JobHouse(a_batch(rules=(first, named)))
    asking = FakeMemberships(known=Membership(), ask=a_membership())
    question = Question(
        asked=Asked(target="endpoint", name="churn", operation="score"), operation=None, body=None
    )
    asked, ruling = await rule_on(
        question,
        settled(question, house.policy),
        policy=house.policy,
        memberships=asking,
        principal=a_principal(),
    )
    house.memberships.answers.update(known=Membership(), ask=a_membership())
    assert (await house.submit(b'{"properties":{}}')).status == 202
    (record,) = house.recorder.decisions
    assert ruling.decision.rule == record["decision"].rule == "analysts"
    assert asked.wanted == Wanted()


async def test_what_of_a_job_is_not_allowed_stands_in_the_text(
    graph: Graph, principal: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line names the place, and each rule tried says what came of it."""
    argv = ["explain", principal("alice"), "--endpoint", "churn", "--input", f"{DATA}secrets/"]
    assert await asyncio.to_thread(main, argv) == 1
    out = capsys.readouterr().out
    assert "rule        allow all-year: fails (input-not-allowed)" in out
    assert "decision    deny: input-not-allowed (properties.InputData.input1.Uri)" in out
    argv = ["explain", principal("alice"), "--endpoint", "churn", "--operation", "list", "--all-jobs"]
    assert await asyncio.to_thread(main, argv) == 1
    assert "asked       jobs/list churn (jobs of everyone)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "gpt", "--input", DATA), "go with --endpoint"),
        (("--model", "gpt", "--all-jobs"), "go with --endpoint"),
        (("--model", "gpt", "--operation", "status"), "go with --endpoint"),
        (("--model", "gpt", "--deployment", "blue"), "go with --endpoint"),
        (("--endpoint", "churn", "--operation", "embeddings"), "goes with --model"),
        (("--endpoint", "churn", "--operation", "list", "--input", DATA), "--operation submit"),
        (("--endpoint", "churn", "--operation", "status", "--deployment", "blue"), "--operation submit"),
        (("--endpoint", "churn", "--all-jobs"), "goes with --operation list"),
        (("--endpoint", "churn", "--operation", "submit", "--all-jobs"), "goes with --operation list"),
        (("--endpoint", "fraud", "--input", DATA), "go with a batch endpoint"),
        (("--endpoint", "churn", "--input", "\udcff"), "is not one JSON object"),
    ],
)
async def test_options_that_do_not_go_together_are_an_error_that_says_so(
    arguments: tuple[str, ...],
    words: str,
    graph: Graph,
    principal: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2, and nothing is decided: half a question has no answer."""
    assert await asyncio.to_thread(main, ["explain", principal("alice"), *arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, words in told.err) == ("", True)


async def test_a_job_at_an_endpoint_of_another_kind_is_denied(
    graph: Graph, principal: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An online endpoint has no jobs; what looks like an endpoint that is not there is asked as any other."""
    for name, reason in (("fraud", "operation-not-allowed"), ("nosuch", "unknown-endpoint")):
        argv = ["explain", principal("alice"), "--endpoint", name, "--operation", "status", "--json"]
        assert await asyncio.to_thread(main, argv) == 1
        assert json.loads(capsys.readouterr().out)["reason"] == reason


@pytest.mark.parametrize("target", [(), ("--endpoint", "fraud", "--model", "gpt")])
def test_one_thing_is_explained_at_a_time(target: tuple[str, ...]) -> None:
    """An endpoint or a model, and not both or neither."""
    with pytest.raises(SystemExit) as end:
        main(["explain", "--user", TENANT, *target])
    assert end.value.code == 2


async def test_graph_in_an_outage_is_an_error_and_the_steps_so_far_are_told(
    graph: Graph, principal: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, never a "no": what is unknown is said to be unknown."""
    graph.faults.set(status=503)
    assert await explain(principal("alice")) == 2
    out = capsys.readouterr().out
    assert "membership  unknown analysts" in out
    assert "rule        allow analysts: open (graph-unavailable)" in out
    assert "decision    error: graph-unavailable" in out


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"tid": "99999999-1111-4222-8333-444444444444"}, "tenant-mismatch"),
        ({"tid": None}, "tenant-mismatch"),
        ({"oid": "alice"}, "principal-malformed"),
        ({"iss": "https://sts.windows.net/99999999-1111-4222-8333-444444444444/"}, "issuer-mismatch"),
        ({"iat": "9999999999"}, "principal-malformed"),
        ({"iat": "yesterday"}, "principal-malformed"),
    ],
    ids=[
        "another tenant",
        "no tenant",
        "an object id that is none",
        "another issuer",
        "issued in the future",
        "issued at no time",
    ],
)
async def test_a_caller_who_would_be_refused_with_401_is_denied_for_that_reason(
    graph: Graph,
    principal: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str | None],
    reason: str,
) -> None:
    """The principal is checked by the gate's own functions, so it is refused for the gate's own reasons."""
    assert await explain(principal("alice", **changed), "--json") == 1
    assert json.loads(capsys.readouterr().out)["reason"] == reason


async def test_the_claims_of_a_token_do_as_well(
    graph: Graph, directory: Directory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file may hold a token's claims in place of the header's JSON."""
    path = tmp_path / "claims.json"
    person = directory.people["alice"]
    path.write_text(json.dumps({"tid": TENANT, "oid": person.oid, "scp": "x", "hasgroups": True}))
    assert await explain(str(path)) == 0
    assert "and a marker that groups were left out" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", '{"claims": 1}', '{"oid": "a", "oid": "b"}', "not JSON"])
async def test_a_file_that_is_neither_is_an_error_that_names_it(
    graph: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """Exit 2 and a sentence; nothing is decided on half-read input."""
    path = tmp_path / "principal.json"
    path.write_text(content)
    assert await explain(str(path)) == 2
    assert str(path) in capsys.readouterr().err


async def test_faults_of_the_configuration_are_told_all_at_once(
    graph: Graph,
    principal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2 with the places, as `groupgate check` says them."""
    monkeypatch.setenv("GROUPGATE_TENANT_ID", "contoso")
    monkeypatch.setenv("GROUPGATE_POLICY", "nowhere.toml")
    assert await explain(principal("alice")) == 2
    err = capsys.readouterr().err
    assert "GROUPGATE_TENANT_ID" in err
    assert "GROUPGATE_POLICY" in err


async def test_an_unknown_endpoint_is_denied_without_asking_anybody(
    graph: Graph, principal: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1: unknown-endpoint is the true reason, which a caller never reads."""
    code = await asyncio.to_thread(main, ["explain", principal("alice"), "--endpoint", "nosuch"])
    assert code == 1
    assert "decision    deny: unknown-endpoint" in capsys.readouterr().out
    assert sum(graph.counts.values()) == 0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "api://another"}, "audience-mismatch"),
        ({"exp": 1}, "token-invalid"),
        ({"iss": None}, "issuer-mismatch"),
        ({"ver": "1.0"}, "member"),
    ],
    ids=["another audience", "over", "no issuer", "a version that says nothing of another authority"],
)
async def test_the_claims_of_a_token_are_judged_as_a_token_where_the_gate_reads_tokens(
    graph: Graph,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    reason: str,
) -> None:
    """Audience, times and issuer count as in the gate; only the signature is taken for good."""
    monkeypatch.setenv("GROUPGATE_IDENTITY", "token")
    monkeypatch.setenv("GROUPGATE_AUDIENCE", GATE_CLIENT)
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(graph.entra.claims("alice", **changed)))
    assert await explain(str(path), "--json") == (0 if reason == "member" else 1)
    assert json.loads(capsys.readouterr().out)["reason"] == reason


async def test_a_principal_header_is_nothing_to_a_gate_that_reads_tokens(
    graph: Graph,
    principal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2: the gate ignores that header, so there is nothing to explain."""
    monkeypatch.setenv("GROUPGATE_IDENTITY", "token")
    monkeypatch.setenv("GROUPGATE_AUDIENCE", GATE_CLIENT)
    assert await explain(principal("alice")) == 2
    assert "reads tokens only" in capsys.readouterr().err


async def test_what_is_taken_for_granted_of_an_object_id_is_said(
    graph: Graph, directory: Directory, capsys: pytest.CaptureFixture[str]
) -> None:
    """An object id alone does not tell a guest from a member: the explanation says what it assumed."""
    await explain("--user", directory.people["alice"].oid)
    assert "user (taken for no guest)" in capsys.readouterr().out
