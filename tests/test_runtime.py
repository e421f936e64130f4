"""Background work belongs to a state: tasks, their ends and their errors. SEMANTICS section 7, on every event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from amachine import Event, Machine, MachineClosed, State, TaskTimeout, Tracer, WaitError
from tests.lives import Errand, anyio_backend, forever, rest

__all__ = ["anyio_backend"]


@attrs.frozen
class Job:
    name: str = ""


class Work(Machine):
    """Its tasks write down what happens to them."""

    other = State()
    work = State(Job)
    many = State(Job, multi=True)
    few = State(Job, multi=True, limit=2)

    def __init__(self, id: str | None = None, **options: Any) -> None:
        super().__init__(id, **options)
        self.log: list[str] = []
        self.gate = anyio.Event()

    @work.task
    async def on_work(self, e: Event[Job]) -> None:
        await self.write("work", e.args.name)

    @many.task
    async def on_many(self, e: Event[Job]) -> None:
        await self.write("many", e.args.name)

    @few.task
    async def on_few(self, e: Event[Job]) -> None:
        await self.write("few", e.args.name)

    async def write(self, what: str, name: str = "") -> None:
        what = f"{what} {name}".strip()
        self.log.append(f"{what} began")
        try:
            await self.gate.wait()
            self.log.append(f"{what} went on")
        finally:
            self.log.append(f"{what} ended")


async def test_a_task_is_cancelled_when_its_activation_ends() -> None:
    async with Work() as m:
        m.work.add("a")
        assert m.log == []  # a mutation does not wait for anything
        await rest()
        assert m.log == ["work a began"]
        m.work.remove()
        await rest()
        assert m.log == ["work a began", "work a ended"]
        assert m.error is None


async def test_a_task_runs_after_the_final_handlers() -> None:
    class M(Machine):
        a = State()
        seen: list[str]

        @a.task
        async def in_the_background(self, e: Event[None]) -> None:
            self.seen.append("task")

        @a.state
        def at_once(self, e: Event[None]) -> None:
            self.seen.append("state")

        @Machine.any_state
        def last(self, e: Event[None]) -> None:
            self.seen.append("any")

    async with M() as m:
        m.seen = []
        m.a.add()
        await rest()
        assert m.seen == ["state", "any", "task"]


async def test_every_activation_has_its_own_task() -> None:
    async with Work() as m:
        for name in "abc":
            m.work.add(name)
            await rest()
            m.work.remove()
        m.work.add("d")
        await rest()
        assert [line for line in m.log if line.endswith("began")] == [f"work {name} began" for name in "abcd"]
        assert [line for line in m.log if line.endswith("ended")] == [f"work {name} ended" for name in "abc"]


async def test_a_task_that_is_over_before_it_began_does_nothing() -> None:
    async with Work() as m:
        m.work.add("a")
        m.work.remove()
        m.work.add("b")
        await rest()
        m.work.remove()
        await rest()
        assert m.log == ["work b began", "work b ended"]
    assert m.error is None


async def test_code_after_waiting_for_the_machine_runs_in_its_activation() -> None:
    class M(Machine):
        go = State()
        work = State()
        late: bool = False

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            await self.go.when()
            self.late = True

    async with M() as m:
        m.work.add()
        await rest()
        m.go.add()  # wakes the task …
        m.work.remove()  # … which is over before it gets its turn
        await rest()
        assert not m.late


async def test_code_after_waiting_for_a_result_runs_in_its_activation() -> None:
    class M(Machine):
        go = State()
        work = State()
        late: bool = False

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            await self.held
            self.late = True

        @go.state
        def on_go(self, e: Event[None]) -> None:
            self.held = self.work.toggle()

    async with M() as m:
        m.go.add()
        assert m.work.active
        m.go.remove()
        await rest()
        m.late = False
        m.go.add()  # toggles it off: the result comes as the activation ends
        await rest()
        assert not m.late


@pytest.mark.parametrize("kind", ["event", "timeout", "future"])
async def test_on_asyncio_nothing_that_came_true_reaches_a_task_that_is_over(
    anyio_backend: str, kind: str
) -> None:
    if anyio_backend != "asyncio" or not Machine._native_tasks:
        pytest.skip(
            "cancelled as on trio: what has come true by then is still delivered, and the next await is cancelled"
        )

    class M(Machine):
        work = State()
        late: bool = False

        def __init__(self) -> None:
            super().__init__()
            self.gate, self.future = asyncio.Event(), asyncio.get_running_loop().create_future()

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            if kind == "event":
                await self.gate.wait()
            elif kind == "timeout":
                async with asyncio.timeout(100):
                    await self.gate.wait()
            else:
                await self.future
            self.late = True

    async with M() as m:
        m.work.add()
        await rest()
        m.gate.set()
        m.future.set_result(None)
        m.work.remove()
        await rest()
        assert not m.late


async def test_code_after_a_checkpoint_runs_in_its_activation() -> None:
    class M(Machine):
        work = State()
        wrong: int = 0
        turns: int = 0

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            tick = self.work.tick
            while True:
                await checkpoint()
                self.turns += 1
                self.wrong += self.work.tick != tick

    async with M() as m:
        for _ in range(50):
            m.work.add()
            for _ in range(3):
                await checkpoint()
            m.work.remove()
            if _ % 2:
                await checkpoint()
        assert m.turns > 0
        assert m.wrong == 0


async def test_a_task_may_end_its_own_state() -> None:
    class M(Machine):
        work = State()
        done = State(remove=[work])
        seen: list[str]

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            await checkpoint()
            self.done.add()
            self.seen.append("goes on to its next await")
            await checkpoint()
            self.seen.append("and no further")

    async with M() as m:
        m.seen = []
        m.work.add()
        await m.done.when()
        await rest()
        assert m.seen == ["goes on to its next await"]
        assert m.active == ("done",)
        assert m.error is None


class Failing(Machine):
    work = State()
    failed: list[Any]

    @work.task
    async def on_work(self, e: Event[None]) -> None:
        await checkpoint()
        raise self.what

    what: BaseException = ValueError("no")

    @Machine.Exception.state
    def on_error(self, e: Event[Any]) -> None:
        self.failed.append((e.args.handler, e.args.error, e.source, e.transition.depth))


async def test_the_error_of_a_task_enters_exception_with_its_name() -> None:
    async with Failing("flow") as m:
        m.failed = []
        m.work.add()
        await m.when_error()
        handler, error, source, depth = m.failed[0]
        assert "on_work" in handler
        assert error is m.what
        assert source is not None
        assert source.mutation == "add work"
        assert depth == 0
        assert m.error is error
        assert m.active == ("work", "Exception")  # its state stays


async def test_the_error_of_a_task_goes_before_what_is_queued() -> None:
    seen: list[str] = []

    class M(Failing):
        a = State()
        b = State()

        @a.state
        def on_a(self, e: Event[None]) -> None:
            seen.append("a")

        @Machine.Exception.state
        def on_error(self, e: Event[Any]) -> None:
            seen.append("Exception")

    async with M() as m:
        m.work.add()
        await m.when_error()
        assert seen == ["Exception"]


async def test_cancelling_itself_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    class M(Machine):
        work = State()

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await forever()

    async with M() as m:
        m.work.add()
        await rest()
        assert m.error is None
        assert m.work.active
    assert not caplog.records


async def test_an_error_in_the_clean_up_of_a_cancelled_task_is_reported() -> None:
    class M(Machine):
        work = State()

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            try:
                await forever()
            finally:
                raise ValueError("clean-up")

    async with M() as m:
        m.work.add()
        await rest()
        m.work.remove()
        assert str(await m.when_error()) == "clean-up"


async def test_nothing_of_a_group_of_errors_is_lost() -> None:
    class M(Machine):
        work = State()

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            async def fail(text: str) -> None:
                try:
                    await forever()
                finally:
                    raise ValueError(text)

            async with anyio.create_task_group() as group:
                group.start_soon(fail, "one")
                group.start_soon(fail, "two")

    async with M() as m:
        m.work.add()
        await rest()
        m.work.remove()
        error = await m.when_error()
        assert isinstance(error, ExceptionGroup)
        errors = cast("ExceptionGroup[Exception]", error).exceptions
        assert sorted(str(each) for each in errors) == ["one", "two"]


async def test_a_task_that_runs_too_long_is_cancelled_for_real() -> None:
    class M(Machine):
        work = State()
        ended: bool = False

        @work.task(timeout=0.01)
        async def on_work(self, e: Event[None]) -> None:
            try:
                await forever()
            finally:
                self.ended = True

    async with M() as m:
        m.work.add()
        error = await m.when_error()
        assert isinstance(error, TaskTimeout)
        assert error.timeout == 0.01
        assert "on_work" in error.task
        assert m.ended
        assert m.work.active


async def test_a_task_with_a_timeout_ends_with_its_state_and_without_error() -> None:
    class M(Machine):
        work = State()
        quick = State()
        ended: int = 0

        @work.task(timeout=100)
        async def on_work(self, e: Event[None]) -> None:
            try:
                await forever()
            finally:
                self.ended += 1

        @quick.task(timeout=100)
        async def on_quick(self, e: Event[None]) -> None:
            await checkpoint()
            self.ended += 1

    async with M() as m:
        m.add(M.work, M.quick)
        await rest()
        assert m.ended == 1
        m.work.remove()
        await rest()
        assert m.ended == 2
        assert m.error is None


async def test_a_state_entered_before_opening_starts_its_task_then() -> None:
    m = Work()
    m.work.add("gone")
    m.work.remove()
    m.work.add("a")
    m.many.add("b")
    m.many.add("c")
    async with m:
        await rest()
        assert sorted(m.log) == ["many b began", "many c began", "work a began"]
        m.remove(Work.work, Work.many)
        await rest()
        assert sorted(m.log[3:]) == ["many b ended", "many c ended", "work a ended"]


async def test_tasks_of_a_multi_state_last_until_it_is_deactivated() -> None:
    async with Work() as m:
        m.many.add("a")
        m.many.add("b")
        await rest()
        m.many.add("c")
        await rest()
        assert sorted(m.log) == ["many a began", "many b began", "many c began"]
        m.many.remove()
        await rest()
        assert sorted(m.log[3:]) == ["many a ended", "many b ended", "many c ended"]


async def test_a_limit_makes_tasks_wait_in_order() -> None:
    class M(Machine):
        few = State(Job, multi=True, limit=2)

        @few.task
        async def on_few(self, e: Event[Job]) -> None:
            self.began.append(e.args.name)
            await self.gates[e.args.name].wait()

        began: list[str]
        gates: dict[str, anyio.Event]

    async with M() as m:
        m.began = []
        m.gates = {name: anyio.Event() for name in "abcdef"}
        for name in "abcdef":
            m.few.add(name)
        await rest()
        assert sorted(m.began) == ["a", "b"]  # trio begins them in any order
        m.gates["b"].set()
        await rest()
        assert m.began[2:] == ["c"]
        m.gates["a"].set()
        await rest()
        assert m.began[3:] == ["d"]
        m.few.remove()  # those that wait are over, too
        await rest()
        assert m.began[4:] == []
        m.few.add("f")
        await rest()
        assert m.began[4:] == ["f"]


async def test_a_task_that_waited_for_its_turn_knows_what_caused_it() -> None:
    class M(Machine):
        few = State(Job, multi=True, limit=1)
        out = State(Job, multi=True)
        seen: list[Any]

        @few.task
        async def on_few(self, e: Event[Job]) -> None:
            await checkpoint()
            self.out.add(e.args.name)

        @out.state
        def on_out(self, e: Event[Job]) -> None:
            source = e.source
            assert source is not None
            self.seen.append((e.args.name, source.transition, e.mutation.depth))

    async with M("m") as m:
        m.seen = []
        for name in "abc":
            m.few.add(name)
        await rest()
        assert [name for name, _, _ in m.seen] == ["a", "b", "c"]
        assert [source for _, source, _ in m.seen] == ["m/1", "m/2", "m/3"]
        assert {depth for _, _, depth in m.seen} == {0}


async def test_many_waiting_tasks_run_at_most_as_many_as_allowed() -> None:
    class M(Machine):
        few = State(multi=True, limit=3)
        running = 0
        most = 0
        done = 0

        @few.task
        async def on_few(self, e: Event[None]) -> None:
            self.running += 1
            self.most = max(self.most, self.running)
            await checkpoint()
            self.running -= 1
            self.done += 1

    async with M() as m:
        for _ in range(300):
            m.few.add()
        while m.done < 300:
            await checkpoint()
        assert m.most == 3


# What `event.spawn` starts


class Spawning(Machine):
    a = State(multi=True)
    b = State()

    def __init__(self, id: str | None = None, **options: Any) -> None:
        super().__init__(id, **options)
        self.log: list[str] = []
        self.events: list[Event[None]] = []

    @a.state
    def on_a(self, e: Event[None]) -> None:
        self.events.append(e)
        if self.is_open:
            e.spawn(self.live, "from state")

    @b.task
    async def on_b(self, e: Event[None]) -> None:
        self.events.append(e)
        e.spawn(self.live, "from task")

    async def live(self, name: str) -> None:
        self.log.append(f"{name} began")
        try:
            await forever()
        finally:
            self.log.append(f"{name} ended")


async def test_spawn_starts_tasks_bound_to_the_state() -> None:
    async with Spawning() as m:
        m.add(Spawning.a, Spawning.b)
        await rest()
        assert sorted(m.log) == ["from state began", "from task began"]
        m.a.add()
        await rest()
        assert m.log.count("from state began") == 2
        assert "from state ended" not in m.log  # re-entering a multi state ends nothing
        m.a.remove()
        await rest()
        assert m.log.count("from state ended") == 2
        assert "from task ended" not in m.log
        m.b.remove()
        await rest()
        assert "from task ended" in m.log


async def test_spawn_for_an_activation_that_is_over_is_an_error() -> None:
    async with Spawning() as m:
        m.b.add()
        await rest()
        m.b.remove()
        with pytest.raises(WaitError, match="is over"):
            m.events[0].spawn(m.live, "late")
        m.b.add()
        with pytest.raises(WaitError, match="is over"):
            m.events[0].spawn(m.live, "late")


async def test_spawn_needs_an_open_machine_and_its_thread() -> None:
    m = Spawning()
    m.a.add()
    with pytest.raises(WaitError, match="not open"):
        m.events[0].spawn(m.live, "early")
    async with m:
        errand = Errand(m.events[0].spawn, m.live, "elsewhere")
        with pytest.raises(WaitError, match="another thread"):
            await errand.done()
        m.events[0].spawn(m.live, "here")
        await rest()
        assert m.log == ["here began"]
    with pytest.raises(MachineClosed):
        m.events[0].spawn(m.live, "late")


async def test_spawn_belongs_to_state_and_task_handlers() -> None:
    class M(Machine):
        a = State()

        @a.enter
        def on_enter(self, e: Event[None]) -> None:
            e.spawn(forever)

    async with M() as m:
        assert m.a.add().canceled
        assert isinstance(m.error, WaitError)


async def test_what_a_failing_state_handler_has_spawned_ends_with_its_state() -> None:
    class M(Machine):
        a = State()
        ended: bool = False

        @a.state
        def on_a(self, e: Event[None]) -> None:
            async def live() -> None:
                self.ended = False
                await forever()

            e.spawn(live)
            raise ValueError("no")

        @a.task
        async def background(self, e: Event[None]) -> None:
            self.ended = True

    async with M() as m:
        assert m.a.add().canceled
        await rest()
        assert not m.a.active
        assert not m.ended  # no task of a state that was put back starts
    assert isinstance(m.error, ValueError)


# What goes up


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_in_a_task_ends_the_body_and_goes_up(kind: type[BaseException]) -> None:
    class M(Failing):
        what = kind("up")

    m = M()
    m.failed = []
    with pytest.raises(kind, match="up"):  # noqa: PT012  # leaving the block is what raises
        async with m:
            m.work.add()
            await forever()
    assert m.is_closed
    assert m.failed == []
    assert m.error is None


async def test_several_interrupts_go_up_together() -> None:
    class M(Machine):
        work = State(multi=True)

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012  # leaving the block is what raises
        async with M() as m:
            m.work.add()
            m.work.add()
            await rest()
    assert [type(each) for each in caught.value.exceptions] == [KeyboardInterrupt, KeyboardInterrupt]


async def test_an_interrupt_in_a_handler_below_a_task_leaves_the_machine_consistent() -> None:
    class M(Machine):
        a = State()
        b = State()
        seen: list[str]

        @a.task
        async def on_a(self, e: Event[None]) -> None:
            self.b.add()

        @b.state
        def on_b(self, e: Event[None]) -> None:
            raise KeyboardInterrupt

        @b.task
        async def of_b(self, e: Event[None]) -> None:
            self.seen.append("b")

    m = M()
    m.seen = []
    async with m:
        wait = m.b.when()
        m.a.add()
        with pytest.raises(KeyboardInterrupt):
            m.b.add()
        assert m.b.active  # committed, and that stands
        assert wait.done  # so who waits for it hears of it
        await checkpoint()
        assert m.a.remove()
        await rest()
        assert m.seen == ["b"]


async def test_an_interrupt_in_a_drain_for_another_thread_goes_up_from_the_body() -> None:
    class M(Machine):
        a = State()

        @a.state
        def on_a(self, e: Event[None]) -> None:
            raise KeyboardInterrupt

    m = M()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # leaving the block is what raises
        async with m:
            Errand(m.a.add).outcome()
            await forever()
    assert m.is_closed


async def test_with_raise_errors_the_first_error_of_a_task_leaves_the_body() -> None:
    class M(Machine):
        work = State(multi=True)

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            raise ValueError(str(self.work.tick))

    m = M(raise_errors=True)
    with pytest.raises(ValueError, match="1"):  # noqa: PT012  # leaving the block is what raises
        async with m:
            m.work.add()
            await m.when_error()
            m.work.add()
            await rest()
    assert m.is_closed
    with pytest.raises(LookupError):  # noqa: PT012  # leaving the block is what raises
        async with M(raise_errors=True) as m:
            m.work.add()
            await rest()
            raise LookupError  # the body's own error stands


async def test_without_raise_errors_a_tasks_error_stays_in_the_machine() -> None:
    async with Failing() as m:
        m.failed = []
        m.work.add()
        await rest()
    assert len(m.failed) == 1


async def test_a_mutation_made_in_a_task_knows_its_source_and_is_not_deep() -> None:
    class M(Machine):
        a = State()
        b = State()
        seen: Any

        @a.task
        async def on_a(self, e: Event[None]) -> None:
            await checkpoint()
            async with anyio.create_task_group() as group:
                group.start_soon(self.below)

        async def below(self) -> None:
            await anyio.to_thread.run_sync(self.b.add)

        @b.state
        def on_b(self, e: Event[None]) -> None:
            assert e.source is not None
            self.seen = (e.source.machine, e.source.mutation, e.mutation.depth)

    async with M("m") as m:
        m.a.add()
        await m.b.when()
        assert m.seen == ("m", "add a", 0)


async def test_tracers_see_tasks_begin_and_end() -> None:
    class Watch(Tracer):
        def __init__(self) -> None:
            self.seen: list[tuple[str, str | None, str]] = []

        def task_started(self, machine: Machine, name: str, state: str | None) -> None:
            self.seen.append(("began", state, name))

        def task_ended(
            self, machine: Machine, name: str, state: str | None, error: BaseException | None
        ) -> None:
            self.seen.append(("ended", state, type(error).__name__ if isinstance(error, Exception) else name))

    watch = Watch()
    async with Failing(tracers=[watch]) as m:
        m.failed = []
        m.work.add()
        await m.when_error()
    assert [(what, state) for what, state, _ in watch.seen] == [("began", "work"), ("ended", "work")]
    assert watch.seen[1][2] == "ValueError"


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("amachine.loops.PATIENCE", 0.001)
    asked = 0

    class M(Machine):
        work = State()

        @work.task
        async def on_work(self, e: Event[None]) -> None:
            nonlocal asked
            while asked < 3:
                try:
                    await forever()
                except anyio.get_cancelled_exc_class():
                    asked += 1

    async with M() as m:
        m.work.add()
        await rest()
        m.work.remove()
        while asked < 3:
            await checkpoint()
    assert m.is_closed
    assert m.error is None


async def test_opening_waits_for_a_thread_that_drains() -> None:
    class M(Machine):
        a = State()
        b = State()

        def __init__(self) -> None:
            super().__init__(handler_timeout=None)
            self.go = threading.Event()
            self.inside = threading.Event()
            self.where: list[int] = []

        @a.state
        def on_a(self, e: Event[None]) -> None:
            self.inside.set()
            self.go.wait()
            self.b.add()

        @b.task
        async def on_b(self, e: Event[None]) -> None:
            self.where.append(threading.get_ident())

    m = M()
    errand = Errand(m.a.add)
    m.inside.wait()
    opened: Callable[[], bool] = lambda: m.is_open  # noqa: E731
    async with anyio.create_task_group() as group:

        async def live() -> None:
            async with m:
                await rest()

        group.start_soon(live)
        await rest()
        assert not opened()
        m.go.set()
        assert await errand.done()
    assert m.where == [m._ident_()]
