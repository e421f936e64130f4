"""What each role plays, made of the script of all.

The idea is that of projection by subset construction: Li, Stutz, Wies and Zufferey, "Complete Multiparty Session Type
Projection with Automata" (CAV 2023). The script is an automaton of which a role sees only some steps: those that it
chooses, and those that it is told of. A state of the role is the set of places where the whole may be, for all that the
role has seen; a step that it sees leads from such a set to another.

Two things make it simple here. A scene has one sender who tells all at once, so scenes need not be cut into single
messages. And what is seen names its scene and label: after it, the role knows the one place where the whole was just
then. So a state is one place and whatever can follow it unseen (`Sight.around`). There are never more states than
scenes and exits, where the construction may need exponentially many in general.

States in which a role does the same from then on are merged. What it does depends on the steps that it sees, and these
have their names in them, so nothing is lost that anybody could observe.

This room only builds: whether the role can go by what it sees, `check` says. It projects unsound scripts, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import attrs

from amachine._bits import bits
from amachine.choreography.diagnostics import ChoreographyError, Diagnostic
from amachine.choreography.knowledge.plot import Edge, Plot
from amachine.choreography.knowledge.sight import Sight
from amachine.choreography.knowledge.state_names import Meaning, named
from amachine.choreography.local import Give, LocalMachine, LocalState, Take, final_name

if TYPE_CHECKING:
    from amachine.choreography.script import Script

__all__ = ["MOST", "project", "project_all"]

MOST = 50_000
"""How many states a role may have at most."""

_projected: WeakKeyDictionary[Script, Mapping[str, LocalMachine]] = WeakKeyDictionary()


def project(script: Script, role: str) -> LocalMachine:
    """What one role plays, recoveries included. Errors: `LookupError`; `ChoreographyError` (AMC109) of a script too big."""
    return project_all(script)[script.role_named(role)]


def project_all(script: Script) -> Mapping[str, LocalMachine]:
    """What everybody plays, by role, in the order of roles; made once for each script.

    Every name in the script must lead somewhere (`check.structure`); it need not be sound otherwise.
    Errors: `ChoreographyError` (AMC109) of a script too big.
    """
    made = _projected.get(script)
    if made is None:
        size = len(script.scenes) + len(script.exits)
        if size > MOST:
            text = f"{script.name}: {size:,} scenes and exits, more than the {MOST:,} states that a role may have"
            raise ChoreographyError(script.name, [Diagnostic("AMC109", text, hint="split it in two")])
        plot = Plot(script)
        made = MappingProxyType({role: _Projection(script, plot, role).machine() for role in script.roles})
        _projected[script] = made
    return made


@attrs.frozen
class _State:
    """Where the whole may be; in a recovery, also who was lost. Regions hold before that alone."""

    around: int
    lost: str | None = None


class _Projection:
    """The states of one role while they are found, merged, named and written down."""

    def __init__(self, script: Script, plot: Plot, role: str) -> None:
        self.script = script
        self.plot = plot
        self.role = role
        self.sight = Sight(plot, role)
        self.steps: dict[_State, list[Edge]] = {}
        """By state, in the order in which a walk in breadth meets them: what the role may see next."""
        self.through: dict[_State, str] = {}
        """By state: the label through which that walk first entered it, or what else it is entered by."""

    def machine(self) -> LocalMachine:
        self._found(self._at(self.script.start), "")
        restart = {name: self._found(state, "again") for name, state in self._restarts().items()}
        recover = {
            (region.name, lost): self._found(self._at(goes_to, lost), f"lost_{lost}")
            for region in self.script.regions.values()
            for lost, goes_to in region.on_lost
            if lost != self.role
        }
        first = self._merged()
        groups: dict[_State, list[_State]] = {}
        for state, leader in first.items():
            groups.setdefault(leader, []).append(state)
        names = dict(zip(groups, named(self.script, self.role, map(self._meaning, groups)), strict=True))
        name = {state: names[leader] for state, leader in first.items()}
        needs = self._needs(first)
        states = [self._written(leader, groups[leader], name, needs[leader]) for leader in groups]
        return LocalMachine(
            self.role,
            (*states, *self._ends(states)),
            {at: name[state] for at, state in recover.items()},
            {region: name[state] for region, state in restart.items()},
        )

    # Find.

    def _at(self, id: str, lost: str | None = None) -> _State:
        return _State(self.sight.around(self.plot.number[id]), lost)

    def _after(self, state: _State, edge: Edge) -> _State:
        return _State(self.sight.around(edge.target), state.lost)

    def _found(self, first: _State, through: str) -> _State:
        """Walk from a state over all that can follow it. Returns the state."""
        if first in self.steps:
            return first
        self.through[first] = through
        queue = [first]
        for state in queue:
            self.steps[state] = self.sight.steps(state.around)
            for edge in self.steps[state]:
                target = self._after(state, edge)
                if target not in self.through:
                    self.through[target] = edge.branch.label
                    queue.append(target)
        return first

    def _restarts(self) -> dict[str, _State]:
        """By region that starts again: where. After that everybody knows where the whole is: at its first scene."""
        found: dict[str, _State] = {}
        for region in self.script.regions.values():
            entries = self.script.entries(region.name) if region.restart else ()
            if entries:
                found[region.name] = self._at(entries[0])
        return found

    # Merge.

    def _merged(self) -> dict[_State, _State]:
        """By state, the first of those that do the same as it from then on: Moore's partition, refined until it stands."""
        group: dict[_State, int] = _numbered({state: self._does(state) for state in self.steps})
        count = 0
        while count != (count := len(set(group.values()))):
            group = _numbered(
                {
                    state: (group[state], *(group[self._after(state, edge)] for edge in steps))
                    for state, steps in self.steps.items()
                }
            )
        leader: dict[int, _State] = {}
        return {state: leader.setdefault(number, state) for state, number in group.items()}

    def _does(self, state: _State) -> object:
        """What can be seen of a state without leaving it."""
        steps = self.steps[state]
        if not steps:
            return final_name(self._exits(state))
        keys = tuple(
            (edge.number, self._informed(edge, state.lost) if edge.sender == self.role else ())
            for edge in steps
        )
        return keys, self._exits(state), self._regions(state), self._patience(state)

    # Describe.

    def _ids(self, mask: int) -> tuple[str, ...]:
        return tuple(self.plot.nodes[node] for node in bits(mask))

    def _exits(self, state: _State) -> tuple[str, ...]:
        return self._ids(state.around & self.plot.exits)

    def _informed(self, edge: Edge, lost: str | None) -> tuple[str, ...]:
        return tuple(role for role in self.script.informed.get(edge.key, ()) if role != lost)

    def _regions(self, state: _State) -> tuple[str, ...]:
        """All in which the whole may be: where a role cannot tell whether a region is over, it still stands in it."""
        if state.lost is not None or not self.steps[state]:
            return ()
        rings = [self.script.innermost(id) for id in self._ids(state.around & ~self.plot.exits)]
        depth = {region: len(ring) - at for ring in rings for at, region in enumerate(ring)}
        return tuple(sorted(depth, key=lambda region: -depth[region]))

    def _patience(self, state: _State) -> float | None:
        """That of the most lenient scene in which the whole may be."""
        scenes = [self.plot.scenes[node] for node in bits(state.around & ~self.plot.exits)]
        given = [scene.patience for scene in scenes if scene.patience is not None]
        return max(given) if given and len(given) == len(scenes) else None

    def _needs(self, first: Mapping[_State, _State]) -> dict[_State, frozenset[str]]:
        """By state: all peers of all steps that can follow it."""
        follow = {
            state: {first[self._after(state, edge)] for edge in self.steps[state]} for state in first.values()
        }
        needs = {state: frozenset(self._peers(state)) for state in follow}
        changed = True
        while changed:
            changed = False
            for state in reversed(needs):
                more = needs[state].union(*(needs[target] for target in follow[state]))
                changed = changed or more != needs[state]
                needs[state] = more
        return needs

    def _peers(self, state: _State) -> set[str]:
        found: set[str] = set()
        for edge in self.steps[state]:
            if edge.sender == self.role:
                found.update(edge.branch.to, self._informed(edge, state.lost))
            else:
                found.add(edge.sender)
        return found

    def _meaning(self, state: _State) -> Meaning:
        steps = self.steps[state]
        scenes = tuple(dict.fromkeys(edge.scene for edge in steps))
        acts = any(edge.sender == self.role for edge in steps)
        return Meaning(scenes, acts, final_name(self._exits(state)), self.through[state])

    # Write down.

    def _written(
        self, leader: _State, group: list[_State], name: Mapping[_State, str], needs: frozenset[str]
    ) -> LocalState:
        around = 0
        for state in group:
            around |= state.around
        takes: list[Take] = []
        gives: list[Give] = []
        for edge in self.steps[leader]:
            branch, next = edge.branch, name[self._after(leader, edge)]
            if edge.sender == self.role:
                told = self._informed(edge, leader.lost)
                give = Give(
                    *edge.key,
                    branch.payload,
                    branch.to,
                    told,
                    next,
                    branch.after,
                    branch.weight,
                    branch.names,
                )
                gives.append(give)
            else:
                informs = self.role not in branch.to
                take = Take(edge.sender, *edge.key, branch.payload, informs, next, branch.names)
                takes.append(take)
        following = [*(take.next for take in takes), *(give.next for give in gives)]
        return LocalState(
            name[leader],
            self._ids(around & ~self.plot.exits),
            tuple(takes),
            tuple(gives),
            self._ids(around & self.plot.exits),
            self._regions(leader),
            needs,
            self._patience(leader) if self.steps[leader] else None,
            name[leader] in following,
        )

    def _ends(self, states: list[LocalState]) -> list[LocalState]:
        """The final states of a role that ends by its peers' goodbyes alone."""
        known = {state.name for state in states}
        waiting = [state for state in states if state.exits and state.takes] if self.script.closing else []
        return [
            LocalState(name, (), exits=exits)
            for name, exits in {state.final: state.exits for state in waiting}.items()
            if name not in known
        ]


def _numbered(looks: Mapping[_State, object]) -> dict[_State, int]:
    """By state, a number that those have in common which look the same."""
    numbers: dict[object, int] = {}
    return {state: numbers.setdefault(look, len(numbers)) for state, look in looks.items()}
