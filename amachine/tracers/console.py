"""Machines on the screen while they run: a table of states and clocks, what happened last, and errors.

Hooks only note what happened; drawing is done by a thread of `rich`, so many times a second and no more, however much
happens. Without a terminal nothing is drawn until the end, and then once, as plain text. It keeps no machine alive.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from time import localtime, monotonic, strftime, time
from typing import TYPE_CHECKING, Self
from weakref import ref

import attrs
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from amachine._bits import bits
from amachine.machine import Machine
from amachine.mutation import ErrorInfo, phrase
from amachine.tracers.base import Tracer
from amachine.tracers.shown import ArgsMapper, Mapper, call_text, change_text, clean, error_text, seconds_text

if TYPE_CHECKING:
    from types import TracebackType

    from amachine.transition import Transition

FRESH = 1.0
"""Seconds for which a state that has just changed is shown as such."""

_NUMBERS = {"executed": "", "canceled": "yellow", "failed": "red", "queue": "", "tasks": ""}
"""The columns of numbers, which are there as long as one of them is not zero, and their styles."""

ROWS = 1000
"""Machines that are remembered, beyond those that live."""


@attrs.define(eq=False)
class _Row:
    """What is known of one machine. Only the thread that runs this machine changes it."""

    id: str
    machine: ref[Machine]
    transitions: int = 0
    canceled: int = 0
    failed: int = 0
    tasks: int = 0
    last: float = 0.0
    changed: int = 0
    """Mask of the states that the last change has moved."""
    final: tuple[str, Text] | None = None
    """How it looked when it closed."""


class _Happening:
    """One transition, as far as it is shown: made into words only when it is drawn, for most are not."""

    __slots__ = ("args", "at", "back", "failed", "kind", "machine", "masks", "schema", "why")

    def __init__(self, t: Transition, mapper: Mapper | None) -> None:
        plan = t.plan
        self.at = time()
        self.machine = t.machine
        self.schema = plan.schema
        self.kind = plan.kind
        moves = t.was_committed
        self.masks = (
            (plan.called | plan.banned, plan.enters, plan.exits, plan.reentries)
            if moves
            else (plan.called, 0, 0, 0)
        )
        self.back = t.put_back
        self.args = "" if t.args is None or mapper is None else call_text(mapper(t.args))
        self.failed = t.failure is not None
        self.why = "" if t.accepted else clean(t.why, mapper, 200)

    def cells(self) -> tuple[str, str, Text, Text]:
        """Time of day, machine, what was asked, what came of it."""
        called, enters, exits, reentries = self.masks
        asked = Text(f"{phrase(self.schema, self.kind, called)}{self.args}")
        if self.why:
            outcome = Text(self.why, "red" if self.failed else "yellow")
        else:
            outcome = _signs(
                change_text(self.schema, enters=enters, exits=exits, reentries=reentries, put_back=self.back)
            )
        return _clock(self.at), self.machine, asked, outcome


class ConsoleTracer(Tracer):
    """Draws the machines that it is attached to: `with ConsoleTracer() as console: machine.attach(console)`.

    At the end of the block the last picture stays, and the tracer is detached. `refresh` is how often a second it is
    drawn at most; `recent` how many transitions are shown; `console` where. It follows to the children of its machines.
    """

    def __init__(
        self,
        *,
        refresh: float = 8.0,
        recent: int = 8,
        console: Console | None = None,
        args: Mapper | None = ArgsMapper(limit=24),  # noqa: B008  # frozen
        now: Callable[[], float] = monotonic,
    ) -> None:
        if refresh <= 0:
            raise ValueError(f"refresh={refresh} times a second would never draw: use a number above 0")
        self.inheritable = True
        self.console: Console = console or Console()
        self._refresh = refresh
        self._args = args
        self._now = now
        self._began = now()
        self._rows: dict[int, _Row] = {}
        self._recent: deque[_Happening] = deque(maxlen=recent)
        self._errors: deque[tuple[float, str, str]] = deque(maxlen=4)
        self._live: Live | None = None

    # -- what happens

    def machine_opened(self, machine: Machine) -> None:
        """Add a row."""
        if len(self._rows) >= ROWS:  # of many short lives, the first to end make room
            over = [
                key for key, row in list(self._rows.items()) if row.final is not None or row.machine() is None
            ]
            for key in over[: ROWS // 2]:
                self._rows.pop(key, None)
        self._rows[id(machine)] = _Row(machine.id, ref(machine), last=self._now())

    def machine_closed(self, machine: Machine) -> None:
        """Keep the last look of the machine."""
        row = self._rows.get(id(machine))
        if row is not None and row.machine() is machine:
            row.final = ("closed" if machine.is_closed else "left"), _states(machine, row, fresh=False)

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        """Note what came of it."""
        t = transition
        row = self._row(machine)
        row.transitions += 1
        moved = t.plan.moved if t.was_committed else 0
        if moved:
            row.last = self._now()
            row.changed = moved
        if t.failure is not None:
            row.failed += 1
        elif not t.accepted:
            row.canceled += 1
        if (t.accepted and not moved) or (t.auto and not t.accepted):
            return
        args = t.args
        self._recent.append(_Happening(t, self._args))
        if isinstance(args, ErrorInfo) and t.plan.enters & t.plan.schema.exception:
            where = f" in {args.handler}" if args.handler else ""
            self._errors.append((time(), t.machine, f"{error_text(args.error, self._args)}{where}"))

    def task_started(self, machine: Machine, name: str, state: str | None) -> None:  # noqa: ARG002  # the hook's signature
        """Count it."""
        self._row(machine).tasks += 1

    def task_ended(self, machine: Machine, name: str, state: str | None, error: BaseException | None) -> None:  # noqa: ARG002
        """Count it."""
        row = self._row(machine)
        row.tasks = max(0, row.tasks - 1)

    def _row(self, machine: Machine) -> _Row:
        return self._rows[id(machine)]

    # -- the picture

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(
                console=self.console,
                get_renderable=self._picture,
                refresh_per_second=self._refresh,
                transient=False,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for row in list(self._rows.values()):
            machine = row.machine()
            if machine is not None:
                machine.detach(self)
        if self._live is not None:
            self._live.stop()  # draws once more
            self._live = None
        else:
            self.console.print(self._picture())

    def __rich__(self) -> RenderableType:
        return self._picture()

    def _picture(self) -> RenderableType:
        """Everything, as it is now; as many machines as there is room for, those that changed last first."""
        rows = sorted(self._rows.values(), key=_last, reverse=True)
        parts: list[RenderableType] = []
        recent, errors = self._recent.copy(), self._errors.copy()
        room = len(rows)
        if self._live is not None:
            room = max(3, self.console.height - 8 - len(recent) - (len(errors) + 2 if errors else 0))
        shown = sorted(rows[:room], key=_id)
        parts.append(self._table(shown, hidden=len(rows) - len(shown), rows=rows))
        if recent:
            parts += [Text(), self._happenings(recent)]
        if errors:
            parts += [Text(), self._error_list(errors)]
        return Group(*parts)

    def _table(self, shown: list[_Row], *, hidden: int, rows: list[_Row]) -> Table:
        total, elapsed = sum(row.transitions for row in rows), self._now() - self._began
        title = f"{len(rows)} machine{'s' * (len(rows) != 1)} · {total} transitions · {seconds_text(elapsed)}"
        table = Table(
            title=title, title_justify="left", title_style="bold", caption_justify="left", box=None, pad_edge=False,
            caption=f"… and {hidden} more that changed earlier" if hidden else None, expand=True, header_style="dim",
        )  # fmt: skip
        overflow: OverflowMethod = "ellipsis" if self._live is not None else "fold"
        table.add_column("machine", no_wrap=True, overflow="ellipsis", max_width=28)
        table.add_column("states and clocks", ratio=1, no_wrap=self._live is not None, overflow=overflow)
        cells = [self._cells(row) for row in shown]
        used = [name for name in _NUMBERS if any(numbers[name] for _, _, numbers, _ in cells)]
        for name in used:
            table.add_column(name, justify="right", no_wrap=True, style=_NUMBERS[name])
        table.add_column("last", justify="right", no_wrap=True)
        for who, states, numbers, last in cells:
            table.add_row(who, states, *(str(numbers[name] or "") for name in used), last)
        return table

    def _cells(self, row: _Row) -> tuple[Text, Text, dict[str, int], str]:
        """Its name, its states, its numbers by column, and when it changed last."""
        machine = row.machine()
        since = self._now() - row.last
        queue = 0
        if row.final is not None:
            how, states = row.final
        elif machine is None:
            how, states = "gone", Text("collected", style="dim")
        else:
            how, states = "", _states(machine, row, fresh=since < FRESH)
            queue = len(machine.queue)
        executed = row.transitions - row.canceled - row.failed
        numbers = {
            "executed": executed,
            "canceled": row.canceled,
            "failed": row.failed,
            "queue": queue,
            "tasks": row.tasks,
        }
        if not how:
            how = "now" if since < FRESH else f"{since:.0f} s" if since < 120 else f"{since / 60:.0f} min"
        return Text(row.id, style="dim" if row.final else "bold"), states, numbers, how

    def _happenings(self, recent: deque[_Happening]) -> Table:
        table = Table(box=None, pad_edge=False, expand=True, show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(style="bold", no_wrap=True, overflow="ellipsis", max_width=28)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=2)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
        for each in recent:
            table.add_row(*each.cells())
        return table

    def _error_list(self, errors: deque[tuple[float, str, str]]) -> Table:
        table = Table(
            box=None, pad_edge=False, expand=True, show_header=False, title="errors", title_justify="left"
        )
        table.title_style = "bold red"
        table.add_column(style="dim", no_wrap=True)
        table.add_column(style="bold", no_wrap=True, overflow="ellipsis", max_width=28)
        table.add_column(ratio=1, overflow="fold")
        for at, machine, text in errors:
            table.add_row(_clock(at), machine, Text(text, style="red"))
        return table


def _states(machine: Machine, row: _Row, *, fresh: bool) -> Text:
    """Active states with their ticks, and after a bar those that have just ended."""
    time, schema = machine.time, machine.schema  # in this order: a schema may grow meanwhile
    text = Text()
    # Errors first: a row that is cut must not hide them.
    for i in sorted(time.active(), key=lambda i: 1 << i != schema.exception):
        error = 1 << i == schema.exception
        style = "bold red" if error else "bold green" if fresh and row.changed >> i & 1 else "green"
        text.append(f"{schema.names[i]}:{time[i]} ", style=style)
    left = [i for i in bits(row.changed) if i < len(time) and not time[i] & 1] if fresh else []
    if left:
        text.append("| ", style="dim")
    for i in left:
        text.append(f"{schema.names[i]}:{time[i]} ", style="dim strike")
    return text


def _signs(changes: str) -> Text:
    """Changes in colour, by their sign."""
    styles = {"+": "green", "-": "dim", "*": "cyan", "!": "red"}
    return Text(" ").join(Text(word, style=styles.get(word[:1], "")) for word in changes.split())


def _clock(at: float) -> str:
    """A time of day, here."""
    return strftime("%H:%M:%S", localtime(at))


def _last(row: _Row) -> float:
    return row.last


def _id(row: _Row) -> list[tuple[int, str]]:
    """As people sort: `flow-2` before `flow-10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", row.id)]
