"""Another schema for a machine that runs: what goes on, what it changes, and what it refuses."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from random import Random
from threading import Thread
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amachine import (
    BindingError,
    ErrorInfo,
    Event,
    Machine,
    MachineClosed,
    RestoreError,
    Schema,
    SchemaError,
    State,
    States,
    Tracer,
    UnknownState,
    Wait,
)
from amachine.tracers.log import LogTracer
from tests.lives import anyio_backend, rest

__all__ = ["anyio_backend"]


SMALL: dict[str, Any] = {"a": {}, "b": {"require": ["a"]}}
LARGE: dict[str, Any] = {
    "n": {"require": ["a"]},
    "a": {},
    "m": {"auto": True, "require": ["n"]},
    "b": {"require": ["a"]},
}


def small(**options: Any) -> Machine:
    return Machine.of(SMALL, "m", **options)


# What goes on, and what is new.


def test_clocks_and_places_stay_and_new_states_come_behind() -> None:
    machine = small()
    machine.add("a")
    machine.add("b")
    machine.remove("b")
    bound = machine["b"]
    wait = machine.set_schema(LARGE)
    assert wait.value == machine.schema_version == 2
    assert machine.schema.names == ("a", "b", "Exception", "n", "m")
    assert machine.clock == {"a": 1, "b": 2, "Exception": 0, "n": 0, "m": 0}
    assert machine.add("n").executed
    assert machine.active == ("a", "n", "m")
    assert bound.add().executed
    assert machine.when("b", "m").done
    assert small().schema.names == ("a", "b", "Exception")  # nobody else's has changed


def test_the_same_schema_again_changes_nothing() -> None:
    told: list[Any] = []

    class Tells(Tracer):
        def schema_changed(self, machine: Machine, before: Schema) -> None:
            told.append((before.names, machine.schema.names, machine.schema_version))

    machine = small(tracers=[Tells()])
    assert machine.set_schema(SMALL).value == 1
    assert machine.set_schema(machine.schema).value == 1
    assert machine.set_schema(LARGE).value == machine.set_schema(LARGE).value == 2
    assert told == [(("a", "b", "Exception"), ("a", "b", "Exception", "n", "m"), 2)]


def test_a_class_of_states_and_a_merged_schema_are_taken() -> None:
    @attrs.frozen
    class Job:
        number: int = 0

    class Flow(Machine):
        start = State()
        job = State(Job)

    class More(States):
        more = State()

    flow = Flow()
    flow.job.add(3)
    flow.set_schema(flow.schema.merge(More.schema))
    assert flow.add("more").executed
    assert flow.job.args == Job(3)
    assert Flow.schema.names == ("start", "job", "Exception")
    with pytest.raises(SchemaError, match="start, job would be gone; a running machine keeps its states"):
        flow.set_schema(More)
    with pytest.raises(
        SchemaError,
        match=r"start would have another args class; .* inherit from its states, or machine.schema.merge",
    ):
        flow.set_schema(Schema.parse({"start": {}, "job": {}, "more": {}}))
    assert flow.schema_version == 2


def test_relations_change_where_what_is_active_allows_it() -> None:
    machine = small()
    machine.add("a")
    machine.add("b")
    with pytest.raises(
        SchemaError, match=r"machine m cannot take it over now: b is active, and removes a: change"
    ):
        machine.set_schema({"a": {}, "b": {"remove": ["a"]}})
    with pytest.raises(SchemaError, match="b is active, and requires c: change what is active first"):
        machine.set_schema({"a": {}, "b": {"require": ["c"]}, "c": {}})
    assert (machine.schema_version, machine.schema.names) == (1, ("a", "b", "Exception"))
    machine.set_schema({"a": {"multi": True}, "b": {}, "c": {"auto": True}})
    assert machine.active == ("a", "b")  # it is no transition: no auto state comes with it
    assert machine.remove("a").executed
    assert machine.active == ("b", "c")
    machine.add("a")
    machine.add("a")
    assert machine.clock["a"] == 5


def test_a_broken_schema_is_refused_and_nothing_changes() -> None:
    machine = small()
    with pytest.raises(SchemaError, match="no such state is declared"):
        machine.set_schema({**SMALL, "c": {"require": ["d"]}})
    assert machine.schema_version == 1


def test_handlers_are_bound_anew_and_a_name_of_a_new_state_counts() -> None:
    ran: list[str] = []

    class Late:
        def a_state(self, e: Event[Any]) -> None:
            ran.append(e.name)

        def n_state(self, e: Event[Any]) -> None:
            ran.append(e.name)

        def a_n(self, e: Event[Any]) -> None:
            ran.append(e.name)

    class Prefixed:
        def ready_state(self, e: Event[Any]) -> None:
            ran.append("prefixed")

    def mapped(event: Event[Any]) -> None:
        ran.append("mapping")

    machine = Machine.of({"a": {}, "db_ready": {}}, "m")
    machine.bind(Late(), strict=False)
    machine.bind({"AEnter": mapped})
    machine.bind(Prefixed(), prefix="db_")
    machine.set_schema({"a": {}, "db_ready": {}, "n": {}})
    machine.add("a")
    machine.add("n")
    machine.add("db_ready")
    assert ran == ["mapping", "AState", "AN", "NState", "prefixed"]
    assert len(machine.handlers) == 3


def test_a_name_that_reads_in_two_ways_by_then_is_refused_whole() -> None:
    class Ambiguous:
        def one_two_three(self, e: Event[Any]) -> None: ...

    machine = Machine.of({"one": {}, "two_three": {}}, "m")
    machine.bind(Ambiguous())
    with pytest.raises(BindingError, match="reads in two ways"):
        machine.set_schema({"one": {}, "two_three": {}, "one_two": {}, "three": {}})
    assert machine.schema_version == 1
    assert machine.add("one").executed


def test_from_a_handler_it_comes_behind_what_is_queued() -> None:
    seen: list[Any] = []

    def grow(event: Event[Any]) -> None:
        machine.add("b")
        wait = machine.set_schema(LARGE)
        assert not wait.done
        with pytest.raises(UnknownState):
            machine.add("n")
        wait.then(lambda version: seen.append((version, machine.active, machine.add("n").queued)))
        machine.remove("b")

    machine = small(handlers=[{"AState": grow}])
    machine.add("a")
    assert seen == [(2, ("a", "b"), True)]
    assert machine.active == ("a", "n", "m")


def test_a_handler_hears_of_a_late_refusal_by_the_error_path_and_others_by_the_wait() -> None:
    errors: list[Any] = []

    def grow(event: Event[Any]) -> None:
        machine.add("b")
        machine.set_schema({"a": {}, "b": {"remove": ["a"]}})

    def failed(event: Event[ErrorInfo]) -> None:
        errors.append((event.args.handler, str(event.args.error)))

    machine = small(handlers=[{"AState": grow, "ExceptionState": failed}])
    machine.add("a")
    ((where, text),) = errors
    assert where == "set_schema of m"
    assert "b is active, and removes a" in text
    assert (machine.active, machine.schema_version) == (("a", "b", "Exception"), 1)


def test_binding_from_a_handler_that_also_changes_the_schema_keeps_both() -> None:
    ran: list[str] = []

    def late(event: Event[Any]) -> None:
        ran.append("late")

    def both(event: Event[Any]) -> None:
        machine.set_schema(LARGE)
        machine.bind({"AEnd": late})

    machine = small(handlers=[{"AState": both}])
    machine.add("a")
    assert machine.schema.names == ("a", "b", "Exception", "n", "m")
    machine.remove("a")
    assert ran == ["late"]


def test_queued_mutations_and_a_closed_machine() -> None:
    ran: list[Any] = []

    def grow(event: Event[Any]) -> None:
        machine.eval(lambda: machine.add("b"))  # is queued behind the new schema
        machine.set_schema(LARGE)
        machine.eval(lambda: ran.append(machine.schema_version))

    def b(event: Event[Any]) -> None:
        ran.append(event.mutation.is_called("n"))

    machine = small(handlers=[{"AState": grow, "BState": b}])
    machine.add("a")
    assert ran == [2, False]
    machine.close()
    with pytest.raises(MachineClosed):
        machine.set_schema({**LARGE, "z": {}})


# Waits, tasks and threads.


async def test_waits_tasks_and_timers_go_on_and_limits_change() -> None:
    class Flow(Machine):
        work = State(multi=True, limit=1)
        tick = State()
        running = 0
        ticks = 0

        @work.task
        async def task(self, e: Event[None]) -> None:
            self.running += 1
            try:
                await anyio.sleep_forever()
            finally:
                self.running -= 1

        @tick.every(0.002)
        def beat(self, e: Event[None]) -> None:
            self.ticks += 1

    async with Flow(raise_errors=True) as flow:
        flow.work.add()
        flow.work.add()
        flow.tick.add()
        await rest()
        assert flow.running == 1
        waits: list[Wait[Any]] = [
            flow.when_not("work"),
            flow.when_time({"work": 4}),
            flow.when_ticks("tick"),
            flow.when_query(lambda c: c.get("more", 0) == 1),
        ]
        scope = flow.tick.scope()
        async with scope:
            more = flow.schema.extend("work", limit=5).merge(Schema.parse({"more": {}}))
            assert await flow.set_schema(more) == 2
            await rest()
            assert flow.running == 2  # there is room for the second now
            ticks = flow.ticks
            with anyio.fail_after(5):
                while flow.ticks < ticks + 2:  # noqa: ASYNC110
                    await anyio.sleep(0.001)
            assert not scope.over
            flow.add("more")
            assert [wait.done for wait in waits] == [False, False, False, True]
            flow.work.remove()
            flow.tick.remove()
            assert [wait.done for wait in waits] == [True, True, True, True]
            await anyio.sleep(1)
        await rest()
        assert (scope.over, flow.running) == (True, 0)


async def test_from_another_thread_it_happens_in_the_loop_of_the_machine() -> None:
    async with small() as machine:
        assert await anyio.to_thread.run_sync(lambda: machine.set_schema(LARGE).wait(5)) == 2
        assert machine.add("a")


def test_under_load_from_threads_nothing_is_torn_and_nothing_is_lost() -> None:
    machine = small(queue_limit=None)
    problems: list[BaseException] = []
    over: list[None] = []

    def work(number: int) -> None:
        try:
            for turn in range(150):
                name = f"s{turn % 20}"
                if machine.schema.has(name):
                    machine.add(name).wait(10)
                    assert name in machine.schema.names
                    machine.remove(name).wait(10)
                machine.toggle("a").wait(10)
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    def look() -> None:
        try:
            while not over:
                clock, active, text = machine.clock, machine.active, machine.inspect()
                assert len(clock) == len(clock.names)
                assert all(isinstance(name, str) for name in active)
                assert text
                machine.what_can_i_add()
                machine.can_add("a")
                str(machine.explain("add", "b"))
                machine.export()
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [Thread(target=work, args=(n,)) for n in range(3)]
    watcher = Thread(target=look)
    for thread in (*threads, watcher):
        thread.start()
    schema = dict(SMALL)
    for number in range(20):
        schema = {f"s{number}": {"multi": number % 2 == 0}, **schema}
        machine.set_schema(schema).wait(10)
    for thread in threads:
        thread.join(30)
    over.append(None)
    watcher.join(30)
    assert problems == []
    assert machine.schema_version == 21
    assert machine.clock["a"] == 450
    assert machine.schema.names[:3] == ("a", "b", "Exception")
    assert all(machine.clock[f"s{n}"] % 2 == 0 for n in range(20))


def test_machines_that_grow_alike_share_a_schema_and_none_is_kept() -> None:
    shared = Schema.parse(SMALL)
    one, other = Machine.of(shared), Machine.of(shared)
    one.set_schema(LARGE)
    other.set_schema(LARGE)
    assert one.schema is other.schema
    assert one._program_ is other._program_
    machine = Machine.of({"only": {}, "here": {}})
    base = machine.schema
    machine.set_schema({"first": {}, "only": {}, "here": {}})
    grown = weakref.ref(machine.schema)
    del machine
    gc.collect()
    assert grown() is None
    assert base.names == ("only", "here", "Exception")


def test_the_log_tells_what_has_changed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "amachine")
    machine = small(tracers=[LogTracer("changes")])
    machine.set_schema({"n": {}, "a": {}, "b": {"remove": ["n"], "auto": True}})
    assert "[schema] m version 2: state 'n' is new; the require of 'b' was [a] and is []" in caplog.text


# It is as if it had always been so.

NAMES = "abcdefgh"
VERBS = ("add", "remove", "set", "toggle")


def some(chance: Random, names: Sequence[str]) -> list[str]:
    """Two of these, or fewer."""
    return chance.sample(names, min(len(names), chance.randrange(3)))


def relations(chance: Random, state: str, known: str) -> dict[str, Any]:
    """Of one state among those known."""
    others = [each for each in known if each != state]
    require = some(chance, known[: known.index(state)])
    removable = [each for each in others if each not in require]
    return {
        "require": require,
        "add": some(chance, others),
        "remove": some(chance, removable),
        "multi": chance.random() < 0.3,
    }


def grown(chance: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema, and the same with more states, which nothing of the first knows of and that do not come by themselves."""
    count = chance.randint(1, 4)
    old = NAMES[:count]
    new = NAMES[count : count + chance.randint(1, 4)]
    first = {state: relations(chance, state, old) | {"auto": chance.random() < 0.3} for state in old}
    return first, {**first, **{state: relations(chance, state, old + new) for state in new}}


