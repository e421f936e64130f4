"""Lines taken apart: commands, words, names and values. Pure; knows no machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

_OPENING, _CLOSING = "[{(", "]})"


class Misuse(Exception):
    """A line that says nothing that can be done. The text says what can."""


@attrs.frozen
class Given:
    """The value of an argument as it was written."""

    text: str
    """Without quotes, where it had some."""
    value: Any
    """What it is as JSON; the text, where it is none."""
    is_plain: bool
    """Whether it was a word without quotes and brackets: `17` may be meant as text."""


def commands(text: str) -> list[str]:
    """The commands of a text: a line may hold several, with semicolons between them; one that begins with `#` holds none."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [command.strip() for line in lines for command in _parts(line, ";") if command.strip()]


def words(line: str) -> list[str]:
    """The words of a command; quotes and brackets keep theirs together, and stay. Errors: `Misuse` for one that is not closed."""
    if open_ := unclosed(line):
        raise Misuse(f"{open_} is not closed in: {line.strip()}")
    return [word for word in _parts(line, " \t\n") if word]


def unclosed(line: str) -> str:
    """The last quote or bracket of a line that is open at its end; empty if there is none."""
    opened = [open_ for _, open_ in _scanned(line)]
    return opened[-1] if opened else ""


def _parts(text: str, ends: str) -> list[str]:
    parts = [""]
    for sign, open_ in _scanned(text):
        if sign in ends and not open_:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _scanned(text: str) -> Iterator[tuple[str, str]]:
    """Each sign, and the innermost quote or bracket that is open behind it."""
    brackets: list[str] = []
    quote, escaped = "", False
    for sign in text:
        if escaped:
            escaped = False
        elif quote:
            escaped = sign == "\\"
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in _OPENING:
            brackets.append(sign)
        elif sign in _CLOSING and brackets:
            brackets.pop()
        yield sign, quote or "".join(brackets[-1:])


def value(text: str) -> Given:
    """A value as it was written: JSON, or a text. Errors: `Misuse` for brackets and quotes that are no JSON."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        inside = text[1:-1].replace("\\'", "'")
        return Given(inside, inside, is_plain=False)
    try:
        read = json.loads(text)
    except ValueError as error:
        if text[:1] in ('"', *_OPENING[:2]):
            raise Misuse(f"{text} is no JSON: {error}") from None
        return Given(text, text, is_plain=True)
    plain = text[:1] not in ('"', *_OPENING[:2])
    return Given(text if plain else str(read), read, is_plain=plain)


def states_and_args(given: list[str]) -> tuple[list[str], dict[str, Given]]:
    """The names in front, and the arguments behind them: `name=value`, or one JSON object. Errors: `Misuse`."""
    states: list[str] = []
    args: dict[str, Given] = {}
    for word in given:
        name, equals, text = word.partition("=")
        if word.startswith("{"):
            read = value(word).value
            args |= {name: Given(str(each), each, is_plain=False) for name, each in read.items()}
        elif equals and name.isidentifier():
            args[name] = value(text)
        elif args:
            raise Misuse(f"{word!r} stands behind arguments: states come first, then name=value")
        else:
            states.append(word.rstrip(","))
    return states, args
