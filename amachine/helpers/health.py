"""Health checks: a machine is asked to move now and then, and told whether what it depends on is alive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from amachine.errors import UnknownState

if TYPE_CHECKING:
    from amachine.machine import Machine

CHECK = "Healthcheck"
BEAT = "Heartbeat"


async def healthcheck(
    machine: Machine,
    *,
    every: float = 60.0,
    probe: Callable[[], Awaitable[object]] | None = None,
    timeout: float | None = None,
) -> None:
    """Check the health of a machine until it closes. Run it where it is to end: `event.spawn`, or a task group.

    Each time, the first one now, `Healthcheck` is added where declared. With a `probe`, that is then awaited: `Heartbeat` is
    added, a multi one re-entered, if it returns anything but False; and removed if it returns False, raises, or takes
    longer than `timeout`. The first error after a success enters `Exception`; those that follow it say nothing new.

    Args:
        machine: The machine.
        every: Seconds between the beginnings of two checks; one that takes longer delays the next.
        probe: What tells whether it is alive, such as a ping.
        timeout: Seconds for the probe; None: as long as it takes.

    Errors: `UnknownState` where the machine has none of the states that this would move; ValueError.
    """
    if not every > 0 or (timeout is not None and not timeout > 0):
        raise ValueError(f"healthcheck(every={every!r}, timeout={timeout!r}): seconds, more than 0")
    checks = machine.schema.has(CHECK)
    needed = CHECK if probe is None else BEAT
    if not machine.schema.has(needed):
        raise UnknownState(needed, known=machine.schema.names, schema=machine.schema.name)
    # The callback keeps it from being cancelled with the first pause that is over.
    closed = machine.when_closed().then(_nothing)
    alive = True
    while True:
        began = anyio.current_time()
        if checks:
            machine.add(CHECK)
        if probe is not None:
            error = await _failure(probe, timeout)
            if machine.is_closing:
                return
            _tell(machine, error, was_alive=alive)
            alive = error is None
        with anyio.CancelScope(deadline=began + every):
            await closed
        if closed.done:
            return


async def _failure(probe: Callable[[], Awaitable[object]], timeout: float | None) -> Exception | None:
    """What speaks against being alive; None where nothing does."""
    try:
        with anyio.fail_after(timeout):
            answer = await probe()
    except Exception as error:  # noqa: BLE001  # a probe may fail in any way: that is what it is for
        return error
    return Unhealthy("the probe said no") if answer is False else None


class Unhealthy(Exception):
    """A probe returned False."""


def _tell(machine: Machine, error: Exception | None, *, was_alive: bool) -> None:
    if error is None:
        machine.add(BEAT)
        return
    machine.remove(BEAT)
    if was_alive:
        machine.add_error(error)


def _nothing(_: object) -> None:
    pass
