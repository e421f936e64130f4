"""Acts for any script: what is chosen goes by a list per scene, what happens goes into a log. For tests of the engines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from inspect import isawaitable
from typing import Any

import attrs

from amachine.choreography.acting import Act, Answer
from amachine.choreography.reading import Reading
from amachine.choreography.script import Script
from amachine.choreography.whole import Choreography
from tests.choreo.built import Final

SAMPLES: Mapping[Any, Any] = {
    int: 7,
    bool: True,
    bytes: b"part",
    str: "word",
    Final: Final(b"last", b"digest"),
}

CHOICES: Mapping[str, tuple[str, ...]] = {
    "Ping": ("ping", "ping", "next"),
    "Send": ("chunk", "chunk", "check", "chunk", "final"),
    "Decide": ("retry", "ok"),
    "Start": ("charlie_leads", "alice_leads", "bob_leads", "exit"),
}
"""By the name of a scene: what is chosen at the first visit, the second, …, and then from the beginning."""


@attrs.define
class Actor:
    """Plays any role."""

    role: str = ""
    choices: Mapping[str, tuple[str, ...]] = CHOICES
    visits: dict[str, int] = attrs.field(factory=dict[str, int])
    log: list[str] = attrs.field(factory=list[str])
    does: dict[str, Callable[[Any], Any]] = attrs.field(factory=dict[str, Callable[[Any], Any]])
    """By `Ping.send` or `Ping.on_ping`: what is done instead, or before the answer if that is None."""

    def done(self, what: str) -> Any:
        self.log.append(what)
        does = self.does.get(what)
        return None if does is None else does(self)

    def checkpoint(self) -> tuple[list[str], dict[str, int]]:
        return [*self.log], dict(self.visits)

    def restore(self, data: tuple[list[str], dict[str, int]]) -> None:
        self.log, self.visits = [*data[0], "restored"], dict(data[1])


@lru_cache
def acted(script: Script, *, patience: float | None = None, inform: Any = "auto") -> Choreography:
    """That script, played by actors."""
    acts = {
        scene.id: Act(_send(scene), {each.label: _on(scene, each) for each in scene.branches})
        for scene in script.scenes.values()
    }
    return Choreography.of(Reading(script, acts, {}), patience=patience, inform=inform)


def cast(roles: Iterable[str], **does: Mapping[str, Callable[[Actor], Any]]) -> dict[Any, Actor]:
    """An actor for each role; by role, what some of their functions do."""
    return {role: Actor(role, does=dict(does.get(role, {}))) for role in roles}


def _send(scene: Any) -> Callable[[Actor], Any]:
    def send(me: Actor) -> Any:
        labels = me.choices.get(scene.name) or tuple(each.label for each in scene.branches)
        visit = me.visits.get(scene.name, 0)
        me.visits[scene.name] = visit + 1
        branch = scene.branch(labels[visit % len(labels)])
        answer: Answer = branch.label, SAMPLES.get(branch.payload)
        done = me.done(f"{scene.name}.send")
        if isawaitable(done):
            return _later(done, answer)
        return answer if done is None else done

    return send


async def _later(done: Awaitable[Any], answer: Answer) -> Any:
    result = await done
    return answer if result is None else result


def _on(scene: Any, branch: Any) -> Callable[..., Any]:
    def on(me: Actor, *_: Any) -> Any:
        return me.done(f"{scene.name}.on_{branch.label}")

    return on
