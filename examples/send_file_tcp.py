"""Send a file over TCP to another process: the script of `send_file.py`, each end joined by a program of its own.

Whoever dies in the middle, the other ends too, says why, and keeps nothing. `--corrupt` puts a small proxy between that flips
one bit on the wire: the next hash tells, and both ends come to the exit `Failed`. Without words, or with `demo`, both
programs run on this machine, with a new file.

    python -m examples.send_file_tcp receive --port 4000 --into FOLDER
    python -m examples.send_file_tcp send FILE --to 127.0.0.1:4000 [--chunk BYTES] [--corrupt]
    python -m examples.send_file_tcp demo [--size BYTES] [--chunk BYTES] [--corrupt]
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from filecmp import cmp
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic

import anyio
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from amachine.choreography import Channel
from amachine.choreography.wire import connect, listen
from amachine.errors import AmachineError
from examples.send_file import End, Receiver, Sender, send_file

Address = tuple[str, int]


async def play(role: type, me: End, channels: Mapping[type, Channel]) -> int:
    """Play one role to its end, with a progress bar on a terminal. Returns the exit status."""
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    began, quiet = monotonic(), not sys.stdout.isatty()
    with closing(me), Progress(*columns, console=Console(), disable=quiet) as bar:
        task = bar.add_task(role.__name__, total=None)
        async with send_file.join(role, me, channels) as joined:
            while joined.ending is None:
                with anyio.move_on_after(0.1):
                    await joined.ended()
                bar.update(task, completed=me.done, total=me.size or None)
    if joined.ending.state == "Done":
        print(f"{role.__name__}: {me.done:,} bytes in {monotonic() - began:.2f} s")
        return 0
    print(f"{role.__name__}: {joined.ending.state}: {me.why or joined.ending.why}", file=sys.stderr)
    return 1


async def receive(me: Receiver, *, host: str = "127.0.0.1", port: int = 0, token: str = "") -> int:
    """Wait for one sender, and take what it has. First say where."""
    async with listen(host=host, port=port, token=token) as listener:
        print(f"{listener.host}:{listener.port}", flush=True)
        return await play(Receiver, me, {Sender: await listener.channel(send_file, me=Receiver, peer=Sender)})


async def send(me: Sender, to: Address, *, token: str = "") -> int:
    """Send a file to somebody who receives."""
    async with connect(*to, token=token) as connection:
        return await play(
            Sender, me, {Receiver: await connection.channel(send_file, me=Sender, peer=Receiver)}
        )


def corrupted(to: Address, at: int) -> Address:
    """The address of a proxy in front of that one. Of the bytes that go there, one bit of byte `at` is flipped."""
    door = socket.create_server(("127.0.0.1", 0))

    def between() -> None:
        with door:
            client, _ = door.accept()
        with client, socket.create_connection(to) as server:
            back = Thread(target=carry, args=(server, client, -1))
            back.start()
            carry(client, server, at)
            back.join()

    Thread(target=between, daemon=True).start()
    host, port = door.getsockname()
    return host, port


def carry(one: socket.socket, other: socket.socket, at: int) -> None:
    """Pass on what comes, until no more does."""
    with suppress(OSError):
        while data := bytearray(one.recv(2**16)):
            if 0 <= at < len(data):
                data[at] ^= 1
            at -= len(data)
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def demo(size: int, chunk: int, batch: int, *, corrupt: bool) -> int:
    """Send a new file from one process to another, and compare. Returns 0 if all went as it should."""
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    program = [sys.executable, "-m", "examples.send_file_tcp"]
    words = ["--chunk", str(chunk), "--batch", str(batch), *["--corrupt"] * corrupt]
    with TemporaryDirectory() as name, ExitStack() as running:
        file, folder = Path(name, "some.bin"), Path(name, "received")
        file.write_bytes(os.urandom(size))
        folder.mkdir()
        receiver = running.enter_context(
            subprocess.Popen(  # noqa: S603
                [*program, "receive", "--into", folder], env=env, stdout=subprocess.PIPE, text=True
            )
        )
        running.callback(receiver.kill)
        assert receiver.stdout is not None
        to = receiver.stdout.readline().strip()
        sender = subprocess.run([*program, "send", file, "--to", to, *words], env=env, check=False)  # noqa: S603
        statuses = sender.returncode, receiver.wait(timeout=60)
        came = [each.name for each in folder.iterdir()]
        same = came == [file.name] and cmp(file, folder / file.name, shallow=False)
    print(f"received: {came}, identical: {same}, exit statuses {statuses}")
    return int((statuses, came, same) != ((1, 1), [], False) if corrupt else not same or any(statuses))


def address(text: str) -> Address:
    """What `host:port` says."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def words() -> argparse.ArgumentParser:
    """What can be said."""
    parser = argparse.ArgumentParser(
        prog="send_file", description="Send a file over TCP, checked on the way."
    )
    kinds = parser.add_subparsers(dest="what", metavar="receive | send | demo")
    taking = kinds.add_parser("receive", help="take one file")
    taking.add_argument("--into", type=Path, default=Path(), metavar="FOLDER")
    taking.add_argument("--most", type=int, default=2**34, metavar="BYTES", help="larger files are refused")
    taking.add_argument("--host", default="127.0.0.1", help="where others can come to; they need a --token")
    taking.add_argument("--port", type=int, default=0)
    giving = kinds.add_parser("send", help="send a file to somebody who receives")
    giving.add_argument("file", type=Path, metavar="FILE")
    giving.add_argument("--to", type=address, required=True, metavar="HOST:PORT")
    both = kinds.add_parser("demo", help="both on this machine, with a new file")
    both.add_argument("--size", type=int, default=8 * 2**20, metavar="BYTES")
    for each in (taking, giving):
        each.add_argument("--token", default="", help="what a sender has to know")
    for each in (giving, both):
        each.add_argument("--chunk", type=int, default=2**16, metavar="BYTES", help="(%(default)s)")
        each.add_argument("--batch", type=int, default=20 * 2**20, metavar="BYTES", help="(%(default)s)")
        each.add_argument(
            "--corrupt", action="store_true", help="flip a bit on the wire, in the fourth chunk"
        )
    return parser


def main() -> None:
    """Do what the words say."""
    given = words().parse_args(sys.argv[1:] or ["demo"])
    try:
        if given.what == "receive":
            taker = partial(receive, host=given.host, port=given.port, token=given.token)
            sys.exit(anyio.run(taker, Receiver(folder=given.into, most=given.most)))
        if given.what == "demo":
            sys.exit(demo(given.size, given.chunk, given.batch, corrupt=given.corrupt))
        given.file.stat()  # if it is not there, nobody else need be disturbed
        to = corrupted(given.to, 7 * given.chunk // 2) if given.corrupt else given.to
        giver = Sender(path=given.file, chunk=given.chunk, batch=given.batch)
        sys.exit(anyio.run(partial(send, token=given.token), giver, to))
    except (AmachineError, OSError, ValueError) as error:
        sys.exit(f"{given.what}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
