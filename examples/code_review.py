"""A code review as a workflow of three: the script is a function, which is read and never run.

What a role hands to another is a message: in `ci.check(author.push())`, the change. Red or green is decided by the CI, in
earnest: it runs a test in a process. The reviewer approves or comments, the author mends or gives up, and whoever needs to
know of that is told. How it ended is what is returned.

One role is looked at here, and becomes a machine by that. A state of our own follows its script: `Overdue` requires that a
judgement is due, and is over with it. While nothing happens, the stuck report tells who waits for whom.

    python examples/code_review.py                 # a review with a reviewer who falls asleep
    python examples/code_review.py --tries 1       # an author who gives up
    amachine choreo explain examples/code_review.py:review
"""

from __future__ import annotations

import argparse
import ast
import sys
from enum import Enum

import anyio
import attrs

from amachine import Event, State, States
from amachine.choreography import AsMachine, Trace, choreography

TEST = 'assert slug("Hello World") == "hello-world", slug("Hello World")'
DRAFTS = [
    'def slug(title):\n    return title.replace(" ", "-")\n',
    'def slug(title):\n    return title.lower().replace(" ", "-")\n',
    'def slug(title):\n    """A title as part of an address."""\n    return title.lower().replace(" ", "-")\n',
]


@attrs.frozen
class Change:
    """What is to be reviewed."""

    number: int
    source: str


@attrs.frozen
class Red:
    """The test fails, and says why."""

    log: str


@attrs.frozen
class Green:
    """The test passes."""


@attrs.frozen
class Approved:
    """The reviewer likes it."""


@attrs.frozen
class Comments:
    """The reviewer would like it better otherwise."""

    text: str


class End(Enum):
    """How a review ends."""

    MERGED = 1
    ABANDONED = 2


@attrs.define
class Author:
    """Has a draft for every complaint, and so much patience."""

    tries: int = 5
    pushed: int = 0
    heard: list[str] = attrs.field(factory=list[str])
    merged: bool = False

    def push(self) -> Change:
        source = DRAFTS[min(self.pushed, len(DRAFTS) - 1)]
        self.pushed += 1
        return Change(self.pushed, source)

    def mends(self, complaint: str) -> bool:
        self.heard.append(complaint)
        return self.pushed < self.tries

    def merge(self) -> None:
        self.merged = True


@attrs.define
class CI:
    """Runs the test, in a process of its own."""

    async def check(self, change: Change) -> Red | Green:
        done = await anyio.run_process([sys.executable, "-I", "-c", change.source + TEST], check=False)
        return Red(done.stderr.decode().splitlines()[-1]) if done.returncode else Green()


@attrs.define
class Reviewer:
    """Insists on docstrings. After so many judgements it falls asleep, and has to be woken."""

    diligence: int = 100
    bell: anyio.Event = attrs.field(factory=anyio.Event)

    async def judge(self, change: Change) -> Approved | Comments:
        self.diligence -= 1
        if self.diligence < 0:
            await self.bell.wait()
        bare = [
            each.name
            for each in ast.parse(change.source).body
            if isinstance(each, ast.FunctionDef) and not ast.get_docstring(each)
        ]
        return Comments(f"{', '.join(bare)}: no docstring") if bare else Approved()


@choreography
async def review(author: Author, ci: CI, reviewer: Reviewer) -> End:
    """From the first push to the merge, or until the author has had enough."""
    while True:
        change = author.push()
        match await ci.check(change):
            case Red(log):
                if not author.mends(log):
                    return End.ABANDONED
            case Green():
                match await reviewer.judge(change):
                    case Comments(text):
                        if not author.mends(text):
                            return End.ABANDONED
                    case Approved():
                        author.merge()
                        return End.MERGED


class Desk(States):
    """What we add to the reviewer's machine."""

    ReviewJudgeReviewer = State()  # of the script: it is the reviewer's turn
    Overdue = State(require=[ReviewJudgeReviewer])


async def show(tries: int) -> None:
    """Play one review, and wake the reviewer when a judgement is overdue."""
    reviewer, trace = Reviewer(diligence=1), Trace(chars=30)

    async def wait(event: Event[object]) -> None:
        await anyio.sleep(0.2)
        event.machine.add("Overdue")

    def ring(_: Event[object]) -> None:
        print(f"{play.stuck()}\n\nThe bell is rung.\n")
        reviewer.bell.set()

    desk = AsMachine(states=Desk, handlers={"ReviewJudgeReviewerTask": wait, "OverdueState": ring})
    cast = {"author": Author(tries), "ci": CI(), "reviewer": reviewer}
    async with review.play(cast, machines={"reviewer": desk}, tracers=[trace]) as play:
        outcome = await play.ended()
        print(trace.mermaid())
        print(play.machine("reviewer"))
    print(outcome)


def main() -> None:
    """Say how patient the author is."""
    parser = argparse.ArgumentParser(description="A code review of three.")
    parser.add_argument(
        "--tries", type=int, default=5, help="pushes before the author gives up (%(default)s)"
    )
    anyio.run(show, parser.parse_args().tries)


if __name__ == "__main__":
    main()
