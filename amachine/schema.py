"""A schema: states with their relations, checked against every rule and compiled to masks, once, then frozen.

Plain data: no machine, no descriptor, no handler is known here, and nothing in a schema ever changes. Any number
of machines share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from amachine import _schema_data
from amachine._bits import bits, mask_of
from amachine._defs import EXCEPTION, RELATIONS, GroupDef, StateDef
from amachine._rules import lay_out, missing, ordered
from amachine.errors import SchemaError, UnknownState, closest, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from amachine.findings import Findings

__all__ = ["GroupDef", "Schema", "StateDef"]

_HEALTH = ("Healthcheck", "Heartbeat")


class Schema:
    """A frozen, ordered set of states. Two of equal content are equal, whatever their names.

    `Exception` is always there: last, if it was not declared, and always multi. A relation lists its states in the
    order of declaration, without what the rules call redundant. Errors: `SchemaError`, for every rule.

    Masks are integers in which bit *i* stands for state *i*. `index` and `groups` are there to be read, not changed.
    """

    __slots__ = (
        "__weakref__", "_digest", "_hash", "_missing", "add", "after", "all", "args", "auto", "enter_order",
        "exception", "groups", "health", "index", "limits", "memo", "multi", "n", "name", "names", "needs_args",
        "remove", "removed_by", "require", "states",
    )  # fmt: skip

    name: str
    states: tuple[StateDef, ...]
    names: tuple[str, ...]
    index: dict[str, int]
    n: int
    """How many states there are, `Exception` included."""
    require: tuple[int, ...]
    """For each state the mask of those that it requires; `add`, `remove` and `after` likewise."""
    add: tuple[int, ...]
    remove: tuple[int, ...]
    after: tuple[int, ...]
    removed_by: tuple[int, ...]
    """For each state the mask of those that remove it."""
    auto: int
    multi: int
    exception: int
    """The mask of just `Exception`."""
    all: int
    needs_args: int
    """Mask of the states whose arguments cannot be built from nothing."""
    args: tuple[Callable[..., Any] | None, ...]
    enter_order: tuple[int, ...]
    """States in the order in which they are entered; they are left in the opposite order."""
    groups: dict[str, GroupDef]
    health: tuple[int, ...]
    """The masks of just `Healthcheck` and just `Heartbeat`, where declared: adding one of these is not news."""
    limits: tuple[int | None, ...]
    """How many tasks of each state run at once; None for any number."""
    memo: dict[Any, Any]
    """What rooms above have worked out about this schema, and want to keep as long as it lives."""
    _missing: tuple[tuple[str, ...], ...]
    _hash: int
    _digest: str

    def __init__(
        self, states: Iterable[StateDef], *, name: str = "", groups: Iterable[GroupDef] = ()
    ) -> None:
        written = _with_exception(tuple(states))
        by_name: dict[str, GroupDef] = {}
        for group in groups:
            if by_name.setdefault(group.name, group) != group:
                raise SchemaError(f"group {group.name!r} is declared twice: rename one", schema=name)
        self._freeze(name, lay_out(name, written, by_name), by_name)

    def _freeze(self, name: str, states: tuple[StateDef, ...], groups: Mapping[str, GroupDef]) -> None:
        index = {state.name: i for i, state in enumerate(states)}
        masks = {
            relation: tuple(mask_of(index[other] for other in getattr(state, relation)) for state in states)
            for relation in RELATIONS
        }
        lacking = tuple(missing(state.args) for state in states)
        compiled: dict[str, object] = {
            **masks,
            "name": name,
            "states": states,
            "names": tuple(index),
            "index": index,
            "n": len(states),
            "removed_by": tuple(
                mask_of(i for i, removes in enumerate(masks["remove"]) if removes >> j & 1)
                for j in index.values()
            ),
            "auto": mask_of(i for i, state in enumerate(states) if state.auto),
            "multi": mask_of(i for i, state in enumerate(states) if state.multi),
            "exception": 1 << index[EXCEPTION],
            "all": (1 << len(states)) - 1,
            "needs_args": mask_of(i for i, names in enumerate(lacking) if names),
            "args": tuple(state.args for state in states),
            "enter_order": ordered([r | a for r, a in zip(masks["require"], masks["after"], strict=True)]),
            "groups": {
                group.name: attrs.evolve(
                    group, members=tuple(sorted({*group.members}, key=index.__getitem__))
                )
                for group in groups.values()
            },
            "health": tuple(1 << index[state] for state in _HEALTH if state in index),
            "limits": tuple(state.limit for state in states),
            "memo": {},
            "_missing": lacking,
            "_hash": hash(states),
            "_digest": "",
        }
        for slot, value in compiled.items():
            object.__setattr__(self, slot, value)

    # Data in, data out.

    @classmethod
    def parse(
        cls,
        data: Mapping[str, Mapping[str, Any] | None],
        *,
        order: Iterable[str] | None = None,
        name: str = "",
    ) -> Schema:
        """Read a schema from plain data, such as JSON or YAML: `{"Wet": {"require": ["Water"], "auto": true}}`.

        A state has the keys `require`, `add`, `remove`, `after`, `tags` (lists of strings), `auto`, `multi`
        (booleans), `limit` (a number), `doc` (a string), and `groups` and `exclusive`: lists of the groups, and of
        the exclusive groups, that it is a member of. All may be left out. States are declared in the order of the
        data, or in that of `order`, which then names each of them. Arguments come as keywords, and arrive as a dict.

        Errors: `SchemaError` for an unknown key, a value of the wrong type, and every rule.
        """
        states, groups = _schema_data.read(data, order, name)
        return cls(states, name=name, groups=groups)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return what `parse` reads, fit for JSON; keys with nothing to say are left out, args classes as well."""
        return _schema_data.write(self.states, self.groups.values())

    @property
    def hash(self) -> str:
        """Sixteen hex digits that differ when two machines could not read each other's clocks.

        Names, their order, relations, `auto` and `multi` count; args, tags, groups, limits and the name do not.
        """
        if not self._digest:
            object.__setattr__(self, "_digest", _schema_data.digest(self.states))
        return self._digest

    # Other schemas from this one.

    def merge(self, *others: Schema, name: str = "") -> Schema:
        """Return the states of all of them, in order. A state declared again keeps its place; the last one holds.

        An `Exception` that stands last and says nothing of its own stays last.
        """
        merged: dict[str, StateDef] = {}
        groups: dict[str, GroupDef] = {}
        implied: StateDef | None = None
        for schema in (self, *others):
            for state in schema.states:
                if state is schema.states[-1] and _is_plain_exception(state):
                    implied = implied or state
                else:
                    merged[state.name] = state
            groups.update(schema.groups)
        if implied is not None:
            merged.setdefault(EXCEPTION, implied)
        return Schema(merged.values(), name=name or self.name, groups=groups.values())

    def prefix(self, prefix: str, *, keep: Iterable[str] = (EXCEPTION,)) -> Schema:
        """Return it with `prefix` before the name of each state and group, those of `keep` excepted."""
        kept = {*keep}

        def renamed(names: Iterable[str]) -> tuple[str, ...]:
            return tuple(name if name in kept else prefix + name for name in names)

        states = (
            state.replace(
                name=renamed([state.name])[0],
                **{relation: renamed(getattr(state, relation)) for relation in RELATIONS},
            )
            for state in self.states
        )
        groups = (
            attrs.evolve(group, name=prefix + group.name, members=renamed(group.members))
            for group in self.groups.values()
        )
        return Schema(states, name=self.name, groups=groups)

    def select(self, *names: str) -> Schema:
        """Return it with only these states (and `Exception`), in their order; relations to others are cut.

        Errors: `UnknownState`.
        """
        kept = set(self.names_of(self.mask(names) | self.exception))

        def cut(others: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(other for other in others if other in kept)

        states = (
            state.replace(**{relation: cut(getattr(state, relation)) for relation in RELATIONS})
            for state in self.states
            if state.name in kept
        )
        groups = (attrs.evolve(group, members=cut(group.members)) for group in self.groups.values())
        return Schema(states, name=self.name, groups=(group for group in groups if group.members))

    def extend(self, state: str, **overlay: Any) -> Schema:
        """Return it with one state extended, as `StateDef.extend` does it. Errors: `UnknownState`, `SchemaError`."""
        i = self.position(state)
        states = (*self.states[:i], self.states[i].extend(**overlay), *self.states[i + 1 :])
        return Schema(states, name=self.name, groups=self.groups.values())

    # Questions.

    def has(self, *names: str) -> bool:
        """Whether all of these are states of it."""
        return all(name in self.index for name in names)

    def position(self, name: str) -> int:
        """The index of a state. Errors: `UnknownState`, with the nearest name."""
        i = self.index.get(name)
        if i is None:
            raise UnknownState(name, known=self.names, schema=self.name)
        return i

    def mask(self, names: Iterable[str]) -> int:
        """The mask of these states. Errors: `UnknownState`, with the nearest name."""
        if isinstance(names, str):
            raise TypeError(f"mask() takes a list of names: write [{names!r}]")
        mask = 0
        for name in names:
            mask |= 1 << self.position(name)
        return mask

    def names_of(self, mask: int) -> tuple[str, ...]:
        """The names in a mask, in order of declaration."""
        names = self.names
        return tuple(names[i] for i in bits(mask))

    def filter_by_tag(self, tag: str) -> tuple[str, ...]:
        """The names of the states that have this tag."""
        return tuple(state.name for state in self.states if tag in state.tags)

    def adjacent(self, name: str) -> tuple[str, ...]:
        """The names of the states that this one has a relation to, or that have one to it."""
        i = self.position(name)
        near = 0
        for masks in (self.require, self.add, self.remove, self.after):
            near |= masks[i] | mask_of(j for j, mask in enumerate(masks) if mask >> i & 1)
        return self.names_of(near)

    def missing_args(self, state: int) -> tuple[str, ...]:
        """The names of the parameters without which the arguments of the state of this index cannot be built."""
        return self._missing[state]

    def verify(self, names: Iterable[str]) -> None:
        """Check that these are the states, in this order. Errors: `SchemaError` that names the first difference."""
        pinned = tuple(names)
        for i in range(max(len(pinned), self.n)):
            here = self.names[i] if i < self.n else None
            there = pinned[i] if i < len(pinned) else None
            if here != there:
                found = f"state {here!r}" if here is not None else "no state"
                wanted = f"{there!r}" if there is not None else "none"
                raise SchemaError(
                    f"{found} is declared at place {i}, where {wanted} is pinned: declare the states as pinned, or"
                    f" pin the new order{nearest(there, self.names) if there is not None and here is None else ''}",
                    schema=self.name,
                    state=here or "",
                    other=there or "",
                    nearest=closest(there, self.names) if there is not None else None,
                )

    def lint(self, *, ignore: Iterable[str] = (), limit: int | None = None) -> Findings:
        """Look for what is hardly meant so: states that can never be active, groups that shut each other out, and so on.

        Iterate what it returns, or print it: each finding has its reason and a shortest example. The options are those of
        `amachine.linting.lint`, which looks at the handlers of a class, too. Errors: ValueError.
        """
        from amachine.linting import lint

        return lint(self, ignore=ignore, limit=limit)

    def __getitem__(self, name: str) -> StateDef:
        return self.states[self.position(name)]

    def __contains__(self, name: object) -> bool:
        return name in self.index

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return self.n

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        return self is other or (self.states == other.states and self.groups == other.groups)

    def __hash__(self) -> int:
        return self._hash

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"a schema is frozen, so {name!r} cannot be set: make another, by extend() or merge()"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a schema is frozen, so {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.states, self.name, tuple(self.groups.values()))

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:8]) + (f", … {self.n - 8} more" if self.n > 8 else "")
        return f"<Schema {self.name}: {shown}>" if self.name else f"<Schema {shown}>"


def _rebuilt(states: tuple[StateDef, ...], name: str, groups: tuple[GroupDef, ...]) -> Schema:
    return Schema(states, name=name, groups=groups)


def _with_exception(states: tuple[StateDef, ...]) -> tuple[StateDef, ...]:
    if all(state.name != EXCEPTION for state in states):
        return (*states, StateDef(EXCEPTION, multi=True))
    return tuple(state.replace(multi=True) if state.name == EXCEPTION else state for state in states)


def _is_plain_exception(state: StateDef) -> bool:
    """Whether this is `Exception` with nothing that its author would have had to write."""
    return state.replace(args=None) == StateDef(EXCEPTION, multi=True)
