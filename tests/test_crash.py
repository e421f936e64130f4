"""Programs that die leave the last transitions behind, and die as they would have died."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from amachine import Machine, Recorder, State, binding, dump_on_crash
from amachine.tracers.capture import LogCapture
from amachine.tracers.lines import FileLine, MachineLine, SaidLine, TransitionLine, read

PROGRAM = """
import asyncio, os, sys, threading
from amachine import *

class Flow(Machine):
    start = State()
    login = State(dict, require=[start])
    hit = State(multi=True)

def live():
    flow = Flow("f")
    flow.start.add()
    flow.login.add(user="u", password="t0ps3cret")
    flow.start.remove()
"""


class Counter(Machine):
    hit = State(multi=True)


def die(folder: Path, code: str, *, asked: bool = True) -> tuple[int, str, list[Path]]:
    """Exit status, what was on stderr, and the dumps of a program that lives, and then does this."""
    import amachine

    env = {**os.environ, "PYTHONPATH": str(Path(amachine.__file__).parents[1])}
    env.pop("AMACHINE_CRASH", None)
    if asked:
        env["AMACHINE_CRASH"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
    )
    return done.returncode, done.stderr, sorted(folder.iterdir()) if folder.exists() else []


def test_an_exception_that_nobody_handles_leaves_what_happened(tmp_path: Path) -> None:
    code = "live()\nraise ValueError('token=t0ps3cret is no good')"
    status, stderr, (path,) = die(tmp_path / "crashes", code)
    assert status == 1
    assert stderr.count("Traceback") == 1  # what Python says, it still says
    assert f"crash: the last transitions are in {path}" in stderr
    first, machine, *transitions = read(path, strict=True)
    assert isinstance(first, FileLine)
    assert (first.reason, first.error) == ("crash", "ValueError('token=… is no good')")
    assert 'raise ValueError("token' in first.traceback or "ValueError: token=…" in first.traceback
    assert isinstance(machine, MachineLine)
    assert (machine.machine, machine.clock) == ("f", {"start": 2, "login": 2})
    asked = [(t.id, t.outcome, t.exits) for t in transitions if isinstance(t, TransitionLine)]
    assert asked == [
        ("f/1", "executed", ()),
        ("f/2", "executed", ()),
        ("f/3", "executed", ("start", "login")),
    ]
    text = path.read_text()
    assert "t0ps3cret" not in text
    for words in (
        "# amachine: crash: ValueError('token=… is no good')\n",
        "# ValueError: token=… is no good\n",
        "#   f | start:2 login:2\n",
        "# 3 transitions are below, 0 before them are lost.",
        "f/2 add login(user='u', password=…) → executed +login\n",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("code", "status", "reasons"),
    [
        ("live(); t = threading.Thread(target=lambda: 1/0, name='worker'); t.start(); t.join()", 0,
         ["crash in thread worker"]),
        ("live()\nasync def main(): raise ValueError\nasyncio.run(main())", 1, ["crash"]),
        ("live(); sys.exit(3)", 3, []),
        ("live(); raise KeyboardInterrupt", 130, []),
        ("live(); os._exit(4)", 4, []),
        ("dump_on_crash(os.environ['AMACHINE_CRASH'] + '/more', at_exit=True); live(); sys.exit(3)", 3, ["exit"]),
        ("dump_on_crash(os.environ['AMACHINE_CRASH'] + '/more', at_exit=True)", 0, []),
    ],
)  # fmt: skip
def test_how_a_program_ends_says_whether_there_is_a_dump(
    tmp_path: Path, code: str, status: int, reasons: list[str]
) -> None:
    got, _, paths = die(tmp_path / "c", code)
    files = [each for path in paths for each in (path.iterdir() if path.is_dir() else [path])]
    firsts = [next(iter(read(file))) for file in files]
    assert [first.reason for first in firsts if isinstance(first, FileLine)] == reasons
    assert got in (status, -2)  # a shell says 130 where the signal is -2


def test_a_loop_of_asyncio_tells_when_it_is_told_to(tmp_path: Path) -> None:
    code = """
