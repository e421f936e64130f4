"""What machines did, as lines of JSON: their format, version 1, how it is written, and how it is read.

A file is UTF-8. Each line is an object; `at`, a time in UTC, and `what` come first, and what has nothing to say is left out. The
first line says `file`. Lines that begin with `#` are for people. A program that reads must skip keys and kinds of lines that it
does not know: they may be added without a new version. Nothing that is read is ever run.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from amachine.errors import ProtocolError
from amachine.mutation import Kind  # noqa: TC001  # msgspec asks for types at run time

if TYPE_CHECKING:
    from amachine.tracers.record import LogLine, Record

FORMAT = "amachine"
VERSION = 1


class Line(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A line of a kind that this version does not know; the base of those that it does."""

    at: datetime
    """When it happened."""
    what: str = ""
    """The kind of line."""


class FileLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """The first line of a file."""

    format: str = ""
    version: int = 0
    pid: int = 0
    python: str = ""
    reason: str = ""
    """Why it was written, in a crash dump: `crash`, `exit` or what the program said."""
    error: str = ""
    """In a crash dump: the error that nobody handled."""
    traceback: str = ""


class MachineLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """A machine was `opened` to the tracer, or `closed`; in a crash dump: how a `machine` stood."""

    machine: str
    type: str = ""
    """Its class."""
    active: tuple[str, ...] = ()
    clock: dict[str, int] = {}
    """The ticks of the states that have ever changed."""


class Handler(msgspec.Struct, frozen=True, array_like=True):
    """A handler that ran: `["StartState", "Flow.begin", 0.12]`."""

    name: str
    where: str
    ms: float


class TransitionLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """A `transition` has ended."""

    id: str
    """The machine's id and the number."""
    machine: str
    kind: Kind
    called: tuple[str, ...] = ()
    outcome: str
    """`executed`, `canceled`, or `failed`: a handler raised."""
    why: str = ""
    """One sentence on what canceled it, or failed."""
    enters: tuple[str, ...] = ()
    exits: tuple[str, ...] = ()
    reenters: tuple[str, ...] = ()
    """Multi states that were active, and entered again."""
    put_back: tuple[str, ...] = ()
    """States that entered, and were deactivated again because a handler failed."""
    active: tuple[str, ...] = ()
    """The states that were active after it."""
    ticks: dict[str, int] = {}
    """The ticks, after it, of the states that changed."""
    args: dict[str, str] = {}
    """The arguments of the mutation as short texts, without secrets."""
    cause: str = ""
    """Id of the transition in whose handler, task or callback it was asked for."""
    by: str = ""
    """That transition's mutation, in words."""
    depth: int = 0
    auto: bool = False
    committed: bool = False
    """Only said where the outcome does not tell: it failed after the commit."""
    queue_tick: int | None = None
    without: dict[str, str] = {}
    """At the level `decisions`: the states that were left out, and why."""
    handlers: tuple[Handler, ...] = ()
    """At the level `everything`."""
    traceback: str = ""
    """That of the handler that raised."""

    @property
    def accepted(self) -> bool:
        """Whether it was committed, and no handler failed."""
        return self.outcome == "executed"


class QueuedLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """A mutation was `queued`: a transition will tell what comes of it."""

    machine: str
    kind: Kind
    called: tuple[str, ...] = ()
    args: dict[str, str] = {}
    queue_tick: int | None = None
    """When its turn comes; None: in front."""
    cause: str = ""
    auto: bool = False


class TaskLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """A background `task` of a state."""

    machine: str
    name: str
    state: str = ""
    outcome: str
    """`started`, `done`, `cancelled` or `failed`."""
    error: str = ""


class WaitLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """Somebody began to `wait`, or has waited long enough. At the level `everything`."""

    machine: str
    label: str
    done: bool = False
    cause: str = ""
    """Id of the transition that ran."""


class SaidLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """A line of the `log`, said in a transition or its task. There are some where a `LogCapture` hands them on."""

    severity: str
    logger: str
    text: str
    machine: str = ""
    transition: str = ""
    fields: dict[str, str] = {}


class DroppedLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """So many lines were `dropped` here, because they came faster than they could be written, or could not be."""

    lines: int


AnyLine: TypeAlias = (
    FileLine | MachineLine | TransitionLine | QueuedLine | TaskLine | WaitLine | SaidLine | DroppedLine | Line
)

