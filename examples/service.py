"""Service: a web service with a machine for each connection. A guessing game over websockets, against the clock.

The connection is served inside the scope of a state, `playing`. Whatever ends that state (a right guess, the time, a player
who asked too much) ends the reading as well, in the middle of an `await`, and what is then active says what to tell.

It listens on the loopback interface only, and takes short messages: uvicorn cuts off longer ones before they are in memory.

    python examples/service.py           plays against itself, over a port of its own
    python examples/service.py serve     ws://127.0.0.1:8000/
"""

import random
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import attrs
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect

from amachine import Event, Machine, State

LIMIT = 200
"""Bytes of a message, at most."""


@attrs.frozen
class Guess:
    """What a player sends."""

    number: int


@attrs.frozen
class Outcome:
    """How it ended."""

    text: str


class Game(Machine):
    """One player, one number, so much time."""

    playing = State()
    guess = State(Guess, multi=True, require=[playing])
    over = State(Outcome, remove=[playing])

    def __init__(self, secret: int, *, seconds: float, guesses: int = 10) -> None:
        super().__init__()
        self.secret = secret
        self.seconds = seconds
        self.guesses = guesses
        self.hint = ""

    @playing.task
    async def run_out(self, _: Event[None]) -> None:
        await anyio.sleep(self.seconds)
        self.over.add("time is up")

    @guess.enter
    def is_in_range(self, e: Event[Guess]) -> bool:
        return 1 <= e.args.number <= 100

    @guess.state
    def judge(self, e: Event[Guess]) -> None:
        self.guesses -= 1
        self.hint = "more" if e.args.number < self.secret else "less"
        if e.args.number == self.secret:
            self.over.add("you have it")
        elif not self.guesses:
            self.over.add("no more guesses")

    def hear(self, message: str | bytes) -> dict[str, str]:
        """Take a message, whatever it is, and say something to it."""
        try:
            answer = self.guess.send(msgspec.json.decode(message, type=Guess))
        except msgspec.DecodeError as error:
            return {"error": str(error)}
        return {"hint": self.hint} if answer else {"refused": answer.why}


def application(secret: Callable[[], int], *, seconds: float = 60) -> Starlette:
    """The game as a service. Each connection gets a number of its own."""

    async def play(websocket: WebSocket) -> None:
        await websocket.accept()
        with suppress(WebSocketDisconnect):  # while it is told something
            async with Game(secret(), seconds=seconds) as game:
                game.playing.add()
                async with game.playing.scope():
                    while (message := await websocket.receive())["type"] != "websocket.disconnect":
                        reply = game.hear(message.get("text") or message.get("bytes") or "")
                        if game.playing.active:
                            await websocket.send_json(reply)
                if game.over.args:
                    await websocket.send_json({"over": game.over.args.text})
                    await websocket.close()

    return Starlette(routes=[WebSocketRoute("/", play)])


def server(app: Starlette, port: int) -> uvicorn.Server:
    """A server on the loopback interface, with its limits set."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            ws="websockets-sansio",
            ws_max_size=LIMIT,
            limit_concurrency=100,
            log_level="warning",
            lifespan="off",
        )
    )


@asynccontextmanager
async def running(app: Starlette) -> AsyncGenerator[str]:
    """The service on a free port, for as long as the block runs. Yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        service = server(app, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.serve, [free])
            yield f"ws://127.0.0.1:{free.getsockname()[1]}/"
            service.should_exit = True


async def main(*words: str) -> None:
    """Serve until Ctrl-C, or play once, halving what is left."""
    if words == ("serve",):
        print("ws://127.0.0.1:8000/")
        await server(application(lambda: random.randint(1, 100)), 8000).serve()
        return
    async with running(application(lambda: 42)) as address, connect(address) as player:
        low, high, answer = 1, 100, dict[str, str]()
        while "over" not in answer:
            guess = (low + high) // 2
            await player.send(f'{{"number": {guess}}}')
            answer = msgspec.json.decode(await player.recv(), type=dict[str, str])
            print(guess, answer)
            low, high = (guess + 1, high) if answer.get("hint") == "more" else (low, guess - 1)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        anyio.run(main, *sys.argv[1:])
