"""Clocks: how often each state has changed. Values only; the memory that they are read from is the engine's.

A state's *tick* is odd while it is active. The ticks of all states are a machine's *time*; by name they are its *clock*.
Times are vector clocks (Lamport, Mattern, Fidge): `a < b` says that b was reached from a, and two times may be unordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amachine._bits import lanes_of, unpack_ticks


def advance(flips: int, reentries: int = 0) -> int:
    """What to add to a packed time so that `flips` move by one and `reentries` by two: the only rule that moves a tick."""
    return lanes_of(flips) + 2 * lanes_of(reentries)


class Time(tuple[int, ...]):
    """The ticks of all states, in order of declaration.

    Equal to a plain tuple of the same ticks. Unlike tuples, times are ordered as vectors: `a <= b` when no tick of a is greater.
    """

    __slots__ = ()

    @property
    def sum(self) -> int:
        """Sum of all ticks: how many changes there were."""
        return sum(self)

    def is_active(self, index: int) -> bool:
        """Whether the state at this index is active."""
        return bool(self[index] & 1)

    def active(self) -> tuple[int, ...]:
        """Indices of the active states."""
        return tuple(i for i, tick in enumerate(self) if tick & 1)

    def since(self, earlier: Time | tuple[int, ...]) -> Time:
        """How far each state has moved since an earlier time of the same schema, or of one that has grown since."""
        padded = tuple(earlier) + (0,) * (len(self) - len(earlier))
        if len(padded) != len(self):
            raise ValueError(f"a time of {len(earlier)} states is not earlier than one of {len(self)}")
        return Time(now - then for now, then in zip(self, padded, strict=True))

    def moved(self, earlier: Time | tuple[int, ...]) -> tuple[int, ...]:
        """Indices of the states that have ticked since an earlier time."""
        return tuple(i for i, ticks in enumerate(self.since(earlier)) if ticks)

    def __le__(self, other: tuple[int, ...]) -> bool:
        return len(self) == len(other) and all(a <= b for a, b in zip(self, other, strict=True))

    def __lt__(self, other: tuple[int, ...]) -> bool:
        return self <= other and tuple(self) != tuple(other)

    def __ge__(self, other: tuple[int, ...]) -> bool:
        return len(self) == len(other) and all(a >= b for a, b in zip(self, other, strict=True))

    def __gt__(self, other: tuple[int, ...]) -> bool:
        return self >= other and tuple(self) != tuple(other)

    def __str__(self) -> str:
        return f"[{' '.join(map(str, self))}]"

    def __repr__(self) -> str:
        return f"Time({list(self)})"

    @classmethod
    def unpacked(cls, packed: int, count: int) -> Time:
        """The value of a packed time of `count` states."""
        return cls(unpack_ticks(packed, count))


class Clock(Mapping[str, int]):
    """The ticks of all states, by name. Compares and subtracts like `Time`, where both have the same states."""

    __slots__ = ("names", "time")

    names: tuple[str, ...]
    time: Time

    def __init__(self, names: tuple[str, ...], time: Time) -> None:
        self.names = names
        self.time = time

    @property
    def sum(self) -> int:
        """Sum of all ticks."""
        return self.time.sum

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the active states, in order of declaration."""
        return tuple(name for name, tick in zip(self.names, self.time, strict=True) if tick & 1)

    def is_active(self, *states: str) -> bool:
        """Whether all of these states are active."""
        return all(self[state] & 1 for state in states)

    def since(self, earlier: Clock) -> dict[str, int]:
        """How far each state has moved since an earlier clock: only those that did, by name."""
        return {
            name: tick - earlier.get(name, 0) for name, tick in self.items() if tick != earlier.get(name, 0)
        }

    def next_active(self, state: str) -> int:
        """The tick at which this state is activated anew: later than now, even when it is active."""
        return self[state] + 1 + self[state] % 2

    def next_inactive(self, state: str) -> int:
        """The tick at which this state is deactivated anew: later than now, even when it is inactive."""
        return self[state] + 2 - self[state] % 2

    def __getitem__(self, state: str) -> int:
        try:
            return self.time[self.names.index(state)]
        except ValueError:
            raise KeyError(state) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Clock):
            return self.names == other.names and self.time == other.time
        return dict(self) == other if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to dicts, which have no hash

    def __le__(self, other: Clock) -> bool:
        return self.names == other.names and self.time <= other.time

    def __lt__(self, other: Clock) -> bool:
        return self.names == other.names and self.time < other.time

    def __ge__(self, other: Clock) -> bool:
        return other <= self

    def __gt__(self, other: Clock) -> bool:
        return other < self

    def __str__(self) -> str:
        """Active states, a bar, and the states that have been active: `start:1 ready:3 | busy:2`."""
        on = [f"{name}:{tick}" for name, tick in self.items() if tick & 1]
        off = [f"{name}:{tick}" for name, tick in self.items() if tick and not tick & 1]
        return " ".join([*on, "|", *off] if off else on)

    def __repr__(self) -> str:
        return f"<Clock {self}>" if self.sum else "<Clock>"
