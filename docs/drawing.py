"""Draws a schema as SVG, with no other program: values in, text out. Shapes are those that the library draws with.

Pictures are legible on a light and on a dark page: inlined in a page of the site they take the page's colours, and shown
as a file those that the reader's system asks for. `drawing_runs` draws what machines do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from amachine.choreography.seeing import svg as shapes
from amachine.choreography.seeing.svg import GAP, box, text, width_of

if TYPE_CHECKING:
    from amachine import Schema

__all__ = ["GAP", "HIGH", "box", "draw_schema", "svg", "text", "width_of"]

STYLE = """\
.am{--ink:#24292f;--soft:#59636e;--line:#8c959f;--face:#f6f8fa;--box:#f0f3f6;--on:#2e7d32;--onink:#fff;\
--require:#3f6ea8;--add:#2e7d32;--remove:#c62828;--after:#7a6a9a;font:13px/1.2 system-ui,"Segoe UI",Roboto,sans-serif}
@media (prefers-color-scheme:dark){.am{--ink:#e6edf3;--soft:#9da7b3;--line:#6e7681;--face:#1c2330;--box:#161c26;\
--on:#388e3c;--require:#8ab4f0;--add:#6fcf76;--remove:#ff7b72;--after:#b8a4e0}}
.am text{fill:var(--ink)}.am .soft{fill:var(--soft);font-size:11px}.am .tick{font-size:11px;fill:var(--soft)}
.am .mid{text-anchor:middle}.am .bar .tick{fill:var(--onink)}
.am .state{fill:var(--face);stroke:var(--line);stroke-width:1.2}.am .on .state{fill:var(--on);stroke:var(--on)}
.am .on text{fill:var(--onink)}.am .auto .state{stroke-dasharray:4 3}
.am .box{fill:var(--box);stroke:var(--line);stroke-width:.8;stroke-dasharray:2 3}
.am .edge{fill:none;stroke-width:1.5}.am .rule{stroke:var(--line);stroke-width:.8;stroke-dasharray:2 4}
.am .require{stroke:var(--require)}.am .add{stroke:var(--add);stroke-width:2.4}
.am .remove{stroke:var(--remove)}.am .after{stroke:var(--after);stroke-dasharray:5 4}
.am .head.require{fill:var(--require);stroke:none}.am .head.add{fill:var(--add);stroke:none}
.am .head.after{fill:var(--after);stroke:none}.am .head.remove{fill:none;stroke-width:2.4}
.am .bar rect{fill:var(--on)}.am .no{fill:var(--remove)}.am .commit{stroke:var(--on);stroke-width:2.4}
"""

HIGH, STEP = 30, 96
"""Pixels: how high a state is, and how far states stand apart to the right; downwards it is GAP."""

WORDS = {"require": "requires", "add": "adds", "remove": "removes", "after": "after"}

svg = partial(shapes.svg, style=STYLE)
"""The file around what was drawn."""


# A schema.


@attrs.define(eq=False)
class Spot:
    """A state, and where it stands: the place is that of its left upper corner."""

    name: str
    note: str
    wide: float
    x: float = 0
    y: float = 0

    @property
    def middle(self) -> float:
        """Half its height."""
        return self.y + HIGH / 2 if self.name else self.y


@attrs.define(eq=False)
class Block:
    """What stands together: the members of an exclusive group, or one state alone."""

    title: str
    spots: list[Spot]
    layer: int = 0
    y: float = 0

    @property
    def wide(self) -> float:
        """Its width, with the frame of a group."""
        inside = max(spot.wide for spot in self.spots)
        return max(inside + 2 * GAP, width_of(self.title, 11) + 2 * GAP) if self.title else inside

    @property
    def high(self) -> float:
        """Its height, with the frame of a group."""
        inside = len(self.spots) * (HIGH + GAP) - GAP
        return inside + 2 * GAP + 14 if self.title else inside if self.spots[0].name else 0


def draw_schema(schema: Schema, active: Iterable[str] = (), title: str = "") -> str:
    """A schema: what is required stands to the left of what requires it, and a frame holds an exclusive group."""
    on = {*active}
    edges = list(_edges(schema))
    told = {name for edge in edges for name in edge[1:]} | {
        n for g in schema.groups.values() for n in g.members
    }
    blocks = _blocks(schema, [name for name in schema.names if name != "Exception" or name in told | on])
    of = {spot.name: block for block in blocks for spot in block.spots}
    _put_in_layers(blocks, of, edges)
    ways = [_way(edge, of, blocks) for edge in edges]
    width, height = _put_in_place(blocks, ways)
    spots = {spot.name: spot for block in blocks for spot in block.spots if spot.name}
    parts = [part for block in blocks for part in _frame(block)]
    ports = _ports(ways)
    parts += [part for n, edge in enumerate(edges) for part in _arrow(edge[0], ways[n], ports[n])]
    parts += [part for spot in spots.values() for part in _state(schema, spot, on=spot.name in on)]
    used = [kind for kind in WORDS if any(edge[0].startswith(kind) for edge in edges)]
    legend, far = _legend(used, height)
    return svg(max(width, far), height + (30 if used else 0), title or schema.name, [*parts, *legend])


def _edges(schema: Schema) -> Iterator[tuple[str, str, str]]:
    """The relations that are drawn: kind, from, to. What the frame of a group says is not said again."""
    together = {
        (a, b)
        for group in schema.groups.values()
        if group.exclusive
        for a in group.members
        for b in group.members
    }
    for state in schema.states:
        for kind in ("require", "add", "after"):
            for other in getattr(state, kind):
                yield kind, state.name, other
        for other in state.remove:
            mutual = state.name in schema[other].remove
            if (state.name, other) not in together and not (mutual and other < state.name):
                yield ("remove both" if mutual else "remove"), state.name, other


def _blocks(schema: Schema, names: Sequence[str]) -> list[Block]:
    spots: dict[str, Spot] = {}
    for name in names:
        state = schema[name]
        args = getattr(state.args, "__name__", "") if state.args not in (None, dict) else ""
        words = ["auto"] * state.auto + ["multi"] * state.multi + [args] * bool(args and name != "Exception")
        if name == "Exception":
            words = []
        note = " · ".join(words)
        spots[name] = Spot(name, note, width_of(name) + 24 + (width_of(note, 11) + 10 if note else 0))
    blocks: list[Block] = []
    for group in schema.groups.values():
        members = [spots.pop(name) for name in group.members if group.exclusive and name in spots]
        if members:
            widest = max(spot.wide for spot in members)
            for spot in members:
                spot.wide = widest
            blocks.append(Block(f"{group.name}: at most one", members))
    blocks += [Block("", [spot]) for spot in spots.values()]
    order = {name: place for place, name in enumerate(names)}
    return sorted(blocks, key=lambda block: order[block.spots[0].name])


def _put_in_layers(
    blocks: list[Block], of: Mapping[str, Block], edges: Iterable[tuple[str, str, str]]
) -> None:
    """To the right of everything that it requires, and of what adds it; a cycle is cut where it closes."""
    before: dict[Block, list[Block]] = {block: [] for block in blocks}
    for kind, source, target in edges:
        early, late = (of[source], of[target]) if kind == "add" else (of[target], of[source])
        if kind in ("require", "add", "after") and early is not late:
            before[late].append(early)
    done: set[Block] = set()

    def place(block: Block, path: tuple[Block, ...]) -> int:
        if block not in done:
            layers = [place(each, (*path, block)) for each in before[block] if each not in path]
            block.layer = max(layers, default=-1) + 1
            done.add(block)
        return block.layer

    for block in blocks:
        place(block, (block,))


def _way(edge: tuple[str, str, str], of: Mapping[str, Block], blocks: list[Block]) -> list[Spot]:
    """What a relation passes on its way: an empty spot in each layer between its ends, so that nothing hides it."""
    ends = [next(spot for spot in of[name].spots if spot.name == name) for name in edge[1:]]
    first, last = (of[name].layer for name in edge[1:])
    step = 1 if last > first else -1
    between = [Block("", [Spot("", "", 0)], layer) for layer in range(first + step, last, step)]
    blocks += between
    return [ends[0], *(block.spots[0] for block in between), ends[1]]


def _put_in_place(blocks: list[Block], ways: Sequence[Sequence[Spot]]) -> tuple[float, float]:
    """Give each block its place, near what it is related to. Returns width and height."""
    home = {spot: block for block in blocks for spot in block.spots}
    near: dict[Block, list[Spot]] = {block: [] for block in blocks}
    for way in ways:
        for a, b in pairwise(way):
            if home[a].layer != home[b].layer:
                near[home[a]].append(b)
                near[home[b]].append(a)
    layers = [[b for b in blocks if b.layer == n] for n in range(max(b.layer for b in blocks) + 1)]
    height = max(sum(b.high + GAP for b in layer) for layer in layers) + GAP
    for _ in range(4):
        for layer in layers:
            _stack(layer, height)
        for layer in layers:
            layer.sort(key=lambda block: _pull(block, near[block]))
    for layer in layers:
        _stack(layer, height)
    x: float = GAP
    for layer in layers:
        widest = max(block.wide for block in layer)
        for block in layer:
            for spot in block.spots:
                spot.x = x + (block.wide - spot.wide) / 2
                if not spot.name:
                    spot.x, spot.wide = x, widest
        x += widest + STEP
    beside = any(home[way[0]].layer == home[way[-1]].layer for way in ways)
    return x - STEP + GAP + (40 if beside else 0), height


def _stack(layer: Sequence[Block], height: float) -> None:
    """Put the blocks of a layer below one another, in the middle."""
    y = (height - sum(b.high + GAP for b in layer) + GAP) / 2
    for block in layer:
        block.y = y
        for n, spot in enumerate(block.spots):
            spot.y = y + n * (HIGH + GAP) + (GAP + 14 if block.title else 0)
        y += block.high + GAP


def _pull(block: Block, near: Sequence[Spot]) -> float:
    """Where a block would like to be: in the middle of what it is related to in other layers."""
    heights = [spot.middle for spot in near]
    return sum(heights) / len(heights) if heights else block.y + block.high / 2


def _ports(ways: Sequence[Sequence[Spot]]) -> list[tuple[float, float]]:
    """At which heights each relation leaves and arrives: several at one side of a state stand apart."""
    sides: dict[tuple[Spot, bool], list[tuple[float, int, int]]] = {}
    for n, way in enumerate(ways):
        for end, spot, other in ((0, way[0], way[1]), (1, way[-1], way[-2])):
            right = other.x > spot.x or _is_beside(spot, other)
            sides.setdefault((spot, right), []).append((other.middle, n, end))
    heights = [[way[0].middle, way[-1].middle] for way in ways]
    for (spot, _), found in sides.items():
        apart = min(9.0, (HIGH - 8) / max(1, len(found) - 1))
        for place, (_, n, end) in enumerate(sorted(found)):
            heights[n][end] = spot.middle + apart * (place - (len(found) - 1) / 2)
    return [(a, b) for a, b in heights]


def _is_beside(a: Spot, b: Spot) -> bool:
    return a.x < b.x + b.wide and b.x < a.x + a.wide


def _frame(block: Block) -> Iterator[str]:
    if block.title:
        x = block.spots[0].x - (block.wide - block.spots[0].wide) / 2
        yield box(x, block.y, block.wide, block.high, "box", 10)
        yield text(x + 12, block.y + 15, block.title, "soft")


def _state(schema: Schema, spot: Spot, *, on: bool) -> Iterator[str]:
    looks = " ".join(word for word, there in (("on", on), ("auto", schema[spot.name].auto)) if there)
    yield f'<g class="{looks}">'
    yield box(spot.x, spot.y, spot.wide, HIGH, "state", HIGH / 2 if schema[spot.name].auto else 6)
    yield text(spot.x + 12, spot.middle, spot.name)
    if spot.note:
        yield text(spot.x + spot.wide - 12 - width_of(spot.note, 11), spot.middle, spot.note, "soft")
    yield "</g>"


def _arrow(relation: str, way: Sequence[Spot], ports: tuple[float, float]) -> Iterator[str]:
    """A relation as a curve between the near sides of two states; with an arrow, or with a bar where it removes."""
    kind, _, both = relation.partition(" ")
    (a, *between, b), (y1, y2) = way, ports
    if _is_beside(a, b):  # one above the other: around, on the right
        x1, x2, side1, side2 = a.x + a.wide, b.x + b.wide, 1, 1
        out = max(x1, x2) + 20 + abs(a.y - b.y) / 12
        line = f"C{out:.1f} {y1:.1f} {out:.1f} {y2:.1f} {x2 + 6:.1f} {y2:.1f}"
    else:
        side1 = 1 if b.x > a.x else -1
        side2 = -side1
        x1, x2 = (a.x + a.wide, b.x) if side1 > 0 else (a.x, b.x + b.wide)
        line, at = "", (x1, y1)
        for spot in between:
            near, far = (spot.x, spot.x + spot.wide) if side1 > 0 else (spot.x + spot.wide, spot.x)
            line += _curve(*at, near, spot.middle) + f"H{far:.1f}"
            at = far, spot.middle
        line += _curve(*at, x2 + 6 * side2, y2)
    yield f'<path class="edge {kind}" d="M{x1:.1f} {y1:.1f}{line}"/>'
    yield _head(kind, x2, y2, side2)
    if both:
        yield _head(kind, x1, y1, side1)


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    bend = (x2 - x1) / 2
    return f"C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"


def _head(kind: str, x: float, y: float, side: int) -> str:
    """The end of an arrow at the left (-1) or right (1) side of a state."""
    if kind == "remove":
        return f'<path class="head remove" d="M{x + 5 * side:.1f} {y - 6:.1f}v12"/>'
    return f'<path class="head {kind}" d="M{x + side:.1f} {y:.1f}l{9 * side} -4.5v9z"/>'


def _legend(kinds: Iterable[str], y: float) -> tuple[list[str], float]:
    parts: list[str] = []
    x: float = GAP
    for kind in kinds:
        parts.append(f'<path class="edge {kind}" d="M{x} {y + 8}h22"/>')
        parts.append(_head(kind, x + 29 if kind != "remove" else x + 27, y + 8, -1))
        parts.append(text(x + 36, y + 8, WORDS[kind], "soft"))
        x += 36 + width_of(WORDS[kind], 11) + 22
    return parts, x
