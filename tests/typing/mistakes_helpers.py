"""Wrong uses of requests and helpers, each line marked `# E` in one way: both checkers must say so, there and nowhere else."""

from __future__ import annotations

from pathlib import Path

import attrs

from amachine import Machine, Retry, State
from amachine.helpers import Cond, batch, debounce, pool, rounds, wait_for_all, wait_for_group


@attrs.frozen
class Work:
    path: Path
    size: int = 0


@attrs.frozen
class Paths:
    paths: tuple[Path, ...]


class Flow(Machine):
    start = State()
    working = State(Work, require=[start])
    done = State(Work, multi=True)
    received = State(Paths, multi=True)


async def requests(flow: Flow) -> None:
    await flow.request(Flow.working)  # E args missing
    await flow.request(Flow.working, 3)  # E wrong type
    await flow.request(Flow.working, Path(), sise=3)  # E no such argument
    await flow.request(Flow.start, Path())  # E args for a state that takes none
    await flow.request(Flow.start, retry="3")  # E neither a number nor a Retry
    await flow.request(Flow.start, until=3)  # E not a state
    await flow.request(retry=3).add(Flow.working)  # E args missing
    await flow.request(retry=3).add(Flow.working, 3)  # E wrong type
    await flow.request(retry=3).set(Flow.working)  # E args missing
    await flow.request(retry=3).remove(3)  # E not a state
    _ = (await flow.request(Flow.working, Path(), until=Flow.done)).args.sise  # E field typo
    Retry(3, 0.1)  # E options by keyword
    Retry(attempt=3)  # E no such option


async def helpers(flow: Flow) -> None:
    Cond(3)  # E not a state
    Cond(Flow.start, all=[Flow.done])  # E no such part
    debounce(flow.done, 1).push()  # E args missing
    debounce(flow.done, 1).push("x")  # E wrong type
    batch(flow.start)  # E its arguments are not made of items
    batch(flow.received).push("x")  # E wrong item
    rounds(Flow.start)  # E a state of no machine
    await wait_for_all(flow.start)  # E not a wait
    await wait_for_all(flow.start.when(), timeouts=3)  # E no such option
    await wait_for_group(flow, Flow.start)  # E one machine, not several
    async with pool(3) as jobs:
        jobs.start(print, "x")  # E not awaitable
        jobs.start(flow.when_not, "x")  # E a wait, and not a coroutine
