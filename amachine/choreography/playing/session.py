"""The machine of a whole session: who has come to an exit, who has not, and the way to stop everybody.

It is the parent of the machines that play the roles: tracers that are inheritable go down to them, and closing it closes them.
It decides nothing about the script; the players do.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Unpack

from amachine.choreography.diagnostics import ChoreographyError, Diagnostic
from amachine.choreography.playing.schemas import CLOSING, camel, lost
from amachine.choreography.playing.seat import ABORTED
from amachine.errors import SchemaError
from amachine.machine import Machine, Options
from amachine.schema import Schema, StateDef

if TYPE_CHECKING:
    from amachine.event import Event

__all__ = ["ABORTING", "ALL_DONE", "ANY_LOST", "SessionMachine", "done", "schema_of_session"]

ALL_DONE, ANY_LOST, ABORTING = "AllDone", "AnyLost", "Aborting"


def done(role: str) -> str:
    """The state in which a role has come to an exit."""
    return f"{camel(role)}Done"


@lru_cache(256)
def schema_of_session(roles: tuple[str, ...]) -> Schema:
    """The schema of a session of these roles. Errors: `ChoreographyError` (AMC601) where two of them would have one state."""
    each = [
        state
        for role in roles
        for state in (
            StateDef(done(role), remove=(lost(role),), doc=f"{role} has come to an exit."),
            StateDef(lost(role), add=(ANY_LOST,), remove=(done(role), ALL_DONE), doc=f"{role} has not."),
        )
    ]
    everybody = tuple(map(done, roles))
    try:
        return Schema(
            (
                *each,
                StateDef(ALL_DONE, auto=True, require=everybody, doc="All of them have come to an exit."),
                StateDef(ANY_LOST, doc="Some role was lost; another may play it now."),
                StateDef(ABORTING, remove=(ALL_DONE,), doc="Everybody who still plays leaves the session."),
            ),
            name="session",
        )
    except SchemaError as error:
        text = f"the roles {', '.join(roles)} cannot be told apart: {error}"
        found = Diagnostic("AMC601", text, hint="rename a role")
        raise ChoreographyError("session", [found]) from error


class SessionMachine(Machine):
    """Over the roles of one session. Adding `Aborting` stops all of them that still play."""

    __slots__ = ()

    @classmethod
    def over(cls, roles: Iterable[str], session: str, **options: Unpack[Options]) -> SessionMachine:
        """The machine of a session of these roles. Give it to theirs as `parent`."""
        return cls.of(schema_of_session(tuple(roles)), session, **options)

    def ended(self, role: str, state: str) -> None:
        """A role is through: in an exit, or in `Aborted`."""
        self.add(lost(role) if state == ABORTED else done(role))

    @Machine.any_state
    def _stop(self, event: Event[None]) -> None:
        if ABORTING in event.transition.enters:
            for child in self.children:
                if not child.is_closing:
                    child.add(CLOSING)
