"""Machines in words and tables: what they look like to a reader. Formats values; decides nothing."""

# pyright: reportPrivateUsage=false
# The rooms of a machine share its memory; nobody else does.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amachine._bits import bits
from amachine.mutation import phrase

if TYPE_CHECKING:
    from amachine.machine import Machine
    from amachine.schema import Schema
    from amachine.transition import Plan


class Explanation:
    """What relations make of a mutation: who would be active, and why the others would not. Print it."""

    __slots__ = ("_plan",)

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @property
    def accepted(self) -> bool:
        """Whether relations let it through. Handlers are not asked."""
        return self._plan.accepted

    @property
    def why(self) -> str:
        """One sentence on what refuses it; empty where nothing does."""
        return self._plan.why

    @property
    def target(self) -> tuple[str, ...]:
        """The states that would be active."""
        return self._names(self._plan.target)

    @property
    def enters(self) -> tuple[str, ...]:
        """The states that would enter, or re-enter."""
        return self._names(self._plan.enters)

    @property
    def exits(self) -> tuple[str, ...]:
        """The states that would end."""
        return self._names(self._plan.exits)

    @property
    def left_out(self) -> dict[str, str]:
        """Every state that was called, active or implied and would not be active, with what stands against it."""
        return self._plan.left_out()

    @property
    def handlers(self) -> tuple[str, ...]:
        """Where the handlers are written that would be asked or run, in order."""
        plan = self._plan
        return tuple(step[2].label for step in (*plan.negotiation, *plan.finals, *plan.ends, *plan.tasks))

    def _names(self, mask: int) -> tuple[str, ...]:
        return self._plan.schema.names_of(mask)

    def __bool__(self) -> bool:
        return self.accepted

    def __str__(self) -> str:
        plan = self._plan
        asked = phrase(plan.schema, plan.kind, plan.called, auto=plan.auto)
        lines = [f"{asked}: {'accepted' if self.accepted else 'refused'}"]
        if self.accepted:
            lines += [f"  enters {name}" for name in self.enters] + [
                f"  exits  {name}" for name in self.exits
            ]
        lines += [f"  without {name}: {why}" for name, why in self.left_out.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation {self}>"


def flags_of(schema: Schema, state: int) -> str:
    """`auto`, `multi`, args class and limit of a state, in words."""
    definition = schema.states[state]
    words = [word for word, there in (("auto", definition.auto), ("multi", definition.multi)) if there]
    if definition.args is not None and definition.args is not dict:
        words.append(f"args {getattr(definition.args, '__name__', 'callable')}")
    if definition.limit is not None:
        words.append(f"limit {definition.limit}")
    return " ".join(words)


def relations_of(schema: Schema, state: int) -> str:
    """The relations of a state, in words."""
    definition = schema.states[state]
    parts = (
        f"{relation} {', '.join(names)}"
        for relation in ("require", "add", "remove", "after")
        if (names := getattr(definition, relation))
    )
    return "; ".join(parts)


def table(machine: Machine) -> str:
    """All states of a machine, a line each: activity, name, tick, flags, relations."""
    schema, time = machine.schema, machine.time
    width = max(len(name) for name in schema.names)
    lines = [
        f"{type(machine).__name__} {machine.id}: {len(time.active())} of {schema.n} states active, time {time.sum}"
    ]
    for i, name in enumerate(schema.names):
        mark = "●" if time[i] & 1 else "○"
        notes = "; ".join(part for part in (flags_of(schema, i), relations_of(schema, i)) if part)
        lines.append(f"  {mark} {name:<{width}} {time[i]:>4}  {notes}".rstrip())
    unopened = machine._unopened()
    if unopened:
        lines.append(f"not open: {', '.join(unopened)} will run inside `async with`")
    return "\n".join(lines)


def rich_table(machine: Machine) -> Any:
    """The same, as a rich table."""
    from rich.table import Table
    from rich.text import Text

    schema, time = machine.schema, machine.time
    shown = Table(
        "state",
        "tick",
        "flags",
        "relations",
        title=f"{type(machine).__name__} {machine.id}",
        title_justify="left",
    )
    shown.columns[1].justify = "right"
    for i, name in enumerate(schema.names):
        active = bool(time[i] & 1)
        style = "bold red" if active and 1 << i == schema.exception else "bold green" if active else "dim"
        mark = Text(f"{'●' if active else '○'} {name}", style=style)
        shown.add_row(mark, str(time[i]), flags_of(schema, i), relations_of(schema, i))
    return shown


def states_of(schema: Schema, mask: int) -> tuple[str, ...]:
    """Names of the states in a mask."""
    return tuple(schema.names[i] for i in bits(mask))
