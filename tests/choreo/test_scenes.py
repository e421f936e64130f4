"""Scene classes say what the calls of a builder say; names are found wherever a class stands; ids, barriers, regions, acts."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import sys
import time
from abc import ABC, ABCMeta
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, Self, TypeVar

import attrs
import pytest

from amachine.choreography.builder import Builder
from amachine.choreography.exploring import explore
from amachine.choreography.reading import Reading
from amachine.choreography.scenes.reader import (
    Barrier,
    Exit,
    Msg,
    Region,
    Scene,
    Sent,
    To,
    after,
    ignore,
    read,
    weight,
)
from amachine.choreography.script import Script
from amachine.choreography.whole import Choreography
from amachine.choreography.wire.codec import Standard
from tests.choreo import built, plays
from tests.choreo.plays import Alice, Begin, Bob, Charlie, Failed, Ping, Selector, Start
from tests.choreo.wrong import program

Next = TypeVar("Next")


def sound(reading: Reading) -> Script:
    """The script of a reading in which nothing was found."""
    assert [str(each) for each in reading.diagnostics] == []
    return reading.script


def of(play: plays.Play) -> Reading:
    return read(play.start, roles=play.roles, mortal=play.mortal)


def shape(script: Script) -> dict[str, Any]:
    """What a script says, whatever the case of its names."""
    return {
        scene.id.lower(): [
            (
                scene.sender.lower(),
                branch.label,
                getattr(branch.payload, "__name__", None),
                [role.lower() for role in branch.to],
                branch.next.lower(),
            )
            for branch in scene.branches
        ]
        for scene in script.scenes.values()
    }


def committing() -> Script:
    b = Builder()
    begin = built.add_two_phase(b, "charlie", "alice", "bob", "Exit", "Failed")
    return b.script("two_phase", begin, roles=("charlie", "alice", "bob"), exits=("Exit", "Failed"))


@pytest.mark.parametrize(
    ("play", "script"),
    [
        (plays.PINGPONG, built.pingpong()),
        (plays.SEND_FILE, built.sendfile("Failed")),
        (plays.TWO_PHASE, committing()),
        (plays.SHOW, built.show()),
    ],
    ids=["pingpong", "send_file", "two_phase", "show"],
)
def test_classes_and_calls_say_the_same(play: plays.Play, script: Script) -> None:
    said = sound(of(play))
    assert shape(said) == shape(script)
    assert set(said.exits) == set(script.exits)
    assert [role.lower() for role in said.roles] == list(script.roles) or play is plays.SEND_FILE


def test_ids_name_the_arguments_of_templates() -> None:
    script = sound(of(plays.SHOW))
    inner = "Ping[Charlie, Alice, Begin[Charlie, Alice, Bob, Start, Exit]]"
    assert f"Ping[Alice, Bob, Ping[Bob, Charlie, {inner}]]" in script.scenes
    assert {scene.name for scene in script.scenes.values()} == {
        *("Start", "Ping", "Pong", "Begin", "VoteX", "VoteY", "Decide")
    }
    assert len(script.scenes) == 23


def test_scenes_stand_in_the_order_in_which_they_are_met_and_recoveries_last() -> None:
    assert list(sound(of(plays.SALE)).scenes) == ["Order", "Charge", "Verdict", "Refund"]
    assert list(sound(of(plays.SEND_FILE)).scenes) == [
        *("Size", "Send", "CheckHash[Send, Failed]", "CheckHash[Exit, Failed]")
    ]


def test_every_branch_points_at_its_own_line() -> None:
    lines = Path(plays.__file__).read_text(encoding="utf-8").splitlines()
    script = sound(of(plays.SHOW))
    for scene, branch in script.branches():
        assert branch.place is not None
        assert scene.place is not None
        assert lines[branch.place.line - 1].lstrip().startswith(f"{branch.label}: Msg[")
        assert lines[scene.place.line - 1].startswith(f"class {scene.name}(")


def test_reading_the_show_takes_no_longer_than_thirty_milliseconds() -> None:
    def seconds() -> float:
        began = time.process_time()
        of(plays.SHOW)
        return time.process_time() - began

    assert min(seconds() for _ in range(5)) < 0.03


# What is done.


def test_a_branch_that_is_called_is_its_label_and_what_goes_along() -> None:
    assert Ping[Alice, Bob, Exit]().send(Alice(count=1)) == ("ping", 1)
    assert Ping[Alice, Bob, Exit]().send(Alice(count=2)) == ("next", None)


class Wins(Exit, Generic[Next]):
    """An exit for each who may win."""


class Toss(Scene[Next, Bob], Generic[Next]):
    heads: Msg[None, Wins[Next]]
    tails: Msg[None, Wins[Bob]]
    again: Msg[None, Wins[Toss[Next]]]

    def send(self, me: Next) -> Sent:
        return self.tails()


async def test_an_exit_may_be_a_template_and_is_called_after_its_arguments() -> None:
    choreography = Choreography(Toss[Alice], roles=[Alice, Bob])
    assert choreography.script.exits == ("Wins_Alice", "Wins_Bob", "Wins_Toss_Alice")
    outcome = await choreography.run_local({Alice: Alice(), Bob: Bob()})
    assert outcome.exit == "Wins_Bob"


async def test_scenes_are_played() -> None:
    cast = plays.SEND_FILE.cast()
    played = Choreography(plays.SEND_FILE.start, roles=plays.SEND_FILE.roles)
    outcome = await played.run_local(cast)
    assert outcome.exit == "Done"
    assert cast[plays.Receiver].received == cast[plays.Sender].data


def test_acts_are_the_methods_of_scenes() -> None:
    acts = of(plays.PINGPONG).acts
    ping = acts["Ping[Alice, Bob, Exit]"]
    bob = Bob()
    assert ping.send(Alice(count=1)) == ("ping", 1)
    ping.on["ping"](bob, 7)
    assert bob.count == 7
    ping.on["next"](bob)
    assert bob.count == 0
    assert acts.keys() == of(plays.PINGPONG).script.scenes.keys()
    assert list(acts["Pong[Alice, Bob, Exit]"].on) == ["pong"]


def test_an_option_is_no_message() -> None:
    with pytest.raises(TypeError, match="option of a branch"):
        weight(3)(5)


def test_options_and_patience_are_taken_over_and_are_still_called() -> None:
    class Options(Scene[Alice, Bob, Charlie]):
        patience = 30
        ping: Msg[int, Self] = ignore(weight=2)
        pong: Msg[None, Self, To[Charlie]] = weight(3)
        late: Msg[None, Exit] = after(5)
        thought: Msg[None, Exit, To[()]]
        plain: Msg[None, Self, To[Charlie, Bob]]

        async def send(self, me: Alice) -> Sent:
            return self.ping(3)

    script = sound(read(Options, roles=[Alice, Bob, Charlie], name="options"))
    assert (script.name, script.start) == ("options", "Options")
    scene = script.scenes["Options"]
    assert scene.patience == 30.0
    ping, pong, late, thought, plain = scene.branches
    assert (ping.ignored, ping.weight, ping.after) == (True, 2.0, None)
    assert (pong.ignored, pong.weight, pong.after) == (False, 3.0, None)
    assert (late.ignored, late.weight, late.after) == (False, 1.0, 5.0)
    assert [each.to for each in (ping, pong, thought, plain)] == [
        *(("Bob", "Charlie"), ("Charlie",), (), ("Charlie", "Bob"))
    ]
    assert inspect.iscoroutinefunction(read(Options, roles=[Alice, Bob, Charlie]).acts["Options"].send)
    assert Options().late() == ("late", None)


# Where names are found.


def test_scenes_of_a_function_find_each_other_and_go_on_to_do_so_when_it_has_returned() -> None:
    def written() -> Any:
        class First(Scene[Alice, Bob]):
            go: Msg[None, Second]

            def send(self, me: Alice) -> Sent:
                return self.go()

        class Second(Scene[Bob, Alice]):
            back: Msg[None, First]
            stop: Msg[None, Exit]

            def send(self, me: Bob) -> Sent:
                return self.back()

        return First

    first = written()
    for _ in range(2):
        script = sound(read(first, roles=[Alice, Bob]))
        assert list(script.scenes) == ["First", "Second"]


def test_what_a_method_uses_is_found_in_functions_further_out() -> None:
    class Stopped(Exit): ...

    def inner() -> Any:
        class First(Scene[Alice, Bob]):
            go: Msg[None, Stopped]

            def send(self, me: Alice) -> Sent:
                assert Stopped is not Exit
                return self.go()

        return First

    assert sound(read(inner(), roles=[Alice, Bob])).exits == ("Stopped",)


NESTED = """
from __future__ import annotations
from amachine.choreography.scenes.reader import Exit, Msg, Scene, Sent, ignore
class Alice: ...
class Around:
    class Payload: x: int
    class First(Scene[Alice]):
        class Own: x: int
        one: Msg[Payload, Exit] = ignore()
        two: Msg[Own, Exit] = ignore()
        def send(self, me: Alice) -> Sent: return self.one(Around.Payload())
