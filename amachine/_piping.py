"""How pipes run: the states of one machine that lead those of another. What users call is in `pipes`.

A pipe looks at its source once a transition, when that is over and nothing of it can be put back, and before the next one.
So it passes on what is true, and the mutations that it makes name the source's transition as their cause. It waits for
nobody: a target that is busy, or lives in another thread or event loop, queues them. It keeps no machine alive, and
decides nothing: the target may refuse.
"""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from threading import get_ident, local
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias
from weakref import WeakKeyDictionary, ref

import attrs

from amachine._bits import tick_at
from amachine.errors import WaitError
from amachine.handed import Life
from amachine.mutation import ErrorInfo, Kind, Mutation
from amachine.subscriptions import End, Wait, condition

if TYPE_CHECKING:
    from types import TracebackType

    from amachine._wait import Moment
    from amachine.machine import Machine

EXCEPTION = "Exception"


@attrs.frozen
class Link:
    """One state of the source, and what it leads to in the target."""

    source: str
    target: str
    inverted: bool = False
    """The target's state is active while the source's is not."""
    flat: bool = False
    """Only on and off count: no arguments, no re-entries, and nothing where the target is there already."""
    only: Literal["add", "remove"] | None = None
    """What alone it does to the target."""
    args: Callable[[Any], Any] | None = None
    """Makes the target's arguments of the source's; None where it takes none."""
    is_error: bool = False
    """It reports errors: the target's `Exception` is entered, too."""

    def __str__(self) -> str:
        return f"{'not ' if self.inverted else ''}{self.source} → {self.target}"


class _Book:
    """The pipes of one machine, in order; and that machine, to tell where a mutation has been."""

    __slots__ = ("pipes",)

    def __init__(self) -> None:
        self.pipes: dict[Pipe, None] = {}


_books: WeakKeyDictionary[Machine, _Book] = WeakKeyDictionary()
_serials = count(1)

_Step: TypeAlias = tuple[_Book, str, int]
"""A state of a machine that was passed on, and the serial of the pipe that did."""


class _Trail(NamedTuple):
    """Where a mutation has been, so that a ring of pipes comes to rest."""

    steps: tuple[_Step, ...] = ()
    decided: bool = False
    """It goes round once more, for the last time, to settle what concurrent mutations have left in two minds."""


class _Piped(Mutation):
    """A mutation that a pipe made."""

    __slots__ = ("through",)

    through: _Trail


