"""The choices of a script function: who decides, which branches there are, and what goes along with them.

It makes one node of each `if`, `while` and `match`. What the branches lead to is for statements to say.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from amachine.choreography.acting import GaveWrong
from amachine.choreography.functions.crossing import Emit
from amachine.choreography.functions.flow import Edge, Exits, Target
from amachine.choreography.functions.kinds import UNKNOWN
from amachine.choreography.functions.patterns import (
    OTHERWISE,
    binds,
    covers,
    irrefutable,
    label_of,
    matches,
    name_of_value,
)
from amachine.choreography.functions.sources import Trouble
from amachine.choreography.functions.speaking import Block, Item, Speaking
from amachine.choreography.functions.subjects import Context, Where, about, root_of, words_in
from amachine.choreography.typenames import kind_of

__all__ = ["Choosing"]


class Choosing(Speaking, ABC):
    """One inlined call of a script function: what makes nodes of its choices."""

    @abstractmethod
    def block(self, statements: Sequence[ast.stmt], after: Target, around: Block) -> Target:
        """Where statements begin that end somewhere."""

    def _decided(self, test: ast.expr, yes: Target, no: Target, around: Block) -> Target:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self._decided(test.operand, no, yes, around)
        if isinstance(test, ast.Constant):
            return yes if test.value else no
        if (call := self.script(test)) is not None:
            return self._called(call, Exits(lambda value: yes if value else no))
        return self._boolean(test, yes, no, around)

    def _boolean(self, test: ast.expr, yes: Target, no: Target, around: Block) -> Target:
        at = self._owner(test, around, "AMC302", "decides this")
        items: list[Item] = []
        where = attrs.evolve(self._where(at, around, about(test, self.roles)), use="decides")
        asked = self.crossing.rebuilt(test, where, self._emitter(items))
        site = self._site(test, about(test, self.roles), at)
        edges = {"true": Edge("true", yes, site.place), "false": Edge("false", no, site.place)}

        def choose(done: Callable[[str], list[ast.stmt]]) -> list[ast.stmt]:
            return [ast.If(asked, done("true"), done("false"))]

        return self._linked(items, self._node(site, at, edges, choose))

    def _matched(self, each: ast.Match, after: Target, around: Block) -> Target:
        if (call := self.script(each.subject)) is not None:
            return self._matched_exits(each, call, after, around)
        at = self._owner(each.subject, around, "AMC302", "decides this")
        items: list[Item] = []
        where = self._where(at, around, about(each.subject, self.roles))
        subject = self.crossing.rebuilt(each.subject, where, self._emitter(items))
        kind = self.crossing.types(around.context).of(each.subject)
        edges: dict[str, Edge] = {}
        cases: list[tuple[str, ast.pattern, ast.expr | None]] = []
        binding: dict[str, tuple[str, ...]] = {}
        for case in each.cases:
            label = _free_label(label_of(case.pattern), edges)
            names = binds(case.pattern, kind, self.source, self.crossing.told)
            inside = _with_names(around, names)
            guard = case.guard and self._guard(case.guard, at, inside)
            edge = edges[label] = self._branch(label, case, at, names, after, inside)
            if len(edge.binding) == 1:  # several go with a name for each
                edge.names = edge.binding + words_in(each.subject, self.roles) + _fields(case.pattern)
            binding[label] = tuple(names)
            cases.append((label, case.pattern, guard))
        patterns = [(case.pattern, case.guard is not None) for case in each.cases]
        covered = kind is not UNKNOWN and covers(patterns, kind, self.source)
        last = irrefutable(patterns[-1][0]) and not patterns[-1][1]
        if not covered and not last:
            label = _free_label(OTHERWISE, edges)
            edges[label] = Edge(label, after, self.source.place(each))
            cases.append((label, ast.MatchAs(None, None), None))
            last = True

        def choose(done: Callable[[str], list[ast.stmt]]) -> list[ast.stmt]:
            made = [ast.match_case(pattern, guard, done(label)) for label, pattern, guard in cases]
            if not last:
                error = ast.Call(ast.Name(".uncovered", ast.Load()), [ast.Name(".other", ast.Load())], [])
                made.append(ast.match_case(ast.MatchAs(None, ".other"), None, [ast.Raise(error)]))
            return [ast.Match(subject, made)]

        helpers = {} if last else {".uncovered": _uncovered(ast.unparse(each.subject))}
        site = self._site(each, about(each.subject, self.roles), at)
        return self._linked(items, self._node(site, at, edges, choose, binding, helpers))

    def _guard(self, guard: ast.expr, at: str, inside: Block) -> ast.expr:
        others = [each for each in self.crossing.homes(guard, inside.context, at) if each != at]

        def refuse(home: str, expr: ast.expr, _: Where) -> ast.expr:
            text = f"{at} decides here: the guard cannot read {home}"
            raise self.crossing.trouble(
                expr, "AMC302", text, f"let {home} decide in an `if` of its own, inside of the case"
            )

        if others:
            refuse(others[0], guard, self._where(at, inside, ""))
        where = attrs.evolve(self._where(at, inside, ""), use="decides")
        return self.crossing.rebuilt(guard, where, Emit(refuse))

    def _branch(
        self,
        label: str,
        case: ast.match_case,
        at: str,
        names: Mapping[str, Any],
        after: Target,
        inside: Block,
    ) -> Edge:
        """One case: what the first other role uses of what its pattern binds goes along with the choice."""
        place = self.source.place(case.pattern)
        again = {word for node in ast.walk(ast.Module(case.body, [])) if (word := _rebound(node))}
        wanted = dict(self._wanted(case.body, frozenset(names) - again, inside))
        if not wanted:
            return Edge(label, self.block(case.body, after, inside), place)
        to, words = next(iter(wanted.items()))
        words = [word for word in names if word in words]
        for word in words:
            if names[word] is UNKNOWN and place.line not in self.crossing.wrong:
                text = f"{at} sends {word} to {to}, of which no annotation tells the type"
                self.crossing.told(case.pattern, "AMC305", text, "annotate what is matched, and its fields")
        carried = {**inside.context.carried, **{word: frozenset({to}) for word in words}}
        context = attrs.evolve(inside.context, carried=carried)
        edge = Edge(label, self.block(case.body, after, attrs.evolve(inside, context=context)), place)
        value: ast.expr = ast.Tuple([ast.Name(word, ast.Load()) for word in words], ast.Load())
        edge.value = value if len(words) > 1 else ast.Name(words[0], ast.Load())
        self._tell(edge, to, words, [names[word] for word in words], label)
        return edge

    def _wanted(self, body: Sequence[ast.stmt], names: frozenset[str], inside: Block) -> dict[str, list[str]]:
        """By role, in order, which of these names another role than their home uses."""
        found: dict[str, list[str]] = {}

        def note(home: str, expr: ast.expr, where: Where) -> ast.expr:
            words = [each.id for each in ast.walk(expr) if isinstance(each, ast.Name)]
            if any(word in self.roles for word in words):
                self.crossing.split(expr, attrs.evolve(where, at=home), Emit(note))
            elif {word for word in words if word in self.subject.variables} <= names:
                found.setdefault(where.at, []).extend(word for word in words if word in names)
            return ast.Constant(None)

        for statement in body:
            for expr, at in self._uses(statement, inside):
                try:
                    self.crossing.split(expr, self._where(at, inside, ""), Emit(note))
                except Trouble:
                    continue
        return found

    def _uses(self, each: ast.stmt, inside: Block) -> Iterator[tuple[ast.expr, str]]:
        """The expressions of a statement, and of those in it, with the roles that evaluate them."""
        match each:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if (root := root_of(target)) in self.roles:
                        yield value, root
            case ast.AugAssign(target=target, value=value):
                if (root := root_of(target)) in self.roles:
                    yield value, root
            case ast.Expr(value=value) | ast.Return(value=ast.expr() as value):
                yield from self._used_by_owner(value, inside)
            case ast.If(test=expr) | ast.While(test=expr) | ast.Match(subject=expr):
                yield from self._used_by_owner(expr, inside)
            case _:
                pass
        for case in getattr(each, "cases", ()):
            for statement in case.body:
                yield from self._uses(statement, inside)
        for field in ("body", "orelse"):
            for statement in getattr(each, field, ()):
                yield from self._uses(statement, inside)

    def _used_by_owner(self, expr: ast.expr, inside: Block) -> Iterator[tuple[ast.expr, str]]:
        if isinstance(expr, ast.UnaryOp):
            expr = expr.operand
        if self.script(expr) is not None:
            return
        root = root_of(expr)
        homes = [root] if root in self.roles else list(self.crossing.homes(expr, inside.context))
        if len(homes) == 1:
            yield expr, homes[0]

    def _matched_exits(self, each: ast.Match, call: ast.Call, after: Target, around: Block) -> Target:
        bodies = [self.block(case.body, after, around) for case in each.cases]
        callee = self.lowering.subject(self.lowering.script_of(self.source.meaning(call.func)))
        values = () if callee is None else self.lowering.returned(callee)
        for case in each.cases:
            if values and not any(matches(case.pattern, one, self.source) is not False for one in values):
                text = f"{ast.unparse(case.pattern)} never is what {ast.unparse(call.func)} returns"
                said = ", ".join(str(one) for one in values if one is not None) or "None"
                self.crossing.told(case.pattern, "AMC309", text, f"it returns: {said}")
            if case.guard is not None or matches(case.pattern, None, self.source) is None:
                text = f"what a choreography returns is matched with constants, not `{ast.unparse(case.pattern)}`"
                raise self.crossing.trouble(
                    case.pattern, "AMC311", text, "match the values that it returns, or `_`"
                )

        def pick(value: object) -> Target:
            for case, body in zip(each.cases, bodies, strict=True):
                if matches(case.pattern, value, self.source):
                    return body
            return after

        return self._called(call, Exits(pick))

    def _by_value(self, value: ast.expr, values: Sequence[Any], exits: Exits, around: Block) -> Target:
        """A role's value decides how it ends."""
        at = self._owner(value, around, "AMC302", "decides this")
        items: list[Item] = []
        asked = self.crossing.rebuilt(
            value, self._where(at, around, about(value, self.roles)), self._emitter(items)
        )
        site = self._site(value, about(value, self.roles), at)
        edges: dict[str, Edge] = {}
        labels: dict[tuple[type, object], str] = {}
        for each in values:
            label = _free_label(name_of_value(each), edges)
            labels[type(each), each] = label
            edges[label] = Edge(label, exits.pick(each), site.place)

        def choose(done: Callable[[str], list[ast.stmt]]) -> list[ast.stmt]:
            asking = ast.Call(ast.Name(".label_of", ast.Load()), [asked], [])
            cases = [ast.match_case(ast.MatchValue(ast.Constant(each)), None, done(each)) for each in edges]
            return [ast.Match(asking, cases)]

        helpers = {".label_of": _labelling(labels, ast.unparse(value))}
        return self._linked(items, self._node(site, at, edges, choose, helpers=helpers))


