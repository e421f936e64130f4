"""What is wrong with a choreography, said so that its author can mend it. Finds nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import attrs

from amachine.choreography.script import Place
from amachine.errors import AmachineError

__all__ = ["ChoreographyError", "Diagnostic", "Level"]


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


class ChoreographyError(AmachineError):
    """A choreography is not sound. All that was found is in `diagnostics`, warnings too; the text is for its author."""

    def __init__(self, name: str, diagnostics: Iterable[Diagnostic]) -> None:
        self.name = name
        self.diagnostics = tuple(diagnostics)
        errors = [each for each in self.diagnostics if each.level is Level.ERROR]
        head = f"{name} is not sound: {len(errors)} error{'s' * (len(errors) != 1)}"
        super().__init__("\n".join([head, *map(str, self.diagnostics)]))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[Diagnostic, ...]]]:
        return type(self), (self.name, self.diagnostics)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of what was found, in order."""
        return tuple(each.code for each in self.diagnostics)
