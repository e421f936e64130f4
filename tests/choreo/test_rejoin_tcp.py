"""A role that is lost where a region starts again comes back over TCP: whoever listens, and when its process was killed."""

# ruff: noqa: SIM117  # a listener is one thing, who connects to it another

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from amachine.choreography import wire
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.joining import Joined
from tests.choreo.acted import Actor
from tests.choreo.reborn import TWO

TRANSPORTS: tuple[wire.Transport, ...] = ("auto", "anyio")
CHOICES = {"More": ("more", "end")}
ROOT = Path(__file__).parents[2]


def hanging() -> tuple[Actor, anyio.Event]:
    """A worker that hangs in its second answer, and says so."""
    hung = anyio.Event()

    async def hangs() -> None:
        hung.set()
        await anyio.sleep_forever()

    return Actor(
        "worker", does={"Answer.send": lambda me: hangs() if me.visits["Answer"] == 2 else None}
    ), hung


async def first_life(channel: Any, kept: dict[str, Any], connection: wire.Connection) -> Ending:
    """The worker, until it hangs and its connection breaks."""
    me, hung = hanging()
    async with Joined(TWO, "worker", me, {"boss": channel}, keep=kept.update) as worker:
        await hung.wait()
        connection.pipe.abort()
        return await worker.ended()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_worker_comes_back_to_a_server(transport: wire.Transport) -> None:
    ended: list[Ending] = []
    kept: dict[str, Any] = {}
    with anyio.fail_after(20):
        async with wire.serve(
            TWO,
            "boss",
            lambda _: Actor("boss", CHOICES),
            on_end=lambda _, ending: ended.append(ending),
            transport=transport,
        ) as server:
            address = "127.0.0.1", server.port
            async with wire.connect(*address, transport=transport) as connection:
                channel = await connection.channel(TWO, me="worker", peer="boss", session="s")
                assert (await first_life(channel, kept, connection)).aborted
            assert (kept["session"], kept["epoch"], [*kept["regions"]]) == ("s", 0, ["Work"])
            async with wire.connect(*address, transport=transport) as connection:
                resume = wire.Resume(epoch=kept["epoch"])
                channel = await connection.channel(TWO, me="worker", peer="boss", session="s", resume=resume)
                async with Joined(TWO, "worker", Actor("worker"), {"boss": channel}, resume=kept) as worker:
                    assert (await worker.ended()).state == "Done"
            await server.drain()
    assert ended == [Ending("boss", "Done")]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_worker_that_listens_comes_back_and_is_called_again(transport: wire.Transport) -> None:
    kept: dict[str, Any] = {}
    port = 0
    endings: dict[str, Ending] = {}

    async def boss(*, task_status: anyio.abc.TaskStatus[Any]) -> None:
        async with wire.connect("127.0.0.1", port, transport=transport) as connection:
            task_status.started(await connection.channel(TWO, me="boss", peer="worker", session="s"))
            await anyio.sleep_forever()

    async def play(group: anyio.abc.TaskGroup) -> None:
        channels = {"worker": await group.start(boss)}
        async with Joined(
            TWO, "boss", Actor("boss", CHOICES), channels, again=lambda _: group.start(boss)
        ) as joined:
            endings["boss"] = await joined.ended()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            async with wire.listen(transport=transport) as listener:
                port = listener.port
                group.start_soon(play, group)
                channel = await listener.channel(TWO, me="worker", peer="boss", session="s")
                (connection,) = listener.connections
                await first_life(channel, kept, connection)
                resume = wire.Resume(epoch=kept["epoch"])
                channel = await listener.channel(TWO, me="worker", peer="boss", session="s", resume=resume)
                async with Joined(TWO, "worker", Actor("worker"), {"boss": channel}, resume=kept) as worker:
                    endings["worker"] = await worker.ended()
                while "boss" not in endings:
                    await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert {ending.state for ending in endings.values()} == {"Done"}


async def test_who_comes_back_before_its_loss_was_noticed_takes_its_own_place() -> None:
    """Its old connection is still open, for all that the server knows."""
    ended: list[Ending] = []
    kept: dict[str, Any] = {}
    me, hung = hanging()
    with anyio.fail_after(20):
        async with wire.serve(
            TWO, "boss", lambda _: Actor("boss", CHOICES), on_end=lambda _, ending: ended.append(ending)
        ) as server:
            address = "127.0.0.1", server.port
            async with wire.connect(*address) as old, wire.connect(*address) as new:
                channel = await old.channel(TWO, me="worker", peer="boss", session="s")
                async with Joined(TWO, "worker", me, {"boss": channel}, keep=kept.update):
                    await hung.wait()
                    resume = wire.Resume(epoch=kept["epoch"])
                    channel = await new.channel(TWO, me="worker", peer="boss", session="s", resume=resume)
                    async with Joined(
                        TWO, "worker", Actor("worker"), {"boss": channel}, resume=kept
                    ) as worker:
                        assert (await worker.ended()).state == "Done"
            await server.drain()
    assert ended == [Ending("boss", "Done")]


async def test_who_comes_back_to_a_session_that_is_over_is_sent_home() -> None:
    kept: Mapping[str, Any] = {
        "format": 1,
        "session": "s",
        "role": "worker",
        "epoch": 0,
        "regions": {"Work": [{"start": {"number": 1, "epoch": 0}, "data": [[], {}]}]},
    }
    with anyio.fail_after(20):
        async with wire.serve(TWO, "boss", lambda _: Actor("boss", CHOICES)) as server:
            async with wire.connect("127.0.0.1", server.port) as connection:
                channel = await connection.channel(
                    TWO, me="worker", peer="boss", session="s", resume=wire.Resume()
                )
                async with Joined(TWO, "worker", Actor("worker"), {"boss": channel}, resume=kept) as worker:
                    ending = await worker.ended()
    assert (
        ending.why
        == "nobody let worker in again: boss said: no session 's' is being played here that could go back"
    )


def test_a_process_that_is_killed_and_started_anew_goes_on_from_its_file(tmp_path: Path) -> None:
    anyio.run(killed_and_started_anew, tmp_path)


async def killed_and_started_anew(tmp_path: Path) -> None:
    ended: list[Ending] = []
    file = tmp_path / "kept.json"

    def start(port: int) -> Any:
        command = [sys.executable, "-m", "tests.choreo.reborn", str(port), str(file)]
        return anyio.open_process(command, cwd=ROOT, stderr=subprocess.STDOUT)

    boss = Actor("boss", CHOICES)
    with anyio.fail_after(40):
        async with wire.serve(
            TWO, "boss", lambda _: boss, on_end=lambda _, ending: ended.append(ending)
        ) as server:
            async with await start(server.port) as first:
                assert first.stdout is not None
                assert (await first.stdout.receive()).decode().strip() == "hangs"
                first.kill()
            ((region, [kept]),) = json.loads(file.read_text())["regions"].items()
            assert (region, kept["data"]) == ("Work", [["Prepare.on_prepare"], {}])
            async with await start(server.port) as second:
                assert second.stdout is not None
                said = (await second.stdout.receive()).decode()
            await server.drain()
    assert ended == [Ending("boss", "Done")]
    assert said.startswith("worker: Done, after ['Prepare.on_prepare', 'restored', 'Ask.on_ask'")
    assert boss.log.count("Answer.on_answer") == 2
