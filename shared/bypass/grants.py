"""What an evaluation answers: grants, how they stand, and what about them cannot be told."""

from __future__ import annotations

import enum

import msgspec

from shared.bypass.conditions import Truth
from shared.bypass.denies import Bar
from shared.bypass.directory import Chain
from shared.bypass.entries import Assignment
from shared.bypass.permissions import Match


class State(enum.StrEnum):
    """How a grant stands, the strongest first."""

    ACTIVE = "active"
    CONDITIONAL = "conditional"
    """It cannot be told whether it holds: counts as able. The grant's doubts say why."""
    ELIGIBLE = "eligible"
    """Privileged Identity Management: it holds once it is activated."""


class Doubt(enum.StrEnum):
    """Why a grant cannot be told for certain."""

    CONDITION = "condition"
    """The condition, on the assignment or in the role, asks for what is not known here."""
    ROLE_DEFINITION = "role-definition"
    """The role's definition is not in the snapshot: it may permit anything."""
    PRINCIPAL = "principal"
    """The directory that was read has no such principal: deleted (and restorable), of another tenant, or not readable."""
    PRINCIPAL_TYPE = "principal-type"
    """The principal is neither a user nor a group nor a service principal."""
    MEMBERS = "members"
    """A group, and not all its members are known."""
    FOREIGN_GROUP = "foreign-group"
    """A group of another tenant."""
    DENY = "deny"
    """A deny assignment may close it: an exclusion, a condition or a management group cannot be told."""
    CLASSIC = "classic-administrator"
    """A classic administrator: retired by Azure, which a snapshot cannot prove."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One assignment by which one principal is able. Ids of assignment and role, scope and pattern as they are written."""

    principal: str
    via: Chain
    """The groups in between, from the one that the assignment names to the one that the principal is a member of."""
    assignment: str
    role: str
    scope: str
    pattern: str | None
    """The action pattern that matched, None where the role's definition is missing."""
    state: State
    doubts: frozenset[Doubt] = frozenset()
    denied_by: tuple[str, ...] = ()
    """The deny assignments that certainly take it away: such a grant is given only where it is asked for."""


class Standing(msgspec.Struct, frozen=True):
    """What holds of a principal whatever it is granted."""

    doubts: frozenset[Doubt]
    bar: Bar


class Access(msgspec.Struct, frozen=True):
    """What one principal has of one action at one scope."""

    grants: tuple[Grant, ...]
    """Those that stand."""
    denied: tuple[Grant, ...]
    """Those that deny assignments take away."""

    @property
    def able(self) -> bool:
        """Say whether the principal is able, or cannot be told not to be."""
        return bool(self.grants)

    @property
    def state(self) -> State | None:
        """Return the strongest state among the grants that stand, None for none."""
        return next((state for state in State if any(grant.state is state for grant in self.grants)), None)


def granted(assignment: Assignment, match: Match | None, condition: Truth) -> Grant:
    """Return what `assignment` grants: `match` is that of its role (None: not known), `condition` what its own comes to."""
    doubts = set()
    if match is None:
        doubts.add(Doubt.ROLE_DEFINITION)
    if condition is Truth.UNKNOWN or (match is not None and match.truth is Truth.UNKNOWN):
        doubts.add(Doubt.CONDITION)
    if assignment.role is None:
        doubts.add(Doubt.CLASSIC)
    return Grant(
        principal=assignment.principal,
        via=(),
        assignment=assignment.id,
        role=assignment.written_role,
        scope=assignment.written_scope,
        pattern=None if match is None else match.pattern,
        state=_state(eligible=assignment.eligible, doubtful=bool(doubts)),
        doubts=frozenset(doubts) if doubts else frozenset(),
    )


def given(grant: Grant, principal: str, via: Chain, standing: Standing) -> Grant:
    """Return what `grant`, held by a group that `via` begins with or by the principal itself, is to `principal`."""
    bar, doubts = standing.bar, standing.doubts
    if bar.in_doubt:
        doubts |= {Doubt.DENY}
    if not via and not doubts and not bar.denied_by:
        return grant
    doubts |= grant.doubts
    return Grant(
        principal=principal,
        via=via,
        assignment=grant.assignment,
        role=grant.role,
        scope=grant.scope,
        pattern=grant.pattern,
        state=_state(eligible=grant.state is State.ELIGIBLE, doubtful=bool(doubts)),
        doubts=doubts,
        denied_by=bar.denied_by,
    )


def _state(*, eligible: bool, doubtful: bool) -> State:
    if eligible:
        return State.ELIGIBLE
    return State.CONDITIONAL if doubtful else State.ACTIVE
