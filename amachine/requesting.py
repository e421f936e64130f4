"""The machine's face for requests that are made again until they go through. What they do is in `requests`.

Imported with every machine, and so must load nothing that waits.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from amachine.errors import ArgsError
from amachine.living import Living

if TYPE_CHECKING:
    from amachine.declare import P, State
    from amachine.requests import Requests
    from amachine.retrying import Granted, Retry
    from amachine.waiting import AnyState

U = TypeVar("U")

_DEFAULT: Any = object()


class Requesting(Living):
    """A machine that can be asked until it agrees."""

    __slots__ = ()

    @overload
    def request(self, /, *, retry: Retry | int = ..., timeout: float | None = ...) -> Requests[None]: ...
    @overload
    def request(
        self, /, *, until: State[..., U], retry: Retry | int = ..., timeout: float | None = ...
    ) -> Requests[U]: ...
    @overload
    def request(
        self, /, *, until: str, retry: Retry | int = ..., timeout: float | None = ...
    ) -> Requests[Any]: ...
    @overload
    def request(
        self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Granted[None]]: ...
    @overload
    def request(
        self,
        state: AnyState,
        /,
        *args: Any,
        until: State[..., U],
        retry: Retry | int = ...,
        timeout: float | None = ...,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, Granted[U]]: ...
    @overload
    def request(
        self,
        state: AnyState,
        /,
        *args: Any,
        until: str,
        retry: Retry | int = ...,
        timeout: float | None = ...,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, Granted[Any]]: ...
    @overload
    def request(
        self, state: AnyState, /, *args: Any, retry: Retry | int, timeout: float | None = ..., **kwargs: Any
    ) -> Coroutine[Any, Any, Granted[None]]: ...
    @overload
    def request(
        self, state: AnyState, /, *args: Any, timeout: float | None, **kwargs: Any
    ) -> Coroutine[Any, Any, Granted[None]]: ...
    def request(
        self,
        /,
        *states: Any,
        retry: Any = _DEFAULT,
        timeout: Any = _DEFAULT,
        until: Any = _DEFAULT,
        **args: Any,
    ) -> Any:
        """Add a state, as `add` does, and ask again while that is refused: `await flow.request(Flow.x, …, retry=5)`.

        A refused request is made again after a delay that grows, or as soon as relations would let it in, where they
        refused it. Without a state it yields how to ask, with `add`, `remove` and `set`, whose arguments type checkers know:
        `await flow.request(retry=5, until=Flow.done).add(Flow.x, …)`.

        Args:
            *states: The state, and behind it what its arguments are made of.
            retry: A `Retry`, or how often to ask; 10 times by default.
            timeout: Seconds for all of it, the wait for `until` included; None for any.
            until: A state to wait for then: its next activation after the attempt that goes through, whatever causes it.
            **args: More of what the state's arguments are made of.

        Returns:
            A coroutine that yields `Granted`: a true `Result` with the arguments of `until`. Without a state, `Requests`.

        Errors: at once `UnknownState`, `ArgsError` for arguments that do not fit, ValueError, TypeError. From the coroutine
        `GaveUp` and, when the time is up, `RequestTimeout`, both of them `Refused`; `MachineClosed`.
        """
        from amachine.requests import Requests
        from amachine.retrying import Retry

        given = {"retry": retry, "timeout": timeout, "until": until}
        options = {name: value for name, value in given.items() if value is not _DEFAULT}
        if states:
            self._tell_apart(states[0], options)
        elif args:
            raise ArgsError(f"request({', '.join(args)}=…): arguments of which state? Give it first")
        how: dict[str, Any] = {"retry": Retry(), "timeout": None, "until": None, **options}
        requests = Requests[Any](self, **how)
        return requests.add(*states, **args) if states else requests

    def _tell_apart(self, state: Any, options: dict[str, Any]) -> None:
        """Refuse to guess whose a keyword is, where the state's arguments have one of that name."""
        schema = self._program_.schema
        at = self._index(state)
        make = schema.args[at]
        for name in options:
            if make is not None and name in _parameters(make):
                raise ArgsError(
                    f"{name}= may be the request's, or an argument of {schema.names[at]}: "
                    f"write request(…).add({schema.names[at]}, …), each with its own",
                    state=schema.names[at],
                    machine=self._id_,
                )


def _parameters(make: Callable[..., Any]) -> tuple[str, ...]:
    from inspect import signature

    try:
        return tuple(signature(cast("Any", make)).parameters)
    except ValueError:  # `dict`: it takes any name, and these three are the request's
        return ()
