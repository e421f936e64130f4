"""What is to be agreed after a loss, and how it follows from where everybody stands. Plain rules: no frame, no player.

The innermost region that provides for the loss says how to go on, if somebody stands in it, and everybody who plays in its
recovery; if not, the one around it is tried. Where none does, nothing is provided. A region that starts again needs
everybody: who was lost has an understudy, or has come back. And all must go back to the same time at which it began: nobody
may remember what another would forget. That is so if each of them had heard by then as many frames as the other had said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec

from amachine.choreography.project import project

if TYPE_CHECKING:
    from amachine.choreography.playing.starts import Kept
    from amachine.choreography.script import Script

__all__ = [
    "LAST",
    "Decision",
    "Returned",
    "Stand",
    "Start",
    "Understudies",
    "company",
    "consistent",
    "has_to_start_again",
    "members",
    "provides",
    "stand_of",
    "way_on",
]

LAST = 0xFFFF
"""There are fewer epochs than that: frames have two bytes for them."""


@attrs.frozen
class Start:
    """A time at which a role stood before a region that starts again."""

    number: int
    """Of those of this role and region."""
    epoch: int
    said: dict[str, int] = attrs.field(factory=dict[str, int])
    """How many frames it had said in that epoch by then, by peer; and how many it had heard."""
    heard: dict[str, int] = attrs.field(factory=dict[str, int])


@attrs.frozen
class Decision:
    """What was agreed: to go on in the recovery of a region, to start it again, or (no region) that nothing is provided."""

    epoch: int
    """Its number: that of the epoch which begins, if one does."""
    region: str = ""
    lost: str = ""
    restart: bool = False
    back: tuple[str, ...] = ()
    """Those of the lost who play again, where a region starts again."""
    starts: dict[str, int] = attrs.field(factory=dict[str, int])
    """By role, the number of the start that it goes back to."""
    settles: tuple[str, ...] = ()
    """Everybody whose loss was considered."""


@attrs.frozen
class Returned:
    """A lost role that has come back."""

    starts: dict[str, tuple[Start, ...]] = attrs.field(factory=dict[str, tuple[Start, ...]])
    """By region, to which starts it could go."""
    reaches: tuple[str, ...] = ()
    """To whom it has a channel."""


@attrs.frozen
class Stand:
    """What a role tells the others after a loss: where it stands; or what was decided."""

    lost: dict[str, str]
    """Everybody who is lost, as far as it knows, and why: it takes nothing from them any more."""
    role: str = ""
    """Whose this is, where somebody else passes it on."""
    missed: tuple[str, ...] = ()
    """Those of them whom it still needs."""
    reaches: tuple[str, ...] = ()
    """To whom it has a channel, lost or not."""
    left: tuple[str, ...] = ()
    """Everybody who is through with their part, as far as it knows."""
    regions: tuple[str, ...] = ()
    """In which it stands."""
    starts: dict[str, tuple[Start, ...]] = attrs.field(factory=dict[str, tuple[Start, ...]])
    """By region that it stands in: to which starts it could go back, the last one behind the others."""
    epoch: int = 0
    """The number of what was decided last, as far as it knows."""
    serial: int = 0
    """How many stands it had told before: others may come here on several ways."""
    decides: bool = False
    """It says what is to be done now: `last`. Then nothing else counts here."""
    last: Decision | None = None
    back: dict[str, Returned] = attrs.field(factory=dict[str, Returned])
    """Those of the lost who have come back to it."""


class Understudies(Protocol):
    """Who can play a lost role from the start of a region on: somebody who is there, or the role itself when it comes back."""

    def starts(self, role: str, region: str, /) -> tuple[Start, ...]:
        """From which starts somebody who is there could go on."""
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

    def begin(self, role: str, region: str, number: int, epoch: int, /) -> None:
        """Have it played anew, from that start of the region. Called once per decision, by the player that decided."""
        ...

    def keep(self, role: str, region: str, kept: Sequence[Kept], /) -> None:
        """A role is at the start of a region, and this is what it would go on from."""
        ...

    def forget(self, role: str, region: str, /) -> None:
        """A role has left a region."""
        ...


_convert: Callable[[Any], Stand] = partial(msgspec.convert, type=Stand)


def stand_of(script: Script, data: Any) -> Stand:
    """What another role says. Errors: `ValueError` when that makes no sense in this script."""
    stand = _convert(data)  # what it raises is a ValueError, too
    decided = stand.last
    roles = {*stand.lost, *stand.missed, *stand.reaches, *stand.left, *stand.back}
    if stand.role:
        roles.add(stand.role)
    regions = {*stand.regions, *stand.starts}.union(*(each.starts for each in stand.back.values()))
    if decided is not None:
        roles |= {*decided.back, *decided.settles, *decided.starts}
        if decided.region:
            roles.add(decided.lost)
            regions.add(decided.region)
    unknown = sorted((roles - {*script.roles}) | (regions - script.regions.keys()))
    if unknown:
        raise ValueError(f"{script.name} has no {' and no '.join(unknown)}")
    for epoch in (stand.epoch, 0 if decided is None else decided.epoch):
        if not 0 <= epoch < LAST:
            raise ValueError(f"there is no epoch {epoch}")
    if decided is not None and decided.region:
        region = script.regions[decided.region]
        if not (region.restart if decided.restart else region.goes_to(decided.lost) is not None):
            raise ValueError(f"{decided.region} does not provide for the loss of {decided.lost}")
    if stand.decides and decided is None:
        raise ValueError("it says that something was decided, and not what")
    if not (stand.lost or stand.back or stand.decides):
        raise ValueError("it tells of a loss, and nobody is lost")
    return stand


def provides(script: Script, lost: str, understudies: Understudies | None) -> bool:
    """Whether any region says how to go on without that role, or with another in its place."""
    return any(_ways(script, lost, understudies))


def has_to_start_again(
    script: Script, lost: Iterable[str], here: Collection[str], understudies: Understudies | None
) -> Iterator[str]:
    """Of the regions in which a role stands, those from whose start all go on if nothing keeps them."""
    for role in lost:
        for region, restart, _ in _ways(script, role, understudies):
            if region in here:
                if restart:
                    yield region
                break


def way_on(
    script: Script,
    stands: Mapping[str, Stand],
    lost: Iterable[str],
    epoch: int,
    understudies: Understudies | None,
    *,
    awaited: Callable[[str], bool] | None = None,
) -> Decision:
    """What those do from now on who stand there. The decision gets that number. Whoever is `awaited` counts as if back."""
    settles = tuple(role for role in script.roles if role in lost)
    missed = {role for stand in stands.values() for role in stand.missed}
    for role in (each for each in settles if each in missed):
        for region, restart, cast in _ways(script, role, understudies):
            if not restart:
                there = {each for each, stand in stands.items() if region in stand.regions}
                if there and cast <= there:
                    return Decision(epoch, region, role, settles=settles)
                continue
            starts = {each: stand.starts[region] for each, stand in stands.items() if region in stand.starts}
            back = _who_is_back(settles, region, stands, understudies)
            coming = {each for each in settles if awaited is not None and awaited(each)} - back.keys()
            if not starts or not cast <= {*starts, *back, *coming}:
                continue
            agreed = consistent({each: (starts | back)[each] for each in cast - coming})
            if agreed is not None:
                again = tuple(each for each in settles if each in cast and each in {*back, *coming})
                return Decision(epoch, region, role, restart=True, back=again, starts=agreed, settles=settles)
    return Decision(epoch, settles=settles)


def _who_is_back(
    lost: Iterable[str], region: str, stands: Mapping[str, Stand], understudies: Understudies | None
) -> dict[str, tuple[Start, ...]]:
    """Those of the lost who could play again: somebody plays for them, or they have come back to all who had a channel."""
    found: dict[str, tuple[Start, ...]] = {}
    for role in lost:
        starts = () if understudies is None else understudies.starts(role, region)
        if starts:
            found[role] = starts
    returned: dict[str, Returned] = {}
    for role in lost:
        asked = [stand for stand in stands.values() if role in stand.reaches]
        if role not in found and asked and all(role in stand.back for stand in asked):
            returned[role] = asked[0].back[role]
    for role, its in returned.items():
        if region in its.starts and returned.keys() <= {role, *its.reaches}:
            found[role] = its.starts[region]
    return found


def consistent(starts: Mapping[str, Sequence[Start]]) -> dict[str, int] | None:
    """For each role the number of its last start that fits those of all others; None if there are none.

    Of two roles the one that had said or heard more than the other knows is too far ahead: it goes back by one.
    """
    last = {role: len(each) - 1 for role, each in starts.items()}
    ahead: str | None = ""
    while ahead is not None:
        ahead = _one_ahead({role: starts[role][at] for role, at in last.items()})
        if ahead is not None:
            if not last[ahead]:
                return None
            last[ahead] -= 1
    return {role: starts[role][at].number for role, at in last.items()}


def _one_ahead(starts: Mapping[str, Start]) -> str | None:
    for one, its in starts.items():
        for other, theirs in starts.items():
            said, heard = (its.epoch, its.said.get(other, 0)), (theirs.epoch, theirs.heard.get(one, 0))
            if said != heard:
                return one if said > heard else other
    return None


# Who is asked.


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


def members(role: str, stands: Mapping[str, Stand], gone: Collection[str]) -> set[str]:
    """All who can hear of one another while these are gone, as far as is known: the role, and those to whom channels lead."""
    found = {role}
    queue = [role]
    for at in queue:
        reaches = stands[at].reaches if at in stands else ()
        new = [each for each in reaches if each not in found and each not in gone]
        found.update(new)
        queue += new
    return found


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
            and (understudies.starts(lost, name) or understudies.may_return(lost))
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
