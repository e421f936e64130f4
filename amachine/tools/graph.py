"""`amachine graph module:Machine`: finds what has a schema, and prints it as Mermaid."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amachine import Machine, Schema, States
from amachine.errors import AmachineError, nearest
from amachine.graph import mermaid

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  amachine graph amachine.tools.demo:FileFlow
  amachine graph examples/basic.py:Door --active opened > door.mmd

Paste it into a ```mermaid block of a Markdown page, or into an editor that shows Mermaid."""


class NotFound(Exception):
    """What the user named is not there; the text says what is."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Print a schema as a Mermaid diagram: exclusive groups as boxes, relations as arrows."
    )
    parser.epilog = EPILOG
    what = "where it is: a module or a file, a colon, and a Machine or States class, a Schema or a machine"
    parser.add_argument("target", metavar="MODULE:NAME", help=what)
    parser.add_argument(
        "--active", metavar="STATE", nargs="+", default=(), help="show these states as active"
    )
    parser.add_argument("--direction", choices=["LR", "TB", "RL", "BT"], default="LR", help="(%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Print the diagram. Returns the exit status."""
    try:
        schema, active = find(options.target)
        print(mermaid(schema, active=options.active or active, direction=options.direction), end="")
    except (NotFound, AmachineError) as error:
        print(f"amachine graph: {error}", file=sys.stderr)
        return 1
    return 0


def find(target: str) -> tuple[Schema, tuple[str, ...]]:
    """The schema that `module:name` or `file.py:name` names, and what is active where that is a machine.

    Errors: `NotFound`; whatever the module raises when it is imported.
    """
    where, _, path = target.rpartition(":")
    if not where or not path:
        raise NotFound(f"{target!r} names no class: write module:Class, such as amachine.tools.demo:FileFlow")
    found: object = _module(where)
    for name in path.split("."):
        if not hasattr(found, name):
            known = [each for each in dir(found) if not each.startswith("_")]
            raise NotFound(f"{where} has no {name!r}{nearest(name, known)}")
        found = getattr(found, name)
    if isinstance(found, Machine):
        return found.schema, found.active
    if isinstance(found, Schema):
        return found, ()
    if isinstance(found, type) and issubclass(found, States):
        states: type[States] = found
        return states.schema, ()
    kind = found.__name__ if isinstance(found, type) else type(found).__name__
    raise NotFound(f"{target} is no Machine or States class, Schema or machine, but {kind}")


def _module(where: str) -> object:
    if where.endswith(".py"):
        path = Path(where)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise NotFound(f"there is no file {where}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # what it declares looks itself up by its module's name
        sys.path.insert(0, str(path.parent))
        spec.loader.exec_module(module)
        return module
    sys.path.insert(0, "")  # as with `python -m`: modules of this folder count
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{where}.".startswith(f"{error.name}."):
            raise
        file = (error.name or "").replace(".", "/")
        raise NotFound(f"there is no module {error.name!r} (for a file write {file}.py:…)") from None
