"""The graph that a script function becomes: who does what, whom it tells, and what comes next.

Between the source and the script. It also tidies: what a role does by itself right after it heard or said something needs no
scene of its own. It compiles nothing and knows no types.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from amachine.choreography.functions.sources import Source
from amachine.choreography.script import Place

__all__ = [
    "Choose",
    "Edge",
    "End",
    "Exits",
    "Forward",
    "Frame",
    "Node",
    "Piece",
    "Site",
    "Target",
    "Work",
    "assigned",
    "final",
    "names_of",
    "nodes_from",
    "place_of_loop",
    "settle_local_work",
]


@attrs.frozen(eq=False)
class Frame:
    """One inlined call of a script function: who plays its parameters."""

    source: Source
    roles: Mapping[str, str]
    """By parameter, the role of the whole that plays it here."""
    variables: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    """By name, what is known of a value that a role keeps for itself. Names of our own begin with a dot."""
    classes: Mapping[str, type] = attrs.field(factory=dict[str, type], repr=False)
    """By names of our own, the classes that its code compares with."""

    def key(self, variable: str) -> str:
        """Under what a role keeps a value of that name. A function is never inside of itself, so that this is enough."""
        return f"{self.source.function.__module__}.{self.source.function.__qualname__}.{variable}"


@attrs.frozen(eq=False)
class Piece:
    """Statements that one role performs."""

    frame: Frame
    role: str
    """The parameter that plays."""
    body: tuple[ast.stmt, ...]

    def words(self) -> list[str]:
        """The names to which it gives values."""
        return [word for each in self.body for word in assigned(each)]


def assigned(statement: ast.stmt) -> list[str]:
    """The names that a plain statement binds."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [each.id for each in targets if isinstance(each, ast.Name)]


@attrs.frozen(eq=False)
class Site:
    """Where in a function something is said or done. All inlined calls share it."""

    source: Source
    node: ast.AST
    number: int
    """Which of those at this node."""
    name: str
    """What it is about: the operation or data that is said."""
    sender: str
    receivers: tuple[str, ...]

    @property
    def place(self) -> Place:
        """Where it is written."""
        return self.source.place(self.node)


@attrs.define(eq=False)
class Edge:
    """A branch: what goes along, who gets it, what both do about it, and what comes next."""

    label: str
    next: Node | Forward | End
    place: Place
    to: str | None = None
    """The role of the whole that gets it."""
    payload: Any = None
    names: tuple[str, ...] = ()
    """What the script calls it."""
    value: ast.expr | None = None
    """What the sender sends."""
    binding: tuple[str, ...] = ()
    """The names under which the receiver knows what it gets."""
    pack: type | None = None
    """The class of tuples in which it travels, if it does not go bare."""
    receiver: str = ""
    """The parameter that gets it."""
    after: list[Piece] = attrs.field(factory=list[Piece])
    """What the sender does when it has chosen."""
    heard: list[Piece] = attrs.field(factory=list[Piece])
    """What the receiver does about it."""


Choose: TypeAlias = Callable[[Callable[[str], "list[ast.stmt]"]], "list[ast.stmt]"]
"""Given what is done for each label, the statements that choose one."""


@attrs.frozen(eq=False)
class Work:
    """How a sender chooses its branch."""

    frame: Frame
    role: str
    choose: Choose
    binding: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict[str, tuple[str, ...]])
    """By label, the names that choosing it binds for the sender."""
    helpers: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """What the statements use beside the user's names; these names begin with a dot."""


@attrs.define(eq=False)
class Node:
    """One role acts: it chooses one of its edges. Without `work`, it only performs `before`, and has one edge to nobody."""

    site: Site
    sender: str
    """The role of the whole that plays."""
    frame: Frame
    edges: dict[str, Edge]
    work: Work | None = None
    before: list[Piece] = attrs.field(factory=list[Piece])


@attrs.define(eq=False)
class Forward:
    """A place that is not there yet: the head of a loop, while its body is read."""

    target: Node | Forward | End | None = None
    place: Place | None = None


@attrs.frozen(eq=False)
class End:
    """The choreography is over, with this value."""

    value: object


Target: TypeAlias = Node | Forward | End
"""Where something goes on."""


@attrs.frozen(eq=False)
class Exits:
    """Where a call goes on, by what the function returns."""

    pick: Callable[[object], Target]


def final(at: Target) -> Node | End | None:
    """What a place is in the end; None for a loop in which nothing is ever said or done."""
    seen: set[int] = set()
    while isinstance(at, Forward):
        if id(at) in seen or at.target is None:
            return None
        seen.add(id(at))
        at = at.target
    return at


