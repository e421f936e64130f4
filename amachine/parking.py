"""Where tasks and threads wait for a machine. The only room that blocks a thread; event loops are met in `loops`."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Generator
from threading import Event as Gate
from threading import get_ident
from typing import TYPE_CHECKING, Any
from weakref import ref

from amachine.errors import WaitError

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.subscriptions import Wait


class MachineParking:
    """The parking of one machine, which it keeps not alive."""

    __slots__ = ("_machine",)

    def __init__(self, machine: Any) -> None:
        self._machine: ref[Machine] = ref(machine)

    def park(self, wait: Wait[Any], /) -> Generator[Any, Any, object]:
        """Suspend the running task, of whichever event loop, until `wait` is done."""
        from amachine.loops import park

        return park(wait).__await__()

    def may_block(self, wait: Wait[Any], /) -> None:
        """Raise WaitError where blocking the calling thread would keep the machine from ever getting there."""
        machine = self._machine()
        if machine is None:
            return
        here = get_ident()
        if machine._owner_ == here:
            raise WaitError(
                f"{wait.label}: a handler cannot block its own machine: use .then()", machine=machine.id
            )
        if machine._home_ == here:
            raise WaitError(f"{wait.label}: this would block the event loop: await it", machine=machine.id)

    def block(self, wait: Wait[Any], timeout: float | None, /) -> None:
        """Block the calling thread until `wait` is done; TimeoutError after `timeout` seconds."""
        gate = Gate()
        wait.add_parker(gate.set)
        try:
            if not gate.wait(timeout):
                raise TimeoutError(f"{wait.label} is not done after {timeout} s")
        finally:
            wait.drop_parker(gate.set, keep=True)

    def failed(self, wait: Wait[Any], error: Exception, /) -> None:
        """A callback raised: add `Exception` to the machine, at the front."""
        machine = self._machine()
        if machine is not None:
            machine._callback_failed(wait.label, error)

    def met(self, wait: Wait[Any], /) -> None:
        """What was waited for has come true: tell the tracers."""
        machine = self._machine()
        hooks = None if machine is None else machine._hooks_
        if hooks is not None:
            hooks.wait_met(machine, wait)
