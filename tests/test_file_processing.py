"""The workflow of `amachine demo` on real files: what becomes of each, and that nothing is lost, whatever ends it."""

from __future__ import annotations

import json
import lzma
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import zlib
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from rich.console import Console

import amachine
from amachine import Event, Machine, Tracer, Transition, any_of
from amachine.tools.cli import main
from amachine.tools.demo import Batch, FileFlow, Found, Outcome, Rules, Store
from amachine.tools.demo.view import Plain, Table
from amachine.tools.demo.walk import walk

CRASHES = int(os.environ.get("AMACHINE_CRASHES", "5"))
"""How often a run is killed before it may end; `.ci/run` may ask for more."""

QUICK = Rules(backoff=0.001)


def content(number: int) -> bytes:
    """Bytes that are not alike."""
    return f"file {number}\n".encode() * (number * 7 % 300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty good files in two folders."""
    root = tmp_path / "root"
    (root / "below").mkdir(parents=True)
    for number in range(30):
        (root / ("below" if number % 3 else ".") / f"{number:02}.txt").write_bytes(content(number))
    return root


async def process(root: Path, rules: Rules = QUICK, **options: Any) -> Batch:
    """Run a batch to its end; the database stands beside the folder."""
    async with (
        Store(root.parent / "results.sqlite", root) as store,
        Batch(root, store, rules, **options) as batch,
    ):
        batch.walking.add()
        await any_of(batch.finished.when(), batch.interrupted.when(), batch.when(Batch.Exception))
    return batch


def rows(database: Path) -> list[dict[str, Any]]:
    """All that is in a database, in order."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM files ORDER BY root, name")]


def results(root: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows(root.parent / "results.sqlite")}


# One file.


@pytest.mark.parametrize("method", ["zlib", "lzma"])
async def test_what_is_stored_is_true(folder: Path, method: str) -> None:
    batch = await process(folder, Rules(method=cast("Any", method)))
    compress = zlib.compress if method == "zlib" else lzma.compress
    found = results(folder)
    assert len(found) == 30
    for name, row in found.items():
        data = (folder / name).read_bytes()
        assert (row["state"], row["attempts"], row["why"]) == ("stored", 1, "")
        assert (row["size"], row["mtime_ns"]) == (len(data), (folder / name).stat().st_mtime_ns)
        assert row["sha256"] == sha256(data).hexdigest()
        assert row["packed"] == len(compress(data))
    assert batch.is_active(Batch.finished, Batch.walked)
    assert batch.tally.outcomes == {"stored": 30}
    assert batch.tally.bytes_read == sum(len(content(number)) for number in range(30))


async def test_the_life_of_a_file_is_what_its_clock_says(folder: Path) -> None:
    (file,) = [each for each in walk(folder, lambda _: False) if each.name == "below/01.txt"]
    async with Store(folder.parent / "results.sqlite", folder) as store, FileFlow(file, store, QUICK) as flow:
        flow.discovered.add()
        flow.attempt(1)
        outcome = await flow.stored.when()
        assert outcome.sha256 == sha256(content(1)).hexdigest()
    assert str(flow.clock) == "stored:1 | discovered:2 reading:2 hashed:2 compressed:2 storing:2"


