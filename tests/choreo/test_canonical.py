"""Canonical form, fingerprints and JSON: equal scripts are taken for equal, others are not, and bad data is told where."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import subprocess
import sys
import uuid
from typing import Annotated, Any, Literal, NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amachine.choreography.canonical import (
    HEAD,
    ScriptDataError,
    canonical,
    fingerprint,
    first_difference,
    numbering,
    parse,
    scene_hashes,
    to_dict,
)
from amachine.choreography.script import BranchDef, Inform, RegionDef, SceneDef, Script
from amachine.choreography.typenames import Opaque, payload_name, payload_schema
from tests.choreo.built import Final, pingpong, sendfile, show, two_phase
from tests.thorough import MORE

EXAMPLES = 20 * MORE


def changed(script: Script, scene: str, **parts: Any) -> Script:
    """The script with another scene in the place of one."""
    return attrs.evolve(script, scenes={**script.scenes, scene: attrs.evolve(script.scenes[scene], **parts)})


def carrying(payload: Any) -> Script:
    """The smallest script that has a payload of this type."""
    branch = BranchDef("say", payload, ("bob",), "Exit")
    scene = SceneDef("Say", "Say", "alice", ("bob",), (branch,))
    return Script("say", ("alice", "bob"), "Say", {"Say": scene})


class Socket:
    """Of which nobody knows a schema."""


# Fingerprints.


def test_what_an_author_may_order_as_he_likes_does_not_count() -> None:
    script = show()
    scenes = {
        id: attrs.evolve(
            each,
            receivers=each.receivers[::-1],
            branches=tuple(
                attrs.evolve(b, to=b.to[::-1], weight=7, after=3.0) for b in reversed(each.branches)
            ),
            patience=2.0,
        )
        for id, each in reversed([*script.scenes.items()])
    }
    other = attrs.evolve(script, scenes=scenes, name="other")
    assert fingerprint(other) == fingerprint(script)
    assert numbering(other) == numbering(script)
    assert first_difference(script, other) is None
    assert first_difference(script, scene_hashes(other)) is None


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (
            sendfile(),
            sendfile("Bad"),
            "scene Send, branch check, next: CheckHash[Send, Exit] here, CheckHash[Send, Bad] there",
        ),
        (pingpong(), pingpong("ann"), "roles: alice, bob here, ann, bob there"),
        (
            carrying(int),
            carrying(str),
            "scene Say, branch say, payload: integer here, string there",
        ),
        (
            carrying(int),
            carrying(None),
            "scene Say, branch say, payload: integer here, none there",
        ),
        (
            carrying(int),
            changed(carrying(int), "Say", sender="bob"),
            "scene Say, sender: alice here, bob there",
        ),
        (carrying(int), changed(carrying(int), "Say", branches=()), "scene Say, branch say is only here"),
        (
            carrying(int),
            attrs.evolve(carrying(int), informs=(Inform("Say", "say", "alice"),)),
            "scene Say, branch say, informs: nobody here, alice there",
        ),
        (carrying(int), attrs.evolve(carrying(int), closing=True), "closing: False here, True there"),
        (
            attrs.evolve(carrying(int), roles=("alice, bob",)),
            carrying(int),
            'roles: ["alice, bob"] here, ["alice", "bob"] there',
        ),
    ],
)
def test_the_first_difference_names_the_scene_and_what_differs(
    mine: Script, theirs: Script, said: str
) -> None:
    assert first_difference(mine, theirs) == said
    assert fingerprint(mine) != fingerprint(theirs)
    by_hash = first_difference(mine, scene_hashes(theirs))
    assert by_hash is not None
    assert by_hash.startswith(
        said.split(",", maxsplit=1)[0] if said.startswith("scene") else ("the roles", "scene Ping")
    )


def region(**parts: Any) -> Script:
    pay = attrs.evolve(RegionDef("Pay", (("bob", "Exit"),)), **parts)
    return attrs.evolve(carrying(int), regions={"Pay": pay})


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (region(), carrying(int), "region Pay is only here"),
        (carrying(int), region(), "region Pay is only there"),
        (region(), region(restart=True), "region Pay, restart: False here, True there"),
        (region(parent="Trip"), region(), "region Pay, parent: Trip here, none there"),
        (region(on_lost=()), region(), "region Pay, without bob: none here, Exit there"),
        (region(), region(on_lost=(("bob", "Say"),)), "region Pay, without bob: Exit here, Say there"),
    ],
)
def test_what_differs_in_a_region_is_named(mine: Script, theirs: Script, said: str) -> None:
    assert first_difference(mine, theirs) == said


def data(name: str, *fields: Any) -> type:
    """A dataclass made of names, types and defaults."""
    return dataclasses.make_dataclass(name, fields)


def default(value: Any) -> Any:
    return dataclasses.field(default=value)


ORDER, TEXT, OTHER = data("Order", ("zip", int)), data("Order", ("zip", str)), data("Order", ("name", str))
MANY = [(f"field_{n}", str) for n in range(40)]
SPACE = "x" * 300
MODELS = [pydantic.create_model("Model", zip=(kind, ...)) for kind in (int, str)]


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (ORDER, TEXT, " Order.zip: integer here, string there"),
        (ORDER, OTHER, " Order: field name is only there"),
        (data("Order", *MANY, ("zip", int)), data("Order", *MANY, ("zip", str)), " Order.zip: integer here, string there"),
        (data("Box", ("order", ORDER)), data("Box", ("order", TEXT)), " Box.order.zip: integer here, string there"),
        (list[ORDER], list[TEXT], "[].zip: integer here, string there"),  # type: ignore[valid-type]
        (dict[str, list[ORDER]], dict[str, list[TEXT]], "[][].zip: integer here, string there"),  # type: ignore[valid-type]
        (ORDER | None, TEXT | None, " Order.zip: integer here, string there"),
        (ORDER | None, ORDER, ": Order or null here, Order there"),
        (ORDER, data("Invoice", ("zip", int)), ": Order here, Invoice there"),
        (MODELS[0], MODELS[1], " Model.zip: integer here, string there"),
        (list[MODELS[0]], list[MODELS[1]], "[].zip: integer here, string there"),  # type: ignore[valid-type]
        (ORDER, data("Order", ("zip", int, default(1))), " Order.zip, default: nothing here, 1 there"),
        (data("P", ("a", int, default(1))), data("P", ("a", int, default(True))), " P.a, default: 1 here, true there"),
        (data("P", ("a", Any, default(None))), data("P", ("a", Any)), " P.a, default: null here, nothing there"),
        (
            data("P", ("a", tuple[int, int], default((1, 2)))),
            data("P", ("a", tuple[int, int], default((1, 3)))),
            " P.a, default 2: 2 here, 3 there",
        ),
        (
            data("P", ("a", str, default(f"{SPACE}one"))),
            data("P", ("a", str, default(f"{SPACE}other"))),
            f' P.a, default: …{"x" * 19}one" here, …{"x" * 19}other" there',
        ),
        (data("P", ("a", int), ("b", int)), data("P", ("b", int), ("a", int)), " P: its fields stand in another order"),
        (Literal["a"], Literal["a", "b"], ': "b" is only there'),
        (bytes, str, ": string (base64) here, string there"),
        (tuple[int, str], tuple[int, int], "[1]: string here, integer there"),
        (list[int], set[int], ", uniqueItems: nothing here, true there"),
        (Any, int, ": anything here, integer there"),
        (Socket, int, ": Socket here, integer there"),
        (Annotated[int, msgspec.Meta(ge=3)], int, ", minimum: 3 here, nothing there"),
        (Opaque("x.P", {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
         Opaque("x.P", {"type": "object", "properties": {"a": {}}, "required": []}), ".a: required here, optional there"),
    ],
)  # fmt: skip
def test_what_differs_in_a_payload_is_named_down_to_the_field(mine: Any, theirs: Any, said: str) -> None:
    one, other = carrying(mine), carrying(theirs)
    assert fingerprint(one) != fingerprint(other)
    assert first_difference(one, other) == f"scene Say, branch say, payload{said}"
    assert first_difference(one, parse(json.dumps(to_dict(other)))) == f"scene Say, branch say, payload{said}"


class Node(msgspec.Struct):
    next: Node | None = None


def test_types_that_contain_themselves_can_be_compared() -> None:
    schema = payload_schema(Node)
    other = json.loads(json.dumps(schema).replace('"null"', '"integer"'))
    found = first_difference(carrying(Node), carrying(Opaque("x.Node", other)))
    assert found == "scene Say, branch say, payload Node.next: Node or null here, Node or integer there"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.floats(0, 1) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["$ref", "$defs", "properties", "items", "anyOf", "required", "enum", "type", "x", "a"]
            ),
            inner | st.just("#/$defs/a"),
            max_size=3,
        )
    ),
)


@settings(max_examples=5 * EXAMPLES, deadline=None)
@given(JSON, JSON)
def test_whatever_somebody_else_says_of_a_payload_its_difference_is_short_and_can_be_seen(
    one: Any, other: Any
) -> None:
    mine, theirs = carrying(Opaque("x.X", one)), carrying(Opaque("x.X", other))
    found = first_difference(mine, theirs)
    assert (found is None) == (fingerprint(mine) == fingerprint(theirs))
    if found is not None:
        assert len(found) < 300
        assert "{" not in found
        sides = re.fullmatch(r".*?: (.*) here, (.*) there", found)
        assert sides is None or sides[1] != sides[2]


def test_a_scene_that_only_one_side_has_is_named() -> None:
    mine = carrying(int)
    theirs = attrs.evolve(mine, scenes={**mine.scenes, "Extra": attrs.evolve(mine.scenes["Say"], id="Extra")})
    assert (
        first_difference(mine, theirs)
        == first_difference(mine, scene_hashes(theirs))
        == "scene Extra is only there"
    )
    assert (
        first_difference(theirs, mine)
        == first_difference(theirs, scene_hashes(mine))
        == "scene Extra is only here"
    )


def test_fingerprints_are_the_same_in_every_process() -> None:
    code = "from tests.choreo.built import show\nfrom amachine.choreography.canonical import fingerprint\n"
    code += "print(fingerprint(show()))"
    env = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == fingerprint(show())
    assert len(fingerprint(show())) == 32


def test_hashes_are_by_scene_and_one_for_the_rest() -> None:
    mine, theirs = (
        scene_hashes(sendfile()),
        scene_hashes(changed(sendfile(), "Size", region=None, sender="receiver")),
    )
    assert list(mine) == [HEAD, *sorted(sendfile().scenes)]
    assert [id for id, each in mine.items() if theirs[id] != each] == ["Size"]


def test_numbers_are_places_in_the_canonical_order() -> None:
    numbers = numbering(sendfile())
    assert [*numbers] == sorted(numbers)
    assert numbers["Send", "check"] == (2, 0)
    assert numbers["Send", "final"] == (2, 2)
    assert [*canonical(sendfile())["scenes"]] == sorted(sendfile().scenes)


# Payload types.


class Model(pydantic.BaseModel):
    """In words that do not count."""

    title: str
    description: int = 3


class Same(pydantic.BaseModel):
    title: str
    description: int = 3


Same.__name__ = Same.__qualname__ = "Model"


@dataclasses.dataclass
class Part:
    data: bytes


class Item(msgspec.Struct):
    part: Part
    models: list[Model]


class Pair(NamedTuple):
    one: int
    other: Socket


def test_a_schema_is_made_of_every_kind_of_class_without_its_docstring() -> None:
    for kind in (Model, Part, Item, Final, Socket, Pair, list[Item], dict[str, Part] | None, Any, uuid.UUID):
        payload = canonical(carrying(kind))["scenes"]["Say"]["branches"]["say"]["payload"]
        assert "docstring" not in json.dumps(payload)
        assert "words" not in json.dumps(payload)
    assert canonical(carrying(Model)) == canonical(carrying(Same))
    properties = canonical(carrying(Model))["scenes"]["Say"]["branches"]["say"]["payload"]["properties"]
    assert properties.keys() == {"title", "description"}, "names of fields are no words about them"
    assert fingerprint(carrying(Socket)) != fingerprint(carrying(Pair))


@pytest.mark.parametrize(
    "kind",
    [
        int,
        bytes,
        list[int],
        dict[str, list[bytes | None]],
        tuple[int, ...],
        tuple[int, str],
        tuple[()],
        Any,
        uuid.UUID,
        int | None,
    ],
)
def test_types_of_python_come_back_by_name(kind: Any) -> None:
    data = to_dict(carrying(kind))
    assert "types" not in data
    assert parse(data) == carrying(kind)


def test_a_type_of_ones_own_comes_back_by_its_name_or_stays_opaque() -> None:
    script = carrying(dict[str, Part])
    data = json.dumps(to_dict(script))
    full = f"{Part.__module__}.Part"
    assert parse(data, types={"Part": Part}) == parse(data, types={full: Part}) == script
    opaque = parse(data)
    payload = opaque.scenes["Say"].branches[0].payload
    assert isinstance(payload, Opaque)
    assert str(payload) == payload_name(dict[str, Part], full=True)
    assert fingerprint(opaque) == fingerprint(script)
    assert to_dict(opaque) == to_dict(script)


def test_two_types_of_one_name_stay_two() -> None:
    branches = tuple(BranchDef(kind.__doc__ or "same", kind, (), "Exit") for kind in (Model, Same))
    script = Script("x", ("a",), "S", {"S": SceneDef("S", "S", "a", (), branches)})
    assert Model.__module__ == Same.__module__
    assert len({each.payload for each in parse(to_dict(script)).scenes["S"].branches}) == 2


@pytest.mark.parametrize(
    "name",
    [
        "__import__('os')",
        "os.system",
        "(" * 900,
        "list[int](3)",
        "int[str]",
        "list[1]",
        "list[int",
        "1",
        "lambda: 0",
        "ä.b",
    ],
)
def test_a_name_in_data_is_only_looked_up(name: str) -> None:
    data = to_dict(carrying(int))
    data["scenes"][0]["branches"][0]["payload"] = name
    assert parse(data).scenes["Say"].branches[0].payload == Opaque(name)


# JSON.


@pytest.mark.parametrize(
    "script", [pingpong(), sendfile("Bad"), two_phase(), show()], ids=lambda each: each.name
)
def test_examples_come_back_from_json(script: Script) -> None:
    text = json.dumps(to_dict(script))
    again = parse(text, types={"Final": Final})
    assert again == parse(text.encode(), types={"Final": Final}) == script
    assert list(again.scenes) == list(script.scenes)
    assert fingerprint(again) == fingerprint(parse(text)) == fingerprint(script)


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=4)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Any script whose names lead somewhere; whether it is sound does not matter here."""
    roles = tuple(draw(st.lists(names, min_size=1, max_size=4, unique=True)))
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    exits = tuple(draw(st.lists(names.map(lambda each: f"!{each}"), min_size=1, max_size=2, unique=True)))
    role, place = st.sampled_from(roles), st.sampled_from([*ids, *exits])
    regions = draw(st.lists(names, max_size=3, unique=True))
    seconds = st.none() | st.floats(0.001, 1e9)
    cast = st.lists(role, max_size=3).map(tuple)
    payload = st.sampled_from([None, int, bytes, list[str], Part, Opaque("x.y.Z", {"type": "object"})])
    branch = st.builds(
        BranchDef, names, payload, cast, place, weight=st.floats(0, 1e9), after=seconds, ignored=st.booleans()
    )
    branches = st.lists(branch, max_size=3, unique_by=lambda each: each.label).map(tuple)
    region = st.sampled_from([None, *regions])
    scenes = {
        id: draw(
            st.builds(SceneDef, st.just(id), names, role, cast, branches, region=region, patience=seconds)
        )
        for id in ids
    }
    informs = [Inform(id, each.label, draw(role)) for id, scene in scenes.items() for each in scene.branches]
    defined = {
        name: RegionDef(
            name,
            tuple(draw(st.dictionaries(role, place, max_size=2)).items()),
            restart=draw(st.booleans()),
            parent=draw(st.sampled_from([None, *regions[:at]])),
        )
        for at, name in enumerate(regions)
    }
    return Script(
        name=draw(names),
        roles=roles,
        start=draw(place),
        scenes=scenes,
        exits=exits,
        informs=tuple(draw(st.permutations(informs))),
        regions=defined,
        mortal=draw(cast),
        endless=draw(st.booleans()),
        closing=draw(st.booleans()),
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(scripts(), st.randoms(use_true_random=False))
def test_every_script_comes_back_from_json(script: Script, dice: random.Random) -> None:
    text = json.dumps(to_dict(script))
    again = parse(text, types={"Part": Part})
    assert again == script
    assert [*again.scenes] == [*script.scenes]
    assert fingerprint(parse(text)) == fingerprint(script)
    shuffled = attrs.evolve(script, scenes=dict(dice.sample([*script.scenes.items()], len(script.scenes))))
    assert fingerprint(shuffled) == fingerprint(script)


def mutilated(path: str, value: Any) -> dict[str, Any]:
    """Good data, with this value at that place."""
    script = attrs.evolve(
        sendfile(),
        informs=(Inform("Send", "chunk", "sender"),),
        regions={"Pay": RegionDef("Pay", (("sender", "Exit"),)), "In": RegionDef("In", (), parent="Pay")},
        mortal=("sender",),
    )
    data = to_dict(script)
    *steps, last = path.replace("]", "").replace("[", ".").split(".")
    at: Any = data
    for step in steps:
        at = at[int(step)] if step.isdigit() else at[step]
    at[int(last) if last.isdigit() else last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("start", "Sise", "start: there is no scene or exit 'Sise' (did you mean 'Size'?)"),
        ("scenes[0].sender", "sendr", "scenes[0].sender: there is no role 'sendr' (did you mean 'sender'?)"),
        ("scenes[0].sender", 3, "scenes[0].sender: Expected `str`, got `int`"),
        ("scenes[0].receivers[0]", "x", "scenes[0].receivers[0]: there is no role 'x'"),
        ("scenes[1].id", "Size", "scenes[1].id: 'Size' is there already, as scenes[0]"),
        ("scenes[1].region", "Pai", "scenes[1].region: there is no region 'Pai' (did you mean 'Pay'?)"),
        ("scenes[1].branches[0].next", "Sent", "scenes[1].branches[0].next: there is no scene or exit 'Sent' (did"),
        ("scenes[1].branches[1].label", "chunk", "scenes[1].branches[1].label: 'chunk' is there already, as scenes["),
        ("scenes[1].branches[0].to[0]", "x", "scenes[1].branches[0].to[0]: there is no role 'x'"),
        ("scenes[1].branches[0].weight", -1, "scenes[1].branches[0].weight: Expected `float` >= 0.0"),
        ("scenes[1].branches[0].wait", -1, "scenes[1].branches[0]: Object contains unknown field `wait`"),
        ("exits[0]", "Size", "exits[0]: 'Size' is a scene, as scenes[0]"),
        ("roles[1]", "sender", "roles[1]: 'sender' is there already, as roles[0]"),
        ("roles[1]", "\x1b[2J", "roles[1]: a name is expected, of at least one character and without control characters"),
        ("informs[0].scene", "X", "informs[0].scene: there is no scene 'X'"),
        ("informs[0].label", "X", "informs[0].label: there is no branch of Send 'X'"),
        ("informs[0].role", "X", "informs[0].role: there is no role 'X'"),
        ("regions[0].on_lost", {"x": "Exit"}, "regions[0].on_lost: there is no role 'x'"),
        ("regions[0].on_lost.sender", "X", "regions[0].on_lost.sender: there is no scene or exit 'X'"),
        ("regions[0].parent", "In", "regions[0].parent: region 'Pay' is inside of itself"),
        ("mortal[0]", "X", "mortal[0]: there is no role 'X'"),
        ("version", 2, "version: Invalid enum value 2"),
        ("nam", "x", "Object contains unknown field `nam` (did you mean 'name'?)"),
    ],
)  # fmt: skip
def test_bad_data_is_told_with_its_place(path: str, value: Any, said: str) -> None:
    with pytest.raises(ScriptDataError) as caught:
        parse(mutilated(path, value))
    assert str(caught.value).startswith(said)
    assert said.startswith(caught.value.path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", b"\xff", "\ud800", "[" * 100_000, '{"a":' * 100_000, {"name": float("nan")}],
)
def test_what_is_no_json_of_a_script_is_refused(text: Any) -> None:
    with pytest.raises(ScriptDataError):
        parse(text)


def test_more_data_than_any_script_has_is_refused_before_it_is_read() -> None:
    with pytest.raises(ScriptDataError, match="more than the 16,777,216 that are read"):
        parse(b" " * (2**24 + 1))
    data = to_dict(carrying(int))
    data["scenes"] *= 10_001
    with pytest.raises(ScriptDataError, match="length <= 10000"):
        parse(data)
