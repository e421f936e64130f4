"""One whole session in one process: a player for each role, all on one ground.

It only sets them up and looks at them; what they do is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from inspect import isawaitable
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import anyio

from amachine.choreography.options import see_callable, see_options
from amachine.choreography.playing.casting import Castable, check_cast
from amachine.choreography.playing.endings import Outcome
from amachine.choreography.playing.ground import Ground
from amachine.choreography.playing.memory import LocalChannel, over_the_wire, put_under_way
from amachine.choreography.playing.overseeing import standing, under_way
from amachine.choreography.playing.player import ROOM, Performed, Player
from amachine.choreography.playing.seat import TableSeat
from amachine.choreography.playing.understudies import LocalUnderstudies
from amachine.choreography.playing.watching import Watchers, of_machines, tracers_of
from amachine.choreography.seeing.stuck import Stuck
from amachine.choreography.typenames import kind_of

if TYPE_CHECKING:
    from types import TracebackType

    from amachine.choreography.playing.machines import MachineSeat
    from amachine.choreography.playing.own import AsMachine, Settled
    from amachine.choreography.playing.seat import Seat
    from amachine.choreography.playing.session import SessionMachine
    from amachine.choreography.playing.stage import Handed
    from amachine.choreography.script import Script
    from amachine.machine import Machine
    from amachine.tracers.base import Tracer

__all__ = ["Play", "Playable", "by_role"]

_sessions = count(1)


class Playable(Performed, Castable, Protocol):
    """A choreography, as far as a play knows it."""

    @property
    def codec(self) -> Any:
        """What encodes payloads; None for the standard one."""
        ...


class Play:
    """A session that runs while its `async with` lasts. Leaving that cancels the roles that have not ended.

    `cast` says who plays what: by role, as class or name, the object that its functions get. `engine` is what the roles are
    kept in; `tracers` see their steps, and if one of them looks at machines, roles are machines. `machines` says by role how it
    is a machine whatever the engine: `AsMachine(states=…, handlers=[…])`. Those are opened with
    the play, so that `task` handlers and timers run and other threads may call them; all others are not, which costs less.
    `patience` is the seconds that a role waits for a frame, where its scene does not say. `understudies` makes, by role, an
    object that goes on for a lost one where a region starts again. With `wire=True` payloads are encoded and decoded, as if they
    travelled. `room` is how many frames may be under way from one role to another.

    Errors: `LookupError` when the cast lacks a role, or names one that there is not; `TypeError` for who has not what the
    functions of its role need; `TypeError` and `ValueError` for options that make no sense; `ChoreographyError` (AMC602 to
    AMC604) for states of the user's own that could hold the script up; `BindingError` for handlers that do not fit.
    """

    def __init__(
        self,
        choreography: Playable,
        cast: Mapping[Any, Any],
        *,
        engine: Literal["table", "machine"] = "table",
        machines: Mapping[Any, AsMachine] | None = None,
        tracers: Iterable[Tracer] = (),
        patience: float | None = None,
        understudies: Mapping[Any, Callable[[], Any]] | None = None,
        wire: bool = False,
        room: int = ROOM,
        session: str | None = None,
    ) -> None:
        see_options(engine=engine, patience=patience)
        self.choreography = choreography
        self.cast: dict[str, Any] = by_role(choreography.script, cast, complete=True)
        check_cast(choreography, self.cast)
        self.session: str = session or f"{choreography.script.name}-{next(_sessions)}"
        self.tracers: tuple[Tracer, ...] = tracers_of(tracers)
        self._watchers = Watchers(self.tracers)
        self._machine_tracers = of_machines(self.tracers)
        self.ground: Ground = Ground()
        self.players: dict[str, Player] = {}
        self._patience = patience
        self._room = room
        self._engine = engine
        self._own = own_machines(choreography, machines)
        self._open: AsyncExitStack | None = None  # what is left with it; None before it is played
        self._alter = over_the_wire(choreography) if wire else None
        makers: dict[str, Callable[[], Any]] = {}
        for role, make in by_role(choreography.script, understudies or {}, complete=False).items():
            see_callable(f"what makes understudies for {role}", make)
            makers[role] = partial(self._made, role, make)
        self._understudies = LocalUnderstudies(makers, self.players, self._player)
        self._over = anyio.Event()
        self.supervisor: SessionMachine | None = self._supervisor()
        """The machine over those of the roles; None with the table engine."""
        self._handed: Handed | None = None
        for role, me in self.cast.items():
            self._player(role, me, 0)

    @classmethod
    def taking_over(
        cls,
        choreography: Playable,
        handed: Handed,
        *,
        tracers: Iterable[Tracer] = (),
        session: str | None = None,
    ) -> Play:
        """The rest of a session that a stage has handed over: each role goes on from where it stands, on a table."""
        play = cls(choreography, handed.cast, session=session)
        play._watchers = Watchers(tracers)
        play._handed = handed
        for role, me in handed.cast.items():
            player = play._player(role, me, 0)
            state = handed.states[role]
            ticks = handed.ticks.get(role) or {state: 1}
            player.seat = TableSeat(player.table.machine, state=state, ticks=ticks)
        return play

    def __repr__(self) -> str:
        return f"<Play {self.session}: {', '.join(map(repr, self.players.values()))}>"

    def _player(self, role: str, me: Any, epoch: int) -> Player:
        seat = self._seat(role)
        self.players[role] = player = Player(
            self.choreography,
            role,
            me,
            {
                peer: LocalChannel(self.ground, self.players, role, peer, alter=self._alter)
                for peer in self.choreography.script.roles
                if peer != role
            },
            session=self.session,
            seat=seat,
            tracers=self._watchers,
            patience=self._patience,
            room=self._room,
            epoch=epoch,
            understudies=self._understudies,
            on_end=self._ended,
        )
        if epoch and role in self._own:  # an understudy, in the middle of the play
            self.ground.start(_kept_open, player.seat)
        return player

    def _seat(self, role: str) -> Seat:
        table = self.supervisor is None and role not in self._own
        return TableSeat(self.choreography.tables[role].machine) if table else self._machine_seat(role)

    def _made(self, role: str, make: Callable[[], Any]) -> Any:
        """What goes on for a lost role, if it can. Errors: `TypeError`, and whatever making it raises."""
        me = make()
        if not isawaitable(me):  # of that, whoever asked says what is wrong
            check_cast(self.choreography, {role: me})
        return me

    def _machine_seat(self, role: str) -> MachineSeat:
        from amachine.choreography.playing.machines import MachineSeat

        if role in self._own:
            return self._own[role].seat(self.session, tracers=self._machine_tracers, parent=self.supervisor)
        local = self.choreography.tables[role].machine
        return MachineSeat(local, self.session, tracers=self._machine_tracers, parent=self.supervisor)

    def _supervisor(self) -> SessionMachine | None:
        if self._engine == "table" and not self._machine_tracers:
            return None
        from amachine.choreography.playing.session import SessionMachine

        return SessionMachine.over(self.choreography.script.roles, self.session)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            if self.supervisor is not None:
                opening.callback(self.supervisor.close)
            for role in self._own:  # around the ground: what runs in tasks of machines outlives no machine
                await opening.enter_async_context(self.machine(role))
            await opening.enter_async_context(self.ground)
            self._open = opening.pop_all()
        try:
            self._begin()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    def _begin(self) -> None:
        if self._handed is None:
            for player in self.players.values():
                player.begin(self.ground)
            return
        for player in self.players.values():
            player.begin_where_it_stands(self.ground)
        put_under_way(self.ground, self.players, self._handed.frames)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        opened = self._is_open()
        for player in reversed(self.players.values()):
            if player.ended is None:  # what is put there last is called first, whatever another raises
                opened.callback(player.cancel, "the play was left")
        return await opened.__aexit__(kind, error, trace)

    def _is_open(self) -> AsyncExitStack:
        if self._open is None:
            raise RuntimeError("it is not being played yet: use `async with script.play(…) as play`")
        return self._open

    async def ended(self) -> Outcome:
        """Wait until every role is through, and say how. Errors: `RuntimeError` before it is played."""
        self._is_open()
        await self._over.wait()
        return self.outcome

    @property
    def outcome(self) -> Outcome:
        """How it has ended, for the roles that have."""
        endings = {role: player.ended for role, player in self.players.items() if player.ended is not None}
        return Outcome(self.choreography.script.name, endings)

    def kill(self, role: Any, why: str = "killed") -> None:
        """End a role as if its process had died: it says nothing more, and the others notice. For tests and demonstrations.

        Errors: `LookupError` when there is no such role; `RuntimeError` before it is played.
        """
        self._is_open()
        name = self.choreography.script.role_named(role)
        self.players[name].vanish(why)
        for other, player in self.players.items():
            if other != name:
                self.ground.soon(player.lost, name, why)

    def stuck(self) -> Stuck:
        """Where each role stands, what it waits for, and what is under way. Errors: `RuntimeError` before it is played."""
        self._is_open()
        standings = tuple(standing(player) for player in self.players.values())
        return Stuck(self.session, standings, tuple(under_way(self.ground, self.players)))

    def machine(self, role: Any) -> Machine:
        """The machine of a role: of one that plays on a table, made now; it goes on from where the role stands.

        Errors: `LookupError` when there is no such role.
        """
        from amachine.choreography.playing.looking import machine_of

        player = self.players[self.choreography.script.role_named(role)]
        return machine_of(player, tracers=self._machine_tracers, parent=self.supervisor)

    def _ended(self, player: Player) -> None:
        if self.supervisor is not None and player.ended is not None:
            self.supervisor.ended(player.role, player.ended.state)
        if all(player.ended is not None for player in self.players.values()):
            self._over.set()


async def _kept_open(seat: MachineSeat) -> None:
    """Have a machine live in the event loop for as long as the play lasts, unless its role is over already."""
    if not seat.machine.is_closed:
        async with seat.machine:
            await anyio.sleep_forever()


def own_machines(choreography: Playable, machines: Mapping[Any, AsMachine] | None) -> dict[str, Settled]:
    """What is given by role for machines, looked through. Errors: as those of `Play`."""
    if not machines:
        return {}
    from amachine.choreography.playing.own import settled

    given = by_role(choreography.script, machines, complete=False)
    return {role: settled(choreography.tables[role].machine, own) for role, own in given.items()}


def by_role(script: Script, given: Mapping[Any, Any], *, complete: bool) -> dict[str, Any]:
    """What is given by role, in the order of the script. Errors: `LookupError` for a role that is not there, or is missing."""
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"{script.name}: that is given by role, as in {{{script.roles[0]!r}: …}}, not as {kind_of(given)}"
        )
    named = {script.role_named(role): value for role, value in given.items()}
    missing = [role for role in script.roles if role not in named]
    if complete and missing:
        raise LookupError(f"{script.name} cannot be played: nobody plays {' or '.join(missing)}")
    return {role: named[role] for role in script.roles if role in named}
