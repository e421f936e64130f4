"""The board game and the code review: they are sound, play on everything that plays, and nobody waits for the dead."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from amachine.choreography import Choreography, EpochBegun, Event, Level, Outcome, StageTracer, Step
from examples import board_game, code_review
from examples.board_game import PLAYERS, Cross, Player, Ring, Star, bot, game, person
from examples.code_review import CI, Author, Change, Green, Red, Reviewer, review
from tests.test_examples import printed
from tests.virtual import anyio_backend as anyio_backend

WAYS: list[dict[str, Any]] = [{}, {"engine": "machine"}, {"wire": True}, {"engine": "machine", "wire": True}]


class Quick(CI):
    """Knows what the test will say."""

    async def check(self, change: Change) -> Red | Green:
        return Green() if "lower" in change.source else Red("AssertionError: Hello-World")


def players(seed: int, **minds: Any) -> dict[type, Player]:
    return {each: each(minds.get(each.__name__, bot), random.Random(seed)) for each in PLAYERS}


def reviewers(tries: int = 5) -> dict[str, Any]:
    return {"author": Author(tries), "ci": Quick(), "reviewer": Reviewer()}


class At(StageTracer):
    """Does something at a step, by its number."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.number, self.act = number, act
        self.steps = 0
        self.events: list[Event] = []

    def stage_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Step):
            self.steps += 1
            if self.steps == self.number:
                self.act()


async def killed(
    script: Choreography, cast: Mapping[Any, Any], role: Any, at: int, **options: Any
) -> tuple[Outcome, At]:
    """How it ends when a role dies at a step. It must end."""
    watch = At(at, lambda: play.kill(role))
    play = script.play(cast, tracers=[watch], **options)
    async with play:
        with anyio.fail_after(1000):
            return await play.ended(), watch


@pytest.mark.parametrize("script", [game, review], ids=["game", "review"])
def test_nothing_is_wrong_or_doubtful(script: Choreography) -> None:
    assert [each for each in script.diagnostics if each.level is not Level.NOTE] == []


# The board game.


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_all_boards_are_the_same_and_the_exit_names_who_has_three_in_a_row(way: Any) -> None:
    for seed in range(4):
        cast = players(seed)
        outcome = await game.run_local(cast, **way)
        boards = {each.name: [*each.board.items()] for each in cast.values()}
        longest = max(boards.values(), key=len)
        for role, board in boards.items():
            home = outcome[role].state == "Done"  # it resigned, and heard no more
            assert board == longest[: len(board)] if home else board == longest
        best = max(cast.values(), key=lambda each: len(each.board))
        assert outcome.exit == f"Wins_{longest[-1][1]}"
        beaten = [role for role in outcome if role != longest[-1][1] and outcome[role].state != "Done"]
        assert set() in best.rows(longest[-1][1]) or [best.rows(role) for role in beaten] == [[]]


def test_there_are_24_rows_each_of_three_neighbours() -> None:
    assert len({frozenset(row) for row in board_game.ROWS}) == 24
    for row in board_game.ROWS:
        columns, numbers = ({ord(square[at]) for square in row} for at in (0, 1))
        assert all(
            len(each) == 1 or max(each) - min(each) == 2 == len(each) - 1 for each in (columns, numbers)
        )


async def test_who_resigns_goes_home_and_two_play_on() -> None:
    async def resign(_: Player) -> None:
        return None

    cast = players(1, Ring=resign)
    outcome = await game.run_local(cast)
    assert outcome["Ring"].state == "Done"
    assert outcome["Cross"].state == outcome["Star"].state != "Done"
    assert "Ring" not in cast[Star].board.values()
    outcome = await game.run_local(players(1, Ring=resign, Star=resign))
    assert {role: each.state for role, each in outcome.items()} == {
        "Cross": "Wins_Cross",
        "Ring": "Done",
        "Star": "Wins_Cross",
    }


async def test_a_board_without_a_free_square_is_a_draw() -> None:
    order = "c1d1a2b4 b3b1c2d2 a1d4c3c4 a4b2d3a3".replace(" ", "")
    moves = (order[at : at + 2] for at in range(0, 32, 2))

    async def scripted(_: Player) -> str:
        return next(moves)

    outcome = await game.run_local(players(0, Cross=scripted, Ring=scripted, Star=scripted))
    assert {each.state for each in outcome.values()} == {"Drawn"}


