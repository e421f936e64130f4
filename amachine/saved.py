"""An export, read: all of it is checked against a schema, and explained where it does not fit, before anything is made.

The data may come from anywhere. Nothing in it is trusted, nothing is echoed whole, and nothing but `RestoreError` is raised.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

import attrs

from amachine import _schema_data, relations
from amachine._bits import bits, mask_of, pack
from amachine._defs import RELATIONS, StateDef
from amachine.arguments import from_plain, is_mapping
from amachine.clock import advance
from amachine.errors import ArgsError, PastError, RestoreError, SchemaError, nearest
from amachine.mutation import ErrorInfo, Kind, Mutation
from amachine.persist import FORMAT, LONGEST_TEXT, reader
from amachine.schema import Schema  # a field of an attrs class

MOST = 2**63
"""Clocks and other numbers from outside are below this: in a whole life they would not get past 64 bits."""
LONGEST_NAME = 10_000
"""Letters of a name. Those of an id, of an error and of its traceback: `LONGEST_TEXT`."""
MORE_STATES = 1000
"""So many states that today's schema does not have are read, to be explained."""
MORE_PENDING = 10_000
"""So many mutations are read beyond the limit of the queue: others were put before it, or just sent."""
MOST_TIMERS = 100
"""Of a state, on average."""
ECHO = 80
"""Letters of a value from outside that stand in an error."""
SENTENCE = 200
"""Letters of a sentence about it."""

KEYS = (
    "format", "id", "at", "schema", "hash", "states", "relations", "ticks", "queue_tick", "machine_tick",
    "transitions", "args", "errors", "timers", "queue",
)  # fmt: skip
"""What stands in an export."""
OVER = ("Disposing", "Disposed")
"""The states in which a machine ends: none goes on in them."""


@attrs.frozen
class Saved:
    """An export, read and checked against a schema."""

    id: str
    schema: Schema
    time: int
    active: int
    count: int
    front: int
    machine_tick: int
    args: dict[int, Any]
    timers: tuple[tuple[int, str, float | None], ...]
    queue: tuple[Mutation, ...]
    fronts: int
    """How many of the queue's first mutations had no queue tick."""
    strict: bool

    def refused(self, message: str, *, state: str = "") -> RestoreError:
        """The error that says why a machine cannot go on from it."""
        return _refused(self.id, message, state)


def read(data: object, schema: Schema, *, strict: bool, queue_limit: int | None) -> Saved:
    """What an export says, for a machine of this schema. Errors: `RestoreError`."""
    return _Reader(data, schema, queue_limit, strict=strict).read()


