"""The arguments that active states were entered with. Mostly those of one state: a dict would weigh four times as much.

A value, which is replaced and never changed, so that another thread reads one moment of it. Nothing here runs anything.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from amachine._bits import bits

Kept: TypeAlias = "tuple[int, Any, Kept] | None"
"""Some states as a mask, the arguments of each of them, and the same of other states; None for no more."""


def args_of(kept: Kept, state: int) -> Any:
    """The arguments of a state; None if there are none."""
    while kept is not None:
        states, args, kept = kept
        if states >> state & 1:
            return args
    return None


def without(kept: Kept, states: int) -> Kept:
    """What is left without these states."""
    left: Kept = None
    while kept is not None:
        mask, args, kept = kept
        if mask & ~states:
            left = (mask & ~states, args, left)
    return left


def states_of(kept: Kept) -> int:
    """The mask of all states that have arguments."""
    states = 0
    while kept is not None:
        mask, _, kept = kept
        states |= mask
    return states


def kept_of(args: dict[int, Any]) -> Kept:
    """From a dict by state."""
    kept: Kept = None
    for state, each in args.items():
        kept = (1 << state, each, kept)
    return kept


def by_state(kept: Kept) -> dict[int, Any]:
    """As a dict by state."""
    found: dict[int, Any] = {}
    while kept is not None:
        states, args, kept = kept
        found.update(dict.fromkeys(bits(states), args))
    return found
