"""The linter: every finding on a zoo of broken schemas, none on sane ones, and what it proves held against enumeration."""

from __future__ import annotations

import importlib
import json
from itertools import chain, combinations
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given, settings

from amachine import Event, Kind, Machine, Schema, State, States
from amachine._bits import bits
from amachine.exploring import Move, after, step
from amachine.findings import CODES, Finding, Severity
from amachine.linting import lint
from amachine.relations import autos, resolve
from amachine.testing import perform, schemas
from amachine.tools import cli
from amachine.tools.demo import FileFlow
from tests.zoo import ANIMALS, SANE, Animal, DeadHandlers

EXAMPLES = sorted(path.stem for path in (Path(__file__).parents[1] / "examples").glob("[a-z]*.py"))


def about(findings: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.code, finding.states) for finding in findings]


@pytest.mark.parametrize("animal", ANIMALS, ids=str)
def test_each_animal_of_the_zoo_has_its_findings_and_no_others(animal: Animal) -> None:
    found = animal.schema.lint()
    assert sorted(about(found)) == sorted(animal.findings)
    assert found.complete
    for finding in found:
        assert finding.certain
        assert finding.severity is CODES[finding.code][0]
        assert all(name in finding.reason for name in finding.states)
        assert finding.reason in str(found)


def test_the_zoo_has_every_finding() -> None:
    shown = {code for animal in ANIMALS for code, _ in animal.findings}
    assert shown == CODES.keys() - {"handler-never", "handler-unreached"}
    assert {finding.code for finding in lint(DeadHandlers)} >= {"handler-never", "handler-unreached"}


@pytest.mark.parametrize("name", SANE)
def test_sane_schemas_are_clean(name: str) -> None:
    found = Schema.parse(SANE[name]).lint()
    assert not found, found
    assert not about(found)
    assert str(found).startswith("nothing to say")


def test_what_a_subclass_adds_to_a_state_of_the_library_does_not_make_the_library_redundant() -> None:
    class Flow(Machine):
        Start = State()
        linked = State(require=[Start])
        Ready = State(require=[Start, linked])

    assert not lint(Flow), lint(Flow)


def test_the_demo_is_clean() -> None:
    assert not lint(FileFlow), lint(FileFlow)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_clean(example: str) -> None:
    module: Any = pytest.importorskip(f"examples.{example}", exc_type=ImportError)
    for value in cast("dict[str, object]", vars(module)).values():
        if isinstance(value, type) and issubclass(value, States) and value.__module__ == module.__name__:
            assert not lint(value), f"{value.__name__}: {lint(value)}"
        elif isinstance(value, Schema):
            assert not value.lint(), value.lint()


# What the examples of findings show.


def after_example(schema: Schema, finding: Finding) -> tuple[Machine, str]:
    """A machine that has made the example's mutations, and why the last one was refused."""
    machine = Machine.of(schema)
    why = ""
    for move in finding.example:
        why = perform(machine, move).why
    return machine, why


@pytest.mark.parametrize(
    "animal", [each for each in ANIMALS if each.findings[0][0] == "never-active"], ids=str
)
def test_the_example_of_a_dead_state_is_refused_with_the_words_of_the_finding(animal: Animal) -> None:
    finding = animal.schema.lint().errors[0]
    machine, why = after_example(animal.schema, finding)
    assert not machine.is_active(finding.states[0])
    assert why == finding.outcome


@pytest.mark.parametrize(
    "animal", [each for each in ANIMALS if each.findings[0][0] == "implied-never"], ids=str
)
def test_the_example_of_an_implied_state_shows_the_other_without_it(animal: Animal) -> None:
    (finding,) = animal.schema.lint()
    machine, _ = after_example(animal.schema, finding)
    assert machine.is_active(finding.states[0])
    assert not machine.is_active(finding.states[1])


def test_the_example_of_an_auto_state_shows_it_losing() -> None:
    found = next(
        each for each in ANIMALS if each.name.startswith("an Auto state that an earlier")
    ).schema.lint()
    (finding,) = found
    machine, _ = after_example(found.schema, finding)
    assert machine.active == ("P", "X")
    assert "Y is removed by X" in finding.reason


