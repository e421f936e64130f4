"""Many pairs that play ping-pong, 31 messages each: on a stage, on machines, and as tasks that somebody wrote by hand.

Every pair is there before the first message. The tasks do their work inside; the stage and the machines call a function of a
role to choose and one to hear. Bytes are what tracemalloc counts for a pair in the middle of its play: the objects that play,
and what is under way, included. The collector is kept out of it for all sides: a library leaves a program's collector alone, but
a program that builds many sessions at once does well to call `gc.freeze()` after that.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Literal

from amachine.choreography.acting import Act, Answer
from amachine.choreography.builder import Builder
from amachine.choreography.playing.events import StageTracer
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.stage import Stage
from amachine.choreography.playing.watching import Watchers
from amachine.choreography.reading import Reading
from amachine.choreography.whole import Choreography
from bench.measure import Effort, Row, Side, Target, compare, quiet, ruled

ROUNDS = 15
MESSAGES = 2 * ROUNDS + 1
"""Of each pair."""

PAIRS = 1000
"""In a round, at scale 1. Published ones are of 100,000 (`--scale 100 --rounds 3`): the tasks take 1 GB then."""

MILLION = 1_000_000


class Player:
    """Counts. Both roles are such."""

    __slots__ = ("count",)

    def __init__(self, count: int = 0) -> None:
        self.count = count


def ping(me: Player) -> Answer:
    if me.count == ROUNDS:
        return "next", None
    return "ping", me.count


def pong(me: Player) -> Answer:
    me.count += 1
    return "pong", me.count


def hear(me: Player, n: int) -> None:
    me.count = n


def pingpong() -> Choreography:
    """The script, and the functions of both."""
    b = Builder()
    first = b.scene("Ping", "alice").branch("ping", int, to="bob", next="Pong").branch("next", to="bob")
    b.scene("Pong", "bob").branch("pong", int, to="alice", next=first)
    script = b.script("pingpong", first, roles=("alice", "bob"))
    acts = {"Ping": Act(ping, {"ping": hear}), "Pong": Act(pong, {"pong": hear})}
    return Choreography.of(Reading(script, acts, {}))


WHOLE = pingpong()


def cast() -> dict[str, Player]:
    return {"alice": Player(), "bob": Player()}


# On a stage.


def staged(n: int) -> Stage:
    """So many pairs on a stage, none of which has begun."""
    stage = Stage(WHOLE.tables)
    for _ in range(n):
        stage.add(cast())
    return stage


def watched(n: int) -> Stage:
    """The same, whose steps are counted, and shown to a tracer that does nothing."""
    stage, tracers = Stage(WHOLE.tables), [Watching()]
    for _ in range(n):
        stage.watch(cast(), tracers=tracers)
    return stage


def unwatched(n: int) -> Stage:
    """The same with a tracer that looks at nothing, as `run_many` deals with it: nobody is shown anything."""
    stage, tracers = Stage(WHOLE.tables), [StageTracer()]
    for _ in range(n):
        if Watchers(tracers):
            stage.watch(cast(), tracers=tracers)
        else:
            stage.add(cast())
    return stage


def machined(n: int) -> Stage:
    """The same, whose roles are machines."""
    stage = Stage(WHOLE.tables, engine="machine")
    for _ in range(n):
        stage.add(cast())
    return stage


class Watching(StageTracer):
    """Sees every step."""

    def stage_event(self, event: object) -> None:
        """Do nothing."""


def on_stage(make: Callable[[int], Stage]) -> Callable[[int], float]:
    def run(n: int) -> float:
        stage = make(n)
        began = perf_counter()
        while stage.run():
            pass
        seconds = perf_counter() - began
        assert stage.tally.messages == n * MESSAGES, str(stage.tally)
        return seconds / (n * MESSAGES)

    return run


# As tasks, with a queue or a one-slot box for each direction.


class Box:
    """Room for one message. Whoever gets waits for a future of its own."""

    __slots__ = ("full", "waiter")

    def __init__(self) -> None:
        self.full: Any = None
        self.waiter: asyncio.Future[None] | None = None

    async def put(self, message: Any) -> None:
        self.full = message
        if self.waiter is not None:
            self.waiter.set_result(None)
            self.waiter = None

    async def get(self) -> Any:
        if self.full is None:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
        message, self.full = self.full, None
        return message


async def alice(me: Player, out: Any, back: Any) -> None:
    while me.count < ROUNDS:
        await out.put(("ping", me.count))
        _, me.count = await back.get()
    await out.put(("next", None))


async def bob(me: Player, out: Any, back: Any) -> None:
    while True:
        label, n = await back.get()
        if label == "next":
            return
        me.count = n + 1
        await out.put(("pong", me.count))


def pairs_of_tasks(n: int, channel: Callable[[], Any]) -> list[asyncio.Task[None]]:
    tasks: list[asyncio.Task[None]] = []
    for _ in range(n):
        there, back = channel(), channel()
        tasks.append(asyncio.create_task(alice(Player(), there, back)))
        tasks.append(asyncio.create_task(bob(Player(), back, there)))
    return tasks


async def with_tasks(n: int, channel: Callable[[], Any]) -> float:
    tasks = pairs_of_tasks(n, channel)
    began = perf_counter()
    for task in tasks:
        await task
    return (perf_counter() - began) / (n * MESSAGES)


def tasks(name: str, channel: Callable[[], Any]) -> Side:
    return Side(f"asyncio tasks and {name}", lambda n: asyncio.run(with_tasks(n, channel)))


# In plays: each role is a machine with a player, each session a task.


async def in_plays(n: int) -> float:
    plays = [Play(WHOLE, cast(), engine="machine") for _ in range(n)]

    async def perform(play: Play) -> None:
        async with play:
            outcome = await play.ended()
        assert outcome.exit == "Done", str(outcome)

    began = perf_counter()
    await asyncio.gather(*map(perform, plays))
    return (perf_counter() - began) / (n * MESSAGES)


# What a pair weighs.


def weighed(n: int, build: Callable[[int], object]) -> float:
    """Bytes of each of n pairs that `build` makes and leaves in the middle of their play."""
    build(1)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = build(n)
        weight = (tracemalloc.get_traced_memory()[0] - before) / n
        del kept
        return weight
    finally:
        tracemalloc.stop()


def half_staged(n: int, engine: Literal["table", "machine"] = "table") -> Stage:
    stage = Stage(WHOLE.tables, engine=engine)
    for _ in range(n):
        stage.add({"alice": Player(-5), "bob": Player()})
    stage.run(n)
    assert len(stage) == n, "with five rounds more, a turn is not all of a play"
    return stage


async def weigh_tasks(n: int) -> float:
    """Bytes of a pair of tasks with queues, after some of their messages."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        running = pairs_of_tasks(n, asyncio.Queue)
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        weight = (tracemalloc.get_traced_memory()[0] - before) / n
    finally:
        tracemalloc.stop()
    await asyncio.gather(*running)
    return weight


