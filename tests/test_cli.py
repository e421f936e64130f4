"""The `amachine` command: help, version, lazy subcommands, exit statuses, and what it says when misused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amachine.tools import cli
from amachine.tools.colour import painted, takes_colour


def run(*words: str) -> int:
    """The exit status, whether returned or raised by argparse."""
    try:
        return cli.main(words)
    except SystemExit as end:
        return int(end.code or 0)


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert all(f"    {name}" in out for name in cli.COMMANDS)
    assert run() == 2
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_subcommand_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: amachine {name}")
    assert "examples:" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("amachine ")


def test_a_subcommand_that_is_none_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demmo") == 2
    assert "demo" in capsys.readouterr().err


def test_help_and_version_load_no_subcommand() -> None:
    code = "import sys; from amachine.tools.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += (
        "print(*[m for m in sys.modules if m.partition('.')[0] in ('rich', 'anyio', 'asyncio', 'sqlite3')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment(),
    )
    assert done.stdout.splitlines()[-1] == ""


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """As `amachine … | head -1` does; here there is no reader at all."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "amachine", "graph", "amachine.tools.demo:FileFlow"]
    done = subprocess.run(
        words, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False, env=environment()
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def environment() -> dict[str, str]:
    """One in which a new interpreter finds the amachine under test."""
    import amachine

    return {**os.environ, "PYTHONPATH": str(Path(amachine.__file__).parents[1])}


# Streams that do not know every character.

PLAY = """
from amachine.choreography import choreography

class A:
    def more(self) -> bool: return False
    def say(self) -> str: return "é"

class B:
    def hear(self, word: str) -> None: ...

@choreography(inform="all")
def café(ä: A, b: B) -> None:
    while ä.more():
        b.hear(ä.say())
    b.hear(ä.say())
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_every_command_prints_on_every_stream(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "play.py").write_text(PLAY, encoding="utf-8")
    words = [
        *(["choreo", *rest.split()] for rest in (
            "check play.py:café", "explain play.py:café", "explain play.py:café --json", "graph play.py:café",
            "graph play.py:café --format dot", "run play.py:café --trace t.jsonl", "trace t.jsonl",
            "trace t.jsonl --text", "trace t.jsonl --stats", "trace t.jsonl --json",
        )),
        ["graph", "amachine.tools.demo:FileFlow"],
        ["lint", "amachine.tools.demo:FileFlow"],
        ["run", "amachine.states:Basic", "-c", "help"],
        ["demo", "--plain", "--fresh", "."],
    ]  # fmt: skip
    code = (
        "import sys, json, io, contextlib\nfrom amachine.tools.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    print('$', *words[1:2], flush=True)\n"
        "    with contextlib.suppress(SystemExit): main(words)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(words)],
        capture_output=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**environment(), "PYTHONIOENCODING": encoding},
    )
    out = done.stdout.decode(encoding)
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert b"Traceback" not in done.stderr
    assert out.count("$ ") == len(words)
    explained = out.partition("$ explain")[2]
    assert "~> b" in explained
    assert ("é" in explained) == (encoding != "ascii")
    script = json.loads(out.split("$ explain\n")[2].partition("$ ")[0])
    assert script["name"] == "café"
    assert script["roles"] == ["ä", "b"]
    graph = out.partition("$ graph\n")[2]
    assert "#8594;" in graph
    assert "&#8594;" in graph


# Colours.


def test_colours_are_for_terminals_whose_user_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert takes_colour(Terminal())
    assert not takes_colour(io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert takes_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not takes_colour(Terminal())


def test_painting_adds_colours_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    import re

    assert run("demo", "--help") == 0
    text = capsys.readouterr().out
    coloured = painted(text)
    assert "\033[36m--json\033[0m" in coloured
    assert re.sub(r"\033\[[\d;]*m", "", coloured) == text


@pytest.mark.parametrize(("command", "status"), [("graph", 1), ("lint", 2), ("run", 1)])
def test_a_module_that_raises_is_told_in_its_own_lines(
    command: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "raising.py"
    file.write_text("raise RuntimeError('boom')\n")
    assert run(command, f"{file}:X") == status
    err = capsys.readouterr().err
    assert err == (
        f"amachine {command}: {file} cannot be imported:\nTraceback (most recent call last):\n"
        f"  File \"{file}\", line 1, in <module>\n    raise RuntimeError('boom')\nRuntimeError: boom\n"
    )


# graph


def test_graph_prints_the_schema_of_a_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("graph", "amachine.tools.demo:FileFlow", "--active", "reading", "hashed") == 0
    out = capsys.readouterr().out
    assert out.startswith("flowchart LR\n")
    assert '"phase: at most one of"' in out
    assert "class s1,s2 on" in out


def test_graph_takes_files_machines_and_schemas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    path = tmp_path / "lamps.py"
    path.write_text(
        "from amachine import *\n"
        "class Lamp(Machine):\n    on = State()\n"
        "lamp = Lamp(); lamp.on.add()\n"
        "schema = Lamp.schema\n"
        "class Bulbs(States):\n    bulb = State()\n"
    )
    for name, expected in (
        ("Lamp", '["on"]'),
        ("lamp", "class s0 on"),
        ("schema", '["on"]'),
        ("Bulbs", '["bulb"]'),
    ):
        assert run("graph", f"{path}:{name}") == 0
        assert expected in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert run("graph", "lamps:Lamp") == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nocolon"], "write module:Class"),
        (["amachine.tools.demo:FileFlo"], "did you mean 'FileFlow'?"),
        (["amachine.tools.demo:Found"], "is no Machine or States class"),
        (["amachine.nowhere:X"], "no module 'amachine.nowhere'"),
        (["nowhere.py:X"], "there is no file nowhere.py"),
        (["amachine.tools.demo:FileFlow", "--active", "readin"], "did you mean 'reading'?"),
    ],
)
def test_graph_says_what_is_wrong(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("graph", *words) == 1
    assert says in capsys.readouterr().err
