"""The examples that are protocols: a commit among three, the same among four with ping-pong between, and HTTP in short."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from amachine.choreography import (
    Choreography,
    ChoreographyError,
    Ending,
    Event,
    Level,
    Outcome,
    StageTracer,
    Step,
    Trace,
)
from amachine.choreography.whole import Engine
from amachine.choreography.wire import connect, serve
from examples import http_request, two_phase_commit
from examples.http_request import SITE, Client, Server, visit, web
from examples.random_pingpong_2pc import Alice, Bob, Charlie, Count, Selector, Start, show
from examples.two_phase_commit import Desk, Flight, Hotel, Kill, trip
from tests.thorough import MORE

ROOT = Path(__file__).resolve().parents[2]


def cast_of(whole: Choreography) -> Mapping[type, Any]:
    """Who plays an example: the commit has to ask twice, the show has three rounds, and a page has ten chunks."""
    if whole is trip:
        return {Desk: Desk(), Flight: Flight(free=0), Hotel: Hotel()}
    if whole is show:
        rng = random.Random(3)
        peers: dict[type, Any] = {role: role(rng=rng, rounds=2) for role in (Alice, Bob, Charlie)}
        return {Selector: Selector(3, rng), **peers}

    def ten(_: http_request.Request) -> http_request.Page:
        return http_request.Page({"type": "x"}, iter([b"x"] * 10))

    wants = ["/", "/nowhere", "/ten", "/broken", "/"]
    return {Client: Client("Ann", wants), Server: Server({"/ten": ten, **SITE})}


PLAYS = {"trip": (trip, 1, "RolledBack"), "show": (show, 37, "Done"), "web": (web, 2, "Done")}
"""By name: the choreography, of how many moments one is tried, and how it ends."""


def said(trace: Trace) -> dict[str, list[tuple[str, str, Any]]]:
    """By role, what it said."""
    steps = [each for each in trace.events if isinstance(each, Step) and each.sent]
    return {each.role: [(a.scene, a.label, a.data) for a in steps if a.role == each.role] for each in steps}


@pytest.mark.parametrize("name", PLAYS)
async def test_both_engines_with_and_without_a_wire_say_the_same(name: str) -> None:
    whole, _, end = PLAYS[name]
    assert all(each.level is Level.NOTE for each in whole.diagnostics)
    seen: list[Any] = []
    ways: list[tuple[Engine, bool]] = [("table", False), ("table", True), ("machine", True)]
    for engine, wire in ways:
        trace, cast = Trace(), cast_of(whole)
        outcome = await whole.run_local(cast, engine=engine, wire=wire, tracers=[trace])
        assert outcome.exit == end
        seen.append(said(trace))
    assert seen[0] == seen[1] == seen[2]


class Counted(StageTracer):
    """How many steps there were."""

    steps = 0

    def stage_event(self, event: Event) -> None:
        self.steps += isinstance(event, Step)


async def killed(whole: Choreography, cast: Mapping[type, Any], role: str, at: int) -> Outcome:
    kill = Kill(role, at)
    async with whole.play(cast, tracers=[kill]) as kill.play:
        with anyio.fail_after(20):
            return await kill.play.ended()


@pytest.mark.parametrize("name", PLAYS)
async def test_whoever_dies_at_whatever_step_all_others_end_and_say_why(name: str) -> None:
    whole, stride, end = PLAYS[name]
    counted = Counted()
    await whole.run_local(cast_of(whole), tracers=[counted])
    for role in whole.script.roles:
        for at in range(1, counted.steps + 1, max(1, stride // MORE)):
            outcome = await killed(whole, cast_of(whole), role, at)
            assert set(outcome) == {*whole.script.roles}
            for other, ending in outcome.items():
                if other != role and ending.aborted:
                    assert f"{role} was lost: killed" in ending.why, (at, str(outcome))
                elif other != role:
                    assert ending.state in {end, "RolledBack"}


# Two-phase commit.


@pytest.mark.parametrize("rooms", [0, 1])
async def test_both_are_sold_or_none(rooms: int) -> None:
    flight, hotel = Flight(), Hotel(free=rooms)
    outcome = await trip.run_local({Desk: Desk(), Flight: flight, Hotel: hotel})
    assert outcome.exit == ("Done" if rooms else "RolledBack")
    assert (flight.sold, hotel.sold) == (rooms, rooms)
    assert (flight.free, flight.held, hotel.held) == (1 - rooms, 0, 0)


async def test_when_the_desk_is_lost_who_has_not_voted_rolls_back_and_who_has_is_in_doubt() -> None:
    ways: set[tuple[str, str]] = set()
    for role in ("Desk", "Flight", "Hotel"):
        for at in range(1, 12):
            flight, hotel = Flight(), Hotel()
            outcome = await killed(trip, {Desk: Desk(), Flight: flight, Hotel: hotel}, role, at)
            states = [outcome[each].state for each in (Flight, Hotel)]
            if role == "Desk":
                ways.add((states[0], states[1]))
            for seller, voter in ((flight, Flight), (hotel, Hotel)):
                ending = outcome[voter]
                if ending.aborted and voter.__name__ != role:
                    assert "still needed Desk in AwaitDecide" in ending.why
                    assert (seller.held, seller.sold) == (1, 0)
            assert set(states) != {"Done", "RolledBack"}
    assert ways >= {("RolledBack", "RolledBack"), ("Aborted", "Aborted"), ("Done", "Done")}


def test_it_shows_what_the_others_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["two_phase_commit"])
    two_phase_commit.main()
    text = capsys.readouterr().out
    assert text.count("1 sold") == 1
    assert "Desk: Aborted (Hotel was lost: killed; Desk still needed Hotel in " in text
    monkeypatch.setattr(sys, "argv", ["two_phase_commit", "--kill", "Desk"])
    two_phase_commit.main()
    assert capsys.readouterr().out == (
        "a trip: 0 sold\ntrip:\n  Desk: Aborted (killed)\n  Flight: RolledBack\n  Hotel: RolledBack\n\n"
    )


# Ping-pong and commits.


def test_only_the_selector_has_to_be_told_and_only_of_the_six_decisions() -> None:
    assert {(each.scene.partition("[")[0], each.label, each.role) for each in show.informs} == {
        ("Decide", "commit", "Selector"),
        ("Decide", "abort", "Selector"),
    }
    assert len(show.informs) == 6
    for each in show.informs:
        reason = show.reason(each)
        assert reason is not None
        assert reason.startswith(("AMC402 Selector may both send", "AMC403 Selector cannot tell"))


def test_a_measured_profile_finds_the_same_and_what_is_pinned_stays() -> None:
    trace, roles = Trace(), [Selector, Alice, Bob, Charlie]
    anyio.run(lambda: show.run_local(cast_of(show), tracers=[trace]))
    mortal = roles[1:]
    measured = Choreography(Start, roles=roles, name="show", mortal=mortal, profile=trace.profile())
    assert measured.informs == show.informs
    pinned = Choreography(
        Start, roles=roles, name="show", mortal=mortal, inform="declared", informs=show.informs
    )
    assert pinned.fingerprint == show.fingerprint
    with pytest.raises(ChoreographyError, match="AMC402 Selector"):
        Choreography(Start, roles=roles, mortal=mortal, inform="declared", informs=show.informs[:-1])


async def test_it_counts_what_was_said_and_one_round_costs_one_frame_that_only_tells() -> None:
    count, trace, cast = Count(), Trace(), cast_of(show)
    await show.run_local(cast, tracers=[count, trace])
    assert count.rounds == count.sent["only told"] == 3
    assert count.sent["who leads"] == 3 * (3 + 1)
    assert count.sent["ping-pong"] % (2 * 2 + 1) == 0
    assert count.sent["commit"] % 6 == 0
    heard = [each for each in trace.events if isinstance(each, Step) and not each.sent]
    assert len(heard) == count.sent.total()
    assert sum(cast[peer].commits for peer in (Alice, Bob, Charlie)) == 2 * 3


# HTTP in short.


async def test_many_clients_are_served_at_once_and_one_that_goes_away_in_the_middle_hurts_nobody() -> None:
    endings: list[Ending] = []
    made = 0

    def endless(_: http_request.Request) -> http_request.Page:
        def parts() -> Any:
            nonlocal made
            while True:
                made += 1
                yield b"x" * 100

        return http_request.Page({"type": "x"}, parts())

    clients = [Client(f"client {n}", ["/", "/nowhere", "/broken", "/"]) for n in range(20)]
    quitters = [Client("quitter", ["/", "/endless", "/"], enough=1000) for _ in range(3)]
    site = {**SITE, "/endless": endless}
    with anyio.fail_after(20):
        async with serve(
            web, Server, lambda _: Server(site), on_end=lambda _, each: endings.append(each)
        ) as server:
            async with anyio.create_task_group() as group:
                for client in (*clients[:10], *quitters, *clients[10:]):
                    group.start_soon(visit, server.port, client)
            await server.drain()
    for client in clients:
        page = ["200 text/plain", f"Hello, {client.agent}!"]
        assert client.got == [*page, "404 there is no /nowhere", "500", *page, "Client: Done"]
    for client in quitters:
        assert client.got[2:] == ["200 x", "Client: Aborted (1000 bytes are enough)"]
        assert client.wants == ["/"]
    assert sorted(each.state for each in endings) == ["Aborted"] * 3 + ["Done"] * 20
    whys = {each.why for each in endings if each.aborted}
    assert whys == {"Client was lost: it left: 1000 bytes are enough; Server still needed Client in Body"}
    assert made < 3 * 500  # no faster than it was taken


async def test_several_sessions_share_a_connection_and_one_of_them_streams() -> None:
    async with (
        serve(web, Server, lambda _: Server()) as server,
        connect("127.0.0.1", server.port) as connection,
    ):
        streaming, short = Client(wants=["/numbers"], enough=10**9), Client("Ann", ["/"])
        channels = [await connection.channel(web, me=Client, peer=Server) for _ in range(2)]
        with anyio.fail_after(20):
            async with (
                web.join(Client, streaming, {Server: channels[0]}),
                web.join(Client, short, {Server: channels[1]}, engine="machine") as session,
            ):
                assert (await session.ended()).state == "Done"
            await server.drain()
    assert short.got == ["200 text/plain", "Hello, Ann!"]


def test_the_server_does_not_wait_for_ever_for_the_next_request() -> None:
    states = {state.name: state.patience for state in web.project(Server).states}
    assert states["AwaitAsk"] == 30


async def test_what_it_shows_is_the_same_in_both_event_loops(capsys: pytest.CaptureFixture[str]) -> None:
    await http_request.show()
    text = capsys.readouterr().out
    assert text.startswith("Ann\n  200 text/plain\n  Hello, Ann!\n  404 there is no /nowhere\n")
    assert "Ben\n  500\n  200 text/plain\n" in text
    assert "Cid\n  200 text/plain\n  Hello, Cid!\n  200 text/csv\n  Client: Aborted (" in text
    assert text.endswith("  Server: Done\n  Server: Done\n")
    assert "disk" not in text


def test_server_and_client_are_two_processes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-W", "error", "-m", "examples.http_request", "--port", "0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split()[-1]
        monkeypatch.setattr(sys, "argv", ["http_request", "--port", port, "/", "/nowhere"])
        http_request.main()
        process.kill()
    assert capsys.readouterr().out == (
        "200 text/plain\nHello, somebody!\n404 there is no /nowhere\nClient: Done\n"
    )
