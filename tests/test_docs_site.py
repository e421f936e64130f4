"""The site as a whole: every page is reached, every link leads somewhere, every name and variable is told of."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_origin

import pytest

import amachine
from amachine.machine import Options
from amachine.tools import cli
from amachine.tools.choreo_target import find_choreography
from amachine.tools.target import find
from docs import hooks, pictures

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
FENCED = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2`*~*$", re.MULTILINE | re.DOTALL)
LINKS = re.compile(r"\]\(([^)\s]+)\)")
OBJECTS = re.compile(r"^::: (\S+)$", re.MULTILINE)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Pages and links.


def navigation() -> set[str]:
    """The pages of the site's navigation, found without mkdocs, and so without YAML: the tests do not need them."""
    return set(re.findall(r"\S+\.md", text_of(ROOT / "mkdocs.yml").partition("\nnav:\n")[2]))


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    here = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    generated = {page for name, page in hooks.ELSEWHERE.items() if name != "README.md"}
    assert navigation() == here | generated


def slugs(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub and the site make them, and those of the objects it documents."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", FENCED.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
        while slug in found:
            slug += "_1"
        found.add(slug)
    return found | {*OBJECTS.findall(text)}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken: list[str] = []
    for link in LINKS.findall(re.sub(r"`[^`\n]*`", "", FENCED.sub("", text_of(path)))):
        target, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        there = (path.parent / target).resolve() if target else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in slugs(text_of(there))):
            broken.append(link)
    assert broken == []


def test_a_broken_anchor_is_seen() -> None:
    found = slugs(
        "# What it *is*, `exactly`\n## A [link](x.md)\n```sh\n# no heading\n```\n::: amachine.Machine\n"
    )
    assert found == {"what-it-is-exactly", "a-link", "amachine.Machine"}


# What the site does to pages.


def test_a_page_for_the_site_has_plain_fences_and_links_to_where_things_are_there() -> None:
    page = "```python raises=KeyError\n1\n```\n[a](../../examples/basic.py) [b](../semantics.md#x) [c](#d)\n"
    made = hooks.site_markdown(page + "[e](../../CHANGELOG.md) [f](https://a.b/c)\n", "manual/page.md")
    assert made == (
        "```python\n1\n```\n[a](../examples/basic.md) [b](../semantics.md#x) [c](#d)\n"
        "[e](../changelog.md) [f](https://a.b/c)\n"
    )
    assert hooks.site_markdown("[a](basic.py) [b](../docs/faq.md)", "examples/index.md") == (
        "[a](basic.md) [b](../faq.md)"
    )
    assert hooks.site_markdown("[a](docs/faq.md)", "contributing.md") == "[a](faq.md)"


def test_a_block_that_does_not_stand_alone_says_so_on_the_site() -> None:
    made = hooks.site_markdown("```python continues raises=KeyError\n1\n```\n", "index.md")
    assert made == "```{.python .continues}\n1\n```\n"
    assert ".continues::before" in text_of(DOCS / "extra.css")


def test_a_picture_is_part_of_the_page_on_the_site() -> None:
    made = hooks.site_markdown("![A bar](pictures/bar.svg)\n", "index.md")
    assert made.startswith('<figure class="picture"><svg')
    assert "<title>A bar</title>" in made
    assert made.count("\n") == 1  # an empty line would end it


def test_a_page_that_fetches_from_elsewhere_is_refused() -> None:
    class Page:
        class file:
            src_uri = "page.md"

    hooks.on_post_page('<a href="https://a.b">x</a><script src="assets/x.js"></script>', Page)
    for page in ('<script src="https://a.b/c.js">', "<link rel=x href='//fonts.b/c'>"):
        with pytest.raises(RuntimeError, match="keeps to itself"):
            hooks.on_post_page(page, Page)


def test_search_needs_neither_a_server_nor_the_network() -> None:
    settings = text_of(ROOT / "mkdocs.yml")
    (shim,) = re.findall(r"^    - (iframe-worker\S*)", settings, re.MULTILINE)
    assert (DOCS / shim).is_file()
    assert re.search(r"^  - offline\b", settings, re.MULTILINE)


# Pictures.


def test_pictures_are_drawn_of_what_the_pages_say_and_all_are_shown() -> None:
    assert {path.name: text_of(path) for path in (DOCS / "pictures").iterdir()} == {
        path.name: picture for path, picture in pictures.drawn()
    }, "run: python -m docs.pictures"
    shown = {link.rpartition("/")[2] for path in PAGES for link in LINKS.findall(text_of(path))}
    assert {f"{name}.svg" for name in pictures.PICTURES} <= shown


# Names.

PUBLIC = ("amachine", *sorted(set(OBJECTS.findall("\n".join(map(text_of, DOCS.glob("reference/*.md")))))))
"""What the reference documents, by its full name."""


def found(dotted: str) -> Any:
    """The object of this name, which begins with a module."""
    at: Any = importlib.import_module("amachine")
    path = "amachine"
    for name in dotted.split(".")[1:]:
        path += f".{name}"
        if not hasattr(at, name):
            importlib.import_module(path)
        at = getattr(at, name)
    return at


