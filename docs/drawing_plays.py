"""Draws choreographies as SVG: the scenes of a whole one, and the states of one role. Sessions, a `Trace` draws itself.

Places stand below one another, in the order in which a walk meets them. What leads to the next one down goes straight there;
all else goes round at the right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import attrs

from docs.drawing import GAP, box, svg, text, width_of

if TYPE_CHECKING:
    from amachine.choreography import Script
    from amachine.choreography.local import Give, LocalMachine, Take
    from amachine.choreography.script import BranchDef, SceneDef

LINE, LANE = 18, 14
"""Pixels: the height of a line of small text, and the distance of two arrows that pass one another."""


@attrs.define(eq=False)
class Place:
    """A scene, a state or an end, and the ways that lead on from it: what is said, and the id of what follows."""

    id: str
    note: str
    ways: Sequence[tuple[str, str]] = ()
    down: tuple[str, ...] = ()
    """What is said on the ways to the place below."""
    round: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])
    """The ways to all others."""
    y: float = 0

    @property
    def high(self) -> float:
        """Enough for its own words, and for the arrows that leave it at the right."""
        return max(42 if self.note else 28, LINE * len(self.round) + 10)

    @property
    def wide(self) -> float:
        """Enough for its own words."""
        return max(width_of(self.id), width_of(self.note, 11)) + 24

    @property
    def below(self) -> float:
        """How much room it needs below itself."""
        return max(LINE * len(self.down) + 14, GAP)

    def leaves(self, n: int) -> float:
        """At which height the n-th way leaves it at the right."""
        return self.y + (self.high - LINE * len(self.round)) / 2 + LINE * (n + 0.8)

    @property
    def arrives(self) -> float:
        """At which height it is reached from the right."""
        return self.y + 5


def draw_scenes(script: Script, title: str) -> str:
    """The whole: who chooses in each scene, what is said to whom, who is only told (⇢), and what follows."""
    scenes = [
        Place(
            scene.id,
            f"{scene.sender} chooses",
            [(_branch(script, scene, each), each.next) for each in scene.branches],
        )
        for scene in script.scenes.values()
    ]
    ends = [branch.next for _, branch in script.branches() if branch.next not in script.scenes]
    return _drawn([*scenes, *(Place(each, "") for each in dict.fromkeys(reversed(ends)))], title)


def _branch(script: Script, scene: SceneDef, branch: BranchDef) -> str:
    told = ", ".join(script.informed.get((scene.id, branch.label), ()))
    to = ", ".join(branch.to)
    return _label(branch) + f" → {to}" * bool(to) + f" ⇢ {told}" * bool(told)


def _label(what: BranchDef | Take | Give) -> str:
    kind = what.payload
    return what.label if kind is None else f"{what.label}({getattr(kind, '__name__', kind)})"


def draw_role(machine: LocalMachine, title: str) -> str:
    """What one role plays: `!bob` is said to bob, `?bob` is heard from him, and after ⇢ stands who is only told."""
    states = [
        Place(
            state.name,
            "acts" if state.acts else "waits" if state.waits else "",
            [
                *((f"?{each.peer}: {_label(each)}", each.next) for each in state.takes),
                *((_give(each), each.next) for each in state.gives),
            ],
        )
        for state in machine.states
    ]
    return _drawn(sorted(states, key=lambda state: not state.ways), title)


def _give(give: Give) -> str:
    to, told = ", ".join(give.to), ", ".join(give.informs)
    return f"!{to}: " * bool(to) + _label(give) + f" ⇢ {told}" * bool(told)


def _drawn(places: Sequence[Place], title: str) -> str:
    y: float = GAP
    for each, below in zip_longest(places, places[1:]):
        next = below.id if below else ""
        each.y, each.down = y, tuple(words for words, to in each.ways if to == next)
        each.round = [way for way in each.ways if way[1] != next]
        y += each.high + each.below
    by_id = {each.id: each for each in places}
    wide = max(each.wide for each in places)
    beside = GAP + wide
    ways = [(place, n, *way) for place in places for n, way in enumerate(place.round)]
    turn = beside + 16 + max((width_of(words, 11) for _, _, words, _ in ways), default=0) + LANE
    lanes = _lanes([(place.leaves(n), by_id[next].arrives) for place, n, _, next in ways])
    parts = [part for each in places for part in (*_place(each, wide), *_down(each))]
    for (place, n, words, next), lane in zip(ways, lanes, strict=True):
        parts += _round(beside, turn + LANE * lane, place.leaves(n), by_id[next].arrives)
        parts.append(text(beside + 10, place.leaves(n) - 7, words, "soft"))
    far = max(GAP + 46 + width_of(words, 11) for each in places for words in (*each.down, ""))
    return svg(max(turn + LANE * max(lanes, default=-1), far) + GAP, y, title, parts)


def _down(place: Place) -> Iterator[str]:
    x, y = GAP + 24, place.y + place.high
    if place.down:
        yield f'<path class="edge require" d="M{x} {y:.1f}V{y + place.below - 8:.1f}"/>'
        yield f'<path class="head require" d="M{x} {y + place.below - 1:.1f}l-4.5 -9h9z"/>'
    for n, words in enumerate(place.down):
        yield text(x + 10, y + 6 + LINE * (n + 0.5), words, "soft")


def _round(start: float, x: float, y1: float, y2: float) -> Iterator[str]:
    corner = 5 if y2 > y1 else -5
    bend = f"H{x - 5:.1f}q5 0 5 {corner}V{y2 - corner:.1f}q0 {corner} -5 {corner}H{start + 9:.1f}"
    yield f'<path class="edge require" d="M{start:.1f} {y1:.1f}{bend}"/>'
    yield f'<path class="head require" d="M{start + 1:.1f} {y2:.1f}l9 -4.5v9z"/>'


def _place(place: Place, wide: float) -> Iterator[str]:
    middle = place.y + place.high / 2
    yield "<g>" if place.ways else '<g class="on">'
    yield box(GAP, place.y, wide, place.high, "state", 7 if place.ways else 14)
    yield text(GAP + 12, middle - (8 if place.note else 0), place.id)
    if place.note:
        yield text(GAP + 12, middle + 9, place.note, "soft")
    yield "</g>"


def _lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """How far to the right each way goes round: short ones near, and no two in one lane at one height."""
    taken: list[list[tuple[float, float]]] = []
    found = [0] * len(spans)
    for n in sorted(range(len(spans)), key=lambda n: abs(spans[n][0] - spans[n][1])):
        low, high = min(spans[n]) - 4, max(spans[n]) + 4
        free = (i for i, lane in enumerate(taken) if all(high < a or b < low for a, b in lane))
        found[n] = next(free, len(taken))
        if found[n] == len(taken):
            taken.append([])
        taken[found[n]].append((low, high))
    return found