def test_the_example_of_groups_leads_from_one_to_the_other() -> None:
    animal = next(each for each in ANIMALS if each.name.startswith("groups that"))
    (finding,) = animal.schema.lint()
    assert [str(move) for move in finding.example] == ["add A", "add C"]
    assert after_example(animal.schema, finding)[0].active == ("C",)
    assert "exclusive(A, B, C, D)" in finding.reason


def test_the_example_of_restless_states_is_where_they_begin_to_turn() -> None:
    animal = next(each for each in ANIMALS if each.findings[0][0] == "auto-restless")
    (finding,) = animal.schema.lint()
    machine, _ = after_example(animal.schema, finding)
    seen = set[tuple[str, ...]]()
    for _ in range(3):
        machine.toggle("p")
        seen.add(tuple(name for name in machine.active if name != "p"))
    assert seen == {("X",), ("Y",), ("Z",)}


def test_what_only_several_at_once_activate_needs_them() -> None:
    schema = next(each for each in ANIMALS if each.name.startswith("an Auto state that ends")).schema
    finding = next(each for each in schema.lint() if each.code == "only-together")
    assert finding.example == (Move(Kind.ADD, ("P", "Z")),)
    machine = Machine.of(schema)
    perform(machine, finding.example[0])
    assert machine["Z"].tick == 2, "it was active, until the auto mutation came"


def test_a_state_with_arguments_cannot_be_called_together_with_others() -> None:
    @attrs.frozen
    class Job:
        path: str

    class Flow(Machine):
        start = State()
        reading = State(Job, require=[start])
        stop = State(auto=True, remove=[start])

    finding = next(each for each in lint(Flow) if each.code == "only-together")
    assert finding.states == ("reading",)
    assert "which cannot be made: reading needs arguments" in finding.reason


# Handlers.


def test_of_a_class_the_handlers_that_can_never_run_are_found_and_no_others() -> None:
    found = [each for each in lint(DeadHandlers) if each.handler]
    assert {(each.code, each.handler.rpartition(".")[2]) for each in found} == {
        ("handler-never", "never_torn"),
        ("handler-never", "never_torn_task"),
        ("handler-never", "never_from_torn"),
        ("handler-unreached", "never_from_shy"),
    }
    shy = next(each for each in found if each.code == "handler-unreached")
    assert shy.states == ("shy", "loud")
    assert "shy is never active when loud enters" in shy.reason
    assert [str(move) for move in shy.example] == ["add shy", "add loud"]
    assert shy.outcome == "loud is removed by shy, which is active"


def test_handlers_that_are_bound_to_a_machine_count() -> None:
    def agree(e: Event[Any]) -> bool:
        return True

    machine = Machine.of(ANIMALS[0].schema, handlers=[{"AEnter": agree, "BEnter": agree}])
    (finding,) = [each for each in lint(machine) if each.handler]
    assert finding.handler == "agree"
    assert "agree (AEnter) can never run, for A can never be active" in finding.reason
    assert [each for each in lint(machine, handlers=()) if each.handler] == []


def test_handlers_of_states_that_come_only_by_the_auto_mutation_are_alive() -> None:
    class Flow(Machine):
        on = State()
        ready = State(auto=True, require=[on])

        @ready.enter
        def come(self, e: Event[None]) -> bool:
            return True

        @on.to(ready)
        def follow(self, e: Event[None]) -> bool:
            return True

        @ready.end
        def go(self, e: Event[None]) -> None: ...

    assert not lint(Flow), lint(Flow)


# What is proven, held against every mutation of every set.


def everything(schema: Schema) -> set[int]:
    """Every set that any mutation of any states leads to, in passing or at rest."""
    reached, line = {0}, [0]
    for at in line:
        for called in range(1 << schema.n):
            for kind in (Kind.ADD, Kind.REMOVE, Kind.SET):
                found = resolve(schema, at, kind, called)
                then = [found.target] if found.accepted else []
                wanted = autos(schema, found.target) if found.accepted else 0
                if wanted:
                    brought = resolve(schema, found.target, Kind.ADD, wanted, partial=True)
                    then += [brought.target] if brought.accepted else []
                fresh = [mask for mask in then if mask not in reached]
                reached.update(fresh)
                line += fresh
    return reached


