"""Who is through says goodbye: that is no loss while others can still tell what came of it; and what stands before a goodbye."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import anyio
import pytest

from amachine.choreography import Choreography, Exit, Msg, Region, Scene, Sent
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.frames import Channel, Frame, Kind
from amachine.choreography.playing.memory import MemoryChannel, memory_pair
from amachine.choreography.whole import Engine
from tests.virtual import anyio_backend as anyio_backend

Channels = dict[type, dict[type, Channel]]


class Lead:
    """Goes round once, then ends it."""

    rounds = 0


class Early:
    """Is through as soon as it hears that all is over."""


class Busy:
    """Takes its time."""

    waits = 5.0


class Go(Scene[Lead, Early, Busy]):
    more: Msg[None, Work]
    stop: Msg[None, Exit]

    def send(self, me: Lead) -> Sent:
        me.rounds += 1
        return self.more() if me.rounds == 1 else self.stop()


class Work(Scene[Early, Busy]):
    work: Msg[None, Go]

    def send(self, me: Early) -> Sent:
        return self.work()

    async def on_work(self, me: Busy) -> None:
        await anyio.sleep(me.waits)


LOOP = Choreography(Go, roles=[Lead, Early, Busy], name="loop")


async def joined(choreography: Choreography, roles: Sequence[type], channels: Channels) -> dict[str, Ending]:
    """Each role by itself, over these channels. A role that `leaves` does so after a while."""
    endings: dict[str, Ending] = {}

    async def play(role: type) -> None:
        me: Any = role()
        async with choreography.join(role, me, channels[role]) as part:
            if hasattr(me, "leaves"):
                await anyio.sleep(me.leaves)
            else:
                endings[role.__name__] = await part.ended()

    async with anyio.create_task_group() as group:
        for role in roles:
            group.start_soon(play, role)
    return endings


def pairs(roles: Sequence[type]) -> Channels:
    channels: Channels = {role: {} for role in roles}
    for a, b in combinations(roles, 2):
        channels[a][b], channels[b][a] = memory_pair(a.__name__, b.__name__)
    return channels


@pytest.mark.parametrize("engine", ["table", "machine"])
async def test_a_goodbye_that_comes_first_is_no_loss(engine: Engine) -> None:
    outcome = await LOOP.run_local({Lead: Lead(), Early: Early(), Busy: Busy()}, engine=engine)
    assert outcome.exit == "Done"


class Slow(MemoryChannel):
    """What comes over it comes late."""

    async def receive(self) -> Frame:
        frame = await super().receive()
        await anyio.sleep(1)
        return frame


async def test_a_goodbye_that_overtakes_another_channel_is_no_loss() -> None:
    channels = pairs([Lead, Early, Busy])
    channels[Busy][Lead].__class__ = Slow
    endings = await joined(LOOP, [Lead, Early, Busy], channels)
    assert {ending.state for ending in endings.values()} == {"Done"}


async def test_who_waits_for_nobody_else_misses_one_that_has_left() -> None:
    """It is told that all is over while the others think that they go on: only a liar does that."""
    channels = pairs([Lead, Early, Busy])
    endings: dict[str, Ending] = {}

    async def leave(role: type) -> None:
        for channel in channels[role].values():
            await channel.aclose(Frame(Kind.BYE, data="done"))

    async with anyio.create_task_group() as group:
        group.start_soon(leave, Lead)
        group.start_soon(leave, Early)
        async with LOOP.join(Busy, Busy(), channels[Busy]) as part:
            endings["Busy"] = await part.ended()
    assert endings["Busy"].aborted
    assert "was lost: it had ended" in endings["Busy"].why


async def test_who_ends_by_goodbyes_does_so_when_they_have_come_and_not_after_its_patience() -> None:
    choreography = Choreography(Go, roles=[Lead, Early, Busy], end="bye", inform="declared", patience=20)
    began = anyio.current_time()
    assert (
        await choreography.run_local({Lead: Lead(), Early: Early(), Busy: Busy()}, raise_errors=False)
    ).exit == "Done"
    assert anyio.current_time() - began < 6


# A backlog, and a loss.


class Tx:
    """Streams."""

    sent = 0


class Rx:
    """Is slower than that."""


class Third:
    """Is lost in the middle of it."""

    leaves = 0.1


class Gone(Exit):
    """Without the third."""


class Stream(Region, on_lost=lambda: Plan):
    """The third may be lost."""


class Send(Stream, Scene[Tx, Rx]):
    chunk: Msg[int, Send]
    end: Msg[None, Acknowledge]

    def send(self, me: Tx) -> Sent:
        me.sent += 1
        return self.chunk(me.sent) if me.sent <= 100 else self.end()

    async def on_chunk(self, me: Rx, n: int) -> None:
        await anyio.sleep(0.02)


class Acknowledge(Stream, Scene[Rx, Tx, Third]):
    done: Msg[None, Finish]

    def send(self, me: Rx) -> Sent:
        return self.done()


class Finish(Stream, Scene[Third, Tx, Rx]):
    finish: Msg[None, Exit]

    def send(self, me: Third) -> Sent:
        return self.finish()


class Plan(Scene[Tx, Rx]):
    plan: Msg[None, Gone]

    def send(self, me: Tx) -> Sent:
        return self.plan()


async def test_what_is_told_of_a_loss_is_heard_behind_a_backlog() -> None:
    """And a frame that was waiting for room when the loss came is none of the new epoch."""
    roles = [Tx, Rx, Third]
    choreography = Choreography(Send, roles=roles, mortal=[Third], name="stream")
    began = anyio.current_time()
    endings = await joined(choreography, roles, pairs(roles))
    assert {role: ending.state for role, ending in endings.items()} == {"Tx": "Gone", "Rx": "Gone"}
    assert anyio.current_time() - began < 1
