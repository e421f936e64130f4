"""One form of a script, whoever wrote it and in which order: what two builds compare before they talk to one another.

Two scripts with one fingerprint exchange the same frames. What is one side's business alone is no part of it: the name of the
whole, weights, deadlines, patience, places in files. It decides nothing; JSON out and in is in `written`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from amachine.choreography.differing import differences
from amachine.choreography.script import SceneDef, Script
from amachine.choreography.typenames import payload_schema
from amachine.choreography.written import ScriptDataError, parse, to_dict

__all__ = [
    "HEAD",
    "ScriptDataError",
    "canonical",
    "fingerprint",
    "first_difference",
    "numbering",
    "parse",
    "scene_hashes",
    "to_dict",
]

HEAD = ""
"""What stands for all that is in no scene, among the hashes: roles, the start, regions and how it ends."""

FORMAT = 1
"""Counted up when the form changes, so that builds with different forms do not take themselves for equal."""


def canonical(script: Script) -> dict[str, Any]:
    """The script as JSON-able data without any order that its author happened to choose.

    Only that of roles is kept: after a loss, it decides who coordinates.
    """
    schemas: dict[int, Any] = {}
    return {
        **_head(script),
        "scenes": {id: _scene(script, script.scenes[id], schemas) for id in sorted(script.scenes)},
    }


def fingerprint(script: Script) -> str:
    """What both ends of a connection must have in common, as 32 hexadecimal digits (BLAKE2b of the canonical form)."""
    return _hash(scene_hashes(script))


def scene_hashes(script: Script) -> dict[str, str]:
    """By scene id, in canonical order, a hash as `fingerprint` has; under `HEAD` that of all that is in no scene."""
    schemas: dict[int, Any] = {}
    scenes = {id: _hash(_scene(script, script.scenes[id], schemas)) for id in sorted(script.scenes)}
    return {HEAD: _hash(_head(script)), **scenes}


def numbering(script: Script) -> dict[tuple[str, str], tuple[int, int]]:
    """By scene id and label, the numbers of scene and branch: indices in the canonical order, from 0.

    They mean something only between scripts of equal fingerprints.
    """
    return {
        (id, label): (scene, branch)
        for scene, id in enumerate(sorted(script.scenes))
        for branch, label in enumerate(sorted(each.label for each in script.scenes[id].branches))
    }


def first_difference(mine: Script, theirs: Script | Mapping[str, str]) -> str | None:
    """Where two scripts first differ, in the order in which a walk meets the scenes; None where they do not.

    With `theirs` as `scene_hashes`, the sentence names the scene; with a script, also what differs in it.
    """
    if not isinstance(theirs, Script):
        return next(_by_hash(mine, theirs), None)
    return next(differences(canonical(mine), canonical(theirs), [*mine.scenes, *theirs.scenes]), None)


def _by_hash(mine: Script, theirs: Mapping[str, str]) -> Iterator[str]:
    hashes = scene_hashes(mine)
    for id in [*mine.scenes, *sorted(theirs), HEAD]:
        if hashes.get(id) != theirs.get(id):
            if id == HEAD:
                yield "the roles, the start, the regions or the ending differ"
            elif id in hashes and id in theirs:
                yield f"scene {id} differs"
            else:
                yield f"scene {id} is only {'here' if id in hashes else 'there'}"


def _head(script: Script) -> dict[str, Any]:
    regions = {
        name: {"on_lost": dict(region.on_lost), "restart": region.restart, "parent": region.parent}
        for name, region in script.regions.items()
    }
    return {
        "format": FORMAT,
        "roles": list(script.roles),
        "start": script.start,
        "regions": regions,
        "mortal": sorted(script.mortal),
        "closing": script.closing,
    }


def _scene(script: Script, scene: SceneDef, schemas: dict[int, Any]) -> dict[str, Any]:
    """`schemas` has those that were made, by payload type: a script that somebody else wrote may name one a thousand times."""
    for branch in scene.branches:
        if branch.payload is not None and id(branch.payload) not in schemas:
            schemas[id(branch.payload)] = payload_schema(branch.payload)
    return {
        "sender": scene.sender,
        "receivers": sorted(scene.receivers),
        "region": scene.region,
        "branches": {
            branch.label: {
                "payload": None if branch.payload is None else schemas[id(branch.payload)],
                "to": sorted(branch.to),
                "informs": sorted(script.informed.get((scene.id, branch.label), ())),
                "next": branch.next,
            }
            for branch in scene.branches
        },
    }


def _hash(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return blake2b(text.encode("ascii"), digest_size=16).hexdigest()
