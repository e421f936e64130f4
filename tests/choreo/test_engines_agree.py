"""One semantics: a session played on tables and on machines has the same trace, the same clocks and the same end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
import pytest

from amachine.choreography.diagnostics import ChoreographyError
from amachine.choreography.playing.checkpoints import checkpoint, restore
from amachine.choreography.playing.events import Event, StageTracer
from amachine.choreography.playing.looking import machine_of
from amachine.choreography.playing.machines import MachineSeat, RoleMachine
from amachine.choreography.playing.play import Play, Playable
from amachine.choreography.playing.seat import Seat, TableSeat
from amachine.choreography.whole import Choreography
from amachine.errors import RestoreError, WaitError
from tests.choreo import plays
from tests.choreo.acted import acted, cast
from tests.choreo.built import pingpong, sendfile
from tests.choreo.scripts import by_lot
from tests.thorough import MORE
from tests.virtual import anyio_backend as anyio_backend

PLAYS = {name: getattr(plays, name) for name in ("PINGPONG", "SEND_FILE", "TWO_PHASE", "SHOW", "SALE")}
WHOLE = {name: Choreography(each.start, roles=each.roles, mortal=each.mortal) for name, each in PLAYS.items()}


class OnMachines(Play):
    """A play whose roles are machines."""

    def __init__(self, choreography: Playable, cast: Mapping[Any, Any], **options: Any) -> None:
        super().__init__(choreography, cast, engine="machine", **options)


class Log(StageTracer):
    """Keeps what happened, and does something at one moment."""

    def __init__(self, at: int = 0, then: Callable[[], object] = lambda: None) -> None:
        self.events: list[Event] = []
        self.at = at
        self.then = then

    def stage_event(self, event: Event) -> None:
        self.events.append(event)
        if len(self.events) == self.at:
            self.then()


def clock_of(seat: Seat) -> Mapping[str, int]:
    """The ticks of all states that were ever entered, of the script and `Aborted`."""
    if isinstance(seat, TableSeat):
        return seat.ticks
    assert isinstance(seat, MachineSeat)
    script = {*seat.machine.schema.groups["Script"].members, "Aborted"}
    return {name: tick for name, tick in seat.machine.clock.items() if tick and name in script}


async def played(
    kind: type[Play], name: str, log: Log, *, killed: Any = None
) -> tuple[str, list[Event], dict[str, Mapping[str, int]]]:
    """How a session went: its end, its trace, and the clocks of its roles."""
    play = kind(WHOLE[name], PLAYS[name].cast(), tracers=[log], session="s")
    log.then = lambda: play.ground.soon(play.kill, killed)
    async with play:
        with anyio.fail_after(60):
            outcome = await play.ended()
    return str(outcome), log.events, {role: clock_of(player.seat) for role, player in play.players.items()}


@pytest.mark.parametrize("name", PLAYS)
async def test_a_session_goes_the_same_way_on_tables_and_on_machines(name: str) -> None:
    state = random.getstate()
    table = await played(Play, name, Log())
    random.setstate(state)
    assert await played(OnMachines, name, Log()) == table
    assert len(table[1]) > 8
    assert "Aborted" not in table[0]


@pytest.mark.parametrize(("name", "steps"), [("PINGPONG", 8), ("TWO_PHASE", 9), ("SALE", 7)])
async def test_whoever_is_lost_whenever_it_ends_the_same_way(name: str, steps: int) -> None:
    ends: set[str] = set()
    for role in PLAYS[name].roles:
        for at in range(1, steps):
            table = await played(Play, name, Log(at), killed=role)
            assert await played(OnMachines, name, Log(at), killed=role) == table, (role, at)
            ends.add(table[0])
    assert any("Aborted" in end for end in ends)
    assert len(ends) > 2


@pytest.mark.parametrize("at", [1, 3, 6])
async def test_a_role_that_becomes_a_machine_in_the_middle_ends_with_the_same_clocks(at: int) -> None:
    name = "SEND_FILE"
    table = await played(Play, name, Log())
    play = Play(WHOLE[name], PLAYS[name].cast(), session="s", tracers=[log := Log(at)])

    looked_at: list[RoleMachine] = []

    def look() -> None:
        looked_at.extend(machine_of(player) for player in play.players.values())

    log.then = lambda: play.ground.soon(look)
    async with play:
        with anyio.fail_after(60):
            outcome = await play.ended()
    assert str(outcome) == table[0]
    assert {role: clock_of(player.seat) for role, player in play.players.items()} == table[2]
    assert looked_at
    late = [machine_of(player) for player in play.players.values()]
    assert {*looked_at} <= {*late}
    assert all(machine.is_active("Done") for machine in late)
    assert all(machine.is_closed for machine in late)


async def test_a_role_that_becomes_a_machine_when_all_is_over_knows_who_was_lost() -> None:
    async def ends(kind: type[Play]) -> dict[str, tuple[str, ...]]:
        play = kind(WHOLE["SALE"], PLAYS["SALE"].cast(), session="s", tracers=[log := Log(3)])
        log.then = lambda: play.ground.soon(play.kill, plays.Bank)
        async with play:
            with anyio.fail_after(60):
                await play.ended()
        return {role: machine_of(player).active for role, player in play.players.items()}

    late = await ends(Play)
    assert late == await ends(OnMachines) | {"Bank": late["Bank"]}
    assert late["Customer"] == ("Refunded", "ShopUp", "SessionUp", "BankLost")
    assert "Aborted" in late["Bank"]


async def test_the_machine_of_the_session_knows_how_it_ended_for_each_role() -> None:
    play = OnMachines(WHOLE["SALE"], PLAYS["SALE"].cast(), session="s", tracers=[log := Log(3)])
    log.then = lambda: play.ground.soon(play.kill, plays.Bank)
    async with play:
        with anyio.fail_after(60):
            await play.ended()
    assert play.supervisor is not None
    assert play.supervisor.active == ("CustomerDone", "ShopDone", "BankLost", "AnyLost")


SCRIPTS = 8 * MORE


@pytest.mark.filterwarnings("ignore::amachine.choreography.diagnostics.ChoreographyWarning")
async def test_random_scripts_go_the_same_way_on_both_also_when_somebody_is_lost() -> None:
    lot, played_on, lost = random.Random(7), 0, 0
    while played_on < SCRIPTS:
        script = by_lot(lot, regions=True)
        killed, at = lot.choice((None, *script.roles, *script.mortal * 4)), lot.randint(1, 5)
        try:
            whole = acted(script, patience=5.0)
        except ChoreographyError:
            continue
        ends: list[Any] = []
        for kind in (Play, OnMachines):
            actors = cast(script.roles)
            play = kind(whole, actors, session="s", tracers=[log := Log(at)])
            if killed is not None:
                log.then = partial(play.ground.soon, play.kill, killed)
            async with play:
                with anyio.fail_after(600):
                    outcome = await play.ended()
            clocks = {role: clock_of(player.seat) for role, player in play.players.items()}
            ends.append((str(outcome), log.events, clocks, [actor.log for actor in actors.values()]))
        assert ends[0] == ends[1]
        lost += "still needed" in ends[0][0]
        played_on += 1
    assert lost


async def test_a_failing_function_is_the_error_of_its_machine_alone() -> None:
    def fail(_: Any) -> None:
        raise OSError("disk")

    play = OnMachines(acted(pingpong()), cast(("alice", "bob"), bob={"Ping.on_ping": fail}))
    async with play:
        with anyio.fail_after(60):
            outcome = await play.ended()
    alice, bob = (play.players[role].seat for role in ("alice", "bob"))
    assert isinstance(alice, MachineSeat)
    assert isinstance(bob, MachineSeat)
    assert outcome["bob"].why == "Ping.on_ping raised OSError: disk"
    assert isinstance(bob.machine.error, OSError)
    assert bob.machine.is_active("Exception", "Aborted")
    assert alice.machine.error is None
    assert alice.machine.is_active("BobLost", "Aborted")


async def test_removing_session_up_ends_the_session_for_everybody() -> None:
    play = OnMachines(acted(pingpong()), cast(("alice", "bob")))

    def leave(_: Any) -> None:
        seat = play.players["alice"].seat
        assert isinstance(seat, MachineSeat)
        seat.machine.remove("SessionUp")

    play.cast["alice"].does["Pong.on_pong"] = leave
    async with play:
        with anyio.fail_after(60):
            outcome = await play.ended()
    assert outcome["alice"].why == "cancelled"
    assert outcome["alice"].error is None
    assert outcome["bob"].aborted
    assert "alice" in outcome["bob"].why


# -- checkpoints


async def taken(kind: type[Play], at: int) -> tuple[dict[str, Any], Play]:
    """A checkpoint of the sender in the middle of a file, as soon as it can be taken."""
    found: list[dict[str, Any]] = []
    play = kind(acted(sendfile()), cast(("sender", "receiver")), session="s", tracers=[log := Log(at)])

    def take() -> None:
        try:
            found.append(checkpoint(play.players["receiver"]))
        except WaitError:
            play.ground.soon(take)

    log.then = lambda: play.ground.soon(take)
    async with play:
        with anyio.fail_after(60):
            await play.ended()
    return found[0], play


async def test_a_checkpoint_is_the_same_from_both_engines_and_can_be_gone_on_from() -> None:
    from_table, _ = await taken(Play, 6)
    from_machine, play = await taken(OnMachines, 6)
    for data in (from_table, from_machine):
        for key in ("at", "args", "machine_tick", "transitions", "queue_tick"):
            data["machine"].pop(key)
    assert from_table == from_machine
    data, _ = await taken(OnMachines, 6)
    local = play.choreography.tables["receiver"].machine
    me = cast(("receiver",))["receiver"]
    seat = restore(data, local, me)
    assert seat.state.name == data["state"]
    assert me.log[-1] == "restored"
    assert [*seat.machine.time] == data["machine"]["ticks"]
    with pytest.raises(RestoreError, match="a checkpoint of 'receiver', and not of sender"):
        restore(data, play.choreography.tables["sender"].machine)
