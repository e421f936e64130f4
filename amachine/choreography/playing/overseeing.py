"""What can be told of players while they play: where each stands, and what is under way between them. It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from amachine.choreography.playing.frames import Frame, Kind
from amachine.choreography.playing.memory import arrive
from amachine.choreography.seeing.stuck import InFlight, Standing

if TYPE_CHECKING:
    from amachine.choreography.playing.ground import Ground
    from amachine.choreography.playing.player import Player

__all__ = ["standing", "under_way"]


def standing(player: Player) -> Standing:
    """Where a role stands, what it is in the middle of, and whom it has lost."""
    state, blocked, ended = player.state.local, player.telling.blocked, player.ended
    return Standing(
        player.role,
        state,
        seconds=max(0.0, player.ground.now() - player.since),
        inside="" if blocked else player.doing.inside,
        blocked=blocked,
        gone=tuple(peer.name for peer in player.peers.values() if peer.gone is not None and not peer.left),
        patience=player.patience_here if state.takes else None,
        ended="" if ended is None else ended.state,
        why="" if ended is None else ended.why,
    )


def under_way(ground: Ground, players: Mapping[str, Player]) -> Iterator[InFlight]:
    """The frames that nobody has taken yet: those in the inboxes, then those that are on their way there."""
    for player in players.values():
        for peer in player.peers.values():
            for frame in peer.inbox:
                yield _in_flight(peer.name, player, frame)
    for turn, args in ground.turns:
        if turn is arrive:
            receiver, place, frame = args
            yield _in_flight(place.name, receiver, frame)


def _in_flight(sender: str, receiver: Player, frame: Frame) -> InFlight:
    scene, label = frame.scene, frame.label
    script = receiver.script
    names = script.scenes[scene].branch(label).names if scene in script.scenes else ()
    informs = frame.kind == Kind.INFORM
    return InFlight(sender, receiver.role, scene, label, informs, frame.seq, frame.data, names)
