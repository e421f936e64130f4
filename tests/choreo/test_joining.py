"""One role at a time: over memory, over TCP, as a server for many."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from amachine.choreography import wire
from amachine.choreography.playing.endings import Ending, PlayFailed, Violation
from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.memory import memory_pair
from amachine.choreography.whole import Choreography
from amachine.choreography.wire.serving import Caller
from tests.choreo.acted import acted, cast
from tests.choreo.built import two_phase
from tests.choreo.linked import linked
from tests.choreo.plays import PINGPONG, SEND_FILE, Alice, Bob, Receiver, Sender

PLAY = Choreography(PINGPONG.start, roles=PINGPONG.roles)
FILE = Choreography(SEND_FILE.start, roles=SEND_FILE.roles)
VOTE = acted(two_phase(), patience=5)
TRANSPORTS: tuple[wire.Transport, ...] = ("auto", "anyio")


@asynccontextmanager
async def limited(seconds: float = 20) -> AsyncGenerator[None]:
    with anyio.fail_after(seconds):
        yield


class Failing(Bob):
    """Cannot take down the number that it is told."""

    def __setattr__(self, name: str, value: object) -> None:
        if value == 1:
            raise RuntimeError("out of chalk")
        super().__setattr__(name, value)


async def test_two_roles_that_join_over_memory_end_in_the_exit() -> None:
    a, b = memory_pair("Alice", "Bob")
    async with (
        limited(),
        Joined(PLAY, Alice, Alice(), {Bob: a}) as alice,
        Joined(PLAY, "Bob", Bob(), {"Alice": b}) as bob,
    ):
        assert await alice.ended() == Ending("Alice", "Done")
        assert await bob.ended() == Ending("Bob", "Done")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_in_three_lines_plays_with_everybody_who_comes(transport: wire.Transport) -> None:
    ended: list[tuple[Caller, Ending]] = []
    received: list[Receiver] = []

    def make(caller: Caller) -> Receiver:
        received.append(Receiver())
        return received[-1]

    sent = Sender()
    async with (
        limited(),
        wire.serve(
            FILE,
            Receiver,
            make,
            transport=transport,
            on_end=lambda caller, ending: ended.append((caller, ending)),
        ) as server,
        wire.connect("127.0.0.1", server.port, transport=transport) as connection,
    ):

        async def send() -> None:
            channel = await connection.channel(FILE, me=Sender, peer=Receiver)
            async with Joined(FILE, Sender, Sender(), {Receiver: channel}) as role:
                assert (await role.ended()).state == "Done"

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(send)
        await server.drain()
        assert server.served == 5
    assert [each.received for each in received] == [sent.data] * 5
    assert {ending.state for _, ending in ended} == {"Done"}
    assert len({caller.session for caller, _ in ended}) == 5
    assert all(caller.addresses["Sender"].startswith("127.0.0.1:") for caller, _ in ended)


async def test_who_is_told_of_an_ending_may_take_its_time() -> None:
    ended: list[Ending] = []

    async def keep(_: Caller, ending: Ending) -> None:
        await anyio.lowlevel.checkpoint()
        ended.append(ending)

    async with (
        limited(),
        wire.serve(PLAY, Bob, lambda _: Bob(), on_end=keep) as server,
        wire.connect("127.0.0.1", server.port) as connection,
    ):
        channel = await connection.channel(PLAY, me=Alice, peer=Bob)
        async with Joined(PLAY, Alice, Alice(), {Bob: channel}) as role:
            await role.ended()
        await server.drain()
    assert [each.state for each in ended] == ["Done"]


def bob(_: Caller) -> Bob:
    """Somebody new in each session."""
    return Bob()


@pytest.mark.parametrize(
    ("make", "options", "error", "said"),
    [
        (
            Bob(),
            {},
            TypeError,
            "Bob is played with an object of its own in every session, not with Bob.*: lambda caller: Bob",
        ),
        (object, {}, TypeError, "object.* cannot be called with a Caller .*lambda caller: Bob"),
        (
            bob,
            {"atonce": 3},
            TypeError,
            r"serve has no option atonce \(did you mean 'at_once'\?\)",
        ),
        (bob, {"engine": "tabel"}, ValueError, r"engine='tabel' \(did you mean 'table'\?\)"),
        (bob, {"patience": 0}, ValueError, "patience=0: it is a number of seconds above 0"),
    ],
    ids=["an object", "a class", "no option", "engine", "patience"],
)
async def test_what_could_only_fail_in_every_session_is_refused_at_once(
    make: Any, options: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        async with limited(), wire.serve(PLAY, Bob, make, **options):
            pass


async def test_who_is_not_let_in_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "amachine")
    newer = acted(attrs.evolve(two_phase(), closing=True))
    terms = wire.Terms(patience=0.3)
    async with limited(), wire.serve(VOTE, "k", lambda _: object(), token="t", terms=terms) as server:
        async with wire.connect("127.0.0.1", server.port) as connection:
            with pytest.raises(wire.HandshakeError):
                await connection.channel(VOTE, me="x", peer="k")
        async with wire.connect("127.0.0.1", server.port, token="t") as connection:
            with pytest.raises(wire.VersionMismatch):
                await connection.channel(newer, me="x", peer="k", session="s6")
            channel = await connection.channel(VOTE, me="x", peer="k", session="s7")
            with pytest.raises(ChannelClosed):
                await channel.receive()
    said = caplog.text
    assert "was refused: x plays another version" in said
    assert "was refused: a token is needed" in said
    assert "y did not come to session 's7', of x at 127.0.0.1:" in said


async def test_a_session_of_three_begins_when_all_have_come() -> None:
    roles = cast(VOTE.script.roles)
    endings: dict[str, Ending] = {}

    async def take_part(role: str, channels: dict[str, Any]) -> None:
        async with Joined(VOTE, role, roles[role], channels) as joined:
            endings[role] = await joined.ended()

    def keep(_: Caller, ending: Ending) -> None:
        endings[ending.role] = ending

    async with limited(), wire.serve(VOTE, "k", lambda _: roles["k"], on_end=keep) as server:
        address = "127.0.0.1", server.port
        async with wire.connect(*address) as one, wire.connect(*address) as other:
            to_x = await one.channel(VOTE, me="x", peer="k", session="s")
            assert not server.playing
            to_y = await other.channel(VOTE, me="y", peer="k", session="s")
            x, y = memory_pair("x", "y")
            async with anyio.create_task_group() as group:
                group.start_soon(take_part, "x", {"k": to_x, "y": x})
                group.start_soon(take_part, "y", {"k": to_y, "x": y})
            await server.drain()
    assert {role: ending.state for role, ending in endings.items()} == {"k": "Done", "x": "Done", "y": "Done"}


async def test_what_a_handler_raises_ends_both_sides_and_the_server_goes_on() -> None:
    ended: list[Ending] = []
    contexts: list[Any] = [Failing, Bob]
    async with (
        limited(),
        wire.serve(
            PLAY, Bob, lambda caller: contexts.pop(0)(), on_end=lambda _, ending: ended.append(ending)
        ) as server,
        wire.connect("127.0.0.1", server.port) as connection,
    ):
        states: list[Ending] = []
        for _ in range(2):
            channel = await connection.channel(PLAY, me=Alice, peer=Bob)
            async with Joined(PLAY, Alice, Alice(count=1), {Bob: channel}) as role:
                states.append(await role.ended())
        await server.drain()
    assert [each.state for each in ended] == ["Aborted", "Done"]
    assert str(ended[0].error) == "out of chalk"
    assert [each.state for each in states] == ["Aborted", "Done"]
    assert "out of chalk" in states[0].why


async def test_a_context_that_cannot_be_made_sends_the_caller_home() -> None:
    ended: list[Ending] = []

    async def make(caller: Caller) -> Bob:
        raise OSError("no room")

    async with (
        limited(),
        wire.serve(PLAY, Bob, make, on_end=lambda _, ending: ended.append(ending)) as server,
        wire.connect("127.0.0.1", server.port) as connection,
    ):
        channel = await connection.channel(PLAY, me=Alice, peer=Bob)
        async with Joined(PLAY, Alice, Alice(), {Bob: channel}) as role:
            ending = await role.ended()
    assert "Bob cannot play" in ending.why
    assert "no room" in ended[0].why


async def test_leaving_early_says_goodbye_and_the_other_end_is_told() -> None:
    a, b = memory_pair("Alice", "Bob")
    async with limited(), Joined(PLAY, Bob, Bob(), {Alice: b}) as bob:
        async with Joined(PLAY, Alice, Alice(), {Bob: a}) as alice:
            pass
        assert alice.ending is not None
        assert alice.ending.aborted
        ending = await bob.ended()
        assert "cancelled" in ending.why
        with pytest.raises(PlayFailed, match="cancelled"):
            await bob.ended(raise_errors=True)


async def test_a_role_in_a_machine_can_be_waited_for() -> None:
    a, b = memory_pair("Alice", "Bob")
    async with (
        limited(),
        Joined(PLAY, Alice, Alice(), {Bob: a}, engine="machine") as alice,
        Joined(PLAY, Bob, Bob(), {Alice: b}) as bob,
    ):
        assert alice.machine is not None
        await alice.when("Done")
        assert (await bob.ended()).state == "Done"
        with pytest.raises(RuntimeError, match="engine='machine'"):
            bob.when("Done")


async def test_a_frame_of_a_wrong_type_is_a_violation_on_this_side_and_told_on_the_other() -> None:
    async with limited(), linked(PLAY, Alice, Bob) as (alice, at_bob):
        (ping, *_) = (scene.id for scene in PLAY.script.scenes.values() if scene.name == "Ping")
        async with Joined(PLAY, Bob, Bob(), {Alice: at_bob}) as bob:
            alice.try_send(Frame(Kind.MSG, ping, "ping", "five", 0, 1, 1))
            ending = await bob.ended()
        assert isinstance(ending.error, Violation)
        assert "Ping.ping" in ending.why.replace("[Alice, Bob, Exit]", "")
        with pytest.raises(ChannelClosed, match="Ping"):
            await alice.receive()


def test_missing_channels_and_wrong_ones_are_named() -> None:
    a, _ = memory_pair("Alice", "Bob")
    with pytest.raises(LookupError, match="no channel to Bob"):
        Joined(PLAY, Alice, Alice(), {})
    with pytest.raises(LookupError, match=r"no role Bobb.*did you mean 'Bob'"):
        Joined(PLAY, Alice, Alice(), {"Bobb": a})
    with pytest.raises(ValueError, match="from Alice to Bob"):
        Joined(PLAY, Bob, Bob(), {Alice: a})
