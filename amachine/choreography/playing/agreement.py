"""What is to be agreed after a loss, and how it follows from where everybody stands. Plain rules: no frame, no player.

The innermost region that provides for the loss says how to go on, if somebody stands in it, and everybody who plays in its
recovery; if not, the one around it is tried. Where none does, nothing is provided. A region that starts again needs
everybody: who was lost has an understudy, or has come back.
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

__all__ = ["Decision", "Stand", "Understudies", "company", "provides", "stand_of", "way_on"]


@attrs.frozen
class Decision:
    """What was agreed: to go on in the recovery of a region, to start it again, or (no region) that nothing is provided."""

    epoch: int
    region: str = ""
    lost: str = ""
    restart: bool = False
    back: tuple[str, ...] = ()
    """Those of the lost who play again, where a region starts again."""


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
    back: dict[str, tuple[str, ...]] = attrs.field(factory=dict[str, tuple[str, ...]])
    """Those of the lost who have come back to it, and to the start of which regions they could go."""


class Understudies(Protocol):
    """Who can play a lost role from the start of a region on: somebody who is there, or the role itself when it comes back."""

    def has(self, role: str, region: str, /) -> bool:
        """Whether there is somebody, and something to go on from."""
        ...

    def may_return(self, role: str, /) -> bool:
        """Whether it may come back by itself."""
        ...

    def expect(self, role: str, /) -> None:
        """It is lost, and may come back from now on. Twice is harmless."""
        ...

    def settled(self) -> None:
        """What becomes of the losses is decided: nobody is expected any more."""
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

LAST = 0xFFFF
"""The last epoch that there can be."""


def stand_of(script: Script, data: Any) -> Stand:
    """What another role says. Errors: `ValueError` when that makes no sense in this script."""
    stand = _convert(data)  # what it raises is a ValueError, too
    last = stand.last
    roles = {*stand.lost, *stand.back}
    regions = {*stand.regions, *stand.starts}.union(*stand.back.values())
    if last is not None and last.region:
        roles |= {last.lost, *last.back}
        regions.add(last.region)
    unknown = sorted((roles - {*script.roles}) | (regions - script.regions.keys()))
    if unknown:
        raise ValueError(f"{script.name} has no {' and no '.join(unknown)}")
    if not all(0 <= epoch < LAST for epoch in (stand.epoch, 0 if last is None else last.epoch - 1)):
        raise ValueError(f"there is no epoch {stand.epoch if last is None else last.epoch}")
    if not (stand.lost or stand.back or stand.decides):
        raise ValueError("it tells of a loss, and nobody is lost")
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
    *,
    awaited: Callable[[str], bool] | None = None,
) -> Decision:
    """What all who are left do from now on, in this epoch. Whoever is `awaited` counts as one who has come back."""
    for role in sorted(lost, key=script.roles.index):
        for region, restart, cast in _ways(script, role, understudies):
            there = {each for each, stand in stands.items() if region in _places(stand, restart=restart)}
            back = {
                each
                for each in (lost if restart else ())
                if (understudies is not None and understudies.has(each, region))
                or (awaited is not None and awaited(each))
                or _is_back(script, each, region, stands)
            }
            if there and cast <= there | back:
                return Decision(
                    epoch, region, role, restart, tuple(each for each in lost if each in back & cast)
                )
    return Decision(epoch)


def _is_back(script: Script, role: str, region: str, stands: Mapping[str, Stand]) -> bool:
    """Whether a lost role can be reached by all who play with it, and could go back to the start of a region."""
    partners = [each for each in stands if role in project(script, each).peers]
    return bool(partners) and all(region in stands[each].back.get(role, ()) for each in partners)


def company(script: Script, role: str, *, restarts: bool) -> dict[str, str]:
    """With whom a role has to agree after a loss: by other role, when. `restarts`: regions may start again."""
    found: dict[str, str] = {}
    for name, region in script.regions.items():
        for lost, goes_to in region.on_lost:
            cast = {*_cast(script.without(lost, goes_to))}
            if role in cast:
                found |= dict.fromkeys(cast - {role}, f"{lost} is lost in {name}")
        if region.restart and restarts:
            cast = {*_who_restarts(script, name)}
            if role in cast:
                found |= dict.fromkeys(cast - {role}, f"somebody is lost in {name}")
    return {each: found[each] for each in script.roles if each in found}


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
        elif (
            region.restart
            and understudies is not None
            and (understudies.has(lost, name) or understudies.may_return(lost))
        ):
            yield name, True, frozenset(_who_restarts(script, name))


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
