"""The types that annotations say: which fit where others are asked for, and which have only so many values.

`UNKNOWN` is an honest answer, and fits everywhere. Whether that matters is for others to say.
"""

from __future__ import annotations

import enum
import types
import typing
from typing import Any, Literal

from amachine.choreography import subtypes

__all__ = ["UNKNOWN", "admits_none", "finite", "fits", "literal", "named", "options"]

UNKNOWN: Any = object()
"""The type of what no annotation says anything of."""


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
