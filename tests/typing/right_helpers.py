"""Requests and helpers, used as they are meant. Checked, never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import anyio
import attrs

from amachine import Clock, Event, Granted, Machine, Requests, Result, Retry, State, Wait
from amachine.helpers import (
    Batch,
    Cond,
    Condition,
    Debounce,
    Job,
    batch,
    debounce,
    healthcheck,
    pool,
    rounds,
    wait_for_all,
    wait_for_any,
    wait_for_group,
)


@attrs.frozen
class Work:
    path: Path
    size: int = 0


@attrs.frozen
class Paths:
    paths: tuple[Path, ...]
    note: str = ""


class Flow(Machine):
    start = State()
    working = State(Work, require=[start])
    done = State(Work, multi=True)
    changed = State(Work, multi=True)
    received = State(Paths, multi=True)

    @start.task
    async def poll(self, e: Event[None]) -> None:
        async for n in rounds(self.start, every=1.0):
            assert_type(n, int)
        e.spawn(healthcheck, self)


async def requests(flow: Flow) -> None:
    assert_type(await flow.request(Flow.start), Granted[None])
    assert_type(await flow.request(Flow.working, Path(), size=3), Granted[None])
    assert_type(await flow.request(Flow.working, Path(), retry=3, timeout=1), Granted[None])
    assert_type(await flow.request(Flow.working, Path(), timeout=1.5), Granted[None])
    granted = await flow.request(Flow.working, Path(), until=Flow.done, retry=Retry(3, jitter=0.5))
    assert_type(granted.args, Work)
    assert_type(await flow.request("working", until="done"), Granted[Any])
    patient = flow.request(retry=Retry(max_duration=60), timeout=90)
    assert_type(patient, Requests[None])
    assert_type(await patient.add(Flow.working, Path(), 3), Granted[None])
    assert_type(await patient.add(Flow.start), Granted[None])
    assert_type(await patient.set(Flow.start), Granted[None])
    assert_type(await patient.remove(Flow.start, Flow.working), Granted[None])
    later = await flow.request(until=Flow.done).add(Flow.working, Path())
    assert_type(later.args.path, Path)
    result: Result = later
    assert result
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: flow.request(Flow.start))


async def conditions(flow: Flow) -> None:
    ready = Cond(Flow.start, any=[Flow.done, "working"], ticks={Flow.done: 3}) & ~Cond("Exception")
    assert_type(ready, Condition)
    assert_type(ready.when(flow), Wait[Clock])
    assert ready.check(flow) or ready.why_not(flow)


async def inputs(flow: Flow) -> None:
    async with debounce(flow.changed, 0.2) as changed:
        changed.push(Path(), size=3)
        assert_type(changed.push(Path()), bool)
    async with batch(flow.received, max_items=3) as received:
        assert_type(received, Batch[Path])
        received.push(Path())
    kept: Debounce[[]] = debounce(flow.start, 1.0)
    kept.push()


async def together(flow: Flow, others: list[Flow]) -> None:
    work, clock = await wait_for_all(flow.done.when(), flow.when_ticks(Flow.start), timeout=3)
    assert_type(work, Work)
    assert_type(clock, Clock)
    several = await wait_for_all(*(other.done.when() for other in others), or_error=True)
    assert_type(several, tuple[Work, ...])
    first = await wait_for_any(*(other.done.when() for other in others))
    assert_type(first.value, Work)
    await wait_for_all(flow.done.when(), flow.start.add())
    await wait_for_group([flow, *others], Flow.start, "working")


async def fetch(path: Path, size: int = 0) -> bytes:
    return bytes(await anyio.Path(path).read_bytes())[size:]


async def pools() -> None:
    async with pool(3) as jobs:
        job = jobs.start(fetch, Path())
        assert_type(job, Job[bytes])
        jobs.start(fetch, Path(), 3)
    assert_type(job.value, bytes)
