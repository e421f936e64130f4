"""What a batch looks like while it runs: a live table, plain lines, or nothing. Looks at machines; changes none."""

from __future__ import annotations

from collections import Counter, deque
from time import monotonic
from types import TracebackType
from typing import IO, Protocol, Self

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from amachine import Machine, States, Tracer, Transition
from amachine.tools.demo.batch import Batch
from amachine.tools.demo.flow import FileFlow

FRAME = 0.1
"""Seconds between two looks of the table."""

WIDE = 110
"""Columns of a terminal from which each state has one of its own."""

STYLES = {
    "reading": "yellow",
    "hashed": "cyan",
    "compressed": "cyan",
    "storing": "bold cyan",
    "stored": "green",
    "retrying": "bold magenta",
    "skipped": "bold blue",
    "failed": "bold red",
    "Exception": "bold red",
    "walking": "yellow",
    "processing": "cyan",
    "settled": "green",
    "finished": "bold green",
    "interrupted": "bold red",
}
"""How active states are shown; others are bold, and inactive ones dim."""


class Face(Protocol):
    """Something that shows a batch."""

    async def keep_showing(self) -> None:
        """Show it until cancelled."""
        ...


class Silent:
    """Shows nothing."""

    async def keep_showing(self) -> None:
        """Return at once."""


class Watcher(Tracer):
    """Hears of every file that does not go straight through."""

    inheritable = True

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        """Tell of a file that was skipped, has failed, or is retried."""
        if isinstance(machine, FileFlow) and transition.accepted:
            for state in (machine.skipped, machine.failed, machine.retrying):
                if state.name in transition.enters and state.args is not None:
                    self.heard(state.name, machine.id, state.args.why)

    def heard(self, state: str, name: str, why: str) -> None:
        """A file has entered this state, for this reason."""
        raise NotImplementedError


class Plain(Watcher):
    """Lines, for a file or a pipe: progress every few seconds, and every file that has trouble."""

    MOST = 50
    """Lines about files in one state; the summary has them all."""

    def __init__(self, batch: Batch, out: IO[str], *, every: float = 2.0) -> None:
        self._batch = batch
        self._out = out
        self._every = every
        self._said = Counter[str]()

    def __enter__(self) -> Self:
        jobs, store = self._batch.processing.definition.limit, self._batch.store
        self._print(f"{self._batch.root}, {jobs} files at a time, into {store.path}")
        self._batch.attach(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._batch.detach(self)

    async def keep_showing(self) -> None:
        """Print how far it is, every few seconds."""
        while True:
            await anyio.sleep(self._every)
            self._print(f"{counts(self._batch)}  {self._batch.clock}")

    def heard(self, state: str, name: str, why: str) -> None:
        """Print it, unless there are too many."""
        self._said[state] += 1
        if self._said[state] <= self.MOST:
            self._print(f"{state} {name}: {why}")
        elif self._said[state] == self.MOST + 1:
            self._print(f"{state} … and more")

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class Table(Watcher):
    """A live table: the batch, the files in work with their states and clocks, a progress bar, the latest trouble."""

    def __init__(self, batch: Batch, out: IO[str], *, slots: int, console: Console | None = None) -> None:
        self._batch = batch
        self._console = console or Console(file=out)
        self._slots: list[FileFlow | None] = [None] * slots
        self._trouble: deque[Text] = deque([Text()] * 3, maxlen=3)
        self._began = monotonic()
        # Short, for the terminal prints ^C behind it: at the end of a full line that would begin another one.
        self._last = Text("Ctrl-C stops it; started again, it goes on", style="dim")
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self.render)

    def __enter__(self) -> Self:
        self._batch.attach(self)
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._last = Text()
        self._live.__exit__(kind, error, trace)
        self._batch.detach(self)

    async def keep_showing(self) -> None:
        """Draw it again and again."""
        while True:
            self._live.refresh()
            await anyio.sleep(FRAME)

    def heard(self, state: str, name: str, why: str) -> None:
        """Keep it for the last lines."""
        line = Text(f"{state:<9}", style=STYLES[state], no_wrap=True, overflow="ellipsis")
        self._trouble.append(line.append(f"{name}: {why}", style="not bold default"))

    def render(self) -> RenderableType:
        """What it looks like now."""
        batch = self._batch
        self._seat()
        head = Text.assemble(("Batch ", "bold"), str(batch.root), (" → ", "dim"), str(batch.store.path))
        head.no_wrap, head.overflow = True, "ellipsis"
        return Group(
            head, _ticks(batch), Text(), self._files(), Text(), self._bar(), *self._trouble, self._last
        )

    def _seat(self) -> None:
        """Give each file in work a line; those that have ended keep theirs until it is needed."""
        working = [
            child for child in self._batch.children if isinstance(child, FileFlow) and not child.is_closed
        ]
        fresh = [file for file in working if file not in self._slots]
        for i, file in enumerate(self._slots):
            if fresh and (file is None or file.is_closed):
                self._slots[i] = fresh.pop()

    def _files(self) -> Grid:
        flow: type[States] = FileFlow
        names = [name for name in flow.schema.names if name != "Exception"]
        wide = self._console.width >= WIDE
        grid = Grid(box=None, padding=(0, 1), expand=True, header_style="dim")
        grid.add_column("file", ratio=1, no_wrap=True, overflow="crop")
        room = self._console.width - (sum(len(name) + 2 for name in names) if wide else 38) - 2
        for name in names if wide else ():
            grid.add_column(name, justify="center", width=len(name))
        if not wide:
            grid.add_column("active states and ticks", width=36, no_wrap=True)
        for file in self._slots:
            if file is None:
                grid.add_row("·", style="dim")
                continue
            label = Text(_tail(file.id, room), style="dim" if file.is_closed else "")
            if wide:
                clock = file.clock
                grid.add_row(label, *(_tick(name, clock[name], bare=True) for name in names))
            else:
                grid.add_row(label, _ticks(file, active=True))
        return grid

    def _bar(self) -> Grid:
        tally = self._batch.tally
        spent = monotonic() - self._began
        bar = ProgressBar(
            total=tally.expected, completed=tally.done, pulse=tally.expected is None, width=None
        )
        grid = Grid.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_row(bar, f"{counts(self._batch)} · {tally.done / spent if spent else 0:,.0f}/s")
        return grid


def counts(batch: Batch) -> str:
    """How far a batch is, in numbers."""
    tally = batch.tally
    of = "" if tally.expected is None else f"/{tally.expected:,}"
    parts = [f"{tally.done:,}{of} files"]
    for name, number in (
        *sorted(tally.outcomes.items(), reverse=True),
        ("kept", tally.kept),
        ("retries", tally.retries),
    ):
        if number:
            parts.append(f"{name} {number:,}")
    return " · ".join(parts)


def _tail(name: str, room: int) -> str:
    """The end of a path, which tells more than its beginning."""
    return name if len(name) <= room else f"…{name[1 - room :]}"


def _ticks(machine: Machine, *, active: bool = False) -> Text:
    """The states that have ever been active, or are, with their ticks; those that are, in colour."""
    clock = machine.clock
    line = Text(" ", no_wrap=True, overflow="ellipsis").join(
        _tick(name, tick) for name, tick in clock.items() if (tick & 1 if active else tick)
    )
    return line or Text("nothing has happened yet", style="dim")


def _tick(name: str, tick: int, *, bare: bool = False) -> Text:
    style = STYLES.get(name, "bold") if tick & 1 else "dim"
    if bare:
        return Text(f"● {tick}" if tick & 1 else str(tick or "·"), style=style)
    return Text(f"{name}:{tick}", style=style)
