"""Writes the table of codes in the page about soundness, from the library's own list.

    python -m docs.codes

A test says when it is out of date.
"""

from __future__ import annotations

import re
from pathlib import Path

from amachine.choreography.diagnostics import CODES

PAGE = Path(__file__).resolve().parent / "manual" / "soundness.md"
TABLE = re.compile(r"(?<=^\| code \| what is wrong \|\n\|---\|---\|\n)(?:\|.*\n)+", re.MULTILINE)


def table() -> str:
    """The rows, a code each."""
    return "".join(f"| `{code}` | {text} |\n" for code, text in sorted(CODES.items()))


def written(page: str) -> str:
    """The page with the rows in place."""
    return TABLE.sub(lambda _: table(), page, count=1)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
