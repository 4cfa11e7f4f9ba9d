"""A good batch endpoint becomes what it says; what it does not say is on the safe side."""

from __future__ import annotations

from typing import get_args

import pytest

from shared import operations
from shared.backends.jobfields import SETTINGS
from shared.model import BatchTerms, Effect, JobTerms, Lifetimes, Route, Rule
from shared.places import parse
from shared.policy import hosts, loader
from shared.policy.jobvalues import JobSetting

ANALYSTS = "6f1b2c3d-0000-4000-8000-000000000001"
DATA = "https://contosodata.blob.core.windows.net"
WORKSPACE = (
    "/subscriptions/33333333-0000-4000-8000-000000000001/resourceGroups/ML"
    "/providers/Microsoft.MachineLearningServices/workspaces/Fraud_ws"
)
LAKE = (
    "/subscriptions/33333333-0000-4000-8000-000000000001/resourceGroups/ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/fraud-ws/datastores/lake/paths/in"
)
URL = "https://nightly.westeurope.inference.ml.azure.com/jobs"
SMALL = f"""
version = 1
groups.analysts = "{ANALYSTS}"
[hosts]
allow = ["hooks.contoso.com", "batch.contoso.com", "127.0.0.1", "::1"]
[endpoints.nightly]
kind = "batch"
url = "{URL}"
[[endpoints.nightly.rules]]
id = "staff"
effect = "allow"
groups = ["analysts"]
"""


def _route(text: str, *, allow_http: bool = False) -> Route:
    return loader.load(text.encode(), allow_http=allow_http).routes["endpoint", "nightly"]


def _terms(route: Route) -> BatchTerms:
    assert route.batch is not None
    return route.batch


def test_t10_what_a_batch_endpoint_does_not_write_is_not_allowed() -> None:
    """T10: the tables of defaults in docs/policy.md hold; a rule gives nothing, and one's own jobs alone."""
    assert _route(SMALL) == Route(
        target="endpoint",
        name="nightly",
        kind="batch",
        url=URL,
        scope="https://ml.azure.com/.default",
        operations=operations.BATCH,
        rules=(
            Rule(
                id="staff",
                effect=Effect.ALLOW,
                groups=frozenset({ANALYSTS}),
                deployments=frozenset(),
                job=JobTerms(
                    inputs=(),
                    outputs=(),
                    own_folder=True,
                    literals=frozenset(),
                    experiments=frozenset(),
                    computes=frozenset(),
                    settings=frozenset(),
                    see_all=False,
                    notify=None,
                ),
            ),
        ),
        lifetimes=Lifetimes(max_age=900, recheck_refused=60, outage_grace=0),
        timeout=60,
        max_body=64 * 1024,
        content_types=frozenset({"application/json"}),
        concurrency=256,
        relay_errors=True,
        help=None,
        groups=frozenset({ANALYSTS}),
        batch=BatchTerms(
            workspace=None, management="https://management.azure.com", job_timeout=86_400, running_jobs=10
        ),
    )


def test_what_a_batch_endpoint_writes_holds() -> None:
    """Every key of a batch endpoint reaches the route."""
    more = f"""
workspace = "{WORKSPACE}"
management = "https://management.usgovcloudapi.net/"
job-timeout = "30d"
running-jobs = 100
max-body = "1MiB"
timeout = "5s"
scope = "https://ml.azure.us/.default"
concurrency = 3
relay-errors = false
help = "Ask Zoë."
outage-grace = "1h"
"""
    route = _route(SMALL.replace("[[endpoints", f"{more}[[endpoints", 1))
    assert route.batch == BatchTerms(
        workspace=WORKSPACE,
        management="https://management.usgovcloudapi.net",
        job_timeout=30 * 86_400,
        running_jobs=100,
    )
    assert (route.max_body, route.timeout, route.scope) == (1024 * 1024, 5, "https://ml.azure.us/.default")
    assert (route.concurrency, route.relay_errors, route.help) == (3, False, "Ask Zoë.")
    assert route.lifetimes.outage_grace == 3600


def test_what_a_rule_writes_holds() -> None:
    """Every key of a rule reaches its terms; places are parsed."""
    more = f"""
deployments = ["blue"]
inputs = ["{DATA}/transactions/2024/", "{LAKE}"]
outputs = ["{DATA}/scores/"]
own-folder = false
literals = ["mode"]
experiments = ["Fraud nightly"]
computes = ["cpu-cluster"]
settings = ["miniBatchSize", "instanceCount"]
see = "all"
notify = "https://hooks.contoso.com/jobs"
"""
    (rule,) = _route(SMALL + more).rules
    assert rule.deployments == {"blue"}
    assert rule.job == JobTerms(
        inputs=(parse(f"{DATA}/transactions/2024/"), parse(LAKE)),
        outputs=(parse(f"{DATA}/scores/"),),
        own_folder=False,
        literals=frozenset({"mode"}),
        experiments=frozenset({"Fraud nightly"}),
        computes=frozenset({"cpu-cluster"}),
        settings=frozenset({"miniBatchSize", "instanceCount"}),
        see_all=True,
        notify="https://hooks.contoso.com/jobs",
    )


def test_a_deny_rule_has_no_terms() -> None:
    """A deny rule says nothing of jobs: it is for every one."""
    text = SMALL + '[[endpoints.nightly.rules]]\nid = "never"\neffect = "deny"\napp-roles = ["Leaver"]\n'
    assert [rule.job is None for rule in _route(text).rules] == [False, True]


