"""Drives a machine through a recorded scenario, by its public interface alone. What a scenario is: README.md here."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

from amachine import Event, Machine, Schema, SchemaError, Tracer, Transition, UnknownState, Wait

Op = Mapping[str, Any]
CHECKED_ERRORS = {"": None, "context canceled": asyncio.CancelledError("context canceled")}


class Recorder(Tracer):
    """Writes down every transition in the shape of a vector."""

    def __init__(self) -> None:
        self.transitions: list[dict[str, Any]] = []

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        record = {
            "type": transition.kind.value,
            "called": list(transition.called),
            "auto": transition.auto,
            "accepted": transition.accepted,
            "time": list(transition.time_after),
        }
        if transition.accepted:
            record["target"] = list(transition.target)
        self.transitions.append(record)


def run(scenario: Mapping[str, Any], *, watched: bool = True) -> dict[str, Any]:
    """The records of a new machine and of each operation on it; or that its schema was refused.

    Not `watched`, they know of no transitions, and the machine may go the shorter ways that it has without tracers.
    """
    try:
        schema = Schema.parse(scenario["schema"], order=scenario["state_order"])
    except SchemaError as error:
        return {"schema_error": str(error)}
    driver = Driver(schema, scenario, watched=watched)
    init = driver.record({})
    return {"init": init, "ops": [driver.record(driver.perform(op)) for op in scenario["ops"]]}


class Driver:
    """One machine, its waits by name, and the groups in which they are cancelled."""

    def __init__(self, schema: Schema, scenario: Mapping[str, Any], *, watched: bool) -> None:
        self.recorder = Recorder() if watched else None
        self.waits: dict[str, Wait[Any]] = {}
        self.groups: dict[str, list[str]] = {}
        self.cancelled: set[str] = set()
        self.seen: set[str] = set()
        handlers = [
            {name: self.handler(definition) for name, definition in each.items()}
            for each in scenario.get("handlers", ())
        ]
        tracers = [] if self.recorder is None else [self.recorder]
        limit = scenario.get("opts", {}).get("queue_limit", 1000)
        # No time budget: on a machine under load a handler may take any time, and the answers know of none.
        self.machine = Machine.of(
            schema, "m", handlers=handlers, tracers=tracers, queue_limit=limit, handler_timeout=None
        )

    def handler(self, definition: Op) -> Callable[[Event[Any]], bool | None]:
        calls_left = definition.get("times")

        def handle(event: Event[Any]) -> bool | None:
            nonlocal calls_left
            wanted: dict[str, Any] = definition.get("cond_args") or {}
            args = event.mutation.args
            given = cast("dict[str, Any]", args) if isinstance(args, dict) else {}
            if any(name not in given or given[name] != value for name, value in wanted.items()):
                return None
            if calls_left is not None:
                if calls_left <= 0:
                    return None
                calls_left -= 1
            for kind in ("add", "remove", "set", "toggle"):
                if definition.get(kind):
                    self.perform({"op": kind, "states": definition[kind]})
            for op in definition.get("ops") or ():
                self.perform(op)
            if definition.get("panic"):
                raise RuntimeError(definition["panic"])
            return definition.get("return")

        return handle

    def perform(self, op: Op) -> dict[str, Any]:
        """Do one operation: what its caller got."""
        kind = op["op"]
        if kind == "ctx_new":
            self.groups[op["id"]] = []
        elif kind == "ctx_cancel":
            self.cancelled.add(op["id"])
            for name in self.groups.get(op["id"], ()):
                self.waits[name].cancel()
        elif "id" in op:
            self.wait(op)
        else:
            try:
                return self.ask(kind, op)
            except UnknownState:
                return {"raises": True}
        return {}

    def ask(self, kind: str, op: Op) -> dict[str, Any]:
        machine = self.machine
        states: list[str] = op.get("states") or []
        args: dict[str, Any] = op.get("args") or {}
        if kind == "not":
            return {"r": "executed" if not machine.any_active(*states) else "canceled"}
        if kind in ("can_add", "can_remove"):
            return {"r": "executed" if getattr(machine, kind)(*states, **args) else "canceled"}
        if kind == "add_err":
            text = op.get("err", "")
            error = CHECKED_ERRORS[text] if text in CHECKED_ERRORS else RuntimeError(text)
            result = machine.add_error(error, op.get("state") or None)
        else:
            result = getattr(machine, kind)(*states, **args)
        return {"r": result.status.value}

    def wait(self, op: Op) -> None:
        machine, kind = self.machine, op["op"]
        states: list[str] = op.get("states") or []
        match kind:
            case "when" | "when_not":
                wait: Wait[Any] = getattr(machine, kind)(*states)
            case "when_time":
                wait = machine.when_time(dict(zip(states, op["times"], strict=True)))
            case "when_ticks":
                wait = machine.when_ticks(op["state"], op["n"])
            case "when_next_active":
                wait = machine.when_next(op["state"])
            case "when_args":
                wait = machine.when_args(op["state"], op.get("args") or {})
            case "when_err":
                wait = machine.when_error()
            case "when_query":
                wait = machine.when_query(query(op["expr"]))
            case "state_ctx":
                wait = machine.when_ticks(op["state"], 1)
            case _:
                raise ValueError(f"no such operation: {kind}")
        self.waits[op["id"]] = wait
        group = op.get("ctx")
        if group:
            self.groups.setdefault(group, []).append(op["id"])
            if group in self.cancelled:
                wait.cancel()

    def record(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What is to be seen after an operation."""
        machine = self.machine
        closed = [name for name, wait in self.waits.items() if wait.done and name not in self.seen]
        self.seen.update(closed)
        record = {
            **answer,
            "active": sorted(machine.active),
            "time": list(machine.time),
            "qt": machine.queue_tick,
            "err": None if machine.error is None else str(machine.error),
            "closed": closed,
        }
        if self.recorder is not None:
            record["txs"], self.recorder.transitions = self.recorder.transitions, []
        return record


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "==": operator.eq, "*": operator.mul, "+": operator.add,
}  # fmt: skip


def query(expression: Any) -> Callable[[Mapping[str, int]], Any]:
    """The function of a clock that an expression says."""

    def value(clock: Mapping[str, int], part: Any) -> Any:
        match part:
            case [str() as name, left, right]:
                return OPERATORS[name](value(clock, left), value(clock, right))
            case str():
                return clock[part]
            case _:
                return part

    return lambda clock: value(clock, expression)
