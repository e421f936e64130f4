"""A choreography as one end of a wire needs it: by name and by number, what encodes and decodes each branch.

Made once for a choreography, kept as long as that, and shared by all its sessions. It knows no connection.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import attrs

from amachine.choreography.canonical import fingerprint, numbering
from amachine.choreography.script import Script
from amachine.choreography.wire.codec import STANDARD, Codec, Decode, Encode, Unsendable

__all__ = ["Branch", "Played", "Scripted", "Wiring", "wiring_of"]

SCENES = 0x1_0000
BRANCHES = 0x100


class Scripted(Protocol):
    """A choreography, for all that a wire cares."""

    @property
    def script(self) -> Script:
        """What is played."""
        ...

    @property
    def codec(self) -> Codec | None:
        """What encodes payloads; None for the standard one."""
        ...


Played: TypeAlias = Script | Scripted


@attrs.frozen
class Branch:
    """One branch of a scene, ready to travel."""

    scene: str
    label: str
    at: tuple[int, int]
    """The numbers of its scene and of itself."""
    limit: int
    """The most bytes of its payload."""
    encode: Encode
    decode: Decode


class Wiring:
    """Every branch of a script, ready to travel. Errors: `Unsendable` for a payload type that cannot."""

    def __init__(self, script: Script, codec: Codec) -> None:
        self.script = script
        self.codec = codec
        self.branches: dict[tuple[str, str], Branch] = {}
        """By scene and label."""
        made: list[tuple[Any, int, Encode, Decode]] = []
        numbers = numbering(script)
        for scene, branch in script.branches():
            at = numbers[scene.id, branch.label]
            if at[0] >= SCENES or at[1] >= BRANCHES:
                text = f"a wire counts {SCENES:,} scenes, and {BRANCHES} branches of each: this has more"
                raise Unsendable(text, scene=scene.id, label=branch.label)
            known = next((each for each in made if each[0] is branch.payload), None)
            if known is None:
                known = self._typed(scene.id, branch.label, branch.payload)
                made.append(known)
            self.branches[scene.id, branch.label] = Branch(scene.id, branch.label, at, *known[1:])
        self.by_number: dict[tuple[int, int], Branch] = {
            branch.at: branch for branch in self.branches.values()
        }

    def _typed(self, scene: str, label: str, payload: Any) -> tuple[Any, int, Encode, Decode]:
        codec = STANDARD if payload is None else self.codec  # nothing is nothing in every format
        problem = codec.problem(payload)
        if problem is not None:
            raise Unsendable(problem, scene=scene, label=label)
        return payload, codec.limit(payload), codec.encoder(payload), codec.decoder(payload)

    @cached_property
    def fingerprint(self) -> str:
        """What both ends must have in common."""
        return fingerprint(self.script)


_MADE: WeakKeyDictionary[Any, Wiring] = WeakKeyDictionary()


def wiring_of(played: Played) -> Wiring:
    """The wiring of a choreography, or of a script with the standard codec. Errors: `Unsendable`."""
    found = _MADE.get(played)
    if found is None:
        if isinstance(played, Script):
            found = Wiring(played, STANDARD)
        else:
            found = Wiring(played.script, played.codec or STANDARD)
        _MADE[played] = found
    return found
