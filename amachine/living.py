"""The life of a machine: opening, errors from outside of handlers, and closing. SEMANTICS section 7."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from amachine import waiting
from amachine.binding import Binding
from amachine.conduct import formatted
from amachine.errors import MachineClosed, WaitError
from amachine.handed import Life
from amachine.mutation import ErrorInfo, Kind, Result, Status
from amachine.queue import Evaluation
from amachine.subscriptions import Wait
from amachine.waiting import AnyState  # noqa: TC001  # the room is imported anyway

if TYPE_CHECKING:
    from types import TracebackType
    from weakref import ref

    from amachine.event import Event
    from amachine.machine import Machine
    from amachine.runtime import Runtime, Scope


class Living(Binding):
    """A machine that is opened and closed."""

    __slots__ = ("_children_", "_parent_")

    _children_: tuple[ref[Machine], ...]
    _parent_: Machine | None
    _pipe_: bool = False  # stored only where it is another

    _native_tasks: ClassVar[bool] = True
    """Whether tasks on asyncio are the loop's own, and not anyio's; for measuring the difference."""

    @property
    def parent(self) -> Machine | None:
        """The machine that closes this one with itself."""
        return self._parent_

    @property
    def children(self) -> tuple[Machine, ...]:
        """The machines that close with this one. It does not keep them alive."""
        return tuple(child for each in self._children_ if (child := each()) is not None)

    @property
    def is_open(self) -> bool:
        """Whether it lives in an event loop now."""
        return self._life_ == Life.OPEN

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed, or has been."""
        return self._life_ >= Life.CLOSING

    @property
    def is_closed(self) -> bool:
        """Whether it is closed. It still answers questions, from its last state."""
        return self._life_ == Life.CLOSED

    def scope(self, state: AnyState) -> Scope:
        """`async with machine.scope(S.Ready): …` leaves quietly when the state's tick moves, also if it is inactive now.

        Entering it raises `WaitError` on a machine that is not open, and `MachineClosed` on one that closes.
        """
        return self._the_tasks().scope(self._index(state))

    async def __aenter__(self) -> Self:
        from anyio import CancelScope

        from amachine.loops import here

        if self._owner_ == get_ident():
            raise WaitError(
                f"machine {self._id_} cannot be opened from one of its handlers", machine=self._id_
            )
        loop, home, runtime = here(), get_ident(), self._the_tasks()

        def move_in() -> None:
            if self._life_ != Life.FREE:
                says = "is open already" if self.is_open else "is closed: make another"
                raise MachineClosed(f"machine {self._id_} {says}", machine=self._id_)
            runtime.live_in(loop)
            self._home_ = home
            self._life_ = Life.OPEN

        if self._take_turn():
            try:
                move_in()
            finally:
                self._turn_[:] = (None,)
        else:
            # A thread that is draining gets as far as this, and leaves the rest to the loop.
            with CancelScope(shield=True):
                try:
                    await self.eval(move_in)
                except MachineClosed:
                    raise
                except BaseException:
                    self.eval(self._loop_is_gone)
                    raise
        await runtime.open(loop, native=self._native_tasks)
        if self._queue_ or self._inbox_:  # such as what was pending when the machine was exported
            self._the_inbox().append(Evaluation(lambda: None, Wait.make("opening")))
            runtime.wake()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:  # `bool` alone tells checkers that no `return` in the body is sure
        from amachine.work import working

        task = working.get()
        inside: Machine | None = task.machine if task is not None else None
        while inside is not None:
            if inside is self:
                raise WaitError(
                    f"machine {self._id_} cannot be closed from its own task: it would wait for itself",
                    machine=self._id_,
                )
            inside = inside._parent_
        runtime = self._the_tasks()
        quiet = runtime.leave_body(kind, error, trace)
        try:
            await self._shut()
        finally:
            await runtime.leave_loop()
        if error is None or quiet:
            runtime.raise_error()
        return quiet

    async def _shut(self) -> None:
        """Close, in the order of SEMANTICS section 7. Cancelled or failing in between, it goes on with what comes next."""
        from contextlib import AsyncExitStack

        from anyio import CancelScope

        with CancelScope(shield=True):
            if self._life_ >= Life.CLOSING:  # the parent is at it
                await self.when_closed()
                return
            async with AsyncExitStack() as last_first:
                last_first.callback(self._finish_closing)
                last_first.push_async_callback(self._the_tasks().close, self._limits_.grace)
                last_first.push_async_callback(self._shut_children)
                last_first.callback(self._begin_closing)
                last_first.callback(self._dispose)

    async def _shut_children(self) -> None:
        from contextlib import AsyncExitStack

        async with AsyncExitStack() as stack:
            for child in self.children:
                stack.push_async_callback(
                    child._shut if child._home_ == get_ident() else child._shut_elsewhere
                )

    async def _shut_elsewhere(self) -> None:
        """Close, for a parent in another event loop: have the body of `async with` left, and wait for that."""
        from anyio import move_on_after

        if self._life_ < Life.OPEN or self._the_tasks().is_over():
            self.close()
            return
        self._the_tasks().dismiss()
        with move_on_after(self._limits_.grace) as late:
            await self.when_closed()
        if late.cancelled_caught:
            self._log("machine %s does not close with its parent: its event loop is busy", self._id_)

    def close(self) -> None:
        """Close a machine that has no background work: at once, or, while a transition runs, right after what it queued.

        Again: nothing. Errors: `WaitError` where the machine, or a child, lives in an event loop.
        """
        for machine in self._family():
            if machine._life_ == Life.OPEN:
                if machine._the_tasks().is_over():
                    machine._loop_is_gone()
                else:
                    raise WaitError(
                        f"machine {machine._id_} lives in an event loop: leave its `async with` instead",
                        machine=machine._id_,
                    )
        if self._life_ >= Life.CLOSING:
            return
        try:
            self._dispose()
        finally:
            self._begin_closing()
            try:
                self._close_children()
            finally:
                self._finish_in_turn()

    def _close_children(self) -> None:
        if self._children_:
            from contextlib import ExitStack

            with ExitStack() as last_first:
                for child in self.children:
                    last_first.callback(child.close)

    def _family(self) -> list[Living]:
        """This machine, its children, and theirs."""
        return [self, *(each for child in self.children for each in child._family())]

    def _dispose(self) -> None:
        schema = self._program_.schema
        disposed = schema.index.get("Disposed")
        if "Disposing" in schema.index and (disposed is None or not self._node_.active >> disposed & 1):
            result = self._submit(Kind.ADD, 1 << schema.index["Disposing"])
            if result.canceled:
                self._log("machine %s closes although Disposing was refused: %s", self._id_, result.why)

    def _begin_closing(self) -> None:
        with waiting.making:  # of two threads that close it, the slower one finds it closed, and leaves it so
            if self._life_ < Life.CLOSING:  # noqa: PLR1730  # nothing is called below it
                self._life_ = Life.CLOSING

    def _finish_in_turn(self) -> None:
        """Finish closing between two mutations: at once where nothing runs or is queued, as with most machines."""
        if self._queue_ or self._inbox_ or not self._take_turn():
            self.eval(self._finish_closing)
            return
        try:
            self._owner_ = get_ident()
            self._finish_closing()
            self._abandon()
        finally:
            self._owner_ = 0
            self._turn_[:] = (None,)
            self._drain_inbox()

    def _finish_closing(self) -> None:
        self._life_ = Life.CLOSED
        self._home_ = None
        if self._owner_ != get_ident():  # else this thread has the turn, and goes on to answer what is queued
            # Whoever has it, now or next, finds this and does so: a thread may still be on its way in.
            self._the_inbox().append(Evaluation(lambda: None, Wait.make("closing")))
            self._drain_inbox()
        with waiting.making:  # waits that are first made from now on are closed from the beginning
            waits = self._waits_
        if waits is not None:
            waits.close(self._closed_error())
        for tracer in self._tracers_:
            self.detach(tracer)

    def _abandon(self) -> None:
        """Answer what was queued, or is queued too late: nothing of it will run."""
        if self._inbox_:
            self._take_over()
        queue = self._queue_
        if queue is None:
            return
        closed = self._closed_error()
        while queue:
            entry = queue.pop()
            if isinstance(entry, Evaluation):
                entry.wait.fail(closed)
            else:
                self._refuse(entry, str(closed), closed)
        queue.tell_idlers()

    # -- errors from outside of handlers, and what the engine asks of the outside

    def add_error(self, error: BaseException | None, state: AnyState | None = None) -> Result:
        """Report an error: add `Exception`, and `state` with it. None and a cancellation are ignored: *canceled*."""
        if error is None or _is_cancellation(error):
            return Result(Status.CANCELED, "a cancellation is no error" if error else "there is no error")
        called = self._program_.schema.exception | (0 if state is None else 1 << self._index(state))
        # Without the present record: reported from a handler of Exception, each would keep the one before, for ever.
        info = ErrorInfo(error, formatted(error))
        if self._life_ == Life.CLOSED:
            self._report(info)
        else:
            self._error_ = error
            self._announce(info)
        return self._submit(Kind.ADD, called, info)

    def _the_tasks(self) -> Runtime:
        tasks = self._tasks_
        if tasks is None:
            from amachine.runtime import Runtime

            fresh = Runtime(cast("Machine", self))
            with waiting.making:  # a thread that drains, and one that opens the machine, must not have two
                tasks = self._tasks_
                if tasks is None:
                    tasks = self._tasks_ = fresh
        return cast("Runtime", tasks)

    def _unopened(self) -> tuple[str, ...]:
        """The names of the tasks that wait for `async with`."""
        tasks = self._tasks_
        return cast("Runtime", tasks).unopened() if tasks is not None and not self.is_closing else ()

    def _spawn(self, event: Event[Any], fn: Any, args: tuple[Any, ...]) -> None:
        self._the_tasks().spawn(event, fn, args)

    def _may_end(self) -> bool:
        if self._tasks_ is None or self._life_ == Life.CLOSED:
            return False
        from amachine.work import OWN, working

        task = working.get()
        return task is not None and task.runtime is self._tasks_ and task.state == OWN

    def _loop_is_gone(self) -> None:
        """The event loop ended without leaving `async with`: go on without it."""
        if self._life_ == Life.OPEN:
            self._home_ = None
            self._life_ = Life.FREE
            self._the_tasks().forget()
        elif self._life_ == Life.CLOSING:
            self._finish_closing()
        self._drain_inbox()

    def _task_failed(self, name: str, error: Exception) -> None:
        self._raise_front(ErrorInfo(error, formatted(error), name, None))

    def _callback_failed(self, label: str, error: Exception) -> None:
        self._raise_front(ErrorInfo(error, formatted(error), f"callback of {label}", self._running_))

    def _raise_front(self, info: ErrorInfo) -> None:
        """Add `Exception` at the front, from wherever this is."""
        if self._life_ == Life.CLOSED:
            self._report(info)
        elif self._owner_ == get_ident():
            self._tell_error(info, self._running_)
        else:
            # Made here, for it knows by the context what caused it.
            mutation = self._mutation(Kind.ADD, self._program_.schema.exception, info)
            turn: Wait[None] = Wait.make(f"an error of {self._id_}")
            turn.add_parker(
                lambda: self._report(info) if turn.error is not None else None
            )  # closed before it came
            self._the_inbox().append(Evaluation(lambda: self._push_error(info, mutation), turn))
            self._knock()

    def _announce(self, info: ErrorInfo) -> None:
        super()._announce(info)
        if self._pipe_ and self._parent_ is not None:
            self._parent_.add_error(info.error)


def _is_cancellation(error: BaseException) -> bool:
    """Whether this says that somebody gave up, in whichever event loop: asked of the loops that are loaded."""
    import sys

    kinds = (
        getattr(sys.modules.get("asyncio"), "CancelledError", None),
        getattr(sys.modules.get("trio"), "Cancelled", None),
    )
    return any(kind is not None and isinstance(error, kind) for kind in kinds)
