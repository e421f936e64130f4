"""For tests of machines: what a schema can reach, paths to walk, assertions that tell the story, time that does not pass.

Names are loaded when they are first used: pytest, Hypothesis and trio are needed only by the parts that are about them.
"""

from typing import TYPE_CHECKING

from amachine._later import later

if TYPE_CHECKING:
    from amachine.exploring import Edge, Exploration, Move, Reached, explore
    from amachine.findings import Finding, Findings, Severity
    from amachine.linting import lint
    from amachine.testing.assertions import (
        assert_active,
        assert_error,
        assert_executed,
        assert_inactive,
        assert_no_error,
        assert_refused,
        assert_waits,
    )
    from amachine.testing.clock import hold_clock, run, virtual_clock, virtual_time
    from amachine.testing.fixtures import Machines
    from amachine.testing.stories import recorder_of, recording, story
    from amachine.testing.strategies import MachineModel, mutations, schemas
    from amachine.testing.walking import Path, Stage, check_paths, paths, perform, walk

__all__ = [
    "Edge",
    "Exploration",
    "Finding",
    "Findings",
    "MachineModel",
    "Machines",
    "Move",
    "Path",
    "Reached",
    "Severity",
    "Stage",
    "assert_active",
    "assert_error",
    "assert_executed",
    "assert_inactive",
    "assert_no_error",
    "assert_refused",
    "assert_waits",
    "check_paths",
    "explore",
    "hold_clock",
    "lint",
    "mutations",
    "paths",
    "perform",
    "recorder_of",
    "recording",
    "run",
    "schemas",
    "story",
    "virtual_clock",
    "virtual_time",
    "walk",
]

__getattr__, __dir__ = later(
    __name__,
    {
        "amachine.exploring": ("Edge", "Exploration", "Move", "Reached", "explore"),
        "amachine.findings": ("Finding", "Findings", "Severity"),
        "amachine.linting": ("lint",),
        ".assertions": (
            "assert_active",
            "assert_error",
            "assert_executed",
            "assert_inactive",
            "assert_no_error",
            "assert_refused",
            "assert_waits",
        ),
        ".clock": ("hold_clock", "run", "virtual_clock", "virtual_time"),
        ".fixtures": ("Machines",),
        ".walking": ("Path", "Stage", "check_paths", "paths", "perform", "walk"),
        ".stories": ("recorder_of", "recording", "story"),
        ".strategies": ("MachineModel", "mutations", "schemas"),
    },
)
