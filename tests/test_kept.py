"""What active states were entered with is kept as in a dict by state, and what is kept never changes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amachine import Event, Machine, State
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


def test_an_error_is_kept_when_something_else_is_entered_with_arguments() -> None:
    heard: list[BaseException] = []

    class Flow(Machine):
        job = State(dict)

        def exception_end(self, event: Event[Any]) -> None:
            heard.append(event.args.error)

    flow, error = Flow(), KeyError("disk")
    flow.add_error(error)
    assert flow.job.add(n=1)
    assert flow.error is error
    assert flow["Exception"].args is not None
    assert flow["Exception"].args.error is error
    restored = Flow.restore(flow.export())
    assert "disk" in str(restored.error)
    assert restored.job.args == {"n": 1}
    flow.job.remove()
    flow.remove("Exception")
    assert heard == [error]
