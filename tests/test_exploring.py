"""The explorer finds what the naive model can reach, by paths that a real machine follows, and is honest about its limit."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings

from amachine import Kind, Machine, Schema, State, States, UnknownState, exclusive
from amachine.exploring import Exploration, Move, explore
from amachine.testing import perform, schemas
from tests import naive


def levels(schema: Schema, *, most: int = 10_000) -> dict[frozenset[str], int]:
    """Every set that single adds and removes lead to, with the least number of mutations: by the naive model."""
    model = naive.NaiveSchema(schema.to_dict())
    found, line = {frozenset[str](): 0}, [frozenset[str]()]
    for at in line:
        for name in schema.names:
            for kind in ("add", "remove"):
                then = settled(model, set(at), kind, name)
                if then not in found and len(found) < most:
                    found[then] = found[at] + 1
                    line.append(then)
    return found


def settled(model: naive.NaiveSchema, active: set[str], kind: str, name: str) -> frozenset[str]:
    outcome = naive.resolve(model, active, kind, {name})
    if not outcome.accepted:
        return frozenset(active)
    if not (outcome.enters or outcome.exits):
        return frozenset(outcome.target)
    wanted = naive.autos(model, outcome.target)
    if wanted:
        brought = naive.resolve(model, outcome.target, "add", wanted, auto=True)
        if brought.accepted:
            return frozenset(brought.target)
    return frozenset(outcome.target)


@given(schema=schemas(names=("A", "B", "C", "D")))
@settings(max_examples=25)
def test_it_finds_exactly_what_the_naive_model_reaches_by_paths_as_short(schema: Schema) -> None:
    found = explore(schema, calls=schema.names)
    expected = levels(schema)
    assert found.complete
    assert {frozenset(reached.active): len(reached.path) for reached in found} == expected


@given(schema=schemas())
@settings(max_examples=20)
def test_a_real_machine_follows_every_path(schema: Schema) -> None:
    for reached in list(explore(schema))[:40]:
        machine = Machine.of(schema)
        for move in reached.path:
            assert perform(machine, move)
        assert machine.active == reached.active


@given(schema=schemas())
@settings(max_examples=20)
def test_a_real_machine_refuses_what_it_says_with_the_same_words(schema: Schema) -> None:
    found = explore(schema)
    for edge in list(found.refusals())[:40]:
        machine = Machine.of(schema)
        for move in found.path(edge.before):
            perform(machine, move)
        result = perform(machine, edge.move)
        assert result.canceled
        assert result.why == edge.why != ""
        assert machine.active == edge.before == edge.active


def test_every_state_has_a_shortest_entry_also_one_that_is_gone_at_once() -> None:
    schema = Schema.parse(
        {"on": {}, "flash": {"require": ["on"]}, "dark": {"auto": True, "remove": ["flash"]}}
    )
    found = explore(schema)
    assert found.path_to("flash") is None
    assert found.entry("flash") is None, "the auto state is there before it"
    assert explore(schema, calls=[*schema.names, ("on", "flash")]).entry("flash") == (
        Move(Kind.ADD, ("on", "flash")),
    )


class Door(States):
    opened = State()
    closed = State()
    locked = State(require=[closed])
    seen = State(multi=True)
    leaf = exclusive(opened, closed)


def test_it_answers_for_classes_and_machines_as_for_their_schema() -> None:
    class Real(Machine, Door):
        pass

    sets = explore(Door.schema).sets
    assert sets == explore(Door).sets == explore(Real).sets == explore(Real("door")).sets
    assert len(sets) == 8


def test_paths_are_asked_for_by_states_or_by_the_whole_set() -> None:
    found = explore(Door)
    assert found.path_to(Door.locked) == (Move(Kind.ADD, ("closed",)), Move(Kind.ADD, ("locked",)))
    assert found.path_to("locked", without=["seen"]) == found.path(["closed", "locked"])
    assert found.path_to(Door.opened, Door.closed) is None
    assert ["closed", "locked"] in found
    assert ["locked"] not in found
    assert ["nonsense"] not in found
    with pytest.raises(LookupError, match=r"nothing leads to \{opened, closed\}$"):
        found.path(["opened", "closed"])
    with pytest.raises(UnknownState, match="did you mean 'locked'"):
        found.path_to("lockd")


def test_it_begins_where_it_is_told() -> None:
    found = explore(Door, start=[Door.opened], calls=[Door.locked, Door.seen])
    assert found.start == ("opened",)
    assert found.sets == (("opened",), ("opened", "seen"))
    assert found.never == ("closed", "locked", "Exception")


def test_mutations_of_several_states_and_other_kinds_are_tried_where_named() -> None:
    assert explore(Door, calls=[("closed", "locked")]).sets == ((), ("closed", "locked"))
    swap = Move(Kind.SET, ("opened",))
    found = explore(Door, start=["closed", "seen"], calls=[swap])
    assert found.sets == (("closed", "seen"), ("opened",))
    assert found.path(["opened"]) == (swap,)
    with pytest.raises(ValueError, match="toggle opened: say add or remove"):
        explore(Door, calls=[Move(Kind.TOGGLE, ("opened",))])


def test_an_exception_that_nothing_is_related_to_is_left_out_unless_named() -> None:
    assert all("Exception" not in active for active in explore(Door).sets)
    assert len(explore(Door, calls=Door.schema.names)) == 16
    related = Schema.parse({"a": {"remove": ["Exception"]}})
    assert explore(related).sets == ((), ("a",), ("Exception",))


def test_of_ten_free_states_every_set_is_found() -> None:
    found = explore(Schema.parse({f"s{i}": {} for i in range(10)}))
    assert (len(found), found.complete) == (1024, True)
    assert found.never == ("Exception",)


@pytest.mark.parametrize("limit", [1, 7, 1023])
def test_a_bounded_search_says_so_and_keeps_its_limit(limit: int) -> None:
    found = explore(Schema.parse({f"s{i}": {} for i in range(10)}), limit=limit)
    assert (len(found), found.complete) == (limit, False)
    with pytest.raises(LookupError, match="as far as was looked"):
        found.path([f"s{i}" for i in range(10)])
    assert "and there are more" in str(found)


def test_a_limit_that_is_just_enough_is_complete() -> None:
    assert explore(Schema.parse({"a": {}}), limit=2).complete


@attrs.frozen
class Wrong:
    schema: str = "not one"


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: explore(Door, limit=0), ValueError, "a limit of 0 active sets keeps none"),
        (lambda: explore(Door, calls=["opend"]), UnknownState, "did you mean 'opened'"),
        (lambda: explore(Door, start=["opend"]), UnknownState, "did you mean 'opened'"),
        (lambda: explore(Wrong()), TypeError, "has no schema"),
    ],
)
def test_a_mistake_is_told(ask: Callable[[], Exploration], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        ask()


def test_edges_tell_what_comes_of_each_mutation_everywhere() -> None:
    schema = Schema.parse({"P": {}, "R": {"auto": True, "require": ["P"]}, "X": {"remove": ["P"]}})
    found = explore(schema, calls=["P", "X"])
    edges = {(edge.before, str(edge.move)): edge for edge in found.edges()}
    assert len(edges) == len(found) * 4
    on = edges[(), "add P"]
    assert (on.accepted, on.enters, on.exits, on.active) == (True, ("P", "R"), (), ("P", "R"))
    assert edges[("P", "R"), "add X"].exits == ("P", "R")
    refused = edges[("X",), "add P"]
    assert not refused.accepted
    assert refused.refusals == {"P": "P is removed by X, which is active"}
    assert refused.active == ("X",)
    assert [(edge.before, str(edge.move)) for edge in found.refusals()] == [(("X",), "add P")]


def test_it_prints_what_it_found() -> None:
    found = explore(Door, calls=["closed", "locked"])
    assert str(found).splitlines() == [
        "3 active sets",
        "  {} ← at the start",
        "  {closed} ← add closed",
        "  {closed, locked} ← add closed, add locked",
    ]
    assert repr(found) == "<Exploration of Door: 3 active sets, complete>"
