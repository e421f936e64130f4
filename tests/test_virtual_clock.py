"""Time that jumps: at once where all wait, not at all where something is ready, and as outside while threads work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any, Literal

import anyio
import anyio.to_thread
import pytest

from amachine import Machine, State
from amachine.testing import hold_clock, run, virtual_clock, virtual_time

YEAR = 365 * 86400.0
BACKENDS: tuple[Literal["asyncio", "trio"], ...] = ("asyncio", "trio")
backends = pytest.mark.parametrize("backend", BACKENDS)


class Lamp(Machine):
    on = State()
    off = State(remove=[on])

    @on.task
    async def burn(self, e: Any) -> None:
        await anyio.sleep(YEAR)
        self.off.add()


@virtual_time
async def test_a_year_is_over_at_once() -> None:
    began, really = anyio.current_time(), time.monotonic()
    async with Lamp() as lamp:
        lamp.on.add()
        await lamp.off.when()
    assert anyio.current_time() - began == pytest.approx(YEAR)
    assert time.monotonic() - really < 5


@virtual_time
async def test_timeouts_and_sleeps_end_in_the_order_of_their_deadlines() -> None:
    seen: list[float] = []
    began = anyio.current_time()

    async def sleep(seconds: float) -> None:
        with anyio.move_on_after(25) as scope:
            await anyio.sleep(seconds)
        seen.append(-seconds if scope.cancelled_caught else round(anyio.current_time() - began, 3))

    async with anyio.create_task_group() as group:
        for seconds in (30, 10, 0.5, 20, 0.25, 40):
            group.start_soon(sleep, seconds)
    assert seen[:4] == [0.25, 0.5, 10, 20]
    assert sorted(seen[4:]) == [-40, -30]


@virtual_time
async def test_time_does_not_pass_while_tasks_work() -> None:
    began = anyio.current_time()
    for _ in range(100):
        await anyio.lowlevel.checkpoint()
    time.sleep(0.01)  # noqa: ASYNC251  # that is the question
    assert anyio.current_time() == began


async def in_a_thread(release: threading.Event) -> None:
    await anyio.to_thread.run_sync(release.wait)


@virtual_time
async def test_time_does_not_jump_while_a_worker_thread_is_busy() -> None:
    release = threading.Event()
    with anyio.move_on_after(YEAR) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(in_a_thread, release)
            await anyio.sleep(0.01)  # which passes as outside
            release.set()
    assert not scope.cancelled_caught
    began = anyio.current_time()
    await anyio.sleep(YEAR)
    assert anyio.current_time() - began == pytest.approx(YEAR), "it jumps again"


@virtual_time
async def test_the_clock_is_held_for_threads_of_ones_own() -> None:
    async with Lamp() as lamp:
        thread = threading.Timer(0.02, lamp.off.add)
        with anyio.move_on_after(YEAR) as scope, hold_clock():
            thread.start()
            await lamp.off.when()
        thread.join()
    assert not scope.cancelled_caught


async def test_without_a_virtual_clock_holding_it_does_nothing() -> None:
    with hold_clock():
        await anyio.lowlevel.checkpoint()


def test_outside_of_an_event_loop_there_is_no_clock_to_hold() -> None:
    with pytest.raises(RuntimeError), hold_clock():
        pass


@backends
def test_a_function_runs_by_itself(backend: Literal["asyncio", "trio"]) -> None:
    async def main(seconds: float) -> tuple[str, float]:
        began = anyio.current_time()
        await anyio.sleep(seconds)
        return "done", anyio.current_time() - began

    word, seconds = run(main, YEAR, backend=backend)
    assert word == "done"
    assert seconds == pytest.approx(YEAR)


@backends
def test_what_it_raises_comes_out(backend: Literal["asyncio", "trio"]) -> None:
    async def main() -> None:
        with anyio.fail_after(YEAR):
            await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        run(main, backend=backend)


def test_runs_do_not_share_their_time() -> None:
    async def main() -> float:
        await anyio.sleep(YEAR)
        return anyio.current_time()

    assert run(main) == run(main) == pytest.approx(YEAR)
    assert run(main, backend="trio") == run(main, backend="trio") == pytest.approx(YEAR)


def test_an_executor_of_asyncio_holds_the_clock_until_it_is_shut_down() -> None:
    async def main() -> str:
        async with asyncio.timeout(YEAR):
            return await asyncio.to_thread(sleep)

    def sleep() -> str:
        time.sleep(0.02)
        return "slept"

    assert run(main) == "slept"


def test_a_callback_from_a_thread_wakes_a_loop_without_deadlines() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[int] = loop.create_future()
        thread = threading.Timer(0.01, loop.call_soon_threadsafe, (answer.set_result, 42))
        thread.start()
        got = await answer
        thread.join()
        return got

    assert run(main) == 42


def test_another_loop_has_no_virtual_clock() -> None:
    with pytest.raises(ValueError, match="it is asyncio or trio"):
        virtual_clock("curio")


def test_the_kit_needs_neither_pytest_nor_hypothesis_nor_trio_until_they_are_asked_for() -> None:
    code = """
import sys
for name in ("pytest", "hypothesis", "trio"):
    sys.modules[name] = None
import amachine.testing as kit
assert "asyncio" not in sys.modules
from amachine import Machine
from amachine.testing import assert_active, check_paths, explore, lint, paths, recording, run, walk
import anyio
machine = Machine.of({"a": {}, "b": {"require": ["a"]}})
for path in paths(machine):
    walk(Machine.of(machine.schema), path)
async def main():
    await anyio.sleep(1e6)
run(main)
for name in ("virtual_time", "schemas"):
    try:
        getattr(kit, name)
    except ImportError:
        print("no", name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["no virtual_time", "no schemas"]
