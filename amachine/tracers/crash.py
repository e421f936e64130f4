"""The last transitions of all machines in a file, when the program dies of an exception that nobody handled.

What can be had: an exception that leaves the main program or a thread, and, when asked, a normal end. What cannot: a process
that is killed, aborts, or runs out of memory executes nothing more; for those days write a `JsonlTracer`'s file as well, which
lacks at most the last 0.05 seconds, and turn on `faulthandler`. Writing a dump never raises.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Self

from amachine import binding
from amachine.tracers.lines import Line, MachineLine, encode, first_line, said_line, transition_line, when
from amachine.tracers.recorder import Recorder
from amachine.tracers.shown import ArgsMapper, Mapper, clean, error_text

if TYPE_CHECKING:
    from types import TracebackType

VARIABLE = "AMACHINE_CRASH"
"""The environment variable with a folder: crash dumps are written there, without any code."""

LAST = 12
"""How many transitions are told in words, too."""

_NAME = re.compile(r"crash-\d{8}T\d{6}\.\d{6}-\d+\.jsonl")
_logger = logging.getLogger("amachine")


def dump_on_crash(
    folder: str | os.PathLike[str],
    *,
    recorder: Recorder | None = None,
    limit: int = 1000,
    at_exit: bool = False,
    keep: int | None = 20,
    args: Mapper | None = ArgsMapper(limit=200),  # noqa: B008  # frozen
) -> CrashDump:
    """Write what a recorder has to a file in this folder when an exception is handled by nobody, in any thread.

    Without a recorder, one for the last `limit` transitions is attached to every machine that is made from now on; `args` makes
    their arguments into text. `at_exit`: also when the program ends otherwise, unless it has crashed before. `keep`: so many
    dumps stay in the folder, the newest ones; None: all. The hooks that were there before are called afterwards. Undo it with
    `uninstall()`, or use it with `with`.
    """
    if keep is not None and keep < 1:
        raise ValueError(f"keep is {keep}: at least 1, or None for all")
    return CrashDump(Path(folder), recorder, limit=limit, at_exit=at_exit, keep=keep, args=args)


class CrashDump:
    """What `dump_on_crash` has installed."""

    def __init__(
        self,
        folder: Path,
        recorder: Recorder | None,
        *,
        limit: int,
        at_exit: bool,
        keep: int | None,
        args: Mapper | None,
    ) -> None:
        self.folder = folder
        self.recorder: Recorder = recorder or Recorder(limit, args=args)
        self.last: Path | None = None
        """The file that was written last."""
        self._keep = keep
        self._args = args
        self._is_on = True
        self._everywhere = recorder is None
        if self._everywhere:
            binding.everywhere.append(self.recorder)
        self._main: Callable[..., Any] = sys.excepthook
        self._thread: Callable[..., Any] = threading.excepthook
        # Kept, for each time that it is asked for, a bound method is another object.
        self._our_main, self._our_thread = self._main_crashed, self._thread_crashed
        sys.excepthook, threading.excepthook = self._our_main, self._our_thread
        if at_exit:
            atexit.register(self._exits)

    def uninstall(self) -> None:
        """Put everything back as it was. Where another hook has been put on top of ours, that stays, and ours does nothing."""
        self._is_on = False
        if sys.excepthook is self._our_main:
            sys.excepthook = self._main
        if threading.excepthook is self._our_thread:
            threading.excepthook = self._thread
        atexit.unregister(self._exits)
        if self._everywhere and self.recorder in binding.everywhere:
            binding.everywhere.remove(self.recorder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.write("crash", error)
        self.uninstall()

    def on_loop_error(self, loop: Any, context: dict[str, Any]) -> None:
        """For `loop.set_exception_handler` of asyncio: errors of callbacks and tasks that nobody awaits reach no other hook."""
        error = context.get("exception")
        if self._is_on and (error is None or isinstance(error, Exception)):
            self.write(f"crash in an event loop: {context.get('message', '')}", error)
        loop.default_exception_handler(context)

    def _main_crashed(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if self._is_on and isinstance(error, Exception):
            self.write("crash", error)
        self._main(kind, error, trace)

    def _thread_crashed(self, crash: threading.ExceptHookArgs) -> None:
        if self._is_on and isinstance(crash.exc_value, Exception):
            name = "a thread" if crash.thread is None else f"thread {crash.thread.name}"
            self.write(f"crash in {name}", crash.exc_value)
        self._thread(crash)

    def _exits(self) -> None:
        if self._is_on and self.last is None and len(self.recorder):
            self.write("exit")

    # -- the file

    def write(self, reason: str = "asked", error: BaseException | None = None) -> Path | None:
        """Write a dump now. Returns its path; None, and one warning in the log, where that cannot be done."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self._write(reason, error)
            self._clear_up()
        except Exception as failure:  # noqa: BLE001  # the program has troubles of its own
            _logger.warning("no crash dump in %s: %r", self.folder, failure)
            return None
        self.last = path
        _logger.warning("%s: the last transitions are in %s", reason, path)
        return path

    def _write(self, reason: str, error: BaseException | None) -> Path:
        at = time()
        lines = self._lines(at, reason, error)
        while True:
            path = self.folder / f"crash-{when(at):%Y%m%dT%H%M%S.%f}-{os.getpid()}.jsonl"
            try:
                with path.open("xb") as file:
                    file.write(lines)
                return path
            except FileExistsError:  # of another thread, in the same moment
                at += 1e-6

    def _lines(self, at: float, reason: str, error: BaseException | None) -> bytes:
        trace = "" if error is None else "".join(traceback.format_exception(error))
        trace = clean(trace, self._args)
        said = "" if error is None else error_text(error, self._args, 400)
        records, log = self.recorder.records, self.recorder.log
        first = first_line(at, reason=reason, error=said, traceback=trace)
        stand: dict[str, MachineLine] = {}
        for r in records:
            ticks = {name: tick for name, tick in zip(r.schema.names, r.time_after, strict=True) if tick}
            stand.pop(r.machine, None)
            stand[r.machine] = MachineLine(
                at=when(r.at), what="machine", machine=r.machine, active=r.active, clock=ticks
            )
        happened: list[tuple[float, Line]] = [(r.at, transition_line(r)) for r in records]
        happened += [(line.at, said_line(line)) for line in log]
        happened.sort(key=_at)
        words = [
            f"amachine: {reason}{': ' if said else ''}{said}",
            f"{when(at):%Y-%m-%d %H:%M:%S} UTC, process {first.pid}, Python {first.python}",
            *(["", *trace.rstrip().splitlines()] if trace else []),
            "",
            "Machines, as their last transition left them:",
            *(f"  {line.machine} {_clock(line)}".rstrip() for line in stand.values()),
            "",
            f"{len(records)} transitions are below, {self.recorder.dropped} before them are lost. The last ones (UTC):",
            *(f"  {datetime.fromtimestamp(r.at, UTC):%H:%M:%S.%f} {r}" for r in records[-LAST:]),
        ]
        # Whatever they hold, words for people are one line each, and are behind a sign.
        told = "".join(f"# {' '.join(word.splitlines())}".rstrip() + "\n" for word in words)
        body = b"".join(encode(line) for line in (*stand.values(), *(line for _, line in happened)))
        return encode(first) + told.encode("utf-8", "backslashreplace") + body

    def _clear_up(self) -> None:
        if self._keep is not None:
            dumps = sorted(each for each in self.folder.iterdir() if _NAME.fullmatch(each.name))
            for old in dumps[: -self._keep]:
                old.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"<CrashDump to {self.folder}{'' if self._is_on else ', uninstalled'}>"


def _at(happened: tuple[float, Line]) -> float:
    return happened[0]


def _clock(line: MachineLine) -> str:
    on = [f"{name}:{tick}" for name, tick in line.clock.items() if tick & 1]
    off = [f"{name}:{tick}" for name, tick in line.clock.items() if not tick & 1]
    return " ".join([*on, *(["|", *off] if off else [])])


_asked: CrashDump | None = None


def dump_as_asked() -> CrashDump | None:
    """Install what `AMACHINE_CRASH` asks for, once; None without it."""
    global _asked  # noqa: PLW0603  # it is the process's
    folder = os.environ.get(VARIABLE)
    if folder and _asked is None:
        _asked = dump_on_crash(folder)
    return _asked
