"""The reusable schemas: what their relations say, how they are combined and changed, and how a machine is disposed of."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import anyio
import attrs
import pytest

from amachine import (
    ArgsError,
    BindingError,
    ErrorInfo,
    Event,
    HandlerTimeout,
    Machine,
    Recorder,
    State,
    States,
    WaitError,
    relate,
)
from amachine.states import Basic, Connected, ConnectionPool, Disposed, Worker, on_dispose
from tests.lives import Errand, anyio_backend

__all__ = ["anyio_backend"]

LIBRARY: list[type[States]] = [Basic, Connected, ConnectionPool, Disposed, Worker]


def hear(event: Event[ErrorInfo]) -> None:
    """Keep errors out of the log."""


def on(machine: Machine) -> tuple[str, ...]:
    """What is active by now."""
    return machine.active


# Schemas.


@pytest.mark.parametrize("states", LIBRARY)
def test_every_state_says_what_it_means_and_meets_no_name_in_snake_case(states: type[States]) -> None:
    assert states.__doc__
    for state in states.schema.states:
        assert state.doc or state.name == "Exception"
        assert state.name[0].isupper()
    assert all(name[0].isupper() for name in states.schema.groups)


@pytest.mark.parametrize("states", LIBRARY)
def test_every_error_state_requires_exception_and_is_entered_with_the_error(states: type[States]) -> None:
    machine = Machine.of(states, handlers=[{"ExceptionState": hear}])
    machine.add(*({"Start", "Ready"} & {*machine.schema.names}))
    for number, name in enumerate(name for name in machine.schema if name.startswith("Err")):
        assert machine.add(name).why == f"{name} requires Exception, which is inactive"
        error = OSError(number)
        assert machine.add_error(error, name)
        assert machine.add_error(error, name), "an error may come again"
        args = machine[name].args
        assert isinstance(args, ErrorInfo)
        assert args.error is error
        machine.remove("Exception")
        assert not machine.is_active(name)


def test_all_of_them_go_together_in_any_order_that_python_allows() -> None:
    class Flow(Machine, Worker, Connected, Disposed):
        uploading = State(require=[Basic.Ready, Connected.Connected])

    class Other(Machine, Disposed, Connected, Basic):
        pass

    merged = Basic.schema.merge(Connected.schema, Disposed.schema)
    assert {*Other.schema.names} == {*merged.names} < {*Flow.schema.names}
    assert Flow.schema.names[0] == "ErrNetwork"
    assert {"WorkStatus", "ConnectionStatus", "DisposalStatus"} == {*Flow.schema.groups}
    flow = Flow("flow")
    flow.add("Start", "Ready", "Connected", "uploading")
    assert on(flow) == ("Start", "Ready", "Idle", "Connected", "uploading")
    flow.Start.remove()
    assert on(flow) == ("Connected",)


def test_schemas_without_a_class_of_ones_own_run_as_well() -> None:
    machine = Machine.of(Basic.schema.merge(Connected.schema))
    machine.add("Start", "Ready")
    assert on(machine) == ("Start", "Ready", "Disconnected")


def test_a_state_is_extended_and_two_classes_are_tied_in_a_subclass_that_leaves_the_bases_alone() -> None:
    class Flow(Machine, Basic, Connected):
        Ready = Basic.Ready.extend(require=[Connected.Connected])
        _ = relate(Connected.Connecting, require=[Basic.Start])

    flow = Flow("flow")
    assert flow.Ready.add().why == "Ready requires Start, which is inactive"
    flow.Start.add()
    assert flow.Ready.add().why == "Ready requires Connected, which is inactive"
    assert flow.add(Flow.Connected, Flow.Ready)
    flow.Connected.remove()
    assert on(flow) == ("Start", "Disconnected")
    flow.Start.remove()
    assert not flow.Connecting.add()
    assert Basic.schema["Ready"].require == ("Start",)
    assert Connected.schema["Connecting"].require == ()


def test_ready_ends_with_start() -> None:
    machine = Machine.of(Basic)
    assert machine.add("Ready").why == "Ready requires Start, which is inactive"
    machine.add("Start", "Ready")
    machine.remove("Start")
    assert on(machine) == ()


def test_a_healthcheck_counts_and_a_heartbeat_is_one() -> None:
    machine = Machine.of(Basic)
    for _ in range(3):
        machine.add("Healthcheck")
        machine.add("Heartbeat")
    assert (machine["Healthcheck"].tick, machine["Heartbeat"].tick) == (5, 1)


def test_one_connection_is_always_in_one_place_and_falls_back_to_disconnected() -> None:
    machine = Machine.of(Connected)
    machine.add("Disconnected")
    for name in ("Connecting", "Connected", "Disconnecting", "Disconnected", "Connecting"):
        assert machine.add(name)
        assert on(machine) == (name,)
    machine.remove("Connecting")
    assert on(machine) == ("Disconnected",)


def test_a_pool_may_connect_while_it_is_connected_and_is_disconnected_when_nothing_is_left() -> None:
    pool = Machine.of(ConnectionPool)
    assert pool.add("ConnectedFully").why == "ConnectedFully requires Connected, which is inactive"
    pool.add("Connecting")
    pool.add("Connected")
    assert on(pool) == ("Connecting", "Connected")
    pool.remove("Connecting")
    pool.add("ConnectedFully")
    assert on(pool) == ("Connected", "ConnectedFully")
    pool.remove("Connected")
    assert on(pool) == ("Disconnected",)
    pool.add("Connecting", "Connected", "ConnectedFully")
    pool.add("Disconnecting")
    assert on(pool) == ("Disconnecting",)
    pool.remove("Disconnecting")
    assert on(pool) == ("Disconnected",)
    pool.add("Connecting")
    pool.remove("Connecting")
    assert on(pool) == ("Disconnected",)


@attrs.frozen
class Sum:
    """Work to be done."""

    numbers: tuple[int, ...]


@attrs.frozen
class Total:
    """What came of it."""

    total: int


class Adder(Machine, Worker):
    """A worker whose states have arguments."""

    WorkRequested = State(Sum, require=[Worker.Ready])
    Working = State(Sum, require=[Worker.Ready])
    WorkReady = State(Total, require=[Worker.Ready])

    @WorkRequested.enter
    def is_not_too_much(self, e: Event[Sum]) -> bool:
        return len(e.args.numbers) < 4

    @WorkRequested.state
    def begin(self, e: Event[Sum]) -> None:
        self.Working.send(e.args)

    @Working.task
    async def work(self, e: Event[Sum]) -> None:
        self.WorkReady.add(sum(e.args.numbers))


async def test_a_worker_takes_work_and_is_idle_again_when_the_result_was_fetched() -> None:
    async with Adder("adder") as adder:
        assert not adder.WorkRequested.add((1, 2))
        adder.add(Adder.Start, Adder.Ready)
        assert adder.Idle.active
        assert not adder.WorkRequested.add((1, 2, 3, 4)), "the veto counts"
        assert adder.WorkRequested.add((1, 2))
        assert (adder.Working.active, adder.Idle.active) == (True, False)
        with anyio.fail_after(5):
            assert (await adder.WorkReady.when()).total == 3
        adder.WorkReady.remove()
        assert adder.active_in("WorkStatus") == "Idle"
        adder.WorkRequested.add((1, 2))
        adder.Start.remove()
        assert on(adder) == ()


def test_an_error_ends_the_work_and_the_next_request_makes_good() -> None:
    worker = Machine.of(Worker, handlers=[{"ExceptionState": hear}])
    worker.add("Start", "Ready")
    worker.add("WorkRequested")
    worker.add("Working")
    worker.add_error(ValueError("wrong"), "ErrWork")
    assert on(worker) == ("Start", "Ready", "Idle", "ErrWork", "Exception")
    assert worker.add("WorkRequested")
    assert on(worker) == ("Start", "Ready", "WorkRequested", "Exception")
    assert not worker.add("WorkRequested", "Working"), "one at a time"


# Disposal.


class Held(Machine, Disposed):
    """A machine that holds something."""

    first = State()

    @Machine.Exception.state
    def hear(self, e: Event[ErrorInfo]) -> None:
        vars(self).setdefault("errors", []).append(e.args.error)


def closes(done: list[Any], name: str) -> None:
    done.append(name)


def test_close_runs_the_disposers_last_first() -> None:
    machine, done = Held("held"), list[Any]()
    for name in "abc":
        assert machine.RegisterDisposal.add(partial(closes, done, name))
    machine.close()
    assert done == ["c", "b", "a"]
    assert (machine.is_closed, on(machine)) == (True, ("Disposed",))


def test_with_nothing_registered_a_machine_is_disposed_of_at_once() -> None:
    machine = Held("held")
    machine.Disposing.add()
    assert on(machine) == ("Disposed",)


async def test_leaving_async_with_awaits_the_disposers_last_first() -> None:
    done: list[Any] = []

    async def close(name: str) -> None:
        done.append(f"{name} begins")
        await anyio.lowlevel.checkpoint()
        done.append(name)

    async with Held("held") as machine:
        machine.RegisterDisposal.add(partial(close, "a"))
        machine.RegisterDisposal.add(partial(closes, done, "b"))
        machine.RegisterDisposal.add(lambda: close("c"))
        assert done == []
    assert done == ["c begins", "c", "b", "a begins", "a"]
    assert on(machine) == ("Disposed",)


async def test_a_machine_is_disposed_of_by_its_state_too_and_then_refuses_more() -> None:
    done: list[Any] = []
    gate = anyio.Event()
    async with Held("held") as machine:
        machine.RegisterDisposal.add(gate.wait)
        machine.RegisterDisposal.add(partial(closes, done, "b"))
        machine.Disposing.add()
        late = machine.RegisterDisposal.add(partial(closes, done, "late"))
        assert late.why == "RegisterDisposal is removed by Disposing, which is active"
        assert on(machine) == ("Disposing",)
        gate.set()
        with anyio.fail_after(5):
            await machine.Disposed.when()
        assert not machine.RegisterDisposal.add(partial(closes, done, "late"))
        assert (done, machine.is_open) == (["b"], True)
    assert (done, on(machine)) == (["b"], ("Disposed",))


async def test_an_error_of_a_disposer_is_reported_and_stops_none_of_the_others() -> None:
    done: list[Any] = []

    async def fail() -> None:
        raise OSError("stuck")

    def fail_too() -> None:
        raise ValueError("stuck as well")

    async with Held("open") as opened:
        for dispose in (partial(closes, done, "a"), fail, fail_too, partial(closes, done, "b")):
            opened.RegisterDisposal.add(dispose)
    free = Held("free")
    for dispose in (partial(closes, done, "c"), fail_too, partial(closes, done, "d")):
        free.RegisterDisposal.add(dispose)
    free.close()
    assert done == ["b", "a", "d", "c"]
    assert list(map(str, vars(opened)["errors"])) == ["stuck as well", "stuck"]
    assert list(map(str, vars(free)["errors"])) == ["stuck as well"]
    assert all("Disposed" in machine.active for machine in (opened, free))


def test_without_an_event_loop_an_async_disposer_is_an_error_that_says_so() -> None:
    done: list[Any] = []

    async def close() -> None:
        done.append("never")

    def begin_to_close() -> object:
        return close()

    machine = Held("held")
    machine.RegisterDisposal.add(partial(closes, done, "a"))
    machine.RegisterDisposal.add(close)
    machine.RegisterDisposal.add(begin_to_close)
    machine.close()
    assert done == ["a"]
    for error in vars(machine)["errors"]:
        assert isinstance(error, WaitError)
        assert "has to be awaited, and machine held is not open: open it with `async with`" in str(error)
    assert "Disposed" in machine.active


async def test_disposers_that_do_not_end_are_cancelled_after_the_grace_period(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[Any] = []
    with caplog.at_level(logging.ERROR, "amachine"):
        async with Held("held", grace=0) as machine:
            machine.RegisterDisposal.add(partial(closes, done, "left"))
            machine.RegisterDisposal.add(anyio.sleep_forever)
    assert (done, on(machine)) == ([], ("Disposing",))
    assert "End handlers cancelled after 0 s: Disposed._begin_disposal" in caplog.text


def test_what_is_closed_already_is_unregistered() -> None:
    machine, done = Held("held"), list[Any]()
    keep, drop = partial(closes, done, "keep"), partial(closes, done, "drop")
    assert not machine.unregister_disposal(drop)
    machine.RegisterDisposal.add(keep)
    machine.RegisterDisposal.add(drop)
    assert machine.unregister_disposal(drop)
    assert not machine.unregister_disposal(drop)
    machine.close()
    assert done == ["keep"]


def test_removing_register_disposal_forgets_nothing() -> None:
    machine, done = Held("held"), list[Any]()
    machine.RegisterDisposal.add(partial(closes, done, "a"))
    machine.set(Held.first)
    machine.close()
    assert done == ["a"]


def test_what_cannot_be_called_is_no_disposer() -> None:
    wrong: Any = "close"
    with pytest.raises(ArgsError, match="RegisterDisposal"):
        Held("held").RegisterDisposal.add(wrong)


def test_each_machine_has_disposers_of_its_own() -> None:
    one, other, done = Held("one"), Held("other"), list[Any]()
    one.RegisterDisposal.add(partial(closes, done, "one"))
    other.close()
    assert done == []


def test_a_subclass_may_dispose_of_more_by_overriding_no_handler() -> None:
    done: list[Any] = []

    class More(Held):
        @Disposed.Disposing.state
        def and_more(self, e: Event[None]) -> None:
            done.append("more")

    machine = More("more")
    machine.RegisterDisposal.add(partial(closes, done, "held"))
    machine.close()
    assert sorted(done) == ["held", "more"]


async def test_a_resource_may_be_registered_from_another_thread() -> None:
    done: list[Any] = []
    async with Held("held") as machine:
        await Errand(lambda: machine.RegisterDisposal.add(partial(closes, done, "a")).wait(20)).done()
    assert done == ["a"]


# The end of any machine.


def test_on_dispose_registers_with_a_disposed_and_otherwise_waits_for_the_end() -> None:
    done: list[Any] = []
    held, plain = Held("held"), Machine.of({"a": {}}, "plain")
    for machine in (held, plain):
        assert on_dispose(machine, partial(closes, done, machine.id))
        machine.close()
        assert not on_dispose(machine, partial(closes, done, "late"))
    assert done == ["held", "plain"]


def test_on_dispose_while_the_machine_is_busy_loses_nothing_when_it_was_too_late() -> None:
    done: list[Any] = []
    machine = Held("held")
    machine._take_turn()  # as if a thread were draining it
    assert machine.Disposing.add().queued
    assert on_dispose(machine, partial(closes, done, "late"))
    machine._turn_[:] = (None,)
    machine.close()
    assert done == ["late"]


def test_on_dispose_refuses_what_nobody_would_await() -> None:
    async def close() -> None:
        pass

    with pytest.raises(BindingError, match=r"write `class Machine\(Machine, Disposed\)`"):
        on_dispose(Machine.of({"a": {}}), close)


def test_an_error_at_the_end_of_a_plain_machine_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine.of({"a": {}}, "plain")
    on_dispose(machine, lambda: 1 / 0)
    machine.close()
    assert "ZeroDivisionError" in caplog.text


async def test_disposal_is_in_the_records_with_its_cause() -> None:
    recorder = Recorder()
    async with Held("held", tracers=[recorder]) as machine:
        machine.RegisterDisposal.add(anyio.lowlevel.checkpoint)
    assert str(recorder.why_active("Disposed")).count("add Disposing") >= 1


def test_what_was_disposed_of_before_is_not_again_at_the_end() -> None:
    flow = Held("flow")
    flow.Disposing.add()
    ticks = (flow.Disposing.tick, flow.Disposed.tick)
    flow.close()
    assert (flow.Disposing.tick, flow.Disposed.tick) == ticks


def test_an_overrun_enters_the_state_for_it_after_exception() -> None:
    class Slow(Machine, Basic):
        x = State()

        @x.state
        def linger(self, e: Event[None]) -> None:
            pass

    slow = Slow("slow", handler_timeout=0.0)
    slow.x.add()
    assert slow.active == ("ErrHandlerTimeout", "x", "Exception")
    info = slow.ErrHandlerTimeout.args
    assert info is not None
    assert info.error is slow.error
    assert isinstance(slow.error, HandlerTimeout)
    assert slow.ErrHandlerTimeout.entries == 1
