"""The field's types: what passes between the parts of the gate. Pure: no I/O, no logging, no environment."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from shared.job import Stored
from shared.places import Place


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
    JOB_NOT_FOUND = "job-not-found"
    JOB_OWNER_MISMATCH = "job-owner-mismatch"

    GRAPH_UNAVAILABLE = "graph-unavailable"
    GRAPH_FORBIDDEN = "graph-forbidden"
    KEYS_UNAVAILABLE = "keys-unavailable"
    CREDENTIAL_UNAVAILABLE = "credential-unavailable"
    LIMITS_UNAVAILABLE = "limits-unavailable"
    JOB_STORE_UNAVAILABLE = "job-store-unavailable"
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
        self._values: Mapping[str, str | tuple[str, ...]] = values

    @classmethod
    def over(cls, single: Mapping[str, str]) -> Headers:
        """Return headers that look into `single`, a host's own mapping of lower-case names, each to its one value."""
        headers = cls.__new__(cls)
        headers._values = single  # noqa: SLF001 - its own
        return headers

    def get(self, name: str) -> str | None:
        """Return the one value of a lower-case `name`, None when absent; raise Ambiguous when it came twice."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise Ambiguous(name)

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


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
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
    jobs: object = None
    """Where batch jobs are kept, as the host gave it to this invocation: a ports.JobStore; None for other addresses."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
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


