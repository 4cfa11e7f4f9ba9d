"""The sentences of docs/errors.md: for people, one for each slug, reason and outcome. errors_page.py makes the page."""

from __future__ import annotations

from typing import NamedTuple

from shared.model import Reason
from shared.problem import Slug


class About(NamedTuple):
    """What a slug means: when it comes, and what to do on either side."""

    when: str
    caller: str
    owner: str
    headers: tuple[str, ...] = ()
    """Headers beyond those that the code gives every case."""


SLUGS = {
    Slug.AUTHENTICATION_REQUIRED: About(
        "No principal came with the request: the caller did not sign in, or the platform did not say who it is.",
        "Sign in, or send a bearer token whose audience is the gate's app registration.",
        "Many at once, from callers who are signed in, mean that App Service Authentication has stopped adding its "
        "headers: see [operations](operations.md#principals-are-missing).",
    ),
    Slug.PRINCIPAL_INVALID: About(
        "A principal came, and it is malformed, duplicated, expired, of another provider, tenant or issuer, or for "
        "another audience.",
        "Get a fresh token for the gate's audience from the gate's own tenant.",
        "The audit record's `reason` says which it was. Check tenant, issuer and audiences in "
        "[the settings](settings.md) against the app registration.",
    ),
    Slug.FORBIDDEN: About(
        "No rule allows it, a deny rule matches, or there is no such endpoint or model. The three look alike on purpose. At a "
        "batch endpoint also: a job may not have what it asks for.",
        "Check the name, and the deployment or operation; `GET /me` lists what you may call. Where the policy writes a help text, "
        "`detail` tells whom to ask; of a job it tells [the place in the body](batch.md#refusals). Asking again changes nothing "
        "until your membership, or the job, changes.",
        "The audit record's `reason` and `rule` say why; `groupgate explain` replays it step by step.",
    ),
    Slug.NOT_FOUND: About(
        "An address of models that has no such operation; or a stored response that the caller did not make, that the "
        "gate has forgotten, or that is no longer there. All alike.",
        "Check the path against [the table](models.md#addresses). A response of yours that is gone cannot be had back: "
        "send the whole conversation.",
        "The audit record's `reason` is `operation-not-allowed` for the path and `input-not-allowed` for the response. "
        "Makers are forgotten when an instance restarts, and are not shared between instances, unless "
        "`GROUPGATE_REDIS_URL` is set: see [stored responses](models.md#stored-responses).",
    ),
    Slug.JOB_NOT_FOUND: About(
        "There is no such job at this endpoint, or it is somebody else's and no rule lets the caller see it. All alike.",
        "Check the job's `name` and its endpoint; `GET` on the endpoint's `jobs` lists your own.",
        "The audit record's `reason` is `job-owner-mismatch` where the job is another caller's, and `job-not-found` where it is "
        "none that the gate has, or [was purged](batch.md#the-task-hub-and-purging). Whoever is to see jobs of others needs a "
        'rule with `see = "all"`.',
    ),
    Slug.IDEMPOTENCY_CONFLICT: About(
        "The caller has started another job at this endpoint with the same `Idempotency-Key`: another body, byte by byte, or "
        "another deployment.",
        "Send exactly what you sent first, and you get that job again; or take a new key for a new job.",
        "Nothing.",
    ),
    Slug.INVALID_REQUEST: About(
        "A query that the address does not take, a body that did not arrive in time or is not as long as it said. For "
        "models also: a body that is no strict JSON, two names for the model, a field that the policy does not let in. For jobs: "
        "a body that is no strict JSON or not of [the shape](batch.md#the-body), or an `Idempotency-Key` that is none.",
        "Mend the request; `detail` says what is wrong.",
        "Nothing.",
    ),
    Slug.METHOD_NOT_ALLOWED: About(
        "The address exists and does not take that method.",
        "Use a method from `Allow`.",
        "Nothing.",
        ("`Allow`: the methods it takes",),
    ),
    Slug.LENGTH_REQUIRED: About(
        "A request without the body that it needs, or in `classic` hosting without `Content-Length`.",
        "Send the body with its `Content-Length`; chunked bodies are taken in `stream` hosting only.",
        "Where callers can only send chunked bodies, host with `GROUPGATE_HTTP=stream`.",
    ),
    Slug.PAYLOAD_TOO_LARGE: About(
        "The body is larger than the `max-body` of the endpoint or model.",
        "Send less in one request.",
        "Raise `max-body` if the model is meant to take more.",
    ),
    Slug.UNSUPPORTED_MEDIA_TYPE: About(
        "`Content-Type` is not one of the endpoint's `content-types`, has parameters other than `charset=utf-8` and "
        "`boundary`, or the body carries a `Content-Encoding`. Jobs and models take `application/json`, models `multipart/form-data` "
        "too, for `audio/transcriptions`.",
        "Send `Content-Type: application/json`, uncompressed.",
        "Add the type to `content-types` if the endpoint takes it.",
    ),
    Slug.RATE_LIMITED: About(
        "What the rule gives is used up: the caller's own share, or with `per = \"rule\"` everybody's. Nothing was sent, "
        "and nothing was taken of any limit. At a batch endpoint: as many of the caller's jobs as `running-jobs` says have not "
        "ended yet.",
        "Wait as long as `Retry-After` says; `x-should-retry: false` tells clients not to try by themselves where that is "
        "more than half a minute. A smaller `max_tokens` may fit. Jobs: let one end, or cancel one.",
        "See [limits](limits.md): who used how much tells `groupgate usage`. Jobs: [`running-jobs`](batch.md#the-endpoint).",
        (
            "`Retry-After`: seconds to the next window; 30 for jobs",
            "`x-ratelimit-*` at models: [how each limit stands](limits.md#headers)",
        ),
    ),
    Slug.OVERLOADED: About(
        "The `concurrency` of the endpoint or model and its queue are full, or more questions to Microsoft Graph wait than its budget "
        "allows within two seconds. At a batch endpoint: the caller starts so many jobs at once that one did not get its turn "
        "within `timeout`.",
        "Wait as long as `Retry-After` says and try again.",
        "See [limits](operations.md#numbers-to-know): raise `concurrency` if the model can take more, add instances, or "
        "find out who sends so much.",
    ),
    Slug.GATEWAY_MISCONFIGURED: About(
        "A setting or the policy is at fault, or App Service Authentication is off while the gate relies on it.",
        "Tell the gate's owner.",
        "Run `groupgate check`; the log names each fault once. For `platform-auth-off`, switch App Service "
        "Authentication on.",
    ),
    Slug.MEMBERSHIP_UNAVAILABLE: About(
        "Membership matters, and Microsoft Graph cannot be asked: it is down, throttled, or refuses the gate.",
        "Wait as long as `Retry-After` says and try again.",
        "`graph-unavailable`: see [Graph is down](operations.md#microsoft-graph-is-down). `graph-forbidden`: the gate's "
        "identity lacks its Graph permissions.",
        ("or what Microsoft Graph asks for",),
    ),
    Slug.VERIFICATION_UNAVAILABLE: About(
        "The tenant's signing keys could not be fetched, so the token can be called neither good nor bad.",
        "Wait as long as `Retry-After` says and try again.",
        "Check that the app can reach `GROUPGATE_AUTHORITY`.",
    ),
    Slug.CREDENTIAL_UNAVAILABLE: About(
        "The gate could not get a token of its own managed identity.",
        "Wait as long as `Retry-After` says and try again.",
        "Check that the identity is assigned, and `AZURE_CLIENT_ID` where there are several: see "
        "[the managed identity fails](operations.md#the-managed-identity-fails).",
    ),
    Slug.LIMITS_UNAVAILABLE: About(
        'The rule\'s limits are counted in Redis, Redis cannot be asked, and the policy says `fail = "closed"`; or more '
        "than 100,000 windows are open in this instance.",
        "Wait as long as `Retry-After` says and try again.",
        "See [Redis is down](operations.md#redis-is-down).",
    ),
    Slug.JOB_STORE_UNAVAILABLE: About(
        "The storage of Durable Functions did not answer within ten seconds, or not in its own words. No 202 was sent, so "
        "whether a job was stored is not known.",
        "Wait as long as `Retry-After` says and try again **with the same `Idempotency-Key`**: it gives the job that was stored, or "
        "starts it. Without a key you may start a second one.",
        "See [the job store is down](operations.md#the-job-store-is-down).",
    ),
    Slug.AUDIT_UNAVAILABLE: About(
        "A required audit sink did not store the decision, so nothing was sent.",
        "Wait as long as `Retry-After` says and try again.",
        "Check the disk and the rights of the audit file.",
    ),
    Slug.UPSTREAM_UNREACHABLE: About(
        "The model's address does not resolve, refuses the connection, fails in TLS or in HTTP, or breaks off before "
        "its answer's headers.",
        "Try again if your request may be repeated: it may have reached the model.",
        "Check `url` in the policy, name resolution, and the network between the app and the endpoint.",
    ),
    Slug.UPSTREAM_TIMEOUT: About(
        "The model did not answer within the policy's `timeout`, or its service says so (408, 504).",
        "The model may still be at work: do not repeat what must not run twice.",
        "Compare `timeout` with the deployment's own request timeout.",
    ),
    Slug.UPSTREAM_RATE_LIMITED: About(
        "The model's service answered 429.",
        "Wait as long as `Retry-After` says, where it is there.",
        "Give the deployment more instances, or a higher concurrency for each.",
        ("`Retry-After`, where the model's service gave it",),
    ),
    Slug.UPSTREAM_UNAVAILABLE: About(
        "The model's service answered 503.",
        "Wait and try again.",
        "See whether the deployment is starting or scaling.",
        ("`Retry-After`, where the model's service gave it",),
    ),
    Slug.UPSTREAM_AUTH_FAILED: About(
        "The model's service answered 401 or 403 to the gate's own identity. It says nothing about the caller.",
        "Tell the gate's owner; a new token of your own changes nothing.",
        "Check the gate's role on the endpoint or resource: see [the model refuses the gate](operations.md#the-model-refuses-the-gate).",
    ),
    Slug.UPSTREAM_NOT_FOUND: About(
        "The model's service answered 404: no such endpoint, no deployment with traffic, or no deployment of that name.",
        "Tell the gate's owner.",
        "Check `url` in the policy and the endpoint's traffic; for a model `url`, `deployment` and whether the resource "
        "serves the operation.",
    ),
    Slug.UPSTREAM_REJECTED: About(
        "The model's service answered 400, 409, 413, 415 or 422 and its body is not relayed: `relay-errors` is off, or "
        "the body is no JSON or too large. The status is the model's.",
        "Mend the request for the model.",
        "Turn on `relay-errors` if callers may read the model's own words.",
    ),
    Slug.UPSTREAM_REDIRECT: About(
        "The model's service answered with a redirect. None is followed: it would carry the gate's token elsewhere.",
        "Tell the gate's owner.",
        "Put the final scoring URI into the policy.",
    ),
    Slug.UPSTREAM_ERROR: About(
        "The model's service failed in another way (5xx), or answered compressed though asked not to.",
        "Try again if your request may be repeated.",
        "Look at the logs of the endpoint or resource.",
    ),
    Slug.MODEL_ERROR: About(
        "The model's own code failed, and its body is not relayed. Azure ML says so with 424.",
        "The header tells the status that the model's code gave; asking again with the same input fails again.",
        "Look at the deployment's logs.",
        ("`ms-azureml-model-error-statuscode`: digits",),
    ),
    Slug.INTERNAL_ERROR: About(
        "A fault in the gate that nobody foresaw. It never ends in a call to the model.",
        "Tell the gate's owner the request id.",
        "The log names the error's class and the request id. Please report it.",
    ),
}

