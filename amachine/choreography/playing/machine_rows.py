"""Sessions of a stage whose roles are machines: real ones, with the handlers of every role's machine, and no player.

A row takes the steps, each machine keeps where its role stands: what is in `machines` for a machine of a player holds here,
step for step and tick for tick. There is no session machine, no goodbye and no loss. Nothing here decides when a row has
its turn.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from amachine.choreography.playing.endings import Violation
from amachine.choreography.playing.events import RoleEnded, Step
from amachine.choreography.playing.machines import NOBODYS
from amachine.choreography.playing.own import AsMachine, settled
from amachine.choreography.playing.rows import CROWD, TURN, WatchedRow, pick
from amachine.choreography.playing.schemas import SCRIPT, SESSION_UP, TROUBLE, VIOLATION
from amachine.choreography.playing.seat import ABORTED, StepArgs
from amachine.choreography.playing.tables import GO_ON, SentWrong
from amachine.choreography.playing.watching import Watchers, of_machines
from amachine.errors import AmachineError
from amachine.mutation import Kind

if TYPE_CHECKING:
    from amachine.choreography.local import LocalState
    from amachine.choreography.playing.events import Event
    from amachine.choreography.playing.machines import RoleMachine
    from amachine.choreography.playing.rows import Flight, Recode, Row
    from amachine.choreography.playing.tables import Giving, RoleState, Tables, Taking
    from amachine.machine import Options
    from amachine.tracers.base import Tracer

__all__ = ["Company", "Left", "MachineRow"]

_ADD = Kind.ADD


class Left(AmachineError):
    """The machine of a role was told to leave the session."""


class RowSeat:
    """What a role's machine asks of whoever takes its steps: which one is due, and what is to be done there."""

    __slots__ = (
        "answer",
        "error",
        "function",
        "leaving",
        "machine",
        "me",
        "pending",
        "state",
        "taking",
        "target",
    )

    epoch = 0
    """There are no recoveries."""

    def __init__(self, machine: RoleMachine, start: RoleState, me: Any) -> None:
        self.machine: RoleMachine = machine
        self.me: Any = me
        self.state: LocalState = start.local
        self.target: RoleState = start
        self.taking: Taking | None = None
        self.pending: Any = NOBODYS
        self.answer: Any = None
        """What the role has chosen in the state that it entered last."""
        self.error: Exception | None = None
        self.function: str = ""
        """Which one raised it."""
        self.leaving: bool = False
        machine._sits(self)

    def step(self, target: RoleState, mask: int, args: StepArgs, taking: Taking | None) -> None:
        """Enter a state, and do there what the role does. Errors: what a function raised; `Violation` where it was refused."""
        self.target, self.pending, self.taking = target, args, taking
        result = self.machine._submit(_ADD, mask, args)
        if self.error is not None:
            raise self.error
        if self.pending is args:
            self.pending = NOBODYS
            why = result.why or "another thread keeps it busy"
            text = f"its machine refused {target.local.name}: {why}"
            raise Violation(text, got=args, expected=target.local.name)

    def entered(self, args: StepArgs) -> None:
        """Called by the machine, where functions of the state run."""
        self.pending = NOBODYS
        self.state = self.target.local
        taking = self.taking
        if taking is None:
            return
        on, send = taking.on, taking.next.send
        acts = False
        try:
            if on is not None:
                if taking.carries:
                    on(self.me, args.data)
                else:
                    on(self.me)
            if send is not None:
                acts = True
                self.answer = send(self.me)
        except BaseException as error:  # whatever a user's function raises ends its session
            self.function = taking.next.told if acts else taking.told
            if not isinstance(error, Exception):
                raise
            self.error = error
            if self.state.ends:
                raise  # the machine leaves the exit again, before anybody hears that it has come there

    def cancelled(self, state: str) -> None:
        """Called by the machine, when it left the session and nobody here had asked for that."""
        if self.error is None:
            self.error = Left(f"{state} was entered by hand")

    def abort(self, error: BaseException | None) -> None:
        """Leave the script, in trouble; `error` is what the role's own function raised."""
        machine = self.machine
        self.error = self.error or Left()
        if isinstance(error, Violation):
            machine.add_error(error, VIOLATION)
        elif error is not None and self.function and error is not machine.error:
            machine.add_error(error, TROUBLE)
        if not machine.is_active(ABORTED):
            machine.add(TROUBLE, ABORTED)


class Company:
    """The machines of all roles, as many sessions need them: their classes and options, looked up once.

    Errors: those of `settled`; `ValueError` for handlers that run as tasks, which takes a play.
    """

    def __init__(
        self, tables: Tables, machines: Mapping[str, AsMachine], tracers: Iterable[Tracer] = ()
    ) -> None:
        seen = of_machines(tracers)
        self._parts: list[tuple[str, type[RoleMachine], int, Options]] = []
        self.masks: dict[RoleState, int] = {}
        """By state of a role, that state in the schema of its machine."""
        for table in tables:
            given = settled(table.machine, machines.get(table.role) or AsMachine())
            if given.has_tasks:
                raise ValueError(
                    f"{table.role} has handlers that run as tasks: those take a play for each session"
                )
            kind = given.kind
            ups = sum(kind._ups.values())
            first = ups if kind._needed & ~ups else ups | kind._masks[SESSION_UP]
            self._parts.append((table.role, kind, first, given.options(tracers=seen)))
            self.masks.update((state, kind._masks[name]) for name, state in table.states.items())

    def row(
        self,
        tables: Tables,
        row: Row,
        *,
        session: str,
        tracers: Iterable[Tracer] = (),
        recode: Recode | None = None,
    ) -> MachineRow:
        """A session of these machines. Options: as those of a watched row."""
        return MachineRow(self, tables, row, session=session, tracers=tracers, recode=recode)

    def seats(self, session: str, row: Row) -> tuple[RowSeat, ...]:
        """A seat for each role of a session. All peers are up, and those who wait at first do so."""
        size = len(self._parts)
        seats: list[RowSeat] = []
        for place, (role, kind, first, options) in enumerate(self._parts):
            start: RoleState = row[place]
            seat = RowSeat(kind(f"{session}/{role}", **options), start, row[place + size])
            seat.machine._submit(_ADD, first)
            if start.send is None:
                seat.step(start, self.masks[start], StepArgs(), None)
            seats.append(seat)
        return tuple(seats)


