"""How scenes are called where there is little room: ids of templates carry all that follows, and grow long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from amachine.choreography.typenames import payload_name

if TYPE_CHECKING:
    from amachine.choreography.script import BranchDef, Script

__all__ = ["arguments", "saying", "scene_name", "titles"]

SHORT = 28
"""Characters up to which an id is shown as it is."""


def scene_name(id: str) -> str:
    """What stands before the arguments: `Ping` of `Ping[alice, bob, Exit]`."""
    return id.partition("[")[0]


def arguments(id: str) -> tuple[str, ...]:
    """The arguments of a template instance: `alice`, `bob` and `Exit` of `Ping[alice, bob, Exit]`."""
    return tuple(_split(id.partition("[")[2].removesuffix("]"))) if id.endswith("]") else ()


def _split(text: str) -> Iterator[str]:
    """What stands between the commas that are in no bracket."""
    depth = start = 0
    for at, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and not depth:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def titles(script: Script) -> Mapping[str, str]:
    """By scene id, a title: the id; of a long one the name and the roles, with a number where several would have the same."""
    plain = {id: _title(script, id) for id in script.scenes}
    alike: dict[str, list[str]] = {}
    for id, title in plain.items():
        alike.setdefault(title, []).append(id)
    return {
        id: title if len(alike[title]) == 1 else f"{title} #{alike[title].index(id) + 1}"
        for id, title in plain.items()
    }


def _title(script: Script, id: str) -> str:
    given = arguments(id)
    roles = [each for each in given if each in script.roles]
    short = f"{scene_name(id)}[{', '.join([*roles, '…'])}]"
    is_cut = len(roles) < len(given) and len(short) < len(id)
    return short if is_cut and len(id) > SHORT else id


def saying(branch: BranchDef) -> str:
    """What a branch says: its label, and the type of what goes along: `ping(int)`."""
    return branch.label if branch.payload is None else f"{branch.label}({payload_name(branch.payload)})"
