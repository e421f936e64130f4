"""The choreography that a command works on: scene classes, functions, objects or JSON, found and read.

A module that is named is imported, and a plain function that is named is called: that is the user's own code. Nothing here
plays anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any, Literal, cast

import attrs

from amachine.choreography.canonical import parse
from amachine.choreography.check import structure
from amachine.choreography.diagnostics import ChoreographyError, Diagnostic, Level
from amachine.choreography.functions.scripted import ScriptFunction
from amachine.choreography.playing.casting import check_cast
from amachine.choreography.reading import Reading
from amachine.choreography.scenes.reader import read
from amachine.choreography.scenes.templates import is_scene
from amachine.choreography.script import Script
from amachine.choreography.subtypes import is_protocol
from amachine.choreography.whole import Choreography
from amachine.errors import nearest
from amachine.tools.target import NotFound, load_module, look_up, read_json, users_code

__all__ = ["Found", "Policy", "cast_of", "find_choreography"]

Policy = Literal["auto", "all", "declared"]

EXAMPLE = "app.protocol:Start"


@attrs.frozen(eq=False, slots=False)
class Found:
    """What a command was given: a choreography that is made already, or what can be made into one."""

    name: str
    """As it was written."""
    made: Choreography | Reading
    policy: Policy = "auto"

    @cached_property
    def whole(self) -> Choreography:
        """The choreography. Errors: `ChoreographyError`, if it is not sound."""
        made = self.made
        return made if isinstance(made, Choreography) else Choreography.of(made, inform=self.policy)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All that was found wrong or doubtful."""
        try:
            return self.whole.diagnostics
        except ChoreographyError as error:
            return error.diagnostics

    @property
    def script(self) -> Script:
        """Its script; also of one that is not sound, if every name in it leads somewhere. Errors: `ChoreographyError`."""
        try:
            return self.whole.script
        except ChoreographyError:
            made = self.made
            reading = made.reading if isinstance(made, ScriptFunction) else made
            if isinstance(reading, Choreography) or _has_errors(
                (*reading.diagnostics, *structure(reading.script))
            ):
                raise
            return reading.script


def _has_errors(found: Iterable[Diagnostic]) -> bool:
    return any(each.level is Level.ERROR for each in found)


def find_choreography(target: str, *, roles: str | None = None, policy: Policy | None = None) -> Found:
    """What `module:name`, `file.py:name` or `script.json` names.

    `roles`, names with commas between them, says who plays in a scene class; without it, those that its scenes name, as they
    are met. Errors: `NotFound`, which names the nearest, or says what the user's code raises; `AmachineError` for a file that
    holds no script.
    """
    if target.endswith(".json"):
        return Found(target, Reading(parse(read_json(target)), {}, {}), policy or "auto")
    found = look_up(target, such_as=EXAMPLE)
    plain = not isinstance(found, type | Choreography | Reading | Script) and callable(found)
    if plain and not is_scene(found):
        if iscoroutinefunction(found):
            raise NotFound(f"{target} is a coroutine function: name one that returns a choreography at once")
        with users_code(f"{target} failed"):
            found = cast("Any", found)()
    if isinstance(found, Choreography):
        _refuse(target, roles=roles, policy=policy)
        return Found(target, found)
    if isinstance(found, Reading | Script):
        _refuse(target, roles=roles, policy=None)
        reading = found if isinstance(found, Reading) else Reading(found, {}, {})
        return Found(target, reading, policy or "auto")
    if is_scene(found):
        where = target.rpartition(":")[0]
        return Found(target, read(found, roles=_roles(found, where, roles)), policy or "auto")
    kind = found.__name__ if isinstance(found, type) else type(found).__name__
    raise NotFound(f"{target} is no scene class, choreography or script, but {kind}")


def _refuse(target: str, *, roles: str | None, policy: str | None) -> None:
    """Options that only what is not made yet can have. Errors: `NotFound`."""
    for option, value in (("--roles", roles), ("--inform", policy)):
        if value is not None:
            raise NotFound(
                f"{target} is made already, {option} cannot change it: name its first scene class instead"
            )


def _roles(start: Any, where: str, named: str | None) -> list[type]:
    """The classes of roles, looked up where the first scene is named and where it was written."""
    module = load_module(where)
    written = sys.modules.get(getattr(start, "__module__", ""), module)
    if named is not None:
        names = [each.strip() for each in named.split(",") if each.strip()]
    else:
        scenes = read(start, roles=()).script.scenes.values()
        names = list(dict.fromkeys(role for scene in scenes for role in (scene.sender, *scene.receivers)))
    found: list[type] = []
    for name in names:
        role = getattr(module, name, getattr(written, name, None))
        if not isinstance(role, type):
            hint = nearest(name, [each for each, value in vars(module).items() if isinstance(value, type)])
            mend = "" if named is not None else ": say --roles, or name a Choreography"
            raise NotFound(f"{where} has no class {name!r} to be a role{hint}{mend}")
        found.append(role)
    return found


def cast_of(whole: Choreography, target: str | None) -> Mapping[Any, Any]:
    """Who plays: by role an instance of its class, or what `module:function` gives. Errors: `NotFound`."""
    if target is None:
        return {name: _made(whole, name) for name in whole.script.roles}
    given: Any = look_up(target, such_as="app.protocol:cast")
    with users_code(f"{target} failed"):
        given = given() if callable(given) else given
    if not isinstance(given, Mapping):
        raise NotFound(f"{target} gives no mapping of roles to objects, but {type(given).__name__}")
    try:
        check_cast(whole, given)  # pyright: ignore[reportUnknownArgumentType]
    except TypeError as error:
        raise NotFound(str(error).replace("\n", "; ")) from None
    return given  # pyright: ignore[reportUnknownVariableType]


def _made(whole: Choreography, name: str) -> object:
    """An instance of a role's class."""
    role = whole.roles.get(name)
    mend = "say who plays with --cast module:function"
    if role is None:
        raise NotFound(f"{whole.name} is a script alone, nobody is there for {name}: {mend}")
    if is_protocol(role):
        raise NotFound(f"role {name} is a protocol, which has no instances: {mend}")
    with users_code(f"role {name} cannot be made"):
        try:
            return role()
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # of the user's own code, not of the call
            raise NotFound(f"role {name} cannot be made without arguments ({error}): {mend}") from error
