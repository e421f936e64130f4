"""What is over is forgotten: machines, waits, records, plans. Nothing grows for as long as a machine lives."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import combinations
from typing import Any
from weakref import ref

import pytest

from amachine import Event, Machine, MachineClosed, Schema, State, Tracer, Transition, transition
from amachine.transition import Program

PLAIN: dict[str, Any] = {"A": {}, "B": {}, "C": {}}


def note(event: Event[Any]) -> None:
    """Be bound, and do nothing."""


# Machines.


@pytest.fixture
def no_cycles() -> Iterator[None]:
    """Without the garbage collector: what goes away has no cycle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_machine_that_nobody_holds_goes_away_at_once(no_cycles: None) -> None:
    machine = Machine.of(PLAIN, "m")
    machine.add("A")
    machine.toggle("B")
    gone = ref(machine)
    del machine
    assert gone() is None


def test_waits_and_answers_keep_no_machine_alive() -> None:
    machine = Machine.of(PLAIN, "m")
    machine.add("A")
    waits = [
        machine.when("B"),
        machine.when_not("A"),
        machine.when_time({"B": 5}),
        machine.when_ticks("B"),
        machine.when_next("B"),
        machine.when_args("B", {"n": 1}),
        machine.when_query(lambda clock: clock["B"] > 3),
        machine.when_error(),
    ]
    for wait in waits:
        wait.then(print)
    result = machine.add("A")
    gone = ref(machine)
    del machine
    gc.collect()
    assert gone() is None
    assert result.executed
    for wait in waits:
        assert wait.done
        assert isinstance(wait.error, MachineClosed)


def test_a_machine_with_handlers_tracers_and_children_goes_away_too() -> None:
    class Owner:
        def AState(self, event: Event[Any]) -> None:
            event.machine.add("B")

    owner, tracer = Owner(), Tracer()
    parent = Machine.of(PLAIN, "parent")
    machine = Machine.of(PLAIN, "m", handlers=[owner], tracers=[tracer], parent=parent)
    machine.add("A")
    gone = ref(machine)
    del machine
    gc.collect()
    assert gone() is None
    assert parent.children == ()


def test_a_class_made_in_a_function_goes_away_with_its_schema_and_its_programs() -> None:
    def make() -> tuple[ref[type[Machine]], ref[Schema]]:
        class Flow(Machine):
            a = State()

            @a.state
            def there(self, e: Event[None]) -> None:
                self.remove(Flow.a)

        Flow("f").a.add()
        return ref(Flow), ref(Flow.schema)

    of_class, of_schema = make()
    gc.collect()
    assert of_class() is None
    assert of_schema() is None


# Waits.


def test_a_wait_that_nobody_holds_is_forgotten() -> None:
    machine = Machine.of(PLAIN, "m")
    for _ in range(100):
        machine.when("B")
    machine.add("A")
    assert machine._waits_ is not None
    assert machine._waits_.pending == ()


def test_waits_that_are_over_leave_nothing_behind() -> None:
    machine = Machine.of(PLAIN, "m")

    def round_trip() -> None:
        waits = [
            machine.when("A"),
            machine.when_next("B"),
            machine.when_ticks("A"),
            machine.when_query(lambda c: c["A"] > 0),
        ]
        machine.set("A", "B")
        machine.when_idle()
        cancelled = machine.when("C")
        cancelled.cancel()
        machine.set()
        assert all(wait.done for wait in waits)

    assert_no_growth(round_trip)
    assert machine._waits_ is not None
    assert machine._waits_.pending == ()


# Records.


class Holder(Tracer):
    """Holds each record weakly, and the last one."""

    def __init__(self) -> None:
        self.last: Transition | None = None
        self.refs: list[ref[Transition]] = []

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self.last = transition
        self.refs.append(ref(transition))

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(each() is not None for each in self.refs)


def test_a_record_knows_its_cause_without_keeping_the_record_of_that() -> None:
    def again(event: Event[Any]) -> None:
        if event.transition.number < 300:
            event.machine.toggle("A")

    holder = Holder()
    handlers = {"AState": again, "AEnd": again}
    machine = Machine.of(PLAIN, "m", handlers=[handlers], tracers=[holder])
    machine.add("A")
    assert len(holder.refs) == 300
    assert holder.last is not None
    source = holder.last.mutation.source
    assert source is not None
    assert source.transition == "m/299"
    assert source.mutation == "toggle A" or source.mutation.endswith(" A")
    assert holder.last.mutation.depth == 299
    assert holder.alive == 1


def test_an_error_that_is_reported_while_one_is_handled_keeps_no_chain_of_records() -> None:
    count = [0]

    def retry(event: Event[Any]) -> None:
        count[0] += 1
        if count[0] < 100:
            event.machine.add_error(RuntimeError(f"attempt {count[0]}"))

    holder = Holder()
    machine = Machine.of(PLAIN, "m", handlers=[{"ExceptionState": retry}], tracers=[holder])
    machine.add_error(RuntimeError("first"))
    assert count[0] == 100
    assert holder.alive <= 3