"""


def test_names_in_classes_around_a_scene_are_found() -> None:
    module = program(NESTED)
    around = module["Around"]
    reading = read(around.First, roles=[module["Alice"]], codec=Anything())
    assert {each.code for each in reading.diagnostics} == {"AMC208"}  # nobody hears of it
    one, two = reading.script.scenes["First"].branches
    assert (one.payload, two.payload) == (around.Payload, around.First.Own)


class Anything(Standard):
    """Says that it can encode whatever there is."""

    def problem(self, payload: Any) -> str | None:
        return None


EAGER = """
from typing import Generic, Self, TypeVar
from amachine.choreography.scenes.reader import Exit, Msg, Scene, Sent, To
class Alice: ...
class Bob: ...
Next = TypeVar("Next")
C = TypeVar("C", bound="Alice")
class Ping(Scene[C, "Bob"], Generic[C, Next]):
    ping: Msg[int, "Pong[C, Next]"]
    again: 'Msg[None, Self, "To[Bob]"]'
    def send(self, me): return self.ping(3)
    def on_ping(self, me: "Bob", n: "int"): ...
class Pong(Scene[Bob, C], Generic[C, Next]):
    pong: Msg[None, Next]
    def send(self, me: "Bob") -> "Sent": return self.pong()
First = Ping[Alice, Exit]
"""


def test_without_the_future_import_what_comes_later_is_written_as_text() -> None:
    module = program(EAGER)
    script = sound(read(module["First"], roles=[module["Alice"], module["Bob"]]))
    assert list(script.scenes) == ["Ping[Alice, Exit]", "Pong[Alice, Exit]"]
    assert [branch.next for _, branch in script.branches()] == [
        *("Pong[Alice, Exit]", "Ping[Alice, Exit]", "Exit")
    ]


NEW = """
from __future__ import annotations
from typing import Protocol
from amachine.choreography.scenes.reader import Exit, Msg, Scene, Sent
class Pinger(Protocol):
    count: int
