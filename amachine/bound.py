"""A state of one machine: what `flow.processing` is. A thin face: every verb is the machine's, for this state."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from amachine.mutation import Check, Kind, Result

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.runtime import Scope
    from amachine.schema import StateDef
    from amachine.subscriptions import Wait

P = ParamSpec("P")
A = TypeVar("A")

ADD, REMOVE, TOGGLE = Kind.ADD, Kind.REMOVE, Kind.TOGGLE


class BoundState(Generic[P, A]):
    """One state of one machine. `P` is what its arguments are made of, `A` is their class."""

    __slots__ = ("_index", "_machine", "_mask", "_submit")

    def __init__(self, machine: Machine, index: int) -> None:
        self._machine = machine
        self._index = index
        self._mask = 1 << index
        self._submit = machine._submit

    @property
    def name(self) -> str:
        """The state's name."""
        return self._machine.schema.names[self._index]

    @property
    def machine(self) -> Machine:
        """The machine whose state it is."""
        return self._machine

    @property
    def definition(self) -> StateDef:
        """The state as it was declared, relations by name."""
        return self._machine.schema.states[self._index]

    @property
    def active(self) -> bool:
        """Whether it is active now."""
        return bool(self._machine._node_.active & self._mask)

    @property
    def tick(self) -> int:
        """How often it has changed: odd while active."""
        return self._machine._tick(self._index)

    @property
    def entries(self) -> int:
        """How often it has been entered: each time counts anew for a multi state."""
        return (self._machine._tick(self._index) + 1) // 2

    @property
    def args(self) -> A | None:
        """The arguments that its present activation was entered with; None while inactive."""
        if not self.active:
            return None
        args: A = self._machine._activation_args(self._index)
        return args

    def add(self, *args: P.args, **kwargs: P.kwargs) -> Result:
        """Activate it, or re-enter it if it is multi, with these arguments. Runs at once, or queues."""
        if args or kwargs:
            return self._submit(ADD, self._mask, self._build(args, kwargs))
        return self._submit(ADD, self._mask)

    def send(self, args: A) -> Result:
        """`add`, with arguments that exist already. Errors: `ArgsError` when they are not of the state's class."""
        return self._submit(ADD, self._mask, self._machine._fitting(self._index, args))

    def remove(self) -> Result:
        """Deactivate it."""
        return self._submit(REMOVE, self._mask)

    def toggle(self, *args: P.args, **kwargs: P.kwargs) -> Result:
        """Deactivate it if it is active when its turn comes, else activate it with these arguments."""
        if args or kwargs:
            return self._submit(TOGGLE, self._mask, self._build(args, kwargs))
        return self._submit(TOGGLE, self._mask)

    def can_add(self, *args: P.args, **kwargs: P.kwargs) -> Check:
        """Whether `add` with these arguments would go through at present. Asks handlers; changes nothing."""
        built = self._build(args, kwargs) if args or kwargs else None
        return self._machine._check(ADD, self._mask, built)

    def can_remove(self) -> Check:
        """Whether `remove` would go through at present. Asks handlers; changes nothing."""
        return self._machine._check(REMOVE, self._mask)

    def when(self, where: Callable[[A], object] | None = None) -> Wait[A]:
        """Wait until it is active, with arguments for which `where` is true: now, or from an activation to come. Yields them."""
        return self._machine._when_state(self._index, where)

    def when_not(self) -> Wait[None]:
        """Wait until it is inactive."""
        return self._machine.when_not(self.name)

    def when_next(self) -> Wait[A]:
        """Wait until it is activated anew. Yields its arguments."""
        return self._machine.when_next(self.name)

    def when_entered(self, where: Callable[[A], object] | None = None) -> Wait[A]:
        """Wait until a mutation to come enters, or re-enters, it with arguments that fit. Yields them."""
        return self._machine.when_args(self.name, where)

    def when_ticks(self, ticks: int = 1) -> Wait[Any]:
        """Wait until its tick has moved by so many. Yields the clock."""
        return self._machine.when_ticks(self.name, ticks)

    def scope(self) -> Scope:
        """`async with flow.ready.scope(): …` is left quietly when its tick moves."""
        return self._machine.scope(self.name)

    def _build(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._machine._build_args(self._index, args, kwargs)

    def __bool__(self) -> bool:
        raise TypeError(f"the state {self.name} is neither true nor false: ask `.active`, or await `.when()`")

    def __repr__(self) -> str:
        return f"<{self.name}:{self.tick} of {self._machine.id}>"
