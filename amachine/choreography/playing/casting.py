"""Whether those who are cast can play: each is held to what its role's functions need of it, before anything runs.

It looks at classes, and at what an object has in itself. It calls nothing of the user's, no property either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from inspect import getattr_static
from types import BuiltinFunctionType, FunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from amachine.choreography.acting import Part
from amachine.choreography.reading import Needs
from amachine.choreography.subtypes import is_protocol, of_instances
from amachine.choreography.typenames import kind_of

if TYPE_CHECKING:
    from amachine.choreography.script import Script

__all__ = ["Castable", "check_cast", "checked"]

_MISSING: Any = object()

_NOTHING = Needs()

_WHO_KNOWS: Any = print
"""What may be anything, and so may be called."""

_PLAIN = (
    object, SimpleNamespace, ModuleType, FunctionType, BuiltinFunctionType, partial, BaseException,
    int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset,
)  # fmt: skip
"""Classes of Python that look nowhere else, though they say for themselves how."""


class Castable(Protocol):
    """A choreography, as far as its cast is concerned."""

    @property
    def script(self) -> Script:
        """What is played."""
        ...

    @property
    def roles(self) -> Mapping[str, type]:
        """The classes of its roles."""
        ...

    @property
    def needs(self) -> Mapping[str, Needs]:
        """What its functions ask of those who play, by role."""
        ...


def check_cast(choreography: Castable, cast: Mapping[Any, Any]) -> None:
    """Errors: `TypeError`, with a sentence for each who cannot play its role; `LookupError` for a role that there is not.

    A role that nobody plays is no matter here.
    """
    wrong: list[str] = []
    for role, me in cast.items():
        name = choreography.script.role_named(role)
        why = _misfit(choreography, name, me.me if type(me) is Part else me)
        if why:
            wrong.append(f"{name} is played by {why}")
    if wrong:
        raise TypeError("\n".join(wrong))


def checked(choreography: Castable, casts: Iterable[Mapping[Any, Any]]) -> Iterator[Mapping[Any, Any]]:
    """The same casts, each looked at before it is handed on; only the first where the same classes play the same roles.

    Errors: `TypeError`, also for what are no casts.
    """
    _see_there_are_many(casts)
    seen: set[tuple[Any, ...]] = set()
    for cast in casts:
        _see_it_is_one(cast)
        kinds = (*cast, *map(type, cast.values()))
        if kinds not in seen:
            check_cast(choreography, cast)
            seen.add(kinds)
        yield cast


def _see_there_are_many(casts: Any) -> None:
    wrong = kind_of(casts)
    if isinstance(casts, Mapping) or not isinstance(casts, Iterable):
        raise TypeError(f"casts are one for each session, as in [cast()], not {wrong}")


def _see_it_is_one(cast: object) -> None:
    if not isinstance(cast, Mapping):
        raise TypeError(f"a cast is given by role, as in {{role: object}}, not as {kind_of(cast)}")


def _misfit(choreography: Castable, role: str, me: Any) -> str:
    """Who plays, and why not; nothing if that is well."""
    own = choreography.roles.get(role)
    if own is None:
        return ""  # its functions are not of a notation that says anything of who plays
    if issubclass(type(me), type):
        return f"the class {me.__name__} itself: cast an object, as in `{me.__name__}()`"
    kind: Any = type(me)  # pyright: ignore[reportUnknownVariableType]
    needs = choreography.needs.get(role, _NOTHING)
    if _all_can(kind, role, own, needs):
        return ""
    if own.__name__ == role:  # in scenes a role is a class
        if is_protocol(own):
            needs = needs.and_all_of(own)
        for other, cls in choreography.roles.items():
            if other != role and not is_protocol(cls) and isinstance(me, cls):
                return f"{kind_of(me)}, who is {other}: swapped?"
    lacks = list(_lacks(choreography.script.name, me, needs))
    return f"{kind_of(me)}, which {', and '.join(lacks)}" if lacks else ""


@lru_cache(1024)
def _all_can(kind: type, role: str, own: type, needs: Needs) -> bool:
    """Whether the class alone tells that its instances can play a role: then none of them is looked at."""
    if own.__name__ == role and not is_protocol(own):
        return issubclass(kind, own)
    asked = needs.and_all_of(own) if own.__name__ == role else needs
    known = {*of_instances(kind), *dir(kind)}
    return asked.reads <= known and all(callable(getattr_static(kind, name, None)) for name in asked.calls)


def _lacks(script: str, me: object, needs: Needs) -> Iterator[str]:
    """What somebody lacks, as the ends of a sentence."""
    found = {name: _found(me, name) for name in sorted(needs.calls)}
    missing = [name for name, value in found.items() if value is _MISSING]
    if missing:
        yield f"offers no {', no '.join(missing)} ({script} calls: {', '.join(found)})"
    for name, value in found.items():
        if value is not _MISSING and not callable(value):
            yield f"has {name}, but as {kind_of(value)}, and {script} calls it"
    will_have = set(of_instances(type(me)))
    unread = [name for name in sorted(needs.reads - will_have) if _found(me, name) is _MISSING]
    if unread:
        yield f"has no {', no '.join(unread)} ({script} reads: {', '.join(sorted(needs.reads))})"


def _found(me: object, name: str) -> Any:
    """What an object has by that name, without asking it; `_WHO_KNOWS` where only asking would tell."""
    kind = type(me)
    inside: Mapping[str, Any] = {}
    with suppress(AttributeError):
        inside = object.__getattribute__(me, "__dict__")
    if name in inside:
        return inside[name]
    for each in kind.__mro__:
        if name in vars(each):
            value: object = vars(each)[name]
            return _WHO_KNOWS if hasattr(type(value), "__get__") else value
    asks = any(
        vars(each).keys() & {"__getattr__", "__getattribute__"} for each in kind.__mro__ if each not in _PLAIN
    )
    return _WHO_KNOWS if asks else _MISSING
