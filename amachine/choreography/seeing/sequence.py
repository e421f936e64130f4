"""What was said, in order, as a sequence diagram or as lines of text. It knows events, and nothing that runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from itertools import groupby
from typing import TypeAlias, TypeVar

import attrs

from amachine.choreography.playing.events import EpochBegun, Event, FrameDropped, RoleEnded, RoleLost, Step
from amachine.choreography.playing.frames import plain
from amachine.choreography.seeing.drawing import mermaid_text
from amachine.choreography.seeing.titles import scene_name
from amachine.tracers.shown import cut

__all__ = [
    "Mood", "Note", "Row", "Said", "is_seen_elsewhere", "last", "roles_in", "roles_of", "rows_of", "sequence_diagram",
    "transcript",
]  # fmt: skip

DATA = 60
"""Characters of a payload."""

RUN = 4
"""So many messages one after the other that differ in their payloads alone are one, with their number."""


@attrs.frozen
class Said:
    """What one role said at once."""

    sender: str
    to: tuple[str, ...]
    told: tuple[str, ...]
    """Who only hears what was chosen."""
    what: str
    data: str = ""
    times: int = 1

    @property
    def counted(self) -> str:
        """How often it was said, if more than once."""
        return f" (× {self.times:,})" if self.times > 1 else ""

    def arrows(self) -> Iterator[_Arrow]:
        """One for each who hears it."""
        data = f" {self.data}" if self.data else ""
        said = f"{self.what}{data}{self.counted}"
        yield from (_Arrow(self.sender, role, said) for role in self.to)
        told = f"{self.what}{self.counted}"
        yield from (_Arrow(self.sender, role, told, told=True) for role in self.told)


class Mood(Enum):
    """What kind of thing a note tells."""

    PLAIN = auto()
    """A role has done something by itself."""
    NEWS = auto()
    GOOD = auto()
    """A role has come to an exit."""
    BAD = auto()


@attrs.frozen
class Note:
    """Something of one role that is no message."""

    role: str
    text: str
    mood: Mood = Mood.NEWS


Row: TypeAlias = Said | Note


@attrs.frozen
class _Arrow:
    """A line between two roles."""

    sender: str
    receiver: str
    text: str
    told: bool = False


def sequence_diagram(events: Iterable[Event], *, limit: int) -> str:
    """The events of one session as a Mermaid sequence diagram: at most so many messages and notes, the last ones."""
    rows = rows_of(events)
    names = _Names(rows)
    text = ["sequenceDiagram", *names.declared()]
    lines, earlier = last(_lines(rows), limit)
    if earlier:
        text.append(f"  %% {earlier:,} earlier lines are left out")
    for each in lines:
        if isinstance(each, Note):
            text.append(f"  Note over {names.of(each.role)}: {mermaid_text([each.text])}")
        else:
            arrow = "-->>" if each.told else "->>"
            text.append(
                f"  {names.of(each.sender)}{arrow}{names.of(each.receiver)}: {mermaid_text([each.text])}"
            )
    return "\n".join(text) + "\n"


def transcript(events: Iterable[Event], *, limit: int | None = None) -> str:
    """The events of one session as lines of text: `->` for what was said, `~>` for what somebody was only told."""
    every = _lines(rows_of(events))
    lines, earlier = last(every, len(every) if limit is None else limit)
    heads = [
        each.role
        if isinstance(each, Note)
        else f"{each.sender} {'~>' if each.told else '->'} {each.receiver}"
        for each in lines
    ]
    width = max(map(len, heads), default=0)
    text = [f"({earlier:,} earlier lines are left out)"] if earlier else []
    text += [plain(f"{head.ljust(width)}  {each.text}") for head, each in zip(heads, lines, strict=True)]
    return "\n".join(text)


T = TypeVar("T")


def last(lines: Sequence[T], limit: int) -> tuple[Sequence[T], int]:
    """The last ones, at most so many, and how many there are before them. Errors: `ValueError`."""
    if limit < 0:
        raise ValueError(f"limit is {limit}: 0 or more lines")
    earlier = max(len(lines) - limit, 0)
    return lines[earlier:], earlier


def roles_in(rows: Iterable[Row]) -> tuple[str, ...]:
    """All roles that are named, in the order in which they are."""
    found: dict[str, None] = {}
    for row in rows:
        found |= dict.fromkeys((row.role,) if isinstance(row, Note) else (row.sender, *row.to, *row.told))
    return tuple(found)


def roles_of(events: Iterable[Event]) -> frozenset[tuple[str, str]]:
    """The roles whose own steps are among the events: session and name."""
    return frozenset((each.session, each.role) for each in events)


def is_seen_elsewhere(step: Step, roles: frozenset[tuple[str, str]]) -> bool:
    """Whether what a role received is seen where it was sent, too."""
    return any((step.session, peer) in roles for peer in step.peers)


def rows_of(events: Iterable[Event]) -> Sequence[Row]:
    """What the events of one session come to: a long run of messages that differ in their payloads alone is one row."""
    rows: list[Row] = []
    for _, run in groupby(_rows(tuple(events)), key=_likeness):
        same = list(run)
        first = same[0]
        rows += (
            [attrs.evolve(first, times=len(same))] if len(same) >= RUN and isinstance(first, Said) else same
        )
    return rows


def _rows(events: tuple[Event, ...]) -> Iterator[Row]:
    """What was said, where it was sent; or where it was received, if who sent it is not seen."""
    roles = roles_of(events)
    for event in events:
        if not isinstance(event, Step):
            yield _note(event)
            continue
        what = f"{scene_name(event.scene)}.{event.label}"
        data = "" if event.data is None else cut(str(event.data), DATA)
        if not event.sent:
            if not is_seen_elsewhere(event, roles):
                told = event.role in event.informed
                to, informed = ((), (event.role,)) if told else ((event.role,), ())
                yield from (Said(peer, to, informed, what, data) for peer in event.peers)
        elif event.peers or event.informed:
            yield Said(event.role, event.peers, event.informed, what, data)
        else:
            yield Note(event.role, f"{what}{data and ' '}{data}", Mood.PLAIN)


def _note(event: RoleLost | EpochBegun | FrameDropped | RoleEnded) -> Note:
    match event:
        case RoleLost():
            needed = "" if event.needed else ", and no longer needed"
            mood = Mood.BAD if event.needed else Mood.NEWS
            return Note(event.role, f"{event.lost} is lost{needed}: {event.why}", mood)
        case EpochBegun():
            how = f"goes on without {event.lost}, at {event.state}"
            if event.restart:
                how = ", with another ".join(["starts again", *event.back])
            return Note(event.role, f"epoch {event.epoch}: {event.region} {how}")
        case FrameDropped():
            what = f"{scene_name(event.frame.scene)}.{event.frame.label}"
            return Note(event.role, f"{what} from {event.peer} is dropped: {event.why}")
        case RoleEnded():
            mood = Mood.BAD if event.why else Mood.GOOD
            return Note(event.role, f"{event.state}{event.why and ': '}{event.why}", mood)


def _likeness(row: Row) -> object:
    return id(row) if isinstance(row, Note) else (row.sender, row.to, row.told, row.what)


def _lines(rows: Iterable[Row]) -> list[_Arrow | Note]:
    lines: list[_Arrow | Note] = []
    for row in rows:
        lines += [row] if isinstance(row, Note) else row.arrows()
    return lines


class _Names:
    """What roles are called in a diagram: by their names, if those are plain words and no words of Mermaid's."""

    def __init__(self, rows: Iterable[Row]) -> None:
        roles = roles_in(rows)
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
