"""A thousand waits on states that do not tick must cost a mutation next to nothing."""

from __future__ import annotations

from collections.abc import Iterator

from amachine import Machine, State
from bench.measure import Effort, Row, Target, compare, repeated


class Waited(Machine):
    busy = State()
    never = State()
    neither = State()


def rows(effort: Effort) -> Iterator[Row]:
    with_waits, without = Waited(), Waited()
    waits = [with_waits.when(Waited.never, Waited.neither) for _ in range(1000)]
    yield compare(
        "waits",
        "a toggle beside 1,000 waits on states that do not tick",
        repeated("1,000 waits", with_waits.busy.toggle),
        repeated("no waits", without.busy.toggle),
        Target(most=1.05),
        effort,
        operations=4000,
    )
    assert not any(wait.done for wait in waits), "a wait is over, although its states never ticked"
