"""What players stand on: turns in order, alarms, tasks, and how all of it ends."""

from __future__ import annotations

from contextlib import nullcontext

import anyio
import pytest

from amachine.choreography.playing.ground import BURST, Alarm, Ground
from tests.virtual import anyio_backend as anyio_backend


async def test_turns_are_made_in_order_and_what_one_asks_for_comes_after_all_others() -> None:
    made: list[int] = []

    def turn(number: int) -> None:
        made.append(number)
        if number < 2 * BURST:
            ground.soon(turn, number + 2)

    async with Ground() as ground:
        ground.soon(turn, 0)
        ground.soon(turn, 1)
        assert made == []
        await anyio.sleep(1)
        assert made == [*range(2 * BURST + 2)]
        ground.soon(turn, 3 * BURST)  # it was asleep
        await anyio.sleep(1)
        assert made[-1] == 3 * BURST


async def test_others_have_their_turn_while_a_ground_goes_on_and_on() -> None:
    async with Ground() as ground:

        def turn() -> None:
            ground.soon(turn)

        turn()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()


async def test_an_alarm_rings_once_when_it_was_set_for_last() -> None:
    rung: list[float] = []
    async with Ground() as ground:
        alarm = Alarm()
        alarm.ground = ground
        began = ground.now()
        assert began == anyio.current_time()
        for seconds in (5.0, 3.0, 4.0):
            alarm.set(seconds, lambda: rung.append(ground.now() - began))
        await anyio.sleep(100)
        assert rung == [pytest.approx(4.0)]


@pytest.mark.parametrize("error", [None, ValueError("no")])
async def test_what_is_left_cancels_its_tasks_and_makes_no_more_turns(error: Exception | None) -> None:
    ended, made = list[str](), list[str]()

    async def work(name: str) -> None:
        try:
            await anyio.sleep(0 if name == "quick" else 1000)
        finally:
            ended.append(name)

    async def stand() -> None:
        async with Ground() as ground:
            ground.start(work, "quick")
            ground.start(work, "slow")
            ground.at(ground.now() + 500, lambda: made.append("alarm"))
            await anyio.sleep(1)
            assert ended == ["quick"]
            ground.soon(made.append, "turn")
            if error is not None:
                raise error

    began = anyio.current_time()
    with nullcontext() if error is None else pytest.raises(ValueError, match="no"):
        await stand()
    assert ended == ["quick", "slow"]
    assert made == []
    assert anyio.current_time() - began == pytest.approx(1)


async def test_what_waits_for_nothing_is_left_at_once() -> None:
    began = anyio.current_time()
    async with Ground() as ground:
        ground.at(ground.now() + 500, lambda: None)
    async with Ground():
        await anyio.sleep(1)
    assert anyio.current_time() - began == pytest.approx(1)


async def test_what_cancels_whoever_stands_on_it_cancels_its_tasks_too() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep(1000)
        finally:
            ended.append("work")

    with anyio.move_on_after(3) as scope:
        async with Ground() as ground:
            ground.start(work)
            await anyio.sleep(1000)
    assert scope.cancelled_caught
    assert ended == ["work"]
    with anyio.move_on_after(3) as scope:
        async with Ground():
            await anyio.sleep(1000)
    assert scope.cancelled_caught


async def test_a_turn_that_raises_ends_it() -> None:
    def turn() -> None:
        raise KeyError("no")

    async def stand() -> None:
        async with Ground() as ground:
            ground.soon(turn)
            await anyio.sleep(1000)

    with pytest.raises(ExceptionGroup) as caught:
        await stand()
    assert caught.group_contains(KeyError)
