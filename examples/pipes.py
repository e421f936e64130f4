"""Pipes: machines that follow one another. A state, its opposite, arguments, errors and a whole mirror; what changes says why."""

import attrs

from amachine import ErrorInfo, Event, Machine, Recorder, State
from amachine.pipes import mermaid_of, mirrored, pipe, pipe_errors, pipes_of
from amachine.states import Connected


@attrs.frozen
class Parcel:
    """What the supplier sends."""

    content: str
    grams: int


@attrs.frozen
class Stock:
    """What the shop writes down."""

    article: str


class Supplier(Machine, Connected):
    """The line to a supplier. Its four states of a connection are ready-made."""

    sent = State(Parcel, require=[Connected.Connected], multi=True)


class Shop(Machine):
    """A shop that knows nothing of lines."""

    orders = State()
    closed = State()
    stocked = State(Stock, multi=True)
    ErrSupplier = State(ErrorInfo, multi=True, require=["Exception"])

    @stocked.state
    def shelve(self, e: Event[Stock]) -> None:
        print(f"  on the shelf: {e.args.article}")

    @ErrSupplier.state
    def tell(self, e: Event[ErrorInfo]) -> None:
        print(f"  the supplier says: {e.args.error}")

    @Machine.Exception.state
    def heard(self, _: Event[ErrorInfo]) -> None:
        """Who handles Exception keeps it out of the log."""


class Quiet:
    """Handlers in an object of their own, for a machine whose errors others report."""

    def exception_state(self, _: Event[ErrorInfo]) -> None:
        """The shop will tell."""


def main() -> None:
    """Let a shop follow its supplier."""
    recorder = Recorder()
    supplier = Supplier("supplier", handlers=[Quiet()], tracers=[recorder])
    shop = Shop("shop", tracers=[recorder])

    print("a pipe brings its target in step at once, and keeps it there:")
    pipe(supplier.Connected, shop.orders)
    pipe(supplier.Connected, shop.closed, inverted=True)
    print(" ", shop)
    supplier.Connected.add()
    print(" ", shop)

    print("arguments are mapped, and every entry of a multi state is passed on:")
    pipe(supplier.sent, shop.stocked, args=lambda parcel: Stock(f"{parcel.content}, {parcel.grams} g"))
    supplier.sent.add("tea", 500)
    supplier.sent.add("salt", 1000)

    print("errors go to a state of one's own:")
    pipe_errors(supplier, shop.ErrSupplier)
    supplier.add_error(ConnectionError("out of cinnamon"), Supplier.ErrConnecting)

    print("a mirror shows some states, without what leads to them:")
    board = mirrored(supplier, Supplier.Connecting, Supplier.Connected, Supplier.Disconnected, id="board")
    print(" ", board)
    supplier.Connected.remove()
    print(" ", board)

    print("every mutation names its cause, also across machines:")
    for record in recorder.why_active(Shop.closed, shop).records:
        print(f"  {record.id}: {' '.join(record.called)}, because of {record.cause or 'somebody'}")

    print("pipes can be listed, drawn and unbound:")
    for each in pipes_of(shop):
        print(" ", each)
    for line in mermaid_of(supplier, shop).splitlines():
        if "pipes" in line:
            print("  drawn:", line.strip())
    for each in pipes_of(shop):
        each.unbind()
    supplier.Connected.add()
    print(" ", shop)


if __name__ == "__main__":
    main()
