"""What users' code does wrong beside raising an error: it cancels, vetoes, fails too late, or looks in the middle of things."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from amachine import Event
from amachine.choreography import AsMachine
from amachine.choreography.builder import Builder
from amachine.choreography.playing.checkpoints import checkpoint, restore
from amachine.choreography.playing.events import EpochBegun, RoleEnded, StageTracer
from amachine.choreography.playing.events import Event as StageEvent
from amachine.choreography.playing.ground import Ground
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.looking import machine_of
from amachine.choreography.playing.machines import MachineSeat
from amachine.choreography.playing.memory import memory_pair
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.player import Player
from amachine.choreography.playing.schemas import SCRIPT
from amachine.choreography.playing.watching import Watchers
from amachine.choreography.script import Script
from amachine.tracers.base import Tracer
from tests.choreo.acted import Actor, acted, cast
from tests.virtual import anyio_backend as anyio_backend

ENGINES = ["table", "machine"]
CANCELLED = "RuntimeError: what it waited for was cancelled"

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""Where a task of asyncio is cancelled by its handle, which trio does not have."""


def one() -> Script:
    """A single word from one to the other."""
    b = Builder()
    b.scene("Say", "a").branch("word", str, to="b", next="Exit")
    return b.script("one", "Say", roles=("a", "b"))


def sale() -> Script:
    """A customer orders, and the shop has the bank charge; without the bank the shop refunds."""
    b = Builder()
    b.region("Pay", {"bank": "Refund"})
    order, charge = b.scene("Order", "customer", region="Pay"), b.scene("Charge", "shop", region="Pay")
    charged, receipt = b.scene("Charged", "bank", region="Pay"), b.scene("Receipt", "shop", region="Pay")
    order.branch("order", int, to="shop", next=charge)
    charge.branch("charge", int, to="bank", next=charged)
    charged.branch("yes", to="shop", next=receipt)
    receipt.branch("receipt", to="customer", next="Exit")
    b.scene("Refund", "shop").branch("refund", to="customer", next="Thanks")
    b.scene("Thanks", "customer").branch("thanks", to="shop", next="Refunded")
    return b.script("sale", order, roles=("customer", "shop", "bank"), exits=("Exit", "Refunded"))


def again() -> Script:
    """A worker is asked and answers; when it is lost, that starts again. Last, and after it, the boss says goodbye."""
    b = Builder()
    b.region("Work", {}, restart=True)
    b.scene("Prepare", "boss").branch("prepare", to="worker", next="Ask")
    b.scene("Ask", "boss", region="Work").branch("ask", int, to="worker", next="Answer")
    b.scene("Answer", "worker", region="Work").branch("answer", int, to="boss", next="End")
    b.scene("End", "boss").branch("end", to="worker", next="Exit")
    return b.script("again", "Prepare", roles=("boss", "worker"))


class Once(StageTracer):
    """Does something at the first event of a kind."""

    def __init__(self, kind: type, do: Callable[[], object]) -> None:
        self.kind = kind
        self.do: Callable[[], object] | None = do

    def stage_event(self, event: StageEvent) -> None:
        if isinstance(event, self.kind) and self.do is not None:
            do, self.do = self.do, None
            do()


def raising(error: BaseException) -> Callable[..., Any]:
    def does(*_: Any) -> Any:
        raise error

    return does


def cancelled() -> BaseException:
    """What is raised in a task that is cancelled, and by nobody else."""
    return asyncio.CancelledError()


async def played(play: Play) -> dict[str, str]:
    """How it ended for each role."""
    async with play:
        with anyio.fail_after(1000):
            outcome = await play.ended()
    return {role: outcome[role].state for role in outcome}


# -- looked at in the middle


class Looking(StageTracer):
    """Looks at a role when it has decided to begin anew, and before it does."""

    player: Player

    def stage_event(self, event: StageEvent) -> None:
        if isinstance(event, EpochBegun) and event.role == self.player.role:
            self.player.ground.soon(machine_of, self.player)


