"""What somebody hostile can say over a wire: it ends one session or one connection, soon, and nothing and nobody else."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import ByteStream

from amachine.choreography import wire
from amachine.choreography.playing.agreement import LAST
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.memory import memory_pair
from amachine.choreography.whole import Choreography
from amachine.choreography.wire.connection import MOST, Connection
from amachine.choreography.wire.framing import HEAD, Head, Parser, pack
from amachine.choreography.wire.handshake import HandshakeError, VersionMismatch, difference, read_hello
from amachine.choreography.wire.serving import Caller
from amachine.choreography.wire.wiring import wiring_of
from amachine.errors import RestoreError
from amachine.testing import virtual_clock
from tests.choreo.acted import Actor, acted
from tests.choreo.alone import Alone
from tests.choreo.built import pingpong, sendfile
from tests.choreo.linked import MemoryPipe, Opens, piped
from tests.choreo.plays import PINGPONG, SALE, Bob, Shop
from tests.choreo.test_regions import sale
from tests.choreo.test_rejoin import TWO

PLAY = Choreography(PINGPONG.start, roles=PINGPONG.roles)
SHOP = Choreography(SALE.start, roles=SALE.roles, mortal=SALE.mortal)
HERE = Path(__file__).parent
TERMS = wire.Terms(patience=0.2)
ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u2028"
VIRTUAL = pytest.mark.parametrize(
    "anyio_backend", [virtual_clock("asyncio"), virtual_clock("trio")], ids=["asyncio", "trio"]
)
TRANSPORTS: tuple[wire.Transport, ...] = ("auto", "anyio")


def hello(played: Any, role: str, to: str, session: str, **said: Any) -> bytes:
    whole = {
        "magic": "amachine",
        "version": 1,
        "fingerprint": wiring_of(played).fingerprint,
        "session": session,
        "role": role,
        "to": to,
        "codec": "amachine-1",
        "window": 64,
        "beat": 5.0,
    }
    return msgspec.msgpack.encode(whole | said)


def control(data: object) -> bytes:
    return msgspec.msgpack.encode((data, "", ""))


class Raw:
    """Somebody who connects, and says whatever it likes."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.frames: list[tuple[Kind, int, bytes]] = []
        self.parser = Parser(lambda head: 2**20, self.arrived)

    def arrived(self, head: Head, payload: memoryview) -> None:
        self.frames.append((Kind(head.kind), head.session, bytes(payload)))

    async def say(self, kind: Kind, number: int, payload: bytes = b"", **head: Any) -> None:
        await self.stream.send(pack(kind, number, len(payload), **head) + payload)

    async def hears(self) -> tuple[Kind, int, bytes]:
        with anyio.fail_after(5):
            while not self.frames:
                self.parser.feed(await self.stream.receive())
        return self.frames.pop(0)

    async def is_dropped(self) -> None:
        with anyio.fail_after(5):
            try:
                while True:
                    await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass


@asynccontextmanager
async def raw(port: int) -> AsyncGenerator[Raw]:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        yield Raw(stream)


async def until(happened: Callable[[], object]) -> None:
    with anyio.fail_after(5):
        while not happened():  # noqa: ASYNC110  # it happens beyond a socket
            await anyio.sleep(0.005)


# What one session does to others.


async def test_who_fails_before_the_others_have_come_ends_that_session_and_no_other() -> None:
    ended: dict[str, Ending] = {}
    async with (
        wire.serve(
            SHOP, "Shop", lambda _: Shop(), on_end=lambda c, e: ended.update({c.session: e})
        ) as server,
        raw(server.port) as customer,
        raw(server.port) as bank,
    ):
        for session, number in (("innocent", 1), ("evil", 2)):
            await bank.say(Kind.HELLO, number, hello(SHOP, "Bank", "Shop", session))
            assert (await bank.hears())[0] is Kind.HELLO
            if session == "evil":
                await bank.say(Kind.ERR, number, control("x" * 65_000))
                await anyio.wait_all_tasks_blocked()
            said = hello(SHOP, "Customer", "Shop", session)
            late = control("x" * 65_000)
            failed = pack(Kind.ERR, number, len(late)) + late if session == "evil" else b""
            await customer.stream.send(pack(Kind.HELLO, number, len(said)) + said + failed)
        await until(lambda: "evil" in ended)
        assert ended["evil"].aborted
        assert set(server.playing) == {"innocent"}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("when", ["at once", "later"])
