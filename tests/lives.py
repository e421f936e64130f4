"""What the tests of background work share: three ways to live in an event loop, and how to let it come to rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any, TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from amachine import Machine

T = TypeVar("T")


@pytest.fixture(params=["asyncio", "asyncio through anyio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    monkeypatch.setattr(Machine, "_native_tasks", name == "asyncio")
    return name.split(maxsplit=1)[0]


async def rest() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await checkpoint()


async def forever() -> None:
    await anyio.sleep_forever()


async def at_last(happened: Callable[[], object]) -> None:
    """Let the loop run until something has happened: for what other threads do meanwhile."""
    with anyio.fail_after(20):
        while not happened():  # noqa: ASYNC110  # no event tells it: that is what is tested
            await anyio.sleep(0.001)


class Errand:
    """A function in a thread of its own, its result or its error."""

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(fn, *args), daemon=True)
        self._thread.start()

    def _run(self, fn: Callable[..., Any], *args: Any) -> None:
        try:
            self.value = fn(*args)
        except BaseException as error:  # noqa: BLE001  # it is looked at by whoever asks for the outcome
            self.error = error

    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def outcome(self) -> Any:
        self._thread.join(20)
        assert self.is_over()
        if self.error is not None:
            raise self.error
        return self.value

    async def done(self) -> Any:
        await at_last(self.is_over)
        return self.outcome()


async def raises(kind: type[BaseException], work: Awaitable[object]) -> BaseException:
    """The error of this kind that the work ends with."""
    with pytest.raises(kind) as caught:
        await work
    return caught.value
