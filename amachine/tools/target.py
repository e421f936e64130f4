"""What a command works on: `module:name`, `file.py:name` or `schema.json`, found and looked at.

A module that is named is imported, and a function that is named is called: that is the user's own code. Nothing here
changes a machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, cast

import attrs

from amachine import Machine, Schema, States
from amachine.errors import AmachineError, nearest

WHAT = (
    "where it is: a module or a file, a colon, and a Machine or States class, a Schema, a machine, "
    "or a function that makes one of them; or a JSON file with a schema"
)
"""For the help of a command."""


class NotFound(Exception):
    """What the user named is not there, or not what it should be; the text says what is."""


@attrs.frozen(eq=False)
class Target:
    """What a command was given. `machine()` is a machine of it, whatever it is."""

    name: str
    """As it was written."""
    found: type[States] | Schema | Machine
    """What it is."""

    @property
    def schema(self) -> Schema:
        """Its schema."""
        found = self.found
        return found if isinstance(found, Schema) else found.schema

    @property
    def active(self) -> tuple[str, ...]:
        """The states that are active; none unless it is a machine."""
        return self.found.active if isinstance(self.found, Machine) else ()

    @property
    def machine_class(self) -> type[Machine] | None:
        """The class of the machine, with its handlers; None for a schema alone."""
        found = self.found
        if isinstance(found, Machine):
            return type(found)
        return found if isinstance(found, type) and issubclass(found, Machine) else None

    def machine(self, id: str | None = None) -> Machine:
        """The machine that it is, or a new one. Errors: `NotFound` where the class cannot be made without arguments."""
        found = self.found
        if isinstance(found, Machine):
            return found
        if isinstance(found, type) and issubclass(found, Machine):
            try:
                return found() if id is None else found(id)
            except TypeError as error:
                if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                    raise  # of the user's own code, not of the call
                mend = "name a function that makes one"
                raise NotFound(f"{self.name} cannot be made without arguments ({error}): {mend}") from error
        return Machine.of(found, id or (found.name if isinstance(found, Schema) else found.__name__) or None)


@contextmanager
def users_code(what: str) -> Generator[None]:
    """Around code of the user's own. Errors: `NotFound` for what that raises: it says `what`, and where in that code.

    What is amachine's own to tell comes through.
    """
    try:
        yield
    except (NotFound, AmachineError):
        raise
    except (Exception, SystemExit) as error:
        at = error.__traceback__
        while at is not None and str(at.tb_frame.f_globals.get("__name__")).startswith(_NOT_THEIRS):
            at = at.tb_next
        told = "".join(traceback.format_exception(type(error), error, at)).rstrip()
        raise NotFound(f"{what}:\n{told}") from error


_NOT_THEIRS = (__name__, "amachine.tools.choreo_target", "amachine.tools.run", "contextlib", "importlib")
"""Modules on the way to the user's code."""


def find(target: str) -> Target:
    """What `module:name`, `file.py:name` or `schema.json` names; a function is called, and gives it.

    Errors: `NotFound`, which names the nearest, or says what the user's code raises; `SchemaError` for a file of states.
    """
    if target.endswith(".json"):
        return Target(target, Schema.parse(read_json(target), name=Path(target).stem))
    found = look_up(target, such_as="amachine.tools.demo:FileFlow")
    made = ""
    if not isinstance(found, type | Machine | Schema) and callable(found):
        if iscoroutinefunction(found):
            raise NotFound(f"{target} is a coroutine function: name one that returns a machine at once")
        with users_code(f"{target} failed"):
            found = cast("Callable[[], object]", found)()
        made = "makes "
    if isinstance(found, Machine | Schema):
        return Target(target, found)
    if isinstance(found, type) and issubclass(found, States):
        states: type[States] = found
        return Target(target, states)
    kind = found.__name__ if isinstance(found, type) else type(found).__name__
    raise NotFound(f"{target} {made or 'is '}no Machine or States class, Schema or machine, but {kind}")


def look_up(target: str, *, such_as: str) -> object:
    """What `module:name` or `file.py:name` names, as it is; `such_as` is one to be shown to who writes something else.

    Errors: `NotFound`, which names the nearest, or says what the user's code raises.
    """
    where, _, path = target.rpartition(":")
    if not where or not path:
        raise NotFound(f"{target!r} names no class: write module:Class, such as {such_as}")
    found: object = load_module(where)
    for name in path.split("."):
        if not hasattr(found, name):
            known = [each for each in dir(found) if not each.startswith("_")]
            raise NotFound(f"{where} has no {name!r}{nearest(name, known)}")
        found = getattr(found, name)
    return found


def read_json(file: str) -> Any:
    """The data of a JSON file. Errors: `NotFound`."""
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise NotFound(f"{file} cannot be read: {error}") from error


def load_module(where: str) -> object:
    """The module of that name, or in that file, imported. Errors: `NotFound`, also for what the user's code raises."""
    if where.endswith(".py"):
        path = Path(where)
        loaded = sys.modules.get(path.stem)
        if loaded is not None and getattr(loaded, "__file__", None) == str(path.resolve()):
            return loaded  # a second part of it is asked for
        spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
        if spec is None or spec.loader is None or not path.is_file():
            raise NotFound(f"there is no file {where}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # what it declares looks itself up by its module's name
        sys.path.insert(0, str(path.parent))
        try:
            with users_code(f"{where} cannot be imported"):
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[path.stem]
            raise
        return module
    sys.path.insert(0, "")  # as with `python -m`: modules of this folder count
    with users_code(f"{where} cannot be imported"):
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{where}.".startswith(f"{error.name}."):
                raise  # what is not there is something that it imports
            file = error.name.replace(".", "/")
            raise NotFound(f"there is no module {error.name!r} (for a file write {file}.py:…)") from None
