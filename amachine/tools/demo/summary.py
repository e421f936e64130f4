"""How a batch went: numbers, as data and as text. Counts what the batch has tallied; asks no file and no database."""

from __future__ import annotations

import json
from typing import Any

import attrs

from amachine.tools.demo.batch import Batch


@attrs.frozen
class Summary:
    """The numbers of one run."""

    batch: str
    root: str
    database: str
    ended: str
    """`finished`, `interrupted` or `broken`."""
    error: str | None
    seconds: float
    found: int
    stored: int
    kept: int
    """Stored by an earlier run, and unchanged."""
    skipped: int
    failed: int
    unfinished: int
    """Left for the next run."""
    retries: int
    bytes_read: int
    bytes_packed: int
    reasons: dict[str, int]
    """Why files were skipped or failed, and how many each."""
    clock: dict[str, int]
    """The batch's clock: how often each of its states has changed."""
    fail_rate: float

    @classmethod
    def of(cls, batch: Batch, *, seconds: float) -> Summary:
        """The summary of a batch as it is now."""
        tally = batch.tally
        error = batch.error
        return cls(
            batch=batch.id,
            root=str(batch.root),
            database=str(batch.store.path),
            ended="broken" if error is not None else batch.active_in(Batch.end) or "interrupted",
            error=None if error is None else f"{type(error).__name__}: {error}",
            seconds=round(seconds, 3),
            found=tally.found,
            stored=tally.outcomes["stored"],
            kept=tally.kept,
            skipped=tally.outcomes["skipped"],
            failed=tally.outcomes["failed"],
            unfinished=max(tally.found, tally.expected or 0) - tally.done,
            retries=tally.retries,
            bytes_read=tally.bytes_read,
            bytes_packed=tally.bytes_packed,
            reasons=dict(tally.reasons.most_common()),
            clock=dict(batch.clock),
            fail_rate=batch.rules.fail_rate,
        )

    def as_data(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        return attrs.asdict(self)

    def as_json(self) -> str:
        """All of it, as JSON."""
        return json.dumps(self.as_data(), indent=2)

    def as_text(self) -> str:
        """All that a reader wants to know, in a few lines."""
        lines = [f"{self.ended}: {self.found:,} files of {self.root} in {self.seconds:.1f} s"]
        ratio = f" to {self.bytes_packed / self.bytes_read:.0%}" if self.bytes_read else ""
        lines.append(f"  stored   {self.stored:>7,}   {_bytes(self.bytes_read)} compressed{ratio}")
        if self.kept:
            lines.append(f"  kept     {self.kept:>7,}   stored by an earlier run (--fresh forgets it)")
        for name, number in (("skipped", self.skipped), ("failed", self.failed)):
            if number:
                lines.append(f"  {name:<8} {number:>7,}")
        lines += [f"           {number:>7,} × {why}" for why, number in tuple(self.reasons.items())[:10]]
        if self.retries:
            on_purpose = (
                f"   {self.fail_rate:.0%} of the reads fail on purpose (--fail-rate)"
                if self.fail_rate
                else ""
            )
            lines.append(f"  retries  {self.retries:>7,}{on_purpose}")
        if self.unfinished:
            lines.append(f"  left     {self.unfinished:>7,}   run it again to go on")
        if self.error:
            lines.append(f"  error    {self.error}")
        lines.append(f"results: {self.database}")
        return "\n".join(lines)


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
