"""Two scripts become one: ping-pong, then a file, then ping-pong the other way round. Nothing of either is written again.

`Ping` and `Offer` are templates of two other examples; here they get other roles, and other continuations. Charlie sends Bob
a file after Alice has played with him. If it arrives, Bob serves; if not, all end in `Failed`.

To follow is to follow from something, it is no barrier. Charlie has no part in the first game, so his offer goes out at
once, and waits until Bob has played. Where that is not wanted, a `Barrier` is put between: then Alice tells Charlie that she
has done. She has no part in the file, and need not hear that it has come, for then Bob's ball does; only that it has not.

    python -m examples.pingpong_then_send_file [--engine machine]
    amachine choreo explain examples.pingpong_then_send_file:both
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import attrs

from amachine.choreography import Barrier, Choreography, Exit, Trace
from amachine.choreography.whole import Engine
from examples.pingpong import Ping
from examples.send_file import Failed, Offer, Receiver, Sender


@attrs.define
class Alice:
    """Plays ping-pong."""

    count: int = 0
    rounds: int = 2


@attrs.define
class Bob(Receiver):
    """Plays ping-pong, and takes the file: one class may offer what several scripts want."""

    count: int = 0
    rounds: int = 1


@attrs.define
class Charlie(Sender):
    """Has the file."""


File = Offer[Charlie, Bob, Ping[Bob, Alice, Exit], Failed]
ROLES = [Alice, Bob, Charlie]

both = Choreography(Ping[Alice, Bob, File], roles=ROLES, name="both")
waiting = Choreography(Ping[Alice, Bob, Barrier[File]], roles=ROLES, name="waiting")


async def play(choreography: Choreography, what: str, engine: Engine, most: int = 2**20) -> None:
    """Play it, and print what was said."""
    trace = Trace()
    with (
        TemporaryDirectory() as folder,
        closing(Bob(folder=Path(folder), most=most)) as bob,
        closing(Charlie()) as charlie,
    ):
        cast = {Alice: Alice(), Bob: bob, Charlie: charlie}
        outcome = await choreography.run_local(cast, engine=engine, tracers=[trace])
    print(f"{what}: {outcome.exit}\n{trace}\n")


def main() -> None:
    """Play it in three ways, and say who is told what, and why."""
    parser = argparse.ArgumentParser(
        description="Ping-pong, then a file, then ping-pong the other way round."
    )
    parser.add_argument("--engine", choices=["table", "machine"], default="table", help="(%(default)s)")
    engine = parser.parse_args().engine
    anyio.run(play, both, "a file after a game", engine)
    anyio.run(play, waiting, "with a barrier between", engine)
    anyio.run(play, both, "a file that is too long", engine, 100)
    for inform in both.informs:
        print(f"{inform}\n  {both.reason(inform)}")


if __name__ == "__main__":
    main()
