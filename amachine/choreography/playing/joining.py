"""One role of a session, played over channels to the others, wherever they are: `async with choreography.join(…) as role`.

It ties a player to its channels, and decides nothing. A channel that pushes its frames needs no task here; one that does
not is read by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import anyio

from amachine.choreography.options import see_callable, see_options
from amachine.choreography.playing.agreement import company
from amachine.choreography.playing.casting import check_cast
from amachine.choreography.playing.endings import Ending, Outcome, PlayFailed
from amachine.choreography.playing.frames import SCRIPT, Channel, ChannelClosed, Frame
from amachine.choreography.playing.ground import Ground
from amachine.choreography.playing.player import Player
from amachine.choreography.playing.returning import Returning, starts_of
from amachine.choreography.playing.seat import TableSeat
from amachine.choreography.playing.watching import of_machines, tracers_of
from amachine.choreography.typenames import kind_of
from amachine.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from amachine.choreography.local import LocalState
    from amachine.choreography.playing.machines import MachineSeat
    from amachine.choreography.playing.own import AsMachine
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.play import Playable
    from amachine.choreography.playing.returning import Again, Keep
    from amachine.choreography.playing.seat import Seat
    from amachine.machine import Machine
    from amachine.tracers.base import Tracer

__all__ = ["Joined", "join"]


class Joined:
    """One role while it is played. Leaving its `async with` before it has ended says BYE{cancelled} to all peers.

    `channels` has one for each role that this one talks to. `engine` is what the role is kept in; `tracers` see its steps, and if
    one of them looks at machines, the role is a machine. `machine` says how it is one, whatever the engine:
    `AsMachine(states=…, handlers=[…])`; that one is opened, so that `task` handlers and timers run
    and other threads may call it. `patience` is the seconds that it waits for a frame, where its scene
    does not say. `session` is the name that tracers and machines see; by default, that of the channels.

    Where a region starts again, a lost role may come back. `again`, a coroutine function that everybody else gives, gets its
    name and returns a new channel to it; it is called again where that raises an `OSError` or a `ProtocolError`. All wait for
    that as long as who decides has patience. `keep` gets, at the start of such regions and when they are left, what the role
    itself needs to come back: plain data around what its `checkpoint` gave. With that as `resume`, over new channels, it does.

    Errors: `LookupError` for a role that is none, and where a channel is missing; `ValueError` where one leads to somebody else;
    `TypeError` for what is no channel, and for who has not what the functions of the role need; `TypeError` and `ValueError` for
    options that make no sense; `RestoreError` for a `resume` that this role did not keep;
    `ChoreographyError` (AMC602 to AMC604) for states of the user's own that could hold the script up; `BindingError`.
    """

    def __init__(  # noqa: PLR0913  # all options are named
        self,
        choreography: Playable,
        role: type | str,
        me: Any,
        channels: Mapping[Any, Channel],
        *,
        engine: Literal["table", "machine"] = "table",
        machine: AsMachine | None = None,
        tracers: Iterable[Tracer] = (),
        patience: float | None = None,
        session: str | None = None,
        again: Again | None = None,
        keep: Keep | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        see_options(engine=engine, patience=patience)
        see_callable("again", again)
        see_callable("keep", keep)
        script = choreography.script
        self.choreography = choreography
        self.role: str = script.role_named(role)
        check_cast(choreography, {self.role: me})
        if not isinstance(channels, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"{self.role}: channels are given by role, as in {{peer: channel}}, not as {kind_of(channels)}"
            )
        self.channels: dict[str, Channel] = {
            script.role_named(peer): channel for peer, channel in channels.items()
        }
        self._check(restarts=again is not None or keep is not None)
        self._resume = None if resume is None else starts_of(choreography.tables[self.role].machine, resume)
        names = [getattr(channel, "session", None) for channel in self.channels.values()]
        self.session: str = session or next(filter(None, names), None) or script.name
        self._returning = Returning(self.session, again, keep, self._take_back)
        tracers = tracers_of(tracers)
        machine_tracers = of_machines(tracers)
        local = choreography.tables[self.role].machine
        self.machine: Machine | None = None
        """The machine that the role is kept in; None with the table engine."""
        self._lives = machine is not None
        seat: Seat
        if engine == "machine" or machine_tracers or machine is not None:
            seat = self._machine_seat(machine, machine_tracers)
            self.machine = seat.machine
        else:
            seat = TableSeat(local)
        self.player: Player = Player(
            choreography,
            self.role,
            me,
            self.channels,
            session=self.session,
            seat=seat,
            tracers=tracers,
            patience=patience,
            understudies=None if again is None and keep is None else self._returning,
            on_end=self._ended,
        )
        self._returning.player = self.player
        self._over = anyio.Event()
        self._ground = Ground()
        self._open: AsyncExitStack | None = None  # what is left with it; None before it is played

    def __repr__(self) -> str:
        return f"<Joined {self.session}: {self.player!r}>"

    def _machine_seat(self, own: AsMachine | None, tracers: Iterable[Tracer]) -> MachineSeat:
        from amachine.choreography.playing.own import AsMachine, settled

        local = self.choreography.tables[self.role].machine
        return settled(local, own or AsMachine()).seat(self.session, tracers=tracers)

    def _check(self, *, restarts: bool) -> None:
        role, script = self.role, self.choreography.script
        for peer, channel in self.channels.items():
            _see_channel(peer, channel)
            me = getattr(channel, "me", role)
            if peer == role or channel.peer != peer or me != role:
                leads = f"from {me} to {channel.peer}" if me != role else f"to {channel.peer}"
                raise ValueError(f"the channel that is given {role} for {peer} leads {leads}")
        missing = [peer for peer in self.choreography.tables[role].machine.peers if peer not in self.channels]
        if missing:
            raise LookupError(
                f"{role} cannot play {script.name}: there is no channel to {' or '.join(missing)}"
            )
        for peer, when in company(script, role, restarts=restarts).items():
            if peer not in self.channels:
                raise LookupError(
                    f"{role} cannot play {script.name}: when {when}, it has to agree with {peer} how to go on, "
                    f"and there is no channel to {peer}"
                )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            if self.machine is not None and self._lives:  # around the ground, as in a play
                await opening.enter_async_context(self.machine)
            await opening.enter_async_context(self._ground)
            self._open = opening.pop_all()
        try:
            self._begin()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    def _begin(self) -> None:
        if self._resume is None:
            self.player.begin(self._ground)
        else:
            self._returning.resume(self._resume[1])
            self.player.come_back(self._ground, *self._resume)
        for name in self.channels:
            self._listen(name)

    def _listen(self, name: str) -> None:
        peer = self.player.peers[name]
        _Ear(self.player, peer, peer.channel, self._ground).open()

    def _take_back(self, name: str, channel: Channel) -> None:
        """There is a new channel to a peer that was lost."""
        self.channels[name] = channel
        self.player.is_here_again(name, channel)
        self._listen(name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        opened = self._is_open()
        opened.callback(self.player.cancel)
        return await opened.__aexit__(kind, error, trace)

    def _is_open(self) -> AsyncExitStack:
        if self._open is None:
            raise RuntimeError("it is not being played yet: use `async with script.join(…) as role`")
        return self._open

    @property
    def present(self) -> LocalState:
        """Where it stands."""
        return self.player.present

    @property
    def ending(self) -> Ending | None:
        """How it ended; None until then."""
        return self.player.ended

    def when(self, *states: Any, **options: Any) -> Any:
        """Wait for states of its machine: see `Machine.when`. Errors: `RuntimeError` with the table engine."""
        if self.machine is None:
            raise RuntimeError(
                f"{self.role} is no machine that could be waited for: join with engine='machine'"
            )
        return self.machine.when(*states, **options)

    def leave(self, why: str = "cancelled") -> None:
        """Leave the session now, telling all peers why. Nothing happens if it has ended.

        Errors: `RuntimeError` before it is played.
        """
        self._is_open()
        self.player.cancel(why)

    async def ended(self, *, raise_errors: bool = False) -> Ending:
        """Wait until the role is through, and say how. With `raise_errors`, one that came to no exit raises.

        Errors: `PlayFailed`; its cause is what a function raised. `RuntimeError` before it is played.
        """
        self._is_open()
        await self._over.wait()
        ending = self.player.ended or Ending(self.role, "")
        if raise_errors and ending.aborted:
            outcome = Outcome(self.choreography.script.name, {self.role: ending})
            raise PlayFailed(outcome) from ending.error
        return ending

    def _ended(self, _: Player) -> None:
        self._returning.settled()
        self._over.set()


join = Joined
"""`async with join(choreography, role, me, channels) as role`."""


def _see_channel(peer: str, channel: Any) -> None:
    """Errors: `TypeError`, for anything else."""
    if all(hasattr(channel, each) for each in ("peer", "try_send", "send", "receive", "aclose")):
        return
    if hasattr(channel, "channel"):  # not asked by its class: who plays alone needs no sockets
        raise TypeError(f"{peer}: that is a {type(channel).__name__}; write `await connection.channel(…)`")
    if isawaitable(channel):
        if iscoroutine(channel):
            channel.close()  # nobody will await it: Python need not warn of that, too
        raise TypeError(f"{peer}: that is {kind_of(channel)}, and no channel yet: it has to be awaited")
    raise TypeError(
        f"{peer}: {kind_of(channel)} is no channel; `await connection.channel(…)` gives one, or memory_pair(…)"
    )


@runtime_checkable
class _Pushing(Protocol):
    """A channel that hands its frames over by itself."""

    def listen(self, deliver: Callable[[Frame], object], lost: Callable[[ChannelClosed], object], /) -> None:
        """From now on, call `deliver` with each frame; where that returns False, wait for `go_on`. At last call `lost`."""
        ...

    def go_on(self) -> None:
        """There is room again."""
        ...


class _Ear:
    """What hears one peer."""

    def __init__(self, player: Player, peer: Peer, channel: Channel, ground: Ground) -> None:
        self.player = player
        self.peer = peer
        self.channel = channel
        self.ground = ground

    def open(self) -> None:
        if isinstance(self.channel, _Pushing):
            self.channel.listen(self.take, self.lost)
        else:
            self.ground.start(self.read, self.channel)

    def take(self, frame: Frame) -> bool:
        """A frame was pushed. False if it has to wait."""
        if self.peer.channel is not self.channel:
            return True  # the peer has another one now
        if frame.kind in SCRIPT and self.is_full and self.player.ended is None:
            self.ground.start(self.wait)
            return False
        self.player.deliver(self.peer.name, frame)
        return True

    @property
    def is_full(self) -> bool:
        """Nothing more of the script may come. To who stands still it may: what is told of a loss can stand behind it."""
        return not self.peer.has_room and not self.player.doing.held

    async def wait(self) -> None:
        while self.is_full:
            await self.peer.wait_for_room()
        if isinstance(self.channel, _Pushing):
            self.channel.go_on()

    async def read(self, channel: Channel) -> None:
        try:
            while self.player.ended is None and self.peer.channel is channel:
                frame = await channel.receive()
                while frame.kind in SCRIPT and self.is_full:
                    await self.peer.wait_for_room()
                if self.peer.channel is channel:
                    self.player.deliver(self.peer.name, frame)
        except ChannelClosed as closed:
            self.lost(closed)
        except ProtocolError as error:
            self.bad(error)

    def lost(self, closed: ChannelClosed) -> None:
        if closed.reason is None and isinstance(closed.__cause__, ProtocolError):
            self.bad(closed.__cause__)
        elif self.peer.channel is self.channel:
            self.player.closed(self.peer.name, closed)

    def bad(self, error: ProtocolError) -> None:
        if self.player.ended is None and self.peer.channel is self.channel:
            self.player.troubles.unreadable(self.peer, error)
