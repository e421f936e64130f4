"""What the original leaves open, and where that is closed here: one claim for each of its holes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from amachine.choreography import wire
from amachine.choreography.builder import Builder
from amachine.choreography.diagnostics import ChoreographyError, ChoreographyWarning
from amachine.choreography.exploring import explore
from amachine.choreography.playing.endings import Ending, Outcome, PlayFailed
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.memory import memory_pair
from amachine.choreography.project import project_all
from amachine.choreography.scenes.reader import Exit, Msg, Scene, Sent
from amachine.choreography.script import Script
from amachine.choreography.whole import Choreography, Engine
from tests.choreo.acted import acted, cast
from tests.choreo.built import pingpong, show, two_phase

ENGINES: tuple[Engine, ...] = ("table", "machine")


# The forgotten outsider: Troupe's random-pingpong-2pc, whose selector is not told where the inner protocols end.


def test_the_forgotten_outsider_is_found_when_the_choreography_is_made_with_two_runs_it_cannot_tell_apart() -> (
    None
):
    with pytest.raises(ChoreographyError) as found:
        Choreography.of(show(), inform="declared")
    wrong, *_ = [each for each in found.value.diagnostics if each.role == "selector"]
    assert wrong.code == "AMC401"
    assert wrong.witness is not None
    one, other = wrong.witness
    assert one != other


def test_the_forgotten_outsider_waits_for_ever_where_nobody_finds_it() -> None:
    """The hole itself, shown by the explorer: the script as it was written does end with somebody still waiting."""
    report = explore(project_all(with_an_outsider(told=False)))
    assert report.deadlock is not None
    assert explore(project_all(with_an_outsider(told=True))).clean


def with_an_outsider(*, told: bool) -> Script:
    """`a` asks `b`, again and again, until `b` has something for `c`, or there is nothing more. Only then `c` may be told."""
    b = Builder()
    last, s = b.scene("Last", "b").branch("last", to="c"), b.scene("S", "a")
    s.branch("more", to="b", next=s).branch("enough", to="b", next=last)
    s.branch("nothing", to=("b", "c") if told else "b")
    return b.script("outsider", s, roles="abc")


async def test_the_forgotten_outsider_is_told_by_itself_and_explain_says_of_what() -> None:
    choreography = acted(show())
    told = {str(each) for each in choreography.informs if each.role == "selector"}
    assert told
    text = choreography.explain()
    for scene in {each.scene for each in choreography.informs if each.role == "selector"}:
        assert scene.partition("[")[0] in text
    assert "selector" in text
    outcome = await choreography.run_local(cast(choreography.script.roles))
    assert outcome.exit == "Done"


# The handler that fails.


@pytest.mark.parametrize("engine", ENGINES)
async def test_when_a_handler_fails_everybody_ends_and_says_why(engine: Engine) -> None:
    choreography = acted(two_phase())
    casting = cast(choreography.script.roles, k={"VoteX.on_resp": lambda me: 1 / 0})
    with anyio.fail_after(5), pytest.raises(PlayFailed) as failed:
        await choreography.run_local(casting, engine=engine)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    why = {role: ending.why for role, ending in failed.value.outcome.items()}
    assert "on_resp raised ZeroDivisionError: division by zero" in why["k"]
    assert all("division by zero" in each for each in why.values())


@pytest.mark.parametrize("over", ["memory", "auto", "anyio"])
async def test_when_a_handler_fails_elsewhere_it_is_the_same(over: Any) -> None:
    choreography = acted(pingpong())
    casting = cast(choreography.script.roles, bob={"Ping.on_ping": lambda me: 1 / 0})
    with anyio.fail_after(5):
        if over == "memory":
            outcome = await joined(choreography, casting, *memory_pair("alice", "bob"))
        else:
            async with (
                wire.listen(transport=over) as listener,
                wire.connect("127.0.0.1", listener.port, transport=over) as connection,
            ):
                ends: dict[str, Any] = {}

                async def accept() -> None:
                    ends["bob"] = await listener.channel(choreography, me="bob", peer="alice")

                async with anyio.create_task_group() as group:
                    group.start_soon(accept)
                    ends["alice"] = await connection.channel(choreography, me="alice", peer="bob")
                outcome = await joined(choreography, casting, ends["alice"], ends["bob"])
    assert outcome["bob"].why == "Ping.on_ping raised ZeroDivisionError: division by zero"
    assert outcome["alice"].why == f"bob was lost: {outcome['bob'].why}; alice still needed bob in AwaitPong"


async def joined(choreography: Choreography, casting: Mapping[Any, Any], mine: Any, theirs: Any) -> Outcome:
    """How it ends for alice and bob, who play over these ends of a channel."""
    endings: dict[str, Ending] = {}

    async def play(role: str, peer: str, end: Any) -> None:
        async with Joined(choreography, role, casting[role], {peer: end}) as each:
            endings[role] = await each.ended()

    async with anyio.create_task_group() as group:
        group.start_soon(play, "alice", "bob", mine)
        group.start_soon(play, "bob", "alice", theirs)
    return Outcome(choreography.name, endings)


# The receiver's function that is not there, and the branch that it would take.


class Giver:
    """Gives something."""


class Taker:
    """Gets it."""


class Gift(Scene[Giver, Taker]):
    """Nobody has written `on_gift`."""

    gift: Msg[int, Exit]

    def send(self, me: Giver) -> Sent:
        return self.gift(5)


def test_a_payload_that_nobody_takes_is_told_when_the_choreography_is_made() -> None:
    with pytest.warns(ChoreographyWarning, match="Taker has no on_gift") as warned:
        (found,) = Choreography(Gift, roles=[Giver, Taker]).warnings
    assert (warned[0].filename, warned[0].lineno) == (found.file, found.line)
    assert (found.code, found.role, found.scene) == ("AMC203", "Taker", "Gift")
    assert "Taker has no on_gift" in found.text
    assert found.file is not None
    assert found.file.endswith("test_holes.py")


# Two builds of one program.


@pytest.mark.parametrize("transport", ["auto", "anyio"])
async def test_another_version_is_refused_before_any_scene_with_the_first_that_differs(
    transport: Any,
) -> None:
    new = Builder()
    ping, pong = new.scene("Ping[alice, bob, Exit]", "alice"), new.scene("Pong[alice, bob, Exit]", "bob")
    ping.branch("ping", str, to="bob", next=pong).branch("next", to="bob", next="Exit")
    pong.branch("pong", int, to="alice", next=ping)
    newer = acted(new.script("pingpong", ping, roles=("alice", "bob")))
    made: list[Any] = []
    with anyio.fail_after(10):
        async with (
            wire.serve(acted(pingpong()), "bob", made.append, transport=transport) as server,
            wire.connect("127.0.0.1", server.port, transport=transport) as connection,
        ):
            with pytest.raises(wire.VersionMismatch, match=r"Ping\[alice, bob, Exit\]"):
                await connection.channel(newer, me="alice", peer="bob")
    assert not made


# No timeout, and the death of a peer: see test_kills, test_failure and test_patience, too.


async def test_who_waits_for_somebody_who_never_speaks_gives_up() -> None:
    a, b = memory_pair("alice", "bob")
    with anyio.fail_after(5):
        async with Joined(acted(pingpong()), "bob", cast(["bob"])["bob"], {"alice": b}, patience=0.05) as bob:
            ending = await bob.ended()
    assert ending.why == "alice was lost: nothing came for 0.05 s; bob still needed alice in AwaitPing"
    del a


# Every branch has to be told to everybody.


def test_nobody_is_told_what_it_need_not_know() -> None:
    """The diamond: `d` hears from `b` or from `c`, and that is enough. Nothing is added, and nobody has to be named."""
    b = Builder()
    end = b.scene("End", "d").branch("end", to=("b", "c"))
    left, right = b.scene("Left", "b"), b.scene("Right", "c")
    left.branch("m", to="d", next=end)
    right.branch("m", to="d", next=end)
    s = b.scene("S", "a").branch("left", to="b", next=left).branch("right", to="c", next=right)
    choreography = Choreography.of(b.script("diamond", s, roles="abcd"), inform="declared")
    assert not choreography.informs
    assert not Choreography.of(b.script("diamond", s, roles="abcd")).informs
    assert explore(project_all(choreography.script)).clean
