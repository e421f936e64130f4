"""TUI: a terminal app driven by a machine. Keys ask, the machine decides, and the screen shows what it has become.

No widget knows what is allowed: it asks, and shows the reason of a refusal. And nobody remembers to update the screen:
a tracer hears of every transition, whoever made it, a key or the machine's own work in the background.

    python examples/tui.py      in a terminal it is yours; elsewhere it presses its own keys
"""

import sys
from typing import ClassVar

import anyio
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Footer, Label, ProgressBar

from amachine import Event, Machine, State, Tracer, Transition


class Kettle(Machine):
    """Boils water, if all is as it should be. It knows nothing of screens."""

    water = State()
    lid = State()
    power = State()
    heating = State(require=[water, lid, power])
    warmer = State(multi=True, require=[heating], doc="Entered every four degrees.")
    hot = State(require=[water], remove=[heating])

    def __init__(self, *, pace: float = 0.2) -> None:
        super().__init__("kettle")
        self.pace = pace
        self.degrees = 20

    @heating.task
    async def heat(self, _: Event[None]) -> None:
        while self.degrees < 100:
            await anyio.sleep(self.pace)
            self.warmer.add()
        self.hot.add()

    @warmer.state
    def measure(self, _: Event[None]) -> None:
        self.degrees += 4

    @water.end
    def pour_out(self, _: Event[None]) -> None:
        self.degrees = 20


class KettleApp(App[None]):
    """Shows a kettle."""

    CSS = """
    Horizontal { height: 3; margin: 1 2; }
    .state { width: 12; height: 3; margin-right: 1; content-align: center middle; background: $panel; color: $text-muted; }
    .on { background: $success; color: $text; text-style: bold; }
    ProgressBar { margin: 0 2; }
    #why { margin: 1 2; color: $warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("w", "ask('water')", "water"),
        ("l", "ask('lid')", "lid"),
        ("p", "ask('power')", "power"),
        ("h", "ask('heating')", "heat"),
        ("q", "quit", "quit"),
    ]

    def __init__(self, kettle: Kettle) -> None:
        super().__init__()
        self.kettle = kettle
        self.mirror = Mirror(self)

    def compose(self) -> ComposeResult:
        with Horizontal():
            for name in ("water", "lid", "power", "heating", "hot"):
                yield Label(name, id=name, classes="state")
        yield ProgressBar(total=100, show_eta=False)
        yield Label(id="why", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.kettle.attach(self.mirror)
        self.show()

    def on_unmount(self) -> None:
        self.kettle.detach(self.mirror)

    def action_ask(self, name: str) -> None:
        """Ask for it, and show what stands in the way."""
        self.query_one("#why", Label).update(self.kettle.toggle(name).why)

    def show(self) -> None:
        """Show the kettle as it is."""
        for label in self.query(".state"):
            label.set_class(self.kettle[str(label.id)].active, "on")
        self.query_one(ProgressBar).update(progress=self.kettle.degrees)


class Mirror(Tracer):
    """Keeps the screen up to date."""

    def __init__(self, app: KettleApp) -> None:
        self.app = app

    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002
        self.app.show()


async def main() -> None:
    """Run it; without a terminal, press the keys and tell what became of it."""
    if sys.stdin.isatty():
        async with Kettle() as kettle:
            await KettleApp(kettle).run_async()
        return
    async with Kettle(pace=0.01) as kettle, KettleApp(kettle).run_test() as keys:
        for key in "hwlp":
            await keys.press(key)
            print(f"{key}: {', '.join(kettle.active) or 'nothing'}")
        await keys.press("h")
        await kettle.hot.when()
        print(f"h: {', '.join(kettle.active)}, {kettle.degrees} °C")


if __name__ == "__main__":
    anyio.run(main)