class MachineRow(WatchedRow):
    """A session whose roles are machines. In its line, a role's own turn carries the arguments of the step that it is."""

    __slots__ = ("_masks", "_said", "_seats", "_see")

    def __init__(
        self,
        company: Company,
        tables: Tables,
        row: Row,
        *,
        session: str,
        tracers: Iterable[Tracer] = (),
        recode: Recode | None = None,
    ) -> None:
        begin = StepArgs()
        # Short: a deque would weigh more.
        row[-1] = [(place, number, begin, 0, 0) for place, number, _ in row[-1]]
        self.row = row
        self.session = session
        self.messages: int = 0
        self.doing: tuple[int, str] = 0, ""
        self._ended = None
        self._watchers = Watchers(tracers)
        size = len(tables.roles)
        self._see = self._watchers.see if self._watchers else None
        self._tables = tables
        self._recode = recode
        self._said = [0] * size * size
        """Frames so far, by sender and receiver."""
        if self._watchers:
            self._lamports = [0] * size
        self._masks = company.masks
        self._seats: tuple[RowSeat, ...] = company.seats(session, row)

    @property
    def machines(self) -> Mapping[str, RoleMachine]:
        """The machine of each role."""
        return {role: seat.machine for role, seat in zip(self._tables.roles, self._seats, strict=True)}

    def ticks(self, role: str) -> dict[str, int]:
        """By state of the script that the role was ever in, and `Aborted`: the clock of its machine."""
        machine = self.machines[role]
        script = {*machine.schema.groups[SCRIPT].members, ABORTED}
        return {name: tick for name, tick in machine.clock.items() if tick and name in script}

    # As that of a watched row, in one piece; what is only done for tracers is outside.
    def take_turn(self) -> bool:
        """Take some steps, while any can be taken; returns whether that may go on. Errors: as those of a seat's `step`."""
        row, seats, masks, see = self.row, self._seats, self._masks, self._see
        line: list[Flight] = row[-1]
        for _ in range(TURN):
            if not line:
                return False
            place, number, data, seq, lamport = line[0]
            at, entry = 0, row[place].steps[number]
            if entry is None or len(line) > CROWD:
                at = pick(self._tables, row, cast("Any", line))
                if at < 0:
                    return False
                place, number, data, seq, lamport = line[at]
                entry = row[place].steps[number]
            del line[at]
            taking: Taking = entry[-1]
            if number == GO_ON:
                args: StepArgs = data
            else:
                self.messages += 1
                take = taking.take
                args = StepArgs(take.peer, take.scene, take.label, data, seq)
                if see is not None:
                    self._heard(see, place, taking, args, lamport)
            state = row[place] = taking.next
            seat = seats[place]
            try:
                seat.step(state, masks[state], args, taking)
                if state.send is not None:
                    self._chose(seat, place, state)
            except BaseException:
                self.doing = place, seat.function
                raise
            if see is not None and row[place].ends:
                see(RoleEnded(self.session, state.role, row[place].local.final, ""))
        return True

    def _chose(self, seat: RowSeat, place: int, state: RoleState) -> None:
        """Tell others of the branch that a role has chosen, and take that step: now, or in its own turn if it acts again."""
        try:
            giving, data = state.chosen(seat.answer)
        except SentWrong as error:
            seat.error, seat.function = error, state.told
            raise
        now = 0
        if self._see is not None:
            now = self._lamports[place] = self._lamports[place] + 1
            size = len(self._seats)
            sent = sum(self._said[place * size : (place + 1) * size])
            self._see(Step(self.session, *giving.outline, sent, now, 0, data, giving.give.names))
        self._tell(place, giving, data, now)
        give, after = giving.give, giving.next
        self.row[place] = after
        args = StepArgs(state.role, give.scene, give.label, data)
        if after.send is None:
            seat.step(after, self._masks[after], args, None)
        else:
            self.row[-1].append((place, GO_ON, args, 0, 0))

    def _tell(self, place: int, giving: Giving, data: Any, now: int) -> None:
        """Put frames in line for everybody who hears of a branch."""
        line, said, number = self.row[-1], self._said, giving.number
        first = place * len(self._seats)
        for to in giving.to:
            seq = said[first + to] = said[first + to] + 1
            what = data if self._recode is None or data is None else self._recode(number, data)
            line.append((to, number, what, seq, now))
        for to in giving.informs:
            seq = said[first + to] = said[first + to] + 1
            line.append((to, number, None, seq, now))

    def _heard(
        self, see: Callable[[Event], None], place: int, taking: Taking, args: StepArgs, lamport: int
    ) -> None:
        now = self._lamports[place] = max(self._lamports[place], lamport) + 1
        see(Step(self.session, *taking.outline, args.seq, now, 0, args.data, taking.take.names))

    def end(self, why: str = "", error: BaseException | None = None) -> None:
        """It is over: as that of a watched row; whoever has come to no exit leaves the script in trouble."""
        super().end(why, error)
        if why:
            for place, seat in enumerate(self._seats):
                if not seat.machine.is_active(seat.state.final):
                    seat.abort(error if place == self.doing[0] else None)
