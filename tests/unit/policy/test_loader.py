"""A good policy becomes what it says: names resolved to ids, defaults on the safe side of each effect."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from shared.model import Asked, Effect, Kind, Lifetimes, Limits, Rate, Route, Rule
from shared.policy import hosts, loader, routing

SAMPLE = Path(__file__).resolve().parents[3] / "policy.sample.toml"
ANALYSTS = "6f1b2c3d-0000-4000-8000-000000000001"
ENGINEERS = "6f1b2c3d-0000-4000-8000-000000000002"
CONTRACTORS = "6f1b2c3d-0000-4000-8000-000000000003"
JOB = "9a8b7c6d-0000-4000-8000-00000000000a"
URL = "https://fraud.westeurope.inference.ml.azure.com/score"
SMALL = f"""
version = 1
groups.analysts = "{ANALYSTS}"
[endpoints.fraud]
kind = "online"
url = "{URL}"
rules = [{{ id = "staff", effect = "allow", groups = ["analysts"] }}]
"""


def _route(text: str) -> Route:
    return loader.load(text.encode(), allow_http=False).routes["endpoint", "fraud"]


def test_the_sample_is_a_policy_without_faults_and_warnings() -> None:
    """policy.sample.toml, which people copy, loads clean and says what the documentation says of it."""
    policy = loader.load_file(SAMPLE, allow_http=False)
    assert policy.warnings == ()
    never, analysts, nightly = policy.routes["endpoint", "fraud"].rules
    assert never == Rule(id="contractors-never", effect=Effect.DENY, groups=frozenset({CONTRACTORS}))
    assert analysts == Rule(
        id="analysts",
        effect=Effect.ALLOW,
        groups=frozenset({ANALYSTS, ENGINEERS}),
        callers=frozenset({Kind.USER, Kind.APP}),
        deployments=frozenset({"blue"}),
    )
    assert nightly == Rule(
        id="nightly-job",
        effect=Effect.ALLOW,
        principals=frozenset({JOB}),
        app_roles=frozenset({"Score.All"}),
        callers=frozenset({Kind.APP}),
        deployments=frozenset(),
    )


def test_the_samples_batch_endpoint_is_in_order_once_it_is_there() -> None:
    """Without the marks before its lines it loads clean, and lets analysts read and write where it says."""
    text, _, marked = SAMPLE.read_text("utf-8").partition("# [endpoints.nightly]")
    lines = [
        line.removeprefix("#").removeprefix(" ") for line in f"# [endpoints.nightly]{marked}".splitlines()
    ]
    policy = loader.load("\n".join([text, *lines]).encode(), allow_http=False)
    assert policy.warnings == ()
    (rule,) = policy.routes["endpoint", "nightly"].rules
    assert rule.groups == {ANALYSTS}
    assert rule.job is not None
    assert [len(places) for places in (rule.job.inputs, rule.job.outputs)] == [1, 1]


def test_the_samples_model_counts_without_redis() -> None:
    """The sample is served as it stands: its model's limits are for each instance, which needs no other service."""
    policy = loader.load_file(SAMPLE, allow_http=False, shared_counters=False)
    model = policy.routes["model", "gpt-4.1-mini"]
    assert (model.deployment, model.operations) == ("gpt-41-mini", {"chat/completions", "embeddings"})
    (engineers,) = model.rules
    assert engineers.groups == {ENGINEERS}
    assert engineers.limits == Limits(
        requests=Rate(amount=60, period=60), tokens=Rate(amount=100_000, period=3600), scope="instance"
    )


def test_what_an_endpoint_does_not_write_has_the_documented_default() -> None:
    """The table of defaults in docs/policy.md holds."""
    assert _route(SMALL) == Route(
        target="endpoint",
        name="fraud",
        kind="online",
        url=URL,
        scope="https://ml.azure.com/.default",
        operations=frozenset({"score", "swagger"}),
        rules=(
            Rule(
                id="staff",
                effect=Effect.ALLOW,
                groups=frozenset({ANALYSTS}),
                deployments=frozenset(),
            ),
        ),
        lifetimes=Lifetimes(max_age=900, recheck_refused=60, outage_grace=0),
        timeout=60,
        max_body=4 * 1024 * 1024,
        content_types=frozenset({"application/json"}),
        concurrency=256,
        relay_errors=True,
        help=None,
        groups=frozenset({ANALYSTS}),
    )


