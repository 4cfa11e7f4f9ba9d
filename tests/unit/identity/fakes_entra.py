"""An Entra that a test holds in its hand: keys, tokens made of any parts, and the documents it publishes."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.identity import keyset
from shared.identity.issuers import public_issuers
from shared.identity.keyset import KeySet
from shared.ports import TransportFault
from tests.unit.identity.fakes_principal import CLIENT, GROUP, ISSUER_2, NOW, OID, SUB, TENANT

AUDIENCE = "3f2b0c1d-5a64-4e0a-9b43-7d7f2f6c1a10"
AUTHORITY = "https://login.microsoftonline.com"
DISCOVERY = f"{AUTHORITY}/{TENANT}/v2.0/.well-known/openid-configuration"
JWKS = f"{AUTHORITY}/{TENANT}/discovery/v2.0/keys"
HEADER: Mapping[str, object] = {"typ": "JWT", "alg": "RS256", "kid": "key-1"}


@functools.cache
def private_key(kid: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return one key for each `kid`, made when it is first wanted."""
    assert kid
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(kid: str, /, **changed: object) -> dict[str, object]:
    """Return a public key as Entra publishes it; a keyword replaces a member, None removes it."""
    numbers = private_key(kid).public_key().public_numbers()
    key: dict[str, object] = {
        "kty": "RSA",
        "use": "sig",
        "kid": kid,
        "x5t": kid,
        "n": unpadded(numbers.n.to_bytes(256)),
        "e": unpadded(numbers.e.to_bytes(3)),
    }
    return {name: value for name, value in (key | changed).items() if value is not None}


def claims(**changed: object) -> dict[str, object]:
    """Return the claims of a member's version 2 access token; a keyword replaces a claim, None removes it."""
    payload: dict[str, object] = {
        "aud": AUDIENCE,
        "iss": ISSUER_2,
        "iat": NOW - 60,
        "nbf": NOW - 60,
        "exp": NOW + 3_600,
        "azp": CLIENT,
        "groups": [GROUP],
        "oid": OID,
        "scp": "score",
        "sub": SUB,
        "tid": TENANT,
        "ver": "2.0",
    }
    return {name: value for name, value in (payload | changed).items() if value is not None}


def token(
    payload: Mapping[str, object] | bytes,
    *,
    header: Mapping[str, object] | bytes = HEADER,
    signed_by: str = "key-1",
) -> str:
    """Return a token with an RS256 signature, whatever its header says."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = ".".join(map(unpadded, parts))
    signature = private_key(signed_by).sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing_input}.{unpadded(signature)}"


class FixedKeys:
    """A source of keys that never changes, and counts what it is asked."""

    def __init__(self, *kids: str) -> None:
        self.keyset = keyset.parse({"keys": [jwk(kid) for kid in kids or ("key-1",)]})
        self.asked_again = 0

    async def issuers(self) -> frozenset[str]:
        return public_issuers(TENANT)

    async def keys(self) -> KeySet:
        return self.keyset

    async def newer_keys(self, seen: KeySet) -> KeySet:
        self.asked_again += 1
        return seen


class FakeAnswer:
    """An answer of the authority."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.closed = False
        self._body = body

    async def read(self, limit: int) -> bytes:
        if len(self._body) > limit:
            raise TransportFault("too-large", sent=True)
        return self._body

    def chunks(self) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


class FakeEntra:
    """A Transport that answers for the authority: documents by URL, and the faults that a test switches on."""

    def __init__(self, *kids: str, authority: str = AUTHORITY, issuer: str = ISSUER_2) -> None:
        self.kids = list(kids or ("key-1",))
        self.status = 200
        self.fault: Exception | None = None
        self.slow: asyncio.Event | None = None
        self.asked: list[str] = []
        self.answers: list[FakeAnswer] = []
        self.discovery: object = {
            "issuer": issuer,
            "jwks_uri": f"{authority}/{TENANT}/discovery/v2.0/keys",
        }
        self.keys: object = None
        self.deadlines: list[float] = []

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> FakeAnswer:
        assert (method, body) == ("GET", None)
        assert "authorization" not in {name.lower() for name in headers}
        self.asked.append(url)
        self.deadlines.append(deadline)
        if self.slow is not None:
            await self.slow.wait()
        if self.fault is not None:
            raise self.fault
        document = self.discovery
        if not url.endswith("/openid-configuration"):
            document = {"keys": [jwk(kid) for kid in self.kids]} if self.keys is None else self.keys
        answer = FakeAnswer(
            self.status, document if isinstance(document, bytes) else json.dumps(document).encode()
        )
        self.answers.append(answer)
        return answer

    @property
    def key_fetches(self) -> int:
        return sum(not url.endswith("/openid-configuration") for url in self.asked)
