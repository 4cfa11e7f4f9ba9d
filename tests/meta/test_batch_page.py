"""docs/batch.md says what the code does: its tables, its examples, and what it tells people to run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from shared.audit.job import JobRecord
from shared.backends import idempotency, jobbody, jobfields, jobview
from shared.job import FINAL, Progress
from shared.jobs import answers, attempts, azureml, notify, orchestrator, steps
from shared.places import parse, text_of
from shared.policy.loader import load
from shared.policy.tables import OF_BATCH_ENDPOINTS, OF_BATCH_RULES
from shared.policy.terms import misfit
from shared.problem import TABLE, Slug
from shared.surface import ADDRESSES
from tests.fakes import FakeAnswer, FakeClock, FakeTransport
from tests.jobfakes import an_intent
from tests.meta import markdown, repository

PAGE = repository.read("docs/batch.md")
SPANS = set(markdown.code_spans(PAGE))
NOW = FakeClock().time()


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def after(diff: str) -> str:
    """Return what a diff leads to."""
    return "".join(line[1:] + "\n" for line in diff.splitlines() if not line.startswith("-"))


def names(column: str) -> list[str]:
    """Return the inline code in the first column, headed `column`, of all rows."""
    return [name for row in markdown.table(PAGE, column) for name in markdown.code_spans(row[column])]


JSON = [json.loads(block) for block in blocks("json")]
(BODY,) = [block for block in blocks("json") if "InputData" in block]
(TOLD,) = [one for one in JSON if one.get("type") == notify.EVENT]
(RECORD,) = [one for one in JSON if one.get("event") == "job"]


def body_of(key: str, example: str) -> dict[str, Any]:
    """Return the `properties` that hold one row's example."""
    top, _, member = key.partition(".")
    return {top: {member: json.loads(example)} if member else json.loads(example)}


def test_the_table_of_the_body_has_every_key_that_a_job_may_hold() -> None:
    """No key is missing and none is there that the gate refuses."""
    rows = markdown.table(PAGE, "in `properties`")
    told = [name for row in rows for name in markdown.code_spans(row["in `properties`"])]
    labels = {"properties.experimentName", "compute.target", f"compute.{jobfields.COUNT}"}
    assert set(told) == {"InputData", "OutputData", *labels, *(jobfields.SETTINGS - {jobfields.COUNT})}
    assert {name.partition(".")[0] for name in told} == {"InputData", "OutputData", *jobfields.FURTHER}


def test_every_example_in_the_table_of_the_body_is_taken() -> None:
    """The examples together are one body that the gate reads, and each needs what its row says."""
    rows = markdown.table(PAGE, "in `properties`")
    properties: dict[str, Any] = {}
    for row in rows:
        for name, value in body_of(row["in `properties`"].strip("`"), row["example"].strip("`")).items():
            properties.setdefault(name, {}).update(value) if isinstance(value, dict) else properties.update(
                {name: value}
            )
    wanted = jobbody.read(json.dumps({"properties": properties}).encode()).wanted
    needed = {name for row in rows for name in markdown.code_spans(row["needs in the rule"])}
    assert {"inputs", "outputs", "experiments", "computes", "settings"} <= needed
    assert all((wanted.inputs, wanted.outputs, wanted.experiments, wanted.computes))
    assert {name for _, name in wanted.settings} == jobfields.SETTINGS
    settings = {
        row["in `properties`"].strip("`").rpartition(".")[2]
        for row in rows
        if row["needs in the rule"] == "`settings`"
    }
    assert settings == jobfields.SETTINGS


def test_the_bounds_of_the_body_are_told() -> None:
    """Numbers that a caller runs into stand on the page as they are in the code."""
    assert f"up to {jobbody.MAX_NAMED} inputs" in PAGE
    assert f"up to {jobbody.MAX_NAMED} outputs" in PAGE
    assert f"at most {jobbody.MAX_LITERAL:,} characters" in PAGE
    assert f"at most\n{answers.MOST_OUTPUT:,} characters" in PAGE


def test_the_job_of_the_example_is_given_by_the_policy_of_the_example() -> None:
    """What `job.json` asks for is what the policy on its page lets the analysts have."""
    policies = re.findall(
        r"^```toml\n(version = 1\n.*?)^```$", repository.read("docs/policy.md"), re.MULTILINE | re.DOTALL
    )
    routes = [route for text in policies for route in load(text.encode(), allow_http=False).routes.values()]
    (route,) = [route for route in routes if route.kind == "batch"]
    (terms,) = [rule.job for rule in route.rules if rule.id == "analysts"]
    assert terms is not None
    assert misfit(terms, jobbody.read(BODY.encode()).wanted) is None


def test_the_example_of_each_place_is_written_in_its_one_spelling() -> None:
    """A policy's author may copy them."""
    examples = [row["example"].strip("`") for row in markdown.table(PAGE, "form")]
    assert [text_of(parse(example)) for example in examples] == examples
    assert {parse(example).kind for example in examples} == {"storage", "datastore", "data"}


