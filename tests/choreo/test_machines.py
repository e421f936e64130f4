"""Roles as machines: which states there are and how they relate, who may enter them, and what users may add."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from amachine import Event, Machine, State, States, exclusive
from amachine.choreography import inform
from amachine.choreography.builder import Builder
from amachine.choreography.diagnostics import ChoreographyError
from amachine.choreography.local import Give, LocalMachine, Take
from amachine.choreography.playing.looking import instead
from amachine.choreography.playing.machines import MachineSeat, machine_type, schema_of
from amachine.choreography.playing.seat import StepArgs, TableSeat
from amachine.choreography.project import project
from amachine.choreography.script import Script
from amachine.errors import RestoreError
from tests.choreo import built


def local(script: Script, role: str) -> LocalMachine:
    return project(inform.decide(script, "auto", profile=None), role)


SENDER = local(built.sendfile(), "sender")
ALICE = local(built.pingpong(), "alice")


def sale() -> Script:
    """A charge that a refund replaces when the bank is lost; the shop is not provided for."""
    b = Builder()
    refund = b.scene("Refund", "shop").branch("back", int, to="customer")
    pay = b.region("Pay", {"bank": refund})
    order, charge = b.scene("Order", "customer", region=pay), b.scene("Charge", "shop", region=pay)
    verdict = b.scene("Verdict", "bank", region=pay).branch("paid", to=("shop", "customer"))
    order.branch("order", int, to="shop", next=charge)
    charge.branch("charge", int, to="bank", next=verdict)
    return b.script("sale", order, roles=("customer", "shop", "bank"))


CUSTOMER = local(sale(), "customer")


class Owner:
    """Stands in for a player: it only hears that it is to leave."""

    role = session = ""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def cancel(self, why: str = "cancelled") -> None:
        self.cancelled.append(why)

    def failed(self, where: str, error: Exception) -> None:
        self.cancelled.append(f"{where} raised {error!r}")


def seated(machine: LocalMachine, **options: Any) -> MachineSeat:
    """A seat at the first state, with all peers there."""
    seat = MachineSeat(machine, "s", **options)
    seat.open(Owner())
    for peer in machine.peers:
        seat.peer_up(peer)
    assert seat.step(machine.start, StepArgs(), nothing)
    return seat


def nothing() -> None:
    """What most steps do in these tests."""


def walk(
    seat: MachineSeat | TableSeat, *labels: str, data: Any = None, then: Callable[[], None] = nothing
) -> None:
    """Take the steps of these labels."""
    for label in labels:
        state = seat.state
        edges: tuple[Take | Give, ...] = (*state.takes, *state.gives)
        edge = next(edge for edge in edges if edge.label == label)
        peer = edge.peer if isinstance(edge, Take) else ""
        machine = seat.machine if isinstance(seat, TableSeat) else seat.local
        assert seat.step(machine.by_name[edge.next], StepArgs(peer, edge.scene, label, data), then)


def owner_of(seat: MachineSeat) -> list[str]:
    owner = seat._owner
    assert isinstance(owner, Owner)
    return owner.cancelled


# -- the schema


def test_a_role_has_the_states_and_relations_of_the_design() -> None:
    schema = schema_of(SENDER)
    script = ["Size", "Send", "AwaitCheckHash", "AwaitCheckHash_final", "Done"]
    wanted: dict[str, dict[str, Any]] = {
        "Size": {"require": ["SessionUp"]},
        "Send": {"require": ["SessionUp"], "multi": True},
        "AwaitCheckHash": {"require": ["ReceiverUp"]},
        "AwaitCheckHash_final": {"require": ["ReceiverUp"]},
        "Done": {"remove": ["Trouble", "Aborted"]},
        "ReceiverUp": {"remove": ["ReceiverLost"]},
        "SessionUp": {"auto": True, "require": ["ReceiverUp"], "remove": ["Aborted"]},
        "Closing": {"add": ["Trouble"], "remove": ["SessionUp"]},
        "ReceiverLost": {"remove": ["ReceiverUp"]},
        "Violation": {"add": ["Trouble", "Exception"]},
        "StepTimeout": {"multi": True},
        "Trouble": {"remove": ["SessionUp"]},
        "Aborted": {"auto": True, "require": ["Trouble"], "remove": [*script[:4], "SessionUp"]},
        "Exception": {"multi": True},
    }
    assert list(schema) == list(wanted)
    for state in schema.states:
        said = wanted[state.name]
        others = [name for name in script if name != state.name] if state.name in script else []
        assert list(state.require) == said.get("require", []), state.name
        assert list(state.add) == said.get("add", []), state.name
        assert list(state.remove) == others + list(said.get("remove", [])), state.name
        assert (state.auto, state.multi) == (said.get("auto", False), said.get("multi", False)), state.name
    assert schema.groups["Script"].members == tuple(script)
    assert not list(schema.lint())


def test_a_schema_and_a_class_of_machines_are_made_once_for_each_role() -> None:
    assert schema_of(SENDER) is schema_of(SENDER)
    assert machine_type(SENDER) is machine_type(SENDER)
    assert MachineSeat(SENDER).machine.schema is schema_of(SENDER)


@pytest.mark.parametrize("role", ["customer", "shop", "bank"])
def test_regions_bring_states_of_their_own_and_recover_before_they_abort(role: str) -> None:
    schema = schema_of(local(sale(), role))
    assert schema["RecoverPay"].require == ("Trouble", "InPay")
    assert schema["RecoverPay"].remove == ("Aborted",)
    provided = {name for name in schema if name.endswith("Lost") and "RecoverPay" not in schema[name].remove}
    assert provided == {"BankLost"} - {"BankLost" if role == "bank" else ""}
    assert schema.index["RecoverPay"] < schema.index["Aborted"]


def test_two_states_of_one_name_are_refused_with_both_their_kinds() -> None:
    b = Builder()
    scene = b.scene("Hello", "alice").branch("x", to="bob", next="BobUp")
    script = b.script("clash", scene, roles=("alice", "bob"), exits=("BobUp",))
    with pytest.raises(
        ChoreographyError, match="the script state BobUp and the session state BobUp of alice"
    ) as info:
        schema_of(local(script, "alice"))
    assert info.value.codes == ("AMC601",)


# -- steps


def test_only_the_next_step_of_the_player_enters_a_state_of_the_script() -> None:
    seat = seated(SENDER)
    machine = seat.machine
    by_hand = machine.add("AwaitCheckHash")
    assert by_hand.canceled
    assert by_hand.why == "AwaitCheckHashEnter (sender._by_a_step_of_its_player) said no"
    with_args = machine["Send"].send(StepArgs("", "Size", "size"))
    assert with_args.canceled
    assert not machine.can_add("Send")
    assert not seat.step(SENDER.by_name["AwaitCheckHash"], StepArgs("", "Send", "check"), nothing)
    assert "AwaitCheckHashEnter" in seat.why
    assert machine.active_in("Script") == "Size" == seat.state.name
    walk(seat, "size")
    assert not seat.step(SENDER.by_name["Send"], StepArgs("", "Send", "chunk", epoch=-1), nothing)
    assert machine["Send"].tick == 1


def test_functions_run_in_state_handlers_with_the_step_as_arguments() -> None:
    seen: list[Any] = []
    seat = seated(SENDER)
    walk(seat, "size", data=7, then=lambda: seen.append(seat.machine.transition))
    assert seen[0].enters == ("Send",)
    assert seen[0].exits == ("Size",)
    assert seen[0].args.data == 7
    args = seat.machine["Send"].args
    assert args is not None
    assert (args.scene, args.label, args.data) == ("Size", "size", 7)


def test_a_self_loop_ticks_so_that_a_wait_can_count_chunks() -> None:
    seat = seated(SENDER)
    fourth = seat.machine.when_time({"Send": 7})
    walk(seat, "size", "chunk", "chunk")
    assert seat.machine["Send"].tick == 5
    walk(seat, "chunk")
    assert fourth.done
    assert seat.machine["Send"].entries == 4


def test_a_step_taken_in_a_handler_has_its_turn_after_it() -> None:
    seat = seated(SENDER)
    walk(seat, "size", then=lambda: walk(seat, "chunk"))
    assert seat.machine["Send"].entries == 2
    args = seat.machine["Send"].args
    assert args is not None
    assert args.label == "chunk"


# -- trouble


def test_a_lost_peer_takes_the_waiting_state_along_and_the_role_aborts_by_itself() -> None:
    seat = seated(SENDER)
    walk(seat, "size", "check")
    seat.peer_lost("receiver", "gone")
    assert seat.machine.active == ("ReceiverLost", "Trouble", "Aborted")
    seat.end("Aborted", "gone")
    assert seat.machine["Aborted"].tick == 1


def test_an_exit_stays_whatever_comes_later() -> None:
    seat = seated(ALICE)
    walk(seat, "next")
    machine = seat.machine
    machine.add("BobLost")
    assert machine.add("Trouble").canceled
    machine.add("Violation")
    machine.add("Closing")
    assert machine.is_active("Done")
    assert not machine.any_active("Trouble", "Aborted")


def test_a_region_recovers_from_a_loss_that_it_provides_for() -> None:
    seat = seated(CUSTOMER)
    walk(seat, "order")
    machine = seat.machine
    assert machine.is_active("InPay")
    seat.peer_lost("bank", "gone")
    assert machine.is_active("RecoverPay", "Trouble", "InPay")
    assert not machine.is_active("Aborted")
    refund = CUSTOMER.by_name[CUSTOMER.recover["Pay", "bank"]]
    assert seat.recover("Pay", "bank", refund, StepArgs(epoch=1), nothing)
    assert machine.is_active(refund.name, "SessionUp", "BankLost")
    assert not machine.any_active("RecoverPay", "Trouble", "InPay", "Aborted")
    walk_on = StepArgs("shop", refund.takes[0].scene, refund.takes[0].label, epoch=1)
    assert seat.step(CUSTOMER.by_name[refund.takes[0].next], walk_on, nothing)
    assert machine.is_active("Done", "BankLost")


@pytest.mark.parametrize("cause", ["shop", "Violation", "HandlerError", "Cancelled"])
def test_a_region_does_not_recover_from_anything_else(cause: str) -> None:
    seat = seated(CUSTOMER)
    walk(seat, "order")
    if cause == "shop":
        seat.peer_lost("shop", "gone")
    else:
        seat.trouble(cause, "why", OSError("disk") if cause == "HandlerError" else None)
    seat.end("Aborted", "why")
    assert seat.machine.is_active("Aborted")
    assert not seat.machine.is_active("RecoverPay")
    assert seat.machine.active_in("Script") is None


def test_a_failing_function_is_the_error_of_the_machine() -> None:
    seat = seated(SENDER)
    error = OSError("disk")
    seat.trouble("HandlerError", "Size.send raised OSError: disk", error)
    assert seat.machine.error is error
    assert seat.machine.is_active("Exception", "Trouble", "Aborted")
    assert not seat.machine.is_active("SessionUp")


def test_a_step_that_took_too_long_is_no_trouble_before_a_peer_is_given_up() -> None:
    seat = seated(SENDER)
    seat.trouble("StepTimeout", "nothing came", None)
    assert seat.machine.is_active("Size", "StepTimeout", "SessionUp")


@pytest.mark.parametrize("how", ["remove SessionUp", "add Closing", "add Trouble"])
def test_leaving_by_hand_aborts_the_role_and_tells_its_player_once(how: str) -> None:
    seat = seated(SENDER)
    verb, state = how.split()
    getattr(seat.machine, verb)(state)
    assert seat.machine.is_active("Trouble", "Aborted")
    assert seat.machine.active_in("Script") is None
    assert not seat.machine.is_active("SessionUp")
    assert owner_of(seat) == ["Aborted was entered by hand" if state == "Trouble" else "cancelled"]


def test_what_the_player_does_itself_is_not_told_to_it() -> None:
    seat = seated(SENDER)
    seat.trouble("Cancelled", "cancelled", None)
    seat.end("Aborted", "cancelled")
    seat.close()
    assert owner_of(seat) == []
    assert seat.machine.is_closed


# -- states of the user's own


class Progress(States):
    """Says that something is under way, for a progress bar; and what is to be shown when all is over."""

    Size: State[..., Any] = State()
    Send: State[..., Any] = State()
    Done: State[..., Any] = State()
    Idle: State[[], None] = State(auto=True)
    Busy: State[[], None] = State(require=[Send], auto=True, remove=[Idle])
    Report: State[[], None] = State(require=[Done])


@pytest.mark.parametrize(
    "states",
    [
        Progress,
        Progress.schema,
        {
            "Idle": {"auto": True},
            "Busy": {"require": ["Send"], "auto": True, "remove": ["Idle"]},
            "Report": {"require": ["Done"]},
        },
    ],
    ids=["class", "schema", "data"],
)
def test_states_of_the_users_own_follow_the_script(states: Any) -> None:
    seat = seated(SENDER, kind=machine_type(SENDER, states=states))
    machine = seat.machine
    assert machine.is_active("Size", "Idle")
    walk(seat, "size")
    assert machine.is_active("Busy")
    assert not machine.is_active("Idle")
    assert machine.add("Report").why == "Report requires Done, which is inactive"
    walk(seat, "final")
    assert machine.is_active("Idle")
    assert not machine.is_active("Busy")


def test_a_state_of_the_script_may_take_a_users_state_away_and_bring_one_along() -> None:
    states = {"Hint": {}, "Seen": {}, "Send": {"remove": ["Hint"], "add": ["Seen"]}}
    seat = seated(SENDER, kind=machine_type(SENDER, states=states))
    seat.machine.add("Hint")
    walk(seat, "size")
    assert seat.machine.is_active("Seen")
    assert not seat.machine.is_active("Hint")


@pytest.mark.parametrize(
    ("states", "code", "says"),
    [
        (
            {"Pause": {"remove": ["Send"]}},
            "AMC603",
            "Pause removes Send: while it is active, a step of the script",
        ),
        ({"Pause": {"remove": ["SessionUp"]}}, "AMC603", "Pause removes SessionUp"),
        ({"Pause": {"add": ["Send"]}}, "AMC603", "Pause adds Send: only the player enters"),
        ({"Ready": {}, "Send": {"require": ["Ready"]}}, "AMC603", "Send requires Ready: without Ready"),
        ({"Done": {"remove": ["SessionUp"]}}, "AMC603", "Done removes SessionUp"),
        ({"Send": {"auto": True}}, "AMC602", "its auto cannot be changed"),
        ({"Size": {"multi": True}}, "AMC602", "its multi cannot be changed"),
        (
            {"Pause": {"exclusive": ["modes"]}, "Send": {"exclusive": ["modes"]}},
            "AMC603",
            "Pause removes Send",
        ),
        ({"Busy": {"require": ["Sendd"]}}, "AMC604", "did you mean 'Send'"),
        ({"send": {}}, "AMC604", "differ only in case"),
    ],
)
def test_a_relation_that_could_refuse_a_step_is_an_error_with_its_reason(
    states: Any, code: str, says: str
) -> None:
    with pytest.raises(ChoreographyError) as info:
        schema_of(SENDER, extra=states)
    assert code in info.value.codes
    assert says in str(info.value)


def test_leaving_the_session_may_follow_from_a_users_state() -> None:
    seat = seated(SENDER, kind=machine_type(SENDER, states={"Enough": {"add": ["Closing"]}}))
    seat.machine.add("Enough")
    assert seat.machine.is_active("Aborted")
    assert owner_of(seat) == ["cancelled"]


def test_an_exclusive_group_of_a_class_is_looked_through() -> None:
    class Modes(States):
        Send: State[..., Any] = State()
        Quiet: State[[], None] = State()
        Modes = exclusive(Send, Quiet)

    with pytest.raises(ChoreographyError, match="Quiet removes Send"):
        schema_of(SENDER, extra=Modes)


def test_a_handler_of_the_user_that_vetoes_a_step_is_named() -> None:
    class Censor:
        def AwaitCheckHashEnter(self, event: Any) -> bool:
            return bool(event.args.data != b"bad")

    seat = seated(SENDER, handlers=[Censor()])
    walk(seat, "size")
    check = next(give for give in seat.state.gives if give.label == "check")
    args = StepArgs("", check.scene, "check", b"bad")
    assert not seat.step(SENDER.by_name[check.next], args, nothing)
    assert "Censor.AwaitCheckHashEnter" in seat.why
    assert seat.state.name == "Send"
    walk(seat, "check", data=b"good")


def test_handlers_of_the_user_run_after_the_functions_of_the_role() -> None:
    order: list[str] = []

    def handle(event: Event[StepArgs]) -> None:
        order.append(f"handler {event.args.data}")

    seat = seated(SENDER, handlers={"SendState": handle})
    walk(seat, "size", data=3, then=lambda: order.append("function"))
    assert order == ["function", "handler 3"]


def test_a_machine_that_is_through_closes_and_wakes_who_waits_for_what_never_comes() -> None:
    done: list[str] = []

    def note(event: Event[StepArgs]) -> None:
        event.machine.add("Note")

    seat = seated(ALICE, handlers={"DoneState": note}, kind=machine_type(ALICE, states={"Note": {}}))
    never = seat.machine.when_args("Trouble")
    never.then(lambda _: done.append("never"))
    walk(seat, "next", then=seat.close)
    assert seat.machine.is_closed
    assert seat.machine.is_active("Done", "Note")
    assert never.done
    assert not done


# -- from the middle


def test_a_plain_seat_becomes_a_machine_with_the_same_state_and_clocks() -> None:
    steps = ("size", "chunk", "chunk", "check", "ok", "chunk")
    plain, whole = TableSeat(SENDER), seated(SENDER)
    plain.step(SENDER.start, StepArgs(), nothing)
    for seat in (plain, whole):
        walk(seat, *steps)
    late = instead(plain, "s")
    assert late.state is plain.state
    assert late.machine.clock == whole.machine.clock
    assert late.machine.active == whole.machine.active
    walk(late, "chunk", "final")
    assert late.machine.is_active("AwaitCheckHash_final")


def test_a_plain_seat_that_aborted_becomes_an_aborted_machine() -> None:
    plain = TableSeat(SENDER)
    plain.step(SENDER.start, StepArgs(), nothing)
    plain.end("Aborted", "gone")
    machine = instead(plain, without=["receiver"]).machine
    assert machine.active == ("ReceiverLost", "Trouble", "Aborted")
    assert machine["Size"].tick == 2


def test_a_plain_seat_in_a_region_becomes_a_machine_in_it() -> None:
    plain = TableSeat(CUSTOMER)
    plain.step(CUSTOMER.start, StepArgs(), nothing)
    walk(plain, "order")
    assert instead(plain).machine.is_active("InPay", "SessionUp")


def test_an_exported_role_goes_on_where_it_stood_though_its_payload_was_not_plain() -> None:
    seat = seated(SENDER)
    walk(seat, "size", "chunk", data=object())
    data = json.loads(json.dumps(seat.machine.export()))
    again = MachineSeat.resume(SENDER, data)
    assert again.state is seat.state
    assert again.machine.clock == seat.machine.clock
    called: list[str] = []
    assert again.step(again.state, StepArgs(), lambda: called.append("standing"))
    assert called == ["standing"]
    assert again.machine["Send"].entries == 2
    walk(again, "chunk")
    assert again.machine["Send"].entries == 3


def test_an_export_of_another_role_is_refused() -> None:
    with pytest.raises(RestoreError):
        MachineSeat.resume(ALICE, seated(SENDER).machine.export())


def test_the_machine_of_a_role_is_named_by_session_and_role() -> None:
    machine: Machine = seated(ALICE).machine
    assert machine.id == "s/alice"
    assert type(machine).__name__ == "alice"


def test_a_region_that_starts_again_where_the_role_stands_enters_that_state_anew() -> None:
    seat = seated(CUSTOMER)
    plain = TableSeat(CUSTOMER)
    plain.step(CUSTOMER.start, StepArgs(), nothing)
    seat.peer_lost("bank", "gone")
    seat.peer_up("bank")
    for each in (seat, plain):
        assert each.recover("Pay", "bank", CUSTOMER.start, StepArgs(epoch=1), nothing)
    assert seat.machine.is_active("Order", "InPay", "SessionUp", "BankUp")
    assert seat.machine["Order"].tick == plain.ticks["Order"] == 3


def test_the_session_is_up_when_all_have_come_whom_the_first_step_needs() -> None:
    first = local(built.two_phase(), "k")
    seat = MachineSeat(first, kind=machine_type(first, states={"Early": {}}))
    seat.machine.add("Early")
    seat.peer_up("x")
    assert seat.machine.active == ("XUp", "Early")
    assert not seat.step(first.start, StepArgs(), nothing)
    assert seat.why == "Begin requires SessionUp, which is inactive"
    seat.peer_up("y")
    assert seat.machine.is_active("XUp", "YUp", "SessionUp", "Early")
    assert seat.step(first.start, StepArgs(), nothing)


def test_a_peer_that_a_region_can_do_without_does_not_keep_the_session_down() -> None:
    shop = schema_of(local(sale(), "shop"))
    assert shop["SessionUp"].require == ("CustomerUp",)
    assert schema_of(local(sale(), "bank"))["SessionUp"].require == ("ShopUp",)
