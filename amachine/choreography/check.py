"""Whether a choreography is sound: then its roles, each knowing only what it sees, can neither deadlock nor misunderstand.

`project` makes the states of a role: each is the set of places where the whole may be, as far as the role can see. Here
is what must hold in every one of them. The conditions are those of Li, Stutz, Wies and Zufferey, "Complete Multiparty
Session Type Projection with Automata" (CAV 2023), and one of ours:

1. *Send validity* (AMC401, 405). Where the role may choose, it must be right to choose: wherever the whole may be, it
   can come, unseen by the role, to that scene. So there is one such scene, and no exit in sight.
2. *No mixed choice* (AMC402). Where it may choose, it hears nothing: it could not know which comes first.
3. *Receive validity* (AMC404). Where it may hear from two senders, what it takes must tell it where the whole is. After
   it has chosen to take the one, the frame of the other must not have been able to lie there already.
4. *End awareness* (AMC403). Where its part may be over, there is nothing more to hear; or else goodbyes tell (`closing`).

They are asked of the script as it stands, informs included. Everything that is found is said, with two runs that the role
cannot tell apart. This room mends nothing: `inform` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from math import inf
from typing import TYPE_CHECKING, TypeAlias

import attrs

from amachine._bits import bits
from amachine.choreography.diagnostics import Diagnostic, Level
from amachine.choreography.knowledge.ahead import ahead
from amachine.choreography.knowledge.parting import parting
from amachine.choreography.knowledge.plot import Edge, Plot, Spent
from amachine.choreography.knowledge.sight import Sight
from amachine.choreography.knowledge.structure import structure
from amachine.choreography.knowledge.witness import told

if TYPE_CHECKING:
    from amachine.choreography.script import Script

__all__ = ["Fault", "check", "circles", "faults", "first_frames", "knowledge", "races", "starts", "structure"]


_MOST = 100
"""So many faults of one role are told. The first ones matter; behind them lie whole scripts that mean nothing."""

_HINTS = 30
"""Of so many is it said which frames would mend them: each is tried over the whole script, and nobody reads hundreds."""

_ENOUGH = 300_000
"""So many steps are taken to find further faults of a role that has one, and to find all hints: less than a second."""


def check(script: Script) -> tuple[Diagnostic, ...]:
    """All that is wrong with a script or doubtful: of its graph, and if that has no errors, of what its roles know."""
    found = structure(script)
    return found if any(each.level is Level.ERROR for each in found) else (*found, *knowledge(script))


def knowledge(script: Script) -> tuple[Diagnostic, ...]:
    """What roles do not know but must (AMC401–406, 118, 119), recoveries included; and who may run ahead (AMC120).

    Every name in the script must lead somewhere: `structure` found no errors.
    """
    plot = Plot(script)
    sights = {role: Sight(plot, role) for role in script.roles}

    def doubts(sight: Sight) -> Iterator[Fault]:
        return faults(sight, starts(script, plot, sight.role), closing=script.closing)

    left = float(_ENOUGH)

    def tried(sight: Sight) -> Iterator[Fault]:
        nonlocal left
        plot.steps = left
        try:
            yield from doubts(sight)
        finally:
            left, plot.steps = plot.steps, inf

    broken: list[tuple[Sight, Fault]] = []
    more: list[Diagnostic] = []
    for sight in sights.values():
        first, is_all = _first(plot, _distinct(doubts(sight)))
        broken += [(sight, fault) for fault in first]
        more += [] if is_all else [_and_more(sight.role, len(first))]
    found = [
        told(script, sight, fault, tried if at < _HINTS else None) for at, (sight, fault) in enumerate(broken)
    ]
    found += more
    if script.closing:
        found += [_stuck_at_the_end(*each) for each in circles(script, sights)]
    found += parting(script, plot, sights)
    return (*found, *ahead(plot))


def _first(plot: Plot, found: Iterator[Fault]) -> tuple[list[Fault], bool]:
    """The first faults of a role, and whether these are all. To find the first one, there is all the time in the world."""
    first: list[Fault] = []
    try:
        for fault in found:
            if len(first) == _MOST:
                return first, False
            if not first:
                plot.steps = _ENOUGH
            first.append(fault)
    except Spent:
        return first, False
    finally:
        plot.steps = inf
    return first, True


def _and_more(role: str, count: int) -> Diagnostic:
    text = f"{role} may have more faults than these: after {count} nothing more was looked for"
    return Diagnostic("AMC407", text, Level.NOTE, role=role, hint="mend the first ones")


@attrs.frozen
class Fault:
    """A condition that does not hold."""

    code: str
    start: int
    """Where it all begins, and `moment` where the role last saw something."""
    moment: int
    there: int
    """Where the whole may be then, instead of where the first of these steps begins."""
    one: Edge
    """Steps that the role may then see: of its own, or that it hears of; no other one where there is none in that run."""
    other: Edge | None = None
    between: tuple[Edge, ...] = ()
    """Of a race: what happens after the one until the other may lie there, too."""


def starts(script: Script, plot: Plot, role: str) -> tuple[int, ...]:
    """Where a role may have to begin: at the start, and wherever regions go on that lost somebody else."""
    regions = script.regions.values()
    recoveries = [goes_to for region in regions for lost, goes_to in region.on_lost if lost != role]
    return tuple(plot.number[id] for id in dict.fromkeys((script.start, *recoveries)))


def faults(sight: Sight, starts: tuple[int, ...], *, closing: bool) -> Iterator[Fault]:
    """Every condition that does not hold in some state of a role."""
    seen: set[int] = set()
    for start in starts:
        for moment, around in sight.moments(start):
            if around not in seen:
                seen.add(around)
                sight.plot.spend(1)
                for code, there, one, other, between in _broken(sight, around, closing=closing):
                    yield Fault(code, start, moment, there, one, other, between)


_Broken: TypeAlias = tuple[str, int, Edge, Edge | None, tuple[Edge, ...]]
"""The code, another place where the whole may be, and the last parts of a `Fault`."""


def _broken(sight: Sight, around: int, *, closing: bool) -> Iterator[_Broken]:
    """The conditions, for one state of a role."""
    heard = [edge for edge in sight.steps(around & sight.hearing) if edge.sender != sight.role]
    acting = around & sight.acting
    if acting:
        yield from _choosing(sight, around, heard)
    elif heard:
        for node in _over(sight, around, closing=closing):
            yield "AMC403", node, heard[0], None, ()
            break
        yield from races(sight.plot, sight.role, heard)


def _over(sight: Sight, around: int, *, closing: bool) -> Iterator[int]:
    """Condition 4: where the whole may be so that a role that waits will never hear anything.

    That is at an exit, unless goodbyes tell; and in loops without a way out which the others play without it.
    """
    if not closing:
        yield from bits(around & sight.plot.exits)
    for node in bits(around & sight.plot.trapped):
        if not sight.steps(sight.around(node)):
            yield node


def _choosing(sight: Sight, around: int, heard: list[Edge]) -> Iterator[_Broken]:
    """Conditions 1 and 2: a role that may choose is to know that it may."""
    first, *others = bits(around & sight.acting)
    mine = sight.seen[first][0]
    if heard:
        yield "AMC402", heard[0].source, mine, heard[0], ()
    elif others:
        yield "AMC405", others[0], mine, sight.seen[others[0]][0], ()
    else:
        for node in bits(around):
            if not sight.around(node) >> first & 1:
                yield "AMC401", node, mine, None, ()
                return


def races(plot: Plot, role: str, heard: list[Edge]) -> Iterator[_Broken]:
    """Condition 3, of what a role may hear in one state. Frames of one sender come in order; only those of several can race."""
    senders = plot.cast(edge.sender for edge in heard)
    if senders.bit_count() < 2:
        return
    expected = {edge.number for edge in heard}
    for taken in heard:
        silent = senders & ~plot.bit[taken.sender]
        for early, between in first_frames(plot, taken.target, role, silent, expected):
            yield "AMC404", early.source, taken, early, between


def first_frames(
    plot: Plot, node: int, role: str, senders: int, expected: AbstractSet[int]
) -> list[tuple[Edge, tuple[Edge, ...]]]:
    """What may lie first in the channels of some senders to a role that does not move, while everybody goes on who can.

    Of that what is expected, by number.

    Each with a run from this place to it. It takes steps of the plot.

    A walk over the script that keeps who is blocked: the role, because it does not move; and whoever waits for a frame of
    one that is blocked. Such a sender's scene is walked through, though nothing of it happens yet: others, whom it does not
    concern, go on behind it. A scene tells all at once, so the order in which a sender tells them does not matter: either
    it is blocked and none of them has heard, or it is not and all will. Of each channel only the first frame counts: a
    sender who was heard is of no interest any more, as is one who is blocked.
    """
    found: dict[int, _Trail] = {}
    least: dict[int, list[tuple[int, int]]] = {}
    me = plot.bit[role]
    stack: list[tuple[int, int, int, _Trail | None]] = [(node, me, senders, None)]
    while stack:
        at, blocked, silent, trail = stack.pop()
        silent &= ~blocked
        if not silent:
            continue
        known = least.setdefault(at, [])
        plot.spend(1 + len(known))
        # Who has been here with no more blocked, and no fewer of interest, has found all that is to be found from here.
        if any(b & ~blocked == 0 and silent & ~s == 0 for b, s in known):
            continue
        known.append((blocked, silent))
        for edge in plot.out[at]:
            sender, told, further = plot.bit[edge.sender], plot.told[edge.number], (edge, trail)
            if sender & blocked:
                stack.append((edge.target, blocked | told, silent, further))
            elif told & me and sender & silent:
                found[edge.number] = further
                stack.append((edge.target, blocked, silent & ~sender, further))
            else:
                stack.append((edge.target, blocked, silent, further))
    return [(plot.edges[number], _walked(found[number][1])) for number in sorted(expected & found.keys())]


_Trail: TypeAlias = "tuple[Edge, _Trail | None]"
"""The last step of a run, and what was before it."""


def _walked(trail: _Trail | None) -> tuple[Edge, ...]:
    found: list[Edge] = []
    while trail is not None:
        edge, trail = trail
        found.append(edge)
    return tuple(found[::-1])


def _distinct(found: Iterator[Fault]) -> Iterator[Fault]:
    """The first of those which are about the same frames. One missing frame is missed in many states."""
    seen: set[object] = set()
    for fault in found:
        about = fault.code, frozenset(edge.source for edge in (fault.one, fault.other) if edge is not None)
        if about not in seen:
            seen.add(about)
            yield fault


# Beyond single states.


def circles(script: Script, sights: Mapping[str, Sight]) -> Iterator[tuple[str, list[str]]]:
    """Where roles end by goodbyes: exits at which some may wait for each other's in a circle, and one such circle of each."""
    for over in script.exits:
        waits: dict[str, set[str]] = {}
        for role, sight in sights.items():
            bit = 1 << sight.plot.number[over]
            for start in starts(script, sight.plot, role):
                for _, around in sight.moments(start):
                    if around & bit:
                        waits.setdefault(role, set()).update(edge.sender for edge in sight.steps(around))
        circle = _circle(waits)
        if circle:
            yield over, circle


def _stuck_at_the_end(over: str, circle: list[str]) -> Diagnostic:
    text = f"at {over}, {' waits for '.join(circle)} to say goodbye: none of them would"
    return Diagnostic("AMC406", text, role=circle[0], hint=f"inform one of them of what leads to {over}")


def _circle(after: Mapping[str, set[str]]) -> list[str]:
    """Names that follow each other back to the first; none if there is no such circle."""
    for first in after:
        last: dict[str, str] = {}
        queue = [first]
        for name in queue:
            for next in sorted(after.get(name, ())):
                if next == first:
                    path = [first, name]
                    while path[-1] != first:
                        path.append(last[path[-1]])
                    return path[::-1]
                if next not in last:
                    last[next] = name
                    queue.append(next)
    return []
