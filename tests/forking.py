"""Runs programs quickly: each in a fork of one interpreter, which has loaded what nearly all of them need.

A fork has all that a fresh interpreter has, and none of what the programs before it did. For tests of pages, of which
there are hundreds of programs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import attrs

SECONDS = 120
"""After which a program is killed."""

SERVER = """
import json, os, signal, sys, types
import amachine, anyio, anyio._backends._asyncio, asyncio, attrs
import amachine.helpers, amachine.pipes, amachine.runtime, amachine.states, amachine.testing.assertions
import amachine.choreography.playing.joining, amachine.choreography.seeing.trace, amachine.choreography.wire.serving

path = None
for line in iter(sys.stdin.readline, ""):
    folder, seconds, *paths = json.loads(line)
    statuses = []
    for path in paths:
        if not (child := os.fork()):
            break
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    else:
        print(json.dumps(statuses), flush=True)
        continue
    break
else:
    sys.exit()
for stream, name in ((0, os.devnull), (1, path + ".out"), (2, path + ".err")):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o644), stream)
signal.alarm(seconds)
os.chdir(folder)
os.environ["PYTHONPATH"] = os.pathsep.join([folder, os.environ["PYTHONPATH"]])
sys.path[0] = folder
sys.argv[:] = [path]
sys.modules["__main__"] = module = types.ModuleType("__main__")
module.__file__ = path
with open(path, encoding="utf-8") as file:
    exec(compile(file.read(), path, "exec"), module.__dict__)
"""


@attrs.frozen
class Outcome:
    """How a program ended, and what it said."""

    status: int
    stdout: str
    stderr: str


def environment(*folders: Path) -> dict[str, str]:
    """One in which an interpreter finds the amachine under test (installed or not), and speaks plainly."""
    spec = importlib.util.find_spec("amachine")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    paths = [*map(str, folders), str(Path(spec.submodule_search_locations[0]).parent)]
    plain = {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "110"}
    return {**os.environ, **plain, "PYTHONPATH": os.pathsep.join(paths)}


@cache
def _server() -> subprocess.Popen[str]:
    """The interpreter that forks. It ends with its stdin, and so with these tests."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def run_files(paths: Sequence[Path], folder: Path) -> list[Outcome]:
    """Run each of these files as a program, one after the other, in this folder."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([str(folder), SECONDS, *map(str, paths)]) + "\n")
    server.stdin.flush()
    statuses = json.loads(server.stdout.readline() or "null")
    assert statuses is not None, "the interpreter that forks has ended"
    said = [
        [Path(f"{path}{kind}").read_text(encoding="utf-8") for kind in (".out", ".err")] for path in paths
    ]
    return [Outcome(status, *texts) for status, texts in zip(statuses, said, strict=True)]
