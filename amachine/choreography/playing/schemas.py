"""What one role plays as a relational schema: states of the script, of the session, and of trouble.

All that follows from relations is said in relations, so that drawings, explanations and snapshots show it: losing a peer
takes away the states that wait for it, trouble interrupts the session, a region recovers instead of aborting, an exit stays.
Nothing here runs, and nothing here knows a player.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from amachine.choreography.diagnostics import ChoreographyError, Diagnostic
from amachine.choreography.local import LocalMachine, LocalState
from amachine.choreography.playing.seat import ABORTED, StepArgs
from amachine.declare import States
from amachine.errors import SchemaError
from amachine.schema import GroupDef, Schema, StateDef

__all__ = ["CLOSING", "Extra", "lost", "recovers", "schema_of", "script_names", "up", "within"]

Extra: TypeAlias = Schema | type[States] | Mapping[str, Any]
"""States of the user's own: a schema, a class of states, or data as `Schema.parse` reads it."""

SESSION_UP, CLOSING = "SessionUp", "Closing"
VIOLATION, STEP_TIMEOUT, TROUBLE = "Violation", "StepTimeout", "Trouble"
SCRIPT = "Script"
"""The group of the states of the script, of which one is active at most."""

_schemas: WeakKeyDictionary[LocalMachine, Schema] = WeakKeyDictionary()


def schema_of(local: LocalMachine, *, extra: Extra | None = None) -> Schema:
    """The schema of the machine that plays this role, with the user's own states behind it.

    In `extra`, states of this schema may be named again, to require them, or to have them add or remove states of the
    user's own. Errors: `ChoreographyError`: AMC601 where two states would have one name, AMC602 where `extra` changes what
    a state of this schema is, AMC603 where a relation of `extra` could keep the script from its course, AMC604 where
    `extra` breaks a rule of schemas.
    """
    schema = _schemas.get(local)
    if schema is None:
        states = (*_script(local), *_session(local), *_trouble(local))
        _check_names(local, states)
        group = GroupDef(SCRIPT, script_names(local), exclusive=True)
        schema = _schemas[local] = Schema(states, name=local.role, groups=(group,))
    return schema if extra is None else _extended(schema, extra)


# -- names


