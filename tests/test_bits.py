"""Sets and clocks packed into integers behave as sets and tuples do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amachine._bits import LANE, bits, lanes_of, mask_of, odd_lanes, pack, tick_at, unpack_ticks

indices = st.sets(st.integers(0, 200), max_size=30)
ticks = st.lists(st.integers(0, 2**LANE - 1), min_size=1, max_size=40)
small = st.lists(st.integers(0, 2**32), min_size=1, max_size=40)


@given(indices)
def test_a_mask_holds_what_was_put_in_and_gives_it_back_ascending(members: set[int]) -> None:
    mask = mask_of(members)
    assert list(bits(mask)) == sorted(members)
    assert mask_of(bits(mask)) == mask
    assert mask.bit_count() == len(members)


@given(indices, indices)
def test_operators_on_masks_are_those_on_sets(one: set[int], other: set[int]) -> None:
    a, b = mask_of(one), mask_of(other)
    assert set(bits(a | b)) == one | other
    assert set(bits(a & b)) == one & other
    assert set(bits(a & ~b)) == one - other
    assert (a & b == a) == (one <= other)


@given(ticks)
def test_packed_ticks_come_back(values: list[int]) -> None:
    packed = pack(values)
    assert unpack_ticks(packed, len(values)) == tuple(values)
    assert [tick_at(packed, i) for i in range(len(values))] == values


@given(ticks)
def test_the_odd_lanes_are_the_active_states(values: list[int]) -> None:
    assert set(bits(odd_lanes(pack(values), len(values)))) == {i for i, tick in enumerate(values) if tick % 2}


@given(small, st.data())
def test_one_addition_moves_these_clocks_and_no_other(values: list[int], data: st.DataObject) -> None:
    moved = data.draw(st.sets(st.sampled_from(range(len(values)))))
    after = unpack_ticks(pack(values) + lanes_of(mask_of(moved)), len(values))
    assert after == tuple(tick + (i in moved) for i, tick in enumerate(values))


def test_the_empty_mask_has_no_members() -> None:
    assert list(bits(0)) == []
    assert mask_of([]) == 0
    assert lanes_of(0) == 0
    assert unpack_ticks(0, 3) == (0, 0, 0)
    assert odd_lanes(0, 3) == 0
