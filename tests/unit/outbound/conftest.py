from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.outbound.transport import AiohttpTransport
from tests.unit.outbound.servers import RealClock


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    """A transport that is closed again."""
    transport = AiohttpTransport(RealClock())
    yield transport
    await transport.close()
