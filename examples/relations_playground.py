"""Relations playground: a quiz on who is active afterwards, answered and explained by the engine itself.

In a terminal it asks you; elsewhere it answers by itself. No answer is written down here: the engine is asked.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from amachine import Machine, Schema, Tracer, Transition


@attrs.frozen
class Question:
    """A schema, what is active, and what is then asked for."""

    title: str
    schema: Mapping[str, Mapping[str, Any]]
    before: tuple[str, ...]
    kind: str
    states: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]
    """Who might be active afterwards; one of these is right."""
    lesson: str

    def machine(self) -> Machine:
        """A machine in which the question has not been answered yet."""
        machine = Machine.of(Schema.parse(self.schema))
        machine.set(*self.before)
        return machine

    def answer(self) -> tuple[int, str]:
        """The right choice, and why: both from the engine."""
        machine = self.machine()
        why = [str(machine.explain(self.kind, *self.states))]
        machine.attach(AutosToo(why))
        {"add": machine.add, "remove": machine.remove}[self.kind](*self.states)
        return self.choices.index(machine.active), "\n".join(why)


class AutosToo(Tracer):
    """Notes what follows by itself, and who was left out of it."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def transition_ended(self, machine: Machine, transition: Transition) -> None:  # noqa: ARG002
        if transition.auto:
            self.notes.append(f"then {transition.mutation}")
            self.notes += [f"  without {name}: {why}" for name, why in transition.left_out.items()]


QUIZ = (
    Question(
        "Without water",
        {"Water": {}, "Wet": {"require": ["Water"]}},
        before=("Water", "Wet"),
        kind="remove",
        states=("Water",),
        choices=((), ("Wet",), ("Water", "Wet")),
        lesson="Require: a state goes when one that it requires goes.",
    ),
    Question(
        "Newcomers first",
        {"Asleep": {"remove": ["Awake"]}, "Awake": {"remove": ["Asleep"]}},
        before=("Asleep",),
        kind="add",
        states=("Awake",),
        choices=(("Asleep",), ("Awake",), ("Asleep", "Awake")),
        lesson="Remove: a called state beats an active one that it removes.",
    ),
    Question(
        "The bouncer",
        {"Bouncer": {"remove": ["Guest"]}, "Guest": {}},
        before=("Bouncer",),
        kind="add",
        states=("Guest",),
        choices=(("Bouncer",), ("Guest",), ("Bouncer", "Guest")),
        lesson="Remove, the other way round: an active state keeps out what it removes, and the mutation is refused.",
    ),
    Question(
        "The whole chain",
        {"Trip": {"add": ["Train"]}, "Train": {"add": ["Ticket"]}, "Ticket": {}},
        before=(),
        kind="add",
        states=("Trip",),
        choices=(("Trip",), ("Trip", "Train"), ("Trip", "Train", "Ticket")),
        lesson="Add is transitive.",
    ),
    Question(
        "A gift you may refuse",
        {"Party": {"add": ["Music"]}, "Music": {"remove": ["Quiet"]}, "Quiet": {}},
        before=(),
        kind="add",
        states=("Party", "Quiet"),
        choices=(("Party",), ("Party", "Music"), ("Party", "Quiet"), ("Party", "Music", "Quiet")),
        lesson="What is only implied by Add is optional: it yields to what was asked for.",
    ),
    Question(
        "Two volunteers",
        {
            "Shift": {},
            "Anna": {"auto": True, "require": ["Shift"], "remove": ["Ben"]},
            "Ben": {"auto": True, "require": ["Shift"], "remove": ["Anna"]},
        },
        before=(),
        kind="add",
        states=("Shift",),
        choices=(("Shift",), ("Shift", "Anna"), ("Shift", "Ben"), ("Shift", "Anna", "Ben")),
        lesson="Auto states follow by themselves; of two that exclude each other, the one declared first.",
    ),
    Question(
        "A second chance",
        {"Rain": {"remove": ["Picnic"]}, "Forecast": {"remove": ["Rain"]}, "Picnic": {}},
        before=("Rain",),
        kind="add",
        states=("Forecast", "Picnic"),
        choices=(("Rain",), ("Forecast",), ("Forecast", "Picnic"), ("Rain", "Picnic")),
        lesson="Who is removed removes nobody: every state that is left out has a living reason.",
    ),
)


def ask(question: Question, number: int, choose: Callable[[str], str] | None) -> bool:
    """Put one question, and explain the answer. Whether `choose` chose the right one."""
    print(f"\n{number}. {question.title}")
    for state, says in question.schema.items():
        print(
            f"     {state:<9}",
            ", ".join(key if value is True else f"{key} {show(value)}" for key, value in says.items()) or "-",
        )
    print(f"   {show(question.before)} active; then {question.kind} {show(question.states)}. Who is active?")
    for letter, choice in zip("abcd", question.choices, strict=False):
        print(f"     {letter}) {show(choice)}")
    right, why = question.answer()
    chosen = "abcd"[right] if choose is None else choose("   your answer: ").strip().lower()
    print(
        f"   {'Right' if chosen == 'abcd'[right] else 'No'}: {'abcd'[right]}) {show(question.choices[right])}"
    )
    print("\n".join(f"   | {line}" for line in why.splitlines()))
    print(f"   {question.lesson}")
    return chosen == "abcd"[right]


def show(value: Sequence[str]) -> str:
    """States in words."""
    return ", ".join(value) or "nothing"


def main() -> None:
    """Ask everything."""
    choose = input if sys.stdin.isatty() else None
    try:
        score = sum([ask(question, number, choose) for number, question in enumerate(QUIZ, 1)])
    except (EOFError, KeyboardInterrupt):
        print()
        return
    print(f"\n{score} of {len(QUIZ)}")


if __name__ == "__main__":
    main()
