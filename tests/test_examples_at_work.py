"""The examples used as a library: on both event loops, over sockets and HTTP, with files, and where things go wrong."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, MutableMapping
from contextlib import asynccontextmanager, closing
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from textual.widgets import Label
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from amachine import Machine, SchemaError
from amachine.helpers import WaitFailed
from amachine.testing import assert_active, assert_inactive, assert_refused, virtual_time
from examples import (
    cli_app,
    daemon,
    dag,
    expense,
    fan_out_in,
    nfa,
    path_watcher,
    service,
    template,
    traffic_light,
    tui,
)
from examples.turnstile import Turnstile

ROOT = Path(__file__).resolve().parents[1]


# -- automata


def test_a_turnstile_counts_coins_also_when_it_is_unlocked() -> None:
    turnstile = Turnstile("turnstile")
    turnstile.locked.add()
    for name in ("coin", "coin", "push"):
        assert turnstile.add(name)
    assert_active(turnstile, "locked", "coin")
    assert_refused(turnstile.push.add(), "push requires unlocked, which is inactive")


def test_the_nfa_agrees_with_fnmatch() -> None:
    patterns = ["".join(letters) for length in range(4) for letters in product("ab?*", repeat=length)]
    texts = ["".join(letters) for length in range(4) for letters in product("ab", repeat=length)]
    wrong = [
        (pattern, text)
        for pattern in patterns
        for text in texts
        if nfa.matches(pattern, text) is not fnmatchcase(text, pattern)
    ]
    assert wrong == []


# -- a graph of dependencies


async def test_tasks_of_a_dag_run_side_by_side() -> None:
    met: dict[str, anyio.Event] = {"left": anyio.Event(), "right": anyio.Event()}
    ended: list[str] = []

    async def work(task: str) -> None:
        if task in met:
            met[task].set()
            for other in met.values():
                await other.wait()  # hangs unless both are at work at once
        ended.append(task)

    with anyio.fail_after(5):
        await dag.run_async(
            {"join": ["left", "right"], "left": ["root"], "right": ["root"], "root": []}, work
        )
    assert (ended[0], ended[-1]) == ("root", "join")


async def test_a_task_of_a_dag_that_fails_ends_it() -> None:
    begun: list[str] = []
    b_has_begun = anyio.Event()

    async def work(task: str) -> None:
        begun.append(task)
        if task == "b":
            b_has_begun.set()
            await anyio.sleep_forever()
        await b_has_begun.wait()
        raise RuntimeError("burnt")

    with anyio.fail_after(5), pytest.raises(WaitFailed) as caught:
        await dag.run_async({"a": [], "b": [], "c": ["a"]}, work)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert sorted(begun) == ["a", "b"]


def test_a_dag_without_a_loop_stops_at_an_error() -> None:
    begun: list[str] = []

    def work(task: str) -> None:
        begun.append(task)
        raise RuntimeError("burnt")

    with pytest.raises(RuntimeError, match="burnt"):
        dag.run({"a": [], "b": ["a"]}, work)
    assert begun == ["a"]


def test_a_dag_names_what_is_not_there() -> None:
    with pytest.raises(SchemaError, match="milk"):
        dag.schema_of({"coffee": ["milk"]})


# -- many at once


async def test_fan_out_in_merges_all_and_keeps_the_problems(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text("round and round\n", encoding="utf-8")
    (tmp_path / "broken.txt").write_bytes(b"\xff\xff")
    with anyio.fail_after(10):
        words = await fan_out_in.count_words([*fan_out_in.texts_in(tmp_path), tmp_path / "gone.txt"])
    assert words.total == {"round": 18, "and": 9}
    assert [problem.split(":")[0] for problem in sorted(words.problems)] == ["broken.txt", "gone.txt"]


async def test_fan_out_in_of_nothing_is_done() -> None:
    with anyio.fail_after(5):
        assert not (await fan_out_in.count_words([])).total


# -- folders


async def test_the_watcher_scans_what_is_there_and_what_comes(tmp_path: Path) -> None:
    path_watcher.install(tmp_path, {"old"})
    (tmp_path / "text").touch(mode=0o644)
    folders = [tmp_path, tmp_path, tmp_path / "nowhere"]
    async with path_watcher.PathWatcher(folders, silence=0.02) as watcher:
        watcher.watching.add()
        with anyio.fail_after(10):
            assert (await watcher.known.when()).names == {"old"}
            path_watcher.install(tmp_path, {"old", "new"})
            found = await watcher.known.when(lambda programs: "new" in programs.names)
        assert found.new == frozenset({"new"})
        assert not found.gone
        watcher.watching.remove()
        assert_refused(watcher.scanning.add(), "scanning requires watching, which is inactive")


# -- time


@virtual_time
async def test_the_light_keeps_its_times(capsys: pytest.CaptureFixture[str]) -> None:
    async with traffic_light.TrafficLight("light") as light:
        light.stop.add()
        began = anyio.current_time()
        for phase, at in (("ready", 3), ("go", 4), ("caution", 8), ("stop", 9), ("ready", 12)):
            await light.when(phase)
            assert anyio.current_time() - began == pytest.approx(at)
        light.caution.add()  # somebody switches it: the phase that timed itself is over
        assert_inactive(light, "red", "green", "ready")


@virtual_time
async def test_people_who_cross_hold_the_light(capsys: pytest.CaptureFixture[str]) -> None:
    async with traffic_light.TrafficLight("light") as light:
        light.add("stop", "button")
        assert_active(light, "crossing")
        began = anyio.current_time()
        await light.ready.when()
        assert anyio.current_time() - began == pytest.approx(5)
        assert_inactive(light, "crossing", "button")


# -- the expense workflow


@asynccontextmanager
async def office(
    pay: Any = expense.pay, *, patience: float = 600
) -> AsyncGenerator[tuple[expense.Office, httpx.AsyncClient]]:
    """An office, and a client of it over HTTP, without a network."""
    async with expense.Office(pay, patience=patience) as machine:
        transport = httpx.ASGITransport(expense.application(machine))
        async with httpx.AsyncClient(transport=transport, base_url="http://office") as client:
            yield machine, client


async def test_an_approved_expense_is_paid() -> None:
    async with office() as (machine, client):
        assert (await client.post("/expenses", json={"id": "lunch", "amount": 4})).status_code == 201
        assert (await client.get("/expenses")).json() == {"lunch": ["undecided"]}
        assert (await client.post("/expenses/lunch/approve", json={"by": "Ada"})).status_code == 200
        with anyio.fail_after(5):
            receipt = await machine.expenses["lunch"].paid.when()
        assert receipt.number == "lunch-4"
        assert (await client.get("/expenses")).json() == {"lunch": ["settled", "approved", "paid"]}


async def test_the_first_decision_stands() -> None:
    async with office() as (machine, client):
        await client.post("/expenses", json={"id": "yacht", "amount": 1e6})
        assert (await client.post("/expenses/yacht/reject", json={"by": "Ada"})).status_code == 200
        again = await client.post("/expenses/yacht/approve", json={"by": "Bob"})
        assert again.status_code == 409
        assert "is_undecided" in again.json()["why"]
        assert_inactive(machine.expenses["yacht"], "approved", "paying", "paid")


async def test_requests_that_make_no_sense_change_nothing() -> None:
    async with office() as (machine, client):
        assert (await client.post("/expenses", json={"id": "a", "amount": 1})).status_code == 201
        for path, content, code in (
            ("/expenses", b'{"id": "a", "amount": 1}', 409),  # it is there already
            ("/expenses", b'{"id": 3, "amount": 1}', 422),
            ("/expenses", b"not json", 422),
            ("/expenses/b/approve", b'{"by": "Ada"}', 404),
            ("/expenses/a/steal", b'{"by": "Ada"}', 404),
            ("/expenses/a/approve", b"{}", 422),
        ):
            assert (await client.post(path, content=content)).status_code == code, (path, content)
        assert list(machine.expenses) == ["a"]
        assert_active(machine.expenses["a"], "undecided")


@pytest.mark.parametrize(
    "anyio_backend", ["asyncio"]
)  # on trio, httpx leaves what it did not send to be collected
async def test_a_request_that_is_too_long_is_not_read_to_its_end() -> None:
    async with office() as (machine, client):
        assert (await client.post("/expenses", content=b" " * 10_001)).status_code == 413
        assert not machine.expenses


@virtual_time
async def test_an_expense_that_nobody_decides_expires() -> None:
    async with office(patience=600) as (machine, client):
        await client.post("/expenses", json={"id": "train", "amount": 9})
        began = anyio.current_time()
        await machine.expenses["train"].settled.when()
        assert anyio.current_time() - began == pytest.approx(600)
        assert_active(machine.expenses["train"], "expired")
        assert (await client.post("/expenses/train/approve", json={"by": "Ada"})).status_code == 409


async def test_a_payment_that_fails_settles_with_an_error() -> None:
    async def broke(_: expense.Report) -> str:
        await anyio.lowlevel.checkpoint()
        raise OSError("no funds")

    async with office(broke) as (machine, client):
        await client.post("/expenses", json={"id": "lunch", "amount": 4})
        await client.post("/expenses/lunch/approve", json={"by": "Ada"})
        lunch = machine.expenses["lunch"]
        with anyio.fail_after(5):
            await lunch.settled.when()
        assert_inactive(lunch, "paying", "paid")
        assert str(lunch.error) == "no funds"


# -- the command line


async def test_a_command_line_is_granted_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.txt"
    file.write_text("one two\ntwo\n", encoding="utf-8")
    for words, code, out, err in (
        ([], 0, "3 words\n", ""),
        (["--lines"], 0, "2 lines\n", ""),
        (["--letters", "--quiet"], 0, "9\n", ""),
        (["--frequent", "--verbose"], 0, f"3 {file}\n3 words\n2 × two\n1 × one\n", ""),
        (["--quiet", "--verbose"], 2, "", "verbose is removed by quiet"),
        (["--lines", "--frequent"], 2, "", "lines is removed by frequent"),
    ):
        assert await cli_app.main([*words, str(file)]) == code, words
        said = capsys.readouterr()
        assert said.out == out
        assert err in said.err
    assert await cli_app.main([str(tmp_path / "gone.txt")]) == 1
    assert "No such file" in capsys.readouterr().err


# -- the daemon


@pytest.fixture
def short() -> Generator[Path]:
    """A folder with a short name: addresses of unix sockets have about a hundred bytes."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[tuple[Path, daemon.Player, daemon.Daemon]]:
    """A daemon that listens, and what it serves."""
    path = folder / "sock"
    async with daemon.Player("player") as player, daemon.Daemon(path, player) as machine:
        machine.up.add()
        with anyio.fail_after(5):
            await machine.listening.when()
        yield path, player, machine


