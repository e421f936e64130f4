"""Background work: tasks and scopes bound to states, and the life of a machine in an event loop. SEMANTICS section 7.

Imported when first needed. While the machine is open, everything here but `wake` runs in the thread of its loop;
before, whoever drains the machine puts tasks down, and opening starts them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self, cast

import anyio

from amachine._bits import bits
from amachine.declare import Phase
from amachine.errors import MachineClosed, WaitError
from amachine.handed import Life
from amachine.work import OWN, Bound, Deadline, Task, keep, working

if TYPE_CHECKING:
    from types import TracebackType

    from amachine.event import Event
    from amachine.loops import Loop, Starter
    from amachine.machine import Machine
    from amachine.transition import Step, Transition

# Machine and Runtime are one thing in two files: what is private there is not private here.
# pyright: reportPrivateUsage=false


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

    def unopened(self) -> tuple[str, ...]:
        """The names of the tasks that wait for the machine to be opened."""
        if self._starter is not None:
            return ()
        return tuple(task.name for bound in tuple(self._of.values()) for task in tuple(bound.waiting))

    def leave_body(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """The body of `async with` is over. True where `error` is only that `stop` ended it."""
        return bool(self._body.__exit__(kind, error, trace))

    async def close(self, grace: float) -> None:
        """Cancel tasks and scopes, then wait for End handlers, at most `grace` seconds."""
        self._note_deadlines()
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
        late = [task.name for bound in kept for task in (*bound.running, *bound.clocks)]
        if late and complaint:
            self.machine._log("machine %s: %s: %s", self.machine.id, complaint, ", ".join(late))
        while any(bound.running or bound.clocks for bound in kept):
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
        """The event loop ended, and its tasks with it. When timers are due is kept, to be exported."""
        self._starter = self._loop = None
        for bound in self._of.values():
            bound.forget()
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
            task = Task(self, call.state, call.label, work, event.transition, call.timeout)
            if call.timer is None:
                self._take(task)
            else:
                self._set(task, step, event)

    def _set(self, task: Task, step: Step, event: Event[Any]) -> None:
        """Set a timer: from now, or, restored, to what is left of it."""
        timer, bound = step[2].timer, self._bound(task.state)
        name = self.machine._program_.timer_name(step)
        deadline = bound.deadlines.setdefault(name, Deadline())
        if timer is not None and not deadline.fired:
            task.is_timer = True
            task.fn = partial(keep, task, timer, deadline, event, task.fn)
            self._take(task)

    def remember(self, deadlines: Iterable[tuple[int, str, float | None]]) -> None:
        """Take over timers of an export, before the tasks of their states are put down. Without a time: it has fired."""
        for state, name, due in deadlines:
            self._bound(state).deadlines[name] = Deadline(due, fired=due is None)
            self._bind(state)

    def deadlines(self) -> Iterator[tuple[int, str, float | None]]:
        """The timers of the present ticks: state, name, and when they are due, in seconds since the epoch; None: fired."""
        now = self._loop.now() if self._loop is not None and self._loop.is_here() else None
        for state, bound in sorted(self._of.items()):
            for name, deadline in bound.deadlines.items():
                due = deadline.on_wall(now)
                if deadline.fired or due is not None:
                    yield state, name, None if deadline.fired else due

    def _note_deadlines(self) -> None:
        """Keep by the clock on the wall what is to be known when the event loop is left."""
        if self._loop is not None:
            now = self._loop.now()
            for bound in self._of.values():
                for deadline in bound.deadlines.values():
                    deadline.due, deadline.at = deadline.on_wall(now), None

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
        if task.is_timer:
            bound.clocks[task] = None
        else:
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
        if (waiting or bound.clocks) and loop is not None and loop.is_over():
            self.machine._loop_is_gone()
            return
        for task in bound.clocks:
            if starter is not None and not task.begun:
                task.begun = True
                starter.start(task)
        while waiting and starter is not None and (bound.limit is None or len(running) < bound.limit):
            task = waiting.popleft()
            running[task] = None
            task.begun = True
            starter.start(task)

    def limits_changed(self) -> None:
        """The machine has another schema: more tasks of a state may run, or fewer begin."""
        for state, bound in self._of.items():
            if state != OWN:
                bound.limit = self.machine.schema.limits[state]
                self._fill(bound)

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
            bound.clocks.pop(task, None)
            if bound.waiting:
                self._fill(bound)
        if self._idle is not None:
            self._idle.set()

    # -- what a commit ends

    def ticked(self, moved: int, ended: int) -> None:
        """End the scopes of the states that ticked, and the tasks of those that are over."""
        for state in bits(moved & self.bound):
            bound = self._of[state]
            if bound.deadlines:
                bound.deadlines.clear()
                self._cancel(bound.clocks)
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
        self._cancel(bound.clocks)
        self._cancel(bound.running)

    def _cancel(self, tasks: dict[Task, None]) -> None:
        starter = self._starter
        for task in tuple(tasks):
            if not task.begun:
                task.over = True
                del tasks[task]
            elif not task.over and starter is not None:
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
