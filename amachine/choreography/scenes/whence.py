"""Where a class or a function was written, and what the names in its annotations mean there. Decides nothing.

Annotations are read late, so that scenes can name each other in any order. By then a module is complete, and so is the function
that a class stands in: the class keeps its frame, as a closure would.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import re
import sys
from collections import ChainMap
from collections.abc import Mapping
from functools import lru_cache
from types import FrameType, FunctionType
from typing import Any

import attrs

from amachine.choreography.script import Place

__all__ = ["Unresolved", "Whence", "annotations_of", "evaluated"]


_MAKING = ("__init_subclass__", "__new__")
"""What is called by a class statement, of bases and of metaclasses that are written in Python, as that of `abc.ABC` is."""


class Unresolved(Exception):  # no error of a program: the reading turns it into a diagnostic
    """Text is no type. `name` is what means nothing, and `known` what could have been meant; else it is the text itself."""

    def __init__(self, why: str, *, name: str = "", known: tuple[str, ...] = ()) -> None:
        self.name = name
        self.known = known
        super().__init__(why)


@attrs.frozen(eq=False)
class Whence:
    """A class statement."""

    place: Place
    names: dict[str, Any]
    """What its module knows."""
    frames: tuple[FrameType, ...]
    """The class bodies around it and the function around those, the innermost first."""

    @classmethod
    def here(cls, module: str) -> Whence:
        """The class statement that is being run in a module. To be asked for in an `__init_subclass__`."""
        first = here = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        while here.f_code.co_name in _MAKING or here.f_globals.get("__name__") != module:
            if here.f_back is None:  # a class that says that it is of another module
                here = first
                break
            here = here.f_back
        while here.f_back is not None and here.f_code.co_name in _MAKING:
            here = here.f_back
        around: list[FrameType] = []
        frame: FrameType | None = here
        while frame is not None and frame.f_locals is not frame.f_globals:
            around.append(frame)
            if frame.f_code.co_flags & inspect.CO_OPTIMIZED and not frame.f_code.co_name.startswith(
                "<generic "
            ):
                break  # a function: beyond it is who called it
            frame = frame.f_back
        return cls(Place(here.f_code.co_filename, here.f_lineno), here.f_globals, tuple(around))

    def scope(self, owner: type) -> Mapping[str, Any]:
        """What a name can mean in a class that stands here, from the inside out."""
        own = {name: each for name, each in vars(owner).items() if isinstance(each, type)}
        own |= {each.__name__: each for each in getattr(owner, "__parameters__", ())}
        own[owner.__name__] = owner
        around: list[Any] = [own, *(frame.f_locals for frame in self.frames)]
        return ChainMap(*around, _captured(owner), self.names, builtins.__dict__)

    def line_of(self, owner: str, name: str) -> Place:
        """Where that name is annotated or assigned in the class of that name that stands here; else where the class starts."""
        line = _lines(self.place.file).get((owner, self.place.line, name), self.place.line)
        return Place(self.place.file, line)


def annotations_of(owner: type) -> dict[str, Any]:
    """The annotations of a class itself, as they were written: texts, or what they meant when the class was made."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(owner, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(owner)


def evaluated(text: str, scope: Mapping[str, Any]) -> Any:
    """What a text means. Errors: `Unresolved`."""
    try:
        return eval(text, {}, scope)  # noqa: S307  # the author's own annotation, as `get_type_hints` does
    except NameError as error:
        known = tuple(name for name, each in scope.items() if isinstance(each, type) and name[0] != "_")
        raise Unresolved(f"{error.name!r} cannot be resolved", name=str(error.name), known=known) from None
    except AttributeError as error:
        known = tuple(name for name in dir(error.obj) if not name.startswith("_"))
        raise Unresolved(f"{error.name!r} cannot be resolved", name=str(error.name), known=known) from None
    except Exception as error:  # noqa: BLE001  # whatever a subscription raises
        why = re.sub(r"<class '(?:[^']*\.)?(\w+)'>", r"\1", str(error))
        raise Unresolved(f"{text}: {why}") from None


def _captured(owner: type) -> dict[str, Any]:
    """What the functions of a class use from functions further out."""
    found: dict[str, Any] = {}
    for each in vars(owner).values():
        if isinstance(each, FunctionType) and each.__closure__:
            for name, cell in zip(each.__code__.co_freevars, each.__closure__, strict=True):
                try:
                    found[name] = cell.cell_contents
                except ValueError:  # nothing was assigned to it yet
                    continue
    return found


@lru_cache(maxsize=64)
def _lines(file: str) -> Mapping[tuple[str, int, str], int]:
    """By class, its line, and a name in it: the line of that name. Empty where there is no source."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[tuple[str, int, str], int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
                for target in targets:
                    if isinstance(target, ast.Name):
                        found.setdefault((node.name, node.lineno, target.id), each.lineno)
    return found
