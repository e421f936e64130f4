"""A new machine of a schema that others share: how long it takes, and what it weighs."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

from bench import theirs
from bench.measure import Effort, Row, Target, compare, repeated, ruled
from bench.ring import Ring

KIBIBYTE = 1024


def weight(make: Callable[[], object], n: int) -> float:
    """Bytes of each of n objects that live at the same time."""
    make()
    kept: list[object] = [None] * n
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(n):
            kept[i] = make()
        return (tracemalloc.get_traced_memory()[0] - before) / n
    finally:
        tracemalloc.stop()


def rows(effort: Effort) -> Iterator[Row]:
    yield compare(
        "new",
        "a new machine of 10 states",
        repeated("amachine", Ring),
        repeated("transitions: a new machine", theirs.ring),
        Target(least=20),
        effort,
        operations=40,
    )
    add_model, model = theirs.shared_ring()
    yield compare(
        "new-shared",
        "a new machine of 10 states",
        repeated("amachine", Ring),
        repeated("transitions: a new model of a shared machine", lambda: add_model(model())),
        Target(least=20),
        effort,
        operations=40,
    )
    ours = weight(Ring, effort.operations(10_000))
    other = weight(theirs.ring, effort.operations(300))
    yield ruled(
        "bytes",
        "memory of a machine of 10 states",
        "transitions: a new machine",
        [ours],
        [other],
        "bytes",
        Target(least=1),
        says=f"≤ {KIBIBYTE:,} B",
        met=ours <= KIBIBYTE,
    )
