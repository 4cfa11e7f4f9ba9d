"""Bad batch endpoints (threats T10, T22): each is refused, with the place of the fault and what to do about it."""

from __future__ import annotations

import pytest

from shared.policy import loader
from shared.policy.loader import PolicyFaults

A = "6f1b2c3d-0000-4000-8000-000000000001"
B = "6f1b2c3d-0000-4000-8000-000000000002"
DATA = "https://contosodata.blob.core.windows.net"
WORKSPACE = (
    "/subscriptions/33333333-0000-4000-8000-000000000001/resourceGroups/ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/fraud-ws"
)
URL = "https://nightly.westeurope.inference.ml.azure.com/jobs"
HEAD = f'version = 1\n[groups]\nanalysts = "{A}"\n[hosts]\nallow = ["hooks.contoso.com", "127.0.0.1", "models.contoso.com"]\n'
KIND = '[endpoints.nightly]\nkind = "batch"\n'
ENDPOINT = f'{KIND}url = "{URL}"\nworkspace = "{WORKSPACE}"\n'
RULE = '[[endpoints.nightly.rules]]\nid = "staff"\neffect = "allow"\ngroups = ["analysts"]\n'
INPUTS = f'inputs = ["{DATA}/transactions/"]\n'
GOOD = HEAD + ENDPOINT + RULE + INPUTS
AT = "endpoints.nightly"
STAFF = f"{AT}.rules.staff"
NEVER = f"{AT}.rules.never"


def url(text: str) -> str:
    return f"{HEAD}{KIND}url = '{text}'\n{RULE}{INPUTS}"


def endpoint(text: str) -> str:
    return f"{HEAD}{ENDPOINT}{text}\n{RULE}{INPUTS}"


def workspace(text: str) -> str:
    return f"{HEAD}{KIND}url = '{URL}'\nworkspace = '{text}'\n{RULE}{INPUTS}"


def rule(text: str) -> str:
    return f"{GOOD}{text}\n"


def reads(text: str) -> str:
    """A rule with one input."""
    return f"{HEAD}{ENDPOINT}{RULE}inputs = ['{text}']\n"


def writes(text: str) -> str:
    """A rule with one output."""
    return rule(f"outputs = ['{text}']")


def deny(text: str) -> str:
    return f'{GOOD}[[endpoints.nightly.rules]]\nid = "never"\neffect = "deny"\nprincipals = ["{B}"]\n{text}\n'


