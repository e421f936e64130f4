"""From the bodies of a class and its bases to one schema: how states are inherited, ordered and extended.

Each class in the line of inheritance says its part in turn, from the root down, as it would with `super()`. What
a class says changes what it hands on, never what it was handed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amachine._classbody import Declared
from amachine._defs import EXCEPTION, GroupDef, StateDef
from amachine._phases import Handler
from amachine.errors import BindingError, SchemaError, closest, nearest
from amachine.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_reserved: set[str] = set()


def reserve(names: Iterable[str]) -> None:
    """Refuse these names to the states, groups and handlers of all classes that are made from now on."""
    _reserved.update(names)


class Scope:
    """What has been said so far, and which class is speaking."""

    __slots__ = ("groups", "owner", "states")

    owner: type[Any]
    states: dict[str, StateDef]
    groups: dict[str, GroupDef]

    def __init__(self, owner: type[Any]) -> None:
        self.owner = owner
        self.states = {}
        self.groups = {}

    def name_of(self, item: Declared | str, where: str) -> str:
        """The name of a state as the speaking class knows it; `where` it stands, for the error.

        Errors: `SchemaError` for a state that was never assigned, or that another family of classes declares.
        """
        if isinstance(item, str):
            return item
        if not item.name or item.owner is None:
            says = (
                f"{where} names a state that is not assigned to a name of this class: write `name = State(…)`"
            )
            raise SchemaError(says)
        if item.owner not in self.owner.__mro__:
            owner = item.owner.__name__
            says = (
                f"{where} names the state {item.name!r} of {owner}, which is no base of {self.owner.__name__}: "
                f"inherit from {owner}, or declare a state of its own"
            )
            raise SchemaError(says, other=item.name)
        return item.name

    def names_of(self, items: Iterable[Declared | str], where: str) -> tuple[str, ...]:
        """The names of some states, as `name_of` gives them."""
        return tuple(self.name_of(item, where) for item in items)

    def amend(self, name: str, what: str, more: Mapping[str, Iterable[str]]) -> None:
        """Add to the relations of a state that has been declared. Errors: `SchemaError` for one that has not."""
        if name not in self.states:
            says = f"{what} names {name!r}, but no such state is declared{nearest(name, self.states)}: declare it"
            raise SchemaError(says, state=name, nearest=closest(name, self.states))
        values: dict[str, Any] = {**more}
        self.states[name] = self.states[name].extend(**values)


def lower(cls: type[Any]) -> Schema:
    """Return the schema of a class. Errors: `SchemaError`; `BindingError` for a handler with a reserved name."""
    scope = Scope(cls)
    for owner in reversed(cls.__mro__):
        scope.owner = owner
        # States first: what relates them may name one that is declared further down.
        for item in sorted(_declared(owner), key=_is_no_state):
            try:
                item._lower(scope)  # pyright: ignore[reportPrivateUsage]
            except SchemaError as error:
                raise error.within(owner.__name__) from None
    names = _order(cls)
    _check_attributes(
        cls, [*((name, "state") for name in names), *((name, "group") for name in scope.groups)]
    )
    names.setdefault(EXCEPTION)
    states = [scope.states[name] for name in names if name in scope.states]
    return Schema(states, name=cls.__name__, groups=scope.groups.values())


def _declared(owner: type[Any]) -> tuple[Declared, ...]:
    declared: tuple[Declared, ...] = owner.__dict__.get("__declared__", ())
    return declared


def _is_no_state(item: Declared) -> bool:
    return item.kind != "state"


def _order(cls: type[Any]) -> dict[str, None]:
    """The names of all states, those of the bases first; without the `Exception` of the root."""
    names: dict[str, None] = {}
    bases = [base for base in cls.__bases__ if hasattr(base, "__declared__")]
    for base in bases:
        names |= _order(base)
    if bases:
        names |= dict.fromkeys(item.name for item in _declared(cls) if not _is_no_state(item))
    return names


def _check_attributes(cls: type[Any], names: Iterable[tuple[str, str]]) -> None:
    """Each name must be free, and must lead to what was declared under it."""
    taken = _reserved.union(getattr(cls, "_reserved", ()))
    for name, kind in names:
        if name.startswith("_") or name in taken:
            problem = (
                "begins with an underscore" if name.startswith("_") else "is an attribute of every machine"
            )
            raise SchemaError(
                f"the name {name!r} of a {kind} {problem}: rename it", schema=cls.__name__, state=name
            )
        holder = next(owner for owner in cls.__mro__ if name in owner.__dict__)
        found = holder.__dict__[name]
        if not isinstance(found, Declared) or found.kind != kind:
            says = f"{holder.__name__}.{name} hides the {kind} {name!r}: rename one of the two"
            raise SchemaError(says, schema=cls.__name__, state=name)
    for name, value in cls.__dict__.items():
        if isinstance(value, Handler) and name in taken:
            says = f"the handler would hide what every machine has as {name!r}: rename it"
            raise BindingError(says, owner=cls.__name__, handler=name)
