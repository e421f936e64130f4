"""Traces: sequence diagrams, counts and JSON lines, bounded and without secrets."""

from __future__ import annotations

import itertools
import json
import pickle
import re
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from msgspec.structs import replace

from amachine.choreography.playing.events import EpochBegun, Event, FrameDropped, RoleEnded, RoleLost, Step
from amachine.choreography.playing.frames import Frame, Kind
from amachine.choreography.seeing.svg import width_of
from amachine.choreography.seeing.trace import Trace, TraceError, TraceFile, line_of, read


def said(
    sender: str,
    scene: str,
    label: str,
    *to: str,
    data: Any = None,
    told: tuple[str, ...] = (),
    session: str = "s",
) -> Step:
    return Step(
        session,
        sender,
        scene,
        label,
        sent=True,
        peers=to,
        informed=told,
        source="A",
        target="B",
        seq=0,
        lamport=1,
        data=data,
    )


def heard(role: str, scene: str, label: str, sender: str, *, data: Any = None, told: bool = False) -> Step:
    informed = (role,) if told else ()
    return Step(
        "s",
        role,
        scene,
        label,
        sent=False,
        peers=(sender,),
        informed=informed,
        source="A",
        target="B",
        seq=1,
        lamport=2,
        data=data,
    )


PINGPONG = [
    said("alice", "Ping[alice, bob, Exit]", "ping", "bob", data=0),
    heard("bob", "Ping[alice, bob, Exit]", "ping", "alice", data=0),
    said("bob", "Pong[alice, bob, Exit]", "pong", "alice", data=1),
    heard("alice", "Pong[alice, bob, Exit]", "pong", "bob", data=1),
    said("alice", "Ping[alice, bob, Exit]", "next", "bob"),
]

EVERYTHING: list[Event] = [
    said("k", "Decide[k, x, Exit]", "ok", "x", "y", told=("z",)),
    said("k", "Think", "hard", data="?"),
    RoleLost("s", "x", "y", "the connection was closed", needed=True),
    RoleLost("s", "z", "y", "killed", needed=False),
    EpochBegun("s", "x", 1, "Pay", "y", "Refund"),
    FrameDropped(
        "s",
        "x",
        "k",
        Frame(Kind.MSG, "Pay[x]", "done", {"token": "abc"}, epoch=0, seq=4),
        "of an older epoch",
    ),
    RoleEnded("s", "x", "Failed", ""),
    RoleEnded("s", "z", "Aborted", "y is lost"),
]


def trace_of(events: list[Event], **options: Any) -> Trace:
    trace = Trace(**options)
    for each in events:
        trace.stage_event(each)
    return trace


def test_a_session_is_a_sequence_diagram() -> None:
    trace = trace_of([*PINGPONG])
    assert trace.mermaid() == (
        "sequenceDiagram\n  alice->>bob: Ping.ping 0\n  bob->>alice: Pong.pong 1\n  alice->>bob: Ping.next\n"
    )
    assert str(trace) == "alice -> bob  Ping.ping 0\nbob -> alice  Pong.pong 1\nalice -> bob  Ping.next"
    assert repr(trace) == "<Trace of 5 events in 1 session>"
    assert str(Trace()) == "(nothing)"
    assert Trace().mermaid() == "sequenceDiagram\n"


def test_informs_are_dashed_and_trouble_stands_in_notes() -> None:
    assert trace_of(EVERYTHING).mermaid() == (
        "sequenceDiagram\n"
        "  k->>x: Decide.ok\n"
        "  k->>y: Decide.ok\n"
        "  k-->>z: Decide.ok\n"
        "  Note over k: Think.hard '?'\n"
        "  Note over x: y is lost: the connection was closed\n"
        "  Note over z: y is lost, and no longer needed: killed\n"
        "  Note over x: epoch 1: Pay goes on without y, at Refund\n"
        "  Note over x: Pay.done from k is dropped: of an older epoch\n"
        "  Note over x: Failed\n"
        "  Note over z: Aborted: y is lost\n"
    )
    assert "k ~> z  Decide.ok" in str(trace_of(EVERYTHING))


def test_a_region_that_starts_again_is_not_said_to_go_on_without_somebody() -> None:
    began = EpochBegun("s", "x", 2, "Pay", "y", "Ask", restart=True, back=("y",))
    trace = trace_of([began, replace(began, back=())])
    assert str(trace) == "x  epoch 2: Pay starts again, with another y\nx  epoch 2: Pay starts again"
    again = Trace.made_of(read(line_of(each) for each in trace.events))
    assert again.events == trace.events


def test_what_is_only_seen_where_it_was_received_is_drawn_from_there() -> None:
    trace = trace_of([heard("bob", "S", "x", "alice", data=1), heard("bob", "S", "y", "alice", told=True)])
    assert trace.mermaid() == "sequenceDiagram\n  alice->>bob: S.x 1\n  alice-->>bob: S.y\n"


