"""The life of a machine: opening, the verbs at each age, and closing in the stated order. SEMANTICS section 7."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from amachine import Event, Machine, MachineClosed, State, Tracer, WaitError
from tests.lives import Errand, anyio_backend, at_last, forever, raises, rest

__all__ = ["anyio_backend"]


class Farewell(Tracer):
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def machine_closed(self, machine: Machine) -> None:
        self.seen.append(f"tracer of {machine.id}")


def ages(m: Machine) -> tuple[bool, bool]:
    return m.is_closing, m.is_closed


class Flow(Machine):
    Disposing = State()
    a = State()
    b = State(remove=[Disposing])
    work = State()

    def __init__(self, id: str | None = None, **options: Any) -> None:
        super().__init__(id, **options)
        self.seen: list[str] = []

    @Disposing.state
    def on_disposing(self, e: Event[None]) -> None:
        assert not self.is_closing
        self.seen.append("disposing")
        self.a.remove()

    @a.end
    async def on_a_end(self, e: Event[None]) -> None:
        self.seen.append("end began")
        await rest()
        assert self.is_closing
        assert self.b.add()  # an End handler may still mutate
        self.seen.append("end done")

    @work.task
    async def on_work(self, e: Event[None]) -> None:
        try:
            await forever()
        finally:
            assert self.is_closing
            self.seen.append("task ended")


async def test_closing_keeps_its_order() -> None:
    m = Flow("parent")
    m.attach(Farewell(m.seen))
    child = Machine.of({"x": {}}, "child", parent=m, tracers=[Farewell(m.seen)])
    async with m:
        m.add(Flow.a, Flow.work)
        await rest()
        wait = m.when("Exception")
        wait.add_parker(lambda: m.seen.append("waiter"))
    assert m.seen[:2] == ["disposing", "tracer of child"]
    assert m.seen.index("task ended") < m.seen.index("end done") < m.seen.index("waiter")
    assert m.seen[-2:] == ["waiter", "tracer of parent"]
    assert child.is_closed
    assert isinstance(wait.error, MachineClosed)
    assert m.active == ("b", "work")
    assert m.tracers == ()


async def test_a_refused_disposing_is_logged_and_closes_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    m = Flow("m")
    async with m:

        def refuse(e: Event[Any]) -> bool:
            return False

        m.bind({"DisposingEnter": refuse})
    assert m.is_closed
    assert "DisposingEnter" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


async def test_end_handlers_get_a_grace_period(caplog: pytest.LogCaptureFixture) -> None:
    class M(Machine):
        a = State()
        ended: list[str]

        @a.end
        async def slow(self, e: Event[None]) -> None:
            try:
                await forever()
            finally:
                self.ended.append("slow")

    m = M(grace=0.01)
    m.ended = []
    async with m:
        m.a.add()
        m.a.remove()
        await rest()
        assert m.ended == []  # it is not bound to the state, which is over
    assert m.ended == ["slow"]
    assert "slow" in caplog.text
    assert m.error is None


async def test_an_end_handler_is_awaited_whatever_its_state_does_meanwhile() -> None:
    class M(Machine):
        a = State()
        ended: int = 0

        @a.end
        async def on_end(self, e: Event[None]) -> None:
            await rest()
            self.ended += 1

    async with M() as m:
        for _ in range(3):
            m.a.add()
            m.a.remove()
    assert m.ended == 3


async def test_the_error_of_an_end_handler_enters_exception() -> None:
    class M(Machine):
        a = State()

        @a.end
        async def on_end(self, e: Event[None]) -> None:
            raise ValueError("end")

    async with M() as m:
        m.a.add()
        m.a.remove()
    assert str(m.error) == "end"


async def test_cancelling_the_task_inside_closes_in_order_and_goes_up() -> None:
    m = Flow()
    with anyio.CancelScope() as outer:
        async with m:
            m.add(Flow.a, Flow.work)
            await rest()
            outer.cancel()
            await forever()
    assert outer.cancelled_caught
    assert m.is_closed
    assert m.seen[0] == "disposing"
    assert m.seen.index("task ended") < m.seen.index("end done")


async def test_an_error_of_the_body_closes_and_goes_up_as_it_is() -> None:
    m = Flow()
    with pytest.raises(LookupError, match="mine"):  # noqa: PT012  # leaving the block is what raises
        async with m:
            m.work.add()
            await rest()
            raise LookupError("mine")
    assert m.seen == ["disposing", "task ended"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_second_cancel_gives_up_waiting_but_finishes_closing() -> None:
    class M(Machine):
        a = State()

        @a.end
        async def on_end(self, e: Event[None]) -> None:
            await forever()

    m = M()

    async def live() -> None:
        async with m:
            m.a.add()
            m.a.remove()
            await forever()

    task = asyncio.create_task(live())
    await rest()
    wait = m.when(M.a)
    task.cancel()
    await rest()
    assert ages(m) == (True, False)
    task.cancel()
    await raises(asyncio.CancelledError, task)
    assert ages(m) == (True, True)
    assert isinstance(wait.error, MachineClosed)
    await rest()


# The table of verbs by lifetime, row by row


class Plain(Machine):
    a = State()
    b = State(require=[a])


async def test_new_runs_waits_and_has_no_scopes() -> None:
    m = Plain()
    assert m.a.add()
    assert m.a.remove()
    assert m.set(Plain.a)
    assert m.toggle(Plain.b)
    assert m.can_remove(Plain.a)
    assert m.explain("remove", Plain.a)
    assert not m.when_not(Plain.a).done
    await m.when(Plain.a)
    assert not m.is_open
    assert not m.is_closing


async def test_open_runs_at_once_in_its_own_thread() -> None:
    async with Plain() as m:
        assert m.is_open
        assert m.a.add().executed
        assert m.b.add().executed
        assert m.can_add(Plain.a).complete


async def test_closing_runs_what_end_handlers_ask_for_only() -> None:
    class M(Plain):
        ending = State()
        seen: list[Any]

        @ending.end
        async def on_end(self, e: Event[None]) -> None:
            await self.closing.wait()
            self.seen.append(self.a.add())
            async with anyio.create_task_group() as group:
                group.start_soon(self.below)
            self.seen.append(await anyio.to_thread.run_sync(lambda: self.a.remove().wait(10)))

        async def below(self) -> None:
            self.seen.append(self.b.add())

        closing: anyio.Event

    seen: list[Any] = []
    async with anyio.create_task_group() as group, M() as m:
        m.closing, m.seen = anyio.Event(), []
        m.ending.add()
        m.ending.remove()

        async def meanwhile() -> None:
            while not m.is_closing:
                await checkpoint()
            refused = m.a.add()
            seen.append((refused.canceled, refused.why))
            seen.append(Errand(m.a.add).outcome().canceled)
            seen.append(bool(m.can_add(M.a)))
            wait = m.when(M.a)
            seen.append(wait.done)
            for verb in (m.scope(M.a).__aenter__,):
                await raises(MachineClosed, verb())
            m.closing.set()
            await wait
            seen.append("woken")
            await raises(MachineClosed, m.when("Exception"))
            seen.append("over")

        group.start_soon(meanwhile)
        await checkpoint()
    assert seen == [(True, f"machine {m.id} is closing"), True, True, False, "woken", "over"]
    assert [each.executed for each in m.seen] == [True, True, True]


async def test_closed_answers_from_its_last_state() -> None:
    async with Plain() as m:
        m.a.add()
        wait = m.when(Plain.b)
    for result in (m.b.add(), m.remove("a"), m.set(), m.toggle("a"), Errand(m.b.add).outcome()):
        assert result.canceled
        assert result.why == f"machine {m.id} is closed"
        assert await result is result
    assert m.is_closed
    assert m.active == ("a",)
    assert m.can_add(Plain.b)
    assert not m.can_remove("Exception", "b") or m.can_remove("b")
    assert m.explain("add", "b").accepted
    await raises(MachineClosed, wait)
    await raises(MachineClosed, m.when(Plain.b))
    await m.when(Plain.a)
    await m.when_idle()
    await m.when_closed()
    await raises(MachineClosed, m.eval(lambda: 1))
    await raises(MachineClosed, m.__aenter__())


def test_waits_made_first_on_a_closed_machine_are_over() -> None:
    m = Plain()
    m.close()
    assert isinstance(m.when(Plain.a).error, MachineClosed)
    with pytest.raises(MachineClosed):
        m.when_ticks("a").wait(1)


async def test_a_machine_is_opened_once() -> None:
    async with Plain() as m:
        error = await raises(MachineClosed, m.__aenter__())
        assert "is open already" in str(error)
    error = await raises(MachineClosed, m.__aenter__())
    assert "is closed: make another" in str(error)


# Without an event loop


def test_close_does_the_same_without_background_work() -> None:
    seen: list[str] = []
    m = Flow("m", tracers=[Farewell(seen)])
    child = Plain("child", parent=m, tracers=[Farewell(seen)])
    wait = m.when(Flow.a)
    m.close()
    assert m.seen == ["disposing"]
    assert seen == ["tracer of child", "tracer of m"]
    assert child.is_closed
    assert isinstance(wait.error, MachineClosed)
    assert m.a.add().canceled
    m.close()


def test_close_in_a_handler_comes_after_what_is_queued() -> None:
    class M(Machine):
        a = State()
        b = State()
        c = State()

        @a.state
        def on_a(self, e: Event[None]) -> None:
            self.results = [self.b.add()]
            self.close()
            self.results.append(self.c.add())
            assert self.is_closing
            assert not self.is_closed

    m = M()
    assert m.a.add()
    assert m.is_closed
    assert m.active == ("a", "b")
    assert m.results[0].executed
    assert m.results[1].canceled
    with pytest.raises(MachineClosed):
        m.results[1].wait(1)


def test_close_while_another_thread_runs_the_machine_wakes_everybody() -> None:
    class M(Machine):
        a = State()
        b = State(multi=True)

        def __init__(self) -> None:
            super().__init__(handler_timeout=None)
            self.inside, self.go = threading.Event(), threading.Event()

        @a.state
        def on_a(self, e: Event[None]) -> None:
            self.inside.set()
            self.go.wait(20)

    m = M()
    running = Errand(m.a.add)
    m.inside.wait(20)
    early = m.b.add()
    m.close()
    late = m.b.add()
    assert early.queued
    assert late.canceled
    assert ages(m) == (True, False)
    m.go.set()
    assert running.outcome()
    assert ages(m) == (True, True)
    assert early.executed  # it was there before


def test_close_of_an_open_machine_is_an_error() -> None:
    async def main() -> None:
        async with Plain() as m:
            with pytest.raises(WaitError, match="async with"):
                m.close()
            parent = Plain()
            m._parent_ = parent
        outer = Plain()
        async with Plain(parent=outer) as child:
            with pytest.raises(WaitError, match=child.id):
                outer.close()
            assert not outer.is_closing
        outer.close()

    anyio.run(main)


async def test_a_machine_cannot_be_closed_from_its_own_task() -> None:
    class M(Machine):
        a = State()
        b = State()

        @a.task
        async def on_a(self, e: Event[None]) -> None:
            self.close()

        @b.task
        async def on_b(self, e: Event[None]) -> None:
            await self.__aexit__(None, None, None)

    async with M() as m:
        m.a.add()
        assert isinstance(await m.when_error(), WaitError)
        m.remove("a", "Exception")
        m.b.add()
        error = await m.when_error()
        assert isinstance(error, WaitError)
        assert "its own task" in str(error)
        assert m.is_open


# Parents and children


async def test_children_close_with_their_parent() -> None:
    ended: list[str] = []
    async with anyio.create_task_group() as group:
        async with Plain("parent") as parent:
            fresh = Plain(parent=parent)
            opened = Flow(parent=parent)
            assert opened.parent is parent
            assert parent.children == (fresh, opened)

            async def live() -> None:
                async with opened:
                    opened.add(Flow.a, Flow.work)
                    await raises(MachineClosed, opened.when("Exception"))
                    ended.append("body")

            group.start_soon(live)
            await rest()
        assert fresh.is_closed
        assert opened.is_closed
        assert opened.seen[0] == "disposing"
        assert "end done" in opened.seen
    assert ended == ["body"]


async def test_a_child_that_lives_in_a_task_of_its_parent_closes_with_it() -> None:
    class Parent(Machine):
        a = State()
        children_seen: list[Flow]

        @a.task
        async def on_a(self, e: Event[None]) -> None:
            async with Flow(parent=self) as child:
                self.children_seen.append(child)
                child.add(Flow.a, Flow.work)
                await forever()

    async with Parent() as m:
        m.children_seen = []
        m.a.add()
        await rest()
        m.a.remove()  # the task ends, and closes the child
        await rest()
        await m.children_seen[0].when_closed()
        m.a.add()
        await rest()
    assert [child.is_closed for child in m.children_seen] == [True, True]
    assert m.error is None


async def test_a_child_in_another_loop_closes_with_its_parent() -> None:
    async with Plain() as parent:
        child = Flow(parent=parent)

        async def live() -> None:
            async with child:
                child.work.add()
                await forever()

        errand = Errand(anyio.run, live)
        await at_last(lambda: child.is_open)
    assert child.is_closed
    await errand.done()
    assert "task ended" in child.seen


async def test_a_child_is_not_kept_alive() -> None:
    parent = Plain()
    Plain(parent=parent)
    gc.collect()
    assert parent.children == ()


async def test_errors_pipe_up_where_asked() -> None:
    async with Plain("parent") as parent:
        quiet = Plain(parent=parent)
        child = Plain(parent=parent, pipe_errors=True)
        quiet.add_error(ValueError("quiet"))
        loud = ValueError("loud")
        errors = [parent.error]
        child.add_error(loud)
        errors += [child.error, parent.error]
        assert errors == [None, loud, loud]
        assert parent.is_active("Exception")


async def test_inheritable_tracers_follow_to_children() -> None:
    class Heir(Tracer):
        inheritable = True

        def __init__(self) -> None:
            self.opened: list[str] = []

        def machine_opened(self, machine: Machine) -> None:
            self.opened.append(machine.id)

    heir = Heir()
    parent = Plain("parent", tracers=[heir, Tracer()])
    child = Plain("child", parent=parent)
    Plain("grandchild", parent=child)
    assert heir.opened == ["parent", "child", "grandchild"]


# Loops that die


def test_a_loop_that_dies_leaves_a_machine_that_goes_on() -> None:
    class M(Plain):
        @Plain.a.task
        async def on_a(self, e: Event[None]) -> None:
            await forever()

    m = M()
    loop = asyncio.new_event_loop()

    async def start() -> None:
        await m.__aenter__()
        m.a.add()
        await rest()

    loop.run_until_complete(start())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    result = Errand(lambda: m.b.add().wait(20)).outcome()
    assert result.executed
    assert not m.is_open
    assert m.a.remove()
    assert m.a.add()
    m.close()
    assert m.is_closed


def test_a_machine_whose_loop_died_can_be_closed() -> None:
    m = Plain()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(m.__aenter__())
    loop.close()
    assert m.is_open
    m.close()
    assert m.is_closed


def test_waits_for_closing_that_nobody_holds_are_forgotten() -> None:
    machine = Machine.of({"A": {}})
    held = machine.when_closed()
    for _ in range(100):
        machine.when_closed()
        machine.when_closed().cancel()
    assert machine._the_waits().pending == ("when_closed",)
    machine.close()
    assert held.done
    assert machine.when_closed().done
