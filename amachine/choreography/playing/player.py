"""One role at run time: it takes frames, calls the role's functions, sends frames. What goes wrong is dealt with in `troubles`.

A player is driven from outside: `deliver` hands it a frame, `lost` tells that a peer is gone, `cancel` ends it. It never
waits: functions that take their time run as tasks on its ground, and until one is done frames wait in the inboxes of the
peers that sent them, which have a bound. It keeps no state but where it stands; its seat does.

A step is: a branch was chosen, by a frame or by the role's own `send`; the seat enters the next state; there `on_…` is called,
then `send` if it is the role's turn; what that chose is sent; and the step that follows is left to a later turn, so that others
have theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import anyio

from amachine.choreography.acting import Part
from amachine.choreography.playing.doing import Doing
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.events import Event, FrameDropped, RoleEnded
from amachine.choreography.playing.frames import SCRIPT, Channel, ChannelClosed, Frame, Kind
from amachine.choreography.playing.ground import Alarm, Ground
from amachine.choreography.playing.hearing import hear, say_goodbye
from amachine.choreography.playing.peers import Peer
from amachine.choreography.playing.seat import ABORTED, Seat, StepArgs, TableSeat
from amachine.choreography.playing.telling import Telling
from amachine.choreography.playing.troubles import Troubles, reason_of
from amachine.choreography.playing.watching import Watchers

if TYPE_CHECKING:
    from amachine.choreography.local import LocalState
    from amachine.choreography.playing.agreement import Understudies
    from amachine.choreography.playing.tables import Giving, RoleState, RoleTable, Tables, Taking
    from amachine.choreography.script import Script
    from amachine.tracers.base import Tracer

__all__ = ["ROOM", "Performed", "Player"]

ROOM = 16
"""How many frames of one peer may wait for a role, if nobody says otherwise."""

OLD = "it is of an older epoch"

Way: TypeAlias = Callable[["LocalState", StepArgs, Callable[[], None]], bool]
"""How a seat is told to enter a state, if not by `step`, which looks the same."""


class Performed(Protocol):
    """A choreography, as far as a player knows it."""

    @property
    def script(self) -> Script:
        """What is played."""
        ...

    @property
    def tables(self) -> Tables:
        """What each role plays, with its functions."""
        ...

    @property
    def patience(self) -> float | None:
        """How many seconds a role waits, where its scene does not say."""
        ...


class Player:
    """Plays one role of a session, over one channel per peer.

    `me` is what the role's functions get. `session` names the session to tracers and machines. `seat` keeps the present state;
    a plain one by default. `patience` is how many seconds the role waits for a frame, where its scene does not say; None is
    what the choreography says. `room` is how many frames of one peer may wait here. A role that takes the place of another begins
    in a later `epoch`. `on_end` is called when it is through.

    `await player.run()` plays it by itself. What plays many on one ground calls `begin`, and hands frames over.
    """

    __slots__ = (
        "_args", "_came", "_next", "_on_end", "_over", "_stepping", "_taking",
        "alarm", "doing", "ended", "epoch", "ground", "lamport", "me", "part", "patience", "peers", "role", "script",
        "seat", "session", "since", "state", "table", "telling", "troubles", "watchers",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # all options are named
        self,
        choreography: Performed,
        role: str,
        me: Any,
        channels: Mapping[str, Channel],
        *,
        session: str = "",
        seat: Seat | None = None,
        tracers: Iterable[Tracer] | Watchers = (),
        patience: float | None = None,
        room: int = ROOM,
        epoch: int = 0,
        understudies: Understudies | None = None,
        on_end: Callable[[Player], object] | None = None,
    ) -> None:
        self.script: Script = choreography.script
        self.table: RoleTable = choreography.tables[role]
        self.role: str = role
        self.me: Any = me.me if isinstance(me, Part) else me
        self.part: Any = self.table.part(me)
        """What its functions are called with."""
        self.session: str = session or self.script.name
        self.peers: dict[str, Peer] = {
            name: Peer(name, channel, room=room, epoch=epoch) for name, channel in channels.items()
        }
        self.seat: Seat = seat or TableSeat(self.table.machine)
        self.state: RoleState = self.table.start
        """The state that it entered last, with its functions."""
        self.patience: float | None = choreography.patience if patience is None else patience
        self.epoch: int = epoch
        """The number of the recovery in which it last began anew; 0 before the first."""
        self.lamport: int = 0
        """Its logical time: greater than that of everything that it has heard of."""
        self.ended: Ending | None = None
        """How it ended; None until then."""
        self.ground: Ground
        watchers = tracers if isinstance(tracers, Watchers) else Watchers(tracers)
        self.watchers: Watchers | None = watchers or None
        self.troubles: Troubles = Troubles(self, understudies)
        self.doing: Doing = Doing(self.troubles.raised)
        self.telling: Telling = Telling(self)
        self.alarm: Alarm = Alarm()
        self._next: tuple[Giving, StepArgs] | None = None  # chosen and told; the step itself is the next turn
        self._stepping = False  # the seat is asked to enter a state, and has not called back
        self._args: StepArgs | None = None  # of the step that it was asked for
        self._taking: Taking | None = None  # what that step came by, if it was a frame
        self._came: StepArgs | None = None  # the step that it has taken last
        self.since: float = 0.0
        """When it entered that state, in seconds of the event loop's clock."""
        self._over: anyio.Event | None = None
        self._on_end = on_end

    def __repr__(self) -> str:
        return f"<Player of {self.session}: {self.ended or f'{self.role} in {self.present.name}'}>"

    @property
    def present(self) -> LocalState:
        """Where the role stands, for all that was decided: a step that was chosen counts, even before it is taken."""
        return (self.state if self._next is None else self._next[0].next).local

    @property
    def came_by(self) -> StepArgs | None:
        """The step that has led to `present`; None while that is being taken, and before the first."""
        if self._next is not None:
            return self._next[1]
        return None if self._stepping or self.doing.inside else self._came

    @property
    def coming_by(self) -> StepArgs | None:
        """The step that has led to `present`, or its `send`, while a function there takes its time; else None."""
        return self._came if self.doing.inside and not self._stepping and self._next is None else None

    @property
    def rests(self) -> bool:
        """It is between two steps: none of its functions runs, nothing was chosen, and nothing holds it."""
        return not self._stepping and self._next is None and not self.doing.inside and not self.doing.held

    @property
    def patience_here(self) -> float | None:
        """How many seconds it waits where it stands; None: for ever."""
        patience = self.state.local.patience
        return self.patience if patience is None else patience

    def has_room(self, peer: str) -> bool:
        """Whether that peer may send one more frame."""
        return self.peers[peer].has_room

    # How it is driven.

    async def run(self) -> Ending:
        """Play until the role is through: begin, and hear what comes over the channels. When cancelled, it says goodbye first."""
        self._over = anyio.Event()
        async with Ground() as ground:
            self.begin(ground)
            for peer in self.peers.values():
                ground.start(hear, self, peer)
            try:
                await self._over.wait()
            finally:
                self.cancel()
        return cast("Ending", self.ended)

    def begin(self, ground: Ground, *, at: str | None = None) -> None:
        """Enter the first state, or the one of that name, on this ground."""
        self._open(ground)
        self.begin_in(self.table.start if at is None else self.table.states[at])

    def come_back(self, ground: Ground, epoch: int, starts: Mapping[str, Any]) -> None:
        """Wait until the others, who have lost this role, go back to the start of a region, and begin there.

        `starts` has what the role's `checkpoint` gave there, by region, `epoch` is the one it was in then.
        """
        self.epoch = epoch
        self._open(ground)
        self.troubles.come_back(starts)

    def begin_where_it_stands(self, ground: Ground) -> None:
        """Go on in the state that the seat has entered, on this ground. What came with it has been done; its `send` has not."""
        self.state = self.table.states[self.seat.state.name]
        self._open(ground)
        ground.soon(self._settle)

    def _open(self, ground: Ground) -> None:
        self.ground = self.doing.ground = self.alarm.ground = ground
        self.since = ground.now()
        self.take_seat(self.seat)

    def take_seat(self, seat: Seat) -> None:
        """Keep the present state in this seat from now on. It has to know what the one before it knew."""
        self.seat = seat
        seat.open(self)
        for name, peer in self.peers.items():
            if peer.gone is None:
                seat.peer_up(name)

    def deliver(self, name: str, frame: Frame) -> None:
        """A frame has come from that peer. It is dealt with now, or waits until the role is ready for it."""
        peer = self.peers[name]
        if self.ended is not None or (peer.gone is not None and not peer.returning):
            return
        if frame.kind not in SCRIPT:
            self.troubles.told(peer, frame)
            return
        dropped = OLD if frame.epoch < self.epoch else peer.number(frame)
        if dropped:
            self.see(FrameDropped(self.session, self.role, name, frame, dropped))
        elif frame.epoch != self.epoch:
            self.troubles.ahead(peer, frame)
        elif name not in self.present.needs:
            self.troubles.violated(peer, frame)
        else:
            self.go_on()

    def lost(self, name: str, why: str) -> None:
        """That peer is gone without a goodbye."""
        if self.ended is None:
            self.troubles.gone(self.peers[name], why)

    def closed(self, name: str, closed: ChannelClosed) -> None:
        """The channel to that peer is closed: by its goodbye, or without one."""
        if self.ended is None:
            self.troubles.gone(self.peers[name], *reason_of(closed))

    def is_here_again(self, name: str, channel: Channel) -> None:
        """That peer was lost, and can be reached over a new channel: it wants to come back."""
        peer = self.peers[name]
        peer.channel = channel
        peer.returning = self.ended is None and peer.gone is not None

    def cancel(self, why: str = "cancelled") -> None:
        """Leave the session, telling all peers so, and end as `Aborted`. Nothing happens if it has ended."""
        if self.ended is None:
            self.troubles.cancelled(why)

    def failed(self, where: str, error: Exception) -> None:
        """A handler of its machine has failed, behind the role's own functions: the same becomes of it."""
        self.troubles.raised(where, error)

    def vanish(self, why: str) -> None:
        """End at once, without a word to anybody, as if its process had died. Nothing happens if it has ended."""
        if self.ended is None:
            self.close(Ending(self.role, ABORTED, why), None)

    # Steps.

    def go_on(self) -> None:
        """Take the next step that can be taken, if there is one."""
        doing = self.doing
        if self._stepping or doing.inside or doing.held or self.ended is not None:
            return
        if self._next is not None:
            (giving, args), self._next = self._next, None
            self._enter(giving.next, args)
            return
        early: list[Peer] = []
        for name, takes in self.state.hears.items():
            peer = self.peers[name]
            if peer.inbox and peer.inbox[0].epoch == self.epoch:
                taking = takes.get(peer.inbox[0][:3])  # its kind, scene and label
                if taking is not None:
                    self._hear(peer.take(), taking)
                    return
                early.append(peer)
        if not early or not self.troubles.misfits(early):
            self._rest()

    def _hear(self, frame: Frame, taking: Taking) -> None:
        """Take the step that a frame tells of."""
        _, scene, label, data, _, seq, lamport = frame  # at once: by name it takes three times as long
        self.lamport = max(self.lamport, lamport) + 1
        if self.watchers is not None:
            self.watchers.heard(self, taking.take, frame)
            if self.ended is not None:
                return  # a tracer has ended it
        self._enter(taking.next, StepArgs(taking.take.peer, scene, label, data, seq, self.epoch), taking)

    def will_step(self, giving: Giving, data: Any) -> None:
        """The role has chosen, and everybody was told: the step itself is left to a later turn."""
        give = giving.give
        self._next = giving, StepArgs(self.role, give.scene, give.label, data, 0, self.epoch)
        self.ground.soon(self.go_on)

    def begin_in(self, target: RoleState, way: Way | None = None) -> None:
        """Enter a state that no step leads to, in the next turn; perhaps in another way than by a step of the seat."""
        if self.ended is not None:
            return  # a tracer has ended it
        self._stepping = True
        self.state = target
        self.ground.soon(self._begin_in, self.doing.era, target, way)

    def _begin_in(self, era: int, target: RoleState, way: Way | None) -> None:
        if era == self.doing.era and not self.troubles.check():
            self._enter(target, StepArgs("", epoch=self.epoch), way=way)

    def _enter(
        self, target: RoleState, args: StepArgs, taking: Taking | None = None, way: Way | None = None
    ) -> None:
        """Have the seat enter a state, and go on there."""
        self._stepping = True
        self._args, self._taking = args, taking
        self.alarm.deadline = None
        self.since = self.ground.clock
        self.state = target
        accepted = (way or self.seat.step)(target.local, args, self._entered)
        if not accepted and self._args is args:
            self._stepping = False
            self.troubles.refused(target.local, args)

    def _entered(self) -> None:
        """Called by the seat, where functions of the state run."""
        args, self._args = self._args, None
        if args is None:
            return  # it was halted in between
        self._stepping, self._came = False, args
        taking = self._taking
        if taking is None or taking.on is None:
            self._settle()
            return
        given = (self.part, args.data) if taking.carries else (self.part,)
        self.doing.call(taking.on, given, self._settle, taking.function)

    def _settle(self, _: object = None) -> None:
        """What came with the state has been done: now act, end, or wait."""
        state = self.state
        if self.doing.held:
            self.doing.keep(self._settle)
            if self.troubles.restarts is not None:
                self.troubles.restarts.came_in()
            return
        restarts = self.troubles.restarts
        if restarts is not None and not restarts.has_moved():
            return
        if state.send is not None:
            telling = self.telling
            self.doing.call(state.send, (self.part,), telling.chosen, state.function, late=telling.late)
        elif state.ends:
            self._end(state.local.name)
        else:
            for peer in self.peers.values():
                if peer.inbox:
                    self.ground.soon(self.go_on)
                    return
            self._rest()

    def _rest(self) -> None:
        """There is nothing to do: see whether there ever will be, and for how long to wait."""
        if self.troubles.check() or self.ended is not None:
            return
        state = self.state
        if state.local.exits and all(self.peers[name].left for name in state.hears):
            self._end(state.local.final)
        elif self.alarm.deadline is None:
            self.troubles.patience.begin()

    # Standing still, beginning anew, and the end.

    def halt(self) -> None:
        """Cancel what runs, and forget what was chosen."""
        self.doing.halt()
        self.telling.blocked = ()
        self.alarm.deadline = None
        self._next = self._args = None
        self._stepping = False

    def hold(self) -> None:
        """Take no step until `release`: the others have to know where this role stands."""
        self.doing.held = True
        self.alarm.deadline = None
        for peer in self.peers.values():
            peer.make_room()  # what the others tell now may stand behind what they had said before

    def release(self) -> None:
        """Go on where it stood still."""
        if not self.doing.release() and not self.troubles.check():
            self.go_on()

    def begin_epoch(self, epoch: int) -> None:
        """Drop all that was under way: what comes now is of a recovery."""
        self.halt()
        self.doing.held = False
        self.epoch = epoch
        for peer in self.peers.values():
            for frame in peer.begin_epoch(epoch):
                self.see(FrameDropped(self.session, self.role, peer.name, frame, OLD))

    def _end(self, state: str) -> None:
        for peer in self.peers.values():
            if peer.inbox:
                self.troubles.violated(peer, peer.inbox[0])
                return
        self.seat.after_step(partial(self.close, Ending(self.role, state), Frame(Kind.BYE, data="done")))

    def close(self, ending: Ending, goodbye: Frame | None) -> None:
        """Be through: stop all that runs, and say goodbye to everybody who is still there."""
        self.ended = ending
        self.halt()
        self.seat.end(ending.state, ending.why)
        self.seat.close()
        for peer in self.peers.values():
            peer.clear()
            if goodbye is not None and (peer.gone is None or peer.returning):
                self.say_goodbye(peer, goodbye)
        self.see(RoleEnded(self.session, self.role, ending.state, ending.why))
        if self._over is not None:
            self._over.set()
        if self._on_end is not None:
            self._on_end(self)

    def see(self, event: Event) -> None:
        """Show something to the tracers."""
        if self.watchers is not None:
            self.watchers.see(event)

    def say_goodbye(self, peer: Peer, frame: Frame) -> None:
        """Close the channel to a peer, soon, with this as the reason."""
        stamped = Frame(frame.kind, data=frame.data, epoch=self.epoch, lamport=self.lamport)
        say_goodbye(self.ground, peer.channel, stamped)
