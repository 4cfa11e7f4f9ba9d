"""Azure ML batch endpoints as the gate speaks to them: what goes out, and what each answer means (protocols, 5)."""

from __future__ import annotations

import json
from copy import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jobs import addresses, answers
from shared.jobs.azureml import PAGES, AzureMLJobs, Later, Lost, Refused, Seen, Submitted, Unclear, Where
from shared.model import Reason
from shared.ports import TransportFault
from shared.problem import Undecidable
from tests.fakes import SCOPE, TOKEN, FakeAnswer, FakeClock, FakeTokens, FakeTransport

WORKSPACE = (
    "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001/resourceGroups/rg-ml.eu_(1)"
    "/providers/Microsoft.MachineLearningServices/workspaces/ml-prod"
)
NAME = "batchjob-0a1b2c3d-0000-4000-8000-0000000000ff"
ARM_ID = f"{WORKSPACE}/batchEndpoints/irises/jobs/{NAME}"
URL = "https://irises.westeurope.inference.ml.azure.com/jobs"
LIST = (
    f"https://westeurope.api.azureml.ms/mferp/managementfrontend{WORKSPACE}/batchEndpoints/irises/jobs"
    "?api-version=2020-09-01-dataplanepreview"
)
ARM = "https://management.azure.com"
ARM_SCOPE = f"{ARM}/.default"
WHERE = Where(url=URL, scope=SCOPE, workspace=WORKSPACE, management=ARM, deployment=None, timeout=60.0)
JOB = "0a1b2c3d-0a1b2c3d4e5f6071-" + "0" * 32
KEY = "5d1c9f8e-0000-5000-8000-000000000001"
SECRET = "the-signature"
BODY = '{"properties":{"tags":{"groupgate-job":"é"}}}'


def a_job(**changes: Any) -> dict[str, Any]:
    """Return a job as the service shows it, with `changes` of its members."""
    job = {
        "id": ARM_ID,
        "name": NAME,
        "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs",
        "properties": {"status": "Queued", "tags": {"groupgate-job": JOB}},
    }
    return job | changes


def answer(value: object, status: int = 200) -> FakeAnswer:
    return FakeAnswer(status, json.dumps(value).encode())


def jobs_with(*script: FakeAnswer | BaseException) -> tuple[AzureMLJobs, FakeTransport, FakeTokens]:
    transport, tokens = FakeTransport(*script), FakeTokens()
    return AzureMLJobs(transport, tokens, FakeClock()), transport, tokens


def outcome_of(raised: BaseException) -> tuple[object, ...]:
    """Return the exception's kind and what it tells."""
    match raised:
        case Later():
            return (Later, raised.seconds, str(raised.code))
        case Unclear():
            return (Unclear, str(raised.code))
        case Refused():
            return (Refused, raised.status)
        case _:
            return (type(raised),)


async def all_four(script: FakeAnswer | BaseException) -> dict[str, tuple[object, ...]]:
    """Return what each operation makes of the same answer."""
    found = {}
    for name in ("submit", "find", "status", "cancel"):
        jobs, transport, _ = jobs_with(script)
        operations = {
            "submit": lambda jobs=jobs: jobs.submit(WHERE, BODY, key=KEY),
            "find": lambda jobs=jobs: jobs.find(WHERE, JOB),
            "status": lambda jobs=jobs: jobs.status(WHERE, NAME),
            "cancel": lambda jobs=jobs: jobs.cancel(WHERE, NAME, None),
        }
        with pytest.raises((Later, Unclear, Refused, Lost)) as caught:
            await operations[name]()
        found[name] = outcome_of(caught.value)
        assert len(transport.sent) == 1, "nothing is ever asked twice by itself"
    return found


REFUSALS = [
    *(
        pytest.param(status, id=f"{status} is a definite no")
        for status in (400, 404, 405, 409, 410, 413, 415, 422, 424)
    ),
    *(pytest.param(status, id=f"{status} is not followed") for status in (301, 302, 304, 307, 308)),
]


