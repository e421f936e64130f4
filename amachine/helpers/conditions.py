"""Conditions on a machine, as values: composed, checked, explained, waited for. They read clocks, and never change anything."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NoReturn, final

import attrs

from amachine.subscriptions import End, condition

if TYPE_CHECKING:
    from typing import Any

    from amachine.clock import Clock
    from amachine.declare import State
    from amachine.machine import Machine
    from amachine.subscriptions import Moment, Wait

    Named = State[..., Any] | str


class Condition(ABC):
    """Something that is true of a machine or is not: `a & b`, `a | b` and `~a` are conditions, too."""

    __slots__ = ()

    def check(self, machine: Machine) -> bool:
        """Whether it is true now. Errors: `UnknownState`."""
        return self.holds(self._clock(machine))

    def why_not(self, machine: Machine) -> str:
        """What speaks against it now, in a sentence; empty while it is true. Errors: `UnknownState`."""
        return self.against(self._clock(machine))

    def when(self, machine: Machine) -> Wait[Clock]:
        """Wait until it is true, at one moment, after a commit. Yields the clock. Errors: `UnknownState`."""

        def test(now: Moment) -> End | None:
            clock: Clock = now.clock()
            return End(clock) if self.holds(clock) else None

        wait = condition(machine._mask(self.states()), test, f"{self} of {machine.id}")
        return machine._wait(wait, now=True)

    def _clock(self, machine: Machine) -> Clock:
        machine._mask(self.states())
        return machine.clock

    @abstractmethod
    def states(self) -> tuple[str, ...]:
        """Names of the states that it is about."""

    @abstractmethod
    def holds(self, clock: Mapping[str, int]) -> bool:
        """Whether it is true of this clock."""

    @abstractmethod
    def against(self, clock: Mapping[str, int]) -> str:
        """What of this clock speaks against it; empty where nothing does."""

    def __and__(self, other: Condition) -> Condition:
        return _Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return _Either(self, other)

    def __invert__(self) -> Condition:
        return _Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"({self}) is true or not of a machine: check(machine). To compose, write &, | and ~")


@final
@attrs.frozen(init=False, repr=False)
class Cond(Condition):
    """All of what it is given, at one moment.

    `Cond(A, B, any=[C, D], none=[E], ticks={F: 3})`: A and B are active, so is C or D, E is not, and F has reached
    its third tick.
    """

    all: tuple[str, ...]
    any: tuple[str, ...] | None
    none: tuple[str, ...]
    ticks: tuple[tuple[str, int], ...]

    def __init__(
        self,
        *states: Named,
        any: Iterable[Named] | None = None,  # noqa: A002  # what it says
        none: Iterable[Named] = (),
        ticks: Mapping[State[..., Any], int] | Mapping[str, int] | None = None,
    ) -> None:
        for given in (any, none):
            if isinstance(given, str):
                raise TypeError(f"{given!r} is one state: write [{given!r}]")
        reached: Iterable[tuple[Named, int]] = () if ticks is None else ticks.items()
        fields = {
            "all": _names(states),
            "any": None if any is None else _names(any),
            "none": _names(none),
            "ticks": tuple((_name(state), tick) for state, tick in reached),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def states(self) -> tuple[str, ...]:
        """Names of the states that it is about."""
        return (*self.all, *(self.any or ()), *self.none, *(name for name, _ in self.ticks))

    def holds(self, clock: Mapping[str, int]) -> bool:
        """Whether it is true of this clock."""
        return not self.against(clock)

    def against(self, clock: Mapping[str, int]) -> str:
        """What of this clock speaks against it; empty where nothing does."""
        said = [f"{name} is inactive (tick {clock[name]})" for name in self.all if not clock[name] & 1]
        if self.any is not None and not any(clock[name] & 1 for name in self.any):
            said.append(f"none of {', '.join(self.any)} is active")
        said += [f"{name} is active (tick {clock[name]})" for name in self.none if clock[name] & 1]
        said += [
            f"{name} is at tick {clock[name]}, before {tick}"
            for name, tick in self.ticks
            if clock[name] < tick
        ]
        return "; ".join(said)

    def __str__(self) -> str:
        parts = list(self.all)
        if self.any is not None:
            parts.append(f"any of {', '.join(self.any)}")
        parts += [f"not {name}" for name in self.none]
        parts += [f"{name} at tick {tick}" for name, tick in self.ticks]
        return " and ".join(parts) or "anything"

    def __repr__(self) -> str:
        return f"<Cond {self}>"


@final
@attrs.frozen(repr=False)
class _Both(Condition):
    one: Condition
    other: Condition

    def states(self) -> tuple[str, ...]:
        return self.one.states() + self.other.states()

    def holds(self, clock: Mapping[str, int]) -> bool:
        return self.one.holds(clock) and self.other.holds(clock)

    def against(self, clock: Mapping[str, int]) -> str:
        return "; ".join(filter(None, (self.one.against(clock), self.other.against(clock))))

    def __str__(self) -> str:
        return f"{_part(self.one)} and {_part(self.other)}"

    def __repr__(self) -> str:
        return f"<Condition {self}>"


@final
@attrs.frozen(repr=False)
class _Either(Condition):
    one: Condition
    other: Condition

    def states(self) -> tuple[str, ...]:
        return self.one.states() + self.other.states()

    def holds(self, clock: Mapping[str, int]) -> bool:
        return self.one.holds(clock) or self.other.holds(clock)

    def against(self, clock: Mapping[str, int]) -> str:
        one, other = self.one.against(clock), self.other.against(clock)
        return f"neither ({self.one}): {one}; nor ({self.other}): {other}" if one and other else ""

    def __str__(self) -> str:
        return f"{_part(self.one)} or {_part(self.other)}"

    def __repr__(self) -> str:
        return f"<Condition {self}>"


@final
@attrs.frozen(repr=False)
class _Not(Condition):
    one: Condition

    def states(self) -> tuple[str, ...]:
        return self.one.states()

    def holds(self, clock: Mapping[str, int]) -> bool:
        return not self.one.holds(clock)

    def against(self, clock: Mapping[str, int]) -> str:
        return f"({self.one}) is true" if self.one.holds(clock) else ""

    def __str__(self) -> str:
        return f"not ({self.one})"

    def __repr__(self) -> str:
        return f"<Condition {self}>"


def _part(of: Condition) -> str:
    return f"({of})" if isinstance(of, (_Either, _Both)) else str(of)


def _name(state: Named) -> str:
    return state if isinstance(state, str) else state.name


def _names(states: Iterable[Named]) -> tuple[str, ...]:
    return tuple(_name(state) for state in states)
