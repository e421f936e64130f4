"""Every example runs as a script, can be imported, says nothing on stderr, and prints what it claims to teach.

What the examples do on both event loops, over sockets and with files is in test_examples_at_work.py.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if not path.stem.endswith("_test"))


def run(*words: str, folder: Path) -> str:
    """What a program prints. It finds the amachine under test, installed or not, and warnings are errors in it."""
    spec = importlib.util.find_spec("amachine")
    assert spec is not None
    assert spec.origin is not None
    path = os.pathsep.join([str(Path(spec.origin).parents[1]), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@cache
def printed(name: str) -> str:
    """What an example prints, run as a script without words, in a folder with one file."""
    with TemporaryDirectory() as folder:
        Path(folder, "file.txt").write_text("one two two\n", encoding="utf-8")
        return run(str(EXAMPLES / f"{name}.py"), folder=Path(folder))


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_a_script(name: str) -> None:
    assert printed(name).strip()


@pytest.mark.parametrize("name", NAMES)
def test_to_import_it_runs_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(importlib.import_module(f"examples.{name}").main)
    assert capsys.readouterr() == ("", "")


def test_they_run_as_modules_too(tmp_path: Path) -> None:
    assert run("-m", "examples.basic", folder=tmp_path) == printed("basic")


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_with_what_it_is_and_is_short(name: str) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source))
    assert len(source.splitlines()) < 200


def test_the_readme_lists_exactly_the_examples() -> None:
    listed = re.findall(
        r"^\| `(\w+)\.py`", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == NAMES


def test_basic_shows_a_veto_and_a_clock() -> None:
    assert "visited requires opened, which is inactive" in printed("basic")
    assert "VisitedEnter (Museum.has_ticket) said no" in printed("basic")
    assert "<Museum louvre closed:1 guarded:1 | opened:2 lights:2 visited:4>" in printed("basic")


def test_the_turnstile_lets_nobody_through_without_a_coin() -> None:
    assert printed("turnstile").startswith(
        "push: locked → locked, for push requires unlocked, which is inactive\n"
        "coin: locked → unlocked\n"
        "coin: unlocked → unlocked\n"
        "push: unlocked → locked\n"
        "push: locked → locked, for push requires unlocked, which is inactive\n"
    )
    assert "coins: 2, people: 1" in printed("turnstile")


def test_the_nfa_is_in_several_places_at_once() -> None:
    assert "papaya: matches *a?a\n    p0 p1\n  p p0 p1\n  a p0 p1 p2\n  p p0 p1 p3\n" in printed("nfa")
    assert "cacao: does not match *a?a\n" in printed("nfa")


def test_the_dag_runs_what_it_can_at_once_and_names_a_cycle() -> None:
    assert printed("dag") == (
        "one at a time: water, flour, boil, dough, brew, bake, eat\n"
        "  0 min  water\n"
        "  0 min  flour\n"
        "  1 min  boil\n"
        "  1 min  dough\n"
        "  2 min  bake\n"
        "  5 min  brew\n"
        " 32 min  eat\n"
        " 52 min  done, of 62 minutes of work\n"
        "Graph: there is a cycle of require: 'chicken_done' requires 'egg_done', "
        "'egg_done' requires 'chicken_done'; take one of these relations out\n"
    )


def test_fan_out_in_counts_what_is_in_the_folder() -> None:
    assert printed("fan_out_in") == (
        "1 files, 3 words, 0 problems: <WordCount words job:1 answer:1>\n  2 × two\n  1 × one\n"
    )


def test_the_light_shows_red_and_amber_together_and_lets_people_cross() -> None:
    assert printed("traffic_light") == (
        "●○○ stop\n"
        "●●○ ready\n"
        "○○● go\n"
        "○○● go       somebody waits\n"
        "○●○ caution  somebody waits\n"
        "●○○ stop     somebody waits\n"
        "●○○ stop     people cross\n"
        "●○○ stop\n"
        "●●○ ready\n"
        "○○● go\n"
        "○●○ caution\n"
        "19 seconds\n"
    )


def test_the_path_watcher_sees_a_burst_of_changes_as_one() -> None:
    assert printed("path_watcher") == (
        "0 programs; new: none; gone: none\n"
        "3 programs; new: cp ls mv; gone: none\n"
        "2 programs; new: cat; gone: cp mv\n"
    )


def test_an_expense_is_paid_rejected_or_forgotten_and_the_first_decision_stands() -> None:
    *requests, states = printed("expense").splitlines()
    assert requests[3:] == [
        "/expenses/lunch/approve 200",
        "/expenses/yacht/reject 200",
        "/expenses/yacht/approve 409 ApprovedEnter (Expense.is_undecided) said no",
    ]
    assert ast.literal_eval(states) == {
        "lunch": ["settled", "approved", "paid"],
        "yacht": ["settled", "rejected"],
        "train": ["settled", "expired"],
    }


def test_the_daemon_answers_in_json_and_says_why_not() -> None:
    answers = printed("daemon").splitlines()[1::2]
    assert answers[1] == '{"refused":"playing requires power, which is inactive"}'
    assert answers[3] == '{"clock":{"power":1,"playing":1,"paused":0,"Exception":0}}'
    assert answers[4] == "{\"error\":\"Player has no state 'pwoer' (did you mean 'power'?)\"}"


def test_the_service_is_played_to_the_end() -> None:
    assert printed("service").splitlines()[0] == "50 {'hint': 'less'}"
    assert printed("service").splitlines()[-1] == "42 {'over': 'you have it'}"


def test_the_kettle_of_the_tui_boils() -> None:
    assert printed("tui") == (
        "h: nothing\nw: water\nl: water, lid\np: water, lid, power\nh: water, lid, power, hot, 100 °C\n"
    )


def test_pipes_keep_a_shop_in_step_with_its_supplier() -> None:
    assert "  <Shop shop closed:1>\n  <Shop shop orders:1 | closed:2>\n" in printed("pipes")
    assert "shop/8: closed, because of supplier/5" in printed("pipes")


def test_the_template_fetches_what_there_is() -> None:
    assert printed("template").splitlines()[0] == "whale: Call me Ishmael."
    assert "unicorn" not in printed("template")


def test_the_quiz_knows_every_answer_and_says_why() -> None:
    text = printed("relations_playground")
    questions = len(re.findall(r"^\d+\. ", text, re.MULTILINE))
    assert questions >= 6
    assert text.endswith(f"{questions} of {questions}\n")
    assert len(re.findall(r"^   \| (add|remove) .*: (accepted|refused)$", text, re.MULTILINE)) == questions


def test_the_quiz_marks_a_wrong_answer() -> None:
    from examples.relations_playground import QUIZ, ask

    right, _ = QUIZ[0].answer()
    assert ask(QUIZ[0], 1, lambda _: "abcd"[right].upper())
    assert not ask(QUIZ[0], 1, lambda _: "abcd"[right - 1])


def test_subscriptions_shows_every_wait_that_there_is() -> None:
    from amachine import Machine

    waits = {name for name in dir(Machine) if name.startswith("when")}
    shown = set(re.findall(r"^(\w+)", printed("subscriptions"), re.MULTILINE))
    assert waits - shown == set()
    assert {"any_of", "all_of", "then", "cancel", "wait"} <= shown


def test_file_processing_tells_of_vetoes_and_retries_and_resumes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:03}.txt").write_text(f"content {number}\n" * number)
    (folder / "picture.png").write_bytes(b"not for this batch")
    (folder / "huge.txt").write_bytes(bytes(200_001))
    words = (str(EXAMPLES / "file_processing.py"), str(folder), str(tmp_path / "results.sqlite"))
    first = run(*words, folder=tmp_path)
    assert "huge.txt: add reading → canceled (ReadingEnter (FileFlow.is_small_enough) said no)" in first
    assert re.search(r"\.txt: .*retrying:1", first)
    assert "'stored': 100" in first
    assert "and 1 left alone" in first
    assert "and 101 left alone or done before" in run(*words, folder=tmp_path)
