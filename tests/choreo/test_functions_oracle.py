"""A script is ordinary Python: what roles have done in the end is what running it as a plain function does."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from amachine.choreography.exploring import explore
from amachine.choreography.functions.scripted import ScriptFunction
from amachine.choreography.playing.stage import Stage
from amachine.choreography.project import project_all
from tests.choreo import functions_plays as plays
from tests.choreo.test_functions_mistakes import COMMON, stage
from tests.thorough import MORE

MANY = 6 * MORE

ROLES = """
from enum import Enum
from typing import NamedTuple, Protocol

class Side(Enum):
    LEFT = 1
    RIGHT = 2

class One(NamedTuple):
    n: int

class Two(NamedTuple):
    n: int
    m: int

class Role:
    def __init__(self, seed: int) -> None:
        self.x, self.y, self.fuel, self.seen = seed, 1, 6, ()

    x: int
    y: int

    def __eq__(self, other):
        return (self.x, self.y, self.fuel, self.seen) == (other.x, other.y, other.fuel, other.seen)

    def step(self) -> int:
        self.x = (self.x * 29 + self.y + 7) % 101
        return self.x

    def take(self, n: int, m: int = 0) -> None:
        self.seen = (*self.seen[-20:], n, m)

    def mix(self, n: int) -> int:
        self.y = (self.y * 3 + n) % 97
        return self.y

    def more(self) -> bool:
        self.fuel -= 1
        return self.fuel > 0

    def even(self) -> bool:
        return self.step() % 2 == 0

    def side(self) -> Side:
        return Side.LEFT if self.even() else Side.RIGHT

    def read(self) -> One | Two:
        return One(self.step()) if self.even() else Two(self.step(), self.y)
"""


class Writer:
    """Writes random scripts of three roles."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.names = 0

    def role(self) -> str:
        return self.dice.choice("abc")

    def value(self, depth: int = 2, known: tuple[str, ...] = ()) -> str:
        role, inner = self.role(), self.dice.randrange(8 if depth else 4)
        if known and self.dice.random() < 0.3:
            return self.dice.choice(known)
        if inner < 2:
            return f"{role}.{self.dice.choice('xy')}"
        if inner == 2:
            return f"{role}.step()"
        if inner == 3:
            return str(self.dice.randrange(9))
        if inner == 4:
            return f"{self.value(depth - 1, known)} + {self.value(depth - 1, known)}"
        return f"{role}.mix({self.value(depth - 1, known)})"

    def block(self, depth: int, loop: bool, known: tuple[str, ...]) -> Iterator[str]:
        for _ in range(self.dice.randrange(1, 4)):
            yield from self.statement(depth, loop, known)

    def statement(self, depth: int, loop: bool, known: tuple[str, ...]) -> Iterator[str]:
        kind = self.dice.randrange(12 if depth else 5)
        role, value = self.role(), self.value(2, known)
        inside = ["    " + each for each in self.block(depth - 1, loop or kind == 7, known)] if depth else []
        if kind < 2:
            yield f"{role}.{self.dice.choice('xy')} = {value}"
        elif kind == 2:
            yield f"{role}.take({value}, {self.value(1, known)})"
        elif kind == 3:
            yield f"{role}.x = {self.role()}.y = {self.role()}.step()"
        elif kind == 4:
            jump = self.dice.choice(["break", "continue"]) if loop else f"{role}.y += {value}"
            yield from [f"if {role}.even():", f"    {jump}"]
        elif kind in {5, 6}:
            yield f"if {self.dice.choice(['', 'not '])}{role}.even():"
            yield from inside
            if kind == 5:
                yield "else:"
                yield from ["    " + each for each in self.block(depth - 1, loop, known)]
        elif kind == 7:
            yield f"while {role}.more():"
            yield from inside
        elif kind == 8:
            yield from [f"match {role}.side():", "    case Side.LEFT:", *("    " + each for each in inside)]
            if self.dice.random() < 0.5:
                yield from ["    case Side.RIGHT:", f"        {self.role()}.take({self.value(1, known)})"]
        elif kind in {9, 10}:
            yield from self.matched(depth, loop, known)
        else:
            first, second = self.dice.sample("abc", 2)
            yield from [f"if called({first}, {second}):", *inside]

    def matched(self, depth: int, loop: bool, known: tuple[str, ...]) -> Iterator[str]:
        self.names += 1
        one, n, m = f"o{self.names}", f"n{self.names}", f"m{self.names}"
        yield from [f"match {self.role()}.read():", f"    case One({one}):"]
        yield from ["        " + each for each in self.block(depth - 1, loop, (*known, one))]
        yield f"    case Two({n}, m={m}):"
        yield from ["        " + each for each in self.block(depth - 1, loop, (*known, n, m))]

    def script(self) -> str:
        body = [*self.block(2, False, ()), *self.block(3, False, ())]
        called = [*self.block(1, False, ())]
        called = [each.translate(str.maketrans("c", "a")) if "case" not in each else each for each in called]
        return "\n".join(
            [
                "@choreography",
                "def called(a: Role, b: Role) -> bool:",
                "    b.take(a.x)",
                "    return b.even()",
                "",
                "@choreography(inform='all')",
                "def f(a: Role, b: Role, c: Role) -> None:",
                *("    " + each for each in body),
                "    a.take(b.y)",
                "    c.take(b.y)",
            ]
        )


def called(self: ScriptFunction[..., Any], *roles: Any) -> Any:
    return self.function(*roles)


def run_as_python(script: ScriptFunction[..., Any], cast: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    with patch.context() as patched:
        patched.setattr(ScriptFunction, "__call__", called)
        script.function(**cast)


def play(script: ScriptFunction[..., Any], cast: dict[str, Any]) -> None:
    on = Stage(script.tables)
    on.add(cast)
    while on.run():
        pass
    assert not on.tally.failures, on.tally.failures


def same(script: ScriptFunction[..., Any], cast: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    twin = copy.deepcopy(cast)
    run_as_python(script, twin, patch)
    play(script, cast)
    assert twin == cast


def test_the_examples_play_as_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    same(plays.pingpong, {"c": plays.Player(), "s": plays.Player()}, monkeypatch)
    peers = {role: plays.Peer(chance=random.Random(3)) for role in "abc"}
    same(plays.show, {"s": plays.Dice(), **peers}, monkeypatch)


@pytest.mark.parametrize("seed", range(MANY))
def test_random_scripts_play_as_they_run(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = stage(ROLES + "\n" + Writer(seed).script(), {"choreography": COMMON["choreography"]})
    cast = {role: module.Role(number) for number, role in enumerate("abc")}
    same(module.f, cast, monkeypatch)
    if seed < 2:
        report = explore(project_all(module.f.script), bound=1, limit=500)
        assert report.clean