TargetKind = Literal["endpoint", "model"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch job wants to read, write and change: parsed and canonical, not yet checked against the policy.

    Each is with its place in the request's body, such as `properties.InputData.data.Uri`.
    """

    inputs: tuple[tuple[str, Place], ...] = ()
    outputs: tuple[tuple[str, Place], ...] = ()
    literals: tuple[tuple[str, str], ...] = ()
    """Place and name of each literal that is more than a plain word; others need no leave."""
    experiments: tuple[tuple[str, str], ...] = ()
    computes: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    """Place and name of each further property."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants: parsed by a backend, strict and bounded, not yet checked against the policy."""

    target: TargetKind
    name: str
    operation: str
    deployment: str | None = None
    wanted: Wanted | None = None
    """What a batch job is to do; None until its body is read, and for everything else."""
    everyones: bool = False
    """Whether jobs of others are asked for: only a rule with `see = "all"` gives them."""
    job_id: str | None = None
    """The batch job that the address names, known or not; None for what is no id of one."""
    job: Stored | None = None
    """The stored job that the address names, once it is found."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """So much in a window of time."""

    amount: int
    period: int
    """Seconds."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule gives away: requests and tokens, for each caller or for all that the rule lets in together."""

    requests: Rate | None = None
    tokens: Rate | None = None
    per: Literal["caller", "rule"] = "caller"
    scope: Literal["shared", "instance"] = "shared"
    """Where it is counted: in Redis for every instance together, or in each instance for itself."""
    fail: Literal["closed", "local"] = "closed"
    """What a shared limit does while Redis cannot be asked: refuse, or count in this instance."""


class JobTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an allow rule of a batch endpoint lets jobs do; what it does not name is not allowed."""

    inputs: tuple[Place, ...] = ()
    """Where inputs may lie: at or below any of these."""
    outputs: tuple[Place, ...] = ()
    """Where outputs may lie: at or below any of these."""
    own_folder: bool = True
    """Whether each output is put into a folder of its own for the caller and the job."""
    literals: frozenset[str] = frozenset()
    """Names of literal inputs that may hold any text."""
    experiments: frozenset[str] = frozenset()
    computes: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    """Names of further properties that a job may set."""
    see_all: bool = False
    """Whether jobs of others may be seen and cancelled too."""
    notify: str | None = None
    """Where the end of a job is told; None is nowhere."""


class BatchTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says of a batch endpoint beyond what every endpoint has."""

    workspace: str | None
    """ARM id of the workspace; None where the policy does not say."""
    management: str
    """Base address of Azure Resource Manager, without a slash at its end."""
    job_timeout: float
    """Seconds from acceptance after which a job is cancelled."""
    running_jobs: int
    """Jobs that one caller may have unfinished at once."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the policy, groups resolved to object ids."""

    id: str
    effect: Effect
    groups: frozenset[str] = frozenset()
    principals: frozenset[str] = frozenset()
    app_roles: frozenset[str] = frozenset()
    callers: frozenset[Kind] | None = None
    """Whom the rule is for; None where the policy does not say: then each effect has its own safe side."""
    clients: frozenset[str] | None = None
    """Allowed `azp`/`appid`; None is every client."""
    deployments: frozenset[str] | None = None
    """Allow: what may be named (empty: none). Deny: what is denied; None is every deployment and none named."""
    limits: Limits | None = None
    """What this rule gives away while it is the one on record; None is no bound."""
    job: JobTerms | None = None
    """What it lets jobs do; None but for allow rules of batch endpoints."""


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """How old a membership answer may be, in seconds."""

    max_age: float
    recheck_refused: float
    outage_grace: float


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says of one endpoint or model."""

    target: TargetKind
    name: str
    kind: str
    """`online`, `batch` or `openai`."""
    url: str
    """Online and batch: the scoring URI. OpenAI: the resource's address, with no path."""
    scope: str
    operations: frozenset[str]
    """What may be asked of it; an operation that is not here is denied."""
    rules: tuple[Rule, ...]
    lifetimes: Lifetimes
    timeout: float
    """Seconds for the whole call."""
    max_body: int
    """Bytes."""
    content_types: frozenset[str]
    """Media types of an endpoint's requests; a model's follow from the operation."""
    concurrency: int
    relay_errors: bool
    help: str | None = None
    groups: frozenset[str] = frozenset()
    """Every group that a rule of this route names."""
    limited: bool = False
    """Whether any rule has limits, so that it matters which of two that allow is on record."""
    deployment: str = ""
    """A model's name at the resource; empty for an endpoint."""
    fields: frozenset[str] = frozenset()
    """What a model's requests may hold beyond what the gate lets through by itself (docs, "Models")."""
    default_max_tokens: int | None = None
    """Tokens to reserve for the answer of a model where the request does not bound it; None where the policy is silent."""
    batch: BatchTerms | None = None
    """None but for batch endpoints."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
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


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A principal's standing in one group, with its source and age."""

    standing: Standing
    source: Source
    age: float
    """Seconds since the claim was issued or Graph answered."""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one principal; a group that is not here is unknown."""

    facts: Mapping[str, Fact] = msgspec.field(default_factory=dict)
    missing: Fact | None = None
    """Set when Graph said that the principal does not exist (404)."""

    def standing(self, group: str) -> Standing:
        """Return the standing in `group`; UNKNOWN when nothing is known."""
        fact = self.facts.get(group)
        return Standing.UNKNOWN if fact is None else fact.standing


class Allow(msgspec.Struct, frozen=True, kw_only=True):
    """A positive decision: the rule that matched and the proof it rests on."""

    rule: str
    reason: Reason
    proof: Fact | None = None
    """The membership fact for `member` and `outage-grace`; None where no group was needed."""
    group: str | None = None
    """Object id of the group that let the caller in; None where no group was needed."""


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """A negative decision."""

    reason: Reason
    rule: str | None = None
    proof: Fact | None = None
    place: str | None = None
    """`input-not-allowed`: where in the body it stands; the caller may read it."""


Decision = Allow | Deny


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one call, as the model counted them."""

    prompt: int
    completion: int
    total: int


class Stream(Protocol):
    """A body on its way from the model, chunk by chunk; what is known of it is complete once it has ended."""

    @property
    def usage(self) -> Usage | None:
        """Return the tokens that the model told, None while it told none."""

    @property
    def relayed(self) -> int:
        """Return about how many tokens have gone on, for a body whose model told none; 0 where nobody counts."""

    @property
    def fault(self) -> Exception | None:
        """Return what ended the body early where the caller was told so in the body itself; else None."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return itself."""

    async def __anext__(self) -> bytes:
        """Return the next bytes; raise problem.UpstreamFault when the body is cut short."""

    async def aclose(self) -> None:
        """Let go of the model's answer, read to its end or not. Idempotent."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer on its way to the caller; `body` is whole bytes or chunks as they come from the model."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | Stream = b""
    within: float | None = None
    """Seconds that are left for sending the body on; None where there is no bound."""