class Alice: count = 0
class Bob: count = 0
class Ping[C: Pinger, V: Pinger, Next](Scene[C, V]):
    ping: Msg[int, Pong[C, V, Next]]
    next: Msg[None, Next]
    def send(self, me: C) -> Sent: return self.next()
    def on_ping(self, me: V, n: int) -> None: ...
def local():
    class Pong[C: Pinger, V: Pinger, Next](Scene[V, C]):
        pong: Msg[None, Elsewhere]
        def send(self, me: V) -> Sent: return self.pong()
    class Elsewhere(Exit): ...
    return Pong
Pong = local()
First = Ping[Alice, Bob, Exit]
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters in brackets came with 3.12")
def test_templates_of_python_3_12() -> None:
    module = program(NEW)
    script = sound(read(module["First"], roles=[module["Alice"], module["Bob"]]))
    assert list(script.scenes) == ["Ping[Alice, Bob, Exit]", "Pong[Alice, Bob, Exit]"]
    assert set(script.exits) == {"Exit", "Elsewhere"}


# Templates, inheritance, barriers.


class Tell(Scene[Alice, Bob], Generic[Next]):
    tell: Msg[list[Next], Exit]
    again: Msg[None, Tell[Next]]

    def send(self, me: Alice) -> Sent:
        return self.again()

    def on_tell(self, me: Bob, data: list[Next]) -> None: ...