@given(schema=schemas(names=("A", "B", "C", "D"), exception=False))
@settings(max_examples=12)
def test_a_state_is_called_dead_exactly_if_no_mutation_at_all_activates_it(schema: Schema) -> None:
    dead = {name for finding in schema.lint() if finding.code == "never-active" for name in finding.states}
    alive = set(chain.from_iterable(schema.names_of(mask) for mask in everything(schema)))
    assert dead == {*schema.names} - alive


@given(schema=schemas(names=("A", "B", "C", "D"), exception=False))
@settings(max_examples=12)
def test_groups_are_called_apart_exactly_if_no_mutation_at_all_brings_them_together(schema: Schema) -> None:
    data = schema.to_dict()
    for name, group in zip(schema.names, "gghh", strict=False):
        data[name]["groups"] = [group]
    grouped = Schema.parse(data)
    if len(grouped.groups) < 2:
        return
    codes = {finding.code for finding in grouped.lint()}
    masks = [grouped.mask(group.members) for group in grouped.groups.values()]
    reached = everything(grouped)
    dead = grouped.all & ~sum(1 << i for i in range(grouped.n) if any(mask >> i & 1 for mask in reached))
    together = any(mask & masks[0] and mask & masks[1] for mask in reached)
    some_are_alive = all(mask & ~dead for mask in masks)
    assert ("groups-apart" in codes) == (some_are_alive and not together)


@given(schema=schemas(names=("A", "B", "C", "D"), exception=False))
@settings(max_examples=25)
def test_what_is_said_never_to_come_comes_by_no_mutation_at_all(schema: Schema) -> None:
    """Found by the explorer's few mutations, and held against all of them."""
    told = [each for each in schema.lint() if each.code in {"auto-never", "implied-never"}]
    for finding in told:
        place = tuple(schema.index[name] for name in finding.states)
        assert place not in brought(schema), finding


def brought(schema: Schema) -> set[tuple[int, ...]]:
    """Auto states that an auto mutation brings, and pairs of a state and one that comes with it, in any transition."""
    found: set[tuple[int, ...]] = set()
    for at in resting(schema):
        for called in range(1 << schema.n):
            for kind in (Kind.ADD, Kind.REMOVE, Kind.SET):
                for change in step(schema, at, kind, called):
                    if change.found.accepted:
                        fresh = change.found.enters & ~change.before
                        found |= {(i,) for i in bits(fresh & change.called) if change.auto}
                        come = change.found.target & ~change.before & ~change.called
                        found |= {
                            (i, j) for i in bits(change.found.enters) for j in bits(schema.add[i] & come)
                        }
    return found


def resting(schema: Schema) -> set[int]:
    """Every set that any mutation of any states comes to rest in."""
    reached, line = {0}, [0]
    for at in line:
        for called in range(1 << schema.n):
            for kind in (Kind.ADD, Kind.REMOVE, Kind.SET):
                then = after(step(schema, at, kind, called))
                if then not in reached:
                    reached.add(then)
                    line.append(then)
    return reached


@given(schema=schemas(names=("A", "B", "C", "D")))
@settings(max_examples=12)
def test_no_example_needs_a_mutation_that_a_machine_refuses_on_the_way(schema: Schema) -> None:
    for finding in schema.lint():
        machine = Machine.of(schema)
        for move in finding.example[:-1]:
            assert perform(machine, move), f"{finding}: {move}"


# When there is too much to look at.


def with_free_states(animal: Animal) -> Schema:
    free: dict[str, Any] = {f"free{i}": {} for i in range(6)}
    return Schema.parse({**animal.data, **free})


def test_what_is_not_proven_is_a_remark_and_says_so() -> None:
    animal = next(each for each in ANIMALS if each.name.startswith("an Auto state that an earlier"))
    found = with_free_states(animal).lint(limit=40)
    assert not found.complete
    assert found.sets == 40
    finding = next(each for each in found if each.code == "auto-never")
    assert not finding.certain
    assert finding.severity is Severity.REMARK
    assert "not proven: only 40 active sets were looked at" in finding.reason
    assert not found.errors
    assert "which are not all" in str(found)


def test_what_relations_alone_prove_is_an_error_however_little_was_looked_at() -> None:
    found = with_free_states(ANIMALS[0]).lint(limit=1)
    assert about(found.errors) == [("never-active", ("A",))]


def test_a_large_schema_is_looked_at_in_part() -> None:
    found = Schema.parse({f"s{i}": {} for i in range(40)}).lint(limit=50)
    assert (found.sets, found.complete, len(found)) == (50, False, 0)


