"""What came of many sessions, told in numbers. It only counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Failure", "Tally"]


@attrs.frozen(eq=False)
class Failure:
    """A session that came to no exit: all its roles are `Aborted`."""

    role: str
    """Whose function failed; nobody's (`""`) where nothing could go on any more."""
    function: str
    """`Ping.send`, or `Ping.on_ping`; nothing where no function failed."""
    why: str
    """A sentence: role, scene and error."""
    error: BaseException | None
    """What was raised; it has its traceback."""
    cast: Mapping[str, Any] = attrs.field(repr=False)
    """Who played: by role, what its functions got."""

    def __str__(self) -> str:
        return self.why


@attrs.define(eq=False)
class Tally:
    """How many sessions ended how."""

    name: str
    """Of the choreography."""
    exits: Counter[str] = attrs.Factory(Counter[str])
    """How many came to which exit, by the name of its state: `Done`, `Failed`."""
    failed: int = 0
    """How many came to none."""
    failures: list[Failure] = attrs.Factory(list[Failure])
    """The first of those. They keep their casts alive, so there are never more than `keep`."""
    keep: int = 100
    messages: int = 0
    """Frames that reached a role, informs among them."""
    seconds: float = 0.0
    """Spent in steps; waiting for others of the same event loop is not among them."""

    @property
    def ended(self) -> int:
        """How many sessions are over."""
        return self.exits.total() + self.failed

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0

    def fail(self, failure: Failure) -> None:
        """Count a session that came to no exit."""
        self.failed += 1
        if len(self.failures) < self.keep:
            self.failures.append(failure)

    def __str__(self) -> str:
        ends = [f"{count:,} {state}" for state, count in sorted(self.exits.items())]
        ends += [f"{self.failed:,} Aborted"] * bool(self.failed)
        head = f"{self.name}: {self.ended:,} sessions ({', '.join(ends) or 'none'})"
        lines = [f"{head}, {self.messages:,} messages in {self.seconds:.3g} s"]
        lines += [f"  {failure}" for failure in self.failures[:10]]
        more = self.failed - len(lines) + 1
        return "\n".join([*lines, *[f"  and {more:,} more"] * (more > 0)])
