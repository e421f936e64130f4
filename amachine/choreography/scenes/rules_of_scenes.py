"""What must be true of a scene by itself, its methods aside: its cast, what its branches carry, and its times."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from amachine.choreography.diagnostics import Level
from amachine.choreography.scenes.lines import Notes, is_number
from amachine.choreography.scenes.templates import AnyScene, Applied, is_scene
from amachine.choreography.typenames import payload_name

if typing.TYPE_CHECKING:
    from amachine.choreography.script import BranchDef, Place, SceneDef

__all__ = ["look_at_cast", "look_at_deadlines", "look_at_payload", "patience_of"]


def look_at_cast(what: str, sender: str, hearers: Sequence[str], notes: Notes, place: Place) -> None:
    """Note a sender who is among those who hear, and who hears twice."""
    if sender in hearers:
        text = f"{what}: {sender} sends to itself; a local step is a Msg to nobody"
        notes.add("AMC103", text, "Msg[None, Next, To[()]]", place=place, role=sender)
    for role in dict.fromkeys(hearers):
        if hearers.count(role) > 1:
            notes.add("AMC104", f"{what}: {role} appears twice among the receivers", place=place, role=role)


def look_at_payload(
    scene: SceneDef, branch: BranchDef, problem: Callable[[Any], str | None], notes: Notes
) -> None:
    """Note what cannot travel. `problem` tells why a type cannot be encoded; None if it can."""
    what, payload = f"{scene.name}.{branch.label}", branch.payload
    say = partial(notes.add, place=branch.place, scene=scene.id)
    if payload is None:
        if branch.ignored:
            say("AMC212", f"{what}: ignore() of nothing", level=Level.WARNING)
        return
    if isinstance(payload, Applied):
        say("AMC206", f"{what}: payload {payload.id} is a scene, and cannot be sent")
        return
    name = payload_name(payload)
    if branch.after is not None:
        text = f"{what}: after() takes it by itself, so it can carry nothing, and not {name}"
        say("AMC212", text, "Msg[None, ...]")
    if _may_be_none(payload):
        text = f"{what}: the payload {name} may be None, which means that nothing is carried"
        say("AMC207", text, "write it as a class with one field")
    elif why := problem(payload):
        say("AMC206", f"{what}: payload {why}", "give the choreography a codec for it")
    if not branch.to:
        say("AMC208", f"{what} carries {name} to nobody", "Msg[None, ...]", level=Level.WARNING)


def _may_be_none(payload: Any) -> bool:
    is_union = typing.get_origin(payload) in {typing.Union, types.UnionType}
    return is_union and types.NoneType in typing.get_args(payload)


def look_at_deadlines(scene: SceneDef, notes: Notes) -> None:
    """Note a branch that another one is always taken before."""
    timed = [branch for branch in scene.branches if branch.after is not None]
    for branch in timed[1:]:
        text = f"{scene.name}.{branch.label}: {timed[0].label} has an after(), too; time can take only one of them"
        notes.add("AMC212", text, place=branch.place, scene=scene.id)


def patience_of(kind: type[AnyScene], notes: Notes) -> float | None:
    """The seconds that a scene class gives, if they are some."""
    given: object = kind.patience
    if given is None or is_number(given):
        return None if given is None else float(given)
    owner = next(each for each in kind.__mro__ if "patience" in vars(each))
    place = owner.__statement__.whence.line_of(owner.__name__, "patience") if is_scene(owner) else None
    text = f"{kind.__name__}: patience {given!r} is no number of seconds above 0"
    notes.add("AMC214", text, "patience = 30", place=place, scene=kind.__name__)
    return None
