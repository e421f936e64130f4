"""How a role tells others of a branch that it chose: a frame to each, in order; and waiting for room where there is none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind
from amachine.choreography.playing.tables import SentWrong
from amachine.errors import HandlerError

if TYPE_CHECKING:
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player
    from amachine.choreography.playing.tables import Giving

__all__ = ["Telling"]


class Telling:
    """Of one player. One branch at a time; a failure is the player's trouble."""

    __slots__ = ("blocked", "player", "sent")

    def __init__(self, player: Player) -> None:
        self.player: Player = player
        self.sent: int = 0
        """How many frames there were."""
        self.blocked: tuple[str, ...] = ()
        """The peers to whom frames still have to go that had no room."""

    def late(self) -> tuple[float, Any] | None:
        """When a branch is taken that the role has not chosen, in seconds, and that branch."""
        gives = self.player.state.local.gives
        return min(
            [(give.after, (give.label, None)) for give in gives if give.after is not None], default=None
        )

    def chosen(self, answer: Any) -> None:
        """Tell everybody of the branch that `send` answered."""
        player, state = self.player, self.player.state
        if player.doing.held:
            player.doing.keep(partial(self.chosen, answer))
            return
        try:
            giving, data = state.chosen(answer)
        except SentWrong as error:
            player.troubles.raised(state.function, error)
            return
        player.lamport += 1
        if player.watchers is not None:
            player.watchers.chose(player, giving.give, data, self.sent)
            if player.ended is not None:
                return  # a tracer has ended it
        self._tell(giving, data)

    def _tell(self, giving: Giving, data: Any) -> None:
        """At once if there is room for all."""
        player = self.player
        for place, (name, kind) in enumerate(giving.tells):
            peer = player.peers[name]
            if peer.gone is not None:
                player.troubles.cannot_reach(peer)
                return
            try:
                has_room = peer.channel.try_send(self._frame(peer, kind, giving, data))
            except ChannelClosed as closed:
                player.troubles.cannot_reach(peer, closed)
                return
            except HandlerError as error:  # the channel cannot carry such a thing
                player.troubles.raised(player.state.function, error)
                return
            if not has_room:
                self._tell_slowly(place, giving, data)
                return
            peer.said += 1
            self.sent += 1
        player.will_step(giving, data)

    def _frame(self, peer: Peer, kind: Kind, giving: Giving, data: Any) -> Frame:
        player, give = self.player, giving.give
        carried = data if kind is Kind.MSG else None
        return Frame(kind, give.scene, give.label, carried, player.epoch, peer.said + 1, player.lamport)

    def _tell_slowly(self, place: int, giving: Giving, data: Any) -> None:
        """As a task, from that place on: somebody has no room."""
        player = self.player
        self.blocked = tuple([name for name, _ in giving.tells[place:]])
        work = self._send(place, giving, data)
        player.doing.start(work, partial(self._told, giving, data), player.state.function)

    def _told(self, giving: Giving, data: Any, _: object) -> None:
        player = self.player
        if player.doing.held:
            player.doing.keep(partial(player.will_step, giving, data))
        else:
            player.will_step(giving, data)

    async def _send(self, place: int, giving: Giving, data: Any) -> None:
        player = self.player
        era = player.doing.era
        for name, kind in giving.tells[place:]:
            peer = player.peers[name]
            patience = player.patience_here
            closed: ChannelClosed | None = ChannelClosed(name, why=f"it took nothing for {patience or 0:g} s")
            with anyio.move_on_after(patience):
                try:
                    await peer.channel.send(self._frame(peer, kind, giving, data))
                except ChannelClosed as error:
                    closed = error
                else:
                    closed = None
            if closed is not None:
                player.troubles.cannot_reach(peer, closed)
                await (
                    anyio.sleep_forever()
                )  # what becomes of the role is being decided, and then this is cancelled
            if era != player.doing.era:
                return  # it was halted when the frame had gone: that is one of an older epoch
            peer.said += 1
            self.sent += 1
        self.blocked = ()
