"""What two ends say before they play: who they are, and of which script.

Whatever does not fit is refused here, in a sentence of its own, before any scene. It reads no socket.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from amachine.choreography.canonical import ScriptDataError, first_difference, parse, scene_hashes, to_dict
from amachine.choreography.playing.frames import plain
from amachine.errors import ProtocolError, nearest

if TYPE_CHECKING:
    from amachine.choreography.script import Script
    from amachine.choreography.wire.wiring import Wiring

__all__ = [
    "HELLO_LIMIT", "HandshakeError", "Hello", "Resume", "VersionMismatch", "difference", "first_refusal",
    "read_hello", "second_refusal", "told",
]  # fmt: skip

MAGIC = "amachine"
VERSION = 1
HELLO_LIMIT = 256 * 1024
"""The most bytes of a HELLO: it comes from somebody who is not known yet."""

Name = Annotated[str, Meta(max_length=1000)]
Plain = Annotated[str, Meta(max_length=1000, pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z")]
"""A name that is printed to terminals and written to logs."""
Count = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]


class HandshakeError(ProtocolError):
    """The other end, or this one, would not play. Nothing was played."""


class VersionMismatch(HandshakeError):
    """The two ends have different scripts. `difference` says where they first differ."""

    def __init__(self, difference: str, *, peer: str = "") -> None:
        self.difference = difference
        self.peer = peer
        super().__init__(f"{peer or 'the other end'} plays another version: {difference}")


class Resume(Struct, frozen=True, omit_defaults=True):
    """Where somebody stood that comes back."""

    epoch: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    last: Annotated[int, Meta(ge=0)] = 0
    """The number of the last frame that it got; 0 where it goes back to the start of a region, and that does not count."""


class Hello(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Opens a session on a connection, and answers one that was opened."""

    magic: Name = ""
    version: Count = 0
    fingerprint: Plain
    session: Plain
    role: Plain
    """Who says it."""
    to: Plain
    """To whom."""
    codec: Plain
    window: Annotated[int, Meta(ge=1, le=0xFFFF)] = 64
    """How much it takes before it must have taken some: frames, of which each counts once, and once more per 64 KiB."""
    limit: Annotated[int, Meta(ge=0)] = 0
    """The most bytes of a payload that it takes, whatever the branch allows; 0 where only that counts."""
    beat: Annotated[float, Meta(ge=0.001, le=60)] = 5.0
    """Every so many seconds it says something."""
    token: Name = ""
    resume: Resume | None = None
    script: str = ""
    """Said only when fingerprints differ: its script as JSON, if that is short enough; else `scenes`, a hash for each."""
    scenes: dict[str, str] | None = None

    def encoded(self) -> bytes:
        """As the payload of a frame. Errors: `HandshakeError`."""
        stamped = msgspec.structs.replace(self, magic=MAGIC, version=VERSION)
        try:
            data = msgspec.msgpack.encode(stamped)
            read_hello(memoryview(data))  # what this end would not take, it does not say
        except (ValueError, HandshakeError) as error:
            raise HandshakeError(f"session {self.session[:80]!r} cannot be opened: {error}") from error
        return data


_DECODER = msgspec.msgpack.Decoder(Hello, strict=True)


def read_hello(data: memoryview) -> Hello:
    """What such a payload says. Errors: `HandshakeError`."""
    try:
        hello = _DECODER.decode(data)
    except Exception as error:
        raise HandshakeError(f"what came is no HELLO: {error}") from error
    if hello.magic != MAGIC:
        raise HandshakeError(f"what came is no HELLO of a choreography: it begins with {hello.magic[:40]!r}")
    if hello.version != VERSION:
        raise HandshakeError(f"it speaks version {hello.version} of the wire, and this end version {VERSION}")
    return hello


def first_refusal(hello: Hello, token: str) -> str | None:
    """Why that is not even looked at; None if it may be."""
    if not hmac.compare_digest(hello.token.encode(errors="replace"), token.encode(errors="replace")):
        return "a token is needed" if not hello.token else "the token is wrong"
    if hello.role == hello.to:
        return f"both ends play {hello.role}: one of them must play another role"
    return None


def second_refusal(hello: Hello, wiring: Wiring, me: str) -> str | None:
    """Why it does not fit a role of a script whose fingerprint it has; None if it does."""
    roles = wiring.script.roles
    if hello.role not in roles:
        known = ", ".join(roles)
        return (
            f"{wiring.script.name} has no role {hello.role}{nearest(hello.role, roles)}; there are: {known}"
        )
    if hello.role == me:
        return f"both ends play {me}: one of them must play another role"
    if hello.to != me:
        return f"{hello.to} is not here, this end plays {me}"
    if hello.codec != wiring.codec.name:
        return f"it encodes by {hello.codec}, and this end by {wiring.codec.name}: give both the same codec"
    return None


def told(hello: Hello, wiring: Wiring) -> Hello:
    """The same, with what the other end needs to find out where the scripts differ."""
    script = msgspec.json.encode(to_dict(wiring.script)).decode()
    room = HELLO_LIMIT - 4096 - len(hello.encoded())
    if len(script) <= room // 4:  # whatever its characters are, they take no more than four bytes each
        return msgspec.structs.replace(hello, script=script)
    hashes = scene_hashes(wiring.script)
    size = sum(len(id.encode()) + len(value) + 10 for id, value in hashes.items())
    return msgspec.structs.replace(hello, scenes=hashes if size <= room else {})


def difference(hello: Hello, mine: Script) -> str:
    """Where the script of somebody with another fingerprint first differs from this one, in a sentence."""
    found = None
    if hello.script:
        try:
            found = first_difference(mine, parse(hello.script))
        except (ScriptDataError, ValueError, RecursionError):
            found = "what it says of its script cannot be read"
    elif hello.scenes:
        found = first_difference(mine, hello.scenes)
    found = found or f"its fingerprint is {hello.fingerprint}, this end has another"
    return plain(found.partition("\n")[0], 2000)
