"""Whether a value is what a branch carries, as far as a running program can tell. It never changes or copies a value.

What cannot be judged, such as a protocol that is not made for run time, is not refused: the type checker has seen it.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Check", "check_of", "exact_class"]

Check: TypeAlias = Callable[[Any], bool]

_PROMOTED: dict[type, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}
"""As type checkers have it: where a float is asked for, an int will do."""


def exact_class(payload: Any) -> type | None:
    """The class whose own instances fit without a further look; None where there is no such class."""
    if payload is None:
        return type(None)
    plain = isinstance(payload, type) and typing.get_origin(payload) is None
    return payload if plain and not hasattr(payload, "__required_keys__") else None


def check_of(payload: Any) -> Check:
    """What says whether a value fits: subclasses do, members of a union, the elements of `list[int]`, each of them."""
    if payload is None:
        return _is_nothing
    if payload is Any or payload is object:
        return _is_anything
    origin = typing.get_origin(payload)
    if origin is None:
        return _check_of_name(payload)
    arguments = typing.get_args(payload)
    if origin in {typing.Union, types.UnionType}:
        return _any_of(tuple(check_of(None if each is type(None) else each) for each in arguments))
    if origin is typing.Literal:
        return _one_of(arguments)
    if origin is typing.Annotated:
        return check_of(arguments[0])
    if origin is type or not isinstance(origin, type):
        return _instance_of(type) if origin is type else _is_anything
    return _check_of_container(origin, arguments)


def _check_of_name(payload: Any) -> Check:
    """The check of a type without arguments."""
    if isinstance(payload, typing.NewType):
        return check_of(payload.__supertype__)
    if isinstance(payload, typing.TypeVar):
        return check_of(payload.__bound__) if payload.__bound__ is not None else _is_anything
    if type(payload).__name__ == "TypeAliasType":  # `type Pair = …`, of Python 3.12
        return check_of(payload.__value__)
    if hasattr(payload, "__required_keys__"):
        return _keys_of(payload)
    if not isinstance(payload, type):
        return _is_anything
    if getattr(payload, "_is_protocol", False) and not getattr(payload, "_is_runtime_protocol", False):
        return _is_anything
    return _instance_of(_PROMOTED.get(payload, payload))


def _check_of_container(origin: Any, arguments: tuple[Any, ...]) -> Check:
    """The check of `list[int]` and its kin; of somebody's own generic class, only the class is looked at."""
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return _each_of(tuple, check_of(arguments[0]))
        return _row_of(tuple(check_of(each) for each in arguments))
    if origin.__module__ in {"builtins", "collections", "collections.abc"}:
        if issubclass(origin, collections.abc.Mapping) and len(arguments) == 2:
            return _pairs_of(origin, check_of(arguments[0]), check_of(arguments[1]))
        if issubclass(origin, collections.abc.Collection) and len(arguments) == 1:
            return _each_of(origin, check_of(arguments[0]))
    return lambda value: isinstance(value, origin)


def _is_nothing(value: Any) -> bool:
    return value is None


def _is_anything(_: Any) -> bool:
    return True


def _instance_of(classes: type | tuple[type, ...]) -> Check:
    return lambda value: isinstance(value, classes)


def _any_of(checks: tuple[Check, ...]) -> Check:
    return lambda value: any(check(value) for check in checks)


def _one_of(values: tuple[Any, ...]) -> Check:
    return lambda value: any(value == each and type(value) is type(each) for each in values)


def _each_of(origin: Any, check: Check) -> Check:
    return lambda value: isinstance(value, origin) and all(map(check, value))


def _row_of(checks: tuple[Check, ...]) -> Check:
    is_tuple = _instance_of(tuple)

    def fits(value: Any) -> bool:
        if not is_tuple(value) or len(value) != len(checks):
            return False
        return all(check(each) for check, each in zip(checks, value, strict=True))

    return fits


def _pairs_of(origin: Any, key: Check, item: Check) -> Check:
    def fits(value: Any) -> bool:
        return isinstance(value, origin) and all(key(each) and item(what) for each, what in value.items())

    return fits


def _keys_of(payload: Any) -> Check:
    """The check of a TypedDict: a dict with all that it requires. What else is in it, and of what type, is not judged."""
    required: frozenset[str] = payload.__required_keys__
    return lambda value: value.__class__ is dict and required.issubset(value)
