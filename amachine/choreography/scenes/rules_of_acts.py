"""What the methods of a scene must look like: `send`, and an `on_<label>` for each branch that brings something.

They are looked at, never called. An annotation that cannot be made out is left to type checkers.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, get_args, get_origin

import attrs

from amachine.choreography.diagnostics import Level
from amachine.choreography.places import place_of
from amachine.choreography.scenes.templates import AnyScene, Applied, Mistake, Templates, called, is_scene
from amachine.choreography.scenes.whence import Unresolved, evaluated
from amachine.choreography.scenes.words import Scene, Sent
from amachine.choreography.script import BranchDef, Place, SceneDef
from amachine.choreography.subtypes import fits
from amachine.choreography.typenames import payload_name
from amachine.errors import nearest

if TYPE_CHECKING:
    from amachine.choreography.scenes.lines import Notes

__all__ = ["look_at_acts", "method_of"]


@attrs.frozen(eq=False)
class _Method:
    """A method of a scene, with the annotations of its parameters (`self` is none of them) and what it returns."""

    name: str
    place: Place | None
    bound: Callable[..., Any]
    signature: inspect.Signature
    types: tuple[Any, ...]
    returns: Any


def look_at_acts(
    scene: SceneDef,
    applied: Applied,
    played: AnyScene,
    roles: Mapping[str, type],
    templates: Templates,
    notes: Notes,
) -> None:
    """Note what is wrong with the methods of a scene, which `played` is an instance of."""
    say = partial(notes.add, scene=scene.id)
    methods = {each.name: each for each in _methods(applied, played, templates)}
    for method in methods.values():
        if inspect.isgeneratorfunction(method.bound) or inspect.isasyncgenfunction(method.bound):
            say(
                "AMC210",
                f"{scene.name}.{method.name} is a generator, which nobody would run",
                place=method.place,
            )
    _look_at_send(scene, methods.get("send"), roles, say)
    for name in ("send", *(f"on_{branch.label}" for branch in scene.branches)):
        if isinstance(inspect.getattr_static(played, name, None), property | cached_property):
            text = f"{scene.name}.{name} is a property, which nobody would ask"
            say("AMC210", text, "write it as a method", place=scene.place)
    for branch in scene.branches:
        on = methods.get(f"on_{branch.label}")
        if on is not None and branch.to:
            _look_at_on(scene, branch, on, roles, say)
        elif on is None and branch.payload is not None and branch.to and not branch.ignored:
            has = f"{' and '.join(branch.to)} {'has' if len(branch.to) == 1 else 'have'}"
            text = (
                f"{scene.name}.{branch.label} carries {called(branch.payload)} but {has} no on_{branch.label}"
            )
            hint = f"write {branch.label}: Msg[...] = ignore() to mean it"
            say("AMC203", text, hint, place=branch.place, level=Level.WARNING, role=branch.to[0])
    _look_for_idle(scene, methods, say)


def _look_at_send(
    scene: SceneDef, send: _Method | None, roles: Mapping[str, type], say: Callable[..., None]
) -> None:
    sender = scene.sender
    if send is None:
        text = f"{scene.name}: role {sender} must define send(me: {sender}) -> Sent"
        say("AMC201", text, place=scene.place, role=sender)
        return
    if not _takes(send, 1):
        text = f"{scene.name}.send is called with who sends, and with nothing else"
        say("AMC202", text, f"def send(self, me: {sender}) -> Sent", place=send.place, role=sender)
    elif not fits(roles[sender], send.types[0]):
        text = f"{scene.name}.send: me is {called(send.types[0])}, but {sender} sends here"
        say("AMC202", text, f"def send(self, me: {sender}) -> Sent", place=send.place, role=sender)
    given = send.returns
    if isinstance(get_origin(given), type) and issubclass(get_origin(given), Awaitable) and get_args(given):
        given = get_args(given)[-1]
    if given not in (Sent, Any):
        text = f"{scene.name}.send gives back {called(given)}, and not one of its branches: Sent"
        say("AMC210", text, "return self.<label>(...)", place=send.place, role=sender)
    timed = next((branch for branch in scene.branches if branch.after is not None), None)
    if timed is not None and given is send.returns is Sent and not _is_async(send.bound):
        text = f"{scene.name}.{timed.label}: {scene.name}.send is no coroutine function, so after() cannot interrupt it"
        say("AMC212", text, "async def send", place=send.place, role=sender)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(function))


def _look_at_on(
    scene: SceneDef, branch: BranchDef, on: _Method, roles: Mapping[str, type], say: Callable[..., None]
) -> None:
    name, carries = f"{scene.name}.{on.name}", branch.payload is not None
    for role in branch.to:
        if on.types and not fits(roles[role], on.types[0]):
            text = f"{name}: me is {called(on.types[0])}, but {role} hears of {branch.label}"
            say("AMC202", text, place=on.place, role=role)
    if not _takes(on, 1 + carries):
        brings = f"carries {payload_name(branch.payload)}" if carries else "carries nothing"
        takes = "(self, me, data)" if carries else "(self, me)"
        text = f"{name} must take {takes}: the message {brings}"
        say("AMC204", text, place=on.place)
    elif carries and len(on.types) > 1 and not fits(branch.payload, on.types[1]):
        parameter = list(on.signature.parameters)[1]
        is_said = f"parameter {parameter!r} is {called(on.types[1])}"
        text = f"{name}: {is_said} but the message carries {payload_name(branch.payload)}"
        say("AMC204", text, place=on.place)
    if branch.ignored:
        text = f"{scene.name}.{branch.label} is ignored, and yet there is {on.name}"
        say("AMC212", text, "take ignore() away", place=on.place, level=Level.WARNING)


def _look_for_idle(scene: SceneDef, methods: Mapping[str, _Method], say: Callable[..., None]) -> None:
    """Note what nobody would call."""
    labels = {branch.label: branch for branch in scene.branches}
    for name, method in methods.items():
        label = name.removeprefix("on_")
        if name == "send":
            continue
        if label not in labels:
            text = f"{scene.name}.{name}: no such branch{nearest(label, labels)}"
            say("AMC205", text, place=method.place)
        elif not labels[label].to:
            say("AMC205", f"{scene.name}.{name}: nobody hears of {label}", place=method.place)


def method_of(played: AnyScene, name: str) -> Callable[..., Any] | None:
    """A method of a scene; None if it has none of that name. No property is asked: that would run it."""
    if isinstance(inspect.getattr_static(played, name, None), property | cached_property):
        return None
    found = getattr(played, name, None)
    return found if callable(found) else None


def _methods(applied: Applied, played: AnyScene, templates: Templates) -> Iterator[_Method]:
    kind = applied.kind
    for name in ["send", *(each for each in dir(kind) if each.startswith("on_"))]:
        bound = method_of(played, name)
        if bound is None or (name == "send" and getattr(kind, "send", None) is _NO_SEND):
            continue
        owner = next(each for each in kind.__mro__ if name in vars(each))
        try:
            signature = inspect.signature(bound)
        except (TypeError, ValueError):  # nothing can be told of it, as of some that are written in C
            signature = _ANYTHING
        types = [
            _meaning(each.annotation, owner, applied, templates, bound)
            for each in signature.parameters.values()
        ]
        returns = _meaning(signature.return_annotation, owner, applied, templates, bound)
        yield _Method(name, place_of(bound), bound, signature, tuple(types), returns)


_NO_SEND: Any = vars(Scene)["send"]
_ANYTHING = inspect.signature(lambda *_, **__: None)


def _meaning(
    written: Any, owner: type, applied: Applied, templates: Templates, of: Callable[..., Any]
) -> Any:
    if written is inspect.Parameter.empty:
        return Any
    try:
        if not is_scene(owner):  # a class that a scene inherits from
            scope = getattr(inspect.unwrap(of), "__globals__", {})
            return evaluated(written, scope) if isinstance(written, str) else written
        return templates.meaning(written, owner, applied)
    except (Mistake, Unresolved):
        return Any


def _takes(method: _Method, number: int) -> bool:
    try:
        method.signature.bind(*range(number))
    except TypeError:
        return False
    return True
