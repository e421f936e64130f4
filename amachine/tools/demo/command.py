"""`amachine demo`: the workflow with a face. Reads options, shows the machines, says how it ended; decides nothing."""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import monotonic

import anyio

from amachine import any_of
from amachine.tools.demo.batch import Batch
from amachine.tools.demo.store import Store
from amachine.tools.demo.summary import Summary
from amachine.tools.demo.values import Rules
from amachine.tools.demo.view import Face, Plain, Silent, Table

DATABASE = "amachine-demo.sqlite"

ABOUT = """\
Takes every file of a folder through discovered, reading, hashed + compressed, stored: one state
machine a file, a bounded number at a time, and one parent that supervises them. Digests and
compressed sizes go into a SQLite database; the files are only read, and nothing is copied.

Files that are too large, unreadable or no regular files are vetoed. A read that fails is retried
after a while; some are made to fail, so that you see it (--fail-rate 0 for none). Stop it when you
like, with Ctrl-C or kill -9, and start it again: what is in the database is not done twice."""

EPILOG = """\
examples:
  amachine demo                          this folder
  amachine demo /usr/share/doc --jobs 16 another one, 16 files at a time
  amachine demo --pace 0.2               slowly enough to watch
  amachine demo --json                   the summary as data

It ends with 0, with 1 where a file or all of it failed, and with 130 after Ctrl-C. The workflow itself is
amachine/tools/demo/flow.py, and examples/file_processing.py runs it in a few lines."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = ABOUT
    parser.epilog = EPILOG
    parser.add_argument(
        "path", metavar="PATH", nargs="?", type=Path, default=Path(), help="the folder (this one)"
    )

    def add(option: str, metavar: str, kind: Callable[[str], object], default: object, says: str) -> None:
        parser.add_argument(option, metavar=metavar, type=kind, default=default, help=f"{says} (%(default)s)")

    add("--database", "FILE", Path, DATABASE, "where the results go")
    add("--jobs", "N", _count, 8, "files in work at once")
    add("--max-size", "SIZE", _size, "1M", "skip larger files: 500, 64K, 10M")
    add("--tries", "N", _count, 4, "attempts at a file that fails")
    add("--backoff", "SECONDS", _seconds, 0.1, "before the second attempt, then doubled")
    add("--fail-rate", "RATE", _share, 0.03, "share of the reads that are made to fail, 0 to 1")
    add("--seed", "N", int, 0, "chooses which of them")
    add("--pace", "SECONDS", _seconds, 0.0, "let each piece of work take that long, to watch it")
    parser.add_argument(
        "--method", choices=["zlib", "lzma"], default="zlib", help="how to compress (%(default)s)"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget what earlier runs have done with this folder"
    )
    parser.add_argument(
        "--plain", action="store_true", help="lines instead of the live table, as without a terminal"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the summary as JSON to stdout, and nothing else"
    )


def run(options: argparse.Namespace) -> int:
    """Run it. Returns the exit status."""
    root: Path = options.path
    if not root.is_dir():
        print(f"amachine demo: {root} is {'no folder' if root.exists() else 'not there'}", file=sys.stderr)
        return 2
    work = Work(options)
    try:
        anyio.run(work.run)
    except KeyboardInterrupt:  # only where signals cannot be listened to, or at the second Ctrl-C
        work.status = 130
    except (sqlite3.Error, OSError) as error:
        print(f"amachine demo: {options.database}: {error}", file=sys.stderr)
        return 1
    if work.batch is None:
        return work.status
    summary = Summary.of(work.batch, seconds=monotonic() - work.began)
    print(summary.as_json() if options.json else summary.as_text())
    return work.status


class Work:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._root: Path = options.path.resolve()
        self._database = Path(options.database)
        self._jobs: int = options.jobs
        self._rules = Rules(
            max_size=options.max_size,
            tries=options.tries,
            backoff=options.backoff,
            method=options.method,
            fail_rate=options.fail_rate,
            seed=options.seed,
            pace=options.pace,
        )
        self._fresh: bool = options.fresh
        self._plain: bool = options.plain
        self._json: bool = options.json
        self.began = monotonic()
        self.status = 0
        self.batch: Batch | None = None
        """The machine, once there is one; closed after the run, it still answers."""

    async def run(self) -> None:
        """Run the batch until it has finished, or something ends it. Errors: those of opening the database."""
        async with Store(self._database, self._root, fresh=self._fresh) as store:
            batch = self.batch = Batch.sized(self._jobs)(self._root, store, self._rules)
            with self._face(batch) as face:
                async with batch, anyio.create_task_group() as beside:
                    beside.start_soon(self._listen, batch)
                    beside.start_soon(face.keep_showing)
                    batch.walking.add()
                    await any_of(batch.finished.when(), batch.interrupted.when(), batch.when(Batch.Exception))
                    beside.cancel_scope.cancel()
        if batch.error is not None or batch.tally.outcomes["failed"]:
            self.status = self.status or 1

    def _face(self, batch: Batch) -> AbstractContextManager[Face]:
        """What shows it: stdout is for people, unless it was asked for data; then a terminal at stderr will do."""
        out = sys.stderr if self._json else sys.stdout
        if out.isatty() and not self._plain:
            return Table(batch, out, slots=min(self._jobs, 16))
        return nullcontext(Silent()) if self._json else Plain(batch, out)

    async def _listen(self, batch: Batch) -> None:
        """Make the first Ctrl-C a state. After that Python's own answer to it is back, for those in a hurry."""
        try:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for number in signals:
                    self.status = 128 + number
                    batch.interrupted.add(signal.Signals(number).name)
                    return
        except NotImplementedError:  # Windows: KeyboardInterrupt closes everything
            return


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("seconds, 0 or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("a number from 0 to 1")
    return number


def _size(text: str) -> int:
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:].upper(), 1)
    digits = text if factor == 1 else text[:-1]
    if not digits.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 500, 64K, 10M or 1G")
    return int(digits) * factor
