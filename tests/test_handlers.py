"""Handlers are found, read and checked when they are bound: nothing wrong gets as far as the engine."""

from __future__ import annotations

import copy
import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any, TypeVar
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amachine._phases import Handler, Phase, Rule, handle
from amachine.declare import State, States, any_state
from amachine.errors import BindingError, SchemaError
from amachine.handlers import Call, Suite, split_handler_name, suite_of, suite_of_mapping
from amachine.schema import Schema, StateDef


def schema_of(*names: str, name: str = "Flow") -> Schema:
    return Schema([StateDef(name) for name in names], name=name)


F = TypeVar("F")
FLOW = schema_of("start", "processing", "tree_view")


def on(
    phase: Phase, state: str | None = None, other: str | None = None, *, timeout: float | None = None
) -> Callable[[F], F]:
    """A decorator, as a state's attribute of that name is one."""

    def decorate(fn: F) -> F:
        handle_as: Callable[[F, Rule], Any] = handle
        made: F = handle_as(fn, Rule(phase, state, other, timeout))
        return made

    return decorate


def bind(
    owner: type[Any], schema: Schema = FLOW, *, prefix: str = "", strict: bool = True, own: bool = False
) -> Suite:
    return suite_of(owner, schema, prefix=prefix, strict=strict, own=own)


def key(call: Call) -> tuple[Phase, int, int]:
    return call.phase, call.state, call.other


def run(suite: Suite, owner: object, event: object = "event") -> list[object]:
    return [call.fn(owner, event) for call in suite]


def no(_event: object) -> None:
    """A callable for a mapping."""


def method(self: object, event: object) -> None:
    """A method that can handle anything."""


def alone(*, event: object = None) -> None:
    """A function that takes nothing by position."""


