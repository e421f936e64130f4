"""Compares what a machine did with a recorded scenario's answer. Knows vectors (README.md here), and no machine.

An order means something only where time passes: of transitions, and of ticks. Sets of states and waits are sorted.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

Record = Mapping[str, Any]
Run = Callable[[Record], Record]

COMPARED = ("r", "raises", "qt", "time", "active", "closed", "txs")
OF_A_TRANSITION = ("type", "called", "auto", "accepted", "time", "target")
SETS = {"active", "called", "closed", "target"}
NEW_MACHINE = -1
MISSING = object()


class Difference(NamedTuple):
    """The first thing that is not as recorded."""

    operation: int
    """Index of the operation after which it shows; -1: the new machine."""
    key: str
    expected: object
    got: object

    def __str__(self) -> str:
        when = "new machine" if self.operation == NEW_MACHINE else f"operation {self.operation}"
        got = "nothing" if self.got is MISSING else repr(self.got)
        return f"{when}: {self.key} should be {self.expected!r}, got {got}"


def vectors(path: Path) -> Iterator[dict[str, Any]]:
    """The vectors of one file, in order."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def check(vector: Record, run: Run) -> Difference | None:
    """Run a vector's scenario and compare. A run that breaks differs, too."""
    try:
        got = run(vector["scenario"])
    except Exception as error:  # noqa: BLE001  # whatever broke, the report goes on with the next vector
        return Difference(NEW_MACHINE, "run", "an answer", error)
    return compare(vector["expect"], got)


def compare(expected: Record, got: Record) -> Difference | None:
    """The first difference between two answers to one scenario, or None. What was not expected is not compared."""
    if "schema_error" in expected or "schema_error" in got:
        both = "schema_error" in expected and "schema_error" in got
        wanted = expected.get("schema_error", "an accepted schema")
        return (
            None
            if both
            else Difference(NEW_MACHINE, "schema_error", wanted, got.get("schema_error", MISSING))
        )
    records = zip_longest([expected["init"], *expected["ops"]], [got["init"], *got["ops"]])
    for operation, (wanted, found) in enumerate(records, NEW_MACHINE):
        if wanted is None or found is None:
            return Difference(operation, "ops", len(expected["ops"]), len(got["ops"]))
        difference = next(_differences(operation, wanted, found), None)
        if difference is not None:
            return difference
    return None


def _differences(operation: int, expected: Record, got: Record) -> Iterator[Difference]:
    """All differences between two records of one operation."""
    if got.get("raises") and not expected.get("raises"):
        yield Difference(operation, "raises", False, True)
    for key in COMPARED:
        wanted = expected.get(key)
        if wanted is None:
            continue
        if key == "txs":
            if key in got:  # unwatched, a machine tells of none
                yield from _of_transitions(operation, wanted, got[key])
        elif _plain(key, wanted) != _plain(key, got.get(key, MISSING)):
            yield Difference(operation, key, wanted, got.get(key, MISSING))
    if "Exception" in expected.get("active", ()) and expected.get("err") != got.get("err", MISSING):
        yield Difference(operation, "err", expected.get("err"), got.get("err", MISSING))


def _of_transitions(operation: int, expected: list[Record], got: list[Record]) -> Iterator[Difference]:
    expected = [each for each in expected if not each.get("check")]
    for number, (wanted, found) in enumerate(zip_longest(expected, got)):
        if wanted is None or found is None:
            yield Difference(operation, f"txs[{number}]", wanted, MISSING if found is None else found)
            return
        for key in OF_A_TRANSITION:
            if key == "target" and not wanted.get("accepted", True):
                continue  # what a refused one would have come to is nobody's business
            if key in wanted and _plain(key, wanted[key]) != _plain(key, found.get(key, MISSING)):
                yield Difference(operation, f"txs[{number}].{key}", wanted[key], found.get(key, MISSING))


def _plain(key: str, value: Any) -> Any:
    if key in SETS and value is not MISSING:
        return sorted(value)
    return list(value) if key == "time" and value is not MISSING else value
