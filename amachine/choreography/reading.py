"""What comes of reading what somebody wrote, in whichever notation. Checks nothing of the whole; `check` does."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from typing_extensions import get_protocol_members

from amachine.choreography.acting import Acts
from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.script import Place, Script

__all__ = ["Needs", "Reading"]


@attrs.frozen
class Needs:
    """What the functions of a role ask of whoever plays it, by name."""

    calls: frozenset[str] = frozenset()
    """Operations."""
    reads: frozenset[str] = frozenset()
    """Data that the functions themselves never assign."""

    def and_all_of(self, protocol: type) -> Needs:
        """The same, with what a protocol asks for."""
        asked = get_protocol_members(protocol)
        calls = {name for name in asked if callable(getattr(protocol, name, None))}
        return Needs(self.calls | calls, self.reads | (asked - calls))


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
    needs: Mapping[str, Needs] = attrs.field(factory=dict[str, Needs])
    """By role, what its functions ask for, as far as the notation tells."""

    def placed(self, found: Diagnostic) -> Diagnostic:
        """A diagnostic with the line that is to be looked at first."""
        if found.place is not None:
            return found
        return attrs.evolve(found, place=self.cast_at.get(found.role or "", self.place))