@pytest.mark.parametrize("role", ["customer", "shop"])
async def test_a_role_that_is_looked_at_as_its_recovery_begins_goes_on_there(role: str) -> None:
    look = Looking()
    actors = cast(sale().roles, bank={"Charged.send": raising(OSError("power"))})
    play = Play(acted(sale()), actors, tracers=[look])
    look.player = play.players[role]
    assert await played(play) == {"customer": "Refunded", "shop": "Refunded", "bank": "Aborted"}
    assert isinstance(play.players[role].seat, MachineSeat)
    assert play.machine(role).is_active("Refunded")


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_role_that_comes_back_may_be_looked_at_as_it_does(*, at_once: bool) -> None:
    kept: list[Any] = []
    look = Looking()

    async def play(role: str, me: Actor, channel: Any, **options: Any) -> str:
        peer = channel.peer
        async with Joined(acted(again()), role, me, {peer: channel}, **options) as joined:
            look.player = joined.player
            if at_once:
                machine_of(joined.player)
            return (await joined.ended()).state

    a, b = memory_pair("boss", "worker")
    c, d = memory_pair("boss", "worker")

    async def call(_: str) -> Any:
        return c

    ends: list[str] = []

    async def boss() -> None:
        ends.append(await play("boss", Actor("boss"), a, again=call))

    with anyio.fail_after(100):
        async with anyio.create_task_group() as group:
            group.start_soon(boss)
            failing = Actor("worker", does={"Answer.send": raising(OSError("spoon"))})
            assert await play("worker", failing, b, keep=kept.append) == "Aborted"
            assert await play("worker", Actor("worker"), d, resume=kept[0], tracers=[look]) == "Done"
    assert ends == ["Done"]
    machine = machine_of(look.player)
    assert machine.is_active("Done")
    assert machine["Answer"].tick == 2


def answers_wrongly(_: Actor) -> int:
    return 42


def active(play: Play) -> dict[str, set[str]]:
    """The states of each role, as its machine shows them."""
    return {role: {*play.machine(role).active} for role in play.players}


@pytest.mark.parametrize(
    "does",
    [
        {"bank": {"Charged.send": raising(OSError("power"))}},
        {"shop": {"Receipt.send": answers_wrongly}},
        {"shop": {"Charged.on_yes": raising(OSError("power"))}, "customer": {}},
        {"customer": {"Receipt.on_receipt": raising(OSError("paper"))}},
        {
            "bank": {"Charged.send": raising(OSError("power"))},
            "shop": {"Refund.send": raising(OSError("till"))},
        },
    ],
)
async def test_a_table_shows_the_states_of_a_machine_whatever_trouble_there_was(does: Any) -> None:
    shown: list[Any] = []
    engines: list[Any] = [*ENGINES]
    for engine in engines:
        play = Play(acted(sale()), cast(sale().roles, **does), engine=engine)
        ends = await played(play)
        assert "Aborted" in ends.values()
        shown.append((ends, active(play), {role: play.machine(role).error for role in play.players}))
    (ends, states, errors), (others, seen, noticed) = shown
    assert (ends, states) == (others, seen)
    assert {role: repr(error) for role, error in errors.items()} == {
        role: repr(error) for role, error in noticed.items()
    }


async def test_a_table_that_stands_still_shows_the_trouble_and_who_is_lost() -> None:
    async def shown(engine: Any) -> list[Any]:
        found: list[Any] = []
        actors = cast(sale().roles, bank={"Charged.send": raising(OSError("power"))})
        # The customer decides: when it begins anew, the shop has not heard of that yet.
        look = Once(EpochBegun, lambda: found.append({*play.machine("shop").active}))
        play = Play(acted(sale()), actors, tracers=[look], engine=engine)
        assert (await played(play))["shop"] == "Refunded"
        return [*found, active(play)]

    machine = await shown("machine")
    assert await shown("table") == machine
    assert {"BankLost", "Trouble", "InPay", "RecoverPay"} <= machine[0]


