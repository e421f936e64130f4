"""Pipes and the reusable states, used as they are meant. Checked, never run."""

from __future__ import annotations

from typing import Any, assert_type

import attrs

from amachine import ErrorInfo, Event, Machine, State, Wait, relate
from amachine.pipes import Link, Pipe, mermaid_of, mirror, mirrored, pipe, pipe_all, pipe_errors, pipes_of
from amachine.states import Basic, Connected, ConnectionPool, Disposal, Disposed, Worker, on_dispose


@attrs.frozen
class Job:
    name: str


@attrs.frozen
class Parcel:
    weight: int


class Front(Machine, Worker, Connected, Disposed):
    Start = State(Job)
    Ready = Basic.Ready.extend(require=[Connected.Connected])
    Working = State(Job, require=[Worker.Ready])
    job = State(Job, multi=True)
    _ = relate(Connected.Connecting, require=[Basic.Start])

    @Working.task
    async def work(self, e: Event[Job]) -> None:
        self.WorkReady.add()
        self.add_error(ValueError(e.args.name), Worker.ErrWork)

    @Basic.ErrNetwork.state
    def lost(self, e: Event[ErrorInfo]) -> None:
        self.Disposing.add()


class Back(Machine, ConnectionPool):
    up = State()
    parcel = State(Parcel)


async def use(front: Front, back: Back) -> None:
    assert_type(front.Working.args, Job | None)
    assert_type(front.RegisterDisposal.args, Disposal | None)
    front.RegisterDisposal.add(print)
    assert_type(front.unregister_disposal(print), bool)
    assert_type(on_dispose(back, print), bool)
    assert_type(pipe(front.Ready, back.up), Pipe)
    with pipe(front.job, back.parcel, args=lambda job: Parcel(len(job.name))) as made:
        assert_type(made.sync(), Wait[int])
        assert_type(await made.sync(), int)
        assert_type(made.links, tuple[Link, ...])
        assert_type(made.source, Machine | None)
    pipe(front.Ready, back.up, inverted=True, flat=True, only="remove")
    pipe(front["Ready"], back["up"])
    pipe_all(front, back, {Front.Ready: Back.up, "Idle": "Connected"}, flat=True)
    pipe_all(front, back, Connected.ConnectionStatus)
    pipe_all(front, back, [Front.Connected, "Disconnected"])
    pipe_all(front, back)
    pipe_errors(front, back)
    pipe_errors(front.ErrWork, back.ErrConnecting)
    mirror(front, back)
    board: Machine = mirrored(front, Front.Ready, "Idle", id="board", parent=front)
    assert_type(pipes_of(board), tuple[Pipe, ...])
    assert_type(mermaid_of(front, back, direction="TB"), str)


def of_data(states: dict[str, Any]) -> None:
    pipe(Machine.of(states)["a"], Machine.of(states)["b"], args=lambda given: {**given})
