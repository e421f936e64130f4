"""What a schema has: the states that some code counts on, and the values in tags. Compares; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from amachine.errors import nearest
from amachine.mutation import Check
from amachine.schema import Schema

if TYPE_CHECKING:
    from amachine.declare import States
    from amachine.machine import Machine
    from amachine.schema import StateDef


def implements(
    given: Machine | type[States] | Schema, wanted: type[States] | Schema | Iterable[str]
) -> Check:
    """Whether a machine, or its schema, has all the states that some code counts on. `why` names each that it lacks.

    A state of a class or schema must be there by name, be multi where that is, and require, add and remove at least what
    that does. Of names, only that they are there.
    """
    schema = _schema_of(given)
    if isinstance(wanted, (Schema, type)):
        states = _schema_of(wanted).states
        said = [says for state in states if (says := _lacks(schema, state))]
    else:
        said = [_unknown(schema, name) for name in wanted if not schema.has(name)]
    return Check(not said, f"{schema.name or 'the schema'} {'; '.join(said)}" if said else "")


def tag_value(tags: Iterable[str], key: str) -> str | None:
    """The value of the first tag `key:value`, "" of a tag that is just `key`, None without one.

    `tag_value(flow.tags, "env")`, `tag_value(flow.ready.definition.tags, "icon")`.
    """
    for tag in tags:
        name, _, value = tag.partition(":")
        if name == key:
            return value
    return None


def _schema_of(given: Machine | type[States] | Schema) -> Schema:
    return given if isinstance(given, Schema) else given.schema


def _lacks(schema: Schema, wanted: StateDef) -> str:
    """What a schema lacks of a state; empty where nothing."""
    if not schema.has(wanted.name):
        return _unknown(schema, wanted.name)
    has = schema[wanted.name]
    if wanted.multi and not has.multi:
        return f"has {wanted.name}, but not as a multi state"
    for relation in ("require", "add", "remove"):
        lost = set(getattr(wanted, relation)) - set(getattr(has, relation))
        if lost:
            return f"has {wanted.name}, but it does not {relation} {', '.join(sorted(lost))}"
    return ""


def _unknown(schema: Schema, name: str) -> str:
    return f"has no state {name!r}{nearest(name, schema.names)}"
