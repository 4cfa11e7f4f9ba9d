"""Reads what starts a job of a model deployment: one input, at most one output, whose names nobody looks at."""

import json
from dataclasses import dataclass
from typing import Any

PREDICTIONS = "predictions.csv"


class BadBodyError(Exception):
    """The service would not take the body; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wished:
    """What a body asks for."""

    input: str
    """Address of a CSV file, or of a folder of them."""
    output: str | None
    """Address of the file to write; None where nothing is said. Below a folder it is PREDICTIONS."""
    tags: dict[str, str]


def read(body: bytes) -> Wished:
    """Give what is asked for; raise `BadBodyError`. Keys that are not known here are passed over."""
    try:
        document = json.loads(body)
    except ValueError:
        raise BadBodyError("The body is no JSON.") from None
    match document:
        case {"properties": dict() as properties}:
            tags = _object(properties, "tags")
            return Wished(
                input=_input(properties),
                output=_output(properties),
                tags={name: value for name, value in tags.items() if isinstance(value, str)},
            )
        case _:
            raise BadBodyError("The body has no properties.")


def _input(properties: dict[str, Any]) -> str:
    match list(_object(properties, "InputData").values()):
        case [{"JobInputType": "UriFolder" | "UriFile", "Uri": str(uri)}]:
            return uri
        case _:
            raise BadBodyError("A model deployment takes exactly one input, a UriFolder or UriFile.")


def _output(properties: dict[str, Any]) -> str | None:
    match list(_object(properties, "OutputData").values()):
        case []:
            return None
        case [{"JobOutputType": "UriFile" | "UriFolder", "Uri": str(uri)}]:
            return uri if uri.endswith(".csv") else f"{uri.removesuffix('/')}/{PREDICTIONS}"
        case _:
            raise BadBodyError("A model deployment has one output, a UriFile or UriFolder.")


def _object(properties: dict[str, Any], name: str) -> dict[str, Any]:
    match properties.get(name, {}):
        case dict() as found:
            return found
        case _:
            raise BadBodyError(f"{name} is no object.")
