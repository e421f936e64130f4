"""What a script implies, in words: every frame, who is only told what and why, what each role plays, what a session costs.

It reads, and decides nothing. The reason for a frame is what `check` finds when it is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from textwrap import wrap
from typing import TYPE_CHECKING

import attrs

from amachine.choreography.canonical import fingerprint
from amachine.choreography.check import knowledge
from amachine.choreography.diagnostics import Level
from amachine.choreography.knowledge.frequency import frequencies
from amachine.choreography.playing.agreement import company
from amachine.choreography.project import project_all
from amachine.choreography.seeing.steps import after, chooses, hears
from amachine.choreography.seeing.titles import saying, scene_name, titles

if TYPE_CHECKING:
    from amachine.choreography.local import LocalState
    from amachine.choreography.script import BranchDef, Inform, SceneDef, Script

__all__ = ["explain", "reason"]

BUDGET = 60_000
"""Branches that are looked at to find reasons: each frame costs as many as the script has."""

GAP = "  "


def explain(script: Script, *, width: int = 100, roles: bool = True) -> str:
    """The whole script in words, in lines of so many columns where names allow; `roles`: with what each role plays.

    Every name in the script must lead somewhere: `check` found no errors in its structure.
    """
    return "\n".join(_Explanation(script, width).lines(roles=roles)) + "\n"


def reason(script: Script, inform: Inform) -> str | None:
    """What would be wrong without that frame: code and text. None if nothing would be: then it is told because it is meant."""
    others = tuple(each for each in script.informs if each != inform)
    found = [each for each in knowledge(attrs.evolve(script, informs=others)) if each.level is Level.ERROR]
    found.sort(key=lambda each: each.role != inform.role)
    return f"{found[0].code} {found[0].text}" if found else None


class _Explanation:
    """A script being explained."""

    def __init__(self, script: Script, width: int) -> None:
        self.script = script
        self.width = width
        self.titles = titles(script)
        self.times = frequencies(script)

    def lines(self, *, roles: bool) -> Iterator[str]:
        """All of it."""
        yield from self._head()
        yield from self._scenes()
        yield from self._informs()
        yield from self._regions()
        yield from self._cost()
        if roles:
            yield from self._roles()
        yield from self._names()
        yield from self._pins()

    def _head(self) -> Iterator[str]:
        script = self.script
        exits = [id for id in script.exits if any(branch.next == id for _, branch in script.branches())]
        yield f"{script.name}: {_count(len(script.scenes), 'scene')}, {_count(len(script.roles), 'role')}"
        rows = [
            ("roles", ", ".join(script.roles)),
            ("starts with", self.title(script.start)),
            ("ends with", _ending(script, exits)),
            ("fingerprint", fingerprint(script)),
        ]
        yield from _table(rows, self.width, "  ")

    def _scenes(self) -> Iterator[str]:
        yield from self._section(
            "Scenes: what can be said, how often in a session, to whom, and what follows"
        )
        blocks = [
            (scene, [self._branch(scene, each) for each in scene.branches]) for scene in self._ordered()
        ]
        every = _fitting([row for _, rows in blocks for row in rows], self.width - 4)
        widths = _widths(every)
        left = iter(every)
        for scene, rows in blocks:
            region = "" if scene.region is None else f" (region {scene.region})"
            patience = "" if scene.patience is None else f", patience {scene.patience:g} s"
            yield f"  {self.titles[scene.id]}: {scene.sender} chooses{patience}{region}"
            for row in islice(left, len(rows)):
                yield from _row(row, widths, self.width, "    ")

    def _ordered(self) -> Iterator[SceneDef]:
        """In the order in which a walk in depth meets them, so that a protocol stays together; then those of recoveries."""
        scenes = self.script.scenes
        met: set[str] = set()
        stack = [*reversed([*scenes]), self.script.start]
        while stack:
            id = stack.pop()
            if id in scenes and id not in met:
                met.add(id)
                yield scenes[id]
                stack.extend(branch.next for branch in reversed(scenes[id].branches))

    def _branch(self, scene: SceneDef, branch: BranchDef) -> tuple[str, ...]:
        """What is said, how often, to whom, and what follows."""
        to = f"→ {', '.join(branch.to)}" if branch.to else "(a decision of its own)"
        told = self.script.informed.get((scene.id, branch.label), ())
        to += f" ⇢ {', '.join(told)}" if told else ""
        times = f"{_times(self.times[scene.id, branch.label])}×"
        return saying(branch) + after(branch.after), times, to, f"then {self.title(branch.next)}"

    def _informs(self) -> Iterator[str]:
        informs = self.script.informs
        if not informs:
            yield from ("", "Nobody has to be told more than what is said anyway.")
            return
        yield from self._section(
            f"Only told (⇢): {_count(len(informs), 'frame')} with the label alone, and why"
        )
        each_costs = max(sum(1 for _ in self.script.branches()), 1)
        for at, inform in enumerate(informs):
            yield f"  {self.titles[inform.scene]}.{inform.label} ⇢ {inform.role}"
            if at * each_costs < BUDGET:
                why = reason(self.script, inform)
                text = "it could be left out: nobody needs it" if why is None else f"without it, {why}"
                yield from _wrapped(text, self.width, "    ")
        if len(informs) * each_costs > BUDGET:
            yield "  (for the later ones, no reason was looked for: they are many)"

    def _regions(self) -> Iterator[str]:
        regions = self.script.regions.values()
        if regions:
            yield from self._section("Regions: where the others go on when somebody is lost")
        for region in regions:
            inside = [
                self.titles[id] for id in self.script.scenes if region.name in self.script.innermost(id)
            ]
            around = "" if region.parent is None else f" (in {region.parent})"
            yield from _wrapped(f"{region.name}{around}: {', '.join(inside) or 'no scene'}", self.width, "  ")
            rows = [(f"without {lost}", f"then {self.title(next)}") for lost, next in region.on_lost]
            rows += [("starts again", "with somebody else in that role")] if region.restart else []
            yield from _table(rows, self.width, "    ")
        if regions:
            yield from self._channels()

    def _channels(self) -> Iterator[str]:
        """Those that a role would not need if nobody were ever lost."""
        rows: list[tuple[str, str]] = []
        for role, local in project_all(self.script).items():
            others = company(self.script, role, restarts=True)
            rows += [
                (f"{role}: {peer}", f"when {why}") for peer, why in others.items() if peer not in local.peers
            ]
        if rows:
            yield "  Over channels, a role needs these too, to agree with the others:"
        yield from _table(rows, self.width, "    ")

    def _cost(self) -> Iterator[str]:
        script, times = self.script, self.times
        payload = sum(len(branch.to) * times[scene.id, branch.label] for scene, branch in script.branches())
        told = sum(times[each.scene, each.label] for each in script.informs)
        parts = f" ({_times(payload)} to receivers, {_times(told)} only told)" if told else ""
        yield from self._section(
            f"Frames in a session, as expected from weights: {_times(payload + told)}{parts}"
        )

    def _roles(self) -> Iterator[str]:
        for role, local in project_all(self.script).items():
            states = _count(len(local.states), "state")
            yield from self._section(f"{role}: {states} (! says, ? hears, ⇢ is only told)")
            rows = [row for state in local.states for row in _steps(state)]
            rows += [
                (f"{region} without {lost}", "", f"to {state}")
                for (region, lost), state in local.recover.items()
            ]
            rows += [(f"{region} again", "", f"to {state}") for region, state in local.restart.items()]
            yield from _table(rows, self.width, "  ")

    def _names(self) -> Iterator[str]:
        """What the dots stand for: once for the scenes that share it."""
        names: dict[tuple[str, ...], list[str]] = {}
        for id, title in self.titles.items():
            if title != id:
                names.setdefault(
                    (title.removeprefix(scene_name(id)), id.removeprefix(scene_name(id))), []
                ).append(scene_name(id))
        if names:
            yield from ("", "Names in full")
        for (short, full), scenes in names.items():
            yield from _wrapped(f"{', '.join(scenes)} {short}", self.width, "  ")
            yield from _wrapped(f"is {full}", self.width, "    ")

    def _pins(self) -> Iterator[str]:
        """The informs as a program says them, to be copied."""
        informs = self.script.informs
        if informs:
            yield from self._section(
                "To pin what is only told, so that it stays as the script grows: informs=[…]"
            )
        for each in informs:
            scene, label, role = (json.dumps(name, ensure_ascii=False) for name in attrs.astuple(each))
            line = f"  Inform({scene}, {label}, {role}),"
            yield from [line] if len(line) <= self.width else [f"  Inform({scene},", f"    {label}, {role}),"]

    def _section(self, head: str) -> Iterator[str]:
        yield ""
        yield from _wrapped(head, self.width, "")

    def title(self, id: str) -> str:
        """What a scene or an exit is called."""
        return self.titles.get(id, id)


def _ending(script: Script, exits: list[str]) -> str:
    text = " or ".join(exits) or "nothing: it goes on and on"
    closing = ", a role that cannot tell when its peers have said goodbye" if script.closing else ""
    return text + closing


def _steps(state: LocalState) -> Iterator[tuple[str, str, str]]:
    """The state, what is done in it, and where that leads: the state is named in the first of its rows."""
    name = state.name
    for take in state.takes:
        yield name, hears(take, full=len({each.scene for each in state.takes}) > 1), f"to {take.next}"
        name = ""
    for give in state.gives:
        yield name, chooses(give), f"to {give.next}"
        name = ""
    if state.ends:
        yield name, "(the end)", ""
    elif state.exits:
        yield name, "(every peer has said goodbye)", f"to {state.final}"


def _times(number: float) -> str:
    """An expected number, with as many digits as mean something."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if number < 1 else f"{number:.2f}".rstrip("0").rstrip(".")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return wrap(
        text,
        max(width, 40),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _table(rows: Iterable[tuple[str, ...]], width: int, indent: str) -> Iterator[str]:
    every = _fitting(list(rows), width - len(indent))
    widths = _widths(every)
    for row in every:
        yield from _row(row, widths, width, indent)


def _widths(rows: list[tuple[str, ...]]) -> list[int]:
    """Of all columns but the last."""
    return [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)] if rows else []


def _fitting(rows: list[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """The rows in so few columns that they fit: the last two become one, which can be wrapped."""
    while rows and len(rows[0]) > 2 and _width(rows) > width:
        rows = [(*row[:-2], ", ".join(filter(None, row[-2:]))) for row in rows]
    return rows


def _width(rows: list[tuple[str, ...]]) -> int:
    widths = _widths(rows)
    return sum(widths) + len(GAP) * len(widths) + max((len(row[-1]) for row in rows), default=0)


def _row(row: tuple[str, ...], widths: list[int], width: int, indent: str) -> Iterator[str]:
    """A row, whose last column is wrapped where it is too long."""
    first = indent + "".join(text.ljust(column) + GAP for text, column in zip(row, widths, strict=False))
    room = max(width - len(first), 24)
    for text in wrap(row[-1], room, break_on_hyphens=False, break_long_words=False) or [""]:
        yield (first + text).rstrip()
        first = " " * len(first)