def test_long_runs_are_one_line() -> None:
    chunks: list[Event] = [said("a", "Send", "chunk", "b", data=b"x" * at) for at in range(1234)]
    text = trace_of([*chunks, said("a", "Send", "final", "b")]).mermaid()
    assert text.splitlines()[1:] == ["  a->>b: Send.chunk 0 bytes (× 1,234)", "  a->>b: Send.final"]


def test_a_diagram_is_bounded_and_says_so() -> None:
    text = trace_of([said("ab"[at % 2], "S", str(at), "ba"[at % 2]) for at in range(9)]).mermaid(limit=2)
    assert text == "sequenceDiagram\n  %% 7 earlier lines are left out\n  b->>a: S.7\n  a->>b: S.8\n"


@pytest.mark.parametrize("event", [each for each in EVERYTHING if not isinstance(each, FrameDropped)])
def test_events_are_values(event: Event) -> None:
    same = pickle.loads(pickle.dumps(event))
    assert (same, hash(same), repr(same)) == (event, hash(event), repr(event))
    assert replace(event, session="other") != event
    with pytest.raises(AttributeError):
        setattr(event, "session", "other")  # noqa: B010  # a checker would forbid it


@pytest.mark.parametrize(("limit", "left"), [(0, 0), (3, 3), (9, 9), (10, 9)])
def test_so_many_lines_are_left_as_were_asked_for(limit: int, left: int) -> None:
    trace = trace_of([said("ab"[at % 2], "S", str(at), "ba"[at % 2]) for at in range(9)])
    for text in (trace.mermaid(limit=limit), trace.text(limit=limit), trace.svg(limit=limit)):
        assert len(re.findall(r"\bS\.\d", text)) == left
        assert ("earlier lines are left out" in text) == (left < 9)
    for draw in (trace.mermaid, trace.text, trace.svg):
        with pytest.raises(ValueError, match="limit is -1: 0 or more lines"):
            draw(limit=-1)
    assert trace.text() == str(trace)


def test_a_session_that_there_is_not_is_an_error() -> None:
    trace = trace_of([said("a", "S", "x", "b", session="monday")])
    for use in (
        partial(trace.of, "mondai"),
        partial(trace.mermaid, session="mondai"),
        partial(trace.svg, session="mondai"),
    ):
        with pytest.raises(LookupError, match=r"nothing of session 'mondai' \(did you mean 'monday'\?\)"):
            use()


def test_what_is_said_to_several_again_and_again_is_one_line_for_each() -> None:
    text = trace_of([said("a", "S", "x", "b", told=("c",), data=at) for at in range(7)]).mermaid()
    assert text.splitlines()[1:] == ["  a->>b: S.x 0 (× 7)", "  a-->>c: S.x (× 7)"]


def test_a_trace_forgets_the_oldest() -> None:
    trace = trace_of([*PINGPONG], limit=2)
    assert (trace.seen, len(trace.events)) == (5, 2)
    assert [each.label for each in trace.events if isinstance(each, Step)] == ["pong", "next"]
    with pytest.raises(ValueError, match="limit is 0"):
        Trace(limit=0)


@pytest.mark.parametrize("name", ["end", "a b", "Note", "x;y", "été", 'q"'])
def test_names_that_are_syntax_are_declared(name: str) -> None:
    text = trace_of([said(name, "S", "a;b#c", "bob", data="%%\n<b>")]).mermaid()
    lines = text.splitlines()
    assert lines[1].startswith("  participant r0 as ")
    assert lines[3].startswith("  r0->>r1: S.a#59;b#35;c '#37;#37;")
    assert not set("".join(lines)) & set('"<{}')


def test_one_session_is_drawn_of_several() -> None:
    trace = trace_of([said("a", "S", "x", "b", session="one"), said("a", "S", "y", "b", session="two")])
    assert trace.sessions == ("one", "two")
    assert "S.x" in trace.mermaid()
    assert "S.y" not in trace.mermaid()
    assert "S.y" in trace.mermaid(session="two")
    assert trace.of("two").mermaid() == trace.mermaid(session="two")
    assert str(trace) == "session one\na -> b  S.x\nsession two\na -> b  S.y"


def test_a_profile_counts_each_choice_once() -> None:
    trace = trace_of([*PINGPONG, *PINGPONG[:2]])
    assert trace.profile() == {
        ("Ping[alice, bob, Exit]", "ping"): 2.0,
        ("Pong[alice, bob, Exit]", "pong"): 1.0,
        ("Ping[alice, bob, Exit]", "next"): 1.0,
    }
    from_outside = trace_of([heard(role, "S", "x", "elsewhere") for role in ("a", "b", "a")])
    assert from_outside.profile() == {("S", "x"): 2.0}, "two hear it each time; one of them counts"


def test_payloads_become_short_texts_without_secrets() -> None:
    @attrs.frozen
    class Login:
        name: str
        password: str

    step = said("a", "S", "login", "b", data=Login("ann", "hunter2"))
    secret = said("a", "S", "token", "b", data="abc")
    trace = trace_of([step, secret, said("a", "S", "x", "b", data="y" * 10_000), *EVERYTHING])
    texts = [each.data for each in trace.events if isinstance(each, Step)]
    assert texts[:2] == ["Login(name='ann', password=…)", "…"]
    assert len(str(texts[2])) == 40
    assert not any("abc" in line_of(each) or "hunter2" in line_of(each) for each in trace.events)
    assert step.data == Login("ann", "hunter2"), "the event itself is not changed"
    assert "ann" not in str(trace_of([step], redact=("name",)))


