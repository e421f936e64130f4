"""What a script function asks of whoever plays its roles: the operations that it calls, and the data that it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from amachine.choreography.functions.sources import BINDING, bound_inside
from amachine.choreography.reading import Needs

if TYPE_CHECKING:
    from amachine.choreography.functions.performing import Routine

__all__ = ["needs_of"]


def needs_of(routines: Iterable[Routine]) -> Mapping[str, Needs]:
    """By role of the whole. What the script itself assigns, nobody needs to have before."""
    calls: dict[str, set[str]] = {}
    reads: dict[str, set[str]] = {}
    writes: dict[str, set[str]] = {}
    for routine in routines:
        called = calls.setdefault(routine.player, set())
        for statement in routine.statements(lambda _: False):
            for each, is_called in _asked(statement, routine.role):
                if is_called:
                    called.add(each.attr)
                else:
                    kept = reads if isinstance(each.ctx, ast.Load) else writes
                    kept.setdefault(routine.player, set()).add(each.attr)
    return {
        role: Needs(frozenset(called), frozenset(reads.get(role, ())) - writes.get(role, set()) - called)
        for role, called in calls.items()
    }


def _asked(node: ast.AST, role: str) -> Iterator[tuple[ast.Attribute, bool]]:
    """What is asked of a role, and whether it is called. Where its name means something else for a while, nothing is."""
    if isinstance(node, BINDING) and role in bound_inside(node):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id == role:
            yield child, isinstance(node, ast.Call) and node.func is child
        else:
            yield from _asked(child, role)
