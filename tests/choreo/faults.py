"""Sessions whose roles die wherever it hurts: scripts made by chance, a network that takes its time, and what must hold."""

from __future__ import annotations

import json
import random
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from amachine.choreography.acting import Act
from amachine.choreography.builder import Builder
from amachine.choreography.diagnostics import ChoreographyError
from amachine.choreography.playing.agreement import Decision, company
from amachine.choreography.playing.endings import Ending
from amachine.choreography.playing.events import EpochBegun, Event, StageTracer
from amachine.choreography.playing.frames import ChannelClosed, Frame, Kind
from amachine.choreography.playing.joining import Joined
from amachine.choreography.reading import Reading
from amachine.choreography.script import SceneDef, Script
from amachine.choreography.whole import Choreography

DELAYS = (0.0, 0.01, 0.05, 0.3)
"""Seconds that a frame is under way, once for its channel and once for itself; so a loss is noticed soon."""


def by_chance(rng: random.Random, *, restart: bool = False, most: int = 5) -> Choreography:
    """A sound script with regions, played by `Bookkeeper`s. With `restart` most regions start again, often in loops."""
    while True:
        script = _by_chance(rng, rng.randint(3, most), restart=restart)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return kept(script)
        except ChoreographyError:
            pass


def _by_chance(rng: random.Random, count: int, *, restart: bool) -> Script:
    roles = [f"r{at}" for at in range(count)]
    b = Builder()
    exits = ["Exit"]

    def scene(id: str, cast: list[str], labels: Mapping[str, str], region: str | None = None) -> None:
        sender = rng.choice(cast)
        others = [role for role in cast if role != sender]
        for label, next in labels.items():
            to = [role for role in others if rng.random() < 0.6] or [rng.choice(others)]
            b.scene(id, sender, region=region).branch(label, dict, to=to, next=next)

    regions = ["Outer", "Inner", "Other"][: rng.randint(1, 3)]
    plans: list[tuple[str, str]] = []
    for name in regions:
        on_lost: dict[str, str] = {}
        for lost in rng.sample(roles, rng.randint(0 if restart else 1, min(3, count - 1))):
            on_lost[lost] = f"Plan{name}{lost}"
            if rng.random() < 0.25:
                exits.append(on_lost[lost])
            else:
                plans.append((on_lost[lost], lost))
        again = restart and (not on_lost or rng.random() < 0.8)
        b.region(name, on_lost, parent="Outer" if name == "Inner" else None, restart=again)
    length = rng.randint(2, 6)
    names = [*(f"S{at}" for at in range(length)), "Exit"]
    for at in range(length):
        labels = {"a": names[at + 1]} | ({"b": rng.choice(names)} if rng.random() < 0.5 else {})
        scene(names[at], roles, labels, rng.choice([*regions, *regions, None]))
    for plan, lost in plans:
        left = [role for role in roles if role != lost]
        steps = [plan, f"{plan}_then"][: rng.randint(1, 2)]
        for step, next in zip(steps, [*steps[1:], f"Saved{plan}"], strict=True):
            scene(step, left, {"a": next})
        exits.append(f"Saved{plan}")
    return b.script("by_chance", "S0", roles=roles, exits=exits)


class Bookkeeper:
    """Says with everything how often it has spoken to whom, and finds out if somebody remembers otherwise."""

    def __init__(self, role: str, script: Script, seed: object) -> None:
        self.role = role
        rng = random.Random(f"{seed} {role}")
        self.labels = {
            scene.id: [rng.choice(scene.branches).label for _ in range(2)] for scene in script.scenes.values()
        }
        """By scene, what is chosen at the first visit, the second, …; then the first branch."""
        self.visits: dict[str, int] = {}
        self.said: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        # Who goes on elsewhere, without going back, may have missed something.
        self.is_exact = not script.mortal

    def choose(self, scene: SceneDef) -> Any:
        visit = self.visits.get(scene.id, 0)
        self.visits[scene.id] = visit + 1
        labels = self.labels[scene.id]
        branch = scene.branch(labels[visit] if visit < len(labels) else scene.branches[0].label)
        for role in branch.to:
            self.said[role] = self.said.get(role, 0) + 1
        return branch.label, dict(self.said)

    def hear(self, sender: str, said: Mapping[str, int]) -> None:
        self.heard[sender] = self.heard.get(sender, 0) + 1
        if self.is_exact and said[self.role] != self.heard[sender]:
            heard = self.heard[sender]
            raise AssertionError(f"{sender} has said {said[self.role]}, {self.role} heard {heard}")

    def checkpoint(self) -> Any:
        return [dict(self.visits), dict(self.said), dict(self.heard)]

    def restore(self, data: Any) -> None:
        self.visits, self.said, self.heard = (dict(each) for each in data)


