"""Machines on the screen: looked at as text, with and without a terminal."""

from __future__ import annotations

import gc
import io
import re
import weakref
from typing import Any

import pytest
from rich.console import Console

from amachine import Event, Machine, State, exclusive
from amachine.tracers.console import ConsoleTracer


class Flow(Machine):
    start = State()
    idle = State(require=[start])
    busy = State(require=[start])
    phase = exclusive(idle, busy)
    bad = State()

    @bad.state
    def break_it(self, e: Event[Any]) -> None:
        raise ValueError("broken")

    @Machine.Exception.state
    def heard(self, e: Event[Any]) -> None:
        pass


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def screen(*, terminal: bool, width: int = 100, height: int = 40) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        height=height,
        color_system=None,
        legacy_windows=False,
    )


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def picture(tracer: ConsoleTracer, **options: Any) -> str:
    console = screen(terminal=False, **options)
    console.print(tracer)
    return text(console)


def test_without_a_terminal_the_last_picture_is_printed_once() -> None:
    console = screen(terminal=False)
    with ConsoleTracer(console=console) as tracer:
        flow = Flow("f", handler_timeout=None)
        flow.attach(tracer)
        flow.start.add()
        flow.idle.add()
        assert text(console) == ""
    assert flow.tracers == ()
    shown = text(console)
    assert shown.count("1 machine · 2 transitions") == 1
    assert re.search(r"^f +start:1 idle:1 +2 +left$", shown, re.MULTILINE)
    assert "\x1b" not in shown


def test_it_shows_states_clocks_refusals_failures_and_errors() -> None:
    tracer = ConsoleTracer()
    flow = Flow("f", tracers=[tracer], handler_timeout=None)
    flow.idle.add()
    flow.start.add()
    flow.busy.add()
    flow.idle.add()
    flow.bad.add()
    shown = picture(tracer)
    assert re.search(r"^f +Exception:1 start:1 idle:1 +4 +1 +1 +now$", shown, re.MULTILINE)
    assert "idle requires start, which is inactive" in shown
    assert "+idle -busy" in shown
    assert "add bad" in shown
    assert re.search(
        r"errors *\n\d\d:\d\d:\d\d +f +ValueError\('broken'\) in Flow.break_it \(BadState\)", shown
    )


def test_columns_of_nothing_but_zeros_are_left_out() -> None:
    tracer = ConsoleTracer()
    flow = Flow("f", tracers=[tracer])
    flow.start.add()
    header = picture(tracer).splitlines()[1].split()
    assert header == ["machine", "states", "and", "clocks", "executed", "last"]
    flow.busy.add()
    flow.remove("start")
    flow.busy.add()
    assert "canceled" in picture(tracer).splitlines()[1]


def test_what_has_just_ended_stands_behind_a_bar_for_a_second() -> None:
    clock = Clock()
    tracer = ConsoleTracer(now=clock)
    flow = Flow("f", tracers=[tracer])
    flow.start.add()
    flow.busy.add()
    flow.idle.add()
    assert "start:1 idle:1 | busy:2" in picture(tracer)
    clock.now += 5
    shown = picture(tracer)
    assert "busy:2" not in shown.splitlines()[2]
    assert shown.splitlines()[2].endswith("5 s")
    clock.now += 300
    assert picture(tracer).splitlines()[2].endswith("5 min")


def test_machines_are_sorted_as_people_do_and_children_follow() -> None:
    tracer = ConsoleTracer()
    parent = Flow("f-10", tracers=[tracer])
    children = [Flow(f"f-{i}", parent=parent) for i in (9, 2)]
    rows = [line.split()[0] for line in picture(tracer).splitlines()[2:5]]
    assert rows == ["f-2", "f-9", "f-10"]
    assert len(children) == 2


def test_on_a_terminal_it_is_drawn_and_what_does_not_fit_is_counted() -> None:
    console = screen(terminal=True, height=20)
    with ConsoleTracer(console=console, refresh=1, recent=3) as tracer:
        machines = [Flow(f"f-{i}", tracers=[tracer]) for i in range(30)]
        for machine in machines:
            machine.start.add()
    shown = text(console)
    assert "30 machines · 30 transitions" in shown
    assert re.search(r"… and \d+ more that changed earlier", shown)
    assert shown.count("add start") <= 3 * (shown.count("30 transitions") + 1)


def test_it_draws_no_oftener_than_it_is_asked_to() -> None:
    console = screen(terminal=True)
    with ConsoleTracer(console=console, refresh=0.5) as tracer:
        flow = Flow("f", tracers=[tracer])
        for _ in range(2000):
            flow.toggle("start")
    assert text(console).count("transitions ·") <= 4
    with pytest.raises(ValueError, match="above 0"):
        ConsoleTracer(refresh=0)


def test_it_keeps_no_machine_alive_and_says_which_are_gone() -> None:
    tracer = ConsoleTracer()

    def live() -> weakref.ref[Flow]:
        flow = Flow("f", tracers=[tracer])
        flow.start.add()
        flow.bad.add()
        Flow("closed", tracers=[tracer]).close()
        return weakref.ref(flow)

    ref = live()
    gc.collect()
    assert ref() is None
    shown = picture(tracer)
    assert re.search(r"^f +collected .*gone$", shown, re.MULTILINE)
    assert re.search(r"^closed .*closed$", shown, re.MULTILINE)


def test_of_many_short_lives_the_first_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from amachine.tracers import console

    monkeypatch.setattr(console, "ROWS", 10)
    tracer = ConsoleTracer()
    alive = Flow("alive", tracers=[tracer])
    for i in range(50):
        Flow(f"f-{i}", tracers=[tracer]).close()
    assert len(tracer._rows) <= 11
    alive.start.add()
    assert "alive" in picture(tracer)


async def test_tasks_are_counted_while_they_run() -> None:
    class Works(Machine):
        a = State()

        @a.task
        async def long(self, e: Event[Any]) -> None:
            import anyio

            shown.append(picture(tracer))
            await anyio.sleep_forever()

    shown: list[str] = []
    tracer = ConsoleTracer()
    async with Works("w", tracers=[tracer]) as works:
        works.a.add()
        import anyio

        await anyio.wait_all_tasks_blocked()
        assert "tasks" in shown[0].splitlines()[1]
        works.a.remove()
        await anyio.wait_all_tasks_blocked()
        assert "tasks" not in picture(tracer).splitlines()[1]