async def test_a_role_that_has_recovered_is_exported_with_whom_it_has_lost() -> None:
    async def wait(_: Actor) -> None:
        await anyio.sleep(10)

    actors = cast(
        sale().roles, bank={"Charged.send": raising(OSError("power"))}, customer={"Thanks.send": wait}
    )
    play = Play(acted(sale()), actors)
    async with play:
        await anyio.sleep(5)
        shop = play.players["shop"]
        seat = restore(checkpoint(shop), shop.table.machine)
        await play.ended()
    assert seat.machine.is_active("AwaitThanks", "SessionUp", "BankLost")
    assert play.machine("shop").is_active("Refunded", "BankLost")
    assert not play.machine("customer").is_active("BankLost")


# -- cancelled by itself


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("where", ["checkpoint", "restore", "maker"])
@on_asyncio
async def test_a_cancellation_of_nobody_is_the_trouble_of_its_role(where: str, engine: Any) -> None:
    class Worker(Actor):
        def checkpoint(self) -> Any:
            if where == "checkpoint":
                raise cancelled()
            return super().checkpoint()

        def restore(self, data: Any) -> None:
            if where == "restore":
                raise cancelled()
            super().restore(data)

    def other() -> Worker:
        if where == "maker":
            raise cancelled()
        return Worker("worker")

    actors = cast(again().roles)
    actors["worker"] = Worker("worker", does={"Answer.send": raising(OSError("spoon"))})
    play = Play(acted(again()), actors, understudies={"worker": other}, engine=engine)
    assert await played(play) == {"boss": "Aborted", "worker": "Aborted"}
    function = "checkpoint" if where == "checkpoint" else "the understudy of worker"
    assert play.outcome["worker"].why == f"{function} raised {CANCELLED}"
    assert isinstance(play.outcome["worker"].error, RuntimeError)


@pytest.mark.parametrize("engine", ENGINES)
@on_asyncio
async def test_a_function_whose_task_is_cancelled_has_failed(engine: Any) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def wait(_: Actor) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await anyio.sleep_forever()

    play = Play(acted(one()), cast(one().roles, a={"Say.send": wait}), engine=engine)
    async with play:
        await anyio.sleep(1)
        tasks[0].cancel()
        with anyio.fail_after(10):
            outcome = await play.ended()
    assert outcome["a"].why == f"Say.send raised {CANCELLED}"
    assert outcome["b"].why == f"a was lost: Say.send raised {CANCELLED}; b still needed a in AwaitSay"
    done = await acted(one()).run_local(
        cast(one().roles, a={"Say.send": raising(cancelled())}), raise_errors=False
    )
    assert done["a"].why == f"Say.send raised {CANCELLED}"


@on_asyncio
async def test_a_plain_function_that_cancels_the_task_of_all_cancels_nobody() -> None:
    def cancel(_: Actor) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def wait(_: Actor) -> None:
        await anyio.sleep(0.05)

    actors = cast(one().roles, a={"Say.send": cancel}, b={"Say.on_word": wait})
    ends = await played(Play(acted(one()), actors))
    assert ends == {"a": "Done", "b": "Done"}


@on_asyncio
async def test_no_turn_and_no_task_ends_a_ground_unseen() -> None:
    async def work() -> None:
        raise cancelled()

    async def stand(*, works: bool) -> None:
        async with Ground() as ground:
            if works:
                ground.start(work)
            else:
                ground.soon(raising(cancelled()))
            await anyio.sleep(1000)

    for works in (False, True):
        with pytest.raises(ExceptionGroup) as caught:
            await stand(works=works)
        assert caught.group_contains(RuntimeError, match="what it waited for was cancelled")


