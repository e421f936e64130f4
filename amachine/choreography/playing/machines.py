"""Roles as machines: the seat that keeps a role's present state in a real `Machine`, whose schema is what it plays.

A step of the player is one mutation: `Enter` refuses what is not the player's own next step, `State` runs the functions. So
tracers, waits, relations with states of the user's own, clocks and snapshots work as on every machine. All machines of
one role share a class, which has the schema and the handlers. Nothing here reads a frame or decides what to play.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, Unpack, cast
from weakref import WeakKeyDictionary

from amachine.choreography.local import LocalMachine, LocalState
from amachine.choreography.playing.doing import failure_of
from amachine.choreography.playing.endings import Violation
from amachine.choreography.playing.schemas import (
    CLOSING,
    SCRIPT,
    SESSION_UP,
    STEP_TIMEOUT,
    TROUBLE,
    VIOLATION,
    Extra,
    lost,
    schema_of,
    script_names,
    up,
)
from amachine.choreography.playing.seat import ABORTED, Owner, StepArgs
from amachine.conduct import formatted
from amachine.declare import Handler, Phase, Rule, StatesMeta
from amachine.machine import Machine
from amachine.mutation import ErrorInfo, Kind, Result, Status
from amachine.transition import Transition

if TYPE_CHECKING:
    from amachine.declare import States
    from amachine.event import Event
    from amachine.machine import Options
    from amachine.schema import Schema

__all__ = ["MachineSeat", "RoleMachine", "machine_type", "schema_of"]

_ADD, _REMOVE = Kind.ADD, Kind.REMOVE
_log = logging.getLogger("amachine")
_TROUBLES = {"Violation": VIOLATION, "Cancelled": CLOSING}
"""By kind of trouble, the state that says so, if it is not just `Trouble`: that comes with each of them."""

_types: WeakKeyDictionary[LocalMachine, type[RoleMachine]] = WeakKeyDictionary()
_Extended: TypeAlias = "WeakKeyDictionary[Schema | type[States], type[RoleMachine]]"
_extended: WeakKeyDictionary[LocalMachine, _Extended] = WeakKeyDictionary()


class Asked(Protocol):
    """What the handlers of a role's machine ask for: a seat of a player, or of a row."""

    pending: Any
    """The arguments of the step that is being taken: no others are let in."""
    leaving: bool
    """Somebody has removed `SessionUp`."""

    @property
    def epoch(self) -> int:
        """Of the step that was taken last."""
        ...

    @property
    def state(self) -> LocalState:
        """The state that it entered last."""
        ...

    def entered(self, args: StepArgs) -> None:
        """The role has entered the state that was its target: functions run here."""
        ...

    def cancelled(self, state: str) -> None:
        """The machine left the session, and not because of its player."""
        ...


