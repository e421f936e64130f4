"""The plan of a transition, worked out once and then looked up; and the record of one that ran.

What a mutation comes to depends on three things alone: the active states, the kind, the called states. So a `Program`
(a schema and its handlers) grows an automaton: a `Situation` for each active set that was met, with a `Plan` for each
mutation that was tried there, leading to the next situation. It is built lazily and thrown away when it grows too large,
as RE2 does with the automaton of a regular expression (Cox, 2010). Nothing here runs a handler or remembers a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from amachine import relations
from amachine._bits import bits, odd_lanes
from amachine.clock import Time, advance
from amachine.declare import Phase
from amachine.handlers import Call, Suite
from amachine.mutation import ErrorInfo, Kind, Mutation, Result, Source, Status

if TYPE_CHECKING:
    from amachine.schema import Schema

PLAN_LIMIT = 10_000
"""Plans that a program keeps before it starts afresh: some 5 MB."""

Step: TypeAlias = tuple[Callable[[Any, Any], Any], int, Call, int, bool]
"""One handler call of a plan: function, owner's slot, the call, index of the state whose arguments it sees (-1: none), and
whether these are the arguments of the mutation (else those of the present activation)."""


class Situation:
    """One set of active states, and the plans of the mutations that were tried on it."""

    __slots__ = ("active", "add", "auto", "remove", "set")

    def __init__(self, active: int) -> None:
        self.active: int = active
        self.add: dict[int, Plan] = {}
        self.remove: dict[int, Plan] = {}
        self.set: dict[int, Plan] = {}
        self.auto: dict[int, Plan] = {}
        """Plans of the auto mutation, by what it calls and what was vetoed out of it."""


class Plan:
    """Everything about a transition that can be known before its handlers are asked. All sets are masks."""

    __slots__ = (
        "accepted", "active", "asks", "attention", "auto", "autos", "banned", "called", "delta", "ends", "enters",
        "exits", "finals", "given", "kind", "leads", "moved",
        "negotiation", "next", "plain", "reentries", "refusal", "schema", "silent", "target", "tasks",
        "wanting",
    )  # fmt: skip

    schema: Schema
    kind: Kind
    called: int
    active: int
    auto: bool
    banned: int
    """States that were vetoed out of an auto mutation."""
    target: int
    accepted: bool
    enters: int
    exits: int
    reentries: int
    moved: int
    """The states that tick."""
    delta: int
    """What the commit adds to the packed time."""
    next: Situation
    autos: int
    """The states that an auto mutation calls after this transition."""
    negotiation: tuple[Step, ...]
    finals: tuple[Step, ...]
    ends: tuple[Step, ...]
    """The asynchronous End handlers, which run as tasks of the machine."""
    tasks: tuple[Step, ...]
    leads: bool
    """Tasks or an auto mutation follow."""
    wanting: int
    """Called states that cannot be entered without arguments."""
    asks: bool
    """Relations agree, but handlers or missing arguments may refuse."""
    plain: bool
    """Handlers are concerned, but none that sees arguments, and nothing follows but what they do themselves."""
    given: bool
    """It calls and enters one state, and handlers see no arguments but of that; as with `plain`, nothing follows.

    So a mutation with arguments is nothing out of the ordinary.
    """
    attention: int
    """The states that need more than the shortest way afterwards, where no others have arguments: the called, and `Exception`."""
    silent: bool
    """No handler is concerned, and no arguments are missing."""
    refusal: Result
    """The answer to a mutation that relations refuse: one for all that meet this plan."""

    @property
    def why(self) -> str:
        """Why relations refuse this mutation; empty when they do not."""
        if self.accepted:
            return ""
        left_out = self.called & ~self.target
        if not left_out:
            return f"no state is left to {self.kind.value}"
        reasons = (relations.reason(self.schema, self.target, self.active, i) for i in bits(left_out))
        return "; ".join(r for r in reasons if r)

    def left_out(self) -> dict[str, str]:
        """Every state that was called, active or implied and is not in the target, with what stands against it."""
        schema = self.schema
        wanted = self.called | self.active if self.kind is not Kind.REMOVE else self.active & ~self.called
        for i in bits(self.enters):
            wanted |= schema.add[i]
        return {
            schema.names[i]: relations.reason(schema, self.target, self.active, i) or "not called"
            for i in bits(wanted & ~self.target)
        }


class Program:
    """A schema with its handlers, compiled on demand; shared by every machine that has both."""

    __slots__ = (
        "_calls",
        "_count",
        "_filled",
        "_health",
        "_situations",
        "first",
        "phases",
        "schema",
        "suites",
    )

    def __init__(self, schema: Schema, suites: tuple[Suite, ...]) -> None:
        self.schema: Schema = schema
        self.suites: tuple[Suite, ...] = suites
        self._health = frozenset(schema.health)
        self._calls: dict[tuple[Phase, int, int], tuple[Step, ...]] = {}
        for slot, suite in enumerate(suites):
            for call in suite:
                key = (call.phase, call.state, call.other)
                self._calls[key] = (*self._calls.get(key, ()), self._step(call, slot))
        self._situations: dict[int, Situation] = {}
        self._count = 0
        self._filled: list[dict[int, Plan]] = []
        self.first: Situation = self.situation(0)

    def _step(self, call: Call, slot: int) -> Step:
        subject = call.subject
        if subject >= 0 and self.schema.args[subject] is None:
            subject = -1
        fresh = call.phase in (Phase.ENTER, Phase.STATE, Phase.TASK, Phase.TO)
        return (call.fn, slot, call, subject, fresh)

    def handles(self, phase: Phase, state: int = -1) -> bool:
        """Whether some handler is bound for this."""
        return (phase, state, -1) in self._calls

    def tasks_of(self, state: int) -> tuple[Step, ...]:
        """The `task` handlers of a state, in order."""
        return self._calls.get((Phase.TASK, state, -1), ())

    def timer_name(self, step: Step) -> str:
        """What a timer is exported under: the name of its function; the second of the same state gets a number."""
        name, before = step[2].attr, 0
        for each in self.tasks_of(step[2].state):
            if each is step:
                break
            before += each[2].timer is not None and each[2].attr == name
        return f"{name}#{before + 1}" if before else name

    def situation(self, active: int) -> Situation:
        """The node of this active set."""
        situation = self._situations.get(active)
        return situation or self._situations.setdefault(active, Situation(active))

    def plan(self, at: Situation, kind: Kind, called: int) -> Plan:
        """The plan of a mutation: ADD, REMOVE or SET."""
        table = at.add if kind is Kind.ADD else at.remove if kind is Kind.REMOVE else at.set
        return table.get(called) or self._keep(table, called, self._compile(at, kind, called))

    def auto_plan(self, at: Situation, called: int, banned: int = 0) -> Plan:
        """The plan of the auto mutation in this situation, `banned` states taken out of it."""
        key = called << self.schema.n | banned
        return at.auto.get(key) or self._keep(
            at.auto, key, self._compile(at, Kind.ADD, called, auto=True, banned=banned)
        )

    def _keep(self, table: dict[int, Plan], key: int, plan: Plan) -> Plan:
        if self._count >= PLAN_LIMIT:
            # Machines still stand on old situations: these are emptied, not only forgotten, so that nothing leads back.
            filled, self._filled = self._filled, []
            for plans in filled:
                plans.clear()
            self._situations = {0: self.first}
            self._count = 0
        self._count += 1
        if not table:
            self._filled.append(table)
        return table.setdefault(key, plan)

    def _compile(
        self, at: Situation, kind: Kind, called: int, *, auto: bool = False, banned: int = 0
    ) -> Plan:
        schema, active = self.schema, at.active
        called &= ~banned
        found = relations.resolve(schema, active, kind, called, partial=auto, banned=banned)
        plan = Plan()
        plan.schema, plan.kind, plan.called, plan.active, plan.auto, plan.banned = (
            schema,
            kind,
            called,
            active,
            auto,
            banned,
        )
        plan.target, plan.accepted = found.target, found.accepted
        plan.enters, plan.exits, plan.reentries = found.enters, found.exits, found.reentries
        plan.negotiation = plan.finals = plan.ends = plan.tasks = ()
        plan.moved = plan.delta = plan.autos = 0
        if found.accepted:
            plan.moved = found.enters | found.exits
            plan.delta = advance(plan.moved & ~found.reentries, found.reentries)
            self._order(plan)
            health = kind is Kind.ADD and called in self._health
            if plan.moved and not auto and not health:
                plan.autos = relations.autos(schema, found.target)
        plan.next = self.situation(found.target) if found.accepted else at
        plan.wanting = called & schema.needs_args if kind is not Kind.REMOVE else 0
        self._sum_up(plan)
        plan.refusal = Result(Status.CANCELED, plan)
        return plan

    def _sum_up(self, plan: Plan) -> None:
        """Say what kind of plan it is, for those who look for the short way."""
        plan.asks = plan.accepted and bool(plan.negotiation or plan.wanting)
        plan.leads = bool(plan.ends or plan.tasks or plan.autos)
        unseen = all(step[3] < 0 for step in (*plan.negotiation, *plan.finals))
        plan.plain = plan.accepted and unseen and not (plan.auto or plan.wanting or plan.leads)
        plan.silent = not (plan.asks or plan.finals or plan.ends or plan.tasks)
        plan.given = self._is_about_one(plan)
        plan.attention = plan.called | plan.schema.exception

    def _is_about_one(self, plan: Plan) -> bool:
        """Whether arguments that are given for the one state that it calls concern nobody but that state's own handlers."""
        at = plan.called.bit_length() - 1
        schema = plan.schema
        return (
            plan.accepted
            and plan.kind is not Kind.REMOVE
            and plan.called.bit_count() == 1
            and plan.enters == plan.called
            and schema.args[at] is not None
            and not (plan.auto or plan.leads or plan.moved & schema.exception)
            and all(step[3] < 0 or (step[4] and step[3] == at) for step in (*plan.negotiation, *plan.finals))
        )

    def _order(self, plan: Plan) -> None:
        """Put the handler calls in the order of SEMANTICS section 4."""
        order = self.schema.enter_order
        enters = [i for i in order if plan.enters >> i & 1]
        exits = [i for i in reversed(order) if plan.exits >> i & 1]
        stays = (
            [i for i in order if plan.active & plan.target & (1 << i)] if plan.kind is not Kind.REMOVE else ()
        )
        pairs = [
            (foo, bar)
            for phase, foo, bar in sorted(self._calls, key=lambda key: key[1:])
            if phase is Phase.TO and foo != bar and plan.active >> foo & 1 and plan.enters >> bar & 1
        ]
        calls = self._of
        plan.negotiation = (
            *calls(Phase.EXIT, exits),
            *calls(Phase.ENTER, enters),
            *calls(Phase.STAY, stays),
            *(step for foo, bar in pairs for step in self._calls[Phase.TO, foo, bar]),
            *calls(Phase.ANY_ENTER, (-1,)),
        )
        ends = tuple(calls(Phase.END, exits))
        plan.ends = tuple(step for step in ends if step[2].is_async)
        synchronous = (step for step in ends if not step[2].is_async)
        plan.finals = (*synchronous, *calls(Phase.STATE, enters), *calls(Phase.ANY_STATE, (-1,)))
        plan.tasks = tuple(calls(Phase.TASK, enters))

    def _of(self, phase: Phase, states: Iterable[int]) -> Iterable[Step]:
        return (step for i in states for step in self._calls.get((phase, i, -1), ()))


