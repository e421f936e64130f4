"""What comes of reading what somebody wrote, in whichever notation. Checks nothing of the whole; `check` does."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from amachine.choreography.acting import Acts
from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.script import Script

__all__ = ["Reading"]


@attrs.frozen
class Reading:
    """A script, what is done in its scenes, who can play its roles, and what is wrong with how it was written."""

    script: Script
    acts: Acts
    roles: Mapping[str, type]
    """By role, the class whose instances play it. Of a structural role, its protocol."""
    diagnostics: tuple[Diagnostic, ...] = ()
