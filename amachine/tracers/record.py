"""What is kept of a transition, and of a line of the log, when it is over: values alone.

A record holds names, numbers and short texts, and nothing that leads back to a machine, a handler or a user's object.
"""

from __future__ import annotations

from typing import Any

import attrs

from amachine._bits import odd_lanes
from amachine.clock import Time, advance
from amachine.mutation import Kind, Status, phrase
from amachine.schema import Schema
from amachine.tracers.shown import NOTHING, Mapper, Shown, call_text, change_text, clean, seconds_text
from amachine.transition import HandlerRun, Transition


@attrs.frozen
class Record:
    """One transition as it ended. Like the engine's own record, but made of values alone."""

    sequence: int
    """Its place in the order in which transitions ended, over all machines of the recorder; from 1."""
    at: float
    """When it ended, in seconds since the epoch."""
    machine: str
    """Id of the machine."""
    number: int
    """Its number on that machine, from 1, without gaps."""
    schema: Schema
    kind: Kind
    auto: bool
    """Whether the engine made the mutation, for states that activate by themselves."""
    accepted: bool
    """Whether it was committed and no final handler failed."""
    committed: bool
    """Whether the machine took over the target, even if a final handler failed then."""
    failed: bool
    """Whether a handler raised."""
    why: str
    """One sentence on what canceled it, or failed; empty where nothing did."""
    traceback: str
    """That of the handler that raised; empty where none did."""
    args: Shown
    """The arguments of the mutation, each as a short text."""
    cause: str
    """Id of the transition in whose handler, task or callback the mutation was made; empty: it came from outside."""
    cause_mutation: str
    """That transition's mutation in words."""
    depth: int
    """The cause depth: how many handlers lie behind it."""
    queue_tick: int | None
    """The queue tick at which it ran; None where it ran at once or went to the front."""
    runs: tuple[HandlerRun, ...]
    """The handlers that were called, with their durations."""
    _called: int
    _target: int
    _before: int
    _enters: int
    _exits: int
    _reentries: int
    _put_back: int

    @property
    def id(self) -> str:
        """The machine's id and the number."""
        return f"{self.machine}/{self.number}"

    @property
    def status(self) -> Status:
        """Executed or canceled, as its caller was told."""
        return Status.EXECUTED if self.accepted else Status.CANCELED

    @property
    def duration(self) -> float:
        """Seconds spent in handlers."""
        return sum(run.seconds for run in self.runs)

    @property
    def called(self) -> tuple[str, ...]:
        """Names of the called states."""
        return self.schema.names_of(self._called)

    @property
    def target(self) -> tuple[str, ...]:
        """Names of the states that were to be active."""
        return self.schema.names_of(self._target)

    @property
    def enters(self) -> tuple[str, ...]:
        """Names of the states that entered, or re-entered, also those that were put back; empty without a commit."""
        return self.schema.names_of(self._enters)

    @property
    def exits(self) -> tuple[str, ...]:
        """Names of the states that ended; empty without a commit."""
        return self.schema.names_of(self._exits)

    @property
    def reenters(self) -> tuple[str, ...]:
        """Names of the multi states among them that were active before."""
        return self.schema.names_of(self._reentries)

    @property
    def put_back(self) -> tuple[str, ...]:
        """Names of the states that were deactivated again because a handler failed."""
        return self.schema.names_of(self._put_back)

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the states that were active after it."""
        return self.schema.names_of(odd_lanes(self._after, self.schema.n))

    @property
    def time_before(self) -> Time:
        """The machine's time when it began."""
        return Time.unpacked(self._before, self.schema.n)

    @property
    def time_after(self) -> Time:
        """The machine's time when it ended."""
        return Time.unpacked(self._after, self.schema.n)

    @property
    def _after(self) -> int:
        flips = (self._enters | self._exits) & ~self._reentries
        return self._before + advance(flips, self._reentries) + advance(self._put_back)

    @property
    def mutation(self) -> str:
        """What was asked, in words, with the arguments."""
        return f"{phrase(self.schema, self.kind, self._called, auto=self.auto)}{call_text(self.args)}"

    @property
    def changes(self) -> str:
        """`+entered -left *re-entered !entered and put back`, in order of declaration."""
        return change_text(
            self.schema,
            enters=self._enters,
            exits=self._exits,
            reentries=self._reentries,
            put_back=self._put_back,
        )

    @property
    def outcome(self) -> str:
        """What became of it: `executed`, `canceled: …` or `failed: …`."""
        if self.accepted:
            return "executed"
        return f"{'failed' if self.failed else 'canceled'}: {self.why}"

    def changed(self, state: str) -> bool:
        """Whether this state ticked."""
        index = self.schema.index.get(state)
        return index is not None and bool((self._enters | self._exits) >> index & 1)

    def activated(self, state: str) -> bool:
        """Whether this state entered, or re-entered, and stayed."""
        index = self.schema.index.get(state)
        return index is not None and bool((self._enters & ~self._put_back) >> index & 1)

    def calls(self, state: str) -> bool:
        """Whether this state was called."""
        index = self.schema.index.get(state)
        return index is not None and bool(self._called >> index & 1)

    def __str__(self) -> str:
        parts = [f"{self.id} {self.mutation} → {self.outcome}", self.changes]
        if self.runs:
            parts.append(f"({seconds_text(self.duration)})")
        return " ".join(part for part in parts if part)

    def __repr__(self) -> str:
        return f"<Record {self}>"


def fields_of(t: Transition, sequence: int, at: float, mapper: Mapper | None) -> tuple[Any, ...]:
    """What `Record(*fields)` is made of: a tuple, for most records are never asked for, and it takes a quarter of the time."""
    plan = t.plan
    args, cause, failure, runs = t.args, t.cause, t.failure, t.runs
    accepted = t.accepted
    committed = accepted or t.was_committed
    return (
        sequence, at, t.machine, t.number, plan.schema, plan.kind, plan.auto,
        accepted, committed, failure is not None, "" if accepted else _why(t, mapper),
        "" if failure is None else clean(failure.traceback, mapper),
        NOTHING if args is None or mapper is None else mapper(args),
        "" if cause is None else cause.transition, "" if cause is None else cause.mutation, t.depth, t.queue_tick,
        tuple(runs) if runs else (), plan.called | plan.banned, plan.target, t.before,
        plan.enters if committed else 0, plan.exits if committed else 0, plan.reentries if committed else 0,
        t.put_back,
    )  # fmt: skip


def _why(t: Transition, mapper: Mapper | None) -> str:
    # Only errors and objections say something that is not made of names.
    return clean(t.why, mapper) if t.failure is not None or t.objection else t.why


@attrs.frozen
class LogLine:
    """A line of the log, and the transition in which it was said."""

    at: float
    """When, in seconds since the epoch."""
    severity: str
    """Such as INFO."""
    logger: str
    """Name of the logger."""
    text: str
    machine: str
    """Id of the machine; empty where it was said outside of any transition."""
    transition: str
    """Id of the transition that ran, or whose task ran; empty outside of any."""
    fields: Shown = NOTHING
    """What was given as `extra`, each as a short text."""

    def __str__(self) -> str:
        return f"{self.severity} {self.logger}: {self.text}{call_text(self.fields)}"
