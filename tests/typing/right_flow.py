"""A class with states, arguments of every kind, handlers of every kind, and a subclass. Checked, never run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

import attrs
from pydantic import BaseModel

from amachine import (
    Check,
    ErrorInfo,
    Event,
    Machine,
    Result,
    Schema,
    State,
    States,
    Wait,
    all_of,
    any_of,
    any_state,
    exclusive,
    group,
    relate,
)


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


@dataclass
class Options:
    verbose: bool = False


class FileStates(States):
    """Without behaviour, to be run by a machine or read by a client."""

    start = State()
    processing = State(Job, require=[start])
    processed = State(Digest)
    uploading = State(Upload, multi=True, limit=3)
    options = State(Options)
    busy = State(auto=True, require=[processing], tags=["ui"], doc="Something is going on.")
    phase = exclusive(processing, processed)
    shown = group(busy, *phase)
    _ = relate(start, add=["options"])


class FileFlow(Machine, FileStates):
    @FileStates.processing.enter
    def readable(self, e: Event[Job]) -> bool:
        assert_type(e.args, Job)
        return e.args.path.is_file() and e.args.retries < 3

    @FileStates.processing.exit
    def may_end(self, e: Event[Job]) -> bool | None:
        return None if e.is_check else e.mutation.is_called("start")

    @FileStates.processing.task
    async def digest(self, e: Event[Job]) -> None:
        self.processed.add(e.args.path, sha256="0")

    @FileStates.uploading.task(timeout=3)
    async def upload(self, e: Event[Upload]) -> None:
        e.spawn(self.uploaded, e.args)

    async def uploaded(self, upload: Upload) -> None:
        self.uploading.add(url=upload.url, attempt=upload.attempt + 1)

    @FileStates.processing.after(timedelta(minutes=1), on_restore="restart")
    def late(self, e: Event[Job]) -> None:
        self.start.remove()

    @FileStates.processing.after(lambda e: e.args.retries * 2.5)
    async def later(self, e: Event[Job]) -> None:
        assert_type(e.restored, bool)

    @FileStates.start.every(3)
    def beat(self, e: Event[None]) -> None: ...

    @FileStates.start.state
    @FileStates.busy.state
    def begun(self, e: Event[None]) -> None:
        assert_type(e.state, str | None)

    @FileStates.start.end
    async def ended(self, e: Event[None]) -> None:
        await self.when_idle()

    @FileStates.busy.end
    def no_longer(self, e: Event[None]) -> None: ...

    @FileStates.start.to(FileStates.processed)
    def from_start(self, e: Event[Digest]) -> bool:
        return e.args.sha256 != ""

    @FileStates.start.stay
    def still(self, e: Event[None]) -> bool:
        return True

    @Machine.any_enter
    def first(self, e: Event[object]) -> bool:
        return e.source is None

    @any_state
    def last(self, e: Event[object]) -> None: ...

    @FileStates.Exception.state
    def failed(self, e: Event[ErrorInfo]) -> None:
        assert_type(e.args.error, BaseException)


class Careful(FileFlow):
    start = FileFlow.start.extend(require=[FileFlow.options], tags=["ui"])
    busy = FileFlow.busy.replace(auto=False)
    checked = State(require=[start])

    def readable(self, e: Event[Job]) -> bool:
        return bool(super().readable(e)) and self.checked.active


class Watcher:
    """Handlers in an object of their own."""

    seen = 0

    @FileFlow.processed.state
    def see(self, e: Event[Digest]) -> None:
        self.seen += len(e.args.sha256)


def schemas(flow: FileFlow) -> None:
    assert_type(FileStates.schema, Schema)
    assert_type(FileFlow.schema, Schema)
    assert_type(flow.schema, Schema)


def mutate(flow: FileFlow) -> None:
    assert_type(flow.start.add(), Result)
    flow.processing.add(Path("a"))
    flow.processing.add(Path("a"), retries=2)
    flow.processing.add(path=Path("a"))
    flow.processing.toggle(Path("a"), 2)
    flow.processing.send(Job(Path("a")))
    flow.uploading.add(url="x")
    flow.options.add()
    flow.options.remove()
    assert_type(flow.processed.can_add(Path("a")), Check)
    assert_type(flow.processing.args, Job | None)
    assert_type(flow.start.tick, int)
    flow.add(FileFlow.start, FileFlow.busy, FileFlow.options, "checked")
    flow.add(FileFlow.processing, Path("a"), retries=1)
    flow.add(FileFlow.options, verbose=True)
    flow.set(FileFlow.uploading, url="x")
    flow.toggle(FileFlow.start)
    flow.remove(FileFlow.start, "busy")
    flow.add("processing", path="a", retries=1)
    flow.add()
    why: str = flow.can_add(FileFlow.processed, Path("a")).why
    flow.add_error(ValueError(why), FileFlow.start)
    if flow.is_active(FileFlow.start, "busy") and flow.any_active(FileFlow.busy):
        match flow.active_in(FileFlow.phase):
            case "processing":
                flow.explain("add", FileFlow.processed)
            case _:
                flow.will_be(FileFlow.start)


def keep(flow: FileFlow, data: dict[str, Any]) -> FileFlow:
    assert_type(flow.export(pending=True), dict[str, Any])
    assert_type(flow.set_schema(FileStates), Wait[int])
    flow.set_schema({"more": {}}).wait()
    assert_type(flow.schema_version, int)
    Machine.restore(data, schema=FileStates.schema, tags=["x"])
    assert_type(Careful.restore(data, "id", strict=False, handlers=[Watcher()]), Careful)
    return FileFlow.restore(data, into=FileFlow())


async def wait(flow: FileFlow) -> None:
    assert_type(await flow.processing.add(Path("a")), Result)
    assert_type(flow.processed.when(), Wait[Digest])
    assert_type(await flow.processed.when(lambda d: d.sha256 != ""), Digest)
    assert_type(await flow.processing.when_next(), Job)
    assert_type(await flow.when(FileFlow.start, "busy"), None)
    assert_type(await flow.when_not(FileFlow.start), None)
    assert_type(await flow.when_args(FileFlow.processed, lambda d: len(d.sha256) > 3), Digest)
    assert_type(await flow.when_args(FileFlow.processed, {"sha256": "0"}), Digest)
    assert_type(await flow.when_next(FileFlow.processing), Job)
    await flow.when_time({FileFlow.start: 3})
    await flow.when_query(lambda clock: clock["start"] > 3)
    assert_type(await flow.eval(lambda: 3), int)
    first = await any_of(flow.when(FileFlow.start), flow.start.when_not())
    assert_type(first.done, bool)
    job, digest = await all_of(flow.processing.when(), flow.processed.when())
    assert_type((job, digest), tuple[Job, Digest])
    async with flow.start.scope(), flow.scope(FileFlow.busy):
        flow.start.when().then(print)
    async with Careful("careful", parent=flow, handlers=[Watcher()], queue_limit=None) as careful:
        assert_type(careful, Careful)
        careful.checked.add()


async def result_of_a_body(flow: FileFlow) -> Digest:
    async with flow:
        digest = await flow.processed.when()
    assert_type(digest, Digest)
    async with Careful() as careful:
        return await careful.processed.when()


def in_a_thread(flow: FileFlow) -> Digest:
    flow.start.add().wait(timeout=1)
    return flow.processed.when().wait(1.0)


add: Callable[[], Result] = FileFlow("flow-1").start.add
