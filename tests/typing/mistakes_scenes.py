"""Scenes that are wrong, each line marked `# E` in one way: both checkers must say so, there and nowhere else."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from amachine.choreography.scenes.reader import (
    Barrier,
    Exit,
    Msg,
    Region,
    Scene,
    Sent,
    To,
    after,
    ignore,
    weight,
)


class Pinger(Protocol):
    count: int


C = TypeVar("C", bound=Pinger)
V = TypeVar("V", bound=Pinger)
Next = TypeVar("Next")


class Ping(Scene[C, V], Generic[C, V, Next]):
    ping: Msg[int, Ping[C, V, Next]]
    next: Msg[None, Next]

    def send(self, me: C) -> Sent:
        return self.ping(me.count) if me.count else self.next()


class Alice:
    count = 0


class Bob:
    count = 0


class Plain: ...


class Branches(Scene[Alice, Bob]):
    unknown: Msg[int, Pongg]  # E unknown continuation  # noqa: F821
    short: Msg[None, Ping[Alice, Bob]]  # E too few template arguments
    long: Msg[None, Ping[Alice, Bob, Exit, Exit]]  # E too many template arguments
    played: Msg[None, Ping[Plain, Bob, Exit]]  # E a class that cannot play the role
    nowhere: Msg[int]  # E no continuation
    narrowed: Msg[int, Exit, Bob]  # E receivers without To
    nobody: Msg[int, Exit, To[Bobb]]  # E unknown role  # noqa: F821
    late: Msg[int, Exit] = after(5)  # E a payload that time cannot send
    heavy: Msg[int, Exit] = weight("3")  # E an option of the wrong type
    optional: Msg[int, Exit] = 3  # E no option
    both: Msg[None, Exit] = after(5, 3)  # E options by keyword
    weighed: Msg[int, Exit] = ignore(wait=3)  # E no such option
    held: Msg[None, Barrier]  # E a barrier before nothing
    patience = "30"  # E no number of seconds


class Chooses(Scene[Alice, Bob]):
    number: Msg[int, Exit]
    none: Msg[None, Exit]

    def send(self, me: Alice) -> Sent:
        self.number("x")  # E wrong payload
        self.number()  # E missing payload
        self.number(1, 2)  # E too many payloads
        self.none(3)  # E payload where there is none
        self.nun()  # E unknown label
        self.number.nxt  # E no such attribute  # noqa: B018  # pyright: ignore[reportUnusedExpression]
        me.total = 3  # E unknown attribute of the role
        return 3  # E not a message


class OfAnother(Scene[Alice, Bob]):
    none: Msg[None, Exit]

    def send(self, me: Bob) -> Sent:  # E the context of another role
        return self.none()


class OfNobody(Scene[Alice, Bob]):
    none: Msg[None, Exit]

    def send(self) -> Sent:  # E no context at all
        return self.none()


class Tuples(Scene[Alice, Bob]):
    none: Msg[None, Exit]

    def send(self, me: Alice) -> tuple[str, None]:  # E not a message
        return ("none", None)


class Said(Scene[Alice, Bob]):
    none: Msg[None, Exit]

    def send(self, me: Alice) -> Sent:
        return "none", None  # E not a message


class Lost(Region, on_lost=Alice): ...  # E neither a scene nor an exit


class LostByRole(Region, on_lost={Alice: Bob}): ...  # E neither a scene nor an exit


class LostByName(Region, on_lost={"Alice": Exit}): ...  # E roles are classes


class LostLater(Region, on_lost=lambda: [Exit]): ...  # E neither a scene nor an exit


class Restarts(Region, restart="yes"): ...  # E a flag


class Lots(Region, on_lots=Exit): ...  # E no such keyword
