"""Real connections through a proxy that splits, delays and cuts them: what is played is the same, or both ends say why not."""

# ruff: noqa: SIM117  # a listener is one thing, who connects to it another

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import attrs
import pytest

from amachine.choreography import wire
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.joining import Joined
from amachine.choreography.whole import Choreography
from tests.choreo.plays import SALE, SEND_FILE, Receiver, Sender

FILE = Choreography(SEND_FILE.start, roles=SEND_FILE.roles, patience=5)
TRANSPORTS: tuple[wire.Transport, ...] = ("auto", "anyio")


@attrs.define
class Proxy:
    """Between two ends. What it does, it does in both directions."""

    to: int
    """The port behind it."""
    pieces: int = 65536
    """It sends no more bytes at once."""
    delay: float = 0
    """Seconds that everything takes."""
    most: float = float("inf")
    """After so many bytes it breaks the connection."""
    passed: int = 0

    async def carry(self, one: anyio.abc.ByteStream) -> None:
        async with one, await anyio.connect_tcp("127.0.0.1", self.to) as other:
            async with anyio.create_task_group() as group:
                group.start_soon(self.pump, one, other, group)
                group.start_soon(self.pump, other, one, group)

    async def pump(
        self, source: anyio.abc.ByteStream, sink: anyio.abc.ByteStream, group: anyio.abc.TaskGroup
    ) -> None:
        try:
            while True:
                data = await source.receive()
                await anyio.sleep(self.delay)
                for at in range(0, len(data), self.pieces):
                    piece = data[at : at + self.pieces]
                    self.passed += len(piece)
                    if self.passed > self.most:
                        group.cancel_scope.cancel()
                        return
                    await sink.send(piece)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            group.cancel_scope.cancel()


@asynccontextmanager
async def behind(proxy: Proxy) -> AsyncGenerator[int]:
    """The port of a proxy."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, proxy.carry)
            yield listener.extra(anyio.abc.SocketAttribute.local_port)
            group.cancel_scope.cancel()


async def sent(transport: wire.Transport, **does: Any) -> tuple[list[str], Receiver, int]:
    """A file that goes through a proxy: how it ended at both ends, what came, and how many bytes that took."""
    endings: list[Ending | str] = ["", ""]
    receiver = Receiver()

    def ended(_: wire.Caller, ending: Ending) -> None:
        endings[1] = ending

    with anyio.fail_after(20):
        async with wire.serve(
            FILE, Receiver, lambda _: receiver, on_end=ended, transport=transport
        ) as server:
            proxy = Proxy(server.port, **does)
            async with behind(proxy) as port:
                try:
                    async with wire.connect("127.0.0.1", port, transport=transport) as connection:
                        channel = await connection.channel(FILE, me=Sender, peer=Receiver)
                        async with Joined(FILE, Sender, Sender(), {Receiver: channel}) as role:
                            endings[0] = await role.ended()
                except wire.HandshakeError as error:
                    endings[0] = str(error)
                await server.drain()
    return [str(each) for each in endings], receiver, proxy.passed


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("does", [{"pieces": 7}, {"delay": 0.005}], ids=["in pieces", "late"])
async def test_a_file_comes_whole_in_pieces_and_late(transport: wire.Transport, does: dict[str, Any]) -> None:
    endings, receiver, _ = await sent(transport, **does)
    assert endings == ["Sender: Done", "Receiver: Done"]
    assert receiver.received == Sender().data


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_connection_that_breaks_anywhere_ends_both_and_both_say_why(
    transport: wire.Transport,
) -> None:
    _, _, size = await sent(transport)
    for most in range(0, size - 60, size // 6):
        endings, receiver, _ = await sent(transport, most=most, pieces=1000)
        assert receiver.received != Sender().data or "Done" in endings[1]
        for ending, peer in zip(endings, ("Receiver", "Sender"), strict=True):
            assert not ending or "Done" in ending or peer in ending, (most, endings)
        assert endings[0]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_falls_silent_behind_a_connection_that_stands_is_given_up(
    transport: wire.Transport,
) -> None:
    """Beats come, and nothing else: that is what patience is for."""
    sale = Choreography(SALE.start, roles=SALE.roles, mortal=SALE.mortal)
    shop, customer, bank = (role for role in ("Shop", "Customer", "Bank"))
    terms = wire.Terms(beat=0.02)
    ending: Ending | None = None
    with anyio.fail_after(10):
        async with wire.listen(transport=transport, terms=terms) as listener:
            async with wire.connect(
                "127.0.0.1", listener.port, transport=transport, terms=terms
            ) as connection:
                mine: dict[str, Any] = {}

                async def accept(peer: str) -> None:
                    mine[peer] = await listener.channel(sale, me=shop, peer=peer, session="s")

                async with anyio.create_task_group() as group:
                    for peer in (customer, bank):
                        group.start_soon(accept, peer)
                        await connection.channel(sale, me=peer, peer=shop, session="s")
                me = SALE.cast()[SALE.roles[1]]
                async with Joined(sale, shop, me, mine, patience=0.2) as role:
                    ending = await role.ended()
    assert ending is not None
    assert "Customer was lost: nothing came for 0.2 s" in ending.why
