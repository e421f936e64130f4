"""Where others connect to: who is let in, which session of whose is meant, and how many there may be. It plays nothing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio
import attrs

from amachine.choreography.wire.answers import Answer, Awaited
from amachine.choreography.wire.connection import Connection, Pipe
from amachine.choreography.wire.handshake import HandshakeError, Hello, Resume, first_refusal, second_refusal
from amachine.choreography.wire.wiring import Played, Wiring, wiring_of
from amachine.errors import nearest

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from amachine.choreography.wire.channel import WireChannel
    from amachine.choreography.wire.terms import Terms

__all__ = ["Expected", "Listener"]


@attrs.define(eq=False)
class Expected:
    """Somebody whom this end waits for."""

    wiring: Wiring
    me: str
    peer: str
    session: str | None
    """Its name; None for any: then whoever does not fit is refused, and the next one is waited for."""
    answer: Answer
    stays: bool = False
    """It waits on after somebody has come."""
    resume: Resume | None = None
    """This end says that it comes back to a session that has lost it."""

    def fits(self, hello: Hello) -> bool:
        """It is this role, of this session, who is called by that one."""
        return hello.to == self.me and hello.role == self.peer and self.session in {None, hello.session}


@attrs.define(eq=False)
class _Refusing:
    """The answer to one of many: whoever waits for any does not hear of those who were refused."""

    listener: Listener
    expected: Expected

    def opened(self, channel: WireChannel, /) -> None:
        self.expected.answer.opened(channel)
        self.listener.settle(self.expected, channel)

    def refused(self, error: HandshakeError, /) -> None:
        if self.expected.session is not None:
            self.expected.answer.refused(error)
            self.listener.settle(self.expected, None)


class Listener:
    """Accepts connections, and opens the sessions that are asked for. `listen` makes one.

    A peer that comes before this end waits for it is kept waiting for `terms.patience`; then it is told that nobody is here.
    """

    def __init__(self, group: TaskGroup, terms: Terms, *, token: str = "") -> None:
        self.terms = terms
        self.host = ""
        self.port = 0
        """Where it listens."""
        self.connections: list[Connection] = []
        self.group = group
        self._token = token
        self._closed = False
        self._greeting = 0
        self._expected: list[Expected] = []
        self._early: list[tuple[Connection, int, Hello]] = []
        self._playing: WeakValueDictionary[tuple[str, str, str], WireChannel] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<Listener on {self.host}:{self.port}: {len(self.connections)} connections>"

    async def channel(
        self,
        choreography: Played,
        *,
        me: type | str,
        peer: type | str,
        session: str | None = None,
        patience: float | None = None,
        resume: Resume | None = None,
    ) -> WireChannel:
        """Wait for a peer of that role, in the session of that name or in any, and open the session. `patience` in seconds.

        With `resume`, this role comes back to a session that has lost it: the channel is then for `join(…, resume=…)`.
        Errors: `LookupError` for a role that is none; `HandshakeError` if nobody came in time; for a session with a name,
        `VersionMismatch` if its peer has another script, or `HandshakeError` if it does not fit otherwise.
        """
        wiring = wiring_of(choreography)
        names = wiring.script.role_named(me), wiring.script.role_named(peer)
        if names[0] == names[1]:
            raise HandshakeError(f"both ends play {names[0]}: one of them must play another role")
        waiting = Awaited()
        expected = Expected(wiring, *names, session, waiting, resume=resume)
        self.expect(expected)
        try:
            return await waiting.result(names[1], patience)
        finally:
            self.settle(expected, None)

    def expect(self, expected: Expected) -> None:
        """From now on, wait for somebody."""
        self._expected.append(expected)
        for early in tuple(self._early):
            if early in self._early and expected in self._expected and expected.fits(early[2]):
                self._early.remove(early)
                self._let_in(*early, expected)

    def settle(self, expected: Expected, channel: WireChannel | None) -> None:
        """Somebody has come, or is not waited for any longer."""
        if channel is not None:
            self._playing[channel.session, channel.me, channel.peer] = channel
        if expected in self._expected and not (expected.stays and channel is not None):
            self._expected.remove(expected)

    async def aclose(self) -> None:
        """Say goodbye in all sessions, and close all connections. Who still connects is turned away."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as closing:
                for connection in self.connections:
                    closing.start_soon(connection.aclose)

    # What connections ask.

    @contextmanager
    def greeting(self) -> Generator[bool]:
        """Somebody has connected, and TLS is agreed upon: that counts as a connection. Yields whether there may be one more."""
        self._greeting += 1
        try:
            open_ = sum(each.why is None for each in self.connections)
            yield not self._closed and self._greeting + open_ <= self.terms.connections
        finally:
            self._greeting -= 1

    def made(self, pipe: Pipe) -> Connection:
        """Somebody has connected."""
        connection = Connection(pipe, self.terms, door=self)
        if self._closed:
            connection.lost("the listener was closed")
            pipe.abort()
            return connection
        self.connections = [each for each in self.connections if each.why is None]
        if len(self.connections) >= self.terms.connections:
            connection.fail(f"{self.terms.connections} connections are open, no more are allowed")
        else:
            self.connections.append(connection)
            self.group.start_soon(connection.watch)
        return connection

    def knocked(self, connection: Connection, number: int, hello: Hello, /) -> None:
        """Somebody wants to play."""
        why = first_refusal(hello, self._token)
        if why is not None:
            connection.refuse(number, why)
            connection.fail(why)  # a stranger keeps no connection
            return
        why = self._taken(hello)
        if why is not None:
            connection.refuse(number, why)
            return
        for expected in self._expected:
            if expected.fits(hello):
                self._let_in(connection, number, hello, expected)
                return
        why = self._misfit(hello)
        if why is None and len(self._early) >= self.terms.sessions:
            why = f"{len(self._early)} sessions wait here for somebody, come back later"
        if why is not None:
            connection.refuse(number, why)
            return
        early = connection, number, hello
        self._early.append(early)
        self.group.start_soon(self._keep_waiting, early)

    def _let_in(self, connection: Connection, number: int, hello: Hello, expected: Expected) -> None:
        if connection.knocks(number):
            answer = _Refusing(self, expected)
            before = self._playing.get((hello.session, hello.to, hello.role))
            same = hello.fingerprint == expected.wiring.fingerprint
            if before is not None and same and second_refusal(hello, expected.wiring, expected.me) is None:
                # Who comes back knows better than this end that it was gone.
                before.finish(None, why=f"{hello.role} has come back over another connection")
            connection.accept(number, hello, expected.wiring, expected.me, answer, resume=expected.resume)

    def _taken(self, hello: Hello) -> str | None:
        playing = self._playing.get((hello.session, hello.to, hello.role))
        if playing is None or playing.closed:
            return None
        regions = playing.wiring.script.regions.values()
        if hello.resume is not None and any(region.restart for region in regions):
            return None
        return f"{hello.role} of session {hello.session!r} is here already"

    def _misfit(self, hello: Hello) -> str | None:
        """Why nobody here will ever wait for that one, as far as can be told; None if it had better wait a while."""
        for expected in self._expected:
            same = expected.wiring.fingerprint == hello.fingerprint
            if same and (expected.session == hello.session or expected.stays):
                why = second_refusal(hello, expected.wiring, expected.me)
                if why is not None:
                    return why
        return None

    async def _keep_waiting(self, early: tuple[Connection, int, Hello]) -> None:
        await anyio.sleep(self.terms.patience)
        if early in self._early:
            self._early.remove(early)
            connection, number, hello = early
            if connection.knocks(number):
                names = [each.session for each in self._expected if each.session is not None]
                text = f"nobody waits here for {hello.role} in a session {hello.session!r}"
                connection.refuse(number, text + nearest(hello.session, names))
