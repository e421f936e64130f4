"""Another schema for a running machine: states are added, relations and flags changed, and everything goes on.

The trick is the layout. Present states keep their places, `Exception` among them, and new ones come behind: so every mask,
tick, wait, task and queued mutation stays true, and only what is worked out from a schema is worked out anew.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from amachine import relations
from amachine.errors import SchemaError
from amachine.handlers import Suite, suite_of, suite_of_mapping
from amachine.schema import Schema
from amachine.transition import Program, program_of

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.subscriptions import Wait

_GROWN = "amachine.growing"


def set_schema(machine: Machine, schema: Schema) -> Wait[int]:
    """See `Machine.set_schema`."""
    _renewed(machine, schema)  # what is wrong with it by itself is raised here, to whoever asked
    below = machine._owner_ == get_ident()
    wait = machine.eval(lambda: _swap(machine, schema, told=below))
    if wait.done and wait.error is not None:
        raise wait.error
    return wait


def _swap(machine: Machine, schema: Schema, *, told: bool) -> int:
    """Put the new schema in the place of the old one, between two transitions. Errors: those of `_renewed`; `SchemaError`."""
    try:
        program = _renewed(machine, schema)
        before, after = machine._program_.schema, program.schema
        if after is before or after == before:
            return machine.schema_version
        found = relations.conflicts(after, machine._node_.active)
        if found:
            raise SchemaError(
                f"machine {machine.id} cannot take it over now: {'; '.join(found)}: change what is active first",
                schema=after.name,
            )
    except Exception as error:
        if told:  # asked for by a handler, which could not wait for this
            machine._task_failed(f"set_schema of {machine.id}", error)
        raise
    machine._program_ = (
        program  # before the node: who reads the node first never finds a state that has no name
    )
    machine._node_ = program.situation(machine._node_.active)
    machine._schema_version_ += 1
    for mutation in machine.queue:
        mutation.schema = after
    machine._attend()
    if machine._tasks_ is not None:
        machine._the_tasks().limits_changed()
    if machine._hooks_ is not None:
        machine._hooks_.schema_changed(machine, before)
    return machine.schema_version


def _renewed(machine: Machine, schema: Schema) -> Program:
    """The machine's handlers with the new schema. Errors: `SchemaError`, `BindingError`; nothing has changed."""
    program = machine._program_
    after = laid_out(program.schema, schema)
    owners = (machine, *machine._owners_)
    if after is program.schema or len(owners) != len(program.suites):  # another thread is just binding one
        return program
    suites = (_rebound(owner, suite, after) for owner, suite in zip(owners, program.suites, strict=True))
    return program_of(after, tuple(suites))


def _rebound(owner: Any, suite: Suite, schema: Schema) -> Suite:
    prefix, strict, own = suite.key
    if isinstance(owner, Mapping) and not own:
        return suite_of_mapping(cast("Mapping[str, Any]", owner), schema, prefix)
    return suite_of(cast("Any", owner).__class__, schema, prefix=prefix, strict=strict, own=own)


def laid_out(present: Schema, wanted: Schema) -> Schema:
    """The wanted schema, with the present states in their present places and the new ones behind. Errors: `SchemaError`."""
    if wanted is present:
        return present
    lost = [name for name in present.names if name not in wanted]
    if lost:
        mend = "a running machine keeps its states: keep them, or export it and restore another"
        raise SchemaError(f"{', '.join(lost)} would be gone; {mend}", schema=wanted.name, state=lost[0])
    for name in present.names:
        if present[name].args is not wanted[name].args:
            mend = "what is on its way has the present one: inherit from its states, or machine.schema.merge(…) others"
            raise SchemaError(f"{name} would have another args class; {mend}", schema=wanted.name, state=name)
    if wanted.names[: present.n] == present.names:
        return wanted
    # One for all machines that grow so, as long as any of them lives.
    grown: WeakValueDictionary[Schema, Schema] = present.memo.setdefault(_GROWN, WeakValueDictionary())
    found = grown.get(wanted)
    if found is None:
        new = (name for name in wanted.names if name not in present)
        states = [wanted[name] for name in (*present.names, *new)]
        found = grown[wanted] = Schema(states, name=wanted.name, groups=wanted.groups.values())
    return found
