"""How a role tells others of a branch that it chose: a frame to each, in order; and waiting for room where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind
from amachine.errors import HandlerError

if TYPE_CHECKING:
    from amachine.choreography.local import Give
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player

__all__ = ["Telling"]

_Told: TypeAlias = list[tuple[str, Kind, Any]]


class Telling:
    """Of one player. One branch at a time."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.sent: int = 0
        """How many frames there were."""
        self.blocked: tuple[str, ...] = ()
        """The peers to whom frames still have to go that had no room."""

    def tell(self, give: Give, data: Any, function: str, then: Callable[[], object]) -> None:
        """Send the frames of a branch, then call `then`: at once if there is room for all. A failure is the player's trouble."""
        player = self.player
        told: _Told = [(name, Kind.MSG, data) for name in give.to]
        told += [(name, Kind.INFORM, None) for name in give.informs]
        for place, (name, kind, what) in enumerate(told):
            peer = player.peers[name]
            if peer.gone is not None:
                player.troubles.cannot_reach(peer)
                return
            try:
                if not peer.channel.try_send(self._frame(peer, give, kind, what)):
                    self.blocked = tuple(name for name, _, _ in told[place:])
                    player.doing.start(self._send(give, told[place:]), lambda _: then(), function)
                    return
            except ChannelClosed as closed:
                player.troubles.cannot_reach(peer, closed)
                return
            except HandlerError as error:  # the channel cannot carry such a thing
                player.troubles.raised(function, error)
                return
            peer.said += 1
            self.sent += 1
        then()

    def _frame(self, peer: Peer, give: Give, kind: Kind, data: Any) -> Frame:
        player = self.player
        return Frame(kind, give.scene, give.label, data, player.epoch, peer.said + 1, player.lamport)

    async def _send(self, give: Give, told: _Told) -> None:
        """Send the rest as a task, for somebody had no room."""
        player = self.player
        for name, kind, data in told:
            peer = player.peers[name]
            patience = player.patience_here
            closed: ChannelClosed | None = ChannelClosed(name, why=f"it took nothing for {patience or 0:g} s")
            with anyio.move_on_after(patience):
                try:
                    await peer.channel.send(self._frame(peer, give, kind, data))
                except ChannelClosed as error:
                    closed = error
                else:
                    closed = None
            if closed is not None:
                player.troubles.cannot_reach(peer, closed)
                await (
                    anyio.sleep_forever()
                )  # what becomes of the role is being decided, and then this is cancelled
            peer.said += 1
            self.sent += 1
        self.blocked = ()
