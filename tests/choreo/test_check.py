"""What roles must know: each condition has a script that breaks it, told with two runs; and what is accepted plays to its end."""

from __future__ import annotations

import linecache
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings

from amachine.choreography.builder import Builder
from amachine.choreography.check import check, knowledge
from amachine.choreography.diagnostics import Diagnostic, Level
from amachine.choreography.exploring import explore
from amachine.choreography.inform import everything
from amachine.choreography.project import project_all
from amachine.choreography.script import Inform, Script
from tests.choreo.built import pingpong, sendfile, show, two_phase
from tests.choreo.scripts import scripts
from tests.thorough import MORE

EXAMPLES = 60 * MORE


UNTOLD = (
    "c does not learn a choice it needs: it must send T.data after a->b: S.yes but not after a->b: S.no; "
    "in both runs it saw only: nothing"
)


def errors(script: Script) -> list[Diagnostic]:
    return [each for each in check(script) if each.level is Level.ERROR]


def untold() -> Script:
    b = Builder()
    t = b.scene("T", "c").branch("data", int, to="b")
    s = b.scene("S", "a").branch("yes", to="b", next=t).branch("no", to="b")
    return b.script("x", s, roles="abc")


def mixed() -> Script:
    b = Builder()
    begin = b.scene("Begin", "alice").branch("begin", to=("selector", "charlie"))
    co = b.scene("Co", "charlie").branch("charlie_co", to=("alice", "selector"))
    start = b.scene("Start", "selector").branch("alice_leads", to="charlie", next=begin)
    start.branch("charlie_leads", to="charlie", next=co)
    return b.script("x", start, roles=("selector", "alice", "charlie"))


def endless_wait() -> Script:
    b = Builder()
    t = b.scene("T", "b").branch("data", int, to="c")
    s = b.scene("S", "a").branch("yes", to="b", next=t).branch("no", to="b")
    return b.script("x", s, roles="abc")


def race() -> Script:
    b = Builder()
    x1, k1 = b.scene("X", "b"), b.scene("K", "a")
    k1.branch("k", to="carol", next=x1).branch("end", to=("carol", "b"))
    x1.branch("m", to="carol", next=k1).branch("end", to=("carol", "a"))
    s = b.scene("S", "a").branch("x", to="b", next=x1).branch("k", to="b", next=k1)
    return b.script("x", s, roles=("a", "b", "carol"))


def two_starts() -> Script:
    b = Builder()
    begin = b.scene("Begin", "bob").branch("m", to=("a", "c"))
    close = b.scene("Close", "bob").branch("m", to=("a", "c"))
    s = b.scene("S", "a").branch("begin", to="c", next=begin).branch("close", to="c", next=close)
    return b.script("x", s, roles=("a", "bob", "c"))


def diamond() -> Script:
    b = Builder()
    end = b.scene("End", "d").branch("end", to=("b", "c"))
    left = b.scene("Left", "b").branch("m", to="d", next=end)
    right = b.scene("Right", "c").branch("m", to="d", next=end)
    s = b.scene("S", "a").branch("left", to="b", next=left).branch("right", to="c", next=right)
    return b.script("x", s, roles="abcd")


@pytest.mark.parametrize(
    ("made", "code", "role", "text", "hint", "line", "witness"),
    [
        (
            untold, "AMC401", "c",
            UNTOLD,
            "inform c of S.no and of S.yes (2 frames)", "t = b.scene(", (("a->b: S.yes",), ("a->b: S.no",)),
        ),
        (
            mixed, "AMC402", "alice",
            "alice may both send Begin.begin and wait for Co.charlie_co here; it cannot know which: it saw only: nothing",
            "inform alice of Start.alice_leads (1 frame)", "begin = b.scene(",
            (("selector->charlie: Start.alice_leads", "alice->selector,charlie: Begin.begin"),
             ("selector->charlie: Start.charlie_leads", "charlie->alice,selector: Co.charlie_co")),
        ),
        (
            endless_wait, "AMC403", "c",
            "c cannot tell that the choreography ended after a->b: S.no; it still waits for [T.data]",
            "inform c of S.no (1 frame)", "t = b.scene(", (("a->b: S.yes",), ("a->b: S.no",)),
        ),
        (
            race, "AMC404", "carol",
            "carol may take K.k of a while X.m of b is already waiting; it cannot know which is first: it saw only: nothing",
            "inform carol of S.x (1 frame)", "x1.branch(",
            (("a->b: S.x", "b->carol: X.m", "a->carol: K.k"), ("a->b: S.k", "a->carol: K.k")),
        ),
        (
            two_starts, "AMC405", "bob",
            "bob could start Begin or Close here; one sender scene at a time: it saw only: nothing",
            "inform bob of S.close and of S.begin (2 frames)", "begin = b.scene(",
            (("a->c: S.begin", "bob->a,c: Begin.m"), ("a->c: S.close", "bob->a,c: Close.m")),
        ),
    ],
)  # fmt: skip
def test_a_lack_of_knowledge_is_told_with_two_runs(
    made: Callable[[], Script],
    code: str,
    role: str,
    text: str,
    hint: str,
    line: str,
    witness: tuple[tuple[str, ...], ...],
) -> None:
    script = made()
    found = next(each for each in errors(script) if each.code == code and each.role == role)
    assert (found.text, found.hint, found.witness) == (text, hint, witness)
    assert found.file == __file__
    assert found.line is not None
    assert line in linecache.getline(__file__, found.line)
    assert not explore(project_all(script)).clean, "and it is no false alarm"


