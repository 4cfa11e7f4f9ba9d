"""The values that a batch endpoint's rules are made of: what jobs may read, write and change."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from shared.policy import checks
from shared.policy.values import address, text

_PLACE: Final = "^(https://|/[sS]ubscriptions/)[!-~]+$"

JobSetting = Literal[
    "errorThreshold",
    "instanceCount",
    "loggingLevel",
    "maxConcurrencyPerInstance",
    "miniBatchSize",
    "retrySettings",
]
"""Further properties of a job that a policy may open; `shared/backends/jobfields.py` says what each may hold."""

Inputs = Annotated[
    list[Annotated[str, address(checks.place, pattern=_PLACE)]],
    Meta(
        min_length=1,
        description="Where inputs may lie: at or below any of these storage URLs, datastore paths or registered data; "
        "by default a job may read no data.",
    ),
]
Outputs = Annotated[
    list[Annotated[str, address(checks.output_place, pattern=_PLACE)]],
    Meta(
        min_length=1,
        description="Where outputs may lie: at or below any of these storage URLs or datastore paths; by default no "
        "place may be named.",
    ),
]
OwnFolder = Annotated[
    bool,
    Meta(
        description="Put each output into a folder of its own for the caller and the job.",
        extra_json_schema={"default": True},
    ),
]
Literals = Annotated[
    list[Annotated[str, text(checks.input_name, pattern=f"^{checks.INPUT_NAME}$")]],
    Meta(
        min_length=1,
        description="Names of literal inputs that may hold any text; others hold one plain word only.",
    ),
]
Experiments = Annotated[
    list[Annotated[str, text(checks.job_label, pattern=f"^{checks.JOB_LABEL}$")]],
    Meta(min_length=1, description="Experiments that a job may name; by default none."),
]
Computes = Annotated[
    list[Annotated[str, text(checks.job_label, pattern=f"^{checks.JOB_LABEL}$")]],
    Meta(min_length=1, description="Computes that a job may name; by default none."),
]
Settings = Annotated[
    list[JobSetting],
    Meta(min_length=1, description="Further properties that a job may set; by default none."),
]
See = Annotated[
    Literal["own", "all"],
    Meta(
        description="Whose jobs may be seen, listed and cancelled: the caller's own, or everybody's.",
        extra_json_schema={"default": "own"},
    ),
]
Notify = Annotated[
    str,
    Meta(
        description="Told the end of each job, signed: an https URL whose host [hosts] allow names.",
        extra_json_schema={"pattern": "^https?://[^ ?#@%]+$"},
    ),
]
Workspace = Annotated[
    str,
    text(
        checks.workspace,
        pattern=f"^{checks.WORKSPACE}$",
        description="ARM id of the endpoint's workspace, in which a job is looked for after a crash.",
    ),
]
Management = Annotated[
    str,
    Meta(
        description="Address of Azure Resource Manager, which cancels jobs; by default that of the url's cloud.",
        extra_json_schema={"pattern": "^https?://[^ /?#@%]+/?$"},
    ),
]
