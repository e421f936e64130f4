"""The recorder keeps what happened, answers why, and keeps nothing else alive."""

from __future__ import annotations

import gc
import threading
import weakref
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from amachine import Event, Kind, Machine, State
from amachine.mutation import Status
from amachine.tracers.recorder import Recorder
from amachine.tracers.shown import ArgsMapper


@attrs.frozen
class Job:
    path: str
    token: str = "t0ps3cret"
    blob: bytes = attrs.field(default=b"", repr=False)


class Flow(Machine):
    start = State()
    reading = State(Job, require=[start])
    done = State(remove=[reading])
    bad = State()

    @reading.enter
    def readable(self, e: Event[Job]) -> bool:
        return e.args.path != "locked"

    @reading.state
    def read(self, e: Event[Job]) -> None:
        if e.args.path == "short":
            self.done.add()

    @bad.state
    def break_it(self, e: Event[Any]) -> None:
        raise ValueError("broken")


class Busy(Flow):
    busy = State(auto=True, require=[Flow.reading])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def recorded(limit: int = 100, **options: Any) -> tuple[Recorder, Flow]:
    recorder = Recorder(limit, now=Clock(), **options)
    return recorder, Flow("f", tracers=[recorder], handler_timeout=None)


def ids(records: tuple[Any, ...]) -> list[str]:
    return [record.id for record in records]


def test_a_record_has_what_the_transition_had() -> None:
    recorder = Recorder(now=Clock())
    flow = Busy("f", tracers=[recorder], handler_timeout=None)
    flow.start.add()
    flow.reading.add("a.txt")
    first, refused, second, auto = recorder
    assert refused.outcome == "canceled: busy requires reading, which is inactive"
    assert [first.sequence, first.id, first.at, first.depth, first.cause] == [1, "f/1", 1001.0, 0, ""]
    assert [second.called, second.kind, second.enters, second.exits] == [
        ("reading",),
        Kind.ADD,
        ("reading",),
        (),
    ]
    assert second.args == {"path": "'a.txt'", "token": "…"}
    assert second.duration == sum(run.seconds for run in second.runs)
    assert [second.time_before, second.time_after] == [(1, 0, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0)]
    assert [auto.auto, auto.cause, auto.cause_mutation, auto.changes] == [True, "f/3", "add reading", "+busy"]
    assert auto.active == flow.active
    assert auto.time_after == flow.time
    assert recorder["f/3"] == second
    assert str(first) == "f/1 add start → executed +start"
    with pytest.raises(KeyError):
        recorder["f/9"]


def test_refusals_and_failures_say_why() -> None:
    recorder, flow = recorded()
    flow.reading.add("a.txt")
    flow.start.add()
    flow.reading.add("locked")
    flow.bad.add()
    refused, _, vetoed, failed, error = recorder
    assert [refused.status, refused.committed, refused.why] == [
        Status.CANCELED,
        False,
        "reading requires start, which is inactive",
    ]
    assert vetoed.outcome == "canceled: ReadingEnter (Flow.readable) said no"
    assert vetoed.enters == ()
    assert [failed.failed, failed.committed, failed.accepted, failed.put_back, failed.changes] == [
        True, True, False, ("bad",), "!bad",
    ]  # fmt: skip
    assert failed.outcome == "failed: Flow.break_it (BadState) raised ValueError('broken')"
    assert "ValueError: broken" in failed.traceback
    assert not failed.activated("bad")
    assert failed.changed("bad")
    assert error.args == {"error": "ValueError('broken')", "in": "Flow.break_it (BadState)"}
    assert error.time_after == flow.time


def test_find_asks_for_anything() -> None:
    recorder, flow = recorded()
    other = Flow("other", tracers=[recorder])
    flow.start.add()
    other.start.add()
    flow.reading.add("a.txt")
    flow.reading.add("locked")
    flow.bad.add()
    flow.remove("start")
    assert ids(recorder.find(machine="other")) == ids(recorder.find(machine=other)) == ["other/1"]
    assert ids(recorder.find(state="reading")) == ids(recorder.find(state=Flow.reading)) == ["f/2", "f/6"]
    assert ids(recorder.find(called=flow.reading)) == ["f/2", "f/3"]
    assert ids(recorder.find(kind="remove")) == ["f/6"]
    assert ids(recorder.find(status="canceled")) == ["f/4"]
    assert ids(recorder.find(failed=True)) == ["f/4"]
    assert recorder.find(auto=True) == ()
    assert ids(recorder.find(since=1002, until=1003)) == ["other/1", "f/2"]
    assert ids(recorder.find(until=datetime.fromtimestamp(1001, UTC))) == ["f/1"]
    assert ids(recorder.find(machine=flow, where=lambda r: "Exception" in r.enters)) == ["f/5"]
    assert recorder.find(state="unknown") == ()
    assert recorder.machines == ("f", "other")
    with pytest.raises(ValueError, match="sideways"):
        recorder.find(kind="sideways")


def test_why_a_state_is_active_is_a_chain_across_machines() -> None:
    recorder = Recorder()

    class Second(Machine):
        go = State()
        later = State(auto=True, require=[go])

    second = Second("second", tracers=[recorder])

    class First(Machine):
        a = State()

        @a.state
        def start_the_other(self, e: Event[Any]) -> None:
            second.go.add()

    First("first", tracers=[recorder]).a.add()
    story = recorder.why_active("later")
    assert ids(story.records) == ["first/1", "second/1", "second/2"]
    assert story.machines == ("first", "second")
    assert str(story) == (
        "later of second is active since second/2:\n"
        "first/1 add a → executed +a\n"
        "└ second/1 add go → executed +go\n"
        "  └ second/2 auto later → executed +later"
    ).replace("executed +a\n", f"executed +a{_took(recorder['first/1'])}\n")
    assert ids(recorder.why_active(second.later).records) == ids(story.records)
    second.remove("go")
    assert (
        str(recorder.why_active(second.later)).splitlines()[0]
        == "later of second is inactive since second/3:"
    )
    nothing = recorder.why_active("Exception", "first")
    assert not nothing
    assert str(nothing) == "nothing that is recorded has changed Exception of first"
    with pytest.raises(ValueError, match="second, first"):
        recorder.why_active("Exception")
    with pytest.raises(ValueError, match="none"):
        recorder.why_active("unheard")


