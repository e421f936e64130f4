"""Many sessions in one loop: each goes as it would alone, none can harm another, and what is under way stays little."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from amachine.choreography.acting import Act, Answer
from amachine.choreography.builder import Builder
from amachine.choreography.diagnostics import ChoreographyError
from amachine.choreography.playing.events import Event, RoleEnded, StageTracer, Step
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.rows import CROWD
from amachine.choreography.playing.seat import TableSeat
from amachine.choreography.playing.stage import Stage, run_many, unfit
from amachine.choreography.playing.tables import Tables
from amachine.choreography.reading import Reading
from amachine.choreography.script import Script
from amachine.choreography.whole import Choreography
from amachine.choreography.wire.codec import STANDARD
from tests.choreo import plays
from tests.choreo.acted import Actor, acted, cast
from tests.choreo.built import pingpong, sendfile, show, two_phase
from tests.choreo.scripts import by_lot

SCRIPTS: Mapping[str, Script] = {
    "pingpong": pingpong(),
    "sendfile": sendfile("Failed"),
    "two_phase": two_phase(),
    "show": show(),
}


class Log(StageTracer):
    """Keeps what happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def stage_event(self, event: Event) -> None:
        self.events.append(event)

    def of(self, role: str) -> list[Event]:
        """What happened to a role. How that falls between what happens to others is nobody's business."""
        return [replace(each, session="") for each in self.events if each.role == role]


def finished(stage: Stage) -> Stage:
    while stage.run(7):
        pass
    return stage


async def by_players(
    whole: Choreography,
) -> tuple[Any, Log, Mapping[str, Mapping[str, int]], Mapping[str, Any]]:
    """A session that players have played: its end, its trace, its clocks, and who played."""
    log, actors = Log(), cast(whole.script.roles)
    play = Play(whole, actors, tracers=[log])
    async with play:
        with anyio.fail_after(30):
            outcome = await play.ended()
    clocks: dict[str, Mapping[str, int]] = {}
    for role, player in play.players.items():
        assert isinstance(player.seat, TableSeat)
        clocks[role] = player.seat.ticks
    return outcome, log, clocks, actors


def random_scripts(many: int) -> Iterator[Choreography]:
    """Scripts that are sound, and come to their end when every scene takes its branches in turn."""
    lot = random.Random(4)
    while many:
        try:
            whole = acted(by_lot(lot))
        except ChoreographyError:
            continue
        stage = Stage(whole.tables)
        stage.add(cast(whole.script.roles))
        stage.run(50)
        if not stage:
            many -= 1
            yield whole


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_watched_row_goes_as_players_do_step_by_step(name: str) -> None:
    await agree(acted(SCRIPTS[name]))


async def test_rows_of_random_scripts_go_as_players_do() -> None:
    for whole in random_scripts(25):
        await agree(whole)


async def agree(whole: Choreography) -> None:
    outcome, log, clocks, actors = await by_players(whole)
    mine, others, watcher = cast(whole.script.roles), cast(whole.script.roles), Log()
    stage = Stage(whole.tables)
    row = stage.watch(mine, tracers=[watcher])
    stage.add(others)
    finished(stage)
    assert str(row.outcome) == str(outcome)
    for role in whole.script.roles:
        assert row.ticks(role) == clocks[role]
        assert watcher.of(role) == log.of(role)
        assert mine[role].log == others[role].log == actors[role].log
    heard = sum(isinstance(each, Step) and not each.sent for each in log.events)
    assert stage.tally.messages == 2 * heard
    assert stage.tally.ended == 2


def test_clocks_tell_where_a_session_failed() -> None:
    whole = acted(sendfile())
    stage = Stage(whole.tables)
    deaf = stage.watch(cast(whole.script.roles, receiver={"Size.on_size": fail}))
    dumb = stage.watch(cast(whole.script.roles, sender={"Send.send": fail}))
    finished(stage)
    assert deaf.ticks("receiver") == {"AwaitSize": 2, "AwaitSend": 2, "Aborted": 1}
    assert dumb.ticks("sender") == {"Size": 2, "Send": 2, "Aborted": 1}


