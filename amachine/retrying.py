"""Requests that are made again, as values: how long to try, what it yields, and what it says to give up.

Decisions and records: nothing here reads a clock, throws dice, or asks a machine.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from amachine.errors import Refused
from amachine.mutation import Result, Status

U_co = TypeVar("U_co", covariant=True)


def _at_least(least: float) -> Any:
    def check(_: Retry, field: attrs.Attribute[Any], value: Any) -> None:
        number: Any = value
        if number is None and field.name in ("attempts", "max_duration"):
            return
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not number >= least:
            raise ValueError(f"Retry({field.name}={value!r}): a number, at least {least:g}")

    return check


@attrs.frozen
class Retry:
    """How often, and for how long, a request is made again. A value: keep it, and use it for as many as you like.

    The delay grows from `delay` by `factor` after each attempt, up to `max_delay`. Errors: ValueError for a number that makes
    no sense.
    """

    attempts: int | None = attrs.field(default=10, validator=_at_least(1))
    """How often it is asked at most, the first time included; None: any number of times."""
    delay: float = attrs.field(default=0.1, kw_only=True, validator=_at_least(0))
    """Seconds between the first refusal and the second attempt."""
    factor: float = attrs.field(default=2.0, kw_only=True, validator=_at_least(1))
    """What each delay is multiplied by for the next."""
    max_delay: float = attrs.field(default=3.0, kw_only=True, validator=_at_least(0))
    """Seconds that no delay exceeds."""
    max_duration: float | None = attrs.field(default=None, kw_only=True, validator=_at_least(0))
    """Seconds after which no attempt is made any more; the last one is made right then. None: as long as attempts last."""
    jitter: float = attrs.field(default=0.0, kw_only=True, validator=_at_least(0))
    """By which part of itself a delay may be shortened at random, from 0 to 1, so that many do not ask in step."""

    def __attrs_post_init__(self) -> None:
        if self.jitter > 1:
            raise ValueError(f"Retry(jitter={self.jitter!r}): a part of the delay, at most 1")
        if self.attempts is not None and not float(self.attempts).is_integer():
            raise ValueError(f"Retry(attempts={self.attempts!r}): a whole number, or None")

    @classmethod
    def of(cls, given: Retry | int) -> Retry:
        """A `Retry` as it is, or one of so many attempts. Errors: TypeError; ValueError."""
        value: Any = given
        if isinstance(value, Retry):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"retry={value!r}: a Retry, or how often to ask")
        return cls(value)

    def pause(self, asked: int, seconds: float = 0.0, *, luck: float = 0.0) -> float | None:
        """Seconds until the next attempt, after `asked` of them in `seconds`; None: give up.

        `luck`, from 0 to 1, says how much of the jitter is used.
        """
        if self.attempts is not None and asked >= self.attempts:
            return None
        try:
            grown = min(self.delay * self.factor ** (asked - 1), self.max_delay)
        except OverflowError:
            grown = self.max_delay
        grown *= 1 - self.jitter * luck
        if self.max_duration is None:
            return grown
        left = self.max_duration - seconds
        return min(grown, left) if left > 0 else None


class Granted(Result, Generic[U_co]):
    """The answer to a request that went through. True, as every result that was executed."""

    attempts: int
    """How often it was asked."""
    seconds: float
    """How long that took, with the wait for the later state."""
    args: U_co
    """What the state of `until=` was entered with; None without one."""

    def __init__(self, result: Result, attempts: int, seconds: float, args: Any) -> None:
        super().__init__(Status.EXECUTED)
        self.queue_tick: int | None = result.queue_tick
        self.attempts = attempts
        self.seconds = seconds
        self.args = args

    def __repr__(self) -> str:
        return f"<Granted attempts={self.attempts} seconds={self.seconds:.3g}>"


class GaveUp(Refused):
    """A request was refused too often. The text is the whole story, and these are its parts.

    `machine` and `states` are what was asked, `why` is the last refusal, `attempts` and `seconds` are how often and how long,
    `error` is what entered `Exception` meanwhile, if something did; it is the cause of this error, too.
    """

    def __init__(
        self,
        message: str = "",
        *,
        machine: str = "",
        states: tuple[str, ...] = (),
        why: str = "",
        attempts: int = 0,
        seconds: float = 0.0,
        error: BaseException | None = None,
    ) -> None:
        super().__init__(message, machine=machine, states=states, why=why)
        self.attempts = attempts
        self.seconds = seconds
        self.error = error


class RequestTimeout(GaveUp, TimeoutError):
    """A request took longer than its `timeout`."""
