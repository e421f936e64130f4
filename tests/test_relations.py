"""The consensus, enumerated: every schema of two states, every question; and a seeded sample of three states.

What is proved of each answer does not come from the code that gives it: laws that any answer must keep, a naive model
written from the contract (tests/naive.py), and the same answer for every order of writing and every hash seed.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import chain, combinations, permutations, product
from pathlib import Path
from typing import Any

import pytest

from amachine import Kind, Machine, Schema, SchemaError
from amachine._bits import bits
from amachine.relations import Resolution, autos, objections, reason, resolve
from tests import naive
from tests.thorough import MORE

ROOT = Path(__file__).resolve().parents[1]
KINDS = (Kind.ADD, Kind.REMOVE, Kind.SET)
RELATIONS = ("require", "add", "remove", "after")
Data = dict[str, dict[str, Any]]


def subsets(items: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


def definition(relations: tuple[str, ...], other: str, flags: tuple[str, ...]) -> dict[str, Any]:
    """A state that has these relations to one other state, and these flags."""
    return {relation: [other] for relation in relations} | dict.fromkeys(flags, True)


WAYS = [(relations, flags) for relations in subsets(RELATIONS) for flags in subsets(("auto", "multi"))]


def all_of_two_states() -> Iterator[Data]:
    """Every schema of two states, relations to the other one: 4,096 of them, the forbidden ones included."""
    for (of_a, flags_a), (of_b, flags_b) in product(WAYS, WAYS):
        yield {"A": definition(of_a, "B", flags_a), "B": definition(of_b, "A", flags_b)}


def some_of_three_states(count: int, seed: int) -> Iterator[Data]:
    """Random schemas of three states; relations to themselves included, where these mean nothing."""
    chance = random.Random(seed)
    names = ("A", "B", "C")
    for _ in range(count):
        yield {
            name: {
                **{
                    relation: [
                        each
                        for each in names
                        if chance.random() < 0.3 and (each != name or relation != "require")
                    ]
                    for relation in RELATIONS
                },
                "auto": chance.random() < 0.3,
                "multi": chance.random() < 0.3,
            }
            for name in names
        }


def built(data: Data) -> Schema | None:
    """The schema, or None where the rules forbid it; both opinions must agree on that."""
    try:
        schema = Schema.parse(data)
    except SchemaError:
        with pytest.raises(naive.Refused):
            naive.NaiveSchema(data)
        return None
    naive.NaiveSchema(data)
    return schema


def masks(schema: Schema) -> range:
    """Every set of states, without `Exception`, which has no relations here."""
    return range(1 << (schema.n - 1))


def check_laws(
    schema: Schema, active: int, kind: Kind, called: int, found: Resolution, *, partial: bool = False
) -> None:
    """What SEMANTICS promises of any answer, whatever the way to it."""
    target = found.target
    base = {Kind.ADD: active | called, Kind.REMOVE: active & ~called, Kind.SET: called}[kind]
    reentered = called & active & schema.multi if kind is not Kind.REMOVE else 0

    for state in bits(target):
        assert not schema.remove[state] & target, "the target holds a conflict"
        assert not schema.require[state] & ~target, "the target lacks a requirement"
    assert found.enters == target & ~active | reentered & target
    assert found.exits == active & ~target
    assert found.reentries == reentered & target

    in_full = called & target == called
    assert found.accepted == (kind is Kind.REMOVE or (bool(called & target) if partial else in_full))
    implied = implied_by(schema, target & (~active | reentered))
    assert not target & ~(base | implied), "nobody called, kept or implied this state"
    never = called if kind is Kind.REMOVE else 0
    for state in bits((base | implied) & ~target & ~never):
        assert objections(schema, target, state), "a state is left out without a living reason"
        assert reason(schema, target, active, state), "a reason that cannot be told"
    for state in bits(target):
        assert not objections(schema, target, state)
        assert not reason(schema, target, active, state)


def implied_by(schema: Schema, states: int) -> int:
    implied = 0
    for state in bits(states):
        implied |= schema.add[state]
    return implied


def check_model(
    schema: Schema,
    model: naive.NaiveSchema,
    active: int,
    kind: Kind,
    called: int,
    found: Resolution,
    *,
    auto: bool = False,
) -> None:
    """The naive model has the same answer."""
    names = schema.names_of
    expected = naive.resolve(model, set(names(active)), kind.value, set(names(called)), auto=auto)
    assert set(names(found.target)) == expected.target
    assert found.accepted == expected.accepted
    assert set(names(found.enters)) == expected.enters
    assert set(names(found.exits)) == expected.exits
    assert set(names(found.reentries)) == expected.reentered


def check_everything(schema: Schema, data: Data) -> int:
    """All questions that can be asked of one schema. How many."""
    model = naive.NaiveSchema(data)
    count = 0
    for active, kind, called in product(masks(schema), KINDS, masks(schema)):
        found = resolve(schema, active, kind, called)
        check_laws(schema, active, kind, called, found)
        check_model(schema, model, active, kind, called, found)
        count += 1
    for active in masks(schema):
        called = autos(schema, active)
        assert set(schema.names_of(called)) == naive.autos(model, set(schema.names_of(active)))
        if called:
            found = resolve(schema, active, Kind.ADD, called, partial=True)
            check_laws(schema, active, Kind.ADD, called, found, partial=True)
            check_model(schema, model, active, Kind.ADD, called, found, auto=True)
            count += 1
    return count


def test_every_answer_of_every_schema_of_two_states_keeps_the_laws_and_is_that_of_the_naive_model() -> None:
    allowed = asked = 0
    for data in all_of_two_states():
        schema = built(data)
        if schema is not None:
            allowed += 1
            asked += check_everything(schema, data)
    assert allowed == 1536  # of 4,096: the others require what they remove, or wait for each other
    assert asked > 1536 * 4 * 3 * 4  # active sets, kinds, called sets; and auto mutations


def test_every_answer_of_a_sample_of_three_states_keeps_the_laws_and_is_that_of_the_naive_model() -> None:
    allowed = 0
    for data in some_of_three_states(300 * MORE, seed=3):
        schema = built(data)
        if schema is not None:
            allowed += 1
            check_everything(schema, data)
    assert allowed > 60 * MORE


# Relations to oneself: all but `require` are harmless, and mean nothing.

PLAIN: Data = {"A": {}, "B": {}}


@pytest.mark.parametrize("flags", list(subsets(("auto", "multi"))))
@pytest.mark.parametrize("relations", list(subsets(("add", "remove", "after"))))
def test_a_relation_to_itself_changes_no_answer(relations: tuple[str, ...], flags: tuple[str, ...]) -> None:
    plain = Schema.parse({"A": dict.fromkeys(flags, True), "B": {}})
    selfish = Schema.parse({"A": definition(relations, "A", flags), "B": {}})
    assert selfish.enter_order == plain.enter_order
    for active, kind, called in product(masks(plain), KINDS, masks(plain)):
        assert resolve(selfish, active, kind, called) == resolve(plain, active, kind, called)


@pytest.mark.parametrize("relations", [each for each in subsets(RELATIONS) if "require" in each])
def test_a_state_that_requires_itself_is_refused(relations: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError, match="requires itself"):
        Schema.parse({"A": definition(relations, "A", ()), "B": {}})


@pytest.mark.parametrize("other", ["add", "after"])
def test_of_add_and_remove_of_the_same_state_add_wins(other: str) -> None:
    both = Schema.parse({"A": definition(("remove", "add"), "B", ()), "B": {}})
    only = Schema.parse({"A": definition(("add",), "B", ()), "B": {}})
    assert both.remove == only.remove
    assert resolve(both, 0b10, Kind.ADD, 0b01).target == 0b11


# Refused means unchanged, through the public face.


def machine_at(schema: Schema, active: int) -> Machine | None:
    """A machine that was led there; None where no single `set` leads there."""
    machine = Machine.of(schema, "m")
    machine.set(*schema.names_of(active))
    return machine if machine.active == schema.names_of(active) else None


def snapshot(machine: Machine) -> tuple[object, ...]:
    return machine.active, machine.time, machine.error, machine.queue


def test_a_refused_mutation_of_two_states_changes_nothing_and_says_why() -> None:
    refused = 0
    for data in all_of_two_states():
        schema = built(data)
        if schema is None:
            continue
        for active in masks(schema):
            machine = machine_at(schema, active)
            if machine is None:
                continue
            for kind, called in product(KINDS, masks(schema)):
                if resolve(schema, active, kind, called).accepted:
                    continue
                before = snapshot(machine)
                names = schema.names_of(called)
                result = getattr(machine, kind.value)(*names)
                assert result.canceled
                assert any(name in result.why for name in names)
                assert snapshot(machine) == before
                explained = machine.explain(kind, *names)
                assert not explained
                assert explained.left_out.keys() & set(names)
                refused += 1
    assert refused > 1000


# The same answer whoever writes it down, and however.


def rewritten(data: Data, order: tuple[str, ...], shuffle: random.Random) -> Schema:
    """The same schema, keys and lists in another order, with the order of declaration given apart."""
    names = [*data]
    shuffle.shuffle(names)
    mixed: Data = {}
    for name in names:
        items = [
            (key, shuffle.sample(value, len(value)) if key in RELATIONS else value)
            for key, value in data[name].items()
        ]
        shuffle.shuffle(items)
        mixed[name] = dict(items)
    return Schema.parse(mixed, order=order)


def test_no_order_of_writing_changes_an_answer() -> None:
    shuffle = random.Random(5)
    for data in some_of_three_states(120, seed=4):
        schema = built(data)
        if schema is None:
            continue
        again = rewritten(data, ("A", "B", "C"), shuffle)
        assert again == schema
        machine, other = Machine.of(schema, "m"), Machine.of(again, "m")
        for kind, called in product(KINDS, masks(schema)):
            names = schema.names_of(called)
            for order in permutations(names):
                for each in (machine, other):
                    each.set()
                    each.add("A")
                first = getattr(machine, kind.value)(*names)
                second = getattr(other, kind.value)(*order)
                assert (first.status, first.why) == (second.status, second.why)
                assert (machine.active, machine.time) == (other.active, other.time)


def test_how_an_active_set_was_reached_changes_no_answer() -> None:
    data: Mapping[str, Any] = {
        "A": {},
        "B": {"remove": ["C"]},
        "C": {"remove": ["B"]},
        "D": {"add": ["B", "C"], "multi": True},
    }
    answers: set[tuple[tuple[str, ...], str]] = set()
    for order in permutations(("A", "D")):
        machine = Machine.of(data, "m")
        for name in order:
            machine.add(name)
        machine.remove("B", "C")
        machine.add("D")
        answers.add((machine.active, machine.add("C").why))
    assert len(answers) == 1


def answers_digest() -> str:
    """A digest of answers and their reasons, for schemas written with sets, whose order the hash seed decides."""
    digest = hashlib.sha256()
    for data in some_of_three_states(60, seed=6):
        loose = {
            name: {key: list(set(value)) if key in RELATIONS else value for key, value in state.items()}
            for name, state in data.items()
        }
        try:
            schema = Schema.parse(loose, order=("A", "B", "C"))
        except SchemaError as error:
            digest.update(str(error).encode())
            continue
        digest.update(repr((schema.hash, schema.enter_order)).encode())
        for kind, called in product(("add", "remove", "set", "toggle"), masks(schema)):
            machine = Machine.of(schema, "m")
            machine.add("B")
            result = getattr(machine, kind)(*set(schema.names_of(called)))
            explained = machine.explain("add", *schema.names_of(called))
            digest.update(repr((result, machine, str(explained), machine.what_can_i_add())).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_no_hash_seed_changes_an_answer(seed: str) -> None:
    code = "from tests.test_relations import answers_digest; print(answers_digest())"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == answers_digest()


# What the contract says in examples.


def resolved(
    data: Mapping[str, Any], active: tuple[str, ...], kind: Kind, *called: str
) -> tuple[set[str], bool]:
    schema = Schema.parse(data)
    found = resolve(schema, schema.mask(active), kind, schema.mask(called))
    return set(schema.names_of(found.target)), found.accepted


def test_a_called_state_beats_an_active_one_that_it_removes() -> None:
    assert resolved({"A": {}, "B": {"remove": ["A"]}}, ("A",), Kind.ADD, "B") == ({"B"}, True)


def test_an_active_state_that_removes_a_called_one_refuses_it() -> None:
    assert resolved({"A": {"remove": ["B"]}, "B": {}}, ("A",), Kind.ADD, "B") == ({"A"}, False)


def test_an_implied_state_never_refuses_what_was_asked_for() -> None:
    assert resolved({"A": {"add": ["B"]}, "B": {"remove": ["A"]}}, (), Kind.ADD, "A") == ({"A"}, True)


def test_add_is_followed_through_any_number_of_states() -> None:
    chain_of_six = {f"S{i}": {"add": [f"S{i + 1}"]} if i < 5 else {} for i in range(6)}
    assert resolved(chain_of_six, (), Kind.ADD, "S0") == (set(chain_of_six), True)


def test_an_implied_state_that_is_active_implies_nothing_further() -> None:
    data = {"A": {"add": ["B"]}, "B": {"add": ["C"]}, "C": {}}
    assert resolved(data, ("B",), Kind.ADD, "A") == ({"A", "B"}, True)


def test_an_active_multi_state_implies_only_when_it_is_called() -> None:
    data = {"A": {"add": ["B"], "multi": True}, "B": {}, "C": {}}
    assert resolved(data, ("A",), Kind.ADD, "C") == ({"A", "C"}, True)
    assert resolved(data, ("A",), Kind.ADD, "A") == ({"A", "B"}, True)


def test_a_state_called_by_a_remove_is_never_implied() -> None:
    data = {"A": {"add": ["B"]}, "B": {}}
    assert resolved(data, ("A", "B"), Kind.REMOVE, "B") == ({"A"}, True)


def test_what_was_dropped_for_a_remover_that_is_dropped_itself_returns() -> None:
    data = {"A": {}, "B": {"remove": ["A"]}, "C": {"remove": ["B"]}}
    assert resolved(data, ("A",), Kind.SET, "A", "B", "C") == ({"A", "C"}, False)


def test_a_cycle_of_removals_ends_with_a_living_reason_for_each_that_is_out() -> None:
    data = {"A": {"remove": ["B"]}, "B": {"remove": ["C"]}, "C": {"remove": ["A"]}}
    target, accepted = resolved(data, (), Kind.ADD, "A", "B", "C")
    assert not accepted
    assert len(target) == 1


def test_of_two_exclusive_auto_states_the_first_declared_comes() -> None:
    machine = Machine.of(
        {"A": {"auto": True, "remove": ["B"]}, "B": {"auto": True, "remove": ["A"]}, "S": {}}, "m"
    )
    machine.add("S")
    assert machine.active == ("A", "S")
