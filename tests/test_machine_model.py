"""The whole machine beside the naive one: random schemas, handlers that veto, fail and mutate, waits, small limits.

Both get the same schema, the same scripts as handlers, and the same calls, and must agree on all that can be seen:
answers, states, ticks, transitions, calls of handlers, errors, waits. What no model is needed for is checked besides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from amachine import CascadeError, Check, Event, Machine, Result, Schema, Tracer, Transition, Wait
from tests.naive import (
    EXCEPTION,
    Answer,
    NaiveEvent,
    NaiveMachine,
    NaiveSchema,
    NaiveTransition,
    NaiveWait,
    resolve,
)
from tests.thorough import MORE

NAMES = ("A", "B", "C", "D", "E")
MUTATIONS = ("add", "remove", "set", "toggle")
CHECKS = ("can_add", "can_remove")
Args = dict[str, int]


@dataclass(frozen=True)
class Step:
    """One call of a machine's verb. `Exception` takes arguments of its own, and gets none here."""

    verb: str
    states: tuple[str, ...] = ()
    args: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Script:
    """What a handler, or a callback, does: at most `times` times its steps, then how it ends."""

    times: int = 1
    steps: tuple[Step, ...] = ()
    fails: bool = False
    vetoes: bool = False


@dataclass
class Side:
    """One of the two machines, and what was seen of it."""

    machine: Any = None
    seen: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    raised: list[str] = field(default_factory=list[str])
    heard: list[str] = field(default_factory=list[str])
    transitions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    waits: list[Any] = field(default_factory=list[Any])

    def perform(self, step: Step) -> object:
        """Do it, and keep what the caller got."""
        if step.verb == "add_error":
            self.raised.append(f"told {len(self.raised)}")
            got = self.machine.add_error(RuntimeError(self.raised[-1]), *step.states[:1])
        else:
            got = getattr(self.machine, step.verb)(
                *step.states, **(dict(step.args) if EXCEPTION not in step.states else {})
            )
        answer = said(got)
        self.seen.append((step, answer))
        return answer

    def act(self, script: Script, who: str) -> bool | None:
        """Play a script."""
        for step in script.steps:
            self.perform(step)
        if script.fails:
            self.raised.append(f"{who} {len(self.raised)}")
            raise RuntimeError(self.raised[-1])
        return False if script.vetoes else None

    def handlers(self, scripts: Mapping[str, Script], place: int) -> dict[str, Callable[[Any], object]]:
        """The handlers of one object; each counts its own calls."""
        return {name: self.handler(name, script, place) for name, script in scripts.items()}

    def handler(self, name: str, script: Script, place: int) -> Callable[[Any], object]:
        left = script.times

        def handle(event: Event[Any] | NaiveEvent) -> object:
            nonlocal left
            self.seen.append((place, name, event.is_check))
            if isinstance(event, Event):
                assert event.name == name
                if name in {"ExceptionEnter", "ExceptionState"}:
                    self.heard.append(str(getattr(event.args, "error", None)))
            if left <= 0:
                return None
            left -= 1
            return self.act(script, name)

        return handle

    def callback(self, script: Script) -> Callable[..., object]:
        def call(*_: object) -> None:
            self.seen.append(("callback",))
            self.act(script, "callback")

        return call


def said(got: Result | Answer | Check | bool) -> object:
    """An answer, from whichever machine."""
    match got:
        case Result():
            return got.status.value, got.queue_tick
        case Answer():
            return got.status, got.queue_tick
        case _:
            return bool(got)


def text_of(error: BaseException | None) -> str:
    if error is None:
        return ""
    return "cascade" if isinstance(error, CascadeError) else str(error)


def assert_alike(real: list[Any], naive: list[Any]) -> None:
    """Two histories; where they part is worth more than what they are."""
    for at, (here, there) in enumerate(zip_longest(real, naive)):
        assert here == there, f"entry {at}: {here} of the machine, {there} of the model"


class Recorder(Tracer):
    def __init__(self, side: Side) -> None:
        self.side = side

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self.side.transitions.append(
            {
                "kind": transition.kind.value,
                "called": list(transition.called),
                "auto": transition.auto,
                "accepted": transition.accepted,
                "time": list(transition.time_after),
                "target": list(transition.target) if transition.accepted else None,
            }
        )


