"""The files of a folder, in order, without what no one would call its content. Blocks: call it in a thread."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from amachine.tools.demo.values import Found

SKIPPED = frozenset({".git", ".hg", ".svn", ".hypothesis", ".nox", ".tox", "__pycache__", "node_modules"})
"""Folders of tools. Caches and virtual environments are known by the marks that they carry."""
MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")


def walk(root: Path, is_ours: Callable[[Path], bool]) -> Iterator[Found]:
    """Yield everything below `root` that is no folder, sorted by name; links are not followed.

    What `is_ours` says yes to is passed over. A folder that cannot be listed is yielded itself, to be refused.
    """
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            if folder == root:
                raise
            found = _found(root, folder)
            if found is not None:
                yield found
            continue
        if folder != root and any(entry.name in MARKS for entry in entries):
            continue
        below: list[Path] = []
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED:
                    below.append(path)
            elif not is_ours(path):
                found = _found(root, path)
                if found is not None:
                    yield found
        folders += reversed(below)


def _found(root: Path, path: Path) -> Found | None:
    """What there is at a path; None where it has gone since it was listed."""
    try:
        status = path.lstat()
    except OSError:
        return None
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Found(_printable(path.relative_to(root)), path, size, status.st_mtime_ns, status.st_mode)


def _printable(path: Path) -> str:
    """A path as text that any terminal and database takes: what is no character becomes an escape."""
    text = path.as_posix().encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
