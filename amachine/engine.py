"""What runs, and when: entry from any thread, the queue, the drain. SEMANTICS section 5.

It is the memory of `conduct` with its lock. What it needs of the outside is handed in by the class above it: a lock to try,
the identity of a thread, a way to wake an event loop. It never waits for anything.
"""

from __future__ import annotations

from typing import Any

from amachine.conduct import Conductor, Life, Moment, current
from amachine.errors import CascadeError, QueueFull
from amachine.mutation import EXECUTED, Check, ErrorInfo, Kind, Mutation, Result, Status
from amachine.queue import Entry, Evaluation, Queue
from amachine.subscriptions import Wait
from amachine.transition import Plan, Transition

ADD, REMOVE, SET, TOGGLE = Kind.ADD, Kind.REMOVE, Kind.SET, Kind.TOGGLE
TRAIL = 24
"""So many mutations before the limit of the cause depth, their names are kept, to show the cycle."""


class Engine(Conductor):
    """One machine's memory, and the drain that changes it. `Machine` is this with a face."""

    __slots__ = ()

    # -- entry

    def _submit(self, kind: Kind, called: int, args: Any = None) -> Result:
        """Run a mutation at once, with all that it queues; or queue it, when the machine is busy or lives elsewhere."""
        if self._life and (answer := self._submit_alive(kind, called, args)) is not None:
            return answer
        if not self._lock.acquire(False):
            return self._submit_busy(kind, called, args)
        try:
            if self._queue or self._inbox:
                result = self._submit_behind(kind, called, args)
            else:
                node = self._node
                if kind is TOGGLE:
                    kind = REMOVE if node.active & called == called else ADD
                if kind is ADD:
                    plan = node.add.get(called)
                elif kind is REMOVE:
                    plan = node.remove.get(called)
                else:
                    plan = node.set.get(called)
                if plan is None:
                    plan = self._program.plan(node, kind, called)
                if not plan.silent or args is not None or plan.touched & self._attention:
                    result = self._run_now(plan, args)
                else:
                    self._count += 1
                    if plan.accepted:
                        self._time += plan.delta
                        self._node = plan.next
                        result = EXECUTED
                        waits = self._waits
                        if plan.autos or (waits is not None and plan.moved & waits.watched):
                            self._follow_up(plan)
                    else:
                        result = plan.refusal
        finally:
            self._lock.release()
        if self._inbox:
            self._drain_inbox()
        return result

    def _submit_alive(self, kind: Kind, called: int, args: Any) -> Result | None:
        """The answer of a machine that is open, closing or closed; None when it may run on this stack."""
        here = self._owner == self._ident()
        if self._life >= Life.CLOSING and not here and not self._may_end():
            state = "closing" if self._life == Life.CLOSING else "closed"
            return Result(Status.CANCELED, f"machine {self._id} is {state}")
        if self._home is not None and self._home != self._ident() and not here:
            return self._post(kind, called, args)
        return None

    def _submit_busy(self, kind: Kind, called: int, args: Any) -> Result:
        """Queue a mutation of a busy machine: straight away below its drain, through the inbox from elsewhere."""
        if self._owner == self._ident():
            return self._admit(self._mutation(kind, called, args))
        return self._post(kind, called, args)

    def _post(self, kind: Kind, called: int, args: Any) -> Result:
        mutation = self._mutation(kind, called, args)
        result = Result(Status.QUEUED, waiter=self._result_wait)
        mutation.results.append(result)
        self._inbox.append(mutation)
        self._knock()
        return result

    def _knock(self) -> None:
        """Have the inbox emptied: by the loop that the machine lives in, by whoever drains now, or else here."""
        if self._home is not None and self._home != self._ident() and self._tasks is not None:
            self._tasks.wake()
        else:
            self._drain_inbox()

    def _submit_behind(self, kind: Kind, called: int, args: Any) -> Result:
        """Run a mutation after what an interrupted drain, or a thread that is still to get its turn, has left."""
        self._owner = self._ident()
        try:
            self._take_over()
            result = self._admit(self._mutation(kind, called, args))
            self._drain()
        finally:
            self._owner = 0
        if result.error is not None:
            raise result.error
        return result

    def _drain_inbox(self) -> None:
        # Whoever holds the lock looks at the inbox again after its release: so an entry that was appended while the lock
        # was held is seen by its holder, and one that was appended later finds the lock free. None is left.
        while self._inbox and self._lock.acquire(False):
            self._owner = self._ident()
            try:
                self._drain()
            finally:
                self._owner = 0
                self._lock.release()

    def _mutation(self, kind: Kind, called: int, args: Any) -> Mutation:
        cause = current.get()
        if cause is None:
            return Mutation(self._program.schema, kind, called, args)
        depth = cause.depth + 1 if cause.running else 0
        mutation = Mutation(self._program.schema, kind, called, args, source=cause.source, depth=depth)
        if depth > self._limits.depth - TRAIL:
            mutation.trail = (*cause.mutation.trail, str(mutation))
        return mutation

    # -- queue

    def _admit(self, mutation: Mutation) -> Result:
        """Put a mutation in the queue, unless there is no need, or no room."""
        queue = self._the_queue()
        t = self._running
        idle_remove = mutation.kind is REMOVE and not self._node.active & mutation.called
        if idle_remove and not queue and t is not None and t.is_final and not mutation.results:
            return EXECUTED
        standing = queue.standing(mutation)
        if standing is not None:
            if not mutation.results:
                return standing.results[0]
            standing.results += mutation.results
            for result in mutation.results:
                result.queue_tick = standing.queue_tick
            return mutation.results[0]
        if not mutation.results:
            mutation.results.append(Result(Status.QUEUED, waiter=self._result_wait))
        result = mutation.results[0]
        if mutation.depth > self._limits.depth:
            self._refuse(mutation, f"it is {mutation.depth} handlers deep, and the limit is {self._limits.depth}")
            if not self._cascading:
                self._cascading = True
                self._push_error(ErrorInfo(CascadeError(machine=self._id, depth=mutation.depth, trail=mutation.trail)), mutation)
        elif queue.is_full(self._limits.queue):
            self._refuse(mutation, "queue full")
            if not self._overflowed:
                self._overflowed = True
                self._push_error(ErrorInfo(QueueFull(machine=self._id, limit=self._limits.queue)), mutation)
        else:
            queue.append(mutation, self._queue_tick)
            for each in mutation.results:
                each.queue_tick = mutation.queue_tick
            if self._hooks is not None:
                self._hooks.mutation_queued(self, mutation)
        return result

    def _refuse(self, mutation: Mutation, why: str) -> None:
        for result in mutation.results:
            result.settle(Status.CANCELED, why)
        if isinstance(mutation.args, ErrorInfo):
            self._report(mutation.args)  # an error must not vanish with the mutation that carried it

    def _the_queue(self) -> Queue:
        if self._queue is None:
            self._queue = Queue()
        return self._queue

    @property
    def _queue_tick(self) -> int:
        return 1 + self._count - self._front

    def _prepend(self, mutation: Mutation) -> None:
        self._the_queue().prepend(mutation)
        if self._hooks is not None:
            self._hooks.mutation_queued(self, mutation)

    def _take_over(self) -> None:
        """Empty the inbox of the other threads into the queue."""
        taken = self._inbox[:]
        del self._inbox[: len(taken)]  # what was appended meanwhile stays
        for entry in taken:
            if isinstance(entry, Mutation):
                self._admit(entry)
            elif isinstance(entry, Evaluation):
                self._the_queue().append(entry)
            else:
                self._idlers = [*(self._idlers or ()), entry]

    def _drain(self) -> None:
        """Process what is queued, and what comes meanwhile, until nothing is left."""
        while True:
            if self._inbox:
                self._take_over()
            if not self._queue:
                break
            self._process(self._queue.pop())
        self._overflowed = self._cascading = False
        if self._hooks is not None:
            self._hooks.queue_drained(self)
        if self._idlers:
            idlers, self._idlers = self._idlers, None
            for wait in idlers:
                wait.fulfil(None)
        if self._queue or self._inbox:  # a tracer, or a callback of a wait for this very moment
            self._drain()

    def _process(self, entry: Entry) -> None:
        """Take up one entry of the queue."""
        if isinstance(entry, Evaluation):
            try:
                entry.wait.fulfil(entry.fn())
            except Exception as error:
                entry.wait.fail(error)
            return
        kind, called, node = entry.kind, entry.called, self._node
        if kind is TOGGLE:
            kind = REMOVE if node.active & called == called else ADD
        if entry.auto:
            plan = self._program.auto_plan(node, called)
        else:
            plan = self._program.plan(node, kind, called)
        if entry.queue_tick is None:
            self._front += 1
        t = self._begin(plan, entry.args)
        t._mutation = entry
        t.cause, t.depth, t.queue_tick = entry.source, entry.depth, entry.queue_tick
        try:
            self._perform(t)
        except BaseException:
            for result in entry.results:
                result.settle(Status.CANCELED, "interrupted")
            raise
        error = t.failure.error if t.failure is not None and self._limits.raise_errors else None
        status = t.status
        for result in entry.results:
            result.settle(status, lambda: t.why, error)
        if status is Status.CANCELED and isinstance(entry.args, ErrorInfo) and not t.was_committed:
            self._report(entry.args)

    # -- at once

    def _run_now(self, plan: Plan, args: Any) -> Result:
        """Run a mutation on its caller's stack, then all that it queued."""
        self._owner = self._ident()
        try:
            t = self._begin(plan, args)
            cause = current.get()
            if cause is not None:
                t.cause = cause.source
                t.depth = cause.depth + 1 if cause.running else 0
            self._perform(t)
            if self._queue or self._inbox:
                self._drain()
            elif self._hooks is not None:
                self._hooks.queue_drained(self)
        finally:
            self._owner = 0
        if t.failure is not None and self._limits.raise_errors:
            raise t.failure.error
        return EXECUTED if t.accepted else Result(Status.CANCELED, lambda: t.why)

    def _follow_up(self, plan: Plan) -> None:
        """What a silent transition that ran on the short path leaves to do."""
        self._owner = self._ident()
        try:
            t = Transition(self._id, self._count, plan, self._time - plan.delta)
            if self._waits is not None:
                self._waits.settle(plan.moved, Moment(self, t))
            if plan.autos:
                self._push_auto(t)
            if self._queue or self._inbox:
                self._drain()
        finally:
            self._owner = 0

    # -- questions

    def _check(self, kind: Kind, called: int, args: Any = None) -> Check:
        """Whether a mutation would go through at present; nothing changes, whatever the handlers do."""
        below = self._owner == self._ident()
        if self._life == Life.CLOSED:
            return Check(False, f"machine {self._id} is closed")
        if not below and (self._is_elsewhere() or not self._lock.acquire(False)):
            plan = self._program.plan(self._node, kind, called)
            return Check(plan.accepted, plan.why, complete=False)
        if not below:
            self._owner = self._ident()
        try:
            plan = self._program.plan(self._node, kind, called)
            t = Transition(self._id, self._count, plan, self._time)
            t.is_check = True
            t.args = args
            t.depth = self._running.depth if self._running is not None else 0
            outer, self._running = self._running, t
            t.running = True
            token = current.set(t)
            try:
                granted = self._grant(t)
            finally:
                t.running = False
                current.reset(token)
                self._running = outer
            if not below:
                self._drain()
        finally:
            if not below:
                self._owner = 0
                self._lock.release()
        if not below and self._inbox:
            self._drain_inbox()
        return Check(granted, "" if granted else t.why)

    def _is_elsewhere(self) -> bool:
        return self._home is not None and self._home != self._ident()

    # -- what the class above supplies

    def _may_end(self) -> bool:
        """Whether the caller is an End handler, which may mutate a machine that closes."""
        raise NotImplementedError

    def _result_wait(self, result: Result) -> Wait[Result]:
        raise NotImplementedError
