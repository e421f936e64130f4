"""Who is cast is held to what the functions of its role need, before anything runs; nothing of it is called for that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Generic, Protocol, TypeVar
from unittest.mock import MagicMock, Mock, create_autospec

import anyio
import attrs
import pytest

from amachine import Tracer
from amachine.choreography import (
    AsMachine,
    Choreography,
    Exit,
    Joined,
    Msg,
    Play,
    Region,
    Scene,
    Sent,
    Trace,
    choreography,
    ignore,
    memory_pair,
    wire,
)
from amachine.choreography.acting import Part
from amachine.choreography.playing.casting import check_cast, checked
from amachine.choreography.reading import Needs
from tests.choreo.built import pingpong as built
from tests.choreo.test_functions_mistakes import written

ROLES = """
class Bank(Protocol):
    open: bool
    count: int
    @property
    def limit(self) -> int: ...
    def fine(self, cents: int, /) -> bool: ...
    def more(self) -> list[int]: ...

class Shop(Protocol):
    count: int
    def total(self) -> int: ...
    def ship(self) -> None: ...
    def sum(self, of: int, /) -> int: ...

@choreography
def inner(one: Bank, other: Shop) -> None:
    other.count = one.limit

@choreography
def pay(shop: Shop, bank: Bank) -> bool:
    inner(bank, shop)
    bank.count = shop.sum(sum(shop.total() for shop in ()))
    if bank.fine(shop.total()) and bank.open:
        shop.ship()
        return True
    return False

@choreography(endless=True)
def dead(shop: Shop, bank: Bank) -> None:
    while True:
        bank.count = shop.total()
    shop.ship()
