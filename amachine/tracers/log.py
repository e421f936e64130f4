"""Machines in the log: one readable line for each thing that happens, through the standard library's logging.

Five levels, each with all that is said by those before it, and each with a logger of its own, so that the usual
settings of `logging` can let through, or keep out, what a program wants:

| level        | logger                | lines                                                                 |
|--------------|-----------------------|-----------------------------------------------------------------------|
| `external`   | `amachine.external`   | what your own code says with `machine_log`; `[error]`                 |
| `changes`    | `amachine.changes`    | `[open]` `[close]` `[schema]` `[state]`, `[cancel]` of what was asked |
| `operations` | `amachine.operations` | `[add]` `[remove]` `[set]` `[auto]` `[queue]` `[task]`                |
| `decisions`  | `amachine.decisions`  | `[cancel]` of auto mutations, `[without]` who was left out, `[veto]`  |
| `everything` | `amachine.everything` | `[call]` handlers and how long, `[same]`, `[wait]`, `[idle]`          |

In `[state]` a plus is an entered state, a minus one that ended, `*` one that was re-entered, and `!` one that entered
and was put back because its handler failed. External lines and changes are INFO, errors WARNING, all else DEBUG. Each
record has the attributes `machine`, `transition` (an id, or empty) and `tag`.

With `AMACHINE_LOG=changes` in the environment every machine logs, and if the program has not set up logging, to stderr.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, MutableMapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

from amachine.errors import nearest
from amachine.mutation import ErrorInfo
from amachine.tracers.base import Tracer
from amachine.tracers.shown import (
    ArgsMapper,
    Mapper,
    call_text,
    changes_of,
    clean,
    error_text,
    mutation_text,
    seconds_text,
    transition_text,
)

if TYPE_CHECKING:
    from amachine.handlers import Call
    from amachine.machine import Machine
    from amachine.mutation import Mutation
    from amachine.schema import Schema
    from amachine.subscriptions import Wait
    from amachine.transition import Transition

VARIABLE = "AMACHINE_LOG"
"""The environment variable with the level: a name or a number; `nothing`, 0 or empty: no log."""


TAGS = frozenset({
    "add", "auto", "call", "cancel", "close", "error", "idle", "open", "queue", "remove", "same", "set", "state", "task",
    "veto", "wait", "without",
})  # fmt: skip
"""The tags of lines, without that of your own: `[note]`."""


class LogLevel(IntEnum):
    """How much is logged. Each level has the lines of those below it, too."""

    NOTHING = 0
    EXTERNAL = 1
    CHANGES = 2
    OPERATIONS = 3
    DECISIONS = 4
    EVERYTHING = 5

    @classmethod
    def read(cls, text: str) -> LogLevel:
        """The level of this name or number. Errors: ValueError, which names the nearest."""
        word = text.strip().lower()
        names = {level.name.lower(): level for level in cls}
        if not word:
            return cls.NOTHING
        if word.isdecimal() and int(word) <= cls.EVERYTHING:
            return cls(int(word))
        if word not in names:
            raise ValueError(
                f"{text!r} is no log level{nearest(word, names)}: "
                f"use {', '.join(names)}, or a number up to {cls.EVERYTHING:d}"
            )
        return names[word]

    @classmethod
    def from_environment(cls) -> LogLevel:
        """The level that `AMACHINE_LOG` asks for; NOTHING without it. Errors: ValueError for any other word."""
        try:
            return cls.read(os.environ.get(VARIABLE, ""))
        except ValueError as error:
            raise ValueError(f"{VARIABLE}: {error}") from None


_loggers = {level: logging.getLogger(f"amachine.{level.name.lower()}") for level in LogLevel if level}


def _severity(level: LogLevel) -> int:
    return logging.INFO if level <= LogLevel.CHANGES else logging.DEBUG


def _heard(level: LogLevel) -> bool:
    """Whether anybody hears it: asked before a line is made, where that is often."""
    return _loggers[level].isEnabledFor(_severity(level))


class LogTracer(Tracer):
    """Logs what machines do, as far as `level`: by default what `AMACHINE_LOG` says, or else changes.

    `machine_ids=False` leaves the machine's id out of the lines. `args` makes arguments into text; None: without them.
    `without` are tags of lines that are not wanted: `LogTracer("everything", without=["wait", "idle"])`. Errors: ValueError
    for a level or a tag that does not exist.
    """

    level: LogLevel
    """How much it logs. To change it, attach another."""

    if not TYPE_CHECKING:  # its signature is that of `__init__`

        def __new__(cls, level: LogLevel | str | None = None, **_: Any) -> Self:
            """Make one of the class for this level."""
            # A hook that is not overridden costs nothing: each level is a class, with the hooks that it needs.
            return object.__new__(_CLASSES[_level(level)] if cls is LogTracer else cls)

    def __init__(
        self,
        level: LogLevel | str | None = None,
        *,
        machine_ids: bool = True,
        args: Mapper | None = ArgsMapper(),  # noqa: B008  # frozen
        without: Iterable[str] = (),
        inheritable: bool = True,
    ) -> None:
        self.level = _level(level)
        self._without = frozenset(without)
        for tag in self._without - TAGS:
            raise ValueError(f"no line has the tag {tag!r}{nearest(tag, TAGS)}: {', '.join(sorted(TAGS))}")
        self.inheritable = inheritable
        self._ids = machine_ids
        self._args = args

    def _line(
        self, level: LogLevel, tag: str, machine: Machine, text: str, t: Transition | None = None
    ) -> None:
        if tag in self._without:
            return
        logger = _loggers[level]
        severity = logging.WARNING if tag == "error" else _severity(level)
        if logger.isEnabledFor(severity):
            line = " ".join(part for part in (f"[{tag}]", machine.id if self._ids else "", text) if part)
            extra = {"machine": machine.id, "transition": "" if t is None else t.id, "tag": tag}
            logger.log(severity, "%s", line, extra=extra)

    def __repr__(self) -> str:
        return f"<LogTracer {self.level.name.lower()}>"


class _External(LogTracer):
    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        """Tell of an error that has become a state."""
        if (
            isinstance(transition.args, ErrorInfo)
            and transition.plan.enters & transition.plan.schema.exception
        ):
            info = transition.args
            where = f" in {info.handler}" if info.handler else ""
            self._line(
                LogLevel.EXTERNAL,
                "error",
                machine,
                f"{error_text(info.error, self._args)}{where}",
                transition,
            )


class _Changes(_External):
    def machine_opened(self, machine: Machine) -> None:
        """Tell of a machine that is seen for the first time."""
        self._line(LogLevel.CHANGES, "open", machine, str(machine.clock))

    def schema_changed(self, machine: Machine, before: Schema) -> None:
        """Tell what another schema changes."""
        from amachine.saved import differences

        what = "; ".join(differences(before.states, machine.schema)) or "nothing that relations know of"
        self._line(LogLevel.CHANGES, "schema", machine, f"version {machine.schema_version}: {what}")

    def machine_closed(self, machine: Machine) -> None:
        """Tell of a machine that is over."""
        self._line(LogLevel.CHANGES, "close", machine, str(machine.clock))

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        """Tell what has changed, or why it did not."""
        t = transition
        super().transition_ended(machine, t)
        if t.plan.moved and t.was_committed and _heard(LogLevel.CHANGES):
            self._line(LogLevel.CHANGES, "state", machine, changes_of(t), t)
        if not t.accepted:
            level = LogLevel.DECISIONS if t.auto else LogLevel.CHANGES
            if level <= self.level and _heard(level):
                self._line(
                    level,
                    "cancel",
                    machine,
                    f"{transition_text(t, self._args)}: {clean(t.why, self._args, 300)}",
                    t,
                )


class _Operations(_Changes):
    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        """Tell of a mutation that has to wait."""
        tick = f" at {mutation.queue_tick}" if mutation.queue_tick is not None else " in front"
        self._line(
            LogLevel.OPERATIONS,
            "queue",
            machine,
            f"{mutation_text(mutation, self._args)}{tick}",
            machine.transition,
        )

    def transition_started(self, machine: Machine, transition: Transition) -> None:
        """Tell what is asked, and by whom."""
        t = transition
        if not _heard(LogLevel.OPERATIONS):
            return
        states = ", ".join(t.called) or "(no states)"
        args = call_text(self._args(t.args)) if self._args is not None and t.args is not None else ""
        cause = f" by {t.cause.transition}" if t.cause is not None else ""
        self._line(
            LogLevel.OPERATIONS, "auto" if t.auto else t.kind.value, machine, f"{states}{args}{cause}", t
        )

    def task_started(self, machine: Machine, name: str, state: str | None) -> None:
        """Tell of background work that begins."""
        self._line(LogLevel.OPERATIONS, "task", machine, f"{name} of {state or 'the machine'} started")

    def task_ended(self, machine: Machine, name: str, state: str | None, error: BaseException | None) -> None:
        """Tell of background work that is over, and how."""
        if error is None:
            how = "done"
        else:
            how = f"failed: {error_text(error, self._args)}" if isinstance(error, Exception) else "cancelled"
        self._line(LogLevel.OPERATIONS, "task", machine, f"{name} of {state or 'the machine'} {how}")


class _Decisions(_Operations):
    def transition_negotiated(self, machine: Machine, transition: Transition) -> None:
        """Tell which states stay out, and who said so."""
        t = transition
        if not _heard(LogLevel.DECISIONS):
            return
        for call in t.vetoes:
            self._line(LogLevel.DECISIONS, "veto", machine, call.label, t)
        for state, why in t.left_out.items():
            self._line(LogLevel.DECISIONS, "without", machine, f"{state}: {why}", t)


class _Everything(_Decisions):
    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        """Tell of a transition that changed nothing, too."""
        super().transition_ended(machine, transition)
        if transition.accepted and not transition.plan.moved:
            self._line(
                LogLevel.EVERYTHING, "same", machine, transition_text(transition, self._args), transition
            )

    def handler_ended(self, machine: Machine, transition: Transition, call: Call, seconds: float) -> None:
        """Tell of a handler, and how long it took."""
        asked = " (asked only)" if transition.is_check else ""
        self._line(
            LogLevel.EVERYTHING, "call", machine, f"{call.label} {seconds_text(seconds)}{asked}", transition
        )

    def wait_made(self, machine: Machine, wait: Wait[Any]) -> None:
        """Tell that somebody waits."""
        self._line(LogLevel.EVERYTHING, "wait", machine, f"{wait.label} …", machine.transition)

    def wait_met(self, machine: Machine, wait: Wait[Any]) -> None:
        """Tell that somebody has waited long enough."""
        self._line(LogLevel.EVERYTHING, "wait", machine, f"{wait.label} done", machine.transition)

    def queue_drained(self, machine: Machine) -> None:
        """Tell that nothing is left to do."""
        self._line(LogLevel.EVERYTHING, "idle", machine, "")


class _Nothing(LogTracer):
    pass


_CLASSES: dict[LogLevel, type[LogTracer]] = {
    LogLevel.NOTHING: _Nothing,
    LogLevel.EXTERNAL: _External,
    LogLevel.CHANGES: _Changes,
    LogLevel.OPERATIONS: _Operations,
    LogLevel.DECISIONS: _Decisions,
    LogLevel.EVERYTHING: _Everything,
}


def _level(level: LogLevel | str | None) -> LogLevel:
    if level is None:
        return LogLevel.from_environment() or LogLevel.CHANGES
    return LogLevel.read(level) if isinstance(level, str) else LogLevel(level)


class MachineLog(logging.LoggerAdapter[logging.Logger]):
    """A logger for your own lines about a machine: they have its id, and the transition that they were said in."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(_loggers[LogLevel.EXTERNAL])
        self._machine = machine

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line. As everywhere in `logging`, arguments are put into the text only when it is needed."""
        if self.isEnabledFor(level):
            text, options = self.process(msg, kwargs)
            options["stacklevel"] = options.get("stacklevel", 1) + 1
            # Only with arguments does `logging` read percent signs: those of the id must then stay what they are.
            name = self._machine.id.replace("%", "%%") if args else self._machine.id
            self.logger.log(level, f"[note] {name} {text}", *args, **options)  # noqa: G004  # the text is the caller's

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Add the machine, and the transition that runs."""
        from amachine.conduct import current

        t = current.get()
        extra: Mapping[str, Any] = kwargs.get("extra") or {}
        about = {"machine": self._machine.id, "transition": "" if t is None else t.id, "tag": "note"}
        kwargs["extra"] = {**about, **extra}
        return msg, kwargs


def machine_log(machine: Machine) -> MachineLog:
    """A logger for your own lines about a machine: `machine_log(flow).info("read %s", path)`."""
    return MachineLog(machine)


def log_all() -> LogTracer | None:
    """Let every machine that is made from now on log as `AMACHINE_LOG` says; None, and nothing, where it does not.

    Where no handler would see the lines, one that writes to stderr is added to the logger `amachine`.
    Errors: ValueError for a level that does not exist.
    """
    from amachine.binding import everywhere

    level = LogLevel.from_environment()
    if not level:
        return None
    for each in everywhere:
        if isinstance(each, LogTracer):  # asked before: the facade does so where the variable is set
            return each
    tracer = LogTracer(level)
    everywhere.append(tracer)
    logger = logging.getLogger("amachine")
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
    return tracer
