"""A drawing as text: Mermaid, which many pages show, dot, and SVG through Graphviz. It knows no choreography.

Whatever a name holds, it is text in the drawing, never syntax.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal, TypeAlias, get_args

import attrs

from amachine.choreography.options import one_of
from amachine.errors import AmachineError

__all__ = ["Box", "DrawingError", "Edge", "Graph", "Kind", "Node", "mermaid_text"]

Direction: TypeAlias = Literal["TB", "LR", "BT", "RL"]

_FILLS = ("#d7e8fa", "#fbe3c8", "#d9efd6", "#f6d5dd", "#e6dcf5", "#d3eeee", "#f3ebb8", "#e4e0dc")
"""One for each role, light enough for black text; then from the beginning."""

_TURN = "#ffd166"
"""No role's colour: in the drawing of one role it says something else."""

_INK, _GREY, _RED = "#1b1f24", "#6a737d", "#b42318"


class DrawingError(AmachineError):
    """A picture cannot be made."""


class Kind(StrEnum):
    """What a node stands for."""

    BEGIN = "begin"
    STEP = "step"
    """A scene, or a state in which a role waits."""
    TURN = "turn"
    """A state in which a role acts."""
    END = "end"
    ASIDE = "aside"
    """A role that is only told something."""
    AGAIN = "again"
    """It stands for another node, to which a long arrow would lead."""


@attrs.frozen
class Node:
    """Something in a drawing."""

    id: str
    lines: tuple[str, ...]
    kind: Kind = Kind.STEP
    colour: int = -1
    """Which of the colours: nodes of one role have the same one; -1: none."""
    box: str | None = None
    """The box that it stands in."""


@attrs.frozen
class Edge:
    """An arrow between two nodes, or from a box to a node."""

    source: str
    target: str
    lines: tuple[str, ...] = ()
    dashed: bool = False
    trouble: bool = False
    """It is taken only when something has gone wrong."""


@attrs.frozen
class Box:
    """Nodes that belong together."""

    id: str
    title: str
    parent: str | None = None
    dashed: bool = False


