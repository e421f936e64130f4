"""The kit for users' tests: paths and walks, strategies and models, recorders, and assertions that tell the story."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import anyio
import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

import amachine.testing
from amachine import Event, Kind, Machine, Recorder, Schema, State, UnknownState, binding, exclusive
from amachine.exploring import Move, explore
from amachine.testing import (
    MachineModel,
    Path,
    assert_active,
    assert_error,
    assert_executed,
    assert_inactive,
    assert_no_error,
    assert_refused,
    assert_waits,
    check_paths,
    mutations,
    paths,
    perform,
    recorder_of,
    recording,
    schemas,
    story,
    virtual_time,
    walk,
)
from tests.zoo import ANIMALS


@attrs.frozen
class Drink:
    name: str
    sugar: int = 0


class Bar(Machine):
    power = State()
    water = State()
    ready = State(auto=True, require=[power, water])
    brewing = State(Drink, require=[ready])
    cleaning = State(require=[power])
    hands = exclusive(brewing, cleaning)

    @brewing.state
    def brew(self, e: Event[Drink]) -> None:
        if e.args.name == "soup":
            raise ValueError("we have no soup")


class Grumpy(Bar):
    @Bar.cleaning.enter
    def not_now(self, e: Event[None]) -> bool:
        return False


DRINK = {"brewing": {"name": "tea"}}


# Paths and walks.


def test_every_name_of_the_kit_is_there() -> None:
    for name in amachine.testing.__all__:
        assert getattr(amachine.testing, name) is not None
    assert dir(amachine.testing) == sorted(amachine.testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'assert_actve'"):
        _ = getattr(amachine.testing, "assert_" + "actve")


@given(schema=schemas())
@settings(max_examples=20)
def test_paths_activate_every_state_and_meet_every_refusal_of_a_schema(schema: Schema) -> None:
    found = explore(schema)
    refused: set[tuple[Move, str]] = set()
    entered: set[str] = set()
    for path in paths(schema):
        machine = Machine.of(schema)
        before = machine.clock
        walk(machine, path)
        entered |= machine.clock.since(before).keys()
        refused |= {(stage.move, stage.why) for stage in path.stages if stage.why}
    assert refused == {(edge.move, edge.why) for edge in found.refusals()}
    assert entered == {name for name in schema.names if found.entry(name)}


@given(schema=schemas(names=("A", "B", "C")))
@settings(max_examples=30)
def test_paths_reach_every_active_set_if_asked_to(schema: Schema) -> None:
    reached = {()} | {stage.active for path in paths(schema, sets=True) for stage in path.stages}
    assert reached == {*explore(schema).sets}


def test_paths_are_few_and_have_texts_that_tell_them_apart() -> None:
    found = paths(Bar)
    assert len(found) <= 4
    assert len({str(path) for path in found}) == len(found)
    assert all(str(path).isascii() for path in found)
    assert paths(Schema([])) == ()


@pytest.mark.parametrize("path", paths(Bar), ids=str)
def test_a_machine_without_objections_of_its_own_walks_every_path(path: Path) -> None:
    walk(Bar("bar"), path, args=DRINK)


def test_all_paths_are_walked_with_a_machine_each_that_is_closed_again() -> None:
    made: list[Bar] = []

    def make() -> Bar:
        made.append(Bar())
        return made[-1]

    assert check_paths(make, args=DRINK) == len(paths(Bar)) == len(made) - 1
    assert all(machine.is_closed for machine in made)
    assert check_paths(make, [], args=DRINK) == 0


def test_a_machine_whose_handlers_object_departs_from_its_relations() -> None:
    with pytest.raises(AssertionError) as caught:
        check_paths(lambda: Grumpy("grump", tracers=[Recorder()]), args=DRINK)
    text = str(caught.value)
    assert "add cleaning: it was refused (CleaningEnter (Grumpy.not_now) said no)" in text
    assert "where relations say accepted" in text
    assert "the path so far: " in text
    assert "grump/1 " in text


def test_a_machine_that_mutates_in_a_handler_departs_from_its_relations() -> None:
    class Eager(Machine):
        a = State()
        b = State()

        @a.state
        def more(self, e: Event[None]) -> None:
            self.b.add()

    with pytest.raises(AssertionError, match=r"add a: active are \{a, b\}, where relations say \{a\}"):
        check_paths(Eager)


def test_a_walk_begins_where_the_path_does() -> None:
    bar = Bar("bar")
    bar.power.add()
    with pytest.raises(
        AssertionError, match=r"the path starts at \{\}, but the machine is <Bar bar power:1>"
    ):
        walk(bar, paths(Bar)[0])
    walk(bar, paths(Bar, start=[Bar.power])[0], args=DRINK)


def test_moves_alone_are_walked_without_comparing() -> None:
    bar = Bar()
    walk(bar, [Move(Kind.ADD, ("power", "water")), Move(Kind.REMOVE, ("water",)), Move(Kind.ADD, ("ready",))])
    assert_active(bar, Bar.power)


def test_missing_arguments_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"brewing needs name; give args=\{'brewing': \{'name': …\}\}"):
        perform(Bar(), Move(Kind.ADD, ("brewing",)))


def test_each_kind_of_mutation_is_performed() -> None:
    bar = Bar()
    assert perform(bar, Move(Kind.ADD, ("power", "water")))
    assert perform(bar, Move(Kind.ADD, ("brewing",)), args={"brewing": {"name": "tea", "sugar": 2}})
    assert bar.brewing.args == Drink("tea", 2)
    assert perform(bar, Move(Kind.TOGGLE, ("power",)))
    assert perform(bar, Move(Kind.SET, ("power",)))
    assert perform(bar, Move(Kind.REMOVE, ("power",)))
    assert bar.active == ()


# Strategies and models.


@given(schema=schemas(auto=False, multi=False, exception=False, min_states=3))
@settings(max_examples=20)
def test_schemas_are_as_asked_for(schema: Schema) -> None:
    assert len(schema) >= 4
    assert not schema.auto
    assert schema.multi == schema.exception
    assert not schema.adjacent("Exception")


@given(data=st.data())
@settings(max_examples=30)
def test_mutations_are_those_of_the_schema(data: st.DataObject) -> None:
    move = data.draw(mutations(Bar, kinds=["add", "set", "toggle"], most=3))
    assert move.kind in {Kind.ADD, Kind.SET, Kind.TOGGLE}
    assert {*move.states} <= {*Bar.schema.names} - {"Exception"}
    assert move.states == Bar.schema.names_of(Bar.schema.mask(move.states))
    assert len(move.states) == 1 or "brewing" not in move.states
    assert data.draw(mutations(Bar)).kind in {Kind.ADD, Kind.REMOVE}


class BarModel(MachineModel):
    kinds: ClassVar[Iterable[Kind | str]] = ("add", "remove", "set", "toggle")
    most = 3
    pure = True

    def make(self) -> Machine:
        return Bar()

    def arguments(self, state: str) -> st.SearchStrategy[dict[str, Any]]:
        names = st.sampled_from(["tea", "coffee"])
        return st.fixed_dictionaries({"name": names}) if state == "brewing" else st.just({})


class SoupModel(BarModel):
    kinds = ("add",)

    def arguments(self, state: str) -> st.SearchStrategy[dict[str, Any]]:
        return st.just({"name": "soup"} if state == "brewing" else {})


class GrumpyModel(BarModel):
    def make(self) -> Machine:
        return Grumpy()


def driven(model: type[MachineModel]) -> None:
    quick = settings(
        max_examples=10, stateful_step_count=12, database=None, derandomize=True, phases=[Phase.generate]
    )
    run_state_machine_as_test(model, settings=quick)


def test_a_model_drives_a_machine_and_finds_nothing_wrong() -> None:
    driven(BarModel)


@pytest.mark.parametrize(
    ("model", "says"),
    [(SoupModel, "we have no soup"), (GrumpyModel, "cleaning: relations say")],
)
def test_a_model_finds_what_is_wrong_and_tells_the_story(model: type[MachineModel], says: str) -> None:
    with pytest.raises(AssertionError, match=says) as caught:
        driven(model)
    assert "the last transitions" in str(caught.value)


def test_a_model_that_makes_no_machine_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"MachineModel\.make\(\) is to return a machine"):
        driven(MachineModel)


def test_a_model_may_allow_errors() -> None:
    class Allowed(SoupModel):
        allows_errors = True
        pure = False

    driven(Allowed)


# Recorders.


def test_machines_are_recorded_for_as_long_as_asked() -> None:
    bar, other = Bar("bar"), Bar("other")
    with recording(bar) as recorder:
        bar.power.add()
        other.power.add()
        assert recorder_of(bar) is recorder
    bar.water.add()
    assert [record.id for record in recorder] == ["bar/1", "bar/2"]
    assert recorder_of(bar) is None


def test_machines_that_are_made_meanwhile_are_recorded() -> None:
    before = list(binding.everywhere)
    with recording(limit=2) as recorder:
        bar = Bar("bar")
        bar.power.add()
    assert binding.everywhere == before
    assert recorder.machines == ("bar",)
    assert recorder.limit == 2
    assert recorder_of(Bar()) is None


# Assertions.


def failure(ask: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        ask()
    return str(caught.value)


def hear(e: Event[Any]) -> None:
    """Somebody does, so that nothing is logged."""


@pytest.fixture
def bar() -> Bar:
    return Bar("bar", tracers=[Recorder()], handlers=[{"ExceptionState": hear}])


def test_what_holds_passes(bar: Bar) -> None:
    assert_executed(bar.add(Bar.power, Bar.water))
    assert_active(bar, Bar.power, "water", bar.ready)
    assert_inactive(bar, Bar.brewing, "cleaning", bar.brewing)
    assert_no_error(bar, ever=True)
    assert_refused(bar.add("brewing"), match="name")
    assert_executed(bar.can_add(Bar.cleaning))
    bar.cleaning.add()
    assert_executed(bar.brewing.add("tea"))
    assert_inactive(bar, Bar.cleaning)


def test_a_state_that_is_not_active_tells_what_was_refused_and_what_is_in_its_way(bar: Bar) -> None:
    bar.power.add()
    bar.brewing.add("tea")
    text = failure(lambda: assert_active(bar, Bar.power, Bar.ready, "brewing"))
    assert text.splitlines() == [
        "bar: ready, brewing are not active",
        "<Bar bar power:1>",
        "  ready is inactive: nothing that is recorded has changed ready of bar",
        "  refused last: bar/2 auto ready → canceled: ready requires water, which is inactive",
        "  in its way: ready requires water, which is inactive",
        "  brewing is inactive: nothing that is recorded has changed brewing of bar",
        "  refused last: bar/3 add brewing(name='tea', sugar=0) → canceled: brewing requires ready, which is inactive",
        "  in its way: brewing requires ready, which is inactive",
        "the last transitions:",
        "  bar/1 add power → executed +power",
        "  bar/2 auto ready → canceled: ready requires water, which is inactive",
        "  bar/3 add brewing(name='tea', sugar=0) → canceled: brewing requires ready, which is inactive",
    ]


def test_a_state_that_was_active_tells_since_when_it_is_not_and_by_whom(bar: Bar) -> None:
    bar.add(Bar.power, Bar.water)
    bar.water.remove()
    text = failure(lambda: assert_active(bar, Bar.ready))
    assert "  ready of bar is inactive since bar/3:\n  bar/3 remove water → executed -water -ready\n" in text


def test_a_state_that_should_not_be_active_tells_the_chain_that_activated_it(bar: Bar) -> None:
    bar.add(Bar.power, Bar.water)
    text = failure(lambda: assert_inactive(bar, Bar.ready))
    assert text.startswith("bar: ready is active\n")
    assert (
        "  ready of bar is active since bar/2:\n  bar/1 add power, water → executed +power +water\n" in text
    )
    assert "  └ bar/2 auto ready → executed +ready\n" in text


def test_a_handler_that_is_in_the_way_is_named() -> None:
    grump = Grumpy("grump", tracers=[Recorder()])
    grump.power.add()
    assert "nobody has asked for it" in failure(lambda: assert_active(grump, Grumpy.cleaning))
    grump.cleaning.add()
    text = failure(lambda: assert_active(grump, Grumpy.cleaning))
    assert "  in its way: CleaningEnter (Grumpy.not_now) said no" in text
    assert "nothing is in its way now" in failure(lambda: check_again(grump))


def check_again(bar: Bar) -> None:
    bar.water.add()
    bar.water.remove()
    assert_active(bar, "water")


def test_without_a_recorder_the_story_says_so() -> None:
    text = failure(lambda: assert_active(Bar("bar"), Bar.ready))
    assert "  in its way: ready requires power, which is inactive" in text
    assert text.endswith("(nothing is known of what was before: attach a Recorder)")


def test_a_story_is_as_long_as_asked_for(bar: Bar) -> None:
    for _ in range(10):
        bar.power.toggle()
    assert len(story(bar, last=3).splitlines()) == 5
    assert "the last transitions, 17 earlier ones left out:" in story(bar, last=3)
    assert story(bar, last=0) == "<Bar bar | power:10>"


def test_an_unknown_state_is_refused_with_the_nearest(bar: Bar) -> None:
    with pytest.raises(UnknownState, match="did you mean 'ready'"):
        assert_active(bar, "redy")


def broken(bar: Bar) -> Bar:
    bar.add(Bar.power, Bar.water)
    bar.brewing.add("soup")
    return bar


def test_an_error_is_told_with_its_traceback_and_as_the_cause(bar: Bar) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_no_error(broken(bar))
    text = str(caught.value)
    assert text.startswith("bar has an error: ValueError('we have no soup')\n")
    assert "its error: ValueError('we have no soup')" in text
    assert "the last traceback:\nTraceback" in text
    assert 'raise ValueError("we have no soup")' in text
    assert caught.value.__cause__ is bar.error


def test_an_error_that_is_over_counts_only_for_ever(bar: Bar) -> None:
    broken(bar).remove("Exception")
    assert_no_error(bar)
    assert failure(lambda: assert_no_error(bar, ever=True)).startswith(
        "bar has no error now, but has had one\n"
    )


def test_an_error_that_is_only_queued_counts(bar: Bar) -> None:
    seen: list[str] = []

    class Reports:
        def power_state(self, e: Event[None]) -> None:
            e.machine.add_error(ValueError("soon"))
            seen.append(failure(lambda: assert_no_error(bar)))

    bar.bind(Reports())
    bar.power.add()
    assert seen[0].startswith("bar is about to have an error: an add of Exception is queued\n")


def test_an_error_that_is_wanted_is_returned(bar: Bar) -> None:
    error: ValueError = assert_error(broken(bar), ValueError, match="no soup")
    assert error is bar.error
    assert assert_error(bar) is error
    assert assert_error(bar, (KeyError, ValueError)) is error


def test_an_error_that_is_wanted_and_not_there_or_another_is_told(bar: Bar) -> None:
    assert failure(lambda: assert_error(bar)).startswith("bar has no error\n")
    broken(bar)
    wrong = failure(lambda: assert_error(bar, (KeyError, OSError)))
    assert wrong.startswith("bar has another error than KeyError or OSError: ValueError('we have no soup')")
    assert "nothing is like 'stew'" in failure(lambda: assert_error(bar, match="stew"))


def test_refusals_are_compared_by_their_words(bar: Bar) -> None:
    why = "ready requires power, which is inactive"
    assert_refused(bar.ready.add(), why)
    assert_refused(bar.can_add(Bar.ready), match="requires p")
    assert f"for another reason than 'no': {why}" in failure(lambda: assert_refused(bar.ready.add(), "no"))
    assert "nothing is like 'water'" in failure(lambda: assert_refused(bar.ready.add(), match="water"))
    text = failure(lambda: assert_refused(bar.power.add(), machine=bar))
    assert text.startswith("the mutation went through, and should not have\n<Bar bar power:1>")
    text = failure(lambda: assert_executed(bar.ready.add(), machine=bar))
    assert text.startswith("the mutation was refused: ready requires water, which is inactive\n")


def test_an_answer_that_is_still_to_come_is_neither(bar: Bar) -> None:
    seen: list[str] = []

    class Asks:
        def power_state(self, e: Event[None]) -> None:
            result = e.machine.add("water")
            seen.append(failure(lambda: assert_executed(result)))
            seen.append(failure(lambda: assert_refused(result)))

    bar.bind(Asks())
    bar.power.add()
    assert seen == ["the mutation is still queued: await it first"] * 2


@virtual_time
async def test_a_wait_that_comes_in_time_yields_its_value() -> None:
    async with Bar("bar", tracers=[Recorder()]) as bar:

        async def later() -> None:
            await anyio.sleep(50)
            bar.add(Bar.power, Bar.water)
            bar.brewing.add("tea")

        async with anyio.create_task_group() as group:
            group.start_soon(later)
            assert await assert_waits(bar.brewing.when(), within=60) == Drink("tea")
        assert bar.brewing.active


@virtual_time
async def test_a_wait_that_does_not_come_in_time_tells_the_story() -> None:
    bar = Bar("bar", tracers=[Recorder()])
    bar.power.add()
    with pytest.raises(AssertionError) as caught:
        await assert_waits(bar.ready.when(), within=2.5, machine=bar)
    text = str(caught.value)
    assert text.startswith("when(ready) of bar is not done within 2.5 s\n<Bar bar power:1>")
    assert "bar/2 auto ready → canceled" in text


def test_every_animal_of_the_zoo_walks_its_paths() -> None:
    for animal in ANIMALS:
        schema = animal.schema
        assert check_paths(lambda schema=schema: Machine.of(schema)) >= 1  # type: ignore[misc]
