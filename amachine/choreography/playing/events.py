"""What can be seen of a choreography that runs, and the tracer that sees it. It changes nothing."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from amachine.choreography.playing.frames import Frame
from amachine.tracers.base import Tracer

__all__ = ["EpochBegun", "Event", "FrameDropped", "RoleEnded", "RoleLost", "StageTracer", "Step"]


# One is made for every step that somebody watches, and a frozen class of so many fields takes six times as long to make.
@attrs.define(unsafe_hash=True)
class Step:
    """A role took a step: it chose a branch and told the others, or a frame reached it. Nobody changes it."""

    session: str
    role: str
    scene: str
    label: str
    sent: bool
    """It chose the branch; else it heard of it."""
    peers: tuple[str, ...]
    """To whom the payload went, or from whom it came."""
    informed: tuple[str, ...]
    """Who was only told; for a role that was only told itself, that role."""
    source: str
    """The state that it left, and `target` the one that it entered."""
    target: str
    seq: int
    """Of the frame that was received; of a step of one's own, how many frames were sent before."""
    lamport: int
    epoch: int = 0
    data: Any = None


@attrs.frozen
class RoleLost:
    """A role learnt that another is gone."""

    session: str
    role: str
    lost: str
    why: str
    needed: bool
    """Whether a path from here still needed it."""


@attrs.frozen
class EpochBegun:
    """A role began anew after a loss, in a recovery of this region."""

    session: str
    role: str
    epoch: int
    region: str
    lost: str
    state: str


@attrs.frozen
class FrameDropped:
    """A frame came too late or twice, and nothing was done about it."""

    session: str
    role: str
    peer: str
    """Who had sent it."""
    frame: Frame
    why: str


@attrs.frozen
class RoleEnded:
    """A role is through: in an exit, or in `Aborted`, and why."""

    session: str
    role: str
    state: str
    why: str


Event: TypeAlias = Step | RoleLost | EpochBegun | FrameDropped | RoleEnded


class StageTracer(Tracer):
    """A tracer that also sees the steps of a choreography. One that overrides a machine's hooks makes machines of roles."""

    def stage_event(self, event: Event) -> None:
        """Something happened in a session. Called at once, in the middle of things: be quick."""
