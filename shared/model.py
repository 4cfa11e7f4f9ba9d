"""The field's types: what passes between the parts of the gate. Pure: no I/O, no logging, no environment."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol


class Kind(enum.StrEnum):
    """What a caller is to the tenant (design, ruling "Kind")."""

    USER = "user"
    GUEST = "guest"
    APP = "app"
    UNDECIDED = "undecided"


class Effect(enum.StrEnum):
    """What a rule does when it matches."""

    ALLOW = "allow"
    DENY = "deny"


class Reason(enum.StrEnum):
    """Why a request was allowed, denied, or could not be decided. Audit and `explain` say it; callers never read it."""

    MEMBER = "member"
    PRINCIPAL_LISTED = "principal-listed"
    APP_ROLE = "app-role"
    OUTAGE_GRACE = "outage-grace"

    DENY_RULE = "deny-rule"
    NOT_MEMBER = "not-member"
    UNKNOWN_ENDPOINT = "unknown-endpoint"
    CALLER_KIND = "caller-kind"
    CLIENT_NOT_ALLOWED = "client-not-allowed"
    DEPLOYMENT_NOT_ALLOWED = "deployment-not-allowed"
    OPERATION_NOT_ALLOWED = "operation-not-allowed"
    INPUT_NOT_ALLOWED = "input-not-allowed"
    PRINCIPAL_MISSING = "principal-missing"
    PRINCIPAL_MALFORMED = "principal-malformed"
    PROVIDER_MISMATCH = "provider-mismatch"
    TENANT_MISMATCH = "tenant-mismatch"
    ISSUER_MISMATCH = "issuer-mismatch"
    AUDIENCE_MISMATCH = "audience-mismatch"
    TOKEN_INVALID = "token-invalid"  # noqa: S105 - a reason code, not a secret
    PLATFORM_AUTH_OFF = "platform-auth-off"
    PRINCIPAL_NOT_FOUND = "principal-not-found"

    GRAPH_UNAVAILABLE = "graph-unavailable"
    GRAPH_FORBIDDEN = "graph-forbidden"
    KEYS_UNAVAILABLE = "keys-unavailable"
    CREDENTIAL_UNAVAILABLE = "credential-unavailable"
    AUDIT_UNAVAILABLE = "audit-unavailable"
    MISCONFIGURED = "misconfigured"

    INVALID_REQUEST = "invalid-request"
    RATE_LIMITED = "rate-limited"
    OVERLOADED = "overloaded"


class Ambiguous(ValueError):
    """A header that may come once came more than once."""


class Headers:
    """Request headers as the host gave them: names in lower case, every value of a repeated name kept."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        values: dict[str, str | tuple[str, ...]] = {}
        for name, value in pairs:
            lower = name.lower()
            seen = values.get(lower)
            if seen is None:
                values[lower] = value
            else:
                values[lower] = (*((seen,) if isinstance(seen, str) else seen), value)
        self._values: Final = values

    def get(self, name: str) -> str | None:
        """Return the one value of a lower-case `name`, None when absent; raise Ambiguous when it came twice."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise Ambiguous(name)

    def names(self) -> frozenset[str]:
        """Return the lower-case names that came."""
        return frozenset(self._values)

    def joined(self, name: str) -> str | None:
        """Return the value of a lower-case `name`, repeated ones joined by a comma as HTTP does; None when absent."""
        value = self._values.get(name)
        return ", ".join(value) if isinstance(value, tuple) else value


class Body(Protocol):
    """The request's body, not read yet."""

    @property
    def length(self) -> int | None:
        """Return the declared Content-Length in bytes; None when none was declared."""

    @property
    def chunked(self) -> bool:
        """Say whether a body without a declared length can be read (stream mode only)."""

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise problem.AskedWrongly beyond `limit` bytes, problem.ClientClosed when cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One request as a hosting adapter gives it to the gate."""

    method: str
    route: str
    """Which of the gate's routes the host matched: a name out of hosting/routes.py, such as `score`."""
    params: Mapping[str, str]
    """Route parameters as the host decoded them."""
    query: str
    """The raw query string without its question mark."""
    headers: Headers
    body: Body
    streams: bool
    """Whether the host can send an answer on as it comes; else the gate gives it whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A verified caller. Only `shared/identity` makes one for requests."""

    tenant: str
    oid: str
    kind: Kind
    client: str | None = None
    """Application (client) id that asked for the token: `azp` or `appid`."""
    groups: frozenset[str] = frozenset()
    """Group object ids that the claims prove at `issued_at`; absence from here proves nothing."""
    app_roles: frozenset[str] = frozenset()
    issued_at: int | None = None
    """`iat`, seconds since 1970; None when the claims carry none (then group claims prove nothing)."""

    @property
    def key(self) -> tuple[str, Kind, str]:
        """Return what identifies the caller in caches: a tuple, never joined text (threat T21)."""
        return (self.tenant, self.kind, self.oid)