class TellInt(Tell[int]):
    again: Msg[None, Failed]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    more: Msg[None, Tell[str]] = weight(3)


class TellLess(TellInt):
    more = weight(2)


def test_payloads_are_arguments_and_inherited_branches_keep_their_places() -> None:
    script = sound(read(TellLess, roles=[Alice, Bob]))
    less, tells = script.scenes.values()
    assert (less.id, tells.id) == ("TellLess", "Tell[str]")
    assert [(each.label, each.payload, each.next, each.weight) for each in less.branches] == [
        ("tell", list[int], "Exit", 1.0),
        ("again", None, "Failed", 1.0),
        ("more", None, "Tell[str]", 2.0),
    ]
    assert tells.branch("tell").payload == list[str]
    assert TellLess().more() == ("more", None)


class Lead(Scene[Selector, Alice, Bob, Charlie]):
    tight: Msg[None, Ping[Charlie, Bob, Barrier[Begin[Alice, Bob, Charlie, Lead, Exit]]]]
    known: Msg[None, Ping[Charlie, Bob, Barrier[Begin[Bob, Alice, Charlie, Lead, Exit]]]]
    own: Msg[None, Ping[Charlie, Bob, Barrier[Barrier[Begin[Charlie, Bob, Alice, Lead, Exit]]]]]
    exit: Msg[None, Ping[Alice, Bob, Barrier[Exit]]]

    def send(self, me: Selector) -> Sent:
        return self.exit()


def test_a_barrier_tells_the_next_sender_unless_that_knows() -> None:
    reading = read(Barrier[Lead], roles=[Selector, Alice, Bob, Charlie])
    script = sound(reading)
    begin = "Begin[Alice, Bob, Charlie, Lead, Exit]"
    barriers = [scene for scene in script.scenes.values() if scene.name == "Barrier"]
    assert [scene.id for scene in barriers] == [f"Barrier[Charlie, {begin}]"]
    (done,) = barriers[0].branches
    assert (barriers[0].sender, done.label, done.to, done.next) == ("Charlie", "done", ("Alice",), begin)
    assert script.scenes[f"Ping[Charlie, Bob, Barrier[{begin}]]"].branch("next").next == barriers[0].id
    assert reading.acts[barriers[0].id].send(Charlie()) == ("done", None)
    assert script.start == "Lead"
    ids = list(script.scenes)
    assert ids[0] == "Lead"
    assert ids.index(f"Ping[Charlie, Bob, Barrier[{begin}]]") < ids.index(barriers[0].id) < ids.index(begin)
    assert script.scenes["Ping[Alice, Bob, Barrier[Exit]]"].branch("next").next == "Exit"


def test_in_lock_step_every_sender_is_told_before_it_begins() -> None:
    loose = Choreography(Start, roles=[Selector, Alice, Bob, Charlie])
    tight = Choreography(Start, roles=[Selector, Alice, Bob, Charlie], barrier=True)
    untold: dict[str, int] = {}
    for whole in (loose, tight):
        script = whole.script
        untold[repr(whole)] = sum(
            branch.next in script.scenes
            and script.scenes[branch.next].sender not in (scene.sender, *branch.to)
            for scene, branch in script.branches()
        )
        assert explore({role: whole.project(role) for role in script.roles}, limit=2000).clean
    assert untold[repr(loose)] > 0
    assert untold[repr(tight)] == 0
    added = [tight.script.scenes[id] for id in tight.script.scenes if id not in loose.script.scenes]
    assert {(each.name, each.branches[0].label) for each in added} == {("Barrier", "done")}


FIELDS: list[Callable[[Any], Any]] = [dataclasses.dataclass, dataclasses.dataclass(slots=True), attrs.define]


@pytest.mark.parametrize("decorate", FIELDS, ids=["dataclass", "slots", "attrs"])
def test_a_decorator_that_makes_fields_of_branches_is_told_as_such(decorate: Callable[[Any], Any]) -> None:
    class First(Scene[Alice, Bob]):
        done: Msg[None, Exit]

        def send(self, me: Alice) -> Sent:
            return self.done()

    (found,) = read(decorate(First), roles=[Alice, Bob]).diagnostics
    assert found.code == "AMC209"
    assert "its branches would become fields" in found.text


