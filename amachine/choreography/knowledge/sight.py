"""What one role sees of a script: the frames that it gets and the choices that are its own. The rest happens in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amachine._bits import bits

if TYPE_CHECKING:
    from amachine.choreography.knowledge.plot import Edge, Plot

__all__ = ["Sight"]


class Sight:
    """The graph through the eyes of a role.

    A branch is *seen* by a role that chooses it (even if nobody is told) or gets a frame of it. What is seen names its scene
    and label, so that a role that sees a branch knows exactly where the whole is at that moment. From then on the whole
    may move on unseen: `around(node)` is where it may be before the role sees anything again.
    """

    def __init__(self, plot: Plot, role: str) -> None:
        self.plot = plot
        self.role = role
        me = plot.bit[role]
        self.seen: tuple[list[Edge], ...] = tuple([] for _ in plot.nodes)
        """By node: the branches there that the role sees."""
        self.silent: tuple[list[int], ...] = tuple([] for _ in plot.nodes)
        """By node: where branches lead that it does not see."""
        self.acting: int = 0
        """The nodes where it chooses, as bits; `hearing` are those where it may hear what another chose."""
        self.hearing: int = 0
        self._around: dict[int, int] = {}
        for edge, told in zip(plot.edges, plot.told, strict=True):
            source, mine = edge.source, edge.scene.sender == role
            if mine or told & me:
                self.seen[source].append(edge)
                if mine:
                    self.acting |= 1 << source
                else:
                    self.hearing |= 1 << source
            else:
                self.silent[source].append(edge.target)

    def around(self, node: int) -> int:
        """The nodes where the whole may be, the role having seen nothing since it was at this one. As bits."""
        known = self._around
        if node in known:
            return known[node]
        found, stack = 1 << node, [node]
        while stack:
            for target in self.silent[stack.pop()]:
                if not found >> target & 1:
                    if target in known:
                        found |= known[target]
                    else:
                        found |= 1 << target
                        stack.append(target)
        known[node] = found
        return found

    def steps(self, around: int) -> list[Edge]:
        """What the role may see next when the whole may be at any of these nodes, in the order of the script."""
        return [edge for node in bits(around & (self.acting | self.hearing)) for edge in self.seen[node]]

    def moments(self, start: int) -> Iterator[tuple[int, int]]:
        """The nodes at which it may stand having just seen something, the start first; each with what is around it.

        These are all the role can ever know: its states. Two of them with the same around are one.
        """
        known = {start}
        queue = [start]
        for node in queue:
            around = self.around(node)
            yield node, around
            for edge in self.steps(around):
                if edge.target not in known:
                    known.add(edge.target)
                    queue.append(edge.target)
