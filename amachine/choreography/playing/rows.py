"""Sessions as rows of a stage, and what is under way in them. A plain row is a list; a watched one counts and shows its steps.

A row has the states of its roles, then what their functions get, each in the order of the choreography, and at last its line:
what is under way. Nothing here waits, and nothing decides when a row has its turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from amachine.choreography.playing.endings import Ending, Outcome
from amachine.choreography.playing.events import RoleEnded, Step
from amachine.choreography.playing.seat import ABORTED
from amachine.choreography.playing.tables import GO_ON
from amachine.choreography.playing.watching import Watchers
from amachine.errors import AmachineError

if TYPE_CHECKING:
    from amachine.choreography.playing.tables import Giving, RoleState, Tables, Taking
    from amachine.choreography.wire.codec import Codec
    from amachine.tracers.base import Tracer

__all__ = ["CROWD", "TURN", "Line", "Recode", "Row", "Stuck", "WatchedRow", "pick", "recoder"]

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


class WatchedRow:
    """A session that counts its steps, shows them to tracers, and tells at last how it ended for each role."""

    __slots__ = (
        "_ended", "_lamports", "_recode", "_sent", "_seqs", "_tables", "_taken", "_watchers",
        "doing", "messages", "row", "session",
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
        self.doing: tuple[int, str] = 0, ""
        """The place of the role whose function failed, and the function: `Ping.send`."""
        self._ended: tuple[str, BaseException | None] | None = None
        self._watchers = Watchers(tracers)
        self._tables = tables
        self._recode = recode
        self._taken: defaultdict[Giving | Taking, int] = defaultdict(int)
        """How often each branch was chosen, and each frame heard after which a role did not choose: one count a step."""
        self._lamports: list[int] = [0] * size
        self._sent: list[int] = [0] * size
        """Frames so far, by sender."""
        self._seqs: list[list[int]] = [[0] * size for _ in range(size)]
        """The same, by sender and receiver."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None until then."""
        if self._ended is None:
            return None
        why, error = self._ended
        endings: dict[str, Ending] = {}
        for place, role in enumerate(self._tables.roles):
            name = self._last(place, why)
            raised = error if place == self.doing[0] else None
            endings[role] = Ending(role, ABORTED, why, raised) if name == ABORTED else Ending(role, name)
        return Outcome(self._tables.script.name, endings)

    def _last(self, place: int, why: str) -> str:
        """The name of the state in which a role ends that comes no further, for this reason or none."""
        local = self.row[place].local
        return local.final if local.ends or (local.exits and not why) else ABORTED

    def ticks(self, role: str) -> dict[str, int]:
        """By state that the role was ever in: odd while it is, +1 when it left, +2 when it was entered anew."""
        place = self._tables.places[role]
        state: RoleState = self.row[place]
        start = self._tables[role].start.local
        # A state in which a role acts was entered as often as the role chose there, and once more if it stands there and has
        # not. Any other was entered at the start, and with each step that led there.
        times = Counter[str]()
        times[start.name] += not start.acts
        times[state.local.name] += state.local.acts
        for way, count in self._taken.items():
            who, _, _, chose, _, _, source, target = way.outline
            if who == role:
                times[source] += count * chose
                times[target] += count * (not way.next.local.acts)
        standing = state.local.name if self._ended is None else self._last(place, self._ended[0])
        times[standing] = times[standing] or 1  # `Aborted`, or an exit that it learnt of by goodbyes
        return {name: 2 * count - (name == standing) for name, count in times.items() if count}

    # As `Stage.run`, in one piece, for the same reasons: read that first.
    def take_turn(self) -> bool:  # noqa: C901, PLR0912, PLR0915
        """Take some steps, while any can be taken; returns whether that may go on. Errors: whatever a function raises."""
        row, session, recode, see = self.row, self.session, self._recode, self._watchers.hook
        lamports, all_sent, seqs, taken = self._lamports, self._sent, self._seqs, self._taken
        line: Line = row[-1]
        only: int | None
        place, number, data, seq, lamport = 0, GO_ON, None, 0, 0
        alone, step, others = False, -1, 0
        try:
            for step in range(TURN):  # noqa: B007  # how many there were is asked after the loop
                if not alone:  # else it is in the variables
                    flight = self._next(line)
                    if flight is None:
                        others += 1
                        return False
                    place, number, data, seq, lamport = flight
                    alone = not line
                try:
                    at, on, send, ways, taking = row[place].steps[number]
                except TypeError:  # its receiver is not ready for it, and nothing else is under way
                    others += 1
                    return False
                me, now = row[at], lamports[place]
                row[place] = after = taking.next
                if number == GO_ON:
                    others += 1
                else:
                    now = (now if now > lamport else lamport) + 1  # noqa: FURB136  # `max` takes five times as long
                    if see is not None:
                        role, scene, label, chose, peers, informed, source, target = taking.outline
                        event = Step(
                            session, role, scene, label, chose, peers, informed, source, target, seq, now, 0, data,
                            taking.take.names,
                        )  # fmt: skip
                        try:
                            see(event)
                        except Exception:  # noqa: BLE001  # whatever it is, the session goes on
                            see = self._watchers.failed()
                    if send is None:
                        taken[taking] += 1
                    try:
                        if on is not None:
                            on(me, data)
                        elif taking.on is not None:
                            taking.on(me)
                    except BaseException:
                        self.doing = place, taking.told
                        raise
                if send is None:
                    lamports[place] = now
                else:
                    try:
                        answer = send(me)
                        try:
                            label, data = answer
                            wants, after, number, only, giving = ways[label]
                        except (KeyError, TypeError, ValueError):
                            taking.next.chosen(answer)  # which says what is wrong
                            raise
                        if data.__class__ is not wants or answer.__class__ is not tuple:  # which may be right
                            taking.next.chosen(answer)
                    except BaseException:
                        self.doing = place, taking.next.told
                        raise
                    now += 1
                    sent = all_sent[place]
                    if see is not None:
                        role, scene, label, chose, peers, informed, source, target = giving.outline
                        event = Step(
                            session, role, scene, label, chose, peers, informed, source, target, sent, now, 0, data,
                            giving.give.names,
                        )  # fmt: skip
                        try:
                            see(event)
                        except Exception:  # noqa: BLE001
                            see = self._watchers.failed()
                    lamports[place] = lamport = now
                    if alone and only is not None and not after.ends:
                        if recode is not None and data is not None:
                            data = recode(number, data)
                        row[place] = after
                        taken[giving] += 1
                        all_sent[place] = sent + 1
                        said = seqs[place]
                        said[only] = seq = said[only] + 1
                        place = only
                        continue
                    self._tell(place, giving, data, now)
                    row[place] = after
                    taken[giving] += 1
                    if after.send is not None:
                        line.append((place, GO_ON, None, 0, 0))
                if see is not None and after.ends:
                    self._watchers.see(RoleEnded(session, after.role, after.local.final, ""))
                    see = self._watchers.hook
                alone = False
            if alone:
                line.append((place, number, data, seq, lamport))
        finally:
            self.messages += step + 1 - others
        return True

    def _next(self, line: Line) -> Flight | None:
        """Take out of line what can go on, the oldest first; None if nothing can."""
        if not line:
            return None
        flight: Flight = line[0]
        at = 0
        if len(line) > CROWD or self.row[flight[0]].steps[flight[1]] is None:
            at = pick(self._tables, self.row, line)
            if at < 0:
                return None
            flight = line[at]
        del line[at]
        return flight

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

    def end(self, why: str = "", error: BaseException | None = None) -> None:
        """It is over: who has come to an exit has, and who has not is `Aborted` for this reason."""
        self._ended = why, error
        if self._watchers.hook is not None:
            for place, role in enumerate(self._tables.roles):
                if not self.row[place].ends:  # else that was shown
                    self._watchers.see(RoleEnded(self.session, role, self._last(place, why), why))
