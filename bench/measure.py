"""How a row is measured: two sides in alternating short rounds of one run, so that what slows one slows the other.

Only ratios are worth reading. Times are of this machine, at this hour, with whatever else it was doing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import attrs


@attrs.frozen
class Effort:
    """How hard to try: rounds for each side, and what to multiply the operations of a round by."""

    rounds: int = 60
    scale: float = 1.0

    def operations(self, usual: int) -> int:
        """How many operations a round has."""
        return max(2, int(usual * self.scale))


@attrs.frozen
class Side:
    """One of the two that are compared. `run(n)` does some n operations and returns the seconds that one took."""

    name: str
    run: Callable[[int], float]


@attrs.frozen
class Target:
    """What the ratio should be: at least so many times as fast, or at most so many times the cost."""

    least: float | None = None
    most: float | None = None

    def met(self, ratio: float) -> bool:
        return (self.least is None or ratio >= self.least) and (self.most is None or ratio <= self.most)

    def __str__(self) -> str:
        if self.least is not None:
            return f"≥ {self.least:g} ×"
        return f"≤ {self.most:g} ×" if self.most is not None else ""


@attrs.frozen
class Row:
    """What one comparison came to. Values are per operation, in `unit`."""

    name: str
    work: str
    beside: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    """Theirs / ours where the target is a speed, ours / theirs where it is a cost.

    The median over pairs of neighbouring rounds, which had the same company on the processor.
    """
    of_best: float
    """The same of the best round of each."""
    target: str
    met: bool
    note: str = ""


def repeated(name: str, *calls: Callable[[], object]) -> Side:
    """A side that makes these calls over and over, in order. The loop is the same for everybody."""

    def run(n: int) -> float:
        schedule = calls * max(1, n // len(calls))
        began = perf_counter()
        for call in schedule:
            call()
        return (perf_counter() - began) / len(schedule)

    return Side(name, run)


def compare(
    name: str, work: str, ours: Side, theirs: Side, target: Target, effort: Effort, *, operations: int
) -> Row:
    """Measure both sides, in rounds that alternate in who begins."""
    n = effort.operations(operations)
    mine: list[float] = []
    others: list[float] = []
    with quiet():
        ours.run(n)  # plans, caches and bytecode are warm before the first round
        theirs.run(n)
        for number in range(effort.rounds):
            turns = ((ours, mine), (theirs, others))
            for side, times in turns if number % 2 else turns[::-1]:
                gc.collect()
                times.append(side.run(n))
    return ruled(name, work, theirs.name, mine, others, "s", target)


def ruled(
    name: str,
    work: str,
    beside: str,
    ours: list[float],
    theirs: list[float],
    unit: str,
    target: Target,
    *,
    says: str = "",
    met: bool | None = None,
    note: str = "",
) -> Row:
    """Make the row of what was measured. `says` and `met` stand for the target, where that is no ratio."""

    def ratio(mine: float, other: float) -> float:
        return other / mine if target.least is not None else mine / other

    of_best = ratio(min(ours), min(theirs))
    usual = median(ratio(mine, other) for mine, other in zip(ours, theirs, strict=True))
    judged = target.met(usual) if met is None else met
    return Row(
        name, work, beside, min(ours), min(theirs), unit, usual, of_best, says or str(target), judged, note
    )


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Keep the garbage collector out of it, for both sides."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
