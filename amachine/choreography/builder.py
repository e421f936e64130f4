"""A script made by calls: for protocols that a program generates. It checks nothing; `check` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from amachine.choreography.places import caller
from amachine.choreography.script import EXIT, BranchDef, Inform, RegionDef, SceneDef, Script

__all__ = ["Builder", "SceneBuilder"]


class SceneBuilder:
    """A scene in the making. It stands for its id wherever a continuation is asked for."""

    def __init__(self, scene: SceneDef) -> None:
        self.scene: SceneDef = scene

    @property
    def id(self) -> str:
        """The id of the scene."""
        return self.scene.id

    def __str__(self) -> str:
        return self.scene.id

    def branch(
        self,
        label: str,
        payload: Any = None,
        *,
        to: str | Iterable[str] = (),
        next: SceneBuilder | str = EXIT,
        weight: float = 1.0,
        after: float | None = None,
        ignored: bool = False,
    ) -> SceneBuilder:
        """Let the sender choose this. `to` names one receiver or several; nobody hears a branch without. Returns the scene.

        The other options are those of `BranchDef`.
        """
        receivers = (to,) if isinstance(to, str) else tuple(to)
        place = caller()
        branch = BranchDef(label, payload, receivers, str(next), weight, after, ignored, place)
        known = dict.fromkeys(self.scene.receivers + receivers)
        branches = (*self.scene.branches, branch)
        self.scene = attrs.evolve(self.scene, branches=branches, receivers=tuple(known))
        return self


class Builder:
    """Collects scenes, in any order, and makes a script of those that the start leads to.

    A template is a function that asks for scenes by names made of its arguments: a scene asked for twice is one, so that
    such functions may call one another, and themselves.
    """

    def __init__(self) -> None:
        self.scenes: dict[str, SceneBuilder] = {}
        self.regions: dict[str, RegionDef] = {}

    def scene(
        self, id: str, sender: str, *, region: str | None = None, patience: float | None = None
    ) -> SceneBuilder:
        """The scene of that id, made at the first call. Its name is what stands before a bracket."""
        if id not in self.scenes:
            name = id.partition("[")[0]
            scene = SceneDef(id, name, sender, (), (), region=region, patience=patience, place=caller())
            self.scenes[id] = SceneBuilder(scene)
        return self.scenes[id]

    def region(
        self,
        name: str,
        on_lost: Mapping[str, SceneBuilder | str],
        *,
        restart: bool = False,
        parent: str | None = None,
    ) -> str:
        """Declare a region, which scenes then name. `on_lost` says, by lost role, where the others go on. Returns the name."""
        goes_to = tuple((role, str(next)) for role, next in on_lost.items())
        self.regions[name] = RegionDef(name, goes_to, restart=restart, parent=parent, place=caller())
        return name

    def script(
        self,
        name: str,
        start: SceneBuilder | str,
        *,
        roles: Iterable[str],
        exits: Iterable[str] = (EXIT,),
        informs: Iterable[Inform] = (),
        endless: bool = False,
        closing: bool = False,
    ) -> Script:
        """The whole: the scenes that can follow the start, and those at which recoveries go on."""
        scenes = {id: each.scene for id, each in self.scenes.items()}
        whole = Script(name, tuple(roles), str(start), scenes, exits=tuple(exits))
        mortal = {role: None for region in self.regions.values() for role, _ in region.on_lost}
        recoveries = [next for region in self.regions.values() for _, next in region.on_lost]
        kept = dict.fromkeys(id for first in (str(start), *recoveries) for id in whole.reachable(first))
        return attrs.evolve(
            whole,
            scenes={id: scenes[id] for id in kept},
            informs=tuple(sorted(informs)),
            regions=dict(self.regions),
            mortal=tuple(mortal),
            endless=endless,
            closing=closing,
        )