@pytest.mark.parametrize("status", REFUSALS)
async def test_refusals_are_final(status: int) -> None:
    """Whatever the service answers with a 3xx or 4xx of its own was not done, and is not asked again by itself (T17)."""
    said = FakeAnswer(status, SECRET.encode(), {"location": "https://elsewhere.example/", "retry-after": "3"})
    assert await all_four(said) == {
        "submit": (Refused, status),
        "find": (Refused, status),
        "status": (Lost,) if status == 404 else (Refused, status),
        "cancel": (Refused, status),
    }
    assert said.closed
    assert not said.read_to_end


@pytest.mark.parametrize(
    ("said", "later"),
    [
        pytest.param(FakeAnswer(429), (None, "upstream-rate-limited"), id="429"),
        pytest.param(
            FakeAnswer(429, headers={"Retry-After": "7"}), (7, "upstream-rate-limited"), id="429 and when"
        ),
        pytest.param(
            FakeAnswer(429, headers={"Retry-After": "9" * 20}),
            (86_400, "upstream-rate-limited"),
            id="429, years",
        ),
        pytest.param(
            FakeAnswer(503, headers={"Retry-After": "7"}), (7, "upstream-unavailable"), id="503 and when"
        ),
        pytest.param(
            TransportFault("unreachable", sent=False), (None, "upstream-unreachable"), id="nobody listens"
        ),
        pytest.param(TransportFault("timeout", sent=False), (None, "upstream-timeout"), id="no time is left"),
    ],
)
async def test_what_was_not_taken_is_asked_again(
    said: FakeAnswer | TransportFault, later: tuple[object, ...]
) -> None:
    """A definite not-now, and a call that never left, cost no doubt: the wait is the service's where it names one."""
    assert set((await all_four(said)).values()) == {(Later, *later)}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param(FakeAnswer(408), "upstream-timeout", id="408"),
        pytest.param(FakeAnswer(500), "upstream-500", id="500"),
        pytest.param(FakeAnswer(502), "upstream-502", id="502"),
        pytest.param(FakeAnswer(503), "upstream-unavailable", id="503 that names no time"),
        pytest.param(
            FakeAnswer(503, headers={"Retry-After": "soon"}), "upstream-unavailable", id="503 with nonsense"
        ),
        pytest.param(FakeAnswer(504), "upstream-timeout", id="504"),
        pytest.param(TransportFault("timeout", sent=True), "upstream-timeout", id="no answer"),
        pytest.param(TransportFault("unreachable", sent=True), "upstream-unreachable", id="a reset"),
        pytest.param(TransportFault("protocol", sent=True), "upstream-error", id="no HTTP"),
        pytest.param(
            FakeAnswer(200, [b'{"id"', TransportFault("truncated", sent=True)]),
            "upstream-unreachable",
            id="cut",
        ),
        pytest.param(FakeAnswer(200, [b"x" * (1024 * 1024 + 1)]), "upstream-error", id="more than 1 MiB"),
    ],
)
async def test_what_may_have_been_taken_is_unclear_for_submit_alone(
    said: FakeAnswer | TransportFault, code: str
) -> None:
    """F39: a job may run once the request has left; looking and cancelling can be repeated without harm."""
    assert await all_four(said) == {
        "submit": (Unclear, code),
        **dict.fromkeys(("find", "status", "cancel"), (Later, None, code)),
    }


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_identity_drops_its_token_and_waits(status: int) -> None:
    """The gate's own identity is refused, not the caller's job: the next try asks for another token, a minute later."""
    assert set((await all_four(FakeAnswer(status))).values()) == {(Later, 60.0, "upstream-auth-failed")}
    jobs, _, tokens = jobs_with(FakeAnswer(status))
    with pytest.raises(Later):
        await jobs.cancel(WHERE, NAME, None)
    assert tokens.dropped == [ARM_SCOPE]


async def test_without_a_token_nothing_is_sent() -> None:
    """No credential is a not-now: nothing has left."""
    transport = FakeTransport()
    tokens = FakeTokens(fault=Undecidable(Reason.CREDENTIAL_UNAVAILABLE))
    with pytest.raises(Later) as caught:
        await AzureMLJobs(transport, tokens, FakeClock()).submit(WHERE, BODY, key=KEY)
    assert caught.value.code == "upstream-credential-unavailable"
    assert transport.sent == []


