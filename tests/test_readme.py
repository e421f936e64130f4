"""Everything that README.md and docs/ show is run, or at least known to exist.

The conventions, which CONTRIBUTING.md repeats for authors:

- ```` ```python ```` runs in an interpreter of its own, warnings as errors, in a folder that holds README.md and
  examples/; it ends well and writes nothing to stderr.
  ```` ```python continues ```` goes on after the Python blocks above it, up to one without that word, and their output
  is not counted. ```` ```python raises=SchemaError ```` must end with that error; the last line of what it says to
  stderr then counts as output, and a block that continues goes on as if it had not been there.
- ```` ```text ```` or ```` ```output ```` directly below such a block (at most one line ending in a colon between) is
  what it prints. `...` stands for anything, as in doctest.
- ```` ```console ```` holds commands behind `$ `, and what they print; ```` ```sh ```` holds commands only. Targets of
  make, subcommands and options of amachine, extras, files and modules must exist. An `amachine` or `python` command
  that shows its output in a console block is run, and compared.
- Programs run in forks of one interpreter, which has loaded the library: `forking`.
- Any other language must be listed below, so that a misspelt one is not quietly passed over.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.forking import SECONDS, Outcome, environment, run_files
from tests.pages import MARK, OUTPUT, SHELL, Block, Command, Program, blocks, commands, difference, programs

ROOT = Path(__file__).resolve().parents[1]
INERT = {"go", "ini", "js", "json", "make", "markdown", "mermaid", "sql", "toml", "yaml", "zig", ""}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A reader's folder: README.md and the examples, and nothing that must not be overwritten."""
    shutil.copy(ROOT / "README.md", tmp_path)
    if (ROOT / "examples").is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.db*", "*.sqlite*")
        shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    return tmp_path


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter, able to import the amachine under test (installed or not) and the folder's examples."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )


def run_amachine(arguments: list[str], folder: Path) -> Outcome:
    """Runs the `amachine` command without relying on a script being on the path."""
    path = folder / re.sub(r"\W+", "_", f"amachine {' '.join(arguments)}")[:80]
    code = "import sys; from amachine.tools.cli import main; sys.argv[:] = {}; sys.exit(main())"
    path.write_text(code.format(["amachine", *arguments]), encoding="utf-8")
    (outcome,) = run_files([path], folder)
    return outcome


@cache
def amachine_help(subcommand: str | None) -> str:
    """What `amachine [SUBCOMMAND] --help` says; a subcommand that it does not know is an error."""
    with TemporaryDirectory() as folder:
        done = run_amachine([*([subcommand] if subcommand else []), "--help"], Path(folder))
    assert done.status == 0, f"amachine {subcommand or ''} --help failed:\n{done.stderr}"
    return done.stdout


