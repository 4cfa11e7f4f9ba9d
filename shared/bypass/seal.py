"""The seal: a deny assignment that takes the ways to the target from everybody but the gate and an emergency group.

It wins over every role, Owner included. It is printed, never made: user-assigned deny assignments are a preview, what they
deny is limited, and only a call that is refused proves that scoring obeys them (protocols 8.6, 9.1).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from shared.bypass.actions import REACHES, Kind, Place
from shared.bypass.changes import PutDeny, command, is_plain, text
from shared.bypass.directory import Directory
from shared.bypass.entries import EVERYONE, PrincipalType
from shared.bypass.fields import SnapshotFault
from shared.bypass.finding import Finding, Way
from shared.bypass.snapshot import Snapshot
from shared.bypass.spelling import fold
from shared.bypass.ways import resources
from shared.bypass.ways.case import Case, case
from shared.bypass.wording import counted

STATE: Final = (
    "Preview. The subscription needs the feature UserAssignedDenyAssignment; a stable version of the interface is "
    "published, and whether that still needs it is not known. Reads and data actions cannot be denied. It takes up to half "
    "an hour to count, and Owners and User Access Administrators can remove it."
)
PROOF: Final = (
    "Sign in as somebody who is neither the gate nor in the emergency group and holds a role that permits this. Only a "
    "refusal with 401 or 403 proves the seal. Repeat it after every change of roles."
)
_SEALED: Final[frozenset[Way]] = frozenset({"invoke", "keys", "change-resource"})
_BROAD: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.ONLINE: "Scoring, keys, tokens, and changes to the endpoint and its deployments.",
        Kind.BATCH: "Jobs, keys, and changes to the endpoint and its deployments.",
        Kind.ACCOUNT: "Keys and changes to the account. Inference is a data action and cannot be denied.",
    }
)


class Seal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The deny assignment, and what to know of it."""

    denies: str
    command: str
    caution: str | None
    """What is wrong with the emergency group, as far as it is known: nobody in it, or who should not be."""
    state: str = STATE
    canary: tuple[str, ...]
    """Commands whose refusal proves it."""
    proof: str = PROOF


def seal(snapshot: Snapshot, *, emergency_group: str, findings: Iterable[Finding] = ()) -> Seal:
    """Return the seal of the snapshot's target that leaves out the gate and the group with the object id `emergency_group`.

    `findings` are what was found about the snapshot: who of them is in the group goes on as before, which is cautioned of.
    Raise SnapshotFault where the gate's identity is not known: it would be sealed off with everybody else.
    """
    about = case(snapshot)
    gate = snapshot.gate.principal
    if gate is None:
        raise SnapshotFault("gate.principalId", "is missing: a seal without it would keep the gate out too")
    properties = {
        "denyAssignmentName": f"Groupgate seal of {resources.name_of(about.target)}",
        "description": "Nobody but the gate and the emergency group reaches this target.",
        "denyAssignmentEffect": "enforced",
        "permissions": [
            {"actions": _actions(about), "notActions": [], "dataActions": [], "notDataActions": []}
        ],
        "principals": [{"id": EVERYONE, "type": "SystemDefined"}],
        "excludePrincipals": [
            {"id": gate, "type": "ServicePrincipal"},
            {"id": emergency_group, "type": "Group"},
        ],
        "doNotApplyToChildScopes": False,
    }
    change = PutDeny(about.target, text(properties))
    if not is_plain(change):
        raise SnapshotFault("target.id", "is not an id that a command may hold: there is no seal for it")
    return Seal(
        denies=_BROAD[about.kind],
        command=command(change),
        caution=" ".join(_cautions(snapshot.directory, fold(emergency_group), findings)) or None,
        canary=_canary(about),
    )


def _cautions(directory: Directory, group: str, findings: Iterable[Finding]) -> Iterator[str]:
    """Yield why nobody may be able to act in an emergency, and how many of `findings` the seal would not end."""
    if not directory.is_group(group):
        yield f"That {group} is a group with people in it is not in the snapshot: look first, or everybody may be sealed out."
        return
    members = {member for member, _ in directory.expand(group)}
    if all(directory.type_of(member) is not PrincipalType.USER for member in members):
        yield f"No user is known to be in {directory.name_of(group) or group}: look first, or everybody may be sealed out."
    reaching = members & {
        fold(finding.principal.id)
        for finding in findings
        if finding.way in _SEALED and finding.severity != "low"
    }
    if reaching:
        reach = (
            "reaches the model today and stays" if len(reaching) == 1 else "reach the model today and stay"
        )
        yield f"{counted(len(reaching), 'member')} of this group {reach} outside the seal."


def _actions(about: Case) -> list[str]:
    return sorted(
        {
            reach.action
            for reach in REACHES[about.kind]
            if reach.way in _SEALED and reach.place is Place.TARGET and not reach.is_data
        }
    )


def _canary(about: Case) -> tuple[str, ...]:
    if about.kind is Kind.ACCOUNT:
        _, _, subscription, _, group, *_, name = about.target.split("/")
        words = ("cognitiveservices", "account", "keys", "list", "--subscription", subscription)
        return (shlex.join(("az", *words, "--resource-group", group, "--name", name)),)
    address = shlex.quote(resources.text(about.snapshot.target, "scoringUri") or "SCORING-URI")
    headers = '--header "Authorization: Bearer $TOKEN" --header "Content-Type: application/json"'
    return (
        "TOKEN=$(az account get-access-token --resource https://ml.azure.com --query accessToken --output tsv)",
        f'curl --silent --output /dev/null --write-out "%{{http_code}}\\n" {headers} --data "{{}}" {address}',
    )
