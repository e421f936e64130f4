"""A choreography as a drawing: the whole, or what one role plays. It says what is there and leaves out nothing that is sent.

The whole: a node is a scene, with who says it to whom; an arrow is what can be said, and where it leads. Scenes of one
call of a function, or of one instance of a template, share a box, those of a region a dashed one. Who is only told that
something was said hangs at the scene on a dashed arrow. A role: a node is a state, coloured where it is its turn, an arrow a
step: `!bob: ping(int)` is said, `?bob: pong(int)` is heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from amachine.choreography.seeing.drawing import Box, DrawingError, Edge, Graph, Kind, Node
from amachine.choreography.seeing.steps import after, chooses, hears
from amachine.choreography.seeing.titles import arguments, saying, scene_name, titles

if TYPE_CHECKING:
    from amachine.choreography.local import LocalMachine, LocalState
    from amachine.choreography.script import BranchDef, SceneDef, Script

__all__ = ["DrawingError", "Graph", "graph_of", "graph_of_role"]

LARGE = 12
"""From so many scenes on, what leads back out of a box is written, not drawn: such arrows would hide the others."""


def graph_of(script: Script) -> Graph:
    """The drawing of a whole choreography."""
    return _Whole(script).graph()


def graph_of_role(local: LocalMachine) -> Graph:
    """The drawing of what one role plays."""
    return _Role(local).graph()


class _Whole:
    """A script being drawn."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.titles = titles(script)
        self.order = {id: at for at, id in enumerate(script.scenes)}
        self.ids = {id: f"s{at}" for id, at in self.order.items()}
        ends = {branch.next: None for _, branch in script.branches() if branch.next not in script.scenes}
        ends |= {
            next: None
            for region in script.regions.values()
            for _, next in region.on_lost
            if next not in script.scenes
        }
        ends |= {} if script.start in script.scenes else {script.start: None}
        self.ids |= {id: f"e{at}" for at, id in enumerate(ends)}
        self.ends = tuple(ends)
        self.regions = {name: f"r{at}" for at, name in enumerate(script.regions)}
        self.protocols = dict(_protocols(script))

    def graph(self) -> Graph:
        """All of it."""
        nodes = (Node("begin", (), Kind.BEGIN), *self._scenes(), *self._told(), *self._far(), *self._exits())
        edges = (
            Edge("begin", self.ids[self.script.start]),
            *self._branches(),
            *self._informs(),
            *self._recoveries(),
        )
        return Graph(self.script.name, nodes, edges, tuple(self._boxes()))

    def _box_of(self, scene: SceneDef) -> str | None:
        first = self.protocols.get(scene.id)
        if first is not None:
            return f"p{self.ids[first]}"
        return None if scene.region is None else self.regions[scene.region]

    def _boxes(self) -> Iterator[Box]:
        for name, region in self.script.regions.items():
            if any(name in self.script.innermost(id) for id in self.script.scenes):
                parent = None if region.parent is None else self.regions[region.parent]
                restart = ", starts again" if region.restart else ""
                yield Box(self.regions[name], f"region {name}{restart}", parent, dashed=True)
        for first in dict.fromkeys(self.protocols.values()):
            scene = self.script.scenes[first]
            around = None if scene.region is None else self.regions[scene.region]
            yield Box(f"p{self.ids[first]}", scene.called or self.titles[first], around)

    def _scenes(self) -> Iterator[Node]:
        for scene in self.script.scenes.values():
            title = scene_name(scene.id) if scene.id in self.protocols else self.titles[scene.id]
            to = ", ".join(scene.receivers)
            cast = f"{scene.sender} → {to}" if to else f"{scene.sender} alone"
            colour = self.script.roles.index(scene.sender) if scene.sender in self.script.roles else -1
            yield Node(self.ids[scene.id], (title, cast), colour=colour, box=self._box_of(scene))

    def _exits(self) -> Iterator[Node]:
        for id in self.ends:
            yield Node(self.ids[id], (id,), Kind.END)

    def _ways(self) -> Iterator[tuple[SceneDef, str, list[BranchDef]]]:
        """A scene, where it can go on, and by which branches."""
        for scene in self.script.scenes.values():
            ways: dict[str, list[BranchDef]] = {}
            for branch in scene.branches:
                ways.setdefault(branch.next, []).append(branch)
            yield from ((scene, next, branches) for next, branches in ways.items() if next in self.ids)

    def _branches(self) -> Iterator[Edge]:
        """One arrow for all branches of a scene that lead to the same one."""
        for scene, next, branches in self._ways():
            source, target = self.ids[scene.id], self.ids[next]
            lines = tuple(_says(scene, each) for each in branches)
            yield Edge(source, f"{source}_{target}" if self._is_far(scene.id, next) else target, lines)

    def _far(self) -> Iterator[Node]:
        for scene, next, _ in self._ways():
            if self._is_far(scene.id, next):
                id = f"{self.ids[scene.id]}_{self.ids[next]}"
                yield Node(id, (f"back to {self.titles[next]}",), Kind.AGAIN, box=self._box_of(scene))

    def _is_far(self, scene: str, next: str) -> bool:
        """Whether an arrow would lead back through a large drawing, out of the box."""
        if len(self.script.scenes) < LARGE or next not in self.script.scenes:
            return False
        apart = self.protocols.get(scene, scene) != self.protocols.get(next, next)
        return apart and self.order[next] < self.order[scene]

    def _of_informs(self) -> Mapping[tuple[str, str], list[str]]:
        """By scene and role: the labels that it is told."""
        told: dict[tuple[str, str], list[str]] = {}
        for each in self.script.informs:
            told.setdefault((each.scene, each.role), []).append(each.label)
        return told

    def _told(self) -> Iterator[Node]:
        for at, (scene, role) in enumerate(self._of_informs()):
            yield Node(f"i{at}", (role,), Kind.ASIDE, box=self._box_of(self.script.scenes[scene]))

    def _informs(self) -> Iterator[Edge]:
        for at, ((scene, _), labels) in enumerate(self._of_informs().items()):
            yield Edge(self.ids[scene], f"i{at}", (", ".join(labels),), dashed=True)

    def _recoveries(self) -> Iterator[Edge]:
        drawn = {box.id for box in self._boxes()}
        for name, region in self.script.regions.items():
            ways: dict[str, list[str]] = {}
            for lost, next in region.on_lost:
                ways.setdefault(next, []).append(lost)
            for next, lost_roles in ways.items():
                if self.regions[name] in drawn:
                    lines = (f"{', '.join(lost_roles)} lost",)
                    yield Edge(self.regions[name], self.ids[next], lines, dashed=True, trouble=True)


