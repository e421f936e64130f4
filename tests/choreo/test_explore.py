"""The explorer finds what goes wrong, by the shortest run; and a rehearsal sees when roles do not see the same."""

from __future__ import annotations

import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.exploring import explore
from amachine.choreography.inform import auto
from amachine.choreography.knowledge.rehearse import perform, walk
from amachine.choreography.local import LocalMachine, LocalState, Take
from amachine.choreography.project import project_all
from amachine.choreography.script import Script
from tests.choreo.built import pingpong, sendfile, show, two_phase


@pytest.mark.parametrize(
    "script", [pingpong(), sendfile(), two_phase(), auto(show())], ids=lambda each: each.name
)
@pytest.mark.parametrize("bound", [1, 2])
def test_examples_are_clean(script: Script, bound: int) -> None:
    report = explore(project_all(script), bound=bound, limit=4000)
    assert report.clean
    assert report.complete == (report.situations < 4000)
    assert str(report).endswith("clean")


def test_a_deadlock_is_found_by_the_shortest_run() -> None:
    b = Builder()
    t = b.scene("T", "b").branch("data", to="c")
    s = b.scene("S", "a").branch("yes", to="b", next=t).branch("no", to="b")
    report = explore(project_all(b.script("x", s, roles="abc")))
    assert report.deadlock == ("a->b: S.no", "b<-a: S.no")
    assert not report.clean
    assert "deadlock: a->b: S.no; b<-a: S.no" in str(report)


def test_an_orphan_is_a_frame_before_one_who_is_through() -> None:
    b = Builder()
    t = b.scene("T", "b").branch("more", to="c")
    s = b.scene("S", "a").branch("s", to="b", next=t)
    machines = dict(project_all(b.script("x", s, roles="abc")))
    machines["c"] = LocalMachine("c", (LocalState("Done", (), exits=("Exit",)),))
    assert explore(machines).orphan == ("a->b: S.s", "b<-a: S.s", "b->c: T.more")


def test_an_unexpected_frame_is_one_that_can_never_be_taken() -> None:
    machines = dict(project_all(pingpong()))
    take = Take("alice", "Ping[alice, bob, Exit]", "pingg", int, informs=False, next="A")
    machines["bob"] = LocalMachine("bob", (LocalState("A", (), (take,)),))
    assert explore(machines).unexpected == ("alice->bob: Ping[alice, bob, Exit].ping",)


def early() -> Script:
    """What r0 may hear first from r3 depends on r2: the frame of the one can overtake that of the other."""
    b = Builder()
    s0, s1, s2 = b.scene("S0", "r3"), b.scene("S1", "r3"), b.scene("S2", "r2")
    s0.branch("a", to=("r0", "r1"), next=s1).branch("b", to=("r1", "r2"), next=s2)
    s1.branch("a", to=("r0", "r1", "r2"))
    s2.branch("a", to=("r0", "r1", "r3")).branch("b", to=("r0", "r3"), next=s1)
    return b.script("x", s0, roles=("r0", "r1", "r2", "r3"))


def test_a_frame_that_is_early_is_no_fault() -> None:
    report = explore(project_all(early()), bound=2)
    assert report.clean
    assert report.complete
    assert report.early is not None
    assert report.early[-1] == "r3->r0: S1.a"


def test_a_limit_is_kept_and_told() -> None:
    report = explore(project_all(auto(show())), bound=2, limit=50)
    assert (report.situations, report.complete, report.clean) == (50, False, True)
    assert str(report) == "50 situations, and not all: clean"


def test_a_narrow_channel_makes_senders_wait() -> None:
    few, many = (explore(project_all(sendfile()), bound=bound).situations for bound in (1, 5))
    assert few < many


# Rehearsals.


def test_a_walk_sees_what_everybody_sees() -> None:
    ping = "Ping[alice, bob, Exit]"
    played = walk(pingpong(), lambda scene, times: ("ping", "next")[times] if scene == ping else "pong")
    assert played.over
    seen = (("alice", ping, "ping"), ("bob", "Pong[alice, bob, Exit]", "pong"), ("alice", ping, "next"))
    assert played.traces == {"alice": seen, "bob": seen}


def test_a_walk_without_end_stops_at_its_limit() -> None:
    played = walk(sendfile(), lambda scene, times: "size" if scene == "Size" else "chunk", limit=10)
    assert not played.over
    assert len(played.traces["receiver"]) == 10


def test_machines_that_are_not_those_of_the_script_are_seen() -> None:
    script = two_phase()
    machines = dict(project_all(script))

    def choose(scene: str, times: int) -> str:
        return script.scenes[scene].branches[0].label

    assert perform(machines, choose, lambda count: 0) == walk(script, choose)
    machines["x"] = project_all(pingpong("k", "x"))["x"]
    played = perform(machines, choose, lambda count: count - 1)
    assert not played.over
    assert played != walk(script, choose)
