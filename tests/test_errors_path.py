"""Errors are states: section 6 of the contract, sentence by sentence."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amachine import (
    CascadeError,
    ErrorInfo,
    Event,
    HandlerTimeout,
    Machine,
    QueueFull,
    Tracer,
    Transition,
)

Handlers = dict[str, Callable[[Event[Any]], Any]]


class Records(Tracer):
    """The transitions that ended."""

    def __init__(self) -> None:
        self.all: list[Transition] = []

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self.all.append(transition)

    def __iter__(self) -> Iterator[str]:
        return (
            f"{'auto ' if t.auto else ''}{t.kind.value} {' '.join(t.called)}: {t.status.value}"
            for t in self.all
        )


def fail(event: Event[Any]) -> None:
    raise RuntimeError(event.name)


def accept(event: Event[Any]) -> None:
    """Be bound, and do nothing."""


def refuse(event: Event[Any]) -> bool:
    return False


def machine_of(data: dict[str, Any], handlers: Handlers, **options: Any) -> tuple[Machine, Records]:
    """A machine whose errors are handled, so that nothing is logged that is not meant to be."""
    records = Records()
    heard: Handlers = {"ExceptionState": accept}
    return Machine.of(data, "m", handlers=[handlers, heard], tracers=[records], **options), records


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(record.exc_info[1]) for record in caplog.records if record.exc_info]


# An exception in negotiation cancels.


@pytest.mark.parametrize("name", ["BEnter", "AExit", "AB", "CC", "AnyEnter"])
def test_an_error_in_negotiation_cancels_and_changes_nothing_but_exception(name: str) -> None:
    machine, records = machine_of({"A": {"remove": ["B"]}, "B": {"remove": ["A"]}, "C": {}}, {})
    machine.add("A", "C")
    calls = 0

    def once(event: Event[Any]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("no")

    machine.bind({name: once})
    result = machine.add("B")
    assert result.canceled
    assert "no" in result.why
    assert name in result.why
    assert machine.clock == {"A": 1, "B": 0, "C": 1, "Exception": 1}
    assert list(records)[1:] == ["add B: canceled", "add Exception: executed"]
    assert records.all[1].active == ("A", "C")


# An exception in a `State` handler puts back.

CHAIN: dict[str, Any] = {
    "A": {},
    "B": {"after": ["A"]},
    "C": {"after": ["B"]},
    "Old": {"remove": []},
    "Auto": {"auto": True, "require": ["C"]},
}


def test_an_error_in_a_state_handler_puts_back_its_state_and_the_enters_after_it() -> None:
    machine, records = machine_of(CHAIN, {"BState": fail})
    result = machine.add("A", "B", "C")
    assert result.canceled
    assert machine.clock == {"A": 1, "B": 2, "C": 2, "Old": 0, "Auto": 0, "Exception": 1}
    assert list(records)[:2] == ["add A B C: canceled", "add Exception: executed"]
    failed = records.all[0]
    assert failed.was_committed
    assert failed.time_after == (1, 2, 2, 0, 0, 0)
    assert failed.active == ("A",)
    assert str(failed.failure.error) == "BState" if failed.failure else False


def test_the_final_handlers_after_the_one_that_failed_are_skipped_of_other_objects_too() -> None:
    called: list[str] = []

    def note(event: Event[Any]) -> None:
        called.append(event.name)

    second: Handlers = {"AState": note, "BState": note, "CState": note, "AnyState": note, "OldEnd": note}
    machine = Machine.of({**CHAIN, "A": {"remove": ["Old"]}}, "m", handlers=[{"BState": fail}, second])
    machine.bind({"ExceptionState": accept})
    machine.add("Old")
    called.clear()
    machine.add("A", "B", "C")
    assert called == ["OldEnd", "AState", "AnyState"]  # the last one belongs to the Exception that followed


def test_a_re_entered_multi_state_stays_active_and_its_tick_moves_by_two_only() -> None:
    machine, _ = machine_of({"A": {"multi": True}, "B": {"after": ["A"]}}, {})
    machine.add("A")
    machine.bind({"AState": fail})
    assert machine.add("A", "B").canceled
    assert machine.clock == {"A": 3, "B": 2, "Exception": 1}
    assert machine.is_active("A")


def test_exception_itself_is_never_put_back(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine.of({"A": {"add": ["Exception"]}}, "m", handlers=[{"ExceptionState": fail}])
    assert machine.add("A").canceled
    assert machine.is_active("Exception")
    assert machine.clock["A"] == 1  # A was entered before Exception
    assert logged(caplog)


@pytest.mark.parametrize("name", ["AEnd", "AnyState"])
def test_in_end_and_any_state_nothing_is_put_back_and_the_other_final_handlers_still_run(name: str) -> None:
    called: list[str] = []

    def note(event: Event[Any]) -> None:
        called.append(event.name)

    def fail_once(event: Event[Any]) -> None:
        if "B" in event.transition.called:
            raise RuntimeError(event.name)

    machine, records = machine_of(
        {"A": {"remove": ["B"]}, "B": {"remove": ["A"]}}, {name: fail_once, "BState": note}
    )
    machine.add("A")
    machine.bind({"AEnd": note, "AnyState": note})
    result = machine.add("B")
    assert result.canceled
    assert called[:3] == ["AEnd", "BState", "AnyState"]
    assert machine.is_active("B")
    assert not machine.is_active("A")
    assert records.all[1].was_committed
    assert not records.all[1].accepted


def test_no_auto_mutation_follows_a_failure() -> None:
    machine, records = machine_of({"A": {}, "B": {"auto": True, "require": ["A"]}}, {"AnyState": fail})
    machine.add("A")
    assert list(records)[:2] == ["add A: canceled", "add Exception: canceled"]
    assert machine.active == ("A", "Exception")


def test_waits_see_the_states_as_they_then_are() -> None:
    machine, _ = machine_of(CHAIN, {"BState": fail})
    stays, put_back, anew = machine.when("A"), machine.when("B"), machine.when_next("C")
    ticks = machine.when_time({"B": 2})
    machine.add("A", "B", "C")
    assert stays.done
    assert not put_back.done
    assert not anew.done
    assert ticks.done


# In all these cases, `Exception` is added at the front.


def test_exception_comes_first_with_the_error_its_traceback_the_handler_and_the_record() -> None:
    infos: list[ErrorInfo] = []

    def handler(event: Event[Any]) -> None:
        event.machine.add("B")
        raise RuntimeError("broken")

    def hear(event: Event[ErrorInfo]) -> None:
        infos.append(event.args)

    records = Records()
    machine = Machine.of(
        {"A": {}, "B": {}}, "m", handlers=[{"AState": handler, "ExceptionState": hear}], tracers=[records]
    )
    machine.add("A")
    assert list(records) == ["add A: canceled", "add Exception: executed", "add B: executed"]
    info = infos[0]
    assert str(info.error) == "broken"
    assert "in handler" in info.traceback
    assert 'RuntimeError("broken")' in info.traceback
    assert info.handler is not None
    assert "AState" in info.handler
    assert info.transition is records.all[0]
    assert records.all[1].mutation.queue_tick is None
    assert records.all[1].mutation.depth == 1
    assert str(records.all[1].mutation.source) == "<Source m/1 add A>"


def test_of_several_failures_in_one_transition_the_first_is_added_and_the_others_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine, records = machine_of({"A": {}, "B": {}}, {"AEnd": fail, "BEnd": fail})
    machine.add("A", "B")
    machine.remove("A", "B")
    assert str(machine.error) == "BEnd"
    assert logged(caplog) == ["AEnd"]
    assert list(records)[1:] == ["remove A B: canceled", "add Exception: executed"]


def test_an_overrun_and_a_failure_of_one_transition_make_one_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine, records = machine_of({"A": {}}, {"AEnter": accept, "AState": fail}, handler_timeout=-1.0)
    machine.add("A")
    assert next(iter(records)) == "add A: canceled"
    assert sum("add Exception" in each for each in records) == 1
    assert "AState" in logged(caplog)


# While `Exception` is called, errors are logged.


@pytest.mark.parametrize("name", ["ExceptionEnter", "ExceptionState", "AnyEnter", "AnyState"])
def test_an_error_while_exception_is_added_is_logged_and_not_added(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    records = Records()
    machine = Machine.of({"A": {}}, "m", handlers=[{name: fail, "ExceptionEnd": accept}], tracers=[records])
    machine.add_error(RuntimeError("first"))
    assert list(records) == ["add Exception: canceled"]
    assert name in logged(caplog)
    assert machine.is_active("Exception") == (name in {"ExceptionState", "AnyState"})


@pytest.mark.parametrize("name", ["ExceptionExit", "ExceptionEnd"])
def test_an_error_while_exception_is_removed_is_logged_and_not_added(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    machine, records = machine_of({"A": {}}, {})
    machine.add_error(RuntimeError("first"))
    machine.bind({name: fail})
    assert machine.remove("Exception").canceled
    assert list(records) == ["add Exception: executed", "remove Exception: canceled"]
    assert logged(caplog) == [name]
    assert machine.is_active("Exception") == (name == "ExceptionExit")


def test_the_rules_about_what_is_put_back_still_apply_where_exception_is_called() -> None:
    machine, _ = machine_of({"A": {}, "B": {"after": ["A"]}}, {"AState": fail})
    assert machine.add("A", "B", "Exception").canceled
    assert machine.clock == {"A": 2, "B": 2, "Exception": 1}


def test_a_failing_handler_of_an_auto_state_cancels_the_auto_mutation() -> None:
    data = {"A": {}, "B": {"auto": True}, "C": {"auto": True}}
    machine, records = machine_of(data, {"BEnter": fail}, depth_limit=10)
    machine.add("A")
    assert list(records)[:3] == ["add A: executed", "auto add B C: canceled", "add Exception: executed"]


def test_an_auto_state_whose_handler_always_fails_is_stopped_by_the_cause_depth() -> None:
    machine, records = machine_of({"A": {}, "B": {"auto": True}}, {"BEnter": fail}, depth_limit=40)
    assert machine.add("A").executed
    error = machine.error
    assert isinstance(error, CascadeError)
    assert set(error.cycle) == {"auto B", "add Exception"}
    assert len(records.all) < 50
    assert machine.add("B").canceled


# add_error.


def test_user_code_reports_an_error_with_an_ordinary_add_that_has_a_queue_tick() -> None:
    def handler(event: Event[Any]) -> None:
        event.machine.add("B")
        result = event.machine.add_error(RuntimeError("told"))
        assert result.queued
        assert result.queue_tick == 4

    machine, records = machine_of({"A": {}, "B": {}}, {"AState": handler})
    machine.add("A")
    assert list(records) == ["add A: executed", "add B: executed", "add Exception: executed"]
    assert str(machine.error) == "told"


def test_with_a_state_both_that_and_exception_are_called() -> None:
    machine, records = machine_of({"ErrNetwork": {"require": ["Exception"]}}, {})
    assert machine.add_error(RuntimeError("net"), "ErrNetwork").executed
    assert machine.active == ("ErrNetwork", "Exception")
    assert list(records) == ["add ErrNetwork Exception: executed"]


@pytest.mark.parametrize("error", [None, asyncio.CancelledError()])
def test_none_and_a_cancellation_are_ignored(error: BaseException | None) -> None:
    machine, records = machine_of({"A": {}}, {})
    result = machine.add_error(error)
    assert result.canceled
    assert result.why
    assert not list(records)
    assert machine.error is None


# machine.error.


def test_the_error_is_the_last_reported_and_is_cleared_with_exception() -> None:
    machine, _ = machine_of({"A": {}}, {})
    machine.add_error(RuntimeError("one"))
    machine.add_error(RuntimeError("two"))
    assert str(machine.error) == "two"
    machine.remove("Exception")
    assert machine.error is None


def test_the_entry_of_a_queued_exception_sets_the_error_again_only_if_it_was_cleared() -> None:
    seen: list[str] = []

    def handler(event: Event[Any]) -> None:
        event.machine.add_error(RuntimeError("one"))
        event.machine.add_error(RuntimeError("two"))
        event.machine.remove("Exception")
        event.machine.add_error(RuntimeError("three"))

    def note(event: Event[Any]) -> None:
        seen.append(str(event.machine.error))

    machine = Machine.of(
        {"A": {}}, "m", handlers=[{"AState": handler, "AnyState": note, "ExceptionState": accept}]
    )
    machine.add("A")
    assert seen == ["three", "three", "three", "None", "three"]


# With no handler bound to `Exception`.


def test_without_a_handler_of_exception_the_logger_gets_the_error_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine.of({"A": {}}, "m", handlers=[{"AState": fail}])
    with caplog.at_level(logging.ERROR, "amachine"):
        machine.add("A")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[2] is not None
    assert "m" in caplog.text
    assert "AState" in caplog.text


def test_with_a_handler_of_exception_the_logger_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    machine, _ = machine_of({"A": {}}, {"AState": fail})
    machine.add("A")
    assert not caplog.records


def test_an_exception_that_relations_or_handlers_refuse_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    refusals: list[tuple[dict[str, Any], Handlers]] = [
        ({"A": {"remove": ["Exception"]}}, {}),
        ({"A": {}}, {"ExceptionEnter": refuse}),
    ]
    for data, handlers in refusals:
        machine, _ = machine_of(data, handlers)
        machine.add("A")
        machine.add_error(RuntimeError("lost?"))
        assert not machine.is_active("Exception")
    assert logged(caplog).count("lost?") >= 2


# raise_errors.


def test_raise_errors_raises_the_first_error_to_the_caller_once_the_queue_has_drained() -> None:
    def handler(event: Event[Any]) -> None:
        event.machine.add("B")
        raise RuntimeError("broken")

    machine, records = machine_of({"A": {}, "B": {}}, {"AState": handler}, raise_errors=True)
    with pytest.raises(RuntimeError, match="broken"):
        machine.add("A")
    assert list(records) == ["add A: canceled", "add Exception: executed", "add B: executed"]
    assert machine.add("B").executed


def test_raise_errors_raises_the_error_of_a_queued_mutation_to_whoever_awaits_it() -> None:
    results: list[Any] = []

    def handler(event: Event[Any]) -> None:
        results.append(event.machine.add("B"))

    machine, _ = machine_of({"A": {}, "B": {}}, {"AState": handler, "BState": fail}, raise_errors=True)
    assert machine.add("A").executed
    with pytest.raises(RuntimeError, match="BState"):
        results[0].wait(1)


# What is never turned into a state.


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("name", ["AExit", "BEnter", "AEnd", "BState", "AnyState"])
def test_what_must_go_up_goes_up_and_leaves_the_machine_consistent(
    name: str, stop: type[BaseException]
) -> None:
    def interrupt(event: Event[Any]) -> None:
        if "B" in event.transition.called:
            raise stop

    machine, records = machine_of(
        {"A": {"remove": ["B"]}, "B": {"remove": ["A"]}, "C": {}}, {name: interrupt}
    )
    machine.add("A")
    with pytest.raises(stop):
        machine.add("B")
    negotiating = name in {"AExit", "BEnter"}
    assert machine.active == (("A",) if negotiating else ("B",))
    assert machine.time.active() == ((0,) if negotiating else (1,))
    assert records.all[-1].was_committed is not negotiating
    assert machine.transition is None
    assert machine.error is None
    assert machine.add("C").executed
    assert machine.when_idle().done


def test_an_interrupt_leaves_the_queue_for_the_next_mutation() -> None:
    def interrupt(event: Event[Any]) -> None:
        event.machine.add("B")
        raise KeyboardInterrupt

    machine, records = machine_of({"A": {}, "B": {}, "C": {}}, {"AState": interrupt})
    with pytest.raises(KeyboardInterrupt):
        machine.add("A")
    assert [str(each) for each in machine.queue] == ["add B"]
    assert machine.add("C").executed
    assert machine.active == ("A", "B", "C")
    assert list(records)[-2:] == ["add B: executed", "add C: executed"]


def test_a_wait_that_an_interrupted_transition_fulfilled_is_done() -> None:
    def interrupt(event: Event[Any]) -> None:
        raise KeyboardInterrupt

    machine, _ = machine_of({"A": {}}, {"AnyState": interrupt})
    wait = machine.when("A")
    with pytest.raises(KeyboardInterrupt):
        machine.add("A")
    assert machine.is_active("A")
    assert wait.done


# Time budgets.


class Slow:
    """A clock that passes as handlers say."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Slow:
    clock = Slow()
    monkeypatch.setattr("amachine.machine.perf_counter", clock)
    return clock


