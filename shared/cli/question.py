"""What `groupgate explain` is asked about: an endpoint or a model, and what is wanted of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final, get_args

import msgspec

from shared.authorize import Ruling, authorize
from shared.backends import jobbody
from shared.model import Allow, Asked, Deny, Policy, Principal, Reason, Wanted
from shared.operations import CANCEL_JOB, DEFAULT, LIST, STATUS, SUBMIT, ModelOperation
from shared.policy.routing import match
from shared.ports import Memberships
from shared.problem import AskedWrongly, Problem

_JOBS: Final = MappingProxyType({"submit": SUBMIT, "list": LIST, "status": STATUS, "cancel": CANCEL_JOB})
"""What may be asked of a batch endpoint, in the words of the command line."""


class Unusable(Exception):
    """What was given cannot be explained; the message says why and what to give."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and the job that is wanted where it is one."""

    asked: Asked
    operation: str | None
    """As it was given; None is what the endpoint is for."""
    body: bytes | None
    """What would be submitted."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--endpoint", metavar="NAME", help="the endpoint's name in the policy")
    target.add_argument("--model", metavar="NAME", help="the model's name in the policy")
    parser.add_argument("--deployment", metavar="NAME", help="the azureml-model-deployment that is asked for")
    parser.add_argument(
        "--operation", choices=(*get_args(ModelOperation), *_JOBS), metavar="NAME",
        help=f"what is asked of a model: {', '.join(get_args(ModelOperation))}; default {DEFAULT[0]}; "
        f"or of a batch endpoint: {', '.join(_JOBS)}; default submit",
    )  # fmt: skip
    parser.add_argument(
        "--input", action="append", default=[], metavar="URI",
        help="what a job would read: a file, or a folder with a slash at its end; may come again",
    )  # fmt: skip
    parser.add_argument(
        "--output", action="append", default=[], metavar="URI",
        help="where a job would write, as with --input",
    )  # fmt: skip
    parser.add_argument(
        "--all-jobs", action="store_true", help="list, status or cancel: of the jobs of others too"
    )


def question_of(arguments: argparse.Namespace) -> Question:
    """Return what is asked; raise Unusable for options that do not go together."""
    operation: str | None = arguments.operation
    wants = bool(arguments.input or arguments.output)
    if arguments.model is not None:
        if arguments.deployment is not None or wants or arguments.all_jobs or operation in _JOBS:
            only = "--deployment, --input, --output, --all-jobs and operations on jobs go"
            raise Unusable(f"{only} with --endpoint")
        asked = Asked(target="model", name=arguments.model, operation=operation or DEFAULT[0])
        return Question(asked=asked, operation=operation, body=None)
    if operation is not None and operation not in _JOBS:
        raise Unusable(f"--operation {operation} goes with --model")
    later = operation is not None and operation != "submit"
    if later and (arguments.deployment is not None or wants):
        raise Unusable("--deployment, --input and --output go with --operation submit")
    if arguments.all_jobs and not later:
        raise Unusable("--all-jobs goes with --operation list, status or cancel")
    asked = Asked(
        target="endpoint",
        name=arguments.endpoint,
        operation="score" if operation is None else _JOBS[operation],
        deployment=arguments.deployment,
        everyones=arguments.all_jobs,
    )
    body = _body(arguments.input, arguments.output) if wants else None
    return Question(asked=asked, operation=operation, body=body)


def settled(question: Question, policy: Policy) -> Asked:
    """Return what is asked of `policy`; raise Unusable for a job that its endpoint does not run."""
    route = match(policy, question.asked)
    batch = route is not None and route.kind == "batch"
    if question.body is not None and route is not None and not batch:
        raise Unusable("--input and --output go with a batch endpoint")
    if question.operation is None and batch:
        return msgspec.structs.replace(question.asked, operation=SUBMIT)
    return question.asked


async def rule_on(
    question: Question, asked: Asked, *, policy: Policy, memberships: Memberships, principal: Principal
) -> tuple[Asked, Ruling]:
    """Return what was decided in the end, and the ruling on it, in the order in which the gate itself decides.

    Raise problem.Undecidable; Unusable for addresses that are no text of JSON.
    """
    ruling = await authorize(policy, memberships, principal, asked)
    if asked.operation != SUBMIT or not isinstance(ruling.decision, Allow):
        return asked, ruling
    try:
        # A job without data is asked for as well: rules that differ in what they say of jobs may tell it apart.
        wanted = Wanted() if question.body is None else jobbody.read(question.body).wanted
    except AskedWrongly as fault:
        raise Unusable(fault.detail or "the addresses are no text") from fault
    except Problem as refusal:
        deny = Deny(reason=Reason.INPUT_NOT_ALLOWED, place=refusal.detail)
        return asked, msgspec.structs.replace(ruling, decision=deny)
    asked = msgspec.structs.replace(asked, wanted=wanted)
    return asked, await authorize(policy, memberships, principal, asked)


def _body(inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return a job's body with these addresses, so that the gate's own reading of one judges them."""
    properties: dict[str, Any] = {}
    for section, name, uris in (("InputData", "input", inputs), ("OutputData", "output", outputs)):
        if uris:
            properties[section] = {
                f"{name}{number}": {f"Job{name.capitalize()}Type": _type(uri), "Uri": uri}
                for number, uri in enumerate(uris, 1)
            }
    return json.dumps({"properties": properties}).encode()


def _type(uri: str) -> str:
    return "UriFolder" if uri.endswith("/") else "UriFile"
