"""Tracers hear of all that happens, in the order in which it does, with records that are complete at that moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import anyio
import attrs
import pytest

from amachine import Clock, Event, Kind, Machine, Schema, State, Tracer, exclusive
from amachine.handlers import Call
from amachine.mutation import ErrorInfo, Mutation, Status
from amachine.subscriptions import Wait, any_of
from amachine.tracers.base import HOOKS
from amachine.transition import Transition

pytestmark = pytest.mark.filterwarnings("error")


class Spy(Tracer):
    """Notes each call as a line, and what the record said at that moment."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.moments: dict[str, list[dict[str, Any]]] = {}
        self.transitions: list[Transition] = []

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def _note(self, moment: str, t: Transition, machine: Machine) -> None:
        check = " check" if t.is_check else ""
        self.lines.append(f"{moment}{check} {t.mutation}")
        facts = {
            "committed": t.was_committed,
            "accepted": t.accepted,
            "why": t.why,
            "active": machine.active,
            "running": machine.transition,
            "time": machine.time,
        }
        self.moments.setdefault(moment, []).append(facts)

    def machine_opened(self, machine: Machine) -> None:
        self.lines.append(f"opened {machine.id}")

    def machine_closed(self, machine: Machine) -> None:
        self.lines.append(f"closed {machine.id}")

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        by = f" by {mutation.source.transition}" if mutation.source else ""
        self.lines.append(f"queued {mutation} at {mutation.queue_tick}{by}")

    def transition_started(self, machine: Machine, transition: Transition) -> None:
        self._note("started", transition, machine)

    def transition_negotiated(self, machine: Machine, transition: Transition) -> None:
        self._note("negotiated", transition, machine)

    def transition_committed(self, machine: Machine, transition: Transition) -> None:
        self._note("committed", transition, machine)

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self._note("ended", transition, machine)
        self.transitions.append(transition)

    def handler_started(self, machine: Machine, transition: Transition, call: Call) -> None:
        self.lines.append(f"calls{' check' if transition.is_check else ''} {call.name}")

    def handler_ended(self, machine: Machine, transition: Transition, call: Call, seconds: float) -> None:
        assert seconds >= 0
        assert transition.runs[-1].name == call.name
        assert transition.runs[-1].seconds == seconds
        self.lines.append(f"called{' check' if transition.is_check else ''} {call.name}")

    def wait_made(self, machine: Machine, wait: Wait[Any]) -> None:
        self.lines.append(f"waits {wait.label}")

    def wait_met(self, machine: Machine, wait: Wait[Any]) -> None:
        assert wait.done
        self.lines.append(f"met {wait.label}")

    def task_started(self, machine: Machine, name: str, state: str | None) -> None:
        self.lines.append(f"task {name} of {state}")

    def task_ended(self, machine: Machine, name: str, state: str | None, error: BaseException | None) -> None:
        how = "done" if error is None else "failed" if isinstance(error, Exception) else "cancelled"
        self.lines.append(f"task {name} of {state} {how}")

    def schema_changed(self, machine: Machine, before: Schema) -> None:
        assert before != machine.schema
        self.lines.append(f"schema {machine.schema_version}")

    def queue_drained(self, machine: Machine) -> None:
        self.lines.append("drained")


class Flow(Machine):
    a = State()
    b = State(require=[a])
    bad = State()
    again = State(multi=True)
    locked = State()

    @b.enter
    def b_enter(self, e: Event[Any]) -> None:
        pass

    @b.state
    def b_state(self, e: Event[Any]) -> None:
        pass

    @b.exit
    def b_exit(self, e: Event[Any]) -> bool:
        return not self.locked.active

    @bad.state
    def bad_state(self, e: Event[Any]) -> None:
        raise ValueError("broken")

    @bad.end
    def bad_end(self, e: Event[Any]) -> None:
        pass


def spied(machine_type: Any = Flow) -> tuple[Any, Spy]:
    spy = Spy()
    machine = machine_type("m", tracers=[spy], handler_timeout=None)
    assert spy.take() == ["opened m"]
    return machine, spy


