"""A server: one role, played with everybody who comes, many sessions at once. It accepts and joins; players play."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from inspect import isawaitable, signature
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

import anyio
import attrs

from amachine.choreography.options import Engine, see_options
from amachine.choreography.playing.agreement import company
from amachine.choreography.playing.doing import failure_of
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.frames import Frame, Kind
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.seat import ABORTED
from amachine.choreography.playing.watching import tracers_of
from amachine.choreography.wire.listening import Expected, Listener
from amachine.choreography.wire.opening import TERMS, Transport, listen, tasks
from amachine.choreography.wire.wiring import wiring_of
from amachine.errors import nearest

if TYPE_CHECKING:
    import ssl

    from anyio.abc import TaskGroup

    from amachine.choreography.playing.play import Playable
    from amachine.choreography.wire.channel import WireChannel
    from amachine.choreography.wire.handshake import HandshakeError
    from amachine.choreography.wire.terms import Terms
    from amachine.tracers.base import Tracer

__all__ = ["Caller", "MakeContext", "Server", "serve", "serving"]

_log = logging.getLogger("amachine")


@attrs.frozen
class Caller:
    """Who has come: what a context can be made for."""

    session: str
    """The name that the others have given the session."""
    addresses: Mapping[str, str]
    """By role, where it has connected from: `host:port`."""


MakeContext: TypeAlias = Callable[[Caller], Any | Awaitable[Any]]


class Server:
    """Plays one role in every session for which all others have come."""

    def __init__(
        self,
        listener: Listener,
        choreography: Playable,
        role: str,
        make_context: MakeContext,
        options: Options,
    ) -> None:
        _see(role, make_context, options)
        self.listener = listener
        self.group: TaskGroup
        """Where sessions run."""
        self.choreography = choreography
        self.role = role
        self.playing: dict[str, Joined] = {}
        """What is being played, by the name of the session."""
        self.served: int = 0
        """How many sessions have ended."""
        self._make_context = make_context
        self._at_once = options.get("at_once", 1000)
        self._on_end = options.get("on_end")
        self._engine: Engine = options.get("engine", "table")
        self._tracers = tracers_of(options.get("tracers", ()))
        self._patience = options.get("patience")
        self._arriving: dict[str, dict[str, WireChannel]] = {}
        self._busy: set[str] = set()
        self._idle = anyio.Event()
        self._restarts = any(region.restart for region in choreography.script.regions.values())
        self._back: dict[tuple[str, str], WireChannel] = {}
        """By session and role: who has come back to a session that may have lost it."""
        self._news = anyio.Event()
        needed = company(choreography.script, role, restarts=self._restarts)
        self._peers = tuple(dict.fromkeys((*choreography.tables[role].machine.peers, *needed)))
        self._doors = [
            Expected(wiring_of(choreography), role, peer, None, self, stays=True) for peer in self._peers
        ]
        for door in self._doors:
            listener.expect(door)

    def __repr__(self) -> str:
        return f"<Server of {self.role} on {self.host}:{self.port}: {len(self.playing)} sessions, {self.served} served>"

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self.listener.host

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.listener.port

    # Who comes.

    def opened(self, channel: WireChannel, /) -> None:
        """One of the others is here."""
        session = channel.session
        if channel.resumed is not None:
            self._came_back(channel)
            return
        if session not in self._arriving and len(self._busy) + len(self._arriving) >= self._at_once:
            channel.close(
                Frame(Kind.ERR, data=f"{self._at_once} sessions are being played here, come back later")
            )
            return
        if session in self._busy:
            channel.close(Frame(Kind.ERR, data=f"session {session!r} is being played already"))
            return
        arrived = self._arriving.setdefault(session, {})
        arrived[channel.peer] = channel
        if len(arrived) == len(self._peers):
            del self._arriving[session]
            self._busy.add(session)
            self.group.start_soon(self._play, session, arrived)
        elif len(arrived) == 1:
            self.group.start_soon(self._give_up, session, arrived)

    def _came_back(self, channel: WireChannel) -> None:
        session = channel.session
        if session not in self._busy or not self._restarts:
            channel.close(
                Frame(Kind.ERR, data=f"no session {session!r} is being played here that could go back")
            )
            return
        before = self._back.pop((session, channel.peer), None)
        if before is not None:
            before.close(Frame(Kind.ERR, data=f"{channel.peer} has come back once more"))
        self._back[session, channel.peer] = channel
        self._news.set()
        self._news = anyio.Event()

    async def _again(self, session: str, role: str) -> WireChannel:
        """A lost role of that session, when it has come back."""
        while (session, role) not in self._back:
            await self._news.wait()
        return self._back.pop((session, role))

    def refused(self, error: HandshakeError, /) -> None:
        """Somebody did not fit, and has been told so."""

    async def _give_up(self, session: str, arrived: dict[str, WireChannel]) -> None:
        """Send those home whose session never came together."""
        await anyio.sleep(self.listener.terms.patience)
        if self._arriving.get(session) is arrived:
            del self._arriving[session]
            missing = " and ".join(peer for peer in self._peers if peer not in arrived)
            why = f"{missing} did not come to session {session!r}"
            _log.info(
                "%s, of %s", why, ", ".join(f"{each.peer} at {each.address}" for each in arrived.values())
            )
            for channel in arrived.values():
                channel.close(Frame(Kind.ERR, data=why))

    # What is played.

    async def _play(self, session: str, channels: dict[str, WireChannel]) -> None:
        caller = Caller(session, {peer: channel.address for peer, channel in channels.items()})
        ending = Ending(self.role, ABORTED, "the server was closed")
        try:
            try:
                made = self._make_context(caller)
                context = await made if isawaitable(made) else made
                joined = Joined(
                    self.choreography,
                    self.role,
                    context,
                    channels,
                    engine=self._engine,
                    tracers=self._tracers,
                    patience=self._patience,
                    session=session,
                    again=partial(self._again, session) if self._restarts else None,
                )
            except BaseException as error:  # it is the user's function: this session ends, others go on
                failure = failure_of(error)
                if failure is None:
                    raise
                why = f"no context for {self.role} could be made: {failure}"
                ending = Ending(self.role, ABORTED, why, failure)
                _log.error("session %r: %s", session, why, exc_info=failure)
                for channel in channels.values():
                    channel.close(Frame(Kind.ERR, data=f"{self.role} cannot play"))
                return
            async with joined:
                self.playing[session] = joined
                ending = await joined.ended()
        except Exception as error:  # noqa: BLE001  # whatever it was: this session ends, others go on
            ending = Ending(self.role, ABORTED, f"the session has failed: {error}", error)
            _log.exception("session %r has failed", session)
        finally:
            left = [self._back.pop((session, peer)) for peer in self._peers if (session, peer) in self._back]
            for channel in (*channels.values(), *left):
                channel.close(Frame(Kind.BYE, data="cancelled"))
            self.playing.pop(session, None)
            self._busy.discard(session)
            self.served += 1
            if not self._busy:
                self._idle.set()
                self._idle = anyio.Event()
            if self._on_end is not None:
                try:
                    told = self._on_end(caller, ending)
                    if isawaitable(told):
                        await told
                except BaseException as error:  # it is the user's function: others go on
                    if failure_of(error) is None:
                        raise
                    _log.exception("on_end failed for session %r", session)

    def close(self) -> None:
        """Let nobody in any more. What is being played goes on."""
        for door in self._doors:
            self.listener.settle(door, None)

    async def drain(self) -> None:
        """Let nobody in any more, and wait until what is being played has ended."""
        self.close()
        while self._busy:
            await self._idle.wait()


@asynccontextmanager
async def serve(
    choreography: Playable,
    role: type | str,
    make_context: MakeContext,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    token: str = "",
    tls: ssl.SSLContext | None = None,
    terms: Terms = TERMS,
    transport: Transport = "auto",
    **options: Unpack[Options],
) -> AsyncGenerator[Server]:
    """Play one role with everybody who comes, until this is left; many sessions at once.

    `make_context` makes what the role's functions get, for each session: it is called with a `Caller`, and may be a coroutine
    function. `at_once` is how many sessions there may be. `on_end` is called with the caller and the `Ending` of each, and may be
    a coroutine function: what goes wrong in one session ends that one only, and is told there. Who was not let in, and sessions
    to which somebody did not come, are logged as information. Who comes back to a session with `resume`, where a region starts
    again, is let in again. `engine`, `tracers` and `patience` are as those of `join`, all
    others as those of `listen`. `await server.drain()` lets nobody in any more, and waits for those who play.
    """
    async with (
        listen(port=port, host=host, token=token, tls=tls, terms=terms, transport=transport) as listener,
        serving(listener, choreography, role, make_context, **options) as server,
    ):
        yield server


class Options(TypedDict, total=False):
    """How sessions are served."""

    at_once: int
    on_end: Callable[[Caller, Ending], object | Awaitable[object]] | None
    engine: Engine
    tracers: Iterable[Tracer]
    patience: float | None


def _see(role: str, make_context: Any, options: Options) -> None:
    """Errors: `TypeError` and `ValueError`, for what could only fail in every session."""
    for each in options:
        if each not in Options.__annotations__:
            raise TypeError(f"serve has no option {each}{nearest(each, Options.__annotations__)}")
    see_options(patience=options.get("patience"), engine=options.get("engine", "table"))
    mend = f"give it what makes one for each session: lambda caller: {role}()"
    if not callable(make_context):
        raise TypeError(
            f"{role} is played with an object of its own in every session, not with {make_context!r}: {mend}"
        )
    try:
        takes = signature(make_context)
    except (TypeError, ValueError):
        return  # of something built in, nobody knows
    try:
        takes.bind(Caller("", {}))
    except TypeError as error:
        raise TypeError(f"{make_context!r} cannot be called with a Caller ({error}): {mend}") from None


@asynccontextmanager
async def serving(
    listener: Listener,
    choreography: Playable,
    role: type | str,
    make_context: MakeContext,
    **options: Unpack[Options],
) -> AsyncGenerator[Server]:
    """As `serve`, with everybody who connects to a listener: one may serve several choreographies, and several roles."""
    name = choreography.script.role_named(role)
    server = Server(listener, choreography, name, make_context, options)
    async with tasks() as server.group:
        try:
            yield server
        finally:
            server.close()
