"""Fan out, fan in: hand out many jobs, have a few of them done at once, and collect what comes of them.

`job` is a multi state: each `add` is one more job, with a task of its own. Its `limit` is the number of workers: so many
of its tasks run at once, the others wait in order. `answer` is multi, too. Handlers run one at a time, so collecting
needs no lock; and clocks count, so all is in when as many answers came as jobs went out.

    python examples/fan_out_in.py [FOLDER]
"""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import anyio
import attrs
from anyio.to_thread import run_sync

from amachine import Event, Machine, State
from amachine.helpers import wait_for_all


@attrs.frozen
class Job:
    """A file whose words are to be counted."""

    path: Path


@attrs.frozen
class Answer:
    """What came of one job."""

    path: Path
    words: Counter[str] = attrs.field(factory=Counter[str])
    problem: str = ""


class WordCount(Machine):
    """Counts the words of many files, four at a time."""

    job = State(Job, multi=True, limit=4)
    answer = State(Answer, multi=True)

    def __init__(self) -> None:
        super().__init__("words")
        self.total = Counter[str]()
        self.problems: list[str] = []

    @job.task
    async def count(self, e: Event[Job]) -> None:
        """Fan out: this runs four times at once."""
        path = e.args.path
        try:
            words = await run_sync(words_of, path)
        except (OSError, UnicodeDecodeError) as error:
            self.answer.add(path, problem=f"{path.name}: {error}")
        else:
            self.answer.add(path, words)

    @answer.state
    def collect(self, e: Event[Answer]) -> None:
        """Fan in: this runs once at a time, whatever happens elsewhere."""
        self.total += e.args.words
        if e.args.problem:
            self.problems.append(e.args.problem)


def words_of(path: Path) -> Counter[str]:
    """The words of a file, in lower case. Errors: OSError, UnicodeDecodeError."""
    return Counter(word for word in path.read_text(encoding="utf-8").lower().split() if word.isalpha())


def texts_in(folder: Path) -> list[Path]:
    """The texts in a folder."""
    return sorted(path for path in folder.glob("*.*") if path.suffix in {".md", ".py", ".txt"})


async def count_words(paths: Iterable[Path]) -> WordCount:
    """Count the words of all these files. The machine that is returned is closed, and has the numbers."""
    async with WordCount() as machine:
        for path in paths:
            machine.job.add(path)
        all_in = machine.when_query(lambda clock: clock["answer"] == clock["job"])
        await wait_for_all(all_in, or_error=True)
    return machine


async def main(folder: str) -> None:
    """Count the words of the texts in a folder."""
    paths = texts_in(Path(folder))
    machine = await count_words(paths)
    print(f"{len(paths)} files, {machine.total.total()} words, {len(machine.problems)} problems: {machine}")
    for word, times in sorted(machine.total.items(), key=lambda item: (-item[1], item[0]))[:5]:
        print(f"  {times} × {word}")
    for problem in machine.problems:
        print(f"  {problem}")


if __name__ == "__main__":
    anyio.run(main, (sys.argv[1:] or ["."])[0])
