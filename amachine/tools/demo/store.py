"""The results, in SQLite. Every write happens in `_write`, one batch at a time, and is on disk when `put` returns.

Nothing else in the workflow knows SQL.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Self

import anyio
from anyio.to_thread import run_sync

from amachine.tools.demo.values import Found, Outcome

_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    root TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('stored', 'skipped', 'failed')),
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    packed INTEGER,
    attempts INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (root, name)
) WITHOUT ROWID
"""
_OURS = 0x616D6163  # "amac": SQLite keeps a number that tells whose file it is
_PUT = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_KNOWN = "SELECT name, size, mtime_ns FROM files WHERE root = ? AND state = 'stored'"


class Store:
    """The rows of one folder. `async with Store(path, root) as store:`. Errors: `sqlite3.Error`.

    `fresh`: delete the rows of earlier runs first.
    """

    def __init__(self, path: Path, root: Path, *, fresh: bool = False) -> None:
        self.path = path
        self.known: dict[str, tuple[int, int]] = {}
        """Size and modification time of each file that an earlier run has stored."""
        self._root = str(root.resolve()).encode(errors="surrogateescape").decode(errors="backslashreplace")
        self._fresh = fresh
        self._connection: sqlite3.Connection | None = None
        self._pending: list[tuple[object, ...]] = []
        self._handed_in = 0
        self._written = 0
        self._turn = anyio.Lock()

    async def __aenter__(self) -> Self:
        await run_sync(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    async def put(self, file: Found, outcome: Outcome) -> None:
        """Write a row. Whoever's turn it is writes for all who wait, in one commit; the others find theirs written."""
        o = outcome
        self._pending.append(
            (self._root, file.name, o.state, file.size, file.mtime_ns, o.sha256, o.packed, o.attempts, o.why)
        )
        self._handed_in += 1
        mine = self._handed_in
        async with self._turn:
            if self._written < mine:
                await run_sync(self._write, tuple(self._pending))

    def _write(self, rows: tuple[tuple[object, ...], ...]) -> None:
        assert self._connection is not None
        with self._connection as transaction:
            transaction.executemany(_PUT, rows)
        # Here, not in `put`: a task that is cancelled meanwhile does not come back to say so.
        del self._pending[: len(rows)]
        self._written += len(rows)

    def _open(self) -> None:
        # Calls come from several threads, never from two at once.
        connection = sqlite3.connect(self.path, check_same_thread=False)
        try:
            self._prepare(connection)
            with closing(connection.execute(_KNOWN, (self._root,))) as rows:
                self.known = {name: (size, mtime) for name, size, mtime in rows}
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != _OURS:
            raise sqlite3.DatabaseError("this database holds something else: name another file")
        connection.execute("PRAGMA journal_mode = WAL")  # readers see the last commit while a run goes on
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(f"PRAGMA application_id = {_OURS}")
            connection.execute(_TABLE)
            if self._fresh:
                connection.execute("DELETE FROM files WHERE root = ?", (self._root,))
