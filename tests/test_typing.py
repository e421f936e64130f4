"""What type checkers say of programs: nothing of right ones, and of wrong ones just where they are wrong.

The programs are in tests/typing. Both checkers are strict, and each runs once, over all of them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parent / "typing"
ROOT = PROGRAMS.parent.parent
RIGHT = sorted(path.name for path in PROGRAMS.glob("right*.py"))
WRONG = sorted(path.name for path in PROGRAMS.glob("mistakes*.py"))
MARK = re.compile(r"  # E (?P<mistake>\w.*?)(?=  # noqa|$)")
CHECKERS = ("mypy", "pyright")
SECONDS = 240

Found = dict[str, dict[int, list[str]]]
"""Messages by file and line."""


def source_of_amachine() -> list[str]:
    """Where checkers must look for amachine; nowhere, if it is installed."""
    spec = importlib.util.find_spec("amachine")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]).parent
    return [] if "site-packages" in folder.parts else [str(folder)]


def start_mypy() -> subprocess.Popen[str]:
    options = ["--output=json", "--follow-imports=silent", "--config-file", str(ROOT / "pyproject.toml")]
    files = [str(PROGRAMS / name) for name in (*RIGHT, *WRONG)]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(source_of_amachine())}
    return started([sys.executable, "-m", "mypy", *options, *files], environment)


def start_pyright(folder: Path) -> subprocess.Popen[str]:
    settings = {
        "include": [os.path.relpath(PROGRAMS, folder)],
        "extraPaths": [os.path.relpath(path, folder) for path in source_of_amachine()],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    options = ["--outputjson", "--project", str(folder), "--pythonpath", sys.executable]
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return started([sys.executable, "-m", "pyright", *options], environment)


def started(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, encoding="utf-8")


def output_of(process: subprocess.Popen[str]) -> str:
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode in {0, 1}, f"{process.args!r} failed:\n{out}\n{err}"
    return out


def of_mypy(output: str) -> Found:
    found: Found = {}
    for line in output.splitlines():
        report = json.loads(line)
        if report["severity"] == "error":
            note(found, report["file"], report["line"], report["message"])
    return found


def of_pyright(output: str) -> Found:
    found: Found = {}
    for report in json.loads(output)["generalDiagnostics"]:
        if report["severity"] == "error":
            note(found, report["file"], report["range"]["start"]["line"] + 1, report["message"])
    return found


def note(found: Found, file: str, line: int, message: str) -> None:
    found.setdefault(Path(file).name, {}).setdefault(line, []).append(message)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What each checker says; they work at the same time."""
    mypy, pyright = start_mypy(), start_pyright(tmp_path_factory.mktemp("pyright"))
    return {"mypy": of_mypy(output_of(mypy)), "pyright": of_pyright(output_of(pyright))}


def marks(name: str) -> dict[int, str]:
    """The mistakes of a program, by line."""
    lines = (PROGRAMS / name).read_text(encoding="utf-8").splitlines()
    return {number: match["mistake"] for number, line in enumerate(lines, 1) if (match := MARK.search(line))}


def test_there_are_programs_of_both_kinds() -> None:
    assert len(RIGHT) >= 2
    assert sum(len(marks(name)) for name in WRONG) >= 60


def test_right_programs_have_no_error_and_every_mistake_is_caught(
    reports: dict[str, Found], subtests: pytest.Subtests
) -> None:
    """One test, so that the checkers run in one process however many share the work."""
    for checker in CHECKERS:
        for name in RIGHT:
            with subtests.test("a right program has no error", checker=checker, name=name):
                assert reports[checker].get(name, {}) == {}
        for name in WRONG:
            with subtests.test("every mistake is caught, and nothing else", checker=checker, name=name):
                see_mistakes(checker, name, reports[checker].get(name, {}))
        with subtests.test("each program was looked at", checker=checker):
            # No report means no error only if there are reports: of the wrong programs, and of no others.
            assert sorted(reports[checker]) == WRONG


def see_mistakes(checker: str, name: str, found: dict[int, list[str]]) -> None:
    wrong = marks(name)
    missed = {line: mistake for line, mistake in wrong.items() if line not in found}
    assert missed == {}, f"{checker} does not see these"
    beside = {line: messages for line, messages in found.items() if line not in wrong}
    assert beside == {}, f"{checker} sees errors that are none"
