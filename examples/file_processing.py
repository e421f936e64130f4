"""File processing: real work. One machine a file, one parent that supervises, results in SQLite.

This is `amachine demo` without its face: the same machines, driven in a few lines. Read them first, in
amachine/tools/demo/flow.py (the life of one file) and batch.py (the parent). Here a subclass adds a veto of its own.

Temporal has a workflow of this name: README.md beside this file compares the two.

    python examples/file_processing.py [FOLDER [DATABASE]]
"""

import sys
from pathlib import Path

import anyio

from amachine import Event, Machine, Tracer, Transition, any_of
from amachine.tools.demo import Batch, FileFlow, Found, Rules, Store


class SourceBatch(Batch):
    """A batch that leaves images alone. Vetoes add up: those of the base are asked as well."""

    @Batch.processing.enter
    def is_text(self, e: Event[Found]) -> bool:
        return e.args.path.suffix not in {".svg", ".png", ".gz"}


class Narrator(Tracer):
    """Tells the life of the files that have one worth telling, and hears of all: children inherit it."""

    inheritable = True

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        # Auto mutations are tried again and again until one goes through: that is no news.
        if isinstance(machine, FileFlow) and not transition.auto:
            if not transition.accepted:
                print(f"{machine.id}: {transition}")
            elif "retrying" in transition.enters or "failed" in transition.enters:
                print(f"{machine.id}: {machine.clock}")


async def main(folder: Path, database: Path) -> None:
    """Process every file of a folder."""
    async with Store(database, folder) as store:
        batch = SourceBatch(folder, store, Rules(max_size=200_000, fail_rate=0.05), tracers=[Narrator()])
        async with batch:
            batch.walking.add()
            await any_of(batch.finished.when(), batch.when_error())
    print(
        f"{batch}\n{dict(batch.tally.outcomes)} and {batch.tally.kept} left alone or done before, in {database}"
    )


if __name__ == "__main__":
    folder, database = [*sys.argv[1:], ".", "amachine-example.sqlite"][:2]
    anyio.run(main, Path(folder), Path(database))
