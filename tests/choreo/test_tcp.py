"""Channels over TCP: both pipes, both event loops; who is let in; what one session does to another; how it ends."""

# ruff: noqa: SIM117  # a listener is one thing, who connects to it another

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from amachine.choreography import wire
from amachine.choreography.playing.frames import Channel, ChannelClosed, Frame, Kind
from amachine.choreography.wire.framing import pack
from tests.choreo.built import pingpong, sendfile
from tests.choreo.linked import linked

PLAY = pingpong()
PING = "Ping[alice, bob, Exit]"
FILE = sendfile()
HERE = Path(__file__).parent
BYE = Frame(Kind.BYE, data="done")
QUICK = wire.Terms(patience=0.5)


@pytest.fixture(params=["asyncio auto", "asyncio anyio", "trio auto"])
def setting(request: pytest.FixtureRequest) -> str:
    """Both event loops; on asyncio, both pipes."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def anyio_backend(setting: str) -> str:
    return setting.partition(" ")[0]


@pytest.fixture
def transport(setting: str) -> wire.Transport:
    return "anyio" if setting.endswith("anyio") else "auto"


def ping(n: int, seq: int = 1) -> Frame:
    return Frame(Kind.MSG, PING, "ping", n, 0, seq, seq)


@asynccontextmanager
async def listening(**options: Any) -> AsyncGenerator[wire.Listener]:
    with anyio.fail_after(20):
        async with wire.listen(**options) as listener:
            yield listener


async def test_frames_arrive_whole_and_in_order(transport: wire.Transport) -> None:
    with anyio.fail_after(20):
        async with linked(FILE, "sender", "receiver", transport=transport) as (sender, receiver):
            assert isinstance(sender, Channel)
            sizes = [0, 1, 100_000, 3, 3_000_000, 5]

            async def send() -> None:
                for seq, size in enumerate(sizes, 1):
                    await sender.send(
                        Frame(Kind.MSG, "Send", "chunk", bytes([seq]) * size, 2, seq, 2**32 - 3 + seq)
                    )

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                for seq, size in enumerate(sizes, 1):
                    frame = await receiver.receive()
                    assert (frame.seq, frame.epoch, frame.label) == (seq, 2, "chunk")
                    assert frame.data == bytes([seq]) * size
                    assert frame.lamport == 2**32 - 3 + seq
            receiver.try_send(Frame(Kind.LOST, data={"lost": ["x"], "epoch": 3}, epoch=2))
            receiver.try_send(Frame(Kind.INFORM, "CheckHash[Send, Exit]", "ok", None, 2, 1, 9))
            assert await sender.receive() == Frame(Kind.LOST, data={"lost": ["x"], "epoch": 3}, epoch=2)
            assert (await sender.receive()).kind is Kind.INFORM
            await receiver.aclose(Frame(Kind.ERR, data="it fell"))
            await receiver.aclose(BYE)
            with pytest.raises(ChannelClosed, match="it fell") as closed:
                await sender.receive()
            assert closed.value.reason == Frame(Kind.ERR, data="it fell")
            with pytest.raises(ChannelClosed, match="it fell"):
                sender.try_send(ping(1))


async def test_a_session_that_nobody_takes_up_blocks_no_other(transport: wire.Transport) -> None:
    terms = wire.Terms(window=8)
    async with listening(transport=transport, terms=terms) as listener:
        async with wire.connect("127.0.0.1", listener.port, transport=transport) as connection:
            mine, theirs = await _opened(connection, listener, 2)
            sent = 0
            while mine[0].try_send(ping(sent, sent + 1)):
                sent += 1
            assert sent == 8
            for n in range(100):
                await mine[1].send(ping(n, n + 1))
                assert (await theirs[1].receive()).data == n
            assert not mine[0].try_send(ping(0))
            assert [(await theirs[0].receive()).data for _ in range(8)] == list(range(8))
            await mine[0].send(ping(8, 9))
            assert (await theirs[0].receive()).data == 8


async def _opened(
    connection: wire.Connection, listener: wire.Listener, count: int
) -> tuple[list[wire.WireChannel], list[wire.WireChannel]]:
    mine: list[wire.WireChannel] = []
    theirs: list[wire.WireChannel] = []
    for n in range(count):
        async with anyio.create_task_group() as group:

            async def accept(name: str) -> None:
                theirs.append(await listener.channel(PLAY, me="bob", peer="alice", session=name))

            group.start_soon(accept, f"s{n}")
            mine.append(await connection.channel(PLAY, me="alice", peer="bob", session=f"s{n}"))
    return mine, theirs


async def test_senders_wait_their_turn_and_a_closed_channel_wakes_them(transport: wire.Transport) -> None:
    with anyio.fail_after(20):
        async with linked(PLAY, "alice", "bob", transport=transport, terms=wire.Terms(window=1)) as (
            alice,
            bob,
        ):
            woken: list[str] = []

            async def send(n: int) -> None:
                try:
                    await alice.send(ping(n, n))
                except ChannelClosed as closed:
                    woken.append(closed.why)

            async with anyio.create_task_group() as group:
                for n in range(1, 5):
                    group.start_soon(send, n)
                    await anyio.wait_all_tasks_blocked()
                assert [(await bob.receive()).data for _ in range(2)] == [1, 2]
                await bob.aclose(BYE)
            assert woken in (["done"], ["done"] * 2)


async def test_what_was_said_before_the_end_is_received_before_it(transport: wire.Transport) -> None:
    with anyio.fail_after(20):
        async with linked(PLAY, "alice", "bob", transport=transport) as (alice, bob):
            alice.try_send(ping(1))
            await alice.aclose(BYE)
            assert (await bob.receive()).data == 1
            with pytest.raises(ChannelClosed, match="done"):
                await bob.receive()
            with pytest.raises(ChannelClosed, match="this end has closed it"):
                await alice.receive()


async def test_pushed_frames_come_in_order_and_wait_where_there_is_no_room(transport: wire.Transport) -> None:
    with anyio.fail_after(20):
        async with linked(PLAY, "alice", "bob", transport=transport, terms=wire.Terms(window=4)) as (
            alice,
            bob,
        ):
            got: list[Any] = []
            over = anyio.Event()
            room = 2

            def deliver(frame: Frame) -> bool:
                if len(got) == room:
                    return False
                got.append(frame.data)
                return True

            def lost(closed: ChannelClosed) -> None:
                got.append(closed.why)
                over.set()

            bob.listen(deliver, lost)

            async def send() -> None:
                for n in range(10):
                    await alice.send(ping(n, n + 1))
                await alice.aclose(BYE)

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                while not over.is_set():
                    await anyio.wait_all_tasks_blocked()
                    assert len(got) <= room
                    room += 1
                    bob.go_on()
            assert got == [*range(10), "done"]


async def test_a_payload_that_cannot_travel_is_refused_where_it_is_sent(transport: wire.Transport) -> None:
    with anyio.fail_after(20):
        async with linked(FILE, "sender", "receiver", transport=transport, terms=wire.Terms(limit=1000)) as (
            sender,
            receiver,
        ):
            for label, data, said in (
                ("chunk", "text", "Send.chunk: its payload cannot be encoded: expected bytes, got str"),
                ("chunk", bytes(1001), "Send.chunk: its payload takes 1001 bytes, 1000 are allowed"),
                ("nothing", None, "no such branch"),
            ):
                with pytest.raises(wire.Unsendable, match=said):
                    sender.try_send(Frame(Kind.MSG, "Send", label, data, 0, 1))
            with pytest.raises(wire.Unsendable, match="64"):
                sender.try_send(Frame(Kind.MSG, "Size", "size", 2**64, 0, 1))
            assert sender.try_send(Frame(Kind.MSG, "Send", "chunk", bytes(1000), 0, 1))
            assert len((await receiver.receive()).data) == 1000


# Who is let in.


async def test_a_script_that_differs_is_refused_on_both_sides_with_the_scene_that_differs(
    transport: wire.Transport,
) -> None:
    other = sendfile(bad="Failed")
    said: list[str] = []
    async with listening(transport=transport) as listener:
        async with wire.connect("127.0.0.1", listener.port, transport=transport) as connection:

            async def accept() -> None:
                with pytest.raises(wire.VersionMismatch) as found:
                    await listener.channel(FILE, me="receiver", peer="sender", session="s")
                said.append(found.value.difference)

            async with anyio.create_task_group() as group:
                group.start_soon(accept)
                with pytest.raises(wire.VersionMismatch) as found:
                    await connection.channel(other, me="sender", peer="receiver", session="s")
                said.append(found.value.difference)
            assert all("Send" in each or "CheckHash" in each for each in said), said
            mine, _ = await _opened(connection, listener, 1)
            assert mine[0].try_send(ping(1))


@pytest.mark.parametrize(
    ("options", "asked", "said"),
    [
        ({}, {}, "nobody waits here for alice in a session 's'.*did you mean 'ss'"),
        ({"token": "secret"}, {}, "a token is needed"),
        ({"token": "secret"}, {"token": "Secret"}, "the token is wrong"),
        ({}, {"me": "bob", "peer": "bob"}, "both ends play bob"),
        ({}, {"session": "ss", "me": "bob", "peer": "alice"}, "both ends play bob"),
        ({}, {"session": "x" * 1001}, "cannot be opened"),
    ],
    ids=["session", "no token", "token", "same role", "same role there", "name"],
)
async def test_whoever_does_not_fit_hears_why(options: Any, asked: dict[str, Any], said: str) -> None:
    asked = {"me": "alice", "peer": "bob", "session": "s", "token": "", **asked}
    token = asked.pop("token")
    async with listening(terms=QUICK, **options) as listener, anyio.create_task_group() as group:
        group.start_soon(_waits, listener)
        async with wire.connect("127.0.0.1", listener.port, token=token) as connection:
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(wire.HandshakeError, match=said):
                await connection.channel(PLAY, **asked)
        group.cancel_scope.cancel()


async def _waits(listener: wire.Listener) -> None:
    await listener.channel(PLAY, me="bob", peer="alice", session="ss")


async def test_a_role_that_is_taken_is_not_given_twice(transport: wire.Transport) -> None:
    async with listening() as listener, wire.connect("127.0.0.1", listener.port, token="") as connection:
        mine, _ = await _opened(connection, listener, 1)
        with pytest.raises(wire.HandshakeError, match="alice of session 's0' is here already"):
            await connection.channel(PLAY, me="alice", peer="bob", session="s0")
        assert mine[0].try_send(ping(1))


async def test_the_token_that_is_wanted_opens_the_door_and_early_guests_wait() -> None:
    async with listening(token="secret") as listener:
        async with wire.connect("127.0.0.1", listener.port, token="secret") as connection:
            opened: list[wire.WireChannel] = []

            async def come() -> None:
                opened.append(await connection.channel(PLAY, me="alice", peer="bob", session="mine"))

            async with anyio.create_task_group() as group:
                group.start_soon(come)
                await anyio.wait_all_tasks_blocked()
                assert (await listener.channel(PLAY, me="bob", peer="alice")).session == "mine"
            assert opened[0].peer == "bob"


async def test_others_than_this_machine_are_let_in_with_a_token_or_tls_only() -> None:
    with pytest.raises(ValueError, match="token='…'"):
        async with wire.listen(host="0.0.0.0"):
            pass
    async with wire.listen(host="0.0.0.0", token="secret") as listener:
        assert listener.port


async def test_sessions_and_connections_are_limited(transport: wire.Transport) -> None:
    terms = wire.Terms(sessions=1, connections=1)
    async with listening(terms=terms) as listener:
        async with wire.connect("127.0.0.1", listener.port) as connection:
            await _opened(connection, listener, 1)
            with pytest.raises(wire.HandshakeError, match="1 sessions are open"):
                await connection.channel(PLAY, me="alice", peer="bob")
            async with wire.connect("127.0.0.1", listener.port) as second:
                with pytest.raises(wire.HandshakeError, match="1 connections are open"):
                    await second.channel(PLAY, me="alice", peer="bob")


async def test_roles_that_are_none_are_told_before_anything_is_sent() -> None:
    async with listening() as listener, wire.connect("127.0.0.1", listener.port) as connection:
        with pytest.raises(LookupError, match="did you mean 'alice'"):
            await connection.channel(PLAY, me="alicia", peer="bob")


# Peers that do not behave.


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no HELLO came within"),
        (pack(Kind.HELLO, 1, 1000)[:10], "no HELLO came within"),
        (b"GET / HTTP/1.1\r\n\r\n........", "there is no frame of a kind 47"),
        (pack(Kind.HELLO, 1, 0xFFFFFF), "16777215 bytes follow, at most 262144 may"),
        (pack(Kind.HELLO, 1, 4) + b"\x83abc", "no HELLO"),
        (pack(Kind.MSG, 1, 0), "a session that nobody has opened"),
    ],
    ids=["silent", "dribbling", "http", "long", "garbage", "early"],
)
async def test_strangers_are_told_what_was_wrong_and_dropped(
    transport: wire.Transport, data: bytes, said: str
) -> None:
    async with listening(terms=QUICK, transport=transport) as listener:
        async with await anyio.connect_tcp("127.0.0.1", listener.port) as stream:
            if data:
                await stream.send(data)
            answer = b""
            try:
                while True:
                    answer += await stream.receive()
            except anyio.EndOfStream:
                assert said in answer.decode(errors="replace")


async def test_a_connection_that_is_left_says_goodbye_in_every_session(transport: wire.Transport) -> None:
    async with listening(transport=transport) as listener:
        async with wire.connect("127.0.0.1", listener.port, transport=transport) as connection:
            _, theirs = await _opened(connection, listener, 2)
        for channel in theirs:
            with pytest.raises(ChannelClosed, match="cancelled") as closed:
                await channel.receive()
            assert closed.value.reason == Frame(Kind.BYE, data="cancelled")


async def test_who_takes_little_shows_that_it_takes_something(transport: wire.Transport) -> None:
    with anyio.fail_after(20):
        async with linked(FILE, "sender", "receiver", transport=transport) as (sender, receiver):
            seq = 0
            while sender.try_send(Frame(Kind.MSG, "Send", "chunk", b"x", 0, seq + 1, seq + 1)):
                seq += 1
            await receiver.receive()
            await sender.send(Frame(Kind.MSG, "Send", "chunk", b"x", 0, seq + 1, seq + 1))


# TLS, and another process.


async def test_tls_carries_the_same_and_plain_text_is_turned_away(transport: wire.Transport) -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(HERE / "localhost.pem")
    client_side = ssl.create_default_context(cafile=HERE / "localhost.pem")
    options: dict[str, Any] = {"tls": client_side, "hostname": "localhost", "transport": transport}
    async with listening(tls=server_side) as listener:
        async with wire.connect("127.0.0.1", listener.port, **options) as connection:
            mine, theirs = await _opened(connection, listener, 1)
            mine[0].try_send(ping(5))
            assert (await theirs[0].receive()).data == 5
            await mine[0].aclose(BYE)
            with pytest.raises(ChannelClosed, match="done"):
                await theirs[0].receive()
        with pytest.raises((OSError, ssl.SSLError)):
            async with wire.connect(
                "127.0.0.1", listener.port, tls=ssl.create_default_context(), transport=transport, terms=QUICK
            ):
                pass


PROGRAM = """
import sys, anyio
from amachine.choreography import wire
from amachine.choreography.playing.frames import Frame, Kind
from tests.choreo.built import pingpong
play = pingpong()
async def main():
    async with wire.connect("127.0.0.1", int(sys.argv[1])) as connection:
        channel = await connection.channel(play, me="alice", peer="bob", session="two processes")
        for n in range(20):
            await channel.send(Frame(Kind.MSG, "Ping[alice, bob, Exit]", "ping", n, 0, n + 1, n))
            assert (await channel.receive()).data == n + 1
        await channel.receive()
anyio.run(main, backend="trio")
"""


def test_another_process_plays_and_its_death_is_noticed_at_once() -> None:
    async def main() -> None:
        async with listening() as listener:
            command = [sys.executable, "-c", PROGRAM, str(listener.port)]
            async with await anyio.open_process(command, cwd=HERE.parent.parent, stderr=None) as process:
                bob = await listener.channel(PLAY, me="bob", peer="alice", session="two processes")
                for n in range(20):
                    assert (await bob.receive()).data == n
                    await bob.send(Frame(Kind.MSG, "Pong[alice, bob, Exit]", "pong", n + 1, 0, n + 1, n))
                process.kill()
                with pytest.raises(ChannelClosed, match=r"gone|broke") as closed:
                    await bob.receive()
                assert closed.value.reason is None

    anyio.run(main)
