"""Assertions about machines. Each that fails tells the story: what was asked, what stood in the way, and since when.

The story knows the past where a `Recorder` is attached to the machine, as the `machine` fixture does it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar, cast, overload
from weakref import WeakSet

import anyio

from amachine.testing.stories import recorder_of, story

if TYPE_CHECKING:
    from amachine.bound import BoundState
    from amachine.declare import State
    from amachine.machine import Machine
    from amachine.mutation import Check, Result
    from amachine.subscriptions import Wait

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)
AnyState: TypeAlias = "State[..., Any] | BoundState[..., Any] | str"

looked_at: WeakSet[Machine] = WeakSet()
"""Machines whose errors a test has asked for: the `machine` fixture does not complain about these."""


def assert_active(machine: Machine, *states: AnyState) -> None:
    """All of these are active now. Errors: AssertionError; `UnknownState`."""
    __tracebackhide__ = True
    off = [name for name in map(_name, states) if not machine.is_active(name)]
    if off:
        _fail(f"{machine.id}: {_are(off)} not active", machine, *off)


def assert_inactive(machine: Machine, *states: AnyState) -> None:
    """None of these is active now. Errors: AssertionError; `UnknownState`."""
    __tracebackhide__ = True
    on = [name for name in map(_name, states) if machine.is_active(name)]
    if on:
        _fail(f"{machine.id}: {_are(on)} active", machine, *on)


def assert_no_error(machine: Machine, *, ever: bool = False) -> None:
    """`Exception` is neither active nor about to be; with `ever`, by its clock, it never was.

    Errors: AssertionError, caused by the error.
    """
    __tracebackhide__ = True
    if machine.is_active("Exception"):
        _fail(f"{machine.id} has an error: {machine.error!r}", machine, "Exception", cause=machine.error)
    if machine.is_queued("add", "Exception"):
        _fail(f"{machine.id} is about to have an error: an add of Exception is queued", machine)
    tick = machine.clock["Exception"]
    if ever and tick:
        _fail(f"{machine.id} has no error now, but has had {_times((tick + 1) // 2)}", machine, "Exception")


@overload
def assert_error(machine: Machine, *, match: str = "") -> BaseException: ...
@overload
def assert_error(machine: Machine, kind: type[E] | tuple[type[E], ...], *, match: str = "") -> E: ...
def assert_error(machine: Machine, kind: Any = Exception, *, match: str = "") -> Any:
    """`Exception` is active with an error of this kind, whose text `match` finds (as `re.search` does). Returns the error.

    The test has then looked at the errors of this machine. Errors: AssertionError.
    """
    __tracebackhide__ = True
    looked_at.add(machine)
    error = machine.error
    if error is None:
        _fail(f"{machine.id} has no error", machine)
    if not isinstance(error, kind):
        kinds = cast("tuple[type[BaseException], ...]", kind if isinstance(kind, tuple) else (kind,))
        wanted = " or ".join(each.__name__ for each in kinds)
        _fail(f"{machine.id} has another error than {wanted}: {error!r}", machine, cause=error)
    if not re.search(match, str(error)):
        _fail(
            f"{machine.id} has an error in which nothing is like {match!r}: {error!r}", machine, cause=error
        )
    return error


async def assert_waits(wait: Wait[T], *, within: float = 1.0, machine: Machine | None = None) -> T:
    """What the wait yields, which comes within so many seconds of the event loop's clock.

    `machine` is whose story is told if it does not come. Errors: AssertionError; what ends the wait otherwise.
    """
    __tracebackhide__ = True
    with anyio.move_on_after(within):
        return await wait
    # Not by `wait.done`: given up by the last who awaited it, a wait is over.
    return _fail(f"{wait.label} is not done within {within:g} s", machine)


def assert_executed(result: Result | Check, *, machine: Machine | None = None) -> None:
    """The mutation went through, or would. `machine` is whose story is told otherwise. Errors: AssertionError."""
    __tracebackhide__ = True
    if not result:
        says = (
            "is still queued: await it first"
            if getattr(result, "queued", False)
            else f"was refused: {result.why}"
        )
        _fail(f"the mutation {says}", machine)


def assert_refused(
    result: Result | Check, why: str | None = None, *, match: str = "", machine: Machine | None = None
) -> None:
    """The mutation was refused, or would be: for the reason `why`, or for one that `match` finds (as `re.search` does).

    `machine` is whose story is told otherwise. Errors: AssertionError.
    """
    __tracebackhide__ = True
    if getattr(result, "queued", False):
        _fail("the mutation is still queued: await it first", machine)
    if result:
        _fail("the mutation went through, and should not have", machine)
    if why is not None and result.why != why:
        _fail(f"the mutation was refused for another reason than {why!r}: {result.why}", machine)
    if not re.search(match, result.why):
        _fail(
            f"the mutation was refused for a reason in which nothing is like {match!r}: {result.why}", machine
        )


def _fail(says: str, machine: Machine | None, *states: str, cause: BaseException | None = None) -> NoReturn:
    __tracebackhide__ = True
    if machine is None:
        raise AssertionError(says) from cause
    told = story(machine, *states)
    seen = recorder_of(machine)
    failed = (
        [record.traceback for record in seen.find(machine=machine, failed=True)] if seen is not None else []
    )
    trace = f"\nthe last traceback:\n{failed[-1]}" if failed and cause is not None else ""
    raise AssertionError(f"{says}\n{told}{trace}") from cause


def _name(state: AnyState) -> str:
    return state if isinstance(state, str) else state.name


def _are(names: list[str]) -> str:
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}"


def _times(count: int) -> str:
    return "one" if count == 1 else f"{count} of them"
