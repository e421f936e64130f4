"""The life of one file, as a machine: found, read, hashed and compressed side by side, stored.

The relations do the work. An attempt is one activation of `reading`: whatever ends it (success, failure, Ctrl-C) ends
its tasks and takes `hashed` and `compressed` along, so nothing half-done is ever stored. Nothing here waits for
anything but its own tasks, and blocking work is done in threads.
"""

from __future__ import annotations

import errno
import lzma
import os
import stat
import zlib
from collections.abc import Callable
from hashlib import sha256
from time import sleep
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync

from amachine import ErrorInfo, Event, Machine, State, exclusive, relate
from amachine.tools.demo.store import Store
from amachine.tools.demo.values import Attempt, Digest, Found, Outcome, Packed, Rules, Trouble

A = TypeVar("A")
R = TypeVar("R")


class FileFlow(Machine):
    """One file on its way from a folder into the database."""

    discovered = State(doc="The walk found it; nothing has been done yet.")
    reading = State(Attempt, doc="One attempt: its content is read, then hashed and compressed.")
    hashed = State(Digest, require=[reading])
    compressed = State(Packed, require=[reading])
    storing = State(auto=True, require=[hashed, compressed], doc="Both are there: it is being written.")
    stored = State(Outcome, doc="Its row is in the database.")
    retrying = State(Trouble, remove=["Exception"], doc="An attempt failed; the next one is due soon.")
    skipped = State(Outcome, doc="It was refused.")
    failed = State(Outcome, doc="Every attempt failed.")

    phase = exclusive(discovered, reading, stored, retrying, skipped, failed)
    _ = relate("Exception", remove=[reading])

    def __init__(self, file: Found, store: Store, rules: Rules, *, parent: Machine | None = None) -> None:
        super().__init__(file.name, parent=parent)
        self.file = file
        self.store = store
        self.rules = rules
        self.attempts = 0

    def attempt(self, number: int) -> None:
        """Try to read it. What is refused is skipped, and the engine says why."""
        answer = self.reading.add(number)
        if not answer:
            self.skipped.add("skipped", self.attempts, answer.why)

    # Three vetoes. They are asked before anything changes, and the first False is the answer.

    @reading.enter
    def is_regular_file(self, _: Event[Attempt]) -> bool:
        return stat.S_ISREG(self.file.mode)

    @reading.enter
    def is_small_enough(self, _: Event[Attempt]) -> bool:
        return self.file.size <= self.rules.max_size

    @reading.enter
    def is_readable(self, _: Event[Attempt]) -> bool:
        return os.access(self.file.path, os.R_OK)

    # The work: tasks that live as long as their states.

    @reading.state
    def count(self, e: Event[Attempt]) -> None:
        self.attempts = e.args.number

    @reading.task
    async def read(self, e: Event[Attempt]) -> None:
        content = await run_sync(self._step, self._content, e.args.number)
        e.spawn(self._hash, content)
        e.spawn(self._compress, content)

    async def _hash(self, content: bytes) -> None:
        self.hashed.add((await run_sync(self._step, sha256, content)).hexdigest())

    async def _compress(self, content: bytes) -> None:
        compress = lzma.compress if self.rules.method == "lzma" else zlib.compress
        self.compressed.add(len(await run_sync(self._step, compress, content)))

    @storing.task
    async def store_it(self, _: Event[None]) -> None:
        digest, packed = self.hashed.args, self.compressed.args
        assert digest is not None  # storing requires both
        assert packed is not None
        outcome = Outcome("stored", self.attempts, sha256=digest.sha256, packed=packed.size)
        await self.store.put(self.file, outcome)
        self.stored.send(outcome)

    # Errors are states: whatever a task raises enters Exception, which ends the attempt.

    @Machine.Exception.state
    def judge(self, e: Event[ErrorInfo]) -> None:
        why = f"{type(e.args.error).__name__}: {e.args.error}"
        if isinstance(e.args.error, OSError) and self.attempts < self.rules.tries:
            delay = self.rules.backoff * 2 ** (self.attempts - 1)
            self.retrying.add(why, self.attempts + 1, delay)
        else:
            self.failed.add("failed", self.attempts, why)

    @retrying.task
    async def back_off(self, e: Event[Trouble]) -> None:
        await anyio.sleep(e.args.delay)
        self.attempt(e.args.next)

    def _step(self, work: Callable[[A], R], of: A) -> R:
        """One piece of work, in a thread; at the pace that somebody who watches asks for."""
        if self.rules.pace:
            sleep(self.rules.pace)
        return work(of)

    def _content(self, attempt: int) -> bytes:
        """The whole content. Errors: OSError, also where it is no longer the file that was found."""
        file = self.file
        if self.rules.is_sabotaged(file.name, attempt):
            raise OSError(errno.EIO, "injected by --fail-rate")
        content = file.path.read_bytes()
        if len(content) != file.size:
            raise OSError(errno.ESTALE, f"{file.size} bytes when found, {len(content)} now")
        return content
