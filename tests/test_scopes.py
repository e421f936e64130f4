"""Scopes: any code bound to a state. SEMANTICS section 7, on every event loop."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from amachine import Event, Machine, MachineClosed, State, WaitError
from tests.lives import Errand, anyio_backend, forever, rest

__all__ = ["anyio_backend"]


class Flow(Machine):
    ready = State()
    many = State(multi=True)
    other = State()


async def test_a_scope_is_left_quietly_when_the_tick_moves() -> None:
    async with Flow() as m, anyio.create_task_group() as group:
        m.ready.add()
        seen: list[str] = []

        async def work() -> None:
            async with m.scope(Flow.ready) as scope:
                seen.append("in")
                await forever()
            seen.append("out")
            assert scope.over
            await checkpoint()
            seen.append("on")

        group.start_soon(work)
        await rest()
        assert seen == ["in"]
        m.other.add()
        await rest()
        assert seen == ["in"]
        m.ready.remove()
        await rest()
        assert seen == ["in", "out", "on"]


async def test_a_scope_of_an_inactive_state_lasts_until_it_is_activated() -> None:
    async with Flow() as m, anyio.create_task_group() as group:
        seen: list[str] = []

        async def work() -> None:
            async with m.ready.scope():
                await forever()
            seen.append("out")

        group.start_soon(work)
        await rest()
        assert seen == []
        m.ready.add()
        await rest()
        assert seen == ["out"]


async def test_a_scope_of_a_multi_state_ends_with_every_tick() -> None:
    async with Flow() as m, anyio.create_task_group() as group:
        m.many.add()
        seen: list[str] = []

        async def work() -> None:
            async with m.scope("many"):
                await forever()
            seen.append("out")

        group.start_soon(work)
        await rest()
        m.many.add()
        await rest()
        assert seen == ["out"]


async def test_a_scope_that_is_left_first_changes_nothing() -> None:
    async with Flow() as m:
        async with m.scope(Flow.ready) as scope:
            await checkpoint()
        assert not scope.over
        m.ready.add()
        await checkpoint()
        assert m.ready.active


async def test_an_error_in_a_scope_goes_up() -> None:
    async with Flow() as m:
        with pytest.raises(ValueError, match="mine"):  # noqa: PT012  # leaving the block is what raises
            async with m.scope(Flow.ready):
                m.ready.add()
                raise ValueError("mine")


async def test_cancelling_from_outside_goes_through_a_scope() -> None:
    async with Flow() as m:
        with anyio.CancelScope() as outer:
            async with m.scope(Flow.ready):
                outer.cancel()
                await checkpoint()
            pytest.fail("the scope must not swallow what is not its own")
        assert outer.cancelled_caught


async def test_a_scope_in_a_task_and_the_task_end_together() -> None:
    class M(Machine):
        a = State()
        b = State()
        seen: list[str]

        @a.task
        async def on_a(self, e: Event[None]) -> None:
            async with self.b.scope():
                await forever()
            self.seen.append("b moved")
            async with self.a.scope():
                await forever()
            self.seen.append("not reached")

    async with M() as m:
        m.seen = []
        m.a.add()
        await rest()
        m.b.add()
        await rest()
        assert m.seen == ["b moved"]
        m.a.remove()
        await rest()
        assert m.seen == ["b moved"]


async def test_a_scope_is_entered_once() -> None:
    async with Flow() as m:
        scope = m.scope(Flow.ready)
        async with scope:
            pass
        with pytest.raises(WaitError, match="once"):
            await scope.__aenter__()


async def test_a_scope_may_be_left_on_request() -> None:
    async with Flow() as m:
        async with m.scope(Flow.ready) as scope:
            scope.cancel()
            await forever()
        assert scope.over


async def test_a_scope_needs_an_open_machine() -> None:
    m = Flow()
    with pytest.raises(WaitError, match="not open"):
        await m.scope(Flow.ready).__aenter__()
    async with m:
        ready = m.scope(Flow.ready)
    with pytest.raises(MachineClosed):
        await m.scope(Flow.ready).__aenter__()
    with pytest.raises(MachineClosed):
        await ready.__aenter__()


async def test_a_scope_belongs_to_the_loop_of_its_machine() -> None:
    async with Flow() as m:

        async def enter() -> None:
            async with m.scope(Flow.ready):
                pass

        with pytest.raises(WaitError, match="another thread"):
            await Errand(anyio.run, enter).done()


async def test_closing_ends_scopes() -> None:
    seen: list[str] = []
    async with anyio.create_task_group() as group, Flow() as m:

        async def work() -> None:
            async with m.scope(Flow.ready):
                await forever()
            seen.append("out")

        group.start_soon(work)
        await rest()
    assert seen == ["out"]


async def test_scopes_leave_no_trace_on_the_short_path() -> None:
    async with Flow() as m:
        async with m.scope(Flow.ready):
            pass
        m.ready.add()
        m.ready.remove()
        assert not m._attention_ & 1
