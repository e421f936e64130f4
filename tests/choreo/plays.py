"""The plays that the tests of choreographies perform: scenes, the roles' classes, and how it must end.

`PINGPONG`, `SEND_FILE`, `TWO_PHASE`, `SHOW` and `SALE` are (first scene, roles); `….cast()` makes the objects that play them.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any, Generic, Protocol, Self, TypeVar

import attrs

from amachine.choreography.scenes.reader import Exit, Msg, Region, Scene, Sent


@attrs.frozen
class Play:
    """A first scene, its roles in order, and what makes their objects."""

    start: Any
    roles: tuple[type, ...]
    mortal: tuple[type, ...] = ()

    def cast(self, **given: Any) -> dict[type, Any]:
        """An object for each role, the given ones by the name of their role."""
        return {role: given.get(role.__name__) or role() for role in self.roles}


# Ping-pong: two rounds, then the first one has had enough.


class Pinger(Protocol):
    """Who plays ping-pong counts."""

    count: int


Next = TypeVar("Next")
C = TypeVar("C", bound=Pinger)
V = TypeVar("V", bound=Pinger)


class Ping(Scene[C, V], Generic[C, V, Next]):
    ping: Msg[int, Pong[C, V, Next]]
    next: Msg[None, Next]

    def send(self, me: C) -> Sent:
        if me.count >= 2:
            me.count = 0
            return self.next()
        return self.ping(me.count)

    def on_ping(self, me: V, n: int) -> None:
        me.count = n

    def on_next(self, me: V) -> None:
        me.count = 0


class Pong(Scene[V, C], Generic[C, V, Next]):
    pong: Msg[int, Ping[C, V, Next]]

    def send(self, me: V) -> Sent:
        me.count += 1
        return self.pong(me.count)

    def on_pong(self, me: C, n: int) -> None:
        me.count = n


# A file, with a hash after every batch. The check is one scene, used with two different continuations.


class Failed(Exit):
    """It did not work."""


@attrs.frozen
class Final:
    """The last part, and the digest of what came since the last one."""

    data: bytes
    digest: bytes


@attrs.define
class Sender:
    """Has the file."""

    data: bytes = bytes(range(256)) * 40
    chunk: int = 1024
    batch: int = 4096
    """Bytes between two digests."""
    at: int = 0
    since: int = 0
    hash: Any = attrs.field(factory=hashlib.blake2b)

    def read(self) -> bytes:
        part = self.data[self.at : self.at + self.chunk]
        self.at += len(part)
        self.since += len(part)
        self.hash.update(part)
        return part

    def digest(self) -> bytes:
        digest: bytes = self.hash.digest()
        self.hash, self.since = hashlib.blake2b(), 0
        return digest


@attrs.define
class Receiver:
    """Gets it."""

    total: int = 0
    received: bytearray = attrs.field(factory=bytearray)
    want: bytes = b""
    hash: Any = attrs.field(factory=hashlib.blake2b)

    def write(self, part: bytes) -> None:
        self.received += part
        self.hash.update(part)

    def verify(self) -> bool:
        good: bool = self.hash.digest() == self.want
        self.hash = hashlib.blake2b()
        return good


Ok = TypeVar("Ok")
Bad = TypeVar("Bad")


class Size(Scene[Sender, Receiver]):
    size: Msg[int, Send]

    def send(self, me: Sender) -> Sent:
        return self.size(len(me.data))

    def on_size(self, me: Receiver, n: int) -> None:
        me.total = n


class Send(Scene[Sender, Receiver]):
    chunk: Msg[bytes, Self]
    check: Msg[bytes, CheckHash[Send, Failed]]
    final: Msg[Final, CheckHash[Exit, Failed]]

    def send(self, me: Sender) -> Sent:
        if me.since >= me.batch:
            return self.check(me.digest())
        part = me.read()
        return self.chunk(part) if len(part) == me.chunk else self.final(Final(part, me.digest()))

    def on_chunk(self, me: Receiver, part: bytes) -> None:
        me.write(part)

    def on_check(self, me: Receiver, digest: bytes) -> None:
        me.want = digest

    def on_final(self, me: Receiver, last: Final) -> None:
        me.write(last.data)
        me.want = last.digest


class CheckHash(Scene[Receiver, Sender], Generic[Ok, Bad]):
    ok: Msg[None, Ok]
    failed: Msg[None, Bad]

    def send(self, me: Receiver) -> Sent:
        return self.ok() if me.verify() else self.failed()


# Two-phase commit: generic in who coordinates, who votes, and where it goes on.


class Coordinator(Protocol):
    """Counts the votes, and how often it has asked again."""

    yes: int
    retries: int


class Voter(Protocol):
    """Says yes or no."""

    def vote(self) -> bool: ...


K = TypeVar("K", bound=Coordinator)
X = TypeVar("X", bound=Voter)
Y = TypeVar("Y", bound=Voter)
MOST = 40
"""How often a coordinator asks again."""


class Begin(Scene[K, X, Y], Generic[K, X, Y, Ok, Bad]):
    begin: Msg[None, VoteX[K, X, Y, Ok, Bad]]

    def send(self, me: K) -> Sent:
        me.yes = 0
        return self.begin()


class VoteX(Scene[X, K], Generic[K, X, Y, Ok, Bad]):
    resp: Msg[bool, VoteY[K, X, Y, Ok, Bad]]

    def send(self, me: X) -> Sent:
        return self.resp(me.vote())

    def on_resp(self, me: K, yes: bool) -> None:
        me.yes += yes


class VoteY(Scene[Y, K], Generic[K, X, Y, Ok, Bad]):
    resp: Msg[bool, Decide[K, X, Y, Ok, Bad]]

    def send(self, me: Y) -> Sent:
        return self.resp(me.vote())

    def on_resp(self, me: K, yes: bool) -> None:
        me.yes += yes


class Decide(Scene[K, X, Y], Generic[K, X, Y, Ok, Bad]):
    ok: Msg[None, Ok]
    failed: Msg[None, Bad]
    retry: Msg[None, Begin[K, X, Y, Ok, Bad]]

    def send(self, me: K) -> Sent:
        if me.yes == 2:
            me.retries = 0
            return self.ok()
        if me.retries < MOST:
            me.retries += 1
            return self.retry()
        return self.failed()


# Four roles, protocols with different casts.


@attrs.define
class Peer:
    """Plays ping-pong, coordinates and votes."""

    count: int = 0
    yes: int = 0
    retries: int = 0
    votes: int = 0
    rng: random.Random = attrs.field(factory=lambda: random.Random(1))

    def vote(self) -> bool:
        self.votes += 1
        return self.rng.random() < 0.5


class Alice(Peer): ...


class Bob(Peer): ...


class Charlie(Peer): ...


@attrs.define
class Selector:
    """Says who leads, so many times."""

    most: int = 20
    times: int = 0
    rng: random.Random = attrs.field(factory=lambda: random.Random(1))


class Start(Scene[Selector, Charlie, Alice, Bob]):
    charlie_leads: Msg[
        None,
        Ping[Alice, Bob, Ping[Bob, Charlie, Ping[Charlie, Alice, Begin[Charlie, Alice, Bob, Start, Exit]]]],
    ]
    alice_leads: Msg[None, Ping[Charlie, Bob, Begin[Alice, Bob, Charlie, Start, Exit]]]
    bob_leads: Msg[None, Ping[Alice, Charlie, Begin[Bob, Alice, Charlie, Start, Exit]]]
    exit: Msg[None, Exit]

    def send(self, me: Selector) -> Sent:
        me.times += 1
        if me.times > me.most:
            return self.exit()
        return me.rng.choice([self.charlie_leads, self.alice_leads, self.bob_leads])()


# A sale that outlives its bank.


@attrs.define
class Customer:
    """Pays, and hears how it went."""

    price: int = 5
    heard: list[str] = attrs.field(factory=list[str])


@attrs.define
class Shop:
    """Sells, and hears how it went."""

    heard: list[str] = attrs.field(factory=list[str])


@attrs.define
class Bank:
    """May be lost."""

    balance: int = 10


class Refunded(Exit):
    """The customer has the money back."""


class Pay(Region, on_lost=lambda: Refund):
    """From the order until the bank has said whether there is money."""


class Order(Pay, Scene[Customer, Shop]):
    order: Msg[str, Charge]

    def send(self, me: Customer) -> Sent:
        return self.order("tea")

    def on_order(self, me: Shop, what: str) -> None:
        me.heard.append(what)


class Charge(Pay, Scene[Shop, Bank]):
    charge: Msg[int, Verdict]

    def send(self, me: Shop) -> Sent:
        return self.charge(5)

    def on_charge(self, me: Bank, amount: int) -> None:
        me.balance -= amount


class Verdict(Pay, Scene[Bank, Shop, Customer]):
    paid: Msg[None, Exit]
    refused: Msg[None, Failed]

    def send(self, me: Bank) -> Sent:
        return self.paid() if me.balance >= 0 else self.refused()

    def on_paid(self, me: Shop | Customer) -> None:
        me.heard.append("paid")


class Refund(Scene[Shop, Customer]):
    refund: Msg[int, Refunded]

    def send(self, me: Shop) -> Sent:
        return self.refund(5)

    def on_refund(self, me: Customer, amount: int) -> None:
        me.heard.append(f"refund {amount}")


PINGPONG = Play(Ping[Alice, Bob, Exit], (Alice, Bob))
SEND_FILE = Play(Size, (Sender, Receiver))
TWO_PHASE = Play(Begin[Charlie, Alice, Bob, Exit, Failed], (Charlie, Alice, Bob))
SHOW = Play(Start, (Selector, Alice, Bob, Charlie))
SALE = Play(Order, (Customer, Shop, Bank), (Bank,))
