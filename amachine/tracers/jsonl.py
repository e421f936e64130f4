"""What machines do, as lines of JSON in a file: for `grep`, for programs, and for the day after.

A hook makes arguments into text and puts a few values into a bounded buffer; a thread writes them. So nothing that a disk
does reaches a machine: lines that do not fit, or cannot be written, are dropped, and a line says how many. The format is told
in `amachine.tracers.lines`, which also reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Self

from amachine.mutation import ErrorInfo
from amachine.tracers.base import Tracer
from amachine.tracers.lines import (
    Line,
    MachineLine,
    QueuedLine,
    TaskLine,
    WaitLine,
    said_line,
    transition_line,
    when,
)
from amachine.tracers.lines import read as read
from amachine.tracers.log import LogLevel
from amachine.tracers.record import LogLine, Record, fields_of
from amachine.tracers.rotating import RotatingFile
from amachine.tracers.shown import ArgsMapper, Mapper, error_text
from amachine.tracers.writing import Writer

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from amachine.handlers import Call
    from amachine.machine import Machine
    from amachine.mutation import Mutation
    from amachine.subscriptions import Wait
    from amachine.transition import Transition


class JsonlTracer(Tracer):
    """Writes what its machines do to a file, a JSON object a line: `Flow(tracers=[JsonlTracer("flow.jsonl")])`.

    `level` is as in the log, by default `changes`: `external`: what failed, and what a `LogCapture` hands on; `changes`:
    machines that open and close, and every transition that changed something or refused what somebody asked for;
    `operations`: all transitions, what is queued, and tasks; `decisions`: who was left out, and why; `everything`: handlers,
    how long they took, and waits.

    The file is made with its folder; `{pid}` in the path becomes the id of the process. It gives way to another when it would
    be larger than `max_bytes`, or when it is older than `max_age` seconds; `keep` of the old ones stay (None: all, or never).
    Two processes must not write one file: a forked child writes its own, with its id in the name.

    At most `buffer` lines wait to be written; more are dropped, the newest first. Lines are handed to the system at the latest
    0.05 s after they were said. `args` makes arguments into text; None: without them. Call `close()` in the end, or leave
    `with`; at the end of the program that is done by itself. Errors: ValueError for limits that nothing fits in.
    """

    if not TYPE_CHECKING:  # its signature is that of `__init__`

        def __new__(cls, path: object, *, level: LogLevel | str = "changes", **_: Any) -> Self:  # noqa: ARG004
            """Make one of the class for this level."""
            # A hook that is not overridden costs nothing: each level is a class, with the hooks that it needs.
            return object.__new__(_CLASSES[_level(level)] if cls is JsonlTracer else cls)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        level: LogLevel | str = "changes",
        max_bytes: int | None = 16 * 2**20,
        max_age: float | None = 24 * 3600.0,
        keep: int | None = 10,
        buffer: int = 10_000,
        args: Mapper | None = ArgsMapper(limit=200),  # noqa: B008  # frozen
        inheritable: bool = True,
        now: Callable[[], float] = time,
    ) -> None:
        limits = (
            ("max_bytes", max_bytes, 1),
            ("max_age", max_age, 0.001),
            ("keep", keep, 0),
            ("buffer", buffer, 1),
        )
        for name, value, least in limits:
            if (value is None and name == "buffer") or (value is not None and value < least):
                raise ValueError(f"{name} is {value}: at least {least:g}{', or None' * (name != 'buffer')}")
        self.level: LogLevel = _level(level)
        self.inheritable = inheritable
        self._args = args
        self._now = now
        self._numbers = count(1)
        where = Path(os.fspath(path).replace("{pid}", str(os.getpid())))
        file = RotatingFile(where, max_bytes=max_bytes, max_age=max_age, keep=keep, now=now)
        self._writer = Writer(file, buffer=buffer, now=now)
        self._writer.serve(self)
        self._put = self._writer.put

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._writer.file.path

    @property
    def dropped(self) -> int:
        """How many lines were dropped so far: for want of room, or because they could not be written."""
        return self._writer.dropped

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Wait until all that was said has been written, or dropped. False when that takes longer than `timeout` seconds."""
        return self._writer.flush(timeout)

    def close(self, timeout: float | None = 5.0) -> bool:
        """`flush`, and close the file. What is said later opens it again. False as in `flush`."""
        return self._writer.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_said(self, line: LogLine) -> None:
        """Write a line of the log. For a `LogCapture`."""
        self._put((said_line, line))

    def _when(self) -> datetime:
        return when(self._now())

    def _say(self, line: Line) -> None:
        self._put((_itself, line))

    def _ended(self, t: Transition, without: dict[str, str] | None = None) -> None:
        self._put((_transition, fields_of(t, next(self._numbers), self._now(), self._args), without))

    def __repr__(self) -> str:
        return f"<JsonlTracer {self.level.name.lower()} to {self.path}>"


