"""Recorders for tests, and what they have to tell: who asked for what, what stood in the way, and since when it is so."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from amachine import binding
from amachine.mutation import Kind, Status
from amachine.tracers.recorder import Recorder

if TYPE_CHECKING:
    from amachine.bound import BoundState
    from amachine.declare import State
    from amachine.machine import Machine

AnyState: TypeAlias = "State[..., Any] | BoundState[..., Any] | str"
LAST = 8
"""Transitions that a story ends with."""


def recorder_of(machine: Machine) -> Recorder | None:
    """The first recorder that is attached to a machine; None without one."""
    return next((each for each in machine.tracers if isinstance(each, Recorder)), None)


@contextmanager
def recording(*machines: Machine, limit: int = 1000) -> Generator[Recorder]:
    """Record these machines, or, without any, all that are made in the meantime. Yields the recorder."""
    recorder = Recorder(limit)
    if not machines:
        binding.everywhere.append(recorder)
    for machine in machines:
        machine.attach(recorder)
    try:
        yield recorder
    finally:
        if not machines:
            binding.everywhere[:] = [each for each in binding.everywhere if each is not recorder]
        for machine in machines:
            machine.detach(recorder)


def story(machine: Machine, *states: AnyState, last: int = LAST) -> str:
    """What there is to tell of a machine and some of its states, a line each.

    What is active; for each of `states` since when it is so, by what, what was refused, and what stands in its way; and the
    `last` transitions. History is told only where a recorder is attached.
    """
    recorder = recorder_of(machine)
    lines = [f"{machine!r}"]
    for state in states:
        name = state if isinstance(state, str) else state.name
        lines += _indented(_about(machine, name, recorder))
    if machine.error is not None:
        lines += _indented([f"its error: {machine.error!r}"])
    if recorder is None:
        lines.append("(nothing is known of what was before: attach a Recorder)")
        return "\n".join(lines)
    records = recorder.find(machine=machine)
    if last and records:
        more = len(records) - last
        lines.append(f"the last transitions{f', {more} earlier ones left out' if more > 0 else ''}:")
        lines += _indented(map(str, records[-last:]))
    return "\n".join(lines)


def _about(machine: Machine, name: str, recorder: Recorder | None) -> Generator[str]:
    is_active = machine.is_active(name)
    if recorder is not None:
        told = recorder.why_active(name, machine)
        if told:
            yield from str(told).splitlines()
        else:
            yield f"{name} is {'active' if is_active else 'inactive'}: {told}"
        refused = recorder.find(machine=machine, called=name, kind=Kind.ADD, status=Status.CANCELED)
        if refused and not is_active:
            yield f"refused last: {refused[-1]}"
    if is_active:
        return
    explained = machine.explain("add", name)
    if not explained.accepted:
        yield f"in its way: {explained.why}"
    elif recorder is not None and not recorder.find(machine=machine, called=name):
        yield "relations let it in, but nobody has asked for it"
    else:
        check = _checked(lambda: machine.can_add(name))
        yield f"in its way: {check}" if check else "nothing is in its way now"


def _checked(ask: Callable[[], Any]) -> str:
    """Why a check says no. What handlers raise, the machine has logged."""
    check = ask()
    return "" if check else str(check.why)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
