"""The script of the fixes: what must be known before anything of it is run stands above it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.bypass import fixes, fixtext, report, seal, snapshot
from shared.bypass.paths import judge
from shared.bypass.ways.case import case
from tests.unit.bypass import waysworld
from tests.unit.bypass.test_fixes import EVERYTHING

Row = dict[str, Any]


def script(row: Row, *, emergency_group: str | None = None) -> list[str]:
    """Return the lines that are printed for a world."""
    seen = snapshot.read(waysworld.document(row))
    told = report.publish(judge(seen), seen, now=datetime(2026, 7, 1, tzinfo=UTC))
    return fixtext.text(
        fixtext.Closing(
            report=told,
            wanted=told.findings,
            steps=fixes.plan(seen, told.findings),
            case=case(seen),
            seal=None if emergency_group is None else seal.seal(seen, emergency_group=emergency_group),
        )
    ).splitlines()


def test_a_script_without_a_gate_says_that_it_cuts_one_off() -> None:
    """E07: above the first command, for who is not named is like anybody."""
    ungated = script({name: value for name, value in EVERYTHING.items() if name != "gate"})
    [at] = [at for at, line in enumerate(ungated) if line.startswith("# caution: No gate is named, so these")]
    assert at < next(at for at, line in enumerate(ungated) if line.startswith("az "))
    assert not any("No gate is named" in line for line in script(EVERYTHING))


@pytest.mark.parametrize(("group", "warned"), [("analysts", False), ("chess", True), ("nobody", True)])
def test_the_seal_is_printed_with_what_is_wrong_with_its_group(group: str, warned: bool) -> None:
    """E08: nobody comes in with a group that is empty, or that there is not."""
    lines = script(EVERYTHING, emergency_group=group)
    at = next(at for at, line in enumerate(lines) if "denyAssignments/" in line)
    assert lines[at - 1].startswith("# caution: ") == warned
    assert all(line.startswith("#") for line in lines[at - 1 :])
