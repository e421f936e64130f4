"""Inputs on their way into a state: a buffer that any thread fills, and one task that empties it, inside `async with`.

What is kept, and when it is due, the rooms that build on this decide. When the block is left, nothing of this runs any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio
from anyio.lowlevel import checkpoint

from amachine.errors import MachineClosed, SchemaError
from amachine.loops import here

if TYPE_CHECKING:
    from types import TracebackType

    from anyio.abc import TaskGroup

    from amachine.loops import Loop
    from amachine.machine import Machine
    from amachine.mutation import Result

Last = Literal["flush", "drop"]
"""What becomes of what is there when `async with` is left: it is handed over at once, or it is not."""


class Intake(ABC):
    """A buffer that any thread fills, and a task that empties it into a state."""

    _group: TaskGroup
    _news: anyio.Event

    def __init__(self, machine: Machine, state: str, pause: float, last: Last) -> None:
        if not machine.schema[state].multi:
            says = f"{state!r} is not multi: while it is active, what comes would not enter it; declare it multi=True"
            raise SchemaError(says, schema=machine.schema.name, state=state)
        if last not in ("flush", "drop"):
            raise ValueError(f"last={last!r}: 'flush' or 'drop'")
        self.answer: Result | None = None
        """The answer to the latest mutation."""
        self._machine = machine
        self._pause = pause
        self._flushes = last == "flush"
        self._loop: Loop | None = None

    @property
    @abstractmethod
    def pending(self) -> tuple[Any, ...]:
        """What was pushed and has not been handed over. After the end: what was dropped, or refused then."""

    @abstractmethod
    def _due(self, first: float, latest: float) -> float:
        """When to hand over what has come, the first and the latest of it at these times."""

    @abstractmethod
    def _take(self) -> Any:
        """Take out what one mutation gets; None where there is nothing."""

    @abstractmethod
    def _put_back(self, taken: Any) -> None:
        """It was refused."""

    @abstractmethod
    def _done_with(self, taken: Any) -> None:
        """It was handed over, or can never be."""

    @abstractmethod
    def _send(self, taken: Any) -> Result:
        """Make the mutation."""

    # -- its life

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError(f"{type(self).__name__.lower()} is entered already: make another")
        self._news = anyio.Event()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._loop = here()
        self._group.start_soon(self._run, name=f"{type(self).__name__} of {self._machine.id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop = None
        self._group.cancel_scope.cancel()
        try:
            # Not told of the body's error, which would come out wrapped in a group.
            await self._group.__aexit__(None, None, None)
        finally:
            self._flush()

    def _arrived(self) -> None:
        """Something was pushed, by whichever thread."""
        loop = self._loop
        if loop is None:  # the block was left while this thread pushed, and may have had its last look
            self._flush()
        elif self._news.is_set():
            pass
        elif loop.is_here():
            self._news.set()
        else:
            loop.soon(self._wake)

    def _wake(self) -> None:
        self._news.set()

    # -- the task

    async def _run(self) -> None:
        try:
            while True:
                await self._until_due()
                while not await self._offer():  # noqa: ASYNC110  # no event tells when a handler would agree
                    await anyio.sleep(self._pause)
                await checkpoint()  # who pushes without a pause must not keep the loop to this task
        except MachineClosed:
            self._loop = None

    async def _until_due(self) -> None:
        await self._until_pushed()
        first = latest = anyio.current_time()
        while True:
            # Replaced before the buffer is looked at: who pushes after that sees this one, and sets it.
            self._news = news = anyio.Event()
            left = self._due(first, latest) - anyio.current_time()
            if left <= 0:
                return
            with anyio.move_on_after(left):
                await news.wait()
            if news.is_set():
                latest = anyio.current_time()

    async def _until_pushed(self) -> None:
        while True:
            self._news = news = anyio.Event()
            if self.pending:
                return
            await news.wait()

    async def _offer(self) -> bool:
        """Hand over what is due. False: it was refused, and is kept."""
        taken = self._take()
        if taken is None:
            return True
        try:
            result = self.answer = self._send(taken)
            if not result.done:
                result = self.answer = await result
        except MachineClosed:
            raise
        except Exception as error:  # noqa: BLE001  # what the args class raises: no later attempt would help
            self._machine.add_error(error)
            self._done_with(taken)
            return True
        if not result.canceled:
            self._done_with(taken)
            return True
        self._put_back(taken)
        if self._machine.is_closing:
            raise MachineClosed(machine=self._machine.id)
        return False

    def _flush(self) -> None:
        """Hand over what is there, if that is wanted."""
        while self._flushes and self._offer_now():
            pass

    def _offer_now(self) -> bool:
        """Hand over what is there, without waiting for the answer. Whether there may be more."""
        taken = self._take()
        if taken is None:
            return False
        try:
            self.answer = self._send(taken)
        except Exception as error:  # noqa: BLE001  # as above
            self._machine.add_error(error)
        else:
            if self.answer.canceled:
                self._put_back(taken)
                return False
        self._done_with(taken)
        return True
