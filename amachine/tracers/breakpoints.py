"""Stop, or say where, when a mutation asks for certain states, or when they change.

A breakpoint runs its function in the middle of things, on the stack of whoever asked: that is what it is for. It must
not be left in a program, where the function would hold up every caller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from traceback import extract_stack, format_list
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from amachine._bits import mask_of
from amachine.machine import Machine
from amachine.mutation import Kind, Mutation
from amachine.tracers.base import Tracer
from amachine.transition import Transition

if TYPE_CHECKING:
    from amachine.bound import BoundState
    from amachine.declare import State

WhichState: TypeAlias = "State[..., Any] | BoundState[..., Any] | str"
logger: logging.Logger = logging.getLogger("amachine.breakpoint")


@attrs.frozen(eq=False)
class Hit:
    """What a breakpoint has met. It holds the machine: do not keep it."""

    machine: Machine
    mutation: Mutation
    added: tuple[str, ...]
    """The watched states that it adds."""
    removed: tuple[str, ...]
    """The watched states that it removes."""
    transition: Transition | None
    """The transition that runs; None where the mutation was queued from outside of one."""

    @property
    def stack(self) -> str:
        """Who asked, as a traceback shows it: without the engine's own frames, and without the breakpoint's function."""
        frames = extract_stack()[
            :-1
        ]  # without this property; then comes the function, then the tracer that called it
        while frames and not _is_ours(frames[-1].filename):
            frames.pop()
        return "".join(format_list([each for each in frames if not _is_ours(each.filename)]))

    def __str__(self) -> str:
        states = " ".join([f"+{name}" for name in self.added] + [f"-{name}" for name in self.removed])
        cause = f" by {self.mutation.source.transition}" if self.mutation.source else ""
        return f"{self.machine.id} {states}: {self.mutation}{cause}"


def log_stack(hit: Hit) -> None:
    """Log what was met, and the stack, as a warning of the logger `amachine.breakpoint`."""
    logger.warning("[break] %s\n%s", hit, hit.stack.rstrip())


def debug(hit: Hit) -> None:  # noqa: ARG001  # it is there to be looked at
    """Call `breakpoint()`: `up` leads to whoever asked, and `hit` tells what is asked."""
    breakpoint()  # noqa: T100


class Breakpoint(Tracer):
    """Calls `do` when a mutation adds or removes one of the given states; by default that is Python's `breakpoint()`.

    `Breakpoint(added=["ready"], do=log_stack)`. At the moment of the `"call"` the stack is that of the code that asks
    (of the drain, for a mutation from another thread). At the `"commit"` states are met that really change, called or
    not. `strict` lets mutations pass that ask for what is so already. `where` is a condition of your own.
    """

    hits: int
    """How often it was met."""

    def __init__(
        self,
        *,
        added: Iterable[WhichState] = (),
        removed: Iterable[WhichState] = (),
        strict: bool = False,
        at: Literal["call", "commit"] = "call",
        where: Callable[[Hit], object] | None = None,
        do: Callable[[Hit], object] = debug,
        inheritable: bool = True,
    ) -> None:
        self.inheritable = inheritable
        self.hits = 0
        self._added = frozenset(map(_name, added))
        self._removed = frozenset(map(_name, removed))
        if not self._added and not self._removed:
            raise ValueError(
                "a breakpoint without states would never be met: give it `added` or `removed` states"
            )
        self._strict = strict
        self._at = at
        self._where = where
        self._do = do
        self._queued: set[int] = set()  # ids of the mutations that were met when they were queued

    def machine_closed(self, machine: Machine) -> None:
        """Forget what will never run."""
        self._queued.difference_update(map(id, machine.queue))

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        """Look at what is asked for later."""
        if self._at == "call":
            self._queued.add(id(mutation))
            self._look(machine, mutation, machine.transition)

    def transition_started(self, machine: Machine, transition: Transition) -> None:
        """Look at what is asked for, unless that was done when it was queued."""
        if self._at == "call":
            mutation = transition.mutation
            if id(mutation) in self._queued:
                self._queued.discard(id(mutation))
            else:
                self._look(machine, mutation, transition)

    def transition_committed(self, machine: Machine, transition: Transition) -> None:
        """Look at what has changed."""
        if self._at == "commit":
            plan = transition.plan
            enters = plan.enters & ~plan.reentries if self._strict else plan.enters
            self._meet(machine, transition.mutation, enters, plan.exits, transition)

    def _look(self, machine: Machine, mutation: Mutation, t: Transition | None) -> None:
        schema, called = machine.schema, mutation.called
        active = mask_of(machine.time.active())
        kind = mutation.kind
        if kind is Kind.TOGGLE:
            kind = Kind.REMOVE if active & called == called else Kind.ADD
        adds = called if kind is not Kind.REMOVE else 0
        removes = called if kind is Kind.REMOVE else schema.all & ~called if kind is Kind.SET else 0
        if self._strict:
            adds &= ~active | schema.multi
            removes &= active
        self._meet(machine, mutation, adds, removes, t)

    def _meet(
        self, machine: Machine, mutation: Mutation, adds: int, removes: int, t: Transition | None
    ) -> None:
        names = machine.schema.names_of
        added = tuple(name for name in names(adds) if name in self._added) if self._added else ()
        removed = tuple(name for name in names(removes) if name in self._removed) if self._removed else ()
        if added or removed:
            hit = Hit(machine, mutation, added, removed, t)
            if self._where is None or self._where(hit):
                self.hits += 1
                self._do(hit)

    def __repr__(self) -> str:
        states = [f"+{name}" for name in sorted(self._added)] + [f"-{name}" for name in sorted(self._removed)]
        return f"<Breakpoint {' '.join(states)} met {self.hits} times>"


def _name(state: WhichState) -> str:
    return state if isinstance(state, str) else state.name


def _is_ours(filename: str) -> bool:
    return filename.startswith(_HOUSE)


_HOUSE = __file__.removesuffix("tracers/breakpoints.py")
