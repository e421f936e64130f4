"""The same choices played in two ways: by a walk over the script, and by the machines of its roles at any speed.

What each role sees must be the same in both; that is what projection promises. Bounded by a number of steps, for scripts
that never end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from amachine.choreography.local import LocalMachine
    from amachine.choreography.script import Script

__all__ = ["Choose", "Pick", "Played", "Seen", "perform", "walk"]

Choose: TypeAlias = Callable[[str, int], str]
"""What is chosen in a scene, the n-th time that it is played (from 0): the id of the scene and n, to a label."""

Pick: TypeAlias = Callable[[int], int]
"""Which of so many things that could happen now does."""

Seen: TypeAlias = tuple[str, str, str]
"""What a role saw: who chose, in which scene, and the label."""


@attrs.frozen
class Played:
    """One performance."""

    over: bool
    """Everybody is through; else the steps were used up, or nothing could happen any more."""
    traces: Mapping[str, tuple[Seen, ...]]
    """By role, all that it saw, its own choices included."""


def walk(script: Script, choose: Choose, *, limit: int = 1000) -> Played:
    """Walk over the script, one scene after the other, as if all roles were one program. At most `limit` scenes."""
    traces: dict[str, list[Seen]] = {role: [] for role in script.roles}
    times: dict[str, int] = {}
    at = script.start
    for _ in range(limit):
        scene = script.scenes.get(at)
        if scene is None:
            break
        branch = scene.branch(_chosen(scene.id, choose, times))
        for role in (scene.sender, *script.hearers(scene, branch)):
            traces[role].append((scene.sender, scene.id, branch.label))
        at = branch.next
    return Played(at not in script.scenes, {role: tuple(seen) for role, seen in traces.items()})


def perform(
    machines: Mapping[str, LocalMachine], choose: Choose, pick: Pick, *, bound: int = 1, limit: int = 10_000
) -> Played:
    """Let machines play, each choosing the same as in a walk. `pick` is the schedule; `bound` is what a queue holds.

    At most `limit` frames are sent or taken. Errors: `LookupError` where `choose` names a label that is not there.
    """
    traces: dict[str, list[Seen]] = {role: [] for role in machines}
    times: dict[str, int] = {}
    state = {role: machine.start for role, machine in machines.items()}
    queues: dict[tuple[str, str], deque[tuple[str, str]]] = {}
    unsent: dict[str, deque[tuple[str, tuple[str, str]]]] = {role: deque() for role in machines}

    def step(role: str) -> bool:
        """One thing that this role does; False if it can do nothing now."""
        if unsent[role]:
            peer, key = unsent[role][0]
            queue = queues.setdefault((role, peer), deque())
            if len(queue) >= bound:
                return False
            queue.append(key)
            unsent[role].popleft()
            return True
        here = state[role]
        if here.gives:
            label = _chosen(here.gives[0].scene, choose, times)
            give = next(each for each in here.gives if each.label == label)
            unsent[role].extend((peer, (give.scene, label)) for peer in (*give.to, *give.informs))
            traces[role].append((role, give.scene, label))
            state[role] = machines[role].by_name[give.next]
            return True
        for take in here.takes:
            coming = queues.get((take.peer, role))
            if coming and coming[0] == take.key:
                coming.popleft()
                traces[role].append((take.peer, *take.key))
                state[role] = machines[role].by_name[take.next]
                return True
        return False

    idle: list[str] = []
    for _ in range(limit):
        able = [role for role in machines if role not in idle]
        if not able:
            break
        role = able[pick(len(able))]
        idle = [] if step(role) else [*idle, role]
    over = all(each.ends or each.exits for each in state.values()) and not any(queues.values())
    return Played(over, {role: tuple(seen) for role, seen in traces.items()})


def _chosen(scene: str, choose: Choose, times: dict[str, int]) -> str:
    count = times.get(scene, 0)
    times[scene] = count + 1
    return choose(scene, count)
