"""Text for streams that do not know every character, as an ASCII terminal and a redirection on Windows do not.

What is for people is spelt with the signs that there are; what is for programs is escaped as its language has it. It prints
nothing that would not have been printed.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Callable
from typing import IO, Literal, TypeAlias

__all__ = ["Language", "put", "spell_out"]

Language: TypeAlias = Literal["dot", "json", "mermaid", "svg"]

_SIGNS = {"→": "->", "⇢": "~>", "×": "x", "…": "...", "·": "-", "–": "-", "●": "*", "µ": "u"}


def spell_out(stream: IO[str]) -> None:
    """From now on, what a stream cannot show is spelt, instead of being an error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="amachine.people")


def put(text: str, language: Language) -> None:
    """Print text in a language of programs."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, f"amachine.{language}").decode(encoding), end="")


def _for_people(text: str) -> str:
    return "".join(_SIGNS.get(c) or c.encode("ascii", "backslashreplace").decode("ascii") for c in text)


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_mermaid(text: str) -> str:
    return "".join(f"#{ord(c)};" for c in text)


def _in_xml(text: str) -> str:
    return "".join(f"&#{ord(c)};" for c in text)


def _register(name: str, spell: Callable[[str], str]) -> None:
    def handle(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return spell(error.object[error.start : error.end]), error.end

    codecs.register_error(f"amachine.{name}", handle)


for _name, _spell in (
    ("people", _for_people),
    ("json", _in_json),
    ("mermaid", _in_mermaid),
    ("svg", _in_xml),
    ("dot", _in_xml),  # it knows such entities, too
):
    _register(_name, _spell)