def obj_with(**attributes: object) -> type[Any]:
    return type("Obj", (), attributes)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("ProcessingEnter", (Phase.ENTER, "processing", None)),
            ("processing_enter", (Phase.ENTER, "processing", None)),
            ("processingEnter", (Phase.ENTER, "processing", None)),
            ("Processing_Enter", (Phase.ENTER, "processing", None)),
            ("StartExit", (Phase.EXIT, "start", None)),
            ("StartState", (Phase.STATE, "start", None)),
            ("start_end", (Phase.END, "start", None)),
            ("start_task", (Phase.TASK, "start", None)),
            ("TreeViewState", (Phase.STATE, "tree_view", None)),
            ("tree_view_state", (Phase.STATE, "tree_view", None)),
            ("StartProcessing", (Phase.TO, "start", "processing")),
            ("start_processing", (Phase.TO, "start", "processing")),
            ("tree_view_start", (Phase.TO, "tree_view", "start")),
            ("StartStart", (Phase.STAY, "start", None)),
            ("start_start", (Phase.STAY, "start", None)),
            ("AnyEnter", (Phase.ANY_ENTER, None, None)),
            ("any_enter", (Phase.ANY_ENTER, None, None)),
            ("AnyState", (Phase.ANY_STATE, None, None)),
            ("any_state", (Phase.ANY_STATE, None, None)),
            ("ExceptionState", (Phase.STATE, "Exception", None)),
            ("exception_state", (Phase.STATE, "Exception", None)),
            ("start", None),
            ("Start", None),
            ("enter", None),
            ("AnyExit", None),
            ("AnyAny", None),
            ("startenter", None),
            ("restart_end_", None),
            ("_start_enter", None),
            ("__init__", None),
            ("", None),
        ],
    )
    def test_read_with_either_spelling(
        self, name: str, expected: tuple[Phase, str | None, str | None] | None
    ) -> None:
        assert split_handler_name(name, FLOW) == expected

    def test_are_cut_only_where_a_word_begins(self) -> None:
        schema = schema_of("s", "app", "on", "ly", "ext")
        for name in ("send", "append", "only", "extend", "SENTER"):
            assert split_handler_name(name, schema) is None
        assert split_handler_name("SEnd", schema) == (Phase.END, "s", None)
        assert split_handler_name("on_ly", schema) == (Phase.TO, "on", "ly")

    def test_states_in_one_capital(self) -> None:
        schema = schema_of("A", "B", "AB")
        assert split_handler_name("AB", schema) == (Phase.TO, "A", "B")
        assert split_handler_name("AA", schema) == (Phase.STAY, "A", None)
        assert split_handler_name("ABEnter", schema) == (Phase.ENTER, "AB", None)
        assert split_handler_name("ABAB", schema) == (Phase.STAY, "AB", None)

    @pytest.mark.parametrize(
        ("states", "name", "readings"),
        [
            (("A", "AA"), "AAA", ("A to AA", "AA to A")),
            (("A", "State"), "AState", ("State of A", "A to State")),
            (("A", "AState", "StateA"), "AStateA", ("AState to A", "A to StateA")),
            (("Foo", "End"), "foo_end", ("End of Foo", "Foo to End")),
            (("Any",), "AnyEnter", ("AnyEnter", "Enter of Any")),
        ],
    )
    def test_that_read_in_two_ways_are_refused(
        self, states: tuple[str, ...], name: str, readings: tuple[str, ...]
    ) -> None:
        with pytest.raises(BindingError, match="reads in two ways") as caught:
            split_handler_name(name, schema_of(*states))
        assert all(reading in str(caught.value) for reading in readings)
        with pytest.raises(BindingError, match="reads in two ways"):
            suite_of_mapping({name: no}, schema_of(*states))

    def test_a_state_called_like_a_handler_is_told_apart(self) -> None:
        schema = schema_of("A", "AState")
        assert split_handler_name("AState", schema) == (Phase.STATE, "A", None)
        assert split_handler_name("AStateState", schema) == (Phase.STATE, "AState", None)
        assert split_handler_name("AAState", schema) == (Phase.TO, "A", "AState")

    def test_without_a_word_in_front_are_no_handlers(self) -> None:
        for name in ("Enter", "enter", "_enter", "end", "State", "__state"):
            assert split_handler_name(name, FLOW) is None
            assert len(bind(obj_with(**{name: method}))) == 0

    @given(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,4}", fullmatch=True), min_size=1, max_size=4))
    def test_the_label_of_a_call_reads_as_that_call_or_in_two_ways(self, states: list[str]) -> None:
        try:
            schema = schema_of(*states)
        except SchemaError:
            return
        for state in schema.names:
            for other in schema.names:
                rules = [Rule(phase, state) for phase in Phase if not phase.name.startswith("ANY")]
                rules = [Rule(Phase.TO, state, other) if r.phase is Phase.TO else r for r in rules]
                rules = [rule for rule in rules if rule.phase is not Phase.TASK]
                owner = type("Owner", (), {"_fn": Handler(method, tuple(rules))})
                for call in bind(owner, schema):
                    try:
                        found = split_handler_name(call.name, schema)
                    except BindingError:
                        continue
                    names = (*schema.names, None)
                    assert found == (call.phase, names[call.state], names[call.other])


