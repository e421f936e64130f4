"""How those who are left agree, after a loss, whether and where to go on. Plain rules over LOST frames; it takes no step.

Roles may fail at any moment, also in the middle of this. What is said between two that are left arrives, in order, and a loss
is noticed. Everybody has

- whom it takes for lost (`lost`): nothing that they say is taken any more. That never shrinks before they play again;
- the number of what was decided last (`number`), and whether more is to be settled (`is_open`): then it stands still;
- where the others stand, as they said last (`stands`).

Its rules:

1. Who misses a lost role, and who hears of a loss from somebody who knows of the same decisions, stands still, and tells
   everybody where it stands and who is lost; and again whenever it knows of another loss. Who gets that passes it on to
   those whom the first one does not reach.
2. The first, in the order of roles, of those who can hear of one another decides, when all of these have said that they
   take the same roles for lost, after the same decisions. The number is higher than the last one by one, and by one more
   for each role that comes before: so no two decisions have the same, whoever has made them.
3. Who hears what was decided, and of nothing later, tells all others, and only then does it. A decision that comes late, or
   once more, is nothing to anybody.

So there is one sequence of decisions. Let somebody decide: all who are left had told it that they take nothing from the lost
any more, and none of them had heard of a decision that it did not know, for whoever has, tells that before where it stands.
And if the one who decides is lost as well, either somebody who is left has heard of it, and tells all; or nobody ever will.

Where a region starts again, and the lost role may come back from elsewhere, who decides waits for that, too. Who comes back
says to which starts it could go, and begins when all whom it reaches have told it the same decision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import attrs

from amachine.choreography.playing.agreement import (
    LAST,
    Decision,
    Returned,
    Stand,
    has_to_start_again,
    members,
    provides,
    stand_of,
    way_on,
)
from amachine.choreography.playing.doing import failure_of, plainly
from amachine.choreography.playing.events import EpochBegun
from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind, plain
from amachine.choreography.playing.ground import Alarm
from amachine.choreography.playing.starts import Starts

if TYPE_CHECKING:
    from amachine.choreography.local import LocalState
    from amachine.choreography.playing.agreement import Understudies
    from amachine.choreography.playing.frames import Channel
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player
    from amachine.choreography.playing.seat import StepArgs
    from amachine.choreography.playing.starts import Kept

__all__ = ["Council"]

REASON = 200
"""The most characters of why a role is lost that the others are told: all of them have to fit into one frame."""


class Council:
    """Of one player: what it knows of a loss while the others are asked."""

    def __init__(self, player: Player, understudies: Understudies | None) -> None:
        self.player = player
        self.understudies = understudies
        self.starts: Starts = Starts(player, understudies)
        self.is_open: bool = False
        """A loss is being settled, and the player stands still."""
        self.number: int = player.epoch
        """Of what was decided last."""
        self.lost: dict[str, str] = {}
        """Everybody who is lost, and why."""
        self.stands: dict[str, Stand] = {}
        self.back: dict[str, Returned] = {}
        """Of those who are lost: who has come back to this role."""
        self.comes_back: bool = False
        """This role itself has come back, and nobody has decided yet that it plays."""
        self.alarm: Alarm = Alarm()
        """Rings when the others have not answered in time."""
        self._missed: set[str] = set()
        self._left: set[str] = set()  # through with their part, as they have said themselves, or others
        self._serial = 0
        self._told: dict[str, Decision] = {}  # while this role comes back: by whom, what was decided
        self._too_late_to_return = False
        self._comes_in = False  # it says where it stands when it has come to a start there
        self._gives_up = False  # that took too long

    def provides(self, lost: str) -> bool:
        """Whether any region says how to go on without that role, or with another in its place."""
        script = self.player.script
        return self.number + len(script.roles) < LAST and provides(script, lost, self.understudies)

    def has_moved(self) -> bool:
        """Take checkpoints where the role may have to start again.

        False if the role's `checkpoint`, or the `keep` of whoever joined, raised, which has ended it.
        """
        step = self.player.came_by
        try:
            if step is not None:
                self.starts.moved(step)
        except BaseException as error:  # they are the user's functions
            failure = failure_of(error)
            if failure is None:
                raise
            self.player.troubles.raised(self.starts.asked, failure)
            return False
        return True

    # What is told.

    def miss(self, peer: Peer) -> None:
        """Somebody is lost whom this role still needs."""
        is_news = peer.name in self.lost and peer.name not in self._missed
        self._missed.add(peer.name)
        if self.is_open and is_news:
            self._say_where_it_stands()
            self.look()
        else:
            self.learn({peer.name: peer.gone or ""})

    def learn(self, lost: Mapping[str, str]) -> None:
        """Somebody is lost whom this role or another needs. Stand still, and tell everybody."""
        player = self.player
        if player.role in lost:
            why = f"the others have given up {player.role}: {lost[player.role]}"
            player.troubles.abort("PeerLost", why, None)
            return
        news = {role: plain(why, REASON) for role, why in lost.items() if role not in self.lost}
        if not self.is_open:
            if not self.has_moved():
                return
            gone = [peer for peer in player.peers.values() if peer.gone is not None and not peer.left]
            news |= {peer.name: plain(peer.gone, REASON) for peer in gone if peer.name not in self.lost}
        elif not news:
            return
        self.lost |= news
        self.is_open, self._too_late_to_return = True, False
        player.hold()
        for role in news:
            if role in player.peers:
                player.troubles.mark(player.peers[role], self.lost[role])
        if player.ended is not None:
            return  # a tracer has ended it
        for role in self.lost:
            if role in player.peers:
                self._expect(player.peers[role])
        self._say_where_it_stands()
        self._wait()
        self.look()

    def _expect(self, peer: Peer) -> None:
        understudies = self.understudies
        if understudies is not None and not peer.returning and understudies.may_return(peer.name):
            understudies.expect(peer.name)

    def _wait(self) -> None:
        """For the others; for who decides, half as long again as that one does."""
        player = self.player
        self.alarm.ground = player.ground
        if self._comes_in:  # half of the time that the others have for it is its function's
            self.alarm.set(player.troubles.settling / 2, self._does_not_come_in)
        else:
            self.alarm.set(player.troubles.settling * (1.0 if self._is_first else 1.5), self._too_late)

    def lost_more(self, peer: Peer) -> None:
        """One more is gone while all stand still: lost, or through with its part."""
        if self.comes_back:
            self._expect(peer)
            self._say_where_it_stands()
            self.look()
        elif peer.left and not self.player.troubles.misses(peer):
            self._say_where_it_stands()
            self._wait()
            self.look()
        else:
            self.learn({peer.name: peer.gone or ""})

    def heard(self, name: str, frame: Frame) -> None:
        """Another role tells where it or somebody else stands, or what was decided."""
        player = self.player
        try:
            stand = stand_of(player.script, frame.data)
        except ValueError as error:
            player.troubles.unreadable(player.peers[name], error)
            return
        if player.peers[name].returning:
            self.back[name] = stand.back.get(name, Returned())
            self._say_where_it_stands()
            self.look()
        elif not stand.decides or stand.last is None:
            self._heard_where(name, attrs.evolve(stand, role=stand.role or name))
        elif self.comes_back:
            self._told[name] = stand.last
            self.look()
        else:
            self._apply(stand.last)

    def _heard_where(self, name: str, stand: Stand) -> None:
        known = self.stands.get(stand.role)
        if stand.role == self.player.role or stand.epoch < self.number:
            return
        if known is not None and (known.epoch, known.serial) > (stand.epoch, stand.serial):
            return
        self.stands[stand.role] = stand
        if self.comes_back:
            self.look()
            return
        if known != stand:
            self._pass_on(name, stand)
        if stand.epoch == self.number:  # else it is about what this role has not done yet
            self._left.update(stand.left)
            self.learn(stand.lost)
            self.look()

    def _pass_on(self, name: str, stand: Stand) -> None:
        """To whom whose that is does not reach."""
        for role in self.left:
            if role not in {name, stand.role, *stand.reaches}:
                self._tell(role, stand)

    def _say_where_it_stands(self) -> None:
        player = self.player
        if self._is_coming_in():
            self._comes_in = True
            return
        self._left |= {peer.name for peer in player.peers.values() if peer.left} - self.lost.keys()
        self._serial += 1
        if self.comes_back:
            there = tuple(name for name, peer in player.peers.items() if peer.gone is None or peer.returning)
            returned = Returned(self.starts.of(tuple(self.starts.kept)), there)
            stand = Stand({}, player.role, epoch=self.number, back={player.role: returned})
        else:
            here = player.present.regions
            stand = Stand(
                dict(self.lost),
                player.role,
                missed=tuple(self._misses()),
                reaches=tuple(player.peers),
                left=tuple(self._left),
                regions=here,
                starts=self.starts.of(here),
                epoch=self.number,
                serial=self._serial,
                back=dict(self.back),
            )
        self.stands[player.role] = stand
        back = [name for name, peer in player.peers.items() if peer.returning] if self.comes_back else []
        for role in [*self.left, *back]:
            self._tell(role, stand)

    def _is_coming_in(self) -> bool:
        """A function runs that came with the step into a region which is to start again: when it is done, there is a start."""
        if self.comes_back or self._gives_up or not (coming := self.starts.coming()):
            return False
        here = self.player.present.regions
        return not coming.isdisjoint(
            has_to_start_again(self.player.script, self.lost, here, self.understudies)
        )

    def came_in(self) -> None:
        """That function is done."""
        if self._comes_in and self.is_open and self.has_moved():
            self._comes_in = False
            self._say_where_it_stands()
            self._wait()
            self.look()

    def _misses(self) -> list[str]:
        """Those of the lost whom this role still needs."""
        player = self.player
        missed = {peer.name for peer in player.peers.values() if player.troubles.misses(peer)} | self._missed
        return [role for role in self.lost if role in missed]

    def _tell(self, role: str, stand: Stand) -> None:
        player = self.player
        frame = Frame(Kind.LOST, data=attrs.asdict(stand), epoch=player.epoch, lamport=player.lamport)
        channel = player.peers[role].channel
        try:
            if not channel.try_send(frame):
                player.ground.start(self._tell_slowly, role, channel, frame)
        except ChannelClosed as closed:
            # What is being said now is said to all first.
            player.ground.soon(self._unreached, role, channel, closed)

    async def _tell_slowly(self, role: str, channel: Channel, frame: Frame) -> None:
        try:
            await channel.send(frame)
        except ChannelClosed as closed:
            self._unreached(role, channel, closed)

    def _unreached(self, role: str, channel: Channel, closed: ChannelClosed) -> None:
        if self.player.peers[role].channel is channel:
            self.player.closed(role, closed)

    # Who is asked.

    @property
    def left(self) -> list[str]:
        """The other roles that are still there, of those to whom this one has a channel."""
        return [name for name, peer in self.player.peers.items() if peer.gone is None]

    @property
    def _members(self) -> list[str]:
        """All who can hear of one another, this role among them, in the order of the script."""
        found = members(self.player.role, self.stands, self.lost.keys() | self._left)
        return [role for role in self.player.script.roles if role in found]

    @property
    def _is_first(self) -> bool:
        """It is this one who decides."""
        return self._members[0] == self.player.role

    # What is decided.

    def look(self) -> None:
        """Decide, if it is this player's turn to, and everybody has told where it stands; or come in again."""
        player = self.player
        if not self.is_open or player.ended is not None:
            return
        if self.comes_back:
            self._look_whether_it_may_come_in()
            return
        asked = self._members
        if asked[0] == player.role and all(self._is_current(role) for role in asked):
            self._decide(asked)

    def _is_current(self, role: str) -> bool:
        """Whether a role has told where it stands since the last decision and the last loss."""
        stand = self.stands.get(role)
        return stand is not None and stand.epoch == self.number and stand.lost.keys() >= self.lost.keys()

    def _decide(self, asked: Collection[str]) -> None:
        player = self.player
        stands = {role: self.stands[role] for role in asked}
        number = self.number + 1 + player.script.roles.index(player.role)
        decision = way_on(player.script, stands, self.lost, number, self.understudies)
        if not decision.region and self._somebody_may_return(stands):
            return
        for role in decision.back:
            if self.understudies is not None and self.understudies.starts(role, decision.region):
                self.understudies.begin(role, decision.region, decision.starts[role], number)
        self._apply(decision)

    def _somebody_may_return(self, stands: Mapping[str, Stand]) -> bool:
        """Whether there would be a way on if those came back who may."""
        understudies = self.understudies
        if understudies is None or self._too_late_to_return:
            return False
        script, may_return = self.player.script, understudies.may_return
        return bool(way_on(script, stands, self.lost, 0, understudies, awaited=may_return).region)

    def _does_not_come_in(self) -> None:
        if self._comes_in and self.is_open and self.player.ended is None:
            self._comes_in, self._gives_up = False, True
            self._say_where_it_stands()
            self._wait()
            self.look()

    def _too_late(self) -> None:
        """Somebody has not answered, or not come back. Who decides does so without them; anybody else stops."""
        if not self.is_open or self.player.ended is not None:
            return
        if self.comes_back:
            why = f"nobody let {self.player.role} in again: {' and '.join(self.left)} did not answer"
            self.player.troubles.abort("PeerLost", why, None)
            return
        silent = [role for role in self._members if not self._is_current(role)]
        if self._is_first:
            if silent:
                self.learn(dict.fromkeys(silent, "it did not say where it stood"))
            elif not self._too_late_to_return:
                self._too_late_to_return = True
                self.look()
            return
        lost = ", ".join(f"{role} was lost: {why}" for role, why in self.lost.items())
        whom = ", ".join(silent or self._members[:1])
        self.player.troubles.abort(
            "PeerLost", f"{lost}; nobody knew how to go on, for {whom} did not answer", None
        )

    # What is done.

    def _apply(self, decision: Decision) -> None:
        """Do what was decided, if that is news. All others are told first."""
        player = self.player
        if decision.epoch <= self.number:
            return
        missed = [role for role in self._misses() if role in decision.settles]
        self._settled(decision)
        for role in self.left:
            self._tell(role, self._as_said(decision))
        self._receive_those_who_come_back(decision)
        stands_there = decision.region in player.present.regions
        if not decision.region or not (stands_there or player.present.needs):
            self._go_on_undisturbed(decision, missed)
        elif not stands_there:
            why = f"{decision.lost} was lost: {self.lost.get(decision.lost, 'for the others')}"
            where = player.present.name
            text = f"{why}; the others went on after {decision.region}, and {player.role} stood in {where}"
            player.troubles.abort("PeerLost", text, None)
        else:
            self._begin_anew(decision)
        self._heard_meanwhile()

    def _as_said(self, decision: Decision) -> Stand:
        return Stand(dict(self.lost), self.player.role, epoch=self.number, decides=True, last=decision)

    def _settled(self, decision: Decision) -> None:
        self.is_open = self.comes_back = self._comes_in = self._gives_up = False
        self.alarm.deadline = None
        self.number = decision.epoch
        self.stands = {role: stand for role, stand in self.stands.items() if stand.epoch >= self.number}
        self._missed.clear()
        if self.understudies is not None:
            self.understudies.settled()

    def _heard_meanwhile(self) -> None:
        """What those have said since who did what was decided sooner."""
        for stand in [*self.stands.values()]:
            if self.player.ended is None and stand.epoch == self.number:
                self.learn(stand.lost)

    def _go_on_undisturbed(self, decision: Decision, missed: Collection[str]) -> None:
        """Nothing is provided, or nobody needs this role in what is: end if it needs who is lost, else go on."""
        player = self.player
        if decision.region:
            player.epoch = decision.epoch
        for role in missed:
            if role in player.peers and player.peers[role].gone is not None:
                player.troubles.stop_without(player.peers[role])
                return
        player.release()

    def _begin_anew(self, decision: Decision) -> None:
        player, machine = self.player, self.player.table.machine
        self._begin_epoch(decision.epoch)
        if decision.restart:
            target = machine.restart[decision.region]
            for role in decision.back:
                self.lost.pop(role, None)
                self._left.discard(role)
                if role in player.peers and player.peers[role].gone is not None:
                    player.troubles.back(player.peers[role], decision.epoch)
            if not self._restored(decision):
                return
        else:
            target = machine.recover[decision.region, decision.lost]
        self._see_begun(decision, target)

        def recover(state: LocalState, args: StepArgs, then: Callable[[], None]) -> bool:
            # The seat of that turn: whoever looks meanwhile has another put in its place.
            return player.seat.recover(decision.region, decision.lost, state, args, then)

        player.begin_in(player.table.states[target], recover)

    def _see_begun(self, decision: Decision, target: str) -> None:
        d, player = decision, self.player
        begun = EpochBegun(player.session, player.role, d.epoch, d.region, d.lost, target, d.restart, d.back)
        player.see(begun)

    def _begin_epoch(self, epoch: int) -> None:
        self.player.begin_epoch(epoch)
        self.starts.begin_epoch()

    def _restored(self, decision: Decision) -> bool:
        """Give the role's object what it had at the start of a region. False if its `restore` raised, which has ended it."""
        player = self.player
        restore = getattr(player.me, "restore", None)
        try:
            if decision.region in self.starts.kept:
                data = self.starts.go_back(decision.region, decision.starts.get(player.role))
                if restore is not None:
                    self.starts.asked = "restore"
                    plainly("restore", restore, data)
        except BaseException as error:  # it is the user's function
            failure = failure_of(error)
            if failure is None:
                raise
            player.troubles.raised(self.starts.asked, failure)
            return False
        return True

    # Coming back.

    def come_back(self, starts: Mapping[str, tuple[Kept, ...]]) -> None:
        """Ask to be let in again, with what was kept at the start of these regions."""
        self.comes_back = self.is_open = True
        self.number = self.player.epoch
        self.starts.take_over(starts)
        self.player.hold()
        self._say_where_it_stands()
        self._wait()

    def gone_again(self, peer: Peer) -> None:
        """A peer that had come back is gone once more, before anything was decided."""
        peer.returning = False
        self.back.pop(peer.name, None)
        if self.is_open:
            self._expect(peer)
            self._say_where_it_stands()

    def _look_whether_it_may_come_in(self) -> None:
        """When all have told the same: what only some have heard of may not be what is done in the end."""
        player, left = self.player, self.left
        if not left:
            why = ", ".join(f"{peer.name} said: {peer.gone}" for peer in player.peers.values())
            player.troubles.abort("PeerLost", f"nobody let {player.role} in again: {why}", None)
            return
        told = [self._told.get(role) for role in left if not self._comes_back_as_well(role)]
        decision = told[0] if told else None
        if decision is not None and all(each == decision for each in told):
            self._settled(decision)
            self._come_in(decision)
            self._heard_meanwhile()

    def _comes_back_as_well(self, role: str) -> bool:
        return role in self.stands and role in self.stands[role].back

    def _come_in(self, decision: Decision) -> None:
        """It is decided whether this role plays again."""
        player = self.player
        if player.role not in decision.back or decision.region not in self.starts.kept:
            player.troubles.abort("PeerLost", f"the others went on without {player.role}", None)
            return
        self._begin_epoch(decision.epoch)
        self.back.clear()
        for peer in player.peers.values():
            if peer.name in decision.back and peer.returning:
                player.troubles.back(peer, decision.epoch)
            elif peer.name in decision.settles and peer.name not in decision.back:
                self.lost[peer.name] = "the others have lost it"
                player.troubles.mark(peer, self.lost[peer.name])
        if not self._restored(decision):
            return
        target = player.table.machine.restart[decision.region]
        self._see_begun(decision, target)
        player.begin_in(player.table.states[target])

    def _receive_those_who_come_back(self, decision: Decision) -> None:
        """Tell them what was decided; or send them home."""
        player = self.player
        self.back.clear()
        for peer in player.peers.values():
            if not peer.returning:
                continue
            if peer.name in decision.back:
                self._tell(peer.name, self._as_said(decision))
            else:
                peer.returning = False
                why = f"{player.role} could not go back to where {peer.name} could"
                player.say_goodbye(peer, Frame(Kind.ERR, data=why))
