"""Which region a scene class stands in, and what its author provides for a loss there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from amachine.choreography.diagnostics import Level
from amachine.choreography.scenes.templates import AnyScene, Applied, Mistake, Templates, is_scene
from amachine.choreography.scenes.whence import Unresolved
from amachine.choreography.scenes.words import Region, Scene

if TYPE_CHECKING:
    from amachine.choreography.scenes.company import Company
    from amachine.choreography.scenes.lines import Notes

__all__ = ["AnyRegion", "provisions", "regions_around"]

AnyRegion: TypeAlias = type[Region]


def regions_around(kind: type[AnyScene], notes: Notes) -> tuple[AnyRegion, ...]:
    """The regions that a scene class stands in, the innermost first."""
    found = [
        each
        for each in kind.__mro__
        if issubclass(each, Region) and each is not Region and not is_scene(each)
    ]
    for inner, outer in pairwise(found):
        if not issubclass(inner, outer):
            text = f"{kind.__name__} is in two regions: {inner.__name__} and {outer.__name__}"
            hint = f"one of them can be in the other: class {inner.__name__}({outer.__name__}, on_lost=...)"
            notes.add("AMC215", text, hint, place=kind.__statement__.whence.place)
            return (inner,)
    if kind.__statement__.on_lost is not None or kind.__statement__.restart:
        text = f"{kind.__name__}: on_lost and restart belong to a region, not to a scene"
        notes.add("AMC215", text, "class Pay(Region, on_lost=...)", place=kind.__statement__.whence.place)
    return tuple(found)


def provisions(region: AnyRegion, company: Company, templates: Templates) -> Iterator[tuple[str, Any]]:
    """For each mortal role whose loss it provides for, what then comes next. Errors: `Mistake`, `Unresolved`."""
    statement, notes, mortal = region.__statement__, company.notes, company.mortal
    name, place = region.__name__, statement.whence.place
    given: type | str | Mapping[Any, Any] | None = statement.on_lost
    if given is None:
        if not statement.restart:
            text = f"{name} provides for nothing: a region has on_lost=..., or restart=True"
            notes.add("AMC215", text, place=place)
        return
    if not isinstance(given, Mapping):
        if not mortal:
            text = f"{name} provides for a loss, but no role is declared mortal"
            notes.add("AMC215", text, "Choreography(..., mortal=[...])", place=place, level=Level.WARNING)
        for role in mortal:
            yield role, _target(region, given, templates)
        return
    for key, target in given.items():
        role = company.name_of(key, name, place=place)
        if role not in company.roles:
            continue
        if role not in mortal:
            text = f"{name} provides for the loss of {role}, which is not declared mortal"
            hint = f"Choreography(..., mortal=[{role}])"
            notes.add("AMC215", text, hint, place=place, level=Level.WARNING)
        else:
            yield role, _target(region, target, templates)


def _target(region: AnyRegion, given: Any, templates: Templates) -> Any:
    """What follows a loss: written as it is, as a text, or behind a lambda."""
    if isinstance(given, FunctionType):
        try:
            given = given()
        except NameError as error:
            known = tuple(given.__globals__)
            raise Unresolved(
                f"{error.name!r} cannot be resolved", name=str(error.name), known=known
            ) from None
        except Exception as error:
            raise Mistake("AMC215", f"{region.__name__}: on_lost: {error}") from error
    return templates.meaning(given, region, Applied(Scene, region.__name__))
