"""One script for many roles: checked as a whole, and projected to one machine per role.

What is needed to write a choreography and to check it is loaded here; engines, channels and drawings when they are first named.
"""

from typing import TYPE_CHECKING

from amachine._later import later
from amachine.choreography.diagnostics import (
    CODES,
    ChoreographyError,
    ChoreographyWarning,
    Diagnostic,
    Level,
)
from amachine.choreography.functions.scripted import NotCalled, ScriptFunction, choreography
from amachine.choreography.playing.endings import Ending, Outcome, PlayFailed, StepTimeout, Violation
from amachine.choreography.playing.events import (
    EpochBegun,
    Event,
    FrameDropped,
    RoleEnded,
    RoleLost,
    StageTracer,
    Step,
)
from amachine.choreography.playing.frames import Channel, ChannelClosed, Frame, Kind
from amachine.choreography.scenes.words import (
    Barrier,
    Exit,
    Msg,
    Onward,
    Region,
    Scene,
    Sent,
    To,
    after,
    ignore,
    weight,
)
from amachine.choreography.script import EXIT, Inform, Place, Script
from amachine.choreography.whole import Choreography

if TYPE_CHECKING:
    from amachine.choreography.builder import Builder, SceneBuilder
    from amachine.choreography.canonical import fingerprint, first_difference, parse, to_dict
    from amachine.choreography.exploring import Report, explore
    from amachine.choreography.local import Give, LocalMachine, LocalState, Take
    from amachine.choreography.playing.checkpoints import checkpoint, restore
    from amachine.choreography.playing.joining import Joined
    from amachine.choreography.playing.machines import MachineSeat, RoleMachine, machine_type
    from amachine.choreography.playing.memory import memory_pair
    from amachine.choreography.playing.own import AsMachine
    from amachine.choreography.playing.play import Play
    from amachine.choreography.playing.session import SessionMachine
    from amachine.choreography.playing.stage import Stage
    from amachine.choreography.playing.tables import SentWrong
    from amachine.choreography.playing.tally import Failure, Tally
    from amachine.choreography.seeing.drawing import DrawingError, Graph
    from amachine.choreography.seeing.stuck import Stuck
    from amachine.choreography.seeing.trace import Trace, TraceError, TraceFile

__all__ = [
    "CODES",
    "EXIT",
    "AsMachine",
    "Barrier",
    "Builder",
    "Channel",
    "ChannelClosed",
    "Choreography",
    "ChoreographyError",
    "ChoreographyWarning",
    "Diagnostic",
    "DrawingError",
    "Ending",
    "EpochBegun",
    "Event",
    "Exit",
    "Failure",
    "Frame",
    "FrameDropped",
    "Give",
    "Graph",
    "Inform",
    "Joined",
    "Kind",
    "Level",
    "LocalMachine",
    "LocalState",
    "MachineSeat",
    "Msg",
    "NotCalled",
    "Onward",
    "Outcome",
    "Place",
    "Play",
    "PlayFailed",
    "Region",
    "Report",
    "RoleEnded",
    "RoleLost",
    "RoleMachine",
    "Scene",
    "SceneBuilder",
    "Script",
    "ScriptFunction",
    "Sent",
    "SentWrong",
    "SessionMachine",
    "Stage",
    "StageTracer",
    "Step",
    "StepTimeout",
    "Stuck",
    "Take",
    "Tally",
    "To",
    "Trace",
    "TraceError",
    "TraceFile",
    "Violation",
    "after",
    "checkpoint",
    "choreography",
    "explore",
    "fingerprint",
    "first_difference",
    "ignore",
    "machine_type",
    "memory_pair",
    "parse",
    "restore",
    "to_dict",
    "weight",
]

__getattr__, __dir__ = later(
    __name__,
    {
        ".builder": ("Builder", "SceneBuilder"),
        ".canonical": ("fingerprint", "first_difference", "parse", "to_dict"),
        ".exploring": ("Report", "explore"),
        ".local": ("Give", "LocalMachine", "LocalState", "Take"),
        ".playing.checkpoints": ("checkpoint", "restore"),
        ".playing.joining": ("Joined",),
        ".playing.machines": ("MachineSeat", "RoleMachine", "machine_type"),
        ".playing.memory": ("memory_pair",),
        ".playing.own": ("AsMachine",),
        ".playing.play": ("Play",),
        ".playing.session": ("SessionMachine",),
        ".playing.stage": ("Stage",),
        ".playing.tables": ("SentWrong",),
        ".playing.tally": ("Failure", "Tally"),
        ".seeing.drawing": ("DrawingError", "Graph"),
        ".seeing.stuck": ("Stuck",),
        ".seeing.trace": ("Trace", "TraceError", "TraceFile"),
    },
)
