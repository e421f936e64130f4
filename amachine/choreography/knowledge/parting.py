"""Who may have parted from a region while others are still in it (AMC118, AMC119): what follows a loss cannot reach them.

A role that has left a region is not called back. So a recovery may lack somebody who has a part in it; and it may lead
elsewhere than those have gone who left: the one commits, the other rolls back. That is the weakness of two-phase commit, and no
script is wrong because of it. It should be known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from amachine.choreography.diagnostics import Diagnostic, Level

if TYPE_CHECKING:
    from amachine.choreography.knowledge.plot import Edge, Plot
    from amachine.choreography.knowledge.sight import Sight
    from amachine.choreography.script import RegionDef, Script

__all__ = ["parting"]


def parting(script: Script, plot: Plot, sights: Mapping[str, Sight]) -> Iterator[Diagnostic]:
    """A warning for each role that a recovery may lack, and for each step after which roles may go different ways."""
    for region in script.regions.values():
        inside = plot.mask(id for id in script.scenes if region.name in script.innermost(id))
        for lost, goes_to in region.on_lost:
            plan = plot.number[goes_to]
            for role, sight in sights.items():
                if role != lost and _leaves(script, sight, inside) and _plays(sight, plan):
                    yield _lacks(region, role, lost)
            found = (_apart(script, sights, region, (lost, plan), edge) for edge in _out_of(plot, inside))
            yield from (each for each in found if each is not None)


def _leaves(script: Script, sight: Sight, inside: int) -> bool:
    moments = sight.moments(sight.plot.number[script.start])
    return any(around & inside and not sight.steps(around) for _, around in moments)


def _lacks(region: RegionDef, role: str, lost: str) -> Diagnostic:
    text = f"{role} may be through before {region.name} is over, but has a part in what follows when {lost} is lost there"
    hint = f"let {role} hear of the end of {region.name}; else nothing is recovered from then on"
    return Diagnostic("AMC118", text, Level.WARNING, role=role, hint=hint, place=region.place)


def _out_of(plot: Plot, inside: int) -> Iterator[Edge]:
    return (edge for edge in plot.edges if inside >> edge.source & 1 and not inside >> edge.target & 1)


def _apart(
    script: Script, sights: Mapping[str, Sight], region: RegionDef, loss: tuple[str, int], edge: Edge
) -> Diagnostic | None:
    """What may come of a step that leads out of a region, if somebody is lost before all have heard of it."""
    lost, plan = loss
    plot = sights[lost].plot
    aware = [role for role in plot.roles if role == edge.sender or plot.hears(edge, role)]
    late = [
        role for role in aware if role not in {lost, edge.sender} and _needs(script, sights[role], edge, lost)
    ]
    gone = [role for role in aware if role != lost and [role] != late and not _plays(sights[role], plan)]
    silent = {lost, *late} if len(late) == 1 else {lost}  # of several, one may have heard
    ends = _exits(plot, edge.target, silent) & ~_exits(plot, plan, {lost})
    if not late or not gone or not ends:
        return None
    step, end = f"{edge.scene.id}.{edge.branch.label}", plot.nodes[(ends & -ends).bit_length() - 1]
    text = (
        f"if {lost} is lost before everybody has heard of {step} ({', '.join(late)}), those who have not go on "
        f"from {region.name} to {plot.nodes[plan]}, though others may come to {end}"
    )
    hint = f"let {region.name} end before that, or let those who are left tell one another in a scene"
    place = edge.branch.place or edge.scene.place
    return Diagnostic(
        "AMC119", text, Level.WARNING, role=late[0], scene=edge.scene.id, hint=hint, place=place
    )


def _needs(script: Script, sight: Sight, edge: Edge, lost: str) -> bool:
    """Whether a role that has not heard of a step yet may still wait for the lost one, as far as it knows."""
    start = sight.plot.number[script.start]
    return any(
        step.sender == lost
        for moment, around in sight.moments(start)
        if around >> edge.source & 1
        for _, further in sight.moments(moment)
        for step in sight.steps(further)
    )


def _plays(sight: Sight, plan: int) -> bool:
    """Whether a role has a part in a recovery."""
    return bool(sight.steps(sight.around(plan)))


def _exits(plot: Plot, start: int, without: set[str]) -> int:
    """The exits, as bits, that can be reached from here when these roles choose nothing any more."""
    found = 1 << start
    stack = [start]
    while stack:
        for edge in plot.out[stack.pop()]:
            if edge.sender not in without and not found >> edge.target & 1:
                found |= 1 << edge.target
                stack.append(edge.target)
    return found & plot.exits
