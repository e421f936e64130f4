"""The machine over the roles of a session: what it learns from them, and what it can do to them."""

from __future__ import annotations

from typing import Any

import pytest

from amachine.choreography import inform
from amachine.choreography.diagnostics import ChoreographyError
from amachine.choreography.playing.machines import MachineSeat
from amachine.choreography.playing.session import SessionMachine, schema_of_session
from amachine.choreography.project import project_all
from amachine.tracers.base import Tracer
from tests.choreo import built

ROLES = ("k", "x", "y")


def test_all_are_done_when_each_has_come_to_an_exit() -> None:
    session = SessionMachine.over(ROLES, "s")
    all_done = session.when("AllDone")
    session.ended("k", "Done")
    session.ended("x", "Failed")
    assert not session.is_active("AllDone")
    session.ended("y", "Done")
    assert all_done.done
    assert not session.is_active("AnyLost")


def test_one_lost_role_keeps_the_rest_from_being_all() -> None:
    session = SessionMachine.over(ROLES, "s")
    session.ended("k", "Done")
    session.ended("x", "Aborted")
    session.ended("y", "Done")
    assert session.active == ("KDone", "XLost", "YDone", "AnyLost")


def test_a_role_that_another_player_brings_to_an_exit_counts_as_done() -> None:
    session = SessionMachine.over(ROLES, "s")
    for role, state in (("k", "Done"), ("x", "Aborted"), ("y", "Done"), ("x", "Done")):
        session.ended(role, state)
    assert session.is_active("AllDone", "AnyLost")
    assert not session.is_active("XLost")


def seats(session: SessionMachine) -> list[MachineSeat]:
    script = inform.decide(built.two_phase(), "auto", profile=None)
    return [MachineSeat(local, "s", parent=session) for local in project_all(script).values()]


def test_aborting_makes_every_role_leave_that_still_plays() -> None:
    session = SessionMachine.over(ROLES, "s")
    k, x, y = seats(session)
    assert [child.id for child in session.children] == ["s/k", "s/x", "s/y"]
    y.machine.close()
    session.add("Aborting")
    assert k.machine.is_active("Closing", "Aborted")
    assert x.machine.is_active("Closing", "Aborted")
    assert not y.machine.is_active("Closing")


def test_closing_the_session_closes_the_machines_of_its_roles() -> None:
    session = SessionMachine.over(ROLES, "s")
    below = seats(session)
    session.close()
    assert all(seat.machine.is_closed for seat in below)


def test_an_inheritable_tracer_of_the_session_sees_its_roles() -> None:
    class Seen(Tracer):
        inheritable = True

        def __init__(self) -> None:
            self.ids: list[str] = []

        def transition_ended(self, machine: Any, transition: Any) -> None:
            self.ids.append(machine.id)

    seen = Seen()
    k, _, _ = seats(SessionMachine.over(ROLES, "s", tracers=[seen]))
    k.peer_up("x")
    k.peer_up("y")
    assert "s/k" in seen.ids


def test_roles_that_would_share_a_state_are_refused() -> None:
    with pytest.raises(ChoreographyError, match="the roles bob, Bob cannot be told apart") as info:
        schema_of_session(("bob", "Bob"))
    assert info.value.codes == ("AMC601",)
