"""Whether roles offer what a script function asks of them, and take what it gives them, by the types that they say.

What is wrong is told; nothing is read otherwise because of it.
"""

from __future__ import annotations

import ast
import collections.abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_origin

from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.functions.expressions import Types
from amachine.choreography.functions.kinds import UNKNOWN, fits, literal, named, options
from amachine.choreography.functions.offers import Offer, members, offer_of
from amachine.choreography.functions.sources import MISSING, Trouble
from amachine.choreography.functions.subjects import root_of
from amachine.errors import nearest

if TYPE_CHECKING:
    from inspect import Signature

    from amachine.choreography.functions.sources import Source
    from amachine.choreography.functions.subjects import Context, Subject, Where

__all__ = ["Asking", "Teller"]

Teller = Callable[[Diagnostic], None]

_CALLABLE: Any = collections.abc.Callable


class Asking:
    """Looks at what the expressions of one script function ask for."""

    def __init__(self, subject: Subject, tell: Teller, is_script: Callable[[Any], bool]) -> None:
        self.subject = subject
        self.source: Source = subject.source
        self.roles: dict[str, type] = subject.roles
        self._tell = tell
        self.wrong: set[int] = set()
        """The lines of which something was told."""
        self.is_script = is_script
        self.parameters: dict[ast.AST, str] = {}
        """By an argument, and by all that is in it, the name of the parameter that gets it."""

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

    # What is asked for, and with which types.

    def see_name(self, expr: ast.Name, where: Where) -> None:
        """See that a name means something."""
        word = expr.id
        if word in where.inner or word in self.roles or word in self.subject.variables:
            return
        if word in self.source.function.__code__.co_varnames:
            return  # what is wrong with the statement that gives it a value is told there
        if self.source.lookup(word) is MISSING:
            near = nearest(word, [*self.subject.variables, *self.source.known()])
            self.told(expr, "AMC312", f"{word} means nothing here{near}", "define or import it in the module")

    def see_attribute(self, expr: ast.Attribute, where: Where) -> None:
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

    def see_no_operation(self, expr: ast.expr, where: Where) -> bool:
        """See that it is no operation, as what is not called must not be. Returns whether it is one, and that was told."""
        signature = self._operation(expr, where)
        if signature is None:
            return False
        text = ast.unparse(expr)
        takes = any(each.default is each.empty for each in signature.parameters.values())
        hint = f"call it: `{text}({'…' if takes else ''})`"
        self.told(expr, "AMC309", f"{text} is an operation, and no value", hint)
        return True

    def _operation(self, expr: ast.expr, where: Where) -> Signature | None:
        """What an operation takes; None for all else."""
        if not isinstance(expr, ast.Attribute) or root_of(expr) in where.inner:
            return None
        offer = self.types(where.context).offer(expr)
        return None if offer is None else offer.signature

    def _not_offered(self, expr: ast.Attribute, cls: type, role: str | None) -> None:
        what = cls.__name__ if role is None else f"{role}, a {cls.__name__},"
        text = f"{what} offers no {expr.attr!r}{nearest(expr.attr, members(cls))}"
        hint = f"it offers: {', '.join(sorted(members(cls))) or 'nothing'}"
        if expr.attr in getattr(getattr(getattr(cls, "__init__", None), "__code__", None), "co_names", ()):
            hint = f"what `__init__` assigns has no type that could be seen: declare it in the class, `{expr.attr}: …`"
        self.told(expr, "AMC308", text, hint, role)

    def see_call(self, expr: ast.Call, offer: Offer, where: Where) -> None:
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
                self.parameters.update((each, word) for each in ast.walk(value))
                wanted = offer.hints.get(word, UNKNOWN)
                self._see_argument(value, types.of(value), wanted, f"{text}: {word!r}", where)

    def _see_argument(self, expr: ast.expr, kind: Any, wanted: Any, what: str, where: Where) -> None:
        if self._operation(expr, where) is not None:
            if not fits(_CALLABLE, wanted):
                self.see_no_operation(expr, where)
            return
        if isinstance(expr, ast.Constant):
            kind = literal(expr.value)
        if fits(kind, wanted):
            return
        text = f"{what} is {named(wanted)}, but {ast.unparse(expr)} is {named(kind)}"
        hint = "send what is asked for, or change the annotation"
        self.told(expr, "AMC309", text, _narrowing(ast.unparse(expr), kind, wanted) or hint)

    def see_target(self, target: ast.expr, value: ast.expr, where: Where) -> None:
        """See that what is assigned to may be, and that the value fits."""
        if not isinstance(target, ast.Attribute):
            return
        types = self.types(where.context)
        offer = types.offer(target)
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
            self._see_argument(value, types.of(value), offer.type, text, where)

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


def _narrowing(text: str, kind: Any, wanted: Any) -> str:
    """How a value is sent that only may have the type that is asked for; nothing where none of its types is that."""
    for each in options(kind):
        cls = get_origin(each) or each
        if isinstance(cls, type) and each is not UNKNOWN and fits(each, wanted):
            others = [other for other in options(kind) if other is not each]
            rest = "None" if others == [type(None)] else "_"
            cases = f"`match {text}:`, `case {cls.__name__}() as n: …`, `case {rest}: …`"
            return f"an `if` does not narrow it, a `match` does: {cases}"
    return ""