def test_who_waits_while_others_go_on_for_ever_without_it_cannot_tell_that_either() -> None:
    b = Builder()
    loop = b.scene("Loop", "a")
    loop.branch("again", to="b", next=loop)
    t = b.scene("T", "b").branch("data", to="c")
    s = b.scene("S", "a").branch("on", to="b", next=loop).branch("data", to="b", next=t)
    script = b.script("x", s, roles="abc", endless=True)
    for closing in (False, True):
        (found,) = errors(attrs.evolve(script, closing=closing))
        assert (
            found.text == "c cannot tell that its part is over after a->b: S.on; it still waits for [T.data]"
        )
        assert found.hint == "inform c of S.on (1 frame)"


def test_the_hint_mends_it() -> None:
    for script, informs in (
        (untold(), [Inform("S", "no", "c"), Inform("S", "yes", "c")]),
        (endless_wait(), [Inform("S", "no", "c")]),
        (mixed(), [Inform("Start", "alice_leads", "alice")]),
    ):
        assert not errors(attrs.evolve(script, informs=tuple(informs)))


def test_one_frame_less_than_the_hint_is_not_enough() -> None:
    for label in ("no", "yes"):
        assert errors(attrs.evolve(untold(), informs=(Inform("S", label, "c"),)))


def test_the_outsider_of_the_show_is_told_what_it_lacks() -> None:
    (found,) = errors(show())
    assert (found.code, found.role, found.scene) == ("AMC401", "selector", "Start")
    assert [run[-1] for run in found.witness] == [
        "charlie->alice,bob: Decide.ok",
        "charlie->alice,bob: Decide.failed",
    ]
    assert "it saw only: selector->charlie,alice,bob: Start.charlie_leads" in found.text
    decide = "Decide[charlie, alice, bob, Start, Exit]"
    names = f"{decide}.failed and of {decide}.ok"
    assert f'inform selector of {names} (2 frames; more is needed, which inform="auto"' in found.hint


def test_a_branch_that_an_outsider_does_not_need_is_accepted() -> None:
    """The diamond: who hears from whom tells enough. Troupe and full merge refuse it."""
    assert not check(diamond())
    assert explore(project_all(diamond())).clean


def test_only_the_first_frame_of_a_channel_can_race() -> None:
    """In the run `two`, what r could take for a frame of the run `one` lies behind another one of the same sender."""
    b = Builder()
    last = b.scene("A", "p").branch("m", to="r")
    between = b.scene("X", "p").branch("x", to="r", next=last)
    two = b.scene("B", "q").branch("n", to=("r", "p"), next=between)
    s = b.scene("S", "d").branch("one", to=("p", "q"), next=last).branch("two", to=("p", "q"), next=two)
    script = b.script("x", s, roles="dpqr")
    assert not errors(script)
    report = explore(project_all(script), bound=2)
    assert report.clean
    assert report.early is not None


def test_examples_that_need_nothing_are_accepted() -> None:
    for script in (pingpong(), sendfile(), two_phase()):
        assert not errors(script)


# Recoveries.


def recovered(*, told: bool = True) -> Script:
    """Bank is lost, and bob refunds or not; carol has to hear of it."""
    b = Builder()
    thank = b.scene("Thank", "carol").branch("thanks", to="bob")
    refund = b.scene("Refund", "bob")
    refund.branch("refund", to="carol" if told else (), next=thank).branch("keep", to="carol" if told else ())
    b.region("Pay", {"bank": refund})
    pay = b.scene("Charge", "bob", region="Pay").branch("charge", to=("bank", "carol"))
    return b.script("x", pay, roles=("bob", "bank", "carol"))


def test_a_recovery_is_checked_like_any_script_and_named() -> None:
    assert not errors(recovered())
    found = errors(recovered(told=False))
    assert [each.code for each in found] == ["AMC401"]
    assert found[0].text.endswith("(when bank is lost in Pay)")


