"""The examples that send files: between processes, over a wire that lies, to who believes nothing; and ping-pong before it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from amachine.choreography import Choreography, Event, Level, Play, StageTracer, Step, Trace
from amachine.choreography.whole import Engine
from amachine.choreography.wire import connect, listen
from amachine.tools.choreo_target import find_choreography
from examples import pingpong, send_file_tcp
from examples.pingpong_then_send_file import Alice, Bob, Charlie, both, waiting
from examples.send_file import Receiver, Sender, send_file
from examples.send_file_tcp import corrupted, play, send

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "pingpong:game",
    "send_file:send_file",
    "pingpong_then_send_file:both",
    "pingpong_then_send_file:waiting",
]
KIB = 1024


def some(path: Path, size: int) -> Path:
    path.write_bytes(b"".join(number.to_bytes(4, "big") for number in range(size // 4)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "received"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def cast_of(name: str, tmp_path: Path) -> dict[Any, Any]:
    """Who plays an example, with a file of five chunks, of which two are a batch."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    given: dict[str, Any] = {"path": some(tmp_path / "file.bin", 4400), "chunk": KIB, "batch": 2 * KIB}
    if name.startswith("pingpong:"):
        return {pingpong.Alice: pingpong.Alice(), pingpong.Bob: pingpong.Bob()}
    if name.startswith("send_file:"):
        return {Sender: Sender(**given), Receiver: Receiver(folder=folder)}
    return {Alice: Alice(), Bob: Bob(folder=folder), Charlie: Charlie(**given)}


def steps(trace: Trace, role: str) -> list[tuple[object, ...]]:
    """What a role did, in order."""
    mine = [each for each in trace.events if isinstance(each, Step) and each.role == role]
    return [(each.scene, each.label, each.sent, each.source, each.target, each.seq) for each in mine]


def choreography(name: str) -> Choreography:
    found = find_choreography(f"examples.{name}")
    assert not [each for each in found.diagnostics if each.level is not Level.NOTE]
    return found.whole


# In one process.


@pytest.mark.parametrize("name", NAMES)
async def test_both_engines_and_the_wire_play_the_same(name: str, tmp_path: Path) -> None:
    traces: list[object] = []
    ways: list[tuple[Engine, bool]] = [
        ("table", False),
        ("machine", False),
        ("table", True),
        ("machine", True),
    ]
    for engine, wire in ways:
        cast, trace = cast_of(name, tmp_path), Trace()
        whole = choreography(name)
        assert (await whole.run_local(cast, engine=engine, wire=wire, tracers=[trace])).exit == "Done"
        traces.append({role: steps(trace, role) for role in whole.script.roles})
        for me in cast.values():
            if isinstance(me, Receiver):
                assert me.path.read_bytes() == (tmp_path / "file.bin").read_bytes()
            if isinstance(me, Sender | Receiver):
                me.close()
    assert all(each == traces[0] for each in traces)


class Kill(StageTracer):
    """Lets a role die when it has taken so many steps."""

    def __init__(self, role: str, at: int) -> None:
        self.role, self.left = role, at
        self.play: Play

    def stage_event(self, event: Event) -> None:
        if isinstance(event, Step) and event.role == self.role:
            self.left -= 1
            if self.left == 0:
                self.play.kill(self.role)


@pytest.mark.parametrize("name", NAMES[:3])
async def test_whoever_dies_at_whatever_step_the_others_end_and_nothing_stays_open(
    name: str, tmp_path: Path
) -> None:
    whole = choreography(name)
    for role in whole.script.roles:
        for step in count(1):
            kill, cast = Kill(role, step), cast_of(name, tmp_path)
            with anyio.fail_after(10):
                async with whole.play(cast, tracers=[kill]) as kill.play:
                    outcome = await kill.play.ended()
            for me in cast.values():
                if isinstance(me, Sender | Receiver):
                    me.close()
                if isinstance(me, Receiver):
                    kept = [path.read_bytes() for path in me.folder.iterdir()]
                    assert kept in ([], [(tmp_path / "file.bin").read_bytes()])
            if kill.left > 0:
                assert step > 3
                break
            for other in whole.script.roles:
                if other != role and outcome[other].aborted:
                    assert role in outcome[other].why


