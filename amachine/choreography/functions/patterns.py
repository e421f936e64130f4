"""What the patterns of a `match` say: the label of each branch, the names that they bind, and whether all is covered.

It reads patterns and types; it never matches a value of a role: the role does, when it plays.
"""

from __future__ import annotations

import ast
import collections.abc
import enum
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from amachine.choreography.functions.kinds import UNKNOWN, finite, fits, named, options
from amachine.choreography.functions.offers import members, offer_of
from amachine.choreography.functions.sources import MISSING, Source
from amachine.errors import nearest

__all__ = [
    "OTHERWISE",
    "Told",
    "binds",
    "covers",
    "irrefutable",
    "label_of",
    "matches",
    "name_of_value",
]

OTHERWISE = "otherwise"
"""The label of what no pattern takes, and of patterns that take everything."""

Told = Callable[[ast.AST, str, str, str], None]
"""Tells what is wrong: where, the code, the text, the hint."""


def name_of_value(value: object) -> str:
    """A value as a word: `true`, `OK`, `paid`, `is_3`."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, int | float) and value < 0:
        return f"minus_{name_of_value(-value).removeprefix('is_')}"
    word = re.sub(r"\W+", "_", str(value)).strip("_")
    return word if word and not word[0].isdigit() else f"is_{word}".rstrip("_")


def label_of_value(expr: ast.expr) -> str:
    """The label that a constant, or the name of one, gives to a branch."""
    match expr:
        case ast.Attribute(attr=attr):
            return attr
        case ast.Constant(value=value):
            return name_of_value(value)
        case ast.UnaryOp(operand=ast.Constant(value=value)):
            return f"minus_{name_of_value(value).removeprefix('is_')}"
        case _:
            return "value"


def label_of(pattern: ast.pattern) -> str:
    """The label that a pattern gives to its branch: what it asks for at its outermost."""
    match pattern:
        case ast.MatchValue(value=value):
            return label_of_value(value)
        case ast.MatchSingleton(value=value):
            return name_of_value(value)
        case ast.MatchClass(cls=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
        case ast.MatchAs(pattern=ast.pattern() as inner):
            return label_of(inner)
        case ast.MatchOr(patterns=patterns):
            return "_or_".join(label_of(each) for each in patterns)
        case ast.MatchSequence():
            return "sequence"
        case ast.MatchMapping():
            return "mapping"
        case _:
            return OTHERWISE


def irrefutable(pattern: ast.pattern) -> bool:
    """Whether a pattern takes everything."""
    if isinstance(pattern, ast.MatchOr):
        return any(irrefutable(each) for each in pattern.patterns)
    return isinstance(pattern, ast.MatchAs) and (pattern.pattern is None or irrefutable(pattern.pattern))


def binds(pattern: ast.pattern, kind: Any, source: Source, told: Told) -> dict[str, Any]:
    """The names that a pattern binds, with their types, as far as annotations tell. Tells what is wrong with it."""
    match pattern:
        case ast.MatchAs(pattern=inner, name=name):
            found = {} if inner is None else binds(inner, kind, source, told)
            if name is not None:
                found[name] = kind if inner is None else _of_pattern(inner, kind, source)
            return found
        case ast.MatchClass():
            return _of_class(pattern, kind, source, told)
        case ast.MatchOr(patterns=patterns):
            each = [binds(one, kind, source, told) for one in patterns]
            return {name: _same([one.get(name, UNKNOWN) for one in each]) for name in each[0]}
        case ast.MatchSequence(patterns=patterns):
            return _of_sequence(patterns, kind, source, told)
        case ast.MatchMapping():
            return _of_mapping(pattern, kind, source, told)
        case ast.MatchStar(name=name):
            return {} if name is None else {name: UNKNOWN}
        case ast.MatchValue(value=value):
            _see_value(value, kind, source, told)
            return {}
        case _:
            return {}


def _of_pattern(pattern: ast.pattern, kind: Any, source: Source) -> Any:
    """The type of what a pattern takes."""
    if isinstance(pattern, ast.MatchClass):
        cls = source.meaning(pattern.cls)
        return cls if isinstance(cls, type) else UNKNOWN
    if isinstance(pattern, ast.MatchOr):
        return _same([_of_pattern(each, kind, source) for each in pattern.patterns])
    return kind


def _same(kinds: Sequence[Any]) -> Any:
    return kinds[0] if all(each == kinds[0] for each in kinds) else UNKNOWN


def _of_class(pattern: ast.MatchClass, kind: Any, source: Source, told: Told) -> dict[str, Any]:
    cls = source.meaning(pattern.cls)
    text = ast.unparse(pattern.cls)
    if not isinstance(cls, type):
        if cls is not MISSING:
            told(
                pattern,
                "AMC309",
                f"{text} is no class to match",
                "match a class, an enum's member or a literal",
            )
        else:
            _see_value(pattern.cls, UNKNOWN, source, told)
        return {}
    if not any(_meets(cls, each) for each in options(kind)):
        hint = f"match one of: {', '.join(named(each) for each in options(kind))}"
        told(pattern, "AMC309", f"{text} never is what is matched here, {named(kind)}", hint)
    names: Sequence[str] = getattr(cls, "__match_args__", ())
    if cls in _SELF_MATCHING and len(pattern.patterns) == 1:
        return binds(pattern.patterns[0], cls, source, told)
    if len(pattern.patterns) > len(names):
        count = len(pattern.patterns)
        hint = f"it has these: {', '.join(names) or 'none'}; name others, as in `{text}(x=…)`"
        told(pattern, "AMC309", f"{text} is matched with {count} parts in a row, of {len(names)}", hint)
    found: dict[str, Any] = {}
    parts = [
        *zip(names, pattern.patterns, strict=False),
        *zip(pattern.kwd_attrs, pattern.kwd_patterns, strict=True),
    ]
    for name, part in parts:
        offer = offer_of(cls, name)
        if offer is None and name not in members(cls):
            told(part, "AMC308", f"{text} has no {name!r}{nearest(name, members(cls))}", "")
        found |= binds(part, UNKNOWN if offer is None else offer.type, source, told)
    return found


_SELF_MATCHING = {bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple}


def _meets(cls: type, kind: Any) -> bool:
    """Whether some value of a type may be of that class, too."""
    plain = typing.get_origin(kind) or kind
    if not isinstance(plain, type):
        return True
    return fits(cls, kind) or fits(plain, cls) or getattr(plain, "_is_protocol", False)


def _of_sequence(patterns: Iterable[ast.pattern], kind: Any, source: Source, told: Told) -> dict[str, Any]:
    args = typing.get_args(kind)
    origin = typing.get_origin(kind)
    parts = list(patterns)
    starred = any(isinstance(each, ast.MatchStar) for each in parts)
    kinds: list[Any] = [UNKNOWN] * len(parts)
    if isinstance(origin, type) and issubclass(origin, tuple) and ... not in args:
        if not starred and len(args) == len(parts):
            kinds = list(args)
    elif isinstance(origin, type) and issubclass(origin, collections.abc.Sequence) and args:
        kinds = [args[0]] * len(parts)
    found: dict[str, Any] = {}
    for part, each in zip(parts, kinds, strict=True):
        if isinstance(part, ast.MatchStar) and part.name and each is not UNKNOWN:
            found[part.name] = types.GenericAlias(list, each)
        else:
            found |= binds(part, each, source, told)
    return found


def _of_mapping(pattern: ast.MatchMapping, kind: Any, source: Source, told: Told) -> dict[str, Any]:
    args = typing.get_args(kind)
    value = args[1] if len(args) == 2 else UNKNOWN
    found: dict[str, Any] = {}
    for part in pattern.patterns:
        found |= binds(part, value, source, told)
    if pattern.rest is not None:
        found[pattern.rest] = UNKNOWN if len(args) != 2 else types.GenericAlias(dict, args)
    return found


def _see_value(expr: ast.expr, kind: Any, source: Source, told: Told) -> None:
    """See that a value in a pattern is there, and that what is matched may be it."""
    value = source.meaning(expr)
    if value is MISSING:
        owner = source.meaning(expr.value) if isinstance(expr, ast.Attribute) else MISSING
        if isinstance(expr, ast.Attribute) and owner is not MISSING:
            name = getattr(owner, "__name__", ast.unparse(expr.value))
            told(expr, "AMC308", f"{name} has no {expr.attr!r}{nearest(expr.attr, dir(owner))}", "")
        elif isinstance(expr, ast.Name | ast.Attribute):
            text = ast.unparse(expr)
            told(
                expr,
                "AMC312",
                f"{text} means nothing here{nearest(text, source.known())}",
                "define or import it",
            )
        return
    values = finite(kind)
    possible = fits(type(value), kind) if values is None else value in values
    if not possible:
        text = ast.unparse(expr)
        told(expr, "AMC309", f"{text} never is what is matched here, {named(kind)}", "match what can come")


def covers(patterns: Sequence[tuple[ast.pattern, bool]], kind: Any, source: Source) -> bool:
    """Whether no value of a type gets past these patterns. The flag says that a guard may still refuse."""
    left: set[Any] = set()
    for each in options(kind):
        values = finite(each)
        left.update([("class", each)] if values is None else [("value", type(one), one) for one in values])
    for pattern, guarded in patterns:
        if guarded:
            continue
        if irrefutable(pattern):
            return True
        for one in _alternatives(pattern):
            left -= {each for each in left if _takes(one, each, source)}
    every = [one for pattern, guarded in patterns if not guarded for one in _alternatives(pattern)]
    shapes = {shape for one in every if (shape := _shape(one)) is not None}
    return all(what == "class" and _all_lengths(each, shapes) for what, each, *_ in left)


def _shape(pattern: ast.pattern) -> tuple[int, bool] | None:
    """Of a pattern that takes all sequences of a length: that length, and whether it takes longer ones, too."""
    if not isinstance(pattern, ast.MatchSequence):
        return None
    parts = [each for each in pattern.patterns if not isinstance(each, ast.MatchStar)]
    return (len(parts), len(parts) < len(pattern.patterns)) if all(map(irrefutable, parts)) else None


def _all_lengths(kind: Any, shapes: set[tuple[int, bool]]) -> bool:
    """Whether these lengths are all that lists and tuples of a type can have. Text, which is no such sequence, may be others."""
    args, origin = typing.get_args(kind), typing.get_origin(kind) or kind
    if origin is tuple and args and ... not in args:
        return any(length == len(args) or (is_open and length < len(args)) for length, is_open in shapes)
    longest = min((length for length, is_open in shapes if is_open), default=None)
    if origin not in {list, tuple} or longest is None:
        return False
    return all((length, False) in shapes for length in range(longest))


def _alternatives(pattern: ast.pattern) -> list[ast.pattern]:
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is not None:
        return _alternatives(pattern.pattern)
    if isinstance(pattern, ast.MatchOr):
        return [one for each in pattern.patterns for one in _alternatives(each)]
    return [pattern]


def _takes(pattern: ast.pattern, what: tuple[Any, ...], source: Source) -> bool:
    """Whether a pattern takes all values of a class, or one value."""
    if what[0] == "value":
        return matches(pattern, what[2], source) is True
    if not isinstance(pattern, ast.MatchClass):
        return False
    cls, kind = source.meaning(pattern.cls), typing.get_origin(what[1]) or what[1]
    if not isinstance(cls, type) or not isinstance(kind, type) or not issubclass(kind, cls):
        return False
    return all(irrefutable(each) for each in (*pattern.patterns, *pattern.kwd_patterns))


def matches(pattern: ast.pattern, value: object, source: Source) -> bool | None:
    """Whether a pattern takes a value that is known beforehand; None if that cannot be told."""
    match pattern:
        case ast.MatchSingleton(value=other):
            return value is other
        case ast.MatchValue(value=expr):
            other = source.meaning(expr)
            return None if other is MISSING else bool(type(other) is type(value) and other == value)
        case ast.MatchOr(patterns=patterns):
            found = [matches(each, value, source) for each in patterns]
            return True if True in found else (None if None in found else False)
        case ast.MatchAs(pattern=None, name=None):
            return True
        case _:
            return None
