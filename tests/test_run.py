"""`amachine run`: commands and their answers, exit statuses, completion, and one life at a real terminal."""

from __future__ import annotations

import contextlib
import enum
import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import anyio
import anyio.lowlevel
import attrs
import pydantic
import pytest

from amachine import Event, Machine, State, exclusive
from amachine.tools import cli
from amachine.tools.repl.answer import FINE, MISUSED, REFUSED
from amachine.tools.repl.commands import COMMANDS
from amachine.tools.repl.completion import choices
from amachine.tools.repl.loglines import Voice
from amachine.tools.repl.session import Session
from amachine.tools.repl.values import fields, fit, signature
from amachine.tools.repl.words import Misuse, commands, states_and_args, unclosed, value, words
from amachine.tools.target import NotFound, Target


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Job:
    path: Path
    retries: int = 0
    mode: Literal["fast", "slow"] = "fast"
    api_token: str = ""


class Shop(Machine):
    start = State()
    processing = State(Job, require=[start])
    processed = State()
    busy = State(auto=True, require=[processing])
    broken = State()
    phase = exclusive(processing, processed)

    @processing.enter
    def is_there(self, e: Event[Job]) -> bool:
        return e.args.path != Path("nowhere")

    @processing.task
    async def work(self, e: Event[Job]) -> None:
        self.processed.add()

    @broken.state
    def fail(self, e: Event[Any]) -> None:
        raise ValueError("it broke")


# -- lines


def test_a_line_may_hold_several_commands_and_a_comment_holds_none() -> None:
    assert commands('add a; add b x="1;2"\n# no; add c\n\n  wait {"a": [1; 2]} ;') == [
        "add a",
        'add b x="1;2"',
        'wait {"a": [1; 2]}',
    ]


def test_quotes_and_brackets_keep_words_together() -> None:
    assert words("""add a x="1 2" y={"z": [1, 2]}  w='it\\'s so'""") == [
        "add",
        "a",
        'x="1 2"',
        'y={"z": [1, 2]}',
        r"w='it\'s so'",
    ]
    assert [unclosed(text) for text in ('"a', "{[", "a", '"\\"', "(a]")] == ['"', "[", "", '"', ""]
    with pytest.raises(Misuse, match=r"^{ is not closed in: add a \{$"):
        words("add a {")


@pytest.mark.parametrize(
    ("text", "read", "plain"),
    [
        ("17", 17, True),
        ("true", True, True),
        ("a.txt", "a.txt", True),
        ('"17"', "17", False),
        ("'17'", "17", False),
        ("[1, 2]", [1, 2], False),
        ("", "", True),
    ],
)
def test_a_value_is_json_or_text(text: str, read: Any, plain: bool) -> None:
    assert (value(text).value, value(text).is_plain) == (read, plain)


def test_states_come_first() -> None:
    states, args = states_and_args(["a,", "b", "x=1", '{"y": "2"}'])
    assert (states, {name: each.value for name, each in args.items()}) == (["a", "b"], {"x": 1, "y": "2"})
    with pytest.raises(Misuse, match="'b' stands behind arguments"):
        states_and_args(["a", "x=1", "b"])
    with pytest.raises(Misuse, match="is no JSON"):
        states_and_args(["a", "x={y}"])


class Model(pydantic.BaseModel):
    name: str = ""
    count: int = 0


@attrs.frozen
class Text:
    name: str = ""
    colour: Colour = Colour.RED
    count: int | None = None
    path: Path = Path()


@pytest.mark.parametrize(
    ("make", "line", "args"),
    [
        (Text, "name=17", {"name": "17"}),
        (Text, "count=17", {"count": 17}),
        (Text, "count=null", {"count": None}),
        (Text, 'name="null" path=17', {"name": "null", "path": "17"}),
        (Text, "colour=blue nme=1", {"colour": "blue", "nme": 1}),
        (Model, "name=17 count=17", {"name": "17", "count": 17}),
        (dict, "name=17", {"name": 17}),
        (None, "name=17", {"name": 17}),
    ],
)
def test_a_word_is_what_its_field_wants(make: Any, line: str, args: dict[str, Any]) -> None:
    assert fit(make, states_and_args(words(line))[1]) == args


