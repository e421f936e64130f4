"""What goes between two roles, and the protocol of what carries it. Knows no socket and no engine."""

from __future__ import annotations

import re
from enum import IntEnum
from reprlib import repr as short
from typing import Any, NamedTuple, Protocol, runtime_checkable

from amachine.errors import ProtocolError

__all__ = ["SCRIPT", "Channel", "ChannelClosed", "Frame", "Kind", "plain"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def plain(said: object, most: int = 4000) -> str:
    """What somebody else said, fit for terminals and logs: one line, no control characters, not longer than that."""
    text = said if isinstance(said, str) else short(said)
    return _CONTROL.sub(" ", text[:most])


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 0
    MSG = 1
    """A branch was chosen; `data` is its payload."""
    INFORM = 2
    """A branch was chosen; the receiver is only told so."""
    BYE = 3
    """The sender is through: `data` is `done`, or why it stops (`cancelled`)."""
    ERR = 4
    """The sender has failed: `data` says where and how, in a sentence."""
    LOST = 5
    """Somebody was lost: `data` is what the survivors have to know to go on, or to stop."""
    BEAT = 6
    """Still here. Between two roles it asks what the other is doing (no `data`), or answers that."""
    CREDIT = 7
    """The receiver has taken `data` frames: the sender may send as many more."""


SCRIPT = frozenset({Kind.MSG, Kind.INFORM})
"""What is part of the play. It is counted, and waits for its turn; all else is about the play."""


class Frame(NamedTuple):
    """One thing said. Frames between two roles arrive whole and in order, or the channel is closed."""

    kind: Kind
    scene: str = ""
    """The id of the scene, in MSG and INFORM."""
    label: str = ""
    data: Any = None
    epoch: int = 0
    """The number of the recovery that the sender was in: what is older than the receiver's is dropped."""
    seq: int = 0
    """Which MSG or INFORM of its channel and direction it is, from 1."""
    lamport: int = 0
    """The sender's logical time."""


class ChannelClosed(ProtocolError):
    """The other end is gone, or this end has closed. `reason` is what it said: a BYE or ERR frame; None for silence."""

    def __init__(self, peer: str, reason: Frame | None = None, *, why: str = "") -> None:
        self.peer = peer
        self.reason = reason
        self.why: str = why or ("it said nothing" if reason is None else str(reason.data))
        super().__init__(f"the channel to {peer} is closed: {self.why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.peer, self.reason, self.why)


def _again(peer: str, reason: Frame | None, why: str) -> ChannelClosed:
    return ChannelClosed(peer, reason, why=why)


@runtime_checkable
class Channel(Protocol):
    """An ordered, reliable, bidirectional pair of ends. This is one end; at the other sits `peer`.

    What implements it decides how much may be under way; any bound from 1 on is safe.
    """

    peer: str

    def try_send(self, frame: Frame) -> bool:
        """Send at once if there is room; False if there is none. Errors: `ChannelClosed`."""
        ...

    async def send(self, frame: Frame) -> None:
        """Send, waiting for room. Errors: `ChannelClosed`."""
        ...

    async def receive(self) -> Frame:
        """The next frame. Errors: `ChannelClosed`, after all that came before was received."""
        ...

    async def aclose(self, reason: Frame) -> None:
        """Say goodbye, with a BYE or an ERR, and close this end. Twice is harmless."""
        ...
