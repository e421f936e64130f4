"""What a schema can come to: every set of states that relations let a machine stand in, with a shortest way to each.

Breadth first over sets of active states, by the very functions that the engine resolves with, and with the auto mutation
that follows. Pure: no handler is asked and no machine is made, so what handlers would veto, add or break is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import attrs

from amachine._bits import bits
from amachine.errors import UnknownState
from amachine.mutation import Kind, phrase
from amachine.relations import Resolution, autos, reason, resolve
from amachine.schema import Schema

if TYPE_CHECKING:
    from amachine.declare import State, States

LIMIT = 10_000
"""Active sets that are kept before the search ends."""


class HasSchema(Protocol):
    """Something with a schema, such as a machine."""

    @property
    def schema(self) -> Any:  # of a machine it is a descriptor, which checkers do not read as what it gives
        """It."""
        ...


Source: TypeAlias = "Schema | type[States] | HasSchema"
"""A schema, a `Machine` or `States` class, or a machine."""

StateLike: TypeAlias = "State[..., Any] | str"


def schema_of(what: Source) -> Schema:
    """The schema of a class or a machine; a schema is its own. Errors: TypeError."""
    found: Any = what if isinstance(what, Schema) else getattr(what, "schema", None)
    if not isinstance(found, Schema):
        raise TypeError(f"{what!r} has no schema: give a Schema, a Machine or States class, or a machine")
    return found


@attrs.frozen
class Move:
    """A mutation as a plain value: what is asked, and of which states. Without arguments."""

    kind: Kind
    states: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind.value} {', '.join(self.states) or '(no states)'}"


Call: TypeAlias = "StateLike | Move | Iterable[StateLike]"
"""What mutations may call: a state or several at once, which are both added and removed; or just this mutation."""


@attrs.frozen
class Reached:
    """A set of active states in which a machine can come to rest, and a shortest way there."""

    active: tuple[str, ...]
    path: tuple[Move, ...]

    def __str__(self) -> str:
        way = ", ".join(map(str, self.path)) or "at the start"
        return f"{{{', '.join(self.active)}}} ← {way}"


class Change(NamedTuple):
    """One transition as relations alone make it. Sets are masks."""

    before: int
    kind: Kind
    called: int
    auto: bool
    found: Resolution


class Edge:
    """One mutation in one set of active states: what is asked there, and what comes of it."""

    __slots__ = ("_changes", "_schema", "move")

    move: Move

    def __init__(self, schema: Schema, move: Move, changes: tuple[Change, ...]) -> None:
        self._schema = schema
        self.move = move
        self._changes = changes

    @property
    def changes(self) -> tuple[Change, ...]:
        """The transition and, where one follows, that of the auto mutation."""
        return self._changes

    @property
    def before(self) -> tuple[str, ...]:
        """The states that are active before."""
        return self._schema.names_of(self._changes[0].before)

    @property
    def accepted(self) -> bool:
        """Whether relations let it through."""
        return self._changes[0].found.accepted

    @property
    def enters(self) -> tuple[str, ...]:
        """The states that enter or re-enter, by the mutation or by the auto mutation after it."""
        return self._schema.names_of(self._mask("enters"))

    @property
    def exits(self) -> tuple[str, ...]:
        """The states that end, by the mutation or by the auto mutation after it."""
        return self._schema.names_of(self._mask("exits"))

    @property
    def active(self) -> tuple[str, ...]:
        """The states that are active in the end."""
        return self._schema.names_of(after(self._changes))

    @property
    def refusals(self) -> dict[str, str]:
        """Why not, for each called state that something speaks against; empty where the mutation is accepted."""
        change, schema = self._changes[0], self._schema
        if change.found.accepted:
            return {}
        left_out = change.called & ~change.found.target
        return {
            schema.names[i]: reason(schema, change.found.target, change.before, i) for i in bits(left_out)
        }

    @property
    def why(self) -> str:
        """The same in a sentence, as the engine says it."""
        return "; ".join(why for why in self.refusals.values() if why)

    def _mask(self, part: str) -> int:
        mask = 0
        for change in self._changes:
            if change.found.accepted:
                mask |= getattr(change.found, part)
        return mask

    def __repr__(self) -> str:
        return f"<Edge {self.move} in {{{', '.join(self.before)}}}: {self.why or ', '.join(self.active)}>"


class Exploration:
    """What was found. Iterating gives each active set with a shortest path to it, the nearest first."""

    __slots__ = ("_came", "_entered", "_moves", "_start", "complete", "schema")

    schema: Schema
    complete: bool
    """Whether every set was found that the mutations tried here lead to: the limit was not met."""

    def __init__(
        self,
        schema: Schema,
        start: int,
        moves: tuple[tuple[Kind, int], ...],
        came: Mapping[int, tuple[int, Kind, int] | None],
        entered: Mapping[int, tuple[int, Kind, int]],
        *,
        complete: bool,
    ) -> None:
        self.schema = schema
        self.complete = complete
        self._start = start
        self._moves = moves
        self._came = came
        self._entered = entered

    @property
    def start(self) -> tuple[str, ...]:
        """The states that were active at first."""
        return self.schema.names_of(self._start)

    @property
    def sets(self) -> tuple[tuple[str, ...], ...]:
        """Every active set that was found, the nearest first; names in order of declaration."""
        return tuple(self.schema.names_of(mask) for mask in self._came)

    @property
    def never(self) -> tuple[str, ...]:
        """The states that no mutation tried here activates, nor the start: proven only where it is complete."""
        seen = self._start
        for mask in self._came:
            seen |= mask
        return tuple(
            name for i, name in enumerate(self.schema.names) if not seen >> i & 1 and i not in self._entered
        )

    def path_to(self, *states: StateLike, without: Iterable[StateLike] = ()) -> tuple[Move, ...] | None:
        """A shortest path to a set in which all of these are active, and none of `without`; None if there is none.

        Errors: `UnknownState`.
        """
        on, off = self._mask(states), self._mask(without)
        for mask in self._came:
            if mask & on == on and not mask & off:
                return self._path(mask)
        return None

    def path(self, active: Iterable[StateLike]) -> tuple[Move, ...]:
        """A shortest path to exactly this set. Errors: LookupError where it was not reached; `UnknownState`."""
        mask = self._mask(active)
        if mask not in self._came:
            bound = "" if self.complete else ", as far as was looked"
            raise LookupError(f"nothing leads to {{{', '.join(self.schema.names_of(mask))}}}{bound}")
        return self._path(mask)

    def entry(self, state: StateLike) -> tuple[Move, ...] | None:
        """A shortest path whose last mutation activates this state, if only until the auto mutation that follows.

        None where nothing does. Errors: `UnknownState`.
        """
        at = self._entered.get(self.schema.position(_name(state)))
        return None if at is None else (*self._path(at[0]), self._move(at[1], at[2]))

    def edges(self) -> Iterator[Edge]:
        """Every mutation tried in every set, with what comes of it: the refused ones, too."""
        schema, start = self.schema, self._start
        made = [self._move(kind, called) for kind, called in self._moves]
        brought: dict[int, Change] = {}
        for at in self._came:
            nothing = Resolution(at, accepted=True, enters=0, exits=0, reentries=0)
            for move, (kind, called) in zip(made, self._moves, strict=True):
                if at != start and _changes_nothing(schema, at, kind, called):
                    yield Edge(schema, move, (Change(at, kind, called, auto=False, found=nothing),))
                else:
                    yield Edge(schema, move, step(schema, at, kind, called, brought))

    def refusals(self) -> Iterator[Edge]:
        """The edges that relations refuse, each mutation and reason once, where it is met first."""
        seen: set[tuple[Move, str]] = set()
        for edge in self.edges():
            if not edge.accepted and (edge.move, edge.why) not in seen:
                seen.add((edge.move, edge.why))
                yield edge

    def _path(self, mask: int) -> tuple[Move, ...]:
        path: list[Move] = []
        while (came := self._came[mask]) is not None:
            mask, kind, called = came
            path.append(self._move(kind, called))
        return tuple(reversed(path))

    def _move(self, kind: Kind, called: int) -> Move:
        return Move(kind, self.schema.names_of(called))

    def _mask(self, states: Iterable[StateLike]) -> int:
        return self.schema.mask([_name(state) for state in states])

    def __iter__(self) -> Iterator[Reached]:
        return (Reached(self.schema.names_of(mask), self._path(mask)) for mask in self._came)

    def __len__(self) -> int:
        return len(self._came)

    def __contains__(self, active: Iterable[StateLike]) -> bool:
        """Whether exactly these states can be the active ones."""
        try:
            return self._mask(active) in self._came
        except UnknownState:
            return False

    def __str__(self) -> str:
        lines = [f"{len(self)} active sets{'' if self.complete else ', and there are more'}"]
        return "\n".join([*lines, *(f"  {reached}" for reached in self)])

    def __repr__(self) -> str:
        name = f" of {self.schema.name}" if self.schema.name else ""
        return f"<Exploration{name}: {len(self)} active sets, {'complete' if self.complete else 'bounded'}>"


def explore(
    schema: Source,
    *,
    start: Iterable[StateLike] = (),
    calls: Iterable[Call] | None = None,
    limit: int = LIMIT,
) -> Exploration:
    """Find every active set that mutations lead to, and a shortest path to each.

    Args:
        schema: A schema, a `Machine` or `States` class, or a machine (of which only the schema is looked at).
        start: The states that are active at first.
        calls: What mutations call: each state alone by default, which is added and removed. `Exception` is among these
            only where relations connect it with another state: else each set would come twice, with it and without.
            A group such as `("a", "b")` is called by one mutation; a `Move` is tried as it is, such as a `SET`.
        limit: So many active sets are kept; if there are more, the answer is not `complete`.

    A mutation is not asked for arguments. Errors: `UnknownState`; ValueError for a limit below 1 or a toggle.
    """
    if limit < 1:
        raise ValueError(f"a limit of {limit} active sets keeps none: give one of at least 1")
    of = schema_of(schema)
    moves = _moves(of, _usual(of) if calls is None else calls)
    first = of.mask([_name(state) for state in start])
    came: dict[int, tuple[int, Kind, int] | None] = {first: None}
    entered: dict[int, tuple[int, Kind, int]] = {}
    fresh, complete = of.all, True  # whose entry is still to be seen
    brought: dict[int, Change] = {}
    line = [first]
    for at in line:
        for kind, called in moves:
            if at != first and _changes_nothing(of, at, kind, called):
                continue
            changes = step(of, at, kind, called, brought)
            if not changes[0].found.accepted:
                continue
            for change in changes:
                news = change.found.enters & fresh if change.found.accepted else 0
                for i in bits(news):
                    entered[i] = (at, kind, called)
                fresh &= ~news
            then = after(changes)
            if then in came:
                continue
            if len(came) >= limit:
                complete = False
                continue
            came[then] = (at, kind, called)
            line.append(then)
    return Exploration(of, first, moves, came, entered, complete=complete)


def step(
    schema: Schema, active: int, kind: Kind, called: int, brought: dict[int, Change] | None = None
) -> tuple[Change, ...]:
    """What the engine makes of a mutation and of the auto mutation that follows, if no handler says a word.

    `brought` keeps what auto mutations come to, by the set in which they are made, from one call to the next.
    """
    found = resolve(schema, active, kind, called)
    change = Change(active, kind, called, auto=False, found=found)
    if not found.accepted or not (found.enters or found.exits):
        return (change,)
    if kind is Kind.ADD and called in schema.health:
        return (change,)
    if not schema.auto:
        return (change,)
    then = brought.get(found.target) if brought is not None else None
    if then is None:
        wanted = autos(schema, found.target)
        if not wanted:
            return (change,)
        made = resolve(schema, found.target, Kind.ADD, wanted, partial=True)
        then = Change(found.target, Kind.ADD, wanted, auto=True, found=made)
        if brought is not None:
            brought[found.target] = then
    return change, then


def after(changes: tuple[Change, ...]) -> int:
    """The mask of what is active when these are over."""
    active = changes[0].before
    for change in changes:
        if change.found.accepted:
            active = change.found.target
    return active


def is_related(schema: Schema, i: int) -> bool:
    """Whether a state has a relation, or is named in one, that can decide what is active."""
    masks = (schema.require, schema.add, schema.remove)
    return any(mask[i] or any(each >> i & 1 for each in mask) for mask in masks)


def _usual(schema: Schema) -> tuple[str, ...]:
    at = schema.exception.bit_length() - 1
    return tuple(name for i, name in enumerate(schema.names) if i != at or is_related(schema, i))


def _changes_nothing(schema: Schema, active: int, kind: Kind, called: int) -> bool:
    """What needs no look, in a set that keeps the relations: every one but perhaps the first."""
    if kind is Kind.REMOVE:
        return not called & active
    return kind is Kind.ADD and not called & ~active and not called & schema.multi


def _moves(schema: Schema, calls: Iterable[Call]) -> tuple[tuple[Kind, int], ...]:
    moves: dict[tuple[Kind, int], None] = {}
    for call in calls:
        if isinstance(call, Move):
            if call.kind is Kind.TOGGLE:
                raise ValueError(f"{phrase(schema, call.kind, schema.mask(call.states))}: say add or remove")
            moves[call.kind, schema.mask(call.states)] = None
            continue
        named: Any = call
        is_one = isinstance(named, str) or hasattr(named, "name")
        mask = schema.mask([_name(state) for state in ((named,) if is_one else named)])
        moves[Kind.ADD, mask] = None
        moves[Kind.REMOVE, mask] = None
    return tuple(moves)


def _name(state: StateLike) -> str:
    return state if isinstance(state, str) else state.name
