"""Help with colours, where a terminal shows it. Colours the finished text, so that no line wraps otherwise."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import IO, Any

_STYLES = (
    (re.compile(r"^(usage|options|positional arguments|commands|examples|[a-z ]+):", re.MULTILINE), "1;33"),
    (re.compile(r"(?<![\w-])--?[a-z][\w-]*"), "36"),
    (re.compile(r"^    ?(?P<name>[a-z]+)(?=  )", re.MULTILINE), "32"),
    (re.compile(r"`[^`\n]+`"), "1"),
)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with coloured help and paragraphs in its epilog. Python 3.14 has colours of its own."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)

    def print_help(self, file: Any = None) -> None:
        """Print the help, to stdout by default."""
        out: IO[str] = sys.stdout if file is None else file
        text = self.format_help()
        out.write(painted(text) if sys.version_info < (3, 14) and takes_colour(out) else text)


def takes_colour(out: IO[str]) -> bool:
    """Whether this is a terminal whose user has not asked for plain text."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or out.isatty()


def painted(text: str) -> str:
    """Help with headings, options and commands in colours. Taking the colours away gives back the text."""
    for pattern, style in _STYLES:
        text = pattern.sub(lambda found, style=style: f"\033[{style}m{found[0]}\033[0m", text)  # type: ignore[misc]
    return text