def test_a_trace_comes_back_from_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    trace = trace_of([*PINGPONG, *EVERYTHING])
    trace.save(file)
    again = Trace.load(file)
    assert again.events == trace.events
    assert again.mermaid() == trace.mermaid()
    with TraceFile(tmp_path / "live.jsonl") as live:
        for each in [*PINGPONG, *EVERYTHING]:
            live.stage_event(each)
    assert Trace.load(tmp_path / "live.jsonl").profile() == trace.profile()
    first = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    assert first == {
        "event": "step", "session": "s", "role": "alice", "scene": "Ping[alice, bob, Exit]", "label": "ping", "sent": True,
        "peers": ["bob"], "informed": [], "source": "A", "target": "B", "seq": 0, "lamport": 1, "data": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is no event of a choreography"),
        ("[]", "it is none of step, lost, epoch, dropped, ended"),
        ('{"event": ["step"]}', "it is none of step"),
        ('{"event": "step"}', "missing required field `session`"),
        (
            '{"event": "ended", "session": "s", "role": 3, "state": "", "why": ""}',
            "Expected `str`, got `int`",
        ),
        ("[" * 100_000, "line 2 is no event"),
    ],
)
def test_a_bad_line_is_named(line: str, said: str) -> None:
    events = read([line_of(PINGPONG[0]), line])
    assert next(events) == replace(PINGPONG[0], data="0")
    with pytest.raises(TraceError) as caught:
        list(events)
    assert said in str(caught.value)


def test_lines_are_read_one_after_the_other() -> None:
    line = line_of(PINGPONG[4])
    assert list(itertools.islice(read(itertools.repeat(line)), 3)) == [PINGPONG[4]] * 3
    assert list(read(["", "\n", line.encode()])) == [PINGPONG[4]]


# As a picture.

SVG = "{http://www.w3.org/2000/svg}"


def words(trace: Trace, **options: Any) -> list[tuple[float, str]]:
    """The texts of a picture, with their places from the left."""
    root = ET.fromstring(trace.svg(**options))
    assert not any(float(each.attrib["x"]) < 0 for each in root.iter() if "x" in each.attrib)
    return [(float(each.attrib["x"]), each.text or "") for each in root.iter(f"{SVG}text")]


def test_a_picture_says_what_the_text_says() -> None:
    trace = trace_of(EVERYTHING)
    seen = " ".join(text for _, text in words(trace))
    for line in trace.text().splitlines():
        assert line.split("  ", maxsplit=1)[1].strip() in seen
    assert trace.svg(title="a < b").count("<title>a &lt; b</title>") == 1
    assert words(Trace()) == []


def test_columns_stand_as_they_are_named_or_as_it_is_asked_for() -> None:
    trace = trace_of([*PINGPONG])
    assert min(words(trace))[1] == "alice"
    heads = {text: x for x, text in words(trace, roles=("carol", "bob"))}
    assert heads["carol"] < heads["bob"] < heads["alice"]


def test_no_text_reaches_over_the_edge_of_a_picture() -> None:
    roles = [f"{word}_of_the_very_long_name" for word in ("customer", "shop", "bank", "courier", "auditor")]
    trace = trace_of(
        [
            *(
                said(a, "AnnounceIt[x]", "word", b, data="y" * 60)
                for a, b in itertools.permutations(roles, 2)
            ),
            said(roles[2], "Tell", "all", told=(*roles[:2], *roles[3:])),
            *(RoleEnded("s", role, "Aborted", "the connection was closed: " * 20) for role in roles),
        ]
    )
    root = ET.fromstring(trace.svg())
    wide = float(root.attrib["width"])
    for each in root.iter(f"{SVG}text"):
        half = width_of(each.text or "", 12) / 2
        assert half <= float(each.attrib["x"]) <= wide - half
    heads = [each for each in root.iter(f"{SVG}rect") if each.attrib["height"] == "28.0"]
    assert len(heads) == 2 * len(roles), "in a high picture they stand below, too"


def test_in_a_picture_names_are_text(tmp_path: Path) -> None:
    nasty = 'a"b<c>&\x00\ud800\x1b</text>'
    trace = trace_of(
        [said(nasty, f"{nasty}[x]", nasty, "bob", data=nasty), RoleEnded("s", nasty, nasty, nasty)]
    )
    (tmp_path / "x.svg").write_text(trace.svg(title=nasty), encoding="utf-8")
    root = ET.fromstring((tmp_path / "x.svg").read_text(encoding="utf-8"))
    assert 'a"b<c>&\ufffd\ufffd\ufffd</text>' in [each.text for each in root.iter(f"{SVG}text")]


def test_what_comes_from_nobody_and_goes_to_oneself_can_be_drawn() -> None:
    assert "S.x" in trace_of([said("a", "S", "x", "a")]).svg()
