"""A bounded buffer of what was said, and the thread that writes it. Putting something in never waits, and never fails."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from itertools import count
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from amachine.tracers.lines import DroppedLine, encode, when

if TYPE_CHECKING:
    from amachine.tracers.rotating import RotatingFile

PAUSE = 0.05
"""Seconds between two batches: what a killed process may lose."""
RETRY = 5.0
"""Seconds until a file that could not be written is tried again."""

logger: logging.Logger = logging.getLogger("amachine.jsonl")


class Writer:
    """What is put in is a tuple: a function that makes a `Line`, and its arguments. The thread begins with the first one."""

    def __init__(self, file: RotatingFile, *, buffer: int, now: Callable[[], float]) -> None:
        self.file: RotatingFile = file
        self._limit = buffer
        self._now = now
        self._failed_at: float | None = None
        self._owner: ref[object] = ref(self)
        self._begin()
        _writers.add(self)

    def _begin(self) -> None:
        # A SimpleQueue may be put to from anywhere, even from a finaliser in the middle of another `put`: it has no lock at
        # which a thread could wait for itself. Nor has a count, of which the next number is taken in one step.
        self._buffer: SimpleQueue[tuple[Any, ...] | Event] = SimpleQueue()
        self._lost = count()
        self._looks = 0
        self._looking = Lock()
        self._told = 0
        self._writing = Lock()
        self._starting = Lock()
        self._hurry = Event()
        self._thread: Thread | None = None

    def serve(self, owner: object) -> None:
        """Write as long as this object lives, and then what is left."""
        self._owner = ref(owner, lambda _: self._buffer.put(Event()))  # that wakes the thread

    def put(self, said: tuple[Any, ...]) -> None:
        """Keep a line to be written, or drop it."""
        if self._buffer.qsize() >= self._limit:
            next(self._lost)
            return
        self._buffer.put(said)
        if self._thread is None and self._starting.acquire(blocking=False):
            self._thread = made = Thread(target=self._run, name="amachine-jsonl", daemon=True)
            try:
                made.start()
            except RuntimeError:  # the interpreter is about to end: closing will write
                self._thread = None
                self._starting.release()

    def _run(self) -> None:
        while True:
            self.write([self._buffer.get(), *self._take()])
            if self._owner() is None and self._buffer.empty():
                self.file.close()
                return
            self._hurry.wait(PAUSE)  # lines gather, unless somebody waits for them
            self._hurry.clear()

    def _take(self) -> list[tuple[Any, ...] | Event]:
        taken: list[tuple[Any, ...] | Event] = []
        try:
            while len(taken) < self._limit:
                taken.append(self._buffer.get_nowait())
        except Empty:
            pass
        return taken

    @property
    def dropped(self) -> int:
        """How many were dropped so far."""
        with self._looking:
            self._looks += 1  # to look is to take a number, too
            return next(self._lost) - self._looks + 1

    def _drop(self, lines: int) -> None:
        for _ in range(lines):
            next(self._lost)

    def flush(self, timeout: float | None) -> bool:
        """Wait until all that is in the buffer now has been written, or dropped. False when that takes longer."""
        if self._thread is None or not self._thread.is_alive() or self._thread is current_thread():
            self.write(self._take())
            return True
        done = Event()
        self._buffer.put(done)
        self._hurry.set()
        return done.wait(timeout)

    def close(self, timeout: float | None) -> bool:
        """Write, and close the file."""
        flushed = self.flush(timeout)
        if flushed:
            with self._writing:
                self.file.close()
        return flushed

    def write(self, said: list[tuple[Any, ...] | Event]) -> None:
        """Write lines, after how many were dropped before them; then tell who waits for it."""
        lines: list[bytes] = []
        for each in said:
            if not isinstance(each, Event):
                try:
                    lines.append(encode(each[0](*each[1:])))
                except Exception:
                    self._drop(1)
                    logger.exception("a line for %s cannot be made", self.file.path)
        with self._writing:
            self._write_lines(lines)
        for each in said:
            if isinstance(each, Event):
                each.set()

    def _write_lines(self, lines: list[bytes]) -> None:
        lost = self.dropped - self._told
        if self._failed_at is not None and monotonic() - self._failed_at < RETRY:
            self._drop(len(lines))
            return
        if lost:
            lines = [encode(DroppedLine(at=when(self._now()), what="dropped", lines=lost)), *lines]
        if not lines:
            return
        before = self.file.total
        try:
            self.file.write(lines)
            self._failed_at = None
        except Exception as error:  # noqa: BLE001  # nothing that happens here may reach a machine
            if self._failed_at is None:
                text = "%s cannot be written (%s): lines are dropped, and it is tried again every %g s"
                logger.warning(text, self.file.path, error, RETRY)
            self._failed_at = monotonic()
        written = self.file.total - before
        if lost and written:
            self._told += lost
        self._drop(len(lines) - max(written, bool(lost)))

    def after_fork(self) -> None:
        """In the child: what waits is the parent's, and so is the file."""
        path = self.file.path
        self.file.close()
        self.file.path = path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}")
        self._begin()


_writers: WeakSet[Writer] = WeakSet()


def _close_all() -> None:
    for writer in tuple(_writers):
        writer.close(5.0)


def _after_fork() -> None:
    for writer in tuple(_writers):
        writer.after_fork()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