def test_what_an_endpoint_writes_holds() -> None:
    """Every key of an endpoint reaches the route."""
    more = """
timeout = "225s"
max-body = "100MiB"
content-types = ["text/csv", "application/json"]
scope = "https://ml.azure.us//.default"
concurrency = 10000
relay-errors = false
help = "Ask Zoë."
max-membership-age = "500ms"
recheck-refused = "0s"
outage-grace = "2h"
"""
    route = _route(SMALL.replace("rules =", f"{more}rules ="))
    assert route.timeout == 225
    assert route.max_body == 100 * 1024 * 1024
    assert route.content_types == {"text/csv", "application/json"}
    assert route.scope == "https://ml.azure.us//.default"
    assert route.concurrency == 10_000
    assert route.relay_errors is False
    assert route.help == "Ask Zoë."
    assert route.lifetimes == Lifetimes(max_age=0.5, recheck_refused=0, outage_grace=7200)


def test_an_endpoint_s_lifetime_replaces_the_default_s() -> None:
    """[defaults] holds for every endpoint that does not write its own, key by key."""
    table = '[defaults]\nmax-membership-age = "5m"\noutage-grace = "1h"\n'
    text = SMALL.replace("[endpoints.fraud]", table + "[endpoints.fraud]\nmax-membership-age = '1m'")
    assert _route(text).lifetimes == Lifetimes(max_age=60, recheck_refused=60, outage_grace=3600)


@pytest.mark.parametrize(
    ("written", "seconds"), [("1s", 1), ("1500ms", 1.5), ("2m", 120), ("1h", 3600), ("1d", 86_400), ("0m", 0)]
)
def test_durations_are_seconds(written: str, seconds: float) -> None:
    """ms, s, m, h and d are what they are."""
    assert (
        _route(SMALL.replace("rules =", f'outage-grace = "{written}"\nrules =')).lifetimes.outage_grace
        == seconds
    )


@pytest.mark.parametrize(("written", "size"), [("1B", 1), ("3KiB", 3072), ("2MiB", 2_097_152)])
def test_sizes_are_bytes(written: str, size: int) -> None:
    """B, KiB and MiB are powers of 1024."""
    assert _route(SMALL.replace("rules =", f'max-body = "{written}"\nrules =')).max_body == size


def test_the_digest_is_that_of_the_file_s_bytes() -> None:
    """Every audit record tells which policy it was: SHA-256 of the bytes, so that `sha256sum policy.toml` says the same."""
    assert loader.load(SMALL.encode(), allow_http=False).digest == hashlib.sha256(SMALL.encode()).hexdigest()
    assert (
        loader.load((SMALL + "# \n").encode(), allow_http=False).digest
        != hashlib.sha256(SMALL.encode()).hexdigest()
    )


def test_a_policy_cannot_be_changed_after_loading() -> None:
    """Routes and groups are read-only views; routes and rules are frozen."""
    policy = loader.load(SMALL.encode(), allow_http=False)
    with pytest.raises(TypeError):
        policy.routes["endpoint", "other"] = policy.routes["endpoint", "fraud"]  # type: ignore[index]
    with pytest.raises(TypeError):
        policy.groups[ENGINEERS] = "engineers"  # type: ignore[index]
    with pytest.raises(AttributeError):
        policy.routes["endpoint", "fraud"].rules[0].effect = Effect.DENY  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            SMALL.replace("groups.analysts", f'groups.spare = "{ENGINEERS}"\ngroups.analysts'),
            "groups.spare: no rule uses this group",
            id="a group that no rule uses",
        ),
        pytest.param(
            SMALL.replace("rules =", 'max-membership-age = "15d"\nrules ='),
            "endpoints.fraud.max-membership-age: is longer than a day",
            id="days where minutes were meant",
        ),
        pytest.param(
            SMALL.replace("[endpoints", '[defaults]\noutage-grace = "25h"\n[endpoints'),
            "defaults.outage-grace: is longer than a day",
            id="a grace of more than a day",
        ),
        pytest.param(
            SMALL.replace(
                "rules = [",
                f"rules = [{{ id = 'no', effect = 'deny', groups = ['analysts'] }}, "
                f"{{ id = 'job', effect = 'allow', principals = ['{JOB}'] }},",
            ),
            'endpoints.fraud.rules: "staff" allows nobody',
            id="a rule that allows only what is denied",
        ),
    ],
)
def test_what_looks_like_a_slip_is_a_warning_and_no_fault(text: str, words: str) -> None:
    """A warning names its place; the policy is served."""
    (warning,) = loader.load(text.encode(), allow_http=False).warnings
    assert warning.startswith(words)


