"""The consensus: which states are active when a mutation is granted. Pure functions of sets; no memory, no clock, no chance.

The same question has the same answer on every run, whatever the hash seed, the order of activation, or the order in which
states were named. The text is SEMANTICS section 3; the letters of the steps are those of the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from amachine._bits import bits, mask_of
from amachine.mutation import Kind

if TYPE_CHECKING:
    from amachine.schema import Schema


class Resolution(NamedTuple):
    """What a mutation comes to, before any handler is asked. All sets are masks."""

    target: int
    """The states that will be active."""
    accepted: bool
    enters: int
    """Newly active states, and the called multi states that are active already."""
    exits: int
    reentries: int
    """The called multi states among `enters` that are active already."""


def resolve(
    schema: Schema, active: int, kind: Kind, called: int, *, partial: bool = False, banned: int = 0
) -> Resolution:
    """Resolve one mutation on a set of active states.

    `partial` is for auto mutations, which are accepted as soon as one called state is in. `banned` states are not implied,
    nor do they return: those that were vetoed out of an auto mutation. `kind` is not TOGGLE: whoever asks has decided.
    """
    if kind is Kind.ADD:
        base = active | called
    elif kind is Kind.SET:
        base = called
    else:
        base = active & ~called
        banned |= called
    reentered = called & active & schema.multi if kind is not Kind.REMOVE and not partial else 0
    sources = (base & ~active) | reentered  # whose Add relations count, as far as they are in

    dropped = 0
    while True:
        members = _imply(schema, base & ~dropped, sources & ~dropped, active, banned | dropped)
        out = _unmet(schema, members)
        if not out:
            out = _conflicting(schema, members, base, called if kind is not Kind.REMOVE else 0)
            if not out:
                break
        dropped |= out
    target = _second_chance(schema, members, base, called, active, reentered, banned)

    if kind is Kind.REMOVE:
        accepted = True
    elif partial:
        accepted = bool(called & target)
    else:
        accepted = called & target == called
    reentries = reentered & target
    return Resolution(target, accepted, target & ~active | reentries, active & ~target, reentries)


def _imply(schema: Schema, members: int, sources: int, active: int, banned: int) -> int:
    """Step a: close under Add. An implied state that was active already is a member, but implies nothing further."""
    frontier = sources
    while frontier:
        implied = 0
        for i in bits(frontier):
            implied |= schema.add[i]
        implied &= ~(members | banned)
        members |= implied
        frontier = implied & ~active
    return members


def _unmet(schema: Schema, members: int) -> int:
    """Step b: the members that have to go because a state that they require is not a member, or goes."""
    stay = members
    while True:
        unmet = mask_of(i for i in bits(stay) if schema.require[i] & ~stay)
        if not unmet:
            return members & ~stay
        stay &= ~unmet


def _conflicting(schema: Schema, members: int, base: int, called: int) -> int:
    """Step c: the members that another one removes, visited from the weakest claim to the strongest."""
    stay = members
    implied = members & ~base
    for claim in (implied, members & base & ~called, members & called):
        for i in reversed(tuple(bits(claim))):
            against = schema.removed_by[i] & stay
            if implied >> i & 1:  # optional: it never refuses what was asked for
                against |= schema.remove[i] & called & stay
            if against:
                stay &= ~(1 << i)
    return members & ~stay


def _second_chance(
    schema: Schema, target: int, base: int, called: int, active: int, reentered: int, banned: int
) -> int:
    """Step 3: let back in whatever nothing that is in speaks against, strongest claim first."""
    while True:
        implied = 0
        for i in bits(target & (~active | reentered)):
            implied |= schema.add[i]
        candidates = (base | implied) & ~target & ~banned
        for claim in (candidates & base & called, candidates & base & ~called, candidates & ~base):
            back = next((i for i in bits(claim) if not objections(schema, target, i)), None)
            if back is not None:
                target |= 1 << back
                break
        else:
            return target


def objections(schema: Schema, target: int, state: int) -> int:
    """What keeps a state out of a target: missing ones it requires, present ones that remove it or that it removes."""
    return schema.require[state] & ~target | (schema.removed_by[state] | schema.remove[state]) & target


def autos(schema: Schema, active: int) -> int:
    """The states that one auto mutation calls: inactive Auto states that no active state removes."""
    called = schema.auto & ~active
    if called:
        for i in bits(active):
            called &= ~schema.remove[i]
    return called


def reason(schema: Schema, target: int, active: int, state: int) -> str:
    """Why a state is left out of a target, in words; empty where nothing speaks against it."""
    names = schema.names
    for i in bits(schema.require[state] & ~target):
        lost = "would be lost" if active >> i & 1 else "is inactive"
        return f"{names[state]} requires {names[i]}, which {lost}"
    for i in bits(schema.removed_by[state] & target):
        return f"{names[state]} is removed by {names[i]}, which {'is active' if active >> i & 1 else 'is called or implied'}"
    for i in bits(schema.remove[state] & target):
        return f"{names[state]} removes {names[i]}, which {'is active' if active >> i & 1 else 'is called or implied'}"
    return ""


def conflicts(schema: Schema, active: int) -> tuple[str, ...]:
    """Why these states could not be active together, a sentence each; none where relations allow it."""
    names = schema.names
    found: list[str] = []
    for i in bits(active):
        lacking = schema.names_of(schema.require[i] & ~active)
        if lacking:
            found.append(f"{names[i]} is active, and requires {', '.join(lacking)}")
        found += [
            f"{names[i]} is active, and removes {other}"
            for other in schema.names_of(schema.remove[i] & active)
        ]
    return tuple(found)
