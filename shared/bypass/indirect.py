"""The table of ways, continued: by rights, by deny assignments, and through the gate itself (protocols 8.6 and 8.7)."""

from __future__ import annotations

from typing import Final

import msgspec

from shared.bypass.actions import Place, Reach
from shared.bypass.finding import Severity

_WEB: Final = "Microsoft.Web/sites/"
_AUTHORIZATION: Final = "Microsoft.Authorization/"
_MANAGED: Final = "Microsoft.ManagedIdentity/userAssignedIdentities/"
_STORE: Final = "Microsoft.Storage/storageAccounts/"


def _site(action: str, says: str, mark: str, *, severity: Severity | None = None) -> Reach:
    return Reach(
        way="take-gate", action=_WEB + action, says=says, mark=mark, place=Place.SITE, severity=severity
    )


def _store(action: str, *, is_data: bool = False) -> Reach:
    return Reach(
        way="take-gate",
        action=_STORE + action,
        says="write the package that the gate runs",
        mark="E RB11 / D",
        place=Place.STORAGE,
        is_data=is_data,
    )


ASSIGN_ROLES: Final = Reach(
    way="grant", action=f"{_AUTHORIZATION}roleAssignments/write", says="assign roles", mark="V RB2, FO4"
)
SCHEDULE_ROLES: Final = tuple(
    Reach(
        way="grant",
        action=f"{_AUTHORIZATION}{action}/write",
        says="assign roles through Privileged Identity Management",
        mark="D",
    )
    for action in ("roleAssignmentScheduleRequests", "roleEligibilityScheduleRequests")
)
DEFINE_ROLES: Final = Reach(
    way="grant",
    action=f"{_AUTHORIZATION}roleDefinitions/write",
    says="change what a role in use permits",
    mark="V RB2, RB9",
)
ELEVATE: Final = Reach(
    way="grant",
    action=f"{_AUTHORIZATION}elevateAccess/action",
    says="take the right to assign roles everywhere",
    mark="V RB2",
    place=Place.TENANT,
)
LIFT: Final = (
    Reach(
        way="remove-deny",
        action=f"{_AUTHORIZATION}denyAssignments/delete",
        says="delete a deny assignment",
        mark="V RB2 / D",
        place=Place.DENY,
    ),
    Reach(
        way="remove-deny",
        action=f"{_AUTHORIZATION}denyAssignments/write",
        says="rewrite a deny assignment",
        mark="V RB6 / D",
        place=Place.DENY,
    ),
)
"""For deny assignments that people made."""
LIFT_PROTECTED: Final = (
    Reach(
        way="remove-deny",
        action="Microsoft.Resources/deploymentStacks/manageDenySetting/action",
        says="change the deployment stack that denies",
        mark="D",
        place=Place.DENY,
    ),
)
"""For those that Azure made: nobody deletes them directly."""

_APP: Final = (
    _site("write", "change the gate's site", "E RB11 / D"),
    _site("config/write", "change the gate's settings and its sign-in", "E RB11 / D"),
    _site("config/list/action", "read the gate's settings and publishing credentials", "E RB11 / D"),
    _site("publishxml/action", "read the gate's publishing profile", "E RB11 / D"),
    _site("publish/action", "publish code to the gate", "E RB11 / D"),
    _site("host/listkeys/action", "list the gate's host keys", "E RB11 / D"),
    _site("host/systemkeys/write", "set the gate's host keys", "E RB11 / D"),
    _site("functions/write", "change the gate's functions", "E RB11 / D"),
    _site("hostruntime/host/action", "add functions to the gate", "E RB11 / D"),
    _site("extensions/write", "deploy to the gate", "E RB11 / D"),
    _site("extensions/api/action", "deploy to the gate", "E RB11 / D"),
    _site("siteextensions/write", "add extensions to the gate", "E RB11 / D"),
    _site("sourcecontrols/write", "change where the gate's code is from", "E RB11 / D"),
    _site("deployments/write", "deploy to the gate", "E RB11 / D"),
    _site("continuouswebjobs/start/action", "run jobs of the gate", "E RB11 / D"),
    _site("triggeredwebjobs/run/action", "run jobs of the gate", "E RB11 / D"),
    _site("basicPublishingCredentialsPolicies/write", "open SCM and FTP of the gate", "E RB11 / D"),
    _site("basicPublishingCredentialsPolicies/scm/write", "open SCM of the gate", "E RB11 / D"),
    _site("basicPublishingCredentialsPolicies/ftp/write", "open FTP of the gate", "E RB11 / D"),
    _site("newpassword/action", "renew the gate's publishing credentials", "E RB11 / D"),
    _site("backups/restore/action", "restore other code to the gate", "E RB11 / D"),
    _site("restore/write", "restore other code to the gate", "E RB11 / D"),
    _site("restorefrombackupblob/action", "restore other code to the gate", "D"),
    _site("restoresnapshot/action", "restore other code to the gate", "D"),
    _site("restorefromdeletedapp/action", "restore other code to the gate", "D"),
    _site("slotsswap/action", "swap the gate's slots", "E RB11 / D"),
    _site("applySlotConfig/action", "give the gate the settings of a slot", "D"),
    # Azure lists these two as reads; that a Reader is given the key has been closed, which nothing here can prove.
    _site("hostruntime/host/_master/read", "read the gate's master key", "E RB11", severity="low"),
    _site("functions/masterkey/read", "read the gate's master key", "E RB11", severity="low"),
)
_SITE: Final = (
    *_APP,
    # What is done to a slot comes to the gate when they are swapped, and a slot's code may have the gate's identity.
    *(
        msgspec.structs.replace(
            reach, action=reach.action.replace(_WEB, f"{_WEB}slots/"), says=f"{reach.says}, in a slot"
        )
        for reach in _APP
        if reach.severity is None
    ),
)
GATE: Final = (
    *_SITE,
    # Code of another app that has the identity is the gate before the target.
    *(
        msgspec.structs.replace(
            reach, place=Place.BEARER, says="change another app that has the gate's identity"
        )
        for reach in _SITE
        if reach.severity is None
    ),
    Reach(
        way="take-gate",
        action=f"{_MANAGED}assign/action",
        says="give the gate's identity to a machine of its own",
        mark="E RB11",
        place=Place.IDENTITY,
    ),
    Reach(
        way="take-gate",
        action=f"{_MANAGED}federatedIdentityCredentials/write",
        says="let tokens from elsewhere stand for the gate's identity",
        mark="E RB11",
        place=Place.IDENTITY,
    ),
    *(
        _store(action)
        for action in (
            "write",
            "listKeys/action",
            "regeneratekey/action",
            "listAccountSas/action",
            "listServiceSas/action",
            # By SFTP, from another account, or back to how it was.
            "localUsers/write",
            "localUsers/listKeys/action",
            "localUsers/regeneratePassword/action",
            "objectReplicationPolicies/write",
            "restoreBlobRanges/action",
        )
    ),
    *(
        _store(action, is_data=True)
        for action in (
            "blobServices/containers/blobs/write",
            "blobServices/containers/blobs/add/action",
            "blobServices/containers/blobs/move/action",
            "blobServices/containers/blobs/runAsSuperUser/action",
            # Off the Flex Consumption plan the code may lie in a file share.
            "fileServices/fileshares/files/write",
            "fileServices/fileshares/files/modifypermissions/action",
            "fileServices/fileshares/files/actassuperuser/action",
            "fileServices/writeFileBackupSemantics/action",
            "fileServices/takeOwnership/action",
        )
    ),
)
"""What takes the gate over."""
