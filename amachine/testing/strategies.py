"""Hypothesis strategies for schemas and mutations, and a rule-based machine that drives one of ours at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amachine._defs import EXCEPTION
from amachine.exploring import Move, Source, after, schema_of, step
from amachine.mutation import Kind
from amachine.schema import Schema, StateDef
from amachine.testing.assertions import assert_no_error
from amachine.testing.stories import recorder_of, story
from amachine.testing.walking import perform
from amachine.tracers.recorder import Recorder

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.mutation import Result


@st.composite
def schemas(
    draw: st.DrawFn,
    *,
    names: Sequence[str] = ("A", "B", "C", "D", "E"),
    min_states: int = 2,
    auto: bool = True,
    multi: bool = True,
    exception: bool = True,
) -> Schema:
    """Schemas that keep every rule: of `min_states` and more of these names, with relations of all kinds.

    `auto` and `multi` say whether there are such states; `exception` whether `Exception` may have relations.
    """
    chosen = names[: draw(st.integers(min_states, len(names)))]
    # What is required, or comes before, has a lower rank: so there is no cycle.
    ranks = draw(st.permutations(chosen))
    related = [*chosen, EXCEPTION] if exception else [*chosen]
    some = st.lists(st.sampled_from(related), max_size=2, unique=True)
    seldom = st.sampled_from((False, False, False, True))
    states: list[StateDef] = []
    for name in related if exception and draw(seldom) else chosen:
        lower = ranks[: ranks.index(name)] if name in ranks else []
        below = st.lists(st.sampled_from(lower), max_size=2, unique=True) if lower else st.just(list[str]())
        add = [other for other in draw(some) if other != name]
        remove = [other for other in draw(some) if other != name and other not in add]
        state = StateDef(
            name,
            require=tuple(other for other in draw(below) if other not in remove),
            add=tuple(add),
            remove=tuple(remove),
            after=tuple(draw(below)),
            auto=auto and name != EXCEPTION and draw(seldom),
            multi=multi and draw(seldom),
        )
        states.append(state)
    return Schema(states)


def mutations(
    schema: Source,
    *,
    kinds: Iterable[Kind | str] = (Kind.ADD, Kind.REMOVE),
    most: int = 1,
    exception: bool = False,
) -> st.SearchStrategy[Move]:
    """Mutations of these kinds that call one state, or up to `most`; `Exception` only if `exception` says so.

    `perform(machine, move)` makes one. Those of several states call none that needs arguments.
    """
    of = schema_of(schema)
    names = [name for name in of.names if exception or name != EXCEPTION]
    bare = [name for name in names if not of.missing_args(of.position(name))]
    one = st.sampled_from(names).map(lambda name: (name,))
    several = st.lists(st.sampled_from(bare or names), min_size=1, max_size=most, unique=True)
    called = one if most == 1 or not bare else one | several.map(tuple)
    ordered = called.map(lambda some: tuple(name for name in names if name in some))
    return st.builds(Move, st.sampled_from([Kind(kind) for kind in kinds]), ordered)


class MachineModel(RuleBasedStateMachine):
    """Drives a machine at random, and checks after each mutation what must hold for every machine.

    Say in `make` which machine; add rules and invariants of your own; `TestFlow = FlowModel.TestCase` is the test. What is
    checked: no clock goes back; nothing is left in the queue; no active state removes another, or lacks one that it requires
    (unless a handler failed); no error is reported; and, where `pure`, that the machine does exactly what relations say.
    """

    kinds: ClassVar[Iterable[Kind | str]] = (Kind.ADD, Kind.REMOVE)
    """Kinds of mutations to make."""
    most: ClassVar[int] = 1
    """How many states one of them may call."""
    pure: ClassVar[bool] = False
    """Whether no handler refuses, adds or removes anything, so that relations alone decide."""
    allows_errors: ClassVar[bool] = False
    """Whether handlers may fail."""

    machine: Machine
    """The machine, once `make` has made it."""

    def make(self) -> Machine:
        """Make the machine that is driven."""
        raise NotImplementedError(f"{type(self).__name__}.make() is to return a machine")

    def arguments(self, state: str) -> st.SearchStrategy[Mapping[str, Any]]:  # noqa: ARG002  # for those who override it
        """Keywords that a state is added with; none by default. For states that need arguments."""
        return st.just({})

    @initialize()
    def _begin(self) -> None:
        self.machine = self.make()
        if recorder_of(self.machine) is None:
            self.machine.attach(Recorder())
        self._last = tuple(self.machine.time)

    @rule(data=st.data())
    def mutate(self, data: st.DataObject) -> None:
        """Make a mutation."""
        schema = self.machine.schema
        move = data.draw(mutations(schema, kinds=self.kinds, most=self.most), "mutation")
        args = {name: data.draw(self.arguments(name), f"arguments of {name}") for name in move.states}
        active = schema.mask(self.machine.active)
        result = perform(self.machine, move, args=args)
        if self.pure:
            self._compare(move, active, result)

    def _compare(self, move: Move, active: int, result: Result) -> None:
        schema, called, kind = self.machine.schema, self.machine.schema.mask(move.states), move.kind
        if kind is Kind.TOGGLE:
            kind = Kind.REMOVE if active & called == called else Kind.ADD
        expected = schema.names_of(after(step(schema, active, kind, called)))
        assert self.machine.active == expected, (  # noqa: S101  # it is a test
            f"{move}: relations say {expected}, the machine says {result!r}\n{story(self.machine)}"
        )

    @precondition(lambda self: hasattr(self, "machine"))
    @invariant()
    def no_clock_goes_back(self) -> None:
        """Every tick is as high as it was, or higher."""
        now = self.machine.time
        assert now >= self._last, f"a clock went back from {self._last} to {now}"  # noqa: S101
        self._last = tuple(now)

    @precondition(lambda self: hasattr(self, "machine"))
    @invariant()
    def the_machine_is_at_rest(self) -> None:
        """Nothing is queued."""
        assert not self.machine.queue, f"{self.machine.queue} is left\n{story(self.machine)}"  # noqa: S101

    @precondition(lambda self: hasattr(self, "machine"))
    @invariant()
    def relations_hold(self) -> None:
        """No active state removes another; each has what it requires, unless a handler failed and states were put back."""
        machine, recorder = self.machine, recorder_of(self.machine)
        failed = recorder is not None and bool(recorder.find(machine=machine, failed=True))
        for name in machine.active:
            state = machine.schema[name]
            removed = [other for other in state.remove if machine.is_active(other)]
            assert not removed, f"{name} removes {removed}, which is active\n{story(machine, name)}"  # noqa: S101
            lacking = [other for other in state.require if not machine.is_active(other)]
            assert failed or not lacking, f"{name} lacks {lacking}\n{story(machine, name)}"  # noqa: S101

    @precondition(lambda self: hasattr(self, "machine"))
    @invariant()
    def no_error_is_reported(self) -> None:
        """`Exception` is not active, unless errors are allowed."""
        if not self.allows_errors:
            assert_no_error(self.machine)

    def teardown(self) -> None:
        """Close the machine."""
        if hasattr(self, "machine"):
            self.machine.close()
