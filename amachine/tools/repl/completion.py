"""What may follow what has been typed. Pure: looks at a machine, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from amachine.mutation import Kind
from amachine.tools.repl.values import fields, signature
from amachine.tools.repl.words import Misuse, states_and_args, words
from amachine.tracers.log import LogLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from amachine.machine import Machine

EXCEPTION = "Exception"
"""Not offered before somebody has begun to write it."""

KINDS = tuple(kind.value for kind in Kind)


@attrs.frozen
class Choice:
    """One thing that may follow."""

    text: str
    start: int
    """Where it begins, counted back from the end of the line: 0 or less."""
    about: str = ""


def choices(line: str, machine: Machine, summaries: Mapping[str, str]) -> list[Choice]:
    """What may stand at the end of a line: what begins as it does, or else holds it. `summaries` are those of the commands."""
    last = "" if not line or line[-1].isspace() else _last(line)
    before = line[: len(line) - len(last)]
    try:
        said = words(before)
    except Misuse:
        return []  # inside of quotes or brackets
    found = _commands(summaries) if not said else _after(said, last, machine, summaries)
    wanted = _folded(last)
    fitting = [each for each in found if _folded(each[0]).startswith(wanted)]
    fitting = fitting or [each for each in found if wanted in _folded(each[0])]
    return [Choice(text, -len(last), about) for text, about in fitting]


def _folded(text: str) -> str:
    return text.casefold().replace("_", "")


def _last(line: str) -> str:
    try:
        return words(line)[-1]
    except Misuse:
        return line.rsplit(maxsplit=1)[-1]


def _commands(summaries: Mapping[str, str]) -> list[tuple[str, str]]:
    return list(summaries.items())


def _after(
    said: list[str], last: str, machine: Machine, summaries: Mapping[str, str]
) -> list[tuple[str, str]]:
    verb, rest = said[0], said[1:]
    match verb:
        case "add" | "set" | "toggle":
            return list(_states_or_args(verb, rest, last, machine))
        case "remove":
            return list(_states(machine, rest, active_first=True))
        case "can":
            if not rest:
                return [("add", "would it go through?"), ("remove", "would it go through?")]
            return _after([rest[0], *rest[1:]], last, machine, summaries)
        case "explain":
            kinds = [] if rest else [(kind, "") for kind in KINDS]
            return [*kinds, *_states(machine, [word for word in rest if word not in KINDS])]
        case "wait":
            more = [] if rest else [("not", "until they are inactive"), ("idle", "until nothing is left to do"),
                                    ("error", "until there is one")]  # fmt: skip
            return [*_states(machine, [word for word in rest if word != "not"]), *more]
        case "why" | "args" | "trace":
            return [] if rest else list(_states(machine, rest))
        case "log":
            levels = [(level.name.lower(), "") for level in LogLevel if level]
            return [] if rest else [("on", "what changes"), ("off", ""), *levels]
        case "help":
            return [] if rest else _commands(summaries)
        case _:
            return []


def _states_or_args(verb: str, rest: list[str], last: str, machine: Machine) -> Iterator[tuple[str, str]]:
    states, args = states_and_args(rest)
    known = [name for name in states if name in machine.schema.index]
    if len(known) == 1:
        takes = fields(machine.schema.args[machine.schema.index[known[0]]])
        name, equals, _ = last.partition("=")
        for field in takes:
            if equals and field.name == name:
                yield from ((f"{name}={each}", "") for each in field.choices)
            elif field.name not in args:
                yield f"{field.name}=", str(field).partition(": ")[2]
    if not args and "=" not in last:
        found = _states(machine, states, active_first=False if verb in ("add", "set") else None)
        yield from (each for each in found if last or each[0] != EXCEPTION)


def _states(
    machine: Machine, said: Iterable[str], *, active_first: bool | None = None
) -> Iterator[tuple[str, str]]:
    """The states that have not been named, with what there is to know of each."""
    schema, active = machine.schema, set(machine.active)
    taken = set(said)
    names = [name for name in schema.names if name not in taken]
    if active_first is not None:
        names.sort(key=lambda name: (name in active) is not active_first)
    for name in names:
        takes = signature("", schema.args[schema.index[name]])
        about = " ".join(part for part in ("active" if name in active else "", takes) if part)
        yield name, about
