"""The short ways: transitions with nothing out of the ordinary, as `conduct` would run them, in fewer steps.

Most mutations have no arguments, start no tasks and wake nobody: these are worth a way of their own, in which nothing is
asked that the plan knows already. Each line here stands for one in `conduct`; whatever is rare is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amachine._kept import without
from amachine.conduct import cause_here, enter_cause, leave_cause
from amachine.engine import Engine
from amachine.event import Event
from amachine.mutation import EXECUTED, ErrorInfo, Kind, Result, Status
from amachine.transition import Transition

if TYPE_CHECKING:
    from amachine.transition import Plan

FOREVER = float("inf")
"""The time that handlers may take where there is no limit; then nobody looks at the clock."""
ADD, REMOVE, TOGGLE = Kind.ADD, Kind.REMOVE, Kind.TOGGLE
CANCELED = Status.CANCELED


class Express(Engine):
    """An engine that knows short ways."""

    __slots__ = ()

    def _submit(self, kind: Kind, called: int, args: Any = None) -> Result:
        """Run a mutation at once, with all that it queues; or queue it, when the machine is busy or lives elsewhere."""
        if self._life_ and (answer := self._submit_alive(kind, called, args)) is not None:
            return answer
        turn: list[None] | None = self._turn_
        if not turn:  # somebody has it, mostly this thread: then no error need be made
            return self._submit_busy(kind, called, args)
        try:
            turn.pop()
        except IndexError:  # another thread was faster
            turn = None
        except BaseException:  # an interrupt: Python looks for them behind a call, and so it has popped
            turn.append(None)
            if self._inbox_:
                self._drain_inbox()
            raise
        if turn is None:  # not in the `except`: what runs below would see that error
            return self._submit_busy(kind, called, args)
        try:
            if self._queue_ or self._inbox_:
                return self._submit_behind(kind, called, args)
            node = self._node_
            if kind is TOGGLE:
                kind = REMOVE if node.active & called == called else ADD
            if kind is ADD:
                plan = node.add.get(called)
            elif kind is REMOVE:
                plan = node.remove.get(called)
            else:
                plan = node.set.get(called)
            if plan is None:
                plan = self._program_.plan(node, kind, called)
            if args is not None or plan.moved & self._attention_:
                plain = plan.given and args is not None and self._hooks_ is None and self._tasks_ is None
            elif self._hooks_ is not None:
                return self._run_watched(plan)
            elif plan.silent:
                self._count_ += 1
                if not plan.accepted:
                    return plan.refusal
                self._time_ += plan.delta
                self._node_ = plan.next
                waits = self._waits_
                if plan.autos or (waits is not None and plan.moved & waits.watched):
                    self._follow_up(plan)
                return EXECUTED
            else:
                plain = plan.plain
            if not plain:
                return self._run_now(plan, args)
            if self._life_ and self._is_elsewhere():  # opened since the caller asked
                return self._post(plan.kind, called, args)
            ident = self._ident_  # two steps: Python looks up a method slowly where it finds a value
            self._owner_ = ident()
            try:
                refused = self._call_plain(plan, args)
                if self._queue_:
                    self._drain()
            finally:
                self._owner_ = 0
            if refused is None:
                return EXECUTED
            if self._limits_.raise_errors and refused.failure is not None:
                raise refused.failure.error
            return Result(CANCELED, refused)
        finally:
            turn.append(None)
            if self._inbox_:  # looked at also when an error goes up: it takes nobody's mutation with it
                self._drain_inbox()

    def _call_plain(self, plan: Plan, args: Any) -> Transition | None:
        """Negotiate, commit and run final handlers. The record, if that was refused or failed; None when all went well."""
        t = Transition()
        t.machine = self._id_
        t.number = self._count_ = self._count_ + 1
        t.plan = plan
        t.before = before = self._time_
        t.args = args
        cause = cause_here()
        if cause is not None:
            t.come_from(cause)
        self._running_ = t
        token = enter_cause(t)
        committed = False
        refused: Transition | None = None
        now, budget, owners = self._now_, self._limits_.handler, self._owners_
        limited = budget < FOREVER
        machine: Any = self
        event: Event[Any]
        try:
            for fn, slot, call, subject, _ in plan.negotiation:
                event = Event()
                event.machine = machine
                event.transition = t
                event.call = call
                event.args = None if subject < 0 else args
                began = now() if limited else 0.0
                try:
                    answer = fn(owners[slot - 1] if slot else machine, event)
                except Exception as error:
                    t.committed = False
                    self._failed(t, call.label, error)
                    return t
                if limited and (seconds := now() - began) > budget:
                    self._overran(t, call.label, seconds)
                if answer is False:
                    t.veto = call
                    t.vetoes = (call,)
                    return t
            if args is None:
                self._time_ = before + plan.delta
                self._node_ = plan.next
                committed = t.is_final = True
            else:
                kept = self._args_
                if kept is not None:  # those of the states that it displaces are forgotten
                    kept = without(kept, plan.moved) if kept[2] is not None or kept[0] & ~plan.moved else None
                # In one go, without a call: another thread sees the state with its arguments, and no interrupt comes between.
                self._time_ = before + plan.delta
                self._node_ = plan.next
                self._args_ = (plan.called, args, kept)
                self._attention_ = plan.attention if kept is None else self._attention_ | plan.called
                committed = t.is_final = True
                if kept is not None:
                    self._attend()
            for fn, slot, call, subject, _ in plan.finals:
                event = Event()
                event.machine = machine
                event.transition = t
                event.call = call
                event.args = None if subject < 0 else args
                began = now() if limited else 0.0
                try:
                    fn(owners[slot - 1] if slot else machine, event)
                except Exception as error:
                    refused = t
                    if self._fell(t, call, error):
                        break
                except BaseException as stop:
                    self._interrupted(t, stop)
                    raise
                else:
                    if limited and (seconds := now() - began) > budget:
                        self._overran(t, call.label, seconds)
            if refused is not None and self._args_:
                self._forget_args(refused.put_back)
            waits = self._waits_
            if waits is not None and plan.moved & waits.watched:
                self._settle(waits, t)
        except BaseException as stop:
            t.committed = committed
            t.failure = ErrorInfo(stop, handler=f"machine {self._id_}")
            raise
        finally:
            t.running = False
            leave_cause(token)
            self._running_ = None
        return refused

    def _run_watched(self, plan: Plan) -> Result:
        """Run a mutation that tracers watch: the short way where they alone will know of it."""
        waits = self._waits_
        if not plan.silent or plan.autos or (waits is not None and plan.moved & waits.watched):
            return self._run_now(plan, None)
        if self._life_ and self._is_elsewhere():
            return self._post(plan.kind, plan.called, None)
        ident = self._ident_
        self._owner_ = ident()
        try:
            self._count_ += 1
            t = Transition()
            t.machine = self._id_
            t.number = self._count_
            t.plan = plan
            t.before = self._time_
            t.running = False  # no handler runs below it, so it needs no context
            cause = cause_here()
            if cause is not None:
                t.come_from(cause)
            hooks = self._hooks_
            if hooks is None or not hooks.stages:
                if plan.accepted:
                    self._time_ += plan.delta
                    self._node_ = plan.next
            else:
                self._tell_stages(t)
                hooks = self._hooks_  # asked again: a tracer that fails is detached
            waits = self._waits_
            if waits is not None and plan.moved & waits.watched:  # made meanwhile
                self._settle_silent(waits, t)
            if hooks is not None:
                ended = hooks.transition_ended
                ended(self, t)
            if self._queue_ or self._inbox_:
                self._drain()
            elif hooks is not None and hooks.drains and (hooks := self._hooks_) is not None:
                hooks.queue_drained(self)
                if self._queue_:
                    self._drain()
        finally:
            self._owner_ = 0
        return EXECUTED if plan.accepted else plan.refusal

    def _tell_stages(self, t: Transition) -> None:
        """Commit a plan that concerns no handler, and tell tracers of each stage."""
        plan = t.plan
        if (hooks := self._hooks_) is not None:
            started = hooks.transition_started
            started(self, t)
        if (hooks := self._hooks_) is not None:
            negotiated = hooks.transition_negotiated
            negotiated(self, t)
        if plan.accepted:
            self._time_ += plan.delta
            self._node_ = plan.next
            if (hooks := self._hooks_) is not None:
                committed = hooks.transition_committed
                committed(self, t)
