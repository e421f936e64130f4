"""What every test shares: both event loops, and a Hypothesis that does not fail for a slow machine."""

from __future__ import annotations

import hypothesis
import pytest

# Where CI is set, Hypothesis is deterministic by itself; this profile keeps that and lifts the deadline everywhere.
hypothesis.settings.register_profile("amachine", deadline=None)
hypothesis.settings.load_profile("amachine")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Runs an async test once per event loop; `anyio_mode = "auto"` sees to it that each one asks for this."""
    backend: str = request.param
    return backend