async def test_a_cancellation_inside_of_what_makes_a_context_ends_that_session_and_no_other(
    when: str,
) -> None:
    ended: dict[str, Ending] = {}
    playing: set[str] = set()

    def at_once(_: Caller) -> Bob:
        raise asyncio.CancelledError

    async def later(_: Caller) -> Bob:
        raise asyncio.CancelledError

    def make(caller: Caller) -> Bob | Awaitable[Bob]:
        if caller.session == "evil":
            return at_once(caller) if when == "at once" else later(caller)
        return Bob()

    async with (
        wire.serve(PLAY, "Bob", make, on_end=lambda c, e: ended.update({c.session: e})) as server,
        raw(server.port) as alice,
    ):
        for number, session in enumerate(("innocent", "evil"), 1):
            await alice.say(Kind.HELLO, number, hello(PLAY, "Alice", "Bob", session))
        await until(lambda: "evil" in ended)
        playing = set(server.playing)
    assert ended["evil"].why == "no context for Bob could be made: what it waited for was cancelled"
    assert playing == {"innocent"}


async def test_a_server_that_is_closed_while_a_context_is_made_says_that_and_nothing_else() -> None:
    ended: list[Ending] = []
    began = anyio.Event()

    async def make(_: Caller) -> Bob:
        began.set()
        await anyio.sleep_forever()
        return Bob()

    async with (
        wire.serve(PLAY, "Bob", make, on_end=lambda _, ending: ended.append(ending)) as server,
        raw(server.port) as alice,
    ):
        await alice.say(Kind.HELLO, 1, hello(PLAY, "Alice", "Bob", "s"))
        await began.wait()
    assert [each.why for each in ended] == ["the server was closed"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
async def test_a_function_that_raises_a_cancellation_has_failed(late: bool) -> None:
    def raises(_: Actor) -> None:
        raise asyncio.CancelledError

    async def waits(_: Actor) -> None:
        inner = asyncio.ensure_future(asyncio.sleep(5))
        inner.cancel()
        await inner

    async def then(alone: Alone) -> None:
        alone.say("alice", "Ping[alice, bob, Exit]", "ping", 1)

    bob = Actor("bob", does={"Ping.on_ping": waits if late else raises})
    ending = await Alone(pingpong(), "bob", bob).run(then)
    assert ending.why == "Ping.on_ping raised RuntimeError: what it waited for was cancelled"


async def test_a_function_that_is_cancelled_by_who_leaves_has_not_failed() -> None:
    alice, bob = memory_pair("alice", "bob")
    began = anyio.Event()

    async def waits(_: Actor) -> None:
        began.set()
        await anyio.sleep_forever()

    me = Actor("alice", does={"Ping.send": waits})
    async with Joined(acted(pingpong()), "alice", me, {"bob": alice}) as joined:
        await began.wait()
    assert joined.ending is not None
    assert joined.ending.why == "cancelled"
    with pytest.raises(ChannelClosed, match="cancelled"):
        await bob.receive()


# Who gets in.


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "more", [b"", pack(Kind.MSG, 1, 16 * 2**20) + b"x" * 100_000], ids=["silent", "loud"]
)
async def test_who_does_not_know_the_token_keeps_no_connection(
    transport: wire.Transport, more: bytes
) -> None:
    async with (
        wire.listen(token="secret", transport=transport) as listener,
        raw(listener.port) as stranger,
    ):
        await stranger.say(Kind.HELLO, 1, hello(PLAY, "Alice", "Bob", "s", token="wrong"))
        await stranger.stream.send(more)
        assert (await stranger.hears())[:2] == (Kind.ERR, 1)
        await stranger.is_dropped()
        connections = listener.connections
        assert all(each.why is not None and len(each.parser.space()) < 2**20 for each in connections)


