"""What is asked of a machine, and what it answers: kinds, mutations, results. Plain values; nothing here runs anything."""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import attrs

from amachine._bits import bits
from amachine.clock import Time
from amachine.errors import AmachineError, Refused

if TYPE_CHECKING:
    from amachine.schema import Schema
    from amachine.subscriptions import Wait
    from amachine.transition import Plan, Transition  # noqa: TC004 - transition imports this file


class Kind(enum.Enum):
    """What a mutation does with the states it calls."""

    ADD = "add"
    REMOVE = "remove"
    SET = "set"
    TOGGLE = "toggle"


class Tells(Protocol):
    """Something that can be asked why, such as the record of a transition."""

    @property
    def why(self) -> str:
        """One sentence."""
        ...


Reason: TypeAlias = "str | Tells"


class Status(enum.Enum):
    """What became of a mutation so far."""

    EXECUTED = "executed"
    CANCELED = "canceled"
    QUEUED = "queued"


def phrase(schema: Schema, kind: Kind, called: int, *, auto: bool = False) -> str:
    """A mutation in words, such as `add processing`."""
    names = ", ".join(schema.names[i] for i in bits(called))
    return f"{'auto' if auto else kind.value} {names or '(no states)'}"


class Source:
    """The cause of a mutation: the transition in whose handler, task or callback it was made.

    It is not that transition's record, which would keep its own cause, and so for ever.
    """

    __slots__ = ("_before", "_plan", "machine", "number")

    machine: str
    """Id of the machine whose transition it was."""
    number: int
    """That transition's number on that machine."""

    def __init__(self, machine: str, number: int, plan: Plan, before: int) -> None:
        self.machine = machine
        self.number = number
        self._plan = plan
        self._before = before

    @property
    def transition(self) -> str:
        """Id of that transition."""
        return f"{self.machine}/{self.number}"

    @property
    def mutation(self) -> str:
        """That transition's mutation in words."""
        plan = self._plan
        return phrase(plan.schema, plan.kind, plan.called | plan.banned, auto=plan.auto)

    @property
    def time(self) -> Time:
        """That machine's time when the transition began."""
        return Time.unpacked(self._before, self._plan.schema.n)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and (self.machine, self.number) == (other.machine, other.number)

    def __hash__(self) -> int:
        return hash((self.machine, self.number))

    def __repr__(self) -> str:
        return f"<Source {self.transition} {self.mutation}>"


