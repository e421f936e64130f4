"""Machines that outlive their process: what is exported, what a restore makes of it, and what it refuses."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer

import amachine
from amachine import (
    ArgsError,
    ErrorInfo,
    Event,
    Machine,
    Mutation,
    Schema,
    State,
    States,
    Tracer,
    Transition,
    WaitError,
)
from amachine.errors import PastError, RestoreError
from amachine.states import Disposed
from tests.lives import Errand, anyio_backend, rest

__all__ = ["anyio_backend"]

CRASHES = int(os.environ.get("AMACHINE_CRASHES", "6"))
"""How often the program of the last test is killed; `.ci/run` may ask for more."""


class Colour(Enum):
    RED = "red"


@attrs.frozen
class Job:
    path: Path
    _secret: str = ""
    sizes: dict[int, Decimal] = attrs.Factory(dict[int, Decimal])
    since: datetime = datetime(2026, 1, 2, tzinfo=UTC)
    parts: tuple[frozenset[str], ...] = ()


@dataclass
class Digest:
    id: UUID
    colour: Colour = Colour.RED
    inner: Job | None = None
    length: int = field(init=False, default=0)


class Upload(BaseModel):
    model_config = ConfigDict(strict=True)
    url: str
    at: datetime | None = None


class FlowStates(States):
    idle = State()
    working = State(Job, remove=[idle])
    digested = State(Digest, require=[working])
    uploading = State(Upload, multi=True)
    checked = State(auto=True, require=[digested])
    broken = State(require=["Exception"])


class Flow(Machine, FlowStates):
    began: list[Any]

    @FlowStates.working.task
    async def work(self, e: Event[Job]) -> None:
        self.began.append(("work", e.args, e.restored, e.transition.is_restore))
        await anyio.sleep_forever()

    @FlowStates.uploading.task
    async def upload(self, e: Event[Upload]) -> None:
        self.began.append(("upload", e.args, e.restored))
        await anyio.sleep_forever()

    @FlowStates.working.end
    def over(self, e: Event[Job]) -> None:
        self.began.append(("over", e.args, e.restored))


JOB = Job(Path("a/b"), "s", {1: Decimal("1.5")}, parts=(frozenset({"x"}),))
DIGEST = Digest(UUID(int=7), inner=JOB)
UPLOAD = Upload(url="x", at=datetime(2026, 5, 6, 7, 8, tzinfo=UTC))


def busy() -> Flow:
    """A machine with something of everything."""
    flow = Flow("flow-x")
    flow.began = []
    flow.idle.add()
    flow.working.send(JOB)
    flow.digested.send(DIGEST)
    flow.uploading.add(url="old")
    flow.uploading.send(UPLOAD)
    return flow


def nothing(event: Event[Any]) -> None:
    """Where nobody handles an error, it is logged."""


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def restored(data: Any, **options: Any) -> Flow:
    flow = Flow.restore(through_json(data), **options)
    flow.began = []
    return flow


# What is kept.


def test_an_export_is_json_and_a_restored_machine_goes_on_where_it_stood() -> None:
    flow = busy()
    data = flow.export()
    again = restored(data)
    assert again.id == flow.id == "flow-x"
    assert again.clock == flow.clock
    assert again.active == flow.active == ("working", "digested", "uploading", "checked")
    assert (again.queue_tick, again.machine_tick) == (flow.queue_tick, 2)
    assert restored(again.export()).machine_tick == 3
    assert again.working.args == JOB
    assert again.digested.args == DIGEST
    assert again.uploading.args == UPLOAD
    assert restored(data, id="other").id == "other"
    # The next one has the next number, and leads where it would have led.
    seen: list[str] = []

    class Sees(Tracer):
        def transition_ended(self, machine: Machine, transition: Transition) -> None:
            seen.append(transition.id)

    for each in (flow, again):
        each.attach(Sees())
        assert each.idle.add().canceled
        assert each.working.remove().executed
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    assert again.clock == flow.clock
    assert again.began == flow.began == [("over", JOB, False)]


def test_an_export_changes_nothing_and_shares_nothing_with_the_machine() -> None:
    machine = Machine.of({"a": {}}, "m")
    given = {"list": [1, {"x": None}], "n": 1.5}
    machine.add("a", **given)
    data = machine.export()
    assert data["args"] == {"a": given}
    data["args"]["a"]["list"].append(3)
    data["ticks"][0] = 9
    assert machine["a"].args == given == {"list": [1, {"x": None}], "n": 1.5}
    assert machine.export()["ticks"] == [1, 0]
    assert machine.time.sum == 1


def test_a_machine_of_data_is_restored_with_its_schema() -> None:
    schema = Schema.parse({"Wet": {"require": ["Water"]}, "Water": {"auto": True}}, name="weather")
    machine = Machine.of(schema, "w", tags=["x"])
    machine.add("Water")
    machine.add("Wet", since=3)
    data = through_json(machine.export())
    again = Machine.restore(data, schema=schema, tags=["y"])
    assert (again.active, again["Wet"].args, again.tags) == (("Wet", "Water"), {"since": 3}, ("y",))
    assert Machine.restore(data, schema=schema.to_dict()).active == again.active
    with pytest.raises(RestoreError, match="state 'Wet' is gone"):
        Machine.restore(data)


def test_errors_come_back_in_words_and_machine_error_with_them() -> None:
    flow = Flow("flow-1")
    flow.bind({"ExceptionState": nothing})
    flow.add_error(ValueError("of no use"), Flow.broken)
    again = restored(flow.export(), handlers=[{"ExceptionState": nothing}])
    assert again.is_active("Exception", "broken")
    info = again.Exception.args
    assert isinstance(info, ErrorInfo)
    assert isinstance(info.error, PastError)
    assert (info.error.kind, str(info.error), info.traceback) == (
        "ValueError",
        "of no use",
        "ValueError: of no use\n",
    )
    assert again.error is info.error
    third = restored(again.export())
    assert repr(third.error) == "PastError(ValueError: of no use)"
    third.remove("Exception")
    assert third.error is None


def test_an_endless_error_is_cut_so_that_it_can_be_restored() -> None:
    machine = Machine.of({"a": {}}, handlers=[{"ExceptionState": nothing}])
    machine.add_error(ValueError("x" * 3_000_000))
    again = Machine.restore(through_json(machine.export()), schema=machine.schema)
    assert len(str(again.error)) == 1_000_000


def test_waits_on_what_is_active_are_done_at_once() -> None:
    again = restored(busy().export())
    assert again.when(Flow.working).done
    assert again.working.when(lambda job: job == JOB).value == JOB
    assert again.when_time({Flow.working: 1}).done
    assert not again.working.when_next().done
    assert not again.when_ticks(Flow.working).done


def test_a_class_with_an_init_of_its_own_is_restored_into_a_new_machine() -> None:
    class Mine(Machine):
        ready = State(multi=True)

        def __init__(self, folder: Path, *, id: str) -> None:
            super().__init__(id)
            self.folder = folder

    first = Mine(Path("x"), id="mine")
    first.ready.add()
    data = first.export()
    made = Mine(Path("y"), id="other")
    waits = [made.ready.when(), made.when_next(Mine.ready), made.when_time({Mine.ready: 3})]
    heard: list[object] = []
    waits[0].then(heard.append)
    again = Mine.restore(data, into=made)
    assert again is made
    assert (again.folder, again.ready.tick, again.id, again.machine_tick) == (Path("y"), 1, "other", 2)
    assert [wait.done for wait in waits] == [True, True, False]
    assert heard == [None]
    with pytest.raises(
        RestoreError, match=r"mine: the machine to restore into has been used, .*: make a new one"
    ):
        Mine.restore(data, into=first)
    with pytest.raises(TypeError, match="takes no id, schema or options"):
        Mine.restore(data, "id", into=Mine(Path(), id="third"))


# Where a picture is taken.


def test_a_handler_cannot_export_but_eval_does_it_after_the_transition() -> None:
    machine = Machine.of({"a": {}, "b": {"auto": True, "require": ["a"]}})
    pictures: list[Any] = []
    problems: list[WaitError] = []

    def handler(event: Event[Any]) -> None:
        with pytest.raises(
            WaitError, match=r"in the middle of a transition.*machine.eval\(machine.export\)"
        ) as caught:
            event.machine.export()
        problems.append(caught.value)
        event.machine.eval(event.machine.export).then(pictures.append)

    def callback(_: None) -> None:
        with pytest.raises(WaitError) as caught:
            machine.export()
        problems.append(caught.value)

    machine.bind({"AState": handler, "AEnter": handler})
    machine.when("a").then(callback)
    machine.add("a")
    assert len(problems) == 3
    assert [picture["ticks"] for picture in pictures] == [[1, 1, 0]] * 2


def test_a_tracer_may_export_after_each_transition() -> None:
    class Keeps(Tracer):
        def __init__(self) -> None:
            self.ticks: list[list[int]] = []

        def transition_ended(self, machine: Machine, transition: Transition) -> None:
            self.ticks.append(machine.export()["ticks"])
            assert self.ticks[-1] == [*transition.time_after]

    keeps = Keeps()
    machine = Machine.of({"a": {}, "b": {"auto": True, "require": ["a"]}}, tracers=[keeps])
    machine.add("a")
    machine.bind({"AnyState": nothing})
    machine.remove("b")
    assert machine.tracers == (keeps,)
    assert keeps.ticks == [[1, 0, 0], [1, 1, 0], [1, 2, 0], [1, 3, 0]]


async def test_another_thread_waits_for_its_turn_and_never_sees_half_a_commit() -> None:
    # a and b are always active together, and know a number that is the same for both.
    machine = Machine.of({"a": {}, "b": {"add": ["a"], "require": ["a"]}})
    pictures: list[Any] = []
    over = anyio.Event()

    def look() -> None:
        pictures.extend(machine.export() for _ in range(40))

    async def mutate() -> None:
        number = 0
        while not over.is_set():
            number += 1
            machine.add("b", number=number)
            machine.remove("a", "b")
            await checkpoint()

    async with machine, anyio.create_task_group() as group:
        group.start_soon(mutate)
        await anyio.to_thread.run_sync(look)
        over.set()
    assert all(picture["ticks"][0] == picture["ticks"][1] for picture in pictures)
    assert all(len(picture["args"]) == picture["ticks"][0] % 2 for picture in pictures)


def test_a_closed_machine_gives_its_last_state() -> None:
    flow = busy()
    flow.close()
    assert restored(flow.export()).working.args == JOB


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            {"when": datetime(2026, 1, 1, tzinfo=UTC)},
            r"datetime.datetime\(2026, .*\) in 'when' is no plain value",
        ),
        ({"x": {1: 2}}, "the key 1 in 'x' is no string"),
        ({"x": [{"y": object}]}, "in 'y' in 'x' is no plain value"),
        ({"x": (1, 2)}, r"\(1, 2\) in 'x' is no plain value"),  # it would be a list
        ({"x": [float("nan")]}, "nan in 'x' is no plain value"),
    ],
)
def test_what_would_not_come_back_as_it_was_is_not_exported(args: dict[str, Any], says: str) -> None:
    machine = Machine.of({"a": {}, "b": {}}, "m")
    machine.add("a", **args)
    with pytest.raises(
        ArgsError, match=rf"machine m: the arguments of a cannot be exported: .*{says}"
    ) as caught:
        machine.export()
    assert (caught.value.state, caught.value.machine) == ("a", "m")


def test_arguments_that_no_type_can_read_are_a_clear_error() -> None:
    @attrs.frozen
    class Open:
        file: Any

    def made(x: int) -> dict[str, int]:
        return {"y": x}

    class M(Machine):
        open = State(Open)
        made_ = State()
        calls = State(made)

    machine = M("m")
    machine.open.add(object())
    with pytest.raises(
        ArgsError, match=r"arguments of open cannot be exported: <object .* cannot be made plain; give"
    ):
        machine.export()
    machine.remove("open")
    machine.calls.add(3)
    with pytest.raises(ArgsError, match="could not be called again with y: missing a required argument: 'x'"):
        machine.export()


@attrs.frozen
class Anything:
    value: Any


@attrs.frozen
class Longer(Anything):
    more: int = 0


@attrs.frozen
class Several:
    values: Sequence[int] = ()
    inner: Anything | None = None
    part: float = 0.0


@attrs.frozen
class Worked:
    x: int
    y: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "y", self.x * 2)


@dataclass
class Seeded:
    seed: InitVar[int]
    grown: int = field(init=False, default=0)

    def __post_init__(self, seed: int) -> None:
        self.grown = seed


class Login(BaseModel):
    name: str = Field(default="x", serialization_alias="NAME")
    password: SecretStr = SecretStr("")
    hidden: int = Field(default=0, exclude=True)


class Plain:
    """Without an `__eq__`."""

    def __init__(self, x: int) -> None:
        self.x = x


@dataclass(eq=False)
class Unequal:
    x: int


@pytest.mark.parametrize(
    "value",
    [
        Anything(datetime(2026, 1, 1, tzinfo=UTC)),
        Anything({1: 2}),
        Anything(Anything(1)),
        Several((1, 2)),
        Several(inner=Longer(1, 2)),
        Several(part=float("inf")),
        Worked(3),
        Seeded(9),
        Login(name="y"),
        Login(password=SecretStr("hunter2")),
        Login(hidden=1),
        Login.model_construct(name=3),
        Plain(3),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings(
    "ignore:Pydantic serializer warnings"
)  # of the one that it was kept from checking
def test_what_a_class_would_read_as_something_else_is_not_exported(value: Any) -> None:
    kind = cast("type[Any]", value.__class__)

    class M(Machine):
        a = State(kind)

    machine = M()
    machine.a.send(value)
    with pytest.raises(ArgsError, match=r"the arguments of a cannot be exported: .*; give the state"):
        machine.export()


def test_what_has_no_equality_is_compared_by_its_data() -> None:
    class M(Machine):
        a = State(Unequal)

    machine = M()
    machine.a.add(3)
    args = M.restore(through_json(machine.export())).a.args
    assert args is not None
    assert args.x == 3


called: list[str] = []


class Opens:
    def __init__(self, path: str) -> None:
        called.append(path)


@attrs.frozen
class Held:
    file: Opens


def test_nothing_that_data_names_is_called() -> None:
    class M(Machine):
        held = State(Held)

    machine = M("m")
    data = machine.export()
    data.update(ticks=[1, 0], args={"held": {"file": "/etc/passwd"}})
    with pytest.raises(RestoreError, match="the arguments of held: expected Opens, got str"):
        M.restore(through_json(data))
    assert called == []
    assert machine.add("held", file="x").executed  # from this program it may be
    assert called == ["x"]


# Work starts again.


async def test_tasks_of_active_states_start_again_once_when_it_is_opened() -> None:
    data = busy().export()
    again = restored(data)
    async with again:
        await rest()
        assert sorted(each[0] for each in again.began) == ["upload", "work"]  # trio starts them in any order
        assert ("work", JOB, True, True) in again.began
        assert ("upload", UPLOAD, True) in again.began
        again.working.remove()
        again.working.send(JOB)
        await rest()
        assert again.began[2:] == [("over", JOB, False), ("work", JOB, False, False)]
    # Not what ended before the opening.
    other = restored(data)
    other.working.remove()
    async with other:
        await rest()
        assert other.began == [("over", JOB, False), ("upload", UPLOAD, True)]


async def test_a_restored_task_belongs_to_its_activation_and_is_the_cause_of_what_it_does() -> None:
    class Worker(Machine):
        working = State()
        done = State()
        ended = False

        @working.task
        async def work(self, e: Event[None]) -> None:
            e.spawn(self.more)
            assert (e.name, e.state, e.mutation.states) == ("WorkingTask", "working", ("working",))
            assert e.source is None
            try:
                await anyio.sleep_forever()
            finally:
                self.ended = True

        async def more(self) -> None:
            self.done.add()

        @done.state
        def cause(self, e: Event[None]) -> None:
            assert e.source is not None
            assert e.source.transition == "w/1"

    first = Worker("w")
    first.working.add()
    async with Worker.restore(first.export(), raise_errors=True) as again:
        with anyio.fail_after(5):
            await again.done.when()
        again.working.remove()
        await rest()
        assert again.ended
        assert again.error is None


async def test_a_machine_that_was_restored_says_so_before_anything_pending_runs() -> None:
    class Mine(Machine):
        MachineRestored = State(multi=True)
        a = State()
        b = State(auto=True, require=[a])
        c = State()
        order: list[str]

        @Machine.any_state
        def seen(self, e: Event[Any]) -> None:
            if self.machine_tick > 1:
                self.order.append(str(e.mutation))

        @a.state
        def on(self, e: Event[None]) -> None:
            self.c.add()
            self.c.remove()
            self.eval(lambda: data.append(self.export(pending=True)))
            self.c.toggle()
            self.remove("c", because="a test")

    data: list[Any] = []
    first = Mine("m")
    first.order = []

    class Exports(Tracer):
        def transition_ended(self, machine: Machine, transition: Transition) -> None:
            if not data:
                data.append(through_json(machine.export(pending=True)))

    first.attach(Exports())
    first.a.add()
    queue = data[0]["queue"]
    assert [(each["kind"], each["states"], each.get("front", False)) for each in queue] == [
        ("add", ["b"], True),
        ("add", ["c"], False),
        ("remove", ["c"], False),
        ("toggle", ["c"], False),
        ("remove", ["c"], False),
    ]
    assert queue[-1]["args"] == {"because": "a test"}
    again = Mine.restore(data[0])
    again.order = []
    assert again.active == ("a",)
    assert [mutation.queue_tick for mutation in again.queue] == [None, 3, 4, 5, 6, 7]
    assert again.when_idle().done is again.when_idle().done is True  # which has them run
    assert again.order == ["auto b", "add MachineRestored", "add c", "remove c", "toggle c", "remove c"]
    assert again.queue_tick == 7  # as many as had one
    # With a loop they run once it is open, so that handlers may spawn.
    opened = Mine.restore(data[0])
    opened.order = []
    async with opened:
        with anyio.fail_after(5):
            await opened.when_idle()
        assert len(opened.order) == 6
    # And never before the next mutation.
    last = Mine.restore(data[0])
    last.order = []
    last.remove("a")
    assert last.order[-2:] == ["remove c", "remove a"]


def test_a_full_queue_loses_nothing() -> None:
    pictures: list[Any] = []

    def fill(event: Event[Any]) -> None:
        event.machine.eval(lambda: pictures.append(event.machine.export(pending=True)))
        for number in range(3):
            event.machine.add("b", number=number)

    schema = Schema.parse({"a": {}, "b": {"multi": True}, "MachineRestored": {}})
    Machine.of(schema, handlers=[{"AState": fill}], queue_limit=4).add("a")
    again = Machine.restore(through_json(pictures[0]), schema=schema, queue_limit=3)
    assert again.when_idle().done
    assert again.error is None
    assert (again.clock["b"], again["b"].args, again.is_active("MachineRestored")) == (5, {"number": 2}, True)


def test_private_fields_are_given_by_the_names_that_they_are_built_with() -> None:
    flow = Flow()
    flow.began = []
    flow.add("working", path="x", secret="y", sizes={3: "1.5"})
    assert flow.working.args == Job(Path("x"), "y", {3: Decimal("1.5")})


def test_what_is_pending_keeps_arguments_and_errors() -> None:
    pictures: list[Any] = []

    class Mine(Machine):
        a = State()
        job = State(Job)
        ran: list[Any]

        @a.state
        def on(self, e: Event[None]) -> None:
            self.eval(lambda: pictures.append(through_json(self.export(pending=True))))
            self.job.send(JOB)
            self.add_error(KeyError("x"))

        @job.state
        def runs(self, e: Event[Job]) -> None:
            self.ran.append(e.args)

        @States.Exception.state
        def failed(self, e: Event[ErrorInfo]) -> None:
            self.ran.append(e.args.error)

    first = Mine()
    first.ran = []
    first.a.add()
    again = Mine.restore(pictures[0])
    again.ran = []
    assert len(again.queue) == 2
    again.add()
    assert again.ran[0] == JOB
    assert repr(again.ran[1]) == "PastError(KeyError: 'x')"
    assert "queue" not in first.export()
    assert len(Mine.restore(pictures[0], queue_limit=1).queue) == 2  # it may have been full
    data = {**pictures[0], "queue": pictures[0]["queue"] * 6000}
    with pytest.raises(RestoreError, match="12000 mutations are pending, and queue_limit is 1"):
        Mine.restore(data, queue_limit=1)


def test_a_machine_whose_queue_was_full_is_restored_with_the_same_limit_and_told_of_it_once() -> None:
    pictures: list[Any] = []

    class Mine(Machine):
        MachineRestored = State(multi=True)
        a = State()
        b = State(multi=True)

        @a.state
        def fill(self, e: Event[None]) -> None:
            self.eval(lambda: pictures.append(self.export(pending=True)))
            for _ in range(12):
                self.b.add()

        @States.Exception.state
        def failed(self, e: Event[ErrorInfo]) -> None:
            """The queue is full."""

    Mine("m", queue_limit=10).a.add()
    data = pictures[0]
    waiting = len(data["queue"])
    for _ in range(3):
        data = through_json(Mine.restore(data, queue_limit=10).export(pending=True))
        assert len(data["queue"]) == waiting + 1
    again = Mine.restore(data, queue_limit=10)
    again.when_idle()
    assert again.MachineRestored.entries == 1


def test_a_tracer_may_export_and_mutate_while_a_machine_is_restored() -> None:
    pictures: list[Any] = []
    results: list[Any] = []

    class Mine(Machine):
        MachineRestored = State(multi=True)
        a = State()

    class Looks(Tracer):
        def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
            pictures.append(machine.export())
            if not results:
                results.append(machine.remove("a"))

    first = Mine("m")
    first.a.add()
    data = first.export()
    again: Mine = Errand(lambda: Mine.restore(data, tracers=[Looks()])).outcome()
    assert [picture["ticks"] for picture in pictures] == [[0, 1, 0]] * 2
    assert again.when_idle().done
    assert results[0].executed
    assert again.active == ("MachineRestored",)


def test_what_another_thread_asks_for_meanwhile_runs_behind_what_was_pending() -> None:
    class Mine(Machine):
        MachineRestored = State(multi=True)
        a = State()

    class Hurries(Tracer):
        def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
            if not results:
                results.append(Errand(lambda: machine.add("a")).outcome())

    results: list[Any] = []
    again = Mine.restore(Mine("m").export(), tracers=[Hurries()])
    assert results[0].executed
    assert again.active == ("MachineRestored", "a")


def test_a_class_that_makes_its_own_data_may_ask_its_machine() -> None:
    class Curious(BaseModel):
        n: int

        @field_serializer("n")
        def asks(self, n: int) -> int:
            if not results:
                results.append(machine.b.add())
                assert machine.export(pending=True)["queue"]
            return n

    class Mine(Machine):
        b = State()
        a = State(Curious)

    results: list[Any] = []
    machine = Mine("m")
    machine.a.add(n=1)
    assert Errand(machine.export).outcome()["args"] == {"a": {"n": 1}}
    assert results[0].executed


def test_a_machine_that_closes_while_somebody_waits_for_the_export_gives_its_last_state() -> None:
    machine = Machine.of({"a": {}}, "m")
    errands: list[Errand] = []

    def close(event: Event[Any]) -> None:
        errands.append(Errand(machine.export))
        while not machine._inbox_:
            pass
        machine.close()

    machine.bind({"AState": close})
    machine.add("a")
    assert errands[0].outcome()["ticks"] == [1, 0]


def test_a_closed_machine_comes_back_as_one_that_has_not_ended(caplog: pytest.LogCaptureFixture) -> None:
    class Mine(Machine, Disposed):
        serving = State()
        over = State(auto=True, require=[Disposed.Disposed])

    first = Mine("m")
    closed: list[int] = []
    assert first.RegisterDisposal.add(lambda: closed.append(1)).executed
    assert first.export()["args"] == {}  # a function could not be kept
    first.serving.add()
    first.close()
    assert closed == [1]
    assert set(first.active) == {"Disposed", "serving", "over"}
    again = Mine.restore(through_json(first.export()))
    assert again.active == ("serving",)
    assert {
        name: again.clock[name] - tick for name, tick in first.clock.items() if again.clock[name] != tick
    } == {
        "Disposed": 1,
        "over": 1,
    }
    assert again.RegisterDisposal.add(lambda: closed.append(2)).executed
    again.close()
    assert closed == [1, 2]
    assert caplog.records == []


def test_a_class_that_takes_no_id_first_is_not_made_of_one() -> None:
    class Mine(Machine):
        a = State()

        def __init__(self, folder: str = "here", **options: Any) -> None:
            super().__init__(**options)
            self.folder = folder

    data = Mine(id="m").export()
    with pytest.raises(RestoreError, match=r"m: Mine\(id\) makes .* Mine.restore\(data, into=…\)"):
        Mine.restore(data)
    assert Mine.restore(data, into=Mine("there", id="m")).folder == "there"


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (State(), "machine m: MachineRestored is active already: only if it is multi it is entered anew"),
        (
            State(multi=True, require=["a"]),
            "machine m: MachineRestored was refused: MachineRestored requires a, which is inactive",
        ),
    ],
)
def test_a_machine_that_cannot_be_told_that_it_was_restored_says_so(
    declared: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Mine(Machine):
        a = State()
        MachineRestored = declared

    first = Mine("m")
    first.add("a")
    first.add("MachineRestored")
    if first.schema["MachineRestored"].multi:
        first.remove("a")
    Mine.restore(first.export(), handlers=[{"ExceptionState": nothing}]).when_idle()
    assert [record.getMessage() for record in caplog.records] == [says]


# What does not fit.


OLD = {"a": {}, "b": {"require": ["a"]}, "c": {}}


def exported(schema: Any, *active: str) -> dict[str, Any]:
    machine = Machine.of(schema, "old")
    for state in active:
        machine.add(state)
    return dict(through_json(machine.export()))


@pytest.mark.parametrize(
    ("today", "says"),
    [
        ({"a": {}, "b": {"require": ["a"]}}, "state 'c' is gone"),
        ({**OLD, "d": {}}, "state 'd' is new"),
        ({**OLD, "b": {}}, r"the require of 'b' was \[a\] and is \[\]"),
        ({**OLD, "c": {"auto": True}}, "'c' was not auto"),
    ],
)
def test_another_schema_is_explained_and_can_be_allowed(today: Any, says: str) -> None:
    data = exported(OLD, "a", "b")
    with pytest.raises(
        RestoreError, match=f"old: it was exported by another schema.*{says}.*strict=False"
    ) as caught:
        Machine.restore(data, schema=today)
    assert any(says.partition(" ")[0] in each for each in caught.value.differences)
    again = Machine.restore(data, schema=today, strict=False)
    assert set(again.active) == {"a", "b"}
    assert again.clock == {name: {"a": 1, "b": 1}.get(name, 0) for name in again.schema.names}


def test_the_order_of_states_may_differ_for_clocks_go_by_name() -> None:
    data = exported({"a": {}, "b": {"require": ["a", "c"]}, "c": {}}, "a", "c", "b")
    again = Machine.restore(data, schema={"c": {}, "b": {"require": ["c", "a"]}, "a": {}})
    assert (again.active, again.clock["c"]) == (("c", "b", "a"), 1)


def test_a_machine_that_had_grown_is_restored_by_a_schema_that_has_grown() -> None:
    class More(FlowStates):
        more = State(require=[FlowStates.working])

    flow = busy()
    flow.set_schema(More)
    flow.add(More.more)
    assert flow.schema.names[-2:] == ("Exception", "more")
    assert More.schema.names[-2:] == ("more", "Exception")
    data = through_json(flow.export())
    with pytest.raises(RestoreError, match="state 'more' is gone"):
        Flow.restore(data)
    again = Flow.restore(data, schema=More)
    assert again.clock == {name: flow.clock[name] for name in again.schema.names}
    other = Flow()
    other.set_schema(More)
    assert Flow.restore(data, into=other).clock == flow.clock
    assert other.working.args == JOB


@pytest.mark.parametrize(
    ("today", "says"),
    [
        ({"a": {}, "b": {"remove": ["a"]}}, "cannot be active today: b is active, and removes a"),
        ({"a": {}, "b": {"require": ["c"]}, "c": {}}, "b is active, and requires c"),
        ({"a": {}}, "state 'b' was active and is gone"),
    ],
)
def test_what_was_active_must_be_possible_today(today: Any, says: str) -> None:
    with pytest.raises(RestoreError, match=says):
        Machine.restore(exported(OLD, "a", "b"), schema=today, strict=False)


def test_arguments_that_do_not_fit_todays_class_name_state_and_field() -> None:
    data = through_json(busy().export())

    def refuse(state: str, args: Any, says: str) -> None:
        with pytest.raises(RestoreError, match=says) as caught:
            Flow.restore({**data, "args": {**data["args"], state: args}})
        assert (caught.value.machine, caught.value.state) == ("flow-x", state)

    good = data["args"]["working"]
    refuse(
        "working",
        {**good, "sizes": 3},
        r"the arguments of working: Expected `object`, got `int` - at `\$.sizes`",
    )
    refuse("working", {**good, "pth": "x"}, r"working has no argument 'pth' \(did you mean 'path'\?\)")
    refuse("working", {}, "missing required field `path`")
    refuse("uploading", {"url": 3}, r"uploading: url: Input should be a valid string")
    without = {key: value for key, value in data["args"].items() if key != "working"}
    with pytest.raises(RestoreError, match="working is active without path"):
        Flow.restore({**data, "args": without})
    with pytest.raises(RestoreError, match="it has arguments of 'idle', which is no active state"):
        Flow.restore({**data, "args": {**data["args"], "idle": {}}})


def test_a_refused_restore_leaves_nothing_behind() -> None:
    told: list[str] = []

    class Tells(Tracer):
        def machine_opened(self, machine: Machine) -> None:
            told.append("opened")

        def machine_closed(self, machine: Machine) -> None:
            told.append("closed")

    data = through_json(busy().export())
    with pytest.raises(RestoreError):
        Flow.restore({**data, "args": {}}, tracers=[Tells()])
    assert told == []
    data["timers"] = [{"state": "working", "timer": "wrok", "due": 1.0}]
    with pytest.raises(
        RestoreError, match=r"working has no timer 'wrok' today: it begins anew with strict=False"
    ):
        Flow.restore(data, tracers=[Tells()])
    assert told == ["opened", "closed"]
    into = Flow("new")
    with pytest.raises(RestoreError):
        Flow.restore(data, into=into)
    assert (into.active, into.time.sum, into.machine_tick) == ((), 0, 1)
    assert restored(data, strict=False).is_active("working")


def nested(wrap: Callable[[Any], Any]) -> Any:
    """What is deeper than any stack."""
    data: Any = None
    for _ in range(5000):
        data = wrap(data)
    return data


NESTED: Any = nested(lambda inner: [inner])
CHAIN: Any = nested(lambda inner: {"x" * 1000: inner})

GARBAGE: list[tuple[Any, str]] = [
    (None, r"what export\(\) gave is a mapping, not None"),
    ('{"format": 1}', "not '.*': json.loads it first"),
    ([], r"is a mapping, not \[\]"),
    ({"format": 2}, "its format is 2, and this version of amachine reads 1"),
    ({"format": True}, "its format is True"),
    ({"id": None}, "its id is None"),
    ({"ticks": [1]}, "it has 7 states and 1 ticks"),
    ({"ticks": [0, 1, -1, 1, 1, 0, 0]}, "the tick of digested is -1"),
    ({"ticks": [0, 1, 10**5000, 1, 1, 0, 0]}, "the tick of digested is a int|the tick of digested is 1000"),
    ({"ticks": [0, True, 1, 1, 1, 0, 0]}, "the tick of working is True"),
    ({"states": "idle"}, "its states are 'idle', and should be a list"),
    ({"states": ["idle"] * 7}, "'idle' among its states is no name, or stands there twice"),
    ({"states": [["idle"]] * 7}, "among its states is no name"),
    ({"states": [str(i) for i in range(5000)], "ticks": [0] * 5000}, "it has 5000 states, and the schema has 7"),
    ({"hash": 3}, "its hash is 3"),
    ({"hash": "x" * 16, "relations": {"idle": {"requires": []}}}, "its relations are damaged: .*'requires'"),
    ({"hash": "x" * 16, "relations": 3}, "its relations are 3"),
    ({"hash": "x" * 16}, "the hash differs, and nothing that is told of it"),
    ({"args": {"working": []}}, "the arguments of working: Expected `object`, got `array`"),
    ({"args": {"nope": {}}}, "it has arguments of 'nope', which is no active state"),
    ({"args": None}, "its args are None"),
    ({"errors": {"working": 3}}, "3 is no error that was exported"),
    ({"errors": {"working": {"kind": "X", "message": "y" * 2_000_000, "traceback": ""}}}, "its message is 'yyy"),
    ({"timers": [3]}, "3 is no timer"),
    ({"timers": [{"state": "working", "timer": "x", "due": float("nan")}]}, "is due at nan"),
    ({"timers": [{}] * 1000}, "it has 1000 timers"),
    ({"queue_tick": 0}, "its queue_tick is 0, and should be a whole number from 1"),
    ({"queue_tick": 99}, "its queue_tick is 99 after 8 transitions"),
    ({"machine_tick": "1"}, "its machine_tick is '1'"),
    ({"transitions": 2**70}, "its transitions is 1180591620717411303424"),
    ({"quue": []}, r"'quue' is no part of an export .did you mean 'queue'"),
    ({"errors": {"working": {"kind": "X", "message": "", "traceback": ""}}}, "working has arguments and an error"),
    ({"ticks": [0, 1, 1, 1, 1, 0, 1], "args": {"Exception": {"error": "x"}}}, "Exception takes an error"),
    ({"id": "x\nERROR", "ticks": 3}, r"^'x\\nERROR': its ticks are 3"),
    ({"id": "x" * 5000, "ticks": 3}, r"^'xxx.*…?xxx': its ticks are 3"),
    ({"hash": "x", "relations": {"idle": {"require": ["q" * 999] * 999}}}, r"the require of 'idle' was \[qqq"),
    ({"hash": "x", "relations": {"idle": {"q" * 3_000_000: 1}}}, "its relations are damaged"),
    ({"hash": "x", "relations": {"idle": NESTED}}, "its relations are damaged"),
    ({"hash": "x", "relations": {"idle": {"require": [NESTED]}}}, "its relations are damaged"),
    ({"hash": "x", "relations": {"idle": 10**5000}}, "its relations are damaged: ValueError"),
    ({"args": {"working": {"p" * 3_000_000: 1}}}, "the arguments of working has no argument"),
    ({"queue": [{"kind": "remove", "states": ["idle"], "args": CHAIN}]}, "the arguments of a pending remove"),
    ({"queue": 3}, "its queue are 3"),
    ({"queue": [3]}, "3 is no mutation"),
    ({"queue": [{"kind": ["add"]}]}, r"has the kind \['add'\]"),
    ({"queue": [{"kind": "add", "states": ["wroking"]}]}, "'wroking', which is no state .did you mean 'working'"),
    ({"queue": [{"kind": "add", "states": ["working"], "args": {"path": 3}}]}, "arguments of working"),
    ({"queue": [{"kind": "remove", "states": ["idle"], "args": [3]}]}, "the arguments of a pending remove"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), GARBAGE, ids=[says for _, says in GARBAGE])
def test_garbage_is_explained_and_never_crashes(change: Any, says: str) -> None:
    data: Any = change
    if isinstance(change, dict):
        data = {**through_json(busy().export()), **cast("dict[str, Any]", change)}
    with pytest.raises(RestoreError, match=says) as caught:
        Flow.restore(data)
    assert len(str(caught.value)) < 2000


def test_no_error_quotes_the_arguments_of_a_model() -> None:
    class Pin(BaseModel):
        pin: int

    class M(Machine):
        a = State(Pin)

    machine = M()
    machine.a.add(pin=1)
    data = machine.export()
    data["args"]["a"]["pin"] = "hunter2"
    with pytest.raises(RestoreError, match="pin: Input should be a valid integer") as caught:
        M.restore(data)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
GOOD = through_json(busy().export(pending=True))


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(GOOD)), PLAIN, max_size=3),
    st.sets(st.sampled_from(sorted(GOOD)), max_size=1),
)
def test_no_data_brings_anything_but_a_machine_or_a_restore_error(
    changes: dict[str, Any], lost: set[str]
) -> None:
    data = {key: value for key, value in {**GOOD, **changes}.items() if key not in lost}
    try:
        machine = Flow.restore(data)
    except RestoreError as error:
        assert str(error)  # noqa: PT017  # both are right
    else:
        assert machine.machine_tick >= 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "set", "toggle"]), st.sampled_from("abcde")), max_size=12
    ),
    st.integers(0, 12),
)
def test_a_machine_restored_anywhere_goes_on_as_the_one_that_was_never_stopped(
    steps: list[tuple[str, str]], cut: int
) -> None:
    schema = Schema.parse(
        {
            "a": {"add": ["b"]},
            "b": {"multi": True},
            "c": {"remove": ["a"]},
            "d": {"auto": True, "require": ["b"]},
            "e": {"require": ["d"], "remove": ["c"]},
        }
    )
    through, stopped = Machine.of(schema), Machine.of(schema)
    for number, (verb, state) in enumerate(steps):
        if number == cut:
            stopped = Machine.restore(through_json(stopped.export()), schema=schema)
        for machine in (through, stopped):
            getattr(machine, verb)(state)
        assert (stopped.clock, stopped.queue_tick) == (through.clock, through.queue_tick)


# The proof: a program that may be killed at any moment.

PROGRAM = """
import json, os, sys, random
import anyio
from pathlib import Path
from amachine import Event, Machine, State, Tracer, ErrorInfo
import attrs

