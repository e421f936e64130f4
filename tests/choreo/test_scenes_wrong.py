"""Every mistake in scene classes is found, at its own line and nowhere else, and all of them in one go.

Each program marks the lines that are wrong with the code and a part of what is said of them.
"""

from __future__ import annotations

import linecache
import re
from typing import Any, Self

import pytest

from amachine.choreography.diagnostics import CODES, ChoreographyError, Diagnostic, Level
from amachine.choreography.reading import Reading
from amachine.choreography.scenes.reader import Exit, read
from amachine.choreography.script import Inform
from amachine.choreography.subtypes import fits
from amachine.choreography.whole import Choreography
from tests.choreo import plays
from tests.choreo.plays import Alice, Bob, Ping
from tests.choreo.wrong import program

PRELUDE = """
from __future__ import annotations
import socket, types
from typing import Annotated, Any, ClassVar, Generic, Protocol, Self, TypeVar
from amachine.choreography.scenes.reader import (
    Barrier, Exit, Msg, Region, Scene, Sent, To, after, ignore, weight
)
class Pinger(Protocol):
    count: int
    def bump(self) -> int: ...
class Peer:
    count = 0
    def bump(self) -> int: return 1
class Alice(Peer): ...
class Bob(Peer): ...
class Carol(Peer): ...
class Plain:
    def __init__(self): self.count = 0
class Failed(Exit): ...
Next, Bad, Anyone = TypeVar("Next"), TypeVar("Bad"), TypeVar("Anyone")
C, V = TypeVar("C", bound=Pinger), TypeVar("V", bound=Pinger)
class Sends:
    def send(self, me): return self.done()
class Ping(Sends, Scene[C, V], Generic[C, V, Next]):
    done: Msg[None, Next]
    pong: Msg[None, Pong[C, V, Next]]
class Pong(Sends, Scene[V, C], Generic[C, V, Next]):
    done: Msg[None, Ping[C, V, Next]]
class End(Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
"""

MARK = re.compile(r"# (?P<code>AMC\d+)(?P<warning> warning)? (?P<text>.+)$", re.MULTILINE)

