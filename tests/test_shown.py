"""Arguments become short texts, without secrets, whatever they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest

from amachine.mutation import ErrorInfo
from amachine.schema import Schema, StateDef
from amachine.tracers.shown import ArgsMapper, call_text, change_text, cut, seconds_text, short


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