def _took(record: Any) -> str:
    from amachine.tracers.shown import seconds_text

    return f" ({seconds_text(record.duration)})" if record.runs else ""


def test_a_story_has_causes_and_effects_and_says_what_is_lost() -> None:
    recorder, flow = recorded(limit=2)
    flow.start.add()
    flow.reading.add("short")
    assert ids(recorder.records) == ["f/2", "f/3"]
    assert ids(recorder.story("f/2").effects) == ["f/3"]
    assert ids(recorder.story(recorder["f/3"]).records) == ["f/2", "f/3"]
    flow.start.add()
    late = recorder.story("f/3")
    assert late.lost == "f/2 add reading"
    assert str(late) == "… f/2 add reading (no longer recorded)\n└ f/3 add done → executed -reading +done"
    with pytest.raises(KeyError):
        recorder.story("f/1")


def test_two_machines_of_one_id_make_no_endless_story() -> None:
    recorder = Recorder()

    class Loop(Machine):
        a = State()
        twin: Any = None

        @a.state
        def go_on(self, e: Event[Any]) -> None:
            if self.twin is not None:
                self.twin.a.add()

    one, two = Loop("same", tracers=[recorder]), Loop("same", tracers=[recorder])
    one.twin = two
    one.a.add()
    assert recorder.story("same/1").records


def test_the_ring_counts_what_it_drops() -> None:
    recorder, flow = recorded(limit=4)
    for _ in range(5):
        flow.toggle("start")
    assert [len(recorder), recorder.total, recorder.dropped] == [4, 5, 1]
    assert recorder.text().splitlines()[0] == "… 1 earlier transitions are no longer recorded"
    assert len(recorder.text().splitlines()) == 5
    assert repr(recorder) == "<Recorder of 4 transitions, 1 dropped>"
    recorder.clear()
    assert [len(recorder), recorder.total, recorder.dropped] == [0, 0, 0]
    assert bool(recorder)
    flow.toggle("start")
    assert [len(recorder), recorder.total, recorder.dropped] == [1, 1, 0]
    with pytest.raises(ValueError, match="at least 1"):
        Recorder(0)


def test_a_recorder_keeps_no_machine_handler_or_argument_alive() -> None:
    recorder = Recorder()

    class Thing:
        pass

    def live() -> list[weakref.ref[Any]]:
        thing = Thing()

        # Nobody handling Exception, the error would be logged, and pytest keeps what is logged.
        def look(e: Event[Any]) -> None:
            assert not flow.is_active("bad")

        def heard(e: Event[Any]) -> None:
            pass

        flow: Flow = Flow("f", tracers=[recorder], handlers=[{"StartState": look, "ExceptionState": heard}])
        flow.start.add()
        flow.bad.add()
        flow.reading.add("locked")
        data = Machine.of({"Wet": {}}, "w", tracers=[recorder])
        data.add("Wet", machine=flow, thing=thing)
        return [weakref.ref(flow), weakref.ref(data), weakref.ref(thing)]

    refs = live()
    gc.collect()
    assert [ref() for ref in refs] == [None, None, None]
    assert len(recorder) == 5
    assert "machine=<Flow f" in recorder.find(machine="w")[0].mutation
    assert "f/2 add bad" in str(recorder)


def test_many_threads_record_and_ask_at_once() -> None:
    recorder = Recorder(500)
    machines = [Flow(f"f{i}", tracers=[recorder]) for i in range(4)]
    stop = threading.Event()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            while not stop.is_set():
                sequence = [record.sequence for record in recorder.find(status="executed")]
                assert sequence == sorted(sequence)
                recorder.text()
                assert recorder.total >= len(sequence)
        except BaseException as error:  # noqa: BLE001  # shown below
            errors.append(error)

    asker = threading.Thread(target=ask)
    asker.start()

    def mutate(machine: Flow) -> None:
        for _ in range(500):
            machine.toggle("start")

    threads = [threading.Thread(target=mutate, args=(machine,)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stop.set()
    asker.join(60)
    assert errors == []
    assert [recorder.total, len(recorder), recorder.dropped] == [2000, 500, 1500]
    for machine in machines:  # what is kept of a machine has no gaps
        numbers = [record.number for record in recorder.find(machine=machine)]
        assert numbers == list(range(501 - len(numbers), 501))


def test_arguments_are_kept_as_the_mapper_says() -> None:
    recorder, flow = recorded(args=None)
    flow.start.add()
    flow.reading.add("a.txt")
    assert dict(recorder["f/2"].args) == {}

    def loud(args: Any) -> dict[str, str]:
        return {"path": args.path.upper()}

    recorder, flow = recorded(args=loud)
    flow.start.add()
    flow.reading.add("a.txt")
    assert recorder["f/2"].mutation == "add reading(path=A.TXT)"
    recorder, flow = recorded(args=ArgsMapper(names=["path"], limit=6))
    flow.start.add()
    flow.reading.add("a-long-name.txt")
    assert recorder["f/2"].mutation == "add reading(path='a-lo…)"
