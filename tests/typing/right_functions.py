"""Script functions, written as they are meant. Checked, never run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, assert_type

from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.functions.scripted import ScriptFunction, choreography


class Pinger(Protocol):
    count: int

    def more(self) -> bool: ...
    def bump(self) -> int: ...


class Decision(Enum):
    OK = 1
    FAILED = 2
    RETRY = 3


class Coordinator(Protocol):
    def reset(self) -> int: ...
    def tally(self, x: bool, y: bool, /) -> None: ...
    def decide(self) -> Decision: ...


class Voter(Protocol):
    round: int

    def vote(self) -> bool: ...


class Peer(Pinger, Coordinator, Voter, Protocol):
    """Plays everything."""


class Pick(Enum):
    CHARLIE = 1
    ALICE = 2
    BOB = 3
    EXIT = 4


class Selector(Protocol):
    def pick(self) -> Pick: ...


@choreography
def pingpong(c: Pinger, s: Pinger) -> None:
    while c.more():
        s.count = c.count
        c.count = s.bump()


@choreography
def two_phase(k: Coordinator, x: Voter, y: Voter) -> bool:
    while True:
        x.round = k.reset()
        y.round = k.reset()
        k.tally(x.vote(), y.vote())
        match k.decide():
            case Decision.OK:
                return True
            case Decision.FAILED:
                return False
            case Decision.RETRY:
                pass


@choreography(inform="auto", patience=30.0)
def show(s: Selector, a: Peer, b: Peer, c: Peer) -> None:
    while True:
        match s.pick():
            case Pick.CHARLIE:
                pingpong(a, b)
                pingpong(b, c)
                pingpong(c, a)
                if not two_phase(c, a, b):
                    return
            case Pick.ALICE:
                pingpong(c, b)
                if not two_phase(a, b, c):
                    return
            case Pick.BOB:
                pingpong(a, c)
                if not two_phase(b, a, c):
                    return
            case Pick.EXIT:
                return


@dataclass
class Chunk:
    data: bytes


@dataclass
class Check:
    digest: bytes


@dataclass
class Final:
    data: bytes
    digest: bytes


class Sender(Protocol):
    @property
    def size(self) -> int: ...
    def read(self) -> Chunk | Check | Final: ...


class Receiver(Protocol):
    total: int

    def write(self, data: bytes, /) -> None: ...
    def verify(self, digest: bytes, /) -> bool: ...


@choreography
def sendfile(s: Sender, r: Receiver) -> bool:
    r.total = s.size
    while True:
        match s.read():
            case Chunk(data):
                r.write(data)
            case Check(digest):
                if not r.verify(digest):
                    return False
            case Final(data, digest):
                r.write(data)
                return r.verify(digest)


class Slow(Protocol):
    async def ask(self) -> int: ...


@choreography
async def asked(c: Pinger, s: Slow) -> bool:
    c.count = await s.ask()
    return c.more()


@choreography(name="ask twice", informs=(), end="bye", endless=False)
async def asked_twice(c: Pinger, s: Slow) -> None:
    if await asked(c, s):
        await asked(c=c, s=s)


def use() -> None:
    assert_type(pingpong.check(), tuple[Diagnostic, ...])
    plain: ScriptFunction[[Pinger, Pinger], None] = pingpong
    some: ScriptFunction[..., Any] = two_phase
    assert_type((plain.name, show.explain(), sendfile.fingerprint), tuple[str, str, str])
    assert_type((some.script.exits, pingpong.__name__), tuple[tuple[str, ...], str])
    assert_type([each.code for each in show.warnings], list[str])
    two_phase.project("k").edges()