PLACE = Path(sys.argv[1])
NUMBERS = random.Random(int(sys.argv[2]))

@attrs.frozen
class Part:
    number: int
    path: Path

class Flow(Machine):
    MachineRestored = State(multi=True)
    fetching = State(Part)
    storing = State(Part, require=[fetching])
    ticking = State(Part, multi=True)

    @fetching.task
    async def fetch(self, e: Event[Part]) -> None:
        print("task", e.args.number, e.restored, flush=True)
        number = e.args.number
        while True:
            await anyio.sleep(0)
            number += 1
            what = NUMBERS.random()
            if what < 0.2:
                self.fetching.remove()
                self.fetching.add(number, Path(f"p{number}"))
                return
            if what < 0.5:
                self.storing.add(number, Path(f"s{number}"))
            elif what < 0.7:
                self.storing.remove()
            else:
                self.ticking.add(number, Path(f"t{number}"))

    @fetching.every(0.001)
    def beat(self, e: Event[Part]) -> None:
        self.ticking.add(e.args.number, Path("beat"))

class Keeps(Tracer):
    def transition_ended(self, machine, transition):
        data = json.dumps(machine.export(pending=True))
        with open(PLACE / "new", "w") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(PLACE / "new", PLACE / "state.json")

async def main():
    place = PLACE / "state.json"
    if place.exists():
        flow = Flow.restore(json.loads(place.read_text()))
    else:
        flow = Flow("flow")
    flow.attach(Keeps())
    async with flow:
        if not flow.fetching.active:
            flow.fetching.add(0, Path("p0"))
        for state in ("fetching", "storing", "ticking"):
            if flow.is_active(state):
                assert flow[state].args is not None
        with anyio.move_on_after(30):
            await flow.when_error()
            raise SystemExit(repr(flow.error))

