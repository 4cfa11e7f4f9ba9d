"""The gate's addresses: one table, closed, and the list of models that stands in it without a function of its own."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from shared.surface import ADDRESSES, MODEL_LIST, address_of
from tests.fakes import an_inbound


@pytest.mark.parametrize(
    ("route", "rest"), [("openai", "v1/models"), ("openai", "models"), ("models", "models")]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_the_list_of_models_is_the_gates_own_in_every_shape(route: str, rest: str, method: str) -> None:
    """URL shapes: the three ways in which clients ask for the list; no backend is asked, whatever the method."""
    address = address_of(an_inbound(route, params={"rest": rest}, method=method))
    assert address is MODEL_LIST
    assert (address.backend, address.methods, address.openai) == (None, ("GET", "HEAD"), True)


@pytest.mark.parametrize(
    ("route", "rest"),
    [
        ("openai", ""), ("openai", "v1/models/"), ("openai", "v1/models/gpt"), ("openai", "V1/models"), ("openai", "v1//models"),
        ("openai", "v1/models\n"), ("openai", "v1/../v1/models"), ("openai", "v1%2fmodels"), ("openai", "deployments/gpt/models"),
        ("models", ""), ("models", "v1/models"), ("models", "openai/v1/models"), ("models", "models/gpt"), ("models", "Models"),
    ],
)  # fmt: skip
def test_t02_nothing_else_is_the_list(route: str, rest: str) -> None:
    """T02, E09: the list is three exact paths; all else goes to the backend, which decides on a model or answers 404."""
    assert address_of(an_inbound(route, params={"rest": rest})) is ADDRESSES[route]


@pytest.mark.parametrize("route", list(ADDRESSES))
@pytest.mark.parametrize("params", [{}, {"rest": "v1/models"}, {"name": "v1/models"}])
def test_an_address_is_the_one_that_the_host_matched(route: str, params: dict[str, str]) -> None:
    """A route parameter that another address has means nothing to the rest."""
    expected = MODEL_LIST if route == "openai" and "rest" in params else ADDRESSES[route]
    assert address_of(an_inbound(route, params=params)) is expected


def test_a_path_that_the_host_left_out_is_no_list() -> None:
    """The host gives no value for an empty catch-all."""
    assert address_of(an_inbound("openai", params={})) is ADDRESSES["openai"]


def test_only_addresses_of_models_speak_to_openais_clients() -> None:
    """Errors have the `error` member where OpenAI's clients read them, and nowhere else."""
    assert {name for name, address in ADDRESSES.items() if address.openai} == {"openai", "models"}
    assert {name for name, address in ADDRESSES.items() if address.methods is None} == {"openai", "models"}
    assert {name: address.backend for name, address in ADDRESSES.items() if address.backend} == {
        "score": "online",
        "swagger": "online",
        "jobs": "batch",
        "job": "batch",
        "openai": "openai",
        "models": "openai",
    }


def test_the_table_cannot_be_changed_while_running() -> None:
    """A read-only view of frozen entries."""
    table: Any = ADDRESSES
    with pytest.raises(TypeError):
        table["x"] = MODEL_LIST
    with pytest.raises(FrozenInstanceError):
        table["me"].backend = "online"
