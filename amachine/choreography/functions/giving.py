"""What operations give back while they play, held to what the script takes it for: nobody has to be awaited unnoticed.

The code of a script looks by itself whether it got something of the class that was annotated; only if not, it asks here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from inspect import isawaitable
from types import CoroutineType, GeneratorType
from typing import Any, get_args, get_origin

from amachine.choreography.acting import GaveWrong
from amachine.choreography.functions.kinds import UNKNOWN, options
from amachine.choreography.typenames import kind_of

__all__ = ["HELPERS", "classes_of", "decides", "plain"]


def plain(value: object, text: str) -> object:
    """What was called without `await`, as it is. Errors: `GaveWrong`, where it has to be awaited."""
    kind = type(value)
    if hasattr(kind, "__await__") or (kind is GeneratorType and isawaitable(value)):
        what = kind_of(value)
        if isinstance(value, CoroutineType | GeneratorType):
            what = "a coroutine"
            value.close()  # nobody will await it: Python need not warn of that, too
        raise GaveWrong(f"{text} gave {what}: it is called without await in the script", handler=text)
    return value


def decides(value: object, text: str) -> bool:
    """What a decision takes that is annotated as bool. Errors: `GaveWrong`, for anything but True and False."""
    if value is True or value is False:
        return value
    plain(value, text)
    gave = "gave" if text.endswith(")") else "is"
    why = "which its annotation excludes: only True and False decide here"
    raise GaveWrong(f"{text} {gave} {kind_of(value)}, {why}", handler=text, got=value)


HELPERS: Mapping[str, Any] = {".plain": plain, ".decides": decides}
"""By the names under which the code of a script knows them."""


def classes_of(kind: Any) -> tuple[Any, ...] | None:
    """The classes that values of a type have, most of them; nothing where that is not known, None where one can be awaited."""
    found: list[Any] = []
    for each in options(kind):
        plain_kind = get_origin(each) or each
        if each is UNKNOWN:
            return ()
        if isinstance(plain_kind, type):
            if issubclass(plain_kind, Awaitable):
                return None
            found.append(plain_kind)
        elif values := get_args(each):
            found += map(type, values)
    return tuple(dict.fromkeys(found))
