"""The event loops that a machine can live in: how they are reached from other threads, and how they run a task.

On trio tasks are those of a task group; on asyncio they are the loop's own, which start in a third of the time. A task
is cancelled as its loop cancels: on trio at every await from then on, but for one that has come true by then; on
asyncio at the await where it stands, and again where it goes on regardless. Nothing here knows what a task is for.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

import anyio

if TYPE_CHECKING:
    from types import TracebackType

    from amachine.subscriptions import Wait

PATIENCE = 1.0
"""Seconds that a cancelled task has for its clean-up on asyncio, before it is cancelled again."""


class Job(Protocol):
    """What a loop is given to run."""

    name: str
    handle: Any
    """What a starter cancels it by; None before it has begun. A job told to end by then does nothing when it does."""

    def run(self, scope: anyio.CancelScope | None = None, /) -> Coroutine[Any, Any, None]:
        """Do it, inside `scope`. It raises nothing but what says that the loop itself is over."""
        ...

    def ended(self, _: object = None, /) -> None:
        """Called when it is over, however that came; also when it was cancelled before it began."""
        ...


class Starter(Protocol):
    """How jobs are run; entered and left by the task that opens the machine."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    def start(self, job: Job) -> None:
        """Run a job, soon."""
        ...

    def cancel(self, job: Job) -> None:
        """Cancel a job that was started."""
        ...


class GroupStarter:
    """Jobs are tasks of an anyio task group, each in a cancel scope of its own. Not on asyncio: see `ScopedStarter`."""

    def __init__(self) -> None:
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> object:
        return await self._group.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._group.__aexit__(kind, error, trace)

    def start(self, job: Job) -> None:
        """Run a job. What cancels the task inside `async with` does not reach it: the machine ends it in its turn."""
        job.handle = anyio.CancelScope(shield=True)
        self._group.start_soon(self._run, job, name=job.name)

    def cancel(self, job: Job) -> None:
        """Cancel a job that was started."""
        job.handle.cancel()

    async def _run(self, job: Job) -> None:
        try:
            await job.run(job.handle)
        finally:
            job.ended()


class AsyncioStarter:
    """Jobs are tasks of the running asyncio loop."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        # Not by way of the loop's task factory: an eager one would run the job in the middle of a transition.
        self._make = sys.modules["asyncio"].Task
        # A task that has ended leads to its machine, which this must not keep alive.
        self._dying: WeakSet[Any] = WeakSet()
        self._late: WeakSet[Any] = WeakSet()
        self._timer: Any = None

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._timer is not None and not self._dying:
            self._timer.cancel()
        return None

    def start(self, job: Job) -> None:
        """Run a job, soon."""
        job.handle = self._make(job.run(), loop=self._loop, name=job.name)
        job.handle.add_done_callback(job.ended)

    def cancel(self, job: Job) -> None:
        """Cancel a job that was started."""
        handle = job.handle
        handle.cancel()
        self._dying.add(handle)
        if self._timer is None:
            self._timer = self._loop.call_later(PATIENCE, self._ask_again)

    def _ask_again(self) -> None:
        """Cancel those once more that have gone on for all that time."""
        for handle in self._late:
            handle.cancel()
        self._dying = WeakSet(handle for handle in self._dying if not handle.done())
        self._late = WeakSet(self._dying)
        self._timer = self._loop.call_later(PATIENCE, self._ask_again) if self._dying else None


class ScopedStarter:
    """Jobs are tasks of the running asyncio loop, each in a cancel scope of anyio's: cancelled as on trio.

    No task group: one cannot be told to start anything by what wakes the loop for another thread, for that is no task.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._make = sys.modules["asyncio"].Task
        self._tasks: set[Any] = set()  # the loop alone would let go of a task that nothing else refers to

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return None

    def start(self, job: Job) -> None:
        """Run a job, soon."""
        task = self._make(self._run(job), loop=self._loop, name=job.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(job.ended)

    def cancel(self, job: Job) -> None:
        """Cancel a job that was started."""
        if job.handle is not None:
            job.handle.cancel()

    async def _run(self, job: Job) -> None:
        job.handle = anyio.CancelScope()
        await job.run(job.handle)


class AsyncioLoop:
    """A loop of asyncio."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def is_here(self) -> bool:
        """Whether the caller runs in it."""
        return sys.modules["asyncio"]._get_running_loop() is self._loop

    def is_over(self) -> bool:
        """Whether it will never run anything again."""
        return bool(self._loop.is_closed())

    def now(self) -> float:
        """The time by its clock. Only where it runs."""
        return float(self._loop.time())

    def soon(self, fn: Callable[[], object]) -> bool:
        """Have it call `fn`; from any thread. False when it is over."""
        try:
            self._loop.call_soon_threadsafe(fn)
        except RuntimeError:
            return False
        return True

    def starter(self, *, native: bool) -> Starter:
        """What runs jobs in it."""
        return AsyncioStarter(self._loop) if native else ScopedStarter(self._loop)


class TrioLoop:
    """A run of trio."""

    def __init__(self, token: Any) -> None:
        self._token = token
        self._lowlevel = sys.modules["trio"].lowlevel

    def is_here(self) -> bool:
        """Whether the caller runs in it."""
        return self._lowlevel.in_trio_run() and self._lowlevel.current_trio_token() is self._token

    def is_over(self) -> bool:
        """Whether it will never run anything again."""
        return not self.soon(_nothing)

    def now(self) -> float:
        """The time by its clock. Only where it runs."""
        return float(sys.modules["trio"].current_time())

    def soon(self, fn: Callable[[], object]) -> bool:
        """Have it call `fn`; from any thread. False when it is over."""
        try:
            self._token.run_sync_soon(fn, idempotent=True)
        except RuntimeError:  # trio.RunFinishedError
            return False
        return True

    def starter(self, *, native: bool) -> Starter:  # noqa: ARG002  # trio has only one kind
        """What runs jobs in it."""
        return GroupStarter()


Loop = AsyncioLoop | TrioLoop


def here() -> Loop:
    """The event loop that the caller runs in. Errors: RuntimeError where there is none."""
    # Another thread may be in the middle of importing it.
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    in_trio_run = getattr(lowlevel, "in_trio_run", None)
    if lowlevel is not None and in_trio_run is not None and in_trio_run():
        return TrioLoop(lowlevel.current_trio_token())
    import asyncio

    return AsyncioLoop(asyncio.get_running_loop())


async def park(wait: Wait[Any]) -> None:
    """Suspend the running task until `wait` is done. One that is cancelled by then is not resumed all the same."""
    gate = anyio.Event()
    loop = here()

    def wake() -> None:
        if loop.is_here():
            gate.set()
        else:
            loop.soon(gate.set)  # where that loop is over, there is nobody to wake

    wait.add_parker(wake)
    try:
        await gate.wait()
    finally:
        wait.drop_parker(wake)
    # What has happened need not be handed over: between the wake-up and now the task's state may have ended.
    await anyio.lowlevel.checkpoint_if_cancelled()


def _nothing() -> None:
    pass