async def test_nobody_is_thrown_out_by_one_who_says_that_it_comes_back() -> None:
    async with (
        wire.serve(PLAY, "Bob", lambda _: Bob()) as server,
        raw(server.port) as alice,
        raw(server.port) as thief,
    ):
        await alice.say(Kind.HELLO, 1, hello(PLAY, "Alice", "Bob", "game"))
        await until(lambda: server.playing)
        for number, codec in enumerate(("amachine-1", "none"), 1):
            said = hello(PLAY, "Alice", "Bob", "game", resume={}, codec=codec)
            await thief.say(Kind.HELLO, number, said)
            kind, _, why = await thief.hears()
            assert kind is Kind.ERR
            assert b"is here already" in why
        assert set(server.playing) == {"game"}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_never_agrees_upon_tls_counts_as_a_connection(transport: wire.Transport) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(HERE / "localhost.pem")
    terms = wire.Terms(connections=2, patience=30)
    trusts = ssl.create_default_context(cafile=HERE / "localhost.pem")
    async with wire.listen(tls=tls, transport=transport, terms=terms) as listener:
        async with raw(listener.port), raw(listener.port), raw(listener.port) as third:
            await third.is_dropped()
        with anyio.fail_after(5):
            while not listener.connections:  # those who are gone are not counted any more
                try:
                    async with wire.connect("localhost", listener.port, tls=trusts):
                        await until(lambda: listener.connections)
                except OSError:
                    await anyio.sleep(0.01)


# How much there may be.


def test_sessions_that_are_asked_for_and_differ_are_bounded() -> None:
    refused: list[str] = []

    class Counting(Opens):
        def refused(self, error: Exception, /) -> None:
            refused.append(str(error))

    async def ask() -> None:
        one, other = piped(wire.Terms(sessions=5), Counting(PLAY, "Bob"))
        for number in range(1, 50):
            said = hello(PLAY, "Alice", "Bob", f"s{number}", fingerprint="00")
            other.connection.fed(pack(Kind.HELLO, number, len(said)) + said)
        answers: list[int] = []
        parser = Parser(lambda head: 2**20, lambda head, _: answers.append(head.kind))
        parser.feed(b"".join(other.out))
        assert answers == [Kind.HELLO] * 5 + [Kind.ERR] * 44
        one.abort()
        assert len(refused) == 5

    anyio.run(ask)


def stuck() -> tuple[MemoryPipe, Connection]:
    """A connection with an end that does not read, and its pipe."""
    pipe, other = piped(TERMS, Opens(PLAY, "Bob"))
    pipe.paused = other.paused = True
    return other, other.connection


