"""A role that plays on a table becomes a machine, because somebody looks: same state, same clocks, in the middle of a session.

The seat is replaced; the player asks for it anew with every step. What came with the last step is not known any more, and
what runs already runs on; all else is as if it had been a machine from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from amachine.choreography.playing.machines import MachineSeat, RoleMachine, machine_type
from amachine.choreography.playing.schemas import SESSION_UP, TROUBLE, lost, up, within
from amachine.choreography.playing.seat import ABORTED, TableSeat
from amachine.errors import WaitError
from amachine.persist import FORMAT

if TYPE_CHECKING:
    from amachine.choreography.playing.player import Player
    from amachine.machine import Options
    from amachine.schema import Schema

__all__ = ["instead", "machine_of"]


def machine_of(
    player: Player, *, kind: type[RoleMachine] | None = None, **options: Unpack[Options]
) -> RoleMachine:
    """The machine of a role, made now if it played on a table until now; then `kind` and `options` count.

    Errors: `WaitError` where a role on a table has not entered its first state.
    """
    seat = player.seat
    if isinstance(seat, MachineSeat):
        return seat.machine
    if not isinstance(seat, TableSeat):
        raise TypeError(f"{seat!r} is no seat that a machine could take the place of")
    if player.ended is None and not seat.ticks:
        raise WaitError(f"{player.role} of {player.session} has not begun: ask again when it has")
    new = instead(seat, player.session, without=_lost(player), epoch=player.epoch, kind=kind, **options)
    player.seat = new
    new.open(player)
    if player.ended is not None:
        new.close()
    return new.machine


def _lost(player: Player) -> set[str]:
    """The peers whose loss its machine would know."""
    gone = {name for name, peer in player.peers.items() if peer.gone is not None and not peer.left}
    needs = player.seat.state.needs
    recovered = {lost for _, lost in player.table.machine.recover} if player.epoch else set[str]()
    aborted = player.ended is not None and player.ended.aborted
    return gone & (recovered | needs if aborted else recovered - needs)


def instead(
    table: TableSeat,
    session: str = "",
    *,
    without: Iterable[str] = (),
    epoch: int = 0,
    kind: type[RoleMachine] | None = None,
    **options: Unpack[Options],
) -> MachineSeat:
    """A seat with a machine that goes on where a plain seat stands, `without` peers that were needed and are lost."""
    local = table.machine
    kind = kind or machine_type(local)
    data = picture(kind.schema, f"{session or 'session'}/{local.role}", table, without)
    seat = MachineSeat.resume(local, data, kind=kind, **options)
    seat.begun(epoch)
    return seat


def picture(schema: Schema, id: str, table: TableSeat, without: Iterable[str]) -> dict[str, Any]:
    """What a machine would export that had gone all the way with a plain seat."""
    ticks = dict.fromkeys(schema.names, 0) | table.ticks
    gone = {*without}
    for peer in table.machine.peers:
        ticks[up(peer)] = 2 if peer in gone else 1
        ticks[lost(peer)] = 1 if peer in gone else 0
    aborted = table.ended == ABORTED
    ticks[SESSION_UP] = 2 if aborted else 1
    ticks[TROUBLE] = 1 if aborted else 0
    if not aborted and table.ticks:
        for region in table.state.regions:
            ticks[within(region)] = 1
    steps = sum((tick + 1) // 2 for tick in table.ticks.values())
    return {
        "format": FORMAT,
        "id": id,
        "at": 0.0,
        "schema": schema.name,
        "hash": schema.hash,
        "states": [*schema.names],
        "relations": {},
        "ticks": [*ticks.values()],
        "queue_tick": steps + 2,
        "machine_tick": 1,
        "transitions": steps + 1,
        "args": {},
        "errors": {},
        "timers": [],
    }
