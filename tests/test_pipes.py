"""Pipes: the target does as the source does, whoever mutates it, from wherever; rings settle; nobody is kept alive."""

from __future__ import annotations

import gc
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import ref

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amachine import (
    BindingError,
    BoundState,
    ErrorInfo,
    Event,
    LogTracer,
    Machine,
    MachineClosed,
    Recorder,
    State,
    Tracer,
    Transition,
    UnknownState,
    WaitError,
    exclusive,
)
from amachine.pipes import Pipe, mermaid_of, mirror, mirrored, pipe, pipe_all, pipe_errors, pipes_of
from amachine.states import Connected, Worker
from tests.lives import Errand, at_last


@attrs.frozen
class Job:
    """What the states of these tests are entered with."""

    name: str
    size: int = 0


@attrs.frozen
class Parcel:
    """The same, as somebody else sees it."""

    weight: int


class Front(Machine):
    """It leads."""

    on = State()
    hit = State(multi=True)
    job = State(Job, multi=True)
    opened = State()
    closed = State()
    door = exclusive(opened, closed)


class Back(Machine):
    """It follows."""

    up = State()
    down = State()
    hit = State(multi=True)
    job = State(Job, multi=True)
    parcel = State(Parcel, multi=True)
    opened = State()
    closed = State()
    lost = State(auto=True)
    ErrUpstream = State(ErrorInfo, multi=True, require=["Exception"])
    door = exclusive(opened, closed, lost)


def hear(event: Event[ErrorInfo]) -> None:
    """Keep errors out of the log."""


HEARS: Any = [{"ExceptionState": hear}]


@pytest.fixture
def front() -> Front:
    return Front("front", handlers=HEARS)


@pytest.fixture
def back() -> Back:
    return Back("back", handlers=HEARS)


