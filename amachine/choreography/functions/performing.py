"""What roles do in the scenes of a script function: the user's own expressions, compiled where they stand.

The code runs with the globals and the closure of the user's function, under its file name, name and line numbers, so that a
traceback shows what the user wrote. Nothing else is ever compiled here, and nothing is run while compiling.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import CellType, CodeType, FunctionType
from typing import Any, cast

import attrs

from amachine.choreography.acting import Act, Answer
from amachine.choreography.functions.flow import Edge, Frame, Node, Piece, Work, assigned
from amachine.choreography.functions.giving import HELPERS
from amachine.choreography.functions.sources import bound_inside
from amachine.choreography.functions.wording import put_together, put_words_to

__all__ = ["Performing", "Routine", "name", "own_pieces", "waits"]


def name(word: str) -> ast.Name:
    """A name that is read."""
    return ast.Name(word, ast.Load())


def waits(nodes: Iterable[ast.AST]) -> bool:
    """Whether something in there is awaited."""
    return any(isinstance(each, ast.Await) for node in nodes for each in ast.walk(node))


@attrs.define(eq=False)
class Routine:
    """One function in the making: what one role does in one scene, of one script function."""

    frame: Frame
    role: str
    entry: tuple[str, ...] = ()
    edge: Edge | None = None
    """The branch that is heard, if one is."""
    pieces: list[Piece] = attrs.field(factory=list[Piece])
    work: Work | None = None
    node: Node | None = None

    @property
    def player(self) -> str:
        """The role of the whole."""
        return self.frame.roles[self.role]

    def statements(self, keep: Callable[[str], bool]) -> list[ast.stmt]:
        """The body, in which values that other scenes need are kept."""
        body = [*self._stored(self.entry, keep)]
        for piece in self.pieces:
            body += self._performed(piece, keep)
        if self.work is not None:
            body += self.work.choose(lambda label: self._chosen(label, keep))
        return body or [ast.Pass()]

    def _performed(self, piece: Piece, keep: Callable[[str], bool]) -> Iterator[ast.stmt]:
        for each in piece.body:
            yield each
            yield from self._stored(assigned(each), keep)

    def _stored(self, names: Iterable[str], keep: Callable[[str], bool]) -> Iterator[ast.stmt]:
        for word in names:
            if keep(word):
                target = ast.Subscript(name(".kept"), ast.Constant(self.frame.key(word)), ast.Store())
                yield ast.Assign([target], name(word))

    def _chosen(self, label: str, keep: Callable[[str], bool]) -> list[ast.stmt]:
        """What is done for a branch: the value is settled before anything else happens."""
        node, work = cast("Node", self.node), cast("Work", self.work)
        edge = node.edges[label]
        body = [*self._stored(work.binding.get(label, ()), keep)]
        mine = own_pieces(edge.after, self.frame)
        value = edge.value
        if value is None:
            pair: Any = (label, None)
            answer: ast.expr = ast.Constant(pair)
        else:
            if edge.pack is not None:
                parts = value.elts if isinstance(value, ast.Tuple) and len(edge.binding) > 1 else [value]
                value = ast.Call(name(f".pack {label}"), parts, [])
            if mine:
                body.append(ast.Assign([ast.Name(".answer", ast.Store())], value))
                value = name(".answer")
            answer = ast.Tuple([ast.Constant(label), value], ast.Load())
        for piece in mine:
            body += self._performed(piece, keep)
        return [*body, ast.Return(answer)]

    def free(self) -> set[str]:
        """The variables that it needs from earlier scenes."""
        return _free(self.statements(lambda _: False), set(self.entry), self.frame.variables)

    def gives(self) -> set[str]:
        """The variables that have a value when it is done, whatever it chooses."""
        return {*self.entry, *(word for piece in self.pieces for word in piece.words())}


def own_pieces(pieces: Sequence[Piece], frame: Frame) -> list[Piece]:
    """Those at the beginning that belong to one frame."""
    found: list[Piece] = []
    for piece in pieces:
        if piece.frame is not frame:
            break
        found.append(piece)
    return found


def _free(statements: Iterable[ast.AST], bound: set[str], variables: Mapping[str, Any]) -> set[str]:
    """The variables that are read in statements before they are bound there."""
    found: set[str] = set()
    for each in statements:
        match each:
            case ast.Match(subject=subject, cases=cases):
                found |= _free([subject], bound, variables)
                for case in cases:
                    inside = bound | {word for node in ast.walk(case.pattern) if (word := _bound_by(node))}
                    parts = [*([case.guard] if case.guard else ()), *case.body]
                    found |= _free([case.pattern, *parts], inside, variables)
            case ast.If(test=test, body=body, orelse=orelse):
                found |= _free([test], bound, variables)
                found |= _free(body, set(bound), variables) | _free(orelse, set(bound), variables)
            case _:
                found |= set(_reads(each, frozenset())) & set(variables) - bound
                if isinstance(each, ast.stmt):
                    bound.update(assigned(each))
    return found


def _reads(node: ast.AST, inner: frozenset[str]) -> Iterator[str]:
    """The names that are read in something, but for those that lambdas and comprehensions in it bind for themselves."""
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load) and node.id not in inner:
            yield node.id
        return
    outside: list[ast.AST] = []
    if isinstance(node, ast.Lambda):
        outside = [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        outside = [node.generators[0].iter]
    for each in outside:
        yield from _reads(each, inner)
    if outside or isinstance(node, ast.Lambda):
        inner |= bound_inside(node)
    for child in ast.iter_child_nodes(node):
        for each in ast.iter_child_nodes(child) if isinstance(child, ast.comprehension) else (child,):
            if each not in outside:
                yield from _reads(each, inner)


def _bound_by(node: ast.AST) -> str | None:
    if isinstance(node, ast.MatchAs | ast.MatchStar):
        return node.name
    return node.rest if isinstance(node, ast.MatchMapping) else None


class Performing:
    """Makes the acts of all scenes. Which values have to be kept shows when all of them are known."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._sending: dict[int, tuple[list[Routine], dict[str, list[Routine]]]] = {}
        self._hearing: dict[int, dict[str, list[Routine]]] = {}
        self._needed: set[tuple[str, str]] = set()
        for node in nodes:
            self._plan(node)
        self._keepers = frozenset(role for role, _ in self._needed)

    def _plan(self, node: Node) -> None:
        (label, *_) = node.edges
        work = node.work
        if work is None:
            last = node.before[-1]
            work = Work(last.frame, last.role, lambda done: done(label))
        sending = _routines(node.before)
        if not sending or sending[-1].frame is not work.frame or sending[-1].role != work.role:
            sending.append(Routine(work.frame, work.role))
        sending[-1].work, sending[-1].node = work, node
        then = {
            edge.label: _routines(edge.after[len(own_pieces(edge.after, work.frame)) :])
            for edge in node.edges.values()
        }
        heard = {
            edge.label: _hearing(node.frame, edge) for edge in node.edges.values() if edge.to is not None
        }
        self._sending[id(node)], self._hearing[id(node)] = (sending, then), heard
        for routine in (*sending, *_all(then), *_all(heard)):
            self._needed |= {(routine.player, routine.frame.key(word)) for word in routine.free()}

    def routines(
        self, node: Node
    ) -> tuple[list[Routine], dict[str, list[Routine]], dict[str, list[Routine]]]:
        """What its sender does until it has chosen; by label, what it does then, and what is done by who hears of it."""
        return *self._sending[id(node)], self._hearing[id(node)]

    def every(self) -> Iterator[Routine]:
        """What any role does in any scene."""
        for sending, then in self._sending.values():
            yield from (*sending, *_all(then))
        for heard in self._hearing.values():
            yield from _all(heard)

    def act(self, node: Node) -> Act:
        """What is done in the scene of a node."""
        sending, then = self._sending[id(node)]
        first = [self._compiled(each) for each in sending]
        after = {
            label: [self._compiled(each) for each in routines] for label, routines in then.items() if routines
        }
        on = {
            label: _one_after_another([self._compiled(each) for each in routines])
            for label, routines in self._hearing[id(node)].items()
        }
        return Act(_choosing(first, after), on, self._keepers)

    def _compiled(self, routine: Routine) -> Callable[..., Any]:
        frame = routine.frame

        def keep(word: str) -> bool:
            return (routine.player, frame.key(word)) in self._needed

        free = sorted(routine.free())
        body = routine.statements(keep)
        for word in reversed(free):
            stored = ast.Subscript(name(".kept"), ast.Constant(frame.key(word)), ast.Load())
            body.insert(0, ast.Assign([ast.Name(word, ast.Store())], stored))
        helpers: dict[str, Any] = {}
        parameters = [routine.role]
        if routine.edge is not None:
            parameters, body = _received(routine, routine.edge, body)
        if routine.player in self._keepers:
            parameters[0] = ".part"
            for word, part in ((".kept", "kept"), (routine.role, "me")):
                value = ast.Attribute(name(".part"), part, ast.Load())
                body.insert(0, ast.Assign([ast.Name(word, ast.Store())], value))
        if routine.work is not None and routine.node is not None:
            helpers |= routine.work.helpers
            packs = {edge.label: edge.pack for edge in routine.node.edges.values()}
            helpers |= {f".pack {label}": pack for label, pack in packs.items() if pack is not None}
        made = _function(frame, parameters, body, helpers)
        put_words_to(made, routine, body)
        return made


