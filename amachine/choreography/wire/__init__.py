"""How frames travel between processes: `connect` to where another process does `listen`, and open sessions; or `meet` all peers.

Every session of a connection is a `Channel` of its own, for `choreography.join`; `serve` plays one role with everybody who
comes. Names are loaded when they are first used: whoever only asks whether a type can travel needs no socket.
"""

from typing import TYPE_CHECKING

from amachine._later import later

if TYPE_CHECKING:
    from amachine.choreography.wire.channel import WireChannel
    from amachine.choreography.wire.codec import Codec, Standard, Unreadable, Unsendable
    from amachine.choreography.wire.connection import Connection
    from amachine.choreography.wire.handshake import HandshakeError, Resume, VersionMismatch
    from amachine.choreography.wire.listening import Listener
    from amachine.choreography.wire.meeting import Where, meet
    from amachine.choreography.wire.opening import Transport, connect, listen
    from amachine.choreography.wire.serving import Caller, Server, serve, serving
    from amachine.choreography.wire.terms import Terms

__all__ = [
    "Caller",
    "Codec",
    "Connection",
    "HandshakeError",
    "Listener",
    "Resume",
    "Server",
    "Standard",
    "Terms",
    "Transport",
    "Unreadable",
    "Unsendable",
    "VersionMismatch",
    "Where",
    "WireChannel",
    "connect",
    "listen",
    "meet",
    "serve",
    "serving",
]

__getattr__, __dir__ = later(
    __name__,
    {
        ".channel": ("WireChannel",),
        ".codec": ("Codec", "Standard", "Unreadable", "Unsendable"),
        ".connection": ("Connection",),
        ".handshake": ("HandshakeError", "Resume", "VersionMismatch"),
        ".listening": ("Listener",),
        ".meeting": ("Where", "meet"),
        ".opening": ("Transport", "connect", "listen"),
        ".serving": ("Caller", "Server", "serve", "serving"),
        ".terms": ("Terms",),
    },
)
