"""Scenes with the arguments of their templates: `Ping[Alice, Bob, Exit]` is one, whoever mentions it, and made once.

What is written is looked up; nothing is checked here but that templates can be applied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ForwardRef, Self, TypeAlias, TypeGuard, TypeVar, cast, get_args, get_origin

import attrs
from typing_extensions import NoDefault

from amachine.choreography.scenes.whence import Unresolved, evaluated
from amachine.choreography.scenes.words import Barrier, Exit, Scene
from amachine.choreography.script import EXIT
from amachine.choreography.subtypes import fits, is_protocol, missing
from amachine.choreography.typenames import payload_name

__all__ = ["AnyScene", "Applied", "Held", "Mistake", "Templates", "called", "is_scene"]

MOST_SCENES = 10_000
LONGEST_ID = 10_000
"""Characters. A continuation that grows on every turn gets here long before there are so many scenes."""
DEEPEST = 50
"""Brackets within brackets of a payload. One that grows on every turn gets here soon."""

AnyScene: TypeAlias = Scene[Any, *tuple[Any, ...]]
Values: TypeAlias = Mapping[Any, Any]
"""What type parameters stand for."""


class Mistake(Exception):  # no error of a program: the reading turns it into a diagnostic
    """Something is written wrongly; who reads knows where."""

    def __init__(self, code: str, text: str, hint: str = "") -> None:
        self.code = code
        self.text = text
        self.hint = hint
        super().__init__(text)


@attrs.frozen(eq=False)
class Applied:
    """A scene class with its arguments."""

    kind: type[AnyScene]
    id: str
    values: dict[type, Values] = attrs.field(factory=dict[type, Values])
    """For it and each scene class that it inherits from."""
    cast: list[Any] = attrs.field(factory=list[Any])
    """Who plays in it, the sender first: role classes, if all is well."""


@attrs.frozen(eq=False)
class Held:
    """A barrier before something."""

    next: Any


@attrs.define(eq=False)
class Templates:
    """Makes each scene once."""

    made: dict[Any, Applied] = attrs.field(factory=dict[Any, Applied])
    exits: dict[Any, type[Exit]] = attrs.field(factory=dict[Any, type[Exit]])
    texts: dict[tuple[type, str], Any] = attrs.field(factory=dict[tuple[type, str], Any])

    def evaluated(self, written: Any, owner: type) -> Any:
        """What a part of an annotation in class `owner` is, if it is written as a text. Errors: `Unresolved`."""
        if not isinstance(written, str | ForwardRef):
            return written
        text = written if isinstance(written, str) else written.__forward_arg__
        if not hasattr(owner, "__statement__"):
            raise Unresolved(f"{text!r} cannot be resolved outside of a class", name=text)
        if (owner, text) not in self.texts:
            whence = cast("type[AnyScene]", owner).__statement__.whence
            self.texts[owner, text] = evaluated(text, whence.scope(owner))
        return self.texts[owner, text]

    def meaning(self, written: Any, owner: type, at: Applied) -> Any:
        """What a part of an annotation in class `owner` means in a scene. Errors: `Mistake`, `Unresolved`."""
        written = self.evaluated(written, owner)
        if isinstance(written, TypeVar):
            return self._value(written, owner, at)
        if written is Self:
            if not is_scene(at.kind):
                raise Mistake("AMC102", f"{at.id}: Self means nothing outside of a scene")
            return at
        origin, parts = get_origin(written), get_args(written)
        if is_scene(origin or written):
            arguments = tuple(self.meaning(each, owner, at) for each in parts)
            return self.apply(cast("type[AnyScene]", origin or written), arguments)
        if isinstance(origin, type) and issubclass(origin, Exit):
            return self._exit(origin, tuple(self.meaning(each, owner, at) for each in parts))
        if origin is Barrier:
            return Held(self.meaning(parts[0], owner, at))
        if origin is not None and (free := getattr(written, "__parameters__", ())):
            payload = written[tuple(self._value(each, owner, at) for each in free)]
            if _depth(payload) > DEEPEST:
                raise _growing(owner.__name__, owner.__name__)
            return payload
        return written

    def _exit(self, kind: type[Exit], arguments: tuple[Any, ...]) -> type[Exit]:
        """The exit that a template is with these arguments: a class of its own name, `Wins_Cross` for `Wins[Cross]`."""
        key = (kind, arguments)
        if key not in self.exits:
            words = [kind.__name__, *(re.sub(r"\W+", "_", called(each)).strip("_") for each in arguments)]
            self.exits[key] = type("_".join(words), (kind,), {"__doc__": kind.__doc__})
        return self.exits[key]

    def apply(self, kind: type[AnyScene], arguments: tuple[Any, ...]) -> Applied:
        """The scene that a class is with these arguments. Errors: `Mistake`."""
        try:
            found = self.made.get((kind, arguments))
            key: Any = (kind, arguments)
        except TypeError:  # `Annotated` with something unhashable
            key = (kind, repr(arguments))
            found = self.made.get(key)
        except RecursionError:
            raise _growing(kind.__name__, kind.__name__) from None
        return found or self._apply(kind, arguments, key)

    def _apply(self, kind: type[AnyScene], arguments: tuple[Any, ...], key: Any) -> Applied:
        parameters: tuple[Any, ...] = getattr(kind, "__parameters__", ())
        try:
            names = [called(each) for each in arguments]
        except RecursionError:
            raise _growing(kind.__name__, kind.__name__) from None
        id = f"{kind.__name__}[{', '.join(names)}]" if names else kind.__name__
        if len(self.made) >= MOST_SCENES or len(id) > LONGEST_ID:
            name = kind.__name__
            raise _growing(name, f"{name}[{', '.join(each.partition('[')[0] for each in names)}]")
        applied = Applied(kind, id)
        applied.values[kind] = {each: arguments[n] for n, each in enumerate(parameters[: len(arguments)])}
        self.made[key] = applied
        try:
            for each in parameters:
                self._value(each, kind, applied)
            for parameter, argument in applied.values[kind].items():
                bound = self.evaluated(getattr(parameter, "__bound__", None), kind)
                _see_it_can_play(id, parameter, argument, bound)
            self._inherit(kind, applied)
        except BaseException:
            del self.made[key]
            raise
        return applied

    def _inherit(self, kind: type, applied: Applied) -> None:
        """Find out what the parameters of a class's bases stand for, and who is cast."""
        bases: tuple[Any, ...] = vars(kind).get("__orig_bases__", kind.__bases__)
        for base in bases:
            origin = get_origin(base) or base
            parts = [self.meaning(each, kind, applied) for each in get_args(base)]
            if origin is Scene:
                applied.cast[:] = applied.cast or parts
            elif is_scene(origin):
                applied.values[origin] = dict(zip(getattr(origin, "__parameters__", ()), parts, strict=False))
                for each in getattr(origin, "__parameters__", ()):
                    self._value(each, origin, applied)
                self._inherit(origin, applied)

    def _value(self, parameter: Any, owner: type, at: Applied) -> Any:
        """What a type parameter stands for; else its default."""
        values = at.values.get(owner, {})
        if parameter in values:
            return values[parameter]
        default = getattr(parameter, "__default__", NoDefault)
        if default is NoDefault or default is None:
            parameters = getattr(owner, "__parameters__", ())
            takes = f"{owner.__name__}[{', '.join(each.__name__ for each in parameters)}]"
            hint = (
                f"the template is {takes}"
                if parameters
                else f"Generic[{parameter.__name__}] makes it a template"
            )
            raise Mistake("AMC106", f"{at.id}: nothing is given for {parameter.__name__}", hint)
        return self.meaning(default, owner, at)


