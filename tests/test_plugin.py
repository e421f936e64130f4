"""The pytest plugin, seen from outside: small suites of tests, each run in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from amachine import binding

pytest_plugins = ["pytester"]

# Installed, the plugin loads by itself; from a source tree that is on the path only, it is named.
INSTALLED = bool(entry_points(group="pytest11", name="amachine"))
PLUGIN = () if INSTALLED else ("-p", "amachine.testing.plugin")

FLOW = """
import pytest
from amachine import Machine, State, Event
from amachine.testing import assert_active, assert_error

class Flow(Machine):
    start = State()
    ready = State(require=[start])
    bad = State()

    @bad.state
    def fail(self, e: Event[None]) -> None:
        raise ValueError("broken")
"""


def run(pytester: pytest.Pytester, tests: str, *words: str) -> pytest.RunResult:
    pytester.makepyfile(FLOW + tests)
    return pytester.runpytest_inprocess(*PLUGIN, "-q", "-p", "no:cacheprovider", *words)


def test_machines_are_made_recorded_and_closed(pytester: pytest.Pytester) -> None:
    tests = """
made = []

def test_one(machine):
    flow = machine(Flow, "flow", queue_limit=5)
    other = machine({"a": {}}, "other")
    made.extend([flow, other])
    flow.start.add()
    other.add("a")
    assert [str(record) for record in machine.recorder] == [
        "flow/1 add start → executed +start", "other/1 add a → executed +a",
    ]
    assert machine.made == (flow, other)
    assert type(flow) is Flow

def test_two():
    assert all(machine.is_closed for machine in made)
"""
    run(pytester, tests).assert_outcomes(passed=2)


def test_an_error_that_nobody_has_looked_at_fails_the_test(pytester: pytest.Pytester) -> None:
    tests = """
def test_ignores(machine):
    machine(Flow, "flow").bad.add()

def test_looks(machine):
    flow = machine(Flow)
    flow.bad.add()
    assert_error(flow, ValueError, match="broken")

def test_allows(machine):
    machine(Flow, allow_errors=True).bad.add()

def test_recovers(machine):
    flow = machine(Flow)
    flow.bad.add()
    flow.remove("Exception")
"""
    result = run(pytester, tests)
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_ignores*",
            "machine flow ended with an error that the test has not looked at*: ValueError('broken')",
            "  flow/1 add bad → failed: *raised ValueError('broken')*",
        ]
    )


def test_a_test_that_has_failed_is_not_failed_again(pytester: pytest.Pytester) -> None:
    tests = """
def test_fails(machine):
    machine(Flow).bad.add()
    assert False
"""
    run(pytester, tests).assert_outcomes(failed=1)


def test_the_story_of_a_failed_assertion_comes_from_the_recorder(pytester: pytest.Pytester) -> None:
    tests = """
def test_fails(machine):
    flow = machine(Flow, "flow")
    flow.ready.add()
    assert_active(flow, Flow.ready)
"""
    result = run(pytester, tests)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: flow: ready is not active",
            "E * refused last: flow/1 add ready → canceled: ready requires start, which is inactive",
        ]
    )
    assert "assertions.py" not in result.stdout.str(), "its own frames are not shown"


TRACED = """
@pytest.fixture
def flow():
    return Flow("from-a-fixture")

def test_fails(flow):
    flow.start.add()
    Flow("by-itself").ready.add()
    assert False

def test_passes():
    Flow("fine").start.add()

def test_fails_without_machines():
    assert False
"""


def test_traces_are_shown_of_every_machine_of_a_failing_test_if_asked_for(pytester: pytest.Pytester) -> None:
    before = list(binding.everywhere)
    result = run(pytester, TRACED, "--amachine-trace")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*- amachine trace -*",
            "* from-a-fixture/1 add start → executed +start",
            "* by-itself/1 add ready → canceled: ready requires start, which is inactive",
        ]
    )
    out = result.stdout.str()
    assert "fine/1" not in out
    assert out.count("- amachine trace -") == 1
    assert binding.everywhere == before


def test_traces_are_not_shown_unless_asked_for(pytester: pytest.Pytester) -> None:
    result = run(pytester, TRACED)
    result.assert_outcomes(failed=2, passed=1)
    assert "amachine trace" not in result.stdout.str()


def test_with_the_trace_a_machine_of_the_fixture_is_recorded_once(pytester: pytest.Pytester) -> None:
    tests = """
def test_fails(machine):
    machine(Flow, "flow").start.add()
    assert len(machine.recorder) == 1
    assert False, "on purpose"
"""
    result = run(pytester, tests, "--amachine-trace")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*on purpose*", "* flow/1 add start → executed +start"])
    assert result.stdout.str().count("flow/1 add start") == 1


def test_every_machine_made_meanwhile_is_recorded_for_who_asks(pytester: pytest.Pytester) -> None:
    tests = """
def test_one(machine_recorder):
    Flow("flow").start.add()
    assert [record.id for record in machine_recorder] == ["flow/1"]
"""
    run(pytester, tests).assert_outcomes(passed=1)


def test_machines_of_async_tests_are_left_to_their_event_loop(pytester: pytest.Pytester) -> None:
    tests = """
pytestmark = pytest.mark.anyio

async def test_one(machine):
    async with machine(Flow, "flow") as flow:
        flow.start.add()
        await flow.start.when()
    assert flow.is_closed
"""
    run(pytester, tests).assert_outcomes(passed=2)


def test_the_plugin_loads_nothing_of_the_kit_by_itself() -> None:
    code = """
import sys, amachine, pytest
before = set(sys.modules)
import amachine.testing.plugin
print(*sorted(name for name in set(sys.modules) - before if name != "amachine.testing.plugin"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["amachine.testing"]