def test_charlie_offers_before_the_game_is_over_unless_a_barrier_is_between(tmp_path: Path) -> None:
    said: dict[str, list[str]] = {}
    for whole in (both, waiting):
        trace = Trace()
        cast = cast_of("pingpong_then_send_file", tmp_path)
        with closing(cast[Bob]), closing(cast[Charlie]):
            anyio.run(partial(whole.run_local, tracers=[trace]), cast)
        said[whole.name] = [
            f"{each.scene.partition('[')[0]}.{each.label}"
            for each in trace.events
            if isinstance(each, Step) and each.sent
        ]
    assert said["both"].index("Offer.file") < said["both"].index("Ping.next")
    assert said["waiting"].index("Offer.file") > said["waiting"].index("Barrier.done")
    assert said["both"][-3:] == ["Ping.ping", "Pong.pong", "Ping.next"]


async def test_alice_only_hears_of_a_file_that_did_not_come(tmp_path: Path) -> None:
    trace = Trace()
    cast = cast_of("pingpong_then_send_file", tmp_path)
    cast[Bob].most = 100
    with closing(cast[Bob]), closing(cast[Charlie]):
        assert (await both.run_local(cast, tracers=[trace])).exit == "Failed"
    assert cast[Charlie].why == "4,400 bytes are too many: 100 may come"
    told = [each for each in trace.events if isinstance(each, Step) and each.sent and each.informed]
    assert [(each.label, each.informed) for each in told] == [("failed", ("Alice",))]


# Who believes nothing.


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\notes.txt", "notes.txt"),
        ("..", "file"),
        ("", "file"),
        (".profile", "profile"),
        ("a\0b\n\x1b[31mc", "a_b___31mc"),
        ("naïve 文.txt", "naïve 文.txt"),
        ("x" * 300, "x" * 60),
        ("." * 10 + "y" * 55, "y" * 55),
    ],
)
def test_a_name_is_no_path(name: str, safe: str, folder: Path) -> None:
    with closing(Receiver(folder=folder)) as receiver:
        assert receiver.accept(name, 1) == ""
        assert receiver.path == folder / safe


class Liar(Sender):
    """Offers another size than it sends."""

    def open(self) -> tuple[str, int]:
        name, size = super().open()
        return name, size + self.chunk if size < 3000 else 3000


@pytest.mark.parametrize(
    ("size", "why"),
    [(2000, "only 2,000 bytes of 3,024 came"), (4400, "more came than the 3,000 bytes that were offered")],
)
async def test_a_size_must_be_true(size: int, why: str, folder: Path, tmp_path: Path) -> None:
    with (
        closing(Liar(path=some(tmp_path / "file.bin", size), chunk=KIB)) as sender,
        closing(Receiver(folder=folder)) as receiver,
    ):
        outcome = await send_file.run_local({Sender: sender, Receiver: receiver}, raise_errors=False)
        assert why in f"{sender.why}{outcome[Sender].why}"
    assert not names(folder)


@pytest.mark.parametrize(("most", "name", "why"), [(99, "new", "too many"), (100, "old", "already")])
async def test_what_is_too_large_or_there_already_is_refused_before_it_comes(
    most: int, name: str, why: str, folder: Path, tmp_path: Path
) -> None:
    (folder / "old").write_text("mine")
    with (
        closing(Sender(path=some(tmp_path / name, 100))) as sender,
        closing(Receiver(folder=folder, most=most)) as receiver,
    ):
        assert (await send_file.run_local({Sender: sender, Receiver: receiver})).exit == "Failed"
    assert why in sender.why
    assert sender.done == 0
    assert names(folder) == ["old"]
    assert (folder / "old").read_text() == "mine"


# Over TCP.


async def over_tcp(sender: Sender, receiver: Receiver, *, flip: int | None = None) -> tuple[int, int]:
    """Send it in this process, over the loopback. The exit statuses of both."""
    statuses: dict[type, int] = {}

    async def run(role: type, me: Any, peer: type, channel: Any) -> None:
        statuses[role] = await play(role, me, {peer: channel})

    with anyio.fail_after(20):
        async with listen() as listener, anyio.create_task_group() as group:

            async def receiving() -> None:
                channel = await listener.channel(send_file, me=Receiver, peer=Sender)
                await run(Receiver, receiver, Sender, channel)

            group.start_soon(receiving)
            to = ("127.0.0.1", listener.port)
            async with connect(*(to if flip is None else corrupted(to, flip))) as connection:
                channel = await connection.channel(send_file, me=Sender, peer=Receiver)
                await run(Sender, sender, Receiver, channel)
    return statuses[Sender], statuses[Receiver]


