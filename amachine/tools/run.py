"""`amachine run module:Machine`: a machine that lives, and a prompt or a script that talks to it."""

from __future__ import annotations

import importlib.util
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from amachine.errors import AmachineError
from amachine.tools.repl.answer import FINE, REFUSED, Answer
from amachine.tools.repl.faces import Face, Given, Plain, Prompt, default_history, say, show
from amachine.tools.repl.loglines import Voice
from amachine.tools.repl.session import Session
from amachine.tools.repl.words import commands
from amachine.tools.target import WHAT, NotFound, find, users_code
from amachine.tracers.log import LogLevel

if TYPE_CHECKING:
    import argparse

    from amachine.machine import Machine

ABOUT = """\
Makes a machine, opens it, and lets you talk to it: add and remove states, wait for them, ask why. Its
tasks run while you type. `help` lists the commands; Tab completes them, states and arguments.

Without a terminal, commands are read from standard input, one a line; it stops at the first that is
refused or wrong."""

EPILOG = """\
examples:
  amachine run examples.basic:Museum
  amachine run examples/basic.py:Museum -c "add opened lights; add visited name=Ada; clock"
  amachine run app.flows:make_flow --log operations < script.txt
  amachine run schema.json --backend trio

It ends with 0; with 1 where a command was refused, or waited in vain; with 2 where one was wrong; and
with 130 after Ctrl-C. The prompt needs `pip install 'amachine[repl]'`; without, lines are read plainly."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = ABOUT
    parser.epilog = EPILOG
    parser.add_argument("target", metavar="MODULE:NAME", help=WHAT)
    parser.add_argument("-c", dest="commands", metavar="COMMANDS", action="append", default=[],
                        help="execute these, with semicolons between them, and leave")  # fmt: skip
    parser.add_argument("-i", dest="stay", action="store_true", help="after -c, go on with the prompt")
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="go on after a command that was refused or wrong"
    )
    parser.add_argument("-e", "--echo", action="store_true", help="show each command before its answer")
    parser.add_argument("--id", metavar="ID", help="what the machine is called")
    levels = [level.name.lower() for level in LogLevel]
    parser.add_argument("--log", metavar="LEVEL", choices=levels, help=f"show the log: {', '.join(levels)}")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio",
                        help="the event loop that it lives in (%(default)s)")  # fmt: skip
    parser.add_argument("--plain", action="store_true", help="read lines plainly, also on a terminal")
    parser.add_argument("--history", metavar="FILE", type=Path, default=None,
                        help="where lines are remembered (~/.local/state/amachine/history)")  # fmt: skip
    parser.add_argument("--no-history", action="store_true", help="remember no lines")


def run(options: argparse.Namespace) -> int:
    """Live. Returns the exit status."""
    if options.backend == "trio" and importlib.util.find_spec("trio") is None:
        print("amachine run: trio is not installed", file=sys.stderr)
        return REFUSED
    voice = Voice(say)
    with voice.alone():
        try:
            target = find(options.target)
            with users_code(f"{target.name} cannot be made"):
                machine = target.machine(options.id)
            status: int = anyio.run(partial(_live, machine, voice, options), backend=options.backend)
            return status
        except KeyboardInterrupt:
            return 130
        except (NotFound, AmachineError) as error:  # AmachineError: such as one of a machine that is closed
            print(f"amachine run: {error}", file=sys.stderr)
            return REFUSED


async def _live(machine: Machine, voice: Voice, options: argparse.Namespace) -> int:
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    will_ask = on_terminal and (options.stay or not options.commands)
    async with machine:
        session = Session(machine, voice, tells=will_ask)
        if options.log:
            session.set_log(LogLevel.read(options.log))
        status = FINE
        if options.commands:
            script = [line for text in options.commands for line in commands(text)]
            status, is_over = await _script(session, Given(script), options)
            if is_over or not options.stay:
                return status
        if not will_ask:
            status, _ = await _script(session, Plain(), options)
            return status
        return await _talk(session, _face(session, options))


def _face(session: Session, options: argparse.Namespace) -> Face:
    if options.plain or importlib.util.find_spec("prompt_toolkit") is None:
        return Plain(prompt=f"{session.machine.id}> ")
    return Prompt(session, None if options.no_history else options.history or default_history())


async def _script(session: Session, face: Face, options: argparse.Namespace) -> tuple[int, bool]:
    """Execute commands up to the first that fails. Returns the worst status, and whether it is over."""
    worst = FINE
    while (text := await face.next_line()) is not None:
        for line in commands(text):
            if options.echo:
                print(f"{session.machine.id}> {line}", flush=True)
            answer = await session.execute(line)
            show(answer)
            worst = max(worst, answer.status)
            if answer.is_over or (answer.status and not options.keep_going):
                return worst, True
    return worst, False


class _Interrupts:
    """Ctrl-C, while a command runs, ends the command; while a line is written, the line. The end of the terminal ends all."""

    def __init__(self, face: Face) -> None:
        self.scope: anyio.CancelScope | None = None
        self._face = face

    async def watch(self) -> None:
        """Wait for signals."""
        signals = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        try:
            receiver: Any = anyio.open_signal_receiver(*signals)
            with receiver as received:
                async for number in received:
                    if self.scope is not None:
                        self.scope.cancel()
                    if number != signal.SIGINT:
                        self._face.interrupt(EOFError)
                    elif self.scope is None:
                        self._face.interrupt(KeyboardInterrupt)
        except NotImplementedError:  # on Windows: Python's own KeyboardInterrupt ends it
            await anyio.sleep_forever()


async def _talk(session: Session, face: Face) -> int:
    """Ask for commands until the user leaves."""
    machine = session.machine
    about = f"{type(machine).__name__} {machine.id}: {machine.schema.n} states, {len(machine.active)} active"
    keys = "Tab completes, " if isinstance(face, Prompt) else ""
    print(f"{about}. {keys}`help` lists the commands, Ctrl-D leaves.")
    interrupts = _Interrupts(face)
    async with anyio.create_task_group() as group:
        group.start_soon(interrupts.watch)
        while True:
            try:
                text = await face.next_line()
            except KeyboardInterrupt:
                continue
            if text is None:
                break
            if await _answer(session, text, interrupts):
                break
        group.cancel_scope.cancel()
    return FINE


async def _answer(session: Session, text: str, interrupts: _Interrupts) -> bool:
    """Execute what was written. Returns whether it is over."""
    for line in commands(text):
        with anyio.CancelScope() as interrupts.scope:
            answer = await session.execute(line)
            show(answer)
            if answer.is_over:
                return True
        if interrupts.scope.cancelled_caught:
            print()
            show(Answer("given up", REFUSED))
            break
    interrupts.scope = None
    return False
