"""What a class body says of several states at once: groups, and relations that are told afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from amachine._classbody import Declared, note
from amachine._defs import GroupDef
from amachine._state import AnyState, Related, related
from amachine.errors import SchemaError

if TYPE_CHECKING:
    from amachine._lower import Scope


class Group(Declared):
    """Some states under one name. Of an `exclusive` group at most one is active."""

    __slots__ = ("exclusive", "states")

    kind = "group"
    mend = "`name = exclusive(…)`"

    states: tuple[AnyState | str, ...]
    """Its members as written."""
    exclusive: bool

    def __init__(self, states: tuple[AnyState | str, ...], *, exclusive: bool) -> None:
        super().__init__()
        self.states = related(members=states)["members"]
        self.exclusive = exclusive

    @property
    def members(self) -> tuple[str, ...]:
        """The names of its members."""
        return tuple(map(str, self.states))

    def __iter__(self) -> Iterator[AnyState | str]:
        return iter(self.states)

    def __len__(self) -> int:
        return len(self.states)

    def __contains__(self, item: object, /) -> bool:
        return item in self.states or item in self.members

    def _lower(self, scope: Scope) -> None:
        names = scope.names_of(self.states, f"the group {self.name!r}")
        if not self.name.startswith("_"):
            scope.groups[self.name] = GroupDef(self.name, names, exclusive=self.exclusive)
        elif self.exclusive:
            for name in names:
                scope.amend(name, "exclusive()", {"remove": [other for other in names if other != name]})

    def __repr__(self) -> str:
        kind = "exclusive" if self.exclusive else "group"
        return f"<Group {self.name or '(unnamed)'} = {kind}({', '.join(self.members)})>"


class Relation(Declared):
    """What `relate` says of a state that is declared already."""

    __slots__ = ("relations", "state")

    kind = "relation"
    mend = "`_ = relate(…)`"

    state: Declared | str
    relations: Mapping[str, tuple[AnyState | str, ...]]

    def __init__(self, state: AnyState | str, relations: Mapping[str, tuple[AnyState | str, ...]]) -> None:
        super().__init__()
        (self.state,) = related(state=(state,))["state"]
        self.relations = relations

    def _lower(self, scope: Scope) -> None:
        more = {key: scope.names_of(items, f"relate({key}=…)") for key, items in self.relations.items()}
        scope.amend(scope.name_of(self.state, "relate()"), "relate()", more)

    def __repr__(self) -> str:
        return f"<Relation of {self.state}>"


def exclusive(*states: AnyState | str) -> Group:
    """Say that of these states at most one is active: each removes the others. Assign it in the class body.

    Errors: `SchemaError` for fewer than two.
    """
    if len(states) < 2:
        raise SchemaError(f"exclusive() takes two states or more, not {len(states)}: name them")
    made = Group(states, exclusive=True)
    note(made)
    return made


def group(*states: AnyState | str) -> Group:
    """Give some states a name in common, which changes nothing. Assign it in the class body.

    Errors: `SchemaError` for none.
    """
    if not states:
        raise SchemaError("group() takes one state or more: name them")
    made = Group(states, exclusive=False)
    note(made)
    return made


def relate(
    state: AnyState | str,
    /,
    *,
    require: Related = (),
    add: Related = (),
    remove: Related = (),
    after: Related = (),
) -> Relation:
    """Add to the relations of a state that is there already. Assign it in the class body, to `_` for one.

    Of an inherited state this changes what the class itself and its subclasses have, never the base.
    """
    made = Relation(state, related(require=require, add=add, remove=remove, after=after))
    note(made)
    return made
