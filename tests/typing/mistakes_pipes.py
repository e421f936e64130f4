"""Wrong uses of pipes and reusable states, each line marked `# E` in one way: both checkers say so, there and nowhere else."""

from __future__ import annotations

import attrs

from amachine import Machine, State
from amachine.pipes import mirrored, pipe, pipe_errors
from amachine.states import Disposed, Worker


@attrs.frozen
class Job:
    name: str


class Front(Machine, Worker, Disposed):
    Working = State(Job, require=[Worker.Ready])
    job = State(Job)
    on = State()


def use(front: Front) -> None:
    pipe(Front.on, front.Ready)  # E not a state of a machine
    pipe(front.on, "Ready")  # E a name of no machine
    pipe(front.on, front.job, only="toggle")  # E no such choice
    pipe(front.job, front.Working, args=lambda job: job.nam)  # E field typo
    pipe(front.on, front.job, inverted="yes")  # E a flag
    pipe(front.on, front.job).sinc()  # E no such method
    pipe_errors(front, Front.ErrWork)  # E not a state of a machine
    mirrored(front, 3)  # E not a state
    mirrored(front, "on", taggs=["a"])  # E no such option
    front.RegisterDisposal.add("close")  # E cannot be called
    front.RegisterDisposal.add()  # E args missing
    front.Working.add(3)  # E wrong type
