"""Four roles, and protocols of different casts: in each round one of three peers leads, others play ping-pong, then all commit.

Nothing here is new: ping-pong and the commit are templates of two other examples, and `Start` says who plays them, and what
follows. It need not say who has to be told what. That is found: who would go wrong without hearing of a choice is told of it
by a frame without payload, and `show.reason` says what would go wrong. All others just wait for their next real message.

Which frames are the cheapest depends on how often a branch is taken: weights guess that, a trace has counted it.

    python -m examples.random_pingpong_2pc --rounds 100 --seed 7
    amachine choreo explain examples.random_pingpong_2pc:show
"""

from __future__ import annotations

import argparse
import random
from collections import Counter

import anyio
import attrs

from amachine.choreography import Choreography, Event, Exit, Msg, Scene, Sent, StageTracer, Step, weight
from examples.pingpong import Ping
from examples.two_phase_commit import Begin


@attrs.define
class Selector:
    """Says who leads, so many times."""

    rounds: int = 10
    rng: random.Random = attrs.field(factory=lambda: random.Random(1))


@attrs.define
class Peer:
    """Plays ping-pong, coordinates, and votes as a coin falls."""

    count: int = 0
    yes: int = 0
    commits: int = 0
    rounds: int = 10
    rng: random.Random = attrs.field(factory=lambda: random.Random(1))

    def again(self) -> bool:
        return self.rng.random() < 0.999

    def vote(self) -> bool:
        return self.rng.random() < 0.5

    def commit(self) -> None:
        self.commits += 1

    def roll_back(self) -> None:
        pass


class Alice(Peer):
    """A role is a class: three equal peers are three of them."""


class Bob(Peer):
    """As Alice."""


class Charlie(Peer):
    """As Alice."""


class Start(Scene[Selector, Charlie, Alice, Bob]):
    """Who leads says who plays before, and with whom. When a commit fails, all is over."""

    charlie_leads: Msg[
        None,
        Ping[Alice, Bob, Ping[Bob, Charlie, Ping[Charlie, Alice, Begin[Charlie, Alice, Bob, Start, Exit]]]],
    ] = weight(10)
    alice_leads: Msg[None, Ping[Charlie, Bob, Begin[Alice, Bob, Charlie, Start, Exit]]] = weight(10)
    bob_leads: Msg[None, Ping[Alice, Charlie, Begin[Bob, Alice, Charlie, Start, Exit]]] = weight(10)
    stop: Msg[None, Exit]

    def send(self, me: Selector) -> Sent:
        if me.rounds == 0:
            return self.stop()
        me.rounds -= 1
        return me.rng.choice([self.charlie_leads, self.alice_leads, self.bob_leads])()


show = Choreography(Start, roles=[Selector, Alice, Bob, Charlie], name="show", mortal=[Alice, Bob, Charlie])

KINDS = {"Start": "who leads", "Ping": "ping-pong", "Pong": "ping-pong"}
"""By the name of a scene; all others are of the commit."""


class Count(StageTracer):
    """Counts messages by what they are for."""

    def __init__(self) -> None:
        self.rounds = 0
        self.sent = Counter[str]()

    def stage_event(self, event: Event) -> None:
        if isinstance(event, Step) and event.sent:
            name = event.scene.partition("[")[0]
            self.rounds += name == "Start" and event.label != "stop"
            self.sent[KINDS.get(name, "commit")] += len(event.peers)
            self.sent["only told"] += len(event.informed)


async def play(rounds: int, seed: int) -> None:
    """Play so many rounds; say what they took."""
    rng = random.Random(seed)
    peers = {role: role(rng=rng) for role in (Alice, Bob, Charlie)}
    count = Count()
    outcome = await show.run_local({Selector: Selector(rounds, rng), **peers}, tracers=[count])
    print(f"{outcome}\n\nmessages in a round, of {count.rounds}:")
    for kind, sent in count.sent.items():
        print(f"{sent / max(count.rounds, 1):7.2f}  {kind}")


def main() -> None:
    """Play, and say who is told what besides, and why."""
    parser = argparse.ArgumentParser(description="Rounds of ping-pong and commits among three peers.")
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="(%(default)s)")
    options = parser.parse_args()
    print(f"{len(show.informs)} frames only tell of a choice; without them:")
    for inform in show.informs:
        print(f"  {inform}\n    {show.reason(inform)}")
    print()
    anyio.run(play, options.rounds, options.seed)


if __name__ == "__main__":
    main()
