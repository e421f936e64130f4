"""Kill any role of a play at any step: every other one ends, and says why if it did not come to an exit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import attrs

from amachine.choreography.playing.endings import Outcome
from amachine.choreography.playing.events import Event, StageTracer, Step
from amachine.choreography.playing.play import Play
from amachine.choreography.whole import Engine
from tests.thorough import MORE

Cast = Callable[[], Mapping[Any, Any]]
"""Makes those who play, anew for every play."""


@attrs.frozen
class Killed:
    """What came of one death."""

    role: str
    step: int
    outcome: Outcome

    @property
    def others(self) -> dict[str, str]:
        """How it ended for everybody else."""
        return {role: ending.state for role, ending in self.outcome.items() if role != self.role}


class _Killer(StageTracer):
    """Kills a role when so many steps were taken."""

    def __init__(self, role: str, step: int) -> None:
        self.role = role
        self.step = step
        self.seen = 0
        self.play: Play

    def stage_event(self, event: Event) -> None:
        self.seen += isinstance(event, Step)
        if isinstance(event, Step) and self.seen == self.step:
            self.play.kill(self.role)


async def killed_everywhere(
    choreography: Any, make_cast: Cast, engine: Engine = "table", *, most: int = 40, within: float = 200
) -> list[Killed]:
    """Kill each role at each step of a play that would end well; of a long one, at some steps, so that there are `most` deaths.

    AMACHINE_MORE multiplies those. Each play ends `within` so many seconds. What any end has to be is asserted here;
    what else is to be said of them, the caller says.
    """
    roles = choreography.script.roles
    whole = await _killed(choreography, make_cast, engine, roles[0], 0, within)
    steps = whole.step
    found: list[Killed] = []
    assert steps
    assert not whole.outcome.failed
    deaths = [(role, step) for step in range(1, steps + 1) for role in roles]
    stride = max(1, len(deaths) // (most * MORE))
    while stride > 1 and len(roles) % stride == 0:
        stride += 1  # else some role would never die
    for role, step in deaths[::stride]:
        killed = await _killed(choreography, make_cast, engine, role, step, within)
        assert set(killed.outcome) == set(roles)
        for other, ending in killed.outcome.items():
            said = str(killed.outcome)
            assert ending.why if ending.aborted else not ending.why, said
            if ending.aborted and other != role:
                assert "was lost: " in ending.why, said
                assert ending.error is None, said  # nobody met anything that could not come
        found.append(attrs.evolve(killed, step=step))
    return found


async def _killed(
    choreography: Any, make_cast: Cast, engine: Engine, role: str, step: int, within: float
) -> Killed:
    cast = make_cast()
    killer = _Killer(role, step)
    try:
        killer.play = play = Play(choreography, cast, tracers=[killer], engine=engine)
        async with play:
            with anyio.fail_after(within):
                outcome = await play.ended()
    finally:
        for me in cast.values():
            getattr(me, "close", lambda: None)()
    return Killed(role, killer.seen, outcome)
