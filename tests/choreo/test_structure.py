"""What is wrong with a graph: every rule has a script that breaks it, and says so with its code, its text and the line."""

from __future__ import annotations

import linecache
from collections.abc import Callable

import attrs
import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.check import check, structure
from amachine.choreography.diagnostics import Diagnostic, Level
from amachine.choreography.playing.schemas import schema_of
from amachine.choreography.project import MOST, project
from amachine.choreography.script import BranchDef, Inform, SceneDef, Script
from amachine.choreography.whole import Choreography
from tests.choreo.built import pingpong, sendfile, show, two_phase


def line_of(found: Diagnostic) -> str:
    """The user's line that it points at."""
    assert found.file is not None
    assert found.line is not None
    return linecache.getline(found.file, found.line).strip()


def unresolved() -> Script:
    b = Builder()
    b1 = b.scene("B1", "alice").branch("last", to="bob", next="Pong")
    b1.branch("ping", int, to="bob", next="Pongg")
    b.scene("Pong", "bob").branch("pong", to="alice")
    return b.script("x", b1, roles=("alice", "bob"))


def no_start() -> Script:
    return Script("x", ("alice",), "Nowhere", {})


def not_cast() -> Script:
    b = Builder()
    e1 = b.scene("E1", "Selector").branch("go", to="Alice")
    return b.script("x", e1, roles=("Alice", "Bob"))


def role_for_scene() -> Script:
    b = Builder()
    e4 = b.scene("E4", "Bob").branch("ping", to="Alice", next="Alice")
    return b.script("x", e4, roles=("Alice", "Bob"))


def to_itself() -> Script:
    b = Builder()
    ping = b.scene("Ping", "Alice").branch("ping", to=("Bob", "Alice"))
    return b.script("x", ping, roles=("Alice", "Bob"))


def twice_told() -> Script:
    b = Builder()
    ping = b.scene("Ping", "Alice").branch("ping", to=("Bob", "Bob"))
    return b.script("x", ping, roles=("Alice", "Bob"))


def twice_in_cast() -> Script:
    b = Builder()
    ping = b.scene("Ping", "Alice").branch("ping", to="Bob")
    return b.script("x", ping, roles=("Alice", "Bob", "Bob"))


def without_branches() -> Script:
    b = Builder()
    return b.script("x", b.scene("E2", "Alice"), roles=("Alice",))


def one_label() -> Script:
    b = Builder()
    ping = b.scene("Ping", "Alice").branch("ping", to="Bob").branch("ping", to="Bob")
    return b.script("x", ping, roles=("Alice", "Bob"))


def odd_weight() -> Script:
    b = Builder()
    ping = b.scene("Ping", "Alice").branch("ping", to="Bob", weight=-1.0)
    return b.script("x", ping, roles=("Alice", "Bob"))


def informed(*informs: Inform) -> Callable[[], Script]:
    return lambda: attrs.evolve(show(), informs=informs)


def region(*, of: str = "Pay", parent: str | None = None, lost: bool = False) -> Script:
    b = Builder()
    b.region("Pay", {"alice": "Exit", "carol": "Refundd"} if lost else {}, parent=parent)
    ping = b.scene("Ping", "alice", region=of).branch("ping", to="bob")
    return b.script("x", ping, roles=("alice", "bob"))


def still_cast() -> Script:
    b = Builder()
    refund = b.scene("Refund", "bob").branch("refund", to="bank")
    b.region("Pay", {"bank": refund})
    pay = b.scene("Pay", "alice", region="Pay").branch("pay", to=("bank", "bob"))
    return b.script("x", pay, roles=("alice", "bob", "bank"))


def two_ways_in() -> Script:
    b = Builder()
    b.region("Pay", {}, restart=True)
    x = b.scene("X", "alice", region="Pay").branch("x", to="bob")
    y = b.scene("Y", "alice", region="Pay").branch("y", to="bob")
    choose = b.scene("Choose", "alice").branch("x", to="bob", next=x).branch("y", to="bob", next=y)
    return b.script("x", choose, roles=("alice", "bob"))