PROGRAMS = {
    "names": """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from somewhere import Unloaded
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Endd]          # AMC100 First.done: 'Endd' cannot be resolved (did you mean 'End'?)
    deep: Msg[None, Ping[Alice, Boob, End]]  # AMC100 'Boob' cannot be resolved (did you mean 'Bob'?)
    module: Msg[None, socket.sockett]        # AMC100 'sockett' cannot be resolved (did you mean 'socket'?)
    quoted: Msg[None, "Endd"]      # AMC100 First.quoted: 'Endd' cannot be resolved (did you mean 'End'?)
    late: Msg[None, Ping["Alicee", Bob, End]]  # AMC100 First.late: 'Alicee' cannot be resolved
    text: "Msg[None, End]"         # AMC211 First.text: a branch is a Msg[payload, next], not 'Msg[None, End]'
    unloaded: Msg[None, Unloaded]  # AMC100 First.unloaded: 'Unloaded' cannot be resolved
    garbage: Msg[None, "("]        # AMC106 First.garbage: Msg[None, '(']: Forward reference must be an expression
""",
    "cast": """
class Dave(Peer): ...
class Eve(Peer): ...
class First(Scene[Alice, Dave, Bob]):        # AMC101 First: Dave is not a role of this choreography (roles: Alice, Bob, Carol)
    done: Msg[None, Ping[Alice, Eve, End]]   # AMC101 Ping[Alice, Eve, End]: Eve is not a role of this choreography
    some: Msg[None, End, To[Carol]]          # AMC101 First.some: Carol is not in the cast of First (Alice, Dave, Bob)
    exit: Msg[None, End, To[Exit]]           # AMC101 First.exit: Exit is not a role of this choreography
    same: Msg[None, Ping[Bob, Bob, End]]     # AMC103 Ping[Bob, Bob, End]: Bob sends to itself
    def send(self, me: Alice) -> Sent: return self.done()
""",
    "next": """
class First(Sends, Scene[Alice, Bob]):
    role: Msg[None, Alice]         # AMC102 First.role: next must be a Scene or Exit, got role class Alice
    kind: Msg[None, int]           # AMC102 First.kind: next must be a Scene or Exit, got int
    none: Msg[None, None]          # AMC102 First.none: next must be a Scene or Exit, got NoneType
    base: Msg[None, Scene]         # AMC102 First.base: next must be a Scene or Exit, got Scene
    bare: Msg[None, Barrier]       # AMC102 First.bare: next must be a Scene or Exit, got Barrier
    held: Msg[None, Barrier[int]]  # AMC102 First.held: next must be a Scene or Exit, got int
    module: Msg[None, types]       # AMC102 got <module 'types'
    done: Msg[None, End]
""",
    "twice": """
class First(Sends, Scene[Alice, Alice]):     # AMC103 First: Alice sends to itself; a local step is a Msg to nobody
    done: Msg[None, Second]
class Second(Sends, Scene[Alice, Bob, Bob]):  # AMC104 Second: Bob appears twice among the receivers
    done: Msg[None, End, To[Alice]]          # AMC103 Second.done: Alice sends to itself
    more: Msg[None, End, To[Bob, Bob]]       # AMC104 Second.more: Bob appears twice among the receivers
""",
    "empty": """
class First(Sends, Scene[Alice, Bob]):       # AMC105 First: a scene needs at least one Msg
    limit = 3
""",
    "arguments": """
class First(Sends, Scene[Alice, Bob]):
    few: Msg[None, Ping[Alice, Bob]]         # AMC106 First.few: Msg[None, Ping[Alice, Bob]]: Too few arguments for Ping;
    many: Msg[None, Ping[Alice, Bob, Exit, Exit]]  # AMC106 Too many arguments
    none: Msg[None, Ping]                    # AMC106 Ping: nothing is given for C
    plain: Msg[None, End[Alice]]             # AMC106 First.plain: Msg[None, End[Alice]]: End is not a generic class
    short: Msg[None]                         # AMC106 Too few arguments
    bare: Msg                                # AMC106 First.bare: a Msg has a payload and what is next
    free: Msg[None, Next]                    # AMC106 First: nothing is given for Next
    text: Msg[None, "Ping[Alice, Bob]"]      # AMC106 First.text: Ping[Alice, Bob]: Too few arguments
    loose: Msg[None, Loose]                  # AMC106 Loose: nothing is given for C
    cast: Msg[None, Unapplied]
class Loose(Ping): ...
class Unapplied(Sends, Scene):               # AMC106 Unapplied: a scene needs a sender
    done: Msg[None, Exit]
""",
    "parts": """
# roles Plain
Named, One = TypeVar("Named", bound=Bob), TypeVar("One", Alice, Bob)
class Strict(Sends, Scene[Named, One], Generic[Named, One]):
    done: Msg[None, Exit]
class Later(Sends, Scene[Anyone, Alice], Generic[Anyone]):
    done: Msg[None, Ping[Anyone, Alice, Exit]]  # AMC107 Ping[Plain, Alice, Exit]: Plain cannot play C: it has no bump
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Ping[Alice, Plain, Exit]]   # AMC107 Ping[Alice, Plain, Exit]: Plain cannot play V: it has no bump
    strict: Msg[None, Strict[Alice, Bob]]       # AMC107 Strict[Alice, Bob]: Alice cannot play Named: it is no Bob
    one: Msg[None, Strict[Bob, Carol]]          # AMC107 Strict[Bob, Carol]: Carol cannot play One: it is no Alice or Bob
    fine: Msg[None, Strict[Bob, Alice]]
    later: Msg[None, Later[Plain]]
""",
    "growing": """
class Grow(Sends, Scene[Alice, Bob], Generic[Next]):
    done: Msg[None, Grow[Grow[Next]]]  # AMC108 a continuation grows on every turn (Grow -> Grow[Grow] -> ...)
class Twice(Sends, Scene[Alice, Bob], Generic[Next, Bad]):
    done: Msg[None, Twice[Twice[Next, Bad], Twice[Bad, Next]]]  # AMC108 more than 10,000 scenes
class First(Sends, Scene[Alice, Bob]):
    one: Msg[None, Grow[Exit]]
    two: Msg[None, Twice[Exit, Failed]]
""",
    "growing payloads": """
class Longer(Sends, Scene[Alice, Bob], Generic[Next]):
    done: Msg[Next, Longer[list[Next]]] = ignore()  # AMC108 a continuation grows on every turn (Longer -> Longer[Longer]
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Longer[int]]
""",
    "unreached": """
class Never(Sends, Scene[Alice, Bob]):       # AMC111 warning Never is never reached from First
    done: Msg[None, Exit]
class Forgets(Sends, Scene[Alice, Bob], Generic[Next]):
    done: Msg[None, Exit]
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Forgets[Never]]
""",
    "no branches": """
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
    forgot: End                    # AMC211 First.forgot: a branch is a Msg[payload, next], not End
    whole: Ping[Alice, Bob, Exit]  # AMC211 First.whole: a branch is a Msg[payload, next], not Ping
    pair: tuple[int, End]          # AMC211 First.pair: a branch is a Msg[payload, next], not tuple
    who: Msg[None, End, Bob]       # AMC211 First.who: the third part of a Msg is To[...], not Bob
    limit: int = 5
    times: ClassVar[int] = 5
    _kept: int
    odd = weight(3)                # AMC211 First.odd: an option, but no branch
""",
    "options": """
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
    number: Msg[None, Exit] = 5          # AMC212 First.number: 5 is no option of a branch
    negative: Msg[None, Exit] = after(-1)  # AMC212 First.negative: after(-1) is no number of seconds above 0
    never: Msg[None, Exit] = after(float("inf"))  # AMC212 First.never: after(inf) is no number of seconds
    text: Msg[None, Exit] = after("5")   # AMC212 First.text: after('5') is no number of seconds above 0
    zero: Msg[None, Exit] = weight(0)
    heavy: Msg[None, Exit] = weight(-3)  # AMC212 First.heavy: the weight -3 is no number from 0 on
    truth: Msg[None, Exit] = weight(True)  # AMC212 First.truth: the weight True is no number from 0 on
    brings: Msg[int, Exit] = after(5)    # AMC212 First.brings: after() takes it by itself, so it can carry nothing, and not int
    second: Msg[None, Exit] = after(6)   # AMC212 First.second: brings has an after(), too; time can take only one of them
    empty: Msg[None, Exit] = ignore()    # AMC212 warning First.empty: ignore() of nothing
    yet: Msg[int, Exit] = ignore()
    def on_yet(self, me, n): ...         # AMC212 warning First.yet is ignored, and yet there is on_yet
    def on_brings(self, me, n): ...
""",
    "deadlines": """
class First(Scene[Alice, Bob]):
    done: Msg[None, Second]
    late: Msg[None, Second] = after(1)
    def send(self, me: Alice) -> Sent:  # AMC212 First.late: First.send is no coroutine function, so after() cannot interrupt it
        return self.done()
class Second(Scene[Alice, Bob]):
    done: Msg[None, Third]
    late: Msg[None, Third] = after(1)
    async def send(self, me: Alice) -> Sent: ...
class Third(Scene[Alice, Bob]):
    done: Msg[None, Exit]
    late: Msg[None, Exit] = after(1)
    def send(self, me: Alice) -> Awaitable[Sent]: ...
""",
    "labels": """
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
    send: Msg[None, Exit]          # AMC213 First.send: no branch can be called 'send'
    patience: Msg[None, Exit]      # AMC213 First.patience: no branch can be called 'patience'
    on_done: Msg[None, Exit]       # AMC213 First.on_done: no branch can be called 'on_done'
    _done: Msg[None, Exit]         # AMC213 First._done: no branch can be called '_done'
    both: Msg[None, Exit]          # AMC213 First.both: a branch cannot be a method of First, too
    def both(self): ...
""",
    "patience": """
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Second]
    patience = 0                   # AMC214 First: patience 0 is no number of seconds above 0
class Second(Sends, Scene[Alice, Bob]):
    patience: Any = "30"           # AMC214 Second: patience '30' is no number of seconds above 0
    done: Msg[None, Third]
class Third(Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
    patience = 0.5
""",
    "regions": """
# mortal Alice Carol
class Nothing(Region): ...                         # AMC215 Nothing provides for nothing
class Other(Region, on_lost=Exit): ...
class Wrong(Region, on_lost=Alice): ...            # AMC102 Wrong: on_lost: next must be a Scene or Exit, got role class Alice
class Missing(Region, on_lost=lambda: Endd): ...   # AMC100 Missing: on_lost: 'Endd' cannot be resolved (did you mean 'End'?)
class Text(Region, on_lost="Endd"): ...            # AMC100 Text: on_lost: 'Endd' cannot be resolved (did you mean 'End'?)
class Some(Region, on_lost={Alice: Exit, Failed: Exit, Carol: End}): ...  # AMC101 Some: Failed is not a role of this choreography
class Breaks(Region, on_lost=lambda: 1 / 0): ...   # AMC215 Breaks: on_lost: division by zero
class First(Nothing, Sends, Scene[Alice, Bob]):
    done: Msg[None, Second]
class Second(Wrong, Sends, Scene[Alice, Bob]):
    done: Msg[None, Third]
class Third(Missing, Sends, Scene[Alice, Bob]):
    done: Msg[None, Fourth]
class Fourth(Text, Sends, Scene[Alice, Bob]):
    done: Msg[None, Fifth]
class Fifth(Other, Some, Sends, Scene[Alice, Bob]):  # AMC215 Fifth is in two regions: Other and Some
    done: Msg[None, Sixth]
class Sixth(Some, Sends, Scene[Alice, Bob], on_lost=Exit):  # AMC215 Sixth: on_lost and restart belong to a region
    done: Msg[None, Seventh]
class Seventh(Breaks, Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
""",
    "provided for in vain": """
class Some(Region, on_lost={Bob: Exit}): ...  # AMC215 warning Some provides for the loss of Bob, which is not declared mortal
class First(Some, Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
""",
    "taken names": """
class Done(Exit): ...
class Aborted(Exit): ...
def other():
    class End(Sends, Scene[Alice, Bob]):
        done: Msg[None, Exit]
    class Failed(Exit): ...
    return End, Failed
OtherEnd, OtherFailed = other()
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Done]          # AMC216 First.done: no exit can be called Done, as every role has that state
    gone: Msg[None, Aborted]       # AMC216 First.gone: no exit can be called Aborted
    one: Msg[None, End]
    two: Msg[None, OtherEnd]       # AMC216 First.two: two different classes are called End
    three: Msg[None, Failed]
    four: Msg[None, OtherFailed]   # AMC216 First.four: two different classes are called Failed
""",
    "send": """
class First(Scene[Alice, Bob]):    # AMC201 First: role Alice must define send(me: Alice) -> Sent
    done: Msg[None, Second]
class Second(Scene[Alice, Bob]):
    done: Msg[None, Third]
    def send(self, me: Bob) -> Sent: return self.done()  # AMC202 Second.send: me is Bob, but Alice sends here
class Third(Scene[Alice, Bob]):
    done: Msg[None, Fourth]
    def send(self) -> Sent: return self.done()  # AMC202 Third.send is called with who sends, and with nothing else
class Fourth(Scene[Alice, Bob]):
    done: Msg[None, Fifth]
    def send(self, me: Alice) -> tuple[str, int]: return self.done()  # AMC210 Fourth.send gives back tuple[str, int]
class Fifth(Scene[Alice, Bob]):
    done: Msg[None, Sixth]
    def send(self, me: Alice) -> Sent: yield self.done()  # AMC210 Fifth.send is a generator, which nobody would run
class Sixth(Sends, Scene[Alice, Bob]):  # AMC209 Sixth cannot be made
    done: Msg[None, Seventh]
    def __init__(self, more): ...
class Seventh(Scene[C, V], Generic[C, V]):
    done: Msg[None, Exit]
    def send(self, me: Wider) -> Sent: return self.done()
Wider = Any
class Seventh(Seventh[Alice, Bob]):
    async def send(self, me: Peer | None, more: int = 3) -> Sent: return self.done()
""",
    "on": """
class First(Sends, Scene[Alice, Bob, Carol]):
    done: Msg[None, Exit]
    number: Msg[int, Exit]                        # AMC203 warning First.number carries int but Bob and Carol have no on_number
    meant: Msg[int, Exit] = ignore()
    other: Msg[int, Exit]
    def on_other(self, me: Peer, n: str): ...     # AMC204 First.on_other: parameter 'n' is str but the message carries int
    short: Msg[int, Exit]
    def on_short(self, me: Any): ...              # AMC204 First.on_short must take (self, me, data): the message carries int
    long: Msg[None, Exit]
    def on_long(self, me: Bob | Carol, n): ...    # AMC204 First.on_long must take (self, me): the message carries nothing
    wide: Msg[int, Exit]
    def on_wide(self, me: Pinger, n: float | str): ...
    listed: Msg[list[int], Exit]
    def on_listed(self, me: object, n: list[str]): ...  # AMC204 parameter 'n' is list[str] but the message carries list[int]
    bob: Msg[None, Exit]
    def on_bob(self, me: Bob): ...                # AMC202 First.on_bob: me is Bob, but Carol hears of bob
    async def on_nummber(self, me: Bob): ...      # AMC205 First.on_nummber: no such branch (did you mean 'number'?)
    alone: Msg[None, Exit, To[()]]
    def on_alone(self, me: Bob): ...              # AMC205 First.on_alone: nobody hears of alone
    lazy: Msg[int, Exit]
    def on_lazy(self, me: Peer, n: int): yield    # AMC210 First.on_lazy is a generator, which nobody would run
    unknown: Msg[int, Exit]
    def on_unknown(self, me: Nowhere, n: Nothing): ...
    static: Msg[int, Exit]
    @staticmethod
    def on_static(me: Peer, n: int): ...
    some: Msg[int, Exit, To[Bob]]
    on_some = lambda self, *rest: None
""",
    "payloads": """
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
    wire: Msg[socket.socket, Exit] = ignore()      # AMC206 First.wire: payload socket cannot be encoded
    inside: Msg[list[socket.socket], Exit] = ignore()  # AMC206 First.inside: payload list[socket] cannot be encoded
    scene: Msg[End, Exit] = ignore()               # AMC206 First.scene: payload End is a scene, and cannot be sent
    maybe: Msg[int | None, Exit] = ignore()        # AMC207 First.maybe: the payload int | None may be None
    nobody: Msg[int, Exit, To[()]]                 # AMC208 warning First.nobody carries int to nobody
    noted: Msg[Annotated[int, []], Exit] = ignore()
""",
}


