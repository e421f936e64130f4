"""Payloads as bytes: what travels, what is refused, and that nothing from outside does more than not fit."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import socket
import sys
from typing import Annotated, Any, Literal, cast

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amachine.choreography.builder import Builder
from amachine.choreography.wire.codec import LIMIT, STANDARD, Decode, Encode, Standard, Unsendable, problem
from amachine.choreography.wire.wiring import Wiring, wiring_of
from tests.choreo.built import Final, sendfile
from tests.thorough import MORE

MANY = 25 * MORE


@dataclasses.dataclass
class Plain:
    n: int
    when: dt.datetime | None = None


class Packed(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(max_length=10)]
    kind: Literal["a", "b"] = "a"


class Model(pydantic.BaseModel):
    n: int
    names: list[str] = []


@dataclasses.dataclass
class Tree:
    children: list[Tree]


@dataclasses.dataclass
class WithModel:
    model: Model


class PackedModel(msgspec.Struct):
    model: Model


@dataclasses.dataclass
class WithSocket:
    wire: socket.socket


VALUES: tuple[tuple[Any, Any], ...] = (
    (None, None),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, math.inf),
    (bool, True),
    (str, "žluťoučký\0"),
    (bytes, b"\x00\xff" * 1000),
    (bytearray, bytearray(b"ab")),
    (list[int], [1, 2]),
    (dict[str, float], {"a": 1.5}),
    (int | str, "x"),
    (Final, Final(b"data", b"digest")),
    (Plain, Plain(1, dt.datetime(2024, 1, 2, tzinfo=dt.UTC))),
    (Packed, Packed("ten", "b")),
    (Model, Model(n=1, names=["x"])),
    (list[Model], [Model(n=1)]),
    (Model | None, None),
    (WithModel, WithModel(Model(n=1))),
    (dict[str, WithModel | int], {"a": WithModel(Model(n=1)), "b": 2}),
    (Tree, Tree([Tree([]), Tree([])])),
)


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[str(n) for n in range(len(VALUES))])
def test_what_is_encoded_comes_out_the_same(kind: Any, value: Any) -> None:
    assert problem(kind) is None
    data = STANDARD.encoder(kind)(value)
    assert len(data) <= STANDARD.limit(kind)
    decoded = STANDARD.decoder(kind)(memoryview(data))
    assert decoded == value
    assert type(decoded) is type(value)


def test_not_a_number_travels_as_one() -> None:
    assert math.isnan(STANDARD.decoder(float)(STANDARD.encoder(float)(math.nan)))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (socket.socket, "socket cannot be encoded: it is none of"),
        (WithSocket, "WithSocket cannot be encoded: socket, which is in it"),
        (list[object], "list[object] cannot be encoded"),
        (memoryview, "memoryview cannot be encoded"),
        (msgspec.Raw, "Raw cannot be encoded"),
        (
            PackedModel,
            "PackedModel cannot be encoded: there is a pydantic model in it, which may be in dataclasses",
        ),
        (list[int] | set[str], "may not contain more than one array-like"),
        ("Missing", "cannot be encoded"),
    ],
    ids=str,
)
def test_a_type_that_cannot_travel_is_told_with_what_is_wrong_in_it(kind: Any, said: str) -> None:
    found = problem(kind)
    assert found is not None
    assert said in found
    assert "\n" not in found


def test_numbers_have_low_limits_and_text_the_general_one() -> None:
    assert STANDARD.limit(None) == 0
    assert STANDARD.limit(int) == STANDARD.limit(Literal["a", "b"]) == 256
    assert 256 < STANDARD.limit(Packed) < 300
    assert (
        STANDARD.limit(str) == STANDARD.limit(Tree) == STANDARD.limit(Model) == STANDARD.limit(Any) == LIMIT
    )
    assert Standard(100).limit(str) == Standard(100).limit(int) == 100


def test_bytes_travel_as_they_are_and_what_can_be_written_to_is_copied() -> None:
    encode = STANDARD.encoder(bytes)
    data = b"x" * 1000
    assert encode(data) is data
    buffer = bytearray(b"before")
    sent = encode(buffer)
    buffer[:] = b"after!"
    assert sent == b"before"
    view = memoryview(bytearray(b"kept"))
    kept = STANDARD.decoder(bytes)(view)
    view[:] = b"gone"
    assert kept == b"kept"


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 2**64),
        (int, -(2**63) - 1),
        (str, "\ud800"),
        (Any, nested(100_000)),
        (Any, object()),
        (bytes, "text"),
        (None, 5),
        (Model, 7),
    ],
    ids=["huge", "low", "surrogate", "deep", "object", "text for bytes", "something for nothing", "no model"],
)
def test_a_value_that_cannot_be_encoded_raises(kind: Any, value: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, RecursionError)):
        STANDARD.encoder(kind)(value)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Any, b"\x91" * 100_000 + b"\x01"),
        (list[int], b"\xdd\xff\xff\xff\xff"),
        (dict[str, int], b"\xdf\xff\xff\xff\xff"),
        (bytearray, b"\xc6\xff\xff\xff\xff"),
        (str, b"\xa2\xff\xff"),
        (str, b"\xa3\xed\xa0\x80"),
        (int, b"\xa11"),
        (int, b""),
        (int, b"\x01\x01"),
        (bool, b"\x01"),
        (None, b"\xc0"),
        (Packed, b"\x80"),
        (Packed, STANDARD.encoder(dict)({"name": "longer than ten"})),
        (Model, b'{"n": "1"}'),
        (Model, b'{"n": ' + b"9" * 100_000 + b"}"),
        (Model, b"[" * 100_000),
        (Model, b"\xff"),
    ],
    ids=lambda value: repr(cast("object", value))[:30],
)
def test_what_does_not_fit_is_refused_and_costs_nothing(kind: Any, data: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        STANDARD.decoder(kind)(memoryview(data))


@given(st.binary(max_size=60))
@settings(max_examples=MANY)
def test_garbage_is_decoded_to_the_type_or_refused_with_an_exception(data: bytes) -> None:
    for kind in (int, Final, Packed, Model, Plain, Tree):
        try:
            found = STANDARD.decoder(kind)(memoryview(data))
        except (ValueError, RecursionError):
            continue
        assert isinstance(found, kind)


# For a whole script.


def test_a_wiring_knows_every_branch_by_name_and_number() -> None:
    wiring = wiring_of(sendfile())
    assert wiring is wiring_of(sendfile())
    assert wiring.by_number.keys() == {branch.at for branch in wiring.branches.values()}
    chunk, size = wiring.branches["Send", "chunk"], wiring.branches["Size", "size"]
    assert (chunk.limit, size.limit) == (LIMIT, 256)
    assert chunk.encode(b"x") == b"x"


def test_a_wiring_names_the_branch_whose_payload_cannot_travel() -> None:
    b = Builder()
    scene = b.scene("Show", "a").branch("hand", socket.socket, to="b")
    with pytest.raises(Unsendable, match=r"Show\.hand: socket cannot be encoded"):
        Wiring(b.script("x", scene, roles=("a", "b")), STANDARD)


def test_what_a_wire_cannot_count_is_refused() -> None:
    b = Builder()
    scene = b.scene("Choose", "a")
    for n in range(257):
        scene.branch(f"b{n:03}", to="b")
    with pytest.raises(Unsendable, match="256 branches of each"):
        Wiring(b.script("x", scene, roles=("a", "b")), STANDARD)


@attrs.frozen
class Shouting:
    """A codec of the user's: numbers as decimal text."""

    name: str = "shouting"

    def problem(self, payload: Any) -> str | None:
        return None if payload is int else "only numbers are shouted"

    def limit(self, payload: Any) -> int:
        return 20

    def encoder(self, payload: Any) -> Encode:
        return lambda data: b"%d!" % data

    def decoder(self, payload: Any) -> Decode:
        return lambda data: int(bytes(data)[:-1])


