"""What a handler is handed: the arguments of its state, and where it stands. Made only when a handler runs."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from amachine.declare import Phase
    from amachine.handlers import Call
    from amachine.machine import Machine
    from amachine.mutation import Mutation, Source
    from amachine.transition import Transition

A_co = TypeVar("A_co", covariant=True)


class Event(Generic[A_co]):
    """One call of one handler. `A_co` is the args class of the handler's state; `Event[None]` where it has none."""

    # No `__init__`: the call of it costs more than four stores. See `event_for`.

    __slots__ = ("args", "call", "machine", "transition")

    args: A_co
    """In Enter, State and task: the arguments given for this state. In Exit and End: those its activation was entered with."""
    machine: Machine
    transition: Transition
    """The transition that runs, or ran: in a task it has ended."""
    call: Call
    """The handler itself: its phase, its conventional name, and where it is written."""

    @property
    def name(self) -> str:
        """The conventional name of the handler, such as `ProcessingEnter`."""
        return self.call.name

    @property
    def phase(self) -> Phase:
        """When in the transition this handler runs."""
        return self.call.phase

    @property
    def state(self) -> str | None:
        """Name of the handler's state (the one entered, for a state-to-state handler); None in `any_enter` and `any_state`."""
        index = self.call.subject
        return None if index < 0 else self.machine.schema.names[index]

    @property
    def mutation(self) -> Mutation:
        """The mutation behind the transition, with its arguments, whatever state they were for."""
        return self.transition.mutation

    @property
    def source(self) -> Source | None:
        """The mutation and machine that caused this mutation; None when it came from outside of any handler."""
        return self.transition.mutation.source

    @property
    def is_check(self) -> bool:
        """Whether this is only a question (`can_add`, `can_remove`): nothing will be committed."""
        return self.transition.is_check

    @property
    def restored(self) -> bool:
        """Whether this starts the work of an activation again that was entered before a restart: see `Machine.restore`."""
        return self.transition.is_restore

    def spawn(self, fn: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Start `fn(*args)` as one more task of the handler's state: cancelled when that activation ends.

        Errors: `WaitError` when the machine is not open, or the handler has no state that is active; `MachineClosed`.
        """
        self.machine._spawn(self, fn, args)

    def __repr__(self) -> str:
        check = " (check)" if self.is_check else ""
        return f"<Event {self.name} of {self.transition.id}{check}>"


def event_for(machine: Any, transition: Transition, call: Call, args: Any) -> Event[Any]:
    """What a handler is handed. Where every handler of every machine comes by, these lines are written out."""
    event: Event[Any] = Event()
    event.machine = machine
    event.transition = transition
    event.call = call
    event.args = args
    return event