def test_a_quoted_name_may_have_dots() -> None:
    """An endpoint's name with dots is quoted in the file and asked for as it is."""
    text = SMALL.replace("endpoints.fraud", 'endpoints."fraud.v2"')
    policy = loader.load(text.encode(), allow_http=False)
    assert list(policy.routes) == [("endpoint", "fraud.v2")]


def test_matching_is_by_target_and_exact_name() -> None:
    """A route is found by its whole name, case included, among its own kind of target only."""
    policy = loader.load(SMALL.encode(), allow_http=False)
    found = routing.match(policy, Asked(target="endpoint", name="fraud", operation="score"))
    assert found is policy.routes["endpoint", "fraud"]
    for target, name in (("endpoint", "Fraud"), ("endpoint", "fraud "), ("endpoint", ""), ("model", "fraud")):
        assert routing.match(policy, Asked(target=target, name=name, operation="score")) is None  # type: ignore[arg-type]


MODEL = f"""
version = 1
groups.analysts = "{ANALYSTS}"
[models."gpt-4.1"]
kind = "openai"
url = "https://contoso.openai.azure.com"
rules = [{{ id = "staff", effect = "allow", groups = ["analysts"] }}]
"""


def _model(text: str) -> Route:
    return loader.load(text.encode(), allow_http=False).routes["model", "gpt-4.1"]


def test_what_a_model_does_not_write_has_the_documented_default() -> None:
    """The table of defaults in docs/models.md holds: its own name at the resource, chats and embeddings, no fields."""
    assert _model(MODEL) == Route(
        target="model",
        name="gpt-4.1",
        kind="openai",
        url="https://contoso.openai.azure.com",
        scope="https://ai.azure.com/.default",
        operations=frozenset({"chat/completions", "embeddings"}),
        rules=(Rule(id="staff", effect=Effect.ALLOW, groups=frozenset({ANALYSTS})),),
        lifetimes=Lifetimes(max_age=900, recheck_refused=60, outage_grace=0),
        timeout=60,
        max_body=4 * 1024 * 1024,
        content_types=frozenset(),
        concurrency=256,
        relay_errors=True,
        help=None,
        groups=frozenset({ANALYSTS}),
        deployment="gpt-4.1",
        fields=frozenset(),
        default_max_tokens=None,
    )


def test_what_a_model_writes_holds() -> None:
    """Every key of a model reaches the route."""
    more = """
deployment = "gpt-41-mini"
scope = "https://cognitiveservices.azure.com/.default"
operations = ["responses", "audio/speech"]
fields = ["store", "tools.web_search", "my_own_field"]
default-max-tokens = 1000000
timeout = "225s"
max-body = "1MiB"
concurrency = 1
relay-errors = false
help = "Ask Zoë."
max-membership-age = "1s"
recheck-refused = "2s"
outage-grace = "3s"
"""
    route = _model(MODEL.replace("rules =", f"{more}rules ="))
    assert (route.deployment, route.scope) == ("gpt-41-mini", "https://cognitiveservices.azure.com/.default")
    assert route.operations == {
        "responses",
        "responses/retrieve",
        "responses/delete",
        "responses/cancel",
        "audio/speech",
    }
    assert route.fields == {"store", "tools.web_search", "my_own_field"}
    assert (route.default_max_tokens, route.timeout, route.max_body) == (1_000_000, 225, 1024 * 1024)
    assert (route.concurrency, route.relay_errors, route.help) == (1, False, "Ask Zoë.")
    assert route.lifetimes == Lifetimes(max_age=1, recheck_refused=2, outage_grace=3)


