"""Traffic light: phases that time themselves, and lamps of which two can be lit at once.

The phase is an exclusive group. Its states light and put out lamps with `add` and `remove`, so that red and amber
shine together where they should. A phase ends by its own timer, which dies should the phase end otherwise; and somebody
who wants to cross the road is a state, too. What takes more than a timer, such as waiting for people, is a task.

    python examples/traffic_light.py          two rounds at once: the event loop has a clock that jumps, as for tests
    python examples/traffic_light.py live     two rounds in real time
"""

import sys

import anyio

from amachine import Event, Machine, State, exclusive
from amachine.testing import run


class TrafficLight(Machine):
    """Stop, ready, go, caution; and people may cross on stop, if somebody has pressed the button."""

    red = State()
    amber = State()
    green = State()

    stop = State(add=[red], remove=[amber, green])
    ready = State(add=[red, amber], remove=[green])
    go = State(add=[green], remove=[red, amber])
    caution = State(add=[amber], remove=[red, green])
    phase = exclusive(stop, ready, go, caution)

    button = State(doc="Somebody wants to cross.")
    crossing = State(auto=True, require=[stop, button])

    @stop.task
    async def hold(self, _: Event[None]) -> None:
        await anyio.sleep(3)
        await self.crossing.when_not()
        self.ready.add()

    @ready.after(1)
    def start(self, _: Event[None]) -> None:
        self.go.add()

    @go.after(4)
    def flow(self, _: Event[None]) -> None:
        self.caution.add()

    @caution.after(1)
    def slow_down(self, _: Event[None]) -> None:
        self.stop.add()

    @crossing.after(5)
    def cross(self, _: Event[None]) -> None:
        self.remove(TrafficLight.button, TrafficLight.crossing)

    @Machine.any_state
    def show(self, _: Event[None]) -> None:
        lamps = "".join("●" if lamp.active else "○" for lamp in (self.red, self.amber, self.green))
        people = "people cross" if self.crossing.active else "somebody waits" if self.button.active else ""
        print(f"{lamps} {self.active_in(TrafficLight.phase):<8} {people}".rstrip())


async def main() -> None:
    """Two rounds; in the first one somebody presses the button."""
    began = anyio.current_time()
    async with TrafficLight("light") as light:
        light.go.when().then(lambda _: light.button.add())
        light.stop.add()
        await light.when_time({TrafficLight.caution: 3})
    print(f"{anyio.current_time() - began:.0f} seconds")


if __name__ == "__main__":
    (anyio.run if sys.argv[1:] == ["live"] else run)(main)