@cache
def make_targets() -> frozenset[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
    return frozenset(word for line in phony for word in line.split())


def check_exists(command: Command) -> None:
    """Fails unless everything that the command names is there."""
    name, *rest = command.words
    if name == "make":
        targets = {word for word in rest if "=" not in word and not word.startswith("-")}
        assert targets <= make_targets(), f"{command}: make has no target {targets - make_targets()}"
    elif name == "amachine":
        subcommand = rest[0] if rest and not rest[0].startswith("-") else None
        shown = amachine_help(subcommand)
        for option in (word.partition("=")[0] for word in rest if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), (
                f"{command}: no option {option}"
            )
    elif name in {"pip", "uv"}:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        known = extras["project"]["optional-dependencies"].keys()
        for named in re.findall(r"amachine\[([^\]]*)\]", " ".join(rest)):
            assert set(named.split(",")) <= known, f"{command}: no such extra in {named}"
    elif re.fullmatch(r"python(3(\.\d+)?)?", name):
        module = rest[1] if rest[:1] == ["-m"] else None
        if module is not None:
            found = (ROOT / module.replace(".", "/")).exists() or (
                ROOT / f"{module.replace('.', '/')}.py"
            ).exists()
            assert found or importlib.util.find_spec(module), f"{command}: no module {module}"
        elif rest and not rest[0].startswith("-"):
            assert (ROOT / rest[0]).is_file(), f"{command}: no file {rest[0]}"
    else:
        assert name in {"cd", "git", "kill", "ls", "sqlite3", "."}, (
            f"{command}: teach this test about {name!r}"
        )


def pages() -> dict[str, list[Block]]:
    """Every page of the project with its blocks; a README that is missing is a test of its own."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = {path.relative_to(ROOT).as_posix(): path for path in found if path.is_file()}
    return {name: list(blocks(name, path.read_text(encoding="utf-8"))) for name, path in names.items()}


PAGES = pages()
COMMANDS = [
    c for found in PAGES.values() for block in found if block.language in SHELL for c in commands(block)
]


def test_the_readme_shows_programs_their_output_and_commands() -> None:
    assert "README.md" in PAGES, "README.md is missing"
    shown = list(programs(PAGES["README.md"]))
    assert any(program.prints is not None for program in shown)
    assert {c.words for c in COMMANDS if c.page == "README.md"} >= {("make", "demo"), ("make", "test")}


@pytest.mark.parametrize("page", PAGES)
def test_every_language_is_known(page: str) -> None:
    known = {"python", *OUTPUT, *SHELL, *INERT}
    assert [f"{block} is in {block.language}" for block in PAGES[page] if block.language not in known] == []


@pytest.mark.parametrize("page", PAGES)
def test_programs_run_and_print_what_the_page_says(page: str, workplace: Path) -> None:
    found = list(programs(PAGES[page]))
    wrong: list[str] = []
    for program, outcome in zip(found, run_programs(found, workplace), strict=True):
        try:
            check_program(program, outcome)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n\n".join(wrong)


def check_program(program: Program, outcome: Outcome) -> None:
    """Fails where a program did not end as the page says, with what it said."""
    parts = outcome.stdout.split(f"{MARK}\n")
    *before, printed = parts[: len(program.blocks)]
    last = outcome.stderr.rstrip().rpartition("\n")[2]
    if program.raises is None:
        if len(parts) <= len(program.blocks):  # else it was a later block that failed
            assert outcome.status == 0, f"{program} failed:\n{outcome.stderr}"
        if outcome.status == 0:
            assert outcome.stderr == "", f"{program} writes to stderr:\n{outcome.stderr}"
    else:
        assert outcome.status != 0, f"{program} should have raised {program.raises}"
        error = last.partition(":")[0].rpartition(".")[2]
        assert error == program.raises, f"{program} raised something else:\n{outcome.stderr}"
        printed += f"{last}\n"
    assert len(before) == len(program.blocks) - 1, f"{program} ended too early:\n{outcome.stdout}"
    if program.prints is not None:
        found = difference(program.prints, printed)
        assert not found, f"{program} prints something else:\n{found}"


def run_programs(programs: Iterable[Program], folder: Path) -> Iterator[Outcome]:
    """Runs programs, each as a file of its own; one that another one continues is not run again, and has its outcome."""
    wanted = list(programs)
    whole = {program: _longest(program, wanted) for program in wanted}
    paths = {
        program: folder / f"{re.sub(r'[/:.]', '_', str(program))}.py"
        for program in dict.fromkeys(whole.values())
    }
    for program, path in paths.items():
        path.write_text(program.source, encoding="utf-8")
    ended = dict(zip(paths, run_files([*paths.values()], folder), strict=True))
    for program in wanted:
        yield ended[whole[program]]


def _longest(program: Program, programs: list[Program]) -> Program:
    """The longest program that goes on from this one, and ends well; itself where none does."""
    n = len(program.blocks)
    others = [each for each in programs if each.raises is None and each.blocks[:n] == program.blocks]
    return max([program, *others], key=lambda each: len(each.blocks))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_exists_and_prints_what_the_page_says(command: Command, workplace: Path) -> None:
    check_command(command, workplace)


def check_command(command: Command, folder: Path) -> None:
    """Fails where the command names what is not there, or prints something else than shown."""
    check_exists(command)
    name, *rest = command.words
    if command.prints is None or not (name == "amachine" or name.startswith("python")):
        return
    if name == "amachine":
        outcome = run_amachine(rest, folder)
    else:
        done = run(rest, folder)
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
    assert outcome.status == 0, f"{command} failed:\n{outcome.stdout}{outcome.stderr}"
    found = difference(command.prints, outcome.stdout)
    assert not found, f"{command} prints something else:\n{found}"


# The guard itself.


def page_of(*lines: str) -> list[Block]:
    return list(blocks("page.md", "\n".join(lines)))


def test_blocks_know_their_place() -> None:
    first, second = page_of(
        "# Title", "```python continues", "a = 1", "", "```", "", "so:", "````text", "```", "````"
    )
    assert (first.line, first.language, first.words, first.text) == (3, "python", ("continues",), "a = 1\n\n")
    assert (second.line, second.language, second.text, second.above) == (9, "text", "```\n", "so:")


def test_an_open_fence_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r"page\.md:1: this block is never closed"):
        page_of("```python", "a = 1")


def test_a_block_in_a_list_loses_its_indent() -> None:
    (block,) = page_of("- so:", "  ```python", "  if 1:", "      a = 1", "  ```")
    assert block.text == "if 1:\n    a = 1\n"


def test_a_chain_keeps_lines_and_counts_the_last_output_only(tmp_path: Path) -> None:
    found = page_of(
        *("```python", "print('first')", "```", "prose"),
        *("```python continues", "print('second')", "1 / 0", "```"),
    )
    first, second = programs(found)
    assert first.source == "\nprint('first')\n"
    assert second.source.splitlines()[5:] == ["print('second')", "1 / 0"]
    (outcome,) = run_programs([second], tmp_path)
    with pytest.raises(AssertionError, match=r"line 7, in <module>\n(.*\n)*\s*ZeroDivisionError"):
        check_program(second, outcome)
    told = "second\nZeroDivisionError: division by zero"
    check_program(Program(second.blocks, "ZeroDivisionError", told), outcome)


def test_a_chain_runs_once_and_every_block_has_its_own_output(tmp_path: Path) -> None:
    found = page_of(
        *(
            "```python",
            "print('first')",
            "with open('count', 'a') as file: file.write('x')",
            "```",
            "```text",
            "first",
            "```",
        ),
        *("```python continues", "print('second')", "```", "```text", "second", "```"),
        *(
            "```python continues raises=KeyError",
            "print('third')",
            "{}[1]",
            "```",
            "```text",
            "third",
            "KeyError: 1",
        ),
        *("```", "```python continues", "print('fourth')", "```", "```text", "fourth", "```"),
    )
    chain = list(programs(found))
    assert [len(program.blocks) for program in chain] == [1, 2, 3, 3]
    for program, outcome in zip(chain, run_programs(chain, tmp_path), strict=True):
        check_program(program, outcome)
    assert (
        tmp_path / "count"
    ).read_text() == "xx"  # for the three that end well, and for the one that does not


@pytest.mark.parametrize("between", [(), ("",), ("", "It prints:", "")])
def test_output_below_a_program_is_compared(between: tuple[str, ...], tmp_path: Path) -> None:
    (program,) = programs(page_of("```python", "print('a', 1)", "```", *between, "```text", "a 2", "```"))
    assert program.prints == "a 2\n"
    (outcome,) = run_programs([program], tmp_path)
    with pytest.raises(AssertionError, match="prints something else"):
        check_program(program, outcome)


def test_text_after_prose_is_no_output() -> None:
    (program,) = programs(page_of("```python", "```", "Another matter.", "```text", "a", "```"))
    assert program.prints is None


@pytest.mark.parametrize(
    "lines",
    [
        ("```output", "a", "```"),
        ("```python", "```", "Another matter.", "```output", "a", "```"),
        ("```python continues", "```"),
        ("```python skip", "```"),
    ],
)
def test_a_block_that_means_nothing_is_an_error(lines: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:"):
        list(programs(page_of(*lines)))


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        ("a\nb", "a \nb\n\n", True),
        ("a ... c", "a b c", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a", "b", False),
    ],
)
def test_outputs_are_compared(wanted: str, got: str, *, same: bool) -> None:
    assert (difference(wanted, got) == "") is same


def test_commands_and_their_output_are_told_apart() -> None:
    (console, shell) = page_of(
        *(
            "```console",
            "$ A=1 make demo \\",
            "    ARGS='a b'  # note",
            "done",
            "",
            "$ make test && make lint",
            "```",
        ),
        *("```sh", "# note", "make test", "", "amachine --version", "```"),
    )
    assert [(c.line, c.words, c.prints) for c in commands(console)] == [
        (2, ("make", "demo", "ARGS=a b"), "done\n"),
        (6, ("make", "test"), None),
        (6, ("make", "lint"), None),
    ]
    assert [c.words for c in commands(shell)] == [("make", "test"), ("amachine", "--version")]


@pytest.mark.parametrize(
    "line",
    [
        "make tset",
        "pip install 'amachine[debgu]'",
        "python examples/nowhere.py",
        "python -m nowhere_at_all",
        "frobnicate",
    ],
)
def test_a_command_that_does_not_exist_is_an_error(line: str) -> None:
    (command,) = commands(Block("page.md", 1, "sh", (), line, ""))
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        check_exists(command)


@pytest.mark.parametrize(
    "line", ["make test ARGS=x", "pip install 'amachine[debug,nats]'", "python -m pytest -q"]
)
def test_a_command_that_exists_passes(line: str) -> None:
    (command,) = commands(Block("page.md", 1, "sh", (), line, ""))
    check_exists(command)


def test_a_shown_output_of_a_command_is_compared(tmp_path: Path) -> None:
    (block,) = page_of("```console", "$ python -c 'print(1)'", "2", "```")
    (command,) = commands(block)
    with pytest.raises(AssertionError, match="prints something else"):
        check_command(command, tmp_path)
