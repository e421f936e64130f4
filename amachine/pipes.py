"""Pipes: what becomes of a state of one machine becomes of a state of another. How they run is in `_piping`.

`pipe(flow.ready, boss.upstream)`. Everything that can be wrong with a pipe is found here, when it is made; nothing here
waits, and no machine is kept alive: hold those that you pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, Unpack, cast

from amachine import graph
from amachine._piping import EXCEPTION, Link, Pipe, pipes_of
from amachine.bound import BoundState
from amachine.declare import Group, State
from amachine.errors import BindingError, MachineClosed, UnknownState
from amachine.machine import Machine, Options
from amachine.schema import Schema, StateDef

__all__ = ["Link", "Pipe", "mermaid_of", "mirror", "mirrored", "pipe", "pipe_all", "pipe_errors", "pipes_of"]

A = TypeVar("A")
B = TypeVar("B")
AnyState: TypeAlias = State[..., Any] | str


def pipe(
    source: BoundState[..., A],
    target: BoundState[..., B],
    *,
    inverted: bool = False,
    args: Callable[[A], B] | None = None,
    flat: bool = False,
    only: Literal["add", "remove"] | None = None,
) -> Pipe:
    """Let a state of one machine lead a state of another, or of the same: `pipe(flow.ready, boss.upstream)`.

    When the source's state is activated, or entered anew if it is multi, the target's is added; when it ends, the target's is
    removed. The pipe begins by bringing the target in step. Where several lead to one state, the last one that turned decides.

    Args:
        source: The state that leads.
        target: The state that follows, as far as its machine agrees.
        inverted: The target is active while the source is not.
        args: Makes the target's arguments of the source's. Not needed where both have the same class: then they are
            passed on. An error of it enters the source's `Exception`.
        flat: Only on and off count: no arguments, no re-entries, and no mutation where the target is there already.
        only: Do nothing but add, or nothing but remove.

    Errors: `BindingError` for arguments that do not fit; `MachineClosed`; TypeError for what is no state of a machine.
    """
    link = _link(source, target, inverted=inverted, args=args, flat=flat, only=only)
    return _joined(source.machine, target.machine, [link])


def pipe_all(
    source: Machine,
    target: Machine,
    states: Mapping[AnyState, AnyState] | Group | Iterable[AnyState] | str | None = None,
    *,
    inverted: bool = False,
    flat: bool = False,
) -> Pipe:
    """Let several states lead, in one pipe: `pipe_all(flow, boss, {Flow.ready: Boss.upstream, Flow.done: Boss.fed})`.

    `states` is a mapping, as there; or a list, a group or the name of a group, of states that have the same names in both
    machines; left out, all names that both have, `Exception` excepted. What enters is added before what ends is removed,
    each in one mutation as far as there are no arguments. Errors: as of `pipe`, and `UnknownState`.
    """
    links = [
        _link(source[one], target[other], inverted=inverted, flat=flat)
        for one, other in _pairs(source, target, states)
    ]
    return _joined(source, target, links)


def pipe_errors(source: Machine | BoundState[..., Any], target: Machine | BoundState[..., Any]) -> Pipe:
    """Report every error of one machine to another, as `add_error` does: `pipe_errors(flow, boss)`.

    The target may be a state, such as `boss.ErrUpstream`: that is entered, too. The source may be an error state, such as
    `flow.ErrNetwork`: then only its errors are reported. What is over in the source is not over in the target.
    Errors: `BindingError` for a source that is no error state; `MachineClosed`.
    """
    one = source if isinstance(source, BoundState) else source[EXCEPTION]
    other = target if isinstance(target, BoundState) else target[EXCEPTION]
    if one.name != EXCEPTION and EXCEPTION not in one.definition.require:
        raise BindingError(
            f"the pipe of errors from {_named(one)}: it is no error state, for it does not require Exception",
            state=one.name,
        )
    link = Link(one.name, other.name, only="add", is_error=True)
    return _joined(one.machine, other.machine, [link])


def mirror(source: Machine, target: Machine) -> Pipe:
    """Have the target's states, all but `Exception`, follow the states of the same names.

    One transition of the source makes at most one of the target (`set`, where states enter and end at once): nobody sees a
    moment that the source did not have. Flat: see `pipe`. Errors: `UnknownState` where the source lacks a state of the target's;
    `BindingError`; `MachineClosed`.
    """
    names = [name for name in target.schema if name != EXCEPTION]
    links = [_link(source[name], target[name], flat=True) for name in names]
    return _joined(source, target, links, whole=True)


def mirrored(
    source: Machine, *states: AnyState, id: str | None = None, **options: Unpack[Options]
) -> Machine:
    """Make a machine that shows these states of another, all if none is named: its own to wait for, trace or hand on.

    It has no relations, for the source has settled these, and goes on as it is when that closes. Options: as of `Machine`.
    Errors: `UnknownState`; `MachineClosed`; `BindingError` for `Exception`, which `pipe_errors` is for.
    """
    names = [source[state].name for state in states] or [n for n in source.schema if n != EXCEPTION]
    if EXCEPTION in names:
        raise BindingError(
            f"a mirror of {source.id} has an Exception of its own: use pipe_errors", state=EXCEPTION
        )
    defined = (StateDef(name, tags=source.schema[name].tags, doc=source.schema[name].doc) for name in names)
    made = Machine.of(Schema(defined, name=source.schema.name), id or f"{source.id}-mirror", **options)
    mirror(source, made)
    return made


def mermaid_of(*machines: Machine, direction: graph.Direction = "LR") -> str:
    """Draw machines as one Mermaid flowchart, a box each, as they are now, and the pipes between them as thick arrows."""
    places = {machine: at for at, machine in enumerate(machines)}
    pipes = dict.fromkeys(each for machine in places for each in pipes_of(machine))
    arrows: list[graph.Arrow] = []
    for each in pipes:
        one, other = (places.get(end) if end is not None else None for end in (each.source, each.target))
        if one is not None and other is not None:
            arrows += _arrows(each, one, other)
    return graph.mermaid_of([(m.id, m.schema, m.active) for m in places], arrows, direction=direction)


def _arrows(drawn: Pipe, one: int, other: int) -> list[graph.Arrow]:
    if drawn.is_mirror:
        return [graph.Arrow(one, None, other, None, "mirrors")]
    found: list[graph.Arrow] = []
    for link in drawn.links:
        says = "errors" if link.is_error else f"pipes {link.only}" if link.only else "pipes"
        found.append(
            graph.Arrow(
                one,
                link.source,
                other,
                link.target,
                f"{says} not" if link.inverted else says,
                negative=link.inverted,
            )
        )
    return found


def _joined(source: Machine, target: Machine, links: list[Link], *, whole: bool = False) -> Pipe:
    for machine in (source, target):
        if machine.is_closing:
            age = "closed" if machine.is_closed else "closing"
            raise MachineClosed(
                f"{source.id} cannot be piped to {target.id}: machine {machine.id} is {age}",
                machine=machine.id,
            )
    if not links:
        raise BindingError(f"{source.id} and {target.id} have no states to pipe: name pairs, {{A.x: B.y}}")
    return Pipe(source, target, links, whole=whole)


def _pairs(
    source: Machine,
    target: Machine,
    states: Mapping[AnyState, AnyState] | Group | Iterable[AnyState] | str | None,
) -> list[tuple[AnyState, AnyState]]:
    found: list[tuple[AnyState, AnyState]]
    if isinstance(states, Mapping):
        found = [*states.items()]
    else:
        if states is None:
            states = [name for name in source.schema if name in target.schema and name != EXCEPTION]
        elif isinstance(states, str):
            if states not in source.schema.groups:
                raise UnknownState(states, known=source.schema.groups, schema=source.schema.name)
            states = source.schema.groups[states].members
        found = [(state, state if isinstance(state, str) else state.name) for state in states]
    return found


def _link(
    source: BoundState[..., Any],
    target: BoundState[..., Any],
    *,
    inverted: bool = False,
    args: Callable[[Any], Any] | None = None,
    flat: bool = False,
    only: Literal["add", "remove"] | None = None,
) -> Link:
    """A link that can work. Errors: as of `pipe`."""
    for given in (source, target):
        if not isinstance(cast("object", given), BoundState):
            raise TypeError(f'{given!r} is no state of a machine: write machine.state, or machine["State"]')
    if source.machine is target.machine and source.name == target.name:
        raise BindingError(f"{_named(source)} is piped to itself: it is there already", state=source.name)
    if only not in (None, "add", "remove"):
        raise ValueError(f"only={only!r}: it is 'add', 'remove' or None")
    try:
        carried = _carried(source, target, args, active=not inverted, flat=flat, adds=only != "remove")
    except ValueError as wrong:
        raise BindingError(
            f"the pipe from {_named(source)} to {_named(target)}: {wrong}", state=target.name
        ) from None
    return Link(source.name, target.name, inverted, flat, only, carried)


def _carried(
    source: BoundState[..., Any],
    target: BoundState[..., Any],
    args: Callable[[Any], Any] | None,
    *,
    active: bool,
    flat: bool,
    adds: bool,
) -> Callable[[Any], Any] | None:
    """How the target's arguments come about; None without. Errors: ValueError, which says what does not fit, and the mend."""
    given, wanted = source.definition.args, target.definition.args
    schema = target.machine.schema
    missing = ", ".join(schema.missing_args(schema.index[target.name])) if adds else ""
    if args is not None:
        if wanted is None:
            raise ValueError(f"{target.name} takes no arguments: leave out args")
        if not active or flat or not adds:
            raise ValueError(
                "inverted and flat pipes, and those that only remove, pass no arguments: leave out args"
            )
        return args
    if flat or not active:
        if missing:
            kind = "a flat" if flat else "an inverted"
            raise ValueError(
                f"{target.name} needs {missing}, and {kind} pipe passes no arguments: pipe to a state without"
            )
        return None
    same = isinstance(wanted, type) and isinstance(given, type) and issubclass(given, wanted)
    if adds and wanted is not None and (given is wanted or same):
        return _as_it_is
    if missing:
        has = "has none" if given is None else f"has a {getattr(given, '__name__', given)}"
        raise ValueError(
            f"{target.name} needs {missing}, and {source.name} {has}: say how, args=lambda given: …"
        )
    return None


def _as_it_is(args: Any) -> Any:
    return args


def _named(state: BoundState[..., Any]) -> str:
    return f"{state.machine.id}.{state.name}"
