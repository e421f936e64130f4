"""The pytest plugin: the fixtures `machine` and `machine_recorder`, and `--amachine-trace`.

It is loaded in every run of pytest where amachine is installed: nothing here is imported, made or watched before a test asks.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from amachine.testing.fixtures import Machines
    from amachine.tracers.recorder import Recorder

_trace = pytest.StashKey["Recorder"]()
_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say what the plugin takes."""
    parser.getgroup("amachine").addoption(
        "--amachine-trace",
        action="store_true",
        help="show the transitions of all machines that a failing test has made",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Record every machine that is made during a test, its fixtures included, if asked to."""
    if not item.config.getoption("amachine_trace"):
        return (yield)
    from amachine.testing.stories import recording

    with recording() as recorder:
        item.stash[_trace] = recorder
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show in the report of a failure what the machines did."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
        recorder = item.stash.get(_trace, None)
        if recorder is not None and len(recorder):
            report.sections.append(("amachine trace", recorder.text()))
    return report


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Generator[Machines]:
    """Make machines that are recorded, and closed after the test.

    `flow = machine(Flow, "id")` is a `Flow("id")`. A test fails if one of them ends with an error that it has not looked at:
    see `amachine.testing.assert_error`.
    """
    from amachine.testing.fixtures import Machines
    from amachine.tracers.recorder import Recorder

    recorder = request.node.stash.get(_trace, None)
    machines = Machines(Recorder() if recorder is None else recorder)
    yield machines
    told = machines.close()
    if told and not request.node.stash.get(_failed, False):
        pytest.fail("\n\n".join(told), pytrace=False)


@pytest.fixture
def machine_recorder() -> Generator[Recorder]:
    """A recorder of every machine that is made in the meantime, by whomever."""
    from amachine.testing.stories import recording

    with recording() as recorder:
        yield recorder
