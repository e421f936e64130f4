"""What `import amachine` costs in a fresh interpreter, and which heavy modules it loads: none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Effort, Row, Target, ruled

HEAVY = (
    *("anyio", "asyncio", "concurrent.futures", "msgspec", "multiprocessing"),
    *("pydantic", "rich", "sqlite3", "trio"),
)
MOST = 0.025
ROOT = Path(__file__).resolve().parent.parent
CODE = """
import sys
from time import perf_counter
began = perf_counter()
import {name}
print(perf_counter() - began, *(name for name in {heavy!r} if name in sys.modules))
"""


def seconds_to_import(name: str) -> tuple[float, list[str]]:
    """How long a fresh interpreter takes to import it, and which heavy modules it then has."""
    command = [sys.executable, "-c", CODE.format(name=name, heavy=HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    seconds, *loaded = done.stdout.split()
    return float(seconds), loaded


def rows(effort: Effort) -> Iterator[Row]:
    ours: list[float] = []
    theirs: list[float] = []
    loaded: list[str] = []
    for number in range(effort.rounds // 3 + 2):
        seconds, loaded = seconds_to_import("amachine")
        other, _ = seconds_to_import("attrs")
        if number:  # before the first, bytecode was written and files were read from the disk
            ours.append(seconds)
            theirs.append(other)
    more = min(ours) - min(theirs)
    yield ruled(
        "import",
        "import amachine",
        "import attrs",
        ours,
        theirs,
        "s",
        Target(most=0),
        says=f"≤ +{MOST * 1000:.0f} ms",
        met=more <= MOST and not loaded,
        note=f"{more * 1000:+.1f} ms; heavy modules loaded: {', '.join(loaded) or 'none'}",
    )