class Asked(Tracer):
    """What was asked of a machine, in words."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self.all.append(str(transition.mutation))


def on(state: BoundState[..., Any]) -> bool:
    """Whether it is active by now."""
    return state.active


# One state.


def test_the_target_follows_on_and_off_from_the_moment_of_piping(front: Front, back: Back) -> None:
    front.on.add()
    back.down.add()
    pipe(front.on, back.up)
    pipe(front.hit, back.down)
    assert (on(back.up), on(back.down)) == (True, False)
    front.on.remove()
    assert not on(back.up)
    front.on.toggle()
    front.on.add()
    assert (on(back.up), back.up.tick) == (True, 3)
    back.up.remove()
    assert on(front.on), "a pipe leads one way"


def test_an_inverted_pipe_is_the_opposite(front: Front, back: Back) -> None:
    pipe(front.on, back.down, inverted=True)
    assert on(back.down)
    front.on.add()
    assert not on(back.down)
    front.on.remove()
    assert on(back.down)


def test_one_state_may_lead_to_two_for_on_and_off(front: Front, back: Back) -> None:
    pipe(front.on, back.up)
    pipe(front.on, back.down, inverted=True)
    for _ in range(3):
        front.on.toggle()
        assert (on(back.up), on(back.down)) == (on(front.on), not on(front.on))


def test_states_implied_or_removed_by_relations_are_passed_on_like_others(front: Front, back: Back) -> None:
    pipe(front.opened, back.up)
    front.opened.add()
    front.closed.add()
    assert (back.up.active, back.up.tick) == (False, 2)


def test_a_pipe_may_only_add_or_only_remove(front: Front, back: Back) -> None:
    pipe(front.on, back.up, only="add")
    pipe(front.on, back.down, only="remove")
    back.down.add()
    front.on.add()
    assert (on(back.up), on(back.down)) == (True, True)
    front.on.remove()
    assert (on(back.up), on(back.down)) == (True, False)


def test_re_entries_of_a_multi_state_are_passed_on_unless_the_pipe_is_flat(front: Front, back: Back) -> None:
    pipe(front.hit, back.hit)
    pipe(front.hit, back.up)
    flat = Machine.of({"hit": {"multi": True}}, "flat")
    pipe(front.hit, flat["hit"], flat=True)
    for _ in range(3):
        front.hit.add()
    assert (back.hit.tick, back.up.tick, flat["hit"].tick) == (5, 1, 1)
    front.hit.remove()
    assert not flat.active


def test_a_flat_pipe_makes_no_mutation_where_the_target_is_there(front: Front, back: Back) -> None:
    asked = Asked()
    back.lost.add()
    pipe(front.on, back.up, flat=True)
    back.up.add()
    back.attach(asked)
    front.on.add()
    assert asked.all == []
    back.up.remove()
    front.on.remove()
    assert asked.all == ["remove up"]


def test_the_target_may_refuse_and_is_brought_in_step_later(front: Front) -> None:
    class Picky(Machine):
        allowed = State()
        up = State(require=[allowed])

    picky = Picky("picky")
    made = pipe(front.on, picky.up)
    assert front.on.add(), "who leads is not refused"
    assert not on(picky.up)
    assert made.sync().value == 1
    assert not on(picky.up)
    picky.allowed.add()
    assert made.sync().value == 1
    assert on(picky.up)
    assert made.sync().value == 0


# Arguments.


def test_arguments_of_the_same_class_are_passed_on_and_others_are_mapped(front: Front, back: Back) -> None:
    pipe(front.job, back.job)
    pipe(front.job, back.parcel, args=lambda job: Parcel(job.size * 2))
    pipe(front.job, back.hit)
    front.job.add("one", 1)
    front.job.add("two", 2)
    assert (back.job.args, back.parcel.args, back.hit.tick) == (Job("two", 2), Parcel(4), 3)
    front.job.remove()
    assert not back.any_active("job", "parcel", "hit")


def test_arguments_can_be_made_from_nothing(front: Front, back: Back) -> None:
    pipe(front.on, back.job, args=lambda _: Job("made"))
    front.on.add()
    assert back.job.args == Job("made")


def test_keywords_of_schemas_that_are_data_are_passed_on() -> None:
    one, other = Machine.of({"a": {}, "b": {}}, "one"), Machine.of({"a": {}, "b": {}}, "other")
    pipe_all(one, other)
    one.add("a", x=1)
    assert other["a"].args == {"x": 1}
    asked = Asked()
    other.attach(asked)
    one.remove("a")
    one.add("a", "b")
    assert asked.all == ["remove a", "add a, b"], "without arguments, several are one mutation"


def divide(_: None) -> Job:
    return Job(str(1 / 0))


def mistake(_: Any) -> Any:
    return "no job"


@pytest.mark.parametrize("wrong", [divide, mistake])
def test_an_error_of_a_mapper_is_the_sources_and_the_rest_goes_on(
    front: Front, back: Back, wrong: Callable[[None], Any]
) -> None:
    made = pipe(front.on, back.job, args=wrong)
    pipe(front.on, back.up)
    assert front.on.add()
    assert (on(front.on), on(back.job), on(back.up)) == (True, False, True)
    assert isinstance(front.error, Exception)
    info = front.Exception.args
    assert info is not None
    assert info.handler == f"callback of {made}"
    front.on.remove()
    assert not on(back.up)


# What is wrong, said when piping.


anyhow: Any = pipe
"""It, for what a type checker would refuse."""

WRONG: list[tuple[Callable[[Front, Back], object], str]] = [
    (
        lambda f, b: anyhow(f.on, b.job),
        "front.on to back.job: job needs name, and on has none: say how, args=",
    ),
    (
        lambda f, b: anyhow(f.job, b.parcel),
        "job to back.parcel: parcel needs weight, and job has a Job: say how",
    ),
    (lambda f, b: anyhow(f.job, b.job, flat=True), "job needs name, and a flat pipe passes no arguments"),
    (
        lambda f, b: anyhow(f.job, b.job, inverted=True),
        "job needs name, and an inverted pipe passes no arg",
    ),
    (lambda f, b: anyhow(f.job, b.up, args=mistake), "up takes no arguments: leave out args"),
    (
        lambda f, b: anyhow(f.job, b.job, only="remove", args=mistake),
        "those that only remove, pass no arguments: leave out args",
    ),
    (lambda f, b: anyhow(f.on, f.on), "front.on is piped to itself"),
    (lambda f, b: pipe_all(f, b, []), "front and back have no states to pipe: name pairs"),
    (
        lambda f, b: pipe_errors(f.on, b),
        "front.on: it is no error state, for it does not require Exception",
    ),
    (
        lambda f, b: mirrored(f, "on", "Exception"),
        "a mirror of front has an Exception of its own: use pipe_e",
    ),
]


@pytest.mark.parametrize(("make", "says"), WRONG)
def test_what_cannot_work_is_refused_with_the_mend(
    front: Front, back: Back, make: Callable[[Front, Back], object], says: str
) -> None:
    with pytest.raises(BindingError, match=re.escape(says)):
        make(front, back)
    assert pipes_of(front) == pipes_of(back) == ()


def test_an_unknown_state_or_group_is_named_with_the_nearest_one(front: Front, back: Back) -> None:
    with pytest.raises(UnknownState, match="did you mean 'closed'"):
        pipe_all(front, back, ["closd"])
    with pytest.raises(UnknownState, match="did you mean 'door'"):
        pipe_all(front, back, "dor")
    with pytest.raises(UnknownState, match="'up'"):
        mirror(front, back)
    with pytest.raises(UnknownState, match="'on'"):
        pipe(front["on"], back["on"])


def test_only_states_of_machines_are_piped(front: Front, back: Back) -> None:
    wrong: Any = Front.on
    with pytest.raises(TypeError, match=r"<State Front.on> is no state of a machine: write machine.state"):
        pipe(wrong, back.up)
    both: Any = "both"
    with pytest.raises(ValueError, match="only='both': it is 'add', 'remove' or None"):
        pipe(front.on, back.up, only=both)


@pytest.mark.parametrize("which", ["front", "back"])
def test_a_closed_machine_is_not_piped(front: Front, back: Back, which: str) -> None:
    {"front": front, "back": back}[which].close()
    for make in (partial(pipe, front.on, back.up), partial(pipe_errors, front, back)):
        with pytest.raises(MachineClosed, match=f"front cannot be piped to back: machine {which} is closed"):
            make()


# Several states.


def test_several_states_go_in_one_pipe_pairwise_or_by_name(front: Front, back: Back) -> None:
    pairs = pipe_all(front, back, {Front.on: Back.up, Front.hit: Back.down})
    named = pipe_all(front, back, [Front.opened, "closed"])
    assert [str(link) for link in (*pairs.links, *named.links)] == [
        "on → up",
        "hit → down",
        "opened → opened",
        "closed → closed",
    ]
    front.add(Front.on, Front.hit, Front.opened)
    assert back.active == ("up", "down", "opened")


@pytest.mark.parametrize("group", [Front.door, "door"])
def test_a_group_is_passed_on_without_a_moment_between(front: Front, back: Back, group: Any) -> None:
    front.opened.add()
    pipe_all(front, back, group)
    moments: list[tuple[str, ...]] = []

    def look(event: Event[Any]) -> None:
        moments.append(back.active)

    back.bind({"AnyState": look})
    front.closed.add()
    front.opened.add()
    assert {("opened",), ("closed",)} >= {*moments}, "`lost` would come by itself if there were one"
    front.opened.remove()
    assert back.active == ("lost",)


def test_without_a_choice_all_common_states_but_exception_are_piped(front: Front, back: Back) -> None:
    made = pipe_all(front, back)
    assert [link.source for link in made.links] == ["hit", "job", "opened", "closed"]


def test_the_states_of_a_connection_are_a_group_like_any_other() -> None:
    class Client(Machine, Connected):
        pass

    class App(Machine):
        offline = State()
        online = State()

    client, app = Client("client"), App("app")
    pipe_all(client, app, {Client.Connected: App.online, Client.Disconnected: App.offline})
    client.Connecting.add()
    assert not app.any_active("offline", "online")
    client.Connected.add()
    assert app.is_active(App.online)
    client.Connected.remove()
    assert app.active == ("offline",)


# Mirrors.


def test_a_mirror_has_the_states_of_the_source_and_no_moment_of_its_own(front: Front) -> None:
    front.opened.add()
    mirror_of = mirrored(front, Front.on, Front.opened, "closed")
    assert (mirror_of.id, mirror_of.active) == ("front-mirror", ("opened",))
    seen: list[tuple[str, ...]] = []

    def look(event: Event[Any]) -> None:
        seen.append(mirror_of.active)

    mirror_of.bind({"AnyState": look})
    front.add(Front.closed, Front.on)
    front.set(Front.opened)
    front.hit.add()
    assert seen == [("on", "closed"), ("opened",)]
    assert mirrored(front, id="all").schema.names == (*front.schema.names[:-1], "Exception")


def test_a_whole_machine_is_mirrored_onto_one_that_exists(front: Front) -> None:
    shown = Front("shown", handlers=HEARS)
    with pytest.raises(BindingError, match="job needs name, and a flat pipe passes no arguments"):
        mirror(front, shown)
    twin = Machine.of(front.schema.select("on", "hit", "opened", "closed"), "twin", handlers=HEARS)
    made = mirror(front, twin)
    assert made.is_mirror
    twin.add_error(ValueError("its own"))
    for verb in (front.add, front.toggle, front.set):
        verb(Front.on, Front.hit, Front.opened)
        verb(Front.closed)
        assert twin.active == (*front.active, "Exception")
    front.hit.add()
    front.hit.add()
    assert twin["hit"].tick == 1 + 2 * (front.hit.tick > 3), "flat"


def test_a_mirror_enters_no_multi_state_anew(front: Front) -> None:
    twin = Machine.of(front.schema.select("hit", "opened", "closed"), "twin")
    mirror(front, twin)
    front.add(Front.hit, Front.opened)
    front.closed.add()
    assert (twin.active, twin["hit"].tick) == (("hit", "closed"), 1)


# Errors.


def test_every_error_is_reported_to_the_target_and_to_its_state(front: Front, back: Back) -> None:
    pipe_errors(front, back.ErrUpstream)
    first, second = ValueError("first"), ValueError("second")
    front.add_error(first)
    assert (back.error, on(back.ErrUpstream), on(back.Exception)) == (first, True, True)
    front.add_error(second)
    info = back.ErrUpstream.args
    assert info is not None
    assert (back.error, info.error, back.Exception.tick) == (second, second, 3)
    front.Exception.remove()
    assert on(back.ErrUpstream), "what is over there is not over here"


def test_errors_of_handlers_are_reported_with_the_handler(back: Back) -> None:
    class Broken(Machine):
        work = State()

        @work.state
        def breaks(self, e: Event[None]) -> None:
            raise ValueError("broken")

    broken = Broken("broken", handlers=HEARS)
    pipe_errors(broken, back)
    broken.work.add()
    info = back.Exception.args
    assert info is not None
    assert (str(info.error), info.handler) == ("broken", "Broken.breaks (WorkState)")
    assert "ValueError: broken" in info.traceback


def test_errors_of_one_kind_can_be_reported_alone(back: Back) -> None:
    worker = Machine.of(Worker, "worker", handlers=HEARS)
    pipe_errors(worker["ErrWork"], back.ErrUpstream)
    worker.add_error(ValueError("other"))
    assert not on(back.ErrUpstream)
    error = ValueError("work")
    worker.add_error(error, "ErrWork")
    assert (on(back.ErrUpstream), back.error) == (True, error)


def test_an_error_that_is_there_already_is_reported_at_once(front: Front, back: Back) -> None:
    error = ValueError("before")
    front.add_error(error)
    pipe_errors(front, back)
    assert back.error is error


def test_errors_that_go_in_a_ring_are_reported_once(front: Front, back: Back) -> None:
    pipe_errors(front, back)
    pipe_errors(back, front)
    for number in range(1, 4):
        (front if number % 2 else back).add_error(ValueError(number))
        assert (str(front.error), str(back.error)) == (str(number), str(number))
        assert (front.Exception.tick, back.Exception.tick) == (2 * number - 1, 2 * number - 1)


def test_an_error_that_no_handler_of_the_target_hears_is_logged(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    target = Machine.of({"a": {}}, "target")
    pipe_errors(front, target)
    front.add_error(ValueError("heard"))
    assert "machine target: error: ValueError('heard')" in caplog.text


# What is passed on is true.


def test_a_state_that_is_put_back_was_never_passed_on(back: Back) -> None:
    class Shaky(Machine):
        fine = State()
        shaky = State(after=[fine])

        @shaky.state
        def fails(self, e: Event[None]) -> None:
            raise ValueError

    shaky, asked = Shaky("shaky", handlers=HEARS), Asked()
    pipe_all(shaky, back, {Shaky.fine: Back.up, Shaky.shaky: Back.down})
    back.attach(asked)
    shaky.add(Shaky.fine, Shaky.shaky)
    assert shaky.is_active(Shaky.fine)
    assert asked.all[0] == "add up"
    assert not any("down" in each for each in asked.all)


def test_a_pipe_made_in_a_handler_begins_after_the_transition(back: Back) -> None:
    made: list[Pipe] = []

    class Late(Machine):
        on = State()

        @on.state
        def begin(self, e: Event[None]) -> None:
            made.append(pipe(self.on, back.up))
            assert not on(back.up)

    late = Late("late")
    late.on.add()
    assert on(back.up)
    assert pipes_of(late) == (*made,)


def test_a_machine_may_be_piped_to_itself() -> None:
    machine = Front("self")
    pipe(machine.on, machine.opened)
    pipe(machine.on, machine.closed, inverted=True)
    for active in (("on", "opened"), ("closed",), ("on", "opened")):
        machine.on.toggle()
        assert machine.active == active


# Rings.


def ring(count: int, *, multi: bool = False, inverted: tuple[int, ...] = ()) -> list[Machine]:
    """Machines that lead one another in a ring; `inverted` says which of the pipes are."""
    machines = [Machine.of({"x": {"multi": multi}, "y": {}}, f"m{i}", handlers=HEARS) for i in range(count)]
    for i, machine in enumerate(machines):
        pipe(machine["x"], machines[(i + 1) % count]["x"], inverted=i in inverted)
    return machines


def settled(machines: list[Machine]) -> bool:
    """Whether nothing is left to do, and nothing went wrong."""
    return not any(machine.queue or machine.is_active("Exception") for machine in machines)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_a_ring_of_pipes_settles_whoever_begins(count: int, multi: bool) -> None:
    machines = ring(count, multi=multi)
    for machine in machines:
        for verb in (machine.add, machine.add, machine.remove):
            verb("x")
            assert settled(machines)
            assert len({each.is_active("x") for each in machines}) == 1


def test_what_a_handler_adds_and_removes_at_once_does_not_echo() -> None:
    machines = ring(2)
    machine = machines[0]

    def flicker(event: Event[Any]) -> None:
        machine.add("x")
        machines[1].remove("x")
        machine.remove("x")
        machines[1].add("x")

    machine.bind({"YState": flicker})
    machine.add("y")
    assert settled(machines)
    assert machine.is_active("x") == machines[1].is_active("x")


@pytest.mark.parametrize("inverted", [(0,), (1,), (0, 1, 2), (2,)])
def test_a_ring_that_contradicts_itself_settles_too(inverted: tuple[int, ...]) -> None:
    machines = ring(3, inverted=inverted)
    for machine in machines:
        machine.toggle("x")
        assert settled(machines)


# The end.


def test_unbind_ends_a_pipe_once_and_so_does_with(front: Front, back: Back) -> None:
    made = pipe(front.on, back.up)
    with pipe(front.on, back.down) as other:
        front.on.add()
        assert pipes_of(front) == pipes_of(back) == (made, other)
    made.unbind()
    made.unbind()
    assert (made.is_bound, pipes_of(front), pipes_of(back)) == (False, (), ())
    assert repr(made) == "<Pipe front to back: on → up (unbound)>"
    front.on.remove()
    assert back.active == ("up", "down", "lost")
    with pytest.raises(WaitError, match=r"the pipe front to back: on → up is unbound: make another"):
        made.sync()


@pytest.mark.parametrize("which", [0, 1])
def test_a_pipe_ends_with_either_machine(front: Front, back: Back, which: int) -> None:
    front.on.add()
    made = pipe(front.on, back.up)
    (front, back)[which].close()
    assert (made.is_bound, pipes_of(front), pipes_of(back)) == (False, (), ())
    assert on(back.up), "what it has, it keeps"


def test_a_pipe_keeps_neither_machine_alive_and_ends_with_them() -> None:
    gc.collect()
    gc.disable()
    try:
        for gone in (0, 1):
            machines = [Machine.of({"x": {}, "y": {}}) for _ in range(2)]
            made = pipe_all(machines[0], machines[1])
            machines[0].add("x")
            weak = ref(machines.pop(gone))
            assert weak() is None
            assert (made.is_bound, pipes_of(machines[0])) == (False, ())
            assert [made.source, made.target].count(None) == 1
            machines[0].toggle("x")
    finally:
        gc.enable()


def test_pipes_that_end_leave_nothing_behind(front: Front) -> None:
    back = None
    for _ in range(100):
        back = Machine.of({"up": {}, "down": {}})
        pipe(front.on, back["up"])
        pipe(front.on, back["down"]).unbind()
        front.on.toggle()
    del back
    assert pipes_of(front) == ()
    assert front._the_waits().pending == ("when_closed",)


def test_a_long_row_of_machines_passes_a_state_on_to_its_end() -> None:
    row = [Machine.of({"x": {}}, f"m{i}") for i in range(120)]
    for one, other in pairwise(row):
        pipe(one["x"], other["x"])
    for active in (True, False, True):
        row[0].toggle("x")
        assert {machine.is_active("x") for machine in row} == {active}


# To be seen.


def test_a_mutation_of_a_pipe_names_its_cause(front: Front, back: Back) -> None:
    recorder = Recorder()
    front.attach(recorder)
    back.attach(recorder)
    third = Machine.of({"x": {}}, "third", tracers=[recorder])
    back.lost.add()
    pipe(front.on, back.up)
    pipe(back.up, third["x"])
    recorder.clear()
    front.on.add()
    by_machine = {record.machine: record for record in recorder}
    assert [by_machine[name].cause for name in ("back", "third")] == [
        by_machine["front"].id,
        by_machine["back"].id,
    ]
    story = str(recorder.why_active("x", third))
    assert [line for line in ("add on", "add up", "add x") if line in story] == ["add on", "add up", "add x"]


def test_the_log_names_the_cause_too(front: Front, back: Back, caplog: pytest.LogCaptureFixture) -> None:
    pipe(front.on, back.up)
    back.attach(LogTracer("everything"))
    with caplog.at_level("DEBUG", "amachine"):
        front.on.add()
    assert "[add] back up by front/1" in caplog.text


def test_pipes_are_drawn_between_the_boxes_of_their_machines(front: Front, back: Back) -> None:
    small = Machine.of({"on": {}, "hit": {}}, "small [1]")
    pipe(front.on, back.up)
    pipe(front.on, back.down, inverted=True)
    pipe(front.hit, back.hit, only="add")
    pipe_errors(front, back.ErrUpstream)
    mirror(front, small)
    front.on.add()
    drawing = mermaid_of(front, back, small)
    lines = [line.strip() for line in drawing.splitlines()]
    assert [line for line in lines if " ==" in line] == [
        "m0s0 ==o|pipes| m1s0",
        "m0s0 ==x|pipes not| m1s1",
        "m0s1 ==o|pipes add| m1s2",
        "m0s5 ==o|errors| m1s8",
        "m0 ==o|mirrors| m2",
    ]
    assert 'subgraph m2["small #91;1#93;"]' in lines
    assert "class m0s0 on" in lines
    assert any(line.startswith('m0s5["Exception') for line in lines), "it leads somewhere"
    assert lines.count("end") == 5
    alone = mermaid_of(front, direction="TB")
    assert alone.startswith("flowchart TB")
    assert " ==" not in alone


# Threads and event loops.


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads are switched as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Life(threading.Thread):
    """A machine that lives in an event loop of its own, in a thread of its own."""

    def __init__(self, machine: Machine, backend: str) -> None:
        super().__init__(daemon=True)
        self.machine, self.backend = machine, backend
        self.opened = threading.Event()
        self.over = threading.Event()

    def run(self) -> None:
        anyio.run(self._live, backend=self.backend)

    async def _live(self) -> None:
        async with self.machine:
            self.opened.set()
            await anyio.to_thread.run_sync(self.over.wait, 20)

    def __enter__(self) -> None:
        self.start()
        assert self.opened.wait(20)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join(20)
        assert not self.is_alive()


@pytest.mark.parametrize("other_backend", ["asyncio", "trio"])
async def test_machines_of_two_event_loops_are_piped_both_ways(
    front: Front, back: Back, other_backend: str
) -> None:
    async with front:
        with Life(back, other_backend):
            there = pipe(front.on, back.up)
            pipe(back.down, front.opened)
            pipe(back.up, front.hit, flat=True)
            front.on.add()
            await at_last(lambda: on(front.hit))
            back.down.add()
            await at_last(lambda: on(front.opened))
            front.on.remove()
            await at_last(lambda: not on(front.hit))
            assert not on(back.up)
            back.up.add()
            await at_last(lambda: on(front.hit))
            assert await there.sync() == 1
            await at_last(lambda: not on(front.hit))
    assert pipes_of(front) == ()


async def test_nothing_waits_for_a_target_that_is_busy(front: Front, back: Back) -> None:
    inside, gate = threading.Event(), threading.Event()

    def dwell(event: Event[None]) -> None:
        inside.set()
        gate.wait(20)

    back.bind({"DownState": dwell})
    pipe(front.on, back.up)
    async with front:
        busy = Errand(back.down.add)
        await at_last(inside.is_set)
        assert front.on.add()
        assert (on(front.on), on(back.up)) == (True, False)
        gate.set()
        await busy.done()
    assert on(back.up)


async def test_tasks_lead_as_well_as_handlers(back: Back) -> None:
    class Works(Machine):
        work = State()
        done = State(Job)

        @work.task
        async def do(self, e: Event[None]) -> None:
            await anyio.lowlevel.checkpoint()
            self.done.add("done")

    async with Works("works") as works, back:
        pipe(works.done, back.job)
        works.work.add()
        with anyio.fail_after(5):
            assert await back.job.when() == Job("done")


def test_pipes_may_come_and_go_while_another_thread_mutates(hasty: None) -> None:
    source = Machine.of({"x": {}}, "source", queue_limit=None)
    kept = Machine.of({"x": {}}, "kept")
    mutating = Errand(lambda: [source.toggle("x") for _ in range(1000)])
    target = None
    for _ in range(100):
        target = Machine.of({"x": {}}, "target")
        with pipe(source["x"], target["x"]):
            pipe(source["x"], target["x"], inverted=True)
        pipe(source["x"], kept["x"]).unbind()
    last = pipe(source["x"], kept["x"])
    mutating.outcome()
    del target
    gc.collect()
    assert pipes_of(source) == (last,)
    assert settled([source])
    assert kept.active == source.active


# In step under random load.


class Shaken(Machine):
    """A source with relations, vetoes and failures, so that much of what is asked for does not come about."""

    a = State()
    b = State(require=[a])
    c = State(multi=True)
    d = State()
    e = State(auto=True, require=[c])
    f = State()
    phase = exclusive(a, d)

    @b.enter
    def not_beside_f(self, e: Event[None]) -> bool:
        return not self.f.active

    @f.state
    def fail_beside_c(self, e: Event[None]) -> None:
        if self.c.active:
            raise ValueError

    @d.state
    def more(self, e: Event[None]) -> None:
        self.b.remove()
        self.c.add()
        self.add(Shaken.f, Shaken.a)
        self.f.toggle()


STATES = ("a", "b", "c", "d", "e", "f")
mutations = st.tuples(
    st.sampled_from(["add", "remove", "set", "toggle"]),
    st.lists(st.sampled_from(STATES), max_size=3, unique=True),
)


class Followers:
    """Machines that follow a source, each in its own way, and whether they are in step with it."""

    def __init__(self, source: Machine) -> None:
        self.source = source
        plain: dict[str, Any] = {name: {} for name in STATES}
        multi: dict[str, Any] = {name: {"multi": True} for name in STATES}
        one_by_one, self.flat, self.opposite = (
            Machine.of(plain, name) for name in ("one", "flat", "opposite")
        )
        self.events, self.last = Machine.of(multi, "events"), Machine.of(plain, "last")
        self.straight = [one_by_one, self.flat, self.events, self.last, mirrored(source, *STATES)]
        self.pipes = [
            *(pipe(source[name], one_by_one[name]) for name in STATES),
            *(pipe(source[name], self.opposite[name], inverted=True) for name in STATES),
            pipe_all(source, self.flat, STATES, flat=True),
            pipe_all(source, self.events, STATES),
            pipe_all(self.events, self.last),
            *pipes_of(self.straight[-1]),
        ]

    def check(self) -> None:
        active = {*self.source.active} - {"Exception"}
        for follower in self.straight:
            assert {*follower.active} == active, follower
        assert {*self.opposite.active} == {*STATES} - active


def ask(machine: Machine, mutation: tuple[str, list[str]]) -> None:
    verb, states = mutation
    getattr(machine, verb)(*states)


@settings(max_examples=20)
@given(st.lists(mutations, max_size=6), st.lists(mutations, max_size=20))
def test_followers_are_in_step_after_every_mutation(
    before: list[tuple[str, list[str]]], after: list[tuple[str, list[str]]]
) -> None:
    source = Shaken("source", handlers=HEARS)
    for mutation in before:
        ask(source, mutation)
    followers = Followers(source)
    followers.check()
    for mutation in after:
        ask(source, mutation)
        followers.check()


@settings(max_examples=12)
@given(st.lists(mutations, max_size=8), st.lists(mutations, max_size=8), st.lists(mutations, max_size=8))
def test_sync_brings_whoever_went_astray_in_step(
    led: list[tuple[str, list[str]]], astray: list[tuple[str, list[str]]], later: list[tuple[str, list[str]]]
) -> None:
    source = Shaken("source", handlers=HEARS)
    followers = Followers(source)
    for mutation in led:
        ask(source, mutation)
    for mutation in astray:
        for follower in (*followers.straight, followers.opposite):
            ask(follower, mutation)
    for each in followers.pipes:
        each.sync()
    followers.check()
    assert [each.sync().value for each in followers.pipes] == [0] * len(followers.pipes)
    for mutation in later:
        ask(source, mutation)
        followers.check()


@settings(max_examples=10)
@given(st.lists(st.lists(mutations, min_size=5, max_size=25), min_size=3, max_size=4))
def test_followers_are_in_step_when_several_threads_have_mutated(
    loads: list[list[tuple[str, list[str]]]],
) -> None:
    source = Shaken("source", handlers=HEARS, queue_limit=None)
    followers = Followers(source)
    gate = threading.Barrier(len(loads) + 1)

    def work(load: list[tuple[str, list[str]]]) -> None:
        gate.wait(20)
        for mutation in load:
            ask(source, mutation)

    def disturb() -> None:
        gate.wait(20)
        for follower in followers.straight:
            follower.add(*STATES)
            follower.remove(*STATES)

    with_switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        errands = [*(Errand(work, load) for load in loads), Errand(disturb)]
        for errand in errands:
            errand.outcome()
    finally:
        sys.setswitchinterval(with_switches)
    for each in followers.pipes:
        each.sync()
    followers.check()


@settings(max_examples=15)
@given(
    st.sampled_from([2, 3]),
    st.booleans(),
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=5, max_size=30), min_size=2, max_size=4
    ),
)
def test_a_ring_agrees_in_the_end_whichever_threads_mutate_which_of_its_machines(
    count: int,
    multi: bool,
    loads: list[list[tuple[bool, int]]],
) -> None:
    machines = ring(count, multi=multi)
    gate = threading.Barrier(len(loads))

    def work(load: list[tuple[bool, int]]) -> None:
        gate.wait(20)
        for add, at in load:
            machine = machines[at % count]
            (machine.add if add else machine.remove)("x")

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for errand in [Errand(work, load) for load in loads]:
            errand.outcome()
    finally:
        sys.setswitchinterval(before)
    assert settled(machines)
    assert len({machine.is_active("x") for machine in machines}) == 1


# The example.


def test_the_example_shows_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).resolve().parents[1] / "examples" / "pipes.py"
    spec = importlib.util.spec_from_file_location("example_of_pipes", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    printed = capsys.readouterr().out
    for line in (
        "  <Shop shop orders:1 | closed:2>",
        "  on the shelf: tea, 500 g",
        "  the supplier says: out of cinnamon",
        "  <Machine board Disconnected:1 | Connected:2>",
        "  shop/8: closed, because of supplier/5",
        "  drawn: m0s2 ==o|pipes| m1s0",
        "  <Shop shop closed:3 ErrSupplier:1 Exception:1 | orders:2 stocked:4>",
    ):
        assert line in printed.splitlines(), printed
