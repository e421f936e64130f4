"""What runs, and when: entry from any thread, the queue, the drain. SEMANTICS section 5.

One thread at a time has the turn. What it needs of the outside is handed in by the class above it: the identity of a thread,
a way to wake an event loop. It never waits for anything.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from typing import Any

from amachine.conduct import TRAIL, Conductor, cause_here, enter_cause, leave_cause
from amachine.errors import CascadeError, QueueFull
from amachine.handed import Life
from amachine.mutation import EXECUTED, Check, ErrorInfo, Kind, Mutation, Result, Status
from amachine.queue import Entry, Evaluation, Queue
from amachine.subscriptions import Wait, Waits
from amachine.transition import Plan, Transition, record

CANCELED = Status.CANCELED
ADD, REMOVE, SET, TOGGLE = Kind.ADD, Kind.REMOVE, Kind.SET, Kind.TOGGLE


class Engine(Conductor):
    """One machine's memory, and the drain that changes it. `Machine` is this with a face."""

    __slots__ = ()

    # -- entry

    def _take_turn(self) -> bool:
        """Whether this thread may run the machine now; then it must give the turn back, by `_turn_[:] = (None,)`.

        One item, also if a fork meanwhile has given it back. And no call, neither that nor one before the `try` whose end it
        is: behind each, and where a function begins, there may be a KeyboardInterrupt, and nobody would have the turn again.
        """
        try:
            self._turn_.pop()
        except IndexError:
            return False
        except BaseException:  # an interrupt: Python looks for them behind a call, and so it has popped
            self._turn_[:] = (None,)
            raise
        return True

    def _submit_alive(self, kind: Kind, called: int, args: Any) -> Result | None:
        """The answer of a machine that is open, closing or closed; None when it may run on this stack."""
        here = self._owner_ == self._ident_()
        if self._life_ == Life.CLOSED or (self._life_ == Life.CLOSING and not here and not self._may_end()):
            state = "closing" if self._life_ == Life.CLOSING else "closed"
            return Result(Status.CANCELED, f"machine {self._id_} is {state}")
        if self._home_ is not None and self._home_ != self._ident_() and not here:
            return self._post(kind, called, args)
        return None

    def _submit_busy(self, kind: Kind, called: int, args: Any) -> Result:
        """Queue a mutation of a busy machine: straight away below its drain, through the inbox from elsewhere."""
        if self._owner_ == self._ident_():
            return self._admit(self._mutation(kind, called, args))
        return self._post(kind, called, args)

    def _post(self, kind: Kind, called: int, args: Any) -> Result:
        mutation = self._mutation(kind, called, args)
        result = Result(Status.QUEUED, waiter=self._result_wait)
        mutation.results.append(result)
        self._the_inbox().append(mutation)
        self._knock()
        return result

    def _knock(self) -> None:
        """Have the inbox emptied: by the loop that the machine lives in, by whoever drains now, or else here."""
        if self._home_ is not None and self._home_ != self._ident_() and self._tasks_ is not None:
            self._tasks_.wake()
        else:
            self._drain_inbox()

    def _submit_behind(self, kind: Kind, called: int, args: Any) -> Result:
        """Run a mutation after what an interrupted drain, or a thread that is still to get its turn, has left."""
        if self._life_ and self._is_elsewhere():
            return self._post(kind, called, args)
        self._owner_ = self._ident_()
        try:
            self._take_over()
            result = self._admit(self._mutation(kind, called, args))
            self._drain()
        finally:
            self._owner_ = 0
        if result.error is not None and self._limits_.raise_errors:
            raise result.error
        return result

    def _drain_inbox(self) -> None:
        # Whoever has the turn looks at the inbox again after giving it back: so an entry that was appended before is seen
        # then, and whoever appends one later finds that nobody has the turn. None is left.
        while self._inbox_:
            if self._life_ and self._is_elsewhere():
                self._knock()
                return
            if not self._take_turn():
                return
            try:
                self._owner_ = self._ident_()
                self._drain()
            except BaseException:
                self._owner_ = 0
                self._turn_[:] = (None,)
                self._drain_inbox()
                raise
            self._owner_ = 0
            self._turn_[:] = (None,)
            if self._inbox_ and self._home_ is not None and self._tasks_ is not None:
                self._tasks_.wake()
                return

    def _mutation(self, kind: Kind, called: int, args: Any) -> Mutation:
        cause = cause_here()
        if cause is None:
            return Mutation(self._program_.schema, kind, called, args)
        depth = cause.depth + 1 if cause.running else 0
        mutation = Mutation(self._program_.schema, kind, called, args, source=cause.source, depth=depth)
        if depth > self._limits_.depth - TRAIL:
            mutation.trail = (*cause.mutation.trail, str(mutation))
        return mutation

    # -- queue

    def _admit(self, mutation: Mutation) -> Result:
        """Put a mutation in the queue, unless there is no need, or no room."""
        queue = self._the_queue()
        t = self._running_
        idle_remove = mutation.kind is REMOVE and not self._node_.active & mutation.called
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
        if mutation.depth > self._limits_.depth:
            self._too_deep(mutation)
        elif queue.is_full(self._limits_.queue):
            self._refuse(mutation, "queue full")
            if not queue.overflowed:
                queue.overflowed = True
                self._push_error(ErrorInfo(QueueFull(machine=self._id_, limit=self._limits_.queue)), mutation)
        else:
            queue.append(mutation, self._queue_tick)
            for each in mutation.results:
                each.queue_tick = mutation.queue_tick
            hooks = self._hooks_
            if hooks is not None:
                hooks.mutation_queued(self, mutation)
        return result

    def _refuse(self, mutation: Mutation, why: str, error: BaseException | None = None) -> None:
        for result in mutation.results:
            result.settle(Status.CANCELED, why, error)
        if isinstance(mutation.args, ErrorInfo):
            self._report(mutation.args)  # an error must not vanish with the mutation that carried it

    def _too_deep(self, mutation: Mutation) -> None:
        """Refuse a mutation at the end of a chain that does not end by itself, and report the chain once."""
        self._refuse(
            mutation, f"it is {mutation.depth} handlers deep, and the limit is {self._limits_.depth}"
        )
        queue = self._the_queue()
        if not queue.cascading:
            queue.cascading = True
            error = CascadeError(machine=self._id_, depth=mutation.depth, trail=mutation.trail)
            self._push_error(ErrorInfo(error), mutation)

    def _the_inbox(self) -> list[Mutation | Evaluation | Wait[None]]:
        inbox = self._inbox_
        if inbox is None:  # `setdefault` is one step: whichever threads come first, they have the same one
            inbox = self._inbox_ = self.__dict__.setdefault("_inbox_", [])
        return inbox

    def _the_queue(self) -> Queue:
        if self._queue_ is None:
            self._queue_ = Queue()
        return self._queue_

    @property
    def _queue_tick(self) -> int:
        queue = self._queue_
        return 1 + self._count_ - (0 if queue is None else queue.fronts)

    def _prepend(self, mutation: Mutation) -> None:
        self._the_queue().prepend(mutation)
        hooks = self._hooks_
        if hooks is not None:
            hooks.mutation_queued(self, mutation)

    def _take_over(self) -> None:
        """Empty the inbox of the other threads into the queue."""
        inbox = self._inbox_ or []
        taken = inbox[:]
        del inbox[: len(taken)]  # what was appended meanwhile stays
        for entry in taken:
            if isinstance(entry, Mutation):
                self._admit(entry)
            elif isinstance(entry, Evaluation):
                self._the_queue().append(entry)
            else:
                self._the_queue().idlers.append(entry)

    def _drain(self) -> None:
        """Process what is queued, and what comes meanwhile, until nothing is left.

        In an event loop, what other threads send meanwhile is left for a turn of its own: they could keep it for ever.
        """
        if self._inbox_:
            self._take_over()
        while True:
            while not (self._life_ and self._must_leave()):
                if self._inbox_ and self._home_ is None:
                    self._take_over()
                if not self._queue_:
                    break
                self._process(self._queue_.pop())
            else:
                return
            queue = self._queue_
            if queue is not None:
                queue.overflowed = queue.cascading = False
            hooks = self._hooks_
            if hooks is not None:
                hooks.queue_drained(self)
            if queue is not None:
                queue.tell_idlers()
            if not (self._queue_ or (self._inbox_ and self._home_ is None)):
                break  # else a tracer, or a callback of a wait for this very moment, has asked for more

    def _must_leave(self) -> bool:
        """Whether this thread may go on no further: the machine has closed, or lives in another thread's loop by now."""
        if self._life_ == Life.CLOSED:
            self._abandon()
            return True
        if self._is_elsewhere():
            # Whoever has the turn knocks for what is in the inbox after giving it back; so something must be.
            self._the_inbox().append(Evaluation(_nothing, Wait.make("handing over")))
            return True
        return False

    def _process(self, entry: Entry) -> None:
        """Take up one entry of the queue."""
        if isinstance(entry, Evaluation):
            try:
                entry.wait.fulfil(entry.fn())
            except Exception as error:
                entry.wait.fail(error)
            except BaseException as stop:  # it goes up here, and whoever waits must not sleep for ever
                entry.wait.fail(stop)
                raise
            return
        kind, called, node = entry.kind, entry.called, self._node_
        if kind is TOGGLE:
            kind = REMOVE if node.active & called == called else ADD
        if entry.auto:
            plan = self._program_.auto_plan(node, called)
        else:
            plan = self._program_.plan(node, kind, called)
        if entry.queue_tick is None:
            self._the_queue().fronts += 1
        t = self._begin(plan, entry.args)
        t._mutation = entry
        t.cause, t.depth, t.queue_tick = entry.source, entry.depth, entry.queue_tick
        try:
            self._perform(t)
        except BaseException:
            for result in entry.results:
                result.settle(Status.CANCELED, "interrupted")
            raise
        raised = t.failure.error if t.failure is not None and self._limits_.raise_errors else None
        status = t.status
        for result in entry.results:
            result.settle(status, t, raised)
        if status is Status.CANCELED and isinstance(entry.args, ErrorInfo) and not t.was_committed:
            self._report(entry.args)

    # -- at once

    def _run_now(self, plan: Plan, args: Any) -> Result:
        """Run a mutation on its caller's stack, then all that it queued."""
        if self._life_ and self._is_elsewhere():  # opened since the caller asked
            return self._post(plan.kind, plan.called, args)
        self._owner_ = self._ident_()
        try:
            t = self._begin(plan, args)
            cause = cause_here()
            if cause is not None:
                t.come_from(cause)
            executed = self._perform(t)
            if self._queue_ or self._inbox_:
                self._drain()
            elif (hooks := self._hooks_) is not None and hooks.drains:
                hooks.queue_drained(self)
                if self._queue_:
                    self._drain()
        finally:
            self._owner_ = 0
        if executed:
            return EXECUTED
        if isinstance(args, ErrorInfo) and not t.was_committed:
            self._report(args)  # an error must not vanish with the mutation that carried it
        if t.failure is not None and self._limits_.raise_errors:
            raise t.failure.error
        return Result(CANCELED, t)

    def _follow_up(self, plan: Plan) -> None:
        """What a silent transition that ran on the short path leaves to do."""
        outer, self._owner_ = self._owner_, self._ident_()
        try:
            t = record(self._id_, self._count_, plan, self._time_ - plan.delta)
            cause = cause_here()
            if cause is not None:
                t.come_from(cause)
            if plan.autos:
                self._push_auto(t)
            if self._waits_ is not None:
                self._settle_silent(self._waits_, t)
            t.running = False
            if self._queue_ or self._inbox_:
                self._drain()
        finally:
            self._owner_ = outer

    def _settle_silent(self, waits: Waits, t: Transition) -> None:
        """End the waits that a transition without handlers fulfils, as the cause of what their callbacks do."""
        outer, self._running_ = self._running_, t
        token = enter_cause(t)
        t.running = True
        try:
            self._settle(waits, t)
        finally:
            t.running = False
            leave_cause(token)
            self._running_ = outer

    # -- questions

    def _check(self, kind: Kind, called: int, args: Any = None) -> Check:
        """Whether a mutation would go through at present; nothing changes, whatever the handlers do."""
        below = self._owner_ == self._ident_()
        if not below and (self._life_ == Life.CLOSED or self._is_elsewhere() or not self._take_turn()):
            active = (
                self._node_.active
            )  # before the program, which may be another than that of the node by now
            program = self._program_
            plan = program.plan(program.situation(active), kind, called)
            return Check(plan.accepted, plan, complete=False)
        try:
            if not below:
                self._owner_ = self._ident_()
            plan = self._program_.plan(self._node_, kind, called)
            t = record(self._id_, self._count_, plan, self._time_)
            t.is_check = True
            t.args = args
            t.depth = self._running_.depth if self._running_ is not None else 0
            outer, self._running_ = self._running_, t
            t.running = True
            token = enter_cause(t)
            try:
                granted = self._grant(t)
            finally:
                t.running = False
                leave_cause(token)
                self._running_ = outer
            if not below and (self._queue_ or self._inbox_):
                self._drain()
        finally:
            if not below:
                self._owner_ = 0
                self._turn_[:] = (None,)
                if self._inbox_:
                    self._drain_inbox()
        return Check(granted, "" if granted else t)

    def _is_elsewhere(self) -> bool:
        return self._home_ is not None and self._home_ != self._ident_()

    # -- what the class above supplies

    def _may_end(self) -> bool:
        """Whether the caller is an End handler, which may mutate a machine that closes."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Answer what is still queued when the machine has closed."""
        raise NotImplementedError

    def _result_wait(self) -> Wait[Result]:
        raise NotImplementedError


def _nothing() -> None:
    """What is done with no more than a turn of its own."""
