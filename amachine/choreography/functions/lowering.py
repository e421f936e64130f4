"""Script functions become scripts: each statement one role's doing, or a message, or a choice; calls are inlined.

The functions are read and never run. All that is wrong is collected; what can be read is read on.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from amachine.choreography.diagnostics import Diagnostic, Level
from amachine.choreography.functions.assigned import see_assigned
from amachine.choreography.functions.flow import (
    Edge,
    End,
    Exits,
    Forward,
    Frame,
    Node,
    Target,
    final,
    names_of,
    nodes_from,
    place_of_loop,
    settle_local_work,
)
from amachine.choreography.functions.kinds import finite
from amachine.choreography.functions.needed import needs_of
from amachine.choreography.functions.patterns import name_of_value
from amachine.choreography.functions.performing import Performing
from amachine.choreography.functions.sources import MISSING, Source, Trouble
from amachine.choreography.functions.statements import Body, survey
from amachine.choreography.functions.subjects import Subject
from amachine.choreography.places import place_of
from amachine.choreography.reading import Needs, Reading
from amachine.choreography.script import EXIT, BranchDef, Inform, Place, SceneDef, Script
from amachine.choreography.wire.codec import STANDARD, Codec

__all__ = ["Lowering", "exit_of", "lower"]

ScriptOf: TypeAlias = Callable[[Any], Any]
"""The function behind a script function; None for anything else."""


def exit_of(value: object) -> str:
    """The id of the exit that a returned value names: `Exit` for None, else as in `ReturnedTrue`, `ReturnedOK`."""
    return EXIT if value is None else f"Returned{camel(name_of_value(value))}"


def camel(word: str) -> str:
    """`two_phase` as `TwoPhase`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"_+", word))


@attrs.frozen(eq=False)
class _Call:
    """A call that is being inlined, or was."""

    subject: Subject
    exits: tuple[tuple[Any, ...], ...]
    start: Forward
    kept: Exits
    """Holds on to what `exits` names by identity."""


