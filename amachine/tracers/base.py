"""Tracers watch; they never change anything. The protocol, and its dispatch to the hooks that are overridden.

A hook is called synchronously, in the thread that drains, in the middle of things: it must be quick, and must not wait.
A tracer that raises is detached and logged; the machine goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amachine.handlers import Call
    from amachine.machine import Machine
    from amachine.mutation import Mutation
    from amachine.subscriptions import Wait
    from amachine.transition import Transition


class Tracer:
    """Override the hooks that you need: the others cost nothing. Attach with `machine.attach(tracer)` or `tracers=[…]`."""

    inheritable: bool = False
    """Whether it follows to the children of a machine that are made after it was attached."""

    def machine_opened(self, machine: Machine) -> None:
        """The tracer was attached to the machine: when that was made, or later."""

    def machine_closed(self, machine: Machine) -> None:
        """The machine has closed, or the tracer was detached from it. Nothing follows."""

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        """A mutation was put in the queue. One that runs at once is not queued."""

    def transition_started(self, machine: Machine, transition: Transition) -> None:
        """Relations are resolved; no handler has been asked."""

    def transition_negotiated(self, machine: Machine, transition: Transition) -> None:
        """Negotiation is over: `transition.was_committed` tells whether it will be, or is already known to be refused."""

    def transition_committed(self, machine: Machine, transition: Transition) -> None:
        """Active set and ticks have changed; no final handler has run."""

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        """The record is complete. Called for refused transitions too, but not for checks."""

    def handler_started(self, machine: Machine, transition: Transition, call: Call) -> None:
        """A handler is about to be called; `transition.is_check` tells whether for a check."""

    def handler_ended(self, machine: Machine, transition: Transition, call: Call, seconds: float) -> None:
        """A handler has returned, or raised, after so many seconds."""

    def wait_made(self, machine: Machine, wait: Wait[Any]) -> None:
        """Somebody waits for something that is not true yet."""

    def wait_met(self, machine: Machine, wait: Wait[Any]) -> None:
        """What somebody waited for has come true."""

    def task_started(self, machine: Machine, name: str, state: str | None) -> None:
        """A background task of a state has started. `name` tells which handler or function it runs."""

    def task_ended(self, machine: Machine, name: str, state: str | None, error: BaseException | None) -> None:
        """A background task is over: done, cancelled, or failed with this error."""

    def queue_drained(self, machine: Machine) -> None:
        """Nothing is queued or running any more."""


HOOKS = tuple(name for name, value in vars(Tracer).items() if callable(value) and not name.startswith("_"))


class Hooks:
    """The overridden hooks of a machine's tracers, one callable each, with a tuple of bound methods behind it."""

    __slots__ = ("_failed", "used", *HOOKS)

    used: bool
    """Whether any tracer overrides anything that happens between opening and closing."""

    def __init__(self, tracers: tuple[Tracer, ...], failed: Callable[[Tracer, str, Exception], None]) -> None:
        self._failed = failed
        self.used = False
        for name in HOOKS:
            methods = tuple(
                getattr(tracer, name) for tracer in tracers if getattr(type(tracer), name) is not getattr(Tracer, name)
            )
            setattr(self, name, self._dispatcher(name, methods))

    def _dispatcher(self, name: str, methods: tuple[Callable[..., None], ...]) -> Callable[..., None]:
        if not methods:
            return _nothing
        failed = self._failed
        self.used = self.used or not name.startswith("machine_")

        def dispatch(*args: Any) -> None:
            for method in methods:
                try:
                    method(*args)
                except Exception as error:
                    failed(method.__self__, name, error)  # type: ignore[attr-defined]

        return dispatch


def _nothing(*_: Any) -> None:
    """The hook that nobody overrides."""
