"""What players stand on: turns in one queue, deadlines in one heap, tasks in one group. Knows no player and no frame.

A turn is a plain call. Turns are made in the order in which they were asked for, never one inside another; so whatever a
turn causes is done after it, and a role that goes on and on lets all others have theirs.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.lowlevel

from amachine.choreography.playing.doing import failure_of
from amachine.loops import here

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Alarm", "Ground"]

BURST = 500
"""So many turns are made before other tasks of the program may run."""


class Ground:
    """Use it as `async with Ground() as ground`: turns are made, and tasks run, until that is left, which cancels all tasks."""

    __slots__ = ("_alarms", "_bell", "_group", "_left", "_numbers", "_tasks", "clock", "now", "turns")

    def __init__(self) -> None:
        self.turns: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        """What is to be done next, in order: functions with their arguments."""
        self._alarms: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._bell: anyio.Event | None = None  # what wakes it, while there is nothing to do
        self._left = False
        self._tasks = 0  # that others have started here, and that run
        self.now: Callable[[], float] = anyio.current_time  # until it is entered
        """The time, in seconds, by the clock of the event loop. Asked for often, and anyio takes ten times as long for it."""
        self.clock: float = 0.0
        """When the turns that are being made began: a look at it costs nothing."""
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        self.now = here().now
        await self._group.__aenter__()
        self._group.start_soon(self._run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._left = True
        self._ring()
        if self._tasks:  # to cancel what ends by itself would be most of what a short session costs
            self._group.cancel_scope.cancel()
        try:
            if isinstance(error, Exception):  # it is raised as it is, and not in a group
                await self._group.__aexit__(None, None, None)
                return False
            return await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            stop, *others = group.exceptions
            if others or isinstance(stop, Exception):
                raise
        raise stop  # KeyboardInterrupt and the like, as from a call

    def soon(self, turn: Callable[..., object], *args: Any) -> None:
        """Call this after all that was asked for before. From tasks of the same event loop."""
        self.turns.append((turn, args))
        if self._bell is not None:
            self._ring()

    def start(self, work: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        """Run this as a task. What it raises ends all that stands on this ground: it had better catch it."""
        self._tasks += 1
        self._group.start_soon(self._counted, work, args, name=getattr(work, "__qualname__", None))

    async def _counted(self, work: Callable[..., Coroutine[Any, Any, object]], args: tuple[Any, ...]) -> None:
        try:
            await work(*args)
        except anyio.get_cancelled_exc_class() as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from error  # nobody would hear of it: a group takes it for one of its own
        finally:
            self._tasks -= 1

    def at(self, when: float, turn: Callable[[], object]) -> None:
        """Call this when it is that time, by the clock of the event loop."""
        heapq.heappush(self._alarms, (when, next(self._numbers), turn))
        if self._bell is not None:
            self._ring()

    def _ring(self) -> None:
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.set()

    async def _run(self) -> None:
        while not self._left:
            self._burst()
            try:
                if self.turns:
                    await anyio.lowlevel.checkpoint()
                else:
                    await self._sleep()
            except anyio.get_cancelled_exc_class() as error:
                if failure_of(error) is None:
                    raise
                _stay()
            if self._alarms:
                self._wake_who_is_due()

    def _burst(self) -> None:
        turns = self.turns
        self.clock = self.now()
        try:
            for _ in range(BURST):
                if not turns:
                    break
                turn, args = turns.popleft()
                turn(*args)
        except anyio.get_cancelled_exc_class() as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from error  # as in a task

    async def _sleep(self) -> None:
        """Until there is a turn to make, or the first alarm is due."""
        self._bell = bell = anyio.Event()
        if self._alarms:
            with anyio.CancelScope(deadline=self._alarms[0][0]):
                await bell.wait()
        else:
            await bell.wait()
        self._bell = None

    def _wake_who_is_due(self) -> None:
        now = self.now()
        while self._alarms and self._alarms[0][0] <= now:
            self.turns.append((heapq.heappop(self._alarms)[2], ()))


def _stay() -> None:
    """Somebody has cancelled just the task that makes the turns, as asyncio can, from a turn perhaps: it goes on."""
    import asyncio

    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


class Alarm:
    """One deadline, which may be set anew as often as steps are taken: that costs no change in the heap of the ground."""

    __slots__ = ("_late", "_next", "deadline", "ground")

    def __init__(self) -> None:
        self.ground: Ground
        """Whose clock counts."""
        self.deadline: float | None = None
        """When it rings; None while it is off."""
        self._late: Callable[[], object] = _nothing
        self._next: float | None = None  # when the ground calls back: not after the deadline, maybe before

    def set(self, seconds: float, late: Callable[[], object]) -> None:
        """Call `late` in so many seconds, and nothing that was set before."""
        self._late = late
        self.deadline = self.ground.now() + seconds
        self._ask()

    def _ask(self) -> None:
        if self.deadline is not None and (self._next is None or self._next > self.deadline):
            self._next = self.deadline
            self.ground.at(self.deadline, self._ring)

    def _ring(self) -> None:
        self._next = None
        if self.deadline is None:
            return
        if self.ground.now() < self.deadline:
            self._ask()
        else:
            self.deadline = None
            self._late()


def _nothing() -> None:
    pass
