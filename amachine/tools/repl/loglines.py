"""What is said without being asked: lines of machines, shown where the prompt is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Voice(logging.Handler):
    """Shows lines, and those of the log, through a function: one line each, for tracebacks are for the command `errors`."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self.say = show
        self.is_answering = False
        """Whether an answer will tell what happens now, so that the engine need not."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show it."""
        if not (self.is_answering and record.name == "amachine"):
            self.say(record.getMessage().rstrip())

    @contextmanager
    def alone(self) -> Generator[None]:
        """Have the lines of machines shown here, and nowhere else."""
        logger = logging.getLogger("amachine")
        handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
        logger.handlers[:] = [self]
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        try:
            yield
        finally:
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.propagate = propagate

    @contextmanager
    def answering(self) -> Generator[None]:
        """An answer tells what happens meanwhile."""
        self.is_answering = True
        try:
            yield
        finally:
            self.is_answering = False
