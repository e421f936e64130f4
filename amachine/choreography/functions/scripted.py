"""Choreographies as functions: `@choreography` over a function whose parameters are roles.

The function is a script: it is read, and never run. A value that crosses roles is a message, a decision belongs to one role,
a call of another choreography plays it there, and what is returned names the exits. It only ties rooms together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from amachine.choreography.diagnostics import ChoreographyError, Diagnostic
from amachine.choreography.options import End, Policy, see_options
from amachine.choreography.whole import Choreography
from amachine.errors import AmachineError

if TYPE_CHECKING:
    from amachine.choreography.reading import Reading
    from amachine.choreography.script import Inform

__all__ = ["NotCalled", "ScriptFunction", "choreography"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class NotCalled(AmachineError, TypeError):
    """A script function was called as if it were to be run. It is played: see the text."""


class ScriptFunction(Choreography, Generic[P, R_co]):
    """A choreography that is written as a function. It is read at its first use, so that it may call others defined below it.

    In another script function it is called, with roles, as the function that it is; anywhere else it is played, as every
    `Choreography` is: `await pingpong.run_local({"c": Client(), "s": Server()})`. Roles are the function's parameters.

    Errors: `ChoreographyError` from whatever is asked of it first, if it is not sound; `check` tells without raising.
    """

    def __init__(
        self, function: Callable[P, R_co], options: Mapping[str, Any], shape: Mapping[str, Any]
    ) -> None:
        self.function: Callable[..., Any] = function
        """What was written. It is never run."""
        self._options = options
        self._shape = shape
        self._settling = False
        functools.update_wrapper(self, function, updated=())  # its own attributes are no business of ours

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:  # noqa: ARG002  - the checkers' business
        """Only in other script functions. Errors: `NotCalled`, anywhere else."""
        name = self.__name__
        roles = ", ".join(
            f'"{role}": …' for role in self.function.__code__.co_varnames[: _count(self.function)]
        )
        raise NotCalled(
            f"{name} is a script for its roles, and no function to be run: `await {name}.run_local({{{roles}}})`"
        )

    def __reduce__(self) -> str:
        # As functions are, it is pickled as the name under which it can be imported.
        return self.__qualname__

    def __repr__(self) -> str:
        return f"<choreography {self.__name__}>"

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str
    else:

        def __getattr__(self, name: str) -> Any:
            # What `_settle` assigns is not there before it is needed.
            if name in _SETTLED and "function" in self.__dict__:
                with _READING:
                    if "codec" not in self.__dict__ and not self._settling:  # the last that is assigned
                        self._read_now()
                    if name in self.__dict__:
                        return self.__dict__[name]
            if hasattr(type(self), name):  # it is there, and failed: let that be seen
                return object.__getattribute__(self, name)
            title = self.__dict__.get("__name__", "")
            raise AttributeError(
                f"{type(self).__name__} {title} has no attribute {name!r}", name=name, obj=self
            )

    @cached_property
    def reading(self) -> Reading:
        """What comes of reading it: the script as it is written, before anybody is told of choices; and what is wrong with it.

        Nothing is raised.
        """
        from amachine.choreography.functions.lowering import lower

        return lower(self.function, script_of=_script_of, **self._shape)

    def check(self) -> tuple[Diagnostic, ...]:
        """All that is found wrong or doubtful, in reading and in checking the whole. Nothing is raised; empty is well."""
        try:
            return self.diagnostics
        except ChoreographyError as error:
            return error.diagnostics

    def _read_now(self) -> None:
        self._settling = True
        try:
            self._settle(self.reading, **self._options)
        finally:
            self._settling = False


_READING = RLock()
"""One at a time is read: two threads may ask the same one for something first. Not one of its own, for the sake of copies."""

_SETTLED = frozenset({"script", "acts", "roles", "needs", "diagnostics", "patience", "codec"})


def _count(function: Any) -> int:
    code = function.__code__
    return int(code.co_argcount + code.co_kwonlyargcount)


def _script_of(value: object) -> Any:
    """The function behind a script function; None for all else."""
    return value.function if isinstance(value, ScriptFunction) else None


@overload
def choreography(function: Callable[P, R_co], /) -> ScriptFunction[P, R_co]: ...
@overload
def choreography(
    *,
    name: str | None = None,
    inform: Policy = "auto",
    informs: Iterable[Inform] = (),
    profile: Mapping[tuple[str, str], float] | None = None,
    endless: bool = False,
    end: End = "known",
    patience: float | None = None,
    codec: Any = None,
) -> Callable[[Callable[P, R_co]], ScriptFunction[P, R_co]]: ...
def choreography(
    function: Callable[P, R_co] | None = None,
    /,
    *,
    name: str | None = None,
    inform: Policy = "auto",
    informs: Iterable[Inform] = (),
    profile: Mapping[tuple[str, str], float] | None = None,
    endless: bool = False,
    end: End = "known",
    patience: float | None = None,
    codec: Any = None,
) -> ScriptFunction[P, R_co] | Callable[[Callable[P, R_co]], ScriptFunction[P, R_co]]:
    """Make a choreography of a function. The options are those of `Choreography`: they count where it is played itself.

    Each parameter is a role, typed by a Protocol, or a class, with what it must offer. The body may say:

    * `s.count = c.count`, `k.tally(x.vote(), y.vote())`: what belongs to another role is sent, with the annotated type;
    * `while`, `if` and `match` over what one role has or does: that role decides; what a pattern binds goes along;
    * `pingpong(a, b)`: another choreography, played there; its returned values can be branched on, not kept;
    * `return`, with a bool, a member of an enum, a literal or None: an exit, `ReturnedTrue`, `ReturnedOK`, `Done`.

    Operations may be async. What a role needs later is kept for each session by itself: a context may play in several.
    """
    pinned = tuple(informs)
    see_options(
        name=name, inform=inform, informs=pinned, profile=profile, end=end, patience=patience, codec=codec
    )
    options = {"inform": inform, "profile": profile, "patience": patience, "codec": codec}
    shape = {
        "name": name,
        "informs": pinned,
        "endless": endless,
        "closing": end == "bye",
        "codec": codec,
    }

    def make(function: Callable[P, R_co]) -> ScriptFunction[P, R_co]:
        return ScriptFunction(function, options, shape)

    return make if function is None else make(function)
