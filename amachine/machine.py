"""The public machine: the engine, with class-level states, handlers, a lock, a clock, logging and a runtime tied on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from threading import Lock, get_ident
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Never, NoReturn, Protocol, Self, TypedDict, TypeVar, Unpack, overload
from weakref import WeakSet, ref

from amachine import inspection, relations
from amachine._bits import bits, odd_lanes, tick_at
from amachine.arguments import from_data
from amachine.bound import BoundState
from amachine.clock import Clock, Time
from amachine.declare import Group, P, State, States, any_enter, any_state, reserve
from amachine.conduct import Life, Limits, current
from amachine.errors import ArgsError, MachineClosed, UnknownState, WaitError
from amachine.handlers import suite_of, suite_of_mapping
from amachine.mutation import Check, ErrorInfo, Kind, Mutation, Result, Status
from amachine.queue import Evaluation
from amachine.schema import Schema
from amachine.subscriptions import Wait
from amachine.tracers.base import Hooks, Tracer
from amachine.transition import Program, Transition, program_of
from amachine.waiting import AnyState, Waiting, making

if TYPE_CHECKING:
    from amachine.event import Event
    from amachine.runtime import Runtime, Scope

T = TypeVar("T")
_ids = count(1)
_DEBUG = os.environ.get("AMACHINE_DEBUG") == "1"
_LIMITS = Limits(handler=float("inf") if _DEBUG else 0.1)
"""What a machine allows when it is not told."""


class Bare(Protocol):
    """A state that can be entered without arguments."""

    def build(self) -> object:
        """Make its arguments of nothing."""


class Options(TypedDict, total=False):
    """What a machine can be told when it is made; all of it is optional, and given by keyword."""

    handlers: Iterable[object]
    """Objects, or mappings of names to functions, whose handlers are bound after the class's own."""
    tracers: Iterable[Tracer]
    parent: Machine | None
    """Closes this machine with itself, and hands down the tracers that are inheritable."""
    pipe_errors: bool
    """Add every error of this machine to its parent, too."""
    tags: Iterable[str]
    """Free text, `key:value` by convention."""
    queue_limit: int | None
    """How many mutations may wait: 1,000 by default; None: any number."""
    depth_limit: int
    """How long a chain of handlers that mutate may grow: 1,000 by default."""
    handler_timeout: float | None
    """Seconds that a sync handler may take before `HandlerTimeout` is reported: 0.1 by default.
    None, or `AMACHINE_DEBUG=1` in the environment: any time."""
    grace: float
    """Seconds that asynchronous End handlers get when the machine closes: 5 by default."""
    raise_errors: bool
    """Raise a mutation's first error to its caller, too; and that of a task out of `async with`. For tests."""


class SchemaOfMachine:
    """The schema that a machine runs.

    Not a property: type checkers must find a schema on the class, too, where at run time the metaclass has it.
    """

    def __get__(self, machine: Machine | None, owner: type[Machine]) -> Schema:
        return owner.schema if machine is None else machine._program.schema

    def __set__(self, machine: Machine, value: Never) -> NoReturn:
        raise AttributeError(f"machine {machine.id} keeps its schema: make another machine, of another one")


