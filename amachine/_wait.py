"""One wait: it ends once, and whoever wants to hear of it does, whatever the order in which threads come by.

There is no lock: a coroutine collected by the garbage collector cancels its wait in the middle of anything, and would
find the lock taken by its own thread. Every step that must be atomic is one operation on a list or a dict, and
whoever adds something looks afterwards whether it came too late.

Nothing here may suspend, block or start anything: who waits, and how, is the business of a `Parking`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from amachine.errors import MachineClosed, WaitCancelled, WaitError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType
    from weakref import ref

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ANY = -1
"""The mask of a wait that every tick concerns: as an integer it has all bits."""


class Moment(Protocol):
    """What a machine looked like after one transition. It must not change any more."""

    @property
    def number(self) -> int:
        """How many transitions there had been."""
        ...

    @property
    def active(self) -> int:
        """Mask of the active states."""
        ...

    @property
    def entered(self) -> int:
        """Mask of the states that this transition entered or re-entered, and that stayed."""
        ...

    def tick(self, state: int, /) -> int:
        """The tick of a state, by index."""
        ...

    def clock(self) -> Any:
        """All ticks by name."""
        ...

    def args(self, state: int, /) -> Any:
        """The arguments that the present activation of a state was entered with."""
        ...

    def called_args(self, state: int, /) -> Any:
        """The arguments that this transition's mutation gave for a state."""
        ...


class Parking(Protocol):
    """Where tasks and threads wait, and where errors go: what floor 5 lends to the waits of one machine."""

    def park(self, wait: Wait[Any], /) -> Generator[Any, Any, object]:
        """Suspend the running task until `wait` is done, with `add_parker`, and `drop_parker` when it is cancelled."""
        ...

    def may_block(self, wait: Wait[Any], /) -> None:
        """Raise WaitError where the machine could not go on while the calling thread is blocked."""
        ...

    def block(self, wait: Wait[Any], timeout: float | None, /) -> None:
        """Block the calling thread until `wait` is done; TimeoutError after `timeout` seconds."""
        ...

    def failed(self, wait: Wait[Any], error: Exception, /) -> None:
        """Take the error of a callback of `wait` down the machine's error path. It must not raise."""
        ...

    def met(self, wait: Wait[Any], /) -> None:
        """Tell who watches the machine that what `wait` waited for has come true."""
        ...


class Home(Protocol):
    """The list that an entry stands on, as far as the entry needs to know."""

    parking: Parking

    def discard(self, entry: Entry, /) -> None:
        """Take it off."""
        ...


