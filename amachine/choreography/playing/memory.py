"""Channels inside one process: between players on one ground, and a pair of ends for whoever wants to talk to a player.

A frame is never copied; its payload is handed over as it is, or encoded and decoded where a play is asked to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import anyio

from amachine.choreography.playing.frames import SCRIPT, ChannelClosed, Frame, Kind

if TYPE_CHECKING:
    from amachine.choreography.playing.ground import Ground
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player
    from amachine.choreography.seeing.stuck import InFlight
    from amachine.choreography.wire.wiring import Scripted

__all__ = [
    "Alter",
    "LocalChannel",
    "MemoryChannel",
    "memory_pair",
    "over_the_wire",
    "put_under_way",
]

Alter: TypeAlias = Callable[[Frame], Frame]
"""What a frame goes through on its way."""


class LocalChannel:
    """From one player to another on the same ground. It holds nothing: what is under way stands in the queue of turns.

    Frames of the script have a place in the receiver's inbox before they leave; all others need none.
    """

    __slots__ = ("_alter", "_ground", "_players", "me", "peer")

    def __init__(
        self, ground: Ground, players: Mapping[str, Player], me: str, peer: str, *, alter: Alter | None = None
    ) -> None:
        self._ground = ground
        self._players = players  # asked anew for each frame: a role may have got another player
        self._alter = alter
        self.me: str = me
        self.peer: str = peer

    def try_send(self, frame: Frame) -> bool:
        """Send at once if there is room."""
        receiver = self._players[self.peer]
        if receiver.ended is not None:
            return True  # what it will never take goes nowhere; that it has ended is on its way
        if frame.kind not in SCRIPT:
            self._ground.soon(receiver.deliver, self.me, frame)
            return True
        place = receiver.peers[self.me]
        if not place.has_room:
            return False
        if self._alter is not None:
            frame = self._alter(frame)
        place.coming += 1
        self._ground.soon(arrive, receiver, place, frame)
        return True

    async def send(self, frame: Frame) -> None:
        """Send, waiting for room."""
        while not self.try_send(frame):
            await self._players[self.peer].peers[self.me].wait_for_room()

    async def receive(self) -> Frame:
        """Never: frames are handed to the player. Errors: `RuntimeError`."""
        raise RuntimeError(
            f"frames for {self.me} are delivered to its player; use memory_pair() to receive them"
        )

    async def aclose(self, reason: Frame) -> None:
        """Say goodbye."""
        self.try_send(reason)


def put_under_way(ground: Ground, players: Mapping[str, Player], frames: Iterable[InFlight]) -> None:
    """Let frames of a session that others have played until now arrive, in their order. They are numbered anew."""
    for each in frames:
        sender, receiver = players[each.sender], players[each.receiver]
        to, place = sender.peers[each.receiver], receiver.peers[each.sender]
        to.said += 1
        place.coming += 1
        kind = Kind.INFORM if each.informs else Kind.MSG
        frame = Frame(kind, each.scene, each.label, each.data, sender.epoch, to.said, sender.lamport)
        ground.soon(arrive, receiver, place, frame)


def arrive(receiver: Player, place: Peer, frame: Frame) -> None:
    """A frame between two players of one ground has come where it was sent."""
    place.coming -= 1
    receiver.deliver(place.name, frame)


class MemoryChannel:
    """One end of a pair. Frames wait at the end that they were sent to, until they are received there."""

    def __init__(self, me: str, peer: str, *, room: int) -> None:
        self.me = me
        self.peer = peer
        self.room = room
        self.other: MemoryChannel
        """The end at which `peer` sits."""
        self._inbox: deque[Frame] = deque()
        self._closed: Frame | None = None
        self._news = anyio.Event()
        self._space = anyio.Event()

    def __repr__(self) -> str:
        return f"<MemoryChannel {self.me} to {self.peer}: {len(self._inbox)} frames to receive>"

    def try_send(self, frame: Frame) -> bool:
        """Send at once if there is room. Errors: `ChannelClosed`."""
        if self._closed is not None:
            raise ChannelClosed(self.peer, why="this end was closed")
        other = self.other
        if other._closed is not None:
            raise ChannelClosed(self.peer, other._closed)
        if frame.kind in SCRIPT and len(other._inbox) >= other.room:
            return False
        other._inbox.append(frame)
        other._news.set()
        return True

    async def send(self, frame: Frame) -> None:
        """Send, waiting for room. Errors: `ChannelClosed`."""
        while not self.try_send(frame):
            self.other._space = anyio.Event()
            await self.other._space.wait()

    async def receive(self) -> Frame:
        """The next frame. Errors: `ChannelClosed`, after all that came before was received."""
        while not self._inbox:
            if self._closed is not None:
                raise ChannelClosed(self.peer, why="this end was closed")
            if self.other._closed is not None:
                raise ChannelClosed(self.peer, self.other._closed)
            self._news = anyio.Event()
            await self._news.wait()
        self._space.set()
        return self._inbox.popleft()

    async def aclose(self, reason: Frame) -> None:
        """Close this end; the other hears `reason` when it has received what was sent before. Twice is harmless."""
        if self._closed is None:
            self._closed = reason
            for end in (self, self.other):
                end._news.set()
                end._space.set()


def memory_pair(a: str, b: str, *, room: int = 16) -> tuple[MemoryChannel, MemoryChannel]:
    """Two ends: `a` uses the first and `b` the second. `room` is how many frames of the script may be under way each way.

    Errors: `ValueError` for no room at all.
    """
    if room < 1:
        raise ValueError(f"a channel needs room for one frame at least, not for {room}")
    first, second = MemoryChannel(a, b, room=room), MemoryChannel(b, a, room=room)
    first.other, second.other = second, first
    return first, second


def over_the_wire(choreography: Scripted) -> Alter:
    """What encodes and decodes each payload, as if it travelled. Errors: `Unsendable`, also when it is used."""
    from amachine.choreography.wire.codec import Unsendable
    from amachine.choreography.wire.wiring import wiring_of

    branches = wiring_of(choreography).branches

    def travelled(frame: Frame) -> Frame:
        if frame.kind != Kind.MSG:
            return frame
        branch = branches[frame.scene, frame.label]
        try:
            return frame._replace(data=branch.decode(branch.encode(frame.data)))
        except Exception as error:
            raise Unsendable(str(error), scene=frame.scene, label=frame.label) from error

    return travelled
