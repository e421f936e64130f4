"""The engine gives the recorded answer to each of 9,039 scenarios, or says in divergences.toml why it does not."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.adapter import run
from tests.conformance.harness import Difference, check, compare, vectors

FOLDER = Path(__file__).parent / "conformance"
CONTRACT = Path(__file__).parents[1] / "docs" / "semantics.md"
RECORDED = {
    "departures": 601, "negotiation": 2685, "nested": 1472, "ported": 163, "relations": 3214, "subs": 904,
}  # fmt: skip
ALLOWED = 0.003
SHOWN = 20


@cache
def divergences() -> dict[str, str]:
    """The sentence behind each id."""
    listed = tomllib.loads((FOLDER / "divergences.toml").read_text(encoding="utf-8"))["divergence"]
    return {each["id"]: each["sentence"] for each in listed}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Scenarios are full of errors that nobody handles: the logger would write a traceback for each."""
    logger = logging.getLogger("amachine")
    logger.disabled = True
    yield
    logger.disabled = False


@pytest.mark.parametrize("family", RECORDED)
def test_every_recorded_scenario_has_the_recorded_answer(family: str) -> None:
    listed = divergences()
    failed: dict[str, Difference] = {}
    surprises: list[str] = []
    count = 0
    for vector in vectors(FOLDER / f"{family}.jsonl.gz"):
        count += 1
        name = vector["id"]
        difference = check(vector, run)
        if difference is None:
            surprises += [name] if name in listed else []
        elif name not in listed:
            failed[name] = difference
    shown = "\n".join(f"  {name}: {difference}" for name, difference in list(failed.items())[:SHOWN])
    assert not failed, f"{len(failed)} of {count} differ; ids: {' '.join(failed)}\n{shown}"
    assert not surprises, f"these pass, so they are no divergences: take them out: {' '.join(surprises)}"
    assert count == RECORDED[family], "vectors are missing, or new: count them in RECORDED"


@pytest.mark.parametrize("family", ["departures", "negotiation", "nested", "ported"])
def test_unwatched_machines_go_shorter_ways_to_the_same_answer(family: str) -> None:
    unwatched = partial(run, watched=False)
    failed = {
        vector["id"]: str(difference)
        for vector in vectors(FOLDER / f"{family}.jsonl.gz")
        if vector["id"] not in divergences() and (difference := check(vector, unwatched))
    }
    assert not failed


def test_divergences_are_few_known_and_each_rests_on_a_sentence_of_the_contract() -> None:
    listed = divergences()
    assert len(listed) <= ALLOWED * sum(RECORDED.values())
    if not listed:
        return
    known = {vector["id"] for family in RECORDED for vector in vectors(FOLDER / f"{family}.jsonl.gz")}
    assert not listed.keys() - known, "no vectors have these ids"
    contract = re.sub(r"\s+", " ", CONTRACT.read_text(encoding="utf-8"))
    strangers = [name for name, words in listed.items() if re.sub(r"\s+", " ", words) not in contract]
    assert not strangers, f"the sentences of these are not in {CONTRACT.name}: {strangers}"


TRANSITION: dict[str, Any] = {
    "type": "add", "called": ["A"], "auto": False, "accepted": True, "time": [1, 0], "target": ["A"],
}  # fmt: skip
RECORD: dict[str, Any] = {
    "r": "executed", "active": ["A"], "time": [1, 0], "qt": 2, "err": None, "closed": ["w"], "txs": [TRANSITION],
}  # fmt: skip
WRONG: list[tuple[str, object]] = [
    ("r", "canceled"),
    ("active", []),
    ("time", [1, 2]),
    ("qt", 3),
    ("closed", []),
    ("raises", True),
    ("txs", []),
    ("txs", [{**TRANSITION, "type": "set"}]),
    ("txs", [{**TRANSITION, "called": ["B"]}]),
    ("txs", [{**TRANSITION, "auto": True}]),
    ("txs", [{**TRANSITION, "accepted": False}]),
    ("txs", [{**TRANSITION, "time": [3, 0]}]),
    ("txs", [{**TRANSITION, "target": []}]),
    ("txs", [TRANSITION, TRANSITION]),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_the_comparison_sees_a_difference_in_every_key(key: str, value: object) -> None:
    expected = {"init": RECORD, "ops": [RECORD]}
    assert compare(expected, expected) is None
    difference = compare(expected, {"init": RECORD, "ops": [{**RECORD, key: value}]})
    assert difference is not None
    assert difference.operation == 0
    assert difference.key.startswith(key)


def test_the_comparison_sees_lost_operations_errors_and_refused_schemas() -> None:
    failing = {**RECORD, "active": ["A", "Exception"], "err": "e1"}
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"init": RECORD, "ops": [RECORD]}, {"init": RECORD, "ops": []}),
        ({"init": failing, "ops": []}, {"init": {**failing, "err": "e2"}, "ops": []}),
        ({"init": RECORD, "ops": []}, {"schema_error": "no"}),
        ({"schema_error": "cycle"}, {"init": RECORD, "ops": []}),
    ]
    for expected, got in pairs:
        assert compare(expected, got) is not None
    assert compare({"schema_error": "cycle"}, {"schema_error": "another reason"}) is None
