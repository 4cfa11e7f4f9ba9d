"""The report as it is told and kept: findings with what was accepted of them, names for people, and its JSON.

The published schema of it is made of these types (schema.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec.structs import replace

from shared.bypass.entries import role_key
from shared.bypass.finding import Finding, Report, Severity, State, Unread, Verdict, Way
from shared.bypass.scopes import canonical
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.wording import severity_rank

AllowanceStatus = Literal["used", "expired", "exceeded", "unused"]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_WAYS: Final = {way: at for at, way in enumerate(get_args(Way))}
_THINGS: Final = frozenset({"resource", "federatedCredential"})
"""Types of what findings are about where they are not about a principal."""


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who answers for a finding that stays open, why, and until when."""

    owner: str
    reason: str
    until: date
    severity: Severity | None = None
    """The worst that is accepted; None where nobody said."""
    state: State | None = None
    """The nearest to a call that is accepted; None where nobody said."""


class ReportedFinding(Finding, frozen=True, kw_only=True, rename="camel"):
    """A finding, and whether somebody accepted it."""

    accepted: Acceptance | None = None


class Allowance(Acceptance, frozen=True, kw_only=True, rename="camel"):
    """An entry of the file of accepted findings, and what became of it."""

    id: str
    status: AllowanceStatus


class Gate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The gate that stands before the target, as far as the snapshot names it."""

    principal_id: str | None = None
    site_id: str | None = None
    site_read: bool = False
    """Whether the site itself is in the snapshot, with its identities, its sign-in and where its code lies."""


class BypassReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who can reach a model around its gate."""

    # Nothing that is decided by has a default: a file that was cut short is no report with nothing in it.
    version: Literal[1]
    verdict: Verdict
    target: str
    gate: Gate | None
    collected: _Moment | None = None
    """When the snapshot says that it was read; None where it does not, and in reports from before this was told."""
    judged: _Moment
    after_commands: int | None
    """How many commands the snapshot was changed by before it was judged; None for one as it was read."""
    unread: tuple[Unread, ...]
    allowances: tuple[Allowance, ...]
    findings: tuple[ReportedFinding, ...]
    names: Mapping[str, str]


class ReportFault(Exception):
    """What was given is no report of this version; the message says why."""


def publish(
    report: Report,
    snapshot: Snapshot,
    *,
    now: datetime,
    allowances: Iterable[Allowance] = (),
    after_commands: int | None = None,
) -> BypassReport:
    """Return `report`, the judgement of `snapshot` at the time `now`, with findings in the order in which they are told.

    With `after_commands` the snapshot is what so many commands would leave, and the report says so.
    """
    fields = Finding.__struct_fields__
    made = BypassReport(
        version=1,
        verdict=report.verdict,
        target=report.target,
        gate=_gate(snapshot),
        collected=snapshot.collected,
        judged=now,
        after_commands=after_commands,
        unread=report.unread,
        allowances=(),
        findings=tuple(
            ReportedFinding(**{field: getattr(finding, field) for field in fields})
            for finding in sorted(report.findings, key=_order)
        ),
        names=_names(report.findings, snapshot),
    )
    return allowed(made, allowances)


def allowed(report: BypassReport, allowances: Iterable[Allowance]) -> BypassReport:
    """Return `report` with just those findings accepted that one of `allowances` with status `used` names."""
    allowances = tuple(allowances)
    accepted = {
        entry.id: Acceptance(
            owner=entry.owner,
            reason=entry.reason,
            until=entry.until,
            severity=entry.severity,
            state=entry.state,
        )
        for entry in allowances
        if entry.status == "used"
    }
    return replace(
        report,
        allowances=allowances,
        findings=tuple(
            replace(finding, accepted=accepted.get(finding.id))
            if finding.accepted is not None or finding.id in accepted
            else finding
            for finding in report.findings
        ),
    )


def counting(findings: Iterable[ReportedFinding], fail_on: Severity) -> int:
    """Return how many of `findings` are at or above `fail_on` and accepted by nobody."""
    bar = severity_rank(fail_on)
    return sum(finding.accepted is None and severity_rank(finding.severity) <= bar for finding in findings)


def principals(findings: Iterable[Finding]) -> int:
    """Return how many principals `findings` are about; a resource or a federated credential is none."""
    return len({one.principal.id for one in findings if one.principal.type not in _THINGS})


def unproven(report: BypassReport) -> bool:
    """Say whether there may be more than the report has: something could not be read."""
    return bool(report.unread) or report.verdict == "not-proven"


def to_json(value: msgspec.Struct) -> str:
    """Return the JSON text of a report or a comparison, in ASCII: no name in it can steer a terminal."""
    return json.dumps(msgspec.to_builtins(value), indent=2) + "\n"


def from_json(value: object) -> BypassReport:
    """Return the report that `value`, a decoded JSON text, is; raise ReportFault, also for one of what would be."""
    try:
        found = msgspec.convert(value, BypassReport)
    except msgspec.ValidationError as error:
        raise ReportFault(str(error)) from error
    if found.after_commands is not None:
        raise ReportFault("this is a report of what would be (--what-if), not of what is")
    return found


def _order(finding: Finding) -> tuple[int, int, str, str]:
    called = finding.principal.display_name or finding.principal.id
    return severity_rank(finding.severity), _WAYS[finding.way], called.casefold(), finding.id


def _gate(snapshot: Snapshot) -> Gate | None:
    gate = snapshot.gate
    if gate.principal is None and gate.site is None:
        return None
    read = any(canonical(str(item.get("id"))) == gate.site for item in snapshot.related)
    return Gate(principal_id=gate.principal, site_id=gate.site, site_read=read)


def _names(findings: Iterable[Finding], snapshot: Snapshot) -> dict[str, str]:
    """Return what the groups and role definitions that `findings` name are called, by the ids as they stand there."""
    found: dict[str, str | None] = {}
    for finding in findings:
        for group in finding.via:
            if group not in found:
                found[group] = snapshot.directory.name_of(fold(group))
        for grant in finding.grants:
            role = grant.role_definition_id
            if role not in found:
                definitions = snapshot.definitions.get(role_key(role), ())
                found[role] = next((one.name for one in definitions if one.name), None)
    return {id_: name for id_, name in sorted(found.items()) if name is not None}
