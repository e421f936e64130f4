"""Sessions as rows of a stage, and what is under way in them. A plain row is a list; a watched one counts and shows its steps.

A row has the states of its roles, then what their functions get, each in the order of the choreography, and at last its line:
what is under way. Nothing here waits, and nothing decides when a row has its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from amachine.choreography.playing.endings import Ending, Outcome
from amachine.choreography.playing.events import Event, RoleEnded, Step
from amachine.choreography.playing.seat import ABORTED
from amachine.choreography.playing.tables import GO_ON
from amachine.choreography.playing.watching import Watchers
from amachine.errors import AmachineError

if TYPE_CHECKING:
    from amachine.choreography.playing.tables import Entry, Giving, RoleState, Tables, Taking
    from amachine.choreography.wire.codec import Codec
    from amachine.tracers.base import Tracer

__all__ = ["CROWD", "TURN", "Line", "Recode", "Row", "Stuck", "WatchedRow", "pick", "recoder", "what_failed"]

TURN = 32
"""Steps that a session takes before it is another's turn: some 10 µs of its own, beside which the change of turns is little."""

CROWD = 64
"""When more than so much is under way in a session, those who run ahead have to wait."""

Row: TypeAlias = list[Any]
"""A session: states, contexts, line. The line is None once it is over."""

Line: TypeAlias = deque[Any]
"""What is under way, the oldest first: the place of the receiver, the number of the frame, and its payload; in a watched row
also the number in its channel, and the logical time."""

Flight: TypeAlias = tuple[int, int, Any, int, int]
"""What is under way in a watched row."""

Recode: TypeAlias = Callable[[int, Any], Any]
"""Encodes and decodes the payload of the frame of that number."""


def pick(tables: Tables, row: Row, line: Line) -> int:
    """Which is the first in line that its receiver is ready for; -1 if none is. What one role sends another stays in order.

    In a crowd, only roles take a step of whose own nothing is under way. There always is such a step, for the step that is
    first in the script among those not yet taken is one of them; and it keeps what is under way bounded.
    """
    senders = tables.senders
    ahead: set[int] = {senders[each[1]] for each in line} if len(line) > CROWD else set()
    passed: set[tuple[int, int]] = set()
    for at, each in enumerate(line):
        place: int = each[0]
        number: int = each[1]
        channel = place, senders[number]
        if row[place].steps[number] is not None and place not in ahead and channel not in passed:
            return at
        passed.add(channel)
    return -1


def recoder(tables: Tables, codec: Codec) -> Recode:
    """What sends payloads through a codec and back."""
    branches = [branch.payload for _, branch in tables.script.branches()]
    encode = [codec.encoder(payload) for payload in branches]
    decode = [codec.decoder(payload) for payload in branches]
    return lambda number, data: decode[number - 1](encode[number - 1](data))


class Stuck(AmachineError):
    """Nothing can go on in a session, and it is not over. Of a choreography that was checked, this cannot be."""

    def __init__(self, tables: Tables, row: Row) -> None:
        standing = [f"{role} in {row[place].local.name}" for place, role in enumerate(tables.roles)]
        super().__init__(f"nothing can go on any more, with {', '.join(standing)}")


def what_failed(function: str, error: BaseException) -> str:
    """The sentence for a function of a scene that has raised."""
    said = str(error)
    return f"{function} raised {type(error).__name__}{f': {said}' if said else ''}"


