"""The queue of a machine: section 5 of the contract, as one thread sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amachine import (
    Event,
    Kind,
    Machine,
    Mutation,
    QueueFull,
    Result,
    Schema,
    Source,
    Status,
    Tracer,
    Transition,
)
from amachine.queue import Evaluation, Queue
from amachine.subscriptions import Wait

PLAIN: dict[str, Any] = {"A": {}, "B": {}, "C": {}, "Many": {"multi": True}}
SCHEMA = Schema.parse(PLAIN)
Act = Callable[[Machine], object]


class Records(Tracer):
    def __init__(self) -> None:
        self.all: list[Transition] = []

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self.all.append(transition)

    @property
    def mutations(self) -> list[str]:
        return [str(each.mutation) for each in self.all]


def within(
    act: Act, data: dict[str, Any] | None = None, phase: str = "AState", **options: Any
) -> tuple[Machine, Records]:
    """A machine that was given the chance to do this in a handler of A; what it did has been worked off."""
    records = Records()

    def handler(event: Event[Any]) -> None:
        act(event.machine)

    def hear(event: Event[Any]) -> None:
        """Errors are expected."""

    handlers = {phase: handler, "ExceptionState": hear}
    machine = Machine.of(data or PLAIN, "m", handlers=[handlers], tracers=[records], **options)
    assert machine.add("A").executed
    return machine, records


# Run at once, or queued.


def test_a_mutation_of_an_idle_machine_runs_at_once_and_its_answer_is_final() -> None:
    machine = Machine.of(PLAIN, "m")
    result = machine.add("A")
    assert result.executed
    assert result
    assert result.done
    assert result.wait(0) is result
    assert machine.when_queue(result).done
    assert machine.queue_tick == 2


@pytest.mark.parametrize("phase", ["AEnter", "AState"])
def test_a_mutation_of_a_busy_machine_is_queued_and_settles_when_it_has_run(phase: str) -> None:
    answers: list[Result] = []

    def act(machine: Machine) -> None:
        answers.append(machine.add("B"))
        answers.append(machine.set("C"))
        assert [result.status for result in answers] == [Status.QUEUED, Status.QUEUED]
        assert not any(answers)
        assert not machine.is_active("B")

    machine, records = within(act, phase=phase)
    assert [result.queue_tick for result in answers] == [3, 4]
    assert all(result.executed for result in answers)
    assert records.mutations == ["add A", "add B", "set C"]
    assert machine.active == ("C",)
    assert machine.queue_tick == 4


def test_a_mutation_queued_behind_n_others_runs_at_now_plus_n_plus_one() -> None:
    told: list[tuple[int, int | None]] = []

    def act(machine: Machine) -> None:
        told.extend((machine.queue_tick + n + 1, machine.add("Many", n=n).queue_tick) for n in range(4))

    _, records = within(act)
    assert all(expected == got for expected, got in told)
    assert [each.mutation.queue_tick for each in records.all] == [None, *(tick for _, tick in told)]


def test_a_refused_mutation_moves_the_queue_tick_too() -> None:
    machine = Machine.of({"A": {"require": ["B"]}, "B": {}}, "m")
    assert machine.add("A").canceled
    assert machine.queue_tick == 2


def test_a_callback_of_a_queued_answer_runs_before_the_next_mutation() -> None:
    seen: list[tuple[str, ...]] = []

    def act(machine: Machine) -> None:
        first = machine.add("B").when_done()
        assert first is not None
        first.then(lambda result: seen.append((result.status.value, *machine.active)))
        machine.add("C")

    within(act)
    assert seen == [("executed", "A", "B")]


# Who goes to the front.


def test_auto_and_exception_go_to_the_front_without_a_queue_tick_last_in_first_out() -> None:
    def add_c(event: Event[Any]) -> None:
        event.machine.add("C")

    def fail(event: Event[Any]) -> None:
        raise RuntimeError("no")

    records = Records()
    handlers = {"BState": add_c, "AutoEnter": fail, "ExceptionState": add_c}
    data = {**PLAIN, "Auto": {"auto": True, "require": ["B"]}}
    machine = Machine.of(data, "m", handlers=[handlers], tracers=[records], depth_limit=6)
    machine.add("B")
    assert records.mutations[:4] == ["add B", "auto Auto", "add Exception", "auto Auto"]
    assert [each.mutation.queue_tick for each in records.all[:4]] == [None] * 4
    assert "add C" in records.mutations


def test_front_mutations_move_no_queue_tick() -> None:
    machine = Machine.of({"A": {}, "Auto": {"auto": True, "require": ["A"]}}, "m")
    machine.add("A")
    assert machine.active == ("A", "Auto")
    assert machine.queue_tick == 2


# Duplicates.


def test_a_duplicate_of_the_last_queued_mutation_is_dropped_and_shares_its_answer() -> None:
    answers: list[Result] = []

    def act(machine: Machine) -> None:
        answers.extend([machine.add("B", "C"), machine.add("C", "B")])

    machine, records = within(act)
    assert answers[0].queue_tick == answers[1].queue_tick == 3
    assert all(result.executed for result in answers)
    assert records.mutations == ["add A", "add B, C"]
    assert machine.queue_tick == 3


DIFFERENT: dict[str, tuple[Act, Act]] = {
    "another kind": (lambda m: m.add("B"), lambda m: m.set("B")),
    "other states": (lambda m: m.add("B"), lambda m: m.add("B", "C")),
    "arguments": (lambda m: m.add("B", n=1), lambda m: m.add("B", n=1)),
    "arguments of the first": (lambda m: m.add("B", n=1), lambda m: m.add("B")),
    "arguments of the second": (lambda m: m.add("B"), lambda m: m.add("B", n=1)),
    "multi states": (lambda m: m.add("Many"), lambda m: m.add("Many")),
    "toggles": (lambda m: m.toggle("B"), lambda m: m.toggle("B")),
}


@pytest.mark.parametrize("why", DIFFERENT)
def test_what_differs_is_no_duplicate(why: str) -> None:
    first, second = DIFFERENT[why]

    def act(machine: Machine) -> None:
        first(machine)
        second(machine)

    _, records = within(act)
    assert len(records.all) == 3


def test_only_the_last_queued_mutation_counts() -> None:
    def act(machine: Machine) -> None:
        machine.add("B")
        machine.remove("B")
        machine.add("B")

    machine, records = within(act)
    assert records.mutations == ["add A", "add B", "remove B", "add B"]
    assert machine.is_active("B")


# Removing what is not there.


def test_a_remove_of_inactive_states_from_a_final_handler_is_executed_and_not_queued_while_the_queue_is_empty() -> (
    None
):
    answers: list[Result] = []

    def act(machine: Machine) -> None:
        answers.append(machine.remove("B", "C"))
        machine.add("B")
        answers.append(machine.remove("C"))

    _, records = within(act)
    assert [answer.queue_tick for answer in answers] == [None, 4]
    assert records.mutations == ["add A", "add B", "remove C"]


def test_from_a_negotiation_handler_it_is_queued() -> None:
    _, records = within(lambda machine: machine.remove("B"), phase="AEnter")
    assert records.mutations == ["add A", "remove B"]


def test_from_outside_it_is_a_transition_that_changes_nothing() -> None:
    machine = Machine.of(PLAIN, "m")
    assert machine.remove("B").executed
    assert machine.queue_tick == 2


# The limit.


def test_past_its_limit_a_mutation_is_canceled_and_says_why() -> None:
    answers: list[Result] = []
    machine, _ = within(
        lambda machine: answers.extend(machine.add("Many", n=n) for n in range(5)), queue_limit=3
    )
    assert [answer.status.value for answer in answers] == ["executed"] * 3 + ["canceled"] * 2
    assert {answer.why for answer in answers[3:]} == {"queue full"}
    assert isinstance(machine.error, QueueFull)
    assert machine.error.limit == 3


def test_skipping_and_duplicates_come_before_the_limit() -> None:
    def act(machine: Machine) -> None:
        assert machine.remove("B").executed
        assert machine.add("C").queued
        assert machine.add("C").queued
        assert machine.add("B").canceled

    machine, _ = within(act, queue_limit=1)
    assert machine.is_active("A", "C", "Exception")


def test_the_default_limit_is_a_thousand_and_none_is_any_number() -> None:
    def act(machine: Machine) -> None:
        for n in range(1500):
            machine.add("Many", n=n)

    assert within(act)[0]["Many"].tick == 1999
    assert within(act, queue_limit=None)[0]["Many"].tick == 2999


# Toggles.


def test_a_toggle_decides_when_it_is_executed() -> None:
    def act(machine: Machine) -> None:
        machine.toggle("B")
        machine.toggle("B", "C")
        machine.toggle("C", "B")

    machine, records = within(act)
    assert [str(each.kind.value) for each in records.all[1:]] == ["add", "add", "remove"]
    assert machine.active == ("A",)


# Checks.


def test_a_check_answers_at_once_changes_nothing_and_is_no_transition() -> None:
    asked: list[tuple[str, bool]] = []

    def note(event: Event[Any]) -> bool:
        asked.append((event.name, event.is_check))
        return event.name != "BEnter"

    records = Records()
    machine = Machine.of(
        PLAIN, "m", handlers=[{"AEnter": note, "BEnter": note, "AState": note}], tracers=[records]
    )
    before = machine.time, machine.queue_tick
    assert machine.can_add("A")
    assert not machine.can_add("B")
    assert "BEnter" in machine.can_add("B").why
    assert machine.can_remove("A")
    assert asked == [("AEnter", True), ("BEnter", True), ("BEnter", True)]
    assert (machine.time, machine.queue_tick) == before
    assert not records.all


def test_a_check_below_a_handler_is_about_the_present_state() -> None:
    checks: list[bool] = []
    data = {"A": {}, "B": {"require": ["A"]}}
    within(lambda machine: checks.append(bool(machine.can_add("B"))), data, "AEnter")
    within(lambda machine: checks.append(bool(machine.can_add("B"))), data, "AState")
    assert checks == [False, True]


def test_a_mutation_made_by_a_handler_during_a_check_runs_after_it() -> None:
    seen: list[bool] = []

    def handler(event: Event[Any]) -> None:
        result = event.machine.add("B")
        seen.append(result.queued)

    machine = Machine.of(PLAIN, "m", handlers=[{"AEnter": handler}])
    assert machine.can_add("A")
    assert seen == [True]
    assert machine.active == ("B",)


# Looking at it.


def test_the_queue_can_be_looked_at_and_foreseen() -> None:
    seen: list[object] = []

    def act(machine: Machine) -> None:
        machine.add("B")
        machine.toggle("C")
        machine.remove("A", n=1)
        seen.extend(
            [
                [str(each) for each in machine.queue],
                machine.is_queued("add", "B"),
                machine.is_queued(Kind.REMOVE, "A", exact=True),
                machine.is_queued("add", "A"),
                machine.is_queued("add", "B", after=3),
                machine.will_be("B", "C"),
                machine.will_be("A"),
                machine.will_not_be("A"),
            ]
        )

    machine, _ = within(act)
    assert seen == [["add B", "toggle C", "remove A"], True, True, False, False, True, False, True]
    assert machine.queue == ()


# Causes.


def test_a_mutation_knows_what_it_was_caused_by_and_how_deep() -> None:
    records = Records()

    def next_one(event: Event[Any]) -> None:
        event.machine.add("C" if event.state == "B" else "B")

    machine = Machine.of(PLAIN, "m", handlers=[{"AState": next_one, "BState": next_one}], tracers=[records])
    machine.add("A")
    assert [each.mutation.depth for each in records.all] == [0, 1, 2]
    sources = [each.mutation.source for each in records.all]
    assert sources[0] is None
    assert [str(source) for source in sources[1:]] == ["<Source m/1 add A>", "<Source m/2 add B>"]
    assert isinstance(sources[1], Source)
    assert sources[1].time == (0, 0, 0, 0, 0)
    assert machine.add("Many").executed
    assert records.all[-1].mutation.source is None


def test_a_cause_goes_from_machine_to_machine() -> None:
    records = Records()
    other = Machine.of(PLAIN, "other", tracers=[records])

    def handler(event: Event[Any]) -> None:
        other.add("B")

    machine = Machine.of(PLAIN, "m", handlers=[{"AState": handler}])
    machine.add("A")
    assert str(records.all[0].mutation.source) == "<Source m/1 add A>"
    assert records.all[0].mutation.depth == 1


def test_a_loop_over_two_machines_is_stopped_too() -> None:
    counts = [0]

    def hear(event: Event[Any]) -> None:
        """Errors are expected."""

    def to_other(event: Event[Any]) -> None:
        other.toggle("B")

    def again(_: object) -> None:
        counts[0] += 1
        machine.toggle("A")
        other.when_ticks("B").then(again)

    other = Machine.of(PLAIN, "other")
    other.when_ticks("B").then(again)
    bounce = {"AState": to_other, "AEnd": to_other, "ExceptionState": hear}
    machine = Machine.of(PLAIN, "m", handlers=[bounce], depth_limit=30)
    machine.add("A")
    assert machine.error is not None
    assert counts[0] < 40


# Evaluations.


def test_eval_runs_between_two_mutations_in_its_turn() -> None:
    seen: list[tuple[str, ...]] = []

    def act(machine: Machine) -> None:
        machine.add("B")
        machine.eval(lambda: seen.append(machine.active))
        machine.add("C")

    within(act)
    assert seen == [("A", "B")]


def test_eval_yields_what_it_returned_or_its_error() -> None:
    machine = Machine.of(PLAIN, "m")
    assert machine.eval(lambda: 5).value == 5

    def fail() -> None:
        raise LookupError("none")

    failed = machine.eval(fail)
    with pytest.raises(LookupError):
        failed.wait(0)
    assert machine.error is None

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine.eval(stop)
    assert machine.add("A").executed


def test_a_mutation_made_in_an_evaluation_runs_after_it() -> None:
    machine = Machine.of(PLAIN, "m")
    answers: list[tuple[Status, bool]] = []

    def mutate() -> None:
        answers.append((machine.add("A").status, machine.is_active("A")))

    machine.eval(mutate)
    assert answers == [(Status.QUEUED, False)]
    assert machine.is_active("A")


# Nothing queued.


def test_idle_is_now_unless_something_runs() -> None:
    seen: list[bool] = []

    def act(machine: Machine) -> None:
        machine.add("B")
        wait = machine.when_idle()
        seen.append(wait.done)
        wait.then(lambda _: seen.append(machine.is_active("B")))

    machine, _ = within(act)
    assert seen == [False, True]
    assert machine.when_idle().done


# The data structure itself.


def mutation(kind: Kind = Kind.ADD, called: int = 1, args: Any = None) -> Mutation:
    return Mutation(SCHEMA, kind, called, args)


def test_what_is_prepended_comes_first_and_has_no_tick() -> None:
    queue = Queue()
    first, second, front, earlier = mutation(), mutation(called=2), mutation(), mutation()
    queue.append(first, 7)
    queue.append(second, 7)
    queue.prepend(front)
    queue.prepend(earlier)
    assert (first.queue_tick, second.queue_tick, front.queue_tick) == (8, 9, None)
    assert [queue.pop() for _ in range(4)] == [earlier, front, first, second]
    assert not queue


def test_evaluations_stand_in_line_without_a_tick() -> None:
    queue = Queue()
    evaluation = Evaluation(lambda: None, Wait.make("w"))
    one, other = mutation(), mutation()
    queue.append(one, 1)
    queue.append(evaluation)
    assert queue.standing(other) is None
    queue.append(other, 1)
    assert other.queue_tick == 3
    assert queue.mutations() == (one, other)
    assert list(queue) == [one, evaluation, other]


@pytest.mark.parametrize(("limit", "full"), [(None, False), (2, True), (3, False)])
def test_it_is_full_at_its_limit(limit: int | None, full: bool) -> None:
    queue = Queue()
    queue.append(mutation())
    queue.prepend(mutation())
    assert queue.is_full(limit) is full
