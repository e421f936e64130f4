"""What a player does when something goes wrong: one method for each thing that can. It ends the role, or has a region save it.

| what happens | method | what becomes of the role |
|---|---|---|
| a peer dies, fails or leaves while it is needed | `gone`, then `check` | a region goes on without it; else `Aborted` |
| a peer dies that is not needed any more | `gone` | goes on |
| a function of the role raises, or answers wrongly | `raised` | ERR to all peers, `Aborted` |
| a frame that nothing here can be | `violated`, `unreadable` | `Violation`, ERR to all peers, `Aborted` |
| the seat refuses a step | `refused` | the same |
| a frame of an epoch of which nothing is known | `ahead` | `Violation` in a script without regions; else it waits for news |
| nothing comes for too long | `waited_too_long` | whom it waited for is lost |
| what has to come before something else never comes | `never_came` | `Violation` |
| the task, or `SessionUp`, is cancelled | `cancelled` | BYE to all peers, `Aborted` |
| the others have lost somebody | `told` | stands still until they agree how to go on |

Nothing here takes a step of the script, except into a recovery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from amachine.choreography.acting import what_failed
from amachine.choreography.playing.endings import Ending, StepTimeout, Violation
from amachine.choreography.playing.events import RoleLost
from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind
from amachine.choreography.playing.patience import SETTLING, Patience
from amachine.choreography.playing.regions import Council
from amachine.choreography.playing.seat import ABORTED, StepArgs
from amachine.choreography.playing.tables import named

if TYPE_CHECKING:
    from amachine.choreography.local import Give, LocalMachine, LocalState, Take
    from amachine.choreography.playing.agreement import Understudies
    from amachine.choreography.playing.peers import Peer
    from amachine.choreography.playing.player import Player

__all__ = ["DONE", "Troubles", "reason_of"]

DONE = "done"
"""What a BYE says of a role that is through with its part."""


class Troubles:
    """Of one player."""

    __slots__ = ("_gone", "council", "mourned", "patience", "player", "restarts")

    def __init__(self, player: Player, understudies: Understudies | None) -> None:
        self.player: Player = player
        self.council: Council | None = Council(player, understudies) if player.script.regions else None
        self.restarts: Council | None = self.council if player.table.machine.restart else None
        """That, where the role may have to go back to the start of a region."""
        self.patience: Patience = Patience(player)
        self._gone: list[Peer] = []
        self.mourned: set[str] = set()
        """Whose loss the seat knows."""

    # Peers.

    def told(self, peer: Peer, frame: Frame) -> None:
        """A frame that is not of the script: a goodbye, a failure, a loss."""
        if frame.epoch < peer.since and not peer.returning:
            return  # it is from whom this one has replaced, or was meant for whom the player has
        if frame.kind in {Kind.BYE, Kind.ERR}:
            self.gone(peer, *_reason(frame))
            return
        try:
            if frame.kind == Kind.BEAT:
                self.patience.told(peer, frame)
            elif frame.kind == Kind.LOST and self.council is not None:
                self.council.heard(peer.name, frame)
            else:
                raise ValueError(f"{frame.kind.name} has no place in a session of {self.player.script.name}")
        except ValueError as error:
            self.unreadable(peer, error)

    def gone(self, peer: Peer, why: str, through: bool = False) -> None:  # noqa: FBT001, FBT002  # as `_reason` says it
        """A peer cannot be reached any more; it may be `through` with its part. What it had said before still counts."""
        if not self.mark(peer, why, through=through):
            if peer.returning and self.council is not None:
                self.council.gone_again(peer)
            return
        if self.council is not None and self.council.is_open:
            self.council.lost_more(peer)
        elif not self.check():
            self.player.go_on()

    def mark(self, peer: Peer, why: str, *, through: bool = False) -> bool:
        """Take down that a peer is gone. False if that was known. Nothing follows from it yet."""
        if peer.gone is not None:
            return False
        player = self.player
        needed = peer.name in player.present.needs
        peer.gone, peer.left = why, through
        self._gone.append(peer)
        if not through:
            self._see_lost(peer, needed=needed)
            # It may be there all the same: then it learns that nobody plays with it any more.
            player.say_goodbye(peer, Frame(Kind.ERR, data=f"{player.role} has given up {peer.name}: {why}"))
        elif not needed:
            player.seat.peer_left(peer.name)
        return True

    def _see_lost(self, peer: Peer, *, needed: bool) -> None:
        player = self.player
        player.see(RoleLost(player.session, player.role, peer.name, peer.gone or "", needed))

    def back(self, peer: Peer, epoch: int) -> None:
        """A peer is there again, with a new player."""
        self._gone.remove(peer)
        self.mourned.discard(peer.name)
        peer.gone, peer.left, peer.returning, peer.since = None, False, False, epoch
        self.player.seat.peer_up(peer.name)

    def check(self) -> bool:
        """See whether somebody is gone whom the role still needs, and stop if so. Whether it did."""
        if not self._gone or self.player.ended is not None:
            return False
        for peer in self._gone:
            if self.misses(peer):
                self._miss(peer)
                return True
        return False

    def misses(self, peer: Peer) -> bool:
        """Whether that peer is gone, and the role needs more of it than it has said."""
        here = self.player.present
        if peer.gone is None or peer.name not in here.needs or peer.speaks(self.player.epoch):
            return False
        return not peer.left or (not here.exits and self._nobody_speaks(here))

    def _nobody_speaks(self, here: LocalState) -> bool:
        """It waits, and nobody whom it waits for has anything more to say.

        Until then, who has left is not missed: what others say may tell that all is over, which it knew before.
        """
        player = self.player
        peers = [player.peers[name] for name in here.hears]
        return bool(peers) and all(each.gone is not None and not each.speaks(player.epoch) for each in peers)

    def cannot_reach(self, peer: Peer, closed: ChannelClosed | None = None) -> None:
        """A frame could not be sent to a peer."""
        if closed is not None:
            why, through = reason_of(closed)
            self.mark(peer, why, through=through)
        self._miss(peer)

    def _miss(self, peer: Peer) -> None:
        """A peer is gone without whom the role cannot go on."""
        if self.council is not None and (self.council.is_open or self.council.provides(peer.name)):
            self._mourn(peer)
            self.council.miss(peer)
        else:
            self.stop_without(peer)

    def _mourn(self, peer: Peer) -> None:
        if peer.name not in self.mourned:
            self.mourned.add(peer.name)
            if peer.left:  # it thinks that it was through with its part
                self._see_lost(peer, needed=True)
            self.player.seat.peer_lost(peer.name, peer.gone or "")

    def stop_without(self, peer: Peer) -> None:
        """End for want of a peer."""
        player = self.player
        self._mourn(peer)
        why = f"{peer.name} was lost: {peer.gone}; {player.role} still needed {peer.name} in {player.present.name}"
        self.abort("PeerLost", why, None)

    def waited_too_long(self, late: Mapping[Peer, str], why: str) -> None:
        """Nothing has come that the role could go on with. `late` are those who are given up, and why."""
        if any(peer.incomplete or peer.inbox for peer in late):
            self.never_came()
            return
        player = self.player
        player.seat.trouble("StepTimeout", why, StepTimeout(why, expected=expected(player.state.local)))
        for peer, reason in late.items():
            self.mark(peer, reason)
        if not self.check():
            player.go_on()

    def never_came(self) -> None:
        """Something waits here for what has to come before it, and that has not come."""
        player = self.player
        for peer in player.peers.values():
            if peer.incomplete:
                self._violation(peer.incomplete, None, "")
                return
            if peer.inbox and not peer.speaks(player.epoch):
                self._unexplained(peer.name, peer.inbox[0])
                return

    def ahead(self, peer: Peer, frame: Frame) -> None:
        """A frame was said after a loss of which this role has not heard yet."""
        if self.council is None:
            self._unexplained(peer.name, frame)
        else:
            self.player.go_on()

    def _unexplained(self, peer: str, frame: Frame) -> None:
        text = f"{named(frame.scene)}.{frame.label} from {peer} is of epoch {frame.epoch}, this is {self.player.epoch}"
        self._violation(f"{text}, and nobody has told of a loss", frame, f"epoch {self.player.epoch}")

    @property
    def settling(self) -> float:
        """How many seconds the others have for an answer."""
        return self.player.patience_here or SETTLING

    def come_back(self, starts: Mapping[str, Any]) -> None:
        """Wait to be let in again, with these checkpoints. Errors: `ValueError` where no region starts again."""
        if self.council is None:
            raise ValueError(f"{self.player.script.name} has no region that starts again")
        self.council.come_back(starts)

    # The role itself.

    def raised(self, where: str, error: Exception) -> None:
        """One of the role's own functions has failed, or has answered what it must not."""
        self.abort("HandlerError", what_failed(where, error), error)

    def violated(self, peer: Peer, frame: Frame) -> None:
        """A frame came that cannot come here."""
        player = self.player
        wanted = expected(player.state.local)
        got = f"{named(frame.scene)}.{frame.label}"
        if (
            got in wanted and frame.kind == Kind.MSG
        ):  # the same branch, of another instance of a template or from another role
            wanted, got = expected(player.state.local, full=True), f"{frame.scene}.{frame.label}"
        told = " as an inform" if frame.kind == Kind.INFORM else ""
        sender = "" if wanted.endswith(f" from {peer.name}") else f" from {peer.name}"
        self._violation(f"expected {wanted}, got {got}{told}{sender} (seq {frame.seq})", frame, wanted)

    def misfits(self, early: Sequence[Peer]) -> bool:
        """Whether one of the frames that fit nowhere now never will; that ends the role.

        One may be early: what another peer has yet to say may lead to where it fits.
        """
        here = self.player.state.local
        all_speak = len(early) == len(here.hears)
        later = () if all_speak else _ahead(self.player.table.machine, here.name)
        for peer in early:
            frame = peer.inbox[0]
            if (peer.name, frame.scene, frame.label, frame.kind == Kind.INFORM) not in later:
                self.violated(peer, frame)
                return True
        return False

    def unreadable(self, peer: Peer, error: Exception) -> None:
        """What a peer sent is no frame."""
        self._violation(
            f"what {peer.name} sent is no frame: {error}", None, expected(self.player.state.local)
        )

    def refused(self, target: LocalState, args: StepArgs) -> None:
        """The seat did not let the role take a step of its script."""
        step = f"{named(args.scene)}.{args.label}" if args.scene else "the beginning"
        why = self.player.seat.why
        text = f"its machine refused {target.name}, after {step}{f': {why}' if why else ''}"
        self._violation(text, args, target.name)

    def _violation(self, text: str, got: Any, wanted: str) -> None:
        self.abort("Violation", text, Violation(text, got=got, expected=wanted))

    def cancelled(self, why: str) -> None:
        """It is to leave."""
        self.player.seat.trouble("Cancelled", why, None)
        self.player.close(Ending(self.player.role, ABORTED, why), Frame(Kind.BYE, data=why))

    def abort(self, kind: str, why: str, error: Exception | None) -> None:
        """End without an exit, and tell everybody why."""
        player = self.player
        if player.ended is not None:
            return
        player.halt()
        player.seat.trouble(kind, why, error)
        player.close(Ending(player.role, ABORTED, why, error), Frame(Kind.ERR, data=why))


