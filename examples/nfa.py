"""NFA: a nondeterministic automaton is in several states at once, which is what a machine is anyway.

A file name pattern such as `*.t?t` becomes a schema, one state for each place in it. A letter moves all active places on
at once, with `set`. A star may stand for nothing, so its place brings the next one along: what textbooks call an
ε-move is the relation `add`.

    python examples/nfa.py [PATTERN [NAME…]]
"""

import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from amachine import Machine, Schema

PATTERN = "*a?a"
NAMES = ("papaya", "banana", "data", "cacao")


@cache  # a schema never changes: any number of machines share it
def schema_of(pattern: str) -> Schema:
    """One state for each place, and one for the end. Multi, so that a place that is entered anew implies anew."""
    places: dict[str, dict[str, Any]] = {
        f"p{i}": {"multi": True, "tags": [letter], "add": [f"p{i + 1}"] if letter == "*" else []}
        for i, letter in enumerate(pattern)
    }
    return Schema.parse(places | {f"p{len(pattern)}": {"multi": True}}, name=pattern)


def steps(pattern: str, text: str) -> Iterator[tuple[str, ...]]:
    """The places that are active before the first letter, and after each."""
    machine = Machine.of(schema_of(pattern), pattern)
    machine.add("p0")
    yield machine.active
    for letter in text:
        following: list[str] = []
        for place in machine.active:
            match machine[place].definition.tags:
                case ("*",):
                    following.append(place)
                case (wanted,) if wanted in {"?", letter}:
                    following.append(f"p{int(place[1:]) + 1}")
                case _:
                    pass
        machine.set(*following)
        yield machine.active


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits the pattern."""
    *_, last = steps(pattern, text)
    return f"p{len(pattern)}" in last


def main(pattern: str = PATTERN, *names: str) -> None:
    """Match some names, a letter at a time."""
    for name in names or NAMES:
        print(f"{name}: {'matches' if matches(pattern, name) else 'does not match'} {pattern}")
        for letter, active in zip(" " + name, steps(pattern, name), strict=True):
            print(f"  {letter} {' '.join(active)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
