"""What a batch job may ask for, read strictly, and what goes to Azure ML of it (threat T10)."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.backends import jobbody
from shared.backends.jobbody import JobBody, in_own_folder, read, reread, sent
from shared.backends.jobfields import NAME, SETTINGS
from shared.model import Reason, Wanted
from shared.places import MAX_TEXT, Place, parse, text_of, within
from shared.policy import checks
from shared.policy.jobvalues import JobSetting
from shared.problem import AskedWrongly, Problem, Slug

HOSTILE = tomllib.loads((Path(__file__).parent / "hostile_uris.toml").read_text("utf-8"))
PREFIXES = [parse(text) for text in HOSTILE["policy"]["inputs"]]

STORAGE = "https://contosodata.blob.core.windows.net/fraud"
WORKSPACE = (
    "/subscriptions/6f1b2c3d-0000-4000-8000-00000000005a/resourceGroups/ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/fraud"
)
DATASTORE = f"{WORKSPACE}/datastores/claims/paths"
DATA = f"{WORKSPACE}/data/claims/versions/1"
ALICE = "6f1b2c3d-0000-4000-8000-0000000000a1"
BOB = "6f1b2c3d-0000-4000-8000-0000000000b2"
JOB = "0a1b2c3d-0123456789abcdef-00112233445566778899aabbccddeeff"
OTHER = "0a1b2c3d-fedcba9876543210-ffeeddccbbaa99887766554433221100"

FULL: dict[str, Any] = {
    "properties": {
        "InputData": {
            "data": {"JobInputType": "UriFolder", "Uri": f"{STORAGE}/in"},
            "more": {"JobInputType": "UriFile", "Uri": f"{DATASTORE.upper()}/in/x.csv"},
            "asset": {"JobInputType": "UriFile", "Uri": DATA},
            "mode": {"JobInputType": "Literal", "Value": "append"},
            "share": {"JobInputType": "Literal", "Value": 0.5},
            "strict": {"JobInputType": "Literal", "Value": True},
            "text": {"JobInputType": "Literal", "Value": "https://example.com/ü"},
        },
        "OutputData": {
            "score": {"JobOutputType": "UriFile", "Uri": f"{STORAGE}/out/predictions.csv"},
            "logs": {"JobOutputType": "UriFolder", "Uri": f"{DATASTORE}/logs"},
        },
        "properties": {"experimentName": "nightly run"},
        "compute": {"target": "cpu-cluster", "instanceCount": 2},
        "miniBatchSize": 10,
        "errorThreshold": -1,
        "maxConcurrencyPerInstance": 4,
        "loggingLevel": "Debug",
        "retrySettings": {"maxRetries": 3, "timeout": "PT30S"},
    }
}


def encoded(value: object) -> bytes:
    """Return the body of a request that holds `value`."""
    return json.dumps(value).encode()


def with_input(**item: object) -> bytes:
    """Return a body with one input, named `data`."""
    return encoded({"properties": {"InputData": {"data": item}}})


def with_output(**item: object) -> bytes:
    """Return a body with one output, named `score`."""
    return encoded({"properties": {"OutputData": {"score": item}}})


def outputs(*uris: str, kind: str = "UriFolder") -> bytes:
    """Return a body with these outputs, named `a0`, `a1` and so on."""
    items = {f"a{number}": {"JobOutputType": kind, "Uri": uri} for number, uri in enumerate(uris)}
    return encoded({"properties": {"OutputData": items}})


def refusal(data: bytes) -> Problem:
    """Return the 403 that reading `data` must end in."""
    with pytest.raises(Problem) as caught:
        read(data)
    problem = caught.value
    assert (problem.status, problem.slug, problem.reason) == (403, Slug.FORBIDDEN, Reason.INPUT_NOT_ALLOWED)
    return problem


# -- refused -----------------------------------------------------------------------------------------------------------

ROWS = [
    pytest.param(text, id=name) for part in ("malformed", "elsewhere") for name, text in HOSTILE[part].items()
]


@pytest.mark.parametrize("uri", ROWS)
def test_t10_no_body_gets_it_past_the_policy(uri: str) -> None:
    """T10: as an input or an output, file or folder: 403 with its place, or a place outside of every prefix."""
    for kind in ("UriFolder", "UriFile"):
        for data, place in (
            (with_input(JobInputType=kind, Uri=uri), "properties.InputData.data.Uri"),
            (with_output(JobOutputType=kind, Uri=uri), "properties.OutputData.score.Uri"),
        ):
            try:
                wanted = read(data).wanted
            except Problem as problem:
                assert problem.status == 403
                assert problem.detail is not None
                assert problem.detail.startswith(f"{place} ")
                assert uri not in problem.detail or not uri
            else:
                ((told, found),) = wanted.inputs or wanted.outputs
                assert told == place
                assert not any(within(found, prefix) for prefix in PREFIXES)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the full body with one change made inside `properties`."""
    body = copy.deepcopy(FULL)
    change(body["properties"])
    return encoded(body)


