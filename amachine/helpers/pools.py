"""Many jobs at once, but not too many: a pool that ends with the task that opened it, and so with that task's state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, TypeVarTuple

import anyio

from amachine.errors import WaitError

if TYPE_CHECKING:
    from types import TracebackType

    from anyio.abc import TaskGroup

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Errors = Literal["stop", "keep"]
"""What the first error of a job means: "stop" ends the others and is raised, "keep" leaves it with its job."""


class Job(Generic[T_co]):
    """One job of a pool, and what became of it."""

    __slots__ = ("_value", "_work", "done", "error", "name")

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, T_co]]) -> None:
        self.name: str = name
        self.done: bool = False
        """Whether it has ended, with a value or an error. A job that was cancelled never is."""
        self.error: Exception | None = None
        self._work = work
        self._value: Any = None

    @property
    def value(self) -> T_co:
        """What it returned. Raises its error; `WaitError` where it has not ended."""
        if self.error is not None:
            raise self.error
        if not self.done:
            raise WaitError(
                f"the job {self.name} has no value: it is not done, or was cancelled", wait=self.name
            )
        value: T_co = self._value
        return value

    async def run(self) -> None:
        """Do it. For the pool."""
        try:
            self._value = await self._work()
        except Exception as error:  # noqa: BLE001  # the job is the user's; the pool says what is done about it
            self.error = error
        self.done = True

    def __repr__(self) -> str:
        what = "pending" if not self.done else "done" if self.error is None else f"failed: {self.error!r}"
        return f"<Job {self.name} {what}>"


class Pool:
    """What `pool` makes: start jobs in it inside `async with`."""

    _group: TaskGroup

    def __init__(self, limit: int, errors: Errors) -> None:
        if limit < 1:
            raise ValueError(f"pool(limit={limit!r}): at least 1")
        if errors not in ("stop", "keep"):
            raise ValueError(f"pool(errors={errors!r}): 'stop' or 'keep'")
        self._limit = limit
        self._stops = errors == "stop"
        self._jobs: list[Job[Any]] = []
        self._waiting: deque[Job[Any]] = deque()
        self._running = 0
        self._first: Exception | None = None
        self._is_open = False

    @property
    def jobs(self) -> tuple[Job[Any], ...]:
        """All jobs, in the order in which they were started."""
        return tuple(self._jobs)

    @property
    def results(self) -> tuple[Any, ...]:
        """The values of all jobs, in the order in which they were started. Raises the first that is none."""
        return tuple(job.value for job in self._jobs)

    @property
    def errors(self) -> tuple[Exception, ...]:
        """The errors of all jobs that failed, in the order in which they were started."""
        return tuple(job.error for job in self._jobs if job.error is not None)

    def start(self, fn: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> Job[T]:
        """Run `fn(*args)` as soon as there is room, in the order of starting. Jobs may start others.

        Errors: `WaitError` outside of `async with`.
        """
        name = getattr(fn, "__qualname__", repr(fn))
        if not self._is_open:
            raise WaitError(f"{name}: the pool is not open, or over: start it inside `async with`", wait=name)
        job = Job(name, lambda: fn(*args))
        self._jobs.append(job)
        if self._first is None:
            self._waiting.append(job)
            self._fill()
        return job

    async def __aenter__(self) -> Self:
        if self._jobs or self._is_open:
            raise WaitError("a pool is entered once: make another", wait="pool")
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        own = error is not None and not isinstance(error, anyio.get_cancelled_exc_class())
        if own:
            self._stop()
        try:
            # Of its own error the body is to be left with that alone, and not with a group that has it inside.
            quiet = await self._group.__aexit__(*((None, None, None) if own else (kind, error, trace)))
        finally:
            self._is_open = False
        if self._first is not None and (
            error is None or (quiet and not own)
        ):  # else the body's error, or its cancellation, goes on
            self._name_the_others(self._first)
            raise self._first

    def _name_the_others(self, first: Exception) -> None:
        for job in self._jobs:
            if job.error is not None and job.error is not first:
                first.add_note(f"and the job {job.name} of the same pool failed, too: {job.error!r}")

    def _stop(self) -> None:
        self._waiting.clear()
        self._group.cancel_scope.cancel()

    def _fill(self) -> None:
        while self._waiting and self._running < self._limit:
            self._running += 1
            job = self._waiting.popleft()
            self._group.start_soon(self._run, job, name=job.name)

    async def _run(self, job: Job[Any]) -> None:
        try:
            await job.run()
        finally:
            self._running -= 1
        if job.error is not None and self._stops:
            if self._first is None:
                self._first = job.error
            self._stop()
        self._fill()


def pool(limit: int, *, errors: Errors = "stop") -> Pool:
    """Run many jobs, but only so many at once.

    `async with pool(4) as jobs: jobs.start(fetch, url)`. Leaving the block waits for all of them. Opened in a `task` handler,
    it is cancelled with the handler's state. An error in the block itself cancels the jobs, and goes on alone.

    Args:
        limit: How many jobs run at the same time; the others wait in order.
        errors: With "stop" the first error cancels the other jobs and the block, and is raised when that is left, the
            others noted on it. With "keep" all jobs run, and errors are found on them.

    Errors: ValueError.
    """
    return Pool(limit, errors)