TargetKind = Literal["endpoint", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request wants: parsed by a backend, strict and bounded, not yet checked against the policy."""

    target: TargetKind
    name: str
    operation: str
    deployment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the policy, groups resolved to object ids."""

    id: str
    effect: Effect
    groups: frozenset[str] = frozenset()
    principals: frozenset[str] = frozenset()
    app_roles: frozenset[str] = frozenset()
    callers: frozenset[Kind]
    clients: frozenset[str] | None = None
    """Allowed `azp`/`appid`; None is every client."""
    deployments: frozenset[str] | None = None
    """Allow: what may be named (empty: none). Deny: what is denied; None is every deployment and none named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How old a membership answer may be, in seconds."""

    max_age: float
    recheck_refused: float
    outage_grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What the policy says of one endpoint or model."""

    target: TargetKind
    name: str
    kind: str
    """`online`; later `batch` and `openai`."""
    url: str
    scope: str
    rules: tuple[Rule, ...]
    lifetimes: Lifetimes
    timeout: float
    """Seconds for the whole call."""
    max_body: int
    """Bytes."""
    content_types: frozenset[str]
    concurrency: int
    relay_errors: bool
    help: str | None = None
    groups: frozenset[str] = field(default=frozenset())
    """Every group that a rule of this route names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A whole loaded policy, with the digest that every audit record carries."""

    digest: str
    """SHA-256 of the file's bytes, hex."""
    routes: Mapping[tuple[TargetKind, str], Route]
    groups: Mapping[str, str]
    """Group object id to its name for people."""
    warnings: tuple[str, ...] = ()


class Standing(enum.StrEnum):
    """What is known of a principal in one group."""

    IN = "in"
    OUT = "out"
    UNKNOWN = "unknown"


class Source(enum.StrEnum):
    """Where a fact of membership comes from."""

    CLAIM = "claim"
    GRAPH = "graph"
    CACHE = "cache"
    GRACE = "grace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A principal's standing in one group, with its source and age."""

    standing: Standing
    source: Source
    age: float
    """Seconds since the claim was issued or Graph answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What is known of one principal; a group that is not here is unknown."""

    facts: Mapping[str, Fact] = field(default_factory=dict)
    missing: Fact | None = None
    """Set when Graph said that the principal does not exist (404)."""

    def standing(self, group: str) -> Standing:
        """Return the standing in `group`; UNKNOWN when nothing is known."""
        fact = self.facts.get(group)
        return Standing.UNKNOWN if fact is None else fact.standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """A positive decision: the rule that matched and the proof it rests on."""

    rule: str
    reason: Reason
    proof: Fact | None = None
    """The membership fact for `member` and `outage-grace`; None where no group was needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """A negative decision."""

    reason: Reason
    rule: str | None = None
    proof: Fact | None = None


Decision = Allow | Deny


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer on its way to the caller; `body` is whole bytes or chunks as they come from the model."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncIterator[bytes] = b""
