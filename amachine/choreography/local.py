"""What one role plays: a deterministic automaton, in which every state either acts, waits or ends.

Plain data that `project` makes of a script. The engines run it; drawings and schemas are made of it. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import attrs

from amachine.choreography.script import EXIT

__all__ = ["DONE", "Give", "LocalMachine", "LocalState", "Take", "final_name"]

DONE = "Done"
"""The state in which a role ends at the plain exit, or where it cannot tell at which exit the whole is."""


def final_name(exits: tuple[str, ...]) -> str:
    """The name of the state in which a role ends that knows the whole to be at one of these exits."""
    return exits[0] if len(exits) == 1 and exits[0] != EXIT else DONE


@attrs.frozen
class Take:
    """A frame that a role may get in a state, and where that takes it."""

    peer: str
    scene: str
    label: str
    payload: Any
    """The type of what comes along; None where nothing does."""
    informs: bool
    """It only tells that the branch was chosen: no handler is called."""
    next: str
    """The name of a state of the same role."""
    names: tuple[str, ...] = ()
    """What the script calls the payload."""

    @property
    def key(self) -> tuple[str, str]:
        """Scene and label: what a frame says of itself. The sender follows from the scene."""
        return self.scene, self.label


@attrs.frozen
class Give:
    """A branch that a role may choose in a state, whom it tells, and where that takes it."""

    scene: str
    label: str
    payload: Any
    to: tuple[str, ...]
    """Who gets it, in this order; nobody, for a decision of one's own."""
    informs: tuple[str, ...]
    """Who is then told the label alone."""
    next: str
    after: float | None = None
    weight: float = 1.0
    names: tuple[str, ...] = ()


@attrs.frozen
class LocalState:
    """Where a role stands: what it may do there, and where the whole may be, for all it knows."""

    name: str
    """Unique in its machine, and a legal name of a machine's state: `Send`, `AwaitCheckHash_final`, `Done`."""
    scenes: tuple[str, ...]
    """The ids of the scenes in which the whole may be."""
    takes: tuple[Take, ...] = ()
    gives: tuple[Give, ...] = ()
    """All of one scene: a role that acts knows where it is."""
    exits: tuple[str, ...] = ()
    """The ids of the exits at which the whole may be. With `takes` only where a role ends by its peers' goodbyes."""
    regions: tuple[str, ...] = ()
    """The regions that it stands in, the innermost first."""
    needs: frozenset[str] = frozenset()
    """The peers to whom or from whom some frame may still go, on some path from here."""
    patience: float | None = None
    """How many seconds it may wait here; None leaves that to the choreography."""
    repeats: bool = False
    """A step leads from it back to itself."""

    @property
    def acts(self) -> bool:
        """It is this role's turn to choose."""
        return bool(self.gives)

    @property
    def waits(self) -> bool:
        """It is somebody else's turn."""
        return bool(self.takes)

    @property
    def ends(self) -> bool:
        """There is nothing more to play: the whole is at an exit, or goes on without this role."""
        return not self.takes and not self.gives

    @property
    def final(self) -> str:
        """The name of the state in which a role ends that ends here."""
        return final_name(self.exits)

    @property
    def hears(self) -> tuple[str, ...]:
        """The peers that it may hear from here, each once."""
        return tuple(dict.fromkeys(take.peer for take in self.takes))


@attrs.frozen(eq=False)
class LocalMachine:
    """All that one role plays. The first state is where it starts."""

    role: str
    states: tuple[LocalState, ...]
    recover: Mapping[tuple[str, str], str] = attrs.field(factory=dict[tuple[str, str], str])
    """Where it goes on: by region and lost role, the name of a state."""
    restart: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Where it goes back to when a region starts again: by region, the name of a state."""

    @cached_property
    def by_name(self) -> Mapping[str, LocalState]:
        """The states by their names."""
        return {state.name: state for state in self.states}

    @property
    def start(self) -> LocalState:
        """The first state."""
        return self.states[0]

    @cached_property
    def peers(self) -> tuple[str, ...]:
        """Everybody whom it may tell or hear, recoveries included, in the order of first mention."""
        found: dict[str, None] = {}
        for state in self.states:
            found.update(dict.fromkeys(state.hears))
            for give in state.gives:
                found.update(dict.fromkeys(give.to + give.informs))
        return tuple(found)

    def edges(self) -> Iterator[tuple[LocalState, Take | Give]]:
        """Every step, with the state that it leaves."""
        for state in self.states:
            for take in state.takes:
                yield state, take
            for give in state.gives:
                yield state, give
