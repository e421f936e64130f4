"""The `amachine` command: finds the subcommand that is asked for, and loads that one only.

A subcommand is a module with `configure(parser)` and `run(options) -> int`. Nothing here does any work itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from amachine.tools.colour import Parser
from amachine.tools.spelling import spell_out

COMMANDS = {
    "choreo": ("amachine.tools.choreo", "check, explain, draw and play choreographies"),
    "demo": ("amachine.tools.demo.command", "run a real workflow: hash and compress the files of a folder"),
    "graph": ("amachine.tools.graph", "draw a schema as a Mermaid diagram"),
    "lint": ("amachine.tools.lint", "find states, groups and handlers that can never be what they say"),
    "run": ("amachine.tools.run", "talk to a live machine, at a prompt or from a script"),
}
"""Where each subcommand lives, and what it does in a few words."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 failed, 2 misused, 130 interrupted."""
    spell_out(sys.stdout)
    spell_out(sys.stderr)
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(asked=next((word for word in words if not word.startswith("-")), None))
    options = parser.parse_args(words)
    if options.run is None:
        parser.print_help()
        return 2
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, say `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser(asked: str | None) -> Parser:
    """The parser of everything, in which only the asked-for subcommand is complete."""
    parser = Parser(
        prog="amachine",
        description="State machines whose states are many at once: relations, consensus, clocks and background work.",
        epilog="`amachine COMMAND --help` says more.",
    )
    parser.add_argument("--version", action=_Version, help="show the version and leave")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == asked:
            loaded = import_module(module)
            loaded.configure(command)
            command.set_defaults(run=loaded.run)
    return parser


class _Version(argparse.Action):
    """`--version`: importlib.metadata takes longer to load than the rest, and is rarely asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"amachine {version('amachine')}")
        except PackageNotFoundError:
            print("amachine (not installed: run from its source)")
        parser.exit()