def test_a_settled_answer_does_not_keep_its_record_alive_once_it_was_executed() -> None:
    results: list[object] = []

    def handler(event: Event[Any]) -> None:
        results.append(event.machine.add("B"))

    holder = Holder()
    machine = Machine.of(PLAIN, "m", handlers=[{"AState": handler, "BState": note}], tracers=[holder])
    machine.add("A")
    machine.remove("A", "B")
    assert len(results) == 1
    assert len(holder.refs) == 3
    assert holder.alive <= 2


# Plans.


def plans_of(machine: Machine) -> int:
    """How many plans lead on from where a machine stands."""
    seen: set[int] = set()
    line = [machine._node_]
    plans = 0
    for node in line:
        for table in (node.add, node.remove, node.set, node.auto):
            plans += len(table)
            for plan in table.values():
                if id(plan.next) not in seen:
                    seen.add(id(plan.next))
                    line.append(plan.next)
    return plans


def wide(count: int, **state: Any) -> dict[str, Any]:
    return {f"S{i}": dict(state) for i in range(count)}


def test_plans_are_made_once_and_shared_by_machines_of_one_schema() -> None:
    schema = Schema.parse(PLAIN)
    one, other = Machine.of(schema, "one"), Machine.of(schema, "other")
    one.add("A")
    assert other._node_.add == one._program_.first.add
    assert one._program_ is other._program_


def test_flushing_the_cache_of_plans_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {**wide(4), "T": {"auto": True, "require": ["S0"]}, "U": {"remove": ["S1"], "multi": True}}
    names = [*data]
    expected = play(Machine.of(Schema.parse(data), "m"), names)
    for limit in (1, 2, 3, 7):
        monkeypatch.setattr(transition, "PLAN_LIMIT", limit)
        assert play(Machine.of(Schema.parse(data), "m"), names) == expected


def play(machine: Machine, names: list[str]) -> list[object]:
    seen: list[object] = []
    for pair in combinations(names, 2):
        for verb in ("add", "toggle", "remove", "set"):
            result = getattr(machine, verb)(*pair)
            seen.append((verb, pair, result.status, result.why, machine.active, machine.time))
    return seen


def test_the_cache_is_bounded_for_a_machine_that_wanders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transition, "PLAN_LIMIT", 20)
    data = wide(10)
    machine = Machine.of(data, "m")
    for chosen in combinations(data, 3):
        machine.set(*chosen)
    assert plans_of(machine) <= 25
    assert len(machine._program_._situations) <= 45


def test_the_cache_is_bounded_for_a_machine_that_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transition, "PLAN_LIMIT", 20)
    data: dict[str, Any] = {**wide(10, require=["Never"]), "Never": {}, "Base": {}}
    machine = Machine.of(data, "m")
    machine.add("Base")
    for chosen in combinations(list(data)[:10], 3):
        assert machine.add(*chosen).canceled
    assert plans_of(machine) <= 45


def test_machines_that_stand_on_plans_that_were_flushed_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transition, "PLAN_LIMIT", 5)
    schema = Schema.parse(wide(8))
    machines = [Machine.of(schema, f"m{i}") for i in range(8)]
    for i, machine in enumerate(machines):
        for j in range(i + 1):
            machine.add(f"S{j}")
    for i, machine in enumerate(machines):
        assert len(machine.active) == i + 1
        machine.remove("S0")
        assert len(machine.active) == i
    assert isinstance(machines[0]._program_, Program)


# Growth.


def assert_no_growth(work: Any, rounds: int = 300) -> None:
    """Whether memory stays the same, however often this is done."""
    for _ in range(rounds):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(rounds):
            work()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < rounds * 16, f"{grown / rounds:.0f} bytes a round"


def test_mutations_of_every_kind_leave_nothing_behind() -> None:
    def handler(event: Event[Any]) -> None:
        event.machine.toggle("B", n=1)

    data = {
        **PLAIN,
        "Multi": {"multi": True},
        "Auto": {"auto": True, "require": ["A"]},
        "No": {"require": ["C"]},
    }
    machine = Machine.of(
        data, "m", handlers=[{"AState": handler, "ExceptionState": note}], tracers=[Tracer()]
    )

    def round_trip() -> None:
        machine.add("A", n=1)
        machine.add("Multi", n=2)
        machine.add("No")
        machine.can_add("No")
        machine.explain("add", "No")
        machine.add_error(RuntimeError("told"))
        machine.eval(lambda: None)
        machine.set("B")
        machine.remove("B")

    assert_no_growth(round_trip)


def test_handlers_that_come_and_go_leave_nothing_behind() -> None:
    machine = Machine.of(PLAIN, "m")

    def round_trip() -> None:
        extra = {"AState": note}
        machine.bind(extra)
        machine.toggle("A")
        machine.unbind(extra)

    assert_no_growth(round_trip)


def test_a_machine_of_a_shared_schema_is_small() -> None:
    schema = Schema.parse(wide(10))
    machines = [Machine.of(schema, "m") for _ in range(50)]
    for machine in machines:
        machine.add("S1")
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        more = [Machine.of(schema, "m") for _ in range(200)]
        for machine in more:
            machine.add("S1")
        size = (tracemalloc.get_traced_memory()[0] - before) / len(more)
    finally:
        tracemalloc.stop()
    assert size <= 1024
    assert sys.getsizeof(more[0]) <= 512