def camel(name: str) -> str:
    """A name as part of a state's: `alice` and `the_bank` become `Alice` and `TheBank`."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def up(peer: str) -> str:
    """The state in which a peer has come, and is not lost."""
    return f"{camel(peer)}Up"


def lost(peer: str) -> str:
    """The state in which a peer is gone that was still needed."""
    return f"{camel(peer)}Lost"


def within(region: str) -> str:
    """The state in which a role stands in a region."""
    return f"In{camel(region)}"


def recovers(region: str) -> str:
    """The state in which those who are left find out whether a region goes on."""
    return f"Recover{camel(region)}"


def script_names(local: LocalMachine) -> tuple[str, ...]:
    """The states of the script; last the exits that are none of the local machine."""
    found = dict.fromkeys(state.name for state in local.states)
    for state in local.states:
        if state.exits or state.ends:
            found[state.final] = None
    return tuple(found)


# -- the three kinds


def _script(local: LocalMachine) -> Iterator[StateDef]:
    """One state for each of the local machine. The group makes them exclude one another."""
    regions = _regions(local)
    by_name = local.by_name
    for name in script_names(local):
        state = by_name.get(name, LocalState(name, ()))
        over = not state.acts and not state.waits
        yield StateDef(
            name,
            require=(SESSION_UP,) if state.acts else tuple(map(up, state.hears)),
            add=tuple(map(within, state.regions)),
            remove=(
                *(within(region) for region in regions if region not in state.regions),
                *((TROUBLE, *map(recovers, regions), ABORTED) if over else ()),
            ),
            multi=state.repeats,
            args=StepArgs,
            tags=("script", "exit" if over else "acts" if state.acts else "waits"),
            doc=_told(state),
        )


def _told(state: LocalState) -> str:
    if state.acts:
        return f"It acts in {', '.join(state.scenes)}."
    if state.waits:
        return f"It waits for {', '.join(f'{take.peer}: {take.scene}.{take.label}' for take in state.takes)}."
    return "It is through."


def _session(local: LocalMachine) -> Iterator[StateDef]:
    recovering = tuple(map(recovers, _regions(local)))
    for peer in local.peers:
        doc = f"{peer} has come, and is not lost."
        yield StateDef(up(peer), remove=(lost(peer),), tags=("session",), doc=doc)
    first = local.start.hears + tuple(peer for give in local.start.gives for peer in give.to + give.informs)
    spared = {peer for _, peer in local.recover}
    yield StateDef(
        SESSION_UP,
        auto=True,
        require=tuple(up(peer) for peer in dict.fromkeys(first) if peer not in spared),
        remove=(*recovering, ABORTED),
        tags=("session",),
        doc="The role may play. Removing this leaves the session.",
    )
    yield StateDef(
        CLOSING,
        add=(TROUBLE,),
        remove=(SESSION_UP, *recovering),
        tags=("session",),
        doc="The role leaves the session, because somebody here asked for it.",
    )


def _trouble(local: LocalMachine) -> Iterator[StateDef]:
    regions = _regions(local)
    recovering = tuple(map(recovers, regions))
    losable = dict.fromkeys(chain(local.peers, (role for _, role in local.recover)))
    for role in losable:
        unprovided = tuple(recovers(region) for region in regions if not _provides(local, region, role))
        gone = (up(role),) if role in local.peers else ()
        doc = f"{role} is gone, and was still needed."
        yield StateDef(lost(role), remove=gone + unprovided, tags=("trouble",), doc=doc)
    violation = "A frame came that the script does not have here, or a step was refused."
    yield StateDef(VIOLATION, add=("Exception", TROUBLE), remove=recovering, tags=("trouble",), doc=violation)
    yield StateDef(STEP_TIMEOUT, multi=True, tags=("trouble",), doc="A frame has not come in time.")
    yield StateDef(
        TROUBLE, remove=(SESSION_UP,), tags=("trouble",), doc="The role cannot go on as it was going to."
    )
    for region in regions:
        yield StateDef(within(region), tags=("trouble",), doc=f"The role stands in {region}.")
    for region in regions:
        outer = tuple(map(recovers, _around(local, region)))
        yield StateDef(
            recovers(region),
            auto=True,
            require=(TROUBLE, within(region)),
            remove=(*outer, ABORTED),
            tags=("trouble",),
            doc=f"Those who are left find out whether {region} goes on without somebody.",
        )
    unfinished = (state.name for state in local.states if not state.ends)
    # Declared behind the recoveries: of two states that want in by themselves, and exclude each other, the first one wins.
    yield StateDef(
        ABORTED,
        auto=True,
        require=(TROUBLE,),
        remove=(*unfinished, SESSION_UP, *recovering),
        tags=("trouble", "exit"),
        doc="The role could not go on.",
    )


def _regions(local: LocalMachine) -> tuple[str, ...]:
    """All regions that the role ever stands in, inner ones before those around them."""
    found: dict[str, None] = {}
    for state in local.states:
        found.update(dict.fromkeys(state.regions))
    return tuple(sorted(found, key=lambda region: len(_around(local, region)), reverse=True))


def _around(local: LocalMachine, region: str) -> tuple[str, ...]:
    """The regions around one."""
    for state in local.states:
        if region in state.regions:
            return state.regions[state.regions.index(region) + 1 :]
    return ()


def _provides(local: LocalMachine, region: str, role: str) -> bool:
    return (region, role) in local.recover or region in local.restart


def _check_names(local: LocalMachine, states: Iterable[StateDef]) -> None:
    """Errors: `ChoreographyError`, for names that machines could not tell apart."""
    seen: dict[str, StateDef] = {"exception": StateDef("Exception", tags=("trouble",))}
    found: list[Diagnostic] = []
    for state in states:
        twin = seen.setdefault(_fold(state.name), state)
        if twin is not state:
            at = _kind(state)
            text = f"{_kind(twin)} {twin.name} and {at} {state.name} of {local.role} have one name, as machines read names"
            hint = "rename the scene, exit, role or region"
            found.append(Diagnostic("AMC601", text, role=local.role, hint=hint))
    if found:
        raise ChoreographyError(local.role, found)


def _kind(state: StateDef) -> str:
    return f"the {state.tags[0]} state"


def _fold(name: str) -> str:
    return name.replace("_", "").casefold()


# -- states of the user's own


def _extended(ours: Schema, extra: Extra) -> Schema:
    """Our schema with theirs behind it, and with what theirs says of our states."""
    try:
        theirs = _read(ours, extra)
        said = {
            state.name: state for state in theirs.states if state.name in ours and state.name != "Exception"
        }
        own = tuple(state for state in theirs.states if state.name not in said and not _is_plain(state))
        states = (*(_with(state, said.get(state.name)) for state in ours.states[:-1]), *own)
        groups = (*ours.groups.values(), *(each for each in theirs.groups.values() if each.name != SCRIPT))
        schema = Schema(states, name=ours.name, groups=groups)
    except SchemaError as error:
        found = [_diagnostic(ours, "AMC604", f"the states of your own break a rule of schemas: {error}")]
    else:
        found = [*_changed(ours, said.values()), *_refusing(ours, schema)]
        if not found:
            return schema
    raise ChoreographyError(ours.name, found)


def _read(ours: Schema, extra: Extra) -> Schema:
    if isinstance(extra, Schema):
        return extra
    if isinstance(extra, Mapping):
        return Schema.parse({**{name: None for name in ours if name not in extra}, **extra})
    return extra.schema


def _with(state: StateDef, said: StateDef | None) -> StateDef:
    return state if said is None else state.extend(add=said.add, remove=said.remove, after=said.after)


def _is_plain(state: StateDef) -> bool:
    """Whether this is an `Exception` of which nothing was said."""
    return state.replace(args=None) == StateDef("Exception", multi=True)


def _changed(ours: Schema, said: Iterable[StateDef]) -> Iterator[Diagnostic]:
    """What is said of our states that is not theirs to say."""
    for state in said:
        own = ours[state.name]
        flags = [flag for flag in ("auto", "multi") if getattr(state, flag) and not getattr(own, flag)]
        if state.args not in (None, dict, own.args):
            flags.append("args")
        for flag in flags:
            text = f"{state.name} is {_kind(own)} of {ours.name}: its {flag} cannot be changed"
            yield _diagnostic(ours, "AMC602", text, "give a state of your own that flag, and relate the two")
        for other in state.require:
            if other not in own.require:
                text = (
                    f"{state.name} requires {other}: without {other}, a step of the script would be refused"
                )
                yield _diagnostic(ours, "AMC603", text, f"let {other} require {state.name}, or veto nothing")


def _refusing(ours: Schema, schema: Schema) -> Iterator[Diagnostic]:
    """Relations in which a state that is not ours could keep out, take away or bring in one of ours."""
    mine = {name for name in ours if name != "Exception"}
    for state in schema.states:
        if state.name in mine:
            own = ours[state.name]
            for verb, others in (
                ("adds", {*state.add} - {*own.add}),
                ("removes", {*state.remove} - {*own.remove}),
            ):
                for other in sorted(others & mine):
                    text = f"{state.name} {verb} {other}: what follows from a step is for the script alone to say"
                    yield _diagnostic(ours, "AMC603", text, "relate it to states of your own")
            continue
        for other in state.remove:
            if other in mine:
                text = (
                    f"{state.name} removes {other}: while it is active, a step of the script would be refused"
                )
                hint = f"let {other} remove {state.name}; to leave the session, add {CLOSING}"
                yield _diagnostic(ours, "AMC603", text, hint)
        for other in state.add:
            if other in mine and other != CLOSING:
                text = (
                    f"{state.name} adds {other}: only the player enters states of the script and the session"
                )
                yield _diagnostic(
                    ours, "AMC603", text, f"require {other}; to leave the session, add {CLOSING}"
                )


def _diagnostic(ours: Schema, code: str, text: str, hint: str = "") -> Diagnostic:
    return Diagnostic(code, text, role=ours.name, hint=hint)
