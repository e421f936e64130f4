"""The stuck report: where everybody stands, and who holds up whom, on one screen."""

from __future__ import annotations

from typing import Any

import pytest

from amachine.choreography import inform
from amachine.choreography.local import LocalState
from amachine.choreography.project import project_all
from amachine.choreography.seeing.stuck import InFlight, Standing, Stuck
from tests.choreo.built import show

SCRIPT = inform.auto(show())


def state(role: str, name: str) -> LocalState:
    return project_all(SCRIPT)[role].by_name[name]


def stand(role: str, name: str, **parts: Any) -> Standing:
    return Standing(role, state(role, name), **parts)


def test_the_report_fits_on_a_screen_and_names_the_culprit() -> None:
    stuck = Stuck(
        "show-7",
        (
            stand("selector", "AwaitDecide_bob", seconds=12.0, patience=30.0),
            stand("alice", "AwaitPong_charlie", seconds=12.0),
            stand("bob", "AwaitBegin_alice", seconds=11.5),
            stand("charlie", "Pong_alice", seconds=12.0, inside="on_ping"),
        ),
        (InFlight("alice", "bob", "Ping[alice, bob, Exit]", "ping", seq=3, data=41),),
    )
    assert str(stuck) == (
        "session show-7: 4 of 4 roles still play\n"
        "\n"
        "role      state              since   what it does\n"
        "selector  AwaitDecide_bob    12.0 s  waits for ok or failed of Decide from bob, gives up in 18.0 s\n"
        "alice     AwaitPong_charlie  12.0 s  waits for pong of Pong from charlie\n"
        "bob       AwaitBegin_alice   11.5 s  waits for begin of Begin from alice\n"
        "charlie   Pong_alice         12.0 s  is in on_ping\n"
        "\n"
        "under way: 1 frame\n"
        "  alice->bob: Ping.ping 41 (seq 3)\n"
        "\n"
        "selector, alice and bob wait for charlie: its on_ping has not returned for 12.0 s"
    )
    assert stuck.culprits == {"charlie": ("selector", "alice", "bob")}


@pytest.mark.parametrize(
    ("culprit", "said"),
    [
        (stand("bob", "Done", ended="Done"), "alice waits for bob: it has ended in Done"),
        (
            stand("bob", "Done", ended="Aborted", why="cancelled"),
            "alice waits for bob: it has ended in Aborted (cancelled)",
        ),
        (
            stand("bob", "Done", elsewhere=True),
            "alice waits for bob: it is played elsewhere, and has said nothing more",
        ),
        (
            stand("bob", "Pong_alice", seconds=3),
            "alice waits for bob: it is to send in Pong_alice, and has not for 3.0 s",
        ),
    ],
)
def test_why_somebody_is_waited_for(culprit: Standing, said: str) -> None:
    assert str(Stuck("s", (stand("alice", "AwaitPong_bob"), culprit))).splitlines()[-1] == said


def test_a_role_that_is_not_in_the_report_is_elsewhere() -> None:
    assert "alice waits for bob: it is played elsewhere" in str(
        Stuck("s", (stand("alice", "AwaitPong_bob"),))
    )


def test_who_waits_in_a_ring_has_no_culprit() -> None:
    ring = Stuck("s", (stand("alice", "AwaitPong_bob"), stand("bob", "AwaitPing_alice")))
    assert ring.culprits == {}
    assert str(ring).endswith("no frame is under way")


def test_blocked_lost_and_ended_roles_say_so() -> None:
    stuck = Stuck(
        "s",
        (
            stand(
                "alice", "Ping_bob", blocked=("bob",), gone=("charlie", "selector"), patience=1.0, seconds=2.0
            ),
            stand("bob", "Done", ended="Done"),
            stand("charlie", "AwaitStart", elsewhere=True),
            stand("selector", "Start"),
        ),
    )
    text = " ".join(str(stuck).split())
    assert "has lost charlie and selector, has no room to send to bob, is out of patience" in text
    assert "3 of 4 roles still play" in text
    assert [line.split() for line in str(stuck).splitlines()[5:7]] == [
        ["bob", "Done", "done"],
        ["charlie", "?", "played", "elsewhere"],
    ]
    assert "is to send charlie_leads, alice_leads, bob_leads or exit of Start" in text


def test_frames_are_few_short_and_without_secrets() -> None:
    frames = tuple(
        InFlight("alice", "bob", "S", "x", informs=at == 0, data={"password": "hunter2", "n": "y" * 1000})
        for at in range(40)
    )
    text = str(Stuck("s", (stand("alice", "Done", ended="Done"),), frames))
    assert "under way: 40 frames" in text
    assert "  alice-->bob: S.x" in text
    assert "hunter2" not in text
    assert "  and 28 more" in text
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) < 25
