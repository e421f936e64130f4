"""The examples as script functions, and those who play them."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from amachine.choreography.functions.scripted import choreography

# Ping-pong.


class Pinger(Protocol):
    count: int

    def more(self) -> bool: ...
    def bump(self) -> int: ...


@choreography
def pingpong(c: Pinger, s: Pinger) -> None:
    while c.more():
        s.count = c.count
        c.count = s.bump()


@dataclass
class Player:
    """Plays with the ball until it was struck so many times."""

    rounds: int = 2
    count: int = 0

    def more(self) -> bool:
        if self.count >= self.rounds:
            self.count = 0
            return False
        return True

    def bump(self) -> int:
        self.count += 1
        return self.count


# Two-phase commit.


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


@dataclass
class Peer(Player):
    """Plays ping-pong, and any part in a commit."""

    chance: random.Random = field(default_factory=lambda: random.Random(1), compare=False)
    round: int = 0
    yes: int = 0
    retries: int = 3
    decisions: list[Decision] = field(default_factory=list[Decision])

    def reset(self) -> int:
        self.yes = 0
        return len(self.decisions) + 1

    def vote(self) -> bool:
        return self.chance.random() < 0.5

    def tally(self, x: bool, y: bool, /) -> None:
        self.yes = x + y

    def decide(self) -> Decision:
        found = Decision.OK if self.yes == 2 else Decision.RETRY if self.retries else Decision.FAILED
        self.retries -= found is Decision.RETRY
        self.decisions.append(found)
        return found


# Four roles, protocols with different casts.


class Pick(Enum):
    CHARLIE = 1
    ALICE = 2
    BOB = 3
    EXIT = 4


class Selector(Protocol):
    def pick(self) -> Pick: ...


class Actor(Pinger, Coordinator, Voter, Protocol):
    """Whoever plays ping-pong and commits."""


@choreography
def show(s: Selector, a: Actor, b: Actor, c: Actor) -> None:
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
class Dice:
    """Picks until it has picked so many times."""

    times: int = 5
    chance: random.Random = field(default_factory=lambda: random.Random(2), compare=False)

    def pick(self) -> Pick:
        self.times -= 1
        return Pick.EXIT if self.times < 0 else self.chance.choice([Pick.CHARLIE, Pick.ALICE, Pick.BOB])


# A file, with a hash every now and then.


@dataclass(frozen=True)
class Chunk:
    data: bytes


@dataclass(frozen=True)
class Check:
    digest: bytes


@dataclass(frozen=True)
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


@dataclass
class Source:
    """Sends what it has, and the digest of it after so many chunks."""

    data: bytes
    chunk: int = 4
    batch: int = 3
    at: int = 0
    since: int = 0
    spoil: int = -1
    """The chunk that is not what the digest says."""

    def __post_init__(self) -> None:
        self.hash = hashlib.blake2b()

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self) -> Chunk | Check | Final:
        if self.since == self.batch:
            self.since = 0
            return Check(self.hash.digest())
        number = self.at // self.chunk
        part = self.data[self.at : self.at + self.chunk]
        self.at += self.chunk
        self.since += 1
        self.hash.update(part if number != self.spoil else b"?")
        return Chunk(part) if self.at < len(self.data) else Final(part, self.hash.digest())


@dataclass
class Sink:
    """Takes what comes, and looks at digests."""

    total: int = 0
    data: bytes = b""
    verified: int = 0

    def write(self, data: bytes, /) -> None:
        self.data += data

    def verify(self, digest: bytes, /) -> bool:
        self.verified += 1
        return hashlib.blake2b(self.data).digest() == digest
