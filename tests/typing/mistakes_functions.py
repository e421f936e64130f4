"""Wrong script functions, each line marked `# E` in one way: both checkers say so, there and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from amachine.choreography.functions.scripted import choreography


class Pinger(Protocol):
    count: int
    name: str

    def more(self) -> bool: ...
    def bump(self) -> int: ...
    @property
    def size(self) -> int: ...


class Taker(Protocol):
    total: int

    def take(self, data: bytes, /) -> None: ...


@dataclass
class Chunk:
    data: bytes


class Reader(Protocol):
    def read(self) -> Chunk | None: ...


@choreography
def pingpong(c: Pinger, s: Pinger) -> None:
    while c.more():
        s.count = c.name  # E wrong payload
        c.count = s.bumps()  # E unknown operation
        s.cont = c.count  # E unknown attribute
        s.size = c.size  # E can only be read


@choreography
def asked(c: Pinger, t: Taker) -> bool:
    t.total = c.count
    t.take(c.count)  # E wrong payload of an operation
    t.take()  # E nothing to take
    return t.total  # E no exit


@choreography
def read(r: Reader, t: Taker) -> bool:
    match r.read():
        case Chunk(data):
            t.take(data)
            t.total = data  # E wrong type of what a pattern binds
        case None:
            t.take("end")  # E wrong literal
    return True


@choreography
def whole(c: Pinger, t: Taker) -> None:
    pingpong(c, t)  # E a role that cannot play
    pingpong(c)  # E too few roles
    asked(c, t, t)  # E too many roles
    asked(c, who=t)  # E no such role
    t.take(asked(c, t))  # E an exit is no value of that type
    other(c, t)  # E not defined  # noqa: F821


@choreography(infrom="auto")  # E no such option
def misspelt(c: Pinger, t: Taker) -> None:
    t.total = c.count


@choreography(inform="some")  # E no such policy
def nobody(c: Pinger, t: Taker) -> None:
    t.total = c.count


def use() -> None:
    pingpong.run_localy({})  # E no such method
    assert pingpong.scripts  # E no such attribute
