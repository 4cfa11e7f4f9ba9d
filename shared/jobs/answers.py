"""What Azure ML's answers about batch jobs say, taken one field at a time: nothing goes on that is not understood. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from shared.strictjson import StrictJsonError, loads_object

UNKNOWN: Final = "Unknown"
"""Status of a job whose answer has none that could be shown; a word of Azure ML's own (protocols, 5.3)."""
MOST_OUTPUT: Final = 6_000
"""Characters of all outputs together as ASCII JSON: a job's custom status holds 16 KiB of UTF-16 with all else in it."""

Fields = Mapping[str, object]

_MOST_DEPTH: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
"""Names of jobs, as azure-ai-ml checks them: nothing that could mean more in a path than itself."""
_STATUS: Final = re.compile(r"[A-Za-z]{1,32}")
_WORKSPACE: Final = (
    r"/subscriptions/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[a-z0-9_()-][a-z0-9._()-]{0,89}"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/[a-z0-9][a-z0-9_-]{0,254}"
)
_JOB_ID: Final = re.compile(
    rf"({_WORKSPACE})(?:/batchEndpoints/[a-z0-9-]{{0,64}}(?:/deployments/[a-z0-9_-]{{1,64}})?)?/jobs/([a-z0-9_-]{{1,255}})",
    re.IGNORECASE | re.ASCII,
)
"""The answer to a POST may leave the endpoint's name empty: `…/batchEndpoints//jobs/{name}`."""
_DEPLOYMENT: Final = "azureml.deploymentname"
"""Where answers say which deployment runs a job: seen in published recordings, in no documentation."""
_OUTPUTS: Final = ("OutputData", "outputData", "outputs", "Outputs")
_MEMBER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""No underscore in front: Durable's own JSON reads a member `__class__` as an object to be made (df_serialization)."""
_LONGEST: Final = 2_048
_ADDRESS: Final = re.compile(r"[?#]")
_SECRET: Final = re.compile(
    # Percent signs may be encoded over and over; who decodes often enough finds what stood there.
    r"(?:sig|accountkey|sharedaccesskey|sharedaccesssignature)\s*(?:=|%(?:25)*3d)"
    r"|https?:[^?#]*@|://[^/?#@]*:[^/?#]*@",
    re.IGNORECASE | re.ASCII,
)
"""A signature or key, or an address with a user or password; `abfss://container@account` has neither."""


def fields(data: bytes) -> Fields | None:
    """Return the members of an answer; None for what is no JSON object that two readers would read alike."""
    try:
        return loads_object(data, max_depth=_MOST_DEPTH)
    except StrictJsonError:
        return None


def below(of: Fields, name: str) -> Fields:
    """Return the object that is the member `name`; an empty one for everything else."""
    value = of.get(name)
    return value if isinstance(value, dict) else {}


def is_name(text: object) -> bool:
    """Say whether `text` can be the name of a job in a URL."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def name(job: Fields) -> str | None:
    """Return the name under which the service knows the job: the last segment of `id`, else `name` (protocols, 5.2)."""
    of_id = job.get("id")
    last = of_id.rpartition("/")[2] if isinstance(of_id, str) else None
    for candidate in (last, job.get("name")):
        if isinstance(candidate, str) and is_name(candidate):
            return candidate
    return None


def arm_id(job: Fields) -> str | None:
    """Return the job's ARM id; None when it is not plainly one."""
    value = job.get("id")
    return value if isinstance(value, str) and _JOB_ID.fullmatch(value) else None


def workspace(arm_id: str | None, name: str) -> str | None:
    """Return the ARM id of the workspace in which the job `name` is; None when `arm_id` is not plainly that job's."""
    found = _JOB_ID.fullmatch(arm_id or "")
    return found[1] if found is not None and found[2] == name else None


def tagged(job: Fields, tag: str, value: str) -> bool:
    """Say whether the job carries this tag."""
    return below(below(job, "properties"), "tags").get(tag) == value


def status(job: Fields) -> str:
    """Return the job's status as the service says it; `Unknown` for what is no plain word."""
    word = below(job, "properties").get("status")
    return word if isinstance(word, str) and _STATUS.fullmatch(word) else UNKNOWN


def deployment(job: Fields) -> str | None:
    """Return the deployment that the job runs on, None where the answer does not say."""
    properties = below(job, "properties")
    for place in ("properties", "tags"):
        value = below(properties, place).get(_DEPLOYMENT)
        if isinstance(value, str) and _MEMBER.fullmatch(value):
            return value
    return None


def outputs(job: Fields) -> dict[str, Any]:
    """Return the job's outputs, without anything that could be a SAS (threat I08), of at most MOST_OUTPUT characters.

    Names and plain members stay as they come; every address loses its query and fragment; what still looks like a
    secret, is nested deeper, or does not fit is left out.
    """
    properties = below(job, "properties")
    reported = next((found for place in _OUTPUTS if (found := below(properties, place))), {})
    kept: dict[str, Any] = {}
    left = MOST_OUTPUT
    for output, value in reported.items():
        cleaned = _cleaned(value)
        if cleaned is None or not _MEMBER.fullmatch(output):
            continue
        left -= len(json.dumps({output: cleaned}))
        if left < 0:
            break
        kept[output] = cleaned
    return kept


def _cleaned(value: object) -> Any:
    if not isinstance(value, dict):
        return _plain(value)
    members = {name: plain for name, one in value.items() if (plain := _plain(one)) is not None}
    return {name: plain for name, plain in members.items() if _MEMBER.fullmatch(name)} or None


def _plain(value: object) -> str | float | bool | None:
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        return None
    # Whatever has a question mark or a hash is treated as an address: an odd spelling of one must not slip through.
    text = _ADDRESS.split(value, maxsplit=1)[0]
    fits = 0 < len(text) <= _LONGEST and text.isprintable()
    return text if fits and _SECRET.search(text) is None else None