FORBIDDEN: dict[str, tuple[bytes, str]] = {
    "a key beside properties": (encoded({"properties": {}, "identity": {}}), "The body has identity"),
    "a key of another spelling": (encoded({"properties": {}, "Properties": {}}), "The body has Properties"),
    "inputs in small letters": (encoded({"properties": {"inputData": {}}}), "properties has inputData"),
    "the dataset of 2021": (encoded({"properties": {"dataset": {}}}), "properties has dataset"),
    "tags, which the gate sets": (
        encoded({"properties": {"tags": {"groupgate-job": JOB}}}),
        "properties has tags",
    ),
    "an environment": (encoded({"properties": {"environmentVariables": {}}}), "properties has environmentV"),
    "an output's file name": (
        encoded({"properties": {"outputFileName": "x"}}),
        "properties has outputFileName",
    ),
    "a key that is no word": (encoded({"properties": {"<b>": 1}}), "properties has a key,"),
    "a key of a megabyte": (encoded({"properties": {"a" * 2**20: 1}}), "properties has a key,"),
    "another property": (
        changed(lambda p: p["properties"].update(runType="x")),
        "properties.properties has runType",
    ),
    "another key of compute": (
        changed(lambda p: p["compute"].update(instanceType="x")),
        "properties.compute has instanceType",
    ),
    "another key of retries": (
        changed(lambda p: p["retrySettings"].update(x=1)),
        "properties.retrySettings has x",
    ),
    "another key of an input": (
        changed(lambda p: p["InputData"]["data"].update(Mode="x")),
        "properties.InputData.data has Mode",
    ),
    "a value beside an address": (
        changed(lambda p: p["InputData"]["data"].update(Value="x")),
        "properties.InputData.data has Value",
    ),
    "an address beside a value": (
        changed(lambda p: p["InputData"]["mode"].update(Uri=f"{STORAGE}/in")),
        "properties.InputData.mode has Uri",
    ),
    "a table": (
        with_input(JobInputType="MLTable", Uri=f"{STORAGE}/in"),
        "properties.InputData.data.JobInputType",
    ),
    "a type in other letters": (
        with_input(JobInputType="urifolder", Uri=f"{STORAGE}/in"),
        "properties.InputData.data.JobInputType",
    ),
    "a literal as output": (
        with_output(JobOutputType="Literal", Value="x"),
        "properties.OutputData.score.JobOutputType",
    ),
    "the name of an input that is no word": (
        encoded({"properties": {"InputData": {"a-b": {}}}}),
        "properties.InputData has a name",
    ),
    "the name of an output that is empty": (
        encoded({"properties": {"OutputData": {"": {}}}}),
        "properties.OutputData has a name",
    ),
    "a name of 65 letters": (
        encoded({"properties": {"InputData": {"a" * 65: {"JobInputType": "Literal", "Value": 1}}}}),
        "properties.InputData has a name",
    ),
    "33 inputs": (
        encoded(
            {
                "properties": {
                    "InputData": {f"a{n}": {"JobInputType": "Literal", "Value": 1} for n in range(33)}
                }
            }
        ),
        "properties.InputData has more than 32",
    ),
    "33 outputs": (outputs(*(f"{STORAGE}/{n}" for n in range(33))), "properties.OutputData has more than 32"),
    "a file that is a folder": (
        with_input(JobInputType="UriFile", Uri=f"{STORAGE}/in/"),
        "properties.InputData.data.Uri is a folder",
    ),
    "a file that is a container": (
        with_output(JobOutputType="UriFile", Uri=STORAGE),
        "properties.OutputData.score.Uri is a folder",
    ),
    "registered data of any version": (
        with_input(JobInputType="UriFolder", Uri=f"{WORKSPACE}/data/claims"),
        "properties.InputData.data.Uri names no version",
    ),
    "registered data as output": (
        with_output(JobOutputType="UriFolder", Uri=DATA),
        "properties.OutputData.score.Uri is registered data",
    ),
    "the folder of a job": (
        with_output(JobOutputType="UriFolder", Uri=f"{STORAGE}/out/{ALICE}/{JOB}"),
        "properties.OutputData.score.Uri is in the folder of a job",
    ),
    "below the folder of a job, in capitals": (
        with_output(JobOutputType="UriFile", Uri=f"{STORAGE}/out/{ALICE}/{JOB.upper()}/x/y.csv"),
        "properties.OutputData.score.Uri is in the folder of a job",
    ),
    "an output with no room below it": (
        outputs(f"{STORAGE}/{'/'.join(['a' * 255] * 7)}/{'a' * 100}"),
        "properties.OutputData.a0.Uri leaves no room",
    ),
    "an output too deep for a folder of its own": (
        outputs(f"{STORAGE}{'/a' * 63}"),
        "properties.OutputData.a0.Uri leaves no room",
    ),
    "two outputs at one place": (
        outputs(f"{STORAGE}/out", f"{STORAGE}/x", f"{STORAGE}/out/"),
        "properties.OutputData.a2.Uri is where another output is",
    ),
    "two outputs at one place by two hosts": (
        outputs(f"{STORAGE}/out", f"{STORAGE.replace('.blob.', '.dfs.')}/out"),
        "properties.OutputData.a1.Uri is where another output is",
    ),
    "two outputs at one place by two spellings": (
        outputs(f"{DATASTORE}/out", f"{DATASTORE.upper()}/out"),
        "properties.OutputData.a1.Uri is where another output is",
    ),
    "a literal of 1,025 characters": (
        with_input(JobInputType="Literal", Value="a" * 1025),
        "properties.InputData.data.Value is too long",
    ),
    "no experiment's name": (
        changed(lambda p: p["properties"].update(experimentName="")),
        "properties.properties.experimentName has a value",
    ),
    "an experiment's name with a line feed": (
        changed(lambda p: p["properties"].update(experimentName="a\nb")),
        "properties.properties.experimentName has a value",
    ),
    "an experiment's name of 256 letters": (
        changed(lambda p: p["properties"].update(experimentName="a" * 256)),
        "properties.properties.experimentName has a value",
    ),
    "a compute with a blank at its end": (
        changed(lambda p: p["compute"].update(target="cpu ")),
        "properties.compute.target has a value",
    ),
    "no instance": (
        changed(lambda p: p["compute"].update(instanceCount=0)),
        "properties.compute.instanceCount is",
    ),
    "no batch": (changed(lambda p: p.update(miniBatchSize=0)), "properties.miniBatchSize is not from 1"),
    "a batch beyond all": (
        changed(lambda p: p.update(miniBatchSize=2**31)),
        "properties.miniBatchSize is not",
    ),
    "a threshold below all": (
        changed(lambda p: p.update(errorThreshold=-2)),
        "properties.errorThreshold is not",
    ),
    "retries below none": (
        changed(lambda p: p["retrySettings"].update(maxRetries=-1)),
        "properties.retrySettings.maxRetries is not",
    ),
    "an unknown level": (
        changed(lambda p: p.update(loggingLevel="info")),
        "properties.loggingLevel has a value",
    ),
    **{
        f"the duration {text!r}": (
            changed(lambda p, text=text: p["retrySettings"].update(timeout=text)),  # type: ignore[misc]
            "properties.retrySettings.timeout has a value",
        )
        for text in (
            "",
            "P",
            "PT",
            "30",
            "PT30",
            "P1DT",
            "PT1S2M",
            "-PT1S",
            "P1Y",
            "PT1.5S",
            "pt1s",
            "PT١S",
            "PT1S\n",
        )
    },
}


