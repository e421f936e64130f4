"""Details of the engine that are easily got wrong: each was, once."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# Handlers in one line: nobody gains by the types of their parameters.

from __future__ import annotations

import copy
import cProfile
import inspect
import pickle
import pstats
import sys
import traceback
from types import ModuleType
from typing import Any

import anyio
import attrs
import pydantic
import pytest

from amachine import (
    ArgsError,
    BindingError,
    Event,
    Machine,
    MachineClosed,
    Recorder,
    Refused,
    Schema,
    State,
    StateDef,
    Tracer,
    Transition,
    UnknownState,
)


class Plain(Machine):
    a = State()
    b = State(auto=True, require=[a])
    n = State(multi=True, auto=True, require=[a])


class Stages(Tracer):
    """Calls a function at the start of every transition."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def transition_started(self, machine: Machine, transition: Transition) -> None:
        self.call(machine)


class AtRest(Tracer):
    """Calls a function whenever the queue has drained."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def queue_drained(self, machine: Machine) -> None:
        self.call(machine)


def test_a_wait_made_while_a_silent_transition_is_told_of_is_met_by_it() -> None:
    made: list[Any] = []
    machine = Machine.of(
        {"A": {}}, tracers=[Stages(lambda m: made.extend([m.when("A")] if not made else []))]
    )
    machine.add("A")
    assert made[0].done


def test_when_args_made_in_negotiation_counts_the_transition_that_is_negotiated() -> None:
    made: list[Any] = []
    machine = Machine.of(
        {"A": {}}, handlers={"AEnter": lambda e: made.append(e.machine.when_args("A", {"x": 1}))}
    )
    machine.add("A", x=1)
    assert made[0].value == {"x": 1}


def test_when_args_made_in_a_final_handler_does_not() -> None:
    made: list[Any] = []
    machine = Machine.of({"A": {}}, handlers={"AState": lambda e: made.append(e.machine.when_args("A"))})
    machine.add("A")
    assert not made[0].done


def test_a_stale_auto_mutation_does_not_re_enter_a_multi_state() -> None:
    def fail(_: object) -> None:
        raise ValueError("first")

    machine = Plain("m")
    waiting = machine.when("a").then(fail)
    machine.a.add()
    assert waiting.done
    assert machine.n.tick == 1


@pytest.mark.parametrize("watched", [True, False])
def test_an_error_of_a_callback_goes_before_the_auto_mutation(watched: bool) -> None:
    seen: list[str] = []

    class Told(Plain):
        @Plain.b.state
        def on_b(self, e: Event[None]) -> None:
            seen.append("b")

        @Plain.Exception.state
        def on_error(self, e: Event[Any]) -> None:
            assert e.source is not None
            seen.append("error")

    def fail(_: object) -> None:
        raise ValueError("of a callback")

    machine = Told("m", tracers=[Stages(lambda _: None)] if watched else [])
    machine.when("a").then(fail)
    machine.a.add()
    assert seen == ["error", "b"]


def test_what_a_tracer_asks_for_when_the_queue_has_drained_is_done() -> None:
    machine = Machine.of({"A": {}, "B": {}}, tracers=[AtRest(lambda m: m.is_active("B") or m.add("B"))])
    machine.add("A")
    assert machine.active == ("A", "B")
    assert machine.queue == ()


def test_the_length_of_a_drain_is_not_limited_by_the_stack() -> None:
    machine = Machine.of({"A": {}})
    left = 3000

    def again(_: object) -> None:
        nonlocal left
        left -= 1
        if left:
            machine.toggle("A")
            machine.when_idle().then(again)

    machine.eval(lambda: machine.when_idle().then(again))
    assert left == 0


def test_arguments_that_cannot_be_built_empty_after_all_are_an_error_state() -> None:
    @attrs.frozen
    class Picky:
        n: int = attrs.field(default=0, validator=attrs.validators.gt(0))

    class Work(Machine):
        busy = State(Picky)

        @busy.task
        async def work(self, e: Event[Picky]) -> None:
            """Never starts."""

    machine = Work("m")
    assert machine.busy.add().canceled
    assert isinstance(machine.error, ValueError)


def test_closing_with_an_open_grandchild_changes_nothing_before_it_says_so() -> None:
    import asyncio

    async def main() -> None:
        parent = Machine.of({}, "parent")
        child = Machine.of({}, "child", parent=parent)
        async with Machine.of({}, "grandchild", parent=child):
            with pytest.raises(Exception, match="grandchild"):
                parent.close()
            assert not parent.is_closing
            assert not child.is_closing

    asyncio.run(main())


def test_an_error_reported_to_a_closed_machine_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine.of({}, "m", handlers={"ExceptionState": lambda e: None})
    machine.close()
    assert machine.add_error(ValueError("too late")).canceled
    assert machine.error is None
    assert "too late" in caplog.text
    with pytest.raises(MachineClosed):
        machine.when("Exception").wait(0)


def test_a_refused_answer_can_be_raised() -> None:
    machine = Machine.of({"A": {"require": ["B"]}, "B": {}})
    with pytest.raises(Refused, match="A requires B"):
        machine.add("A").or_raise()
    assert machine.add("B").or_raise()


def test_a_machine_is_neither_copied_nor_pickled() -> None:
    machine = Machine.of({}, "m")
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="machine m cannot be copied"):
            copied(machine)


def test_handlers_may_be_one_mapping_and_must_be_handlers() -> None:
    machine = Machine.of({"A": {}}, handlers={"AEnter": lambda e: False})
    assert machine.add("A").canceled
    with pytest.raises(BindingError, match="has no handlers"):
        machine.bind(object())


def test_what_is_no_state_of_the_machine_is_refused_by_name() -> None:
    machine: Any = Plain("m")
    with pytest.raises(TypeError, match="3 is no state"):
        machine.add(3)
    with pytest.raises(UnknownState, match="a of other"):
        machine.add(Plain("other").a)
    with pytest.raises(TypeError, match="did you mean 'queue_limit'"):
        Plain("m", queue_limits=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("name", "meant"), [("transition_end", "transition_ended"), ("handler_start", "handler_started")]
)
def test_a_misspelt_hook_of_a_tracer_is_refused_where_it_is_written(name: str, meant: str) -> None:
    with pytest.raises(BindingError, match=f"Watch.{name}: .*did you mean '{meant}'"):
        type("Watch", (Tracer,), {name: lambda *_: None})
    type("Fine", (Tracer,), {"transition_names": lambda *_: None, "machine_of": lambda *_: None})


def test_an_unknown_kind_of_mutation_is_explained() -> None:
    with pytest.raises(ValueError, match=r"'ad' \(did you mean 'add'\?\): add, remove, set, toggle"):
        Machine.of({"A": {}}).explain("ad", "A")


def test_a_misspelt_argument_is_answered_with_the_nearest_one() -> None:
    @attrs.frozen
    class Song:
        title: str

    class Player(Machine):
        playing = State(Song)

    with pytest.raises(ArgsError, match=r"playing: .*'titel'\W+[Dd]id you mean 'title'\?"):
        Player().playing.add(titel="A")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_a_state_counts_its_entries() -> None:
    flow = Plain("flow")
    assert flow.n.entries == 0
    flow.a.add()
    assert (flow.n.tick, flow.n.entries) == (1, 1)
    flow.n.add()
    assert (flow.n.tick, flow.n.entries) == (3, 2)
    flow.a.remove()
    assert (flow.n.tick, flow.n.entries, flow.a.entries) == (4, 2, 1)


def test_what_a_pydantic_class_refuses_is_not_quoted() -> None:
    class Login(pydantic.BaseModel):
        user: str
        password: int

    flow = Machine.of(Schema([StateDef("login", args=Login)]))
    with pytest.raises(ArgsError, match="login: password: Input should be a valid integer") as told:
        flow.add("login", user="ada", password="hunter2")
    assert "hunter2" not in str(told.value)


async def test_a_machine_that_is_not_open_says_which_tasks_wait_for_that() -> None:
    class Busy(Machine):
        on = State()

        @on.task
        async def work(self, e: Event[None]) -> None:
            await anyio.sleep_forever()

    busy = Busy("busy")
    assert "not open" not in busy.inspect()
    busy.on.add()
    assert busy.inspect().splitlines()[-1] == "not open: Busy.work (OnTask) will run inside `async with`"
    async with busy:
        assert "not open" not in busy.inspect()


def test_records_are_values_that_can_be_pickled_and_copied() -> None:
    recorder = Recorder()
    Plain(tracers=[recorder]).a.add()
    records = list(recorder)
    assert len(records) == 2
    assert [str(each) for each in pickle.loads(pickle.dumps(records))] == list(map(str, records))
    assert [str(each) for each in copy.deepcopy(records)] == list(map(str, records))


def test_a_machine_opens_on_asyncio_while_another_thread_imports_trio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> bool:
        monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))  # as it is at first
        async with Plain("plain") as plain:
            return plain.is_open

    assert anyio.run(main, backend="asyncio")


# A mutation of a machine runs in functions that are its class's own, so that no class slows down another.


class Left(Machine):
    a = State()


class Right(Machine):
    a = State()


class Below(Left):
    b = State()


def test_a_profile_tells_of_the_mutations_of_every_class() -> None:
    machines = Left(), Right(), Below()
    profile = cProfile.Profile()
    profile.enable()
    for machine in machines:
        machine.toggle("a")
    profile.disable()
    stats: Any = pstats.Stats(profile)
    names = {name for _, _, name in stats.stats}
    assert {"_submit of Left", "_submit of Right", "_submit of Below"} <= names


def test_a_class_with_machines_keeps_what_its_base_does_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    class Base(Machine):
        a = State()

    class Derived(Base):
        pass

    seen: list[str] = []

    def submit(self: Machine, *args: Any) -> Any:
        seen.append(self.id)
        return Machine._submit(self, *args)

    Base("base")
    monkeypatch.setattr(Base, "_submit", submit)
    machine = Derived("derived")
    assert machine.a.add()
    assert seen == ["derived"]


def test_a_traceback_shows_the_code_of_the_engine() -> None:
    class Broken(Machine):
        a = State()

        @a.state
        def fails(self, e: Event[None]) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        Broken("broken", raise_errors=True).a.add()
    lines = traceback.format_exception(caught.value)
    assert any("in _call_plain of Broken\n" in line and "fn(owners" in line for line in lines)
    assert inspect.getsource(Broken._submit) == inspect.getsource(Machine._submit)
