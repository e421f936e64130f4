"""A schema as a Mermaid flowchart: text in, text out of a schema. Knows no machine, and decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from amachine._bits import bits

if TYPE_CHECKING:
    from amachine.schema import Schema

MANY = 3
"""So many states that require the same one get a badge each, instead of an arrow: a fan of arrows hides the others."""

_LOOKS = (
    "classDef on fill:#2e7d32,stroke:#1b5e20,color:#ffffff,stroke-width:2px",
    "classDef error stroke:#c62828,stroke-width:2px",
)


def mermaid(
    schema: Schema, *, active: Iterable[str] = (), direction: Literal["TB", "LR", "BT", "RL"] = "LR"
) -> str:
    """Draw a schema as a Mermaid flowchart, which GitHub and most editors show.

    A box holds an exclusive group. Arrows are relations; one that many states have to the same other one stands as a
    badge in each of them. `active` states are filled. Errors: `UnknownState`.
    """
    return "\n".join(_Drawing(schema, schema.mask(active)).lines(direction)) + "\n"


class _Drawing:
    """What is drawn where, worked out once."""

    def __init__(self, schema: Schema, active: int) -> None:
        self.schema = schema
        self.active = active
        self.boxes = _boxes(schema)
        self.boxed = {i: name for name, members in self.boxes.items() for i in members}
        self.badges = {i for i in range(schema.n) if _popularity(schema, i) >= MANY}

    def lines(self, direction: str) -> Iterator[str]:
        """The diagram."""
        schema = self.schema
        yield f"flowchart {direction}"
        for number, (name, members) in enumerate(self.boxes.items()):
            yield f'    subgraph g{number}["{_text(name)}: at most one of"]'
            yield from (f"        {self._node(i)}" for i in members)
            yield "    end"
        yield from (
            f"    {self._node(i)}" for i in range(schema.n) if i not in self.boxed and self._is_shown(i)
        )
        yield from (f"    {arrow}" for arrow in self._arrows())
        yield from (f"    {look}" for look in _LOOKS)
        if self.active:
            yield f"    class {','.join(f's{i}' for i in bits(self.active))} on"

    def _is_shown(self, i: int) -> bool:
        """Whether a state says anything. `Exception` is in every schema, mostly without a word."""
        schema = self.schema
        if not schema.exception >> i & 1 or self.active >> i & 1:
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
        return f's{i}["{label}"]{kind}' if not schema.auto >> i & 1 else f's{i}(["{label}"]){kind}'

    def _other_groups(self, i: int) -> Iterator[str]:
        """Exclusive groups that it is in besides the one whose box it stands in."""
        for group in self.schema.groups.values():
            if group.exclusive and self.schema.names[i] in group.members and group.name != self.boxed.get(i):
                yield group.name

    def _arrows(self) -> Iterator[str]:
        schema = self.schema
        for i in range(schema.n):
            for j in bits(schema.require[i]):
                if j not in self.badges:
                    yield f"s{i} -->|requires| s{j}"
            for j in bits(schema.add[i]):
                yield f"s{i} ==>|adds| s{j}"
            for j in bits(schema.remove[i]):
                mutual = bool(schema.remove[j] >> i & 1)
                if not self._says_a_group(i, j) and not (mutual and j < i):
                    yield f"s{i} {'x--x|excludes|' if mutual else '--x|removes|'} s{j}"
            for j in bits(schema.after[i]):
                yield f"s{i} -.->|after| s{j}"

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
