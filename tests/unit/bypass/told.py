"""Reports to tell: findings out of few words, and names that mean harm."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.bypass.finding import Grant, Principal, Unread
from shared.bypass.report import Acceptance, Allowance, BypassReport, Gate, ReportedFinding
from tests.unit.bypass import world

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
TARGET = world.ENDPOINT
OWNER = "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
TEAM, STAFF = "6f1b2c3d-0000-4000-8000-000000000001", "6f1b2c3d-0000-4000-8000-000000000002"
ALICE = Principal(id="22222222-0000-4000-8000-000000000001", type="user", display_name="Alice Ng")
ROBOT = Principal(
    id="33333333-0000-4000-8000-000000000001", type="servicePrincipal", display_name="nightly-export"
)
ITSELF = Principal(id=TARGET, type="resource", display_name="fraud-score")
ASSIGNMENT = f"{world.SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments/a1"
ACCEPTED = Acceptance(owner="Dana Fox", reason="sealed in the safe", until=date(2026, 12, 31))

HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "an attribute's end": "\"'><img src=x onerror=alert(1)>",
    "the end of the style sheet": "</style></svg><svg onload=alert(1)>",
    "a comment": "<!-- --> --!> <![CDATA[",
    "an entity": "&lt;b&gt; &#x3c; &amp;",
    "an escape sequence": "\x1b[2J\x1b]0;owned\x07",
    "C1 controls": "\x9b31m\x85\x90",
    "new lines": "a\r\nb\nc\u2028d\u2029e",
    "a NUL and a DEL": "a\x00b\x7f",
    "a turn of direction": "\u202egro.live\u2066x\u2069\u200f",
    "nothing to see": "\u200b\u2060\ufeff\u115f\u2800\u00ad",
    "half a surrogate pair": "a\ud800b",
    "piles of accents": "Z" + "\u0300\u0489" * 40,
    "very long": "W" * 100_000,
    "a link": "[click](https://evil.example)",
    "a placeholder": "{0} {{1}}",
    "a mark of the report": "crew.  [accepted until 2099-12-31 by ciso@contoso.example]",
    "a quotation": 'x" (user 00000000-0000-0000-0000-000000000000): harmless',
}
"""Names that whoever is found may have chosen, by what is wrong with them."""


def finding(id_: str = "f1", **changes: Any) -> ReportedFinding:
    """Return a finding about alice, who may score through two groups."""
    fields: dict[str, Any] = {
        "id": id_,
        "severity": "high",
        "way": "invoke",
        "principal": ALICE,
        "via": (TEAM, STAFF),
        "grants": (
            Grant(
                assignment_id=ASSIGNMENT,
                role_definition_id=OWNER,
                scope=world.SUBSCRIPTION,
                action="*",
                since="2025-03-01T09:00:00Z",
            ),
        ),
        "state": "active",
        "detail": "May score with a token of its own.",
        "fix": (f"az role assignment delete --ids {ASSIGNMENT}",),
    }
    return ReportedFinding(**fields | changes)


def report(*findings: ReportedFinding, **changes: Any) -> BypassReport:
    """Return a report of `findings`, in which everything was read."""
    fields: dict[str, Any] = {
        "version": 1,
        "verdict": "open" if findings else "closed",
        "target": TARGET,
        "gate": Gate(principal_id="9a8b7c6d-0000-4000-8000-00000000000a"),
        "collected": NOW - timedelta(days=2),
        "judged": NOW,
        "after_commands": None,
        "unread": (),
        "allowances": (),
        "findings": findings,
        "names": {TEAM: "Fraud Team", STAFF: "All Staff", OWNER: "Owner"},
    }
    return BypassReport(**fields | changes)


def hostile(name: str) -> BypassReport:
    """Return a report in which everything that others may write is `name`."""
    principal = Principal(id=f"id {name}", type=f"user {name}", display_name=name)
    grant = Grant(assignment_id=name, role_definition_id=name, scope=name, action=name, since=name)
    accepted = Acceptance(owner=name, reason=name, until=date(2026, 12, 31))
    found = finding(
        f"f {name}", principal=principal, via=(name,), grants=(grant, grant), detail=name, fix=(name,)
    )
    itself = finding("f2", principal=ITSELF, via=(), grants=(grant,), way="network", accepted=accepted)
    return report(
        found,
        itself,
        target=f"{TARGET}{name}",
        gate=Gate(principal_id=name, site_id=name),
        unread=(Unread(what=name, why=name),),
        allowances=(Allowance(id=name, owner=name, reason=name, until=date(2026, 1, 1), status="expired"),),
        names={name: name},
    )


def many(number: int) -> BypassReport:
    """Return a report of `number` findings about as many people, all of one severity."""
    return report(
        *(
            finding(f"{at:08x}", principal=Principal(id=f"p{at}", type="user", display_name=f"Person {at}"))
            for at in range(number)
        )
    )


SAMPLE = report(
    finding("c1", severity="critical", way="auth-mode", principal=ITSELF, via=(), grants=(), fix=(), detail="authMode is Key."),
    finding("h1"),
    finding("h2", principal=ROBOT, via=(), accepted=ACCEPTED),
    finding("m1", severity="medium", way="grant", principal=ROBOT, via=(), state="eligible", detail="May assign roles."),
    finding("l1", severity="low", way="network", principal=ITSELF, via=(), grants=(), detail="Answers the public internet."),
    unread=(Unread(what="deny assignments", why="403 AuthorizationFailed"),),
    allowances=(
        Allowance(id="h2", owner="Dana Fox", reason="sealed in the safe", until=date(2026, 12, 31), status="used"),
        Allowance(id="h1", owner="Web team", reason="moves", until=date(2026, 6, 30), status="expired"),
        Allowance(id="zz", owner="Old team", reason="gone", until=date(2027, 6, 30), status="unused"),
    ),
)  # fmt: skip
"""One finding of each severity and more, with something unread and acceptances of every kind."""
