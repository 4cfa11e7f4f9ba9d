"""The JSON Schema of reports and comparisons, made of their types (docs/bypass.report.schema.json).

Its root is the report; what `--compare` prints is `#/$defs/Comparison`. Objects may gain members while `version` stays:
who reads them passes over what it does not know.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from shared.bypass.compare import Comparison
from shared.bypass.report import BypassReport

_FINDING: Final = {
    "id": "Stable: the same for the same principal, way and target in every run.",
    "severity": "How bad it is, the worst first.",
    "way": "What kind of way around the gate it is.",
    "principal": "Who can go it: a user, a group whose members are not known, an app; the target itself where it is about nobody.",
    "via": "Ids of the groups in between, the one that holds the role last. Of a `group-owner` the first is the group owned.",
    "grants": "What gives it to them.",
    "state": "Whether it is open now, under a condition that cannot be told, once activated, or once settings allow it.",
    "detail": "Sentences for people: what the principal can do.",
    "fix": "Commands that close it, the smallest first. Nothing runs them.",
    "accepted": "Who answers for it staying open; null where nobody does.",
}
_NAMES: Final = "What groups and role definitions are called, by id. Nothing is decided by a name."
_ACCEPTED: Final = {
    "owner": "Who answers for it.",
    "reason": "Why it stays open.",
    "until": "The last day (UTC) on which it is accepted.",
    "severity": "The worst severity in which it is accepted; null where nobody said.",
    "state": "The state nearest to a call in which it is accepted; null where nobody said.",
}
_EXPLAINED: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "BypassReport": {
            "version": "The version of this format.",
            "verdict": "`closed`: nothing goes around. `open`: something does. `not-proven`: not all could be read.",
            "target": "ARM id of the endpoint or account.",
            "gate": "The gate before it, as far as the snapshot names one.",
            "collected": "When the snapshot says that it was read; null where it does not.",
            "judged": "When it was judged.",
            "afterCommands": "After how many commands, not run, this would be so (--what-if); null: this is so.",
            "unread": "What could not be read: with any of this nothing is proven closed.",
            "allowances": "The file of accepted findings, entry by entry.",
            "findings": "Every way around the gate, accepted ones too, the worst first.",
            "names": _NAMES,
        },
        "ReportedFinding": _FINDING,
        "Principal": {
            "id": "Object id; ARM id of the target where the finding is about nobody.",
            "type": "user, group, servicePrincipal, or what else the directory says.",
            "displayName": "What the directory calls it. Whoever may rename it chose this text.",
        },
        "Grant": {
            "assignmentId": "Id of the role assignment, active or eligible.",
            "roleDefinitionId": "Id of the role that it assigns.",
            "scope": "Where it is made; it holds for everything below.",
            "action": "The pattern of the role that matched.",
            "since": "When it was made, as Azure tells it.",
        },
        "Acceptance": _ACCEPTED,
        "Allowance": {
            **_ACCEPTED,
            "id": "Id of the finding.",
            "status": "`used`; `expired`, or `exceeded` by a finding that has become worse than it accepts, and the finding "
            "counts again; or `unused`, for a finding that there is not.",
        },
        "Gate": {
            "principalId": "Object id of its identity, in lower case.",
            "siteId": "ARM id of its site, in lower case.",
            "siteRead": "Whether the site itself is in the snapshot; else what it is made of was not looked at.",
        },
        "Unread": {"what": "What could not be read.", "why": "Why."},
        "Comparison": {
            "version": "The version of this format.",
            "target": "ARM id of the endpoint or account.",
            "gateBefore": "The gate that the older report names.",
            "gate": "The gate that the newer one names. If it is another, nothing is proven closed.",
            "collectedBefore": "When the older snapshot says that it was read; null where it does not.",
            "collected": "When the newer one does. If that is before the older one, nothing is proven closed.",
            "judgedBefore": "When the older one was judged.",
            "judged": "When the newer one was judged.",
            "verdictBefore": "The older verdict.",
            "verdict": "The newer verdict.",
            "unreadBefore": "What could not be read then: what opened may have been open before.",
            "unread": "What could not be read now: more may have opened, and what closed is not proven closed.",
            "opened": "Findings that only the newer report has.",
            "worsened": "Findings of both that nobody accepts any more, of a higher severity, or nearer to a call. Accepted "
            "are only those whose acceptance says how bad they may become.",
            "eased": "The other way round.",
            "closed": "Findings that only the older report has.",
            "unchanged": "How many findings are the same in both.",
            "names": _NAMES,
        },
        "Change": {"before": "As the older report has it.", "after": "As the newer one has it."},
    }
)


def schema() -> bytes:
    """Return the JSON Schema of the report, as `docs/bypass.report.schema.json` holds it."""
    (root, _), parts = msgspec.json.schema_components(
        (BypassReport, Comparison), ref_template="#/$defs/{name}"
    )
    for name, members in _EXPLAINED.items():
        for member, text in members.items():
            _explain(parts[name]["properties"], member, text)
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": parts}
    return msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=2) + b"\n"


def _explain(properties: dict[str, Any], member: str, text: str) -> None:
    properties[member] = {**properties[member], "description": text}


if __name__ == "__main__":
    sys.stdout.write(schema().decode())
