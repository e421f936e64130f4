"""A whole session in one process: how it ends, how it is looked at, and that it is the same however it is played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from amachine.choreography.playing.endings import Ending, Outcome, PlayFailed
from amachine.choreography.playing.events import Event, StageTracer, Step
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.stage import Stage
from amachine.choreography.script import Script
from amachine.choreography.wire.codec import Unsendable
from tests.choreo.acted import Actor, acted, cast
from tests.choreo.built import pingpong, sendfile, show, two_phase
from tests.virtual import anyio_backend as anyio_backend

SCRIPTS = [pingpong(), sendfile("Failed"), two_phase(), show()]


class Seen(StageTracer):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def stage_event(self, event: Event) -> None:
        self.events.append(event)

    @property
    def steps(self) -> dict[str, list[tuple[Any, ...]]]:
        """By role, what it did, in order."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        for each in self.events:
            if isinstance(each, Step):
                what = each.scene, each.label, each.sent, each.peers, each.source, each.target, each.seq
                found.setdefault(each.role, []).append(what)
        return found


async def ended(play: Play) -> Outcome:
    async with play:
        with anyio.fail_after(60):
            return await play.ended()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
async def test_every_role_does_the_same_on_a_stage_a_table_a_machine_and_over_the_wire(
    script: Script,
) -> None:
    choreography = acted(script)
    runs: list[tuple[Any, ...]] = []
    for how in ("stage", "table", "machine", "wire"):
        seen, actors = Seen(), cast(script.roles)
        if how == "stage":
            stage = Stage(choreography.tables)
            row = stage.watch(actors, session="on a stage", tracers=[seen])
            await stage.run_all()
            assert row.outcome is not None
            outcome = row.outcome
        else:
            engine: Any = "machine" if how == "machine" else "table"
            play = Play(choreography, actors, engine=engine, tracers=[seen], wire=how == "wire")
            outcome = await ended(play)
        states = {role: ending.state for role, ending in outcome.items()}
        runs.append((states, {role: actor.log for role, actor in actors.items()}, seen.steps))
    assert runs[0] == runs[1] == runs[2] == runs[3]


@pytest.mark.parametrize("script", SCRIPTS[:3], ids=lambda script: script.name)
async def test_a_role_becomes_a_machine_at_any_moment_with_the_clocks_of_one_that_always_was(
    script: Script,
) -> None:
    choreography = acted(script)
    whole = Play(choreography, cast(script.roles), engine="machine")
    await ended(whole)
    ticks = {role: _ticks(whole, role) for role in script.roles}
    for at in range(14):
        play = await looked_at(choreography, script, at)
        assert {role: _ticks(play, role) for role in script.roles} == ticks


async def looked_at(choreography: Any, script: Script, at: int) -> Play:
    """A play all of whose roles become machines in the middle of a step."""
    looking = Looking(at, lambda: [play.machine(role) for role in script.roles])
    play = Play(choreography, cast(script.roles), tracers=[looking])
    assert not (await ended(play)).failed
    return play


class Looking(StageTracer):
    """Does something in the middle of a step."""

    def __init__(self, at: int, do: Callable[[], object]) -> None:
        self.left = at
        self.do = do

    def stage_event(self, event: Event) -> None:
        if self.left == 0:
            self.do()
        self.left -= 1


def _ticks(play: Play, role: str) -> dict[str, int]:
    names = {state.name for state in play.players[role].table.machine.states}
    clock = play.machine(role).clock
    return {name: tick for name, tick in clock.items() if name in names and tick}


@pytest.mark.parametrize("turns", [1, 2])
async def test_a_session_that_a_stage_hands_over_is_played_to_its_end(turns: int) -> None:
    script = show()
    choreography, alone, actors = acted(script), cast(script.roles), cast(script.roles)
    await choreography.run_local(alone)
    stage = Stage(choreography.tables)
    row = stage.add(actors)
    stage.run(turns)
    outcome = await ended(Play.taking_over(choreography, stage.hand_over(row)))
    assert outcome.exit == "Done"
    assert {role: actor.log for role, actor in actors.items()} == {
        role: actor.log for role, actor in alone.items()
    }


async def test_an_outcome_tells_who_ended_where_and_why() -> None:
    def boom(me: Actor) -> None:
        raise ValueError("boom")

    script = two_phase()
    choreography = acted(script)
    fine = await choreography.run_local(cast(script.roles))
    assert (fine.exit, fine.failed, fine.error) == ("Done", False, None)
    assert str(fine) == "two_phase:\n  k: Done\n  x: Done\n  y: Done"
    with pytest.raises(PlayFailed) as caught:
        await choreography.run_local(cast(script.roles, x={"VoteX.send": boom}), engine="machine")
    outcome = caught.value.outcome
    assert isinstance(caught.value.__cause__, ValueError)
    assert outcome["x"] == Ending("x", "Aborted", "VoteX.send raised ValueError: boom", outcome.error)
    assert outcome.exit is None
    assert "x: Aborted (VoteX.send raised ValueError: boom)" in str(caught.value)
    assert outcome["k"].why.startswith("x was lost: VoteX.send raised ValueError: boom; k still needed x in ")
    quiet = await choreography.run_local(cast(script.roles, x={"VoteX.send": boom}), raise_errors=False)
    assert quiet.failed