async def test_who_thinks_for_too_long_has_a_move_made_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    thought = 0

    async def dreamer(me: Player) -> str | None:
        nonlocal thought
        thought += 1
        if thought == 1:
            await anyio.sleep(31)
        return await bot(me)

    cast = players(3, Cross=dreamer)
    outcome = await game.run_local(cast, engine="machine")
    assert not outcome.failed
    assert next(iter(cast[Ring].board.items())) == ("a1", "Cross")
    assert thought > 1
    assert capsys.readouterr().out == "\nTime is over: Cross is put on a1. Press Enter.\n"


@pytest.mark.parametrize("way", WAYS[:2], ids=str)
@pytest.mark.parametrize("role", PLAYERS)
async def test_two_play_on_whoever_is_lost_and_whenever(role: type[Player], way: Any) -> None:
    _, whole = await killed(game, players(1), role, 0, **way)
    epochs = 0
    for at in range(1, whole.steps + 1, 4):
        cast = players(1)
        outcome, watch = await killed(game, cast, role, at, **way)
        left = [each for each in PLAYERS if each is not role]
        began = {each.role for each in watch.events if isinstance(each, EpochBegun)}
        epochs += bool(began)
        if began:
            first, second = (cast[each] for each in left)
            assert began == {first.name, second.name}
            assert first.board == second.board
            assert outcome[first.name].state == outcome[second.name].state
            assert outcome[first.name].state in {"Drawn", f"Wins_{first.name}", f"Wins_{second.name}"}
        for each in left:
            assert not outcome[each].aborted or "was lost" in outcome[each].why
    assert epochs


async def test_who_was_thinking_when_another_was_lost_is_not_late(capsys: pytest.CaptureFixture[str]) -> None:
    asked = 0

    async def thinker(me: Player) -> str | None:
        nonlocal asked
        asked += 1
        await anyio.sleep(5)
        return await bot(me)

    cast = players(1, Ring=thinker)
    async with game.play(cast) as play:
        await anyio.sleep(1)
        play.kill(Cross)
        outcome = await play.ended()
    rings = [*cast[Star].board.values()].count("Ring")
    assert asked == rings + 1  # once in vain
    assert outcome["Ring"].state == outcome["Star"].state
    assert capsys.readouterr().out == ""


async def test_a_person_is_asked_until_there_is_a_square_and_may_resign_or_leave(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = iter(["z9", "b2", "resign"])

    def answer(_: str) -> str:
        return next(said)

    monkeypatch.setattr("builtins.input", answer)
    me = Star(person)
    assert (await me.plays(), await me.plays()) == (True, False)
    assert me.board == {"b2": "Star"}
    assert "Star b2\n  a b c d\n1 · · · ·\n2 · ★ · ·\n" in capsys.readouterr().out


# The code review.


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_review_ends_with_the_merge_or_when_the_author_has_had_enough(way: Any) -> None:
    heard = ["AssertionError: Hello-World", "slug: no docstring"]
    for tries in (1, 2, 3):
        cast = reviewers(tries)
        outcome = await review.run_local(cast, **way)
        merged = tries == 3
        assert outcome.exit == ("ReturnedMERGED" if merged else "ReturnedABANDONED")
        assert {each.state for each in outcome.values()} == {outcome.exit}
        assert (cast["author"].heard, cast["author"].merged) == (heard[:tries], merged)


@pytest.mark.parametrize("engine", ["table", "machine"])
@pytest.mark.parametrize("role", ["author", "ci", "reviewer"])
async def test_whoever_dies_the_others_end_and_say_so(role: str, engine: str) -> None:
    _, whole = await killed(review, reviewers(), role, 0, engine=engine)
    for at in range(1, whole.steps + 1, 2):
        outcome, _ = await killed(review, reviewers(), role, at, engine=engine)
        for other, ending in outcome.items():
            if other != role:
                assert ending.state == "ReturnedMERGED" or f"{role} was lost" in ending.why


def test_a_reviewer_who_sleeps_is_reported_and_woken() -> None:
    text = printed("code_review")
    assert "author and ci wait for reviewer: reviewer.judge() has not returned for" in text
    assert "  ci->>author: ReviewCheckCi.Red 'AssertionError: Hello-World'\n" in text
    assert "Overdue:2>" in text  # it was entered once, and went with the answer
    assert max(map(len, text.partition("sequenceDiagram")[2].partition("\n\n")[0].splitlines())) <= 80
    assert text.endswith("reviewer: ReturnedMERGED\n")


def test_the_ci_runs_the_test_in_earnest() -> None:
    assert anyio.run(CI().check, Change(1, "def slug(title): return title + None\n")) == Red(
        'TypeError: can only concatenate str (not "NoneType") to str'
    )
    assert anyio.run(CI().check, Change(3, code_review.DRAFTS[2]), backend="trio") == Green()
