"""Waits end once, at the right moment, for everybody who listens, and leave nothing behind; whatever the threads do."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amachine import subscriptions as subs
from amachine.errors import MachineClosed, WaitCancelled, WaitError
from amachine.subscriptions import ANY, End, Entry, Wait, Waits, all_of, any_of, when

STATES = 4
A, B, C, D = (1 << i for i in range(STATES))


@dataclass(frozen=True)
class Snapshot:
    """A moment, as the engine would show it."""

    number: int = 0
    ticks: tuple[int, ...] = (0,) * STATES
    entered: int = 0
    given: dict[int, Any] = field(default_factory=dict[int, Any])
    entered_with: dict[int, Any] = field(default_factory=dict[int, Any])

    @property
    def active(self) -> int:
        return sum(1 << i for i, tick in enumerate(self.ticks) if tick & 1)

    def tick(self, state: int, /) -> int:
        return self.ticks[state]

    def clock(self) -> dict[str, int]:
        return dict(zip("ABCD", self.ticks, strict=True))

    def args(self, state: int, /) -> Any:
        return self.entered_with.get(state)

    def called_args(self, state: int, /) -> Any:
        return self.given.get(state)


class Threads:
    """A parking made of threads: a coroutine is parked by yielding, and driven by hand."""

    def __init__(self) -> None:
        self.drainer: int | None = None
        self.errors: list[tuple[str, Exception]] = []
        self.fulfilled: list[str] = []

    def park(self, wait: Wait[Any], /) -> Generator[Any, Any, object]:
        wake = threading.Event().set
        wait.add_parker(wake)
        try:
            while not wait.done:
                yield "parked"
        finally:
            wait.drop_parker(wake)
        return None

    def may_block(self, wait: Wait[Any], /) -> None:
        if threading.get_ident() == self.drainer:
            raise WaitError("the drainer would wait for itself", wait=wait.label)

    def block(self, wait: Wait[Any], timeout: float | None, /) -> None:
        over = threading.Event()
        wait.add_parker(over.set)
        if not over.wait(timeout):
            wait.drop_parker(over.set, keep=True)
            raise TimeoutError

    def failed(self, wait: Wait[Any], error: Exception, /) -> None:
        self.errors.append((wait.label, error))

    def met(self, wait: Wait[Any], /) -> None:
        self.fulfilled.append(wait.label)


class Box:
    """The part of a machine that waits see: it moves states, publishes the moment, and settles."""

    def __init__(self) -> None:
        self.parking = Threads()
        self.waits = Waits(self.parking)
        self.now = Snapshot()

    def advance(self, *, flip: int = 0, again: int = 0, args: Any = None) -> int:
        """Commit: `flip` these states, re-enter those. Returns the mask of what ticked."""
        old, kept, ticks = self.now, dict(self.now.entered_with), list(self.now.ticks)
        entered = 0
        for i in range(STATES):
            ticks[i] += (flip >> i & 1) + 2 * (again >> i & 1)
            if (flip | again) >> i & 1 and ticks[i] & 1:
                entered |= 1 << i
                kept[i] = args
        self.now = Snapshot(old.number + 1, tuple(ticks), entered, dict.fromkeys(range(STATES), args), kept)
        return flip | again

    def move(self, *, flip: int = 0, again: int = 0, args: Any = None) -> bool:
        """A whole transition. Whether a callback ran."""
        moved = self.advance(flip=flip, again=again, args=args)
        return self.waits.settle(moved, self.now) if moved & self.waits.watched else False

    def pending(self) -> list[str]:
        return list(self.waits.pending)

    def wait(self, wait: Wait[Any]) -> Wait[Any]:
        return self.waits.add(wait, lambda: self.now)


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads change places as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def over(wait: Wait[Any]) -> bool:
    """`done`, asked again each time: a checker takes an asserted property for settled."""
    return wait.done


def together(*works: Callable[[], object]) -> None:
    """Start all at once, each in its own thread; what one raises goes up."""
    barrier, raised = threading.Barrier(len(works)), list[BaseException]()

    def run(work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised again
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


# What each kind waits for.


def test_when_wants_all_of_these_at_one_moment(box: Box) -> None:
    wait = box.wait(when(A | B, 0, "when(A, B)"))
    box.move(flip=A)
    box.move(flip=A | B)
    assert not over(wait)  # A left as B entered
    box.move(flip=A)
    assert over(wait)
    assert wait.value is None


def test_when_not_wants_none_of_these(box: Box) -> None:
    box.move(flip=A | B)
    wait = box.wait(when(0, A | B, "when_not(A, B)"))
    box.move(flip=A)
    assert not over(wait)
    box.move(flip=B)
    assert over(wait)


def test_of_no_states_and_already_true_are_done_at_once(box: Box) -> None:
    assert box.wait(when(0, 0, "when()")).done
    assert box.wait(when(0, A, "when_not(A)")).done
    assert box.pending() == []


def test_when_time_yields_the_clock(box: Box) -> None:
    wait = box.wait(subs.when_time({0: 2, 1: 1}, "when_time"))
    box.move(flip=A)
    box.move(flip=A)
    assert not over(wait)
    box.move(flip=B)
    assert wait.value == {"A": 2, "B": 1, "C": 0, "D": 0}


def test_when_args_hears_entries_that_fit_and_were_called_after_it_was_made(box: Box) -> None:
    box.move(flip=A, args=7)
    wait = box.wait(subs.when_args(0, lambda x: x == 7, "when_args", since=box.now.tick(0)))
    assert not over(wait)  # it is active with 7, but that is over
    box.move(again=A, args=6)
    assert not over(wait)
    box.move(again=A, args=7)
    assert wait.value == 7


def test_when_args_does_not_count_the_transition_that_it_was_made_in(box: Box) -> None:
    wait = box.waits.add(subs.when_args(0, None, "when_args", since=1))
    box.move(flip=A, args=1)
    assert not over(wait)
    box.move(again=A, args=2)
    assert wait.value == 2


def test_state_when_counts_the_present_activation(box: Box) -> None:
    box.move(flip=A, args=7)
    assert box.wait(subs.when_args(0, lambda x: x == 7, "A.when", or_now=True)).value == 7
    later = box.wait(subs.when_args(0, lambda x: x == 8, "A.when", or_now=True))
    box.move(flip=A)
    box.move(flip=A, args=8)
    assert later.value == 8


def test_when_next_skips_the_present_activation_and_one_that_was_put_back(box: Box) -> None:
    box.move(flip=A, args=1)
    wait = box.wait(subs.when_next(0, 3, "when_next(A)"))
    box.move(flip=A)
    box.move(again=A)  # from 2 to 4: entered and put back
    assert not over(wait)
    box.move(flip=A, args=2)
    assert wait.value == 2


def test_a_query_is_asked_at_once_and_after_every_tick(box: Box) -> None:
    asked: list[dict[str, int]] = []

    def total(clock: dict[str, int]) -> bool:
        asked.append(clock)
        return sum(clock.values()) == 2

    wait = box.wait(subs.when_query(total, "when_query"))
    box.move(flip=D)
    box.move(flip=A)
    assert [sum(clock.values()) for clock in asked] == [0, 1, 2]
    assert wait.value == asked[-1]


@pytest.mark.parametrize("late", [False, True])
def test_an_error_of_the_condition_ends_the_wait_with_it(box: Box, late: bool) -> None:
    def fails(clock: dict[str, int]) -> bool:
        if clock["A"] == late:
            raise ZeroDivisionError
        return False

    wait = box.wait(subs.when_query(fails, "when_query"))
    box.move(flip=A)
    traces: list[list[str]] = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            wait.value  # noqa: B018
        traces.append([entry.name for entry in caught.traceback])
    # The trace leads into the condition, and does not grow from one raise to the next.
    assert traces[0][-1] == "fails"
    assert traces[0] == traces[1]
    assert isinstance(wait.error, ZeroDivisionError)
    assert box.pending() == []


def test_interrupts_go_up_and_the_others_are_due_all_the_same(box: Box) -> None:
    def interrupted(clock: dict[str, int]) -> bool:
        if clock["A"] == 1:
            raise KeyboardInterrupt
        return False

    waits = [
        box.wait(when(A, 0, "before")),
        box.wait(subs.when_query(interrupted, "interrupted")),
        box.wait(when(A, 0, "after")),
    ]
    with pytest.raises(KeyboardInterrupt):
        box.move(flip=A)
    assert [wait.done for wait in waits] == [True, False, True]


# How it ends, and who hears of it.


def test_callbacks_run_after_all_have_ended_in_order_of_creation(box: Box) -> None:
    heard: list[Any] = []
    second = Wait.make("unborn")
    first = box.wait(when(A, 0, "first")).then(lambda _: heard.append(("first", second.done)))
    second = box.wait(when(A, 0, "second")).then(lambda _: heard.append("second"))
    first.then(lambda _: heard.append("first again"))
    assert box.move(flip=A)
    assert heard == [("first", True), "first again", "second"]
    assert first.then(heard.append) is first
    assert heard[-1] is None
    assert not box.move(flip=A)


def test_callbacks_are_not_called_for_cancelled_or_failed_waits(box: Box) -> None:
    heard: list[Any] = []
    cancelled = box.wait(when(A, 0, "cancelled")).then(heard.append)
    failed = box.waits.add(Wait.make("failed")).then(heard.append)
    cancelled.cancel()
    failed.fail(ValueError())
    cancelled.then(heard.append)
    box.move(flip=A)
    assert heard == []


def test_the_error_of_a_callback_takes_the_error_path_and_stops_nobody(box: Box) -> None:
    heard: list[Any] = []
    error = ValueError("callback")

    def fails(_: object) -> None:
        raise error

    box.wait(when(A, 0, "when(A)")).then(fails).then(heard.append)
    box.move(flip=A)
    done = box.wait(when(A, 0, "done")).then(fails)
    assert over(done)
    assert box.parking.errors == [("when(A)", error), ("done", error)]
    assert heard == [None]


def test_an_interrupt_in_a_callback_goes_up_after_the_others_have_run(box: Box) -> None:
    heard: list[Any] = []

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    box.wait(when(A, 0, "one")).then(interrupt)
    box.wait(when(A, 0, "two")).then(heard.append)
    with pytest.raises(KeyboardInterrupt):
        box.move(flip=A)
    assert heard == [None]


def test_one_that_cannot_be_woken_keeps_nobody_asleep(box: Box) -> None:
    woken: list[bool] = []

    def closed_loop() -> None:
        raise RuntimeError("loop is closed")

    wait = box.wait(when(A, 0, "when(A)"))
    wait.add_parker(closed_loop)
    wait.add_parker(lambda: woken.append(True))
    box.move(flip=A)
    assert woken == [True]
    assert [str(error) for _, error in box.parking.errors] == ["loop is closed"]


def test_cancelling_is_over_at_once_and_idempotent(box: Box) -> None:
    wait = box.wait(when(A, 0, "when(A)"))
    assert repr(wait) == "<Wait when(A) pending>"
    with pytest.raises(WaitError, match=r"when\(A\) is pending"):
        wait.value  # noqa: B018
    wait.cancel()
    wait.cancel()
    assert (wait.done, wait.cancelled, box.pending()) == (True, True, [])
    assert repr(wait) == "<Wait when(A) cancelled>"
    with pytest.raises(WaitCancelled, match=r"when\(A\) was cancelled"):
        wait.value  # noqa: B018
    box.move(flip=A)
    assert not wait.fulfil(1)


def test_the_first_end_stands() -> None:
    wait = Wait.make("result")
    assert wait.fulfil(1)
    assert not wait.fulfil(2)
    assert not wait.fail(ValueError())
    wait.cancel()
    assert (wait.value, wait.error, wait.cancelled) == (1, None, False)
    assert repr(wait) == "<Wait result done>"
    failed = Wait.make("result")
    failed.fail(ValueError("x"))
    assert repr(failed) == "<Wait result failed: ValueError('x')>"


# Awaiting.


def test_awaiting_parks_until_done_and_costs_nothing_when_done(box: Box) -> None:
    wait = box.wait(subs.when_args(0, None, "A.when", or_now=True))
    one, two = wait.__await__(), wait.__await__()
    assert [next(one), next(two), next(one)] == ["parked"] * 3
    box.move(flip=A, args=5)
    for parked in (one, two, wait.__await__()):
        with pytest.raises(StopIteration) as stop:
            next(parked)
        assert stop.value.value == 5


def test_the_last_cancelled_task_takes_the_wait_with_it(box: Box) -> None:
    wait = box.wait(when(A, 0, "when(A)"))
    one, two = wait.__await__(), wait.__await__()
    next(one)
    next(two)
    one.close()
    assert not over(wait)
    two.close()
    assert wait.cancelled
    assert box.pending() == []


def test_a_callback_keeps_the_wait_when_the_last_task_is_cancelled(box: Box) -> None:
    heard: list[Any] = []
    wait = box.wait(when(A, 0, "when(A)")).then(heard.append)
    task = wait.__await__()
    next(task)
    task.close()
    box.move(flip=A)
    assert heard == [None]


def test_a_thread_blocks_until_done(box: Box) -> None:
    wait = box.wait(subs.when_args(0, None, "A.when", or_now=True))
    got: list[Any] = []
    together(lambda: got.append(wait.wait(60)), lambda: box.move(flip=A, args=3))
    assert got == [3]


def test_a_thread_that_ran_out_of_time_may_ask_again(box: Box) -> None:
    wait = box.wait(when(A, 0, "when(A)"))
    with pytest.raises(TimeoutError):
        wait.wait(0)
    assert not over(wait)
    box.move(flip=A)
    assert wait.wait() is None


def test_a_wait_that_would_block_its_own_machine_is_refused(box: Box) -> None:
    other = Box()
    wait, far = box.wait(when(A, 0, "when(A)")), other.wait(when(A, 0, "far"))
    box.parking.drainer = threading.get_ident()
    for blocked in (wait, any_of(far, wait), all_of(far, any_of(far, wait))):
        with pytest.raises(WaitError, match="itself"):
            blocked.wait(0)


def test_a_wait_of_no_machine_cannot_be_waited_for() -> None:
    with pytest.raises(WaitError, match="belongs to no machine"):
        Wait.make("bare").wait(0)
    with pytest.raises(WaitError, match="belongs to no machine"):
        next(Wait.make("bare").__await__())


# Closing, and being collected.


def test_closing_ends_every_wait_and_later_ones_unless_already_true(box: Box) -> None:
    box.move(flip=A)
    heard: list[Any] = []
    pending = [box.wait(when(B, 0, "indexed")), box.waits.add(Wait.make("bare"))]
    box.move(flip=C)
    pending += [
        box.wait(when(B, 0, "fresh")).then(heard.append),
        box.wait(subs.when_query(lambda _: 0, "query")),
    ]
    task = pending[0].__await__()
    next(task)
    box.waits.close(MachineClosed(machine="m"))
    box.waits.close(MachineClosed(machine="second"))
    with pytest.raises(MachineClosed, match="'m'"):
        next(task)
    late = box.wait(when(B, 0, "late"))
    for wait in (*pending, late, box.waits.add(Wait.make("late bare"))):
        assert isinstance(wait.error, MachineClosed)
        assert wait.error.machine == "m"
    assert box.wait(when(A, 0, "already true")).error is None
    assert (heard, box.pending()) == ([], [])


def test_waits_keep_no_machine_alive_and_a_collected_one_wakes_them(box: Box) -> None:
    one = Box()
    wait = one.waits.add(when(A, 0, "when(A)"))
    combined = any_of(wait, box.wait(when(A, 0, "other")))
    woken: list[bool] = []
    wait.add_parker(lambda: woken.append(True))
    machine = weakref.ref(one.waits)
    del one
    gc.collect()
    assert machine() is None
    assert woken == [True]
    assert isinstance(wait.error, MachineClosed)
    assert combined.value is wait
    with pytest.raises(MachineClosed):
        wait.wait()


def test_a_wait_that_nobody_can_hear_of_is_forgotten(box: Box) -> None:
    for index in range(3):
        box.wait(when(A, 0, index))
        box.move(flip=B)
    kept = box.wait(when(A, 0, "kept"))
    heard: list[Any] = []
    box.wait(when(A, 0, "called back")).then(heard.append)
    gc.collect()
    assert box.pending() == ["kept", "called back"]
    box.move(flip=A)
    assert (heard, over(kept), box.pending()) == ([None], True, [])


def test_what_a_condition_holds_goes_when_the_wait_ends(box: Box) -> None:
    class Held:
        pass

    held = Held()
    gone = weakref.ref(held)

    def query(clock: dict[str, int], held: object = held) -> bool:
        return clock["A"] == 1 and held is not None

    wait = box.wait(subs.when_query(query, "query"))
    del held, query
    box.move(flip=A)
    gc.collect()
    assert over(wait)
    assert gone() is None


def test_watched_names_the_states_that_matter(box: Box) -> None:
    waits = [box.wait(when(A, B, "A, not B")), box.wait(when(C, 0, "C"))]
    assert box.waits.watched == ANY  # new ones: look once, whatever ticks
    box.move(flip=D)
    assert box.waits.watched == A | B | C
    query = box.wait(subs.when_query(lambda clock: clock["D"] == 3, "query"))
    box.move(flip=D)
    assert box.waits.watched == ANY
    box.move(flip=C)
    box.move(flip=D)
    assert box.waits.watched == A | B
    box.move(flip=A)
    assert box.waits.watched in (0, B)
    assert over(query)
    assert all(wait.done for wait in waits)


# Combined.


def test_any_of_yields_the_first_and_leaves_the_others(box: Box) -> None:
    one, two = box.wait(when(A, 0, "A")), box.wait(when(B, 0, "B"))
    first = any_of(one, two)
    assert repr(first) == "<Wait any_of(A, B) pending>"
    box.move(flip=B)
    assert first.value is two
    assert not over(one)
    assert one.entry.hooks == {}
    assert any_of(one, two).value is two
    box.move(flip=A)
    assert over(one)
    with pytest.raises(WaitError, match="never"):
        any_of()


def test_all_of_yields_every_value_in_order(box: Box) -> None:
    one, two = box.wait(subs.when_args(0, None, "A")), box.wait(when(B, 0, "B"))
    heard: list[Any] = []
    both = all_of(two, one, two).then(heard.append)
    box.move(flip=B)
    assert not over(both)
    assert box.move(flip=A, args=1)
    assert heard == [(None, 1, None)]
    nothing: list[Wait[None]] = []
    assert all_of(*nothing).value == ()


def test_all_of_fails_with_the_first_that_fails(box: Box) -> None:
    one, two = box.wait(when(A, 0, "A")), box.wait(when(B, 0, "B"))
    both = all_of(one, two)
    two.cancel()
    assert both.cancelled
    assert not over(one)
    assert one.entry.hooks == {}


def test_a_cancelled_combination_comes_off_its_parts(box: Box) -> None:
    one, two = box.wait(when(A, 0, "A")), box.wait(when(B, 0, "B"))
    both = all_of(one, any_of(one, two))
    task = both.__await__()
    next(task)
    task.close()
    assert both.cancelled
    assert (one.done, one.entry.hooks) == (False, {})
    del both, task
    gc.collect()
    assert two.entry.hooks == {}


def test_parts_of_a_forgotten_combination_are_forgotten_too(box: Box) -> None:
    any_of(box.wait(when(A, 0, "A")), all_of(box.wait(when(B, 0, "B"))))
    assert box.pending() == []
    heard: list[Any] = []
    any_of(box.wait(when(A, 0, "A")), box.wait(when(B, 0, "B"))).then(lambda wait: heard.append(wait.label))
    gc.collect()
    assert box.pending() == ["A", "B"]
    box.move(flip=A)
    gc.collect()
    assert (heard, box.pending()) == (["A"], [])


# The index against brute force.

# A kind makes, from the moment and a label, a wait and what SEMANTICS says of its end, told apart from how it is made.
Kind = Callable[[Snapshot, object], tuple[Wait[Any], Callable[[Snapshot], bool]]]


def whens(on: set[int], off: set[int]) -> Kind:
    def holds(now: Snapshot) -> bool:
        return all(now.ticks[i] % 2 for i in on) and not any(now.ticks[i] % 2 for i in off)

    return lambda _, label: (when(sum(1 << i for i in on), sum(1 << i for i in off), label), holds)


def times(ticks: dict[int, int]) -> Kind:
    def holds(now: Snapshot) -> bool:
        return all(now.ticks[i] >= tick for i, tick in ticks.items())

    return lambda _, label: (subs.when_time(ticks, label), holds)


def args_or_now(i: int, fits: int) -> Kind:
    def holds(now: Snapshot) -> bool:
        return now.ticks[i] % 2 == 1 and now.entered_with[i] == fits

    return lambda _, label: (subs.when_args(i, lambda x: x == fits, label, or_now=True), holds)


def args_to_come(i: int, fits: int) -> Kind:
    def make(then: Snapshot, label: object) -> tuple[Wait[Any], Callable[[Snapshot], bool]]:
        def holds(now: Snapshot) -> bool:
            return now.number > then.number and bool(now.entered & 1 << i) and now.given[i] == fits

        return subs.when_args(i, lambda x: x == fits, label, since=then.tick(i)), holds

    return make


def nexts(i: int) -> Kind:
    def make(then: Snapshot, label: object) -> tuple[Wait[Any], Callable[[Snapshot], bool]]:
        def holds(now: Snapshot) -> bool:
            return now.ticks[i] > then.ticks[i] and now.ticks[i] % 2 == 1

        return subs.when_next(i, then.ticks[i] + 1 + then.ticks[i] % 2, label), holds

    return make


def queries(total: int) -> Kind:
    def fn(clock: dict[str, int]) -> bool:
        return sum(clock.values()) >= total

    return lambda _, label: (subs.when_query(fn, label), lambda now: sum(now.ticks) >= total)


masks = st.integers(0, (1 << STATES) - 1)
indices = st.integers(0, STATES - 1)
values = st.integers(0, 2)
kinds = st.one_of(
    st.builds(whens, st.sets(indices), st.sets(indices)),
    st.builds(times, st.dictionaries(indices, st.integers(0, 6), min_size=1)),
    st.builds(args_or_now, indices, values),
    st.builds(args_to_come, indices, values),
    st.builds(nexts, indices),
    st.builds(queries, st.integers(0, 12)),
)
steps = st.one_of(
    st.tuples(st.just("make"), kinds),
    st.tuples(st.just("move"), masks, masks, values),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
)


@given(st.lists(steps, max_size=40))
def test_index_and_brute_force_agree_on_what_is_due(history: list[Any]) -> None:
    box = Box()
    pending: dict[int, tuple[Wait[Any], Callable[[Snapshot], bool]]] = {}
    made: list[Wait[Any]] = []
    for step in history:
        match step:
            case "make", kind:
                wait, holds = kind(box.now, len(made))
                box.wait(wait)
                made.append(wait)
                assert wait.done == holds(box.now)
                if not wait.done:
                    pending[len(made) - 1] = wait, holds
            case "cancel", index:
                if index in pending:
                    pending.pop(index)[0].cancel()
            case _, flip, again, args:
                moved = box.advance(flip=flip, again=again & ~flip, args=args)
                if not moved:
                    continue
                due = [index for index, (_, holds) in pending.items() if holds(box.now)]
                assert moved & box.waits.watched or not due
                for _ in range(2):  # asking ends none
                    assert [entry.label for entry, _ in box.waits.due(moved, box.now)] == due
                box.waits.settle(moved, box.now)
                for index in due:
                    assert pending.pop(index)[0].error is None
            case _:
                raise AssertionError(step)
        assert box.pending() == [str(index) for index in pending]
    assert all(wait.done for index, wait in enumerate(made) if index not in pending)


# Threads.


@pytest.mark.usefixtures("switching")
def test_racing_ends_have_one_winner_and_wake_everybody_once() -> None:
    for _ in range(60):
        box, wins, woken, heard = Box(), list[int](), list[int](), list[Any]()
        wait = box.waits.add(Wait.make("raced"))

        def end(number: int, wait: Wait[Any] = wait, wins: list[int] = wins) -> None:
            if wait.fulfil(number):
                wins.append(number)

        def listen(
            number: int, wait: Wait[Any] = wait, woken: list[int] = woken, heard: list[Any] = heard
        ) -> None:
            wait.add_parker(lambda: woken.append(number))
            wait.then(heard.append)
            assert wait.wait(60) in {0, 1}

        together(*(partial(end, n) for n in range(2)), *(partial(listen, n) for n in range(3)))
        assert wins == [wait.value]
        assert sorted(woken) == [0, 1, 2]
        assert heard == wins * 3
        assert wait.entry.hooks == {}
        assert box.pending() == []


@pytest.mark.usefixtures("switching")
def test_all_of_and_any_of_hear_parts_that_end_in_different_threads() -> None:
    for _ in range(60):
        boxes = [Box(), Box(), Box()]
        parts = [box.wait(when(A, 0, index)) for index, box in enumerate(boxes)]
        combined: list[Wait[Any]] = []

        def combine(parts: list[Wait[Any]] = parts, combined: list[Wait[Any]] = combined) -> None:
            combined.extend([all_of(*parts), any_of(*parts)])

        together(combine, *(partial(box.move, flip=A) for box in boxes))
        every, first = combined
        assert every.value == (None, None, None)
        assert first.value in parts
        assert all(part.entry.hooks == {} for part in parts)


@pytest.mark.usefixtures("switching")
def test_no_wakeup_is_lost_between_a_drainer_and_threads_that_make_and_cancel_waits() -> None:
    box, rounds = Box(), 150
    makers = threading.Semaphore(0)
    made, heard, ended, outrun = list[int](), list[int](), list[Wait[Any]](), list[int]()

    def drain() -> None:
        box.parking.drainer = threading.get_ident()
        left = 4
        while left:
            for states in (A, B, A | C, B | D):
                box.move(flip=states)
            left -= makers.acquire(blocking=False)
        # The makers have gone; what they left is due now at the latest.
        for _ in range(2):
            box.move(flip=box.now.active)
            box.move(flip=A | B | C | D)

    def make(number: int) -> None:
        state = number % STATES
        try:
            for turn in range(rounds):
                match turn % 6:
                    case 0:  # sleeps through it for ever where a wake-up is lost
                        assert box.wait(when(1 << state, 0, "on")).wait(60) is None
                    case 1:
                        assert box.wait(when(0, 1 << state, "off")).wait(60) is None
                    case 2:
                        target = box.now.ticks[state] + 3
                        clock = box.wait(subs.when_time({state: target}, "ticks")).wait(60)
                        assert clock["ABCD"[state]] >= target
                    case 3:
                        made.append(1)
                        box.waits.add(when(1 << state, 0, "then")).then(lambda _: heard.append(1))
                    case 4:
                        wait = box.wait(when(A | B | C | D, 0, "cancelled"))
                        wait.then(lambda _: outrun.append(1))
                        wait.cancel()
                        assert over(wait)
                        ended.append(wait)
                    case _:
                        box.wait(subs.when_query(lambda clock: clock["A"] < 0, "dropped"))
        finally:
            makers.release()

    together(drain, *(partial(make, n) for n in range(4)))
    gc.collect()
    assert len(heard) == len(made)
    assert len(outrun) == sum(not wait.cancelled for wait in ended)
    assert box.parking.errors == []
    assert box.pending() == []
    assert box.waits.watched == 0


@pytest.mark.usefixtures("switching")
def test_a_wait_made_while_the_machine_closes_ends() -> None:
    for _ in range(60):
        box, waits = Box(), list[Wait[Any]]()

        def make(box: Box = box, waits: list[Wait[Any]] = waits) -> None:
            waits.extend(box.wait(when(D, 0, turn)) for turn in range(20))

        def drain(box: Box = box) -> None:
            for _ in range(10):
                box.move(flip=A | B)

        together(make, make, drain, partial(box.waits.close, MachineClosed()))
        assert {type(wait.error) for wait in waits} == {MachineClosed}
        assert box.pending() == []


@pytest.mark.usefixtures("switching")
def test_cancelling_races_with_being_due() -> None:
    for _ in range(60):
        box, heard = Box(), list[Any]()
        waits = [box.wait(when(A, 0, turn)).then(heard.append) for turn in range(20)]
        for index in (3, 7):
            waits[index].cancel()
        together(partial(box.move, flip=A), *(wait.cancel for wait in waits[:4]))
        assert all(wait.done for wait in waits)
        assert len(heard) == sum(not wait.cancelled for wait in waits)
        assert box.pending() == []


# Windows too narrow to be hit by chance: another thread's step is put into the middle by the container itself.


def test_an_end_that_comes_between_looking_and_ending_wins() -> None:
    class Ends(list[End]):
        def append(self, end: End, /) -> None:
            if not self:
                super().append(End("theirs"))
            super().append(end)

    wait, heard = Wait.make("raced"), list[Any]()
    wait.entry.ends = Ends()
    wait.then(heard.append)
    assert not wait.fulfil("mine")
    assert wait.value == "theirs"
    assert heard == []  # theirs to call


def test_a_wait_cancelled_while_it_is_taken_over_is_not_listed(box: Box) -> None:
    class Fresh(dict[Entry, None]):
        def __iter__(self) -> Iterator[Entry]:
            yield from tuple(super().__iter__())
            wait.cancel()

    wait = box.wait(when(A, 0, "when(A)"))
    box.waits._fresh = Fresh(box.waits._fresh)
    box.move(flip=B)
    assert wait.cancelled
    assert box.waits._fresh == {}
    assert not any(box.waits._buckets.values())


def test_a_combination_that_ends_while_it_hooks_on_leaves_no_hook(box: Box) -> None:
    class Hooks(dict[object, Any]):
        def __setitem__(self, key: object, hook: Any, /) -> None:
            assert isinstance(key, Entry)
            key.end(End("elsewhere"))
            super().__setitem__(key, hook)

    part = box.wait(when(A, 0, "A"))
    part.entry.hooks = Hooks()
    other = box.wait(when(B, 0, "B"))
    combined: Wait[Any] = any_of(part, other)
    assert combined.value == "elsewhere"
    assert part.entry.hooks == {}
    assert other.entry.hooks == {}


def test_a_collected_task_may_give_up_in_the_middle_of_anything(box: Box) -> None:
    """A finaliser runs inside of `add`, `settle` and `cancel` of its own thread: a lock would be taken already."""

    def give_up() -> None:
        task = box.wait(when(A, 0, "given up")).__await__()
        next(task)
        cycle: list[Any] = [task]
        cycle.append(cycle)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(50):
            give_up()
            kept = box.wait(when(B, 0, "kept"))
            box.move(flip=C)
            kept.cancel()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    box.move(flip=A)
    assert box.pending() == []
