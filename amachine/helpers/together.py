"""Several waits together, with a limit in time, and an error that says which of them is to blame and what stands in its way."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

import anyio

from amachine._bits import bits
from amachine.errors import WaitError
from amachine.parking import MachineParking
from amachine.subscriptions import ANY, Wait, all_of, any_of

if TYPE_CHECKING:
    from amachine.declare import State
    from amachine.machine import Machine
    from amachine.mutation import Result

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")

SHOWN = 8
"""States of one wait that an explanation names."""


class WaitTimeout(WaitError, TimeoutError):
    """What was waited for did not come true in `seconds`. `pending` are the labels of the waits that did not."""

    def __init__(
        self, message: str, *, wait: str = "", pending: tuple[str, ...] = (), seconds: float = 0.0
    ) -> None:
        super().__init__(message, wait=wait)
        self.pending = pending
        self.seconds = seconds


class WaitFailed(WaitError):
    """`Exception` became active on a machine that was waited for: its error is the cause of this one."""


def why_pending(wait: Wait[Any]) -> str:
    """What stands in the way of a wait at present: its states, their ticks, and what they lack. Empty where it is done."""
    if wait.done:
        return ""
    parts: tuple[Wait[Any], ...] = getattr(wait.entry, "parts", ())
    if parts:
        return "; ".join(filter(None, map(why_pending, parts)))
    machines = machines_of(wait)
    if not machines:
        return f"{wait.label}: its machine is gone"
    return f"{wait.label}: {_stands(machines[0], wait.entry.states, wait.label)}"


def machines_of(*waits: Wait[Any]) -> tuple[Machine, ...]:
    """The machines that these waits belong to, each once, in order."""
    found: dict[int, Machine] = {}
    for wait in waits:
        for parking in wait.entry.parkings():
            machine = parking._machine() if isinstance(parking, MachineParking) else None
            if machine is not None:
                found[id(machine)] = machine
    return tuple(found.values())


def _stands(machine: Machine, mask: int, label: str) -> str:
    if mask == ANY:
        return f"the clock is {str(machine.clock) or 'at its beginning'}"
    if mask == 0:
        return "it has not come yet"
    names, time, said = machine.schema.names, machine.time, list[str]()
    for i in list(bits(mask))[:SHOWN]:
        active = time.is_active(i)
        text = f"{names[i]} is {'active' if active else 'inactive'} since tick {time[i]}"
        if not label.startswith("when_not("):
            against = machine.explain("add", names[i]).why
            text += f" ({against})" if against else ""
        said.append(text)
    return ", ".join(said)


@overload
async def wait_for_all(
    first: Wait[T1], second: Wait[T2], /, *, timeout: float | None = ..., or_error: bool = ...
) -> tuple[T1, T2]: ...
@overload
async def wait_for_all(
    first: Wait[T1],
    second: Wait[T2],
    third: Wait[T3],
    /,
    *,
    timeout: float | None = ...,
    or_error: bool = ...,
) -> tuple[T1, T2, T3]: ...
@overload
async def wait_for_all(
    *waits: Wait[T], timeout: float | None = ..., or_error: bool = ...
) -> tuple[T, ...]: ...
@overload
async def wait_for_all(
    *waits: Wait[Any] | Result, timeout: float | None = ..., or_error: bool = ...
) -> tuple[Any, ...]: ...
async def wait_for_all(
    *waits: Wait[Any] | Result, timeout: float | None = None, or_error: bool = False
) -> tuple[Any, ...]:
    """Wait until all of these have come true, and yield their values in order: waits of any machines, and results.

    Args:
        *waits: They are left as they are when this ends early.
        timeout: Seconds for all of them; None: any time.
        or_error: End as soon as `Exception` is active on one of their machines, also if it is already.

    Errors: `WaitTimeout`, a TimeoutError, that says of each pending one what stands in its way; `WaitFailed` from the error
    of a machine; what a wait ends with, `MachineClosed` for one.
    """
    parts = tuple(map(_as_wait, waits))
    whole = all_of(*parts)
    await _wait_for(whole, parts, timeout, or_error=or_error)
    return whole.value


@overload
async def wait_for_any(*waits: Wait[T], timeout: float | None = ..., or_error: bool = ...) -> Wait[T]: ...
@overload
async def wait_for_any(
    *waits: Wait[Any] | Result, timeout: float | None = ..., or_error: bool = ...
) -> Wait[Any]: ...
async def wait_for_any(
    *waits: Wait[Any] | Result, timeout: float | None = None, or_error: bool = False
) -> Wait[Any]:
    """Wait until one of these has come true, and yield it. Arguments and errors as of `wait_for_all`.

    Of a `Result`, what is yielded is a wait for it.
    """
    parts = tuple(map(_as_wait, waits))
    whole = any_of(*parts)
    await _wait_for(whole, parts, timeout, or_error=or_error)
    first: Wait[Any] = whole.value
    if first.error is not None:
        raise first.error
    return first


async def wait_for_group(
    machines: Iterable[Machine],
    *states: State[..., Any] | str,
    timeout: float | None = None,
    or_error: bool = False,
) -> None:
    """Wait until these states are active on all of these machines at one time. Arguments and errors as of `wait_for_all`."""
    group = tuple(machines)
    with anyio.move_on_after(timeout):
        while not all(machine.is_active(*states) for machine in group):
            await wait_for_all(*(machine.when(*states) for machine in group), or_error=or_error)
        return
    raise _timed_out(tuple(machine.when(*states) for machine in group), timeout)


def _as_wait(given: Wait[Any] | Result) -> Wait[Any]:
    if isinstance(given, Wait):
        return given
    wait = given.when_done()
    if wait is None:
        wait = Wait.make("result")
        wait.fulfil(given)
    return wait


async def _wait_for(
    whole: Wait[Any], parts: tuple[Wait[Any], ...], timeout: float | None, *, or_error: bool
) -> None:
    errors = tuple((machine, machine.when_error()) for machine in machines_of(*parts)) if or_error else ()
    with anyio.move_on_after(timeout):
        if not whole.done:
            await any_of(whole, *(error for _, error in errors))
    if whole.done:
        return
    for machine, wait in errors:
        if wait.done:
            error = wait.value
            says = f"machine {machine.id}: Exception is active ({error!r})"
            raise WaitFailed(f"{says}, {_story(parts)}", wait=whole.label, machine=machine.id) from error
    raise _timed_out(parts, timeout)


def _timed_out(parts: tuple[Wait[Any], ...], seconds: float | None) -> WaitTimeout:
    within = 0.0 if seconds is None else seconds
    labels = tuple(part.label for part in parts if not part.done)
    return WaitTimeout(
        f"after {within:g} s {_story(parts)}", wait=", ".join(labels), pending=labels, seconds=within
    )


def _story(parts: tuple[Wait[Any], ...]) -> str:
    pending = [why_pending(part) for part in parts if not part.done]
    return "\n  ".join([f"{len(pending)} of {len(parts)} did not come true:", *pending])