def test_an_overrun_is_reported_the_transition_stands_and_so_does_the_queue(clock: Slow) -> None:
    def slow(event: Event[Any]) -> None:
        event.machine.add("B")
        clock.now += 0.15

    machine, records = machine_of({"A": {}, "B": {}, "C": {"auto": True}}, {"AState": slow})
    machine._now_ = clock
    assert machine.add("A").executed
    assert isinstance(machine.error, HandlerTimeout)
    assert machine.error.seconds == pytest.approx(0.15)
    assert machine.error.limit == pytest.approx(0.1)
    assert "AState" in machine.error.handler
    assert machine.is_active("A", "B", "C")
    assert "add Exception: executed" in list(records)[1:3]
    assert list(records)[-1] == "add B: executed"


def test_without_a_budget_a_handler_may_take_any_time(clock: Slow) -> None:
    def slow(event: Event[Any]) -> None:
        clock.now += 1000.0

    machine, _ = machine_of({"A": {}}, {"AState": slow}, handler_timeout=None)
    machine._now_ = clock
    machine.add("A")
    assert machine.error is None


def test_while_debugging_a_handler_may_take_any_time() -> None:
    program = (
        "from amachine import Machine; clock = iter((0.0, 1000.0, 2000.0, 3000.0)).__next__;"
        "machine = Machine.of({'A': {}}, handlers=[{'AState': lambda event: None}]); machine._now_ = clock;"
        "machine.add('A'); print(machine.error)"
    )
    for debug, shown in (
        ("1", "None\n"),
        ("", "AState took 1000.000 s, allowed are 0.1 s: move the work to a task\n"),
    ):
        environment = {**os.environ, "AMACHINE_DEBUG": debug}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == shown