class Broken(Log):
    """Fails at the last event that it sees."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def stage_event(self, event: Event) -> None:
        super().stage_event(event)
        if len(self.events) == self.last:
            raise ValueError("no")


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with another"])
@pytest.mark.parametrize("last", [1, 2, 7, 11, 12])
def test_a_tracer_that_fails_is_detached_and_its_session_goes_on(
    last: int, alone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    whole = acted(pingpong())
    stage = Stage(whole.tables)
    broken, log = Broken(last), Log()
    row = stage.watch(cast(whole.script.roles), tracers=[broken] if alone else [broken, log])
    finished(stage)
    assert dict(stage.tally.exits) == {"Done": 1}
    assert row.ticks("bob") == {"AwaitPing": 6, "Pong": 4, "Done": 1}
    assert len(broken.events) == last
    assert len(log.events) == (0 if alone else 12)
    assert [each.message for each in caplog.records] == [f"the tracer {broken!r} failed, and was detached"]


def test_an_interrupt_in_one_of_two_tracers_is_raised_and_the_other_goes_on_watching(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Interrupted(Log):
        def stage_event(self, event: Event) -> None:
            raise KeyboardInterrupt

    whole = acted(pingpong())
    stage, log = Stage(whole.tables), Log()
    stage.watch(cast(whole.script.roles), tracers=[Interrupted(), log], session="one")
    stage.watch(cast(whole.script.roles), tracers=[log], session="two")
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    finished(stage)
    assert dict(stage.tally.exits) == {"Done": 1}
    assert {event.session for event in log.events} == {"one", "two"}
    assert not caplog.records


async def test_many_sessions_end_in_their_exits() -> None:
    whole = Choreography(plays.SEND_FILE.start, roles=plays.SEND_FILE.roles)
    honest = [plays.SEND_FILE.cast() for _ in range(5)]
    wrong = [plays.SEND_FILE.cast(Receiver=Deaf()) for _ in range(3)]
    tally = await run_many(whole.tables, honest + wrong)
    assert dict(tally.exits) == {"Done": 5, "Failed": 3}
    assert (tally.failed, tally.ended) == (0, 8)
    assert str(tally).startswith("Size: 8 sessions (5 Done, 3 Failed), ")
    for given in honest:
        assert given[plays.Receiver].received == given[plays.Sender].data


class Deaf(plays.Receiver):
    """Finds every hash wrong."""

    def verify(self) -> bool:
        return False


def fail(me: Actor) -> None:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("role", "function", "why"),
    [
        ("alice", "Ping.send", "alice: Ping[alice, bob, Exit].send raised ValueError: no"),
        ("bob", "Ping.on_ping", "bob: Ping[alice, bob, Exit].on_ping raised ValueError: no"),
        ("bob", "Pong.send", "bob: Pong[alice, bob, Exit].send raised ValueError: no"),
    ],
)
@pytest.mark.parametrize("watched", [False, True], ids=["plain", "watched"])
def test_a_function_that_fails_ends_its_session_and_no_other(
    role: str, function: str, why: str, watched: bool
) -> None:
    whole = acted(pingpong())
    stage = Stage(whole.tables, keep=2)
    begin: Any = stage.watch if watched else stage.add
    sessions: list[Any] = [
        begin(cast(whole.script.roles, **({role: {function: fail}} if at % 2 else {}))) for at in range(8)
    ]
    finished(stage)
    assert dict(stage.tally.exits) == {"Done": 4}
    assert stage.tally.failed == 4
    assert [each.why for each in stage.tally.failures] == [why] * 2
    failure = stage.tally.failures[0]
    assert failure.role == role
    assert failure.function.endswith(function.partition(".")[2])
    assert isinstance(failure.error, ValueError)
    assert failure.cast[role].log[-1] == function
    assert "and 2 more" in str(stage.tally)
    if watched:
        assert [str(each.outcome[role]) for each in sessions[:2]] == [
            f"{role}: Done",
            f"{role}: Aborted ({why})",
        ]
        other = {"alice": "bob", "bob": "alice"}[role]
        assert sessions[1].outcome[other].why == why
        assert sessions[1].ticks(role)["Aborted"] == 1


@pytest.mark.parametrize("answer", [("pong", 5), None, ("ping", "x"), 7, ()], ids=str)
def test_a_wrong_answer_ends_the_session_with_what_was_expected(answer: Any) -> None:
    whole = acted(pingpong())
    stage = Stage(whole.tables)
    wrong = Reading(whole.script, {**whole.acts, "Ping[alice, bob, Exit]": Act(lambda me: answer)}, {})
    stage = Stage(Choreography.of(wrong).tables)
    stage.add(cast(whole.script.roles))
    finished(stage)
    assert "alice: Ping[alice, bob, Exit].send raised SentWrong: AMC502" in stage.tally.failures[0].why


def test_a_watched_row_takes_no_list_for_an_answer() -> None:
    whole = acted(pingpong())
    stage = Stage(whole.tables)
    row = stage.watch(cast(whole.script.roles, alice={"Ping.send": lambda me: ["ping", 7]}))
    finished(stage)
    assert row.outcome is not None
    assert "alice answered a list; it must return" in row.outcome["alice"].why


def test_an_interrupt_ends_the_session_in_which_it_came_and_leaves_the_others_playable() -> None:
    whole = acted(pingpong())
    stage = Stage(whole.tables)

    def interrupt(me: Actor) -> None:
        raise KeyboardInterrupt

    for at in range(6):
        stage.add(cast(whole.script.roles, bob={"Pong.send": interrupt} if at == 3 else {}))
    with pytest.raises(KeyboardInterrupt):
        finished(stage)
    assert len(stage) == 2
    finished(stage)
    assert dict(stage.tally.exits) == {"Done": 5}
    assert stage.tally.failures[0].why == "KeyboardInterrupt came in the middle of it"


def test_nothing_of_a_session_is_left_when_it_is_over() -> None:
    whole = acted(pingpong())
    stage = Stage(whole.tables, keep=0)
    known: list[weakref.ref[Actor]] = []

    def begin(alice: Mapping[str, Any]) -> None:
        given = cast(whole.script.roles, alice=alice)
        known.extend(weakref.ref(each) for each in given.values())
        stage.add(given)

    for at in range(4):
        begin({"Ping.send": fail} if at % 2 else {})
    finished(stage)
    gc.collect()
    assert [each for each in known if each() is not None] == []


def test_a_sender_that_never_waits_gives_way_after_each_step() -> None:
    ahead = 0
    whole = Choreography(plays.SEND_FILE.start, roles=plays.SEND_FILE.roles)
    given = plays.SEND_FILE.cast()

    class Watching(plays.Sender):
        def read(self) -> bytes:
            nonlocal ahead
            ahead = max(ahead, self.at - len(given[plays.Receiver].received))
            return super().read()

    given[plays.Sender] = Watching(data=bytes(300_000), batch=10**9)
    stage = Stage(whole.tables)
    stage.add(given)
    finished(stage)
    assert given[plays.Receiver].received == bytes(300_000)
    assert ahead == 0


def runaway(rounds: int) -> Choreography:
    """Two who tell a third of each of their rounds, who each time has to go a long way."""
    b = Builder()
    go, back, far, near = b.scene("Go", "p"), b.scene("Back", "q"), b.scene("Far", "r"), b.scene("Near", "s")
    go.branch("go", int, to=("q", "r"), next=back).branch("stop", to=("q", "r"), next="Last")
    back.branch("back", to="p", next=far)
    far.branch("far", to="s", next=near)
    near.branch("near", to="r", next="Far2")
    b.scene("Far2", "r").branch("far", to="s", next="Near2")
    b.scene("Near2", "s").branch("near", to="r", next=go)
    b.scene("Last", "r").branch("last", to="s")
    script = b.script("runaway", go, roles=("p", "q", "r", "s"))

    def go_on(me: list[int]) -> Any:
        me.append(1)
        return ("go", len(me)) if len(me) <= rounds else ("stop", None)

    def hear(me: list[int], n: int) -> None:
        assert n == len(me) + 1
        me.append(1)

    def always(label: str) -> Act:
        def send(me: Any) -> Answer:
            return label, None

        return Act(send)

    acts = {id: always(scene.branches[0].label) for id, scene in script.scenes.items()}
    return Choreography.of(Reading(script, {**acts, "Go": Act(go_on, {"go": hear})}, {}))


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "watched"])
def test_those_who_run_ahead_are_held_back_and_nothing_gets_out_of_order(watched: bool) -> None:
    whole = runaway(400)
    stage = Stage(whole.tables)
    row: Any = (stage.watch if watched else stage.add)({role: [] for role in whole.script.roles})
    most = 0
    while stage.run(1):
        most = max(most, len((row.row if watched else row)[-1]))
    assert dict(stage.tally.exits) == {"Done": 1}, str(stage.tally)
    assert CROWD // 2 < most <= CROWD + 4


def test_no_session_waits_for_another_to_end() -> None:
    whole = acted(sendfile())
    begun: list[int] = []

    def begin(at: int) -> Any:
        def send(me: Actor) -> None:
            begun.append(at)

        return send

    stage = Stage(whole.tables)
    forever = Actor("sender", choices={"Send": ("chunk",)})
    stage.add({"sender": forever, "receiver": Actor("receiver")})
    for at in range(3):
        stage.add(cast(whole.script.roles, sender={"Size.send": begin(at)}))
    stage.run(4)
    assert begun == [0, 1, 2]
    stage.run(4)
    assert dict(stage.tally.exits) == {"Done": 3}
    assert len(stage) == 1


async def test_others_have_their_turns_while_a_stage_runs_and_it_can_be_cancelled() -> None:
    whole = acted(sendfile())
    stage = Stage(whole.tables)
    forever = Actor("sender", choices={"Send": ("chunk",)})
    stage.add({"sender": forever, "receiver": Actor("receiver")})
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(stage.run_all)
            while stage.tally.messages < 100:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert len(stage) == 1
    before = stage.tally.messages
    forever.choices = {"Send": ("final",)}
    await stage.run_all()
    assert dict(stage.tally.exits) == {"Done": 1}
    assert stage.tally.messages > before


def test_a_function_cannot_run_the_stage_that_it_is_on() -> None:
    whole = acted(pingpong())
    stage = Stage(whole.tables)
    stage.add(cast(whole.script.roles, alice={"Ping.send": lambda me: stage.run()}))
    finished(stage)
    assert "cannot run the stage that it is on" in stage.tally.failures[0].why


def test_a_session_that_is_handed_over_is_whole_and_the_stage_forgets_it() -> None:
    whole = acted(sendfile())
    stage = Stage(whole.tables)
    forever = {"sender": Actor("sender", choices={"Send": ("chunk",)}), "receiver": Actor("receiver")}
    watched = stage.watch(forever)
    row = stage.add(forever)
    stage.run(2)
    for session in (watched, row):
        handed = stage.hand_over(session)
        assert handed.states == {"sender": "Send", "receiver": "AwaitSend"}
        assert handed.cast == forever
        assert [(each.sender, each.receiver, each.label) for each in handed.frames] in (
            [],
            [("sender", "receiver", "chunk")],
        )
        assert handed.turns == ("sender",)
        assert bool(handed.ticks) == (session is watched)
    assert not stage
    with pytest.raises(ValueError, match="was handed over before"):
        stage.hand_over(row)


async def test_over_the_wire_everybody_gets_a_copy_of_its_own() -> None:
    whole = Choreography(plays.SEND_FILE.start, roles=plays.SEND_FILE.roles)
    seen = Log()
    given = plays.SEND_FILE.cast()
    tally = await run_many(whole.tables, [given], wire=STANDARD, tracers=[seen])
    assert dict(tally.exits) == {"Done": 1}
    assert given[plays.Receiver].received == given[plays.Sender].data
    sent, heard = (
        next(
            each
            for each in seen.events
            if isinstance(each, Step) and each.label == "final" and each.sent is sent
        )
        for sent in (True, False)
    )
    assert sent.data == heard.data
    assert sent.data is not heard.data
    assert {each.session for each in seen.events} == {"Size-1"}


def test_roles_may_end_by_the_goodbyes_of_all_others() -> None:
    b = Builder()
    begin = b.scene("Begin", "a").branch("more", to="b", next="Tell").branch("stop", to="b")
    b.scene("Tell", "b").branch("tell", to="c", next=begin)
    script = b.script("closing", begin, roles=("a", "b", "c"), closing=True)
    whole = acted(script, inform="declared")
    stage = Stage(whole.tables)
    row = stage.watch(cast(script.roles), tracers=[log := Log()])
    stage.add(cast(script.roles))
    finished(stage)
    assert dict(stage.tally.exits) == {"Done": 2}
    assert row.outcome is not None
    assert row.outcome.exit == "Done"
    assert sum(isinstance(each, RoleEnded) for each in log.events) == 3


def test_roles_that_take_their_time_or_may_be_lost_are_not_for_rows() -> None:
    async def send(me: Any) -> Any: ...

    whole = acted(pingpong())
    slow = Tables(
        Choreography.of(Reading(whole.script, {**whole.acts, "Ping[alice, bob, Exit]": Act(send)}, {}))
    )
    with pytest.raises(ValueError, match=r"take their time: Ping\[alice, bob, Exit\]\.send"):
        Stage(slow)
    sale = Choreography(plays.SALE.start, roles=plays.SALE.roles, mortal=plays.SALE.mortal)
    assert "loss of Bank" in unfit(sale.tables)


def test_a_cast_without_a_role_names_it() -> None:
    whole = Choreography(plays.PINGPONG.start, roles=plays.PINGPONG.roles)
    with pytest.raises(LookupError, match=r"nobody plays Bob \(did you mean 'Bobby'\?\)"):
        Stage(whole.tables).add({plays.Alice: 1, "Bobby": 2})