async def test_a_submission_is_one_post_with_the_jobs_own_key() -> None:
    """Protocols 5.1, 5.4: body as it is, the repeatability id, the deployment where one is asked for, and nothing else."""
    for deployment in (None, "blue"):
        jobs, transport, tokens = jobs_with(answer(a_job(), 201))
        where = replace(WHERE, deployment=deployment)
        assert await jobs.submit(where, BODY, key=KEY) == Submitted(name=NAME, arm_id=ARM_ID)
        (sent,) = transport.sent
        assert sent == {
            "method": "POST",
            "url": URL,
            "headers": {
                "accept": "application/json",
                "authorization": f"Bearer {TOKEN}",
                "content-type": "application/json",
                "repeatability_request-id": KEY,
            }
            | ({"azureml-model-deployment": deployment} if deployment else {}),
            "body": BODY.encode(),
            "deadline": 1060.0,
        }
        assert tokens.asked == [SCOPE]


@pytest.mark.parametrize(
    ("said", "name", "arm_id"),
    [
        pytest.param({"id": ARM_ID, "name": "honest_grape"}, NAME, ARM_ID, id="the last segment of id goes first"),
        pytest.param({"id": f"{WORKSPACE}/batchEndpoints//jobs/{NAME}"}, NAME, f"{WORKSPACE}/batchEndpoints//jobs/{NAME}", id="an id without the endpoint's name"),
        pytest.param({"id": f"{WORKSPACE}/jobs/{NAME}"}, NAME, f"{WORKSPACE}/jobs/{NAME}", id="the job as the workspace knows it"),
        pytest.param({"id": "not an id", "name": NAME}, NAME, None, id="no id but a name"),
        pytest.param({"id": f"{ARM_ID}/../x?y", "name": NAME}, NAME, None, id="an id with dots"),
        pytest.param({"name": NAME}, NAME, None, id="a name alone"),
    ],
)  # fmt: skip
async def test_a_job_is_known_by_a_name_that_can_stand_in_a_url(
    said: dict[str, str], name: str, arm_id: str | None
) -> None:
    """T02: what the service calls it is taken only where it can mean nothing else in a path."""
    jobs, _, _ = jobs_with(answer(said))
    assert await jobs.submit(WHERE, BODY, key=KEY) == Submitted(name=name, arm_id=arm_id)


NO_NAMES = [
    b"", b"null", b"[]", b"{", b"<html>", b"\xff", b"{}", b'{"name":1}', b'{"name":null,"id":null}', b'{"name":""}',
    b'{"name":".."}', b'{"name":"a/b"}', b'{"name":"a%2fb"}', b'{"name":"a?b"}', b'{"name":"a b"}', b'{"name":"-a"}',
    b'{"name":"a\\n"}', b'{"name":"\\u0430"}', b'{"name":"' + b"a" * 256 + b'"}', b'{"name":"a","name":"b"}',
    b'{"id":"/x/..","name":"a\\\\b"}', b"\x1f\x8b\x08",
]  # fmt: skip


@pytest.mark.parametrize("body", NO_NAMES)
async def test_a_success_that_names_no_job_is_unclear(body: bytes) -> None:
    """F39: it was taken, and what it is called is not known: it has to be looked for."""
    jobs, _, _ = jobs_with(FakeAnswer(202, body))
    with pytest.raises(Unclear) as caught:
        await jobs.submit(WHERE, BODY, key=KEY)
    assert caught.value.code == "upstream-error"
    assert caught.value.__cause__ is None


async def test_a_job_is_found_by_its_tag_on_a_later_page() -> None:
    """F39: pages are followed by `nextLink`, whole or relative, until a job carries the tag."""
    elsewhere = a_job(properties={"tags": {"groupgate-job": "another"}})
    jobs, transport, tokens = jobs_with(
        answer({"value": [elsewhere, {"properties": None}, 7], "nextLink": f"{LIST}&$skiptoken=1"}),
        answer({"value": [], "nextLink": "?api-version=2020-09-01-dataplanepreview&$skiptoken=2"}),
        answer({"value": [elsewhere, a_job()], "nextLink": f"{LIST}&$skiptoken=3"}),
    )
    assert await jobs.find(WHERE, JOB) == Submitted(name=NAME, arm_id=ARM_ID)
    assert [sent["url"] for sent in transport.sent] == [LIST, f"{LIST}&$skiptoken=1", f"{LIST}&$skiptoken=2"]
    assert {sent["method"] for sent in transport.sent} == {"GET"}
    assert {sent["deadline"] for sent in transport.sent} == {1060.0}, "one bound for all pages"
    assert set(tokens.asked) == {ARM_SCOPE}