def for_ever() -> Script:
    b = Builder()
    loop = b.scene("Loop", "alice")
    loop.branch("again", to="bob", next=loop)
    return b.script("x", loop, roles=("alice", "bob"))


def unreached() -> Script:
    script = sendfile()
    check_hash = script.scenes["CheckHash[Exit, Exit]"]
    extra = attrs.evolve(check_hash, id="CheckHash[Done, Exit]")
    return attrs.evolve(script, scenes={**script.scenes, extra.id: extra})


def idle() -> Script:
    return attrs.evolve(pingpong(), roles=("alice", "bob", "Charlie"))


@pytest.mark.parametrize(
    ("made", "code", "text", "line"),
    [
        (unresolved, "AMC100", "B1.ping: next scene 'Pongg' cannot be resolved (did you mean 'Pong'?)", "b1.branch("),
        (no_start, "AMC100", "the start: next scene 'Nowhere' cannot be resolved", ""),
        (not_cast, "AMC101", "E1: Selector is not a role of this choreography (roles: Alice, Bob)", 'b.scene("E1"'),
        (role_for_scene, "AMC102", "E4.ping: next must be a Scene or Exit, got role class Alice", 'e4 = b.scene("E4"'),
        (to_itself, "AMC103", "Ping: Alice sends to itself; a local step is a Msg to nobody", 'ping = b.scene("Ping"'),
        (twice_told, "AMC104", "Ping.ping: Bob appears twice among the receivers", 'ping = b.scene("Ping"'),
        (twice_in_cast, "AMC104", "x: Bob appears twice among the roles", ""),
        (without_branches, "AMC105", "E2: a scene needs at least one Msg", 'b.scene("E2"'),
        (informed(Inform("Strat", "exit", "bob")), "AMC113", "there is no such branch (did you mean 'Start.exit'?)", ""),
        (informed(Inform("Start", "exit", "bob")), "AMC113", "Start.exit -> bob: bob gets it already", "start.branch("),
        (informed(Inform("Start", "exit", "selector")), "AMC113", "selector chose it itself", "start.branch("),
        (informed(Inform("Start", "exit", "bib")), "AMC101", "bib is not a role of this choreography (did you", "start.branch("),
        (one_label, "AMC114", "Ping.ping: two branches have this label", 'ping = b.scene("Ping"'),
        (odd_weight, "AMC115", "Ping.ping: a weight is a number from 0 on, not -1.0", 'ping = b.scene("Ping"'),
        (lambda: region(of="Pya"), "AMC116", "Ping: there is no region Pya (did you mean 'Pay'?)", "ping = b.scene("),
        (lambda: region(parent="Pay"), "AMC116", "Pay: it is inside of itself", "b.region("),
        (lambda: region(parent="All"), "AMC116", "Pay: there is no region All around it", "b.region("),
        (lambda: region(lost=True), "AMC101", "Pay.on_lost: carol is not a role", "b.region("),
        (lambda: region(lost=True), "AMC100", "Pay.on_lost: next scene 'Refundd' cannot be resolved", "b.region("),
        (still_cast, "AMC101", "Refund.refund: bank has a part in what follows when bank is lost in Pay", "refund = b.scene("),
        (two_ways_in, "AMC117", "Pay can be entered at X and at Y: a restart must lead everybody to one scene", "b.region("),
        (idle, "AMC112", "Charlie is cast but takes part in no reachable scene", ""),
    ],
)  # fmt: skip
def test_a_broken_graph_is_told_with_code_text_and_line(
    made: Callable[[], Script], code: str, text: str, line: str
) -> None:
    found = [each for each in structure(made()) if each.code == code]
    assert found, structure(made())
    assert any(text in each.text for each in found), found
    assert all(each.level is Level.ERROR for each in found)
    assert not line or any(line in line_of(each) for each in found), [line_of(each) for each in found]
    assert code in [each.code for each in check(made())]
    assert not any(each.code.startswith("AMC4") for each in check(made())), (
        "of a broken graph nothing more is asked"
    )


