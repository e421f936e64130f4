"""CLI app: a program as a machine. Options are states, so relations say which go together; and so is how it ends.

argparse reads the words, and gets its options from the schema. What they mean together is asked of the machine in one
request: it is granted as a whole, or the user is told why not. How the course ends is the exit code.

    python examples/cli_app.py --words --frequent README.md
"""

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio
import attrs

from amachine import ErrorInfo, Event, Machine, State, exclusive, group


@attrs.frozen
class Files:
    """What is to be read."""

    paths: tuple[Path, ...]


class Count(Machine):
    """Counts lines, words or letters of files."""

    lines = State(doc="count lines")
    words = State(auto=True, doc="count words, which is the default")  # so a default is an auto state
    letters = State(doc="count letters")
    unit = exclusive(lines, words, letters)

    frequent = State(remove=[lines], doc="show the most frequent ones; not for lines")
    quiet = State(doc="print nothing but the total")
    verbose = State(doc="print a number for each file")
    noise = exclusive(quiet, verbose)

    options = group(lines, words, letters, frequent, quiet, verbose)

    reading = State(Files)
    done = State()
    failed = State()
    course = exclusive(reading, done, failed)

    @reading.task
    async def count(self, e: Event[Files]) -> None:
        total = Counter[str]()
        for path in e.args.paths:
            counted = Counter(self.pieces(await anyio.Path(path).read_text(encoding="utf-8")))
            total += counted
            if self.verbose.active:
                print(f"{counted.total()} {path}")
        print(total.total() if self.quiet.active else f"{total.total()} {self.active_in(Count.unit)}")
        if self.frequent.active:
            for piece, times in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:3]:
                print(f"{times} × {piece}")
        self.done.add()

    @Machine.Exception.state
    def fail(self, e: Event[ErrorInfo]) -> None:
        print(f"error: {e.args.error}", file=sys.stderr)
        self.failed.add()

    def pieces(self, text: str) -> Sequence[str]:
        """What is counted of a text."""
        match self.active_in(Count.unit):
            case "lines":
                return text.splitlines()
            case "letters":
                return [letter for letter in text if letter.isalpha()]
            case _:
                return text.split()


def parser() -> ArgumentParser:
    """One flag for each state that is an option."""
    parser = ArgumentParser(prog="count", description=Count.__doc__)
    for name in Count.options.members:
        doc = Count.schema[name].doc
        parser.add_argument(
            f"--{name}", dest="options", action="append_const", const=name, default=[], help=doc
        )
    parser.add_argument(
        "paths", nargs="*", type=Path, default=[Path(__file__)], help="files of text; by default this one"
    )
    return parser


async def main(words: Sequence[str]) -> int:
    """Run with these words of a command line. Returns the exit code."""
    asked = parser().parse_args(words)
    async with Count("count") as count:
        answer = count.add(*asked.options)
        if not answer:
            print(f"error: {answer.why}; see --help", file=sys.stderr)
            return 2
        count.reading.add(tuple(asked.paths))
        await count.reading.when_not()
    return 0 if count.done.active else 1


if __name__ == "__main__":
    try:
        sys.exit(anyio.run(main, sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
