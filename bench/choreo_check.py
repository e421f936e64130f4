"""What it costs to check a choreography: 401 scenes of 8 roles, read already, projected and all conditions looked at."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from amachine.choreography.builder import Builder
from amachine.choreography.check import check
from amachine.choreography.inform import auto
from amachine.choreography.script import Script
from bench.measure import Effort, Row, Target, ruled

MOST = 0.5
"""Seconds for all checks."""

ROLES = tuple(f"Role{at}" for at in range(8))


def big(rounds: int = 100) -> Script:
    """Rounds of four scenes, in casts that change; some choices are made out of earshot of those who act next."""
    b = Builder()
    for at in range(rounds):
        first, second, third, *others = ROLES[at % 8 :] + ROLES[: at % 8]
        ask, answer = b.scene(f"Ask[{at}]", first), b.scene(f"Answer[{at}]", second)
        weigh, tell = b.scene(f"Weigh[{at}]", first), b.scene(f"Tell[{at}]", third)
        following = f"Ask[{(at + 1) % rounds}]"
        ask.branch("ask", int, to=(second, third), next=answer)
        ask.branch("stop", to=(second, third, *others), next="Exit")
        answer.branch("yes", to=first, next=weigh).branch("no", to=first, next=ask)
        weigh.branch("good", to=third, next=tell).branch("bad", to=third, next=following)
        tell.branch("told", str, to=(first, second), next=following)
    start = b.scene("Start", ROLES[0]).branch("start", to=ROLES[1:], next="Ask[0]")
    return b.script("big", start, roles=ROLES)


def rows(effort: Effort) -> Iterator[Row]:
    script = auto(big(effort.operations(100)))
    small = auto(big(8))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(effort.rounds // 6 + 2):
        for times, given in ((ours, script), (theirs, small)):
            began = perf_counter()
            check(given)
            times.append(perf_counter() - began)
    yield ruled(
        "choreo-check",
        f"check {len(script.scenes)} scenes, 8 roles",
        f"{len(small.scenes)} scenes",
        ours,
        theirs,
        "s",
        Target(most=0),
        says=f"≤ {MOST:g} s",
        met=min(ours) <= MOST,
        note=f"{len(script.informs)} informs",
    )
