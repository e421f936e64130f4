"""What is wrong with a choreography, said so that its author can mend it. Finds nothing itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from enum import StrEnum

import attrs

from amachine.choreography.script import Place
from amachine.errors import AmachineError

__all__ = ["CODES", "ChoreographyError", "ChoreographyWarning", "Diagnostic", "Level", "warn"]

CODES: dict[str, str] = {
    # How scenes hang together.
    "AMC100": "a name in a scene cannot be resolved",
    "AMC101": "a role that is not cast",
    "AMC102": "what comes next is neither a scene nor an exit",
    "AMC103": "a sender among its own receivers",
    "AMC104": "a role twice, among receivers or in the cast",
    "AMC105": "a scene without branches",
    "AMC106": "a template, a scene or a branch without all its arguments",
    "AMC107": "a class that cannot play the part that a template gives it",
    "AMC108": "a template that grows without end",
    "AMC109": "more states of one role than can be made",
    "AMC110": "a scene from which no exit can be reached",
    "AMC111": "a scene that is never reached",
    "AMC112": "a role that takes part in nothing",
    "AMC113": "an inform that names no branch, or that tells a role what it hears already",
    "AMC114": "two branches of one scene with the same label",
    "AMC115": "a weight that is no number from 0 on",
    "AMC116": "a region that is not there, is inside of itself, or is given twice where to go on",
    "AMC117": "a region that starts again, but has several first scenes",
    "AMC118": "a role that may be through before a region is over whose recovery needs it",
    "AMC119": "a step out of a region after which a loss may lead those who heard and those who did not to different exits",
    "AMC120": "a sender that can run ahead of the others without bound",
    # What is done in them.
    "AMC201": "a scene without send",
    "AMC202": "a method that is written for another role",
    "AMC203": "a payload that nobody takes",
    "AMC204": "a method that takes another payload than its branch brings",
    "AMC205": "a method for a branch that there is not, or that nobody hears of",
    "AMC206": "a payload that cannot be encoded",
    "AMC207": "a payload that may be None",
    "AMC208": "a payload for nobody",
    "AMC209": "a scene class that cannot be made",
    "AMC210": "a method that gives back what nobody can use",
    "AMC211": "an annotation, or an option, that makes no branch",
    "AMC212": "an option of a branch that is none, or makes no sense there",
    "AMC213": "a branch with a name that means something else",
    "AMC214": "a patience that is no number of seconds",
    "AMC215": "a region class that provides for nothing, or cannot be where it is",
    "AMC216": "two things of one name, or a name that is taken",
    "AMC217": "a role that is no class",
    # Script functions.
    "AMC300": "a function that is no script: a parameter is no role",
    "AMC301": "recursion that is not a loop",
    "AMC302": "a decision that belongs to several roles, or to none",
    "AMC303": "a function without its source",
    "AMC304": "a statement that is not part of the choreography subset",
    "AMC305": "a value that is sent, of a type that nobody tells",
    "AMC306": "an expression that no single role can evaluate, or a role as a value",
    "AMC307": "a call of a choreography with the wrong roles",
    "AMC308": "something that a role, a class or an enum does not offer",
    "AMC309": "a value of another type than is asked for",
    "AMC310": "a returned value that names no exit, or none where one is promised",
    "AMC311": "what a choreography returns, used as a value",
    "AMC312": "a name that means nothing, or that two roles use",
    "AMC313": "a loop in which nobody ever does anything",
    "AMC314": "a value that may be read before there is one",
    # Who knows what.
    "AMC401": "a role that does not learn a choice which it needs",
    "AMC402": "a role that could either send or wait",
    "AMC403": "a role that cannot tell whether all is over",
    "AMC404": "frames of different branches that can wait for a role at once",
    "AMC405": "a role that could choose in two scenes at once",
    "AMC406": "roles that wait for one another's goodbye at an exit",
    "AMC407": "a role with so many faults that not all of them were looked for",
    # While it is played.
    "AMC502": "a `send` that chose no branch of its scene, or gave along what the branch does not carry",
    # Roles as machines.
    "AMC601": "two states of one name in the machine of a role, or of a session",
    "AMC602": "a state of the script, the session or of trouble that somebody else changes",
    "AMC603": "a relation by which a state of the user's own could keep the script from its course",
    "AMC604": "states of the user's own that break a rule of schemas",
}
"""What each code means. Every one that can be found is here."""


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@attrs.frozen
class Diagnostic:
    """One thing that was found. `str()` is the whole of it, for people."""

    code: str
    """`AMC401`: stable, to be looked up."""
    text: str
    level: Level = Level.ERROR
    role: str | None = None
    scene: str | None = None
    hint: str = ""
    """How to mend it."""
    place: Place | None = None
    witness: tuple[tuple[str, ...], ...] = ()
    """Two runs of the whole, as frames `alice->bob: Ping.ping`, that the role cannot tell apart."""

    @property
    def file(self) -> str | None:
        """Where it was written; None for what nobody wrote."""
        return None if self.place is None else self.place.file

    @property
    def line(self) -> int | None:
        """The line in that file, from 1."""
        return None if self.place is None else self.place.line

    def __str__(self) -> str:
        level = "" if self.level is Level.ERROR else f"{self.level}: "
        where = "" if self.place is None else f"{self.place}: "
        lines = [f"{where}{self.code} {level}{self.text}"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        for name, run in zip(("one run", "another"), self.witness, strict=False):
            lines.append(f"  {name}: {'; '.join(run) or '(nothing yet)'}")
        return "\n".join(lines)


class ChoreographyWarning(UserWarning):
    """Something in a choreography is doubtful: its author hears of it when it is made. It is in `warnings`, too."""


def warn(found: Iterable[Diagnostic]) -> None:
    """Issue the warnings among these, each as one of the line that it is about."""
    for each in found:
        if each.level is Level.WARNING:
            text = str(attrs.evolve(each, place=None))
            warnings.warn_explicit(text, ChoreographyWarning, each.file or "<choreography>", each.line or 0)


class ChoreographyError(AmachineError):
    """A choreography is not sound. All that was found is in `diagnostics`, warnings too; the text is for its author."""

    def __init__(self, name: str, diagnostics: Iterable[Diagnostic]) -> None:
        self.name = name
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        errors = [each for each in self.diagnostics if each.level is Level.ERROR]
        head = f"{name} is not sound: {len(errors)} error{'s' * (len(errors) != 1)}"
        super().__init__("\n".join([head, *map(str, self.diagnostics)]))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[Diagnostic, ...]]]:
        return type(self), (self.name, self.diagnostics)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of what was found, in order."""
        return tuple(each.code for each in self.diagnostics)
