"""Arguments that come in as data: mappings checked against the class of a state. msgspec and pydantic are imported late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
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
        return dict(data)
    if hasattr(make, "model_validate"):
        try:
            return make.model_validate(dict(data))
        except ValueError as error:
            raise ArgsError(f"{state}: {error}", state=state) from error
    if isinstance(make, type) and (attrs.has(make) or is_dataclass(make)):
        return _convert(state, make, data)
    try:
        return make(**data)
    except TypeError as error:
        raise ArgsError(f"{state}: {error}", state=state) from error


def _convert(state: str, make: type[Any], data: Mapping[str, Any]) -> Any:
    import msgspec

    fields = [field.alias if isinstance(field, attrs.Attribute) else field.name for field in _fields(make)]
    for name in data:
        if name not in fields:
            raise ArgsError(f"{state} has no argument {name!r}{nearest(name, fields)}", state=state)
    # Values that are objects already are let through where their class fits: msgspec would only know data.
    try:
        return msgspec.convert(dict(data), make, dec_hook=_as_is, strict=True)
    except (msgspec.ValidationError, TypeError) as error:
        raise ArgsError(f"{state}: {error}", state=state) from error


def _fields(make: type[Any]) -> tuple[Any, ...]:
    if attrs.has(make):
        return attrs.fields(make)
    from dataclasses import fields

    return fields(make)


def _as_is(wanted: type[Any], value: Any) -> Any:
    """For types that msgspec does not know, such as `Path`: an instance stands, a string is given to the class."""
    if isinstance(wanted, type) and isinstance(value, wanted):
        return value
    if isinstance(value, str):
        return wanted(value)
    raise ValueError(f"expected {wanted.__name__}, got {type(value).__name__}")
