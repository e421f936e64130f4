"""One readable line for each thing that happens, as far as the level goes."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import attrs
import pytest

from amachine import Event, Machine, State, binding
from amachine.tracers.log import LogLevel, LogTracer, log_all, machine_log
from amachine.tracers.shown import ArgsMapper


@attrs.frozen
class Job:
    path: str
    token: str = "t0ps3cret"


class Flow(Machine):
    start = State()
    reading = State(Job, require=[start])
    auto = State(auto=True, require=[start])
    bad = State()

    @auto.enter
    def refuse(self, e: Event[Any]) -> bool:
        return False

    @bad.state
    def break_it(self, e: Event[Any]) -> None:
        raise ValueError("broken")

    @reading.state
    def read(self, e: Event[Job]) -> None:
        machine_log(self).info("read %s of 100%%", e.args.path)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("amachine")
    before = logger.level
    caplog.set_level(1, "amachine")
    yield caplog
    logger.setLevel(before)


def run(level: str, lines: pytest.LogCaptureFixture, **options: Any) -> list[str]:
    """What is logged of one and the same life, errors of the machine itself left out."""
    flow = Flow("f", tracers=[LogTracer(level, **options)], handler_timeout=None)
    flow.start.add()
    flow.reading.add("a.txt")
    flow.remove("start", "bad")
    flow.reading.add("b.txt")
    flow.bad.add()
    waiting = flow.when("start")
    flow.start.add()
    assert waiting.done
    flow.start.add()
    flow.close()
    return [record.getMessage() for record in lines.records if record.name != "amachine"]


CHANGES = [
    "[open] f",
    "[state] f +start",
    "[note] f read a.txt of 100%",
    "[state] f +reading",
    "[state] f -start -reading",
    "[cancel] f add reading(path='b.txt', token=…): reading requires start, which is inactive",
    "[state] f !bad",
    "[cancel] f add bad: Flow.break_it (BadState) raised ValueError('broken')",
    "[error] f ValueError('broken') in Flow.break_it (BadState)",
    "[state] f +Exception",
    "[state] f +start",
]


def without(lines: list[str], *tags: str) -> list[str]:
    return [line for line in lines if not line.startswith(tuple(f"[{tag}]" for tag in tags))]


def test_lines_that_are_not_wanted_can_be_left_out(lines: pytest.LogCaptureFixture) -> None:
    said = run("everything", lines, without=["wait", "idle", "call", "queue"])
    tags = {line.partition("]")[0][1:] for line in said}
    assert tags == {"add", "auto", "cancel", "close", "error", "note", "open", "remove", "same", "state", "veto",
                    "without"}  # fmt: skip
    with pytest.raises(ValueError, match=r"no line has the tag 'wiat' \(did you mean 'wait'\?\)"):
        LogTracer(without=["wiat"])


def test_external_has_what_programs_say_and_errors(lines: pytest.LogCaptureFixture) -> None:
    assert run("external", lines) == [CHANGES[2], CHANGES[8]]


def test_changes_have_states_and_refusals(lines: pytest.LogCaptureFixture) -> None:
    assert without(run("changes", lines), "close") == CHANGES
    assert lines.messages[-1] == "[close] f start:3 Exception:1 | reading:2 bad:2"


def test_operations_add_what_is_asked_and_by_whom(lines: pytest.LogCaptureFixture) -> None:
    found = run("operations", lines)
    assert set(CHANGES) < set(found)
    assert found[:4] == ["[open] f", "[add] f start", "[queue] f auto auto in front", "[state] f +start"]
    assert found[4] == "[auto] f auto by f/1"
    assert "[add] f reading(path='a.txt', token=…)" in found
    assert "[remove] f start, bad" in found
    assert "t0ps3cret" not in "".join(found)
    assert not [line for line in found if line.startswith(("[call]", "[veto]", "[wait]", "[without]"))]


def test_decisions_add_who_was_left_out_and_why(lines: pytest.LogCaptureFixture) -> None:
    found = run("decisions", lines)
    assert "[veto] f Flow.refuse (AutoEnter)" in found
    assert "[cancel] f auto auto: AutoEnter (Flow.refuse) said no" in found
    assert "[without] f reading: reading requires start, which would be lost" in found
    assert not [line for line in found if line.startswith(("[call]", "[wait]", "[idle]"))]


def test_everything_adds_handlers_waits_and_idleness(lines: pytest.LogCaptureFixture) -> None:
    found = run("everything", lines)
    assert "[wait] f when(start) of f …" in found
    assert "[wait] f when(start) of f done" in found
    assert "[idle] f" in found
    assert "[same] f add start" in found
    assert [line for line in found if line.startswith("[call] f Flow.read (ReadingState) ")]


def test_nothing_logs_nothing(lines: pytest.LogCaptureFixture) -> None:
    assert run("nothing", lines) == [CHANGES[2]]


def test_each_level_is_a_logger_and_a_severity(lines: pytest.LogCaptureFixture) -> None:
    run("everything", lines)
    tagged = [record for record in lines.records if "tag" in vars(record)]
    said = {vars(record)["tag"]: (record.name, record.levelname) for record in tagged}
    assert said["note"] == ("amachine.external", "INFO")
    assert said["error"] == ("amachine.external", "WARNING")
    assert said["state"] == ("amachine.changes", "INFO")
    assert said["add"] == ("amachine.operations", "DEBUG")
    assert said["veto"] == ("amachine.decisions", "DEBUG")
    assert said["call"] == ("amachine.everything", "DEBUG")


def test_records_know_their_machine_and_transition(lines: pytest.LogCaptureFixture) -> None:
    run("changes", lines)
    about = {
        r.getMessage(): (vars(r)["machine"], vars(r)["transition"])
        for r in lines.records
        if r.name != "amachine"
    }
    assert about["[note] f read a.txt of 100%"] == ("f", "f/3")
    assert about["[state] f +reading"] == ("f", "f/3")
    assert about["[open] f"] == ("f", "")


def test_ids_and_arguments_can_be_left_out_or_mapped(lines: pytest.LogCaptureFixture) -> None:
    assert "[state] +reading" in run("changes", lines, machine_ids=False)
    lines.clear()
    assert "[add] f reading" in run("operations", lines, args=None)
    lines.clear()
    assert "[add] f reading(path=…)" in run(
        "operations", lines, args=ArgsMapper(redact=("path",), names=["path"])
    )


async def test_tasks_are_operations(lines: pytest.LogCaptureFixture) -> None:
    class Works(Machine):
        a = State()

        @a.task
        async def quick(self, e: Event[Any]) -> None:
            pass

    async with Works("w", tracers=[LogTracer("operations")]) as works:
        works.a.add()
        await anyio.wait_all_tasks_blocked()
    assert "[task] w Works.quick (ATask) of a started" in lines.messages
    assert "[task] w Works.quick (ATask) of a done" in lines.messages


def test_a_level_overrides_only_the_hooks_that_it_needs() -> None:
    assert Flow("f", tracers=[LogTracer("nothing")])._hooks_ is None
    hooks = Flow("f", tracers=[LogTracer("changes")])._hooks_
    assert hooks is not None
    assert not hooks.handlers
    assert repr(LogTracer("changes")) == "<LogTracer changes>"


def test_a_subclass_of_a_level_stays_what_it_is() -> None:
    class Mine(LogTracer):
        pass

    assert type(Mine("changes")) is Mine


@pytest.mark.parametrize(
    ("text", "level"), [("", 0), ("0", 0), ("Changes", 2), (" everything ", 5), ("3", 3)]
)
def test_levels_are_read_by_name_and_number(text: str, level: int) -> None:
    assert LogLevel.read(text) == level


@pytest.mark.parametrize("text", ["change", "6", "-1"])
def test_an_unknown_level_names_those_there_are(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMACHINE_LOG", text)
    with pytest.raises(ValueError, match=r"AMACHINE_LOG: .* is no log level.*nothing, external, changes"):
        LogTracer()


def test_the_environment_sets_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMACHINE_LOG", raising=False)
    assert LogTracer().level is LogLevel.CHANGES
    assert LogLevel.from_environment() is LogLevel.NOTHING
    assert log_all() is None
    monkeypatch.setenv("AMACHINE_LOG", "decisions")
    assert LogTracer().level is LogLevel.DECISIONS


def test_every_machine_logs_when_the_environment_says_so(monkeypatch: pytest.MonkeyPatch, lines: Any) -> None:
    monkeypatch.setattr(binding, "everywhere", [])
    monkeypatch.setenv("AMACHINE_LOG", "changes")
    tracer = log_all()
    flow = Flow("f")
    assert flow.tracers == (tracer,)
    flow.start.add()
    assert "[state] f +start" in lines.messages


PROGRAM = """
from amachine import Machine
from amachine.tracers.log import log_all
log_all()
Machine.of({"Wet": {}}, "m").add("Wet")
"""


def test_without_any_set_up_the_lines_go_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={"AMACHINE_LOG": "changes", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split(" ", 2)[2] for line in done.stderr.splitlines()] == ["[open] m", "[state] m +Wet"]


def test_a_machine_log_keeps_the_ways_of_logging(lines: pytest.LogCaptureFixture) -> None:
    flow = Machine.of({"Wet": {}}, "50%")
    log = machine_log(flow)
    log.warning("half full")
    log.info("%d left", 3, extra={"tag": "mine"})
    assert lines.messages == ["[note] 50% half full", "[note] 50% 3 left"]
    assert [vars(record)["tag"] for record in lines.records] == ["note", "mine"]


def test_a_machine_log_shows_the_line_that_said_it(lines: pytest.LogCaptureFixture) -> None:
    machine_log(Machine.of({"Wet": {}}, "m")).info("here")
    assert lines.records[0].funcName == "test_a_machine_log_shows_the_line_that_said_it"
