"""Who is told of choices: those who need it and no others, the same in every process, and whatever was pinned stays."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from random import Random

import attrs
import pytest
from hypothesis import given, settings

from amachine.choreography import inform
from amachine.choreography.builder import Builder
from amachine.choreography.check import check
from amachine.choreography.diagnostics import Level
from amachine.choreography.exploring import explore
from amachine.choreography.inform import auto, decide, everything, frequencies
from amachine.choreography.knowledge.plot import Plot
from amachine.choreography.project import project_all
from amachine.choreography.script import Inform, Script
from tests.choreo.built import pingpong, sendfile, show, two_phase
from tests.choreo.scripts import by_lot, scripts
from tests.thorough import MORE

EXAMPLES = 40 * MORE


def sound(script: Script) -> bool:
    return not any(each.level is Level.ERROR for each in check(script))


def cost(script: Script) -> float:
    often = frequencies(script)
    return sum(often[each.scene, each.label] for each in script.informs)


def test_auto_tells_the_selector_of_the_show_six_things() -> None:
    script = auto(show())
    assert {(each.scene.partition("[")[0], each.label, each.role) for each in script.informs} == {
        ("Decide", "ok", "selector"),
        ("Decide", "failed", "selector"),
    }
    assert len(script.informs) == 6
    assert sound(script)


def test_auto_adds_nothing_where_nothing_is_needed() -> None:
    for script in (pingpong(), sendfile(), two_phase()):
        assert auto(script) == script


def test_the_policies() -> None:
    assert decide(show(), "declared") == show()
    assert decide(show(), "auto") == auto(show())
    whole = decide(show(), "all")
    assert whole == everything(show())
    assert len(whole.informs) == 29
    assert not any(each.scene.startswith(("Pong", "Begin", "Vote")) for each in whole.informs), (
        "one branch is no choice"
    )
    assert cost(auto(show())) < cost(whole) / 2


def test_what_is_pinned_stays_and_may_make_others_needless() -> None:
    b = Builder()
    t = b.scene("T", "c").branch("data", int, to="b")
    s = b.scene("S", "a").branch("yes", to="b", next=t).branch("no", to="b")
    free = b.script("x", s, roles="abc")
    pinned = Inform("T", "data", "a")
    assert auto(free).informs == (Inform("S", "no", "c"), Inform("S", "yes", "c"))
    assert auto(attrs.evolve(free, informs=(pinned,))).informs == (*auto(free).informs, pinned)
    again = auto(auto(show()))
    assert again == auto(show()), "what it found can be pinned, and nothing changes"


def small(count: int) -> Iterator[Script]:
    """Unsound scripts in which so little could be told that every choice can be tried."""
    lot = Random(7)
    for _ in range(count):
        script = by_lot(lot, roles=3, scenes=4)
        while sound(script) or not 2 <= len(everything(script).informs) <= 6:
            script = by_lot(lot, roles=3, scenes=4)
        yield script


@pytest.mark.parametrize("counted", [False, True], ids=["by weights", "by a profile"])
def test_of_small_scripts_nothing_cheaper_can_be_found_by_trying_all(counted: bool) -> None:
    for script in small(10 * MORE):
        keys = sorted(frequencies(script))
        profile = {key: float(1 + (5 * at) % 7) for at, key in enumerate(keys)} if counted else None
        prices = profile or frequencies(script)

        def price(informs: Iterable[Inform], prices: Mapping[tuple[str, str], float] = prices) -> float:
            return sum(prices[each.scene, each.label] for each in informs)

        whole = everything(script).informs
        sets = (kept for count in range(len(whole)) for kept in combinations(whole, count))
        dearer = price(auto(script, profile=profile).informs) - 1e-6
        cheaper = [kept for kept in sets if price(kept) < dearer]
        assert not any(sound(attrs.evolve(script, informs=kept)) for kept in cheaper)


def test_a_loop_that_need_not_be_heard_costs_an_outsider_nothing() -> None:
    b = Builder()
    loop, t = b.scene("Loop", "a"), b.scene("T", "c").branch("t", to=("a", "b"))
    loop.branch("again", to="b", next=loop, weight=9.0).branch("left", to="b", next=t).branch("right", to="b")
    script = b.script("x", loop, roles="abc")
    assert auto(script).informs == (Inform("Loop", "left", "c"), Inform("Loop", "right", "c"))


def test_recoveries_are_told_what_they_need_and_the_lost_nothing() -> None:
    b = Builder()
    thank = b.scene("Thank", "carol").branch("thanks", to="bob")
    refund = b.scene("Refund", "bob").branch("refund", next=thank).branch("keep")
    b.region("Pay", {"bank": refund})
    pay = b.scene("Charge", "bob", region="Pay").branch("charge", to=("bank", "carol"))
    script = auto(b.script("x", pay, roles=("bob", "bank", "carol")))
    assert script.informs == (Inform("Refund", "keep", "carol"), Inform("Refund", "refund", "carol"))
    assert not any(each.role == "bank" for each in everything(script).informs)
    assert sound(script)


def test_who_is_spared_a_frame_must_not_race_anybody_else() -> None:
    """Role r3 could do without S1.a; but then it would be quicker than r2 is to r0."""
    b = Builder()
    s0, s1, s2 = b.scene("S0", "r1"), b.scene("S1", "r2"), b.scene("S2", "r3")
    s0.branch("a", to="r3", next=s2).branch("b", to="r2", next=s1)
    s2.branch("a", to=("r0", "r1", "r2"))
    s1.branch("a", to="r0", next=s2).branch("b", to=("r0", "r1"), next=s1)
    pinned = (Inform("S0", "b", "r3"),)
    script = auto(b.script("x", s0, roles=("r0", "r1", "r2", "r3"), informs=pinned))
    assert sound(script)
    assert explore(project_all(script)).clean


def test_goodbyes_spare_frames() -> None:
    b = Builder()
    t = b.scene("T", "b").branch("data", int, to="c")
    s = b.scene("S", "a").branch("yes", to="b", next=t).branch("no", to="b")
    script = b.script("x", s, roles="abc")
    assert len(auto(script).informs) == 1
    assert not auto(attrs.evolve(script, closing=True)).informs


def test_the_choice_is_the_same_in_every_process() -> None:
    code = """
