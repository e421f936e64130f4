"""What operations give back is held to what their roles say; and what fails is named as it is written in the script."""

from __future__ import annotations

import asyncio
import inspect
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from amachine.choreography.acting import GaveWrong, Words
from amachine.choreography.playing.endings import PlayFailed
from amachine.choreography.playing.stage import Stage
from amachine.choreography.seeing.stuck import InFlight, Stuck
from amachine.choreography.seeing.trace import Trace, TraceFile
from tests.choreo.test_functions_mistakes import written

ROLES = """
from collections.abc import Awaitable, Callable

async def fetched(n: int) -> int:
    return n

class Later:
    def __await__(self):
        yield

class Bank(Protocol):
    open: bool
    def fine(self, cents: int, /) -> bool: ...
    def rate(self) -> int: ...
    def read(self) -> Text | Number: ...
    def judge(self) -> Verdict: ...
    def note(self) -> None: ...
    def silent(self): ...
    def begin(self) -> Later: ...
    def hold(self, what: Any, /) -> None: ...
    def each(self, use: Callable[[], int], /) -> int: ...
    async def slow(self) -> bool: ...

class Shop(Protocol):
    def total(self) -> int: ...
    def take(self, n: int, /) -> None: ...
    def use(self, what: Any, /) -> None: ...

"""


class Both:
    """Plays the bank, or the shop. What a test gives it goes before what is here."""

    open = True

    def __init__(self, **given: Any) -> None:
        self.taken: list[Any] = []
        vars(self).update(given)

    def fine(self, cents: int, /) -> Any:
        return True

    def rate(self) -> Any:
        return 4

    def total(self) -> Any:
        return 3

    def note(self) -> Any:
        return None

    silent = begin = note

    def each(self, use: Callable[[], Any], /) -> Any:
        return use()

    async def slow(self) -> Any:
        return True

    def take(self, n: Any, /) -> Any:
        self.taken.append(n)

    use = take

    read = judge = rate


def script(body: str, *, head: str = "def f(shop: Shop, bank: Bank) -> None:") -> Any:
    return written(f"{ROLES}@choreography\n{head}\n" + "".join(f"    {each}\n" for each in body.splitlines()))


def played(body: str, **given: Any) -> Both:
    """The shop, when the script was played without tasks by a bank that has these. Whatever is raised is raised."""
    stage, shop = Stage(script(body).tables), Both()
    row = stage.watch({"shop": shop, "bank": Both(**given)})
    while stage.run():
        pass
    assert row.outcome is not None
    if row.outcome.error is not None:
        raise row.outcome.error
    return shop


@pytest.fixture(autouse=True)
def _nothing_is_left_unawaited() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(each.message) for each in caught] == []


def always(value: Any) -> Callable[..., Any]:
    def give(*_: Any) -> Any:
        return value

    return give


async def promise(*_: Any) -> bool:
    return False


