"""Opening connections: `connect` to where another process does `listen`. It chooses the pipe, and holds the tasks."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio

from amachine.choreography.wire.connection import Connection, Pipe
from amachine.choreography.wire.listening import Listener
from amachine.choreography.wire.terms import Terms

if TYPE_CHECKING:
    import ssl

    from anyio.abc import TaskGroup

__all__ = ["TERMS", "Transport", "connect", "is_loopback", "listen", "tasks"]

Transport: TypeAlias = Literal["auto", "fast", "anyio"]
"""What carries bytes: `fast` is for asyncio alone, `anyio` is portable, and `auto` takes the first of them that there is."""

TERMS = Terms()


@asynccontextmanager
async def connect(
    host: str,
    port: int,
    *,
    token: str = "",
    tls: ssl.SSLContext | None = None,
    hostname: str | None = None,
    terms: Terms = TERMS,
    transport: Transport = "auto",
) -> AsyncGenerator[Connection]:
    """Connect to a process that listens. Leaving this says goodbye in all sessions, and closes.

    `token` is what the listener wants to hear, `tls` a context for clients, `hostname` the name that its certificate must have,
    if that is not `host`. Errors: `OSError` if nobody is there or does not speak TLS; `TimeoutError` after `terms.patience`.
    """

    def made(pipe: Pipe) -> Connection:
        return Connection(pipe, terms, token=token)

    async with tasks() as group:
        with anyio.fail_after(terms.patience):
            if _is_fast(transport):
                from amachine.choreography.wire import fast

                connection = await fast.dial(host, port, made, tls=tls, hostname=hostname)
            else:
                from amachine.choreography.wire import tcp

                connection = await tcp.dial(group, host, port, made, tls=tls, hostname=hostname)
        group.start_soon(connection.watch)
        try:
            yield connection
        finally:
            await connection.aclose()


@asynccontextmanager
async def listen(
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    token: str = "",
    tls: ssl.SSLContext | None = None,
    terms: Terms = TERMS,
    transport: Transport = "auto",
) -> AsyncGenerator[Listener]:
    """Let other processes connect, to `listener.port`. Leaving this says goodbye in all sessions, and closes.

    On an address that other machines can reach, a `token` that they must know, or `tls`, a context for servers, is needed.
    Errors: `ValueError` where there is neither; `OSError` if the port is taken.
    """
    if not (token or tls or is_loopback(host)):
        raise ValueError(
            f"others than this machine can reach a listener on {host!r}: give it token='…', which they must know, or tls=…; "
            "or let it listen on 127.0.0.1"
        )
    async with tasks() as group:
        listener = Listener(group, terms, token=token)
        if _is_fast(transport):
            from amachine.choreography.wire import fast

            accepting = fast.listening(host, port, listener, tls=tls)
        else:
            from amachine.choreography.wire import tcp

            accepting = tcp.listening(group, host, port, listener, tls=tls)
        async with accepting as listener.port:
            listener.host = host
            try:
                yield listener
            finally:
                await listener.aclose()


def is_loopback(host: str) -> bool:
    """Only this machine can reach that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_fast(transport: Transport) -> bool:
    if transport == "anyio":
        return False
    asyncio = sys.modules.get("asyncio")
    try:
        runs = asyncio is not None and asyncio.get_running_loop() is not None
    except RuntimeError:
        runs = False
    if transport == "fast" and not runs:
        raise ValueError("transport='fast' needs asyncio, which does not run here: leave it out")
    return runs


@asynccontextmanager
async def tasks() -> AsyncGenerator[TaskGroup]:
    """A group that is cancelled when it is left, and whose own tasks raise nothing: what its body raises comes out as it is."""
    error: BaseException | None = None
    group = anyio.create_task_group()
    try:
        async with group:
            try:
                yield group
            finally:
                group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        error = errors.exceptions[0] if len(errors.exceptions) == 1 else errors
    if error is not None:
        raise error
