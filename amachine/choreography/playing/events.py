"""What can be seen of a choreography that runs, and the tracer that sees it. It changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from amachine.choreography.local import Give
from amachine.choreography.playing.frames import Frame  # noqa: TC001  # msgspec looks it up
from amachine.tracers.base import Tracer

if TYPE_CHECKING:
    from amachine.choreography.local import Take

__all__ = [
    "EpochBegun",
    "Event",
    "FrameDropped",
    "Outline",
    "RoleEnded",
    "RoleLost",
    "StageTracer",
    "Step",
    "outline",
]


# Structs, for one is made for every step that somebody watches: a class of attrs takes three times as long to make.
class Step(Struct, frozen=True):
    """A role took a step: it chose a branch and told the others, or a frame reached it."""

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
    names: tuple[str, ...] = ()
    """What the script calls the data, such as the parameter that gets it, in notation B: by them, secrets are known."""


Outline: TypeAlias = tuple[str, str, str, bool, tuple[str, ...], tuple[str, ...], str, str]
"""What is the same whenever a role takes this step: the fields of a `Step` from `role` to `target`."""


def outline(role: str, source: str, step: Give | Take) -> Outline:
    """That of a step from the state `source`."""
    if isinstance(step, Give):
        return role, step.scene, step.label, True, step.to, step.informs, source, step.next
    informed = (role,) if step.informs else ()
    return role, step.scene, step.label, False, (step.peer,), informed, source, step.next


class RoleLost(Struct, frozen=True):
    """A role learnt that another is gone."""

    session: str
    role: str
    lost: str
    why: str
    needed: bool
    """Whether a path from here still needed it."""


class EpochBegun(Struct, frozen=True):
    """A role began anew after a loss: in a recovery of this region, or where that starts again."""

    session: str
    role: str
    epoch: int
    region: str
    lost: str
    state: str
    restart: bool = False
    """The region starts again; else the others go on without who is lost."""
    back: tuple[str, ...] = ()
    """Those of the lost who play again, or somebody in their place."""


class FrameDropped(Struct, frozen=True):
    """A frame came too late or twice, and nothing was done about it."""

    session: str
    role: str
    peer: str
    """Who had sent it."""
    frame: Frame
    why: str


class RoleEnded(Struct, frozen=True):
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