class Mutation:
    """A request to add, remove, set or toggle the called states, as it waits in a queue or runs."""

    __slots__ = (
        "args",
        "auto",
        "called",
        "depth",
        "kind",
        "queue_tick",
        "results",
        "schema",
        "source",
        "trail",
    )

    schema: Schema
    kind: Kind
    called: int
    """Mask of the called states."""
    args: Any
    """The arguments it was made with, whatever state they were for; None without any."""
    auto: bool
    """Whether the engine made it, for the states that activate by themselves."""
    source: Source | None
    depth: int
    """The cause depth: how many handlers, each run by the mutation of the one before, lie behind it; 0 from outside."""
    queue_tick: int | None
    """The queue tick at which it runs or ran; None for those that go to the front, and until a thread's inbox is emptied."""
    results: list[Result]
    """The answers that wait to be settled: one, and one more for each duplicate of another thread."""
    trail: tuple[str, ...]
    """What led here, in words; kept only near the limit of the cause depth, to name the cycle."""

    def __init__(
        self,
        schema: Schema,
        kind: Kind,
        called: int,
        args: Any = None,
        *,
        auto: bool = False,
        source: Source | None = None,
        depth: int = 0,
    ) -> None:
        self.schema = schema
        self.kind = kind
        self.called = called
        self.args = args
        self.auto = auto
        self.source = source
        self.depth = depth
        self.queue_tick = None
        self.results = []
        self.trail = ()

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the called states, in order of declaration."""
        return tuple(self.schema.names[i] for i in bits(self.called))

    def is_called(self, state: str) -> bool:
        """Whether this state is among the called ones."""
        return bool(self.called >> self.schema.index[state] & 1)

    def __str__(self) -> str:
        return phrase(self.schema, self.kind, self.called, auto=self.auto)

    def __repr__(self) -> str:
        tick = "" if self.queue_tick is None else f" at queue tick {self.queue_tick}"
        return f"<Mutation {self}{tick}>"


class Result:
    """The answer to a mutation: `executed`, `canceled` or `queued`. True only when executed.

    A queued answer settles once, when its mutation has run; `await` it, or `wait()` for it from a thread.
    """

    # No slots: what is ordinary stands in the class, and most answers store two values.

    status: Status
    queue_tick: int | None = None
    """The queue tick at which a queued mutation runs; None where it ran at once, and while another thread's is not taken over."""
    error: BaseException | None = None
    """With `raise_errors`: the first error of this mutation's handlers."""
    _waiter: Callable[[], Wait[Result]] | None = None
    _waits: list[Wait[Result]] | None = None

    def __init__(
        self, status: Status, reason: Reason = "", *, waiter: Callable[[], Wait[Result]] | None = None
    ) -> None:
        self.status = status
        self._reason: Reason = reason
        if waiter is not None:
            self._waiter = waiter
            # A list from the start, where the answer is still to come: made later, two threads might each make one.
            self._waits = []

    @property
    def executed(self) -> bool:
        """Whether the mutation has run and its transition stands."""
        return self.status is Status.EXECUTED

    @property
    def canceled(self) -> bool:
        """Whether the mutation was refused, or failed; `why` tells."""
        return self.status is Status.CANCELED

    @property
    def queued(self) -> bool:
        """Whether the mutation still waits for its turn."""
        return self.status is Status.QUEUED

    @property
    def done(self) -> bool:
        """Whether the answer is final."""
        return self.status is not Status.QUEUED

    @property
    def why(self) -> str:
        """One sentence that explains a cancel; empty unless canceled. Worked out only when asked."""
        if self.status is not Status.CANCELED:
            return ""
        return self._reason if isinstance(self._reason, str) else self._reason.why

    def when_done(self) -> Wait[Result] | None:
        """A wait for the final answer, or None when it is final already."""
        waiter = (
            self._waiter
        )  # read once: the thread that drains may settle this, and take it away, at any moment
        if self.status is not Status.QUEUED or waiter is None or self._waits is None:
            return None
        wait = waiter()
        self._waits.append(wait)
        if self.done:  # settled meanwhile, by the thread that drains
            self._wake(wait)
        return wait

    def settle(self, status: Status, reason: Reason = "", error: BaseException | None = None) -> None:
        """Make the answer final, and wake who waits for it. For the engine."""
        self._reason = reason
        self.error = error
        self.status = status
        self._waiter = None
        waits = self._waits
        while waits:
            self._wake(waits.pop())

    def _wake(self, wait: Wait[Result]) -> None:
        if self.error is not None:
            wait.fail(self.error)
        else:
            wait.fulfil(self)

    def or_raise(self) -> Result:
        """Itself, unless it is canceled: then `Refused`, with its `why`. A queued one is not: await it first."""
        if self.canceled:
            raise Refused(self.why, why=self.why)
        return self

    def wait(self, timeout: float | None = None) -> Result:
        """Block the calling thread until the answer is final, for at most `timeout` seconds (TimeoutError)."""
        wait = self.when_done()
        if wait is not None:
            return wait.wait(timeout)
        if self.error is not None:
            raise self.error
        return self

    def __await__(self) -> Generator[Any, Any, Result]:
        wait = self.when_done()
        if wait is not None:
            return (yield from wait.__await__())
        if self.error is not None:
            raise self.error
        return self

    def __bool__(self) -> bool:
        return self.status is Status.EXECUTED

    def __repr__(self) -> str:
        if self.status is Status.CANCELED:
            return f"<Result canceled: {self.why}>"
        tick = f" at queue tick {self.queue_tick}" if self.queue_tick is not None and self.queued else ""
        return f"<Result {self.status.value}{tick}>"


EXECUTED = Result(Status.EXECUTED)
"""The answer to every mutation that ran at once and went through: it carries nothing that would tell two of them apart."""


class Check:
    """The answer of `can_add` and `can_remove`. True when the mutation would go through."""

    __slots__ = ("_reason", "complete", "possible")

    def __init__(self, possible: bool, reason: Reason = "", *, complete: bool = True) -> None:  # noqa: FBT001
        self.possible: bool = possible
        self._reason = reason
        self.complete: bool = complete
        """False where only relations could be asked: another thread is running a transition of this machine."""

    @property
    def why(self) -> str:
        """One sentence that explains a refusal; empty where it is possible."""
        return self._reason if isinstance(self._reason, str) else self._reason.why

    def __bool__(self) -> bool:
        return self.possible

    def __repr__(self) -> str:
        return f"<Check {'yes' if self.possible else 'no: ' + self.why}{'' if self.complete else ' (relations only)'}>"


def _no_error() -> BaseException:
    return AmachineError("Exception was added without an error")


@attrs.frozen
class ErrorInfo:
    """What `Exception` is entered with: the error and where it came from."""

    error: BaseException = attrs.field(factory=_no_error)
    traceback: str = ""
    """The formatted traceback, as text that keeps no frame alive."""
    handler: str | None = None
    """The handler or task that failed, such as `FileFlow.digest (ProcessingTask)`; None when user code reported the error."""
    transition: Transition | None = None
    """The record of the transition that failed."""
