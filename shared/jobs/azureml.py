"""The gate's side of the wire to Azure ML batch endpoints: submit, find, status and cancel (protocols, 5)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from shared import ports
from shared.jobs import addresses, answers
from shared.ports import Answer, TransportFault
from shared.problem import Slug, Undecidable
from shared.retryafter import parse as parse_retry_after

TAG: Final = "groupgate-job"
"""The tag by which a job is found again: its value is the job's id at the gate."""
PAGES: Final = 50
"""Pages of the list that are looked through; which jobs come first is not verified."""
MOST: Final = 1024 * 1024
"""Bytes of one answer."""
AUTH_PAUSE: Final = 60.0
"""Seconds until the gate's own identity is tried again where it was refused: a role takes minutes to be seen."""

_JSON: Final = {"accept": "application/json"}
_DEPLOYMENT: Final = "azureml-model-deployment"
_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {408: Slug.UPSTREAM_TIMEOUT, 503: Slug.UPSTREAM_UNAVAILABLE, 504: Slug.UPSTREAM_TIMEOUT}
)


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Which batch endpoint is spoken to, and how."""

    url: str
    """The endpoint's scoring URI, which ends in `/jobs`."""
    scope: str
    """Of the token that the endpoint takes."""
    workspace: str | None
    """ARM id of its workspace; None where the policy does not say."""
    management: str
    """Base address of Azure Resource Manager, without a slash at its end."""
    deployment: str | None
    """Goes to submit and status; None is the endpoint's default."""
    timeout: float
    """Seconds for each call, with all pages of a list."""


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A job that Azure ML has taken."""

    name: str
    arm_id: str | None
    """None where the answer has none that is plainly a job's."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the endpoint reports it."""

    status: str
    """In Azure ML's words (protocols, 5.3); words that are not there too, and `Unknown` for what is no word."""
    outputs: dict[str, Any]
    """Without query strings and anything that could be a SAS."""
    deployment: str | None
    arm_id: str | None


class Refused(Exception):
    """A definite no: nothing was done, and asking again changes nothing."""

    def __init__(self, status: int, code: str | None = None) -> None:
        super().__init__(code or f"upstream-{status}")
        self.status: Final = status
        """The service's; 0 where it could not be asked at all."""
        self.code: Final = code or f"upstream-{status}"


class Later(Exception):
    """Nothing was done, or nothing was learnt: ask again, after `seconds` where that is known."""

    def __init__(self, seconds: float | None, code: str) -> None:
        super().__init__(code)
        self.seconds: Final = seconds
        self.code: Final = code


