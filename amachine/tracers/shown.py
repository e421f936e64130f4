"""Arguments and changes as short texts: what every tracer that shows something to people has in common.

Arguments are made into text at once and cut before they are formatted, so that no tracer keeps a user's object alive
and no long one costs its length. A `repr` that raises is said so, and goes no further.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import PurePath
from reprlib import Repr
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from amachine._bits import bits
from amachine.mutation import ErrorInfo, phrase
from amachine.tracers.redaction import REDACTED, Part, hides, is_marked, parts, scrub, secret_parts
from amachine.tracers.redaction import SECRET as SECRET

if TYPE_CHECKING:
    from amachine.mutation import Mutation
    from amachine.schema import Schema
    from amachine.transition import Transition

Shown: TypeAlias = Mapping[str, str]
"""Arguments by name, each as text; one that has no name stands under the empty one."""

NOTHING: Shown = {}  # no proxy: records are pickled
"""No arguments."""

Mapper: TypeAlias = Callable[[Any], Shown]
"""What makes arguments into text: an `ArgsMapper`, or a function."""

CUT = "…"
LOOK = 400
"""Characters of a text that are looked at beyond those that are shown."""


def _names(names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise TypeError(f"names={names!r} is one name: write names={{{names!r}}}")
    return frozenset(names)


@attrs.frozen(kw_only=True)
class ArgsMapper:
    """Makes a mutation's arguments into text, a short one for each name. Call it with them.

    What attrs, dataclasses and pydantic leave out of a `repr` (`field(repr=False)`) is left out here, too; and a field with
    the metadata `{"amachine.redacted": True}` (pydantic: `json_schema_extra`) is not shown. Values inside of values are
    treated alike.
    """

    names: frozenset[str] | None = attrs.field(default=None, converter=attrs.converters.optional(_names))
    """Show these alone; None: all."""
    limit: int = 40
    """Characters of one value."""
    redact: tuple[Part, ...] = attrs.field(factory=secret_parts, converter=parts)
    """A value is not shown if its name contains one of these, or is found by one that is a pattern. By default `SECRET`,
    and what the environment variable `AMACHINE_REDACT` adds: `redact=(*SECRET, "iban")`."""

    def __call__(self, args: Any) -> dict[str, str]:
        """The text of each argument. Arguments of no known class are one, without a name."""
        if args is None:
            return {}
        if isinstance(args, ErrorInfo):
            where = {"in": args.handler} if args.handler else {}
            return {"error": self.clean(_safe(args.error, ()), max(self.limit, 120)), **where}
        fields = _fields(args)
        if fields is None:
            return {"": short(args, self.limit, self.redact)}
        return {
            name: REDACTED if marked or hides(self.redact, name) else short(value, self.limit, self.redact)
            for name, value, marked in fields
            if self.names is None or name in self.names
        }

    def clean(self, text: str, limit: int | None = None) -> str:
        """A text of any origin, such as that of an error, without secrets, and within so many characters of one line."""
        cleaned = scrub(text if limit is None else text[: 4 * limit], self.redact)
        return cleaned if limit is None else cut(cleaned, limit)


def merged(*mappers: Mapper) -> Mapper:
    """One mapper of several: it shows what any of them shows. For one name the last counts, but what one redacts stays so."""

    def every(args: Any) -> dict[str, str]:
        shown: dict[str, str] = {}
        for mapper in mappers:
            for name, text in mapper(args).items():
                if shown.get(name) != REDACTED:
                    shown[name] = text
        return shown

    return every


_DEFAULT = ArgsMapper()


def clean(text: str, mapper: Mapper | None, limit: int | None = None) -> str:
    """A text without secrets: those that the mapper knows, or by default `SECRET`."""
    return (mapper if isinstance(mapper, ArgsMapper) else _DEFAULT).clean(text, limit)


def error_text(error: BaseException, mapper: Mapper | None = None, limit: int = 200) -> str:
    """The `repr` of an error without secrets."""
    return clean(_safe(error, ()), mapper, limit)


def _fields(value: Any) -> list[tuple[str, object, bool]] | None:
    """What a value is made of: names, values, and whether they are marked as secret. None where that is not known."""
    if isinstance(value, Mapping):
        given = cast("Mapping[object, object]", value)
        return [(str(name), each, False) for name, each in given.items()]
    kind: type[Any] = value.__class__
    names = _fields_of(kind)
    return None if names is None else [(name, getattr(value, name, None), marked) for name, marked in names]


def _fields_of(kind: type[Any]) -> list[tuple[str, bool]] | None:
    """The fields that a class shows, and whether they are marked as secret. None for a class without fields."""
    if attrs.has(kind):
        return [(each.name, is_marked(each.metadata)) for each in attrs.fields(kind) if each.repr]
    if dataclasses.is_dataclass(kind):
        return [(each.name, is_marked(each.metadata)) for each in dataclasses.fields(kind) if each.repr]
    if hasattr(kind, "__pydantic_fields__"):
        fields: dict[str, Any] = kind.__pydantic_fields__
        return [(name, is_marked(each.json_schema_extra)) for name, each in fields.items() if each.repr]
    for names in ("_fields", "__struct_fields__"):  # of named tuples, and of msgspec
        if isinstance(own := getattr(kind, names, None), tuple):
            return [(str(name), False) for name in cast("tuple[object, ...]", own)]
    return None


def short(value: object, limit: int = 40, redact: tuple[Part, ...] = ()) -> str:
    """The `repr` of a value within so many characters; of long ones only the beginning is looked at."""
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str | bytes):
        return _scalar(value, limit, redact)
    return cut(scrub(_safe(value, redact, limit), redact), limit)


def _scalar(value: str | bytes, limit: int, redact: tuple[Part, ...]) -> str:
    # Looked at further than it is shown: what tells a secret may stand behind it, as in `//user:…@host`.
    return cut(scrub(repr(value[: limit + LOOK]), redact), limit)


def cut(text: str, limit: int) -> str:
    """The text in one line, and within so many characters."""
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= limit else text[: limit - 1] + CUT


class _Short(Repr):
    """`reprlib`, which looks only at the beginning of collections, without its cuts in the middle of scalars.

    What stands under a secret name is not shown, also inside of other values.
    """

    def __init__(self, redact: tuple[Part, ...], limit: int) -> None:
        super().__init__()
        self._redact = redact
        self.maxlevel = 3
        self.maxstring = self.maxlong = self.maxother = limit

    def repr_instance(self, x: Any, level: int) -> str:
        if isinstance(x, PurePath):
            return repr(str(x))
        kind: type[Any] = x.__class__
        if isinstance(x, Mapping):
            return self._mapping(cast("Mapping[object, object]", x), level)
        if isinstance(x, BaseException) or _writes_itself(kind) or (fields := _fields(x)) is None:
            return repr(x)
        inside = ", ".join(
            f"{name}={self._field(name, each, marked, level)}" for name, each, marked in fields
        )
        return f"{kind.__name__}({inside})"

    def repr_str(self, x: str, level: int) -> str:  # noqa: ARG002
        return _scalar(x, self.maxstring, self._redact)

    def repr_bytes(self, x: bytes, level: int) -> str:  # noqa: ARG002
        return _scalar(x, self.maxstring, self._redact)

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return self._mapping(x, level)

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        if type(x) is not tuple:  # a named one
            return self.repr_instance(x, level)
        if len(x) == 2 and isinstance(x[0], str | bytes) and hides(self._redact, str(x[0])):  # as headers are
            return f"({x[0]!r}, {REDACTED})"
        return super().repr_tuple(x, level)

    def _mapping(self, x: Mapping[Any, Any], level: int) -> str:
        if x and level <= 0:
            return "{...}"
        items = [
            f"{self.repr1(name, level - 1)}: {self._field(str(name), each, False, level)}"  # noqa: FBT003
            for name, each in islice(x.items(), self.maxdict)
        ]
        return f"{{{', '.join(items)}{', ...' if len(x) > self.maxdict else ''}}}"

    def _field(self, name: str, value: object, marked: bool, level: int) -> str:  # noqa: FBT001
        return REDACTED if marked or hides(self._redact, name) else self.repr1(value, level - 1)


def _writes_itself(kind: type[Any]) -> bool:
    """Whether the author of a class has written its `repr`, and so decided what is shown."""
    made: Any = inspect.unwrap(kind.__repr__)
    if getattr(made, "__module__", "").partition(".")[0] in ("collections", "pydantic"):
        return False
    code = getattr(made, "__code__", None)
    # Those that attrs and dataclasses make have no file.
    return code is not None and code.co_filename != "<string>" and not code.co_filename.startswith("<attrs")


def _safe(value: object, redact: tuple[Part, ...], limit: int = 400) -> str:
    try:
        return _Short(redact, limit).repr(value)
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
