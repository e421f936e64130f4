"""What a choreography is: scenes with one sender, the branches that it chooses from, and where each goes on.

Plain data, the same whoever wrote it: scene classes, a function, calls, or JSON. It knows no Python function and no
machine, and decides nothing: `check` says whether a script is sound, `project` what each role plays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import attrs

from amachine.errors import nearest

__all__ = ["EXIT", "BranchDef", "Inform", "Place", "RegionDef", "SceneDef", "Script"]

EXIT = "Exit"
"""The id of the plain exit. Every other exit has an id of its own."""


@attrs.frozen
class Place:
    """Where somebody wrote something."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@attrs.frozen
class BranchDef:
    """One of the things that the sender of a scene can choose."""

    label: str
    payload: Any
    """The type of what goes along; None where nothing does."""
    to: tuple[str, ...]
    """The roles that get it, in this order. Nobody: a decision that only the sender sees."""
    next: str
    """The id of the scene, or of the exit, that follows."""
    weight: float = 1.0
    """How often it is chosen, beside the other branches of its scene: a hint for what is worth telling whom."""
    after: float | None = None
    """Taken by itself when the sender has not chosen within so many seconds."""
    ignored: bool = False
    """Nobody is meant to do anything with the payload."""
    place: Place | None = attrs.field(default=None, eq=False)
    names: tuple[str, ...] = attrs.field(default=(), eq=False)
    """What a script function calls the payload, such as its parameter: tracers know secrets by names."""


@attrs.frozen
class SceneDef:
    """One sender chooses a branch. Equal labels in two scenes are two things: a frame names its scene."""

    id: str
    """Its name with the arguments of its template: `Ping[Alice, Bob, Exit]`."""
    name: str
    """Its name alone: `Ping`. Instances of one template share it."""
    sender: str
    receivers: tuple[str, ...]
    """Who else is in its cast, in this order. A branch may tell fewer of them."""
    branches: tuple[BranchDef, ...]
    region: str | None = None
    """The innermost region that it belongs to."""
    patience: float | None = None
    """How many seconds a role waits in it before it gives up the session; None leaves that to the choreography."""
    place: Place | None = attrs.field(default=None, eq=False)
    called: str | None = attrs.field(default=None, eq=False)
    """How the script function was called that it is of, for people: `payment(customer, shop, bank)`; of the first one, None."""

    def branch(self, label: str) -> BranchDef:
        """The branch of that label. Errors: `KeyError`."""
        for branch in self.branches:
            if branch.label == label:
                return branch
        raise KeyError(label)


@attrs.frozen(order=True)
class Inform:
    """A frame that only tells a role, which is not among the receivers, that a branch was chosen."""

    scene: str
    label: str
    role: str

    def __str__(self) -> str:
        return f"{self.scene}.{self.label} -> {self.role}"


@attrs.frozen
class RegionDef:
    """Scenes that fail together. When a role is lost in them, those who are left go on at another scene."""

    name: str
    on_lost: tuple[tuple[str, str], ...]
    """Pairs: a role that may be lost, and the scene or exit at which the others then go on."""
    restart: bool = False
    """Everybody goes back to the start of the region, with a new player in the place of the one who was lost."""
    parent: str | None = None
    """The region around it."""
    place: Place | None = attrs.field(default=None, eq=False)

    def goes_to(self, lost: str) -> str | None:
        """Where those who are left go on when that role is lost; None where nothing is provided."""
        return dict(self.on_lost).get(lost)


@attrs.frozen
class Script:
    """A whole choreography. Scenes that only a recovery reaches are among its scenes, too."""

    name: str
    roles: tuple[str, ...]
    start: str
    """The id of the first scene, or of an exit: then there is nothing to play."""
    scenes: Mapping[str, SceneDef] = attrs.field(hash=False)
    """By id, in the order in which a walk from the start meets them."""
    exits: tuple[str, ...] = (EXIT,)
    informs: tuple[Inform, ...] = ()
    regions: Mapping[str, RegionDef] = attrs.field(factory=dict[str, RegionDef], hash=False)
    mortal: tuple[str, ...] = ()
    """The roles whose loss the regions provide for."""
    endless: bool = False
    """Never to reach an exit is meant."""
    closing: bool = False
    """A role that cannot tell that all is over is done when every peer that it could hear from has said goodbye."""

    def role_named(self, role: type | str) -> str:
        """The name of one of its roles, given by name or class. Errors: `LookupError`, with the nearest."""
        name = role if isinstance(role, str) else str(getattr(role, "__name__", role))
        if name not in self.roles:
            known = ", ".join(self.roles)
            raise LookupError(
                f"{self.name} has no role {name}{nearest(name, self.roles)}; there are: {known}"
            )
        return name

    def branches(self) -> Iterator[tuple[SceneDef, BranchDef]]:
        """Every branch, with its scene."""
        for scene in self.scenes.values():
            for branch in scene.branches:
                yield scene, branch

    @cached_property
    def informed(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """By scene and label: whom a label-only frame tells, in the order of roles."""
        told: dict[tuple[str, str], list[str]] = {}
        for role in self.roles:
            for inform in self.informs:
                if inform.role == role:
                    told.setdefault((inform.scene, inform.label), []).append(role)
        return {at: tuple(roles) for at, roles in told.items()}

    def hearers(self, scene: SceneDef, branch: BranchDef) -> tuple[str, ...]:
        """Everybody who gets a frame when that branch is chosen: its receivers, then those who are only informed."""
        return branch.to + self.informed.get((scene.id, branch.label), ())

    def reachable(self, start: str | None = None) -> tuple[str, ...]:
        """The ids of the scenes that can follow one, itself included, in the order in which a walk in breadth meets them."""
        first = self.start if start is None else start
        found: dict[str, None] = {first: None} if first in self.scenes else {}
        queue = list(found)
        for at in queue:
            for branch in self.scenes[at].branches:
                if branch.next in self.scenes and branch.next not in found:
                    found[branch.next] = None
                    queue.append(branch.next)
        return tuple(queue)

    def innermost(self, scene: str) -> tuple[str, ...]:
        """The regions around a scene, the innermost first."""
        found: list[str] = []
        region = self.scenes[scene].region
        while region is not None:
            found.append(region)
            region = self.regions[region].parent
        return tuple(found)

    def entries(self, region: str) -> tuple[str, ...]:
        """The ids of the scenes through which a region is entered: with one around them, its own and those of inner ones."""
        inside = {id for id in self.reachable() if region in self.innermost(id)}
        first = [
            self.start,
            *(
                branch.next
                for id in self.reachable()
                if id not in inside
                for branch in self.scenes[id].branches
            ),
        ]
        return tuple(id for id in dict.fromkeys(first) if id in inside)

    def without(self, lost: str, start: str) -> Script:
        """The choreography of those who are left when a role is lost: what follows a scene, or is an exit, without regions."""
        kept = self.reachable(start)
        scenes = {at: attrs.evolve(self.scenes[at], region=None) for at in kept}
        return attrs.evolve(
            self,
            name=f"{self.name} without {lost}",
            roles=tuple(role for role in self.roles if role != lost),
            start=start,
            scenes=scenes,
            informs=tuple(each for each in self.informs if each.scene in scenes and each.role != lost),
            regions={},
            mortal=(),
        )
