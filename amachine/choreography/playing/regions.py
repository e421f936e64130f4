"""How those who are left agree, after a loss, whether and where to go on. Plain rules over LOST frames; it takes no step.

Who still needed the lost role stands still and tells everybody else where it stands. They stand still, too, and tell
the same. The first of them in the order of roles decides, when it has heard from all: the innermost region that provides
for the loss and in which everybody stands who plays in the recovery; or that there is none. Everybody does what it says,
and a new epoch begins. Who decides may be lost as well: then the next one does, and hears if the first had decided already.

Where a region starts again, and the lost role may come back from elsewhere, who decides waits for that, too. Who comes back
tells everybody to the start of which regions it could go, and waits for what is decided, as the others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from amachine.choreography.playing.agreement import LAST, Decision, Stand, provides, stand_of, way_on
from amachine.choreography.playing.events import EpochBegun
from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind, plain
from amachine.choreography.playing.ground import Alarm

if TYPE_CHECKING:
    from amachine.choreography.playing.agreement import Understudies
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player

__all__ = ["Council"]

REASON = 200
"""The most characters of why a role is lost that the others are told: all of them have to fit into one frame."""


class Council:
    """Of one player: what it knows of a loss while the others are asked."""

    def __init__(self, player: Player, understudies: Understudies | None) -> None:
        self.player = player
        self.understudies = understudies
        self.is_open: bool = False
        """A loss is being settled, and the player stands still."""
        self.lost: dict[str, str] = {}
        self.stands: dict[str, Stand] = {}
        self.last: Decision | None = None
        self.checkpoints: dict[str, Any] = {}
        """By region: what the role would go back to."""
        self.back: dict[str, tuple[str, ...]] = {}
        """Of those who are lost: who has come back to this role, and to the start of which regions it could go."""
        self.comes_back: bool = False
        """This role itself has come back, and nobody has decided yet that it plays."""
        self.alarm: Alarm = Alarm()
        """Rings when the others have not answered in time."""
        self._too_late_to_return = False

    def provides(self, lost: str) -> bool:
        """Whether any region says how to go on without that role, or with another in its place: in one more epoch."""
        return self.player.epoch < LAST and provides(self.player.script, lost, self.understudies)

    def has_moved(self) -> bool:
        """Take checkpoints where the role may have to start again, and drop those of regions that it has left.

        False if the role's `checkpoint` raised, which has ended it.
        """
        player, here = self.player, self.player.present.regions
        for region in [region for region in self.checkpoints if region not in here]:
            del self.checkpoints[region]
            if self.understudies is not None:
                self.understudies.forget(player.role, region)
        for region in here:
            if region in player.table.machine.restart and region not in self.checkpoints:
                try:
                    self.checkpoints[region] = data = _checkpoint(player.me)
                    if self.understudies is not None:
                        self.understudies.keep(player.role, region, data)
                except Exception as error:  # noqa: BLE001  # it is the user's function
                    player.troubles.raised("checkpoint", error)
                    return False
        return True

    # What is told.

    def learn(self, lost: Mapping[str, str]) -> None:
        """Somebody whom some role still needs is lost. Stand still, and tell everybody."""
        player = self.player
        if player.role in lost:
            why = f"the others have given up {player.role}: {lost[player.role]}"
            player.troubles.abort("PeerLost", why, None)
            return
        news = {role: why for role, why in lost.items() if role not in self.lost}
        if self.is_open and not news:
            return
        if not player.doing.inside and not self.has_moved():
            return
        self.lost |= {role: plain(why, REASON) for role, why in lost.items()}
        self.is_open, self._too_late_to_return = True, False
        player.hold()
        self._wait()
        for role, why in news.items():
            if role in player.peers:
                player.troubles.mark(player.peers[role], why)
        if self.understudies is not None:
            for role in self.lost:
                is_expected = role in player.peers and not player.peers[role].returning
                if is_expected and self.understudies.may_return(role):
                    self.understudies.expect(role)
        self._say_where_it_stands()
        self.look()

    def _wait(self) -> None:
        """For the others; for who decides, half as long again as that one does."""
        player = self.player
        self.alarm.ground = player.ground
        self.alarm.set(player.troubles.settling * (1.0 if self._is_first else 1.5), self._too_late)

    def _say_where_it_stands(self) -> None:
        self.stands[self.player.role] = stand = self._stand()
        for role in self.left:
            self._tell(role, stand)

    def lost_more(self, peer: Peer) -> None:
        """One more is gone while all stand still. Who may come back is waited for as well."""
        understudies = self.understudies
        may_return = understudies is not None and understudies.may_return(peer.name)
        if may_return and not peer.left and not self.comes_back:
            self.learn({peer.name: peer.gone or ""})
        else:
            self.look()

    def heard(self, name: str, frame: Frame) -> None:
        """Another role tells where it stands, or what was decided."""
        player = self.player
        try:
            stand = stand_of(player.script, frame.data)
        except ValueError as error:
            player.troubles.unreadable(player.peers[name], error)
            return
        if player.peers[name].returning:
            self.back[name] = stand.back.get(name, ())
            self._say_where_it_stands()
            self.look()
        elif stand.decides:
            if stand.last is not None and stand.lost.keys() >= self.lost.keys():
                self._apply(stand.last)
        elif stand.epoch >= player.epoch:
            self.stands[name] = stand
            self.learn(stand.lost)
            self.look()
        elif self.last is not None:  # it was said before that one knew what was decided
            self._tell(name, attrs.evolve(self._stand(), last=self.last, decides=True))

    def _stand(self) -> Stand:
        player = self.player
        here = player.present.regions
        starts = tuple(region for region in here if region in self.checkpoints)
        if self.comes_back:
            return Stand({}, epoch=player.epoch, back={player.role: tuple(self.checkpoints)})
        return Stand(dict(self.lost), here, starts, player.epoch, self.last, back=dict(self.back))

    def _tell(self, role: str, stand: Stand) -> None:
        player = self.player
        frame = Frame(Kind.LOST, data=attrs.asdict(stand), epoch=player.epoch, lamport=player.lamport)
        channel = player.peers[role].channel
        try:
            if not channel.try_send(frame):
                player.ground.start(self._tell_slowly, role, frame)
        except ChannelClosed as closed:
            player.troubles.gone(player.peers[role], closed.why)

    async def _tell_slowly(self, role: str, frame: Frame) -> None:
        try:
            await self.player.peers[role].channel.send(frame)
        except ChannelClosed as closed:
            if self.player.ended is None:
                self.player.troubles.gone(self.player.peers[role], closed.why)

    @property
    def left(self) -> list[str]:
        """The other roles that are still there, in the order of the script."""
        peers = self.player.peers
        return [role for role in self.player.script.roles if role in peers and peers[role].gone is None]

    # What is decided.

    def look(self) -> None:
        """Decide, if it is this player's turn to, and everybody has told where it stands."""
        player = self.player
        left = self.left
        if not self.is_open or player.ended is not None:
            return
        if self.comes_back:
            if not left:
                why = ", ".join(f"{peer.name} said: {peer.gone}" for peer in player.peers.values())
                player.troubles.abort("PeerLost", f"nobody let {player.role} in again: {why}", None)
        elif self._is_first and all(self._is_current(role) for role in left):
            self._decide(left)

    @property
    def _is_first(self) -> bool:
        """It is this one who decides."""
        left = self.left
        return self.player.role == next(
            role for role in self.player.script.roles if role == self.player.role or role in left
        )

    def _is_current(self, role: str) -> bool:
        """Whether a role has told where it stands since the last loss."""
        return role in self.stands and self.stands[role].lost.keys() >= self.lost.keys()

    def _decide(self, left: list[str]) -> None:
        player = self.player
        stands = {role: self.stands[role] for role in (*left, player.role)}
        newest = max(stands.values(), key=lambda stand: stand.epoch)
        decision = newest.last if newest.epoch > player.epoch else None
        if decision is None:
            decision = way_on(player.script, self.lost, stands, newest.epoch + 1, self.understudies)
            if not decision.region and self._somebody_may_return(stands):
                return
            for role in decision.back:
                if self.understudies is not None and self.understudies.has(role, decision.region):
                    self.understudies.begin(role, decision.region, decision.epoch)
        said = attrs.evolve(self._stand(), last=decision, decides=True)
        for role in left:
            self._tell(role, said)
        self._apply(decision)

    def _somebody_may_return(self, stands: Mapping[str, Stand]) -> bool:
        """Whether there would be a way on if those came back who may."""
        understudies = self.understudies
        if understudies is None or self._too_late_to_return:
            return False
        may_return = understudies.may_return
        return bool(way_on(self.player.script, self.lost, stands, 0, understudies, awaited=may_return).region)

    def _too_late(self) -> None:
        """Somebody has not answered, or not come back. Who decides does so without them; anybody else stops."""
        silent = [role for role in self.left if not self._is_current(role)]
        if not self.is_open or self.player.ended is not None:
            return
        if self.comes_back:
            why = f"nobody let {self.player.role} in again: {' and '.join(self.left)} did not answer"
            self.player.troubles.abort("PeerLost", why, None)
            return
        if self._is_first:
            if silent:
                self.learn(dict.fromkeys(silent, "it did not say where it stood"))
            elif not self._too_late_to_return:
                self._too_late_to_return = True
                self.look()
            return
        lost = ", ".join(f"{role} was lost: {why}" for role, why in self.lost.items())
        whom = ", ".join(silent or self.left)
        self.player.troubles.abort(
            "PeerLost", f"{lost}; nobody knew how to go on, for {whom} did not answer", None
        )

    # What is done.

    def _apply(self, decision: Decision) -> None:
        player = self.player
        is_new = decision.epoch > player.epoch
        if not is_new and not self.is_open:
            return
        self.is_open = False
        self.alarm.deadline = None
        self.stands.clear()
        if not is_new:
            player.release()
            return
        self.last = decision
        if self.comes_back:
            self._come_in(decision)
            return
        self._receive_those_who_come_back(decision)
        stands_there = decision.region in player.present.regions
        if not decision.region or not (stands_there or player.present.needs):
            self._go_on_undisturbed(decision)
        elif not stands_there:
            why = f"{decision.lost} was lost: {self.lost.get(decision.lost, 'for the others')}"
            where = player.present.name
            text = f"{why}; the others went on after {decision.region}, and {player.role} stood in {where}"
            player.troubles.abort("PeerLost", text, None)
        else:
            self._begin_anew(decision)

    def _go_on_undisturbed(self, decision: Decision) -> None:
        """Nothing is provided, or nobody needs this role in what is: end if it needs who is lost, else go on."""
        player = self.player
        if decision.region:
            player.epoch = decision.epoch
        for role in self.lost:
            if role in player.peers and role in player.present.needs and player.peers[role].gone is not None:
                player.troubles.stop_without(player.peers[role])
                return
        player.release()

    def _begin_anew(self, decision: Decision) -> None:
        player, machine = self.player, self.player.table.machine
        player.begin_epoch(decision.epoch)
        if decision.restart:
            target = machine.restart[decision.region]
            for role in decision.back:
                self.lost.pop(role, None)
                if role in player.peers and player.peers[role].gone is not None:
                    player.troubles.back(player.peers[role], decision.epoch)
            if not self._restored(decision.region):
                return
        else:
            target = machine.recover[decision.region, decision.lost]
        player.see(
            EpochBegun(player.session, player.role, decision.epoch, decision.region, decision.lost, target)
        )
        way = partial(player.seat.recover, decision.region, decision.lost)
        player.begin_in(player.table.states[target], way)

    # Coming back.

    def come_back(self, starts: Mapping[str, Any]) -> None:
        """Ask to be let in again, with what was kept at the start of these regions."""
        self.comes_back = self.is_open = True
        self.checkpoints = dict(starts)
        self.player.hold()
        self._wait()
        self._say_where_it_stands()

    def gone_again(self, peer: Peer) -> None:
        """A peer that had come back is gone once more, before anything was decided."""
        peer.returning = False
        self.back.pop(peer.name, None)
        if self.is_open and self.understudies is not None:
            self.understudies.expect(peer.name)
            self._say_where_it_stands()

    def _come_in(self, decision: Decision) -> None:
        """It is decided whether this role plays again."""
        player = self.player
        self.comes_back = False
        if player.role not in decision.back or decision.region not in self.checkpoints:
            player.troubles.abort("PeerLost", f"the others went on without {player.role}", None)
            return
        player.begin_epoch(decision.epoch)
        if not self._restored(decision.region):
            return
        target = player.table.machine.restart[decision.region]
        player.see(
            EpochBegun(player.session, player.role, decision.epoch, decision.region, decision.lost, target)
        )
        player.begin_in(player.table.states[target], player.seat.step)

    def _receive_those_who_come_back(self, decision: Decision) -> None:
        """Tell them what was decided; or send them home."""
        if self.understudies is not None:
            self.understudies.settled()
        for role in list(self.back):
            peer = self.player.peers[role]
            del self.back[role]
            if role in decision.back:
                self._tell(role, Stand(dict(self.lost), epoch=decision.epoch, last=decision, decides=True))
            elif peer.returning:
                peer.returning = False
                why = f"{self.player.role} could not go back to where {role} could"
                self.player.say_goodbye(peer, Frame(Kind.ERR, data=why))

    def _restored(self, region: str) -> bool:
        """Give the role's object what it had at the start of a region. False if its `restore` raised, which has ended it."""
        restore = getattr(self.player.me, "restore", None)
        try:
            if restore is not None:
                restore(self.checkpoints[region])
        except Exception as error:  # noqa: BLE001  # it is the user's function
            self.player.troubles.raised("restore", error)
            return False
        return True


def _checkpoint(me: Any) -> Any:
    take = getattr(me, "checkpoint", None)
    return None if take is None else take()
