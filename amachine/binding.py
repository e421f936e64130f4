"""Who is bound to a machine: handlers of other objects, and tracers. They come and go between two mutations."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar, cast

from amachine.asking import Asking
from amachine.conduct import formatted
from amachine.errors import BindingError, MachineClosed
from amachine.handed import Life
from amachine.handlers import Suite, suite_of, suite_of_mapping
from amachine.mutation import ErrorInfo
from amachine.queue import Evaluation
from amachine.subscriptions import Wait
from amachine.tracers.base import Hooks, Tracer
from amachine.transition import Program, program_of

if TYPE_CHECKING:
    from amachine.schema import Schema

T = TypeVar("T")

everywhere: list[Tracer] = []
"""Tracers that every machine gets that is made from now on: for debuggers, and for logs that a program does not know of."""


class Binding(Asking):
    """A machine to which handlers and tracers are bound."""

    __slots__ = ("_tracers_",)

    _tracers_: tuple[Tracer, ...]

    def eval(self, fn: Callable[[], T]) -> Wait[T]:
        """Run `fn` between two mutations, so that it may touch what handlers touch. Yields what it returns, or its error."""
        wait: Wait[T] = self._wait(Wait.make(f"eval of {self._id_}"), now=False)
        if self._life_ == Life.CLOSED:
            wait.fail(MachineClosed(machine=self._id_))
        elif self._owner_ == get_ident():
            self._the_queue().append(Evaluation(fn, wait))
        else:
            self._the_inbox().append(Evaluation(fn, wait))
            self._knock()
        return wait

    @property
    def handlers(self) -> tuple[object, ...]:
        """The handler objects that are bound, in order; the class's own come before them."""
        return self._owners_

    def bind(self, owner: Any, *, prefix: str = "", strict: bool = True) -> None:
        """Bind the handlers of an object, or of a mapping of names to functions, after those that are bound.

        With `prefix` its names are read as if each state began so. It takes effect between two mutations: at once, or
        behind what is queued.
        Errors: `BindingError`, and nothing is bound.
        """
        bound: Any = owner

        def suite_for(schema: Schema) -> Suite:
            if isinstance(owner, Mapping):
                return suite_of_mapping(cast("Mapping[str, Callable[..., Any]]", owner), schema, prefix)
            return suite_of(bound.__class__, schema, prefix=prefix, strict=strict, own=False)

        asked = self._program_.schema
        suite = suite_for(asked)
        if strict and not len(suite) and not isinstance(owner, Mapping):
            mend = "a name looks like ReadyEnter or ready_state, or @Flow.ready.enter stands before it"
            raise BindingError(f"{owner!r} has no handlers: {mend}", owner=bound.__class__.__name__)

        def add() -> None:
            schema = self._program_.schema  # perhaps another by now
            try:
                late = suite if schema is asked else suite_for(schema)
            except BindingError as error:
                self._tell_error(ErrorInfo(error, formatted(error), f"bind of {self._id_}"), None)
                return
            self._run_program(program_of(schema, (*self._program_.suites, late)), (*self._owners_, bound))

        self.eval(add)

    def unbind(self, owner: object) -> None:
        """Take the handlers of a bound object away, when `bind` would add them. Errors: ValueError where it is not bound."""
        if not any(each is owner for each in self._owners_):
            raise ValueError(f"{owner!r} is not bound to {self._id_}")

        def take() -> None:
            at = next(i for i, each in enumerate(self._owners_) if each is owner)
            suites = self._program_.suites
            program = program_of(self._program_.schema, (*suites[: at + 1], *suites[at + 2 :]))
            self._run_program(program, (*self._owners_[:at], *self._owners_[at + 1 :]))

        self.eval(take)

    def _run_program(self, program: Program, owners: tuple[object, ...]) -> None:
        self._owners_ = owners
        self._program_ = program
        self._node_ = program.situation(self._node_.active)

    def _owner_of(self, slot: int) -> object:
        return self._owners_[slot - 1] if slot else self

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """The tracers that are attached, in order."""
        return self._tracers_

    def attach(self, tracer: Tracer) -> None:
        """Let a tracer watch: from now on, or, while another thread runs the machine, before its next mutation.

        Twice the same: once. Errors: TypeError for what is no tracer.
        """
        given: Any = tracer
        if not isinstance(given, Tracer):
            raise TypeError(f"{given!r} is no tracer: make one of a class that inherits from Tracer")

        def add() -> None:
            if not any(each is tracer for each in self._tracers_):
                self._watch((*self._tracers_, tracer))
                self._tell(tracer, "machine_opened")

        self._between(add)

    def detach(self, tracer: Tracer) -> None:
        """Let a tracer watch no longer, as soon as `attach` would begin. One that is not attached: nothing."""

        def take() -> None:
            if any(each is tracer for each in self._tracers_):
                self._watch(tuple(each for each in self._tracers_ if each is not tracer))
                self._tell(tracer, "machine_closed")

        self._between(take)

    def _between(self, change: Callable[[], None]) -> None:
        """Run it where nothing else changes this machine: at once if this thread drains, or nobody does."""
        if self._owner_ == get_ident():
            change()
        elif not self._is_elsewhere() and self._take_turn():
            try:
                change()
            finally:
                self._turn_[:] = (None,)
            if self._inbox_:
                self._drain_inbox()
        else:
            self._the_inbox().append(Evaluation(change, Wait.make(f"tracers of {self._id_}")))
            self._knock()

    def _tell(self, tracer: Tracer, hook: str) -> None:
        try:
            getattr(tracer, hook)(self)
        except Exception as error:
            self._tracer_failed(tracer, hook, error)

    def _watch(self, tracers: tuple[Tracer, ...]) -> None:
        self._tracers_ = tracers
        hooks = Hooks(tracers, self._tracer_failed)
        self._hooks_ = hooks if hooks.used else None
        self._attend()

    def _tracer_failed(self, tracer: Tracer, hook: str, error: Exception) -> None:
        self._between(lambda: self._watch(tuple(each for each in self._tracers_ if each is not tracer)))
        self._log(
            "tracer %s detached from %s: its %s raised", type(tracer).__name__, self._id_, hook, error=error
        )

    def _report(self, info: ErrorInfo) -> None:
        where = f" in {info.handler}" if info.handler else ""
        self._log("machine %s: error%s: %r", self._id_, where, info.error, error=info.error)

    def _log(self, text: str, *args: object, error: BaseException | None = None) -> None:
        import logging

        logging.getLogger("amachine").error(text, *args, exc_info=error)
