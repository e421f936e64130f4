"""Sets of states as integers: bit *i* is state *i*. The only room with bit tricks; it knows nothing of states.

Two layouts live here. A *mask* has one bit a state. A *packed time* has one 64-bit lane a state, holding its tick, so that
one integer addition moves any number of clocks at once, and one attribute store publishes them all. A lane never
overflows: at a billion ticks a second it would take 584 years.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import unpack

LANE = 64


def bits(mask: int) -> Iterator[int]:
    """The indices in a mask, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(indices: Iterable[int]) -> int:
    """The mask that holds these indices."""
    mask = 0
    for index in indices:
        mask |= 1 << index
    return mask


def lanes_of(mask: int) -> int:
    """A packed time with a one in the lane of each member: what to add to move each of these clocks by one."""
    packed = 0
    for index in bits(mask):
        packed |= 1 << (index * LANE)
    return packed


def pack(ticks: Iterable[int]) -> int:
    """Ticks in order of declaration, as a packed time."""
    packed = 0
    for index, tick in enumerate(ticks):
        packed |= tick << (index * LANE)
    return packed


def unpack_ticks(packed: int, count: int) -> tuple[int, ...]:
    """The first `count` ticks of a packed time."""
    return unpack(f"<{count}Q", packed.to_bytes(count * 8, "little"))


def tick_at(packed: int, index: int) -> int:
    """One tick of a packed time."""
    return packed >> (index * LANE) & 0xFFFF_FFFF_FFFF_FFFF


def odd_lanes(packed: int, count: int) -> int:
    """The mask of the states whose tick is odd, which are the active ones."""
    return mask_of(index for index, tick in enumerate(unpack_ticks(packed, count)) if tick & 1)
