"""Schemas for what most machines have: a start, a connection, an orderly end, work. Inherit them, or merge them.

`class Flow(Machine, Basic, Disposed)` has the states of both, and the behaviour of the second. Each class is a schema and
nothing more, except for `Disposed`, which also does what its states say. Names have capitals, so that they meet none of
yours. A state is changed as any inherited one: `Ready = Basic.Ready.extend(require=[...])`, or declared anew, with
arguments of your own; and `_ = relate(Connected.Connecting, require=[Basic.Start])` ties two of these classes together.
Nothing here may keep a machine from closing.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any

import attrs

from amachine.declare import Group, State, States, exclusive
from amachine.errors import BindingError, WaitError
from amachine.mutation import ErrorInfo

if TYPE_CHECKING:
    from amachine.event import Event
    from amachine.machine import Machine

__all__ = ["Basic", "Connected", "ConnectionPool", "Disposal", "Disposed", "Worker", "on_dispose"]


def _free(state: State[..., Any]) -> State[..., Any]:
    """A state that a subclass may declare anew with arguments of its own: type checkers must not hold it to none."""
    return state


class Basic(States):
    """The states that machines have in common, so that others know what to ask of them.

    An error state is entered together with `Exception`: `flow.add_error(error, Basic.ErrNetwork)`.
    """

    ErrNetwork: State[..., ErrorInfo] = State(
        ErrorInfo, multi=True, require=["Exception"], doc="The error is one of the network, and may pass."
    )
    ErrHandlerTimeout: State[..., ErrorInfo] = State(
        ErrorInfo, multi=True, require=["Exception"], doc="The error is that a handler took too long."
    )
    Start = _free(State(doc="It should be at work. Removing this stops what requires it."))
    Ready: State[[], None] = State(require=[Start], doc="It can do what it is there for.")
    Healthcheck: State[[], None] = State(
        multi=True, doc="Somebody asked whether it is alive. Entered anew each time."
    )
    Heartbeat: State[[], None] = State(
        doc="It is looking after itself. Whoever looks removes it, so that it can be added again."
    )


class Connected(States):
    """One connection, and where it stands. Exactly one of the four is active once anything has happened.

    Ending any of them leads to `Disconnected` by itself, so a failed attempt needs no more than
    `flow.add_error(error, Connected.ErrConnecting)` and the removal of `Connecting`.
    """

    ErrConnecting: State[..., ErrorInfo] = State(
        ErrorInfo, multi=True, require=["Exception"], doc="The error is that no connection came about."
    )
    Connecting = _free(State(doc="The connection is being made."))
    Connected = _free(State(doc="The connection stands."))
    Disconnecting = _free(State(doc="The connection is being ended."))
    Disconnected = _free(State(auto=True, doc="There is no connection, and nothing is being done about it."))
    ConnectionStatus: Group = exclusive(Connecting, Connected, Disconnecting, Disconnected)


class ConnectionPool(States):
    """Many connections as one: some may stand while others are being made.

    `Disconnecting` is the end of all: it excludes `Connecting` and `Connected`, and `Disconnected` follows by itself when
    none of them is left. Who holds the connections adds and removes the states; nothing is counted here.
    """

    ErrConnecting: State[..., ErrorInfo] = State(
        ErrorInfo, multi=True, require=["Exception"], doc="The error is that a connection did not come about."
    )
    Connecting = _free(State(doc="At least one connection is being made."))
    Connected = _free(State(doc="At least one connection stands."))
    ConnectedFully = _free(State(require=[Connected], doc="As many connections stand as are wanted."))
    Disconnecting = _free(State(doc="All connections are being ended."))
    Disconnected = _free(State(auto=True, doc="No connection stands, and none is being made or ended."))
    AttemptStatus: Group = exclusive(Connecting, Disconnecting, Disconnected)
    ConnectionStatus: Group = exclusive(Connected, Disconnecting, Disconnected)


class Worker(Basic):
    """Something that does one piece of work after another for others, such as one of a pool.

    It is `Idle` whenever it is `Ready` and has nothing to do: who has a pool looks for that. Work goes from `WorkRequested`,
    where it can be refused, through `Working`, whose task does it, to `WorkReady`; whichever comes next ends the one
    before, and the end of `Ready` ends them all. `flow.add_error(error, Worker.ErrWork)` ends the piece of work that went
    wrong, and the next request makes good.

    Declare a state anew to give it arguments: `Working = State(Job, require=[Worker.Ready])`, and it stays in the group. A
    `Worker` is a `Basic`: name it alone, or before that.
    """

    Idle = _free(State(auto=True, require=[Basic.Ready], doc="It is free."))
    WorkRequested = _free(State(require=[Basic.Ready], doc="Somebody wants work done, and it is not begun."))
    Working = _free(State(require=[Basic.Ready], doc="Work is being done."))
    WorkReady = _free(State(require=[Basic.Ready], doc="The work is done, and its result not yet fetched."))
    ErrWork: State[..., ErrorInfo] = State(
        ErrorInfo,
        multi=True,
        require=["Exception"],
        remove=[WorkRequested, Working, WorkReady],
        doc="The error is that work failed. Until the next request.",
    )
    WorkStatus: Group = exclusive(Idle, WorkRequested, Working, WorkReady)
    _Outcome: Group = exclusive(WorkRequested, ErrWork)


@attrs.frozen
class Disposal:
    """What `RegisterDisposal` is entered with."""

    dispose: Callable[[], object] = attrs.field(validator=attrs.validators.is_callable())
    """Gives back what is held: a function without parameters, `async def` or not."""


class Disposed(States):
    """An orderly end: whoever opens something says how it is closed, and `Disposing` closes all of it, last opened first.

    `flow.RegisterDisposal.add(connection.aclose)`: refused once `Disposing` has begun, so
    `if not flow.RegisterDisposal.add(file.close): file.close()`. `Disposing` is added by `machine.close()` and by leaving
    `async with`; or by you, to dispose and go on. An error of one disposer is reported as any other (`add_error`) and stops none
    of the rest. When all are through, `Disposed` is active.

    On a machine that is open, disposers run in one task of the machine: it is awaited when the machine closes, within its
    `grace`, and those that are left then are not run. Otherwise they run at once, and an `async def` one is an error.
    `Machine.of(Disposed)` has the states without the behaviour.
    """

    RegisterDisposal: State[[Callable[[], object]], Disposal] = State(
        Disposal,
        multi=True,
        doc="Something is held that is to be disposed of. It ends by itself, once that is noted.",
    )
    Disposing: State[[], None] = State(
        remove=[RegisterDisposal], doc="What was registered is being disposed of."
    )
    Disposed: State[[], None] = State(remove=[RegisterDisposal], doc="Everything has been disposed of.")
    DisposalStatus: Group = exclusive(Disposing, Disposed)

    _disposers: list[Callable[[], object]]

    def unregister_disposal(self, dispose: Callable[[], object]) -> bool:
        """Forget a disposer: what it stands for is closed already. False where it is not registered."""
        try:
            vars(self).get("_disposers", []).remove(dispose)
        except ValueError:
            return False
        return True

    @RegisterDisposal.state
    def _keep_disposer(self, e: Event[Disposal]) -> None:
        vars(self).setdefault("_disposers", []).append(e.args.dispose)
        self.RegisterDisposal.remove()  # its arguments could not be exported

    @Disposing.state
    def _begin_disposal(self, e: Event[None]) -> None:
        if e.machine.is_open and vars(self).get("_disposers"):
            # As an End handler that waits: a task of the machine, which closing does not cancel but await.
            e.machine._the_tasks().start_end((Disposed._dispose_in_task, 0, e.call, -1, True), e)
        else:
            self._dispose_here(e.machine)

    def _dispose_here(self, machine: Machine) -> None:
        disposers: list[Callable[[], object]] = vars(self).get("_disposers", [])
        while disposers:
            _dispose_at_once(machine, disposers.pop())
        self.Disposed.add()

    async def _dispose_in_task(self, e: Event[None]) -> None:
        disposers = self._disposers
        while disposers:
            dispose = disposers.pop()
            try:
                pending = dispose()
                if isawaitable(pending):
                    await pending
            except Exception as error:  # noqa: BLE001  # the others are to be disposed of all the same
                e.machine.add_error(error)
        self.Disposed.add()


def _dispose_at_once(machine: Machine, dispose: Callable[[], object]) -> None:
    try:
        pending = dispose()
        if isawaitable(pending):
            if iscoroutine(pending):
                pending.close()  # it has not begun
            raise WaitError(
                f"{dispose!r} has to be awaited, and machine {machine.id} is not open: open it with `async with`",
                machine=machine.id,
            )
    except Exception as error:  # noqa: BLE001  # the others are to be disposed of all the same
        machine.add_error(error)


def on_dispose(machine: Machine, dispose: Callable[[], object]) -> bool:
    """Have `dispose` called at the end of any machine: as one of its disposers, or, if it is no `Disposed`, once it has closed.

    False where it is too late: then it is yours to call. A busy machine does not know yet: it is True, and should it turn out
    to be too late, `dispose` is called as soon as that is known. Errors: `BindingError` for an `async def` where nobody
    would await it, on a machine that is no `Disposed`.
    """
    if isinstance(machine, Disposed):
        result = machine.RegisterDisposal.add(dispose)
        answer = result.when_done()
        if answer is not None:
            answer.then(lambda final: _dispose_at_once(machine, dispose) if final.canceled else None)
        return not result.canceled
    if iscoroutinefunction(dispose):
        raise BindingError(
            f"{dispose!r} has to be awaited, and {machine.id} does not declare how it ends: "
            f"write `class {type(machine).__name__}(Machine, Disposed)`",
            owner=type(machine).__name__,
        )
    if machine.is_closing:
        return False
    machine.when_closed().then(lambda _: dispose())
    return True
