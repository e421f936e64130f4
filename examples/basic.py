"""Basic: states that are active many at once, relations between them, a veto, arguments, clocks."""

import attrs

from amachine import Event, Machine, State, exclusive


@attrs.frozen
class Visitor:
    """Who comes in."""

    name: str
    has_ticket: bool = True


class Museum(Machine):
    """A museum with a night guard, who watches whenever the lights are out."""

    opened = State()
    closed = State()
    lights = State(remove=["guarded"])
    guarded = State(auto=True, require=[closed])
    visited = State(Visitor, require=[opened], multi=True)

    door = exclusive(opened, closed)

    @visited.enter
    def has_ticket(self, e: Event[Visitor]) -> bool:
        """Negotiate: False refuses the visitor, and nothing has changed."""
        return e.args.has_ticket

    @visited.state
    def greet(self, e: Event[Visitor]) -> None:
        """Act, once it is certain."""
        print(f"  welcome, {e.args.name}")


def main() -> None:
    """Run a day."""
    museum = Museum("louvre")

    print("nobody comes in before it opens:")
    print(" ", museum.visited.add("Ada").why)

    print("opening, with lights:")
    museum.add(Museum.opened, Museum.lights)
    museum.visited.add("Ada")
    print(" ", museum.visited.add("Bob", has_ticket=False).why)
    museum.visited.add("Cleo")

    print("closing ends the visit; the guard keeps away while the lights are on:")
    museum.closed.add()
    print(" ", museum)
    print(" ", museum.explain("add", Museum.guarded).why)

    print("lights out, and the guard starts by himself:")
    museum.lights.remove()
    print(" ", museum)
    print(f"  the door is {museum.active_in(Museum.door)}")


if __name__ == "__main__":
    main()
