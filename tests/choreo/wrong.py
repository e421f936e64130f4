"""Runs programs that are texts, so that no type checker sees what is wrong with them, and lines of theirs can be asked for."""

from __future__ import annotations

import linecache
from itertools import count
from typing import Any

_numbers = count(1)


def program(source: str) -> dict[str, Any]:
    """Run a program; return its names. Tracebacks and diagnostics find its lines."""
    file = f"<play {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names: dict[str, Any] = {"__name__": file}
    exec(compile(source, file, "exec", dont_inherit=True), names)
    return names
