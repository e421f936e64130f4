"""Where waiting happens: tasks and scopes bound to states, timeouts, event loops. Imported when first needed.

On trio, and wherever anyio asks for it, tasks are anyio's; on asyncio they are the loop's own, which start in a third of
the time. Both end the same way: cancelled when their state is over, with their errors taken to the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio.lowlevel import current_token

from amachine._bits import bits
from amachine.declare import Phase
from amachine.errors import MachineClosed, TaskTimeout, WaitError
from amachine.mutation import ErrorInfo

if TYPE_CHECKING:
    import asyncio

    from anyio.abc import TaskGroup

    from amachine.event import Event
    from amachine.machine import Machine
    from amachine.subscriptions import Wait
    from amachine.transition import Step

ending: ContextVar[object] = ContextVar("amachine_ending", default=None)
"""The machine whose asynchronous End handler runs here: it may mutate while the machine closes."""

OWN = -1
"""The key of the tasks that belong to the machine, not to a state: its End handlers."""


async def park(wait: Wait[Any]) -> None:
    """Suspend the running task until `wait` is done."""
    gate = anyio.Event()
    home = get_ident()
    token = current_token()

    def wake() -> None:
        if get_ident() == home:
            gate.set()
        else:
            _soon(token.native_token, gate.set)

    wait.add_parker(wake)
    try:
        await gate.wait()
    finally:
        wait.drop_parker(wake)


def _soon(loop: Any, fn: Callable[[], object]) -> bool:
    """Have an event loop call `fn` in its own thread. False when that loop is over."""
    try:
        if hasattr(loop, "call_soon_threadsafe"):
            loop.call_soon_threadsafe(fn)
        else:
            loop.run_sync_soon(fn)
    except RuntimeError:  # asyncio: the loop is closed; trio.RunFinishedError is one, too
        return False
    return True


class Task:
    """One piece of background work, from its request to its end."""

    __slots__ = ("begun", "cancelled", "fn", "handle", "name", "state", "timeout")

    def __init__(self, state: int, name: str, fn: Callable[[], Coroutine[Any, Any, object]], timeout: float | None) -> None:
        self.state = state
        self.name = name
        self.fn = fn
        self.timeout = timeout
        self.handle: Any = None
        self.begun = False
        self.cancelled = False

    def cancel(self) -> None:
        """End it at its next await. One that has not begun ends as soon as it does."""
        self.cancelled = True
        if self.begun:
            self.handle.cancel()


class Starter(Protocol):
    """How tasks are run in one kind of event loop."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(self, *exc: Any) -> bool | None: ...
    def start(self, task: Task, body: Callable[[Task], Coroutine[Any, Any, None]]) -> None: ...


class AnyioStarter:
    """Tasks of an anyio task group, each in a cancel scope of its own."""

    def __init__(self) -> None:
        self._group: TaskGroup = anyio.create_task_group()

    async def __aenter__(self) -> object:
        return await self._group.__aenter__()

    async def __aexit__(self, *exc: Any) -> bool | None:
        return await self._group.__aexit__(*exc)

    def start(self, task: Task, body: Callable[[Task], Coroutine[Any, Any, None]]) -> None:
        """Start a task."""
        task.handle = anyio.CancelScope()

        async def scoped() -> None:
            with task.handle:
                await body(task)

        self._group.start_soon(scoped, name=task.name)


class AsyncioStarter:
    """Tasks of the running asyncio loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop = sys.modules["asyncio"].get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *exc: Any) -> bool | None:
        while self._tasks:  # those that swallow their cancellation are asked again
            for task in self._tasks:
                task.cancel()
            await sys.modules["asyncio"].wait(tuple(self._tasks), timeout=1)
        return None

    def start(self, task: Task, body: Callable[[Task], Coroutine[Any, Any, None]]) -> None:
        """Start a task."""
        handle = task.handle = self._loop.create_task(body(task), name=task.name)
        self._tasks.add(handle)
        handle.add_done_callback(self._tasks.discard)


class Scope:
    """`async with machine.scope(state):` leaves quietly when the state's tick moves."""

    def __init__(self, runtime: Runtime, state: int) -> None:
        self._runtime = runtime
        self._state = state
        self._cancel: anyio.CancelScope | None = None

    async def __aenter__(self) -> Scope:
        if self._cancel is not None:
            raise WaitError("a scope is entered once: make another")
        self._cancel = anyio.CancelScope()
        self._runtime.enter(self, self._state)
        self._cancel.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._runtime.leave(self, self._state)
        assert self._cancel is not None
        return self._cancel.__exit__(kind, error, trace)

    @property
    def over(self) -> bool:
        """Whether the state's tick has moved, or the machine has closed."""
        return self._cancel is not None and self._cancel.cancel_called

    def cancel(self) -> None:
        """Leave at the next await."""
        if self._cancel is not None:
            self._cancel.cancel()


