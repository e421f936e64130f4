"""Handlers as a class body writes them down: a function, and for which states and phases it is meant.

Nothing here looks at the function or at a schema. Whether both fit is checked where handlers are
collected, and nothing is ever set on the function itself.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from amachine.errors import BindingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from amachine._state import State  # noqa: TC004 - which imports this file; nobody evaluates the hints

F = TypeVar("F")


class Phase(enum.Enum):
    """When in a transition a handler is called."""

    ENTER = "Enter"
    EXIT = "Exit"
    STATE = "State"
    END = "End"
    TASK = "Task"
    TO = "To"
    STAY = "Stay"
    ANY_ENTER = "AnyEnter"
    ANY_STATE = "AnyState"

    @property
    def veto(self) -> bool:
        """Whether its handlers negotiate: they may refuse the transition, and must not change anything."""
        return self in _VETO


_VETO = frozenset({Phase.ENTER, Phase.EXIT, Phase.TO, Phase.STAY, Phase.ANY_ENTER})


@attrs.frozen
class Rule:
    """One use of a handler: its phase, its state, for `TO` the state that enters, and `timeout` in seconds."""

    phase: Phase
    state: State[..., Any] | str | None = None
    other: State[..., Any] | str | None = None
    timeout: float | None = None


class Handler:
    """A function of a class body with its rules. Looked up on an object it is that object's plain method.

    Decorators may be stacked: the rules are kept from the innermost to the outermost.
    """

    __slots__ = ("fn", "name", "rules")

    fn: Callable[..., Any]
    rules: tuple[Rule, ...]
    name: str
    """The attribute that it was assigned to; until then that of the function."""

    def __init__(self, fn: Callable[..., Any], rules: tuple[Rule, ...]) -> None:
        self.fn = fn
        self.rules = rules
        self.name = getattr(fn, "__name__", "")

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, obj: object, owner: type[Any] | None = None) -> Any:
        bind = getattr(type(self.fn), "__get__", None)
        return self.fn if bind is None else bind(self.fn, obj, owner)

    def __repr__(self) -> str:
        return f"<Handler {self.name}: {', '.join(map(_describe, self.rules))}>"


def handle(fn: F, rule: Rule) -> F:
    """Make a `Handler` of a function, or give one more rule to a handler. To a type checker it stays the function.

    Errors: `BindingError` when `fn` is neither.
    """
    if isinstance(fn, Handler):
        return cast("F", Handler(fn.fn, (*fn.rules, rule)))
    if not callable(fn):
        raise BindingError(f"@{_describe(rule)} stands before a function, not before {fn!r}")
    return cast("F", Handler(fn, (rule,)))


def _describe(rule: Rule) -> str:
    """The rule as its decorator reads: `start.enter`, `start.to(ready)`, `any_state`."""
    match rule.phase:
        case Phase.TO:
            return f"{rule.state}.to({rule.other})"
        case Phase.ANY_ENTER:
            return "any_enter"
        case Phase.ANY_STATE:
            return "any_state"
        case _:
            return f"{rule.state}.{rule.phase.value.lower()}"
