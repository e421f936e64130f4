"""The rules that every schema keeps, each a function; a broken one is a `SchemaError` that says how to mend it.

`lay_out` runs them all and returns the states as the engine will read them. Everything here is a pure function
of what was written: it must never depend on the order of a hash, nor remember anything.
"""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs

from amachine._bits import bits, mask_of
from amachine._defs import EXCEPTION, RELATIONS
from amachine.errors import SchemaError, closest, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from amachine._defs import GroupDef, StateDef


def lay_out(schema: str, states: Sequence[StateDef], groups: Mapping[str, GroupDef]) -> tuple[StateDef, ...]:
    """Check all the rules. Return the states without redundancy, each relation in the order of declaration."""
    _check_names(schema, states)
    index = {state.name: i for i, state in enumerate(states)}
    _check_known(schema, states, index)
    _check_groups(schema, groups, index)
    rivals = _rivals(groups)
    tidy = tuple(_tidied(state, rivals.get(state.name, {}), index) for state in states)
    for state in tidy:
        _check_contradiction(schema, state, rivals.get(state.name, {}))
    _check_cycles(schema, tidy, index)
    _check_args(schema, tidy, index)
    return tidy


def ordered(needs: Sequence[int]) -> tuple[int, ...]:
    """Take again and again the first item whose needs (a mask for each item) are all taken.

    The answer lacks the items of a cycle and those that need them.
    """
    taken, order, left = 0, list[int](), list(range(len(needs)))
    while (ready := next((i for i in left if not needs[i] & ~taken), None)) is not None:
        taken |= 1 << ready
        order.append(ready)
        left.remove(ready)
    return tuple(order)


def missing(build: Callable[..., Any] | None) -> tuple[str, ...]:
    """Names of the parameters without which this class or function cannot be called.

    Those that Python cannot tell the signature of (some builtins) count as needing nothing.
    """
    if build is None:
        return ()
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        return ()
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind not in free)


def fold(name: str) -> str:
    """What two names must not have in common: handlers are found by it."""
    return name.replace("_", "").casefold()


def check_name(name: object, *, what: str, schema: str = "") -> None:
    """A name is a text that can be seen, and told from its neighbours in a list."""
    if not isinstance(name, str):
        raise SchemaError(f"the name of a {what} is a string, not {name!r}", schema=schema)
    if not name or any(sign.isspace() or not sign.isprintable() for sign in name):
        problem = "is empty" if not name else "has a space or a control character in it"
        raise SchemaError(f"the name {name!r} of a {what} {problem}: rename it", schema=schema, state=name)


def _check_names(schema: str, states: Sequence[StateDef]) -> None:
    seen: dict[str, str] = {}
    for state in states:
        name = state.name
        check_name(name, what="state", schema=schema)
        twin = seen.get(fold(name))
        if twin is None:
            seen[fold(name)] = name
        elif twin == name:
            raise SchemaError(f"state {name!r} is declared twice: keep one", schema=schema, state=name)
        else:
            engines = f" (the engine itself declares {EXCEPTION!r})" if EXCEPTION in {name, twin} else ""
            says = f"states {twin!r} and {name!r} differ only in case or underscores{engines}: rename one"
            raise SchemaError(says, schema=schema, state=name, other=twin)


def _check_known(schema: str, states: Sequence[StateDef], index: Mapping[str, int]) -> None:
    for state in states:
        for relation in RELATIONS:
            for other in getattr(state, relation):
                if other not in index:
                    raise SchemaError(
                        f"state {state.name!r} has {other!r} in its {relation}, but no such state is declared"
                        f"{nearest(other, index)}: declare it, or take it out",
                        schema=schema,
                        state=state.name,
                        relation=relation,
                        other=other,
                        nearest=closest(other, index),
                    )


def _check_groups(schema: str, groups: Mapping[str, GroupDef], index: Mapping[str, int]) -> None:
    for group in groups.values():
        check_name(group.name, what="group", schema=schema)
        if not group.members:
            says = f"group {group.name!r} has no members: give it some, or take it out"
            raise SchemaError(says, schema=schema, relation=group.name)
        for member in group.members:
            if member not in index:
                raise SchemaError(
                    f"group {group.name!r} has the member {member!r}, but no such state is declared"
                    f"{nearest(member, index)}: declare it, or take it out",
                    schema=schema,
                    relation=group.name,
                    other=member,
                    nearest=closest(member, index),
                )


