"""The tests of template.py, to be copied with it: `pytest examples/template_test.py`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from amachine import TaskTimeout
from amachine.helpers import WaitFailed
from amachine.testing import assert_refused, virtual_time
from examples.template import Connection, Fetcher, Shelf, fetch_all, library

pytestmark = pytest.mark.anyio


class Slow:
    """A connection that takes its time, notes how many it serves at once, and whether it is open."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_open = False
        self.busy = self.busiest = 0

    async def fetch(self, name: str) -> str:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await anyio.sleep(self.seconds)
        self.busy -= 1
        return name.upper()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Connection]:
        self.is_open = True
        try:
            yield self
        finally:
            self.is_open = False


def test_nothing_is_fetched_before_it_is_connected() -> None:
    assert_refused(Fetcher(library).fetching.add("whale"), "fetching requires Ready, which is inactive")


async def test_what_is_not_there_is_no_error() -> None:
    fetcher = await fetch_all(["whale", "unicorn"], library)
    assert list(fetcher.things) == ["whale"]
    assert fetcher.error is None


async def test_what_is_there_already_is_refused() -> None:
    async with Fetcher(library) as fetcher:
        fetcher.Start.add()
        await fetcher.when(Fetcher.Ready)
        fetcher.fetching.add("whale")
        await fetcher.fetched.when()
        assert_refused(fetcher.fetching.add("whale"), match="is_new")


@virtual_time
async def test_four_are_fetched_at_once_and_no_more() -> None:
    slow = Slow(seconds=8)
    began = anyio.current_time()
    fetcher = await fetch_all("abcdefghij", slow.connect)
    assert fetcher.things["j"] == "J"
    assert slow.busiest == 4
    assert anyio.current_time() - began == pytest.approx(24)


@virtual_time
async def test_what_takes_too_long_ends_everything() -> None:
    slow = Slow(seconds=11)
    with pytest.raises(WaitFailed) as caught:
        await fetch_all(["a"], slow.connect)
    assert isinstance(caught.value.__cause__, TaskTimeout)
    assert not slow.is_open


async def test_a_broken_connection_ends_everything() -> None:
    class Broken(Shelf):
        async def fetch(self, name: str) -> str:
            raise ConnectionResetError(name)

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Connection]:
        yield Broken({})

    with pytest.raises(WaitFailed) as caught:
        await fetch_all(["a"], connect)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