def place_of_loop(at: Target) -> Place | None:
    """Where the first loop is written that is met on the way to a place."""
    seen: set[int] = set()
    while isinstance(at, Forward) and at.place is None and at.target is not None and id(at) not in seen:
        seen.add(id(at))
        at = at.target
    return at.place if isinstance(at, Forward) else None


def nodes_from(start: Target) -> Iterator[Node]:
    """All that can follow, in the order in which a walk in breadth meets it."""
    first = final(start)
    queue = [first] if isinstance(first, Node) else []
    seen = set(map(id, queue))
    for node in queue:
        yield node
        for edge in node.edges.values():
            after = final(edge.next)
            if isinstance(after, Node) and id(after) not in seen:
                seen.add(id(after))
                queue.append(after)


def settle_local_work(start: Target) -> Target:
    """Let each role do its own work where it last heard or said something; else where it next says something.

    Returns the start: it may be another node then. What is left keeps its scene, which tells nobody.
    """
    for node in list(nodes_from(start)):
        if node.work is None and node is not final(start):
            _settle_behind(node, start)
    for node in reversed(list(nodes_from(start))):
        if node.work is None:
            start = _settle_ahead(node, start)
    return start


def _ways_in(start: Target) -> dict[int, list[tuple[Node, Edge]]]:
    """By the identity of a node, from where it is reached."""
    ways: dict[int, list[tuple[Node, Edge]]] = {}
    for node in nodes_from(start):
        for edge in node.edges.values():
            ways.setdefault(id(final(edge.next)), []).append((node, edge))
    return ways


def _settle_behind(node: Node, start: Target) -> None:
    """Move what a role does by itself to where it last took part, if every way from there leads here."""
    ways = _ways_in(start)
    first, at = final(start), node
    while at is not first and len(ways.get(id(at), ())) == 1:
        ((before, edge),) = ways[id(at)]
        if edge.to == node.sender:
            edge.heard += node.before
        elif before.sender == node.sender:
            edge.after += node.before
        elif len(before.edges) == 1:
            at = before
            continue
        else:
            return
        for _, way in ways[id(node)]:
            way.next = _next(node)
        return


def _settle_ahead(node: Node, start: Target) -> Target:
    """Move what a role does by itself to where it next says something, if that just follows, and only from here."""
    after = final(_next(node))
    ways = _ways_in(start)
    if not isinstance(after, Node) or after is node or after.sender != node.sender:
        return start
    if len(ways.get(id(after), ())) != 1 or after is final(start):
        return start
    (edge,) = node.edges.values()
    after.before[:0] = [*node.before, *edge.after]
    for _, way in ways.get(id(node), ()):
        way.next = after
    return after if final(start) is node else start


def _next(node: Node) -> Target:
    (edge,) = node.edges.values()
    return edge.next


def names_of(nodes: list[Node], camel: Callable[[str], str]) -> dict[Site, str]:
    """By site, a name of its own: that of its function and what it is about; where several are, who says it, or to whom.

    No name depends on lines, nor on what other functions do.
    """
    alike: dict[tuple[Source, str], dict[tuple[int, int, int], Site]] = {}
    for node in nodes:
        site = node.site
        place = (site.place.line, getattr(site.node, "col_offset", 0), site.number)
        alike.setdefault((site.source, site.name), {}).setdefault(place, site)
    names: dict[Site, str] = {}
    for (source, about), by_place in alike.items():
        sites = [by_place[place] for place in sorted(by_place)]
        plain = camel(source.name) + camel(about)
        endings = [""] if len(sites) == 1 else _endings(sites, camel)
        names.update({site: plain + ending for site, ending in zip(sites, endings, strict=True)})
    return {node.site: names[_first(alike, node.site)] for node in nodes}


def _first(alike: Mapping[tuple[Source, str], Mapping[tuple[int, int, int], Site]], site: Site) -> Site:
    place = (site.place.line, getattr(site.node, "col_offset", 0), site.number)
    return alike[site.source, site.name][place]


def _endings(sites: list[Site], camel: Callable[[str], str]) -> list[str]:
    """What tells sites of one name apart."""
    for endings in (
        ["".join(map(camel, site.receivers)) for site in sites],
        [camel(site.sender) for site in sites],
        [camel(site.sender) + "".join(map(camel, site.receivers)) for site in sites],
    ):
        if len(set(endings)) == len(sites) and "" not in endings:
            return endings
    count: Counter[str] = Counter(site.name for site in sites)
    return ["" if number == 0 else str(number + 1) for number in range(count.total())]
