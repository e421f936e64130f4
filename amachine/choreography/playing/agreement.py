"""What is to be agreed after a loss, and how it follows from where everybody stands. Plain rules: no frame, no player.

The innermost region that provides for the loss says how to go on, if everybody stands in it who plays in its recovery; if
not, the one around it is tried. Where none does, nothing is provided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec

from amachine.choreography.project import project

if TYPE_CHECKING:
    from amachine.choreography.script import Script

__all__ = ["Decision", "Stand", "Understudies", "provides", "stand_of", "way_on"]


@attrs.frozen
class Decision:
    """What was agreed: to go on in the recovery of a region, to start it again, or (no region) that nothing is provided."""

    epoch: int
    region: str = ""
    lost: str = ""
    restart: bool = False


@attrs.frozen
class Stand:
    """Where a role stands after a loss, as it tells the others."""

    lost: dict[str, str]
    """Everybody who is lost, as far as it knows, and why."""
    regions: tuple[str, ...] = ()
    """In which it stands."""
    starts: tuple[str, ...] = ()
    """Those of them to whose start it could go back."""
    epoch: int = 0
    last: Decision | None = None
    """What was agreed last, as far as it knows."""
    decides: bool = False
    """It says what is to be done now: `last`."""


class Understudies(Protocol):
    """Who can play a lost role from the start of a region on."""

    def has(self, role: str, region: str, /) -> bool:
        """Whether there is somebody, and something to go on from."""
        ...

    def begin(self, role: str, region: str, epoch: int, /) -> None:
        """Have it played anew, from where the region starts. Called once per decision, by the player that decided."""
        ...

    def keep(self, role: str, region: str, data: object, /) -> None:
        """A role is at the start of a region, and this is what it would go on from."""
        ...

    def forget(self, role: str, region: str, /) -> None:
        """A role has left a region."""
        ...


_convert: Callable[[Any], Stand] = partial(msgspec.convert, type=Stand)


def stand_of(script: Script, data: Any) -> Stand:
    """What another role says. Errors: `ValueError` when that makes no sense in this script."""
    stand = _convert(data)  # what it raises is a ValueError, too
    last = stand.last
    roles = {*stand.lost, *([last.lost] if last is not None and last.region else [])}
    regions = {*stand.regions, *stand.starts, *([last.region] if last is not None and last.region else [])}
    unknown = sorted((roles - {*script.roles}) | (regions - script.regions.keys()))
    if unknown:
        raise ValueError(f"{script.name} has no {' and no '.join(unknown)}")
    if last is not None and last.region:
        region = script.regions[last.region]
        if not (region.restart if last.restart else region.goes_to(last.lost) is not None):
            raise ValueError(f"{last.region} does not provide for the loss of {last.lost}")
    return stand


def provides(script: Script, lost: str, understudies: Understudies | None) -> bool:
    """Whether any region says how to go on without that role, or with another in its place."""
    return any(_ways(script, lost, understudies))


def way_on(
    script: Script,
    lost: Mapping[str, str],
    stands: Mapping[str, Stand],
    epoch: int,
    understudies: Understudies | None,
) -> Decision:
    """What all who are left do from now on, in this epoch."""
    for role in sorted(lost, key=script.roles.index):
        for region, restart, cast in _ways(script, role, understudies):
            if all(each in stands and region in _places(stands[each], restart=restart) for each in cast):
                return Decision(epoch, region, role, restart)
    return Decision(epoch)


def _places(stand: Stand, *, restart: bool) -> tuple[str, ...]:
    return stand.starts if restart else stand.regions


def _ways(
    script: Script, lost: str, understudies: Understudies | None
) -> Iterator[tuple[str, bool, frozenset[str]]]:
    """The regions that provide for a loss, the innermost first; whether they start again; and who plays on."""

    def depth(region: str) -> int:
        parent = script.regions[region].parent
        return 0 if parent is None else 1 + depth(parent)

    for name in sorted(script.regions, key=depth, reverse=True):
        region = script.regions[name]
        goes_to = region.goes_to(lost)
        if goes_to is not None:
            yield name, False, frozenset(_cast(script.without(lost, goes_to)))
        elif region.restart and understudies is not None and understudies.has(lost, name):
            yield name, True, frozenset(_who_restarts(script, name)) - {lost}


def _cast(script: Script) -> Iterator[str]:
    """Everybody who tells or is told anything in what can follow the start."""
    for id in script.reachable():
        scene = script.scenes[id]
        for branch in scene.branches:
            yield scene.sender
            yield from script.hearers(scene, branch)


def _who_restarts(script: Script, region: str) -> Iterator[str]:
    """Everybody who has anything to do from the start of a region on."""
    for role in script.roles:
        machine = project(script, role)
        if region in machine.restart and not machine.by_name[machine.restart[region]].ends:
            yield role
