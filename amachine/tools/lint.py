"""`amachine lint module:Machine`: prints what is hardly meant so in a schema and its handlers, with a shortest example each."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from amachine.errors import AmachineError
from amachine.findings import CODES, Finding, Findings
from amachine.linting import lint
from amachine.tools.colour import takes_colour
from amachine.tools.target import WHAT, NotFound, find

if TYPE_CHECKING:
    import argparse

_COLOURS = {"error": "1;31", "warning": "1;33", "remark": "36"}
_HEADS = re.compile(r"^(error|warning|remark) [a-z-]+(?=:)", re.MULTILINE)
_FINDINGS = "\n".join(f"  {code:<17}  {severity.value}: {what}" for code, (severity, what) in CODES.items())
EPILOG = f"""\
findings:
{_FINDINGS}

A finding that is not proven, because there are too many active sets to look at them all, is a remark.
The exit status is 1 if there is an error, with --strict also if there is a warning; remarks do not count.

examples:
  amachine lint amachine.tools.demo:FileFlow
  amachine lint examples/basic.py:Museum --json"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Find what is hardly meant so in a schema, and in the handlers of a machine."
    parser.epilog = EPILOG
    parser.add_argument("target", metavar="MODULE:NAME", help=WHAT)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--strict", action="store_true", help="count warnings as errors")
    parser.add_argument(
        "--ignore",
        metavar="CODE",
        action="append",
        choices=list(CODES),
        default=[],
        help="leave these findings out",
    )
    parser.add_argument("--limit", metavar="N", type=_count, help="look at so many active sets at most")


def run(options: argparse.Namespace) -> int:
    """Print the findings. Returns the exit status."""
    try:
        found = lint(find(options.target).found, ignore=options.ignore, limit=options.limit)
    except (NotFound, AmachineError) as error:
        print(f"amachine lint: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(_data(options.target, found), indent=2))
    else:
        print(_painted(str(found)) if takes_colour(sys.stdout) else str(found))
    return 1 if found.errors or (options.strict and found.warnings) else 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _painted(text: str) -> str:
    return _HEADS.sub(lambda head: f"\033[{_COLOURS[head[1]]}m{head[0]}\033[0m", text)


def _data(target: str, found: Findings) -> dict[str, Any]:
    return {
        "target": target,
        "active_sets": found.sets,
        "complete": found.complete,
        "errors": len(found.errors),
        "warnings": len(found.warnings),
        "remarks": len(found.remarks),
        "findings": [_finding(each) for each in found],
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "code": found.code,
        "severity": found.severity.value,
        "states": found.states,
        "handler": found.handler or None,
        "reason": found.reason,
        "certain": found.certain,
        "example": [{"kind": move.kind.value, "states": move.states} for move in found.example],
        "outcome": found.outcome,
    }
