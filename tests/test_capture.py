"""What is said to `logging` while a machine works is known to belong to its transition."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from amachine import Event, LogCapture, LogContext, LogTracer, Machine, Recorder, State, machine_log
from amachine.tracers.record import LogLine

app = logging.getLogger("app.part")


class Flow(Machine):
    one = State()
    work = State()
    bad = State()

    @one.state
    def say(self, e: Event[Any]) -> None:
        app.info("one of %s, api_key=%s", "x", "t0ps3cret", extra={"password": "t0ps3cret", "size": 3})
        machine_log(self).info("noted")

    @work.task
    async def later(self, e: Event[Any]) -> None:
        app.info("in the background")

    @bad.state
    def fail(self, e: Event[Any]) -> None:
        try:
            raise ValueError("token: t0ps3cret")
        except ValueError:
            app.exception("it broke")


@pytest.fixture
def recorder(caplog: pytest.LogCaptureFixture) -> Iterator[Recorder]:
    recorder = Recorder()
    capture = LogCapture(recorder)
    caplog.set_level(logging.DEBUG)
    logging.getLogger().addHandler(capture)
    yield recorder
    logging.getLogger().removeHandler(capture)


def test_a_recorder_keeps_what_was_said_in_each_transition(recorder: Recorder) -> None:
    flow = Flow("f", tracers=[recorder, LogTracer("everything")])
    app.info("outside")
    flow.one.add()
    flow.bad.add()
    first, second = recorder
    assert [(line.logger, line.severity, str(line)) for line in recorder.log_of(first)] == [
        ("app.part", "INFO", "INFO app.part: one of x, api_key=…(password=…, size=3)"),
        ("amachine.external", "INFO", "INFO amachine.external: [note] f noted"),
    ]
    assert [line.text for line in recorder.log_of(second.id)] == ["it broke (ValueError('token: …'))"]
    assert {line.machine for line in recorder.log} == {"f"}  # and not what a LogTracer says of it
    recorder.clear()
    assert recorder.log == ()


async def test_a_task_speaks_for_the_transition_that_started_it(recorder: Recorder) -> None:
    async with Flow("f", tracers=[recorder]) as flow:
        flow.work.add()
        await flow.when_idle()
        while not recorder.log:
            from anyio.lowlevel import checkpoint

            await checkpoint()
    assert [(line.text, line.transition) for line in recorder.log] == [("in the background", "f/1")]


def test_lines_of_no_transition_are_handed_on_where_they_are_wanted() -> None:
    class Ear:
        def __init__(self) -> None:
            self.lines: list[LogLine] = []

        def log_said(self, line: LogLine) -> None:
            self.lines.append(line)

    ear = Ear()
    capture = LogCapture(ear, level="WARNING", outside=True)
    app.addHandler(capture)
    app.info("quiet")
    app.warning("loud")
    app.removeHandler(capture)
    assert [(line.text, line.machine, line.transition) for line in ear.lines] == [("loud", "", "")]
    with pytest.raises(ValueError, match="without listeners"):
        LogCapture()


def test_a_listener_that_fails_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def log_said(self, line: LogLine) -> None:
            raise RuntimeError

    monkeypatch.setattr(logging, "raiseExceptions", False)
    capture = LogCapture(Deaf(), outside=True)
    app.addHandler(capture)
    app.warning("loud")
    app.removeHandler(capture)


def test_any_format_can_name_the_transition(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(None)
    handler.setFormatter(logging.Formatter("<%(machine)s> <%(transition)s> %(message)s"))
    handler.addFilter(LogContext())
    app.addHandler(handler)
    app.setLevel(logging.INFO)
    try:
        Flow("f").one.add()
        app.info("outside")
    finally:
        app.removeHandler(handler)
        app.setLevel(logging.NOTSET)
    assert capsys.readouterr().err == "<f> <f/1> one of x, api_key=t0ps3cret\n<> <> outside\n"
