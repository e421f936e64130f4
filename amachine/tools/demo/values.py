"""What travels through the workflow: plain, frozen values. Nothing here reads a file or knows of a machine."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Literal

import attrs


@attrs.frozen
class Rules:
    """How files are treated."""

    max_size: int = 1 << 20
    """Bytes; larger files are skipped."""
    tries: int = 4
    """How often a file that fails is read before it counts as failed."""
    backoff: float = 0.1
    """Seconds before the second try; twice as many before each further one."""
    method: Literal["zlib", "lzma"] = "zlib"
    fail_rate: float = 0.0
    """The share of reads that fail on purpose, from 0 to 1."""
    seed: int = 0
    """Chooses which: the same seed lets the same reads fail."""
    pace: float = 0.0
    """Seconds that each piece of work takes at least, to watch it."""

    def is_sabotaged(self, name: str, attempt: int) -> bool:
        """Whether this attempt at this file is to fail: the same answer on every run and machine."""
        drawn = blake2b(f"{self.seed}:{attempt}:{name}".encode(), digest_size=4).digest()
        return int.from_bytes(drawn, "big") < self.fail_rate * 2**32


@attrs.frozen
class Found:
    """A file as the walk met it."""

    name: str
    """Its path below the folder, printable and the same on every system."""
    path: Path
    size: int
    mtime_ns: int
    mode: int
    """Type and permissions, as `stat` tells them."""


@attrs.frozen
class Attempt:
    """One try at a file; the first is number 1."""

    number: int


@attrs.frozen
class Trouble:
    """Why an attempt failed, and when the next one is due."""

    why: str
    next: int
    delay: float


@attrs.frozen
class Digest:
    """What a file's content is."""

    sha256: str


@attrs.frozen
class Packed:
    """How far a file's content can be compressed."""

    size: int


@attrs.frozen
class Outcome:
    """How it ended with one file."""

    state: Literal["stored", "skipped", "failed"]
    attempts: int
    why: str = ""
    sha256: str | None = None
    packed: int | None = None
