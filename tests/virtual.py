"""For tests in virtual time: import `anyio_backend`, and every async test of the module runs so, in both event loops."""

from __future__ import annotations

from typing import Any

import pytest

from amachine.testing import virtual_clock


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both event loops, in virtual time."""
    return virtual_clock(request.param)