# -- each kind of transition, each hook in its place


def test_an_executed_transition_is_told_of_from_start_to_end() -> None:
    flow, spy = spied()
    flow.a.add()
    assert spy.take() == [
        "started add a", "negotiated add a", "committed add a", "ended add a", "drained",
    ]  # fmt: skip
    flow.b.add()
    assert spy.take() == [
        "started add b", "calls BEnter", "called BEnter", "negotiated add b", "committed add b",
        "calls BState", "called BState", "ended add b", "drained",
    ]  # fmt: skip


def test_the_record_says_at_each_moment_what_is_known_by_then() -> None:
    flow, spy = spied()
    flow.a.add()
    flow.b.add()
    started, negotiated = spy.moments["started"][1], spy.moments["negotiated"][1]
    committed, ended = spy.moments["committed"][1], spy.moments["ended"][1]
    assert started["active"] == negotiated["active"] == ("a",)
    assert committed["active"] == ended["active"] == ("a", "b")
    assert negotiated["committed"]
    assert committed["committed"]
    assert [ended["accepted"], ended["committed"], ended["why"]] == [True, True, ""]
    assert negotiated["running"] is committed["running"] is spy.transitions[1]
    assert ended["running"] is None
    assert spy.transitions[1].time_after == ended["time"]


def test_a_transition_that_relations_refuse_is_negotiated_and_ends_without_a_commit() -> None:
    flow, spy = spied()
    assert flow.b.add().canceled
    assert spy.take() == ["started add b", "negotiated add b", "ended add b", "drained"]
    assert [
        m["committed"] for m in (*spy.moments["started"], *spy.moments["negotiated"], *spy.moments["ended"])
    ] == [False] * 3
    assert spy.transitions[0].why == "b requires a, which is inactive"
    assert spy.transitions[0].left_out == {"b": "b requires a, which is inactive"}
    assert spy.transitions[0].enters == ()


def test_a_veto_is_told_of_with_its_handler() -> None:
    flow, spy = spied()
    for state in (flow.a, flow.b, flow.locked):
        state.add()
    spy.take()
    assert flow.b.remove().canceled
    assert spy.take() == [
        "started remove b",
        "calls BExit",
        "called BExit",
        "negotiated remove b",
        "ended remove b",
        "drained",
    ]
    t = spy.transitions[-1]
    assert t.veto is not None
    assert [t.veto.name, t.was_committed, t.accepted, t.why] == [
        "BExit",
        False,
        False,
        "BExit (Flow.b_exit) said no",
    ]
    assert spy.moments["negotiated"][-1]["why"] == t.why
    assert t.vetoes == (t.veto,)
    assert t.exits == ()
    assert t.time_after == t.time_before == flow.time


def test_a_failed_transition_ends_before_its_exception_is_entered_and_says_what_it_put_back() -> None:
    flow, spy = spied()
    assert flow.bad.add().canceled
    lines = spy.take()
    assert lines == [
        "started add bad", "negotiated add bad", "committed add bad", "calls BadState", "called BadState",
        "queued add Exception at None by m/1", "ended add bad",
        "started add Exception", "negotiated add Exception", "committed add Exception", "ended add Exception",
        "drained",
    ]  # fmt: skip
    failed, entered = spy.transitions
    assert failed.failure is not None
    assert isinstance(failed.failure.error, ValueError)
    assert [failed.was_committed, failed.accepted, failed.names(failed.put_back)] == [True, False, ("bad",)]
    assert failed.why == "Flow.bad_state (BadState) raised ValueError('broken')"
    assert failed.time_after[2] == 2
    assert isinstance(entered.args, ErrorInfo)
    assert entered.args.transition is failed
    assert entered.mutation.source == failed.source


class Autos(Machine):
    start = State()
    yes = State(auto=True, require=[start])
    no = State(auto=True, require=[start])
    never = State(auto=True, require=[start])

    @no.enter
    def refuse(self, e: Event[Any]) -> bool:
        return False

    @never.enter
    def refuse_too(self, e: Event[Any]) -> bool:
        return self.yes.active


