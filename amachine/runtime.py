"""Background work: tasks and scopes bound to states, and the life of a machine in an event loop. SEMANTICS section 7.

Imported when first needed. While the machine is open, everything here but `wake` runs in the thread of its loop;
before, whoever drains the machine puts tasks down, and opening starts them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from contextvars import ContextVar
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self, cast

import anyio

from amachine._bits import bits
from amachine.conduct import current
from amachine.declare import Phase
from amachine.errors import MachineClosed, TaskTimeout, WaitError
from amachine.handed import Life

if TYPE_CHECKING:
    from types import TracebackType

    from amachine.event import Event
    from amachine.loops import Loop, Starter
    from amachine.machine import Machine
    from amachine.transition import Step, Transition

# Machine and Runtime are one thing in two files: what is private there is not private here.
# pyright: reportPrivateUsage=false

OWN = -1
"""The state of the tasks that belong to the machine itself: its End handlers."""


class Task:
    """One piece of background work, from its request to its end."""

    __slots__ = ("_cancelled", "cause", "fn", "handle", "name", "over", "runtime", "state", "timeout")

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
        self.handle: Any = None
        self.over: bool = False
        """Whether it was told to end."""
        self._cancelled: BaseException | None = None

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


working: ContextVar[Task | None] = ContextVar("amachine_working", default=None)
"""The task that runs here, or that started what runs here."""


class Scope:
    """`async with machine.scope(state):` is left quietly when the state's tick moves."""

    def __init__(self, runtime: Runtime, state: int) -> None:
        self._runtime = runtime
        self._state = state
        self._cancel: anyio.CancelScope | None = None

    async def __aenter__(self) -> Self:
        if self._cancel is not None:
            raise WaitError("a scope is entered once: make another")
        self._runtime.enter(self, self._state)
        self._cancel = anyio.CancelScope()
        self._cancel.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._runtime.leave(self, self._state)
        return None if self._cancel is None else self._cancel.__exit__(kind, error, trace)

    @property
    def over(self) -> bool:
        """Whether the state's tick has moved, or the machine has closed."""
        return self._cancel is not None and self._cancel.cancel_called

    def cancel(self) -> None:
        """Leave at the next await."""
        if self._cancel is not None:
            self._cancel.cancel()


class Bound:
    """What is bound to one state: the tasks that run, those that wait for their turn, and the scopes."""

    __slots__ = ("limit", "running", "scopes", "waiting")

    def __init__(self, limit: int | None) -> None:
        self.limit: int | None = limit
        self.running: dict[Task, None] = {}
        self.waiting: deque[Task] = deque()
        self.scopes: dict[Scope, None] = {}

    def __bool__(self) -> bool:
        return bool(self.running or self.waiting or self.scopes)


