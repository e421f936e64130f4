"""What was said in a session, as a picture: roles side by side, and what they said from above to below. It knows no events.

A line of a picture is what one role said at once: its name above the arrow, what went along below; dashed is what somebody was
only told. What a role did alone, losses and endings are boxes on its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from textwrap import wrap
from typing import TYPE_CHECKING

from amachine.choreography.seeing.sequence import Mood, Note, Said, roles_in
from amachine.choreography.seeing.svg import GAP, box, svg, text, width_of
from amachine.tracers.shown import cut

if TYPE_CHECKING:
    from amachine.choreography.seeing.sequence import Row

__all__ = ["sequence_picture"]

NAME, DATA, WORDS = 48, 40, 36
"""Characters of a name, of what goes along, and of a line in a box."""

LINES = 3
"""So many lines has a box."""

HEAD, LINE = 28, 15
"""Pixels: the height of a role's box, and of a line of text."""

TALL = 25
"""From so many rows on, the names of the roles stand below them, too."""


def sequence_picture(
    rows: Sequence[Row], *, earlier: int = 0, roles: Iterable[str] = (), title: str = ""
) -> str:
    """The rows as SVG. `earlier`: how many are left out before them; `roles`: those that stand first, in this order."""
    names = list(dict.fromkeys([*roles, *roles_in(rows)]))
    middle = _columns(names, rows)
    ends = [*_edges(names, rows, middle)]
    shift = GAP - min((left for left, _ in ends), default=0)
    middle = {name: x + shift for name, x in middle.items()}
    top = GAP + (LINE + 8) * bool(earlier)
    y: float = top + HEAD + 10
    parts: list[str] = []
    for row in rows:
        parts += _said(row, middle, y) if isinstance(row, Said) else _note(row, middle[row.role], y)
        y += _high(row)
    bottom = y + 10
    heads = [*_heads(middle, top), *(_heads(middle, bottom) if len(rows) > TALL else ())]
    lines = [f'<path class="rule" d="M{x:.1f} {top + HEAD}V{bottom:.1f}"/>' for x in middle.values()]
    words = f"{earlier:,} earlier lines are left out"
    note = [text(GAP, GAP + LINE / 2, words, "soft")] if earlier else []
    wide = max((right + shift for _, right in ends), default=GAP)
    wide = max(wide, GAP + width_of(words, 11)) if earlier else wide
    high = bottom + (HEAD if len(rows) > TALL else 0) + GAP
    return svg(wide + GAP, high, title, [*note, *lines, *heads, *parts])


# Where things stand.


def _columns(names: Sequence[str], rows: Iterable[Row]) -> dict[str, float]:
    """The middle of each role's column: as near to the next as their names, and what is said between them, allow."""
    at = {name: n for n, name in enumerate(names)}
    gaps = [(_head_width(one) + _head_width(other)) / 2 + GAP for one, other in pairwise(names)]
    spans: set[tuple[int, int, float]] = set()
    for row in rows:
        far = _labelled(row, at) if isinstance(row, Said) else None
        if isinstance(row, Said) and far is not None:
            first, last = sorted((at[row.sender], at[far]))
            wide = max(width_of(_what(row), 12), width_of(_data(row), 11)) + 36
            spans.add((last - first, first, wide))
    for count, first, wide in sorted(spans):  # long ones find room in what short ones have made
        missing = wide - sum(gaps[first : first + count])
        for n in range(first, first + count):
            gaps[n] += max(missing, 0) / count
    return dict(zip(names, accumulate(gaps, initial=0.0), strict=False))


def _edges(
    names: Iterable[str], rows: Iterable[Row], middle: Mapping[str, float]
) -> Iterator[tuple[float, float]]:
    """The left and right ends of all boxes."""
    wide = [(name, _head_width(name)) for name in names]
    wide += [(row.role, _note_width(row)) for row in rows if isinstance(row, Note)]
    yield from ((middle[name] - each / 2, middle[name] + each / 2) for name, each in wide)


def _high(row: Row) -> float:
    if isinstance(row, Note):
        return LINE * len(_words(row)) + 18
    return 34 + LINE * bool(row.data)


def _labelled(row: Said, at: Mapping[str, float]) -> str | None:
    """The role up to which the words of a message reach: the farthest of those who get it, or who are told."""
    others = [role for role in row.to or row.told if role != row.sender]
    return max(others, key=lambda role: abs(at[role] - at[row.sender]), default=None)


# What they look like.


def _heads(middle: Mapping[str, float], y: float) -> Iterator[str]:
    for name, x in middle.items():
        wide = _head_width(name)
        yield box(x - wide / 2, y, wide, HEAD, "state") + text(x, y + HEAD / 2, cut(name, NAME), "mid")


def _head_width(name: str) -> float:
    return width_of(cut(name, NAME)) + 24


def _what(row: Said) -> str:
    return cut(row.what, NAME) + row.counted


def _data(row: Said) -> str:
    return cut(row.data, DATA)


def _said(row: Said, middle: Mapping[str, float], y: float) -> Iterator[str]:
    """One arrow to each side, as far as somebody hears of it there, with a head for each of them."""
    x, y = middle[row.sender], y + 22
    far = _labelled(row, middle)
    label = x if far is None else (x + middle[far]) / 2
    yield text(label, y - 10, _what(row), "said mid")
    if row.data:
        yield text(label, y + 11, _data(row), "soft mid")
    yield f'<circle class="head {"require" if row.to else "after"}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
    for side in (1, -1):
        start = 0.0
        for roles, look in ((row.to, "require"), (row.told, "after")):
            ends = [end for role in roles if (end := side * (middle[role] - x)) > 0]
            if max(ends, default=0.0) > start:
                yield f'<path class="edge {look}" d="M{x + side * start:.1f} {y:.1f}H{x + side * (max(ends) - 8):.1f}"/>'
                start = max(ends)
            for end in ends:
                yield f'<path class="head {look}" d="M{x + side * end:.1f} {y:.1f}l{-9 * side} -4.5v9z"/>'


def _note(row: Note, x: float, y: float) -> Iterator[str]:
    lines, wide = _words(row), _note_width(row)
    high = LINE * len(lines) + 8
    look = "mid no" if row.mood is Mood.BAD else "mid"
    yield '<g class="on">' if row.mood is Mood.GOOD else "<g>"
    yield box(x - wide / 2, y + 4, wide, high, "state", 3 if row.mood is Mood.PLAIN else 11)
    for n, words in enumerate(lines):
        yield text(x, y + 8 + LINE * (n + 0.5), words, look)
    yield "</g>"


def _words(row: Note) -> list[str]:
    return wrap(row.text, WORDS, max_lines=LINES, placeholder=" …") or [""]


def _note_width(row: Note) -> float:
    return max(width_of(words) for words in _words(row)) + 20
