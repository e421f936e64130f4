"""Broken schemas, each with what the linter is to say of it. No rule of schemas is broken here: only sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from amachine import Event, Machine, Schema, State, exclusive

Data = Mapping[str, Mapping[str, Any]]


@attrs.frozen
class Animal:
    """A schema, and the findings that it is to have, no more: each a code with the states that it is about."""

    name: str
    data: Data
    findings: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def schema(self) -> Schema:
        return Schema.parse(self.data, name=self.name)

    def __str__(self) -> str:
        return self.name


def animal(name: str, data: Data, *findings: tuple[str, ...]) -> Animal:
    return Animal(name, data, tuple((code, tuple(states)) for code, *states in findings))


ANIMALS = (
    animal(
        "requirements exclude each other",
        {"A": {"require": ["B", "C"]}, "B": {"remove": ["C"]}, "C": {}},
        ("never-active", "A"),
    ),
    animal(
        "removed by what it requires, far away",
        {"A": {"require": ["B"]}, "B": {"require": ["C"]}, "C": {"remove": ["A"]}},
        ("never-active", "A"),
    ),
    animal(
        "two of one group are required",
        {"A": {"require": ["B", "C"]}, "B": {"exclusive": ["g"]}, "C": {"exclusive": ["g"]}},
        ("never-active", "A"),
    ),
    animal(
        "an Auto state that an earlier one always beats",
        {
            "P": {},
            "X": {"auto": True, "require": ["P"], "remove": ["Y"]},
            "Y": {"auto": True, "require": ["P"], "remove": ["X"]},
        },
        ("auto-never", "Y"),
    ),
    animal(
        "an Auto state that is removed by what comes with its requirement",
        {
            "P": {"add": ["Q"]},
            "Q": {"remove": ["X"], "require": ["P"]},
            "X": {"auto": True, "require": ["Q"]},
        },
        ("never-active", "X"),
    ),
    animal(
        "an implied state whose requirement goes with the one that adds it",
        {"A": {"add": ["B"]}, "B": {"require": ["C"]}, "C": {"remove": ["A"]}},
        ("implied-never", "A", "B"),
    ),
    animal(
        "an implied state that a requirement removes",
        {"A": {"require": ["D"], "add": ["B"]}, "B": {}, "D": {"remove": ["B"]}},
        ("implied-never", "A", "B"),
    ),
    animal(
        "groups that shut each other out",
        {
            "A": {"exclusive": ["g"]},
            "B": {"exclusive": ["g"]},
            "C": {"exclusive": ["h"], "remove": ["A", "B"]},
            "D": {"exclusive": ["h"], "require": ["M"]},
            "M": {"remove": ["A", "B"]},
        },
        ("groups-apart", "A", "B", "C", "D"),
    ),
    animal(
        "Auto states that remove one another in a ring",
        {
            "X": {"auto": True, "remove": ["Y"]},
            "Y": {"auto": True, "remove": ["Z"]},
            "Z": {"auto": True, "remove": ["X"]},
            "p": {},
        },
        ("auto-restless", "X", "Y", "Z"),
    ),
    animal(
        "an Auto state that ends what others need",
        {"P": {}, "Z": {"require": ["P"]}, "K": {"auto": True, "remove": ["P"]}},
        ("never-rests", "P"),
        ("only-together", "Z"),
        ("auto-always", "K"),
    ),
    animal(
        "a multi state that an Auto state ends at once",
        {"M": {"multi": True}, "K": {"auto": True, "remove": ["M"]}},
        ("never-rests", "M"),
        ("auto-always", "K"),
        ("multi-never", "M"),
    ),
    animal(
        "an after of what it excludes",
        {"A": {"after": ["B"], "remove": ["B"]}, "B": {"remove": ["A"]}},
        ("after-void", "A", "B"),
    ),
    animal(
        "an after of what it requires",
        {"A": {"require": ["B"], "after": ["C"]}, "B": {"require": ["C"]}, "C": {}},
        ("after-redundant", "A", "C"),
    ),
    animal(
        "a requirement that comes with another",
        {"A": {"require": ["B", "C"]}, "B": {"require": ["C"]}, "C": {}},
        ("require-redundant", "A", "C"),
    ),
)

SANE: Mapping[str, Data] = {
    "nothing": {},
    "a water kettle": {
        "power": {},
        "water": {},
        "ready": {"auto": True, "require": ["power", "water"]},
        "boiling": {"require": ["ready"], "multi": True},
    },
    "an idle state that comes back": {
        "idle": {"auto": True, "exclusive": ["phase"]},
        "busy": {"exclusive": ["phase"]},
        "done": {"exclusive": ["phase"], "after": ["Exception"]},
    },
    "a state that brings what it requires": {"A": {"require": ["B"], "add": ["B"]}, "B": {}},
    "groups beside each other": {
        "red": {"exclusive": ["colour"]},
        "green": {"exclusive": ["colour"]},
        "big": {"exclusive": ["size"]},
        "small": {"exclusive": ["size"]},
    },
    "errors that are states": {"ErrDisk": {"require": ["Exception"], "add": ["Exception"]}},
}


class DeadHandlers(Machine):
    """Each handler whose name begins with `never` can never run; all others can."""

    a = State()
    b = State(remove=[a])
    c = State()
    torn = State(require=[b, c])
    apart = exclusive(b, c)
    needs = State(require=[a])
    shy = State(remove=["loud"])
    loud = State()

    @torn.enter
    def never_torn(self, e: Event[None]) -> bool:
        return True

    @torn.task
    async def never_torn_task(self, e: Event[None]) -> None: ...

    @torn.to(a)
    def never_from_torn(self, e: Event[None]) -> bool:
        return True

    @shy.to(loud)
    def never_from_shy(self, e: Event[None]) -> bool:
        return True

    @a.enter
    def enters(self, e: Event[None]) -> bool:
        return True

    @a.to(b)
    def a_to_b(self, e: Event[None]) -> bool:
        return True

    @loud.to(shy)
    def loud_to_shy(self, e: Event[None]) -> bool:
        return True

    @needs.exit
    def leaves(self, e: Event[None]) -> bool:
        return True

    @needs.stay
    def stays(self, e: Event[None]) -> bool:
        return True

    @Machine.any_state
    def always(self, e: Event[Any]) -> None: ...
