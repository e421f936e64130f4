"""Where two scripts differ, in words: their canonical forms are walked together, down to the fields of what is sent.

Nothing is dumped, however large it is, and no two sides of a difference read alike. It hashes and compares nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

from amachine.tracers.shown import cut

__all__ = ["differences"]

SHOWN = 80
"""Characters of a text up to which it is said in full; of longer ones, so many are, from shortly before they differ."""

Data: TypeAlias = Mapping[str, Any]

_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")

_ABSENT: Any = object()


def differences(mine: Data, theirs: Data, order: Iterable[str]) -> Iterator[str]:
    """What differs in two canonical forms, a sentence each; scenes in this order."""
    for key, value in mine.items():
        if key == "regions":
            yield from _in_regions(value, theirs[key])
        elif key != "scenes":
            yield from _in_part(key, value, theirs[key])
    for id, one, other in _pairs(mine["scenes"], theirs["scenes"], order):
        if one is None or other is None:
            yield f"scene {id} is only {'there' if one is None else 'here'}"
        else:
            yield from (f"scene {id}, {each}" for each in _in_scene(one, other))


def _pairs(mine: Data, theirs: Data, order: Iterable[str] | None = None) -> Iterator[tuple[str, Any, Any]]:
    """By name, what each side has."""
    for name in dict.fromkeys(sorted({*mine, *theirs}) if order is None else order):
        yield name, mine.get(name), theirs.get(name)


def _in_regions(mine: Data, theirs: Data) -> Iterator[str]:
    for name, one, other in _pairs(mine, theirs):
        if one is None or other is None:
            yield f"region {name} is only {'there' if one is None else 'here'}"
            continue
        for role, here, there in _pairs(one["on_lost"], other["on_lost"]):
            yield from _in_part(f"region {name}, without {role}", here, there)
        for key in ("restart", "parent"):
            yield from _in_part(f"region {name}, {key}", one[key], other[key])


def _in_scene(mine: Data, theirs: Data) -> Iterator[str]:
    for key in ("sender", "receivers", "region"):
        yield from _in_part(key, mine[key], theirs[key])
    for label, one, other in _pairs(mine["branches"], theirs["branches"]):
        if one is None or other is None:
            yield f"branch {label} is only {'there' if one is None else 'here'}"
            continue
        for key, value in one.items():
            found = (_in_payload if key == "payload" else _in_part)(key, value, other[key])
            yield from (f"branch {label}, {each}" for each in found)


def _in_part(name: str, mine: Any, theirs: Any) -> Iterator[str]:
    """Names, or a list of them."""
    if mine != theirs:
        one, other = _said(mine), _said(theirs)
        yield f"{name}: {_both(one, other) if one != other else _both(_text(mine), _text(theirs))}"


def _said(value: Any) -> str:
    if _is_list(value):
        return ", ".join(map(str, value)) or "nobody"
    return "none" if value is None else str(value)


def _both(mine: str, theirs: str) -> str:
    """Two texts that are not the same, so that this can be seen."""
    start = 0
    if max(len(mine), len(theirs)) > SHOWN:
        alike = (n for n, (one, other) in enumerate(zip(mine, theirs, strict=False)) if one != other)
        start = max(next(alike, min(len(mine), len(theirs))) - SHOWN // 4, 0)
    one, other = (f"{'…' * bool(start)}{cut(each[start:], SHOWN)}" for each in (mine, theirs))
    return f"{one} here, {other} there"


def _text(value: Any) -> str:
    """Whatever JSON has, such that different things have different texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# Payloads.


def _in_payload(name: str, mine: Any, theirs: Any) -> Iterator[str]:
    """Two JSON schemas, or None on one side."""
    one, other = _text(mine), _text(theirs)
    if one != other:
        found = next(_Schemas(name).walk("", json.loads(one), json.loads(other), ({}, {})), None)
        yield found or f"{name} differs in what is said of it"


