"""What a player knows of one other role: what it has said and heard, and whether that one is still there. Decides nothing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from amachine.choreography.playing.frames import Channel, Frame

__all__ = ["Peer"]


class Peer:
    """One other role, seen from a player. Numbers begin anew with every epoch: what was under way then is gone."""

    __slots__ = (
        "_room",
        "channel",
        "coming",
        "early",
        "epoch",
        "gone",
        "heard",
        "inbox",
        "left",
        "name",
        "returning",
        "room",
        "said",
        "since",
    )

    def __init__(self, name: str, channel: Channel, *, room: int, epoch: int) -> None:
        self.name: str = name
        self.channel: Channel = channel
        self.room: int = room
        """How many frames may wait here."""
        self._room: anyio.Event | None = None
        self.inbox: deque[Frame] = deque()
        """What it has said and the player has not taken yet, in order."""
        self.early: dict[int, Frame] = {}
        """What came before something that is still missing, by number."""
        self.epoch: int = epoch
        """Of the last frame that came."""
        self.since: int = epoch
        """Since when this one plays, and is played with: what was said before was not between these two."""
        self.heard: int = 0
        self.said: int = 0
        """The number of the last frame from it, and to it."""
        self.coming: int = 0
        """How many frames of it are under way and have a place here."""
        self.gone: str | None = None
        """Why it cannot be reached any more."""
        self.left: bool = False
        """It is gone, for it was through with its part, and has said so."""
        self.returning: bool = False
        """It was lost, and is here again over a new channel; nobody has decided yet that it plays."""

    @property
    def has_room(self) -> bool:
        """Whether one more frame may come."""
        return len(self.inbox) + len(self.early) + self.coming < self.room

    def speaks(self, epoch: int) -> bool:
        """Whether something that it has said can be taken now: what is of a later epoch waits for news of it."""
        return bool(self.inbox) and self.inbox[0].epoch == epoch

    @property
    def incomplete(self) -> str:
        """What is known to be missing before that which waits here: a sentence, or nothing."""
        if not self.early:
            return ""
        first, last = self.heard + 1, min(self.early) - 1
        which = f"frame {first}" if first == last else f"frames {first} to {last}"
        return f"{which} of {self.name} never came, but frame {last + 1} did"

    async def wait_for_room(self) -> None:
        """Return when one more frame may come, perhaps."""
        if self._room is None:
            self._room = anyio.Event()
        await self._room.wait()

    def take(self) -> Frame:
        """The first of the frames that wait, which then has been taken."""
        if self._room is not None:
            self.make_room()
        return self.inbox.popleft()

    def clear(self) -> None:
        """Drop all that waits."""
        self.inbox.clear()
        self.early.clear()
        self.make_room()

    def make_room(self) -> None:
        """Wake whoever waits for it."""
        if self._room is not None:
            self._room.set()
            self._room = None

    def number(self, frame: Frame) -> str:
        """Put a frame among those that wait, by its number. Returns why it was dropped, or nothing."""
        if frame.seq == self.heard + 1 and frame.epoch == self.epoch and not self.early:
            self.inbox.append(frame)
            self.heard += 1
            return ""
        if frame.epoch < self.epoch:
            return f"it is of epoch {frame.epoch}, and this is {self.epoch}"
        if frame.epoch > self.epoch:
            self.epoch, self.heard = frame.epoch, 0
            self.early.clear()
        if frame.seq == self.heard + 1 and not self.early:
            self.inbox.append(frame)
            self.heard += 1
            return ""
        if frame.seq <= self.heard or frame.seq in self.early:
            return f"number {frame.seq} came before"
        self.early[frame.seq] = frame
        while (following := self.early.pop(self.heard + 1, None)) is not None:
            self.inbox.append(following)
            self.heard += 1
        return ""

    def begin_epoch(self, epoch: int) -> list[Frame]:
        """Forget what was said before, and return it. What it has already said in the new epoch stays."""
        late = [frame for frame in self.inbox if frame.epoch < epoch]
        self.inbox = deque(frame for frame in self.inbox if frame.epoch >= epoch)
        if self.epoch < epoch:
            self.epoch, self.heard = epoch, 0
            self.early.clear()
        self.said = 0
        self.make_room()
        return late
