"""Drawings: what is there is drawn, text is never syntax, and Graphviz makes pictures of it."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import attrs
import pytest

from amachine.choreography import choreography, inform
from amachine.choreography.builder import Builder
from amachine.choreography.canonical import parse, to_dict
from amachine.choreography.local import Give, LocalMachine, LocalState, Take
from amachine.choreography.project import project
from amachine.choreography.script import EXIT, Inform, Script
from amachine.choreography.seeing import drawing
from amachine.choreography.seeing.graph import DrawingError, Graph, graph_of, graph_of_role
from amachine.choreography.seeing.titles import arguments, titles
from tests.choreo.built import pingpong, sendfile, show, two_phase

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")

NASTY = 'a"b\\c<b>&#;{x}|%%`*end*'
"""A name that is full of syntax."""


def shop() -> Script:
    """With regions inside one another, a deadline, a narrowed receiver and a decision of one's own."""
    b = Builder()
    b.region("Pay", {"bank": "Refund"})
    b.region("Book", {"bank": EXIT}, restart=True, parent="Pay")
    ask = b.scene("Ask", "buyer", region="Pay")
    charge = b.scene("Charge", "bank", region="Book")
    b.scene("Refund", "seller").branch("sorry", to="buyer")
    ask.branch("think", next=ask).branch("pay", int, to=("bank", "seller"), next=charge)
    ask.branch("late", to=("seller", "bank"), after=5.0)
    charge.branch("done", to=("buyer", "seller")).branch("no", to="buyer")
    return b.script(
        "shop", ask, roles=("buyer", "bank", "seller"), informs=[Inform("Charge", "no", "seller")]
    )


def labels(graph: Graph) -> dict[tuple[str, str], tuple[str, ...]]:
    """By the first lines of its ends: the lines of an arrow."""
    names = {node.id: node.lines[0] if node.lines else "*" for node in graph.nodes}
    names |= {box.id: f"[{box.title}]" for box in graph.boxes}
    return {(names[edge.source], names[edge.target]): edge.lines for edge in graph.edges}


# The whole.


def test_a_node_says_who_speaks_to_whom_and_an_arrow_what() -> None:
    graph = graph_of(sendfile("Failed"))
    assert ("Send", "sender → receiver") in [node.lines for node in graph.nodes]
    assert labels(graph) == {
        ("*", "Size"): (),
        ("Size", "Send"): ("size(int)",),
        ("Send", "Send"): ("chunk(bytes)",),
        ("Send", "CheckHash[Send, Failed]"): ("check(bytes)",),
        ("Send", "CheckHash[Exit, Failed]"): ("final(Final)",),
        ("CheckHash[Send, Failed]", "Send"): ("ok",),
        ("CheckHash[Send, Failed]", "Failed"): ("failed",),
        ("CheckHash[Exit, Failed]", "Exit"): ("ok",),
        ("CheckHash[Exit, Failed]", "Failed"): ("failed",),
    }


def test_instances_of_a_template_that_belong_together_share_a_box() -> None:
    graph = graph_of(two_phase())
    (box,) = graph.boxes
    assert box.title == "Begin[k, x, y, Exit, Failed]"
    assert [node.lines[0] for node in graph.nodes if node.box == box.id] == [
        "Begin",
        "VoteX",
        "VoteY",
        "Decide",
    ]
    assert not graph_of(sendfile()).boxes, "one scene needs no box"


class Client:
    def likes(self) -> bool:
        return True

    def name(self) -> str:
        return "Ada"

    def hear(self, word: str) -> None: ...


class Server(Client): ...


@choreography
def greet(c: Client, s: Server) -> bool:
    s.hear(c.name())
    c.hear(s.name())
    return s.likes()


@choreography
def part(c: Client, s: Server) -> None:
    s.hear(c.name())
    c.hear(s.name())


@choreography
def visit(ann: Client, bob: Server) -> None:
    if greet(ann, bob):
        part(ann, bob)
    if greet(ann, bob):
        part(ann, bob)


def test_what_is_called_has_a_box_that_is_named_after_the_call() -> None:
    graph = visit.graph()
    titles = {box.id: box.title for box in graph.boxes}
    calls = ["greet(ann, bob)", "greet(ann, bob) #2", "part(ann, bob)", "part(ann, bob) #2"]
    assert sorted(titles.values()) == calls
    inside = [(titles[node.box], node.lines[0]) for node in graph.nodes if node.box and len(node.lines) > 1]
    assert sorted(inside) == sorted(
        (call, f"{call[:5].strip('(').capitalize()}{what}")
        for call in calls
        for what in (("NameC", "NameS", "Likes") if call.startswith("greet") else ("NameC", "NameS"))
    )
    read = parse(to_dict(visit.script))
    assert read == visit.script
    assert {box.title.partition("[")[0] for box in graph_of(read).boxes} <= {
        s.name for s in read.scenes.values()
    }