@pytest.mark.parametrize(("data", "told"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_t10_it_is_refused_with_its_place(data: bytes, told: str) -> None:
    """T10: 403, where it stands and why, in fixed words and names that are plain; the table is closed."""
    detail = refusal(data).detail
    assert detail is not None
    assert detail.startswith(told)
    assert detail.endswith(".")
    assert len(detail) < 300
    assert detail.isascii()


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "The body is not one JSON object"),
    "no object": (b"[]", "The body is not one JSON object"),
    "a name twice": (b'{"properties":{},"properties":{}}', "The body is not one JSON object"),
    "an address twice": (
        b'{"properties":{"InputData":{"a":{"JobInputType":"UriFile","Uri":"x","Uri":"y"}}}}',
        "The body is not one JSON object",
    ),
    "NaN": (b'{"properties":{"miniBatchSize":NaN}}', "The body is not one JSON object"),
    "UTF-16": ('{"properties":{}}'.encode("utf-16"), "The body is not one JSON object"),
    "half a surrogate pair": (
        b'{"properties":{"loggingLevel":"\\ud800"}}',
        "The body is not one JSON object",
    ),
    "nesting": (
        with_input(JobInputType="Literal", Value=json.loads("[" * 9 + "]" * 9)),
        "The body is not one JSON object",
    ),
    "no properties": (b"{}", "The body must have properties."),
    "properties of another type": (b'{"properties":[]}', "properties must be an object."),
    "inputs of another type": (b'{"properties":{"InputData":[]}}', "properties.InputData must be an object."),
    "outputs that are null": (
        b'{"properties":{"OutputData":null}}',
        "properties.OutputData must be an object.",
    ),
    "an input of another type": (
        b'{"properties":{"InputData":{"data":"x"}}}',
        "properties.InputData.data must be an object.",
    ),
    "an input without a type": (
        with_input(Uri=f"{STORAGE}/in"),
        "properties.InputData.data must have JobInputType.",
    ),
    "an input whose type is no text": (
        with_input(JobInputType=1, Uri=f"{STORAGE}/in"),
        "properties.InputData.data.JobInputType must be a text.",
    ),
    "an input without an address": (
        with_input(JobInputType="UriFile"),
        "properties.InputData.data must have Uri.",
    ),
    "a literal without a value": (
        with_input(JobInputType="Literal"),
        "properties.InputData.data must have Value.",
    ),
    "an output without an address": (
        with_output(JobOutputType="UriFolder"),
        "properties.OutputData.score must have Uri.",
    ),
    "an address that is no text": (
        with_input(JobInputType="UriFile", Uri=[f"{STORAGE}/in/x"]),
        "properties.InputData.data.Uri must be a text.",
    ),
    "an address that is null": (
        with_output(JobOutputType="UriFile", Uri=None),
        "properties.OutputData.score.Uri must be a text.",
    ),
    "a literal that is a list": (
        with_input(JobInputType="Literal", Value=["x"]),
        "properties.InputData.data.Value must be a text, a number, true or false.",
    ),
    "a literal that is an object": (
        with_input(JobInputType="Literal", Value={"Uri": "x"}),
        "properties.InputData.data.Value must be a text, a number, true or false.",
    ),
    "a literal that is null": (
        with_input(JobInputType="Literal", Value=None),
        "properties.InputData.data.Value must be a text, a number, true or false.",
    ),
    "an experiment's name that is no text": (
        changed(lambda p: p["properties"].update(experimentName=1)),
        "properties.properties.experimentName must be a text.",
    ),
    "a compute that is a text": (
        changed(lambda p: p.update(compute="cpu")),
        "properties.compute must be an object.",
    ),
    "true for a number": (
        changed(lambda p: p.update(miniBatchSize=True)),
        "properties.miniBatchSize must be a whole number.",
    ),
    "a broken number": (
        changed(lambda p: p.update(errorThreshold=1.0)),
        "properties.errorThreshold must be a whole number.",
    ),
    "a number as text": (
        changed(lambda p: p["compute"].update(instanceCount="2")),
        "properties.compute.instanceCount must be a whole number.",
    ),
    "retries that are a number": (
        changed(lambda p: p.update(retrySettings=3)),
        "properties.retrySettings must be an object.",
    ),
}


