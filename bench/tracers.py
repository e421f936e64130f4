"""What it costs to be watched: by a tracer that overrides no hook, one hook that gets the record, or all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amachine import Machine, Tracer, Transition
from amachine.tracers.base import HOOKS
from bench.measure import Effort, Row, Side, Target, compare, repeated
from bench.ring import Ring, once_around
from bench.toggle import Lamp


class Idle(Tracer):
    """Overrides nothing."""


class Recording(Tracer):
    """Keeps the last record."""

    last: Transition | None = None

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self.last = transition


def _see(self: Tracer, *_: Any) -> None:
    """What each hook of `Everything` does."""


Everything = type("Everything", (Tracer,), dict.fromkeys(HOOKS, _see))
"""Overrides every hook."""

KINDS: dict[str, tuple[type[Tracer], str, float]] = {
    "idle": (Idle, "no hook overridden", 1.05),
    "one": (Recording, "one hook that gets the record", 1.5),
    "all": (Everything, "all hooks", 2.5),
}


def toggled(tracers: list[Tracer], name: str) -> Side:
    return repeated(name, Lamp(tracers=tracers).on.toggle)


def around(tracers: list[Tracer], name: str) -> Side:
    side = once_around(Ring(tracers=tracers))
    return Side(name, side.run)


def rows(effort: Effort) -> Iterator[Row]:
    for name, (tracer, what, most) in KINDS.items():
        yield compare(
            f"tracer-{name}",
            f"a mutation with a handler, and a tracer: {what}",
            around([tracer()], what),
            around([], "no tracer"),
            Target(most=most),
            effort,
            operations=1500,
        )
    for name, (tracer, what, most) in KINDS.items():
        yield compare(
            f"tracer-{name}-bare",
            f"a toggle without handlers, and a tracer: {what}",
            toggled([tracer()], what),
            toggled([], "no tracer"),
            Target(most=most),
            effort,
            operations=1500,
        )
