"""Declare states and how they relate; the engine turns every request into a consensus. Names are re-exported here, no more."""

from amachine.clock import Clock, Time
from amachine.declare import Group, State, States, any_enter, any_state, exclusive, group, relate
from amachine.errors import (
    AmachineError,
    ArgsError,
    BindingError,
    CascadeError,
    HandlerError,
    HandlerTimeout,
    MachineClosed,
    ProtocolError,
    QueueFull,
    Refused,
    SchemaError,
    TaskTimeout,
    UnknownState,
    WaitError,
)
from amachine.event import Event
from amachine.machine import Machine
from amachine.mutation import Check, ErrorInfo, Kind, Mutation, Result, Source, Status
from amachine.schema import Schema, StateDef
from amachine.subscriptions import Wait, all_of, any_of
from amachine.tracers.base import Tracer
from amachine.transition import Transition

__all__ = [
    "AmachineError",
    "ArgsError",
    "BindingError",
    "CascadeError",
    "Check",
    "Clock",
    "ErrorInfo",
    "Event",
    "Group",
    "HandlerError",
    "HandlerTimeout",
    "Kind",
    "Machine",
    "MachineClosed",
    "Mutation",
    "ProtocolError",
    "QueueFull",
    "Refused",
    "Result",
    "Schema",
    "SchemaError",
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
    "WaitError",
    "all_of",
    "any_enter",
    "any_of",
    "any_state",
    "exclusive",
    "group",
    "relate",
]
