"""Class bodies: what they may say, how it is inherited, and every mistake with the error that mends it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any, cast

import attrs
import pytest

from amachine._phases import Handler
from amachine.declare import (
    Group,
    Phase,
    Rule,
    State,
    States,
    StatesMeta,
    any_enter,
    any_state,
    exclusive,
    group,
    relate,
    reserve,
)
from amachine.errors import AmachineError, ArgsError, BindingError, SchemaError
from amachine.event import Event
from amachine.mutation import ErrorInfo
from amachine.schema import GroupDef, Schema, StateDef


@attrs.frozen
class Job:
    path: str
    retries: int = 0


@dataclass
class Opt:
    n: int = 0


EVENT = cast("Any", object.__new__(Event))


class Flow(States):
    start = State(doc="It runs.")
    processing = State(Job, require=[start], tags=["work"], limit=2)
    processed = State(Job)
    opt = State(Opt, multi=True)
    busy = State(auto=True, require=[processing], after=["opt"])
    phase = exclusive(processing, processed)
    shown = group(start, busy)
    _ = relate(start, add=[opt])
    _ = relate(opt, after=[start], remove=["later"])  # noqa: PIE794 - what this is about
    later = State()


class Runs(States):
    """Stands in for Machine: it can be made, and hands out what each state is bound to."""

    def __init__(self) -> None:
        self.bound: list[State[..., Any]] = []

    def _bind_state(self, state: State[..., Any]) -> object:
        self.bound.append(state)
        return (state.name, len(self.bound))


def refused(body: str, *, base: str = "States", kind: type[AmachineError] = SchemaError, **names: Any) -> Any:
    """Run a class statement that must fail, and return its error."""
    source = f"class Bad({base}):\n" + "\n".join(f"    {line}" for line in body.splitlines())
    with pytest.raises(kind) as caught:
        exec(source, {**globals(), **names})
    return caught.value


# What a class body says.


def test_a_class_has_the_schema_that_its_body_says() -> None:
    assert Flow.schema == Schema(
        [
            StateDef("start", add=("opt",)),
            StateDef("processing", require=("start",), args=Job, tags=("work",), limit=2),
            StateDef("processed", args=Job),
            StateDef("opt", args=Opt, multi=True, after=("start",), remove=("later",)),
            StateDef("busy", auto=True, require=("processing",), after=("opt",)),
            StateDef("later"),
            StateDef("Exception", multi=True, args=ErrorInfo),
        ],
        groups=[
            GroupDef("phase", ("processing", "processed"), exclusive=True),
            GroupDef("shown", ("start", "busy")),
        ],
    )
    assert Flow.schema.name == "Flow"


def test_two_relates_to_underscore_are_both_kept() -> None:
    assert Flow.schema["start"].add == ("opt",)
    assert Flow.schema["opt"].after == ("start",)


def test_a_state_of_a_class_knows_its_name_owner_definition_and_arguments() -> None:
    assert Flow.processing.name == "processing"
    assert Flow.processing.owner is Flow
    assert Flow.processing.definition is Flow.schema["processing"]
    assert Flow.start.definition.doc == "It runs."
    assert Flow.processing.args is Job
    assert str(Flow.start) == "start"
    assert repr(Flow.start) == "<State Flow.start>"
    assert repr(State()) == "<State (unnamed)>"
    with pytest.raises(SchemaError, match="belongs to no class of states yet"):
        _ = State().definition


def test_build_makes_the_arguments() -> None:
    assert Flow.processing.build("x", retries=1) == Job("x", 1)
    assert Flow.opt.build() == Opt()
    assert Flow.start.build() is None
    with pytest.raises(TypeError, match="path"):
        Flow.processing.build()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(ArgsError, match="state 'start' takes no arguments") as caught:
        Flow.start.build(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert caught.value.state == "start"


def pickled(it: Any) -> Any:
    return pickle.loads(pickle.dumps(it))


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_of_a_declaration_is_itself(twin: Any) -> None:
    assert twin(Flow.start) is Flow.start
    assert twin(Flow.phase) is Flow.phase
    with pytest.raises(TypeError, match="cannot be copied before its class exists"):
        twin(State())


def test_groups_have_names_members_and_can_be_unpacked() -> None:
    assert isinstance(Flow.phase, Group)
    assert Flow.phase.name == "phase"
    assert Flow.phase.members == ("processing", "processed")
    assert Flow.phase.exclusive
    assert not Flow.shown.exclusive
    assert list(Flow.phase) == [Flow.processing, Flow.processed]
    assert len(Flow.phase) == 2
    assert Flow.processed in Flow.phase
    assert "processing" in Flow.phase
    assert Flow.start not in Flow.phase
    assert repr(Flow.phase) == "<Group phase = exclusive(processing, processed)>"

    class Sub(Flow):
        idle = State(remove=Flow.phase)
        other = State(remove=[*Flow.shown, "idle"])

    assert Sub.schema["idle"].remove == ("processing", "processed")
    assert Sub.schema["other"].remove == ("start", "busy", "idle")


def test_an_exclusive_group_without_a_name_relates_only() -> None:
    class Switch(States):
        on = State()
        off = State()
        _ = exclusive(on, off)

    assert Switch.schema["on"].remove == ("off",)
    assert Switch.schema["off"].remove == ("on",)
    assert Switch.schema.groups == {}


def test_a_class_made_by_a_call_is_the_same() -> None:
    a = State()
    made: Any = StatesMeta("Made", (States,), {"a": a, "b": State(require=[a])})
    assert made.schema == Schema(
        [StateDef("a"), StateDef("b", require=("a",)), StateDef("Exception", multi=True, args=ErrorInfo)]
    )


def test_what_is_deleted_in_the_body_is_not_declared() -> None:
    class Gone(States):
        a = State()
        b = State()
        del b

    assert Gone.schema.names == ("a", "Exception")


def test_the_schema_is_there_for_init_subclass() -> None:
    seen: list[tuple[str, ...]] = []

    class Base(States):
        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)
            seen.append(cls.schema.names)

    class Sub(Base):
        a = State()

    assert seen == [("a", "Exception")]
    assert Sub.schema is Sub.schema


def test_class_options_reach_init_subclass() -> None:
    class Base(States):
        option: int

        def __init_subclass__(cls, *, option: int = 0) -> None:
            cls.option = option

    class Sub(Base, option=3):
        pass

    assert Sub.option == 3


def test_states_are_never_made() -> None:
    with pytest.raises(TypeError, match=r"Flow only declares states: write `class Flow\(Machine, Flow\)`"):
        Flow()


# Exception.


def test_exception_is_last_unless_declared() -> None:
    assert Flow.schema.names[-1] == "Exception"
    assert States.schema.names == ("Exception",)
    assert Flow.Exception is States.Exception

    class Declares(States):
        a = State()
        Exception = States.Exception.extend(remove=[a])
        b = State()

    class Inherits(Declares):
        c = State()

    class Mixed(Flow, Inherits):
        pass

    assert Declares.schema.names == ("a", "Exception", "b")
    assert Declares.schema["Exception"] == StateDef("Exception", remove=("a",), multi=True, args=ErrorInfo)
    assert Inherits.schema.names == ("a", "Exception", "b", "c")
    assert Mixed.schema.names == (*Flow.schema.names[:-1], "a", "Exception", "b", "c")
    assert Mixed.schema["Exception"].remove == ("a",)


def test_a_plain_exception_is_still_multi_and_has_the_arguments_of_the_engine() -> None:
    class Declares(States):
        Exception: Any = State()
        a = State(require=["Exception"])

    assert Declares.schema["Exception"] == StateDef("Exception", multi=True, args=ErrorInfo)
    assert Declares.schema.names == ("Exception", "a")


def test_exception_may_be_related() -> None:
    class Relates(States):
        ready = State()
        _ = relate("Exception", remove=[ready])

    assert Relates.schema.names == ("ready", "Exception")
    assert Relates.schema["Exception"].remove == ("ready",)
    assert States.schema["Exception"].remove == ()


# Inheritance.


class A(States):
    a = State()
    shared = State()


class B(States):
    b = State()
    shared = State(multi=True)


def test_the_states_of_the_bases_come_first_in_their_order() -> None:
    class Both(B, A):
        own = State()

    assert Both.schema.names == ("b", "shared", "a", "own", "Exception")
    assert Both.schema["shared"].multi, "as the attribute is that of the first base"
    assert Both.shared is B.shared


def test_a_redeclared_state_keeps_its_place() -> None:
    class Sub(Flow):
        new = State()
        processing: Any = State(tags=["again"])

    assert Sub.schema.names == (*Flow.schema.names[:-1], "new", "Exception")
    assert Sub.schema["processing"] == StateDef("processing", tags=("again",), remove=("processed",))


def test_a_diamond_says_everything_once() -> None:
    class Left(A):
        left = State()
        _ = relate(A.a, after=[left])

    class Right(A):
        right = State()
        a = A.a.extend(require=[right])

    class Bottom(Left, Right):
        bottom = State()
        a = Left.a.extend(tags=["bottom"])

    assert Bottom.schema.names == ("a", "shared", "left", "right", "bottom", "Exception")
    assert Bottom.schema["a"] == StateDef("a", require=("right",), after=("left",), tags=("bottom",))
    assert A.schema["a"] == StateDef("a")
    assert Left.schema["a"] == StateDef("a", after=("left",))
    assert Right.schema["a"] == StateDef("a", require=("right",))


def test_what_a_base_relates_does_not_outlive_a_full_redeclaration() -> None:
    class Base(States):
        a = State()
        b = State()
        _ = relate(a, add=[b])

    class Sub(Base):
        a = State(auto=True)

    class Extends(Base):
        a = Base.a.extend(auto=True)

    assert Sub.schema["a"] == StateDef("a", auto=True)
    assert Extends.schema["a"] == StateDef("a", auto=True, add=("b",))


def test_extend_relate_and_exclusive_never_alter_the_base() -> None:
    before = Flow.schema
    told = before.to_dict()

    class Sub(Flow):
        start = Flow.start.extend(require=["extra"], auto=True)
        opt = Flow.opt.replace(after=[], multi=False)
        extra = State()
        _ = relate(Flow.later, after=[extra])
        _either = exclusive(Flow.later, Flow.busy)
        more = exclusive(Flow.processed, extra)

    assert Flow.schema is before
    assert before.to_dict() == told
    assert Flow.start.definition == StateDef("start", add=("opt",))
    assert Flow.start.owner is Flow
    assert Sub.schema["start"] == StateDef("start", add=("opt",), require=("extra",), auto=True)
    assert Sub.schema["opt"] == StateDef("opt", args=Opt, remove=("later",))
    assert Sub.schema["later"] == StateDef("later", after=("extra",), remove=("busy",))
    assert Sub.schema["processed"].remove == ("processing", "extra")
    assert Sub.start.owner is Sub
    assert Sub.opt.args is Opt


def test_a_change_may_follow_a_change() -> None:
    class Sub(A):
        a = A.a.extend(tags=["x"]).replace(multi=True).extend(tags=["y"])
        fresh = State(tags=["z"]).extend(after=["a"])

    assert Sub.schema["a"] == StateDef("a", tags=("x", "y"), multi=True)
    assert Sub.schema["fresh"] == StateDef("fresh", tags=("z",), after=("a",))


def test_relations_to_an_inherited_state_mean_the_redeclared_one() -> None:
    class Sub(A):
        a = A.a.extend(multi=True)
        c = State(require=[A.a])

    class Again(Sub):
        d = State(require=[A.a, Sub.a])

    assert Sub.schema["c"].require == ("a",)
    assert Again.schema["d"].require == ("a",)


def test_a_state_may_be_repeated_under_its_name() -> None:
    class Sub(A):
        a = A.a
        c = State(require=[a])

    assert Sub.schema.names == ("a", "shared", "c", "Exception")
    assert Sub.a is A.a


def test_a_group_may_be_redeclared() -> None:
    class Sub(Flow):
        phase = exclusive(Flow.processed, Flow.later)

    assert Sub.schema.groups["phase"] == GroupDef("phase", ("processed", "later"), exclusive=True)
    assert Sub.schema["processed"].remove == ("later",)
    assert Sub.schema["processing"].remove == ()
    assert Flow.schema["processing"].remove == ("processed",)


def test_bases_that_are_no_states_are_let_be() -> None:
    class Mixin:
        def helper(self) -> int:
            return 1

    class Sub(Mixin, A):
        c = State()

    assert Sub.schema.names == ("a", "shared", "c", "Exception")


# Mistakes.


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("a = State()\na = State()", "Bad: the name 'a' of a state is given twice: rename one of the two"),
        ("a = State()\ndef a(self): ...", "Bad: the name 'a' of a state is given twice"),
        ("def a(self): ...\na = State()", "Bad: the name 'a' of a state is given twice"),
        (
            "a = State()\nb = State()\ng = group(a)\ng = group(b)",
            "Bad: the name 'g' of a group is given twice",
        ),
        ("a = State()\nb = a", "Bad: one state is assigned to two names, 'a' and 'b': make one for each"),
        ("State()", "Bad: the state on line 2 is not assigned to a name: write `name = State(…)`"),
        ("a = State(require=[State()])", "Bad: the state on line 2 is not assigned to a name"),
        (
            "a = State()\nrelate(a, add=['a'])",
            "Bad: the relation on line 3 is not assigned to a name: write `_ = relate(…)`",
        ),
        (
            "a = State()\nexclusive(a, 'b')",
            "Bad: the group on line 3 is not assigned to a name: write `name = exclusive(…)`",
        ),
        ("_a = State()", "Bad: the name '_a' of a state begins with an underscore: rename it"),
        (
            "a = State(require=[loose])",
            "Bad: the require of 'a' names a state that is not assigned to a name of this class",
        ),
        ("a = State()\n_ = relate(a, add=[loose])", "Bad: relate(add=…) names a state that is not assigned"),
        ("a = State()\ng = exclusive(a, loose)", "Bad: the group 'g' names a state that is not assigned"),
        (
            "a = State(require=[Flow.start])",
            "Bad: the require of 'a' names the state 'start' of Flow, which is no base of Bad",
        ),
        (
            "a = State(require=[Flow.start])",
            "which is no base of Bad: inherit from Flow, or declare a state of its own",
        ),
        (
            "start = Flow.start",
            "Bad: 'start' is assigned the state 'start' of Flow: inherit from Flow, or declare",
        ),
        (
            "start = Flow.start.extend()",
            "Bad: the change of 'start' names the state 'start' of Flow, which is no base",
        ),
        (
            "a = State(require=['strat'])\nstart = State()",
            "Bad: state 'a' has 'strat' in its require, but no such state is declared (did you mean 'start'?)",
        ),
        (
            "start = State()\n_ = relate('strat', add=['start'])",
            "Bad: relate() names 'strat', but no such state is declared (did you mean 'start'?): declare it",
        ),
        (
            "start = State()\n_ = exclusive('strat', 'start')",
            "Bad: exclusive() names 'strat', but no such state is declared (did you mean 'start'?)",
        ),
        (
            "start = State()\ng = exclusive('strat', 'start')",
            "Bad: group 'g' has the member 'strat', but no such state is declared (did you mean 'start'?)",
        ),
        (
            "a = State()\na2 = a.extend()",
            "Bad: 'a2' is made from <State Bad.a>: only an inherited state is changed, under its own name",
        ),
        ("a = State(require='b')", "require='b' is one state: write require=[…]"),
        ("b = State()\na = State(add=b)", "is one state: write add=[…]"),
        ("a = State(after=5)", "after=5 is no list of states"),
        ("a = State(after=[5])", "after has 5: write a State, or the name of one"),
        ("a = State(after=[Flow.phase])", "unpack it: [*group]"),
        (
            "a = State(require=[Exception])",
            "require has Python's Exception: the state is named by the string 'Exception'",
        ),
        ("a = State(5)", "State(5): its arguments are built by a class or function, or there are none"),
        ("a = State(limit=0)", "Bad: state 'a' has 0 as its limit: it must be None or a whole number above 0"),
        ("a = State(auto=1)", "Bad: state 'a' has 1 as its auto: it must be True or False"),
        ("a = State(tags='x')", "Bad: state 'a' has 'x' as its tags: write ['x']"),
        ("a = State()\ng = exclusive(a)", "exclusive() takes two states or more, not 1: name them"),
        ("g = group()", "group() takes one state or more: name them"),
        ("a = State()\nA = State()", "Bad: states 'a' and 'A' differ only in case or underscores: rename one"),
        ("a = State(require=['a'])", "Bad: state 'a' requires itself"),
        (
            "a = State()\nb = State(require=[a])\ng = exclusive(a, b)",
            "Bad: state 'b' both requires and removes 'a' (by the exclusive group 'g')",
        ),
        (
            "a = State(require=['b'])\nb = State(after=[a])",
            "Bad: there is a cycle of require and after: 'a' requires 'b', 'b' comes after 'a'",
        ),
        (
            "a = State(Job, auto=True)",
            "Bad: state 'a' is auto, but its arguments Job cannot be built without path",
        ),
        (
            "a = State(Job)\nb = State(add=[a])",
            "Bad: state 'b' adds 'a', but its arguments Job cannot be built without path",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_class_body(body: str, text: str) -> None:
    assert text in str(refused(body, loose=State()))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("start = 5", "Bad: Bad.start hides the state 'start': rename one of the two"),
        ("def start(self): ...", "Bad: Bad.start hides the state 'start'"),
        ("phase = 5", "Bad: Bad.phase hides the group 'phase'"),
        ("phase = State()", "Bad.phase hides the group 'phase'"),
        ("begin = Flow.start", "Bad: 'begin' is assigned the state 'start' of Flow"),
        (
            "begin = Flow.start.extend()",
            "Bad: 'begin' is made from <State Flow.start>: only an inherited state is changed",
        ),
        (
            "begin = relate(Flow.start, require=['busy'])",
            "Bad: there is a cycle of require: 'start' requires 'busy'",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_subclass(body: str, text: str) -> None:
    assert text in str(refused(body, base="Flow"))


def test_a_name_that_every_machine_has_is_refused() -> None:
    reserve(["export_for_test"])
    says = "Bad: the name 'export_for_test' of a {} is an attribute of every machine: rename it"
    assert says.format("state") in str(refused("export_for_test = State()"))
    assert says.format("group") in str(refused("a = State()\nexport_for_test = group(a)"))
    error = refused("a = State()\n@a.enter\ndef export_for_test(self, e): ...", kind=BindingError)
    assert "Bad.export_for_test: the handler would hide what every machine has as 'export_for_test'" in str(
        error
    )
    assert (error.owner, error.handler) == ("Bad", "export_for_test")
    assert Schema.parse({"export_for_test": {}}).names[0] == "export_for_test", "schemas as data are free"


def test_the_names_that_a_base_reserves_are_refused() -> None:
    class Base(States):
        _reserved = frozenset({"only_here"})

    assert "is an attribute of every machine" in str(refused("only_here = State()", base="Base", Base=Base))

    class Free(States):
        only_here = State()

    assert "is an attribute of every machine" in str(refused("pass", base="Base, Free", Base=Base, Free=Free))


# Handlers.


def test_decorators_write_down_rules_and_set_nothing_on_functions() -> None:
    def plain(self: object, e: object) -> None: ...
    def plain_veto(self: object, e: object) -> None: ...

    class Handles(States):
        a = State()
        b = State(Job)
        c = State(Job)

        @c.enter
        @b.exit
        def both(self, e: Event[Any]) -> bool:
            return True

        acts = a.state(plain)
        ends = a.end(plain)

        @b.task
        async def work(self, e: Any) -> None: ...

        @b.task(timeout=3)
        async def timed(self, e: Any) -> None: ...

        @a.to(b)
        def to_b(self, e: Any) -> bool:
            return True

        @a.stay
        def stays(self, e: Any) -> bool:
            return True

        anything = any_enter(plain_veto)
        done = any_state(plain)

    a, b = Handles.a, Handles.b
    found = {name: value for name, value in vars(Handles).items() if isinstance(value, Handler)}
    assert {name: handler.rules for name, handler in found.items()} == {
        "both": (Rule(Phase.EXIT, b), Rule(Phase.ENTER, Handles.c)),
        "acts": (Rule(Phase.STATE, a),),
        "ends": (Rule(Phase.END, a),),
        "work": (Rule(Phase.TASK, b),),
        "timed": (Rule(Phase.TASK, b, timeout=3),),
        "to_b": (Rule(Phase.TO, a, b),),
        "stays": (Rule(Phase.STAY, a),),
        "anything": (Rule(Phase.ANY_ENTER),),
        "done": (Rule(Phase.ANY_STATE),),
    }
    assert {name: handler.name for name, handler in found.items()} == {name: name for name in found}
    assert vars(plain) == {}
    assert repr(found["both"]) == "<Handler both: b.exit, c.enter>"
    assert repr(found["to_b"]) == "<Handler to_b: a.to(b)>"
    assert repr(found["done"]) == "<Handler done: any_state>"
    assert repr(found["anything"]) == "<Handler anything: any_enter>"


def test_a_handler_is_a_method_for_everybody_else() -> None:
    class Base(Runs):
        a = State()

        @a.enter
        def check(self, e: Event[None]) -> bool:
            return e is EVENT

    class Sub(Base):
        def check(self, e: Event[None]) -> bool:
            return not super().check(e)

    assert Base().check(EVENT) is True
    assert Sub().check(EVENT) is False
    assert Base.check(Base(), EVENT) is True


def test_a_handler_may_be_static_or_any_callable() -> None:
    class Accepts:
        def __call__(self, machine: object, e: object) -> bool:
            return True

    def takes_the_event(e: object) -> bool:
        return True

    static: Any = staticmethod(takes_the_event)

    class Base(Runs):
        a = State()
        entered: Any = a.enter(static)
        left: Any = a.exit(Accepts())

    assert Base().entered(EVENT) is True
    assert isinstance(Base().left, Accepts)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("@a.enter\ndef f(self, e): ...\n@a.exit\ndef f(self, e): ...", "Bad.f: is defined twice"),
        ("@a.enter\ndef f(self, e): ...\ndef f(self, e): ...", "Bad.f: is defined twice"),
        ("a.enter(5)", "@a.enter stands before a function, not before 5"),
        ("a.to(b)(5)", "@a.to(b) stands before a function"),
        ("a.to(a)", "a.to(a) is written a.stay"),
        ("a.task(timeout=0)", "a.task(timeout=0): seconds, more than 0"),
        ("a.task(timeout=float('nan'))", "a.task(timeout=nan)"),
    ],
)
def test_a_mistake_with_handlers(body: str, text: str) -> None:
    assert text in str(refused(f"a = State()\nb = State()\n{body}", kind=BindingError))


def test_phases_know_whether_they_may_veto() -> None:
    vetoing = {phase for phase in Phase if phase.veto}
    assert vetoing == {Phase.ENTER, Phase.EXIT, Phase.TO, Phase.STAY, Phase.ANY_ENTER}


# States of an object.


def test_a_state_of_an_object_is_bound_once() -> None:
    class Machine(Runs):
        a = State()
        b = State()

    one, two = Machine(), Machine()
    assert one.a is one.a
    assert one.b is not one.a
    assert [state.name for state in one.bound] == ["a", "b"]
    assert one.a is not two.a
    assert vars(one)["a"] is one.a


def test_super_does_not_spoil_what_a_subclass_has() -> None:
    class Machine(Runs):
        a = State()

    class Sub(Machine):
        a = Machine.a.extend(multi=True)

        def base_state(self) -> Any:
            return super().a

    sub = Sub()
    assert sub.base_state() is not None
    assert "a" not in vars(sub)
    assert sub.a is sub.a
    assert sub.bound == [Machine.a, Sub.a]


def test_an_object_without_a_dict_is_bound_each_time() -> None:
    class Machine(States):
        __slots__ = ("count",)
        a = State()

        def __init__(self) -> None:
            self.count = 0

        def _bind_state(self, state: State[..., Any]) -> int:
            self.count += 1
            return self.count

    machine: Any = Machine()
    assert (machine.a, machine.a) == (1, 2)


def test_a_state_in_any_other_class_is_no_state() -> None:
    class Plain:
        a = State()

    with pytest.raises(TypeError, match="declared in Plain, which is no Machine: inherit from Machine"):
        _ = Plain().a
    assert isinstance(Plain.a, State)