def test_an_auto_mutation_is_queued_in_front_with_its_cause_and_says_who_was_kept_out() -> None:
    machine, spy = spied(Autos)
    machine.start.add()
    assert spy.take() == [
        "started add start", "negotiated add start", "committed add start",
        "queued auto yes, no, never at None by m/1", "ended add start",
        "started auto yes, no, never", "calls NoEnter", "called NoEnter", "calls NeverEnter", "called NeverEnter",
        "negotiated auto yes, no, never", "committed auto yes, no, never", "ended auto yes, no, never", "drained",
    ]  # fmt: skip
    auto = spy.transitions[1]
    assert [auto.auto, auto.accepted, auto.enters, auto.queue_tick] == [True, True, ("yes",), None]
    assert auto.called == ("yes", "no", "never")
    assert [call.name for call in auto.vetoes] == ["NoEnter", "NeverEnter"]
    assert auto.veto is None
    assert auto.left_out == {
        "no": "NoEnter (Autos.refuse) said no",
        "never": "NeverEnter (Autos.refuse_too) said no",
    }
    assert auto.mutation.source is not None
    assert auto.mutation.source.transition == "m/1"


def test_any_enter_may_refuse_an_auto_mutation_and_nobody_is_kept_out_by_it() -> None:
    class Careful(Machine):
        start = State()
        later = State(auto=True)

        @Machine.any_enter
        def ask(self, e: Event[Any]) -> bool:
            return not e.transition.auto

    machine, spy = spied(Careful)
    machine.start.add()
    auto = spy.transitions[1]
    assert [auto.accepted, auto.why, auto.left_out] == [
        False,
        f"AnyEnter ({auto.vetoes[0].where}) said no",
        {},
    ]


def test_a_mutation_made_by_a_handler_is_queued_with_its_tick_and_cause() -> None:
    class Chain(Machine):
        a = State()
        b = State()
        c = State()

        @a.state
        def go_on(self, e: Event[Any]) -> None:
            self.b.add()
            self.c.add()

    machine, spy = spied(Chain)
    machine.a.add()
    assert spy.take() == [
        "started add a", "negotiated add a", "committed add a", "calls AState",
        "queued add b at 3 by m/1", "queued add c at 4 by m/1", "called AState", "ended add a",
        "started add b", "negotiated add b", "committed add b", "ended add b",
        "started add c", "negotiated add c", "committed add c", "ended add c", "drained",
    ]  # fmt: skip
    assert [t.queue_tick for t in spy.transitions] == [None, 3, 4]
    assert [t.mutation.depth for t in spy.transitions] == [0, 1, 1]
    assert spy.transitions[2].cause == spy.transitions[0].source
    assert [t.id for t in spy.transitions] == ["m/1", "m/2", "m/3"]


def test_a_check_calls_handlers_but_is_no_transition() -> None:
    flow, spy = spied()
    flow.a.add()
    spy.take()
    assert flow.b.can_add()
    assert spy.take() == ["calls check BEnter", "called check BEnter"]
    assert not flow.b.active


def test_set_toggle_multi_and_no_ops_are_transitions_too() -> None:
    flow, spy = spied()
    flow.again.add()
    flow.again.add()
    flow.add("again", "a")
    flow.toggle("a")
    flow.set("a")
    flow.a.add()
    kinds = [(t.kind, t.accepted, t.enters, t.exits) for t in spy.transitions]
    assert kinds == [
        (Kind.ADD, True, ("again",), ()),
        (Kind.ADD, True, ("again",), ()),
        (Kind.ADD, True, ("a", "again"), ()),
        (Kind.REMOVE, True, (), ("a",)),
        (Kind.SET, True, ("a",), ("again",)),
        (Kind.ADD, True, (), ()),
    ]


