"""What the gate needs from outside itself, as Protocols: the seams where tests put their fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from shared.job import Intent, Progress, Stored
from shared.model import (
    Allow,
    Asked,
    Decision,
    Deny,
    Headers,
    Inbound,
    Kind,
    Lifetimes,
    Membership,
    Principal,
    Reply,
    Route,
    Rule,
    Usage,
)
from shared.problem import Problem


class Clock(Protocol):
    """Time: the wall for claims and records, the monotonic one for every lifetime."""

    def time(self) -> float:
        """Return seconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""


class Authenticator(Protocol):
    """Says who is calling, from headers alone."""

    async def authenticate(self, headers: Headers) -> Principal:
        """Return the verified caller; raise problem.Unauthenticated, or problem.Undecidable (keys unavailable)."""


class Memberships(Protocol):
    """Answers which of a route's groups a principal is in."""

    def known(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        """Return what young claims and unexpired answers tell, without asking anybody."""

    async def ask(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        """Return `known` after asking the directory for what it leaves open; raise problem.Undecidable."""

    def graced(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        """Return `known`, widened by answers that are past their age but within `outage_grace` (source GRACE)."""


class Directory(Protocol):
    """Microsoft Graph's membership question."""

    async def check_member_groups(
        self, kind: Kind, oid: str, groups: frozenset[str]
    ) -> frozenset[str] | None:
        """Return those of `groups` that hold the principal, None when it does not exist; raise problem.Undecidable."""


class Tokens(Protocol):
    """Tokens of the gate's own identity."""

    async def token(self, scope: str) -> str:
        """Return a bearer token for `scope`; raise problem.Undecidable (credential-unavailable)."""

    def drop(self, scope: str, token: str) -> None:
        """Note that `token` was refused: the next request asks anew, and takes it only if there is no other."""


class Answer(Protocol):
    """An answer that a Transport got: status and headers now, the body as it is read."""

    @property
    def status(self) -> int:
        """Return the HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers, looked up without regard to case; the first value of a repeated one."""

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise TransportFault("too-large") beyond `limit` bytes, and close the connection."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raise TransportFault when it is cut short or the deadline passes."""

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else close it (threat T15). Idempotent."""


class TransportFault(Exception):
    """Nothing usable came over the wire. `what`: unreachable, timeout, truncated, protocol, too-large."""

    def __init__(self, what: str, *, sent: bool) -> None:
        super().__init__(what)
        self.what = what
        self.sent = sent
        """Whether any byte of the request may have left; False only where no connection was made."""


class Transport(Protocol):
    """The one way out over HTTP: no redirects, proxies, .netrc, cookies or decompression, ever (T17 to T19)."""

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Answer:
        """Return the answer once its headers are here; `deadline` is on the monotonic clock, body included.

        A refused connection is tried once more, since nothing was sent; nothing else is. Raise TransportFault.
        """


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An allowed request, checked and put into the words of the model's side."""

    route: Route
    asked: Asked
    request_id: str
    body: bytes | None
    headers: Mapping[str, str]
    """Every header that goes upstream: made by the gate, never copied."""
    method: str
    url: str
    deadline: float
    """On the monotonic clock."""
    streams: bool
    """Whether a success is handed on as it comes; else it is given whole."""
    prompt_tokens: int = 0
    """About how many tokens its prompt has; 0 for endpoints."""
    answer_tokens: int = 0
    """How many tokens to reserve for its answer."""
    hide_usage: bool = False
    """Whether the gate asked for the usage that the caller did not ask for."""
    principal: Principal
    intent: Intent | None = None
    """The batch job that is to be started; None for everything else."""


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """The model's answer in the gate's words: what goes to the caller, and what the audit says of it."""

    reply: Reply
    upstream_status: int | None
    """None where the gate answers from what it has stored."""
    first_byte: float
    """When the answer's headers were here, on the monotonic clock."""
    usage: Usage | None = None
    """The tokens that a whole answer told; a stream tells its own."""
    framed: bool = True
    """Whether HTTP itself tells where the body ends, and not just the end of the connection (RFC 9112, section 6.3)."""


Decide = Callable[[Asked], Awaitable[Decision]]
"""Answers a question of the caller that is being served, by the policy and the membership that matters."""


class Backend(Protocol):
    """One kind of model service."""

    def read(self, inbound: Inbound) -> Asked:
        """Return what the address and the headers ask. Never raises: what is no name is the name of nothing."""

    async def resolve(self, asked: Asked, inbound: Inbound, principal: Principal) -> Asked:
        """Return all that is asked, by a known caller: what only the body can tell as well; raise problem.Problem."""

    async def specify(
        self, route: Route, asked: Asked, inbound: Inbound, principal: Principal, decide: Decide
    ) -> Asked:
        """Return all that an allowed caller asks: `asked` itself, or with what has to be decided once more.

        Raise problem.Problem.
        """

    async def prepare(
        self,
        route: Route,
        asked: Asked,
        inbound: Inbound,
        *,
        rule: Rule,
        principal: Principal,
        request_id: str,
    ) -> Call:
        """Check how it is asked and return what to send, with nothing taken yet; raise problem.Problem."""

    async def take(self, call: Call) -> Call:
        """Take a place and a token, and return the call with it; raise problem.Undecidable with nothing taken."""

    async def send(self, call: Call) -> Forwarded:
        """Send a call that has been taken; raise problem.UpstreamFault. The place is given back when the body ends."""

    def release(self, call: Call) -> None:
        """Give back the place of a call that is never sent."""


class Reservation(Protocol):
    """What one allowed call has taken of its rule's limits, until it is settled."""

    @property
    def counted(self) -> str:
        """Return where it was counted: `shared`, `instance`, or `local` (shared, while Redis cannot be asked)."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the `x-ratelimit-*` headers of the answer."""

    async def settle(self, tokens: int | None, *, at_least: int = 0) -> None:
        """Charge `tokens` instead of what was reserved; None charges that, or `at_least` where it is more. Never raises.

        Only the first settle or cancel counts. What exceeds the reservation is charged even where its window has ended.
        """

    async def cancel(self) -> None:
        """Give everything back: nothing was sent. Never raises."""


class Quota(Protocol):
    """Counts what rules with limits give away."""

    async def reserve(self, route: Route, rule: Rule, principal: Principal, *, tokens: int) -> Reservation:
        """Take one request and `tokens` of what `rule` (which has limits) gives; nothing where either does not fit.

        Raise problem.RateLimited when it is used up, problem.Undecidable (limits-unavailable) when it cannot be counted.
        """


class Owners(Protocol):
    """Remembers who made what a model's resource stores, such as a response (threat T09)."""

    async def remember(self, ids: Iterable[str], principal: Principal, *, model: str, resource: str) -> None:
        """Note that `principal` made the things with these ids, of `model` at the address `resource`.

        Never raises: what is forgotten is refused.
        """

    async def model_of(self, id_: str, principal: Principal) -> str | None:
        """Return the model of a thing that `principal` made; None for everything else, known or not."""

    async def owns(self, ids: Collection[str], principal: Principal, *, resource: str) -> bool:
        """Say whether `principal` made every one of the things with these ids at `resource`."""


class JobStore(Protocol):
    """Keeps batch jobs where a crash does not lose them: Durable Functions.

    Every method raises problem.Undecidable (job-store-unavailable) when the store does not answer; then what was to be
    written may or may not be there.
    """

    async def start(self, intent: Intent) -> None:
        """Store `intent` and start its orchestration; return once that is durable."""

    async def get(self, job: str) -> Stored | None:
        """Return the job with this id; None when there is none, or what is there is no job of the gate."""

    async def find(
        self, prefix: str, *, holds: Callable[[Intent], bool], running: bool = False
    ) -> tuple[Stored, ...]:
        """Return every job whose id begins with `prefix` and whose intent holds, newest first.

        With `running` only those that have not ended. `holds` is asked of the whole intent; what is returned has an empty
        body, for many of them are more than a process should keep.
        """

    async def note(self, name: str, value: Mapping[str, str]) -> tuple[Mapping[str, str], bool]:
        """Write `value` under `name` unless something is there; return what is there, and whether this call wrote it.

        Exactly one of many at once writes. A note is never changed, and stays for some days.
        """

    async def noted(self, name: str) -> Mapping[str, str] | None:
        """Return the note of this name, None when there is none."""

    async def wake(self, job: str) -> None:
        """Have the job's orchestration look again at once, where it still runs. Only hastens: it may be lost."""


class Recorder(Protocol):
    """The audit trail, as the gate uses it."""

    @property
    def outlives_invocation(self) -> bool:
        """Say whether an outcome that is known only after the invocation's end can be recorded."""

    async def decided(
        self,
        *,
        request_id: str,
        decision: Allow | Deny | Problem,
        principal: Principal | None = None,
        asked: Asked | None = None,
        allowed: Allow | None = None,
        counted: str | None = None,
    ) -> None:
        """Record a decision before anything goes upstream; raise problem.Undecidable (audit-unavailable).

        `allowed` is what had been decided before the problem that `decision` is; `counted` is where a limit counted.
        """

    async def completed(
        self,
        *,
        request_id: str,
        outcome: str,
        status: int,
        upstream_status: int | None = None,
        bytes_in: int = 0,
        bytes_out: int = 0,
        first_byte_ms: float | None = None,
        duration_ms: float,
        model: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Record how an allowed call ended. Never raises."""

    async def job(self, intent: Intent, progress: Progress, *, previous: str | None) -> None:
        """Record a change of a batch job: what it is now, and its status before; raise problem.Undecidable."""


class AuditSink(Protocol):
    """Where audit lines go."""

    @property
    def required(self) -> bool:
        """Say whether a line that cannot be written refuses the request."""

    @property
    def outlives_invocation(self) -> bool:
        """Say whether a line written after the invocation ended still arrives."""

    async def write(self, line: bytes) -> None:
        """Store one line (with its line feed) durably; raise OSError or TimeoutError when it is not stored."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration fault: where it is, and what to do about it."""

    place: str
    """The setting's name, or table and key in the policy, such as `endpoints.fraud.timeout`."""
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"