def _all(routines: Mapping[str, list[Routine]]) -> Iterator[Routine]:
    for each in routines.values():
        yield from each


def _routines(pieces: Iterable[Piece]) -> list[Routine]:
    """Pieces that follow one another in one frame are one function."""
    found: list[Routine] = []
    for piece in pieces:
        if not found or found[-1].frame is not piece.frame or found[-1].role != piece.role:
            found.append(Routine(piece.frame, piece.role))
        found[-1].pieces.append(piece)
    return found


def _hearing(frame: Frame, edge: Edge) -> list[Routine]:
    """What a receiver does: it takes what it got, and goes on."""
    mine = own_pieces(edge.heard, frame)
    first = Routine(frame, edge.receiver, entry=edge.binding, edge=edge, pieces=mine)
    return [first, *_routines(edge.heard[len(mine) :])]


def _received(routine: Routine, edge: Edge, body: list[ast.stmt]) -> tuple[list[str], list[ast.stmt]]:
    """The parameters of what hears a branch, and its body, which takes what came apart."""
    if edge.payload is None:
        return [routine.role], body
    if edge.pack is None:
        return [routine.role, *edge.binding], body
    target = ast.Tuple([ast.Name(word, ast.Store()) for word in edge.binding], ast.Store())
    return [routine.role, ".pack"], [ast.Assign([target], name(".pack")), *body]


