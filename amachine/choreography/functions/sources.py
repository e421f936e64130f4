"""Script functions as they are written: their syntax tree, what its names mean, and the roles that they cast.

It reads and resolves; it runs nothing of what it reads, and decides nothing about choreographies.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import CellType, FunctionType
from typing import Any

import attrs

from amachine.choreography.diagnostics import Diagnostic
from amachine.choreography.places import place_of
from amachine.choreography.script import Place
from amachine.errors import nearest

__all__ = ["BINDING", "MISSING", "Source", "Trouble", "bound_inside", "is_role_class"]

MISSING: Any = object()
"""What a name means that means nothing."""


class Trouble(Exception):
    """A part of a script cannot be read; what is wrong is already told. Never leaves the lowering."""


@attrs.frozen(eq=False)
class Source:
    """One script function: the tree of its source, where it is, and what its names mean."""

    function: Any
    """A plain function. (Its type would read as that of a method.)"""
    tree: ast.FunctionDef | ast.AsyncFunctionDef

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Source | Diagnostic:
        """Read the source of a function; a diagnostic (AMC303) where there is none."""
        if not isinstance(function, FunctionType):
            return _no_source(
                repr(function), None, "is no function", "decorate a plain function", code="AMC300"
            )
        name, place = function.__qualname__, place_of(function)
        try:
            linecache.checkcache(function.__code__.co_filename)
            lines, first = inspect.getsourcelines(function)
        except (OSError, TypeError):
            return _no_source(name, place, "has no source to be read from", _KEEP)
        head = "if True:\n" if lines[0][:1].isspace() else "\n"
        try:
            # The source is not dedented: columns, too, are those of the file.
            tree = ast.parse(head + "".join(lines))
        except SyntaxError:
            return _changed(name, place)
        ast.increment_lineno(tree, first - 2)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name == function.__name__:
                    return cls(function, node)
                break
        if any(isinstance(node, ast.Lambda) for node in ast.walk(tree)):
            return _no_source(name, place, "is a lambda", "write it as a function, with `def`", code="AMC300")
        return _changed(name, place)

    @property
    def name(self) -> str:
        """What its author calls it."""
        name: str = self.function.__name__
        return name

    @property
    def file(self) -> str:
        """The file that it is written in, as tracebacks name it."""
        file: str = self.function.__code__.co_filename
        return file

    def place(self, node: ast.AST | None = None) -> Place:
        """Where a part of it stands."""
        return Place(self.file, getattr(self.tree if node is None else node, "lineno", self.tree.lineno))

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of its roles."""
        args = self.tree.args
        return tuple(each.arg for each in (*args.posonlyargs, *args.args, *args.kwonlyargs))

    @cached_property
    def cells(self) -> Mapping[str, CellType]:
        """What it takes from the functions around it."""
        return dict(zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True))

    def lookup(self, name: str) -> Any:
        """What a name means where the function was written, now; `MISSING` if nothing."""
        if name in self.cells:
            try:
                return self.cells[name].cell_contents
            except ValueError:
                return MISSING
        if name in self.function.__globals__:
            return self.function.__globals__[name]
        return getattr(builtins, name, MISSING)

    def meaning(self, expr: ast.expr) -> Any:
        """What `name` or `name.other` means, constants too; `MISSING` for all else. Looks at modules and classes only."""
        if isinstance(expr, ast.Constant):
            return expr.value
        if isinstance(expr, ast.Name):
            return MISSING if expr.id in self.parameters else self.lookup(expr.id)
        if isinstance(expr, ast.Attribute):
            owner = self.meaning(expr.value)
            return MISSING if owner is MISSING else getattr(owner, expr.attr, MISSING)
        if isinstance(expr, ast.UnaryOp) and isinstance(expr.op, ast.USub):
            value = self.meaning(expr.operand)
            return -value if isinstance(value, int | float) else MISSING
        return MISSING

    def known(self) -> Iterator[str]:
        """All names that mean something there."""
        yield from self.parameters
        yield from self.cells
        yield from self.function.__globals__
        yield from dir(builtins)

    def roles(self) -> tuple[dict[str, type], list[Diagnostic]]:
        """By parameter, the class or protocol that it is typed by; and what is wrong with that (AMC300)."""
        found: dict[str, type] = {}
        args = self.tree.args
        many = [each for each in (args.vararg, args.kwarg) if each is not None]
        wrong = [self._not_a_role(each, "stands for any number of roles", _NAME_THEM) for each in many]
        for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs):
            annotation = self.function.__annotations__.get(arg.arg, MISSING)
            if annotation is MISSING:
                wrong.append(self._not_a_role(arg, "does not say what it must offer", _TYPE_IT))
                continue
            cls = self._evaluated(annotation)
            if isinstance(cls, Diagnostic):
                wrong.append(attrs.evolve(cls, role=arg.arg, place=self.place(arg)))
            elif not is_role_class(cls):
                text = f"is typed by {_spelled(cls)}, which is no class of roles"
                wrong.append(self._not_a_role(arg, text, _TYPE_IT))
            else:
                found[arg.arg] = cls
        if not self.parameters:
            text = f"{self.name} casts nobody"
            wrong.append(Diagnostic("AMC300", text, hint=_TYPE_IT, place=self.place()))
        return found, wrong

    def cast_at(self) -> dict[str, Place]:
        """By role, where it is cast."""
        args = self.tree.args
        return {each.arg: self.place(each) for each in (*args.posonlyargs, *args.args, *args.kwonlyargs)}

    @cached_property
    def returns(self) -> Any:
        """The type that it says it returns; `MISSING` if it does not, or if that means nothing."""
        annotation = self.function.__annotations__.get("return", MISSING)
        if annotation is MISSING:
            return MISSING
        value = self._evaluated(annotation)
        return MISSING if isinstance(value, Diagnostic) else value

    def evaluated(self, annotation: ast.expr) -> Any:
        """The type that an annotation inside of the function means; `MISSING` if it means nothing."""
        value = self._evaluated(ast.unparse(annotation))
        return MISSING if isinstance(value, Diagnostic) else value

    def _evaluated(self, annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation
        holder = FunctionType((lambda: None).__code__, self.function.__globals__)
        holder.__annotations__ = {"it": annotation}
        local = {name: value for name in self.cells if (value := self.lookup(name)) is not MISSING}
        try:
            return typing.get_type_hints(holder, None, local, include_extras=True)["it"]
        except Exception as error:  # noqa: BLE001  - whatever an annotation may raise, it is its author who must know
            name = getattr(error, "name", None) or annotation
            text = f"{self.name}: the annotation {annotation!r} cannot be resolved: {error}"
            hint = f"define it where the module sees it{nearest(name, self.known())}"
            return Diagnostic("AMC300", text, hint=hint)

    def _not_a_role(self, arg: ast.arg, text: str, hint: str) -> Diagnostic:
        return Diagnostic(
            "AMC300",
            f"{self.name}: parameter {arg.arg!r} {text}",
            role=arg.arg,
            hint=hint,
            place=self.place(arg),
        )


_KEEP = (
    "write it in a file that is there when it runs, or make the script of scene classes: they need no source"
)
_AGAIN = "import it again"
_TYPE_IT = "every parameter is a role: type it by a Protocol, or a class, with what it offers"
_NAME_THEM = "give each role a parameter of its own"


def _changed(name: str, place: Place | None) -> Diagnostic:
    """What is found is not the function: its file was written anew, or `<string>` is what something else was run from."""
    if place is not None and place.file.startswith("<"):
        return _no_source(name, place, "has no source to be read from", _KEEP)
    return _no_source(name, place, "is no longer what its file says", _AGAIN)


def _no_source(name: str, place: Place | None, what: str, hint: str, code: str = "AMC303") -> Diagnostic:
    return Diagnostic(code, f"{name} {what}", hint=hint, place=place)


def is_role_class(cls: Any) -> bool:
    """Whether a type can be that of a role: a class or protocol, and none of Python's own."""
    cls = typing.get_origin(cls) or cls
    return isinstance(cls, type) and cls.__module__ != "builtins"


def _spelled(cls: Any) -> str:
    return cls.__name__ if isinstance(cls, type) else str(cls)


BINDING = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
"""Expressions that bind names for themselves."""


def bound_inside(expr: ast.AST) -> set[str]:
    """The names that an expression binds for itself: the parameters of lambdas, the targets of comprehensions."""
    found: set[str] = set()
    for node in ast.walk(expr):
        if isinstance(node, ast.Lambda):
            found.update(arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg))
        elif isinstance(node, ast.comprehension):
            found.update(name.id for name in ast.walk(node.target) if isinstance(name, ast.Name))
    return found