class Log(logging.Handler):
    """The errors that the logger was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.exc_info
        self.errors.append(str(record.exc_info[1]))


# What Hypothesis draws.


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """A schema that keeps the rules: what is required, or comes before, has a lower rank."""
    names = NAMES[: draw(st.integers(2, len(NAMES)))]
    ranks = draw(st.permutations(names))
    all_names = [*names, EXCEPTION]
    some = st.lists(st.sampled_from(all_names), max_size=2, unique=True)
    few = st.sampled_from((False, False, False, True))
    data: dict[str, dict[str, Any]] = {}
    for name in all_names if draw(few) else names:
        lower = ranks[: ranks.index(name)] if name in ranks else []
        below = st.lists(st.sampled_from(lower), max_size=2, unique=True) if lower else st.just([])
        add = [other for other in draw(some) if other != name]
        remove = [other for other in draw(some) if other != name]
        data[name] = {
            "require": [other for other in draw(below) if other not in remove or other in add],
            "after": draw(below),
            "add": add,
            "remove": remove,
            "auto": name != EXCEPTION and draw(few),
            "multi": draw(few),
        }
    return data


def steps_of(names: list[str]) -> st.SearchStrategy[Step]:
    states = st.lists(st.sampled_from(names), min_size=0, max_size=3).map(tuple)
    args = st.sampled_from(((), (), (), (("k", 1),), (("k", 2),)))
    mutation = st.builds(Step, st.sampled_from(MUTATIONS), states, args)
    check = st.builds(Step, st.sampled_from(CHECKS), states)
    report = st.builds(Step, st.just("add_error"), st.lists(st.sampled_from(names), max_size=1).map(tuple))
    return st.one_of(mutation, mutation, mutation, check, report)


def scripts_of(names: list[str]) -> st.SearchStrategy[Script]:
    steps = st.lists(steps_of(names), max_size=2).map(tuple)
    rarely = st.sampled_from((False, False, True))
    return st.builds(Script, st.integers(1, 4), steps, rarely, rarely)


def handlers_of(names: list[str]) -> st.SearchStrategy[list[dict[str, Script]]]:
    phases = [f"{name}{phase}" for name in names for phase in ("Enter", "Exit", "State", "End")]
    pairs = [foo + bar for foo in names for bar in names]
    handler = st.sampled_from([*phases, *phases, *pairs, "AnyEnter", "AnyState", "ExceptionState"])
    return st.lists(st.dictionaries(handler, scripts_of(names), max_size=5), max_size=3)


class Beside(RuleBasedStateMachine):
    """The two machines, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.real = Side()
        self.naive = Side()
        self.names: list[str] = []
        self.traced = False
        self.last: tuple[int, ...] = ()
        self.log = Log()
        logger = logging.getLogger("amachine")
        logger.addHandler(self.log)
        self.propagated, logger.propagate = logger.propagate, False

    def teardown(self) -> None:
        logger = logging.getLogger("amachine")
        logger.removeHandler(self.log)
        logger.propagate = self.propagated

    @initialize(
        data=st.data(),
        schema=schemas(),
        queue_limit=st.sampled_from((1000, 1000, 2, 4)),
        depth_limit=st.sampled_from((1000, 1000, 2, 4)),
        traced=st.booleans(),
    )
    def make(
        self, data: st.DataObject, schema: dict[str, Any], queue_limit: int, depth_limit: int, traced: bool
    ) -> None:
        model = NaiveSchema(schema)
        self.names = model.names
        scripts = data.draw(handlers_of(self.names), "handlers")
        self.naive.machine = NaiveMachine(
            model,
            [self.naive.handlers(each, place) for place, each in enumerate(scripts)],
            queue_limit=queue_limit,
            depth_limit=depth_limit,
        )
        self.real.machine = Machine.of(
            Schema.parse(schema),
            "m",
            handlers=[self.real.handlers(each, place) for place, each in enumerate(scripts)],
            tracers=[Recorder(self.real)] if traced else [],  # unwatched, it may go other, shorter ways
            queue_limit=queue_limit,
            depth_limit=depth_limit,
            handler_timeout=None,
        )
        self.last = tuple(self.real.machine.time)
        self.traced = traced

    # Steps.

    @rule(data=st.data())
    def perform(self, data: st.DataObject) -> None:
        step = data.draw(steps_of(self.names), "step")
        assert self.real.perform(step) == self.naive.perform(step)

    @rule(data=st.data(), kind=st.sampled_from(("when", "when_not")))
    def wait_for_states(self, data: st.DataObject, kind: str) -> None:
        states = data.draw(st.lists(st.sampled_from(self.names), max_size=3, unique=True), "states")
        wanted = set(states)
        model: NaiveMachine = self.naive.machine

        def test(_: NaiveTransition | None) -> bool:
            return wanted <= model.active if kind == "when" else not wanted & model.active

        self.waits(data, getattr(self.real.machine, kind)(*states), model.wait(test))

    @rule(
        data=st.data(),
        ahead=st.integers(0, 4),
        kind=st.sampled_from(("when_time", "when_ticks", "when_query")),
    )
    def wait_for_ticks(self, data: st.DataObject, ahead: int, kind: str) -> None:
        state = data.draw(st.sampled_from(self.names), "state")
        machine: Machine = self.real.machine
        model: NaiveMachine = self.naive.machine
        target = model.ticks[state] + ahead
        match kind:
            case "when_time":
                wait = machine.when_time({state: target})
            case "when_ticks":
                wait = machine.when_ticks(state, ahead)
            case _:
                wait = machine.when_query(lambda clock: clock[state] >= target)
        self.waits(data, wait, model.wait(lambda _: model.ticks[state] >= target))

    @rule(data=st.data())
    def wait_for_the_next_activation(self, data: st.DataObject) -> None:
        state = data.draw(st.sampled_from(self.names), "state")
        model: NaiveMachine = self.naive.machine
        target = model.ticks[state] + 1 + model.ticks[state] % 2
        wait = model.wait(lambda _: model.ticks[state] >= target and state in model.active)
        self.waits(data, self.real.machine.when_next(state), wait)

    @rule(data=st.data(), where=st.sampled_from(({}, {"k": 1}, {"k": 2})))
    def wait_for_arguments(self, data: st.DataObject, where: Args) -> None:
        state = data.draw(st.sampled_from([name for name in self.names if name != EXCEPTION]), "state")

        def test(t: NaiveTransition | None) -> bool:
            entered = t is not None and t.committed and state in t.outcome.enters - t.put_back
            return entered and t is not None and where.items() <= (t.mutation.args or {}).items()

        self.waits(data, self.real.machine.when_args(state, where), self.naive.machine.wait(test, now=False))

    def waits(self, data: st.DataObject, wait: Wait[Any], model: NaiveWait) -> None:
        """The same wait on both sides, with a callback or without."""
        self.real.waits.append(wait)
        self.naive.waits.append(model)
        assert wait.done == model.done
        script = data.draw(st.none() | scripts_of(self.names), "callback")
        if script is None or (model.done and script.fails):
            return
        model.callback = self.naive.callback(script)
        if model.done:
            model.callback()
        wait.then(self.real.callback(script))

    @precondition(lambda self: self.real.waits)
    @rule(data=st.data())
    def cancel_a_wait(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.real.waits) - 1), "which")
        self.real.waits[at].cancel()
        self.naive.waits[at].done = True

    # What must hold after each.

    @precondition(lambda self: self.real.machine is not None)
    @invariant()
    def they_agree(self) -> None:
        machine: Machine = self.real.machine
        model: NaiveMachine = self.naive.machine
        assert_alike(self.real.seen, self.naive.seen)
        if self.traced:
            assert_alike(self.real.transitions, model.records)
        assert list(machine.active) == model.schema.declared(model.active)
        assert dict(machine.clock) == model.ticks
        assert machine.queue_tick == model.queue_tick
        assert text_of(machine.error) == text_of(model.error)
        assert [wait.done for wait in self.real.waits] == [wait.done for wait in self.naive.waits]

    @precondition(lambda self: self.real.machine is not None)
    @invariant()
    def the_machine_is_at_rest_and_in_order(self) -> None:
        machine: Machine = self.real.machine
        assert machine.queue == ()
        assert machine.transition is None
        assert machine.when_idle().done
        assert machine.time >= self.last, "a clock went back"
        self.last = tuple(machine.time)
        assert tuple(name for name in self.names if machine[name].tick % 2) == machine.active
        assert machine.is_active(*machine.active)
        for name in machine.active:
            definition = machine.schema[name]
            assert machine.is_active(*definition.require) or self.was_put_back()
            assert not machine.any_active(*definition.remove)
        lost = {*self.real.raised} - {*self.real.heard} - {*self.log.errors}
        assert not lost, f"nobody heard of {lost}"

    def was_put_back(self) -> bool:
        """What is put back takes nothing with it that was there before: a requirement may be missing from then on."""
        model: NaiveMachine = self.naive.machine
        return any(not each["accepted"] for each in model.records)

    @precondition(lambda self: self.real.machine is not None)
    @invariant()
    def relations_are_explained_as_the_naive_model_resolves_them(self) -> None:
        machine: Machine = self.real.machine
        model: NaiveMachine = self.naive.machine
        fine = tuple(
            name
            for name in self.names
            if (name not in model.active or model.schema[name].multi)
            and resolve(model.schema, model.active, "add", {name}).accepted
        )
        assert machine.what_can_i_add() == fine, machine
        for name in self.names:
            explained = machine.explain("add", name)
            assert explained.accepted == (not explained.why)
            assert explained.accepted or name in explained.left_out


def test_the_machine_does_what_the_naive_one_does() -> None:
    run_state_machine_as_test(
        Beside, settings=settings(max_examples=40 * MORE, stateful_step_count=12, deadline=None)
    )


def test_the_naive_machine_is_worth_its_name() -> None:
    model = NaiveMachine(
        NaiveSchema({"A": {"auto": True, "require": ["B"]}, "B": {"remove": ["C"]}, "C": {}})
    )
    assert model.add("C").status == "executed"
    assert model.add("B").status == "executed"
    assert model.active == {"A", "B"}
    assert model.can_add("C") is False
    assert model.toggle("B").status == "executed"
    assert model.active == set()
    with pytest.raises(KeyError):
        model.add("Nobody")
