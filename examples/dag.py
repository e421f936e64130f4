"""DAG: a graph of dependencies, made from data. Each task runs as soon as all that it depends on is done.

One schema serves both ways: `run` does the tasks one after another in a fitting order, without an event loop;
`run_async` does at once whatever can be done at once. Nobody sorts the graph: a task is an `auto` state that requires
what it depends on, and a cycle is an error of the schema, with the cycle in the message.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio

from amachine import Event, Machine, Schema, SchemaError
from amachine.helpers import wait_for_all
from amachine.testing import run as virtually

BREAKFAST = {
    "water": [],
    "flour": [],
    "boil": ["water"],
    "brew": ["boil"],
    "dough": ["flour", "water"],
    "bake": ["dough"],
    "eat": ["bake", "brew"],
}
MINUTES = {"water": 1, "flour": 1, "boil": 4, "brew": 5, "dough": 1, "bake": 30, "eat": 20}


def schema_of(graph: Mapping[str, Sequence[str]]) -> Schema:
    """Two states a task: at work, and done. Errors: `SchemaError` for a cycle, or a task that is not there."""
    states: dict[str, dict[str, Any]] = {"Start": {}}
    for task, needs in graph.items():
        done = [f"{need}_done" for need in needs]
        states[task] = {"auto": True, "require": ["Start", *done]}
        states[f"{task}_done"] = {"require": done, "remove": [task]}
    states["Exception"] = {"remove": ["Start"]}  # an error ends all that is at work
    states["Finished"] = {"auto": True, "require": [f"{task}_done" for task in graph]}
    return Schema.parse(states, name="Graph")


def run(graph: Mapping[str, Sequence[str]], work: Callable[[str], object]) -> None:
    """Do every task, one at a time. Errors: the first one of `work`."""

    def do(task: str, event: Event[Any]) -> None:
        work(task)
        event.machine.add(f"{task}_done")

    handlers = {f"{task}_state": partial(do, task) for task in graph}
    machine = Machine.of(schema_of(graph), handlers=handlers)
    machine.add("Start")
    if machine.error:
        raise machine.error


async def run_async(graph: Mapping[str, Sequence[str]], work: Callable[[str], Awaitable[object]]) -> None:
    """Do every task, side by side where they can be. Errors: `WaitFailed` from the first one of `work`, which ends all."""

    async def do(task: str, event: Event[Any]) -> None:
        await work(task)
        event.machine.add(f"{task}_done")

    handlers = {f"{task}_task": partial(do, task) for task in graph}
    async with Machine.of(schema_of(graph), handlers=handlers) as machine:
        machine.add("Start")
        await wait_for_all(machine.when("Finished"), or_error=True)


async def main() -> None:
    """Make breakfast twice, and fail to make it once."""
    order: list[str] = []
    run(BREAKFAST, order.append)
    print("one at a time:", ", ".join(order))

    began = anyio.current_time()

    async def cook(task: str) -> None:
        print(f"{anyio.current_time() - began:3.0f} min  {task}")
        await anyio.sleep(MINUTES[task])

    await run_async(BREAKFAST, cook)
    print(f"{anyio.current_time() - began:3.0f} min  done, of {sum(MINUTES.values())} minutes of work")

    try:
        schema_of({"chicken": ["egg"], "egg": ["chicken"]})
    except SchemaError as error:
        print(error)


if __name__ == "__main__":
    virtually(main)  # the event loop's clock jumps: who waits for 30 minutes to read an example?
