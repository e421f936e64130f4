"""Clocks: only one rule moves them, never back, and as vectors they know what came before what."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amachine import Clock, Machine, Time
from amachine._bits import pack
from amachine.clock import advance

times = st.lists(st.integers(0, 2**40), min_size=3, max_size=3).map(Time)


def test_a_flip_moves_a_tick_by_one_and_a_re_entry_by_two() -> None:
    packed = pack([4, 7, 9]) + advance(0b001, 0b100)
    assert Time.unpacked(packed, 3) == (5, 7, 11)
    assert advance(0) == 0


@given(times, st.integers(0, 7), st.integers(0, 7))
def test_advancing_never_moves_a_clock_back_and_keeps_the_parity_of_what_did_not_flip(
    time: Time, flips: int, reentries: int
) -> None:
    reentries &= ~flips
    after = Time.unpacked(pack(time) + advance(flips, reentries), 3)
    assert after >= time
    assert {i for i in range(3) if after.is_active(i) != time.is_active(i)} == {
        i for i in range(3) if flips >> i & 1
    }
    assert after.sum - time.sum == flips.bit_count() + 2 * reentries.bit_count()


def test_a_time_is_a_tuple_with_a_sum_and_active_indices() -> None:
    time = Time((1, 2, 3))
    assert tuple(time) == (1, 2, 3)
    assert time.sum == 6
    assert time.active() == (0, 2)
    assert time.is_active(0)
    assert not time.is_active(1)
    assert str(time) == "[1 2 3]"
    assert repr(time) == "Time([1, 2, 3])"


def test_times_are_ordered_as_vectors_and_not_as_tuples() -> None:
    early, late, other = Time((1, 2)), Time((1, 3)), Time((2, 0))
    assert early < late
    assert early <= late
    assert late > early
    assert late >= early
    assert early <= Time((1, 2))
    assert not early < Time((1, 2))
    assert not early <= other
    assert not other <= early
    assert not early >= other
    assert not Time((1,)) <= early


@given(times, times, times)
def test_the_order_of_times_is_a_partial_order(a: Time, b: Time, c: Time) -> None:
    assert a <= a  # noqa: PLR0124 - reflexive is what this says
    if a <= b <= a:
        assert a == b
    if a <= b <= c:
        assert a <= c
    assert (a < b) == (a <= b and a != b)
    assert (a >= b) == (b <= a)
    assert (a > b) == (b < a)


def test_since_tells_how_far_each_state_has_moved() -> None:
    assert Time((3, 4, 5)).since(Time((1, 4, 2))) == (2, 0, 3)
    assert Time((3, 4, 5)).moved(Time((1, 4, 2))) == (0, 2)


def test_an_earlier_time_may_be_of_a_schema_that_has_grown_since_but_not_of_one_that_shrank() -> None:
    assert Time((3, 4, 5)).since((1, 4)) == (2, 0, 5)
    with pytest.raises(ValueError, match="of 3 states"):
        Time((1, 2)).since((1, 2, 3))


def clock(**ticks: int) -> Clock:
    return Clock(tuple(ticks), Time(ticks.values()))


def test_a_clock_is_a_mapping_of_names_to_ticks_in_order_of_declaration() -> None:
    it = clock(B=1, A=2)
    assert list(it) == ["B", "A"]
    assert it == {"A": 2, "B": 1}
    assert it["A"] == 2
    assert it.get("C") is None
    assert it.sum == 3
    assert it.active == ("B",)
    assert it.is_active("B")
    assert not it.is_active("A", "B")
    assert len(it) == 2
    with pytest.raises(KeyError, match="Nobody"):
        it["Nobody"]


def test_a_clock_tells_what_has_moved_since_by_name() -> None:
    assert clock(A=3, B=4).since(clock(A=1, B=4)) == {"A": 2}
    assert clock(A=3, B=4).since(clock(A=3)) == {"B": 4}


@pytest.mark.parametrize(("tick", "active", "inactive"), [(0, 1, 2), (1, 3, 2), (2, 3, 4), (3, 5, 4)])
def test_a_clock_foretells_the_ticks_of_the_next_change(tick: int, active: int, inactive: int) -> None:
    assert clock(A=tick).next_active("A") == active
    assert clock(A=tick).next_inactive("A") == inactive


def test_clocks_of_the_same_states_compare_like_their_times() -> None:
    assert clock(A=1, B=1) < clock(A=1, B=2)
    assert clock(A=1, B=1) <= clock(A=1, B=1)
    assert clock(A=2, B=1) > clock(A=1, B=1)
    assert clock(A=2, B=1) >= clock(A=1, B=1)
    assert not clock(A=1) <= clock(B=1)
    assert clock(A=1) != clock(B=1)
    assert clock(A=1) != object()


def test_a_clock_reads_as_active_states_a_bar_and_those_that_have_been() -> None:
    assert str(clock(start=1, busy=2, ready=3, never=0)) == "start:1 ready:3 | busy:2"
    assert str(clock(start=1)) == "start:1"
    assert str(clock(busy=2)) == "| busy:2"
    assert repr(clock(A=0)) == "<Clock>"
    assert repr(clock(A=1)) == "<Clock A:1>"


def test_a_clock_has_no_hash_because_it_equals_dicts() -> None:
    with pytest.raises(TypeError):
        hash(clock(A=1))


def test_times_and_clocks_are_values_that_copies_and_pickles_keep() -> None:
    machine = Machine.of({"A": {}, "B": {"multi": True}}, "m")
    machine.add("A")
    time, now = machine.time, machine.clock
    machine.add("B")
    machine.add("B")
    assert time == (1, 0, 0)
    assert now == {"A": 1, "B": 0, "Exception": 0}
    assert machine.time == (1, 3, 0)
    assert machine.time > time
    assert machine.clock.since(now) == {"B": 3}
    for value in (time, now):
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.deepcopy(value) == value
