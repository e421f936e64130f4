"""What a page holds: its fenced blocks, the programs and commands among them, and whether an output is as it says.

The conventions are told in `test_readme`. Nothing here runs anything.
"""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator

import attrs

OUTPUT = {"text", "output"}
SHELL = {"console", "sh"}
MARK = "\0 here begins the next block \0"


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
        lines: list[str] = []
        for block in self.blocks:
            padding = [""] * (block.line - 2 - len(lines))
            fence = f"print({MARK!r})" if lines else ""
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
        program = (*chain, block)
        if raises is None:
            chain.append(block)
        below = found[n + 1] if n + 1 < len(found) else None
        told = below is not None and below.language in OUTPUT and directly_below(below)
        yield Program(program, raises, below.text if below is not None and told else None)


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
