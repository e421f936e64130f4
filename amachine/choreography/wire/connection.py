"""One connection, and the sessions that share it: who opens which, which frame is whose, and what ends all of them at once.

It knows no socket: a pipe reads into its parser and takes what it writes. It never blocks on a session, and never trusts that
the other end is still there: silence for some beats is the end.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import anyio
import attrs

from amachine.choreography.playing.frames import Frame, Kind, plain
from amachine.choreography.wire import handshake
from amachine.choreography.wire.answers import Answer, Awaited
from amachine.choreography.wire.channel import CONTROL_LIMIT, WireChannel, read_control, said
from amachine.choreography.wire.codec import LIMIT
from amachine.choreography.wire.framing import KINDS, Head, Parser, pack
from amachine.choreography.wire.handshake import HELLO_LIMIT, HandshakeError, Hello, Resume, VersionMismatch
from amachine.choreography.wire.wiring import Played, Wiring, wiring_of
from amachine.errors import ProtocolError

if TYPE_CHECKING:
    from amachine.choreography.wire.terms import Terms

__all__ = ["Connection", "Door", "Pipe"]

MOST = 1024 * 1024
"""Bytes that are written for an end which does not read, beyond what the network takes, before it is given up."""

GRACE = 2.0
"""Seconds in which the other end may read what was said last, and close, too."""

_log = logging.getLogger("amachine")
_ENDS = (int(Kind.BYE), int(Kind.ERR))


class Pipe(Protocol):
    """What carries bytes: a transport on some event loop."""

    paused: bool
    """More was written than the network takes at the moment."""
    gone: anyio.Event
    """It is closed, in both directions."""
    address: str
    """Who is at the other end, for people."""

    def write(self, head: bytes, payload: bytes) -> None:
        """Send that, soon; it never waits."""
        ...

    def close(self) -> None:
        """Send what was written, then close. Twice is harmless."""
        ...

    def abort(self) -> None:
        """Close at once. Twice is harmless."""
        ...


class Door(Protocol):
    """Who decides about the sessions that the other end opens: says `accept` or `refuse` to the connection, at once or later."""

    def knocked(self, connection: Connection, number: int, hello: Hello, /) -> None:
        """Somebody wants to play."""
        ...


@attrs.define(eq=False)
class _Opening:
    """A session that one end has asked for."""

    wiring: Wiring
    mine: Hello
    answer: Answer
    differs: bool = False
    """Fingerprints differ: the other end is about to say how."""


class Connection:
    """One connection to another process, for any number of sessions. `connect` and listeners make them.

    `terms` are what this end grants and expects, `token` what it says to be let in, `door` decides about sessions that the
    other end opens; without one, all are refused.
    """

    def __init__(self, pipe: Pipe, terms: Terms, *, token: str = "", door: Door | None = None) -> None:
        self.terms = terms
        self.pipe = pipe
        self.parser: Parser = Parser(self._allowed, self._arrived)
        self.why: str | None = None
        """Why it is over; None while it is not."""
        self._token = token
        self._door = door
        self._channels: dict[int, WireChannel] = {}
        self._openings: dict[int, _Opening] = {}
        self._knocking: set[int] = set()
        self._last = 0
        self._longest = 0 if door else min(LIMIT, terms.limit or LIMIT)
        self._greeted = door is None
        """The other end has said who it is, or it is this end that has to."""
        self._news = anyio.Event()
        self._heard = self._spoke = False
        self._their_beat = 0.0
        self._unread = 0

    def __repr__(self) -> str:
        state = self.why or f"{len(self._channels)} sessions"
        return f"<Connection to {self.pipe.address}: {state}>"

    @property
    def address(self) -> str:
        """Who is at the other end: `host:port`, as this end sees it."""
        return self.pipe.address

    @property
    def sessions(self) -> tuple[str, ...]:
        """What is being played over it."""
        return tuple(channel.session for channel in self._channels.values())

    # Opening sessions.

    async def channel(
        self,
        choreography: Played,
        *,
        me: type | str,
        peer: type | str,
        session: str | None = None,
        resume: Resume | None = None,
    ) -> WireChannel:
        """Open a session with the other end, who plays `peer`. Without a name it gets one that nobody else has.

        With `resume`, this role comes back to a session that has lost it: the channel is then for `join(…, resume=…)`.
        Errors: `LookupError` for a role that is none; `VersionMismatch`, which names the first scene that differs;
        `HandshakeError` with what the other end said, or if it said nothing within `terms.patience`.
        """
        wiring = wiring_of(choreography)
        names = wiring.script.role_named(me), wiring.script.role_named(peer)
        mine = self.hello(wiring, *names, session or uuid4().hex, token=self._token, resume=resume)
        if mine.role == mine.to:
            raise HandshakeError(f"both ends play {mine.role}: one of them must play another role")
        if self.why is not None:
            raise HandshakeError(f"the connection to {self.address} is closed: {self.why}")
        if len(self._channels) + len(self._openings) >= self.terms.sessions:
            raise HandshakeError(
                f"{self.terms.sessions} sessions are open on this connection, no more are allowed"
            )
        waiting = Awaited()
        said_first = mine.encoded()
        self._last = number = self._last + 1
        self._openings[number] = _Opening(wiring, mine, waiting)
        self._write(Kind.HELLO, number, said_first)
        try:
            return await waiting.result(mine.to, self.terms.patience)
        except BaseException:
            self._openings.pop(number, None)
            self._write(Kind.BYE, number, said(Frame(Kind.BYE, data="cancelled")))
            raise

    def hello(
        self,
        wiring: Wiring,
        me: str,
        peer: str,
        session: str,
        *,
        token: str = "",
        resume: Resume | None = None,
    ) -> Hello:
        """What this end says of itself."""
        return Hello(
            fingerprint=wiring.fingerprint,
            session=session,
            role=me,
            to=peer,
            codec=wiring.codec.name,
            window=self.terms.window,
            limit=self.terms.limit or 0,
            beat=self.terms.beat,
            token=token,
            resume=resume,
        )

    def accept(
        self,
        number: int,
        theirs: Hello,
        wiring: Wiring,
        me: str,
        answer: Answer,
        *,
        resume: Resume | None = None,
    ) -> None:
        """Play that role with somebody who knocked. `answer` hears what came of it, now or a little later."""
        mine = self.hello(wiring, me, theirs.role, theirs.session, resume=resume)
        if theirs.fingerprint != wiring.fingerprint:
            self._knocking.discard(number)
            self._openings[number] = _Opening(wiring, mine, answer, differs=True)
            self._write(Kind.HELLO, number, handshake.told(mine, wiring).encoded())
            return
        why = handshake.second_refusal(theirs, wiring, me)
        if why is not None:
            self.refuse(number, why)
            answer.refused(HandshakeError(why))
            return
        self._write(Kind.HELLO, number, mine.encoded())
        answer.opened(self._open(number, wiring, mine, theirs))

    def refuse(self, number: int, why: str) -> None:
        """Do not play with somebody who knocked."""
        _log.info("%s was refused: %s", self.address, why)
        self._knocking.discard(number)
        self._write(Kind.ERR, number, said(Frame(Kind.ERR, data=why)))

    def _open(self, number: int, wiring: Wiring, mine: Hello, theirs: Hello) -> WireChannel:
        self._knocking.discard(number)
        self._their_beat = max(self._their_beat, theirs.beat)
        longest = max((branch.limit for branch in wiring.branches.values()), default=0)
        self._longest = max(self._longest, min(longest, self.terms.limit or longest))
        channel = WireChannel(self, number, wiring, mine=mine, theirs=theirs)
        self._channels[number] = channel
        return channel

    def _answered(self, number: int, opening: _Opening, kind: int, payload: memoryview) -> None:
        """The other end says what it thinks of a session that this end opened; or how it differs, of one that it opened."""
        if kind in _ENDS:
            answered = plain(read_control(payload)[0])
            del self._openings[number]
            opening.answer.refused(HandshakeError(f"{opening.mine.to} would not play: {answered}"))
            return
        if kind != Kind.HELLO:
            raise ProtocolError(f"{KINDS[kind].name} came before the answer to a HELLO", got=kind)
        theirs = handshake.read_hello(payload)
        del self._openings[number]  # not before: what cannot be read ends the waiting, too
        wiring, mine = opening.wiring, opening.mine
        if theirs.fingerprint != wiring.fingerprint:
            error = VersionMismatch(handshake.difference(theirs, wiring.script), peer=mine.to)
            if opening.differs:
                _log.info("%s was refused: %s", self.address, error)
            else:
                self._write(Kind.HELLO, number, handshake.told(mine, wiring).encoded())
            opening.answer.refused(error)
            return
        why = handshake.second_refusal(theirs, wiring, mine.role)
        if why is None and theirs.role != mine.to:
            why = f"{theirs.role} answered, {mine.to} was asked"
        if why is None:
            opening.answer.opened(self._open(number, wiring, mine, theirs))
        else:
            self.refuse(number, why)
            opening.answer.refused(HandshakeError(why))

    # What comes.

    def received(self, count: int) -> None:
        """The pipe has put so many bytes into the parser's space. What is no frame ends the connection."""
        self._heard = True
        if (
            self.why is None
        ):  # else it is only read, so that the other end is not reset while it reads what was said last
            try:
                self.parser.filled(count)
            except Exception as error:  # noqa: BLE001  # whoever listens may fail: that must not end other connections
                self._failed(error)

    def fed(self, data: bytes) -> None:
        """The pipe has read that by itself. As `received`."""
        self._heard = True
        if self.why is None:
            try:
                self.parser.feed(data)
            except Exception as error:  # noqa: BLE001  # as above
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ProtocolError):
            self.fail(str(error))
        else:
            _log.error(
                "what takes frames from %s has failed: its connection is closed", self.address, exc_info=error
            )
            self.fail("what takes frames has failed")

    def _allowed(self, head: Head) -> int:
        channel = self._channels.get(head[2])  # by number: by name it takes three times as long
        if channel is not None and head[1] in KINDS:
            return channel.allowed(head)
        if head.kind == Kind.HELLO:
            return HELLO_LIMIT
        if head.kind == Kind.MSG:
            # Of a session that is over: what was under way is dropped.
            return self._longest if self._greeted and 0 < head.session <= self._last else 0
        if head.kind in KINDS:
            beats = head.kind == Kind.BEAT and not head.session
            return 0 if beats or head.kind == Kind.INFORM else CONTROL_LIMIT
        raise ProtocolError(f"there is no frame of a kind {head.kind}", got=head.kind)

    def _arrived(self, head: Head, payload: memoryview) -> None:
        if self.why is not None:
            return
        channel = self._channels.get(head[2])
        if channel is not None:
            channel.arrived(head, payload)
        elif not head.session:
            self._addressed(head, payload)
        elif head.session in self._openings:
            self._answered(head.session, self._openings[head.session], head.kind, payload)
        elif head.kind == Kind.HELLO:
            self._knocked(head.session, payload)
        elif head.session > self._last or not self._greeted:
            raise ProtocolError(
                f"{KINDS[head.kind].name} came for a session that nobody has opened", got=head
            )
        elif head.session in self._knocking:
            if head.kind not in _ENDS:
                raise ProtocolError(f"{KINDS[head.kind].name} came before the answer to a HELLO", got=head)
            self._knocking.discard(head.session)  # whoever was to answer finds it gone

    def _addressed(self, head: Head, payload: memoryview) -> None:
        """A frame for the connection itself has come."""
        if head.kind in _ENDS:
            what = "closed the connection" if head.kind == Kind.BYE else "broke the connection off"
            self._end(f"the other end {what}: {plain(read_control(payload)[0])}")
            self.pipe.close()
        elif head.kind != Kind.BEAT:
            raise ProtocolError(f"{KINDS[head.kind].name} is not for a whole connection", got=head)

    def _knocked(self, number: int, payload: memoryview) -> None:
        hello = handshake.read_hello(payload)
        if self._door is None:
            raise ProtocolError("a HELLO came to an end that only opens sessions itself", got=hello.session)
        if number <= self._last:
            if number in self._knocking:
                raise ProtocolError(f"session {number} was opened twice", got=hello.session)
            return  # how it differs, said to somebody who has given up
        self._last = number
        self._greeted = True
        self._news.set()
        if len(self._channels) + len(self._knocking) + len(self._openings) >= self.terms.sessions:
            self.refuse(
                number, f"{self.terms.sessions} sessions are open on this connection, no more are allowed"
            )
            return
        self._knocking.add(number)
        self._door.knocked(self, number, hello)

    def knocks(self, number: int) -> bool:
        """Whether somebody still waits for an answer to that HELLO."""
        return number in self._knocking and self.why is None

    # What goes.

    @property
    def paused(self) -> bool:
        """More was written than the network takes at the moment."""
        return self.pipe.paused

    def write(self, head: bytes, payload: bytes) -> None:
        """Write a frame. It never waits."""
        self._spoke = True
        if self.pipe.paused and not self._may_wait(len(head) + len(payload)):
            return
        self.pipe.write(head, payload)

    def _may_wait(self, size: int) -> bool:
        """Whether one more frame is kept for an end that does not read. If not, it is given up, as soon as its pipe is closed."""
        self._unread += size
        if self._unread > MOST:
            self.pipe.abort()
        return self._unread <= MOST

    def _write(self, kind: Kind, number: int, payload: bytes) -> None:
        if self.why is None:
            self.write(pack(kind, number, len(payload)), payload)

    def resumed(self) -> None:
        """The network has room again."""
        self._unread = 0
        for channel in tuple(self._channels.values()):
            channel.roomy()

    def leave(self, number: int) -> None:
        """The session of that number is over."""
        self._channels.pop(number, None)

    # The end.

    async def watch(self) -> None:
        """Say that this end is there, and notice when the other is not. Ends with the connection."""
        terms = self.terms
        if not self._greeted:
            with anyio.move_on_after(terms.patience):
                await self._news.wait()
        if not self._greeted:
            self.fail(f"no HELLO came within {terms.patience:g} s")
        silent = 0.0
        while self.why is None:
            self._heard = self._spoke = False
            await anyio.sleep(terms.beat)
            if not self._spoke:
                self._write(Kind.BEAT, 0, b"")
            silent = 0.0 if self._heard else silent + terms.beat
            if silent >= terms.missed * max(terms.beat, self._their_beat) * (1 - 1e-9):
                self._end(f"nothing was heard of it for {silent:g} s")
                self.pipe.abort()

    def lost(self, why: str) -> None:
        """The pipe has come to its end."""
        self._end("it does not read what is said to it" if self._unread > MOST else why)

    def fail(self, why: str) -> None:
        """Tell the other end what it did, and close."""
        if self.why is None:
            self._write(Kind.ERR, 0, said(Frame(Kind.ERR, data=why)))
            self._end(why)
            self.pipe.close()

    def _end(self, why: str) -> None:
        if self.why is not None:
            return
        self.why = why
        self._news.set()
        for channel in tuple(self._channels.values()):
            channel.finish(None, why=why)
        openings, self._openings = self._openings, {}
        for opening in openings.values():
            opening.answer.refused(HandshakeError(f"{opening.mine.to} did not answer: {why}"))
        self._knocking.clear()

    async def aclose(self, why: str = "closed") -> None:
        """Say goodbye in every session, and close. Waits a little until the other end has read it."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(GRACE):
            for channel in tuple(self._channels.values()):
                channel.close(Frame(Kind.BYE, data="cancelled"))
            self._write(Kind.BYE, 0, said(Frame(Kind.BYE, data=why)))
            self._end("this end has closed it")
            self.pipe.close()
            await self.pipe.gone.wait()
        self.pipe.abort()