class WatchedRow:
    """A session that counts its steps, shows them to tracers, and tells at last how it ended for each role."""

    __slots__ = (
        "_entered", "_lamports", "_recode", "_see", "_sent", "_seqs", "_tables",
        "doing", "messages", "outcome", "row", "session",
    )  # fmt: skip

    def __init__(
        self,
        tables: Tables,
        row: Row,
        *,
        session: str,
        tracers: Iterable[Tracer] = (),
        recode: Recode | None = None,
    ) -> None:
        size = len(tables.roles)
        line: Line = deque((place, number, data, 0, 0) for place, number, data in row[-1])
        self.row: Row = [*row[:-1], line]
        self.session: str = session
        self.messages: int = 0
        """Frames that have reached a role."""
        self.outcome: Outcome | None = None
        """How it ended; None until then."""
        self.doing: tuple[int, str] = 0, ""
        """The place of the role whose function failed, and the function: `Ping.send`."""
        watchers = Watchers(tracers)
        self._see = watchers.see if watchers else None
        self._tables = tables
        self._recode = recode
        self._entered: list[dict[RoleState, int]] = [{state: 1} for state in row[:size]]
        self._sent: list[int] = [0] * size
        self._lamports: list[int] = [0] * size
        self._seqs: list[list[int]] = [[0] * size for _ in range(size)]

    def ticks(self, role: str) -> dict[str, int]:
        """By state that the role was ever in: odd while it is, +1 when it left, +2 when it was entered anew."""
        place = self._tables.places[role]
        times = {state.local.name: count for state, count in self._entered[place].items()}
        standing = self.row[place].local.name if self.outcome is None else self.outcome[role].state
        times.setdefault(standing, 1)  # `Aborted`, or an exit that it learnt of by goodbyes
        return {name: 2 * count - (name == standing) for name, count in times.items()}

    # As `Stage.run`, in one piece, for the same reason; what is only done for tracers is outside.
    def take_turn(self) -> bool:  # noqa: C901, PLR0912
        """Take some steps, while any can be taken; returns whether that may go on. Errors: whatever a function raises."""
        row = self.row
        line: Line = row[-1]
        size, lamports, entered, see = len(self._sent), self._lamports, self._entered, self._see
        for _ in range(TURN):
            if not line:
                return False
            flight: Flight = line.popleft()
            place, number, data, seq, lamport = flight
            state: RoleState = row[place]
            if len(line) >= CROWD or state.steps[number] is None:
                line.appendleft(flight)
                at = pick(self._tables, row, line)
                if at < 0:
                    return False
                place, number, data, seq, lamport = line[at]
                del line[at]
                state = row[place]
            taking = cast("Entry", state.steps[number])[-1]
            me = row[place + size]
            if number != GO_ON:
                self.messages += 1
                now = lamports[place] = max(lamports[place], lamport) + 1
                if see is not None:
                    self._show_heard(see, state, taking, data, seq, now)
                row[place] = state = taking.next
                entered[place][state] = entered[place].get(state, 0) + 1
                on = taking.on
                if on is not None:
                    try:
                        if taking.carries:
                            on(me, data)
                        else:
                            on(me)
                    except BaseException:
                        self.doing = place, f"{taking.take.scene}.on_{taking.take.label}"
                        raise
            if state.send is not None:
                try:
                    giving, data = state.chosen(state.send(me))
                except BaseException:
                    self.doing = place, f"{state.local.gives[0].scene}.send"
                    raise
                now = lamports[place] = lamports[place] + 1
                if see is not None:
                    self._show_chosen(see, state, giving, data, self._sent[place], now)
                self._tell(place, giving, data, now)
                row[place] = state = giving.next
                entered[place][state] = entered[place].get(state, 0) + 1
                if state.send is not None:
                    line.append((place, GO_ON, None, 0, 0))
            if see is not None and state.ends:
                see(RoleEnded(self.session, state.role, state.local.final, ""))
        return True

    def _tell(self, place: int, giving: Giving, data: Any, now: int) -> None:
        """Put frames in line for everybody who hears of a branch."""
        line: Line = self.row[-1]
        seqs = self._seqs[place]
        for to in giving.to:
            seqs[to] += 1
            what = data if self._recode is None or data is None else self._recode(giving.number, data)
            line.append((to, giving.number, what, seqs[to], now))
        for to in giving.informs:
            seqs[to] += 1
            line.append((to, giving.number, None, seqs[to], now))
        self._sent[place] += len(giving.to) + len(giving.informs)

    def _show_heard(
        self, see: Callable[[Event], None], state: RoleState, taking: Taking, data: Any, seq: int, now: int
    ) -> None:
        take, role = taking.take, state.role
        told = (role,) if take.informs else ()
        source, target = state.local.name, taking.next.local.name
        # By position, as the fields stand: names cost as much as the event.
        see(
            Step(
                self.session, role, take.scene, take.label, False, (take.peer,), told,  # noqa: FBT003
                source, target, seq, now, 0, data,
            )
        )  # fmt: skip

    def _show_chosen(
        self, see: Callable[[Event], None], state: RoleState, giving: Giving, data: Any, sent: int, now: int
    ) -> None:
        give = giving.give
        source, target = state.local.name, giving.next.local.name
        see(
            Step(
                self.session, state.role, give.scene, give.label, True, give.to, give.informs,  # noqa: FBT003
                source, target, sent, now, 0, data,
            )
        )  # fmt: skip

    def end(self, why: str = "", error: BaseException | None = None) -> None:
        """It is over: who has come to an exit has, and who has not is `Aborted` for this reason."""
        endings: dict[str, Ending] = {}
        for place, role in enumerate(self._tables.roles):
            local = self.row[place].local
            if local.ends or (local.exits and not why):
                endings[role] = Ending(role, local.final)
            else:
                endings[role] = Ending(role, ABORTED, why, error if place == self.doing[0] else None)
            if self._see is not None and not local.ends:
                self._see(RoleEnded(self.session, role, endings[role].state, why))
        self.outcome = Outcome(self._tables.script.name, endings)
