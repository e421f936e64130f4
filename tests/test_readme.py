"""Everything that README.md and docs/ show is run, or at least known to exist.

The conventions, which CONTRIBUTING.md repeats for authors:

- ```` ```python ```` runs in a fresh interpreter, warnings as errors, in a folder that holds README.md and examples/;
  it ends well and writes nothing to stderr.
  ```` ```python continues ```` runs after the Python blocks above it, up to one without that word, and their output
  is not counted. ```` ```python raises=SchemaError ```` must end with that error; the last line of what it says to
  stderr then counts as output.
- ```` ```text ```` or ```` ```output ```` directly below such a block (at most one line ending in a colon between) is
  what it prints. `...` stands for anything, as in doctest.
- ```` ```console ```` holds commands behind `$ `, and what they print; ```` ```sh ```` holds commands only. Targets of
  make, subcommands and options of amachine, extras, files and modules must exist. An `amachine` or `python` command
  that shows its output in a console block is run, and compared.
- Any other language must be listed below, so that a misspelt one is not quietly passed over.
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = {"text", "output"}
SHELL = {"console", "sh"}
INERT = {"go", "ini", "json", "make", "markdown", "mermaid", "sql", "toml", "yaml", ""}
MARK = "\0 here begins the last block \0"
SECONDS = 120


@attrs.frozen
class Block:
    """One fenced block of a page."""

    page: str
    line: int  # of its first line of code, counted from 1
    language: str
    words: tuple[str, ...]  # what stands behind the language
    text: str
    above: str  # what stands between it and the block before, without blank lines

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@attrs.frozen
class Program:
    """A Python block with all that it continues, and what the page says it prints."""

    blocks: tuple[Block, ...]
    raises: str | None
    prints: str | None

    def __str__(self) -> str:
        return str(self.blocks[-1])

    @property
    def source(self) -> str:
        """The code on the very lines that it has on the page, so that a traceback points there."""
        last = self.blocks[-1]
        lines: list[str] = []
        for block in self.blocks:
            padding = [""] * (block.line - 2 - len(lines))
            fence = f"print({MARK!r})" if block is last and lines else ""
            lines += [*padding, fence, *block.text.splitlines()]
        return "\n".join(lines) + "\n"


@attrs.frozen
class Command:
    """One line behind a `$`, and what the page says it prints (None where it says nothing)."""

    page: str
    line: int
    words: tuple[str, ...]
    prints: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown page, in order; a fence that is never closed is an error."""
    lines = text.splitlines()
    at = between = 0
    while at < len(lines):
        fence = re.match(r"( *)(`{3,}|~{3,})\s*([^`]*)$", lines[at])
        if fence is None:
            at += 1
            continue
        indent, ticks, info = fence.groups()
        start = at + 1
        closing = re.compile(rf" *{re.escape(ticks)}{re.escape(ticks[0])}*\s*$")
        end = next((n for n in range(start, len(lines)) if closing.match(lines[n])), None)
        assert end is not None, f"{page}:{at + 1}: this block is never closed"
        language, *words = info.split() or [""]
        yield Block(
            page=page,
            line=start + 1,
            language=language,
            words=tuple(words),
            text="".join(f"{line.removeprefix(indent)}\n" for line in lines[start:end]),
            above="\n".join(line.strip() for line in lines[between:at] if line.strip()),
        )
        at = between = end + 1


def programs(found: list[Block]) -> Iterator[Program]:
    """The Python blocks of a page, each with those that it continues and its output."""
    chain: list[Block] = []
    for n, block in enumerate(found):
        if block.language in OUTPUT:
            owner = found[n - 1].language if n else None
            bound = directly_below(block) and owner in {"python", *SHELL}
            assert bound or block.language == "text", f"{block}: an output block that nothing prints"
        if block.language != "python":
            continue
        raises = None
        for word in block.words:
            assert word == "continues" or word.startswith("raises="), f"{block}: {word!r} means nothing here"
            raises = word.removeprefix("raises=") if word.startswith("raises=") else raises
        if "continues" not in block.words:
            chain = []
        else:
            assert chain, f"{block}: continues a block, and there is none"
        chain.append(block)
        below = found[n + 1] if n + 1 < len(found) else None
        told = below is not None and below.language in OUTPUT and directly_below(below)
        yield Program(tuple(chain), raises, below.text if below is not None and told else None)


def directly_below(block: Block) -> bool:
    """Nothing, or one line that ends in a colon (`It prints:`), parts it from the block before."""
    return not block.above or ("\n" not in block.above and block.above.endswith(":"))


def commands(block: Block) -> Iterator[Command]:
    """The commands of a shell block, with what a console block shows below each."""
    prompt = "$ " if block.language == "console" else ""
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        start = at
        at += 1
        if not lines[start].startswith(prompt) or not lines[start].strip():
            assert not prompt or not lines[start].strip(), f"{block}: a console block begins with `$ `"
            continue
        line = lines[start].removeprefix(prompt)
        while line.endswith("\\") and at < len(lines):
            line = line[:-1] + lines[at]
            at += 1
        shown: list[str] = []
        while prompt and at < len(lines) and not lines[at].startswith(prompt):
            shown.append(lines[at])
            at += 1
        for part in re.split(r"\s(?:&&|;)\s", line):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                del words[0]
            if words:
                output = "\n".join(shown).rstrip() + "\n" if any(shown) else None
                yield Command(block.page, block.line + start, tuple(words), output)


