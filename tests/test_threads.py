"""Any number of threads on one machine: nothing lost, nothing done twice, nobody waits for another, and after a fork.

Two ways to find a race: many threads that switch as often as the interpreter can, and, where it must be certain, one
thread that is stopped before every single instruction, while another comes in between and goes to its end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from amachine import Check, Event, Machine, MachineClosed, Mutation, Result, State, Status, Tracer, WaitError
from tests.thorough import MORE

THREADS = 8
SECONDS = 300.0
FULL = "queue full"
Handlers = dict[str, Callable[[Event[Any]], Any]]


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads are switched as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(*works: Callable[[], object]) -> None:
    """Run these in threads of their own, all at once; the first error of one goes up."""
    gate = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            gate.wait(SECONDS)
            work()
        except BaseException as error:  # noqa: BLE001  # it is raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def in_thread(work: Callable[[], object]) -> None:
    in_threads(work)


def accept(event: Event[Any]) -> None:
    """Do nothing, but be there."""


# Many callers, each with its own answer.

CROWD = {"Hit": {"multi": True}, "Wall": {}, "No": {"multi": True, "require": ["Wall"]}}
"""Each accepted Hit moves its tick by two, after the first; each No is refused; no two of either are duplicates."""


class Caller:
    """One thread that makes many mutations, and keeps the answers that were not final at once."""

    def __init__(self, machine: Machine, state: str, count: int) -> None:
        self.machine = machine
        self.state = state
        self.count = count
        self.at_once = {Status.EXECUTED: 0, Status.CANCELED: 0}
        self.full_at_once = 0
        self.queued: list[Result] = []

    def __call__(self) -> None:
        add = self.machine[self.state].add
        for _ in range(self.count):
            result = add()
            if result.status is Status.QUEUED:
                self.queued.append(result)
            else:
                self.at_once[result.status] += 1
                self.full_at_once += result.why == FULL

    @property
    def full(self) -> int:
        """How many were refused because the queue was full."""
        return self.full_at_once + sum(result.why == FULL for result in self.queued)

    def total(self, status: Status) -> int:
        return self.at_once[status] + sum(result.status is status for result in self.queued)


def crowd(machine: Machine, count: int) -> list[Caller]:
    callers = [Caller(machine, "Hit" if i % 2 else "No", count) for i in range(THREADS)]
    in_threads(*callers)
    return callers


def test_eight_threads_lose_no_mutation_do_none_twice_and_each_gets_its_own_answer(hasty: None) -> None:
    count = 20_000 * MORE
    machine = Machine.of(CROWD, "m", queue_limit=None)
    callers = crowd(machine, count)
    assert not machine.queue
    assert machine.queue_tick == 1 + THREADS * count
    assert machine["Hit"].tick == 2 * (THREADS // 2 * count) - 1
    for caller in callers:
        wanted = Status.EXECUTED if caller.state == "Hit" else Status.CANCELED
        assert caller.total(wanted) == count
        ticks = [result.queue_tick or 0 for result in caller.queued]
        assert ticks == sorted(ticks), "the mutations of one thread lost their order"
    ticks = [result.queue_tick or 0 for caller in callers for result in caller.queued]
    assert len(ticks) == len(set(ticks))


def test_at_the_default_limit_every_refusal_is_accounted_for(hasty: None) -> None:
    count = 4_000 * MORE
    machine = Machine.of(CROWD, "m", handlers=[{"ExceptionState": accept}])
    callers = crowd(machine, count)
    full = {True: 0, False: 0}
    for caller in callers:
        assert not any(result.queued for result in caller.queued)
        full[caller.state == "Hit"] += caller.full
        if caller.state == "Hit":
            assert caller.total(Status.EXECUTED) + caller.full == count
        else:
            assert caller.total(Status.CANCELED) == count
    assert machine["Hit"].tick == 2 * (THREADS // 2 * count - full[True]) - 1
    assert machine.queue_tick == 1 + THREADS * count - full[True] - full[False]
    assert bool(machine["Exception"].tick) == bool(full[True] or full[False])


def test_a_result_can_be_waited_for_in_the_thread_that_made_it(hasty: None) -> None:
    count = 400
    machine = Machine.of(CROWD, "m", handlers=[{"HitState": accept}])

    def work(state: str, wanted: Status) -> Callable[[], None]:
        def call() -> None:
            for _ in range(count):
                result = machine.add(state)
                assert result.wait(SECONDS) is result
                assert result.status is wanted

        return call

    in_threads(*(work("Hit", Status.EXECUTED), work("No", Status.CANCELED)) * (THREADS // 2))
    assert machine["Hit"].tick == 2 * (THREADS // 2 * count) - 1


def test_handlers_never_run_in_two_threads_at_once(hasty: None) -> None:
    count = 500
    inside: list[int] = []
    seen = [0]

    def handler(event: Event[Any]) -> None:
        inside.append(threading.get_ident())
        seen[0] += 1
        assert len(inside) == 1
        inside.pop()

    handlers = {"HitEnter": handler, "HitState": handler, "AnyState": handler}
    machine = Machine.of(CROWD, "m", handlers=[handlers], queue_limit=None, handler_timeout=60)
    in_threads(*[Caller(machine, "Hit", count)] * THREADS)
    assert machine.error is None
    assert seen[0] == 3 * THREADS * count


class Fresh(Machine):
    """What threads race for on a new machine: its first mutation, its inbox, its queue, its waits."""

    hit = State(multi=True)
    wall = State()
    no = State(multi=True, require=[wall])
    seen = 0
    inside = 0

    @hit.enter
    def hits(self, e: Event[None]) -> bool:
        self.inside += 1
        return True

    @hit.state
    def counts(self, e: Event[None]) -> None:
        self.seen += 1
        self.inside -= 1
        if self.seen == ROUNDS * 2:
            self.wall.add()


ROUNDS = 12


def test_threads_that_come_to_a_new_machine_at_once_lose_nothing_and_each_tick_is_counted(
    hasty: None,
) -> None:
    for _ in range(10 * MORE):
        machine = Fresh("fresh", handler_timeout=None)
        gone: list[int] = []

        def hit(machine: Fresh = machine) -> None:
            for result in [machine.hit.add() for _ in range(ROUNDS)]:
                assert result.wait(SECONDS).executed

        def evaluate(machine: Fresh = machine, gone: list[int] = gone) -> None:
            for i in range(ROUNDS):
                machine.eval(partial(gone.append, i)).wait(SECONDS)
                machine.can_add(Fresh.no)

        def read(machine: Fresh = machine) -> None:
            last = machine.time
            while not machine.wall.active:
                now = machine.time
                assert now >= last, "a clock went back"
                last = now

        def wait(machine: Fresh = machine) -> None:
            assert machine.when_time({Fresh.hit: ROUNDS}).wait(SECONDS)["hit"] >= ROUNDS
            machine.wall.when().wait(SECONDS)
            machine.when_idle().wait(SECONDS)

        in_threads(hit, hit, evaluate, evaluate, read, wait, wait, hit)
        assert machine.seen == 3 * ROUNDS
        assert machine.hit.tick == 6 * ROUNDS - 1
        assert machine.inside == 0
        assert sorted(gone) == sorted([*range(ROUNDS)] * 2)
        assert not machine.queue
        assert machine.when_idle().done
        assert len(machine._turn_) == 1


def test_whoever_waits_for_a_machine_that_closes_at_that_moment_is_woken(hasty: None) -> None:
    for _ in range(20 * MORE):
        machine = Fresh("fresh", handler_timeout=None)
        ended: list[BaseException | None] = []

        def wait(machine: Fresh = machine, ended: list[BaseException | None] = ended) -> None:
            waits = [machine.no.when(), machine.when_closed(), machine.eval(int)]
            machine.hit.add()
            for each in waits:
                try:
                    each.wait(SECONDS)
                except MachineClosed as error:
                    ended.append(error)

        in_threads(wait, wait, machine.close, wait, machine.close)
        assert 3 <= len(ended) <= 6
        assert machine.is_closed
        assert not machine.queue
        assert len(machine._turn_) == 1


class Listener(Tracer):
    """Keeps what error is being handled where a mutation is queued."""

    def __init__(self) -> None:
        self.handled: list[object] = []

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        self.handled.append(sys.exc_info()[1])


def test_that_somebody_else_has_the_turn_is_no_error_that_anybody_sees() -> None:
    listener = Listener()
    machine = Machine.of({"A": {}, "B": {}, "C": {}}, "m", handlers=[{"AState": nested}], tracers=[listener])
    machine.add("A")
    in_threads(*[lambda: machine.toggle("A")] * THREADS)
    assert listener.handled == [None] * len(listener.handled)
    assert listener.handled


def test_toggles_of_many_threads_are_decided_one_after_the_other(hasty: None) -> None:
    machine = Machine.of({"A": {}}, "m", queue_limit=None)

    def work() -> None:
        for _ in range(2_001):
            machine.toggle("A")

    in_threads(*[work] * THREADS)
    assert machine["A"].tick == THREADS * 2_001


def test_a_mutation_from_a_thread_is_queued_while_a_handler_runs_and_knows_its_tick_when_it_is_taken_over() -> (
    None
):
    results: list[Result] = []
    ticks: list[int | None] = []

    def busy(event: Event[Any]) -> None:
        in_thread(lambda: results.append(machine.add("B")))
        ticks.append(results[0].queue_tick)

    machine = Machine.of({"A": {}, "B": {}, "C": {}}, "m", handlers=[{"AState": busy, "BState": accept}])
    assert machine.add("A").executed
    assert ticks == [None]
    assert results[0].executed
    assert results[0].queue_tick == 3
    assert machine.active == ("A", "B")


def test_a_check_from_another_thread_asks_relations_only_and_says_so() -> None:
    checks: list[Check] = []
    asked: list[str] = []

    def note(event: Event[Any]) -> None:
        asked.append("B")

    def busy(event: Event[Any]) -> None:
        in_thread(lambda: checks.extend((machine.can_add("B"), machine.can_add("C"))))

    machine = Machine.of(
        {"A": {}, "B": {}, "C": {"require": ["B"]}},
        "m",
        handlers=[{"AState": busy, "BEnter": note}],
    )
    machine.add("A")
    assert [bool(check) for check in checks] == [True, False]
    assert [check.complete for check in checks] == [False, False]
    assert not asked
    assert machine.can_add("B").complete
    assert asked == ["B"]


# Before every single instruction.


class Stepper:
    """Runs something with a stop before every instruction in some rooms of the engine.

    `between` is done at the stop number `at`, or at each. Threads that it starts are not stopped.
    """

    def __init__(self, between: Callable[[], object], at: int | None, *rooms: str) -> None:
        self.between = between
        self.at = at
        self.rooms = tuple(str(Path("amachine", room)) for room in rooms)
        self.steps = 0
        self.thread = threading.get_ident()

    def run(self, work: Callable[[], object]) -> object:
        """Do the work."""
        if sys.version_info >= (3, 12):
            return self._monitored(work)
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            return work()
        finally:
            sys.settrace(before)

    def _stop(self) -> None:
        if threading.get_ident() == self.thread:
            at, self.steps = self.steps, self.steps + 1
            if self.at is None or self.at == at:
                self.between()

    # Since Python 3.12, tracing misses instructions of a frame that has begun; monitoring does not.

    def _monitored(self, work: Callable[[], object]) -> object:
        watch: Any = vars(sys)["monitoring"]
        tool = 4
        codes = [code for code in self._codes() if code.co_filename.endswith(self.rooms)]
        watch.use_tool_id(tool, "stepper")

        def stop(code: CodeType, offset: int) -> None:
            self._stop()

        watch.register_callback(tool, watch.events.INSTRUCTION, stop)
        for code in codes:
            watch.set_local_events(tool, code, watch.events.INSTRUCTION)
        try:
            return work()
        finally:
            for code in codes:
                watch.set_local_events(tool, code, 0)
            watch.register_callback(tool, watch.events.INSTRUCTION, None)
            watch.free_tool_id(tool)

    def _codes(self) -> Iterator[CodeType]:
        for cls in Machine.__mro__:
            for value in vars(cls).values():
                function = value.fget if isinstance(value, property) else value
                if isinstance(function, FunctionType):
                    yield function.__code__

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.endswith(self.rooms):
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            self._stop()
            if self.at is not None and self.steps > self.at:
                sys.settrace(None)
                frame.f_trace_opcodes = False
        return self._step


def nested(event: Event[Any]) -> None:
    event.machine.add("C")


def failing(event: Event[Any]) -> None:
    raise RuntimeError("failed")


def interrupted(event: Event[Any]) -> None:
    raise KeyboardInterrupt


def toggle(machine: Machine) -> object:
    return machine.toggle("A")


def evaluate(machine: Machine) -> object:
    return machine.eval(lambda: None)


WORKS: dict[str, tuple[Handlers, dict[str, Any], Callable[[Machine], object]]] = {
    "silent": ({}, {}, toggle),
    "refused": ({}, {}, lambda machine: machine.add("No")),
    "handler": ({"AState": accept}, {}, toggle),
    "nested": ({"AState": nested}, {}, toggle),
    "check": ({"AEnter": accept}, {}, lambda machine: machine.can_add("A")),
    "eval": ({}, {}, evaluate),
    "failure": ({"AState": failing, "ExceptionState": accept}, {}, toggle),
    "failure raised": (
        {"AState": failing, "ExceptionState": accept},
        {"raise_errors": True},
        toggle,
    ),
    "interrupt": ({"AState": interrupted}, {}, toggle),
}


@pytest.mark.parametrize("work", WORKS)
def test_whatever_instruction_another_thread_comes_in_at_its_mutation_is_not_lost(work: str) -> None:
    handlers, options, act = WORKS[work]
    at = 0
    while True:
        machine = Machine.of(
            {"A": {}, "B": {}, "C": {}, "No": {"require": ["C"]}}, "m", handlers=[handlers], **options
        )
        results: list[Result] = []

        def post(machine: Machine = machine, results: list[Result] = results) -> None:
            thread = threading.Thread(target=lambda: results.append(machine.add("B")))
            thread.start()
            thread.join()

        stepper = Stepper(post, at, "engine.py", "express.py")  # where threads meet: entry, queue, drain
        try:
            stepper.run(partial(act, machine))
        except (RuntimeError, KeyboardInterrupt):
            pass
        if not results:
            break  # past the last instruction
        assert results[0].executed, f"instruction {at}: {results[0]!r}"
        assert machine.is_active("B")
        assert machine["B"].tick == 1
        assert not machine.queue
        at += 1
    assert at > 20


@pytest.mark.parametrize("work", ["silent", "handler", "nested", "failure"])
def test_whatever_instruction_a_reader_comes_in_at_it_sees_values_of_before_or_after_a_commit(
    work: str,
) -> None:
    handlers, options, act = WORKS[work]
    data: dict[str, Any] = {"A": {"remove": ["Z"]}, "Z": {"remove": ["A"]}, "C": {}, "No": {"require": ["C"]}}
    machine = Machine.of(data, "m", handlers=[handlers], **options)
    machine.add("Z")
    last = [machine.time]

    def read() -> None:
        time, active = machine.time, machine.active
        assert time >= last[0], "a clock went back"
        assert machine.is_active("A") or machine.is_active("Z") or work == "failure"
        assert not ("A" in active and "Z" in active)
        ticking = {machine.schema.names[i] for i in time.active()}
        assert not {"A", "Z"} <= ticking
        assert {"A", "Z"} & ticking or work == "failure"
        last[0] = time

    stepper = Stepper(read, None, "engine.py", "express.py", "conduct.py")
    stepper.run(lambda: act(machine))
    assert stepper.steps > 20


def test_readers_in_other_threads_see_no_state_between(hasty: None) -> None:
    data: dict[str, Any] = {
        "A": {"remove": ["B"]},
        "B": {"remove": ["A"]},
        "C": {"require": ["A"], "auto": True},
    }
    machine = Machine.of(data, "m")
    machine.add("A")
    legal = {("A",), ("A", "C"), ("B",)}
    over = threading.Event()

    def write() -> None:
        for _ in range(5_000):
            machine.add("B")
            machine.add("A")
        over.set()

    def read() -> None:
        last = machine.time
        while not over.is_set():
            assert machine.active in legal
            assert not machine.is_active("A", "B")
            time = machine.time
            assert tuple(machine.schema.names[i] for i in time.active()) in legal
            assert time >= last
            last = time

    in_threads(write, read, read)


# Waiting, and evaluating, in threads.


def test_a_thread_waits_for_states_that_another_one_changes() -> None:
    machine = Machine.of({"A": {}, "B": {}}, "m")
    ready = threading.Event()

    def first() -> None:
        wait = machine.when("A")
        ready.set()
        wait.wait(SECONDS)
        machine.add("B")

    def second() -> None:
        assert ready.wait(SECONDS)
        machine.add("A")
        machine.when("B").wait(SECONDS)

    in_threads(first, second)


def test_two_threads_that_hand_a_ball_to_each_other_lose_no_wake_up(hasty: None) -> None:
    machine = Machine.of({"Ping": {"remove": ["Pong"]}, "Pong": {"remove": ["Ping"]}}, "m")
    count = 500

    def player(mine: str, other: str) -> Callable[[], None]:
        def play() -> None:
            for _ in range(count):
                machine.when(other).wait(SECONDS)
                machine.add(mine).wait(SECONDS)

        return play

    machine.add("Pong")
    in_threads(player("Ping", "Pong"), player("Pong", "Ping"))
    assert machine.clock == {"Ping": 2 * count, "Pong": 2 * count + 1, "Exception": 0}


def test_a_wait_that_runs_out_of_time_leaves_the_machine_alone_and_may_be_asked_again() -> None:
    machine = Machine.of({"A": {}}, "m")
    wait = machine.when("A")
    with pytest.raises(TimeoutError):
        wait.wait(0.001)
    machine.add("A")
    assert wait.wait(SECONDS) is None


def test_a_handler_cannot_block_its_own_machine() -> None:
    errors: list[Exception] = []

    def handler(event: Event[Any]) -> None:
        result = event.machine.add("B")
        for wait in (result.wait, event.machine.when("B").wait):
            try:
                wait(SECONDS)
            except WaitError as error:
                errors.append(error)

    machine = Machine.of({"A": {}, "B": {}}, "m", handlers=[{"AState": handler}], handler_timeout=None)
    machine.add("A")
    assert len(errors) == 2
    assert machine.active == ("A", "B")


def test_a_thread_that_waits_for_a_machine_that_closes_is_woken() -> None:
    machine = Machine.of({"A": {}}, "m")
    ready = threading.Event()
    errors: list[MachineClosed] = []

    def wait() -> None:
        pending = machine.when("A")
        ready.set()
        with pytest.raises(MachineClosed) as caught:
            pending.wait(SECONDS)
        errors.append(caught.value)

    def close() -> None:
        assert ready.wait(SECONDS)
        machine.close()

    in_threads(wait, close)
    assert errors


def test_eval_runs_between_mutations_one_at_a_time_whatever_the_thread(hasty: None) -> None:
    machine = Machine.of(CROWD, "m", handlers=[{"HitState": accept}], queue_limit=None)
    numbers: list[int] = []
    counter = [0]

    def count() -> int:
        assert machine.transition is None
        counter[0] += 1
        return counter[0]

    def evaluator() -> None:
        numbers.extend(machine.eval(count).wait(SECONDS) for _ in range(200))

    in_threads(*[evaluator] * 4, *[Caller(machine, "Hit", 500)] * 4)
    assert sorted(numbers) == list(range(1, 801))


def test_idle_comes_to_every_thread_that_waits_for_it(hasty: None) -> None:
    machine = Machine.of(CROWD, "m", handlers=[{"HitState": accept}], queue_limit=None)

    def waiter() -> None:
        for _ in range(100):
            machine.when_idle().wait(SECONDS)

    in_threads(*[waiter] * 4, *[Caller(machine, "Hit", 500)] * 4)


def test_tracers_of_a_busy_machine_see_every_transition_once(hasty: None) -> None:
    class Counter(Tracer):
        numbers: list[int]

        def transition_ended(self, machine: Machine, transition: Any) -> None:
            self.numbers.append(transition.number)

    tracer = Counter()
    tracer.numbers = []
    machine = Machine.of(CROWD, "m", tracers=[tracer], queue_limit=None)
    in_threads(*[Caller(machine, "Hit", 500)] * THREADS)
    assert tracer.numbers == list(range(1, THREADS * 500 + 1))


# After a fork.

forks = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


@contextmanager
def held(machine: Machine, gate: threading.Event, inside: threading.Event) -> Generator[None]:
    """While this lasts, another thread is in the handler of A."""
    thread = threading.Thread(target=lambda: machine.add("A"), daemon=True)
    thread.start()
    assert inside.wait(SECONDS)
    try:
        yield
    finally:
        gate.set()
        thread.join(SECONDS)


def in_child(claims: Callable[[], dict[str, bool]]) -> dict[str, bool]:
    """What is claimed in a forked child; a child that hangs is killed, and claims nothing."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "error"
        try:
            signal.alarm(20)
            answer = " ".join(f"{name}={value}" for name, value in claims().items())
        finally:
            os.write(writer, answer.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert text not in {"", "error"}, "the child hung, or failed"
    return {name: value == "True" for name, _, value in (item.partition("=") for item in text.split())}


def handler_that_stays(gate: threading.Event, inside: threading.Event) -> Callable[[Event[Any]], None]:
    def stay(event: Event[Any]) -> None:
        inside.set()
        gate.wait(SECONDS)

    return stay


class Forking(Tracer):
    """Forks when it is attached, which is between two mutations; in the child it is 0 that it has."""

    child = -1

    def machine_opened(self, machine: Machine) -> None:
        self.child = os.fork()


class TestFork:
    pytestmark = forks

    def test_a_tracer_may_fork_and_in_the_child_too_one_thread_at_a_time_has_the_turn(self) -> None:
        machine = Machine.of({"A": {}}, "m")
        tracer = Forking()
        machine.attach(tracer)
        fine = machine.add("A").executed and len(machine._turn_) == 1
        if tracer.child == 0:
            os._exit(0 if fine else 1)
        assert fine
        assert os.waitpid(tracer.child, 0)[1] == 0

    @pytest.mark.parametrize("phase", ["AEnter", "AState"])
    def test_a_child_can_use_a_machine_that_another_thread_held(self, phase: str) -> None:
        gate, inside = threading.Event(), threading.Event()
        handlers = {phase: handler_that_stays(gate, inside)}
        machine = Machine.of({"A": {}, "B": {}, "C": {}}, "m", handlers=[handlers], handler_timeout=None)

        def claims() -> dict[str, bool]:
            before = machine.active
            return {
                "stands_before_or_after_the_commit": before == (() if phase == "AEnter" else ("A",)),
                "add": machine.add("B").executed,
                "active": machine.active == (*before, "B"),
                "idle": machine.transition is None and not machine.queue,
                "wait": machine.when("B").wait(1) is None,
                "eval": machine.eval(lambda: 5).wait(1) == 5,
                "remove": machine.remove("B").executed,
            }

        with held(machine, gate, inside):
            told = in_child(claims)
            assert told == dict.fromkeys(told, True)
        assert machine.active == ("A",)
        assert machine.add("B").executed

    def test_what_was_queued_before_the_fork_runs_in_the_child_before_its_next_mutation(self) -> None:
        gate, inside = threading.Event(), threading.Event()
        handlers = {"AState": handler_that_stays(gate, inside)}
        machine = Machine.of({"A": {}, "B": {}, "C": {}}, "m", handlers=[handlers], handler_timeout=None)
        with held(machine, gate, inside):
            queued = machine.add("B")
            assert queued.queued

            def claims() -> dict[str, bool]:
                done = machine.add("C").executed
                return {
                    "done": done,
                    "queued_ran": machine.active == ("A", "B", "C"),
                    "settled": queued.executed,
                }

            told = in_child(claims)
            assert told == dict.fromkeys(told, True)
        assert queued.wait(SECONDS).executed
        assert machine.active == ("A", "B")

    def test_a_handler_may_fork_and_both_finish_the_transition(self) -> None:
        told: list[dict[str, bool]] = []
        reader, writer = os.pipe()

        def fork(event: Event[Any]) -> None:
            event.machine.add("B")
            told.append({"child": os.fork() == 0})

        machine = Machine.of({"A": {}, "B": {}}, "m", handlers=[{"AState": fork}], handler_timeout=None)
        result = machine.add("A")
        if told[0]["child"]:
            fine = result.executed and machine.active == ("A", "B") and machine.remove("A", "B").executed
            os.write(writer, b"fine" if fine else b"not so")
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            assert pipe.read() == "fine"
        assert machine.active == ("A", "B")

    def test_a_machine_at_rest_is_the_same_in_the_child(self) -> None:
        machine = Machine.of({"A": {}, "B": {}}, "m")
        machine.add("A")
        turn = machine._turn_
        told = in_child(
            lambda: {
                "turn": machine._turn_ is turn,
                "add": machine.add("B").executed,
                "tick": machine["A"].tick == 1,
            }
        )
        assert told == dict.fromkeys(told, True)
        assert machine.active == ("A",)
