"""From an export to a machine that goes on where another stopped: what `Machine.restore` does.

Nothing here runs a handler; what is to run is queued, or put down for the opening.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from amachine._bits import lanes_of
from amachine.conduct import Moment
from amachine.errors import RestoreError, nearest
from amachine.event import Event
from amachine.handed import Life
from amachine.mutation import ErrorInfo, Kind, Mutation, Result, Status
from amachine.saved import read
from amachine.transition import Plan, Transition

if TYPE_CHECKING:
    from collections.abc import Callable

    from amachine.machine import Machine
    from amachine.saved import Saved
    from amachine.schema import Schema

M = TypeVar("M", bound="Machine")

RESTORED = "MachineRestored"
"""The state that a restored machine enters first, where it is declared."""


def restore(
    data: object,
    schema: Schema,
    make: Callable[[str], M],
    into: M | None,
    queue_limit: int | None,
    *,
    strict: bool,
) -> M:
    """A machine that goes on: made by `make` of the id that was exported, or `into`. Errors: `RestoreError`."""
    saved = read(data, schema, strict=strict, queue_limit=queue_limit)
    if into is not None:
        _load(into, saved)
        return into
    machine = make(saved.id)
    try:
        _load(machine, saved)
    except BaseException:
        # Not `close`, which would call handlers of `Disposing`: of what was to be restored, nothing has begun.
        machine._begin_closing()
        machine._finish_closing()
        raise
    return machine


def _load(machine: Machine, saved: Saved) -> None:
    """Give a new machine what was saved. Errors: `RestoreError`, and it is as it was."""
    if not machine._lock_.acquire(False):
        raise RestoreError("the machine to restore into is running already", machine=saved.id)
    try:
        program = machine._program_
        if program.schema is not saved.schema and program.schema != saved.schema:
            raise RestoreError("the machine to restore into has another schema", machine=saved.id)
        if machine._count_ or machine._life_ != Life.FREE or machine._queue_ or machine._inbox_:
            raise RestoreError(
                "the machine to restore into has been used, perhaps by its __init__: make a new one",
                machine=saved.id,
            )
        t = _restored(machine, saved)
        steps = [
            step for i in program.schema.enter_order if saved.active >> i & 1 for step in program.tasks_of(i)
        ]
        events = [_event(machine, t, step, saved) for step in steps]
        timers = _timers(machine, saved, steps)
        machine._time_ = saved.time
        machine._node_ = program.situation(saved.active)
        machine._count_, machine._front_ = saved.count, saved.front
        machine._machine_tick_ = saved.machine_tick + 1
        machine._args_ = {**saved.args} or None
        info = saved.args.get(program.schema.exception.bit_length() - 1)
        machine._error_ = info.error if isinstance(info, ErrorInfo) else None
        machine._attend()
        if steps:
            runtime = machine._the_tasks()
            runtime.remember(timers)
            for step, event in zip(steps, events, strict=True):
                runtime.start(step, event)
        _enqueue(machine, saved)
    finally:
        machine._lock_.release()
    if machine._waits_ is not None:
        machine._waits_.settle(saved.active, Moment(machine, None))


def _restored(machine: Machine, saved: Saved) -> Transition:
    """The record that stands for all that was before: it entered the states that are active."""
    schema = saved.schema
    plan = Plan()
    plan.schema, plan.kind, plan.called, plan.active, plan.auto, plan.banned = (
        schema,
        Kind.SET,
        saved.active,
        0,
        False,
        0,
    )
    plan.target = plan.enters = plan.moved = saved.active
    plan.accepted, plan.exits, plan.reentries = True, 0, 0
    plan.delta = lanes_of(saved.active)
    plan.next = machine._program_.situation(saved.active)
    plan.autos = plan.wanting = 0
    plan.negotiation = plan.finals = plan.ends = plan.tasks = ()
    plan.leads = plan.asks = plan.plain = False
    plan.silent = True
    plan.refusal = Result(Status.CANCELED, plan)
    t = Transition(machine._id_, saved.count, plan, saved.time - plan.delta)
    t.is_restore, t.running, t.committed = True, False, True
    return t


def _event(machine: Machine, t: Transition, step: Any, saved: Saved) -> Event[Any]:
    subject: int = step[3]
    args: Any = None
    if subject >= 0:
        try:
            args = saved.args[subject] if subject in saved.args else machine._empty_args(subject)
        except Exception as error:
            name = saved.schema.names[subject]
            raise RestoreError(
                f"the arguments of {name} cannot be made: {error!r}", machine=saved.id, state=name
            ) from error
    return Event(machine, t, step[2], args)


def _timers(machine: Machine, saved: Saved, steps: list[Any]) -> list[tuple[int, str, float | None]]:
    """Those that today's handlers have. Errors: `RestoreError` for others, unless told to leave them."""
    known = {
        (step[2].state, machine._program_.timer_name(step)): step[2].timer
        for step in steps
        if step[2].timer is not None
    }
    found: list[tuple[int, str, float | None]] = []
    for state, name, due in saved.timers:
        timer = known.get((state, name))
        if timer is not None:
            if due is None or timer.on_restore == "resume":
                found.append((state, name, due))
        elif saved.strict:
            states = saved.schema.names
            near = nearest(name, [there for i, there in known if i == state])
            mend = "it begins anew with strict=False"
            raise RestoreError(
                f"{states[state]} has no timer {name!r} today{near}: {mend}",
                machine=saved.id,
                state=states[state],
            )
    return found


def _enqueue(machine: Machine, saved: Saved) -> None:
    """Put in the queue what is to run with the opening, or before the next mutation."""
    schema = saved.schema
    for mutation in reversed(saved.queue[: saved.fronts]):
        machine._prepend(mutation)
    queued = saved.queue[saved.fronts :]
    if RESTORED in schema.index:
        queued = (Mutation(schema, Kind.ADD, 1 << schema.index[RESTORED]), *queued)
    for mutation in queued:  # not by `_admit`: a queue that was full then must not lose any
        result = Result(Status.QUEUED, waiter=machine._result_wait)
        mutation.results.append(result)
        machine._the_queue().append(mutation, machine.queue_tick)
        result.queue_tick = mutation.queue_tick
        if machine._hooks_ is not None:
            machine._hooks_.mutation_queued(machine, mutation)