async def test_the_daemon_serves_its_owner_alone_and_tidies_up(short: Path) -> None:
    async with served(short) as (path, player, machine):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await daemon.ask(path, b'{"verb":"add","states":["power"]}') == (
            '{"clock":{"power":1,"playing":0,"paused":0,"Exception":0}}'
        )
        assert await daemon.ask(path, daemon.line_of(["toggle", "playing", "song=Lola", "volume=7"]))
        assert player.playing.args == daemon.Song("Lola", 7)
        machine.up.remove()
        assert_inactive(machine, "listening")
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"no json", '{"error":"JSON is malformed'),
        (b'{"verb":"close"}', '{"error":"Invalid enum value'),
        (b'{"verb":"add","states":["nothing"]}', '{"error":"Player has no state'),
        (b'{"verb":"add","states":["playing"],"args":{"song":3}}', '{"error":"playing: Expected `str`'),
        (b'{"verb":"add","states":["playing"],"args":{"tune":"x"}}', '{"error":"playing has no argument'),
        (b'{"verb":"add","states":["playing"]}', '{"refused":"playing requires power, which is inactive"}'),
        (b"[" * 4000, '{"error":'),
        (b" " * 4097, '{"error":"a line is at most 4096 bytes"}'),
    ],
)
async def test_the_daemon_survives_whatever_is_said_to_it(short: Path, line: bytes, says: str) -> None:
    async with served(short) as (path, player, machine):
        assert (await daemon.ask(path, line)).startswith(says)
        assert (await daemon.ask(path, b'{"verb":"show"}')).startswith('{"clock"')
        assert not player.active
        assert machine.error is None


