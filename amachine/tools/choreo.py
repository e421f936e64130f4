"""`amachine choreo check | explain | graph | run | trace`: choreographies, looked at and played from the command line.

Each does one thing of `amachine.choreography` and prints what comes of it.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sys
import warnings
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from amachine.choreography.diagnostics import ChoreographyWarning
from amachine.errors import AmachineError
from amachine.tools.colour import Parser, takes_colour
from amachine.tools.spelling import put
from amachine.tools.target import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from amachine.choreography.diagnostics import Diagnostic
    from amachine.choreography.seeing.trace import Trace
    from amachine.tools.spelling import Language

WHAT = (
    "where it is: a module or a file, a colon, and a scene class, a Choreography, a @choreography function, or a "
    "function that makes one of them; or a JSON file with a script"
)
EPILOG = """\
examples:
  amachine choreo check app.protocol:Start
  amachine choreo explain app/protocol.py:pingpong
  amachine choreo graph app.protocol:Start --format svg -o protocol.svg
  amachine choreo run app.protocol:Start --trace run.jsonl
  amachine choreo trace run.jsonl > run.mmd

`amachine choreo ACTION --help` says more."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Choreographies: one script for many roles. Check, explain, draw and play them."
    parser.epilog = EPILOG
    parser.set_defaults(act=None, help_of=parser.print_help)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", parser_class=Parser)
    _configure_check(_action(actions, "check", _check, "say what is wrong or doubtful"))
    _configure_explain(_action(actions, "explain", _explain, "tell every frame, and why"))
    _configure_graph(_action(actions, "graph", _graph, "draw the whole, or what one role plays"))
    _configure_run(_action(actions, "run", _run, "play one session here"))
    _configure_trace(_action(actions, "trace", _trace, "draw what a session did, or count it"))


def _action(
    actions: Any, name: str, act: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=f"{summary.capitalize()}."
    )
    parser.set_defaults(act=act)
    return parser


def _takes_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="MODULE:NAME", help=WHAT)
    parser.add_argument("--roles", metavar="A,B", help="who plays in a scene class (as its scenes name them)")
    parser.add_argument("--inform", choices=["auto", "all", "declared"], help="who is told of choices (auto)")


def run(options: argparse.Namespace) -> int:
    """Do what was asked for. Returns the exit status."""
    if options.act is None:
        options.help_of()
        return 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ChoreographyWarning)  # `check` tells of them
            status: int = options.act(options)
        return status
    except (NotFound, AmachineError, LookupError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"amachine choreo: {text}", file=sys.stderr)
        return 2


# check


