"""`python -m bench [ROW …]`: measure amachine beside others, and print ratios. Being slow is no failure."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch

import attrs

from bench import (
    choreo,
    choreo_check,
    choreo_tcp,
    create,
    imports,
    ring,
    tasks,
    toggle,
    tracers,
    ui_schema,
    veto,
    waits,
)
from bench.measure import Effort, Row

SOURCES: Mapping[str, Callable[[Effort], Iterator[Row]]] = {
    "toggle flip": toggle.rows,
    "ring": ring.rows,
    "ui": ui_schema.rows,
    "veto": veto.rows,
    "task-anyio task-asyncio": tasks.rows,
    "waits": waits.rows,
    "tracer-idle tracer-one tracer-all tracer-idle-bare tracer-one-bare tracer-all-bare": tracers.rows,
    "new new-shared bytes": create.rows,
    "tcp tcp-tasks tcp-anyio tcp-4k tcp-1m": choreo_tcp.rows,
    "import": imports.rows,
    "pairs pairs-futures pairs-machine pairs-play pairs-tracer pairs-tracer-idle pairs-bytes "
    "pairs-machine-bytes pairs-play-bytes": choreo.rows,
    "choreo-check": choreo_check.rows,
}
"""What yields which rows, by their names."""

NAMES = tuple(name for names in SOURCES for name in names.split())

PUBLISHED = (
    ("a bare sketch of such an engine, CPython", "toggle", "2 to 3 M/s"),
    ("XState, node", "event", "0.40 M/s"),
    ("asyncmachine, Go", "toggle", "0.27 M/s"),
    ("transitions, CPython", "event", "0.16 M/s"),
    ("Troupe, Zig: a million pairs of ping-pong", "31 M messages", "about 10 s"),
)
"""Published figures, measured elsewhere: for scale, not for comparison."""


def measured(patterns: Iterable[str], effort: Effort) -> Iterator[Row]:
    """The rows whose names match one of the patterns; all without any."""
    wanted = tuple(patterns) or ("*",)
    for names, rows in SOURCES.items():
        asked = {name for name in names.split() if any(fnmatch(name, pattern) for pattern in wanted)}
        if asked:
            yield from (row for row in rows(effort) if row.name in asked)


def amount(value: float, unit: str) -> str:
    """A value in a unit that fits it."""
    if unit == "bytes":
        return f"{value:,.0f} B"
    for factor, short in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {short}"
    return f"{value * 1e9:.0f} ns"


def line(row: Row) -> tuple[str, ...]:
    """A row as the table shows it."""
    values = (
        amount(row.ours, row.unit),
        amount(row.theirs, row.unit),
        f"{row.ratio:.2f} ×",
        f"{row.of_best:.2f} ×",
    )
    work = f"{row.work} | {row.beside}" + (f" | {row.note}" if row.note else "")
    return (row.name, *values, row.target, "yes" if row.met else "NO", work)


HEAD = ("row", "ours", "theirs", "ratio", "of best", "target", "met", "work | beside")
WIDTHS = (16, 8, 8, 8, 8, 9, 3, 0)


def printed(cells: Iterable[str]) -> None:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    print("  ".join(padded).rstrip(), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run it. Returns 0, whatever was measured; exits with 2 where no row has such a name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add(
        "rows",
        nargs="*",
        metavar="ROW",
        help=f"names, or patterns such as 'tracer-*', of: {', '.join(NAMES)}",
    )
    add("--json", action="store_true", help="print data")
    add("--rounds", type=int, default=60, help="rounds for each side (60)")
    add("--scale", type=float, default=1.0, help="multiply the operations of a round by this (1.0)")
    add("--million", action="store_true", help="play a million pairs at last; takes memory and time")
    given = parser.parse_args(arguments)
    unknown = [pattern for pattern in given.rows if not any(fnmatch(name, pattern) for name in NAMES)]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    rows = measured(given.rows, Effort(given.rounds, given.scale))
    on = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    if given.json:
        published = [dict(zip(("who", "what", "figure"), each, strict=True)) for each in PUBLISHED]
        found = {"on": on, "rows": [attrs.asdict(row) for row in rows], "published": published}
        print(json.dumps(found, indent=2))
        return 0
    print(f"amachine on {on}, {given.rounds} rounds. Values: the best, per operation.")
    print("Ratio: the median of the ratios of neighbouring rounds; of best: that of the best rounds.\n")
    printed(HEAD)
    for row in rows:
        printed(line(row))
    if given.million:
        print(f"\n{choreo.million()}")
    print("\nPublished figures, measured elsewhere, for scale:")
    for who, what, figure in PUBLISHED:
        print(f"  {who:<42}{figure} ({what})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
