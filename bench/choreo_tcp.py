"""Channels over TCP on loopback: ping-pong beside anyio's streams used naively, and chunks that are hashed on both sides."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from struct import Struct
from time import perf_counter
from typing import Any

import anyio
import msgspec
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from amachine.choreography.builder import Builder
from amachine.choreography.playing.frames import Frame, Kind
from amachine.choreography.script import Script
from amachine.choreography.wire.channel import WireChannel
from amachine.choreography.wire.opening import Transport, connect, listen
from bench.measure import Effort, Row, Side, Target, compare

LENGTH = Struct(">I")


def script() -> Script:
    b = Builder()
    ping, pong = b.scene("Ping", "a"), b.scene("Pong", "b")
    ping.branch("ping", int, to="b", next=pong).branch("chunk", bytes, to="b", next=ping)
    pong.branch("pong", int, to="a", next=ping)
    return b.script("bench", ping, roles=("a", "b"), endless=True)


SCRIPT = script()


@asynccontextmanager
async def ends(transport: Transport) -> AsyncGenerator[tuple[WireChannel, WireChannel]]:
    found: dict[str, WireChannel] = {}
    async with (
        listen(transport=transport) as listener,
        connect("127.0.0.1", listener.port, transport=transport) as connection,
    ):

        async def accept() -> None:
            found["b"] = await listener.channel(SCRIPT, me="b", peer="a")

        async with anyio.create_task_group() as group:
            group.start_soon(accept)
            found["a"] = await connection.channel(SCRIPT, me="a", peer="b")
        yield found["a"], found["b"]


async def pushed(n: int) -> float:
    """Both ends are called with what comes, as players are."""
    async with ends("fast") as (a, b):
        over = anyio.Event()

        def at_b(frame: Frame) -> None:
            b.try_send(Frame(Kind.MSG, "Pong", "pong", frame.data + 1, 0, frame.seq, frame.seq))

        def at_a(frame: Frame) -> None:
            if frame.seq * 2 >= n:
                over.set()
            else:
                a.try_send(Frame(Kind.MSG, "Ping", "ping", frame.data, 0, frame.seq + 1, frame.seq))

        b.listen(at_b, lambda _: None)
        a.listen(at_a, lambda _: None)
        began = perf_counter()
        a.try_send(Frame(Kind.MSG, "Ping", "ping", 0, 0, 1, 0))
        await over.wait()
        return (perf_counter() - began) / n


async def pulled(transport: Transport, n: int) -> float:
    """Both ends are tasks that wait for what comes."""
    async with ends(transport) as (a, b):

        async def answer() -> None:
            for seq in range(1, n // 2 + 1):
                frame = await b.receive()
                await b.send(Frame(Kind.MSG, "Pong", "pong", frame.data + 1, 0, seq, seq))

        seconds = 0.0
        async with anyio.create_task_group() as group:
            group.start_soon(answer)
            began = perf_counter()
            for seq in range(1, n // 2 + 1):
                await a.send(Frame(Kind.MSG, "Ping", "ping", seq, 0, seq, seq))
                await a.receive()
            seconds = perf_counter() - began
        return seconds / n


class Naive:
    """A length, then msgpack, over anyio's streams, as one writes it first."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.buffered = BufferedByteReceiveStream(stream)

    async def send(self, number: int) -> None:
        data = msgspec.msgpack.encode(number)
        await self.stream.send(LENGTH.pack(len(data)) + data)

    async def receive(self) -> int:
        (size,) = LENGTH.unpack(await self.buffered.receive_exactly(LENGTH.size))
        return msgspec.msgpack.decode(await self.buffered.receive_exactly(size), type=int)


async def naive(n: int) -> float:
    async def answer(stream: SocketStream) -> None:
        async with stream:
            end = Naive(stream)
            for _ in range(n // 2):
                await end.send(await end.receive() + 1)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    seconds = 0.0
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            end = Naive(stream)
            began = perf_counter()
            for number in range(n // 2):
                await end.send(number)
                await end.receive()
            seconds = perf_counter() - began
        group.cancel_scope.cancel()
    return seconds / n


async def sent(size: int, n: int) -> float:
    """Seconds for a chunk that is hashed on both sides."""
    data = bytes(size)
    async with ends("fast") as (a, b):
        over = anyio.Event()
        there, here = hashlib.blake2b(), hashlib.blake2b()

        def take(frame: Frame) -> None:
            there.update(frame.data)
            if frame.seq == n:
                over.set()

        b.listen(take, lambda _: None)
        began = perf_counter()
        for seq in range(1, n + 1):
            here.update(data)
            await a.send(Frame(Kind.MSG, "Ping", "chunk", data, 0, seq, seq))
        await over.wait()
        assert here.digest() == there.digest()
        return (perf_counter() - began) / n


async def hashed(size: int, n: int) -> float:
    """Seconds for the two hashes alone."""
    data = bytes(size)
    began = perf_counter()
    hashes = hashlib.blake2b(), hashlib.blake2b()
    for _ in range(n):
        for each in hashes:
            each.update(data)
    return (perf_counter() - began) / n


def side(name: str, work: Callable[[int], Coroutine[Any, Any, float]]) -> Side:
    return Side(name, lambda n: asyncio.run(work(n)))


def rows(effort: Effort) -> Iterator[Row]:
    theirs = side("anyio streams, naively", naive)
    few = Effort(min(effort.rounds, 10), effort.scale)
    for name, least, what, work in (
        ("tcp", 4.0, "one message of a ping-pong over TCP", pushed),
        ("tcp-tasks", 1.5, "the same, received by tasks", partial(pulled, "fast")),
        ("tcp-anyio", 0.5, "the same, over anyio's streams", partial(pulled, "anyio")),
    ):
        ours = side("channels", work)
        yield compare(name, what, ours, theirs, Target(least=least), few, operations=2000)
    for name, size, most in (("tcp-4k", 4 * 1024, 5.0), ("tcp-1m", 1024 * 1024, 2.0)):
        ours, alone = side("channels", partial(sent, size)), side("two hashes alone", partial(hashed, size))
        what = f"{size} bytes sent, and hashed on both sides"
        many = min(1000, 16 * 1024 * 1024 // size)
        yield compare(name, what, ours, alone, Target(most=most), few, operations=many)