async def test_a_list_that_never_ends_is_left() -> None:
    """D10: a nextLink that comes back for ever costs a bounded number of calls."""
    jobs, transport, _ = jobs_with(*[answer({"value": [], "nextLink": LIST}) for _ in range(PAGES + 1)])
    assert await jobs.find(WHERE, JOB) is None
    assert len(transport.sent) == PAGES


LINKS = [
    "https://elsewhere.example/jobs", "https://westeurope.api.azureml.ms.elsewhere.example/", "http://westeurope.api.azureml.ms/x",
    "https://westeurope.api.azureml.ms:444/x", "https://user@westeurope.api.azureml.ms/x", "//elsewhere.example/x",
    "https://WESTEUROPE.api.azureml.ms/x", "\\\\elsewhere.example\\x", "https://westeurope.api.azureml.ms\\@elsewhere.example/", "javascript:x",
    "https://[", "https://westeurope.api.azureml.ms/a b", "https://westeurope.api.azureml.ms/\u0430", "", 7, None,
]  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
async def test_the_token_goes_to_no_other_origin(link: object) -> None:
    """T17, T18: a nextLink to another scheme, host, port or user is where the list ends."""
    jobs, transport, _ = jobs_with(answer({"value": [], "nextLink": link}))
    assert await jobs.find(WHERE, JOB) is None
    assert len(transport.sent) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"value":{}}', b'{"value":[', b"\xff"])
async def test_a_list_that_cannot_be_read_is_not_an_empty_one(body: bytes) -> None:
    """F39: `not there` is said of a list that was read, and of nothing else."""
    jobs, _, _ = jobs_with(FakeAnswer(200, body))
    with pytest.raises(Later) as caught:
        await jobs.find(WHERE, JOB)
    assert caught.value.code == "upstream-error"


@pytest.mark.parametrize(
    ("changes", "asked", "scope"),
    [
        pytest.param({"workspace": None}, URL, SCOPE, id="without a workspace the endpoint itself is asked"),
        pytest.param(
            {"workspace": None, "url": "http://127.0.0.1:7/jobs"},
            "http://127.0.0.1:7/jobs",
            SCOPE,
            id="the endpoint itself takes its own token on this machine too",
        ),
        pytest.param(
            {"url": "https://e.usgovvirginia.inference.ml.azure.us/jobs"},
            LIST.replace("westeurope.api.azureml.ms", "usgovvirginia.api.ml.azure.us").replace("irises", "e"),
            "https://management.usgovcloudapi.net/.default",
            id="US Government",
        ),
        pytest.param(
            {"url": "https://e.chinaeast2.inference.ml.azure.cn/jobs"},
            LIST.replace("westeurope.api.azureml.ms", "chinaeast2.api.ml.azure.cn").replace("irises", "e"),
            "https://management.chinacloudapi.cn/.default",
            id="China",
        ),
        pytest.param(
            {"url": "http://127.0.0.1:7/irises/jobs"},
            LIST.replace("https://westeurope.api.azureml.ms", "http://127.0.0.1:7"),
            ARM_SCOPE,
            id="a stand-in on this machine",
        ),
        pytest.param(
            {"url": "https://models.contoso.com/irises/jobs"},
            LIST.replace("westeurope.api.azureml.ms", "models.contoso.com"),
            SCOPE,
            id="another host gets no token for Azure Resource Manager",
        ),
        pytest.param(
            {"url": "https://models.contoso.com/jobs"},
            "https://models.contoso.com/jobs",
            SCOPE,
            id="an address that names no endpoint is asked itself",
        ),
    ],
)  # fmt: skip
async def test_where_the_list_is_asked_and_with_whose_token(
    changes: dict[str, Any], asked: str, scope: str
) -> None:
    """T01, E11: the address follows from the policy alone, and each token goes to the service that it is for."""
    jobs, transport, tokens = jobs_with(answer({"value": []}))
    assert await jobs.find(replace(WHERE, **changes), JOB) is None
    assert [sent["url"] for sent in transport.sent] == [asked]
    assert tokens.asked == [scope]


async def test_the_state_is_asked_of_the_endpoint_itself() -> None:
    """Protocols 5.2: `GET {scoringUri}/{name}` with the data plane's token and the deployment that was asked for."""
    seen = a_job(
        properties={
            "status": "Completed",
            "outputData": {"score": {"jobOutputType": "UriFile", "mode": "ReadWriteMount", "uri": f"{WORKSPACE}/datastores/d/paths/p/predictions.csv"}},
            "tags": {"azureml.deploymentname": "blue"},
        }
    )  # fmt: skip
    jobs, transport, tokens = jobs_with(answer(seen))
    assert await jobs.status(replace(WHERE, deployment="blue"), NAME) == Seen(
        status="Completed", outputs=seen["properties"]["outputData"], deployment="blue", arm_id=ARM_ID
    )
    (sent,) = transport.sent
    assert (sent["method"], sent["url"], sent["body"]) == ("GET", f"{URL}/{NAME}", None)
    assert sent["headers"] == {
        "accept": "application/json",
        "authorization": f"Bearer {TOKEN}",
        "azureml-model-deployment": "blue",
    }
    assert tokens.asked == [SCOPE]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a?b", "a#b", "a%2e", "-a", "a\n", "ä", "a" * 256])
async def test_no_odd_name_ever_enters_a_url(name: str) -> None:
    """T02: what cannot be a job's name is a job that is not there."""
    jobs, transport, _ = jobs_with()
    with pytest.raises(Lost):
        await jobs.status(WHERE, name)
    with pytest.raises(Refused):
        await jobs.cancel(WHERE, name, f"{WORKSPACE}/jobs/{name}")
    assert transport.sent == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Running", "Running"), ("NotResponding", "NotResponding"), ("Paused", "Paused"), ("completed", "completed"),
        ("SomethingNew", "SomethingNew"), ("A" * 33, "Unknown"), ("Running<script>", "Unknown"), ("", "Unknown"), (None, "Unknown"),
        (["Completed"], "Unknown"), ("Comple\u0301ted", "Unknown"), ("Completed\n", "Unknown"),
    ],
)  # fmt: skip
async def test_status_words_stay_as_they_come_where_they_are_words(said: object, shown: str) -> None:
    """Protocols 5.3: an unknown word is no end of the job, and no text of the service goes on."""
    jobs, _, _ = jobs_with(answer(a_job(properties={"status": said, "tags": {}})))
    assert (await jobs.status(WHERE, NAME)).status == shown


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"properties":null}', b'{"properties":{}}', b"[1]"])
async def test_a_state_that_cannot_be_read_is_asked_again(body: bytes) -> None:
    """No answer is taken for a state that it does not tell."""
    jobs, _, _ = jobs_with(FakeAnswer(200, body))
    with pytest.raises(Later):
        await jobs.status(WHERE, NAME)


