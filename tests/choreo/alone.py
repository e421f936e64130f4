"""One player whose peers are played by the test, at the other ends of its channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.events import Event, StageTracer
from amachine.choreography.playing.frames import Channel, ChannelClosed, Frame, Kind
from amachine.choreography.playing.memory import MemoryChannel, memory_pair
from amachine.choreography.playing.player import Player
from amachine.choreography.script import Script
from tests.choreo.acted import Actor, acted


class Seen(StageTracer):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def stage_event(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: Any) -> list[Any]:
        return [each for each in self.events if isinstance(each, kind)]


class Alone:
    """A player of one role, and the ends at which the others would sit."""

    def __init__(
        self, script: Script, role: str, me: Actor | None = None, room: int = 16, **options: Any
    ) -> None:
        self.ends: dict[str, MemoryChannel] = {}
        mine: dict[str, Channel] = {}
        for peer in script.roles:
            if peer != role:
                mine[peer], self.ends[peer] = memory_pair(role, peer, room=room)
        self.seen = Seen()
        self.me = me or Actor(role)
        patience = options.pop("patience", None)
        options.setdefault("tracers", [self.seen])
        self.player = Player(acted(script, patience=patience), role, self.me, mine, room=room, **options)

    def say(
        self, peer: str, scene: str, label: str, data: Any = None, seq: int = 1, kind: Kind = Kind.MSG
    ) -> None:
        assert self.ends[peer].try_send(Frame(kind, scene, label, data, seq=seq))

    async def run(self, then: Callable[[Alone], Any]) -> Ending:
        """Play while `then` does something at the other ends."""
        endings: list[Ending] = []

        async def play() -> None:
            endings.append(await self.player.run())

        with anyio.fail_after(1000):
            async with anyio.create_task_group() as group:
                group.start_soon(play)
                await then(self)
        return endings[0]


async def closed(end: MemoryChannel) -> Frame:
    """Why the player has closed its end."""
    while True:
        try:
            await end.receive()
        except ChannelClosed as closed:
            return closed.reason or Frame(Kind.BEAT)