def test_who_is_through_before_a_region_is_over_is_warned_of() -> None:
    b = Builder()
    refund = b.scene("Refund", "bob").branch("refund", to="carol")
    b.region("Pay", {"bank": refund})
    late = b.scene("Late", "bob", region="Pay").branch("late", to="bank")
    early = b.scene("Early", "bob", region="Pay").branch("early", to=("carol", "bank"), next=late)
    (found,) = check(b.script("x", early, roles=("bob", "bank", "carol")))
    assert (found.code, found.level, found.role) == ("AMC118", Level.WARNING, "carol")
    assert found.text.startswith(
        "carol may be through before Pay is over, but has a part in what follows when bank is lost"
    )


def booking(*, decides_inside: bool, lost: str = "k", waits: bool = True) -> Script:
    """Two voters and who decides. Those of a region roll back when somebody is lost."""
    b = Builder()
    b.region("Open", {lost: "RolledBack"})
    decide = b.scene("Decide", "k", region="Open" if decides_inside else None)
    decide.branch("commit", to=("a", "b") if waits else "a", next="Committed" if waits else "RolledBack")
    decide.branch("abort", to=("a", "b") if waits else "a", next="RolledBack")
    vote = b.scene("VoteB", "b", region="Open").branch("vote", bool, to="k", next=decide)
    first = b.scene("VoteA", "a", region="Open").branch("vote", bool, to="k", next=vote)
    return b.script("booking", first, roles=("k", "a", "b"), exits=("Exit", "Committed", "RolledBack"))


def test_roles_that_may_part_in_different_ways_after_a_loss_are_warned_of() -> None:
    (found,) = (each for each in check(booking(decides_inside=True)) if each.code == "AMC119")
    assert (found.level, found.role, found.scene) == (Level.WARNING, "a", "Decide")
    assert found.text == (
        "if k is lost before everybody has heard of Decide.commit (a, b), those who have not go on from Open to RolledBack, "
        "though others may come to Committed"
    )


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(booking(decides_inside=False), id="the region ends before the decision"),
        pytest.param(booking(decides_inside=True, waits=False), id="all ways lead to one exit"),
        pytest.param(booking(decides_inside=True, lost="b"), id="nobody waits for who is lost"),
    ],
)
def test_roles_that_go_the_same_way_after_a_loss_are_not_warned_of(script: Script) -> None:
    assert not [each for each in check(script) if each.code == "AMC119"]


# Goodbyes.


def test_goodbyes_tell_of_the_end() -> None:
    script = attrs.evolve(endless_wait(), closing=True)
    assert not errors(script)
    assert explore(project_all(script), closing=True).clean
    assert project_all(script)["c"].by_name["Done"].ends


def test_a_circle_of_goodbyes_is_found() -> None:
    b = Builder()
    x, y = b.scene("X", "b").branch("x", to="c"), b.scene("Y", "c").branch("y", to="b")
    s = b.scene("S", "a").branch("x", to="d", next=b.scene("S2", "d").branch("go", to="b", next=x))
    s.branch("y", to="d", next=b.scene("S3", "d").branch("go", to="c", next=y)).branch("end", to="d")
    script = b.script("x", s, roles="abcd", closing=True)
    (found,) = errors(script)
    assert found.code == "AMC406"
    assert found.text == "at Exit, b waits for c waits for b to say goodbye: none of them would"
    assert explore(project_all(script), closing=True).deadlock is not None


# Running ahead.


@pytest.mark.parametrize(
    ("script", "senders"),
    [(pingpong(), set[str]()), (two_phase(), set[str]()), (sendfile(), {"sender"}), (diamond(), set[str]())],
)
def test_who_need_not_wait_in_a_loop_is_noted(script: Script, senders: set[str]) -> None:
    notes = [each for each in check(script) if each.code == "AMC120"]
    assert {each.role for each in notes} == senders
    assert all(each.level is Level.NOTE for each in notes)


def test_news_may_come_back_by_others() -> None:
    """Role a tells b, b tells c, c tells a: nobody runs ahead. Where c tells nobody, both others may."""
    for back, ahead in (("a", set[str]()), ((), {"a", "b"})):
        b = Builder()
        first, second, third = b.scene("A", "a"), b.scene("B", "b"), b.scene("C", "c")
        first.branch("on", to="b", next=second).branch("stop", to=("b", "c"))
        second.branch("on", to="c", next=third)
        third.branch("on", to=back, next=first)
        notes = [each for each in knowledge(b.script("x", first, roles="abc")) if each.code == "AMC120"]
        assert {each.role for each in notes} == ahead