class _Reader:
    """Reads one export. Every method raises `RestoreError`, and nothing else."""

    def __init__(self, data: object, schema: Schema, queue_limit: int | None, *, strict: bool) -> None:
        if not is_mapping(data):
            mend = ": json.loads it first" if isinstance(data, (str, bytes)) else ""
            raise RestoreError(f"what export() gave is a mapping, not {_shown(data)}{mend}")
        self.data = data
        self.schema = schema
        self.queue_limit = queue_limit
        self.strict = strict
        self.id = ""
        self.id = self.text(data, "id", LONGEST_TEXT)

    def read(self) -> Saved:
        """All of it."""
        data, schema = self.data, self.schema
        version = data.get("format")
        if version is True or version != FORMAT:
            raise self.wrong(f"its format is {_shown(version)}, and this version of amachine reads {FORMAT}")
        for key in data:
            if key not in KEYS:
                near = nearest(key, KEYS) if isinstance(key, str) else ""
                raise self.wrong(f"{_shown(key)} is no part of an export{near}")
        ticks = self.ticks()
        self.compare(ticks)
        time = pack(ticks.get(name, 0) for name in schema.names)
        active = mask_of(i for i, name in enumerate(schema.names) if ticks.get(name, 0) & 1)
        found = relations.conflicts(schema, active)
        if found:
            says = f"what was active then cannot be active today: {_some(found)}"
            raise self.wrong(says, differences=found)
        count = self.number(data, "transitions", 0)
        queue_tick = self.number(data, "queue_tick", 1)
        if queue_tick > count + 1:
            raise self.wrong(f"its queue_tick is {queue_tick} after {count} transitions")
        queue, fronts = self.queue()
        args, timers = self.args(active), self.timers(active)
        over = active & mask_of(schema.index[name] for name in OVER if name in schema)
        left = relations.resolve(schema, active, Kind.REMOVE, over).target if over else active
        return Saved(
            self.id, schema, time + advance(active & ~left), left, count, count + 1 - queue_tick,
            self.number(data, "machine_tick", 1), {i: value for i, value in args.items() if left >> i & 1},
            tuple(timer for timer in timers if left >> timer[0] & 1), queue, fronts, self.strict,
        )  # fmt: skip

    # -- the schema

    def ticks(self) -> dict[str, int]:
        names, ticks = self.items(self.data, "states"), self.items(self.data, "ticks")
        if len(names) != len(ticks):
            raise self.wrong(f"it has {len(names)} states and {len(ticks)} ticks")
        if len(names) > self.schema.n + MORE_STATES:
            raise self.wrong(f"it has {len(names)} states, and the schema has {self.schema.n}")
        found: dict[str, int] = {}
        for name, tick in zip(names, ticks, strict=True):
            if not isinstance(name, str) or not name or len(name) > LONGEST_NAME or name in found:
                raise self.wrong(f"{_shown(name)} among its states is no name, or stands there twice")
            if not isinstance(tick, int) or isinstance(tick, bool) or not 0 <= tick < MOST:
                raise self.wrong(f"the tick of {_label(name)} is {_shown(tick)}", state=name)
            found[name] = tick
        return found

    def compare(self, ticks: Mapping[str, int]) -> None:
        """Refuse a schema that is not the one of then; with `strict` off only what cannot be carried over."""
        schema = self.schema
        then = self.text(self.data, "hash", LONGEST_NAME)
        lost = tuple(
            f"state {_shown(name)} was active and is gone"
            for name, tick in ticks.items()
            if tick & 1 and name not in schema
        )
        if lost and not self.strict:
            raise self.wrong(_some(lost), differences=lost)
        in_order = tuple(ticks) == schema.names
        if not self.strict or (then == schema.hash and in_order):
            return
        found = differences(self.definitions(ticks), schema)
        if not found:
            if not in_order:  # clocks go by name, and a machine that has grown may place states elsewhere
                return
            found = ("the hash differs, and nothing that is told of it",)
        today = f"{schema.name or 'the schema'} ({schema.hash})"
        mend = "pass strict=False to restore it nevertheless, or run the version that exported it"
        says = f"it was exported by another schema ({_label(then[:16])}) than {today}: {_some(found)}; {mend}"
        raise self.wrong(says, differences=found)

    def definitions(self, ticks: Iterable[str]) -> list[StateDef]:
        told = self.mapping(self.data, "relations")
        try:
            return _schema_data.read({name: told.get(name) for name in ticks}, None, "")[0]
        except SchemaError as error:
            raise self.wrong(f"its relations are damaged: {cut(str(error), SENTENCE)}") from None
        except (TypeError, ValueError, RecursionError) as error:  # such as of a list in a list in a list
            raise self.wrong(f"its relations are damaged: {type(error).__name__}") from None

    # -- what is active

    def args(self, active: int) -> dict[int, Any]:
        schema = self.schema
        kept: dict[int, Any] = {}
        for name, value in self.mapping(self.data, "args").items():
            i = self.active_state(name, active, "arguments")
            kept[i] = self.decoded(i, value)
        for name, value in self.mapping(self.data, "errors").items():
            i = self.active_state(name, active, "an error")
            error = self.error(value)
            if kept.setdefault(i, error) is not error:
                raise self.wrong(f"{schema.names[i]} has arguments and an error", state=schema.names[i])
        for i in bits(active & schema.needs_args):
            if i not in kept:
                missing = ", ".join(schema.missing_args(i))
                raise self.wrong(f"{schema.names[i]} is active without {missing}", state=schema.names[i])
        return kept

    def active_state(self, name: object, active: int, what: str) -> int:
        i = self.schema.index.get(name, -1) if isinstance(name, str) else -1
        if i < 0 or not active >> i & 1:
            raise self.wrong(f"it has {what} of {_shown(name)}, which is no active state")
        return i

    def decoded(self, i: int, value: object) -> Any:
        schema, name = self.schema, self.schema.names[i]
        if schema.args[i] is None:
            raise self.wrong(f"{name} was exported with arguments, and takes none today", state=name)
        if schema.args[i] is ErrorInfo:
            raise self.wrong(f"{name} takes an error, and those stand apart", state=name)
        try:
            return from_plain(name, schema.args[i], value)
        except ArgsError as error:
            says = f"the arguments of {cut(str(error), SENTENCE)}"
        except Exception as error:  # noqa: BLE001  # of the user's class
            says = f"the arguments of {name}: {cut(repr(error), SENTENCE)}"
        raise self.wrong(says, state=name)  # from nothing: what was raised quotes the data

    def error(self, value: object) -> ErrorInfo:
        if not is_mapping(value):
            raise self.wrong(f"{_shown(value)} is no error that was exported")
        message, kind = self.text(value, "message", LONGEST_TEXT), self.text(value, "kind", LONGEST_NAME)
        handler = None if value.get("handler") is None else self.text(value, "handler", LONGEST_NAME)
        return ErrorInfo(PastError(message, kind=kind), self.text(value, "traceback", LONGEST_TEXT), handler)

    def timers(self, active: int) -> tuple[tuple[int, str, float | None], ...]:
        entries = self.items(self.data, "timers")
        if len(entries) > MOST_TIMERS * self.schema.n:
            raise self.wrong(f"it has {len(entries)} timers")
        found: list[tuple[int, str, float | None]] = []
        for entry in entries:
            if not is_mapping(entry):
                raise self.wrong(f"{_shown(entry)} is no timer")
            i = self.active_state(entry.get("state"), active, "a timer")
            due = entry.get("due")
            if due is not None and (
                isinstance(due, bool) or not isinstance(due, (int, float)) or not abs(due) < MOST
            ):
                raise self.wrong(f"a timer of {self.schema.names[i]} is due at {_shown(due)}")
            found.append((i, self.text(entry, "timer", LONGEST_NAME), None if due is None else float(due)))
        return tuple(found)

    # -- what is pending

    def queue(self) -> tuple[tuple[Mutation, ...], int]:
        fronts: list[Mutation] = []
        others: list[Mutation] = []
        entries = self.items(self.data, "queue") if "queue" in self.data else []
        if self.queue_limit is not None and len(entries) > self.queue_limit + MORE_PENDING:
            raise self.wrong(f"{len(entries)} mutations are pending, and queue_limit is {self.queue_limit}")
        for entry in entries:
            if not is_mapping(entry):
                raise self.wrong(f"{_shown(entry)} is no mutation")
            (fronts if entry.get("front") is True else others).append(self.mutation(entry))
        return (*fronts, *others), len(fronts)

    def mutation(self, told: Mapping[Any, Any]) -> Mutation:
        schema = self.schema
        try:
            kind = Kind(told.get("kind"))
        except ValueError:
            raise self.wrong(f"a pending mutation has the kind {_shown(told.get('kind'))}") from None
        called = 0
        for name in self.items(told, "states"):
            i = schema.index.get(name, -1) if isinstance(name, str) else -1
            if i < 0:
                near = nearest(name, schema.names) if isinstance(name, str) else ""
                raise self.wrong(f"a pending {kind.value} calls {_shown(name)}, which is no state{near}")
            called |= 1 << i
        args: Any = None
        if told.get("error") is not None:
            args = self.error(told["error"])
        elif told.get("args") is not None:
            args = self.pending_args(kind, called, told["args"])
        return Mutation(schema, kind, called, args, auto=told.get("auto") is True)

    def pending_args(self, kind: Kind, called: int, data: object) -> Any:
        index = reader(self.schema, kind, called)
        if index >= 0:
            return self.decoded(index, data)
        try:
            return from_plain(kind.value, dict, data)
        except ArgsError as error:
            raise self.wrong(f"the arguments of a pending {cut(str(error), SENTENCE)}") from None

    # -- values

    def wrong(self, message: str, *, state: str = "", differences: tuple[str, ...] = ()) -> RestoreError:
        return _refused(self.id, message, state, differences)

    def text(self, data: Mapping[Any, Any], key: str, longest: int) -> str:
        value = data.get(key)
        if not isinstance(value, str) or len(value) > longest:
            raise self.wrong(
                f"its {key} is {_shown(value)}, and should be a text of at most {longest} letters"
            )
        return value

    def number(self, data: Mapping[Any, Any], key: str, least: int) -> int:
        value = data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < MOST:
            raise self.wrong(f"its {key} is {_shown(value)}, and should be a whole number from {least}")
        return value

    def items(self, data: Mapping[Any, Any], key: str) -> list[Any]:
        value = data.get(key)
        if not isinstance(value, (list, tuple)):
            raise self.wrong(f"its {key} are {_shown(value)}, and should be a list")
        return [*cast("Iterable[Any]", value)]

    def mapping(self, data: Mapping[Any, Any], key: str) -> dict[Any, Any]:
        value = data.get(key)
        if not is_mapping(value):
            raise self.wrong(f"its {key} are {_shown(value)}, and should be a mapping")
        return dict(value)


