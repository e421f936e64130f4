"""How long a role waits, whom it gives up then, and that nothing which others send makes it wait for ever."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.playing.endings import Outcome, Violation
from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind
from amachine.choreography.playing.memory import memory_pair
from amachine.choreography.playing.play import Play
from amachine.choreography.script import Script
from tests.choreo.acted import Actor, acted, cast
from tests.choreo.alone import Alone, closed
from tests.choreo.built import pingpong, sendfile, two_phase
from tests.choreo.test_regions import ring, sale
from tests.virtual import anyio_backend as anyio_backend

PING = "Ping[alice, bob, Exit]"


def chain() -> Script:
    """`a` tells `b`, who tells `c`, who tells `d`, who tells all; everybody waits for the one before."""
    b = Builder()
    last = b.scene("D", "d").branch("end", to=("a", "b", "c"))
    third = b.scene("C", "c").branch("on", to="d", next=last)
    second = b.scene("B", "b").branch("on", to="c", next=third)
    return b.script("chain", b.scene("A", "a").branch("on", to="b", next=second), roles="abcd")


async def played(script: Script, patience: float, **does: Any) -> tuple[Outcome, float]:
    """How it ends, and when."""
    began = anyio.current_time()
    async with Play(acted(script), cast(script.roles, **does), patience=patience) as play:
        with anyio.fail_after(1000):
            return await play.ended(), anyio.current_time() - began


def busy(seconds: float) -> Any:
    """What takes so long."""

    def does(_: Actor) -> Any:
        return anyio.sleep(seconds)

    return does


# Whose turn it is.


async def test_everybody_learns_who_it_was_that_did_nothing() -> None:
    outcome, after = await played(chain(), 10, c={"C.send": busy(900)})
    assert after == pytest.approx(10, abs=0.5)
    assert outcome["d"].why == "c was lost: nothing came for 10 s; d still needed c in AwaitC"
    for role in "ab":
        assert "c was lost: " in outcome[role].why or "d was lost: c was lost: " in outcome[role].why


async def test_who_began_to_wait_first_does_not_blame_somebody_who_waits_as_well() -> None:
    """`a` has waited for 8 s when `c` gets its turn: that one has all its time, and is the one who is blamed."""
    slow = {"B.send": busy(8)}
    outcome, after = await played(chain(), 10, b=slow, c={"C.send": busy(900)})
    assert 10 <= after <= 20
    assert "c was lost: nothing came" in outcome["d"].why
    assert not any("b was lost: nothing came" in ending.why for ending in outcome.values())


async def test_a_long_way_round_takes_its_time_as_long_as_everybody_is_in_time() -> None:
    """Nobody takes longer than patience allows; all together they do."""
    outcome, after = await played(
        chain(),
        10,
        b={"B.send": busy(8)},
        c={"C.send": busy(8)},
        d={"D.send": busy(8)},
    )
    assert outcome.exit == "Done"
    assert after == pytest.approx(24, abs=0.5)


@pytest.mark.parametrize("left", [5.0, 1e9, float("nan")], ids=str)
async def test_who_only_says_that_it_waits_is_believed_so_often_and_no_longer(left: float) -> None:
    """Beats are no progress."""

    async def always_later(alone: Alone) -> None:
        try:
            while True:
                frame = await alone.ends["a"].receive()
                if frame.kind == Kind.BEAT:
                    said = {"since": 1.0, "waits": ["somebody"], "left": left}
                    alone.ends["a"].try_send(Frame(Kind.BEAT, data=said))
        except ChannelClosed:
            pass

    b = Builder()
    alone = Alone(b.script("ask", b.scene("Ask", "a").branch("ask", to="b"), roles="ab"), "b", patience=3)
    ending = await alone.run(always_later)
    assert "a was lost: nothing came for " in ending.why
    assert "while a waited for somebody" in ending.why
    assert 3 <= anyio.current_time() <= 4 * 31


@pytest.mark.parametrize(
    "said", [7, {"waits": ["x"]}, {"since": "long"}, {"since": 0.0, "left": "much"}], ids=str
)
async def test_an_answer_that_makes_no_sense_is_a_violation(said: Any) -> None:
    async def babbles(alone: Alone) -> None:
        await alone.ends["receiver"].receive()
        while (await alone.ends["receiver"].receive()).kind != Kind.BEAT:
            pass
        alone.ends["receiver"].try_send(Frame(Kind.BEAT, data=said))
        await closed(alone.ends["receiver"])

    sender = Actor(choices={"Send": ("check",)})
    ending = await Alone(sendfile("Failed"), "sender", sender, patience=9).run(babbles)
    assert isinstance(ending.error, Violation)


async def test_who_is_asked_says_what_it_does() -> None:
    async def asks(alone: Alone) -> None:
        alone.say("k", "Begin[k, x, y, Exit, Failed]", "begin")
        await anyio.sleep(2)
        for peer in ("k", "y"):
            alone.ends[peer].try_send(Frame(Kind.BEAT))
        said = await alone.ends["y"].receive()
        assert said.data == {"since": pytest.approx(2), "waits": (), "left": None}
        alone.player.cancel()

    await Alone(two_phase(), "x", Actor(does={"VoteX.send": busy(5)})).run(asks)


# What would make somebody wait for ever.


@pytest.mark.parametrize(
    ("script", "peer", "patience", "after"),
    [(pingpong(), "alice", None, 0), (pingpong(), "alice", 9, 0)],
    ids=["no patience", "patience"],
)
async def test_a_frame_of_an_epoch_that_cannot_be_is_a_violation_at_once(
    script: Script, peer: str, patience: float | None, after: float
) -> None:
    async def ahead(alone: Alone) -> None:
        alone.ends[peer].try_send(Frame(Kind.MSG, PING, "ping", 1, epoch=0x41, seq=1))
        await closed(alone.ends[peer])

    ending = await Alone(script, "bob", patience=patience).run(ahead)
    assert ending.why == "Ping.ping from alice is of epoch 65, this is 0, and nobody has told of a loss"
    assert anyio.current_time() == pytest.approx(after, abs=0.5)


@pytest.mark.parametrize(("patience", "after"), [(None, 30), (7, 7)])
async def test_where_there_are_regions_a_frame_of_a_later_epoch_waits_for_news_and_not_for_ever(
    patience: float | None, after: float
) -> None:
    async def ahead(alone: Alone) -> None:
        alone.ends["customer"].try_send(Frame(Kind.MSG, "Order", "order", 1, epoch=1, seq=1))
        await closed(alone.ends["customer"])

    ending = await Alone(sale(), "shop", patience=patience).run(ahead)
    assert ending.why == "Order.order from customer is of epoch 1, this is 0, and nobody has told of a loss"
    assert anyio.current_time() == pytest.approx(after, abs=0.5)


async def test_a_frame_of_a_later_epoch_does_not_hide_that_its_sender_is_gone() -> None:
    async def ahead(alone: Alone) -> None:
        alone.ends["customer"].try_send(Frame(Kind.MSG, "Order", "order", 1, epoch=1, seq=1))
        await alone.ends["customer"].aclose(Frame(Kind.ERR, data="it broke"))

    ending = await Alone(sale(), "shop").run(ahead)
    assert "customer was lost: it broke" in ending.why
    assert anyio.current_time() < 1


async def test_a_frame_that_fits_nowhere_any_more_is_a_violation_though_others_could_still_speak() -> None:
    """`b` waits for `a` or for `c`; what came from `a` can come in no later state."""
    b = Builder()
    one, two = b.scene("One", "a").branch("one", to="b"), b.scene("Two", "c").branch("two", to="b")
    b.scene("S", "s").branch("a", to="a", next=one).branch("c", to="c", next=two)
    alone = Alone(b.script("either", "S", roles="sabc"), "b")

    async def misfit(alone: Alone) -> None:
        alone.say("a", "One", "one", kind=Kind.INFORM)
        await closed(alone.ends["a"])

    ending = await alone.run(misfit)
    assert ending.why.startswith("expected One.one from a, ")
    assert "as an inform" in ending.why


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.CREDIT, Kind.LOST])
async def test_what_has_no_place_in_a_session_ends_it(kind: Kind) -> None:
    async def misplaced(alone: Alone) -> None:
        alone.ends["alice"].try_send(Frame(kind, data={"lost": {"alice": "x"}}))
        await closed(alone.ends["alice"])

    ending = await Alone(pingpong(), "bob").run(misplaced)
    assert ending.why == f"what alice sent is no frame: {kind.name} has no place in a session of pingpong"


LOSSES: list[Any] = [
    {"lost": {}},
    {"lost": {}, "epoch": 70_000},
    {"lost": {"d": "x"}, "epoch": -1},
    {"lost": {"d": "x"}, "epoch": 0xFFFF},
    {"lost": {}, "decides": True, "last": {"epoch": 70_000, "region": "Round", "lost": "d"}},
    {"lost": {}, "decides": True, "last": {"epoch": 1, "region": "Round", "lost": "d", "back": ["nobody"]}},
    {"lost": {}, "back": {"d": ["Nowhere"]}},
    {"lost": {}, "back": {"nobody": []}},
]


@pytest.mark.parametrize("data", LOSSES, ids=str)
async def test_nonsense_of_a_loss_is_a_violation(data: Any) -> None:
    async def babbles(alone: Alone) -> None:
        alone.ends["c"].try_send(Frame(Kind.LOST, data=data))
        await closed(alone.ends["c"])

    ending = await Alone(ring(), "b").run(babbles)
    assert isinstance(ending.error, Violation), ending.why


@pytest.mark.parametrize(
    "data",
    [
        {"lost": {"d": "x"}, "regions": ["Round"]},
        {"lost": {"d": "x", "a": "y"}},
        {"lost": {"c": "I am"}},
        {"lost": {"b": "you are"}},
        {"lost": {"d": "x"}, "decides": True},
        {"lost": {"d": "x"}, "decides": True, "last": {"epoch": 5, "region": "Round", "lost": "d"}},
        {"lost": {"d": "x"}, "epoch": 3, "last": {"epoch": 3}},
    ],
    ids=str,
)
async def test_half_a_truth_of_a_loss_ends_within_patience(data: Any) -> None:
    """Sense, but not true, or not all of it; and then silence."""

    async def then_nothing(alone: Alone) -> None:
        alone.say("a", "A", "pass", 1)
        await anyio.sleep(1)
        alone.ends["c"].try_send(Frame(Kind.LOST, data=data))

    ending = await Alone(ring(), "b", patience=6).run(then_nothing)
    assert ending.aborted
    assert ending.why
    assert anyio.current_time() <= 60


async def test_one_that_stops_in_the_middle_of_an_agreement_is_done_without() -> None:
    """`e` plays no part in the recovery, and never answers: the others go on."""
    script = ring()
    silent = Alone(script, "a", patience=6)

    async def answers(alone: Alone) -> None:
        end = {peer: alone.ends[peer] for peer in "bcde"}
        await end["b"].receive()
        alone.player.lost("d", "killed")
        for peer in "bc":
            end[peer].try_send(Frame(Kind.LOST, data={"lost": {"d": "killed"}, "regions": ["Round"]}))
        told: dict[str, Any] = {}
        while not told.get("decides"):
            told = (await end["b"].receive()).data or {}
            if told.get("lost", {}).keys() == {"d", "e"} and not told["decides"]:
                for peer in "bc":
                    end[peer].try_send(Frame(Kind.LOST, data={"lost": told["lost"], "regions": ["Round"]}))
        assert told["last"]["region"] == "Round"
        assert told["lost"]["e"] == "it did not say where it stood"
        assert 6 <= anyio.current_time() < 7
        alone.player.cancel()

    await silent.run(answers)


async def test_a_goodbye_counts_whatever_its_epoch() -> None:
    a, b = memory_pair("alice", "bob")
    alone = Alone(pingpong(), "bob")
    alone.player.peers["alice"].channel, alone.player.peers["alice"].since = b, 3
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(alone.player.run)
            await a.aclose(Frame(Kind.BYE, data="done"))
    assert alone.player.ended is not None
    assert alone.player.ended.aborted
