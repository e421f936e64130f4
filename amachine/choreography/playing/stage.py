"""Many local sessions in one loop: no task for a role, no queue for a channel, nothing that runs while a role waits.

A session is a row: a list of where its roles stand, of what their functions get, and of what is under way. It takes its turn,
a few steps long, and goes to the end of the line. Most frames exist only in the variables of that loop: they go straight to
whom they are for. Somebody who wants to see more gets a `WatchedRow`, which takes its turns in `rows`.

Only for choreographies whose functions are plain, and which have no regions: `unfit` tells. It never waits, and never starts a
task. A function that fails ends its own session and no other.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from operator import itemgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import anyio.lowlevel
import attrs

from amachine.choreography.acting import Part, what_failed
from amachine.choreography.local import final_name
from amachine.choreography.options import see_options
from amachine.choreography.playing.doing import failure_of
from amachine.choreography.playing.rows import (
    CROWD,
    TURN,
    Line,
    Recode,
    Row,
    Stuck,
    WatchedRow,
    pick,
    recoder,
)
from amachine.choreography.playing.tables import GO_ON, RoleState, Tables, Taking
from amachine.choreography.playing.tally import Failure, Tally
from amachine.choreography.playing.watching import Watchers, of_machines, tracers_of
from amachine.choreography.script import Inform
from amachine.choreography.seeing.stuck import InFlight
from amachine.errors import nearest

if TYPE_CHECKING:
    from amachine.choreography.playing.machine_rows import Company
    from amachine.choreography.playing.own import AsMachine
    from amachine.choreography.wire.codec import Codec
    from amachine.tracers.base import Tracer

__all__ = ["Handed", "Stage", "run_many", "unfit"]

BREATH = 0.005
"""Seconds that a burst takes, about, before others of the event loop have their turn."""


def unfit(tables: Tables) -> str:
    """Why these tables cannot be played in rows, as a sentence; nothing if they can."""
    script = tables.script
    if script.mortal:
        return f"{script.name} provides for the loss of {', '.join(script.mortal)}: that takes players"
    awaits = [name for table in tables for name in table.awaits]
    if awaits:
        return f"{script.name} has functions that take their time: {', '.join(awaits)}"
    return ""


@attrs.frozen(eq=False)
class Handed:
    """All of a session that a stage gives up, so that somebody else may go on with it."""

    states: Mapping[str, str]
    """By role, the name of the state where it stands."""
    cast: Mapping[str, Any]
    frames: tuple[InFlight, ...]
    """Under way, in the order in which they were sent."""
    turns: tuple[str, ...]
    """The roles whose own turn it is: they have not yet chosen in the state where they stand."""
    ticks: Mapping[str, Mapping[str, int]]
    """By role and state, as in a machine; empty where the stage did not count."""


def _first_of(size: int) -> Callable[[Row], tuple[RoleState, ...]]:
    """What takes so many things from the start of a list."""
    if size == 1:
        return lambda row: (row[0],)
    return itemgetter(*range(size))


def _exit_of(states: Iterable[RoleState]) -> str:
    """The name of the exit that all roles together know the whole to be at."""
    possible = [frozenset(state.local.exits) for state in states if state.local.exits]
    return final_name(tuple(frozenset[str].intersection(*possible)) if possible else ())


def _function(taking: Taking | None, *, heard: bool) -> str:
    """The name of the function that was called last: the one that heard of a frame, or the one that then chose."""
    if taking is None:
        return ""
    return taking.told if heard else taking.next.told


class Stage:
    """Plays any number of local sessions of one choreography.

    It keeps none of those that are over: what came of them is in `tally`. `keep` is how many failures are kept there with
    their errors and casts. `engine` is what all roles are kept in; `machines` says by role what of the user's own its machine
    has, and `tracers` watch the machines: with either, all roles are machines.

    Errors: `ValueError` where the choreography cannot be played so; of `machines`, as `Play` has it.
    """

    def __init__(
        self,
        tables: Tables,
        *,
        keep: int = 100,
        engine: Literal["table", "machine"] = "table",
        machines: Mapping[str, AsMachine] | None = None,
        tracers: Iterable[Tracer] = (),
    ) -> None:
        see_options(engine=engine)
        tracers = tracers_of(tracers)
        why = unfit(tables)
        if why:
            raise ValueError(why)
        self.tables = tables
        self._company: Company | None = None
        if engine == "machine" or machines or tracers:
            from amachine.choreography.playing.machine_rows import Company

            self._company = Company(tables, machines or {}, tracers)
        self.tally: Tally = Tally(tables.script.name, keep=keep)
        self._starts = [table.start for table in tables]
        self._keeping = tuple(table.place for table in tables if table.keeps)
        starts = enumerate(self._starts)
        self._first = tuple((place, GO_ON, None) for place, state in starts if state.send is not None)
        self._rows: deque[Row | WatchedRow] = deque()
        self._standing: Callable[[Row], tuple[RoleState, ...]] = _first_of(len(self._starts))
        self._ended: dict[tuple[RoleState, ...], int] = {}
        self._running = False

    def __len__(self) -> int:
        """How many sessions are being played."""
        return len(self._rows)

    def add(self, cast: Mapping[Any, Any]) -> Row | WatchedRow:
        """Begin a session. `cast` says by role, its name or its class, what the role's functions get. Returns its row.

        Nothing runs yet. Errors: `LookupError` for a role that nobody plays.
        """
        if self._company is not None:
            return self.watch(cast)
        row: Row = [*self._starts, *self._contexts(cast), self._first]
        self._rows.append(row)
        return row

    def watch(
        self,
        cast: Mapping[Any, Any],
        *,
        session: str = "",
        tracers: Iterable[Tracer] = (),
        recode: Recode | None = None,
    ) -> WatchedRow:
        """Begin a session that counts its steps, shows them to tracers, and keeps how it ended. It is slower.

        `recode` is put between sender and receiver: it gets the number of a frame and its payload, and returns the payload.
        """
        row: Row = [*self._starts, *self._contexts(cast), self._first]
        name = session or self.tables.script.name
        make = WatchedRow if self._company is None else self._company.row
        watched = make(self.tables, row, session=name, tracers=tracers, recode=recode)
        self._rows.append(watched)
        return watched

    def _contexts(self, cast: Mapping[Any, Any]) -> list[Any]:
        try:
            contexts = [cast[role] for role in self.tables.roles]
        except KeyError:
            contexts = self._by_name(cast)
        for place in self._keeping:
            contexts[place] = Part(contexts[place])
        return contexts

    def _by_name(self, cast: Mapping[Any, Any]) -> list[Any]:
        """The contexts of a cast in which some roles are classes."""
        by_name = {role if isinstance(role, str) else role.__name__: me for role, me in cast.items()}
        for role in self.tables.roles:
            if role not in by_name:
                raise LookupError(f"{self.tables.script.name}: nobody plays {role}{nearest(role, by_name)}")
        return [by_name[role] for role in self.tables.roles]

    # One loop for everything, in one piece: a call for each step would cost as much as the step.
    def run(self, turns: int = 1024) -> bool:  # noqa: C901, PLR0912, PLR0915
        """Give so many turns to sessions, each some steps long. Returns whether there is more to do.

        An error of a function ends its session and is in the tally. What is no `Exception`, such as a KeyboardInterrupt, ends
        the session in which it came, too, and is raised; all others are as they were, and may be played on.

        Errors: `RuntimeError` when it is called by a function of a scene.
        """
        if self._running:
            raise RuntimeError(
                f"{self.tables.script.name}: a function of a scene cannot run the stage that it is on"
            )
        self._running = True
        began = perf_counter()
        rows = self._rows
        # Of the session whose turn it is. Mostly empty: often but one frame is under way, and that is in the variables.
        line: Line = deque()
        ended, standing = self._ended, self._standing
        steps = tuple(range(TURN))  # a tuple's numbers are there already
        messages = 0
        try:
            while turns > 0 and rows:
                burst = min(turns, len(rows))
                turns -= burst
                # Popped and unpacked by `for`, so that no interrupt can come between: a session is never lost.
                for session in map(deque[Row | WatchedRow].popleft, repeat(rows, burst)):
                    place, step, others = 0, -1, 0
                    taking: Any = None
                    acting = True
                    try:
                        if isinstance(session, WatchedRow):
                            self._watched_turn(session)
                            continue
                        row = session
                        line += row[-1]
                        place, number, data = line.popleft()
                        alone = not line
                        for step in steps:  # noqa: B007  # how many there were is asked after the loop
                            try:
                                at, on, send, ways, taking = row[place].steps[number]
                            except TypeError:  # it came early
                                others += 1
                                line.appendleft((place, number, data))
                                place, number, data = self._picked(row, line)
                                alone = not line
                                continue
                            me = row[at]
                            try:
                                if on is not None:
                                    on(me, data)
                                elif taking.on is not None:
                                    taking.on(me)
                                elif number == GO_ON:
                                    others += 1
                            except BaseException:
                                acting = False
                                raise
                            if send is None:
                                row[place] = taking.next
                            else:
                                answer = send(me)
                                try:
                                    label, data = answer
                                    wants, after, number, only, giving = ways[label]
                                except (KeyError, TypeError, ValueError):
                                    taking.next.chosen(answer)  # which says what is wrong
                                    raise
                                if data.__class__ is not wants:  # quicker than `type(data)`
                                    taking.next.chosen(answer)
                                row[place] = after
                                if alone and only is not None:
                                    place = only
                                    continue
                                for to in giving.to:
                                    line.append((to, number, data))
                                for to in giving.informs:
                                    line.append((to, number, None))
                                if after.send is not None:
                                    line.append((place, GO_ON, None))
                            if not line:
                                row[-1] = None
                                try:
                                    ended[standing(row)] += 1
                                except KeyError:
                                    self._over(row)
                                break
                            if len(line) > CROWD:
                                place, number, data = self._picked(row, line)
                            else:
                                place, number, data = line.popleft()
                            alone = not line
                        else:
                            row[-1] = ((place, number, data), *line)
                            line.clear()
                            rows.append(row)
                    except BaseException as error:
                        line.clear()
                        failure = failure_of(error)
                        self._fail(session, place, _function(taking, heard=not acting), failure or error)
                        if failure is None:
                            raise
                    finally:
                        messages += step + 1 - others
        finally:
            self._running = False
            self.tally.messages += messages
            self.tally.seconds += perf_counter() - began
            self._count()
        return bool(rows)

    def _watched_turn(self, watched: WatchedRow) -> None:
        """The turn of a session that somebody looks at. Errors: whatever a function raises; `Stuck`."""
        before = watched.messages
        try:
            if watched.take_turn():
                self._rows.append(watched)
            else:
                self._over(watched.row)
                watched.end()
        finally:
            self.tally.messages += watched.messages - before

    def _picked(self, row: Row, line: Line) -> tuple[int, int, Any]:
        """Take out of line what can go on. Errors: `Stuck`."""
        at = pick(self.tables, row, line)
        if at < 0:
            raise Stuck(self.tables, row)
        found: tuple[int, int, Any] = line[at]
        del line[at]
        return found

    def _over(self, row: Row) -> None:
        """Nothing is under way in a session any more. Errors: `Stuck` if not every role is at an exit."""
        row[-1] = None
        states = self._standing(row)
        if not all(state.ends or state.local.exits for state in states):
            raise Stuck(self.tables, row)
        self._ended[states] = self._ended.get(states, 0) + 1

    def _count(self) -> None:
        """Write into the tally how many sessions have ended in which exits."""
        exits = Counter[str]()
        for states, count in self._ended.items():
            exits[_exit_of(states)] += count
        self.tally.exits = exits

    def _fail(self, session: Row | WatchedRow, place: int, function: str, error: BaseException) -> None:
        """End a session that cannot go on, with one reason for all of its roles."""
        row = session.row if isinstance(session, WatchedRow) else session
        if isinstance(session, WatchedRow):
            place, function = session.doing
        roles = self.tables.roles
        role = roles[place]
        if isinstance(error, Stuck):
            role, function, why = "", "", str(error)
        elif isinstance(error, Exception):
            why = f"{role}: {what_failed(function, error)}"
        else:
            role, function, why = "", "", f"{type(error).__name__} came in the middle of it"
        parts = row[len(roles) : -1]
        cast = {role: me.me if isinstance(me, Part) else me for role, me in zip(roles, parts, strict=True)}
        self.tally.fail(Failure(role, function, why, error, cast))
        row[-1] = None
        if isinstance(session, WatchedRow):
            session.end(why, error)

    async def run_all(self) -> Tally:
        """Play all sessions to their ends. Others of the event loop have their turns meanwhile.

        When cancelled it stops between two turns: `run_all` goes on from there.
        """
        turns = 1
        while self._rows:
            began = perf_counter()
            self.run(turns)
            quick = perf_counter() - began < BREATH / 2
            turns = turns * 2 if quick else max(1, turns // 2)
            await anyio.lowlevel.checkpoint()
        return self.tally

    def hand_over(self, session: Row | WatchedRow) -> Handed:
        """Give up a session between two runs: the stage forgets it, and somebody else goes on with it.

        Errors: `ValueError` for one that is over, and where roles are machines; `RuntimeError` inside of `run`.
        """
        if self._company is not None:
            raise ValueError("a session whose roles are machines can be looked at where it is")
        if self._running:
            raise RuntimeError("a session is handed over between two runs of its stage")
        row = session.row if isinstance(session, WatchedRow) else session
        line: list[tuple[int, int, Any]] = [each[:3] for each in row[-1] or ()]
        if not line:
            raise ValueError("this session is over, or was handed over before")
        row[-1] = None
        self._rows = deque(each for each in self._rows if each is not session)
        roles = self.tables.roles
        return Handed(
            {role: row[place].local.name for place, role in enumerate(roles)},
            dict(zip(roles, row[len(roles) : -1], strict=True)),
            tuple(self._in_flight(*each) for each in line if each[1] != GO_ON),
            tuple(roles[each[0]] for each in line if each[1] == GO_ON),
            {role: session.ticks(role) for role in roles} if isinstance(session, WatchedRow) else {},
        )

    def _in_flight(self, place: int, number: int, data: Any) -> InFlight:
        scene, label = self.tables.keys[number]
        sender = self.tables.roles[self.tables.senders[number]]
        receiver = self.tables.roles[place]
        script = self.tables.script
        informs = Inform(scene, label, receiver) in script.informs
        names = script.scenes[scene].branch(label).names
        return InFlight(sender, receiver, scene, label, informs=informs, data=data, names=names)


async def run_many(
    tables: Tables,
    casts: Iterable[Mapping[Any, Any]],
    *,
    engine: Literal["table", "machine"] = "table",
    machines: Mapping[str, AsMachine] | None = None,
    tracers: Iterable[Tracer] = (),
    wire: Codec | None = None,
    keep: int = 100,
) -> Tally:
    """Play a session for each cast, all at once, and tell how they ended.

    `engine` is what the roles are kept in; with `machines`, by role, or with a tracer that looks at machines, they are machines.
    `wire` is what encodes and decodes every payload on its way, as if the roles were far apart. `keep` is how many failures
    are kept with their errors and casts. Errors: `ValueError` where the choreography cannot be played so; `LookupError` for
    a cast that lacks a role.
    """
    seen = tracers_of(tracers)
    stage = Stage(tables, keep=keep, engine=engine, machines=machines, tracers=of_machines(seen))
    watched = bool(wire is not None or Watchers(seen) or engine == "machine" or machines)
    recode = None if wire is None else recoder(tables, wire)
    for number, cast in enumerate(casts, 1):
        if watched:
            name = f"{tables.script.name}-{number}"
            stage.watch(cast, session=name, tracers=seen, recode=recode)
        else:
            stage.add(cast)
        if number % 1000 == 0:
            await anyio.lowlevel.checkpoint()
    return await stage.run_all()
