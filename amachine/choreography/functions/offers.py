"""What roles offer, by the annotations of their classes, and which type an expression of a script has by them.

It tells what annotations tell, and no more: `UNKNOWN` is an honest answer. Whether that matters is for others to say.
"""

from __future__ import annotations

import ast
import collections.abc
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, cast

import attrs

from amachine.choreography import subtypes
from amachine.choreography.functions.sources import MISSING, Source

__all__ = [
    "UNKNOWN",
    "Offer",
    "Types",
    "admits_none",
    "finite",
    "fits",
    "literal",
    "members",
    "named",
    "offer_of",
    "options",
]

UNKNOWN: Any = object()
"""The type of what no annotation says anything of."""


@attrs.frozen
class Offer:
    """One thing that a role offers: data, a property, or an operation."""

    type: Any
    """Of the data; of an operation, what comes of it, after waiting for it."""
    signature: inspect.Signature | None = None
    """Of an operation, without `self`."""
    hints: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """The types of its parameters."""
    waits: bool = False
    """It has to be awaited."""
    settable: bool = True


@lru_cache(1024)
def members(cls: type) -> frozenset[str]:
    """The names of all that a class offers or declares."""
    cls = typing.get_origin(cls) or cls
    names = {name for name in dir(cls) if not (name.startswith("__") and name.endswith("__"))}
    for each in cls.__mro__:
        if each is not object:
            names.update(inspect.get_annotations(each))
    return frozenset(name for name in names if not name.startswith(("_abc_", "_is_", "__")))


@lru_cache(1024)
def offer_of(cls: type, name: str) -> Offer | None:
    """What a class offers by that name; None if nothing."""
    cls = typing.get_origin(cls) or cls
    for each in cls.__mro__:
        annotation = inspect.get_annotations(each).get(name, MISSING)
        if annotation is not MISSING:
            return _of_annotation(_resolved(annotation, each))
        if name in each.__dict__:
            return _of_value(each.__dict__[name], each)
    return None


_CALLABLE: Any = collections.abc.Callable


def _of_annotation(annotation: Any) -> Offer:
    origin = typing.get_origin(annotation)
    if origin in {typing.ClassVar, typing.Final}:
        annotation = (typing.get_args(annotation) or (UNKNOWN,))[0]
        return attrs.evolve(_of_annotation(annotation), settable=False)
    if origin is _CALLABLE:
        *_, result = typing.get_args(annotation) or (UNKNOWN,)
        result, waits = _awaited(result)
        return Offer(result, signature=_ANYTHING, waits=waits)
    return Offer(annotation)


_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def _of_value(value: Any, owner: type) -> Offer:
    if isinstance(value, property):
        hints = _hints(value.fget, owner) if value.fget else {}
        return Offer(hints.get("return", UNKNOWN), settable=value.fset is not None)
    if isinstance(value, staticmethod | classmethod):
        skip = 0 if isinstance(value, staticmethod) else 1
        return _of_function(cast("Any", value).__func__, owner, skip)
    if inspect.isfunction(value):
        return _of_function(value, owner, 1)
    if callable(value) and not isinstance(value, type):
        return Offer(UNKNOWN, signature=_ANYTHING)
    if isinstance(value, types.MemberDescriptorType):  # a slot without an annotation
        return Offer(UNKNOWN)
    return Offer(UNKNOWN if value is None else type(value))


def _of_function(function: Callable[..., Any], owner: type, skip: int) -> Offer:
    hints = _hints(function, owner)
    signature = inspect.signature(function)
    signature = signature.replace(parameters=tuple(signature.parameters.values())[skip:])
    result, waits = hints.get("return", UNKNOWN), inspect.iscoroutinefunction(function)
    if not waits:
        result, waits = _awaited(result)
    return Offer(type(None) if result is None else result, signature=signature, hints=hints, waits=waits)


def _awaited(result: Any) -> tuple[Any, bool]:
    """What comes of a result when it is awaited, if it can be, and whether it can."""
    origin = typing.get_origin(result)
    if isinstance(origin, type) and issubclass(origin, collections.abc.Awaitable):
        return (typing.get_args(result) or (UNKNOWN,))[-1], True
    return result, False


