"""Frames as bytes: however they are split they come out the same, and garbage is told from them in a sentence."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amachine.choreography.playing.frames import Kind
from amachine.choreography.wire.framing import HEAD, MASK, ROOM, Head, Parser, pack, unwrapped
from amachine.errors import ProtocolError
from tests.thorough import MORE

MANY = 40 * MORE
LONG = 100_000


def limit(head: Head) -> int:
    if head.kind not in set(Kind):
        raise ProtocolError(f"there is no frame of a kind {head.kind}")
    return LONG if head.kind == Kind.MSG else 100


class Parsed:
    """A parser, and what it found."""

    def __init__(self, room: int = ROOM) -> None:
        self.found: list[tuple[Head, bytes]] = []
        self.parser = Parser(limit, self.keep, room=room)

    def keep(self, head: Head, payload: memoryview) -> None:
        self.found.append((head, bytes(payload)))


def frame(kind: Kind, payload: bytes, *numbers: int) -> bytes:
    session, epoch, seq, lamport, scene, branch = numbers or (1, 0, 0, 0, 0, 0)
    return pack(kind, session, len(payload), epoch, seq, lamport, scene, branch) + payload


U32, U16, U8 = st.integers(0, MASK), st.integers(0, 0xFFFF), st.integers(0, 0xFF)


@st.composite
def drawn_frames(draw: st.DrawFn) -> tuple[Kind, bytes, tuple[int, ...]]:
    kind = draw(st.sampled_from(Kind))
    payload = draw(st.binary(max_size=40)) * draw(
        st.sampled_from([1, 1, 9]) if kind == Kind.MSG else st.just(1)
    )
    return kind, payload, draw(st.tuples(U32, U16, U32, U32, U16, U8))


@given(st.lists(drawn_frames(), max_size=6), st.data())
@settings(max_examples=MANY)
def test_frames_come_out_the_same_however_they_are_split(
    frames: list[tuple[Kind, bytes, tuple[int, ...]]], data: st.DataObject
) -> None:
    stream = b"".join(frame(kind, payload, *numbers) for kind, payload, numbers in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parsed = Parsed(room=64)  # small, so that frames are often longer than it
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        parsed.parser.feed(stream[begin:end])
    assert [(head[1:], payload) for head, payload in parsed.found] == [
        ((kind, *numbers), payload) for kind, payload, numbers in frames
    ]
    assert parsed.parser.between


@given(st.binary(max_size=200), st.integers(1, 50))
@settings(max_examples=MANY)
def test_garbage_is_a_protocol_error_or_waits_for_more(garbage: bytes, step: int) -> None:
    whole, pieces = Parsed(), Parsed(room=64)
    said: list[str] = []
    for parsed, size in ((whole, len(garbage) or 1), (pieces, step)):
        try:
            for at in range(0, len(garbage), size):
                parsed.parser.feed(garbage[at : at + size])
        except ProtocolError as error:
            said.append(str(error))
        else:
            said.append("")
    assert said[0] == said[1]
    assert whole.found == pieces.found


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "there is no frame of a kind 47"),
        (bytes(4) + bytes(18), "a frame of 0 bytes is shorter than its head"),
        (pack(Kind.INFORM, 1, 101), "a frame of INFORM says that 101 bytes follow, at most 100 may"),
        (
            pack(Kind.MSG, 1, LONG + 1),
            f"a frame of MSG says that {LONG + 1} bytes follow, at most {LONG} may",
        ),
        (b"\xff" * 22, "there is no frame of a kind 255"),
    ],
    ids=["http", "short", "inform", "message", "ones"],
)
def test_what_is_wrong_with_the_bytes_is_said(stream: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        Parsed().parser.feed(stream)


def test_nothing_is_allocated_for_a_frame_that_is_too_long() -> None:
    parser = Parsed().parser
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="4294967277 bytes follow"):
            parser.feed(b"\xff\xff\xff\xff" + bytes([Kind.MSG]) + bytes(17))
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


def test_a_long_frame_is_read_straight_into_a_buffer_of_its_own_length() -> None:
    parsed = Parsed(room=64)
    stream = frame(Kind.MSG, b"x" * 5000)
    parsed.parser.feed(stream[:30])
    space = parsed.parser.space()
    assert len(space) == len(stream) - 30
    space[:] = stream[30:]
    parsed.parser.filled(len(space))
    assert parsed.found == [(Head(HEAD - 4 + 5000, Kind.MSG, 1, 0, 0, 0, 0, 0), b"x" * 5000)]
    assert len(parsed.parser.space()) == 64


@given(st.integers(0, 2**40), st.integers(-(2**31) + 1, 2**31 - 1))
@settings(max_examples=MANY)
def test_numbers_that_went_round_are_whole_again(last: int, step: int) -> None:
    number = max(0, last + step)
    assert unwrapped(number & MASK, last) == number