class TestDiscovery:
    def test_by_name_in_the_order_written(self) -> None:
        class Obj:
            def start_state(self, event: object) -> None: ...
            def ProcessingEnter(self, event: object) -> bool:
                return False

            def helper(self, a: int, b: int) -> None: ...
            def start_processing(self, event: object) -> None: ...
            def start_start(self, event: object) -> None: ...
            def any_state(self, event: object) -> None: ...
            async def processing_task(self, event: object) -> None: ...
            async def start_end(self, event: object) -> None: ...

        suite = bind(Obj)
        assert [call.name for call in suite] == [
            "StartState", "ProcessingEnter", "StartProcessing", "StartStart", "AnyState", "ProcessingTask", "StartEnd",
        ]  # fmt: skip
        assert [key(call) for call in suite] == [
            (Phase.STATE, 0, -1),
            (Phase.ENTER, 1, -1),
            (Phase.TO, 0, 1),
            (Phase.STAY, 0, -1),
            (Phase.ANY_STATE, -1, -1),
            (Phase.TASK, 1, -1),
            (Phase.END, 0, -1),
        ]
        assert [call.is_async for call in suite] == [False] * 5 + [True] * 2
        assert [call.where for call in suite][
            1
        ] == "TestDiscovery.test_by_name.Obj.ProcessingEnter".rpartition("test_by_name.")[2]
        assert suite.calls(Phase.TO, 0, 1)[0].subject == 1
        assert suite.calls(Phase.STAY, 0)[0].subject == 0
        assert suite.calls(Phase.ANY_STATE)[0].subject == -1
        assert suite.calls(Phase.EXIT, 0) == ()
        assert len(suite) == 7
        assert "ProcessingEnter" in repr(suite)

    def test_by_decorator_whatever_the_name(self) -> None:
        class Obj:
            @on(Phase.ENTER, "processing")
            def readable(self, event: object) -> str:
                return f"readable {event}"

            @on(Phase.TASK, "processing", timeout=3.0)
            async def _digest(self, event: object) -> None: ...

            @on(Phase.ANY_ENTER)
            def processing_exit(self, event: object) -> str:
                return "every one"

        readable, digest, every = bind(Obj)
        assert (readable.name, readable.where) == ("ProcessingEnter", "Obj.readable")
        assert readable.fn(Obj(), "e") == "readable e"
        assert (digest.name, digest.timeout, digest.is_async) == ("ProcessingTask", 3.0, True)
        assert key(every) == (Phase.ANY_ENTER, -1, -1)

    def test_stacked_decorators_make_several_calls(self) -> None:
        class Obj:
            @on(Phase.TO, "start", "processing")
            @on(Phase.TO, "start", "start")
            @on(Phase.EXIT, "start")
            def check(self, event: object) -> None: ...

        assert [key(call) for call in bind(Obj)] == [
            (Phase.EXIT, 0, -1),
            (Phase.STAY, 0, -1),
            (Phase.TO, 0, 1),
        ]

    def test_several_handlers_of_one_phase_run_in_the_order_written(self) -> None:
        class Obj:
            @on(Phase.ENTER, "start")
            def first(self, event: object) -> int:
                return 1

            def start_enter(self, event: object) -> int:
                return 2

            @on(Phase.ENTER, "start")
            def third(self, event: object) -> int:
                return 3

        suite = bind(Obj)
        assert [call.fn(Obj(), None) for call in suite.calls(Phase.ENTER, 0)] == [1, 2, 3]

    def test_what_is_no_handler_is_left_alone(self) -> None:
        class Obj:
            StartState: type | None = None

            class ProcessingState:
                """Data, though its name reads as a handler."""

            @property
            def start_enter(self) -> int:
                return 1

            start_end = 7

            def state(self) -> None: ...
            def send(self, event: object) -> None: ...
            def load_state(self) -> None: ...
            def save_state(self, path: str, mode: str) -> None: ...
            def _nothing_enter(self, event: object) -> None: ...

        assert len(bind(Obj)) == 0
        assert repr(bind(Obj)) == "<Suite Obj: no handlers>"

    def test_a_class_in_place_of_an_object_is_refused(self) -> None:
        class Obj:
            def start_state(self, event: object) -> None: ...

        with pytest.raises(BindingError, match="bind an object of it"):
            bind(type(Obj))

    def test_nothing_is_set_on_the_users_class(self) -> None:
        class Obj:
            def start_state(self, event: object) -> None: ...

        before = dict(vars(Obj))
        bind(Obj)
        assert dict(vars(Obj)) == before
        assert not vars(Obj.start_state)

    def test_static_class_partial_and_callable_attributes(self) -> None:
        class Ready:
            def __call__(self, event: object) -> object:
                return "callable", event

        class Obj:
            @staticmethod
            def start_enter(event: object) -> object:
                return "static", event

            @classmethod
            def start_exit(cls, event: object) -> object:
                return cls.__name__, event

            def _report(self, word: str, event: object) -> object:
                return type(self).__name__, word, event

            start_state = functools.partialmethod(_report, "partial")
            start_end = Ready()

            @on(Phase.ENTER, "processing")
            @staticmethod
            def alone(event: object) -> object:
                return "decorated", event

        class Sub(Obj): ...

        assert run(bind(Sub), Sub(), 1) == [
            ("static", 1),
            ("Sub", 1),
            ("Sub", "partial", 1),
            ("callable", 1),
            ("decorated", 1),
        ]

    def test_wrapped_functions_are_judged_by_what_they_wrap(self) -> None:
        def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(fn)
            def inner(*args: Any, **options: Any) -> Any:
                return fn(*args, **options)

            return inner

        class Obj:
            @logged
            def start_enter(self, event: object) -> str:
                return "ran"

        class Bad:
            @logged
            def start_enter(self) -> None: ...

        assert run(bind(Obj), Obj()) == ["ran"]
        with pytest.raises(BindingError, match="start_enter"):
            bind(Bad)


