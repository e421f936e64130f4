"""Which type an expression of a script has, by the annotations of what it asks for; `UNKNOWN` if they do not tell."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs

from amachine.choreography.functions.kinds import UNKNOWN, options
from amachine.choreography.functions.offers import Offer, awaited, hints_of, offer_of
from amachine.choreography.functions.sources import MISSING, Source

__all__ = ["Types"]

_OF_BUILTINS: dict[Any, Any] = {
    len: int, abs: UNKNOWN, sum: UNKNOWN, repr: str, hash: int, any: bool, all: bool, isinstance: bool,
    callable: bool, ord: int, chr: str, hex: str, bin: str, id: int, format: str, hasattr: bool, ascii: str,
}  # fmt: skip

_CLOSED = (int, str, bytes, float, complex)
"""Types that stay the same under their own operators, but for `/` and `**`."""


@attrs.frozen
class Types:
    """The types of the expressions of one script function."""

    source: Source
    roles: Mapping[str, type]
    variables: Mapping[str, Any]

    def of(self, expr: ast.expr) -> Any:
        """The type of an expression; `UNKNOWN` if annotations do not tell. A call of what has to be awaited is awaited."""
        found = self._of(expr)
        return UNKNOWN if isinstance(found, typing.TypeVar) else found

    def offer(self, expr: ast.Attribute) -> Offer | None:
        """What an attribute of a role, or of something of a known class, is; None where that is not known."""
        if isinstance(expr.value, ast.Name) and expr.value.id in self.roles:
            return offer_of(self.roles[expr.value.id], expr.attr)
        owner = self.of(expr.value)
        return offer_of(owner, expr.attr) if isinstance(owner, type) else None

    def _of(self, expr: ast.expr) -> Any:  # noqa: C901, PLR0912  - one answer for each kind of expression
        match expr:
            case ast.Constant(value=value):
                return type(value)
            case ast.Name(id=name):
                if name in self.variables:
                    return self.variables[name]
                return self._of_meaning(self.source.meaning(expr))
            case ast.Attribute():
                offer = self.offer(expr)
                if offer is not None:
                    return offer.type
                return self._of_meaning(self.source.meaning(expr))
            case ast.Call():
                return self._of_call(expr)
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self.of(value)
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return bool
            case ast.UnaryOp(operand=operand):
                found = self.of(operand)
                return int if found is bool else found
            case ast.BoolOp(op=ast.Or(), values=[*first, last]):
                # `or` goes on where None is: what comes of it is None only if that is the last.
                return _common([*(_without_none(self.of(each)) for each in first), self.of(last)])
            case ast.BoolOp(values=values):
                return _common([self.of(each) for each in values])
            case ast.IfExp(body=body, orelse=orelse):
                return _common([self.of(body), self.of(orelse)])
            case ast.BinOp():
                return self._of_operator(expr)
            case ast.JoinedStr():
                return str
            case ast.Tuple(elts=elts) if not any(isinstance(each, ast.Starred) for each in elts):
                parts = [self.of(each) for each in elts]
                return UNKNOWN if UNKNOWN in parts else types.GenericAlias(tuple, tuple(parts))
            case ast.List(elts=elts) if elts:
                part = _common([self.of(each) for each in elts])
                return UNKNOWN if part is UNKNOWN else types.GenericAlias(list, part)
            case ast.Subscript():
                return self._of_item(expr)
            case _:
                return UNKNOWN

    def _of_meaning(self, value: Any) -> Any:
        if value is MISSING or callable(value) or isinstance(value, types.ModuleType):
            return UNKNOWN
        return cast("Any", type(value))

    def _of_call(self, expr: ast.Call) -> Any:
        if isinstance(expr.func, ast.Attribute):
            offer = self.offer(expr.func)
            if offer is not None:
                return offer.type if offer.signature is not None else UNKNOWN
            owner = self.of(expr.func.value)
            if owner is not UNKNOWN:
                return UNKNOWN
        function = self.source.meaning(expr.func)
        if function is MISSING:
            return UNKNOWN
        if isinstance(function, type):
            return UNKNOWN if function is type or hasattr(function, "__class_getitem__") else function
        if inspect.isbuiltin(function):
            return _OF_BUILTINS.get(function, UNKNOWN)
        if not inspect.isfunction(function):
            return UNKNOWN
        return awaited(hints_of(function, type(function)).get("return", UNKNOWN))[0]

    def _of_operator(self, expr: ast.BinOp) -> Any:
        left, right = self.of(expr.left), self.of(expr.right)
        if left not in _CLOSED or right not in _CLOSED:
            return UNKNOWN
        numbers = (int, float)
        if isinstance(expr.op, ast.Pow):
            return UNKNOWN
        if isinstance(expr.op, ast.Div) and left in numbers and right in numbers:
            return float
        if isinstance(expr.op, ast.Mod) and left in {str, bytes}:
            return left
        if left == right:
            return left
        return float if left in numbers and right in numbers else UNKNOWN

    def _of_item(self, expr: ast.Subscript) -> Any:
        owner = self.of(expr.value)
        args, origin = typing.get_args(owner), typing.get_origin(owner)
        if isinstance(expr.slice, ast.Slice):
            return owner
        if owner in {str, bytes}:
            return str if owner is str else int
        if not isinstance(origin, type) or not args:
            return UNKNOWN
        if issubclass(origin, tuple):
            place = self.source.meaning(expr.slice)
            whole = isinstance(place, int) and ... not in args and -len(args) <= place < len(args)
            return args[place] if whole else (args[0] if len(args) == 2 and args[1] is ... else UNKNOWN)
        if issubclass(origin, collections.abc.Mapping):
            return args[1] if len(args) == 2 else UNKNOWN
        return args[0] if issubclass(origin, collections.abc.Sequence) else UNKNOWN


def _common(kinds: Sequence[Any]) -> Any:
    """The type that all have; `UNKNOWN` if they differ."""
    return kinds[0] if all(each == kinds[0] for each in kinds) else UNKNOWN


def _without_none(kind: Any) -> Any:
    kept = tuple(each for each in options(kind) if each is not type(None))
    return typing.Union[kept] if kept and UNKNOWN not in kept else UNKNOWN  # noqa: UP007
