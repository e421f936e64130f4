"""Two ends of a session over a real connection, and proxies and pipes that do to bytes what networks do."""

# ruff: noqa: SIM117  # a listener is one thing, who connects to it another

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

from amachine.choreography.script import Script
from amachine.choreography.whole import Choreography
from amachine.choreography.wire.channel import WireChannel
from amachine.choreography.wire.connection import Connection, Door
from amachine.choreography.wire.handshake import Hello
from amachine.choreography.wire.opening import Transport, connect, listen
from amachine.choreography.wire.terms import Terms
from amachine.choreography.wire.wiring import wiring_of

Played = Script | Choreography


@asynccontextmanager
async def linked(
    played: Played,
    here: type | str,
    there: type | str,
    *,
    transport: Transport = "auto",
    terms: Terms = Terms(),  # noqa: B008
) -> AsyncGenerator[tuple[WireChannel, WireChannel]]:
    """The ends of one session, the one that connected first. The other one's connection is closed with it."""
    async with listen(transport=transport, terms=terms) as listener:
        async with connect("127.0.0.1", listener.port, transport=transport, terms=terms) as connection:
            ends: dict[str, WireChannel] = {}

            async def accept() -> None:
                ends["there"] = await listener.channel(played, me=there, peer=here)

            async with anyio.create_task_group() as group:
                group.start_soon(accept)
                ends["here"] = await connection.channel(played, me=here, peer=there)
            yield ends["here"], ends["there"]


class MemoryPipe:
    """A pipe to another one in this process. `alter` gets how many bytes went before, and what is to go: its answer is sent."""

    def __init__(self) -> None:
        self.paused = False
        self.gone = anyio.Event()
        self.address = "memory"
        self.connection: Connection
        self.other: MemoryPipe
        self.alter: Callable[[int, bytes], bytes] = lambda _, data: data
        self.sent = 0
        self.out: list[bytes] = []
        self.is_closed = False

    def write(self, head: bytes, payload: bytes) -> None:
        self.out += [head, payload]

    def carry(self) -> bool:
        """Bring what was written to the other end. False if there was nothing."""
        data, self.out = b"".join(self.out), []
        if data and not self.other.is_closed:
            altered = self.alter(self.sent, data)
            self.sent += len(data)
            self.other.connection.fed(altered)
        return bool(data)

    def close(self) -> None:
        while self.carry():
            pass
        self.abort()

    def abort(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.gone.set()
            self.connection.lost("the connection was closed")
            self.other.connection.lost("the other end is gone, without a word")


class Opens:
    """A door that lets everybody in, as one role."""

    def __init__(self, played: Played, me: str) -> None:
        self.wiring = wiring_of(played)
        self.me = me
        self.channel: WireChannel | None = None
        self.error: Exception | None = None

    def knocked(self, connection: Connection, number: int, hello: Hello, /) -> None:
        connection.accept(number, hello, self.wiring, self.me, self)

    def opened(self, channel: WireChannel, /) -> None:
        self.channel = channel

    def refused(self, error: Exception, /) -> None:
        self.error = error


def piped(terms: Terms, door: Door) -> tuple[MemoryPipe, MemoryPipe]:
    """Two connections in this process, of which the second has the door."""
    one, other = MemoryPipe(), MemoryPipe()
    one.other, other.other = other, one
    one.connection, other.connection = Connection(one, terms), Connection(other, terms, door=door)
    return one, other