def test_the_statuses_that_are_final_are_told() -> None:
    """The table's final words are the code's; those that the gate itself writes are among the rest."""
    rows = markdown.table(PAGE, "status")
    final = {name for row in rows if row.get("final") == "yes" for name in markdown.code_spans(row["status"])}
    going = {name for row in rows if row.get("final") == "no" for name in markdown.code_spans(row["status"])}
    assert final == FINAL
    assert going >= {Progress().status, jobview.CANCEL_REQUESTED, answers.UNKNOWN}
    (example,) = [
        ast.literal_eval(node.value)
        for diff in blocks("diff")
        if "import requests" in diff
        for node in ast.walk(ast.parse(after(diff)))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "ENDED"
    ]
    assert example == FINAL


def slugs_of_jobs() -> set[str]:
    """Return the slugs that the code of jobs names: each may become a job's code."""
    found: set[str] = set()
    for path in repository.files("shared/jobs/*.py"):
        for node in ast.walk(ast.parse(repository.read(path))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "Slug"
            ):
                found.add(Slug[node.attr])
    return found


def test_every_code_of_a_job_is_explained_and_no_other() -> None:
    """What a job can say of itself stands in the table, and what stands there can be said."""
    own = {
        value
        for name, value in vars(steps).items()
        if name.isupper()
        and isinstance(value, str)
        and not value.startswith("groupgate_")
        and value != steps.WAKE
    } | {jobview.BROKEN}
    told = names("code")
    assert len(told) == len(set(told))
    assert own | slugs_of_jobs() <= set(told)
    literals = {"upstream-STATUS", "workspace-unknown", "job-unknown"}
    assert set(told) <= own | set(Slug) | literals
    source = repository.read("shared/jobs/azureml.py")
    assert all(f'"{one}"' in source for one in literals - {"upstream-STATUS"})
    assert 'f"upstream-{status}"' in source


def test_every_refusal_is_one_of_the_gates() -> None:
    """Status and slug of each row belong together, and those that only jobs have are there."""
    rows = [row for row in markdown.table(PAGE, "status") if "slug" in row]
    told = [(row["status"], slug) for row in rows for slug in markdown.code_spans(row["slug"])]
    assert [(status, str(TABLE[Slug(slug)].status)) for status, slug in told] == [
        (status, status) for status, _ in told
    ]
    assert {slug for _, slug in told} >= {
        Slug.JOB_NOT_FOUND,
        Slug.IDEMPOTENCY_CONFLICT,
        Slug.JOB_STORE_UNAVAILABLE,
        Slug.RATE_LIMITED,
    }


def test_every_address_of_batch_endpoints_is_told() -> None:
    """Each route with each of its methods stands in the table, but for HEAD."""
    told = set(names("address"))
    routes = [one for one in ADDRESSES.values() if one.durable]
    assert told == {
        f"{method} /{one.template}" for one in routes for method in one.methods or () if method != "HEAD"
    }


def test_every_key_of_the_policy_for_jobs_is_told() -> None:
    """An author who reads the page meets each key that only batch endpoints and their rules have."""
    words = {word for span in SPANS for word in re.findall(r"[a-z-]+", span)}
    assert words >= {*OF_BATCH_ENDPOINTS, *OF_BATCH_RULES}


def test_the_record_of_a_job_is_explained_field_by_field() -> None:
    """The example has the fields of a record, in order, and each is in the table."""
    fields = [*JobRecord.__struct_fields__, "seq", "previous"]
    assert list(RECORD) == fields
    msgspec.convert({name: RECORD[name] for name in JobRecord.__struct_fields__}, JobRecord)
    assert set(names("field")) == set(fields)


async def test_what_is_told_of_an_end_is_what_the_example_shows() -> None:
    """Body and signature of a real message: the example has its members, and the page's own check takes it, unaltered only."""
    transport = FakeTransport(FakeAnswer(status=204))
    notifier = notify.Notifier("s" * 32, transport=transport, clock=FakeClock(), allow_http=False)
    await notifier.tell(
        "https://hooks.contoso.com/jobs", an_intent(), Progress(status="Completed"), ended=NOW
    )
    (message,) = transport.sent
    told = json.loads(message["body"])
    assert list(told) == list(TOLD)
    assert list(told["data"]) == list(TOLD["data"])

    (source,) = blocks("python")
    page: dict[str, Any] = {}
    exec(compile(source, "docs/batch.md", "exec"), page)
    page["time"] = FakeClock()
    check = page["told_by_the_gate"]
    secret = notify.secret_for("s" * 32, "hooks.contoso.com")
    assert check(secret, message["headers"], message["body"])
    assert not check(secret, message["headers"], message["body"] + b" ")
    assert not check(notify.secret_for("s" * 32, "other.contoso.com"), message["headers"], message["body"])
    page["time"] = FakeClock(wall=NOW + 301)
    assert not check(secret, message["headers"], message["body"])


