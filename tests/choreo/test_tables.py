"""What the engines run: every step of a role is there with its functions, and a wrong answer is told from a right one."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypedDict, TypeVar, runtime_checkable

import attrs
import pytest

from amachine.choreography.acting import Act, Answer
from amachine.choreography.diagnostics import ChoreographyError
from amachine.choreography.playing.fitting import check_of, exact_class, misfit
from amachine.choreography.playing.tables import GO_ON, RoleState, SentWrong, Tables
from amachine.choreography.reading import Reading
from amachine.choreography.whole import Choreography
from tests.choreo import plays
from tests.choreo.built import pingpong, show

PING, PONG = "Ping[alice, bob, Exit]", "Pong[alice, bob, Exit]"


def choose(me: Any) -> Answer:
    return "ping", 1


def hear(me: Any, n: int) -> None:
    me.append(n)


async def choose_slowly(me: Any) -> Answer:
    return "pong", 1


def tables(acts: Mapping[str, Act]) -> Tables:
    return Choreography.of(Reading(pingpong(), acts, {})).tables


BOTH = tables({PING: Act(choose, {"ping": hear}), PONG: Act(choose_slowly, {})})


def acting(role: str) -> RoleState:
    return next(state for state in BOTH[role].states.values() if state.send is not None)


@pytest.mark.parametrize("play", ["PINGPONG", "SEND_FILE", "TWO_PHASE", "SHOW"])
def test_tables_have_every_step_of_every_role(play: str) -> None:
    given: plays.Play = getattr(plays, play)
    whole = Choreography(given.start, roles=given.roles)
    for table in whole.tables:
        local = whole.project(table.role)
        assert tuple(table.states) == tuple(state.name for state in local.states)
        for state in table.states.values():
            takes = {each.take.key: each.next.local.name for each in state.takes.values()}
            assert takes == {take.key: take.next for take in state.local.takes}
            gives = {label: each.next.local.name for label, each in state.gives.items()}
            assert gives == {give.label: give.next for give in state.local.gives}
            assert (state.send is not None) == state.local.acts == (state.steps[GO_ON] is not None)
            assert state.ends == state.local.ends
            assert len(list(filter(None, state.steps))) == len(takes) + state.local.acts


def test_a_frame_has_one_number_for_all_roles_and_knows_its_sender() -> None:
    whole = Tables(Choreography.of(Reading(show(), dict.fromkeys(show().scenes, Act(choose)), {})))
    for table in whole:
        for state in table.states.values():
            for number, step in enumerate(state.steps):
                if number != GO_ON and step is not None:
                    assert whole.keys[number] == step[-1].take.key
                    assert whole.roles[whole.senders[number]] == step[-1].take.peer
            for giving in state.gives.values():
                assert whole.keys[giving.number] == (giving.give.scene, giving.give.label)
                assert tuple(whole.roles[place] for place in giving.to) == giving.give.to


def test_a_scene_without_send_is_an_error_of_the_role_that_acts_in_it_and_of_no_other() -> None:
    half = tables({PONG: Act(choose_slowly)})
    assert half["bob"].states
    with pytest.raises(ChoreographyError) as caught:
        half["alice"]
    (found,) = caught.value.diagnostics
    assert (found.code, found.role, found.scene) == ("AMC201", "alice", PING)
    assert "must define send(me: alice)" in str(found)
    assert "ping, next" in found.hint


def test_only_coroutine_functions_are_said_to_take_their_time() -> None:
    assert BOTH["alice"].awaits == ()
    assert BOTH["bob"].awaits == (f"{PONG}.send",)


def test_a_right_answer_gives_the_branch_and_what_goes_along() -> None:
    giving, data = acting("alice").chosen(("ping", 3))
    assert (giving.give.label, data) == ("ping", 3)
    assert acting("alice").chosen(("ping", True))[1] is True


def coroutine() -> Any:
    return choose_slowly(None)


WRONG: list[tuple[Any, str, str]] = [
    (None, "", "alice answered None; it must return self.ping(…) or self.next()"),
    (("pong", 1), "pong", "a branch 'pong', which this scene does not have"),
    (("nxt", None), "nxt", "(did you mean 'next'?)"),
    (("ping",), "", "alice answered a tuple; it must"),
    (("ping", 1, 2), "", "a tuple; it must"),
    ("ping", "", "alice answered a str"),
    (([], 1), "", "answered a tuple"),
    (("ping", "one"), "ping", "alice sent a str, but the branch carries int"),
    (("ping", None), "ping", "alice sent None, but the branch carries int"),
    (("next", 5), "next", "alice sent an int, but the branch carries nothing"),
    (coroutine, "", "a coroutine, where only plain functions are called"),
]


@pytest.mark.parametrize(("answer", "label", "says"), WRONG)
def test_a_wrong_answer_is_an_error_that_names_scene_role_and_what_was_expected(
    answer: Any, label: str, says: str
) -> None:
    got = answer() if callable(answer) else answer
    with pytest.raises(SentWrong) as caught:
        acting("alice").chosen(got)
    error = caught.value
    assert (error.role, error.scene, error.label) == ("alice", PING, label)
    whole = (label, error.got) == got if "sent" in says else error.got is got
    assert whole
    assert str(error).startswith(f"AMC502 {PING}.")
    assert says in str(error)
    if got is not answer:
        return
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_nothing_of_a_wrong_answer_is_shown_but_its_class() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise OSError

    for answer in (Broken(), ("ping", Broken())):
        with pytest.raises(SentWrong, match=r"alice (answered|sent) a Broken[,;]"):
            acting("alice").chosen(answer)


T = TypeVar("T")
Id = NewType("Id", int)


class Base: ...


class Child(Base): ...


class Box(Generic[T]): ...


class Colour(Enum):
    RED = 1


class Sized(Protocol):
    size: int


@runtime_checkable
class Closing(Protocol):
    def close(self) -> None: ...


class Door:
    def close(self) -> None: ...


class Movie(TypedDict):
    name: str


@attrs.define
class Point:
    x: int = 0


PAYLOADS: list[tuple[Any, Sequence[Any], Sequence[Any]]] = [
    (int, [1, True], ["1", 1.0, None]),
    (float, [1.5, 1], ["1", None]),
    (Base, [Base(), Child()], [Point()]),
    (Point, [Point()], [{"x": 1}]),
    (Colour, [Colour.RED], [1]),
    (int | None, [1, None], ["1"]),
    (int | list[str], [1, ["a"]], [[1], "a"]),
    (list[int], [[], [1, 2]], [(1,), [1, "2"]]),
    (Sequence[int], [[1], (1, 2)], [{1}, ["1"]]),
    (dict[str, int], [{}, {"a": 1}], [{1: 1}, {"a": "b"}]),
    (Mapping[str, int], [{"a": 1}], [[("a", 1)]]),
    (tuple[int, str], [(1, "a")], [(1,), (1, 2), [1, "a"]]),
    (tuple[int, ...], [(), (1, 2)], [(1, "a")]),
    (frozenset[int], [frozenset({1})], [{1}, frozenset("a")]),
    (Literal["a", 1], ["a", 1], ["b", True]),
    (Annotated[int, "of something"], [1], ["1"]),
    (Id, [1], ["1"]),
    (Box[int], [Box()], [1]),
    (type[int], [int], [1]),
    (Any, [1, None], []),
    (object, [1, "a"], []),
    (Sized, [1, Point()], []),
    (Closing, [Door()], [1]),
    (Movie, [{"name": "x", "more": 1}], [{}, 1]),
    ("Opaque", [1], []),
    (None, [None], [0, ""]),
]


def named(each: Any) -> str:
    return "" if isinstance(each, list) else getattr(each, "__name__", str(each))


@pytest.mark.parametrize(("payload", "fit", "misfit"), PAYLOADS, ids=named)
def test_a_payload_fits_as_a_type_checker_would_say(
    payload: Any, fit: Sequence[Any], misfit: Sequence[Any]
) -> None:
    check = check_of(payload)
    assert [each for each in fit if not check(each)] == []
    assert [each for each in misfit if check(each)] == []
    exact = exact_class(payload)
    assert all(check(each) for each in fit if type(each) is exact)
    assert not [each for each in misfit if type(each) is exact]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type X = …` is of Python 3.12")
def test_a_named_type_stands_for_what_it_names() -> None:
    space: dict[str, Any] = {}
    exec("type Pair = tuple[int, int]", space)
    assert check_of(space["Pair"])((1, 2))
    assert not check_of(space["Pair"])((1, "2"))


MISFITS: list[tuple[Any, Any, str]] = [
    (int, "hunter2", "a str"),
    (list[int], [1, "hunter2"], "a list with a str at [1]"),
    (list[tuple[int, str]], [(1, "a"), (2, 3)], "a list with an int at [1][1]"),
    (tuple[int, ...], (1, None), "a tuple with None at [1]"),
    (tuple[int, str], (1,), "a tuple"),
    (dict[str, list[int]], {"a": [1], "b": ["hunter2"]}, "a dict with a str at .values()[0]"),
    (dict[str, int], {3: 3}, "a dict with an int at .keys()"),
    (set[int], {"hunter2"}, "a set with a str at [0]"),
    (Annotated[list[int], "few"], ["hunter2"], "a list with a str at [0]"),
    (int | None, "hunter2", "a str"),
    (Literal["yes", "no"], "hunter2", "a str"),
    (int, OSError(), "an OSError"),
]


@pytest.mark.parametrize(("payload", "value", "said"), MISFITS, ids=[str(n) for n in range(len(MISFITS))])
def test_what_does_not_fit_is_told_by_classes_and_the_way_there(payload: Any, value: Any, said: str) -> None:
    assert not check_of(payload)(value)
    assert misfit(payload, value) == said