async def test_who_asks_and_never_reads_is_given_up() -> None:
    pipe, connection = stuck()
    size = HEAD + 1000

    def writes(most: int) -> bool:
        """So many bytes. Whether that was too much."""
        for _ in range(most // size):
            connection.write(pack(Kind.BEAT, 1, 1000), b"x" * 1000)
        return connection.why == "it does not read what is said to it" and pipe.is_closed

    assert not writes(MOST)
    connection.resumed()
    assert not writes(MOST)
    assert writes(size)
    pipe.out.clear()
    assert writes(size)
    assert not pipe.out


def test_a_script_with_a_type_that_grows_a_thousandfold_is_told_apart_at_once() -> None:
    """One type of a few kilobytes, and ten thousand branches that carry it."""
    scenes = [
        {
            "id": "A" if at == 0 else f"B{at}",
            "sender": "Alice",
            "receivers": ["Bob"],
            "branches": [{"label": f"{n}", "next": "A", "payload": "T"} for n in range(250)],
        }
        for at in range(12)
    ]
    document = {"version": 1, "name": "x", "roles": ["Alice", "Bob"], "start": "A"}
    script = json.dumps(document | {"scenes": scenes, "types": {"T": [{}] * 15_000}}, separators=(",", ":"))
    said = hello(PLAY, "Alice", "Bob", "s", fingerprint="00", script=script)
    theirs = read_hello(memoryview(said))
    began = time.process_time()
    assert difference(theirs, PLAY.script)
    assert time.process_time() - began < 1


# What is said to people.


async def test_control_characters_of_others_reach_nobody() -> None:
    ended: list[Ending] = []
    async with (
        wire.serve(PLAY, "Bob", lambda _: Bob(), on_end=lambda _, ending: ended.append(ending)) as server,
        raw(server.port) as alice,
    ):
        await alice.say(Kind.HELLO, 1, hello(PLAY, "Alice", "Bob", "s"))
        await until(lambda: server.playing)
        await alice.say(Kind.ERR, 1, control(ESCAPES))
        await until(lambda: ended)
        assert ended[0].why.isprintable()
        assert "]0;owned" in ended[0].why
        await alice.say(Kind.ERR, 0, control(ESCAPES))
        await until(lambda: all(each.why for each in server.listener.connections))
        assert all((each.why or "").isprintable() for each in server.listener.connections)


def answer(**said: Any) -> bytes:
    return hello(PLAY, "Bob", "Alice", "s", **said)


Lie = tuple[Kind, Callable[[], bytes], type[HandshakeError]]
LIES: dict[str, Lie] = {
    "refuses": (Kind.ERR, lambda: control(ESCAPES), HandshakeError),
    "differs": (Kind.HELLO, lambda: answer(fingerprint="00"), VersionMismatch),
    "differs in a scene": (
        Kind.HELLO,
        lambda: answer(fingerprint="00", scenes={"": "x", "A" + ESCAPES: "y"}),
        VersionMismatch,
    ),
    "differs unspeakably": (Kind.HELLO, lambda: answer(fingerprint=ESCAPES), HandshakeError),
    "is no hello": (Kind.HELLO, lambda: b"\xc1", HandshakeError),
    "is no control": (Kind.ERR, lambda: b"\xc1", HandshakeError),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_of_a_liar_is_told_at_once_and_in_plain_words(lie: str) -> None:
    """Also one that cannot be read: nobody waits until patience is over."""
    kind, payload, error = LIES[lie]
    one, _ = piped(wire.Terms(patience=60), Opens(PLAY, "Bob"))
    said: list[str] = []

    async def ask() -> None:
        with pytest.raises(error) as refused:
            await one.connection.channel(PLAY, me="Alice", peer="Bob", session="s")
        said.append(str(refused.value))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            one.connection.fed(pack(kind, 1, len(payload())) + payload())
    assert said[0].isprintable()


# What is waited for, and come back to.


@pytest.mark.parametrize("epoch", [-1, LAST, 10**9, "1", 0.5, None], ids=str)
async def test_what_no_role_has_kept_is_refused_where_it_is_given(epoch: Any) -> None:
    worker, _ = memory_pair("worker", "boss")
    data = {"format": 1, "role": "worker", "epoch": epoch, "regions": {"Work": None}}
    with pytest.raises(RestoreError):
        Joined(TWO, "worker", Actor("worker"), {"boss": worker}, resume=data)


@pytest.mark.parametrize(
    "data", [{}, {"regions": []}, {"format": 1, "epoch": 0, "regions": {"X": 0}}], ids=str
)
async def test_what_is_nothing_that_is_kept_is_refused_where_it_is_given(data: Any) -> None:
    worker, _ = memory_pair("worker", "boss")
    with pytest.raises(RestoreError):
        Joined(TWO, "worker", Actor("worker"), {"boss": worker}, resume={"role": "worker"} | data)


@VIRTUAL
async def test_after_the_last_epoch_no_region_provides_for_anything() -> None:
    async def then(alone: Alone) -> None:
        alone.say("customer", "Order", "order", 1)
        await anyio.wait_all_tasks_blocked()
        assert alone.player.troubles.council is not None
        alone.player.troubles.council.number = LAST - 1
        alone.player.lost("bank", "killed")

    ending = await Alone(sale(), "shop").run(then)
    assert ending.why == "bank was lost: killed; shop still needed bank in AwaitCharged"
    assert anyio.current_time() < 1


@VIRTUAL
async def test_who_lies_about_its_progress_is_believed_as_long_as_there_could_be_any() -> None:
    lamport = 0

    async def lies(alone: Alone) -> None:
        nonlocal lamport
        try:
            while True:
                frame = await alone.ends["receiver"].receive()
                if frame.kind is Kind.BEAT:
                    lamport += 1
                    said = Frame(Kind.BEAT, data={"since": 0.0}, lamport=lamport)
                    alone.ends["receiver"].try_send(said)
        except ChannelClosed:
            pass

    sender = Actor(choices={"Send": ("check",)})
    ending = await Alone(sendfile("Failed"), "sender", sender, patience=9).run(lies)
    assert "receiver was lost: nothing came for 60 s" in ending.why
    assert 60 <= anyio.current_time() < 61