class Pipe:
    """Some states of one machine bound to states of another. Made by the functions of this module; hold it to `unbind()` it.

    It unbinds itself when either machine closes or is collected. What the target has by then, it keeps.
    """

    links: tuple[Link, ...]
    """The pairs of states, in order."""

    def __init__(
        self, source: Machine, target: Machine, links: Iterable[Link], *, whole: bool = False
    ) -> None:
        self.links = tuple(links)
        self._label = f"{source.id} to {target.id}: {', '.join(map(str, self.links))}"
        self._source: ref[Machine] = ref(source, self._gone)
        self._target: ref[Machine] = ref(target, self._gone)
        self._whole = whole
        self._bound = True
        self._seen = 0
        self._wait: Wait[Any] | None = None
        self._serial = next(_serials)
        self._from = _book(source)
        self._to = _book(target)
        self._from.pipes[self] = self._to.pipes[self] = None
        if source.is_closed or target.is_closed:  # since the caller asked
            self.unbind()
        source.eval(self._open)

    @property
    def source(self) -> Machine | None:
        """The machine that leads; None when it has been collected."""
        return self._source()

    @property
    def target(self) -> Machine | None:
        """The machine that follows; None when it has been collected."""
        return self._target()

    @property
    def is_mirror(self) -> bool:
        """Whether it keeps the whole target as the source is."""
        return self._whole

    @property
    def is_bound(self) -> bool:
        """Whether it still passes anything on."""
        return self._bound

    def unbind(self) -> None:
        """Pass nothing on any more; from any thread. The target stays as it is. Again: nothing."""
        self._bound = False
        self._from.pipes.pop(self, None)
        self._to.pipes.pop(self, None)
        if self._wait is not None:
            self._wait.cancel()

    def sync(self) -> Wait[int]:
        """Bring the target in step with what the source is now, where it is not. Yields how many states that moves.

        Done at once, unless the source is busy or lives elsewhere. For a target that has refused, or went its own ways; making a
        pipe does it by itself. Errors: `WaitError` when the pipe is unbound.
        """
        source = self._source()
        if not self._bound or source is None:
            raise WaitError(f"the pipe {self._label} is unbound: make another")
        return source.eval(self._catch_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unbind()

    def __repr__(self) -> str:
        return f"<Pipe {self._label}{'' if self._bound else ' (unbound)'}>"

    __str__ = __repr__

    # Between two mutations of the source, in whichever thread runs it.

    def _open(self) -> None:
        source = self._source()
        if source is not None:
            self._listen(source)
            self._catch_up()

    def _listen(self, source: Machine) -> None:
        """Have `_flow` called after the next transition that moves one of the states."""
        self._seen = source._time_
        mask = source.schema.mask({link.source for link in self.links})
        self._wait = source._the_waits().add(condition(mask, _at_once, self)).then(self._flow)
        if not self._bound:  # meanwhile, by another thread
            self._wait.cancel()

    def _flow(self, _: object) -> None:
        source, target = self._source(), self._target()
        if source is None or target is None or not self._bound:
            return
        before = self._seen
        self._listen(source)
        t = source._running_
        made = None if t is None else t._mutation
        through = made.through if isinstance(made, _Piped) else _Trail()
        index, now = source.schema.index, self._seen
        due: dict[_Trail, list[Link]] = {}
        for link in self.links:
            old, new = tick_at(before, index[link.source]), tick_at(now, index[link.source])
            turned = bool((old ^ new) & 1)
            if turned or (old != new and new & 1 and not link.flat and not link.inverted):
                onward = self._onward(source, target, link, through, turned=turned)
                if onward is not None:
                    due.setdefault(onward, []).append(link)
        for onward, links in due.items():
            self._pass_on(source, target, links, onward)

    def _onward(
        self, source: Machine, target: Machine, link: Link, through: _Trail, *, turned: bool
    ) -> _Trail | None:
        """What to pass a change on with; None to keep it.

        What comes back to a state is passed on only if it is not so there. Where it comes through a pipe again, somebody
        has changed something meanwhile, or the ring contradicts itself: then the oldest pipe of that ring decides, and
        what it says goes round once. So no ring turns for ever, and one that can agree does.
        """
        been = [(book, state) for book, state, _ in through.steps]
        is_new = (self._to, link.target) not in been
        if not is_new:
            if through.decided or not turned or link.is_error:
                return None
            here = (self._from, link.source)
            if here in been:
                lap = through.steps[len(been) - 1 - been[::-1].index(here) :]
                if self._serial == min(serial for _, _, serial in lap):
                    return _Trail(decided=True)
        if (link.flat or not is_new) and _is_there(target, link, want=_wants(source, link)):
            return None
        return through

    def _catch_up(self) -> int:
        source, target = self._source(), self._target()
        if source is None or target is None or not self._bound:
            return 0
        due = [link for link in self.links if not _is_there(target, link, want=_wants(source, link))]
        return self._pass_on(source, target, due, _Trail())

    # To the target.

    def _pass_on(self, source: Machine, target: Machine, due: list[Link], through: _Trail) -> int:
        """Mutate the target; what enters goes first, so that there is no moment with neither. How many states that is about."""
        adds = [link for link in due if link.only != "remove" and _wants(source, link)]
        removes = [link for link in due if link.only != "add" and not _wants(source, link)]
        if target._life_ >= Life.CLOSING or not (adds or removes):
            return 0
        steps = ((self._from, link.source, self._serial) for link in (*adds, *removes))
        through = through._replace(steps=(*through.steps, *steps))
        if not (self._whole and adds and removes and self._set(source, target, through)):
            self._add(source, target, adds, through)
            if removes:
                ended = target.schema.mask(link.target for link in removes)
                _send(target, Kind.REMOVE, ended, None, through)
        return len(adds) + len(removes)

    def _set(self, source: Machine, target: Machine, through: _Trail) -> bool:
        """Bring a whole target in step by one mutation. False where that would enter a multi state anew."""
        mask = target.schema.mask
        active = target._node_.active & ~mask(link.target for link in self.links)
        active |= mask(link.target for link in self.links if _wants(source, link))
        if target._node_.active & active & target.schema.multi:
            return False
        _send(target, Kind.SET, active, None, through)
        return True

    def _add(self, source: Machine, target: Machine, adds: list[Link], through: _Trail) -> None:
        bare: list[str] = []
        for link in adds:
            if link.is_error:
                self._report(source, target, link, through)
                continue
            try:
                args = _args_for(source, target, link)
            except Exception as error:  # noqa: BLE001  # the mapper is the user's, and the other states go on
                source._callback_failed(str(self), error)
                continue
            if args is None:
                bare.append(link.target)
            else:
                _send(target, Kind.ADD, target.schema.mask([link.target]), args, through)
        if bare:
            _send(target, Kind.ADD, target.schema.mask(bare), None, through)

    def _report(self, source: Machine, target: Machine, link: Link, through: _Trail) -> None:
        """As `target.add_error` would."""
        info = source._activation_args(source.schema.index[EXCEPTION])
        if isinstance(info, ErrorInfo):
            target._error_ = info.error
            target._announce(info)
            _send(target, Kind.ADD, target.schema.mask((EXCEPTION, link.target)), info, through)

    def _gone(self, _: object) -> None:
        """A machine was collected."""
        self.unbind()


def _wants(source: Machine, link: Link) -> bool:
    """Whether the target's state is to be active."""
    return bool(source._node_.active >> source.schema.index[link.source] & 1) != link.inverted


def _args_for(source: Machine, target: Machine, link: Link) -> Any:
    """What the target's state is entered with; None without. Errors: `ArgsError`, and those of the mapper."""
    if link.args is None:
        return None
    args = link.args(source._activation_args(source.schema.index[link.source]))
    # Of a schema that is data, every state has a dict for arguments, and it is mostly empty.
    return target._fitting(target.schema.index[link.target], args) if type(args) is not dict or args else None


def _is_there(target: Machine, link: Link, *, want: bool) -> bool:
    """Whether the target's state is as wanted, and nothing that is queued or running could still change that."""
    if target._queue_ or target._inbox_:
        return False
    if target._owner_ == get_ident():
        t = target._running_
        if t is not None and target._node_ is not t.plan.next and not t.put_back:  # not committed yet
            return False
    elif target._owner_:
        return False
    return bool(target._node_.active >> target.schema.index[link.target] & 1) == want


def _send(target: Machine, kind: Kind, called: int, args: Any, through: _Trail) -> None:
    """Queue a mutation, and have it run: here, unless the target is busy or lives elsewhere."""
    made = target._mutation(kind, called, args)
    piped = _Piped(made.schema, kind, called, args, source=made.source, depth=made.depth)
    piped.trail = made.trail
    piped.through = through
    if target._owner_ == get_ident():
        target._admit(piped)
    else:
        target._the_inbox().append(piped)
        _knock(target)


class _Turns(local):
    """How many pipes deep this thread is, and whose turn comes when it is deep enough."""

    depth = 0

    def __init__(self) -> None:
        self.later: deque[Machine] = deque()


_turns = _Turns()
_DEEP = 16
"""Machines in a row that run one inside the other's transition; the next ones run after these, for the stack has an end."""


def _knock(target: Machine) -> None:
    """Have the target run what it was sent."""
    turns = _turns
    if turns.depth == _DEEP:
        turns.later.append(target)
        return
    turns.depth += 1
    try:
        target._knock()
        while turns.depth == _DEEP and turns.later:
            turns.later.popleft()._knock()
    finally:
        turns.depth -= 1


def _at_once(_: Moment) -> End:
    """The end of a wait that is asked only when one of its states has ticked."""
    return End()


def _book(machine: Machine) -> _Book:
    book = _books.get(machine)
    if book is None:
        book = _books.setdefault(machine, _Book())
        machine.when_closed().then(partial(_close, book))
    return book


def _close(book: _Book, _: object) -> None:
    for each in tuple(book.pipes):
        each.unbind()


def pipes_of(machine: Machine) -> tuple[Pipe, ...]:
    """The pipes that lead from or to a machine, in the order in which they were made."""
    book = _books.get(machine)
    return () if book is None else tuple(book.pipes)
