"""`amachine graph module:Machine`: finds what has a schema, and prints it as Mermaid."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from amachine.errors import AmachineError
from amachine.graph import mermaid
from amachine.tools.spelling import put
from amachine.tools.target import WHAT, NotFound, find

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  amachine graph amachine.tools.demo:FileFlow
  amachine graph examples/basic.py:Museum --active opened > museum.mmd

Paste it into a ```mermaid block of a Markdown page, or into an editor that shows Mermaid."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Print a schema as a Mermaid diagram: exclusive groups as boxes, relations as arrows."
    )
    parser.epilog = EPILOG
    parser.add_argument("target", metavar="MODULE:NAME", help=WHAT)
    parser.add_argument(
        "--active", metavar="STATE", nargs="+", default=(), help="show these states as active"
    )
    parser.add_argument("--direction", choices=["LR", "TB", "RL", "BT"], default="LR", help="(%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Print the diagram. Returns the exit status."""
    try:
        target = find(options.target)
        active = options.active or target.active
        put(mermaid(target.schema, active=active, direction=options.direction), "mermaid")
    except (NotFound, AmachineError) as error:
        print(f"amachine graph: {error}", file=sys.stderr)
        return 1
    return 0
