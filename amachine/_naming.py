"""How the names of handlers read: `ProcessingEnter`, `processing_enter`, `StartProcessing`, `any_state`.

Names only: nothing here looks at a function. Nothing here guesses, either: a name that reads in two ways
is an error, and one that almost reads is an error that says what it may have been meant to be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from amachine._phases import Phase, Rule
from amachine.errors import BindingError, closest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amachine.schema import Schema

NO_HANDLER = "if it is no handler, rename it or begin its name with an underscore"

_BY_SUFFIX = (Phase.ENTER, Phase.EXIT, Phase.STATE, Phase.END, Phase.TASK)
_SUFFIXES = tuple(
    (suffix, phase) for phase in _BY_SUFFIX for suffix in (phase.value, f"_{phase.value.lower()}")
)
_ANY = {Phase.ENTER: Phase.ANY_ENTER, Phase.STATE: Phase.ANY_STATE}


class Reading(NamedTuple):
    """What a handler is for: phase, index of its state, index of the state that enters; -1 where there is none."""

    phase: Phase
    state: int = -1
    other: int = -1


class Site(NamedTuple):
    """Where a handler is written: the class (empty for a mapping), its name there, and the two in one."""

    owner: str
    attr: str
    where: str
    by_name: bool = False
    """Whether only its name makes it a handler, so that it may be one by mistake."""


class Names:
    """How names read for one schema and prefix. Case and underscores do not count, but edges of words do.

    A name is cut only where a word begins, at a capital or after an underscore: with a state `s`, `SEnd` and
    `s_end` are handlers, and `send` is not.
    """

    __slots__ = ("known", "prefix", "schema")

    def __init__(self, schema: Schema, prefix: str) -> None:
        self.schema = schema
        self.prefix = prefix
        self.known: dict[str, int] = {}
        for i, name in enumerate(schema.names):
            if name.startswith(prefix) and name != prefix:
                self.known[_fold(name.removeprefix(prefix))] = i
        if not self.known:
            raise BindingError(f"no state{self._of_schema()} begins with {prefix!r}")
        # The engine's own state takes no prefix, so a handler of it need not either.
        self.known.setdefault("exception", schema.index["Exception"])

    def name_of(self, state: int) -> str | None:
        """The name of the state of this index; None for -1."""
        return self.schema.names[state] if state >= 0 else None

    def label(self, reading: Reading) -> str:
        """The conventional name, of the whole names of the states: what logs and refusals call a handler."""
        phase, state, other = reading
        if state < 0:
            return str(phase.value)
        first = _camel(self.schema.names[state])
        if phase in _BY_SUFFIX:
            return f"{first}{phase.value}"
        return first + _camel(self.schema.names[state if phase is Phase.STAY else other])

    def timer_label(self, reading: Reading, *, repeats: bool) -> str:
        """What logs call a timer: `ProcessingAfter`, `ProcessingEvery`."""
        return f"{_camel(self.schema.names[reading.state])}{'Every' if repeats else 'After'}"

    def explain(self, reading: Reading) -> str:
        """A reading in words: `Enter of start`, `start to ready`."""
        phase, state, other = reading
        if state < 0:
            return str(phase.value)
        if phase in _BY_SUFFIX:
            return f"{phase.value} of {self.name_of(state)}"
        return f"{self.name_of(state)} to {self.name_of(other) or 'itself'}"

    def read(self, name: str, *, owner: str = "") -> Reading | None:
        """What a handler of this name is for; None if no handler is called so.

        Errors: `BindingError` for a name that reads in two ways.
        """
        if name.startswith("_"):
            return None
        found = dict.fromkeys(self._readings(name))
        if len(found) > 1:
            ways = " or ".join(map(self.explain, found))
            raise BindingError(
                f"the name reads in two ways: {ways}. Give it another name and a decorator, or {NO_HANDLER}",
                owner=owner,
                handler=name,
            )
        return next(iter(found), None)

    def _readings(self, name: str) -> Iterator[Reading]:
        for phase, stem in _stems(name):
            folded = _fold(stem)
            if folded == "any" and phase in _ANY:
                yield Reading(_ANY[phase])
            if folded in self.known:
                yield Reading(phase, self.known[folded])
        for left, right in _cuts(name):
            if left in self.known and right in self.known:
                yield _pair(self.known[left], self.known[right])

    def decorated(self, rule: Rule, site: Site) -> Reading:
        """What a decorator says. Errors: `BindingError` if it names a state that the schema does not have."""
        if rule.state is None:
            return Reading(rule.phase)
        state = self._index(rule.state, site)
        if rule.phase is Phase.TO:
            return _pair(state, self._index(rule.other, site))
        return Reading(rule.phase, state)

    def _index(self, state: Any, site: Site) -> int:
        name: str = state if isinstance(state, str) else state.name
        found = self.known.get(_fold(name))
        if found is not None:
            return found
        full = self.prefix + name
        near = closest(full, self.schema.names)
        schema = self.schema.name or "the schema"
        raise BindingError(
            f"{schema} has no state {full!r}{_hint(near)}",
            owner=site.owner,
            handler=site.attr,
            state=full,
            nearest=near,
        )

    def resembles(self, name: str) -> bool:
        """Whether a name that does not read looks as if it should: a typo must not become a handler never called."""
        if any(True for _ in _stems(name)):
            return True
        known = self.known
        if any(left in known and right in known for left, right in _cuts_anywhere(name)):
            return True  # `startprocessing`: two states, and no edge between them
        return name[0].isupper() and any(
            (left in known and closest(right, known)) or (right in known and closest(left, known))
            for left, right in _cuts(name)
        )

    def refuse(self, name: str, *, owner: str = "") -> NoReturn:
        """Raise the `BindingError` for a name that should read and does not."""
        near = closest(name, self._legal(name))
        mend = f"; {NO_HANDLER}" if owner else ""
        raise BindingError(
            f"this is a handler of no state{self._of_schema()}{_hint(near)}{mend}",
            owner=owner,
            handler=name,
            nearest=near,
        )

    def _legal(self, name: str) -> Iterator[str]:
        """The names that this one may have been meant to be, written in its style."""
        style, joint = (_snake, "_") if name == name.lower() else (_camel, "")
        short = {at: style(self.schema.names[i].removeprefix(self.prefix)) for at, i in self.known.items()}
        for phase in _BY_SUFFIX:
            stems = (*short.values(), style("Any")) if phase in _ANY else short.values()
            yield from (stem + joint + style(phase.value) for stem in stems)
        # All pairs of states would be very many. Near are only those of which one half stands in the name.
        for left, right in _cuts_anywhere(name):
            if left in short:
                yield from (short[left] + joint + state for state in short.values())
            elif right in short:
                yield from (state + joint + short[right] for state in short.values())

    def _of_schema(self) -> str:
        return f" of {self.schema.name}" if self.schema.name else ""


def _pair(before: int, enters: int) -> Reading:
    """From one state to another is `TO`; from a state to itself is `STAY`."""
    return Reading(Phase.STAY, before) if before == enters else Reading(Phase.TO, before, enters)


def _stems(name: str) -> Iterator[tuple[Phase, str]]:
    """The phase that a name ends with, and what stands before it."""
    for suffix, phase in _SUFFIXES:
        if name.endswith(suffix) and name.strip("_") not in (suffix, suffix[1:]):
            yield phase, name.removesuffix(suffix)


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """Both parts of a name, folded, for each place where a word begins."""
    for at in range(1, len(name)):
        if name[at - 1] == "_" or not (name[at] == "_" or name[at].islower()):
            yield _fold(name[:at]), _fold(name[at:])


def _cuts_anywhere(name: str) -> Iterator[tuple[str, str]]:
    """Both parts of a name, folded, for every place, edge of a word or not."""
    folded = _fold(name)
    return ((folded[:at], folded[at:]) for at in range(1, len(folded)))


def _fold(name: str) -> str:
    """What counts of a name. A schema has no two states that are the same in it."""
    return name.replace("_", "").casefold()


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")


def _hint(near: str | None) -> str:
    return f" (did you mean {near!r}?)" if near else ""
