"""What the `machine` fixture hands to a test: makes machines, watches them, closes them, and asks after their errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from amachine.machine import Machine
from amachine.testing.assertions import looked_at
from amachine.testing.stories import story

if TYPE_CHECKING:
    from amachine.declare import States
    from amachine.machine import Options
    from amachine.schema import Schema
    from amachine.tracers.recorder import Recorder

M = TypeVar("M", bound=Machine)


class Machines:
    """Call it with a class of machines, or with a schema, and what that takes: it makes one, with the recorder attached.

    Machines that the test did not close are closed when it is over. One whose `Exception` is active by then fails the
    test, unless it was asked for by `assert_error`, or the machine was made with `allow_errors=True`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        """It has recorded all of them."""
        self._made: list[tuple[Machine, bool]] = []

    @property
    def made(self) -> tuple[Machine, ...]:
        """The machines, in the order in which they were made."""
        return tuple(machine for machine, _ in self._made)

    @overload
    def __call__(
        self, what: type[M], id: str | None = None, *, allow_errors: bool = False, **options: Unpack[Options]
    ) -> M: ...
    @overload
    def __call__(
        self,
        what: Schema | type[States] | Mapping[str, Any],
        id: str | None = None,
        *,
        allow_errors: bool = False,
        **options: Unpack[Options],
    ) -> Machine: ...
    def __call__(
        self, what: Any, id: str | None = None, *, allow_errors: bool = False, **options: Any
    ) -> Machine:
        """Make a machine. `allow_errors`: it may end with an error. Errors: those of the machine."""
        options["tracers"] = (*options.get("tracers", ()), self.recorder)
        if isinstance(what, type) and issubclass(what, Machine):
            machine = what(id, **options)
        else:
            machine = Machine.of(cast("Schema", what), id, **options)
        self._made.append((machine, allow_errors))
        return machine

    def close(self) -> list[str]:
        """Close them, the last first. Returns a story for each with an error that nobody has looked at.

        One that still lives in an event loop is left to whoever opened it.
        """
        told = [
            f"machine {machine.id} ended with an error that the test has not looked at (`assert_error` does): "
            f"{machine.error!r}\n{story(machine, 'Exception')}"
            for machine, allowed in self._made
            if machine.error is not None and not allowed and machine not in looked_at
        ]
        for machine, _ in reversed(self._made):
            if not machine.is_open:
                machine.close()
        return told
