"""A choreography as its users hold it: read, checked, ready to be looked at and to be played.

Everything is done in the rooms below; here it is only tied together, and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from amachine.choreography import check as checking
from amachine.choreography import inform as informing
from amachine.choreography.canonical import fingerprint
from amachine.choreography.diagnostics import ChoreographyError, Diagnostic, Level, warn
from amachine.choreography.options import End, Engine, Policy, see_options, see_profile
from amachine.choreography.places import caller
from amachine.choreography.project import project
from amachine.choreography.reading import Needs, Reading
from amachine.choreography.scenes import reader as scenes
from amachine.choreography.script import Inform, Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from amachine.choreography.acting import Acts
    from amachine.choreography.local import LocalMachine
    from amachine.choreography.playing.endings import Outcome
    from amachine.choreography.playing.frames import Channel
    from amachine.choreography.playing.joining import Joined
    from amachine.choreography.playing.own import AsMachine
    from amachine.choreography.playing.play import Play
    from amachine.choreography.playing.returning import Again, Keep
    from amachine.choreography.playing.tables import Tables
    from amachine.choreography.playing.tally import Tally
    from amachine.choreography.seeing.graph import Graph
    from amachine.choreography.wire.codec import Codec
    from amachine.tracers.base import Tracer

__all__ = ["Cast", "Choreography", "Engine", "Role"]

Role: TypeAlias = type | str
"""A role's class, or its name."""

Cast: TypeAlias = Mapping[Any, Any]
"""Who plays what: by role, as class or name, the context that its functions get."""


