"""Schemas as plain data: reading them with errors that name the key, writing them, and their digest.

Only mappings, lists, strings, numbers and booleans come in and go out. A class or function never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard, cast

from amachine._defs import EXCEPTION, RELATIONS, GroupDef, StateDef
from amachine.errors import SchemaError, closest, nearest

_LISTS = (*RELATIONS, "tags")
_VALUES = (*_LISTS, "auto", "multi", "limit", "doc")
_MEMBERSHIPS = ("groups", "exclusive")
_KEYS = (*_VALUES, *_MEMBERSHIPS)


def read(data: object, order: Iterable[str] | None, schema: str) -> tuple[list[StateDef], list[GroupDef]]:
    """Return the states, in order, and the groups. Errors: `SchemaError`."""
    entries = _mapping(data)
    if entries is None:
        says = f"a schema is read from a mapping of names to states, not from {data!r}"
        raise SchemaError(says, schema=schema)
    if order is not None:
        entries = _in_order(entries, tuple(order), schema)
    entries.setdefault(EXCEPTION, None)
    states: list[StateDef] = []
    groups: dict[str, GroupDef] = {}
    for name, entry in entries.items():
        keys = _keys(name, entry, schema)
        for membership in _MEMBERSHIPS:
            for group in _group_names(name, membership, keys.pop(membership, ()), schema):
                _join(groups, group, name, membership, schema)
        try:
            states.append(StateDef(name, args=dict, **keys))
        except SchemaError as error:
            raise error.within(schema) from None
    return states, [*groups.values()]


def write(states: Iterable[StateDef], groups: Iterable[GroupDef]) -> dict[str, dict[str, Any]]:
    """Return what `read` reads. A group is told by its members, each of which lists it."""
    data = {state.name: _written(state) for state in states}
    for group in groups:
        for member in group.members:
            data[member].setdefault("exclusive" if group.exclusive else "groups", []).append(group.name)
    return data


def digest(states: Iterable[StateDef]) -> str:
    """Return sixteen hex digits over what makes clocks comparable: names, order, relations, auto, multi."""
    # Imported here: most programs never ask.
    import json
    from hashlib import sha256

    told = [
        [state.name, *([*getattr(state, relation)] for relation in RELATIONS), state.auto, state.multi]
        for state in states
    ]
    return sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()[:16]


def _mapping(value: object) -> dict[Any, Any] | None:
    return dict(value) if _is_mapping(value) else None


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _in_order(entries: Mapping[Any, Any], order: Sequence[str], schema: str) -> dict[Any, Any]:
    for name in order:
        # `Exception` need not be in the data: it is in every schema, and an order may say where.
        if name not in entries and name != EXCEPTION:
            says = (
                f"the order has {name!r}, but no such state is declared{nearest(name, entries)}: take it out"
            )
            raise SchemaError(says, schema=schema, state=name, nearest=closest(name, entries))
    for name in entries:
        if name not in order:
            says = f"state {name!r} has no place in the order{nearest(name, order)}: put it in"
            raise SchemaError(says, schema=schema, state=name, nearest=closest(name, order))
    return {name: entries.get(name) for name in order}


def _keys(name: object, entry: object, schema: str) -> dict[str, Any]:
    keys = {} if entry is None else _mapping(entry)  # None: an empty entry in YAML
    if keys is None:
        says = f"state {name!r} is described by a mapping such as {{'require': [...]}}, not by {entry!r}"
        raise SchemaError(says, schema=schema, state=str(name))
    for key in keys:
        if key not in _KEYS:
            near = nearest(str(key), _KEYS)
            raise SchemaError(
                f"state {name!r} has the unknown key {key!r}{near}: legal are {', '.join(_KEYS)}",
                schema=schema,
                state=str(name),
                relation=str(key),
                nearest=closest(str(key), _KEYS),
            )
    return keys


def _group_names(state: str, key: str, value: object, schema: str) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)):
        names = tuple(cast("Iterable[Any]", value))
        if all(isinstance(name, str) for name in names):
            return names
    says = f"state {state!r} has {value!r} as its {key}: write a list of names of groups"
    raise SchemaError(says, schema=schema, state=state, relation=key)


def _join(groups: dict[str, GroupDef], name: str, state: str, membership: str, schema: str) -> None:
    exclusive = membership == "exclusive"
    group = groups.get(name, GroupDef(name, (), exclusive=exclusive))
    if group.exclusive is not exclusive:
        says = f"group {name!r} of state {state!r} is exclusive for some of its members: say the same for all"
        raise SchemaError(says, schema=schema, state=state, relation=membership)
    groups[name] = GroupDef(name, (*group.members, state), exclusive=exclusive)


def _written(state: StateDef) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for key in _VALUES:
        value: Any = getattr(state, key)
        if value:
            told[key] = [*value] if key in _LISTS else value
    return told
