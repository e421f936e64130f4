"""Send a file, with a hash after every batch: one template, two continuations.

`CheckHash` is written once. After the offer and after a batch it goes on with the file, after the last batch it ends. Where
a hash differs, both ends come to the exit `Failed`, and nothing is left of the file. Here both ends are in one process;
`send_file_tcp.py` has them in two, and with words this does what that does.

    python examples/send_file.py
    python -m examples.send_file receive --port 4000 --into FOLDER
    python -m examples.send_file send FILE --to 127.0.0.1:4000
    amachine choreo run examples/send_file.py:send_file
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory, mkdtemp
from typing import Any, Generic, Self, TypeVar

import anyio
import attrs

from amachine.choreography import Choreography, Exit, Msg, Scene, Sent


@attrs.define(kw_only=True)
class End:
    """What both ends keep: an open file, how much has passed, and the hash of what has since the last check."""

    file: Any = None
    size: int = 0
    done: int = 0
    checked: int = 0
    hash: blake2b = attrs.field(factory=blake2b)
    why: str = ""

    def passed(self, part: bytes) -> None:
        self.hash.update(part)
        self.done += len(part)

    def digest(self) -> bytes:
        digest, self.hash, self.checked = self.hash.digest(), blake2b(), self.done
        return digest

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


@attrs.define(kw_only=True)
class Sender(End):
    """Has a file, and reads it in chunks; after every `batch` bytes it wants to be sure."""

    path: Path = Path(__file__)
    chunk: int = attrs.field(default=2**16, validator=attrs.validators.ge(1))
    batch: int = attrs.field(default=20 * 2**20, validator=attrs.validators.ge(1))

    def open(self) -> tuple[str, int]:
        self.file = self.path.open("rb")
        self.size = os.fstat(self.file.fileno()).st_size
        return self.path.name, self.size

    def read(self) -> bytes:
        part: bytes = self.file.read(min(self.chunk, self.size - self.done))
        self.passed(part)
        return part


@attrs.define(kw_only=True)
class Receiver(End):
    """Gets a file into a folder, and believes nothing: not the name, not the size, and no part before its hash."""

    folder: Path = attrs.field(factory=lambda: Path(mkdtemp()))
    most: int = 2**34
    path: Path = Path()

    def accept(self, name: str, size: int) -> str:
        """Why it does not take that; nothing if it does. A name is a name here, and no path."""
        name = re.sub(r"[^\w.,+() -]", "_", re.split(r"[/\\]", name)[-1])[-60:].strip(". ")
        self.path, self.size = self.folder / (name or "file"), size
        if not 0 <= size <= self.most:
            return f"{size:,} bytes are too many: {self.most:,} may come"
        if self.path.exists():
            return f"there is a file {self.path.name} already"
        self.file = NamedTemporaryFile(dir=self.folder, suffix=".part")  # noqa: SIM115  # gone when it is closed
        return ""

    def write(self, part: bytes) -> None:
        if self.done + len(part) > self.size:
            raise ValueError(f"more came than the {self.size:,} bytes that were offered")
        self.file.write(part)
        self.passed(part)

    def verify(self, digest: bytes) -> str:
        """What is wrong; nothing if all is well."""
        start = self.checked
        if self.digest() == digest:
            return ""
        return f"the hash differs: something is wrong from byte {start:,} to {self.done:,}"

    def keep(self) -> str:
        """Give it its name, unless another file has it; or say what is missing."""
        if self.done < self.size:
            return f"only {self.done:,} bytes of {self.size:,} came"
        self.file.flush()
        os.link(self.file.name, self.path)
        self.file.close()
        return ""


S = TypeVar("S", bound=Sender)
R = TypeVar("R", bound=Receiver)
Ok = TypeVar("Ok")
Bad = TypeVar("Bad")


class Failed(Exit):
    """The file did not arrive."""


class Offer(Scene[S, R], Generic[S, R, Ok, Bad]):
    """The name of the file, and its size."""

    file: Msg[tuple[str, int], CheckHash[S, R, Send[S, R, Ok, Bad], Bad]]

    def send(self, me: S) -> Sent:
        return self.file(me.open())

    def on_file(self, me: R, offered: tuple[str, int]) -> None:
        me.why = me.accept(*offered)


class Send(Scene[S, R], Generic[S, R, Ok, Bad]):
    """The file in parts, and their hash now and then."""

    chunk: Msg[bytes, Self]
    check: Msg[bytes, CheckHash[S, R, Send[S, R, Ok, Bad], Bad]]
    end: Msg[bytes, CheckHash[S, R, Ok, Bad]]

    def send(self, me: S) -> Sent:
        if me.done - me.checked >= me.batch:
            return self.check(me.digest())
        part = me.read()
        return self.chunk(part) if part else self.end(me.digest())

    def on_chunk(self, me: R, part: bytes) -> None:
        me.write(part)

    def on_check(self, me: R, digest: bytes) -> None:
        me.why = me.verify(digest)

    def on_end(self, me: R, digest: bytes) -> None:
        me.why = me.verify(digest) or me.keep()


class CheckHash(Scene[R, S], Generic[S, R, Ok, Bad]):
    """All is well so far, or it was in vain."""

    ok: Msg[None, Ok]
    failed: Msg[str, Bad]

    def send(self, me: R) -> Sent:
        if not me.why:
            return self.ok()
        me.close()
        return self.failed(me.why)

    def on_failed(self, me: S, why: str) -> None:
        me.why = "".join(filter(str.isprintable, why))


send_file = Choreography(
    Offer[Sender, Receiver, Exit, Failed], roles=[Sender, Receiver], name="send_file", patience=30
)


def main() -> None:
    """Play it in this process; with words, over TCP."""
    if sys.argv[1:]:
        from examples.send_file_tcp import main as over_tcp

        return over_tcp()
    with (
        TemporaryDirectory() as folder,
        closing(Sender()) as sender,
        closing(Receiver(folder=Path(folder))) as receiver,
    ):
        print(anyio.run(send_file.run_local, {Sender: sender, Receiver: receiver}))
        print(f"{receiver.path.name}: {receiver.path.stat().st_size:,} bytes of {sender.size:,}")
    return None


if __name__ == "__main__":
    main()
