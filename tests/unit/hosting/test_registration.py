"""Registering the gate's addresses, and reading a declared length."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from shared.hosting import classic
from shared.hosting.registration import declared_length, register
from shared.model import Inbound, Reply
from shared.surface import ADDRESSES


async def _handle(inbound: Inbound) -> Reply:
    return Reply(status=200, headers=())


def bindings() -> dict[str, dict[str, Any]]:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    register(app, classic.function_for, _handle)
    found = {}
    for function in app.get_functions():
        described = json.loads(str(function.get_function_json()))
        (trigger,) = [b for b in described["bindings"] if b["type"] == "httpTrigger"]
        found[function.get_function_name()] = trigger
    return found


def test_e10_no_host_key_opens_or_identifies_anything() -> None:
    """E10: every function is anonymous to the host; who may call is the gate's to say."""
    assert {str(trigger["authLevel"]).upper() for trigger in bindings().values()} == {"ANONYMOUS"}


def test_t16_no_function_is_registered_for_methods() -> None:
    """Design, "Routes": the host would turn a wrong method into a bare 404 before the gate sees it."""
    assert not [name for name, trigger in bindings().items() if trigger.get("methods")]


def test_each_address_of_the_gate_is_a_function_of_its_own() -> None:
    """The one table of routes is what the host gets, and nothing beside it; there is no wildcard at the root.

    Those that need Durable Functions are not among them: without the extension the host would refuse them all.
    """
    found = {name: trigger["route"] for name, trigger in bindings().items()}
    assert found == {name: address.template for name, address in ADDRESSES.items() if not address.durable}
    assert found == {
        "score": "endpoints/{name}/score",
        "swagger": "endpoints/{name}/swagger.json",
        "openai": "openai/{*rest}",
        "models": "models/{*rest}",
        "me": "me",
        "healthz": "healthz",
        "readyz": "readyz",
    }
    assert not any(route.startswith("{") for route in found.values())


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        "5, 5",
        "5,6",
        "1_000",
        " 5",
        "5\n",
        "\u0665",
        "\u00b2",
        "9" * 16,
        "five",
    ],
)
def test_t14_what_is_no_plain_number_is_no_length(value: str | None) -> None:
    """T14, RFC 9110, 8.6: signs, lists, other digits and absurd lengths declare nothing."""
    assert declared_length(value) is None


@pytest.mark.parametrize(("value", "length"), [("0", 0), ("5", 5), ("007", 7), ("9" * 15, 10**15 - 1)])
def test_a_plain_number_is_a_length(value: str, length: int) -> None:
    """Digits are a number of bytes."""
    assert declared_length(value) == length
