"""The script of the fixes: what must be known before anything of it is run stands above it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.bypass import fixes, fixtext, report, seal, snapshot
from shared.bypass.paths import judge
from shared.bypass.ways.case import case
from tests.unit.bypass import waysworld
from tests.unit.bypass.test_fixes import CONTRIBUTOR, EVERYTHING

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
            seal=None
            if emergency_group is None
            else seal.seal(seen, emergency_group=emergency_group, findings=told.findings),
        )
    ).splitlines()


def test_a_script_without_a_gate_says_that_it_cuts_one_off() -> None:
    """E07: above the first command, for who is not named is like anybody."""
    ungated = script({name: value for name, value in EVERYTHING.items() if name != "gate"})
    [at] = [at for at, line in enumerate(ungated) if line.startswith("# caution: No gate is named, so these")]
    assert at < next(at for at, line in enumerate(ungated) if line.startswith("az "))
    assert not any("No gate is named" in line for line in script(EVERYTHING))


def test_an_owner_who_goes_with_the_role_is_not_said_to_stay() -> None:
    """The finding has a fix of its own, which is not needed: another command takes what the owner could give."""
    lines = script({**EVERYTHING, "owners": {"analysts": ["dave"]}})
    at = lines.index("# 1 finding closed by what is for others:")
    [told] = [line for line in lines if " group-owner: " in line]
    assert told == lines[at + 1]
    number = told.rpartition("closed by command ")[2]
    step = next(index for index, line in enumerate(lines) if line.startswith(f"# {number}. for "))
    assert next(line for line in lines[step:] if line.startswith("az ")).endswith("/contributor")
    assert lines[at + 3] == "# 10 findings that no command closes by itself:"


def test_many_commands_for_one_owner_are_counted() -> None:
    """The first three are named."""
    assign = [
        {"to": "analysts", "role": CONTRIBUTOR, "at": "target", "id": f"a{number}", "type": "Group"}
        for number in range(5)
    ]
    row = {"groups": {"analysts": ["bob"]}, "owners": {"analysts": ["dave"]}, "assign": assign}
    [told] = [line for line in script(row) if " group-owner: " in line]
    assert told.endswith(": closed by commands 1, 2, 3 and 2 more")


def test_who_of_the_emergency_group_reaches_the_model_is_counted() -> None:
    """Bob and Carol, by the role of the group. Dave owns groups, which no seal denies anybody."""
    lines = script(EVERYTHING, emergency_group="analysts")
    caution = "# caution: 2 members of this group reach the model today and stay outside the seal."
    assert lines.count(caution) == 1
    row = {**EVERYTHING, "groups": {**EVERYTHING["groups"], "safe": ["dave"]}}
    assert not any("outside the seal" in line for line in script(row, emergency_group="safe"))


@pytest.mark.parametrize(("group", "warned"), [("safe", False), ("chess", True), ("nobody", True)])
def test_the_seal_is_printed_with_what_is_wrong_with_its_group(group: str, warned: bool) -> None:
    """E08: nobody comes in with a group that is empty, or that there is not."""
    row = {**EVERYTHING, "groups": {**EVERYTHING["groups"], "safe": ["dave"]}}
    lines = script(row, emergency_group=group)
    at = next(at for at, line in enumerate(lines) if "denyAssignments/" in line)
    assert lines[at - 1].startswith("# caution: ") == warned
    assert all(line.startswith("#") for line in lines[at - 1 :])
