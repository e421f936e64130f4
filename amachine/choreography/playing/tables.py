"""What both engines run: the machine of each role with its functions, looked up once instead of at every step.

`tables["Alice"]` is what Alice plays: states that know what they take, what they send, and what follows. Nothing here
runs: a stage and a player walk over the same tables. A role is made ready when it is first asked for, so that a program
that plays one role needs the functions of that role alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard, cast

import attrs

from amachine.choreography.acting import Acts, Answer, Part, Words
from amachine.choreography.diagnostics import ChoreographyError, Diagnostic
from amachine.choreography.local import Give, LocalMachine, LocalState, Take
from amachine.choreography.playing.events import Outline, outline
from amachine.choreography.playing.fitting import Check, check_of, exact_class, misfit
from amachine.choreography.playing.frames import Kind
from amachine.choreography.typenames import kind_of, payload_name
from amachine.errors import HandlerError, nearest

if TYPE_CHECKING:
    from amachine.choreography.script import Script

__all__ = [
    "GO_ON",
    "Entry",
    "Giving",
    "Key",
    "Played",
    "RoleState",
    "RoleTable",
    "SentWrong",
    "Tables",
    "Taking",
    "Way",
    "named",
]

Key: TypeAlias = tuple[str, str]
"""What a frame says of itself: the id of its scene, and its label."""

GO_ON = 0
"""The number of no frame: a role's own turn to act."""


class Played(Protocol):
    """A choreography, as far as the engines know it."""

    @property
    def script(self) -> Script:
        """With all that anybody is informed of."""
        ...

    @property
    def acts(self) -> Acts:
        """What is done in its scenes."""
        ...

    def project(self, role: str, /) -> LocalMachine:
        """What one role plays."""
        ...


class SentWrong(HandlerError):
    """The function of a scene did not choose one of its branches, or gave the wrong thing along (AMC502).

    The text goes to the other roles, too, and so shows nothing of what there was but its class. `role`, `scene` and `label` say
    where (no label where none could be told), `expected` what would have done, and `got` is what there was.
    """

    def __init__(
        self, message: str, *, role: str, scene: str, label: str, expected: str, got: object
    ) -> None:
        super().__init__(message, handler=f"{scene}.send")
        self.role = role
        self.scene = scene
        self.label = label
        self.expected = expected
        self.got = got


@attrs.define(eq=False, repr=False)
class Taking:
    """A frame that may come, and what then happens."""

    take: Take
    number: int
    """Of scene and label, the same for every role of the choreography; never `GO_ON`."""
    on: Callable[..., Any] | None
    """What is called; None for a frame that only informs, and where nobody wants to know."""
    carries: bool
    """It is called with the context and what came along; else with the context alone."""
    next: RoleState
    function: str = ""
    """How `on` is named to people: `Ping.on_ping`, or as the script has it: `bank.fine()`."""
    outline: Outline = attrs.field(kw_only=True)

    @property
    def told(self) -> str:
        """The same, with the arguments of the scene's template."""
        return _in_full(self.function, self.take.scene)


@attrs.define(eq=False, repr=False)
class Giving:
    """A branch that may be chosen, whom it tells, and what follows."""

    give: Give
    number: int
    to: tuple[int, ...]
    """The places of those who get the payload, in order."""
    informs: tuple[int, ...]
    """The places of those who are then told the label alone."""
    only: int | None
    """The place of the one who hears of it, if nobody else does and the sender then waits or ends: all goes on there."""
    wants: type | None
    """What is of exactly this class fits; anything else has to be looked at."""
    fits: Check
    next: RoleState
    tells: tuple[tuple[str, Kind], ...] = ()
    """Everybody who hears of it, in order, and how."""
    outline: Outline = attrs.field(kw_only=True)


