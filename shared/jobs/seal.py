"""The seal of a stored job: whoever can write into Durable's storage cannot make the gate believe that it wrote it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

from shared.job import Intent

_PURPOSE: Final = b"groupgate:intent"
"""Keeps the key of seals apart from every other key that is made of the same secret."""
_NAME: Final = b"groupgate:name"


class Sealer:
    """Seals intents under GROUPGATE_JOBS_SECRET; without that setting nothing is sealed and every intent holds."""

    def __init__(self, secret: str | None) -> None:
        self._key: Final = None if secret is None else hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
        self._names: Final = None if secret is None else hmac.digest(secret.encode(), _NAME, hashlib.sha256)

    @property
    def secured(self) -> bool:
        """Say whether an intent that holds was made by a gate with the same secret."""
        return self._key is not None

    def seal(self, intent: Intent) -> Intent:
        """Return `intent` with its seal; as it is without a secret."""
        return intent if self._key is None else msgspec.structs.replace(intent, seal=_seal(self._key, intent))

    def holds(self, intent: Intent) -> bool:
        """Say whether `intent` is exactly one that was sealed, or there is no secret to tell by."""
        return self._key is None or hmac.compare_digest(
            _seal(self._key, intent).encode(), intent.seal.encode()
        )

    def seal_name(self, job: str, name: str) -> str:
        """Return the seal of the name under which Azure ML has `job`, hex; empty without a secret."""
        # A job's id, which is as long for every job, holds no line feed: no two pairs have one text.
        text = f"{job}\n{name}".encode()
        return "" if self._names is None else hmac.digest(self._names, text, hashlib.sha256).hex()

    def holds_name(self, job: str, name: str, seal: str) -> bool:
        """Say whether a gate with this secret learnt that Azure ML has `job` as `name`, or there is no secret to tell by."""
        return self._names is None or hmac.compare_digest(self.seal_name(job, name).encode(), seal.encode())


def _seal(key: bytes, intent: Intent) -> str:
    # Field order is fixed and JSON delimits: no two intents have one text.
    text = msgspec.json.encode(msgspec.structs.replace(intent, seal=""))
    return hmac.digest(key, text, hashlib.sha256).hex()
