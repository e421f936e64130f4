"""Lines of the standard library's logging, tied to the transitions in which they were said.

Machines speak to `logging` through `LogTracer` and `machine_log`; this is the other way: what any code says while a handler, a
task or a callback of a machine runs is known to belong there. It changes no logger and no record of others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from amachine.conduct import current
from amachine.tracers.record import LogLine
from amachine.tracers.shown import ArgsMapper, Mapper, clean

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "machine",
    "transition",
    "tag",
}
"""The attributes that every record has, or that say what a `LogLine` says anyway."""

_TOLD = tuple(f"amachine.{level}" for level in ("changes", "operations", "decisions", "everything"))
"""The loggers of a `LogTracer`: what they say, tracers know by themselves."""


class Listener(Protocol):
    """What lines are handed on to: a `Recorder`, a `JsonlTracer`, or your own."""

    def log_said(self, line: LogLine, /) -> None:
        """Take a line. It is said in the thread that logs: this must be quick, and must not wait."""


class LogContext(logging.Filter):
    """Gives records the attributes `machine` and `transition`, for formats such as `%(transition)s %(message)s`.

    `handler.addFilter(LogContext())`. Both are empty where no transition runs. It keeps nothing out.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes, unless the record has them."""
        machine, transition = where_is(record)
        record.__dict__.setdefault("machine", machine)
        record.__dict__.setdefault("transition", transition)
        return True


class LogCapture(logging.Handler):
    """Hands the lines that are said in transitions, and in their tasks, to tracers: `LogCapture(recorder, jsonl)`.

    Add it to a logger, such as `logging.getLogger()`. `outside=True`: lines that belong to no transition, too. `args` makes
    what was given as `extra` into text; the text of the line is freed of secrets as `args` says.
    """

    def __init__(
        self,
        *listeners: Listener,
        level: int | str = logging.NOTSET,
        outside: bool = False,
        args: Mapper = ArgsMapper(limit=200),  # noqa: B008  # frozen
    ) -> None:
        super().__init__(level)
        if not listeners:
            raise ValueError("a LogCapture without listeners would be silent: LogCapture(recorder)")
        self._listeners = listeners
        self._outside = outside
        self._args = args

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on."""
        if record.name in _TOLD:
            return
        machine, transition = where_is(record)
        if not transition and not self._outside:
            return
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text = f"{text} ({record.exc_info[1]!r})"
            extra = {name: value for name, value in record.__dict__.items() if name not in _OWN}
            line = LogLine(
                record.created,
                record.levelname,
                record.name,
                clean(text, self._args),
                machine,
                transition,
                self._args(extra) if extra else {},
            )
            for listener in self._listeners:
                listener.log_said(line)
        except Exception:  # noqa: BLE001  # as every handler of logging does
            self.handleError(record)


def where_is(record: logging.LogRecord) -> tuple[str, str]:
    """The ids of the machine and the transition that a record belongs to; empty where there is none.

    What the record says itself, as those of `machine_log` and `LogTracer` do, counts more than where it was made.
    """
    t = current.get()
    said: Mapping[str, Any] = record.__dict__
    transition = said.get("transition", "" if t is None else t.id)
    machine = said.get("machine", "" if t is None else t.machine)
    return (machine if isinstance(machine, str) else ""), (transition if isinstance(transition, str) else "")