@attrs.define(eq=False, repr=False)
class RoleState:
    """Where a role stands: what it takes, or what it does and may choose."""

    role: str
    local: LocalState
    takes: dict[Key, Taking] = attrs.Factory(dict[Key, "Taking"])
    send: Callable[[Any], Answer] | None = None
    """Called with the context when the state is entered, to choose a branch. None where a role waits or ends."""
    function: str = ""
    """How `send` is named to people: `Ping.send`, or as the script has it: `bank.rate()`."""
    gives: dict[str, Giving] = attrs.Factory(dict[str, "Giving"])
    """By label."""
    ends: bool = False
    hears: dict[str, dict[tuple[Kind, str, str], Taking]] = attrs.Factory(dict[str, Any])
    """As `takes`, by peer, and then by the kind, scene and label of a frame."""
    steps: list[Entry | None] = attrs.Factory(list["Entry | None"])
    """As `takes`, by number, with None for each frame that it does not take here; where the role acts, its own turn is among
    them. A list, though most of it is empty: a stage looks here for every message, and a dict would take twice as long."""
    ways: dict[str, Way] = attrs.Factory(dict[str, "Way"])
    """As `gives`, by label."""

    @property
    def told(self) -> str:
        """The name of `send`, with the arguments of the scene's template."""
        return _in_full(self.function, self.local.gives[0].scene)

    def chosen(self, answer: Any) -> tuple[Giving, Any]:
        """What `send` answered: the branch, and what goes along. Errors: `SentWrong`."""
        label, data = answer if _is_answer(answer) else ("", None)
        giving = self.gives.get(label)
        if giving is None:
            raise self._wrong_answer(answer)
        if type(data) is not giving.wants and not giving.fits(data):
            raise self._wrong_payload(giving.give, data)
        return giving, data

    def _wrong_payload(self, give: Give, data: Any) -> SentWrong:
        expected = "carries " + ("nothing" if give.payload is None else payload_name(give.payload))
        return SentWrong(
            f"AMC502 {give.scene}.{give.label}: {self.role} sent {misfit(give.payload, data)}, but the branch {expected}",
            role=self.role,
            scene=give.scene,
            label=give.label,
            expected=expected,
            got=data,
        )

    def _wrong_answer(self, answer: Any) -> SentWrong:
        scene = self.local.gives[0].scene
        ways = [f"self.{give.label}({'…' * (give.payload is not None)})" for give in self.local.gives]
        expected = f"return {' or '.join(ways)}"
        label = answer[0] if _is_answer(answer) else ""
        if inspect.iscoroutine(answer):
            answer.close()  # nobody will await it: Python need not warn of that, too
            got = "a coroutine, where only plain functions are called"
        elif label:
            got = f"a branch {label!r}, which this scene does not have{nearest(label, self.gives)}"
        else:
            got = kind_of(answer)
        return SentWrong(
            f"AMC502 {scene}.send: {self.role} answered {got}; it must {expected}",
            role=self.role,
            scene=scene,
            label=label,
            expected=expected,
            got=answer,
        )


Entry: TypeAlias = tuple[
    int, Callable[..., Any] | None, Callable[[Any], Answer] | None, dict[str, "Way"], Taking
]
"""All that a step needs, unpacked in one go: where in a row the context is, what is called with it and what came along (None
where nothing comes, or nobody wants to know), what then chooses, among which ways, and all else."""

Way: TypeAlias = tuple[type | None, RoleState, int, int | None, Giving]
"""The same of a branch: what it wants, what follows, its number, who alone hears of it, and all else."""


@attrs.frozen(eq=False)
class RoleTable:
    """All that one role plays, ready to run."""

    role: str
    place: int
    """Its number among the roles of the choreography."""
    machine: LocalMachine
    states: Mapping[str, RoleState]
    """By name, in the order of the machine."""
    awaits: tuple[str, ...]
    """Which of its functions are coroutine functions: `Ping[A, B].send`, `bank.rate()`. None: they are all called plainly."""
    keeps: bool = False
    """Whether its functions are called with a `Part`."""

    @property
    def start(self) -> RoleState:
        """Where it starts."""
        return self.states[self.machine.start.name]

    def part(self, me: Any) -> Any:
        """What its functions are called with, for the whole of one session, when this context plays it."""
        return Part(me) if self.keeps and not isinstance(me, Part) else me


