"""What a player has to do with its channels: hear what comes, no faster than it takes it, and say goodbye. No rule is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from amachine.choreography.playing.frames import SCRIPT, ChannelClosed
from amachine.choreography.playing.memory import LocalChannel
from amachine.errors import ProtocolError

if TYPE_CHECKING:
    from amachine.choreography.playing.frames import Channel, Frame
    from amachine.choreography.playing.ground import Ground
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player

__all__ = ["GOODBYE", "hear", "say_goodbye"]

GOODBYE = 5.0
"""Seconds that a player has to say goodbye to a peer that takes nothing any more."""


async def hear(player: Player, peer: Peer) -> None:
    """Hand over what comes from a peer until the player is through, or nothing more comes."""
    try:
        while player.ended is None:
            frame = await peer.channel.receive()
            while frame.kind in SCRIPT and not peer.has_room and not player.doing.held:
                await peer.wait_for_room()
            player.deliver(peer.name, frame)
    except ChannelClosed as closed:
        player.closed(peer.name, closed)
    except ProtocolError as error:
        if player.ended is None:
            player.troubles.unreadable(peer, error)


def say_goodbye(ground: Ground, channel: Channel, frame: Frame) -> None:
    """Close a channel with this as the reason, soon: at once where that cannot take any time."""
    if isinstance(channel, LocalChannel):
        channel.try_send(frame)
    else:
        ground.start(_close, channel, frame)


async def _close(channel: Channel, frame: Frame) -> None:
    """Say it even while all else is being cancelled."""
    with anyio.move_on_after(GOODBYE, shield=True):
        try:
            await channel.aclose(frame)
        except ChannelClosed:
            pass
