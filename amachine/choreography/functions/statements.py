"""The statements of a script function, one inlined call at a time: from the last to the first, each leading on to the next.

It decides what is a message, what a choice, and what a role's own work. It compiles nothing.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from amachine.choreography.functions.choosing import Choosing
from amachine.choreography.functions.flow import Exits, Forward, Frame, Piece, Target
from amachine.choreography.functions.kinds import UNKNOWN, finite, fits, literal, named
from amachine.choreography.functions.patterns import binds
from amachine.choreography.functions.sources import MISSING, Trouble
from amachine.choreography.functions.speaking import Block, Item
from amachine.choreography.functions.subjects import Context, Subject, Variable, Where, about, root_of

if TYPE_CHECKING:
    from amachine.choreography.functions.crossing import Emit
    from amachine.choreography.functions.lowering import Lowering

__all__ = ["Body", "survey"]


def survey(subject: Subject, lowering: Lowering) -> None:
    """Find the names that roles give to values of their own, in the order of the source."""
    Body.reader(lowering, subject).survey(subject.source.tree.body)


class Body(Choosing):
    """One inlined call of a script function."""

    @classmethod
    def reader(cls, lowering: Lowering, subject: Subject) -> Body:
        """One that only looks things up."""
        roles = {each: each for each in subject.source.parameters}
        frame = Frame(subject.source, roles, subject.variables, subject.classes)
        return cls(lowering, subject, frame, _NOWHERE)

    def start(self) -> Target:
        """Where it begins. What cannot be read is told, and passed over."""
        return self.block(self.source.tree.body, self.exits.pick(None), Block())

    # Names that roles give to values.

    def survey(self, statements: Sequence[ast.stmt]) -> None:
        """Note the names that these statements bind, and whose they are."""
        for each in statements:
            try:
                self._survey_one(each)
            except RecursionError:
                self.crossing.told(each, *_TOO_DEEP)

    def _survey_one(self, each: ast.stmt) -> None:
        match each:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        self._note(target, value, self._type(value))
            case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value, annotation=annotation):
                self._note(target, value, self.source.evaluated(annotation))
            case ast.Match(subject=subject, cases=cases):
                for case in cases:
                    for word, kind in binds(
                        case.pattern, self._type(subject), self.source, self.crossing.told
                    ).items():
                        self._note(
                            ast.copy_location(ast.Name(word, ast.Store()), case.pattern), subject, kind
                        )
                    self.survey(case.body)
                return
            case _:
                pass
        for field in ("body", "orelse"):
            self.survey(getattr(each, field, ()))

    def _note(self, target: ast.Name, value: ast.expr, kind: Any) -> None:
        word = target.id
        homes = self.crossing.homes(value, Context())
        if word in self.roles:
            self.crossing.told(
                target, "AMC306", f"{word} is a role: nothing else can have its name", "take another name"
            )
            return
        if len(homes) != 1 or self.script(value) is not None:
            return
        (home,) = homes
        known = self.subject.variables.get(word)
        if known is not None and known.home != home:
            text = f"{word} is known to {known.home} already; here it would be {home}'s"
            self.crossing.told(target, "AMC312", text, "take another name")
            return
        if known is not None and known.type != kind:
            kind = UNKNOWN
        self.subject.variables[word] = Variable(home, kind)

    # Blocks.

    def block(self, statements: Sequence[ast.stmt], after: Target, around: Block) -> Target:
        """Where statements begin that end somewhere."""
        for each in reversed(statements):
            try:
                after = self._statement(each, after, around)
            except Trouble:
                continue
            except RecursionError:
                self.crossing.told(each, *_TOO_DEEP)
        return after

    def _statement(self, each: ast.stmt, after: Target, around: Block) -> Target:
        match each:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return after
            case ast.Expr(value=value):
                return self._doing(value, after, around)
            case ast.Assign(targets=targets, value=value):
                return self._assigned(each, targets, value, after, around)
            case ast.AnnAssign(target=target, value=value):
                return after if value is None else self._assigned(each, [target], value, after, around)
            case ast.AugAssign():
                return self._changed(each, after, around)
            case ast.If(test=test, body=body, orelse=orelse):
                yes, no = self.block(body, after, around), self.block(orelse, after, around)
                return self._decided(test, yes, no, around)
            case ast.While():
                return self._loop(each, after, around)
            case ast.Match():
                return self._matched(each, after, around)
            case ast.Return():
                return self._returned(each, around)
            case ast.Break() | ast.Continue():
                there = around.leave if isinstance(each, ast.Break) else around.again
                return there or after  # Python has seen that there is a loop
            case _:
                raise self._refused(each)

    def _refused(self, each: ast.stmt) -> Trouble:
        kind = type(each).__name__
        hint = _REFUSED.get(kind, "let an operation of a role do it")
        return self.crossing.trouble(each, "AMC304", f"{kind} is not part of the choreography subset", hint)

    def _loop(self, each: ast.While, after: Target, around: Block) -> Target:
        head = Forward(place=self.source.place(each))
        inside = attrs.evolve(around, leave=after, again=head)
        body, otherwise = self.block(each.body, head, inside), self.block(each.orelse, after, around)
        try:
            head.target = self._decided(each.test, body, otherwise, around)
        except Trouble:
            head.target = otherwise
        return head

    def _doing(self, expr: ast.expr, after: Target, around: Block) -> Target:
        if (call := self.script(expr)) is not None:
            return self._called(call, Exits(lambda _: after))
        inner = expr.value if isinstance(expr, ast.Await) else expr
        if not isinstance(inner, ast.Call | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            if self.crossing.see_no_operation(inner, self._where("", around, "")):
                raise Trouble
            text = f"`{ast.unparse(expr)}` does nothing"
            raise self.crossing.trouble(
                expr, "AMC304", text, "call an operation, or assign to what a role has"
            )
        at = self._owner(expr, around, "AMC306", "does this")
        items: list[Item] = []
        value = self.crossing.rebuilt(
            expr, self._where(at, around, about(expr, self.roles)), self._emitter(items)
        )
        items.append(Piece(self.frame, at, (ast.copy_location(ast.Expr(value), expr),)))
        return self._linked(items, after)

    def _assigned(
        self, each: ast.stmt, targets: list[ast.expr], value: ast.expr, after: Target, around: Block
    ) -> Target:
        if self.script(value) is not None:
            hint = "branch on it: `if …(…):`, `match …(…):`, or `return …(…)`"
            raise self.crossing.trouble(
                value, "AMC311", "what a choreography returns is no value that a role has", hint
            )
        owners = {self._target_of(target, value, around): None for target in targets}
        if len(owners) == 1:
            (owner,) = owners
            items: list[Item] = []
            emit, where = self._emitter(items), self._where(owner, around, _target_name(targets[0]))
            new = self.crossing.split(value, where, emit)
            places = [self._place(target, where, emit) for target in targets]
            items.append(Piece(self.frame, owner, (ast.copy_location(ast.Assign(places, new), each),)))
            return self._linked(items, after)
        homes = list(self.crossing.homes(value, around.context))
        if len(homes) > 1:
            text = (
                f"{' and '.join(owners)} get one value made of what {' and '.join(homes)} have: who makes it?"
            )
            raise self.crossing.trouble(
                each, "AMC306", text, f"assign it to one of {', '.join(owners)} first"
            )
        return self._spread(each, targets, value, homes, around, after)

    def _spread(
        self,
        each: ast.stmt,
        targets: list[ast.expr],
        value: ast.expr,
        homes: list[str],
        around: Block,
        after: Target,
    ) -> Target:
        """One value for several roles: it is made once, and goes to each."""
        items: list[Item] = []
        emit = self._emitter(items)
        shared, kind = value, self.crossing.types(around.context).of(value)
        if homes:
            where = self._where(homes[0], around, _target_name(targets[0]))
            made = self.crossing.split(value, where, emit)
            piece, shared = self.made(homes[0], made, kind)
            items.append(piece)
        for target in targets:
            owner = self._target_of(target, value, around)
            where = self._where(owner, around, _target_name(target))
            mine = shared
            if homes and owner != homes[0]:
                mine = self._send(items, value, homes[0], owner, shared, kind, _target_name(target))
            done = ast.Assign([self._place(target, where, emit)], mine)
            items.append(Piece(self.frame, owner, (ast.copy_location(done, each),)))
        return self._linked(items, after)

    def _target_of(self, target: ast.expr, value: ast.expr, around: Block) -> str:
        """The role that gets what is assigned. Errors: `Trouble`."""
        if isinstance(target, ast.Name) and target.id not in self.roles:
            known = self.subject.variables.get(target.id)
            if known is not None:
                return known.home
            self._owner(value, around, "AMC306", "gives this name")
        root = root_of(target)
        if isinstance(target, ast.Attribute | ast.Subscript) and root in self.roles:
            self.crossing.see_target(target, value, self._where(root, around, _target_name(target)))
            return root
        text = f"`{ast.unparse(target)}` belongs to no role"
        hint = "assign to what a role has, one thing at a time: `s.count = c.count`"
        raise self.crossing.trouble(target, "AMC304", text, hint)

    def _place(self, target: ast.expr, where: Where, emit: Emit) -> ast.expr:
        if isinstance(target, ast.Name):
            return target
        return self.crossing.rebuilt(target, where, emit)

    def _changed(self, each: ast.AugAssign, after: Target, around: Block) -> Target:
        owner = self._target_of(each.target, each.value, around)
        items: list[Item] = []
        emit, where = self._emitter(items), self._where(owner, around, _target_name(each.target))
        value = self.crossing.split(each.value, where, emit)
        place = self._place(each.target, where, emit)
        done: ast.stmt = ast.AugAssign(cast("ast.Attribute", place), each.op, value)
        if isinstance(place, ast.Name) or emit.said_since(0, owner):  # Python reads what is changed first
            before = ast.copy_location(copy.copy(place), place)
            cast("ast.Attribute", before).ctx = ast.Load()
            if emit.said_since(0, owner):
                before = emit.keep(before, where, 0)
            done = ast.Assign([place], ast.copy_location(ast.BinOp(before, each.op, value), each))
        items.append(Piece(self.frame, owner, (ast.copy_location(done, each),)))
        return self._linked(items, after)

    def _returned(self, each: ast.Return, around: Block) -> Target:
        exits, value = self.exits, each.value
        if value is None:
            return exits.pick(None)
        if (call := self.script(value)) is not None:
            return self._called(call, exits)
        negated = value.operand if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not) else value
        if (call := self.script(negated)) is not None:
            return self._called(call, Exits(lambda one: exits.pick(not one)))
        constant = self._constant(value)
        if constant is not MISSING:
            self._see_return(value, literal(constant))
            return exits.pick(constant)
        kind = self.crossing.types(around.context).of(value)
        values = finite(kind)
        if values is None:
            text = f"`{ast.unparse(value)}` names no exit: it is {named(kind)}"
            hint = "return a bool, a member of an enum, a literal or None; or what an operation with such a type returns"
            raise self.crossing.trouble(value, "AMC310", text, hint)
        self._see_return(value, kind)
        if kind is bool:
            return self._decided(value, exits.pick(True), exits.pick(False), around)  # noqa: FBT003
        return self._by_value(value, values, exits, around)

    def _constant(self, value: ast.expr) -> Any:
        """What a returned expression always is; `MISSING` if a role decides that."""
        if root_of(value) in {*self.roles, *self.subject.variables}:
            return MISSING
        constant = self.source.meaning(value)
        return constant if constant is None or finite_value(constant) else MISSING

    def _see_return(self, value: ast.expr, kind: Any) -> None:
        promised = self.source.returns
        if promised is not MISSING and not fits(kind, promised):
            text = f"{self.source.name} says that it returns {named(promised)}, but this is {named(kind)}"
            self.crossing.told(value, "AMC309", text, "change the one or the other")

    def returned_by(self, value: ast.expr) -> tuple[tuple[object, ...], Subject | None]:
        """All that a returned expression may be; with the function whose values are returned, if it is one's."""
        negated = isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
        inner = value.operand if isinstance(value, ast.UnaryOp) and negated else value
        if (call := self.script(inner)) is not None:
            if negated:
                return (True, False), None
            return (), self.lowering.subject(self.lowering.script_of(self.source.meaning(call.func)))
        constant = self._constant(value)
        return (finite(self._type(value)) or ()) if constant is MISSING else (constant,), None


