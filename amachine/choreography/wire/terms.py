"""What an end of a connection grants and expects. Plain numbers; who keeps to them is said where they are used."""

from __future__ import annotations

import attrs

__all__ = ["Terms"]


@attrs.frozen(kw_only=True)
class Terms:
    """What an end of a connection grants the other, and expects of it."""

    beat: float = 5.0
    """Every so many seconds this end says that it is there, unless it said something else."""
    missed: int = 3
    """After so many beats of silence the other end is lost."""
    patience: float = 10.0
    """Seconds that a handshake may take: to say HELLO after connecting, and to answer one."""
    window: int = 64
    """How much of a session may wait here to be taken: frames, of which each counts once, and once more per 64 KiB."""
    limit: int | None = None
    """The most bytes of a payload on this connection, where a branch allows more."""
    sessions: int = 1000
    """The most sessions of one connection at a time."""
    connections: int = 1000
    """The most connections of one listener at a time."""

    def __attrs_post_init__(self) -> None:
        for name, least, most in (
            ("beat", 0.001, 60),
            ("missed", 1, 1000),
            ("patience", 0.001, 3600),
            ("window", 1, 0xFFFF),
            ("limit", 1, 0xFFFF_0000),
            ("sessions", 1, 0xFFFF_FFFF),
            ("connections", 1, 0xFFFF_FFFF),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name} is {value}: it must be from {least} to {most}")
