"""The steps of a role in a few signs: `!bob: ping(int)` is said, `?bob: pong(int)` is heard. For drawings and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amachine.choreography.seeing.titles import scene_name
from amachine.choreography.typenames import payload_name

if TYPE_CHECKING:
    from amachine.choreography.local import Give, Take

__all__ = ["after", "chooses", "hears"]


def hears(take: Take, *, full: bool = False) -> str:
    """A frame that may come; `full`: with the name of its scene."""
    label = f"{scene_name(take.scene)}.{take.label}" if full else take.label
    return f"?{take.peer}: {label}{_carrying(take.payload)}"


def chooses(give: Give) -> str:
    """A branch that may be chosen, who hears it and who is only told; a decision of one's own is the label alone."""
    told = f" ⇢ {', '.join(give.informs)}" if give.informs else ""
    said = f"!{', '.join(give.to)}: " if give.to else ""
    return f"{said}{give.label}{_carrying(give.payload)}{told}{after(give.after)}"


def after(seconds: float | None) -> str:
    """Said of what is chosen by itself after so many seconds; else nothing."""
    return "" if seconds is None else f" after {seconds:g} s"


def _carrying(payload: Any) -> str:
    return "" if payload is None else f"({payload_name(payload)})"
