"""A loss while a function takes its time that came with the step into a region which starts again: all wait for it."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import pytest

from amachine.choreography import Choreography, Exit, Msg, Outcome, Region, Scene, Sent, Trace
from amachine.testing import virtual_clock


class Boss:
    pass


class Worker:
    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds


class Job(Region, restart=True):
    pass


class Order(Scene[Boss, Worker]):
    order: Msg[None, Report]

    def send(self, me: Boss) -> Sent:
        return self.order()

    async def on_order(self, me: Worker) -> None:
        await anyio.sleep(me.seconds)
        if me.seconds == 2:
            raise OSError("the oven is cold")


class Report(Job, Scene[Worker, Boss]):
    done: Msg[None, Exit]

    def send(self, me: Worker) -> Sent:
        return self.done()


KITCHEN = Choreography(Order, roles=[Boss, Worker], name="kitchen")


def lose_the_boss(worker: Worker, engine: Literal["table", "machine"], trace: Trace) -> Outcome:
    async def main() -> Outcome:
        cast: dict[type, Any] = {Boss: Boss(), Worker: worker}
        async with KITCHEN.play(
            cast, engine=engine, understudies={Boss: Boss}, tracers=[trace], patience=20
        ) as play:
            await anyio.sleep(0.5)
            play.kill(Boss)
            return await play.ended()

    name, options = virtual_clock("asyncio")
    return anyio.run(main, backend=name, backend_options=options)


@pytest.mark.parametrize("engine", ["table", "machine"])
def test_it_starts_again_when_the_function_is_done(engine: Literal["table", "machine"]) -> None:
    trace = Trace()
    assert lose_the_boss(Worker(), engine, trace).exit == "Done"
    assert "Job starts again, with another Boss" in str(trace)


@pytest.mark.parametrize("engine", ["table", "machine"])
def test_a_function_that_fails_then_ends_its_role(engine: Literal["table", "machine"]) -> None:
    outcome = lose_the_boss(Worker(2), engine, Trace())
    assert outcome["Worker"].why == "Order.on_order raised OSError: the oven is cold"


@pytest.mark.parametrize("engine", ["table", "machine"])
def test_nobody_waits_for_ever(engine: Literal["table", "machine"]) -> None:
    outcome = lose_the_boss(Worker(10_000), engine, Trace())
    assert outcome["Worker"].why == "Boss was lost: killed; Worker still needed Boss in Report"
