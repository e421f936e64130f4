"""The cookbook, and the pages for those who come from elsewhere: nothing is missing, and what they name exists.

That their programs run and print what they say is for test_readme.py.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from amachine import Event, Machine, Schema, State
from amachine.bound import BoundState
from amachine.choreography import Choreography
from amachine.machine import Options
from amachine.schema import StateDef

DOCS = Path(__file__).resolve().parents[1] / "docs"
COOKBOOK = DOCS / "cookbook"
COMING_FROM = sorted((DOCS / "coming-from").glob("*.md"))
OPTIONS = {
    *Options.__annotations__,
    *StateDef.__annotations__,
    *inspect.signature(Choreography).parameters,
    *("timeout", "parent", "on_lost", "restart"),
}
STANDS_FOR: dict[str, Any] = {"order": Machine, "e": Event, "schema": Schema, "paid": State, "paying": State}
STATES = {"paid", "paying"}


def slug(title: str) -> str:
    """The anchor of a heading, as Markdown makes it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def recipes() -> list[tuple[str, str]]:
    """Each recipe as its page and its title, in order of pages."""
    return [
        (page.name, title)
        for page in sorted(COOKBOOK.glob("*.md"))
        if page.name != "index.md"
        for title in re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def test_there_are_enough_recipes_and_no_page_has_one_title_twice() -> None:
    found = recipes()
    assert len(found) >= 50
    assert len(set(found)) == len(found)


def test_the_index_lists_exactly_the_recipes() -> None:
    index = (COOKBOOK / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[(.+)\]\(([\w-]+\.md)#([\w-]+)\)$", index, re.MULTILINE)
    assert sorted((page, title) for title, page, _ in listed) == sorted(recipes())
    assert [anchor for title, _, anchor in listed if anchor != slug(title)] == []


@pytest.mark.parametrize("page", [page.name for page in COOKBOOK.glob("*.md") if page.name != "index.md"])
def test_every_recipe_has_a_block_and_a_few_words(page: str) -> None:
    for recipe in re.split(r"^## ", (COOKBOOK / page).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, rest = recipe.partition("\n")
        words, fence, _ = rest.partition("```")
        assert fence, f"{page}: {title} shows nothing"
        assert len(words.split()) <= 80, f"{page}: {title} talks too much"


@pytest.mark.parametrize("page", COMING_FROM, ids=lambda page: page.stem)
def test_both_programs_do_the_same(page: Path) -> None:
    printed = re.findall(r"^```text\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert printed
    assert len(set(printed)) == 1


def missing(span: str) -> list[str]:
    """What a piece of code names of ours that does not exist."""
    code = re.sub(r'"[^"]*"', "", span)
    lost: list[str] = []
    for dotted in re.findall(r"(?<![\w.])[a-z]\w*(?:\.\w+)+", code):
        root, *names = dotted.split(".")
        at = STANDS_FOR.get(root)
        for name in names:
            if at is Machine and name in STATES:
                at = BoundState
            elif at is not None and not hasattr(at, name):
                lost.append(dotted)
                break
            else:
                at = None
    passed = set(re.findall(r"(\w+)=(?!=)", code))
    return lost + sorted(passed - OPTIONS)


def spans(page: Path) -> list[str]:
    """The pieces of code in the last column of the table of words."""
    rows = [
        line.strip("| ").split(" | ")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    return [span for row in rows[1:] for span in re.findall(r"`([^`]+)`", row[-1])]


@pytest.mark.parametrize("page", COMING_FROM, ids=lambda page: page.stem)
def test_what_the_table_of_words_names_exists(page: Path) -> None:
    found = spans(page)
    assert len(found) > 20
    assert {span: lost for span in found if (lost := missing(span))} == {}


def test_a_name_that_does_not_exist_is_seen() -> None:
    assert missing("order.paid.activ") == ["order.paid.activ"]
    assert missing("e.arguments and order.shcema") == ["e.arguments", "order.shcema"]
    assert missing("State(mulit=True)") == ["mulit"]
