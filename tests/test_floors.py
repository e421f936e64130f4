"""Holds the floors of the house: who may import whom, and what `import amachine` may load.

The table is tests/floors.toml; nothing here names a room. Imports under `if TYPE_CHECKING:` are free, for they never
happen; all others count, also those inside functions, because a room that imports upwards late still knows upwards.
"""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import attrs
import pytest

TABLE = tomllib.loads(Path(__file__).with_name("floors.toml").read_text(encoding="utf-8"))
ROOT = "amachine"


@attrs.frozen
class Import:
    """One name that a module asks the import system for."""

    module: str
    names: tuple[str, ...]  # of `from module import names`
    line: int
    late: bool  # inside a function

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def package_root() -> Path:
    """Where the package under test lives: the tree here, or an installed wheel."""
    spec = importlib.util.find_spec(ROOT)
    assert spec is not None, f"{ROOT} is not importable"
    assert spec.submodule_search_locations, f"{ROOT} is no package"
    return Path(spec.submodule_search_locations[0])


def house() -> dict[str, str]:
    """Every module of the package by its dotted name below `amachine` (the package itself is `amachine`)."""
    root = package_root()
    sources: dict[str, str] = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name or ROOT] = path.read_text(encoding="utf-8")
    return sources


def looked_up(table: Mapping[str, Any], room: str) -> Any:
    """The room's own line of the table, else that of the nearest `package.*` above it, else None."""
    if room in table:
        return table[room]
    while "." in room:
        room = room.rpartition(".")[0]
        if f"{room}.*" in table:
            return table[f"{room}.*"]
    return None


def imports(source: str, room: str, *, is_package: bool) -> Iterator[Import]:
    """Every import that can happen when the room's code runs; relative ones are made absolute."""

    def absolute(node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = [ROOT] if room == ROOT else [ROOT, *room.split(".")]
        base = here[: len(here) - node.level + (1 if is_package else 0)]
        return ".".join([*base, *([node.module] if node.module else [])])

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for other in node.orelse:
                    yield from visit(other, late)
                return
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, (), node.lineno, late)
            case ast.ImportFrom():
                yield Import(absolute(node), tuple(alias.name for alias in node.names), node.lineno, late)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module")
            ):
                # A name that is only known at run time cannot be judged; the "?" fits no rule, so it is refused.
                known = isinstance(node.args[0], ast.Constant) if node.args else False
                name = str(ast.literal_eval(node.args[0])) if known else "?"
                yield Import(name, (), node.lineno, late)
            case _:
                pass
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, late)

    yield from visit(ast.parse(source), late=False)


def rooms_of(found: Import, sources: Mapping[str, str]) -> set[str]:
    """The rooms that an import of our own package reaches: `from amachine import schema` reaches only `schema`."""
    module = found.module.removeprefix(ROOT).lstrip(".") or ROOT
    below = {name if module == ROOT else f"{module}.{name}" for name in found.names}
    reached = below & sources.keys()
    if not found.names or below - reached:
        reached.add(module)
    # Importing a.b runs a as well. The facade is left out: every import of the package runs it.
    return reached | {room.rpartition(".")[0] for room in reached if "." in room}


def faults(sources: Mapping[str, str], table: Mapping[str, Any] = TABLE) -> list[str]:
    """One sentence for each import that breaks the table; no sentences, no faults."""
    said: list[str] = []
    level: dict[str, int] = {}
    beside: dict[str, set[str]] = {}
    for room in sources:
        floor = looked_up(table["floors"], room)
        if floor is None:
            said.append(f"{room} has no floor: give it a line in tests/floors.toml")
        else:
            level[room] = floor
    for room, floor in level.items():
        is_package = room == ROOT or any(other.startswith(f"{room}.") for other in sources)
        for found in imports(sources[room], room, is_package=is_package):
            where = f"{room}:{found.line} (floor {floor})"
            if found.package != ROOT:
                said.extend(
                    f"{where} imports {found.module}: {why}" for why in stranger(found, room, floor, table)
                )
                continue
            for target in sorted(rooms_of(found, sources) - {room}):
                above = level.get(target)
                if above is None and target not in sources:
                    said.append(f"{where} imports {target}, which does not exist")
                elif found.late and target in table["upwards"].get(room, ()):
                    continue
                elif above is not None and above > floor:
                    said.append(f"{where} imports {target}, which is above it (floor {above})")
                elif above == floor and not room.startswith(f"{target}."):
                    beside.setdefault(room, set()).add(target)
    try:
        TopologicalSorter(beside).prepare()
    except CycleError as error:
        said.append(f"rooms of one floor import one another: {' ← '.join(error.args[1])}")
    return said


