"""The options of a choreography, looked at before anything is read: type checkers see most of it first. It decides nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from amachine.choreography.script import Inform
from amachine.choreography.typenames import kind_of
from amachine.errors import nearest

if TYPE_CHECKING:
    from amachine.choreography.script import Script

__all__ = ["End", "Engine", "Policy", "one_of", "see_callable", "see_options", "see_profile"]

Policy: TypeAlias = Literal["auto", "all", "declared"]
"""Who is told of choices: those who need it; everybody; nobody but whom the author named."""

Engine: TypeAlias = Literal["table", "machine"]
"""What the roles of a session are kept in."""

End: TypeAlias = Literal["known", "bye"]
"""When a role ends: when it knows that all is over; or also when all whom it could hear from have said goodbye."""


def see_options(
    *,
    name: object = None,
    inform: object = "auto",
    informs: Iterable[object] = (),
    profile: object = None,
    end: object = "known",
    patience: Any = None,
    codec: object = None,
    engine: object = "table",
) -> None:
    """Errors: `TypeError` for what is of no use there, `ValueError` for values that there are not."""
    one_of("end", end, get_args(End))
    one_of("inform", inform, get_args(Policy))
    one_of("engine", engine, get_args(Engine))
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name={name!r}: a name is a text")
    for each in informs:
        if not isinstance(each, Inform):
            raise TypeError(f"informs: {each!r} is no Inform; write Inform(scene, label, role)")
    if patience is not None and not (_is_number(patience) and 0 < patience < math.inf):
        raise ValueError(f"patience={patience!r}: it is a number of seconds above 0; None waits for ever")
    if codec is not None and (lacks := [each for each in _CODEC if not hasattr(codec, each)]):
        raise TypeError(f"codec={codec!r} is no Codec: it has no {', no '.join(lacks)}")
    if profile is not None:
        _see_numbers(profile)


def see_callable(name: str, given: object) -> None:
    """Errors: `TypeError` for what is to be called later, and cannot be. None is nothing to call."""
    if given is not None and not callable(given):
        raise TypeError(f"{name}: {kind_of(given)} cannot be called")


def see_profile(profile: Mapping[tuple[str, str], float] | None, script: Script) -> None:
    """Errors: `ValueError`, for a branch that there is not."""
    known = {(scene.id, branch.label) for scene, branch in script.branches()}
    for key in profile or ():
        if key not in known:
            said = ".".join(map(str, key))
            guess = nearest(said, [".".join(each) for each in known])
            raise ValueError(
                f"profile: {script.name} has no branch {said}{guess}; its keys are scene and label"
            )


def _see_numbers(profile: Any) -> None:
    if not isinstance(profile, Mapping):
        raise TypeError(f"profile={profile!r}: it is a mapping of (scene, label) to how often that was taken")
    for key, often in profile.items():  # pyright: ignore[reportUnknownVariableType]
        if not (isinstance(key, tuple) and len(key) == 2):  # pyright: ignore[reportUnknownArgumentType]
            raise TypeError(f"profile: {key!r} is no pair of scene and label")
        if not (_is_number(often) and 0 <= often < math.inf):
            raise ValueError(
                f"profile: {key[0]}.{key[1]} was taken {often!r} times: that is a number from 0 on"
            )


def one_of(name: str, given: object, known: tuple[str, ...]) -> None:
    """Errors: `ValueError`, with the nearest."""
    if given not in known:
        raise ValueError(
            f"{name}={given!r}{nearest(str(given), known)}: there are {', '.join(map(repr, known))}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CODEC = ("name", "problem", "limit", "encoder", "decoder")
"""What a codec has; asked for by name, so that nobody has to load codecs who needs none."""
