"""Shapes of pictures as SVG: text that is never syntax, boxes, and the file around them. It knows nothing of what they show.

A picture is legible on a light and on a dark page: as a file it takes the colours that the reader's system asks for, and
inlined in a page of the manual those of the page. Programs that know no variables of CSS find plain colours before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from unicodedata import east_asian_width

__all__ = ["GAP", "box", "svg", "text", "width_of"]

GAP = 16
"""Pixels around a picture, and between what stands side by side in it."""

_STYLE = """\
.am{--ink:#24292f;--soft:#59636e;--line:#8c959f;--face:#f6f8fa;--on:#2e7d32;--onink:#fff;--require:#3f6ea8;\
--remove:#c62828;--after:#7a6a9a;font:13px/1.2 system-ui,"Segoe UI",Roboto,sans-serif}
@media (prefers-color-scheme:dark){.am{--ink:#e6edf3;--soft:#9da7b3;--line:#6e7681;--face:#1c2330;--on:#388e3c;\
--require:#8ab4f0;--remove:#ff7b72;--after:#b8a4e0}}
.am text{fill:#24292f;fill:var(--ink)}.am .soft{fill:#59636e;fill:var(--soft);font-size:11px}.am .mid{text-anchor:middle}
.am .said{font-size:12px}
.am .state{fill:#f6f8fa;fill:var(--face);stroke:#8c959f;stroke:var(--line);stroke-width:1.2}
.am .on .state{fill:#2e7d32;fill:var(--on);stroke:#2e7d32;stroke:var(--on)}.am .on text{fill:#fff;fill:var(--onink)}
.am .edge{fill:none;stroke-width:1.5}.am .rule{fill:none;stroke:#8c959f;stroke:var(--line);stroke-width:.8;stroke-dasharray:2 4}
.am .require{stroke:#3f6ea8;stroke:var(--require)}.am .after{stroke:#7a6a9a;stroke:var(--after);stroke-dasharray:5 4}
.am .head.require{fill:#3f6ea8;fill:var(--require);stroke:none}.am .head.after{fill:#7a6a9a;fill:var(--after);stroke:none}
.am .no{fill:#c62828;fill:var(--remove)}
"""

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no room for."""


def width_of(text: str, size: float = 13) -> float:
    """About how wide a text is, in pixels: enough to put a box around it."""
    narrow = sum(c in "iljtfrI.,:;'|!() " for c in text)
    wide = sum(c in "mwMW—→@" for c in text)
    full = sum(east_asian_width(c) in "WF" for c in text)
    return size * (0.58 * len(text) - 0.24 * narrow + 0.3 * wide + 0.45 * full)


def svg(width: float, height: float, title: str, parts: Iterable[str], *, style: str = _STYLE) -> str:
    """The file around what was drawn."""
    box = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="am" role="img" {box}>'
    named = f"<title>{_escaped(title)}</title>"
    return "\n".join([head, named, f"<style>{style}</style>", *parts, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, look: str = "") -> str:
    """A line of text whose middle is at this height."""
    named = f' class="{look}"' if look else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em"{named}>{_escaped(words)}</text>'


def box(x: float, y: float, wide: float, high: float, look: str, corner: float = 7) -> str:
    """A rounded box."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="{corner:g}" class="{look}"/>'


def _escaped(words: str) -> str:
    return escape(_ILLEGAL.sub("\ufffd", words))
