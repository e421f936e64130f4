"""Ping-pong: the smallest choreography. Two scenes, each with one sender; their continuations are types.

`Ping` is a template: who plays, and what follows, are its arguments, so that other scripts build upon it.

    python examples/pingpong.py --rounds 3 --engine machine
    amachine choreo run examples/pingpong.py:game
    amachine choreo explain examples/pingpong.py:game
    amachine choreo graph examples/pingpong.py:game -o pingpong.svg
"""

from __future__ import annotations

import argparse
from typing import Generic, Protocol, TypeVar

import anyio
import attrs

from amachine.choreography import Choreography, Exit, Msg, Scene, Sent, Trace


class Pinger(Protocol):
    """What one must have to play: a count, and how far it goes."""

    count: int
    rounds: int


Client = TypeVar("Client", bound=Pinger)
Server = TypeVar("Server", bound=Pinger)
Next = TypeVar("Next")


class Ping(Scene[Client, Server], Generic[Client, Server, Next]):
    """The client serves, or has had enough."""

    ping: Msg[int, Pong[Client, Server, Next]]
    next: Msg[None, Next]

    def send(self, me: Client) -> Sent:
        if me.count >= me.rounds:
            me.count = 0
            return self.next()
        return self.ping(me.count)

    def on_ping(self, me: Server, n: int) -> None:
        me.count = n

    def on_next(self, me: Server) -> None:
        me.count = 0


class Pong(Scene[Server, Client], Generic[Client, Server, Next]):
    """The server counts one up, and plays it back."""

    pong: Msg[int, Ping[Client, Server, Next]]

    def send(self, me: Server) -> Sent:
        me.count += 1
        return self.pong(me.count)

    def on_pong(self, me: Client, n: int) -> None:
        me.count = n


@attrs.define
class Alice:
    """A role is a class; whoever plays it, an instance."""

    count: int = 0
    rounds: int = 2


@attrs.define
class Bob:
    """Bob plays as well as Alice does, but it is she who serves."""

    count: int = 0
    rounds: int = 2


game = Choreography(Ping[Alice, Bob, Exit], roles=[Alice, Bob], name="pingpong")


def main() -> None:
    """Play one game in this process, and draw how it began."""
    parser = argparse.ArgumentParser(description="A game of ping-pong, and its first messages as a diagram.")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="pings and pongs (%(default)s)")
    parser.add_argument("--engine", choices=["table", "machine"], default="table", help="(%(default)s)")
    options = parser.parse_args()
    trace = Trace()

    async def play() -> None:
        cast = {Alice: Alice(rounds=options.rounds), Bob: Bob()}
        print(await game.run_local(cast, engine=options.engine, tracers=[trace]))

    anyio.run(play)
    print(Trace.made_of(trace.events[:40]).mermaid(), end="")


if __name__ == "__main__":
    main()
