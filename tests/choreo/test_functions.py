"""Script functions: what they become, and that they play as they are written."""

from __future__ import annotations

import copy
import inspect
import pickle
import random
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from amachine.choreography.canonical import fingerprint
from amachine.choreography.exploring import explore
from amachine.choreography.functions.scripted import NotCalled, ScriptFunction, choreography
from amachine.choreography.playing.endings import Outcome
from amachine.choreography.playing.rows import recoder
from amachine.choreography.playing.stage import Stage
from amachine.choreography.project import project_all
from amachine.choreography.wire.codec import STANDARD
from tests.choreo import functions_plays as plays
from tests.choreo.test_functions_mistakes import COMMON, written

Any_ = ScriptFunction[..., Any]


async def played(script: Any_, cast: Mapping[Any, Any], **options: Any) -> Outcome:
    return await script.run_local(cast, **options)


# The four examples.

FIGURES = [(plays.pingpong, 3, 1), (plays.two_phase, 5, 4), (plays.sendfile, 4, 2), (plays.show, 31, 25)]


@pytest.mark.parametrize(("script", "scenes", "informs"), FIGURES)
def test_each_example_is_as_small_as_it_should_be_and_cannot_hang(
    script: Any_, scenes: int, informs: int
) -> None:
    assert script.check() == script.warnings
    assert [each.code for each in script.check() if each.level == "error"] == []
    assert (len(script.script.scenes), len(script.informs)) == (scenes, informs)
    report = explore(project_all(script.script), bound=2, limit=2000)
    assert report.complete
    assert report.clean


def test_a_scene_is_named_after_what_is_said_in_it_and_by_whom_where_that_is_not_enough() -> None:
    scenes = plays.two_phase.script.scenes
    assert list(scenes) == [
        "TwoPhaseResetX",
        "TwoPhaseResetY",
        "TwoPhaseVoteX",
        "TwoPhaseVoteY",
        "TwoPhaseDecide",
    ]
    assert [each.label for each in scenes["TwoPhaseDecide"].branches] == ["OK", "FAILED", "RETRY"]
    called = [id for id in plays.show.script.scenes if id.startswith("PingpongMore")]
    assert called == [f"PingpongMore[{cast}]" for cast in ("a, b", "c, b", "a, c", "b, c", "c, a")]


