"""Whether every value that a role reads has been given to it by then, on every way through a script function.

It walks over the graph, inlined calls included, as all roles together would play it. It changes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import attrs

from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.functions.flow import Edge, Node, final, nodes_from
from amachine.choreography.functions.performing import Routine, own_pieces

if TYPE_CHECKING:
    from amachine.choreography.functions.flow import Target
    from amachine.choreography.functions.performing import Performing

__all__ = ["see_assigned"]

_Known: TypeAlias = frozenset[tuple[str, str]]
"""Pairs: a role, and the key of a value that it has."""


def see_assigned(start: Target, performing: Performing) -> Iterator[Diagnostic]:
    """Every place where a role may read a value before it has it (AMC314), each once."""
    first = final(start)
    if not isinstance(first, Node):
        return
    known: dict[Node, _Known] = {first: frozenset()}
    queue = [first]
    for node in queue:
        for edge, after in _after(node, known[node], performing):
            follows = final(edge.next)
            if isinstance(follows, Node):
                less = after & known.get(follows, after)
                if known.get(follows) != less:
                    known[follows] = less
                    queue.append(follows)
    for node in nodes_from(start):
        yield from _lacks(node, known[node], performing)


@attrs.define
class _Walk:
    """What roles have while they do something; and which routines read what may not be there."""

    known: _Known
    lacks: list[tuple[Routine, str]] = attrs.field(factory=list[tuple[Routine, str]])

    def through(self, routine: Routine) -> None:
        player, frame = routine.player, routine.frame
        self.lacks += [
            (routine, word) for word in sorted(routine.free()) if (player, frame.key(word)) not in self.known
        ]
        self.known |= {(player, frame.key(word)) for word in routine.gives()}


def _after(node: Node, known: _Known, performing: Performing) -> Iterator[tuple[Edge, _Known]]:
    """By branch, what roles have when all has been done about it."""
    for edge, walk in _walks(node, known, performing):
        yield edge, walk.known


def _walks(node: Node, known: _Known, performing: Performing) -> Iterator[tuple[Edge, _Walk]]:
    sending, then, heard = performing.routines(node)
    for edge in node.edges.values():
        walk = _Walk(known)
        for routine in sending:
            walk.through(routine)
        last = sending[-1]
        if last.work is not None:
            words = list(last.work.binding.get(edge.label, ()))
            for piece in own_pieces(edge.after, last.frame):
                words += piece.words()
            walk.known |= {(last.player, last.frame.key(word)) for word in words}
        for routine in (*then.get(edge.label, ()), *heard.get(edge.label, ())):
            walk.through(routine)
        yield edge, walk


def _lacks(node: Node, known: _Known, performing: Performing) -> Iterator[Diagnostic]:
    told: set[tuple[Routine, str]] = set()
    for _, walk in _walks(node, known, performing):
        for routine, word in walk.lacks:
            if (routine, word) in told:
                continue
            told.add((routine, word))
            source = routine.frame.source
            read = _first_read(routine, word)
            text = f"{routine.role} may read {word} here before it has a value"
            hint = f"give {word} a value on every way that leads here"
            place = node.site.place if read is None else source.place(read)
            yield Diagnostic("AMC314", text, role=routine.player, hint=hint, place=place)


def _first_read(routine: Routine, word: str) -> ast.AST | None:
    """Where in the source a routine first reads a value."""
    reads = [
        each
        for statement in routine.statements(lambda _: False)
        for each in ast.walk(statement)
        if isinstance(each, ast.Name) and each.id == word and isinstance(each.ctx, ast.Load)
    ]
    placed = [each for each in reads if getattr(each, "lineno", None) is not None]
    return min(placed, key=lambda each: (each.lineno, each.col_offset), default=None)
