"""What is wrong with a script as a graph: names that lead nowhere, casts that make no sense, scenes nobody comes to.

It looks at no role's knowledge; that is `check`'s, and asks for a script without errors from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING

from amachine._rules import fold
from amachine.choreography.diagnostics import Diagnostic, Level
from amachine.choreography.knowledge.state_names import reserved
from amachine.choreography.script import EXIT
from amachine.errors import nearest

if TYPE_CHECKING:
    from amachine.choreography.script import BranchDef, Place, RegionDef, SceneDef, Script

__all__ = ["structure"]


def structure(script: Script) -> tuple[Diagnostic, ...]:
    """Everything that can be seen of the graph alone (AMC100–105, 110–118), errors before the rest, in the order of scenes."""
    found = [*_cast(script), *_next(script, "the start", script.start, None, None)]
    for scene in script.scenes.values():
        found += _scene(script, scene)
    found += _informs(script)
    for region in script.regions.values():
        found += _region(script, region)
    if not found:
        found = [*_restarts(script), *_idle(script), *_unreached(script), *_without_end(script)]
    return tuple(found)


def _error(
    code: str,
    text: str,
    hint: str = "",
    *,
    scene: str | None = None,
    role: str | None = None,
    place: Place | None = None,
) -> Diagnostic:
    return Diagnostic(code, text, role=role, scene=scene, hint=hint, place=place)


def _twice(names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    told: set[str] = set()
    for name in names:
        if name in seen and name not in told:
            told.add(name)
            yield name
        seen.add(name)


def _cast(script: Script) -> Iterator[Diagnostic]:
    for role in _twice(script.roles):
        yield _error("AMC104", f"{script.name}: {role} appears twice among the roles", role=role)
    yield from _clashes(script)
    named = {role for region in script.regions.values() for role, _ in region.on_lost}
    for role in script.mortal:
        if role not in named:  # else the region says so, with its line
            yield from _stranger(script, script.name, role, None)


def _clashes(script: Script) -> Iterator[Diagnostic]:
    """Names of which the machines of roles would make the same state: they have `<Role>Up`, sessions `<Role>Done`."""
    known: dict[str, str] = {}
    for role in dict.fromkeys(script.roles):
        other = known.setdefault(fold(role), role)
        if other != role or fold(role) in _OF_SESSIONS:
            what = f"the role {other}" if other != role else "what sessions have"
            text = f"{script.name}: the role {role} has the name of {what}, as machines read names"
            yield _error(
                "AMC216", text, "take names that differ in more than case and underscores", role=role
            )
    states = {fold(each): f"the state {each}" for each in (*reserved(script), "Done")}
    for each in script.exits:
        other = states.setdefault(fold(each), f"the exit {each}")
        if each != EXIT and other != f"the exit {each}":
            text = f"{script.name}: the exit {each} has the name of {other}, as machines read names"
            yield _error("AMC216", text, "take another name")


_OF_SESSIONS = ("session", "all")
"""A role of that name would have a state `SessionUp`, or `AllDone`."""


def _stranger(
    script: Script, where: str, role: str, place: Place | None, scene: str | None = None
) -> Iterator[Diagnostic]:
    if role not in script.roles:
        roles = ", ".join(script.roles)
        text = f"{where}: {role} is not a role of {_called(script)}{nearest(role, script.roles)} (roles: {roles})"
        yield _error("AMC101", text, f"cast {role}", scene=scene, role=role, place=place)


def _called(script: Script) -> str:
    return script.name if " without " in script.name else "this choreography"


def _next(
    script: Script, where: str, next: str, scene: str | None, place: Place | None
) -> Iterator[Diagnostic]:
    if next in script.scenes or next in script.exits:
        return
    if next in script.roles:
        text = f"{where}: next must be a Scene or Exit, got role class {next}"
        yield _error("AMC102", text, scene=scene, place=place)
    else:
        guess = nearest(next, (*script.scenes, *script.exits))
        yield _error(
            "AMC100", f"{where}: next scene '{next}' cannot be resolved{guess}", scene=scene, place=place
        )


def _scene(script: Script, scene: SceneDef) -> Iterator[Diagnostic]:
    at, name, place = scene.id, scene.name, scene.place
    yield from _stranger(script, name, scene.sender, place, at)
    if not scene.branches:
        yield _error("AMC105", f"{name}: a scene needs at least one Msg", scene=at, place=place)
    told = {role for branch in scene.branches for role in branch.to}
    for role in dict.fromkeys(scene.receivers):
        if role not in told:
            yield from _receiver(script, scene, role, place)
    for role in _twice(scene.receivers):
        yield _error(
            "AMC104", f"{name}: {role} appears twice among the receivers", scene=at, role=role, place=place
        )
    for label in _twice(branch.label for branch in scene.branches):
        text = f"{name}.{label}: two branches have this label"
        yield _error(
            "AMC114", text, "a frame says only its scene and label: rename one", scene=at, place=place
        )
    known: set[str] = set()
    for branch in scene.branches:
        yield from _branch(script, scene, branch, known)
    if scene.region is not None and scene.region not in script.regions:
        text = f"{name}: there is no region {scene.region}{nearest(scene.region, script.regions)}"
        yield _error("AMC116", text, scene=at, place=place)


def _receiver(script: Script, scene: SceneDef, role: str, place: Place | None) -> Iterator[Diagnostic]:
    yield from _stranger(script, scene.name, role, place, scene.id)
    if role == scene.sender:
        text = f"{scene.name}: {role} sends to itself; a local step is a Msg to nobody"
        yield _error("AMC103", text, "take it out of the receivers", scene=scene.id, role=role, place=place)


def _branch(script: Script, scene: SceneDef, branch: BranchDef, known: set[str]) -> Iterator[Diagnostic]:
    where, place = f"{scene.name}.{branch.label}", branch.place or scene.place
    for role in dict.fromkeys(branch.to):
        if role not in known:
            known.add(role)
            yield from _receiver(script, scene, role, place)
    twice = set(_twice(scene.receivers))
    for role in _twice(branch.to):
        if role not in twice:
            text = f"{where}: {role} appears twice among the receivers"
            yield _error("AMC104", text, scene=scene.id, role=role, place=place)
    if not 0 <= branch.weight < inf:
        text = f"{where}: a weight is a number from 0 on, not {branch.weight}"
        yield _error("AMC115", text, scene=scene.id, place=place)
    yield from _next(script, where, branch.next, scene.id, place)


def _informs(script: Script) -> Iterator[Diagnostic]:
    keys = {(scene.id, branch.label): (scene, branch) for scene, branch in script.branches()}
    for inform in script.informs:
        scene, branch = keys.get((inform.scene, inform.label), (None, None))
        if scene is None or branch is None:
            names = [".".join(key) for key in keys]
            text = f"{inform}: there is no such branch{nearest(f'{inform.scene}.{inform.label}', names)}"
            yield _error("AMC113", text, scene=inform.scene, role=inform.role)
            continue
        place = branch.place or scene.place
        yield from _stranger(script, str(inform), inform.role, place, scene.id)
        if inform.role == scene.sender:
            text = f"{inform}: {inform.role} chose it itself"
            yield _error("AMC113", text, "take it out", scene=scene.id, role=inform.role, place=place)
        elif inform.role in branch.to:
            text = f"{inform}: {inform.role} gets it already"
            yield _error("AMC113", text, "take it out", scene=scene.id, role=inform.role, place=place)
    for text in _twice(map(str, script.informs)):
        yield _error("AMC113", f"{text}: told twice", "take one out")


def _region(script: Script, region: RegionDef) -> Iterator[Diagnostic]:
    around, place = region.parent, region.place
    seen = {region.name}
    while around is not None:
        if around not in script.regions:
            text = f"{region.name}: there is no region {around}{nearest(around, script.regions)} around it"
            yield _error("AMC116", text, place=place)
            break
        if around in seen:
            yield _error("AMC116", f"{region.name}: it is inside of itself", place=place)
            break
        seen.add(around)
        around = script.regions[around].parent
    for lost in _twice(role for role, _ in region.on_lost):
        yield _error(
            "AMC116", f"{region.name}: it says twice what follows when {lost} is lost", role=lost, place=place
        )
    for lost, goes_to in region.on_lost:
        where = f"{region.name}.on_lost"
        yield from _stranger(script, where, lost, place)
        found = tuple(_next(script, where, goes_to, None, place))
        yield from found or (_still_cast(script, region, lost, goes_to) if lost in script.roles else ())


def _still_cast(script: Script, region: RegionDef, lost: str, goes_to: str) -> Iterator[Diagnostic]:
    """Scenes of a recovery that need the very role that was lost."""
    for id in script.reachable(goes_to):
        scene = script.scenes[id]
        for branch in scene.branches or ():
            if lost == scene.sender or lost in branch.to:
                text = f"{scene.name}.{branch.label}: {lost} has a part in what follows when {lost} is lost in {region.name}"
                hint = f"let {region.name} go on at a scene from which none leads to one that needs {lost}"
                yield _error("AMC101", text, hint, scene=id, role=lost, place=branch.place or scene.place)
                break


# What is only worth looking for in a graph that hangs together.


def _starts(script: Script) -> list[str]:
    return [script.start, *(goes_to for region in script.regions.values() for _, goes_to in region.on_lost)]


def _restarts(script: Script) -> Iterator[Diagnostic]:
    for region in script.regions.values():
        entries = script.entries(region.name) if region.restart else ()
        if len(entries) > 1:
            ways = " and at ".join(entries)
            text = f"{region.name} can be entered at {ways}: a restart must lead everybody to one scene"
            yield _error(
                "AMC117",
                text,
                "give it one first scene, or make two regions of it",
                scene=entries[1],
                place=region.place,
            )


def _idle(script: Script) -> Iterator[Diagnostic]:
    busy: set[str] = set()
    for start in _starts(script):
        for id in script.reachable(start):
            scene = script.scenes[id]
            busy.update((scene.sender,), *(branch.to for branch in scene.branches))
    for role in script.roles:
        if role not in busy:
            text = f"{role} is cast but takes part in no reachable scene"
            yield _error("AMC112", text, f"take {role} out of the roles", role=role)


def _unreached(script: Script) -> Iterator[Diagnostic]:
    reached = {id for start in _starts(script) for id in script.reachable(start)}
    for id, scene in script.scenes.items():
        if id not in reached:
            text = f"{id} is never reached from {script.start}"
            yield Diagnostic("AMC111", text, Level.WARNING, scene=id, place=scene.place)


def _without_end(script: Script) -> Iterator[Diagnostic]:
    if script.endless:
        return
    before: dict[str, list[str]] = {}
    for scene, branch in script.branches():
        before.setdefault(branch.next, []).append(scene.id)
    ending = list(script.exits)
    known = set(ending)
    for at in ending:
        for id in before.get(at, ()):
            if id not in known:
                known.add(id)
                ending.append(id)
    reached = {id for start in _starts(script) for id in script.reachable(start)}
    for id in script.scenes:
        scene = script.scenes[id]
        if id in reached and id not in known:
            text = f"{id} never reaches Exit"
            hint = "add a branch to Exit or mark the choreography endless=True"
            yield Diagnostic("AMC110", text, Level.WARNING, scene=id, hint=hint, place=scene.place)