def test_a_models_lifetimes_are_those_of_the_defaults_where_it_has_none() -> None:
    """[defaults] holds for models as for endpoints."""
    text = MODEL.replace("[models", '[defaults]\noutage-grace = "1h"\n[models')
    assert _model(text).lifetimes == Lifetimes(max_age=900, recheck_refused=60, outage_grace=3600)


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ('limits.requests = "60/minute"', Limits(requests=Rate(amount=60, period=60))),
        ('limits.tokens = "100000/hour"', Limits(tokens=Rate(amount=100_000, period=3600))),
        ('limits = { requests = "1/second", tokens = "999999999/day" }', Limits(requests=Rate(amount=1, period=1), tokens=Rate(amount=999_999_999, period=86_400))),
        ('limits = { requests = "1/day", per = "rule", scope = "instance" }', Limits(requests=Rate(amount=1, period=86_400), per="rule", scope="instance")),
        ('limits = { requests = "1/day", fail = "local" }', Limits(requests=Rate(amount=1, period=86_400), fail="local")),
        ('limits = { requests = "1/day" }, per = "rule", fail = "local"', Limits(requests=Rate(amount=1, period=86_400), per="rule", fail="local")),
        ('limits = { requests = "1/day" }, scope = "instance"', Limits(requests=Rate(amount=1, period=86_400), scope="instance")),
    ],
)  # fmt: skip
def test_what_a_rule_gives_away_is_what_it_writes(written: str, limits: Limits) -> None:
    """Design 1: for each caller, counted together and refused without Redis, unless the rule says else, in or beside `limits`."""
    (rule,) = _model(MODEL.replace('["analysts"] }', f'["analysts"], {written} }}')).rules
    assert rule.limits == limits
    assert rule.deployments is None


def test_an_endpoint_and_a_model_may_have_one_name() -> None:
    """They are asked for at different addresses."""
    text = (
        SMALL
        + MODEL.partition("\n[models")[1]
        + MODEL.partition("\n[models")[2].replace('"gpt-4.1"', "fraud")
    )
    routes = loader.load(text.encode(), allow_http=False).routes
    assert sorted(routes) == [("endpoint", "fraud"), ("model", "fraud")]
    assert routes["model", "fraud"].deployment == "fraud"


def test_slips_at_models_are_warnings_too() -> None:
    """A grace of days, and a rule that allows only what is denied, are told at their place."""
    text = MODEL.replace(
        "rules = [",
        f"outage-grace = '2d'\nrules = [{{ id = 'no', effect = 'deny', groups = ['analysts'] }}, {{ id = 'job', effect = 'allow', principals = ['{JOB}'] }},",
    )
    warnings = loader.load(text.encode(), allow_http=False).warnings
    assert [warning.partition(": ")[0] for warning in warnings] == [
        'models."gpt-4.1".outage-grace',
        'models."gpt-4.1".rules',
    ]


@pytest.mark.parametrize(
    "host",
    ["contoso.openai.azure.com", "contoso.services.ai.azure.com", "contoso.cognitiveservices.azure.us"],
)
def test_e11_a_host_of_models_is_known_for_models_alone(host: str) -> None:
    """T01, E11: each service has its own hosts, so that a token for one is never sent to the other."""
    assert hosts.url_fault(f"https://{host}", hosts.RESOURCE, allow_http=False, allowed=frozenset()) is None
    wrong = hosts.url_fault(f"https://{host}/score", hosts.ONLINE, allow_http=False, allowed=frozenset())
    assert wrong is not None
    assert "no Azure inference host" in wrong
    assert (
        hosts.url_fault(f"https://{host}/score", hosts.RESOURCE, allow_http=False, allowed=frozenset())
        is not None
    )