class RoleMachine(Machine):
    """The machine of one role in one session. Only its player moves it along the script; all else is as on every machine.

    Its classes are made by `machine_type`. Removing `SessionUp`, or adding `Closing`, leaves the session.
    """

    __slots__ = ("_seat", "_tries")

    _seat: Asked
    _tries: int
    """How often states have come by themselves since there was trouble last."""
    _masks: ClassVar[Mapping[str, int]]
    _ups: ClassVar[Mapping[str, int]]
    """By peer, its `<Peer>Up`."""
    _needed: ClassVar[int]
    """Those of the peers without whom the session is not up."""
    _ways: ClassVar[Mapping[int, frozenset[tuple[str, str, str]]]]
    """By index of a state, the steps that lead to it: the state that they leave, scene and label."""

    def _by_a_step_of_its_player(self, event: Event[StepArgs]) -> bool:
        """Enter of every state of the script."""
        seat, args = self._seat, event.args
        if args is not seat.pending or args.epoch < seat.epoch:
            return False
        return not args.scene or (seat.state.name, args.scene, args.label) in self._ways[event.call.state]

    def _functions(self, event: Event[StepArgs]) -> None:
        """State of every state of the script."""
        self._seat.entered(event.args)

    def _sits(self, seat: Asked) -> None:
        """Whoever takes its steps has it from now on."""
        self._seat = seat
        self._tries = 0

    def _not_for_ever(self, event: Event[None]) -> bool:
        """Enter of all that comes by itself. Where a handler of the user's fails, it comes again with each error."""
        self._tries += event.transition.auto
        return self._tries <= TRIES or not event.transition.auto

    def _anew(self, _event: Event[None]) -> None:
        """End of `Trouble`."""
        self._tries = 0

    def _unless_it_was_left(self, _event: Event[None]) -> bool:
        """Enter of `SessionUp`."""
        return not self._seat.leaving

    def _leave(self, event: Event[None]) -> None:
        """End of `SessionUp`: removed by hand, it does not come back by itself."""
        if event.transition.kind is Kind.REMOVE and SESSION_UP in event.transition.called:
            self._seat.leaving = True
            self.add(CLOSING)

    def _reported(self, error: Exception) -> ErrorInfo:
        """As `add_error` takes an error down: what it is to be entered with, beside the states of trouble."""
        info = ErrorInfo(error, formatted(error))
        self._error_ = error
        self._announce(info)
        return info

    def _cancel(self, event: Event[None]) -> None:
        """State of `Closing`, and of `Aborted` where somebody else than the player brought it about."""
        self._seat.cancelled(str(event.state))


TRIES = 3
"""How often the states of session and trouble may come by themselves, until trouble is over."""

NOBODYS: Any = object()
"""What no step is."""


def machine_type(local: LocalMachine, *, states: Extra | None = None) -> type[RoleMachine]:
    """The class of the machines that play a role, perhaps with `states` of the user's own.

    The same class each time, except for states that are given as data: then keep it. Errors: `ChoreographyError`, as those of
    `schema_of`.
    """
    if isinstance(states, Mapping):
        return _made(local, states)
    if states is None:
        found = _types.get(local)
        if found is None:
            found = _types[local] = _made(local, None)
        return found
    known = _extended.setdefault(local, WeakKeyDictionary())
    found = known.get(states)
    if found is None:
        found = known[states] = _made(local, states)
    return found


def _made(local: LocalMachine, states: Extra | None) -> type[RoleMachine]:
    schema = schema_of(local, extra=states)
    script = script_names(local)
    comes = tuple(state.name for state in schema_of(local).states if state.auto)
    ways: dict[int, set[tuple[str, str, str]]] = {schema.index[name]: set() for name in script}
    for state, edge in local.edges():
        ways[schema.index[edge.next]].add((state.name, edge.scene, edge.label))
    kept = RoleMachine.__dict__

    def handler(name: str, phase: Phase, *at: str) -> Handler:
        return Handler(kept[name], tuple(Rule(phase, state) for state in at))

    body = {
        "__module__": __name__,
        "__slots__": (),
        "__doc__": f"Plays {local.role}.",
        "__schema__": schema,
        "_masks": {name: 1 << i for i, name in enumerate(schema.names)},
        "_ups": {peer: 1 << schema.index[up(peer)] for peer in local.peers},
        "_needed": schema.require[schema.index[SESSION_UP]],
        "_ways": {at: frozenset(steps) for at, steps in ways.items()},
        "_by_a_step_of_its_player": handler("_by_a_step_of_its_player", Phase.ENTER, *script),
        "_functions": handler("_functions", Phase.STATE, *script),
        "_not_for_ever": handler("_not_for_ever", Phase.ENTER, *comes),
        "_anew": handler("_anew", Phase.END, TROUBLE),
        "_unless_it_was_left": handler("_unless_it_was_left", Phase.ENTER, SESSION_UP),
        "_leave": handler("_leave", Phase.END, SESSION_UP),
        "_cancel": handler("_cancel", Phase.STATE, CLOSING, ABORTED),
    }
    return cast("type[RoleMachine]", StatesMeta(local.role, (RoleMachine,), body))