def _hints(function: Any, owner: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  - one annotation that means nothing must not hide the others
        names = inspect.get_annotations(function)
        return {name: _resolved(annotation, owner, function) for name, annotation in names.items()}


def _resolved(annotation: Any, owner: type, function: Any = None) -> Any:
    """The type that an annotation of a class means; `UNKNOWN` if it means nothing."""
    if not isinstance(annotation, str):
        return annotation
    module = inspect.getmodule(owner)
    spaces: dict[str, Any] = getattr(function, "__globals__", None) or (vars(module) if module else {})
    holder = types.new_class("Holder")
    holder.__annotations__ = {"it": annotation}
    try:
        return typing.get_type_hints(holder, spaces, dict(vars(owner)), include_extras=True)["it"]
    except Exception:  # noqa: BLE001  - whatever it may raise, it is not known
        return UNKNOWN


# What expressions are.

_OF_BUILTINS: dict[Any, Any] = {
    len: int, abs: UNKNOWN, sum: UNKNOWN, repr: str, hash: int, any: bool, all: bool, isinstance: bool,
    callable: bool, ord: int, chr: str, hex: str, bin: str, id: int, format: str, hasattr: bool, ascii: str,
}  # fmt: skip

_CLOSED = (int, str, bytes, float, complex)
"""Types that stay the same under their own operators, but for `/` and `**`."""


@attrs.frozen
class Types:
    """The types of the expressions of one script function."""

    source: Source
    roles: Mapping[str, type]
    variables: Mapping[str, Any]

    def of(self, expr: ast.expr) -> Any:
        """The type of an expression; `UNKNOWN` if annotations do not tell. A call of what has to be awaited is awaited."""
        found = self._of(expr)
        return UNKNOWN if isinstance(found, typing.TypeVar) else found

    def offer(self, expr: ast.Attribute) -> Offer | None:
        """What an attribute of a role, or of something of a known class, is; None where that is not known."""
        if isinstance(expr.value, ast.Name) and expr.value.id in self.roles:
            return offer_of(self.roles[expr.value.id], expr.attr)
        owner = self.of(expr.value)
        return offer_of(owner, expr.attr) if isinstance(owner, type) else None

    def _of(self, expr: ast.expr) -> Any:  # noqa: C901, PLR0912  - one answer for each kind of expression
        match expr:
            case ast.Constant(value=value):
                return type(value)
            case ast.Name(id=name):
                if name in self.variables:
                    return self.variables[name]
                return self._of_meaning(self.source.meaning(expr))
            case ast.Attribute():
                offer = self.offer(expr)
                if offer is not None:
                    return offer.type
                return self._of_meaning(self.source.meaning(expr))
            case ast.Call():
                return self._of_call(expr)
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self.of(value)
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return bool
            case ast.UnaryOp(operand=operand):
                found = self.of(operand)
                return int if found is bool else found
            case ast.BoolOp(op=ast.Or(), values=[*first, last]):
                # `or` goes on where None is: what comes of it is None only if that is the last.
                return _common([*(_without_none(self.of(each)) for each in first), self.of(last)])
            case ast.BoolOp(values=values):
                return _common([self.of(each) for each in values])
            case ast.IfExp(body=body, orelse=orelse):
                return _common([self.of(body), self.of(orelse)])
            case ast.BinOp():
                return self._of_operator(expr)
            case ast.JoinedStr():
                return str
            case ast.Tuple(elts=elts) if not any(isinstance(each, ast.Starred) for each in elts):
                parts = [self.of(each) for each in elts]
                return UNKNOWN if UNKNOWN in parts else types.GenericAlias(tuple, tuple(parts))
            case ast.List(elts=elts) if elts:
                part = _common([self.of(each) for each in elts])
                return UNKNOWN if part is UNKNOWN else types.GenericAlias(list, part)
            case ast.Subscript():
                return self._of_item(expr)
            case _:
                return UNKNOWN

    def _of_meaning(self, value: Any) -> Any:
        if value is MISSING or callable(value) or isinstance(value, types.ModuleType):
            return UNKNOWN
        return cast("Any", type(value))

    def _of_call(self, expr: ast.Call) -> Any:
        if isinstance(expr.func, ast.Attribute):
            offer = self.offer(expr.func)
            if offer is not None:
                return offer.type if offer.signature is not None else UNKNOWN
            owner = self.of(expr.func.value)
            if owner is not UNKNOWN:
                return UNKNOWN
        function = self.source.meaning(expr.func)
        if function is MISSING:
            return UNKNOWN
        if isinstance(function, type):
            return UNKNOWN if function is type or hasattr(function, "__class_getitem__") else function
        if inspect.isbuiltin(function):
            return _OF_BUILTINS.get(function, UNKNOWN)
        if not inspect.isfunction(function):
            return UNKNOWN
        return _awaited(_hints(function, type(function)).get("return", UNKNOWN))[0]

    def _of_operator(self, expr: ast.BinOp) -> Any:
        left, right = self.of(expr.left), self.of(expr.right)
        if left not in _CLOSED or right not in _CLOSED:
            return UNKNOWN
        numbers = (int, float)
        if isinstance(expr.op, ast.Pow):
            return UNKNOWN
        if isinstance(expr.op, ast.Div) and left in numbers and right in numbers:
            return float
        if isinstance(expr.op, ast.Mod) and left in {str, bytes}:
            return left
        if left == right:
            return left
        return float if left in numbers and right in numbers else UNKNOWN

    def _of_item(self, expr: ast.Subscript) -> Any:
        owner = self.of(expr.value)
        args, origin = typing.get_args(owner), typing.get_origin(owner)
        if isinstance(expr.slice, ast.Slice):
            return owner
        if owner in {str, bytes}:
            return str if owner is str else int
        if not isinstance(origin, type) or not args:
            return UNKNOWN
        if issubclass(origin, tuple):
            place = self.source.meaning(expr.slice)
            whole = isinstance(place, int) and ... not in args and -len(args) <= place < len(args)
            return args[place] if whole else (args[0] if len(args) == 2 and args[1] is ... else UNKNOWN)
        if issubclass(origin, collections.abc.Mapping):
            return args[1] if len(args) == 2 else UNKNOWN
        return args[0] if issubclass(origin, collections.abc.Sequence) else UNKNOWN


def _common(kinds: Sequence[Any]) -> Any:
    """The type that all have; `UNKNOWN` if they differ."""
    return kinds[0] if all(each == kinds[0] for each in kinds) else UNKNOWN


def _without_none(kind: Any) -> Any:
    kept = tuple(each for each in options(kind) if each is not type(None))
    return typing.Union[kept] if kept and UNKNOWN not in kept else UNKNOWN  # noqa: UP007


# What fits where.


def options(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type."""
    if isinstance(kind, typing.TypeVar) or kind is None:
        return (type(None),) if kind is None else (UNKNOWN,)
    if type(kind).__name__ == "TypeAliasType":
        return options(kind.__value__)
    if typing.get_origin(kind) is typing.Annotated:
        return options(typing.get_args(kind)[0])
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return tuple(part for each in typing.get_args(kind) for part in options(each))
    return (kind,)


def literal(value: object) -> Any:
    """The type that has this value alone, where there is one; else its class."""
    return Literal[value] if isinstance(value, str | bytes | int | enum.Enum) else type(value)


def admits_none(kind: Any) -> bool:
    """Whether None is among the values of a type."""
    return any(each is type(None) or _literal_none(each) for each in options(kind))


def _literal_none(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Literal and None in typing.get_args(kind)


def fits(value: Any, target: Any) -> bool:
    """Whether a value of one type may go where another is asked for. What cannot be judged may."""
    return all(any(_fits_one(each, other) for other in options(target)) for each in options(value))


def _fits_one(value: Any, target: Any) -> bool:
    if value is UNKNOWN or target is UNKNOWN:
        return True
    words = typing.get_args(target) if typing.get_origin(target) is typing.Literal else None
    if words is None or typing.get_origin(value) is not typing.Literal:
        return subtypes.fits(value, target)
    return set(typing.get_args(value)) <= set(words)


def named(kind: Any) -> str:
    """A type, as its author would write it."""
    if kind is UNKNOWN or kind is type(None) or kind is None:
        return "something unknown" if kind is UNKNOWN else "None"
    return kind.__qualname__ if type(kind) is type else str(kind).removeprefix("typing.")


def finite(kind: Any) -> tuple[Any, ...] | None:
    """All values of a type that has only so many: bools, enums, literals, None and unions of them; else None."""
    values: list[Any] = []
    for each in options(kind):
        if each is bool:
            values += [True, False]
        elif each is type(None):
            values.append(None)
        elif isinstance(each, type) and issubclass(each, enum.Enum) and not issubclass(each, enum.Flag):
            values += list(each)
        elif typing.get_origin(each) is typing.Literal:
            values += typing.get_args(each)
        else:
            return None
    return tuple(values)