"""

PAY = written(ROLES, name="pay")


class TheShop:
    def total(self) -> int:
        return 3

    def ship(self) -> None: ...

    def sum(self, of: int, /) -> int:
        return of


class TheBank:
    open = True
    limit = 4

    def fine(self, cents: int, /) -> bool:
        return True


def test_what_a_script_calls_and_reads_is_known_by_role() -> None:
    assert PAY.needs == {
        "shop": Needs(frozenset({"total", "ship", "sum"})),
        "bank": Needs(frozenset({"fine"}), frozenset({"open", "limit"})),
    }
    assert written(ROLES, name="dead").needs["shop"] == Needs(frozenset({"total"})), "the rest never happens"


class NoShip:
    def total(self) -> int:
        return 1

    def sum(self, of: int, /) -> int:
        return of


class NotShip(NoShip):
    ship = None


class Slots:
    __slots__ = ("limit", "open")

    def fine(self, cents: int, /) -> bool:
        return True


class Annotated:
    open: bool
    limit: int

    def fine(self, cents: int, /) -> bool:
        return True


class Later:
    """It has it when it is read."""

    def fine(self, cents: int, /) -> bool:
        self.open = True
        return True

    @property
    def limit(self) -> int:
        raise OSError("too expensive")


class Proxy:
    __slots__ = ("_to",)

    def __init__(self, to: Any) -> None:
        self._to = to

    def __getattr__(self, name: str) -> Any:
        raise OSError("too expensive")


class Seeing:
    def __getattribute__(self, name: str) -> Any:
        raise OSError("too expensive")


class Still:
    @staticmethod
    def total() -> int:
        return 3

    @classmethod
    def ship(cls) -> None: ...

    sum = int


GOOD: dict[str, Callable[[], dict[str, Any]]] = {
    "those for whom it was written": dict,
    "a structure": lambda: {"bank": SimpleNamespace(fine=print, open=True, limit=1)},
    "slots": lambda: {"bank": Slots()},
    "annotations": lambda: {"bank": Annotated()},
    "what is assigned later, and a property": lambda: {"bank": Later()},
    "proxies": lambda: {"bank": Proxy(TheBank()), "shop": Seeing()},
    "mocks": lambda: {"bank": Mock(), "shop": MagicMock()},
    "mocks of a class": lambda: {"bank": create_autospec(TheBank, instance=True), "shop": Mock(spec=TheShop)},
    "methods of the class": lambda: {"shop": Still()},
    "its own before that of the class": lambda: {"shop": _with(NotShip(), ship=print)},
    "a part": lambda: {"shop": Part(TheShop())},
}


def _with(me: Any, **given: Any) -> Any:
    for name, value in given.items():
        setattr(me, name, value)
    return me


@pytest.mark.parametrize("name", GOOD)
def test_whoever_has_what_is_needed_may_play(name: str) -> None:
    check_cast(PAY, {"shop": TheShop(), "bank": TheBank(), **GOOD[name]()})


OFFERS = "which offers no ship, no sum, no total (pay calls: ship, sum, total)"
LACKS = "which offers no fine (pay calls: fine), and has no limit, no open (pay reads: limit, open)"

BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "an operation is missing": (
        lambda: {"shop": NoShip()},
        "shop is played by a NoShip, which offers no ship (pay calls: ship, sum, total)",
    ),
    "it is none": (
        lambda: {"shop": NotShip()},
        "shop is played by a NotShip, which has ship, but as None, and pay calls it",
    ),
    "it is a number": (
        lambda: {"bank": SimpleNamespace(fine=3, open=1, limit=2)},
        "bank is played by a SimpleNamespace, which has fine, but as an int, and pay calls it",
    ),
    "data are missing": (
        lambda: {"bank": SimpleNamespace(fine=print)},
        "bank is played by a SimpleNamespace, which has no limit, no open (pay reads: limit, open)",
    ),
    "nobody": (
        lambda: {"bank": None},
        f"bank is played by None, {LACKS}",
    ),
    "a class": (
        lambda: {"shop": TheShop},
        "shop is played by the class TheShop itself: cast an object, as in `TheShop()`",
    ),
    "all are swapped": (
        lambda: {"shop": TheBank(), "bank": TheShop()},
        f"shop is played by a TheBank, {OFFERS}\nbank is played by a TheShop, {LACKS}",
    ),
    "a part": (
        lambda: {"shop": Part(None)},
        f"shop is played by None, {OFFERS}",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_who_lacks_something_is_refused_in_a_sentence(name: str) -> None:
    given, said = BAD[name]
    with pytest.raises(TypeError) as caught:
        check_cast(PAY, {"shop": TheShop(), "bank": TheBank(), **given()})
    assert str(caught.value) == said


async def test_it_is_seen_wherever_a_cast_is_given() -> None:
    cast = {"shop": NoShip(), "bank": TheBank()}
    channel, _ = memory_pair("shop", "bank")
    with pytest.raises(TypeError, match=r"^shop is played by a NoShip, which offers no ship"):
        PAY.play(cast)
    with pytest.raises(TypeError, match="offers no ship"):
        await PAY.run_local(cast)
    with pytest.raises(TypeError, match="offers no ship"):
        await PAY.run_many([{"shop": TheShop(), "bank": TheBank()}, cast])
    with pytest.raises(TypeError, match="offers no ship"):
        PAY.join("shop", NoShip(), {"bank": channel})
    with pytest.raises(LookupError, match="pay has no role shpo"):
        PAY.play({"shpo": TheShop(), "bank": TheBank()})
    with pytest.raises(LookupError, match="nobody plays bank"):
        PAY.play({"shop": TheShop()})


async def test_a_server_refuses_the_session_and_says_why_at_home() -> None:
    ended: list[Any] = []
    with anyio.fail_after(20):
        async with (
            wire.serve(PAY, "shop", lambda _: NoShip(), on_end=lambda _, each: ended.append(each)) as server,
            wire.connect("127.0.0.1", server.port) as connection,
        ):
            channel = await connection.channel(PAY, me="bank", peer="shop")
            async with PAY.join("bank", TheBank(), {"shop": channel}) as bank:
                ending = await bank.ended()
    assert "shop cannot play" in ending.why
    assert "NoShip" not in ending.why
    assert "shop is played by a NoShip, which offers no ship (pay calls: ship, sum, total)" in ended[0].why


def test_of_very_many_casts_the_first_of_each_kind_is_looked_at() -> None:
    class Counted(TheShop):
        asked = 0

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    shops = [Counted() for _ in range(100)]
    casts = [{"shop": each, "bank": TheBank()} for each in shops]
    assert list(checked(PAY, iter(casts))) == casts
    with pytest.raises(TypeError, match="offers no ship"):
        list(checked(PAY, [*casts, {"bank": casts[0]["shop"], "shop": TheBank()}]))


# Scenes: there a role is a class.


class Pinger(Protocol):
    count: int

    def more(self) -> bool: ...


class Alice:
    count = 0

    def more(self) -> bool:
        return True


class Bob(Alice): ...


class Carol: ...


P = TypeVar("P", bound=Pinger)
Q = TypeVar("Q")


class Ping(Scene[P, Q], Generic[P, Q]):
    ping: Msg[int, Exit] = ignore()

    def send(self, me: P) -> Sent:
        return self.ping(me.count)


class Open(Protocol):
    def hear(self) -> None: ...


class Say(Scene[Carol, Open]):
    say: Msg[None, Exit]

    def send(self, me: Carol) -> Sent:
        return self.say()


GAME = Choreography(Ping[Alice, Carol], roles=[Alice, Carol])


def test_of_a_role_class_its_templates_ask_what_their_protocols_say() -> None:
    assert GAME.needs == {"Alice": Needs(frozenset({"more"}), frozenset({"count"}))}


def test_instances_of_the_class_may_play_and_whatever_is_like_them() -> None:
    casts: list[dict[Any, Any]] = [
        {Alice: Alice(), Carol: Carol()},
        {"Alice": Bob(), "Carol": None},
        {Alice: SimpleNamespace(more=print, count=3), Carol: object()},
        {Alice: Mock(spec=Alice), Carol: Mock()},
    ]
    for cast in casts:
        check_cast(GAME, cast)


def test_who_is_somebody_else_is_refused() -> None:
    wrong: list[tuple[dict[Any, Any], str]] = [
        ({Alice: Carol(), Carol: Alice()}, "Alice is played by a Carol, who is Carol: swapped?\nCarol is pl"),
        ({Carol: Bob()}, "Carol is played by a Bob, who is Alice: swapped?"),
        ({Alice: Alice}, "Alice is played by the class Alice itself: cast an object, as in `Alice()`"),
        ({Alice: None}, "Alice is played by None, which offers no more (Ping calls: more), and has no count"),
        ({Alice: SimpleNamespace(count=1)}, "Alice is played by a SimpleNamespace, which offers no more (P"),
    ]
    for cast, said in wrong:
        with pytest.raises(TypeError) as caught:
            check_cast(GAME, cast)
        assert str(caught.value).startswith(said)


def test_a_role_that_is_a_protocol_asks_for_all_of_it() -> None:
    game = Choreography(Say, roles=[Carol, Open])
    check_cast(game, {Carol: Carol(), Open: SimpleNamespace(hear=print)})
    with pytest.raises(
        TypeError, match=r"^Open is played by an object, which offers no hear \(Say calls: hear\)$"
    ):
        check_cast(game, {Carol: Carol(), Open: object()})


def test_of_a_script_that_a_program_built_nothing_is_known() -> None:
    whole = Choreography.of(built())
    check_cast(whole, dict.fromkeys(whole.script.roles, int))


async def test_what_is_given_to_a_play_itself_is_looked_at_too() -> None:
    channel, _ = memory_pair("shop", "bank")
    with pytest.raises(TypeError, match="offers no ship"):
        Play(PAY, {"shop": NoShip(), "bank": TheBank()})
    with pytest.raises(TypeError, match="offers no ship"):
        Joined(PAY, "shop", NoShip(), {"bank": channel})


@dataclasses.dataclass(slots=True)
class Record:
    limit: int
    open: bool = True

    def fine(self, cents: int, /) -> bool:
        return True


@attrs.frozen
class Frozen:
    total: Callable[[], int]
    ship: Callable[[], None] = print
    sum: Callable[[int], int] = int


class Inherits(TheShop):
    __slots__ = ("more",)


def test_those_whom_a_library_made_may_play() -> None:
    check_cast(PAY, {"shop": Frozen(int), "bank": Record(3)})
    check_cast(PAY, {"shop": Inherits(), "bank": Record(3)})


class Rest(Region, restart=True): ...


class Ask(Rest, Scene[Carol, Alice]):
    ask: Msg[None, Answer]

    def send(self, me: Carol) -> Sent:
        return self.ask()


class Answer(Rest, Scene[Alice, Carol]):
    answer: Msg[None, Exit]

    async def send(self, me: Alice) -> Sent:
        me.more()
        await anyio.sleep_forever()
        return self.answer()


async def test_an_understudy_is_looked_at_when_it_comes() -> None:
    game = Choreography(Ask, roles=[Carol, Alice], mortal=[Alice])
    started = anyio.Event()
    alice = SimpleNamespace(more=started.set)
    with anyio.fail_after(20):
        async with game.play({Carol: Carol(), Alice: alice}, understudies={Alice: Carol}) as play:
            await started.wait()
            play.kill("Alice")
            outcome = await play.ended()
    assert "the understudy of Alice raised TypeError: Alice is played by a Carol" in outcome["Alice"].why


# What else is given by mistake.


class Looks:
    def stage_event(self, event: object) -> None: ...


class Half(Tracer):
    def stage_event(self, event: object) -> None: ...


TRACERS: list[tuple[Any, str]] = [
    (Trace(), r"^tracers=Trace\(…\): they are in a list, as in tracers=\[Trace\(\)\]$"),
    (Trace, "^tracers=Trace: they are in a list"),
    ([Trace], r"^tracers: Trace is a class: write Trace\(\)$"),
    ([Looks()], r"^tracers: a Looks is no StageTracer, .*: write class Looks\(StageTracer\)$"),
    ([Half()], r"^tracers: a Half is no StageTracer, .*: write class Half\(StageTracer\)$"),
    (
        [print],
        "^tracers: a builtin_function_or_method is no tracer: those derive from StageTracer or Tracer$",
    ),
    (None, "^tracers=NoneType"),
]


@pytest.mark.parametrize(("tracers", "said"), TRACERS, ids=[str(at) for at in range(len(TRACERS))])
async def test_what_is_no_tracer_is_refused_with_what_to_write(tracers: Any, said: str) -> None:
    cast = {"shop": TheShop(), "bank": TheBank()}
    channel, _ = memory_pair("shop", "bank")
    with pytest.raises(TypeError, match=said):
        PAY.play(cast, tracers=tracers)
    with pytest.raises(TypeError, match=said):
        PAY.join("shop", TheShop(), {"bank": channel}, tracers=tracers)
    with pytest.raises(TypeError, match=said):
        await PAY.run_many([cast], tracers=tracers)
    with pytest.raises(TypeError, match=said):
        async with wire.serve(PAY, "shop", lambda _: TheShop(), tracers=tracers):
            pass
    with pytest.raises(TypeError, match=said):
        PAY.play(cast, machines={"shop": AsMachine(tracers=tracers)})


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"engine": "tabel"}, r"engine='tabel' \(did you mean 'table'\?\): there are 'table', 'machine'"),
    ({"engine": None}, "engine=None: there are 'table', 'machine'"),
    ({"patience": -1}, "patience=-1: it is a number of seconds above 0; None waits for ever"),
    ({"patience": float("nan")}, "patience=nan: it is a number"),
    ({"patience": "3"}, "patience='3': it is a number"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS, ids=[str(at) for at in range(len(OPTIONS))])
async def test_options_that_make_no_sense_are_named(options: dict[str, Any], said: str) -> None:
    cast = {"shop": TheShop(), "bank": TheBank()}
    channel, _ = memory_pair("shop", "bank")
    with pytest.raises(ValueError, match=said):
        PAY.play(cast, **options)
    with pytest.raises(ValueError, match=said):
        await PAY.run_local(cast, **options)
    with pytest.raises(ValueError, match=said):
        PAY.join("shop", TheShop(), {"bank": channel}, **options)
    if "engine" in options:
        with pytest.raises(ValueError, match=said):
            await PAY.run_many([cast], **options)


async def test_what_is_no_channel_is_refused_with_what_to_write() -> None:
    async def later() -> None: ...

    wrong: list[tuple[Any, str]] = [
        (None, r"^bank: None is no channel; `await connection.channel\(…\)` gives one, or memory_pair\(…\)$"),
        ("localhost:80", "^bank: a str is no channel"),
        (later(), "^bank: that is a coroutine, and no channel yet: it has to be awaited$"),
    ]
    for channel, said in wrong:
        with pytest.raises(TypeError, match=said):
            PAY.join("shop", TheShop(), {"bank": channel})
    channels: Any = memory_pair("shop", "bank")
    with pytest.raises(
        TypeError, match=r"^shop: channels are given by role, as in {peer: channel}, not as a tuple"
    ):
        PAY.join("shop", TheShop(), channels)
    with anyio.fail_after(20):
        async with (
            wire.serve(PAY, "shop", lambda _: TheShop()) as server,
            wire.connect("127.0.0.1", server.port) as connection,
        ):
            given: Any = connection
            with pytest.raises(
                TypeError, match=r"^shop: that is a Connection; write `await connection.channel\(…\)`$"
            ):
                PAY.join("bank", TheBank(), {"shop": given})


@choreography
def _pair(a: Pinger, b: Pinger) -> None:
    b.count = a.count


def test_what_is_only_assigned_need_not_be_there() -> None:
    assert _pair.needs == {"a": Needs(reads=frozenset({"count"})), "b": Needs()}
    check_cast(_pair, {"a": Alice(), "b": object()})
