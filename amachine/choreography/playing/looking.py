"""A role that plays on a table becomes a machine, because somebody looks: same state, same clocks, in the middle of a session.

The seat is replaced; the player asks for it anew with every step. What came with the last step is not known any more, and
what runs already runs on; all else is as if it had been a machine from the beginning: also what trouble there was, which the
machine is told now, so that it logs the error of a function only now. Of the states of the session and of trouble, the clocks
say no more than which are active.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from amachine.choreography.playing.machines import MachineSeat, RoleMachine, machine_type
from amachine.choreography.playing.schemas import SESSION_UP, TROUBLE, lost, up, within
from amachine.choreography.playing.seat import ABORTED, TableSeat
from amachine.persist import FORMAT

if TYPE_CHECKING:
    from amachine.choreography.playing.player import Player
    from amachine.machine import Options
    from amachine.schema import Schema

__all__ = ["instead", "machine_of"]


def machine_of(
    player: Player, *, kind: type[RoleMachine] | None = None, **options: Unpack[Options]
) -> RoleMachine:
    """The machine of a role, made now if it played on a table until now; then `kind` and `options` count."""
    seat = player.seat
    if isinstance(seat, MachineSeat):
        return seat.machine
    if not isinstance(seat, TableSeat):
        raise TypeError(f"{seat!r} is no seat that a machine could take the place of")
    missed = player.troubles.mourned
    if player.ended is None and not seat.ticks:  # it has not begun, and stands nowhere
        new = MachineSeat(seat.machine, player.session, kind=kind, **options)
        player.take_seat(new)
    else:
        # Without others it has begun anew.
        missed = missed & seat.state.needs if player.ended is None else set[str]()
        without = player.troubles.mourned - missed
        new = instead(seat, player.session, without=without, epoch=player.epoch, kind=kind, **options)
        player.seat = new
        new.open(player)
    for peer in sorted(missed):
        new.peer_lost(peer, "")
    if player.ended is not None:
        new.close()
    return new.machine


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
    for trouble in table.troubles:
        seat.trouble(*trouble)
    return seat


def picture(schema: Schema, id: str, table: TableSeat, without: Iterable[str]) -> dict[str, Any]:
    """What a machine would export that had gone all the way with a plain seat."""
    ticks = dict.fromkeys(schema.names, 0) | table.ticks
    gone = {*without}
    for peer in table.machine.peers:
        ticks[up(peer)] = 2 if peer in gone else 1
    for name in map(lost, gone):
        if name in ticks:
            ticks[name] = 1
    aborted = table.ended == ABORTED
    ticks[SESSION_UP] = 2 if aborted else 1
    ticks[TROUBLE] = 1 if aborted else 0
    if table.ended in {None, ABORTED} and table.ticks.get(table.state.name):
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
