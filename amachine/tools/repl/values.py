"""What a state takes, in words, and what was typed for it, as values of the right types."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import attrs

if TYPE_CHECKING:
    from amachine.tools.repl.words import Given

_MISSING = inspect.Parameter.empty


@attrs.frozen
class Field:
    """One argument of a state."""

    name: str
    type: Any
    default: Any
    """`inspect.Parameter.empty` where there is none."""

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is _MISSING

    @property
    def choices(self) -> tuple[str, ...]:
        """All its values, where there are few."""
        if self.type is bool:
            return ("true", "false")
        if get_origin(self.type) is Literal:
            return tuple(str(each) for each in get_args(self.type))
        if isinstance(self.type, type) and issubclass(self.type, enum.Enum):
            return tuple(str(each.value) for each in self.type)
        return ()

    def __str__(self) -> str:
        kind = self.choices and "|".join(self.choices)
        text = f"{self.name}: {kind or _type_name(self.type)}"
        return text if self.is_required or not _is_plain(self.default) else f"{text} = {self.default!r}"


def fields(make: Callable[..., Any] | None) -> tuple[Field, ...]:
    """The arguments of a state's class; none where it has none, or takes any."""
    if make is None or make is dict:
        return ()
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return ()
    hints = _hints(make)
    named = (p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return tuple(Field(p.name, hints.get(p.name, p.annotation), p.default) for p in named)


def signature(state: str, make: Callable[..., Any] | None) -> str:
    """A state with what it takes: `reading(path: Path, retries: int = 0)`."""
    if make is dict:
        return f"{state}(any name=value)"
    return f"{state}({', '.join(map(str, fields(make)))})" if make is not None else state


def fit(make: Callable[..., Any] | None, given: Mapping[str, Given]) -> dict[str, Any]:
    """What was typed, each value as its field wants it: `17` is a number, or for a text field a text."""
    types = {field.name: field.type for field in fields(make)}
    return {name: _fit(types.get(name, _MISSING), each) for name, each in given.items()}


def _fit(wanted: Any, given: Given) -> Any:
    if wanted is _MISSING or not given.is_plain or given.value is given.text:
        return given.value
    import msgspec

    for value in (given.value, given.text):
        try:
            msgspec.convert(value, wanted, dec_hook=_of_text)
            return value
        except (msgspec.ValidationError, TypeError, NameError):
            continue
    return given.value


def _of_text(wanted: type[Any], value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"{wanted.__name__} is made of text")
    return wanted(value)


def _hints(make: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(
            make if isinstance(make, type) or inspect.isroutine(make) else type(make).__call__
        )
    except Exception:  # noqa: BLE001  # names that only a type checker knows
        return {}


def _type_name(kind: Any) -> str:
    if kind is _MISSING or kind is Any:
        return "any"
    return (
        kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
    )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
