"""Explanations: every frame, why somebody is only told, what each role plays; readable in the columns that there are."""

from __future__ import annotations

import attrs
import pytest

from amachine.choreography import inform
from amachine.choreography.builder import Builder
from amachine.choreography.canonical import fingerprint
from amachine.choreography.script import EXIT, Inform, Script
from amachine.choreography.seeing import explain as explaining
from amachine.choreography.seeing.explain import explain, reason
from amachine.choreography.seeing.titles import titles
from tests.choreo.built import pingpong, sendfile, show

SHOW = inform.auto(show())


def section(text: str, head: str) -> list[str]:
    """The lines of a section, which begins with these words."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(head))
    return list(iter(iter(lines[start + 1 :]).__next__, ""))


def test_every_frame_is_listed() -> None:
    text = explain(sendfile("Failed"))
    assert text.startswith("sendfile: 4 scenes, 2 roles\n  roles        sender, receiver\n")
    assert "  ends with    Exit or Failed\n" in text
    assert f"  fingerprint  {fingerprint(sendfile('Failed'))}\n" in text
    assert section(text, "Scenes: ") == [
        "  Size: sender chooses",
        "    size(int)     1×      → receiver  then Send",
        "  Send: sender chooses",
        "    chunk(bytes)  0.667×  → receiver  then Send",
        "    check(bytes)  0.667×  → receiver  then CheckHash[Send, Failed]",
        "    final(Final)  0.667×  → receiver  then CheckHash[Exit, Failed]",
        "  CheckHash[Send, Failed]: receiver chooses",
        "    ok            0.333×  → sender    then Send",
        "    failed        0.333×  → sender    then Failed",
        "  CheckHash[Exit, Failed]: receiver chooses",
        "    ok            0.333×  → sender    then Exit",
        "    failed        0.333×  → sender    then Failed",
    ]
    assert "Nobody has to be told more" in text
    assert "Frames in a session, as expected from weights: 4.33\n" in text


def test_each_role_has_a_table() -> None:
    assert section(explain(sendfile("Failed")), "receiver: 6 states") == [
        "  AwaitSize        ?sender: size(int)     to AwaitSend",
        "  AwaitSend        ?sender: chunk(bytes)  to AwaitSend",
        "                   ?sender: check(bytes)  to CheckHash",
        "                   ?sender: final(Final)  to CheckHash_final",
        "  CheckHash        !sender: ok            to AwaitSend",
        "                   !sender: failed        to Failed",
        "  CheckHash_final  !sender: ok            to Done",
        "                   !sender: failed        to Failed",
        "  Failed           (the end)",
        "  Done             (the end)",
    ]
    assert "receiver: 6 states" not in explain(sendfile("Failed"), roles=False)


def test_who_is_only_told_is_told_with_the_reason() -> None:
    text = explain(SHOW)
    told = section(text, "Only told (⇢): 6 frames")
    assert told[0] == "  Decide[alice, bob, charlie, …].failed ⇢ selector"
    assert told[1].startswith("    without it, AMC403 selector cannot tell")
    assert "    ok             0.2×  → alice, bob ⇢ selector      then Start" in text
    needless = attrs.evolve(pingpong(), informs=(Inform("Ping[alice, bob, Exit]", "ping", "bob"),))
    assert reason(needless, needless.informs[0]) is None
    assert "it could be left out" in explain(needless)


def test_for_many_informs_not_every_reason_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "BUDGET", 60)
    text = explain(SHOW, roles=False)
    assert text.count("without it") == 2
    assert "no reason was looked for" in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_lines_fit(width: int) -> None:
    lines = explain(SHOW, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)


def test_a_protocol_stays_together_and_its_name_is_told_in_full() -> None:
    text = explain(SHOW)
    scenes = [line.split(":")[0].strip() for line in section(text, "Scenes: ") if line.endswith("chooses")]
    assert scenes[:3] == ["Start", "Ping[alice, bob, …]", "Pong[alice, bob, …]"]
    assert len(scenes) == 23
    names = section(f"{text}\n", "Names in full")
    at = names.index("  Begin, VoteX, VoteY, Decide [alice, bob, charlie, …]")
    assert names[at + 1] == "    is [alice, bob, charlie, Start, Exit]"


def test_a_name_is_only_cut_where_something_is_left_out() -> None:
    b = Builder()
    args = "[customer, shop, bank]"
    ask, long = b.scene(f"PaymentAuthorise{args}", "bank"), b.scene("P" * 80, "shop")
    ask.branch("yes", to="shop", next=long).branch("no", to="shop", next=f"PaymentAuthorise{args[:-1]}, 2]")
    again = b.scene(f"PaymentAuthorise{args[:-1]}, 2]", "bank").branch("told", to="shop")
    long.branch("done", to="bank")
    script = b.script("payment", ask, roles=("customer", "shop", "bank"))
    assert [*titles(script).values()] == [*script.scenes]
    text = explain(script)
    assert f"then {again.scene.id}" in text
    assert "…" not in text
    assert "Names in full" not in text


@pytest.mark.parametrize("width", [60, 200])
def test_what_is_only_told_can_be_copied(width: int) -> None:
    *_, lines = explain(SHOW, width=width).split("To pin what is only told")
    pinned = eval(f"[{lines.partition('…]')[2]}]")
    assert pinned == [*SHOW.informs]
    assert "To pin" not in explain(pingpong())


def test_regions_deadlines_patience_and_goodbyes_are_told() -> None:
    b = Builder()
    b.region("Pay", {"bank": "Refund", "seller": EXIT}, restart=True)
    ask = b.scene("Ask", "buyer", region="Pay", patience=30.0)
    b.scene("Refund", "seller").branch("sorry", to="buyer")
    ask.branch("think", next=ask).branch("pay", int, to=("bank", "seller")).branch(
        "late", to=("bank", "seller"), after=5.0
    )
    script = b.script("shop", ask, roles=("buyer", "bank", "seller"), closing=True)
    text = explain(script)
    assert "  Ask: buyer chooses, patience 30 s (region Pay)" in text
    assert "    think           0.5×    (a decision of its own)  then Ask" in text
    assert "    late after 5 s  0.5×    → bank, seller           then Exit" in text
    assert section(text, "Regions: ") == [
        "  Pay: Ask",
        "    without bank    then Refund",
        "    without seller  then Exit",
        "    starts again    with somebody else in that role",
        "  Over channels, a role needs these too, to agree with the others:",
        "    bank: seller  when somebody is lost in Pay",
        "    seller: bank  when somebody is lost in Pay",
    ]
    assert "ends with    Exit, a role that cannot tell when its peers have said goodbye" in text
    assert "Pay without bank" in text


def test_whoever_has_to_agree_is_told_which_channels_that_takes() -> None:
    b = Builder()
    b.region("Job", {}, restart=True)
    b.scene("Cut", "boss", region="Job").branch("cut", to="left", next="Bore")
    b.scene("Bore", "boss", region="Job").branch("bore", to="right", next="Done")
    b.scene("Done", "left", region="Job").branch("done", to="boss", next="Bored")
    b.scene("Bored", "right", region="Job").branch("bored", to="boss")
    text = explain(b.script("workshop", "Cut", roles=("boss", "left", "right")))
    assert section(text, "Regions: ")[2:] == [
        "  Over channels, a role needs these too, to agree with the others:",
        "    left: right  when somebody is lost in Job",
        "    right: left  when somebody is lost in Job",
    ]


def test_an_endless_script_says_so() -> None:
    b = Builder()
    tick = b.scene("Tick", "a")
    tick.branch("tick", to="b", next=tick)
    text = explain(b.script("clock", tick, roles=("a", "b"), endless=True))
    assert "ends with    nothing: it goes on and on" in text
    assert "1,000" in text or "999" in text, "a long session stands for an endless one"


def test_nothing_to_play_is_explained() -> None:
    assert explain(Script("nothing", ("a",), EXIT, {})).startswith("nothing: 0 scenes, 1 role\n")
