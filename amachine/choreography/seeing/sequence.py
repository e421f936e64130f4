"""What was said, in order, as a sequence diagram or as lines of text. It knows events, and nothing that runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import attrs

from amachine.choreography.playing.events import EpochBegun, Event, FrameDropped, RoleEnded, RoleLost, Step
from amachine.choreography.playing.frames import plain
from amachine.choreography.seeing.drawing import mermaid_text
from amachine.choreography.seeing.titles import scene_name
from amachine.tracers.shown import cut

__all__ = ["is_seen_elsewhere", "roles_of", "sequence_diagram", "transcript"]

DATA = 60
"""Characters of a payload."""

RUN = 4
"""So many messages one after the other that differ in their payloads alone are one, with their number."""


@attrs.frozen
class _Message:
    sender: str
    receiver: str
    what: str
    told: bool
    """It only tells what was chosen."""
    data: str = ""
    times: int = 1

    def __str__(self) -> str:
        times = f" (× {self.times:,})" if self.times > 1 else ""
        return f"{self.what}{self.data and ' '}{self.data}{times}"


@attrs.frozen
class _Note:
    role: str
    text: str


def sequence_diagram(events: Iterable[Event], *, limit: int) -> str:
    """The events of one session as a Mermaid sequence diagram: at most so many messages and notes, the last ones."""
    lines = list(_folded(_lines(tuple(events))))
    names = _Names(lines)
    text = ["sequenceDiagram", *names.declared()]
    if len(lines) > limit:
        text.append(f"  %% {len(lines) - limit:,} earlier lines are left out")
    for each in lines[-limit:]:
        if isinstance(each, _Note):
            text.append(f"  Note over {names.of(each.role)}: {mermaid_text([each.text])}")
        else:
            arrow = "-->>" if each.told else "->>"
            text.append(
                f"  {names.of(each.sender)}{arrow}{names.of(each.receiver)}: {mermaid_text([str(each)])}"
            )
    return "\n".join(text) + "\n"


def transcript(events: Iterable[Event]) -> str:
    """The events of one session as lines of text: `->` for what was said, `~>` for what somebody was only told."""
    lines = list(_folded(_lines(tuple(events))))
    said = [_arrow(each) if isinstance(each, _Message) else "" for each in lines]
    width = max(map(len, said), default=0)
    pairs = zip(said, lines, strict=True)
    return "\n".join(
        plain(
            f"{each.role.ljust(width)}  {each.text}"
            if isinstance(each, _Note)
            else f"{arrow.ljust(width)}  {each}"
        )
        for arrow, each in pairs
    )


def roles_of(events: Iterable[Event]) -> frozenset[tuple[str, str]]:
    """The roles whose own steps are among the events: session and name."""
    return frozenset((each.session, each.role) for each in events)


def is_seen_elsewhere(step: Step, roles: frozenset[tuple[str, str]]) -> bool:
    """Whether what a role received is seen where it was sent, too."""
    return any((step.session, peer) in roles for peer in step.peers)


def _lines(events: tuple[Event, ...]) -> Iterator[_Message | _Note]:
    """A message where it is sent; or where it is received, if who sent it is not seen."""
    roles = roles_of(events)
    for event in events:
        if not isinstance(event, Step):
            yield _note(event)
            continue
        what = f"{scene_name(event.scene)}.{event.label}"
        data = "" if event.data is None else cut(str(event.data), DATA)
        if not event.sent:
            told = event.role in event.informed
            if not is_seen_elsewhere(event, roles):
                yield from (_Message(peer, event.role, what, told, data) for peer in event.peers)
        elif event.peers or event.informed:
            yield from (_Message(event.role, peer, what, False, data) for peer in event.peers)  # noqa: FBT003
            yield from (_Message(event.role, peer, what, True) for peer in event.informed)  # noqa: FBT003
        else:
            yield _Note(event.role, f"{what}{data and ' '}{data}")


def _note(event: RoleLost | EpochBegun | FrameDropped | RoleEnded) -> _Note:
    match event:
        case RoleLost():
            needed = "" if event.needed else ", and no longer needed"
            return _Note(event.role, f"{event.lost} is lost{needed}: {event.why}")
        case EpochBegun():
            start = f"epoch {event.epoch}: {event.region} goes on without {event.lost}, at {event.state}"
            return _Note(event.role, start)
        case FrameDropped():
            what = f"{scene_name(event.frame.scene)}.{event.frame.label}"
            return _Note(event.role, f"{what} from {event.peer} is dropped: {event.why}")
        case RoleEnded():
            return _Note(event.role, f"{event.state}{event.why and ': '}{event.why}")


def _folded(lines: Iterable[_Message | _Note]) -> Iterator[_Message | _Note]:
    """The lines, in which a long run of messages that differ in their payloads alone is one."""
    for _, run in groupby(lines, key=_likeness):
        same = list(run)
        first = same[0]
        if len(same) >= RUN and isinstance(first, _Message):
            yield attrs.evolve(first, times=len(same))
        else:
            yield from same


def _likeness(each: _Message | _Note) -> object:
    return id(each) if isinstance(each, _Note) else (each.sender, each.receiver, each.what, each.told)


def _arrow(each: _Message) -> str:
    return f"{each.sender} {'~>' if each.told else '->'} {each.receiver}"


class _Names:
    """What roles are called in a diagram: by their names, if those are plain words and no words of Mermaid's."""

    def __init__(self, lines: Iterable[_Message | _Note]) -> None:
        roles: dict[str, None] = {}
        for each in lines:
            named = (each.role,) if isinstance(each, _Note) else (each.sender, each.receiver)
            roles.update(dict.fromkeys(named))
        self._roles = {role: f"r{at}" for at, role in enumerate(roles)}
        self._plain = all(
            each.isidentifier() and each.isascii() and each.lower() not in _WORDS for each in roles
        )

    def declared(self) -> list[str]:
        """The lines that declare them, where that is necessary."""
        if self._plain:
            return []
        return [f"  participant {id} as {mermaid_text([role])}" for role, id in self._roles.items()]

    def of(self, role: str) -> str:
        """What stands for a role."""
        return role if self._plain else self._roles[role]


_WORDS = frozenset(
    (
        *(
            "activate",
            "actor",
            "alt",
            "and",
            "as",
            "autonumber",
            "box",
            "break",
            "create",
            "critical",
            "deactivate",
        ),
        *(
            "destroy",
            "details",
            "else",
            "end",
            "left",
            "link",
            "links",
            "loop",
            "note",
            "opt",
            "option",
            "over",
            "par",
        ),
        *("participant", "properties", "rect", "right", "sequencediagram", "title"),
    )
)