def test_a_codec_of_the_users_replaces_ours() -> None:
    b = Builder()
    script = b.script(
        "x", b.scene("S", "a").branch("n", int, to="b").branch("stop", to="b"), roles=("a", "b")
    )
    wiring = Wiring(script, Shouting())
    branch = wiring.branches["S", "n"]
    assert (branch.encode(7), branch.decode(b"7!"), branch.limit) == (b"7!", 7, 20)
    assert wiring.branches["S", "stop"].limit == 0
    with pytest.raises(Unsendable, match="only numbers are shouted"):
        Wiring(sendfile(), Shouting())


def test_asking_whether_a_type_can_travel_loads_neither_pydantic_nor_a_socket() -> None:
    import subprocess

    program = (
        "import sys\n"
        "from amachine.choreography.wire.codec import problem\n"
        "assert problem(int) is None and problem(list[dict[str, bytes]]) is None\n"
        "assert not {'pydantic', 'asyncio', 'trio'} & sys.modules.keys(), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_what_pydantic_refuses_is_told_by_place_and_without_the_value() -> None:
    decode = STANDARD.decoder(Model)
    with pytest.raises(ValueError, match="n: Input should be a valid integer") as caught:
        decode(b'{"password": "hunter2", "name": ["hunter2"], "n": "hunter2", "size": "hunter2"}')
    assert "hunter2" not in str(caught.value)
