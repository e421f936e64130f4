"""Meeting everybody whom a role talks to in a session: a channel to each, wherever it is. It opens, and plays nothing."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

import anyio

from amachine.choreography.playing.frames import Frame, Kind
from amachine.choreography.typenames import kind_of
from amachine.choreography.wire.connection import Connection
from amachine.choreography.wire.handshake import HandshakeError, Resume
from amachine.choreography.wire.opening import TERMS, Transport, connect
from amachine.choreography.wire.wiring import Played, wiring_of

if TYPE_CHECKING:
    from amachine.choreography.wire.channel import WireChannel
    from amachine.choreography.wire.listening import Listener
    from amachine.choreography.wire.terms import Terms

__all__ = ["Dialling", "Where", "meet"]

Where: TypeAlias = "tuple[str, int] | Connection | Listener"
"""Where a peer is: the host and port at which it listens, a connection to it, or the listener to which it will connect."""

_PAUSE = 0.05
"""Seconds after which somebody who does not listen yet is tried again; twice as many each time, up to a second."""


class Dialling(TypedDict, total=False):
    """How `meet` connects: the options of `connect`."""

    token: str
    tls: ssl.SSLContext | None
    hostname: str | None
    terms: Terms
    transport: Transport


@asynccontextmanager
async def meet(
    choreography: Played,
    me: type | str,
    peers: Mapping[Any, Where],
    *,
    session: str,
    resume: Resume | None = None,
    **options: Unpack[Dialling],
) -> AsyncGenerator[dict[str, WireChannel]]:
    """Open a channel to each of these peers, for `choreography.join`. Leaving this closes them, and what it has connected.

    `session` is the name that all of them give; `resume` is as in `connection.channel`, all other options as in `connect`. The
    processes may start in any order: who does not listen yet is tried again, and who has not connected yet is waited for,
    `terms.patience` seconds each.

    Errors: `LookupError` for a role that is none; `VersionMismatch`; `HandshakeError`, which says who could not be met, and why.
    """
    script = wiring_of(choreography).script
    patience = options.get("terms", TERMS).patience
    async with AsyncExitStack() as stack:
        dialled: dict[tuple[str, int], Connection] = {}
        places: dict[str, Connection | Listener] = {}
        for role, where in peers.items():
            peer = script.role_named(role)
            if not isinstance(where, tuple):
                if not hasattr(where, "channel"):
                    raise TypeError(
                        f"{peer} cannot be met at {kind_of(where)}: write (host, port), or give a listener"
                    )
                places[peer] = where
                continue
            if where not in dialled:
                dialled[where] = await _dial(stack, peer, where, patience, options)
            places[peer] = dialled[where]
        channels: dict[str, WireChannel] = {}
        failed: list[HandshakeError] = []

        async def open_to(peer: str, place: Connection | Listener) -> None:
            try:
                if isinstance(place, Connection):
                    channels[peer] = await place.channel(
                        choreography, me=me, peer=peer, session=session, resume=resume
                    )
                else:
                    channels[peer] = await place.channel(
                        choreography, me=me, peer=peer, session=session, resume=resume, patience=patience
                    )
            except HandshakeError as error:
                failed.append(error)
                group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                for peer, place in places.items():
                    group.start_soon(open_to, peer, place)
            if failed:
                raise failed[0]
            yield {peer: channels[peer] for peer in places}
        finally:
            for channel in channels.values():
                channel.close(Frame(Kind.BYE, data="cancelled"))


async def _dial(
    stack: AsyncExitStack, peer: str, where: tuple[str, int], patience: float, options: Dialling
) -> Connection:
    """Connect to a peer, again and again while nobody listens there. Errors: `HandshakeError`."""
    host, port = where
    deadline = anyio.current_time() + patience
    pause = _PAUSE
    while True:
        try:
            return await stack.enter_async_context(connect(host, port, **options))
        except OSError as error:
            if isinstance(error, ssl.SSLError) or anyio.current_time() + pause > deadline:
                why = str(error) or type(error).__name__
                raise HandshakeError(f"{peer} cannot be reached at {host}:{port}: {why}") from error
        await anyio.sleep(pause)
        pause = min(2 * pause, 1.0)