dump = dump_on_crash(os.environ["AMACHINE_CRASH"] + "/loop")
async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(dump.on_loop_error)
    live()
    loop.call_soon(lambda: 1/0)
    await asyncio.sleep(0)
asyncio.run(main())
"""
    status, stderr, (folder,) = die(tmp_path, code)
    assert status == 0
    assert "Exception in callback" in stderr
    (first, *_rest) = read(next(folder.iterdir()))
    assert isinstance(first, FileLine)
    assert first.reason.startswith("crash in an event loop: Exception in callback")
    assert first.error.startswith("ZeroDivisionError")


def test_without_being_asked_nothing_is_dumped(tmp_path: Path) -> None:
    status, stderr, paths = die(tmp_path, "live(); raise ValueError", asked=False)
    assert (status, paths) == (1, [])
    assert "amachine" not in stderr


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, stderr, paths = die(tmp_path / "file" / "x", "live(); raise ValueError('x')")
    assert (status, paths) == (1, [])
    assert stderr.count("no crash dump in") == 1
    assert stderr.rstrip().endswith("ValueError: x")


def test_hooks_are_chained_and_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def main_hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        seen.append(error)

    def thread_hook(crash: Any) -> None:
        seen.append(crash.exc_value)

    monkeypatch.setattr(sys, "excepthook", main_hook)
    monkeypatch.setattr(threading, "excepthook", thread_hook)
    before = sys.excepthook, threading.excepthook, list(binding.everywhere)
    error = ValueError("x")
    with dump_on_crash(tmp_path) as dump:
        assert dump.recorder in binding.everywhere
        Counter("c").hit.add()
        sys.excepthook(ValueError, error, None)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    assert (sys.excepthook, threading.excepthook, binding.everywhere) == before
    assert seen[0] is error
    assert isinstance(seen[1], ZeroDivisionError)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_hook_on_top_of_ours_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def before(*args: Any) -> None:
        pass

    monkeypatch.setattr(sys, "excepthook", before)
    dump = dump_on_crash(tmp_path)
    ours = sys.excepthook

    def other(*args: Any) -> None:
        ours(*args)

    sys.excepthook = other
    dump.uninstall()
    assert sys.excepthook is other
    other(ValueError, ValueError(), None)
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_leaves_the_block_is_dumped_and_goes_on(tmp_path: Path) -> None:
    recorder = Recorder(limit=2)
    counter = Counter("c", tracers=[recorder])
    for _ in range(5):
        counter.hit.add()
    with pytest.raises(ZeroDivisionError), dump_on_crash(tmp_path, recorder=recorder) as dump:
        _ = 1 / 0
    assert dump.last is not None
    assert [line.id for line in read(dump.last) if isinstance(line, TransitionLine)] == ["c/4", "c/5"]
    assert "# 2 transitions are below, 3 before them are lost." in dump.last.read_text()


def test_old_dumps_make_room_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "crash-notes.jsonl").touch()
    with dump_on_crash(tmp_path, keep=2) as dump:
        written = [dump.write() for _ in range(4)]
    assert {*tmp_path.iterdir()} == {*written[2:], tmp_path / "crash-notes.jsonl"}
    with pytest.raises(ValueError, match="keep is 0"):
        dump_on_crash(tmp_path, keep=0)


def test_lines_of_the_log_are_in_the_dump_where_they_were_said(tmp_path: Path) -> None:
    class Talker(Machine):
        one = State()
        two = State()

        @one.state
        def say(self, e: Any) -> None:
            logging.getLogger("app").warning("hello")

    recorder = Recorder()
    capture = LogCapture(recorder)
    logging.getLogger("app").addHandler(capture)
    try:
        talker = Talker("t", tracers=[recorder])
        talker.one.add()
        talker.two.add()
    finally:
        logging.getLogger("app").removeHandler(capture)
    with dump_on_crash(tmp_path, recorder=recorder) as dump:
        path = dump.write("asked")
    assert path is not None
    _, _, said, *transitions = read(path, strict=True)
    assert isinstance(said, SaidLine)
    assert (said.text, said.transition) == ("hello", "t/1")
    assert len(transitions) == 2