def read_program(source: str) -> tuple[Reading, list[str]]:
    """Read a program from its `First`. A line of it may name further roles, or those that are mortal."""
    names = program(PRELUDE + source)
    said = {
        match[1]: match[2].split() for match in re.finditer(r"^# (roles|mortal) (.*)$", source, re.MULTILINE)
    }
    roles = [names[name] for name in ("Alice", "Bob", "Carol", *said.get("roles", ()))]
    mortal = [names[name] for name in said.get("mortal", ())]
    return read(names["First"], roles=roles, mortal=mortal), (PRELUDE + source).splitlines()


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
def test_every_mistake_is_found_at_its_line_and_nothing_else(source: str) -> None:
    reading, lines = read_program(source)
    wanted = {number: match for number, line in enumerate(lines, 1) if (match := MARK.search(line))}
    found: dict[int, list[Diagnostic]] = {}
    for each in reading.diagnostics:
        assert each.line is not None, each
        found.setdefault(each.line, []).append(each)
    assert {number: [str(each) for each in found[number]] for number in found.keys() - wanted} == {}
    assert [each.line for each in reading.diagnostics] == sorted(wanted)
    for number, mark in wanted.items():
        assert number in found, f"nothing is said of: {lines[number - 1]}"
        (said,) = found[number]
        assert (said.code, said.level is Level.WARNING) == (mark["code"], bool(mark["warning"])), said
        assert mark["text"] in said.text


