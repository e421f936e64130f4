"""What roles offer, by the annotations of their classes. It tells what annotations tell, and no more."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import attrs

from amachine.choreography.functions.kinds import UNKNOWN
from amachine.choreography.functions.sources import MISSING

__all__ = ["Offer", "awaited", "hints_of", "members", "offer_of"]


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
        result, waits = awaited(result)
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
        hints = hints_of(value.fget, owner) if value.fget else {}
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
    hints = hints_of(function, owner)
    signature = inspect.signature(function)
    signature = signature.replace(parameters=tuple(signature.parameters.values())[skip:])
    result, waits = hints.get("return", UNKNOWN), inspect.iscoroutinefunction(function)
    if not waits:
        result, waits = awaited(result)
    return Offer(type(None) if result is None else result, signature=signature, hints=hints, waits=waits)


def awaited(result: Any) -> tuple[Any, bool]:
    """What comes of a result when it is awaited, if it can be, and whether it can."""
    origin = typing.get_origin(result)
    if isinstance(origin, type) and issubclass(origin, collections.abc.Awaitable):
        return (typing.get_args(result) or (UNKNOWN,))[-1], True
    return result, False


def hints_of(function: Any, owner: type) -> dict[str, Any]:
    """The types of a function's parameters and of what it returns, as far as they mean something."""
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