class TestOverriding:
    def test_a_plain_method_keeps_the_rules_and_the_place(self) -> None:
        class Base:
            @on(Phase.ENTER, "start")
            def check(self, event: object) -> list[str]:
                return ["base"]

            def start_exit(self, event: object) -> list[str]:
                return ["exit"]

        class Sub(Base):
            def start_state(self, event: object) -> list[str]:
                return ["state"]

            def start_exit(self, event: object) -> list[str]:
                return [*super().start_exit(event), "sub exit"]

            def check(self, event: object) -> list[str]:
                return [*super().check(event), "sub"]

        assert [call.name for call in bind(Sub)] == ["StartEnter", "StartExit", "StartState"]
        assert run(bind(Sub), Sub()) == [["base", "sub"], ["exit", "sub exit"], ["state"]]
        assert [call.where for call in bind(Sub)] == ["Sub.check", "Sub.start_exit", "Sub.start_state"]
        assert run(bind(Base), Base()) == [["base"], ["exit"]]

    def test_a_decorated_method_brings_its_own_rules(self) -> None:
        class Base:
            @on(Phase.ENTER, "start")
            def check(self, event: object) -> None: ...

        class Sub(Base):
            @on(Phase.EXIT, "processing")
            def check(self, event: object) -> None: ...

        assert [key(call) for call in bind(Sub)] == [(Phase.EXIT, 1, -1)]

    def test_none_takes_a_handler_away(self) -> None:
        class Base:
            @on(Phase.ENTER, "start")
            def check(self, event: object) -> None: ...

            def start_exit(self, event: object) -> None: ...

        class Without(Base):
            check = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            start_exit = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

        class Again(Without):
            def check(self, word: str) -> None: ...  # type: ignore[override]

        assert len(bind(Without)) == 0
        assert len(bind(Again)) == 0

    def test_something_else_in_place_of_a_handler_is_refused(self) -> None:
        class Base:
            @on(Phase.ENTER, "start")
            def check(self, event: object) -> None: ...

        class Sub(Base):
            check = 3  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

        with pytest.raises(BindingError, match=r"Sub.check: 3 hides a handler"):
            bind(Sub)

    def test_diamonds_bind_once_by_the_mro(self) -> None:
        class Root:
            def start_enter(self, event: object) -> str:
                return "root"

        class Left(Root):
            def start_enter(self, event: object) -> str:
                return "left " + super().start_enter(event)

        class Right(Root):
            def start_enter(self, event: object) -> str:
                return "right " + super().start_enter(event)

        class Both(Left, Right): ...

        assert run(bind(Both), Both()) == ["left right root"]

    def test_an_override_in_another_spelling_is_refused(self) -> None:
        class Base:
            def StartEnter(self, event: object) -> None: ...

        class Sub(Base):
            def start_enter(self, event: object) -> None: ...

        with pytest.raises(
            BindingError, match="start_enter: StartEnter is the same handler in another spelling"
        ):
            bind(Sub)
        with pytest.raises(BindingError, match="another spelling"):
            suite_of_mapping({"StartEnter": no, "startEnter": no}, FLOW)


