"""There is no identity for development: nothing can switch one on."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from shared.model import Headers, Reason
from shared.problem import Unauthenticated
from shared.settings import Settings
from tests.unit.identity.fakes_principal import TENANT, encoded, gatekeeper, headers, user

_DEVELOPMENT = {
    "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
    "FUNCTIONS_CORETOOLS_ENVIRONMENT": "1",
    "GROUPGATE_DEV_PRINCIPAL": "principal.json",
    "GROUPGATE_DEVELOPMENT": "true",
}
_AZURE = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "WEBSITE_POD_NAME", "CONTAINER_APP_NAME")


@pytest.mark.parametrize("present", list(itertools.product([False, True], repeat=len(_DEVELOPMENT))))
def test_no_variable_of_a_developers_machine_replaces_the_platforms_word(present: tuple[bool, ...]) -> None:
    """S18: whatever such variables say, headers count only with WEBSITE_AUTH_ENABLED."""
    env = {"GROUPGATE_TENANT_ID": TENANT}
    env |= {name: value for (name, value), there in zip(_DEVELOPMENT.items(), present, strict=True) if there}
    assert not Settings.from_env(env).platform_auth_enabled()


@pytest.mark.parametrize("evidence", _AZURE)
@pytest.mark.parametrize("switch", [("GROUPGATE_CREDENTIAL", "developer"), ("GROUPGATE_ALLOW_HTTP", "true")])
def test_what_is_for_a_laptop_is_a_fault_in_azure(evidence: str, switch: tuple[str, str]) -> None:
    """S18: a developer's credential and plain http are configuration faults there, so everything is 503."""
    env = {"GROUPGATE_TENANT_ID": TENANT, switch[0]: switch[1]}
    assert not Settings.from_env(env).faults
    assert [fault.place for fault in Settings.from_env(env | {evidence: "x"}).faults] == [switch[0]]


def test_the_modes_are_three() -> None:
    """S18: none of them is for development."""
    faults = [
        Settings.from_env(
            {"GROUPGATE_TENANT_ID": TENANT, "GROUPGATE_IDENTITY": mode, "GROUPGATE_AUDIENCE": "a"}
        ).faults
        for mode in ("easyauth", "token", "both", "development", "none", "file", "anonymous")
    ]
    assert [bool(found) for found in faults] == [False, False, False, True, True, True, True]
    assert not {field.name for field in dataclasses.fields(Settings)} & {
        "dev",
        "development",
        "dev_principal",
    }


async def test_a_page_or_neighbour_cannot_set_an_identity() -> None:
    """S19: on a machine without App Service Authentication a principal header of any origin names nobody."""
    hostile = (("Host", "evil.test"), ("Origin", "https://evil.test"), ("Sec-Fetch-Site", "cross-site"))
    local = (("Host", "localhost:7071"), ("X-Forwarded-For", "127.0.0.1"))
    for more in (hostile, local, ()):
        given: Headers = headers(encoded(user()), *more)
        with pytest.raises(Unauthenticated) as refused:
            await gatekeeper(enabled=False).authenticate(given)
        assert refused.value.reason is Reason.PLATFORM_AUTH_OFF