def kept(script: Script) -> Choreography:
    """That script, played by bookkeepers."""

    def act(scene: SceneDef) -> Act:
        def on(me: Bookkeeper, said: Mapping[str, int]) -> None:
            me.hear(scene.sender, said)

        return Act(lambda me: me.choose(scene), {branch.label: on for branch in scene.branches})

    return Choreography.of(Reading(script, {scene.id: act(scene) for scene in script.scenes.values()}, {}))


class End:
    """One end of a channel. What it sends is under way for a while, and never overtakes what was sent before."""

    def __init__(self, net: Net, me: str, peer: str) -> None:
        self.net = net
        self.me = me
        self.peer = peer
        self.other: End
        self.closed = False
        self.coming: deque[tuple[float, Frame | ChannelClosed]] = deque()
        self._news = anyio.Event()
        self._last = 0.0
        self._far = net.rng.choice(net.delays)

    def put(self, what: Frame | ChannelClosed) -> None:
        delay = self._far + self.net.rng.choice(self.net.delays)
        self._last = max(self._last, anyio.current_time() + delay)
        self.coming.append((self._last, what))
        self.wake()

    def wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    def try_send(self, frame: Frame) -> bool:
        if self.me in self.net.dead:
            return True
        if self.closed:
            raise ChannelClosed(self.peer, why="this end was closed")
        if frame.kind is Kind.LOST and self.net.dies_at_this(self.me, frame.data):
            return True
        self.other.put(frame)
        return True

    async def send(self, frame: Frame) -> None:
        self.try_send(frame)

    async def receive(self) -> Frame:
        while True:
            if self.closed:
                raise ChannelClosed(self.peer, why="this end was closed")
            news = self._news
            with anyio.move_on_after(self.coming[0][0] - anyio.current_time() if self.coming else None):
                if not self.coming or self.coming[0][0] > anyio.current_time():
                    await news.wait()
            if self.coming and self.coming[0][0] <= anyio.current_time():
                what = self.coming[0][1]
                if isinstance(what, ChannelClosed):
                    raise ChannelClosed(self.peer, what.reason, why=what.why)
                self.coming.popleft()
                return what

    async def aclose(self, reason: Frame) -> None:
        if not self.closed and self.me not in self.net.dead:
            self.other.put(ChannelClosed(self.me, reason))
        self.cut()

    def cut(self) -> None:
        self.closed = True
        self.wake()


class Seen(StageTracer):
    """Does something at the events of some numbers."""

    def __init__(self, at: Collection[int], then: Callable[[], object]) -> None:
        self.at = at
        self.then = then
        self.events: list[Event] = []

    def stage_event(self, event: Event) -> None:
        self.events.append(event)
        if len(self.events) in self.at:
            self.then()