class TestTypos:
    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("ProcesingEnter", "ProcessingEnter"),
            ("procesing_enter", "processing_enter"),
            ("TreeVewState", "TreeViewState"),
            ("tree_veiw_end", "tree_view_end"),
            ("AnyEnd", "AnyEnter"),
            ("StartProcesing", "StartProcessing"),
            ("ProcesingStart", "ProcessingStart"),
            ("startprocessing", "start_processing"),
            ("startstart", "start_start"),
            ("Exeption_state", "ExceptionState"),
        ],
    )
    def test_name_the_nearest_legal_name(self, name: str, nearest: str) -> None:
        owner = obj_with(**{name: method})
        with pytest.raises(BindingError, match="a handler of no state of Flow") as caught:
            bind(owner)
        error = caught.value
        assert (error.owner, error.handler, error.nearest) == ("Obj", name, nearest)
        assert f"did you mean {nearest!r}" in str(error)
        assert "underscore" in str(error)
        with pytest.raises(BindingError, match="no state") as caught:
            suite_of_mapping({name: no}, FLOW)
        assert caught.value.nearest == nearest
        assert len(bind(owner, strict=False)) == 0

    def test_a_capital_typo_is_refused_whatever_its_parameters(self) -> None:
        owner = obj_with(ProcesingEnter=alone)
        with pytest.raises(BindingError, match="ProcessingEnter"):
            bind(owner)

    def test_far_from_everything_still_says_what_is_wrong(self) -> None:
        owner = obj_with(XyzzyqwwEnter=method)
        with pytest.raises(BindingError, match="XyzzyqwwEnter: this is a handler of no state of Flow; if"):
            bind(owner)

    def test_a_decorator_with_an_unknown_state(self) -> None:
        for rule in (Rule(Phase.ENTER, "procesing"), Rule(Phase.TO, "start", "procesing")):
            owner = obj_with(check=Handler(method, (rule,)))
            with pytest.raises(BindingError, match=r"Obj.check: Flow has no state 'procesing'") as caught:
                bind(owner)
            assert (caught.value.state, caught.value.nearest) == ("procesing", "processing")

    def test_unnamed_schemas_read_well_too(self) -> None:
        schema = schema_of("start", name="")
        with pytest.raises(
            BindingError, match=r"^StatEnter: this is a handler of no state \(did you mean 'StartEnter'"
        ):
            suite_of_mapping({"StatEnter": no}, schema)
        with pytest.raises(BindingError, match="the schema has no state 'nope'"):
            bind(obj_with(check=on(Phase.ENTER, "nope")(method)), schema)

    def test_errors_can_be_copied_with_their_parts(self) -> None:
        with pytest.raises(BindingError) as caught:
            suite_of_mapping({"StatEnter": no}, FLOW)
        twin = copy.copy(caught.value)
        assert (str(twin), twin.nearest) == (str(caught.value), "StartEnter")


class Misfits:
    """What cannot be called with an object and an event, or as a staticmethod with the event."""

    def no_event(self) -> None: ...
    def too_much(self, event: object, more: object) -> None: ...
    def a_key(self, event: object, *, key: object) -> None: ...
    def by_name(self, *, event: object) -> None: ...
    @staticmethod
    def static(event: object, more: object) -> None: ...

    nothing = staticmethod(alone)
    partial = functools.partialmethod(method, 1)


class Fitting:
    """What can be."""

    def exactly(self, event: object) -> None: ...
    def a_default(self, event: object, more: object = 2) -> None: ...
    def some(self, *args: object) -> None: ...
    def all_of(*args: object, **options: object) -> None: ...
    def a_key(self, event: object, *, key: object = None) -> None: ...


def functions_of(owner: type[Any]) -> list[object]:
    return [value for attr, value in vars(owner).items() if not attr.startswith("__")]