def test_what_a_state_takes_is_told_in_words() -> None:
    assert (
        signature("s", Job)
        == "s(path: Path, retries: int = 0, mode: fast|slow = 'fast', api_token: str = '')"
    )
    assert signature("s", Text) == "s(name: str = '', colour: red|blue, count: int | None = None, path: Path)"
    assert signature("s", dict) == "s(any name=value)"
    assert signature("s", None) == "s"
    assert [field.is_required for field in fields(Job)] == [True, False, False, False]


# -- completion


def offered(line: str, machine: Machine | None = None) -> list[str]:
    shop = machine or Shop("s")
    return [each.text for each in choices(line, shop, {name: c.summary for name, c in COMMANDS.items()})]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", list(COMMANDS)),
        ("a", ["add", "args"]),
        ("add ", ["start", "processing", "processed", "busy", "broken"]),
        ("add pro", ["processing", "processed"]),
        ("add cess", ["processing", "processed"]),
        ("add Exc", ["Exception"]),
        ("add start pro", ["processing", "processed"]),
        ("add processing ", ["path=", "retries=", "mode=", "api_token=", "start", "processed", "busy", "broken"]),
        ("add processing path=x ", ["retries=", "mode=", "api_token="]),
        ("add processing mode=", ["mode=fast", "mode=slow"]),
        ("add processing mode=s", ["mode=slow"]),
        ("add processing path='a b", []),
        ("can ", ["add", "remove"]),
        ("can add sta", ["start"]),
        ("explain rem", ["remove"]),
        ("explain remove st", ["start"]),
        ("wait n", ["not"]),
        ("wait not st", ["start"]),
        ("why bu", ["busy"]),
        ("log o", ["on", "off", "operations"]),
        ("help w", ["why", "wait"]),
        ("nonsense ", []),
    ],
)  # fmt: skip
def test_what_may_follow(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_what_is_active_comes_first_where_it_is_to_be_removed_and_last_where_it_is_to_be_added() -> None:
    shop = Shop("s")
    shop.processed.add()
    assert offered("add ", shop)[-1] == "processed"
    assert offered("remove ", shop)[0] == "processed"
    about = {each.text: each.about for each in choices("add ", shop, {})}
    assert about["processed"] == "active"
    assert about["processing"].startswith("(path: Path")


# -- commands


@contextlib.asynccontextmanager
async def talking(**options: Any) -> AsyncGenerator[tuple[Session, list[str]]]:
    said: list[str] = []
    voice = Voice(said.append)
    with voice.alone():
        async with Shop("s", handler_timeout=None) as shop:
            yield Session(shop, voice, **options), said


async def ask(session: Session, line: str) -> tuple[str, int]:
    answer = await session.execute(line)
    return answer.text, answer.status


async def test_mutations_tell_what_came_of_them() -> None:
    async with talking() as (session, said):
        assert await ask(session, "add processing path=a") == (
            "canceled: processing requires start, which is inactive",
            REFUSED,
        )
        assert await ask(session, "add start") == ("executed  +start", FINE)
        assert await ask(session, "add start") == ("executed  (nothing changed)", FINE)
        assert await ask(session, 'add processing {"path": "nowhere"}') == (
            "canceled: ProcessingEnter (Shop.is_there) said no",
            REFUSED,
        )
        assert await ask(session, "add processing path=a retries=3") == (
            "executed  +processing\n  └ auto busy → +busy",
            FINE,
        )
        assert session.machine["processing"].args == Job(Path("a"), 3)
        assert (await ask(session, "wait processed 60"))[1] == FINE
        assert await ask(session, "remove start processed") == ("executed  -start -processed", FINE)
        assert await ask(session, "toggle start") == ("executed  +start", FINE)
        assert await ask(session, "set processed") == ("executed  -start +processed", FINE)
        assert await ask(session, "add broken") == (
            (
                "failed: Shop.fail (BrokenState) raised ValueError('it broke')  !broken\n"
                "  └ add Exception(error=ValueError('it broke'), in=Shop.fail (BrokenState)) → +Exception"
            ),
            REFUSED,
        )
    assert said == []


async def test_questions_change_nothing() -> None:
    async with talking() as (session, _):
        shop = session.machine
        before = shop.clock
        assert await ask(session, "can add start") == ("yes", FINE)
        assert await ask(session, "can remove start") == ("yes", FINE)
        text, status = await ask(session, "can add processing path=a")
        assert (text, status) == ("no: processing requires start, which is inactive", REFUSED)
        assert await ask(session, "why busy") == (
            "busy has not been active\nadd busy: refused\n  without busy: busy requires processing, which is inactive",
            FINE,
        )
        assert (await ask(session, "explain remove start"))[0].startswith("remove start: accepted")
        assert (await ask(session, "explain start"))[0] == "add start: accepted\n  enters start"
        assert await ask(session, "queue") == ("nothing is queued (queue tick 1)", FINE)
        assert await ask(session, "trace") == ("no transition so far", FINE)
        assert await ask(session, "errors") == ("no error", FINE)
        assert await ask(session, "clock") == ("<Shop s>", FINE)
        assert (await ask(session, "show"))[0] == shop.inspect()
        assert (await ask(session, "graph"))[0].startswith("flowchart LR")
        assert (await ask(session, "args"))[0].startswith("processing(path: Path, ")
        assert shop.clock == before


async def test_what_happened_can_be_asked() -> None:
    async with talking() as (session, _):
        await ask(session, "add start")
        await ask(session, "add broken")
        assert "s/1 add start → executed +start" in (await ask(session, "why start"))[0]
        assert len((await ask(session, "trace 2"))[0].splitlines()) == 2
        assert len((await ask(session, "trace start"))[0].splitlines()) == 1
        text, _ = await ask(session, "errors")
        assert text.endswith("ValueError: it broke")
        await ask(session, "add processing path=a api_token=t0ps3cret")
        assert "t0ps3cret" not in (await ask(session, "trace"))[0]
        assert (
            "now: path='a', retries=0, mode='fast', api_token=…" in (await ask(session, "args processing"))[0]
        )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("addd start", "there is no command 'addd' (did you mean 'add'?)"),
        ("add", "add what?"),
        ("add strt", "did you mean 'start'?"),
        ("add processing pth=a", "processing has no argument 'pth' (did you mean 'path'?)"),
        ("add processing path=a retries=x", "Expected `int"),
        ("add start x=1", "start takes no arguments"),
        ("add start {", "{ is not closed"),
        ("can start", "say `can add STATE`"),
        ("why", "name one state"),
        ("why start processed", "name one state"),
        ("wait", "wait for what?"),
        ("wait start -1", "no time to wait"),
        ("log chnges", "did you mean 'changes'?"),
        ("show me", "show takes nothing"),
        ("help addd", "did you mean 'add'?"),
    ],
)
async def test_what_is_wrong_is_said(line: str, says: str) -> None:
    async with talking() as (session, _):
        text, status = await ask(session, line)
        assert says in text
        assert status == MISUSED