def test_names_and_fingerprint_do_not_depend_on_lines() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        b.take(a.count)
        b.take(a.count)
    """
    moved = text.replace("        b.take", "\n        # a word\n        b.take")
    assert fingerprint(written(text).script) == fingerprint(written(moved).script)
    assert list(written(text).script.scenes) == ["FCount", "FCount2"]


def test_values_of_one_pattern_go_with_the_choice_in_one_frame() -> None:
    read = plays.sendfile.script.scenes["SendfileRead"]
    assert [each.label for each in read.branches] == ["Chunk", "Check", "Final"]
    assert read.branch("Chunk").payload is bytes
    final = read.branch("Final").payload
    assert final._fields == ("data", "digest")
    assert final.__annotations__ == {"data": bytes, "digest": bytes}


async def test_ping_pong_is_played_to_its_end() -> None:
    c, s = plays.Player(rounds=3), plays.Player()
    outcome = await played(plays.pingpong, {"c": c, "s": s})
    assert (outcome.exit, c.count, s.count) == ("Done", 0, 3)


@pytest.mark.parametrize("engine", ["table", "machine"])
async def test_a_commit_ends_as_its_coordinator_decided(engine: str) -> None:
    for seed in range(6):
        k = plays.Peer()
        cast = {"k": k, "x": plays.Peer(chance=random.Random(seed)), "y": plays.Peer()}
        outcome = await played(plays.two_phase, cast, engine=engine)
        assert outcome.exit == f"Returned{k.decisions[-1] is plays.Decision.OK}"
        assert {cast["x"].round, cast["y"].round} == {len(k.decisions)}


@pytest.mark.parametrize(("spoil", "ending"), [(-1, "ReturnedTrue"), (4, "ReturnedFalse")])
async def test_a_file_arrives_whole_or_both_know_that_it_did_not(spoil: int, ending: str) -> None:
    s, r = plays.Source(bytes(range(40)), spoil=spoil), plays.Sink()
    outcome = await played(plays.sendfile, {"s": s, "r": r}, wire=True)
    assert outcome["r"].state == ending
    assert r.total == 40
    assert (r.data == s.data) == (spoil == -1)


def test_many_shows_are_played_on_one_stage() -> None:
    stage = Stage(plays.show.tables)
    casts: list[dict[str, Any]] = []
    for seed in range(20):
        peers = {role: plays.Peer(chance=random.Random(seed)) for role in "abc"}
        casts.append({"s": plays.Dice(chance=random.Random(seed)), **peers})
        stage.add(casts[-1])
    while stage.run():
        pass
    assert stage.tally.ended == 20
    assert not stage.tally.failures
    assert sum(len(cast[role].decisions) for cast in casts for role in "abc") > 20


# What a role keeps, and what it does by itself.


@dataclass
class Me:
    """Plays anything that the prelude of scripts asks for."""

    count: int = 0
    name: str = "me"
    ready: bool = True
    turns: int = 0
    heard: list[Any] = field(default_factory=list[Any])
    answers: list[Any] = field(default_factory=list[Any])

    def go(self) -> bool:
        self.turns -= 1
        return self.turns >= 0

    def fine(self) -> bool:
        return self.ready

    def take(self, n: int, /) -> None:
        self.heard.append(n)

    def write(self, words: str, /) -> None:
        self.heard.append(words)

    def add(self, n: int, /) -> int:
        self.count += n
        return self.count

    def read(self) -> Any:
        return self.answers.pop(0)

    judge = read


def ran(text: str, a: Me | None = None, b: Any = None, *, wire: bool = False) -> tuple[Outcome, Me, Any]:
    """The script played once, without tasks. What a function raises is raised."""
    script = written(text)
    assert [str(each) for each in script.check() if each.level == "error"] == []
    a, b = a or Me(), b or Me()
    stage = Stage(script.tables)
    recode = recoder(script.tables, STANDARD) if wire else None
    row = stage.watch(dict(zip(script.script.roles, (a, b), strict=True)), recode=recode)
    while stage.run():
        pass
    assert row.outcome is not None
    if row.outcome.error is not None:
        raise row.outcome.error
    return row.outcome, a, b


def test_values_of_several_roles_are_kept_until_all_are_there() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        first = a.add(1)
        b.take(a.add(10) - b.count)
        b.take(first)
        second = first + a.count
        b.take(second * 2)
    """
    outcome, _, b = ran(text, b=Me(count=1))
    assert outcome.exit == "Done"
    assert b.heard == [10, 1, 24]


def test_one_value_for_several_is_made_once() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob, c: Bob) -> None:
        a.count = b.count = c.count = a.add(2)
        b.count = c.count = 7 if False else 9
        b.count += a.count
    """
    script = written(text)
    a, b, c = Me(), Me(), Me()
    on = Stage(script.tables)
    on.add({"a": a, "b": b, "c": c})
    while on.run():
        pass
    assert (a.count, b.count, c.count) == (2, 11, 9)
    frames = [(each.sender, *branch.to) for each in script.script.scenes.values() for branch in each.branches]
    assert [each for each in frames if len(each) > 1] == [("a", "b"), ("a", "c"), ("a", "b")]


def test_arguments_of_arguments_travel_from_the_inside_out() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        b.take(a.add(b.count))
    """
    script = written(text).script
    assert [each.sender for each in script.scenes.values()] == ["b", "a"]
    _, _, b = ran(text, Me(count=5), Me(count=3))
    assert b.heard == [8]


def test_own_work_needs_a_scene_only_where_the_role_took_no_part_before_or_after() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        if a.go():
            b.take(1)
        else:
            a.forget()
            b.count = a.count
            b.take(3)
    """
    scenes = written(text).script.scenes
    assert list(scenes) == ["FGo", "FTake", "FCount"]
    assert scenes["FTake"].branches[0].to == ()
    assert scenes["FTake"].sender == "b"


def test_values_of_a_pattern_are_known_where_they_went_and_sent_elsewhere() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        while a.go():
            match a.read():
                case Text(words) if words == "skip":
                    pass
                case Text(words):
                    b.write(words.upper())
                    if b.fine():
                        b.write(words)
                case Number(value, unit="m" as unit) as number:
                    b.take(value)
                    a.count = number.value
                    b.write(unit)
                case Number(value=value):
                    b.take(-value)
    """
    space: dict[str, Any] = COMMON
    answers: list[Any] = [
        space["Text"]("skip"),
        space["Text"]("hi"),
        space["Number"](3, "m"),
        space["Number"](4, "s"),
    ]
    script = written(text).script
    read = script.scenes["FRead"]
    assert [each.label for each in read.branches] == ["Text", "Text_2", "Number", "Number_2"]
    assert read.branch("Number").payload._fields == ("value", "unit")
    _, a, b = ran(text, Me(turns=4, answers=answers), wire=True)
    assert (b.heard, a.count) == (["HI", "hi", 3, "m", -4], 3)