class _External(JsonlTracer):
    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002  # the hook's
        """Write what failed, and the error that has become a state."""
        t = transition
        if t.failure is not None or (
            isinstance(t.args, ErrorInfo) and t.plan.enters & t.plan.schema.exception
        ):
            self._ended(t)


class _Changes(JsonlTracer):
    def machine_opened(self, machine: Machine) -> None:
        """Write how a machine stands."""
        self._stands("opened", machine)

    def machine_closed(self, machine: Machine) -> None:
        """Write how a machine stood."""
        self._stands("closed", machine)

    def _stands(self, what: str, machine: Machine) -> None:
        clock = {name: tick for name, tick in machine.clock.items() if tick}
        active = tuple(name for name, tick in clock.items() if tick & 1)
        kind = type(machine).__name__
        self._say(
            MachineLine(at=self._when(), what=what, machine=machine.id, type=kind, active=active, clock=clock)
        )

    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002
        """Write what has changed, or was refused."""
        t = transition
        if t.failure is not None or (t.plan.moved if t.was_committed else not t.auto):
            self._ended(t)


class _Operations(_Changes):
    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002
        """Write it."""
        self._ended(transition)

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        """Write what has to wait."""
        m = mutation
        self._say(
            QueuedLine(
                at=self._when(),
                what="queued",
                machine=machine.id,
                kind=m.kind,
                called=m.states,
                args={} if m.args is None or self._args is None else {**self._args(m.args)},
                queue_tick=m.queue_tick,
                cause="" if m.source is None else m.source.transition,
                auto=m.auto,
            )
        )

    def task_started(self, machine: Machine, name: str, state: str | None) -> None:
        """Write that it begins."""
        self._task(machine, name, state, "started")

    def task_ended(self, machine: Machine, name: str, state: str | None, error: BaseException | None) -> None:
        """Write how it ended."""
        if isinstance(error, Exception):
            self._task(machine, name, state, "failed", error_text(error, self._args))
        else:
            self._task(machine, name, state, "done" if error is None else "cancelled")

    def _task(self, machine: Machine, name: str, state: str | None, outcome: str, error: str = "") -> None:
        self._say(
            TaskLine(
                at=self._when(), what="task", machine=machine.id, name=name, state=state or "", outcome=outcome,
                error=error,
            )
        )  # fmt: skip


class _Decisions(_Operations):
    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002
        """Write it, and who was left out."""
        self._ended(transition, transition.left_out)


class _Everything(_Decisions):
    def handler_ended(self, machine: Machine, transition: Transition, call: Call, seconds: float) -> None:
        """Nothing: that there is such a hook lets the record keep durations."""

    def wait_made(self, machine: Machine, wait: Wait[Any]) -> None:
        """Write that somebody waits."""
        self._waits(machine, wait, done=False)

    def wait_met(self, machine: Machine, wait: Wait[Any]) -> None:
        """Write that somebody has waited long enough."""
        self._waits(machine, wait, done=True)

    def _waits(self, machine: Machine, wait: Wait[Any], *, done: bool) -> None:
        t = machine.transition
        cause = "" if t is None else t.id
        self._say(
            WaitLine(
                at=self._when(), what="wait", machine=machine.id, label=wait.label, done=done, cause=cause
            )
        )


class _Nothing(JsonlTracer):
    pass


_CLASSES: dict[LogLevel, type[JsonlTracer]] = {
    LogLevel.NOTHING: _Nothing,
    LogLevel.EXTERNAL: _External,
    LogLevel.CHANGES: _Changes,
    LogLevel.OPERATIONS: _Operations,
    LogLevel.DECISIONS: _Decisions,
    LogLevel.EVERYTHING: _Everything,
}


def _level(level: LogLevel | str) -> LogLevel:
    return LogLevel.read(level) if isinstance(level, str) else LogLevel(level)


# -- what becomes of the values, in the thread that writes


def _transition(fields: tuple[Any, ...], without: dict[str, str] | None) -> Line:
    return transition_line(Record(*fields), without=without)


def _itself(line: Line) -> Line:
    return line