def test_durations_are_those_that_the_hook_was_told_and_their_sum() -> None:
    told: list[tuple[str, float]] = []

    class Durations(Tracer):
        def handler_ended(self, machine: Machine, transition: Transition, call: Call, seconds: float) -> None:
            told.append((call.name, seconds))

    flow, spy = spied()
    flow.attach(Durations())
    flow.a.add()
    flow.b.add()
    t = spy.transitions[1]
    assert [(run.name, run.seconds) for run in t.runs] == told
    assert [name for name, _ in told] == ["BEnter", "BState"]
    assert t.duration == sum(seconds for _, seconds in told) > 0
    assert t.runs[0].where == "Flow.b_enter"


def test_an_interrupt_ends_the_record_too_and_it_tells_whether_the_commit_stands() -> None:
    class Interrupted(Machine):
        before = State()
        after = State()

        @before.enter
        def ask(self, e: Event[Any]) -> None:
            raise KeyboardInterrupt

        @after.state
        def run(self, e: Event[Any]) -> None:
            raise KeyboardInterrupt

    machine, spy = spied(Interrupted)
    with pytest.raises(KeyboardInterrupt):
        machine.before.add()
    assert spy.take() == ["started add before", "calls BeforeEnter", "called BeforeEnter", "ended add before"]
    with pytest.raises(KeyboardInterrupt):
        machine.after.add()
    assert spy.take()[-1] == "ended add after"
    assert [(t.was_committed, t.accepted) for t in spy.transitions] == [(False, False), (True, False)]
    assert spy.transitions[1].time_after == machine.time


# -- waits


def test_a_wait_is_made_and_met_once_each_in_that_order() -> None:
    flow, spy = spied()
    wait = flow.when("a")
    assert spy.take() == ["waits when(a) of m"]
    flow.a.add()
    assert wait.done
    lines = spy.take()
    assert lines.index("met when(a) of m") == lines.index("committed add a") + 1
    assert lines.count("met when(a) of m") == 1
    flow.a.remove()
    flow.a.add()
    assert not any(line.startswith("met") for line in spy.take())


ALREADY: dict[str, Callable[[Flow], Wait[Any]]] = {
    "when": lambda flow: flow.when("a"),
    "when_not": lambda flow: flow.when_not("b"),
    "state": lambda flow: flow.a.when(),
    "when_time": lambda flow: flow.when_time({"a": 1}),
    "when_query": lambda flow: flow.when_query(lambda clock: clock["a"]),
    "when_idle": lambda flow: flow.when_idle(),
    "when_queue": lambda flow: flow.when_queue(flow.a.add()),
    "nothing": lambda flow: flow.when(),
}


@pytest.mark.parametrize("kind", ALREADY)
def test_a_wait_that_is_true_when_it_is_made_is_neither_made_nor_met(kind: str) -> None:
    flow, spy = spied()
    flow.a.add()
    spy.take()
    assert ALREADY[kind](flow).done
    assert not [line for line in spy.take() if line.startswith(("waits", "met"))]


def test_a_wait_on_a_closed_machine_is_neither() -> None:
    flow, spy = spied()
    closing = flow.when_closed()
    pending = flow.when("a")
    assert spy.take() == ["waits when_closed", "waits when(a) of m"]
    flow.close()
    lines = spy.take()
    assert lines[-1] == "closed m"
    assert closing.done
    assert "met when_closed" in lines
    assert "met when(a) of m" not in lines
    assert pending.error is not None
    flow.attach(spy)
    spy.take()
    assert flow.when_closed().done
    assert flow.when("a").done
    assert spy.take() == []


def test_cancelled_failed_and_forgotten_waits_are_not_met() -> None:
    flow, spy = spied()
    cancelled = flow.when("a")
    cancelled.cancel()

    def fails(clock: Clock) -> object:
        return 1 / 0 if clock["a"] else False

    failing = flow.when_query(fails)
    flow.when("a")
    forgotten = spy.take()
    assert len(forgotten) == 3
    flow.a.add()
    assert failing.error is not None
    assert not [line for line in spy.take() if line.startswith("met")]