# What is wrong with how it is called.


@pytest.mark.parametrize(
    ("start", "roles", "mortal", "said"),
    [
        (Alice, [Alice, Bob], [], ["AMC102 the start: next must be a Scene or Exit, got role class Alice"]),
        (Self, [Alice, Bob], [], ["AMC102 the start: Self means nothing outside of a scene"]),
        ("Ping", [Alice, Bob], [], ["AMC100 the start: 'Ping' cannot be resolved outside of a class"]),
        (7, [Alice, Bob], [], ["AMC102 the start: next must be a Scene or Exit, got 7"]),
        (Ping, [Alice, Bob], [], ["AMC106 Ping: nothing is given for C"]),
        (plays.PINGPONG.start, [Alice, Bob, Bob], [], ["AMC104 Bob is cast twice"]),
        (plays.PINGPONG.start, [Alice, Bob, "Carol"], [], ["AMC217 'Carol' is no class, and so no role"]),
        (
            plays.PINGPONG.start,
            [Alice, Bob, type("Bob", (), {})],
            [],
            ["AMC104 two roles are called Bob"],
        ),
        (
            plays.PINGPONG.start,
            [Alice, Bob],
            [plays.Selector],
            ["AMC101 mortal: Selector is not a role of this choreography (roles: Alice, Bob)"],
        ),
    ],
)
def test_a_wrong_start_or_cast_is_told(start: Any, roles: Any, mortal: Any, said: list[str]) -> None:
    reading = read(start, roles=roles, mortal=mortal)
    assert [str(each).partition("\n")[0] for each in reading.diagnostics] == said


