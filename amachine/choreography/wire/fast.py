"""The pipe for asyncio: a protocol that reads straight into the parser, and writes at once what belongs together.

Frames that are written while frames arrive go out in one call when those are done; others, at the loop's next turn. Only
asyncio has it; nothing above knows whether a connection has this pipe or the portable one.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.abc import SocketAttribute

if TYPE_CHECKING:
    import socket
    import ssl

    from amachine.choreography.wire.connection import Connection
    from amachine.choreography.wire.listening import Listener

__all__ = ["FastPipe", "dial", "listening"]

AT_ONCE = 32 * 1024
"""Bytes from which on a payload is written by itself, not copied behind what came before it."""

HIGH = 256 * 1024
"""Bytes that wait for the network, from which on sessions wait, too."""

GRACE = 2.0
"""Seconds for the other end to read the rest, and close."""

PAUSE = 1.0
"""Seconds until connections are accepted again, when that has failed."""

_log = logging.getLogger("amachine")


class FastPipe(asyncio.BufferedProtocol):
    """A pipe, as `Connection` needs it. `made` is called with it once it is connected."""

    def __init__(self, made: Callable[[FastPipe], Connection]) -> None:
        self.paused: bool = False
        self.gone: anyio.Event = anyio.Event()
        self.address: str = "?"
        self._made = made
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._size = 0
        self._gathering = False
        """Somebody will flush."""
        self._closing: asyncio.TimerHandle | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH)
        self.address = address_of(transport.get_extra_info("peername"))
        self.connection: Connection = self._made(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # it never knows better
        """Where the next bytes go."""
        return self.connection.parser.space()

    def buffer_updated(self, nbytes: int) -> None:
        """They are there."""
        if self._gathering:
            self.connection.received(nbytes)
            return
        self._gathering = True
        try:
            self.connection.received(nbytes)
        finally:
            self._flush()

    def eof_received(self) -> None:
        """The other end will say no more: it is closed when what was written is sent."""
        self.connection.lost("the other end is gone, without a word")
        self._flush()
        self._give_up_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self.connection.lost(f"the connection broke: {exc}" if exc else "the connection was closed")
        if self._closing is not None:
            self._closing.cancel()
        self._out.clear()
        self.gone.set()

    def pause_writing(self) -> None:
        """The network is slower than this end."""
        self.paused = True

    def resume_writing(self) -> None:
        """The network has caught up."""
        self.paused = False
        self.connection.resumed()

    # What the connection calls.

    def write(self, head: bytes, payload: bytes) -> None:
        """Send that, together with what else is written now."""
        out = self._out
        out.append(head)
        if payload:
            out.append(payload)
            self._size += len(payload)
            if self._size >= AT_ONCE:
                self._send()
                return
        if not self._gathering:
            self._gathering = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._gathering = False
        if self._out:
            self._send()

    def _send(self) -> None:
        out, self._out, self._size = self._out, [], 0
        if len(out[-1]) >= AT_ONCE:
            self._transport.write(b"".join(out[:-1]))
            self._transport.write(out[-1])
        else:
            self._transport.write(b"".join(out))

    def close(self) -> None:
        """Send what was written, and close when the other end has, or after a little while."""
        if self._closing is not None or self.gone.is_set():
            return
        self._flush()
        self._give_up_later()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _give_up_later(self) -> None:
        if self._closing is None:
            self._closing = self._loop.call_later(GRACE, self.abort)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


@contextmanager
def _known() -> Generator[None]:
    """What asyncio calls by itself, in no task, inherits from here on what it runs on: anyio could not find out there."""
    sniffio = sys.modules.get("sniffio")
    if sniffio is None:
        yield  # this anyio asks asyncio
        return
    token = sniffio.current_async_library_cvar.set("asyncio")
    try:
        yield
    finally:
        sniffio.current_async_library_cvar.reset(token)


def address_of(name: Any) -> str:
    """A socket's name, for people."""
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or "?")


async def dial(
    host: str,
    port: int,
    made: Callable[[FastPipe], Connection],
    *,
    tls: ssl.SSLContext | None,
    hostname: str | None,
) -> Connection:
    """Connect. Errors: `OSError`."""
    loop = asyncio.get_running_loop()
    name = (hostname or host) if tls is not None else None
    with _known():
        _, pipe = await loop.create_connection(
            lambda: FastPipe(made), host, port, ssl=tls, server_hostname=name
        )
    return pipe.connection


@asynccontextmanager
async def listening(
    host: str,
    port: int,
    listener: Listener,
    *,
    tls: ssl.SSLContext | None,
) -> AsyncGenerator[int]:
    """Accept connections. Yields the port. Errors: `OSError`."""
    if tls is not None:
        async with _listening_securely(host, port, listener, tls) as at:
            yield at
        return
    with _known():
        server = await asyncio.get_running_loop().create_server(lambda: FastPipe(listener.made), host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def _listening_securely(
    host: str, port: int, listener: Listener, tls: ssl.SSLContext
) -> AsyncGenerator[int]:
    """As above. asyncio's own server would not say who is still agreeing upon TLS."""
    sockets = await anyio.create_tcp_listener(local_host=host, local_port=port)
    async with sockets:
        scope = anyio.CancelScope()
        for each in sockets.listeners:
            bound = each.extra(SocketAttribute.raw_socket)  # noqa: S610  # no database here
            listener.group.start_soon(_accept, scope, bound, listener, tls)
        try:
            yield sockets.extra(SocketAttribute.local_port)  # noqa: S610  # as above
        finally:
            scope.cancel()


async def _accept(
    scope: anyio.CancelScope, bound: socket.socket, listener: Listener, tls: ssl.SSLContext
) -> None:
    loop = asyncio.get_running_loop()
    with scope:
        while True:
            try:
                accepted, _ = await loop.sock_accept(bound)
            except OSError as error:  # there is no room for one more: those who are here play on
                _log.error("no connection could be accepted: %s", error)
                await anyio.sleep(PAUSE)
            else:
                listener.group.start_soon(_greet, accepted, listener, tls)


async def _greet(accepted: socket.socket, listener: Listener, tls: ssl.SSLContext) -> None:
    """Agree upon TLS with somebody, if there is room for one more."""
    loop = asyncio.get_running_loop()
    with listener.greeting() as has_room:
        if not has_room:
            accepted.close()
            return
        with suppress(OSError), _known():  # who does not speak TLS is dropped
            await loop.connect_accepted_socket(
                lambda: FastPipe(listener.made),
                accepted,
                ssl=tls,
                ssl_handshake_timeout=listener.terms.patience,
            )