OUTPUTS = [
    ("https://acct.blob.core.windows.net/c/p.csv?sv=2024&sig=the-signature", "https://acct.blob.core.windows.net/c/p.csv"),
    ("https://acct.blob.core.windows.net/c/p.csv#sig=the-signature", "https://acct.blob.core.windows.net/c/p.csv"),
    ("azureml://datastores/d/paths/p?sig=the-signature", "azureml://datastores/d/paths/p"),
    ("//acct.blob.core.windows.net/c?sig=the-signature", "//acct.blob.core.windows.net/c"),
    ("abfss://c@acct.dfs.core.windows.net/design=3/p.csv", "abfss://c@acct.dfs.core.windows.net/design=3/p.csv"),
    ("https://user:the-signature@acct.blob.core.windows.net/c", None),
    ("https://the-signature@acct.blob.core.windows.net/c", None),
    ("abfss://c:the-signature@acct.dfs.core.windows.net/", None),
    ("sv=2024&sig=the-signature", None),
    ("https://acct.blob.core.windows.net/c/p.csv%3Fsv=2024&SIG=the-signature", None),
    ("https://acct.blob.core.windows.net/c/p.csv%253Fsv%253D1%2526sig%25253Dthe-signature", None),
    ("https://acct.blob.core.windows.net/c/p.csv;sig =the-signature", None),
    ("DefaultEndpointsProtocol=https;AccountKey=the-signature", None),
    ("SharedAccessSignature=the-signature", None),
    ("https://acct.blob.core.windows.net/" + "p" * 2048, None),
    ("https://acct.blob.core.windows.net/c\r\nx-secret: the-signature", None),
]  # fmt: skip


