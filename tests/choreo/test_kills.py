"""Nobody waits for ever because another died: any role, at any step, of every play and of every example."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from amachine.choreography.whole import Choreography, Engine
from examples import (
    board_game,
    code_review,
    http_request,
    pingpong,
    pingpong_then_send_file,
    random_pingpong_2pc,
    send_file,
    two_phase_commit,
)
from tests.choreo import functions_plays, plays
from tests.choreo.killing import killed_everywhere
from tests.virtual import anyio_backend as anyio_backend

ENGINES: tuple[Engine, ...] = ("table", "machine")
PLAYS = {name: getattr(plays, name) for name in ("PINGPONG", "SEND_FILE", "TWO_PHASE", "SHOW", "SALE")}
OF_PLAYS = {
    name: Choreography(each.start, roles=each.roles, mortal=each.mortal) for name, each in PLAYS.items()
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PLAYS)
async def test_every_play_ends_whoever_dies(name: str, engine: Engine) -> None:
    most = 16 if engine == "table" else 8
    await killed_everywhere(OF_PLAYS[name], PLAYS[name].cast, engine, most=most)


@pytest.mark.parametrize("engine", ENGINES)
async def test_without_its_bank_a_sale_ends_in_a_refund_wherever_it_was(engine: Engine) -> None:
    for killed in await killed_everywhere(OF_PLAYS["SALE"], plays.SALE.cast, engine):
        if killed.role == "Bank":
            assert set(killed.others.values()) in ({"Refunded"}, {"Done"}), str(killed.outcome)


@pytest.mark.parametrize(
    ("script", "make"),
    [
        (functions_plays.pingpong, lambda: {"c": functions_plays.Player(), "s": functions_plays.Player()}),
        (
            functions_plays.sendfile,
            lambda: {"s": functions_plays.Source(bytes(900)), "r": functions_plays.Sink()},
        ),
    ],
    ids=["pingpong", "sendfile"],
)
async def test_what_a_function_says_ends_as_well(script: Any, make: Any) -> None:
    await killed_everywhere(script, make, most=10)


class Judge:
    """Checks nothing: the example's own does it in a process."""

    async def check(self, change: code_review.Change) -> code_review.Green:
        return code_review.Green()


def crew_of(module: Any, folder: Path) -> Any:
    """Who plays an example, made anew."""
    if module is pingpong:
        return lambda: {pingpong.Alice: pingpong.Alice(), pingpong.Bob: pingpong.Bob()}
    if module is two_phase_commit:
        return lambda: {
            role: role() for role in (two_phase_commit.Desk, two_phase_commit.Flight, two_phase_commit.Hotel)
        }
    if module is board_game:
        return lambda: {role: role(rng=random.Random(3)) for role in board_game.PLAYERS}
    if module is code_review:
        return lambda: {"author": code_review.Author(), "ci": Judge(), "reviewer": code_review.Reviewer()}
    if module is http_request:
        wants = ["/", "/nowhere", "/broken"]
        return lambda: {
            http_request.Client: http_request.Client(wants=[*wants]),
            http_request.Server: http_request.Server(),
        }
    if module is random_pingpong_2pc:
        peers = (random_pingpong_2pc.Alice, random_pingpong_2pc.Bob, random_pingpong_2pc.Charlie)
        selector = random_pingpong_2pc.Selector
        return lambda: (
            {role: role(rng=random.Random(3)) for role in peers} | {selector: selector(3, random.Random(3))}
        )
    folders = iter(folder / str(number) for number in range(100_000))

    def files() -> dict[Any, Any]:
        into = next(folders)
        into.mkdir()
        if module is send_file:
            return {
                send_file.Sender: send_file.Sender(chunk=2000, batch=5000),
                send_file.Receiver: send_file.Receiver(folder=into),
            }
        return {
            pingpong_then_send_file.Alice: pingpong_then_send_file.Alice(),
            pingpong_then_send_file.Bob: pingpong_then_send_file.Bob(folder=into),
            pingpong_then_send_file.Charlie: pingpong_then_send_file.Charlie(chunk=4000, batch=5000),
        }

    return files


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (pingpong, "game"),
        (send_file, "send_file"),
        (two_phase_commit, "trip"),
        (pingpong_then_send_file, "both"),
        (pingpong_then_send_file, "waiting"),
        (random_pingpong_2pc, "show"),
        (http_request, "web"),
        (board_game, "game"),
        (code_review, "review"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__.partition(".")[2],
)
async def test_every_example_ends_whoever_dies(
    module: Any, name: str, engine: Engine, tmp_path: Path
) -> None:
    most = 12 if engine == "table" else 6
    await killed_everywhere(getattr(module, name), crew_of(module, tmp_path), engine, most=most)