async def test_a_client_that_does_not_wait_for_its_answer_harms_nobody(short: Path) -> None:
    async with served(short) as (path, _, machine):
        rude = await anyio.connect_unix(path)
        await rude.send(b'{"verb":"show"}\n' * 100)
        await rude.aclose()
        assert (await daemon.ask(path, b'{"verb":"show"}')).startswith('{"clock"')
        assert machine.error is None


async def test_there_is_one_daemon_on_a_socket_and_a_dead_one_does_not_count(short: Path) -> None:
    (short / "sock").touch()
    (short / "sock").unlink()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(short / "sock"))
    left.close()  # as after a crash: the file is there, and nobody listens
    async with served(short) as (path, player, machine):
        async with daemon.Daemon(path, player) as second:
            second.up.add()
            with anyio.fail_after(5):
                error = await second.when_error()
            assert isinstance(error, FileExistsError)
            assert_inactive(second, "up", "listening")
        assert (await daemon.ask(path, b'{"verb":"show"}')).startswith('{"clock"')
        assert_active(machine, "listening")


def test_a_signal_ends_the_daemon_tidily(short: Path) -> None:
    path = short / f"amachine-player-{os.getuid()}.sock"
    env = {**os.environ, "XDG_RUNTIME_DIR": str(short), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-W", "error", str(ROOT / "examples" / "daemon.py")]
    with subprocess.Popen([*words, "serve"], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"listening on {path}\n"
            asked = subprocess.run([*words, "add", "power"], env=env, capture_output=True, check=True)
            assert asked.stdout.startswith(b'{"clock":{"power":1,')
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()
    assert not path.exists()


# -- the template


async def test_the_environment_says_who_watches_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.jsonl"
    monkeypatch.setenv("TEMPLATE_TRACE", str(trace))
    await template.main()
    lines = [msgspec.json.decode(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert {"opened", "transition", "closed"} <= {line["what"] for line in lines}
    assert "Call me Ishmael." in capsys.readouterr().out


# -- the terminal


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # Textual runs on no other
async def test_keys_ask_and_the_screen_follows_the_machine() -> None:
    async with tui.Kettle(pace=0) as kettle, tui.KettleApp(kettle).run_test() as keys:
        app = keys.app
        why = app.query_one("#why", Label)
        await keys.press("h")
        assert str(why.content) == "heating requires water, which is inactive"
        await keys.press("w", "l", "p")
        assert str(why.content) == ""
        assert [label.id for label in app.query(".on")] == ["water", "lid", "power"]
        kettle.lid.remove()  # whoever does it
        assert [label.id for label in app.query(".on")] == ["water", "power"]
        kettle.lid.add()
        kettle.heating.add()
        with anyio.fail_after(5):
            await kettle.hot.when()
        assert [label.id for label in app.query(".on")] == ["water", "lid", "power", "hot"]
        await keys.press("w")
        assert kettle.degrees == 20
        assert "heating" in app.export_screenshot()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_kettle_outlives_its_screen() -> None:
    async with tui.Kettle(pace=0) as kettle:
        async with tui.KettleApp(kettle).run_test() as keys:
            await keys.press("w", "q")
        assert kettle.tracers == ()
        assert kettle.lid.add()


# -- the service


SCOPE: Mapping[str, Any] = {
    "type": "websocket",
    "path": "/",
    "raw_path": b"/",
    "root_path": "",
    "query_string": b"",
    "headers": [],
    "subprotocols": [],
    "asgi": {"version": "3.0"},
    "scheme": "ws",
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 2),
    "extensions": {},
}
"""What a server says of a websocket."""


class Player:
    """A websocket client of an ASGI application, without a network: on any event loop."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self.to, self._receive = anyio.create_memory_object_stream[MutableMapping[str, Any]](10)
        self._send, self.of = anyio.create_memory_object_stream[MutableMapping[str, Any]](10)

    async def run(self) -> None:
        await self.app(dict(SCOPE), self._receive.receive, self._send.send)

    def close(self) -> None:
        for stream in (self.to, self._receive, self._send, self.of):
            stream.close()

    async def hear(self) -> Any:
        message = await self.of.receive()
        return msgspec.json.decode(message["text"]) if "text" in message else message["type"]

    async def say(self, text: str) -> Any:
        await self.to.send({"type": "websocket.receive", "text": text})
        return await self.hear()


@asynccontextmanager
async def playing(app: Starlette) -> AsyncGenerator[Player]:
    """A player who is connected."""
    player = Player(app)
    with anyio.fail_after(10), closing(player):
        async with anyio.create_task_group() as group:
            group.start_soon(player.run)
            await player.to.send({"type": "websocket.connect"})
            assert await player.hear() == "websocket.accept"
            yield player


async def test_each_connection_has_a_game_of_its_own() -> None:
    secrets = iter((10, 90))
    app = service.application(lambda: next(secrets))
    async with playing(app) as first, playing(app) as second:
        assert await first.say('{"number": 50}') == {"hint": "less"}
        assert await second.say('{"number": 50}') == {"hint": "more"}
        assert await first.say('{"number": 10}') == {"over": "you have it"}
        assert await first.hear() == "websocket.close"
        assert await second.say('{"number": 90}') == {"over": "you have it"}
        assert await second.hear() == "websocket.close"


async def test_the_service_refuses_what_makes_no_sense_and_goes_on() -> None:
    async with playing(service.application(lambda: 10)) as player:
        assert "error" in await player.say("hello")
        assert "error" in await player.say('{"number": "ten"}')
        assert "is_in_range" in (await player.say('{"number": 101}'))["refused"]
        await player.to.send({"type": "websocket.receive", "bytes": b'{"number": 9}'})
        assert await player.hear() == {"hint": "more"}
        await player.to.send({"type": "websocket.disconnect", "code": 1001})


async def test_a_player_who_has_gone_is_no_error() -> None:
    heard = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": '{"number": 1}'}])

    async def receive() -> MutableMapping[str, Any]:
        await anyio.lowlevel.checkpoint()
        return next(heard)

    async def send(message: MutableMapping[str, Any]) -> None:
        await anyio.lowlevel.checkpoint()
        if message["type"] == "websocket.send":
            raise OSError("gone")

    await service.application(lambda: 10)(dict(SCOPE), receive, send)


async def test_a_game_ends_after_ten_guesses() -> None:
    async with playing(service.application(lambda: 10)) as player:
        for _ in range(9):
            assert await player.say('{"number": 1}') == {"hint": "more"}
        assert await player.say('{"number": 1}') == {"over": "no more guesses"}
        assert await player.hear() == "websocket.close"


@virtual_time
async def test_a_game_ends_when_its_time_is_up() -> None:
    async with playing(service.application(lambda: 10, seconds=5)) as player:
        began = anyio.current_time()
        assert await player.hear() == {"over": "time is up"}
        assert anyio.current_time() - began == pytest.approx(5)
        assert await player.hear() == "websocket.close"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvicorn runs on no other
async def test_a_message_that_is_too_long_ends_its_connection_alone() -> None:
    async with (
        service.running(service.application(lambda: 10)) as address,
        connect(address) as greedy,
        connect(address) as modest,
    ):
        assert address.startswith("ws://127.0.0.1:")
        await greedy.send(" " * 201)
        with pytest.raises(ConnectionClosedError, match="1009"):
            await greedy.recv()
        await modest.send('{"number": 10}')
        assert await modest.recv() == '{"over":"you have it"}'


def test_the_service_listens_to_this_machine_alone() -> None:
    config = service.server(service.application(lambda: 10), 0).config
    assert (config.host, config.ws_max_size) == ("127.0.0.1", service.LIMIT)


def test_every_machine_of_an_example_can_be_drawn() -> None:
    for kind in (Turnstile, daemon.Player, expense.Expense, service.Game, traffic_light.TrafficLight):
        drawn = format(Machine.of(kind.schema), "mermaid")
        assert all(name in drawn for name in kind.schema.names if name != "Exception")
