"""What is wrong with a schema that breaks no rule: states that never come, groups that shut each other out, dead handlers.

Some findings are proven from relations alone; the others rest on the explorer, which adds and removes each state alone, and
adds each together with all that it, and what it adds, requires. Where that came to its limit, such a finding is a remark,
and says so. Pure: no machine is made, and no handler is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from amachine._bits import bits, mask_of
from amachine._phases import Phase
from amachine._tally import Tally, Where
from amachine.errors import nearest
from amachine.exploring import Exploration, Move, Source, explore, schema_of, step
from amachine.findings import CODES, Finding, Findings, Severity
from amachine.handlers import Call, Suite, suite_of
from amachine.mutation import Kind
from amachine.relations import reason, resolve
from amachine.schema import Schema

WORK = 100_000
"""Mutations that are tried, unless a limit is given: a schema of eleven states is explored to the end, a larger one in part."""

_ENGINES = {"Exception", "Start", "Ready", "Healthcheck", "Heartbeat", "Disposing"}


def lint(
    what: Source,
    *,
    handlers: Iterable[Suite] | None = None,
    ignore: Iterable[str] = (),
    limit: int | None = None,
) -> Findings:
    """Look for what is hardly meant so in a schema, and in the handlers of a `Machine` class or of a machine.

    `ignore` are codes of findings that are not wanted. `limit` is how many active sets are explored at most: by default
    as many as take some seconds. `handlers` are those to look at, instead of those that `what` has.
    Errors: ValueError for an unknown code.
    """
    unwanted = {*ignore}
    for code in sorted(unwanted - CODES.keys()):
        raise ValueError(f"there is no finding {code!r}{nearest(code, CODES)}: {', '.join(CODES)}")
    schema = schema_of(what)
    suites = _suites_of(what, schema) if handlers is None else tuple(handlers)
    linter = _Linter(schema, limit)
    found = [finding for finding in linter.all(suites) if finding.code not in unwanted]
    found.sort(key=lambda finding: [*Severity].index(finding.severity))
    return Findings(schema, tuple(found), len(linter.found), linter.found.complete)


def _suites_of(what: Source, schema: Schema) -> tuple[Suite, ...]:
    """The handlers of a class of machines, or those that are bound to a machine."""
    if isinstance(what, Schema):
        return ()
    program: Any = getattr(what, "_program_", None)
    if not isinstance(what, type):
        return program.suites if program is not None else ()
    return (suite_of(what, schema, own=True),)


class _Linter:
    """One look at one schema: what is worked out once, and the questions that are asked of it."""

    def __init__(self, schema: Schema, limit: int | None) -> None:
        self.schema = schema
        self.closures = tuple(_closure(schema, 1 << i) for i in range(schema.n))
        moves = [Move(Kind.ADD, schema.names_of(mask)) for mask in self.together()]
        most = max(100, WORK // (2 * schema.n + len(moves))) if limit is None else limit
        self.found: Exploration = explore(schema, calls=[*schema.names, *moves], limit=most)
        self.seen = Tally(self.found)
        self.dead = mask_of(i for i in range(schema.n) if self.conflict(self.closures[i]))

    def together(self) -> Iterable[int]:
        """What is called at once: each state with all that it requires, and with what those require that it adds.

        Where what it adds cannot all come, it depends on what else is called: then with every other state, too.
        """
        schema, found = self.schema, dict[int, None]()
        for i, closure in enumerate(self.closures):
            found[closure] = None
            for j in bits(schema.add[i] & ~closure):
                if not self.conflict(closure | 1 << j):
                    found[closure | self.closures[j] & ~(1 << j)] = None
            if schema.add[i] and self.conflict(self.implied_by(closure)):
                found.update(dict.fromkeys(closure | other for other in self.closures))
        return [
            mask
            for mask in found
            if mask & (mask - 1) and not mask & schema.needs_args and not self.conflict(mask)
        ]

    # What relations alone prove.

    def conflict(self, states: int) -> tuple[int, int] | None:
        """Two of these states, and all that they require, of which the first removes the other."""
        states = _closure(self.schema, states)
        for i in bits(states):
            for j in bits(self.schema.remove[i] & states & ~(1 << i)):
                return i, j
        return None

    def implied_by(self, states: int) -> int:
        """These states with all that they, and those, add."""
        while True:
            more = states
            for i in bits(states):
                more |= self.schema.add[i]
            if more == states:
                return states
            states = more

    # The findings.

    def all(self, suites: Iterable[Suite]) -> Iterator[Finding]:
        """Every finding."""
        yield from self.never_active()
        yield from self.autos()
        yield from self.implied()
        for suite in suites:
            for call in suite:
                yield from self.handler(call)
        yield from self.unreached()
        yield from self.groups()
        yield from self.restless()
        yield from self.multi()
        yield from self.orders()
        yield from self.requirements()

    def never_active(self) -> Iterator[Finding]:
        schema = self.schema
        for i in bits(self.dead):
            one, other = self.conflict(self.closures[i]) or (i, i)
            name, a, b = schema.names[i], schema.names[one], schema.names[other]
            if i in {one, other}:
                rival = b if one == i else a
                says = f"{name} requires {rival}{self.through(i, schema.index[rival])}"
                why = f"{says}, but {a} removes {b}"
            else:
                parts = " and ".join(
                    dict.fromkeys(f"{schema.names[j]}{self.through(i, j)}" for j in sorted((one, other)))
                )
                why = f"{name} requires {parts}, but {a} removes {b}"
            yield self.finding("never-active", (i,), f"{why}: it can never be active", *self.attempt(i))

    def autos(self) -> Iterator[Finding]:
        for i in bits(self.schema.auto & ~self.dead):
            name = self.schema.names[i]
            if not self.seen.by_auto >> i & 1:
                lost = self.seen.lost_auto.get(i)
                why, example = self.lost(i, lost) if lost else ("nothing calls it at any time", ())
                says = f"{name} is Auto, but no auto mutation brings it: {why}"
                yield self.finding("auto-never", (i,), says, example, "it stays out", seen=True)
            elif not self.schema.require[i] and not self.schema.removed_by[i]:
                says = (
                    f"{name} is Auto and nothing holds it back: it comes with the first change of anything,"
                    " and again after each removal"
                )
                yield self.finding("auto-always", (i,), says)

    def implied(self) -> Iterator[Finding]:
        schema = self.schema
        for i in range(schema.n):
            if self.dead >> i & 1:
                continue
            for j in bits(schema.add[i] & ~self.seen.brought.get(i, 0)):
                lost = self.seen.lost_implied.get((i, j))
                if lost is None or (i == j):
                    continue  # it never enters with the other one inactive: there was nothing to bring
                why, example = self.lost(j, lost)
                a, b = schema.names[i], schema.names[j]
                says = f"{a} adds {b}, which never comes with it: {why}"
                yield self.finding("implied-never", (i, j), says, example, f"{b} stays out", seen=True)

    def unreached(self) -> Iterator[Finding]:
        schema, seen = self.schema, self.seen
        for i in range(schema.n):
            name = schema.names[i]
            if self.dead >> i & 1:
                continue
            if not seen.alone >> i & 1:
                others = self.closures[i] & ~(1 << i)
                says = f"{name} is only activated by a mutation that calls it together with"
                says += f" {', '.join(schema.names_of(others))}"
                if with_args := schema.names_of(self.closures[i] & schema.needs_args):
                    says += f", which cannot be made: {with_args[0]} needs arguments"
                yield self.finding("only-together", (i,), says, *self.attempt(i), seen=True)
            elif seen.entered >> i & 1 and not seen.rested >> i & 1:
                path = self.found.entry(name) or ()
                says = f"{name} is never active for longer than until the auto mutation that follows"
                yield self.finding("never-rests", (i,), says, path, self.ended_by(path, i), seen=True)

    def groups(self) -> Iterator[Finding]:
        schema = self.schema
        for one, other in combinations(schema.groups.values(), 2):
            members = [
                [i for i in map(schema.index.__getitem__, group.members) if not self.dead >> i & 1]
                for group in (one, other)
            ]
            if {*one.members} & {*other.members} or not all(members):
                continue
            pairs = [(i, j) for i in members[0] for j in members[1]]
            conflicts = [self.conflict(1 << i | 1 << j) for i, j in pairs]
            if not all(conflicts):
                continue
            a, b = (schema.names[i] for i in conflicts[0] or pairs[0])
            mend = f"exclusive({', '.join((*one.members, *other.members))})"
            says = (
                f"groups {one.name} and {other.name} shut each other out: no state of one is ever active beside one of"
                f" the other ({a} removes {b}, and so on); if that is meant, say {mend}"
            )
            states = tuple(schema.index[name] for name in (*one.members, *other.members))
            way = self.found.path_to(schema.names[pairs[0][0]]) or ()
            move = Move(Kind.ADD, (schema.names[pairs[0][1]],))
            yield self.finding("groups-apart", states, says, (*way, move), self.outcome((*way, move)))

    def restless(self) -> Iterator[Finding]:
        """Follow what one auto mutation after another makes of each set: they should come to rest."""
        schema, told = self.schema, set[int]()
        over: set[int] = set()
        for names in self.found.sets if schema.auto else ():
            line: dict[int, int] = {}
            at = schema.mask(names)
            while at not in over and at not in line:
                line[at] = len(line)
                wanted = schema.auto & ~at & ~mask_of(j for i in bits(at) for j in bits(schema.remove[i]))
                found = resolve(schema, at, Kind.ADD, wanted, partial=True)
                at = found.target if wanted and found.accepted else at
            over |= line.keys()
            ring = [mask for mask, place in line.items() if place >= line.get(at, len(line))]
            states = 0
            for mask in ring:
                states |= mask ^ ring[0]
            if len(ring) < 2 or states in told:
                continue
            told.add(states)
            turns = " → ".join(", ".join(schema.names_of(mask & states)) or "none" for mask in (*ring, at))
            says = f"these Auto states take turns with every change of anything: {turns}"
            way = self.found.path(schema.names_of(ring[0])) if schema.names_of(ring[0]) in self.found else ()
            yield self.finding(
                "auto-restless", tuple(bits(states)), says, way, "the next change moves them on"
            )

    def multi(self) -> Iterator[Finding]:
        schema = self.schema
        wanted = schema.multi & ~schema.exception  # that one is multi whatever its author says
        for i in bits(wanted & self.seen.entered & ~self.seen.reentered & ~self.dead):
            name = schema.names[i]
            says = f"{name} is multi, but it is never active when it is called again"
            yield self.finding("multi-never", (i,), says, self.found.entry(name) or (), seen=True)

    def orders(self) -> Iterator[Finding]:
        schema = self.schema
        for i in range(schema.n):
            for j in bits(schema.after[i] & ~(1 << i)):
                a, b = schema.names[i], schema.names[j]
                both = self.conflict(1 << i | 1 << j)
                if self.closures[i] >> j & 1:
                    says = f"{a} comes after {b}, which it requires{self.through(i, j)}: that is their order anyway"
                    yield self.finding("after-redundant", (i, j), says)
                elif both and not (self.dead >> i | self.dead >> j) & 1:
                    x, y = (schema.names[each] for each in both)
                    says = f"{a} comes after {b}, but they never enter or end together, for {x} removes {y}"
                    yield self.finding("after-void", (i, j), says)

    def requirements(self) -> Iterator[Finding]:
        schema = self.schema
        for i in range(schema.n):
            if schema.names[i] in _ENGINES:
                continue  # declared by the library, and extended by its users: neither can take it out
            for j in bits(schema.require[i]):
                by = next((k for k in bits(schema.require[i]) if k != j and self.closures[k] >> j & 1), None)
                if by is not None:
                    a, b, c = schema.names[i], schema.names[j], schema.names[by]
                    says = f"{a} requires {b}, which {c} requires, which {a} requires, too: {c} is enough"
                    yield self.finding("require-redundant", (i, j), says)

    def handler(self, call: Call) -> Iterator[Finding]:
        schema, seen = self.schema, self.seen
        i, j = call.state, call.other
        if i < 0:
            return
        concerned = tuple(each for each in (i, j) if each >= 0)
        label = f"{call.where} ({call.name})" if call.where != call.name else call.name
        gone = next((each for each in concerned if self.dead >> each & 1), None)
        if gone is not None:
            says = f"{label} can never run, for {schema.names[gone]} can never be active"
            yield self.finding("handler-never", concerned, says, *self.attempt(gone), handler=call.where)
            return
        a = schema.names[i]
        match call.phase:
            case Phase.ENTER | Phase.STATE | Phase.TASK:
                runs, why = seen.entered >> i & 1, f"{a} never enters"
            case Phase.EXIT | Phase.END:
                runs, why = seen.left >> i & 1, f"{a} never ends"
            case Phase.STAY:
                runs, why = seen.stayed >> i & 1, f"{a} is never active both before and after a transition"
            case _:
                b = schema.names[j]
                runs = seen.before.get(j, 0) >> i & 1
                why = f"{a} is never active when {b} enters"
        if not runs:
            example: tuple[Move, ...] = self.found.path_to(a) or ()
            if call.phase is Phase.TO:
                example = (*example, Move(Kind.ADD, (schema.names[j],)))
            yield self.finding(
                "handler-unreached",
                concerned,
                f"{label} runs by no add and no remove, for {why}",
                example,
                self.outcome(example),
                handler=call.where,
                seen=True,
            )

    # Words and examples.

    def finding(
        self,
        code: str,
        states: Iterable[int],
        reason: str,
        example: tuple[Move, ...] = (),
        outcome: str = "",
        *,
        handler: str = "",
        seen: bool = False,
    ) -> Finding:
        """A finding; `seen` ones rest on the explorer."""
        certain = not seen or self.found.complete
        if not certain:
            reason += f" (not proven: only {len(self.found)} active sets were looked at, and there are more)"
        severity = CODES[code][0] if certain else Severity.REMARK
        names = tuple(self.schema.names[i] for i in states)
        return Finding(code, severity, names, reason, example, outcome if example else "", handler, certain)

    def through(self, i: int, j: int) -> str:
        """` (through B)`, where it does not require it itself."""
        if i == j or self.schema.require[i] >> j & 1:
            return ""
        by = next(k for k in bits(self.schema.require[i]) if self.closures[k] >> j & 1)
        return f" (through {self.schema.names[by]})"

    def attempt(self, i: int) -> tuple[tuple[Move, ...], str]:
        """A mutation that asks for a state and all that it requires, where it can be made; what comes of it."""
        mask = self.closures[i]
        alone = mask & self.schema.needs_args
        example = (Move(Kind.ADD, self.schema.names_of(1 << i if alone else mask)),)
        return example, self.outcome(example)

    def outcome(self, example: tuple[Move, ...]) -> str:
        """What the last mutation comes to: the refusal, or what is active then."""
        schema, active, said = self.schema, 0, ""
        for move in example:
            called = schema.mask(move.states)
            found = resolve(schema, active, move.kind, called)
            out = [reason(schema, found.target, active, i) for i in bits(called & ~found.target)]
            changes = step(schema, active, move.kind, called)
            for change in changes:
                active = change.found.target if change.found.accepted else active
            refused = not found.accepted
            said = (
                "; ".join(filter(None, out))
                if refused
                else f"active are {', '.join(schema.names_of(active)) or 'none'}"
            )
        return said

    def ended_by(self, path: tuple[Move, ...], i: int) -> str:
        """What puts a state out again in the auto mutation after this path."""
        schema, active, said = self.schema, 0, ""
        for move in path:
            for change in step(schema, active, move.kind, schema.mask(move.states)):
                if change.auto and change.found.exits >> i & 1:
                    said = reason(schema, change.found.target, change.before, i)
                active = change.found.target if change.found.accepted else active
        return said

    def lost(self, i: int, where: Where) -> tuple[str, tuple[Move, ...]]:
        """Why a state stayed out of a target, and the mutations that lead there."""
        at, kind, called, before, target = where
        path = self.found.path(self.schema.names_of(at))
        why = reason(self.schema, target, before, i) or "something speaks against it"
        return why, (*path, Move(kind, self.schema.names_of(called)))


def _closure(schema: Schema, states: int) -> int:
    """These states with all that they require, directly or not."""
    while True:
        more = states
        for i in bits(states):
            more |= schema.require[i]
        if more == states:
            return states
        states = more