def test_an_exit_is_a_choreography_of_nothing() -> None:
    script = read(Exit, roles=[Alice]).script
    assert (script.start, dict(script.scenes), script.exits) == ("Exit", {}, ("Exit",))


def test_a_name_of_a_function_further_out_that_no_method_uses_is_told() -> None:
    class Hidden(Exit): ...

    def inner() -> Any:
        from amachine.choreography.scenes.reader import Msg, Scene, Sent

        class First(Scene[Alice, Bob]):
            go: Msg[None, Hidden]

            def send(self, me: Alice) -> Sent:
                return self.go()

        return First

    (said,) = read(inner(), roles=[Alice, Bob]).diagnostics
    assert (said.code, said.text) == ("AMC100", "First.go: 'Hidden' cannot be resolved")
    assert "a function further out" in said.hint


def test_a_policy_that_there_is_not_is_refused() -> None:
    wrong: Any = Choreography
    with pytest.raises(ValueError, match=r"inform='atuo' \(did you mean 'auto'\?\): there are 'auto', 'all'"):
        wrong(plays.PINGPONG.start, roles=[Alice, Bob], inform="atuo")
    with pytest.raises(ValueError, match="end='never': there are 'known', 'bye'"):
        wrong(plays.PINGPONG.start, roles=[Alice, Bob], end="never")
    with pytest.raises(ValueError, match="inform='some'"):
        wrong.of(read(plays.PINGPONG.start, roles=[Alice, Bob]), inform="some")