@pytest.mark.parametrize("chunk", [4 * KIB, KIB * KIB])
async def test_what_arrives_is_what_was_sent(chunk: int, folder: Path, tmp_path: Path) -> None:
    file = some(tmp_path / "file.bin", 2 * KIB * KIB + 100)
    sender = Sender(path=file, chunk=chunk, batch=300 * KIB)
    assert await over_tcp(sender, Receiver(folder=folder)) == (0, 0)
    assert names(folder) == ["file.bin"]
    assert (folder / "file.bin").read_bytes() == file.read_bytes()


class Terminal(io.StringIO):
    """Looks like one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("out", [Terminal, io.StringIO])
def test_a_bar_tells_how_far_it_is_on_a_terminal_and_nowhere_else(
    out: type[io.StringIO], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = out()
    monkeypatch.setattr(sys, "stdout", screen)
    sender = Sender(path=some(tmp_path / "file.bin", 100_000), chunk=KIB)
    assert anyio.run(over_tcp, sender, Receiver(folder=folder)) == (0, 0)
    assert ("100.0/100.0 kB" in screen.getvalue()) is (out is Terminal)
    assert "Receiver: 100,000 bytes in " in screen.getvalue()


async def test_a_bit_that_flips_on_the_wire_is_found_within_its_batch(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk, batch = 4 * KIB, 64 * KIB
    sender = Sender(path=some(tmp_path / "file.bin", 512 * KIB), chunk=chunk, batch=batch)
    receiver = Receiver(folder=folder)
    assert await over_tcp(sender, receiver, flip=5 * batch + 4 * chunk) == (1, 1)
    why = "the hash differs: something is wrong from byte 327,680 to 393,216"
    assert (sender.why, receiver.why) == (why, why)
    assert sender.done == receiver.done == 6 * batch
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"Receiver: Failed: {why}",
        f"Sender: Failed: {why}",
    ]
    assert not names(folder)


def program(*words: str | Path) -> subprocess.Popen[str]:
    """The example as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "examples.send_file", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_if_the_receiver_is_killed_the_sender_ends_and_says_why(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with program("receive", "--into", folder) as process:

        class Doomed(Sender):
            def read(self) -> bytes:
                if self.done > 10 * self.chunk:
                    process.kill()
                return super().read()

        assert process.stdout is not None
        to = send_file_tcp.address(process.stdout.readline())
        sender = Doomed(path=some(tmp_path / "file.bin", 4 * KIB * KIB), chunk=4 * KIB)
        assert anyio.run(send, sender, to) == 1
    assert capsys.readouterr().err.startswith("Sender: Aborted: Receiver ")
    assert not (folder / "file.bin").exists()


def test_if_the_sender_is_killed_the_receiver_ends_says_why_and_keeps_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Doomed(Receiver):
        process: Any = None

        def write(self, part: bytes) -> None:
            super().write(part)
            if self.done > 10 * len(part):
                self.process.kill()

    async def listening(receiver: Doomed) -> int:
        async with listen() as listener:
            words = "--to", f"127.0.0.1:{listener.port}", "--chunk", "4096"
            with program("send", some(tmp_path / "file.bin", 4 * KIB * KIB), *words) as receiver.process:
                channel = await listener.channel(send_file, me=Receiver, peer=Sender)
                return await play(Receiver, receiver, {Sender: channel})

    assert anyio.run(listening, Doomed(folder=folder), backend="trio") == 1
    assert capsys.readouterr().err.startswith("Receiver: Aborted: Sender ")
    assert not names(folder)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("send no-such-file --to 127.0.0.1:{port}", "no-such-file"),
        ("send {file} --to 127.0.0.1:{port}", "refused|failed|attempts"),
        ("send {file} --to 127.0.0.1:{port} --batch 0", "'batch' must be >= 1"),
        ("receive --host 0.0.0.0", "give it token="),
        ("receive --port {port}", "in use"),
    ],
)
def test_a_command_that_cannot_succeed_says_why_not(
    words: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        given = words.format(port=busy.getsockname()[1], file=__file__).split()
        monkeypatch.setattr(sys, "argv", ["send_file", *given])
        with pytest.raises(SystemExit, match=why):
            send_file_tcp.main()


@pytest.mark.skipif("AMACHINE_SEND_FILE" not in os.environ, reason="200 MB twice: set AMACHINE_SEND_FILE")
@pytest.mark.parametrize("chunk", [4 * KIB, KIB * KIB])
def test_two_hundred_megabytes_arrive_as_they_are(chunk: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert send_file_tcp.demo(200_000_000, chunk, 20_000_000, corrupt=False) == 0
    assert "identical: True" in capfd.readouterr().out
