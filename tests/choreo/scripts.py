"""Random scripts: small graphs of scenes, in which any branch may tell anybody and lead anywhere. Most are not sound."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from hypothesis import strategies as st

from amachine.choreography.builder import Builder
from amachine.choreography.script import EXIT, Inform, Script

Number = Callable[[int, int], int]
"""Any number from the first to the second, both included."""


def any_script(
    number: Number,
    *,
    roles: int = 4,
    scenes: int = 6,
    branches: int = 3,
    informs: bool = False,
    regions: bool = False,
    ending: bool = True,
) -> Script:
    """A script of at most so many. It hangs together: `structure` finds no errors, though it may find warnings.

    With `informs`, some roles are told of some branches. With `regions`, some scenes are in one that may lose a role. With
    `ending`, each scene has a way to an exit.
    """
    cast = [f"r{at}" for at in range(number(2, roles))]
    count = number(1, scenes)
    recovering = number(1, 2) if regions else 0
    exits = [EXIT, "Other"][: number(1, 2)]
    b = Builder()
    lost = cast[number(0, len(cast) - 1)] if recovering else None
    if lost is not None and len(cast) > 2:
        b.region("Pay", {lost: f"S{count}"})
    for at in range(count + recovering):
        recovery = at >= count and lost is not None
        here = [role for role in cast if role != lost] if recovery else cast
        others = list(here)
        sender = others.pop(number(0, len(others) - 1))
        inside = "Pay" if b.regions and not recovery and number(0, 1) else None
        scene = b.scene(f"S{at}", sender, region=inside)
        first, last = (count, count + recovering) if recovery else (0, count)
        for label in "abc"[: number(1, branches)]:
            to = [role for role in others if number(0, 2)]
            next = number(first, last + len(exits) - 1)
            if ending and label == "a":
                next = number(at + 1, last + len(exits) - 1)
            scene.branch(label, to=to, next=f"S{next}" if next < last else exits[next - last])
    whole = b.script("any", "S0", roles=cast, exits=exits)
    busy = {role for scene, branch in whole.branches() for role in (scene.sender, *branch.to)}
    if lost is not None and lost not in busy:  # who does nothing is not cast, so cannot be lost
        scenes_left = {id: attrs.evolve(whole.scenes[id], region=None) for id in whole.reachable()}
        whole = attrs.evolve(whole, scenes=scenes_left, regions={}, mortal=())
        busy = {role for scene, branch in whole.branches() for role in (scene.sender, *branch.to)}
    told = [
        Inform(scene.id, branch.label, role)
        for scene, branch in whole.branches()
        for role in sorted(busy)
        if informs and role not in (scene.sender, *branch.to) and not number(0, 3)
    ]
    return attrs.evolve(
        whole, roles=tuple(role for role in cast if role in busy), informs=tuple(sorted(told))
    )


def scripts(**options: Any) -> st.SearchStrategy[Script]:
    """The same, as Hypothesis draws them."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Script:
        return any_script(lambda least, most: draw(st.integers(least, most)), **options)

    return drawn()


def by_lot(lot: Random, **options: Any) -> Script:
    """The same, of one's own generator: many times as fast."""
    return any_script(lot.randint, **options)