class Lowering:
    """One choreography in the making."""

    def __init__(self, script_of: ScriptOf) -> None:
        self.script_of = script_of
        self._found: dict[tuple[str, str, Place | None], Diagnostic] = {}
        self._subjects: dict[Any, Subject | None] = {}
        self._calls: dict[tuple[Any, ...], _Call] = {}
        self._open: list[_Call] = []
        self._ends: dict[tuple[type, object], End] = {}

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All that was found, in the order of lines, file by file."""
        files = {each.file: number for number, each in reversed(list(enumerate(self._found.values())))}
        return tuple(sorted(self._found.values(), key=lambda each: (files[each.file], each.line or 0)))

    def tell(self, found: Diagnostic) -> None:
        """Something was found. What is inlined twice is told once."""
        self._found.setdefault((found.code, found.text, found.place), found)

    def is_script(self, value: object) -> bool:
        """Whether a value can be called in a script, and is then inlined."""
        return value is not MISSING and self.script_of(value) is not None

    def subject(self, function: Any) -> Subject | None:
        """The function, looked over; None if it cannot be read."""
        if function not in self._subjects:
            self._subjects[function] = None  # while it is looked over, for those that call one another
            source = Source.of(function)
            if isinstance(source, Diagnostic):
                self.tell(source)
                return None
            roles, wrong = source.roles()
            for each in wrong:
                self.tell(each)
            if wrong:
                return None
            subject = Subject(source, roles)
            self._subjects[function] = subject
            survey(subject, self)
        return self._subjects[function]

    def returned(self, subject: Subject) -> tuple[object, ...]:
        """All that a function may return; None among it, as its end is not looked for."""
        values: dict[tuple[type, object], None] = {(type(None), None): None}
        queue = [subject]
        for each in queue:
            reader = Body.reader(self, each)
            for node in ast.walk(each.source.tree):
                if isinstance(node, ast.Return) and node.value is not None:
                    found, called = reader.returned_by(node.value)
                    values.update(((type(value), value), None) for value in found)
                    queue += [] if called is None or called in queue else [called]
        return tuple(value for _, value in values)

    def inline(
        self, subject: Subject, roles: tuple[str, ...], exits: Exits, at: Callable[[], Trouble]
    ) -> Target:
        """Where a call of a function by these roles begins. Errors: what `at` makes, for recursion that is no loop (AMC301)."""
        ways = tuple((type(value), value, id(exits.pick(value))) for value in self.returned(subject))
        key = (id(subject), roles, ways)
        if key in self._calls:
            return self._calls[key].start
        if any(each.subject is subject and each.exits != ways for each in self._open):
            raise at()
        call = _Call(subject, ways, Forward(), exits)
        self._calls[key] = call
        self._open.append(call)
        parameters = subject.source.parameters
        cast = dict(zip(parameters, roles, strict=True))
        frame = Frame(subject.source, cast, subject.variables, subject.classes)
        try:
            call.start.target = Body(self, subject, frame, exits).start()
        finally:
            self._open.pop()
        return call.start

    def end(self, value: object) -> End:
        """The end of the whole, with a value."""
        return self._ends.setdefault((type(value), value), End(value))


def lower(
    function: Callable[..., Any],
    *,
    script_of: ScriptOf,
    name: str | None = None,
    informs: Iterable[Inform] = (),
    endless: bool = False,
    closing: bool = False,
    codec: Codec | None = None,
) -> Reading:
    """Read a script function, and all that it calls. What is wrong is in the reading's diagnostics; nothing is raised.

    `script_of` tells script functions from other things: it returns the function behind one, and None for all else.
    `codec` says what can travel.
    """
    lowering = Lowering(script_of)
    title = name or str(getattr(function, "__name__", function))
    subject = lowering.subject(function)
    start: Target = lowering.end(None)
    roles: Mapping[str, type] = {} if subject is None else subject.roles
    if subject is not None:
        start = lowering.inline(subject, subject.source.parameters, Exits(lowering.end), Trouble)
        _see_end(lowering, subject, start)
        _see_exits(lowering, subject, start)
    if any(each.level is Level.ERROR for each in lowering.diagnostics):
        nothing = Script(title, tuple(roles), EXIT, {}, endless=endless, closing=closing)
        return Reading(nothing, {}, dict(roles), lowering.diagnostics, place_of(function))
    start = settle_local_work(start)
    nodes = list(nodes_from(start))
    ids = _ids(nodes, subject)
    script = Script(
        name=title,
        roles=tuple(roles),
        start=_id(start, ids),
        scenes={ids[node]: _scene(node, ids) for node in nodes},
        exits=tuple(_exits(start, nodes)) or (EXIT,),
        informs=tuple(sorted(informs)),
        endless=endless,
        closing=closing,
    )
    _see_payloads(lowering, script, STANDARD if codec is None else codec)
    place, cast_at = place_of(function), {} if subject is None else subject.source.cast_at()
    try:
        performing = Performing(nodes)
        for each in see_assigned(start, performing):
            lowering.tell(each)
        acts = {ids[node]: performing.act(node) for node in nodes}
        needs = needs_of(performing.every())
    except RecursionError:
        text, hint = f"{title}: something in it is nested too deeply", "do it in several statements"
        lowering.tell(Diagnostic("AMC304", text, hint=hint, place=place))
        acts, needs = {}, dict[str, Needs]()
    return Reading(script, acts, dict(roles), lowering.diagnostics, place, cast_at, needs)


def _see_payloads(lowering: Lowering, script: Script, codec: Codec) -> None:
    """See that all that is sent can travel."""
    for scene, branch in script.branches():
        why = None if branch.payload is None else codec.problem(branch.payload)
        if why is not None:
            text, hint = f"{scene.name}.{branch.label}: payload {why}", "give the choreography a codec for it"
            lowering.tell(Diagnostic("AMC206", text, scene=scene.id, hint=hint, place=branch.place))


def _see_end(lowering: Lowering, subject: Subject, start: Target) -> None:
    """See that no way goes round for ever without anybody doing anything, and that all ends return what is promised."""
    ends = [
        (start, subject.source.place()),
        *((edge.next, edge.place) for node in nodes_from(start) for edge in node.edges.values()),
    ]
    for target, place in ends:
        last = final(target)
        hint = "let a role do or decide something in it"
        if last is None:
            text = f"{subject.source.name}: from here on nobody ever does anything: the loop is empty"
            lowering.tell(Diagnostic("AMC313", text, hint=hint, place=place_of_loop(target) or place))
        elif isinstance(last, End) and last.value is None:
            values = None if subject.source.returns is MISSING else finite(subject.source.returns)
            if values is not None and None not in values:
                text = f"{subject.source.name} may end here without returning anything, but says that it does"
                lowering.tell(Diagnostic("AMC310", text, hint="return a value on every way", place=place))


def _see_exits(lowering: Lowering, subject: Subject, start: Target) -> None:
    """See that no two values that are returned name the same exit."""
    named: dict[str, object] = {}
    for node in nodes_from(start):
        for edge in node.edges.values():
            last = final(edge.next)
            if isinstance(last, End):
                other = named.setdefault(exit_of(last.value), last.value)
                if (type(other), other) != (type(last.value), last.value):
                    text = f"{subject.source.name} returns {other!r} and {last.value!r}: both name {exit_of(other)}"
                    hint = "return members of one enum, or words that differ in letters and digits"
                    lowering.tell(Diagnostic("AMC216", text, hint=hint, place=edge.place))


def _ids(nodes: list[Node], subject: Subject | None) -> dict[Node, str]:
    """The ids of scenes: their names, with the cast of what is called; a number where one cast plays something twice."""
    names = names_of(nodes, camel)
    ids: dict[Node, str] = {}
    casts: dict[tuple[Any, ...], list[Frame]] = {}
    taken: set[str] = set()
    for node in nodes:
        frame = node.frame
        roles = tuple(frame.roles.values())
        frames = casts.setdefault((frame.source, roles), [])
        if frame not in frames:
            frames.append(frame)
        words = list(roles)
        if subject is not None and frame.source is subject.source and roles == subject.source.parameters:
            words = []
        if frames.index(frame):
            words.append(str(frames.index(frame) + 1))
        plain = names[node.site]
        id = f"{plain}[{', '.join(words)}]" if words else plain
        while id in taken:
            plain += "_"
            id = f"{plain}[{', '.join(words)}]" if words else plain
        taken.add(id)
        ids[node] = id
    return ids


def _id(target: Target, ids: Mapping[Node, str]) -> str:
    last = final(target)
    if isinstance(last, Node):
        return ids[last]
    return exit_of(None if last is None else last.value)


def _exits(start: Target, nodes: list[Node]) -> dict[str, None]:
    """The ids of the exits that are reached, in the order in which a walk meets them."""
    targets = [start, *(edge.next for node in nodes for edge in node.edges.values())]
    lasts = [final(each) for each in targets]
    return {exit_of(each.value): None for each in lasts if isinstance(each, End)}


def _scene(node: Node, ids: Mapping[Node, str]) -> SceneDef:
    branches = tuple(_branch(edge, ids) for edge in node.edges.values())
    receivers = tuple(dict.fromkeys(role for branch in branches for role in branch.to))
    id = ids[node]
    plain, _, words = id.removesuffix("]").partition("[")
    called = _called(node.frame, words) if words else None
    return SceneDef(id, plain, node.sender, receivers, branches, place=node.site.place, called=called)


def _called(frame: Frame, words: str) -> str:
    """How a function was called, for people; `words` are the roles, and the number if there is one, in the ids of its scenes."""
    cast = ", ".join(frame.roles.values())
    number = words.removeprefix(cast).removeprefix(", ")
    return f"{frame.source.name}({cast}){number and f' #{number}'}"


def _branch(edge: Edge, ids: Mapping[Node, str]) -> BranchDef:
    to = () if edge.to is None else (edge.to,)
    carries, next = edge.pack or edge.payload, _id(edge.next, ids)
    return BranchDef(edge.label, carries, to, next, names=edge.names, place=edge.place)
