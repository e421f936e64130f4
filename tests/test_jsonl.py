"""Lines of JSON: what is in them, and that nothing which happens to the file reaches a machine."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from amachine import Event, JsonlTracer, LogCapture, Machine, ProtocolError, State
from amachine.mutation import Kind
from amachine.tracers import rotating, writing
from amachine.tracers.jsonl import read
from amachine.tracers.lines import (
    DroppedLine,
    FileLine,
    Line,
    MachineLine,
    QueuedLine,
    SaidLine,
    TaskLine,
    TransitionLine,
    WaitLine,
    encode,
    rotated,
    when,
)


@attrs.frozen
class Job:
    path: str
    token: str = "t0ps3cret"


class Flow(Machine):
    start = State()
    reading = State(Job, require=[start])
    auto = State(auto=True, require=[start])
    bad = State()
    hit = State(multi=True)

    @auto.enter
    def refuse(self, e: Event[Any]) -> bool:
        return False

    @reading.state
    def read(self, e: Event[Job]) -> None:
        logging.getLogger("app").warning("reading %s", e.args.path, extra={"token": "t0ps3cret", "size": 3})
        self.hit.add()

    @bad.state
    def break_it(self, e: Event[Any]) -> None:
        raise ValueError("login with password=t0ps3cret failed")


class Counter(Machine):
    hit = State(multi=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "flow.jsonl"


@pytest.fixture(autouse=True)
def captured_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What the engine says of errors that nobody handles is not for the screen."""
    logger = logging.getLogger("amachine")
    logger.propagate, before = False, logger.propagate
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)
    logger.propagate = before


def live(path: Path, **options: Any) -> list[Any]:
    """The lines of one and the same life."""
    tracer = JsonlTracer(path, now=lambda: 1_700_000_002.0, **options)
    flow = Flow("f", tracers=[tracer], handler_timeout=None)
    flow.reading.add("a.txt")
    flow.start.add()
    flow.reading.add("b.txt")
    flow.start.add()
    wait = flow.when_not("start")
    flow.start.remove()
    assert wait.done
    flow.bad.add()
    flow.close()
    assert tracer.close()
    assert tracer.dropped == 0
    return list(read(path, strict=True))


def told(lines: list[Any]) -> list[str]:
    return [
        f"{line.what} {line.id} {line.kind.value} {' '.join(line.called)} {line.outcome}"
        if isinstance(line, TransitionLine)
        else line.what
        for line in lines
    ]


def test_changes_are_what_changed_and_what_was_refused(path: Path) -> None:
    lines = live(path)
    assert told(lines) == [
        "file",
        "opened",
        "transition f/1 add reading canceled",
        "transition f/2 add start executed",
        "transition f/4 add reading executed",
        "transition f/6 add hit executed",
        "transition f/9 remove start executed",
        "transition f/11 add bad failed",
        "transition f/12 add Exception executed",
        "closed",
    ]
    first, opened, refused, _, read_b, hit, removed, failed, _, closed = lines
    assert (first.format, first.version, first.pid) == ("amachine", 1, os.getpid())
    assert (opened.machine, opened.type, opened.active) == ("f", "Flow", ())
    assert refused.why == "reading requires start, which is inactive"
    assert refused.args == {"path": "'a.txt'", "token": "…"}
    assert (read_b.enters, read_b.ticks, read_b.active) == (
        ("reading",),
        {"reading": 1},
        ("start", "reading"),
    )
    assert (hit.cause, hit.by, hit.depth) == ("f/4", "add reading", 1)
    assert (removed.exits, removed.kind) == (("start", "reading"), Kind.REMOVE)
    assert (failed.put_back, failed.committed, failed.accepted) == (("bad",), True, False)
    assert "ValueError" in failed.traceback
    assert closed.clock == {"start": 2, "reading": 2, "bad": 2, "hit": 1, "Exception": 1}
    assert "t0ps3cret" not in path.read_text()


