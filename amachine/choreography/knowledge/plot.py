"""A script as numbers: scenes and exits are nodes, branches are edges, and a set of nodes or of roles is an int of bits.

It is made of a script in which every name leads somewhere, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import attrs

from amachine.choreography.script import BranchDef, SceneDef, Script

__all__ = ["Edge", "Plot", "Spent"]


class Spent(Exception):  # no error of a program: who gave so many steps and no more expects it
    """More steps are needed than may be taken."""


@attrs.frozen(eq=False)
class Edge:
    """A branch, as a way from its scene to what follows."""

    number: int
    source: int
    target: int
    scene: SceneDef
    branch: BranchDef

    @property
    def sender(self) -> str:
        """Who chooses it."""
        return self.scene.sender

    @property
    def key(self) -> tuple[str, str]:
        """Scene and label: what a frame says of itself."""
        return self.scene.id, self.branch.label


class Plot:
    """The graph of a script. Only `told` ever changes: `inform` tries who can be spared a frame; and what is left of `steps`."""

    def __init__(self, script: Script) -> None:
        self.roles: tuple[str, ...] = script.roles
        self.bit: dict[str, int] = {role: 1 << at for at, role in enumerate(script.roles)}
        self.scenes: tuple[SceneDef, ...] = tuple(script.scenes.values())
        self.nodes: tuple[str, ...] = (*script.scenes, *script.exits)
        """Their ids: scenes in the order of the script, then exits."""
        self.number: dict[str, int] = {id: at for at, id in enumerate(self.nodes)}
        self.exits: int = self.mask(script.exits)
        pairs = list(script.branches())
        self.edges: tuple[Edge, ...] = tuple(
            Edge(number, self.number[scene.id], self.number[branch.next], scene, branch)
            for number, (scene, branch) in enumerate(pairs)
        )
        self.out: tuple[list[Edge], ...] = tuple([] for _ in self.nodes)
        for edge in self.edges:
            self.out[edge.source].append(edge)
        self.trapped: int = self._without_way_out()
        """The nodes from which no exit can be reached, as bits."""
        self.told: list[int] = [self.cast(script.hearers(scene, branch)) for scene, branch in pairs]
        """By number of an edge: the roles that get a frame, as bits."""
        self.steps: float = inf
        """How many more may be taken in walks over it."""

    def spend(self, steps: int) -> None:
        """So many steps were taken. Errors: `Spent`, when those are more than were left."""
        self.steps -= steps
        if self.steps < 0:
            raise Spent

    def _without_way_out(self) -> int:
        before: dict[int, list[int]] = {}
        for edge in self.edges:
            before.setdefault(edge.target, []).append(edge.source)
        queue = [self.number[id] for id in self.nodes[len(self.scenes) :]]
        known = set(queue)
        for node in queue:
            for source in before.get(node, ()):
                if source not in known:
                    known.add(source)
                    queue.append(source)
        return sum(1 << node for node in range(len(self.nodes)) if node not in known)

    def mask(self, ids: Iterable[str]) -> int:
        """The set of these scenes and exits."""
        return sum(1 << self.number[id] for id in set(ids))

    def cast(self, roles: Iterable[str]) -> int:
        """The set of these roles."""
        return sum(self.bit[role] for role in set(roles))

    def hears(self, edge: Edge, role: str) -> bool:
        """Whether a role gets a frame when that branch is chosen."""
        return bool(self.told[edge.number] & self.bit[role])

    def paths(self, start: int) -> dict[int, Edge | None]:
        """By node that can be reached: the last step of a shortest way there. None for the start itself."""
        last: dict[int, Edge | None] = {start: None}
        queue = [start]
        for node in queue:
            for edge in self.out[node]:
                if edge.target not in last:
                    last[edge.target] = edge
                    queue.append(edge.target)
        return last