def test_who_is_only_told_hangs_on_a_dashed_arrow() -> None:
    script = inform.auto(show())
    graph = graph_of(script)
    told = [edge for edge in graph.edges if edge.dashed]
    assert {edge.lines for edge in told} == {("failed, ok",)}
    assert len(told) == 3, "one for each Decide"
    assert sum(node.kind is drawing.Kind.ASIDE for node in graph.nodes) == 3
    assert graph.mermaid().count("-.->") == graph.dot().count("style=dashed]") == 3


def test_in_large_drawings_ways_back_are_written_and_no_id_is_long() -> None:
    graph = graph_of(show())
    assert len(graph.boxes) == 8
    assert sum(node.lines == ("back to Start",) for node in graph.nodes) == 3
    assert max(len(line) for node in graph.nodes for line in node.lines) < 40
    assert max(len(box.title) for box in graph.boxes) < 40
    assert not any("back to" in line for node in graph_of(sendfile()).nodes for line in node.lines)


def test_regions_are_dashed_boxes_and_losses_lead_out_of_them() -> None:
    graph = graph_of(shop())
    boxes = {box.title: box for box in graph.boxes}
    assert [*boxes] == ["region Pay", "region Book, starts again"]
    assert boxes["region Book, starts again"].parent == boxes["region Pay"].id
    ways = labels(graph)
    assert ways["[region Pay]", "Refund"] == ("bank lost",)
    assert ways["[region Book, starts again]", "Exit"] == ("bank lost",)
    assert ways["Ask", "Ask"] == ("think → nobody",)
    assert ways["Ask", "Exit"] == ("late after 5 s",)
    assert ways["Charge", "Exit"] == ("done", "no → buyer")
    assert ways["Charge", "seller"] == ("no",)


def test_a_script_without_scenes_is_a_way_to_the_exit() -> None:
    graph = graph_of(Script("nothing", ("a",), EXIT, {}))
    assert labels(graph) == {("*", "Exit"): ()}


def test_titles_keep_roles_and_number_what_would_be_alike() -> None:
    b = Builder()
    long = [b.scene(f"Ping[alice, bob, {'Next' * 9}[{at}]]", "alice") for at in range(2)]
    for each in long:
        each.branch("next", to="bob", next=long[1])
    script = b.script("x", long[0], roles=("alice", "bob"))
    assert [*titles(script).values()] == ["Ping[alice, bob, …] #1", "Ping[alice, bob, …] #2"]
    assert arguments("Ping[a, T[b, c], d]") == ("a", "T[b, c]", "d")
    assert arguments("Ping") == ()


# A role.


def test_a_role_takes_and_gives() -> None:
    ways = labels(graph_of_role(project(inform.auto(show()), "alice")))
    assert ways["AwaitStart", "Ping_bob"] == ("?selector: charlie_leads",)
    assert ways["Ping_bob", "AwaitPong_bob"] == ("!bob: ping(int)",)
    assert ways["Decide", "Done"] == ("!bob, charlie: failed ⇢ selector",)
    ways = labels(graph_of_role(project(inform.auto(show()), "selector")))
    assert ways["AwaitDecide_bob", "Start"] == ("?bob: ok",)


def test_a_role_shows_its_regions_its_ends_and_where_it_recovers() -> None:
    take = Take("b", "S", "x", None, informs=True, next="Done")
    more = Take("b", "T", "y", int, informs=False, next="Done")
    give = Give("S", "own", None, (), (), "W", after=2.0)
    local = LocalMachine(
        "a",
        (
            LocalState("W", ("S",), takes=(take, more), regions=("Inner", "Outer")),
            LocalState("G", ("S",), gives=(give,)),
            LocalState("Done", (), exits=("Exit", "Failed")),
        ),
        recover={("Outer", "b"): "G"},
    )
    graph = graph_of_role(local)
    assert [(box.title, box.parent) for box in graph.boxes] == [
        ("region Outer", None),
        ("region Inner", graph.boxes[0].id),
    ]
    lines = [(edge.lines, edge.dashed) for edge in graph.edges]
    assert (("?b: S.x",), True) in lines, (
        "what only tells is dashed, and scenes are named where there are several"
    )
    assert (("?b: T.y(int)",), False) in lines
    assert (("own after 2 s",), False) in lines
    assert labels(graph)["[region Outer]", "G"] == ("b lost",)
    assert ("Done", "Exit or Failed") in [node.lines for node in graph.nodes]


def test_in_the_graph_of_a_role_its_turn_has_a_colour_that_is_no_roles() -> None:
    graph = graph_of_role(project(sendfile(), "receiver"))
    turns = {node.lines[0] for node in graph.nodes if node.kind is drawing.Kind.TURN}
    assert turns == {"CheckHash", "CheckHash_final"}
    assert not any(node.colour >= 0 for node in graph.nodes)
    whole, role = graph_of(sendfile()), graph
    for text_of in (Graph.mermaid, Graph.dot):
        fills = [set(re.findall(r"fill(?:color)?[:=]\"?(#\w+)", text_of(each))) for each in (whole, role)]
        assert fills[0] & fills[1] == {"#1b1f24"}, "but for the begin"


