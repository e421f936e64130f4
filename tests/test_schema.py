"""Schemas: every rule with its error, normalising, data in and out, and the order of entry."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amachine._bits import bits
from amachine.errors import SchemaError, UnknownState
from amachine.schema import GroupDef, Schema, StateDef


@attrs.frozen
class Job:
    path: str
    retries: int = 0


@dataclass
class Digest:
    sha256: str


class Model(pydantic.BaseModel):
    n: int


def needy(path: str) -> str:
    return path


def refused(data: Any, **options: Any) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        Schema.parse(data, name="Flow", **options)
    assert str(caught.value).startswith("Flow: ")
    assert caught.value.schema == "Flow"
    return caught.value


# The rules of a schema.


@pytest.mark.parametrize("relation", ["require", "add", "remove", "after"])
def test_a_relation_to_an_undeclared_state_is_refused_with_the_nearest_name(relation: str) -> None:
    error = refused({"Water": {}, "Wet": {relation: ["Watre"]}})
    assert str(error) == (
        f"Flow: state 'Wet' has 'Watre' in its {relation}, but no such state is declared "
        "(did you mean 'Water'?): declare it, or take it out"
    )
    assert (error.state, error.relation, error.other, error.nearest) == ("Wet", relation, "Watre", "Water")


def test_an_undeclared_state_with_nothing_near() -> None:
    assert "(did you mean" not in str(refused({"Wet": {"require": ["Zzzz"]}}))


@pytest.mark.parametrize("group", [False, True])
def test_requiring_and_removing_the_same_state_is_refused(group: Any) -> None:
    own = {"require": ["A"], **({"exclusive": ["phase"]} if group else {"remove": ["A"]})}
    error = refused({"A": {"exclusive": ["phase"]} if group else {}, "B": own})
    by = " (by the exclusive group 'phase')" if group else ""
    assert str(error) == f"Flow: state 'B' both requires and removes 'A'{by}: take it out of one of the two"
    assert (error.state, error.relation, error.other) == ("B", "require", "A")


def test_a_state_that_requires_itself_is_refused() -> None:
    error = refused({"A": {"require": ["A"]}})
    assert (
        str(error) == "Flow: state 'A' requires itself, so it could never start: take it out of its require"
    )
    assert (error.state, error.relation, error.other) == ("A", "require", "A")


@pytest.mark.parametrize(
    ("data", "kind", "path", "steps"),
    [
        (
            {"A": {"require": ["B"]}, "B": {"require": ["C"]}, "C": {"require": ["A"]}},
            "require",
            ("A", "B", "C", "A"),
            "'A' requires 'B', 'B' requires 'C', 'C' requires 'A'",
        ),
        (
            {"X": {"require": ["B"]}, "A": {"after": ["B"]}, "B": {"after": ["A"]}},
            "after",
            ("A", "B", "A"),
            "'A' comes after 'B', 'B' comes after 'A'",
        ),
        (
            {"A": {"require": ["B"]}, "B": {"after": ["A"]}},
            "require and after",
            ("A", "B", "A"),
            "'A' requires 'B', 'B' comes after 'A'",
        ),
        (  # both hold between A and B: the cycle is told as what it is
            {"A": {"require": ["B"], "after": ["B"]}, "B": {"after": ["A"]}},
            "after",
            ("A", "B", "A"),
            "'A' comes after 'B', 'B' comes after 'A'",
        ),
    ],
)
def test_a_cycle_is_refused_and_its_path_printed(data: Any, kind: Any, path: Any, steps: Any) -> None:
    error = refused(data)
    assert str(error) == f"Flow: there is a cycle of {kind}: {steps}; take one of these relations out"
    assert (error.relation, error.path, error.state) == (kind, path, path[0])


def test_the_shortest_cycle_is_printed() -> None:
    data = {"A": {"require": ["B", "C"]}, "B": {"require": ["C"]}, "C": {"require": ["A"]}}
    assert refused(data).path == ("A", "C", "A")


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(SchemaError, match="Flow: state 'A' is declared twice: keep one") as caught:
        Schema([StateDef("A"), StateDef("A")], name="Flow")
    assert caught.value.state == "A"


@pytest.mark.parametrize(("one", "other"), [("fooBar", "FooBar"), ("foo_bar", "fooBar"), ("a", "_a_")])
def test_names_that_differ_only_in_case_or_underscores_are_refused(one: str, other: str) -> None:
    error = refused({one: {}, other: {}})
    assert str(error) == f"Flow: states {one!r} and {other!r} differ only in case or underscores: rename one"
    assert (error.state, error.other) == (other, one)


def test_a_name_like_that_of_the_engine_says_so() -> None:
    assert "(the engine itself declares 'Exception')" in str(refused({"exception": {}}))


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\ta", "a\x00", "a\u2028b"])
def test_a_name_is_not_empty_and_has_no_spaces_or_control_characters(name: str) -> None:
    error = refused({name: {}})
    assert "rename it" in str(error)
    assert repr(name) in str(error)


def test_a_name_is_a_string() -> None:
    with pytest.raises(SchemaError, match="the name of a state is a string, not 5"):
        Schema([StateDef(5)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["Straße", "a-b", "a.b", "42", "状態", "a/b:c"])
def test_any_other_text_is_a_name(name: str) -> None:
    assert Schema.parse({name: {}}).names == (name, "Exception")


@pytest.mark.parametrize("args", [Job, Digest, Model, needy])
def test_a_state_that_needs_arguments_is_not_auto(args: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema([StateDef("a", auto=True, args=args)], name="Flow")
    assert "Flow: state 'a' is auto, but its arguments" in str(caught.value)
    assert str(caught.value).endswith(": give that a default, or take auto away")
    assert (caught.value.state, caught.value.relation) == ("a", "auto")


def test_a_state_that_needs_arguments_is_in_no_add() -> None:
    with pytest.raises(SchemaError) as caught:
        Schema([StateDef("a", add=("b",)), StateDef("b", args=Job)], name="Flow")
    assert str(caught.value) == (
        "Flow: state 'a' adds 'b', but its arguments Job cannot be built without path: "
        "give that a default, or take 'b' out of the add"
    )
    assert (caught.value.state, caught.value.relation, caught.value.other) == ("a", "add", "b")


def test_what_can_be_built_from_nothing_is_free() -> None:
    def free(*some: int, n: int = 0, **more: int) -> int:
        return n

    states = [StateDef("a", auto=True, args=args, add=()) for args in (free,)]
    states += [StateDef(f"b{i}", auto=True, args=args) for i, args in enumerate((dict, int, list))]
    schema = Schema(states)
    assert schema.needs_args == 0
    assert schema.missing_args(0) == ()


def test_needs_args_and_missing_args() -> None:
    schema = Schema([StateDef("a"), StateDef("b", args=Job), StateDef("c", args=Model)])
    assert schema.names_of(schema.needs_args) == ("b", "c")
    assert [schema.missing_args(i) for i in range(schema.n)] == [(), ("path",), ("n",), ()]
    assert schema.args == (None, Job, Model, None)


# What is harmless is normalised.


def test_redundancy_is_taken_out() -> None:
    schema = Schema.parse({
        "A": {"add": ["B", "A"], "remove": ["A", "C", "B"], "after": ["C", "A", "B", "C"]},
        "B": {"remove": ["B"]},
        "C": {},
    })  # fmt: skip
    assert schema["A"] == StateDef("A", add=("B",), remove=("C",), after=("B", "C"), args=dict)
    assert schema["B"] == StateDef("B", args=dict)


def test_add_wins_over_the_remove_of_a_group() -> None:
    schema = Schema.parse({"A": {"add": ["B"], "exclusive": ["g"]}, "B": {"exclusive": ["g"]}})
    assert schema["A"].remove == ()
    assert schema["B"].remove == ("A",)


def test_exclusive_puts_each_in_the_remove_of_the_others() -> None:
    group = GroupDef("phase", ("C", "A", "B"), exclusive=True)
    schema = Schema([StateDef("A"), StateDef("B"), StateDef("C"), StateDef("D")], groups=[group])
    assert [schema[name].remove for name in "ABCD"] == [("B", "C"), ("A", "C"), ("A", "B"), ()]
    assert schema.groups == {"phase": GroupDef("phase", ("A", "B", "C"), exclusive=True)}
    assert schema.names_of(schema.removed_by[0]) == ("B", "C")


def test_a_plain_group_relates_nothing() -> None:
    schema = Schema.parse({"A": {"groups": ["g"]}, "B": {"groups": ["g"]}})
    assert schema["A"] == StateDef("A", args=dict)
    assert schema.groups["g"].members == ("A", "B")


@pytest.mark.parametrize(
    ("group", "text"),
    [
        (GroupDef("g", ()), "group 'g' has no members"),
        (GroupDef("g", ("B",)), "group 'g' has the member 'B', but no such state is declared"),
        (GroupDef("a b", ("A",)), "the name 'a b' of a group has a space"),
    ],
)
def test_a_group_that_is_wrong_is_refused(group: Any, text: str) -> None:
    with pytest.raises(SchemaError, match=text):
        Schema([StateDef("A")], groups=[group])


def test_two_groups_of_one_name_are_refused() -> None:
    with pytest.raises(SchemaError, match="group 'g' is declared twice"):
        Schema([StateDef("A")], groups=[GroupDef("g", ("A",)), GroupDef("g", ("A",), exclusive=True)])


# Exception, and what else is compiled.


def test_exception_is_last_unless_it_is_declared_and_always_multi() -> None:
    assert Schema.parse({"A": {}}).names == ("A", "Exception")
    declared = Schema.parse({"Exception": {"multi": False}, "A": {"require": ["Exception"]}})
    assert declared.names == ("Exception", "A")
    assert declared.multi == declared.exception == 0b01
    assert Schema([]).names == ("Exception",)


def test_masks_stand_for_states_in_order() -> None:
    schema = Schema.parse({
        "A": {"require": ["B"], "auto": True},
        "B": {"remove": ["C"], "multi": True},
        "C": {"add": ["A"], "after": ["A"]},
        "Heartbeat": {}, "Healthcheck": {"limit": 2},
    })  # fmt: skip
    assert (schema.n, schema.all) == (6, 0b111111)
    assert schema.index == {"A": 0, "B": 1, "C": 2, "Heartbeat": 3, "Healthcheck": 4, "Exception": 5}
    assert schema.require == (0b10, 0, 0, 0, 0, 0)
    assert schema.remove == (0, 0b100, 0, 0, 0, 0)
    assert schema.removed_by == (0, 0, 0b10, 0, 0, 0)
    assert schema.add == (0, 0, 0b1, 0, 0, 0)
    assert schema.after == (0, 0, 0b1, 0, 0, 0)
    assert (schema.auto, schema.multi, schema.exception) == (0b1, 0b100010, 0b100000)
    assert schema.enter_order == (1, 0, 2, 3, 4, 5)
    assert set(schema.health) == {0b1000, 0b10000}
    assert schema.limits == (None, None, None, None, 2, None)


def test_mask_and_names_of_are_inverse_and_unknown_names_are_refused() -> None:
    schema = Schema.parse({"start": {}, "ready": {}}, name="Flow")
    assert schema.mask(["ready", "start"]) == 0b11
    assert schema.names_of(0b101) == ("start", "Exception")
    with pytest.raises(UnknownState, match=r"Flow has no state 'strat' \(did you mean 'start'\?\)"):
        schema.mask(["strat"])
    with pytest.raises(TypeError, match=r"write \['start'\]"):
        schema.mask("start")


def test_a_schema_is_frozen() -> None:
    schema = Schema.parse({"A": {}})
    with pytest.raises(AttributeError, match="frozen"):
        schema.n = 3
    with pytest.raises(AttributeError, match="frozen"):
        del schema.n


def test_equal_content_is_equal() -> None:
    one = Schema.parse({"A": {"require": ["B", "C"]}, "B": {}, "C": {}}, name="one")
    two = Schema.parse({"A": {"require": ["C", "B", "C"], "doc": "words"}, "B": {}, "C": {}}, name="two")
    assert one == two
    assert hash(one) == hash(two)
    assert one.hash == two.hash
    for other in (
        Schema.parse({"A": {"require": ["B"]}, "B": {}, "C": {}}),
        Schema.parse({"B": {}, "A": {"require": ["B", "C"]}, "C": {}}),
        Schema.parse({"A": {"require": ["B", "C"], "groups": ["g"]}, "B": {}, "C": {}}),
    ):
        assert one != other
    assert one != "one"


def test_the_digest_is_about_what_makes_clocks_comparable() -> None:
    plain = Schema.parse({"A": {}, "B": {}})
    assert len(plain.hash) == 16
    same = Schema(
        [StateDef("A", tags=("x",), limit=2, args=Job), StateDef("B")], groups=[GroupDef("g", ("A",))]
    )
    assert same.hash == plain.hash
    others: list[dict[str, dict[str, Any]]] = [
        {"B": {}, "A": {}},
        {"A": {"auto": True}, "B": {}},
        {"A": {"after": ["B"]}, "B": {}},
    ]
    for data in others:
        assert Schema.parse(data).hash != plain.hash


def pickled(it: Any) -> Any:
    return pickle.loads(pickle.dumps(it))


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_is_equal(twin: Any) -> None:
    schema = Schema([StateDef("A", args=Job)], name="Flow", groups=[GroupDef("g", ("A",))])
    assert twin(schema) == schema
    assert twin(schema).name == "Flow"


def test_a_schema_reads_like_a_mapping_of_names() -> None:
    schema = Schema.parse({f"S{i}": {} for i in range(10)}, name="Flow")
    assert list(schema)[:2] == ["S0", "S1"]
    assert len(schema) == 11
    assert "S3" in schema
    assert "X" not in schema
    assert schema["S3"].name == "S3"
    with pytest.raises(UnknownState):
        schema["X"]
    assert repr(schema) == "<Schema Flow: S0, S1, S2, S3, S4, S5, S6, S7, … 3 more>"
    assert repr(Schema([])) == "<Schema Exception>"


# Data in, data out.


@pytest.mark.parametrize(
    ("data", "state", "key", "text"),
    [
        ({"A": {"requires": []}}, "A", "requires", "unknown key 'requires' (did you mean 'require'?)"),
        ({"A": {"require": "B"}, "B": {}}, "A", "require", "has 'B' as its require: write ['B']"),
        ({"A": {"require": 5}}, "A", "require", "has 5 as its require: write a list of strings"),
        ({"A": {"add": [5]}}, "A", "add", "has 5 as its add: write a list of strings"),
        ({"A": {"tags": "x"}}, "A", "tags", "has 'x' as its tags: write ['x']"),
        ({"A": {"auto": 1}}, "A", "auto", "has 1 as its auto: it must be True or False"),
        ({"A": {"multi": None}}, "A", "multi", "has None as its multi: it must be True or False"),
        ({"A": {"limit": 0}}, "A", "limit", "has 0 as its limit: it must be None or a whole number above 0"),
        ({"A": {"limit": True}}, "A", "limit", "has True as its limit"),
        ({"A": {"doc": 5}}, "A", "doc", "has 5 as its doc: it must be a string"),
        ({"A": {"args": "Job"}}, "A", "args", "unknown key 'args'"),
        ({"A": {"groups": "g"}}, "A", "groups", "has 'g' as its groups: write a list of names of groups"),
        ({"A": ["B"]}, "A", "", "state 'A' is described by a mapping such as {'require': [...]}, not by ['B']"),
        ([], "", "", "a schema is read from a mapping of names to states, not from []"),
        (
            {"A": {"groups": ["g"]}, "B": {"exclusive": ["g"]}}, "B", "exclusive",
            "group 'g' of state 'B' is exclusive for some of its members",
        ),
    ],
)  # fmt: skip
def test_data_that_is_wrong_is_refused(data: Any, state: Any, key: Any, text: str) -> None:
    error = refused(data)
    assert text in str(error)
    assert (error.state, error.relation) == (state, key)


def test_arguments_of_states_read_from_data_arrive_as_a_dict() -> None:
    assert Schema.parse({"A": {}}).args == (dict, dict)
    assert Schema.parse({"A": {}, "Exception": {}}).args == (dict, dict)


def test_an_empty_entry_may_be_none() -> None:
    assert Schema.parse({"A": None}) == Schema.parse({"A": {}})


def test_order_is_that_of_declaration() -> None:
    data: dict[str, dict[str, Any]] = {"A": {}, "B": {}, "C": {}}
    assert Schema.parse(data, order=["C", "A", "B"]).names == ("C", "A", "B", "Exception")
    assert Schema.parse(data, order=["C", "Exception", "A", "B"]).names == ("C", "Exception", "A", "B")
    error = refused(data, order=["A", "B"])
    assert "state 'C' has no place in the order" in str(error)
    error = refused(data, order=["A", "B", "C", "Bb"])
    assert "the order has 'Bb', but no such state is declared (did you mean 'B'?)" in str(error)


@st.composite
def schemas(draw: st.DrawFn, most: int = 7) -> Schema:
    """Any legal schema: relations that could make a cycle point backwards in a hidden order."""
    count = draw(st.integers(0, most))
    names = [f"S{i}" for i in range(count)]
    if draw(st.booleans()):
        names.insert(draw(st.integers(0, count)), "Exception")
    hidden = draw(st.permutations(names))
    states: dict[str, StateDef] = {}
    for i, name in enumerate(hidden):
        some = st.lists(st.sampled_from(hidden), unique=True)
        earlier = st.lists(st.sampled_from(hidden[:i]), unique=True) if i else st.just(list[str]())
        require = draw(earlier)
        add = draw(some)
        states[name] = StateDef(
            name,
            args=dict,
            require=tuple(require),
            add=tuple(add),
            remove=tuple(n for n in draw(some) if n not in require),
            after=tuple(draw(earlier)),
            auto=draw(st.booleans()),
            multi=draw(st.booleans()),
            tags=tuple(draw(st.lists(st.sampled_from(["x", "y:1"]), unique=True))),
            limit=draw(st.none() | st.integers(1, 9)),
            doc=draw(st.sampled_from(["", "words"])),
        )
    groups = [GroupDef("g", tuple(draw(st.lists(st.sampled_from(names), min_size=1))))] if names else []
    implied = [] if "Exception" in names else [StateDef("Exception", args=dict)]
    return Schema([*(states[name] for name in names), *implied], name="Drawn", groups=groups)


@given(schemas())
def test_what_is_written_reads_as_the_same_schema(schema: Any) -> None:
    data = json.loads(json.dumps(schema.to_dict()))
    again = Schema.parse(data, name=schema.name)
    assert again == schema
    assert again.names == schema.names
    assert again.hash == schema.hash
    assert again.to_dict() == data
    shuffled = dict(sorted(data.items(), reverse=True))
    assert Schema.parse(shuffled, order=schema.names) == schema


def test_an_exclusive_group_is_written_with_its_members() -> None:
    schema = Schema.parse({"A": {"exclusive": ["phase"]}, "B": {"exclusive": ["phase"], "auto": True}})
    assert schema.to_dict() == {
        "A": {"remove": ["B"], "exclusive": ["phase"]},
        "B": {"remove": ["A"], "auto": True, "exclusive": ["phase"]},
        "Exception": {"multi": True},
    }
    assert Schema.parse(schema.to_dict()) == schema


# Order of entry.


@given(schemas(most=10))
def test_entry_takes_again_and_again_the_first_declared_whose_needs_are_taken(schema: Any) -> None:
    order = schema.enter_order
    assert sorted(order) == list(range(schema.n))
    taken: list[int] = []
    for state in order:
        ready = [
            i
            for i in range(schema.n)
            if i not in taken and all(j in taken for j in bits(schema.require[i] | schema.after[i]))
        ]
        assert state == ready[0]
        taken.append(state)


def test_entry_is_in_the_order_of_declaration_where_nothing_says_otherwise() -> None:
    data = {"A": {"after": ["C"]}, "B": {}, "C": {"require": ["D"]}, "D": {}}
    assert [Schema.parse(data).names[i] for i in Schema.parse(data).enter_order] == [
        "B",
        "D",
        "C",
        "A",
        "Exception",
    ]


# Schemas from schemas.


def test_merge_keeps_places_and_the_last_definition_holds() -> None:
    one = Schema.parse({"A": {}, "B": {"require": ["A"]}}, name="One")
    two = Schema.parse({"C": {"add": ["A"]}, "A": {"auto": True}})
    merged = one.merge(two)
    assert merged.names == ("A", "B", "C", "Exception")
    assert merged.name == "One"
    assert merged["A"] == StateDef("A", auto=True, args=dict)
    assert one == Schema.parse({"A": {}, "B": {"require": ["A"]}})
    assert one.merge(two, name="Both").name == "Both"


def test_merge_keeps_a_declared_exception_in_its_place_and_the_args_of_an_implied_one() -> None:
    declared = Schema.parse({"Exception": {"remove": ["A"]}, "A": {}})
    plain = Schema([StateDef("B"), StateDef("Exception", multi=True, args=Job)])
    assert plain.merge(declared).names == ("B", "Exception", "A")
    assert declared.merge(plain).names == ("Exception", "A", "B")
    assert declared.merge(plain)["Exception"].remove == ("A",)
    merged = plain.merge(Schema.parse({"A": {}}))
    assert merged.names == ("B", "A", "Exception")
    assert merged["Exception"].args is Job


def test_merge_joins_groups() -> None:
    one = Schema.parse({"A": {"exclusive": ["g"]}, "B": {"exclusive": ["g"]}})
    two = Schema.parse({"C": {"groups": ["h"]}})
    assert set(one.merge(two).groups) == {"g", "h"}


def test_prefix_renames_states_groups_and_relations_but_not_exception() -> None:
    schema = Schema.parse({"A": {"require": ["Exception"]}, "B": {"exclusive": ["g"], "require": ["A"]}})
    named = schema.prefix("Db")
    assert named.to_dict() == {
        "DbA": {"require": ["Exception"]},
        "DbB": {"require": ["DbA"], "exclusive": ["Dbg"]},
        "Exception": {"multi": True},
    }
    assert schema.prefix("Db", keep=["Exception", "A"]).names == ("A", "DbB", "Exception")


def test_select_cuts_relations_to_what_is_left_out() -> None:
    schema = Schema.parse({
        "A": {"add": ["B", "C"], "groups": ["g", "h"]},
        "B": {"require": ["C"], "groups": ["g"]},
        "C": {"groups": ["i"]},
    })  # fmt: skip
    some = schema.select("B", "A")
    assert some.names == ("A", "B", "Exception")
    assert some["A"].add == ("B",)
    assert some["B"].require == ()
    assert {name: group.members for name, group in some.groups.items()} == {"g": ("A", "B"), "h": ("A",)}
    with pytest.raises(UnknownState):
        schema.select("X")


def test_filter_by_tag_names_the_tagged_states() -> None:
    schema = Schema.parse({"A": {"tags": ["ui", "x:1"]}, "B": {}, "C": {"tags": ["ui"]}})
    assert schema.filter_by_tag("ui") == ("A", "C")
    assert schema.select(*schema.filter_by_tag("ui")).names == ("A", "C", "Exception")


def test_extend_changes_one_state_of_a_new_schema() -> None:
    schema = Schema.parse({"A": {"require": ["B"]}, "B": {}, "C": {}})
    wider = schema.extend("A", require=["C"], auto=True)
    assert wider["A"] == StateDef("A", require=("B", "C"), auto=True, args=dict)
    assert schema["A"] == StateDef("A", require=("B",), args=dict)
    with pytest.raises(UnknownState):
        schema.extend("X")


def test_has_and_adjacent() -> None:
    schema = Schema.parse({"A": {"require": ["B"]}, "B": {"remove": ["C"]}, "C": {}, "D": {"after": ["B"]}})
    assert schema.has("A", "D", "Exception")
    assert not schema.has("A", "X")
    assert schema.adjacent("B") == ("A", "C", "D")
    assert schema.adjacent("Exception") == ()


@pytest.mark.parametrize(
    ("pinned", "text"),
    [
        (["B", "A", "Exception"], "state 'A' is declared at place 0, where 'B' is pinned"),
        (["A", "B"], "state 'Exception' is declared at place 2, where none is pinned"),
        (["A", "B", "Exception", "Aa"], r"no state is declared at place 3, where 'Aa' is pinned"),
    ],
)
def test_verify_pins_the_order(pinned: Any, text: str) -> None:
    schema = Schema.parse({"A": {}, "B": {}}, name="Flow")
    schema.verify(["A", "B", "Exception"])
    with pytest.raises(SchemaError, match=text):
        schema.verify(pinned)


# Definitions of states.


def test_a_definition_is_extended_by_adding_and_replaced_by_replacing() -> None:
    state = StateDef("A", require=("B",), tags=("x",), limit=2)
    assert state.extend(require=["C", "B"], tags=["y"], limit=3) == StateDef(
        "A", require=("B", "C"), tags=("x", "y"), limit=3
    )
    assert state.extend() == state
    assert state.replace(require=("C",), limit=None) == StateDef("A", require=("C",), tags=("x",))
    with pytest.raises(SchemaError, match=r"there is no 'requires' to replace \(did you mean 'require'\?\)"):
        state.replace(requires=())
    with pytest.raises(SchemaError, match=r"has 'B' as its require: write \['B'\]"):
        state.extend(require="B")
    with pytest.raises(SchemaError, match="has 5 as its args"):
        StateDef("A", args=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


VECTORS = sorted((Path(__file__).parent / "conformance").glob("**/*.jsonl.gz"))


@pytest.mark.skipif(not VECTORS, reason="the recorded scenarios are not here")
def test_recorded_schemas_are_read_or_refused_as_recorded() -> None:
    for path in VECTORS:
        with gzip.open(path, "rt") as lines:
            for line in lines:
                vector = json.loads(line)
                scenario, wanted = vector["scenario"], vector["expect"]
                try:
                    schema = Schema.parse(scenario["schema"], order=scenario["state_order"])
                except SchemaError:
                    assert "schema_error" in wanted, vector["id"]
                else:
                    assert "schema_error" not in wanted, vector["id"]
                    assert list(schema.names) == wanted.get("order", list(schema.names)), vector["id"]
