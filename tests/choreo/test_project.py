"""What each role plays: as many states as there are things to know, with names one can read, and where regions go on."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amachine import Schema
from amachine.choreography.builder import Builder
from amachine.choreography.check import check
from amachine.choreography.diagnostics import Level
from amachine.choreography.inform import auto
from amachine.choreography.knowledge.rehearse import perform, walk
from amachine.choreography.local import LocalMachine
from amachine.choreography.project import project, project_all
from amachine.choreography.script import EXIT, Inform, Script
from tests.choreo.built import pingpong, sendfile, show, two_phase
from tests.choreo.scripts import scripts
from tests.thorough import MORE

EXAMPLES = 40 * MORE


def names(machine: LocalMachine) -> list[str]:
    return [state.name for state in machine.states]


@pytest.mark.parametrize(
    ("script", "sizes"),
    [
        (pingpong(), [3, 3]),
        (sendfile(), [5, 5]),
        (two_phase(bad=EXIT), [5, 4, 4]),
        (two_phase(), [6, 5, 5]),
        (auto(show()), [5, 18, 18, 20]),
    ],
)
def test_each_role_has_as_many_states_as_it_must_tell_apart(script: Script, sizes: list[int]) -> None:
    machines = project_all(script)
    assert [len(machines[role].states) for role in script.roles] == sizes
    assert list(machines) == list(script.roles)
    for machine in machines.values():
        for state, step in machine.edges():
            assert step.next in machine.by_name
            assert not (state.takes and state.gives), "a state acts, waits or ends"


def test_the_states_of_sendfile_are_called_as_the_design_says() -> None:
    machines = project_all(sendfile())
    assert names(machines["sender"]) == ["Size", "Send", "AwaitCheckHash", "AwaitCheckHash_final", "Done"]
    assert names(machines["receiver"]) == ["AwaitSize", "AwaitSend", "CheckHash", "CheckHash_final", "Done"]


def test_what_a_state_says_of_itself_is_true() -> None:
    sender = project(sendfile("Failed"), "sender")
    send, wait = sender.by_name["Send"], sender.by_name["AwaitCheckHash"]
    assert [(give.label, give.to, give.next) for give in send.gives] == [
        ("chunk", ("receiver",), "Send"),
        ("check", ("receiver",), "AwaitCheckHash"),
        ("final", ("receiver",), "AwaitCheckHash_final"),
    ]
    assert send.repeats
    assert not wait.repeats
    assert [(take.peer, take.label, take.next) for take in wait.takes] == [
        ("receiver", "ok", "Send"),
        ("receiver", "failed", "Failed"),
    ]
    assert (wait.scenes, wait.hears) == (("CheckHash[Send, Failed]",), ("receiver",))
    assert wait.needs == {"receiver"}
    done = sender.by_name["Done"]
    assert (done.exits, done.needs, done.ends, done.final) == (("Exit",), frozenset(), True, "Done")
    assert sender.by_name["Failed"].exits == ("Failed",)
    assert sender.by_name["Failed"].final == "Failed"


def test_states_of_one_template_are_told_apart_by_their_casts() -> None:
    alice = names(project(auto(show()), "alice"))
    assert {"Ping_bob", "Ping_charlie", "AwaitBegin_bob", "AwaitBegin_charlie"} <= set(alice)
    assert "Begin" in alice, "where one name is enough nothing is added"


def test_an_inform_is_a_step_without_payload() -> None:
    script = auto(show())
    selector = project(script, "selector")
    state = selector.by_name["AwaitDecide_charlie"]
    assert [(take.label, take.informs, take.next) for take in state.takes] == [
        ("ok", True, "Start"),
        ("failed", True, "Done"),
    ]
    decide = next(state for state in project(script, "charlie").states if state.name == "Decide")
    assert [(give.label, give.to, give.informs) for give in decide.gives] == [
        ("ok", ("alice", "bob"), ("selector",)),
        ("failed", ("alice", "bob"), ("selector",)),
        ("retry", ("alice", "bob"), ()),
    ]


def test_who_cannot_tell_which_exit_it_was_is_done() -> None:
    b = Builder()
    s = b.scene("S", "a").branch("good", to="b").branch("bad", to="b", next="Failed")
    first = b.scene("First", "c").branch("go", to=("a", "b"), next=s)
    machines = project_all(b.script("x", first, roles="abc", exits=("Exit", "Failed")))
    assert names(machines["c"]) == ["First", "Done"]
    assert machines["c"].by_name["Done"].exits == ("Exit", "Failed")
    assert names(machines["a"]) == ["AwaitFirst", "S", "Done", "Failed"]


def test_who_has_no_part_in_a_loop_is_done_though_it_never_ends() -> None:
    b = Builder()
    loop = b.scene("Loop", "a")
    loop.branch("again", to="b", next=loop)
    script = b.script("x", b.scene("Go", "c").branch("go", to="a", next=loop), roles="abc", endless=True)
    (_, done) = project(script, "c").states
    assert (done.name, done.exits, done.ends) == ("Done", (), True)
    assert not [each for each in check(script) if each.level is Level.ERROR]


def test_a_decision_of_ones_own_can_be_seen_by_oneself_alone() -> None:
    b = Builder()
    coin = b.scene("Coin", "a")
    heads = b.scene("Heads", "a").branch("won", to="b")
    coin.branch("heads", next=heads).branch("tails", next=coin)
    machines = project_all(b.script("x", coin, roles="ab"))
    assert [(give.label, give.to) for give in machines["a"].start.gives] == [("heads", ()), ("tails", ())]
    assert names(machines["b"]) == ["AwaitHeads", "Done"]


def test_no_state_is_called_like_one_of_the_engines() -> None:
    b = Builder()
    closing = b.scene("Closing", "a").branch("x", to="b", next="Exit")
    peer = b.scene("bUp", "a").branch("x", to="b", next=closing)
    done = b.scene("Done", "a").branch("x", to="b", next=peer)
    assert names(project(b.script("x", done, roles="ab"), "a")) == [
        "DoneScene",
        "bUpScene",
        "ClosingScene",
        "Done",
    ]


def test_names_differ_beyond_case_and_underscores_and_are_identifiers() -> None:
    b = Builder()
    last = b.scene("x y", "a").branch("it's", to="b")
    second = b.scene("X_Y", "a").branch("b", to="b", next=last)
    first = b.scene("xy", "a").branch("a", to="b", next=second)
    found = names(project(b.script("x", first, roles="ab"), "a"))
    assert found == ["xy", "X_Y_a", "x_y_b", "Done"]
    assert all(name.isidentifier() for name in found)


def test_patience_is_that_of_the_most_lenient_scene() -> None:
    b = Builder()
    end = b.scene("End", "b", patience=9.0).branch("end", to="c")
    s = b.scene("S", "a", patience=3.0).branch("go", to="b", next=end)
    script = b.script("x", s, roles="abc")
    assert [project(script, role).start.patience for role in "abc"] == [3.0, 3.0, 9.0]
    lenient = attrs.evolve(
        script, scenes={**script.scenes, "S": attrs.evolve(script.scenes["S"], patience=None)}
    )
    assert [project(lenient, role).start.patience for role in "abc"] == [None, None, None]


# Regions.


def regional(*, restart: bool = False) -> Script:
    b = Builder()
    refund = b.scene("Refund", "shop").branch("refund", to="buyer")
    sorry = b.scene("Sorry", "shop").branch("sorry", to="buyer", next="Failed")
    b.region("Order", {"bank": sorry}, restart=restart)
    b.region("Pay", {"bank": refund, "buyer": "Exit"}, parent="Order", restart=restart)
    paid = b.scene("Paid", "bank", region="Pay").branch("paid", to="shop")
    charge = b.scene("Charge", "shop", region="Pay").branch("charge", to="bank", next=paid)
    order = b.scene("Take", "buyer", region="Order").branch("order", to="shop", next=charge)
    order.branch("nothing", to=("shop", "bank"))
    return b.script("x", order, roles=("buyer", "shop", "bank"), exits=("Exit", "Failed"))


def test_a_role_knows_its_regions_and_where_it_goes_on_without_another() -> None:
    shop = project(regional(), "shop")
    assert [(state.name, state.regions) for state in shop.states[:3]] == [
        ("AwaitTake", ("Order",)),
        ("Charge", ("Pay", "Order")),
        ("Done", ()),
    ]
    assert shop.recover == {("Order", "bank"): "Sorry", ("Pay", "bank"): "Refund", ("Pay", "buyer"): "Done"}
    assert shop.by_name["Refund"].regions == ()
    assert project(regional(), "bank").recover == {("Pay", "buyer"): "Done"}
    assert project(regional(), "buyer").recover == {
        ("Order", "bank"): "AwaitSorry",
        ("Pay", "bank"): "AwaitRefund",
    }


def test_needs_are_those_of_all_that_can_follow() -> None:
    script = regional()
    assert [project(script, role).start.needs for role in script.roles] == [
        {"shop", "bank"},
        {"buyer", "bank"},
        {"shop", "buyer"},
    ]
    assert project(script, "shop").by_name["Charge"].needs == {"bank"}


def test_a_recovery_keeps_its_informs_but_to_who_was_lost() -> None:
    b = Builder()
    again = b.scene("Again", "shop").branch("yes", to="buyer").branch("no", to="buyer")
    first = b.scene("First", "shop").branch("first", to="buyer", next=again)
    b.region("Pay", {"bank": "First"})
    charge = b.scene("Charge", "shop", region="Pay").branch("charge", to=("bank", "buyer"), next=first)
    told = (Inform("Again", "yes", "bank"), Inform("Again", "no", "bank"))
    script = b.script("x", charge, roles=("buyer", "shop", "bank"), informs=told)
    shop = project(script, "shop")
    assert [give.informs for give in shop.by_name["Again"].gives] == [("bank",), ("bank",)]
    assert shop.recover == {("Pay", "bank"): "First_lost_bank"}, "it looks the same, but what follows differs"
    (give,) = shop.by_name["First_lost_bank"].gives
    assert [give.informs for give in shop.by_name[give.next].gives] == [(), ()]
    buyer = project(script, "buyer")
    assert buyer.recover == {("Pay", "bank"): "AwaitFirst"}, "what is the same from then on is one state"


def test_a_region_that_starts_again_has_everybody_at_its_first_scene() -> None:
    script = regional(restart=True)
    assert [project(script, role).restart for role in script.roles] == [
        {"Order": "Take", "Pay": "Done"},
        {"Order": "AwaitTake", "Pay": "Charge"},
        {"Order": "AwaitTake_Charge", "Pay": "AwaitCharge"},
    ]


def test_who_cannot_tell_where_a_region_begins_can_go_back_there_all_the_same() -> None:
    """Before, c waits for either scene; after a restart it knows more, and waits for one."""
    b = Builder()
    b.region("Pay", {}, restart=True)
    pay = b.scene("Inside", "a", region="Pay").branch("in", to=("b", "c"))
    out = b.scene("Outside", "a").branch("out", to=("b", "c"))
    s = b.scene("S", "a").branch("in", to="b", next=pay).branch("out", to="b", next=out)
    c = project(b.script("x", s, roles="abc"), "c")
    assert c.start.name == "AwaitInside_Outside"
    assert c.start.regions == ("Pay",)
    assert c.restart == {"Pay": "AwaitInside"}
    assert [take.scene for take in c.by_name["AwaitInside"].takes] == ["Inside"]


# All scripts.


def test_a_script_is_projected_once() -> None:
    assert project_all(pingpong())["alice"] is project(pingpong(), "alice")


def test_a_role_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(
        LookupError, match="pingpong has no role alise \\(did you mean 'alice'\\?\\); there are: alice, bob"
    ):
        project(pingpong(), "alise")


@given(scripts(informs=True, regions=True))
@settings(max_examples=EXAMPLES, deadline=None)
def test_of_any_script_names_are_fit_for_a_schema_and_states_are_few(script: Script) -> None:
    for machine in project_all(script).values():
        Schema.parse({name: {} for name in names(machine)})
        ways = 1 + sum(len(region.on_lost) for region in script.regions.values())
        assert len(machine.states) <= ways * (len(script.scenes) + len(script.exits))
        assert set(machine.recover.values()) <= set(names(machine))


@given(scripts(), st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES, deadline=None)
def test_roles_see_the_same_as_if_one_program_played_all(script: Script, random: Random) -> None:
    script = auto(script)
    order = {
        scene.id: random.sample([b.label for b in scene.branches], len(scene.branches))
        for scene in script.scenes.values()
    }

    def choose(scene: str, times: int) -> str:
        labels = order[scene]
        return "a" if times > 3 else labels[times % len(labels)]

    central = walk(script, choose)
    assert central.over
    for bound in (1, 3):
        played = perform(project_all(script), choose, random.randrange, bound=bound)
        assert played == central
