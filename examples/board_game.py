"""A board game for three: scripts are not only for protocols. Three in a row wins, on four times four squares.

A turn is one scene, a template whose cast goes round: after `Turn[P, Q, R]` comes `Turn[Q, R, P]`. Everybody keeps a board, and
each move is told to both others. Who resigns goes home, and two play on in a `Duel`. So they do when one is lost, as the region
says. Time is a choice of the sender: who thinks for more than 30 seconds has a move made for it.

    python examples/board_game.py --seed 1        # three bots
    python examples/board_game.py --human Ring    # you play: a square such as b3, or resign; ^D leaves
    amachine choreo explain examples/board_game.py:game
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Awaitable, Callable
from typing import Generic, Self, TypeAlias, TypeVar

import anyio
import attrs
from rich.columns import Columns
from rich.console import Console

from amachine.choreography import Choreography, Exit, Msg, Region, Scene, Sent, To, after

SQUARES = [f"{column}{row}" for row in "1234" for column in "abcd"]
ROWS = [
    {SQUARES[first + n * step] for n in range(3)}
    for step, firsts in ((1, (0, 1, 4, 5, 8, 9, 12, 13)), (4, range(8)), (5, (0, 1, 4, 5)), (3, (2, 3, 6, 7)))
    for first in firsts
]
SIGNS = {"Cross": "[red]✕[/]", "Ring": "[cyan]○[/]", "Star": "[yellow]★[/]"}
Board: TypeAlias = dict[str, str]  # who is where, in the order of the moves


async def bot(me: Player) -> str | None:
    """Win, or hinder somebody, or come nearer to a row. Resign if there are rows to be had, but only for others."""
    mine, rows = me.rows(me.name), [row for player in (me.name, *SIGNS) for row in me.rows(player)]
    if rows and not mine:
        return None
    best = [row for row in rows if len(row) == 1][:1] or mine or [set(me.free)]
    return me.rng.choice(sorted(me.rng.choice(best)))


async def person(me: Player) -> str | None:
    """Ask in a thread. A deadline leaves it behind, and then it takes one line more. ^D is an error, and a loss."""
    Console(highlight=False).print(picture(me.board))
    said = await anyio.to_thread.run_sync(input, f"{me.name}, your move: ", abandon_on_cancel=True)
    return None if said == "resign" else said if said in me.free else await person(me)


@attrs.define
class Player:
    """Keeps a board, and has a mind that names a square, or resigns."""

    mind: Callable[[Player], Awaitable[str | None]] = bot
    rng: random.Random = attrs.field(factory=lambda: random.Random(2))
    board: Board = attrs.field(factory=Board)
    late: bool = False
    name: str = attrs.field(init=False, default=attrs.Factory(lambda me: type(me).__name__, takes_self=True))

    @property
    def free(self) -> list[str]:
        return [square for square in SQUARES if square not in self.board]

    def rows(self, player: str) -> list[set[str]]:
        """What somebody still needs, for each row in which is nobody else."""
        others = {square for square, owner in self.board.items() if owner != player}
        return [row - self.board.keys() for row in ROWS if not row & others]

    async def plays(self) -> bool:
        """Take a turn. False: it resigns."""
        late, self.late = self.late, True  # and so it stays if there is no answer in time
        if late:
            print(f"\nTime is over: {self.name} is put on {self.free[0]}. Press Enter.")
        square = self.free[0] if late else await self.mind(self)
        self.late = False
        if square is not None:
            self.board[square] = self.name
        return square is not None


class Cross(Player):
    """Begins."""


class Ring(Player):
    """Is second."""


class Star(Player):
    """Is third."""


P = TypeVar("P", bound=Player)
Q = TypeVar("Q", bound=Player)
R = TypeVar("R", bound=Player)


class Wins(Exit, Generic[P]):
    """Has three in a row, or is the last to give up."""


class Drawn(Exit):
    """No square is free."""


class Three(
    Region, on_lost={Cross: "Resume[Star, Ring]", Ring: "Resume[Cross, Star]", Star: "Resume[Ring, Cross]"}
):
    """While there are three, one may be lost."""


class Turn(Three, Scene[P, Q, R], Generic[P, Q, R]):
    """One of three plays."""

    moves: Msg[Board, Turn[Q, R, P]]
    wins: Msg[Board, Wins[P]]
    fills: Msg[Board, Drawn]
    resigns: Msg[None, Duel[Q, R]]
    late: Msg[None, Self, To[()]] = after(30)

    async def send(self, me: P) -> Sent:
        if not await me.plays():
            return self.resigns()
        return (self.wins if set() in me.rows(me.name) else self.moves if me.free else self.fills)(me.board)

    def on_moves(self, me: Q | R, board: Board) -> None:
        me.board |= board

    on_wins = on_fills = on_moves


class Duel(Scene[P, Q], Generic[P, Q]):
    """One of two plays."""

    moves: Msg[Board, Duel[Q, P]]
    wins: Msg[Board, Wins[P]]
    fills: Msg[Board, Drawn]
    resigns: Msg[None, Wins[Q]]
    late: Msg[None, Self, To[()]] = after(30)

    async def send(self, me: P) -> Sent:
        if not await me.plays():
            return self.resigns()
        return (self.wins if set() in me.rows(me.name) else self.moves if me.free else self.fills)(me.board)

    def on_moves(self, me: Q, board: Board) -> None:
        me.board |= board

    on_wins = on_fills = on_moves


class Resume(Scene[P, Q], Generic[P, Q]):
    """Two are left, and one may have seen a move that the other has not. Who sits behind the lost one plays."""

    seen: Msg[Board, Duel[Q, P]]

    def send(self, me: P) -> Sent:
        me.late = False  # it may have been thinking when that happened
        return self.seen(me.board)

    def on_seen(self, me: Q, board: Board) -> None:
        me.board, me.late = me.board | board, False


PLAYERS = [Cross, Ring, Star]
game = Choreography(Turn[Cross, Ring, Star], roles=PLAYERS, mortal=PLAYERS, patience=60, name="board-game")


def picture(board: Board) -> str:
    """The last move, and the board."""
    text = " ".join(reversed([("", ""), *board.items()][-1])) + "\n  a b c d\n"
    for row in "1234":
        text += f"{row} {' '.join(SIGNS.get(board.get(column + row, ''), '·') for column in 'abcd')}\n"
    return text


async def show(human: str | None, seed: int) -> None:
    """Play one game, and show every move of it."""
    cast = {each: each(person if each.__name__ == human else bot, random.Random(seed)) for each in PLAYERS}
    outcome = await game.run_local(cast, raise_errors=False)
    moves = [*max((each.board for each in cast.values()), key=len).items()]
    pictures = [picture(dict(moves[:n])) for n in range(1, len(moves) + 1)]
    Console(highlight=False).print(Columns(pictures, padding=(0, 3)))
    print(outcome, *(f"  {each} gave up" for each in outcome if outcome[each].state == "Done"), sep="\n")


def main() -> None:
    """Say who plays."""
    parser = argparse.ArgumentParser(description="Three in a row, for three.")
    parser.add_argument("--human", choices=SIGNS, help="play this one yourself")
    parser.add_argument("--seed", type=int, default=2, help="for another game (%(default)s)")
    anyio.run(show, *vars(parser.parse_args()).values())


if __name__ == "__main__":
    main()
