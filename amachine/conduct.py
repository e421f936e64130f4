"""How one transition runs: negotiation, commit, consequences, and what becomes of errors. SEMANTICS sections 4 and 6.

It holds the memory of a machine, and is below the engine, which decides what runs, and when. It knows no threads and no
loops: a clock, a sink for errors and a keeper of tasks are handed in from above.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, cast

from amachine._bits import bits, tick_at
from amachine._kept import Kept, args_of, states_of, without
from amachine.clock import Clock, Time, advance
from amachine.declare import Phase
from amachine.errors import HandlerTimeout
from amachine.event import Event, event_for
from amachine.handed import Life, Limits, Tasks
from amachine.mutation import ErrorInfo, Kind, Mutation, Source
from amachine.transition import HandlerRun, Plan, Program, Situation, Step, Transition

if TYPE_CHECKING:
    from amachine.handlers import Call
    from amachine.queue import Evaluation, Queue
    from amachine.subscriptions import Wait, Waits
    from amachine.tracers.base import Hooks

current: ContextVar[Transition | None] = ContextVar("amachine_transition", default=None)
"""The transition whose handler, task or callback is running here: the cause of what is mutated below."""
cause_here: Callable[[], Transition | None] = current.get
enter_cause: Callable[[Transition], Token[Transition | None]] = current.set
leave_cause: Callable[[Token[Transition | None]], None] = current.reset


TRAIL = 24
"""So many mutations before the limit of the cause depth, their names are kept, to show the cycle."""
_ENTERING = (Phase.ENTER, Phase.TO)
_STATE = Phase.STATE


class Moment:
    """What a wait may look at, right after a transition or when it is made."""

    __slots__ = ("_called", "_engine", "_given", "_kept", "_time_", "active", "entered", "number")

    def __init__(self, engine: Conductor, t: Transition | None) -> None:
        self._engine = engine
        self._time_ = engine._time_
        self.number: int = engine._count_ if t is None else t.number
        self.active: int = engine._node_.active
        self._kept = engine._args_
        committed = t is not None and t.was_committed
        self.entered: int = t.plan.enters & ~t.put_back if t is not None and committed else 0
        self._called = t.plan.called if t is not None else 0
        self._given = t.args if t is not None else None

    def tick(self, state: int) -> int:
        """The tick of a state."""
        return tick_at(self._time_, state)

    def clock(self) -> Clock:
        """The ticks of all states."""
        schema = self._engine._program_.schema
        return Clock(schema.names, Time.unpacked(self._time_, schema.n))

    @property
    def error(self) -> BaseException | None:
        """The error reported last."""
        return self._engine._error_

    def args(self, state: int) -> Any:
        """The arguments that the present activation of a state was entered with."""
        args = args_of(self._kept, state)
        return self._engine._empty_args(state) if args is None else args

    def called_args(self, state: int) -> Any:
        """The arguments of the mutation, as far as the state can read them: a mapping, or those given for it."""
        given = self._given
        if given is not None and (self._called >> state & 1 or isinstance(given, dict)):
            return cast("Any", given)
        return self.args(state)


class Conductor:
    """One machine's memory, and how a transition changes it."""

    __slots__ = (
        "__weakref__",
        "_args_",
        "_attention_",
        "_count_",
        "_error_",
        "_home_",
        "_hooks_",
        "_id_",
        "_ident_",
        "_inbox_",
        "_life_",
        "_limits_",
        "_node_",
        "_now_",
        "_owner_",
        "_owners_",
        "_program_",
        "_queue_",
        "_running_",
        "_tasks_",
        "_time_",
        "_turn_",
        "_waits_",
    )  # fmt: skip

    _time_: int
    """The ticks of all states, packed."""
    _turn_: list[None]
    """Holds one item while nobody runs the machine: whoever pops it does, and puts it back. A lock that can only be tried; one of
    `threading` takes four times as long."""
    _count_: int
    """Transitions so far."""

    def __init__(
        self,
        machine_id: str,
        program: Program,
        limits: Limits,
        now: Callable[[], float],
        ident: Callable[[], int],
    ) -> None:
        self._id_ = machine_id
        self._program_ = program
        self._owners_: tuple[Any, ...] = ()
        self._limits_ = limits
        self._now_ = now
        self._ident_ = ident
        self._turn_: list[None] = [None]
        self._owner_ = 0  # the thread that drains, while user code may run below it
        self._life_ = Life.FREE
        self._home_: int | None = None  # the thread of the event loop that the machine lives in
        self._node_: Situation = program.first
        self._time_ = 0
        self._count_ = 0
        self._inbox_: list[Mutation | Evaluation | Wait[None]] | None = None
        self._queue_: Queue | None = None
        self._running_: Transition | None = None
        self._args_: Kept = None
        self._error_: BaseException | None = None
        self._waits_: Waits | None = None
        self._tasks_: Tasks | None = None
        self._hooks_: Hooks | None = None
        self._attention_ = program.schema.exception

    # -- one transition

    def _begin(self, plan: Plan, args: Any) -> Transition:
        self._count_ += 1
        t = Transition()
        t.machine = self._id_
        t.number = self._count_
        t.plan = plan
        t.before = self._time_
        if args is not None:
            t.args = args
        return t

    def _perform(self, t: Transition) -> bool:
        """Negotiate, commit, run the consequences: whether it is executed. Only what must go up is raised."""
        plan = t.plan
        hooks = self._hooks_
        if hooks is not None and hooks.stages:
            hooks.transition_started(self, t)
        outer = self._running_
        self._running_ = t
        token = enter_cause(t)
        committed = False
        try:
            if plan.asks:
                granted = self._grant(t)
                plan = t.plan
            else:
                granted = plan.accepted
            hooks = (
                self._hooks_
            )  # asked again each time: handlers attach and detach tracers, and one that fails is detached
            if hooks is not None and hooks.stages:
                hooks.transition_negotiated(self, t)
                hooks = self._hooks_
            if granted:
                noteworthy = t.args is not None or plan.moved & self._attention_
                if noteworthy:
                    self._keep_args(t)  # before anybody can see the states active
                self._time_ += plan.delta
                self._node_ = plan.next
                committed = True
                if noteworthy:
                    self._note(t)
                if hooks is not None and hooks.stages:
                    hooks.transition_committed(self, t)
                if plan.finals:
                    t.is_final = True
                    for step in plan.finals:
                        try:
                            self._call(t, step)
                        except Exception as error:
                            if self._fell(t, step[2], error):
                                break
                        except BaseException as stop:
                            self._interrupted(t, stop)
                            raise
                if plan.leads or self._args_:
                    self._lead_on(t)
                waits = self._waits_
                if waits is not None and plan.moved & waits.watched:
                    self._settle(waits, t)
        except (
            BaseException
        ) as stop:  # KeyboardInterrupt and the like: the machine stands as it is, and they go up
            t.committed = committed
            t.failure = ErrorInfo(stop, handler=f"machine {self._id_}")
            raise
        finally:
            t.running = False
            leave_cause(token)
            self._running_ = outer
            if (hooks := self._hooks_) is not None:
                hooks.transition_ended(self, t)
        return granted and t.failure is None

    def _grant(self, t: Transition) -> bool:
        """Whether relations, arguments and handlers agree to the transition."""
        plan = t.plan
        if plan.accepted:
            if plan.wanting and t.args is None:
                t.objection = self._missing_args(plan.wanting)
            elif self._negotiate(t):
                return True
        t.committed = False
        return False

    def _missing_args(self, states: int) -> str:
        schema = self._program_.schema
        return "; ".join(f"{schema.names[i]} needs {', '.join(schema.missing_args(i))}" for i in bits(states))

    def _negotiate(self, t: Transition) -> bool:
        """Ask the handlers. An auto mutation goes on without the auto states that are vetoed."""
        asked: set[Step] | None = set() if t.plan.auto else None
        while True:
            plan = t.plan
            for step in plan.negotiation:
                call = step[2]
                if asked is not None:
                    if step in asked:
                        continue
                    asked.add(step)
                try:
                    answer = self._call(t, step)
                except Exception as error:
                    self._failed(t, call.label, error)
                    return False
                if answer is False:
                    t.vetoes = (*t.vetoes, call)
                    vetoed = 1 << call.subject if plan.auto and call.phase in _ENTERING else 0
                    if not vetoed & plan.schema.auto:
                        t.veto = call
                        return False
                    t.plan = self._program_.auto_plan(
                        self._node_, plan.called | plan.banned, plan.banned | vetoed
                    )
                    if not t.plan.accepted:
                        t.veto = call
                        return False
                    break
            else:
                return True

    def _note(self, t: Transition) -> None:
        """End at the commit what hangs on states that move: tasks and scopes, the error."""
        plan = t.plan
        if self._tasks_ is not None and plan.moved & self._tasks_.bound:
            self._tasks_.ticked(plan.moved, plan.exits)
        exception = plan.schema.exception
        if plan.exits & exception:
            self._error_ = None
        elif plan.enters & exception and self._error_ is None and isinstance(t.args, ErrorInfo):
            self._error_ = t.args.error

    def _settle(self, waits: Waits, t: Transition) -> None:
        """End the waits that this transition fulfils."""
        t.is_final = False  # callbacks are no handlers
        waits.settle(t.plan.moved, Moment(self, t))

    def _fell(self, t: Transition, call: Call, error: Exception) -> bool:
        """A final handler raised. Whether the rest of them is skipped: after a State handler, which is put back."""
        self._failed(t, call.label, error)
        if call.phase is not _STATE:
            return False
        self._put_back(t, call.state)
        if isinstance(t.args, ErrorInfo):
            self._report(t.args)  # the handlers of Exception are among the skipped: who else would hear of it
        return True

    def _lead_on(self, t: Transition) -> None:
        """What follows the final handlers: tasks, arguments that are over, the auto mutation."""
        plan = t.plan
        for step in plan.ends:
            self._start(t, step, self._the_tasks().start_end)
        if self._args_:
            self._forget_args(plan.exits | t.put_back)
        for step in plan.tasks:
            if not t.put_back >> step[2].state & 1:
                self._start(t, step, self._the_tasks().start)
        if plan.autos and t.failure is None:
            self._push_auto(t)

    def _start(self, t: Transition, step: Step, start: Callable[[Step, Event[Any]], None]) -> None:
        try:
            event = event_for(self, t, step[2], self._args_for(t, step))
        except Exception as error:  # the class of its arguments cannot be built empty after all
            self._failed(t, step[2].label, error)
        else:
            start(step, event)

    def _interrupted(self, t: Transition, stop: BaseException) -> None:
        """Something goes up from a final handler. What is active has its tasks all the same, and who waits hears of it."""
        t.failure = ErrorInfo(stop, handler=f"machine {self._id_}")
        self._lead_on(t)
        if self._waits_ is not None:
            self._settle(self._waits_, t)

    def _put_back(self, t: Transition, failed: int) -> None:
        """Deactivate the state whose handler failed, and the enters after it. A clock never goes back."""
        plan = t.plan
        order = plan.schema.enter_order
        after = order[order.index(failed) :]
        back = sum(1 << i for i in after if plan.enters >> i & 1) & ~plan.reentries & ~plan.schema.exception
        t.put_back = back
        self._time_ += advance(back)
        self._node_ = self._program_.situation(self._node_.active & ~back)
        if self._tasks_ is not None and back & self._tasks_.bound:
            self._tasks_.ticked(back, back)

    def _push_auto(self, t: Transition) -> None:
        auto = Mutation(t.plan.schema, Kind.ADD, t.plan.autos, auto=True, source=t.source, depth=t.depth + 1)
        self._trace_back(auto, t)
        if (
            auto.depth > self._limits_.depth
        ):  # such as of an auto state whose handler fails, with every Exception anew
            self._too_deep(auto)
        else:
            self._prepend(auto)

    def _trace_back(self, mutation: Mutation, t: Transition) -> None:
        """Near the limit of the cause depth, keep what led to a mutation, to show the cycle."""
        if mutation.depth > self._limits_.depth - TRAIL:
            mutation.trail = (*t.mutation.trail, str(mutation))

    # -- handlers

    def _call(self, t: Transition, step: Step) -> object:
        """Call one handler, with its event, and see how long it takes."""
        fn, slot, call, subject, _ = step
        machine: Any = self
        event: Event[Any] = Event()
        event.machine = machine
        event.transition = t
        event.call = call
        event.args = None if subject < 0 else self._args_for(t, step)
        owner = self._owners_[slot - 1] if slot else machine
        now = self._now_
        hooks = self._hooks_
        if hooks is not None and hooks.handlers:
            hooks.handler_started(self, t, call)
        raised = True
        began = now()
        try:
            answer = fn(owner, event)
            raised = False
        finally:
            seconds = now() - began
            if seconds > self._limits_.handler and not raised:  # an error says more than how long it took
                self._overran(t, call.label, seconds)
            if hooks is not None and (hooks := self._hooks_) is not None and hooks.handlers:
                t.runs = [*t.runs, HandlerRun(call.name, call.where, seconds)]
                hooks.handler_ended(self, t, call, seconds)
        return answer

    def _args_for(self, t: Transition, step: Step) -> Any:
        """The arguments that a handler sees: those of the mutation, or those its state's activation was entered with."""
        subject, fresh = step[3], step[4]
        if subject < 0:
            return None
        if not fresh:
            return self._activation_args(subject)
        if t.args is not None and t.plan.called >> subject & 1:
            return t.args
        return self._empty_args(subject)

    def _activation_args(self, state: int) -> Any:
        args = args_of(self._args_, state)
        return self._empty_args(state) if args is None else args

    def _empty_args(self, state: int) -> Any:
        make = self._program_.schema.args[state]
        return None if make is None or self._program_.schema.needs_args >> state & 1 else make()

    def _keep_args(self, t: Transition) -> None:
        """Remember what the entered states were given, for their Exit and End."""
        plan = t.plan
        kept = without(self._args_, plan.enters)
        given = plan.enters & plan.called
        self._args_ = (given, t.args, kept) if given and t.args is not None else kept
        self._attend()

    def _forget_args(self, states: int) -> None:
        self._args_ = without(self._args_, states)
        self._attend()

    def _attend(self) -> None:
        """Work out which states, when they move, need more than the short path."""
        attention = self._program_.schema.exception | states_of(self._args_)
        if self._tasks_ is not None:
            attention |= self._tasks_.bound
        self._attention_ = attention

    # -- errors

    def _failed(self, t: Transition, where: str, error: Exception) -> None:
        """A handler raised: record it, and add `Exception`, unless this is about `Exception` itself, or only a question."""
        info = ErrorInfo(error, formatted(error), where, t)
        if t.failure is None:
            t.failure = info
        self._tell_error(info, t)

    def _overran(self, t: Transition, where: str, seconds: float) -> None:
        error = HandlerTimeout(machine=self._id_, handler=where, seconds=seconds, limit=self._limits_.handler)
        info = ErrorInfo(error, "", where, t)
        schema = self._program_.schema
        named = schema.index.get("ErrHandlerTimeout", -1)
        known = named >= 0 and schema.args[named] is ErrorInfo
        if known and _is_told(t) and not t.plan.called >> named & 1:
            # Behind `Exception`, which is put before it: if this is refused, the error is entered all the same.
            self._prepend(Mutation(schema, Kind.ADD, 1 << named, info, source=t.source, depth=t.depth + 1))
        self._tell_error(info, t)

    def _tell_error(self, info: ErrorInfo, t: Transition | None) -> None:
        """Add `Exception` at the front: once for a transition, and not for one that is about `Exception`, or a question."""
        if t is None or _is_told(t):
            self._push_error(info, t)
        else:
            self._report(info)

    def _push_error(self, info: ErrorInfo, cause: Transition | Mutation | None) -> None:
        """Add `Exception` at the front of the queue."""
        schema = self._program_.schema
        source: Source | None = None
        depth = 0
        if isinstance(cause, Transition):
            cause.reported = True
            source, depth = cause.source, cause.depth + 1
        elif cause is not None:
            source, depth = cause.source, cause.depth
        self._error_ = info.error
        self._announce(info)
        mutation = Mutation(schema, Kind.ADD, schema.exception, info, source=source, depth=depth)
        if isinstance(cause, Transition):
            self._trace_back(mutation, cause)
        self._prepend(mutation)

    def _announce(self, info: ErrorInfo) -> None:
        """Log an error that no handler of `Exception` will hear of."""
        program = self._program_
        exception = program.schema.exception.bit_length() - 1
        if not any(program.handles(phase, exception) for phase in (Phase.ENTER, Phase.STATE, Phase.TASK)):
            self._report(info)

    # -- what the classes above supply

    def _prepend(self, mutation: Mutation) -> None:
        raise NotImplementedError

    def _too_deep(self, mutation: Mutation) -> None:
        raise NotImplementedError

    def _report(self, info: ErrorInfo) -> None:
        """The sink for errors that have no state to go to."""
        raise NotImplementedError

    def _the_tasks(self) -> Tasks:
        raise NotImplementedError


def _is_told(t: Transition) -> bool:
    """Whether an error of this transition enters `Exception`, or is only logged."""
    return not (t.is_check or t.reported or t.plan.called & t.plan.schema.exception)


def formatted(error: BaseException) -> str:
    """An error with its traceback, as text that keeps no frame alive."""
    from traceback import format_exception

    return "".join(format_exception(error))
