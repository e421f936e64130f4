"""Programs that are wrong, each line marked `# E` in one way: both checkers must say so, there and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs
from pydantic import BaseModel

from amachine import Event, Machine, State, Tracer, exclusive, relate


@attrs.frozen
class Job:
    path: Path
    retries: int = 0


@dataclass
class Digest:
    path: Path
    sha256: str = ""


class Upload(BaseModel):
    url: str
    attempt: int = 1


class FileFlow(Machine):
    start = State()
    processing = State(Job, require=[start])
    processed = State(Digest, after=[processing])
    uploading = State(Upload)
    phase = exclusive(processing, processed)

    @processing.enter
    def readable(self, e: Event[Job]) -> bool:
        return e.args.path.is_file()


class Declarations(Machine):
    start = State()
    one = State(Job, require=[strat])  # E relation typo  # noqa: F821
    two = State(Job, require=[FileFlow.prcessing])  # E relation typo, inherited
    three = State(Job, requires=[start])  # E no such relation
    four = State(require=start)  # E a state where a list belongs
    five = State(3)  # E arguments that nothing builds
    six = State(Job, auto="yes")  # E a flag of the wrong type
    seven = exclusive(start, Job)  # E not a state
    eight = relate(start, requires=[one])  # E no such relation
    nine = FileFlow.processing.extend(require=[3])  # E not a state
    ten = FileFlow.start.replace(mutli=True)  # E no such flag


class Handlers(Machine):
    start = State()
    processing = State(Job, require=[start])

    @proccessing.enter  # E a handler for an unknown state  # noqa: F821
    def unknown(self, e: Event[Job]) -> bool:
        return True

    @FileFlow.procesed.state  # E a handler for an unknown state of another class
    def unknown_there(self, e: Event[Digest]) -> None: ...

    @processing.enter  # E the wrong args type
    def other_args(self, e: Event[Digest]) -> bool:
        return True

    @processing.state  # E no arguments, where there are some
    def no_args(self, e: Event[None]) -> None: ...

    @start.state  # E arguments, where there are none
    def args_of_none(self, e: Event[Job]) -> None: ...

    @processing.enter  # E returns a str
    def says_why(self, e: Event[Job]) -> str:
        return "no"

    @processing.state  # E a final handler that returns something
    def answers(self, e: Event[Job]) -> bool:
        return True

    @processing.enter  # E async in a sync handler
    async def waits(self, e: Event[Job]) -> bool:
        return True

    @processing.state  # E async in a sync handler
    async def works(self, e: Event[Job]) -> None: ...

    @processing.exit  # E async in a sync handler
    async def leaves(self, e: Event[Job]) -> None: ...

    @Machine.any_enter  # E async in a sync handler
    async def decides(self, e: Event[Any]) -> bool:
        return True

    @processing.task  # E sync, where it is awaited
    def does_not_wait(self, e: Event[Job]) -> None: ...

    @processing.task(timeout="3")  # E a timeout that is no number
    async def late(self, e: Event[Job]) -> None: ...

    @processing.after(3)  # E the wrong args type
    def due(self, e: Event[Digest]) -> None: ...

    @processing.every("3")  # E a time that is no number
    def beats(self, e: Event[Job]) -> None: ...

    @processing.after(3, on_restore="again")  # E no such policy
    def again(self, e: Event[Job]) -> None: ...

    @processing.after(lambda e: e.args.pth)  # E misspelt field of args
    def when_due(self, e: Event[Job]) -> None: ...

    @start.to(processing)  # E the args of the state entered are a Job
    def between(self, e: Event[Digest]) -> bool:
        return True

    @processing.enter  # E no event
    def without(self) -> bool:
        return True

    @processing.enter  # E one parameter too many
    def with_more(self, e: Event[Job], more: int) -> bool:
        return True

    @processing.enter
    def misspelt(self, e: Event[Job]) -> bool:
        return e.args.pth.is_file()  # E misspelt field of args

    @processing.enter
    def wrong_use(self, e: Event[Job]) -> bool:
        return e.args.retries.is_file()  # E a field of another type

    @processing.state
    def frozen(self, e: Event[Job]) -> None:
        e.args.retries = 3  # E the args are frozen

    @processing.state
    def misspelt_state(self, e: Event[Job]) -> None:
        self.strat.add()  # E unknown state

    @processing.state
    def event(self, e: Event[Job]) -> None:
        assert e.sorce  # E unknown attribute of the event


class Override(FileFlow):
    def readable(self, e: Event[Digest]) -> bool:  # E overrides with another args type
        return True


class Watching(Tracer):
    def transition_ended(self, machine: Machine) -> None: ...  # E a hook with too few parameters


def through_the_state(flow: FileFlow) -> None:
    flow.processing.add()  # E args missing
    flow.processing.add(3)  # E wrong type
    flow.processing.add("a.txt")  # E wrong type, nearly right
    flow.processing.add(pth=Path())  # E wrong name
    flow.processing.add(Path(), 1, 2)  # E superfluous
    flow.processing.add(Path(), retries="1")  # E wrong type by keyword
    flow.processing.add(Path(), tries=1)  # E superfluous by keyword
    flow.processing.can_add()  # E args missing in a question
    flow.processing.toggle(3)  # E wrong type in a toggle
    flow.processing.send(Digest(Path()))  # E args of another state
    flow.processing.remove(Path())  # E remove takes none
    flow.start.add(1)  # E args for a state that takes none
    flow.uploading.add(url=1)  # E wrong type in a pydantic model
    flow.uploading.add("x")  # E pydantic models take keywords
    flow.nope.add()  # E unknown state
    flow.start.ad()  # E unknown verb


def through_the_machine(flow: FileFlow) -> None:
    flow.add(FileFlow.processing)  # E args missing
    flow.add(FileFlow.processing, 3)  # E wrong type
    flow.add(FileFlow.processing, pth=Path())  # E wrong name
    flow.add(FileFlow.processing, Path(), 1, 2)  # E superfluous
    flow.add(FileFlow.start, FileFlow.nope)  # E unknown state
    flow.add(FileFlow.start, FileFlow.processing)  # E several states, one of which needs args
    flow.add(FileFlow.start, 1)  # E args for a state that takes none
    flow.set(FileFlow.processing)  # E args missing
    flow.toggle(FileFlow.processing, 3)  # E wrong type
    flow.can_add(FileFlow.processing)  # E args missing
    flow.remove(FileFlow.nope)  # E unknown state
    flow.remove(3)  # E not a state
    flow.is_active(FileFlow.nope)  # E unknown state
    flow.when(FileFlow.nope)  # E unknown state
    flow.when(3)  # E not a state
    flow.when_not(FileFlow.nope)  # E unknown state
    flow.scope(FileFlow.nope)  # E unknown state
    flow.add_error("no")  # E not an error
    flow.schema = FileFlow.schema  # E a machine is given another schema by set_schema
    flow.set_schema(3)  # E not a schema
    FileFlow.restore("{}")  # E not a mapping
    FileFlow.restore({}, queue_limits=3)  # E unknown option
    FileFlow("flow", queue_limits=3)  # E unknown option
    FileFlow("flow", tracers=[flow])  # E not a tracer


async def waiting(flow: FileFlow) -> None:
    flow.processed.when(lambda d: d.sha265 != "")  # E field typo in a filter
    flow.processed.when_entered(lambda d: d.sha265 != "")  # E field typo in a filter
    flow.when_args(FileFlow.processed, lambda d: d.sha265 != "")  # E field typo in a filter
    flow.when_time({FileFlow.start: "3"})  # E a tick that is no number
    flow.when_query(lambda clock: clock[0] > 1)  # E clocks are by name
    digest: Job = await flow.processed.when()  # E yields the args of another state
    answer: bool = await flow.start.add()  # E a Result, whatever its truth
    assert (await flow.processed.when()).sha265  # E field typo in what a wait yields
    assert flow.start.add().y  # E unknown attribute of a result
    assert digest.path.name
    assert answer
