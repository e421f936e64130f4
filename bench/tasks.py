"""Background work that lives as long as a state: started by entering it, cancelled by leaving it, n times over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

import anyio

from amachine import Event, Machine, State
from bench import theirs
from bench.measure import Effort, Row, Side, Target, compare


class Worker(Machine):
    """On asyncio its tasks are the loop's own."""

    busy = State()
    entered = 0
    left = 0

    @busy.task
    async def work(self, e: Event[None]) -> None:
        self.entered += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.left += 1


class AnyioWorker(Worker):
    """Its tasks are those of an anyio task group."""

    _native_tasks = False


class NativeWorker(Worker):
    """It waits as asyncio does, so that all of anyio is out of it."""

    busy = Worker.busy.replace()

    @busy.task
    async def work(self, e: Event[None]) -> None:
        self.entered += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.left += 1


async def ours(worker: Worker, n: int) -> float:
    """The loop gets a turn after each request: the task has really begun, and has really ended."""
    async with worker:
        begin, finish, turn = worker.busy.add, worker.busy.remove, asyncio.sleep
        began = perf_counter()
        for _ in range(n):
            begin()
            await turn(0)
            finish()
            await turn(0)
        seconds = perf_counter() - began
    assert worker.entered == worker.left == n, f"{worker.entered} of {n} tasks begun, {worker.left} ended"
    return seconds / n


async def transitions(n: int) -> float:
    """Their handlers are awaited in place, so no turn of the loop is needed."""
    model = theirs.worker()
    begin, finish = theirs.trigger(model, "begin"), theirs.trigger(model, "finish")
    began = perf_counter()
    for _ in range(n):
        await begin()
        await finish()
    seconds = perf_counter() - began
    assert model.entered == model.left == n, f"{model.entered} of {n} handlers entered, {model.left} left"
    return seconds / n


def worker(kind: type[Worker]) -> Side:
    return Side("amachine", lambda n: asyncio.run(ours(kind(), n)))


def rows(effort: Effort) -> Iterator[Row]:
    async_machine = Side("transitions' AsyncMachine, enter and leave", lambda n: asyncio.run(transitions(n)))
    for name, kind, least in (("anyio", AnyioWorker, 1.2), ("asyncio", NativeWorker, 3)):
        work = f"a task started and ended by its state, through {name}"
        target = Target(least=least)
        yield compare(f"task-{name}", work, worker(kind), async_machine, target, effort, operations=50)
