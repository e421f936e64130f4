"""Arguments as data: read from mappings, checked against the class of a state; and written as plain data, to be kept.

msgspec and pydantic are imported late. What is written here is read here: fields by their names, also private ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from enum import Enum
from math import isfinite
from typing import Any, TypeGuard, cast

import attrs

from amachine.errors import ArgsError, nearest

JSON = (bool, int, float, str, type(None))
"""What plain data is made of, beside lists and mappings with names."""


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
            raise ArgsError(f"{state}: {_told(error)}", state=state) from error
    if isinstance(make, type):
        fields = _fields(make)
        if fields:
            for name in data:
                if name not in fields:
                    raise ArgsError(f"{state} has no argument {name!r}{nearest(name, fields)}", state=state)
            return _convert(state, make, {fields[name]: value for name, value in data.items()}, _as_is)
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


def _told(error: ValueError) -> str:
    """What is wrong, and where; of pydantic's errors without the input, which may be a secret."""
    listed: Any = getattr(error, "errors", None)
    if listed is None:
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
        for each in listed(include_input=False, include_url=False)
    )


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


def to_plain(value: Any, make: Callable[..., Any] | None) -> Any:
    """Arguments that `make` built, as plain data for `from_plain`. Errors: TypeError, which says what cannot be kept.

    Without a class to read them by (`make` is None or dict) only what JSON has can be kept: a date would come back as text.
    """
    if make is None or make is dict:
        _check_json(value)
        return _copied(value)
    try:
        plain = _plain(value)
        _check_json(plain)
        again = from_plain("they", make, plain)
    except (ArgsError, AttributeError) as error:
        raise TypeError(f"{_short(value)} could not be read back: {error}") from None
    # A class without an `__eq__` of its own is compared by its data.
    equality: object = type(value).__eq__
    same = again == value or (equality is object.__eq__ and _plain(again) == plain)
    if type(again) is not type(value) or not same:
        raise TypeError(f"{_short(value)} would come back as {_short(again)}")
    return plain


def from_plain(state: str, make: Callable[..., Any] | None, data: Any) -> Any:
    """What `to_plain` was given, or what is its equal today. Errors: `ArgsError`, which names the field."""
    try:
        if make is None or make is dict:
            if make is dict and not isinstance(data, dict):
                raise ArgsError(f"{state} has no arguments by name, but {_short(data)}", state=state)
            _check_json(data)
            return _copied(data)
        read_json: Callable[[str], Any] | None = getattr(make, "model_validate_json", None)
        if read_json is not None:
            import json

            try:
                return read_json(json.dumps(data))
            except ValueError as error:
                raise ArgsError(f"{state}: {_told(error)}", state=state) from None  # it quotes the data
        if isinstance(make, type):
            if is_mapping(data) and (fields := _fields(make).values()):
                for name in data:
                    if name not in fields:
                        raise ArgsError(
                            f"{state} has no argument {name!r}{nearest(str(name), fields)}", state=state
                        )
            return _convert(state, make, data, _from_text, str_keys=True)
        _check_call(make, data)
        return make(**data)
    except ArgsError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgsError(f"{state}: {error}", state=state) from error


def _convert(
    state: str,
    make: type[Any],
    data: Any,
    unknown: Callable[[type[Any], Any], Any],
    *,
    str_keys: bool = False,
) -> Any:
    """What msgspec makes of data; `unknown` is asked for types that it does not know."""
    import msgspec

    try:
        return msgspec.convert(data, make, dec_hook=unknown, strict=True, str_keys=str_keys)
    except (msgspec.ValidationError, TypeError) as error:
        raise ArgsError(f"{state}: {error}", state=state) from error


def _fields(make: type[Any]) -> dict[str, str]:
    """What an attrs class or a dataclass is built with, and the name that the value has there; nothing for any other class."""
    if attrs.has(make):
        return {field.alias or field.name: field.name for field in attrs.fields(make) if field.init}
    fields: dict[str, Any] = getattr(make, "__dataclass_fields__", {})
    return {name: name for name, field in fields.items() if field.init}


def _as_is(wanted: type[Any], value: Any) -> Any:
    """Of values from this program: an instance stands, a string is given to the class."""
    if isinstance(value, wanted):
        return value
    if isinstance(value, str):
        return wanted(value)
    raise ValueError(f"expected {wanted.__name__}, got {type(value).__name__}")


def _from_text(wanted: type[Any], value: Any) -> Any:
    """Of data from anywhere: a path. No other class is called with what stands there: it may open a file, or run a program."""
    if isinstance(value, str) and hasattr(wanted, "__fspath__"):
        return wanted(value)
    raise ValueError(f"expected {wanted.__name__}, got {type(value).__name__}")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if type(value) in JSON:
        return value
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json", by_alias=True)
    if is_mapping(value):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return [_plain(each) for each in value]
    fields = _fields(value.__class__).values()
    if fields:
        return {name: _plain(getattr(value, name)) for name in fields}
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    import msgspec

    return msgspec.to_builtins(value, enc_hook=_unknown, str_keys=True)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether this is a mapping: to a type checker one of anything, not of something unknown."""
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return type(value) is list


def _unknown(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    raise TypeError(f"{_short(value)} cannot be made plain")


def _check_json(value: Any, *names: str) -> None:
    """Errors: TypeError for what would not come back from JSON as it went in. `names` lead to it, the last one first."""
    if is_mapping(value):
        for name, each in value.items():
            if type(name) is not str:
                raise TypeError(f"the key {_short(name)}{_where(names)} is no string")
            _check_json(each, name, *names)
    elif _is_list(value):
        for each in value:
            _check_json(each, *names)
    elif type(value) not in JSON or (type(value) is float and not isfinite(value)):
        raise TypeError(
            f"{_short(value)}{_where(names)} is no plain value, and there is no class that could read it back"
        )


def _where(names: tuple[str, ...]) -> str:
    return "".join(f" in {_short(name)}" for name in names[:8])


def _copied(value: Any) -> Any:
    if is_mapping(value):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if _is_list(value) else value


def _check_call(make: Callable[..., Any], data: Any) -> None:
    """Errors: TypeError where a function could not be called with this data again."""
    from inspect import signature

    if not is_mapping(data):
        raise TypeError(f"{make!r} made {_short(data)}, which has no names to call it by again")
    try:
        signature(make).bind(**data)
    except TypeError as error:
        raise TypeError(
            f"{make!r} could not be called again with {', '.join(map(str, data))}: {error}"
        ) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