@pytest.mark.parametrize(("data", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_has_the_wrong_shape_is_400(data: bytes, told: str) -> None:
    """S09: JSON that is not of the body's shape, with its place."""
    with pytest.raises(AskedWrongly) as caught:
        read(data)
    assert (caught.value.status, caught.value.slug) == (400, Slug.INVALID_REQUEST)
    assert caught.value.detail is not None
    assert caught.value.detail.startswith(told)


# -- taken -------------------------------------------------------------------------------------------------------------


def test_everything_that_is_wanted_is_told_with_its_place() -> None:
    """T10: each address, literal, name and setting comes before the policy."""
    wanted = read(encoded(FULL)).wanted
    assert wanted == Wanted(
        inputs=(
            ("properties.InputData.data.Uri", parse(f"{STORAGE}/in/")),
            ("properties.InputData.more.Uri", parse(f"{DATASTORE}/in/x.csv")),
            ("properties.InputData.asset.Uri", parse(DATA)),
        ),
        outputs=(
            ("properties.OutputData.score.Uri", parse(f"{STORAGE}/out/")),
            ("properties.OutputData.logs.Uri", parse(f"{DATASTORE}/logs/")),
        ),
        literals=(("properties.InputData.text.Value", "text"),),
        experiments=(("properties.properties.experimentName", "nightly run"),),
        computes=(("properties.compute.target", "cpu-cluster"),),
        settings=(
            ("properties.miniBatchSize", "miniBatchSize"),
            ("properties.errorThreshold", "errorThreshold"),
            ("properties.maxConcurrencyPerInstance", "maxConcurrencyPerInstance"),
            ("properties.loggingLevel", "loggingLevel"),
            ("properties.retrySettings", "retrySettings"),
            ("properties.compute.instanceCount", "instanceCount"),
        ),
    )
    assert {name for _, name in wanted.settings} == SETTINGS


@pytest.mark.parametrize("body", [{}, {"InputData": {}, "OutputData": {}, "properties": {}, "compute": {}}])
def test_what_is_not_said_is_not_wanted(body: dict[str, object]) -> None:
    """A job may leave everything to its deployment."""
    found = read(encoded({"properties": body}))
    assert found.wanted == Wanted()
    text = sent(found, own_folder=True, owner=ALICE, job=JOB)
    assert json.loads(text) == {"properties": {"tags": {"groupgate-job": JOB}}}


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        0,
        -7,
        10**30,
        0.25,
        -1e300,
        "append",
        "2025-06-30",
        "-la",
        "top_k",
        "workspaceblobstore",
        "A" * 64,
    ],
)
def test_a_plain_literal_needs_no_leave(value: object) -> None:
    """True, false, numbers, a date, one word - which may still be a name to who takes names; it is sent as it came."""
    body = read(with_input(JobInputType="Literal", Value=value))
    assert body.wanted == Wanted()
    text = sent(body, own_folder=True, owner=ALICE, job=JOB)
    assert json.loads(text)["properties"]["InputData"]["data"] == {"JobInputType": "Literal", "Value": value}