@pytest.mark.parametrize(
    "handler", ["SayEnter", "SayState", "SayExit", "SayEnd", "BUpState", "DoneEnter", "DoneState"]
)
@on_asyncio
async def test_a_cancellation_of_nobody_in_a_handler_is_seen_and_ends_at_most_its_role(
    handler: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = {"a": AsMachine(handlers={handler: raising(cancelled())})}
    play = Play(acted(one()), cast(one().roles), machines=own)
    ends = await played(play)
    assert "a handler raised CancelledError()" in caplog.text
    assert ends["a"] == ("Done" if handler == "BUpState" else "Aborted")
    assert ends["b"] in {"Done", "Aborted"}
    agrees(play, "a")


# -- what is no error at all


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stop", [GeneratorExit("stop"), BaseException("stop")])
async def test_what_is_no_error_comes_out_as_it_is(stop: BaseException, engine: Any) -> None:
    with pytest.raises(type(stop), match="stop"):
        await acted(one()).run_local(cast(one().roles, b={"Say.on_word": raising(stop)}), engine=engine)
    with pytest.raises(type(stop), match="stop"):
        await acted(one()).run_local(cast(one().roles, b={"Say.on_word": raising(stop)}))


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_who_interrupts_a_program_does(stop: BaseException, backend: str) -> None:
    raised: list[BaseException] = []

    async def main() -> None:
        try:
            await acted(one()).run_local(cast(one().roles, b={"Say.on_word": raising(stop)}))
        except BaseException as error:
            raised.append(error)
            raise

    with pytest.raises(type(stop)):
        anyio.run(main, backend=backend)
    assert raised == [stop]


class Mine(BaseException):
    """Neither an error nor a cancellation."""


async def test_a_tracer_that_stops_all_lets_a_play_and_a_join_be_left() -> None:
    tracer = Once(RoleEnded, raising(Mine()))
    with pytest.raises(Mine):
        async with Play(acted(one()), cast(one().roles), tracers=[tracer]) as play:
            await play.ended()
    a, _ = memory_pair("a", "b")
    with pytest.raises(Mine):
        async with Joined(
            acted(one()), "a", Actor("a"), {"b": a}, tracers=[Once(RoleEnded, raising(Mine()))]
        ):
            await anyio.sleep(1)
    await anyio.lowlevel.checkpoint()


class Always(StageTracer):
    """Raises at every event."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.seen = 0

    def stage_event(self, event: StageEvent) -> None:
        self.seen += 1
        raise self.error


async def test_whatever_one_role_raises_as_a_play_is_left_the_others_leave_too() -> None:
    ended: list[str] = []

    async def wait(_: Actor) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("a")

    play = Play(acted(one()), cast(one().roles, a={"Say.send": wait}), engine="machine")

    async def leave() -> None:
        async with play:
            await anyio.sleep(1)
            play.players["a"].watchers = Watchers([Always(Mine())])

    with pytest.raises(Mine):
        await leave()
    assert ended == ["a"]
    assert play.outcome["b"].state == "Aborted"
    assert play.supervisor is not None
    assert play.supervisor.is_closed


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ValueError("no")])
@on_asyncio
async def test_a_tracer_that_raises_is_detached_whatever_it_raises(error: BaseException) -> None:
    tracer = Always(error)
    assert await played(Play(acted(one()), cast(one().roles), tracers=[tracer])) == {"a": "Done", "b": "Done"}
    assert tracer.seen == 1


# -- what is to be kept


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("call", [1, 2])
async def test_a_keep_that_raises_is_named_whenever_it_does(call: int, engine: Any) -> None:
    calls = 0

    def keep(_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError("disk full")

    a, b = memory_pair("boss", "worker")
    ends: dict[str, Any] = {}

    async def play(role: str, channels: Any, **options: Any) -> None:
        async with Joined(acted(again()), role, Actor(role), channels, engine=engine, **options) as joined:
            ends[role] = await joined.ended()

    with anyio.fail_after(100):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: play("boss", {"worker": a}))
            group.start_soon(lambda: play("worker", {"boss": b}, keep=keep))
    assert ends["worker"].why == "keep raised OSError: disk full"
    boss = ends["boss"]
    # As it leaves the region, that is known when the boss has said its last word, or before: trio draws lots.
    assert boss.aborted or call == 2
    assert not boss.aborted or boss.why.startswith("worker was lost: keep raised OSError: disk full")


@pytest.mark.parametrize("where", ["checkpoint", "restore", "maker", "keep"])
async def test_what_nobody_would_await_is_refused_with_its_name(where: str) -> None:
    async def slowly(*_: Any) -> None:
        raise AssertionError("nobody awaits it")

    def actor(*, fails: bool = False) -> Any:
        worker = Actor("worker", does={"Answer.send": raising(OSError("spoon"))} if fails else {})
        return worker if where == "maker" else Later(worker, where, slowly)

    if where == "keep":
        a, b = memory_pair("boss", "worker")
        async with (
            Joined(acted(again()), "boss", Actor("boss"), {"worker": a}),
            Joined(acted(again()), "worker", Actor("worker"), {"boss": b}, keep=slowly) as joined,
        ):
            ending = await joined.ended()
        assert ending.why.startswith(
            "keep raised TypeError: keep is a coroutine function: it is called plainly"
        )
        return
    actors = cast(again().roles) | {"worker": actor(fails=True)}
    maker: Any = slowly if where == "maker" else actor
    play = Play(acted(again()), actors, understudies={"worker": maker})
    assert (await played(play))["worker"] == "Aborted"
    name = {"maker": "what makes it"}.get(where, where)
    text = f"raised TypeError: {name} is a coroutine function: it is called plainly, and nobody awaits it"
    assert play.outcome["worker"].why.endswith(text)


class Later:
    """An actor one of whose functions is a coroutine function."""

    def __init__(self, actor: Actor, name: str, fn: Any) -> None:
        self._actor = actor
        setattr(self, name, fn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._actor, name)


# -- the last function, and handlers that object


def agrees(play: Play, role: str) -> None:
    """A role's machine stands where the role has ended."""
    machine, ending = play.machine(role), play.outcome[role]
    assert machine.is_active(ending.state)
    assert machine.is_closed
    if ending.aborted:
        assert machine.is_active("Trouble")
        assert machine.active_in(SCRIPT) is None
        assert not machine.is_active("SessionUp")
    else:
        assert machine.active_in(SCRIPT) == ending.state
    assert machine["Exception"].tick < 15


@pytest.mark.parametrize("takes_time", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_role_whose_last_function_fails_has_not_come_to_the_exit(
    engine: Any, *, takes_time: bool
) -> None:
    error = OSError("disk full")

    async def slowly(_: Actor) -> None:
        await anyio.sleep(1)
        raise error

    play = Play(
        acted(one()),
        cast(one().roles, b={"Say.on_word": slowly if takes_time else raising(error)}),
        engine=engine,
    )
    machine = play.machine("b")
    through, aborted = machine.when("Done"), machine.when("Aborted")
    assert await played(play) == {"a": "Done", "b": "Aborted"}
    agrees(play, "b")
    assert machine.error is error
    assert machine.is_active("Exception")
    assert machine["Done"].tick == 2
    # Functions run in the state. One that takes its time does so while the machine stands there, and is seen to.
    assert (through.error is None) is takes_time
    assert aborted.done
    assert aborted.error is None
    if play.supervisor is not None:
        assert play.supervisor.is_active("ADone", "BLost")


async def test_a_role_that_dies_in_its_last_function_is_not_in_the_exit() -> None:
    play = Play(
        acted(one()), cast(one().roles, b={"Say.on_word": lambda _: play.kill("b")}), engine="machine"
    )
    assert await played(play) == {"a": "Done", "b": "Aborted"}
    agrees(play, "b")


class Seen(Tracer):
    """Keeps the machines that it sees."""

    def __init__(self) -> None:
        self.machines: dict[str, Any] = {}

    def transition_ended(self, machine: Any, transition: Any) -> None:
        self.machines[machine.id.rpartition("/")[2]] = machine


async def test_the_same_holds_for_very_many_of_them() -> None:
    seen = Seen()
    error = OSError("disk full")
    actors = cast(one().roles, b={"Say.on_word": raising(error)})
    tally = await acted(one()).run_many([actors], engine="machine", tracers=[seen])
    assert tally.failed == 1
    machine = seen.machines["b"]
    assert machine.active == ("AUp", "Trouble", "Aborted", "Exception")
    assert machine.error is error
    assert machine["Exception"].tick == 1
    assert seen.machines["a"].is_active("Done")


BANK: dict[str, Callable[[Actor], Any]] = {"power": raising(OSError("power")), "": lambda _: None}


def refuses(_: Event[Any]) -> bool:
    return False


def fails(_: Event[Any]) -> None:
    raise ValueError("mine")


PHASES = ("Enter", "State", "Exit", "End")
OF_SCRIPT = ("Charge", "AwaitCharged", "Receipt", "Done", "Refund", "Refunded")
OTHERS = ("Trouble", "BankLost", "BankUp", "Aborted", "RecoverPay", "InPay", "SessionUp")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bank", BANK)
@pytest.mark.parametrize("state", OF_SCRIPT + OTHERS)
@on_asyncio
async def test_whatever_handlers_object_to_the_machine_stands_where_its_role_does(
    state: str, bank: str, engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for handler in (f"{state}{phase}" for phase in PHASES):
        for does in (refuses, fails):
            own = {"shop": AsMachine(handlers={handler: does})}
            actors = cast(sale().roles, bank={"Charged.send": BANK[bank]})
            play = Play(acted(sale()), actors, machines=own, engine=engine)
            await played(play)
            agrees(play, "shop")
            ending, entered = play.outcome["shop"], play.machine("shop")[state].tick
            if does is fails and handler.endswith("State") and state in OF_SCRIPT and entered:
                assert ending.why == f"fails ({handler}) raised ValueError: mine"
                assert isinstance(ending.error, ValueError)
            if does is refuses and handler.endswith("Exit") and state in OF_SCRIPT and ending.aborted:
                assert ending.why.endswith(f"{handler} (refuses) said no")
                assert play.machine("shop").is_active("Violation")


async def test_handlers_that_keep_a_machine_from_following_are_unbound_and_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = {"a": AsMachine(handlers={"SayExit": refuses})}
    play = Play(acted(one()), cast(one().roles), machines=own)
    assert (await played(play))["a"] == "Aborted"
    assert play.outcome["a"].why == "its machine refused Done, after Say.word: SayExit (refuses) said no"
    assert not play.machine("a").handlers
    assert play.machine("a").is_active("Violation", "Aborted")
    assert "are unbound: it could not follow its role, for SayExit (refuses) said no" in caplog.text


async def test_a_handler_of_trouble_that_fails_is_called_a_few_times_at_most() -> None:
    calls: list[str] = []

    def alarm(event: Event[Any]) -> None:
        calls.append(event.machine.id)
        raise ValueError("no network")

    actors = cast(one().roles, a={"Say.send": raising(OSError("disk full"))})
    play = Play(
        acted(one()), actors, machines={role: AsMachine(handlers={"AbortedState": alarm}) for role in "ab"}
    )
    await played(play)
    for role in "ab":
        agrees(play, role)
    assert 2 <= len(calls) <= 12


async def test_a_handler_in_the_exit_may_remove_the_session_and_its_role_is_through_all_the_same() -> None:
    def leave(event: Event[Any]) -> None:
        event.machine.remove("SessionUp")

    play = Play(acted(one()), cast(one().roles), machines={"b": AsMachine(handlers={"DoneState": leave})})
    assert await played(play) == {"a": "Done", "b": "Done"}
    agrees(play, "b")


# -- before it is played


async def test_what_needs_a_play_to_run_says_so_before_it_does() -> None:
    play = Play(acted(one()), cast(one().roles))
    a, _ = memory_pair("a", "b")
    joined = Joined(acted(one()), "a", Actor("a"), {"b": a})
    for ask in (play.stuck, lambda: play.kill("a"), joined.leave):
        with pytest.raises(RuntimeError, match="it is not being played yet: use `async with"):
            ask()
    for wait in (play.ended, joined.ended):
        with anyio.fail_after(1), pytest.raises(RuntimeError, match="it is not being played yet"):
            await wait()
    assert (play.outcome.error, joined.ending) == (None, None)
    assert await played(play) == {"a": "Done", "b": "Done"}
    assert str(play.stuck())