@attrs.frozen
class Graph:
    """A drawing: as Mermaid, as dot, or as a picture."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    boxes: tuple[Box, ...] = ()

    def mermaid(self, *, direction: Direction = "TB") -> str:
        """Text that GitHub and many editors show as a flowchart. Errors: `ValueError` for a direction that there is not."""
        one_of("direction", direction, get_args(Direction))
        lines = [f"flowchart {direction}", *self._mermaid_in(None, "  ")]
        lines += [f"  {each}" for each in self._mermaid_edges()]
        lines += [f"  {each}" for each in self._mermaid_looks()]
        return "\n".join(lines) + "\n"

    def dot(self, *, direction: Direction = "TB") -> str:
        """Text that Graphviz draws. Errors: as `mermaid`."""
        one_of("direction", direction, get_args(Direction))
        lines = [f"digraph {_quoted(self.name)} {{", *(f"  {each}" for each in _dot_head(direction))]
        lines += self._dot_in(None, "  ")
        lines += [f"  {each}" for each in self._dot_edges()]
        return "\n".join([*lines, "}"]) + "\n"

    def svg(self, *, direction: Direction = "TB", timeout: float = 60.0) -> str:
        """A picture, by Graphviz's program `dot`, which has so many seconds. Errors: `DrawingError`, also where there is none."""
        program = shutil.which("dot")
        if program is None:
            raise DrawingError(
                "SVG is drawn by Graphviz, and there is no program `dot`: install it (Debian: apt install graphviz; "
                "macOS: brew install graphviz), or use mermaid() or dot()"
            )
        try:
            done = subprocess.run(  # noqa: S603  # the program that was found, and no argument of anybody's
                [program, "-Tsvg"],
                input=self.dot(direction=direction).encode(),
                capture_output=True,
                timeout=timeout,
                check=True,
            )
        except subprocess.TimeoutExpired:
            raise DrawingError(f"{program} has drawn {self.name} for more than {timeout:g} s") from None
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error).encode()
            raise DrawingError(
                f"{program} cannot draw {self.name}: {said.decode(errors='replace').strip()}"
            ) from error
        return done.stdout.decode()

    # Mermaid.

    def _mermaid_in(self, box: str | None, indent: str) -> Iterator[str]:
        """The nodes and boxes in a box, or in none."""
        for node in self._within(box):
            opening, closing = {
                Kind.BEGIN: ("((", "))"),
                Kind.STEP: ("[", "]"),
                Kind.TURN: ("[", "]"),
                Kind.END: ("([", "])"),
                Kind.ASIDE: ("(", ")"),
                Kind.AGAIN: ("(", ")"),
            }[node.kind]
            yield f'{indent}{node.id}{opening}"{mermaid_text(node.lines) or " "}"{closing}'
        for each in self.boxes:
            if each.parent == box:
                yield f'{indent}subgraph {each.id}["{mermaid_text([each.title])}"]'
                yield from self._mermaid_in(each.id, f"{indent}  ")
                yield f"{indent}end"

    def _mermaid_edges(self) -> Iterator[str]:
        for edge in self.edges:
            label = f'|"{mermaid_text(edge.lines)}"|' if edge.lines else ""
            yield f"{edge.source} {'-.->' if edge.dashed else '-->'}{label} {edge.target}"

    def _mermaid_looks(self) -> Iterator[str]:
        by_colour: dict[int, list[str]] = {}
        for node in self.nodes:
            if node.colour >= 0:
                by_colour.setdefault(node.colour, []).append(node.id)
        for colour, ids in by_colour.items():
            yield f"classDef c{colour} fill:{_fill(colour)},stroke:{_GREY},color:{_INK}"
            yield f"class {','.join(ids)} c{colour}"
        for kind, look in (
            (Kind.BEGIN, f"fill:{_INK},stroke:{_INK}"),
            (Kind.TURN, f"fill:{_TURN},stroke:{_GREY},color:{_INK}"),
            (Kind.END, "stroke-width:3px"),
            (Kind.ASIDE, "stroke-dasharray:4 3"),
            (Kind.AGAIN, "fill:none,stroke:none"),
        ):
            if ids := [node.id for node in self.nodes if node.kind is kind]:
                yield f"classDef {kind}s {look}"
                yield f"class {','.join(ids)} {kind}s"
        if dashed := [box.id for box in self.boxes if box.dashed]:
            yield "classDef regions fill:none,stroke-dasharray:6 4"
            yield f"class {','.join(dashed)} regions"
        if red := [str(at) for at, edge in enumerate(self.edges) if edge.trouble]:
            yield f"linkStyle {','.join(red)} stroke:{_RED},color:{_RED}"

    # dot.

    def _dot_in(self, box: str | None, indent: str) -> Iterator[str]:
        for node in self._within(box):
            said = f"{node.id} [{_dot_look(node)}]"
            yield f"{indent}{{ rank=source {said} }}" if node.kind is Kind.BEGIN else f"{indent}{said}"
        for each in self.boxes:
            if each.parent == box:
                style = "dashed" if each.dashed else "rounded"
                yield f"{indent}subgraph cluster_{each.id} {{"
                yield f"{indent}  label={_quoted(each.title)} style={style} color={_quoted(_GREY)} labeljust=l margin=12"
                yield from self._dot_in(each.id, f"{indent}  ")
                yield f"{indent}}}"

    def _dot_edges(self) -> Iterator[str]:
        boxes = {box.id for box in self.boxes}
        for edge in self.edges:
            looks = [f"label={_quoted(*(f' {line} ' for line in edge.lines))}"] if edge.lines else []
            looks += ["style=dashed"] * edge.dashed
            looks += [f"color={_quoted(_RED)} fontcolor={_quoted(_RED)}"] * edge.trouble
            source = edge.source
            if (
                source in boxes
            ):  # Graphviz has arrows between nodes only, and cuts them off at the border of a box
                looks.append(f"ltail=cluster_{source}")
                source = self._first_in(source)
            yield f"{source} -> {edge.target} [{' '.join(looks)}]"

    def _within(self, box: str | None) -> Iterable[Node]:
        return (node for node in self.nodes if node.box == box)

    def _first_in(self, box: str) -> str:
        for node in self._within(box):
            return node.id
        return next(self._first_in(each.id) for each in self.boxes if each.parent == box)


def _fill(colour: int) -> str:
    return _FILLS[colour % len(_FILLS)]


def _dot_head(direction: Direction) -> Iterator[str]:
    font = 'fontname="Helvetica,Arial,sans-serif"'
    # With newrank, boxes do not pull what comes before them below themselves.
    yield f"rankdir={direction} newrank=true compound=true nodesep=0.35 ranksep=0.45 {font} fontsize=11 fontcolor={_quoted(_INK)}"
    yield f'node [shape=box style="rounded,filled" fillcolor=white color={_quoted(_GREY)} {font} fontsize=11 margin="0.14,0.07"]'
    yield f"edge [color={_quoted(_INK)} {font} fontsize=10 arrowsize=0.7]"


def _dot_look(node: Node) -> str:
    if node.kind is Kind.BEGIN:
        return f'label="" shape=circle width=0.18 fillcolor={_quoted(_INK)}'
    looks = [f"label={_quoted(*node.lines)}"]
    if node.colour >= 0:
        looks.append(f"fillcolor={_quoted(_fill(node.colour))}")
    if node.kind is Kind.END:
        looks.append("shape=ellipse peripheries=2 style=filled")
    elif node.kind is Kind.ASIDE:
        looks.append('style="dashed,rounded" height=0.25 fontsize=10')
    elif node.kind is Kind.AGAIN:
        looks.append("shape=plain fontsize=10")
    elif node.kind is Kind.TURN:
        looks.append(f"fillcolor={_quoted(_TURN)}")
    return " ".join(looks)


def _quoted(*lines: str) -> str:
    """Lines as a string of dot, in which backslashes and entities would be escapes."""
    table = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;", "\n": " ", "\0": " "})
    text = r"\n".join(line.translate(table) for line in lines)
    return f'"{text}"'


def mermaid_text(lines: Iterable[str]) -> str:
    """Lines in which Mermaid sees no syntax."""
    return "<br>".join(
        "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in line) for line in lines
    )


_PLAIN = frozenset(" _-.,:·…→⇢×()[]!?/+='")
