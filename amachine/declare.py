"""What the body of a class says: states, how they relate, and what handles them.

Everything here is a declaration. It is written down while the class body runs and becomes a schema when the class
is made; nothing here runs a machine, and nothing that one class says ever alters another. The parts have rooms of
their own: `_state`, `_grouping` and `_phases` hold what can be said, `_classbody` and `_lower` what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amachine._classbody import Declared, Namespace
from amachine._grouping import Group, Relation, exclusive, group, relate
from amachine._lower import lower, reserve
from amachine._phases import Handler, Phase, Rule, handle
from amachine._state import A, AnyState, M, P, Related, Several, State
from amachine.mutation import ErrorInfo

if TYPE_CHECKING:
    from amachine.event import Event
    from amachine.schema import Schema

__all__ = [
    "A",
    "AnyState",
    "Group",
    "Handler",
    "P",
    "Phase",
    "Related",
    "Relation",
    "Rule",
    "Several",
    "State",
    "States",
    "StatesMeta",
    "any_enter",
    "any_state",
    "exclusive",
    "group",
    "relate",
    "reserve",
]


def any_enter(fn: Callable[[M, Event[Any]], bool | None]) -> Callable[[M, Event[Any]], bool | None]:
    """Negotiate every transition, after all other handlers: `False` refuses it."""
    return handle(fn, Rule(Phase.ANY_ENTER))


def any_state(fn: Callable[[M, Event[Any]], None]) -> Callable[[M, Event[Any]], None]:
    """Act on every transition, after all other handlers."""
    return handle(fn, Rule(Phase.ANY_STATE))


class StatesMeta(type):
    """The class of classes of states: it makes the schema when the class is made."""

    __declared__: tuple[Declared, ...]
    __schema__: Schema

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type[Any], ...], /, **options: Any) -> Namespace:
        """Give the class body a namespace that loses nothing."""
        return Namespace(name, bases)

    def __new__(
        mcs, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any], /, **options: Any
    ) -> StatesMeta:
        """Make the class and its schema. Errors: `SchemaError` for every rule that the schema breaks."""
        if not isinstance(namespace, Namespace):  # made by a call, not by a class statement
            written, namespace = namespace, Namespace(name, bases)
            for key, value in written.items():
                namespace[key] = value
        attributes = {**namespace, "__declared__": namespace.finish()}
        cls = super().__new__(mcs, name, bases, attributes, **options)
        cls.schema  # noqa: B018 - made now, so that its errors appear where the class is written
        return cls

    @property
    def schema(cls) -> Schema:
        """The schema of this class: what it declares and inherits."""
        found = cls.__dict__.get("__schema__")
        if found is None:
            # On first use: `__init_subclass__` runs before the class statement is through, and may ask.
            found = cls.__schema__ = lower(cls)
        return found


class States(metaclass=StatesMeta):
    """States without behaviour: a schema that has a class, for clients, roles and remote machines.

    `class Flow(Machine, FileStates)` runs them.
    """

    __slots__ = ()

    Exception: State[..., ErrorInfo] = State(
        ErrorInfo, multi=True, doc="An error was reported; the arguments tell which, and where."
    )

    def __init__(self) -> None:
        name = type(self).__name__
        raise TypeError(f"{name} only declares states: write `class Flow(Machine, {name})` to run them")