def _function(
    frame: Frame, parameters: Sequence[str], body: list[ast.stmt], helpers: Mapping[str, Any]
) -> FunctionType:
    """A function with that body, in the place of the user's: its globals, its closure, its name."""
    user = frame.source.function
    word = "async def" if waits(body) else "def"
    module = ast.parse(f"def around():\n {word} {user.__name__}(): pass")
    around = cast("ast.FunctionDef", module.body[0])
    known = {**HELPERS, **frame.classes, **helpers}
    around.args.args = [ast.arg(each) for each in (*user.__code__.co_freevars, *known)]
    inner = cast("ast.FunctionDef", around.body[0])
    inner.args.args = [ast.arg(each) for each in parameters]
    inner.body = body
    _placed(module, frame.source.tree)
    code = compile(module, frame.source.file, "exec", dont_inherit=True)
    code = next(each for each in _codes(code) if each.co_name == "around")
    code = next(each for each in _codes(code) if each.co_name == user.__name__)
    cells = [
        CellType(known[each]) if each in known else frame.source.cells[each] for each in code.co_freevars
    ]
    made = FunctionType(code, user.__globals__, user.__name__, None, tuple(cells))
    made.__qualname__, made.__module__ = user.__qualname__, user.__module__
    return made


def _codes(code: CodeType) -> Iterator[CodeType]:
    return (each for each in code.co_consts if isinstance(each, CodeType))


def _placed(node: ast.AST, around: ast.AST) -> None:
    """Give what has no place in the file that of the first thing in it that has one, else that of what is around it."""
    if "lineno" in node._attributes and getattr(node, "lineno", None) is None:
        known = next((each for each in ast.walk(node) if getattr(each, "lineno", None) is not None), around)
        ast.copy_location(cast("Any", node), cast("Any", known))
    for child in ast.iter_child_nodes(node):
        _placed(child, node if "lineno" in node._attributes else around)


def _one_after_another(steps: list[Callable[..., Any]]) -> Callable[..., Any]:
    """One function that calls several; what came along is for the first."""
    if len(steps) == 1:
        return steps[0]
    first, *others = steps
    if any(map(inspect.iscoroutinefunction, steps)):

        async def wait_for_each(me: Any, *data: Any) -> None:
            await _done(first(me, *data))
            for each in others:
                await _done(each(me))

        return put_together(wait_for_each, first, steps)

    def call_each(me: Any, *data: Any) -> None:
        first(me, *data)
        for each in others:
            each(me)

    return put_together(call_each, first, steps)


def _choosing(
    steps: list[Callable[..., Any]], after: Mapping[str, list[Callable[..., Any]]]
) -> Callable[[Any], Answer | Awaitable[Answer]]:
    """One function that calls several, the last of which chooses; then what is done for the branch."""
    if len(steps) == 1 and not after:
        return steps[0]
    *before, choose = steps
    everything = [*steps, *(each for some in after.values() for each in some)]
    if any(map(inspect.iscoroutinefunction, everything)):

        async def wait_and_choose(me: Any) -> Answer:
            for each in before:
                await _done(each(me))
            answer: Answer = await _done(choose(me))
            for each in after.get(answer[0], ()):
                await _done(each(me))
            return answer

        return put_together(wait_and_choose, choose, everything)

    def call_and_choose(me: Any) -> Answer:
        for each in before:
            each(me)
        answer: Answer = choose(me)
        for each in after.get(answer[0], ()):
            each(me)
        return answer

    return put_together(call_and_choose, choose, everything)


async def _done(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