anyio.run(main, backend=sys.argv[3])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_no_clock_goes_back_and_no_arguments_are_lost_however_often_it_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    place = tmp_path / "state.json"
    environment = {**os.environ, "PYTHONPATH": str(Path(amachine.__file__).parents[1])}
    chance = random.Random(7)
    before: dict[str, Any] | None = None
    saved = 0
    for cycle in range(CRASHES):
        backend = ("asyncio", "trio")[cycle % 2]
        command = [sys.executable, "-W", "error", str(program), str(tmp_path), str(cycle), backend]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            line = run.stdout.readline()  # its task has begun
            assert line, run.stderr.read()
            assert (line.split()[2] == "True") is (before is not None and before["ticks"][1] % 2 == 1), (
                line,
                before,
            )
            gate = chance.random() * 0.1
            try:
                run.wait(gate)
            except subprocess.TimeoutExpired:
                run.kill()
            rest_, errors = run.communicate()
        assert errors == "", rest_
        data = json.loads(place.read_text())
        if data == before:  # killed before anything happened
            continue
        saved += 1
        ticks = dict(zip(data["states"], data["ticks"], strict=True))
        active = {name for name, tick in ticks.items() if tick % 2}
        assert data["args"].keys() == active & {"fetching", "storing", "ticking"}
        if before is not None:
            assert all(now >= then for now, then in zip(data["ticks"], before["ticks"], strict=True))
            assert data["transitions"] > before["transitions"]
            assert data["queue_tick"] > before["queue_tick"]
            assert data["machine_tick"] == before["machine_tick"] + 1
            assert ticks["MachineRestored"] > 0
        before = data
    assert before is not None
    assert before["machine_tick"] == saved > CRASHES / 2