CALLS = {
    "a decision": ("if bank.fine(shop.total()):\n    shop.take(1)", "fine"),
    "a decision upside down": ("if not bank.fine(1):\n    shop.take(1)", "fine"),
    "one of two": ("if bank.open and bank.fine(1):\n    shop.take(1)", "fine"),
    "the other of two": ("if bank.fine(1) or bank.open:\n    shop.take(1)", "fine"),
    "a loop": ("while bank.fine(1):\n    shop.take(1)", "fine"),
    "a choice of values": ("shop.take(bank.rate() if bank.fine(1) else 3)", "fine"),
    "a guard": ("match bank.judge():\n    case _ if bank.fine(1):\n        shop.take(1)", "fine"),
    "a match": ("match bank.read():\n    case _:\n        shop.take(1)", "read"),
    "a payload": ("shop.take(bank.rate())", "rate"),
    "a payload of any kind": ("shop.use(bank.rate())", "rate"),
    "an argument": ("shop.take(1)\nbank.fine(bank.rate())\nshop.take(2)", "rate"),
    "a part": ("shop.take(shop.total() + bank.rate())", "rate"),
    "a kept value": ("x = bank.rate()\nshop.take(3)\nshop.take(x)", "rate"),
    "the last thing that is done": ("shop.take(1)\nbank.note()", "note"),
    "what no annotation tells of": ("shop.take(1)\nbank.silent()", "silent"),
    "many": ("shop.take(len([bank.rate() for _ in range(2)]))", "rate"),
    "inside of a function": ("shop.take(bank.each(lambda: bank.rate()))", "rate"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_coroutine_that_the_script_does_not_await_is_a_failure_wherever_it_comes(name: str) -> None:
    body, operation = CALLS[name]
    with pytest.raises(GaveWrong) as failed:
        played(body, **{operation: promise})
    said = f"bank.{operation}() gave a coroutine: it is called without await in the script"
    assert (str(failed.value), failed.value.handler) == (said, f"bank.{operation}()")


class Later:
    def __await__(self) -> Iterator[None]:
        yield


@types.coroutine
def old(*_: Any) -> Iterator[None]:
    yield


def test_anything_that_can_be_awaited_is_refused() -> None:
    loop = asyncio.new_event_loop()
    try:
        for value, what in [(Later(), "a Later"), (loop.create_future(), "a Future"), (old(), "a coroutine")]:
            with pytest.raises(GaveWrong, match=f"^bank.fine\\(\\) gave {what}: it is called without await"):
                played("if bank.fine(1): shop.take(1)", fine=always(value))
    finally:
        loop.close()


def test_what_is_said_to_be_such_a_thing_is_handed_on() -> None:
    later, held = Later(), list[Any]()
    played("shop.take(3)\nx = bank.begin()\nbank.hold(x)", begin=always(later), hold=held.append)
    assert held == [later]


def test_functions_of_the_module_are_looked_at_too_and_pythons_own_are_not() -> None:
    with pytest.raises(GaveWrong, match=r"^fetched\(\) gave a coroutine"):
        played("shop.take(fetched(bank.rate()))")
    assert played(
        "shop.take(ord(chr(bank.rate())))\nif bool(bank.rate()): shop.take(int(bank.open))"
    ).taken == [4, 1]


class Shy:
    def __repr__(self) -> str:
        raise ValueError("not to be shown")


UNDECIDED: dict[str, tuple[Any, str]] = {
    "text": ("no", "gave a str"),
    "a number": (1, "gave an int"),
    "nothing": (None, "gave None"),
    "what cannot be shown": (Shy(), "gave a Shy"),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_a_decision_that_is_annotated_as_bool_takes_true_and_false_alone(name: str) -> None:
    value, said = UNDECIDED[name]
    for body in ("if bank.fine(1): shop.take(1)", "while not bank.fine(1): shop.take(1)"):
        with pytest.raises(GaveWrong) as failed:
            played(body, fine=always(value))
        why = "which its annotation excludes: only True and False decide here"
        assert str(failed.value) == f"bank.fine() {said}, {why}"
        assert failed.value.got is value


def test_so_do_data_and_kept_values_and_each_part_of_a_decision() -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("if bank.open: shop.take(1)", {"open": "no"}, "bank.open is a str"),
        ("x = bank.fine(1)\nshop.take(1)\nif x: shop.take(1)", {"fine": always(2)}, "x is an int"),
        ("if bank.rate() and not bank.open: shop.take(1)", {"open": ""}, "bank.open is a str"),
        ("if bank.open if bank.rate() else bank.fine(1): shop.take(1)", {"open": 0}, "bank.open is an int"),
        (
            "shop.take(len([n for n in [1] if (bank.open if not bank.fine(n) else 2)]))",
            {"fine": int},
            "gave an int",
        ),
    ]
    for body, given, said in wrong:
        with pytest.raises(GaveWrong) as failed:
            played(body, **given)
        assert said in str(failed.value)


def test_what_is_annotated_otherwise_decides_as_it_does_in_python() -> None:
    for rate, taken in [(0, [2]), ("", [2]), (7, [1]), ("yes", [1])]:
        assert played("if bank.rate(): shop.take(1)\nelse: shop.take(2)", rate=always(rate)).taken == taken
    assert played("if bank.fine(1) and bank.open: shop.take(1)").taken == [1]
    assert played("if bank.fine(1) and not bank.open: shop.take(1)").taken == []


async def test_what_is_awaited_is_looked_at_when_it_is_there() -> None:
    text = script("if await bank.slow(): shop.take(1)", head="async def f(shop: Shop, bank: Bank) -> None:")

    async def no() -> str:
        return "no"

    shop = Both()
    assert (await text.run_local({"shop": shop, "bank": Both()})).exit == "Done"
    with pytest.raises(PlayFailed, match=r"bank.slow\(\) gave a str, which its annotation excludes"):
        await text.run_local({"shop": shop, "bank": Both(slow=no)})
    assert shop.taken == [1]


def test_what_a_match_or_an_exit_cannot_take_is_told_in_the_same_way() -> None:
    body = "match bank.judge():\n    case Verdict.GOOD: shop.take(1)\n    case Verdict.BAD: shop.take(2)"
    with pytest.raises(GaveWrong, match=r"^`bank.judge\(\)` gave an int, .* no case takes it$"):
        played(body)
    text = script("shop.take(3)\nreturn bank.judge()", head="def f(shop: Shop, bank: Bank) -> Verdict:")
    stage = Stage(text.tables)
    stage.add({"shop": Both(), "bank": Both()})
    stage.run()
    assert "`bank.judge()` gave an int, which its annotation excludes: no exit" in stage.tally.failures[0].why


def test_operations_may_be_called_as_what_the_script_itself_needs() -> None:
    """Names of our own are no labels."""
    text = """
    class Giver(Protocol):
        def read(self) -> int | None: ...
        def note(self) -> None: ...

    class Taker(Protocol):
        def answer(self, n: int | None, /) -> None: ...
        def plain(self, n: int | None, /) -> None: ...
        def got(self, n: int | None, /) -> None: ...
        def kept(self, n: int | None, /) -> None: ...

    @choreography
    def f(a: Giver, b: Taker) -> None:
        b.answer(a.read())
        a.note()
        b.plain(a.read())
        a.note()
        b.got(a.read())
        a.note()
        b.kept(a.read())
    """
    a, b = Both(read=always(3)), Both()
    vars(b).update(answer=b.take, plain=b.take, got=b.take, kept=b.take)
    stage = Stage(written(text).tables)
    stage.add({"a": a, "b": b})
    while stage.run():
        pass
    assert not stage.tally.failures, stage.tally.failures
    assert b.taken == [3, 3, 3, 3]


# Words.


def words(of: Callable[..., Any]) -> Words:
    found: Words = vars(of)["words"]
    return found


def test_functions_are_named_as_what_they_do_is_written() -> None:
    text = script(
        dedent("""\
        shop.take(bank.rate())
        bank.note()
        bank.open = bank.fine(3)
        if bank.fine(shop.total()):
            shop.take(1)
            bank.silent()"""),
    )
    named = {
        id: [str(words(act.send)), {label: str(words(on)) for label, on in act.on.items()}]
        for id, act in text.acts.items()
    }
    assert named == {
        "FRate": ["bank.rate()", {"take": "shop.take()"}],
        "FTotal": ["shop.total()", {"fine": ""}],
        "FFine": ["bank.fine()", {}],
        "FTake": ["shop.take()", {}],
    }


def test_what_takes_its_time_is_named_after_what_it_waits_for() -> None:
    text = script(
        "shop.take(1)\nbank.note()\nif await bank.slow(): shop.take(1)\nelse: await bank.slow()",
        head="async def f(shop: Shop, bank: Bank) -> None:",
    )
    assert [str(words(act.send)) for act in text.acts.values() if inspect.iscoroutinefunction(act.send)] == [
        "bank.slow()"
    ]


def fails(*_: Any) -> Any:
    raise KeyError("k")


FAILING = {
    "shop.take(bank.rate())": ("rate", "bank.rate()"),
    "shop.take(1)\nbank.note()\nbank.fine(bank.rate())\nbank.silent()": ("fine", "bank.fine()"),
    "shop.take(1)\nbank.note()\nbank.silent()\nbank.note()": ("note", "bank.note() in line THE SECOND"),
    "if bank.fine(\n    bank.rate(),\n):\n    shop.take(1)": ("rate", "bank.rate()"),
    "if bank.open and bank.fine(3): shop.take(1)": ("fine", "bank.fine()"),
}


@pytest.mark.parametrize("body", FAILING)
def test_what_failed_is_named_as_it_is_written_with_its_line_where_that_says_more(body: str) -> None:
    operation, said = FAILING[body]
    text = script(body)
    first = inspect.getsourcelines(text.function)[1] + 2
    said = said.replace("THE SECOND", str(first + 1))
    stage = Stage(text.tables)
    row = stage.watch({"shop": Both(), "bank": Both(**{operation: fails})})
    while stage.run():
        pass
    assert row.outcome is not None
    error = row.outcome.error
    assert isinstance(error, KeyError)
    of = [each for act in text.acts.values() for each in (act.send, *act.on.values())]
    assert {words(each).at(error) for each in of} - {str(words(each)) for each in of} <= {said}
    assert said in {words(each).at(error) for each in of}
    lines = [each.lineno or 0 for each in traceback.extract_tb(error.__traceback__) if each.name == "f"]
    assert lines
    assert all(first <= line < first + len(body.splitlines()) for line in lines)


def test_what_a_role_computes_by_itself_is_named_as_it_is_written() -> None:
    text = script("shop.take(12 // bank.rate())")
    stage = Stage(text.tables)
    row = stage.watch({"shop": Both(), "bank": Both(rate=always(0))})
    stage.run()
    assert row.outcome is not None
    assert row.outcome.error is not None
    assert words(text.acts["FRate"].send).at(row.outcome.error) == "12 // bank.rate()"


def test_an_error_from_elsewhere_is_of_all_that_a_function_does() -> None:
    send = words(script("shop.take(bank.rate())").acts["FRate"].send)
    assert send.at(ValueError("of nowhere")) == "bank.rate()"
    assert Words("anything").at(ValueError()) == "anything"


# Secrets.


SECRETS = """
class User(Protocol):
    password: str
    pin: str
    name: str
    def token(self) -> str: ...
    def entry(self) -> Text | Number: ...

class Site(Protocol):
    secret: str
    def login(self, who: str, /) -> None: ...
    def check(self, token: str) -> bool: ...
    def both(self, name: str, passwd: str, /) -> None: ...
    def hear(self, words: str, /) -> None: ...

@choreography
def f(user: User, site: Site) -> None:
    site.login(user.password)
    site.login(user.token())
    site.check(token=user.pin + "")
    site.check(user.pin)
    site.secret = user.pin
    site.both(user.name, user.pin)
    password = user.pin
    site.login(password)
    match user.token():
        case str() as n:
            site.hear(n)
    site.hear(user.name)
"""


class Anybody:
    password = pin = "hunter2"
    name = "ann"

    def token(self) -> str:
        return "hunter2"

    def hear(self, *_: Any, token: str = "") -> bool:
        return True

    login = check = both = hear


async def test_a_trace_hides_what_a_script_calls_a_secret(tmp_path: Path) -> None:
    whole = written(SECRETS)
    file = tmp_path / "run.jsonl"
    for watched in (False, True):
        trace = Trace()
        with TraceFile(file) as lines:
            cast = {"user": Anybody(), "site": Anybody()}
            if watched:
                await whole.run_many([cast], tracers=[trace, lines])
            else:
                await whole.run_local(cast, tracers=[trace, lines])
        for text in (str(trace), trace.mermaid(), file.read_text()):
            assert "hunter2" not in text
            assert "ann" in text
        assert str(trace).count("…") >= 8
        assert "names" not in file.read_text()


def test_so_does_a_report_of_what_is_under_way() -> None:
    stage = Stage(written(SECRETS).tables)
    row = stage.watch({"user": Anybody(), "site": Anybody()})
    user, site = row.row[0], row.row[1]
    assert user.local.gives[0].names == ("password", "who")
    assert site.local.takes[0].names == ("password", "who")
    frame = InFlight("user", "site", "FPassword", "login", data="hunter2", names=("password",))
    assert "user->site: FPassword.login …" in str(Stuck("s", (), (frame,)))


async def test_what_others_hear_of_a_failure_shows_no_value() -> None:
    whole = script("shop.take(bank.rate())\nif bank.fine(1): shop.take(2)")
    for given in ({"rate": "hunter2"}, {"fine": "hunter2"}):
        bank = Both(**{name: always(value) for name, value in given.items()})
        outcome = await whole.run_local({"shop": Both(), "bank": bank}, raise_errors=False)
        for each in outcome.values():
            assert "a str" in each.why
            assert "hunter2" not in each.why
