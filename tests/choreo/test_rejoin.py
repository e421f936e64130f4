"""A role that is lost where a region starts again comes back over new channels, and all go on: in memory, over TCP, killed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from itertools import combinations
from typing import Any

import anyio
import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.events import EpochBegun, Event
from amachine.choreography.playing.frames import Channel, Frame, Kind
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.memory import MemoryChannel, memory_pair
from amachine.choreography.script import Script
from amachine.errors import RestoreError
from tests.choreo.acted import Actor, acted
from tests.choreo.alone import Seen
from tests.choreo.test_regions import again as script_of_two
from tests.virtual import anyio_backend as anyio_backend

CHOICES = {"More": ("more", "end")}
TWO = acted(script_of_two(), patience=5)
ENGINES = ["table", "machine"]


def three() -> Script:
    """As a relay: the boss asks the worker, who asks the clerk, who answers the boss."""
    b = Builder()
    b.region("Work", {}, restart=True)
    ask, pass_ = b.scene("Ask", "boss", region="Work"), b.scene("Pass", "worker", region="Work")
    reply, more = b.scene("Reply", "clerk", region="Work"), b.scene("More", "boss", region="Work")
    ask.branch("ask", int, to="worker", next=pass_)
    pass_.branch("pass", int, to="clerk", next=reply)
    reply.branch("reply", int, to="boss", next=more)
    more.branch("more", to=("worker", "clerk"), next=ask).branch("end", to=("worker", "clerk"), next="Exit")
    return b.script("relay", ask, roles=("boss", "worker", "clerk"))


THREE = acted(three(), patience=5)


class Switchboard:
    """Leads roles to one another, in memory, as often as they ask: an end for each, once both have asked."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[str, str], MemoryChannel] = {}
        self.news = anyio.Event()

    async def call(self, me: str, peer: str) -> Channel:
        while (me, peer) not in self.waiting:
            if (peer, me) not in self.waiting:
                pair = memory_pair(me, peer)
                self.waiting[me, peer], self.waiting[peer, me] = pair
            else:
                await self.news.wait()
        self.news.set()
        self.news = anyio.Event()
        return self.waiting.pop((me, peer))


class Looking(Seen):
    """Does something at every event."""

    then: Callable[[Event], object] | None = None

    def stage_event(self, event: Event) -> None:
        super().stage_event(event)
        if self.then is not None:
            self.then(event)


class Crew:
    """Roles that are played by themselves, and may be cut off at any event and come back."""

    def __init__(self, choreography: Any, engine: Any = "table") -> None:
        self.choreography = choreography
        self.engine = engine
        self.board = Switchboard()
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.actors: dict[str, list[Actor]] = {role: [] for role in choreography.script.roles}
        self.endings: dict[str, list[Ending]] = {role: [] for role in choreography.script.roles}
        self.joined: dict[str, Joined] = {}
        self.seen = Looking()

    async def play(self, role: str, channels: Mapping[str, Channel], **options: Any) -> None:
        self.actors[role].append(Actor(role, CHOICES))
        joined = Joined(
            self.choreography,
            role,
            self.actors[role][-1],
            channels,
            engine=self.engine,
            tracers=[self.seen],
            again=lambda peer: self.board.call(role, peer),
            keep=lambda data: self.kept.__setitem__(role, json.loads(json.dumps(data))),
            **options,
        )
        self.joined[role] = joined
        async with joined:
            self.endings[role].append(await joined.ended())

    async def come_back(self, role: str) -> None:
        others = [each for each in self.choreography.script.roles if each != role]
        await self.play(
            role, {peer: await self.board.call(role, peer) for peer in others}, resume=self.kept[role]
        )

    async def run(self, then: Callable[[Crew], Awaitable[object]]) -> dict[str, str]:
        """Play, do that in between, and say how each ended at last."""
        roles = self.choreography.script.roles
        channels: dict[str, dict[str, Channel]] = {role: {} for role in roles}
        for one, other in combinations(roles, 2):
            channels[one][other], channels[other][one] = memory_pair(one, other)
        with anyio.fail_after(1000):
            async with anyio.create_task_group() as group:
                for role in roles:
                    group.start_soon(self.play, role, channels[role])
                await then(self)
        return {role: endings[-1].state for role, endings in self.endings.items()}


def cut(crew: Crew, role: str) -> None:
    """Its process dies: it says nothing more, and its channels break."""
    joined = crew.joined[role]
    joined.player.vanish("killed")
    for channel in joined.channels.values():
        assert isinstance(channel, MemoryChannel)
        channel._closed = Frame(Kind.ERR, data="connection reset")
        channel.other._news.set()
        channel.other._space.set()


async def cut_at(crew: Crew, number: int, role: str) -> None:
    """Cut a role off at that event, counted from now on."""
    done = anyio.Event()

    def look(_: Event) -> None:
        nonlocal number
        number -= 1
        if number == 0:
            cut(crew, role)
            done.set()

    crew.seen.then = look
    await done.wait()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("choreography", [TWO, THREE], ids=["two", "three"])
