"""The portable pipe: any byte stream of anyio, on asyncio and trio. It reads, and writes what has gathered meanwhile."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup
from anyio.streams.tls import TLSStream

if TYPE_CHECKING:
    from amachine.choreography.wire.connection import Connection
    from amachine.choreography.wire.listening import Listener

__all__ = ["StreamPipe", "dial", "listening"]

HIGH = 256 * 1024
"""Bytes that wait for the network, from which on sessions wait, too."""

GRACE = 2.0
"""Seconds for the other end to read the rest, and close."""

PAUSE = 1.0
"""Seconds until connections are accepted again, when that has failed."""

_log = logging.getLogger("amachine")
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError, ssl.SSLError)


class StreamPipe:
    """A pipe, as `Connection` needs it. `run` does the work."""

    def __init__(self, stream: ByteStream) -> None:
        self.paused: bool = False
        self.gone: anyio.Event = anyio.Event()
        name = stream.extra(SocketAttribute.remote_address, "?")  # noqa: S610  # no database here
        self.address: str = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
        self._stream = stream
        self._out: list[bytes] = []
        self._size = 0
        self._closing = False
        self._work = anyio.Event()
        # Whoever is cancelled says goodbye all the same: `close` and `abort` end it, and its connection calls both.
        self._scope = anyio.CancelScope(shield=True)

    async def run(self, connection: Connection) -> None:
        """Carry bytes until one of the ends closes."""
        why = "the connection was closed"
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._write, connection)
                    why = await self._read(connection)
                    connection.lost(why)
                    self.close()
        finally:
            connection.lost(why)
            self.gone.set()
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)

    async def _read(self, connection: Connection) -> str:
        try:
            while True:
                connection.fed(await self._stream.receive())
        except anyio.EndOfStream:
            return "the other end is gone, without a word"
        except _BROKEN as error:
            return _broke(error)

    async def _write(self, connection: Connection) -> None:
        try:
            while self._out or not self._closing:
                if not self._out:
                    self._work = anyio.Event()
                    await self._work.wait()
                    continue
                out, self._out = self._out, []
                data = b"".join(out)
                await self._stream.send(data)
                self._size -= len(data)
                if self.paused and self._size < HIGH // 4:
                    self.paused = False
                    connection.resumed()
            if isinstance(self._stream, TLSStream):
                await self._stream.aclose()
            else:
                await self._stream.send_eof()
        except _BROKEN as error:
            connection.lost(_broke(error))

    def write(self, head: bytes, payload: bytes) -> None:
        """Send that, as soon as what is being sent is through."""
        self._out.append(head)
        if payload:
            self._out.append(payload)
        self._size += len(head) + len(payload)
        self.paused = self.paused or self._size > HIGH
        self._work.set()

    def close(self) -> None:
        """Send what was written, and close when the other end has, or after a little while."""
        if not self._closing:
            self._closing = True
            self._scope.deadline = anyio.current_time() + GRACE
            self._work.set()

    def abort(self) -> None:
        """Close at once."""
        self._scope.cancel()


def _broke(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"the connection broke: {str(cause) or type(cause).__name__}"


async def dial(
    group: TaskGroup,
    host: str,
    port: int,
    made: Callable[[StreamPipe], Connection],
    *,
    tls: ssl.SSLContext | None,
    hostname: str | None,
) -> Connection:
    """Connect. The pipe runs in the group. Errors: `OSError`."""
    stream: ByteStream
    if tls is None:
        stream = await anyio.connect_tcp(host, port)
    else:
        stream = await anyio.connect_tcp(
            host, port, ssl_context=tls, tls_hostname=hostname or host, tls_standard_compatible=False
        )
    pipe = StreamPipe(stream)
    connection = made(pipe)
    group.start_soon(pipe.run, connection)
    return connection


@asynccontextmanager
async def listening(
    group: TaskGroup,
    host: str,
    port: int,
    listener: Listener,
    *,
    tls: ssl.SSLContext | None,
) -> AsyncGenerator[int]:
    """Accept connections, whose pipes run in the group. Yields the port. Errors: `OSError`."""

    async def carry(stream: ByteStream) -> None:
        secure = stream if tls is None else await _secured(stream, listener, tls)
        if secure is not None:
            pipe = StreamPipe(secure)
            await pipe.run(listener.made(pipe))

    async def accept() -> None:
        with scope:
            async with sockets:
                while True:
                    try:
                        await sockets.serve(carry, group)
                    except* OSError as errors:  # there is no room for one more: those who are here play on
                        _log.error("no connection could be accepted: %s", errors.exceptions[0])
                    await anyio.sleep(PAUSE)

    sockets = await anyio.create_tcp_listener(local_host=host, local_port=port)
    at: int = sockets.extra(SocketAttribute.local_port)  # noqa: S610  # as above
    scope = anyio.CancelScope()
    group.start_soon(accept)
    try:
        yield at
    finally:
        scope.cancel()


async def _secured(stream: ByteStream, listener: Listener, tls: ssl.SSLContext) -> ByteStream | None:
    """The stream with TLS on it; None, and it is closed, if that cannot be had in time, or there are too many already."""
    secure: ByteStream | None = None
    try:
        with listener.greeting() as has_room, anyio.move_on_after(listener.terms.patience):
            if has_room:
                secure = await TLSStream.wrap(stream, ssl_context=tls, standard_compatible=False)
    except (*_BROKEN, anyio.EndOfStream):
        pass
    finally:
        if secure is None:
            await anyio.aclose_forcefully(stream)
    return secure