class TestFunctions:
    @pytest.mark.parametrize(
        "name",
        [
            "start_enter",
            "start_exit",
            "start_state",
            "start_start",
            "start_processing",
            "any_enter",
            "any_state",
        ],
    )
    def test_async_is_refused_where_nothing_may_wait(self, name: str) -> None:
        async def waits(self: object, event: object) -> None: ...

        with pytest.raises(BindingError, match="use a `task`") as caught:
            bind(obj_with(**{name: waits}))
        assert caught.value.handler == name

    def test_async_is_found_inside_of_things(self) -> None:
        async def waits(self: object, event: object) -> None: ...

        class Waits:
            async def __call__(self, event: object) -> None: ...

            async def waits(self, event: object) -> None: ...

        inside: list[Any] = [
            staticmethod(functools.partial(waits, None)),
            functools.partialmethod(waits),
            Waits(),
            Waits().waits,
            functools.partial(Waits()),
        ]
        for thing in inside:
            with pytest.raises(BindingError, match="async def"):
                bind(obj_with(start_enter=thing))
        (call,) = suite_of_mapping({"StartTask": Waits()}, FLOW)
        assert call.is_async

    def test_a_task_has_to_be_async(self) -> None:
        with pytest.raises(BindingError, match=r"Task of start has to be `async def`"):
            bind(obj_with(start_task=method))

    @pytest.mark.parametrize("phase", ["state", "task"])
    def test_generators_are_refused(self, phase: str) -> None:
        def gen(self: object, event: object) -> Any:
            yield

        async def agen(self: object, event: object) -> Any:
            yield

        for fn in (gen, agen):
            with pytest.raises(BindingError, match="a generator cannot handle"):
                bind(obj_with(**{f"start_{phase}": fn}))

    @pytest.mark.parametrize("fn", functions_of(Misfits))
    def test_wrong_parameters_are_refused_with_the_signature(self, fn: Any) -> None:
        with pytest.raises(
            BindingError, match=r"Obj.start_enter: Enter of start is called with \("
        ) as caught:
            bind(obj_with(start_enter=fn))
        assert "but this takes (" in str(caught.value)
        assert "underscore" in str(caught.value)
        assert caught.value.state == "start"

    def test_a_decorated_function_gets_no_advice_about_its_name(self) -> None:
        with pytest.raises(BindingError) as caught:
            bind(obj_with(check=on(Phase.ENTER, "start")(alone)))
        assert str(caught.value).endswith(
            "Enter of start is called with (self, event), but this takes (*, event=None)"
        )

    @pytest.mark.parametrize("fn", functions_of(Fitting))
    def test_whatever_takes_object_and_event_will_do(self, fn: Any) -> None:
        assert run(bind(obj_with(start_enter=fn)), object()) == [None]

    def test_annotations_are_not_evaluated(self) -> None:
        scope: dict[str, Any] = {}
        exec(
            "from __future__ import annotations\nclass Obj:\n    def start_enter(self, event: Missing) -> Gone: ...",
            scope,
        )
        assert len(bind(scope["Obj"])) == 1


class TestPrefix:
    SCHEMA = schema_of("Ready", "DbReady", "DbStart", "db_lost", "Dbase")

    def test_names_and_decorators_leave_it_out(self) -> None:
        class Obj:
            def ReadyEnter(self, event: object) -> None: ...
            def start_ready(self, event: object) -> None: ...
            def any_state(self, event: object) -> None: ...
            def exception_state(self, event: object) -> None: ...

            @on(Phase.TO, "Ready", "Start")
            def check(self, event: object) -> None: ...

        assert [call.name for call in bind(Obj, self.SCHEMA, prefix="Db")] == [
            "DbReadyEnter", "DbStartDbReady", "AnyState", "ExceptionState", "DbReadyDbStart",
        ]  # fmt: skip
        assert split_handler_name("ReadyEnter", self.SCHEMA, prefix="Db") == (Phase.ENTER, "DbReady", None)
        assert split_handler_name("LostEnd", self.SCHEMA, prefix="db_") == (Phase.END, "db_lost", None)
        assert [call.state for call in suite_of_mapping({"StartEnd": no}, self.SCHEMA, "Db")] == [2]

    def test_agrees_with_that_of_a_schema(self) -> None:
        schema = FLOW.prefix("sub_")
        assert [
            key(call)
            for call in suite_of_mapping({"TreeViewEnter": no, "ExceptionState": no}, schema, "sub_")
        ] == [
            (Phase.ENTER, 2, -1),
            (Phase.STATE, schema.index["Exception"], -1),
        ]

    def test_other_states_are_not_handled_under_it(self) -> None:
        with pytest.raises(BindingError, match="did you mean 'ReadyEnter'"):
            suite_of_mapping({"DbReadyEnter": no}, self.SCHEMA, "Db")
        with pytest.raises(BindingError, match="Flow has no state 'DbLost'"):
            bind(
                obj_with(check=on(Phase.ENTER, "Lost")(method)),
                self.SCHEMA,
                prefix="Db",
            )

    def test_that_no_state_has(self) -> None:
        with pytest.raises(BindingError, match="no state of Flow begins with 'Nope'"):
            bind(object, self.SCHEMA, prefix="Nope")


