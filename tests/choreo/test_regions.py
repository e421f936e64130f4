"""What those who are left do when somebody is lost in a region: all of them the same, or they end and say why."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import anyio
import msgspec
import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.playing.endings import Outcome
from amachine.choreography.playing.events import EpochBegun, Event, FrameDropped, RoleLost, StageTracer, Step
from amachine.choreography.playing.frames import Channel, Frame, Kind
from amachine.choreography.playing.memory import MemoryChannel, memory_pair
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.player import Player
from amachine.choreography.script import Script
from tests.choreo.acted import Actor, acted, cast
from tests.choreo.alone import Alone, closed
from tests.thorough import MORE
from tests.virtual import anyio_backend as anyio_backend

ENGINES = ["table", "machine"]


def sale(patience: float | None = None) -> Script:
    """A customer orders, the shop has the bank charge; without the bank, the shop refunds. `patience` is with the bank."""
    b = Builder()
    b.region("Pay", {"bank": "Refund"})
    order, charge = b.scene("Order", "customer", region="Pay"), b.scene("Charge", "shop", region="Pay")
    charged, receipt = b.scene("Charged", "bank", region="Pay", patience=patience), b.scene("Receipt", "shop")
    order.branch("order", int, to="shop", next=charge)
    charge.branch("charge", int, to="bank", next=charged)
    charged.branch("yes", to="shop", next=receipt)
    receipt.branch("receipt", to="customer", next="Exit")
    b.scene("Refund", "shop").branch("refund", to="customer", next="Refunded")
    return b.script("sale", order, roles=("customer", "shop", "bank"), exits=("Exit", "Refunded"))


def nested() -> Script:
    """`c` may be lost in two regions, one in the other: `Quick` is how to go on in the inner one, `Slow` in the outer."""
    b = Builder()
    b.region("Outer", {"c": "Slow"})
    b.region("Inner", {"c": "Quick"}, parent="Outer")
    begin, ask = b.scene("Begin", "a", region="Outer"), b.scene("Ask", "a", region="Inner")
    answer, tell = b.scene("Answer", "c", region="Inner"), b.scene("Tell", "a", region="Outer")
    last, fine = b.scene("Last", "a", region="Outer"), b.scene("Fine", "c", region="Outer")
    begin.branch("begin", to="b", next=ask)
    ask.branch("ask", to="c", next=answer)
    answer.branch("answer", to="a", next=last)
    last.branch("last", to="c", next=fine)
    fine.branch("fine", to="a", next=tell)
    tell.branch("tell", to="b", next="Exit")
    b.scene("Quick", "a").branch("quick", to="b", next="Quickly")
    b.scene("Slow", "a").branch("slow", to="b", next="Slowly")
    return b.script("nested", begin, roles=("a", "b", "c"), exits=("Exit", "Quickly", "Slowly"))


def ring() -> Script:
    """Four pass something round, twice. Without `d` the others go round once; a fifth only hears how it began."""
    b = Builder()
    b.region("Round", {"d": "First"})
    begin = b.scene("Begin", "a")
    begin.branch("begin", to="e", next="A")
    for role, to, next in (("a", "b", "B"), ("b", "c", "C"), ("c", "d", "D")):
        b.scene(role.upper(), role, region="Round").branch("pass", int, to=to, next=next)
    d = b.scene("D", "d", region="Round")
    d.branch("again", int, to=("a", "b", "c"), next="A").branch("enough", to=("a", "b", "c"), next="End")
    b.scene("End", "a").branch("end", to="e", next="Exit")
    b.scene("First", "a").branch("pass", to="b", next="Second")
    b.scene("Second", "b").branch("pass", to="c", next="Third")
    b.scene("Third", "c").branch("pass", to="a", next="Without")
    return b.script("ring", begin, roles=("a", "b", "c", "d", "e"), exits=("Exit", "Without"))


def again() -> Script:
    """A worker is asked and answers, twice; when it is lost, the region starts again with another."""
    b = Builder()
    b.region("Work", {}, restart=True)
    prepare, ask = b.scene("Prepare", "boss"), b.scene("Ask", "boss", region="Work")
    answer, more = b.scene("Answer", "worker", region="Work"), b.scene("More", "boss", region="Work")
    prepare.branch("prepare", to="worker", next=ask)
    ask.branch("ask", int, to="worker", next=answer)
    answer.branch("answer", int, to="boss", next=more)
    more.branch("more", to="worker", next=ask).branch("end", to="worker", next="Exit")
    return b.script("again", prepare, roles=("boss", "worker"))


class Watch(StageTracer):
    """Keeps what it sees, and does something at some events of a kind."""

    def __init__(self, todo: Mapping[int, Callable[[], object]] | None = None, kind: Any = Step) -> None:
        self.events: list[Event] = []
        self.todo = dict(todo or {})
        self.kind = kind
        self.seen = 0

    def stage_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, self.kind):
            self.seen += 1
            self.todo.get(self.seen, lambda: None)()

    @property
    def epochs(self) -> set[tuple[str, str]]:
        return {(each.role, each.region) for each in self.events if isinstance(each, EpochBegun)}


async def ended(play: Play) -> Outcome:
    async with play:
        with anyio.fail_after(1000):
            return await play.ended()


async def killing(
    script: Script,
    losses: Mapping[int, str],
    engine: Any = "table",
    *,
    kind: Any = Step,
    casting: Mapping[str, Actor] | None = None,
    **options: Any,
) -> tuple[Outcome, Watch]:
    """How it ends when roles die in the middle of things: by the number of an event of that kind, who does."""

    def kill(role: str) -> Callable[[], object]:
        return lambda: play.kill(role)

    watch = Watch({at: kill(role) for at, role in losses.items()}, kind)
    play = Play(acted(script), casting or cast(script.roles), tracers=[watch], engine=engine, **options)
    return await ended(play), watch


@pytest.mark.parametrize("engine", ENGINES)
async def test_without_the_bank_the_others_refund_whenever_it_dies(engine: Any) -> None:
    script = sale()
    whole, watch = await killing(script, {}, engine)
    assert (whole.exit, watch.seen) == ("Done", 8)
    for at in range(1, 9):
        outcome, seen = await killing(script, {at: "bank"}, engine)
        over = at > 5  # the bank has answered, and nobody needs it any more
        assert outcome["bank"].state == ("Done" if at == 8 else "Aborted")
        assert outcome["shop"].state == outcome["customer"].state == ("Done" if over else "Refunded")
        assert seen.epochs == (set() if over else {("shop", "Pay"), ("customer", "Pay")})


async def test_what_was_under_way_before_the_loss_is_dropped_and_shown() -> None:
    script = sale()
    outcome, watch = await killing(script, {1: "bank"})  # the order is chosen, and on its way
    assert outcome["shop"].state == "Refunded"
    dropped = [each.frame.scene for each in watch.events if isinstance(each, FrameDropped)]
    heard = [each.scene for each in watch.events if isinstance(each, Step) and each.role == "shop"]
    assert dropped.count("Order") + heard.count("Order") == 1


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_innermost_region_in_which_all_stand_says_how_to_go_on(engine: Any) -> None:
    script = nested()
    ways: dict[str, set[str]] = {}
    for at in range(1, 13):
        outcome, watch = await killing(script, {at: "c"}, engine)
        assert outcome["a"].state == outcome["b"].state, at
        steps = [each for each in watch.events if isinstance(each, Step) and each.role == "a"]
        chosen = [each.target for each in steps if not each.epoch]
        ways.setdefault(outcome["a"].state, set()).add(chosen[-1])
    assert ways == {"Quickly": {"Ask", "AwaitAnswer"}, "Slowly": {"AwaitFine"}, "Done": {"Done"}}


async def test_who_stands_outside_of_the_region_and_was_to_be_told_of_its_end_stops_and_says_so() -> None:
    outcome, watch = await killing(ring(), {8: "d"})
    assert {outcome[role].state for role in "abc"} == {"Without"}
    assert watch.epochs >= {("a", "Round"), ("b", "Round"), ("c", "Round")}
    assert not outcome["e"].aborted or "d was lost" in outcome["e"].why


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_second_loss_at_any_moment_lets_nobody_wait(engine: Any) -> None:
    script = ring()
    _, whole = await killing(script, {5: "d"}, engine, kind=object)
    rng = random.Random(engine)
    for _ in range(8 * MORE):
        first, second, other = rng.randrange(1, whole.seen + 1), rng.randrange(1, 12), rng.choice("abce")
        outcome, _ = await killing(script, {first: "d", first + second: other}, engine, kind=object)
        for role, ending in outcome.items():
            if role not in {"d", other}:
                assert ending.state in {"Done", "Without"} or "was lost: " in ending.why, (
                    first,
                    second,
                    other,
                )


@pytest.mark.parametrize("kind", [RoleLost, EpochBegun])
async def test_who_decides_may_be_lost_before_it_has_decided_and_right_after(kind: Any) -> None:
    script = ring()
    casting = cast(script.roles, d={"D.send": lambda me: 1 / 0})
    outcome, _ = await killing(script, {1: "a"}, kind=kind, casting=casting)
    assert "D.send raised ZeroDivisionError" in outcome["d"].why
    for role in "bc":
        assert outcome[role].aborted
        assert "was lost: " in outcome[role].why
        assert f"{role} still needed" in outcome[role].why


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_region_that_starts_again_does_so_with_an_understudy_from_the_checkpoints(
    engine: str,
) -> None:
    script = again()
    choices = {"More": ("more", "end")}
    made: list[Actor] = []

    def new() -> Actor:
        made.append(Actor("worker", choices))
        return made[-1]

    restarted: list[int] = []
    for at in range(1, 15):
        boss = Actor("boss", choices)
        crew = {"boss": boss, "worker": new()}
        made.clear()
        outcome, watch = await killing(
            script, {at: "worker"}, engine, casting=crew, understudies={"worker": new}
        )
        began = [
            each.role for each in watch.events if isinstance(each, EpochBegun) and each.back == ("worker",)
        ]
        assert began == ["boss"] * len(made)  # an understudy begins where the others begin anew
        if not made:
            continue
        restarted.append(at)
        assert outcome.exit == "Done"
        (understudy,) = made
        assert understudy.log[:2] == ["Prepare.on_prepare", "restored"]
        assert boss.log[:2] == ["Prepare.send", "restored"]
        assert understudy.log.count("Answer.send") == 2
    assert restarted == [*range(3, 12)]  # from when the worker is at the start until it has done its part


async def test_an_understudy_that_cannot_begin_ends_it() -> None:
    def nobody() -> Any:
        raise LookupError("nobody is there")

    script = again()
    outcome, _ = await killing(script, {5: "worker"}, understudies={"worker": nobody})
    assert "the understudy of worker raised LookupError: nobody is there" in outcome["worker"].why
    assert "worker was lost" in outcome["boss"].why


async def test_without_an_understudy_a_region_does_not_start_again() -> None:
    outcome, watch = await killing(again(), {4: "worker"})
    assert not watch.epochs
    assert "worker was lost: killed; boss still needed worker" in outcome["boss"].why


async def stopped(me: Actor) -> None:
    await anyio.sleep_forever()


async def test_who_is_given_up_and_lives_hears_of_it() -> None:
    """The bank is too slow: the others refund, and it stops as well."""
    script = sale(patience=5)
    casting = cast(script.roles, bank={"Charge.on_charge": stopped})
    outcome, watch = await killing(script, {}, casting=casting, patience=60)
    assert outcome["shop"].state == outcome["customer"].state == "Refunded"
    assert outcome["bank"].why.startswith("shop was lost: shop has given up bank: nothing came for 5 s")
    assert [each.needed for each in watch.events if isinstance(each, RoleLost) and each.role == "shop"] == [
        True
    ]


async def test_where_nobody_answers_there_is_no_way_on() -> None:
    async def silent(alone: Alone) -> None:
        alone.say("customer", "Order", "order", 7)
        await alone.ends["bank"].receive()
        alone.player.lost("bank", "connection reset")
        told = await alone.ends["customer"].receive()
        assert told.data["lost"] == {"bank": "connection reset"}
        assert told.data["regions"] == ("Pay",)
        assert (await closed(alone.ends["customer"])).kind == Kind.ERR

    ending = await Alone(sale(), "shop", patience=7).run(silent)
    assert (
        ending.why == "bank was lost: connection reset; nobody knew how to go on, for customer did not answer"
    )
    assert anyio.current_time() == pytest.approx(10.5, abs=1)  # who decides has 7


class Travelling(MemoryChannel):
    """What is said of a loss goes through bytes, as on a wire."""

    async def receive(self) -> Frame:
        frame = await super().receive()
        data = msgspec.msgpack.decode(msgspec.msgpack.encode(frame.data))
        return frame._replace(data=data) if frame.kind == Kind.LOST else frame


@pytest.mark.parametrize("room", [1, 16])
async def test_players_far_apart_agree_as_well(room: int) -> None:
    script = sale()
    channels: dict[str, dict[str, Channel]] = {role: {} for role in script.roles}
    for one, other in combinations(script.roles, 2):
        pair = memory_pair(one, other, room=room)
        for end in pair:
            end.__class__ = Travelling
        channels[one][other], channels[other][one] = pair
    casting = cast(script.roles, bank={"Charge.on_charge": lambda me: 1 / 0})
    players = {
        role: Player(acted(script), role, casting[role], channels[role], room=room) for role in script.roles
    }
    with anyio.fail_after(100):
        async with anyio.create_task_group() as group:
            for player in players.values():
                group.start_soon(player.run)
    endings = {role: player.ended.state for role, player in players.items() if player.ended is not None}
    assert endings == {"customer": "Refunded", "shop": "Refunded", "bank": "Aborted"}
    assert casting["customer"].log == ["Order.send", "Refund.on_refund"]


@pytest.mark.parametrize(
    "data",
    [
        7,
        {"lost": ["bank"]},
        {"lost": {"nobody": "x"}},
        {"lost": {}, "decides": True, "last": {"epoch": 1, "region": "Nowhere", "lost": "bank"}},
        {"lost": {}, "decides": True, "last": {"epoch": 1, "region": "Pay", "lost": "shop"}},
    ],
    ids=["number", "list", "stranger", "region", "role"],
)
async def test_what_makes_no_sense_of_a_loss_is_a_violation(data: Any) -> None:
    async def babbles(alone: Alone) -> None:
        assert alone.ends["customer"].try_send(Frame(Kind.LOST, data=data))
        await closed(alone.ends["customer"])

    ending = await Alone(sale(), "shop").run(babbles)
    assert ending.why.startswith("what customer sent is no frame: ")
