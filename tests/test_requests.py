"""Requests that are made again until they go through: `machine.request` and `Retry`. On both event loops, in virtual time."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import anyio
import attrs
import pytest

from amachine import (
    ArgsError,
    Event,
    GaveUp,
    Granted,
    Machine,
    MachineClosed,
    Refused,
    RequestTimeout,
    Result,
    Retry,
    SchemaError,
    State,
    UnknownState,
)
from amachine.helpers import pool
from tests.virtual import anyio_backend

__all__ = ["anyio_backend"]


@attrs.frozen
class Job:
    name: str
    size: int = 0


@attrs.frozen
class Slow:
    timeout: float


class Flow(Machine):
    start = State()
    working = State(Job, require=[start])
    guarded = State(multi=True)
    done = State(Job, multi=True)
    slow = State(Slow)
    kept = State()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[float] = []
        self.patience = 0
        self.keeps = 0

    @guarded.enter
    def is_let_in(self, e: Event[None]) -> bool:
        self.asked.append(anyio.current_time())
        return len(self.asked) > self.patience

    @kept.exit
    def is_let_go(self, e: Event[None]) -> bool:
        self.keeps -= 1
        return self.keeps < 0


def gaps(times: list[float]) -> list[float]:
    return [round(later - earlier, 6) for earlier, later in pairwise(times)]


# Retry: the decision alone.


@pytest.mark.parametrize("attempts", [1, 2, 5, None])
@pytest.mark.parametrize(("delay", "factor"), [(0.0, 1.0), (0.1, 2.0), (3.0, 1.5)])
@pytest.mark.parametrize("max_duration", [None, 0.0, 4.0])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_the_pause_follows_the_rules_whatever_the_numbers(
    attempts: int | None, delay: float, factor: float, max_duration: float | None, jitter: float
) -> None:
    retry = Retry(attempts, delay=delay, factor=factor, max_duration=max_duration, jitter=jitter)
    for asked, seconds, luck in product(range(1, 8), (0.0, 1.0, 3.9, 4.0, 9.0), (0.0, 0.5, 1.0)):
        pause = retry.pause(asked, seconds, luck=luck)
        over = (attempts is not None and asked >= attempts) or (
            max_duration is not None and seconds >= max_duration
        )
        assert (pause is None) == over
        if pause is not None:
            wanted = min(delay * factor ** (asked - 1), 3.0) * (1 - jitter * luck)
            left = float("inf") if max_duration is None else max_duration - seconds
            assert pause == min(wanted, left)


def test_a_delay_never_outgrows_its_bound_not_even_past_the_largest_number() -> None:
    assert Retry(None).pause(5000) == 3.0


def test_a_number_is_a_retry_of_so_many_attempts() -> None:
    assert Retry.of(3) == Retry(3) == Retry(attempts=3)
    assert Retry.of(retry := Retry(delay=1)) is retry


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"attempts": 0}, "attempts=0"),
        ({"attempts": 1.5}, "whole number"),
        ({"attempts": float("inf")}, "whole number"),
        ({"delay": -1}, "delay=-1"),
        ({"delay": None}, "delay=None"),
        ({"factor": 0.5}, "factor=0.5"),
        ({"max_delay": float("nan")}, "max_delay=nan"),
        ({"jitter": 1.1}, "jitter=1.1"),
        ({"max_duration": "1"}, "max_duration='1'"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Retry(**wrong)


@pytest.mark.parametrize("wrong", [True, "3", 2.0, None])
def test_what_is_neither_a_retry_nor_a_number_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="how often to ask"):
        Flow().request(retry=wrong)


# Asking.


async def test_a_request_that_goes_through_at_once_is_a_true_result() -> None:
    flow = Flow()
    granted = await flow.request(Flow.start)
    assert granted
    assert isinstance(granted, Granted)
    assert isinstance(granted, Result)
    assert granted.executed
    assert (granted.attempts, granted.seconds, granted.args, granted.why) == (1, 0.0, None, "")
    assert repr(granted) == "<Granted attempts=1 seconds=0>"


async def test_arguments_are_handed_on() -> None:
    flow = Flow()
    flow.start.add()
    await flow.request(Flow.working, "a", size=2)
    assert flow.working.args == Job("a", 2)


async def test_a_handler_that_refuses_is_asked_again_after_delays_that_double_up_to_a_bound() -> None:
    flow = Flow()
    flow.patience = 5
    granted = await flow.request(Flow.guarded, retry=Retry(10, delay=1, max_delay=5))
    assert gaps(flow.asked) == [1, 2, 4, 5, 5]
    assert granted.attempts == 6
    assert granted.seconds == pytest.approx(17)


async def test_jitter_shortens_delays_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amachine.requests.random", lambda: 0.5)
    flow = Flow()
    flow.patience = 2
    await flow.request(Flow.guarded, retry=Retry(delay=1, jitter=0.5))
    assert gaps(flow.asked) == [0.75, 1.5]


async def test_attempts_are_counted_with_the_first_one_and_the_story_is_told() -> None:
    flow = Flow("flow")
    flow.patience = 99
    with pytest.raises(GaveUp) as caught:
        await flow.request(Flow.guarded, retry=3)
    story = caught.value
    assert str(story) == (
        "flow: add guarded was refused 3 times in 0.3 s: GuardedEnter (Flow.is_let_in) said no"
    )
    assert isinstance(story, Refused)
    assert (story.machine, story.states, story.attempts) == ("flow", ("guarded",), 3)
    assert story.why == "GuardedEnter (Flow.is_let_in) said no"
    assert story.seconds == pytest.approx(0.3)
    assert story.error is None


async def test_one_attempt_is_no_retry() -> None:
    flow = Flow()
    flow.patience = 1
    with pytest.raises(GaveUp, match="refused once in 0 s"):
        await flow.request(Flow.guarded, retry=1)
    assert len(flow.asked) == 1


async def test_the_last_attempt_is_made_when_the_duration_is_over() -> None:
    flow = Flow()
    flow.patience = 99
    with pytest.raises(GaveUp, match="4 times in 5 s"):
        await flow.request(Flow.guarded, retry=Retry(None, delay=1, max_duration=5))
    assert gaps(flow.asked) == [1, 2, 2]


async def test_what_relations_refused_is_asked_again_as_soon_as_they_allow() -> None:
    flow = Flow()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: flow.request(Flow.working, "a"))
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        assert not flow.working.active
        flow.kept.add()  # says nothing to it
        await anyio.wait_all_tasks_blocked()
        flow.start.add()
        await flow.when(Flow.working)
        assert anyio.current_time() == began
    assert flow.working.args == Job("a")


async def test_relations_that_allow_only_for_a_moment_cost_one_attempt() -> None:
    flow = Flow()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: flow.request(Flow.working, "a"))
        await anyio.wait_all_tasks_blocked()
        flow.start.add()
        flow.start.remove()
        await anyio.wait_all_tasks_blocked()
        assert not flow.working.active
        flow.start.add()
    assert flow.working.active


async def test_what_never_changes_is_still_given_up_on() -> None:
    flow = Flow("flow")
    with pytest.raises(
        GaveUp, match=r"flow: add working was refused 10 times in .*requires start, which is inactive"
    ):
        await flow.request(Flow.working, "a")


async def test_a_queued_request_is_waited_for() -> None:
    flow = Flow()
    flow._take_turn()  # as if a thread were draining it
    granted: list[Granted[None]] = []
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            granted.append(await flow.request(Flow.start))

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert granted == []
        flow._turn_[:] = (None,)
        flow.kept.add()
    assert flow.active == ("start", "kept")
    assert granted[0].attempts == 1


async def test_remove_and_set_are_requested_by_verbs_and_may_share_one_request() -> None:
    flow = Flow()
    flow.add(Flow.kept, Flow.start)
    flow.keeps = 2
    patient = flow.request(retry=Retry(5, delay=1))
    granted = await patient.remove(Flow.kept)
    assert granted.attempts == 3
    assert flow.active == ("start",)
    flow.kept.add()
    flow.keeps = 1
    assert (await patient.set(Flow.start)).attempts == 2
    assert flow.active == ("start",)
    assert (await patient.add(Flow.kept, Flow.start)).attempts == 1


async def test_schemas_as_data_are_requested_by_name() -> None:
    wet = Machine.of({"Water": {}, "Wet": {"require": ["Water"]}})
    wet.add("Water")
    await wet.request("Wet", retry=2, depth=3)
    assert wet["Wet"].args == {"depth": 3}


# Until a later state.


class Worker(Machine):
    job = State(Job, multi=True)
    done = State(Job, multi=True)
    ready = State()

    @job.task
    async def work(self, e: Event[Job]) -> None:
        await anyio.sleep(e.args.size)
        if e.args.name == "bad":
            raise OSError("no disk")
        self.done.add(e.args.name, 1)


async def test_a_request_waits_until_a_later_state_and_yields_its_arguments() -> None:
    async with Worker() as worker:
        granted = await worker.request(until=Worker.done, timeout=60).add(Worker.job, "a", 5)
        assert granted.args == Job("a", 1)
        assert granted.seconds == pytest.approx(5)


async def test_an_activation_before_the_request_does_not_count() -> None:
    async with Worker() as worker:
        worker.done.add("old")
        granted = await worker.request(Worker.job, "new", 2, until=Worker.done)
        assert granted.args.name == "new"


async def test_an_activation_that_is_over_when_the_request_is_answered_does_count() -> None:
    class Quick(Machine):
        go = State()
        flash = State(Job)

        @go.state
        def shine(self, e: Event[None]) -> None:
            self.flash.add("x")
            self.flash.remove()

    quick = Quick()
    granted = await quick.request(Quick.go, until=Quick.flash)
    assert not quick.flash.active
    assert granted.args == Job("x")


async def test_a_later_state_that_does_not_come_ends_with_the_timeout_and_the_error_that_came_instead() -> (
    None
):
    async with Worker("w") as worker:
        with pytest.raises(RequestTimeout) as caught:
            await worker.request(Worker.job, "bad", 1, until="done", timeout=3)
        story = caught.value
        assert str(story) == (
            "w: add job went through, but when_next(done) of w did not come true within 3 s; "
            "meanwhile Exception was entered with OSError('no disk')"
        )
        assert isinstance(story.error, OSError)
        assert story.__cause__ is story.error
        assert story.seconds == pytest.approx(3)


# The time is up.


async def test_a_timeout_ends_the_retries_and_is_a_timeout_error() -> None:
    flow = Flow("flow")
    flow.patience = 99
    with pytest.raises(TimeoutError) as caught:
        await flow.request(Flow.guarded, timeout=4, retry=Retry(None, delay=1, factor=1))
    assert isinstance(caught.value, GaveUp)
    assert str(caught.value).startswith("flow: add guarded was refused 4 times within 4 s: GuardedEnter")


async def test_a_timeout_tells_of_a_request_that_still_has_its_turn_to_come() -> None:
    class Busy(Machine):
        go = State()
        other = State()

    busy = Busy("busy")
    busy._take_turn()  # as if a thread were draining it, and did not come to an end
    try:
        with pytest.raises(RequestTimeout, match="busy: add go still waits for its turn after 2 s"):
            await busy.request(Busy.go, timeout=2)
    finally:
        busy._turn_[:] = (None,)


async def test_a_timeout_keeps_the_last_refusal_whatever_came_after_it() -> None:
    flow = Flow("flow")
    flow.patience = 99
    with pytest.raises(RequestTimeout, match="still waits for its turn") as caught:
        await _request_while_busy(flow)
    assert caught.value.attempts == 2
    assert caught.value.why == "GuardedEnter (Flow.is_let_in) said no"


async def _request_while_busy(flow: Flow) -> None:
    """The second attempt finds the machine as if a thread were draining it."""
    request = flow.request(Flow.guarded, timeout=3, retry=Retry(delay=1))
    async with pool(1, errors="keep") as jobs:
        asked = jobs.start(lambda: request)
        await anyio.sleep(0.5)
        flow._take_turn()
        await anyio.sleep(5)
        flow._turn_[:] = (None,)
    assert asked.value


async def test_an_error_of_a_handler_is_a_refusal_and_part_of_the_story() -> None:
    class Broken(Machine):
        go = State()

        @go.enter
        def think(self, e: Event[None]) -> bool:
            raise ZeroDivisionError("oh")

    broken = Broken("b")
    with pytest.raises(
        GaveUp, match=r"refused 2 times .* raised .*; meanwhile Exception was entered with Zero"
    ) as caught:
        await broken.request(Broken.go, retry=2)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_an_error_from_before_is_not_part_of_the_story() -> None:
    flow = Flow()
    flow.add_error(OSError("old"))
    flow.patience = 99
    with pytest.raises(GaveUp) as caught:
        await flow.request(Flow.guarded, retry=2)
    assert caught.value.error is None
    assert "meanwhile" not in str(caught.value)


async def test_a_machine_that_raises_errors_raises_them_here_too() -> None:
    class Broken(Machine):
        go = State()

        @go.state
        def act(self, e: Event[None]) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Broken(raise_errors=True).request(Broken.go)


def test_the_story_survives_pickling() -> None:
    story = RequestTimeout("all of it", machine="m", states=("a",), why="no", attempts=3, seconds=1.5)
    again = pickle.loads(pickle.dumps(story))
    assert (type(again), str(again), vars(again)) == (RequestTimeout, "all of it", vars(story))


# The end of the machine.


async def test_a_closed_machine_is_not_asked_twice() -> None:
    flow = Flow("flow")
    flow.close()
    began = anyio.current_time()
    with pytest.raises(MachineClosed, match="flow: add start: machine flow is closed"):
        await flow.request(Flow.start)
    assert anyio.current_time() == began


@pytest.mark.parametrize("refused", [("guarded",), ("working", "a")])
async def test_a_machine_that_closes_ends_the_pause(refused: tuple[str, ...]) -> None:
    flow = Flow()
    flow.patience = 99
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(_closed_soon, flow)
        state, *args = refused
        with pytest.raises(MachineClosed):
            await flow.request(getattr(Flow, state), *args, retry=Retry(delay=3))
    assert anyio.current_time() == began


async def _closed_soon(flow: Machine) -> None:
    await anyio.wait_all_tasks_blocked()
    flow.close()


async def test_a_cancelled_request_asks_no_more() -> None:
    flow = Flow()
    flow.patience = 99
    with anyio.move_on_after(2.5):
        await flow.request(Flow.guarded, retry=Retry(None, delay=1, factor=1))
    await anyio.sleep(10)
    assert len(flow.asked) == 3


async def test_nothing_is_kept_of_requests_that_are_over() -> None:
    flow = Flow()
    flow.patience = 3
    await flow.request(Flow.guarded)
    assert flow._waits_ is None or flow._waits_.pending == ()


# What is wrong from the beginning.


WRONG: list[tuple[Callable[[Any], object], type[Exception], str]] = [
    (lambda m: m.request(Flow.working), ArgsError, "'working' needs name"),
    (lambda m: m.request().set(Flow.working), ArgsError, "'working' needs name"),
    (lambda m: m.request(Flow.working, 1, 2, 3), ArgsError, "working: "),
    (lambda m: m.request(Flow.start, 5, retry=2), ArgsError, "start takes no arguments"),
    (lambda m: m.request("strat"), UnknownState, "did you mean 'start'"),
    (lambda m: m.request(Flow.start, until="dne"), UnknownState, "did you mean 'done'"),
    (lambda m: m.request().remove("strat"), UnknownState, "did you mean 'start'"),
    (lambda m: m.request(Flow.start, retry=0), ValueError, "attempts=0"),
    (lambda m: m.request(Flow.start, timeout=0), ValueError, "timeout=0"),
    (lambda m: m.request(retry=2, size=3), ArgsError, "size=….: arguments of which state"),
    (lambda m: m.request(Flow.slow, timeout=3), ArgsError, r"request\(…\).add\(slow, …\)"),
]


@pytest.mark.parametrize(("wrong", "kind", "says"), WRONG)
def test_what_cannot_become_right_is_said_at_once(
    wrong: Callable[[Flow], object], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        wrong(Flow())


async def test_a_state_whose_arguments_are_named_like_an_option_is_requested_by_the_verb() -> None:
    flow = Flow()
    await flow.request(timeout=9).add(Flow.slow, timeout=3)
    assert flow.slow.args == Slow(3)


def test_a_request_needs_no_loop_until_it_is_awaited() -> None:
    code = (
        "import sys; from amachine import Machine, State\n"
        "class M(Machine):\n    a = State()\n"
        "M().request; from amachine import Retry; Retry(3)\n"
        "assert not {'anyio', 'asyncio', 'trio'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_state_may_be_named_request() -> None:
    with pytest.raises(SchemaError, match="request"):
        type("Wrong", (Machine,), {"request": State()})
