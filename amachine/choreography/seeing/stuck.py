"""Why a session does not go on: per role where it stands, what it waits for and from whom, and what is under way. One screen.

Data, and what can be concluded from it. Whoever plays fills it in; nothing here looks at anything that runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from typing import Any

import attrs

from amachine.choreography.acting import Words
from amachine.choreography.local import Give, LocalState, Take
from amachine.choreography.seeing.titles import scene_name
from amachine.tracers.redaction import REDACTED, hides
from amachine.tracers.shown import ArgsMapper, cut, seconds_text, short

__all__ = ["InFlight", "Standing", "Stuck"]

WIDTH = 100
"""Columns of a report."""

LABELS = 6
"""So many of what can be said or heard are named."""

FRAMES = 12
"""So many of the frames under way are listed, the oldest first."""


@attrs.frozen
class InFlight:
    """A frame that was sent, and that no handler has been called for."""

    sender: str
    receiver: str
    scene: str
    label: str
    informs: bool = False
    seq: int = 0
    data: Any = None
    names: tuple[str, ...] = ()
    """What the script calls the data."""


@attrs.frozen
class Standing:
    """Where one role stands."""

    role: str
    state: LocalState
    seconds: float = 0.0
    """Since when it stands there."""
    inside: str = ""
    """What it is in the middle of: `Ping.send`, or in the script's words `bank.fine()`; empty while it waits for a frame."""
    blocked: tuple[str, ...] = ()
    """The peers to whom it cannot send, for want of room."""
    gone: tuple[str, ...] = ()
    """The peers that it has lost."""
    patience: float | None = None
    """After how many seconds, counted like `seconds`, it gives up; None: never."""
    ended: str = ""
    """The state in which it ended: an exit, or `Aborted`; empty while it plays."""
    why: str = ""
    """Why it ended, if it ended otherwise than in an exit."""
    elsewhere: bool = False
    """It is not played here: of its state, only what its frames told is known."""

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The peers without whom it does not go on."""
        if self.ended or self.elsewhere:
            return ()
        return self.blocked or (() if self.inside or self.state.acts else self.state.hears)


@attrs.frozen
class Stuck:
    """How a session stands. `str()` is the report, for people."""

    session: str
    roles: tuple[Standing, ...]
    frames: tuple[InFlight, ...] = ()
    """What is under way, the oldest first."""

    @property
    def culprits(self) -> Mapping[str, tuple[str, ...]]:
        """By role that waits for nobody, those that wait for it, directly or not: in their order."""
        standing = {each.role: each for each in self.roles}
        found: dict[str, list[str]] = {}
        for each in self.roles:
            for end in _ends(each.role, standing):
                if end != each.role:
                    found.setdefault(end, []).append(each.role)
        return {role: tuple(waiting) for role, waiting in found.items()}

    def __str__(self) -> str:
        return "\n".join(cut(line.rstrip(), 2 * WIDTH) for line in self._lines())

    def _lines(self) -> Iterator[str]:
        going = sum(not each.ended for each in self.roles)
        yield f"session {self.session}: {going} of {len(self.roles)} roles still play"
        yield ""
        rows = [("role", "state", "since", "what it does")]
        rows += [(each.role, _state(each), _since(each), _doing(each)) for each in self.roles]
        widths = [min(max(len(row[at]) for row in rows), 28) for at in range(3)]
        for row in rows:
            first = "".join(
                f"{cut(text, width).ljust(width)}  " for text, width in zip(row, widths, strict=False)
            )
            for line in wrap(row[3], max(WIDTH - len(first), 30), break_on_hyphens=False):
                yield first + line
                first = " " * len(first)
        yield ""
        yield from self._under_way()
        yield from self._verdict()

    def _under_way(self) -> Iterator[str]:
        if not self.frames:
            yield "no frame is under way"
            return
        yield f"under way: {_number(len(self.frames), 'frame')}"
        shown = ArgsMapper()
        for each in self.frames[:FRAMES]:
            is_secret = any(hides(shown.redact, name) for name in (each.label, *each.names))
            text = REDACTED if is_secret else short(each.data, shown.limit, shown.redact)
            said = "" if each.data is None else f" {text}"
            number = f" (seq {each.seq})" if each.seq else ""
            arrow = "-->" if each.informs else "->"
            yield f"  {each.sender}{arrow}{each.receiver}: {scene_name(each.scene)}.{each.label}{said}{number}"
        if len(self.frames) > FRAMES:
            yield f"  and {len(self.frames) - FRAMES} more"

    def _verdict(self) -> Iterator[str]:
        standing = {each.role: each for each in self.roles}
        if self.culprits:
            yield ""
        for role, waiting in self.culprits.items():
            yield f"{_and(waiting)} {'wait' if len(waiting) > 1 else 'waits'} for {role}: {_reason(role, standing)}"


def _ends(role: str, standing: Mapping[str, Standing]) -> tuple[str, ...]:
    """The roles at which the chains of waiting end that begin at this one. A ring of them has no end."""
    seen: dict[str, None] = {role: None}
    ends: dict[str, None] = {}
    queue = [role]
    for each in queue:
        waits = standing[each].waits_for if each in standing else ()
        if not waits:
            ends[each] = None
        fresh = [peer for peer in waits if peer not in seen]
        seen.update(dict.fromkeys(fresh))
        queue.extend(fresh)
    return tuple(ends)


def _reason(role: str, standing: Mapping[str, Standing]) -> str:
    each = standing.get(role)
    if each is None or each.elsewhere:
        return "it is played elsewhere, and has said nothing more"
    if each.ended:
        return f"it has ended in {each.ended}{f' ({each.why})' if each.why else ''}"
    if each.inside:
        whose = "" if isinstance(each.inside, Words) else "its "
        return f"{whose}{each.inside} has not returned for {seconds_text(each.seconds)}"
    return f"it is to send in {each.state.name}, and has not for {seconds_text(each.seconds)}"


def _state(each: Standing) -> str:
    return each.ended or ("?" if each.elsewhere else each.state.name)


def _since(each: Standing) -> str:
    return "" if each.ended or each.elsewhere else seconds_text(each.seconds)


def _doing(each: Standing) -> str:
    """What a role does, in words."""
    if each.ended:
        return each.why or "done"
    if each.elsewhere:
        return "played elsewhere"
    parts = [f"has lost {_and(each.gone)}"] if each.gone else []
    if each.blocked:
        parts.append(f"has no room to send to {_and(each.blocked)}")
    elif each.inside:
        parts.append(f"is in {each.inside}")
    elif each.state.acts:
        parts.append(f"is to send {_labels(each.state.gives)}")
    else:
        parts.append(f"waits for {_awaited(each.state)}")
    if each.patience is not None:
        left = each.patience - each.seconds
        parts.append(f"gives up in {seconds_text(left)}" if left > 0 else "is out of patience")
    return ", ".join(parts)


def _awaited(state: LocalState) -> str:
    by_peer: dict[str, list[Take | Give]] = {}
    for take in state.takes:
        by_peer.setdefault(take.peer, []).append(take)
    return ", or ".join(f"{_labels(takes)} from {peer}" for peer, takes in by_peer.items())


def _labels(steps: Iterable[Take | Give]) -> str:
    """Their labels, with the names of their scenes: `ok or failed of Decide`."""
    by_scene: dict[str, dict[str, None]] = {}
    for step in steps:
        by_scene.setdefault(scene_name(step.scene), {})[step.label] = None
    return ", or ".join(f"{_or(_few(labels))} of {scene}" for scene, labels in by_scene.items())


def _few(labels: Iterable[str]) -> list[str]:
    every = list(labels)
    return every if len(every) <= LABELS else [*every[: LABELS - 1], f"{len(every) - LABELS + 1} others"]


def _and(words: Iterable[str]) -> str:
    return _listed(words, "and")


def _or(words: Iterable[str]) -> str:
    return _listed(dict.fromkeys(words), "or")


def _listed(words: Iterable[str], last: str) -> str:
    *rest, end = words
    return f"{', '.join(rest)} {last} {end}" if rest else end


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