def test_every_name_of_the_facade_is_in_the_reference_and_in_its_table() -> None:
    listed = {dotted.removeprefix("amachine.") for dotted in PUBLIC}
    assert {name for name in amachine.__all__ if name not in listed} == set()
    table = text_of(DOCS / "reference" / "index.md")
    errors = {name for name in amachine.__all__ if isinstance(getattr(amachine, name), type)}
    kinds = {name for name in errors if issubclass(getattr(amachine, name), amachine.AmachineError)}
    assert {name for name in amachine.__all__ if name not in kinds and f"`{name}`" not in table} == set()


def test_the_reference_has_every_method_of_a_machine() -> None:
    listed = re.search(r"members: \[(.*?)\]", text_of(DOCS / "reference" / "machine.md"), re.DOTALL)
    assert listed
    names = {name for name in dir(amachine.Machine) if not name.startswith("_")}
    states = {*amachine.Machine.schema.names, "schema"}
    assert {*re.findall(r"\w+", listed[1])} - {"__getitem__", "__format__"} == {*names} - states


@pytest.mark.parametrize("dotted", PUBLIC)
def test_what_the_reference_documents_exists_and_says_what_it_is(dotted: str) -> None:
    value = found(dotted)
    assert inspect.getdoc(value) or get_origin(value) is Literal  # which Python gives no docstring


def public_modules() -> Iterator[ModuleType]:
    """The rooms that users import from: those that say so by an `__all__`, and stand beside the machine or above it."""
    for each in pkgutil.walk_packages(amachine.__path__, "amachine."):
        if each.name.startswith(("amachine.tools", "amachine._")) or each.name == "amachine.__main__":
            continue
        module = importlib.import_module(each.name)
        inside = each.name.startswith("amachine.choreography.") and each.name not in ROOMS
        if hasattr(module, "__all__") and "._" not in each.name and not inside:
            yield module


ROOMS = {"amachine.choreography.wire"}
"""The rooms below `amachine.choreography` that users import from; all else that they need is in that one itself."""


def test_every_public_name_of_a_submodule_is_in_the_reference() -> None:
    known = {id(found(dotted)) for dotted in PUBLIC}
    missing: set[str] = set()
    for module in public_modules():
        for name in module.__all__:
            value = getattr(module, name)
            if id(value) not in known and module.__name__ not in INSIDE:
                missing.add(f"{module.__name__}.{name}")
    assert missing == set()


INSIDE = {"amachine.declare", "amachine.errors", "amachine.schema", "amachine.subscriptions"}
"""Rooms of the kernel, whose public names are those of the facade."""


# The environment.


@cache
def sources() -> dict[str, str]:
    """The modules of the package under test, by name."""
    folder = Path(next(iter(amachine.__path__)))
    paths = sorted(folder.rglob("*.py"))
    return {".".join(path.relative_to(folder.parent).with_suffix("").parts): text_of(path) for path in paths}


def table(page: str) -> set[str]:
    """What stands in code in the first column of the tables of a page."""
    rows = (line for line in text_of(DOCS / page).splitlines() if line.startswith("| `"))
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


def test_every_variable_is_in_the_table_and_none_is_invented() -> None:
    text = "\n".join(sources().values())
    words = set(re.findall(r"\bAMACHINE_[A-Z_]+\b", text))
    read = set(re.findall(r"""environ(?:\.get\(|\[)\s*["'](\w+)""", text))
    assert "AMACHINE_LOG" in words
    assert {name for name in table("environment.md") if name.isupper()} == words | read


def test_every_logger_is_in_the_table_and_none_is_invented() -> None:
    rooms = [name.removesuffix(".__init__") for name, text in sources().items() if "getLogger" in text]
    code = (
        f"import importlib, logging\nfor name in {rooms}: importlib.import_module(name)\n"
        "print(*[name for name in logging.root.manager.loggerDict if name.startswith('amachine')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    listed = {name for name in table("environment.md") if name.startswith("amachine")}
    assert listed == {*done.stdout.split()}


# Options and commands.


def test_every_option_of_a_machine_is_on_its_page() -> None:
    assert table("manual/options.md") == {*Options.__annotations__}


@cache
def command_line() -> str:
    return text_of(DOCS / "manual" / "command-line.md")


@pytest.mark.parametrize("name", ["", *cli.COMMANDS])
def test_every_command_is_shown_with_its_help(name: str) -> None:
    words = " ".join(filter(None, ("$ amachine", name, "--help")))
    shown = rf"^`{{3,}}console\n{re.escape(words)}\nusage: "  # which tests/test_readme.py compares
    assert re.search(shown, command_line(), re.MULTILINE)


@pytest.mark.parametrize(
    ("choreo", "target"),
    sorted(
        set(re.findall(r"(choreo \w+ )?(?<![\w./])((?:examples|amachine)[./][\w./]+:\w+)", command_line()))
    ),
)
def test_what_the_command_line_is_told_to_look_at_exists(
    choreo: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    if not choreo:
        assert find(target).name == target
    else:
        assert find_choreography(target).whole.script.scenes


def test_no_command_is_invented() -> None:
    assert set(re.findall(r"^\$ amachine (\w+)", command_line(), re.MULTILINE)) <= {*cli.COMMANDS}
    assert set(re.findall(r"^## `amachine (\w+)`", command_line(), re.MULTILINE)) == {*cli.COMMANDS}
