"""Thirty-four states as a debugger's interface has them, fixed here so that numbers can be compared between days.

Exclusive groups (dialogs, views, focus, playback, movement, timelines), requirements (most things need a client that
is selected), a multi state for messages, and 20 Enter and State handlers. A cycle is 26 mutations of a user at work,
and ends where it began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from amachine import Event, Machine, Result, State, exclusive
from bench.measure import Effort, Row, Target, compare, repeated
from bench.toggle import two_states


class DebuggerUI(Machine):
    start = State()
    ready = State(require=[start])
    connected = State(require=[start])
    disconnected = State(require=[start])
    client_selected = State(require=[ready])
    client_message = State(require=[connected], multi=True)
    state_selected = State(require=[client_selected])
    log_reader = State(require=[client_selected])

    help_dialog = State(require=[ready])
    export_dialog = State(require=[client_selected])
    filter_dialog = State(require=[ready])

    tree_log = State(require=[ready])
    tree_matrix = State(require=[client_selected])
    matrix = State(require=[client_selected])
    rain = State(require=[client_selected])

    clients_focused = State(require=[ready])
    tree_focused = State(require=[client_selected])
    log_focused = State(require=[client_selected])
    matrix_focused = State(require=[client_selected])
    timeline_focused = State(require=[client_selected])
    steps_focused = State(require=[client_selected])
    dialog_focused = State(require=[ready])

    playing = State(require=[client_selected])
    paused = State(require=[client_selected])
    tailing = State(require=[client_selected])

    forward = State(require=[client_selected])
    back = State(require=[client_selected])
    jump = State(require=[state_selected])

    no_timelines = State()
    one_timeline = State(require=[ready])
    two_timelines = State(require=[client_selected])

    without_auto = State(require=[ready])
    without_empty = State(require=[ready])
    without_canceled = State(require=[ready])

    connection = exclusive(connected, disconnected)
    dialogs = exclusive(help_dialog, export_dialog, filter_dialog)
    views = exclusive(tree_log, tree_matrix, matrix, rain)
    focus = exclusive(
        *(clients_focused, tree_focused, log_focused, matrix_focused),
        *(timeline_focused, steps_focused, dialog_focused),
    )
    playback = exclusive(playing, paused, tailing)
    movement = exclusive(forward, back, jump)
    timelines = exclusive(no_timelines, one_timeline, two_timelines)

    asked = 0
    drawn = 0

    @client_selected.enter
    @state_selected.enter
    @playing.enter
    @tailing.enter
    @forward.enter
    @back.enter
    @jump.enter
    @rain.enter
    @export_dialog.enter
    @log_reader.enter
    def may(self, e: Event[None]) -> bool:
        self.asked += 1
        return True

    @client_message.state
    @client_selected.state
    @state_selected.state
    @forward.state
    @jump.state
    @playing.state
    @tree_matrix.state
    @rain.state
    @help_dialog.state
    @without_auto.state
    def draw(self, e: Event[None]) -> None:
        self.drawn += 1


HOME = "start ready connected client_selected client_message tree_log clients_focused paused two_timelines"

CYCLE = """
    +client_message +tree_focused +state_selected +forward -forward +jump -jump +timeline_focused +playing
    +client_message +paused +log_reader +log_focused ~without_auto ~without_empty +tree_matrix +matrix_focused
    +help_dialog +dialog_focused -help_dialog +rain +tailing ~without_auto ~without_empty
    -state_selected,log_reader +tree_log,clients_focused,paused
"""
"""What a user does, over and over: + adds, - removes, ~ toggles."""


def cycle(ui: DebuggerUI) -> tuple[Callable[[], Result], ...]:
    """The calls of the cycle. The interface is brought to where it begins, and comes back there."""
    ui.add(*HOME.split())
    return tuple(request(ui, word[0], word[1:].split(",")) for word in CYCLE.split())


def request(ui: DebuggerUI, verb: str, names: Sequence[str]) -> Callable[[], Result]:
    """One mutation: of one state through that state, of several through the machine."""
    on = ui[names[0]]
    if len(names) == 1:
        return {"+": on.add, "-": on.remove, "~": on.toggle}[verb]
    return partial({"+": ui.add, "-": ui.remove}[verb], *names)


def check(ui: DebuggerUI, mutations: tuple[Callable[[], Result], ...]) -> None:
    """The cycle is what this page says: 26 mutations, each executed, and home again."""
    assert len(ui.schema.states) == 34 + 1, "34 states, and Exception"
    assert len(mutations) == 26, "26 mutations a cycle"
    home = ui.active
    assert all(mutation().executed for mutation in mutations), "a mutation of the cycle is refused"
    assert ui.active == home, "the cycle does not end where it began"


def rows(effort: Effort) -> Iterator[Row]:
    ui = DebuggerUI()
    mutations = cycle(ui)
    check(ui, mutations)
    yield compare(
        "ui",
        "a debugger's interface: 34 states, 20 handlers, 26 mutations a cycle",
        repeated("amachine", *mutations),
        two_states(),
        Target(most=6),
        effort,
        operations=1300,
    )