async def test_vetoes_skip_with_the_engines_own_reason(folder: Path) -> None:
    (folder / "large").write_bytes(bytes(2000))
    (folder / "link").symlink_to("00.txt")
    os.mkfifo(folder / "pipe")  # reading it would never end
    await process(folder, Rules(max_size=1000))
    found = results(folder)
    assert found["large"]["why"] == "ReadingEnter (FileFlow.is_small_enough) said no"
    assert found["link"]["why"] == found["pipe"]["why"] == "ReadingEnter (FileFlow.is_regular_file) said no"
    assert {row["state"] for row in found.values() if row["why"]} == {"skipped"}
    assert all(
        row["sha256"] is None and row["attempts"] == 0 for row in found.values() if row["state"] == "skipped"
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
async def test_what_may_not_be_read_is_skipped(folder: Path) -> None:
    (folder / "secret").touch(mode=0)
    (folder / "closed").mkdir(mode=0)
    await process(folder)
    assert results(folder)["secret"]["why"] == "ReadingEnter (FileFlow.is_readable) said no"
    assert results(folder)["closed"]["why"] == "ReadingEnter (FileFlow.is_regular_file) said no"


async def test_a_file_that_vanishes_is_skipped_and_one_that_changes_fails(tmp_path: Path) -> None:
    (tmp_path / "grown").write_text("more than when it was found")
    async with Store(tmp_path / "results.sqlite", tmp_path) as store:
        for name, size, state, why in (
            ("gone", 4, "skipped", "ReadingEnter (FileFlow.is_readable) said no"),
            ("grown", 4, "failed", "4 bytes when found, 27 now"),
        ):
            found = Found(name, tmp_path / name, size, 0, stat.S_IFREG)
            async with FileFlow(found, store, Rules(tries=3, backoff=0.001)) as flow:
                flow.attempt(1)
                outcome = (await any_of(flow.stored.when(), flow.skipped.when(), flow.failed.when())).value
            assert outcome.state == state
            assert why in outcome.why
            assert (flow.failed.active, flow.clock["retrying"]) == (
                state == "failed",
                4 if state == "failed" else 0,
            )


async def test_a_failed_read_is_retried_and_backs_off_longer_each_time(folder: Path) -> None:
    class Delays(Tracer):
        inheritable = True
        seen: dict[str, list[float]]

        def transition_ended(self, machine: Machine, transition: Transition) -> None:
            if isinstance(machine, FileFlow) and "retrying" in transition.enters and transition.accepted:
                assert machine.retrying.args is not None
                assert not machine.hashed.active
                assert not machine.compressed.active
                self.seen.setdefault(machine.id, []).append(machine.retrying.args.delay)

    delays = Delays()
    delays.seen = {}
    rules = Rules(fail_rate=0.5, seed=3, tries=4, backoff=0.001)
    batch = await process(folder, rules, tracers=[delays])
    found = results(folder)
    for name, row in found.items():
        fails = [rules.is_sabotaged(name, attempt) for attempt in range(1, 5)]
        expected = fails.index(False) + 1 if False in fails else 4
        assert (row["state"], row["attempts"]) == ("failed" if all(fails) else "stored", expected)
        assert delays.seen.get(name, []) == [0.001 * 2**n for n in range(expected - 1)]
    assert {row["state"] for row in found.values()} == {"stored", "failed"}
    assert batch.tally.retries == sum(row["attempts"] - 1 for row in found.values())


async def test_an_error_that_is_no_matter_of_files_fails_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: bytes) -> bytes:
        raise ValueError("a bug")

    monkeypatch.setattr(zlib, "compress", broken)
    await process(folder)
    assert {(row["state"], row["attempts"], row["why"]) for row in results(folder).values()} == {
        ("failed", 1, "ValueError: a bug")
    }


# All files.


async def test_no_more_than_the_limit_are_in_work_at_once(folder: Path) -> None:
    class Most(Tracer):
        inheritable = True
        live, most = 0, 0

        def task_started(self, machine: Machine, name: str, state: str | None) -> None:
            if state == "processing":
                self.live += 1
                self.most = max(self.most, self.live)

        def task_ended(
            self, machine: Machine, name: str, state: str | None, error: BaseException | None
        ) -> None:
            self.live -= state == "processing"

    for jobs in (1, 3):
        most = Most()
        path = folder.parent / f"{jobs}.sqlite"
        async with (
            Store(path, folder) as store,
            Batch.sized(jobs)(folder, store, QUICK, tracers=[most]) as batch,
        ):
            batch.walking.add()
            await batch.finished.when()
        assert (most.most, most.live) == (jobs, 0)
        assert batch.tally.outcomes == {"stored": 30}


