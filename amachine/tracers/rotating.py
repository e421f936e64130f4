"""A file of lines that is only ever appended to, and gives way to another when it is large or old.

One thread writes; nothing here starts one, or waits. Whole lines are written, each batch with one call. What goes wrong is
raised as `OSError`, and may be tried again later: no line is written twice, and none is mixed with another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from io import FileIO
from typing import TYPE_CHECKING

from amachine.tracers.lines import encode, first_line, read, rotated, rotated_name

if TYPE_CHECKING:
    from pathlib import Path


class RotatingFile:
    """A file that is made, with its folders, when the first line is written."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int | None,
        max_age: float | None,
        keep: int | None,
        now: Callable[[], float],
    ) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._keep = keep
        self._now = now
        self._file: FileIO | None = None
        self._size = 0
        self.total: int = 0
        """Lines that were written to the end, by this object."""
        self._lines = 0
        """Lines of the present file beyond the first."""
        self._began = 0.0
        self._torn = False
        """Whether the last line has no end."""
        self._was_open = False

    def write(self, lines: Iterable[bytes]) -> None:
        """Write lines, and rotate before one that is too many. Errors: `OSError`; `total` tells how many were written."""
        batch: list[bytes] = []
        try:
            file = self._there()
            size = self._size
            for line in lines:
                if (self._lines or batch) and self._is_full(size + len(line)):
                    self._append(file, batch)
                    batch = []
                    self._rotate()
                    file = self._there()
                    size = self._size
                batch.append(line)
                size += len(line)
            self._append(file, batch)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _is_full(self, size: int) -> bool:
        if self._max_bytes is not None and size > self._max_bytes:
            return True
        return self._max_age is not None and self._now() - self._began >= self._max_age

    def _there(self) -> FileIO:
        """The open file; another, if somebody has moved or removed the one that was open."""
        if self._file is not None:
            try:
                if os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                    return self._file
            except FileNotFoundError:
                pass
            self.close()
        return self._open()

    def _open(self) -> FileIO:
        if not self._was_open:
            self.path.parent.mkdir(
                parents=True, exist_ok=True
            )  # once: a folder that is taken away stays away
        self._file = file = FileIO(self.path, "ab")
        self._was_open = True
        self._size = os.fstat(file.fileno()).st_size
        self._lines = 0
        self._torn = False
        if not self._size:
            self._began = self._now()
            self._append(file, [encode(first_line(self._began))])
            self._lines = 0
            self.total -= 1
        else:
            self._began = self._begin_of_it()
            self._torn = not self._ends_well()
            self._lines = 1
        return file

    def _begin_of_it(self) -> float:
        try:
            for line in read(self.path):
                if line.what == "file":
                    return line.at.timestamp()
        except Exception:  # noqa: BLE001, S110  # whatever it holds, it is appended to
            pass
        return self._now()

    def _ends_well(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _append(self, file: FileIO, lines: list[bytes]) -> None:
        if not lines:
            return
        data = memoryview(b"".join([b"\n", *lines] if self._torn else lines))
        foreign = int(self._torn)
        done = 0
        try:
            while done < len(data):  # a disk that is nearly full takes a part
                done += file.write(data[done:])
        finally:
            if done == len(data):
                self.total += len(lines)
                self._torn = False
            elif done:
                self.total += bytes(data[:done]).count(b"\n") - foreign
            self._size += done
        self._lines += len(lines)

    def _rotate(self) -> None:
        self.close()
        at = self._now()
        while (name := rotated_name(self.path, at)).exists():
            at += 1e-6
        self.path.rename(name)
        if self._keep is not None:
            for old in rotated(self.path)[: -self._keep or None]:
                old.unlink(missing_ok=True)
