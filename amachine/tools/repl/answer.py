"""What a command is, and what comes of it. Plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

FINE, REFUSED, MISUSED = 0, 1, 2


@attrs.frozen
class Answer:
    """What came of a command."""

    text: str = ""
    status: int = FINE
    """The exit status that it stands for: 0; 1 where the answer is no; 2 where the command was wrong."""
    picture: Any = None
    """The same for a terminal, where that differs: something that rich draws."""
    is_over: bool = False
    """Whether the user wants to leave."""


@attrs.frozen
class Command:
    """One command, as the help tells it."""

    name: str
    usage: str
    summary: str
    run: Callable[[Any, list[str]], Answer | Awaitable[Answer]]
    """What does it, for a `Session` and the words behind the name."""
    more: str = ""