def _rivals(groups: Mapping[str, GroupDef]) -> dict[str, dict[str, str]]:
    """For each member of an exclusive group those that it removes there, each with the name of the group."""
    rivals: dict[str, dict[str, str]] = {}
    for group in groups.values():
        if group.exclusive:
            for member in group.members:
                others = rivals.setdefault(member, {})
                others.update((other, group.name) for other in group.members if other != member)
    return rivals


def _tidied(state: StateDef, rivals: Iterable[str], index: Mapping[str, int]) -> StateDef:
    add = {*state.add} - {state.name}
    remove = {*state.remove, *rivals} - {state.name} - add  # what is both added and removed is added
    after = {*state.after} - {state.name}

    def in_order(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(names, key=index.__getitem__))

    return attrs.evolve(
        state,
        require=in_order({*state.require}),
        add=in_order(add),
        remove=in_order(remove),
        after=in_order(after),
    )


def _check_contradiction(schema: str, state: StateDef, rivals: Mapping[str, str]) -> None:
    name = state.name
    if name in state.require:
        says = f"state {name!r} requires itself, so it could never start: take it out of its require"
        raise SchemaError(says, schema=schema, state=name, relation="require", other=name)
    for other in state.require:
        if other in state.remove:
            group = f" (by the exclusive group {rivals[other]!r})" if other in rivals else ""
            raise SchemaError(
                f"state {name!r} both requires and removes {other!r}{group}: take it out of one of the two",
                schema=schema,
                state=name,
                relation="require",
                other=other,
            )


def _check_cycles(schema: str, states: Sequence[StateDef], index: Mapping[str, int]) -> None:
    require = [mask_of(index[name] for name in state.require) for state in states]
    after = [mask_of(index[name] for name in state.after) for state in states]
    both = [need | late for need, late in zip(require, after, strict=True)]
    for kind, needs in (("require", require), ("after", after), ("require and after", both)):
        loop = _cycle(needs)
        if not loop:
            continue
        path = tuple(states[i].name for i in loop)
        verbs = (
            "requires" if kind != "after" and require[i] >> j & 1 else "comes after"
            for i, j in pairwise(loop)
        )
        steps = (f"{a!r} {verb} {b!r}" for (a, b), verb in zip(pairwise(path), verbs, strict=True))
        raise SchemaError(
            f"there is a cycle of {kind}: {', '.join(steps)}; take one of these relations out",
            schema=schema,
            state=path[0],
            relation=kind,
            other=path[1],
            path=path,
        )


def _cycle(needs: Sequence[int]) -> list[int]:
    """The cycle through the earliest item that has one, that item first and last; empty where there is none."""
    stuck = (1 << len(needs)) - 1 & ~mask_of(ordered(needs))
    for start in bits(stuck):
        # Breadth first, by declaration: the shortest way round is the one that is easiest to read.
        came_from, line = dict[int, int](), [start]
        for at in line:
            for i in bits(needs[at] & stuck):
                if i not in came_from:
                    came_from[i] = at
                    line.append(i)
        if start in came_from:
            loop = [start]
            while len(loop) == 1 or loop[-1] != start:
                loop.append(came_from[loop[-1]])
            return loop[::-1]
    return []


def _check_args(schema: str, states: Sequence[StateDef], index: Mapping[str, int]) -> None:
    """A state that is entered without being called gets empty arguments: it must be possible to make them."""
    lacking = {state.name: names for state in states if (names := missing(state.args))}
    for state in states:
        if state.auto and state.name in lacking:
            problem = f"state {state.name!r} is auto, but its {_needs(state, lacking)}"
            raise SchemaError(
                f"{problem}: give that a default, or take auto away",
                schema=schema,
                state=state.name,
                relation="auto",
            )
        for other in state.add:
            if other in lacking:
                problem = (
                    f"state {state.name!r} adds {other!r}, but its {_needs(states[index[other]], lacking)}"
                )
                raise SchemaError(
                    f"{problem}: give that a default, or take {other!r} out of the add",
                    schema=schema,
                    state=state.name,
                    relation="add",
                    other=other,
                )


def _needs(state: StateDef, lacking: Mapping[str, tuple[str, ...]]) -> str:
    build = getattr(state.args, "__name__", repr(state.args))
    return f"arguments {build} cannot be built without {', '.join(lacking[state.name])}"
