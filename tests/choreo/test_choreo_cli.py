"""`amachine choreo`: finds choreographies, says what is wrong with them, draws, plays and counts."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from amachine.choreography.canonical import fingerprint, parse
from amachine.choreography.playing.events import RoleEnded, Step
from amachine.choreography.seeing.trace import Trace
from amachine.tools import cli
from amachine.tools.choreo_run import Progress
from amachine.tools.choreo_target import find_choreography
from amachine.tools.target import NotFound

SIZE = "tests.choreo.plays:Size"
ACTIONS = ("check", "explain", "graph", "run", "trace")

SOURCE = """
from __future__ import annotations
import signal
import anyio
from amachine.choreography import Choreography, Exit, Msg, Scene, Sent, choreography
from amachine.choreography.builder import Builder

class Ann:
    pass

class Ben:
    pass

class Late0: ...

class Cid:
    def __init__(self, name): self.name = name

class Say(Scene[Ann, Ben]):
    word: Msg[str, Answer]
    def send(self, me: Ann) -> Sent:
        return self.word("hello")
    def on_word(self, me: Ben, word: str) -> None: ...

class Answer(Scene[Ben, Ann]):
    ok: Msg[None, Exit]
    async def send(self, me: Ben) -> Sent:
        if isinstance(me, Broken): raise RuntimeError("no voice")
        if isinstance(me, Interrupted): signal.raise_signal(signal.SIGINT)
        if isinstance(me, Slow): await anyio.sleep_forever()
        return self.ok()

class Broken(Ben): ...
class Slow(Ben): ...
class Interrupted(Slow): ...

class Late(Scene[Cid, Ann]):
    x: Msg[None, Exit]
    def send(self, me: Cid) -> Sent: return self.x()

class Wrong(Scene[Ann, Ben]):
    yes: Msg[None, Third]
    no: Msg[None, Exit]
    def send(self, me: Ann) -> Sent: return self.no()

class Third(Scene[Late0, Ben]):
    x: Msg[None, Exit]
    def send(self, me: Late0) -> Sent: return self.x()

class Ill:
    def __init__(self): raise TypeError("of the user's own code")

class Sick(Scene[Ill, Ann]):
    x: Msg[None, Exit]
    def send(self, me: Ill) -> Sent: return self.x()

def raises(): return {}["x"]
def broken(): return {Ann: Ann(), Ben: Broken()}
def slow(): return {"Ann": Ann(), "Ben": Slow()}
def interrupted(): return {"Ann": Ann(), "Ben": Interrupted()}
def nobody(): return 3
made = Choreography(Say, roles=[Ann, Ben])
def make(): return made
async def later(): return made
def built():
    b = Builder()
    return b.script("built", b.scene("S", "a").branch("x", to="b"), roles=("a", "b"))
"""


@pytest.fixture
def app(tmp_path: Path) -> str:
    """A file of the user's."""
    file = tmp_path / "choreo_app.py"
    file.write_text(SOURCE, encoding="utf-8")
    return str(file)


def run(*words: str) -> int:
    try:
        return cli.main(("choreo", *words))
    except SystemExit as end:
        return int(end.code or 0)


def test_every_action_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    out = capsys.readouterr().out
    assert all(f"    {action}" in out for action in ACTIONS)
    for action in ACTIONS:
        assert run(action, "--help") == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: amachine choreo {action}")
        assert "examples:" in out
        assert max(map(len, out.partition("examples:")[2].splitlines())) <= 100


# Found.


@pytest.mark.parametrize("name", ["Say", "made", "make", "built"])
def test_a_choreography_is_found_whatever_it_is_written_as(app: str, name: str) -> None:
    found = find_choreography(f"{app}:{name}")
    assert found.whole.script == found.script
    assert found.script.roles == (("a", "b") if name == "built" else ("Ann", "Ben"))


