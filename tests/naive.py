"""The contract once more, as plainly as it can be said: sets of names, lists, and no thought of speed.

A second opinion for tests, written from sections 2 to 6 and 8 of docs/semantics.md alone. It knows one thread and no
clock on the wall, and must never import from the engine: what they had in common, they could both have wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EXCEPTION = "Exception"
HEALTH = ({"Healthcheck"}, {"Heartbeat"})


# Section 2: schemas.


class Refused(Exception):
    """The schema breaks a rule."""


@dataclass
class NaiveState:
    """A state with what it says of others, redundancy taken out."""

    name: str
    require: set[str]
    add: set[str]
    remove: set[str]
    after: set[str]
    auto: bool
    multi: bool


class NaiveSchema:
    """States in order of declaration, read from the data that `Schema.parse` reads."""

    def __init__(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        names = [*data, *([] if EXCEPTION in data else [EXCEPTION])]
        self.names = names
        self.states: dict[str, NaiveState] = {}
        for name in names:
            written = data.get(name, {})
            add = set(written.get("add", ())) - {name}
            self.states[name] = NaiveState(
                name,
                require=set(written.get("require", ())),
                add=add,
                remove=set(written.get("remove", ())) - {name} - add,
                after=set(written.get("after", ())) - {name},
                auto=written.get("auto", False),
                multi=written.get("multi", False) or name == EXCEPTION,
            )
        self._check()
        self.enter_order = self._in_order(lambda state: state.require | state.after)

    def _check(self) -> None:
        for state in self.states.values():
            for relation in (state.require, state.add, state.remove, state.after):
                if not relation <= set(self.names):
                    raise Refused("unknown state")
            if state.name in state.require or state.require & state.remove:
                raise Refused(f"{state.name} contradicts itself")
        if len(self._in_order(lambda state: state.require | state.after)) < len(self.names):
            raise Refused("cycle")

    def _in_order(self, needs: Callable[[NaiveState], set[str]]) -> list[str]:
        """Repeatedly the first declared state all of whose needs are taken."""
        taken: list[str] = []
        while True:
            free = [
                name for name in self.names if name not in taken and needs(self.states[name]) <= set(taken)
            ]
            if not free:
                return taken
            taken.append(free[0])

    def __getitem__(self, name: str) -> NaiveState:
        return self.states[name]

    def declared(self, names: Iterable[str]) -> list[str]:
        """These, in order of declaration."""
        wanted = set(names)
        return [name for name in self.names if name in wanted]


# Section 3: resolution.


@dataclass
class Outcome:
    """What a mutation comes to, before handlers are asked."""

    target: set[str]
    accepted: bool
    enters: set[str]
    exits: set[str]
    reentered: set[str]


def resolve(
    schema: NaiveSchema,
    active: set[str],
    kind: str,
    called: set[str],
    *,
    auto: bool = False,
    banned: frozenset[str] = frozenset(),
) -> Outcome:
    """The consensus.

    `auto`: it is accepted with one called state in. `banned`: vetoed out of it, so neither called nor implied.
    """
    called = called - banned
    base = {"add": called | active, "remove": active - called, "set": called}[kind]
    never = set(banned) | (called if kind == "remove" else set[str]())
    multi = {name for name in called if schema[name].multi} if kind != "remove" else set[str]()
    claims = called if kind != "remove" else set[str]()

    dropped: set[str] = set()
    while True:
        members = _implied(schema, base - dropped, active, multi, never | dropped)
        out = _without_requirements(schema, members) or _removed(schema, members, base, claims)
        if not out:
            break
        dropped |= out

    target = set(members)
    while back := _returning(schema, target, base, claims, active, multi, never):
        target.add(back)

    reentered = target & active & multi
    accepted = kind == "remove" or (bool(called & target) if auto else called <= target)
    return Outcome(target, accepted, (target - active) | reentered, active - target, reentered)


def _implied(
    schema: NaiveSchema, start: set[str], active: set[str], multi: set[str], never: set[str]
) -> set[str]:
    """Step a."""
    members = set(start)
    speaking = [name for name in start if name not in active or name in multi]
    while speaking:
        for name in schema[speaking.pop()].add - members - never:
            members.add(name)
            if name not in active:
                speaking.append(name)
    return members


def _without_requirements(schema: NaiveSchema, members: set[str]) -> set[str]:
    """Step b."""
    left = set(members)
    while unmet := {name for name in left if not schema[name].require <= left}:
        left -= unmet
    return members - left


def _removed(schema: NaiveSchema, members: set[str], base: set[str], called: set[str]) -> set[str]:
    """Step c."""
    left = set(members)
    for claim in (members - base, (members & base) - called, members & called):
        for name in reversed(schema.declared(claim)):
            removers = {other for other in left if name in schema[other].remove}
            refuses = name not in base and schema[name].remove & called & left
            if removers or refuses:
                left.discard(name)
    return members - left


def _returning(
    schema: NaiveSchema,
    target: set[str],
    base: set[str],
    called: set[str],
    active: set[str],
    multi: set[str],
    never: set[str],
) -> str | None:
    """Step 3: the next one that may come back."""
    implied = {
        name for other in target if other not in active or other in multi for name in schema[other].add
    }
    for claim in (base & called, base - called, implied - base):
        for name in schema.declared(claim - target - never):
            if not objections(schema, target, name):
                return name
    return None


def objections(schema: NaiveSchema, target: set[str], name: str) -> set[str]:
    """The living reasons for leaving a state out: what it lacks, what removes it, what it would remove."""
    removers = {other for other in target if name in schema[other].remove}
    return (schema[name].require - target) | removers | (schema[name].remove & target)


def autos(schema: NaiveSchema, active: set[str]) -> set[str]:
    """What an auto mutation calls."""
    removed = {name for other in active for name in schema[other].remove}
    return {name for name in schema.names if schema[name].auto} - active - removed


# Sections 4 to 6: a machine.


@dataclass
class Answer:
    """What a caller gets; `queued` turns into the final answer."""

    status: str
    queue_tick: int | None = None


@dataclass
class NaiveMutation:
    """One request."""

    kind: str
    called: set[str]
    args: Any = None
    depth: int = 0
    auto: bool = False
    front: bool = False
    answer: Answer = field(default_factory=lambda: Answer("queued"))


@dataclass
class NaiveTransition:
    """One mutation in work."""

    mutation: NaiveMutation
    kind: str
    outcome: Outcome
    is_check: bool = False
    is_final: bool = False
    committed: bool = False
    put_back: set[str] = field(default_factory=set[str])
    failure: Exception | None = None
    reported: bool = False

    @property
    def accepted(self) -> bool:
        return self.committed and self.failure is None


@dataclass
class NaiveEvent:
    """What a handler is told."""

    machine: NaiveMachine
    name: str
    is_check: bool
    args: Any


@dataclass(eq=False)
class NaiveWait:
    """A condition on the machine and the transition that ended; None for the latter when it is made."""

    test: Callable[[NaiveTransition | None], bool]
    callback: Callable[[], object] | None = None
    done: bool = False


Handlers = Mapping[str, Callable[[NaiveEvent], object]]
Asked = set[tuple[int, str]]
"""Which handlers were asked, by object and name."""
Step = tuple[str, str, str]
"""Phase, the state that a veto would drop, and the name of the handler."""


class NaiveMachine:
    """A machine as sections 4 to 6 tell it. Verbs are those of `Machine`, for schemas that are data."""

    def __init__(
        self,
        schema: NaiveSchema,
        handlers: Sequence[Handlers] = (),
        *,
        queue_limit: int | None = 1000,
        depth_limit: int = 1000,
    ) -> None:
        self.schema = schema
        self.handlers = handlers
        self.queue_limit = queue_limit
        self.depth_limit = depth_limit
        self.active: set[str] = set()
        self.ticks = dict.fromkeys(schema.names, 0)
        self.queue: list[NaiveMutation] = []
        self.queue_tick = 1
        self.error: Exception | None = None
        self.records: list[dict[str, Any]] = []
        self.waits: list[NaiveWait] = []
        self.running: list[NaiveTransition] = []
        self.busy = False
        self.told_full = self.told_deep = False

    # What callers ask for.

    def add(self, *states: str, **args: Any) -> Answer:
        return self._mutate("add", states, args)

    def remove(self, *states: str, **args: Any) -> Answer:
        return self._mutate("remove", states, args)

    def set(self, *states: str, **args: Any) -> Answer:
        return self._mutate("set", states, args)

    def toggle(self, *states: str, **args: Any) -> Answer:
        return self._mutate("toggle", states, args)

    def add_error(self, error: Exception | None, state: str | None = None) -> Answer:
        if error is None:
            return Answer("canceled")
        self.error = error
        return self._mutate("add", [EXCEPTION] if state is None else [EXCEPTION, state], {"error": error})

    def can_add(self, *states: str, **args: Any) -> bool:
        return self._check("add", states, args)

    def can_remove(self, *states: str, **args: Any) -> bool:
        return self._check("remove", states, args)

    # Section 5: the queue.

    def _mutate(self, kind: str, states: Iterable[str], args: Mapping[str, Any]) -> Answer:
        mutation = NaiveMutation(kind, set(states), args or None, self._depth())
        if self.busy:
            return self._append(mutation)
        self.busy = True
        self._process(mutation)
        self._drain()
        self.busy = False
        return mutation.answer

    def _depth(self) -> int:
        return self.running[-1].mutation.depth + 1 if self.running else 0

    def _append(self, mutation: NaiveMutation) -> Answer:
        in_final = bool(self.running) and self.running[-1].is_final
        if mutation.kind == "remove" and not mutation.called & self.active and in_final and not self.queue:
            return Answer("executed")
        if self.queue and self._is_duplicate(mutation, self.queue[-1]):
            return self.queue[-1].answer
        answer = mutation.answer
        if mutation.depth > self.depth_limit:
            answer.status = "canceled"
            self._stop_cascade(mutation.depth)
        elif self.queue_limit is not None and len(self.queue) >= self.queue_limit:
            answer.status = "canceled"
            if not self.told_full:
                self.told_full = True
                self._report(RuntimeError("queue full"), mutation.depth)
        else:
            answer.queue_tick = self.queue_tick + sum(not each.front for each in self.queue) + 1
            self.queue.append(mutation)
        return answer

    def _stop_cascade(self, depth: int) -> None:
        if not self.told_deep:
            self.told_deep = True
            self._report(RuntimeError("cascade"), depth)

    def _is_duplicate(self, new: NaiveMutation, last: NaiveMutation) -> bool:
        return (
            new.kind == last.kind != "toggle"
            and not last.front
            and new.args is None
            and last.args is None
            and new.called == last.called
            and not any(self.schema[name].multi for name in new.called)
        )

    def _drain(self) -> None:
        while self.queue:
            self._process(self.queue.pop(0))
        self.told_full = self.told_deep = False

    def _check(self, kind: str, states: Iterable[str], args: Mapping[str, Any]) -> bool:
        depth = self.running[-1].mutation.depth if self.running else 0
        t = self._begin(NaiveMutation(kind, set(states), args or None, depth), kind)
        t.is_check = True
        outermost = not self.busy
        self.busy = True
        self.running.append(t)
        granted = self._negotiate(t)
        self.running.pop()
        if outermost:
            self._drain()
            self.busy = False
        return granted

    # Section 4: a transition.

    def _begin(self, mutation: NaiveMutation, kind: str) -> NaiveTransition:
        outcome = resolve(self.schema, self.active, kind, mutation.called, auto=mutation.auto)
        return NaiveTransition(mutation, kind, outcome)

    def _process(self, mutation: NaiveMutation) -> None:
        kind = mutation.kind
        if kind == "toggle":
            kind = "remove" if mutation.called <= self.active else "add"
        if not mutation.front:
            self.queue_tick += 1
        t = self._begin(mutation, kind)
        self.running.append(t)
        if self._negotiate(t):
            self._commit(t)
            self._run_finals(t)
            ticked = bool(t.outcome.enters or t.outcome.exits)
            health = kind == "add" and mutation.called in HEALTH
            if ticked and t.failure is None and not mutation.auto and not health:
                self._push_auto(mutation)
            if ticked:
                self._look_at_waits(t)
        self.running.pop()
        mutation.answer.status = "executed" if t.accepted else "canceled"
        self.records.append(
            {
                "kind": kind,
                "called": self.schema.declared(mutation.called),
                "auto": mutation.auto,
                "accepted": t.accepted,
                "time": list(self.ticks.values()),
                "target": self.schema.declared(t.outcome.target) if t.accepted else None,
            }
        )

    def _negotiate(self, t: NaiveTransition) -> bool:
        """Ask the handlers. An auto mutation goes on without the auto states that are vetoed."""
        asked: Asked = set()
        banned: frozenset[str] = frozenset()
        while t.outcome.accepted:
            try:
                veto = self._first_veto(t, asked)
            except Exception as error:  # noqa: BLE001  # a handler may raise anything
                self._fail(t, error)
                return False
            if veto is None:
                return True
            phase, subject = veto
            if not (t.mutation.auto and phase in {"Enter", "To"} and self.schema[subject].auto):
                return False
            banned |= {subject}
            t.outcome = resolve(self.schema, self.active, "add", t.mutation.called, auto=True, banned=banned)
        return False

    def _first_veto(self, t: NaiveTransition, asked: Asked) -> tuple[str, str] | None:
        """Ask who was not asked yet: phase and state of the first that says no."""
        for phase, subject, name in self._negotiation(t):
            for place, handlers in enumerate(self.handlers):
                if name in handlers and (place, name) not in asked:
                    asked.add((place, name))
                    if self._call(t, handlers[name], name) is False:
                        return phase, subject
        return None

    def _negotiation(self, t: NaiveTransition) -> Iterator[Step]:
        order, out = self.schema.enter_order, t.outcome
        yield from (("Exit", name, f"{name}Exit") for name in reversed(order) if name in out.exits)
        yield from (("Enter", name, f"{name}Enter") for name in order if name in out.enters)
        if t.kind != "remove":
            yield from (("Stay", name, name + name) for name in order if name in self.active & out.target)
        for foo in self.schema.declared(self.active):
            for bar in self.schema.declared(out.enters - {foo}):
                yield "To", bar, foo + bar
        yield "AnyEnter", "", "AnyEnter"

    def _call(self, t: NaiveTransition, handler: Callable[[NaiveEvent], object], name: str) -> object:
        return handler(NaiveEvent(self, name, t.is_check, t.mutation.args))

    def _commit(self, t: NaiveTransition) -> None:
        out = t.outcome
        for name in (out.enters - out.reentered) | out.exits:
            self.ticks[name] += 1
        for name in out.reentered:
            self.ticks[name] += 2
        self.active = set(out.target)
        t.committed = True
        if EXCEPTION in out.exits:
            self.error = None
        elif EXCEPTION in out.enters and self.error is None and t.mutation.args:
            self.error = t.mutation.args.get("error")

    def _run_finals(self, t: NaiveTransition) -> None:
        order, out = self.schema.enter_order, t.outcome
        steps: list[Step] = [
            *(("End", name, f"{name}End") for name in reversed(order) if name in out.exits),
            *(("State", name, f"{name}State") for name in order if name in out.enters),
            ("AnyState", "", "AnyState"),
        ]
        t.is_final = True
        for phase, name, handler in steps:
            for handlers in self.handlers:
                if handler not in handlers:
                    continue
                try:
                    self._call(t, handlers[handler], handler)
                except Exception as error:  # noqa: BLE001  # a handler may raise anything
                    self._fail(t, error)
                    if phase == "State":
                        self._put_back(t, name)
                        t.is_final = False
                        return
        t.is_final = False

    def _push_auto(self, mutation: NaiveMutation) -> None:
        called = autos(self.schema, self.active)
        if called and mutation.depth + 1 > self.depth_limit:
            self._stop_cascade(mutation.depth + 1)
        elif called:
            self.queue.insert(
                0, NaiveMutation("add", called, None, mutation.depth + 1, auto=True, front=True)
            )

    def _look_at_waits(self, t: NaiveTransition) -> None:
        due = [wait for wait in self.waits if not wait.done and wait.test(t)]
        for wait in due:
            wait.done = True
        for wait in due:
            if wait.callback is not None:
                try:
                    wait.callback()
                except Exception as error:  # noqa: BLE001  # a callback may raise anything
                    self._tell(t, error)

    # Section 6: errors.

    def _fail(self, t: NaiveTransition, error: Exception) -> None:
        t.failure = t.failure or error
        self._tell(t, error)

    def _tell(self, t: NaiveTransition, error: Exception) -> None:
        """Of several errors in one transition, callbacks of waits included, the first is `Exception`."""
        if not t.is_check and not t.reported and EXCEPTION not in t.mutation.called:
            t.reported = True
            self._report(error, t.mutation.depth + 1)

    def _put_back(self, t: NaiveTransition, failed: str) -> None:
        """Deactivate that state and the enters after it; not what was re-entered, and never `Exception`."""
        order = self.schema.enter_order
        late = set(order[order.index(failed) :]) & t.outcome.enters
        t.put_back = late - t.outcome.reentered - {EXCEPTION}
        for name in t.put_back:
            self.ticks[name] += 1
        self.active -= t.put_back

    def _report(self, error: Exception, depth: int) -> None:
        self.error = error
        self.queue.insert(0, NaiveMutation("add", {EXCEPTION}, {"error": error}, depth, front=True))

    # Section 8, as far as one thread can see it.

    def wait(self, test: Callable[[NaiveTransition | None], bool], *, now: bool = True) -> NaiveWait:
        """List a condition; `now`: it may be true already."""
        wait = NaiveWait(test)
        self.waits.append(wait)
        wait.done = now and test(None)
        return wait
