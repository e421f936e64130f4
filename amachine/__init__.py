"""Declare states and how they relate; the engine turns every request into a consensus. Names are re-exported here.

Tracers that need more than the standard library are loaded when they are first named. `AMACHINE_LOG` turns logging on, and
`AMACHINE_CRASH` crash dumps.
"""

import os
from typing import TYPE_CHECKING

from amachine._later import later
from amachine.bound import BoundState
from amachine.clock import Clock, Time
from amachine.declare import Group, Phase, State, States, any_enter, any_state, exclusive, group, relate
from amachine.errors import (
    AmachineError,
    ArgsError,
    BindingError,
    CascadeError,
    HandlerError,
    HandlerTimeout,
    MachineClosed,
    PastError,
    ProtocolError,
    QueueFull,
    Refused,
    RestoreError,
    SchemaError,
    TaskTimeout,
    UnknownState,
    WaitCancelled,
    WaitError,
)
from amachine.event import Event
from amachine.handlers import Call
from amachine.inspection import Explanation
from amachine.machine import Machine, Options
from amachine.mutation import Check, ErrorInfo, Kind, Mutation, Result, Source, Status
from amachine.schema import GroupDef, Schema, StateDef
from amachine.subscriptions import Wait, all_of, any_of
from amachine.tracers.base import Tracer
from amachine.transition import Transition

if TYPE_CHECKING:
    from amachine.requests import Requests
    from amachine.retrying import GaveUp, Granted, RequestTimeout, Retry
    from amachine.runtime import Scope
    from amachine.tracers.breakpoints import Breakpoint, log_stack
    from amachine.tracers.capture import LogCapture, LogContext
    from amachine.tracers.console import ConsoleTracer
    from amachine.tracers.crash import dump_on_crash
    from amachine.tracers.jsonl import JsonlTracer
    from amachine.tracers.log import LogLevel, LogTracer, machine_log
    from amachine.tracers.recorder import Recorder
    from amachine.tracers.shown import ArgsMapper

__all__ = [
    "AmachineError",
    "ArgsError",
    "ArgsMapper",
    "BindingError",
    "BoundState",
    "Breakpoint",
    "Call",
    "CascadeError",
    "Check",
    "Clock",
    "ConsoleTracer",
    "ErrorInfo",
    "Event",
    "Explanation",
    "GaveUp",
    "Granted",
    "Group",
    "GroupDef",
    "HandlerError",
    "HandlerTimeout",
    "JsonlTracer",
    "Kind",
    "LogCapture",
    "LogContext",
    "LogLevel",
    "LogTracer",
    "Machine",
    "MachineClosed",
    "Mutation",
    "Options",
    "PastError",
    "Phase",
    "ProtocolError",
    "QueueFull",
    "Recorder",
    "Refused",
    "RequestTimeout",
    "Requests",
    "RestoreError",
    "Result",
    "Retry",
    "Schema",
    "SchemaError",
    "Scope",
    "Source",
    "State",
    "StateDef",
    "States",
    "Status",
    "TaskTimeout",
    "Time",
    "Tracer",
    "Transition",
    "UnknownState",
    "Wait",
    "WaitCancelled",
    "WaitError",
    "all_of",
    "any_enter",
    "any_of",
    "any_state",
    "dump_on_crash",
    "exclusive",
    "group",
    "log_stack",
    "machine_log",
    "relate",
]

__getattr__, __dir__ = later(
    __name__,
    {
        ".tracers.shown": ("ArgsMapper",),
        ".tracers.breakpoints": ("Breakpoint", "log_stack"),
        ".tracers.console": ("ConsoleTracer",),
        ".retrying": ("GaveUp", "Granted", "RequestTimeout", "Retry"),
        ".tracers.jsonl": ("JsonlTracer",),
        ".tracers.capture": ("LogCapture", "LogContext"),
        ".tracers.log": ("LogLevel", "LogTracer", "machine_log"),
        ".tracers.recorder": ("Recorder",),
        ".requests": ("Requests",),
        ".runtime": ("Scope",),
        ".tracers.crash": ("dump_on_crash",),
    },
)


def _log_as_asked() -> None:
    from amachine.tracers.log import log_all

    try:
        log_all()
    except ValueError as error:  # a stray variable takes no service down
        import logging

        logging.getLogger("amachine").warning("%s", error)


if os.environ.get("AMACHINE_LOG"):
    _log_as_asked()
if os.environ.get("AMACHINE_CRASH"):
    from amachine.tracers.crash import dump_as_asked

    dump_as_asked()
