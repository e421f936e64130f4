"""The branches of a scene class, as they were written: annotations, their parts and options. Applied to nothing yet.

What is wrong with a line by itself is said here; what it means in a scene is found in `reader`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, TypeAlias, TypeGuard, get_args, get_origin

import attrs

from amachine.choreography.diagnostics import Diagnostic, Level
from amachine.choreography.scenes.templates import AnyScene, called, is_scene
from amachine.choreography.scenes.whence import Unresolved, annotations_of, evaluated
from amachine.choreography.scenes.words import Hearers, Msg, Scene
from amachine.choreography.script import Place
from amachine.errors import nearest

__all__ = ["Line", "Notes", "is_number", "lines_of", "unresolved"]

Options: TypeAlias = Msg[Any, Any, Any]


@attrs.define(eq=False)
class Notes:
    """What was found, each thing once, however many instances of a template show it."""

    found: dict[Any, Diagnostic] = attrs.field(factory=dict[Any, Diagnostic])

    def add(
        self,
        code: str,
        text: str,
        hint: str = "",
        *,
        place: Place | None,
        level: Level = Level.ERROR,
        scene: str | None = None,
        role: str | None = None,
    ) -> None:
        """Note something."""
        note = Diagnostic(code, text, level, role=role, scene=scene, hint=hint, place=place)
        self.found.setdefault((code, text, place), note)

    def in_order(self) -> tuple[Diagnostic, ...]:
        """All of it: file by file, as they were met, and from the top of each to its end."""
        files = list(dict.fromkeys(each.file for each in self.found.values()))
        return tuple(sorted(self.found.values(), key=lambda each: (files.index(each.file), each.line or 0)))


@attrs.frozen(eq=False)
class Line:
    """A branch. Its parts are what stands in the annotation, type parameters included."""

    label: str
    owner: type[AnyScene]
    """The class that it stands in; scenes inherit branches."""
    payload: Any
    next: Any
    who: Any
    options: Options
    place: Place


def lines_of(kind: type[AnyScene], notes: Notes) -> tuple[Line, ...]:
    """The branches of a scene class, inherited ones first; a class that writes one again has it in the old place."""
    lines: dict[str, Line] = {}
    for owner in reversed(kind.__mro__):
        if is_scene(owner):
            lines.update(_own_lines(owner, kind, notes))
    return tuple(lines.values())


def unresolved(error: Unresolved, what: str, notes: Notes, *, place: Place | None, scene: str | None) -> None:
    """Note a text that means nothing."""
    if error.name:
        hint = "names that stand in a function further out, or are imported for type checkers only, cannot be found"
        notes.add(
            "AMC100", f"{what}: {error}{nearest(error.name, error.known)}", hint, place=place, scene=scene
        )
    else:
        notes.add("AMC106", f"{what}: {error}", place=place, scene=scene)


def _own_lines(owner: type[AnyScene], kind: type[AnyScene], notes: Notes) -> Iterator[tuple[str, Line]]:
    """By label, what the annotations of one class are for a scene class that is it, or inherits from it."""
    statement = owner.__statement__
    scope = statement.whence.scope(owner)
    for label, annotation in annotations_of(owner).items():
        spot = _Spot(kind, owner, label, notes)
        # A constant has a value of its own, or a name that no branch can have.
        is_open = label in statement.labels and not label.startswith("_")
        try:
            meant = evaluated(annotation, scope) if isinstance(annotation, str) else annotation
        except Unresolved as error:
            if is_open:
                unresolved(error, spot.name, notes, place=spot.place, scene=owner.__name__)
            continue
        what = get_origin(meant) or meant
        if what is Msg:
            if spot.can_be_branch(meant):
                yield label, spot.line(meant)
        elif is_open and what is not ClassVar:
            written = repr(what) if isinstance(what, str) else called(what)
            hint = f"{label}: Msg[None, {written}]" if is_scene(what) else ""
            spot.say("AMC211", f"a branch is a Msg[payload, next], not {written}", hint)
    for label in statement.options:
        if not any(label in annotations_of(each) for each in owner.__mro__[:-1]):
            spot = _Spot(kind, owner, label, notes)
            spot.say("AMC211", "an option, but no branch", f"{label}: Msg[payload, next] = ...")


@attrs.frozen(eq=False)
class _Spot:
    """A name in the body of a scene class."""

    kind: type[AnyScene]
    owner: type[AnyScene]
    label: str
    notes: Notes

    @property
    def name(self) -> str:
        return f"{self.owner.__name__}.{self.label}"

    @property
    def place(self) -> Place:
        return self.owner.__statement__.whence.line_of(self.owner.__name__, self.label)

    def say(self, code: str, text: str, hint: str = "") -> None:
        """Note something about it."""
        self.notes.add(code, f"{self.name}: {text}", hint, place=self.place, scene=self.owner.__name__)

    def can_be_branch(self, meant: Any) -> bool:
        """Whether a Msg makes a branch here; else that is noted."""
        if len(get_args(meant)) < 2:
            self.say("AMC106", "a Msg has a payload and what is next", "Msg[None, Exit]")
            return False
        if self.label.startswith(("on_", "_")) or self.label in _RESERVED:
            self.say("AMC213", f"no branch can be called {self.label!r}, which means something else")
            return False
        holder = next(each for each in self.kind.__mro__ if self.label in vars(each))
        if is_scene(holder) and self.label in holder.__statement__.labels:
            return True
        given = vars(holder)[self.label]
        if callable(given) or isinstance(given, staticmethod | classmethod | property):
            self.say("AMC213", f"a branch cannot be a method of {holder.__name__}, too")
        else:
            self.say("AMC212", f"{given!r} is no option of a branch", "after(5.0), weight(3), ignore()")
        return False

    def line(self, meant: Any) -> Line:
        """The branch that a Msg makes here."""
        payload, next, *who = get_args(meant)
        hearers = who[0] if who else Hearers
        return Line(self.label, self.owner, payload, next, hearers, self._options(), self.place)

    def _options(self) -> Options:
        """The options of the class that is nearest to the scene's own, without what makes no sense."""
        statements = [each.__statement__ for each in self.kind.__mro__ if is_scene(each)]
        found = [each.options[self.label] for each in statements if self.label in each.options]
        given: Options = found[0] if found else Options()
        if given.after is not None and not is_number(given.after):
            self.say("AMC212", f"after({given.after!r}) is no number of seconds above 0")
            given = attrs.evolve(given, after=None)
        if given.weight is not None and not is_number(given.weight, or_zero=True):
            self.say("AMC212", f"the weight {given.weight!r} is no number from 0 on")
            given = attrs.evolve(given, weight=None)
        return given


_RESERVED = frozenset(dir(Scene))


def is_number(value: object, *, or_zero: bool = False) -> TypeGuard[float]:
    """Whether it is a number above 0, or 0 if that will do, and not infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < math.inf or (or_zero and value == 0)
