"""Every example runs, as a script and as a module, says nothing on stderr, and shows what it claims to teach."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


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


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_a_script_and_as_a_module(name: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("content")
    printed = run(str(EXAMPLES / f"{name}.py"), folder=tmp_path)
    assert printed.strip()
    for left in tmp_path.glob("*.sqlite*"):
        left.unlink()
    assert run("-m", f"examples.{name}", folder=tmp_path) == printed


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


def test_basic_shows_a_veto_and_a_clock(tmp_path: Path) -> None:
    printed = run(str(EXAMPLES / "basic.py"), folder=tmp_path)
    assert "visited requires opened, which is inactive" in printed
    assert "VisitedEnter (Museum.has_ticket) said no" in printed
    assert "<Museum louvre closed:1 guarded:1 | opened:2 lights:2 visited:4>" in printed


def test_the_quiz_knows_every_answer_and_says_why(tmp_path: Path) -> None:
    printed = run(str(EXAMPLES / "relations_playground.py"), folder=tmp_path)
    questions = len(re.findall(r"^\d+\. ", printed, re.MULTILINE))
    assert questions >= 6
    assert printed.endswith(f"{questions} of {questions}\n")
    assert len(re.findall(r"^   \| (add|remove) .*: (accepted|refused)$", printed, re.MULTILINE)) == questions


def test_the_quiz_marks_a_wrong_answer() -> None:
    from examples.relations_playground import QUIZ, ask

    right, _ = QUIZ[0].answer()
    assert ask(QUIZ[0], 1, lambda _: "abcd"[right].upper())
    assert not ask(QUIZ[0], 1, lambda _: "abcd"[right - 1])


def test_subscriptions_shows_every_wait_that_there_is(tmp_path: Path) -> None:
    from amachine import Machine

    printed = run(str(EXAMPLES / "subscriptions.py"), folder=tmp_path)
    waits = {name for name in dir(Machine) if name.startswith("when")}
    shown = set(re.findall(r"^(\w+)", printed, re.MULTILINE))
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