class Runtime:
    """The background work of one machine. It outlives no `async with`; before that, tasks wait to be started."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.bound = 0
        self._tasks: dict[int, list[Task]] = {}
        self._live: dict[int, int] = {}
        self._scopes: dict[int, list[Scope]] = {}
        self._starter: Starter | None = None
        self._loop: object = None
        self._idle: anyio.Event | None = None
        self.error: BaseException | None = None
        """With `raise_errors`: the first error of a task."""

    # -- life

    async def open(self, *, native: bool = True) -> None:
        """Start living in the running event loop, and start what was waiting for it."""
        token = current_token()
        self._loop = token.native_token
        on_asyncio = "asyncio" in sys.modules and isinstance(self._loop, sys.modules["asyncio"].AbstractEventLoop)
        self._starter = AsyncioStarter() if on_asyncio and native else AnyioStarter()
        await self._starter.__aenter__()

    def launch_waiting(self) -> None:
        """Start the tasks of states that were entered before."""
        for state in tuple(self._tasks):
            self._launch(state)

    async def close(self, grace: float) -> None:
        """Cancel tasks and scopes, then wait for End handlers, at most `grace` seconds."""
        for scopes in tuple(self._scopes.values()):
            for scope in tuple(scopes):
                scope.cancel()
        for state, tasks in tuple(self._tasks.items()):
            if state != OWN:
                self._cancel(tasks)
        await self._until_idle(lambda: any(self._tasks[state] for state in self._tasks if state != OWN))
        with anyio.move_on_after(grace):
            await self._until_idle(lambda: bool(self._tasks.get(OWN)))
        late = self._tasks.get(OWN, [])
        if late:
            self._machine._log("End handlers cancelled after %s s: %s", grace, ", ".join(task.name for task in late))  # pyright: ignore[reportPrivateUsage]
            self._cancel(late)

    async def _until_idle(self, busy: Callable[[], bool]) -> None:
        while busy():
            self._idle = anyio.Event()
            await self._idle.wait()
        self._idle = None

    async def leave_loop(self, *exc: Any) -> None:
        """Wait for the last tasks, and forget the event loop."""
        starter, self._starter = self._starter, None
        if starter is not None:
            await starter.__aexit__(*exc)
        self._loop = None

    def wake(self) -> None:
        """Have the loop's thread empty the inbox of the other threads."""
        if not _soon(self._loop, self._machine._drain_inbox):  # pyright: ignore[reportPrivateUsage]
            self._machine._loop_is_gone()  # pyright: ignore[reportPrivateUsage]

    # -- tasks

    def start(self, step: Step, event: Event[Any]) -> None:
        """Start a `task` handler, bound to the present activation of its state."""
        fn, slot, call, _, _ = step
        owner = self._machine._owner_of(slot)  # pyright: ignore[reportPrivateUsage]
        self._add(Task(call.state, call.label, lambda: fn(owner, event), call.timeout))

    def start_end(self, step: Step, event: Event[Any]) -> None:
        """Start an asynchronous End handler: nothing cancels it but the end of the grace period."""
        fn, slot, call, _, _ = step
        owner = self._machine._owner_of(slot)  # pyright: ignore[reportPrivateUsage]
        self._add(Task(OWN, call.label, lambda: fn(owner, event), call.timeout))

    def spawn(self, event: Event[Any], fn: Callable[..., Coroutine[Any, Any, object]], args: tuple[Any, ...]) -> None:
        """Start one more task of the state of a handler."""
        machine = self._machine
        name = getattr(fn, "__qualname__", repr(fn))
        if self._starter is None:
            raise MachineClosed(f"{name}: machine {machine.id} is not open: spawn inside `async with`", machine=machine.id)
        state = event.call.subject
        if event.call.phase not in (Phase.STATE, Phase.TASK) or state < 0:
            raise WaitError(f"{name}: spawn belongs to state and task handlers, not to {event.name}", machine=machine.id)
        if not self.is_of_present(event, state):
            raise WaitError(f"{name}: the activation that {event.name} belongs to is over", machine=machine.id)
        self._add(Task(state, name, lambda: fn(*args), None))

    def is_of_present(self, event: Event[Any], state: int) -> bool:
        """Whether the activation that an event belongs to still lasts."""
        machine = self._machine
        if not machine._node.active >> state & 1:  # pyright: ignore[reportPrivateUsage]
            return False
        if machine.schema.multi >> state & 1:
            return True
        t = event.transition
        return machine._tick(state) == t.time_before[state] + (1 if t.plan.enters >> state & 1 else 0)  # pyright: ignore[reportPrivateUsage]

    def _add(self, task: Task) -> None:
        self._tasks.setdefault(task.state, []).append(task)
        if task.state != OWN:
            self._bind(task.state)
        if self._starter is not None:
            self._launch(task.state)

    def _launch(self, state: int) -> None:
        """Start the waiting tasks of a state, in order, as far as its limit allows."""
        limit = None if state == OWN else self._machine.schema.limits[state]
        starter = self._starter
        if starter is None:
            return
        for task in tuple(self._tasks.get(state, ())):
            if limit is not None and self._live.get(state, 0) >= limit:
                break
            if task.handle is None:
                self._live[state] = self._live.get(state, 0) + 1
                starter.start(task, self._run)

    async def _run(self, task: Task) -> None:
        """The life of one task."""
        machine = self._machine
        hooks = machine._hooks  # pyright: ignore[reportPrivateUsage]
        state = None if task.state == OWN else machine.schema.names[task.state]
        error: BaseException | None = None
        task.begun = True
        if hooks is not None:
            hooks.task_started(machine, task.name, state)
        try:
            if task.state == OWN:
                ending.set(machine)
            if task.cancelled:
                return
            if task.timeout is None:
                await task.fn()
            else:
                with anyio.move_on_after(task.timeout) as scope:
                    await task.fn()
                if scope.cancelled_caught:
                    error = TaskTimeout(machine=machine.id, task=task.name, timeout=task.timeout)
        except Exception as raised:
            error = raised
        except BaseException as raised:
            # Its own cancellation ends here. What it was not asked to end with goes up.
            if not (task.cancelled and isinstance(raised, anyio.get_cancelled_exc_class())):
                error = raised
                raise
            if isinstance(task.handle, anyio.CancelScope):
                raise
        finally:
            self._ended(task)
            if hooks is not None:
                hooks.task_ended(machine, task.name, state, error)
            if isinstance(error, Exception):
                self._failed(task, error)

    def _failed(self, task: Task, error: Exception) -> None:
        if self._machine._limits.raise_errors and self.error is None:  # pyright: ignore[reportPrivateUsage]
            self.error = error
        self._machine._task_failed(task.name, error)  # pyright: ignore[reportPrivateUsage]

    def _ended(self, task: Task) -> None:
        tasks = self._tasks.get(task.state, [])
        if task in tasks:
            tasks.remove(task)
        self._live[task.state] = self._live.get(task.state, 1) - 1
        if tasks:
            self._launch(task.state)
        else:
            self._unbind(task.state)
        if self._idle is not None:
            self._idle.set()

    def _cancel(self, tasks: list[Task]) -> None:
        for task in tuple(tasks):
            if task.handle is None:  # still waiting for its turn
                tasks.remove(task)
            task.cancel()

    # -- what a commit ends

    def ticked(self, moved: int, ended: int) -> None:
        """End the scopes of the states that ticked, and the tasks of those that are over."""
        bound = self.bound
        for state in bits(moved & bound):
            for scope in tuple(self._scopes.get(state, ())):
                scope.cancel()
        for state in bits(ended & bound):
            tasks = self._tasks.get(state)
            if tasks:
                # The next activation has its own list, and its own count of live ones.
                self._cancel(tasks)

    def scope(self, state: int) -> Scope:
        """A scope for the present tick of a state."""
        return Scope(self, state)

    def enter(self, scope: Scope, state: int) -> None:
        """List a scope as live."""
        if self._starter is None:
            machine = self._machine
            if machine.is_closed:
                raise MachineClosed(machine=machine.id)
            raise WaitError(f"machine {machine.id} is not open: use scopes inside `async with`", machine=machine.id)
        if self._machine.is_closing:
            raise MachineClosed(machine=self._machine.id)
        self._scopes.setdefault(state, []).append(scope)
        self._bind(state)

    def leave(self, scope: Scope, state: int) -> None:
        """Forget a scope."""
        self._scopes[state].remove(scope)
        self._unbind(state)

    def _bind(self, state: int) -> None:
        self.bound |= 1 << state
        self._machine._attend()  # pyright: ignore[reportPrivateUsage]

    def _unbind(self, state: int) -> None:
        if state != OWN and not self._tasks.get(state) and not self._scopes.get(state):
            self.bound &= ~(1 << state)
            self._machine._attend()  # pyright: ignore[reportPrivateUsage]


def error_of_task(name: str, error: BaseException) -> ErrorInfo:
    """What `Exception` is entered with for a failed task."""
    from traceback import format_exception

    return ErrorInfo(error, "".join(format_exception(error)), name, None)
