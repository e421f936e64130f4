"""What users bring along for roles as machines: states, handlers and tracers of their own, beside what plays the script.

It is settled once, where a play or a join is asked for, so that whatever is wrong with it is said there. Nothing here plays.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from amachine.choreography.local import LocalMachine
from amachine.choreography.playing.machines import MachineSeat, RoleMachine, machine_type
from amachine.choreography.playing.schemas import Extra
from amachine.choreography.playing.watching import tracers_of
from amachine.declare import Phase
from amachine.tracers.base import Tracer

if TYPE_CHECKING:
    from amachine.machine import Machine, Options

__all__ = ["AsMachine", "Settled", "settled"]


@attrs.frozen(kw_only=True, eq=False)
class AsMachine:
    """How a role is a machine: with what of the user's own, beside the states and handlers that play the script.

    `states` may require states of the script, and be removed by them; they never hold it up. `handlers` are bound as those of
    any machine, and see the states of the script, too: `SendState`, `BusyEnter`. Their `task` handlers and timers run, for
    whoever plays the role opens its machine. `handler_timeout` is how many seconds a handler may take before that is
    reported; None: any time, for the role's own functions run in handlers.
    """

    states: Extra | None = None
    handlers: Iterable[object] | Mapping[str, Callable[..., Any]] = ()
    tracers: Iterable[Tracer] = ()
    handler_timeout: float | None = None


@attrs.frozen(eq=False)
class Settled:
    """What there is of the user's own for one role, looked through."""

    local: LocalMachine
    kind: type[RoleMachine]
    handlers: tuple[object, ...]
    tracers: tuple[Tracer, ...]
    handler_timeout: float | None

    def seat(
        self, session: str, *, tracers: Iterable[Tracer] = (), parent: Machine | None = None
    ) -> MachineSeat:
        """A seat with such a machine. Errors: `BindingError` where a handler does not fit."""
        return MachineSeat(
            self.local, session, kind=self.kind, **self.options(tracers=tracers, parent=parent)
        )

    def options(self, *, tracers: Iterable[Tracer] = (), parent: Machine | None = None) -> Options:
        """What such a machine is made with."""
        found: Options = {"handler_timeout": self.handler_timeout}
        if self.handlers:
            found["handlers"] = self.handlers
        if tracers or self.tracers:
            found["tracers"] = (*tracers, *self.tracers)
        if parent is not None:
            found["parent"] = parent
        return found

    @property
    def has_tasks(self) -> bool:
        """Whether some handlers run as tasks, timers among them. Errors: `BindingError`."""
        options = self.options()
        options.pop("tracers", None)
        suites = self.kind("probe", **options)._program_.suites
        return any(call.phase is Phase.TASK or call.is_async for suite in suites for call in suite)


def settled(local: LocalMachine, own: AsMachine) -> Settled:
    """Look through what is given for a role.

    Errors: `ChoreographyError` (AMC602 to AMC604) for states that could hold the script up, which it names; `TypeError` for
    anything else than an `AsMachine`.
    """
    given: Any = own
    if not isinstance(given, AsMachine):
        raise TypeError(
            f"{given!r} does not say how {local.role} is a machine: AsMachine(states=…, handlers=[…]) does"
        )
    kind = machine_type(local, states=own.states)
    return Settled(local, kind, _owners(own.handlers), tracers_of(own.tracers), own.handler_timeout)


def _owners(handlers: Iterable[object] | Mapping[str, Callable[..., Any]]) -> tuple[object, ...]:
    """Who has the handlers: a mapping is one."""
    bound: Iterable[object] = (cast("object", handlers),) if isinstance(handlers, Mapping) else handlers
    return tuple(bound)
