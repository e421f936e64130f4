"""The pages about choreographies: every code has its line, and what their tables say is so.

That their programs run and print what they say is for test_readme.py, that links and names exist for test_docs_site.py.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import attrs

import amachine
from amachine.choreography import CODES, Choreography
from amachine.choreography.wire import Terms, serve
from docs import codes

MANUAL = Path(__file__).resolve().parents[1] / "docs" / "manual"


def rows(page: str, heading: str) -> dict[str, tuple[str, ...]]:
    """The first table below a heading: by what stands in code in the first column, the other columns."""
    text = ("\n" + (MANUAL / page).read_text(encoding="utf-8")).partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None, f"{page} has no table below {heading!r}"
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table[0].splitlines()[2:]]
    return {first.strip("` |"): tuple(rest) for first, *rest in cells}


def test_every_code_is_in_the_table_with_its_meaning() -> None:
    assert codes.written(text := codes.PAGE.read_text(encoding="utf-8")) == text, "run: python -m docs.codes"
    assert {*rows("soundness.md", "## Codes")} == {*CODES}


def test_every_code_that_is_told_is_known() -> None:
    folder = Path(next(iter(amachine.__path__))) / "choreography"
    told = {
        code for path in folder.rglob("*.py") for code in re.findall(r"AMC\d{3}\b", path.read_text("utf-8"))
    }
    assert told == {*CODES}


def test_the_terms_of_a_connection_are_all_told_with_their_defaults() -> None:
    told = {
        name: default for name, (default, _) in rows("across-processes.md", "## What each end grants").items()
    }
    assert told == {field.name: str(field.default) for field in attrs.fields(Terms)}


def test_the_options_of_run_local_are_all_told() -> None:
    told = {word.partition("=")[0] for word in rows("playing.md", "# Playing")}
    options = {*inspect.signature(Choreography.run_local).parameters}
    assert told == options - {"self", "cast", "raise_errors"}


def test_what_is_said_of_serve_exists() -> None:
    text = (MANUAL / "across-processes.md").read_text(encoding="utf-8")
    said = text.partition("`serve` has some more: ")[2].partition("as for `join`")[0]
    options = inspect.signature(serve).parameters["options"].annotation
    known = inspect.get_annotations(__import__("amachine.choreography.wire.serving", fromlist=["x"]).Options)
    assert "Options" in str(options)
    assert {*re.findall(r"`(\w+)`", said)} - {"Caller", "Ending"} == {*known}
