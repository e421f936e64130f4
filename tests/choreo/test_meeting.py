"""`meet`: a channel to everybody of a session, wherever they are, and in whatever order they start."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from amachine.choreography import Choreography, choreography
from amachine.choreography.wire import (
    HandshakeError,
    Listener,
    Terms,
    VersionMismatch,
    Where,
    connect,
    listen,
    meet,
    serve,
)

QUICK = Terms(patience=0.2)


class Buyer:
    title = "Momo"

    def __init__(self) -> None:
        self.told: tuple[int, str] = (0, "")

    def expect(self, price: int, day: str) -> None:
        self.told = price, day


class Seller:
    def quote(self, title: str) -> int:
        return 3 * len(title)

    def ship(self, title: str) -> str:
        return title.upper()


class Courier:
    def collect(self, parcel: str) -> str:
        return f"{parcel} on Friday"


@choreography
def sale(buyer: Buyer, seller: Seller, courier: Courier) -> None:
    buyer.expect(seller.quote(buyer.title), courier.collect(seller.ship(buyer.title)))


@choreography
def older(buyer: Buyer, seller: Seller, courier: Courier) -> None:
    buyer.expect(seller.quote(buyer.title), courier.collect(buyer.title))


async def play(role: str, me: Any, peers: Mapping[Any, Where], *, terms: Terms | None = None) -> None:
    """Meet the others of a session, and play."""
    async with (
        meet(sale, role, peers, session="order-7", terms=terms or Terms()) as channels,
        sale.join(role, me, channels) as joined,
    ):
        await joined.ended(raise_errors=True)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize("order", ["buyer seller courier", "courier seller buyer", "seller courier buyer"])
async def test_three_roles_meet_in_whatever_order_they_start(order: str) -> None:
    ports = {"seller": free_port(), "courier": free_port()}
    at: dict[str, tuple[str, int]] = {role: ("127.0.0.1", port) for role, port in ports.items()}
    buyer = Buyer()
    begun = anyio.Event()

    async def buy() -> None:
        begun.set()
        await play("buyer", buyer, {"seller": at["seller"], "courier": at["courier"]})

    async def sell() -> None:
        async with listen(port=ports["seller"]) as listener:
            begun.set()
            await play("seller", Seller(), {"buyer": listener, "courier": at["courier"]})

    async def carry() -> None:
        async with listen(port=ports["courier"]) as listener:
            begun.set()
            await play("courier", Courier(), {"buyer": listener, "seller": listener})

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for role in order.split():
                begun = anyio.Event()
                group.start_soon({"buyer": buy, "seller": sell, "courier": carry}[role])
                await begun.wait()
    assert buyer.told == (12, "MOMO on Friday")


async def test_roles_at_one_address_share_a_connection_and_one_that_is_open_may_be_given() -> None:
    seen: list[Listener] = []

    async def others(listener: Listener) -> None:
        async def open_as(role: str) -> None:
            await listener.channel(sale, me=role, peer="buyer", session="order-7")

        async with anyio.create_task_group() as group:
            group.start_soon(open_as, "seller")
            group.start_soon(open_as, "courier")
        seen.append(listener)
        assert sum(each.why is None for each in listener.connections) == 1

    with anyio.fail_after(20):
        async with listen() as listener, anyio.create_task_group() as group:
            place = "127.0.0.1", listener.port
            group.start_soon(others, listener)
            async with meet(
                sale, "buyer", {"seller": place, "courier": place}, session="order-7"
            ) as channels:
                assert list(channels) == ["seller", "courier"]
            group.start_soon(others, listener)
            async with (
                connect(*place) as connection,
                meet(
                    sale, "buyer", {"seller": connection, "courier": connection}, session="order-7"
                ) as channels,
            ):
                assert set(connection.sessions) == {"order-7"}
    assert len(seen) == 2


async def test_leaving_says_goodbye_to_everybody() -> None:
    with anyio.fail_after(20):
        async with listen() as listener, connect("127.0.0.1", listener.port) as connection:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: listener.channel(sale, me="seller", peer="buyer", session="x"))
                async with meet(sale, "buyer", {"seller": connection}, session="x"):
                    pass
            assert not connection.sessions


async def test_who_cannot_be_met_is_named_and_the_others_are_let_go() -> None:
    port = free_port()
    with anyio.fail_after(20):
        async with serve(sale, "seller", lambda _: Seller(), terms=QUICK) as server:
            peers: dict[str, Where] = {"seller": ("127.0.0.1", server.port), "courier": ("127.0.0.1", port)}
            with pytest.raises(HandshakeError, match=f"courier cannot be reached at 127.0.0.1:{port}: "):
                await play("buyer", Buyer(), peers, terms=QUICK)
            async with listen() as listener, connect("127.0.0.1", server.port) as connection:
                absent: dict[str, Where] = {"seller": connection, "courier": listener}
                with pytest.raises(HandshakeError, match=r"courier did not come within 0\.2 s"):
                    await play("buyer", Buyer(), absent, terms=QUICK)
                assert not connection.sessions


async def test_another_version_and_a_role_that_is_none_are_refused() -> None:
    with anyio.fail_after(20):
        async with serve(older, "seller", lambda _: Seller()) as server:
            with pytest.raises(VersionMismatch, match="seller plays another version"):
                await play("buyer", Buyer(), {"seller": ("127.0.0.1", server.port)})
        with pytest.raises(LookupError, match=r"sale has no role sellr \(did you mean 'seller'\?\)"):
            await play("buyer", Buyer(), {"sellr": ("127.0.0.1", 1)})
    assert isinstance(sale, Choreography)
