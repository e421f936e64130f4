"""Schemas as a Mermaid flowchart: text out of what is written. Knows no machine, and decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from amachine._bits import bits

if TYPE_CHECKING:
    from amachine.schema import Schema

MANY = 3
"""So many states that require the same one get a badge each, instead of an arrow: a fan of arrows hides the others."""

Direction: TypeAlias = Literal["TB", "LR", "BT", "RL"]

_LOOKS = (
    "classDef on fill:#2e7d32,stroke:#1b5e20,color:#ffffff,stroke-width:2px",
    "classDef error stroke:#c62828,stroke-width:2px",
)


def mermaid(schema: Schema, *, active: Iterable[str] = (), direction: Direction = "LR") -> str:
    """Draw a schema as a Mermaid flowchart, which GitHub and most editors show.

    A box holds an exclusive group. Arrows are relations; one that many states have to the same other one stands as a
    badge in each of them. `active` states are filled. Errors: `UnknownState`.
    """
    drawing = _Drawing(schema, schema.mask(active))
    return _text_of(direction, drawing.states(), drawing.arrows(), _LOOKS, drawing.filled())


class Arrow(NamedTuple):
    """A thick arrow from a state of one box to one of another; None stands for the box."""

    source: int
    """Which box, from 0."""
    state: str | None
    target: int
    other: str | None
    label: str
    negative: bool = False
    """It ends in a cross, not a circle."""


def mermaid_of(
    boxes: Iterable[tuple[str, Schema, Iterable[str]]],
    arrows: Iterable[Arrow] = (),
    *,
    direction: Direction = "LR",
) -> str:
    """Draw several schemas as one flowchart: a box each, of a title, a schema and what is active; and arrows between them.

    `amachine.pipes.mermaid_of` draws machines with their pipes by it. Errors: `UnknownState`.
    """
    arrows = tuple(arrows)
    titles: list[str] = []
    drawings: list[_Drawing] = []
    for at, (title, schema, active) in enumerate(boxes):
        ends = {a.state for a in arrows if a.source == at} | {a.other for a in arrows if a.target == at}
        touched = schema.mask(end for end in ends if end is not None)
        titles.append(title)
        drawings.append(_Drawing(schema, schema.mask(active), prefix=f"m{at}", touched=touched))

    def end(at: int, state: str | None) -> str:
        return f"m{at}" if state is None else f"m{at}s{drawings[at].schema.position(state)}"

    lines: list[str] = []
    for at, drawing in enumerate(drawings):
        lines += [
            f'subgraph m{at}["{_text(titles[at])}"]',
            *(f"    {line}" for line in drawing.states()),
            "end",
        ]
    for drawing in drawings:
        lines += drawing.arrows()
    for a in arrows:
        tip = "==x" if a.negative else "==o"
        lines.append(f"{end(a.source, a.state)} {tip}|{_text(a.label)}| {end(a.target, a.other)}")
    return _text_of(direction, lines, _LOOKS, *(drawing.filled() for drawing in drawings))


def _text_of(direction: str, *parts: Iterable[str]) -> str:
    """The whole text of a drawing."""
    lines = [f"flowchart {direction}", *(f"    {line}" for part in parts for line in part)]
    return "\n".join(lines) + "\n"


class _Drawing:
    """What is drawn where, worked out once. `prefix` tells its ids from another's; `touched` states are always shown."""

    def __init__(self, schema: Schema, active: int, *, prefix: str = "", touched: int = 0) -> None:
        self.schema = schema
        self.active = active
        self.prefix = prefix
        self.touched = touched
        self.boxes = _boxes(schema)
        self.boxed = {i: name for name, members in self.boxes.items() for i in members}
        self.badges = {i for i in range(schema.n) if _popularity(schema, i) >= MANY}

    def states(self) -> Iterator[str]:
        """The boxes of groups, and the states."""
        for number, (name, members) in enumerate(self.boxes.items()):
            yield f'subgraph {self.prefix}g{number}["{_text(name)}: at most one of"]'
            yield from (f"    {self._node(i)}" for i in members)
            yield "end"
        yield from (self._node(i) for i in range(self.schema.n) if i not in self.boxed and self._is_shown(i))

    def filled(self) -> Iterator[str]:
        """Which states are active, where any are."""
        if self.active:
            yield f"class {','.join(map(self._id, bits(self.active)))} on"

    def _id(self, i: int) -> str:
        return f"{self.prefix}s{i}"

    def _is_shown(self, i: int) -> bool:
        """Whether a state says anything. `Exception` is in every schema, mostly without a word."""
        schema = self.schema
        if not schema.exception >> i & 1 or (self.active | self.touched) >> i & 1:
            return True
        relations = (schema.require, schema.add, schema.remove, schema.after)
        return any(masks[i] or any(mask >> i & 1 for mask in masks) for masks in relations)

    def _node(self, i: int) -> str:
        """A state with its flags and badges, on lines of their own."""
        schema = self.schema
        flags = [word for word, mask in (("auto", schema.auto), ("multi", schema.multi)) if mask >> i & 1]
        notes = [f"⚑ {' · '.join(flags)}"] if flags else []
        notes += [f"needs {schema.names[j]}" for j in bits(schema.require[i]) if j in self.badges]
        notes += [f"in {name}" for name in self._other_groups(i)]
        mark = "★ " if i in self.badges else ""
        label = "<br/>".join(
            [mark + _text(schema.names[i]), *(f"<small>{_text(note)}</small>" for note in notes)]
        )
        kind = ":::error" if schema.exception >> i & 1 and not self.active >> i & 1 else ""
        name = self._id(i)
        return f'{name}["{label}"]{kind}' if not schema.auto >> i & 1 else f'{name}(["{label}"]){kind}'

    def _other_groups(self, i: int) -> Iterator[str]:
        """Exclusive groups that it is in besides the one whose box it stands in."""
        for group in self.schema.groups.values():
            if group.exclusive and self.schema.names[i] in group.members and group.name != self.boxed.get(i):
                yield group.name

    def arrows(self) -> Iterator[str]:
        """The relations."""
        schema, name = self.schema, self._id
        for i in range(schema.n):
            for j in bits(schema.require[i]):
                if j not in self.badges:
                    yield f"{name(i)} -->|requires| {name(j)}"
            for j in bits(schema.add[i]):
                yield f"{name(i)} ==>|adds| {name(j)}"
            for j in bits(schema.remove[i]):
                mutual = bool(schema.remove[j] >> i & 1)
                if not self._says_a_group(i, j) and not (mutual and j < i):
                    yield f"{name(i)} {'x--x|excludes|' if mutual else '--x|removes|'} {name(j)}"
            for j in bits(schema.after[i]):
                yield f"{name(i)} -.->|after| {name(j)}"

    def _says_a_group(self, i: int, j: int) -> bool:
        """Whether an exclusive group, in its box or in its badges, says already that these two exclude each other."""
        pair = {self.schema.names[i], self.schema.names[j]}
        return any(group.exclusive and pair <= {*group.members} for group in self.schema.groups.values())


def _boxes(schema: Schema) -> dict[str, tuple[int, ...]]:
    """The exclusive groups, each with the members that stand in its box: a state stands in the first of its groups."""
    taken: set[str] = set()
    boxes: dict[str, tuple[int, ...]] = {}
    for group in schema.groups.values():
        if group.exclusive:
            members = [name for name in group.members if name not in taken]
            taken |= {*members}
            if members:
                boxes[group.name] = tuple(schema.index[name] for name in members)
    return boxes


def _popularity(schema: Schema, i: int) -> int:
    """How many states require this one."""
    return sum(mask >> i & 1 for mask in schema.require)


def _text(name: str) -> str:
    """A name in which Mermaid sees no syntax."""
    return "".join(c if c.isalnum() or c in " _-.:·⚑" else f"#{ord(c)};" for c in name)
