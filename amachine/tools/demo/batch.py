"""All files of a folder, as one machine that supervises one child machine for each file in work.

How many are in work at once is the `limit` of a state; which were done by an earlier run is a veto; when it is over is
a relation and a veto; and Ctrl-C is a state that removes the others. Nothing here knows how it is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Unpack

import attrs
from anyio.to_thread import run_sync

from amachine import Clock, Event, Machine, State, any_of, exclusive, relate
from amachine.machine import Options
from amachine.tools.demo.flow import FileFlow
from amachine.tools.demo.store import Store
from amachine.tools.demo.values import Found, Outcome, Rules
from amachine.tools.demo.walk import walk

HANDFUL = 100
"""Files fetched from the walk's thread at a time, and handed on beyond those that are done."""


@attrs.frozen
class Settled:
    """One file that the batch need not think of any more."""

    file: Found
    outcome: Outcome


@attrs.frozen
class Reason:
    """Why somebody stopped it."""

    why: str


@attrs.define
class Tally:
    """What a batch has done so far. Changed by its handlers only."""

    found: int = 0
    """Files met by the walk."""
    expected: int | None = None
    """Files that there were when somebody counted; None before."""
    kept: int = 0
    """Files that an earlier run has stored, and that have not changed since."""
    outcomes: Counter[str] = attrs.field(factory=Counter[str])
    reasons: Counter[str] = attrs.field(factory=Counter[str])
    """Why files were skipped, or failed, and how many."""
    retries: int = 0
    bytes_read: int = 0
    bytes_packed: int = 0

    @property
    def done(self) -> int:
        """Files with nothing left to do."""
        return self.kept + self.outcomes.total()


class Batch(Machine):
    """A folder on its way into the database. Activate `walking`, and wait for `finished`."""

    walking = State(doc="The folder is walked, and its files are handed on.")
    walked = State(doc="Every file has been handed on.")
    processing = State(
        Found, multi=True, limit=8, doc="Entered once a file; so many of its tasks run at once."
    )
    settled = State(Settled, multi=True, doc="Entered once a file, too: it has ended, one way or another.")
    finished = State(auto=True, require=[walked], doc="Every file has ended.")
    interrupted = State(Reason, doc="Somebody stopped it.")

    phase = exclusive(walking, walked)
    end = exclusive(finished, interrupted)
    _ = relate(finished, remove=[processing])
    _ = relate(interrupted, remove=[walking, processing])
    _ = relate("Exception", remove=[walking, processing])

    def __init__(self, root: Path, store: Store, rules: Rules, **options: Unpack[Options]) -> None:
        super().__init__(root.name or str(root), **options)
        self.root = root
        self.store = store
        self.rules = rules
        self.tally = Tally()

    @classmethod
    def sized(cls, jobs: int) -> type[Batch]:
        """The same with another number of files in work at once."""

        class Sized(cls):  # type: ignore[valid-type, misc]
            processing = cls.processing.replace(limit=jobs)

        return Sized

    @walking.task
    async def hand_on(self, _: Event[None]) -> None:
        files = self._walk()
        while handful := await run_sync(_some, files):
            for file in handful:
                self.tally.found += 1
                if not self.processing.send(file):
                    self.tally.kept += 1
            # A clock tells how often a state was entered: once for each file handed on, or settled.
            await self.when_query(
                lambda clock: _entries(clock, "processing") - _entries(clock, "settled") < HANDFUL
            )
        self.tally.expected = self.tally.found
        self.walked.add()

    @walking.task
    async def count(self, _: Event[None]) -> None:
        files, number = self._walk(), 0
        while handful := await run_sync(_some, files):
            number += len(handful)
        self.tally.expected = number

    @processing.enter
    def is_new_or_changed(self, e: Event[Found]) -> bool:
        """Resuming is this veto."""
        return self.store.known.get(e.args.name) != (e.args.size, e.args.mtime_ns)

    @processing.task
    async def process(self, e: Event[Found]) -> None:
        async with FileFlow(e.args, self.store, self.rules, parent=self) as file:
            file.discovered.add()
            file.attempt(1)
            first = await any_of(file.stored.when(), file.skipped.when(), file.failed.when())
        if first.value.state != "stored":
            await self.store.put(e.args, first.value)
        self.settled.add(e.args, first.value)

    @settled.state
    def tell(self, e: Event[Settled]) -> None:
        tally, outcome = self.tally, e.args.outcome
        tally.outcomes[outcome.state] += 1
        tally.retries += max(outcome.attempts - 1, 0)
        if outcome.why:
            tally.reasons[outcome.why] += 1
        if outcome.packed is not None:
            tally.bytes_read += e.args.file.size
            tally.bytes_packed += outcome.packed

    @finished.enter
    def is_all_settled(self, _: Event[None]) -> bool:
        """Asked whenever something ticks, for `finished` is auto; True at last."""
        return _entries(self.clock, "processing") == _entries(self.clock, "settled")

    def _walk(self) -> Iterator[Found]:
        ours = str(self.store.path.resolve())
        return walk(
            self.root.resolve(), lambda path: str(path).removesuffix("-wal").removesuffix("-shm") == ours
        )


def _some(files: Iterator[Found]) -> list[Found]:
    return list(islice(files, HANDFUL))


def _entries(clock: Clock, state: str) -> int:
    """How often a multi state was entered: its tick is 1, then 3, then 5."""
    return (clock[state] + 1) // 2
