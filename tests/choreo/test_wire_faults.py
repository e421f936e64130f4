"""What networks do to bytes, at every place: whatever it is, both ends come to an end, and each can say why."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.frames import ChannelClosed
from amachine.choreography.playing.joining import Joined
from amachine.choreography.whole import Choreography
from amachine.choreography.wire.terms import Terms
from amachine.errors import ProtocolError
from tests.choreo.linked import MemoryPipe, Opens, piped
from tests.choreo.plays import PINGPONG, Alice, Bob
from tests.thorough import MORE
from tests.virtual import anyio_backend as anyio_backend

PLAY = Choreography(PINGPONG.start, roles=PINGPONG.roles, patience=20)
TERMS = Terms(beat=1, patience=5)
STEP = max(1, 23 // MORE)

Alter = Callable[[int, bytes], bytes]


async def played(
    alter: Alter, *, at_bob: bool = False, cut: int | None = None
) -> tuple[list[Ending | str], int]:
    """A session in which one end's bytes are altered: the endings of both roles, and how many bytes that end sent."""
    door = Opens(PLAY, "Bob")
    one, other = piped(TERMS, door)
    victim = other if at_bob else one
    victim.alter = alter
    endings: list[Ending | str] = ["", ""]

    async def carry() -> None:
        while not (one.is_closed and other.is_closed):
            if not (one.carry() or other.carry()):
                await anyio.sleep(0.01)
            if cut is not None and victim.sent >= cut:
                one.abort()
                other.abort()
            await anyio.lowlevel.checkpoint()

    async def alice() -> None:
        try:
            channel = await one.connection.channel(PLAY, me=Alice, peer=Bob, session="s")
        except ProtocolError as error:
            endings[0] = str(error)
            return
        async with Joined(PLAY, Alice, Alice(), {Bob: channel}) as role:
            endings[0] = await role.ended()

    async def bob() -> None:
        while door.channel is None and not other.is_closed and not endings[0]:  # noqa: ASYNC110  # time is only counted
            await anyio.sleep(0.01)
        if door.channel is None:
            endings[1] = other.connection.why or "nobody came"
            return
        async with Joined(PLAY, Bob, Bob(), {Alice: door.channel}) as role:
            endings[1] = await role.ended()

    with anyio.fail_after(100):
        async with anyio.create_task_group() as group:
            for pipe in (one, other):
                group.start_soon(pipe.connection.watch)
            group.start_soon(carry)
            async with anyio.create_task_group() as roles:
                roles.start_soon(alice)
                roles.start_soon(bob)
            await one.connection.aclose()
            await other.connection.aclose()
    return endings, victim.sent


async def test_bytes_that_come_one_by_one_play_the_same() -> None:
    def split(pipe: MemoryPipe) -> Alter:
        def altered(before: int, data: bytes) -> bytes:
            for at in range(len(data) - 1):
                pipe.other.connection.fed(data[at : at + 1])
            return data[-1:]

        return altered

    door = Opens(PLAY, "Bob")
    one, other = piped(TERMS, door)
    one.alter, other.alter = split(one), split(other)

    async def carry() -> None:
        while True:
            one.carry()
            other.carry()
            await anyio.sleep(0.01)

    with anyio.fail_after(100):
        async with anyio.create_task_group() as group:
            group.start_soon(carry)
            channel = await one.connection.channel(PLAY, me=Alice, peer=Bob)
            assert door.channel is not None
            async with (
                Joined(PLAY, Alice, Alice(), {Bob: channel}) as alice,
                Joined(PLAY, Bob, Bob(), {Alice: door.channel}) as bob,
            ):
                assert [(await role.ended()).state for role in (alice, bob)] == ["Done", "Done"]
            group.cancel_scope.cancel()


@pytest.mark.parametrize("at_bob", [False, True], ids=["from alice", "from bob"])
async def test_a_bit_that_flips_anywhere_ends_both_ends(at_bob: bool) -> None:
    endings, size = await played(lambda _, data: data, at_bob=at_bob)
    assert endings == [Ending("Alice", "Done"), Ending("Bob", "Done")]

    def flip(place: int) -> Alter:
        def altered(before: int, data: bytes) -> bytes:
            at = place - before
            return data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :] if 0 <= at < len(data) else data

        return altered

    for place in range(0, size, STEP):
        found, _ = await played(flip(place), at_bob=at_bob)
        for ending in found:
            assert ending
            if isinstance(ending, Ending):
                assert ending.state == "Done" or ending.why


def cut_at(place: int) -> Alter:
    return lambda before, data: data[: max(0, place - before)]


@pytest.mark.parametrize("at_bob", [False, True], ids=["alice", "bob"])
async def test_an_end_that_dies_at_any_step_ends_the_other(at_bob: bool) -> None:
    _, size = await played(lambda _, data: data, at_bob=at_bob)
    for place in range(0, size, 2 * STEP):
        found, _ = await played(cut_at(place), at_bob=at_bob, cut=place)
        assert all(found)


async def test_silence_for_some_beats_is_the_end_of_all_sessions() -> None:
    door = Opens(PLAY, "Bob")
    one, other = piped(TERMS, door)
    async with anyio.create_task_group() as group:
        group.start_soon(one.connection.watch)

        async def carry() -> None:
            for _ in range(10):
                one.carry()
                other.carry()
                await anyio.sleep(0.01)

        group.start_soon(carry)
        channel = await one.connection.channel(PLAY, me=Alice, peer=Bob)
        began = anyio.current_time()
        with pytest.raises(ChannelClosed, match="nothing was heard of it for 3 s") as closed:
            await channel.receive()
        assert closed.value.reason is None
        assert anyio.current_time() - began == pytest.approx(3, abs=1.1)
        assert one.connection.why == "nothing was heard of it for 3 s"


async def test_beats_keep_a_quiet_connection() -> None:
    door = Opens(PLAY, "Bob")
    one, other = piped(TERMS, door)

    async def carry() -> None:
        while True:
            one.carry()
            other.carry()
            await anyio.sleep(0.1)

    async with anyio.create_task_group() as group:
        for work in (one.connection.watch, other.connection.watch, carry):
            group.start_soon(work)
        await one.connection.channel(PLAY, me=Alice, peer=Bob)
        await anyio.sleep(60)
        assert one.connection.why is None
        assert other.connection.why is None
        group.cancel_scope.cancel()


async def test_who_says_nothing_is_dropped_after_the_patience() -> None:
    _, other = piped(TERMS, Opens(PLAY, "Bob"))
    began = anyio.current_time()
    await other.connection.watch()
    assert anyio.current_time() - began == pytest.approx(5)
    assert other.connection.why == "no HELLO came within 5 s"
