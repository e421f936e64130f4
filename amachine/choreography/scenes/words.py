"""The words in which scenes are written. A scene is a class: its types are the script, its methods what is done.

    class Ping(Scene[Alice, Bob]):          # Alice chooses, Bob hears of it
        ping: Msg[int, Pong]                # she may say `ping`, with a number; Pong is next
        stop: Msg[None, Exit]               # or `stop`, with nothing; then all is over

        def send(self, me: Alice) -> Sent:
            return self.ping(me.count) if me.count < 3 else self.stop()

        def on_ping(self, me: Bob, n: int) -> None:
            me.count = n

A template is an ordinary generic class, `Ping[Alice, Bob, Exit]`. Scenes hold no state: what has to be remembered is in the
roles' objects, `me`. Nothing is read or checked here; `scenes.reader` does, when a choreography is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, Generic, Never, NewType, TypeAlias, TypeVarTuple, overload

import attrs
from typing_extensions import TypeVar

from amachine.choreography.acting import Answer
from amachine.choreography.scenes.whence import Whence, annotations_of

__all__ = [
    "Barrier", "Exit", "Later", "Msg", "Onward", "Region", "Scene", "Sent", "Statement", "To", "after", "ignore", "weight",
]  # fmt: skip

Sent = NewType("Sent", Answer)
"""What `send` gives back: a branch of its scene, called. At run time the pair of its label and what goes along."""


class Onward:
    """What can come next: a scene, an exit, or a barrier before one."""


class Exit(Onward):
    """Where all is over. A subclass is an exit of its own name: `class Failed(Exit)`.

    It may be a template: with `class Wins(Exit, Generic[Winner])`, `Wins[Cross]` is an exit whose name is `Wins_Cross`.
    """


# Who hears of a branch.

Roles = TypeVarTuple("Roles")


class Hearers:
    """Everybody in the cast of the scene, but its sender."""


class To(Hearers, Generic[*Roles]):
    """Only these: `Msg[int, Next, To[Bob]]`. `To[()]` is nobody: a decision that only the sender sees."""


# Branches.

Payload_contra = TypeVar("Payload_contra", contravariant=True)
Next_co = TypeVar("Next_co", covariant=True)
Who_co = TypeVar("Who_co", bound=Hearers, default=Hearers, covariant=True)


@attrs.frozen(eq=False)
class Msg(Generic[Payload_contra, Next_co, Who_co]):
    """A branch: what goes along (None: nothing), what follows, and who hears of it if that is not the whole cast.

    A payload that may be None is written as a class with one field. Options are the value of a branch: `after(5.0)`,
    `weight(3)`, `ignore()`.
    """

    after: float | None = attrs.field(default=None, kw_only=True)
    weight: float | None = attrs.field(default=None, kw_only=True)
    ignored: bool = attrs.field(default=False, kw_only=True)

    @overload
    def __call__(self: Msg[None, Any, Any], /) -> Sent: ...
    @overload
    def __call__(self, data: Payload_contra, /) -> Sent: ...
    def __call__(self, *_: Any) -> Sent:
        """Choose this branch: to be called in `send`, as `self.ping(5)`, and given back."""
        raise TypeError(
            "this is the option of a branch; what can be chosen is a branch of a scene: self.ping(...)"
        )


def after(seconds: float, *, weight: float | None = None) -> Msg[None, Never, Never]:
    """Let time take this branch, when the sender has chosen none within so many seconds.

    `late: Msg[None, Exit] = after(5.0)`
    """
    return Msg(after=seconds, weight=weight)


def ignore(*, weight: float | None = None) -> Msg[object, Never, Never]:
    """It is meant that nobody has an `on_…` for this branch, though it carries something."""
    return Msg(ignored=True, weight=weight)


def weight(often: float) -> Msg[object, Never, Never]:
    """How often this branch is taken, beside the others of its scene, where each has 1 if nothing is said.

    A hint, for what is worth telling whom.
    """
    return Msg(weight=often)


# Scenes.


@attrs.frozen(eq=False)
class Statement:
    """A scene or a region as it was written."""

    whence: Whence
    labels: AbstractSet[str] = frozenset()
    """What can be called in `send`, if it is a branch."""
    options: Mapping[str, Msg[Any, Any, Any]] = attrs.field(factory=dict[str, "Msg[Any, Any, Any]"])
    """By label, for the branches that have some."""
    on_lost: Any = None
    restart: bool = False


Sender = TypeVar("Sender")
Receivers = TypeVarTuple("Receivers")


class Scene(Onward, Generic[Sender, *Receivers]):
    """One role chooses a branch, the others of the cast hear of it: `class Ping(Scene[Alice, Bob])`.

    Annotations are its branches. `send` chooses one, and `on_<label>` is called for each who hears of it; each of them
    may be `async`. `Self` stands for the scene itself, as it is applied.
    """

    patience: ClassVar[float | None] = None
    """How many seconds a role waits here before it gives up the session; None leaves that to the choreography."""

    __statement__: ClassVar[Statement]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        options: dict[str, Msg[Any, Any, Any]] = {
            label: each for label, each in vars(cls).items() if isinstance(each, Msg)
        }
        taken = {name for each in Scene.__mro__ for name in vars(each)} | vars(cls).keys()
        bare = annotations_of(cls).keys() - taken
        cls.__statement__ = Statement(Whence.here(cls.__module__), bare | options.keys(), options)
        for label in cls.__statement__.labels:
            setattr(cls, label, _chooser(label))

    def send(self, me: Sender, /) -> Sent | Awaitable[Sent]:
        """Choose a branch: `return self.ping(me.count)`. To be written for every scene."""
        raise NotImplementedError(f"{type(self).__name__} has no send")


def _chooser(label: str) -> Callable[..., Any]:
    # A plain function in the class, which gives a plain tuple: `self.ping(5)` is called for every message.
    def choose(_: object, data: Any = None, /) -> Any:
        return label, data

    choose.__name__ = choose.__qualname__ = label
    return choose


class Barrier(Onward, Generic[Next_co]):
    """Wait until this part is done: `Ping[Alice, Bob, Barrier[Start]]`, wherever a scene can come next.

    Whoever chooses the branch that leads there tells the sender of `Start`, with a frame `done`; nobody needs to where that
    one chose or heard that branch. Without a barrier, a role begins the next part as soon as it can, though others may still
    be in the last one.
    """


# Regions.

Later: TypeAlias = type[Onward] | str | Callable[[], type[Onward]]
"""A scene or an exit. What is written further down goes behind a `lambda:`, which type checkers look into, or into a text, which
is looked up when the choreography is made."""


class Region:
    """Scenes that fail together: `class Pay(Region, on_lost=Refund)`, then `class Charge(Pay, Scene[A, B])`.

    When a role is lost in it that is declared `mortal`, those who are left go on at `on_lost`: a scene or an exit, or one for
    each role that may be lost: `{Bank: Refund, Shop: Failed}`. With `restart`, everybody goes back to where the region
    began, and somebody else plays the lost role. A region can be in another: `class Inner(Pay, on_lost=…)`.
    """

    __statement__: ClassVar[Statement]

    def __init_subclass__(
        cls, *, on_lost: Later | Mapping[type, Later] | None = None, restart: bool = False
    ) -> None:
        super().__init_subclass__()
        if not issubclass(cls, Scene):  # which has seen to its own
            cls.__statement__ = Statement(Whence.here(cls.__module__))
        cls.__statement__ = attrs.evolve(cls.__statement__, on_lost=on_lost, restart=restart)
