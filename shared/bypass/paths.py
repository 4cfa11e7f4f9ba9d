"""Every way around the gate: a snapshot in, a report out. Pure: the same snapshot makes the same report.

**Verdict.** `open` while any finding is of medium severity or above: somebody reaches the model, or will after a change
that is theirs to make. That holds whatever else could not be read. Else `not-proven` while anything was not read, or
rests on what only a live canary proves; and `closed` when neither is the case. What is low (keys that the resource
refuses, a public network, reads) lets nobody in by itself, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, get_args

from shared.bypass.actions import Kind
from shared.bypass.changes import command
from shared.bypass.finding import Finding, Report, State, Unread, Verdict, Way
from shared.bypass.grants import Doubt
from shared.bypass.indirect import GATE
from shared.bypass.snapshot import Snapshot
from shared.bypass.visible import named
from shared.bypass.ways import direct, gate, granting, keeping, owners, settings
from shared.bypass.ways.asking import Asker
from shared.bypass.ways.bundle import SEVERITIES, Ledger, Step
from shared.bypass.ways.case import Case, Keys, case
from shared.bypass.ways.merging import Merger
from shared.bypass.ways.people import People
from shared.bypass.ways.removal import Removal

__all__ = ["judge", "verdict"]

_OPENS: Final = SEVERITIES[: SEVERITIES.index("low")]
_WAYS: Final[tuple[Way, ...]] = get_args(Way)
_CARRIED: Final[frozenset[Way]] = frozenset({"invoke", "run-elsewhere"})
"""What Azure Machine Learning itself carries out, and not Azure Resource Manager."""
_KEYS: Final[dict[Keys, State]] = {
    Keys.TAKEN: "active",
    Keys.UNTOLD: "conditional",
    Keys.REFUSED: "latent",
}


def judge(snapshot: Snapshot) -> Report:
    """Return every finding about the snapshot's target, the worst first; raise SnapshotFault for another kind of target."""
    about = case(snapshot)
    asker, people = Asker(snapshot), People(snapshot)
    steps = _steps(about, asker)
    own = gate.own(about, steps)
    ledger = Ledger(snapshot, _removal(about, asker, own))
    merger = Merger(snapshot, people, ledger)
    owning = owners.Owners(snapshot, asker, people, ledger, _worth(about, _all(steps)))

    findings = [*settings.findings(about), *owning.findings()]
    excess = gate.finding(about, own, people, ledger)
    if excess is not None:
        findings.append(excess)
    for way, found in steps.items():
        findings += merger.findings(way, found, at_best=_KEYS[about.keys] if way == "keys" else "active")
    unread = {
        *(Unread(what=entry.what, why=entry.why) for entry in snapshot.unread),
        *about.unread,
        *owning.unread(),
        *_definitions(steps),
        *_members(findings),
        *_unproven(about, asker, _worth(about, _all(steps))),
    }
    findings.sort(key=_order)
    listed = tuple(sorted(unread, key=lambda entry: (entry.what, entry.why)))
    return Report(
        verdict=verdict(findings, listed), target=about.target, findings=tuple(findings), unread=listed
    )


def verdict(findings: Iterable[Finding], unread: Sequence[Unread]) -> Verdict:
    """Return what `findings` and what was not read come to."""
    if any(finding.severity in _OPENS for finding in findings):
        return "open"
    return "not-proven" if unread else "closed"


def _steps(about: Case, asker: Asker) -> dict[Way, list[Step]]:
    """Return by way what was asked and found, deny assignments last: which of them matter the rest shows."""
    table = direct.table(about)
    found = [
        *direct.asked(about, asker, table),
        *granting.steps(about, asker, (*table, *GATE)),
        *direct.asked(about, asker, GATE),
    ]
    steps: dict[Way, list[Step]] = {}
    for step in (*found, *granting.lifting(about, asker, _worth(about, found))):
        steps.setdefault(step.reach.way, []).append(step)
    return steps


def _all(steps: dict[Way, list[Step]]) -> Iterator[Step]:
    for found in steps.values():
        yield from found


def _worth(about: Case, steps: Iterable[Step]) -> list[Step]:
    """Return those that let somebody in: not what is low, nor keys that the resource refuses."""
    return [
        step
        for step in steps
        if step.reach.severity != "low" and (step.reach.way != "keys" or about.keys is not Keys.REFUSED)
    ]


def _removal(about: Case, asker: Asker, own: gate.Own) -> Removal:
    return Removal(
        last=keeping.last(about, asker), needed=own.needed, gate_first=tuple(map(command, own.first))
    )


def _definitions(steps: dict[Way, list[Step]]) -> Iterator[Unread]:
    missing = {
        grant.role
        for step in _all(steps)
        for grants in step.answer.held.values()
        for grant in grants
        if Doubt.ROLE_DEFINITION in grant.doubts
    }
    for role in missing:
        yield Unread(what=f"role definition {role}", why="is not in the snapshot: it may permit anything")


def _members(findings: Iterable[Finding]) -> Iterator[Unread]:
    for finding in findings:
        principal = finding.principal
        if principal.type in {"group", "foreignGroup"} and finding.way != "group-owner":
            name = named(principal.id, principal.display_name)
            yield Unread(what=f"members of group {name}", why="are not all in the snapshot's directory")


def _unproven(about: Case, asker: Asker, worth: Iterable[Step]) -> Iterator[Unread]:
    """Yield the deny assignments that alone keep somebody from calling an endpoint, or from running its model elsewhere.

    Azure Machine Learning answers these itself, and whether it obeys deny assignments is not documented (8.6, 9.1).
    """
    if about.kind is Kind.ACCOUNT:
        return
    own = about.snapshot.gate.principal
    carried = [step for step in worth if step.reach.way in _CARRIED]
    found = {deny for step in carried for ids in asker.kept_out(step.answer, but=own) for deny in ids}
    for deny in found:
        yield Unread(
            what=f"deny assignment {deny}",
            why="keeps somebody from calling the endpoint only if the endpoint obeys it: a live canary must prove it",
        )


def _order(finding: Finding) -> tuple[int, int, str]:
    return SEVERITIES.index(finding.severity), _WAYS.index(finding.way), finding.principal.id
