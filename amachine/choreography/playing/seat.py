"""Where a role's present state is kept while it is played: the protocol between a player and its engine, and the plain seat.

The player decides, the seat keeps. A seat never reads a frame, sends one, or calls a user's function of its own accord: it
calls `then` at the place where its engine runs functions, once per step that it accepted.

How a player uses a seat, in this order:

1. `open(owner)` once; then `peer_up` for every peer that it has a channel to.
2. `step(target, args, then)` for every step, the entry of the first state included. One at a time: the next comes only after
   `then` was called. Self-loops are steps, too. A refusal (False, and `then` is never called) ends the role by a `Violation`.
3. After a loss: `peer_lost`; and if the role cannot go on without that peer, either `recover` (a step, by a region) or
   `trouble` and `end(ABORTED)`.
4. `after_step` when the role is through with a step, and so with its part: a handler of a user's may fail yet.
5. `end` once, with the name of an exit or `ABORTED`; then `close`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from amachine.choreography.local import LocalMachine, LocalState

__all__ = ["ABORTED", "Owner", "Seat", "StepArgs", "TableSeat"]

ABORTED = "Aborted"
"""The state in which a role ends that could not go on."""


# One is made for every step, and a frozen class takes three times as long to make.
@attrs.define(unsafe_hash=True)
class StepArgs:
    """What a step is: a branch that was chosen, or the beginning. The arguments of the state that it enters.

    Nobody changes them.
    """

    peer: str = ""
    """Who chose it: the role itself for a step of its own, nobody (`""`) at the start and at a recovery."""
    scene: str = ""
    label: str = ""
    data: Any = attrs.field(default=None, eq=False)
    seq: int = 0
    """Of the frame; 0 for a step of one's own."""
    epoch: int = 0

    def model_dump(self, **_: object) -> dict[str, Any]:
        """As plain data, for a machine's export: what came along is left out unless it is plain itself."""
        plain = {
            "peer": self.peer,
            "scene": self.scene,
            "label": self.label,
            "seq": self.seq,
            "epoch": self.epoch,
        }
        return plain | {"data": self.data} if isinstance(self.data, (str, int)) else plain


class Owner(Protocol):
    """What a seat may ask of the player that uses it."""

    role: str
    session: str

    def cancel(self, why: str = "cancelled") -> None:
        """Leave the session: say goodbye to all peers, end as `Aborted`. A machine's `SessionUp` was removed."""
        ...

    def failed(self, where: str, error: Exception) -> None:
        """A handler of a user's has failed in a step that was taken, as one of the role's own functions might have."""
        ...


class Seat(Protocol):
    """Keeps a role's present state. A step is accepted or refused at once; its function may run a little later."""

    @property
    def state(self) -> LocalState:
        """The state that it entered last."""
        ...

    @property
    def why(self) -> str:
        """Why the last step was refused, in the words of whoever did."""
        ...

    def open(self, owner: Owner, /) -> None:
        """A player begins to use it."""
        ...

    def step(self, target: LocalState, args: StepArgs, then: Callable[[], None], /) -> bool:
        """Enter a state, and call `then` where functions of that state run. False if that was refused; then nothing happened.

        Only what comes through here may enter a state of the script: a machine compares its arguments with the ones that it
        was given here, by identity, and refuses all others.
        """
        ...

    def after_step(self, do: Callable[[], object], /) -> None:
        """Call this when the step stands whose functions are being called: all that may still fail there has been done."""
        ...

    def recover(
        self, region: str, lost: str, target: LocalState, args: StepArgs, then: Callable[[], None], /
    ) -> bool:
        """As `step`, but out of trouble: the state before it may be gone. `target` is where the region goes on."""
        ...

    def peer_up(self, peer: str, /) -> None:
        """A peer can be reached, for the first time or again."""
        ...

    def peer_left(self, peer: str, /) -> None:
        """A peer that nothing more was expected of is through, and has said goodbye."""
        ...

    def peer_lost(self, peer: str, why: str, /) -> None:
        """A peer that the role still needed is gone. Whether there is a way on is being found out."""
        ...

    def trouble(self, kind: str, why: str, error: Exception | None, /) -> None:
        """The role cannot go on: `kind` is `Violation`, `HandlerError`, `PeerLost` or `Cancelled`, and `end` follows.

        Or it has waited for too long: `StepTimeout`, and whom it waited for is lost.
        """
        ...

    def end(self, state: str, why: str, /) -> None:
        """The role is through: in an exit, where it stands already if that is a state of its own, or in `ABORTED`."""
        ...

    def close(self) -> None:
        """The player is through with it. It may still be looked at."""
        ...


class TableSeat:
    """A state and a count: what a role costs while nobody looks. `state` and `ticks` say where to go on, of another's steps."""

    __slots__ = ("_entered", "ended", "machine", "state", "troubles", "why")

    def __init__(
        self, machine: LocalMachine, *, state: str | None = None, ticks: Mapping[str, int] | None = None
    ) -> None:
        self.machine: LocalMachine = machine
        self.state: LocalState = machine.start if state is None else machine.by_name[state]
        self.ended: str | None = None
        """The state that it ended in: an exit or `ABORTED`."""
        self.troubles: tuple[tuple[str, str, Exception | None], ...] = ()
        """What `trouble` was told: a machine that takes its place has to hear of it."""
        self.why: str = ""
        self._entered = defaultdict[str, int](int)
        for name, tick in (ticks or {}).items():
            self._entered[name] = (tick + 1) // 2

    @property
    def ticks(self) -> dict[str, int]:
        """By state that was ever entered: odd while it is active, +1 when it was left, +2 when it was entered anew."""
        standing = self.ended or (self.state.name if self._entered else None)
        return {name: 2 * times - (name == standing) for name, times in self._entered.items()}

    def open(self, owner: Owner, /) -> None:
        """A player begins to use it."""

    def step(self, target: LocalState, _args: StepArgs, then: Callable[[], None], /) -> bool:
        """Enter a state, and go on at once."""
        self.state = target
        self._entered[target.name] += 1
        then()
        return True

    def after_step(self, do: Callable[[], object], /) -> None:
        """Nothing else can fail."""
        do()

    def recover(
        self, _region: str, _lost: str, target: LocalState, args: StepArgs, then: Callable[[], None], /
    ) -> bool:
        """Enter the state where a region goes on."""
        return self.step(target, args, then)

    def peer_up(self, peer: str, /) -> None:
        """Only machines keep that."""

    def peer_left(self, peer: str, /) -> None:
        """Only machines keep that."""

    def peer_lost(self, peer: str, why: str, /) -> None:
        """Only machines keep that."""

    def trouble(self, kind: str, why: str, error: Exception | None, /) -> None:
        """Only machines show that."""
        self.troubles += ((kind, why, error),)

    def end(self, state: str, _why: str, /) -> None:
        """Stay in the exit, or leave what was entered last."""
        if state != self.state.name:
            self._entered[state] += 1
        self.ended = state

    def close(self) -> None:
        """Nothing is held."""
