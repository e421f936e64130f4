"""Waiting across tasks, threads and event loops; mutations from foreign threads. SEMANTICS sections 5, 7 and 8."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from amachine import Event, Machine, MachineClosed, Result, State, WaitError, all_of, any_of
from amachine.errors import WaitCancelled
from tests.lives import Errand, anyio_backend, at_last, raises, rest

__all__ = ["anyio_backend"]


class Flow(Machine):
    a = State()
    b = State()
    many = State(multi=True)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# Foreign threads


async def test_a_mutation_from_another_thread_is_queued_and_wakes_the_loop() -> None:
    class M(Flow):
        where: int

        @Flow.a.state
        def on_a(self, e: Event[None]) -> None:
            self.where = threading.get_ident()

    async with M() as m:
        result = Errand(m.a.add).outcome()  # this thread, which is the loop's, stands still meanwhile
        assert result.queued
        assert result.queue_tick is None
        assert not m.a.active
        assert (await result).executed  # nothing but the thread woke the loop
        assert m.where == threading.get_ident()
        assert result.queue_tick is not None


async def test_another_thread_may_wait_for_its_result() -> None:
    async with Flow() as m:
        assert (await Errand(lambda: m.a.add().wait(20)).done()).executed
        refused = await Errand(lambda: m.add("b", "Exception").wait(20)).done()
        assert refused.executed


async def test_no_mutation_of_many_threads_is_lost(hasty: None) -> None:
    threads, each = 8, 250
    async with Flow(queue_limit=None) as m:

        def work() -> int:
            results = [m.many.add() for _ in range(each)]
            return sum(result.wait(60).executed for result in results)

        errands = [Errand(work) for _ in range(threads)]
        done = [await errand.done() for errand in errands]
        assert done == [each] * threads
        assert m.many.tick == 2 * threads * each - 1
        await m.when_idle()
        assert m.queue == ()


async def test_threads_and_the_loop_mutate_together(hasty: None) -> None:
    async with Flow(queue_limit=None) as m:
        errands = [Errand(lambda: [m.many.add() for _ in range(200)]) for _ in range(4)]
        own: list[Result] = []
        while not all(errand.is_over() for errand in errands):
            own.append(m.many.add())
            await checkpoint()
        results = own + [result for errand in errands for result in errand.outcome()]
        for result in results:
            await result
        assert all(result.executed for result in results)
        assert m.many.tick == 2 * len(results) - 1


async def test_closing_answers_every_mutation_of_other_threads(hasty: None) -> None:
    for _ in range(20):
        answers: list[Any] = []
        begun = threading.Event()
        stop = threading.Event()

        def work(m: Flow, begun: threading.Event, stop: threading.Event, answers: list[Any]) -> None:
            for _ in range(2000):
                answers.append(m.many.add())
                begun.set()
                if stop.is_set():
                    break

        async with Flow(queue_limit=None) as m:
            errands = [Errand(work, m, begun, stop, answers) for _ in range(3)]
            await at_last(begun.is_set)
        stop.set()
        for errand in errands:
            await errand.done()
        ticks = 0
        for result in answers:
            try:
                ticks += result.wait(20).executed
            except MachineClosed:
                assert result.canceled
        assert all(result.done for result in answers)
        assert m.many.tick == max(0, 2 * ticks - 1)


async def test_opening_and_closing_under_fire_runs_every_task_in_the_loop(hasty: None) -> None:
    home = threading.get_ident()

    class M(Machine):
        a = State()
        strangers: int = 0

        @a.task
        async def on_a(self, e: Event[None]) -> None:
            self.strangers += threading.get_ident() != home

    for _ in range(8):
        m = M(queue_limit=None)
        stop = threading.Event()

        def work(m: M, stop: threading.Event) -> None:
            for _ in range(2000):
                m.a.toggle()
                if stop.is_set():
                    break

        errands = [Errand(work, m, stop) for _ in range(2)]
        async with m:
            await rest()
        stop.set()
        for errand in errands:
            await errand.done()
        assert m.strangers == 0
        assert m.error is None


async def test_eval_runs_in_the_loop_between_mutations() -> None:
    class M(Flow):
        seen: Any

        @Flow.a.task
        async def on_a(self, e: Event[None]) -> None:
            self.seen = await self.eval(lambda: (threading.get_ident(), self.transition))

    async with M() as m:
        wait = Errand(m.eval, lambda: (threading.get_ident(), m.transition)).outcome()
        assert await wait == (threading.get_ident(), None)
        assert await Errand(lambda: m.eval(lambda: 7).wait(20)).done() == 7
        m.a.add()
        await rest()
        assert m.seen == (threading.get_ident(), None)

        def fail() -> None:
            raise ValueError("eval")

        await raises(ValueError, m.eval(fail))
        assert m.error is None


# Blocking


async def test_blocking_the_loop_of_the_machine_is_an_error() -> None:
    async with Flow() as m:
        with pytest.raises(WaitError, match="event loop"):
            m.when(Flow.a).wait(1)
        result = Errand(m.a.add).outcome()
        with pytest.raises(WaitError, match="event loop"):
            result.wait(1)
        with pytest.raises(WaitError, match="event loop"):
            any_of(m.when(Flow.b)).wait(1)
        await result
        assert m.when(Flow.a).wait(1) is None  # what is done blocks nobody


def test_blocking_in_a_handler_is_an_error() -> None:
    class M(Flow):
        @Flow.a.state
        def on_a(self, e: Event[None]) -> None:
            self.b.add().wait(1)

    m = M()
    m.a.add()
    assert isinstance(m.error, WaitError)
    assert m.b.active  # it was queued all the same


async def test_a_thread_that_waits_is_woken_by_the_loop() -> None:
    async with Flow() as m:
        errand = Errand(lambda: m.when(Flow.a).wait(20))
        await at_last(lambda: m._waits_ is not None and m._waits_.pending)
        m.a.add()
        assert await errand.done() is None
        late = m.when(Flow.b)
        with pytest.raises(TimeoutError):
            Errand(late.wait, 0.001).outcome()
        assert not late.done  # it may be asked again
        m.b.add()
        assert late.done


async def test_a_thread_that_waits_is_woken_by_closing() -> None:
    async with Flow() as m:
        errand = Errand(lambda: m.when(Flow.a).wait(20))
        await at_last(lambda: m._waits_ is not None and m._waits_.pending)
    with pytest.raises(MachineClosed):
        await errand.done()


# Several tasks, cancelled tasks


async def test_several_tasks_wait_for_the_same() -> None:
    m = Flow()
    wait = m.when(Flow.a)
    seen: list[int] = []

    async def work(number: int) -> None:
        await wait
        seen.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(work, number)
        await rest()
        m.a.add()
    assert sorted(seen) == [0, 1, 2]


async def test_a_cancelled_task_gives_up_alone_and_the_last_takes_the_wait_along() -> None:
    m = Flow()
    wait = m.when(Flow.a)
    scopes: list[anyio.CancelScope] = []

    async def work() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await wait

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        group.start_soon(work)
        await rest()
        scopes[0].cancel()
        await rest()
        assert not wait.done
        assert m._waits_ is not None
        assert m._waits_.pending
        scopes[1].cancel()
        await rest()
        assert wait.cancelled
        assert not m._waits_.pending


async def test_cancelling_a_wait_wakes_who_awaits_it() -> None:
    m = Flow()
    wait = m.when(Flow.a)
    seen: list[str] = []

    async def work() -> None:
        try:
            await wait
        except WaitCancelled:
            seen.append("cancelled")
        await checkpoint()  # the task itself is not
        seen.append("went on")

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await rest()
        wait.cancel()
    assert seen == ["cancelled", "went on"]


async def test_a_timeout_around_a_wait_unregisters_it() -> None:
    m = Flow()
    with anyio.move_on_after(0.001) as scope:
        await m.when(Flow.a)
    assert scope.cancelled_caught
    assert m._waits_ is not None
    assert m._waits_.pending == ()


async def test_what_came_true_before_it_is_awaited_is_not_lost() -> None:
    m = Flow()
    wait = m.when(Flow.a)
    m.a.add()
    m.a.remove()
    await wait


async def test_a_waiting_task_resumes_later_and_the_machine_may_have_moved_on() -> None:
    m = Flow()
    seen: list[bool] = []

    async def work() -> None:
        await m.when(Flow.a)
        seen.append(m.a.active)

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await rest()
        m.a.add()
        m.a.remove()
    assert seen == [False]


async def test_combined_waits_are_awaited_like_others() -> None:
    m, n = Flow(), Flow()
    both = all_of(m.when(Flow.a), n.when(Flow.b))
    first = any_of(m.when(Flow.b), n.when(Flow.b))
    got: list[Any] = []
    async with anyio.create_task_group() as group:

        async def work() -> None:
            got.append(await both)
            got.append(await first)

        group.start_soon(work)
        await rest()
        m.a.add()
        n.b.add()
    assert got[0] == (None, None)
    assert got[1].label.startswith("when(b)")


# Other loops


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_a_loop_in_another_thread_is_woken(other: str) -> None:
    async with Flow() as m:
        waiting = threading.Event()

        async def elsewhere() -> Any:
            wait = m.when(Flow.a)
            wait.add_parker(waiting.set)
            wait.drop_parker(waiting.set, keep=True)
            waiting.set()
            await wait
            return await m.b.add()

        errand = Errand(anyio.run, elsewhere) if other == "asyncio" else Errand(trio.run, elsewhere)
        await at_last(waiting.is_set)
        await rest()
        m.a.add()
        result = await errand.done()
        assert result.executed


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_a_loop_in_another_thread_is_woken_by_closing(other: str) -> None:
    async with Flow() as m:

        async def elsewhere() -> None:
            await m.when(Flow.a)

        errand = Errand(anyio.run, elsewhere) if other == "asyncio" else Errand(trio.run, elsewhere)
        await at_last(lambda: m._waits_ is not None and m._waits_.pending)
    with pytest.raises(MachineClosed):
        await errand.done()


def test_a_wait_of_a_loop_that_died_is_no_trouble() -> None:
    m = Flow()
    wait = m.when(Flow.a)
    loop = asyncio.new_event_loop()

    async def work() -> None:
        await wait

    task = loop.create_task(work())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    m.a.add()
    assert wait.done
    assert m.error is None
    unfinished: Any = task
    unfinished._log_destroy_pending = False
    unfinished.get_coro().close()


def test_waits_need_no_loop_to_be_made_and_machines_none_to_run() -> None:
    m = Flow()
    wait = m.when(Flow.a)

    async def work() -> None:
        await wait

    m.a.add()
    trio.run(work)
    asyncio.run(work())


async def test_callbacks_run_before_the_next_mutation_and_may_mutate() -> None:
    async with Flow() as m:
        seen: list[Any] = []

        def on_a(_: object) -> None:
            seen.append(m.active)
            m.b.add()

        m.when(Flow.a).then(on_a)
        m.a.add()
        assert seen == [("a",)]
        assert m.b.active
        m.when(Flow.a).then(lambda _: 1 / 0)
        assert isinstance(m.error, ZeroDivisionError)
