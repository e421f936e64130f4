"""What happened in all transitions of an exploration: which states entered, how, and beside which. Counts; judges nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from amachine._bits import bits
from amachine.exploring import after
from amachine.mutation import Kind

if TYPE_CHECKING:
    from amachine.exploring import Change, Exploration

Where: TypeAlias = tuple[int, Kind, int, int, int]
"""A mutation by the set it is made in, its kind and what it calls; then the sets before and after one of its transitions."""


class Tally:
    """What happened in all transitions of an exploration. Sets of states are masks."""

    def __init__(self, found: Exploration) -> None:
        self._add = found.schema.add
        self.entered = self.left = self.stayed = self.reentered = 0
        self.rested = found.schema.mask(found.start)
        """The states that are active when all transitions of some mutation are over."""
        self.alone = 0
        """The states that some mutation of a single state brings, it or another one."""
        self.by_auto = 0
        """The Auto states that came by an auto mutation."""
        self.before: dict[int, int] = {}
        """For each state what was active before it entered, in some transition."""
        self.brought: dict[int, int] = {}
        """For each state those of its Add that came with it."""
        self.lost_auto: dict[int, Where] = {}
        """For each Auto state the first time that it was called and stayed out."""
        self.lost_implied: dict[tuple[int, int], Where] = {}
        """For each state and one of its Add the first time that this stayed out when that entered."""
        for edge in found.edges():
            first = edge.changes[0]
            single = not first.called & (first.called - 1)
            self.rested |= after(edge.changes)
            for change in edge.changes:
                where = first.before, first.kind, first.called, change.before, change.found.target
                if change.auto:
                    self._auto(change, where)
                if change.found.accepted:
                    self._count(change, where)
                    self.alone |= change.found.enters if single else 0

    def _auto(self, change: Change, where: Where) -> None:
        self.by_auto |= change.called & change.found.enters
        for i in bits(change.called & ~change.found.enters):
            self.lost_auto.setdefault(i, where)

    def _count(self, change: Change, where: Where) -> None:
        before, found = change.before, change.found
        self.entered |= found.enters
        self.left |= found.exits
        self.reentered |= found.reentries
        if change.kind is not Kind.REMOVE:
            self.stayed |= before & found.target
        for i in bits(found.enters):
            self.before[i] = self.before.get(i, 0) | before
            wanted = self._add[i] & ~before & ~change.called
            self.brought[i] = self.brought.get(i, 0) | wanted & found.target
            for j in bits(wanted & ~found.target):
                self.lost_implied.setdefault((i, j), where)
