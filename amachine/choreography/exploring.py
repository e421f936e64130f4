"""Every way in which local machines can play together, up to a bound: a second opinion on what `check` says.

It knows nothing of the script. Each role is where its machine says, frames lie in one queue for each ordered pair, and
whatever can happen next is tried, the sending of each single frame for itself. It is a tool for tests and for the curious:
it takes time and memory that grow fast with the number of roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import attrs

if TYPE_CHECKING:
    from amachine.choreography.local import LocalMachine

__all__ = ["Report", "Run", "explore"]

_Part = TypeVar("_Part")

Run: TypeAlias = tuple[str, ...]
"""What happened, in order: `alice->bob: Ping.ping` was sent, `bob<-alice: Ping.ping` taken, `alice: Coin.heads` decided."""


@attrs.frozen
class Report:
    """What was found; of each kind the shortest run that leads to it, and None where there is none."""

    situations: int
    """How many were looked at."""
    complete: bool
    """Whether these are all; else the limit was reached."""
    deadlock: Run | None = None
    """Nothing can happen, and somebody is not through."""
    orphan: Run | None = None
    """A frame lies before somebody who is through."""
    unexpected: Run | None = None
    """Before somebody who waits lies a frame of each whom it may hear, and none of them is for now."""
    early: Run | None = None
    """Before somebody who waits for one of several lies a frame of one of them that is for later. No fault: it can wait."""

    @property
    def clean(self) -> bool:
        """No fault was found, as far as was looked."""
        return self.deadlock is None and self.orphan is None and self.unexpected is None

    def __str__(self) -> str:
        looked = f"{self.situations:,} situations{'' if self.complete else ', and not all'}"
        faults = (("deadlock", self.deadlock), ("orphan", self.orphan), ("unexpected", self.unexpected))
        found = [f"{name}: {'; '.join(run) or '(at once)'}" for name, run in faults if run is not None]
        return "\n".join([f"{looked}: {'clean' if self.clean else 'not clean'}", *found])


def explore(
    machines: Mapping[str, LocalMachine], *, bound: int = 1, limit: int = 20_000, closing: bool = False
) -> Report:
    """Try everything that can happen, the shortest runs first.

    `bound` is how many frames one queue holds: who finds it full waits. `limit` is how many situations are looked at.
    With `closing`, roles also end where everybody whom they could hear has ended.
    """
    theatre = _Theatre(machines, bound, closing=closing)
    first = theatre.first()
    came: dict[_Situation, tuple[_Situation, str] | None] = {first: None}
    queue = [first]
    found: dict[str, Run] = {}
    for at, situation in enumerate(queue):
        if at >= limit:
            return Report(at, complete=False, **found)
        moves = list(theatre.moves(situation))
        for kind in theatre.troubles(situation, stuck=not moves):
            if kind not in found:
                found[kind] = _run(came, situation)
        for said, after in moves:
            if after not in came:
                came[after] = (situation, said)
                queue.append(after)
    return Report(len(queue), complete=True, **found)


_Key: TypeAlias = tuple[str, str]
_Where: TypeAlias = tuple[str, tuple[tuple[str, _Key], ...]]
"""The state of a role, and what it has still to send before it is there."""

_Situation: TypeAlias = tuple[tuple[_Where, ...], tuple[tuple[_Key, ...], ...]]
"""Where each role is, and what lies in each queue."""


class _Theatre:
    """The rules of play."""

    def __init__(self, machines: Mapping[str, LocalMachine], bound: int, *, closing: bool) -> None:
        self.roles = tuple(machines)
        self.states = [machine.by_name for machine in machines.values()]
        self.starts = [machine.start.name for machine in machines.values()]
        self.queue = {
            pair: at for at, pair in enumerate((a, b) for a in self.roles for b in self.roles if a != b)
        }
        self.bound = bound
        self.closing = closing

    def first(self) -> _Situation:
        return tuple((name, ()) for name in self.starts), ((),) * len(self.queue)

    def moves(self, situation: _Situation) -> Iterator[tuple[str, _Situation]]:
        """What can happen: in words, and what is then."""
        places, queues = situation
        for number, (role, (name, unsent)) in enumerate(zip(self.roles, places, strict=True)):
            if unsent:
                yield from self._sent(situation, number, role, name, unsent)
                continue
            state = self.states[number][name]
            for give in state.gives:
                key = give.scene, give.label
                frames = tuple((peer, key) for peer in (*give.to, *give.informs))
                if frames:
                    yield from self._sent(situation, number, role, give.next, frames)
                else:
                    yield (
                        f"{role}: {give.scene}.{give.label}",
                        (_put(places, number, (give.next, ())), queues),
                    )
            for take in state.takes:
                at = self.queue[take.peer, role]
                if queues[at][:1] == (take.key,):
                    said = f"{role}<-{take.peer}: {take.scene}.{take.label}"
                    yield said, (_put(places, number, (take.next, ())), _put(queues, at, queues[at][1:]))

    def _sent(
        self, situation: _Situation, number: int, role: str, name: str, unsent: tuple[tuple[str, _Key], ...]
    ) -> Iterator[tuple[str, _Situation]]:
        places, queues = situation
        (peer, key), *rest = unsent
        at = self.queue[role, peer]
        if len(queues[at]) < self.bound:
            after = _put(places, number, (name, tuple(rest))), _put(queues, at, (*queues[at], key))
            yield f"{role}->{peer}: {key[0]}.{key[1]}", after

    def troubles(self, situation: _Situation, *, stuck: bool) -> Iterator[str]:
        """What is wrong there, by the names of the fields of a report."""
        places, queues = situation
        through = self._through(situation, by_goodbyes=stuck)
        if stuck and len(through) < len(self.roles):
            yield "deadlock"
        for number, (role, (name, unsent)) in enumerate(zip(self.roles, places, strict=True)):
            if role in through:
                if any(queues[self.queue[peer, role]] for peer in self.roles if peer != role):
                    yield "orphan"
            elif not unsent and not (state := self.states[number][name]).gives:
                heads = [queues[self.queue[peer, role]][:1] for peer in state.hears]
                keys = {(take.key,) for take in state.takes}
                if not any(head in keys for head in heads) and all(heads):
                    yield "unexpected"
                elif any(head and head not in keys for head in heads):
                    yield "early"

    def _through(self, situation: _Situation, *, by_goodbyes: bool) -> set[str]:
        """Who has ended. Goodbyes change nothing for those who still play, so they can wait until nothing else happens."""
        places, queues = situation
        states = {
            role: self.states[number][name]
            for number, (role, (name, unsent)) in enumerate(zip(self.roles, places, strict=True))
            if not unsent
        }
        through = {role for role, state in states.items() if state.ends}
        while self.closing and by_goodbyes:
            more = {
                role
                for role, state in states.items()
                if role not in through and state.exits and not state.gives
                if all(peer in through and not queues[self.queue[peer, role]] for peer in state.hears)
            }
            if not more:
                break
            through |= more
        return through


def _put(parts: tuple[_Part, ...], at: int, part: _Part) -> tuple[_Part, ...]:
    return (*parts[:at], part, *parts[at + 1 :])


def _run(came: Mapping[_Situation, tuple[_Situation, str] | None], situation: _Situation) -> Run:
    said: list[str] = []
    while (step := came[situation]) is not None:
        situation, words = step
        said.append(words)
    return tuple(said[::-1])