class Unclear(Exception):
    """The job may have been taken."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code: Final = code


class Lost(Exception):
    """The service knows no such job (404)."""


class AzureMLJobs:
    """Speaks to batch endpoints with the gate's own identity. Text of the service reaches no error and no log."""

    def __init__(self, transport: ports.Transport, tokens: ports.Tokens, clock: ports.Clock) -> None:
        self._transport: Final = transport
        self._tokens: Final = tokens
        self._clock: Final = clock

    async def submit(self, where: Where, body: str, *, key: str) -> Submitted:
        """Start the job that `body`, a JSON text, describes, and return it; raise Refused, Later or Unclear.

        `key` is the same for every attempt at one job. Whether the service removes duplicates by it is not verified
        (protocols, 5.4), and nothing here relies on it.
        """
        headers = {"content-type": "application/json", "repeatability_request-id": key}
        data = await self._exchange(
            "POST",
            where.url,
            scope=where.scope,
            headers=headers | _deployment(where),
            body=body.encode(),
            deadline=self._clock.monotonic() + where.timeout,
        )
        job = answers.fields(data) or {}
        name = answers.name(job)
        if name is None:
            raise Unclear(Slug.UPSTREAM_ERROR)
        return Submitted(name=name, arm_id=answers.arm_id(job))

    async def find(self, where: Where, job: str) -> Submitted | None:
        """Return the job that carries the tag `groupgate-job` = `job`; raise Later, or Refused where there is no list.

        None means that it is not among those of PAGES pages: it may be further down, or not be shown yet. That a job's
        own tags come back in the list is not verified.
        """
        first = addresses.jobs_list(where.url, where.workspace)
        scope = where.scope if first == where.url else addresses.scope(first, own=where.scope)
        page: str | None = first
        deadline = self._clock.monotonic() + where.timeout
        for _ in range(PAGES):
            if page is None:
                break
            listed = answers.fields(await self._look("GET", page, scope=scope, deadline=deadline))
            jobs = None if listed is None else listed.get("value")
            if listed is None or not isinstance(jobs, list):
                raise Later(None, Slug.UPSTREAM_ERROR)
            for one in jobs:
                if isinstance(one, dict) and answers.tagged(one, TAG, job):
                    name = answers.name(one)
                    if name is not None:
                        return Submitted(name=name, arm_id=answers.arm_id(one))
            page = addresses.next_page(listed.get("nextLink"), page)
        return None

    async def status(self, where: Where, name: str) -> Seen:
        """Return the job `name` as it is now; raise Lost, Refused or Later."""
        if not answers.is_name(name):
            raise Lost
        try:
            data = await self._look(
                "GET",
                f"{where.url}/{name}",
                scope=where.scope,
                headers=_deployment(where),
                deadline=self._clock.monotonic() + where.timeout,
            )
        except Refused as refused:
            if refused.status == 404:
                raise Lost from refused
            raise
        job = answers.fields(data)
        if job is None or not answers.below(job, "properties"):
            raise Later(None, Slug.UPSTREAM_ERROR)
        return Seen(
            status=answers.status(job),
            outputs=answers.outputs(job),
            deployment=answers.deployment(job),
            arm_id=answers.arm_id(job),
        )

    async def cancel(self, where: Where, name: str, arm_id: str | None) -> None:
        """Ask Azure Resource Manager to end the job `name`; raise Refused or Later. That it ends is for `status` to say.

        That a batch endpoint's job is known there is not verified (protocols, 5.4). Without a workspace in the policy it
        is the one in `arm_id`; without either nothing can be asked: Refused, `workspace-unknown`.
        """
        workspace = where.workspace or answers.workspace(arm_id, name)
        if workspace is None or not answers.is_name(name):
            raise Refused(0, "workspace-unknown" if workspace is None else "job-unknown")
        url = addresses.cancel(where.management, workspace, name)
        await self._look(
            "POST",
            url,
            scope=addresses.scope(url, own=where.scope),
            body=b"",
            deadline=self._clock.monotonic() + where.timeout,
        )

    async def _look(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        deadline: float,
        headers: Mapping[str, str] = _JSON,
        body: bytes | None = None,
    ) -> bytes:
        """Return the answer to what may be asked again without harm; raise Refused or Later."""
        try:
            return await self._exchange(
                method, url, scope=scope, headers=headers, body=body, deadline=deadline
            )
        except Unclear as unclear:
            raise Later(None, unclear.code) from unclear

    async def _exchange(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> bytes:
        """Ask once and return the body of a 2xx; raise Refused, Later or Unclear."""
        try:
            token = await self._tokens.token(scope)
        except Undecidable as fault:
            raise Later(fault.retry_after, fault.slug) from fault
        try:
            answer = await self._transport.send(
                method,
                url,
                headers={**_JSON, **headers, "authorization": f"Bearer {token}"},
                body=body,
                deadline=deadline,
            )
        except TransportFault as fault:
            if fault.sent:
                raise Unclear(_code(fault)) from fault
            raise Later(None, _code(fault)) from fault
        try:
            self._check(answer, scope, token)
            return await answer.read(MOST)
        except TransportFault as fault:
            raise Unclear(_code(fault)) from fault
        finally:
            answer.close()

    def _check(self, answer: Answer, scope: str, token: str) -> None:
        """Return for a 2xx; raise Refused, Later or Unclear for everything else."""
        status = answer.status
        if 200 <= status < 300:
            return
        if status in (401, 403):
            self._tokens.drop(scope, token)
            raise Later(AUTH_PAUSE, Slug.UPSTREAM_AUTH_FAILED)
        wait = parse_retry_after(answer.headers.get("retry-after"), now=self._clock.time())
        if status == 429:
            raise Later(wait, Slug.UPSTREAM_RATE_LIMITED)
        if status == 503 and wait is not None:
            raise Later(wait, Slug.UPSTREAM_UNAVAILABLE)
        if status >= 500 or status == 408:
            raise Unclear(_CODES.get(status, f"upstream-{status}"))
        raise Refused(status)


def _deployment(where: Where) -> dict[str, str]:
    return {} if where.deployment is None else {_DEPLOYMENT: where.deployment}


def _code(fault: TransportFault) -> str:
    match fault.what:
        case "timeout":
            return Slug.UPSTREAM_TIMEOUT
        case "unreachable" | "truncated":
            return Slug.UPSTREAM_UNREACHABLE
        case _:
            return Slug.UPSTREAM_ERROR
