"""What a look at a schema can find, and how it is told. Values and words: nothing here looks at anything."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from amachine.exploring import Move
from amachine.schema import Schema


class Severity(enum.Enum):
    """How bad a finding is."""

    ERROR = "error"
    """Something that was declared can never happen."""
    WARNING = "warning"
    """It can happen, though hardly as it was meant."""
    REMARK = "remark"
    """It says nothing that is not said already, or something that could not be proven."""


CODES: dict[str, tuple[Severity, str]] = {
    "never-active": (Severity.ERROR, "a state whose requirements exclude each other, or it"),
    "auto-never": (Severity.ERROR, "an Auto state that no auto mutation ever brings"),
    "implied-never": (Severity.ERROR, "a state that never comes with the one that adds it"),
    "handler-never": (Severity.ERROR, "a handler that can never run"),
    "handler-unreached": (
        Severity.WARNING,
        "a handler that neither adds nor removes ever run; only a set could",
    ),
    "only-together": (
        Severity.WARNING,
        "a state that only a mutation of several states at once can activate",
    ),
    "never-rests": (
        Severity.WARNING,
        "a state that the auto mutation ends each time, as soon as it is active",
    ),
    "groups-apart": (Severity.WARNING, "two groups that shut each other out"),
    "auto-restless": (
        Severity.WARNING,
        "Auto states that take turns for ever, with every change of anything",
    ),
    "auto-always": (Severity.REMARK, "an Auto state that nothing holds back: it comes with the first change"),
    "multi-never": (Severity.REMARK, "a multi state that is never active when it is called again"),
    "after-void": (Severity.REMARK, "an `after` between states that are never active together"),
    "after-redundant": (Severity.REMARK, "an `after` of a state that is required anyway"),
    "require-redundant": (Severity.REMARK, "a requirement that another requirement brings along"),
}
"""What is looked for: how bad it is, and what it is in a few words."""


@attrs.frozen
class Finding:
    """One thing that is hardly meant so."""

    code: str
    severity: Severity
    states: tuple[str, ...]
    """Names of the states that it is about."""
    reason: str
    """What is wrong, and why, in a sentence."""
    example: tuple[Move, ...] = ()
    """A shortest way to see it: mutations to make, from the start; empty where none shows it."""
    outcome: str = ""
    """What the last of these comes to."""
    handler: str = ""
    """Where the handler is written that it is about; empty for others."""
    certain: bool = True
    """Whether it is proven; if not, the search came to its limit before it saw the contrary."""

    def __str__(self) -> str:
        text = f"{self.severity.value} {self.code}: {self.reason}"
        if self.example:
            text += f"\n    e.g. {', then '.join(map(str, self.example))}"
            text += f": {self.outcome}" if self.outcome else ""
        return text


@attrs.frozen(eq=False, repr=False)
class Findings:
    """All findings, the worst first. Iterate it, or print it; without any it is empty, and false."""

    schema: Schema
    items: tuple[Finding, ...]
    sets: int
    """How many active sets were looked at."""
    complete: bool
    """Whether these were all that there are."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What can never happen."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What can hardly be meant so."""
        return self._of(Severity.WARNING)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What is superfluous, or not proven."""
        return self._of(Severity.REMARK)

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.items if finding.severity is severity)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __str__(self) -> str:
        seen = f"{self.sets} active sets{'' if self.complete else ', which are not all: unproven findings are remarks'}"
        counts = ((self.errors, "error"), (self.warnings, "warning"), (self.remarks, "remark"))
        told = [f"{len(some)} {word}{'s' if len(some) > 1 else ''}" for some, word in counts if some]
        return "\n".join([*map(str, self.items), f"{', '.join(told) or 'nothing to say'} ({seen})"])

    def __repr__(self) -> str:
        return f"<Findings: {len(self.errors)} errors, {len(self.warnings)} warnings, {len(self.remarks)} remarks>"
