"""One whole session in one process: a player for each role, all on one ground.

It only sets them up and looks at them; what they do is theirs.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import anyio

from amachine.choreography.playing.endings import Outcome, PlayFailed
from amachine.choreography.playing.ground import Ground
from amachine.choreography.playing.memory import LocalChannel, over_the_wire, put_under_way
from amachine.choreography.playing.overseeing import standing, under_way
from amachine.choreography.playing.player import ROOM, Player
from amachine.choreography.playing.rows import recoder
from amachine.choreography.playing.seat import TableSeat
from amachine.choreography.playing.stage import Handed, Stage, unfit
from amachine.choreography.playing.understudies import LocalUnderstudies
from amachine.choreography.playing.watching import Watchers, of_machines
from amachine.choreography.seeing.stuck import Stuck
from amachine.errors import nearest

if TYPE_CHECKING:
    from types import TracebackType

    from amachine.choreography.playing.machines import MachineSeat, RoleMachine
    from amachine.choreography.playing.schemas import Extra
    from amachine.choreography.playing.seat import Seat
    from amachine.choreography.playing.session import SessionMachine
    from amachine.choreography.playing.tables import Tables
    from amachine.choreography.script import Script
    from amachine.machine import Machine
    from amachine.tracers.base import Tracer

__all__ = ["Play", "Playable", "by_role", "role_name", "run_local"]

_sessions = count(1)


class Playable(Protocol):
    """A choreography, as far as a play knows it."""

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

    @property
    def codec(self) -> Any:
        """What encodes payloads; None for the standard one."""
        ...


class Play:
    """A session that runs while its `async with` lasts. Leaving that cancels the roles that have not ended.

    `cast` says who plays what: by role, as class or name, the object that its functions get. `engine` is what the roles are
    kept in; `tracers` see their steps, and if one of them looks at machines, roles are machines. `patience` is the seconds
    that a role waits for a frame, where its scene does not say. `understudies` makes, by role, an object that goes on for a
    lost one where a region starts again. With `wire=True` payloads are encoded and decoded, as if they travelled. `room` is how
    many frames may be under way from one role to another.

    Errors: `LookupError` when the cast lacks a role, or names one that there is not.
    """

    def __init__(
        self,
        choreography: Playable,
        cast: Mapping[Any, Any],
        *,
        engine: Literal["table", "machine"] = "table",
        tracers: Iterable[Tracer] = (),
        patience: float | None = None,
        understudies: Mapping[Any, Callable[[], Any]] | None = None,
        wire: bool = False,
        room: int = ROOM,
        session: str | None = None,
    ) -> None:
        self.choreography = choreography
        self.cast = by_role(choreography.script, cast, complete=True)
        self.session = session or f"{choreography.script.name}-{next(_sessions)}"
        self.tracers = tuple(tracers)
        self._watchers = Watchers(self.tracers)
        self._machine_tracers = of_machines(self.tracers)
        self.ground = Ground()
        self.players: dict[str, Player] = {}
        self._patience = patience
        self._room = room
        self._engine = engine
        self._alter = over_the_wire(choreography) if wire else None
        makers = by_role(choreography.script, understudies or {}, complete=False)
        self._understudies = LocalUnderstudies(makers, self.players, self._player)
        self._over = anyio.Event()
        self.supervisor = self._supervisor()
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
            seat=self._seat(role),
            tracers=self._watchers,
            patience=self._patience,
            room=self._room,
            epoch=epoch,
            understudies=self._understudies,
            on_end=self._ended,
        )
        return player

    def _seat(self, role: str) -> Seat:
        return (
            TableSeat(self.choreography.tables[role].machine)
            if self.supervisor is None
            else self._machine_seat(role)
        )

    def _machine_seat(self, role: str, kind: type[RoleMachine] | None = None) -> MachineSeat:
        from amachine.choreography.playing.machines import MachineSeat

        local = self.choreography.tables[role].machine
        return MachineSeat(
            local, self.session, kind=kind, tracers=self._machine_tracers, parent=self.supervisor
        )

    def _supervisor(self) -> SessionMachine | None:
        if self._engine == "table" and not self._machine_tracers:
            return None
        from amachine.choreography.playing.session import SessionMachine

        return SessionMachine.over(self.choreography.script.roles, self.session)

    async def __aenter__(self) -> Self:
        await self.ground.__aenter__()
        if self._handed is None:
            for player in self.players.values():
                player.begin(self.ground)
            return self
        for player in self.players.values():
            player.begin_where_it_stands(self.ground)
        put_under_way(self.ground, self.players, self._handed.frames)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        for player in self.players.values():
            player.cancel("the play was left")
        try:
            return await self.ground.__aexit__(kind, error, trace)
        finally:
            if self.supervisor is not None:
                self.supervisor.close()

    async def ended(self) -> Outcome:
        """Wait until every role is through, and say how."""
        await self._over.wait()
        return self.outcome

    @property
    def outcome(self) -> Outcome:
        """How it has ended, for the roles that have."""
        endings = {role: player.ended for role, player in self.players.items() if player.ended is not None}
        return Outcome(self.choreography.script.name, endings)

    def kill(self, role: Any, why: str = "killed") -> None:
        """End a role as if its process had died: it says nothing more, and the others notice. For tests and demonstrations.

        Errors: `LookupError` when there is no such role.
        """
        name = role_name(self.choreography.script, role)
        self.players[name].vanish(why)
        for other, player in self.players.items():
            if other != name:
                self.ground.soon(player.lost, name, why)

    def stuck(self) -> Stuck:
        """Where each role stands, what it waits for, and what is under way."""
        standings = tuple(standing(player) for player in self.players.values())
        return Stuck(self.session, standings, tuple(under_way(self.ground, self.players)))

    def machine(self, role: Any, *, states: Extra | None = None) -> Machine:
        """The machine of a role: of one that plays on a table, made now; it goes on from where the role stands.

        `states` are of the user's own, beside those of the script: a `States` class, a schema, or one as data. Those may
        follow the script, and never hold it up.

        Errors: `LookupError` when there is no such role; `ValueError` for states of one that is a machine already;
        `ChoreographyError` for states that could hold the script up.
        """
        from amachine.choreography.playing.looking import machine_of
        from amachine.choreography.playing.machines import machine_type

        player = self.players[role_name(self.choreography.script, role)]
        if states is not None and not isinstance(player.seat, TableSeat):
            raise ValueError(f"{player.role} of {self.session} is a machine already: its states are settled")
        kind = None if states is None else machine_type(player.table.machine, states=states)
        if isinstance(player.seat, TableSeat) and not player.seat.ticks:  # it has not begun
            player.take_seat(self._machine_seat(player.role, kind))
        return machine_of(player, kind=kind, tracers=self._machine_tracers, parent=self.supervisor)

    def _ended(self, player: Player) -> None:
        if self.supervisor is not None and player.ended is not None:
            self.supervisor.ended(player.role, player.ended.state)
        if all(player.ended is not None for player in self.players.values()):
            self._over.set()


def role_name(script: Script, role: Any) -> str:
    """The name of a role that is given by name or class. Errors: `LookupError`, with the nearest."""
    name: str = role if isinstance(role, str) else role.__name__
    if name not in script.roles:
        known = ", ".join(script.roles)
        raise LookupError(
            f"{script.name} has no role {name}{nearest(name, script.roles)}; there are: {known}"
        )
    return name


def by_role(script: Script, given: Mapping[Any, Any], *, complete: bool) -> dict[str, Any]:
    """What is given by role, in the order of the script. Errors: `LookupError` for a role that is not there, or is missing."""
    named = {role_name(script, role): value for role, value in given.items()}
    missing = [role for role in script.roles if role not in named]
    if complete and missing:
        raise LookupError(f"{script.name} cannot be played: nobody plays {' or '.join(missing)}")
    return {role: named[role] for role in script.roles if role in named}


async def run_local(
    choreography: Playable,
    cast: Mapping[Any, Any],
    *,
    engine: Literal["table", "machine"] = "table",
    tracers: Iterable[Tracer] = (),
    patience: float | None = None,
    understudies: Mapping[Any, Callable[[], Any]] | None = None,
    wire: bool = False,
    raise_errors: bool = True,
) -> Outcome:
    """Play a whole session in this process, and say how it ended. Options: as those of `Play`.

    Errors: `PlayFailed` when a role did not come to an exit, unless `raise_errors` is False; its cause is what a function raised.
    """
    seen = tuple(tracers)
    plain = engine == "table" and not of_machines(seen) and not choreography.script.regions
    if plain and not unfit(choreography.tables):
        outcome = await _staged(choreography, cast, seen, wire=wire)
    else:
        play = Play(
            choreography,
            cast,
            engine=engine,
            tracers=seen,
            patience=patience,
            understudies=understudies,
            wire=wire,
        )
        async with play:
            outcome = await play.ended()
    if raise_errors and outcome.failed:
        raise PlayFailed(outcome) from outcome.error
    return outcome


async def _staged(
    choreography: Playable, cast: Mapping[Any, Any], tracers: Iterable[Tracer], *, wire: bool
) -> Outcome:
    """Play it in a row of a stage: none of its functions takes its time, so it needs no player."""
    from amachine.choreography.wire.codec import STANDARD

    codec = (choreography.codec or STANDARD) if wire else None
    stage = Stage(choreography.tables)
    row = stage.watch(
        by_role(choreography.script, cast, complete=True),
        session=f"{choreography.script.name}-{next(_sessions)}",
        tracers=tracers,
        recode=None if codec is None else recoder(choreography.tables, codec),
    )
    await stage.run_all()
    return typing.cast("Outcome", row.outcome)