class _Schemas:
    """Two JSON schemas of one payload."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: set[str] = set()
        """The names of those that were met: they may contain themselves."""

    def walk(self, at: str, mine: Any, theirs: Any, defs: tuple[Data, Data]) -> Iterator[str]:
        """What differs at a place, such as `Order.zip`; the first place has no name yet."""
        one, other = _kind(mine), _kind(theirs)
        if one != other:
            yield f"{self.place(at)}: {_both(one, other)}"
        elif _is_map(mine) and _is_map(theirs):
            defs = {**defs[0], **_part(mine, "$defs")}, {**defs[1], **_part(theirs, "$defs")}
            at = at or _name(mine)
            yield from self.parts(at, mine, theirs, defs)
            if isinstance(mine.get("$ref"), str) and one not in self.seen:
                self.seen.add(one)
                yield from self.walk(at, defs[0].get(one), defs[1].get(one), defs)

    def parts(self, at: str, mine: Data, theirs: Data, defs: tuple[Data, Data]) -> Iterator[str]:
        """What differs in the parts of two schemas of one kind; fields come first."""
        for field, one, other in _pairs(_part(mine, "properties"), _part(theirs, "properties")):
            if one is None or other is None:
                yield f"{self.place(at)}: field {field} is only {'there' if one is None else 'here'}"
            else:
                yield from self.walk(f"{at}.{field}", one, other, defs)
        for key in sorted({*mine, *theirs} - {"properties", "$defs"}):
            one, other = mine.get(key, _ABSENT), theirs.get(key, _ABSENT)
            if key in ("items", "additionalProperties") and _is_map(one) and _is_map(other):
                yield from self.walk(f"{at}[]", one, other, defs)
            elif _is_list(one) and _is_list(other) and key in ("required", "enum"):
                yield from self.lists(at, key, one, other)
            elif _is_list(one) and _is_list(other) and key in _OF_SCHEMAS and len(one) == len(other):
                for n, (each, its) in enumerate(zip(one, other, strict=True)):
                    yield from self.walk(f"{at}[{n}]" if key == "prefixItems" else at, each, its, defs)
            else:
                yield from self.values(f"{self.place(at)}, {key}", one, other)

    def lists(self, at: str, key: str, mine: list[Any], theirs: list[Any]) -> Iterator[str]:
        """Fields that must be there, or values that there may be."""
        here, there = {*map(_value, mine)}, {*map(_value, theirs)}
        for each in sorted(here ^ there):
            if key == "enum":
                yield f"{self.place(at)}: {cut(each, SHOWN)} is only {'here' if each in here else 'there'}"
            else:
                both = ("required", "optional") if each in here else ("optional", "required")
                field = each.strip('"')
                yield f"{self.place(f'{at}.{field}')}: {_both(*both)}"
        if here == there and _text(mine) != _text(theirs):
            yield f"{self.place(at)}: its {'fields' if key == 'required' else 'values'} stand in another order"

    def values(self, place: str, mine: Any, theirs: Any) -> Iterator[str]:
        """Anything else."""
        if _is_map(mine) and _is_map(theirs):
            for key in sorted({*mine, *theirs}):
                yield from self.values(f"{place} {key}", mine.get(key, _ABSENT), theirs.get(key, _ABSENT))
        elif _is_list(mine) and _is_list(theirs) and len(mine) == len(theirs):
            for n, (each, its) in enumerate(zip(mine, theirs, strict=True), 1):
                yield from self.values(f"{place} {n}", each, its)
        elif (one := _value(mine)) != (other := _value(theirs)):
            yield f"{place}: {_both(one, other)}"

    def place(self, at: str) -> str:
        """A place, with what it is in."""
        return f"{self.name}{'' if at[:1] in ('', '[', '.') else ' '}{at}"


def _part(schema: Data, key: str) -> Data:
    """A part that should be a mapping; one that somebody else wrote may be anything."""
    found = schema.get(key)
    return found if _is_map(found) else {}


def _kind(schema: Any) -> str:
    """What a schema is of, in a word: `integer`, `string (date)`, `Order`, `integer or null`."""
    if not _is_map(schema):
        return "none" if schema is None else "no schema"
    if name := _name(schema):
        return name
    for key in ("anyOf", "oneOf"):
        if _is_list(options := schema.get(key)):
            return " or ".join(map(_kind, options))
    words = {key: each for key, each in schema.items() if isinstance(each, str)}
    said = words.get("type") or ("one of several values" if "enum" in schema else "anything")
    form = words.get("format") or words.get("contentEncoding")
    return f"{said} ({form})" if form else said


def _name(schema: Data) -> str:
    """What the class is called that a schema is of; nothing for anything else."""
    for key in ("$ref", "x-type", "title"):
        word = schema.get(key)
        if isinstance(word, str) and (key != "title" or "properties" in schema):
            return word.rpartition("/")[2]
    return ""


def _value(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    if _is_map(value):
        return "an object"
    return f"a list of {len(value)}" if _is_list(value) else _text(value)


def _is_map(value: Any) -> TypeGuard[Data]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
