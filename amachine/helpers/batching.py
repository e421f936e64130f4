"""Many inputs, all of which count: a state is entered with many of them at a time. Any thread may push."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import repeat
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from amachine.helpers.intake import Intake, Last

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.mutation import Result

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


def full_at(first: float, count: int, *, max_items: int, max_seconds: float) -> float:
    """When a batch of `count` items is due, the first of which came at this time."""
    return first if count >= max_items else first + max_seconds


class Collecting(Protocol[T_contra]):
    """A state of a machine whose arguments are made of a tuple of items."""

    @property
    def machine(self) -> Machine:
        """The machine whose state it is."""
        ...

    @property
    def name(self) -> str:
        """The state's name."""
        ...

    def add(self, items: tuple[T_contra, ...], /) -> Result:
        """Enter it with these items."""
        ...


class Batch(Intake, Generic[T]):
    """What `batch` makes: push into it inside `async with`."""

    def __init__(
        self, state: Collecting[T], max_items: int, max_seconds: float, max_pending: int, last: Last
    ) -> None:
        if max_items < 1 or not max_seconds > 0 or max_pending < max_items:
            raise ValueError(
                f"batch(max_items={max_items!r}, max_seconds={max_seconds!r}, max_pending={max_pending!r}): "
                "at least 1, more than 0, and at least max_items"
            )
        super().__init__(state.machine, state.name, max_seconds, last)
        self._state = state
        self._max_items, self._max_seconds = max_items, max_seconds
        self._items: deque[T] = deque()
        # A token for each place. Taking one out is atomic: the bound holds whatever threads do, without a lock.
        self._places = deque(repeat(None, max_pending))

    def push(self, item: T) -> bool:
        """Put one more into the batch. False where it was not taken: outside of `async with`, or too many wait already.

        From any thread.
        """
        if self._loop is None:
            return False
        try:
            self._places.pop()
        except IndexError:
            return False
        self._items.append(item)
        self._arrived()
        return True

    @property
    def pending(self) -> tuple[T, ...]:
        """The items that wait, in order."""
        return tuple(self._items.copy())

    def _due(self, first: float, latest: float) -> float:  # noqa: ARG002  # silence means nothing to a batch
        return full_at(first, len(self._items), max_items=self._max_items, max_seconds=self._max_seconds)

    def _take(self) -> list[T] | None:
        taken: list[T] = []
        with suppress(IndexError):  # as many as there are: in the end another thread may take some, too
            while len(taken) < self._max_items:
                taken.append(self._items.popleft())
        return taken or None

    def _put_back(self, taken: list[T]) -> None:
        self._items.extendleft(reversed(taken))

    def _done_with(self, taken: list[T]) -> None:
        self._places.extend(repeat(None, len(taken)))

    def _send(self, taken: list[T]) -> Result:
        return self._state.add(tuple(taken))


def batch(
    state: Collecting[T],
    *,
    max_items: int = 100,
    max_seconds: float = 1.0,
    max_pending: int = 10_000,
    last: Last = "flush",
) -> Batch[T]:
    """Enter a state with many inputs at a time.

    `async with batch(flow.received, max_items=50) as received: …`. There `received.push(item)` works from any thread. The
    state is entered as by `flow.received.add((item, item, …))`, in the order of pushing. A batch that is refused stays, and
    is offered again every `max_seconds`. One whose arguments cannot be built is dropped, and the error enters `Exception`.

    Args:
        state: A multi state whose arguments are built of one tuple.
        max_items: How many make a batch complete.
        max_seconds: How long the first of a batch waits for the others.
        max_pending: How many may wait; what comes then is not taken, and `push` says so.
        last: When the block is left, however that comes: hand over what waits, "flush", or not, "drop".

    Errors: `SchemaError` for a state that is not multi; ValueError.
    """
    return Batch(state, max_items, max_seconds, max_pending, last)
