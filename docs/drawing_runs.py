"""Draws what machines have done as SVG: which states were active through which transitions, and the handlers of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from docs.drawing import GAP, HIGH, box, svg, text, width_of

if TYPE_CHECKING:
    from amachine.tracers.recorder import Record


def draw_story(records: Sequence[Record], title: str, states: Sequence[str] = ()) -> str:
    """What was active when: a line for each state, a column for each transition, and the ticks."""
    records = _causes_first(records)
    schemas = {each.machine: each.schema for each in records}
    lines = [
        (machine, name)
        for machine, schema in schemas.items()
        for name in schema.names
        if (name in states if states else name != "Exception")
    ]
    names = [name if len(schemas) == 1 else f"{machine}.{name}" for machine, name in lines]
    words = [f"{'auto' if each.auto else each.kind.value} {', '.join(each.called)}" for each in records]
    left = GAP + max(map(width_of, names)) + 2 * GAP
    outcomes = [each.changes if each.accepted else "failed" if each.failed else "refused" for each in records]
    wide = max(96, max(width_of(each, 11) for each in (*words, *outcomes)) + 18)
    top, high = 62, 34
    right = left + wide * (len(records) + 0.5)
    bottom = top + high * len(names)
    parts: list[str] = []
    for n, record in enumerate(records):
        x = left + wide * (n + 0.5)
        parts.append(f'<path class="rule" d="M{x:.1f} {top - 6}V{bottom + 4}"/>')
        parts.append(text(x, 18, words[n], "soft mid"))
        parts.append(text(x, 36, outcomes[n], "soft mid" if record.accepted else "soft mid no"))
    for row, line in enumerate(lines):
        y = top + high * row
        parts.append(text(GAP, y + high / 2, names[row]))
        parts += _track(line, records, left, wide, y + 6, high - 12)
    return svg(right + GAP, bottom + GAP, title, parts)


def _causes_first(records: Sequence[Record]) -> list[Record]:
    """In the order in which they began: of two machines, what one causes in the other may end before its cause does."""
    waiting = [*records]
    ordered: list[Record] = []
    while waiting:
        ids = {each.id for each in waiting}
        first = {each.machine: each for each in reversed(waiting)}  # of each machine, in its own order
        ordered.append(
            next(each for each in waiting if first[each.machine] is each and each.cause not in ids)
        )
        waiting.remove(ordered[-1])
    return ordered


def _track(
    line: tuple[str, str], records: Sequence[Record], left: float, wide: float, y: float, high: float
) -> Iterator[str]:
    """The life of one state of one machine as bars, each with the tick that it is at."""
    machine, name = line
    first = next(record for record in records if record.machine == machine)
    ticks = [first.time_before[first.schema.index[name]]]
    for record in records:
        ticks.append(record.time_after[record.schema.index[name]] if record.machine == machine else ticks[-1])
    # It stands still between two lines; before the first there is half a column, and one after the last.
    edges = [
        left,
        *(left + wide * (n + 0.5) for n in range(len(records))),
        left + wide * (len(records) + 0.5),
    ]
    start = 0
    for n in range(1, len(ticks) + 1):
        if n < len(ticks) and ticks[n] == ticks[start]:
            continue
        x1, x2 = edges[start], edges[n]
        if ticks[start] & 1:
            yield f'<g class="bar">{box(x1 + 1.5, y, x2 - x1 - 3, high, "", 5)}'
            yield f"{text(x1 + 12, y + high / 2, str(ticks[start]), 'tick')}</g>"
        else:
            yield f'<path class="rule" d="M{x1 + 3:.1f} {y + high / 2:.1f}H{x2 - 3:.1f}"/>'
            if start or ticks[0]:
                yield text(x1 + 12, y + high / 2 - 8, str(ticks[start]), "tick")
        start = n


def draw_handlers(asked: Sequence[str], told: Sequence[str], title: str) -> str:
    """The handlers of one transition: those that are asked, the commit, and those that are told."""
    parts: list[str] = []
    x, y = float(GAP), 40
    for heading, names, look in (
        ("asked: may refuse, change nothing", asked, "auto"),
        ("told: it has happened", told, "on"),
    ):
        if look == "on":
            parts.append(f'<path class="commit" d="M{x + 2:.1f} 30V{y + HIGH + 6}"/>')
            parts.append(text(x + 2, y + HIGH + 18, "commit", "soft mid"))
            x += GAP
        parts.append(text(x, 18, heading, "soft"))
        start = x
        for name in names:
            wide = width_of(name) + 20
            parts.append(f'<g class="{look}">{box(x, y, wide, HIGH, "state", 6)}')
            parts.append(f"{text(x + wide / 2, y + HIGH / 2, name, 'mid')}</g>")
            x += wide + 10
        x = max(x, start + width_of(heading, 11) + 10)
    return svg(x + GAP, y + HIGH + 32, title, parts)