def test_a_wait_is_told_of_as_met_after_whoever_waits_is_woken_and_before_callbacks() -> None:
    flow, spy = spied()

    def callback(_: object) -> None:
        spy.lines.append("callback")

    flow.when("a").then(callback)
    flow.a.add()
    lines = [line for line in spy.take() if line.startswith(("met", "callback"))]
    assert lines == ["met when(a) of m", "callback"]


def test_the_entry_tells_which_wait_it_was_and_a_combination_is_told_of_by_its_parts() -> None:
    class Entries(Tracer):
        def __init__(self) -> None:
            self.made: list[Any] = []
            self.met: list[Any] = []

        def wait_made(self, machine: Machine, wait: Wait[Any]) -> None:
            self.made.append(wait.entry)

        def wait_met(self, machine: Machine, wait: Wait[Any]) -> None:
            self.met.append(wait.entry)

    entries = Entries()
    flow = Flow("m", tracers=[entries])
    either = any_of(flow.when("locked"), flow.when("a"))
    flow.a.add()
    assert either.done
    assert len(entries.made) == 2
    assert entries.met == entries.made[1:]


def test_a_tracer_that_came_later_hears_of_the_waits_that_were_there() -> None:
    flow = Flow("m")
    wait = flow.when("a")
    spy = Spy()
    flow.attach(spy)
    flow.a.add()
    assert wait.done
    assert "met when(a) of m" in spy.lines


def test_results_evaluations_and_idleness_are_waits_too() -> None:
    class Queues(Machine):
        a = State()
        b = State()
        waits: list[Wait[Any]]

        @a.state
        def later(self, e: Event[Any]) -> None:
            result = self.b.add().when_done()
            assert result is not None
            self.waits = [result, self.eval(lambda: 1), self.when_idle()]

    machine, spy = spied(Queues)
    machine.a.add()
    assert all(wait.done for wait in machine.waits)
    lines = [line for line in spy.take() if line.startswith(("waits", "met"))]
    assert lines == [
        "waits result",
        "waits eval of m",
        "waits when_idle",
        "met result",
        "met eval of m",
        "met when_idle",
    ]


def test_a_raising_tracer_or_an_interrupt_loses_no_wake_up() -> None:
    class Stops(Tracer):
        def wait_met(self, machine: Machine, wait: Wait[Any]) -> None:
            raise KeyboardInterrupt

    flow = Flow("m", tracers=[Stops()])
    waits = [flow.when("a"), flow.when("a")]
    with pytest.raises(KeyboardInterrupt):
        flow.a.add()
    assert [wait.done for wait in waits] == [True, True]


# -- background work


async def test_tasks_are_told_of_from_start_to_end() -> None:
    class Works(Machine):
        a = State()
        b = State()
        c = State()

        @a.task
        async def long(self, e: Event[Any]) -> None:
            await anyio.sleep_forever()

        @b.task
        async def quick(self, e: Event[Any]) -> None:
            pass

        @c.task
        async def wrong(self, e: Event[Any]) -> None:
            raise ValueError("broken")

        @a.end
        async def tidy(self, e: Event[Any]) -> None:
            pass

        @Machine.Exception.state
        def heard(self, e: Event[Any]) -> None:
            pass

    spy = Spy()
    async with Works("m", tracers=[spy]) as machine:
        for state in (machine.a, machine.b, machine.c):
            state.add()
        await machine.when_error()
        machine.a.remove()
        await anyio.wait_all_tasks_blocked()
    tasks = [line.replace("Works.", "") for line in spy.lines if line.startswith("task")]
    long, quick, wrong = "task long (ATask) of a", "task quick (BTask) of b", "task wrong (CTask) of c"
    tidy = "task tidy (AEnd) of None"
    assert sorted(tasks) == sorted(
        [long, quick, wrong, f"{quick} done", f"{wrong} failed", f"{long} cancelled", tidy, f"{tidy} done"]
    )
    for each in (long, quick, wrong, tidy):
        assert tasks.index(each) < next(i for i, line in enumerate(tasks) if line.startswith(f"{each} "))
    assert spy.lines[-1] == "closed m"