def test_what_may_be_none_travels_in_a_tuple_of_one() -> None:
    text = """
    class Maybe(Protocol):
        def read(self) -> int | None: ...

    class Taker(Protocol):
        def take(self, n: int | None, /) -> None: ...

    @choreography
    def f(a: Maybe, b: Taker) -> None:
        b.take(a.read())
        b.take(a.read())
    """
    _, _, b = ran(text, Me(answers=[None, 4]), wire=True)
    assert b.heard == [None, 4]


async def test_operations_may_take_their_time() -> None:
    text = """
    class Slow(Protocol):
        async def ask(self) -> int: ...
        async def more(self) -> bool: ...

    class SlowTaker(Protocol):
        def quick(self) -> int: ...
        async def take(self, n: int, /) -> None: ...

    @choreography
    async def g(a: Slow, b: SlowTaker) -> None:
        await b.take(await a.ask())

    @choreography
    async def f(a: Slow, b: SlowTaker) -> bool:
        while await a.more():
            await g(a, b)
        return b.quick() == 1
    """

    class Slow:
        turns = 3

        async def ask(self) -> int:
            return self.turns

        async def more(self) -> bool:
            self.turns -= 1
            return self.turns > 0

    class Taker:
        def __init__(self) -> None:
            self.heard: list[int] = []

        def quick(self) -> int:
            return self.heard[-1]

        async def take(self, n: int, /) -> None:
            self.heard.append(n)

    slow, taker = Slow(), Taker()
    outcome = await played(written(text), {"a": slow, "b": taker})
    assert outcome["b"].state == "ReturnedTrue"
    assert taker.heard == [2, 1]


def test_what_is_kept_needs_no_room_in_the_context() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        b.take(a.add(1) + b.count + a.add(1))
    """

    class Tight:
        __slots__ = ("count", "heard")
        count: int

        def take(self, n: int, /) -> None:
            self.heard = n

    b = Tight()
    b.count = 5
    ran(text, b=b)
    assert b.heard == 8


async def test_one_context_plays_in_several_sessions_at_a_time() -> None:
    script = written("""
    @choreography
    def f(a: Alice, b: Bob) -> None:
        b.take(a.add(1) + b.count + a.add(1))
    """)
    took: list[int] = []

    class Slow:
        count = 0

        def take(self, n: int, /) -> None:
            took.append(n)

    class Adding:
        def __init__(self, begin: int) -> None:
            self.count = begin

        def add(self, n: int, /) -> int:
            self.count += n
            return self.count

    b = Slow()
    tally = await script.run_many({"a": Adding(begin), "b": b} for begin in (0, 100, 200))
    assert tally.ended == 3
    assert sorted(took) == [3, 203, 403]


def test_a_traceback_shows_the_line_of_the_script() -> None:
    text = """
    STEP = 0

    def around(zero: int):
        @choreography
        def f(a: Alice, b: Bob) -> None:
            b.take(a.count)
            b.count = (
                a.count // zero
            )
        return f

    f = around(STEP)
    """
    with pytest.raises(ZeroDivisionError) as failed:
        ran(text)
    last = traceback.extract_tb(failed.value.__traceback__)[-1]
    assert (last.name, last.lineno, last.line) == ("f", 8, "a.count // zero")


# Other choreographies, and exits.


def test_what_a_called_choreography_returns_is_branched_on() -> None:
    text = """
    @choreography
    def judged(a: Alice, b: Bob) -> Verdict:
        b.count = a.count
        return a.judge()

    @choreography
    def never(a: Alice, b: Bob) -> bool:
        return not ask(a, b)

    @choreography
    def f(a: Alice, b: Bob) -> Literal["fine", "refused", "unfit"]:
        if never(a=a, b=b):
            return "unfit"
        match judged(a, b):
            case Verdict.GOOD:
                return "fine"
            case _:
                return "refused"
    """
    script = written(text)
    verdict: Any = COMMON["Verdict"]
    assert set(script.script.exits) == {"ReturnedFine", "ReturnedRefused", "ReturnedUnfit"}
    for ready, good, ending in [(True, True, "Fine"), (True, False, "Refused"), (False, True, "Unfit")]:
        a = Me(answers=[verdict.GOOD if good else verdict.BAD])
        outcome, *_ = ran(text, a, Me(ready=ready))
        assert {each.state for each in outcome.values()} <= {f"Returned{ending}", "Done"}
        assert f"Returned{ending}" in {each.state for each in outcome.values()}


def test_a_call_of_itself_at_the_end_is_a_loop_in_changing_parts() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Alice) -> None:
        if a.go():
            b.count = a.add(1)
            f(b, a)
    """
    script = written(text).script
    assert len(script.scenes) == 4
    _, a, b = ran(text, Me(turns=2), Me(turns=2))
    assert (a.count, b.count) == (4, 4)


