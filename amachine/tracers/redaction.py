"""What must not be shown, and how it is taken out of texts. Every tracer that shows arguments asks here.

Secrets are known by their names, and in free text by what stands before them: `token=…`, `Bearer …`, `//user:…@host`. A
secret that nothing names cannot be known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias, cast

VARIABLE = "AMACHINE_REDACT"
"""The environment variable with more parts of names, with commas between them. Read when tracers are first imported."""

SECRET = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "private_key",
    "access_key",
    "credential",
    "authorization",
    "cookie",
)
"""Parts of names whose values are not shown. Neither the case of letters counts, nor `_`, `-` and spaces."""

REDACTED = "…"
"""What is shown instead."""

MARK = "amachine.redacted"
"""The key of the metadata of a field that is not shown, whatever its name: `attrs.field(metadata={MARK: True})`."""

Part: TypeAlias = str | re.Pattern[str]
"""A part of names, or a pattern that is searched for in them."""

_CREDENTIALS = re.compile(
    r"(://[^\s/@:]*:)[^\s/@]+(?=@)|\b((?:Bearer|Basic)\s+)[\w.~+/=-]{6,}", re.IGNORECASE
)
_BETWEEN = re.compile(r"[\s_-]+")


def secret_parts() -> tuple[Part, ...]:
    """The parts of secret names: `SECRET`, and what `AMACHINE_REDACT` adds."""
    more = (part.strip() for part in os.environ.get(VARIABLE, "").split(","))
    return (*SECRET, *(part for part in more if part))


def parts(given: Iterable[Part]) -> tuple[Part, ...]:
    """Parts as a tuple. Errors: TypeError for a single string, which would be taken for its letters."""
    if isinstance(given, str):
        raise TypeError(f"redact={given!r} is one name: write redact=({given!r},)")
    return tuple(given)


@lru_cache(maxsize=4096)
def hides(redact: tuple[Part, ...], name: str) -> bool:
    """Whether a value of this name is not shown."""
    plain = _plain(name)
    return any(
        _plain(part) in plain if isinstance(part, str) else part.search(name) is not None for part in redact
    )


def scrub(text: str, redact: tuple[Part, ...]) -> str:
    """A text without what is named as a secret in it. A pattern of `redact` takes out what it matches."""
    if not redact:
        return text
    names, patterns = _in_text(redact)
    if names is not None:
        text = names.sub(rf"\1{REDACTED}", text)
    for pattern in patterns:
        text = pattern.sub(REDACTED, text)
    return _CREDENTIALS.sub(lambda found: f"{found[1] or found[2]}{REDACTED}", text)


@lru_cache(maxsize=64)
def _in_text(redact: tuple[Part, ...]) -> tuple[re.Pattern[str] | None, tuple[re.Pattern[str], ...]]:
    """What finds `name=value` in texts, and the user's own patterns."""
    words = [
        r"[\s_-]?".join(map(re.escape, _BETWEEN.split(part))) for part in redact if isinstance(part, str)
    ]
    patterns = tuple(part for part in redact if not isinstance(part, str))
    if not words:
        return None, patterns
    # A quoted value to its closing quote, or to the end if that was cut; any other to where it must end.
    value = r"""(?:b?'(?:[^'\\]|\\.)*'?|b?"(?:[^"\\]|\\.)*"?|(?:(?:Bearer|Basic)\s+)?[^\s,;&)}\]'"]+)"""
    # The rest of a name is taken at one go and has an end, so that no text costs more than its length.
    name = rf"""((?:{"|".join(words)})[\w.-]{{0,200}}+["']?\s*[:=]\s*){value}"""
    return re.compile(name, re.IGNORECASE), patterns


def is_marked(metadata: object) -> bool:
    """Whether the metadata of a field says that it is not shown."""
    return isinstance(metadata, Mapping) and bool(cast("Mapping[object, object]", metadata).get(MARK))


def _plain(name: str) -> str:
    return _BETWEEN.sub("", name).casefold()
