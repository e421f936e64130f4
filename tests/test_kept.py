"""What active states were entered with is kept as in a dict by state, and what is kept never changes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amachine._bits import bits, mask_of
from amachine._kept import Kept, args_of, by_state, kept_of, states_of, without

STATES = 70
masks = st.sets(st.integers(0, STATES - 1), max_size=5).map(mask_of)
moves = st.lists(st.tuples(masks, masks), max_size=12)


@given(moves)
def test_states_enter_with_arguments_and_end_as_in_a_dict(moves: list[tuple[int, int]]) -> None:
    kept: Kept = None
    model: dict[int, Any] = {}
    for at, (enters, exits) in enumerate(moves):
        before, was = kept, dict(model)
        left = without(kept, enters | exits)
        kept = (enters & ~exits, f"args {at}", left) if enters & ~exits else left
        model = {i: args for i, args in model.items() if not (enters | exits) >> i & 1}
        model.update(dict.fromkeys(bits(enters & ~exits), f"args {at}"))
        assert by_state(kept) == model
        assert states_of(kept) == mask_of(model)
        assert [args_of(kept, i) for i in range(STATES)] == [model.get(i) for i in range(STATES)]
        assert by_state(before) == was
        assert by_state(kept_of(model)) == model