BAD: dict[str, tuple[str, str, str]] = {
    # the kind and what goes with it
    "a kind in capitals is judged as what was meant": (
        endpoint("").replace('"batch"', '"Batch"'),
        f"{AT}.kind",
        '"online" or "batch"',
    ),
    "no kind": (
        endpoint("")
        .replace('kind = "batch"\n', "")
        .replace(f'workspace = "{WORKSPACE}"\n', "")
        .replace(INPUTS, ""),
        f"{AT}.kind",
        "is required",
    ),
    "no url": (HEAD + KIND + RULE + INPUTS, f"{AT}.url", "is required"),
    "no rules": (HEAD + ENDPOINT, f"{AT}.rules", "is required"),
    "a name with dots and no quotes": (
        HEAD + '[endpoints.nightly.v2]\nkind = "batch"\n',
        f"{AT}.v2",
        'must be quoted: "nightly.v2"',
    ),
    "a misspelt key": (endpoint('job-timeuot = "1h"'), f"{AT}.job-timeuot", "did you mean job-timeout?"),
    "media types": (
        endpoint('content-types = ["text/csv"]'),
        f"{AT}.content-types",
        "is application/json for every job",
    ),
    "limits": (endpoint("limits = {}"), f"{AT}.limits", "is for models"),
    "operations": (endpoint('operations = ["embeddings"]'), f"{AT}.operations", "is for models"),
    **{
        f"{key} outside of rules": (endpoint(f"{key} = []"), f"{AT}.{key}", "move it into a rule")
        for key in (
            "inputs",
            "outputs",
            "own-folder",
            "literals",
            "experiments",
            "computes",
            "settings",
            "see",
            "notify",
        )
    },
    # the url
    "T10: the scoring URI of an online endpoint": (
        url(URL.replace("/jobs", "/score")),
        f"{AT}.url",
        "ends in /jobs",
    ),
    "a url that ends in a slash": (url(URL + "/"), f"{AT}.url", "no slash at the end"),
    "a url with Jobs in capitals": (url(URL.replace("/jobs", "/Jobs")), f"{AT}.url", "ends in /jobs"),
    "a url with a job's name": (url(URL + "/x"), f"{AT}.url", "ends in /jobs"),
    "a url without a path": (url(URL.removesuffix("/jobs")), f"{AT}.url", "ends in /jobs"),
    "a url that only ends alike": (url(URL.replace("/jobs", "/myjobs")), f"{AT}.url", "ends in /jobs"),
    "T01: a url at a host that is not Azure's": (
        url("https://batch.example/jobs"),
        f"{AT}.url",
        "no Azure inference host",
    ),
    "T01: a url at Azure Resource Manager": (
        url("https://management.azure.com/jobs"),
        f"{AT}.url",
        "no Azure inference host",
    ),
    "a url with a query": (url(URL + "?api-version=1"), f"{AT}.url", "query"),
    "an http url": (url(URL.replace("https", "http")), f"{AT}.url", "must be https"),
    # workspace and management
    "a workspace by its name": (workspace("fraud-ws"), f"{AT}.workspace", "must be the workspace's id"),
    "an empty workspace": (workspace(""), f"{AT}.workspace", "must be the workspace's id"),
    "the id of an endpoint of the workspace": (
        workspace(f"{WORKSPACE}/batchEndpoints/nightly"),
        f"{AT}.workspace",
        "must be the workspace's id",
    ),
    "the address of a workspace": (
        workspace(f"https://management.azure.com{WORKSPACE}"),
        f"{AT}.workspace",
        "must be the workspace's id",
    ),
    "a workspace with dot segments": (
        workspace(WORKSPACE.replace("fraud-ws", "..")),
        f"{AT}.workspace",
        "must be the workspace's id",
    ),
    "a workspace with a query": (
        workspace(f"{WORKSPACE}?a=b"),
        f"{AT}.workspace",
        "must be the workspace's id",
    ),
    "a workspace with a line feed": (
        endpoint("").replace(f'"{WORKSPACE}"', f'"{WORKSPACE}\\n"'),
        f"{AT}.workspace",
        "must be the workspace's id",
    ),
    "a workspace in other letter case tells the right one": (
        workspace(WORKSPACE.lower().replace("fraud-ws", "fraud-WS/")),
        f"{AT}.workspace",
        f"must be written {WORKSPACE.replace('fraud-ws', 'fraud-WS')}",
    ),
    "E11: a management address that is not Azure's": (
        endpoint('management = "https://management.example"'),
        f"{AT}.management",
        "no host of Azure Resource Manager",
    ),
    "E11: a management address that only ends alike": (
        endpoint('management = "https://evilmanagement.azure.com"'),
        f"{AT}.management",
        "not in [hosts] allow",
    ),
    "E11: a host below the management address": (
        endpoint('management = "https://x.management.azure.com"'),
        f"{AT}.management",
        "not in [hosts] allow",
    ),
    "a management address with a path": (
        endpoint('management = "https://management.azure.com/subscriptions"'),
        f"{AT}.management",
        "with no path",
    ),
    "a management address by http": (
        endpoint('management = "http://management.azure.com"'),
        f"{AT}.management",
        "must be https",
    ),
    # numbers
    "a body beyond 1 MiB": (endpoint('max-body = "1025KiB"'), f"{AT}.max-body", "from 1B to 1MiB"),
    "a job that may run for less than a minute": (
        endpoint('job-timeout = "59s"'),
        f"{AT}.job-timeout",
        "at least 1m",
    ),
    "a job that may run for more than 30 days": (
        endpoint('job-timeout = "31d"'),
        f"{AT}.job-timeout",
        "at most 30d",
    ),
    "a job that may run for ever": (
        endpoint("job-timeout = inf"),
        f"{AT}.job-timeout",
        "must be text, not a number",
    ),
    "no running job": (endpoint("running-jobs = 0"), f"{AT}.running-jobs", "from 1 to 100"),
    "D10: too many running jobs": (endpoint("running-jobs = 101"), f"{AT}.running-jobs", "from 1 to 100"),
    "running jobs as text": (endpoint('running-jobs = "10"'), f"{AT}.running-jobs", "must be a whole number"),
    "a timeout beyond 225 seconds": (endpoint('timeout = "1h"'), f"{AT}.timeout", "at most 225s"),
    "E11: a scope of Azure Resource Manager": (
        endpoint('scope = "https://management.azure.com/.default"'),
        f"{AT}.scope",
        "never for a model",
    ),
    # where data may lie
    "no input": (rule("").replace(INPUTS, "inputs = []\n"), f"{STAFF}.inputs", "is an empty list"),
    "inputs as text": (
        rule("").replace(INPUTS, f"inputs = '{DATA}/transactions/'\n"),
        f"{STAFF}.inputs",
        "must be a list, not text",
    ),
    "T10: an empty input": (reads(""), f"{STAFF}.inputs[0]", "is empty"),
    "T10: a star for an input": (reads("*"), f"{STAFF}.inputs[0]", "has a wildcard"),
    "T10: every account": (reads("https://"), f"{STAFF}.inputs[0]", "names no account"),
    "T10: a whole account": (reads(f"{DATA}/"), f"{STAFF}.inputs[0]", "names no container"),
    "T10: every container of an account": (reads(f"{DATA}/*/"), f"{STAFF}.inputs[0]", "has a wildcard"),
    "T10: a wildcard below a folder": (
        reads(f"{DATA}/transactions/**"),
        f"{STAFF}.inputs[0]",
        "has a wildcard; a folder holds all that lies below it",
    ),
    "T10: a whole workspace": (reads(WORKSPACE), f"{STAFF}.inputs[0]", "is no ARM id"),
    "T10: every datastore of a workspace": (
        reads(f"{WORKSPACE}/datastores/"),
        f"{STAFF}.inputs[0]",
        "is no ARM id",
    ),
    "T10: every registered data of a workspace": (
        reads(f"{WORKSPACE}/data/"),
        f"{STAFF}.inputs[0]",
        "is no ARM id",
    ),
    "T10: storage that is not Azure's": (
        reads("https://data.example/in/"),
        f"{STAFF}.inputs[0]",
        "names no account",
    ),
    "T10: dot segments": (reads(f"{DATA}/transactions/../"), f"{STAFF}.inputs[0]", "dot segment"),
    "T10: dot segments in an encoding": (
        reads(f"{DATA}/transactions/%2e%2e/"),
        f"{STAFF}.inputs[0]",
        "dot segment",
    ),
    "T10: a path to a file of this machine": (
        reads("file:///etc/passwd"),
        f"{STAFF}.inputs[0]",
        "none of the forms",
    ),
    "T10: an azureml URI": (
        reads("azureml://datastores/lake/paths/in/"),
        f"{STAFF}.inputs[0]",
        "none of the forms",
    ),
    "T10: storage by http": (
        reads(f"{DATA}/in/".replace("https", "http")),
        f"{STAFF}.inputs[0]",
        "none of the forms",
    ),
    "T10: a signature (SAS)": (
        reads(f"{DATA}/transactions/?sig=x"),
        f"{STAFF}.inputs[0]",
        "a signature (SAS)",
    ),
    "T10: a user name": (
        reads("https://me@contosodata.blob.core.windows.net/transactions/"),
        f"{STAFF}.inputs[0]",
        "user information",
    ),
    "a container without its slash tells the right one": (
        reads(f"{DATA}/transactions"),
        f"{STAFF}.inputs[0]",
        f"must be written {DATA}/transactions/",
    ),
    "an account in capitals tells the right one": (
        reads(f"{DATA.replace('contosodata', 'ContosoData')}/transactions/In/"),
        f"{STAFF}.inputs[0]",
        f"must have the account in lower case: write {DATA}/transactions/In/",
    ),
    "a container in capitals tells the right one": (
        reads(f"{DATA}/Transactions/"),
        f"{STAFF}.inputs[0]",
        f"must have the container in lower case: write {DATA}/transactions/",
    ),
    "a path that is not encoded tells the right one": (
        reads(f"{DATA}/transactions/year=2024/in put/caf\u00e9/"),
        f"{STAFF}.inputs[0]",
        f"percent-encoded: write {DATA}/transactions/year%3D2024/in%20put/caf%C3%A9/",
    ),
    "a datastore's path with too much encoded tells the right one": (
        reads(f"{WORKSPACE}/datastores/Lake/paths/%69n/%c3%a9/"),
        f"{STAFF}.inputs[0]",
        f"in capital hex digits: write {WORKSPACE}/datastores/lake/paths/in/%C3%A9/",
    ),
    "an ARM id in other letter case tells the right one": (
        reads(f"{WORKSPACE.replace('ml/', 'ML/')}/datastores/Lake/paths/in"),
        f"{STAFF}.inputs[0]",
        f"must be written {WORKSPACE}/datastores/lake/paths/in",
    ),
    "the second of two inputs": (
        rule("").replace(INPUTS, f"inputs = ['{DATA}/transactions/', '*']\n"),
        f"{STAFF}.inputs[1]",
        "has a wildcard",
    ),
    "an input twice": (
        rule("").replace(INPUTS, f"inputs = ['{DATA}/transactions/', '{DATA}/transactions/']\n"),
        f"{STAFF}.inputs[1]",
        "stands in the list already",
    ),
    "an input that is a number": (
        rule("").replace(INPUTS, "inputs = [7]\n"),
        f"{STAFF}.inputs[0]",
        "must be text",
    ),
    "T10: an output at a whole account": (writes(DATA), f"{STAFF}.outputs[0]", "names no container"),
    "an output that is registered data": (
        writes(f"{WORKSPACE}/data/scores/versions/1"),
        f"{STAFF}.outputs[0]",
        "to which no job writes",
    ),
    "a folder of one's own for no outputs": (
        rule("own-folder = false"),
        f"{STAFF}.own-folder",
        "there are none here",
    ),
    "a folder of one's own as text": (
        rule(f"outputs = ['{DATA}/scores/']\nown-folder = 'no'"),
        f"{STAFF}.own-folder",
        "must be true or false",
    ),
    # names
    "no literal": (rule("literals = []"), f"{STAFF}.literals", "is an empty list"),
    "a star for a literal": (rule('literals = ["*"]'), f"{STAFF}.literals", "letters, digits or underscores"),
    "a literal's name with a dash": (
        rule('literals = ["a-b"]'),
        f"{STAFF}.literals",
        "letters, digits or underscores",
    ),
    "a star for an experiment": (rule('experiments = ["*"]'), f"{STAFF}.experiments", "wildcard"),
    "a blank experiment": (rule('experiments = [" "]'), f"{STAFF}.experiments", "no space at either end"),
    "an experiment in other letters": (
        rule('experiments = ["prüfung"]'),
        f"{STAFF}.experiments",
        "printable ASCII",
    ),
    "a star for a compute": (rule('computes = ["gpu*"]'), f"{STAFF}.computes", "wildcard"),
    "T10: a setting that is not in the table": (
        rule('settings = ["environmentVariables"]'),
        f"{STAFF}.settings",
        '"errorThreshold" or',
    ),
    "T10: inputs as a setting": (
        rule('settings = ["InputData"]'),
        f"{STAFF}.settings",
        '"errorThreshold" or',
    ),
    "a setting twice": (
        rule('settings = ["miniBatchSize", "miniBatchSize"]'),
        f"{STAFF}.settings",
        "twice",
    ),
    "I07: somebody else's jobs": (rule('see = "group"'), f"{STAFF}.see", '"all" or "own"'),
    "limits at a rule": (
        rule('limits = { requests = "1/hour" }'),
        f"{STAFF}.limits",
        "is for the rules of models",
    ),
    "a misspelt key at a rule": (rule('input = ["x"]'), f"{STAFF}.input", "did you mean inputs?"),
    "a star for a deployment": (rule('deployments = ["*"]'), f"{STAFF}.deployments", "1 to 64 letters"),
    # whom to tell
    "T01: telling a host that nobody allowed": (
        rule('notify = "https://hooks.example/x"'),
        f"{STAFF}.notify",
        "not in [hosts] allow",
    ),
    "T01: telling a host that only ends alike": (
        rule('notify = "https://evilhooks.contoso.com/x"'),
        f"{STAFF}.notify",
        "not in [hosts] allow",
    ),
    "T01: telling an Azure host that nobody allowed": (
        rule('notify = "https://nightly.westeurope.inference.ml.azure.com/x"'),
        f"{STAFF}.notify",
        "not in [hosts] allow",
    ),
    "telling by http": (rule('notify = "http://hooks.contoso.com/x"'), f"{STAFF}.notify", "must be https"),
    "telling this machine by http": (
        rule('notify = "http://127.0.0.1:8080/x"'),
        f"{STAFF}.notify",
        "GROUPGATE_ALLOW_HTTP",
    ),
    "telling with a user name": (
        rule('notify = "https://me:x@hooks.contoso.com/x"'),
        f"{STAFF}.notify",
        "user name",
    ),
    "telling with a query": (
        rule('notify = "https://hooks.contoso.com/x?code=1"'),
        f"{STAFF}.notify",
        "query",
    ),
    "telling with a fragment": (
        rule('notify = "https://hooks.contoso.com/x#1"'),
        f"{STAFF}.notify",
        "fragment",
    ),
    "telling nobody": (rule('notify = ""'), f"{STAFF}.notify", "must be"),
    # deny rules
    **{
        f"{text.partition(' ')[0]} at a deny rule": (
            deny(text),
            f"{NEVER}.{text.partition(' ')[0]}",
            "is for rules that allow",
        )
        for text in (
            f"inputs = ['{DATA}/transactions/']",
            f"outputs = ['{DATA}/scores/']",
            "own-folder = true",
            "literals = ['mode']",
            "experiments = ['fraud']",
            "computes = ['cpu']",
            "settings = ['miniBatchSize']",
            "see = 'own'",
            "notify = 'https://hooks.contoso.com/x'",
        )
    },
    "a batch endpoint whose every rule denies": (
        (HEAD + ENDPOINT + RULE).replace('"allow"', '"deny"'),
        f"{AT}.rules",
        "allow nobody",
    ),
}


