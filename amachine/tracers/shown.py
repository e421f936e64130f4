"""Arguments and changes as short texts: what every tracer that shows something to people has in common.

Arguments are made into text at once and cut before they are formatted, so that no tracer keeps a user's object alive
and no long one costs its length. A `repr` that raises is said so, and goes no further.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from reprlib import Repr
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from amachine._bits import bits
from amachine.mutation import ErrorInfo, phrase

if TYPE_CHECKING:
    from amachine.mutation import Mutation
    from amachine.schema import Schema
    from amachine.transition import Transition

Shown: TypeAlias = Mapping[str, str]
"""Arguments by name, each as text; one that has no name stands under the empty one."""

Mapper: TypeAlias = Callable[[Any], Shown]
"""What makes arguments into text: an `ArgsMapper`, or a function."""

SECRET = (
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "credential",
    "authorization",
    "cookie",
)
"""Parts of names whose values are not shown."""

REDACTED = "…"
CUT = "…"


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)


def _parts(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(parts)


@attrs.frozen(kw_only=True)
class ArgsMapper:
    """Makes a mutation's arguments into text, a short one for each name. Call it with them.

    What attrs, dataclasses and pydantic leave out of a `repr` (`field(repr=False)`) is left out here, too.
    """

    names: frozenset[str] | None = attrs.field(default=None, converter=attrs.converters.optional(_names))
    """Show these alone; None: all."""
    limit: int = 40
    """Characters of one value."""
    redact: tuple[str, ...] = attrs.field(default=SECRET, converter=_parts)
    """A value is not shown if its name contains one of these, whatever the case of its letters."""

    def __call__(self, args: Any) -> dict[str, str]:
        """The text of each argument. Arguments of no known class are one, without a name."""
        if args is None:
            return {}
        if isinstance(args, ErrorInfo):
            where = {"in": args.handler} if args.handler else {}
            return {"error": cut(_safe(args.error), max(self.limit, 120)), **where}
        return {name: self._value(name, value) for name, value in _named(args) if self._wanted(name)}

    def _wanted(self, name: str) -> bool:
        return self.names is None or name in self.names

    def _value(self, name: str, value: object) -> str:
        lowered = name.lower()
        if any(part in lowered for part in self.redact):
            return REDACTED
        return short(value, self.limit)


def _named(args: Any) -> list[tuple[str, object]]:
    """The arguments by name."""
    if isinstance(args, Mapping):
        given = cast("Mapping[object, object]", args)
        return [(str(name), value) for name, value in given.items()]
    made_by = cast("Any", type(args))
    names: list[str]
    if attrs.has(made_by):
        names = [each.name for each in attrs.fields(made_by) if each.repr]
    elif dataclasses.is_dataclass(made_by):
        names = [each.name for each in dataclasses.fields(made_by) if each.repr]
    elif hasattr(made_by, "__pydantic_fields__"):
        names = [name for name, each in made_by.__pydantic_fields__.items() if each.repr]
    elif isinstance(fields := getattr(made_by, "_fields", None), tuple):  # a named tuple
        names = [str(name) for name in cast("tuple[object, ...]", fields)]
    else:
        return [("", args)]
    return [(name, getattr(args, name, None)) for name in names]


def short(value: object, limit: int = 40) -> str:
    """The `repr` of a value within so many characters; of long ones only the beginning is looked at."""
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str | bytes) and len(value) > limit:
        return cut(repr(value[: limit + 1]), limit)
    return cut(_safe(value, limit), limit)


def cut(text: str, limit: int) -> str:
    """The text in one line, and within so many characters."""
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= limit else text[: limit - 1] + CUT


class _Short(Repr):
    """`reprlib`, which looks only at the beginning of collections, without its cuts in the middle of scalars."""

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002
        return repr(x)


def _safe(value: object, limit: int = 400) -> str:
    maker = _Short()
    maker.maxlevel = 3
    maker.maxstring = maker.maxlong = maker.maxother = limit
    try:
        return maker.repr(value)
    except Exception as error:  # noqa: BLE001  # the `repr` is the user's
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"


def call_text(shown: Shown) -> str:
    """Arguments as in a call, in parentheses; empty without any."""
    if not shown:
        return ""
    return f"({', '.join(f'{name}={text}' if name else text for name, text in shown.items())})"


def mutation_text(mutation: Mutation, mapper: Mapper | None = None) -> str:
    """A mutation in words, with its arguments."""
    return f"{mutation}{call_text(mapper(mutation.args)) if mapper is not None and mutation.args is not None else ''}"


def transition_text(t: Transition, mapper: Mapper | None = None) -> str:
    """What a transition was asked for, in words, with its arguments."""
    plan = t.plan
    asked = phrase(plan.schema, plan.kind, plan.called | plan.banned, auto=plan.auto)
    return f"{asked}{call_text(mapper(t.args)) if mapper is not None and t.args is not None else ''}"


def change_text(schema: Schema, *, enters: int, exits: int, reentries: int, put_back: int) -> str:
    """What changed: `+entered -left *re-entered !entered and put back`, in order of declaration. All are masks."""
    names = schema.names
    signs = ((enters, "+"), (reentries, "*"), (put_back, "!"), (exits, "-"))
    sign = {i: mark for mask, mark in signs for i in bits(mask)}
    return " ".join(f"{sign[i]}{names[i]}" for i in bits(enters | exits | reentries | put_back))


def changes_of(t: Transition) -> str:
    """What a transition changed; empty where that is nothing."""
    if not t.was_committed:
        return ""
    plan = t.plan
    return change_text(
        plan.schema, enters=plan.enters, exits=plan.exits, reentries=plan.reentries, put_back=t.put_back
    )


def seconds_text(seconds: float) -> str:
    """A duration for people: `850 µs`, `12 ms`, `3.4 s`."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
