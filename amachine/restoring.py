"""From an export to a machine that goes on where another stopped: what `Machine.restore` does.

Nothing here runs a handler; what is to run is queued, or put down for the opening.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from amachine._bits import lanes_of
from amachine._kept import kept_of
from amachine.conduct import Moment
from amachine.errors import nearest
from amachine.event import Event, event_for
from amachine.handed import Life
from amachine.mutation import ErrorInfo, Kind, Mutation, Result, Status
from amachine.saved import cut
from amachine.transition import Plan, Transition, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from amachine.machine import Machine
    from amachine.saved import Saved
    from amachine.transition import Step

M = TypeVar("M", bound="Machine")

RESTORED = "MachineRestored"
"""The state that a restored machine enters first, where it is declared."""


def made(saved: Saved, make: Callable[[str], M], id: str) -> M:
    """A machine that goes on, made by `make` of its id. Errors: `RestoreError`, and it is closed."""
    machine = make(id)
    try:
        if machine._id_ != id:
            mend = f"load it into one that you have made: {type(machine).__name__}.restore(data, into=…)"
            raise saved.refused(f"{type(machine).__name__}(id) makes one that is named otherwise; {mend}")
        load(machine, saved)
    except BaseException:
        # Not `close`, which would call handlers of `Disposing`: of what was to be restored, nothing has begun.
        machine._begin_closing()
        machine._finish_closing()
        raise
    return machine


def load(machine: Machine, saved: Saved) -> None:
    """Give a new machine what was saved. Errors: `RestoreError`, and it is as it was."""
    if not machine._take_turn():
        raise saved.refused("the machine to restore into is running already")
    try:
        machine._owner_ = get_ident()  # what tracers ask for is below this, and waits for nobody
        program = machine._program_
        if program.schema is not saved.schema and program.schema != saved.schema:
            raise saved.refused("the machine to restore into has another schema")
        if machine._count_ or machine._life_ != Life.FREE or machine._queue_ or machine._inbox_:
            raise saved.refused(
                "the machine to restore into has been used, perhaps by its __init__: make a new one"
            )
        t = _restored(machine, saved)
        steps = [
            step for i in program.schema.enter_order if saved.active >> i & 1 for step in program.tasks_of(i)
        ]
        events = [_event(machine, t, step, saved) for step in steps]
        timers = _timers(machine, saved, steps)
        machine._time_ = saved.time
        machine._node_ = program.situation(saved.active)
        machine._count_ = saved.count
        if saved.front:
            machine._the_queue().fronts = saved.front
        machine._machine_tick_ = saved.machine_tick + 1
        machine._args_ = kept_of(saved.args)
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
        machine._owner_ = 0
        machine._turn_[:] = (None,)
    if machine._inbox_:  # another thread has been faster than the caller
        machine._drain_inbox()
    if machine._waits_ is not None:
        machine._waits_.settle(saved.active, Moment(machine, None))


def _restored(machine: Machine, saved: Saved) -> Transition:
    """The record that stands for all that was before: it entered the states that are active."""
    schema = saved.schema
    plan = Plan()
    plan.schema, plan.kind, plan.called = schema, Kind.SET, saved.active
    plan.auto, plan.active, plan.banned = False, 0, 0
    plan.target = plan.enters = plan.moved = saved.active
    plan.accepted, plan.exits, plan.reentries = True, 0, 0
    plan.delta = lanes_of(saved.active)
    plan.next = machine._program_.situation(saved.active)
    plan.autos = plan.wanting = plan.attention = 0
    plan.negotiation = plan.finals = plan.ends = plan.tasks = ()
    plan.leads = plan.asks = plan.plain = plan.given = False
    plan.silent = True
    plan.refusal = Result(Status.CANCELED, plan)
    t = record(machine._id_, saved.count, plan, saved.time - plan.delta)
    t.is_restore, t.running, t.committed = True, False, True
    return t


def _event(machine: Machine, t: Transition, step: Step, saved: Saved) -> Event[Any]:
    subject: int = step[3]
    args: Any = None
    if subject >= 0:
        try:
            args = saved.args[subject] if subject in saved.args else machine._empty_args(subject)
        except Exception as error:
            name = saved.schema.names[subject]
            raise saved.refused(f"the arguments of {name} cannot be made: {error!r}", state=name) from error
    return event_for(machine, t, step[2], args)


def _timers(machine: Machine, saved: Saved, steps: list[Step]) -> list[tuple[int, str, float | None]]:
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
            named = saved.schema.names[state]
            near = nearest(name, [there for i, there in known if i == state])
            mend = "it begins anew with strict=False"
            raise saved.refused(f"{named} has no timer {cut(repr(name))} today{near}: {mend}", state=named)
    return found


def _enqueue(machine: Machine, saved: Saved) -> None:
    """Put in the queue what is to run with the opening, or before the next mutation."""
    schema = saved.schema
    for mutation in reversed(saved.queue[: saved.fronts]):
        machine._prepend(mutation)
    queued = saved.queue[saved.fronts :]
    if RESTORED in schema.index:
        told = Mutation(schema, Kind.ADD, 1 << schema.index[RESTORED])
        what = (told.kind, told.called, told.args)
        # Once, however often it was restored in vain.
        queued = (told, *(each for each in queued if (each.kind, each.called, each.args) != what))
    for mutation in queued:  # not by `_admit`: a queue that was full then must not lose any
        result = Result(Status.QUEUED, waiter=machine._result_wait)
        mutation.results.append(result)
        machine._the_queue().append(mutation, machine.queue_tick)
        result.queue_tick = mutation.queue_tick
        if machine._hooks_ is not None:
            machine._hooks_.mutation_queued(machine, mutation)
    if RESTORED in schema.index:
        _listen(machine, saved, queued[0])


def _listen(machine: Machine, saved: Saved, told: Mutation) -> None:
    """Log it where a machine declares that it wants to be told, and cannot be."""
    if told.called & saved.active & ~saved.schema.multi:
        machine._log(
            "machine %s: %s is active already: only if it is multi it is entered anew", machine._id_, RESTORED
        )

    def tell(result: Result) -> None:
        if result.canceled:
            machine._log("machine %s: %s was refused: %s", machine._id_, RESTORED, result.why)

    wait = told.results[0].when_done()
    if wait is not None:
        wait.then(tell)
