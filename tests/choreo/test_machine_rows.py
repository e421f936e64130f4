"""Many sessions whose roles are machines and have no players: as those of a play, step for step and tick for tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from amachine import Event, Machine
from amachine.choreography import AsMachine
from amachine.choreography.playing.events import Event as Seen
from amachine.choreography.playing.events import StageTracer
from amachine.choreography.playing.machine_rows import MachineRow
from amachine.choreography.playing.machines import MachineSeat
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.stage import Stage
from amachine.choreography.whole import Choreography
from amachine.tracers.base import Tracer
from tests.choreo import built
from tests.choreo.acted import Actor, acted, cast
from tests.virtual import anyio_backend as anyio_backend

SCRIPTS = {name: getattr(built, name)() for name in ("pingpong", "sendfile", "two_phase", "show")}


def whole(name: str) -> Choreography:
    return acted(SCRIPTS[name])


def rowed(whole: Choreography, people: Mapping[Any, Actor], **options: Any) -> tuple[Stage, MachineRow]:
    stage = Stage(whole.tables, engine="machine", **options)
    row = stage.watch(people, session="s")
    assert isinstance(row, MachineRow)
    while stage.run():
        pass
    return stage, row


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_row_has_the_clocks_the_arguments_and_the_log_of_a_play_on_machines(name: str) -> None:
    there = cast(whole(name).script.roles)
    play = Play(whole(name), there, engine="machine", session="s")
    async with play:
        with anyio.fail_after(60):
            outcome = await play.ended()
    here = cast(whole(name).script.roles)
    stage, row = rowed(whole(name), here)
    assert row.outcome is not None
    assert str(row.outcome) == str(outcome)
    assert stage.tally.ended == 1
    for role, player in play.players.items():
        assert isinstance(player.seat, MachineSeat)
        theirs, ours = player.seat.machine, row.machines[role]
        assert ours.clock == theirs.clock
        assert ours.id == theirs.id
        standing = theirs.active_in("Script")
        assert standing is not None
        assert ours[standing].args == theirs[standing].args
        assert here[role].log == there[role].log


class Steps(StageTracer):
    def __init__(self) -> None:
        self.events: list[Seen] = []

    def stage_event(self, event: Seen) -> None:
        self.events.append(event)


@pytest.mark.parametrize("name", ["sendfile", "show"])
def test_tracers_of_steps_see_on_machines_what_they_see_on_tables(name: str) -> None:
    seen: list[Any] = []
    for engine in ("table", "machine"):
        stage, steps = Stage(whole(name).tables, engine=engine), Steps()
        stage.watch(cast(whole(name).script.roles), session="s", tracers=[steps])
        while stage.run():
            pass
        by_role = {
            role: [each for each in steps.events if each.role == role] for role in whole(name).script.roles
        }
        seen.append(by_role)
    assert seen[0] == seen[1]


def test_the_short_way_and_the_way_of_the_engine_come_to_the_same() -> None:
    class Look(Tracer):
        def __init__(self) -> None:
            self.made: list[str] = []

        def transition_ended(self, machine: Any, transition: Any) -> None:
            self.made.append(transition.id)

    look = Look()
    _, short = rowed(whole("sendfile"), cast(SCRIPTS["sendfile"].roles))
    _, full = rowed(whole("sendfile"), cast(SCRIPTS["sendfile"].roles), tracers=[look])
    for role, machine in short.machines.items():
        other = full.machines[role]
        assert machine.export() | {"at": 0.0} == other.export() | {"at": 0.0}
    assert look.made


def test_what_a_function_does_to_another_machine_has_the_step_as_its_cause() -> None:
    causes: list[str] = []

    def told(event: Event[Any]) -> None:
        causes.append(str(event.source))

    other = Machine.of({"Told": {"multi": True}}, "other", handlers={"ToldState": told})
    people = cast(("alice", "bob"), bob={"Ping.on_ping": lambda _: other.add("Told") and None})
    rowed(whole("pingpong"), people)
    assert [cause.partition(" add")[0] for cause in causes] == ["<Source s/bob/3", "<Source s/bob/5"]


def test_handlers_of_the_users_own_are_called_in_rows() -> None:
    seen: list[int] = []

    class Sees:
        def PongState(self, event: Event[Any]) -> None:
            seen.append(event.args.data)

    stage, row = rowed(
        whole("pingpong"), cast(("alice", "bob")), machines={"bob": AsMachine(handlers=[Sees()])}
    )
    assert seen == [7, 7]
    assert stage.tally.exits == {"Done": 1}
    assert row.machines["bob"].is_active("Done")


@pytest.mark.parametrize("function", ["Ping.send", "Pong.send", "Ping.on_ping"])
def test_a_function_that_fails_aborts_its_session_and_is_the_error_of_its_machine(function: str) -> None:
    def fails(_: Actor) -> None:
        raise OSError("disk")

    role = "alice" if function == "Ping.send" else "bob"
    stage, row = rowed(whole("pingpong"), cast(("alice", "bob"), **{role: {function: fails}}))
    assert stage.tally.failed == 1
    failure = stage.tally.failures[0]
    scene, _, what = function.partition(".")
    called = f"{scene}[alice, bob, Exit].{what}"
    assert (failure.role, failure.function) == (role, called)
    assert failure.why == f"{role}: {called} raised OSError: disk"
    for name, machine in row.machines.items():
        assert machine.is_active("Trouble", "Aborted")
        assert machine.active_in("Script") is None
        assert isinstance(machine.error, OSError) is (name == role)


def test_a_machine_that_is_told_to_leave_ends_its_session() -> None:
    people = cast(("alice", "bob"))
    stage = Stage(whole("pingpong").tables, engine="machine")
    row = stage.watch(people)
    assert isinstance(row, MachineRow)
    people["bob"].does["Ping.on_ping"] = lambda _: row.machines["bob"].remove("SessionUp") and None
    while stage.run():
        pass
    assert stage.tally.failed == 1
    assert "bob" in stage.tally.failures[0].why
    assert all(machine.is_active("Aborted") for machine in row.machines.values())


async def test_many_sessions_on_machines_are_told_in_one_tally() -> None:
    casts = [cast(("alice", "bob")) for _ in range(5)]
    tally = await whole("pingpong").run_many(casts, engine="machine")
    assert tally.exits == {"Done": 5}
    assert tally.messages == 5 * 5


def test_handlers_that_run_as_tasks_take_a_play() -> None:
    class Sees:
        async def PongTask(self, _event: Event[Any]) -> None:
            """It would never begin."""

    with pytest.raises(ValueError, match="bob has handlers that run as tasks"):
        Stage(whole("pingpong").tables, machines={"bob": AsMachine(handlers=[Sees()])})
