"""What is known of a script function while it is read: its roles, the names of values, and where an expression stands.

Plain data, and how an expression hangs together. It decides nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from amachine.choreography.functions.sources import Source

__all__ = ["Context", "Subject", "Use", "Variable", "Where", "about", "root_of", "words_in"]

Use: TypeAlias = Literal["", "decides", "awaited", "handed over"]
"""What is done with a value: it decides what happens, it is awaited, or somebody's function gets it."""


@attrs.frozen
class Variable:
    """A name that a role gives to a value of its own."""

    home: str
    """The parameter that knows it."""
    type: Any


@attrs.define(eq=False)
class Subject:
    """A script function that was looked over: its roles, and the names that it gives to values."""

    source: Source
    roles: dict[str, type]
    variables: dict[str, Variable] = attrs.field(factory=dict[str, Variable])
    classes: dict[str, type] = attrs.field(factory=dict[str, type])
    """By names of our own, the classes that its code compares with."""
    count: int = 0

    def fresh(self, home: str, kind: Any) -> str:
        """A name of our own, for a value on its way."""
        self.count += 1
        word = f".{self.count}"
        self.variables[word] = Variable(home, kind)
        return word

    def word_for(self, cls: type) -> str:
        """A name of our own for a class."""
        word = f".is {cls.__name__}"
        while self.classes.setdefault(word, cls) is not cls:
            word += "_"
        return word


@attrs.frozen
class Context:
    """What is known where a statement stands."""

    carried: Mapping[str, frozenset[str]] = attrs.field(factory=dict[str, frozenset[str]])
    """By name, the roles that know the value beside its home: it came along with the choice."""
    types: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """By name, the types of what the patterns around it bind."""


@attrs.frozen
class Where:
    """Where an expression is evaluated."""

    at: str
    """The parameter that does."""
    context: Context
    about: str
    """The operation, or the data, that it is for."""
    inner: frozenset[str] = frozenset()
    """Names that the expression binds for itself."""
    lazy: bool = False
    """It may not be evaluated at all."""
    use: Use = ""
    """What is done with all of it, if that is anything special. Of its parts, this says nothing."""


def root_of(expr: ast.expr) -> str | None:
    """The name that a chain of attributes, items and calls hangs on."""
    while True:
        match expr:
            case (
                ast.Attribute(value=inner)
                | ast.Subscript(value=inner)
                | ast.Call(func=inner)
                | ast.Await(value=inner)
            ):
                expr = inner
            case ast.Name(id=word):
                return word
            case _:
                return None


def about(expr: ast.AST, roles: Mapping[str, type]) -> str:
    """What an expression asks for: the first operation or data of a role that is in it."""
    for node in _in_order(expr):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in roles:
            return node.attr
    return ""


def words_in(expr: ast.AST, roles: Mapping[str, type]) -> tuple[str, ...]:
    """The names of all that an expression asks for."""
    words = [getattr(node, "attr", None) or getattr(node, "id", None) for node in _in_order(expr)]
    return tuple(dict.fromkeys(word for word in words if word and word not in roles))


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)
