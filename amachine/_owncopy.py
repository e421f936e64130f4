"""A function that many classes share, once for each of them: for the few that every mutation of every machine comes by.

Python notes in the code of a function where it found an attribute, for objects of one class. Where machines of several
classes take turns in one function, the notes are always about another class, and a mutation takes up to half as long
again. A copy weighs 3 kB, and is made with the first machine of its class.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any


def own_copy(fn: Any, owner: type) -> FunctionType:
    """The same function, with notes of its own. Its code is named after its owner, or profilers would show but one of them."""
    code = fn.__code__.replace(co_name=f"{fn.__name__} of {owner.__name__}")
    return FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