class Machine(Waiting, States):
    """A machine of states. Subclass it and declare them, or make one of a schema with `Machine.of`.

    It needs no event loop, unless it has `task` handlers: those run inside `async with machine:`. Everything may be called
    from any thread. `Machine(id, **options)`: see `Options`. Errors: `BindingError` where a handler does not fit.
    """

    __slots__ = ("__dict__", "_bindings", "_children", "_parent", "_pipe", "_tags", "_tracers")

    any_enter = staticmethod(any_enter)
    any_state = staticmethod(any_state)

    _reserved: ClassVar[frozenset[str]] = frozenset()
    """Names that no state may have: the public ones of this class."""

    _native_tasks: ClassVar[bool] = True
    """Whether tasks on asyncio are the loop's own, and not anyio's; for measuring the difference."""

    def __init__(self, id: str | None = None, **options: Unpack[Options]) -> None:
        cls = type(self)
        program: Program | None = cls.__dict__.get("_program_of_class")
        if program is None:
            schema = cls.schema
            program = program_of(schema, (suite_of(cls, schema, own=True),))
            type.__setattr__(cls, "_program_of_class", program)
        self._make(program, id, **options)

    @classmethod
    def of(cls, schema: Schema | type[States] | Mapping[str, Any], id: str | None = None, **options: Unpack[Options]) -> Self:
        """Make a machine of a schema without behaviour: a `Schema`, a `States` class, or data for `Schema.parse`."""
        if isinstance(schema, Mapping):
            schema = Schema.parse(schema)
        elif not isinstance(schema, Schema):
            schema = schema.schema
        machine = cls.__new__(cls)
        machine._make(program_of(schema, (suite_of(cls, schema, own=True),)), id, **options)
        return machine

    def _make(
        self,
        program: Program,
        id: str | None,
        *,
        handlers: Iterable[object] = (),
        tracers: Iterable[Tracer] = (),
        parent: Machine | None = None,
        pipe_errors: bool = False,
        tags: Iterable[str] = (),
        queue_limit: int | None = 1000,
        depth_limit: int = 1000,
        handler_timeout: float | None = 0.1,
        grace: float = 5.0,
        raise_errors: bool = False,
    ) -> None:
        if raise_errors or handler_timeout != 0.1 or queue_limit != 1000 or depth_limit != 1000 or grace != 5.0:
            budget = float("inf") if _DEBUG or handler_timeout is None else handler_timeout
            limits = Limits(queue_limit, depth_limit, budget, raise_errors, grace)
        else:
            limits = _LIMITS
        name = id or f"{type(self).__name__}-{next(_ids)}"
        super().__init__(name, program, Lock(), limits, perf_counter, get_ident)
        self._bindings: tuple[object, ...] = ()
        self._tracers: tuple[Tracer, ...] = ()
        self._tags = tuple(tags)
        self._children: tuple[ref[Machine], ...] = ()
        self._farewells = []
        self._parent = parent
        self._pipe = pipe_errors
        _machines.add(self)
        for owner in handlers:
            self.bind(owner)
        if parent is not None:
            parent._children = (*(child for child in parent._children if child() is not None), ref(self))
            tracers = (*(tracer for tracer in parent._tracers if tracer.inheritable), *tracers)
        if everywhere:
            tracers = (*everywhere, *tracers)
        for tracer in tracers:
            self.attach(tracer)

    # -- who it is

    @property
    def id(self) -> str:
        """Its name: given, or made of the class's name and a counter."""
        return self._id

    schema = SchemaOfMachine()

    @property
    def tags(self) -> tuple[str, ...]:
        """Its labels."""
        return self._tags

    @property
    def parent(self) -> Machine | None:
        """The machine that closes this one with itself."""
        return self._parent

    @property
    def children(self) -> tuple[Machine, ...]:
        """The machines that close with this one. It does not keep them alive."""
        return tuple(child for each in self._children if (child := each()) is not None)

    # -- mutations

    @overload
    def add(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def add(self, *states: Bare | str) -> Result: ...
    @overload
    def add(self, *states: str, **args: object) -> Result: ...
    def add(self, *states: Any, **args: Any) -> Result:
        """Activate states: several that need no arguments, one with its own, or names with keywords that all of them see.

        Returns at once. Errors: `UnknownState`; `ArgsError` for arguments that do not fit.
        """
        called, given = self._read(states, args)
        return self._submit(Kind.ADD, called, given)

    @overload
    def remove(self, *states: State[..., Any]) -> Result: ...
    @overload
    def remove(self, *states: AnyState, **args: object) -> Result: ...
    def remove(self, *states: Any, **args: Any) -> Result:
        """Deactivate states. Keywords are seen by handlers as `event.mutation.args`."""
        return self._submit(Kind.REMOVE, self._mask(states), args or None)

    @overload
    def set(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def set(self, *states: Bare | str) -> Result: ...
    @overload
    def set(self, *states: str, **args: object) -> Result: ...
    def set(self, *states: Any, **args: Any) -> Result:
        """Make these the active states, with what they imply, and deactivate all others. Arguments as in `add`."""
        called, given = self._read(states, args)
        return self._submit(Kind.SET, called, given)

    @overload
    def toggle(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def toggle(self, *states: Bare | str) -> Result: ...
    @overload
    def toggle(self, *states: str, **args: object) -> Result: ...
    def toggle(self, *states: Any, **args: Any) -> Result:
        """Deactivate these states if all are active when the turn comes, else activate all. Arguments as in `add`."""
        called, given = self._read(states, args)
        return self._submit(Kind.TOGGLE, called, given)

    def add_error(self, error: BaseException | None, state: AnyState | None = None) -> Result:
        """Report an error: add `Exception`, and `state` with it. None and a cancellation are ignored: *canceled*."""
        if error is None or _is_cancellation(error):
            return Result(Status.CANCELED, "a cancellation is no error" if error else "there is no error")
        called = self._program.schema.exception | (0 if state is None else 1 << self._index(state))
        info = ErrorInfo(error, _formatted(error), None, current.get())
        self._error = error
        self._announce(info)
        return self._submit(Kind.ADD, called, info)

    def eval(self, fn: Callable[[], T]) -> Wait[T]:
        """Run `fn` between two mutations, so that it may touch what handlers touch. Yields what it returns, or its error."""
        wait: Wait[T] = self._wait(Wait.make(f"eval of {self._id}"), now=False)
        if self._life == Life.CLOSED:
            wait.fail(MachineClosed(machine=self._id))
        elif self._owner == get_ident():
            self._the_queue().append(Evaluation(fn, wait))
        else:
            self._inbox.append(Evaluation(fn, wait))
            self._knock()
        return wait

    # -- questions

    @overload
    def can_add(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Check: ...
    @overload
    def can_add(self, *states: Bare | str) -> Check: ...
    @overload
    def can_add(self, *states: str, **args: object) -> Check: ...
    def can_add(self, *states: Any, **args: Any) -> Check:
        """Whether `add` would go through at present. Relations and handlers are asked; nothing changes."""
        called, given = self._read(states, args)
        return self._check(Kind.ADD, called, given)

    def can_remove(self, *states: AnyState, **args: object) -> Check:
        """Whether `remove` would go through at present. Relations and handlers are asked; nothing changes."""
        return self._check(Kind.REMOVE, self._mask(states), args or None)

    def explain(self, mutation: Mutation | Kind | str, *states: AnyState) -> inspection.Explanation:
        """What relations make of a mutation at present: a queued or recorded one, or a kind and states.

        `print(flow.explain("add", flow.schema.names[0]))`. Every state that is left out has its reason.
        """
        if isinstance(mutation, Mutation):
            kind, called, auto = mutation.kind, mutation.called, mutation.auto
        else:
            kind, called, auto = Kind(mutation), self._mask(states), False
        active = self._node.active
        if kind is Kind.TOGGLE:
            kind = Kind.REMOVE if active & called == called else Kind.ADD
        at = self._program.situation(active)
        return inspection.Explanation(self._program.auto_plan(at, called) if auto else self._program.plan(at, kind, called))

    def what_can_i_add(self) -> tuple[str, ...]:
        """The states that relations would let in at present: inactive ones, and multi ones, each alone."""
        schema, active = self._program.schema, self._node.active
        asked = (i for i in range(schema.n) if not active >> i & 1 or schema.multi >> i & 1)
        return tuple(schema.names[i] for i in asked if relations.resolve(schema, active, Kind.ADD, 1 << i).accepted)

    def is_active(self, *states: AnyState) -> bool:
        """Whether all of these are active."""
        mask = self._mask(states)
        return self._node.active & mask == mask

    def any_active(self, *states: AnyState) -> bool:
        """Whether at least one of these is active."""
        return bool(self._node.active & self._mask(states))

    def active_in(self, group: Group | str | Iterable[AnyState]) -> str | None:
        """Name of the first active state of a group, or of several states: made for `match`. None where none is active."""
        for index in bits(self._node.active & self._group(group)):
            return self._program.schema.names[index]
        return None

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the active states, in order of declaration."""
        return self._program.schema.names_of(self._node.active)

    @property
    def time(self) -> Time:
        """The ticks of all states, in order of declaration."""
        return Time.unpacked(self._time, self._program.schema.n)

    @property
    def clock(self) -> Clock:
        """The ticks of all states, by name."""
        return Clock(self._program.schema.names, self.time)

    @property
    def queue_tick(self) -> int:
        """1 at first, and one more for each mutation with a queue tick that was taken up."""
        return self._queue_tick

    @property
    def machine_tick(self) -> int:
        """How many times this machine was started."""
        return 1

    @property
    def error(self) -> BaseException | None:
        """The error that was reported last; None once `Exception` has been deactivated."""
        return self._error

    @property
    def transition(self) -> Transition | None:
        """The transition that is running, if one is."""
        return self._running

    @property
    def queue(self) -> tuple[Mutation, ...]:
        """The mutations that wait for their turn, in order."""
        return self._queue.mutations() if self._queue else ()

    def is_queued(self, kind: Kind | str, *states: AnyState, exact: bool = False, after: int = 0) -> bool:
        """Whether a mutation of this kind that calls all of these states waits for its turn.

        `exact`: it calls no others. `after`: it runs later than this queue tick.
        """
        wanted, mask = Kind(kind), self._mask(states)
        return any(
            m.kind is wanted and (m.called == mask if exact else m.called & mask == mask) and (m.queue_tick or after + 1) > after
            for m in self.queue
        )

    def will_be(self, *states: AnyState) -> bool:
        """Whether all of these would be active if every queued mutation did just what it says, relations apart."""
        mask = self._mask(states)
        return self._foreseen() & mask == mask

    def will_not_be(self, *states: AnyState) -> bool:
        """Whether none of these would be active if every queued mutation did just what it says, relations apart."""
        return not self._foreseen() & self._mask(states)

    def _foreseen(self) -> int:
        active = self._node.active
        for mutation in self.queue:
            called = mutation.called
            match mutation.kind:
                case Kind.ADD:
                    active |= called
                case Kind.REMOVE:
                    active &= ~called
                case Kind.SET:
                    active = called
                case Kind.TOGGLE:
                    active = active & ~called if active & called == called else active | called
        return active

    # -- handlers and tracers

    @property
    def handlers(self) -> tuple[object, ...]:
        """The handler objects that are bound, in order; the class's own come before them."""
        return self._bindings

    def bind(self, owner: object, *, prefix: str = "", strict: bool = True) -> None:
        """Bind the handlers of an object, or of a mapping of names to functions, after those that are bound.

        With `prefix` its names are read as if each state began so. Takes effect before the next mutation.
        Errors: `BindingError`, and nothing is bound.
        """
        schema = self._program.schema
        if isinstance(owner, Mapping):
            suite = suite_of_mapping(owner, schema, prefix)
        else:
            suite = suite_of(type(owner), schema, prefix=prefix, strict=strict, own=False)

        def add() -> None:
            self._bindings = (*self._bindings, owner)
            self._run_program(program_of(schema, (*self._program.suites, suite)), (*self._owners, owner))

        self.eval(add)

    def unbind(self, owner: object) -> None:
        """Take the handlers of a bound object away, before the next mutation. Errors: ValueError where it is not bound."""
        if not any(each is owner for each in self._bindings):
            raise ValueError(f"{owner!r} is not bound to {self._id}")

        def take() -> None:
            at = next(i for i, each in enumerate(self._owners) if each is owner)
            self._bindings = (*self._bindings[:at], *self._bindings[at + 1 :])
            suites = self._program.suites
            program = program_of(self._program.schema, (*suites[: at + 1], *suites[at + 2 :]))
            self._run_program(program, (*self._owners[:at], *self._owners[at + 1 :]))

        self.eval(take)

    def _run_program(self, program: Program, owners: tuple[object, ...]) -> None:
        self._owners = owners
        self._program = program
        self._node = program.situation(self._node.active)

    def _owner_of(self, slot: int) -> object:
        return self._owners[slot - 1] if slot else self

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """The tracers that are attached, in order."""
        return self._tracers

    def attach(self, tracer: Tracer) -> None:
        """Let a tracer watch: from now on, or, while another thread runs the machine, before its next mutation.

        Twice the same: once.
        """

        def add() -> None:
            if not any(each is tracer for each in self._tracers):
                self._watch((*self._tracers, tracer))
                self._tell(tracer, "machine_opened")

        self._between(add)

    def detach(self, tracer: Tracer) -> None:
        """Let a tracer watch no longer, as soon as `attach` would begin. One that is not attached: nothing."""

        def take() -> None:
            if any(each is tracer for each in self._tracers):
                self._watch(tuple(each for each in self._tracers if each is not tracer))
                self._tell(tracer, "machine_closed")

        self._between(take)

    def _between(self, change: Callable[[], None]) -> None:
        """Run it where nothing else changes this machine: at once if this thread drains, or nobody does."""
        if self._owner == get_ident():
            change()
        elif not self._is_elsewhere() and self._lock.acquire(False):
            try:
                change()
            finally:
                self._lock.release()
            if self._inbox:
                self._drain_inbox()
        else:
            self._inbox.append(Evaluation(change, Wait.make(f"tracers of {self._id}")))
            self._knock()

    def _tell(self, tracer: Tracer, hook: str) -> None:
        try:
            getattr(tracer, hook)(self)
        except Exception as error:
            self._tracer_failed(tracer, hook, error)

    def _watch(self, tracers: tuple[Tracer, ...]) -> None:
        self._tracers = tracers
        hooks = Hooks(tracers, self._tracer_failed)
        self._hooks = hooks if hooks.used else None
        self._attend()

    def _tracer_failed(self, tracer: Tracer, hook: str, error: Exception) -> None:
        self._between(lambda: self._watch(tuple(each for each in self._tracers if each is not tracer)))
        self._log("tracer %s detached from %s: its %s raised", type(tracer).__name__, self._id, hook, error=error)

    # -- life

    @property
    def is_open(self) -> bool:
        """Whether it lives in an event loop now."""
        return self._life == Life.OPEN

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed, or has been."""
        return self._life >= Life.CLOSING

    @property
    def is_closed(self) -> bool:
        """Whether it is closed. It still answers questions, from its last state."""
        return self._life == Life.CLOSED

    def scope(self, state: AnyState) -> Scope:
        """`async with machine.scope(S.Ready): …` leaves quietly when the state's tick moves, also if it is inactive now.

        Entering it raises `WaitError` on a machine that is not open, and `MachineClosed` on one that closes.
        """
        return self._the_tasks().scope(self._index(state))

    async def __aenter__(self) -> Self:
        from anyio import CancelScope

        from amachine.loops import here

        if self._owner == get_ident():
            raise WaitError(f"machine {self._id} cannot be opened from one of its handlers", machine=self._id)
        loop, home, runtime = here(), get_ident(), self._the_tasks()

        def move_in() -> None:
            if self._life != Life.FREE:
                raise MachineClosed(f"machine {self._id} has been opened before: make another", machine=self._id)
            runtime.live_in(loop)
            self._home = home
            self._life = Life.OPEN

        # A thread that is draining gets as far as this, and leaves the rest to the loop.
        with CancelScope(shield=True):
            try:
                await self.eval(move_in)
            except MachineClosed:
                raise
            except BaseException:
                self.eval(self._loop_is_gone)
                raise
        await runtime.open(native=self._native_tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:  # `bool` alone tells checkers that no `return` in the body is sure
        from amachine.runtime import working

        task = working.get()
        inside: Machine | None = task.runtime.machine if task is not None else None
        while inside is not None:
            if inside is self:
                raise WaitError(f"machine {self._id} cannot be closed from its own task: it would wait for itself", machine=self._id)
            inside = inside._parent
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
            if self._life >= Life.CLOSING:  # the parent is at it
                await self.when_closed()
                return
            async with AsyncExitStack() as last_first:
                last_first.callback(self._finish_closing)
                last_first.push_async_callback(self._the_tasks().close, self._limits.grace)
                last_first.push_async_callback(self._shut_children)
                last_first.callback(self._begin_closing)
                last_first.callback(self._dispose)

    async def _shut_children(self) -> None:
        from contextlib import AsyncExitStack

        async with AsyncExitStack() as stack:
            for child in self.children:
                stack.push_async_callback(child._shut if child._home == get_ident() else child._shut_elsewhere)

    async def _shut_elsewhere(self) -> None:
        """Close, for a parent in another event loop: have the body of `async with` left, and wait for that."""
        from anyio import move_on_after

        if self._life < Life.OPEN or self._the_tasks().is_over():
            self.close()
            return
        self._the_tasks().dismiss()
        with move_on_after(self._limits.grace) as late:
            await self.when_closed()
        if late.cancelled_caught:
            self._log("machine %s does not close with its parent: its event loop is busy", self._id)

    def close(self) -> None:
        """Close a machine that has no background work: at once, or, while a transition runs, right after what it queued.

        Again: nothing. Errors: `WaitError` where the machine, or a child, lives in an event loop.
        """
        for machine in (self, *self.children):
            if machine._life == Life.OPEN:
                if machine._the_tasks().is_over():
                    machine._loop_is_gone()
                else:
                    raise WaitError(
                        f"machine {machine._id} lives in an event loop: leave its `async with` instead", machine=machine._id
                    )
        if self._life >= Life.CLOSING:
            return
        from contextlib import ExitStack

        with ExitStack() as last_first:
            last_first.callback(self.eval, self._finish_closing)
            for child in self.children:
                last_first.callback(child.close)
            last_first.callback(self._begin_closing)
            last_first.callback(self._dispose)

    def _dispose(self) -> None:
        schema = self._program.schema
        if "Disposing" in schema.index:
            result = self._submit(Kind.ADD, 1 << schema.index["Disposing"])
            if result.canceled:
                self._log("machine %s closes although Disposing was refused: %s", self._id, result.why)

    def _begin_closing(self) -> None:
        self._life = Life.CLOSING

    def _finish_closing(self) -> None:
        self._life = Life.CLOSED
        self._home = None
        # Whoever has the lock, now or next, finds this and answers what is queued: a thread may still be on its way in.
        self._inbox.append(Evaluation(lambda: None, Wait.make("closing")))
        self._drain_inbox()
        while self._farewells:
            self._farewells.pop().fulfil(None)
        self._the_waits().close(self._closed_error())
        for tracer in self._tracers:
            self.detach(tracer)

    def _abandon(self) -> None:
        """Answer what was queued, or is queued too late: nothing of it will run."""
        closed = self._closed_error()
        if self._inbox:
            self._take_over()
        queue = self._queue
        while queue:
            entry = queue.pop()
            if isinstance(entry, Evaluation):
                entry.wait.fail(closed)
            else:
                for result in entry.results:
                    result.settle(Status.CANCELED, str(closed), closed)
        idlers, self._idlers = self._idlers, None
        for wait in idlers or ():
            wait.fulfil(None)

    def _closed_error(self) -> MachineClosed:
        return MachineClosed(f"machine {self._id} is closed", machine=self._id)

    # -- what the engine asks of the outside

    def _the_tasks(self) -> Runtime:
        tasks = self._tasks
        if tasks is None:
            from amachine.runtime import Runtime

            with making:  # a thread that drains, and one that opens the machine, must not make two
                tasks = self._tasks
                if tasks is None:
                    tasks = self._tasks = Runtime(self)
        return tasks  # type: ignore[return-value]

    def _spawn(self, event: Event[Any], fn: Any, args: tuple[Any, ...]) -> None:
        self._the_tasks().spawn(event, fn, args)

    def _may_end(self) -> bool:
        if self._tasks is None or self._life == Life.CLOSED:
            return False
        from amachine.runtime import OWN, working

        task = working.get()
        return task is not None and task.runtime is self._tasks and task.state == OWN

    def _loop_is_gone(self) -> None:
        """The event loop ended without leaving `async with`: go on without it."""
        if self._life == Life.OPEN:
            self._home = None
            self._life = Life.FREE
            self._the_tasks().forget()
        elif self._life == Life.CLOSING:
            self._finish_closing()
        self._drain_inbox()

    def _task_failed(self, name: str, error: Exception) -> None:
        self._raise_front(ErrorInfo(error, _formatted(error), name, None))

    def _callback_failed(self, label: str, error: Exception) -> None:
        self._raise_front(ErrorInfo(error, _formatted(error), f"callback of {label}", self._running))

    def _raise_front(self, info: ErrorInfo) -> None:
        """Add `Exception` at the front, from wherever this is."""
        if self._life == Life.CLOSED:
            self._report(info)
        elif self._owner == get_ident():
            t = self._running
            if t is not None and t.plan.called & t.plan.schema.exception:
                self._report(info)
            else:
                self._push_error(info, t)
        else:
            # Made here, for it knows by the context what caused it.
            mutation = self._mutation(Kind.ADD, self._program.schema.exception, info)
            turn: Wait[None] = Wait.make(f"an error of {self._id}")
            turn.add_parker(lambda: self._report(info) if turn.error is not None else None)  # closed before it came
            self._inbox.append(Evaluation(lambda: self._push_error(info, mutation), turn))
            self._knock()

    def _announce(self, info: ErrorInfo) -> None:
        super()._announce(info)
        if self._pipe and self._parent is not None:
            self._parent.add_error(info.error)

    def _report(self, info: ErrorInfo) -> None:
        where = f" in {info.handler}" if info.handler else ""
        self._log("machine %s: error%s: %r", self._id, where, info.error, error=info.error)

    def _log(self, text: str, *args: object, error: BaseException | None = None) -> None:
        import logging

        logging.getLogger("amachine").error(text, *args, exc_info=error)

    # -- states and arguments

    def _bind_state(self, state: State[..., Any]) -> BoundState[..., Any]:
        return BoundState(self, self._index(state))

    def __getitem__(self, state: AnyState) -> BoundState[..., Any]:
        """A state of this machine by name, for schemas that are data: `machine["Wet"].active`."""
        return BoundState(self, self._index(state))

    def _tick(self, index: int) -> int:
        return tick_at(self._time, index)

    def _index(self, state: AnyState) -> int:
        name = state if isinstance(state, str) else state.name
        schema = self._program.schema
        try:
            return schema.index[name]
        except KeyError:
            raise UnknownState(name, known=schema.names, schema=schema.name) from None

    def _mask(self, states: Iterable[AnyState]) -> int:
        mask = 0
        for state in states:
            mask |= 1 << self._index(state)
        return mask

    def _group(self, group: Group | str | Iterable[AnyState]) -> int:
        if isinstance(group, str):
            groups = self._program.schema.groups
            if group not in groups:
                raise UnknownState(group, known=groups, schema=self._program.schema.name)
            return self._mask(groups[group].members)
        return self._mask(group.members if isinstance(group, Group) else group)

    def _read(self, states: tuple[Any, ...], given: dict[str, Any]) -> tuple[int, Any]:
        """What a whole-machine verb was called with: the mask of the called states, and the arguments, or None."""
        if len(states) == 1 and not given:
            return 1 << self._index(states[0]), None
        if not states and not given:
            return 0, None
        first = states[0] if states else None
        if isinstance(first, State) and (given or not all(isinstance(each, (State, str)) for each in states[1:])):
            index = self._index(first)
            return 1 << index, self._build_args(index, states[1:], given)
        if isinstance(first, State) and first.args is not None and isinstance(states[1], str):
            index = self._index(first)
            return 1 << index, self._build_args(index, states[1:], given)
        called = self._mask(states)
        return called, self._args_from_data(called, given) if given else None

    def _args_from_data(self, called: int, given: dict[str, Any]) -> Any:
        schema = self._program.schema
        made = [from_data(schema.names[i], schema.args[i], given) for i in bits(called)]
        if len(made) > 1 and any(schema.args[i] is not dict for i in bits(called)):
            raise ArgsError(
                f"{', '.join(schema.names_of(called))} cannot be given arguments in one mutation: call one of them at a time",
                state=schema.names_of(called)[0],
            )
        return made[0] if made else dict(given)

    def _build_args(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        schema = self._program.schema
        make = schema.args[index]
        if make is None:
            raise ArgsError(f"{schema.names[index]} takes no arguments", state=schema.names[index])
        return make(*args, **kwargs)

    def _fitting(self, index: int, args: Any) -> Any:
        schema = self._program.schema
        make = schema.args[index]
        if isinstance(make, type) and not isinstance(args, make):
            wanted, got = make.__name__, type(args).__name__
            raise ArgsError(f"{schema.names[index]} takes a {wanted}, not a {got}", state=schema.names[index])
        return args

    # -- to look at

    def inspect(self) -> str:
        """All states with ticks, relations and flags, a line each."""
        return inspection.table(self)

    def __repr__(self) -> str:
        clock = str(self.clock)
        return f"<{type(self).__name__} {self._id}{' ' if clock else ''}{clock}>"

    def __format__(self, spec: str) -> str:
        """`format(machine, "mermaid")` draws it; without a spec it is the repr."""
        if spec == "mermaid":
            from amachine.graph import mermaid

            return mermaid(self.schema, active=self.active)
        return format(repr(self), spec)

    def __rich__(self) -> Any:
        return inspection.rich_table(self)


Machine._reserved = frozenset(name for name in dir(Machine) if not name.startswith("_")) - {"Exception"}
reserve(Machine._reserved)

everywhere: list[Tracer] = []
"""Tracers that every machine gets that is made from now on: for debuggers, and for logs that a program does not know of."""


def _formatted(error: BaseException) -> str:
    from traceback import format_exception

    return "".join(format_exception(error))


def _is_cancellation(error: BaseException) -> bool:
    """Whether this says that somebody gave up, in whichever event loop: asked of the loops that are loaded."""
    import sys

    kinds = (getattr(sys.modules.get("asyncio"), "CancelledError", None), getattr(sys.modules.get("trio"), "Cancelled", None))
    return any(kind is not None and isinstance(error, kind) for kind in kinds)


_machines: WeakSet[Machine] = WeakSet()


def _after_fork() -> None:
    """In the child of a fork: free the locks that threads of the parent held, which are not here to release them.

    The forking thread itself goes on, and releases its own. A mutation that another thread was running is not run again
    here: the machine stands as before or after its commit, and its queue is kept.
    """
    here = get_ident()
    for machine in tuple(_machines):
        if machine._lock.acquire(False):
            machine._lock.release()
        elif machine._owner != here:
            machine._lock = Lock()
            machine._owner = 0
            machine._running = None
            program = machine._program
            machine._node = program.situation(odd_lanes(machine._time, program.schema.n))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
