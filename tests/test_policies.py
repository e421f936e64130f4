"""What docs/policies.md promises, as far as no other test holds it: each section of the page has its tests here."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import re
import tomllib
from contextvars import ContextVar, copy_context
from pathlib import Path
from threading import Thread
from typing import Any, cast
from weakref import ref

import anyio
import anyio.to_thread
import attrs
import pytest
from anyio.lowlevel import checkpoint

from amachine import (
    ErrorInfo,
    Event,
    Machine,
    MachineClosed,
    Result,
    SchemaError,
    State,
    States,
    Wait,
    all_of,
    any_of,
)

ROOT = Path(__file__).resolve().parents[1]
color: ContextVar[str] = ContextVar("color", default="none")


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@attrs.frozen
class Note:
    text: str


class Flow(Machine):
    on = State()
    work = State(Note, require=[on])
    more = State(multi=True, limit=1)
    off = State(remove=[on])


async def settle(rounds: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(rounds):
        await checkpoint()


# Versions.


def test_the_version_is_a_semantic_one_and_has_a_section_in_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", project["version"])
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(project['version'])}\b", changelog, re.MULTILINE)


def test_the_oldest_python_is_said_once_and_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    listed = [
        word.rpartition(" ")[2]
        for word in project["project"]["classifiers"]
        if re.search(r"Python :: 3\.\d+$", word)
    ]
    assert listed[0] == oldest == project["tool"]["mypy"]["python_version"]
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    assert f"Python {oldest}" in page


# Copying and pickling.


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_machine_is_not_copied_nor_pickled_whatever_refers_to_it(how: Any) -> None:
    flow = Flow("flow")
    for thing in (flow, [flow] if how is not copy.copy else flow, flow.on if how is not copy.copy else flow):
        with pytest.raises(TypeError, match="machine flow cannot be copied or pickled: make another"):
            how(thing)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickled])
def test_values_are_copied_and_pickled(how: Any) -> None:
    flow = Flow("flow")
    flow.on.add()
    refused = flow.add("work")
    for value in (flow.time, flow.clock, flow.schema, Flow.on, ErrorInfo(KeyError("x"))):
        twin = how(value)
        assert type(twin) is type(value)
        if not isinstance(value, ErrorInfo):  # which compares its error, and errors by identity
            assert twin == value
    assert how(refused).why == refused.why == "work needs text"
    for error in (SchemaError("wrong", schema="S", state="a"), MachineClosed(machine="m")):
        twin = how(error)
        assert (str(twin), vars(twin)) == (str(error), vars(error))


# Garbage.


def test_a_child_keeps_its_parent_and_a_parent_no_child() -> None:
    parent = Flow("parent")
    child = Flow("child", parent=parent)
    gone = ref(parent)
    del parent
    gc.collect()
    assert gone() is child.parent
    held, gone = child.parent, ref(child)
    del child
    gc.collect()
    assert gone() is None
    assert held is not None
    assert held.children == ()


async def test_a_machine_that_was_closed_is_kept_by_nothing_that_it_gave_out() -> None:
    class Busy(Flow):
        @Flow.work.task
        async def working(self, e: Event[Note]) -> None:
            e.spawn(anyio.Event().wait)
            await anyio.Event().wait()

        @Flow.off.end
        async def late(self, e: Event[None]) -> None:
            await checkpoint()

    kept: list[object] = []

    async def live() -> ref[Machine]:
        async with Busy("busy") as busy:
            busy.on.add()
            kept.extend([busy.work.add("x"), busy.on.scope, busy.when(Flow.off), busy.when_idle()])
            kept.extend([any_of(busy.when(Flow.off)), all_of(busy.when(Flow.more)), busy.schema, busy.clock])
            await settle()
            busy.off.add()
            busy.off.remove()
        kept[1] = None  # `busy.on` is the machine's, and holds it
        return ref(busy)

    gone = await live()
    await settle()
    gc.collect()
    assert gone() is None
    assert all(each.done for each in kept if isinstance(each, (Wait, Result)))


async def test_whoever_awaits_a_machine_that_is_forgotten_is_woken() -> None:
    ends: list[BaseException] = []

    async def watch(wait: Wait[Any]) -> None:
        try:
            await wait
        except MachineClosed as closed:
            ends.append(closed)

    flow = Flow("flow")
    gone = ref(flow)
    async with anyio.create_task_group() as group:
        for wait in (flow.when(Flow.on), flow.when_not(Flow.on, Flow.off), any_of(flow.when(Flow.off))):
            group.start_soon(watch, wait)
        await settle()
        del flow, wait
        gc.collect()
        await settle()
        group.cancel_scope.cancel()
    assert gone() is None
    assert len(ends) == 1  # the second was true at once; the third yields the wait that ended


async def test_what_a_task_started_elsewhere_keeps_no_closed_machine_alive() -> None:
    class Starter(Flow):
        @Flow.on.task
        async def begin(self, e: Event[None]) -> None:
            group.start_soon(outlive)

    async def live() -> ref[Machine]:
        async with Starter("starter") as starter:
            starter.on.add()
            await settle()
        return ref(starter)

    over = anyio.Event()
    outlive = over.wait
    alive = True
    async with anyio.create_task_group() as group:
        gone = await live()
        await settle()
        gc.collect()
        alive = gone() is not None
        over.set()
    assert not alive


# Groups of errors.


async def test_a_group_of_errors_of_a_task_is_one_error_with_all_of_them() -> None:
    seen: list[ErrorInfo] = []

    class Failing(Flow):
        @Flow.on.task
        async def fail(self, e: Event[None]) -> None:
            async def one(error: Exception) -> None:
                raise error

            async with anyio.create_task_group() as group:
                group.start_soon(one, KeyError("a"))
                group.start_soon(one, ValueError("b"))

        @Machine.Exception.state
        def told(self, e: Event[ErrorInfo]) -> None:
            seen.append(e.args)

    async with Failing("f") as flow:
        flow.on.add()
        await flow.when_error()
        assert flow.on.active
    (info,) = seen
    assert type(info.error) is ExceptionGroup
    inside = cast("ExceptionGroup[Exception]", cast("object", info.error)).exceptions
    assert {type(each) for each in inside} == {KeyError, ValueError}
    assert info.handler is not None
    assert "Failing.fail" in info.handler
    assert "KeyError" in info.traceback or "ValueError" in info.traceback


async def test_leaving_a_machine_makes_no_group_of_an_error_that_was_none() -> None:
    with pytest.raises(KeyError, match="plain"):
        async with Flow("body"):
            raise KeyError("plain")

    class Failing(Flow):
        @Flow.on.task
        async def fail(self, e: Event[None]) -> None:
            raise ValueError("of a task")

        @Machine.Exception.state
        def told(self, e: Event[ErrorInfo]) -> None: ...

    flow = Failing("task", raise_errors=True)
    flow.on.add()
    with pytest.raises(ValueError, match="of a task"):
        async with flow:
            await flow.when_error()


# Context variables.


class Told(Flow):
    """Says which colour its handlers see."""

    def __init__(self, **options: Any) -> None:
        super().__init__("told", **options)
        self.seen: list[str] = []

    def see(self, where: str) -> None:
        self.seen.append(f"{where} {color.get()}")

    @Flow.on.enter
    def entering(self, e: Event[None]) -> None:
        self.see("enter")

    @Flow.on.state
    def entered(self, e: Event[None]) -> None:
        self.see("state")
        self.more.add()

    @Flow.more.state
    def queued(self, e: Event[None]) -> None:
        self.see("queued")

    @Flow.on.task
    async def works(self, e: Event[None]) -> None:
        self.see("task")
        color.set("of the task")
        await self.off.when()

    @Flow.off.end
    async def ends(self, e: Event[None]) -> None:
        self.see("end")


def test_handlers_and_callbacks_see_the_context_of_whoever_runs_the_transition() -> None:
    told = Told()
    told.on.when().then(lambda _: told.see("then"))

    def call() -> None:
        color.set("red")
        told.on.add()

    copy_context().run(call)
    assert told.seen == ["enter red", "state red", "then red", "queued red"]
    assert color.get() == "none"


def test_what_waits_in_the_queue_runs_in_the_context_of_whoever_takes_it_up() -> None:
    told = Told()

    def from_a_thread() -> None:
        color.set("of the thread")
        told.on.add()

    def inside(_: object) -> None:
        thread = Thread(target=from_a_thread)
        thread.start()
        thread.join()

    def call() -> None:
        color.set("of the drainer")
        told.more.add()

    told.more.when().then(inside)
    copy_context().run(call)
    assert told.seen[-3:] == ["enter of the drainer", "state of the drainer", "queued of the drainer"]


async def test_a_task_has_a_copy_of_the_context_that_its_transition_ran_in() -> None:
    async with Told() as told:
        color.set("blue")
        told.on.add()
        await settle()
        assert color.get() == "blue"
        color.set("green")
        told.off.add()
        told.off.remove()
        await settle()
    assert [each for each in told.seen if each.startswith(("task", "end"))] == ["task blue", "end green"]


async def test_a_task_of_a_state_entered_before_has_the_context_of_whoever_opens() -> None:
    told = Told()
    color.set("early")
    told.on.add()
    color.set("opening")
    async with told:
        await settle()
    assert "task opening" in told.seen


# Fairness.


def test_what_one_thread_asks_for_runs_in_the_order_in_which_it_asked() -> None:
    class Noted(Machine):
        said = State(Note, multi=True)

        @said.state
        def note(self, e: Event[Note]) -> None:
            heard.append(e.args.text)

    heard: list[str] = []
    noted = Noted("noted", queue_limit=None)
    names = "abcd"

    def talk(name: str) -> None:
        for n in range(200):
            noted.said.add(f"{name}{n}")

    threads = [Thread(target=talk, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 800
    for name in names:
        assert [each for each in heard if each[0] == name] == [f"{name}{n}" for n in range(200)]


async def test_threads_cannot_keep_an_event_loop_for_themselves() -> None:
    over: list[bool] = []

    def flood() -> None:
        while not over:
            for result in [flow.more.add() for _ in range(20)][-1:]:
                result.wait(30)  # what comes faster than it is done only fills the queue

    async with Flow("flow") as flow:
        threads = [Thread(target=flood) for _ in range(2)]
        with anyio.fail_after(30):
            for thread in threads:
                thread.start()
            try:
                await flow.when_ticks(Flow.more, 20)  # they are at it
                await settle(30)  # and the loop still has turns for others
            finally:
                over.append(True)
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)


# Fork.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_fork_has_a_machine_of_its_own() -> None:
    flow = Flow("flow")
    flow.on.add()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        flow.more.add()
        os.write(writing, repr(flow).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.read() == "<Flow flow on:1 more:1>"
    assert repr(flow) == "<Flow flow on:1>"


# Names.


def test_states_without_behaviour_cannot_be_run_by_mistake() -> None:
    class Remote(States):
        up = State()

    with pytest.raises(TypeError, match=r"class Flow\(Machine, Remote\)"):
        Remote()