def test_before_and_after_can_be_run() -> None:
    """Each diff leads to what a shell or Python can read, and changes nothing but the address and the token's scope."""
    for diff in blocks("diff"):
        text = after(diff)
        if "import requests" in diff:
            compile(text, "docs/batch.md", "exec")
        else:
            assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
        changed = [re.match(r"[+-](\w+)", line) for line in diff.splitlines() if line[:1] in ("+", "-")]
        assert {found[1] for found in changed if found} <= {"JOBS", "SCOPE", "TOKEN"}
        assert all(changed)


class Requests:
    """Stands in for the package: gives the answers in turn, and keeps what was sent."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.sent: list[dict[str, Any]] = []

    def request(self, method: str, url: str, **more: Any) -> SimpleNamespace:
        """Give the next answer."""
        self.sent.append({"method": method, "url": url, **more})
        status, document = self.answers.pop(0)
        headers = {"Retry-After": "7", "Content-Type": "application/problem+json"}
        return SimpleNamespace(
            status_code=status, ok=status < 400, headers=headers, text="", json=lambda: document
        )


def played(requests: Requests, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Run the page's Python against these answers; give how long it waited each time."""
    (example,) = [after(diff) for diff in blocks("diff") if "import requests" in diff]
    (folder / "job.json").write_text(BODY)
    monkeypatch.chdir(folder)
    waited: list[int] = []
    token = SimpleNamespace(token="t")
    credential = SimpleNamespace(get_token=lambda scope: token)
    packages = {"requests": requests, "time": SimpleNamespace(sleep=waited.append)}
    packages["azure.identity"] = SimpleNamespace(DefaultAzureCredential=lambda: credential)
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
    exec(compile(example, "docs/batch.md", "exec"), {})
    return waited


def test_the_example_goes_on_over_503_and_429(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It sends the same body with the same key again after Retry-After, and follows the job to its end."""
    accepted = {"id": "/endpoints/nightly/jobs/a-b-c"}
    running, ended = ({"properties": {"status": status}} for status in ("Running", "Completed"))
    requests = Requests((503, {}), (429, {}), (202, accepted), (200, running), (200, ended))
    assert played(requests, tmp_path, monkeypatch) == [7, 7, 7]
    starts = requests.sent[:3]
    assert starts[0] == starts[1] == starts[2]
    assert starts[0]["json"] == json.loads(BODY)
    assert starts[0]["headers"]["Idempotency-Key"]
    assert [one["url"].rpartition("/")[2] for one in requests.sent[3:]] == ["a-b-c", "a-b-c"]
    assert capsys.readouterr().out.split() == ["Running", "Completed"]


def test_the_example_tells_why_it_was_refused_and_why_a_job_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The problem's detail of a refusal, and the code of a job that failed, are shown; neither passes for a success."""
    with pytest.raises(SystemExit, match="403: Ask Zoe"):
        played(Requests((403, {"detail": "Ask Zoe."})), tmp_path, monkeypatch)
    failed = {"properties": {"status": "Failed", "error": {"code": "forbidden"}}}
    with pytest.raises(SystemExit, match="without a result"):
        played(Requests((202, {"id": "x/a"}), (200, failed)), tmp_path, monkeypatch)
    assert capsys.readouterr().out.split() == ["Failed", "forbidden"]


def test_the_role_that_the_commands_make_has_the_actions_of_the_table_and_the_cancel() -> None:
    """A shell makes JSON of them, with every action once, below the workspace's own name."""
    (commands,) = [block for block in blocks("bash") if "role definition create" in block]
    az = 'az() { [ "$1 $2" = "role definition" ] && printf %s "$5"; true; }\nopenssl() { true; }\n'
    script = az + commands.partition("# 2.")[0]
    made = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    role = json.loads(made.stdout)
    below = "Microsoft.MachineLearningServices/workspaces/"
    told = [below + name for name in (*names("actions"), "jobs/cancel/action")]
    assert len(told) == 36
    assert sorted(role["Actions"]) == sorted(told)
    assert role["AssignableScopes"] == ["/subscriptions/SUBSCRIPTION/resourceGroups/ML-GROUP"]


def test_numbers_that_the_page_tells_in_words_are_those_of_the_code() -> None:
    """Half a minute, an hour, ten minutes and the like: after a change here the page is to be read again."""
    assert (attempts.PATIENCE, attempts.LONGEST_PATIENCE, attempts.BLIND) == (30, 3_600, 3)
    assert (orchestrator.SHORTEST, orchestrator.LONGEST, orchestrator.ROUNDS) == (2, 60, 10)
    assert orchestrator.CANCEL_BOUND == 600
    assert orchestrator.END_BOUND == 86_400
    assert orchestrator.NOTE_TIME.days == 6
    assert (azureml.AUTH_PAUSE, notify.DEADLINE, idempotency.LATER) == (60, 15, 30)
    hosting = repository.read("shared/hosting/jobs.py")
    assert "first_retry_interval_in_milliseconds=300_000, max_number_of_attempts=24" in hosting