@pytest.mark.parametrize(
    "value",
    [
        f"{STORAGE}/in/x.csv",
        "a/b",
        "a\\b",
        "c:x",
        "azureml:claims:1",
        "%2e%2e",
        "..",
        "a..b",
        "a\nb",
        "\n",
        "a\n..",
        "\x00",
        "．．",
        "⁄",
        "é",
        "${{name}}",
        "$(id)",
        "`id`",
        "<x>",
        "a;b",
        "~",
        "a@b",
        '"',
        "",
        "A" * 65,
        "a b",
        " a",
        "a\n",
        "0.5",
        "1=1",
        "a,b",
        "(a)",
        "contosopayroll.blob.core.windows.net",
        "169.254.169.254",
        "SELECT name FROM payroll",
        "__import__(chr(111))",
        "2025-06-30T00:00:00Z",
    ],
)
def test_t10_a_literal_that_could_be_an_address_needs_leave(value: str) -> None:
    """T10: a component could open or run what a literal says, so all but one plain word comes before the policy."""
    body = read(with_input(JobInputType="Literal", Value=value))
    assert body.wanted == Wanted(literals=(("properties.InputData.data.Value", "data"),))
    text = sent(body, own_folder=True, owner=ALICE, job=JOB)
    assert text.isascii()
    assert json.loads(text)["properties"]["InputData"]["data"]["Value"] == value
    assert reread(text, job=JOB) == body.wanted


