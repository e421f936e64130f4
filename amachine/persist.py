"""A machine as plain data, to be kept outside of the process: what `export` gives. `restoring` reads it.

It looks at a machine between two transitions and never changes it. What it writes is made of what JSON has, and of
nothing that lives on in the machine.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

from amachine import work
from amachine._bits import bits
from amachine._defs import RELATIONS
from amachine._kept import by_state
from amachine.arguments import to_plain
from amachine.errors import ArgsError, MachineClosed, PastError, WaitError
from amachine.handed import Life
from amachine.mutation import ErrorInfo, Kind, Mutation

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.runtime import Runtime
    from amachine.schema import Schema, StateDef

FORMAT = 1
"""Of the data. A reader refuses others."""
LONGEST_TEXT = 1_000_000
"""Letters that are kept of an error's message, and of its traceback."""


def export(machine: Machine, *, pending: bool) -> dict[str, Any]:
    """The picture of a machine, taken between two transitions. Errors: see `Machine.export`."""
    if machine._owner_ == get_ident():
        if machine._running_ is not None:
            mend = "ask for it between two transitions: machine.eval(machine.export)"
            raise WaitError(
                f"machine {machine.id} is in the middle of a transition: {mend}", machine=machine.id
            )
        return picture(machine, pending=pending)
    if machine._life_ == Life.CLOSED:
        return picture(machine, pending=pending)
    if not machine._is_elsewhere() and machine._take_turn():
        queued = 0
        try:
            queued = len(machine._queue_ or ())
            machine._owner_ = get_ident()  # what a class that makes its own data asks for waits for nobody
            return picture(machine, pending=pending)
        finally:
            machine._owner_ = 0
            machine._turn_[:] = (None,)
            if machine._inbox_ or len(machine._queue_ or ()) > queued:
                machine.eval(lambda: None)  # what was asked for meanwhile has its turn
    try:
        return machine.eval(lambda: picture(machine, pending=pending)).wait()
    except MachineClosed:  # meanwhile
        return picture(machine, pending=pending)


def picture(machine: Machine, *, pending: bool) -> dict[str, Any]:
    """All that `restoring` needs. Only for a thread that keeps the machine from running."""
    schema, active = machine._program_.schema, machine._node_.active
    kept = by_state(machine._args_)
    args: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for i in bits(active):
        if i not in kept:
            continue
        if isinstance(kept[i], ErrorInfo):
            errors[schema.names[i]] = plain_error(kept[i])
        elif schema.args[i] is not None:
            args[schema.names[i]] = _plain(machine, schema, i, kept[i])
    data: dict[str, Any] = {
        "format": FORMAT,
        "id": machine.id,
        "at": work.wall(),
        "schema": schema.name,
        "hash": schema.hash,
        "states": [*schema.names],
        "relations": {state.name: told for state in schema.states if (told := _told(state))},
        "ticks": [*machine.time],
        "queue_tick": machine.queue_tick,
        "machine_tick": machine.machine_tick,
        "transitions": machine._count_,
        "args": args,
        "errors": errors,
        "timers": _timers(machine),
    }
    if pending:
        data["queue"] = _pending(machine)
    return data


def plain_error(info: ErrorInfo) -> dict[str, Any]:
    """An error in words."""
    error = info.error
    kind = error.kind if isinstance(error, PastError) else type(error).__qualname__
    try:
        text = str(error)
    except Exception as worse:  # noqa: BLE001  # an error that cannot say what it is must not be lost for that
        text = f"({type(worse).__name__} in str of it)"
    handler = None if info.handler is None else info.handler[:1000]
    trace = info.traceback[-LONGEST_TEXT:]
    return {"kind": kind[:1000], "message": text[:LONGEST_TEXT], "traceback": trace, "handler": handler}


def _told(state: StateDef) -> dict[str, Any]:
    """What a state's definition has to do with clocks: as much as is in a schema's hash."""
    told: dict[str, Any] = {name: [*names] for name in RELATIONS if (names := getattr(state, name))}
    return told | {flag: True for flag in ("auto", "multi") if getattr(state, flag)}


def _plain(machine: Machine, schema: Schema, state: int, value: Any) -> Any:
    name = schema.names[state]
    try:
        return to_plain(value, schema.args[state])
    except (TypeError, ValueError, RecursionError) as error:
        mend = "give the state an args class whose fields say what they hold: plain values, dates, paths, and such"
        raise ArgsError(
            f"machine {machine.id}: the arguments of {name} cannot be exported: {error}; {mend}",
            state=name,
            machine=machine.id,
        ) from error


def _timers(machine: Machine) -> list[dict[str, Any]]:
    """The timers of the present activations: when they are due, or that they have fired."""
    if machine._tasks_ is None:
        return []
    runtime: Runtime = machine._the_tasks()
    names = machine._program_.schema.names
    return [{"state": names[state], "timer": timer, "due": due} for state, timer, due in runtime.deadlines()]


def _pending(machine: Machine) -> list[dict[str, Any]]:
    queue = machine._queue_
    queued = queue.mutations() if queue else ()
    sent = (entry for entry in tuple(machine._inbox_ or ()) if isinstance(entry, Mutation))
    return [
        *(_written(machine, each, front=each.queue_tick is None) for each in queued),
        *(_written(machine, each, front=False) for each in sent),
    ]


def _written(machine: Machine, mutation: Mutation, *, front: bool) -> dict[str, Any]:
    schema = machine._program_.schema
    data: dict[str, Any] = {"kind": mutation.kind.value, "states": [*schema.names_of(mutation.called)]}
    if mutation.auto:
        data["auto"] = True
    if front:
        data["front"] = True
    args = mutation.args
    if isinstance(args, ErrorInfo):
        data["error"] = plain_error(args)
    elif args is not None:
        index = reader(schema, mutation.kind, mutation.called)
        if index >= 0:
            data["args"] = _plain(machine, schema, index, args)
        else:
            try:
                data["args"] = to_plain(args, None)
            except (TypeError, ValueError, RecursionError) as error:
                raise ArgsError(
                    f"machine {machine.id}: the arguments of the queued {mutation} cannot be exported: {error}",
                    machine=machine.id,
                ) from error
    return data


def reader(schema: Schema, kind: Kind, called: int) -> int:
    """The state whose class reads the arguments of a mutation; -1 where they are keywords that nobody's class reads."""
    single = called and not called & (called - 1)
    if kind is Kind.REMOVE or not single or schema.args[called.bit_length() - 1] is None:
        return -1
    return called.bit_length() - 1