class Choreography:
    """One script for many roles, checked as a whole.

    `roles` are the classes whose instances play; the order is that of columns in tables and of decisions after a loss.
    `inform` says who is told of choices that are not made to them, and `informs` what is told in any case: with
    `"declared"`, nothing else. Pin what `explain()` shows, and the wire stays as it is while the script grows. `profile`
    tells how often each branch is taken, by scene and label, where weights are only guesses.

    `patience` is how many seconds a role waits for its next frame before it gives up; a scene may have its own. Before it does,
    it asks, and goes on waiting for who waits himself or got its turn only lately: so it is also how long anybody may take for a
    step, and who takes longer is the one who is blamed. `end="bye"` lets roles end that cannot tell that all is over: when
    everybody whom they could hear from has closed. `mortal` roles may be lost: regions say how those who are left go on.
    `endless` says that it is meant never to end.

    With `barrier` all goes in lock step: there is a `Barrier` before every scene whose sender was not told of what led
    there, so that nobody begins the next part while others are still in the last one.

    Errors: `ChoreographyError` with everything that was found; what is only doubtful is in `warnings`. `ValueError` and
    `TypeError` for options that make no sense.
    """

    def __init__(
        self,
        start: type[Any],
        *,
        roles: Iterable[type],
        name: str | None = None,
        inform: Policy = "auto",
        informs: Iterable[Inform] = (),
        profile: Mapping[tuple[str, str], float] | None = None,
        endless: bool = False,
        end: End = "known",
        mortal: Iterable[type] = (),
        barrier: bool = False,
        patience: float | None = None,
        codec: Any = None,
    ) -> None:
        pinned = tuple(informs)
        see_options(
            name=name, inform=inform, informs=pinned, profile=profile, end=end, patience=patience, codec=codec
        )
        reading = scenes.read(
            start,
            roles=tuple(roles),
            name=name,
            informs=pinned,
            endless=endless,
            closing=end == "bye",
            mortal=tuple(mortal),
            codec=codec,
            barrier=barrier,
            place=caller(),
        )
        self._settle(reading, inform, profile, patience, codec)

    @classmethod
    def of(
        cls,
        reading: Reading | Script,
        *,
        inform: Policy = "auto",
        profile: Mapping[tuple[str, str], float] | None = None,
        patience: float | None = None,
        codec: Any = None,
    ) -> Choreography:
        """Make one of a script that a program built or that was read from JSON; acts come with a `Reading`.

        Errors: `ChoreographyError`; `ValueError` and `TypeError` for options that make no sense.
        """
        see_options(inform=inform, profile=profile, patience=patience, codec=codec)
        new = cls.__new__(cls)
        read = Reading(reading, {}, {}, place=caller()) if isinstance(reading, Script) else reading
        new._settle(read, inform, profile, patience, codec)
        return new

    def _settle(
        self,
        reading: Reading,
        inform: Policy,
        profile: Mapping[tuple[str, str], float] | None,
        patience: float | None,
        codec: Any,
    ) -> None:
        """Check what was read, and decide who is told what. The only place that assigns."""
        script = reading.script
        found = list(reading.diagnostics)
        if not any(
            each.level is Level.ERROR for each in found
        ):  # else the script is only what could be made out
            found += checking.structure(script)
            see_profile(profile, script)
        if not any(each.level is Level.ERROR for each in found):
            script = informing.decide(script, inform, profile=profile)
            found += checking.knowledge(script)
        found = [reading.placed(each) for each in found]
        if any(each.level is Level.ERROR for each in found):
            raise ChoreographyError(script.name, found)
        self.script: Script = script
        self.acts: Acts = reading.acts
        self.roles: Mapping[str, type] = reading.roles
        self.needs: Mapping[str, Needs] = reading.needs
        self.diagnostics: tuple[Diagnostic, ...] = tuple(found)
        self.patience = patience
        self.codec = codec
        warn(found)

    def __repr__(self) -> str:
        script = self.script
        return f"<Choreography {script.name}: {len(script.scenes)} scenes, {', '.join(script.roles)}>"

    # What it is.

    @property
    def name(self) -> str:
        """Its name: that of its first scene, or of the function, if none was given."""
        return self.script.name

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What is doubtful, but not wrong."""
        return self.diagnostics

    @property
    def informs(self) -> tuple[Inform, ...]:
        """The frames that only tell somebody of a choice, whoever decided on them."""
        return self.script.informs

    @cached_property
    def fingerprint(self) -> str:
        """What both ends of a connection must have in common, as 32 hexadecimal digits. Names of functions do not count."""
        return fingerprint(self.script)

    def role_name(self, role: Role) -> str:
        """The name of a role that is given by name or class. Errors: `LookupError`, with the nearest; of another class, too."""
        name = self.script.role_named(role)
        mine = self.roles.get(name)
        if isinstance(role, type) and mine is not None and mine.__name__ == name and mine is not role:
            raise LookupError(
                f"{self.name}: the role {name} is {mine.__module__}.{mine.__qualname__}, "
                f"and not {role.__module__}.{role.__qualname__}, which only has the same name"
            )
        return name

    def project(self, role: Role) -> LocalMachine:
        """What one role plays. Errors: `LookupError`."""
        return project(self.script, self.role_name(role))

    def explain(self, *, width: int = 100, roles: bool = True) -> str:
        """Every frame that it implies, who is told what and why, and what each role plays (if `roles`), as text."""
        from amachine.choreography.seeing.explain import explain

        return explain(self.script, width=width, roles=roles)

    def reason(self, inform: Inform) -> str | None:
        """What would be wrong if that frame of `informs` were left out: code and text. None if nothing would be."""
        from amachine.choreography.seeing.explain import reason

        return reason(self.script, inform)

    def graph(self, role: Role | None = None) -> Graph:
        """The whole, or what one role plays, to be drawn: `.mermaid()`, `.dot()`, `.svg()`. Errors: `LookupError`."""
        from amachine.choreography.seeing.graph import graph_of, graph_of_role

        return graph_of(self.script) if role is None else graph_of_role(self.project(role))

    @property
    def tables(self) -> Tables:
        """What the engines run. Made once. Errors: `ChoreographyError` where a scene has no `send`."""
        tables: Tables | None = self.__dict__.get("_tables")
        if tables is None:
            from amachine.choreography.playing.tables import Tables

            tables = self.__dict__["_tables"] = Tables(self)
        return tables

    # How it is played.

    def play(
        self,
        cast: Cast,
        *,
        engine: Engine = "table",
        machines: Mapping[Any, AsMachine] | None = None,
        tracers: Iterable[Tracer] = (),
        patience: float | None = None,
        understudies: Mapping[Any, Callable[[], Any]] | None = None,
        wire: bool = False,
        session: str | None = None,
    ) -> Play:
        """A session of all roles in this process, which runs while its `async with` lasts; it can be looked at, and into.

        `cast` says who plays what. Options and errors are those of `amachine.choreography.Play`.
        """
        from amachine.choreography.playing.play import Play

        return Play(
            self,
            cast,
            engine=engine,
            machines=machines,
            tracers=tracers,
            patience=patience,
            understudies=understudies,
            wire=wire,
            session=session,
        )

    async def run_local(
        self,
        cast: Cast,
        *,
        engine: Engine = "table",
        machines: Mapping[Any, AsMachine] | None = None,
        tracers: Iterable[Tracer] = (),
        patience: float | None = None,
        understudies: Mapping[Any, Callable[[], Any]] | None = None,
        wire: bool = False,
        raise_errors: bool = True,
    ) -> Outcome:
        """Play a whole session in this process, and say how it ended. Options: as those of `play`.

        Errors: `PlayFailed` when a role did not come to an exit, unless `raise_errors` is False; its cause is what a function
        raised. `LookupError` and `TypeError` as `play` has them.
        """
        from amachine.choreography.playing.endings import PlayFailed

        play = self.play(
            cast,
            engine=engine,
            machines=machines,
            tracers=tracers,
            patience=patience,
            understudies=understudies,
            wire=wire,
        )
        async with play:
            outcome = await play.ended()
        if raise_errors and outcome.failed:
            raise PlayFailed(outcome) from outcome.error
        return outcome

    async def run_many(
        self,
        casts: Iterable[Cast],
        *,
        engine: Engine = "table",
        machines: Mapping[Any, AsMachine] | None = None,
        tracers: Iterable[Tracer] = (),
        wire: Codec | None = None,
        keep: int = 100,
    ) -> Tally:
        """Play a session for each cast, all at once and in one loop, and tell how they ended: for very many of them.

        Every function is a plain one, and nobody is lost. `wire` encodes and decodes every payload on its way, as if the roles
        were far apart. `keep` is how many failures are kept with their errors and casts. Errors: `ValueError` where the
        choreography cannot be played so; `LookupError` and `TypeError` for a cast, as `play` has them.
        """
        from amachine.choreography.playing.casting import checked
        from amachine.choreography.playing.stage import run_many

        own = {self.role_name(role): each for role, each in (machines or {}).items()}
        return await run_many(
            self.tables,
            checked(self, casts),
            engine=engine,
            machines=own,
            tracers=tracers,
            wire=wire,
            keep=keep,
        )

    def join(
        self,
        role: Role,
        me: Any,
        channels: Mapping[Any, Channel],
        *,
        engine: Engine = "table",
        machine: AsMachine | None = None,
        tracers: Iterable[Tracer] = (),
        patience: float | None = None,
        session: str | None = None,
        again: Again | None = None,
        keep: Keep | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> Joined:
        """One role of a session whose others are elsewhere, played while its `async with` lasts.

        `channels` leads to everybody whom the role talks to. Options and errors: `amachine.choreography.Joined`.
        """
        from amachine.choreography.playing.joining import Joined

        return Joined(
            self,
            role,
            me,
            channels,
            engine=engine,
            machine=machine,
            tracers=tracers,
            patience=patience,
            session=session,
            again=again,
            keep=keep,
            resume=resume,
        )
