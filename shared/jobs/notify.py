"""Telling the end of a job by a signed POST, as Standard Webhooks 1.0.0 has it.

The receiver checks `webhook-signature` over `webhook-id`, `webhook-timestamp` and the body's bytes with a secret of its
own host's, which `groupgate notify-secret` prints. The id is the same for every try at one job, so that a receiver can
tell what it has had before. What is told is which job ended, and how; no person, no data and no address of data.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec

from shared.job import Intent, Progress
from shared.loopback import is_loopback
from shared.ports import Clock, Transport, TransportFault

DEADLINE: Final = 15.0
"""Seconds for one try (Standard Webhooks, "Request timeouts")."""
EVENT: Final = "job.ended"
_PREFIX: Final = "whsec_"


class NotTold(Exception):
    """The receiver did not take it; the message is a status or a fault's word."""


class Notifier:
    """Tells receivers; whether one may be told is decided elsewhere."""

    def __init__(self, secret: str, *, transport: Transport, clock: Clock, allow_http: bool) -> None:
        """Take `secret`, GROUPGATE_JOBS_SECRET; `allow_http` lets receivers on this machine have no TLS."""
        self._secret: Final = secret
        self._transport: Final = transport
        self._clock: Final = clock
        self._allow_http: Final = allow_http

    async def tell(self, url: str, intent: Intent, progress: Progress, *, ended: float) -> None:
        """Send what became of a job that ended at `ended`, seconds since 1970; raise NotTold for all but a 2xx."""
        host = self._host(url)
        body = _body(intent, progress, ended=ended)
        id_ = f"msg_{intent.job}"
        stamp = str(int(self._clock.time()))
        headers = {
            "content-type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(secret_for(self._secret, host), id_, stamp, body),
        }
        deadline = self._clock.monotonic() + DEADLINE
        try:
            answer = await self._transport.send("POST", url, headers=headers, body=body, deadline=deadline)
        except TransportFault as fault:
            raise NotTold(fault.what) from None
        try:
            # A redirect is a failure too: the transport follows none, and nor would a receiver's signature.
            if not 200 <= answer.status < 300:
                raise NotTold(str(answer.status))
        finally:
            answer.close()

    def _host(self, url: str) -> str:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = parts.scheme == "http" and self._allow_http and is_loopback(host)
        if not host or not (parts.scheme == "https" or plain):
            raise NotTold("address")
        return host


def secret_for(jobs_secret: str, host: str) -> str:
    """Return the secret that receivers at `host` (a name or address, in lower case, without port) check with.

    It is made of GROUPGATE_JOBS_SECRET, 32 bytes, and written `whsec_` and base64, as receivers' libraries take it.
    """
    key = hmac.digest(jobs_secret.encode(), b"notify:" + host.encode(), hashlib.sha256)
    return _PREFIX + base64.b64encode(key).decode()


def signature(secret: str, id_: str, stamp: str, body: bytes) -> str:
    """Return the `webhook-signature` of a message: `v1,` and the base64 of HMAC-SHA-256 over `{id}.{timestamp}.{body}`."""
    key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signed = hmac.digest(key, f"{id_}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _body(intent: Intent, progress: Progress, *, ended: float) -> bytes:
    when = datetime.fromtimestamp(ended, UTC).isoformat()
    data = {
        "job": intent.job,
        "endpoint": intent.endpoint,
        "status": progress.status,
        "code": progress.code,
        "accepted": datetime.fromtimestamp(intent.accepted, UTC).isoformat(),
        "ended": when,
    }
    return msgspec.json.encode({"type": EVENT, "timestamp": when, "data": data})