def test_a_scene_with_the_name_of_a_final_state_is_told() -> None:
    names = program(PRELUDE + "class Aborted(Sends, Scene[Alice, Bob]):\n    done: Msg[None, Exit]")
    (said,) = read(names["Aborted"], roles=[names["Alice"], names["Bob"]]).diagnostics
    assert (said.code, said.text[:44]) == ("AMC216", "the start: no scene can be called Aborted, a")


def test_without_source_a_mistake_is_told_at_its_class() -> None:
    names: dict[str, Any] = {"__name__": "nowhere"}
    source = PRELUDE + "class First(Sends, Scene[Alice, Bob]):\n    x = 3\n    done: Msg[None, Endd]\n"
    exec(compile(source, "<nowhere>", "exec", dont_inherit=True), names)
    (said,) = read(names["First"], roles=[names["Alice"], names["Bob"]]).diagnostics
    lines = source.splitlines()
    assert said.line == lines.index("class First(Sends, Scene[Alice, Bob]):") + 1
    assert (said.code, said.scene, said.file) == ("AMC100", "First", "<nowhere>")


def test_a_choreography_raises_all_that_was_found() -> None:
    names = program(PRELUDE + PROGRAMS["send"])
    with pytest.raises(ChoreographyError) as raised:
        Choreography(names["First"], roles=[names["Alice"], names["Bob"]])
    wanted = ["AMC201", "AMC202", "AMC202", "AMC209", "AMC210", "AMC210"]
    assert sorted(raised.value.codes) == wanted


def test_every_code_is_documented() -> None:
    marked = {match["code"] for source in PROGRAMS.values() for match in MARK.finditer(source)}
    assert len(marked) >= 25
    assert marked | {"AMC217"} <= CODES.keys()


