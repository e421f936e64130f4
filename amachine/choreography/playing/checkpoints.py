"""A role in the middle of a session as plain data, to be kept outside of the process; and back from there.

It is taken between two steps: the machine with its clocks, the numbers of the frames on each channel, and what the role's
object says of itself. A role that plays on a table gives the same. Nothing here knows where it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from amachine.arguments import is_mapping
from amachine.choreography.playing.doing import plainly
from amachine.choreography.playing.looking import instead
from amachine.choreography.playing.machines import MachineSeat, RoleMachine
from amachine.choreography.playing.seat import TableSeat
from amachine.errors import RestoreError, WaitError

if TYPE_CHECKING:
    from amachine.choreography.local import LocalMachine
    from amachine.choreography.playing.player import Player
    from amachine.machine import Options

__all__ = ["FORMAT", "checkpoint", "restore"]

FORMAT = 1
"""Of the data."""


def checkpoint(player: Player) -> dict[str, Any]:
    """Where a role stands, fit for JSON if what `checkpoint()` of the role's object gives is.

    Not for the role's own functions, which are in the middle of a step. Errors: `WaitError` where the role is in one.
    """
    seat = player.seat
    if not player.rests or seat.state.name != player.present.name:
        raise WaitError(f"{player.role} of {player.session} is in the middle of a step: ask again after it")
    if isinstance(seat, TableSeat):
        seat = instead(seat, player.session, without=player.troubles.mourned, epoch=player.epoch)
    if not isinstance(seat, MachineSeat):
        raise TypeError(f"{seat!r} keeps nothing that could be exported")
    take = getattr(player.me, "checkpoint", None)
    return {
        "format": FORMAT,
        "session": player.session,
        "role": player.role,
        "state": seat.state.name,
        "epoch": player.epoch,
        "lamport": player.lamport,
        "channels": {
            name: {"said": peer.said, "heard": peer.heard - len(peer.inbox)}
            for name, peer in player.peers.items()
        },
        "machine": seat.machine.export(),
        "me": None if take is None else plainly("checkpoint", take),
    }


def restore(
    data: Mapping[str, Any],
    local: LocalMachine,
    me: Any = None,
    *,
    kind: type[RoleMachine] | None = None,
    **options: Unpack[Options],
) -> MachineSeat:
    """The seat to go on with. `me.restore(…)` gets what `me.checkpoint()` gave. A player begins at `data["state"]`.

    Errors: `RestoreError`; then nothing was made, and `me` was not called.
    """
    machine = data.get("machine")
    if data.get("format") != FORMAT or not is_mapping(machine):
        raise RestoreError(f"this is no checkpoint of a role in the format {FORMAT}")
    if data.get("role") != local.role:
        raise RestoreError(f"this is a checkpoint of {data.get('role')!r}, and not of {local.role}")
    seat = MachineSeat.resume(local, machine, kind=kind, **options)
    if hasattr(me, "restore"):
        plainly("restore", me.restore, data.get("me"))
    return seat