REASONS = {
    Reason.MEMBER: "An allow rule matched, and a group of it holds the caller.",
    Reason.PRINCIPAL_LISTED: "An allow rule lists the caller's object id under `principals`.",
    Reason.APP_ROLE: "An allow rule matched, and an app role of it is in the caller's token.",
    Reason.OUTAGE_GRACE: "Microsoft Graph could not be asked, and an older proof of membership counted within `outage-grace`.",
    Reason.DENY_RULE: "A deny rule matched; `rule` names it.",
    Reason.NOT_MEMBER: "An allow rule fits in all but its proof: the caller is in none of its groups, nor listed.",
    Reason.UNKNOWN_ENDPOINT: "The policy has no endpoint or model of that name.",
    Reason.CALLER_KIND: "No allow rule is for this kind of caller (user, guest, app), or the kind cannot be told.",
    Reason.CLIENT_NOT_ALLOWED: "The allow rules that are left name other client applications; or a page of another site "
    "used the caller's cookie session.",
    Reason.DEPLOYMENT_NOT_ALLOWED: "The request names a deployment that no allow rule left lets it name.",
    Reason.OPERATION_NOT_ALLOWED: "The model's `operations` do not name it; the endpoint is of another kind, such as a job at an "
    "online endpoint; or, with 404, no model has such an operation.",
    Reason.INPUT_NOT_ALLOWED: "With 403, a job may not have an input, an output or something else that it asks for, by the "
    "policy or by any policy. With 404, the request refers to a stored response that the caller did not make, or whose maker is "
    "not known.",
    Reason.PRINCIPAL_MISSING: "No principal header, or no bearer token, came.",
    Reason.PRINCIPAL_MALFORMED: "The principal cannot be read, is too large, contradicts itself or its companion headers, "
    "or was issued in the future.",
    Reason.PROVIDER_MISMATCH: "The principal is of a provider other than Microsoft Entra (`aad`).",
    Reason.TENANT_MISMATCH: "The principal is of another tenant, or names none.",
    Reason.ISSUER_MISMATCH: "The issuer is not the tenant's.",
    Reason.AUDIENCE_MISMATCH: "The token is for none of `GROUPGATE_AUDIENCE`.",
    Reason.TOKEN_INVALID: "The token's signature, algorithm, type, times or required claims are not in order; or, in `both`, "
    "token and headers name different callers.",
    Reason.PLATFORM_AUTH_OFF: "`WEBSITE_AUTH_ENABLED` is not `true`: headers could be anybody's, so they are not read.",
    Reason.PRINCIPAL_NOT_FOUND: "Microsoft Graph knows no such user or service principal (404).",
    Reason.JOB_NOT_FOUND: "No job of that id is stored for this endpoint and tenant.",
    Reason.JOB_OWNER_MISMATCH: 'The job is another caller\'s, and no rule that fits the caller says `see = "all"`.',
    Reason.GRAPH_UNAVAILABLE: "Microsoft Graph is down, silent, throttled or answers nonsense, and nothing kept is young "
    "enough.",
    Reason.GRAPH_FORBIDDEN: "Microsoft Graph refuses the gate's identity (401, 403): a permission is missing.",
    Reason.KEYS_UNAVAILABLE: "The tenant's signing keys could not be fetched and none kept fits.",
    Reason.CREDENTIAL_UNAVAILABLE: "No token of the gate's managed identity.",
    Reason.LIMITS_UNAVAILABLE: "The call could not be counted against the rule's limits.",
    Reason.JOB_STORE_UNAVAILABLE: "The storage of Durable Functions did not answer, or the host gave the call no access to it.",
    Reason.AUDIT_UNAVAILABLE: "The required audit sink did not store the record. It stands in the log, since it cannot "
    "stand in the audit.",
    Reason.MISCONFIGURED: "A setting or the policy is at fault; everything is refused. It stands in the log only.",
    Reason.INVALID_REQUEST: "The request cannot be taken as it stands.",
    Reason.RATE_LIMITED: "A limit of the rule is used up, or too many of the caller's jobs run.",
    Reason.OVERLOADED: "No place at the endpoint, or in Graph's budget, came free within two seconds; or no turn to start a job.",
}

OUTCOMES = {
    "ok": "The model answered 2xx, and the answer was passed on to its end; of a job, the gate did or told what was asked. How "
    "the job went is in [records of its own](batch.md#the-audit-of-a-job).",
    "upstream-STATUS": "The model's service answered with that status, such as `upstream-424`.",
    "upstream-unreachable": "No connection, or no HTTP came back.",
    "upstream-timeout": "The policy's `timeout` passed.",
    "truncated": "The model's answer broke off after its headers; the caller's connection was cut too, never ended cleanly, "
    "or its stream of events ended with an `error`.",
    "client-closed": "The caller went away, or the host ended the invocation.",
    "unknown": "The process died in between; written by the next process that takes up the file. Or the job store did not say "
    "whether it stored what was asked (503).",
}
