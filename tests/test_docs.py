"""The page for those who come from asyncmachine: no row is missing, and every name on it exists. README's drawing."""

from __future__ import annotations

import builtins
import importlib
import inspect
import keyword
import re
from pathlib import Path
from typing import Any

import pytest

import amachine
from amachine import bound
from amachine.graph import mermaid
from amachine.helpers import wait_for_all
from amachine.machine import Options
from amachine.pipes import pipe
from examples.basic import Museum

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "from-asyncmachine.md").read_text(encoding="utf-8")

SECTIONS = {
    "A1": "1 2 3 4 5 6 7 8 9 10 13 14",
    "A2": "1 2 3 6 7 8 9 10",
    "A3": "1 2 3 4 5 7 10 13",
    "A4": "1 3 4 5 7 8 10 11 12",
    "A5": "1 2 4 6",
    "A6": "1 2 3 4 5 7 8 9 10 11",
    "A7": "1 2 3 4 6",
    "A8": "1 2 3 4 5 6 7 8 9 10 12",
    "A9": "1 2 3",
    "A10": "1 2 3 4 5 6 9 10",
    "A11": "1 2",
    "A12": "1 4",
    "A13": "1 2 3 4",
    "A15": "1 2 3 4",
    "A16": "1",
    "A17": "1 2",
    "A18": "1 2 3 4",
    "A14": "1 2 3 4 5 6 8",
    "B1": "1 2 4",
    "B2": "1 2 3 4 5 6 7 9 10",
    "C1": "1 2 4 5 6 10 12 17 18 19 22 25 27 29",
    "C2": "1 2",
    "Q1": "1 2 3 4 5 6 7 8 9 10 15",
    "R1": "1 2 3 5 6",
}
MUST = [f"{section}.{number}" for section, numbers in SECTIONS.items() for number in numbers.split()]
"""The rows that a user of the Go library would miss."""

STANDS_FOR: dict[str, Any] = {
    "flow": amachine.Machine,
    "state": bound.BoundState,
    "event": amachine.Event,
    "result": amachine.Result,
    "wait": amachine.Wait,
    "clock": amachine.Clock,
    "time": amachine.Time,
    "mutation": amachine.Mutation,
    "transition": amachine.Transition,
    "schema": amachine.Schema,
    "error": BaseException,
    "foo": amachine.State,
    "amachine": amachine,
}
"""What the words mean that the page introduces in its third paragraph."""

STATES = {
    "Start",
    "Ready",
    "Disposing",
    "MachineRestored",
    "Healthcheck",
    "Heartbeat",
    "Any",
    "err_network",
    "ready",
}
VARIABLES = {"AMACHINE_LOG", "AMACHINE_CRASH"}
WORDS = STATES | VARIABLES | {"why", "a", "b", "bar", "group", "Job", "x"}
"""What examples are about: states, an attribute named beside its owner, a user's own names, the environment's."""


KEYWORDS = {*keyword.kwlist, *keyword.softkwlist}


ROW = re.compile(r"\| [A-Z]\d+\.\d+ \|")


def rows() -> dict[str, str]:
    """What stands in the last column, by id."""
    found: dict[str, str] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if ROW.match(line) else []
        if cells:
            assert len(cells) == 3, f"{line}: three columns"
            name = cells[0].strip("| ")
            assert name not in found, f"{name} is there twice"
            found[name] = cells[2].strip(" |")
    return found


ROWS = rows()
SPANS = [(name, span) for name, text in ROWS.items() for span in re.findall(r"`([^`]+)`", text)]


def keywords() -> set[str]:
    """The keywords of `Machine`, of `State` and its changes, and of the verbs."""
    machine = amachine.Machine
    takers = (
        amachine.State,
        vars(amachine.State)["task"],
        machine.is_queued,
        machine.request,
        pipe,
        wait_for_all,
    )
    signatures = (inspect.signature(each) for each in takers)
    return {"timeout", *Options.__annotations__, *(name for each in signatures for name in each.parameters)}


def names_in(code: str) -> tuple[set[str], set[str]]:
    """The dotted names in a piece of Python, such as `flow.clock.since`, and the keywords it passes."""
    code = re.sub(r'"[^"]*"', "", code)
    dotted = set(re.findall(r"(?<![\w.)])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?!\w|=(?!=)| =)", code))
    passed = set(re.findall(r"(\w+)=(?!=)", code))
    return {name for name in dotted if name not in KEYWORDS} - WORDS, passed - WORDS


def missing(dotted: str) -> str:
    """Empty if a dotted name exists, as far as this can be told without a machine; else what does not."""
    root, *rest = dotted.split(".")
    if root in STANDS_FOR:
        at = STANDS_FOR[root]
    elif hasattr(amachine, root):
        at = getattr(amachine, root)
    else:
        return "" if not rest and hasattr(builtins, root) else dotted
    for depth, name in enumerate(rest, 1):
        if inspect.ismodule(at) and not hasattr(at, name):
            try:
                importlib.import_module(".".join([root, *rest[:depth]]))
            except ModuleNotFoundError:
                return dotted
        if at is amachine.Machine and name in STATES:
            at = bound.BoundState
            continue
        if not hasattr(at, name):
            return dotted
        at = getattr(at, name)
        if inspect.isdatadescriptor(at):  # a property or a slot: what it holds is not known here
            break
    return ""


def test_every_row_is_answered_and_none_is_invented() -> None:
    assert list(ROWS) == MUST


@pytest.mark.parametrize("name", MUST)
def test_an_answer_is_a_name_or_a_reason(name: str) -> None:
    assert "`" in ROWS[name] or len(ROWS[name].split()) > 5


@pytest.mark.parametrize(("name", "span"), SPANS)
def test_a_name_on_the_page_exists(name: str, span: str) -> None:
    dotted, passed = names_in(span)
    assert {each for each in dotted if missing(each)} == set(), f"{name}: {span}"
    assert passed <= keywords(), f"{name}: {span}"


def test_a_name_that_does_not_exist_is_seen() -> None:
    dotted, passed = names_in('await flow.ready.add("a.b", lmit=1).why and flow.tim >= Machin.of(a=b)')
    assert dotted == {"flow.ready.add", "flow.tim", "Machin.of"}
    assert {each for each in dotted if missing(each)} == {"flow.tim", "Machin.of"}
    assert passed == {"lmit"}


def test_the_drawing_in_the_readme_is_what_the_command_draws() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid(Museum.schema)}```" in readme


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/from-asyncmachine.md"])
def test_a_page_links_to_what_exists(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []
