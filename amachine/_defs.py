"""What a schema is made of: states and groups as written, by name. Values of the right type, and no more.

Whether they fit together is for the rules of a schema to say; nothing here knows a second state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from amachine.errors import SchemaError, closest, nearest

EXCEPTION = "Exception"
RELATIONS = ("require", "add", "remove", "after")


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)


_CHECKS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("auto", _is_bool, "True or False"),
    ("multi", _is_bool, "True or False"),
    ("args", lambda value: value is None or callable(value), "None, a class or a function"),
    ("limit", _is_limit, "None or a whole number above 0"),
    ("doc", lambda value: isinstance(value, str), "a string"),
)


@attrs.frozen
class StateDef:
    """One state as written: what it relates to, by name, and how it behaves.

    Errors: `SchemaError` for a value of the wrong type, such as a bare string where names are expected.
    """

    name: str
    require: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """States without which it cannot be active."""
    add: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """States that it brings along, where nothing objects."""
    remove: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """States that cannot stay active beside it."""
    after: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """States whose handlers run before its own when both are entered."""
    auto: bool = attrs.field(default=False, kw_only=True)
    """Whether it is added by itself as soon as its relations allow."""
    multi: bool = attrs.field(default=False, kw_only=True)
    """Whether it can be entered again while active."""
    args: Callable[..., Any] | None = attrs.field(default=None, kw_only=True, hash=False)
    """What builds its arguments: a class or function; None for a state without."""
    tags: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    limit: int | None = attrs.field(default=None, kw_only=True)
    """How many of its tasks run at once; None for any number."""
    doc: str = attrs.field(default="", kw_only=True, eq=False)
    """What it means, in words. Two states that differ only in this are equal."""

    def __attrs_post_init__(self) -> None:
        for field in (*RELATIONS, "tags"):
            object.__setattr__(self, field, _names(self.name, field, getattr(self, field)))
        for field, fits, wanted in _CHECKS:
            value = getattr(self, field)
            if not fits(value):
                says = f"state {self.name!r} has {value!r} as its {field}: it must be {wanted}"
                raise SchemaError(says, state=self.name, relation=field)

    def extend(
        self,
        *,
        require: Iterable[str] = (),
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        after: Iterable[str] = (),
        auto: bool | None = None,
        multi: bool | None = None,
        tags: Iterable[str] = (),
        limit: int | None = None,
        doc: str | None = None,
    ) -> StateDef:
        """Return it with more names in its relations and tags; the other values replace the old ones if given."""
        more = {"require": require, "add": add, "remove": remove, "after": after, "tags": tags}
        values = {"auto": auto, "multi": multi, "limit": limit, "doc": doc}
        changes: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
        for field, names in more.items():
            changes[field] = tuple(dict.fromkeys((*getattr(self, field), *_names(self.name, field, names))))
        return attrs.evolve(self, **changes)

    def replace(self, **changes: Any) -> StateDef:
        """Return it with these fields as given. Errors: `SchemaError` for a field that does not exist."""
        for key in changes:
            if key not in _FIELDS:
                says = f"state {self.name!r}: there is no {key!r} to replace{nearest(key, _FIELDS)}"
                raise SchemaError(says, state=self.name, relation=key, nearest=closest(key, _FIELDS))
        return attrs.evolve(self, **changes)


_FIELDS = tuple(field.name for field in attrs.fields(StateDef))


@attrs.frozen
class GroupDef:
    """A named list of states. Of an `exclusive` one at most one is active: each of them removes the others."""

    name: str
    members: tuple[str, ...]
    exclusive: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "members", _names(self.name, "members", self.members, what="group"))


def _names(owner: str, field: str, value: Any, *, what: str = "state") -> tuple[str, ...]:
    """A tuple of strings. A bare string is refused: it would be read as a list of letters."""
    problem: object = value
    if not isinstance(value, str):
        try:
            names: tuple[object, ...] = tuple(value)
        except TypeError:
            names = (value,)
        problem = next((name for name in names if not isinstance(name, str)), None)
        if problem is None:
            return tuple(value)
    mend = f"[{value!r}]" if isinstance(value, str) else "a list of strings"
    says = f"{what} {owner!r} has {problem!r} as its {field}: write {mend}"
    raise SchemaError(says, state=owner if what == "state" else "", relation=field)