@pytest.mark.parametrize("place", ["OutputData", "outputData", "outputs"])
@pytest.mark.parametrize(("said", "shown"), OUTPUTS)
async def test_no_sas_ever_leaves_in_the_outputs(place: str, said: str, shown: str | None) -> None:
    """I08: addresses lose query and fragment; what may be a signature, a key or a password is not shown at all."""
    reported = {"score": {"JobOutputType": "UriFile", "Uri": said}, "plain": said}
    jobs, _, _ = jobs_with(answer(a_job(properties={"status": "Completed", place: reported})))
    seen = await jobs.status(WHERE, NAME)
    uri = {} if shown is None else {"Uri": shown}
    plain = {} if shown is None else {"plain": shown}
    assert seen.outputs == {"score": {"JobOutputType": "UriFile", **uri}, **plain}
    assert SECRET not in repr(seen)


@given(
    prefix=st.text(max_size=20),
    between=st.sampled_from(["?", "#", "&", "%3f", "%253F", "%2526", ";", " ", ""]),
    equals=st.sampled_from(["=", "%3d", "%3D", "%253d", "%25253D", " ="]),
    sig=st.sampled_from(["sig", "SIG", "Sig", "AccountKey"]),
)
def test_no_spelling_of_a_signature_gets_through(prefix: str, between: str, equals: str, sig: str) -> None:
    """I08: whatever stands around it, and however often it is encoded."""
    said = f"{prefix}{between}{sig}{equals}{SECRET}"
    shown = answers.outputs({"properties": {"outputs": {"o": said, "p": {"Uri": said}, "q": {said: "x"}}}})
    assert SECRET not in json.dumps(shown)


def test_outputs_are_bounded() -> None:
    """D10: a job's custom status holds 16 KiB; what is nested, misnamed, or does not fit is left out."""
    long = {f"o{number}": {"Uri": "https://x/" + "p" * 1000} for number in range(100)}
    assert list(_shown(long)) == ["o0", "o1", "o2", "o3", "o4"]
    assert list(_shown({"o0": {"Uri": "https://x/" + "é" * 1000}})) == [], (
        "as JSON in ASCII, six characters each"
    )
    many = _shown({f"o{number}": 1 for number in range(2000)})
    assert 100 < len(many) < 2000
    assert len(json.dumps(many)) <= answers.MOST_OUTPUT
    odd = {"a b": "x", "n" * 65: "x", "deep": {"a": {"b": "c"}}, "list": ["x"], "none": None}
    assert _shown(odd | {"ok": {"n": 1, "b": True, "x y": "z"}}) == {"ok": {"n": 1, "b": True}}
    assert _shown(["x"]) == {}


def _shown(outputs: object) -> dict[str, Any]:
    return answers.outputs({"properties": {"outputs": outputs}})


