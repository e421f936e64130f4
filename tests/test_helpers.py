"""Conditions, loops, debounced and batched inputs, health, waits together, pools, shapes. On both loops, in virtual time."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise, permutations, product
from time import sleep
from typing import Any, cast

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from amachine import (
    Event,
    Machine,
    MachineClosed,
    Schema,
    SchemaError,
    State,
    States,
    UnknownState,
    WaitError,
)
from amachine.helpers import (
    Cond,
    Condition,
    Runaway,
    WaitFailed,
    WaitTimeout,
    batch,
    debounce,
    healthcheck,
    implements,
    pool,
    rounds,
    tag_value,
    wait_for_all,
    wait_for_any,
    wait_for_group,
    why_pending,
)
from amachine.helpers.batching import full_at
from amachine.helpers.debouncing import quiet_at
from amachine.helpers.looping import Window
from tests.lives import Errand, raises
from tests.virtual import anyio_backend

__all__ = ["anyio_backend"]

rest = anyio.wait_all_tasks_blocked


class Flow(Machine):
    a = State()
    b = State()
    c = State(require=[b])
    many = State(multi=True)


# Conditions.


A, B, C = Cond(Flow.a), Cond("b"), Cond("c")
COMPOSED: list[tuple[Condition, Callable[[bool, bool, bool], bool]]] = [
    (Cond(), lambda a, b, c: True),
    (Cond(Flow.a, Flow.b), lambda a, b, c: a and b),
    (Cond(any=[Flow.a, Flow.b]), lambda a, b, c: a or b),
    (Cond(any=[]), lambda a, b, c: False),
    (Cond(none=[Flow.a, "b"]), lambda a, b, c: not a and not b),
    (Cond("a", any=["b", "c"]), lambda a, b, c: a and (b or c)),
    (A & B, lambda a, b, c: a and b),
    (A | B & ~C, lambda a, b, c: a or (b and not c)),
    (~(A | B), lambda a, b, c: not (a or b)),
    (~(A & B) | C, lambda a, b, c: not (a and b) or c),
]


@pytest.mark.parametrize(("condition", "truth"), COMPOSED, ids=[str(each) for each, _ in COMPOSED])
def test_a_condition_is_what_it_says_for_every_set_of_states(
    condition: Condition, truth: Callable[[bool, bool, bool], bool]
) -> None:
    for a, b, c in product((False, True), repeat=3):
        clock = {"a": 2 + a, "b": 4 + b, "c": 6 + c}
        assert condition.holds(clock) == truth(a, b, c)
        assert bool(condition.against(clock)) != truth(a, b, c)


def test_a_condition_is_checked_and_explained() -> None:
    flow = Flow("flow")
    ready = Cond(Flow.a, any=[Flow.b, Flow.c], none=[Flow.many], ticks={Flow.a: 3})
    flow.many.add()
    assert not ready.check(flow)
    assert ready.why_not(flow) == (
        "a is inactive (tick 0); none of b, c is active; many is active (tick 1); a is at tick 0, before 3"
    )
    flow.set(Flow.a, Flow.b)
    flow.a.remove()
    flow.a.add()
    assert ready.check(flow)
    assert ready.why_not(flow) == ""
    assert (ready | C).why_not(flow) == (~C).why_not(flow) == ""
    assert (~ready).why_not(flow) == f"({ready}) is true"
    assert (B & C).why_not(flow) == "c is inactive (tick 0)"
    assert (C | ~B).why_not(flow) == "neither (c): c is inactive (tick 0); nor (not (b)): (b) is true"


def test_a_condition_reads_like_a_sentence_and_is_a_value() -> None:
    assert str(Cond("a", any=["b"], none=["c"], ticks={"d": 3})) == "a and any of b and not c and d at tick 3"
    assert str((A | B) & ~C) == "(a or b) and not (c)"
    assert repr(A | B) == "<Condition a or b>"
    assert Cond(Flow.a) == Cond("a") != Cond("b")
    assert hash(A & ~B) == hash(Cond("a") & ~Cond("b"))


def test_a_condition_has_no_truth_without_a_machine() -> None:
    with pytest.raises(TypeError, match=r"write &, \| and ~"):
        bool(A)
    with pytest.raises(TypeError, match=r"\['b'\]"):
        Cond(any="b")


def test_a_condition_on_an_unknown_state_is_an_error_with_the_nearest_name() -> None:
    wrong = ~Cond("mnay")
    for ask in (wrong.check, wrong.why_not, wrong.when):
        with pytest.raises(UnknownState, match="did you mean 'many'"):
            ask(Flow())


async def test_a_condition_is_waited_for_at_one_moment() -> None:
    flow = Flow("flow")
    wait = (A & B & ~Cond(Flow.many)).when(flow)
    assert wait.label == "(a and b) and not (many) of flow"
    flow.many.add()
    flow.add(Flow.a, Flow.b)
    assert not wait.done
    flow.a.remove()
    flow.many.remove()
    assert not wait.done
    flow.a.add()
    clock = await wait
    assert clock == {"a": 3, "b": 1, "c": 0, "many": 2, "Exception": 0}
    assert A.when(flow).done


@pytest.mark.parametrize("condition", [each for each, _ in COMPOSED], ids=str)
def test_a_wait_for_a_condition_is_done_at_the_first_moment_at_which_it_holds(condition: Condition) -> None:
    for start, order in product(product((False, True), repeat=3), permutations("abc")):
        machine = Machine.of({"a": {}, "b": {}, "c": {}})
        machine.add(*(name for name, active in zip("abc", start, strict=True) if active))
        wait, held = condition.when(machine), condition.check(machine)
        assert wait.done == held
        for name in order:
            machine.toggle(name)
            held = held or condition.check(machine)
            assert wait.done == held


# Loops.


def test_a_window_admits_so_many_in_any_stretch_of_time() -> None:
    for limit, per in product((1, 2, 5), (1.0, 2.5)):
        for gap in (0.0, per / limit - 0.01, per / limit, per):
            window = Window(limit, per)
            admitted = [window.admits(n * gap) for n in range(4 * limit)]
            assert all(admitted[:limit])
            assert all(admitted) == (gap * limit >= per)


async def test_a_loop_ends_with_its_state() -> None:
    flow = Flow()
    flow.a.add()
    seen: list[int] = []
    async for n in rounds(flow.a):
        seen.append(n)
        if n == 3:
            flow.a.remove()
    assert seen == [1, 2, 3]
    async for _ in rounds(flow.a):
        pytest.fail("it is inactive")


async def test_a_loop_ends_also_where_its_state_is_active_anew() -> None:
    flow = Flow()
    flow.a.add()
    loop = rounds(flow.a)
    async for _ in loop:
        flow.a.remove()
        flow.a.add()
    assert loop.count == 1


async def test_reentry_of_a_multi_state_ends_no_loop() -> None:
    flow = Flow()
    flow.many.add()
    async for n in rounds(flow.many):
        flow.many.add()
        if n == 5:
            break
    assert flow.many.tick == 11


async def test_a_loop_that_runs_away_is_named() -> None:
    flow = Flow("flow")
    flow.a.add()
    loop = rounds(flow.a, limit=50, per=2)
    with pytest.raises(
        Runaway, match="machine flow: the loop of a goes round more than 50 times in 2 s"
    ) as caught:
        async for _ in loop:
            pass
    assert loop.count == 50
    assert (caught.value.machine, caught.value.state, caught.value.limit) == ("flow", "a", 50)


async def test_a_loop_that_runs_away_in_a_task_enters_exception() -> None:
    class Poller(Machine):
        polling = State()

        @polling.task
        async def poll(self, e: Event[None]) -> None:
            async for _ in rounds(self.polling):
                pass

    async with Poller() as poller:
        poller.polling.add()
        assert isinstance(await poller.when_error(), Runaway)


async def test_a_loop_without_limit_does_not_run_away() -> None:
    flow = Flow()
    flow.a.add()
    async for n in rounds(flow.a, limit=None):
        if n == 3000:
            break


async def test_a_beat_is_kept_and_missed_beats_are_left_out() -> None:
    flow = Flow()
    flow.a.add()
    began = anyio.current_time()
    times: list[float] = []
    async for n in rounds(flow.a, every=10):
        times.append(round(anyio.current_time() - began, 6))
        await anyio.sleep(25 if n == 2 else 3)
        if n == 5:
            break
    assert times == [0, 10, 35, 40, 50]


async def test_a_pause_ends_with_the_state_and_with_the_machine() -> None:
    for end in (Flow.a.name, ""):
        flow, began = Flow(), anyio.current_time()
        flow.a.add()
        async with anyio.create_task_group() as group:

            async def beat(machine: Flow = flow) -> None:
                async for _ in rounds(machine.a, every=60):
                    pass

            group.start_soon(beat)
            await anyio.sleep(1)
            flow.remove(end) if end else flow.close()
        assert anyio.current_time() - began == pytest.approx(1)


@pytest.mark.parametrize("wrong", [{"every": -1}, {"limit": 0}, {"per": 0}])
def test_numbers_that_make_no_sense_for_a_loop_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        rounds(Flow().a, **wrong)


# Debounce and batch: the decisions.


@pytest.mark.parametrize("max_seconds", [None, 2.0, 5.0])
def test_debounced_inputs_are_due_after_silence_or_at_the_latest(max_seconds: float | None) -> None:
    for first, more in product((0.0, 7.5), (0.0, 1.0, 4.0, 90.0)):
        due = quiet_at(first, first + more, seconds=2.0, max_seconds=max_seconds)
        latest = float("inf") if max_seconds is None else first + max_seconds
        assert due == min(first + more + 2.0, latest)


def test_a_batch_is_due_when_it_is_full_or_its_time_is_over() -> None:
    assert [full_at(3.0, n, max_items=2, max_seconds=5.0) for n in (1, 2, 3)] == [8.0, 3.0, 3.0]


# Debounce and batch: the shell.


@attrs.frozen
class Items:
    items: tuple[Any, ...]

    def __attrs_post_init__(self) -> None:
        if "bad" in self.items:
            raise ValueError("a bad item")


@attrs.frozen
class Change:
    path: str
    size: int = 0


class Sink(Machine):
    pulse = State(multi=True)
    changed = State(Change, multi=True)
    received = State(Items, multi=True)
    single = State(Items)
    shut = State()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.got: list[tuple[float, Any]] = []

    @received.enter
    def takes_items(self, e: Event[Items]) -> bool:
        return not self.shut.active

    @changed.enter
    def takes_changes(self, e: Event[Change]) -> bool:
        return not self.shut.active

    @received.state
    def note_items(self, e: Event[Items]) -> None:
        self.note(e.args.items)

    @changed.state
    def note_change(self, e: Event[Change]) -> None:
        self.note(e.args)

    @pulse.state
    def note_pulse(self, e: Event[None]) -> None:
        self.note(None)

    def note(self, what: Any) -> None:
        self.got.append((anyio.current_time(), what))

    def told(self) -> list[Any]:
        return [args for _, args in self.got]


async def test_debounced_inputs_are_one_mutation_with_the_last_arguments() -> None:
    sink = Sink()
    async with debounce(sink.changed, 2) as changed:
        began = anyio.current_time()
        for n in range(5):
            assert changed.push(f"p{n}", size=n)
            await anyio.sleep(1)
        assert sink.got == []
        await anyio.sleep(60)
        assert sink.told() == [Change("p4", 4)]
        assert sink.got[0][0] - began == pytest.approx(4 + 2)
        changed.push("again")
        assert len(changed.pending) == 1
        await anyio.sleep(2.1)
        assert [*changed.pending] == []
    assert sink.told() == [Change("p4", 4), Change("again")]


async def test_debounced_inputs_that_never_rest_come_in_time() -> None:
    sink = Sink()
    async with debounce(sink.pulse, 2, max_seconds=5.5) as pulse:
        began = anyio.current_time()
        for _ in range(12):
            pulse.push()
            await anyio.sleep(1)
        assert [round(at - began, 1) for at, _ in sink.got] == [5.5, 11.5]
        assert sink.told() == [None, None]


async def test_a_batch_is_handed_over_when_full_and_when_its_time_is_over() -> None:
    sink = Sink()
    async with batch(sink.received, max_items=3, max_seconds=10) as received:
        began = anyio.current_time()
        for n in range(7):
            assert received.push(n)
        await rest()
        assert sink.told() == [(0, 1, 2), (3, 4, 5)]
        assert received.pending == (6,)
        await anyio.sleep(20)
        assert sink.told() == [(0, 1, 2), (3, 4, 5), (6,)]
        assert [round(at - began) for at, _ in sink.got] == [0, 0, 10]


async def test_a_refused_batch_stays_and_is_offered_again_in_order() -> None:
    sink = Sink()
    sink.shut.add()
    async with batch(sink.received, max_items=3, max_seconds=1) as received:
        for n in range(4):
            received.push(n)
        await anyio.sleep(2.5)
        assert sink.got == []
        assert received.pending == (0, 1, 2, 3)
        assert received.answer is not None
        assert received.answer.why == "ReceivedEnter (Sink.takes_items) said no"
        sink.shut.remove()
        await anyio.sleep(2)
    assert sink.told() == [(0, 1, 2), (3,)]


async def test_a_refused_debounce_is_offered_again_with_what_is_newest() -> None:
    sink = Sink()
    sink.shut.add()
    async with debounce(sink.changed, 1) as changed:
        changed.push("old")
        await anyio.sleep(1.5)
        changed.push("new")
        await anyio.sleep(2)
        sink.shut.remove()
        await anyio.sleep(2)
    assert sink.told() == [Change("new")]


async def test_what_came_while_an_older_one_was_queued_and_refused_replaces_it() -> None:
    sink = Sink()
    async with debounce(sink.changed, 1) as changed:
        sink._take_turn()  # as if a thread were draining it
        sink.shut.add()
        changed.push("old")
        await anyio.sleep(1.5)
        changed.push("new")
        sink._turn_[:] = (None,)
        sink.pulse.add()
        await rest()
        assert changed.pending == (Change("new"),)


async def test_what_waits_is_bounded_and_push_says_when_it_is_not_taken() -> None:
    sink = Sink()
    sink.shut.add()
    async with batch(sink.received, max_items=2, max_seconds=1, max_pending=5) as received:
        assert [received.push(n) for n in range(7)] == [True] * 5 + [False] * 2
        await anyio.sleep(3.5)
        assert not received.push(9)
        sink.shut.remove()
        await anyio.sleep(3)
        assert sink.told() == [(0, 1), (2, 3), (4,)]
        assert [received.push(n) for n in range(7)] == [True] * 5 + [False] * 2


@pytest.mark.parametrize("how", ["left", "error", "cancelled"])
@pytest.mark.parametrize("last", ["flush", "drop"])
async def test_what_waits_at_the_end_is_flushed_or_dropped_however_the_block_is_left(
    how: str, last: Any
) -> None:
    sink = Sink()
    received = batch(sink.received, max_seconds=9, last=last)
    changed = debounce(sink.changed, 9, last=last)
    with anyio.CancelScope() as scope, suppress(KeyError):
        async with received, changed:
            received.push(1)
            changed.push("x")
            await rest()
            received.push(2)
            received.push(3)
            if how == "error":
                raise KeyError
            if how == "cancelled":
                scope.cancel()
                await checkpoint()
    assert scope.cancelled_caught == (how == "cancelled")
    assert sink.told() == ([Change("x"), (1, 2, 3)] if last == "flush" else [])
    assert received.pending == (() if last == "flush" else (1, 2, 3))
    assert changed.pending == (() if last == "flush" else (Change("x"),))
    assert not received.push(4)
    assert not changed.push("y")
    await anyio.sleep(60)
    assert len(sink.got) == (2 if last == "flush" else 0)


async def test_what_is_refused_at_the_end_can_still_be_seen() -> None:
    sink = Sink()
    sink.shut.add()
    async with batch(sink.received) as received:
        received.push(1)
    assert received.pending == (1,)


async def test_the_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with debounce(Sink().pulse, 1):
            raise KeyError


async def test_nothing_runs_after_the_machine_has_closed() -> None:
    sink = Sink()
    async with batch(sink.received, max_seconds=1) as received, debounce(sink.changed, 1) as changed:
        received.push(1)
        changed.push("x")
        await rest()
        sink.close()
        await anyio.sleep(5)
        assert not received.push(2)
        assert not changed.push("y")
    assert sink.got == []
    assert received.pending == (1,)


async def test_in_a_task_they_end_with_the_state() -> None:
    class Watcher(Sink):
        watching = State()

        @watching.task
        async def watch(self, e: Event[None]) -> None:
            async with batch(self.received, max_seconds=5) as received:
                received.push("in time")
                await anyio.sleep(7)
                received.push("too late to be complete")
                await anyio.sleep_forever()

    async with Watcher() as watcher:
        watcher.watching.add()
        await anyio.sleep(8)
        watcher.watching.remove()
        await anyio.sleep(60)
        assert watcher.told() == [("in time",), ("too late to be complete",)]


async def test_threads_may_push_and_no_item_is_lost_or_twice() -> None:
    sink = Sink(queue_limit=None)
    async with batch(sink.received, max_items=7, max_seconds=1, max_pending=2000) as received:

        def push(k: int) -> list[bool]:
            return [received.push((k, n)) for n in range(250)]

        errands = [Errand(push, k) for k in range(4)]
        for errand in errands:
            assert all(errand.outcome())
        await anyio.sleep(5)
        assert received.pending == ()
    items = [item for part in sink.told() for item in part]
    assert sorted(items) == [(k, n) for k in range(4) for n in range(250)]
    assert all(one[1] < two[1] for k in range(4) for one, two in pairwise(i for i in items if i[0] == k))
    assert {len(part) for part in sink.told()[:-1]} == {7}


async def test_threads_push_while_the_loop_hands_over() -> None:
    sink = Sink(queue_limit=None)

    def push(k: int) -> None:
        for n in range(200):
            while not received.push((k, n)):  # too many wait: it is not taken, and nothing is lost
                sleep(0.0001)

    received = batch(sink.received, max_items=5, max_seconds=0.01, max_pending=20)
    async with received, anyio.create_task_group() as threads:
        for k in range(3):
            threads.start_soon(anyio.to_thread.run_sync, push, k)
    items = [item for part in sink.told() for item in part]
    assert sorted(items) == [(k, n) for k in range(3) for n in range(200)]
    assert max(len(part) for part in sink.told()) == 5


async def test_who_pushes_without_a_pause_does_not_keep_the_loop_from_others() -> None:
    class Greedy(Sink):
        @Sink.received.state
        def push_more(self, e: Event[Items]) -> None:
            if (n := e.args.items[0]) < 1000:
                received.push(n + 1)

    sink = Greedy(queue_limit=None)
    async with batch(sink.received, max_items=1) as received:
        received.push(1)
        for _ in range(5):
            await checkpoint()
        assert 0 < sink.received.entries < 1000


@pytest.mark.parametrize("last", ["flush", "drop"])
async def test_what_a_thread_pushes_while_the_block_is_left_is_not_lost(last: Any) -> None:
    class Late(deque[Any]):
        def append(self, item: Any) -> None:
            received._loop = None  # as if the block were left right now, by the thread of the loop
            super().append(item)

    sink = Sink()
    async with batch(sink.received, last=last) as received:
        received._items = Late()
        assert received.push(1)
        assert received.pending == (() if last == "flush" else (1,))
    assert sink.told() == ([(1,)] if last == "flush" else [])


async def test_a_push_of_a_thread_wakes_the_loop() -> None:
    sink = Sink()
    async with debounce(sink.changed, 1) as changed:
        await rest()
        assert Errand(changed.push, "x").outcome()
        await sink.when(Sink.changed)
    assert sink.told() == [Change("x")]


async def test_arguments_that_cannot_be_built_enter_exception_and_do_not_stop_the_rest() -> None:
    sink = Sink()
    async with batch(sink.received, max_items=1, max_seconds=1) as received:
        received.push("bad")
        received.push("good")
        await rest()
        assert isinstance(sink.error, ValueError)
    assert sink.told() == [("good",)]


async def test_a_queued_mutation_is_waited_for_and_offered_again_if_it_is_refused() -> None:
    sink = Sink()
    async with batch(sink.received, max_items=1, max_seconds=1) as received:
        sink._take_turn()  # as if a thread were draining it
        sink.shut.add()
        received.push(1)
        received.push(2)
        await anyio.sleep(3)
        assert received.answer is not None
        assert received.answer.queued
        sink._turn_[:] = (None,)
        sink.pulse.add()
        await rest()
        assert received.answer.canceled
        assert received.pending == (1, 2)
        sink.shut.remove()
        await anyio.sleep(1.5)
        assert sink.told() == [None, (1,), (2,)]


def test_arguments_of_a_debounced_input_are_checked_when_it_is_pushed() -> None:
    from amachine import ArgsError

    sink = Sink()
    changed: Any = debounce(sink.changed, 1)
    pulse: Any = debounce(sink.pulse, 1)
    with pytest.raises(ArgsError, match="changed"):
        changed.push()
    with pytest.raises(ArgsError, match="takes no arguments"):
        pulse.push(1)


def test_a_state_that_would_not_take_a_second_one_is_refused() -> None:
    with pytest.raises(SchemaError, match="'single' is not multi"):
        batch(Sink().single)
    with pytest.raises(SchemaError, match="'shut' is not multi"):
        debounce(Sink().shut, 1)


def test_numbers_that_make_no_sense_for_inputs_are_refused() -> None:
    sink, keep = Sink(), cast("Any", "keep")
    with pytest.raises(ValueError, match=r"debounce\(0"):
        debounce(sink.pulse, 0)
    with pytest.raises(ValueError, match="max_seconds=1"):
        debounce(sink.pulse, 2, max_seconds=1)
    with pytest.raises(ValueError, match="last='keep'"):
        debounce(sink.pulse, 2, last=keep)
    with pytest.raises(ValueError, match="max_items=0"):
        batch(sink.received, max_items=0)
    with pytest.raises(ValueError, match="max_seconds=0"):
        batch(sink.received, max_seconds=0)
    with pytest.raises(ValueError, match="max_pending=9"):
        batch(sink.received, max_items=10, max_pending=9)


# Health.


class Served(Machine):
    Healthcheck = State(multi=True)
    Heartbeat = State(multi=True)


async def test_a_healthcheck_is_added_at_a_beat_until_the_machine_closes() -> None:
    served, began = Served(), anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: healthcheck(served, every=10))
        await anyio.sleep(35)
        assert served.Healthcheck.tick == 1 + 3 * 2
        assert not served.Heartbeat.active
        served.close()
    assert anyio.current_time() - began == pytest.approx(35)


async def test_a_probe_moves_the_heartbeat_and_reports_only_the_first_of_its_errors() -> None:
    served = Served()
    answers: list[Any] = [True, None, OSError("gone"), OSError("still gone"), False, 1, False]
    reported: list[BaseException | None] = []
    alive: list[bool] = []

    async def probe() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: healthcheck(served, every=10, probe=probe))
        for _ in range(7):
            await anyio.sleep(1)
            alive.append(served.Heartbeat.active)
            reported.append(served.error)
            served.remove("Exception")
            await anyio.sleep(9)
            if not answers:
                served.close()
    assert alive == [True, True, False, False, False, True, False]
    assert [repr(error) for error in reported] == [
        "None",
        "None",
        "OSError('gone')",
        "None",
        "None",
        "None",
        "Unhealthy('the probe said no')",
    ]


async def test_a_probe_that_takes_too_long_is_no_sign_of_life() -> None:
    served = Served()

    async def probe() -> None:
        await anyio.sleep(7)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: healthcheck(served, every=10, probe=probe, timeout=5))
        await anyio.sleep(6)
        assert isinstance(served.error, TimeoutError)
        assert not served.Heartbeat.active
        group.cancel_scope.cancel()


async def test_a_machine_without_the_states_cannot_be_checked() -> None:
    with pytest.raises(UnknownState, match="Healthcheck"):
        await healthcheck(Flow())
    with pytest.raises(UnknownState, match="Heartbeat"):
        await healthcheck(Flow(), probe=checkpoint)
    with pytest.raises(ValueError, match="every=0"):
        await healthcheck(Served(), every=0)


# Waits together.


async def test_all_waits_yield_their_values_in_order() -> None:
    sink, flow = Sink(), Flow()
    wait = wait_for_all(sink.changed.when(), flow.when_ticks(Flow.a), flow.add(Flow.b))
    sink.changed.add("x")
    flow.a.add()
    change, clock, result = await wait
    assert change == Change("x")
    assert clock["a"] == 1
    assert result.executed
    assert await wait_for_all() == ()


async def test_a_timeout_says_which_waits_are_pending_and_what_stands_in_their_way() -> None:
    flow, sink = Flow("flow"), Sink("sink")
    flow.many.add()
    waits = (
        flow.when(Flow.a, Flow.c),
        flow.when(Flow.many),
        sink.when_not(Sink.shut),
        flow.when_not(Flow.many),
    )
    began = anyio.current_time()
    with pytest.raises(WaitTimeout) as caught:
        await wait_for_all(*waits, timeout=5)
    assert anyio.current_time() - began == pytest.approx(5)
    assert isinstance(caught.value, TimeoutError)
    assert str(caught.value) == (
        "after 5 s 2 of 4 did not come true:\n"
        "  when(a, c) of flow: a is inactive since tick 0, c is inactive since tick 0 (c requires b, which is inactive)\n"
        "  when_not(many) of flow: many is active since tick 1"
    )
    assert caught.value.pending == ("when(a, c) of flow", "when_not(many) of flow")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not waits[0].done, "it is left as it is"
    flow.add(Flow.a, Flow.b, Flow.c)
    assert waits[0].done


def test_why_a_wait_is_pending_in_each_of_its_shapes() -> None:
    from amachine import all_of

    flow = Flow("flow")
    flow.a.add()
    assert why_pending(flow.when(Flow.a)) == ""
    assert why_pending(flow.when_query(lambda clock: False)) == "when_query() of flow: the clock is a:1"
    assert why_pending(flow.when_closed()) == "when_closed: it has not come yet"
    both = all_of(flow.when(Flow.a), flow.when(Flow.b))
    assert why_pending(both) == "when(b) of flow: b is inactive since tick 0"
    wait = Cond(Flow.b).when(flow)
    assert why_pending(wait) == "b of flow: b is inactive since tick 0"
    del flow
    import gc

    gc.collect()


async def test_an_error_of_a_machine_ends_the_wait_for_it_if_that_is_asked_for() -> None:
    for how in (wait_for_all, wait_for_any):
        flow, sink = Flow("flow"), Sink("sink")
        with pytest.raises(
            WaitFailed, match=r"machine sink: Exception is active \(OSError\('x'\)\), 2 of 2"
        ) as caught:
            async with _soon(sink, OSError("x")):
                await how(flow.when(Flow.a), sink.when(Sink.shut), or_error=True, timeout=60)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.machine == "sink"
        with pytest.raises(WaitTimeout):
            await how(flow.when(Flow.a), sink.when(Sink.shut), timeout=1)
        flow.a.add()
        sink.shut.add()
        await how(flow.when(Flow.a), sink.when(Sink.shut), or_error=True)


class _soon:
    """Have an error reported while the block waits."""

    def __init__(self, machine: Machine, error: Exception) -> None:
        self.machine, self.error = machine, error

    async def __aenter__(self) -> None:
        self.group = anyio.create_task_group()
        await self.group.__aenter__()
        self.group.start_soon(self.report)

    async def __aexit__(self, *_: object) -> None:
        await self.group.__aexit__(None, None, None)

    async def report(self) -> None:
        await rest()
        self.machine.add_error(self.error)


async def test_any_wait_yields_the_one_that_came() -> None:
    flow = Flow()
    a, b = flow.when(Flow.a), flow.when(Flow.b)
    flow.b.add()
    assert await wait_for_any(a, b, timeout=5) is b
    result = flow.a.add()
    assert (await wait_for_any(flow.when(Flow.many), result)).value is result


async def test_what_a_wait_ends_with_is_raised() -> None:
    flow = Flow()
    for how in (wait_for_all, wait_for_any):
        wait = flow.when(Flow.a)
        wait.cancel()
        with pytest.raises(WaitError, match="cancelled"):
            await how(wait, timeout=1)
    wait = flow.when(Flow.a)
    flow.close()
    with pytest.raises(MachineClosed):
        await wait_for_all(wait, or_error=True)


async def test_a_group_is_waited_for_until_all_are_there_at_one_time() -> None:
    group = [Flow(f"m{n}") for n in range(3)]
    done: list[float] = []
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            await wait_for_group(group, Flow.a)
            done.append(anyio.current_time())

        tasks.start_soon(wait)
        await rest()
        group[0].a.add()
        group[1].a.add()
        group[0].a.remove()
        group[2].a.add()
        await rest()
        assert done == []
        group[0].a.add()
    assert len(done) == 1
    group[1].a.remove()
    with pytest.raises(
        WaitTimeout, match=r"after 5 s 1 of 3 did not come true:\n  when.a. of m1: a is inactive since tick 2"
    ):
        await wait_for_group(group, Flow.a, timeout=5)


# Pools.


async def test_a_pool_runs_no_more_than_its_limit_and_keeps_the_order() -> None:
    running = most = 0
    begun: list[int] = []

    async def job(n: int) -> int:
        nonlocal running, most
        begun.append(n)
        running += 1
        most = max(most, running)
        await anyio.sleep(1 + n / 100)
        running -= 1
        return n * n

    async with pool(3) as jobs:
        started = [jobs.start(job, n) for n in range(10)]
        assert (
            repr(started[0])
            == "<Job test_a_pool_runs_no_more_than_its_limit_and_keeps_the_order.<locals>.job pending>"
        )
    assert most == 3
    assert sorted(begun[:3]) == [0, 1, 2]
    assert begun[3:] == list(range(3, 10))
    assert jobs.results == tuple(n * n for n in range(10))
    assert started[4].value == 16
    assert started[4].done
    assert jobs.errors == ()


async def fail(seconds: float, error: Exception) -> None:
    await anyio.sleep(seconds)
    raise error


async def test_the_first_error_ends_the_others_and_the_block_and_is_raised_as_it_is() -> None:
    jobs = pool(2)
    error = KeyError("first")
    begun: list[str] = []

    async def begin() -> None:
        begun.append("although it is over")

    async def work() -> None:
        async with jobs:
            jobs.start(anyio.sleep, 60)
            jobs.start(fail, 1, error)
            jobs.start(begin)
            await anyio.sleep_forever()

    assert await raises(KeyError, work()) is error
    long, failed, never = jobs.jobs
    assert failed.error is error
    assert not long.done
    assert not never.done
    assert begun == []
    with pytest.raises(WaitError, match="was cancelled"):
        _ = long.value


async def test_errors_that_come_with_the_first_one_are_noted_on_it_and_nothing_begins_any_more() -> None:
    jobs = pool(2)
    begun: list[str] = []

    async def begin() -> None:
        begun.append("although it is over")

    async def stubborn() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            jobs.start(begin)
            raise OSError("clean-up")

    async def work() -> None:
        async with jobs:
            jobs.start(stubborn)
            jobs.start(fail, 1, KeyError("first"))

    error = await raises(KeyError, work())
    assert any("OSError('clean-up')" in note for note in error.__notes__)
    assert begun == []


async def test_errors_may_be_kept_with_their_jobs() -> None:
    async with pool(2, errors="keep") as jobs:
        bad = jobs.start(fail, 1, KeyError("bad"))
        good = jobs.start(anyio.sleep, 5)
    assert good.done
    assert [repr(error) for error in jobs.errors] == ["KeyError('bad')"]
    with pytest.raises(KeyError):
        _ = bad.value
    with pytest.raises(KeyError):
        _ = jobs.results


async def test_an_error_of_the_block_ends_the_jobs_and_goes_on_alone() -> None:
    jobs = pool(2)

    async def stubborn() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("clean-up")

    async def work() -> None:
        async with jobs:
            jobs.start(anyio.sleep, 60)
            jobs.start(stubborn)
            await rest()
            raise ZeroDivisionError

    await raises(ZeroDivisionError, work())
    assert not jobs.jobs[0].done
    assert len(jobs.errors) == 1


async def test_a_pool_in_a_task_is_cancelled_with_the_state() -> None:
    class Fetcher(Machine):
        fetching = State()
        begun = 0
        ended = 0

        @fetching.task
        async def fetch(self, e: Event[None]) -> None:
            async with pool(2) as jobs:
                for _ in range(5):
                    jobs.start(self.one)

        async def one(self) -> None:
            self.begun += 1
            try:
                await anyio.sleep(10)
            finally:
                self.ended += 1

    async with Fetcher() as fetcher:
        fetcher.fetching.add()
        await anyio.sleep(15)
        fetcher.fetching.remove()
        await anyio.sleep(60)
        assert (fetcher.begun, fetcher.ended) == (4, 4)
        assert fetcher.error is None


async def test_jobs_may_start_others() -> None:
    async def tree(depth: int) -> int:
        if depth:
            jobs.start(tree, depth - 1)
            jobs.start(tree, depth - 1)
        return depth

    async with pool(1) as jobs:
        jobs.start(tree, 3)
    assert len(jobs.jobs) == 15


async def test_a_pool_is_used_inside_its_block_and_once() -> None:
    jobs = pool(1)
    with pytest.raises(WaitError, match="not open"):
        jobs.start(checkpoint)
    async with jobs:
        jobs.start(checkpoint)
    with pytest.raises(WaitError, match="over"):
        jobs.start(checkpoint)
    with pytest.raises(WaitError, match="once"):
        async with jobs:
            pass
    with pytest.raises(ValueError, match="limit=0"):
        pool(0)
    with pytest.raises(ValueError, match="errors='x'"):
        pool(1, errors="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Shapes.


class Wanted(States):
    b = State()
    c = State(require=[b])
    many = State(multi=True)


def test_a_schema_implements_what_has_no_more_than_it() -> None:
    assert implements(Flow(), Wanted)
    assert implements(Flow, Wanted)
    assert implements(Flow.schema, Wanted.schema)
    assert implements(Flow, ["a", "b"])
    assert implements(Wanted, Wanted).why == ""
    assert implements(Schema.parse({"a": {"multi": True}}), Schema.parse({"a": {}}))


def test_what_a_schema_lacks_is_said_of_each_state() -> None:
    class Poor(Machine):
        b = State()
        c = State()
        manny = State(multi=True)

    class Single(Machine):
        b = State()
        c = State(require=[b])
        many = State()

    assert not implements(Poor(), Wanted)
    assert implements(Poor(), Wanted).why == (
        "Poor has c, but it does not require b; has no state 'many' (did you mean 'manny'?)"
    )
    assert implements(Single, Wanted).why == "Single has many, but not as a multi state"
    assert implements(Schema.parse({"a": {}}), ["x"]).why == "the schema has no state 'x'"


def test_the_value_of_a_tag_stands_behind_its_key() -> None:
    tags = ("env:test", "ui", "env:other", "url:http://x")
    assert tag_value(tags, "env") == "test"
    assert tag_value(tags, "url") == "http://x"
    assert tag_value(tags, "ui") == ""
    assert tag_value(tags, "none") is None
    assert tag_value(Flow(tags=tags).tags, "env") == "test"
