"""What a role of a script function says and does: messages, its own work, and the calls of other choreographies.

It makes nodes of the graph, one inlined call at a time. It reads no statements, and compiles nothing.
"""

from __future__ import annotations

import ast
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from amachine.choreography.functions.casting import cast_of
from amachine.choreography.functions.crossing import Crossing, Emit
from amachine.choreography.functions.flow import Choose, Edge, Exits, Frame, Node, Piece, Site, Target, Work
from amachine.choreography.functions.kinds import UNKNOWN, admits_none
from amachine.choreography.functions.sources import Source, Trouble
from amachine.choreography.functions.subjects import Context, Subject, Where, about, root_of, words_in

if TYPE_CHECKING:
    from amachine.choreography.functions.lowering import Lowering

__all__ = ["Block", "Item", "Message", "Speaking"]

BRANCH_ON_IT = "branch on it by itself: `if …(…):`, `match …(…):`, or `return …(…)`"

DONE = "done"
"""The label of a scene in which a role only works by itself."""


@attrs.frozen
class Block:
    """What surrounds a statement."""

    context: Context = attrs.field(factory=Context)
    leave: Target | None = None
    """Where `break` goes."""
    again: Target | None = None
    """Where `continue` goes."""


@attrs.frozen(eq=False)
class Message:
    """A value that crosses, in the order in which it does."""

    site: Site
    home: str
    to: str
    value: ast.expr
    variable: str
    type: Any
    label: str
    names: tuple[str, ...] = ()


Item: TypeAlias = Message | Piece


