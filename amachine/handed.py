"""What a machine is handed from above: a keeper of tasks, limits; and where it is in its life.

Only shapes and numbers: the engine knows threads, loops and clocks by these alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from amachine.event import Event
    from amachine.transition import Step


class Tasks(Protocol):
    """The keeper of background work: tasks and scopes bound to states."""

    bound: int
    """Mask of the states with live tasks or scopes."""

    def start(self, step: Step, event: Event[Any]) -> None:
        """Start a `task` handler."""
        ...

    def start_end(self, step: Step, event: Event[Any]) -> None:
        """Start an asynchronous End handler."""
        ...

    def ticked(self, moved: int, ended: int) -> None:
        """End the scopes of what has ticked, and the tasks of what is over."""
        ...

    def wake(self) -> None:
        """Have the event loop's thread empty the inbox."""
        ...


@attrs.frozen
class Limits:
    """What a machine allows."""

    queue: int | None = 1000
    """Mutations that may wait; None: any number."""
    depth: int = 1000
    """How long a chain of handlers that mutate may grow."""
    handler: float = 0.1
    """Seconds that one handler may take before `HandlerTimeout` is reported."""
    raise_errors: bool = False
    grace: float = 5.0
    """Seconds that asynchronous End handlers get when the machine closes."""


class Life:
    """Where a machine is in its life, as small integers: zero is the ordinary case that costs one test."""

    FREE = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3
