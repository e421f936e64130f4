"""What comes of asking for a session: a channel, or why not. It asks nobody itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio

from amachine.choreography.playing.frames import Frame, Kind
from amachine.choreography.wire.handshake import HandshakeError

if TYPE_CHECKING:
    from amachine.choreography.wire.channel import WireChannel

__all__ = ["Answer", "Awaited"]


class Answer(Protocol):
    """Who waits for a session to be opened."""

    def opened(self, channel: WireChannel, /) -> None:
        """It is."""
        ...

    def refused(self, error: HandshakeError, /) -> None:
        """It will not be."""
        ...


class Awaited:
    """An answer that somebody waits for."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._channel: WireChannel | None = None
        self._error: HandshakeError | None = None

    def opened(self, channel: WireChannel, /) -> None:
        """It is."""
        self._channel = channel
        self._event.set()

    def refused(self, error: HandshakeError, /) -> None:
        """It will not be."""
        self._error = error
        self._event.set()

    async def result(self, who: str, patience: float | None) -> WireChannel:
        """The channel. If nobody wants it any more, it is closed. Errors: `HandshakeError`."""
        try:
            with anyio.move_on_after(patience):
                await self._event.wait()
        except BaseException:
            if self._channel is not None:
                self._channel.close(Frame(Kind.BYE, data="cancelled"))
            raise
        if self._channel is not None:
            return self._channel
        raise self._error or HandshakeError(f"{who} did not come within {patience:g} s")