class Base:
    """Stands for `Machine`: names of its own, which handlers must not take."""

    _reserved = frozenset({"close", "any_enter", "when_start", "start_machine"})

    def close(self) -> None: ...
    def when_start(self, event: object) -> None: ...
    def start_machine(self, event: object) -> None: ...

    any_enter = staticmethod(no)


class TestOwn:
    SCHEMA = schema_of("start", "machine", "when")

    def test_names_of_the_machine_are_no_handlers(self) -> None:
        class Flow(Base):
            def close(self) -> None: ...
            def start_enter(self, event: object) -> None: ...

            @on(Phase.STATE, "start")
            def begun(self, event: object) -> None: ...

        assert [call.name for call in bind(Flow, self.SCHEMA, own=True)] == ["StartEnter", "StartState"]

    def test_a_handler_may_not_hide_them(self) -> None:
        class Decorated(Base):
            @on(Phase.STATE, "start")
            def close(self, event: object) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]

        class Named(Base):
            def any_enter(self, event: object) -> None: ...

        for owner, attr in ((Decorated, "close"), (Named, "any_enter")):
            with pytest.raises(BindingError, match=f"{attr}: this hides an attribute of Machine") as caught:
                bind(owner, self.SCHEMA, own=True)
            assert (caught.value.owner, caught.value.handler) == (owner.__name__, attr)

    def test_any_other_object_may_be_called_so(self) -> None:
        class Obj:
            def any_enter(self, event: object) -> None: ...
            def when_start(self, event: object) -> None: ...

        assert [call.name for call in bind(Obj, self.SCHEMA)] == ["AnyEnter", "WhenStart"]


class TestMappings:
    def test_take_the_event_alone(self) -> None:
        seen: list[object] = []
        suite = suite_of_mapping({"StartState": seen.append, "any_state": repr}, FLOW)
        assert run(suite, "owner", "e") == [None, "'e'"]
        assert seen == ["e"]
        assert suite.owner == ""
        assert "(mapping)" in repr(suite)

    def test_say_where_their_functions_are_written(self) -> None:
        class Obj:
            def method(self, event: object) -> None: ...

        unnamed: Callable[[object], None] = lambda event: None  # noqa: E731
        handlers: dict[str, Any] = {
            "StartState": Obj().method,
            "StartEnd": no,
            "StartExit": unnamed,
            "AnyEnter": functools.partial(no),
        }
        where = [call.where for call in suite_of_mapping(handlers, FLOW)]
        assert where == ["Obj.method", "no", "StartExit", "AnyEnter"]

    def test_take_mocks(self) -> None:
        mock = Mock(return_value=False)
        (call,) = suite_of_mapping({"StartEnter": mock}, FLOW)
        assert call.fn(None, "e") is False
        mock.assert_called_once_with("e")

    @pytest.mark.parametrize("name", ["start", "close", "", "_start_enter", "startenter"])
    def test_every_name_has_to_be_that_of_a_handler(self, name: str) -> None:
        with pytest.raises(BindingError, match="a handler of no state"):
            suite_of_mapping({name: no}, FLOW)

    def test_every_value_has_to_be_callable(self) -> None:
        bad: Any = {"StartEnter": 3}
        with pytest.raises(BindingError, match="a callable that takes the event, not 3"):
            suite_of_mapping(bad, FLOW)

    def test_bad_functions_are_refused_without_advice_about_names(self) -> None:
        with pytest.raises(BindingError) as caught:
            suite_of_mapping({"StartEnter": method}, FLOW)
        assert str(caught.value).endswith("is called with (event), but this takes (self, event)")

    def test_the_names_of_the_conformance_vectors_bind(self) -> None:
        states = ("A", "B", "C", "D", "E", "F", "G", "H", "TreeLogView", "TreeMatrixView", "LogFocused")
        schema = schema_of(*states)
        names = [f"{state}{phase}" for state in states for phase in ("Enter", "Exit", "State", "End")]
        names += [f"{foo}{bar}" for foo in states for bar in states] + [
            "AnyEnter",
            "AnyState",
            "ExceptionState",
        ]
        suite = suite_of_mapping(dict.fromkeys(names, no), schema)
        assert [call.name for call in suite] == names
        assert len({key(call) for call in suite}) == len(names)


