"""The commands of the prompt: what each does with a session, and its answer. Nothing is read or drawn here."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from amachine.errors import nearest
from amachine.graph import mermaid
from amachine.inspection import rich_table
from amachine.mutation import Kind
from amachine.tools.repl.answer import FINE, REFUSED, Answer, Command
from amachine.tools.repl.values import signature
from amachine.tools.repl.words import Misuse
from amachine.tracers.log import LogLevel
from amachine.tracers.shown import ArgsMapper, call_text, error_text, seconds_text

if TYPE_CHECKING:
    from amachine.subscriptions import Wait
    from amachine.tools.repl.session import Session
    from amachine.tracers.record import Record


def mutate(session: Session, verb: str, said: list[str]) -> Answer | Awaitable[Answer]:
    """Ask for a change, and show all that came of it at once."""
    states, args = session.call(verb, said)
    before = session.recorder.total
    with session.voice.answering():
        result = getattr(session.machine, verb)(*states, **args)
    if result.done:
        return _came_of_it(session, result.executed, result.why, before)

    async def later() -> Answer:
        await result
        return _came_of_it(session, result.executed, result.why, before)

    return later()


def _came_of_it(session: Session, executed: bool, why: str, before: int) -> Answer:  # noqa: FBT001
    status = FINE if executed else REFUSED
    news = [r for r in session.recorder.records if r.sequence > before]
    own = next((r for r in news if not r.cause and not r.auto and r.machine == session.machine.id), None)
    if own is None:  # it came to no transition: the queue was full, or the machine is closed
        return Answer("executed" if executed else f"canceled: {why}", status)
    changes = own.changes or ("(nothing changed)" if executed else "")
    follow = [f"  └ {in_short(r)}" for r in news if r is not own and (r.accepted or not r.auto)]
    return Answer("\n".join([f"{own.outcome}  {changes}".rstrip(), *follow]), status)


def can(session: Session, said: list[str]) -> Answer:
    """Whether a change would go through."""
    if not said or said[0] not in ("add", "remove"):
        raise Misuse("say `can add STATE` or `can remove STATE`")
    states, args = session.call(said[0], said[1:])
    with session.voice.answering():
        check = getattr(session.machine, f"can_{said[0]}")(*states, **args)
    limits = "" if check.complete else " (relations only)"
    return Answer("yes" + limits if check else f"no: {check.why}{limits}", FINE if check else REFUSED)


def why(session: Session, said: list[str]) -> Answer:
    """What made a state as it is, and what stands in its way."""
    (name,) = session.states(said, least=1, most=1)
    story = session.recorder.why_active(name, session.machine)
    if session.machine.is_active(name):
        return Answer(str(story))
    explained = session.machine.explain("add", name)
    check = session.machine.can_add(name) if explained else None
    lines = [str(story)] if story else [f"{name} has not been active"]
    lines.append(f"no: {check.why}" if check is not None and not check else str(explained))
    return Answer("\n".join(lines))


def explain(session: Session, said: list[str]) -> Answer:
    """What relations make of a change."""
    kinds = [kind.value for kind in Kind]
    kind, rest = (said[0], said[1:]) if said and said[0] in kinds else ("add", said)
    return Answer(str(session.machine.explain(kind, *session.states(rest, least=1))))


async def wait(session: Session, said: list[str]) -> Answer:
    """Wait for states, for an error, or for silence."""
    from anyio import move_on_after

    rest, limit = _timeout(said)
    wait, says = _wait_for(session, rest)
    began = monotonic()
    with move_on_after(limit) as scope:
        await wait
    took = seconds_text(monotonic() - began)
    if scope.cancelled_caught:
        clock = str(session.machine.clock)
        return Answer(f"waited {took} for {says}, in vain: {clock or 'nothing is active'}", REFUSED)
    return Answer(f"waited {took} for {says}")


def _wait_for(session: Session, said: list[str]) -> tuple[Wait[Any], str]:
    machine = session.machine
    match said:
        case []:
            raise Misuse("wait for what? `wait STATE…`, `wait not STATE…`, `wait idle` or `wait error`")
        case ["idle"] if "idle" not in machine.schema.index:
            return machine.when_idle(), "silence"
        case ["error"] if "error" not in machine.schema.index:
            return machine.when_error(), "an error"
        case ["not", *rest] if "not" not in machine.schema.index:
            names = session.states(rest, least=1)
            return machine.when_not(*names), f"not {', '.join(names)}"
        case _:
            names = session.states(said)
            return machine.when(*names), ", ".join(names)


def show(session: Session, said: list[str]) -> Answer:
    """All states."""
    _nothing("show", said)
    return Answer(session.machine.inspect(), picture=rich_table(session.machine))


def clock(session: Session, said: list[str]) -> Answer:
    """The ticks."""
    _nothing("clock", said)
    return Answer(str(session.machine))


def args(session: Session, said: list[str]) -> Answer:
    """What states take, and what the active ones were entered with."""
    schema = session.machine.schema
    takes = [i for i in range(schema.n) if schema.args[i] is not None and 1 << i != schema.exception]
    named = session.states(said) or tuple(schema.names[i] for i in takes)
    lines: list[str] = []
    for name in named:
        given = session.machine[name].args
        shown = "" if given is None else f"\n  now: {_shown(given)}"
        lines.append(f"{signature(name, schema.args[schema.index[name]])}{shown}")
    return Answer("\n".join(lines) or "no state takes arguments")


def queue(session: Session, said: list[str]) -> Answer:
    """What waits for its turn."""
    _nothing("queue", said)
    machine = session.machine
    lines = [f"{m}{'' if m.queue_tick is None else f' at {m.queue_tick}'}" for m in machine.queue]
    return Answer("\n".join(lines) or f"nothing is queued (queue tick {machine.queue_tick})")


def log(session: Session, said: list[str]) -> Answer:
    """Turn the log on or off."""
    if len(said) > 1:
        raise Misuse("say `log on`, `log off`, or `log LEVEL`")
    if said:
        try:
            session.set_log(LogLevel.read({"on": "changes", "off": "nothing"}.get(said[0], said[0])))
        except ValueError as error:
            raise Misuse(str(error)) from None
    level = LogLevel.NOTHING if session.log is None else session.log.level
    return Answer(f"the log is at {level.name.lower()}" if level else "the log is off")


def trace(session: Session, said: list[str]) -> Answer:
    """The last transitions."""
    records: Iterable[Record] = session.recorder.records
    count = 10
    for word in said:
        if word.isdecimal():
            count = int(word)
        else:
            (name,) = session.states([word])
            records = [r for r in records if r.changed(name) or r.calls(name)]
    last = [*records][-count:] if count else []
    return Answer(session.recorder.text(last) if last else "no transition so far")


def graph(session: Session, said: list[str]) -> Answer:
    """The schema as a diagram."""
    _nothing("graph", said)
    return Answer(mermaid(session.machine.schema, active=session.machine.active).rstrip())


def errors(session: Session, said: list[str]) -> Answer:
    """What failed, and the last traceback."""
    _nothing("errors", said)
    failed = [r for r in session.recorder.records if r.failed]
    error = session.machine.error
    if not failed and error is None:
        return Answer("no error")
    lines = [str(record) for record in failed]
    last = failed[-1].traceback if failed else ""
    if error is not None:
        lines.append(f"Exception is active: {error_text(error)}")
        last = "".join(traceback.format_exception(error))
    return Answer("\n".join([*lines, *last.rstrip().splitlines()]))


def tell(_: Session, said: list[str]) -> Answer:
    """All commands, or one."""
    if said:
        name = ALIASES.get(said[0], said[0])
        command = COMMANDS.get(name)
        if command is None:
            raise Misuse(f"there is no command {name!r}{nearest(name, COMMANDS)}")
        more = f"\n\n{command.more}" if command.more else ""
        return Answer(f"{command.usage}: {command.summary}{more}")
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"  {command.usage:<{width}}  {command.summary}" for command in COMMANDS.values()]
    return Answer("\n".join([*lines, "", _ARGS]))


def in_short(r: Record) -> str:
    """A transition without what goes without saying."""
    outcome = r.changes if r.accepted else " ".join(part for part in (r.outcome, r.changes) if part)
    return f"{r.mutation} → {outcome or 'nothing changed'}"


def _shown(args: Any) -> str:
    return call_text(ArgsMapper(limit=200)(args)).strip("()")


def _nothing(name: str, said: list[str]) -> None:
    if said:
        raise Misuse(f"{name} takes nothing behind it")


def _timeout(said: list[str]) -> tuple[list[str], float]:
    """The words without a number of seconds at their end."""
    text = said[-1].removesuffix("s") if said else ""
    try:
        seconds = float(text)
    except ValueError:
        return said, float("inf")
    if not seconds >= 0:
        raise Misuse(f"{said[-1]} is no time to wait: write seconds, such as 2.5")
    return said[:-1], seconds


def _verb(kind: str) -> Callable[[Session, list[str]], Answer | Awaitable[Answer]]:
    return lambda session, said: mutate(session, kind, said)


def _quit(_: Session, __: list[str]) -> Answer:
    return Answer(is_over=True)


_ARGS = (
    "Arguments are written name=value, or as one JSON object: add reading path=README.md, add reading"
    ' {"path": "README.md"}.'
)

_TABLE = (
    Command("add", "add STATE… [ARG=VALUE…]", "activate states", _verb("add"), _ARGS),
    Command("remove", "remove STATE…", "deactivate states", _verb("remove")),
    Command("set", "set STATE… [ARG=VALUE…]", "activate these, deactivate all others", _verb("set"), _ARGS),
    Command("toggle", "toggle STATE… [ARG=VALUE…]", "deactivate if active, else activate", _verb("toggle"), _ARGS),
    Command("can", "can add|remove STATE…", "ask whether it would go through; nothing changes", can),
    Command("why", "why STATE", "what made it active, or keeps it out", why),
    Command("explain", "explain [KIND] STATE…", "what relations would make of it", explain,
            "KIND is add (if it is left out), remove, set or toggle. Handlers are not asked: `can` asks them."),
    Command("wait", "wait [not] STATE… [SECONDS]", "until they are active (or not); also: idle, error", wait,
            "With `wait idle` until nothing is queued or running, with `wait error` until something fails."),
    Command("show", "show", "all states, with ticks and relations", show),
    Command("clock", "clock", "the ticks of what has been active", clock),
    Command("args", "args [STATE…]", "what states take, and were entered with", args),
    Command("queue", "queue", "what waits for its turn", queue),
    Command("trace", "trace [STATE] [N]", "the last transitions", trace),
    Command("errors", "errors", "what failed, with the last traceback", errors),
    Command("log", "log [on|off|LEVEL]", "show what happens as it happens", log,
            f"LEVEL is one of {', '.join(level.name.lower() for level in LogLevel)}; `on` is changes."),
    Command("graph", "graph", "the schema as a Mermaid diagram", graph),
    Command("help", "help [COMMAND]", "this, or more of one command", tell),
    Command("quit", "quit", "leave; so does Ctrl-D", _quit),
)  # fmt: skip
COMMANDS: dict[str, Command] = {command.name: command for command in _TABLE}
ALIASES = {
    "exit": "quit",
    "q": "quit",
    "?": "help",
    "rm": "remove",
    "inspect": "show",
    "state": "show",
    "h": "help",
}
