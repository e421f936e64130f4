"""Arguments become short texts, without secrets, whatever they are."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from time import process_time
from types import MappingProxyType
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest

from amachine.mutation import ErrorInfo
from amachine.schema import Schema, StateDef
from amachine.tracers.redaction import MARK, SECRET, scrub
from amachine.tracers.shown import (
    ArgsMapper,
    call_text,
    change_text,
    clean,
    cut,
    error_text,
    merged,
    seconds_text,
    short,
)


@attrs.frozen
class Attrs:
    path: str = "a"
    api_token: str = "x"
    hidden: int = attrs.field(default=1, repr=False)


@dataclasses.dataclass
class Data:
    path: str = "a"
    PassWord: str = "x"
    hidden: int = dataclasses.field(default=1, repr=False)


class Model(pydantic.BaseModel):
    path: str = "a"
    secret_key: str = "x"
    hidden: int = pydantic.Field(default=1, repr=False)


class Named(NamedTuple):
    path: str = "a"
    token: str = "x"


@pytest.mark.parametrize("args", [Attrs(), Data(), Model(), Named(), {"path": "a", "token": "x"}])
def test_fields_are_shown_by_name_and_secrets_are_not(args: Any) -> None:
    shown = ArgsMapper()(args)
    assert list(shown.values()) == ["'a'", "…"]
    assert "x" not in call_text(shown)


def test_only_the_names_asked_for_are_shown() -> None:
    assert ArgsMapper(names={"path"})({"path": "a", "n": 1}) == {"path": "'a'"}
    assert ArgsMapper(redact=())({"token": 1}) == {"token": "1"}
    assert ArgsMapper()(None) == {}
    assert ArgsMapper()(17) == {"": "17"}
    assert call_text(ArgsMapper()(17)) == "(17)"
    assert call_text({}) == ""


@attrs.frozen
class Inner:
    user: str = "u"
    apiKey: str = "x0x0"
    iban: str = attrs.field(default="x0x0", metadata={MARK: True})


class Marked(pydantic.BaseModel):
    iban: str = pydantic.Field(default="x0x0", json_schema_extra={MARK: True})


class Struct(msgspec.Struct):
    private_key: str = "x0x0"


@dataclasses.dataclass
class Marking:
    pin: str = dataclasses.field(default="x0x0", metadata={MARK: True})


class Own:
    """Its author has decided what is shown."""

    def __repr__(self) -> str:
        return "Own(1 of 2)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Inner(), "Inner(user='u', apiKey=…, iban=…)"),
        ([Marked(), Struct(), Marking()], "[Marked(iban=…), Struct(private_key=…), Marking(pin=…)]"),
        ({"Authorization": "x0x0", "a": {"b": {"set-cookie": "x0x0"}}}, "{'Authorization': …, 'a': {'b': {'set-cookie': …}}}"),
        (MappingProxyType({"PassWord": "x0x0"}), "{'PassWord': …}"),
        ([(b"cookie", b"x0x0"), (b"host", b"h")], "[(b'cookie', …), (b'host', b'h')]"),
        (Named("a", "x0x0"), "Named(path='a', token=…)"),
        ("psql://bob:x0x0@db/x", "'psql://bob:…@db/x'"),
        (["curl", "-H", "Authorization: Bearer x0x0.x0x0"], "['curl', '-H', 'Authorization: …']"),
        ("--api-key=x0x0 --verbose", "'--api-key=… --verbose'"),
        ({"x": Own()}, "{'x': Own(1 of 2)}"),
        ({"path": Path("a"), "n": 1}, "{'path': 'a', 'n': 1}"),
        ("z" * 30 + " password=x0x0" + "y" * 300, "'" + "z" * 30 + " password=…'"),
        (["psql://bob:" + "x0" * 100 + "@db"], "['psql://bob:…@db']"),
    ],
)  # fmt: skip
def test_secrets_inside_of_values_are_not_shown(value: object, text: str) -> None:
    for args in ({"value": value}, Holder(value)):
        assert ArgsMapper(limit=80)(args) == {"value": text}
    assert "x0" not in ArgsMapper(limit=80)({"": [[value]]})[""]


@attrs.frozen
class Holder:
    value: object


def test_what_is_secret_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    mapper = ArgsMapper(redact=(*SECRET, "iban", re.compile(r"^n\d$"), re.compile(r"\d{4}-\d{4}")))
    given = {"my_IBAN": 1, "n1": 1, "n12": 1, "token": 1, "card": "1234-5678, or so"}
    assert mapper(given) == {"my_IBAN": "…", "n1": "…", "n12": "1", "token": "…", "card": "'…, or so'"}
    assert ArgsMapper()(given)["my_IBAN"] == "1"
    monkeypatch.setenv("AMACHINE_REDACT", "iban, n1")
    assert list(ArgsMapper()(given).values()) == ["…", "…", "…", "…", "'1234-5678, or so'"]
    with pytest.raises(TypeError, match=r"write redact=\('iban',\)"):
        ArgsMapper(redact="iban")
    with pytest.raises(TypeError, match="is one name"):
        ArgsMapper(names="iban")


def test_of_several_mappers_the_last_counts_but_what_one_hides_stays_hidden() -> None:
    both = merged(ArgsMapper(), lambda args: {"size": str(len(args)), "n": "many", "token": args["token"]})
    assert both({"n": 1, "token": "x0x0"}) == {"n": "many", "token": "…", "size": "2"}


def test_texts_of_any_origin_are_freed_of_secrets() -> None:
    assert error_text(ValueError("password='x 0', user=u")) == 'ValueError("password=…, user=u")'
    assert clean("{'token': 'x0', 'a': 1}", None) == "{'token': …, 'a': 1}"
    assert clean("token=x0\na", None) == "token=…\na"
    assert clean("no secret here", ArgsMapper(redact=())) == "no secret here"
    assert clean("token=x0", ArgsMapper(redact=())) == "token=x0"


def test_an_error_is_shown_with_where_it_came_from() -> None:
    assert ArgsMapper()(ErrorInfo(ValueError("x"), handler="A.b")) == {
        "error": "ValueError('x')",
        "in": "A.b",
    }
    assert ArgsMapper()(ErrorInfo(ValueError("x"))) == {"error": "ValueError('x')"}


def test_long_values_are_cut_before_they_are_formatted() -> None:
    assert short("x" * 10**7, 10) == "'xxxxxxxx…"
    assert len(short(b"x" * 10**7, 10)) == 10
    assert short(list(range(10**6)), 30) == "[0, 1, 2, 3, 4, 5, ...]"
    assert short(Path("docs") / "a.txt") == "'docs/a.txt'"
    assert cut("a\n  b", 10) == "a b"


def test_a_repr_that_raises_is_said_so() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert short(Broken(), 80) == "<Broken: its repr raised RuntimeError>"
    assert "RuntimeError" in short([Broken()], 80)


def test_changes_have_a_sign_for_each_kind() -> None:
    schema = Schema([StateDef("a"), StateDef("b"), StateDef("c", multi=True), StateDef("d")], name="s")
    assert (
        change_text(schema, enters=0b1101, exits=0b0010, reentries=0b0100, put_back=0b1000) == "+a -b *c !d"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00085, "850 µs"), (0.0012, "1.2 ms"), (0.012, "12 ms"), (3.42, "3.4 s"), (90, "1.5 min")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_looking_for_secrets_costs_no_more_than_the_length_of_the_text() -> None:
    begin = process_time()
    assert scrub("token" * 20_000, SECRET) == "token" * 20_000
    assert process_time() - begin < 1  # with each begin of a name looked at to the end of the text, a minute
    assert scrub(f"token{'x' * 100}=hunter2", SECRET) == f"token{'x' * 100}=…"