ODD = [
    *(
        "...",
        "[]",
        "3",
        "'x'",
        "Self",
        "Next",
        "list[Self]",
        "Scene",
        "Barrier",
        "Msg[int, Exit]",
        "End | Exit",
    ),
    *("Ping[Self, Self, Self]", "Ping[[], Bob, Exit]", "Annotated[End, []]", "ClassVar[int]", "lambda: End"),
]
SPOTS = [
    "class First(Sends, Scene[Alice, Bob]):\n    done: Msg[{odd}, {odd}]",
    "class First(Sends, Scene[Alice, Bob]):\n    done: Msg[None, Exit, To[{odd}]]\n    more: Msg[None, Exit, {odd}]",
    "class First(Sends, Scene[Alice, Bob]):\n    done: {odd} = {odd}\n    patience = {odd}\n    on_done = {odd}",
    "class First(Sends, Scene[{odd}, {odd}]):\n    done: Msg[None, Exit] = after({odd}, weight={odd})",
    "class First(Scene[Alice, Bob]):\n    done: Msg[int, Exit]\n    send = {odd}",
    "class First(Scene[Alice, Bob]):\n    done: Msg[int, Exit]\n    def send(self, me: {odd}) -> {odd}: ...",
    "class R(Region, on_lost={odd}): ...\nclass First(R, Sends, Scene[Alice, Bob]):\n    done: Msg[None, Exit]",
    "class P(Sends, Scene[Alice, Bob], Generic[Next]):\n    done: Msg[Next, Next]\nFirst = P[{odd}]",
    "First = {odd}",
]


@pytest.mark.parametrize("spot", SPOTS, ids=range(len(SPOTS)))
def test_reading_raises_nothing_whatever_is_written(spot: str) -> None:
    found = 0
    for odd in ODD:
        try:
            names = program(PRELUDE + spot.format(odd=odd))
        except TypeError:  # Python itself, or `typing`, refuses it at its line
            continue
        roles = [names["Alice"], names["Bob"]]
        reading = read(names["First"], roles=roles, mortal=[names["Bob"]])
        assert all(each.code in CODES for each in reading.diagnostics)
        found += any(each.level is Level.ERROR for each in reading.diagnostics)
    assert found >= 2


def test_no_property_of_a_scene_is_asked_while_it_is_read() -> None:
    body = """
class First(Sends, Scene[Alice, Bob]):
    done: Msg[None, Exit]
    @property
    def on_done(self): raise SystemExit
"""
    names = program(PRELUDE + body)
    (found,) = read(names["First"], roles=[names["Alice"], names["Bob"]]).diagnostics
    assert (found.code, found.text) == ("AMC210", "First.on_done is a property, which nobody would ask")


class _Touchy(type):
    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("do not touch")

    __hash__ = type.__hash__


class _Untouchable(metaclass=_Touchy): ...


def test_a_type_that_cannot_be_compared_fits_where_it_is_asked_for() -> None:
    assert fits(_Untouchable, _Untouchable)
    assert not fits(_Untouchable, int)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"roles": [Alice, Bob, plays.Charlie]}, "AMC112"),
        ({"informs": [Inform("Ping", "nothing", "Bob")]}, "AMC113"),
        ({"roles": [Alice, Bob, Bob]}, "AMC104"),
        ({"mortal": [plays.Charlie]}, "AMC101"),
        ({"roles": [Alice, Bob, 3]}, "AMC217"),
        ({"start": Alice}, "AMC102"),
        ({"start": Ping}, "AMC106"),
    ],
)
def test_what_is_wrong_with_the_whole_is_told_where_it_is_made(options: dict[str, Any], code: str) -> None:
    given: dict[str, Any] = {"start": Ping[Alice, Bob, Exit], "roles": [Alice, Bob], **options}
    with pytest.raises(ChoreographyError) as caught:
        Choreography(given.pop("start"), **given)  # here
    (found,) = [each for each in caught.value.diagnostics if each.code == code]
    assert found.file == __file__
    assert linecache.getline(__file__, found.line or 0).rstrip().endswith("# here")


def test_another_class_of_the_name_of_a_role_is_no_role() -> None:
    whole = Choreography(Ping[Alice, Bob, Exit], roles=[Alice, Bob])
    other = type("Alice", (), {})
    assert whole.role_name(Alice) == whole.role_name("Alice") == "Alice"
    with pytest.raises(
        LookupError, match=r"the role Alice is tests.choreo.plays.Alice, and not .* the same name"
    ):
        whole.role_name(other)
