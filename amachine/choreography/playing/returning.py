"""How a role that plays over channels comes back where a region starts again, and how the others get it back.

At the start of such a region a role's checkpoint is kept, wherever its user keeps it. When the role is lost, those who are
left ask for a new channel to it; when it has come back with its checkpoint, they agree, and all begin the region anew. It
decides none of that: see `regions`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import attrs
import msgspec

from amachine.arguments import is_mapping
from amachine.choreography.playing.agreement import LAST
from amachine.choreography.playing.doing import plainly
from amachine.choreography.playing.frames import Channel, ChannelClosed, Frame, Kind
from amachine.choreography.playing.starts import Kept
from amachine.choreography.typenames import kind_of
from amachine.errors import ProtocolError, RestoreError

if TYPE_CHECKING:
    from amachine.choreography.local import LocalMachine
    from amachine.choreography.playing.agreement import Start
    from amachine.choreography.playing.player import Player

__all__ = ["FORMAT", "Again", "Keep", "Returning", "starts_of"]

FORMAT = 1
"""Of the data."""

PAUSE = 0.2
"""Seconds between two attempts to reach a role that was lost."""

Again: TypeAlias = Callable[[str], Awaitable[Channel]]
"""Gets the name of a lost role, and returns a new channel to it, when it has come back."""

Keep: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Gets what the role needs to come back. When it returns, that had better be safe."""

_log = logging.getLogger("amachine")


def starts_of(machine: LocalMachine, data: Mapping[str, Any]) -> tuple[int, Mapping[str, tuple[Kept, ...]]]:
    """The epoch, and by region from which starts the role can go on. Errors: `RestoreError`."""
    if not is_mapping(data):
        raise RestoreError(f"what a role was told to keep is a mapping, and not {kind_of(data)}")
    regions, epoch = data.get("regions"), data.get("epoch")
    if data.get("format") != FORMAT or not is_mapping(regions) or not isinstance(epoch, int):
        raise RestoreError(f"this is nothing that a role was told to keep, in the format {FORMAT}")
    if not 0 <= epoch < LAST:
        raise RestoreError(f"there is no epoch {epoch}")
    if data.get("role") != machine.role:
        raise RestoreError(f"this was kept by {data.get('role')!r}, and not by {machine.role}")
    if not regions or not regions.keys() <= machine.restart.keys():
        raise RestoreError(
            f"{machine.role} was at the start of no region that starts again: it cannot come back"
        )
    try:
        starts = msgspec.convert(regions, dict[str, tuple[Kept, ...]])
    except msgspec.ValidationError as error:
        raise RestoreError(f"this is nothing that a role was told to keep: {error}") from error
    if not all(starts.values()):
        raise RestoreError("this is nothing that a role was told to keep: there is a region without a start")
    return epoch, starts


class Returning:
    """Of one role that plays over channels. `take` gets a new channel to a lost role, with its name."""

    def __init__(
        self, session: str, again: Again | None, keep: Keep | None, take: Callable[[str, Channel], object]
    ) -> None:
        self.player: Player
        self._session = session
        self._again = again
        self._keep = keep
        self._take = take
        self._regions: dict[str, Sequence[Kept]] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._came: set[str] = set()  # who has come back since the last decision

    def starts(self, _role: str, _region: str, /) -> tuple[Start, ...]:
        """Nobody is here who could play it."""
        return ()

    def begin(self, role: str, region: str, _number: int, epoch: int, /) -> None:
        """Never: nobody is here who could play it."""
        raise RuntimeError(
            f"nobody is here who could play {role} from the start of {region} in epoch {epoch}"
        )

    def may_return(self, _role: str, /) -> bool:
        """Whether it may come back by itself."""
        return self._again is not None

    def keep(self, _role: str, region: str, kept: Sequence[Kept], /) -> None:
        """The role is at the start of a region, and this is what it would go on from."""
        self._regions[region] = kept
        self._tell()

    def forget(self, _role: str, region: str, /) -> None:
        """The role has left a region."""
        if self._regions.pop(region, None) is not None:
            self._tell()

    def _tell(self) -> None:
        if self._keep is not None:
            player = self.player
            data = {
                "format": FORMAT,
                "session": self._session,
                "role": player.role,
                "epoch": player.epoch,
                "regions": {
                    region: [{"start": attrs.asdict(each.start), "data": each.data} for each in kept]
                    for region, kept in self._regions.items()
                },
            }
            plainly("keep", self._keep, data)

    def resume(self, starts: Mapping[str, Sequence[Kept]]) -> None:
        """It was kept before."""
        self._regions |= starts

    # The others.

    def expect(self, role: str, /) -> None:
        """A role is lost: ask for a new channel to it, again and again, until what becomes of it is settled."""
        if role not in self._scopes and self._again is not None:
            self._scopes[role] = scope = anyio.CancelScope()
            self.player.ground.start(self._ask, role, scope, self._again)

    def settled(self) -> None:
        """What becomes of the losses is decided: nobody is expected any more."""
        scopes, self._scopes = self._scopes, {}
        self._came.clear()
        for scope in scopes.values():
            scope.cancel()

    async def _ask(self, role: str, scope: anyio.CancelScope, again: Again) -> None:
        channel: Channel | None = None
        with scope:
            if role in self._came:  # and is gone again: that may be so at once, time after time
                await anyio.sleep(PAUSE)
            while channel is None:
                try:
                    channel = await again(role)
                except (OSError, ProtocolError):  # it is not there yet, or does not fit
                    await anyio.sleep(PAUSE)
                    continue
                except Exception:  # noqa: BLE001  # it is the user's function: then it does not come back
                    _log.exception("a new channel from %s to %s could not be had", self.player.role, role)
                    return
                if not _is_channel(channel):
                    _log.error(
                        "what again(%r) gave %s is no channel: %r", role, self.player.role, type(channel)
                    )
                    return
                why = self._misfit(role, channel)
                if why:
                    await _close(channel, why)
                    channel = None
        if self._scopes.get(role) is scope:
            del self._scopes[role]
            if channel is not None and self.player.ended is None:
                self._came.add(role)
                self._take(role, channel)
                return
        if channel is not None:
            await _close(channel, f"{self.player.role} does not wait for {role} any more")

    def _misfit(self, role: str, channel: Channel) -> str:
        if channel.peer != role:
            return f"{role} is waited for, not {channel.peer}"
        if getattr(channel, "resumed", channel) is None:
            return f"this session is under way: {role} has to come back with resume=…"
        return ""


def _is_channel(given: Any) -> bool:
    return all(hasattr(given, each) for each in ("peer", "try_send", "send", "receive", "aclose"))


async def _close(channel: Channel, why: str) -> None:
    with anyio.move_on_after(1, shield=True):
        try:
            await channel.aclose(Frame(Kind.ERR, data=why))
        except ChannelClosed:
            pass
