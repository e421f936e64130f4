"""How long a role waits for the others, and whom it gives up then: not somebody who waits as well. It takes no step.

Shortly before its patience is at an end, a role asks those whom it waits for what they are doing (BEAT). Who waits for
somebody else is given the rest of its own patience, and who has a step in hand as long as anybody has for one; so the one
is given up in the end who could go on and did not, and whoever waits for it learns its name. Who does not answer is given
up at once, and so is everybody when nobody has got on after as many questions as there are roles; or, whatever they say,
when those who still have something to do without this role could have done all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind

if TYPE_CHECKING:
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player
    from amachine.choreography.script import Script

__all__ = ["SETTLING", "Patience"]

SETTLING = 30.0
"""Seconds that a missing frame, or the others' answers after a loss, may take where nobody has set any patience."""

ANSWER = 1.0
"""Seconds that an answer may take, or a quarter of the patience if that is less."""


@attrs.frozen
class _Answer:
    """What a role says that it does."""

    since: float
    """For how many seconds it has been at that."""
    waits: tuple[str, ...] = ()
    """Whom it waits for; nobody: it has a step in hand."""
    left: float | None = None
    """The seconds after which it will have given up; None: never."""


_convert: Callable[[Any], _Answer] = partial(msgspec.convert, type=_Answer)


class Patience:
    """Of one player."""

    __slots__ = ("_doing", "_lamports", "_rounds", "_until", "deadline", "player")

    def __init__(self, player: Player) -> None:
        self.player: Player = player
        self.deadline: float | None = None
        """When it gives up, if nothing happens."""
        self._until: dict[str, float] = {}  # by whom was asked: when its own time is over, as it says
        self._doing: dict[str, _Answer] = {}
        self._lamports: dict[str, int] = {}
        self._rounds = 0

    @property
    def silent(self) -> list[Peer]:
        """Those whom the role waits for."""
        player = self.player
        heard = [player.peers[name] for name in player.state.local.hears]
        return [peer for peer in heard if not peer.speaks(player.epoch)]

    @property
    def longest(self) -> float:
        """The most seconds for which anybody is waited for, as far as is known."""
        scenes = [scene.patience for scene in self.player.script.scenes.values()]
        return max(each for each in (self.player.patience_here, SETTLING, *scenes) if each is not None)

    def begin(self) -> None:
        """The role waits from now on."""
        player = self.player
        self.deadline, self._rounds = None, 0
        if not player.state.local.takes:
            return
        seconds = player.patience_here
        if seconds is None:
            for peer in player.peers.values():
                if peer.early or (peer.inbox and not peer.speaks(player.epoch)):
                    # It cannot be taken before something else has come: that much has to come.
                    player.alarm.set(SETTLING, player.troubles.never_came)
                    break
            return
        self.deadline = player.ground.now() + seconds
        self._lamports.clear()
        self._until.clear()
        self._doing.clear()
        player.alarm.set(seconds - _answer(seconds), self._ask)

    def _ask(self) -> None:
        """What are they doing?"""
        player = self.player
        self._until.clear()
        if self.deadline is not None:
            player.alarm.set(max(0.0, self.deadline - player.ground.now()), self._over)
        for peer in self.silent:
            if peer.gone is None:
                self._say(peer, None)

    def _say(self, peer: Peer, data: Any) -> None:
        player = self.player
        try:
            peer.channel.try_send(Frame(Kind.BEAT, data=data, epoch=player.epoch, lamport=player.lamport))
        except ChannelClosed as closed:
            player.closed(peer.name, closed)

    def told(self, peer: Peer, frame: Frame) -> None:
        """Somebody asks, or answers. Errors: `ValueError` for an answer that makes no sense."""
        if frame.data is None:
            self._say(peer, attrs.asdict(self._answer()))
        elif self.deadline is not None:
            self._answered(peer, _convert(frame.data), frame.lamport)

    def _answer(self) -> _Answer:
        player = self.player
        now = player.ground.now()
        since = max(0.0, now - player.since)
        council = player.troubles.council
        if council is not None and council.is_open:
            return _Answer(since, ("the others",), max(0.0, (council.alarm.deadline or now) - now))
        if player.telling.blocked:
            return _Answer(since, player.telling.blocked[:1])
        if not player.rests or not player.state.local.takes:
            return _Answer(since)
        left = None if self.deadline is None else max(0.0, self.deadline - now)
        return _Answer(since, tuple(peer.name for peer in self.silent), left)

    def _answered(self, peer: Peer, said: _Answer, lamport: int) -> None:
        player = self.player
        seconds, now = player.patience_here, player.ground.now()
        if seconds is None or self.deadline is None or peer not in self.silent:
            return
        if lamport > self._lamports.get(peer.name, -1) and peer.name in self._lamports:
            self._rounds = 0
        self._lamports[peer.name] = lamport
        self._doing[peer.name] = said
        waits = bool(said.waits) and said.waits != (player.role,)
        left = said.left + _answer(seconds) if waits and said.left is not None else seconds - said.since
        self._until[peer.name] = now + max(0.0, min(left, self.longest))
        if any(other.name not in self._until for other in self.silent if other.gone is None):
            return
        until = min(*self._until.values(), self._latest)
        if until > self.deadline + 0.01 and self._rounds <= len(player.script.roles):
            self._rounds += 1
            self.deadline = until
            left = until - now
            player.alarm.set(left - _answer(min(left, seconds)), self._ask)

    @property
    def _latest(self) -> float:
        """After which nobody is believed: what can be done without this role is done by then."""
        player = self.player
        steps = _without(player.script, player.role)
        return math.inf if steps is None else player.since + self.longest * (steps + 1)

    def _over(self) -> None:
        """The role waits no longer for those who have no time left."""
        player = self.player
        now = player.ground.now()
        many = self._rounds > len(player.script.roles)
        late = [peer for peer in self.silent if many or self._until.get(peer.name, now) <= now + 0.01]
        seconds = player.patience_here or SETTLING
        if self._rounds or now >= self._latest - 0.01:
            seconds = round(now - player.since, 1)
        player.troubles.waited_too_long(
            {peer: self._why(peer, seconds) for peer in late or self.silent},
            f"nothing came for {seconds:g} s",
        )

    def _why(self, peer: Peer, seconds: float) -> str:
        said = self._doing.get(peer.name)
        while_ = (
            ""
            if said is None or not said.waits
            else f", while {peer.name} waited for {' or '.join(said.waits)}"
        )
        return f"nothing came for {seconds:g} s{while_}"


def _answer(seconds: float) -> float:
    return min(ANSWER, seconds / 4)


@lru_cache(1000)
def _without(script: Script, role: str) -> int | None:
    """How many scenes there may be, one after another, until a role sends or hears something; None: any number."""
    follow = {
        scene.id: {branch.next for branch in scene.branches if role not in script.hearers(scene, branch)}
        for scene in script.scenes.values()
        if scene.sender != role
    }
    longest: dict[str, int] = {}
    try:
        for at in TopologicalSorter(follow).static_order():
            longest[at] = (at in follow) + max((longest[each] for each in follow.get(at, ())), default=0)
    except CycleError:
        return None
    return max(longest.values(), default=0)
