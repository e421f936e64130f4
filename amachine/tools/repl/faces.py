"""Where lines come from and answers go to: a prompt with completion, or plain reading. Knows no command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio

from amachine.loops import here
from amachine.tools.colour import takes_colour
from amachine.tools.repl.answer import MISUSED, REFUSED, Answer
from amachine.tools.repl.completion import choices

if TYPE_CHECKING:
    from amachine.tools.repl.session import Session

T = TypeVar("T")
_STYLES = {REFUSED: "33", MISUSED: "31"}


class Face(Protocol):
    """Gives commands, and shows what comes of them."""

    is_interactive: bool

    async def next_line(self) -> str | None:
        """What is asked next; None at the end. Errors: KeyboardInterrupt where the user gives up a line."""
        ...

    def interrupt(self, error: type[BaseException]) -> None:
        """Have the line that is being written given up, with this error. Called in the event loop."""
        ...


def say(line: str) -> None:
    """Show a line that nobody asked for."""
    print(_painted(line, "2"), flush=True)


def show(answer: Answer) -> None:
    """Show an answer."""
    if answer.picture is not None and takes_colour(sys.stdout):
        from rich.console import Console

        Console().print(answer.picture)
    elif answer.text:
        text = f"error: {answer.text}" if answer.status == MISUSED else answer.text
        first, line, rest = text.partition("\n")
        style = _STYLES.get(answer.status, "")
        print(
            f"{_painted(first, style)}{line}{_painted(rest, '2') if answer.status == REFUSED else rest}",
            flush=True,
        )


def _painted(text: str, style: str) -> str:
    return f"\033[{style}m{text}\033[0m" if text and style and takes_colour(sys.stdout) else text


class Given:
    """Commands that are known from the start."""

    is_interactive = False

    def __init__(self, lines: list[str]) -> None:
        self._lines: Iterator[str] = iter(lines)

    async def next_line(self) -> str | None:
        """The next one."""
        return next(self._lines, None)

    def interrupt(self, error: type[BaseException]) -> None:
        """Nothing is being written."""


class Plain:
    """Lines of standard input. On a terminal it asks for them."""

    def __init__(self, *, prompt: str = "") -> None:
        self.is_interactive = bool(prompt)
        self._prompt = prompt

    async def next_line(self) -> str | None:
        """The next line."""
        return await in_thread(self._read)

    def _read(self) -> str | None:
        if self._prompt:
            print(self._prompt, end="", flush=True)
        line = sys.stdin.readline()
        if not line and self._prompt:
            print()
        return line or None

    def interrupt(self, error: type[BaseException]) -> None:
        """The line cannot be taken back; what was typed of it is forgotten by the terminal."""
        if error is KeyboardInterrupt:
            print(f"\n{self._prompt}", end="", flush=True)


class Prompt:
    """A prompt with completion, history and a line that follows the machine. It is drawn by a thread of its own."""

    is_interactive = True

    def __init__(self, session: Session, history: Path | None) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
        from prompt_toolkit.completion import Completer, Completion
        from prompt_toolkit.history import FileHistory, InMemoryHistory

        machine = session.machine

        class Choices(Completer):
            def get_completions(self, document: Any, complete_event: Any) -> Iterator[Completion]:  # noqa: ARG002
                for each in choices(document.text_before_cursor, machine, session.summaries):
                    yield Completion(each.text, each.start, display_meta=each.about)

        if history is not None:
            history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._prompt: PromptSession[str] = PromptSession(
            f"{machine.id}> ",
            completer=Choices(),
            auto_suggest=AutoSuggestFromHistory(),
            history=InMemoryHistory() if history is None else FileHistory(str(history)),
            bottom_toolbar=lambda: f" {str(machine.clock) or 'nothing is active'}",
            refresh_interval=0.5,
        )

    async def next_line(self) -> str | None:
        """The line that the user has written. Errors: KeyboardInterrupt after Ctrl-C."""
        try:
            return await in_thread(self._ask)
        except EOFError:
            return None

    def _ask(self) -> str:
        from prompt_toolkit.patch_stdout import patch_stdout

        with patch_stdout(raw=True):
            return self._prompt.prompt(handle_sigint=False)

    def interrupt(self, error: type[BaseException]) -> None:
        """Have the prompt go away."""
        app = self._prompt.app
        loop = app.loop
        if loop is not None and app.is_running:
            loop.call_soon_threadsafe(lambda: app.exit(exception=error))


async def in_thread(fn: Callable[[], T]) -> T:
    """What a function returns that blocks, perhaps for ever: where nobody waits for it any more, it is left alone."""
    gate, loop = anyio.Event(), here()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(fn())
        except BaseException as error:  # noqa: BLE001  # it is raised where it is awaited
            errors.append(error)
        loop.soon(gate.set)

    Thread(target=copy_context().run, args=(run,), name="amachine-prompt", daemon=True).start()
    await gate.wait()
    if errors:
        raise errors[0]
    return results[0]


def default_history() -> Path:
    """Where lines are remembered: below `XDG_STATE_HOME`."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "amachine" / "history"
