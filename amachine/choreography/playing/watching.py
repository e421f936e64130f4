"""The tracers of a session, as far as they look at steps. They never change or end what they watch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from amachine.choreography.playing.doing import failure_of
from amachine.choreography.playing.events import Event, StageTracer, Step, outline
from amachine.choreography.typenames import kind_of
from amachine.tracers.base import HOOKS, Tracer

if TYPE_CHECKING:
    from amachine.choreography.local import Give, Take
    from amachine.choreography.playing.frames import Frame
    from amachine.choreography.playing.player import Player

__all__ = ["Watchers", "of_machines", "tracers_of"]

_log = logging.getLogger("amachine")


class Watchers:
    """The tracers that see events. False where there are none: then no event need be made."""

    __slots__ = ("_tracers", "hook")

    def __init__(self, tracers: Iterable[Tracer]) -> None:
        self._tracers = [each for each in tracers if isinstance(each, StageTracer) and _looks(each)]
        self.hook: Callable[[Event], None] | None = self._hook()
        """What an event may be given to that has to be shown quickly. None where nobody looks.

        It may be the method of a tracer: call `failed` if it raises.
        """

    def __bool__(self) -> bool:
        return bool(self._tracers)

    def see(self, event: Event) -> None:
        """Show it to all of them. One that raises sees nothing more."""
        for tracer in tuple(self._tracers):
            try:
                tracer.stage_event(event)
            except BaseException as error:  # whatever it is, what is watched goes on
                self._drop(tracer)
                if failure_of(error) is None:
                    raise
                _log_failure(tracer)

    def failed(self) -> Callable[[Event], None] | None:
        """Detach the tracer whose method `hook` is, for it has just raised. Returns the new one."""
        tracer = self._tracers[0]
        self._drop(tracer)
        _log_failure(tracer)
        return self.hook

    def _drop(self, tracer: StageTracer) -> None:
        self._tracers.remove(tracer)
        self.hook = self._hook()

    def _hook(self) -> Callable[[Event], None] | None:
        match self._tracers:
            case []:
                return None
            case [tracer]:
                return tracer.stage_event
            case _:
                return self.see

    def chose(self, player: Player, give: Give, data: Any, sent: int) -> None:
        """The role has chosen a branch, and has sent so many frames before."""
        self._stepped(player, give, sent, data)

    def heard(self, player: Player, take: Take, frame: Frame) -> None:
        """A frame tells the role of a step."""
        self._stepped(player, take, frame.seq, frame.data)

    def _stepped(self, player: Player, step: Give | Take, seq: int, data: Any) -> None:
        shown = outline(player.role, player.state.local.name, step)
        self.see(Step(player.session, *shown, seq, player.lamport, player.epoch, data, step.names))


def _log_failure(tracer: StageTracer) -> None:
    _log.exception("the tracer %r failed, and was detached", tracer)


def _looks(tracer: StageTracer) -> bool:
    return type(tracer).stage_event is not StageTracer.stage_event


def tracers_of(given: Any) -> tuple[Tracer, ...]:
    """What is given as `tracers=[…]`. Errors: `TypeError` for what is none, which says what to write."""
    if isinstance(given, Tracer) or not isinstance(given, Iterable):
        raise TypeError(f"tracers={_said(given)}: they are in a list, as in tracers=[Trace()]")
    tracers: tuple[Any, ...] = tuple(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for each in tracers:
        if isinstance(each, type):
            raise TypeError(f"tracers: {each.__name__} is a class: write {each.__name__}()")
        if hasattr(each, "stage_event") and not isinstance(each, StageTracer):
            raise TypeError(
                f"tracers: {kind_of(each)} is no StageTracer, so nobody would call its stage_event: write "
                f"class {type(each).__name__}(StageTracer)"
            )
        if iscoroutinefunction(getattr(each, "stage_event", None)):
            raise TypeError(
                f"tracers: stage_event of {kind_of(each)} is a coroutine function, and nobody awaits it: write def"
            )
        if not isinstance(each, Tracer):
            raise TypeError(f"tracers: {kind_of(each)} is no tracer: those derive from StageTracer or Tracer")
    return tracers


def _said(given: object) -> str:
    return f"{given.__name__}" if isinstance(given, type) else f"{type(given).__name__}(…)"


def of_machines(tracers: Iterable[Tracer]) -> list[Tracer]:
    """Those that look at machines: there have to be some for them."""
    return [
        each
        for each in tracers
        if any(getattr(type(each), hook) is not getattr(Tracer, hook) for hook in HOOKS)
    ]