def test_roles_are_those_of_the_scenes_or_those_that_are_named(app: str) -> None:
    assert find_choreography(SIZE).script.roles == ("Sender", "Receiver")
    assert find_choreography(SIZE, roles="Receiver, Sender").script.roles == ("Receiver", "Sender")
    assert find_choreography("tests.choreo.functions_plays:pingpong").script.roles == ("c", "s")


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("APP:Sai", {}, "has no 'Sai' (did you mean 'Say'?)"),
        ("APP:Ann", {}, "is no scene class, choreography or script, but Ann"),
        ("APP:nobody", {}, "is no scene class, choreography or script, but int"),
        ("APP:later", {}, "is a coroutine function: name one that returns a choreography at once"),
        ("APP:Say", {"roles": "Ann,Benn"}, "has no class 'Benn' to be a role (did you mean 'Ben'?)"),
        ("APP:made", {"roles": "Ann"}, "is made already, --roles cannot change it"),
        ("APP:made", {"policy": "all"}, "is made already, --inform cannot change it"),
        ("APP:built", {"roles": "Ann"}, "is made already, --roles cannot change it"),
        ("nowhere.json", {}, "there is no file nowhere.json"),
        ("say", {}, "write module:Class, such as app.protocol:Start"),
        ("no_such_module:Say", {}, "there is no module 'no_such_module'"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    app: str, target: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(NotFound) as caught:
        find_choreography(target.replace("APP", app), **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_go_to_stderr_with_their_own_status(
    app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text('{"version": 1}')
    for words in (
        ("check", f"{app}:Sai"),
        ("check", str(tmp_path / "bad.json")),
        ("graph", f"{app}:Say", "--role", "Bem"),
        ("run", "tests.choreo.functions_plays:pingpong"),
        ("run", f"{app}:Late"),
        ("run", f"{app}:Say", "--cast", f"{app}:nobody"),
        ("run", f"{app}:built"),
        ("trace", str(tmp_path / "none.jsonl")),
    ):
        assert run(*words) == 2, words
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("amachine choreo: ")
        assert captured.err.count("\n") == 1, captured.err


@pytest.mark.parametrize("form", ["file", "module"])
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def inner():\n    raise RuntimeError('boom')\ninner()\n", "RuntimeError: boom"),
        ("raise OSError('no disk')\n", "OSError: no disk"),
        ("import no_such_module_here\n", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
        ("raise SystemExit(0)\n", "SystemExit: 0"),
    ],
)
def test_a_module_that_raises_is_told_in_its_own_lines(
    form: str,
    source: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "choreo_raises.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    where = "choreo_raises.py" if form == "file" else "choreo_raises"
    assert run("check", f"{where}:x") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"amachine choreo: {where} cannot be imported:\n")
    assert captured.err.endswith(f"\n{said}\n")
    files = re.findall(r'File "(.*?)"', captured.err)
    assert set(files) == {str(tmp_path / "choreo_raises.py")}


def test_a_function_that_raises_is_told_in_its_own_lines(
    app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("check", f"{app}:raises"), ("run", f"{app}:Say", "--cast", f"{app}:raises")):
        assert run(*words) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"amachine choreo: {app}:raises failed:\nTraceback")
        assert set(re.findall(r'File "(.*?)"', err)) == {app}
        assert err.endswith("KeyError: 'x'\n")
    assert run("run", f"{app}:Sick") == 2
    err = capsys.readouterr().err
    assert err.startswith("amachine choreo: role Ill cannot be made:\nTraceback")
    assert err.endswith("TypeError: of the user's own code\n")


# check


def test_check_says_what_is_wrong_and_where(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", f"{app}:Say", "--strict") == 0
    assert capsys.readouterr().out == f"{app}:Say is sound: 2 scenes, 2 roles\n"
    assert run("check", f"{app}:Wrong", "--inform", "declared") == 1
    out = capsys.readouterr().out
    assert "AMC401 Late0 does not learn a choice it needs" in " ".join(out.split())
    assert "\n  one run:\n    Ann->Ben: Wrong.yes\n  another:\n    Ann->Ben: Wrong.no\n" in out
    assert out.splitlines()[-1].endswith("is not sound: 1 error")
    assert max(map(len, out.splitlines()[1:-1])) <= 100
    assert run("check", f"{app}:Wrong") == 0, "with informs it is sound"


def test_check_gives_its_findings_as_json(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", f"{app}:Wrong", "--inform", "declared", "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["errors"], data["warnings"]) == (1, 0)
    (found,) = (each for each in data["diagnostics"] if each["level"] == "error")
    assert (found["code"], found["role"], found["witness"][1]) == ("AMC401", "Late0", ["Ann->Ben: Wrong.no"])
    assert found["file"] == app


def test_warnings_count_when_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "choreo_deaf.py"
    file.write_text(SOURCE.replace("    def on_word(self, me: Ben, word: str) -> None: ...", ""))
    assert run("check", f"{file}:Say") == 0
    assert "AMC203 warning" in " ".join(capsys.readouterr().out.split())  # a long path wraps the line
    assert run("check", f"{file}:Say", "--strict") == 1
    assert capsys.readouterr().out.endswith("is sound: 2 scenes, 2 roles, 1 warning\n")


def test_a_module_that_makes_an_unsound_one_is_checked_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "choreo_unsound.py"
    file.write_text(f"{SOURCE}\nChoreography(Wrong, roles=[Ann, Ben, Late0], inform='declared')\n")
    assert run("check", f"{file}:Say") == 1
    assert "AMC401" in capsys.readouterr().out


# explain and graph


def test_explain_prints_every_frame_or_the_script(
    app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("explain", f"{app}:Say", "--width", "80") == 0
    out = capsys.readouterr().out
    assert "    word(str)  1×  → Ben  then Answer" in out
    assert "Ann: 3 states" in out
    assert run("explain", f"{app}:Say", "--no-roles") == 0
    assert "Ann: 3 states" not in capsys.readouterr().out
    assert run("explain", f"{app}:Wrong", "--json") == 0
    file = tmp_path / "script.json"
    file.write_text(capsys.readouterr().out)
    script = find_choreography(f"{app}:Wrong").script
    assert script.informs
    assert parse(file.read_bytes()) == script
    assert fingerprint(find_choreography(str(file)).whole.script) == fingerprint(script)


def test_colours_are_for_terminals(
    app: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    run("check", f"{app}:Wrong", "--inform", "declared")
    assert "\033[1;31mAMC401\033[0m" in capsys.readouterr().out
    run("explain", f"{app}:Say")
    assert "\033[36m→ Ben\033[0m  then" in capsys.readouterr().out
    monkeypatch.delenv("FORCE_COLOR")
    run("explain", f"{app}:Say")
    assert "\033" not in capsys.readouterr().out


def test_graph_draws_in_every_format(app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("graph", f"{app}:Say") == 0
    assert capsys.readouterr().out.startswith("flowchart TB\n")
    assert run("graph", f"{app}:Say", "--role", "Ben", "--direction", "LR") == 0
    out = capsys.readouterr().out
    assert out.startswith("flowchart LR\n")
    assert '|"?Ann: word(str)"|' in out
    assert run("graph", f"{app}:Say", "--format", "dot") == 0
    assert capsys.readouterr().out.startswith('digraph "Say" {')
    for name, begins in (("a.mmd", "flowchart"), ("a.dot", "digraph"), ("a.svg", "<?xml")):
        if name != "a.svg" or shutil.which("dot"):
            assert run("graph", f"{app}:Say", "-o", str(tmp_path / name)) == 0
            assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["x.png", "x.PDF", "x.txt"])
def test_what_cannot_be_drawn_is_not_written(
    name: str, app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / name
    assert run("graph", f"{app}:Say", "-o", str(file)) == 2
    assert (
        "only as .mmd, .md, .dot, .gv, .svg: say --format, and for other pictures" in capsys.readouterr().err
    )
    trace = tmp_path / "run.jsonl"
    assert run("run", f"{app}:Say", "--trace", str(trace)) == 0
    assert run("trace", str(trace), "-o", str(file)) == 2
    assert "only as .mmd, .md, .svg: for words and numbers say --text" in capsys.readouterr().err
    assert not file.exists()
    assert run("graph", f"{app}:Say", "-o", str(file), "--format", "dot") == 0
    assert file.read_text(encoding="utf-8").startswith("digraph")
    assert run("trace", str(trace), "-o", str(file), "--text") == 0
    assert file.read_text(encoding="utf-8").startswith("Ann -> Ben")


def test_an_unsound_script_can_be_drawn(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("graph", f"{app}:Wrong", "--inform", "declared") == 0
    assert "Late0 → Ben" in capsys.readouterr().out


# run and trace


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_plays_and_trace_draws_it(
    backend: str, app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "run.jsonl")
    assert run("run", f"{app}:Say", "--trace", file, "--backend", backend, "--seed", "3", "--wire") == 0
    assert capsys.readouterr().out == "Say:\n  Ann: Done\n  Ben: Done\n"
    assert run("trace", file) == 0
    out = capsys.readouterr().out
    assert out.startswith("sequenceDiagram\n  Ann->>Ben: Say.word 'hello'\n  Ben->>Ann: Answer.ok\n")
    assert run("trace", file, "--text") == 0
    assert capsys.readouterr().out.startswith("Ann -> Ben  Say.word 'hello'\n")
    assert run("trace", file, "--stats") == 0
    assert "1 session, 2 choices\n         1  Say\n         1    word  (100%)\n" in capsys.readouterr().out
    assert run("trace", file, "--json") == 0
    assert {"scene": "Answer", "label": "ok", "count": 1.0} in json.loads(capsys.readouterr().out)
    assert run("trace", file, "--session", Trace.load(file).sessions[0]) == 0
    assert capsys.readouterr().out == out
    assert run("trace", file, "--session", "Say") == 2
    assert "did you mean 'Say-" in capsys.readouterr().err


def test_a_trace_is_drawn_as_its_file_is_called(
    app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = str(tmp_path / "run.jsonl")
    assert run("run", f"{app}:Say", "--trace", trace) == 0
    for name, begins in (("x.svg", "<svg "), ("x.mmd", "sequenceDiagram\n"), ("x", "sequenceDiagram\n")):
        assert run("trace", trace, "-o", str(tmp_path / name)) == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    assert "Say.word" in (tmp_path / "x.svg").read_text(encoding="utf-8")
    capsys.readouterr()


def test_a_trace_is_as_long_as_was_asked_for(
    app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = str(tmp_path / "run.jsonl")
    assert run("run", f"{app}:Say", "--trace", trace) == 0
    capsys.readouterr()
    assert run("trace", trace, "--limit", "0") == 0
    assert capsys.readouterr().out == "sequenceDiagram\n  %% 4 earlier lines are left out\n"
    assert run("trace", trace, "--limit", "1", "--text") == 0
    assert capsys.readouterr().out == "(3 earlier lines are left out)\nBen  Done\n"
    for number in ("-1", "x"):
        assert run("trace", trace, "--limit", number) == 2
        assert f"'{number}' is no number from 0 on" in capsys.readouterr().err


def test_a_trace_comes_from_stdin_too_and_an_empty_one_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = b'{"event":"ended","session":"s","role":"a","state":"Done","why":""}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line), encoding="ascii"))
    assert run("trace", "-") == 0
    assert capsys.readouterr().out == "sequenceDiagram\n  Note over a: Done\n"
    (tmp_path / "empty.jsonl").touch()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    for name, file in (("stdin", "-"), ("empty.jsonl", str(tmp_path / "empty.jsonl"))):
        assert run("trace", file) == 2
        assert f"{name} holds no event of a choreography" in capsys.readouterr().err


def test_who_plays_can_be_given_and_a_failure_is_told(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", f"{app}:Say", "--cast", f"{app}:broken", "--engine", "machine", "--traceback") == 1
    captured = capsys.readouterr()
    assert "Ben: Aborted" in captured.out
    assert "no voice" in captured.out
    assert "RuntimeError: no voice" in captured.err
    assert "choreo_app.py" in captured.err


def test_a_session_that_takes_too_long_is_reported(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", f"{app}:Say", "--cast", f"{app}:slow", "--timeout", "0.02") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Ann waits for Ben: its Answer.send has not returned" in captured.err


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_session_that_is_interrupted_is_reported(
    backend: str, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("run", f"{app}:Say", "--cast", f"{app}:interrupted", "--backend", backend, "--timeout", "30")
        == 130
    )
    assert "Ann waits for Ben: its Answer.send has not returned" in capsys.readouterr().err


def test_progress_is_one_line_that_goes_away() -> None:
    out = io.StringIO()
    progress = Progress(out, width=24, pause=0)
    for role, sent in (("Ann", True), ("Ben", False)):
        progress.stage_event(
            Step(
                "s",
                role,
                "S",
                "x",
                sent=sent,
                peers=(),
                informed=(),
                source="A",
                target="Await",
                seq=0,
                lamport=0,
            )
        )
    progress.stage_event(RoleEnded("s", "Ann", "Done", ""))
    progress.close()
    lines = out.getvalue().split("\r\033[K")
    assert lines == ["", "1 steps  Ann Await", "1 steps  Ann Await  Ben…", "1 steps  Ann Done  Ben …", ""]


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
def test_seconds_that_are_none_are_refused(
    seconds: str, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--patience", "--timeout"):
        assert run("run", f"{app}:Say", option, seconds) == 2
        assert f"{option}: {seconds!r} is no number of seconds above 0" in capsys.readouterr().err
