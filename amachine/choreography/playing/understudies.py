"""Who plays a lost role of a local session from the start of a region on: what was kept for it, and how often it was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from amachine.choreography.playing.doing import failure_of, plainly

if TYPE_CHECKING:
    from amachine.choreography.playing.agreement import Start
    from amachine.choreography.playing.player import Player
    from amachine.choreography.playing.starts import Kept

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
        self._kept: dict[tuple[str, str], tuple[Kept, ...]] = {}
        self._times: dict[str, int] = {}

    def starts(self, role: str, region: str, /) -> tuple[Start, ...]:
        """From which starts of a region somebody can go on for a lost role."""
        if role not in self._makers or self._times.get(role, 0) >= MOST:
            return ()
        return tuple(each.start for each in self._kept.get((role, region), ()))

    def may_return(self, _role: str, /) -> bool:
        """Nobody comes back by himself: he was in this process."""
        return False

    def expect(self, role: str, /) -> None:
        """Nobody comes back by himself."""

    def settled(self) -> None:
        """Nobody was expected."""

    def keep(self, role: str, region: str, kept: Sequence[Kept], /) -> None:
        """What a role would go on from, at the start of a region."""
        self._kept[role, region] = tuple(kept)

    def forget(self, role: str, region: str, /) -> None:
        """A role has left a region."""
        self._kept.pop((role, region), None)

    def begin(self, role: str, region: str, number: int, epoch: int, /) -> None:
        """Have a lost role played by an understudy."""
        old = self._players[role]
        old.vanish("an understudy goes on")
        self._times[role] = self._times.get(role, 0) + 1
        me: Any = None
        failure: Exception | None = None
        kept = {at: each for (whose, at), each in self._kept.items() if whose == role}
        data = next(each.data for each in kept[region] if each.start.number == number)
        try:
            me = plainly("what makes it", self._makers[role])
            if hasattr(me, "restore"):
                plainly("restore", me.restore, data)
        except BaseException as error:  # they are the user's functions, and end the role as any other would
            failure = failure_of(error)
            if failure is None:
                raise
            self._times[role] = MOST
        new = self._recast(role, me, epoch)
        if new.troubles.council is not None:
            new.troubles.council.starts.take_over(kept)
            new.troubles.council.starts.go_back(region, number)
        new.begin(old.ground, at=new.table.machine.restart[region])
        for name, other in self._players.items():
            if name != role and other.ended is not None:
                new.troubles.mark(new.peers[name], other.ended.why, through=not other.ended.aborted)
        if failure is not None:
            new.troubles.raised(f"the understudy of {role}", failure)
