"""Errors: blame is in the type, the sentence says how to mend it, the parts survive a copy."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from amachine import errors
from amachine.errors import (
    AmachineError,
    ArgsError,
    BindingError,
    CascadeError,
    HandlerError,
    HandlerTimeout,
    MachineClosed,
    PastError,
    ProtocolError,
    QueueFull,
    Refused,
    RestoreError,
    SchemaError,
    TaskTimeout,
    UnknownState,
    WaitCancelled,
    WaitError,
    closest,
    nearest,
)


def pickled(it: Any) -> Any:
    return pickle.loads(pickle.dumps(it))


ALL = [
    AmachineError("plain"),
    SchemaError(
        "wrong", schema="Flow", state="a", relation="require", other="b", nearest="c", path=("a", "b", "a")
    ),
    BindingError("wrong", owner="Flow", handler="f", state="a", nearest="b"),
    QueueFull(machine="m", limit=3),
    MachineClosed(machine="m"),
    Refused(machine="m", states=("a", "b"), why="a requires c"),
    UnknownState("strat", known=["start"], schema="Flow"),
    ArgsError(state="a", missing=("path",), machine="m"),
    WaitError("blocked", wait="when(a)", machine="m"),
    WaitCancelled("cancelled", wait="when(a)"),
    HandlerError(machine="m", handler="AEnter", state="a"),
    HandlerTimeout(machine="m", handler="AEnter", state="a", seconds=0.25, limit=0.1),
    TaskTimeout(machine="m", task="ATask", state="a", timeout=3),
    CascadeError(machine="m", depth=1000, trail=("add a", "add b", "add a", "add b")),
    ProtocolError("odd frame", got=b"x", expected="a frame"),
    RestoreError("its ticks are odd", machine="m", state="a", differences=("state 'a' is gone",)),
    PastError("wrong", kind="ValueError"),
]


def test_every_error_of_the_file_is_in_these_tests() -> None:
    classes = {value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)}
    assert {type(error) for error in ALL} == classes


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_keeps_sentence_and_parts(error: Any, twin: Any) -> None:
    other = twin(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert other.args == error.args
    assert vars(other) == vars(error)


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_all_are_caught_as_one(error: Any) -> None:
    assert isinstance(error, AmachineError)


def test_blame_is_in_the_type() -> None:
    assert issubclass(UnknownState, LookupError)
    assert not issubclass(UnknownState, KeyError), "whose text would be quoted"
    assert issubclass(ArgsError, TypeError)
    assert issubclass(WaitCancelled, WaitError)
    assert all(issubclass(kind, HandlerError) for kind in (HandlerTimeout, TaskTimeout, CascadeError))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (QueueFull(machine="m", limit=3), "queue full"),
        (MachineClosed(), "the machine is closed"),
        (MachineClosed(machine="m"), "machine 'm' is closed"),
        (MachineClosed("gone"), "gone"),
        (SchemaError("is wrong", schema="Flow"), "Flow: is wrong"),
        (SchemaError("is wrong"), "is wrong"),
        (BindingError("is wrong", owner="Flow", handler="f"), "Flow.f: is wrong"),
        (BindingError("is wrong"), "is wrong"),
        (Refused(machine="m", states=("a", "b"), why="no"), "m: a, b: no"),
        (Refused(), "refused"),
        (ArgsError(state="a", missing=("x", "y")), "state 'a' needs x, y"),
        (ArgsError("a: path: expected str"), "a: path: expected str"),
        (HandlerError(handler="AEnter"), "AEnter failed"),
        (
            HandlerTimeout(handler="AEnter", seconds=0.25, limit=0.1),
            "AEnter took 0.250 s, allowed are 0.1 s: move the work to a task",
        ),
        (TaskTimeout(task="ATask", timeout=3), "ATask was cancelled after its timeout of 3 s"),
    ],
)
def test_sentences(error: Any, text: str) -> None:
    assert str(error) == text


def test_an_unknown_state_names_the_nearest_one() -> None:
    error = UnknownState("Strat", known=["start", "ready"], schema="Flow")
    assert str(error) == "Flow has no state 'Strat' (did you mean 'start'?)"
    assert (error.state, error.nearest, error.schema) == ("Strat", "start", "Flow")


def test_an_unknown_state_with_nothing_near_lists_what_there_is() -> None:
    error = UnknownState("zzz", known=[f"state{i}" for i in range(10)])
    assert str(error) == (
        "there is no state 'zzz': it knows state0, state1, state2, state3, state4, state5, state6, state7 and 2 more"
    )
    assert error.nearest is None
    assert str(UnknownState("zzz")) == "there is no state 'zzz'"


@pytest.mark.parametrize(
    ("word", "found"),
    [("strat", "Start"), ("START", "Start"), ("err_network", "ErrNetwork"), ("zzz", None), ("", None)],
)
def test_closest_looks_past_case_and_underscores(word: str, found: Any) -> None:
    assert closest(word, ["Start", "ErrNetwork"]) == found
    assert nearest(word, ["Start", "ErrNetwork"]) == (f" (did you mean {found!r}?)" if found else "")


def test_closest_of_nothing() -> None:
    assert closest("a", []) is None


@pytest.mark.parametrize(
    ("trail", "cycle"),
    [
        (("add a", "add b", "add a", "add b"), ("add a", "add b")),
        (("start", "add a", "add a", "add a"), ("add a",)),
        (("b", "a", "b"), ("a", "b")),
        (("a", "b", "c"), ()),
        (("a",), ()),
        ((), ()),
    ],
)
def test_a_cascade_names_the_repeating_cycle(trail: Any, cycle: Any) -> None:
    error = CascadeError(machine="m", depth=1000, trail=trail)
    assert error.cycle == cycle
    assert error.trail == trail
    shown = " -> ".join((*cycle, cycle[0])) if cycle else "no cycle found"
    assert str(error) == f"mutations caused one another 1000 deep: {shown}"


def test_within_tells_the_schema_and_keeps_the_rest() -> None:
    error = SchemaError("state 'a' is odd", state="a", relation="limit").within("Flow")
    assert str(error) == "Flow: state 'a' is odd"
    assert (error.schema, error.state, error.relation) == ("Flow", "a", "limit")
