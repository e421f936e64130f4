"""Draws the pictures of the manual from the very programs that its pages show.

    python -m docs.pictures

A picture is drawn of a page's own code: its blocks are run, and the class or the machines that they make are what is
drawn. A test says when one is out of date. `docs/picture.py` makes the picture of the demo.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from amachine import Machine, Schema, Tracer, Transition, binding
from amachine.tracers.recorder import Recorder
from docs.drawing import draw_schema
from docs.drawing_plays import draw_role, draw_scenes
from docs.drawing_runs import draw_handlers, draw_story

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Seen(Tracer):
    """The last transition of every machine that a program makes, with the handlers that it called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.negotiated: int = 0

    def transition_started(self, machine: Machine, transition: Transition) -> None:
        """Begin anew."""
        self.calls.clear()

    def handler_ended(self, machine: Machine, transition: Transition, call: Any, seconds: float) -> None:
        """Note who was called."""
        self.calls.append(call.name)

    def transition_committed(self, machine: Machine, transition: Transition) -> None:
        """Note how many have been asked."""
        self.negotiated = len(self.calls)


def ran(page: str, name: str) -> tuple[Any, Recorder, Seen]:
    """Run the block of a page that defines this class. Returns the class, and what tracers saw."""
    text = (DOCS / page).read_text(encoding="utf-8")
    code = next(code for code in BLOCK.findall(text) if re.search(rf"^class {name}\(", code, re.MULTILINE))
    recorder, seen = Recorder(), Seen()
    binding.everywhere.extend([recorder, seen])
    names: dict[str, Any] = {"__name__": "page"}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, page, "exec"), names)
    finally:
        del binding.everywhere[-2:]
    return names[name], recorder, seen


def schema(page: str, name: str, *active: str, only: Sequence[str] = ()) -> Callable[[], str]:
    """A picture of the schema of a class, or of some of its states."""

    def draw() -> str:
        whole: Schema = ran(page, name)[0].schema
        return draw_schema(whole.select(*only) if only else whole, active, name)

    return draw


def story(page: str, name: str, title: str, *states: str) -> Callable[[], str]:
    """A picture of what was active while the program ran, without the auto requests that came to nothing."""

    def draw() -> str:
        records = [record for record in ran(page, name)[1].records if record.accepted or not record.auto]
        return draw_story(records, title, states)

    return draw


def handlers(page: str, name: str, title: str) -> Callable[[], str]:
    """A picture of the handlers of the program's last transition."""

    def draw() -> str:
        seen = ran(page, name)[2]
        return draw_handlers(seen.calls[: seen.negotiated], seen.calls[seen.negotiated :], title)

    return draw


def made(page: str, name: str) -> dict[str, Any]:
    """What the first block of a page makes that defines this name, as a function or by an assignment."""
    text = (DOCS / page).read_text(encoding="utf-8")
    wanted = re.compile(rf"^(?:def {name}\(|{name} = )", re.MULTILINE)
    code = next(code for code in BLOCK.findall(text) if wanted.search(code))
    file = f"{page}:{name}"
    linecache.cache[file] = (
        len(code),
        None,
        code.splitlines(keepends=True),
        file,
    )  # script functions are read
    names: dict[str, Any] = {"__name__": "page"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, file, "exec"), names)
    return names


def scenes(page: str, name: str, title: str) -> Callable[[], str]:
    """A picture of the scenes of a choreography."""
    return lambda: draw_scenes(made(page, name)[name].script, title)


def role(page: str, name: str, role: str, title: str) -> Callable[[], str]:
    """A picture of what one role of a choreography plays."""
    return lambda: draw_role(made(page, name)[name].project(role), title)


def sequence(page: str, name: str, title: str) -> Callable[[], str]:
    """A picture of what was said in a session, of which the program has a `trace`."""

    def draw() -> str:
        names = made(page, name)
        drawn: str = names["trace"].svg(roles=names[name].script.roles, title=title)
        return drawn

    return draw


PICTURES: dict[str, Callable[[], str]] = {
    "bar": schema("index.md", "Bar", "power", "water", "ready", "brewing"),
    "boat": schema("manual/relations.md", "Boat"),
    "door-story": story("manual/states.md", "Door", "A door through five transitions"),
    "feed": schema(
        "manual/ready-made.md",
        "Feed",
        only=["Start", "Connecting", "Connected", "Disconnecting", "Disconnected", "Ready", "subscribed"],
    ),
    "fetch-story": story(
        "manual/errors.md", "Fetch", "An attempt that fails, and another", "online", "loading", "Exception"
    ),
    "kitchen-story": story("manual/transitions.md", "Kitchen", "A kitchen in an alarm"),
    "lift-story": story("manual/mutations.md", "Lift", "Requests to a lift"),
    "notes": schema("manual/schemas.md", "Notes"),
    "oven-handlers": handlers("manual/handlers.md", "Oven", "The handlers of one transition"),
    "order": schema("manual/testing.md", "Order"),
    "pipe-story": story("manual/pipes.md", "Service", "A service that a database leads"),
    "radio-story": story("manual/background.md", "Radio", "A radio that is switched off"),
    "shop-story": story("manual/waiting.md", "Shop", "A parcel on its way"),
    "tea-story": story("manual/arguments.md", "Bar", "An espresso"),
    "truck-story": story("manual/helpers.md", "Truck", "A truck that is asked until it is there"),
    "paid-shop": schema("manual/persistence.md", "Shop", "placed", "paid"),
    "sale": scenes("manual/choreographies.md", "sale", "The scenes of a sale"),
    "session-story": story("manual/timers.md", "Session", "A session that expires"),
    "work-run": sequence("manual/playing.md", "work", "A session of work"),
    "work-worker": role("manual/playing.md", "work", "worker", "What the worker plays"),
    "lost-bank": sequence("manual/losses.md", "sale", "A sale without its bank"),
    "game": scenes("manual/scenes.md", "game", "The scenes of a game"),
    "phone": schema("manual/states.md", "Phone", "charged", "signal", "usable", "message"),
}


def drawn() -> Iterator[tuple[Path, str]]:
    """Each picture's file, and what should be in it."""
    for name, draw in PICTURES.items():
        yield DOCS / "pictures" / f"{name}.svg", draw()


if __name__ == "__main__":
    for path, picture in drawn():
        path.write_text(picture, encoding="utf-8")
