"""Makes docs/demo.svg: what `amachine demo` shows in the middle of its work, on this project's own files.

    python docs/picture.py

The picture is taken of the real thing, at a moment when every kind of state is to be seen.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import anyio
from rich.console import Console

from amachine.tools.demo import Batch, FileFlow, Rules, Store
from amachine.tools.demo.view import Table

ROOT = Path(__file__).resolve().parents[1]
RULES = Rules(max_size=20_000, fail_rate=0.15, seed=1, pace=0.03, backoff=0.2)


def is_worth_it(batch: Batch) -> bool:
    """Whether there is something of everything."""
    working = [child for child in batch.children if isinstance(child, FileFlow) and child.is_open]
    return (
        batch.tally.outcomes["skipped"] > 0
        and batch.tally.done > (batch.tally.expected or 1000) / 3
        and any(file.retrying.active for file in working)
        and any(file.hashed.active or file.compressed.active for file in working)
        and any(file.clock["Exception"] and file.reading.active for file in working)
    )


async def main() -> None:
    """Run it until it is worth a picture."""
    os.chdir(ROOT)
    console = Console(
        record=True, width=116, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "amachine-demo.sqlite"
        async with Store(database, Path()) as store, Batch(Path("amachine"), store, RULES) as batch:
            store.path = Path("amachine-demo.sqlite")  # what it is called by default
            table = Table(batch, io.StringIO(), slots=8, console=console)
            batch.attach(table)
            batch.walking.add()
            while not is_worth_it(batch) and not batch.finished.active:
                table.render()  # which gives each new file a line
                await anyio.sleep(0.01)
            console.print(table.render())
            batch.interrupted.add("the picture is taken")
    svg = console.export_svg(title="amachine demo", unique_id="demo")
    (ROOT / "docs" / "demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    anyio.run(main)