def test_break_continue_else_and_constants_lead_where_they_do_in_python() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        '''Read, not run.'''
        note: int = a.count
        while a.go():
            if not b.fine():
                continue
            b.take(note)
            if a.count > 3:
                break
            a.count += 2
        else:
            b.write("else")
        while False:
            b.take(0)
        if True:
            b.write(f"{a.name}!")
        ...
    """
    _, _, b = ran(text, Me(turns=2))
    assert b.heard == [0, 0, "else", "me!"]
    _, _, b = ran(text, Me(turns=9, count=1))
    assert b.heard == [1, 1, 1, "me!"]


def test_a_match_that_is_not_complete_has_a_branch_for_the_rest() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> None:
        match a.judge():
            case Verdict.GOOD:
                b.take(1)
        match a.count:
            case 1 | 2:
                b.take(2)
            case -1:
                b.take(3)
            case n:
                b.take(n)
    """
    labels = {
        each.id: [branch.label for branch in each.branches] for each in written(text).script.scenes.values()
    }
    assert labels["FJudge"] == ["GOOD", "otherwise"]
    assert labels["FCount"] == ["is_1_or_is_2", "minus_1", "otherwise"]


# The decorator.


def test_a_script_is_read_when_it_is_first_used_and_may_mention_what_comes_later() -> None:
    text = """
    @choreography(name="Whole", patience=3.0, informs=())
    def f(a: Alice, b: Bob) -> None:
        later(a, b)

    @choreography
    def later(x: Alice, y: Bob) -> None:
        y.count = x.count
    """
    script = written(text)
    assert (script.name, script.patience, script.__name__) == ("Whole", 3.0, "f")
    assert list(script.script.scenes) == ["LaterCount[a, b]"]


def test_a_script_can_be_copied_and_shows_its_signature() -> None:
    twin = copy.copy(plays.two_phase)
    assert twin.script == plays.two_phase.script
    assert list(inspect.signature(plays.two_phase).parameters) == ["k", "x", "y"]


def test_a_script_is_not_run_by_calling_it() -> None:
    with pytest.raises(NotCalled, match=r'await pingpong.run_local\(\{"c": …, "s": …\}\)'):
        plays.pingpong(plays.Player(), plays.Player())
    assert repr(plays.pingpong) == "<choreography pingpong>"
    with pytest.raises(AttributeError, match="pingpong has no attribute 'skript'"):
        getattr(plays.pingpong, "skript")  # noqa: B009


class Clerk(Protocol):
    number: int
    wide: int
    text: str

    def found(self) -> str | None: ...
    def more(self, by: int) -> int: ...


@choreography
def letters(a: Clerk, b: Clerk) -> None:
    b.text = (
        f"{a.number} {b.number:{a.wide}d} {b.number!r:>{b.wide}} {a.more(b.more(1))} {b.number} {a.number}"
    )
    a.text = b.found() or ""
    a.text = f"{a.text}{b.number}"


class Clerking:
    def __init__(self, number: int, wide: int) -> None:
        self.number = number
        self.wide = wide
        self.text = ""

    def found(self) -> str | None:
        return None if self.text else "x"

    def more(self, by: int) -> int:
        self.number += by
        return self.number


async def test_what_several_roles_have_can_stand_in_one_text() -> None:
    a, b = Clerking(3, 4), Clerking(7, 6)
    await played(letters, {"a": a, "b": b}, wire=True)
    one, other = Clerking(3, 4), Clerking(7, 6)
    letters.function(one, other)
    assert (vars(a), vars(b)) == (vars(one), vars(other))
    assert b.text == "3    7      7 11 8 11"


def test_a_script_function_is_pickled_by_its_name_as_functions_are() -> None:
    assert pickle.loads(pickle.dumps(plays.pingpong)) is plays.pingpong


def test_who_only_imports_choreographies_loads_nothing_that_reads_functions() -> None:
    code = (
        "import sys, amachine.choreography; print(*(each for each in sys.modules if '.functions.' in each))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["amachine.choreography.functions.scripted"]
