"""One session's way to one peer over a connection that it shares with others: a channel with a bounded inbox.

A session that is not taken up fills its own inbox and nothing else: the other end may send only what it was granted, and is
granted more when some of it was taken. It never waits in the middle of somebody else's frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio
import msgspec

from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind, plain
from amachine.choreography.wire.codec import Unreadable, Unsendable
from amachine.choreography.wire.framing import KINDS, Head, pack, unwrapped
from amachine.errors import ProtocolError

if TYPE_CHECKING:
    from amachine.choreography.wire.handshake import Hello, Resume
    from amachine.choreography.wire.wiring import Branch, Wiring

__all__ = ["CONTROL_LIMIT", "Line", "WireChannel", "read_control", "said"]

CONTROL_LIMIT = 64 * 1024
"""The most bytes of what BYE, ERR, LOST and CREDIT say."""

SENTENCE = 4000
"""The most characters of a sentence that travels in a BYE or an ERR."""

FREE_AT_ONCE = 256
"""The most frames that need no credit, and wait in an inbox."""

SLOW = 0.1
"""Seconds after which a peer that waits for credit gets what there is: it shall see that something is taken."""

NO_LIMIT = 0xFFFF_FFFF

PAGE = 16
"""A frame counts once more for every 2 ** 16 bytes of its payload."""

_MSG, _INFORM, _CREDIT = int(Kind.MSG), int(Kind.INFORM), int(Kind.CREDIT)
_ENDS = (int(Kind.BYE), int(Kind.ERR))
_FREE = (int(Kind.LOST), int(Kind.BEAT))
_A_MSG, _AN_INFORM = Kind.MSG, Kind.INFORM
_HALF = 0x8000_0000
_new = cast("Callable[[type[Frame], tuple[Any, ...]], Frame]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Any, str, str], strict=True).decode


class Line(Protocol):
    """What a channel needs of its connection."""

    @property
    def address(self) -> str:
        """Who is at the other end, for people."""
        ...

    @property
    def paused(self) -> bool:
        """The network is slower than what was written: what can wait should."""
        ...

    def write(self, head: bytes, payload: bytes) -> None:
        """Write a frame. It never waits."""
        ...

    def leave(self, number: int) -> None:
        """The session of that number is over: what still comes for it is dropped."""
        ...


def said(frame: Frame) -> bytes:
    """What a control frame says, as bytes. Sentences that go on and on are cut."""
    data = frame.data
    if isinstance(data, str):
        data = data.encode(errors="replace").decode()[:SENTENCE]
    try:
        payload = _encode((data, frame.scene, frame.label))
    except Exception as error:
        raise Unsendable(f"what {frame.kind.name} says cannot be encoded: {error}") from error
    if len(payload) > CONTROL_LIMIT:
        raise Unsendable(
            f"what {frame.kind.name} says takes {len(payload)} bytes, {CONTROL_LIMIT} are allowed"
        )
    return payload


def read_control(payload: memoryview) -> tuple[Any, str, str]:
    """What a control frame says: data, scene, label. Errors: `Unreadable`."""
    try:
        return _decode(payload)
    except Exception as error:
        raise Unreadable(f"a control frame cannot be read: {error}") from error


class WireChannel:
    """A channel over a connection. Frames are pulled by `receive`, or pushed after `listen`."""

    def __init__(self, line: Line, number: int, wiring: Wiring, *, mine: Hello, theirs: Hello) -> None:
        self.me: str = mine.role
        self.peer: str = theirs.role
        self.session: str = mine.session
        self.number = number
        """Of the session on its connection."""
        self.resumed: Resume | None = theirs.resume
        """Where the peer stood, if it says that it comes back."""
        self.wiring = wiring
        self._line = line
        self._branches = wiring.branches
        self._by_number = wiring.by_number
        self._mine_most, self._their_most = mine.limit or NO_LIMIT, theirs.limit or NO_LIMIT
        self._window = mine.window
        self._granted = mine.window
        self._due = 0
        self._shown_at = 0.0
        self._credit = theirs.window
        self._most_credit = theirs.window
        self._epoch = self._last_seq = self._last_lamport = 0
        self._inbox: deque[tuple[Frame, int]] = deque()
        self._free = 0
        self._over: ChannelClosed | None = None
        self._cause: Exception | None = None
        self._deliver: Callable[[Frame], object] | None = None
        self._lost: Callable[[ChannelClosed], object] | None = None
        self._news: anyio.Event | None = None
        self._room: anyio.Event | None = None
        self._turn = anyio.Lock()
        self._senders = 0
        """Who waits to send: others have to wait behind them."""

    def __repr__(self) -> str:
        state = "open" if self._over is None else self._over.why
        return f"<WireChannel {self.session}: {self.me} to {self.peer}, {state}>"

    @property
    def address(self) -> str:
        """Where the peer is: `host:port`, as this end sees it."""
        return self._line.address

    # Sending.

    def try_send(self, frame: Frame) -> bool:
        """Send at once if there is room. Errors: `ChannelClosed`; `Unsendable`, and then nothing was sent."""
        return not self._senders and self._send(frame)

    async def send(self, frame: Frame) -> None:
        """Send, waiting for room: until the peer has taken some, and the network too. Errors: as `try_send`."""
        if self.try_send(frame):
            return
        self._senders += 1
        try:
            async with self._turn:
                while not self._send(frame):
                    self._room = self._room or anyio.Event()
                    await self._room.wait()
        finally:
            self._senders -= 1

    def _send(self, frame: Frame) -> bool:
        if self._over is not None:
            raise self._closed()
        kind, scene, label, data, epoch, seq, lamport = frame  # at once: by name it takes three times as long
        if kind is not _A_MSG and kind is not _AN_INFORM:
            self._control(frame)
            return True
        if self._credit <= 0 or self._line.paused:
            return False
        branch = self._branches.get((scene, label))
        if branch is None:
            text = f"{self.wiring.script.name} has no such branch"
            raise Unsendable(text, scene=scene, label=label)
        payload = self._encoded(branch, data) if kind is _A_MSG else b""
        size = len(payload)
        self._credit -= 1 + (size >> PAGE)
        at, number = branch.at
        self._line.write(pack(kind, self.number, size, epoch, seq, lamport, at, number), payload)
        return True

    def _encoded(self, branch: Branch, data: Any) -> bytes:
        try:
            payload = branch.encode(data)
        except Exception as error:
            text = f"its payload cannot be encoded: {str(error) or type(error).__name__}"
            raise Unsendable(text, scene=branch.scene, label=branch.label) from error
        size = len(payload)
        if size > branch.limit or size > self._their_most:
            text = f"its payload takes {size} bytes, {min(branch.limit, self._their_most)} are allowed"
            raise Unsendable(text, scene=branch.scene, label=branch.label)
        return payload

    def _control(self, frame: Frame) -> None:
        payload = said(frame)
        head = pack(frame.kind, self.number, len(payload), frame.epoch, frame.seq, frame.lamport)
        self._line.write(head, payload)

    def roomy(self) -> None:
        """The network has room again, or the peer has taken something."""
        if self._room is not None:
            self._room.set()
            self._room = None

    # Receiving.

    async def receive(self) -> Frame:
        """The next frame. Errors, after all that came before was received: `ProtocolError` for a bad one, `ChannelClosed`."""
        while not self._inbox:
            if self._over is not None:
                raise self._cause or self._closed()
            self._news = self._news or anyio.Event()
            await self._news.wait()
        frame, cost = self._inbox.popleft()
        self._taken(cost)
        return frame

    def listen(self, deliver: Callable[[Frame], object], lost: Callable[[ChannelClosed], object]) -> None:
        """Have frames pushed: `deliver` gets each, in order, and `lost`, once, why no more will come; a bad frame is its cause.

        A frame for which `deliver` returns False was not taken: it waits, with all that follow, until `go_on` is called.
        """
        self._deliver, self._lost = deliver, lost
        self.go_on()

    def go_on(self) -> None:
        """Push what waits, for there is room again."""
        deliver, inbox = self._deliver, self._inbox
        while inbox and deliver is not None:
            frame, cost = inbox[0]
            if deliver(frame) is False:
                return
            if not inbox:
                return  # it was closed by that frame
            inbox.popleft()
            self._taken(cost)
        self._tell_lost()

    def _tell_lost(self) -> None:
        if self._over is not None and not self._inbox and self._lost is not None:
            lost, self._lost = self._lost, None
            lost(self._closed())

    def _taken(self, cost: int) -> None:
        if not cost:
            self._free -= 1
            return
        self._due += cost
        if self._over is None and (2 * self._due >= self._window or (self._granted <= 0 and self._is_slow())):
            due, self._due = self._due, 0
            self._granted += due
            payload = _encode((due, "", ""))
            self._line.write(pack(_CREDIT, self.number, len(payload)), payload)

    def _is_slow(self) -> bool:
        """Whether the peer, who has no credit left, has seen nothing taken for some time."""
        now = anyio.current_time()
        slow = now >= self._shown_at + SLOW
        if slow:
            self._shown_at = now
        return slow

    def allowed(self, head: Head) -> int:
        """How many bytes may follow such a head. Errors: `ProtocolError`."""
        if head[1] != _MSG:
            return 0 if head[1] == _INFORM else CONTROL_LIMIT
        branch = self._by_number.get(head[6:])
        if branch is None:
            script = self.wiring.script.name
            raise ProtocolError(f"{script} has no branch {head.branch} of a scene {head.scene}", got=head)
        return min(branch.limit, self._mine_most)

    def arrived(self, head: Head, payload: memoryview) -> None:
        """A frame for this session has come. What is wrong with it ends this session, and no other."""
        try:
            if head[1] == _MSG or head[1] == _INFORM:
                self._played(head, payload)
            else:
                self._controlled(head, payload)
        except ProtocolError as error:
            self.fail(error)

    def _played(self, head: Head, payload: memoryview) -> None:
        _, kind, _, epoch, seq, lamport, scene, number = head
        branch = self._by_number.get((scene, number))
        if branch is None:
            raise ProtocolError(
                f"{self.wiring.script.name} has no branch {number} of a scene {scene}", got=head
            )
        if self._granted <= 0:
            raise ProtocolError(f"{self.peer} sent more than it was granted", got=head)
        data = None
        if kind == _MSG:
            try:
                data = branch.decode(payload)
            except Exception as error:
                text = f"{branch.scene}.{branch.label} from {self.peer} cannot be decoded: {error}"
                raise Unreadable(plain(text, SENTENCE)) from error
        cost = 1 + (len(payload) >> PAGE)
        self._granted -= cost
        if epoch != self._epoch:
            self._epoch, self._last_seq = epoch, 0  # numbers begin anew
        if seq != self._last_seq + 1:
            seq = unwrapped(seq, self._last_seq)
        if not self._last_lamport <= lamport < _HALF:
            lamport = unwrapped(lamport, self._last_lamport)
        self._last_seq, self._last_lamport = seq, lamport
        frame = _new(Frame, (KINDS[kind], branch.scene, branch.label, data, epoch, seq, lamport))
        if self._deliver is not None and not self._inbox and self._deliver(frame) is not False:
            self._taken(cost)
        else:
            self._wait(frame, cost)

    def _controlled(self, head: Head, payload: memoryview) -> None:
        kind = head.kind
        data, scene, label = read_control(payload)
        if kind == _CREDIT:
            if type(data) is not int or not 0 < data <= self._most_credit + 0x1_0000:
                raise ProtocolError(f"{self.peer} grants {data!r:.40}", got=data)
            self._credit += data
            self.roomy()
            return
        frame = Frame(KINDS[kind], scene, label, data, head.epoch, head.seq, head.lamport)
        if kind in _ENDS:
            self.finish(frame._replace(data=plain(data, SENTENCE)))
        elif kind not in _FREE:
            raise ProtocolError(f"{self.peer} sent {KINDS[kind].name} in the middle of a session", got=head)
        elif self._deliver is not None:
            self._deliver(frame)  # it overtakes what has no room: while a loss is settled, nobody takes that
        elif self._free >= FREE_AT_ONCE:
            raise ProtocolError(
                f"{self.peer} sent {self._free} LOST or BEAT frames that nobody took", got=head
            )
        else:
            self._free += 1
            self._wait(frame, 0)

    def _wait(self, frame: Frame, cost: int) -> None:
        """Keep it until somebody takes it."""
        self._inbox.append((frame, cost))
        if self._news is not None:
            self._news.set()
            self._news = None

    # The end.

    @property
    def closed(self) -> bool:
        """No more frames will come or go; some that came may still wait."""
        return self._over is not None

    async def aclose(self, reason: Frame) -> None:
        """Say goodbye, with a BYE or an ERR, and close this end. What has come and was not taken is dropped."""
        self.close(reason)

    def close(self, reason: Frame) -> None:
        """As `aclose`: it need not wait."""
        self._inbox.clear()
        if self._over is None:
            try:
                self._control(reason)
            finally:
                self.finish(None, why="this end has closed it")

    def fail(self, error: ProtocolError) -> None:
        """Refuse what the peer did: tell it, and end this session."""
        if self._over is None:
            self._control(Frame(Kind.ERR, data=str(error)))
            self.finish(None, why=str(error), cause=error)

    def finish(self, reason: Frame | None, *, why: str = "", cause: Exception | None = None) -> None:
        """No more will come: because of that frame of the peer's, or because of that."""
        if self._over is not None:
            return
        self._over = ChannelClosed(self.peer, reason, why=why)
        self._cause = cause
        self._line.leave(self.number)
        self.roomy()
        if self._news is not None:
            self._news.set()
            self._news = None
        self._tell_lost()

    def _closed(self) -> ChannelClosed:
        """What to raise: a new one each time, so that tracebacks do not pile up."""
        over = self._over or ChannelClosed(self.peer)
        closed = ChannelClosed(over.peer, over.reason, why=over.why)
        closed.__cause__ = self._cause
        return closed