async def test_waits_end_in_time_or_in_vain() -> None:
    async with talking() as (session, _):
        text, status = await ask(session, "wait start 0")
        assert text.endswith("for start, in vain: nothing is active")
        assert status == REFUSED
        with anyio.fail_after(60):
            await ask(session, "add start")
            for line in ("wait start", "wait not busy processing", "wait idle 5s", "wait start 5.5"):
                assert (await ask(session, line))[1] == FINE, line
            async with anyio.create_task_group() as group:
                group.start_soon(session.execute, "wait error")
                await anyio.lowlevel.checkpoint()
                await ask(session, "add broken")


async def test_what_nobody_asked_for_is_told_where_that_is_wanted() -> None:
    async with talking(tells=True) as (session, said):
        session.machine.add("start")
        await ask(session, "add processing path=a")
        with anyio.fail_after(60):
            await session.machine.when("processed")
        assert said == ["· s/1 add start → +start", "· s/5 add processed → -processing +processed -busy"]
        said.clear()
        assert await ask(session, "log on") == ("the log is at changes", FINE)
        await ask(session, "remove start")
        assert said[-1] == "[state] s -start"
        assert await ask(session, "log off") == ("the log is off", FINE)
        session.machine.add("broken")
        assert "machine s: error in Shop.fail (BrokenState): ValueError('it broke')" in said


