"""Which role an expression belongs to, and what has to cross for it: every part that belongs to another role is a message.

It splits expressions, and sees that roles offer what is asked of them, with the types that they say. It makes no scenes.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import attrs

from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.functions.offers import (
    UNKNOWN,
    Offer,
    Types,
    fits,
    literal,
    members,
    named,
    offer_of,
)
from amachine.choreography.functions.sources import MISSING, Source, Trouble, bound_inside
from amachine.errors import nearest

__all__ = ["Context", "Crossing", "Emit", "Subject", "Teller", "Variable", "Where", "about", "root_of"]

NodeT = TypeVar("NodeT", bound=ast.AST)


@attrs.frozen
class Variable:
    """A name that a role gives to a value of its own."""

    home: str
    """The parameter that knows it."""
    type: Any


@attrs.define(eq=False)
class Subject:
    """A script function that was looked over: its roles, and the names that it gives to values."""

    source: Source
    roles: dict[str, type]
    variables: dict[str, Variable] = attrs.field(factory=dict[str, Variable])
    count: int = 0

    def fresh(self, home: str, kind: Any) -> str:
        """A name of our own, for a value on its way."""
        self.count += 1
        word = f".{self.count}"
        self.variables[word] = Variable(home, kind)
        return word


@attrs.frozen
class Context:
    """What is known where a statement stands."""

    carried: Mapping[str, frozenset[str]] = attrs.field(factory=dict[str, frozenset[str]])
    """By name, the roles that know the value beside its home: it came along with the choice."""
    types: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """By name, the types of what the patterns around it bind."""


@attrs.frozen
class Where:
    """Where an expression is evaluated."""

    at: str
    """The parameter that does."""
    context: Context
    about: str
    """The operation, or the data, that it is for."""
    inner: frozenset[str] = frozenset()
    """Names that the expression binds for itself."""
    lazy: bool = False
    """It may not be evaluated at all."""


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


Teller = Callable[[Diagnostic], None]


def root_of(expr: ast.expr) -> str | None:
    """The name that a chain of attributes, items and calls hangs on."""
    while True:
        match expr:
            case (
                ast.Attribute(value=inner)
                | ast.Subscript(value=inner)
                | ast.Call(func=inner)
                | ast.Await(value=inner)
            ):
                expr = inner
            case ast.Name(id=word):
                return word
            case _:
                return None


def about(expr: ast.AST, roles: Mapping[str, type]) -> str:
    """What an expression asks for: the first operation or data of a role that is in it."""
    for node in _in_order(expr):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in roles:
            return node.attr
    return ""


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


class Crossing:
    """Splits the expressions of one script function."""

    def __init__(self, subject: Subject, tell: Teller, is_script: Callable[[Any], bool]) -> None:
        self.subject = subject
        self.source = subject.source
        self.roles = subject.roles
        self._tell = tell
        self.wrong: set[int] = set()
        """The lines of which something was told."""
        self._is_script = is_script

    def told(self, node: ast.AST, code: str, text: str, hint: str = "", role: str | None = None) -> None:
        """Tell what is wrong with a part of the function."""
        place = self.source.place(node)
        self.wrong.add(place.line)
        self._tell(Diagnostic(code, text, role=role, hint=hint, place=place))

    def trouble(self, node: ast.AST, code: str, text: str, hint: str = "") -> Trouble:
        """Tell what is wrong with a statement that can then not be read. Returns what to raise."""
        self.told(node, code, text, hint)
        return Trouble()

    def types(self, context: Context) -> Types:
        """The types of expressions, where a statement stands."""
        known = {word: each.type for word, each in self.subject.variables.items()}
        return Types(self.source, self.roles, {**known, **context.types})

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
        inner |= bound_inside(expr) if isinstance(expr, _BINDING) else frozenset()
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
            return emit.take(home, expr, where)
        return self.rebuilt(expr, where, emit)

    def rebuilt(self, expr: ast.expr, where: Where, emit: Emit) -> ast.expr:
        """The same, of an expression that its role evaluates itself, or that is made of several roles' values."""
        match expr:
            case ast.Name():
                self._see_name(expr, where)
                return expr
            case ast.Attribute():
                self._see_attribute(expr, where)
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
                done = self.split(value, where, emit)
                return done if isinstance(done, ast.Await | ast.Name) else _like(ast.Await(done), expr)
            case ast.NamedExpr() | ast.Yield() | ast.YieldFrom():
                what = "an assignment inside of an expression" if isinstance(expr, ast.NamedExpr) else "yield"
                raise self.trouble(
                    expr, "AMC304", f"{what} is not part of the choreography subset", _REFUSED_HINT
                )
            case ast.BoolOp(values=[first, *others]):
                later = attrs.evolve(where, lazy=True)
                parts = [self.split(first, where, emit), *(self.split(each, later, emit) for each in others)]
                return _like(ast.BoolOp(expr.op, parts), expr)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                later = attrs.evolve(where, lazy=True)
                test = self.split(test, where, emit)
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
        if self._is_script(meaning):
            text = f"what {ast.unparse(expr.func)} returns is no value that a role has"
            hint = "branch on it: `if …(…):`, `match …(…):`, or `return …(…)`"
            raise self.trouble(expr, "AMC311", text, hint)
        offer, name = None, where.about
        if isinstance(expr.func, ast.Attribute):
            self._see_attribute(expr.func, where)
            offer = self.types(where.context).offer(expr.func)
            name = expr.func.attr if root_of(expr.func) in self.roles else where.about
        if offer is not None:
            self._see_call(expr, offer, where)
        func = expr.func
        if isinstance(func, ast.Attribute):
            if not (isinstance(func.value, ast.Name) and func.value.id in self.roles):
                func = self._mapped(func, where, emit)
        else:
            func = self.split(func, where, emit)
        inside = attrs.evolve(where, about=name)
        call = self._mapped(_like(ast.Call(ast.Constant(None), expr.args, expr.keywords), expr), inside, emit)
        cast("ast.Call", call).func = func
        if offer is None or not offer.waits:
            return call
        if where.inner:
            raise self.trouble(expr, "AMC304", "waiting inside of a comprehension or lambda", _REFUSED_HINT)
        return _like(ast.Await(call), expr)

    # What is asked for, and with which types.

    def _see_name(self, expr: ast.Name, where: Where) -> None:
        word = expr.id
        if word in where.inner or word in self.roles or word in self.subject.variables:
            return
        if word in self.source.function.__code__.co_varnames:
            return  # what is wrong with the statement that gives it a value is told there
        if self.source.lookup(word) is MISSING:
            near = nearest(word, [*self.subject.variables, *self.source.known()])
            self.told(expr, "AMC312", f"{word} means nothing here{near}", "define or import it in the module")

    def _see_attribute(self, expr: ast.Attribute, where: Where) -> None:
        """See that what is asked for is offered."""
        if (
            isinstance(expr.value, ast.Name)
            and expr.value.id in self.roles
            and expr.value.id not in where.inner
        ):
            role = expr.value.id
            if expr.attr not in members(self.roles[role]):
                self._not_offered(expr, self.roles[role], role)
            return
        owner = self.types(where.context).of(expr.value)
        if not isinstance(owner, type) or hasattr(owner, "__getattr__"):
            return
        if expr.attr not in members(owner) and not hasattr(owner, expr.attr):
            self._not_offered(expr, owner, None)

    def _not_offered(self, expr: ast.Attribute, cls: type, role: str | None) -> None:
        what = cls.__name__ if role is None else f"{role}, a {cls.__name__},"
        text = f"{what} offers no {expr.attr!r}{nearest(expr.attr, members(cls))}"
        hint = f"it offers: {', '.join(sorted(members(cls))) or 'nothing'}"
        if expr.attr in getattr(getattr(getattr(cls, "__init__", None), "__code__", None), "co_names", ()):
            hint = f"what `__init__` assigns has no type that could be seen: declare it in the class, `{expr.attr}: …`"
        self.told(expr, "AMC308", text, hint, role)

    def _see_call(self, expr: ast.Call, offer: Offer, where: Where) -> None:
        """See that an operation is called with what it takes."""
        text = ast.unparse(expr.func)
        if offer.signature is None:
            if isinstance(offer.type, type) and not any(
                "__call__" in vars(each) for each in offer.type.__mro__
            ):
                self.told(
                    expr,
                    "AMC309",
                    f"{text} is data, {named(offer.type)}, and cannot be called",
                    f"write `{text}`",
                )
            return
        if any(isinstance(each, ast.Starred) for each in expr.args) or any(
            each.arg is None for each in expr.keywords
        ):
            return
        keywords = {each.arg: each.value for each in expr.keywords if each.arg is not None}
        try:
            bound = offer.signature.bind(*expr.args, **keywords)
        except TypeError as error:
            hint = f"it is declared as `{text.rpartition('.')[2]}{offer.signature}`"
            self.told(expr, "AMC309", f"{text}: {error}", hint)
            return
        types = self.types(where.context)
        for word, value in bound.arguments.items():
            if isinstance(value, ast.expr):
                self._see_argument(
                    value, types.of(value), offer.hints.get(word, UNKNOWN), f"{text}: {word!r}"
                )

    def _see_argument(self, expr: ast.expr, kind: Any, wanted: Any, what: str) -> None:
        if isinstance(expr, ast.Constant):
            kind = literal(expr.value)
        if not fits(kind, wanted):
            text = f"{what} is {named(wanted)}, but {ast.unparse(expr)} is {named(kind)}"
            self.told(expr, "AMC309", text, "send what is asked for, or change the annotation")

    def see_target(self, target: ast.expr, value: ast.expr, context: Context) -> None:
        """See that what is assigned to may be, and that the value fits."""
        if not isinstance(target, ast.Attribute):
            return
        offer = self.types(context).offer(target)
        if offer is None:
            return
        text = ast.unparse(target)
        if offer.signature is not None:
            self.told(target, "AMC309", f"{text} is an operation: it cannot be set", f"call it: `{text}(…)`")
        elif not offer.settable:
            self.told(
                target, "AMC309", f"{text} can only be read", "declare it without property, Final or ClassVar"
            )
        else:
            self._see_argument(value, self.types(context).of(value), offer.type, text)

    def misfits(self, cls: type, wanted: type) -> str:
        """What a class lacks to play a role that asks for another, or nothing."""
        if not getattr(wanted, "_is_protocol", False):
            return "" if fits(cls, wanted) else f"is no {wanted.__name__}"
        if missing := sorted(members(wanted) - members(cls)):
            return f"lacks {', '.join(missing)}"
        for name in sorted(members(wanted)):
            mine, theirs = offer_of(cls, name), offer_of(wanted, name)
            if mine is None or theirs is None:
                continue
            if (mine.signature is None) != (theirs.signature is None):
                return f"has {name}, but as {'data' if mine.signature is None else 'an operation'}"
            if not fits(mine.type, theirs.type):
                return f"has {name}, but as {named(mine.type)}, not {named(theirs.type)}"
            if theirs.settable and not mine.settable:
                return f"has {name}, but it can only be read"
            if mine.waits != theirs.waits and theirs.signature is not None:
                return f"has {name}, but it {'has to be' if mine.waits else 'is not'} awaited"
        return ""


_BINDING = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

_REFUSED_HINT = "let an operation of a role do it"


def _like(new: ast.expr, old: ast.expr) -> ast.expr:
    return ast.copy_location(new, old)