def test_what_is_sent_is_canonical_and_tagged() -> None:
    """T10: addresses in their one spelling, folders with their slash, outputs in the job's own folder, the tag."""
    text = sent(read(encoded(FULL)), own_folder=True, owner=ALICE, job=JOB)
    expected = copy.deepcopy(FULL)
    inside = expected["properties"]
    inside["InputData"]["data"]["Uri"] = f"{STORAGE}/in/"
    inside["InputData"]["more"]["Uri"] = f"{DATASTORE}/in/x.csv"
    inside["OutputData"]["score"]["Uri"] = f"{STORAGE}/out/{ALICE}/{JOB}/predictions.csv"
    inside["OutputData"]["logs"]["Uri"] = f"{DATASTORE}/logs/{ALICE}/{JOB}/"
    inside["tags"] = {"groupgate-job": JOB}
    assert json.loads(text) == expected
    assert text.isascii()
    assert in_own_folder(reread(text, job=JOB), owner=ALICE, job=JOB)


def test_outputs_stay_where_the_rule_says_so() -> None:
    """With `own-folder = false` an output is where the caller wants it, which is told from a folder of its own."""
    text = sent(read(encoded(FULL)), own_folder=False, owner=ALICE, job=JOB)
    found = json.loads(text)["properties"]["OutputData"]
    assert found["score"]["Uri"] == f"{STORAGE}/out/predictions.csv"
    assert found["logs"]["Uri"] == f"{DATASTORE}/logs/"
    wanted = reread(text, job=JOB)
    assert wanted == read(encoded(FULL)).wanted
    assert not in_own_folder(wanted, owner=ALICE, job=JOB)


def test_outputs_at_the_top_are_moved_below_it() -> None:
    """A whole container or datastore, and a file at its top, have the job's folder too."""
    body = read(
        encoded(
            {
                "properties": {
                    "OutputData": {
                        "a": {"JobOutputType": "UriFolder", "Uri": STORAGE},
                        "b": {"JobOutputType": "UriFile", "Uri": f"{DATASTORE}/x.csv"},
                    }
                }
            }
        )
    )
    found = json.loads(sent(body, own_folder=True, owner=ALICE, job=JOB))["properties"]["OutputData"]
    assert found["a"]["Uri"] == f"{STORAGE}/{ALICE}/{JOB}/"
    assert found["b"]["Uri"] == f"{DATASTORE}/{ALICE}/{JOB}/x.csv"
    assert body.wanted.outputs[1][1] == parse(f"{DATASTORE}/")


@pytest.mark.parametrize(
    ("owner", "job"),
    [
        ("", JOB),
        ("..", JOB),
        ("a/b", JOB),
        ("a" * 65, JOB),
        (f"{ALICE}\n", JOB),
        (OTHER, JOB),
        (ALICE, ""),
        (ALICE, ".."),
        (ALICE, f"{JOB}/x"),
        (ALICE, f"{JOB}\n"),
        (ALICE, "job"),
    ],
)
def test_t10_the_folder_has_no_other_name(owner: str, job: str) -> None:
    """T10: what the gate itself puts into an address is checked too; a slip there starts no job."""
    for own_folder in (True, False):
        with pytest.raises(ValueError, match="no id of a job"):
            sent(read(encoded(FULL)), own_folder=own_folder, owner=owner, job=job)


def test_an_output_of_any_length_has_room_for_its_folder() -> None:
    """What is accepted can be sent: the longest address that is taken still takes the longest folder."""
    start = f"{STORAGE}/{'/'.join(['a' * 255] * 7)}/"
    for length in range(60, 140):
        try:
            body = read(outputs(start + "b" * length))
        except Problem:
            break
        text = sent(body, own_folder=True, owner="o" * 64, job=JOB)
        assert reread(text, job=JOB)
    else:
        pytest.fail("nothing is too long")
    assert len(start) + length > MAX_TEXT - 130


