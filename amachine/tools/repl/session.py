"""A live machine, and what is said to it at a prompt or in a script. Reads and draws nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from amachine import Machine, Recorder
from amachine.errors import AmachineError, MachineClosed, UnknownState, nearest
from amachine.tools.repl.answer import MISUSED, REFUSED, Answer
from amachine.tools.repl.commands import ALIASES, COMMANDS, in_short
from amachine.tools.repl.values import fit
from amachine.tools.repl.words import Misuse, states_and_args, words
from amachine.tracers.base import Tracer
from amachine.tracers.log import LogLevel, LogTracer
from amachine.tracers.shown import error_text

if TYPE_CHECKING:
    from amachine.tools.repl.loglines import Voice
    from amachine.transition import Transition


class Session:
    """One machine, for which commands are executed one after the other. `tells`: what happens otherwise is said, too."""

    def __init__(self, machine: Machine, voice: Voice, *, tells: bool = False) -> None:
        self.machine = machine
        self.recorder = Recorder(500)
        self.voice = voice
        self._tells = tells
        self.log: LogTracer | None = next((t for t in machine.tracers if isinstance(t, LogTracer)), None)
        machine.attach(self.recorder)
        machine.attach(_Teller(self))

    @property
    def summaries(self) -> dict[str, str]:
        """What each command does, in a few words."""
        return {name: command.summary for name, command in COMMANDS.items()}

    async def execute(self, line: str) -> Answer:
        """Execute one command."""
        try:
            said = words(line)
            if not said:
                return Answer()
            command = COMMANDS.get(ALIASES.get(said[0], said[0]))
            if command is None:
                raise Misuse(
                    f"there is no command {said[0]!r}{nearest(said[0], COMMANDS)}: `help` lists them"
                )
            answer = command.run(self, said[1:])
            return answer if isinstance(answer, Answer) else await answer
        except MachineClosed as error:
            return Answer(str(error), REFUSED)
        except (Misuse, AmachineError) as error:
            return Answer(str(error), MISUSED)
        except Exception as error:  # noqa: BLE001  # with `raise_errors` it is a handler's
            return Answer(f"raised {error_text(error)}", REFUSED)

    def heard(self, transition: Transition) -> None:
        """Tell of what nobody at the prompt has asked for."""
        if self._tells and not self.voice.is_answering and self.log is None and transition.plan.moved:
            record = self.recorder.records[-1]
            if record.committed:
                self.voice.say(f"· {record.id} {in_short(record)}")

    def set_log(self, level: LogLevel) -> None:
        """Log as far as this level."""
        if self.log is not None:
            self.machine.detach(self.log)
        self.log = LogTracer(level) if level else None
        if self.log is not None:
            self.machine.attach(self.log)

    # -- for commands

    def call(self, verb: str, said: list[str]) -> tuple[list[str], dict[str, Any]]:
        """The states and the arguments that a command was given. Errors: `Misuse`, `UnknownState`."""
        states, given = states_and_args(said)
        if not states:
            raise Misuse(f"{verb} what? `{verb} STATE`: {', '.join(self.machine.schema.names)}")
        names = self.states(states)
        if not given:
            return [*names], {}
        if verb == "remove":
            return [*names], {name: each.value for name, each in given.items()}
        schema = self.machine.schema
        make = schema.args[schema.index[names[0]]] if len(names) == 1 else None
        return [*names], fit(make, given)

    def states(self, said: Iterable[str], *, least: int = 0, most: int | None = None) -> tuple[str, ...]:
        """Names of states. Errors: `Misuse` for too few, or too many; `UnknownState`."""
        names = tuple(said)
        if len(names) < least or (most is not None and len(names) > most):
            raise Misuse(f"name {'one state' if most == 1 else 'at least one state'}")
        schema = self.machine.schema
        for name in names:
            if name not in schema.index:
                raise UnknownState(name, known=schema.names, schema=schema.name)
        return names


class _Teller(Tracer):
    """Hears what happens after the recorder has."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002
        """Hand it on."""
        self._session.heard(transition)