def _depth(kind: Any) -> int:
    """How many brackets of a type are within one another."""
    return 1 + max(map(_depth, get_args(kind)), default=-1)


def _growing(name: str, short: str) -> Mistake:
    grows = f"a continuation grows on every turn ({name} -> {name}[{name}] -> ...)"
    hint = "let the roles' objects remember what grows, and the scene go on at itself"
    return Mistake("AMC108", f"{short}: more than {MOST_SCENES:,} scenes; {grows}", hint)


def is_scene(kind: Any) -> TypeGuard[type[AnyScene]]:
    """Whether it is somebody's scene class."""
    return isinstance(kind, type) and issubclass(kind, Scene) and kind is not Scene


def called(value: Any) -> str:
    """The name of a role, scene, exit or payload type in an id."""
    if isinstance(value, Applied):
        return value.id
    if isinstance(value, Held):
        return f"Barrier[{called(value.next)}]"
    if value is Exit:
        return EXIT
    return value.__name__ if isinstance(value, type) else payload_name(value)


def _see_it_can_play(id: str, parameter: TypeVar, argument: Any, bound: Any) -> None:
    """Errors: `Mistake`, where a class lacks what its part asks for."""
    wanted = (bound,) if bound is not None else parameter.__constraints__
    if not wanted or not isinstance(argument, type) or any(fits(argument, each) for each in wanted):
        return
    names = " or ".join(called(each) for each in wanted)
    absent = missing(argument, bound) if is_protocol(bound) else ()
    lacks = f"it has no {', no '.join(absent)}" if absent else f"it is no {names}"
    raise Mistake(
        "AMC107",
        f"{id}: {argument.__name__} cannot play {parameter.__name__}: {lacks}",
        f"it must be a {names}",
    )
