"""What runs anywhere, a signal handler or `__del__`, may close a machine while another one is closed or gets its first wait."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextvars import copy_context
from textwrap import dedent

import pytest

from amachine import Event, Machine, State
from amachine.tracers.base import Tracer

PROGRAM = dedent("""
    import faulthandler, gc, sys
    from amachine import Machine, State

    faulthandler.dump_traceback_later(15, exit=True)

    class Flow(Machine):
        a = State()

    class Owner:
        def __init__(self):
            self.flow, self.me = Flow(), self
            self.flow.when(Flow.a)
        def __del__(self):
            self.flow.close()

    # A handler of a signal would run in the same places: behind every call.
    inside = 0
    def meanwhile(frame, event, arg):
        global inside
        if not inside and event in ("c_return", "return", "call"):
            inside = 1
            other = Flow(); other.when(Flow.a); other.close()
            inside = 0

    gc.set_threshold(5)
    for _ in range(300):
        Owner(); flow = Flow(); flow.when(Flow.a); flow.close()
    gc.set_threshold(10_000)
    for wait in (False, True):
        flow = Flow()
        sys.setprofile(meanwhile)
        if wait:
            flow.when(Flow.a)
        flow.close()
        sys.setprofile(None)
        assert flow.is_closed
    flow = Flow()
    sys.setprofile(meanwhile)
    flow.scope(Flow.a)
    sys.setprofile(None)
    print("done")
""")


def test_a_machine_may_be_closed_by_what_runs_in_the_middle_of_anything() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == "done\n", ran.stderr


class Stop(BaseException):
    """As KeyboardInterrupt: it may come behind every call, and where a function begins."""


class Flow(Machine):
    a = State()
    b = State()

    @b.enter
    def may(self, _: Event[None]) -> bool:
        return True

    @b.state
    def on_b(self, _: Event[None]) -> None: ...


ACTS: dict[str, Callable[[Flow], object]] = {
    "silent": lambda flow: flow.a.toggle(),
    "handlers": lambda flow: flow.b.toggle(),
    "check": lambda flow: flow.can_add(Flow.b),
    "eval": lambda flow: flow.eval(lambda: 1),
    "attach": lambda flow: flow.attach(Tracer()),
    "export": lambda flow: flow.export(),
}


# Of a wait that was stopped in its making, Python says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_an_interrupt_anywhere_leaves_a_machine_that_runs(act: Callable[[Flow], object]) -> None:
    for at in range(2000):
        flow, left = Flow(), at
        act(Flow())  # what is worked out once is worked out

        def meanwhile(_frame: object, event: str, _arg: object) -> None:
            nonlocal left
            if event in ("call", "c_return"):
                left -= 1
                if left < 0:
                    sys.setprofile(None)
                    raise Stop

        stopped = False
        sys.setprofile(meanwhile)
        try:
            copy_context().run(act, flow)  # who caused it may stay known there
        except Stop:
            stopped = True
        finally:
            sys.setprofile(None)
        if flow.tracers:
            flow.detach(flow.tracers[0])
        assert len(flow._turn_) == 1, at
        assert flow._owner_ == 0, at
        assert flow.add(Flow.a), at
        assert flow.remove(Flow.b), at
        if not stopped:
            return
    raise AssertionError("it never came to an end")