class Net:
    """One session, each role by itself. `first` dies `at` events of these numbers; and others as they are about to say something.

    `deaths` are numbers of LOST frames, and whether those that tell a decision are counted, or the others: who says that dies.

    Where there is a `whole` net, everybody has a channel to everybody; `turned` is the order in which those are used. What a
    dying role has said last may be lost with it, unless `delays` leave nothing to chance.
    """

    soon = 20.0
    """Seconds after which nobody waits any more: nobody's patience is at an end before."""
    restarts = False

    def __init__(
        self,
        choreography: Choreography,
        seed: int,
        *,
        first: str = "",
        at: Collection[int] = (),
        deaths: Collection[tuple[int, bool]] = (),
        whole: bool = True,
        turned: bool = False,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self.choreography = choreography
        self.rng = random.Random(seed)
        self.deaths = deaths
        self.delays = delays
        self.said = {False: 0, True: 0}
        """How many LOST frames were said that told where somebody stood, and how many that told a decision."""
        self.dead: set[str] = set()
        self.died: list[str] = []
        """Everybody who ever was dead."""
        self.seen = Seen(at, lambda: self.kill(first))
        self.decided: dict[str, list[Decision]] = defaultdict(list)
        """What each role has told the others that it does."""
        self.endings: dict[str, Ending] = {}
        self.seconds = 0.0
        self.group: TaskGroup
        self.session_seed = seed
        script = choreography.script
        self.ends: dict[str, dict[str, End]] = {role: {} for role in script.roles}
        for one, other in combinations(script.roles[::-1] if turned else script.roles, 2):
            peers = choreography.tables[one].machine.peers
            if whole or other in peers or other in company(script, one, restarts=self.restarts):
                self.ends[one][other], self.ends[other][one] = self.pair(one, other)
        self.joined = {role: self.join(role) for role in script.roles}

    def pair(self, one: str, other: str) -> tuple[End, End]:
        here, there = End(self, one, other), End(self, other, one)
        here.other, there.other = there, here
        return here, there

    def join(self, role: str, **options: Any) -> Joined:
        """Somebody who plays that role."""
        me, ends = self.actor(role), self.ends[role]
        return Joined(self.choreography, role, me, ends, tracers=[self.seen], **options)

    def actor(self, role: str) -> Bookkeeper:
        """Its object."""
        return Bookkeeper(role, self.choreography.script, self.session_seed)

    def dies_at_this(self, role: str, told: Mapping[str, Any]) -> bool:
        """One more LOST frame is about to be said: whether that is the last thing that this role ever did."""
        decides = told["decides"]
        self.said[decides] += 1
        decided = self.decided[role]
        if decides and not (decided and decided[-1].epoch == told["last"]["epoch"]):
            decided.append(Decision(**told["last"]))
        if (self.said[decides], decides) in self.deaths:
            self.kill(role)
        return role in self.dead

    def kill(self, role: str) -> None:
        """Its process dies. Of what it said last to somebody, some may never come."""
        if role in self.dead or self.joined[role].ending is not None:
            return
        self.dead.add(role)
        self.died.append(role)
        self.joined[role].player.vanish("killed")
        loses = len(self.delays) > 1
        for end in self.ends[role].values():
            end.cut()
            coming = end.other.coming
            for _ in range(self.rng.randint(0, len(coming)) if loses and self.rng.random() < 0.6 else 0):
                if isinstance(coming[-1][1], Frame):
                    coming.pop()
            end.other.put(ChannelClosed(role, why="connection reset"))

    async def run(self) -> Self:
        """Play it to the end, or for a while."""
        began = anyio.current_time()
        with anyio.move_on_after(1000):
            async with anyio.create_task_group() as self.group:
                for role, joined in self.joined.items():
                    self.group.start_soon(self.play, role, joined)
        self.seconds = anyio.current_time() - began
        return self

    async def play(self, role: str, joined: Joined) -> None:
        async with joined:
            self.endings[role] = await joined.ended()

    @property
    def wrongs(self) -> list[str]:
        """What must not be."""
        return [*self._wrong_decisions(), *self._wrong_endings()]

    def _wrong_decisions(self) -> list[str]:
        found: list[str] = []
        by_number: dict[int, Decision] = {}
        for decisions in self.decided.values():
            found += [
                f"two decisions of one number: {each} and {by_number[each.epoch]}"
                for each in decisions
                if by_number.setdefault(each.epoch, each) != each
            ]
        for one, other in combinations([role for role in self.ends if role not in self.died], 2):
            here, there = self.decided[one], self.decided[other]
            both = min(len(here), len(there))
            if other in self.ends[one] and here[:both] != there[:both]:
                found.append(f"{one} has heard of {here}, and {other} of {there}")
        return found

    def _wrong_endings(self) -> list[str]:
        found = [f"it took {self.seconds} s"] if self.seconds > self.soon else []
        for role, ending in self.endings.items():
            is_bad = ending.error is not None or (ending.aborted and not ending.why)
            if is_bad or self._is_blamed(role, ending.why) or self._is_unexplained(role, ending):
                found.append(f"{ending!r}")
        return found

    def _is_blamed(self, role: str, why: str) -> bool:
        given_up = f"given up {role}" in why and role not in self.died
        return given_up or "did not answer" in why or "did not say" in why

    def _is_unexplained(self, role: str, ending: Ending) -> bool:
        return ending.aborted and role not in self.died and "was lost" not in ending.why

    @property
    def epochs(self) -> int:
        """How often a role has begun anew."""
        return sum(isinstance(each, EpochBegun) for each in self.seen.events)


class Reborn(Net):
    """As `Net`, but whoever has died comes back a little later, with what it was told to keep; everybody `lives` times."""

    soon = 200.0
    """Those who do not come back are waited for."""
    restarts = True

    def __init__(self, choreography: Choreography, seed: int, *, lives: int = 2, **options: Any) -> None:
        self.kept: dict[str, Any] = {}
        self.lives = dict.fromkeys(choreography.script.roles, lives)
        self.waiting: dict[tuple[str, str], End] = {}
        self.news = anyio.Event()
        super().__init__(choreography, seed, **options)

    def join(self, role: str, **options: Any) -> Joined:
        async def again(peer: str) -> End:
            self.ends[role][peer] = await self.meet(role, peer)
            return self.ends[role][peer]

        def keep(data: Mapping[str, Any]) -> None:
            self.kept[role] = json.loads(json.dumps(data))

        return super().join(role, again=again, keep=keep, **options)

    async def meet(self, me: str, peer: str) -> End:
        """An end for each, once both have asked."""
        if (me, peer) not in self.waiting:
            self.waiting.pop((peer, me), None)
            here, self.waiting[peer, me] = self.pair(me, peer)
            offered = self.waiting[peer, me]
            self.news.set()
            self.news = anyio.Event()
            try:
                while self.waiting.get((peer, me)) is offered:
                    await self.news.wait()
            finally:
                if self.waiting.get((peer, me)) is offered:
                    del self.waiting[peer, me]
            return here
        found = self.waiting.pop((me, peer))
        self.news.set()
        self.news = anyio.Event()
        return found

    def kill(self, role: str) -> None:
        times = len(self.died)
        super().kill(role)
        if len(self.died) > times:
            self.lives[role] -= 1
            if self.lives[role]:
                self.group.start_soon(self.come_back, role)

    async def come_back(self, role: str) -> None:
        await anyio.sleep(self.rng.choice([0.5, 1, 2]))
        if not self.kept.get(role, {}).get("regions"):
            return
        ends: dict[str, End] = {}

        async def meet(peer: str) -> None:
            with anyio.move_on_after(5):
                ends[peer] = await self.meet(role, peer)
                return
            ends[peer], other = self.pair(role, peer)
            other.cut()
            ends[peer].put(ChannelClosed(peer, why="it is not there"))

        async with anyio.create_task_group() as group:
            for peer in self.ends[role]:
                group.start_soon(meet, peer)
        self.dead.remove(role)
        self.ends[role] = ends
        self.joined[role] = self.join(role, resume=self.kept[role])
        await self.play(role, self.joined[role])

    def _is_blamed(self, role: str, why: str) -> bool:
        given_up = f"given up {role}" in why and role not in self.died
        return "did not say" in why or "nobody knew" in why or given_up

    def _is_unexplained(self, role: str, ending: Ending) -> bool:
        return False


async def cut_down(
    kind: type[Net], choreography: Choreography, seed: int, rng: random.Random, **options: Any
) -> list[Net]:
    """A session in which somebody dies; and, where that is agreed about, one in which others die in the middle of that."""
    script = choreography.script
    events = len((await kind(choreography, seed, **options).run()).seen.events)
    options |= {"at": (rng.randint(1, events),), "first": rng.choice(script.mortal or script.roles)}
    plain = await kind(choreography, seed, **options).run()
    if not plain.said[False]:
        return [plain]
    kinds = rng.choices([False, True], weights=[2, 3], k=rng.randint(1, 3))
    deaths = [(rng.randint(1, plain.said[decides] + 6), decides) for decides in kinds]
    return [plain, await kind(choreography, seed, deaths=deaths, **options).run()]