def logged(machine: Machine) -> list[str]:
    """What its transitions come to, as it happens."""
    log: list[str] = []

    def note(event: Event[Any]) -> None:
        log.append(f"{event.mutation} {sorted(event.transition.active)}")

    machine.bind({"AnyState": note})
    return log


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**40))
def test_a_machine_that_has_grown_behaves_as_one_made_with_the_full_schema(seed: int) -> None:
    chance = Random(seed)
    first, full = grown(chance)
    grows, reference = Machine.of(first), Machine.of(full)
    logs = [logged(grows), logged(reference)]
    called = list(first)
    when = chance.randrange(10)
    for number in range(20):
        if number == when:
            grows.set_schema(full)
            called = list(full)
        verb, states = chance.choice(VERBS), chance.sample(called, min(len(called), chance.randint(1, 2)))
        answers = [getattr(machine, verb)(*states) for machine in (grows, reference)]
        assert answers[0].status is answers[1].status
        assert dict(reference.clock) == {**dict.fromkeys(full, 0), **grows.clock}
        assert grows.queue_tick == reference.queue_tick
    assert logs[0] == logs[1]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**40))
def test_a_machine_with_another_schema_behaves_as_one_restored_with_it(seed: int) -> None:
    chance = Random(seed)
    first, other = grown(chance)[0], grown(chance)[1]
    machine = Machine.of(first)
    for _ in range(4):
        machine.add(chance.choice(list(first)))
    # Other relations for the present states, and some more states.
    wanted = Schema.parse({**{name: {} for name in first}, **other})
    picture = machine.export()
    try:
        machine.set_schema(wanted)
    except SchemaError as error:
        assert "cannot take it over now" in str(error)  # noqa: PT017
        with pytest.raises(RestoreError, match="cannot be active today"):
            Machine.restore(picture, schema=wanted, strict=False)
        assert machine.export()["ticks"] == picture["ticks"]
        return
    restored = Machine.restore(picture, schema=machine.schema, strict=False)
    for _ in range(10):
        verb, state = chance.choice(VERBS), chance.choice(wanted.names)
        assert getattr(machine, verb)(state).status is getattr(restored, verb)(state).status
        assert machine.clock == restored.clock
