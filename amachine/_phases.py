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
class Timer:
    """When a function of a state runs: so long after an entry, or again and again."""

    seconds: Any
    """A number, a `timedelta`, or a function of the event that gives either."""
    repeats: bool
    on_restore: str
    """`resume`: at its old deadline; `restart`: after its full time."""


def length(seconds: Any, *, repeats: bool) -> float:
    """Seconds, from a number or a `timedelta`. Errors: ValueError for what is no time to wait."""
    total = getattr(seconds, "total_seconds", None)
    value = seconds if total is None else total()
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not (value > 0 if repeats else value >= 0) or not value < _FOREVER:
        least = "more than 0" if repeats else "0 or more"
        raise ValueError(f"{seconds!r} is no time to wait: seconds or a timedelta, {least}")
    return float(value)


_FOREVER = 10.0**10
"""Three hundred years."""


@attrs.frozen
class Rule:
    """One use of a handler: its phase, its state, for `TO` the state that enters, and `timeout` in seconds."""

    phase: Phase
    state: State[..., Any] | str | None = None
    other: State[..., Any] | str | None = None
    timeout: float | None = None
    timer: Timer | None = None
    """Of a `TASK` that is a timer."""


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
        case Phase.TASK if rule.timer is not None:
            return f"{rule.state}.{'every' if rule.timer.repeats else 'after'}({rule.timer.seconds!r})"
        case _:
            return f"{rule.state}.{rule.phase.value.lower()}"
