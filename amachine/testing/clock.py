"""Time that does not pass, but jumps: when all tasks wait, the event loop's clock goes on to the next deadline at once.

While a worker thread that the loop knows of is busy, time goes on as outside, so that nothing that waits for the thread runs
out of time. The loop knows of threads of `to_thread.run_sync` (anyio, with its default limiter, and trio's) and of
`run_in_executor`; not of threads of your own, of other processes, nor of what comes over a network: hold the clock there,
with `hold_clock()`. Only the loop's clock is virtual: `time.sleep`, waits of threads and the time that handlers take are not.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pytest
    import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Backend: TypeAlias = Literal["asyncio", "trio"]


def virtual_clock(backend: str = "asyncio") -> tuple[str, dict[str, Any]]:
    """A backend of anyio with its options, for an event loop whose time jumps.

    It is what an `anyio_backend` fixture returns:

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request):
            return virtual_clock(request.param)

    Errors: ValueError for another name.
    """
    if backend == "asyncio":
        return backend, {"loop_factory": _Loop}
    if backend == "trio":
        return backend, _trio_options()
    raise ValueError(f"there is no virtual clock for {backend!r}: it is asyncio or trio")


def run(main: Callable[..., Awaitable[T]], *args: object, backend: Backend = "asyncio") -> T:
    """Run `main(*args)` as `anyio.run` does, in an event loop whose time jumps. Returns what it returns."""
    name, options = virtual_clock(backend)
    return anyio.run(main, *args, backend=name, backend_options=options)


@contextmanager
def hold_clock() -> Generator[None]:
    """Let time go on as outside for as long as this lasts: for threads of your own, processes and networks.

    In an event loop without a virtual clock it does nothing. Errors: RuntimeError outside of an event loop.
    """
    held = _held()
    if held is not None:
        held.hold(+1)
    try:
        yield
    finally:
        if held is not None:
            held.hold(-1)


def _held() -> _Loop | _Keeper | None:
    # anyio knows which of the two it is; asked first, it also says so if it is neither.
    anyio.current_time()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        return _keepers.get(trio.lowlevel.current_trio_token())
    return loop if isinstance(loop, _Loop) else None


# asyncio: a loop that asks its selector what is ready, and where nothing is, moves its clock instead of waiting.

_RESOLUTION = time.get_clock_info("monotonic").resolution


class _Selector(selectors.DefaultSelector):
    """Looks, and where it would wait for a deadline, has the clock moved instead."""

    jump: Callable[[float], None]
    is_held: Callable[[], bool]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Without a deadline, only something from outside can go on: wait for it, however long that takes.
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if ready:
            return ready
        if not self.is_held():
            self.jump(timeout)
            return []
        began = time.monotonic()
        ready = super().select(timeout)
        self.jump(min(time.monotonic() - began, timeout))
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop of asyncio with a clock of its own, which starts at zero."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.jump = self._jump
        selector.is_held = self._is_held
        self._now = 0.0
        self._holds = 0
        self._threads: anyio.CapacityLimiter | None = None
        super().__init__(selector)

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._now

    def hold(self, by: int) -> None:
        """One more, or one less, for whom time must not jump."""
        self._holds += by

    def _jump(self, seconds: float) -> None:
        now = self._now + seconds
        # A deadline is due once it lies before now plus the clock's resolution. After some months a float is too coarse for
        # that sum to be more than now: then the least step further is taken instead, else the loop would ask for ever.
        self._now = now if now + _RESOLUTION > now else math.nextafter(now, math.inf)

    def _is_held(self) -> bool:
        return self._holds > 0 or (self._threads is not None and self._threads.borrowed_tokens > 0)

    def run_forever(self) -> None:
        """Run; first a task learns how many worker threads are busy, which only tasks can ask."""
        if self._threads is None:
            self.create_task(self._meet_the_threads())
        super().run_forever()

    async def _meet_the_threads(self) -> None:
        self._threads = anyio.to_thread.current_default_thread_limiter()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As any loop does; time does not jump until it is over."""
        future = super().run_in_executor(executor, func, *args)
        self.hold(+1)
        future.add_done_callback(lambda _: self.hold(-1))
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """As any loop does; its timeout is a real one."""
        self.hold(+1)
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self.hold(-1)


# trio: its own clock for tests, and an instrument that stops it from jumping while threads are busy.


class _Keeper:
    """Sees to it, after each step of a task, that trio's clock jumps only where no thread is busy. An `Instrument`."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self._holds = 0
        self._is_held = False

    def hold(self, by: int) -> None:
        """One more, or one less, for whom time must not jump."""
        self._holds += by
        self._look()

    def before_run(self) -> None:
        """A run begins, in which `hold_clock` is to find this."""
        import trio

        self._holds = 0
        self._look()
        _keepers[trio.lowlevel.current_trio_token()] = self

    def after_task_step(self, task: object) -> None:  # noqa: ARG002  # the instrument's signature
        """Only a step of a task can have begun or ended the use of a thread."""
        self._look()

    def _look(self) -> None:
        import trio

        threads = trio.to_thread.current_default_thread_limiter()
        is_held = self._holds > 0 or threads.borrowed_tokens > 0
        if is_held is not self._is_held:
            self._is_held = is_held
            self._clock.rate = 1.0 if is_held else 0.0
            self._clock.autojump_threshold = math.inf if is_held else 0.0


_keepers: WeakKeyDictionary[object, _Keeper] = WeakKeyDictionary()


def _trio_options() -> dict[str, Any]:
    import trio.testing

    class Keeper(_Keeper, trio.abc.Instrument):
        """It, as trio wants it: made here, for trio is imported only where it is used."""

    clock = trio.testing.MockClock(autojump_threshold=0)
    return {"clock": clock, "instruments": [Keeper(clock)]}


@lru_cache
def _virtual_time() -> pytest.MarkDecorator:
    import pytest

    names = ["asyncio", "trio"] if find_spec("trio") else ["asyncio"]
    backends = [pytest.param(virtual_clock(name), id=f"{name}-virtual") for name in names]
    return pytest.mark.parametrize("anyio_backend", backends)


def __getattr__(name: str) -> Any:
    # A mark, but made when it is first asked for: the clock itself needs no pytest.
    if name == "virtual_time":
        return _virtual_time()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if TYPE_CHECKING:
    virtual_time: pytest.MarkDecorator
    """`@virtual_time` runs an async test once in each event loop, both with a virtual clock."""