def test_a_loop_in_which_two_loops_meet_is_no_excuse() -> None:
    """Role a waits for b in one loop; in another it waits for nobody."""
    b = Builder()
    s, answer = b.scene("S", "a"), b.scene("Answer", "b")
    s.branch("ask", to=("b", "c"), next=answer).branch("tell", to=("b", "c"), next=s).branch(
        "stop", to=("b", "c")
    )
    answer.branch("yes", to="a", next=s)
    (note,) = (
        each for each in check(b.script("x", s, roles="abc")) if each.code == "AMC120" and each.role == "a"
    )
    assert note.text == (
        "a can run ahead of b by S.tell: nothing in that loop makes it wait; bounded by channel capacity"
    )
    assert note.hint == "if it should wait, let b answer in that loop"


def test_a_barrier_is_advised_only_where_it_lets_the_sender_wait() -> None:
    """Role a tells b, b tells c: only b could say when a may go on. With the barrier that is advised, it does."""

    def notes(*, held: bool) -> list[Diagnostic]:
        b = Builder()
        first, second = b.scene("First", "a"), b.scene("Second", "b")
        first.branch("on", to="b", next=second).branch("stop", to=("b", "c"))
        barrier = b.scene("Barrier", "b").branch("done", to="a", next=first)
        second.branch("on", to="c", next=barrier if held else first)
        found = knowledge(b.script("x", first, roles="abc"))
        return [each for each in found if each.code == "AMC120" and each.role == "a"]

    (note,) = notes(held=False)
    assert note.hint == "a Barrier before First, behind Second.on, lets it wait"
    assert not [each for each in notes(held=True) if each.text.startswith("a can run ahead of b")]


# Random scripts.


@given(scripts(informs=True))
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_is_accepted_plays_to_its_end_at_any_bound(script: Script) -> None:
    if not errors(script):
        for bound in (1, 2, 3):
            report = explore(project_all(script), bound=bound, limit=1500)
            assert report.clean, report


@given(scripts(roles=3, scenes=4, ending=False))
@settings(max_examples=EXAMPLES // 2, deadline=None)
def test_everybody_told_of_everything_is_always_accepted(script: Script) -> None:
    whole = everything(script)
    assert not errors(whole)
    report = explore(project_all(whole), limit=1500)
    assert report.clean, report


@given(scripts(informs=True))
@settings(max_examples=EXAMPLES // 3, deadline=None)
def test_goodbyes_that_are_accepted_end_every_role(script: Script) -> None:
    closing = attrs.evolve(script, closing=True)
    if not errors(closing):
        report = explore(project_all(closing), limit=1500, closing=True)
        assert report.clean, report


@given(scripts(regions=True, informs=True))
@settings(max_examples=EXAMPLES // 3, deadline=None)
def test_recoveries_that_are_accepted_play_to_their_end(script: Script) -> None:
    if not errors(script):
        for region in script.regions.values():
            for lost, goes_to in region.on_lost:
                report = explore(project_all(script.without(lost, goes_to)), limit=1500)
                assert report.clean, report


def test_of_very_many_faults_only_the_first_are_told_with_the_frames_that_mend_them() -> None:
    """Each such hint is tried over the whole script: hundreds of them would take minutes."""
    b = Builder()
    scenes = [b.scene(f"S{at}", "alice") for at in range(60)]
    for at, scene in enumerate(scenes):
        after = b.scene(f"T{at}", "carol").branch("on", to="bob", next=scenes[at + 1] if at < 59 else "Exit")
        scene.branch("on", to="bob", next=after).branch("off", to="bob", next=f"T{at}x")
        b.scene(f"T{at}x", "bob").branch("on", to="carol", next="Exit")
    found = knowledge(b.script("many", scenes[0], roles=["alice", "bob", "carol"]))
    named = [each.code for each in found if each.hint.startswith("inform ")]
    general = [each.code for each in found if each.hint.startswith("let everybody")]
    assert 0 < len(named) <= 30
    assert general
    assert all(each.witness for each in found if each.level is Level.ERROR)


def test_of_a_role_with_very_many_faults_the_first_hundred_are_told_and_that_there_may_be_more() -> None:
    b = Builder()
    scenes = [b.scene(f"S{at}", "alice") for at in range(150)]
    for at, scene in enumerate(scenes):
        after = b.scene(f"T{at}", "carol").branch("on", to="bob", next=scenes[at + 1] if at < 149 else "Exit")
        scene.branch("on", to="bob", next=after).branch("off", to="bob", next=f"T{at}x")
        b.scene(f"T{at}x", "bob").branch("on", to="carol", next="Exit")
    found = knowledge(b.script("many", scenes[0], roles=["alice", "bob", "carol"]))
    assert [(each.level, each.role) for each in found if each.code == "AMC407"] == [(Level.NOTE, "carol")]
    errors = [each for each in found if each.level is Level.ERROR and each.role == "carol"]
    assert 20 < len(errors) <= 100
