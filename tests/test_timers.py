"""Timers of states: when they fire, when they never do, and what is left of them after a restart."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any, cast

import anyio
import attrs
import pytest
import trio.testing

from amachine import (
    BindingError,
    ErrorInfo,
    Event,
    Machine,
    State,
    Tracer,
    work,
)
from amachine.errors import RestoreError
from tests.lives import Errand, anyio_backend, at_last, rest

__all__ = ["anyio_backend"]

TICK = 0.01
"""Seconds; long enough for a busy machine, short enough for a test."""


@attrs.frozen
class Wait:
    seconds: float = TICK


class Flow(Machine):
    waiting = State(Wait)
    beating = State()
    typing = State(multi=True, limit=1)
    expired = State(remove=[waiting])
    fired: list[tuple[str, object]]

    def __init__(self, id: str | None = None, **options: Any) -> None:
        self.fired = []
        super().__init__(id, **options)

    @waiting.after(lambda e: e.args.seconds)
    def expire(self, e: Event[Wait]) -> None:
        self.fired.append((e.name, e.args))
        self.expired.add()

    @beating.every(timedelta(seconds=TICK))
    async def beat(self, e: Event[None]) -> None:
        self.fired.append((e.name, e.restored))

    @typing.after(3 * TICK)
    def typed(self, e: Event[None]) -> None:
        self.fired.append((e.name, e.transition.number))

    @typing.task
    async def busy(self, e: Event[None]) -> None:
        await anyio.sleep_forever()


def times(flow: Flow, name: str) -> int:
    return sum(each[0] == name for each in flow.fired)


# While it runs.


async def test_a_timer_fires_once_and_may_mutate() -> None:
    async with Flow("flow", raise_errors=True) as flow:
        with anyio.fail_after(5):
            flow.waiting.add(TICK)
            await flow.expired.when()
            assert not flow.waiting.active
            await anyio.sleep(3 * TICK)
        assert flow.fired == [("WaitingAfter", Wait(TICK))]


async def test_a_timer_dies_with_its_activation_even_in_the_moment_in_which_it_is_due() -> None:
    async with Flow(raise_errors=True) as flow:
        flow.waiting.add(TICK)
        await rest()
        deadline = anyio.current_time() + TICK
        while anyio.current_time() < deadline + TICK:  # the loop is kept from serving the timer
            pass
        flow.waiting.remove()
        await anyio.sleep(2 * TICK)
        flow.waiting.add(0.0)
        flow.waiting.remove()
        await anyio.sleep(TICK)
        assert flow.fired == []


async def test_a_timer_of_a_multi_state_begins_anew_with_each_entry_and_takes_no_place_of_a_task() -> None:
    async with Flow(raise_errors=True) as flow:
        with anyio.fail_after(5):
            for _ in range(5):
                flow.typing.add()
                await anyio.sleep(TICK)
            await at_last(lambda: flow.fired)
            await anyio.sleep(4 * TICK)
        assert flow.fired == [("TypingAfter", 5)]


async def test_a_timer_may_end_its_own_state_or_enter_it_again() -> None:
    class Poll(Machine):
        polling = State(multi=True)
        over = State(remove=[polling])
        turns = 0

        @polling.after(0.001)
        async def turn(self, e: Event[None]) -> None:
            self.turns += 1
            if self.turns == 5:
                self.over.add()
            else:
                self.polling.add()
            await anyio.sleep_forever()  # which is cancelled: the tick has moved

    async with Poll(raise_errors=True) as poll:
        poll.polling.add()
        with anyio.fail_after(5):
            await poll.over.when()
        await anyio.sleep(TICK)
        assert (poll.turns, poll.clock["polling"]) == (5, 10)
        assert poll.export()["timers"] == []


async def test_what_was_entered_before_the_opening_counts_from_the_opening() -> None:
    flow = Flow(raise_errors=True)
    flow.waiting.add(0.0)
    flow.beating.add()
    flow.beating.remove()
    await anyio.sleep(2 * TICK)
    async with flow:
        with anyio.fail_after(5):
            await flow.expired.when()
    assert flow.fired == [("WaitingAfter", Wait(0.0))]


async def test_every_fires_again_and_again_until_its_state_ends() -> None:
    async with Flow(raise_errors=True) as flow:
        flow.beating.add()
        await at_last(lambda: times(flow, "BeatingEvery") >= 5)
        flow.beating.remove()
        count = len(flow.fired)
        await anyio.sleep(3 * TICK)
        assert len(flow.fired) == count


class Sees(Tracer):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def task_started(self, machine: Machine, name: str, state: str | None) -> None:
        self.seen.append((name, state))


async def test_errors_of_timers_take_the_error_path_with_their_names_and_every_goes_on() -> None:
    class Failing(Machine):
        a = State()
        b = State(multi=True)
        turns = 0
        errors: list[str | None]

        @a.after(0)
        def wrong(self, e: Event[None]) -> None:
            raise ValueError("after")

        @b.every(0.001)
        async def again(self, e: Event[None]) -> None:
            self.turns += 1
            if self.turns < 3:
                raise ValueError("every")

        @b.after(lambda e: -1.0)
        def never(self, e: Event[None]) -> None: ...

        @Machine.Exception.state
        def failed(self, e: Event[ErrorInfo]) -> None:
            self.errors.append(f"{e.args.handler}: {e.args.error}")

    sees = Sees()
    machine = Failing("m", tracers=[sees])
    machine.errors = []
    async with machine:
        machine.a.add()
        machine.b.add()
        await at_last(lambda: machine.turns >= 5)
        assert machine.is_active("a", "b")
    assert sorted(machine.errors, key=str) == [
        "Failing.again (BEvery): every",
        "Failing.again (BEvery): every",
        "Failing.never (BAfter): -1.0 is no time to wait: seconds or a timedelta, 0 or more",
        "Failing.wrong (AAfter): after",
    ]
    assert set(sees.seen) == {
        ("Failing.wrong (AAfter)", "a"),
        ("Failing.again (BEvery)", "b"),
        ("Failing.never (BAfter)", "b"),
    }


def test_every_neither_drifts_nor_piles_up() -> None:
    """By a virtual clock: only so can it be exact."""
    turns: list[float] = []

    class Slow(Machine):
        on = State()

        @on.every(1)
        async def turn(self, e: Event[None]) -> None:
            turns.append(anyio.current_time() - began)
            await anyio.sleep(2.5 if len(turns) == 3 else 0.3)

    began = 0.0

    async def main() -> None:
        nonlocal began
        async with Slow(raise_errors=True) as slow:
            began = anyio.current_time()
            slow.on.add()
            await anyio.sleep(10.5)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    # The third takes until 5.5: the turns at 4 and 5 are left out.
    assert turns == pytest.approx([1, 2, 3, 6, 7, 8, 9, 10])


# What cannot be a timer.


@pytest.mark.parametrize("seconds", [-1, "3", None, True, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_time_that_is_none_is_refused_where_it_is_written(seconds: Any) -> None:
    with pytest.raises(
        BindingError, match=r"beating.after: .* is no time to wait: seconds or a timedelta, 0 or more"
    ):
        cast("Any", Flow.beating).after(seconds)


def test_other_mistakes_are_refused_too() -> None:
    state = cast("Any", Flow.beating)
    with pytest.raises(BindingError, match="0 is no time to wait: seconds or a timedelta, more than 0"):
        state.every(0)
    with pytest.raises(BindingError, match=r"on_restore='again'\): write 'resume' or 'restart'"):
        state.after(1, on_restore="again")
    with pytest.raises(BindingError, match=r"@beating.every\(1\) stands before a function, not before 3"):
        state.every(1)(3)


class Wrong(Machine):
    a = State()

    @cast("Any", a).after(1)  # type: ignore[untyped-decorator]
    def never(self) -> None: ...


def test_a_timer_takes_an_event() -> None:
    with pytest.raises(
        BindingError, match=r"Wrong.never: .* of a is called with \(self, event\), but this takes \(self\)"
    ):
        Wrong()


# After a restart. The clock on the wall is the test's.


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000_000.0]
    monkeypatch.setattr(work, "wall", lambda: now[0])
    return now


class Orders(Machine):
    placed = State()
    fired: list[tuple[float, str]]

    def __init__(self, id: str | None = None, **options: Any) -> None:
        self.fired = []
        super().__init__(id, **options)

    def note(self, name: str) -> None:
        self.fired.append((round(anyio.current_time() - START[0], 6), name))

    @placed.after(60)
    def resumes(self, e: Event[None]) -> None:
        self.note("resumes")

    @placed.after(60, on_restore="restart")
    def restarts(self, e: Event[None]) -> None:
        self.note("restarts")

    @placed.after(10)
    def early(self, e: Event[None]) -> None:
        self.note("early")

    @placed.after(20)
    @placed.after(25)
    def twice(self, e: Event[None]) -> None:
        self.note("twice")

    @placed.every(40)
    def beat(self, e: Event[None]) -> None:
        self.note("beat")


START = [0.0]


def virtual(fn: Any) -> Any:
    """Run a coroutine function by a virtual clock."""

    async def main() -> Any:
        START[0] = anyio.current_time()
        return await fn()

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def stopped_after(seconds: float, *, close_first: bool = False) -> Any:
    async def live() -> Any:
        async with Orders("o") as orders:
            orders.placed.add()
            await anyio.sleep(seconds)
            data = orders.export()
        return orders.export() if close_first else data

    return json.loads(json.dumps(virtual(live)))


def resumed_for(data: Any, seconds: float, **options: Any) -> Orders:
    async def live() -> Orders:
        async with Orders.restore(data, raise_errors=True, **options) as orders:
            await anyio.sleep(seconds)
        return orders

    orders: Orders = virtual(live)
    return orders


@pytest.mark.parametrize("close_first", [False, True])
def test_deadlines_are_exported_as_times_of_day(wall: list[float], close_first: bool) -> None:
    data = stopped_after(21, close_first=close_first)
    timers = {each["timer"]: each["due"] for each in data["timers"]}
    left = {name: None if due is None else round(due - wall[0], 6) for name, due in timers.items()}
    assert left == {
        "resumes": 39,
        "restarts": 39,
        "early": None,
        "twice": 4,  # that of the inner decorator
        "twice#2": None,
        "beat": 19,
    }


def test_a_timer_keeps_its_deadline_or_begins_anew_as_it_was_told(wall: list[float]) -> None:
    data = stopped_after(21)
    wall[0] += 9  # it was down for so long
    orders = resumed_for(data, 100)
    assert orders.fired == [
        (0.0, "twice"),  # due meanwhile
        (10.0, "beat"),
        (30.0, "resumes"),
        (50.0, "beat"),
        (60.0, "restarts"),
        (90.0, "beat"),
    ]


def test_what_came_due_meanwhile_fires_at_once_and_every_keeps_its_beat(wall: list[float]) -> None:
    data = stopped_after(21)
    wall[0] += 1000  # 25 beats and a bit
    orders = resumed_for(data, 70)
    assert sorted(orders.fired) == [
        (0.0, "beat"),
        (0.0, "resumes"),
        (0.0, "twice"),
        (19.0, "beat"),
        (59.0, "beat"),
        (60.0, "restarts"),
    ]


def test_a_clock_that_was_set_back_makes_nobody_wait_longer(wall: list[float]) -> None:
    data = stopped_after(21)
    wall[0] -= 100_000
    fired = resumed_for(data, 65).fired
    assert sorted(fired) == [(25.0, "twice"), (40.0, "beat"), (60.0, "restarts"), (60.0, "resumes")]


def test_a_machine_restored_and_exported_again_before_it_was_opened_forgets_no_timer(
    wall: list[float],
) -> None:
    data = stopped_after(21)
    again = Orders.restore(data).export()
    restart = [each for each in data["timers"] if each["timer"] != "restarts"]
    assert sorted(again["timers"], key=str) == sorted(restart, key=str)
    wall[0] += 9
    assert resumed_for(again, 35).fired == [(0.0, "twice"), (10.0, "beat"), (30.0, "resumes")]


def test_a_restored_timer_dies_with_its_activation_and_a_new_one_has_its_full_time(wall: list[float]) -> None:
    data = stopped_after(21)

    async def live() -> Orders:
        orders = Orders.restore(data, raise_errors=True)
        orders.placed.remove()
        orders.placed.add()
        async with orders:
            await anyio.sleep(30)
        return orders

    orders: Orders = virtual(live)
    assert orders.fired == [(10.0, "early"), (20.0, "twice"), (25.0, "twice")]


def test_a_timer_that_is_gone_is_told_or_left(wall: list[float]) -> None:
    data = stopped_after(21)
    data["timers"].append({"state": "placed", "timer": "resume", "due": 3.0})
    with pytest.raises(
        RestoreError, match=r"placed has no timer 'resume' today \(did you mean 'resumes'\?\)"
    ):
        Orders.restore(data)
    assert Orders.restore(data, strict=False).placed.active


def test_a_deadline_from_nowhere_makes_no_endless_loop(wall: list[float]) -> None:
    data = stopped_after(21)
    for each in data["timers"]:
        if each["due"] is not None:
            each["due"] = -1e18
    fired = resumed_for(data, 200).fired
    assert sum(name == "beat" for _, name in fired) <= 7
    assert sum(name == "resumes" for _, name in fired) == 1


async def test_a_timer_that_was_just_at_work_begins_anew(wall: list[float]) -> None:
    class Slow(Machine):
        on = State()
        fired: list[bool]

        @on.after(TICK)
        async def work(self, e: Event[None]) -> None:
            self.fired.append(e.restored)
            await anyio.sleep_forever()

    first = Slow("slow")
    first.fired = []
    async with first:
        first.on.add()
        await at_last(lambda: first.fired)
        data = first.export()
        assert [each["timer"] for each in data["timers"]] == ["work"]
    again = Slow.restore(data)
    again.fired = []
    async with again:
        await at_last(lambda: again.fired)
    assert (first.fired, again.fired) == ([False], [True])


async def test_a_function_that_was_called_is_not_called_again_though_it_failed(wall: list[float]) -> None:
    class Fails(Machine):
        on = State()
        fired = 0

        @on.after(0)
        def work(self, e: Event[None]) -> None:
            self.fired += 1
            raise ValueError

        @Machine.Exception.state
        def failed(self, e: Event[ErrorInfo]) -> None: ...

    async with Fails("fails") as first:
        first.on.add()
        await first.when_error()
        data = first.export()
    async with Fails.restore(data) as again:
        await anyio.sleep(2 * TICK)
        assert (first.fired, again.fired) == (1, 0)


async def test_another_thread_reads_deadlines_by_the_clock_of_the_loop(wall: list[float]) -> None:
    async with Orders("o") as orders:
        orders.placed.add()
        await rest()
        data = await anyio.to_thread.run_sync(orders.export)
    due = {each["timer"]: each["due"] for each in data["timers"]}
    assert len(due) == 6
    assert 50 < due["resumes"] - wall[0] <= 60


@pytest.mark.parametrize("noticed", [False, True])
def test_an_event_loop_that_died_leaves_its_deadlines(wall: list[float], noticed: bool) -> None:
    orders = Orders("o")
    loop = asyncio.new_event_loop()

    async def live() -> None:
        await orders.__aenter__()
        orders.placed.add()
        await rest()

    loop.run_until_complete(live())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    if noticed:
        Errand(lambda: orders.eval(lambda: None).wait(20)).outcome()
        assert not orders.is_open
    timers = orders.export()["timers"]
    assert len(timers) == 6
    assert 50 < {each["timer"]: each["due"] for each in timers}["resumes"] - wall[0] <= 60.001
    orders.remove("placed")
    assert orders.export()["timers"] == []
