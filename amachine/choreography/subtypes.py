"""Whether one type can stand where another is asked for, as far as that can be told without a type checker.

In doubt it can: a checker has looked at the same lines, and an error that is none is worse than one that comes later.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import typing_extensions

__all__ = ["fits", "is_protocol", "missing", "of_instances"]

_PROMOTED: dict[Any, tuple[type, ...]] = {float: (int,), complex: (int, float)}
"""As type checkers have it: where a float is asked for, an int will do."""


def fits(given: Any, wanted: Any) -> bool:
    """Whether every value of the one type is surely, or at least perhaps, one of the other. None is the type of None."""
    given, wanted = _plain(given), _plain(wanted)
    if given is wanted or _equal(given, wanted) or wanted is Any or wanted is object or given is Any:
        return True
    if _is_union(given):
        return all(fits(each, wanted) for each in typing.get_args(given))
    if _is_union(wanted):
        return any(fits(given, each) for each in typing.get_args(wanted))
    if isinstance(given, typing.NewType):
        return fits(given.__supertype__, wanted)
    if typing.get_origin(given) is typing.Literal:
        return all(fits(type(each), wanted) for each in typing.get_args(given))
    if isinstance(wanted, typing.NewType) or typing.get_origin(wanted) is typing.Literal:
        return False
    return _class_fits(given, wanted)


def missing(given: type, protocol: Any) -> tuple[str, ...]:
    """What a protocol asks for and instances of a class will not have, sorted."""
    if hasattr(given, "__getattr__"):
        return ()
    asked = typing_extensions.get_protocol_members(protocol)
    absent = [name for name in asked if not hasattr(given, name)]
    return tuple(sorted(set(absent).difference(of_instances(given)))) if absent else ()


def is_protocol(kind: Any) -> bool:
    """Whether it is a class that says only what must be there."""
    return isinstance(kind, type) and typing_extensions.is_protocol(kind)


def _class_fits(given: Any, wanted: Any) -> bool:
    one, other = typing.get_origin(given) or given, typing.get_origin(wanted) or wanted
    if not (isinstance(one, type) and isinstance(other, type)):
        return True
    if is_protocol(other):
        return not missing(one, other)
    try:
        related = issubclass(one, (other, *_PROMOTED.get(other, ())))
    except TypeError:  # a TypedDict and its kin cannot be asked
        return True
    if not related or one is not other:
        return related
    pairs = zip(typing.get_args(given), typing.get_args(wanted), strict=False)
    return all(a is ... or b is ... or fits(a, b) for a, b in pairs)


def _plain(kind: Any) -> Any:
    """A type without what only annotates it; what a name of Python 3.12's `type` statement stands for."""
    if kind is None:
        return type(None)
    if typing.get_origin(kind) is typing.Annotated:
        return _plain(typing.get_args(kind)[0])
    if type(kind).__name__ == "TypeAliasType":
        return _plain(kind.__value__)
    if isinstance(kind, TypeVar):
        return _plain(kind.__bound__) if isinstance(kind.__bound__, type) else Any
    return kind


def _equal(given: Any, wanted: Any) -> bool:
    try:
        return bool(given == wanted)
    except Exception:  # noqa: BLE001  # the author's metaclass may raise anything
        return False


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in {typing.Union, types.UnionType}


def of_instances(kind: type) -> Iterator[str]:
    """The names that instances have though their class has not: what is annotated, and what methods assign."""
    for base in kind.__mro__:
        annotated = vars(base).get("__annotations__")
        if isinstance(annotated, Mapping):  # functions and modules have a descriptor there, for their own
            yield from annotated
        for each in vars(base).values():
            function = getattr(each, "__func__", each)
            if isinstance(function, types.FunctionType):
                yield from function.__code__.co_names  # `self.count = 0` mentions it; so do others, and that is in doubt
