"""How what a script function does is told to people: by the operations as they are written there.

What is told of an error is looked up in the source, at the place in the script that its traceback names: only then.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from amachine.choreography.acting import Words

if TYPE_CHECKING:
    from types import CodeType, FunctionType, TracebackType

    from amachine.choreography.functions.performing import Routine

__all__ = ["put_together", "put_words_to"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

LONGEST = 60
"""Characters of an expression that are shown."""


class ScriptWords(Words):
    """The operations that some functions of scripts call."""

    def __new__(cls, text: str, lines: Mapping[CodeType, range]) -> Self:
        new = super().__new__(cls, text)
        new.lines = lines
        return new

    lines: Mapping[CodeType, range]
    """By the code of each, the lines of its script function."""

    def at(self, error: BaseException) -> str:
        """The operation that raised an error, as it is written; with its line, where it is written more than once."""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code in self.lines:
                return _written(trace, self.lines[trace.tb_frame.f_code]) or str(self)
            trace = trace.tb_next
        return str(self)


def put_words_to(made: FunctionType, routine: Routine, body: Iterable[ast.stmt]) -> None:
    """Name a function to people: by what it may wait for, else by what decides or is sent, else by all that it does."""
    tree = routine.frame.source.tree
    lines = range(tree.lineno, (tree.end_lineno or tree.lineno) + 1)
    if inspect.iscoroutinefunction(made):
        told = [_text(each.value) for node in body for each in ast.walk(node) if isinstance(each, ast.Await)]
    elif routine.node is not None and routine.node.work is not None:
        told = [_text(each) for each in _subject(routine.node.site.node)]
    else:
        told = [each for node in body for each in _asked(node, routine.role)]
    vars(made)["words"] = ScriptWords(" or ".join(dict.fromkeys(told)), {made.__code__: lines})


def put_together(made: FunctionT, main: Callable[..., Any], of: Sequence[Callable[..., Any]]) -> FunctionT:
    """Name a function that calls others: by those of them for which it may have to wait, else by the main one. Returns it."""
    words: list[ScriptWords] = [vars(each)["words"] for each in of]
    slow = [vars(each)["words"] for each in of if inspect.iscoroutinefunction(each)]
    text = " or ".join(dict.fromkeys(slow or [vars(main)["words"]]))
    vars(made)["words"] = ScriptWords(text, {code: at for each in words for code, at in each.lines.items()})
    return made


def _subject(node: ast.AST) -> Iterator[ast.expr]:
    """The expression that something in a script is about."""
    if isinstance(node, ast.Match):
        yield node.subject
    elif isinstance(node, ast.expr):
        yield node


def _asked(node: ast.AST, role: str) -> Iterator[str]:
    """What is asked of a role, or assigned to it, in order."""
    for child in ast.iter_child_nodes(node):
        yield from _asked(child, role)
    if isinstance(node, ast.Call) and _is_of(node.func, role):
        yield _text(node)
    elif isinstance(node, ast.Assign):
        yield from (_text(each) for each in node.targets if _is_of(each, role))


def _is_of(node: ast.expr, role: str) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == role


def _text(node: ast.expr) -> str:
    """An expression as it is written, and a call without what it takes."""
    node = node.value if isinstance(node, ast.Await) else node
    text = f"{ast.unparse(node.func)}()" if isinstance(node, ast.Call) else ast.unparse(node)
    return f"{text[:LONGEST]}{'…' * (len(text) > LONGEST)}"


def _written(trace: TracebackType, lines: range) -> str:
    """The expression at which a function stands; nothing where that cannot be found out."""
    code = trace.tb_frame.f_code
    first, last, begin, end = next(islice(code.co_positions(), trace.tb_lasti // 2, None))
    if first is None or last is None or begin is None or end is None:
        return ""  # Python was told not to keep them
    source = linecache.getlines(code.co_filename)
    written = [each.encode() for each in source[first - 1 : last]]
    if not written:
        return ""
    written[-1] = written[-1][:end]
    written[0] = written[0][begin:]
    try:
        text = _text(ast.parse(f"({b''.join(written).decode()})", mode="eval").body)
    except (SyntaxError, ValueError):
        return ""
    mention = text.removesuffix(")")
    times = sum(each.count(mention) for each in source[lines.start - 1 : lines.stop - 1])
    return f"{text} in line {first}" if times > 1 else text