async def test_a_task_that_never_ran_is_not_told_of() -> None:
    class Works(Machine):
        a = State()

        @a.task
        async def long(self, e: Event[Any]) -> None:
            await anyio.sleep_forever()

    spy = Spy()
    async with Works("m", tracers=[spy]) as machine:
        machine.a.add()
        machine.a.remove()
        await anyio.wait_all_tasks_blocked()
    assert not [line for line in spy.lines if line.startswith("task")]


# -- attaching


def test_a_tracer_may_come_and_go_at_any_time_and_hears_what_lies_between() -> None:
    flow = Flow("m")
    spy = Spy()
    flow.attach(spy)
    flow.attach(spy)
    assert flow.tracers == (spy,)
    flow.a.add()
    flow.detach(spy)
    flow.detach(spy)
    flow.b.add()
    assert spy.take() == [
        "opened m", "started add a", "negotiated add a", "committed add a", "ended add a", "drained", "closed m",
    ]  # fmt: skip
    flow.attach(spy)
    assert spy.take() == ["opened m"]


@pytest.mark.parametrize("others", [(), (Spy(),)])
def test_a_tracer_attached_by_a_handler_hears_of_the_next_transition_from_its_start(
    others: tuple[Tracer, ...],
) -> None:
    spy = Spy()

    class Attaching(Machine):
        a = State()
        b = State()

        @a.enter
        def ask(self, e: Event[Any]) -> None:
            self.attach(spy)

        @a.state
        def run(self, e: Event[Any]) -> None:
            self.b.add()

    machine = Attaching("m", tracers=others, handler_timeout=None)
    machine.a.add()
    assert machine.tracers == (*others, spy)
    lines = spy.take()
    assert lines[0] == "opened m"
    assert lines[-5:] == ["started add b", "negotiated add b", "committed add b", "ended add b", "drained"]


def test_a_tracer_detached_by_a_handler_hears_of_nothing_more() -> None:
    spy = Spy()

    class Detaching(Machine):
        a = State()

        @a.enter
        def ask(self, e: Event[Any]) -> None:
            self.detach(spy)

        @a.state
        def run(self, e: Event[Any]) -> None:
            pass

    Detaching("m", tracers=[spy], handler_timeout=None).a.add()
    assert spy.take() == ["opened m", "started add a", "calls AEnter", "closed m"]


def test_a_tracer_attached_by_another_thread_comes_in_before_the_next_mutation() -> None:
    inside, attached = threading.Event(), threading.Event()

    class Busy(Machine):
        a = State()
        b = State()

        @a.state
        def run(self, e: Event[Any]) -> None:
            inside.set()
            assert attached.wait(10)

    spy = Spy()
    machine = Busy("m", handler_timeout=None)
    thread = threading.Thread(target=machine.a.add)
    thread.start()
    assert inside.wait(10)
    machine.attach(spy)
    assert not machine.tracers
    attached.set()
    thread.join(10)
    assert machine.tracers == (spy,)
    assert spy.take() == ["opened m", "drained"]
    machine.b.add()
    assert "ended add b" in spy.take()


def test_inheritable_tracers_follow_to_children_made_later() -> None:
    follows, stays = Spy(), Spy()
    follows.inheritable = True
    parent = Flow("parent", tracers=[follows, stays])
    child = Flow("child", parent=parent)
    own = Flow("own", parent=parent, tracers=[follows])
    assert child.tracers == own.tracers == (follows,)
    grandchild = Flow("grandchild", parent=child)
    assert grandchild.tracers == (follows,)
    assert follows.take() == ["opened parent", "opened child", "opened own", "opened grandchild"]
    assert stays.take() == ["opened parent"]
    parent.close()
    closed = [line for line in follows.take() if line.startswith("closed")]
    assert sorted(closed) == ["closed child", "closed grandchild", "closed own", "closed parent"]