# -- stored ------------------------------------------------------------------------------------------------------------


def stored() -> str:
    """Return the full body as it is stored."""
    return sent(read(encoded(FULL)), own_folder=True, owner=ALICE, job=JOB)


TAMPERED: dict[str, str] = {
    "nothing": "",
    "no JSON": "x",
    "what a caller sends": json.dumps(FULL),
    "without the tag": json.dumps({"properties": {}}, separators=(",", ":")),
    "another job's tag": stored().replace(f'"groupgate-job":"{JOB}"', f'"groupgate-job":"{OTHER}"'),
    "another tag beside it": stored().replace('"tags":{', '"tags":{"x":"y",'),
    "another name of the tag": stored().replace("groupgate-job", "groupgate_job"),
    "tags that are a text": stored().replace(f'{{"groupgate-job":"{JOB}"}}', f'"{JOB}"'),
    "another account's signature": stored().replace("predictions.csv", "predictions.csv?sig=x"),
    "dot segments": stored().replace("predictions.csv", "../x.csv"),
    "the folder of another job": stored().replace(f"{ALICE}/{JOB}/", f"{BOB}/{OTHER}/"),
    "a folder without its slash": stored().replace(f"/logs/{ALICE}/{JOB}/", f"/logs/{ALICE}/{JOB}"),
    "another spelling of an id": stored().replace("/resourceGroups/", "/resourcegroups/"),
    "a key that is not known": stored().replace('"properties":{"Inp', '"properties":{"x":1,"Inp'),
    "a name twice": stored().replace('"loggingLevel":', '"miniBatchSize":1,"loggingLevel":'),
    "a blank between": stored().replace(",", ", ", 1),
    "a line feed at its end": stored() + "\n",
    "another spelling of a letter": stored().replace("append", "\\u0061ppend"),
    "another spelling of a number": stored().replace("0.5", "0.50"),
    "a letter beyond ASCII": stored().replace("append", "append\u00e9"),
    "half a surrogate pair": stored().replace("append", "append\ud800"),
}


@pytest.mark.parametrize("text", TAMPERED.values(), ids=TAMPERED.keys())
def test_t10_a_stored_body_is_what_the_gate_wrote(text: str) -> None:
    """T10: whoever can write into the store gets no further than whoever asks the gate."""
    assert text != stored()
    with pytest.raises(Problem) as caught:
        reread(text, job=JOB)
    assert caught.value.status in (400, 403)


def test_t10_a_stored_body_is_for_one_job() -> None:
    """T10: it is refused under the id of another job, and tells whose folder it writes into."""
    with pytest.raises(Problem):
        reread(stored(), job=OTHER)
    wanted = reread(stored(), job=JOB)
    assert in_own_folder(wanted, owner=ALICE, job=JOB)
    assert not in_own_folder(wanted, owner=BOB, job=JOB)
    assert not in_own_folder(wanted, owner=ALICE, job=OTHER)


# -- in general --------------------------------------------------------------------------------------------------------

_SEGMENTS = st.text(st.sampled_from("abz09 -_.=é"), min_size=1, max_size=5) | st.sampled_from(
    [ALICE, BOB, "out"]
)
_FOLDERS = st.builds(
    lambda root, segments, slash: text_of(Place(kind=root.kind, root=root.root, path=segments, folder=slash)),
    st.sampled_from([parse(STORAGE), parse(DATASTORE)]),
    st.lists(_SEGMENTS, max_size=4).map(tuple),
    st.booleans(),
)
_INPUTS = st.fixed_dictionaries({"JobInputType": st.sampled_from(["UriFolder", "UriFile"]), "Uri": _FOLDERS})
_LITERALS = st.fixed_dictionaries(
    {
        "JobInputType": st.just("Literal"),
        "Value": st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
    }
)
_OUTPUTS = st.fixed_dictionaries(
    {"JobOutputType": st.sampled_from(["UriFolder", "UriFile"]), "Uri": _FOLDERS}
)
_NAMES = st.sampled_from(["a", "B", "c_1", "score"])
_BODIES = st.builds(
    lambda inputs, outputs, more: {"properties": {"InputData": inputs, "OutputData": outputs, **more}},
    st.dictionaries(_NAMES, _INPUTS | _LITERALS, max_size=3),
    st.dictionaries(_NAMES, _OUTPUTS, max_size=3),
    st.fixed_dictionaries(
        {}, optional={"miniBatchSize": st.integers(1, 9), "compute": st.just({"target": "cpu"})}
    ),
)


