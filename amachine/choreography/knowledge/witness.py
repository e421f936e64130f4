"""Why a condition does not hold, in words and with two runs that the role cannot tell apart. It finds no fault itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.knowledge.plot import Spent
from amachine.choreography.knowledge.sight import Sight

if TYPE_CHECKING:
    from amachine.choreography.check import Fault
    from amachine.choreography.knowledge.plot import Edge, Plot
    from amachine.choreography.script import Script

__all__ = ["Doubts", "frame", "parting", "told", "ways"]

Doubts: TypeAlias = "Callable[[Sight], Iterator[Fault]]"
"""Finds every fault of a role."""


_GENERAL = 'let everybody hear of it (inform="all"), or inform="auto" find the frames'


def told(script: Script, sight: Sight, fault: Fault, doubts: Doubts | None) -> Diagnostic:
    """The fault as its author is told of it.

    `doubts` finds what faults a role has that is told more; without, the hint names no frames.
    """
    plot, role, one = sight.plot, sight.role, fault.one
    before = _path(plot.paths(fault.start), fault.moment)
    ends: list[list[Edge]] = [[], []]
    if fault.other is not None:
        ends = [[one, *fault.between, *([fault.other] if fault.code == "AMC404" else [])], [fault.other]]
    runs = [
        tuple(frame(plot, edge) for edge in (*before, *way, *end))
        for way, end in zip(ways(sight, fault), ends, strict=True)
    ]
    seen = [frame(plot, edge) for edge in before if edge in sight.seen[edge.source]]
    text = _text(sight, fault, runs, f"it saw only: {_shortly(seen)}") + _recovery(script, sight, fault)
    hint = _GENERAL if doubts is None else _hint(sight, fault, doubts)
    place = one.branch.place or one.scene.place
    return Diagnostic(
        fault.code, text, role=role, scene=one.scene.id, hint=hint, place=place, witness=(runs[0], runs[1])
    )


def _text(sight: Sight, fault: Fault, runs: list[tuple[str, ...]], saw: str) -> str:
    role, one, other = sight.role, fault.one, fault.other
    if other is not None:
        return {
            "AMC402": f"{role} may both send {_choices(one)} and wait for {_name(other)} here; it cannot know which: {saw}",
            "AMC404": f"{role} may take {_of(other)} while {_of(one)} is already waiting; it cannot know which is first: {saw}",
            "AMC405": f"{role} could start {one.scene.name} or {other.scene.name} here; one sender scene at a time: {saw}",
        }[fault.code]
    after = runs[1][-1] if runs[1] else "nothing at all"
    if fault.code == "AMC403":
        waits = ", ".join(dict.fromkeys(map(_name, sight.steps(sight.around(fault.moment)))))
        what = "the choreography ended" if sight.plot.exits >> fault.there & 1 else "its part is over"
        return f"{role} cannot tell that {what} after {after}; it still waits for [{waits}]"
    return (
        f"{role} does not learn a choice it needs: it must send {_choices(one)} after {runs[0][-1]} but not after {after}; "
        f"in both runs {saw}"
    )


def _shortly(frames: list[str], most: int = 4) -> str:
    """The last of them."""
    return "; ".join((["…"] if len(frames) > most else []) + frames[-most:]) or "nothing"


def ways(sight: Sight, fault: Fault) -> tuple[list[Edge], list[Edge]]:
    """How the whole comes, unseen by the role, from where it saw something last to each of the two places of a fault."""
    return _unseen(sight, fault.moment, fault.one.source), _unseen(sight, fault.moment, fault.there)


def parting(sight: Sight, fault: Fault) -> list[Edge]:
    """The first steps in which these ways differ, that of the second first. One of them may have ended there."""
    one, other = ways(sight, fault)
    together = 0
    while together < min(len(one), len(other)) and one[together] is other[together]:
        together += 1
    return [way[together] for way in (other, one) if len(way) > together]


def _unseen(sight: Sight, moment: int, node: int) -> list[Edge]:
    last: dict[int, Edge | None] = {moment: None}
    queue = [moment]
    for at in queue:
        if at == node:
            break
        for edge in sight.plot.out[at]:
            if edge.target not in last and edge not in sight.seen[at]:
                last[edge.target] = edge
                queue.append(edge.target)
    sight.plot.spend(len(queue))
    return _path(last, node)


def frame(plot: Plot, edge: Edge) -> str:
    """A step of the whole: `alice->bob: Ping.ping`; with nobody behind the arrow, a decision that nobody hears."""
    told = list(edge.branch.to)
    told += [role for role in plot.roles if role not in told and plot.hears(edge, role)]
    arrow = f"->{','.join(told)}" if told else ""
    return f"{edge.sender}{arrow}: {_name(edge)}"


def _path(last: dict[int, Edge | None], node: int) -> list[Edge]:
    found: list[Edge] = []
    while (edge := last[node]) is not None:
        found.append(edge)
        node = edge.source
    return found[::-1]


def _name(edge: Edge) -> str:
    return f"{edge.scene.name}.{edge.branch.label}"


def _choices(edge: Edge) -> str:
    return " or ".join(f"{edge.scene.name}.{branch.label}" for branch in edge.scene.branches)


def _of(edge: Edge) -> str:
    return f"{_name(edge)} of {edge.sender}"


def _recovery(script: Script, sight: Sight, fault: Fault) -> str:
    start = sight.plot.nodes[fault.start]
    if start == script.start:
        return ""
    for region in script.regions.values():
        for lost, goes_to in region.on_lost:
            if goes_to == start and lost != sight.role:
                return f" (when {lost} is lost in {region.name})"
    return ""


def _hint(sight: Sight, fault: Fault, doubts: Doubts) -> str:
    """The fewest frames, of those at the parting of the runs, after which the role has no such doubt.

    None are named where that takes too long to try.
    """
    plot, role = sight.plot, sight.role
    me, before = plot.bit[role], list(plot.told)
    apart = parting(sight, fault)
    found: list[tuple[bool, int, str]] = []
    for edges in [*([edge] for edge in apart), apart]:
        for edge in edges:
            plot.told[edge.number] |= me
        try:
            left = {each.moment for each in doubts(Sight(plot, role))}
        except Spent:
            return _GENERAL
        finally:
            plot.told[:] = before
        if fault.moment not in left and not {edge.target for edge in edges} & left:
            names = " and of ".join(f"{edge.scene.id}.{edge.branch.label}" for edge in edges)
            more = '; more is needed, which inform="auto" finds' if left else ""
            frames = f"{len(edges)} frame{'s' * (len(edges) > 1)}{more}"
            found.append((bool(left), len(edges), f"inform {role} of {names} ({frames})"))
    if not found:
        return _GENERAL
    return min(found, key=lambda each: each[:2])[2]