async def weigh_plays(n: int) -> float:
    """Bytes of a pair of machines with their players, before the first message."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        plays = [Play(WHOLE, cast(), engine="machine") for _ in range(n)]
        return (tracemalloc.get_traced_memory()[0] - before) / len(plays)
    finally:
        tracemalloc.stop()


def rows(effort: Effort) -> Iterator[Row]:
    work = f"a message of {effort.operations(PAIRS):,} pairs that play ping-pong"
    stage = Side("amachine", on_stage(staged))
    queues = tasks("asyncio.Queue", asyncio.Queue)
    yield compare("pairs", work, stage, queues, Target(least=20), effort, operations=PAIRS)
    boxes = tasks("one-slot futures", Box)
    yield compare("pairs-futures", work, stage, boxes, Target(least=8), effort, operations=PAIRS)
    machines = Side("machines", on_stage(machined))
    target = Target(least=1.5)
    yield compare(
        "pairs-machine", f"{work}, on machines", machines, queues, target, effort, operations=PAIRS // 5
    )
    plays = Side("plays", lambda n: asyncio.run(in_plays(n)))
    some = Target(least=0.1)
    yield compare("pairs-play", f"{work}, in a play each", plays, queues, some, effort, operations=PAIRS // 5)
    tracer = Side("a tracer that does nothing", on_stage(watched))
    plain = Side("no tracer", on_stage(staged))
    yield compare(
        "pairs-tracer", f"{work}, counted and shown", tracer, plain, Target(most=2), effort, operations=PAIRS
    )
    idle = Side("a tracer that overrides nothing", on_stage(unwatched))
    yield compare("pairs-tracer-idle", work, idle, plain, Target(most=1.1), effort, operations=PAIRS)
    n = effort.operations(10_000)
    theirs = asyncio.run(weigh_tasks(effort.operations(1000)))
    machine = weighed(effort.operations(2000), lambda n: half_staged(n, "machine"))
    play = asyncio.run(weigh_plays(effort.operations(500)))
    for name, what, ours, most in (
        ("pairs-bytes", "memory of a pair, its players included", weighed(n, half_staged), 350),
        ("pairs-machine-bytes", "memory of a pair of machines, its players included", machine, 2560),
        ("pairs-play-bytes", "memory of a play on machines, before it begins", play, 20_000),
    ):
        yield ruled(
            name,
            what,
            queues.name,
            [ours],
            [theirs],
            "bytes",
            Target(least=1),
            says=f"≤ {most:,} B",
            met=ours <= most,
        )


def million() -> str:
    """A sentence on a million pairs: two million roles, 31 million messages. It takes half a gigabyte, and a minute."""
    with quiet():
        began = perf_counter()
        stage = staged(MILLION)
        built = perf_counter() - began
        while stage.run():
            pass
        tally = stage.tally
    return f"{tally}\n  built in {built:.1f} s; {tally.rate / 1e6:.2f} M messages a second"