def _configure_check(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  amachine choreo check app.protocol:Start
  amachine choreo check script.json --json

The exit status is 1 if there is an error, with --strict also if there is a warning; notes do not
count. It is 2 if nothing could be checked, as when the module cannot be imported."""
    _takes_target(parser)
    parser.add_argument("--strict", action="store_true", help="count warnings as errors")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _check(options: argparse.Namespace) -> int:
    from amachine.choreography.diagnostics import ChoreographyError
    from amachine.tools.choreo_target import find_choreography

    found = None
    try:
        found = find_choreography(options.target, roles=options.roles, policy=options.inform)
        diagnostics = found.diagnostics
    except ChoreographyError as error:  # where the user's own module makes it
        diagnostics = error.diagnostics
    count = {
        level: sum(each.level.value == level for each in diagnostics)
        for level in ("error", "warning", "note")
    }
    failed = count["error"] or (options.strict and count["warning"])
    if options.json:
        data = {"target": options.target, **{f"{level}s": number for level, number in count.items()}}
        print(json.dumps({**data, "diagnostics": [_data(each) for each in diagnostics]}, indent=2))
        return 1 if failed else 0
    for each in diagnostics:
        print(_painted("\n".join(_told(each)), _DIAGNOSTIC))
    numbers = [_count(number, level) for level, number in count.items() if number]
    if found is not None and not count["error"]:
        script = found.script
        numbers = [_count(len(script.scenes), "scene"), _count(len(script.roles), "role"), *numbers]
    print(f"{options.target} {'is not sound' if count['error'] else 'is sound'}: {', '.join(numbers)}")
    return 1 if failed else 0


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _told(diagnostic: Diagnostic) -> Iterator[str]:
    """A diagnostic in lines that fit, with its two runs a frame a line."""
    import attrs

    head, *more = str(attrs.evolve(diagnostic, witness=())).splitlines()
    for line in (head, *more):
        indent = " " * (len(line) - len(line.lstrip()))
        yield from wrap(
            line, _width(), subsequent_indent=f"{indent}    ", break_long_words=False, break_on_hyphens=False
        )
    for name, frames in zip(("one run", "another"), diagnostic.witness, strict=False):
        yield f"  {name}: {'(nothing yet)' * (not frames)}".rstrip()
        yield from (f"    {frame}" for frame in frames)


def _data(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "level": diagnostic.level.value,
        "text": diagnostic.text,
        "hint": diagnostic.hint,
        "role": diagnostic.role,
        "scene": diagnostic.scene,
        "file": diagnostic.file,
        "line": diagnostic.line,
        "witness": diagnostic.witness,
    }


# explain


def _configure_explain(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  amachine choreo explain app.protocol:Start
  amachine choreo explain app/protocol.py:pingpong --no-roles --width 80
  amachine choreo explain app.protocol:Start --json > script.json"""
    _takes_target(parser)
    parser.add_argument(
        "--no-roles", dest="tables", action="store_false", help="without what each role plays"
    )
    parser.add_argument(
        "--width", metavar="N", type=int, default=None, help="columns (those of the terminal)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the script as JSON, which every action reads"
    )


def _explain(options: argparse.Namespace) -> int:
    from amachine.choreography.canonical import to_dict
    from amachine.choreography.seeing.explain import explain
    from amachine.tools.choreo_target import find_choreography

    script = find_choreography(options.target, roles=options.roles, policy=options.inform).whole.script
    if options.json:
        put(f"{json.dumps(to_dict(script), indent=2, ensure_ascii=False)}\n", "json")
    else:
        print(
            _painted(explain(script, width=options.width or _width(), roles=options.tables), _EXPLAINED),
            end="",
        )
    return 0


# graph


def _configure_graph(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  amachine choreo graph app.protocol:Start > protocol.mmd
  amachine choreo graph app.protocol:Start --role Alice
  amachine choreo graph app.protocol:Start -o protocol.svg
  amachine choreo graph app.protocol:Start --format dot | dot -Tpng -o protocol.png

SVG is drawn by Graphviz (Debian: apt install graphviz). A file's ending says the format, if
--format does not: .mmd and .md, .dot and .gv, .svg."""
    _takes_target(parser)
    parser.add_argument("--role", metavar="ROLE", help="draw what this role plays")
    parser.add_argument("--format", choices=["mermaid", "dot", "svg"], default=None, help="(mermaid)")
    parser.add_argument("--direction", choices=["LR", "TB", "RL", "BT"], default="TB", help="(%(default)s)")
    parser.add_argument("-o", dest="file", metavar="FILE", type=Path, help="write it to this file")


def _graph(options: argparse.Namespace) -> int:
    from amachine.choreography.project import project
    from amachine.choreography.seeing.graph import graph_of, graph_of_role
    from amachine.tools.choreo_target import find_choreography

    script = find_choreography(options.target, roles=options.roles, policy=options.inform).script
    graph = graph_of(script) if options.role is None else graph_of_role(project(script, options.role))
    endings: dict[str, Language] = {".dot": "dot", ".gv": "dot", ".svg": "svg"}
    mend = "say --format, and for other pictures --format dot | dot -Tpng"
    form = options.format or _format_of(options.file, endings, mend)
    _put(getattr(graph, form)(direction=options.direction), options.file, form)
    return 0


def _format_of(file: Path | None, endings: Mapping[str, Language], mend: str) -> Language:
    """What a file is to hold, by its ending; Mermaid where there is none. Errors: `NotFound`."""
    known: dict[str, Language] = {".mmd": "mermaid", ".md": "mermaid", **endings}
    ending = "" if file is None else file.suffix.lower()
    if ending not in {"", *known}:
        raise NotFound(f"{file}: nothing is drawn as {ending}, only as {', '.join(known)}: {mend}")
    return known.get(ending, "mermaid")


# run


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  amachine choreo run app.protocol:Start
  amachine choreo run app.protocol:pingpong --cast app.protocol:cast --trace run.jsonl
  amachine choreo run app.protocol:Start --engine machine --seed 7 --timeout 30

Who plays is made by calling the roles' classes, or by the function that --cast names: it gives a
mapping of roles to objects. A session that is interrupted, or takes longer than --timeout, is
reported: where each role stands, and what it waits for. The exit status is 0 if every role came to
an exit, else 1."""
    _takes_target(parser)
    parser.add_argument(
        "--cast", metavar="MODULE:NAME", help="who plays: a function that gives a mapping, or a mapping"
    )
    parser.add_argument("--trace", metavar="FILE", type=Path, help="write what happens as JSON lines")
    parser.add_argument("--engine", choices=["table", "machine"], default="table", help="(%(default)s)")
    parser.add_argument(
        "--wire", action="store_true", help="encode and decode every payload, as if it travelled"
    )
    parser.add_argument(
        "--patience", metavar="S", type=_seconds, help="seconds that a role waits before it gives up"
    )
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, help="seconds after which the session is reported and left"
    )
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the `random` module, set before all")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help="(%(default)s)")
    parser.add_argument("--traceback", action="store_true", help="show where a role's function failed")


def _run(options: argparse.Namespace) -> int:
    from amachine.tools.choreo_run import play

    return play(options)


# trace


def _configure_trace(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  amachine choreo trace run.jsonl > run.mmd
  amachine choreo trace run.jsonl -o run.svg
  amachine choreo trace run.jsonl --text --limit 20
  amachine choreo trace run.jsonl --stats

A file's ending says what is drawn: .mmd or .md for Mermaid, .svg for a picture, which needs no
other program."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="what `amachine choreo run --trace` wrote; - for stdin"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--text", action="store_true", help="a line for each message, instead of a diagram")
    kind.add_argument("--stats", action="store_true", help="how often each branch was chosen")
    kind.add_argument("--json", action="store_true", help="the same as JSON, to be used as a profile")
    parser.add_argument("--session", metavar="ID", help="of this session (the first; text and counts: all)")
    parser.add_argument(
        "--limit", metavar="N", type=_number, help="the last N messages of a session (drawn: 400; text: all)"
    )
    parser.add_argument("-o", dest="out", metavar="FILE", type=Path, help="write it to this file")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:  # false of what is no number, too
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def _trace(options: argparse.Namespace) -> int:
    from amachine.choreography.seeing.trace import Trace, read

    from_stdin = str(options.file) == "-"
    trace = Trace.made_of(read(sys.stdin.buffer)) if from_stdin else Trace.load(options.file)
    if not trace.events:
        raise NotFound(f"{'stdin' if from_stdin else options.file} holds no event of a choreography")
    if options.session is not None:
        trace = trace.of(options.session)
    language: Language | None = None
    if options.json:
        rows = [
            {"scene": scene, "label": label, "count": count}
            for (scene, label), count in trace.profile().items()
        ]
        text, language = f"{json.dumps(rows, indent=2, ensure_ascii=False)}\n", "json"
    elif options.stats or options.text:
        text = "\n".join(_stats(trace)) if options.stats else trace.text(limit=options.limit)
        text += "\n"
    else:
        language = _format_of(
            options.out, {".svg": "svg"}, "for words and numbers say --text, --stats or --json"
        )
        limit = 400 if options.limit is None else options.limit
        session = trace.sessions[0]
        text = trace.mermaid(limit=limit) if language == "mermaid" else trace.svg(limit=limit, title=session)
    _put(text, options.out, language)
    return 0


def _stats(trace: Trace) -> Iterator[str]:
    """How often each branch was chosen, and its share among those of its scene."""
    from amachine.choreography.playing.frames import plain

    profile = trace.profile()
    scenes: dict[str, float] = {}
    for (scene, _), count in profile.items():
        scenes[scene] = scenes.get(scene, 0) + count
    numbers = (
        (len(trace.events), "event"),
        (len(trace.sessions), "session"),
        (int(sum(scenes.values())), "choice"),
    )
    yield ", ".join(_count(*each) for each in numbers)
    for scene, total in sorted(scenes.items(), key=lambda each: -each[1]):
        yield f"{total:>10,.0f}  {plain(scene)}"
        for (of, label), count in profile.items():
            if of == scene:
                yield f"{count:>10,.0f}    {plain(label)}  ({count / total:.0%})"


# Out.


def _put(text: str, file: Path | None, language: Language | None) -> None:
    if file is not None:
        file.write_text(text, encoding="utf-8")
    elif language is not None:
        put(text, language)
    else:
        print(text, end="")


def _width() -> int:
    """The columns of the terminal; 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, 120) if sys.stdout.isatty() else 100


_DIAGNOSTIC = (
    (re.compile(r"AMC\d+\b(?! (?:warning|note):)"), "1;31"),
    (re.compile(r"AMC\d+ warning:"), "1;33"),
    (re.compile(r"AMC\d+ note:"), "36"),
    (re.compile(r"^  (?:hint|one run|another):", re.MULTILINE), "1"),
)
_EXPLAINED = (
    (re.compile(r"^\S.*?(?=:|$)", re.MULTILINE), "1;33"),
    (re.compile(r"⇢ \w+(?:, \w+)*"), "35"),
    (re.compile(r"AMC\d+"), "31"),
    (re.compile(r"(?<=  )[!?]\w+(?:, \w+)*(?=:)"), "36"),
    (re.compile(r"→ \w+(?:, \w+)*"), "36"),
)


def _painted(text: str, styles: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    """A text with colours, where a terminal shows them."""
    if not takes_colour(sys.stdout):
        return text
    for pattern, style in styles:
        text = pattern.sub(lambda found, style=style: f"\033[{style}m{found[0]}\033[0m", text)  # type: ignore[misc]
    return text
