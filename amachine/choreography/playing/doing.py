"""How a role's functions are called: plain ones plainly, and one that takes its time as a task, one at a time.

What has to wait while all is held is kept until `release`; what was halted never comes to anything. Decides nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from amachine.choreography.playing.ground import Ground

__all__ = ["Doing", "failure_of", "plainly"]


class Doing:
    """What one player is doing. `raised` is told of what a function raises, with the function's name."""

    __slots__ = ("_kept", "_raised", "_scope", "era", "ground", "held", "inside")

    def __init__(self, raised: Callable[[str, Exception], None]) -> None:
        self.ground: Ground
        """Where tasks run."""
        self.inside: str = ""
        """The name of the function that takes its time; nothing while none does."""
        self.era: int = 0
        """How often it was halted: whoever waits for something compares."""
        self.held: bool = False
        self._raised = raised
        self._scope: anyio.CancelScope | None = None
        self._kept: Callable[[], object] | None = None

    def call(
        self,
        fn: Callable[..., Any],
        given: tuple[Any, ...],
        then: Callable[[Any], object],
        name: str,
        *,
        late: Callable[[], tuple[float, Any] | None] | None = None,
    ) -> None:
        """Call a function, then `then` with what it returned: at once, or when it is done.

        `late` is asked where it takes its time: for how many seconds it may, and what is taken for its result when it is
        cancelled then.
        """
        era = self.era
        try:
            result = fn(*given)
        except BaseException as error:  # whatever a user's function raises ends its role
            failure = failure_of(error)
            if failure is None:
                raise
            if era == self.era:
                self._raised(name, failure)
            return
        if era != self.era:  # the function itself has ended its role
            if iscoroutine(result):
                result.close()
        elif result is None or type(result) is tuple or not isawaitable(result):
            then(result)
        else:
            self.start(result, then, name, late=None if late is None else late())

    def start(
        self,
        work: Awaitable[Any],
        then: Callable[[Any], object],
        name: str,
        *,
        late: tuple[float, Any] | None = None,
    ) -> None:
        """Await this as a task, then call `then` with its result."""
        self._scope = anyio.CancelScope()
        self.inside = name
        self.ground.start(self._run, self._scope, work, then, name, late)

    async def _run(
        self,
        scope: anyio.CancelScope,
        work: Awaitable[Any],
        then: Callable[[Any], object],
        name: str,
        late: tuple[float, Any] | None,
    ) -> None:
        result: Any = None
        failure: Exception | None = None
        with scope:
            try:
                with anyio.move_on_after(None if late is None else late[0]) as limit:
                    result = await work
                if late is not None and limit.cancelled_caught:
                    result = late[1]
            except BaseException as error:  # as above
                failure = failure_of(error)
                if failure is None:
                    raise
        if self._scope is not scope:
            return  # it was halted: whatever came of it comes too late
        self._scope = None
        self.inside = ""
        if failure is not None:
            self._raised(name, failure)
        else:
            then(result)

    def keep(self, what: Callable[[], object]) -> None:
        """Call this when what is held is released."""
        self._kept = what

    def halt(self) -> None:
        """Cancel what runs, and forget what was kept. Nothing is called any more for what began before."""
        self.era += 1
        self._kept = None
        scope, self._scope = self._scope, None
        self.inside = ""
        if scope is not None:
            scope.cancel()

    def release(self) -> bool:
        """Go on with what was kept while all was held. False if that was nothing."""
        self.held = False
        kept, self._kept = self._kept, None
        if kept is not None:
            kept()
        return kept is not None


def plainly(name: str, fn: Callable[..., Any], *given: Any) -> Any:
    """Call a user's function that nobody awaits. Errors: `TypeError`, by this name, for one that wants to be."""
    result = fn(*given)
    if not isawaitable(result):
        return result
    if iscoroutine(result):
        result.close()
    raise TypeError(f"{name} is a coroutine function: it is called plainly, and nobody awaits it")


def failure_of(error: BaseException) -> Exception | None:
    """What a user's function raised, as an error. None for what is to be raised on: the scope around it is cancelled, or all is.

    Where no scope is, something was cancelled for which the function waited, or, as asyncio can, the task that it ran in: an
    error as any other. Who cancels a whole session cancels the task that has entered it, and so the scope.
    """
    if isinstance(error, Exception):
        return error
    try:
        is_cancelled = anyio.current_effective_deadline() == -math.inf
        kind = anyio.get_cancelled_exc_class()
    except RuntimeError:  # there is no event loop, as a stage needs none: then nothing was cancelled
        return None
    if is_cancelled or not isinstance(error, kind):
        return None
    failure = RuntimeError("what it waited for was cancelled")
    failure.__cause__ = error
    return failure
