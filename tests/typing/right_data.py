"""Schemas as data, machines without a class, handlers by name. Checked, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from amachine import (
    Clock,
    Event,
    Machine,
    Mutation,
    Result,
    Schema,
    State,
    StateDef,
    Time,
    Tracer,
    Transition,
)

DATA: dict[str, dict[str, Any]] = {"Wet": {"require": ["Water"]}, "Dry": {"remove": ["Wet"]}, "Water": {}}


class Recorder(Tracer):
    """Overrides two hooks."""

    inheritable = True
    seen: tuple[object, ...] = ()

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        self.seen = (machine.id, mutation.states, mutation.queue_tick)

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        assert_type(transition.time_before, Time)
        self.seen = (transition.id, transition.enters, transition.why)


class Handlers:
    """Bound by name."""

    def WetEnter(self, e: Event[Mapping[str, Any]]) -> bool:
        return bool(e.args["x"])

    def any_state(self, e: Event[None]) -> None: ...


def dried(e: Event[Mapping[str, Any]]) -> None:
    assert_type(e.name, str)


class Counter(Machine):
    """A state with any keywords."""

    hit = State(dict, multi=True)

    @hit.state
    def note(self, e: Event[dict[str, Any]]) -> None:
        assert_type(e.args["by"], Any)


def count() -> None:
    counter = Counter()
    counter.hit.add(by="Ada", twice=True)
    counter.add(Counter.hit, by="Bob")
    assert_type(counter.hit.args, dict[str, Any] | None)


def run() -> Clock:
    schema = Schema.parse(DATA, order=["Water", "Wet", "Dry"], name="Weather")
    schema = schema.extend("Wet", add=["Water"]).merge(Schema([StateDef("Cold", auto=True)]))
    machine = Machine.of(schema, "weather", handlers=[Handlers()], tracers=[Recorder()], tags=["a:b"])
    machine.bind({"DryState": dried})
    assert_type(machine.add("Wet", x=1), Result)
    machine.set("Dry")
    machine.toggle("Water")
    machine.remove("Wet", "Dry", because="sun")
    machine.when_args("Wet", {"x": 1}).then(print)
    machine.when_time({"Wet": 3}).cancel()
    machine["Dry"].add()
    for name, tick in machine.clock.items():
        assert_type((name, tick), tuple[str, int])
    assert_type(schema.to_dict(), dict[str, dict[str, Any]])
    machine.close()
    return machine.clock