async def test_a_second_run_does_only_what_is_new_changed_or_failed(folder: Path) -> None:
    await process(folder, Rules(fail_rate=1, tries=1))
    assert {row["state"] for row in results(folder).values()} == {"failed"}
    assert (await process(folder)).tally.outcomes == {"stored": 30}
    (folder / "00.txt").write_text("changed")
    (folder / "new.txt").write_text("new")
    batch = await process(folder)
    assert (batch.tally.kept, batch.tally.outcomes) == (29, {"stored": 2})
    assert results(folder)["00.txt"]["sha256"] == sha256(b"changed").hexdigest()


async def test_an_empty_folder_is_finished_at_once(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    batch = await process(tmp_path / "root")
    assert batch.is_active(Batch.finished)


async def test_a_broken_store_ends_the_batch(folder: Path) -> None:
    class Full(Store):
        async def put(self, file: Found, outcome: Outcome) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    class Ignores:
        def exception_state(self, event: Event[Any]) -> None:
            """Where nobody handles it, it is logged."""

    async with Full(folder.parent / "x.sqlite", folder) as store, Batch(folder, store, QUICK) as batch:
        batch.bind(Ignores())
        batch.walking.add()
        assert "disk is full" in str(await batch.when_error())
        assert not batch.any_active(Batch.walking, Batch.processing)
    assert not batch.finished.active


async def test_an_interrupted_batch_closes_every_file_and_resumes(folder: Path) -> None:
    files: list[Machine] = []

    class Collects(Tracer):
        inheritable = True

        def machine_opened(self, machine: Machine) -> None:
            if isinstance(machine, FileFlow):
                files.append(machine)

    def stop(event: Event[Any]) -> None:
        if len(files) >= 12:
            event.machine.add("interrupted", why="a test")

    batch = await process(folder, tracers=[Collects()], handlers=[{"SettledState": stop}])
    assert batch.active == ("walked", "settled", "interrupted")
    assert 12 <= len(files) < 30
    assert all(file.is_closed for file in files)
    assert 1 <= len(results(folder)) < 30
    left = 30 - len(results(folder))
    assert (await process(folder)).tally.outcomes == {"stored": left}


async def test_a_thousand_files_go_through_and_every_row_is_written_in_few_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(1000):
        (root / f"{number}").write_bytes(content(number))
    commits: list[int] = []
    write = Store._write

    def counted(self: Store, rows: tuple[tuple[object, ...], ...]) -> None:
        commits.append(len(rows))
        write(self, rows)

    monkeypatch.setattr(Store, "_write", counted)
    batch = await process(root, Rules(fail_rate=0.02, backoff=0.001))
    assert batch.tally.outcomes == {"stored": 1000}
    assert len(results(root)) == sum(commits) == 1000
    assert {name: row["sha256"] for name, row in results(root).items()} == {
        str(number): sha256(content(number)).hexdigest() for number in range(1000)
    }


async def test_a_relative_folder_is_the_same_folder_and_leaves_its_database_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for root, stored in ((Path(), 30), (folder, 0)):
        async with Store(Path("x.sqlite"), root) as store, Batch(root, store, QUICK) as batch:
            batch.walking.add()
            await batch.finished.when()
        assert batch.tally.found == 30
        assert batch.tally.outcomes["stored"] == stored


# The walk.


def test_the_walk_leaves_tools_caches_and_environments_alone(tmp_path: Path) -> None:
    for name in (".git", "__pycache__", "node_modules", "kept", "kept/.hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    for name, mark in ((".venv", "pyvenv.cfg"), ("env", "pyvenv.cfg"), (".cache", "CACHEDIR.TAG")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        (tmp_path / name / mark).touch()
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "z.sqlite").touch()
    names = [found.name for found in walk(tmp_path, lambda path: path.name == "z.sqlite")]
    assert names == ["loop", "kept/file", "kept/.hidden/file"]


def test_a_name_that_is_no_text_is_shown_with_escapes(tmp_path: Path) -> None:
    for name in (b"bad\xff", b"new\nline", "größe".encode()):
        try:
            (tmp_path / os.fsdecode(name)).touch()
        except OSError:
            pytest.skip("this file system wants text")
    assert sorted(found.name for found in walk(tmp_path, lambda _: False)) == [
        "bad\\xff",
        "größe",
        "new\\nline",
    ]


async def test_a_name_that_is_no_text_is_stored(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    try:
        (root / os.fsdecode(b"bad\xff")).write_text("content")
    except OSError:
        pytest.skip("this file system wants text")
    assert (await process(root)).tally.outcomes == {"stored": 1}


# The store.


async def test_many_hand_in_and_one_writes_for_all(tmp_path: Path) -> None:
    async with Store(tmp_path / "x.sqlite", tmp_path) as store, anyio.create_task_group() as group:
        for number in range(200):
            file = Found(str(number), tmp_path, 0, 0, 0)
            group.start_soon(store.put, file, Outcome("skipped", 0, "why"))
    assert len(rows(tmp_path / "x.sqlite")) == 200


async def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE files (precious)")
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError, match="something else"):
        async with Store(path, tmp_path, fresh=True):
            pass
    assert path.read_bytes() == before


# What it looks like.


async def test_the_table_and_the_lines_show_states_clocks_and_reasons(folder: Path) -> None:
    (folder / "large").write_bytes(bytes(100_000))
    for width in (80, 140):
        with (folder.parent / f"{width}.txt").open("w+") as out:
            console = Console(file=out, width=width, force_terminal=True, color_system=None)
            async with Store(folder.parent / f"{width}.sqlite", folder) as store:
                rules = Rules(max_size=50_000, fail_rate=0.2, backoff=0.001)
                async with Batch(folder, store, rules) as batch:
                    with Plain(batch, out), Table(batch, out, slots=3, console=console):
                        batch.walking.add()
                        await batch.finished.when()
            out.seek(0)
            shown = out.read()
        assert "finished:1" in shown
        assert "31/31 files" in shown
        assert "skipped large: ReadingEnter (FileFlow.is_small_enough) said no" in shown
        assert "retrying" in shown
        assert all(
            len(line) <= width for line in shown.splitlines() if "\x1b" not in line and "/root, 8" not in line
        )
        assert ("discovered" in shown) == (width == 140)


# The command.


def demo(*words: object) -> int:
    return main(["demo", *map(str, words)])


def test_the_summary_is_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "large").write_bytes(bytes(10_000))
    words = (folder, "--database", folder.parent / "x.sqlite", "--max-size", "5K", "--json", "--fail-rate", 0)
    assert demo(*words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["ended"] == "finished"
    assert (summary["found"], summary["stored"], summary["skipped"], summary["failed"]) == (31, 30, 1, 0)
    assert summary["reasons"] == {"ReadingEnter (FileFlow.is_small_enough) said no": 1}
    assert summary["clock"]["finished"] == 1
    assert demo(*words) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 30
    assert demo(*words, "--fresh") == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 0


def test_without_a_terminal_it_prints_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "large").write_bytes(bytes(10_000))
    assert demo(folder, "--database", folder.parent / "x.sqlite", "--max-size", 5000, "--fail-rate", 0) == 0
    out, err = capsys.readouterr()
    assert "skipped large: ReadingEnter (FileFlow.is_small_enough) said no\nfinished: 31 files" in out
    assert "\033" not in out
    assert err == ""


