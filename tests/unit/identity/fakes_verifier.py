"""A verifier of a test's own Entra, and the question why it refuses."""

from __future__ import annotations

import pytest

from shared.identity.token import TokenVerifier
from shared.model import Reason
from shared.problem import Unauthenticated
from tests.unit.identity.fakes_entra import (
    AUDIENCE,
    FixedKeys,
)
from tests.unit.identity.fakes_principal import (
    TENANT,
    FakeClock,
)

APP_ID_URI = f"api://{AUDIENCE}"
INVALID = Reason.TOKEN_INVALID


def verifier(
    *,
    keys: FixedKeys | None = None,
    clock: FakeClock | None = None,
    audiences: tuple[str, ...] = (AUDIENCE, APP_ID_URI),
) -> TokenVerifier:
    return TokenVerifier(
        tenant=TENANT, audiences=frozenset(audiences), source=keys or FixedKeys(), clock=clock or FakeClock()
    )


async def reason(text: str, *, by: TokenVerifier | None = None) -> Reason:
    """Return why a token proves nobody."""
    with pytest.raises(Unauthenticated) as refused:
        await (by or verifier()).verify(text)
    return refused.value.reason
