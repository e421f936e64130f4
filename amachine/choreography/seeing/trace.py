"""What a session did, kept: sequence diagrams, counts of what was chosen, JSON lines out and in. It changes nothing.

Payloads become short texts at once, without secrets: no object of the user's is kept, and no long one costs its length.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

import attrs
import msgspec
from msgspec.structs import asdict, fields, replace

from amachine.choreography.playing.events import (
    EpochBegun,
    Event,
    FrameDropped,
    RoleEnded,
    RoleLost,
    StageTracer,
    Step,
)
from amachine.choreography.playing.frames import plain
from amachine.choreography.seeing.sequence import (
    is_seen_elsewhere,
    last,
    roles_of,
    rows_of,
    sequence_diagram,
    transcript,
)
from amachine.choreography.typenames import kind_of
from amachine.errors import AmachineError, nearest
from amachine.tracers.redaction import REDACTED, Part, hides, parts, scrub, secret_parts
from amachine.tracers.shown import cut, short

if TYPE_CHECKING:
    import os
    from types import TracebackType

__all__ = ["Trace", "TraceError", "TraceFile", "read"]

_KINDS: Mapping[str, type[Event]] = {
    "step": Step,
    "lost": RoleLost,
    "epoch": EpochBegun,
    "dropped": FrameDropped,
    "ended": RoleEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_USUAL = {kind: {field.name: field.default for field in fields(kind)} for kind in _NAMES}
"""The default values of fields."""


class TraceError(AmachineError):
    """A file holds no trace. The text says in which line, and why."""


@attrs.frozen
class _Shown:
    """Makes events into such that can be kept and shown: payloads as text."""

    chars: int = 40
    redact: tuple[Part, ...] = attrs.field(factory=secret_parts, converter=parts)

    def __call__(self, event: Event) -> Event:
        """The event, with text in the place of what only this process has."""
        if isinstance(event, Step):
            if event.data is None:
                return event
            return replace(event, data=self._text((event.label, *event.names), event.data), names=())
        if isinstance(event, EpochBegun):
            return event
        if isinstance(event, FrameDropped):
            frame = event.frame
            data = None if frame.data is None else kind_of(frame.data)  # nothing here tells what it is called
            return replace(event, frame=frame._replace(data=data))
        return replace(event, why=cut(scrub(event.why[:2000], self.redact), 500))

    def _text(self, names: Iterable[str], data: object) -> str:
        if any(hides(self.redact, name) for name in names):
            return REDACTED
        if isinstance(data, bytes | bytearray):  # what is in them means nothing to anybody
            return f"{len(data):,} bytes"
        return short(data, self.chars, self.redact)


class Trace(StageTracer):
    """Remembers the last `limit` events: `trace = Trace()`, then `tracers=[trace]`, and in the end `print(trace)`.

    `chars` characters of a payload are kept. `redact` says which are not shown: by the names of their fields, of branches, and in
    notation B of what is sent and of the parameter that gets it. By default the usual ones, as for all tracers.
    """

    def __init__(self, *, limit: int = 10_000, chars: int = 40, redact: Iterable[Part] | None = None) -> None:
        if limit < 1:
            raise ValueError(f"limit is {limit}: at least 1 event")
        self._shown = _Shown(chars) if redact is None else _Shown(chars, redact)
        self._events: deque[Event] = deque(maxlen=limit)
        self.seen: int = 0
        """How many events there were, those included that are forgotten."""

    def stage_event(self, event: Event) -> None:
        """Keep it."""
        self.seen += 1
        self._events.append(self._shown(event))

    @property
    def events(self) -> tuple[Event, ...]:
        """What is remembered, the oldest first. Of a step's `data`, there is its text."""
        return tuple(self._events)

    @property
    def sessions(self) -> tuple[str, ...]:
        """The sessions that they are from, in the order in which they began."""
        return tuple(dict.fromkeys(each.session for each in self._events))

    def of(self, session: str) -> Trace:
        """What is remembered of one session. Errors: `LookupError` where that is nothing."""
        return self.made_of(self._only(session))

    @classmethod
    def made_of(cls, events: Iterable[Event]) -> Trace:
        """A trace of what another has kept."""
        kept = tuple(events)
        new = cls(limit=max(len(kept), 1))
        new._events.extend(kept)
        new.seen = len(kept)
        return new

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """What a file of JSON lines holds. Errors: OSError, `TraceError`."""
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return cls.made_of(read(file))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is remembered as JSON lines. Errors: OSError."""
        with Path(path).open("w", encoding="utf-8") as file:
            file.writelines(f"{line_of(each)}\n" for each in self._events)

    def profile(self) -> dict[tuple[str, str], float]:
        """How often each branch was chosen, by scene and label: what `Choreography(profile=…)` takes."""
        chosen: Counter[tuple[str, str]] = Counter()
        heard: dict[tuple[str, str], Counter[str]] = {}
        roles = roles_of(self._events)
        for step in self._events:
            if not isinstance(step, Step):
                continue
            at = (step.scene, step.label)
            if step.sent:
                chosen[at] += 1
            elif not is_seen_elsewhere(step, roles):  # one of those who heard it stands for all
                heard.setdefault(at, Counter())[step.role] += 1
        for at, by_role in heard.items():
            chosen[at] += max(by_role.values())
        return {at: float(count) for at, count in chosen.items()}

    def mermaid(self, *, session: str | None = None, limit: int = 400) -> str:
        """A sequence diagram of one session, by default the first: at most so many messages and notes, the last ones.

        What a role was only told is dashed; decisions of one's own, losses, new epochs and endings are notes. Errors:
        `LookupError` for a session of which nothing is remembered.
        """
        return sequence_diagram(self._one(session), limit=limit)

    def svg(
        self, *, session: str | None = None, limit: int = 400, roles: Iterable[str] = (), title: str = ""
    ) -> str:
        """The same as a picture: needs no other program. `roles` stand first, in this order. Errors: as `mermaid`."""
        from amachine.choreography.seeing.picture import sequence_picture

        rows, earlier = last(rows_of(self._one(session)), limit)
        return sequence_picture(rows, earlier=earlier, roles=roles, title=title)

    def text(self, *, limit: int | None = None) -> str:
        """What `str()` gives, but of each session no more lines than that, the last ones."""
        sessions = self.sessions
        if len(sessions) < 2:
            return transcript(self._events, limit=limit) or "(nothing)"
        return "\n".join(
            f"session {plain(each)}\n{transcript(self._only(each), limit=limit)}" for each in sessions
        )

    def _one(self, session: str | None) -> Iterable[Event]:
        """What is drawn: of that session, or of the first. Nothing of nothing."""
        chosen = next(iter(self.sessions), None) if session is None else session
        return () if chosen is None else self._only(chosen)

    def _only(self, session: str) -> Iterator[Event]:
        if session not in self.sessions:
            raise LookupError(f"there is nothing of session {session!r}{nearest(session, self.sessions)}")
        return (each for each in self._events if each.session == session)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        sessions = len(self.sessions)
        return f"<Trace of {self.seen} events in {sessions} session{'s' * (sessions != 1)}>"


class TraceFile(StageTracer):
    """Writes events to a file as they come, a JSON object a line. Call `close()` in the end, or leave `with`.

    Errors: OSError when the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, chars: int = 200, redact: Iterable[Part] | None = None
    ) -> None:
        self._shown = _Shown(chars) if redact is None else _Shown(chars, redact)
        self._file: IO[str] = Path(path).open("w", encoding="utf-8")  # noqa: SIM115  # as long as this lives

    def stage_event(self, event: Event) -> None:
        """Write it."""
        self._file.write(f"{line_of(self._shown(event))}\n")

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def line_of(event: Event) -> str:
    """An event as a line of JSON, without what has its default value."""
    usual = _USUAL[type(event)]
    told = {
        name: value for name, value in asdict(event).items() if value is not None and value != usual[name]
    }
    return json.dumps({"event": _NAMES[type(event)], **told}, ensure_ascii=False, separators=(",", ":"))


def read(lines: Iterable[str | bytes]) -> Iterator[Event]:
    """The events in lines of JSON. Errors: `TraceError`, with the number of the line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _event(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise TraceError(f"line {number} is no event of a choreography: {error}") from None


def _event(data: Any) -> Event:
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    name = fields.pop("event", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"it is none of {', '.join(_KINDS)}")
    if "data" in fields:
        fields["data"] = str(fields["data"])
    event: Event = msgspec.convert(fields, kind)
    return event
