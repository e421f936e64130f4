"""Turnstile: the classic finite state machine. One exclusive group is all that it takes, and inputs are states as well.

An FSM lists its transitions: which input leads from where to where. Here each state says what it needs, and the table
follows; where the table would have a gap, a request is refused and says why.
"""

from amachine import Event, Machine, State, exclusive


class Turnstile(Machine):
    """Locked until a coin drops; a push goes through once, and locks it again."""

    locked = State()
    unlocked = State()
    arm = exclusive(locked, unlocked)

    coin = State(multi=True)
    push = State(multi=True, require=[unlocked])

    @coin.state
    def unlock(self, _: Event[None]) -> None:
        self.unlocked.add()  # queued, and run before the caller of `coin.add()` has its answer

    @push.state
    def lock(self, _: Event[None]) -> None:
        self.locked.add()  # takes `push` along, which requires `unlocked`


def main() -> None:
    """Try every input in every state."""
    turnstile = Turnstile("turnstile")
    turnstile.locked.add()

    for name in ("push", "coin", "coin", "push", "push"):
        before = turnstile.active_in(Turnstile.arm)
        answer = turnstile.add(name)
        after = turnstile.active_in(Turnstile.arm)
        print(f"{name}: {before} → {after}" + ("" if answer else f", for {answer.why}"))

    print("\nclocks count what happened, odd while a state is active:")
    print(turnstile)
    print(f"coins: {turnstile.coin.entries}, people: {turnstile.push.entries}")

    print("\nand the machine answers what may come next:")
    print(turnstile.what_can_i_add())


if __name__ == "__main__":
    main()