@pytest.mark.parametrize(
    ("level", "kinds"),
    [
        ("nothing", set[type]()),
        ("external", {FileLine, TransitionLine}),
        ("operations", {FileLine, MachineLine, TransitionLine, QueuedLine}),
        ("decisions", {FileLine, MachineLine, TransitionLine, QueuedLine}),
        ("everything", {FileLine, MachineLine, TransitionLine, QueuedLine, WaitLine}),
    ],
)
def test_a_level_says_what_is_written(path: Path, level: str, kinds: set[type[Line]]) -> None:
    lines = live(path, level=level) if level != "nothing" else []
    assert {type(line) for line in lines} == kinds
    transitions = [line for line in lines if isinstance(line, TransitionLine)]
    if level == "external":
        assert [line.id for line in transitions] == ["f/11", "f/12"]
    elif level != "nothing":
        assert [line.id for line in transitions] == [f"f/{n}" for n in range(1, 14)]
    assert any(line.without for line in transitions) == (level in ("decisions", "everything"))
    assert any(line.handlers for line in transitions) == (level == "everything")


def test_nothing_makes_no_file(path: Path) -> None:
    with JsonlTracer(path, level="nothing") as tracer:
        Flow(tracers=[tracer]).start.add()
    assert not path.parent.exists()


def test_lines_are_for_people_too(path: Path) -> None:
    """Time first, then what it is; the same keys in the same order, and none with nothing to say."""
    live(path)
    lines = path.read_text().splitlines()
    assert lines[3] == (
        '{"at":"2023-11-14T22:13:22Z","what":"transition","id":"f/2","machine":"f","kind":"add","called":["start"],'
        '"outcome":"executed","enters":["start"],"active":["start"],"ticks":{"start":1}}'
    )
    assert all(list(json.loads(line))[:2] == ["at", "what"] for line in lines)


async def test_tasks_are_operations(path: Path) -> None:
    class Worker(Machine):
        work = State()
        fail = State()

        @work.task
        async def do(self, e: Event[Any]) -> None:
            pass

        @fail.task
        async def do_not(self, e: Event[Any]) -> None:
            raise ValueError("secret: t0ps3cret")

    with JsonlTracer(path, level="operations") as tracer:
        async with Worker("w", tracers=[tracer]) as worker:
            worker.add(Worker.work, Worker.fail)
            await worker.when_error()
    tasks = [line for line in read(path, strict=True) if isinstance(line, TaskLine)]
    assert {(line.state, line.outcome, line.error) for line in tasks} == {
        ("work", "started", ""),
        ("work", "done", ""),
        ("fail", "started", ""),
        ("fail", "failed", "ValueError('secret: …')"),
    }


def test_lines_of_the_log_stand_between_transitions(path: Path) -> None:
    tracer = JsonlTracer(path)
    logger, capture = logging.getLogger("app"), LogCapture(tracer)
    logger.addHandler(capture)
    try:
        flow = Flow("f", tracers=[tracer])
        flow.start.add()
        flow.reading.add("a.txt")
        logger.warning("outside")
    finally:
        logger.removeHandler(capture)
    tracer.close()
    said = [line for line in read(path) if isinstance(line, SaidLine)]
    assert [(s.text, s.severity, s.logger, s.transition, s.fields) for s in said] == [
        ("reading a.txt", "WARNING", "app", "f/3", {"token": "…", "size": "3"})
    ]


# -- files


def test_a_file_that_is_full_gives_way_and_old_ones_go(path: Path) -> None:
    with JsonlTracer(path, max_bytes=2000, keep=2) as tracer:
        flow = Counter("f", tracers=[tracer], handler_timeout=None)
        for _ in range(50):
            flow.hit.add()
    files = [*rotated(path), path]
    assert len(files) == 3
    assert all(file.stat().st_size <= 2000 for file in files)
    assert all(next(iter(read(file))).what == "file" for file in files)
    numbers = [int(line.id[2:]) for line in read(path, strict=True) if isinstance(line, TransitionLine)]
    assert numbers == list(
        range(numbers[0], 51)
    )  # the last ones, each once, from the oldest file to the newest
    assert numbers[0] > 1


