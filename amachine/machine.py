"""The public machine: the engine, with class-level states, handlers, a clock, logging and a runtime tied on."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import count
from threading import Lock, get_ident
from time import perf_counter
from typing import (
    Any,
    ClassVar,
    Never,
    NoReturn,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)
from weakref import ref

from amachine import binding, inspection, waiting
from amachine._bits import odd_lanes
from amachine._owncopy import own_copy
from amachine.asking import Bare
from amachine.bound import BoundState
from amachine.declare import P, State, States, any_enter, any_state, reserve
from amachine.errors import BindingError, nearest
from amachine.event import Event
from amachine.handed import Limits
from amachine.handlers import suite_of
from amachine.mutation import Kind, Result
from amachine.requesting import Requesting
from amachine.schema import Schema
from amachine.subscriptions import Wait
from amachine.tracers.base import Tracer
from amachine.transition import Program, program_of
from amachine.waiting import AnyState

T = TypeVar("T")
M = TypeVar("M")
_ids = count(1)
_DEBUG = os.environ.get("AMACHINE_DEBUG") == "1"
_LIMITS = Limits(handler=float("inf") if _DEBUG else 0.1)
"""What a machine allows when it is not told."""
_limits_of = lru_cache(64)(Limits)
"""Many machines are told the same: they share it."""


class Options(TypedDict, total=False):
    """What a machine can be told when it is made; all of it is optional, and given by keyword."""

    handlers: Iterable[object] | Mapping[str, Callable[..., Any]]
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


_OPTIONS = tuple(Options.__annotations__)


class SchemaOfMachine:
    """The schema that a machine runs.

    Not a property: type checkers must find a schema on the class, too, where at run time the metaclass has it.
    """

    def __get__(self, machine: Machine | None, owner: type[Machine]) -> Schema:
        return owner.schema if machine is None else machine._program_.schema

    def __set__(self, machine: Machine, value: Never) -> NoReturn:
        raise AttributeError(f"machine {machine.id} is given another schema by machine.set_schema(…)")


_own_names: set[str] = set()
"""The private names of machines. A subclass that took one, `_submit` say, would break the engine without a word."""


class Machine(Requesting, States):
    """A machine of states. Subclass it and declare them, or make one of a schema with `Machine.of`.

    It needs no event loop, unless it has `task` handlers: those run inside `async with machine:`. Everything may be called
    from any thread. `Machine(id, **options)`: see `Options`. Errors: `BindingError` where a handler does not fit.
    """

    __slots__ = ("__dict__",)

    @staticmethod
    def any_enter(fn: Callable[[M, Event[Any]], bool | None]) -> Callable[[M, Event[Any]], bool | None]:
        """`@Machine.any_enter`: negotiate every transition, after all other handlers; `False` refuses it."""
        return any_enter(fn)

    @staticmethod
    def any_state(fn: Callable[[M, Event[Any]], None]) -> Callable[[M, Event[Any]], None]:
        """`@Machine.any_state`: act on every transition, after all other handlers."""
        return any_state(fn)

    _reserved: ClassVar[frozenset[str]] = frozenset()
    """Names that no state may have: the public ones of this class."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in cls.__dict__:
            if name in _own_names:
                raise BindingError(
                    "machines use this name themselves: choose another", owner=cls.__name__, handler=name
                )

    def __init__(self, id: str | None = None, **options: Unpack[Options]) -> None:
        cls = type(self)
        program: Program | None = cls.__dict__.get("_program_of_class")
        if program is None:
            schema = cls.schema
            program = program_of(schema, (suite_of(cls, schema, own=True),))
            type.__setattr__(cls, "_program_of_class", program)
            for shared in (cls._submit, cls._call_plain):
                type.__setattr__(cls, shared.__name__, own_copy(shared, cls))
        self._begin_with(program, id, options)

    @classmethod
    def of(
        cls,
        schema: Schema | type[States] | Mapping[str, Any],
        id: str | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Make a machine of a schema without behaviour: a `Schema`, a `States` class, or data for `Schema.parse`."""
        schema = _schema_of(schema)
        machine = cls.__new__(cls)
        machine._begin_with(program_of(schema, (suite_of(cls, schema, own=True),)), id, options)
        return machine

    @classmethod
    def restore(
        cls,
        data: Mapping[str, Any],
        id: str | None = None,
        *,
        schema: Schema | type[States] | Mapping[str, Any] | None = None,
        strict: bool = True,
        into: Self | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Make a machine that goes on where the one that was exported stood: see `export`.

        No handler runs meanwhile. Clocks continue; states are active with their arguments; on `async with` their `task`
        handlers start again, once, with `event.restored`. `MachineRestored`, where declared, and what was pending
        are queued: they run on opening, or before the next mutation. The machine tick is one more.

        Handler objects come as `handlers=`, so that their tasks and timers are known by then. `Disposing` and `Disposed`
        end: the new machine has not been disposed of.

        `id`: the exported one by default. `schema`: as in `Machine.of`, for a machine that was made so. `strict=False`
        lets today's schema differ, as long as what was active may be active in it; new states begin at tick 0. `into`: a
        new machine that the data is loaded into, for a class whose `__init__` takes more than an id and options.

        Errors: `RestoreError`, which says what does not fit; nothing is made then, and `into` is as it was.
        """
        from amachine.restoring import load, made
        from amachine.saved import read

        if into is not None:
            if id is not None or schema is not None or options:
                raise TypeError("restore(into=…) takes no id, schema or options: the machine has its own")
            load(into, read(data, into.schema, strict=strict, queue_limit=into._limits_.queue))
            return into
        known = cls.schema if schema is None else _schema_of(schema)
        saved = read(data, known, strict=strict, queue_limit=options.get("queue_limit", 1000))
        if schema is None:
            return made(saved, lambda name: cls(name, **options), id or saved.id)
        return made(saved, lambda name: cls.of(known, name, **options), id or saved.id)

    def _begin_with(self, program: Program, id: str | None, options: Options) -> None:
        for name in options:
            if name not in _OPTIONS:
                raise TypeError(
                    f"machines have no option {name!r}{nearest(name, _OPTIONS)}: {', '.join(_OPTIONS)}"
                )
        self._make(program, id, **options)

    def _make(
        self,
        program: Program,
        id: str | None,
        *,
        handlers: Iterable[object] | Mapping[str, Callable[..., Any]] = (),
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
        if (
            raise_errors
            or handler_timeout != 0.1
            or queue_limit != 1000
            or depth_limit != 1000
            or grace != 5.0
        ):
            if queue_limit is not None and queue_limit < 0:
                raise ValueError(f"queue_limit is {queue_limit}: at least 0, or None for any number")
            budget = float("inf") if _DEBUG or handler_timeout is None else handler_timeout
            limits = _limits_of(queue_limit, depth_limit, budget, raise_errors, grace)
        else:
            limits = _LIMITS
        name = id or f"{type(self).__name__}-{next(_ids)}"
        super().__init__(name, program, limits, perf_counter, get_ident)
        self._tracers_ = ()
        self._children_ = ()
        self._parent_ = parent
        if pipe_errors:
            self._pipe_ = True
        if labels := tuple(tags):
            self._tags_ = labels
        _machines.add(self)
        bound: Iterable[object] = (cast("object", handlers),) if isinstance(handlers, Mapping) else handlers
        for owner in bound:
            self.bind(owner)
        if parent is not None:
            parent._children_ = (*(child for child in parent._children_ if child() is not None), ref(self))
            tracers = (*(tracer for tracer in parent._tracers_ if tracer.inheritable), *tracers)
        if binding.everywhere:
            tracers = (*binding.everywhere, *tracers)
        for tracer in tracers:
            self.attach(tracer)

    # -- who it is

    @property
    def id(self) -> str:
        """Its name: given, or made of the class's name and a counter."""
        return self._id_

    schema: SchemaOfMachine = SchemaOfMachine()

    _tags_: tuple[str, ...] = ()  # stored only where there are any

    @property
    def tags(self) -> tuple[str, ...]:
        """Its labels."""
        return self._tags_

    def _bind_state(self, state: State[..., Any]) -> BoundState[..., Any]:
        return BoundState(self, self._index(state))

    __iter__ = None  # not by `__getitem__`: what would be its items?
    __contains__ = None

    def __getitem__(self, state: AnyState) -> BoundState[..., Any]:
        """A state of this machine by name, for schemas that are data: `machine["Wet"].active`."""
        return BoundState(self, self._index(state))

    # -- mutations

    @overload
    def add(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def add(self, /, *states: Bare | str) -> Result: ...
    @overload
    def add(self, /, *states: str, **args: object) -> Result: ...
    def add(self, /, *states: Any, **args: Any) -> Result:
        """Activate states: several that need no arguments, one with its own, or names with keywords that all of them see.

        Returns at once. Errors: `UnknownState`; `ArgsError` for arguments that do not fit.
        """
        called, given = self._read(states, args)
        return self._submit(Kind.ADD, called, given)

    @overload
    def remove(self, /, *states: State[..., Any]) -> Result: ...
    @overload
    def remove(self, /, *states: AnyState, **args: object) -> Result: ...
    def remove(self, /, *states: Any, **args: Any) -> Result:
        """Deactivate states. Keywords are seen by handlers as `event.mutation.args`."""
        return self._submit(Kind.REMOVE, self._mask(states), args or None)

    @overload
    def set(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def set(self, /, *states: Bare | str) -> Result: ...
    @overload
    def set(self, /, *states: str, **args: object) -> Result: ...
    def set(self, /, *states: Any, **args: Any) -> Result:
        """Make these the active states, with what they imply, and deactivate all others. Arguments as in `add`."""
        called, given = self._read(states, args)
        return self._submit(Kind.SET, called, given)

    @overload
    def toggle(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def toggle(self, /, *states: Bare | str) -> Result: ...
    @overload
    def toggle(self, /, *states: str, **args: object) -> Result: ...
    def toggle(self, /, *states: Any, **args: Any) -> Result:
        """Deactivate these states if all are active when the turn comes, else activate all. Arguments as in `add`."""
        called, given = self._read(states, args)
        return self._submit(Kind.TOGGLE, called, given)

    # -- another schema

    _schema_version_: int = 1  # stored only where it is another

    @property
    def schema_version(self) -> int:
        """1 at first, and one more for each `set_schema` that changed something."""
        return self._schema_version_

    def set_schema(self, schema: Schema | type[States] | Mapping[str, Any]) -> Wait[int]:
        """Go on with another schema, which has all present states, and perhaps more. Yields the schema's version.

        Clocks, arguments, waits, tasks, timers and the queue go on. Present states keep their places; new ones come
        behind them at tick 0, whatever their place in the schema. Relations and flags may change where what is active
        could be active under the new ones. Handlers are bound anew: a name that reads as one of a new state counts from
        now on. Of a class only its states are taken. It happens between two mutations: at once, or behind what is
        queued. It is no transition: auto states come with the next one.

        Errors: `SchemaError`, `BindingError`, and nothing has changed; found only when its turn comes, the wait ends with
        it, and for a handler that asked, it takes the error path, too.
        """
        from amachine.growing import set_schema

        return set_schema(self, _schema_of(schema))

    # -- what outlives the process

    def export(self, *, pending: bool = False) -> dict[str, Any]:
        """Its state as plain data, fit for JSON, that `restore` reads: clocks, arguments of active states, timers, schema.

        `pending`: with the queued mutations. Taken between two transitions: from another thread, where the machine is
        busy or lives in an event loop, it blocks until its turn comes. After the machine has closed: its last state.

        Errors: `WaitError` in a handler or callback, where `machine.eval(machine.export)` gives it afterwards, as it
        does for a signal handler; `ArgsError` where arguments would not come back as they are.
        """
        from amachine.persist import export

        return export(self, pending=pending)

    # -- to look at

    def inspect(self) -> str:
        """All states with ticks, relations and flags, a line each."""
        return inspection.table(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        mend = "make another, by restore of what machine.export() gives; its clock and time can be kept"
        raise TypeError(f"machine {self._id_} cannot be copied or pickled: {mend}")

    def __repr__(self) -> str:
        clock = str(self.clock)
        return f"<{type(self).__name__} {self._id_}{' ' if clock else ''}{clock}>"

    def __format__(self, spec: str) -> str:
        """`format(machine, "mermaid")` draws it; without a spec it is the repr."""
        if spec == "mermaid":
            from amachine.graph import mermaid

            active = self.active
            return mermaid(self.schema, active=active)
        return format(repr(self), spec)

    def __rich__(self) -> Any:
        return inspection.rich_table(self)


def _schema_of(given: Schema | type[States] | Mapping[str, Any]) -> Schema:
    if isinstance(given, Mapping):
        return Schema.parse(given)
    return given if isinstance(given, Schema) else given.schema


_own_names.update(
    name
    for base in Machine.__mro__[:-1]
    for name in vars(base)
    if name.startswith("_") and not name.startswith("__") and name != "_native_tasks"
)
Machine._reserved = frozenset(name for name in dir(Machine) if not name.startswith("_")) - {"Exception"}
reserve(Machine._reserved)


class _Roll:
    """All machines that there are. It keeps none alive.

    A WeakSet weighs twice as much, for it has a callback for each. Here those who are gone are struck off whenever the
    roll has become twice as long.
    """

    def __init__(self) -> None:
        self._refs: list[ref[Machine]] = []
        self._room = 64
        self._striking = Lock()

    def add(self, machine: Machine) -> None:
        self._refs.append(ref(machine))
        if len(self._refs) > self._room and self._striking.acquire(blocking=False):
            try:
                self._strike_off()
            finally:
                self._striking.release()

    def _strike_off(self) -> None:
        """Forget those who are gone. Who is added meanwhile stays."""
        known = self._refs[:]
        alive = [each for each in known if each() is not None]
        self._refs[: len(known)] = alive
        self._room = 2 * len(alive) + 64

    def after_fork(self) -> list[Machine]:
        """All of them, in the child: another thread of the parent may just have been at this, too."""
        self._striking = Lock()
        return [machine for each in self._refs[:] if (machine := each()) is not None]


_machines = _Roll()


def _after_fork() -> None:
    """In the child of a fork: give back the turns that threads of the parent had, which are not here to do so.

    The forking thread itself goes on, and gives back its own. A mutation that another thread was running is not run again
    here: the machine stands as before or after its commit, and its queue is kept.
    """
    here = get_ident()
    waiting.making = Lock()
    for machine in _machines.after_fork():
        if not machine._turn_ and machine._owner_ != here:
            machine._turn_ = [None]
            machine._owner_ = 0
            machine._running_ = None
            program = machine._program_
            machine._node_ = program.situation(odd_lanes(machine._time_, program.schema.n))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