@pytest.mark.parametrize(("text", "place", "words"), BAD.values(), ids=BAD.keys())
def test_t22_a_bad_batch_endpoint_is_refused_with_its_place(text: str, place: str, words: str) -> None:
    """T22: a policy with this one fault is refused, and the fault says where it is and what to do."""
    with pytest.raises(PolicyFaults) as refused:
        loader.load(text.encode(), allow_http=False)
    found = [(fault.place, fault.message) for fault in refused.value.faults]
    assert len(found) == 1, found
    assert found[0][0] == place
    assert words in found[0][1]


@pytest.mark.parametrize(
    "secret",
    [
        f"{DATA}/c/?sig=SECRET",
        "https://me:SECRET@contosodata.blob.core.windows.net/c/",
        f"{DATA}/SECRET*/",
        "SECRET",
    ],
)
def test_r03_no_fault_quotes_where_data_lies(secret: str) -> None:
    """R03: a signature that was pasted with the address, or a password in it, goes into no log."""
    for text in (reads(secret), writes(secret)):
        with pytest.raises(PolicyFaults) as refused:
            loader.load(text.encode(), allow_http=False)
        assert "SECRET" not in str(refused.value)


def test_a_policy_with_a_batch_endpoint_needs_durable_functions() -> None:
    """Design, "Settings": with GROUPGATE_JOBS=off a batch endpoint is a fault that says what to set."""
    assert loader.load(GOOD.encode(), allow_http=False, jobs=True).warnings == ()
    with pytest.raises(PolicyFaults) as refused:
        loader.load(GOOD.encode(), allow_http=False, jobs=False)
    (fault,) = refused.value.faults
    assert fault.place == f"{AT}.kind"
    assert "GROUPGATE_JOBS=on" in fault.message


