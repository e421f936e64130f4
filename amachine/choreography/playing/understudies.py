"""Who plays a lost role of a local session from the start of a region on: what was kept for it, and how often it was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amachine.choreography.playing.player import Player

__all__ = ["MOST", "LocalUnderstudies"]

MOST = 10
"""How often one role is given to an understudy in one session."""


class LocalUnderstudies:
    """By role, what makes somebody to play it. `recast` puts a new player in the place of the one that was lost.

    It is called with the role, its new object and the epoch, and returns the new player, that has not begun.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Any]],
        players: Mapping[str, Player],
        recast: Callable[[str, Any, int], Player],
    ) -> None:
        self._makers = makers
        self._players = players
        self._recast = recast
        self._kept: dict[tuple[str, str], object] = {}
        self._times: dict[str, int] = {}

    def has(self, role: str, region: str, /) -> bool:
        """Whether somebody can go on for a lost role, from the start of a region."""
        return role in self._makers and (role, region) in self._kept and self._times.get(role, 0) < MOST

    def may_return(self, _role: str, /) -> bool:
        """Nobody comes back by himself: he was in this process."""
        return False

    def expect(self, role: str, /) -> None:
        """Nobody comes back by himself."""

    def settled(self) -> None:
        """Nobody was expected."""

    def keep(self, role: str, region: str, data: object, /) -> None:
        """What a role would go on from, at the start of a region."""
        self._kept[role, region] = data

    def forget(self, role: str, region: str, /) -> None:
        """A role has left a region."""
        self._kept.pop((role, region), None)

    def begin(self, role: str, region: str, epoch: int, /) -> None:
        """Have a lost role played by an understudy."""
        old = self._players[role]
        old.vanish("an understudy goes on")
        self._times[role] = self._times.get(role, 0) + 1
        me: Any = None
        failure: Exception | None = None
        try:
            me = self._makers[role]()
            if hasattr(me, "restore"):
                me.restore(self._kept[role, region])
        except Exception as error:  # noqa: BLE001  # it is the user's function, and ends the role as any other would
            failure = error
            self._times[role] = MOST
        new = self._recast(role, me, epoch)
        new.begin(old.ground, at=new.table.machine.restart[region])
        for name, other in self._players.items():
            if name != role and other.ended is not None:
                new.troubles.mark(new.peers[name], other.ended.why, through=not other.ended.aborted)
        if failure is not None:
            new.troubles.raised(f"the understudy of {role}", failure)