class MachineSeat:
    """A role's present state, kept in a machine. See `Seat` for what each method means.

    `kind` is the class of the machine, from `machine_type`, where users have states of their own; `options` are those of every
    machine: handlers, tracers, a parent.
    """

    __slots__ = (
        "_aborts", "_after", "_alone", "_broken", "_coming", "_enters", "_hushed", "_owner", "_stands", "epoch", "leaving",
        "local", "machine", "pending", "state", "target", "then", "why",
    )  # fmt: skip

    def __init__(
        self,
        local: LocalMachine,
        session: str = "",
        *,
        kind: type[RoleMachine] | None = None,
        **options: Unpack[Options],
    ) -> None:
        kind = kind or machine_type(local)
        options.setdefault("handler_timeout", None)
        self._take(local, kind(f"{session or 'session'}/{local.role}", **options))
        self._coming = kind._masks[SESSION_UP]

    @classmethod
    def resume(
        cls,
        local: LocalMachine,
        data: Mapping[str, Any],
        *,
        kind: type[RoleMachine] | None = None,
        **options: Unpack[Options],
    ) -> MachineSeat:
        """A seat whose machine goes on where an exported one stood.

        The first step may say again where it stands: then nothing is entered, and the functions run once more.
        Errors: `RestoreError`; nothing is made then.
        """
        kind = kind or machine_type(local)
        options.setdefault("handler_timeout", None)
        machine = kind.restore(data, **options)
        seat = cls.__new__(cls)
        seat._take(local, machine)
        seat._stands = True
        standing = machine.active_in(SCRIPT)
        if standing is not None:
            seat.state = local.by_name.get(standing) or LocalState(standing, ())
            seat.epoch = getattr(machine[standing].args, "epoch", 0)
        return seat

    def _take(self, local: LocalMachine, machine: RoleMachine) -> None:
        self.local: LocalMachine = local
        self.machine: RoleMachine = machine
        self.state: LocalState = local.start
        self.target: LocalState = local.start
        self.pending: Any = NOBODYS
        """The arguments of the step that is being taken: no others are let in."""
        self.then: Callable[[], None] | None = None
        self.epoch: int = 0
        self.why: str = ""
        """Why the last step was refused: in the machine's words, with the handler that said no."""
        self.leaving: bool = False
        """Somebody has removed `SessionUp`."""
        self._owner: Owner | None = None
        self._enters = False
        """The functions of a state are being called."""
        self._after: Callable[[], object] | None = None
        """What the player does when that step stands."""
        self._broken: Exception | None = None
        """What one of them has raised, where it was to be the last."""
        self._aborts = False
        """The machine has been told to."""
        self._alone = False
        """The handlers of the user's have been unbound."""
        self._hushed = False
        """The player knows that there is trouble."""
        self._stands = False
        """The machine goes on where another stood, and the player has not begun yet."""
        self._coming = 0
        """The states of peers who have come, and at first that of the session, which the machine was not told yet."""
        machine._sits(self)

    def begun(self, epoch: int) -> None:
        """The player is in the middle already: its next step is a new one."""
        self.epoch, self._stands = epoch, False

    # What the player calls.

    def open(self, owner: Owner, /) -> None:
        """A player begins to use it."""
        self._owner = owner

    def step(self, target: LocalState, args: StepArgs, then: Callable[[], None], /) -> bool:
        """Enter a state; its State handler calls `then`. False if a handler, or a relation, refused: `why` says which."""
        if (self._coming or self._stands) and self._goes_on(target, args):
            then()
            return True
        machine = self.machine
        self.pending, self.target, self.then = args, target, then
        result = self._ask(_ADD, machine._masks[target.name], args)
        if self.pending is not args:
            if not result or self._after is not None:
                self._look_back(result)
            return True
        if result.queued and self._await(result):
            return True
        why = result.why or f"{target.name} is active already, and is not entered anew"
        self.pending, self.then, self.why = NOBODYS, None, why
        return False

    def after_step(self, do: Callable[[], object], /) -> None:
        """Do this when the machine has done with the step: handlers of the user's may fail, behind the role's functions."""
        if self._enters:
            self._after = do
        else:
            do()

    def _ask(self, kind: Kind, states: int, args: Any = None) -> Result:
        """What the machine answers. Cancellations go up from handlers; where nobody has cancelled anything, one is a failure."""
        try:
            return self.machine._submit(kind, states, args)
        except BaseException as stop:
            failure = failure_of(stop)
            if failure is None:
                raise
            _log.error("machine %s: a handler raised %r", self.machine.id, stop, exc_info=stop)
            refused = Result(Status.CANCELED, f"a handler raised {stop!r}")
            refused.error = failure
            return refused

    def _look_back(self, result: Result) -> None:
        """A step has been taken. If a handler of the user's has failed there, that is the role's own trouble."""
        after, self._after = self._after, None
        where, failure = self._failed(result)
        if failure is None:
            if after is not None:
                after()
        elif self._owner is not None:
            self._owner.failed(where, failure)

    def _failed(self, result: Result) -> tuple[str, Exception | None]:
        """Which handler of the state has failed behind the role's functions, and with what. One of its end is no trouble."""
        if isinstance(result.error, Exception):
            return "a handler of its machine", result.error
        t, at = result._reason, self.machine.schema.index[self.state.name]
        failure = t.failure if isinstance(t, Transition) else None
        if failure is not None and isinstance(t, Transition) and isinstance(failure.error, Exception):
            for _, _, call, *_ in t.plan.finals:
                if call.label == failure.handler and call.phase is Phase.STATE and call.state == at:
                    return call.label, failure.error
        return "", None

    def _goes_on(self, target: LocalState, args: StepArgs) -> bool:
        """What is done before the first step. Whether that only says again where a restored machine stands."""
        if self._coming:
            self._tell_peers()
        stands, self._stands = self._stands, False
        self.epoch = max(self.epoch, args.epoch)
        return stands and not args.scene and target.name == self.state.name

    def _await(self, result: Result) -> bool:
        """A step that has to wait for its turn, because the machine is busy, counts as taken until it is refused."""

        def look(done: Result) -> None:
            if self.then is None:
                self._look_back(done)
            elif done.canceled and self._owner is not None:
                self.pending, self.then, self.why = NOBODYS, None, done.why
                self._owner.cancel(f"the machine of {self.local.role} refused a step: {done.why}")

        wait = result.when_done()
        if wait is not None:
            wait.then(look)
        return True

    def recover(
        self, _region: str, _lost: str, target: LocalState, args: StepArgs, then: Callable[[], None], /
    ) -> bool:
        """Leave trouble behind, and enter the state where a region goes on."""
        self._hushed = False
        machine = self.machine
        again = (target.name,) if machine.is_active(target.name) and not target.repeats else ()
        left = self._ask(_REMOVE, self._mask(TROUBLE, ABORTED, *again))
        if left.canceled and machine.is_active(TROUBLE):
            self.why = left.why
            return False
        return self.step(target, args, then)

    def peer_up(self, peer: str, /) -> None:
        """A peer has come. The machine is told when all have without whom the session is not up, in one mutation."""
        self._coming |= self.machine._ups.get(peer, 0)
        if self.machine._count_ or not self.machine._needed & ~self._coming:
            self._tell_peers()

    def _tell_peers(self) -> None:
        machine, coming = self.machine, self._coming
        self._coming = 0
        if machine._needed & ~coming:
            coming &= ~machine._masks[SESSION_UP]  # it comes by itself, when all are there
        if coming:
            self._ask(_ADD, coming)

    def peer_left(self, peer: str, /) -> None:
        """It was up to its end: nothing changes."""

    def peer_lost(self, peer: str, _why: str, /) -> None:
        """A peer is gone that is needed: there is trouble, and relations say if a region recovers."""
        self._hushed = True
        states = (lost(peer), TROUBLE) if lost(peer) in self.machine._masks else (TROUBLE,)
        self._insist(*states)

    def trouble(self, kind: str, why: str, error: Exception | None, /) -> None:
        """Enter the state of that kind of trouble, and `Aborted` with it, where the role cannot go on."""
        machine = self.machine
        if kind == "StepTimeout":
            self._ask(_ADD, self._mask(STEP_TIMEOUT))
            return
        self._hushed = True
        if kind == "Violation" and error is None:
            error = Violation(why)
        info = None
        if self._enters and self.state.ends:
            self._broken = error
        elif error is not None and error is not machine.error:  # that, a handler has raised, and it is known
            info = machine._reported(error)
        self._abort(_TROUBLES.get(kind, TROUBLE), info)

    def end(self, state: str, _why: str, /) -> None:
        """Stand in the exit, or in `Aborted`."""
        self._hushed, self._after = True, None
        if state == ABORTED:
            if not self.machine.is_active(ABORTED):
                self._abort(TROUBLE)
        elif state != self.state.name:
            target = self.local.by_name.get(state) or LocalState(state, ())
            self.step(target, StepArgs("", epoch=self.epoch), _nothing)

    def _abort(self, state: str, info: ErrorInfo | None = None) -> None:
        """Leave the script, once, with this state of trouble."""
        if not self._aborts:
            self._aborts = True
            self._insist(state, ABORTED, *(["Exception"] if info is not None else ()), info=info)

    def _insist(self, *states: str, info: ErrorInfo | None = None, last: bool = False) -> None:
        """Have the machine follow its role. If handlers of the user's do not let it, they are unbound, and that is logged.

        Relations keep an exit for good, whoever asks; but where a function has failed that was to be the last, it is left.
        """
        machine, mask = self.machine, self._mask(*states)
        standing = machine.active_in(SCRIPT)
        if ABORTED in states and standing is not None and "exit" in machine.schema[standing].tags:
            self._ask(_REMOVE, self._mask(standing))

        def look(done: Result) -> None:
            if done.canceled and not last and machine._node_.active & mask != mask:
                self._unbind(done.why)
                self._insist(*states, info=info, last=True)

        result = self._ask(_ADD, mask, info)
        wait = result.when_done()
        if wait is None:
            look(result)
        else:
            wait.then(look)

    def _unbind(self, why: str) -> None:
        machine, handlers = self.machine, self.machine.handlers
        if handlers and not self._alone:
            self._alone = True
            _log.error(
                "the handlers of machine %s are unbound: it could not follow its role, for %s",
                machine.id,
                why,
            )
            for owner in handlers:
                machine.unbind(owner)

    def _mask(self, *states: str) -> int:
        return sum(self.machine._masks[state] for state in states)

    def close(self) -> None:
        """Close the machine as soon as it is idle, unless it lives in an event loop: then whoever opened it does."""
        machine = self.machine
        if not machine.is_open:
            machine.when_idle().then(self._close)

    def _close(self, _: None) -> None:
        if not self.machine.is_open:
            self.machine.close()

    # What the machine tells.

    def entered(self, args: StepArgs) -> None:
        """The role has entered the state that was its target: functions run here."""
        self.state, then = self.target, self.then
        self.pending, self.then, self.epoch = NOBODYS, None, args.epoch
        if then is None:
            return
        self._enters = True
        try:
            then()
        finally:
            self._enters = False
        broken, self._broken = self._broken, None
        if broken is not None:
            raise broken  # the machine leaves the exit again, before anybody hears that it has come there

    def cancelled(self, state: str) -> None:
        """The machine left the session, and not because of its player."""
        if not self._hushed and self._after is None and self._owner is not None:
            self._hushed = True
            why = "cancelled" if state == CLOSING else f"{state} was entered by hand"
            ground = getattr(self._owner, "ground", None)
            if (
                self.machine.is_open and ground is not None
            ):  # a turn of the loop, perhaps, in which no task can be started
                ground.soon(self._owner.cancel, why)
            else:
                self._owner.cancel(why)

    def __repr__(self) -> str:
        return f"<MachineSeat of {self.machine.id}: {self.state.name}>"


def _nothing() -> None:
    """What is done in an exit that is no state of its own."""
