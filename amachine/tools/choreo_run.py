"""`amachine choreo run`: one session, played here, with a line that tells how far it is and a report if it does not end."""

from __future__ import annotations

import importlib.util
import random
import shutil
import signal
import sys
import traceback
from contextlib import ExitStack
from functools import partial
from time import monotonic
from typing import IO, TYPE_CHECKING

import anyio
import attrs

from amachine.choreography.playing.events import Event, RoleEnded, StageTracer, Step
from amachine.choreography.playing.play import Play
from amachine.choreography.seeing.trace import TraceFile
from amachine.tools.choreo_target import cast_of, find_choreography
from amachine.tools.target import NotFound
from amachine.tracers.shown import cut

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from amachine.choreography.playing.endings import Outcome

__all__ = ["Progress", "play"]


class Progress(StageTracer):
    """One line on a terminal: how many steps were taken, and where each role stands. `pause`: seconds between two changes."""

    def __init__(self, out: IO[str], *, width: int = 100, pause: float = 0.1) -> None:
        self._out = out
        self._width = width
        self._pause = pause
        self._steps = 0
        self._at: dict[str, str] = {}
        self._next = monotonic() + pause

    def stage_event(self, event: Event) -> None:
        """Count it, and write the line if it is time."""
        if isinstance(event, Step):
            self._steps += event.sent
            self._at[event.role] = event.target
        elif isinstance(event, RoleEnded):
            self._at[event.role] = event.state
        if monotonic() >= self._next:
            roles = "  ".join(f"{role} {state}" for role, state in self._at.items())
            self._write(f"{self._steps:,} steps  {roles}")
            self._next = monotonic() + self._pause

    def close(self) -> None:
        """Take the line away."""
        self._write("")

    def _write(self, text: str) -> None:
        self._out.write(f"\r\033[K{cut(text, self._width)}")
        self._out.flush()


def play(options: argparse.Namespace) -> int:
    """Play. Returns the exit status. Errors: `NotFound`, `AmachineError`, `LookupError`, OSError."""
    if options.backend == "trio" and importlib.util.find_spec("trio") is None:
        raise NotFound("trio is not installed")
    if options.seed is not None:
        random.seed(options.seed)
    whole = find_choreography(options.target, roles=options.roles, policy=options.inform).whole
    cast = cast_of(whole, options.cast)
    with ExitStack() as stack:
        tracers: list[StageTracer] = []
        if options.trace is not None:
            tracers.append(stack.enter_context(TraceFile(options.trace)))
        if sys.stderr.isatty():
            progress = Progress(sys.stderr, width=shutil.get_terminal_size().columns - 1)
            stack.callback(progress.close)
            tracers.append(progress)
        session = partial(
            Play,
            whole,
            cast,
            engine=options.engine,
            tracers=tracers,
            patience=options.patience,
            wire=options.wire,
        )
        try:
            ending = anyio.run(_play, session, options.timeout, backend=options.backend)
        except KeyboardInterrupt:
            return 130
    return _told(ending, with_traceback=options.traceback)


def _told(ending: Outcome | _Left, *, with_traceback: bool) -> int:
    """Print how it ended. Returns the exit status."""
    if isinstance(ending, _Left):
        print(ending.report, file=sys.stderr)
        return 130 if ending.interrupted else 1
    print(ending)
    if with_traceback and ending.error is not None:
        traceback.print_exception(ending.error)
    return 1 if ending.failed else 0


@attrs.define
class _Left:
    """A session that did not end: it was interrupted, or took too long."""

    interrupted: bool = False
    report: str = ""


async def _play(make: Callable[[], Play], seconds: float | None) -> Outcome | _Left:
    left = _Left()
    async with make() as session, anyio.create_task_group() as group:
        with anyio.move_on_after(seconds) as scope:
            group.start_soon(_listen, left, scope)
            outcome = await session.ended()
            group.cancel_scope.cancel()
            return outcome
        left.report = str(session.stuck())
        group.cancel_scope.cancel()
    return left


async def _listen(left: _Left, scope: anyio.CancelScope) -> None:
    """On Ctrl-C, leave."""
    try:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                left.interrupted = True
                scope.cancel()
                return
    except NotImplementedError:  # on Windows: Python's own KeyboardInterrupt ends it
        await anyio.sleep_forever()
