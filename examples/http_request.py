"""HTTP, in short: requests one after the other on one session, a head as the answer, and a body that is streamed in chunks.

What may come next is in the types: no chunk before the head, no second request before the first is answered. That a page is
not there, or fails, is a branch, and the session goes on. That a client goes away is none: its session ends with a sentence,
and all others go on. `serve` plays the server with everybody who comes.

    python examples/http_request.py                                     a server and three clients
    python examples/http_request.py --port 8080                         the server
    python examples/http_request.py --port 8080 / /numbers /nowhere     a client
    amachine choreo graph examples/http_request.py:web
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Self

import anyio
import attrs

from amachine.choreography import Choreography, Ending, Exit, Msg, Scene, Sent
from amachine.choreography.wire import connect, serve


@attrs.frozen
class Request:
    """What is asked for."""

    method: str
    path: str
    headers: dict[str, str]


@attrs.frozen
class Page:
    """What is answered: the headers at once, the body as it is made."""

    headers: dict[str, str]
    body: Iterator[bytes]


def hello(request: Request) -> Page:
    """A short page."""
    return Page({"type": "text/plain"}, iter([f"Hello, {request.headers['agent']}!".encode()]))


def numbers(_: Request) -> Page:
    """A page without an end: who asks for it goes away in the middle."""
    return Page({"type": "text/csv"}, (b"%d," % n for n in count()))


def broken(_: Request) -> Page:
    """A page that cannot be made."""
    raise OSError("the disk with the passwords is full")


SITE = {"/": hello, "/numbers": numbers, "/broken": broken}


@attrs.define
class Server:
    """Plays for one client; `serve` makes one for each."""

    site: Mapping[str, Callable[[Request], Page]] = attrs.field(factory=lambda: SITE)
    request: Request = Request("GET", "/", {})
    page: Page = Page({}, iter([b""]))


@attrs.define
class Client:
    """Wants some pages, one after the other; of each, so many bytes are enough."""

    agent: str = "somebody"
    wants: list[str] = attrs.field(factory=lambda: ["/", "/nowhere"])
    enough: int = 2000
    leave: Callable[[str], object] = print
    body: bytearray = attrs.field(factory=bytearray)
    got: list[str] = attrs.field(factory=list[str])


class Ask(Scene[Client, Server]):
    """The client has a request, or wants no more. The server does not wait for ever."""

    patience = 30.0
    request: Msg[Request, Answer]
    close: Msg[None, Exit]

    def send(self, me: Client) -> Sent:
        if not me.wants:
            return self.close()
        return self.request(Request("GET", me.wants.pop(0), {"agent": me.agent}))

    def on_request(self, me: Server, request: Request) -> None:
        me.request = request


class Answer(Scene[Server, Client]):
    """The head of a page, or why there is none."""

    ok: Msg[dict[str, str], Body]
    not_found: Msg[str, Ask]
    failed: Msg[None, Ask]

    def send(self, me: Server) -> Sent:
        make = me.site.get(me.request.path)
        if make is None or me.request.method != "GET":
            return self.not_found(f"there is no {me.request.path}")
        try:
            me.page = make(me.request)
        except Exception:  # noqa: BLE001  # what went wrong in there is nothing for clients
            return self.failed()
        return self.ok(me.page.headers)

    def on_ok(self, me: Client, headers: dict[str, str]) -> None:
        me.got.append(f"200 {headers['type']}")

    def on_not_found(self, me: Client, why: str) -> None:
        me.got.append(f"404 {why}")

    def on_failed(self, me: Client) -> None:
        me.got.append("500")


class Body(Scene[Server, Client]):
    """One chunk after the other, no faster than the client takes them."""

    chunk: Msg[bytes, Self]
    end: Msg[None, Ask]

    def send(self, me: Server) -> Sent:
        part = next(me.page.body, None)
        return self.end() if part is None else self.chunk(part)

    def on_chunk(self, me: Client, part: bytes) -> None:
        me.body += part
        if len(me.body) >= me.enough:
            me.leave(f"{len(me.body)} bytes are enough")

    def on_end(self, me: Client) -> None:
        me.got.append(me.body.decode())
        me.body.clear()


web = Choreography(Ask, roles=[Client, Server], name="web")


async def visit(port: int, client: Client) -> None:
    """Get all that a client wants, in one session; tell it how that ended."""
    async with connect("127.0.0.1", port) as connection:
        to = {Server: await connection.channel(web, me=Client, peer=Server)}
        async with web.join(Client, client, to) as session:
            client.leave = session.leave
            client.got.append(str(await session.ended()))


async def show() -> None:
    """Have a server and three clients at once."""
    wants = {"Ann": ["/", "/nowhere", "/"], "Ben": ["/broken", "/"], "Cid": ["/", "/numbers", "/"]}
    clients = [Client(*each) for each in wants.items()]
    endings: list[Ending] = []
    async with serve(web, Server, lambda _: Server(), on_end=lambda _, each: endings.append(each)) as server:
        async with anyio.create_task_group() as group:
            for client in clients:
                group.start_soon(visit, server.port, client)
        await server.drain()
    for client in clients:
        print(client.agent, *client.got, sep="\n  ")
    print("at the server", *sorted(map(str, endings)), sep="\n  ")


async def keep(port: int) -> None:
    """Serve until somebody interrupts."""
    async with serve(web, Server, lambda _: Server(), port=port) as server:
        print(f"on port {server.port}", flush=True)
        await anyio.sleep_forever()


def main() -> None:
    """Serve, get pages, or do both."""
    parser = argparse.ArgumentParser(description="A server and its clients.")
    parser.add_argument("--port", type=int, metavar="N", help="where the server is")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="what to get")
    options = parser.parse_args()
    if options.port is None:
        anyio.run(show)
    elif options.paths:
        client = Client(wants=options.paths)
        anyio.run(visit, options.port, client)
        print(*client.got, sep="\n")
    else:
        with suppress(KeyboardInterrupt):
            anyio.run(keep, options.port)


if __name__ == "__main__":
    main()
