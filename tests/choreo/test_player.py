"""One role at run time: what it does with frames, its own functions, time, and everything that goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.playing.endings import Ending, StepTimeout, Violation
from amachine.choreography.playing.events import Event, FrameDropped, RoleEnded, RoleLost, StageTracer, Step
from amachine.choreography.playing.frames import Channel, ChannelClosed, Frame, Kind
from amachine.choreography.playing.memory import MemoryChannel, memory_pair
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.player import Player
from amachine.choreography.playing.seat import TableSeat
from amachine.choreography.playing.tables import SentWrong
from amachine.choreography.script import EXIT, Script
from tests.choreo.acted import Actor, acted, cast
from tests.choreo.alone import Alone, Seen, closed
from tests.choreo.built import pingpong, sendfile, two_phase
from tests.virtual import anyio_backend as anyio_backend

BYE = Frame(Kind.BYE, data="done")

# The happy path.


async def test_two_players_play_over_any_channels_and_say_goodbye_after_everything_else() -> None:
    script = pingpong()
    choreography = acted(script)
    a, b = memory_pair("alice", "bob", room=1)
    alice, bob = (
        Player(choreography, "alice", Actor(), {"bob": a}),
        Player(choreography, "bob", Actor(), {"alice": b}),
    )
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(alice.run)
            group.start_soon(bob.run)
    assert alice.ended == Ending("alice", "Done")
    assert bob.ended == Ending("bob", "Done")
    assert bob.me.log == ["Ping.on_ping", "Pong.send", "Ping.on_ping", "Pong.send", "Ping.on_next"]


async def test_a_goodbye_follows_the_last_frame() -> None:
    async def bob(alone: Alone) -> None:
        frames = [await alone.ends["bob"].receive()]
        assert (await closed(alone.ends["bob"])) == BYE._replace(lamport=1)
        assert [frame.label for frame in frames] == ["next"]

    ending = await Alone(pingpong(), "alice", Actor(choices={"Ping": ("next",)})).run(bob)
    assert ending.state == "Done"


async def test_logical_time_grows_along_every_frame() -> None:
    seen = Seen()
    script = two_phase()
    async with Play(acted(script), cast(script.roles), tracers=[seen]) as play:
        await play.ended()
    sent: dict[tuple[str, str], int] = {}
    for each in seen.of(Step):
        if each.sent:
            sent[each.scene, each.label] = each.lamport
        else:
            assert each.lamport > sent[each.scene, each.label]
    for role in script.roles:
        times = [each.lamport for each in seen.of(Step) if each.role == role]
        assert times == sorted(set(times))
    assert {each.role: each.state for each in seen.of(RoleEnded)} == dict.fromkeys(script.roles, "Done")


async def test_a_tracer_that_fails_is_detached_and_the_play_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(StageTracer):
        def stage_event(self, event: Event) -> None:
            raise ValueError("no")

    seen = Seen()
    script = pingpong()
    async with Play(acted(script), cast(script.roles), tracers=[Broken(), seen]) as play:
        outcome = await play.ended()
    assert not outcome.failed
    assert len(caplog.records) == 1
    assert len(seen.of(Step)) == 10


# Functions that take their time.


async def test_frames_wait_while_a_function_takes_its_time_and_the_sender_waits_when_there_is_no_room() -> (
    None
):
    """The sender may run ahead of a slow receiver by what has room, and by no more."""
    script = sendfile("Failed")
    ahead: list[int] = []
    sender = Actor(choices={"Send": ("chunk",) * 40 + ("final",)})

    async def slow(me: Actor) -> None:
        await anyio.sleep(1)
        ahead.append(sender.visits["Send"] - me.log.count("Send.on_chunk"))

    receiver = Actor(does={"Send.on_chunk": slow})
    async with Play(acted(script), {"sender": sender, "receiver": receiver}, room=4) as play:
        with anyio.fail_after(1000):
            outcome = await play.ended()
        assert play.ground.now() >= 40
    assert not outcome.failed
    assert max(ahead) == 4 + 1  # and one that has been chosen and has no room
    assert receiver.log.count("Send.on_chunk") == 40


@pytest.mark.parametrize("room", [1, 3])
async def test_a_sender_that_goes_on_and_on_gives_way_after_each_step(room: int) -> None:
    script = sendfile("Failed")
    order: list[str] = []
    choices = {"Send": ("chunk",) * 20 + ("final",)}
    does: dict[str, Callable[[Actor], Any]] = {
        "Send.send": lambda me: order.append("sent"),
        "Send.on_chunk": lambda me: order.append("heard"),
    }
    casting = {"sender": Actor(choices=choices, does=does), "receiver": Actor(does=does)}
    async with Play(acted(script), casting, room=room) as play:
        assert not (await play.ended()).failed
    ahead = [order[:at].count("sent") - order[:at].count("heard") for at in range(len(order))]
    assert max(ahead) <= 3


async def test_a_function_that_takes_its_time_and_fails_ends_its_role() -> None:
    async def fails(me: Actor) -> None:
        await anyio.sleep(1)
        raise OSError("disk full")

    script = pingpong()
    async with Play(acted(script), cast(script.roles, bob={"Ping.on_ping": fails})) as play:
        outcome = await play.ended()
    assert outcome["bob"].why == "Ping.on_ping raised OSError: disk full"
    assert isinstance(outcome["bob"].error, OSError)
    assert outcome["alice"].why == (
        "bob was lost: Ping.on_ping raised OSError: disk full; alice still needed bob in AwaitPong"
    )


def timed() -> Script:
    """The asker may take its time for a question, and after 5 seconds it is too late."""
    b = Builder()
    ask = b.scene("Ask", "a")
    ask.branch("ask", int, to="b", next=EXIT).branch("late", to="b", next=EXIT, after=5.0)
    return b.script("timed", ask, roles=("a", "b"))


@pytest.mark.parametrize(("takes", "label", "at"), [(4.0, "ask", 4.0), (100.0, "late", 5.0)])
async def test_a_deadline_is_a_branch_that_the_engine_takes_for_a_sender_who_is_late(
    takes: float, label: str, at: float
) -> None:
    cancelled: list[bool] = []

    async def thinks(me: Actor) -> Any:
        try:
            await anyio.sleep(takes)
        except BaseException:
            cancelled.append(True)
            raise
        return "ask", 7

    casting = cast(("a", "b"), a={"Ask.send": thinks})
    async with Play(acted(timed()), casting) as play:
        began = play.ground.now()
        assert not (await play.ended()).failed
        assert play.ground.now() - began == pytest.approx(at, abs=0.1)
    assert casting["b"].log == [f"Ask.on_{label}"]
    assert cancelled == [True] * (label == "late")


# Patience.


def patient(patience: float | None) -> Script:
    b = Builder()
    b.scene("Ask", "a", patience=patience).branch("ask", to="b", next=EXIT)
    return b.script("patient", "Ask", roles=("a", "b"))


@pytest.mark.parametrize(
    ("of_scene", "of_all", "of_player", "after"), [(2, 9, 5, 2), (None, 9, 5, 5), (None, 9, None, 9)]
)
async def test_who_waits_for_too_long_gives_up_whom_it_waited_for(
    of_scene: float | None, of_all: float, of_player: float | None, after: float
) -> None:
    alone = Alone(patient(of_scene), "b", patience=of_all)
    if of_player is not None:
        alone.player.patience = of_player
    noticed: list[Any] = []
    alone.player.seat = Noticing(alone.player.table.machine, noticed)

    async def silence(alone: Alone) -> None:
        began = anyio.current_time()
        assert (await closed(alone.ends["a"])).kind == Kind.ERR
        assert anyio.current_time() - began == pytest.approx(after, abs=0.1)

    ending = await alone.run(silence)
    assert ending.why == f"a was lost: nothing came for {after} s; b still needed a in AwaitAsk"
    assert [kind for kind, _ in noticed] == ["StepTimeout", "PeerLost"]
    assert isinstance(noticed[0][1], StepTimeout)
    assert noticed[0][1].expected == "Ask.ask from a"


class Noticing(TableSeat):
    """A seat that keeps what troubles it was told of."""

    def __init__(self, machine: Any, noticed: list[Any]) -> None:
        super().__init__(machine)
        self.noticed = noticed

    def trouble(self, kind: str, why: str, error: Exception | None, /) -> None:
        self.noticed.append((kind, error))


async def test_who_can_send_nothing_for_too_long_gives_up_who_takes_nothing() -> None:
    sender = Actor(choices={"Send": ("chunk",)})
    alone = Alone(sendfile("Failed"), "sender", sender, room=2, patience=3)
    ending = await alone.run(lambda _: anyio.sleep(4))
    assert ending.why == "receiver was lost: it took nothing for 3 s; sender still needed receiver in Send"


# Frames that cannot be.


async def test_a_violation_says_what_was_expected_and_what_came() -> None:
    async def wrong_at_last(alone: Alone) -> None:
        for seq in range(1, 17):
            alone.say("receiver", "CheckHash[Send, Failed]", "ok", seq=seq)
            await anyio.sleep(1)
        alone.say("receiver", "Send", "chunk", b"x", seq=17)
        reason = await closed(alone.ends["receiver"])
        assert (reason.kind, reason.data) == (Kind.ERR, alone.player.ended and alone.player.ended.why)

    alone = Alone(sendfile("Failed"), "sender", Actor(choices={"Send": ("check",)}))
    ending = await alone.run(wrong_at_last)
    assert ending.state == "Aborted"
    assert ending.why == "expected CheckHash.ok or CheckHash.failed from receiver, got Send.chunk (seq 17)"
    assert isinstance(ending.error, Violation)
    assert ending.error.expected == "CheckHash.ok or CheckHash.failed from receiver"
    assert isinstance(ending.error.got, Frame)


@pytest.mark.parametrize(
    ("peer", "scene", "label", "kind", "text"),
    [
        (
            "k",
            "Begin[k, x, y, Exit, Failed]",
            "begin",
            Kind.INFORM,
            "expected Begin.begin from k, got Begin.begin as an inform",
        ),
        ("k", "Nowhere", "begin", Kind.MSG, "expected Begin.begin from k, got Nowhere.begin (seq 1)"),
        (
            "x",
            "VoteX[k, x, y, Exit, Failed]",
            "resp",
            Kind.MSG,
            "expected Begin.begin from k, got VoteX.resp from x (seq 1)",
        ),
    ],
)
async def test_a_frame_that_nobody_may_send_now_is_a_violation(
    peer: str, scene: str, label: str, kind: Kind, text: str
) -> None:
    async def wrong(alone: Alone) -> None:
        alone.say(peer, scene, label, True, kind=kind)
        await closed(alone.ends["k"])

    ending = await Alone(two_phase(), "y").run(wrong)
    assert ending.why.startswith(text.partition(" (")[0]) or text in ending.why
    assert isinstance(ending.error, Violation)


async def test_a_frame_that_comes_twice_is_dropped_and_shown() -> None:
    async def twice(alone: Alone) -> None:
        for seq in (1, 1, 2, 1):
            alone.say("alice", "Ping[alice, bob, Exit]", "ping", 1, seq=seq)
        alone.say("alice", "Ping[alice, bob, Exit]", "next", seq=3)
        await closed(alone.ends["alice"])

    alone = Alone(pingpong(), "bob")
    ending = await alone.run(twice)
    assert ending.state == "Done"
    assert [(each.frame.seq, each.why) for each in alone.seen.of(FrameDropped)] == [
        (1, "number 1 came before")
    ] * 2
    assert alone.me.log.count("Ping.on_ping") == 2


async def test_a_frame_that_is_early_waits_until_another_peer_has_said_what_leads_to_it() -> None:
    b = Builder()
    first, second, third = b.scene("S0", "r3"), b.scene("S1", "r3"), b.scene("S2", "r2")
    first.branch("a", to=("r0", "r1"), next=second).branch("b", to=("r1", "r2"), next=third)
    second.branch("a", to=("r0", "r1", "r2"))
    third.branch("a", to=("r0", "r1", "r3")).branch("b", to=("r0", "r3"), next=second)
    script = b.script("early", first, roles=("r0", "r1", "r2", "r3"))

    async def early(alone: Alone) -> None:
        alone.say("r3", "S1", "a")
        await anyio.sleep(1)
        alone.say("r2", "S2", "b")
        await closed(alone.ends["r1"])

    alone = Alone(script, "r0")
    assert (await alone.run(early)).state == "Done"
    assert alone.me.log == ["S2.on_b", "S1.on_a"]


@pytest.mark.parametrize("comes", [True, False])
async def test_a_gap_is_waited_for_and_then_a_violation(comes: bool) -> None:
    async def with_a_gap(alone: Alone) -> None:
        alone.say("alice", "Ping[alice, bob, Exit]", "next", seq=3)
        await anyio.sleep(10)
        if comes:
            alone.say("alice", "Ping[alice, bob, Exit]", "ping", 1, seq=2)
            alone.say("alice", "Ping[alice, bob, Exit]", "ping", 1, seq=1)
        await closed(alone.ends["alice"])

    ending = await Alone(pingpong(), "bob").run(with_a_gap)
    assert ending.state == ("Done" if comes else "Aborted")
    assert ending.why == ("" if comes else "frames 1 to 2 of alice never came, but frame 3 did")
    assert isinstance(ending.error, Violation) is not comes


# Peers that go.


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (Frame(Kind.BYE, data="done"), "it had ended"),
        (Frame(Kind.BYE, data="cancelled"), "it left: cancelled"),
        (Frame(Kind.ERR, data="Ping.send raised ValueError: x"), "Ping.send raised ValueError: x"),
    ],
)
async def test_a_peer_that_says_goodbye_while_it_is_needed_is_lost(reason: Frame, why: str) -> None:
    async def goes(alone: Alone) -> None:
        alone.say("alice", "Ping[alice, bob, Exit]", "ping", 1)
        await alone.ends["alice"].aclose(reason)

    alone = Alone(pingpong(), "bob")
    ending = await alone.run(goes)
    assert ending.why == f"alice was lost: {why}; bob still needed alice in Pong"
    assert alone.me.log[0] == "Ping.on_ping"  # what it had said still counted
    assert [each.needed for each in alone.seen.of(RoleLost)] == [True]


async def test_a_peer_that_is_lost_ends_a_function_that_takes_its_time_at_once() -> None:
    async def thinks(me: Actor) -> None:
        await anyio.sleep(1000)

    alone = Alone(pingpong(), "bob", Actor(does={"Ping.on_ping": thinks}))

    async def goes(alone: Alone) -> None:
        alone.say("alice", "Ping[alice, bob, Exit]", "ping", 1)
        await anyio.sleep(1)
        alone.player.lost("alice", "connection reset")

    ending = await alone.run(goes)
    assert ending.why == "alice was lost: connection reset; bob still needed alice in Pong"
    assert anyio.current_time() < 900


def chatty(*, closing: bool) -> Script:
    """The speaker may say things to `b`, of which `c` hears nothing; `c` cannot tell when all is over."""
    b = Builder()
    talk, more = b.scene("Talk", "a"), b.scene("More", "a")
    talk.branch("first", to=("b", "c"), next=more)
    more.branch("more", to=("b", "c"), next=more).branch("end", to="b", next=EXIT)
    return b.script("chatty", talk, roles=("a", "b", "c"), closing=closing)


@pytest.mark.parametrize("engine", ["table", "machine"])
async def test_a_role_that_cannot_tell_the_end_is_done_when_its_peers_have_said_goodbye(engine: Any) -> None:
    script = chatty(closing=True)
    choreography = acted(script, inform="declared")
    casting = {role: Actor(role, {"More": ("more", "more", "end")}) for role in script.roles}
    async with Play(choreography, casting, engine=engine) as play:
        with anyio.fail_after(10):
            outcome = await play.ended()
    assert outcome.exit == "Done"
    assert casting["c"].log == ["Talk.on_first", "More.on_more", "More.on_more"]
    async with Play(choreography, casting) as play:
        play.kill("a")
        outcome = await play.ended()
    assert "c still needed a" in outcome["c"].why


# The role itself.


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (("nonsense", None), "Ping.send raised SentWrong: AMC502"),
        (("ping", "text"), "the branch carries int"),
        (7, "alice answered an int"),
    ],
)
async def test_a_wrong_answer_ends_the_role_and_everybody_hears_of_it(answer: Any, text: str) -> None:
    script = pingpong()
    async with Play(acted(script), cast(script.roles, alice={"Ping.send": lambda me: answer})) as play:
        outcome = await play.ended()
    assert text in outcome["alice"].why
    assert isinstance(outcome["alice"].error, SentWrong)
    assert outcome["alice"].why in outcome["bob"].why


async def test_peers_hear_where_it_failed_and_not_the_traceback() -> None:
    async def bob(alone: Alone) -> None:
        reason = await closed(alone.ends["bob"])
        assert (reason.kind, reason.data) == (Kind.ERR, "Ping.send raised ValueError: boom")

    def boom(me: Actor) -> None:
        raise ValueError("boom")

    ending = await Alone(pingpong(), "alice", Actor(does={"Ping.send": boom})).run(bob)
    assert isinstance(ending.error, ValueError)


async def test_a_cancelled_player_says_goodbye_and_leaves_its_role_alone() -> None:
    started = anyio.Event()

    async def thinks(me: Actor) -> None:
        started.set()
        await anyio.sleep_forever()

    alone = Alone(pingpong(), "alice", Actor(does={"Ping.send": thinks}))
    async with anyio.create_task_group() as group:
        group.start_soon(alone.player.run)
        await started.wait()
        group.cancel_scope.cancel()
    assert alone.player.ended == Ending("alice", "Aborted", "cancelled")
    assert await closed(alone.ends["bob"]) == Frame(Kind.BYE, data="cancelled")
    assert alone.me.log == ["Ping.send"]


@pytest.mark.parametrize("takes_time", [False, True])
async def test_a_function_may_end_its_own_role(takes_time: bool) -> None:
    def leaves(me: Actor) -> Any:
        play.players["bob"].cancel("enough")
        return anyio.sleep(1) if takes_time else None

    script = pingpong()
    async with Play(acted(script), cast(script.roles, bob={"Ping.on_ping": leaves})) as play:
        outcome = await play.ended()
    assert outcome["bob"].why == "enough"
    assert "bob was lost: it left: enough" in outcome["alice"].why


async def test_what_is_no_frame_and_what_a_channel_cannot_say_are_troubles_of_those_who_did_it() -> None:
    class Garbling(MemoryChannel):
        async def receive(self) -> Frame:
            await super().receive()
            raise Violation("a frame of 3 bytes is shorter than its head")

    alone = Alone(pingpong(), "bob")
    alone.player.peers["alice"].channel.__class__ = Garbling

    async def garbles(alone: Alone) -> None:
        alone.say("alice", "Ping[alice, bob, Exit]", "ping", 1)
        assert (await closed(alone.ends["alice"])).kind == Kind.ERR

    ending = await alone.run(garbles)
    assert ending.why == "what alice sent is no frame: a frame of 3 bytes is shorter than its head"


async def test_a_pair_in_memory_is_bounded_ordered_and_closes_after_what_was_sent() -> None:
    a, b = memory_pair("a", "b", room=2)
    assert a.try_send(Frame(Kind.MSG, seq=1))
    assert a.try_send(Frame(Kind.MSG, seq=2))
    assert not a.try_send(Frame(Kind.MSG, seq=3))
    assert a.try_send(Frame(Kind.LOST))  # what is no frame of the script needs no room
    async with anyio.create_task_group() as group:
        group.start_soon(a.send, Frame(Kind.MSG, seq=3))
        assert [(await b.receive()).seq for _ in range(4)] == [1, 2, 0, 3]
    await a.aclose(BYE)
    await a.aclose(BYE)
    with pytest.raises(ChannelClosed, match="the channel to a is closed: done"):
        await b.receive()
    with pytest.raises(ChannelClosed, match="done"):
        b.try_send(Frame(Kind.MSG))
    with pytest.raises(ChannelClosed, match="this end was closed"):
        await a.receive()
    with pytest.raises(ValueError, match="room for one frame"):
        memory_pair("a", "b", room=0)
    assert isinstance(a, Channel)