def _protocols(script: Script) -> Iterator[tuple[str, str]]:
    """Scenes that belong together, each with the first of its group.

    They are of one call; or they share the arguments of their templates, and lead to one another.
    """
    alike: dict[tuple[str | None, str | None, tuple[str, ...]], list[str]] = {}
    for id, scene in script.scenes.items():
        if arguments(id):
            alike.setdefault((scene.region, scene.called, arguments(id)), []).append(id)
    for (_, called, _), ids in alike.items():
        for group in [ids] if called else _connected(script, ids):
            if len(group) > 1:
                yield from ((id, group[0]) for id in group)


def _connected(script: Script, ids: list[str]) -> Iterator[list[str]]:
    """The ids in groups that branches connect, in either direction."""
    near: dict[str, set[str]] = {id: set() for id in ids}
    for id in ids:
        for branch in script.scenes[id].branches:
            if branch.next in near:
                near[id].add(branch.next)
                near[branch.next].add(id)
    left = dict.fromkeys(ids)
    while left:
        queue = [next(iter(left))]
        found = set(queue)
        for id in queue:
            queue += near[id] - found
            found |= near[id]
        yield [id for id in ids if id in found]
        for id in found:
            del left[id]


def _says(scene: SceneDef, branch: BranchDef) -> str:
    to = "" if set(branch.to) == set(scene.receivers) else f" → {', '.join(branch.to) or 'nobody'}"
    return saying(branch) + to + after(branch.after)


class _Role:
    """What one role plays, being drawn."""

    def __init__(self, local: LocalMachine) -> None:
        self.local = local
        self.ids = {state.name: f"s{at}" for at, state in enumerate(local.states)}
        names = dict.fromkeys(name for state in local.states for name in reversed(state.regions))
        self.regions = {name: f"r{at}" for at, name in enumerate(names)}

    def graph(self) -> Graph:
        """All of it."""
        start = Edge("begin", self.ids[self.local.start.name])
        nodes = (Node("begin", (), Kind.BEGIN), *map(self._node, self.local.states))
        return Graph(
            self.local.role, nodes, (start, *self._steps(), *self._recoveries()), tuple(self._boxes())
        )

    def _boxes(self) -> Iterator[Box]:
        parents = {
            name: parent
            for state in self.local.states
            for name, parent in zip(state.regions, state.regions[1:], strict=False)
        }
        for name, id in self.regions.items():
            parent = parents.get(name)
            yield Box(id, f"region {name}", None if parent is None else self.regions[parent], dashed=True)

    def _node(self, state: LocalState) -> Node:
        box = self.regions[state.regions[0]] if state.regions else None
        if state.ends:
            at = tuple(each for each in state.exits if each != state.name)
            more = (" or ".join(at),) if len(at) > 1 else ()
            return Node(self.ids[state.name], (state.name, *more), Kind.END, box=box)
        kind = Kind.TURN if state.acts else Kind.STEP
        return Node(self.ids[state.name], (state.name,), kind, box=box)

    def _steps(self) -> Iterator[Edge]:
        """One arrow for all steps between the same two states; what only tells something is dashed."""
        for state in self.local.states:
            scenes = {scene_name(take.scene) for take in state.takes}
            ways: dict[tuple[str, bool], list[str]] = {}
            for take in state.takes:
                ways.setdefault((take.next, take.informs), []).append(hears(take, full=len(scenes) > 1))
            for give in state.gives:
                ways.setdefault((give.next, False), []).append(chooses(give))
            for (next, dashed), lines in ways.items():
                yield Edge(self.ids[state.name], self.ids[next], tuple(_folded(lines)), dashed=dashed)

    def _recoveries(self) -> Iterator[Edge]:
        ways: dict[tuple[str, str], list[str]] = {}
        for (region, lost), next in self.local.recover.items():
            ways.setdefault((region, next), []).append(lost)
        for (region, next), lost_roles in ways.items():
            if region in self.regions:
                lines = (f"{', '.join(lost_roles)} lost",)
                yield Edge(self.regions[region], self.ids[next], lines, dashed=True, trouble=True)


MANY = 8
"""So many steps between two states are told one by one."""


def _folded(lines: Iterable[str]) -> list[str]:
    every = list(lines)
    return every if len(every) <= MANY else [*every[: MANY - 1], f"… and {len(every) - MANY + 1} more"]
