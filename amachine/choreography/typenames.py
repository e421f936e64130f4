"""Payload types seen from outside: what they are called, their JSON schema, and the way back from a name to a type.

It encodes nothing. A name that comes from data is looked up, never imported and never called.
"""

from __future__ import annotations

import ast
import datetime as dt
import decimal
import types
import typing
import uuid
from collections.abc import Mapping
from typing import Any, cast, get_args, get_origin

import attrs
import msgspec

__all__ = ["Opaque", "is_common", "kind_of", "payload_name", "payload_of", "payload_schema"]

NAME_LIMIT = 1000
"""Characters of a name that is looked up: no type has a longer one."""

_PLAIN = (bool, int, float, str, bytes, bytearray, complex, object, list, dict, tuple, set, frozenset)
_USUAL = (dt.date, dt.datetime, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)
_COMMON: dict[str, Any] = {
    "typing.Any": Any,
    **{kind.__name__: kind for kind in _PLAIN},
    **{f"{kind.__module__}.{kind.__qualname__}": kind for kind in _USUAL},
}
_GENERIC: tuple[Any, ...] = (list, dict, tuple, set, frozenset)


@attrs.frozen
class Opaque:
    """A payload type that is known by its name and schema alone: whoever loads a script need not have the class."""

    name: str
    schema: Any = attrs.field(default=None, hash=False)
    """Its JSON schema; None for a type that has none."""

    def __str__(self) -> str:
        return self.name


def kind_of(value: object) -> str:
    """What a value is, for people, and nothing of what is in it: `a str`, `an Order`, `None`."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name}"


def payload_name(payload: Any, *, full: bool = False) -> str:
    """What a payload type is called, for people; `full`: with its module, as a script's JSON names it."""
    if payload is None or payload is type(None):
        return "None"
    if isinstance(payload, Opaque):
        return payload.name if full else payload.name.rpartition(".")[2]
    if isinstance(payload, type) and not get_args(payload):
        kind = cast("type[Any]", payload)
        if kind.__module__ == "builtins":
            return kind.__qualname__
        return f"{kind.__module__}.{kind.__qualname__}" if full else kind.__qualname__.rpartition(".")[2]
    if payload is Any:
        return "typing.Any" if full else "Any"
    origin, args = get_origin(payload), get_args(payload)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(payload_name(each, full=full) for each in args)
    if isinstance(origin, type) and all(
        each is Any or isinstance(each, type) or get_args(each) for each in args
    ):
        inside = ", ".join(payload_name(each, full=full) for each in args) or "()"
        return f"{payload_name(origin, full=full)}[{inside}]"
    return str(payload) if full else str(payload).replace("typing.", "")


def payload_schema(payload: Any) -> Any:
    """The JSON schema of a payload type, without the words that only people read.

    msgspec makes it, and pydantic that of its own classes. A type of which neither knows anything has one that is only its name.
    """
    if isinstance(payload, Opaque):
        return {"x-type": payload.name} if payload.schema is None else _without_words(payload.schema)
    try:
        return _without_words(msgspec.json.schema(payload, schema_hook=_foreign))
    except Exception:  # noqa: BLE001  # whatever is raised by a type that says what it is when it is asked
        return _by_name(payload)


def _foreign(kind: Any) -> dict[str, Any]:
    """The schema of a class that msgspec does not know."""
    make = getattr(kind, "model_json_schema", None)
    made = make() if callable(make) else None
    return cast("dict[str, Any]", made) if isinstance(made, dict) else _by_name(kind)


def _by_name(kind: Any) -> dict[str, Any]:
    # Without its module, which is another one when that is run as a program.
    return {"x-type": kind.__qualname__ if isinstance(kind, type) else payload_name(kind)}


def _without_words(schema: Any, *, named: bool = False) -> Any:
    """A schema without descriptions. `named`: its keys are names that the user gave."""
    if isinstance(schema, dict):
        given = cast("dict[str, Any]", schema)
        return {
            key: _without_words(each, named=not named and key in ("properties", "$defs"))
            for key, each in given.items()
            if named or key != "description"
        }
    if isinstance(schema, list):
        return [_without_words(each) for each in cast("list[object]", schema)]
    return schema


def is_common(payload: Any) -> bool:
    """Whether the name alone gives the type back, anywhere."""
    return bool(payload_of(payload_name(payload, full=True), {}, None) == payload)


def payload_of(name: str, known: Mapping[str, Any], schema: Any) -> Any:
    """The type of that name: one of `known`, a common one or made of such; else an `Opaque` one with that schema."""
    found = _named(name, known)
    if found is None and name.isprintable() and len(name) <= NAME_LIMIT:
        try:
            found = _built(ast.parse(name, mode="eval").body, known)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            found = None
    return Opaque(name, schema) if found is None else found


def _named(name: str, known: Mapping[str, Any]) -> Any:
    """The type that is called so, with or without its module."""
    return known.get(name) or _COMMON.get(name) or known.get(name.rpartition(".")[2])


def _built(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """The type that an expression of names, `[…]` and `|` stands for; None if it is anything else."""
    match node:
        case ast.Name() | ast.Attribute():
            return _named(ast.unparse(node), known)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            one, other = _part(left, known), _part(right, known)
            return None if one is None or other is None else typing.Union[one, other]  # noqa: UP007
        case ast.Subscript(value=value, slice=inside):
            origin = _built(value, known)
            elements = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            parts = tuple(_part(each, known) for each in elements)
            return None if origin not in _GENERIC or None in parts else origin[parts]
        case _:
            return None


def _part(node: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return type(None) if node.value is None else ... if node.value is ... else None
    return _built(node, known)