class Speaking:
    """One inlined call of a script function: what makes its nodes."""

    def __init__(self, lowering: Lowering, subject: Subject, frame: Frame, exits: Exits) -> None:
        self.lowering = lowering
        self.subject = subject
        self.source: Source = subject.source
        self.roles: dict[str, type] = subject.roles
        self.frame = frame
        self.exits = exits
        self.crossing: Crossing = Crossing(subject, lowering.tell, lowering.is_script)
        self._sites: dict[int, int] = {}

    def _type(self, expr: ast.expr) -> Any:
        return self.crossing.types(Context()).of(expr)

    def _where(self, at: str, around: Block, name: str) -> Where:
        return Where(at, around.context, name)

    def _emitter(self, items: list[Item]) -> Emit:
        """What makes messages of the parts that belong to others."""

        def take(home: str, expr: ast.expr, where: Where) -> ast.expr:
            value = self.crossing.split(expr, attrs.evolve(where, at=home), emit)
            kind = self.crossing.types(where.context).of(expr)
            return self._send(items, expr, home, where.at, value, kind, where.about)

        emit = _Sending(self, items, take)
        return emit

    def made(self, role: str, value: ast.expr, kind: Any) -> tuple[Piece, ast.expr]:
        """What lets a role evaluate something for later, and what then stands for the value."""
        word = self.subject.fresh(role, kind)
        statement = ast.copy_location(ast.Assign([ast.Name(word, ast.Store())], value), value)
        return Piece(self.frame, role, (statement,)), ast.copy_location(ast.Name(word, ast.Load()), value)

    def _send(
        self, items: list[Item], expr: ast.expr, home: str, to: str, value: ast.expr, kind: Any, label: str
    ) -> ast.expr:
        text = ast.unparse(expr)
        if kind is UNKNOWN and self.source.place(expr).line in self.crossing.wrong:
            pass  # what is wrong with it is told
        elif kind is UNKNOWN:
            hint = f"annotate it in the class of {home}, or let an operation of {home} give it"
            self.crossing.told(
                expr, "AMC305", f"{home} sends {text} to {to}, of which no annotation tells the type", hint
            )
        elif kind is type(None):
            hint = "let it return something, or call it in a statement of its own"
            self.crossing.told(expr, "AMC305", f"{text} gives {to} nothing that could be sent", hint)
        name = about(expr, self.roles) or label
        variable = self.subject.fresh(to, kind)
        site = self._site(expr, name, home, to)
        parameter = self.crossing.parameters.get(expr)
        names = words_in(expr, self.roles) + ((parameter,) if parameter else ())
        items.append(Message(site, home, to, value, variable, kind, label or name, names))
        return ast.copy_location(ast.Name(variable, ast.Load()), expr)

    def _site(self, node: ast.AST, name: str, sender: str, *receivers: str) -> Site:
        number = self._sites[id(node)] = self._sites.get(id(node), -1) + 1
        return Site(self.source, node, number, name or "says", sender, receivers)

    def _linked(self, items: Sequence[Item], after: Target) -> Target:
        for item in reversed(items):
            if isinstance(item, Message):
                edge = Edge(item.label, after, item.site.place, names=item.names, value=item.value)
                self._tell(edge, item.to, [item.variable], [item.type], item.label)
                after = self._node(item.site, item.home, {item.label: edge}, _only(item.label))
            else:
                (statement, *_) = item.body
                site = self._site(statement, about(statement, self.roles) or "work", item.role)
                edge = Edge(DONE, after, site.place)
                after = Node(site, self.frame.roles[item.role], self.frame, {DONE: edge}, before=[item])
        return after

    def _node(
        self,
        site: Site,
        role: str,
        edges: dict[str, Edge],
        choose: Choose,
        binding: Mapping[str, tuple[str, ...]] | None = None,
        helpers: Mapping[str, Any] | None = None,
    ) -> Node:
        work = Work(self.frame, role, choose, binding or {}, helpers or {})
        return Node(site, self.frame.roles[role], self.frame, edges, work)

    def _tell(self, edge: Edge, to: str, names: Sequence[str], kinds: Sequence[Any], title: str) -> None:
        """Let a branch carry values to a role: one as it is, several, or one that may be None, as a tuple with names."""
        edge.to, edge.receiver, edge.binding = self.frame.roles[to], to, tuple(names)
        edge.payload = kinds[0]
        if len(names) > 1 or admits_none(kinds[0]):
            words = ["value"] if len(names) == 1 else list(names)
            edge.pack = _pack(title, words, kinds, self.source)

    def _owner(self, expr: ast.expr, around: Block, code: str, does: str) -> str:
        """The one role that an expression belongs to. Errors: `Trouble`."""
        root = root_of(expr)
        if root in self.roles:
            return root
        homes = list(self.crossing.homes(expr, around.context))
        for home in homes:
            at_home = self.crossing.homes(expr, around.context, home)
            if list(at_home) == [home]:
                return home
        self.see_no_script(expr)
        text = ast.unparse(expr)
        if not homes:
            hint = "let a role do it: call one of its operations"
            raise self.crossing.trouble(expr, code, f"no role {does}: `{text}` reads nothing of any", hint)
        said = f"one role {does}, but `{text}` reads {' and '.join(homes)}"
        if code == "AMC302":
            said = f"a decision must belong to one role, this one reads {' and '.join(homes)}"
        first, *others = homes
        hint = f"let one of them decide, as in `{first}.decide({others[0]}.…)`, or nest two ifs"
        raise self.crossing.trouble(
            expr, code, said, hint if code == "AMC302" else f"call an operation of {first}"
        )

    def see_no_script(self, expr: ast.expr) -> None:
        """Errors: `Trouble` (AMC311), where what a choreography returns is part of an expression."""
        for each in ast.walk(expr):
            if isinstance(each, ast.Call) and self.script(each) is not None:
                text = f"what {ast.unparse(each.func)} returns is no value that a role has"
                raise self.crossing.trouble(each, "AMC311", text, BRANCH_ON_IT)

    def script(self, expr: ast.expr) -> ast.Call | None:
        """The call of a choreography that an expression is, if it is one."""
        call = expr.value if isinstance(expr, ast.Await) else expr
        if not isinstance(call, ast.Call) or root_of(call.func) in {*self.roles, *self.subject.variables}:
            return None
        return call if self.lowering.is_script(self.source.meaning(call.func)) else None

    def _called(self, call: ast.Call, exits: Exits) -> Target:
        function = self.lowering.script_of(self.source.meaning(call.func))
        subject = self.lowering.subject(function)
        if subject is None:
            raise Trouble
        roles = cast_of(call, subject, self.crossing)
        cast = tuple(self.frame.roles[each] for each in roles)

        def recursion() -> Trouble:
            text = (
                f"{subject.source.name} calls itself, and something comes after: recursion that is not a loop"
            )
            hint = "let the call be the last thing that is done, or write a `while`"
            return self.crossing.trouble(call, "AMC301", text, hint)

        return self.lowering.inline(subject, cast, exits, recursion)


class _Sending(Emit):
    """Collects messages, and knows who had to do something for them."""

    def __init__(
        self, body: Speaking, items: list[Item], take: Callable[[str, ast.expr, Where], ast.expr]
    ) -> None:
        super().__init__(take)
        self.body = body
        self.items = items

    def mark(self) -> int:
        return len(self.items)

    def said_since(self, mark: int, role: str) -> bool:
        return any(
            (each.home if isinstance(each, Message) else each.role) == role for each in self.items[mark:]
        )

    def keep(self, expr: ast.expr, where: Where, mark: int) -> ast.expr:
        piece, value = self.body.made(where.at, expr, UNKNOWN)
        self.items.insert(mark, piece)
        return value


def _only(label: str) -> Choose:
    return lambda done: done(label)


def _pack(title: str, words: Sequence[str], kinds: Sequence[Any], source: Source) -> type:
    """The class of tuples with these fields, as if it were defined in the function."""
    module = source.function.__module__
    tuples: Any = namedtuple  # noqa: PYI024  - the fields are known only now
    made = tuples(title, words, module=module, rename=True)
    made.__qualname__ = f"{source.function.__qualname__}.{title}"
    made.__annotations__ = dict(zip(made._fields, kinds, strict=True))
    found: type = made
    return found
