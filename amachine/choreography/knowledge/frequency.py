"""How often each branch is taken in one session, as far as weights tell: what a frame there would cost.

It counts and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amachine.choreography.script import Script

__all__ = ["frequencies"]

_RARE = 1e-3
"""How often a recovery happens, beside a session."""

_LAST = 0.999
"""How likely an endless session is to go on after each step: of those only the proportions mean anything."""


def frequencies(script: Script) -> Mapping[tuple[str, str], float]:
    """By scene and label: how many times a session takes that branch, as expected from weights.

    The sums over all paths of a Markov chain, by elimination of one scene after the other. A script that can be in a scene
    without a way to an exit is treated as one that ends after some thousand steps.
    """
    goes_on = 1.0 if _all_end(script) else _LAST
    into: dict[str, float] = {script.start: 1.0}
    for region in script.regions.values():
        for _, goes_to in region.on_lost:
            into[goes_to] = into.get(goes_to, 0.0) + _RARE
    share = {scene.id: _shares(script, scene.id) for scene in script.scenes.values()}
    after: dict[str, dict[str, float]] = {id: {} for id in script.scenes}
    for scene, branch in script.branches():
        if branch.next in after:
            chance = goes_on * share[scene.id][branch.label]
            after[scene.id][branch.next] = after[scene.id].get(branch.next, 0.0) + chance
    times = _visits(after, {id: into.get(id, 0.0) for id in script.scenes})
    return {
        (scene.id, branch.label): times[scene.id] * share[scene.id][branch.label]
        for scene, branch in script.branches()
    }


def _shares(script: Script, id: str) -> dict[str, float]:
    branches = script.scenes[id].branches
    whole = sum(branch.weight for branch in branches)
    return {branch.label: branch.weight / whole if whole else 1 / len(branches) for branch in branches}


def _all_end(script: Script) -> bool:
    """Whether an exit can be reached from every scene, by branches that are ever taken."""
    before: dict[str, list[str]] = {}
    for scene, branch in script.branches():
        if _shares(script, scene.id)[branch.label]:
            before.setdefault(branch.next, []).append(scene.id)
    known = dict.fromkeys(script.exits)
    queue = list(known)
    for at in queue:
        for id in before.get(at, ()):
            if id not in known:
                known[id] = None
                queue.append(id)
    return len(known) == len(script.exits) + len(script.scenes)


def _visits(after: dict[str, dict[str, float]], into: dict[str, float]) -> dict[str, float]:
    """How often each node is visited, of chances to go from one to another and of visits that begin there.

    A node is taken out by leading around it who came through it; the one with the fewest ways through goes first. In the
    end they are put back in the other order. `after` and `into` are used up.
    """
    before: dict[str, dict[str, float]] = {id: {} for id in after}
    for id, nexts in after.items():
        for next, chance in nexts.items():
            before[next][id] = chance
    gone: list[tuple[str, dict[str, float], float]] = []
    while before:
        id = min(before, key=lambda each: len(before[each]) * len(after[each]))
        sources, nexts = before.pop(id), after.pop(id)
        stays = 1 - nexts.pop(id, 0.0)
        sources.pop(id, None)
        gone.append((id, sources, stays))
        for next, chance in nexts.items():
            ways = before[next]
            del ways[id]
            into[next] += into[id] * chance / stays
            for source, other in sources.items():
                ways[source] = ways.get(source, 0.0) + other * chance / stays
                after[source][next] = ways[source]
        for source in sources:
            del after[source][id]
    times: dict[str, float] = {}
    for id, sources, stays in reversed(gone):
        times[id] = (into[id] + sum(times[source] * chance for source, chance in sources.items())) / stays
    return times
