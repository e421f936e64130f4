"""What happens while the body of a class of states runs: declarations get their names, and none is lost.

Python would quietly let a second assignment of a name win, and forget what is assigned to `_` or not at all.
Here each of these is recorded, or refused on the line where it is written. What is declared is not judged here.
"""

from __future__ import annotations

import sys
from inspect import CO_OPTIMIZED
from typing import Any, ClassVar

from amachine._phases import Handler
from amachine.errors import BindingError, SchemaError


class Declared:
    """Something that a class body declares. It has a name once assigned, an owner once the class exists."""

    __slots__ = ("line", "name", "owner")

    kind: ClassVar[str]
    """What it is, in an error."""
    mend: ClassVar[str]
    """How it is assigned."""

    name: str
    """The attribute that it is assigned to; empty before."""
    owner: type[Any] | None
    """The class whose body declares it; None until that class exists."""
    line: int
    """The line of the class body on which it was made; 0 where it need not be assigned."""

    def __init__(self) -> None:
        self.name = ""
        self.owner = None
        self.line = 0

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if self.owner is None:
            self.owner = owner
            self.name = name

    def _lower(self, scope: Any) -> None:
        """Say its part of the schema that is being made."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy, pickled or not, is the declaration itself: it is told by its place.
        if self.owner is None:
            raise TypeError(f"this {self.kind} cannot be copied before its class exists")
        return getattr, (self.owner, self.name)


class Namespace(dict[str, Any]):
    """The namespace of a class body. `declared` keeps everything that was assigned, in order."""

    __slots__ = ("_bases", "_made", "_title", "declared")

    declared: list[Declared]

    def __init__(self, title: str, bases: tuple[type[Any], ...]) -> None:
        super().__init__()
        self._title = title
        self._bases = bases
        self._made: list[Declared] = []
        self.declared = []

    def __setitem__(self, key: str, value: Any) -> None:
        if value is self.get(key, self):
            return
        self._refuse_second(key, value)
        if isinstance(value, Declared) and not self._is_inherited(key, value):
            value.name = key
            self.declared.append(value)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.declared = [item for item in self.declared if item.name != key]

    def finish(self) -> tuple[Declared, ...]:
        """Return what was declared. Errors: `SchemaError` for what was made and then dropped."""
        for item in self._made:
            if item.line and not item.name:
                says = f"the {item.kind} on line {item.line} is not assigned to a name: write {item.mend}"
                raise SchemaError(says, schema=self._title)
        return tuple(self.declared)

    def made(self, item: Declared, line: int) -> None:
        """Remember that this was made while the body ran: it must be assigned before the end."""
        item.line = line
        self._made.append(item)

    def _refuse_second(self, key: str, value: Any) -> None:
        if key.startswith("_") or key not in self:
            return
        old = self[key]
        if isinstance(old, Declared) or isinstance(value, Declared):
            kind = old.kind if isinstance(old, Declared) else getattr(value, "kind", "")
            says = f"the name {key!r} of a {kind} is given twice: rename one of the two"
            raise SchemaError(says, schema=self._title, state=key)
        if isinstance(old, Handler) and getattr(value, "fn", value) is not old.fn:
            says = "is defined twice, and the first one would be lost: rename one of the two"
            raise BindingError(says, owner=self._title, handler=key)

    def _is_inherited(self, key: str, item: Declared) -> bool:
        """Whether this only repeats what a base has. Errors: `SchemaError` for what cannot be declared here."""
        if item.owner is not None:
            if key == item.name and any(issubclass(base, item.owner) for base in self._bases):
                return True
            owner = item.owner.__name__
            says = (
                f"{key!r} is assigned the {item.kind} {item.name!r} of {owner}: inherit from {owner}, "
                "or declare one of its own"
            )
            raise SchemaError(says, schema=self._title, state=key, other=item.name)
        if item.name:
            says = f"one {item.kind} is assigned to two names, {item.name!r} and {key!r}: make one for each"
            raise SchemaError(says, schema=self._title, state=key, other=item.name)
        return False


def note(item: Declared, depth: int = 2) -> None:
    """Tell the class body in which `item` is being made, `depth` calls up, if it is one, that it exists."""
    # Only this way can `relate(…)` without an assignment be refused rather than ignored. A function's frame is left
    # alone: its locals are no namespace of ours.
    frame = sys._getframe(depth)  # pyright: ignore[reportPrivateUsage]
    if not frame.f_code.co_flags & CO_OPTIMIZED and isinstance(frame.f_locals, Namespace):
        frame.f_locals.made(item, frame.f_lineno)