async def test_a_role_that_is_cut_off_anywhere_in_the_region_comes_back_and_all_end_well(
    choreography: Any, engine: str
) -> None:
    for number in range(4, 11, 1 if engine == "table" else 3):
        crew = Crew(choreography, engine)

        async def lost_and_found(crew: Crew, number: int = number) -> None:
            await cut_at(crew, number, "worker")
            await crew.come_back("worker")

        assert set((await crew.run(lost_and_found)).values()) == {"Done"}, number
        assert crew.endings["worker"][0].state == "Aborted"
        assert "restored" in crew.actors["worker"][1].log
        assert {event.role for event in crew.seen.of(EpochBegun)} == set(choreography.script.roles)


@pytest.mark.parametrize("role", THREE.script.roles)
async def test_any_role_may_come_back_the_first_one_too_and_more_than_once(role: str) -> None:
    crew = Crew(THREE)

    async def lost_twice(crew: Crew) -> None:
        async with anyio.create_task_group() as group:
            await cut_at(crew, 5, role)
            group.start_soon(crew.come_back, role)
            await cut_at(crew, 9, role)
            group.start_soon(crew.come_back, role)

    assert set((await crew.run(lost_twice)).values()) == {"Done"}
    assert len(crew.seen.of(EpochBegun)) == 2 * len(THREE.script.roles)
    assert len({joined.player.epoch for joined in crew.joined.values()}) == 1


async def test_two_that_are_lost_at_once_come_back_together() -> None:
    crew = Crew(THREE)

    async def both(crew: Crew) -> None:
        await cut_at(crew, 5, "worker")
        cut(crew, "boss")
        async with anyio.create_task_group() as group:
            channels: dict[str, Channel] = dict(
                zip(("worker", "boss"), memory_pair("worker", "boss"), strict=True)
            )
            for role, other in (("worker", "boss"), ("boss", "worker")):
                to_clerk = await crew.board.call(role, "clerk")
                group.start_soon(
                    lambda role, leads: crew.play(role, leads, resume=crew.kept[role]),
                    role,
                    {"clerk": to_clerk, other: channels[role]},
                )

    assert set((await crew.run(both)).values()) == {"Done"}
    assert len(crew.seen.of(EpochBegun)) == len(THREE.script.roles)
    assert len({joined.player.epoch for joined in crew.joined.values()}) == 1


async def test_who_does_not_come_back_is_waited_for_as_long_as_the_others_have_patience() -> None:
    crew = Crew(THREE)
    endings = await crew.run(lambda crew: cut_at(crew, 5, "worker"))
    assert endings == {"boss": "Aborted", "worker": "Aborted", "clerk": "Aborted"}
    assert 5 <= anyio.current_time() < 8
    for role in ("boss", "clerk"):
        (ending,) = crew.endings[role]
        assert "worker was lost: connection reset" in ending.why or "boss was lost" in ending.why


async def test_who_comes_back_and_dies_again_may_come_once_more() -> None:
    crew = Crew(THREE)

    async def twice(crew: Crew) -> None:
        await cut_at(crew, 5, "worker")
        one, other = await crew.board.call("worker", "boss"), await crew.board.call("worker", "clerk")
        del other  # the clerk has a channel, at whose end nobody ever says anything
        await one.aclose(Frame(Kind.ERR, data="not yet"))
        await crew.come_back("worker")

    endings = await crew.run(twice)
    assert endings["boss"] in {"Done", "Aborted"}


async def test_who_comes_back_too_late_is_told_so() -> None:
    crew = Crew(TWO)

    async def late(crew: Crew) -> None:
        await cut_at(crew, 4, "worker")
        one, other = memory_pair("worker", "boss")
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: crew.play("worker", {"boss": one}, resume=crew.kept["worker"]))
            await anyio.sleep(4)
            await other.aclose(Frame(Kind.ERR, data="boss has ended"))

    await crew.run(late)
    assert crew.endings["worker"][1].why == "nobody let worker in again: boss said: boss has ended"


def test_what_was_kept_is_looked_at_before_anything_is_played() -> None:
    channel, _ = memory_pair("worker", "boss")
    kept = {"format": 1, "session": "s", "role": "worker", "epoch": 0, "regions": {"Work": None}}
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"format": 2}, "format 1"),
        ({"role": "boss"}, "kept by 'boss', and not by worker"),
        ({"regions": {}}, "at the start of no region"),
        ({"regions": {"Nowhere": 1}}, "at the start of no region"),
        ({"regions": {"Work": []}}, "nothing that a role was told to keep"),
        ({"regions": {"Work": [{"start": {"number": 1}}]}}, "nothing that a role was told to keep"),
        ({"epoch": "0"}, "format 1"),
    ]
    for wrong, text in wrongs:
        with pytest.raises(RestoreError, match=text):
            Joined(TWO, "worker", Actor(), {"boss": channel}, resume={**kept, **wrong})


async def test_a_join_asks_for_the_channels_that_an_agreement_needs() -> None:
    channel, _ = memory_pair("a", "b")
    choreography = acted(three_of_two_pairs())
    Joined(choreography, "a", Actor(), {"b": channel})
    with pytest.raises(
        LookupError, match="when somebody is lost in Work, it has to agree with c how to go on"
    ):
        Joined(choreography, "a", Actor(), {"b": channel}, keep=print)


def three_of_two_pairs() -> Script:
    """`a` and `c` only talk to `b`."""
    b = Builder()
    b.region("Work", {}, restart=True)
    one, two = b.scene("One", "a", region="Work"), b.scene("Two", "b", region="Work")
    one.branch("one", to="b", next=two)
    two.branch("two", to="c", next="Exit")
    return b.script("pairs", one, roles=("a", "b", "c"))
