"""Two-phase commit: a coordinator asks two voters; both say yes and it is done, or nothing is. Templates, exits, and who is lost.

The scenes are templates, generic in their three roles and in what follows: `examples/random_pingpong_2pc.py` uses them for
four peers who take turns. Here a travel desk books a flight and a hotel, or neither. `RolledBack` is an exit of its own.

The desk may be lost. A voter that has not voted yet rolls back by itself: nobody can have been told to commit without it.
That is the region `Open`. Who has voted and hears nothing more is in doubt: that is the weakness of this protocol, and such
a session ends with a sentence that says so.

    python examples/two_phase_commit.py
    python examples/two_phase_commit.py --kill Flight --at 6
    amachine choreo explain examples/two_phase_commit.py:trip
"""

from __future__ import annotations

import argparse
from typing import Generic, Protocol, TypeVar

import anyio
import attrs

from amachine.choreography import Choreography, Event, Exit, Msg, Play, Region, Scene, Sent, StageTracer, Step


class Coordinator(Protocol):
    """Counts the votes, and says whether it asks again."""

    yes: int

    def again(self) -> bool: ...


class Voter(Protocol):
    """Says whether it can, and then does what was decided."""

    def vote(self) -> bool: ...
    def commit(self) -> None: ...
    def roll_back(self) -> None: ...


K = TypeVar("K", bound=Coordinator)
X = TypeVar("X", bound=Voter)
Y = TypeVar("Y", bound=Voter)
Ok = TypeVar("Ok")
Bad = TypeVar("Bad")
Next = TypeVar("Next")


class RolledBack(Exit):
    """Nothing was done."""


class Open(Region, on_lost=RolledBack):
    """Somebody has not voted yet, and who has not voted may still go."""


class Begin(Open, Scene[K, X, Y], Generic[K, X, Y, Ok, Bad]):
    """Both are asked to prepare."""

    begin: Msg[None, FirstVote[X, K, Vote[Y, K, Decide[K, X, Y, Ok, Bad]]]]

    def send(self, me: K) -> Sent:
        me.yes = 0
        return self.begin()


class Vote(Scene[X, K], Generic[X, K, Next]):
    """Who says yes has prepared, and can do both from now on."""

    yes: Msg[None, Next]
    no: Msg[None, Next]

    def send(self, me: X) -> Sent:
        return self.yes() if me.vote() else self.no()

    def on_yes(self, me: K) -> None:
        me.yes += 1


class FirstVote(Open, Vote[X, K, Next], Generic[X, K, Next]):
    """The same, while the second vote is not cast."""


class Decide(Scene[K, X, Y], Generic[K, X, Y, Ok, Bad]):
    """Two times yes is yes. If not, it may ask again."""

    commit: Msg[None, Ok]
    abort: Msg[None, Bad]
    again: Msg[None, Begin[K, X, Y, Ok, Bad]]

    def send(self, me: K) -> Sent:
        if me.yes == 2:
            return self.commit()
        return self.again() if me.again() else self.abort()

    def on_commit(self, me: X | Y) -> None:
        me.commit()

    def on_abort(self, me: X | Y) -> None:
        me.roll_back()


@attrs.define
class Desk:
    """Wants both or none."""

    yes: int = 0
    left: int = 1

    def again(self) -> bool:
        self.left -= 1
        return self.left >= 0


@attrs.define
class Seller:
    """Holds back a place when it says yes."""

    free: int = 1
    sold: int = 0
    held: int = 0

    def vote(self) -> bool:
        self.roll_back()
        self.held = min(self.free, 1)
        self.free -= self.held
        return self.held == 1

    def commit(self) -> None:
        self.sold, self.held = self.sold + self.held, 0

    def roll_back(self) -> None:
        self.free, self.held = self.free + self.held, 0


class Flight(Seller):
    """Votes first."""


class Hotel(Seller):
    """Votes second."""


start = Begin[Desk, Flight, Hotel, Exit, RolledBack]
trip = Choreography(start, roles=[Desk, Flight, Hotel], name="trip", mortal=[Desk])


class Kill(StageTracer):
    """Lets a role die when so many steps were taken."""

    def __init__(self, role: str, at: int) -> None:
        self.role, self.left = role, at
        self.play: Play

    def stage_event(self, event: Event) -> None:
        self.left -= isinstance(event, Step)
        if self.left == 0:
            self.play.kill(self.role)


async def book(what: str, *, rooms: int = 1, kill: Kill | None = None) -> None:
    """Book both, or neither; tell how it ended."""
    cast = {Desk: Desk(), Flight: (flight := Flight()), Hotel: Hotel(free=rooms)}
    if kill is None:
        outcome = await trip.run_local(cast)
    else:
        async with trip.play(cast, tracers=[kill]) as kill.play:
            outcome = await kill.play.ended()
    print(f"{what}: {flight.sold} sold\n{outcome}\n")


async def show() -> None:
    """All that can happen."""
    await book("both have a place")
    await book("there is no room in the hotel", rooms=0)
    await book("the hotel is lost while it votes", kill=Kill("Hotel", 3))
    await book("the desk is lost before anybody has voted", kill=Kill("Desk", 1))
    await book("the desk is lost after that", kill=Kill("Desk", 6))


def main() -> None:
    """Book a trip, with what the command line says; without words, in every way."""
    parser = argparse.ArgumentParser(description="Book a flight and a hotel, or neither.")
    parser.add_argument("--kill", metavar="ROLE", choices=trip.script.roles, help="who is lost")
    parser.add_argument("--at", type=int, default=1, metavar="STEP", help="when (%(default)s)")
    options = parser.parse_args()
    if options.kill is None:
        anyio.run(show)
    else:
        anyio.run(lambda: book("a trip", kill=Kill(options.kill, options.at)))


if __name__ == "__main__":
    main()
