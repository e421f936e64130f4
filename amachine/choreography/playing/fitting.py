"""Whether a value is what a branch carries, as far as a running program can tell. It never changes or copies a value.

What cannot be judged, such as a protocol that is not made for run time, is not refused: the type checker has seen it.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

from amachine.choreography.typenames import kind_of

__all__ = ["Check", "check_of", "exact_class", "misfit"]

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


def misfit(payload: Any, value: Any) -> str:
    """What a value is that does not fit, and where in it: by classes, for what is in it may be a secret."""
    whole, path = value, ""
    inner: tuple[str, Any, Any] | None = path, payload, value
    while inner is not None:
        step, payload, value = inner
        path += step
        inner = next((each for each in _parts(payload, value) if not check_of(each[1])(each[2])), None)
    return f"{kind_of(whole)} with {kind_of(value)} at {path}" if path else kind_of(value)


def _parts(payload: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """What is in a value of `list[int]` and its kin: where it is, what it has to be, and what it is."""
    origin, arguments = typing.get_origin(payload), typing.get_args(payload)
    if origin is typing.Annotated:
        yield "", arguments[0], value
    if not isinstance(origin, type) or not isinstance(value, cast("Any", origin)):
        return
    if issubclass(origin, collections.abc.Mapping) and len(arguments) == 2:
        for key, item in value.items():
            yield ".keys()", arguments[0], key
            yield ".values()", arguments[1], item
    elif issubclass(origin, tuple) and arguments[-1:] != (Ellipsis,):
        for at, (kind, each) in enumerate(zip(arguments, value, strict=False)):
            yield f"[{at}]", kind, each
    elif issubclass(origin, collections.abc.Collection) and arguments:
        for at, each in enumerate(value):
            yield f"[{at}]", arguments[0], each


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