class HandlerRun(NamedTuple):
    """One handler that ran in a transition."""

    name: str
    where: str
    seconds: float


class Transition:
    """The record of one transition, while it runs and after: what was asked, what came of it, and why.

    It keeps no machine alive. Only what differs from the ordinary is stored; the rest is worked out when asked.
    """

    # No slots: what is ordinary stands in the class, so that a record costs four stores, and not twenty. And no `__init__`,
    # the call of which costs more than these: see `record`.

    machine: str
    """Id of the machine."""
    number: int
    """Its number on that machine, from 1: front mutations and refused ones count, checks do not."""
    plan: Plan
    before: int
    """The packed time when it began."""
    args: Any = None
    """The arguments of the mutation."""
    cause: Source | None = None
    """What the mutation was made by."""
    depth: int = 0
    """The cause depth of the mutation."""
    queue_tick: int | None = None
    committed: bool | None = None
    running: bool = True
    """Whether its handlers, or callbacks of waits, are still being called."""
    is_check: bool = False
    is_restore: bool = False
    """Whether it stands for all that was before a restore: the record that restored tasks are handed."""
    is_final: bool = False
    """Whether it has come to its final handlers."""
    reported: bool = False
    """Whether it has added `Exception` already: further failures are only logged."""
    objection: str = ""
    """What was wrong with the request itself, such as missing arguments."""
    veto: Call | None = None
    """The handler that refused it."""
    vetoes: tuple[Call, ...] = ()
    """The handlers that said no. An auto mutation may have gone on without the states that they kept out."""
    failure: ErrorInfo | None = None
    """The first error of its handlers, if that canceled it, or put states back, or made it fail."""
    put_back: int = 0
    """Mask of the states that were deactivated again because a State handler failed."""
    runs: list[HandlerRun] | tuple[HandlerRun, ...] = ()
    """The handlers that were called, with their durations; measured only when a tracer asks for handlers."""
    _mutation: Mutation | None = None
    _source: Source | None = None

    def come_from(self, cause: Transition) -> None:
        """Say which transition's handler, task or callback made the mutation."""
        self.cause = cause.source
        self.depth = cause.depth + 1 if cause.running else 0

    @property
    def id(self) -> str:
        """The machine's id and the number: equal runs give equal ids."""
        return f"{self.machine}/{self.number}"

    @property
    def mutation(self) -> Mutation:
        """The mutation that was processed."""
        mutation = self._mutation
        if mutation is None:
            plan = self.plan
            mutation = Mutation(
                plan.schema, plan.kind, plan.called | plan.banned, self.args, auto=plan.auto, depth=self.depth
            )
            mutation.source = self.cause
            mutation.queue_tick = self.queue_tick
            self._mutation = mutation
        return mutation

    @property
    def source(self) -> Source:
        """This transition as the cause of other mutations."""
        source = self._source
        if source is None:
            self._source = source = Source(self.machine, self.number, self.plan, self.before)
        return source

    @property
    def kind(self) -> Kind:
        """ADD, REMOVE or SET: a toggle counts as what it did."""
        return self.plan.kind

    @property
    def auto(self) -> bool:
        """Whether it processed an auto mutation."""
        return self.plan.auto

    @property
    def accepted(self) -> bool:
        """Whether it was committed and no final handler failed."""
        return self.plan.accepted and self.veto is None and self.failure is None and not self.objection

    @property
    def was_committed(self) -> bool:
        """Whether the machine took over the target, even if a final handler failed then."""
        return self.plan.accepted and self.veto is None if self.committed is None else self.committed

    @property
    def why(self) -> str:
        """One sentence on what canceled it; empty where nothing did."""
        if self.objection:
            return self.objection
        if self.veto is not None:
            return refusal(self.veto)
        if self.failure is not None:
            return f"{self.failure.handler} raised {self.failure.error!r}"
        return self.plan.why

    @property
    def time_before(self) -> Time:
        """The machine's time when it began."""
        return Time.unpacked(self.before, self.plan.schema.n)

    @property
    def time_after(self) -> Time:
        """The machine's time when it ended."""
        after = self.before
        if self.was_committed:
            after += self.plan.delta + advance(self.put_back)
        return Time.unpacked(after, self.plan.schema.n)

    def names(self, mask: int) -> tuple[str, ...]:
        """Names of the states in a mask, in order of declaration."""
        return tuple(self.plan.schema.names[i] for i in bits(mask))

    @property
    def called(self) -> tuple[str, ...]:
        """Names of the called states."""
        return self.names(self.plan.called | self.plan.banned)

    @property
    def target(self) -> tuple[str, ...]:
        """Names of the states that were to be active."""
        return self.names(self.plan.target)

    @property
    def enters(self) -> tuple[str, ...]:
        """Names of the states that entered, or re-entered, or will when it is committed."""
        return self.names(self.plan.enters if self.was_committed else 0)

    @property
    def exits(self) -> tuple[str, ...]:
        """Names of the states that ended, or will when it is committed."""
        return self.names(self.plan.exits if self.was_committed else 0)

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the states active after it."""
        schema = self.plan.schema
        after = self.before + self.plan.delta + advance(self.put_back) if self.was_committed else self.before
        return self.names(odd_lanes(after, schema.n))

    @property
    def left_out(self) -> dict[str, str]:
        """Every state that was called, active or implied and is not in the target, with the reason."""
        names = self.plan.schema.names
        banned = self.plan.banned << 1  # so that a handler without a state, which is at -1, finds no bit
        kept_out = {
            names[call.subject]: refusal(call) for call in self.vetoes if banned >> call.subject + 1 & 1
        }
        return {**self.plan.left_out(), **kept_out}

    @property
    def duration(self) -> float:
        """Seconds spent in handlers; 0.0 unless a tracer asked for handlers."""
        return sum(run.seconds for run in self.runs)

    @property
    def status(self) -> Status:
        """Executed or canceled, as its caller was told."""
        return Status.EXECUTED if self.accepted else Status.CANCELED

    def __str__(self) -> str:
        return f"{self.mutation} → {self.status.value}{f' ({self.why})' if not self.accepted else ''}"

    def __repr__(self) -> str:
        return f"<Transition {self.id} {self}>"


def record(machine: str, number: int, plan: Plan, before: int) -> Transition:
    """A new record. Where every transition of every machine comes by, these lines are written out."""
    t = Transition()
    t.machine = machine
    t.number = number
    t.plan = plan
    t.before = before
    return t


def refusal(veto: Call) -> str:
    """A veto in words."""
    return f"{veto.name} ({veto.where}) said no" if veto.where != veto.name else f"{veto.name} said no"


def program_of(schema: Schema, suites: tuple[Suite, ...]) -> Program:
    """The program of a schema and its handlers. Shared, and kept as long as the schema, if the handlers are of classes."""
    if any(
        not suite.owner for suite in suites
    ):  # a mapping of functions: made for one machine, and gone with it
        return Program(schema, suites)
    program: Program | None = schema.memo.get(suites)
    if program is not None:
        return program
    made = Program(schema, suites)
    kept: Program = schema.memo.setdefault(suites, made)  # another thread's, if that was first
    return kept
