"""Who is next: the mutations that wait for their turn, with their ticks, their bound and their duplicates. Runs nothing.

Only the thread that drains the machine touches a queue; other threads reach it through the engine's inbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from amachine.mutation import Kind, Mutation

if TYPE_CHECKING:
    from amachine.subscriptions import Wait


class Evaluation:
    """A function that waits for its turn between two mutations, and the wait for what it returns."""

    __slots__ = ("fn", "wait")

    def __init__(self, fn: Callable[[], Any], wait: Wait[Any]) -> None:
        self.fn: Callable[[], Any] = fn
        self.wait: Wait[Any] = wait


Entry: TypeAlias = Mutation | Evaluation


class Queue:
    """A queue of mutations and evaluations. Truthy while something is in it."""

    __slots__ = ("_entries", "_ticked", "cascading", "fronts", "idlers", "overflowed")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._ticked = 0
        self.fronts: int = 0
        """The mutations so far that were taken up and had no queue tick."""
        self.overflowed: bool = False
        """It was full, and that has been reported; until it is empty."""
        self.cascading: bool = False
        """The same of a mutation that was too deep."""
        self.idlers: list[Wait[None]] = []
        """The waits for it to be empty."""

    def append(self, entry: Entry, queue_tick: int = 0) -> None:
        """Put an entry last. A mutation gets the queue tick at which it will run, `queue_tick` being the present one."""
        if isinstance(entry, Mutation):
            self._ticked += 1
            entry.queue_tick = queue_tick + self._ticked
        self._entries.append(entry)

    def prepend(self, mutation: Mutation) -> None:
        """Put a mutation first. It has no queue tick, and moves nobody else's."""
        self._entries.appendleft(mutation)

    def pop(self) -> Entry:
        """Take the first entry."""
        entry = self._entries.popleft()
        if isinstance(entry, Mutation) and entry.queue_tick is not None:
            self._ticked -= 1
        return entry

    def standing(self, mutation: Mutation) -> Mutation | None:
        """The last queued mutation, if this one is its duplicate: same kind, same states, no arguments, no multi states."""
        if not self._entries or mutation.args is not None or mutation.kind is Kind.TOGGLE:
            return None
        last = self._entries[-1]
        if not isinstance(last, Mutation) or last.args is not None or last.queue_tick is None:
            return None
        same = last.kind is mutation.kind and last.called == mutation.called
        return last if same and not mutation.called & mutation.schema.multi else None

    def is_full(self, limit: int | None) -> bool:
        """Whether no more may be appended."""
        return limit is not None and len(self._entries) >= limit

    def tell_idlers(self) -> None:
        """End the waits for it to be empty."""
        if self.idlers:
            idlers, self.idlers = self.idlers, []
            for wait in idlers:
                wait.fulfil(None)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def mutations(self) -> tuple[Mutation, ...]:
        """The queued mutations, in order."""
        return tuple(entry for entry in self if isinstance(entry, Mutation))
