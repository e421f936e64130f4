"""Each measurement runs and yields a ratio. What it measures is nobody's business here: no time is asserted."""

from __future__ import annotations

import json
import math

import pytest

pytest.importorskip(
    "transitions", reason="measurements beside transitions need it: pip install 'amachine[bench]'"
)

from bench import __main__ as bench
from bench.measure import Effort, Row, Target, ruled

TINY = Effort(rounds=2, scale=0.02)


@pytest.mark.parametrize("names", bench.SOURCES)
def test_a_source_yields_the_rows_that_it_names_each_with_a_ratio(names: str) -> None:
    rows = list(bench.SOURCES[names](TINY))
    assert [row.name for row in rows] == names.split()
    for row in rows:
        assert all(
            math.isfinite(value) and value > 0 for value in (row.ours, row.theirs, row.ratio, row.of_best)
        )
        assert row.target
        assert all(bench.line(row)[:-1])


def test_data_has_every_row_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["flip", "v*", "--json", "--rounds", "1", "--scale", "0.02"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["rows"]] == ["flip", "veto"]
    assert len(found["published"]) == 5


def test_the_table_has_a_line_for_each_row_and_the_published_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench.main(["toggle", "--rounds", "1", "--scale", "0.02"])
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if " × " in line] == ["toggle"]
    assert "XState" in shown


def test_an_unknown_row_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(["togle"])
    assert "togle; there are: toggle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "ratio", "met"),
    [(Target(least=2), 3.0, True), (Target(most=2), 1 / 3, True), (Target(least=4), 3.0, False)],
)
def test_a_ratio_says_how_much_faster_or_what_it_costs(target: Target, ratio: float, met: bool) -> None:
    row: Row = ruled("row", "work", "beside", [1.0, 2.0], [3.0, 6.0], "s", target)
    assert row.ratio == pytest.approx(ratio)
    assert row.met is met