def test_a_file_that_is_old_gives_way_also_one_of_an_earlier_run(path: Path) -> None:
    now = [1_700_000_000.0]
    for _ in range(2):
        with JsonlTracer(path, max_age=60, keep=None, now=lambda: now[0]) as tracer:
            flow = Counter("f", tracers=[tracer])
            flow.hit.add()
            tracer.flush()
            now[0] += 59
            flow.hit.add()
            tracer.flush()
            now[0] += 2
    assert [file.name for file in rotated(path)] == ["flow.20231114T221421.000000.jsonl"]
    assert len([line for line in read(path) if line.what == "transition"]) == 4


def test_a_second_run_goes_on_behind_a_line_that_was_cut(path: Path) -> None:
    live(path)
    before = path.read_bytes()
    path.write_bytes(before + b'{"at":"2023-11-14T22:13:22Z","wha')
    with JsonlTracer(path, max_age=None) as tracer:
        Counter("g", tracers=[tracer]).hit.add()
    assert path.read_bytes().startswith(before)
    assert [line.id for line in read(path) if isinstance(line, TransitionLine)][-1] == "g/1"
    with pytest.raises(ProtocolError, match=r"flow\.jsonl:11: "):
        list(read(path, strict=True))


def test_a_reader_skips_what_it_does_not_know_and_refuses_a_later_format(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('# for people\n\n{"at":"2023-11-14T22:13:22Z","what":"news","x":1}\n')
    (line,) = read(path, strict=True)
    assert (type(line), line.what) == (Line, "news")
    path.write_text('{"at":"2023-11-14T22:13:22Z","what":"file","format":"amachine","version":2}\n')
    with pytest.raises(ProtocolError, match="this is amachine 2, not amachine up to 1"):
        list(read(path))
    with pytest.raises(FileNotFoundError, match=r"no\.jsonl"):
        list(read(tmp_path / "no.jsonl"))


def test_text_that_is_no_unicode_is_written_nevertheless() -> None:
    line = MachineLine(at=when(0.0), what="opened", machine="a\udc80", clock={"b\udc80": 1})
    assert msgspec.json.decode(encode(line))["clock"] == {"b\\udc80": 1}


# -- troubles


def test_a_folder_that_is_taken_away_costs_lines_and_one_warning(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = JsonlTracer(path)
    flow = Counter("f", tracers=[tracer])
    flow.hit.add()
    assert tracer.flush()
    path.rename(path.parent.parent / "away.jsonl")
    path.parent.rmdir()
    for _ in range(3):
        assert flow.hit.add()
        assert tracer.flush()
    assert tracer.dropped == 3
    assert [r.getMessage().partition(" (")[0] for r in caplog.records] == [f"{path} cannot be written"]
    monkeypatch.setattr(writing, "RETRY", 0.0)
    path.parent.mkdir()
    flow.hit.add()
    assert tracer.close()
    lines = list(read(path, strict=True))
    assert [line.what for line in lines] == ["file", "dropped", "transition"]
    assert isinstance(lines[1], DroppedLine)
    assert lines[1].lines == 3
    assert tracer.dropped == 3


def test_a_full_disk_cuts_a_line_and_mixes_none(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [10_000]

    class Disk(FileIO):
        def write(self, data: Any, /) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            done = super().write(memoryview(data)[: room[0]])
            room[0] -= done
            return done

    monkeypatch.setattr(rotating, "FileIO", Disk)
    monkeypatch.setattr(writing, "RETRY", 0.0)
    tracer = JsonlTracer(path)
    flow = Counter("f", tracers=[tracer])
    assert tracer.flush()
    room[0] = 230  # one line, and a part of the next
    flow.hit.add()
    flow.hit.add()
    assert tracer.flush()
    assert tracer.dropped == 1
    assert caplog.text.count("cannot be written") == 1
    room[0] = 10_000
    flow.hit.add()
    assert tracer.close()
    lines = list(read(path))
    assert [line.id for line in lines if isinstance(line, TransitionLine)] == ["f/1", "f/3"]
    assert [line.lines for line in lines if isinstance(line, DroppedLine)] == [1]


def test_what_does_not_fit_into_the_buffer_is_dropped_and_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk hangs; the machine does not."""
    hangs, entered = threading.Event(), threading.Event()

    class Disk(FileIO):
        def write(self, data: Any, /) -> int:
            entered.set()
            assert hangs.wait(60)
            return super().write(data)

    monkeypatch.setattr(rotating, "FileIO", Disk)
    tracer = JsonlTracer(path, buffer=10)
    flow = Counter("f", tracers=[tracer], handler_timeout=None)
    assert entered.wait(60)
    for _ in range(100):
        assert flow.hit.add()
    assert not tracer.flush(timeout=0.0)
    hangs.set()
    assert tracer.flush(60)
    flow.hit.add()
    assert tracer.close()
    lines = list(read(path, strict=True))
    written = [int(line.id[2:]) for line in lines if isinstance(line, TransitionLine)]
    dropped = sum(line.lines for line in lines if isinstance(line, DroppedLine))
    assert dropped == tracer.dropped >= 89
    assert len(written) + dropped == 101
    assert (written[0], written[-1]) == (1, 101)


def hit_often(counter: Counter) -> None:
    for _ in range(200):
        counter.hit.add()


def test_threads_lose_and_mix_nothing(path: Path) -> None:
    with JsonlTracer(path, buffer=100_000, max_bytes=40_000, keep=None) as tracer:
        flows = [Counter(f"f{n}", tracers=[tracer], handler_timeout=None) for n in range(4)]
        threads = [threading.Thread(target=hit_often, args=(flow,)) for flow in flows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ids = [line.id for line in read(path, strict=True) if isinstance(line, TransitionLine)]
    assert len(rotated(path)) > 1
    for n in range(4):
        assert [id for id in ids if id.startswith(f"f{n}/")] == [f"f{n}/{i}" for i in range(1, 201)]


def test_a_tracer_that_is_collected_has_written_all(path: Path) -> None:
    tracer = JsonlTracer(path)
    Counter("f", tracers=[tracer]).hit.add()
    thread = tracer._writer._thread
    assert thread is not None
    del tracer
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()
    assert [line.what for line in read(path, strict=True)][:3] == ["file", "opened", "transition"]


def test_the_end_of_the_program_writes_all_and_a_child_writes_its_own(tmp_path: Path) -> None:
    code = """
import os, sys, warnings
from amachine import *
warnings.simplefilter("ignore", DeprecationWarning)  # to fork while a thread runs: that is what is tried
class Flow(Machine):
    hit = State(multi=True)
flow = Flow("f", tracers=[JsonlTracer("flow.{pid}.jsonl")])
flow.hit.add()
child = os.fork()
flow.hit.add()
if not child:
    sys.exit(0)
os.waitpid(child, 0)
print(os.getpid(), child)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path, env=environment(),
    )  # fmt: skip
    parent, child = done.stdout.split()
    whats = {file.name: [line.what for line in read(file, strict=True)] for file in tmp_path.iterdir()}
    assert whats == {
        f"flow.{parent}.jsonl": ["file", "opened", "transition", "transition"],
        f"flow.{parent}.{child}.jsonl": ["file", "transition"],
    }


@pytest.mark.parametrize(
    "options",
    [{"max_bytes": 0}, {"max_age": 0}, {"keep": -1}, {"buffer": 0}, {"buffer": None}, {"level": "chnges"}],
)
def test_what_makes_no_sense_is_refused(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|did you mean 'changes'"):
        JsonlTracer(path, **options)


def environment() -> dict[str, str]:
    """One in which a new interpreter finds the amachine under test."""
    import amachine

    return {**os.environ, "PYTHONPATH": str(Path(amachine.__file__).parents[1])}