def test_tracers_of_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from amachine import binding

    spy = Spy()
    monkeypatch.setattr(binding, "everywhere", [spy])
    assert Flow("m").tracers == (spy,)
    assert Machine.of({"Wet": {}}, "n", tracers=[spy]).tracers == (spy,)
    assert spy.take() == ["opened m", "opened n"]


def test_several_tracers_are_called_in_the_order_in_which_they_were_attached() -> None:
    heard: list[str] = []

    class Named(Tracer):
        def __init__(self, name: str) -> None:
            self.name = name

        def transition_ended(self, machine: Machine, transition: Transition) -> None:
            heard.append(self.name)

    Flow("m", tracers=[Named("first"), Named("second")]).a.add()
    assert heard == ["first", "second"]


def test_a_tracer_without_hooks_costs_no_record() -> None:
    flow = Flow("m", tracers=[Tracer()])
    assert flow._hooks_ is None
    assert flow.a.add()


# -- tracers that raise


class Life(Machine):
    """Meets every hook in one life."""

    a = State()
    b = State()

    @a.enter
    def ask(self, e: Event[Any]) -> None:
        pass

    @a.state
    def run(self, e: Event[Any]) -> None:
        self.b.add()

    @a.task
    async def work(self, e: Event[Any]) -> None:
        pass


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_tracer_that_raises_is_detached_and_logged_and_the_machine_goes_on(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def broken(self: Tracer, *args: Any) -> None:
        calls.append(hook)
        raise RuntimeError(f"{hook} is broken")

    tracer: Tracer = type("Broken", (Tracer,), {hook: broken})()
    after = Spy()
    machine = Life("m", tracers=[tracer, after], handler_timeout=None)
    with caplog.at_level(logging.ERROR, "amachine"):
        async with machine:
            wait = machine.when("b")
            assert machine.a.add().status is Status.EXECUTED
            assert wait.done
            await anyio.wait_all_tasks_blocked()
            assert machine.set_schema(machine.schema.extend("a", tags=["x"])).done
            if not hook.startswith("machine_closed"):
                assert machine.tracers == (after,)
            assert machine.active == ("a", "b")
            assert machine.error is None
    assert calls == [hook]
    assert caplog.messages == [f"tracer Broken detached from m: its {hook} raised"]
    assert caplog.records[0].exc_info is not None
    # Who stands behind it has heard everything.
    lines = after.take()
    assert lines[0] == "opened m"
    assert lines[-1] == "closed m"
    assert {
        "waits when(b) of m",
        "met when(b) of m",
        "queued add b at 3 by m/1",
        "drained",
        "schema 2",
        "ended add b",
    } <= set(lines)
    assert sum(line.startswith("task") for line in lines) == 2


def test_any_callable_may_be_a_hook() -> None:
    heard: list[object] = []

    def divide(machine: Machine, transition: Transition) -> None:
        heard.append(1 / (transition.number - 1))

    static: type[Tracer] = type("Static", (Tracer,), {"transition_ended": staticmethod(divide)})
    flow = Flow("m", tracers=[static()])
    assert flow.a.add()
    assert not flow.tracers
    assert heard == []


# -- what a tracer may rely on


@attrs.frozen
class Job:
    path: str


def test_records_stay_true_when_the_machine_has_moved_on() -> None:
    class Files(Machine):
        idle = State()
        reading = State(Job)
        phase = exclusive(idle, reading)

    spy = Spy()
    machine = Files("m", tracers=[spy])
    machine.idle.add()
    machine.reading.add("a.txt")
    machine.set("idle")
    first, second, _ = spy.transitions
    assert [first.active, second.active] == [("idle",), ("reading",)]
    assert [second.enters, second.exits, second.target] == [("reading",), ("idle",), ("reading",)]
    assert second.args == Job("a.txt")
    assert [second.time_before, second.time_after] == [(1, 0, 0), (2, 1, 0)]
    assert str(second) == "add reading → executed"
