"""Who may run ahead of whom without bound (AMC120): not wrong, for channels hold only so much, but worth knowing.

It is the question of *process divergence* in message sequence graphs (Ben-Abdallah and Leue, 1997). A sender gets ahead of a
role in a loop if no news of that role's progress, however indirect, comes back to the sender in the loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amachine.choreography.diagnostics import Diagnostic, Level

if TYPE_CHECKING:
    from amachine.choreography.knowledge.plot import Edge, Plot

__all__ = ["ahead"]

_MOST = 8
"""Up to so many roles every group of them is looked at; of more, only single roles and all but one."""


def ahead(plot: Plot) -> Iterator[Diagnostic]:
    """One note for each sender that need not wait for somebody, at the first branch of a loop in which that is so.

    A role is left behind, and with it everybody who hears in the loop only of those left behind: a group that nobody outside
    of it hears from. So: for each group, is there a loop of branches by which nobody in it tells anybody outside, but
    somebody outside tells one in it?
    """
    looping = _in_loops(plot.edges)
    found: dict[str, tuple[Edge, str, str]] = {}
    for group in _groups(len(plot.roles)):
        if not any(_tells(plot, edge, group) and edge.sender not in found for edge in looping):
            continue
        closed = [e for e in looping if not (plot.bit[e.sender] & group and plot.told[e.number] & ~group)]
        for edge in _in_loops(closed):
            if _tells(plot, edge, group) and edge.sender not in found:
                left = [role for role in plot.roles if plot.told[edge.number] & group & plot.bit[role]]
                behind = ", ".join(left)
                found[edge.sender] = edge, behind, _remedy(plot, closed, edge, group, behind)
    for sender, (edge, behind, hint) in found.items():
        where = f"{edge.scene.name}.{edge.branch.label}"
        text = (
            f"{sender} can run ahead of {behind} by {where}: nothing in that loop makes it wait; "
            "bounded by channel capacity"
        )
        place = edge.branch.place or edge.scene.place
        yield Diagnostic("AMC120", text, Level.NOTE, role=sender, scene=edge.scene.id, hint=hint, place=place)


def _remedy(plot: Plot, closed: list[Edge], ahead: Edge, group: int, behind: str) -> str:
    """What lets news of those left behind come back: a barrier, where one of them leads on to a scene of somebody else's."""
    part = _parts(_after(closed))
    for edge in closed:
        if part.get(edge.source) == part.get(edge.target, -1) == part[ahead.source]:
            follows = plot.scenes[edge.target]
            if plot.bit[edge.sender] & group and not plot.bit[follows.sender] & group:
                return f"a Barrier before {follows.name}, behind {edge.scene.name}.{edge.branch.label}, lets it wait"
    return f"if it should wait, let {behind} answer in that loop"


def _tells(plot: Plot, edge: Edge, group: int) -> bool:
    return bool(plot.told[edge.number] & group) and not plot.bit[edge.sender] & group


def _groups(count: int) -> Iterator[int]:
    """Groups of roles, as bits: single ones first, then all but one, then the others."""
    everybody = (1 << count) - 1
    for at in range(count):
        yield 1 << at
    for at in range(count):
        yield everybody & ~(1 << at)
    if count <= _MOST:
        for group in range(1, everybody):
            if 1 < group.bit_count() < count - 1:
                yield group


def _in_loops(edges: list[Edge] | tuple[Edge, ...]) -> list[Edge]:
    """Those of the edges that lie on some circle of them: whose two ends are in one strongly connected part."""
    part = _parts(_after(edges))
    return [edge for edge in edges if part.get(edge.source) == part.get(edge.target, -1)]


def _after(edges: list[Edge] | tuple[Edge, ...]) -> dict[int, list[int]]:
    after: dict[int, list[int]] = {}
    for edge in edges:
        after.setdefault(edge.source, []).append(edge.target)
    return after


def _parts(after: dict[int, list[int]]) -> dict[int, int]:
    """By node with a way out: a number that it has in common with those to which it can go and from which it can come back.

    Tarjan's walk, with a stack of its own: scripts are longer than Python's stack is deep.
    """
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    part: dict[int, int] = {}
    unsorted: list[int] = []
    for first, nexts in after.items():
        if first in order:
            continue
        walk = [(first, iter(nexts))]
        order[first] = low[first] = len(order)
        unsorted.append(first)
        while walk:
            node, rest = walk[-1]
            for next in rest:
                if next not in after:
                    continue
                if next not in order:
                    order[next] = low[next] = len(order)
                    unsorted.append(next)
                    walk.append((next, iter(after[next])))
                    break
                if next not in part:
                    low[node] = min(low[node], order[next])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[node])
                if low[node] == order[node]:
                    while True:
                        member = unsorted.pop()
                        part[member] = order[node]
                        if member == node:
                            break
    return part