class End:
    """How a wait ended: with a value or with an error. Each is made for one wait."""

    __slots__ = ("error", "trace", "value")

    value: Any
    error: BaseException | None
    trace: TracebackType | None
    """Kept apart: every raise of the same error would add its own frames to those of the one before."""

    def __init__(self, value: object = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error
        self.trace = None if error is None else error.__traceback__


_NOTHING: list[None] = []

Later = list[tuple["Entry", "Callable[[Any], object]"]]
"""Callbacks to be called when every wait of the moment has ended, each with its wait."""


class Entry:
    """The machine's side of a wait: its condition, its end, and who is to hear of it.

    It does not know its `Wait`: when that is collected and nothing is hooked here, nobody can ever hear of the end.
    """

    __slots__ = ("ends", "homes", "hooks", "label", "owed", "serial", "states", "test")

    label: object
    states: int
    """Mask of the states whose ticks concern it; `ANY`; 0 where only `fulfil` or `fail` end it."""
    test: Callable[[Moment], End | None] | None
    ends: list[End]
    """The first item is the end; a thread that came second may have appended another. Empty while pending."""
    hooks: dict[object, Callable[[Later], None]]
    """What to call at the end, by what it was asked with. Whoever takes one out calls it, so each is called once."""
    homes: tuple[ref[Home], ...]
    """The waits of the machines that it belongs to."""
    serial: int
    """Its place in the order of creation; 0 until a drainer has taken it over."""
    owed: list[None]
    """Holds something while the machine is still to be told of a fulfilment. Whoever takes it out tells."""

    def __init__(self, label: object, states: int, test: Callable[[Moment], End | None] | None) -> None:
        self.label = label
        self.states = states
        self.test = test
        self.ends = []
        self.hooks = {}
        self.homes = ()
        self.owed = _NOTHING
        self.serial = 0

    def look(self, now: Moment) -> End | None:
        """The end that this moment brings, or None; an error of the user's condition is an end."""
        test = self.test
        if test is None or self.ends:
            return None
        try:
            return test(now)
        except Exception as error:  # noqa: BLE001  # the condition is the user's
            return End(error=error)

    def finish(self, end: End, later: Later) -> bool:
        """End with `end` unless ended before: wake who waits, put callbacks into `later`. False: it came second."""
        ends = self.ends
        if ends:
            return False
        ends.append(end)
        if ends[0] is not end:
            return False
        self.test = None
        self.leave()
        try:
            if self.hooks:
                each(partial(self._tell, later), iter(list(self.hooks)))
        finally:
            if end.error is None and self.owed:
                self.met()
        return True

    def announced(self) -> None:
        """Whoever watches has heard, or could have, that somebody waits; so is to hear when this comes true."""
        self.owed = [None]
        if self.ends and self.ends[0].error is None:  # meanwhile, by a thread that did not see the line above
            self.met()

    def met(self) -> None:
        """Tell the machine that this has come true: once, and after those who waited."""
        try:
            self.owed.pop()
        except IndexError:
            return
        for parking in self.parkings():
            parking.met(Wait(self))

    def _tell(self, later: Later, key: object) -> None:
        hook = self.hooks.pop(key, None)
        if hook is not None:
            try:
                hook(later)
            except Exception as error:  # noqa: BLE001  # one that cannot be woken must not keep the others asleep
                self.report(error)

    def end(self, end: End) -> bool:
        """`finish`, and run the callbacks at once."""
        later: Later = []
        won = self.finish(end, later)
        run(later)
        return won

    def hook(self, key: object, hook: Callable[[Later], None]) -> None:
        """Have `hook` called at the end; at once when that is over."""
        self.hooks[key] = hook
        # Ended before the line above: the one that ended it may have missed the hook, and must not call it twice.
        if self.ends and self.hooks.pop(key, None) is not None:
            later: Later = []
            hook(later)
            run(later)

    def leave(self) -> None:
        """Get off every list."""
        for home in self.homes:
            waits = home()
            if waits is not None:
                waits.discard(self)

    def parkings(self) -> list[Parking]:
        """Those of the machines that still exist."""
        return [waits.parking for home in self.homes if (waits := home()) is not None]

    def report(self, error: Exception) -> None:
        """Take an error of a callback to the machine; raise it where there is none any more."""
        parkings = self.parkings()
        if not parkings:
            raise error
        parkings[0].failed(Wait(self), error)


class Wait(Generic[T_co]):
    """Something to come: await it, ask whether it is `done`, `cancel()` it, attach `then(fn)`, `wait()` in a thread.

    Several tasks and threads may wait for the same one. It is over once: fulfilled, failed, cancelled or closed.
    One that nobody holds, awaits or has attached a callback to is forgotten.
    """

    __slots__ = ("__weakref__", "entry")

    entry: Entry
    """For the engine, and to tell waits apart: who holds this and not the wait lets it be forgotten."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    @classmethod
    def make(cls, label: object) -> Wait[Any]:
        """A wait about no state: `fulfil` or `fail` ends it."""
        return cls(Entry(label, 0, None))

    @property
    def label(self) -> str:
        """What it waits for, in words."""
        return str(self.entry.label)

    @property
    def done(self) -> bool:
        """Whether it is over, however it ended."""
        return bool(self.entry.ends)

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return isinstance(self.error, WaitCancelled)

    @property
    def error(self) -> BaseException | None:
        """What it failed with, cancelling and closing included; None while pending, and when fulfilled."""
        ends = self.entry.ends
        return ends[0].error if ends else None

    @property
    def value(self) -> T_co:
        """What it yielded. Raises the error that it ended with, or WaitError while it is pending."""
        ends = self.entry.ends
        if not ends:
            raise WaitError(f"{self.label} is pending: await it, or ask `done` first", wait=self.label)
        end = ends[0]
        if end.error is None:
            return cast("T_co", end.value)
        try:
            raise end.error.with_traceback(end.trace)
        finally:
            # The traceback holds this frame: what it holds must not lead back to the error.
            del self, ends, end

    def cancel(self) -> None:
        """Be over at once: who awaits it is woken with WaitCancelled, no callback is called. Again: nothing."""
        if not self.entry.ends:
            self.entry.end(End(error=WaitCancelled(f"{self.label} was cancelled", wait=self.label)))

    def then(self, fn: Callable[[T_co], object]) -> Wait[T_co]:
        """Call `fn` with the value when there is one, at once if there is; never after an error. Returns itself.

        `fn` runs before the machine's next mutation. Its error goes to the machine.
        """
        entry = self.entry

        def tell(later: Later) -> None:
            if entry.ends[0].error is None:
                later.append((entry, fn))

        entry.hook(tell, tell)
        return self

    def wait(self, timeout: float | None = None) -> T_co:
        """Block the calling thread until it is done, at most `timeout` seconds; return or raise what it ended with.

        TimeoutError leaves the wait as it is: it may be asked again. WaitError where the machine could not go on.
        """
        if not self.entry.ends:
            parkings = self._parkings()
            for parking in parkings:
                parking.may_block(self)
            parkings[0].block(self, timeout)
        return self.value

    def __await__(self) -> Generator[Any, Any, T_co]:
        if not self.entry.ends:
            yield from self._parkings()[0].park(self)
        return self.value

    def _parkings(self) -> list[Parking]:
        parkings = self.entry.parkings()
        if parkings:
            return parkings
        if self.entry.homes:
            raise MachineClosed(f"the machine was collected: {self.label} cannot be waited for any more")
        raise WaitError(
            f"{self.label} belongs to no machine that could wake who waits for it", wait=self.label
        )

    def add_parker(self, wake: Callable[[], None]) -> None:
        """Have `wake` called once when the wait is over, from any thread; at once if it is. For a `Parking`."""
        self.entry.hook(wake, lambda _: wake())

    def drop_parker(self, wake: Callable[[], None], *, keep: bool = False) -> None:
        """Forget `wake`, if it was not called yet. The last one takes the wait with it, unless told to `keep` it.

        A task that is cancelled gives up; a thread whose time has run out (`keep`) may ask again. Where the wait ends
        in another thread meanwhile, `wake` may still be called after this.
        """
        hooks = self.entry.hooks
        if hooks.pop(wake, None) is not None and not hooks and not keep:
            self.cancel()

    def try_now(self, now: Moment) -> bool:
        """End it if this moment ends it. Whether it is done."""
        end = self.entry.look(now)
        if end is not None:
            self.entry.end(end)
        return self.done

    def fulfil(self, value: Any) -> bool:
        """End it with a value. False: it was over before."""
        return self.entry.end(End(value))

    def fail(self, error: BaseException) -> bool:
        """End it with an error. False: it was over before."""
        return self.entry.end(End(error=error))

    def __repr__(self) -> str:
        error = self.error
        if not self.done:
            what = "pending"
        elif error is None:
            what = "done"
        else:
            what = "cancelled" if self.cancelled else f"failed: {error!r}"
        return f"<Wait {self.label} {what}>"

    def __del__(self) -> None:
        entry = self.entry
        if not entry.hooks and not entry.ends:
            entry.ends.append(_FORGOTTEN)
            entry.leave()


_FORGOTTEN = End(error=WaitCancelled("forgotten"))


def each(do: Callable[[T], object], items: Iterator[T]) -> None:
    """Do it with every item, whatever is raised; the first that was raised goes up."""
    for item in items:
        try:
            do(item)
        except BaseException:
            each(do, items)
            raise


def run(later: Later) -> None:
    """Call the callbacks in order; their errors go to the machine."""
    if later:
        each(_call, iter(later))


def _call(item: tuple[Entry, Callable[[Any], object]]) -> None:
    entry, fn = item
    try:
        fn(entry.ends[0].value)
    except Exception as error:  # noqa: BLE001  # the callback is the user's
        entry.report(error)
