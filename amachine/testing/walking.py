"""Paths through a schema, made by the explorer, and a walk that compares a real machine with what relations alone expect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from amachine.exploring import LIMIT, Call, Edge, Move, Source, StateLike, explore, schema_of
from amachine.mutation import Kind
from amachine.testing.stories import story

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.mutation import Result

Args: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By the name of a state, the keywords that it is added with."""


@attrs.frozen
class Stage:
    """One mutation of a path, and what relations make of it."""

    move: Move
    active: tuple[str, ...]
    """What is active afterwards."""
    why: str = ""
    """Why it is refused; empty where it is not."""

    def __str__(self) -> str:
        return f"{self.move}{' (refused)' if self.why else ''}"


@attrs.frozen
class Path:
    """Mutations from a start, each with what to expect. As a text it is fit for the id of a test."""

    start: tuple[str, ...]
    stages: tuple[Stage, ...]

    def __len__(self) -> int:
        return len(self.stages)

    def __str__(self) -> str:
        return "; ".join(map(str, self.stages)) or "nothing"


def paths(
    schema: Source,
    *,
    sets: bool = False,
    start: Iterable[StateLike] = (),
    calls: Iterable[Call] | None = None,
    limit: int = LIMIT,
) -> tuple[Path, ...]:
    """A small number of paths that activate every state that can be, and meet every refusal of relations.

    A refusal is met once for each mutation and reason. With `sets`, every active set is reached, too. The other options are
    those of `explore`. Made for `@pytest.mark.parametrize("path", paths(Flow), ids=str)`. Errors: as `explore`.
    """
    found = explore(schema, start=start, calls=calls, limit=limit)
    at: dict[tuple[str, ...], dict[Move, Edge]] = {}
    refusals: dict[tuple[Move, str], tuple[str, ...]] = {}
    for edge in found.edges():
        at.setdefault(edge.before, {})[edge.move] = edge
        if not edge.accepted:
            refusals.setdefault((edge.move, edge.why), edge.before)
    states = {name for name in found.schema.names if found.entry(name)}
    todo = _Todo(states, set(refusals), set(found.sets) if sets else set())
    goals = [entry for name in found.schema.names if (entry := found.entry(name))]
    goals += [found.path(active) for active in refusals.values()]
    goals += [reached.path for reached in found if sets]
    walked = [
        path
        for goal in sorted(dict.fromkeys(goals), key=len, reverse=True)
        if (path := todo.walked(found.start, goal, at)) is not None
    ]
    return tuple(walked)


@attrs.define
class _Todo:
    """What is still to be covered."""

    states: set[str]
    refusals: set[tuple[Move, str]]
    sets: set[tuple[str, ...]]

    def walked(
        self,
        start: tuple[str, ...],
        goal: tuple[Move, ...],
        at: Mapping[tuple[str, ...], Mapping[Move, Edge]],
    ) -> Path | None:
        """The path to a goal, with what can be refused on the way; None if it covers nothing that is still to do."""
        before = len(self.states) + len(self.refusals) + len(self.sets)
        here, stages = start, self._refused(at[start])
        self.sets.discard(start)
        for move in goal:
            edge = at[here][move]
            here = edge.active
            stages.append(Stage(move, here))
            self.states.difference_update(edge.enters)
            self.sets.discard(here)
            stages += self._refused(at[here]) if here in at else []
        after = len(self.states) + len(self.refusals) + len(self.sets)
        return Path(start, tuple(stages)) if after < before else None

    def _refused(self, edges: Mapping[Move, Edge]) -> list[Stage]:
        """What is refused here and was not yet: it changes nothing, so that it can all be tried on the way."""
        stages: list[Stage] = []
        for edge in edges.values():
            refusal = edge.move, edge.why
            if refusal in self.refusals:
                self.refusals.discard(refusal)
                stages.append(Stage(edge.move, edge.before, edge.why))
        return stages


def perform(machine: Machine, move: Move, *, args: Args | None = None) -> Result:
    """Ask a machine for a mutation. `args` are the keywords for each state that needs some.

    Errors: ValueError where a state needs arguments that are not given.
    """
    schema = machine.schema
    given: dict[str, Any] = {}
    if move.kind is not Kind.REMOVE:
        for name in move.states:
            given.update((args or {}).get(name, {}))
            missing = schema.missing_args(schema.position(name))
            if missing and name not in (args or {}):
                needs = f"{name} needs {', '.join(missing)}"
                raise ValueError(f"{move}: {needs}; give args={{{name!r}: {{{missing[0]!r}: …}}}}")
    if move.kind is Kind.ADD and len(move.states) == 1:
        return machine[move.states[0]].add(**given)
    verb: Callable[..., Result] = getattr(machine, move.kind.value)
    return verb(*move.states, **given)


def walk(machine: Machine, path: Path | Iterable[Move], *, args: Args | None = None) -> None:
    """Take a machine along a path, and compare each answer, and what is active then, with what relations expect.

    Moves alone are taken without comparing. `args` are the keywords for each state that needs some. A machine whose handlers
    refuse, add or remove states departs from its relations: that is what fails here.
    Errors: AssertionError, which tells the story; ValueError where arguments are missing.
    """
    __tracebackhide__ = True
    if not isinstance(path, Path):
        for move in path:
            perform(machine, move, args=args)
        return
    if machine.active != path.start:
        raise AssertionError(f"the path starts at {_set(path.start)}, but the machine is {machine!r}")
    for number, stage in enumerate(path.stages, 1):
        result = perform(machine, stage.move, args=args)
        wrong = ""
        if result.queued:
            wrong = "it was queued: walk a machine that nobody else uses"
        elif stage.why != result.why:
            wrong = f"it was {_answer(result.why)}, where relations say {_answer(stage.why)}"
        elif machine.active != stage.active:
            wrong = f"active are {_set(machine.active)}, where relations say {_set(stage.active)}"
        if wrong:
            done = "; ".join(map(str, path.stages[:number]))
            raise AssertionError(f"{stage.move}: {wrong}\nthe path so far: {done}\n{story(machine)}")


def check_paths(
    make: Callable[[], Machine], chosen: Iterable[Path] | None = None, *, args: Args | None = None
) -> int:
    """Walk each path with a machine of its own, made by `make` and closed again. Returns how many were walked.

    Without `chosen`, these are all `paths` of its schema. Errors: those of `walk`.
    """
    __tracebackhide__ = True
    if chosen is None:
        machine = make()
        chosen = paths(schema_of(machine))
        machine.close()
    count = 0
    for count, path in enumerate(chosen, 1):  # noqa: B007  # it is the answer
        machine = make()
        try:
            walk(machine, path, args=args)
        finally:
            machine.close()
    return count


def _answer(why: str) -> str:
    return f"refused ({why})" if why else "accepted"


def _set(names: tuple[str, ...]) -> str:
    return f"{{{', '.join(names)}}}"