@pytest.mark.parametrize(
    ("url", "management"),
    [
        ("https://n.westeurope.inference.ml.azure.com/jobs", "https://management.azure.com"),
        ("https://n.usgovvirginia.inference.ml.azure.us/jobs", "https://management.usgovcloudapi.net"),
        ("https://n.chinaeast2.inference.ml.azure.cn/jobs", "https://management.chinacloudapi.cn"),
        ("https://batch.contoso.com:8443/jobs", "https://management.azure.com"),
        ("http://127.0.0.1:9000/some/jobs", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/jobs", "http://[::1]:9000"),
    ],
)
def test_e11_jobs_are_cancelled_at_their_clouds_own_resource_manager(url: str, management: str) -> None:
    """E11: the token for Azure Resource Manager goes to that of the endpoint's cloud, or to a stand-in on this machine."""
    assert _terms(_route(SMALL.replace(URL, url), allow_http=True)).management == management


@pytest.mark.parametrize("host", ["management.azure.com", "management.chinacloudapi.cn"])
def test_e11_a_management_address_is_for_management_alone(host: str) -> None:
    """T01, E11: each service has its own hosts: Azure Resource Manager's take no jobs, and inference hosts cancel none."""
    address = f"https://{host}"
    assert hosts.url_fault(address, hosts.MANAGEMENT, allow_http=False, allowed=frozenset()) is None
    for service in (hosts.BATCH, hosts.ONLINE):
        assert hosts.url_fault(f"{address}/jobs", service, allow_http=False, allowed=frozenset()) is not None
    inference = URL.removesuffix("/jobs")
    assert hosts.url_fault(inference, hosts.MANAGEMENT, allow_http=False, allowed=frozenset()) is not None


def test_what_looks_like_a_slip_is_a_warning() -> None:
    """No workspace, and a rule whose jobs can read nothing, are told; a rule for seeing everybody's jobs needs no inputs."""
    watch = (
        '[[endpoints.nightly.rules]]\nid = "watch"\neffect = "allow"\ngroups = ["analysts"]\nsee = "all"\n'
    )
    warnings = loader.load((SMALL + watch).encode(), allow_http=False).warnings
    assert [warning.partition(", ")[0] for warning in warnings] == [
        "endpoints.nightly.workspace: is not given",
        'endpoints.nightly.rules: "staff" has no inputs: its jobs can read no data',
    ]
    inputs = f'inputs = ["{DATA}/transactions/"]\n'
    clean = (SMALL + inputs).replace("[[endpoints", f'workspace = "{WORKSPACE}"\n[[endpoints', 1)
    assert loader.load(clean.encode(), allow_http=False).warnings == ()


OTHER = f"""
[endpoints.weekly]
kind = "batch"
url = "{URL.replace("nightly", "weekly")}"
workspace = "{WORKSPACE}"
[[endpoints.weekly.rules]]
id = "v1.2"
effect = "allow"
groups = ["analysts"]
inputs = ["INPUT"]
"""


@pytest.mark.parametrize(
    ("output", "source", "said"),
    [
        (f"{DATA}/scores/", f"{DATA}/transactions/", None),
        (f"{DATA}/scores/", f"{DATA}/scores-old/", None),
        (f"{DATA}/scores/a/", f"{DATA}/scores/b/", None),
        (f"{DATA}/scores/", f"{LAKE}/", None),
        (f"{DATA}/scores/", f"{DATA}/scores/", "lies within"),
        (f"{DATA}/scores/june/", f"{DATA}/scores/june", "lies within"),
        (f"{DATA}/scores/june/", f"{DATA}/scores/", "lies within"),
        (f"{DATA}/scores/june/", f"{DATA}/june/", None),
        (f"{DATA}/scores/june/", f"{DATA}/scores/june/a/b.csv", "holds"),
        (f"{LAKE}/out/", f"{LAKE}/", "lies within"),
        (f"{LAKE}/", f"{LAKE}/out/", "holds"),
        (f"{DATA}/scores/", f"{DATA.replace('.blob.', '.dfs.')}/scores/june/", "holds"),
    ],
)
def test_t10_jobs_that_write_where_jobs_read_are_a_warning(
    output: str, source: str, said: str | None
) -> None:
    """T10: what one caller's job writes another's would read, at any batch endpoint; both places in the policy are named."""
    text = SMALL.replace("[[endpoints", f'workspace = "{WORKSPACE}"\n[[endpoints', 1)
    text += f'inputs = ["{DATA}/transactions/"]\noutputs = ["{DATA}/elsewhere/", "{output}"]\n'
    warnings = loader.load((text + OTHER.replace("INPUT", source)).encode(), allow_http=False).warnings
    place = "endpoints.nightly.rules.staff.outputs[1]"
    other = 'endpoints.weekly.rules."v1.2".inputs[0]'
    assert [warning.partition(";")[0] for warning in warnings] == (
        [f"{place}: {said} {other}"] if said else []
    )


def test_a_place_to_write_without_a_slash_is_a_warning() -> None:
    """Whoever means a file learns that it is taken for a folder; a container is one however it is written."""
    text = SMALL.replace("[[endpoints", f'workspace = "{WORKSPACE}"\n[[endpoints', 1)
    text += f'inputs = ["{DATA}/transactions/"]\noutputs = ["{DATA}/scores/", "{DATA}/scores-old/june.csv"]\n'
    assert loader.load(text.encode(), allow_http=False).warnings == (
        "endpoints.nightly.rules.staff.outputs[1]: is taken for a folder, in which jobs write; end it with a slash",
    )


def test_t10_what_a_policy_can_open_is_what_a_job_can_set() -> None:
    """T10: the closed table of settings is one, in the policy and where bodies are read."""
    assert set(get_args(JobSetting)) == SETTINGS
