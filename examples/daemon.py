"""Daemon: a machine behind a unix socket, and a command line that talks to it. The schema is the protocol.

A request is one line of JSON, {"verb": "add", "states": ["playing"], "args": {"song": "Lola"}}, and so is the answer.
Whatever comes in is checked: how long it is, its form, the names of states, their arguments. Only the owner may
connect. SIGINT or SIGTERM removes the state `up`, and with it goes all that serves.

    python examples/daemon.py serve                     in one terminal
    python examples/daemon.py add power                 in another
    python examples/daemon.py add playing song=Lola
    python examples/daemon.py                           both by itself, on a socket of its own
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Literal

import anyio
import attrs
import msgspec
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from amachine import ArgsError, ErrorInfo, Event, Machine, State, UnknownState, exclusive

SOCKET = Path(os.environ.get("XDG_RUNTIME_DIR") or gettempdir()) / f"amachine-player-{os.getuid()}.sock"
LIMIT = 4096
"""Bytes of a line, at most."""


@attrs.frozen
class Request:
    """What a client asks for."""

    verb: Literal["add", "remove", "toggle", "show"]
    states: tuple[str, ...] = ()
    args: dict[str, Any] = attrs.field(factory=dict[str, Any])


@attrs.frozen
class Song:
    """What is played."""

    song: str
    volume: int = 5


class Player(Machine):
    """What is served: it plays, silently. It knows nothing of sockets."""

    power = State()
    playing = State(Song, require=[power])
    paused = State(require=[power])
    deck = exclusive(playing, paused)


class Daemon(Machine):
    """Serves a machine while it is `up`."""

    up = State()
    listening = State(require=[up], doc="Clients can connect.")

    def __init__(self, path: Path, served: Machine) -> None:
        super().__init__("daemon")
        self.path = path
        self.served = served

    @up.task
    async def serve(self, _: Event[None]) -> None:
        """Answer everybody. All connections end with the state."""
        if await self.is_taken():
            raise FileExistsError(f"another daemon serves {self.path}")
        async with await anyio.create_unix_listener(self.path, mode=0o600) as listener:
            try:
                self.listening.add()
                await listener.serve(self.talk)
            finally:
                self.path.unlink(missing_ok=True)

    @up.task
    async def obey(self, _: Event[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _number in signals:
                self.up.remove()

    @Machine.Exception.state
    def give_up(self, e: Event[ErrorInfo]) -> None:
        print(f"error: {e.args.error}", file=sys.stderr)
        self.up.remove()

    async def is_taken(self) -> bool:
        """Whether somebody listens there; a socket that was left behind does not count."""
        try:
            await (await anyio.connect_unix(self.path)).aclose()
        except OSError:
            return False
        return True

    async def talk(self, client: ByteStream) -> None:
        """Answer one client, line by line."""
        lines = BufferedByteReceiveStream(client)
        with suppress(anyio.IncompleteRead, anyio.BrokenResourceError):  # it has gone away
            async with client:
                try:
                    while len(line := await lines.receive_until(b"\n", LIMIT)) <= LIMIT:
                        await client.send(msgspec.json.encode(answer(self.served, line)) + b"\n")
                except anyio.DelimiterNotFound:
                    pass
                await client.send(b'{"error":"a line is at most 4096 bytes"}\n')


def answer(machine: Machine, line: bytes) -> dict[str, Any]:
    """What a machine says to one line."""
    try:
        asked = msgspec.json.decode(line, type=Request)
        why = "" if asked.verb == "show" else getattr(machine, asked.verb)(*asked.states, **asked.args).why
    except (msgspec.DecodeError, RecursionError, UnknownState, ArgsError) as error:
        return {"error": str(error)}
    return {"refused": why} if why else {"clock": dict(machine.clock)}


async def ask(path: Path, line: bytes) -> str:
    """Say one line to the daemon. Errors: OSError where there is none."""
    async with await anyio.connect_unix(path) as stream:
        await stream.send(line + b"\n")
        return (await BufferedByteReceiveStream(stream).receive_until(b"\n", 1 << 20)).decode()


def line_of(words: Sequence[str]) -> bytes:
    """A command line as a request: a verb, states, and arguments as name=value."""
    states = [word for word in words[1:] if "=" not in word]
    given = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    args = {name: int(value) if value.isdecimal() else value for name, value in given.items()}
    return msgspec.json.encode({"verb": words[0], "states": states, "args": args})


async def serve(path: Path) -> int:
    """Run the daemon until a signal comes. Returns the exit code."""
    async with Player("player") as player, Daemon(path, player) as daemon:
        daemon.listening.when().then(lambda _: print(f"listening on {path}", flush=True))
        daemon.up.add()
        await daemon.up.when_not()
    return 1 if daemon.error else 0


async def rehearse() -> int:
    """A daemon and its clients, in one program."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "player.sock")
        async with Player("player") as player, Daemon(path, player) as daemon:
            daemon.up.add()
            await daemon.listening.when()
            for words in (
                "show",
                "add playing song=Lola",
                "add power",
                "add playing song=Lola volume=7",
                "add pwoer",
            ):
                print(f"> {words}\n{await ask(path, line_of(words.split()))}")
            daemon.up.remove()
    return 0


async def main(*words: str) -> int:
    """Be the daemon, or its client. Returns the exit code."""
    match words:
        case ():
            return await rehearse()
        case ("serve",):
            return await serve(SOCKET)
        case _:
            print(await ask(SOCKET, line_of(words)))
            return 0


if __name__ == "__main__":
    try:
        sys.exit(anyio.run(main, *sys.argv[1:]))
    except OSError as error:
        sys.exit(f"{SOCKET}: {error}")