class Tables:
    """The tables of a choreography, by role.

    Errors: `ChoreographyError` (AMC201) when a role is asked for whose scenes have no `send`; `KeyError` for no role.
    """

    def __init__(self, choreography: Played) -> None:
        self.script: Script = choreography.script
        self.roles: tuple[str, ...] = self.script.roles
        self.places: Mapping[str, int] = {role: place for place, role in enumerate(self.roles)}
        keys = [(scene.id, branch.label) for scene, branch in self.script.branches()]
        self.keys: tuple[Key, ...] = (("", ""), *keys)
        """By number: what a frame says of itself."""
        self.numbers: Mapping[Key, int] = {key: number for number, key in enumerate(self.keys)}
        senders = [
            self.places[scene.sender] for scene, _ in self.script.branches() if scene.sender in self.places
        ]
        self.senders: tuple[int, ...] = (-1, *senders)
        """By number: the place of the role that sends it."""
        self._choreography = choreography
        self._made: dict[str, RoleTable] = {}

    def __getitem__(self, role: str) -> RoleTable:
        if role not in self._made:
            self._made[role] = self._compiled(role)
        return self._made[role]

    def __iter__(self) -> Iterator[RoleTable]:
        """Every role's, in order."""
        return (self[role] for role in self.roles)

    def _compiled(self, role: str) -> RoleTable:
        place = self.places[role]
        machine = self._choreography.project(role)
        acts = self._choreography.acts
        self._insist_on_sends(machine, acts)
        states = {local.name: RoleState(role, local, ends=local.ends) for local in machine.states}
        awaits: dict[str, None] = {}
        for state in states.values():
            awaits.update(dict.fromkeys(self._fill(state, states, acts)))
        for state in states.values():
            self._unfold(state, place)
        keeps = any(role in act.keepers for act in acts.values())
        return RoleTable(role, place, machine, states, tuple(awaits), keeps)

    def _insist_on_sends(self, machine: LocalMachine, acts: Acts) -> None:
        missing = [
            state.gives[0].scene
            for state in machine.states
            if state.acts and state.gives[0].scene not in acts
        ]
        if missing:
            raise ChoreographyError(
                self.script.name,
                [_no_send(self.script, machine.role, scene) for scene in dict.fromkeys(missing)],
            )

    def _fill(self, state: RoleState, states: Mapping[str, RoleState], acts: Acts) -> Iterator[str]:
        """Write all that a state does into it. Yields the names of its coroutine functions."""
        for take in state.local.takes:
            on = None if take.informs or take.scene not in acts else acts[take.scene].on.get(take.label)
            carries = take.payload is not None
            function = function_of(on, take.scene, take.label)
            shown = outline(state.role, state.local.name, take)
            taking = Taking(
                take, self.numbers[take.key], on, carries, states[take.next], function, outline=shown
            )
            state.takes[take.key] = taking
            kind = Kind.INFORM if take.informs else Kind.MSG
            state.hears.setdefault(take.peer, {})[kind, take.scene, take.label] = taking
            if inspect.iscoroutinefunction(on):
                yield taking.told
        for give in state.local.gives:
            to, informs = self._places_of(give.to), self._places_of(give.informs)
            is_all = len(to) == 1 and not informs and not states[give.next].local.acts
            state.gives[give.label] = Giving(
                give,
                self.numbers[give.scene, give.label],
                to,
                informs,
                to[0] if is_all else None,
                exact_class(give.payload),
                check_of(give.payload),
                states[give.next],
                tuple((to, Kind.MSG) for to in give.to) + tuple((to, Kind.INFORM) for to in give.informs),
                outline=outline(state.role, state.local.name, give),
            )
        if state.local.gives:
            scene = state.local.gives[0].scene
            send: Callable[[Any], Any] = acts[scene].send
            state.send, state.function = send, function_of(send, scene)
            if inspect.iscoroutinefunction(send):
                yield state.told

    def _unfold(self, state: RoleState, place: int) -> None:
        """Write into a state what a stage wants to have at hand, when all states are filled."""
        takings = list(state.takes.values())
        if state.send is not None:
            turn = Take(state.role, state.local.gives[0].scene, "", None, informs=True, next=state.local.name)
            shown = outline(state.role, state.local.name, turn)
            takings.append(Taking(turn, GO_ON, None, carries=False, next=state, outline=shown))
        state.steps = [None] * len(self.keys)
        for taking in takings:
            on, after = taking.on if taking.carries else None, taking.next
            state.steps[taking.number] = (len(self.roles) + place, on, after.send, after.ways, taking)
        for label, giving in state.gives.items():
            state.ways[label] = (giving.wants, giving.next, giving.number, giving.only, giving)

    def _places_of(self, roles: Iterable[str]) -> tuple[int, ...]:
        return tuple(self.places[role] for role in roles)


def function_of(function: object, scene: str, label: str | None = None) -> str:
    """How a function of a scene is named to people: in its own words, `Ping.on_ping`, or without a label `Ping.send`."""
    words = getattr(function, "words", None)
    if isinstance(words, Words) and words:
        return words
    return f"{named(scene)}.send" if label is None else f"{named(scene)}.on_{label}"


def _in_full(function: str, scene: str) -> str:
    return function if isinstance(function, Words) else scene + function.removeprefix(named(scene))


def named(scene: str) -> str:
    """A scene's name, without the arguments of its template."""
    return scene.partition("[")[0]


def _no_send(script: Script, role: str, scene: str) -> Diagnostic:
    text = f"{scene}: role {role} must define send(me: {role}) -> Sent"
    hint = "it chooses one of " + ", ".join(branch.label for branch in script.scenes[scene].branches)
    return Diagnostic("AMC201", text, role=role, scene=scene, hint=hint, place=script.scenes[scene].place)


def _is_answer(value: Any) -> TypeGuard[Answer]:
    return isinstance(value, tuple) and len(cast("Answer", value)) == 2 and isinstance(value[0], str)