def test_a_file_that_fails_shows_in_the_exit_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (folder, "--database", folder.parent / "x.sqlite", "--backoff", 0.001)
    assert demo(*words, "--fail-rate", 1, "--tries", 2) == 1
    assert "failed        30" in capsys.readouterr().out
    assert demo(*words) == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["nowhere"], 2, "nowhere is not there"),
        ([".", "--database", "nowhere/x.sqlite"], 1, "unable to open database file"),
        ([".", "--database", "text"], 1, "not a database"),
    ],
)
def test_misuse_is_a_sentence(
    words: list[str],
    status: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no database, but a text that is long enough to be sure of it\n" * 20)
    assert demo(*words) == status
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--jobs=0", "--max-size=much", "--fail-rate=2", "--pace=-1", "--tries=x"])
def test_an_option_that_makes_no_sense_is_misuse(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        demo(option)
    assert end.value.code == 2
    assert option.partition("=")[0] in capsys.readouterr().err


def test_the_default_database_is_not_for_git_and_not_in_the_walk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fnmatch import fnmatch

    from amachine.tools.demo.command import DATABASE

    ignored = (Path(__file__).parents[1] / ".gitignore").read_text().split()
    assert any(fnmatch(DATABASE, pattern) for pattern in ignored)
    monkeypatch.chdir(folder)
    for expected in (0, 30):
        assert demo("--json") == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["found"], summary["kept"]) == (30, expected)


# What ends a run from outside. These start processes: nothing else has a kill -9.


def command(*words: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "amachine", "demo", *map(str, words), "--json"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(amachine.__file__).parents[1])}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_everything_and_the_summary_is_printed(folder: Path, number: signal.Signals) -> None:
    database = folder.parent / "x.sqlite"
    words = [
        *command(folder, "--database", database, "--pace", 0.05, "--jobs", 2)[:-1],
        "--plain",
        "--fail-rate",
        "1",
    ]
    run = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("retrying"):
            break
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert "interrupted: " in out
    assert "run it again to go on" in out
    assert err == ""