class Runtime:
    """The background work of one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.bound: int = 0
        """Mask of the states that something may be bound to. A state stays in it until it ends with nothing bound."""
        self._of: dict[int, Bound] = {}
        self._loop: Loop | None = None
        self._starter: Starter | None = None
        self._body: anyio.CancelScope
        self._called = False
        self._idle: anyio.Event | None = None
        self._error: Exception | None = None
        self._stops: list[BaseException] = []

    # -- life

    def live_in(self, loop: Loop) -> None:
        """From now on the machine is to be found in this event loop. Tasks wait until `open`."""
        self._loop = loop

    async def open(self, loop: Loop, *, native: bool) -> None:
        """Begin to run tasks, with those of the states that were entered before. Never suspends."""
        starter = loop.starter(native=native)
        await starter.__aenter__()
        self._body = anyio.CancelScope()
        self._body.__enter__()
        self._starter = starter
        for bound in tuple(self._of.values()):
            self._fill(bound)

    def leave_body(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """The body of `async with` is over. True where `error` is only that `stop` ended it."""
        return bool(self._body.__exit__(kind, error, trace))

    async def close(self, grace: float) -> None:
        """Cancel tasks and scopes, then wait for End handlers, at most `grace` seconds."""
        states = [bound for state, bound in self._of.items() if state != OWN]
        for bound in states:
            self._end(bound)
        with anyio.move_on_after(grace):
            await self._until_over(states)
        await self._until_over(states, "tasks do not end although they were cancelled")
        own = self._bound(OWN)
        with anyio.move_on_after(grace):
            await self._until_over([own])
        if own:
            self._end(own)
            await self._until_over([own], f"End handlers cancelled after {grace:g} s")

    async def _until_over(self, kept: list[Bound], complaint: str = "") -> None:
        late = [task.name for bound in kept for task in bound.running]
        if late and complaint:
            self.machine._log("machine %s: %s: %s", self.machine.id, complaint, ", ".join(late))
        while any(bound.running for bound in kept):
            self._idle = anyio.Event()
            await self._idle.wait()

    async def leave_loop(self) -> None:
        """Forget the event loop. Raises what none of its tasks could keep, and what `raise_errors` asks for."""
        starter, self._starter, self._loop = self._starter, None, None
        if starter is not None:
            await starter.__aexit__(None, None, None)
        stops, self._stops = self._stops, []
        if len(stops) == 1:
            raise stops[0]
        if stops:
            raise BaseExceptionGroup(f"tasks of machine {self.machine.id}", stops)

    def raise_error(self) -> None:
        """With `raise_errors`: raise the first error of a task."""
        if self._error is not None:
            raise self._error

    def is_over(self) -> bool:
        """Whether the event loop ended, and the machine was not told."""
        return self._loop is not None and self._loop.is_over()

    def forget(self) -> None:
        """The event loop ended, and its tasks with it."""
        self._starter = self._loop = None
        self._of.clear()
        self.bound = 0
        self._called = False

    def dismiss(self) -> None:
        """Have the body of `async with` left, quietly. From any thread."""
        if self._loop is not None:
            self._loop.soon(self._body.cancel)

    def stop(self, error: BaseException) -> None:
        """Something came up that no machine may keep: end the body of `async with`, which then raises it."""
        if self._starter is None:
            raise error
        self._stops.append(error)
        self._body.cancel()

    # -- other threads

    def wake(self) -> None:
        """Have the loop's thread empty the inbox of the other threads; from any of them."""
        loop = self._loop
        # Once is enough: the call to come clears the mark before it looks into the inbox.
        if loop is not None and self._called and not loop.is_over():
            return
        self._called = True
        if loop is None or not loop.soon(self._visit):
            self.machine._loop_is_gone()

    def _visit(self) -> None:
        self._called = False
        try:
            self.machine._drain_inbox()
        except BaseException as error:  # noqa: BLE001  # a loop has no caller to raise it to
            self.stop(error)

    # -- tasks

    def start(self, step: Step, event: Event[Any]) -> None:
        """Start a `task` handler, bound to the present activation of its state."""
        fn, slot, call, _, _ = step
        if self.machine._life_ < Life.CLOSING:
            work = partial(fn, self.machine._owner_of(slot), event)
            self._take(Task(self, call.state, call.label, work, event.transition, call.timeout))

    def start_end(self, step: Step, event: Event[Any]) -> None:
        """Start an asynchronous End handler: nothing cancels it but the end of the grace period."""
        fn, slot, call, _, _ = step
        work = partial(fn, self.machine._owner_of(slot), event)
        self._take(Task(self, OWN, call.label, work, event.transition, call.timeout))

    def spawn(
        self, event: Event[Any], fn: Callable[..., Coroutine[Any, Any, object]], args: tuple[Any, ...]
    ) -> None:
        """Start one more task of the state of a handler."""
        machine = self.machine
        name = getattr(fn, "__qualname__", repr(fn))
        self._must_be_open(f"{name} cannot be spawned")
        state = event.call.subject
        if event.call.phase not in (Phase.STATE, Phase.TASK) or state < 0:
            wrong = f"{name}: spawn belongs to state and task handlers, not to {event.name}"
            raise WaitError(wrong, machine=machine.id)
        if not self._is_present(event.transition, state):
            raise WaitError(
                f"{name}: the activation that {event.name} belongs to is over", machine=machine.id
            )
        self._take(Task(self, state, name, partial(fn, *args), event.transition))

    def _is_present(self, t: Transition, state: int) -> bool:
        """Whether the activation of a state that a transition began still lasts."""
        machine, bit = self.machine, 1 << state
        task = working.get()
        if task is not None and task.runtime is self and task.state == state and task.cause is t:
            return not task.over
        if not machine._node_.active & bit:
            return False
        # Of a multi state the tick tells re-entries, not activations.
        return bool(machine.schema.multi & bit) or machine._tick(state) == t.time_before[state] + 1

    def _take(self, task: Task) -> None:
        bound = self._bound(task.state)
        bound.waiting.append(task)
        if task.state != OWN:
            self._bind(task.state)
        if self._starter is not None:
            self._fill(bound)

    def _bound(self, state: int) -> Bound:
        bound = self._of.get(state)
        if bound is None:
            bound = self._of[state] = Bound(None if state == OWN else self.machine.schema.limits[state])
        return bound

    def _fill(self, bound: Bound) -> None:
        """Start waiting tasks, in order, as far as the state's limit allows."""
        waiting, running = bound.waiting, bound.running
        starter, loop = self._starter, self._loop
        if waiting and loop is not None and loop.is_over():
            self.machine._loop_is_gone()
            return
        while waiting and starter is not None and (bound.limit is None or len(running) < bound.limit):
            task = waiting.popleft()
            running[task] = None
            starter.start(task)

    def failed(self, task: Task, error: BaseException) -> None:
        """Take the error of a task to the machine; a cancellation is none."""
        cancelled = anyio.get_cancelled_exc_class()
        left: BaseException | None = error
        if isinstance(error, BaseExceptionGroup):
            left = cast("BaseExceptionGroup[BaseException]", error).split(cancelled)[1]
        elif isinstance(error, cancelled):
            left = None
        if left is None:
            return
        if not isinstance(left, Exception):
            self.stop(left)
            return
        if self._error is None and self.machine._limits_.raise_errors:
            self._error = left
        try:
            self.machine._task_failed(task.name, left)
        except BaseException as stop:  # noqa: BLE001  # of a handler of `Exception`
            self.stop(stop)

    def ended(self, task: Task) -> None:
        """A task is over, however that came."""
        bound = self._of.get(task.state)
        if bound is not None:
            bound.running.pop(task, None)
            if bound.waiting:
                self._fill(bound)
        if self._idle is not None:
            self._idle.set()

    # -- what a commit ends

    def ticked(self, moved: int, ended: int) -> None:
        """End the scopes of the states that ticked, and the tasks of those that are over."""
        for state in bits(moved & self.bound):
            bound = self._of[state]
            if ended >> state & 1:
                if not bound:
                    self.bound &= ~(1 << state)
                    self.machine._attend()
                    continue
                self._end(bound)
            for scope in tuple(bound.scopes):
                scope.cancel()

    def _end(self, bound: Bound) -> None:
        bound.waiting.clear()
        for scope in tuple(bound.scopes):
            scope.cancel()
        starter = self._starter
        for task in tuple(bound.running):
            if not task.over and starter is not None:
                task.over = True
                starter.cancel(task)

    # -- scopes

    def scope(self, state: int) -> Scope:
        """A scope for the present tick of a state."""
        return Scope(self, state)

    def enter(self, scope: Scope, state: int) -> None:
        """List a scope as live."""
        self._must_be_open(f"the scope of {self.machine.schema.names[state]} cannot be entered")
        self._bound(state).scopes[scope] = None
        self._bind(state)

    def leave(self, scope: Scope, state: int) -> None:
        """Forget a scope."""
        bound = self._of.get(state)
        if bound is not None:
            bound.scopes.pop(scope, None)

    def _must_be_open(self, what: str) -> None:
        machine, name = self.machine, self.machine.id
        if machine.is_closing:
            age = "closed" if machine.is_closed else "closing"
            raise MachineClosed(f"{what}: machine {name} is {age}", machine=name)
        if not machine.is_open:
            raise WaitError(f"{what}: machine {name} is not open: do it inside `async with`", machine=name)
        if machine._home_ != get_ident():
            raise WaitError(
                f"{what} from another thread than that of machine {name}'s event loop", machine=name
            )

    def _bind(self, state: int) -> None:
        if not self.bound >> state & 1:
            self.bound |= 1 << state
            self.machine._attend()