def test_telling_the_end_of_a_job_needs_a_secret() -> None:
    """What is told is signed: `notify` without GROUPGATE_JOBS_SECRET is a fault, and without `notify` none is needed."""
    text = rule('notify = "https://hooks.contoso.com/x"').encode()
    loader.load(text, allow_http=False, jobs_secret=True)
    loader.load(GOOD.encode(), allow_http=False, jobs_secret=False)
    with pytest.raises(PolicyFaults) as refused:
        loader.load(text, allow_http=False, jobs_secret=False)
    (fault,) = refused.value.faults
    assert fault.place == f"{STAFF}.notify"
    assert "GROUPGATE_JOBS_SECRET" in fault.message


def test_an_online_endpoint_needs_neither() -> None:
    """With jobs off and no secret, a policy without batch endpoints is what it always was."""
    text = GOOD.replace('"batch"', '"online"').replace("/jobs", "/score").replace(INPUTS, "")
    text = text.replace(f'workspace = "{WORKSPACE}"\n', "")
    loader.load(text.encode(), allow_http=False, jobs=False, jobs_secret=False)


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.contoso.com",
        "https://hooks.contoso.com/",
        "https://hooks.contoso.com:8443/jobs/ended",
        "https://hooks.contoso.com/jobs/ended/",
    ],
)
def test_any_plain_address_of_an_allowed_host_can_be_told(address: str) -> None:
    """The host decides, with any port and path."""
    text = rule(f'notify = "{address}"')
    (staff,) = loader.load(text.encode(), allow_http=False).routes["endpoint", "nightly"].rules
    assert staff.job is not None
    assert staff.job.notify == address


