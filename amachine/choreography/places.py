"""Where things were written: functions, and the calls that are being run. Decides nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amachine.choreography.script import Place

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["caller", "place_of"]

_OURS = __name__.rpartition(".")[0]


def caller() -> Place | None:
    """The line being run of whoever called into choreographies from outside; None if nobody did."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module != _OURS and not module.startswith(f"{_OURS}."):
            return Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def place_of(function: Callable[..., Any]) -> Place | None:
    """Where a function begins, decorators included; None where that cannot be known."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else Place(code.co_filename, code.co_firstlineno)