def test_the_exit_of_the_whole_is_that_of_the_roles_that_can_tell() -> None:
    def common(*states: str) -> str | None:
        return Outcome(
            "x", {role: Ending(role, state) for role, state in zip("abc", states, strict=False)}
        ).exit

    assert common("Done", "Failed", "Done") == "Failed"
    assert common("Done", "Done") == "Done"
    assert common("Done", "Aborted", "Failed") is None
    assert common("Failed", "Refunded") is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"alice": 1}, "pingpong cannot be played: nobody plays bob"),
        ({"alice": 1, "bbo": 2}, r"pingpong has no role bbo \(did you mean 'bob'\?\); there are: alice, bob"),
    ],
)
async def test_a_cast_that_is_wrong_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(LookupError, match=text):
        await acted(pingpong()).run_local(given)


async def test_roles_that_have_not_ended_when_a_play_is_left_are_cancelled() -> None:
    async def thinks(me: Actor) -> None:
        await anyio.sleep_forever()

    script = pingpong()
    async with Play(acted(script), cast(script.roles, bob={"Ping.on_ping": thinks})) as play:
        with anyio.move_on_after(5):
            await play.ended()
        assert not play.outcome
        stuck = play.stuck()
    assert "bob" in str(stuck)
    assert "is in Ping.on_ping" in str(stuck)
    assert stuck.culprits == {"bob": ("alice",)}
    assert {ending.why for ending in play.outcome.values()} == {"the play was left"}


async def test_a_play_whose_task_is_cancelled_cancels_its_functions_and_ends() -> None:
    ended_by: list[str] = []

    async def thinks(me: Actor) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended_by.append("cancelled")

    script = pingpong()
    play = Play(acted(script), cast(script.roles, bob={"Ping.on_ping": thinks}))
    with anyio.move_on_after(3) as limit:
        async with play:
            await play.ended()
    assert limit.cancelled_caught
    assert ended_by == ["cancelled"]
    assert play.outcome.failed


async def test_an_error_in_the_block_of_a_play_comes_out_as_it_is() -> None:
    script = pingpong()
    with pytest.raises(ValueError, match="mine"):
        async with Play(acted(script), cast(script.roles)):
            raise ValueError("mine")


async def test_a_stuck_report_shows_who_has_no_room_and_what_is_under_way() -> None:
    async def thinks(me: Actor) -> None:
        await anyio.sleep_forever()

    script = sendfile("Failed")
    casting = {
        "sender": Actor(choices={"Send": ("chunk",)}),
        "receiver": Actor(does={"Send.on_chunk": thinks}),
    }
    async with Play(acted(script), casting, room=3) as play:
        await anyio.sleep(7)
        stuck = play.stuck()
    sender, receiver = stuck.roles
    assert (sender.blocked, sender.inside) == (("receiver",), "")
    assert (receiver.blocked, receiver.inside, round(receiver.seconds)) == ((), "Send.on_chunk", 7)
    assert [(each.sender, each.label, each.seq) for each in stuck.frames] == [
        ("sender", "chunk", at) for at in (3, 4, 5)
    ]


async def test_killing_a_role_that_is_not_there_says_so() -> None:
    script = pingpong()
    async with Play(acted(script), cast(script.roles)) as play:
        with pytest.raises(LookupError, match="did you mean 'alice'"):
            play.kill("alise")


async def test_what_cannot_travel_ends_who_was_to_send_it() -> None:
    script = pingpong()
    casting = cast(script.roles, alice={"Ping.send": lambda me: ("ping", 2**70)})
    outcome = await ended(Play(acted(script), casting, wire=True))
    assert outcome["alice"].why.startswith("Ping.send raised Unsendable: ")
    assert isinstance(outcome["alice"].error, Unsendable)


async def test_a_machine_that_leaves_its_session_cancels_its_role() -> None:
    async def thinks(me: Actor) -> None:
        await anyio.sleep_forever()

    script = pingpong()
    for at_once in (True, False):
        play = Play(
            acted(script),
            cast(script.roles, bob={"Ping.on_ping": thinks}),
            engine="machine" if at_once else "table",
        )
        async with play:
            await anyio.sleep(1)
            play.machine("alice").remove("SessionUp")
            with anyio.fail_after(10):
                outcome = await play.ended()
        assert outcome["alice"] == Ending("alice", "Aborted", "cancelled")
        assert outcome["bob"].why == "alice was lost: it left: cancelled; bob still needed alice in Pong"


async def test_the_machine_of_a_session_knows_who_is_done_and_can_stop_everybody() -> None:
    async def thinks(me: Actor) -> None:
        await anyio.sleep_forever()

    script = two_phase()
    play = Play(acted(script), cast(script.roles), engine="machine")
    await ended(play)
    assert play.supervisor is not None
    assert play.supervisor.is_active("AllDone")
    play = Play(acted(script), cast(script.roles, x={"VoteX.send": thinks}), engine="machine")
    async with play:
        await anyio.sleep(1)
        assert play.supervisor is not None
        play.supervisor.add("Aborting")
        with anyio.fail_after(10):
            outcome = await play.ended()
    assert all(ending.aborted for ending in outcome.values())
