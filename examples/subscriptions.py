"""Subscriptions: every way to wait for a machine, from tasks, from callbacks and from threads."""

import anyio
import attrs
from anyio.to_thread import run_sync

from amachine import ErrorInfo, Event, Machine, State, Wait, all_of, any_of


@attrs.frozen
class Order:
    """What was ordered."""

    dish: str
    table: int


class Kitchen(Machine):
    """A kitchen that can be waited for."""

    opened = State()
    staffed = State()
    cooking = State(Order, require=[opened, staffed], multi=True)
    served = State(Order, multi=True)

    @Machine.Exception.state
    def apologise(self, e: Event[ErrorInfo]) -> None:
        print(f"{'(a handler)':<12} sorry: {e.args.error}")  # an error that nobody handles is logged

    @cooking.task
    async def cook(self, e: Event[Order]) -> None:
        await anyio.lowlevel.checkpoint()
        if e.args.dish == "soufflé":
            raise RuntimeError("it collapsed")
        self.served.send(e.args)


def said(name: str, wait: Wait[object]) -> None:
    """Show how a wait ended."""
    print(f"{name:<12} {wait.value}")


async def states(kitchen: Kitchen) -> None:
    """Waits on states: true at one moment, after a commit; already true is already done."""
    ready = kitchen.when(Kitchen.opened, Kitchen.staffed)
    kitchen.opened.add()
    print(f"{'when':<12} done with one of two: {ready.done}")
    kitchen.staffed.add()
    said("when", ready)
    said("when_not", kitchen.when_not(Kitchen.cooking))


async def arguments(kitchen: Kitchen) -> None:
    """Waits on what a state is entered with: they yield it."""
    for_two = kitchen.served.when(lambda order: order.table == 2)
    any_soup = kitchen.when_args(Kitchen.served, {"dish": "soup"})
    anew = kitchen.cooking.when_next()
    kitchen.cooking.add("soup", table=1)
    kitchen.cooking.add("pie", table=2)
    print(f"{'state.when':<12} {await for_two}")
    print(f"{'when_args':<12} {await any_soup}")
    print(f"{'when_next':<12} {await anew}")


async def clocks(kitchen: Kitchen) -> None:
    """Waits on ticks: a state's tick counts how often it has changed; they yield the clock."""
    reached = kitchen.when_time({Kitchen.served: 5})
    twice = kitchen.when_ticks(Kitchen.cooking, 4)
    asked = kitchen.when_query(lambda clock: clock["cooking"] > clock["served"])
    kitchen.cooking.add("stew", table=3)
    kitchen.cooking.add("tart", table=3)
    for name, wait in (("when_time", reached), ("when_ticks", twice), ("when_query", asked)):
        print(f"{name:<12} {await wait}")


async def results(kitchen: Kitchen) -> None:
    """Waits on a mutation, on the queue, and on trouble."""
    result = kitchen.served.add("bread", table=1)
    print(f"{'when_queue':<12} {await kitchen.when_queue(result)}, the same as {await result}")
    said("when_idle", kitchen.when_idle())
    trouble = kitchen.when_error()
    kitchen.cooking.add("soufflé", table=4)
    print(f"{'when_error':<12} {await trouble!r}")
    kitchen.remove("Exception")


async def several(kitchen: Kitchen) -> None:
    """Waits on waits, callbacks, and giving up."""
    first = any_of(kitchen.when(Kitchen.cooking), kitchen.when_error())
    print(f"{'any_of':<12} {(await first).label}")
    both = all_of(kitchen.served.when_entered(), kitchen.when_not(Kitchen.staffed))
    both.then(lambda values: print(f"{'then':<12} called before the next mutation, with {values}"))
    kitchen.served.add("cake", table=5)
    kitchen.staffed.remove()
    print(f"{'all_of':<12} {await both}")

    never = kitchen.when(Kitchen.staffed)
    never.cancel()
    print(f"{'cancel':<12} {never}")
    with anyio.move_on_after(0):
        await kitchen.when(Kitchen.staffed)
    print(f"{'cancelled':<12} a task that gives up takes its wait along")


async def threads(kitchen: Kitchen) -> None:
    """A thread blocks, and the event loop goes on."""
    wait = kitchen.staffed.when()

    def in_a_thread() -> str:
        answer = kitchen.staffed.add()  # from another thread it is always queued …
        wait.wait(timeout=10)
        return f"{answer.wait(timeout=10)}: a thread waited for it"  # … and has its own result

    print(f"{'wait':<12} {await run_sync(in_a_thread)}")


async def main() -> None:
    """Wait for everything."""
    async with Kitchen("kitchen") as kitchen:
        for part in (states, arguments, clocks, results, several, threads):
            print(f"-- {part.__doc__}")
            await part(kitchen)
        closed = kitchen.when_closed()
    said("when_closed", closed)


if __name__ == "__main__":
    anyio.run(main)