_KINDS: dict[str, type[Line]] = {
    "file": FileLine,
    "opened": MachineLine,
    "closed": MachineLine,
    "machine": MachineLine,
    "transition": TransitionLine,
    "queued": QueuedLine,
    "task": TaskLine,
    "wait": WaitLine,
    "log": SaidLine,
    "dropped": DroppedLine,
}


# -- to write


def when(at: float) -> datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(at, UTC)


def first_line(at: float, **more: str) -> FileLine:
    """The line that a file begins with."""
    python = ".".join(map(str, sys.version_info[:3]))
    return FileLine(
        at=when(at), what="file", format=FORMAT, version=VERSION, pid=os.getpid(), python=python, **more
    )


def transition_line(record: Record, *, without: dict[str, str] | None = None) -> TransitionLine:
    """The line of a transition."""
    r = record
    reenters = set(r.reenters)
    after = r.time_after
    names = {*r.enters, *r.exits}
    return TransitionLine(
        at=when(r.at),
        what="transition",
        id=r.id,
        machine=r.machine,
        kind=r.kind,
        called=r.called,
        outcome="executed" if r.accepted else "failed" if r.failed else "canceled",
        why=r.why,
        enters=tuple(name for name in r.enters if name not in reenters),
        exits=r.exits,
        reenters=r.reenters,
        put_back=r.put_back,
        active=r.active,
        ticks={name: after[i] for i, name in enumerate(r.schema.names) if name in names},
        args={**r.args},
        cause=r.cause,
        by=r.cause_mutation,
        depth=r.depth,
        auto=r.auto,
        committed=r.committed and not r.accepted,
        queue_tick=r.queue_tick,
        without=without or {},
        handlers=tuple(Handler(run.name, run.where, round(run.seconds * 1e3, 3)) for run in r.runs),
        traceback=r.traceback,
    )


def said_line(line: LogLine) -> SaidLine:
    """The line of a line of the log."""
    return SaidLine(
        at=when(line.at),
        what="log",
        severity=line.severity,
        logger=line.logger,
        text=line.text,
        machine=line.machine,
        transition=line.transition,
        fields={**line.fields},
    )


def encode(line: Line) -> bytes:
    """A line as bytes, its end included."""
    try:
        return msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, as file names may have
        return msgspec.json.encode(_writable(msgspec.to_builtins(line))) + b"\n"


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_writable(name): _writable(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_writable(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value


# -- to read


def read(path: str | Path, *, strict: bool = False) -> Iterator[AnyLine]:
    """Every line of a file, and before it those of the files that it was rotated into, from the oldest on.

    A line that was cut, as by a crash, is left out; with `strict` it is a `ProtocolError` that names file and line. Errors:
    `FileNotFoundError` where there is none of these files; `ProtocolError` for a format of a later version.
    """
    path = Path(path)
    files = [*rotated(path), *([path] if path.exists() else [])]
    if not files:
        raise FileNotFoundError(f"there is no file {path}, and none that it was rotated into")
    for file in files:
        yield from _read_file(file, strict=strict)


def _read_file(file: Path, *, strict: bool) -> Iterator[AnyLine]:
    kind = msgspec.json.Decoder(Line)
    decoders = {what: msgspec.json.Decoder(made) for what, made in _KINDS.items()}
    with file.open("rb") as lines:
        for number, text in enumerate(lines, start=1):
            if not text.strip() or text.startswith(b"#"):
                continue
            try:
                line: Any = kind.decode(text)
                if line.what in decoders:
                    line = decoders[line.what].decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if strict:
                    raise ProtocolError(
                        f"{file}:{number}: {error}", got=text, expected="a line of JSON"
                    ) from error
                continue
            if isinstance(line, FileLine) and (line.format != FORMAT or line.version > VERSION):
                found = f"{line.format or 'an unnamed format'} {line.version}"
                raise ProtocolError(
                    f"{file}:{number}: this is {found}, not {FORMAT} up to {VERSION}",
                    got=found,
                    expected=f"{FORMAT} {VERSION}",
                )
            yield line


def rotated(path: Path) -> list[Path]:
    """The files that a file was rotated into, the oldest first."""
    form = re.compile(rf"{re.escape(path.stem)}\.\d{{8}}T\d{{6}}\.\d{{6}}{re.escape(path.suffix)}")
    try:
        return sorted(each for each in path.parent.iterdir() if form.fullmatch(each.name))
    except FileNotFoundError:
        return []


def rotated_name(path: Path, at: float) -> Path:
    """What a file is called once another takes its place."""
    return path.with_name(f"{path.stem}.{when(at):%Y%m%dT%H%M%S.%f}{path.suffix}")
