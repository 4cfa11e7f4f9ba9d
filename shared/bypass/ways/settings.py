"""Findings about resources and not about people: keys that are taken, networks, the gate's own sign-in and credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from shared.bypass.actions import SEVERITY, Kind
from shared.bypass.changes import Change, DeleteFederated, SetProperty, command, is_plain
from shared.bypass.fields import Fields
from shared.bypass.finding import Finding, Principal, Severity, State, Way
from shared.bypass.spelling import fold
from shared.bypass.visible import bare, quoted
from shared.bypass.ways import resources
from shared.bypass.ways.case import Case, Keys
from shared.bypass.ways.merging import identity
from shared.bypass.ways.resources import Resource

ML_VERSION: Final = "2025-12-01"
AI_VERSION: Final = "2025-09-01"
WEB_VERSION: Final = "2025-05-01"
_SIGN_IN: Final = "authsettingsv2"
_TRUSTED: Final = ("issuer", "subject", "audiences", "claimsMatchingExpression")
"""What a federated credential says of whom it trusts."""


def findings(case: Case) -> Iterator[Finding]:
    """Yield what the settings of the target and of the gate leave open."""
    if case.keys is Keys.TAKEN:
        yield _keys(case)
    yield from _network(case)
    yield from _sign_in(case)
    yield from _federated(case)


def _keys(case: Case) -> Finding:
    fields = Fields(case.snapshot.target, "target")
    if case.kind is Kind.ACCOUNT:
        return _finding(
            case,
            "auth-mode",
            case.target,
            "disableLocalAuth is not true: whoever holds a key of the account gets answers, role or no role.",
            change=SetProperty(case.target, AI_VERSION, "disableLocalAuth", "true"),
        )
    mode = fields.maybe("authMode") or fields.maybe("auth_mode")
    said = f"authMode is {bare(mode or '')}: whoever holds a key or a token of the endpoint gets answers, role or no role."
    managed = fold(resources.text(case.snapshot.target, "kind") or "managed") == "managed"
    if case.kind is Kind.ONLINE and not managed:
        return _finding(
            case, "auth-mode", case.target, f"{said} Only managed endpoints can be asked for AADToken."
        )
    return _finding(
        case,
        "auth-mode",
        case.target,
        said,
        change=SetProperty(case.target, ML_VERSION, "authMode", "AADToken"),
    )


def _network(case: Case) -> Iterator[Finding]:
    """Yield whether the target, or the workspace of a batch endpoint, answers the public internet."""
    item: Resource = case.snapshot.target
    written = case.target
    version = AI_VERSION if case.kind is Kind.ACCOUNT else ML_VERSION
    if case.kind is Kind.BATCH:
        item = case.related.get(case.parent, {})
        written = resources.text(item, "id") or case.parent
    access = resources.text(item, "publicNetworkAccess") or resources.text(item, "public_network_access")
    if access is not None and fold(access) == "disabled":
        return
    if resources.text(item, "networkAcls", "defaultAction") == "Deny":
        if not resources.value(item, "networkAcls", "ipRules"):
            return
        said = "Answers the public addresses that its network rules name."
    elif access is None and not isinstance(item.get("properties"), dict):
        said = "Whether it answers the public internet was not read."
    else:
        # Where nothing is said Azure answers everybody.
        said = "Answers the public internet."
    state: State = "conditional" if access is None or fold(access) != "enabled" else "active"
    change = SetProperty(written, version, "publicNetworkAccess", "Disabled")
    yield _finding(case, "network", written, said, change=change, state=state)


def _sign_in(case: Case) -> Iterator[Finding]:
    for scope, item in resources.of_type(case.related, f"{resources.SITE}/config"):
        on = resources.value(item, "platform", "enabled")
        if scope == f"{case.snapshot.gate.site}/config/{_SIGN_IN}" and on is not True:
            written = resources.text(item, "id") or scope
            yield _finding(
                case,
                "take-gate",
                written,
                "App Service Authentication of the gate is off: only a gate that verifies tokens itself is sound so.",
                change=SetProperty(written, WEB_VERSION, "platform.enabled", "true"),
                severity="low",
            )


def _federated(case: Case) -> Iterator[Finding]:
    for scope, item in resources.of_type(case.related, resources.FEDERATED):
        if resources.parent_of(scope) in case.identities:
            written = resources.text(item, "id") or scope
            subject, issuer = resources.text(item, "subject"), resources.text(item, "issuer")
            yield _finding(
                case,
                "take-gate",
                written,
                f"{'somebody' if subject is None else quoted(subject)} of "
                f"{'an issuer that was not read' if issuer is None else quoted(issuer)} may stand for the gate's identity.",
                change=DeleteFederated(written),
                kind="federatedCredential",
                # Under its name it may come to trust somebody else: that is another finding, and nobody has accepted it.
                content=json.dumps({name: resources.value(item, name) for name in _TRUSTED}, sort_keys=True),
            )


def _finding(
    case: Case,
    way: Way,
    written: str,
    said: str,
    *,
    change: Change | None = None,
    state: State = "active",
    severity: Severity | None = None,
    kind: str = "resource",
    content: str = "",
) -> Finding:
    plain = change is not None and is_plain(change)
    return Finding(
        id=identity(way, fold(written) + content, case.snapshot.scope),
        severity=severity or SEVERITY[way],
        way=way,
        principal=Principal(id=written, type=kind, display_name=resources.name_of(written)),
        state=state,
        detail=said
        if change is None or plain
        else f"{said} No command is given: its id is not one that az would take.",
        fix=(command(change),) if change is not None and plain else (),
    )
