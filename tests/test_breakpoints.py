"""Breakpoints are met where states are asked for, or where they change."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from amachine import Event, Machine, State
from amachine.tracers.breakpoints import Breakpoint, Hit, log_stack


class Flow(Machine):
    a = State()
    b = State(add=[a])
    c = State(multi=True)
    auto = State(auto=True, require=[b])

    @c.state
    def ask_for_b(self, e: Event[Any]) -> None:
        self.b.add()


def watched(**options: Any) -> tuple[Flow, list[str]]:
    met: list[str] = []
    flow = Flow(
        "f", tracers=[Breakpoint(do=lambda hit: met.append(str(hit)), **options)], handler_timeout=None
    )
    return flow, met


def test_it_is_met_when_a_state_is_asked_for() -> None:
    flow, met = watched(added=[Flow.a])
    flow.a.add()
    flow.b.add()  # implies a, and does not ask for it
    flow.a.add()
    flow.a.remove()
    flow.set("a", "c")
    flow.toggle("a")
    flow.toggle("a")
    assert met == ["f +a: add a", "f +a: add a", "f +a: set a, c", "f +a: add a"]


def test_it_is_met_when_a_state_is_to_end() -> None:
    flow, met = watched(removed=["a", "b"])
    flow.a.add()
    flow.remove("a", "b")
    flow.set("a")
    flow.toggle("a")
    assert met == ["f -a -b: remove a, b", "f -b: set a", "f -a: remove a"]


def test_strict_lets_pass_what_is_so_already() -> None:
    flow, met = watched(added=["a", "c"], removed=["a"], strict=True)
    flow.a.add()
    flow.a.add()
    flow.a.remove()
    flow.a.remove()
    flow.c.add()
    flow.c.add()
    assert met == ["f +a: add a", "f -a: remove a", "f +c: add c", "f +c: add c"]


def test_a_queued_mutation_is_met_once_where_it_is_made() -> None:
    stacks: list[str] = []
    flow = Flow(
        "f", tracers=[Breakpoint(added=["b"], do=lambda hit: stacks.append(hit.stack))], handler_timeout=None
    )
    flow.c.add()
    assert len(stacks) == 1
    assert "in ask_for_b" in stacks[0]
    assert "self.b.add()" in stacks[0].splitlines()[-1], "who asked comes last"
    assert "engine.py" not in stacks[0]
    assert "conduct.py" not in stacks[0]


def test_at_the_commit_it_is_met_by_what_really_changes() -> None:
    flow, met = watched(added=["a", "auto", "c"], removed=["a"], at="commit")
    flow.b.add()
    assert met == ["f +a: add b", "f +auto: auto auto by f/1"]
    flow.a.add()
    flow.c.add()
    flow.c.add()
    flow.a.remove()
    assert met[2:] == ["f +c: add c", "f +c: add c", "f -a: remove a"]
    flow, met = watched(added=["c"], at="commit", strict=True)
    flow.c.add()
    flow.c.add()
    assert met == ["f +c: add c"]


def test_a_condition_and_the_number_of_hits() -> None:
    def without_b(hit: Hit) -> bool:
        return not hit.machine.is_active("b")

    flow, met = watched(added=["a"], where=without_b)
    point = flow.tracers[0]
    assert isinstance(point, Breakpoint)
    flow.a.add()
    flow.b.add()
    flow.a.add()
    assert met == ["f +a: add a"]
    assert point.hits == 1
    assert repr(point) == "<Breakpoint +a met 1 times>"


def test_it_can_be_taken_away() -> None:
    flow, met = watched(added=["a"])
    flow.detach(flow.tracers[0])
    flow.a.add()
    assert met == []


def test_by_default_it_calls_breakpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    hits: list[Hit] = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: hits.append(sys._getframe(1).f_locals["hit"]))
    flow = Flow("f", tracers=[Breakpoint(added=["a"])])
    flow.a.add()
    assert [hit.added for hit in hits] == [("a",)]


def test_it_can_log_the_stack(caplog: pytest.LogCaptureFixture) -> None:
    flow = Flow("f", tracers=[Breakpoint(added=["a"], do=log_stack)])
    with caplog.at_level(logging.WARNING, "amachine.breakpoint"):
        flow.a.add()
    assert caplog.messages[0].startswith("[break] f +a: add a\n")
    assert "test_it_can_log_the_stack" in caplog.messages[0]


def test_without_states_it_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="give it `added` or `removed`"):
        Breakpoint()


def test_mutations_that_never_run_are_forgotten() -> None:
    class Closing(Machine):
        a = State()
        b = State()

        @a.state
        def stop(self, e: Event[Any]) -> None:
            self.b.add()
            self.detach(point)

    point = Breakpoint(added=["b"], do=lambda hit: None)
    Closing("m", tracers=[point]).a.add()
    assert point.hits == 1
    assert point._queued == set()
