"""Tracers watch; they never change anything. The protocol, and its dispatch to the hooks that are overridden.

A hook is called synchronously, in the thread that drains, in the middle of things: it must be quick, and must not wait.
A tracer that raises is detached and logged; the machine goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amachine.errors import BindingError, closest

if TYPE_CHECKING:
    from amachine.handlers import Call
    from amachine.machine import Machine
    from amachine.mutation import Mutation
    from amachine.schema import Schema
    from amachine.subscriptions import Wait
    from amachine.transition import Transition


class Tracer:
    """Override the hooks that you need: the others cost nothing. Attach with `machine.attach(tracer)` or `tracers=[…]`.

    One that is attached in the middle of a transition hears of the next one from its start, and may hear of the rest of
    this one; one that is detached there hears of nothing more. A hook that raises detaches its tracer, which is logged;
    it is not told. Errors: `BindingError` when a class has a method that is all but named like a hook.
    """

    inheritable: bool = False
    """Whether it follows to the children of a machine that are made after it was attached."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            if name not in HOOKS and name.partition("_")[0] in _SUBJECTS and callable(value):
                meant = closest(name, HOOKS, cutoff=0.8)
                if meant is not None:
                    raise BindingError(
                        f"tracers have no such hook: did you mean {meant!r}?",
                        owner=cls.__name__,
                        handler=name,
                        nearest=meant,
                    )

    def machine_opened(self, machine: Machine) -> None:
        """The tracer was attached to the machine: when that was made, or later."""

    def machine_closed(self, machine: Machine) -> None:
        """The machine has closed, or the tracer was detached from it. Nothing follows."""

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        """A mutation was put in the queue. One that runs at once is not queued."""

    def transition_started(self, machine: Machine, transition: Transition) -> None:
        """Relations are resolved; no handler has been asked."""

    def transition_negotiated(self, machine: Machine, transition: Transition) -> None:
        """Negotiation is over: `transition.was_committed` tells whether the commit follows, else `transition.why`."""

    def transition_committed(self, machine: Machine, transition: Transition) -> None:
        """Active set and ticks have changed; no final handler has run."""

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        """The record is complete. Called for refused and interrupted transitions, too, but not for checks."""

    def handler_started(self, machine: Machine, transition: Transition, call: Call) -> None:
        """A handler is about to be called; `transition.is_check` tells whether for a check."""

    def handler_ended(self, machine: Machine, transition: Transition, call: Call, seconds: float) -> None:
        """A handler has returned, or raised, after so many seconds."""

    def wait_made(self, machine: Machine, wait: Wait[Any]) -> None:
        """Somebody waits for something that is not true yet. Called in the thread that waits.

        To tell waits apart, keep `wait.entry`: a wait that a tracer keeps is never forgotten.
        """

    def wait_met(self, machine: Machine, wait: Wait[Any]) -> None:
        """What somebody waited for has come true: it has the `entry` that `wait_made` had.

        Not called for a wait that was cancelled, failed or forgotten: its `done` tells.
        """

    def task_started(self, machine: Machine, name: str, state: str | None) -> None:
        """A background task of a state has started. `name` tells which handler or function it runs."""

    def task_ended(self, machine: Machine, name: str, state: str | None, error: BaseException | None) -> None:
        """A background task is over: done, or failed with this error; a cancellation is one that is no `Exception`."""

    def schema_changed(self, machine: Machine, before: Schema) -> None:
        """The machine has got another schema, `machine.schema`: the one of `before` with more states, or other relations."""

    def queue_drained(self, machine: Machine) -> None:
        """Nothing is queued or running any more."""


HOOKS = tuple(name for name, value in vars(Tracer).items() if callable(value) and not name.startswith("_"))
_SUBJECTS = frozenset(name.partition("_")[0] for name in HOOKS)


class Hooks:
    """The overridden hooks of a machine's tracers, one callable each, with a tuple of bound methods behind it."""

    __slots__ = ("_failed", "drains", "handlers", "stages", "used", *HOOKS)

    # What is asked before a hook is called, where that is often.
    drains: bool
    handlers: bool
    stages: bool
    """Whether any tracer asks for the start, the negotiation or the commit of transitions."""

    used: bool
    """Whether any tracer overrides anything that happens between opening and closing."""
    machine_opened: Callable[[Any], None]
    machine_closed: Callable[[Any], None]
    mutation_queued: Callable[[Any, Mutation], None]
    transition_started: Callable[[Any, Transition], None]
    transition_negotiated: Callable[[Any, Transition], None]
    transition_committed: Callable[[Any, Transition], None]
    transition_ended: Callable[[Any, Transition], None]
    handler_started: Callable[[Any, Transition, Call], None]
    handler_ended: Callable[[Any, Transition, Call, float], None]
    wait_made: Callable[[Any, Wait[Any]], None]
    wait_met: Callable[[Any, Wait[Any]], None]
    task_started: Callable[[Any, str, str | None], None]
    task_ended: Callable[[Any, str, str | None, BaseException | None], None]
    schema_changed: Callable[[Any, Schema], None]
    queue_drained: Callable[[Any], None]

    def __init__(self, tracers: tuple[Tracer, ...], failed: Callable[[Tracer, str, Exception], None]) -> None:
        self._failed = failed
        used: set[str] = set()
        for name in HOOKS:
            methods = tuple(
                (getattr(tracer, name), tracer)
                for tracer in tracers
                if getattr(type(tracer), name) is not getattr(Tracer, name)
            )
            setattr(self, name, self._dispatcher(name, methods))
            if methods:
                used.add(name)
        self.used = bool(used - {"machine_opened", "machine_closed"})
        self.drains = "queue_drained" in used
        self.handlers = bool(used & {"handler_started", "handler_ended"})
        self.stages = bool(used & {"transition_started", "transition_negotiated", "transition_committed"})

    def _dispatcher(
        self, name: str, methods: tuple[tuple[Callable[..., None], Tracer], ...]
    ) -> Callable[..., None]:
        failed = self._failed
        if not methods:
            return _nothing
        if name.startswith("transition_"):  # spelled out, as it is called for every transition
            if len(methods) == 1:
                (only, its_tracer) = methods[0]

                def dispatch_one(machine: Any, transition: Transition) -> None:
                    try:
                        only(machine, transition)
                    except Exception as error:  # noqa: BLE001  # a tracer never breaks what it watches
                        failed(its_tracer, name, error)

                return dispatch_one

            def dispatch_transition(machine: Any, transition: Transition) -> None:
                for method, tracer in methods:
                    try:
                        method(machine, transition)
                    except Exception as error:  # noqa: BLE001  # a tracer never breaks what it watches
                        failed(tracer, name, error)

            return dispatch_transition

        def dispatch(*args: Any) -> None:
            for method, tracer in methods:
                try:
                    method(*args)
                except Exception as error:  # noqa: BLE001  # a tracer never breaks what it watches
                    failed(tracer, name, error)

        return dispatch


def _nothing(*_: Any) -> None:
    """The hook that nobody overrides."""