@pytest.mark.parametrize(
    ("where", "arm_id", "asked", "scope"),
    [
        pytest.param(WHERE, None, f"{ARM}{WORKSPACE}", ARM_SCOPE, id="the policy's workspace"),
        pytest.param(WHERE, ARM_ID.replace("ml-prod", "other"), f"{ARM}{WORKSPACE}", ARM_SCOPE, id="the policy's, whatever the answer said"),
        pytest.param(replace(WHERE, workspace=None), ARM_ID, f"{ARM}{WORKSPACE}", ARM_SCOPE, id="the answer's"),
        pytest.param(
            replace(WHERE, workspace=None),
            f"{WORKSPACE}/batchEndpoints/irises/deployments/blue/jobs/{NAME}",
            f"{ARM}{WORKSPACE}",
            ARM_SCOPE,
            id="the answer's, with a deployment",
        ),
        pytest.param(
            replace(WHERE, management="https://management.usgovcloudapi.net"), None,
            f"https://management.usgovcloudapi.net{WORKSPACE}", "https://management.usgovcloudapi.net/.default", id="US Government",
        ),
        pytest.param(
            replace(WHERE, management="https://management.chinacloudapi.cn"), None,
            f"https://management.chinacloudapi.cn{WORKSPACE}", "https://management.chinacloudapi.cn/.default", id="China",
        ),
        pytest.param(replace(WHERE, management="http://127.0.0.1:7"), None, f"http://127.0.0.1:7{WORKSPACE}", ARM_SCOPE, id="a stand-in"),
        pytest.param(
            replace(WHERE, management="https://models.contoso.com"), None, f"https://models.contoso.com{WORKSPACE}", SCOPE,
            id="another host gets no token for Azure Resource Manager",
        ),
    ],
)  # fmt: skip
async def test_the_end_is_asked_of_azure_resource_manager(
    where: Where, arm_id: str | None, asked: str, scope: str
) -> None:
    """Protocols 5.4: a POST with the management token to the job in its workspace."""
    jobs, transport, tokens = jobs_with(FakeAnswer(202, b""))
    await jobs.cancel(where, NAME, arm_id)
    (sent,) = transport.sent
    assert sent["method"] == "POST"
    assert sent["url"] == f"{asked}/jobs/{NAME}/cancel?api-version=2025-12-01"
    assert sent["headers"] == {"accept": "application/json", "authorization": f"Bearer {TOKEN}"}
    assert sent["body"] == b""
    assert tokens.asked == [scope]


@pytest.mark.parametrize(
    "arm_id",
    [
        None, "", NAME, f"{WORKSPACE}/jobs/another", f"{WORKSPACE}/../x/jobs/{NAME}", f"{WORKSPACE}/jobs/{NAME}?x", f"{WORKSPACE}/jobs/{NAME}/",
        f"https://management.azure.com{WORKSPACE}/jobs/{NAME}", f"{WORKSPACE}/computes/c/jobs/{NAME}", f"/x{WORKSPACE}/jobs/{NAME}",
        WORKSPACE.replace("rg-ml.eu_(1)", "..") + f"/jobs/{NAME}", WORKSPACE.replace("rg-ml.eu_(1)", "a%2fb") + f"/jobs/{NAME}",
        WORKSPACE.replace("MachineLearningServices", "Storage") + f"/jobs/{NAME}", WORKSPACE.replace("aaaaaaaa", "zzzzzzzz") + f"/jobs/{NAME}",
        WORKSPACE.replace("Microsoft.M", "Microsoft-M") + f"/jobs/{NAME}", WORKSPACE.replace("workspaces", "work\u017fpaces") + f"/jobs/{NAME}",
    ],
)  # fmt: skip
async def test_no_end_is_asked_of_a_workspace_that_is_not_plainly_the_jobs(arm_id: str | None) -> None:
    """T02: an id out of an answer is parsed whole, and is this job's, before a management token goes anywhere."""
    jobs, transport, tokens = jobs_with()
    with pytest.raises(Refused) as caught:
        await jobs.cancel(replace(WHERE, workspace=None), NAME, arm_id)
    assert (caught.value.status, caught.value.code) == (0, "workspace-unknown")
    assert (transport.sent, tokens.asked) == ([], [])


@given(st.text() | st.text(alphabet="/?#@:.\\%[]ahtps", max_size=30))
def test_no_next_page_ever_leaves_the_origin(link: str) -> None:
    """T17: whatever the service writes there."""
    page = addresses.next_page(link, LIST)
    assert page is None or page.startswith("https://westeurope.api.azureml.ms/")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "name", "properties", "outputs", "tags", "status", "x"]), inner), max_leaves=12))  # fmt: skip
def test_whatever_the_service_says_is_read_without_surprise(said: object) -> None:
    """No shape of an answer raises, and each field is what its type says or nothing."""
    job = answers.fields(json.dumps(said).encode())
    if job is None:
        return
    assert answers.name(job) is None or answers.is_name(answers.name(job))
    assert answers.arm_id(job) is None
    assert answers.status(job).isalpha()
    assert isinstance(answers.outputs(job), dict)
    assert answers.deployment(job) is None
