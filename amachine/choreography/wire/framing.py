"""Frames as bytes, and the parser of a stream of them.

A frame is `u32 length, u8 kind, u32 session, u16 epoch, u32 seq, u32 lamport, u16 scene, u8 branch, payload`, big endian;
the length counts what follows it.

It knows no socket, no session and no type. It never makes room for a frame before its owner has said how long one of its kind
may be, and whatever the bytes are, it either finds frames in them or raises a `ProtocolError`.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple, cast

from amachine.choreography.playing.frames import Kind
from amachine.errors import ProtocolError

__all__ = ["HEAD", "KINDS", "MASK", "Head", "Parser", "pack", "unwrapped"]

KINDS = {int(kind): kind for kind in Kind}
_STRUCT = Struct(">IBIHIIHB")
_pack, _unpack_from = _STRUCT.pack, _STRUCT.unpack_from
HEAD = _STRUCT.size
_AFTER_LENGTH = HEAD - 4
MASK = 0xFFFF_FFFF
_HALF = 0x8000_0000
ROOM = 64 * 1024
"""Bytes that are read at once. What is longer gets a buffer of its own, of just its length, and is read straight into it."""


class Head(NamedTuple):
    """What stands before a payload, field by field as it travels."""

    length: int
    """The bytes that follow it: the rest of the head, and the payload."""
    kind: int
    session: int
    """Which session of the connection; 0 is the connection itself."""
    epoch: int
    seq: int
    lamport: int
    scene: int
    branch: int

    @property
    def size(self) -> int:
        """Of the payload, in bytes."""
        return self.length - _AFTER_LENGTH


_new = cast("Callable[[type[Head], tuple[Any, ...]], Head]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def pack(  # noqa: PLR0917  # in the order in which they travel
    kind: int,
    session: int,
    size: int,
    epoch: int = 0,
    seq: int = 0,
    lamport: int = 0,
    scene: int = 0,
    branch: int = 0,
) -> bytes:
    """The bytes before a payload of that size. What counts without end counts in circles: `unwrapped` makes it whole again."""
    return _pack(_AFTER_LENGTH + size, kind, session, epoch, seq & MASK, lamport & MASK, scene, branch)


def unwrapped(low: int, last: int) -> int:
    """The number with those low 32 bits that is nearest to the last one."""
    if last < _HALF > low:
        return low
    found = last - (last & MASK) + low
    if found < last - _HALF:
        return found + MASK + 1
    return found - MASK - 1 if found > last + _HALF and found > MASK else found


class Parser:
    """Takes bytes as they come, in pieces of any size, and hands over whole frames.

    `limit` is asked, with the head, how many bytes of payload there may be; it may raise a `ProtocolError` instead. `deliver`
    gets the head and a view of the payload, which is only good until it returns.
    """

    def __init__(
        self, limit: Callable[[Head], int], deliver: Callable[[Head, memoryview], None], *, room: int = ROOM
    ) -> None:
        self._limit = limit
        self._deliver = deliver
        self._own = memoryview(bytearray(max(room, 2 * HEAD)))
        self._view = self._own
        """Where bytes are read into: the usual room, or one made for a long frame."""
        self._begin = 0
        self._end = 0

    @property
    def between(self) -> bool:
        """Nothing has come of the next frame yet."""
        return self._begin == self._end

    def space(self) -> memoryview:
        """Where the next bytes are to be put; never empty."""
        return self._view[self._end :] if self._end else self._view

    def filled(self, count: int) -> None:
        """So many bytes were put there. Errors: `ProtocolError`, and whatever `deliver` raises; both end the stream."""
        view, begin, end = self._view, self._begin, self._end + count
        deliver, limit = self._deliver, self._limit
        needed = HEAD
        while end - begin >= HEAD:
            head = _new(Head, _unpack_from(view, begin))
            length = head[0]
            if length < _AFTER_LENGTH:
                raise ProtocolError(f"a frame of {length} bytes is shorter than its head", got=head)
            allowed = limit(head)
            if length - _AFTER_LENGTH > allowed:
                raise _oversize(head, allowed)
            needed = 4 + length
            if end - begin < needed:
                break
            deliver(head, view[begin + HEAD : begin + needed])
            begin += needed
            needed = HEAD
        if begin == end:
            self._view, self._begin, self._end = self._own, 0, 0
        else:
            self._settle(view, begin, end, needed)

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes that somebody else has read. Errors: as `filled`."""
        view = memoryview(data)
        while view:
            space = self.space()
            count = min(len(space), len(view))
            space[:count] = view[:count]
            self.filled(count)
            view = view[count:]

    def _settle(self, view: memoryview, begin: int, end: int, needed: int) -> None:
        """Keep the beginning of a frame that is not whole yet, where the rest of it has room."""
        left = end - begin
        if begin + needed > len(view):
            room = self._own if needed <= len(self._own) else memoryview(bytearray(needed))
            room[:left] = bytes(view[begin:end])  # by way of a copy: they may overlap
            self._view, begin, end = room, 0, left
        self._begin, self._end = begin, end


def _oversize(head: Head, allowed: int) -> ProtocolError:
    named = KINDS[head.kind].name if head.kind in KINDS else f"kind {head.kind}"
    text = f"a frame of {named} says that {head.size} bytes follow, at most {allowed} may"
    return ProtocolError(text, got=head, expected=f"at most {allowed} bytes")
