"""Arguments that come in as data: mappings checked against the class of a state. msgspec and pydantic are imported late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from amachine.errors import ArgsError, nearest


def from_data(state: str, make: Callable[..., Any] | None, data: Mapping[str, Any]) -> Any:
    """The arguments of a state, made from a mapping: with its field names checked, and its values converted.

    attrs classes and dataclasses are read by msgspec, pydantic models validate themselves; any other callable is called.
    Errors: `ArgsError`, which names the field and what is wrong with it.
    """
    if make is None:
        raise ArgsError(f"{state} takes no arguments, but was given {', '.join(data)}", state=state)
    if make is dict:
        return {**data}
    validate: Callable[[Any], Any] | None = getattr(make, "model_validate", None)
    if validate is not None:
        try:
            return validate({**data})
        except ValueError as error:
            raise ArgsError(f"{state}: {error}", state=state) from error
    if isinstance(make, type):
        names = _field_names(make)
        if names:
            return _convert(state, make, names, data)
    return from_call(state, make, (), data)


def from_call(
    state: str, make: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """The arguments of a state, made as its class is called. Errors: `ArgsError`, with the nearest name for a wrong one."""
    if make is None:
        raise ArgsError(f"{state} takes no arguments", state=state)
    try:
        return make(*args, **kwargs)
    except TypeError as error:
        raise ArgsError(f"{state}: {error}{_meant(make, kwargs, str(error))}", state=state) from error


def _meant(make: Callable[..., Any], kwargs: Mapping[str, Any], error: str) -> str:
    """The name nearest to the one that the error complains of."""
    from inspect import signature

    if "Did you mean" in error:  # Python from 3.13 on does this by itself
        return ""
    try:
        known = tuple(signature(make).parameters)
    except (TypeError, ValueError):  # not every class of C tells
        return ""
    wrong = [name for name in kwargs if name not in known and repr(name) in error]
    return nearest(wrong[0], known) if wrong else ""


def _convert(state: str, make: type[Any], names: tuple[str, ...], data: Mapping[str, Any]) -> Any:
    import msgspec

    for name in data:
        if name not in names:
            raise ArgsError(f"{state} has no argument {name!r}{nearest(name, names)}", state=state)
    # Values that are objects already are let through where their class fits: msgspec would only know data.
    try:
        return msgspec.convert({**data}, make, dec_hook=_as_is, strict=True)
    except (msgspec.ValidationError, TypeError) as error:
        raise ArgsError(f"{state}: {error}", state=state) from error


def _field_names(make: type[Any]) -> tuple[str, ...]:
    """The names that an attrs class or a dataclass is built with; none for any other class."""
    if attrs.has(make):
        return tuple(field.alias or field.name for field in attrs.fields(make))
    fields: dict[str, object] = getattr(make, "__dataclass_fields__", {})
    return tuple(fields)


def _as_is(wanted: type[Any], value: Any) -> Any:
    """For types that msgspec does not know, such as `Path`: an instance stands, a string is given to the class."""
    if isinstance(value, wanted):
        return value
    if isinstance(value, str):
        return wanted(value)
    raise ValueError(f"expected {wanted.__name__}, got {type(value).__name__}")
