"""Who is asked, in which order, and with which arguments: section 4 of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import pytest

from amachine import (
    ArgsError,
    ErrorInfo,
    Event,
    Machine,
    Schema,
    SchemaError,
    State,
    StateDef,
    Tracer,
    Transition,
    any_enter,
    any_state,
)

Handler = Callable[[Event[Any]], Any]
Data = dict[str, dict[str, Any]]


class Heard:
    """Handlers that write down who was called, and say what they are told to."""

    def __init__(self, **answers: object) -> None:
        self.names: list[str] = []
        self.answers = answers

    def handlers(self, names: Iterable[str], who: str = "") -> dict[str, Handler]:
        return {name: self.handler(name, who) for name in names}

    def handler(self, name: str, who: str) -> Handler:
        def handle(event: Event[Any]) -> Any:
            self.names.append(who + event.name)
            return self.answers.get(name)

        return handle

    def taken(self) -> list[str]:
        names, self.names = self.names, []
        return names


def all_names(*states: str) -> list[str]:
    """Every handler that there can be for these states."""
    phases = [state + phase for state in states for phase in ("Enter", "Exit", "State", "End")]
    return [*phases, *(foo + bar for foo in states for bar in states), "AnyEnter", "AnyState"]


def machine_of(data: Data, names: Iterable[str], **answers: object) -> tuple[Machine, Heard]:
    heard = Heard(**answers)
    return Machine.of(data, "m", handlers=[heard.handlers(names)]), heard


# Order.


def test_a_transition_asks_exits_enters_selves_pairs_and_any_and_then_tells_ends_states_and_any() -> None:
    data: Data = {"A": {"remove": ["B"]}, "B": {"remove": ["A"]}, "C": {}, "D": {}}
    machine, heard = machine_of(data, all_names("A", "B", "C", "D"))
    machine.add("A", "C")
    assert heard.taken() == ["AEnter", "CEnter", "AnyEnter", "AState", "CState", "AnyState"]
    machine.set("B", "C", "D")
    assert heard.taken() == [
        *("AExit", "BEnter", "DEnter", "CC", "AB", "AD", "CB", "CD", "AnyEnter"),
        *("AEnd", "BState", "DState", "AnyState"),
    ]


def test_required_states_enter_before_those_that_require_them_and_leave_after_them() -> None:
    data: Data = {"Top": {"require": ["Middle"]}, "Middle": {"require": ["Base"]}, "Base": {}, "Other": {}}
    machine, heard = machine_of(data, all_names("Top", "Middle", "Base", "Other")[:16])
    machine.add("Top", "Middle", "Base", "Other")
    assert heard.taken() == [
        f"{state}{phase}" for phase in ("Enter", "State") for state in ("Base", "Middle", "Top", "Other")
    ]
    machine.set()
    assert heard.taken() == [
        f"{state}{phase}" for phase in ("Exit", "End") for state in ("Other", "Top", "Middle", "Base")
    ]


def test_after_is_respected_and_ties_go_by_declaration() -> None:
    data: Data = {"A": {"after": ["D"]}, "B": {}, "C": {"after": ["A"]}, "D": {}}
    machine, heard = machine_of(
        data, ["AEnter", "BEnter", "CEnter", "DEnter", "AEnd", "BEnd", "CEnd", "DEnd"]
    )
    machine.add("A", "B", "C", "D")
    assert heard.taken() == ["BEnter", "DEnter", "AEnter", "CEnter"]
    machine.remove("D", "C", "B", "A")
    assert heard.taken() == ["CEnd", "AEnd", "DEnd", "BEnd"]


def test_a_remove_asks_no_self_handlers() -> None:
    machine, heard = machine_of({"A": {}, "B": {}}, ["AA", "BB"])
    machine.add("A")
    machine.add("B")
    assert heard.taken() == ["AA"]
    machine.remove("B")
    assert heard.taken() == []


def test_a_re_entered_multi_state_is_asked_and_told_again_and_counts_as_a_self_too() -> None:
    machine, heard = machine_of({"A": {"multi": True}, "B": {}}, all_names("A", "B"))
    machine.add("A", "B")
    heard.taken()
    machine.add("A")
    assert heard.taken() == ["AEnter", "AA", "BB", "BA", "AnyEnter", "AState", "AnyState"]
    assert machine["A"].tick == 3


def test_pairs_are_asked_only_where_the_second_enters() -> None:
    machine, heard = machine_of({"A": {}, "B": {}, "C": {}}, ["AB", "BA", "AC", "CA", "BC", "CB"])
    machine.add("A", "B")
    assert heard.taken() == []
    machine.add("C")
    assert heard.taken() == ["AC", "BC"]
    machine.remove("C")
    assert heard.taken() == []


def test_each_handler_name_runs_on_several_objects_in_the_order_of_binding() -> None:
    heard = Heard()
    names = ["AEnter", "BEnter", "AState", "AnyState"]
    machine = Machine.of(
        {"A": {}, "B": {}}, "m", handlers=[heard.handlers(names, "1:"), heard.handlers(names, "2:")]
    )
    machine.add("A", "B")
    assert heard.taken() == [f"{who}:{name}" for name in names for who in (1, 2)]


def test_the_handlers_of_a_class_come_before_those_that_are_bound() -> None:
    heard = Heard()

    class Flow(Machine):
        ready = State()

        @ready.enter
        def mine(self, e: Event[None]) -> None:
            heard.names.append("class")

    Flow("f", handlers=[heard.handlers(["ready_enter"], "bound: ")]).ready.add()
    assert [name.partition(":")[0] for name in heard.taken()] == ["class", "bound"]


# Vetoes.


@pytest.mark.parametrize("name", ["AExit", "BEnter", "CC", "AB", "AnyEnter"])
def test_the_first_false_vetoes_and_nothing_has_changed(name: str) -> None:
    data: Data = {"A": {"remove": ["B"]}, "B": {"remove": ["A"]}, "C": {}}
    machine, heard = machine_of(
        data, ["AExit", "BEnter", "CC", "AB", "AnyEnter", "AEnd", "BState", "AnyState"]
    )
    machine.add("A", "C")
    heard.taken()
    heard.answers[name] = False
    before = machine.time
    result = machine.add("B")
    assert result.canceled
    assert name in result.why
    assert "said no" in result.why
    assert machine.time == before
    assert heard.taken()[-1] == name


@pytest.mark.parametrize("answer", [None, True, 0, "", []])
def test_only_false_vetoes(answer: object) -> None:
    machine, _ = machine_of({"A": {}}, ["AEnter"], AEnter=answer)
    assert machine.add("A").executed


@pytest.mark.parametrize("name", ["AState", "AnyState", "AEnd"])
def test_final_handlers_cannot_veto(name: str) -> None:
    machine, _ = machine_of({"A": {}}, [name], **{name: False})
    assert machine.add("A").executed
    assert machine.remove("A").executed


def test_nobody_is_asked_where_relations_refuse() -> None:
    machine, heard = machine_of({"A": {"require": ["B"]}, "B": {}}, all_names("A", "B"))
    assert machine.add("A").canceled
    assert heard.taken() == []


# Auto mutations in part.

PARTLY: Data = {
    "S": {},
    "X": {"auto": True, "remove": ["Y"]},
    "Y": {"auto": True, "remove": ["X"]},
    "Z": {"auto": True, "add": ["W"]},
    "W": {},
}


class Records(Tracer):
    def __init__(self) -> None:
        self.all: list[Transition] = []

    def transition_ended(self, machine: Machine, transition: Transition) -> None:
        self.all.append(transition)


def test_a_vetoed_auto_state_is_dropped_what_it_displaced_returns_and_the_rest_goes_on() -> None:
    machine, heard = machine_of(PARTLY, ["XEnter", "YEnter", "ZEnter", "WEnter", "AnyEnter"], XEnter=False)
    machine.add("S")
    assert machine.active == ("S", "Y", "Z", "W")
    assert heard.taken() == ["AnyEnter", "XEnter", "YEnter", "ZEnter", "WEnter", "AnyEnter"]


def test_no_handler_is_asked_twice_in_one_auto_mutation_but_those_of_other_objects_are() -> None:
    heard = Heard(ZEnter=False)
    names = ["XEnter", "YEnter", "ZEnter", "AnyEnter"]
    machine = Machine.of(PARTLY, "m", handlers=[heard.handlers(names, "1:"), heard.handlers(names, "2:")])
    machine.add("S")
    assert heard.taken()[2:] == ["1:XEnter", "2:XEnter", "1:ZEnter", "1:AnyEnter", "2:AnyEnter"]
    assert machine.active == ("S", "X")


def test_a_pair_handler_vetoes_an_entering_auto_state_out_of_the_mutation() -> None:
    machine, _ = machine_of(PARTLY, ["SX"], SX=False)
    machine.add("S")
    assert machine.active == ("S", "Y", "Z", "W")


@pytest.mark.parametrize(
    ("name", "data"), [("AnyEnter", PARTLY), ("SS", PARTLY), ("WEnter", PARTLY), ("SW", PARTLY)]
)
def test_any_other_veto_cancels_the_auto_mutation(name: str, data: Data) -> None:
    records = Records()

    def veto(event: Event[Any]) -> bool:
        return not event.transition.auto

    machine = Machine.of(data, "m", handlers=[{name: veto}], tracers=[records])
    assert machine.add("S").executed
    assert machine.active == ("S",)
    assert [each.accepted for each in records.all] == [True, False]


def test_an_auto_mutation_without_any_auto_state_left_is_canceled() -> None:
    records = Records()
    heard = Heard(XEnter=False, YEnter=False, ZEnter=False)
    names = ["XEnter", "YEnter", "ZEnter"]
    machine = Machine.of(PARTLY, "m", handlers=[heard.handlers(names)], tracers=[records])
    machine.add("S")
    assert machine.active == ("S",)
    assert records.all[1].auto
    assert not records.all[1].accepted
    assert records.all[1].why
    assert records.all[1].called == ("X", "Y", "Z")


def test_a_vetoed_auto_state_is_not_implied_either() -> None:
    data: Data = {"S": {}, "X": {"auto": True}, "Y": {"auto": True, "add": ["X"]}}
    machine, _ = machine_of(data, ["XEnter"], XEnter=False)
    machine.add("S")
    assert machine.active == ("S", "Y")


def test_an_active_auto_state_that_refuses_its_own_exit_cancels_and_stays() -> None:
    data: Data = {
        "S": {},
        "X": {"auto": True, "require": ["S"]},
        "Y": {"auto": True, "remove": ["X"], "require": ["S"]},
    }
    machine, heard = machine_of(data, ["YEnter", "XExit"], YEnter=False)
    machine.add("S")
    heard.answers.update(YEnter=None, XExit=False)
    machine.add("S")
    assert machine.active == ("S", "X")
    assert machine.error is None


def test_an_auto_mutation_never_causes_another_one() -> None:
    records = Records()
    data: Data = {"S": {}, "X": {"auto": True}, "Y": {"auto": True, "require": ["X"], "remove": []}}
    machine = Machine.of(data, "m", tracers=[records])
    machine.add("S")
    assert [each.auto for each in records.all] == [False, True]


@pytest.mark.parametrize("name", ["Healthcheck", "Heartbeat"])
def test_an_add_of_just_a_health_state_causes_no_auto_mutation(name: str) -> None:
    records = Records()
    data: Data = {name: {"multi": True}, "X": {"auto": True}, "S": {}}
    machine = Machine.of(data, "m", tracers=[records])
    machine.add(name)
    assert machine.active == (name,)
    machine.add(name, "S")
    assert machine.is_active("X")


# Arguments.


@attrs.frozen
class Job:
    path: str
    retries: int = 0


@attrs.frozen
class Note:
    text: str = "empty"


class Flow(Machine):
    start = State()
    job = State(Job, require=[start], multi=True)
    note = State(Note)
    both = State(add=[note])
    watcher = State(Note, auto=True, require=[job])


def listening() -> tuple[Flow, list[tuple[str, object]]]:
    """A machine, and what its handlers saw as their arguments."""
    seen: list[tuple[str, object]] = []

    def note(event: Event[Any]) -> None:
        seen.append((event.name, event.args))

    names = [
        f"{state}{phase}"
        for state in ("job", "note", "watcher")
        for phase in ("Enter", "Exit", "State", "End")
    ]
    return Flow("f", handlers=[dict.fromkeys([*names, "start_job", "AnyEnter", "AnyState"], note)]), seen


def args_of(seen: list[tuple[str, object]], name: str) -> list[object]:
    return [args for handler, args in seen if handler.casefold() == name.casefold()]


def test_enter_and_state_see_the_given_arguments_exit_and_end_those_of_the_activation() -> None:
    flow, seen = listening()
    flow.start.add()
    flow.job.add("a.txt", retries=2)
    flow.start.remove()
    for name in ("jobEnter", "jobState", "startjob", "jobExit", "jobEnd"):
        assert args_of(seen, name) == [Job("a.txt", 2)]


def test_a_re_entry_has_its_own_arguments_and_they_are_the_activations_from_then_on() -> None:
    flow, seen = listening()
    flow.start.add()
    flow.job.add("a.txt")
    flow.job.add("b.txt")
    flow.job.remove()
    assert args_of(seen, "jobState") == [Job("a.txt"), Job("b.txt")]
    assert args_of(seen, "jobEnd") == [Job("b.txt")]


def test_a_state_that_was_not_called_gets_empty_arguments_of_its_class() -> None:
    flow, seen = listening()
    flow.start.add()
    flow.job.add("a.txt")
    assert args_of(seen, "watcherEnter") == [Note()]
    flow.both.add()
    assert args_of(seen, "noteState") == [Note()]
    flow.note.remove()
    assert args_of(seen, "noteEnd") == [Note()]


def test_handlers_of_no_state_have_none_and_find_those_of_the_mutation_there() -> None:
    flow, seen = listening()
    given: list[object] = []

    def note(event: Event[Any]) -> None:
        given.append(event.mutation.args)

    flow.bind({"AnyEnter": note, "start_start": note})
    flow.start.add()
    flow.job.add("a.txt")
    assert set(args_of(seen, "AnyEnter")) == {None}
    assert Job("a.txt") in given


def test_a_state_that_cannot_be_entered_without_arguments_is_canceled_with_the_missing_names() -> None:
    flow, seen = listening()
    flow.start.add()
    seen.clear()
    result = flow.add("job")
    assert result.canceled
    assert "path" in result.why
    assert "retries" not in result.why
    assert not seen
    assert not flow.can_add("job")


@pytest.mark.parametrize("wrong", [{"auto": True}, {"add": True}])
def test_such_a_state_may_be_neither_auto_nor_in_an_add(wrong: dict[str, bool]) -> None:
    needy = StateDef("needy", args=Job, auto=wrong.get("auto", False))
    adder = StateDef("adder", add=("needy",) if wrong.get("add") else ())
    with pytest.raises(SchemaError, match="path"):
        Schema([needy, adder])


def test_several_states_go_in_one_mutation_if_they_need_no_arguments() -> None:
    flow, _ = listening()
    assert flow.add(Flow.start, Flow.note, Flow.both).executed
    with pytest.raises((TypeError, ArgsError)):
        flow.add("note", "job", path="a.txt")


def test_schemas_as_data_hand_keywords_to_all_states_that_they_call() -> None:
    seen: list[tuple[str, object]] = []

    def note(event: Event[Any]) -> None:
        seen.append((event.name, event.args))

    handlers = dict.fromkeys(["AEnter", "BState", "CEnter", "AEnd"], note)
    machine = Machine.of({"A": {"add": ["C"]}, "B": {}, "C": {}}, "m", handlers=[handlers])
    machine.add("A", "B", n=1)
    machine.remove("A", n=2)
    assert seen == [("AEnter", {"n": 1}), ("CEnter", {}), ("BState", {"n": 1}), ("AEnd", {"n": 1})]


def test_exception_has_its_error_as_arguments() -> None:
    infos: list[object] = []

    def hear(event: Event[ErrorInfo]) -> None:
        infos.append(event.args)

    machine = Flow("f", handlers=[{"ExceptionEnter": hear, "ExceptionState": hear, "ExceptionEnd": hear}])
    error = RuntimeError("told")
    machine.add_error(error)
    machine.remove(Machine.Exception)
    assert [info.error for info in infos if isinstance(info, ErrorInfo)] == [error] * 3


# Binding.


def test_handlers_can_be_bound_and_unbound_while_a_machine_is_used() -> None:
    machine, heard = machine_of({"A": {}}, [])
    extra = heard.handlers(["AEnter"], "late:")
    machine.add("A")
    machine.bind(extra)
    machine.remove("A")
    machine.add("A")
    assert heard.taken() == ["late:AEnter"]
    assert extra in machine.handlers
    machine.unbind(extra)
    machine.remove("A")
    machine.add("A")
    assert heard.taken() == []
    with pytest.raises(ValueError, match="not bound"):
        machine.unbind(extra)


def test_binding_in_a_handler_does_not_change_the_transition_that_runs() -> None:
    heard = Heard()
    late = heard.handlers(["AState", "BState"])

    def handler(event: Event[Any]) -> None:
        event.machine.bind(late)
        event.machine.add("B")

    machine = Machine.of({"A": {}, "B": {}}, "m", handlers=[{"AEnter": handler}])
    machine.add("A")
    assert heard.taken() == ["BState"]


def test_the_same_object_can_serve_two_machines() -> None:
    class Both:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def AEnter(self, event: Event[Any]) -> None:
            self.seen.append(event.machine.id)

    owner = Both()
    for name in ("one", "two"):
        Machine.of({"A": {}}, name, handlers=[owner]).add("A")
    assert owner.seen == ["one", "two"]


def test_under_a_prefix_names_are_read_as_if_each_state_began_so() -> None:
    class Ready:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def ReadyEnter(self, event: Event[Any]) -> None:
            self.seen.append(event.name)

        def lost_ready(self, event: Event[Any]) -> None:
            self.seen.append(event.name)

    owner = Ready()
    machine = Machine.of({"DbReady": {}, "DbLost": {}, "Ready": {}}, "m")
    machine.bind(owner, prefix="Db")
    machine.add("Ready")
    machine.add("DbLost")
    machine.add("DbReady")
    assert owner.seen == ["DbReadyEnter", "DbLostDbReady"]


def test_module_level_decorators_and_those_of_machine_are_the_same() -> None:
    seen: list[str] = []

    class Watched(Machine):
        a = State()

        @any_enter
        def before(self, e: Event[None]) -> None:
            seen.append(e.name)

        @any_state
        def after(self, e: Event[None]) -> None:
            seen.append(e.name)

    Watched("w").a.add()
    assert seen == ["AnyEnter", "AnyState"]
