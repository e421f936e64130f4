"""Who is told of choices that are not made to them: everybody, only whom the author named, or those who need it.

`check` says what must hold; here frames are left out as long as it does. Which are left out never depends on anything but the
script: the wire is the same in every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Literal

import attrs

from amachine.choreography.check import circles, faults, races, starts
from amachine.choreography.knowledge.frequency import frequencies
from amachine.choreography.knowledge.plot import Edge, Plot, Spent
from amachine.choreography.knowledge.sight import Sight
from amachine.choreography.knowledge.witness import parting
from amachine.choreography.script import Inform, Script

__all__ = ["auto", "decide", "everything", "frequencies"]

_SHUFFLES = 6
"""How many orders are tried by lot, beside those that begin with what is said most often."""

_BUDGET = 1_500_000
"""How many steps may be taken over the script, all trials together: a second or two. What is not tried by then is told."""


def decide(
    script: Script,
    policy: Literal["auto", "all", "declared"],
    *,
    profile: Mapping[tuple[str, str], float] | None = None,
) -> Script:
    """The script with the informs that a policy gives it. Those that it has already are pinned: they stay under each."""
    match policy:
        case "declared":
            return script
        case "all":
            return everything(script)
        case "auto":
            return auto(script, profile=profile)


def everything(script: Script) -> Script:
    """Tell everybody of every choice. That is always sound: whoever has heard of all choices knows where the whole is.

    A scene with one branch is no choice, and a role that was lost is told nothing of what follows.
    """
    alive = _alive(script)
    more = {
        Inform(scene.id, branch.label, role)
        for scene, branch in script.branches()
        if len(scene.branches) > 1
        for role in script.roles
        if role in alive.get(scene.id, ()) and role != scene.sender and role not in branch.to
    }
    return attrs.evolve(script, informs=_in_order(more.union(script.informs)))


def auto(script: Script, *, profile: Mapping[tuple[str, str], float] | None = None) -> Script:
    """Tell those who need it: a set of informs that is sound, and of which none can be left out.

    It is sought from both ends: from nothing, telling a role what parts the runs that it confuses; and from everything,
    leaving out what is said most often first, in several orders. From what is enough each frame is left out that can
    be; the cheapest is kept. `profile` says by scene and label how often that was taken; without it, weights do. Of a
    script so big that a budget is used up, some informs may remain that could have been left out. What it returns is
    sound if anything is; a script with other errors comes back with them.
    """
    whole = everything(script)
    if whole.informs == script.informs:
        return script
    search = _Search(script, whole, profile)
    kept = search.cheapest()
    return attrs.evolve(script, informs=_in_order({*script.informs, *kept}))


def _in_order(informs: Iterable[Inform]) -> tuple[Inform, ...]:
    return tuple(sorted(informs, key=lambda each: (each.scene, each.label, each.role)))


def _alive(script: Script) -> dict[str, set[str]]:
    """By scene: the roles that can still be there when it is played."""
    found = {id: set(script.roles) for id in script.reachable()}
    for region in script.regions.values():
        for lost, goes_to in region.on_lost:
            for id in script.reachable(goes_to):
                found.setdefault(id, set()).update(role for role in script.roles if role != lost)
    return found


class _Search:
    """The frames that could be left out, and whether all is well without some of them.

    A frame to a role is a matter of that role alone, but for races: who need not wait for a frame may send earlier. So a trial
    looks at one role, and besides at those that may hear from several at once.
    """

    def __init__(
        self, script: Script, whole: Script, profile: Mapping[tuple[str, str], float] | None
    ) -> None:
        self.script = script
        self.plot = Plot(whole)
        self.starts = {role: starts(script, self.plot, role) for role in script.roles}
        usual = frequencies(script)
        measured = profile or {}
        self.cost = [
            (measured.get(edge.key, 0.0) + 1e-9 * usual[edge.key]) if profile else usual[edge.key]
            for edge in self.plot.edges
        ]
        pinned = set(script.informs)
        edge_of = {edge.key: edge for edge in self.plot.edges}
        self.spare: dict[str, list[Edge]] = {role: [] for role in script.roles}
        for inform in whole.informs:
            if inform not in pinned:
                self.spare[inform.role].append(edge_of[inform.scene, inform.label])
        self.racing = {role: self._races(role) for role in script.roles}
        """By role: what it may hear in states where it may hear from several."""

    def cheapest(self) -> list[Inform]:
        """What is to be said after all. Everything, if nothing can make the script sound."""
        left = float(_BUDGET)
        for waiting, (role, edges) in enumerate(self.spare.items()):
            share = left // (len(self.spare) - waiting)
            self.plot.steps = share // 2
            best = self._asked(role)
            self.plot.steps += share - share // 2
            best = self._without(role, best)
            for order in self._orders(edges):
                if self.plot.steps < share / 2 or not best:
                    break
                self._say(role, edges)
                best = min(best, self._without(role, order), key=self._price)
            left -= share - self.plot.steps
            self._settle(role, best)
        return [Inform(*edge.key, role) for role, edges in self.spare.items() for edge in edges]

    def _asked(self, role: str) -> list[Edge]:
        """Enough for the role, found from the other end: begin with nothing, and settle each doubt where its runs part.

        What is returned is what is then said: everything, if it takes too many steps to find that out.
        """
        try:
            asked = self._needed(role)
        except Spent:
            asked = self.spare[role]
        if len(asked) < len(self.spare[role]) and self._well(role):
            return asked
        self._say(role, self.spare[role])
        return self.spare[role]

    def _needed(self, role: str) -> list[Edge]:
        """What mends each fault of the role that it can have. Errors: `Spent`."""
        self._unsay(role, self.spare[role])
        asked: dict[int, Edge] = {}
        spare = {edge.number for edge in self.spare[role]}
        while True:
            sight = self._sight(role)
            before = len(asked)
            for fault in faults(sight, self.starts[role], closing=self.script.closing):
                for edge in parting(sight, fault):
                    if edge.number in spare:
                        asked[edge.number] = edge
            if len(asked) == before:
                return list(asked.values())
            self._say(role, asked.values())

    def _settle(self, role: str, kept: list[Edge]) -> None:
        """From now on the role is told these."""
        self._unsay(role, self.spare[role])
        self._say(role, kept)
        self.spare[role] = kept
        self.racing[role] = self._races(role)

    def _price(self, edges: list[Edge]) -> tuple[float, int, list[int]]:
        return (
            round(sum(self.cost[edge.number] for edge in edges), 9),
            len(edges),
            [edge.number for edge in edges],
        )

    def _orders(self, edges: list[Edge]) -> Iterator[list[Edge]]:
        """In which to leave frames out: the dearest first; the dearest scene first; the last first; by lot."""
        dearest = sorted(edges, key=lambda edge: (-self.cost[edge.number], edge.number))
        yield dearest
        scene: dict[int, float] = {}
        for edge in edges:
            scene[edge.source] = scene.get(edge.source, 0.0) + self.cost[edge.number]
        yield sorted(dearest, key=lambda edge: (-scene[edge.source], edge.source))
        yield edges[::-1]
        lot = Random(len(edges))  # noqa: S311 - the same in every process
        for _ in range(_SHUFFLES):
            yield lot.sample(dearest, len(dearest))

    def _without(self, role: str, order: list[Edge]) -> list[Edge]:
        """Leave out what can be, in that order. Returns what cannot, which is still said, in the order of the script."""
        kept, before = self._tried(role, order), len(order)
        while kept and len(kept) < before:  # without some, others may have become needless
            kept, before = self._tried(role, kept), len(kept)
        return sorted(kept, key=lambda edge: edge.number)

    def _tried(self, role: str, order: list[Edge]) -> list[Edge]:
        """Leave out all at once if that is well; else what can be of each half."""
        if not order or self.plot.steps <= 0:
            return order
        self._unsay(role, order)
        if self._well(role):
            return []
        self._say(role, order)
        if len(order) == 1:
            return order
        half = len(order) // 2
        return self._tried(role, order[:half]) + self._tried(role, order[half:])

    def _say(self, role: str, edges: Iterable[Edge]) -> None:
        for edge in edges:
            self.plot.told[edge.number] |= self.plot.bit[role]

    def _unsay(self, role: str, edges: Iterable[Edge]) -> None:
        for edge in edges:
            self.plot.told[edge.number] &= ~self.plot.bit[role]

    # Is all well?

    def _well(self, role: str) -> bool:
        """Whether this role knows what it must, nobody else has a race for it, and all can tell when it is over.

        It is not if finding out takes more steps than are left.
        """
        try:
            return not any(self._wrong(role))
        except Spent:
            return False

    def _wrong(self, role: str) -> Iterator[object]:
        yield from faults(self._sight(role), self.starts[role], closing=self.script.closing)
        for other, states in self.racing.items():
            if other != role:
                self.plot.spend(len(states))
                for heard in states:
                    yield from races(self.plot, other, heard)
        if self.script.closing:
            yield from circles(self.script, {each: self._sight(each) for each in self.script.roles})

    def _sight(self, role: str) -> Sight:
        self.plot.spend(len(self.plot.edges))
        return Sight(self.plot, role)

    def _races(self, role: str) -> list[list[Edge]]:
        sight = Sight(self.plot, role)
        found: dict[int, list[Edge]] = {}
        for start in self.starts[role]:
            for _, around in sight.moments(start):
                heard = sight.steps(around)
                if around not in found and len({edge.sender for edge in heard}) > 1:
                    found[around] = heard
        return list(found.values())
