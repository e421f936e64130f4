"""Every exception that amachine raises; the type says who has to mend it.

An error is one sentence that names the machine, state, relation or handler, what was expected and the
nearest thing that exists; the parts of that sentence stay on the error as attributes, so that no program
has to parse it. This file imports nothing of the package and must never decide anything: it says what
others decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "AmachineError",
    "ArgsError",
    "BindingError",
    "CascadeError",
    "HandlerError",
    "HandlerTimeout",
    "MachineClosed",
    "PastError",
    "ProtocolError",
    "QueueFull",
    "Refused",
    "RestoreError",
    "SchemaError",
    "TaskTimeout",
    "UnknownState",
    "WaitCancelled",
    "WaitError",
    "closest",
    "nearest",
]


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the one of `known` that `word` most likely meant, or None; case and underscores do not count.

    `cutoff` says how alike they must be, from 0 to 1.
    """
    if len(word) > 1000:  # no name is: comparing would take minutes
        return None
    # Imported here: only a program that is about to fail pays for it.
    from difflib import get_close_matches

    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(_fold(name), name)
    found = get_close_matches(_fold(word), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'X'?)` for the closest of `known`, or nothing: to be put behind a wrong name."""
    found = closest(word, known)
    return f" (did you mean {found!r}?)" if found else ""


def _fold(name: str) -> str:
    return name.replace("_", "").casefold()


def _revive(kind: type[AmachineError], args: tuple[Any, ...], parts: dict[str, Any]) -> AmachineError:
    error = kind.__new__(kind, *args)
    error.args = (
        args  # one that is an OSError, too, as a TimeoutError is, does not take them over in `__new__`
    )
    error.__dict__.update(parts)
    return error


class AmachineError(Exception):
    """Base of all errors of this library: catch it to catch them all, and nothing else."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Callable[..., AmachineError], tuple[Any, ...]]:
        # The sentence and its parts are carried over as they are. By default a copy would be made by calling
        # the class with the sentence alone, and the classes that write their own sentence do not take one.
        return _revive, (type(self), self.args, self.__dict__.copy())


# The author of a schema or of handlers has to mend these: they appear when a class or a schema is made.


class SchemaError(AmachineError):
    """A schema breaks one of the rules for schemas. Raised when it is built, never while a machine runs.

    `schema` is its name; `state` the state at fault; `relation` the relation or key; `other` the state at the
    other end; `nearest` a known name close to an unknown one; `path` the states of a cycle, the first one
    repeated at its end.
    """

    def __init__(
        self,
        message: str,
        *,
        schema: str = "",
        state: str = "",
        relation: str = "",
        other: str = "",
        nearest: str | None = None,
        path: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{schema}: {message}" if schema else message)
        self.schema = schema
        self.state = state
        self.relation = relation
        self.other = other
        self.nearest = nearest
        self.path = path

    def within(self, schema: str) -> SchemaError:
        """Return the same error, told of this schema: what raises it may not know where it is used."""
        parts: dict[str, Any] = {**self.__dict__, "schema": schema}
        return SchemaError(str(self), **parts)


class BindingError(AmachineError):
    """A handler does not fit: no such state, a wrong kind of function, wrong parameters, an unclear name.

    `owner` is the class that has it, `handler` its name there, `state` the state that it names, `nearest` a
    legal name close to it.
    """

    def __init__(
        self, message: str, *, owner: str = "", handler: str = "", state: str = "", nearest: str | None = None
    ) -> None:
        where = ".".join(filter(None, (owner, handler)))
        super().__init__(f"{where}: {message}" if where else message)
        self.owner = owner
        self.handler = handler
        self.state = state
        self.nearest = nearest


# The caller of a machine has to mend these.


class QueueFull(AmachineError):
    """A mutation was refused because `limit` of them were queued already. Its text is always `queue full`."""

    def __init__(self, *, machine: str = "", limit: int | None = None) -> None:
        super().__init__("queue full")
        self.machine = machine
        self.limit = limit


class MachineClosed(AmachineError):
    """The machine was closed, or collected, before this could happen; what waits is woken with it."""

    def __init__(self, message: str = "", *, machine: str = "") -> None:
        super().__init__(message or f"{f'machine {machine!r}' if machine else 'the machine'} is closed")
        self.machine = machine


class Refused(AmachineError):
    """A mutation was canceled, and its caller asked for an exception then: `result.or_raise()`. `why` is the reason."""

    def __init__(
        self, message: str = "", *, machine: str = "", states: tuple[str, ...] = (), why: str = ""
    ) -> None:
        super().__init__(message or ": ".join(filter(None, (machine, ", ".join(states), why or "refused"))))
        self.machine = machine
        self.states = states
        self.why = why


class UnknownState(AmachineError, LookupError):
    """A name that is no state of the schema was asked for. Nothing has changed.

    `state` is that name, `schema` where it was looked for, `nearest` the known name closest to it.
    """

    def __init__(self, state: str, *, known: Iterable[str] = (), schema: str = "") -> None:
        names = tuple(known)
        self.state = state
        self.schema = schema
        self.nearest: str | None = closest(state, names)
        where = f"{schema} has no state {state!r}" if schema else f"there is no state {state!r}"
        if self.nearest is not None:
            mend = f" (did you mean {self.nearest!r}?)"
        else:
            mend = f": it knows {_some(names)}" if names else ""
        super().__init__(where + mend)


class ArgsError(AmachineError, TypeError):
    """Arguments do not fit the state that they are given for.

    `state` is that state, `missing` the names of parameters without a value.
    """

    def __init__(
        self, message: str = "", *, state: str = "", missing: tuple[str, ...] = (), machine: str = ""
    ) -> None:
        names = ", ".join(missing)
        super().__init__(message or f"state {state!r} needs {names or 'other arguments'}")
        self.state = state
        self.missing = missing
        self.machine = machine


class WaitError(AmachineError):
    """A wait, named by `wait`, could never end as it is used, or was asked for a value it does not have."""

    def __init__(self, message: str, *, wait: str = "", machine: str = "") -> None:
        super().__init__(message)
        self.wait = wait
        self.machine = machine


class WaitCancelled(WaitError):
    """The wait was cancelled by somebody else than who awaits it. The awaiting task itself goes on."""


class RestoreError(AmachineError, ValueError):
    """What was to be restored is no export, is damaged, or does not fit today's schema. No machine was made or changed.

    `machine` is the id that it was exported under, `state` the state at fault, `differences` what differs between the
    schema that it was exported by and today's, a sentence each.
    """

    def __init__(
        self, message: str, *, machine: str = "", state: str = "", differences: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{machine}: {message}" if machine else message)
        self.machine = machine
        self.state = state
        self.differences = differences


# The author of a handler has to mend these: they arrive as arguments of the state `Exception`.


class HandlerError(AmachineError):
    """A handler did what it must not do. `handler` is its name, `state` the state that it belongs to."""

    def __init__(self, message: str = "", *, machine: str = "", handler: str = "", state: str = "") -> None:
        super().__init__(message or f"{handler or 'a handler'} failed")
        self.machine = machine
        self.handler = handler
        self.state = state


class HandlerTimeout(HandlerError):
    """A synchronous handler ran for longer than its budget. Noticed when it returned: what it did stands.

    It took `seconds`, and `limit` is what it was allowed.
    """

    def __init__(
        self,
        message: str = "",
        *,
        machine: str = "",
        handler: str = "",
        state: str = "",
        seconds: float = 0.0,
        limit: float | None = None,
    ) -> None:
        allowed = f", allowed are {limit:.3g} s" if limit is not None else ""
        says = f"{handler or 'a handler'} took {seconds:.3f} s{allowed}: move the work to a task"
        super().__init__(message or says, machine=machine, handler=handler, state=state)
        self.seconds = seconds
        self.limit = limit


class TaskTimeout(HandlerError):
    """The task named `task` ran for longer than its `timeout` (seconds) and was cancelled."""

    def __init__(
        self,
        message: str = "",
        *,
        machine: str = "",
        task: str = "",
        state: str = "",
        timeout: float = 0.0,
    ) -> None:
        says = f"{task or 'a task'} was cancelled after its timeout of {timeout:g} s"
        super().__init__(message or says, machine=machine, handler=task, state=state)
        self.task = task
        self.timeout = timeout


class CascadeError(HandlerError):
    """Mutations caused one another without end: `depth` of them in a row.

    `trail` are the last of them, in words, oldest first, and `cycle` is the part of it that repeats.
    """

    def __init__(
        self,
        message: str = "",
        *,
        machine: str = "",
        handler: str = "",
        state: str = "",
        depth: int = 0,
        trail: tuple[str, ...] = (),
    ) -> None:
        cycle = _repeating(trail)
        loop = " -> ".join((*cycle, *cycle[:1])) or "no cycle found"
        says = f"mutations caused one another {depth} deep: {loop}"
        super().__init__(message or says, machine=machine, handler=handler, state=state)
        self.depth = depth
        self.trail = trail
        self.cycle = cycle


class PastError(AmachineError):
    """Stands for an error that was reported before the machine was restored: only its words are left.

    `kind` is the name of its class.
    """

    def __init__(self, message: str = "", *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind

    def __repr__(self) -> str:
        return f"PastError({self.kind}: {self})"


# Whoever wrote the other end has to mend this one.


class ProtocolError(AmachineError):
    """The other end broke the protocol: `got` is what it sent, `expected` what it should have sent."""

    def __init__(self, message: str, *, got: object = None, expected: str = "") -> None:
        super().__init__(message)
        self.got = got
        self.expected = expected


def _some(names: tuple[str, ...], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _repeating(trail: tuple[str, ...]) -> tuple[str, ...]:
    """What the end of a trail repeats: the shortest part of it, seen twice where there is room; else nothing."""
    for size in range(1, len(trail)):
        again = trail[-2 * size : -size]
        if again and again == trail[-size:][-len(again) :]:
            return trail[-size:]
    return ()
