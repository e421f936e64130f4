"""A request that a handler refuses: nothing may have changed."""

from __future__ import annotations

from collections.abc import Iterator

from amachine import Event, Machine, State, exclusive
from bench import theirs
from bench.measure import Effort, Row, Target, compare, repeated


class Door(Machine):
    shut = State()
    ajar = State()
    place = exclusive(shut, ajar)

    @ajar.enter
    def refuse(self, e: Event[None]) -> bool:
        return False


def rows(effort: Effort) -> Iterator[Row]:
    door, other = Door(), theirs.door()
    door.shut.add()
    attempt = theirs.trigger(other, "open")
    yield compare(
        "veto",
        "a mutation that its enter handler refuses",
        repeated("amachine", door.ajar.add),
        repeated("transitions: a condition that is false", attempt),
        Target(least=4),
        effort,
        operations=500,
    )
    assert door.ajar.add().canceled, "the door is open"
    assert attempt() is False, "their door is open"
