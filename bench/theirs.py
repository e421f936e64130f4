"""The same machines in `transitions`, each written as its manual writes it, without what it does not need here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import transitions
from transitions.extensions.asyncio import AsyncMachine

bare = partial(transitions.Machine, auto_transitions=False)

LAMP = [["flip", "off", "on"], ["flip", "on", "off"], ["turn_on", "off", "on"], ["turn_off", "on", "off"]]
NAMES = [f"s{i}" for i in range(10)]
STEPS = [["advance", name, NAMES[(i + 1) % 10]] for i, name in enumerate(NAMES)]


class Counted:
    """A model whose handlers count."""

    entered = 0

    def count(self) -> None:
        self.entered += 1

    def refuse(self) -> bool:
        return False


class AsyncCounted:
    """The same, for their asynchronous machine."""

    entered = 0
    left = 0

    async def enter(self) -> None:
        self.entered += 1

    async def leave(self) -> None:
        self.left += 1


def trigger(model: object, name: str) -> Callable[[], Any]:
    """A trigger that transitions has put on a model."""
    found: Callable[[], Any] = getattr(model, name)
    return found


def lamp() -> object:
    return bare(states=["off", "on"], initial="off", transitions=LAMP)


def ring() -> Counted:
    model = Counted()
    states = [{"name": name, "on_enter": "count"} for name in NAMES]
    bare(model, states=states, initial="s0", transitions=STEPS)
    return model


def door() -> Counted:
    model = Counted()
    opening = {"trigger": "open", "source": "shut", "dest": "ajar", "conditions": "refuse"}
    bare(model, states=["shut", "ajar"], initial="shut", transitions=[opening])
    return model


def worker() -> AsyncCounted:
    model = AsyncCounted()
    states = ["idle", {"name": "busy", "on_enter": "enter", "on_exit": "leave"}]
    steps = [["begin", "idle", "busy"], ["finish", "busy", "idle"]]
    AsyncMachine(model, states=states, initial="idle", transitions=steps, auto_transitions=False)
    return model


def shared_ring() -> tuple[Callable[[object], object], type[Counted]]:
    """What adds a model to one machine, which is their way of sharing a schema."""
    states = [{"name": name, "on_enter": "count"} for name in NAMES]
    machine = bare(None, states=states, initial="s0", transitions=STEPS)

    def live_once(model: object) -> None:
        machine.add_model(model)
        machine.remove_model(model)

    return live_once, Counted