@pytest.mark.parametrize(
    ("made", "code", "text", "line"),
    [
        (for_ever, "AMC110", "Loop never reaches Exit", 'loop = b.scene("Loop"'),
        (unreached, "AMC111", "CheckHash[Done, Exit] is never reached from Size", "check = b.scene("),
    ],
)
def test_what_may_be_meant_is_a_warning(made: Callable[[], Script], code: str, text: str, line: str) -> None:
    (found,) = (each for each in check(made()) if each.level is Level.WARNING)
    assert (found.code, found.text, found.level) == (code, text, Level.WARNING)
    assert line in line_of(found)
    assert str(found).startswith(f"{found.place}: {code} warning: {text}")


def test_an_endless_script_says_that_it_is_meant() -> None:
    assert "AMC110" not in [each.code for each in check(attrs.evolve(for_ever(), endless=True))]


def test_what_only_a_recovery_reaches_is_reached() -> None:
    b = Builder()
    refund = b.scene("Refund", "carol").branch("refund", to="bob")
    b.region("Pay", {"alice": refund})
    pay = b.scene("Pay", "alice", region="Pay").branch("pay", to=("bob", "carol"))
    assert not check(b.script("x", pay, roles=("alice", "bob", "carol")))


def test_examples_have_good_graphs() -> None:
    for script in (pingpong(), sendfile(), two_phase(), show()):
        assert not structure(script)


def test_everything_is_collected() -> None:
    b = Builder()
    ping = b.scene("Ping", "Selector").branch("ping", to=("Bob", "Bob"), next="Pongg")
    found = check(b.script("x", ping, roles=("Alice", "Bob")))
    assert [each.code for each in found] == ["AMC101", "AMC104", "AMC100"]


def test_a_script_of_more_scenes_than_a_role_may_have_states_is_refused() -> None:
    from amachine.choreography.diagnostics import ChoreographyError

    branch = BranchDef("go", None, ("b",), "Exit")
    scene = SceneDef("S", "S", "a", ("b",), (branch,))
    scenes = {f"S{at}": scene for at in range(MOST)}
    with pytest.raises(
        ChoreographyError, match="AMC109 x: 50,001 scenes and exits, more than the 50,000 states"
    ):
        project(Script("x", ("a", "b"), "S0", scenes), "a")


@pytest.mark.parametrize(
    ("roles", "exits", "text"),
    [
        (("alice", "Alice"), (), "the role Alice has the name of the role alice"),
        (("al_ice", "alice"), (), "the role alice has the name of the role al_ice"),
        (("Session", "bob"), (), "the role Session has the name of what sessions have"),
        (("alice", "bob"), ("BobLost",), "the exit BobLost has the name of the state bobLost"),
        (("alice", "bob"), ("Done",), "the exit Done has the name of the state Done"),
        (("alice", "bob"), ("Failed", "failed"), "the exit failed has the name of the exit Failed"),
    ],
)
def test_names_that_would_make_one_state_of_two_are_told(
    roles: tuple[str, str], exits: tuple[str, ...], text: str
) -> None:
    b = Builder()
    start = b.scene("S", roles[0])
    for each in exits or ("Exit",):
        start.branch(f"to{each}", to=roles[1], next=each)
    (found,) = structure(b.script("x", start, roles=roles, exits=exits or ("Exit",)))
    assert found.code == "AMC216"
    assert text in found.text


def test_roles_may_have_the_names_of_exits_and_final_states() -> None:
    b = Builder()
    roles = ("Exit", "Done", "Aborted")
    start = b.scene("S", "Exit").branch("go", to=("Done", "Aborted"), next="T")
    b.scene("T", "Done").branch("back", to=("Exit", "Aborted"))
    whole = Choreography.of(b.script("x", start, roles=roles))
    for role in roles:
        schema = schema_of(whole.project(role))
        assert {f"{each}Up" for each in roles if each != role} <= set(schema.names)
        assert "svg" in whole.graph(role).svg()
    assert "Aborted" in whole.graph().mermaid()
