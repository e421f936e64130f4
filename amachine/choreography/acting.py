"""What roles do in their scenes: the functions behind a script, whoever wrote them. Knows no scene class and no engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import attrs

from amachine.errors import HandlerError

__all__ = ["Act", "Acts", "Answer", "GaveWrong", "Memory", "Part", "Words", "what_failed"]

Answer: TypeAlias = tuple[str, Any]
"""What `send` gives back: the label of the branch that was chosen, and what goes along (None where nothing does)."""


class Words(str):
    """How a function is named to people, if not by its scene; it carries this as `words`. Made by whoever reads a notation."""

    __slots__ = ()

    def at(self, error: BaseException) -> str:  # noqa: ARG002  - of those that can tell
        """The part of the function that raised an error, where that can be told."""
        return str(self)


class GaveWrong(HandlerError, TypeError):
    """What an operation gave back is not what the script takes it for. The text says all of it, the operation first.

    It goes to the other roles, too, and so shows nothing of what was given but its class; that itself is `got`.
    """

    def __init__(self, message: str, *, handler: str, got: object = None) -> None:
        super().__init__(message, handler=handler)
        self.got = got


def what_failed(function: str, error: BaseException) -> str:
    """The sentence for a function that has raised."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  # it is the user's class: what has failed is told all the same
        said = ""
    if isinstance(error, GaveWrong):
        return said
    where = function.at(error) if isinstance(function, Words) else function
    return f"{where} raised {type(error).__name__}{f': {said}' if said else ''}"


class Memory(dict[str, Any]):
    """What a role keeps from one scene to the next, by name."""

    def __missing__(self, key: str) -> Any:
        raise NameError(f"{key.rpartition('.')[2]!r} has no value yet: the way here did not set it", name=key)


@attrs.frozen(eq=False)
class Part:
    """A context in one session, with what its role keeps there: one context may play in several at a time."""

    me: Any
    kept: Memory = attrs.field(factory=Memory)


@attrs.frozen
class Act:
    """What is done in one scene."""

    send: Callable[[Any], Answer | Awaitable[Answer]]
    """Called with the sender's context, chooses a branch. A coroutine function takes its time."""
    on: Mapping[str, Callable[..., Any]] = attrs.field(factory=dict[str, Callable[..., Any]])
    """By label: called with a receiver's context, and what came along, if the branch has a payload. May be async."""
    keepers: frozenset[str] = frozenset()
    """The roles whose functions, in all scenes, are called with a `Part` instead of the context."""


Acts: TypeAlias = Mapping[str, Act]
"""By the id of the scene."""
