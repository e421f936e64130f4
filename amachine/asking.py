"""What a machine can be asked, and the states and arguments that its verbs name. Nothing here changes a machine."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, cast, overload

from amachine import inspection, relations
from amachine._bits import bits, tick_at
from amachine.arguments import from_call, from_data
from amachine.bound import BoundState
from amachine.clock import Clock, Time
from amachine.declare import Group, P, State
from amachine.errors import ArgsError, UnknownState, nearest
from amachine.mutation import Check, Kind, Mutation
from amachine.waiting import AnyState, Waiting

if TYPE_CHECKING:
    from amachine.transition import Transition


class Bare(Protocol):
    """A state that can be entered without arguments."""

    def build(self) -> object:
        """Make its arguments of nothing."""


class Asking(Waiting):
    """A machine that answers questions."""

    __slots__ = ()

    _machine_tick_: int = 1  # stored only where it is another

    @overload
    def can_add(self, state: State[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Check: ...
    @overload
    def can_add(self, /, *states: Bare | str) -> Check: ...
    @overload
    def can_add(self, /, *states: str, **args: object) -> Check: ...
    def can_add(self, /, *states: Any, **args: Any) -> Check:
        """Whether `add` would go through at present. Relations and handlers are asked; nothing changes."""
        called, given = self._read(states, args)
        return self._check(Kind.ADD, called, given)

    def can_remove(self, *states: AnyState, **args: object) -> Check:
        """Whether `remove` would go through at present. Relations and handlers are asked; nothing changes."""
        return self._check(Kind.REMOVE, self._mask(states), args or None)

    def explain(self, mutation: Mutation | Kind | str, *states: AnyState) -> inspection.Explanation:
        """What relations make of a mutation at present: a queued or recorded one, or a kind and states.

        `print(flow.explain("add", flow.schema.names[0]))`. Every state that is left out has its reason.
        """
        if isinstance(mutation, Mutation):
            kind, called, auto = mutation.kind, mutation.called, mutation.auto
        else:
            kind, called, auto = _kind(mutation), self._mask(states), False
        active = self._node_.active  # before the program, which may be a larger one by then
        if kind is Kind.TOGGLE:
            kind = Kind.REMOVE if active & called == called else Kind.ADD
        program = self._program_
        at = program.situation(active)
        return inspection.Explanation(
            program.auto_plan(at, called) if auto else program.plan(at, kind, called)
        )

    def what_can_i_add(self) -> tuple[str, ...]:
        """The states that relations would let in at present: inactive ones, and multi ones, each alone."""
        active, schema = self._node_.active, self._program_.schema
        asked = (i for i in range(schema.n) if not active >> i & 1 or schema.multi >> i & 1)
        return tuple(
            schema.names[i] for i in asked if relations.resolve(schema, active, Kind.ADD, 1 << i).accepted
        )

    def is_active(self, *states: AnyState) -> bool:
        """Whether all of these are active."""
        mask = self._mask(states)
        return self._node_.active & mask == mask

    def any_active(self, *states: AnyState) -> bool:
        """Whether at least one of these is active."""
        return bool(self._node_.active & self._mask(states))

    def active_in(self, group: Group | str | Iterable[AnyState]) -> str | None:
        """Name of the first active state of a group, or of several states: made for `match`. None where none is active."""
        for index in bits(self._node_.active & self._group(group)):
            return self._program_.schema.names[index]
        return None

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the active states, in order of declaration."""
        active = self._node_.active  # before the schema, which may have more states by then, never fewer
        return self._program_.schema.names_of(active)

    @property
    def time(self) -> Time:
        """The ticks of all states, in order of declaration."""
        return Time.unpacked(self._time_, self._program_.schema.n)

    @property
    def clock(self) -> Clock:
        """The ticks of all states, by name."""
        packed = self._time_
        schema = self._program_.schema
        return Clock(schema.names, Time.unpacked(packed, schema.n))

    @property
    def queue_tick(self) -> int:
        """1 at first, and one more for each mutation with a queue tick that was taken up."""
        return self._queue_tick

    @property
    def machine_tick(self) -> int:
        """How many times this machine was started: 1, and one more for each restore."""
        return self._machine_tick_

    @property
    def error(self) -> BaseException | None:
        """The error that was reported last; None once `Exception` has been deactivated."""
        return self._error_

    @property
    def transition(self) -> Transition | None:
        """The transition that is running, if one is."""
        return self._running_

    @property
    def queue(self) -> tuple[Mutation, ...]:
        """The mutations that wait for their turn, in order."""
        return self._queue_.mutations() if self._queue_ else ()

    def is_queued(self, kind: Kind | str, *states: AnyState, exact: bool = False, after: int = 0) -> bool:
        """Whether a mutation of this kind that calls all of these states waits for its turn.

        `exact`: it calls no others. `after`: it runs later than this queue tick.
        """
        wanted, mask = Kind(kind), self._mask(states)
        return any(
            m.kind is wanted
            and (m.called == mask if exact else m.called & mask == mask)
            and (m.queue_tick or after + 1) > after
            for m in self.queue
        )

    def will_be(self, *states: AnyState) -> bool:
        """Whether all of these would be active if every queued mutation did just what it says, relations apart."""
        mask = self._mask(states)
        return self._foreseen() & mask == mask

    def will_not_be(self, *states: AnyState) -> bool:
        """Whether none of these would be active if every queued mutation did just what it says, relations apart."""
        return not self._foreseen() & self._mask(states)

    def _foreseen(self) -> int:
        active = self._node_.active
        for mutation in self.queue:
            called = mutation.called
            match mutation.kind:
                case Kind.ADD:
                    active |= called
                case Kind.REMOVE:
                    active &= ~called
                case Kind.SET:
                    active = called
                case Kind.TOGGLE:
                    active = active & ~called if active & called == called else active | called
        return active

    # -- states and arguments, as they are named

    def _tick(self, index: int) -> int:
        return tick_at(self._time_, index)

    def _index(self, state: AnyState) -> int:
        schema = self._program_.schema
        if isinstance(state, str):
            name = state
        else:
            given: Any = state
            name = getattr(given, "name", "")
            if not isinstance(name, str) or not name:
                raise TypeError(
                    f"{given!r} is no state: give a State of {schema.name or 'the schema'}, or its name"
                )
            if isinstance(given, BoundState) and given.machine is not self:
                raise UnknownState(f"{name} of {given.machine.id}", known=schema.names, schema=schema.name)
        try:
            return schema.index[name]
        except KeyError:
            raise UnknownState(name, known=schema.names, schema=schema.name) from None

    def _mask(self, states: Iterable[AnyState]) -> int:
        mask = 0
        for state in states:
            mask |= 1 << self._index(state)
        return mask

    def _group(self, group: Group | str | Iterable[AnyState]) -> int:
        if isinstance(group, str):
            groups = self._program_.schema.groups
            if group not in groups:
                raise UnknownState(group, known=groups, schema=self._program_.schema.name)
            return self._mask(groups[group].members)
        return self._mask(group.members if isinstance(group, Group) else group)

    def _read(self, states: tuple[Any, ...], given: dict[str, Any]) -> tuple[int, Any]:
        """What a whole-machine verb was called with: the mask of the called states, and the arguments, or None."""
        if len(states) == 1 and not given:
            return 1 << self._index(states[0]), None
        if not states and not given:
            return 0, None
        first = cast("AnyState | None", states[0] if states else None)
        if first is not None and not isinstance(first, str):
            rest: tuple[Any, ...] = states[1:]
            several = all(isinstance(each, (State, str)) for each in rest)
            # After a state that takes arguments, a string is one of them, and not the name of a second state.
            if (
                given
                or not several
                or (first.args is not None and any(isinstance(each, str) for each in rest))
            ):
                index = self._index(first)
                return 1 << index, self._build_args(index, rest, given)
        called = self._mask(states)
        return called, self._args_from_data(called, given) if given else None

    def _args_from_data(self, called: int, given: dict[str, Any]) -> Any:
        schema = self._program_.schema
        made = [from_data(schema.names[i], schema.args[i], given) for i in bits(called)]
        if len(made) > 1 and any(schema.args[i] is not dict for i in bits(called)):
            raise ArgsError(
                f"{', '.join(schema.names_of(called))} cannot be given arguments in one mutation: call one of them at a time",
                state=schema.names_of(called)[0],
            )
        return made[0] if made else dict(given)

    def _build_args(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        schema = self._program_.schema
        return from_call(schema.names[index], schema.args[index], args, kwargs)

    def _fitting(self, index: int, args: Any) -> Any:
        schema = self._program_.schema
        make = schema.args[index]
        if make is None:
            raise ArgsError(f"{schema.names[index]} takes no arguments", state=schema.names[index])
        if isinstance(make, type) and not isinstance(args, make):
            wanted, got = make.__name__, type(args).__name__
            raise ArgsError(f"{schema.names[index]} takes a {wanted}, not a {got}", state=schema.names[index])
        return args


def _kind(word: Kind | str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        kinds = [kind.value for kind in Kind]
        raise ValueError(
            f"no mutation is called {word!r}{nearest(str(word), kinds)}: {', '.join(kinds)}"
        ) from None
