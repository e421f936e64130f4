"""The last transitions of any number of machines, to be asked afterwards: what happened, why, and what it led to.

A record holds names, numbers and short texts, and nothing that leads back to a machine, a handler or a user's object:
so a recorder keeps none of them alive, whatever its machines were handed. Any thread may use it at any time, without a
lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import count
from time import time
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from amachine.bound import BoundState
from amachine.mutation import Kind, Status
from amachine.tracers.base import Tracer
from amachine.tracers.record import LogLine, fields_of
from amachine.tracers.record import Record as Record
from amachine.tracers.shown import ArgsMapper, Mapper

if TYPE_CHECKING:
    from amachine.declare import State
    from amachine.machine import Machine
    from amachine.transition import Transition

WhichState: TypeAlias = "State[..., Any] | BoundState[..., Any] | str"
WhichMachine: TypeAlias = "Machine | str"
When: TypeAlias = float | datetime
"""Seconds since the epoch, or a time of day."""


@attrs.frozen(eq=False)
class Story:
    """How something came about: a chain of transitions, each made by the one before it. Print it. False if empty."""

    title: str
    """What it is about, in words; may be empty."""
    records: tuple[Record, ...]
    """From the first cause that is known to the transition in question."""
    effects: tuple[Record, ...] = ()
    """The transitions that the last of these made."""
    lost: str = ""
    """Id and mutation of the cause before the first, where that is no longer recorded."""

    @property
    def machines(self) -> tuple[str, ...]:
        """Ids of the machines that it passes through, in order."""
        return tuple(dict.fromkeys(record.machine for record in self.records))

    def __bool__(self) -> bool:
        return bool(self.records)

    def __str__(self) -> str:
        lines = [self.title] if self.title else []
        if self.lost:
            lines.append(f"… {self.lost} (no longer recorded)")
        for indent, record in enumerate(self.records, start=1 if self.lost else 0):
            lines.append(f"{'  ' * (indent - 1)}└ {record}" if indent else str(record))
        indent = len(self.records) + bool(self.lost)
        lines += [f"{'  ' * (indent - 1)}├ {record}" for record in self.effects]
        return "\n".join(lines)


class Recorder(Tracer):
    """Keeps the last `limit` transitions of the machines that it is attached to, and gives them when iterated.

    `args` makes arguments into text; None keeps none of them. With a `LogCapture(recorder)` it keeps as many lines of the
    log, too.
    """

    def __init__(
        self,
        limit: int = 1000,
        *,
        args: Mapper | None = ArgsMapper(),  # noqa: B008  # frozen
        inheritable: bool = True,
        now: Callable[[], float] = time,
    ) -> None:
        if limit < 1:
            raise ValueError(
                f"a recorder of {limit} transitions would record nothing: give it a limit of at least 1"
            )
        self.limit = limit
        self.inheritable = inheritable
        self._args = args
        self._now = now
        # An append and a copy of a deque are one step each, also where threads run in parallel: no lock is needed.
        # What it holds are the fields of records, which are made only for those who ask: that is four times as fast.
        self._ring: deque[tuple[Any, ...]] = deque(maxlen=limit)
        self._said: deque[LogLine] = deque(maxlen=limit)
        self._numbers = count(1)
        self._cleared = 0

    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002  # the hook's signature
        """Record it."""
        self._ring.append(fields_of(transition, next(self._numbers), self._now(), self._args))

    def log_said(self, line: LogLine) -> None:
        """Keep a line of the log. For a `LogCapture`."""
        self._said.append(line)

    # -- what there is

    @property
    def records(self) -> tuple[Record, ...]:
        """All that is kept, in the order in which the transitions ended."""
        in_order = sorted(self._ring.copy(), key=_sequence)  # threads may have mixed it up
        return tuple(Record(*each) for each in in_order)

    @property
    def total(self) -> int:
        """How many transitions it has seen, since it was made or cleared."""
        return max(map(_sequence, self._ring.copy()), default=self._cleared) - self._cleared

    @property
    def dropped(self) -> int:
        """How many of them are no longer kept."""
        ring = self._ring.copy()
        return max(map(_sequence, ring), default=self._cleared) - self._cleared - len(ring)

    @property
    def machines(self) -> tuple[str, ...]:
        """Ids of the machines that have records, in the order of their first one."""
        return tuple(dict.fromkeys(record.machine for record in self.records))

    @property
    def log(self) -> tuple[LogLine, ...]:
        """The lines of the log that are kept, in order."""
        return tuple(self._said.copy())

    def log_of(self, transition: Transition | Record | str) -> tuple[LogLine, ...]:
        """The lines that were said in a transition, and in the tasks that it started."""
        id = transition if isinstance(transition, str) else transition.id
        return tuple(line for line in self._said.copy() if line.transition == id)

    def clear(self) -> None:
        """Forget everything, and count from zero."""
        self._said.clear()
        self._cleared = next(self._numbers)
        self._ring.clear()

    def __len__(self) -> int:
        return len(self._ring)

    def __bool__(self) -> bool:
        return True  # an empty recorder is one, nevertheless

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, id: str) -> Record:
        """The record of a transition, by its id, such as `flow-1/3`. Errors: KeyError."""
        for record in reversed(self.records):
            if record.id == id:
                return record
        raise KeyError(id)

    def find(
        self,
        *,
        machine: WhichMachine | None = None,
        state: WhichState | None = None,
        called: WhichState | None = None,
        kind: Kind | str | None = None,
        status: Status | str | None = None,
        failed: bool | None = None,
        auto: bool | None = None,
        since: When | None = None,
        until: When | None = None,
        where: Callable[[Record], object] | None = None,
    ) -> tuple[Record, ...]:
        """The records to which all of this applies, in order.

        `state` ticked in it; `called` was called by its mutation; `since` and `until` are times at which it ended, both
        included; `where` is a question of your own.
        """
        machine_id = None if machine is None else _id(machine)
        moved = None if state is None else _name(state)
        asked = None if called is None else _name(called)
        of_kind = None if kind is None else Kind(kind)
        with_status = None if status is None else Status(status)
        first = None if since is None else _epoch(since)
        last = None if until is None else _epoch(until)
        return tuple(
            r
            for r in self.records
            if (machine_id is None or r.machine == machine_id)
            and (moved is None or r.changed(moved))
            and (asked is None or r.calls(asked))
            and (of_kind is None or r.kind is of_kind)
            and (with_status is None or r.status is with_status)
            and (failed is None or r.failed is failed)
            and (auto is None or r.auto is auto)
            and (first is None or r.at >= first)
            and (last is None or r.at <= last)
            and (where is None or where(r))
        )

    # -- why

    def why_active(self, state: WhichState, machine: WhichMachine | None = None) -> Story:
        """What activated a state last, and what that goes back to; if it is inactive: what ended it.

        `machine` may be left out where only one is recorded. Errors: ValueError where that is not so.
        """
        records = self.records
        name, machine_id = _name(state), self._the_machine(records, state, machine)
        for record in reversed(records):
            if record.machine == machine_id and record.changed(name):
                what = "active" if record.activated(name) else "inactive"
                return self._chain(records, record, f"{name} of {machine_id} is {what} since {record.id}:")
        dropped = f" ({self.dropped} transitions are no longer recorded)" if self.dropped else ""
        return Story(f"nothing that is recorded has changed {name} of {machine_id}{dropped}", ())

    def story(self, transition: Transition | Record | str) -> Story:
        """What led to a transition, and what it made. Errors: KeyError where it is not, or no longer, recorded."""
        record = self[transition if isinstance(transition, str) else transition.id]
        return self._chain(self.records, record, "")

    def _chain(self, records: tuple[Record, ...], record: Record, title: str) -> Story:
        by_id = {each.id: each for each in records}
        chain = [record]
        lost = ""
        while chain[0].cause:
            first = chain[0]
            cause = by_id.get(first.cause)
            if cause is None or cause in chain:  # two machines of one id may seem to cause one another
                lost = f"{first.cause} {first.cause_mutation}"
                break
            chain.insert(0, cause)
        effects = tuple(each for each in records if each.cause == record.id)
        return Story(title, tuple(chain), effects, lost)

    def _the_machine(self, records: Iterable[Record], state: WhichState, machine: WhichMachine | None) -> str:
        if machine is not None:
            return _id(machine)
        if isinstance(state, BoundState):
            return state._machine.id  # pyright: ignore[reportPrivateUsage]
        name = _name(state)
        known = tuple(dict.fromkeys(r.machine for r in records if name in r.schema.index))
        if len(known) != 1:
            which = ", ".join(known) or "none"
            raise ValueError(f"which machine's {name}? Those that are recorded and have it: {which}")
        return known[0]

    # -- to look at

    def text(self, records: Iterable[Record] | None = None) -> str:
        """Records, a line each with the time of day; all of them by default, and how many are missing before."""
        lines = [
            f"{datetime.fromtimestamp(r.at).astimezone():%H:%M:%S.%f} {r}" for r in records or self.records
        ]
        if records is None and (dropped := self.dropped):
            lines.insert(0, f"… {dropped} earlier transitions are no longer recorded")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Recorder of {len(self)} transitions, {self.dropped} dropped>"


def _sequence(fields: tuple[Any, ...]) -> int:
    number: int = fields[0]
    return number


def _id(machine: WhichMachine) -> str:
    return machine if isinstance(machine, str) else machine.id


def _name(state: WhichState) -> str:
    return state if isinstance(state, str) else state.name


def _epoch(when: When) -> float:
    return when.timestamp() if isinstance(when, datetime) else when
