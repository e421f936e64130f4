"""What users do with casts, tracers, errors, channels and timeouts that nobody had thought of: it ends with a reason."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from amachine.choreography import StageTracer, choreography
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.joining import Joined
from amachine.choreography.playing.memory import memory_pair
from amachine.choreography.playing.play import Play
from amachine.choreography.playing.returning import starts_of
from amachine.choreography.wire import connect, meet, serve
from amachine.errors import RestoreError


class Asker:
    number = 1

    def show(self, answer: int) -> None: ...


class Teller:
    def twice(self, number: int) -> int:
        return 2 * number


class Slow(Teller):
    async def wait(self, number: int) -> int:
        await anyio.sleep(30)
        return number


@choreography
def question(asker: Asker, teller: Teller) -> None:
    asker.show(teller.twice(asker.number))


@choreography
async def patience(asker: Asker, teller: Slow) -> None:
    asker.show(await teller.wait(asker.number))


def test_a_module_may_play() -> None:
    module: Any = types.ModuleType("asker")
    module.number, module.show = 1, print
    outcome = anyio.run(question.run_local, {"asker": module, "teller": Teller()})
    assert outcome.exit == "Done"


@pytest.mark.parametrize(
    "me", [3, "me", {}, (), functools.partial(Teller), Teller.twice, print, ValueError()]
)
def test_what_is_of_pythons_own_classes_is_looked_at_like_all_else(me: Any) -> None:
    with pytest.raises(TypeError, match=r"which offers no twice \(question calls: twice\)"):
        question.play({"asker": Asker(), "teller": me})


@pytest.mark.parametrize("cast", [None, [Asker(), Teller()]])
def test_a_cast_is_a_mapping(cast: Any) -> None:
    with pytest.raises(TypeError, match="that is given by role, as in"):
        question.play(cast)


async def test_what_is_to_be_called_later_is_looked_at_now() -> None:
    cast = {"asker": Asker(), "teller": Teller()}
    wrong: dict[str, Any] = {"teller": Teller()}
    with pytest.raises(TypeError, match="what makes understudies for teller: a Teller cannot be called"):
        Play(question, cast, understudies=wrong)
    here, _ = memory_pair("asker", "teller")
    for name in ("again", "keep"):
        options: dict[str, Any] = {name: "file.json"}
        with pytest.raises(TypeError, match=f"{name}: a str cannot be called"):
            Joined(question, "asker", Asker(), {"teller": here}, **options)


@pytest.mark.parametrize("casts", [None, {"asker": Asker(), "teller": Teller()}, [None]])
def test_casts_are_many(casts: Any) -> None:
    with pytest.raises(TypeError, match=r"casts are one|a cast is given by role"):
        anyio.run(question.run_many, casts)


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _raises(error: BaseException) -> Callable[..., Any]:
    def twice(_: int) -> int:
        raise error

    return twice


def _teller(error: BaseException) -> Any:
    return types.SimpleNamespace(twice=_raises(error))


def _cancelled() -> BaseException:
    import asyncio

    return asyncio.CancelledError("by whom?")


@pytest.mark.parametrize("engine", ["table", "machine"])
@pytest.mark.parametrize("error", [Wordless(), _cancelled()], ids=["wordless", "cancelled"])
def test_whatever_is_raised_ends_one_session(engine: Any, error: BaseException) -> None:
    async def main() -> None:
        cast = {"asker": Asker(), "teller": _teller(error)}
        outcome = await question.run_local(cast, engine=engine, raise_errors=False)
        assert "teller.twice() raised" in outcome["teller"].why
        tally = await question.run_many([cast, {**cast, "teller": Teller()}], engine=engine)
        assert dict(tally.exits) == {"Done": 1}
        assert "teller.twice() raised" in tally.failures[0].why

    anyio.run(main)


def test_a_tracer_that_wants_to_be_awaited_is_refused() -> None:
    class Later(StageTracer): ...

    async def stage_event(_: object, __: object) -> None: ...

    setattr(Later, "stage_event", stage_event)  # noqa: B010  # a checker would not let it be written so
    with pytest.raises(TypeError, match="stage_event of a Later is a coroutine function"):
        question.play({"asker": Asker(), "teller": Teller()}, tracers=[Later()])


def test_what_was_kept_is_a_mapping() -> None:
    kept: Any = []
    with pytest.raises(RestoreError, match="a mapping, and not a list"):
        starts_of(question.tables["asker"].machine, kept)


def test_a_server_says_why_it_does_not_play(caplog: pytest.LogCaptureFixture) -> None:
    def make(_: object) -> Teller:
        raise LookupError("no such table")

    async def main() -> None:
        async with serve(question, "teller", make) as server, connect("127.0.0.1", server.port) as connection:
            channel = await connection.channel(question, me="asker", peer="teller")
            async with question.join("asker", Asker(), {"teller": channel}) as role:
                await role.ended()

    anyio.run(main)
    assert "no context for teller could be made: no such table" in caplog.text


@pytest.mark.parametrize(
    ("backend", "transport"), [("asyncio", "fast"), ("asyncio", "anyio"), ("trio", "anyio")]
)
def test_who_is_cancelled_with_its_connection_says_goodbye(backend: str, transport: Any) -> None:
    whys: list[str] = []

    async def main() -> None:
        over = anyio.Event()

        def note(_: object, ending: Ending) -> None:
            whys.append(ending.why)
            over.set()

        async with serve(patience, "teller", lambda _: Slow(), on_end=note) as server:
            with anyio.move_on_after(0.1):
                async with connect("127.0.0.1", server.port, transport=transport) as connection:
                    channel = await connection.channel(patience, me="asker", peer="teller")
                    async with patience.join("asker", Asker(), {"teller": channel}) as role:
                        await role.ended()
            with anyio.fail_after(5):
                await over.wait()

    anyio.run(main, backend=backend)
    assert "it left: cancelled" in whys[0]


@pytest.mark.parametrize("where", ["127.0.0.1:80", ["127.0.0.1", 80], 80])
def test_whom_to_meet_is_an_address(where: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=r"teller cannot be met at an? \w+: write \(host, port\)"):
            async with meet(question, "asker", {"teller": where}, session="one"):
                pass

    anyio.run(main)
