"""Two states and no handlers: what the engine itself costs."""

from __future__ import annotations

from collections.abc import Iterator

from amachine import Machine, State, exclusive
from bench import theirs
from bench.measure import Effort, Row, Side, Target, compare, repeated


class Lamp(Machine):
    on = State()
    off = State()
    light = exclusive(on, off)


def two_states() -> Side:
    """The measure of other rows, too."""
    return repeated("2-state toggle", Lamp().on.toggle)


def rows(effort: Effort) -> Iterator[Row]:
    yield compare(
        "toggle",
        "toggle, 2 states, no handlers",
        two_states(),
        repeated("transitions", theirs.trigger(theirs.lamp(), "flip")),
        Target(least=10),
        effort,
        operations=500,
    )
    lamp, other = Lamp(), theirs.lamp()
    yield compare(
        "flip",
        "add one, then the other, of 2 exclusive states",
        repeated("amachine", lamp.on.add, lamp.off.add),
        repeated("transitions", theirs.trigger(other, "turn_on"), theirs.trigger(other, "turn_off")),
        Target(least=10),
        effort,
        operations=500,
    )
