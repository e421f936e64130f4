"""Path watcher: what programs are there? Real folders are watched, and a burst of changes becomes one scan.

The operating system reports every touch of a file. `debounce` waits until there is silence, and then enters `scanning`
once. Scans run one at a time, in order; what one has found are the arguments of `known`.

    python examples/path_watcher.py             makes, changes and removes programs in a folder of its own
    python examples/path_watcher.py "$PATH"     watches these folders until Ctrl-C
"""

import os
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import attrs
from anyio.to_thread import run_sync
from watchfiles import awatch

from amachine import Event, Machine, State
from amachine.helpers import debounce


@attrs.frozen
class Programs:
    """Names of the programs in all folders, and how that differs from the scan before."""

    names: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


class PathWatcher(Machine):
    """Knows the programs in some folders, as long as it is `watching`."""

    watching = State()
    scanning = State(require=[watching], multi=True, limit=1)
    known = State(Programs, multi=True)

    def __init__(self, folders: Iterable[Path], *, silence: float = 0.1) -> None:
        super().__init__("path")
        self.folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self.silence = silence
        self.last = Programs()

    @watching.task
    async def watch(self, _: Event[None]) -> None:
        async with debounce(self.scanning, self.silence, last="drop") as changed:
            changed.push()  # the first scan, when the watch has begun: nothing slips between
            # Its wait is in a thread, which looks every `rust_timeout` milliseconds whether it is still wanted.
            async for _changes in awatch(
                *self.folders, debounce=50, step=10, rust_timeout=100, recursive=False
            ):
                changed.push()

    @scanning.task
    async def scan(self, _: Event[None]) -> None:
        names = await run_sync(programs_in, self.folders)
        self.known.add(names, names - self.last.names, self.last.names - names)

    @known.state
    def remember(self, e: Event[Programs]) -> None:
        self.last = e.args


def programs_in(folders: Iterable[Path]) -> frozenset[str]:
    """Names of the files that can be run. A folder that is gone or closed has none."""
    names: set[str] = set()
    for folder in folders:
        try:
            names.update(
                file.name for file in folder.iterdir() if file.is_file() and os.access(file, os.X_OK)
            )
        except OSError:
            continue
    return frozenset(names)


def show(programs: Programs) -> None:
    """One line a scan."""
    new, gone = (
        " ".join(sorted(names)) if len(names) < 9 else len(names) for names in (programs.new, programs.gone)
    )
    print(f"{len(programs.names)} programs; new: {new or 'none'}; gone: {gone or 'none'}")


async def main(path: str) -> None:
    """Tell of every change in these folders, until Ctrl-C; without any, change one and tell of that."""
    if not path:
        await rehearse()
        return
    async with PathWatcher(map(Path, path.split(os.pathsep))) as watcher:
        watcher.watching.add()
        while True:
            show(await watcher.known.when_next())


async def rehearse() -> None:
    """Watch a folder while it changes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with PathWatcher([folder], silence=0.05) as watcher:
            watcher.watching.add()
            show(await watcher.known.when())
            await tell_of(watcher, folder, frozenset({"ls", "cp", "mv"}))
            await tell_of(watcher, folder, frozenset({"ls", "cat"}))


async def tell_of(watcher: PathWatcher, folder: Path, programs: frozenset[str]) -> None:
    """Have exactly these in the folder, and tell what was seen of it."""
    seen = watcher.known.when(lambda found: found.names == programs)
    install(folder, programs)
    show(await seen)


def install(folder: Path, programs: Collection[str]) -> None:
    """Have exactly these in the folder."""
    for file in folder.iterdir():
        if file.name not in programs:
            file.unlink()
    for program in programs:
        (folder / program).touch(mode=0o755)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        anyio.run(main, (sys.argv[1:] or [""])[0])