def _fields(pattern: ast.pattern) -> tuple[str, ...]:
    """The names of the fields that a pattern takes apart."""
    return tuple(word for node in ast.walk(pattern) for word in getattr(node, "kwd_attrs", ()))


def _free_label(label: str, taken: Mapping[str, object]) -> str:
    number, plain = 1, label
    while label in taken:
        number += 1
        label = f"{plain}_{number}"
    return label


def _with_names(around: Block, names: Mapping[str, Any]) -> Block:
    """Inside of a case: its names are what its pattern says, and nobody else knows them yet."""
    carried = {word: roles for word, roles in around.context.carried.items() if word not in names}
    return attrs.evolve(around, context=Context(carried, {**around.context.types, **names}))


def _rebound(node: ast.AST) -> str | None:
    """The name that a node binds anew."""
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Store) else None
    if isinstance(node, ast.MatchAs | ast.MatchStar):
        return node.name
    return node.rest if isinstance(node, ast.MatchMapping) else None


def _uncovered(text: str) -> Callable[[object], Exception]:
    def error(value: object) -> Exception:
        why = "which its annotation excludes: no case takes it"
        return GaveWrong(f"`{text}` gave {kind_of(value)}, {why}", handler=text, got=value)

    return error


def _labelling(labels: Mapping[tuple[type, object], str], text: str) -> Callable[[object], str]:
    def label_of(value: object) -> str:
        try:
            return labels[type(value), value]
        except (KeyError, TypeError):
            why = "which its annotation excludes: no exit is named by it"
            raise GaveWrong(f"`{text}` gave {kind_of(value)}, {why}", handler=text, got=value) from None

    return label_of
