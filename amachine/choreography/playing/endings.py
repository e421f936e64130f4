"""How a session ended, role by role. Plain data with its sentences; decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from amachine.choreography.local import DONE
from amachine.choreography.playing.seat import ABORTED
from amachine.errors import AmachineError, ProtocolError

__all__ = ["Ending", "Outcome", "PlayFailed", "StepTimeout", "Violation"]


class Violation(ProtocolError):
    """A peer broke the script: `got` is the frame that it sent, `expected` says what would have done."""


class StepTimeout(ProtocolError):
    """Nothing came for as long as a role has patience: `expected` says what it waited for."""


@attrs.frozen
class Ending:
    """How it ended for one role."""

    role: str
    state: str
    """An exit, or `Aborted`."""
    why: str = ""
    """A sentence; nothing for an exit."""
    error: BaseException | None = None
    """What one of its own functions raised, or the `Violation` that it met."""

    @property
    def aborted(self) -> bool:
        """It did not come to an exit."""
        return self.state == ABORTED

    def __str__(self) -> str:
        return f"{self.role}: {self.state}" + f" ({self.why})" * bool(self.why)


class Outcome(Mapping[str, Ending]):
    """How it ended for each role, in the order of the choreography."""

    def __init__(self, name: str, endings: Mapping[str, Ending]) -> None:
        self.name = name
        """Of the choreography."""
        self._endings = dict(endings)

    @property
    def exit(self) -> str | None:
        """The exit of the whole, as the name of its state: that of the roles that can tell, others are just `Done`.

        None where a role aborted, or where they do not agree, which takes a loss.
        """
        states = {ending.state for ending in self.values()}
        told = states - {DONE} or states
        return told.pop() if len(told) == 1 and ABORTED not in states else None

    @property
    def failed(self) -> bool:
        """Some role did not come to an exit."""
        return any(ending.aborted for ending in self.values())

    @property
    def error(self) -> BaseException | None:
        """The first error of a role, in order."""
        return next((ending.error for ending in self.values() if ending.error is not None), None)

    def __getitem__(self, role: str | type) -> Ending:
        return self._endings[role if isinstance(role, str) else role.__name__]

    def __iter__(self) -> Iterator[str]:
        return iter(self._endings)

    def __len__(self) -> int:
        return len(self._endings)

    def __str__(self) -> str:
        return "\n".join([f"{self.name}:", *(f"  {ending}" for ending in self.values())])

    def __repr__(self) -> str:
        return f"<Outcome of {self.name}: {', '.join(f'{role} {each.state}' for role, each in self.items())}>"


class PlayFailed(AmachineError):
    """A session did not end in an exit for every role: `outcome` says how it did. The cause is what a function raised."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(str(outcome))

    def __reduce__(self) -> tuple[type, tuple[Outcome]]:
        return type(self), (self.outcome,)
