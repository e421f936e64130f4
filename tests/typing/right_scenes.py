"""Scenes as they are meant: templates, options, regions, a barrier, sync and async. Checked; test_scenes.py reads it."""

from __future__ import annotations

import hashlib
import random
from typing import Any, Generic, Protocol, Self, TypeVar, assert_type

import attrs

from amachine.choreography.scenes.reader import (
    Barrier,
    Exit,
    Msg,
    Region,
    Scene,
    Sent,
    To,
    after,
    ignore,
    weight,
)


class Failed(Exit): ...


class Pinger(Protocol):
    count: int


class Coordinator(Protocol):
    yes: int
    retries: int


class Voter(Protocol):
    def vote(self) -> bool: ...


C = TypeVar("C", bound=Pinger)
V = TypeVar("V", bound=Pinger)
K = TypeVar("K", bound=Coordinator)
X = TypeVar("X", bound=Voter)
Y = TypeVar("Y", bound=Voter)
Next = TypeVar("Next")
Ok = TypeVar("Ok")
Bad = TypeVar("Bad")
T = TypeVar("T")


class Ping(Scene[C, V], Generic[C, V, Next]):
    ping: Msg[int, Pong[C, V, Next]]
    next: Msg[None, Next]

    def send(self, me: C) -> Sent:
        if me.count == 2:
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


@attrs.frozen
class Final:
    data: bytes
    digest: bytes


class Sender:
    data = b""
    batch = 0
    h = hashlib.blake2b()

    def read(self) -> bytes:
        return b""


class Receiver:
    total = 0
    want = b""
    h = hashlib.blake2b()

    def write(self, data: bytes) -> None: ...


CHUNK, BATCH = 1024, 4096


class Size(Scene[Sender, Receiver]):
    size: Msg[int, Send]

    def send(self, me: Sender) -> Sent:
        return self.size(len(me.data))

    def on_size(self, me: Receiver, n: int) -> None:
        me.total = n


class Send(Scene[Sender, Receiver]):
    chunk: Msg[bytes, Self] = weight(80)
    check: Msg[bytes, CheckHash[Send, Exit]]
    final: Msg[Final, CheckHash[Exit, Exit]]

    def send(self, me: Sender) -> Sent:
        if me.batch >= BATCH:
            me.batch = 0
            d, me.h = me.h.digest(), hashlib.blake2b()
            return self.check(d)
        part = me.read()
        me.batch += len(part)
        me.h.update(part)
        return self.chunk(part) if len(part) == CHUNK else self.final(Final(part, me.h.digest()))

    def on_chunk(self, me: Receiver, part: bytes) -> None:
        me.write(part)
        me.h.update(part)

    def on_check(self, me: Receiver, digest: bytes) -> None:
        me.want = digest

    def on_final(self, me: Receiver, f: Final) -> None:
        me.write(f.data)
        me.h.update(f.data)
        me.want = f.digest


class CheckHash(Scene[Receiver, Sender], Generic[Ok, Bad]):
    ok: Msg[None, Ok]
    failed: Msg[None, Bad]

    def send(self, me: Receiver) -> Sent:
        good, me.h = me.h.digest() == me.want, hashlib.blake2b()
        return self.ok() if good else self.failed()


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

    async def send(self, me: Y) -> Sent:
        return self.resp(me.vote())

    async def on_resp(self, me: K, yes: bool) -> None:
        me.yes += yes


class Decide(Scene[K, X, Y], Generic[K, X, Y, Ok, Bad]):
    patience = 30
    ok: Msg[None, Ok]
    failed: Msg[None, Bad]
    retry: Msg[None, Begin[K, X, Y, Ok, Bad]]

    def send(self, me: K) -> Sent:
        if me.yes == 2:
            me.retries = 0
            return self.ok()
        if me.retries < 40:
            me.retries += 1
            return self.retry()
        return self.failed()


class Peer:
    count = 0
    yes = 0
    retries = 0

    def vote(self) -> bool:
        return True


class Alice(Peer): ...


class Bob(Peer): ...


class Charlie(Peer): ...


class Selector:
    times = 0
    rng = random.Random()


class Start(Scene[Selector, Charlie, Alice, Bob]):
    charlie_leads: Msg[
        None,
        Ping[Alice, Bob, Ping[Bob, Charlie, Ping[Charlie, Alice, Begin[Charlie, Alice, Bob, Start, Exit]]]],
    ]
    alice_leads: Msg[None, Ping[Charlie, Bob, Barrier[Begin[Alice, Bob, Charlie, Start, Exit]]]]
    bob_leads: Msg[None, Ping[Alice, Charlie, Begin[Bob, Alice, Charlie, Start, Exit]]]
    exit: Msg[None, Exit]

    def send(self, me: Selector) -> Sent:
        me.times += 1
        if me.times > 300:
            return self.exit()
        return me.rng.choice([self.charlie_leads, self.alice_leads, self.bob_leads])()


# What else there is.


class Pay(Region, on_lost=lambda: Refund): ...


class Deep(Pay, on_lost={Bob: "Refund", Charlie: lambda: Failed}): ...


class Again(Pay, restart=True): ...


class Ended(Region, on_lost=Failed): ...


class Played(Region, on_lost=Ping[Alice, Charlie, Exit]): ...


class Tell(Scene[Alice, Bob, Charlie], Generic[T, Next]):
    """A payload may be a type parameter, too."""

    told: Msg[T, Next, To[Bob]] = ignore()
    listed: Msg[list[T], Self] = ignore(weight=2)


class TellNumber(Tell[int, Exit]):
    def send(self, me: Alice) -> Sent:
        return self.told(3) if me.count else self.listed([3])


class Charge(Deep, Scene[Alice, Bob, Charlie]):
    patience = 2.5
    limit: int = 5
    sum: Msg[float, TellNumber] = ignore()
    thought: Msg[None, Self, To[()]]
    both: Msg[Final, Exit, To[Bob, Charlie]]
    late: Msg[None, Failed] = after(5.0)
    later: Msg[None, Exit, To[Bob]] = weight(0.5)

    async def send(self, me: Alice) -> Sent:
        assert_type(self.thought(), Sent)
        if me.count > self.limit:
            return self.sum(1)  # an int is a float
        return self.both(Final(b"", b"")) if me.count else self.thought()

    def on_both(self, me: Bob | Charlie, what: Final) -> None:
        me.count = len(what.data)

    def on_later(self, me: Bob) -> None: ...


class Refund(Scene[Alice, Charlie]):
    sent: Msg[int, Exit]

    def send(self, me: Alice) -> Sent:
        return self.sent(me.count)

    def on_sent(self, me: Peer, n: object) -> Any: ...


class Louder(Ping[Alice, Bob, Exit]):
    """An inherited scene, with a method of its own."""

    def on_ping(self, me: Bob, n: int) -> None:
        me.count = n * 2
