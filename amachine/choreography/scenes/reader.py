"""Scene classes, read into a script: what they say is walked from the first scene on, and every mistake is collected.

The words are in `words`; what templates stand for is found in `templates`, lines are taken apart in `lines`, and what methods
must look like is known to `rules_of_acts`. Nobody's method is called here. Whether the whole is sound is for `check` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from types import NoneType
from typing import Any, get_args, get_origin

import attrs

from amachine.choreography.acting import Act
from amachine.choreography.diagnostics import Level
from amachine.choreography.reading import Needs, Reading
from amachine.choreography.scenes.company import Company
from amachine.choreography.scenes.in_regions import AnyRegion, provisions, regions_around
from amachine.choreography.scenes.lines import Line, Notes, lines_of, unresolved
from amachine.choreography.scenes.rules_of_acts import look_at_acts, method_of
from amachine.choreography.scenes.rules_of_scenes import (
    look_at_cast,
    look_at_deadlines,
    look_at_payload,
    patience_of,
)
from amachine.choreography.scenes.templates import (
    AnyScene,
    Applied,
    Held,
    Mistake,
    Templates,
    called,
    is_scene,
)
from amachine.choreography.scenes.whence import Unresolved
from amachine.choreography.scenes.words import (
    Barrier,
    Exit,
    Hearers,
    Msg,
    Onward,
    Region,
    Scene,
    Sent,
    To,
    after,
    ignore,
    weight,
)  # fmt: skip
from amachine.choreography.script import EXIT, BranchDef, Inform, Place, RegionDef, SceneDef, Script
from amachine.choreography.subtypes import is_protocol
from amachine.choreography.wire.codec import STANDARD, Codec

__all__ = [
    "Barrier", "Exit", "Msg", "Onward", "Region", "Scene", "Sent", "To", "after", "ignore", "read", "weight",
]  # fmt: skip

_TAKEN = ("Done", "Aborted")
"""Final states that every role has anyway."""


_FIELDS = frozenset({"__dataclass_fields__", "__attrs_attrs__", "__struct_fields__"})
"""By these, decorators that turn annotations into fields can be known."""


def read(
    start: Any,
    *,
    roles: Iterable[type],
    name: str | None = None,
    informs: Iterable[Inform] = (),
    endless: bool = False,
    closing: bool = False,
    mortal: Iterable[type] = (),
    codec: Codec | None = None,
    barrier: bool = False,
    place: Place | None = None,
) -> Reading:
    """Read the choreography that begins at a scene class, or at one with its arguments: `Ping[Alice, Bob, Exit]`.

    Raises nothing for what its author has done wrong: all of it is in `diagnostics`, and where one of them is an error, the
    script is only what could be made out. `codec` says what can travel, `place` where it was asked for; with `barrier`, there is
    one before every scene. The other options are those of `Script`.
    """
    notes = Notes()
    reader = _Reader(
        Company(roles, mortal, notes), STANDARD if codec is None else codec, notes, lock_step=barrier
    )
    first = reader.walks(start)
    script = Script(
        name or first.partition("[")[0],
        tuple(reader.company.roles),
        first,
        reader.scenes,
        exits=tuple(reader.exits) or (EXIT,),
        informs=tuple(informs),
        regions=reader.regions,
        mortal=reader.company.mortal,
        endless=endless,
        closing=closing,
    )
    needs = reader.needs()
    return Reading(script, reader.acts, reader.company.roles, notes.in_order(), place, needs=needs)


class _Reader:
    """One reading, which goes in breadth from scene to scene."""

    def __init__(self, company: Company, codec: Codec, notes: Notes, *, lock_step: bool) -> None:
        self.lock_step = lock_step
        self.company = company
        self.codec = codec
        self.notes = notes
        self.templates = Templates()
        # What was met and is still to be read; a barrier is complete when it is met.
        self.queue: list[Applied | SceneDef] = []
        self.region_queue: list[AnyRegion] = []
        self.met: dict[str, Any] = {}
        self.mentioned: dict[str, Place | None] = {}
        # What comes of it.
        self.scenes: dict[str, SceneDef] = {}
        self.acts: dict[str, Act] = {}
        self.exits: dict[str, type[Exit]] = {}
        self.regions: dict[str, RegionDef] = {}
        # What is found once for many scenes.
        self.lines: dict[type, tuple[Line, ...]] = {}
        self.players: dict[type, AnyScene | None] = {}
        self.problems: dict[Any, str | None] = {}

    def walks(self, start: Any) -> str:
        """Read all that can follow the start; return its id."""
        first, what = EXIT, "the start"
        try:
            first = self._follow(self.templates.meaning(start, Scene, Applied(Scene, what)), what, None)
        except (Mistake, Unresolved) as error:
            self._note(error, what, None)
        for each in self._all_that_follows():
            if isinstance(each, Applied):
                self._read(each)
            else:
                self.scenes[each.id] = each
                self.acts[each.id] = Act(lambda _: ("done", None))
        if not any(each.level is Level.ERROR for each in self.notes.found.values()):
            self._look_for_unreached(first)
        return first

    def needs(self) -> dict[str, Needs]:
        """By role, what the protocols ask for by which the parts are typed that it plays in templates."""
        found: dict[str, Needs] = {}
        for applied in self.templates.made.values():
            for parameter, argument in applied.values[applied.kind].items():
                bound = self.templates.evaluated(getattr(parameter, "__bound__", None), applied.kind)
                if is_protocol(bound) and argument in self.company.roles.values():
                    name = called(argument)
                    found[name] = found.get(name, Needs()).and_all_of(bound)
        return found

    def _look_for_unreached(self, first: str) -> None:
        for applied in self.templates.made.values():
            if applied.id not in self.scenes:
                text, place = f"{applied.id} is never reached from {first}", self._place(applied.kind)
                self.notes.add("AMC111", text, place=place, scene=applied.id, level=Level.WARNING)

    def _all_that_follows(self) -> Iterator[Applied | SceneDef]:
        """The scenes that are met while they are read; then those at which regions go on, and so forth."""
        yield from self.queue  # it grows
        for region in self.region_queue:
            read = len(self.queue)
            on_lost = tuple(self._provided(region))
            self.regions[region.__name__] = attrs.evolve(self.regions[region.__name__], on_lost=on_lost)
            yield from islice(self.queue, read, None)

    def _read(self, applied: Applied) -> None:
        kind, name, place = applied.kind, applied.kind.__name__, self._place(applied.kind)
        if any(vars(each).keys() & _FIELDS for each in kind.__mro__):
            text = f"{name}: its branches would become fields, as of a dataclass; a scene holds no state"
            hint = "take the decorator away: what has to be remembered is in the roles' objects"
            self.notes.add("AMC209", text, hint, place=place, scene=name)
            return
        if kind not in self.lines:
            self.lines[kind] = lines_of(kind, self.notes)
        cast = self.company.cast_of(applied, self.mentioned[applied.id])
        if not cast:
            text = f"{name}: a scene needs a sender"
            self.notes.add("AMC106", text, "Scene[Sender, Receiver]", place=place, scene=name)
            return
        scene = SceneDef(
            id=applied.id,
            name=name,
            sender=cast[0],
            receivers=tuple(dict.fromkeys(cast[1:])),
            branches=(),
            region=self._region(kind),
            patience=patience_of(kind, self.notes),
            place=place,
        )
        if not any(is_scene(each) and each.__statement__.labels for each in kind.__mro__):
            text = f"{name}: a scene needs at least one Msg"
            self.notes.add("AMC105", text, "done: Msg[None, Exit]", place=place, scene=name)
        branches = (self._branch(line, scene, applied) for line in self.lines[kind])
        scene = attrs.evolve(scene, branches=tuple(each for each in branches if each is not None))
        look_at_deadlines(scene, self.notes)
        self.scenes[applied.id] = scene
        self._act(scene, applied)

    def _branch(self, line: Line, scene: SceneDef, applied: Applied) -> BranchDef | None:
        """The branch that a line is in this scene; None if it is none, which is noted."""
        what = f"{scene.name}.{line.label}"
        try:
            payload = self.templates.meaning(line.payload, line.owner, applied)
            next = self.templates.meaning(line.next, line.owner, applied)
            to = self._hearers(line, scene, applied)
            follows = self._follow(next, what, line.place, scene=scene, to=to)
        except (Mistake, Unresolved) as error:
            self._note(error, what, line.place, scene.id)
            return None
        options = line.options
        branch = BranchDef(
            label=line.label,
            payload=None if payload is NoneType else payload,
            to=to,
            next=follows,
            weight=1.0 if options.weight is None else float(options.weight),
            after=None if options.after is None else float(options.after),
            ignored=options.ignored,
            place=line.place,
        )
        look_at_payload(scene, branch, self._problem, self.notes)
        return branch

    def _hearers(self, line: Line, scene: SceneDef, applied: Applied) -> tuple[str, ...]:
        """Who hears of a branch."""
        who, what = self.templates.evaluated(line.who, line.owner), f"{scene.name}.{line.label}"
        if who in (Hearers, Any):
            return scene.receivers
        if get_origin(who) is not To:
            text = f"{what}: the third part of a Msg is To[...], not {called(who)}"
            raise Mistake("AMC211", text, "To[Bob]")
        meant = [self.templates.meaning(each, line.owner, applied) for each in get_args(who)]
        to = [self.company.name_of(each, what, place=line.place, scene=scene.id) for each in meant]
        look_at_cast(what, scene.sender, to, self.notes, line.place)
        for role in to:
            if role in self.company.roles and role not in (scene.sender, *scene.receivers):
                cast = ", ".join((scene.sender, *scene.receivers))
                text = f"{what}: {role} is not in the cast of {scene.name} ({cast})"
                self.notes.add("AMC101", text, place=line.place, scene=scene.id, role=role)
        return tuple(dict.fromkeys(to))

    def _follow(
        self,
        next: Any,
        what: str,
        place: Place | None,
        *,
        scene: SceneDef | None = None,
        to: tuple[str, ...] = (),
    ) -> str:
        """The id of what comes next, which is read later. `scene` is what leads there, `to` who hears of that."""
        held = self.lock_step or isinstance(next, Held)
        while isinstance(next, Held):
            next = next.next
        if held and scene is not None and isinstance(next, Applied) and next.cast:
            first = called(next.cast[0])
            if first not in (scene.sender, *to):  # else it knows without being told
                return self._barrier(scene, first, next, place)
        return self._meet(next, what, place)

    def _barrier(self, scene: SceneDef, first: str, next: Applied, place: Place | None) -> str:
        """The id of a scene in which the sender of one tells that of the next that it may begin."""
        id = f"Barrier[{scene.sender}, {next.id}]"
        if id not in self.met:
            region = scene.region if self._region(next.kind) == scene.region else None
            done = BranchDef("done", None, (first,), next.id, place=place)
            barrier = SceneDef(id, "Barrier", scene.sender, (first,), (done,), region, place=place)
            self.met[id] = barrier
            self.queue.append(barrier)
        self._meet(next, f"{scene.name}: Barrier", place)
        return id

    def _meet(self, next: Any, what: str, place: Place | None) -> str:
        """The id of a scene, which is read if it is met for the first time, or of an exit. Errors: `Mistake`."""
        if not (isinstance(next, Applied) or (isinstance(next, type) and issubclass(next, Exit))):
            role = "role class " if next in self.company.roles.values() else ""
            raise Mistake("AMC102", f"{what}: next must be a Scene or Exit, got {role}{called(next)}")
        id = called(next)
        if id not in self.met:
            self.met[id], self.mentioned[id] = next, place
            if isinstance(next, Applied):
                self.queue.append(next)
            else:
                self.exits[id] = next
        elif self.met[id] is not next:
            raise Mistake("AMC216", f"{what}: two different classes are called {id}")
        if id in _TAKEN:
            kind = "scene" if isinstance(next, Applied) else "exit"
            text = f"{what}: no {kind} can be called {id}, as every role has that state"
            mend = "take Exit itself, which is Done, or another name" if id == "Done" else "take another name"
            raise Mistake("AMC216", text, mend)
        return id

    def _act(self, scene: SceneDef, applied: Applied) -> None:
        """Take down what is done in a scene."""
        kind = applied.kind
        if kind not in self.players:
            try:
                self.players[kind] = kind()
            except Exception as error:  # noqa: BLE001  # the author's `__init__` may raise anything
                self.players[kind] = None
                text = f"{scene.name} cannot be made: {error}"
                hint = "a scene is made without arguments, and holds no state; that is what roles are for"
                self.notes.add("AMC209", text, hint, place=scene.place, scene=scene.id)
        played = self.players[kind]
        if played is None:
            return
        if {scene.sender, *scene.receivers} <= self.company.roles.keys():
            look_at_acts(scene, applied, played, self.company.roles, self.templates, self.notes)
        on = {each.label: method_of(played, f"on_{each.label}") for each in scene.branches}
        send = method_of(played, "send")
        if send is not None:  # a property, of which is told
            self.acts[scene.id] = Act(send, {label: each for label, each in on.items() if each is not None})

    def _problem(self, payload: Any) -> str | None:
        """Why a payload cannot travel; None if it can."""
        key = payload if isinstance(payload, type) else repr(payload)
        if key not in self.problems:
            self.problems[key] = self.codec.problem(payload)
        return self.problems[key]

    def _region(self, kind: type[AnyScene]) -> str | None:
        """The name of the innermost region around a scene class; those that are met first are taken down."""
        around = regions_around(kind, self.notes)
        for at, region in reversed([*enumerate(around)]):
            name, place = region.__name__, region.__statement__.whence.place
            if region in self.region_queue:
                continue
            if name in self.regions:
                self.notes.add("AMC216", f"two regions are called {name}", place=place)
            else:
                parent = around[at + 1].__name__ if at + 1 < len(around) else None
                self.region_queue.append(region)
                self.regions[name] = RegionDef(name, (), region.__statement__.restart, parent, place)
        return around[0].__name__ if around else None

    def _provided(self, region: AnyRegion) -> Iterator[tuple[str, str]]:
        """By lost role, the id of what follows."""
        what, place = f"{region.__name__}: on_lost", region.__statement__.whence.place
        try:
            for role, next in provisions(region, self.company, self.templates):
                yield role, self._follow(next, what, place)
        except (Mistake, Unresolved) as error:
            self._note(error, what, place)

    def _note(
        self, error: Mistake | Unresolved, what: str, place: Place | None, scene: str | None = None
    ) -> None:
        if isinstance(error, Unresolved):
            unresolved(error, what, self.notes, place=place, scene=scene)
        else:
            self.notes.add(error.code, error.text, error.hint, place=place, scene=scene)

    def _place(self, kind: type[AnyScene]) -> Place:
        return kind.__statement__.whence.place