def stranger(found: Import, room: str, floor: int, table: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with importing a module that is not ours."""
    pure = floor <= table["pure"]["up_to"]
    if found.package in (looked_up(table["exceptions"], room) or ()):
        if pure and not found.late:
            yield "a pure floor does so inside a function only"
    elif pure and found.package in table["pure"]["forbidden"]:
        yield "forbidden on a pure floor, inside functions too"
    elif found.package not in {*sys.stdlib_module_names, *table["pure"]["later"]}:
        allowed = table["pure"]["packages"] if pure else table["packages"]["everywhere"]
        if found.package not in allowed:
            yield f"neither the standard library nor {' or '.join(allowed)}"


def test_the_house_stands_on_its_floors() -> None:
    sources = house()
    assert ROOT in sources
    said = faults(sources)
    assert not said, "\n".join(said)


def test_every_line_of_the_exceptions_names_a_known_room_or_folder() -> None:
    assert TABLE["exceptions"].keys() <= TABLE["floors"].keys()


def test_every_door_upwards_leads_from_a_known_room_to_one_above_it() -> None:
    for room, targets in TABLE["upwards"].items():
        assert all(looked_up(TABLE["floors"], target) > TABLE["floors"][room] for target in targets)


def test_the_facade_loads_nothing_heavy() -> None:
    """In a fresh interpreter, for this one has loaded everything."""
    code = (
        f"import sys; sys.path.insert(0, {str(package_root().parent)!r})\n"
        "before = set(sys.modules); import amachine\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert ROOT in loaded
    never = set(TABLE["facade"]["never_loads"])
    assert [name for name in loaded if name.partition(".")[0] in never] == []


# The guard itself: each mistake is caught, and what is right passes. Sources are small houses.


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"schema": "from amachine.engine import X", "engine": ""}, "above it"),
        ({"schema": "from .engine import X", "engine": ""}, "above it"),
        ({"schema": "from . import engine", "engine": ""}, "above it"),
        ({"schema": "from amachine import engine", "engine": ""}, "above it"),
        ({"schema": "def f():\n    import amachine.engine", "engine": ""}, "above it"),
        ({"schema": "from amachine import Machine", "amachine": ""}, "above it"),
        ({"schema": "from amachine.linting import lint", "linting": ""}, "above it"),
        ({"tracers.base": "from ..machine import M", "tracers": "", "machine": ""}, "above it"),
        ({"engine": "from amachine.tracers.log import L", "tracers.log": "", "tracers": ""}, "above it"),
        ({"schema": "import amachine.nowhere"}, "does not exist"),
        ({"nowhere": ""}, "no floor"),
        ({"schema": "import amachine.mutation", "mutation": "import amachine.schema"}, "one another"),
        ({"engine": "import asyncio"}, "forbidden"),
        ({"engine": "def f():\n    from time import monotonic"}, "forbidden"),
        ({"engine": "def f():\n    importlib.import_module('threading')"}, "forbidden"),
        ({"engine": "__import__(name)"}, "neither"),
        ({"engine": "import concurrent.futures"}, "forbidden"),
        ({"engine": "import msgspec"}, "neither"),
        ({"machine": "import trio"}, "neither"),
        ({"machine": "import typing_extensions"}, "neither"),
        ({"engine": "if TYPE_CHECKING:\n    pass\nelse:\n    import rich"}, "forbidden"),
    ],
)
def test_a_mistake_is_caught(sources: dict[str, str], fault: str) -> None:
    said = faults(sources)
    assert len(said) == 1, said
    assert fault in said[0]


@pytest.mark.parametrize(
    "sources",
    [
        {"engine": "from amachine.schema import Schema\nimport amachine._bits", "schema": "", "_bits": ""},
        {"schema": "def f():\n    from amachine.linting import lint", "linting": ""},
        {"engine": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio"},
        {
            "engine": "import typing as t\nif t.TYPE_CHECKING:\n    from amachine.machine import Machine",
            "machine": "",
        },
        {"transition": "from amachine.handlers import Call", "handlers": ""},
        {"engine": "import attrs, enum\ndef f():\n    import difflib"},
        {"machine": "import anyio, logging, threading\nfrom . import engine", "engine": ""},
        {"tracers.log": "from .base import T\nfrom . import base", "tracers.base": "", "tracers": ""},
        {
            "amachine": "from amachine.machine import Machine\nfrom .schema import Schema",
            "machine": "",
            "schema": "",
        },
        {"testing.pytest": "import pytest, hypothesis", "testing": "from .pytest import x"},
    ],
)
def test_what_is_right_passes(sources: dict[str, str]) -> None:
    assert faults(sources) == []


def test_an_exception_of_the_table_holds_inside_functions_only() -> None:
    table = {**TABLE, "exceptions": {"schema": ["pydantic"]}}
    assert faults({"schema": "def f():\n    import pydantic"}, table) == []
    assert "inside a function only" in faults({"schema": "import pydantic"}, table)[0]
