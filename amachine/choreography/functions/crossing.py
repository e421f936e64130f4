"""Which role an expression belongs to, and what has to cross for it: every part that belongs to another role is a message.

It splits expressions; whether roles offer what is asked of them, `asking` sees. It makes no scenes.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import attrs

from amachine.choreography.functions.asking import Asking
from amachine.choreography.functions.giving import classes_of
from amachine.choreography.functions.sources import BINDING, MISSING, bound_inside
from amachine.choreography.functions.subjects import Context, Use, Where, root_of

__all__ = ["Crossing", "Emit"]

NodeT = TypeVar("NodeT", bound=ast.AST)


class Emit:
    """Takes care of the parts that belong to other roles: `take` gets whose, the part, and where it is needed.

    It returns what stands for the part. This one only looks; what sends also knows what was said already.
    """

    def __init__(self, take: Callable[[str, ast.expr, Where], ast.expr]) -> None:
        self.take = take

    def mark(self) -> int:
        """How much was said so far."""
        return 0

    def said_since(self, mark: int, role: str) -> bool:  # noqa: ARG002  - of those that send
        """Whether a role had to do something to say what was said since."""
        return False

    def keep(self, expr: ast.expr, where: Where, mark: int) -> ast.expr:  # noqa: ARG002  - of those that send
        """Let its role evaluate something as early as then. Returns what stands for the value."""
        return expr


class Crossing(Asking):
    """Splits the expressions of one script function."""

    # Whose it is.

    def homes(self, expr: ast.AST, context: Context, at: str | None = None) -> dict[str, None]:
        """The roles whose data an expression reads or whose operations it calls, as needed by one of them."""
        return self._homes(expr, context, at, frozenset())

    def _homes(
        self, expr: ast.AST, context: Context, at: str | None, inner: frozenset[str]
    ) -> dict[str, None]:
        if isinstance(expr, ast.Name):
            if expr.id in inner:
                return {}
            if expr.id in self.roles:
                return {expr.id: None}
            variable = self.subject.variables.get(expr.id)
            if variable is None:
                return {}
            here = at is not None and at in context.carried.get(expr.id, ())
            return {at if here and at is not None else variable.home: None}
        if isinstance(expr, ast.expr):
            root = root_of(expr)
            if root in self.roles and root not in inner:
                return {root: None}
        inner |= bound_inside(expr) if isinstance(expr, BINDING) else frozenset()
        found: dict[str, None] = {}
        for child in ast.iter_child_nodes(expr):
            found |= self._homes(child, context, at, inner)
        return found

    # What crosses.

    def split(self, expr: ast.expr, where: Where, emit: Emit) -> ast.expr:
        """The expression as its role evaluates it; what belongs to others goes to `emit`."""
        if isinstance(expr, ast.Name) and expr.id in self.roles and expr.id not in where.inner:
            hint = f"send something that it offers, as in `{expr.id}.…`"
            raise self.trouble(
                expr, "AMC306", f"{expr.id} is a role, and no value that can be sent or kept", hint
            )
        homes = self._homes(expr, where.context, where.at, where.inner)
        if len(homes) == 1 and where.at not in homes:
            (home,) = homes
            if where.lazy:
                hint = f"let {where.at} have it before, in a statement of its own, or decide with `if`"
                text = f"{ast.unparse(expr)} would have to come from {home}, but it is not always evaluated"
                raise self.trouble(expr, "AMC306", text, hint)
            return emit.take(home, expr, attrs.evolve(where, use=""))
        return self.rebuilt(expr, where, emit)

    def rebuilt(self, expr: ast.expr, where: Where, emit: Emit) -> ast.expr:
        """The same, of an expression that its role evaluates itself, or that is made of several roles' values."""
        use, where = where.use, attrs.evolve(where, use="")
        if use != "handed over" and isinstance(getattr(expr, "ctx", None), ast.Load):
            self.see_no_operation(expr, where)
        new = self._rebuilt(expr, where, emit, use)
        if use == "decides" and isinstance(expr, _GIVEN):
            return self._deciding(new, expr, where)
        return self._plain(new, expr, where) if isinstance(new, ast.Call) and use != "awaited" else new

    def _rebuilt(self, expr: ast.expr, where: Where, emit: Emit, use: Use) -> ast.expr:
        deciding: Use = "decides" if use == "decides" else ""
        match expr:
            case ast.Name():
                self.see_name(expr, where)
                return expr
            case ast.Attribute():
                self.see_attribute(expr, where)
                if isinstance(expr.value, ast.Name) and expr.value.id in self.roles:
                    return expr
                return self._mapped(expr, where, emit)
            case ast.Call():
                return self._call(expr, where, emit)
            case ast.Await(value=value):
                if where.inner:
                    raise self.trouble(
                        expr, "AMC304", "await inside of a comprehension or lambda", _REFUSED_HINT
                    )
                done = self.split(value, attrs.evolve(where, use="awaited"), emit)
                return done if isinstance(done, ast.Await | ast.Name) else _like(ast.Await(done), expr)
            case ast.NamedExpr() | ast.Yield() | ast.YieldFrom():
                what = "an assignment inside of an expression" if isinstance(expr, ast.NamedExpr) else "yield"
                raise self.trouble(
                    expr, "AMC304", f"{what} is not part of the choreography subset", _REFUSED_HINT
                )
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                decided = self.split(operand, attrs.evolve(where, use="decides"), emit)
                return _like(ast.UnaryOp(expr.op, decided), expr)
            case ast.BoolOp(values=[first, *others]):
                now, later = attrs.evolve(where, use=deciding), attrs.evolve(where, use=deciding, lazy=True)
                parts = [self.split(first, now, emit), *(self.split(each, later, emit) for each in others)]
                return _like(ast.BoolOp(expr.op, parts), expr)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                later = attrs.evolve(where, use=deciding, lazy=True)
                test = self.split(test, attrs.evolve(where, use="decides"), emit)
                parts = [self.split(each, later, emit) for each in (body, orelse)]
                return _like(ast.IfExp(test, *parts), expr)
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                inner = where.inner | bound_inside(expr)
                return self._mapped(expr, attrs.evolve(where, inner=inner, lazy=True), emit)
            case _:
                return self._mapped(expr, where, emit)

    def _mapped(self, node: NodeT, where: Where, emit: Emit) -> NodeT:
        """A copy, with all expressions in it split; they are evaluated in Python's order."""
        new = copy.copy(node)
        fields: list[tuple[str, list[Any]]] = []
        marks: list[tuple[list[Any], int]] = []
        for field, value in ast.iter_fields(node):
            parts: list[Any] = []
            fields.append((field, parts))
            several: list[Any] = value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]
            for each in several:
                # How a value is formatted is a string that stays one.
                is_format = field == "format_spec" and isinstance(each, ast.JoinedStr)
                parts.append((self._mapped if is_format else self._part)(each, where, emit))
                marks.append((parts, emit.mark()))
        at: dict[int, int] = {id(parts): len(parts) for _, parts in fields}
        for parts, mark in reversed(marks):
            at[id(parts)] -= 1
            parts[at[id(parts)]] = self._kept(parts[at[id(parts)]], where, emit, mark)
        for field, parts in fields:
            setattr(new, field, parts if isinstance(getattr(node, field), list) else parts[0])
        return new

    def _kept(self, part: Any, where: Where, emit: Emit, mark: int) -> Any:
        """A part, evaluated before its role does what it has to for a part behind it."""
        if isinstance(part, ast.keyword | ast.FormattedValue):
            part.value = self._kept(part.value, where, emit, mark)
        elif isinstance(part, ast.expr) and not isinstance(part, ast.Starred) and not where.lazy:
            reads = any(isinstance(each, ast.Name) and each.id == where.at for each in ast.walk(part))
            if reads and emit.said_since(mark, where.at):
                return emit.keep(part, where, mark)
        return part

    def _part(self, part: Any, where: Where, emit: Emit) -> Any:
        if isinstance(part, ast.expr) and not isinstance(getattr(part, "ctx", None), ast.Store):
            if isinstance(part, ast.Starred | ast.Slice | ast.FormattedValue):
                return self._mapped(part, where, emit)
            return self.split(part, where, emit)
        return self._mapped(part, where, emit) if isinstance(part, ast.comprehension | ast.keyword) else part

    def _call(self, expr: ast.Call, where: Where, emit: Emit) -> ast.expr:
        meaning = MISSING if root_of(expr.func) in self.subject.variables else self.source.meaning(expr.func)
        if self.is_script(meaning):
            text = f"what {ast.unparse(expr.func)} returns is no value that a role has"
            hint = "branch on it: `if …(…):`, `match …(…):`, or `return …(…)`"
            raise self.trouble(expr, "AMC311", text, hint)
        offer, name = None, where.about
        if isinstance(expr.func, ast.Attribute):
            self.see_attribute(expr.func, where)
            offer = self.types(where.context).offer(expr.func)
            name = expr.func.attr if root_of(expr.func) in self.roles else where.about
        if offer is not None:
            self.see_call(expr, offer, where)
        func = expr.func
        if isinstance(func, ast.Attribute):
            if not (isinstance(func.value, ast.Name) and func.value.id in self.roles):
                func = self._mapped(func, where, emit)
        else:
            func = self.split(func, where, emit)
        inside = attrs.evolve(where, about=name, use="handed over")
        call = self._mapped(_like(ast.Call(ast.Constant(None), expr.args, expr.keywords), expr), inside, emit)
        cast("ast.Call", call).func = func
        if offer is None or not offer.waits:
            return call
        if where.inner:
            raise self.trouble(expr, "AMC304", "waiting inside of a comprehension or lambda", _REFUSED_HINT)
        return _like(ast.Await(call), expr)

    # What is looked at while it plays. All of it is code, so that what is as annotated costs no call.

    def _plain(self, call: ast.expr, expr: ast.expr, where: Where) -> ast.expr:
        """A call that is not awaited, with a look at whether that is right."""
        if self._is_pythons_own(expr):
            return call
        classes = classes_of(self.types(where.context).of(expr))
        if classes is None:
            return call
        if where.inner or len(classes) != 1:
            return _asked(".plain", call, expr)
        got = _like(ast.NamedExpr(ast.Name(".got", ast.Store()), call), expr)
        if classes[0] is type(None):
            test = _is(got, ast.Constant(None))
        else:
            of = ast.Attribute(got, "__class__", ast.Load())
            test = _is(of, ast.Name(self.subject.word_for(classes[0]), ast.Load()))
        value = ast.Name(".got", ast.Load())
        return _like(ast.IfExp(test, value, _asked(".plain", value, expr)), expr)

    def _deciding(self, value: ast.expr, expr: ast.expr, where: Where) -> ast.expr:
        """What decides, with a look at whether it is True or False, where the annotation says so."""
        if self.types(where.context).of(expr) is not bool or self._is_pythons_own(expr):
            is_call = isinstance(value, ast.Call)
            return self._plain(value, expr, where) if is_call else value
        if where.inner:
            return _asked(".decides", value, expr)
        got = _like(ast.NamedExpr(ast.Name(".got", ast.Store()), value), expr)
        again = ast.Name(".got", ast.Load())
        is_false = ast.Compare(again, [ast.IsNot()], [ast.Constant(value=False)])
        wrong = ast.BoolOp(ast.And(), [is_false, _asked(".decides", again, expr)])
        return _like(ast.BoolOp(ast.Or(), [_is(got, ast.Constant(value=True)), wrong]), expr)

    def _is_pythons_own(self, expr: ast.expr) -> bool:
        """Whether it calls a class, or a function of Python: what that gives is known."""
        if not isinstance(expr, ast.Call) or root_of(expr.func) in {*self.roles, *self.subject.variables}:
            return False
        function = self.source.meaning(expr.func)
        return isinstance(function, type) or inspect.isbuiltin(function)


_GIVEN = (ast.Name, ast.Attribute, ast.Call, ast.Await, ast.Subscript)
"""What may be of another class than its annotation says."""

_REFUSED_HINT = "let an operation of a role do it"


def _like(new: ast.expr, old: ast.expr) -> ast.expr:
    return ast.copy_location(new, old)


def _is(one: ast.expr, other: ast.expr) -> ast.expr:
    return ast.Compare(one, [ast.Is()], [other])


def _asked(helper: str, value: ast.expr, expr: ast.expr) -> ast.expr:
    """What a helper makes of a value that came of this part of the script."""
    call = expr.value if isinstance(expr, ast.Await) else expr
    text = f"{ast.unparse(call.func)}()" if isinstance(call, ast.Call) else ast.unparse(call)
    return ast.Call(ast.Name(helper, ast.Load()), [value, ast.Constant(text)], [])