def test_many_steps_between_two_states_are_counted() -> None:
    takes = tuple(Take("b", "S", f"x{at}", None, informs=False, next="S") for at in range(20))
    graph = graph_of_role(LocalMachine("a", (LocalState("S", ("S",), takes=takes),)))
    assert graph.edges[1].lines[-1] == "… and 13 more"
    assert len(graph.edges[1].lines) == 8


# As text.


def nasty() -> Graph:
    b = Builder()
    b.region(NASTY, {NASTY: EXIT})
    scene = b.scene(NASTY, NASTY, region=NASTY)
    scene.branch(NASTY, to="end", next=NASTY).branch("x", to="end")
    return graph_of(b.script(NASTY, scene, roles=(NASTY, "end"), informs=[Inform(NASTY, NASTY, NASTY)]))


def test_in_mermaid_names_are_text() -> None:
    for line in nasty().mermaid().splitlines():
        quoted = re.findall(r'"([^"]*)"', line)
        assert line.count('"') == 2 * len(quoted)
        assert not any(set(text) & set("\\{}|%`*&") or re.search("<(?!br>)", text) for text in quoted)
        assert re.fullmatch(r"[\w\s#:;,.()\[\]|<>=-]*", re.sub(r'"[^"]*"', "", line)), line


def test_every_node_of_mermaid_is_declared_once() -> None:
    text = graph_of(inform.auto(show())).mermaid()
    declared = re.findall(r"^\s+(\w+)[(\[]", text, re.MULTILINE)
    assert len(declared) == len(set(declared)) == len(graph_of(inform.auto(show())).nodes)
    used = {
        name
        for pair in re.findall(r"^  (\w+) -.*?> ?(?:\|.*?\|)? ?(\w+)$", text, re.MULTILINE)
        for name in pair
    }
    assert used <= set(declared)
    assert text.startswith("flowchart TB\n")
    assert graph_of(pingpong()).mermaid(direction="LR").startswith("flowchart LR\n")
    assert text.count("subgraph ") == len(re.findall(r"^\s+end$", text, re.MULTILINE)) == 8


@needs_dot
@pytest.mark.parametrize(
    "graph", [nasty(), graph_of(shop()), graph_of(inform.auto(show()))], ids=["nasty", "shop", "show"]
)
def test_graphviz_draws_every_text(graph: Graph) -> None:
    root = ET.fromstring(graph.svg())
    texts = {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
    wanted = {line for node in graph.nodes for line in node.lines} | {box.title for box in graph.boxes}
    assert {text.strip() for text in wanted} <= {(text or "").replace("\xa0", " ").strip() for text in texts}


@needs_dot
def test_the_start_is_above_all_else_also_where_regions_come_back_to_it() -> None:
    b = Builder()
    b.region("Work", {"worker": EXIT})
    submit, report = b.scene("Submit", "client"), b.scene("Report", "broker")
    run = b.scene("Run", "broker", region="Work")
    result = b.scene("Result", "worker", region="Work").branch("ok", to="broker", next=report)
    run.branch("run", to="worker", next=result)
    submit.branch("submit", to="broker", next=run).branch("finish", to=("broker", "worker"))
    report.branch("result", to="client", next=submit)
    graph = graph_of(b.script("jobs", submit, roles=("client", "broker", "worker")))
    root = ET.fromstring(graph.svg())
    name = "{http://www.w3.org/2000/svg}"
    heights = {
        title.text: float(text.attrib["y"])
        for node in root.iter(f"{name}g")
        if (title := node.find(f"{name}title")) is not None and (text := node.find(f"{name}text")) is not None
    }
    start = next(node.id for node in graph.nodes if node.lines[:1] == ("Submit",))
    assert heights[start] == min(y for id, y in heights.items() if id != "cluster_r0")
    assert heights["cluster_r0"] > heights[start]


def test_without_graphviz_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DrawingError, match="apt install graphviz"):
        graph_of(pingpong()).svg()


def test_what_graphviz_says_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho 'no such font' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DrawingError, match="cannot draw pingpong: no such font"):
        graph_of(pingpong()).svg()
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(DrawingError, match=r"more than 0\.05 s"):
        graph_of(pingpong()).svg(timeout=0.05)


def test_an_empty_box_is_not_drawn() -> None:
    script = attrs.evolve(sendfile(), regions=shop().regions)
    assert not graph_of(script).boxes


def test_a_direction_that_there_is_not_is_named() -> None:
    graph: Any = graph_of(pingpong())
    for draw in (graph.mermaid, graph.dot):
        with pytest.raises(ValueError, match="direction='UP': there are 'TB', 'LR', 'BT', 'RL'"):
            draw(direction="UP")
