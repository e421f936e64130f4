"""Many inputs, of which only the last counts: a state is entered once they have come to rest. Any thread may push."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

from amachine.helpers.intake import Intake, Last

if TYPE_CHECKING:
    from amachine.bound import BoundState
    from amachine.mutation import Result

P = ParamSpec("P")


def quiet_at(first: float, latest: float, *, seconds: float, max_seconds: float | None) -> float:
    """When debounced inputs are due, the first and the latest of which came at these times."""
    quiet = latest + seconds
    return quiet if max_seconds is None else min(quiet, first + max_seconds)


class Debounce(Intake, Generic[P]):
    """What `debounce` makes: push into it inside `async with`."""

    def __init__(
        self, state: BoundState[P, Any], seconds: float, max_seconds: float | None, last: Last
    ) -> None:
        if not seconds > 0 or (max_seconds is not None and max_seconds < seconds):
            raise ValueError(
                f"debounce({seconds!r}, max_seconds={max_seconds!r}): more than 0, and no less than that"
            )
        super().__init__(state.machine, state.name, seconds, last)
        self._state: BoundState[..., Any] = state
        self._takes_args = state.definition.args is not None
        self._seconds, self._max_seconds = seconds, max_seconds
        self._latest: deque[Any] = deque(maxlen=1)

    def push(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Note that something came; these arguments replace those before. False outside of `async with`.

        From any thread. Errors: `ArgsError` for arguments that do not fit.
        """
        given = self._state._build(args, kwargs) if args or kwargs or self._takes_args else None
        if self._loop is None:
            return False
        self._latest.append(given)
        self._arrived()
        return True

    @property
    def pending(self) -> tuple[Any, ...]:
        """The arguments that wait for silence; none, or one."""
        return tuple(self._latest)

    def _due(self, first: float, latest: float) -> float:
        return quiet_at(first, latest, seconds=self._seconds, max_seconds=self._max_seconds)

    def _take(self) -> list[Any] | None:
        try:
            return [self._latest.pop()]
        except IndexError:
            return None

    def _put_back(self, taken: list[Any]) -> None:
        if not self._latest:  # what came meanwhile is newer
            self._latest.append(taken[0])

    def _done_with(self, taken: list[Any]) -> None:
        pass

    def _send(self, taken: list[Any]) -> Result:
        return self._state.send(taken[0]) if self._takes_args else self._state.add()


def debounce(
    state: BoundState[P, Any], seconds: float, *, max_seconds: float | None = None, last: Last = "flush"
) -> Debounce[P]:
    """Enter a state once its inputs have come to rest.

    `async with debounce(flow.changed, 0.2) as changed: …`. There `changed.push(…)` takes what `flow.changed.add(…)` does,
    from any thread. After `seconds` without another push the state is entered with the last arguments. A mutation that is
    refused is made again after as long, with the newest ones.

    Args:
        state: A multi state of a machine.
        seconds: How long it must be quiet.
        max_seconds: Seconds after the first push at which it is entered although more keep coming; None: never.
        last: When the block is left, however that comes: enter it with what waits, "flush", or not, "drop".

    Errors: `SchemaError` for a state that is not multi; ValueError.
    """
    return Debounce(state, seconds, max_seconds, last)