_TOO_DEEP = (
    "AMC304",
    "this is nested too deeply to be read",
    "let an operation of a role do it, or do it in several statements",
)

_NOWHERE = Exits(lambda _: Forward())

_REFUSED = {
    "For": "who would go through what? Write `while role.more():`, or let an operation of one role do it",
    "AsyncFor": "who would go through what? Write `while role.more():`, or let an operation of one role do it",
    "Try": "what fails ends the session; let an operation return what went wrong, and match that",
    "TryStar": "what fails ends the session; let an operation return what went wrong, and match that",
    "Raise": "return a value that says what went wrong: it names an exit",
    "Assert": "let a role decide: `if not role.fine(): return False`",
    "Import": "import it in the module",
    "ImportFrom": "import it in the module",
    "FunctionDef": "write it in the module; with @choreography if it is for several roles",
    "AsyncFunctionDef": "write it in the module; with @choreography if it is for several roles",
    "ClassDef": "write it in the module",
    "Delete": "let an operation of a role do it",
}


def finite_value(value: object) -> bool:
    """Whether a value can name an exit."""
    return finite(type(value)) is not None or isinstance(value, str | int | bytes)


def _target_name(target: ast.expr) -> str:
    if isinstance(target, ast.Attribute):
        return target.attr
    if isinstance(target, ast.Subscript):
        return _target_name(target.value)
    return target.id if isinstance(target, ast.Name) else ""