# The rest of the interface.


def test_findings_are_told_the_worst_first_and_counted() -> None:
    found = Schema.parse(
        {
            "A": {"require": ["B", "C"]},
            "B": {"exclusive": ["g"]},
            "C": {"exclusive": ["g"]},
            "K": {"auto": True},
            "X": {"after": ["B"], "require": ["B"]},
        }
    ).lint()
    assert [each.severity for each in found] == sorted(
        (each.severity for each in found), key=[*Severity].index
    )
    assert len(found) == len(found.errors) + len(found.warnings) + len(found.remarks)
    assert (len(found.errors), len(found.remarks)) == (1, 2)
    assert str(found).endswith("1 error, 2 remarks (9 active sets)")
    assert repr(found) == "<Findings: 1 errors, 0 warnings, 2 remarks>"


def test_codes_can_be_ignored_and_unknown_ones_are_refused_with_the_nearest() -> None:
    assert not ANIMALS[0].schema.lint(ignore=["never-active"])
    with pytest.raises(ValueError, match="did you mean 'never-active'"):
        ANIMALS[0].schema.lint(ignore=["never-activ"])


def test_what_has_no_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="has no schema"):
        lint(42)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# The command.


def run(*words: str) -> int:
    try:
        return cli.main(["lint", *words])
    except SystemExit as end:
        return int(end.code or 0)


def test_the_command_prints_the_findings_and_fails_for_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tests.zoo:DeadHandlers") == 1
    out = capsys.readouterr().out
    assert out.startswith(
        "error never-active: torn requires b and c, but b removes c: it can never be active\n"
    )
    assert "    e.g. add shy, then add loud: loud is removed by shy, which is active" in out
    assert "\033" not in out


def test_the_command_counts_warnings_only_if_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    ignored = ("--ignore", "never-active", "--ignore", "handler-never")
    assert run("tests.zoo:DeadHandlers", *ignored) == 0
    assert run("tests.zoo:DeadHandlers", *ignored, "--strict") == 1
    assert "warning handler-unreached" in capsys.readouterr().out


def test_the_command_is_content_with_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("amachine.tools.demo:FileFlow", "--strict") == 0
    assert capsys.readouterr().out == "nothing to say (15 active sets)\n"


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tests.zoo:DeadHandlers", "--json", "--limit", "1000") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["complete"] is True
    assert told["errors"] == 4
    first = told["findings"][0]
    assert (first["code"], first["states"], first["handler"]) == ("never-active", ["torn"], None)
    assert first["example"] == [{"kind": "add", "states": ["b", "c", "torn"]}]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tests.zoo:DeadHandler"], "did you mean 'DeadHandlers'"),
        (["tests.zoo:DeadHandlers", "--limit", "0"], "invalid _count value"),
        (["tests.zoo:DeadHandlers", "--ignore", "nonsense"], "invalid choice"),
    ],
)
def test_the_command_is_misused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert says in capsys.readouterr().err


def test_the_command_shows_colours_where_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    run("tests.zoo:DeadHandlers")
    assert capsys.readouterr().out.startswith("\033[1;31merror never-active\033[0m: ")


def test_every_finding_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert all(code in out for code in CODES)


def test_every_two_states_of_an_active_set_can_be_active_together() -> None:
    """What `groups-apart` and `after-void` rest on: no set that is reached holds a conflict."""
    for animal in ANIMALS:
        schema = animal.schema
        for mask in everything(schema) if schema.n <= 5 else ():
            for i, j in combinations(bits(mask), 2):
                assert not schema.remove[i] >> j & 1
                assert not schema.remove[j] >> i & 1


def test_linting_loads_nothing_before_it_is_asked_for() -> None:
    import subprocess
    import sys

    code = (
        "import sys, amachine; print('amachine.linting' in sys.modules, 'amachine.exploring' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False", "False"]
    assert importlib.import_module("amachine.linting").lint is lint


def test_a_schema_that_is_too_large_to_be_looked_at_whole_is_not_blamed_for_it() -> None:
    names = [f"s{i}" for i in range(150)]
    found = lint(
        Schema.parse({name: {"remove": [each for each in names if each != name]} for name in names}), limit=5
    )
    assert not found.complete
    assert not found, found