def test_an_overrun_in_a_check_is_logged(clock: Slow, caplog: pytest.LogCaptureFixture) -> None:
    def slow(event: Event[Any]) -> None:
        clock.now += 1.0

    machine, _ = machine_of({"A": {}}, {"AEnter": slow})
    machine._now_ = clock
    assert machine.can_add("A")
    assert machine.error is None
    assert "AEnter" in caplog.text


# Full queues and cascades.


def test_a_full_queue_enters_exception_once_until_it_has_been_empty() -> None:
    answers: list[Any] = []

    def handler(event: Event[Any]) -> None:
        answers.extend(event.machine.add("B", k=i) for i in range(5))

    errors: list[BaseException] = []

    def hear(event: Event[ErrorInfo]) -> None:
        errors.append(event.args.error)

    handlers: Handlers = {"AState": handler, "ExceptionState": hear}
    machine = Machine.of({"A": {"multi": True}, "B": {}}, "m", handlers=[handlers], queue_limit=2)
    machine.add("A")
    assert [answer.status.value for answer in answers] == [
        "executed",
        "executed",
        "canceled",
        "canceled",
        "canceled",
    ]
    assert {answer.why for answer in answers[2:]} == {"queue full"}
    assert [str(error) for error in errors] == ["queue full"]
    assert isinstance(errors[0], QueueFull)
    machine.add("A")
    assert len(errors) == 2


