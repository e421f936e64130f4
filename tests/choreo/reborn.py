"""A worker in a process of its own: `python -m tests.choreo.reborn PORT FILE`. It keeps there what it needs to come back.

It comes back where that file is there already. The first time it hangs in its second answer, until it is killed.
"""

from __future__ import annotations

# ruff: noqa: ASYNC240, T201  # it has the process for itself, and says there how it goes
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from amachine.choreography import wire
from amachine.choreography.playing.joining import Joined
from tests.choreo.acted import Actor, acted
from tests.choreo.test_regions import again

TWO = acted(again(), patience=20)


async def play(port: int, file: Path) -> None:
    """One life of the worker."""
    kept = json.loads(file.read_text()) if file.exists() else None
    me = Actor("worker")

    def keep(data: Mapping[str, Any]) -> None:
        file.write_text(json.dumps(data))

    async def hangs() -> None:
        print("hangs", flush=True)
        await anyio.sleep(60)

    if kept is None:
        me.does["Answer.send"] = lambda me: hangs() if me.visits["Answer"] == 2 else None
    async with wire.connect("127.0.0.1", port) as connection:
        resume = None if kept is None else wire.Resume(epoch=kept["epoch"])
        channel = await connection.channel(TWO, me="worker", peer="boss", session="work", resume=resume)
        async with Joined(TWO, "worker", me, {"boss": channel}, keep=keep, resume=kept) as worker:
            print(f"{await worker.ended()}, after {me.log}", flush=True)


if __name__ == "__main__":
    anyio.run(play, int(sys.argv[1]), Path(sys.argv[2]))
