"""One piece of background work: a task, a timer, and what is bound to one state. `runtime` says when they begin and end.

A timer is a task that sleeps: it ends with the tick of its state, and keeps its deadline where it can be exported.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from contextvars import ContextVar
from math import floor
from typing import TYPE_CHECKING, Any, cast

import anyio

from amachine._phases import Timer, length
from amachine.conduct import current
from amachine.errors import TaskTimeout

if TYPE_CHECKING:
    from amachine.event import Event
    from amachine.machine import Machine
    from amachine.runtime import Runtime, Scope
    from amachine.transition import Transition

OWN = -1
"""The state of the tasks that belong to the machine itself: its End handlers."""

wall: Callable[[], float] = time.time
"""Seconds since the epoch: what deadlines are exported by. Those of a running machine go by its event loop's clock."""


class Task:
    """One piece of background work, from its request to its end."""

    __slots__ = (
        "_cancelled", "begun", "cause", "fn", "handle", "is_timer", "name", "over", "runtime", "state", "timeout",
    )  # fmt: skip

    def __init__(
        self,
        runtime: Runtime,
        state: int,
        name: str,
        fn: Callable[[], Coroutine[Any, Any, object]],
        cause: Transition,
        timeout: float | None = None,
    ) -> None:
        self.runtime: Runtime = runtime
        self.state: int = state
        self.name: str = name
        self.fn: Callable[[], Coroutine[Any, Any, object]] = fn
        self.cause: Transition = cause
        self.timeout: float | None = timeout
        self.is_timer: bool = False
        self.begun: bool = False
        """Whether it was given to the event loop."""
        self.handle: Any = None
        self.over: bool = False
        """Whether it was told to end."""
        self._cancelled: BaseException | None = None

    @property
    def machine(self) -> Machine | None:
        """The machine that it works for; None when it has ended."""
        runtime = cast("Runtime | None", self.runtime)
        return None if runtime is None else runtime.machine

    async def run(self, scope: anyio.CancelScope | None = None) -> None:
        """Do the work; take what it raises to where it belongs. Nothing, if it is over before it begins."""
        if self.over:
            return
        machine = self.runtime.machine
        working.set(self)
        current.set(self.cause)  # one that had to wait for its turn was started by somebody else
        state = None if self.state == OWN else machine.schema.names[self.state]
        hooks = machine._hooks_
        if hooks is not None:
            hooks.task_started(machine, self.name, state)
        error: BaseException | None = None
        try:
            if self.timeout is not None:
                error = await self._in_time(self.timeout, scope)
            elif scope is None:
                await self.fn()
            else:
                with scope:
                    await self._told()
        except GeneratorExit:  # the loop died with this task in it: nobody is left to tell
            raise
        except BaseException as raised:  # noqa: BLE001  # `failed` knows where each belongs
            error = raised
        error = error or self._cancelled
        self._cancelled = None
        try:
            hooks = machine._hooks_
            if hooks is not None:
                hooks.task_ended(machine, self.name, state, error)
            if error is not None:
                self.runtime.failed(self, error)
        finally:
            del error  # its traceback holds this frame

    async def _told(self) -> None:
        """Do the work, and keep its cancellation, which a scope swallows, to be told of."""
        try:
            await self.fn()
        except anyio.get_cancelled_exc_class() as cancelled:
            self._cancelled = cancelled
            raise

    async def _in_time(self, seconds: float, scope: anyio.CancelScope | None) -> TaskTimeout | None:
        limit = anyio.CancelScope()
        with scope or nullcontext(), limit:
            # The time begins when the work does.
            limit.deadline = anyio.current_time() + seconds
            await self._told()
        if limit.cancel_called and not self.over:
            return TaskTimeout(machine=self.runtime.machine.id, task=self.name, timeout=seconds)
        return None

    def ended(self, _: object = None) -> None:
        """It is over: make room for the next."""
        self.runtime.ended(self)
        # What it started elsewhere has a copy of its context, and so leads here: no further.
        self.fn = self.runtime = self.handle = cast("Any", None)


working: ContextVar[Task | None] = ContextVar("amachine_working", default=None)
"""The task that runs here, or that started what runs here."""


class Bound:
    """What is bound to one state: the tasks that run, those that wait for their turn, timers and scopes."""

    __slots__ = ("clocks", "deadlines", "limit", "running", "scopes", "waiting")

    def __init__(self, limit: int | None) -> None:
        self.limit: int | None = limit
        self.running: dict[Task, None] = {}
        self.waiting: deque[Task] = deque()
        self.scopes: dict[Scope, None] = {}
        self.clocks: dict[Task, None] = {}
        """The timers, which wait for no turn."""
        self.deadlines: dict[str, Deadline] = {}
        """Those of the timers of the present tick, by name; also of timers that have fired."""

    def forget(self) -> None:
        """All of it is over, but for when its timers are due, by the clock on the wall."""
        for kept in (self.running, self.waiting, self.scopes, self.clocks):
            kept.clear()
        for deadline in self.deadlines.values():
            deadline.at = None

    def __bool__(self) -> bool:
        return bool(self.running or self.waiting or self.scopes or self.clocks or self.deadlines)


class Deadline:
    """When a timer is due."""

    __slots__ = ("at", "due", "fired")

    def __init__(self, due: float | None = None, *, fired: bool = False) -> None:
        self.at: float | None = None
        """By the clock of the event loop, once it runs."""
        self.due: float | None = due
        """By the clock on the wall, as of when it was set."""
        self.fired: bool = fired

    def set(self, at: float, now: float) -> None:
        """By the clock of the event loop; kept by that on the wall, too, for when the loop is over."""
        self.at, self.due = at, wall() + at - now

    def on_wall(self, now: float | None) -> float | None:
        """Seconds since the epoch; None where it has not begun. `now` is the time of its event loop, while there is one."""
        return self.due if self.at is None or now is None else wall() + self.at - now


async def keep(
    task: Task, timer: Timer, deadline: Deadline, event: Event[Any], work: Callable[[], Any]
) -> None:
    """Wait for the deadline, and call the function; again and again for one that repeats. Lateness does not add up."""
    seconds = length(
        timer.seconds(event) if callable(timer.seconds) else timer.seconds, repeats=timer.repeats
    )
    now = anyio.current_time()
    left = seconds if deadline.due is None else min(deadline.due - wall(), seconds)
    if timer.repeats and left < 0:
        left = left % seconds - seconds  # due once, however long ago; the later ones keep the old beat
    at = first = now + left
    turns = 0
    while True:
        deadline.set(at, now)
        await anyio.sleep_until(at)
        if task.over:  # its state ended in the very moment in which the sleep did
            return
        try:
            answer = work()
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:
            if not timer.repeats:
                deadline.fired = True
                raise
            task.runtime.failed(task, error)
        if not timer.repeats:
            deadline.fired = True
            return
        # Never the same turn again, though a loop may wake a sleeper a moment too early.
        now = anyio.current_time()
        turns = max(turns, floor((now - first) / seconds)) + 1
        at = first + turns * seconds
