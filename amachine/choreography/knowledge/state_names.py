"""How the states of a role are called: `Send`, `AwaitCheckHash_final`, `Done`. Names only: what the states are is decided."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from amachine._rules import fold
from amachine.choreography.script import SceneDef, Script

__all__ = ["Meaning", "named", "reserved"]

_MOST = 3
"""Of how many scenes the name of a waiting state tells."""

_ENGINES = ("Exception", "SessionUp", "Closing", "Violation", "StepTimeout", "Trouble", "Aborted")


@attrs.frozen
class Meaning:
    """What a state is named for."""

    scenes: tuple[SceneDef, ...]
    """In which it acts, or of which it may hear. None: the role is through."""
    acts: bool
    final: str
    """How it is called when the role is through."""
    through: str
    """The label through which it is first entered."""


def named(script: Script, role: str, states: Iterable[Meaning]) -> list[str]:
    """A name for each, in order: no two differ only in case or underscores, and none is one that engines use.

    A state is called after its scenes. Where this is not enough, the rest of their casts is added; then the label through
    which the state is first entered, to all but the first; then a number.
    """
    meanings = list(states)
    taken = {fold(name) for name in reserved(script)}
    taken |= {fold(each.final) for each in meanings if not each.scenes}
    wanted = [_base(each, taken) for each in meanings]
    names: list[str] = []
    for base, casts in zip(wanted, _casts(role, meanings, wanted), strict=True):
        meaning = meanings[len(names)]
        names.append(_free(base + casts, meaning.through, taken) if meaning.scenes else base)
    return names


def _base(state: Meaning, taken: set[str]) -> str:
    if not state.scenes:
        return state.final
    names = list(dict.fromkeys(_word(scene.name) for scene in state.scenes))
    if state.acts:
        return names[0] if fold(names[0]) not in taken else f"{names[0]}Scene"
    return "Await" + "_".join(names[:_MOST]) + ("_etc" if len(names) > _MOST else "")


def _casts(role: str, states: list[Meaning], bases: list[str]) -> list[str]:
    """For each what is to be added of its cast: as many names as tell those apart that are called the same."""
    casts = [_others(role, state) for state in states]
    groups: dict[str, set[tuple[str, ...]]] = {}
    for base, cast in zip(bases, casts, strict=True):
        groups.setdefault(fold(base), set()).add(cast)
    added: list[str] = []
    for base, cast in zip(bases, casts, strict=True):
        group = groups[fold(base)]
        enough = next(length for length in range(99) if len({each[:length] for each in group}) == len(group))
        added.append("".join(f"_{_word(other)}" for other in cast[:enough]))
    return added


def _others(role: str, state: Meaning) -> tuple[str, ...]:
    """The casts of its scenes without the role, senders first."""
    casts = [(scene.sender, *scene.receivers) for scene in state.scenes]
    return tuple(dict.fromkeys(other for cast in casts for other in cast if other != role))


def _free(name: str, through: str, taken: set[str]) -> str:
    """The name itself, or one made of it that nobody has. It is taken then."""
    tries = [name, *([f"{name}_{_word(through)}"] if through else [])]
    number = 2
    while fold(tries[0]) in taken:
        if len(tries) > 1:
            del tries[0]
        else:
            tries = [f"{name}_{number}"]
            number += 1
    taken.add(fold(tries[0]))
    return tries[0]


def _word(name: str) -> str:
    """The name as part of a name: without what could be no part of an identifier."""
    return re.sub(r"\W+", "_", name).strip("_") or "scene"


def reserved(script: Script) -> Iterable[str]:
    """The states that the machine of some role has anyway, beside those of the script and `Done`."""
    yield from _ENGINES
    for role in script.roles:
        yield from (f"{role}Up", f"{role}Lost")
    for region in script.regions:
        yield from (f"In{region}", f"Recover{region}")
