"""User code at the door: which functions of a class, or of a mapping, handle which states, and whether they can.

Everything that can be wrong with a handler before it runs is found here, when it is bound: a state that is
not there, a name that reads in two ways, parameters that do not fit, `async def` where nothing may wait.
What passes becomes a `Call`, which the engine trusts. Nothing here calls a handler, makes an object of the
user's class, or sets anything on it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, partialmethod
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

import attrs

from amachine._naming import NO_HANDLER, Names, Reading, Site
from amachine._phases import Handler, Phase, Rule, Timer
from amachine.errors import BindingError

if TYPE_CHECKING:
    from amachine.schema import Schema

if sys.version_info >= (3, 14):
    from annotationlib import Format

    # Annotations of handlers name what only a type checker imports. Here they are shown, never evaluated.
    _signature = partial(inspect.signature, annotation_format=Format.FORWARDREF)
else:
    _signature = inspect.signature


@attrs.frozen(eq=False)
class Call:
    """One handler that fits its schema, to be called as `fn(owner, event)`; all objects of a class share it."""

    phase: Phase
    state: int
    """Index of its state; in `TO` of the one that was active before; -1 in `ANY_ENTER` and `ANY_STATE`."""
    other: int
    """In `TO` the index of the state that enters, else -1."""
    fn: Callable[[Any, Any], Any]
    name: str
    """What the convention calls it, whatever it is called: `ProcessingEnter`, `StartProcessing`, `AnyEnter`."""
    where: str
    """Where it is written: `FileFlow.readable`."""
    timeout: float | None = None
    """Seconds after which a task is cancelled; None: never."""
    is_async: bool = False
    timer: Timer | None = None
    """Of a task that is a timer: when it runs."""

    @property
    def label(self) -> str:
        """The handler in messages: where it is written, and its conventional name if that differs."""
        return self.where if self.where == self.name else f"{self.where} ({self.name})"

    @property
    def attr(self) -> str:
        """Its name where it is written, without the class."""
        return self.where.rpartition(".")[2]

    @property
    def subject(self) -> int:
        """Index of the state whose arguments it sees: the entering one, in `TO`; -1 where it has no state."""
        return self.other if self.phase is Phase.TO else self.state


class Suite:
    """All handlers of one class or mapping for one schema: those of base classes first, then as written."""

    __slots__ = ("__weakref__", "_calls", "_table", "key", "owner")

    def __init__(
        self, owner: str, calls: Iterable[Call], key: tuple[str, bool, bool] = ("", True, False)
    ) -> None:
        self.owner: str = owner
        """Name of the class; empty for a mapping."""
        self.key: tuple[str, bool, bool] = key
        """The `prefix`, `strict` and `own` that it was made with: to make it again, for another schema."""
        self._calls = tuple(calls)
        table: dict[tuple[Phase, int, int], list[Call]] = {}
        for call in self._calls:
            table.setdefault((call.phase, call.state, call.other), []).append(call)
        self._table = {key: tuple(found) for key, found in table.items()}

    def calls(self, phase: Phase, state: int = -1, other: int = -1) -> tuple[Call, ...]:
        """The handlers of this phase and these indices of states, in the order in which they run."""
        return self._table.get((phase, state, other), ())

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        names = ", ".join(call.name for call in self._calls)
        return f"<Suite {self.owner or '(mapping)'}: {names or 'no handlers'}>"


_Suites: TypeAlias = "WeakKeyDictionary[Schema, WeakValueDictionary[tuple[str, bool, bool], Suite]]"
# A suite holds functions, and a function that says `super()` holds its class; a schema holds programs, which hold
# suites: a cache that kept either would keep those classes for ever. So all of it is weak: a suite lives as long as
# some machine, or its class, has it.
_suites: WeakKeyDictionary[type[Any], _Suites] = WeakKeyDictionary()


def suite_of(
    owner_type: type[Any], schema: Schema, *, prefix: str = "", strict: bool = True, own: bool
) -> Suite:
    """The handlers that objects of this class have for this schema, checked; the same suite while it is in use.

    `own` says that the class is itself the machine: names that `Machine` has keep their meaning there.
    `prefix` binds only states that begin with it: under `Db`, `ReadyEnter` handles `DbReady`. (`Exception` has
    no prefix and stays as it is.) `strict=False` lets pass what only looks like a handler.

    Errors: `BindingError`, which says how to mend it.
    """
    if issubclass(owner_type, type):
        raise BindingError("a class has no handlers of its own: bind an object of it")
    of_type = _suites.get(owner_type)
    if of_type is None:
        of_type = _suites.setdefault(owner_type, WeakKeyDictionary())
    suites = of_type.get(schema)
    if suites is None:
        suites = of_type.setdefault(schema, WeakValueDictionary())
    key = (prefix, strict, own)
    suite = suites.get(key)
    if suite is None:
        calls = _calls_of(owner_type, Names(schema, prefix), strict=strict, own=own)
        suite = suites[key] = Suite(_short(owner_type), calls, key)
    return suite


def suite_of_mapping(handlers: Mapping[str, Callable[..., Any]], schema: Schema, prefix: str = "") -> Suite:
    """The handlers in a mapping from conventional names to callables that take the event.

    Errors: `BindingError`; every name has to be that of a handler.
    """
    names = Names(schema, prefix)
    spelled: dict[Reading, str] = {}
    calls: list[Call] = []
    for name, fn in handlers.items():
        reading = names.read(name) or names.refuse(name)
        _once(reading, Site("", name, name), spelled)
        if not callable(fn):
            raise BindingError(f"a handler is a callable that takes the event, not {fn!r}", handler=name)
        written = getattr(fn, "__qualname__", "").rpartition("<locals>.")[2]
        where = name if "<" in written else written or name
        calls.append(_call(Site("", name, where), (fn, 1), reading, names))
    return Suite("", calls, (prefix, True, False))


def split_handler_name(
    name: str, schema: Schema, *, prefix: str = ""
) -> tuple[Phase, str | None, str | None] | None:
    """What a method of this name would handle: phase, state, other state; None if it is not a handler's name.

    `other` is the entering state of a state-to-state handler. Errors: `BindingError` if it reads in two ways.
    """
    names = Names(schema, prefix)
    reading = names.read(name)
    if reading is None:
        return None
    return reading.phase, names.name_of(reading.state), names.name_of(reading.other)


_Function: TypeAlias = tuple[Callable[..., Any], int]
"""What is called, and with how many arguments: 2 for the object and the event, 1 for the event alone."""


def _calls_of(owner_type: type[Any], names: Names, *, strict: bool, own: bool) -> Iterator[Call]:
    """The calls of a class: what its decorators say, and what its names say."""
    reserved: frozenset[str] = getattr(owner_type, "_reserved", frozenset()) if own else frozenset()
    spelled: dict[Reading, str] = {}
    for cls, attr, value, rules in _attributes(owner_type, names, reserved):
        site = Site(_short(cls), attr, f"{_short(cls)}.{attr}", by_name=not rules)
        fn = value.fn if isinstance(value, Handler) else value
        if rules:
            if not _is_function(fn):
                raise BindingError(
                    f"{fn!r} hides a handler of a base class; None would take it away",
                    owner=site.owner,
                    handler=attr,
                )
            for rule in rules:
                reading = names.decorated(rule, site)
                yield _call(site, _unbound(fn, owner_type), reading, names, rule)
        elif not attr.startswith("_") and attr not in reserved and _is_function(fn):
            found = names.read(attr, owner=site.owner)
            if found is not None:
                _once(found, site, spelled)
                yield _call(site, _unbound(fn, owner_type), found, names)
            elif strict and names.resembles(attr) and (attr[0].isupper() or _fits(_unbound(fn, owner_type))):
                names.refuse(attr, owner=site.owner)


def _attributes(
    owner_type: type[Any], names: Names, reserved: frozenset[str]
) -> Iterator[tuple[type[Any], str, Any, tuple[Rule, ...]]]:
    """Each attribute once, as the class sees it, with its rules.

    Redefined, it keeps its place in the order, and by a plain method also its rules; None takes the rules away.
    """
    found: dict[str, tuple[type[Any], Any]] = {}
    rules: dict[str, tuple[Rule, ...]] = {}
    for cls in reversed(owner_type.__mro__):
        for attr, value in vars(cls).items():
            if attr in reserved and attr in found and attr not in rules:
                _refuse_hiding(attr, value, cls, names)
            found[attr] = cls, value
            if isinstance(value, Handler):
                rules[attr] = value.rules
            elif value is None:
                rules.pop(attr, None)
    return ((cls, attr, value, rules.get(attr, ())) for attr, (cls, value) in found.items())


def _refuse_hiding(attr: str, value: object, cls: type[Any], names: Names) -> None:
    """Refuse a handler in place of an attribute of `Machine`, and a method there that would have been one by name."""
    if isinstance(value, Handler):
        mend = "give it another name"
    elif _is_function(value) and names.read(attr, owner=_short(cls)):
        mend = "give it another name and a decorator"
    else:
        return
    raise BindingError(f"this hides an attribute of Machine: {mend}", owner=_short(cls), handler=attr)


def _once(reading: Reading, site: Site, spelled: dict[Reading, str]) -> None:
    """Refuse one handler in two spellings: most likely an override, which then would not override."""
    first = spelled.setdefault(reading, site.attr)
    if first != site.attr:
        raise BindingError(
            f"{first} is the same handler in another spelling: keep one", owner=site.owner, handler=site.attr
        )


def _call(site: Site, function: _Function, reading: Reading, names: Names, rule: Rule | None = None) -> Call:
    """A call, checked. Errors: `BindingError`."""
    fn, wanted = function
    core = _core(fn)
    is_async = inspect.iscoroutinefunction(core)
    timer = None if rule is None else rule.timer
    wrong = _fault(function, core, reading.phase, names.explain(reading), timer)
    if wrong:
        raise BindingError(
            f"{wrong}; {NO_HANDLER}" if site.by_name else wrong,
            owner=site.owner,
            handler=site.attr,
            state=names.name_of(reading.state) or "",
        )
    return Call(
        *reading,
        fn=fn if wanted == 2 else _without_owner(fn),
        name=names.label(reading) if timer is None else names.timer_label(reading, repeats=timer.repeats),
        where=site.where,
        timeout=None if rule is None else rule.timeout,
        is_async=is_async,
        timer=timer,
    )


def _fault(function: _Function, core: Any, phase: Phase, means: str, timer: Timer | None) -> str:
    """Why this function cannot be what `means` says in words; empty if it can."""
    is_async = inspect.iscoroutinefunction(core)
    if inspect.isgeneratorfunction(core) or inspect.isasyncgenfunction(core):
        return f"a generator cannot handle {means}: calling it runs nothing of it"
    if is_async and phase not in (Phase.TASK, Phase.END):
        because = "who decides must not wait" if phase.veto else "the next mutation waits until it returns"
        return f"`async def` cannot handle {means}, because {because}: use a `task` of the state"
    if phase is Phase.TASK and timer is None and not is_async:
        return f"{means} has to be `async def`; what never waits is a `state` handler"
    if not _fits(function, unknown=True):
        fn, wanted = function
        given = "(self, event)" if wanted == 2 else "(event)"
        return f"{means} is called with {given}, but this takes {_parameters(fn)}"
    return ""


def _fits(function: _Function, *, unknown: bool = False) -> bool:
    """Whether a function takes what it would be called with; `unknown` where nobody can tell (some C code)."""
    fn, wanted = function
    try:
        signature = _signature(fn)
    except (TypeError, ValueError):
        return unknown
    try:
        signature.bind(*(None,) * wanted)
    except TypeError:
        return False
    return True


def _parameters(fn: Callable[..., Any]) -> str:
    """The parameters in brackets, without their types, which play no part in it."""
    signature = _signature(fn)
    plain = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    return str(inspect.Signature(plain))


def _without_owner(fn: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda _owner, event: fn(event)


def _unbound(fn: Any, owner_type: type[Any]) -> _Function:
    """What an attribute of a class calls: methods take the object, other callables only the event."""
    get: Callable[[Any, None, type[Any]], Any] | None = getattr(type(fn), "__get__", None)  # pyright: ignore[reportUnknownArgumentType]
    if get is None:
        return fn, 1
    return get(fn, None, owner_type), 1 if isinstance(fn, (staticmethod, classmethod)) else 2


def _core(fn: Any) -> Any:
    """The function inside of methods, partials and callable objects: where `async def` or `yield` is written."""
    while True:
        if isinstance(fn, MethodType):
            fn = fn.__func__
        elif isinstance(fn, (partial, partialmethod)):
            fn = fn.func
        elif isinstance(getattr(fn, "_partialmethod", None), partialmethod):
            fn = fn._partialmethod  # what a class shows of a partialmethod, before Python 3.13
        elif inspect.isroutine(fn):
            return fn
        else:
            call = inspect.getattr_static(type(fn), "__call__", None)  # pyright: ignore[reportUnknownArgumentType]
            if not inspect.isfunction(call):
                return fn
            fn = call


def _is_function(value: object) -> bool:
    """Whether an attribute of a class can be called like a method. A class inside of a class is data."""
    like = callable(value) or isinstance(value, (classmethod, partialmethod))
    return like and not isinstance(value, type)


def _short(cls: type[Any]) -> str:
    """A class's name, without the function that it was made in."""
    return cls.__qualname__.rpartition("<locals>.")[2]