def difference(wanted: str, got: str) -> str:
    """Empty where the output is as the page says; trailing blanks do not count, and `...` stands for anything."""
    want, have = (
        "".join(f"{line.rstrip()}\n" for line in text.rstrip().splitlines()) for text in (wanted, got)
    )
    checker = doctest.OutputChecker()
    if checker.check_output(want, have, doctest.ELLIPSIS):
        return ""
    return checker.output_difference(doctest.Example("", want), have, doctest.ELLIPSIS | doctest.REPORT_NDIFF)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: README.md and the examples, and nothing that must not be overwritten."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(ROOT / "README.md", folder)
    if (ROOT / "examples").is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.db*", "*.sqlite*")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    return folder


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter, able to import the amachine under test (installed or not) and the folder's examples."""
    spec = importlib.util.find_spec("amachine")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    paths = [str(folder), str(Path(spec.submodule_search_locations[0]).parent)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONIOENCODING": "utf-8",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "110",
    }
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )


def run_amachine(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the `amachine` command without relying on a script being on the path."""
    code = "import sys; sys.argv[0] = 'amachine'; from amachine.tools.cli import main; sys.exit(main())"
    return run(["-c", code, *arguments], folder)


@cache
def amachine_help(subcommand: str | None) -> str:
    """What `amachine [SUBCOMMAND] --help` says; a subcommand that it does not know is an error."""
    done = run_amachine([*([subcommand] if subcommand else []), "--help"], ROOT)
    assert done.returncode == 0, f"amachine {subcommand or ''} --help failed:\n{done.stderr}"
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
PROGRAMS = [program for found in PAGES.values() for program in programs(found)]
COMMANDS = [
    c for found in PAGES.values() for block in found if block.language in SHELL for c in commands(block)
]


def test_the_readme_shows_programs_their_output_and_commands() -> None:
    assert "README.md" in PAGES, "README.md is missing"
    shown = [program for program in PROGRAMS if program.blocks[-1].page == "README.md"]
    assert any(program.prints is not None for program in shown)
    assert {c.words for c in COMMANDS if c.page == "README.md"} >= {("make", "demo"), ("make", "test")}


@pytest.mark.parametrize("page", PAGES)
def test_every_language_is_known(page: str) -> None:
    known = {"python", *OUTPUT, *SHELL, *INERT}
    assert [f"{block} is in {block.language}" for block in PAGES[page] if block.language not in known] == []


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_a_program_runs_and_prints_what_the_page_says(program: Program, workplace: Path) -> None:
    check_program(program, workplace)


def check_program(program: Program, folder: Path) -> None:
    """Runs a program as a file of its own; fails with what it said."""
    path = folder / f"{str(program).replace('/', '_').replace(':', '_line_').replace('.', '_')}.py"
    path.write_text(program.source, encoding="utf-8")
    done = run([str(path)], folder)
    printed = done.stdout.rpartition(f"{MARK}\n")[2]
    last = done.stderr.rstrip().rpartition("\n")[2]
    if program.raises is None:
        assert done.returncode == 0, f"{program} failed:\n{done.stderr}"
        assert done.stderr == "", f"{program} writes to stderr:\n{done.stderr}"
    else:
        assert done.returncode != 0, f"{program} should have raised {program.raises}"
        error = last.partition(":")[0].rpartition(".")[2]
        assert error == program.raises, f"{program} raised something else:\n{done.stderr}"
        printed += f"{last}\n"
    if program.prints is not None:
        found = difference(program.prints, printed)
        assert not found, f"{program} prints something else:\n{found}"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_exists_and_prints_what_the_page_says(command: Command, workplace: Path) -> None:
    check_command(command, workplace)


def check_command(command: Command, folder: Path) -> None:
    """Fails where the command names what is not there, or prints something else than shown."""
    check_exists(command)
    name, *rest = command.words
    if command.prints is None or not (name == "amachine" or name.startswith("python")):
        return
    done = run_amachine(rest, folder) if name == "amachine" else run(rest, folder)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    found = difference(command.prints, done.stdout)
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
    with pytest.raises(AssertionError, match=r"line 7, in <module>\n(.*\n)*\s*ZeroDivisionError"):
        check_program(second, tmp_path)
    check_program(
        Program(second.blocks, "ZeroDivisionError", "second\nZeroDivisionError: division by zero"), tmp_path
    )


@pytest.mark.parametrize("between", [(), ("",), ("", "It prints:", "")])
def test_output_below_a_program_is_compared(between: tuple[str, ...], tmp_path: Path) -> None:
    (program,) = programs(page_of("```python", "print('a', 1)", "```", *between, "```text", "a 2", "```"))
    assert program.prints == "a 2\n"
    with pytest.raises(AssertionError, match="prints something else"):
        check_program(program, tmp_path)


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