from tests.choreo.built import show
from amachine.choreography.inform import auto
print(*auto(show()).informs, sep="\\n")
"""
    env = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines() == [str(each) for each in auto(show()).informs]


def test_a_big_script_is_repaired_within_a_budget() -> None:
    from bench.choreo_check import big

    script = big(3)
    assert not sound(script)
    better = auto(script)
    assert sound(better)
    assert len(better.informs) < len(everything(script).informs) / 4


def test_a_script_full_of_races_is_repaired_within_the_budget_and_stays_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lot = Random(1)
    cast = [f"r{at}" for at in range(6)]
    b = Builder()
    for at in range(60):
        sender, *others = lot.sample(cast, len(cast))
        scene = b.scene(f"S{at}", sender)
        for label in "ab":
            to = others[: lot.choice([1, 1, 2, 3])]
            next = f"S{at + 1}" if label == "a" else f"S{lot.randrange(60)}"
            scene.branch(label, to=to, next=next if next != "S60" else "Exit")
    script = b.script("racing", "S0", roles=cast)
    taken = 0
    spend = Plot.spend

    def counted(plot: Plot, steps: int) -> None:
        nonlocal taken
        taken += steps
        spend(plot, steps)

    monkeypatch.setattr(Plot, "spend", counted)
    monkeypatch.setattr(inform, "_BUDGET", 60_000)
    told = auto(script)
    assert 30_000 < taken < 70_000
    assert sound(told)


# Frequencies.


def test_frequencies_are_those_of_the_chain_of_weights() -> None:
    b = Builder()
    s, t = b.scene("S", "a"), b.scene("T", "b")
    s.branch("on", to="b", next=t, weight=3.0).branch("stop", to="b")
    t.branch("back", to="a", next=s)
    often = frequencies(b.script("x", s, roles="ab"))
    assert {key: round(value, 9) for key, value in often.items()} == {
        ("S", "on"): 3,
        ("S", "stop"): 1,
        ("T", "back"): 3,
    }


def test_frequencies_of_the_show_add_up() -> None:
    script = show()
    often = frequencies(script)
    ends = sum(
        value for (scene, label), value in often.items() if script.scenes[scene].branch(label).next == "Exit"
    )
    assert math.isclose(ends, 1.0)
    for scene in script.scenes:
        into = sum(often[each.id, branch.label] for each, branch in script.branches() if branch.next == scene)
        out = sum(value for (id, _), value in often.items() if id == scene)
        assert math.isclose(into + (scene == script.start), out, rel_tol=1e-9)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)])
def test_what_never_ends_has_frequencies_all_the_same(weights: tuple[float, float]) -> None:
    b = Builder()
    s, t = b.scene("S", "a"), b.scene("T", "b")
    s.branch("on", to="b", next=t, weight=weights[0]).branch("over", to="b", next=t, weight=weights[1])
    t.branch("back", to="a", next=s)
    often = frequencies(b.script("x", s, roles="ab", endless=True))
    assert often["T", "back"] > 400
    assert math.isclose(often["S", "on"] + often["S", "over"], often["T", "back"], rel_tol=0.01)


# Random scripts.


@given(scripts(informs=True))
@settings(max_examples=EXAMPLES, deadline=None)
def test_auto_makes_any_script_sound_and_no_frame_of_it_can_be_left_out(script: Script) -> None:
    better = auto(script)
    assert sound(better)
    assert set(script.informs) <= set(better.informs)
    report = explore(project_all(better), bound=2, limit=1500)
    assert report.clean, report
    for each in set(better.informs) - set(script.informs):
        fewer = attrs.evolve(better, informs=tuple(other for other in better.informs if other != each))
        assert not sound(fewer), each


@given(scripts(regions=True))
@settings(max_examples=EXAMPLES // 2, deadline=None)
def test_auto_makes_recoveries_sound_too(script: Script) -> None:
    better = auto(script)
    assert sound(better)
    for region in better.regions.values():
        for lost, goes_to in region.on_lost:
            assert explore(project_all(better.without(lost, goes_to)), limit=1500).clean