class TestCache:
    def test_the_same_suite_while_it_is_in_use(self) -> None:
        class Obj:
            def start_enter(self, event: object) -> None: ...

        suite = bind(Obj)
        assert bind(Obj) is suite
        assert bind(Obj, schema_of("start", "processing", "tree_view")) is suite
        assert bind(Obj, strict=False) is not suite
        assert bind(Obj, schema_of("start")) is not suite
        assert bind(type("Sub", (Obj,), {})) is not suite

    def test_keeps_neither_class_nor_suite_alive(self) -> None:
        class Root:
            def start_enter(self, event: object) -> None: ...

        class Obj(Root):
            def start_enter(self, event: object) -> None:
                super().start_enter(event)  # a cell of this function holds the class

        suite = bind(Obj)
        classes, suites = weakref.ref(Obj), weakref.ref(suite)
        del suite
        gc.collect()
        assert suites() is None
        del Obj
        gc.collect()
        assert classes() is None

    def test_a_refused_class_is_refused_again(self) -> None:
        class Obj:
            def start_enter(self) -> None: ...

        for _ in range(2):
            with pytest.raises(BindingError):
                bind(Obj)


class Files(States):
    """States in a class."""

    start = State()
    processing = State(require=[start])


class TestDeclared:
    """Together with what class bodies declare."""

    def test_the_decorators_of_states(self) -> None:
        class Obj:
            @Files.processing.enter
            def readable(self, event: Any) -> bool:
                return False

            @Files.start.to(Files.processing)
            def ready(self, event: Any) -> bool | None: ...

            @Files.start.stay
            def still(self, event: Any) -> bool | None: ...

            @Files.processing.task(timeout=2)
            async def digest(self, event: Any) -> None: ...

            @any_state
            def always(self, event: Any) -> None: ...

        class Sub(Obj):
            def readable(self, event: Any) -> bool:
                return not super().readable(event)

        suite = bind(Sub, Files.schema)
        assert [(call.label, call.timeout) for call in suite] == [
            ("Sub.readable (ProcessingEnter)", None),
            ("Obj.ready (StartProcessing)", None),
            ("Obj.still (StartStart)", None),
            ("Obj.digest (ProcessingTask)", 2),
            ("Obj.always (AnyState)", None),
        ]
        assert suite.calls(Phase.ENTER, 1)[0].fn(Sub(), None) is True

    def test_a_state_that_was_declared_again_is_the_same_to_handlers(self) -> None:
        class More(Files):
            start = Files.start.extend(tags=["first"])
            again = State()

            @start.to(Files.start)
            def still(self, event: Any) -> bool | None: ...

            def start_end(self, event: Any) -> None: ...

        suite = bind(More, More.schema, own=True)
        assert [call.label for call in suite] == ["More.still (StartStart)", "More.start_end (StartEnd)"]
        with pytest.raises(
            BindingError, match=r"More.still: Other has no state 'start' \(did you mean 'starts'"
        ):
            bind(More, schema_of("starts", name="Other"))
