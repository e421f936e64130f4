"""Waiting for a machine: its pending waits, found by the states whose ticks can end them, and every kind of wait.

Any thread may make, cancel or await a wait at any time; one thread at a time, the one that drains the machine, looks
at which are due. This room must keep no machine alive, and no wait that nobody can hear of; nor may a wake-up be lost
between it and `_wait`, which tells how that goes without a lock.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import ref

from amachine._bits import bits, mask_of
from amachine._wait import ANY, End, Entry, Home, Later, Moment, Parking, Wait, each, run
from amachine.errors import MachineClosed, WaitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ANY",
    "End",
    "Entry",
    "Moment",
    "Parking",
    "Wait",
    "Waits",
    "all_of",
    "any_of",
    "condition",
    "when",
    "when_args",
    "when_next",
    "when_query",
    "when_time",
]

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")


class Waits:
    """The pending waits of one machine, by state.

    `watched` is the mask of states of which a tick matters to some wait: the engine calls `settle` only where it and
    what moved have a bit in common. Only the drainer, one thread at a time, calls `due` and `settle`.
    """

    __slots__ = (
        "__weakref__",
        "_buckets",
        "_closed",
        "_count",
        "_fresh",
        "_home",
        "_indexed",
        "parking",
        "watched",
    )

    watched: int
    parking: Parking

    def __init__(self, parking: Parking) -> None:
        self.parking = parking
        self.watched = 0
        self._home: ref[Home] = ref(self)
        self._closed: BaseException | None = None
        # Other threads put waits here, and set all bits of `watched`: to set one of them would take a lock.
        self._fresh: dict[Entry, None] = {}
        # By single-bit mask, `ANY` or 0. Only the drainer adds to these; anybody takes out.
        self._buckets: dict[int, dict[Entry, None]] = {}
        self._indexed = 0
        self._count = 0

    @property
    def pending(self) -> tuple[str, ...]:
        """Labels of the pending waits, in order of creation."""
        return tuple([str(entry.label) for entry in self._entries()])

    def add(self, wait: Wait[T], now: Callable[[], Moment] | None = None) -> Wait[T]:
        """Make `wait` one of this machine's; from any thread. Returns it.

        `now` is asked for the present moment once the wait is listed, so that a commit in between is seen by this
        thread or by the drainer. Where the machine is closed, the wait fails, unless that moment ends it.
        """
        entry = wait.entry
        entry.homes = (self._home,)
        if entry.ends:
            return wait
        self._fresh[entry] = None
        if entry.states:
            self.watched = ANY
        if now is not None:
            wait.try_now(now())
        if self._closed is not None:
            entry.end(_last(entry, self._closed))
        return wait

    def discard(self, entry: Entry) -> None:
        """Take a wait off the lists; from any thread."""
        # In the order of `_take_over`, which never leaves it out of both.
        self._fresh.pop(entry, None)
        for key in _keys(entry.states):
            bucket = self._buckets.get(key)
            if bucket is not None:
                bucket.pop(entry, None)

    def due(self, moved: int, now: Moment) -> list[tuple[Entry, End]]:
        """Which waits this moment ends, and how, in order of creation. `moved` is the mask of what ticked."""
        found: list[tuple[Entry, End]] = []
        self._look(moved, now, found)
        return found

    def settle(self, moved: int, now: Moment) -> bool:
        """End the waits that are due, then run their callbacks, both in order of creation. Whether any callback ran."""
        found: list[tuple[Entry, End]] = []
        later: Later = []
        try:
            self._look(moved, now, found)
        finally:  # KeyboardInterrupt in a condition goes up, and the others are due all the same
            try:
                if found:
                    each(lambda due: due[0].finish(due[1], later), iter(found))
            finally:
                self._tune(moved)
                run(later)
        return bool(later)

    def close(self, error: BaseException) -> None:
        """End every pending wait with `error`, and every later one that is not fulfilled when it is made.

        But those of `when_closed`: for them this is what they waited for.
        """
        if self._closed is None:
            self._closed = error
        later: Later = []
        try:
            each(lambda entry: entry.finish(_last(entry, error), later), iter(self._entries()))
        finally:
            run(later)

    def _look(self, moved: int, now: Moment, found: list[tuple[Entry, End]]) -> None:
        if self._fresh:
            self._take_over()

        def look(entry: Entry) -> None:
            end = entry.look(now)
            if end is not None:
                found.append((entry, end))

        each(look, iter(self._touched(moved)))

    def _take_over(self) -> None:
        buckets = self._buckets
        for entry in list(self._fresh):
            self._count += 1
            entry.serial = self._count
            for key in _keys(entry.states):
                bucket = buckets.get(key)
                if bucket is None:
                    bucket = buckets[key] = {}
                bucket[entry] = None
                if key != ANY:
                    self._indexed |= key
            self._fresh.pop(entry, None)
            if entry.ends:  # perhaps by a thread that did not find it in a bucket yet
                self.discard(entry)

    def _touched(self, moved: int) -> list[Entry]:
        lists = [list(self._buckets[key]) for key in _keys(moved & self._indexed) if key]
        if self._buckets.get(ANY):
            lists.append(list(self._buckets[ANY]))
        if len(lists) == 1:
            return lists[0]
        return sorted({entry for entries in lists for entry in entries}, key=_serial)

    def _tune(self, moved: int) -> None:
        for key in _keys(moved & self._indexed):
            if key and not self._buckets[key]:
                self._indexed &= ~key
        self.watched = ANY if self._buckets.get(ANY) else self._indexed
        # A thread that came between has set all bits before the line above, or sets them after the one below.
        if self._fresh:
            self.watched = ANY

    def _entries(self) -> list[Entry]:
        fresh = list(self._fresh)  # first: they go from here to the buckets
        listed = {entry for bucket in list(self._buckets.values()) for entry in list(bucket)}
        return sorted(listed, key=_serial) + [entry for entry in fresh if entry not in listed]

    def __del__(self) -> None:
        # At the end of the interpreter there may be nobody left to wake, and no loop to wake them.
        with contextlib.suppress(Exception):
            self.close(MachineClosed("the machine was collected while something still waited for it"))


def _keys(states: int) -> tuple[int, ...]:
    if states in (ANY, 0):
        return (states,)
    return tuple([1 << index for index in bits(states)])


def _serial(entry: Entry) -> int:
    return entry.serial


def condition(states: int, test: Callable[[Moment], End | None], label: object) -> Wait[Any]:
    """A wait ended by the first moment for which `test` gives an `End`; asked when one of `states` has ticked.

    An error of `test` ends it, too. `label` is shown as its text and must keep no machine alive.
    """
    return Wait(Entry(label, states, test))


def when_closed(label: object) -> Wait[None]:
    """The waits are closed. No transition asks."""
    return condition(0, _at_close, label)


def _at_close(_: Moment) -> End:
    return End()


def _last(entry: Entry, error: BaseException) -> End:
    return End() if entry.test is _at_close else End(error=error)


def when(on: int, off: int, label: object) -> Wait[None]:
    """All states of the mask `on` are active and none of `off`."""

    def test(now: Moment) -> End | None:
        active = now.active
        return None if active & on != on or active & off else End()

    return condition(on | off, test, label)


def when_time(ticks: Mapping[int, int], label: object) -> Wait[Any]:
    """Each state, by index, has reached the tick given for it. Yields the clock."""
    targets = tuple(ticks.items())

    def test(now: Moment) -> End | None:
        for state, tick in targets:
            if now.tick(state) < tick:
                return None
        return End(now.clock())

    return condition(mask_of(ticks), test, label)


def when_args(
    state: int, where: Callable[[Any], object] | None, label: object, *, or_now: bool = False, since: int = -1
) -> Wait[Any]:
    """The state enters, or re-enters, and stays, by a mutation with fitting arguments. Yields those.

    `since` is the state's tick when the wait is made: what entered it by then does not count.
    With `or_now`: the state is active with fitting arguments, since whenever.
    """

    def test(now: Moment) -> End | None:
        if or_now:
            if not now.active >> state & 1:
                return None
            args = now.args(state)
        else:
            if now.tick(state) <= since or not now.entered >> state & 1:
                return None
            args = now.called_args(state)
        return End(args) if where is None or where(args) else None

    return condition(1 << state, test, label)


def when_next(state: int, tick: int, label: object) -> Wait[Any]:
    """The state is active and its tick has reached `tick`, that of its next activation. Yields its arguments."""

    def test(now: Moment) -> End | None:
        reached = now.tick(state)
        # Past it and even: it was activated and put back in one transition, which is no activation.
        return End(now.args(state)) if reached >= tick and reached & 1 else None

    return condition(1 << state, test, label)


def when_query(fn: Callable[[Any], object], label: object) -> Wait[Any]:
    """`fn(clock)` is true: asked after every transition that ticked something. Yields that clock."""

    def test(now: Moment) -> End | None:
        clock = now.clock()
        return End(clock) if fn(clock) else None

    return condition(ANY, test, label)


class _AnyOf(Entry):
    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Wait[Any], ...], kind: str) -> None:
        super().__init__(f"{kind}({', '.join(str(part.label) for part in parts)})", 0, None)
        self.parts = parts
        homes = (home for part in parts for home in part.entry.homes)
        self.homes = tuple({id(home): home for home in homes}.values())

    def listen(self) -> None:
        """Hook on to the parts, in order, until it is over."""
        for part in self.parts:
            part.entry.hook(self, partial(self.heard, part))
            if self.ends:  # perhaps by another thread, before the part had the hook
                part.entry.hooks.pop(self, None)
                return

    def heard(self, part: Wait[Any], later: Later) -> None:
        """One part has ended."""
        self.finish(End(part), later)

    def leave(self) -> None:
        parts, self.parts = self.parts, ()
        for part in parts:
            part.entry.hooks.pop(self, None)


class _AllOf(_AnyOf):
    __slots__ = ("missing",)

    def __init__(self, parts: tuple[Wait[Any], ...], kind: str) -> None:
        super().__init__(parts, kind)
        # Not a count: two parts may end in two threads, and the last to leave a dict always finds it empty.
        self.missing = dict.fromkeys(part.entry for part in parts)

    def heard(self, part: Wait[Any], later: Later) -> None:
        parts = self.parts
        end = part.entry.ends[0]
        if end.error is not None:
            self.finish(End(error=end.error), later)
            return
        self.missing.pop(part.entry, None)
        if not self.missing:
            self.finish(End(tuple(part.entry.ends[0].value for part in parts)), later)


def any_of(*waits: Wait[T]) -> Wait[Wait[T]]:
    """Done with the first that is done, however that ended; yields that one. The others are left as they are."""
    if not waits:
        raise WaitError("any_of() of no waits would never be done", wait="any_of()")
    return _combine(_AnyOf(waits, "any_of"))


@overload
def all_of(first: Wait[T1], second: Wait[T2], /) -> Wait[tuple[T1, T2]]: ...
@overload
def all_of(first: Wait[T1], second: Wait[T2], third: Wait[T3], /) -> Wait[tuple[T1, T2, T3]]: ...
@overload
def all_of(*waits: Wait[T]) -> Wait[tuple[T, ...]]: ...
def all_of(*waits: Wait[Any]) -> Wait[Any]:
    """Done when all are; yields their values in order. The first that fails or is cancelled ends it with its error."""
    entry = _AllOf(waits, "all_of")
    if not waits:
        entry.end(End(()))
    return _combine(entry)


def _combine(entry: _AnyOf) -> Wait[Any]:
    wait = Wait[Any](entry)
    entry.listen()
    return wait