def test_two_handlers_that_add_each_other_for_ever_are_stopped_and_the_cycle_is_named() -> None:
    def to_b(event: Event[Any]) -> None:
        event.machine.toggle("B")

    def to_a(event: Event[Any]) -> None:
        event.machine.toggle("A")

    handlers: Handlers = {"AState": to_b, "AEnd": to_b, "BState": to_a, "BEnd": to_a}
    machine, records = machine_of({"A": {}, "B": {}}, handlers, depth_limit=50)
    assert machine.add("A").executed
    error = machine.error
    assert isinstance(error, CascadeError)
    assert error.depth == 51
    assert set(error.cycle) == {"toggle A", "toggle B"}
    assert sum("Exception" in each for each in records) == 1
    assert len(records.all) == 52
    assert machine.queue == ()


def test_a_long_drain_is_no_cascade() -> None:
    def many(event: Event[Any]) -> None:
        for i in range(900):
            event.machine.toggle("B", k=i)

    machine, _ = machine_of({"A": {}, "B": {}}, {"AState": many}, depth_limit=3, handler_timeout=None)
    assert machine.add("A").executed
    assert machine.error is None
    assert machine["B"].tick == 900


# Callbacks.


def test_an_error_of_a_callback_takes_the_error_path() -> None:
    def broken(_: object) -> None:
        raise RuntimeError("callback")

    machine, records = machine_of({"A": {}}, {})
    machine.when("A").then(broken)
    assert machine.add("A").executed
    assert str(machine.error) == "callback"
    assert list(records) == ["add A: executed", "add Exception: executed"]


def test_a_failing_check_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    machine, records = machine_of({"A": {}}, {"AEnter": fail})
    check = machine.can_add("A")
    assert not check
    assert "AEnter" in check.why
    assert machine.error is None
    assert not list(records)
    assert logged(caplog) == ["AEnter"]
