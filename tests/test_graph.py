"""What a schema looks like as Mermaid: every relation once, nothing twice, and no name that breaks the syntax."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amachine import Machine, Schema, State, UnknownState, exclusive
from amachine.graph import mermaid


def drawn(data: dict[str, dict[str, Any]], **options: Any) -> list[str]:
    """The lines of a drawing, without indent and looks."""
    lines = [line.strip() for line in mermaid(Schema.parse(data), **options).splitlines()]
    return [line for line in lines if not line.startswith("classDef")]


@pytest.mark.parametrize(
    ("relation", "arrow"),
    [
        ("require", "-->|requires|"),
        ("add", "==>|adds|"),
        ("remove", "--x|removes|"),
        ("after", "-.->|after|"),
    ],
)
def test_each_relation_has_its_arrow(relation: str, arrow: str) -> None:
    assert drawn({"A": {relation: ["B"]}, "B": {}}) == [
        "flowchart LR",
        's0["A"]',
        's1["B"]',
        f"s0 {arrow} s1",
    ]


def test_states_that_remove_each_other_share_one_arrow() -> None:
    assert drawn({"A": {"remove": ["B"]}, "B": {"remove": ["A"]}})[3:] == ["s0 x--x|excludes| s1"]


def test_an_exclusive_group_is_a_box_and_needs_no_arrows() -> None:
    class Door(Machine):
        opened = State()
        closed = State()
        locked = State(require=[closed])
        door = exclusive(opened, closed)

    lines = [line.strip() for line in format(Door(), "mermaid").splitlines()]
    assert lines[1:6] == [
        'subgraph g0["door: at most one of"]',
        's0["opened"]',
        's1["closed"]',
        "end",
        's2["locked"]',
    ]
    assert [line for line in lines if "excludes" in line or "removes" in line] == []


def test_a_state_of_two_groups_stands_in_one_box_and_names_the_other() -> None:
    data = {name: {"exclusive": groups} for name, groups in (("A", ["x"]), ("B", ["x", "y"]), ("C", ["y"]))}
    lines = drawn(data)
    assert 's1["B<br/><small>in y</small>"]' in lines
    assert len([line for line in lines if line.startswith("s1[")]) == 1
    assert [line for line in lines if "excludes" in line] == []


def test_what_many_require_is_a_badge() -> None:
    many = drawn({"Start": {}, **{name: {"require": ["Start"]} for name in "ABC"}})
    assert 's0["★ Start"]' in many
    assert 's1["A<br/><small>needs Start</small>"]' in many
    assert [line for line in many if "-->" in line] == []
    few = drawn({"Start": {}, **{name: {"require": ["Start"]} for name in "AB"}})
    assert few[-2:] == ["s1 -->|requires| s0", "s2 -->|requires| s0"]


def test_auto_and_multi_are_marked() -> None:
    lines = drawn({"A": {"auto": True, "multi": True}, "B": {"multi": True}})
    assert lines[1:] == ['s0(["A<br/><small>⚑ auto · multi</small>"])', 's1["B<br/><small>⚑ multi</small>"]']


def test_active_states_are_filled_and_a_machine_shows_its_own() -> None:
    assert drawn({"A": {}, "B": {}, "C": {}}, active=["A", "C"])[-1] == "class s0,s2 on"
    machine = Machine.of({"A": {}, "B": {}})
    machine.add("B")
    assert format(machine, "mermaid").endswith("class s1 on\n")
    with pytest.raises(UnknownState, match="did you mean 'Ab'"):
        drawn({"Ab": {}}, active=["ab"])


def test_exception_is_shown_only_where_it_says_something() -> None:
    assert not any("Exception" in line for line in drawn({"A": {}}))
    assert any(line.endswith(":::error") for line in drawn({"A": {"remove": ["Exception"]}}))
    assert any("Exception" in line for line in drawn({"A": {}}, active=["Exception"]))


def test_the_direction_can_be_chosen() -> None:
    assert drawn({"A": {}}, direction="TB")[0] == "flowchart TB"


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@given(st.sets(words, min_size=2, max_size=4), st.data())
def test_no_name_can_break_the_syntax(names: set[str], data: st.DataObject) -> None:
    """Each line is one of the forms that were tried on Mermaid's own parser, whatever the states are called."""
    from amachine import SchemaError

    states: dict[str, dict[str, Any]] = {name: {} for name in sorted(names)}
    first, second = list(states)[:2]
    states[first] = {"remove": [second], "exclusive": [data.draw(words)], "auto": data.draw(st.booleans())}
    try:
        lines = drawn(states)
    except SchemaError:  # such as names that differ only in case
        return
    label = r'"[^"\[\](){}<>|]*(<br/><small>[^"<>]*</small>)*"'
    form = re.compile(
        rf"flowchart LR|end|subgraph g\d\[{label}\]|s\d\[{label}\]|s\d\(\[{label}\]\)|s\d \S+ s\d"
    )
    assert [line for line in lines if not form.fullmatch(line)] == []