def test_t01_http_is_for_loopback_that_is_named_and_allowed() -> None:
    """T01: with GROUPGATE_ALLOW_HTTP a stand-in on this machine can be told, managed and called by http."""
    text = rule('notify = "http://127.0.0.1:8080/x"').replace(URL, "http://127.0.0.1:9000/jobs")
    loader.load(text.encode(), allow_http=True)
    with pytest.raises(PolicyFaults) as refused:
        loader.load(text.encode(), allow_http=False)
    assert [fault.place for fault in refused.value.faults] == [f"{AT}.url", f"{STAFF}.notify"]


def test_t22_there_are_enough_bad_batch_endpoints() -> None:
    """T22: at least 80 bad configurations stand in the table."""
    assert len(BAD) >= 80


@pytest.mark.parametrize(
    "text",
    [
        f"{DATA}/transactions/%2e%2e/x/",
        f"{DATA}/transactions/%252e%252e/",
        f"{DATA}/transactions/a%2Fb/",
        f"{DATA}/transactions/a%zz/",
        f"{DATA}/transactions/%C0%AE/",
        f"{DATA}/transactions/?sig=c2VjcmV0",
        "https://me:c2VjcmV0@contosodata.blob.core.windows.net/transactions/x=y/",
        f"{DATA}:443/transactions/x=y/",
    ],
)
def test_t10_no_other_spelling_is_offered_for_what_is_no_place(text: str) -> None:
    """T10, I04: only what means one place is written anew; nothing is quoted of an address that is refused for more."""
    with pytest.raises(PolicyFaults) as refused:
        loader.load(reads(text).encode(), allow_http=False)
    (fault,) = refused.value.faults
    assert "write " not in fault.message
    assert "c2VjcmV0" not in str(fault)