async def test_a_closed_machine_says_so() -> None:
    async with talking() as (session, _):
        pass
    assert await ask(session, "add start") == ("canceled: machine s is closed", REFUSED)
    assert await ask(session, "wait start") == ("machine s is closed", REFUSED)


async def test_the_help_tells_all() -> None:
    async with talking() as (session, _):
        text, _ = await ask(session, "help")
        assert all(f"\n  {command.usage} " in f"\n{text}" for command in COMMANDS.values())
        assert (await ask(session, "? wait"))[0].startswith("wait [not] STATE… [SECONDS]: until ")
        assert (await session.execute("q")).is_over


# -- the command


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file with machines, as users have one."""
    path = tmp_path / "shop.py"
    path.write_text(
        "from amachine import *\n"
        "class Shop(Machine):\n"
        "    start = State()\n"
        "    ready = State()\n"
        "    @start.task\n"
        "    async def work(self, e):\n"
        "        self.ready.add()\n"
        "class Needy(Machine):\n"
        "    def __init__(self, x): super().__init__()\n"
        "def make(): return Shop('made')\n"
        "def make_nothing(): return 3\n"
        "async def later(): ...\n"
        "closed = Shop('closed'); closed.close()\n"
    )
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield str(path)
    sys.modules.pop("shop", None)


def run(*options: str) -> int:
    return cli.main(["run", *options])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_script_is_executed_in_either_loop(
    shop: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(f"{shop}:make", "--backend", backend, "-e", "-c", "add start; wait ready 60", "-c", "clock") == 0
    )
    first, second, third, waited, *rest = capsys.readouterr().out.splitlines()
    assert [first, second, third] == ["made> add start", "executed  +start", "made> wait ready 60"]
    assert waited.startswith("waited ")
    assert rest == ["made> clock", "<Shop made start:1 ready:1>"]


def test_standard_input_is_a_script(
    shop: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("# a comment\nadd start; clock\nquit\nadd nothing\n"))
    assert run(f"{shop}:Shop", "--id", "x") == 0
    assert capsys.readouterr().out == "executed  +start\n<Shop x start:1>\n"


@pytest.mark.parametrize(
    ("script", "options", "status", "answers"),
    [
        ("add start; remove start", [], 0, 2),
        ("can add nothing; clock", [], 2, 1),
        ("wait ready 0; clock", [], 1, 1),
        ("wait ready 0; clock", ["-k"], 1, 2),
        ("adx; wait ready 0; clock", ["-k"], 2, 3),
        ("clock; quit; clock", [], 0, 1),
    ],
)
def test_the_exit_status_tells_how_it_went(
    shop: str, script: str, options: list[str], status: int, answers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{shop}:Shop", "-c", script, *options) == status
    assert len(capsys.readouterr().out.splitlines()) == answers


def test_a_schema_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "taps.json"
    path.write_text('{"Wet": {"require": ["Water"]}, "Water": {}}')
    assert run(str(path), "-c", "add Wet; clock", "-k") == 1
    assert capsys.readouterr().out == "canceled: Wet requires Water, which is inactive\n<Machine taps>\n"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Shp", "did you mean 'Shop'?"),
        ("Needy", "cannot be made without arguments"),
        ("make_nothing", "makes no Machine or States class, Schema or machine, but int"),
        ("later", "is a coroutine function"),
        ("closed", "machine closed is closed"),
    ],
)
def test_what_is_no_machine_is_refused(
    shop: str, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{shop}:{name}", "-c", "clock") == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "there is no file"), ("{", "cannot be read"), ("[]", "mapping"), ('{"A": {"x": 1}}', "'x'")],
)
def test_a_file_that_is_no_schema_is_refused(
    tmp_path: Path, content: str | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    assert run(str(path), "-c", "clock") == 1
    assert says in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_at_a_terminal_one_can_write_complete_give_up_and_leave(shop: str, tmp_path: Path) -> None:
    """What is on the screen is drawn by prompt_toolkit; here it is only looked for."""
    import pty
    import termios

    history = tmp_path / "state" / "history"
    options = ["run", f"{shop}:Shop", "--id", "s", "--history", str(history)]
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(Path(cli.__file__).parents[2]), "NO_COLOR": "1"}
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    child = subprocess.Popen(
        [sys.executable, "-m", "amachine", *options], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    terminal = Terminal(ours)
    try:
        terminal.expect(b"Ctrl-D leaves.")
        terminal.expect(b"nothing is active")  # the line below the prompt: it is there
        terminal.write(b"add sta")
        terminal.expect(b"start")  # it is offered,
        terminal.write(b"\t")
        terminal.expect(b"rt")  # taken,
        terminal.write(b"\r")
        terminal.expect(b"executed  +start")
        terminal.expect(b"add ready \xe2\x86\x92 +ready")  # the task's doing
        terminal.write(b"wait not start\r")
        terminal.expect(b"wait not start\x1b")  # drawn for the last time
        terminal.expect(
            b"given up", nudge=lambda: child.send_signal(signal.SIGINT)
        )  # Ctrl-C, until it is heard
        terminal.expect(b"s>")
        terminal.write(b"nonsense")
        terminal.expect(b"nonsense")
        terminal.write(b"\x03")
        terminal.expect(b"s>")
        terminal.write(b"clock\r")
        terminal.expect(b"<Shop s start:1 ready:1>")
        terminal.expect(b"s>")
        terminal.write(b"\x04")
        terminal.expect_end()
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    assert [line for line in history.read_text().splitlines() if line.startswith("+")] == [
        "+add start",
        "+wait not start",
        "+clock",
    ]


class Terminal:
    """What a person would see and type."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._screen = b""

    def write(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def expect(self, text: bytes, *, nudge: Callable[[], None] = lambda: None) -> None:
        until = monotonic() + 20
        while text not in self._screen:
            assert monotonic() < until, f"no {text!r} in {self._screen!r}"
            if not select.select([self._fd], [], [], 0.2)[0]:
                nudge()
                continue
            self._screen += os.read(self._fd, 65536)
            if b"\x1b[6n" in self._screen:  # where is the cursor? A terminal answers that
                self._screen = self._screen.replace(b"\x1b[6n", b"")
                self.write(b"\x1b[1;1R")
        self._screen = self._screen.partition(text)[2]

    def expect_end(self) -> None:
        with contextlib.suppress(OSError):  # Linux says so when the other side has gone
            while os.read(self._fd, 65536):
                pass


def test_an_error_inside_of_a_class_is_not_taken_for_missing_arguments() -> None:
    class Broken(Machine):
        def __init__(self, id: str = "broken") -> None:
            super().__init__(id)
            raise TypeError("of the user's own code")

    class Needy(Machine):
        def __init__(self, path: str) -> None:
            super().__init__(path)

    with pytest.raises(TypeError, match="own code"):
        Target("here:Broken", Broken).machine()
    with pytest.raises(NotFound, match="cannot be made without arguments"):
        Target("here:Needy", Needy).machine()
