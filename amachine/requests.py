"""Requests that are made again until they go through, and the story they tell when they give up.

`Machine.request` is the way in. When the next attempt comes is decided by `Retry`; here is what waits for it, in whichever
event loop it is awaited. Nothing here may change a machine but by its verbs.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Coroutine
from random import random
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import ref

import anyio

from amachine._bits import bits
from amachine.errors import ArgsError, MachineClosed
from amachine.mutation import Kind, Result, Status, phrase
from amachine.retrying import GaveUp, Granted, RequestTimeout, Retry
from amachine.subscriptions import ANY, End, Wait, condition

if TYPE_CHECKING:
    from amachine.asking import Bare
    from amachine.declare import P, State
    from amachine.requesting import Requesting
    from amachine.subscriptions import Moment
    from amachine.waiting import AnyState

U_co = TypeVar("U_co", covariant=True)


class Requests(Generic[U_co]):
    """How to ask a machine: `await flow.request(retry=5).add(Flow.x, …)`. One may be used for many requests.

    Each verb checks its arguments at once, and returns a coroutine that asks, and asks again, once it is awaited.
    """

    def __init__(
        self, machine: Requesting, *, retry: Retry | int, timeout: float | None, until: AnyState | None
    ) -> None:
        self._machine = machine
        self._retry = Retry.of(retry)
        if timeout is not None and not timeout > 0:
            raise ValueError(f"request(timeout={timeout!r}): seconds, more than 0, or None")
        self._timeout = timeout
        self._until = until
        if until is not None:
            machine._index(until)

    @overload
    def add(
        self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Granted[U_co]]: ...
    @overload
    def add(self, /, *states: Bare | str) -> Coroutine[Any, Any, Granted[U_co]]: ...
    @overload
    def add(self, /, *states: str, **args: object) -> Coroutine[Any, Any, Granted[U_co]]: ...
    def add(self, /, *states: Any, **args: Any) -> Coroutine[Any, Any, Granted[U_co]]:
        """Activate states, as `Machine.add` does.

        Errors: `UnknownState`, `ArgsError` at once; awaited, `GaveUp`, `RequestTimeout`, `MachineClosed`.
        """
        called, given = self._machine._read(states, args)
        return self._ask(Kind.ADD, called, given)

    def remove(self, /, *states: AnyState, **args: object) -> Coroutine[Any, Any, Granted[U_co]]:
        """Deactivate states, as `Machine.remove` does. Errors: as of `add`."""
        return self._ask(Kind.REMOVE, self._machine._mask(states), args or None)

    @overload
    def set(
        self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Granted[U_co]]: ...
    @overload
    def set(self, /, *states: Bare | str) -> Coroutine[Any, Any, Granted[U_co]]: ...
    @overload
    def set(self, /, *states: str, **args: object) -> Coroutine[Any, Any, Granted[U_co]]: ...
    def set(self, /, *states: Any, **args: Any) -> Coroutine[Any, Any, Granted[U_co]]:
        """Make these the active states, as `Machine.set` does. Errors: as of `add`."""
        called, given = self._machine._read(states, args)
        return self._ask(Kind.SET, called, given)

    def _ask(self, kind: Kind, called: int, given: Any) -> Coroutine[Any, Any, Granted[U_co]]:
        schema = self._machine._program_.schema
        if given is None and kind is not Kind.REMOVE:
            for i in bits(called):
                if lacking := schema.missing_args(i):  # refused for ever: no later attempt could help
                    raise ArgsError(state=schema.names[i], missing=lacking, machine=self._machine._id_)
        return self._in_time(_Story(self._machine, kind, called), given)

    async def _in_time(self, story: _Story, given: Any) -> Granted[U_co]:
        story.began = anyio.current_time()
        with anyio.move_on_after(self._timeout):
            return await self._until_granted(story, given)
        raise story.told(RequestTimeout, within=self._timeout)

    async def _until_granted(self, story: _Story, given: Any) -> Granted[U_co]:
        machine, until = self._machine, self._until
        while True:
            # Made before the mutation: what that leads to may be over when it has been answered.
            later = None if until is None else machine.when_next(until)
            story.asked += 1
            story.last = machine._submit(story.kind, story.called, given)
            result = await story.last
            story.heard()
            if result:
                break
            if machine.is_closing:
                raise MachineClosed(f"{story}: {result.why}", machine=machine._id_)
            pause = self._retry.pause(story.asked, story.seconds, luck=random())  # noqa: S311  # spreads load
            if pause is None:
                raise story.told(GaveUp)
            await self._pause(pause, story)
        story.later = later
        args = None if later is None else await later
        return Granted(result, story.asked, story.seconds, args)

    async def _pause(self, seconds: float, story: _Story) -> None:
        """Wait so long, or until relations, where it was them that refused, would let it in."""
        with anyio.move_on_after(seconds):
            await self._machine._wait(_relations_allow(story), now=True)  # MachineClosed when that happens


def _relations_allow(story: _Story) -> Wait[None]:
    """A wait for relations to accept; never done where they do so already, for then it was a handler that refused."""
    machine, kind, called = ref(story.machine), story.kind, story.called

    def accepted(active: int) -> bool:
        asked = machine()
        if asked is None:
            return False
        program = asked._program_
        return program.plan(program.situation(active), kind, called).accepted

    def test(now: Moment) -> End | None:
        return End() if accepted(now.active) else None

    label = f"another attempt of {story}"
    if accepted(story.machine._node_.active):
        return Wait.make(label)
    return condition(ANY, test, label)


class _Story:
    """What has become of one request so far."""

    def __init__(self, machine: Requesting, kind: Kind, called: int) -> None:
        self.machine = machine
        self.kind = kind
        self.called = called
        self.asked = 0
        self.began = 0.0
        self.last = Result(Status.QUEUED)
        self.later: Wait[Any] | None = None
        self.why = ""
        self.error: BaseException | None = None
        self._error_before = machine.error

    @property
    def seconds(self) -> float:
        return anyio.current_time() - self.began

    def heard(self) -> None:
        """An answer has come."""
        self.why = self.last.why or self.why
        error = self.machine.error
        if error is not None and error is not self._error_before:
            self.error = error

    def told(self, kind: type[GaveUp], within: float | None = None) -> GaveUp:
        """The error that says it all; `raise` it."""
        self.heard()
        machine = self.machine
        times, seconds = _times(self.asked), self.seconds
        if within is None:
            says = f"was refused {times} in {seconds:.3g} s: {self.why}"
        elif self.later is not None:
            says = f"went through, but {self.later.label} did not come true within {within:g} s"
        elif self.last.queued:
            says = f"still waits for its turn after {within:g} s"
        else:
            says = f"was refused {times} within {within:g} s: {self.why}"
        if self.error is not None:
            says += f"; meanwhile Exception was entered with {self.error!r}"
        error = kind(
            f"{self} {says}",
            machine=machine._id_,
            states=machine._program_.schema.names_of(self.called),
            why=self.why,
            attempts=self.asked,
            seconds=seconds,
            error=self.error,
        )
        error.__cause__ = self.error
        return error

    def __str__(self) -> str:
        return f"{self.machine._id_}: {phrase(self.machine._program_.schema, self.kind, self.called)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
