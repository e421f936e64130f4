"""Roles as machines with what the user brings along: states, handlers, tasks and timers, in a play and where one joins."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from amachine import Event, State, States
from amachine.choreography import AsMachine, Builder, ChoreographyError, machine_type, memory_pair
from amachine.choreography.playing.machines import MachineSeat
from amachine.choreography.playing.own import settled
from amachine.choreography.playing.seat import TableSeat
from amachine.errors import BindingError
from tests.choreo.acted import Actor, acted, cast
from tests.choreo.built import pingpong

WHOLE = acted(pingpong())


class Score(States):
    """Beside what alice plays: whether it is her turn, and what has been counted."""

    Ping: State[..., Any] = State()
    AwaitPong: State[..., Any] = State()
    Done: State[..., Any] = State()
    Waiting: State[[], None] = State(require=[AwaitPong], auto=True)
    Counted: State[[], None] = State(require=[Done])


class Keeper:
    """Its handlers."""

    def __init__(self) -> None:
        self.waits = 0
        self.began = anyio.Event()
        self.ended = anyio.Event()
        self.left: list[str] = []

    def WaitingState(self, _event: Event[None]) -> None:
        self.waits += 1

    async def WaitingTask(self, _event: Event[None]) -> None:
        self.began.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()

    def PingEnd(self, event: Event[Any]) -> None:
        self.left.append(event.transition.id)


ROLES = ("alice", "bob")


@pytest.mark.parametrize("engine", ["table", "machine"])
async def test_states_and_handlers_are_there_from_the_first_step_on(engine: Any) -> None:
    keeper = Keeper()
    own = AsMachine(states=Score, handlers=[keeper])
    play = WHOLE.play(cast(ROLES), engine=engine, machines={"alice": own}, session="s")
    async with play:
        with anyio.fail_after(10):
            outcome = await play.ended()
        alice = play.machine("alice")
        assert alice.add("Counted")
    assert outcome.exit == "Done", str(outcome)
    assert keeper.waits == alice["Waiting"].entries == alice["AwaitPong"].entries == 2
    assert keeper.left[0] == "s/alice/5"
    assert len(keeper.left) == alice["Ping"].entries == 3
    assert alice.is_closed
    assert isinstance(play.players["bob"].seat, MachineSeat if engine == "machine" else TableSeat)


async def test_tasks_of_the_users_own_states_run_while_their_states_last() -> None:
    keeper, going = Keeper(), anyio.Event()

    async def answer(_: Actor) -> None:
        await keeper.began.wait()
        going.set()

    own = AsMachine(states=Score, handlers=[keeper])
    people = cast(ROLES, bob={"Pong.send": answer})
    async with WHOLE.play(people, machines={"alice": own}) as play:
        with anyio.fail_after(10):
            await play.ended()
            await keeper.ended.wait()
    assert going.is_set()


async def test_a_role_that_is_recast_in_the_middle_is_such_a_machine_again() -> None:
    began: list[str] = []

    class Sees:
        async def WorkTask(self, event: Event[Any]) -> None:
            began.append(event.machine.id)

    b = Builder()
    region = b.region("Working", {}, restart=True)
    ready = b.scene("Ready", "boss")
    ask, work = b.scene("Ask", "boss", region=region), b.scene("Work", "worker", region=region)
    ready.branch("ready", to="worker", next=ask)
    ask.branch("ask", int, to="worker", next=work)
    work.branch("done", int, to="boss")
    whole = acted(b.script("working", ready, roles=("boss", "worker")))
    gone = anyio.Event()

    async def dies(_: Actor) -> None:
        if not gone.is_set():
            gone.set()
            await anyio.sleep_forever()

    play = whole.play(
        cast(whole.script.roles, worker={"Work.send": dies}),
        machines={"worker": AsMachine(handlers=[Sees()])},
        understudies={"worker": lambda: Actor("worker")},
    )
    async with play:
        with anyio.fail_after(10):
            await gone.wait()
            play.kill("worker")
            outcome = await play.ended()
    assert outcome.exit == "Done", str(outcome)
    assert began


async def test_another_thread_may_call_a_machine_that_was_given_and_its_role_leaves_in_its_own_loop() -> None:
    here, threads = threading.get_ident(), list[int]()

    class Sees:
        def AbortedState(self, _event: Event[None]) -> None:
            threads.append(threading.get_ident())

    async def never(_: Actor) -> None:
        await anyio.sleep_forever()

    people = cast(ROLES, bob={"Pong.send": never})
    async with WHOLE.play(people, machines={"alice": AsMachine(handlers=[Sees()])}) as play:
        alice = play.machine("alice")
        with anyio.fail_after(10):
            await alice.when("AwaitPong")
            await anyio.to_thread.run_sync(alice.remove, "SessionUp")
            outcome = await play.ended()
    assert threads == [here]
    assert outcome["alice"].why == "cancelled"
    assert outcome["bob"].why == "alice was lost: it left: cancelled; bob still needed alice in Pong"


async def test_whoever_joins_may_bring_states_and_tasks_along() -> None:
    keeper = Keeper()
    there, back = memory_pair("alice", "bob")
    people = cast(ROLES)
    own = AsMachine(states=Score, handlers=[keeper])

    async def answer(_: Actor) -> None:
        await keeper.began.wait()

    people["bob"].does["Pong.send"] = answer
    with anyio.fail_after(10):
        async with (
            WHOLE.join("alice", people["alice"], {"bob": there}, machine=own) as alice,
            WHOLE.join("bob", people["bob"], {"alice": back}) as bob,
        ):
            assert alice.machine is not None
            assert alice.machine.is_open
            assert bob.machine is None
            assert (await alice.ended()).state == (await bob.ended()).state == "Done"
    assert keeper.waits == 2
    assert keeper.ended.is_set()
    assert alice.machine.is_closed


async def test_a_play_that_fails_closes_the_machines_that_it_has_opened() -> None:
    play = WHOLE.play(cast(ROLES), machines={"alice": AsMachine()}, engine="machine")
    alice, bob = play.machine("alice"), play.machine("bob")

    async def fails() -> None:
        async with play:
            assert alice.is_open
            assert not bob.is_open
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await fails()
    assert alice.is_closed
    assert bob.is_closed


async def test_what_could_hold_the_script_up_is_said_at_the_call_with_the_state() -> None:
    bad = AsMachine(states={"Pause": {"remove": ["Ping"]}})
    with pytest.raises(ChoreographyError, match="Pause removes Ping") as info:
        WHOLE.play(cast(ROLES), machines={"alice": bad})
    assert info.value.codes == ("AMC603",)
    there, _ = memory_pair("alice", "bob")
    with pytest.raises(ChoreographyError, match="Pause removes Ping"):
        WHOLE.join("alice", None, {"bob": there}, machine=bad)


async def test_handlers_and_roles_that_do_not_fit_are_said_at_the_call() -> None:
    class Wrong:
        def PngState(self, _event: Event[Any]) -> None:
            """Its name is misspelt."""

    with pytest.raises(BindingError, match="PngState"):
        WHOLE.play(cast(ROLES), machines={"alice": AsMachine(handlers=[Wrong()])})
    with pytest.raises(LookupError, match="did you mean 'alice'"):
        WHOLE.play(cast(ROLES), machines={"alcie": AsMachine()})
    given: Any = Wrong()
    with pytest.raises(TypeError, match="does not say how alice is a machine"):
        WHOLE.play(cast(ROLES), machines={"alice": given})


def test_a_class_is_made_once_for_each_class_of_states() -> None:
    local = WHOLE.project("alice")
    first = settled(local, AsMachine(states=Score)).kind
    assert settled(local, AsMachine(states=Score)).kind is first
    assert settled(local, AsMachine(states=Score.schema)).kind.schema is not machine_type(local).schema


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_handler_that_kills_its_role_in_the_middle_of_a_step_has_the_last_word(refuses: bool) -> None:
    class Kills:
        def PongEnter(self, _event: Event[Any]) -> bool:
            play.kill("bob")
            return not refuses

    people = cast(ROLES)
    play = WHOLE.play(people, machines={"bob": AsMachine(handlers=[Kills()])})
    async with play:
        with anyio.fail_after(10):
            outcome = await play.ended()
    assert outcome["bob"].why == "killed"
    assert "bob was lost: killed" in outcome["alice"].why
    assert people["bob"].log == []  # nothing is called for a step that was under way
