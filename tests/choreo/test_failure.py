"""Nobody waits for ever because another failed: every role killed at every step of every play, and what the others say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from amachine.choreography.playing.endings import Outcome
from amachine.choreography.playing.events import Event, StageTracer, Step
from amachine.choreography.playing.play import Play
from amachine.choreography.script import Script
from tests.choreo.acted import acted, cast
from tests.choreo.built import pingpong, sendfile, show, two_phase
from tests.thorough import MORE
from tests.virtual import anyio_backend as anyio_backend

PLAYS: dict[str, tuple[Script, int]] = {
    "pingpong": (pingpong(), 1),
    "sendfile": (sendfile("Failed"), 1),
    "two_phase": (two_phase(), 1),
    "show": (show(), 29),
}
"""By name: the script, and of how many of its steps one is tried."""


class At(StageTracer):
    """Does something once, when so many steps were taken."""

    def __init__(self, number: int, do: Callable[[], object]) -> None:
        self.number = number
        self.do = do
        self.seen = 0

    def stage_event(self, event: Event) -> None:
        if isinstance(event, Step):
            self.seen += 1
            if self.seen == self.number:
                self.do()


async def killed_at(choreography: Any, role: str, number: int, engine: Any) -> tuple[Outcome, int]:
    """How it ends when a role dies in the middle of a step, and how many steps there were."""
    tracer = At(number, lambda: play.kill(role))
    play = Play(choreography, cast(choreography.script.roles), tracers=[tracer], engine=engine)
    async with play:
        with anyio.fail_after(60):
            return await play.ended(), tracer.seen


@pytest.mark.parametrize("engine", ["table", "machine"])
@pytest.mark.parametrize("name", PLAYS)
async def test_a_role_that_dies_at_any_step_ends_every_other_in_a_state_that_says_why(
    name: str, engine: str
) -> None:
    script, stride = PLAYS[name]
    stride = max(1, stride * (2 if engine == "machine" else 1) // MORE)
    choreography = acted(script)
    whole, steps = await killed_at(choreography, script.roles[0], 0, engine)
    assert not whole.failed
    for role in script.roles:
        for number in range(1, steps + 1, stride):
            outcome, _ = await killed_at(choreography, role, number, engine)
            assert set(outcome) == set(script.roles)
            for other, ending in outcome.items():
                if other == role:
                    assert ending.state in {"Aborted", whole[role].state}
                elif ending.aborted:
                    assert f"{role} was lost: killed" in ending.why, (role, number, str(outcome))
                    assert f"{other} still needed" in ending.why
                else:
                    assert ending.state == whole[other].state