def differences(then: Iterable[StateDef], today: Schema) -> tuple[str, ...]:
    """What differs between the states of then and a schema, a sentence each; not their order."""
    told: list[str] = []
    before = {state.name: state for state in then}
    told += [f"state {name!r} is gone" for name in before if name not in today]
    told += [f"state {name!r} is new" for name in today.names if name not in before]
    for name, old in before.items():
        if name not in today:
            continue
        new = today[name]
        for relation in RELATIONS:
            was, now = getattr(old, relation), getattr(new, relation)
            if {*was} != {*now}:
                told.append(f"the {relation} of {name!r} was [{', '.join(was)}] and is [{', '.join(now)}]")
        for flag in ("auto", "multi"):
            if getattr(old, flag) != getattr(new, flag):
                told.append(f"{name!r} {'was' if getattr(old, flag) else 'was not'} {flag}")
    return tuple(cut(each, SENTENCE) for each in told)


def _refused(id: str, message: str, state: str = "", found: tuple[str, ...] = ()) -> RestoreError:
    return RestoreError(message, machine=_label(id), state=state, differences=found)


def _shown(value: object) -> str:
    try:
        return cut(reprlib.repr(value), ECHO)
    except Exception:  # noqa: BLE001  # such as a number too long to be written
        return f"a {type(value).__name__}"


def _label(name: str) -> str:
    """A name as it is, unless it would fill the log, or begin another line there."""
    return name if len(name) <= ECHO and name.isprintable() else _shown(name)


def cut(text: str, most: int = ECHO) -> str:
    """A text that is no longer than that."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _some(found: tuple[str, ...], most: int = 8) -> str:
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more
