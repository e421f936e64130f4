"""What every test shares: both event loops, and a Hypothesis that does not fail for a slow machine."""

from __future__ import annotations

import re

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests are told apart by their names, also between processes: an address of memory in one would be another each time."""
    nameless = [item.nodeid for item in items if re.search(r"\b0x[0-9a-f]{6,}", item.nodeid)]
    if nameless:
        raise pytest.UsageError(f"give these parameters ids: {', '.join(nameless)}")