# Regions.


class Outer(Region, on_lost=lambda: Sorry):
    """Wherever it is lost."""


class Inner(Outer, on_lost={Bob: "Sorry", Charlie: Failed}):
    """Nearer."""


class Again(Outer, restart=True):
    """From the start."""


class Ask(Outer, Scene[Alice, Bob, Charlie]):
    ask: Msg[None, Answer]
    retry: Msg[None, Retry]

    def send(self, me: Alice) -> Sent:
        return self.ask()


class Answer(Scene[Bob, Alice, Charlie], Inner):
    answer: Msg[None, Exit]

    def send(self, me: Bob) -> Sent:
        return self.answer()


class Retry(Again, Scene[Charlie, Alice, Bob]):
    answer: Msg[None, Ask]

    def send(self, me: Charlie) -> Sent:
        return self.answer()


class Sorry(Scene[Alice]):
    sorry: Msg[None, Failed]

    def send(self, me: Alice) -> Sent:
        return self.sorry()


def test_regions_nest_and_say_where_it_goes_on_for_each_mortal_role() -> None:
    script = sound(read(Ask, roles=[Alice, Bob, Charlie], mortal=[Charlie, Bob]))
    assert script.mortal == ("Bob", "Charlie")
    outer, inner, again = script.regions.values()
    assert (outer.name, outer.parent, outer.restart) == ("Outer", None, False)
    assert outer.on_lost == (("Bob", "Sorry"), ("Charlie", "Sorry"))
    assert (inner.name, inner.parent) == ("Inner", "Outer")
    assert inner.on_lost == (("Bob", "Sorry"), ("Charlie", "Failed"))
    assert (again.name, again.on_lost, again.restart) == ("Again", (), True)
    assert [scene.region for scene in script.scenes.values()] == ["Outer", "Inner", "Again", None]
    assert script.innermost("Answer") == ("Inner", "Outer")


# Classes that are made in their own way.


def test_a_metaclass_does_not_hide_where_a_scene_stands() -> None:
    class Making(ABCMeta):
        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
            return super().__new__(cls, name, bases, space)

    class Over(Exit): ...

    class Plain(Scene[Alice, Bob], ABC):
        go: Msg[None, Over]

        def send(self, me: Alice) -> Sent:
            return self.go()

    class Made(Scene[Alice, Bob], metaclass=Making):
        go: Msg[None, Over]

        def send(self, me: Alice) -> Sent:
            return self.go()

        def on_go(self, me: Bob) -> None:
            assert me is not None

    class Inner(Region, ABC, on_lost=lambda: Over):
        pass

    for each in (Plain, Made):
        script = sound(read(each, roles=[Alice, Bob]))
        (branch,) = script.scenes[each.__name__].branches
        assert branch.next == "Over"
        assert branch.place is not None
        assert branch.place.file == __file__
    assert Inner.__statement__.whence.place.file == __file__


def test_a_branch_may_have_a_name_that_only_classes_of_classes_use() -> None:
    class Walk(Scene[Alice, Bob]):
        mro: Msg[None, Exit]

        def send(self, me: Alice) -> Sent:
            return self.mro()

    assert [each.label for each in sound(read(Walk, roles=[Alice, Bob])).scenes["Walk"].branches] == ["mro"]
    assert tuple(Walk().send(Alice())) == ("mro", None)


# Whole programs.


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tests_choreo_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_program_that_type_checkers_find_right_can_be_read() -> None:
    right = loaded(Path(__file__).parent.parent / "typing" / "right_scenes.py")
    everybody = [right.Selector, right.Alice, right.Bob, right.Charlie]
    sound(read(right.Start, roles=everybody))
    sound(read(right.Size, roles=[right.Sender, right.Receiver]))
    sound(read(right.Louder, roles=everybody))
    charge = sound(read(right.Charge, roles=everybody, mortal=[right.Bob, right.Charlie]))
    assert dict(charge.regions["Deep"].on_lost) == {"Bob": "Refund", "Charlie": "Failed"}
    assert [branch.label for branch in charge.scenes["Charge"].branches] == [
        *("sum", "thought", "both", "late", "later")
    ]
