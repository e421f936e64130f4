"""To where a role could go back: what its `checkpoint` gave before each region that starts again. It goes nowhere by itself.

A role that is told little may stand before a region for long, and in it, and before it again, without having noticed. So a
checkpoint is taken anew with every step that does not both begin and end inside. With it is kept how many frames the role had
said and heard by then, which tells what starts of several roles are those of one time: `agreement.consistent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs

from amachine.choreography.playing.agreement import Start
from amachine.choreography.playing.doing import plainly

if TYPE_CHECKING:
    from amachine.choreography.playing.agreement import Understudies
    from amachine.choreography.playing.player import Player
    from amachine.choreography.playing.seat import StepArgs
    from amachine.choreography.script import Script

__all__ = ["Kept", "Starts"]

MOST = 4
"""How many starts of one region are kept: this role may be some turns of a loop ahead of others."""


@attrs.frozen
class Kept:
    """A start, and what the role's `checkpoint` gave there."""

    start: Start
    data: Any = None


class Starts:
    """Of one player."""

    __slots__ = (
        "_began", "_count", "_heard", "_last", "_stands", "_understudies", "asked", "kept", "player",
    )  # fmt: skip

    def __init__(self, player: Player, understudies: Understudies | None) -> None:
        self.player: Player = player
        self._understudies = understudies
        self.kept: dict[str, tuple[Kept, ...]] = {}
        """By region, the last ones."""
        self.asked: str = ""
        """Which of the user's functions was called last: that to blame for what is raised here."""
        self._count = 0
        self._stands: set[str] = set()  # the regions in which it stands
        # Those whose last start is one of a time when they began: the next one does not take its place.
        self._began: set[str] = set()
        # By peer, the number of the last frame that was taken, in this epoch.
        self._heard: dict[str, int] = {}
        self._last: StepArgs | None = None

    def of(self, regions: tuple[str, ...]) -> dict[str, tuple[Start, ...]]:
        """Those of these regions."""
        return {name: tuple(each.start for each in self.kept[name]) for name in regions if name in self.kept}

    def moved(self, step: StepArgs) -> None:
        """The role has taken that step, or has begun. Twice for one step is harmless.

        Raises what its `checkpoint` or `keep` raises.
        """
        if step is self._last:
            return
        player, self._last = self.player, step
        if step.seq:
            self._heard[step.peer] = step.seq
        for region in player.table.machine.restart:
            begins, ends = _inside(player.script, region, step.scene, step.label)
            if begins:
                self._began.add(region)
            if region not in player.present.regions:
                self._leave(region)
            elif self._is_start(region, step):
                self._take(region)
                if ends:
                    self._began.add(region)

    def coming(self) -> frozenset[str]:
        """The regions for which there will be a start as soon as what runs is done."""
        player = self.player
        step = player.coming_by
        if step is None or step is self._last:
            return frozenset()
        there = player.table.machine.restart.keys() & {*player.present.regions}
        return frozenset(region for region in there if self._is_start(region, step))

    def _is_start(self, region: str, step: StepArgs) -> bool:
        begins, ends = _inside(self.player.script, region, step.scene, step.label)
        return region not in self.kept or bool(step.scene and not (begins and ends))

    def _take(self, region: str) -> None:
        player = self.player
        take = getattr(player.me, "checkpoint", None)
        self.asked = "checkpoint"
        data = None if take is None else plainly(self.asked, take)
        before = self.kept.get(region, ())
        if region not in self._began:
            before = before[:-1]
        said = {name: peer.said for name, peer in player.peers.items() if peer.said}
        self._count += 1
        start = Start(self._count, player.epoch, said, dict(self._heard))
        self._keep(region, (*before, Kept(start, data))[-MOST:])

    def _keep(self, region: str, kept: tuple[Kept, ...]) -> None:
        self.kept[region] = kept
        self._stands.add(region)
        self._began.discard(region)
        if self._understudies is not None:
            self.asked = "keep"
            self._understudies.keep(self.player.role, region, kept)

    def _leave(self, region: str) -> None:
        if region in self._stands:
            self._stands.discard(region)
            if self._understudies is not None:
                self.asked = "keep"
                self._understudies.forget(self.player.role, region)

    def begin_epoch(self) -> None:
        """Frames are numbered anew."""
        self._heard.clear()

    def go_back(self, region: str, number: int | None) -> Any:
        """Take up the start of that number, or the last one, in an epoch that has begun. Returns what was kept there.

        What was done since then never was: of other regions, starts are forgotten, but for those around this one.
        """
        script = self.player.script
        last = self.kept[region]
        kept = next((each for each in last if each.start.number == number), last[-1])
        around: str | None = region
        outer: set[str] = set()
        while around is not None:
            outer.add(around)
            around = script.regions[around].parent
        for name in self.kept.keys() - outer:
            del self.kept[name]
            self._leave(name)
        self._keep(region, (Kept(Start(kept.start.number, self.player.epoch), kept.data),))
        self._began.add(region)
        return kept.data

    def take_over(self, kept: Mapping[str, tuple[Kept, ...]]) -> None:
        """Those of whoever played this role before."""
        self.kept = dict(kept)
        self._stands = set(kept)
        self._count = max((each.start.number for starts in kept.values() for each in starts), default=0)


@lru_cache(10_000)
def _inside(script: Script, region: str, scene: str, label: str) -> tuple[bool, bool]:
    """Whether a step begins and ends in a region. The whole begins outside."""
    if not scene:
        return False, region in script.innermost(script.start)
    next = script.scenes[scene].branch(label).next
    return region in script.innermost(scene), next in script.scenes and region in script.innermost(next)
