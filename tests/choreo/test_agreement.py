"""What those who are left agree on, whoever dies in the middle of it: some scripts at every moment, many by chance."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import anyio
import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.playing.agreement import Start, consistent
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.events import Step
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.memory import memory_pair
from amachine.choreography.playing.play import Play
from amachine.choreography.script import Script
from amachine.testing import virtual_clock
from tests.choreo.acted import Actor, acted, cast
from tests.choreo.faults import Bookkeeper, Net, Reborn, by_chance, cut_down, kept
from tests.choreo.test_regions import Watch
from tests.thorough import MORE
from tests.virtual import anyio_backend as anyio_backend

AT_ONCE = (0.0,)
STARTED = 6
"""The number of the event at which `x` has its turn in the first three scripts, and all others wait for it."""

in_order = pytest.mark.parametrize("anyio_backend", [virtual_clock("asyncio")], ids=["asyncio"])
"""Where it counts who hears first what comes at the same time: trio draws lots."""

pytestmark = pytest.mark.filterwarnings("ignore::amachine.choreography.ChoreographyWarning")


def round_to_x(b: Builder, roles: str, region: str) -> None:
    """Each role tells the next one, and `x` is the last."""
    nexts = (*roles[1:-1], "Mid")
    for role, to, next in zip(roles, roles[1:], nexts, strict=False):
        b.scene(role, role, region=region).branch("pass", dict, to=to, next=next)


def council() -> Script:
    """`x` is lost while all stand in the region. `d`, who decides then, has no part in what follows."""
    b = Builder()
    b.region("Talk", {"x": "Plan"})
    round_to_x(b, "dpqx", "Talk")
    b.scene("Mid", "x", region="Talk").branch("mid", dict, to=("d", "p", "q"), next="Exit")
    b.scene("Plan", "p").branch("hello", dict, to="q", next="Then")
    b.scene("Then", "q").branch("back", dict, to="p", next="Saved")
    return b.script("council", "d", roles=("d", "p", "q", "x"), exits=("Exit", "Saved"))


def split() -> Script:
    """`x` is lost in two regions. With `d` the inner one says how to go on; without, only the outer one can."""
    b = Builder()
    b.region("Outer", {"x": "Without"})
    b.region("Inner", {"x": "With"}, parent="Outer")
    round_to_x(b, "dpqx", "Inner")
    b.scene("Mid", "x", region="Inner").branch("mid", dict, to=("d", "p", "q"), next="Exit")
    b.scene("With", "d").branch("a", dict, to="p", next="Then")
    b.scene("Then", "p").branch("b", dict, to=("d", "q"), next="Inside")
    b.scene("Without", "p").branch("c", dict, to="q", next="Outside")
    return b.script("split", "d", roles=("d", "p", "q", "x"), exits=("Exit", "Inside", "Outside"))


def chain() -> Script:
    """`a`, who decides, and `c` have nothing to say to one another: what they tell goes through `b`."""
    b = Builder()
    b.region("Talk", {"x": "Plan"})
    round_to_x(b, "cbax", "Talk")
    b.scene("Mid", "x", region="Talk").branch("mid", dict, to="b", next="Fin")
    b.scene("Fin", "b", region="Talk").branch("fin", dict, to=("a", "c"), next="Exit")
    b.scene("Plan", "a").branch("hello", dict, to="b", next="Saved")
    return b.script("chain", "c", roles=("a", "b", "c", "x"), exits=("Exit", "Saved"))


def turns() -> Script:
    """In each turn the boss has a note taken, outside of the region, of which the worker hears nothing."""
    b = Builder()
    b.region("Job", {}, restart=True)
    b.scene("Note", "boss").branch("enough", dict, to="log", next="End").branch(
        "note", dict, to="log", next="Give"
    )
    b.scene("Give", "boss", region="Job").branch("task", dict, to="worker", next="Report")
    b.scene("Report", "worker", region="Job").branch("done", dict, to="boss", next="Note")
    b.scene("End", "boss").branch("end", dict, to="worker", next="Exit")
    return b.script("turns", "Note", roles=("boss", "worker", "log"))


def goods() -> Script:
    """The producer may be a turn ahead of the mover, and that one ahead of the store."""
    b = Builder()
    b.region("Job", {}, restart=True)
    begin = b.scene("Next", "producer").branch("end", dict, to=("mover", "store", "scale"), next="Exit")
    begin.branch("item", dict, to=("mover", "store", "scale"), next="Weigh")
    b.scene("Weigh", "producer", region="Job").branch("weigh", dict, to="scale", next="Weighed")
    b.scene("Weighed", "scale", region="Job").branch("weighed", dict, to="producer", next="Pass")
    b.scene("Pass", "producer", region="Job").branch("item", dict, to="mover", next="Put")
    b.scene("Put", "mover", region="Job").branch("put", dict, to="store", next="Next")
    return b.script("goods", "Next", roles=("producer", "mover", "store", "scale"))


# -- by chance


@pytest.mark.parametrize(
    ("kind", "options"),
    [(Net, {"whole": True}), (Net, {"whole": False}), (Reborn, {})],
    ids=["net", "part", "reborn"],
)
async def test_whoever_dies_in_whatever_script_the_others_agree_or_end_soon(
    kind: type[Net], options: dict[str, Any]
) -> None:
    for seed in range(7 * MORE):
        rng = random.Random(seed)
        script = by_chance(rng, restart=kind.restarts, most=4)
        for net in await cut_down(kind, script, seed, rng, **options):
            assert not net.wrongs, f"seed {seed}: {net.wrongs}"


# -- who is told


async def lost(script: Script, *deaths: int, decides: bool = True, **options: Any) -> Net:
    """`x` is lost in that script; and whoever is about to say LOST frames of these numbers. Nothing takes any time."""
    died = [(at, decides) for at in deaths]
    net = Net(kept(script), 0, first="x", at=(STARTED,), deaths=died, delays=AT_ONCE, **options)
    await net.run()
    assert not net.wrongs
    assert net.seconds < 1
    return net


def numbers(net: Net, *roles: str) -> list[list[int]]:
    return [[each.epoch for each in net.decided[role]] for role in roles]


@in_order
async def test_what_one_has_heard_all_do_though_who_has_decided_is_dead() -> None:
    script = council()
    net = await lost(script)
    assert numbers(net, "d", "p", "q") == [[1], [1], [1]]
    net = await lost(script, 2)  # it has told p, and not q
    assert numbers(net, "p", "q") == [[1], [1]]
    assert {role: net.endings[role].state for role in "pq"} == {"p": "Saved", "q": "Saved"}


@in_order
async def test_what_nobody_has_heard_is_decided_anew_under_another_number() -> None:
    net = await lost(council(), 1)
    assert numbers(net, "d", "p", "q") == [[1], [2], [2]]
    assert {role: net.endings[role].state for role in "pq"} == {"p": "Saved", "q": "Saved"}
    net = await lost(council(), 2, 3)  # both who knew are dead
    assert numbers(net, "d", "p", "q") == [[1], [1], []]
    assert net.endings["q"].why == "x was lost: connection reset; q still needed x in AwaitMid"


@in_order
async def test_nobody_goes_on_in_another_region_than_others_do() -> None:
    # One has heard of it, and tells the other; then it turns out that d is dead.
    for turned in (False, True):
        net = await lost(split(), 2, turned=turned)
        assert {net.decided[role][0].region for role in "pq"} == {"Inner"}
    net = await lost(split(), 1)
    assert {each.region for role in "pq" for each in net.decided[role]} == {"Outer"}
    assert {role: net.endings[role].state for role in "pq"} == {"p": "Outside", "q": "Outside"}


async def test_what_is_told_goes_through_others_where_there_is_no_channel() -> None:
    net = await lost(chain(), whole=False)
    assert "c" not in net.ends["a"]
    assert numbers(net, "a", "b", "c") == [[1], [1], [1]]
    assert {role: net.endings[role].state for role in "abc"} == dict.fromkeys("abc", "Saved")


@in_order
@pytest.mark.parametrize("decides", [False, True])
@pytest.mark.parametrize("script", [council(), split(), chain()], ids=lambda script: script.name)
async def test_whoever_dies_at_any_word_nobody_is_blamed_and_nobody_waits(
    script: Script, *, decides: bool
) -> None:
    said = (await lost(script, whole=False)).said[decides]
    for at in range(1, said + 4):
        for turned in (False, True):
            await lost(script, at, decides=decides, whole=False, turned=turned)
        if MORE > 1:
            await lost(script, at, at + 1, decides=decides, whole=False)


async def test_who_is_far_behind_hears_of_a_loss_all_the_same() -> None:
    b = Builder()
    b.region("Stream", {"third": "Plan"})
    send = b.scene("Send", "tx", region="Stream").branch("chunk", int, to="rx", next="Send")
    send.branch("end", to="rx", next="Ack")
    b.scene("Ack", "rx", region="Stream").branch("ack", to=("tx", "third"), next="Fin")
    b.scene("Fin", "third", region="Stream").branch("fin", to=("tx", "rx"), next="Exit")
    b.scene("Plan", "tx").branch("plan", to="rx", next="Gone")
    script = acted(b.script("stream", send, roles=("tx", "rx", "third"), exits=("Exit", "Gone")))
    ends: dict[str, Ending] = {}
    channels: dict[str, dict[str, Any]] = {role: {} for role in script.script.roles}
    for one, other in (("tx", "rx"), ("tx", "third"), ("rx", "third")):
        channels[one][other], channels[other][one] = memory_pair(one, other)

    async def slowly(_: Actor) -> None:
        await anyio.sleep(1)

    async def play(role: str) -> None:
        me = Actor(role, {"Send": ("chunk",) * 100 + ("end",)}, does={"Send.on_chunk": slowly})
        async with Joined(script, role, me, channels[role]) as joined:
            if role == "third":
                await anyio.sleep(5)
            else:
                ends[role] = await joined.ended()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for role in channels:
                group.start_soon(play, role)
    assert {role: ending.state for role, ending in ends.items()} == {"tx": "Gone", "rx": "Gone"}


# -- a second loss in a plan


async def test_in_a_plan_no_region_counts_and_a_second_loss_there_ends_it() -> None:
    b = Builder()
    b.region("Outer", {"y": "EndY", "x": "Plan"})
    b.scene("Begin", "a", region="Outer").branch("start", to=("b", "x", "y"), next="Mid")
    b.scene("Mid", "x", region="Outer").branch("mid", to=("a", "b", "y"), next="Exit")
    b.scene("Plan", "a", region="Outer").branch("go", to="b", next="Ask")
    b.scene("Ask", "y", region="Outer").branch("then", to=("a", "b"), next="EndX")
    script = acted(b.script("s", "Begin", roles=("a", "b", "x", "y"), exits=("Exit", "EndX", "EndY")))
    assert all(not script.tables[role].machine.by_name["AwaitAsk"].regions for role in "ab")
    does: dict[str, Any] = {"x": {"Mid.send": fail}, "y": {"Ask.send": fail}}
    play = Play(script, cast(script.script.roles, **does))
    async with play:
        with anyio.fail_after(10):
            outcome = await play.ended()
    for role in "ab":
        why = "y was lost: Ask.send raised OSError: power"
        assert outcome[role].why == f"{why}; {role} still needed y in AwaitAsk"
        assert play.players[role].epoch == 1


def fail(_: Actor) -> None:
    raise OSError("power")


# -- to where all go back


def test_all_go_back_to_a_time_at_which_each_had_heard_what_the_others_had_said() -> None:
    def a(number: int, said: int, epoch: int = 0) -> Start:
        return Start(number, epoch, {"b": said} if said else {}, {})

    def b(number: int, heard: int, epoch: int = 0) -> Start:
        return Start(number, epoch, {}, {"a": heard} if heard else {})

    assert consistent({"a": (a(1, 0), a(2, 3)), "b": (b(1, 0), b(5, 3))}) == {"a": 2, "b": 5}
    assert consistent({"a": (a(1, 0), a(2, 3)), "b": (b(1, 0),)}) == {"a": 1, "b": 1}
    assert consistent({"a": (a(1, 0),), "b": (b(1, 0), b(2, 1))}) == {"a": 1, "b": 1}
    assert consistent({"a": (a(2, 3),), "b": (b(1, 0),)}) is None
    assert consistent({"a": (a(1, 3), a(2, 0, 1)), "b": (b(1, 3),)}) == {"a": 1, "b": 1}
    assert consistent({"a": (a(2, 0, 1),), "b": (b(1, 0),)}) is None


def turning(script: Script, role: str) -> Bookkeeper:
    """Who plays three turns, and finds out if somebody remembers what another has forgotten."""
    me = Bookkeeper(role, script, 0)
    me.labels |= {"Note": ["note"] * 3, "Next": ["item"] * 3}
    return me


class Turning(Reborn):
    """Those play."""

    def actor(self, role: str) -> Bookkeeper:
        return turning(self.choreography.script, role)


EACH = 1 if MORE > 1 else 4
"""Of how many moments one is tried."""


@pytest.mark.parametrize(("script", "role"), [(turns(), "worker"), (turns(), "boss"), (goods(), "scale")])
async def test_whenever_somebody_comes_back_all_remember_the_same(script: Script, role: str) -> None:
    choreography = kept(script)
    events = len((await Turning(choreography, 0, delays=AT_ONCE).run()).seen.events)
    restarts = twice = 0
    for at in range(1, events + 1, EACH):
        net = await Turning(choreography, 0, first=role, at=(at, at + 12), lives=3, delays=AT_ONCE).run()
        assert not net.wrongs
        twice += len(net.died) > 1
        net = await Turning(choreography, 0, first=role, at=(at,), delays=AT_ONCE).run()
        assert not net.wrongs
        if any(each.back for decisions in net.decided.values() for each in decisions):
            restarts += 1
            assert {ending.state for ending in net.endings.values()} == {"Done"}
    assert restarts >= 2
    assert twice >= 2


@in_order
async def test_who_has_nothing_to_do_in_the_region_may_be_ahead_too() -> None:
    net = await Turning(kept(turns()), 0, first="worker", at=(12,), delays=AT_ONCE).run()
    last = [each for each in net.seen.events if isinstance(each, Step) and each.epoch == 0]
    assert [each.scene for each in last if each.role == "log"] == ["Note"] * 3
    assert [each.scene for each in last if each.role == "worker"] == ["Give", "Report"] * 2
    assert {ending.state for ending in net.endings.values()} == {"Done"}


@pytest.mark.parametrize(("script", "role"), [(turns(), "worker"), (goods(), "scale")])
async def test_and_so_they_do_with_an_understudy(script: Script, role: str) -> None:
    choreography = kept(script)
    began: set[str] = set()
    for at in range(1, 40, EACH):
        actors = {each: turning(script, each) for each in script.roles}
        watch = Watch()
        understudies = {role: lambda: turning(script, role)}
        play = Play(choreography, actors, tracers=[watch], understudies=understudies)
        watch.todo[at] = partial(play.kill, role)
        async with play:
            with anyio.fail_after(10):
                outcome = await play.ended()
        if watch.epochs:
            began.add(outcome[role].state)
        assert not any(ending.error for ending in outcome.values())
    assert began == {"Done"}
