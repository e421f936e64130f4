"""Template: a machine to copy, with its tests in template_test.py. Rename it, and delete what you do not need.

It fetches things over a connection, a few at a time, and has what most machines need: arguments with types, a group, a
life that begins with `Start`, work in tasks with a limit and a timeout, errors, an orderly end; and it can be watched without
a change of code:

    python examples/template.py
    AMACHINE_LOG=changes python examples/template.py      every change, on stderr
    TEMPLATE_SHOW=1 python examples/template.py           a live table
    TEMPLATE_TRACE=trace.jsonl python examples/template.py
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Protocol, Unpack

import anyio
import attrs

from amachine import (
    ConsoleTracer,
    ErrorInfo,
    Event,
    JsonlTracer,
    Machine,
    Options,
    State,
    Tracer,
    exclusive,
    machine_log,
)
from amachine.helpers import wait_for_all
from amachine.states import Basic

# What comes from outside is handed in: a test hands in something else.


class Connection(Protocol):
    """What fetches."""

    async def fetch(self, name: str) -> str:
        """Fetch one thing. Errors: LookupError where there is none, OSError where the connection is broken."""
        ...


Connect = Callable[[], AbstractAsyncContextManager[Connection]]

# Arguments: a frozen class a state. `state.add(…)` has its signature, and `event.args` its type.


@attrs.frozen
class Link:
    """What `connected` is entered with."""

    connection: Connection


@attrs.frozen
class Order:
    """What is to be fetched."""

    name: str


@attrs.frozen
class Thing:
    """What came of it; without content where there is no such thing."""

    name: str
    content: str | None = None


class Fetcher(Machine, Basic):
    """Fetches things while it is `Start`ed. Once it is `Ready`, add `fetching` as often as you like."""

    connecting = State(auto=True, require=[Basic.Start])
    connected = State(Link, require=[Basic.Start])
    connection = exclusive(connecting, connected)

    Ready = Basic.Ready.extend(auto=True, require=[connected])
    fetching = State(Order, multi=True, limit=4, require=[Ready])
    fetched = State(Thing, multi=True)

    def __init__(self, connect: Connect, id: str = "fetcher", **options: Unpack[Options]) -> None:
        super().__init__(id, **options)
        self.connect = connect
        self.things: dict[str, str] = {}

    # A resource lives in the task of a state: whatever ends the state closes it.

    @Basic.Start.task
    async def stay_connected(self, _: Event[None]) -> None:
        async with self.connect() as connection:
            self.connected.add(connection)
            await anyio.sleep_forever()

    # Negotiation: False says no, before anything has changed.

    @fetching.enter
    def is_new(self, e: Event[Order]) -> bool:
        return e.args.name not in self.things

    @fetching.task(timeout=10)
    async def fetch(self, e: Event[Order]) -> None:
        link = self.connected.args
        assert link is not None  # fetching requires Ready, and that requires connected
        try:
            self.fetched.add(e.args.name, await link.connection.fetch(e.args.name))
        except LookupError:
            self.fetched.add(e.args.name)

    @fetched.state
    def keep(self, e: Event[Thing]) -> None:
        if e.args.content is not None:
            self.things[e.args.name] = e.args.content

    # What nobody has caught enters Exception. Here it ends everything; a machine that goes on would remove Exception.

    @Machine.Exception.state
    def give_up(self, e: Event[ErrorInfo]) -> None:
        machine_log(self).error("%s failed: %r", e.args.handler, e.args.error)
        self.Start.remove()


async def fetch_all(names: Iterable[str], connect: Connect, **options: Unpack[Options]) -> Fetcher:
    """Fetch all of these. The machine that is returned is closed. Errors: `WaitFailed`, from what went wrong."""
    async with Fetcher(connect, **options) as fetcher:
        fetcher.Start.add()
        await wait_for_all(fetcher.when(Fetcher.Ready), or_error=True)
        for name in names:
            fetcher.fetching.add(name)
        all_in = fetcher.when_query(lambda clock: clock["fetched"] == clock["fetching"])
        await wait_for_all(all_in, or_error=True)
    return fetcher


@asynccontextmanager
async def library() -> AsyncGenerator[Connection]:
    """Stands for a real connection."""
    yield Shelf({"whale": "Call me Ishmael.", "windmill": "In a village of La Mancha …"})


class Shelf:
    """A connection to a mapping."""

    def __init__(self, things: dict[str, str]) -> None:
        self.things = things

    async def fetch(self, name: str) -> str:
        await anyio.lowlevel.checkpoint()
        return self.things[name]


async def main() -> None:
    """Fetch three things, one of which is not there. The environment says who watches."""
    with ExitStack() as stack:
        tracers: list[Tracer] = []
        if os.environ.get("TEMPLATE_SHOW"):
            tracers.append(stack.enter_context(ConsoleTracer()))
        if path := os.environ.get("TEMPLATE_TRACE"):
            tracers.append(stack.enter_context(JsonlTracer(path)))
        fetcher = await fetch_all(["whale", "windmill", "unicorn"], library, tracers=tracers)
    for name, content in fetcher.things.items():
        print(f"{name}: {content}")
    print(fetcher)


if __name__ == "__main__":
    anyio.run(main)
