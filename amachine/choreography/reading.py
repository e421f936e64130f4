"""What comes of reading what somebody wrote, in whichever notation. Checks nothing of the whole; `check` does."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from amachine.choreography.acting import Acts
from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.script import Place, Script

__all__ = ["Reading"]


@attrs.frozen
class Reading:
    """A script, what is done in its scenes, who can play its roles, and what is wrong with how it was written."""

    script: Script
    acts: Acts
    roles: Mapping[str, type]
    """By role, the class whose instances play it. Of a structural role, its protocol."""
    diagnostics: tuple[Diagnostic, ...] = ()
    place: Place | None = None
    """Where it was asked for, or begins: what is wrong with the whole is told there."""
    cast_at: Mapping[str, Place] = attrs.field(factory=dict[str, Place])
    """By role, where it is cast, if roles have lines of their own."""

    def placed(self, found: Diagnostic) -> Diagnostic:
        """A diagnostic with the line that is to be looked at first."""
        if found.place is not None:
            return found
        return attrs.evolve(found, place=self.cast_at.get(found.role or "", self.place))
