"""Ten states of which one is active, each with a handler: a state machine as books draw them."""

from __future__ import annotations

from collections.abc import Iterator

from amachine import Event, Machine, State, exclusive
from bench import theirs
from bench.measure import Effort, Row, Side, Target, compare, repeated


class Ring(Machine):
    s0, s1, s2, s3, s4 = State(), State(), State(), State(), State()
    s5, s6, s7, s8, s9 = State(), State(), State(), State(), State()
    place = exclusive(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9)
    entered = 0

    @s0.state
    @s1.state
    @s2.state
    @s3.state
    @s4.state
    @s5.state
    @s6.state
    @s7.state
    @s8.state
    @s9.state
    def count(self, e: Event[None]) -> None:
        self.entered += 1


def once_around(ring: Ring) -> Side:
    """Ten mutations, each of which ends one state and enters another."""
    ring.s0.add()
    steps = (ring.s1, ring.s2, ring.s3, ring.s4, ring.s5, ring.s6, ring.s7, ring.s8, ring.s9, ring.s0)
    return repeated("10-state ring", *(step.add for step in steps))


def rows(effort: Effort) -> Iterator[Row]:
    ring, other = Ring(), theirs.ring()
    yield compare(
        "ring",
        "10-state exclusive ring, a state handler each",
        once_around(ring),
        repeated("transitions", theirs.trigger(other, "advance")),
        Target(least=8),
        effort,
        operations=400,
    )
    assert ring.entered > 1, "the handlers of the ring have not run"
    assert other.entered > 1, "the handlers of their ring have not run"
