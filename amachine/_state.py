"""A state as a class body declares it: a descriptor with relations, arguments and decorators for handlers.

A declaration only: it knows its name and class, never a machine, beyond asking one for what it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from amachine._classbody import Declared, note
from amachine._defs import EXCEPTION, RELATIONS, StateDef
from amachine._phases import Phase, Rule, Timer, handle, length
from amachine.errors import ArgsError, BindingError, SchemaError

if TYPE_CHECKING:
    from datetime import timedelta

    from amachine._lower import Scope
    from amachine.bound import BoundState
    from amachine.event import Event
    from amachine.schema import Schema

P = ParamSpec("P")
P2 = ParamSpec("P2")
A = TypeVar("A")
A2 = TypeVar("A2")
M = TypeVar("M")
T_co = TypeVar("T_co", covariant=True)

AnyState: TypeAlias = "State[..., Any]"
Related: TypeAlias = "Several[AnyState | str]"

_KEEP: Any = object()


class Several(Protocol[T_co]):
    """A list, tuple, set or `Group` of such things: anything but a string, which would be one of its letters."""

    def __iter__(self) -> Iterator[T_co]: ...
    # A string does not take an object here, so that a type checker tells the two apart.
    def __contains__(self, item: object, /) -> bool: ...


class State(Declared, Generic[P, A]):
    """A state, declared in the body of a `Machine` or `States` class.

    On the class it is what relations, handlers and verbs name; on a machine it is the state of that machine, with
    `add`, `remove`, `when` and the rest. `P` is the signature of its args class and `A` what that makes; a state
    without one is a `State[[], None]`.

    Args:
        args: What builds its arguments: an attrs class, a dataclass, a pydantic model, or any function.
        require: States without which it cannot be active.
        add: States that it brings along, where nothing objects.
        remove: States that cannot stay active beside it.
        after: States whose handlers run before its own when both are entered.
        auto: Whether it is added by itself as soon as its relations allow.
        multi: Whether it can be entered again while active.
        tags: Free labels, for tools.
        limit: How many of its tasks run at once; None for any number.
        doc: What it means, in words.

    Relations take states, or names where a state is declared further down. Errors: `SchemaError`, here for a value
    of the wrong kind, and when the class is made for every rule of a schema.
    """

    __slots__ = ("_origin", "_steps", "args")

    kind = "state"
    mend = "`name = State(…)`"

    args: Callable[P, A] | None
    """What builds its arguments; None for a state without."""
    _origin: Declared | None  # a `State`, but as one Python would look at it as a descriptor
    """The inherited state that this one changes."""
    _steps: tuple[tuple[str, Mapping[str, Any]], ...]
    """How its definition comes about: `declare` it, `extend` and `replace` what there is by then."""

    @overload
    def __init__(
        self: State[[], None],
        args: None = None,
        /,
        *,
        require: Related = ...,
        add: Related = ...,
        remove: Related = ...,
        after: Related = ...,
        auto: bool = ...,
        multi: bool = ...,
        tags: Several[str] = ...,
        limit: int | None = ...,
        doc: str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: State[..., dict[str, Any]],
        args: type[dict[Any, Any]],
        /,
        *,
        require: Related = ...,
        add: Related = ...,
        remove: Related = ...,
        after: Related = ...,
        auto: bool = ...,
        multi: bool = ...,
        tags: Several[str] = ...,
        limit: int | None = ...,
        doc: str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        args: Callable[P, A],
        /,
        *,
        require: Related = ...,
        add: Related = ...,
        remove: Related = ...,
        after: Related = ...,
        auto: bool = ...,
        multi: bool = ...,
        tags: Several[str] = ...,
        limit: int | None = ...,
        doc: str = ...,
    ) -> None: ...
    def __init__(
        self,
        args: Any = None,
        /,
        *,
        require: Related = (),
        add: Related = (),
        remove: Related = (),
        after: Related = (),
        auto: bool = False,
        multi: bool = False,
        tags: Several[str] = (),
        limit: int | None = None,
        doc: str = "",
    ) -> None:
        super().__init__()
        self.args = args
        if args is not None and not callable(args):
            says = f"State({args!r}): its arguments are built by a class or function, or there are none"
            raise SchemaError(says, relation="args")
        self._origin = None
        relations = related(require=require, add=add, remove=remove, after=after)
        options = {"args": args, "auto": auto, "multi": multi, "tags": tags, "limit": limit, "doc": doc}
        self._steps = (("declare", relations | options),)
        note(self)

    @overload
    def __get__(self, obj: None, owner: type[Any]) -> State[P, A]: ...
    @overload
    def __get__(self, obj: object, owner: type[Any]) -> BoundState[P, A]: ...
    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return self
        owner = cast("type[Any]", owner or type(obj))
        if not hasattr(owner, "__declared__"):
            says = f"{self!r} is declared in {owner.__name__}, which is no Machine: inherit from Machine"
            raise TypeError(says)
        bound = obj._bind_state(self)
        # There is no __set__, so what stands in the instance is found first the next time. `super().name` must not
        # put there what a subclass has replaced.
        if getattr(owner, self.name, None) is self:
            try:
                obj.__dict__[self.name] = bound
            except AttributeError:
                pass
        return bound

    @property
    def definition(self) -> StateDef:
        """Its definition in the class that declares it, as plain data. Errors: `SchemaError` before there is one."""
        if self.owner is None or not hasattr(self.owner, "__declared__"):
            raise SchemaError(
                f"{self!r} belongs to no class of states yet: assign it in one", state=self.name
            )
        schema: Schema = self.owner.schema
        return schema[self.name]

    def build(self, *args: P.args, **kwargs: P.kwargs) -> A:
        """Make its arguments, or None for a state without. Errors: those of the args class; `ArgsError`."""
        if self.args is not None:
            return self.args(*args, **kwargs)
        if args or kwargs:
            raise ArgsError(f"state {self.name!r} takes no arguments", state=self.name)
        return cast("A", None)  # what `A` is for a state without an args class

    def extend(
        self,
        *,
        require: Related = (),
        add: Related = (),
        remove: Related = (),
        after: Related = (),
        auto: bool | None = None,
        multi: bool | None = None,
        tags: Several[str] = (),
        limit: int | None = None,
        doc: str | None = None,
    ) -> State[P, A]:
        """Return an inherited state with more relations and tags, to be assigned to its name in a subclass.

        The other values replace the old ones where given.
        """
        relations = related(require=require, add=add, remove=remove, after=after)
        options = {"auto": auto, "multi": multi, "tags": tags, "limit": limit, "doc": doc}
        return self._changed("extend", relations | options)

    def replace(
        self,
        *,
        require: Related = _KEEP,
        add: Related = _KEEP,
        remove: Related = _KEEP,
        after: Related = _KEEP,
        auto: bool = _KEEP,
        multi: bool = _KEEP,
        tags: Several[str] = _KEEP,
        limit: int | None = _KEEP,
        doc: str = _KEEP,
    ) -> State[P, A]:
        """Return an inherited state with what is given here instead of what it has, for its name in a subclass."""
        given = {"require": require, "add": add, "remove": remove, "after": after}
        relations = related(**{key: value for key, value in given.items() if value is not _KEEP})
        options = {"auto": auto, "multi": multi, "tags": tags, "limit": limit, "doc": doc}
        return self._changed("replace", relations | {k: v for k, v in options.items() if v is not _KEEP})

    def _changed(self, step: str, values: Mapping[str, Any]) -> State[P, A]:
        changed: State[P, A] = State.__new__(type(self))
        Declared.__init__(changed)
        changed.args = self.args
        if self.name:
            changed._origin, changed._steps = self, ((step, values),)
        else:
            # One change after another, in one expression: this one takes over, and only the last is assigned.
            self.line = 0
            changed._origin, changed._steps = self._origin, (*self._steps, (step, values))
        note(changed, depth=3)
        return changed

    def _lower(self, scope: Scope) -> None:
        """Say what this state is, for the schema that is being made."""
        origin = self._origin
        where = f"the change of {self.name!r}"
        if origin is not None and (origin.owner is scope.owner or scope.name_of(origin, where) != self.name):
            says = f"{self.name!r} is made from {origin!r}: only an inherited state is changed, under its own name"
            raise SchemaError(says, state=self.name, other=origin.name)
        definition = scope.states.get(self.name)
        for step, written in self._steps:
            values: dict[str, Any] = {**written}
            for relation in RELATIONS:
                if relation in values:
                    values[relation] = scope.names_of(values[relation], f"the {relation} of {self.name!r}")
            if step == "declare" or definition is None:
                if self.name == EXCEPTION and definition is not None:
                    # What it is entered with is the engine's, whoever declares it.
                    values["args"] = values["args"] or definition.args
                definition = StateDef(self.name, **values)
            elif step == "extend":
                definition = definition.extend(**values)
            else:
                definition = definition.replace(**values)
        if definition is not None:  # there is at least one step
            scope.states[self.name] = definition

    # Handlers. At run time each of these returns a `Handler`; to a type checker it is the function, so that a
    # subclass may override it by a plain method.

    def enter(self, fn: Callable[[M, Event[A]], bool | None]) -> Callable[[M, Event[A]], bool | None]:
        """Negotiate the entry of this state: `False` refuses it. Must not change anything."""
        return handle(fn, Rule(Phase.ENTER, self))

    def exit(self, fn: Callable[[M, Event[A]], bool | None]) -> Callable[[M, Event[A]], bool | None]:
        """Negotiate the end of this state: `False` refuses it. Must not change anything."""
        return handle(fn, Rule(Phase.EXIT, self))

    def state(self, fn: Callable[[M, Event[A]], None]) -> Callable[[M, Event[A]], None]:
        """Act on the entry of this state, once it is certain."""
        return handle(fn, Rule(Phase.STATE, self))

    def end(
        self, fn: Callable[[M, Event[A]], Coroutine[Any, Any, None] | None]
    ) -> Callable[[M, Event[A]], Coroutine[Any, Any, None] | None]:
        """Act on the end of this state. An `async def` runs as a task of the machine."""
        return handle(fn, Rule(Phase.END, self))

    @overload
    def task(
        self, fn: Callable[[M, Event[A]], Coroutine[Any, Any, None]], /
    ) -> Callable[[M, Event[A]], Coroutine[Any, Any, None]]: ...
    @overload
    def task(
        self, /, *, timeout: float
    ) -> Callable[
        [Callable[[M, Event[A]], Coroutine[Any, Any, None]]],
        Callable[[M, Event[A]], Coroutine[Any, Any, None]],
    ]: ...
    def task(self, fn: Any = None, /, *, timeout: float | None = None) -> Any:
        """Work in the background for as long as this activation lasts, at most `timeout` seconds."""
        if timeout is not None and not timeout > 0:
            raise BindingError(
                f"{self.name}.task(timeout={timeout!r}): seconds, more than 0", state=self.name
            )
        rule = Rule(Phase.TASK, self, timeout=timeout)
        if fn is not None:
            return handle(fn, rule)

        def decorate(late: object) -> Any:
            return handle(late, rule)

        return decorate

    def after(
        self,
        seconds: float | timedelta | Callable[[Event[A]], float | timedelta],
        /,
        *,
        on_restore: Literal["resume", "restart"] = "resume",
    ) -> Callable[
        [Callable[[M, Event[A]], Coroutine[Any, Any, None] | None]],
        Callable[[M, Event[A]], Coroutine[Any, Any, None] | None],
    ]:
        """Call the function so long after the entry of this state, unless its tick has moved by then.

        The time is a number, a `timedelta`, or a function of the event. It runs in a task of the state, may mutate, and
        may be `async def`. After a restore it keeps its deadline (at once, if that has passed), or with
        `on_restore="restart"` begins anew; what has fired does not fire again.
        """
        return self._timer(seconds, repeats=False, on_restore=on_restore)

    def every(
        self,
        seconds: float | timedelta | Callable[[Event[A]], float | timedelta],
        /,
        *,
        on_restore: Literal["resume", "restart"] = "resume",
    ) -> Callable[
        [Callable[[M, Event[A]], Coroutine[Any, Any, None] | None]],
        Callable[[M, Event[A]], Coroutine[Any, Any, None] | None],
    ]:
        """Call the function again and again, until the tick of this state moves; first when so much time has passed.

        It does not drift; turns that come while one runs are left out. An error is reported, and the next turn comes.
        Otherwise as `after`.
        """
        return self._timer(seconds, repeats=True, on_restore=on_restore)

    def _timer(self, seconds: Any, *, repeats: bool, on_restore: str) -> Callable[[Any], Any]:
        verb = f"{self.name}.{'every' if repeats else 'after'}"
        if on_restore not in ("resume", "restart"):
            raise BindingError(
                f"{verb}(on_restore={on_restore!r}): write 'resume' or 'restart'", state=self.name
            )
        if not callable(seconds):
            try:
                length(seconds, repeats=repeats)
            except ValueError as error:
                raise BindingError(f"{verb}: {error}", state=self.name) from None
        rule = Rule(Phase.TASK, self, timer=Timer(seconds, repeats, on_restore))

        def decorate(fn: object) -> Any:
            return handle(fn, rule)

        return decorate

    def to(
        self, other: State[P2, A2], /
    ) -> Callable[[Callable[[M, Event[A2]], bool | None]], Callable[[M, Event[A2]], bool | None]]:
        """Negotiate the entry of `other` while this state is active before: `False` refuses it."""
        if other is self:
            raise BindingError(f"{self.name}.to({self.name}) is written {self.name}.stay", state=self.name)
        rule = Rule(Phase.TO, self, other)
        return lambda fn: handle(fn, rule)

    def stay(self, fn: Callable[[M, Event[A]], bool | None]) -> Callable[[M, Event[A]], bool | None]:
        """Negotiate a transition before and after which this state is active: `False` refuses it."""
        return handle(fn, Rule(Phase.STAY, self))

    def __str__(self) -> str:
        return self.name or "(unnamed)"

    def __repr__(self) -> str:
        owner = f"{self.owner.__name__}." if self.owner is not None else ""
        return f"<State {owner}{self}>"


def related(**relations: Any) -> dict[str, tuple[Any, ...]]:
    """Check what relations were given, before their names are known. Errors: `SchemaError`."""
    return {relation: _items(relation, items) for relation, items in relations.items()}


def _items(relation: str, items: Any) -> tuple[Any, ...]:
    if isinstance(items, (State, str)):
        raise SchemaError(f"{relation}={items!r} is one state: write {relation}=[…]", relation=relation)
    try:
        found = tuple(items)
    except TypeError:
        raise SchemaError(f"{relation}={items!r} is no list of states", relation=relation) from None
    for item in found:
        if item is Exception:
            says = f"{relation} has Python's Exception: the state is named by the string 'Exception'"
            raise SchemaError(says, relation=relation, other=EXCEPTION)
        if not isinstance(item, (State, str)):
            mend = (
                "unpack it: [*group]" if isinstance(item, Declared) else "write a State, or the name of one"
            )
            raise SchemaError(f"{relation} has {item!r}: {mend}", relation=relation)
    return found