KILLED = """
import os, random, signal, sys, anyio
from pathlib import Path
from amachine import Tracer, any_of
from amachine.tools.demo import Batch, Rules, Store

class Killer(Tracer):
    inheritable = True
    left = int(sys.argv[3])
    def transition_ended(self, machine, transition):
        Killer.left -= 1
        if Killer.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    root, database = Path(sys.argv[1]), Path(sys.argv[2])
    async with Store(database, root) as store:
        async with Batch(root, store, Rules(fail_rate=0.1, backoff=0.001), tracers=[Killer()]) as batch:
            batch.walking.add()
            await any_of(batch.finished.when(), batch.when_error())
        print(batch.tally.kept, *batch.tally.outcomes.elements())

anyio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_killed_runs_resume_and_lose_nothing(folder: Path) -> None:
    """Killed after a random transition of any of its machines, again and again, it ends with the very same rows."""
    undisturbed, disturbed = folder.parent / "undisturbed.sqlite", folder.parent / "disturbed.sqlite"

    def run(database: Path, transitions: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-W", "error", "-c", KILLED, str(folder), str(database), str(transitions)]
        return subprocess.run(
            words, capture_output=True, text=True, timeout=120, check=False, env=environment()
        )

    assert run(undisturbed, 0).stdout == f"0{' stored' * 30}\n"
    dice = random.Random(20)
    done = 0
    for _ in range(CRASHES):
        killed = run(disturbed, dice.randrange(1, 120))
        assert killed.returncode == -signal.SIGKILL
        if disturbed.exists():  # what was there is there
            try:
                stored = len(rows(disturbed))
            except sqlite3.OperationalError:  # killed before the table was made
                stored = 0
            assert stored >= done
            done = stored
    last = run(disturbed, 0)
    assert last.returncode == 0, last.stderr
    assert last.stdout == f"{done}{' stored' * (30 - done)}\n"
    assert rows(disturbed) == rows(undisturbed)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_the_command_killed_at_any_moment_resumes(folder: Path) -> None:
    """As above, but by the clock: also in the middle of a write, and on the command itself."""
    dice = random.Random(4)
    for number in range(CRASHES):
        disturbed = folder.parent / f"{number}.sqlite"
        words = command(folder, "--database", disturbed, "--pace", 0.01, "--backoff", 0.01, "--seed", number)
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
        try:
            run.communicate(timeout=dice.uniform(0.3, 1.2))
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
        resumed = subprocess.run(words, capture_output=True, timeout=120, check=True, env=environment())
        summary = json.loads(resumed.stdout)
        assert summary["ended"] == "finished"
        assert summary["kept"] + summary["stored"] == 30
        assert (
            demo(folder, "--database", folder.parent / f"whole{number}.sqlite", "--seed", number, "--json")
            == 0
        )
        assert rows(disturbed) == rows(folder.parent / f"whole{number}.sqlite")