def taken(body: object) -> JobBody | None:
    """Return the body as it is read, None where it is refused."""
    try:
        return read(json.dumps(body).encode())
    except Problem:
        return None


@given(_BODIES, st.booleans())
def test_t10_what_is_stored_wants_no_more_than_what_was_asked(body: object, own_folder: bool) -> None:
    """T10: the second reading gives what the first gave, outputs at or below the places that were asked for."""
    found = taken(body)
    if found is None:
        return
    wanted = reread(sent(found, own_folder=own_folder, owner=ALICE, job=JOB), job=JOB)
    asked = found.wanted
    assert (wanted.inputs, wanted.literals, wanted.computes) == (asked.inputs, asked.literals, asked.computes)
    assert (wanted.settings, wanted.experiments) == (asked.settings, asked.experiments)
    for (place, now), (told, then) in zip(wanted.outputs, asked.outputs, strict=True):
        assert place == told
        assert within(now, then)
    assert in_own_folder(wanted, owner=ALICE, job=JOB) is (own_folder or not asked.outputs)


@settings(max_examples=200)
@given(
    _FOLDERS, _FOLDERS, st.sampled_from(["UriFolder", "UriFile"]), st.sampled_from(["UriFolder", "UriFile"])
)
def test_t10_i07_outputs_of_two_callers_never_overlap(
    one: str, other: str, kind: str, other_kind: str
) -> None:
    """T10, I07: whatever places two callers name, also inside each other's, neither writes where the other does."""
    places = []
    for uri, type_, owner, job in ((one, kind, ALICE, JOB), (other, other_kind, BOB, OTHER)):
        found = taken({"properties": {"OutputData": {"x": {"JobOutputType": type_, "Uri": uri}}}})
        if found is None:
            return
        text = sent(found, own_folder=True, owner=owner, job=job)
        ((_, place),) = reread(text, job=job).outputs
        places.append(place)
    first, second = places
    assert not within(first, second)
    assert not within(second, first)


def test_i07_nobody_writes_into_the_folder_of_a_job_that_is_known() -> None:
    """I07: a caller who has learned another's folder cannot have an output below it."""
    theirs = json.loads(stored())["properties"]["OutputData"]["logs"]["Uri"]
    for uri in (theirs, f"{theirs}x/", f"{theirs}{BOB}/"):
        assert "folder of a job" in str(refusal(outputs(uri)).detail)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from([STORAGE, "UriFile"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["properties", "InputData", "OutputData", "compute", "target", "JobInputType", "JobOutputType", "Uri",
                 "Value", "tags", "retrySettings", "timeout", "a", "experimentName"]
            )
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.binary(max_size=80) | _JSON.map(lambda value: json.dumps({"properties": value}).encode()))
def test_any_bytes_are_a_body_or_a_problem(data: bytes) -> None:
    """Total: whatever comes, nothing else is raised, by the first reading or the second."""
    for attempt in (lambda: read(data), lambda: reread(data.decode("latin-1"), job=JOB)):
        try:
            attempt()
        except Problem as problem:
            assert problem.status in (400, 403)


def test_the_policy_names_what_bodies_hold() -> None:
    """T10: what a policy can allow, and what a body can ask for, are one table in two places."""
    assert frozenset(get_args(JobSetting)) == SETTINGS
    assert NAME.pattern == checks.INPUT_NAME


def test_the_tag_is_what_jobs_are_found_by() -> None:
    """The name of the tag is fixed: a job that was sent before an update is found after it."""
    assert jobbody.TAG == "groupgate-job"