def expected(state: LocalState, *, full: bool = False) -> str:
    """What may come in a state: `CheckHash.ok or CheckHash.failed from receiver`."""
    by_peer: dict[str, dict[str, None]] = {}
    for take in state.takes:
        label = f"{take.scene if full else named(take.scene)}.{take.label}"
        by_peer.setdefault(take.peer, {})[label] = None
    if not by_peer:
        return "nothing while it acts" if state.acts else "nothing more"
    return ", or ".join(f"{' or '.join(labels)} from {peer}" for peer, labels in by_peer.items())


@lru_cache(10_000)
def _ahead(machine: LocalMachine, name: str) -> frozenset[tuple[str, str, str, bool]]:
    """All that can be heard from a state on: from whom, scene, label, and whether that only informs."""
    found: set[tuple[str, str, str, bool]] = set()
    seen = {name}
    queue = [name]
    for at in queue:
        state = machine.by_name[at]
        found |= {(take.peer, take.scene, take.label, take.informs) for take in state.takes}
        steps: tuple[Take | Give, ...] = (*state.takes, *state.gives)
        for step in steps:
            if step.next not in seen:
                seen.add(step.next)
                queue.append(step.next)
    return frozenset(found)


def reason_of(closed: ChannelClosed) -> tuple[str, bool]:
    """Why a channel is closed, and whether the peer was through with its part."""
    return (closed.why, False) if closed.reason is None else _reason(closed.reason)


def _reason(frame: Frame) -> tuple[str, bool]:
    """Why a peer has gone, and whether it was through with its part."""
    if frame.kind != Kind.BYE:
        return str(frame.data), False
    return ("it had ended", True) if frame.data == DONE else (f"it left: {frame.data}", False)
