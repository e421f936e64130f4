"""How much is tried: a few of everything where somebody waits for the answer, AMACHINE_MORE times as many where nobody does."""

from __future__ import annotations

import os

__all__ = ["MORE"]

MORE = int(os.environ.get("AMACHINE_MORE", "1"))
