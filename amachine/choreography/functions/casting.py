"""Calls of choreographies in choreographies: which role plays which parameter, and whether it can. It inlines nothing."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from amachine.choreography.functions.sources import Trouble
from amachine.errors import nearest

if TYPE_CHECKING:
    from amachine.choreography.functions.crossing import Crossing
    from amachine.choreography.functions.subjects import Subject

__all__ = ["cast_of"]


def cast_of(call: ast.Call, callee: Subject, crossing: Crossing) -> tuple[str, ...]:
    """The caller's roles, in the order of the callee's parameters. Errors: `Trouble`, when all that is wrong is told."""
    bound = _bound(call, callee, crossing)
    wrong = False
    seen: dict[str, str] = {}
    for parameter, arg in bound.items():
        if not isinstance(arg, ast.Name) or arg.id not in crossing.roles:
            text = f"{callee.source.name}: {parameter} is played by a role, and `{ast.unparse(arg)}` is none"
            near = nearest(arg.id, crossing.roles) if isinstance(arg, ast.Name) else ""
            crossing.told(arg, "AMC307", text + near, f"the roles here are {', '.join(crossing.roles)}")
            wrong = True
            continue
        if arg.id in seen:
            text = (
                f"{callee.source.name}: {arg.id} appears twice in the cast, as {seen[arg.id]} and {parameter}"
            )
            crossing.told(arg, "AMC104", text, "let another role play one of them")
            wrong = True
        seen[arg.id] = parameter
        wanted = callee.roles[parameter]
        if lack := crossing.misfits(crossing.roles[arg.id], wanted):
            text = f"{arg.id}, a {crossing.roles[arg.id].__name__}, cannot play {parameter} of {callee.source.name}: it {lack}"
            crossing.told(
                arg, "AMC107", text, f"{parameter} has to offer what {wanted.__name__} says", arg.id
            )
            wrong = True
    missing = [each for each in callee.source.parameters if each not in bound]
    if missing:
        text = f"{callee.source.name} has {_roles(len(callee.source.parameters))}; nobody plays {', '.join(missing)}"
        crossing.told(call, "AMC307", text, _signature(callee))
        wrong = True
    if wrong:
        raise Trouble
    played = {parameter: role for role, parameter in seen.items()}
    return tuple(played[each] for each in callee.source.parameters)


def _bound(call: ast.Call, callee: Subject, crossing: Crossing) -> dict[str, ast.expr]:
    """By parameter, what is handed over for it."""
    parameters = callee.source.parameters
    bound = dict(zip(parameters, call.args, strict=False))
    if len(call.args) > len(parameters):
        text = f"{callee.source.name} has {_roles(len(parameters))}, not {len(call.args)}"
        crossing.told(call, "AMC307", text, _signature(callee))
    for keyword in call.keywords:
        word = keyword.arg or ""
        if word not in parameters or word in bound:
            why = "is given twice" if word in bound else f"is no role of it{nearest(word, parameters)}"
            crossing.told(
                keyword, "AMC307", f"{callee.source.name}: {word or '**'!r} {why}", _signature(callee)
            )
        else:
            bound[word] = keyword.value
    return bound


def _roles(count: int) -> str:
    return f"{count} role{'s' * (count != 1)}"


def _signature(callee: Subject) -> str:
    roles = ", ".join(f"{name}: {cls.__name__}" for name, cls in callee.roles.items())
    return f"it is {callee.source.name}({roles})"
