"""Loops that belong to a state: they end with it, keep to a beat, and cannot run away unnoticed."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.lowlevel import checkpoint

from amachine.errors import HandlerError, MachineClosed

if TYPE_CHECKING:
    from amachine.bound import BoundState
    from amachine.subscriptions import Wait


class Runaway(HandlerError):
    """A loop went round `limit` times in less than `per` seconds: something in it does not wait for what it should."""

    def __init__(
        self, message: str = "", *, machine: str = "", state: str = "", limit: int = 0, per: float = 0.0
    ) -> None:
        says = (
            f"machine {machine}: the loop of {state} goes round more than {limit} times in {per:g} s: "
            f"await something in it, give it every=, or allow more with limit="
        )
        super().__init__(message or says, machine=machine, handler=f"rounds({state})", state=state)
        self.limit = limit
        self.per = per


class Window:
    """How much may happen in any stretch of time: `limit` times in `per` seconds. It reads no clock itself."""

    def __init__(self, limit: int, per: float) -> None:
        self._times: deque[float] = deque(maxlen=limit)
        self._per = per

    def admits(self, now: float) -> bool:
        """Whether one more at this time is not too many; counts it."""
        times = self._times
        full = len(times) == times.maxlen and now - times[0] < self._per
        times.append(now)
        return not full


class Rounds:
    """The rounds of a loop, counted from 1: what `rounds` makes."""

    def __init__(self, state: BoundState[..., Any], every: float, limit: int | None, per: float) -> None:
        self.count: int = 0
        """How many rounds have begun."""
        self._state = state
        self._every = every
        self._limit, self._per = limit, per
        self._window = None if limit is None else Window(limit, per)
        self._gone: Wait[None] | None = None
        self._next = 0.0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        if self._gone is None:
            # The callback keeps it from being cancelled with the first pause that is over.
            self._gone = self._state.when_not().then(_nothing)
            self._next = anyio.current_time()
        await self._until_next(self._gone)
        if self._gone.done:
            raise StopAsyncIteration
        now = anyio.current_time()
        if self._window is not None and not self._window.admits(now):
            state = self._state
            raise Runaway(machine=state.machine.id, state=state.name, limit=self._limit or 0, per=self._per)
        if self._every:
            late = int((now - self._next) / self._every)  # beats that a long round has missed are left out
            self._next += self._every * (late + 1)
        self.count += 1
        return self.count

    async def _until_next(self, gone: Wait[None]) -> None:
        left = self._next - anyio.current_time() if self._every else 0.0
        if left <= 0:
            await checkpoint()
            return
        with anyio.move_on_after(left), suppress(MachineClosed):
            await gone


def rounds(
    state: BoundState[..., Any], *, every: float = 0.0, limit: int | None = 1000, per: float = 1.0
) -> Rounds:
    """Go round a loop for as long as a state is active.

    `async for n in rounds(self.polling, every=5): …` ends quietly when the state is deactivated, or its machine closed, also
    out of a pause; a round that has begun is not cut short, unless it runs in a task of that state. Each begins with a
    checkpoint, or on the next beat.

    Args:
        state: Of this machine: `flow.polling`. A multi state's re-entry does not end it.
        every: Seconds between the beginnings of rounds; 0: as soon as the last is over.
        limit: How many rounds may begin in any `per` seconds, before `Runaway` is raised; None: any number.
        per: That time, in seconds.

    Errors: ValueError for numbers that make no sense; `Runaway` out of the loop.
    """
    if not every >= 0:
        raise ValueError(f"rounds(every={every!r}): seconds, at least 0")
    if (limit is not None and limit < 1) or not per > 0:
        raise ValueError(f"rounds(limit={limit!r}, per={per!r}): at least 1 in more than 0 seconds")
    return Rounds(state, every, limit, per)


def _nothing(_: object) -> None:
    pass
