"""The roles of a choreography while its scenes are read: who is one, and who plays where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from amachine.choreography.scenes.rules_of_scenes import look_at_cast
from amachine.choreography.scenes.templates import Applied, called
from amachine.errors import nearest

if TYPE_CHECKING:
    from amachine.choreography.scenes.lines import Notes
    from amachine.choreography.script import Place

__all__ = ["Company"]


class Company:
    """Role classes by name, in order. Notes whoever is not among them."""

    def __init__(self, roles: Iterable[Any], mortal: Iterable[Any], notes: Notes) -> None:
        self.notes = notes
        self.roles: dict[str, type] = {}
        self._miscast: list[tuple[Any, ...]] = []
        for role in roles:
            self._take(role)
        dying = [self.name_of(role, "mortal", place=None) for role in mortal]
        self.mortal: tuple[str, ...] = tuple(name for name in self.roles if name in dying)

    def _take(self, role: Any) -> None:
        if not isinstance(role, type):
            self.notes.add("AMC217", f"{role!r} is no class, and so no role", place=None)
        elif role.__name__ in self.roles:
            same = self.roles[role.__name__] is role
            text = f"{role.__name__} is cast twice" if same else f"two roles are called {role.__name__}"
            self.notes.add("AMC104", text, "three equal players are three subclasses", place=None)
        else:
            self.roles[role.__name__] = role

    def name_of(self, value: Any, what: str, *, place: Place | None, scene: str | None = None) -> str:
        """The name of a role. If it is none, that is noted."""
        name = called(value)
        if self.roles.get(name) is not value:
            known = f"(roles: {', '.join(self.roles)})"
            if name in self.roles:
                text = f"{what}: this {name} is another class than the role {name} {known}"
            else:
                text = f"{what}: {name} is not a role of this choreography {known}{nearest(name, self.roles)}"
            self.notes.add("AMC101", text, place=place, scene=scene, role=name)
        return name

    def cast_of(self, applied: Applied, mentioned: Place | None) -> list[str]:
        """Who plays in a scene, the sender first. What is wrong is told where a template got its arguments first."""
        arguments = tuple(applied.values[applied.kind].values())
        if arguments in self._miscast:  # templates hand them on to each other
            return [called(each) for each in applied.cast]
        before = len(self.notes.found)
        own = applied.kind.__statement__.whence.place
        place = (mentioned or own) if arguments else own
        cast = [self.name_of(each, applied.id, place=place, scene=applied.id) for each in applied.cast]
        if cast:
            look_at_cast(applied.id, cast[0], cast[1:], self.notes, place)
        if arguments and len(self.notes.found) > before:
            self._miscast.append(arguments)
        return cast
