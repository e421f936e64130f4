"""The waits of a machine: the constructors that users call. What a wait is, and when it is due, is `subscriptions`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, overload

from amachine import subscriptions
from amachine.conduct import Moment
from amachine.declare import State
from amachine.errors import MachineClosed
from amachine.express import Express
from amachine.handed import Life
from amachine.parking import MachineParking
from amachine.subscriptions import Wait, Waits

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from amachine.clock import Clock
    from amachine.mutation import Result

A = TypeVar("A")
AnyState: TypeAlias = State[..., Any] | str


class Waiting(Express):
    """An engine that can be waited for."""

    __slots__ = ()

    def when(self, *states: AnyState) -> Wait[None]:
        """Wait until all of these are active at one moment, after a commit."""
        mask = self._mask(states)
        return self._wait(subscriptions.when(mask, 0, self._label("when", states)), now=True)

    def when_not(self, *states: AnyState) -> Wait[None]:
        """Wait until none of these is active, at one moment, after a commit."""
        mask = self._mask(states)
        return self._wait(subscriptions.when(0, mask, self._label("when_not", states)), now=True)

    @overload
    def when_args(
        self, state: State[..., A], where: Callable[[A], object] | Mapping[str, Any] | None = ...
    ) -> Wait[A]: ...
    @overload
    def when_args(
        self, state: str, where: Callable[[Any], object] | Mapping[str, Any] | None = ...
    ) -> Wait[Any]: ...
    def when_args(self, state: Any, where: Any = None) -> Wait[Any]:
        """Wait until the state enters, or re-enters, and stays, by a mutation whose arguments fit. Yields those.

        It is never already true. `where` is a function of the arguments, or a mapping of values that they must have.
        """
        index = self._index(state)
        label = self._label("when_args", (state,))
        wait = subscriptions.when_args(index, _filter(where), label, since=self._tick(index))
        return self._wait(wait, now=False)

    def when_time(self, ticks: Mapping[State[..., Any], int] | Mapping[str, int]) -> Wait[Clock]:
        """Wait until each of these states has reached the tick given for it. Yields the clock."""
        targets = {self._index(state): tick for state, tick in ticks.items()}
        return self._wait(subscriptions.when_time(targets, self._label("when_time", ticks)), now=True)

    def when_ticks(self, state: AnyState, ticks: int = 1) -> Wait[Clock]:
        """Wait until the state's tick has moved by so many from now. Yields the clock."""
        index = self._index(state)
        target = {index: self._tick(index) + ticks}
        return self._wait(
            subscriptions.when_time(target, self._label(f"when_ticks({ticks})", (state,))), now=True
        )

    @overload
    def when_next(self, state: State[..., A]) -> Wait[A]: ...
    @overload
    def when_next(self, state: str) -> Wait[Any]: ...
    def when_next(self, state: Any) -> Wait[Any]:
        """Wait until the state is activated anew: not the present activation. Yields its arguments."""
        index = self._index(state)
        now = self._tick(index)
        return self._wait(
            subscriptions.when_next(index, now + 1 + (now & 1), self._label("when_next", (state,))), now=True
        )

    def when_query(self, fn: Callable[[Clock], object]) -> Wait[Clock]:
        """Wait until `fn(clock)` is true: asked at once, then after every transition that ticked something.

        Yields the clock. An error of `fn` ends the wait with it.
        """
        return self._wait(subscriptions.when_query(fn, self._label("when_query", ())), now=True)

    def when_queue(self, result: Result) -> Wait[Result]:
        """Wait until that mutation has been processed. Yields the final result. The same as awaiting the result."""
        wait = result.when_done()
        if wait is None:
            wait = Wait.make("result")
            wait.fulfil(result)
            self._wait(wait, now=False)
        return wait

    def when_idle(self) -> Wait[None]:
        """Wait until nothing is queued or running."""
        wait: Wait[None] = Wait.make("when_idle")
        if not self._queue_ and not self._inbox_ and self._running_ is None and self._owner_ == 0:
            wait.fulfil(None)
        self._wait(wait, now=False)
        if not wait.done:
            self._the_inbox().append(wait)
            if self._owner_ != self._ident_():
                self._knock()
        return wait

    def when_error(self) -> Wait[BaseException | None]:
        """Wait until `Exception` is active. Yields the error."""
        exception = self._program_.schema.exception

        def test(now: Any) -> subscriptions.End | None:
            return subscriptions.End(now.error) if now.active & exception else None

        return self._wait(subscriptions.condition(exception, test, "when_error"), now=True)

    def when_closed(self) -> Wait[None]:
        """Wait until the machine has closed."""
        wait = subscriptions.when_closed("when_closed")
        if self._life_ == Life.CLOSED:
            wait.fulfil(None)
        return self._wait(wait, now=False)

    # -- for the rest of the machine

    def _when_state(self, index: int, where: Any) -> Wait[Any]:
        label = self._label("when", (self._program_.schema.names[index],))
        return self._wait(subscriptions.when_args(index, _filter(where), label, or_now=True), now=True)

    def _result_wait(self) -> Wait[Result]:
        return self._wait(Wait.make("result"), now=False)

    def _wait(self, wait: Wait[Any], *, now: bool) -> Wait[Any]:
        waits = self._the_waits()
        waits.add(wait, self._moment if now else None)
        if not wait.done:
            hooks = self._hooks_
            if hooks is not None:
                hooks.wait_made(self, wait)
            wait.entry.announced()
        return wait

    def _moment(self) -> Moment:
        return Moment(self, None)

    def _the_waits(self) -> Waits:
        waits = self._waits_
        if waits is None:
            fresh = Waits(MachineParking(self))
            is_closed = False
            with making:  # two threads, each with its first wait, must not have two
                waits = self._waits_
                if waits is None:
                    waits = self._waits_ = fresh
                    is_closed = self._life_ == Life.CLOSED
            if is_closed:  # else who closes it finds them
                waits.close(self._closed_error())
        return waits

    def _closed_error(self) -> MachineClosed:
        return MachineClosed(f"machine {self._id_} is closed", machine=self._id_)

    def _label(self, verb: str, states: Iterable[AnyState]) -> str:
        names = ", ".join(state if isinstance(state, str) else state.name for state in states)
        return f"{verb}({names}) of {self._id_}"

    def _tick(self, index: int) -> int:
        raise NotImplementedError

    def _index(self, state: AnyState) -> int:
        raise NotImplementedError

    def _mask(self, states: Iterable[AnyState]) -> int:
        raise NotImplementedError


def _filter(where: Callable[[Any], object] | Mapping[str, Any] | None) -> Callable[[Any], object] | None:
    """A condition on arguments as a function."""
    if where is None or not isinstance(where, Mapping):
        return where
    wanted: dict[str, Any] = {**where}

    def fits(args: Any) -> bool:
        if isinstance(args, Mapping):
            given = cast("Mapping[str, Any]", args)
            return all(name in given and given[name] == value for name, value in wanted.items())
        return all(getattr(args, name, _NOTHING) == value for name, value in wanted.items())

    return fits


_NOTHING = object()
making: AbstractContextManager[object] = Lock()
"""Held while a machine gets something that it must not have twice.

Nothing is called below it, and nothing made: for behind a call Python runs signal handlers and the garbage collection, whose
`__del__`, and these may close a machine, too; in the same thread, that would wait for ever.
"""
