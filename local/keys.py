"""The signing keys of the Entra stand-in: RS256, published as a key set, replaceable while running."""

import json
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

Claims = dict[str, Any]


class Keys:
    """Sign with the newest key, verify with every published one."""

    def __init__(self) -> None:
        self._private: dict[str, rsa.RSAPrivateKey] = {}
        self.current = ""
        self.rotate()

    def rotate(self, *, keep_old: bool = True) -> str:
        """Sign with a fresh key from now on and give its id; without `keep_old` older ones are withdrawn."""
        if not keep_old:
            self._private.clear()
        self.current = uuid4().hex
        self._private[self.current] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self.current

    def sign(self, claims: Claims, *, headers: dict[str, Any] | None = None) -> str:
        """Make a token of any claims; `headers` replace or add to `typ`, `alg` and `kid`."""
        head = {"kid": self.current} | (headers or {})
        return jwt.encode(claims, self._private[self.current], algorithm="RS256", headers=head)

    def verify(self, token: str, *, audience: str, issuers: list[str]) -> Claims | None:
        """Give the claims of a token of ours that is valid now and for `audience`, slash or not."""
        try:
            private = self._private[jwt.get_unverified_header(token)["kid"]]
            claims: Claims = jwt.decode(
                token,
                private.public_key(),
                algorithms=["RS256"],
                audience=[audience, audience + "/"],
                issuer=issuers,
                options={"require": ["exp", "iat", "iss", "aud", "tid", "oid"]},
            )
        except (jwt.InvalidTokenError, KeyError):
            return None
        return claims

    def published(self) -> dict[str, list[dict[str, Any]]]:
        """Give the public keys as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [_public(kid, key) for kid, key in self._private.items()]}


def _public(kid: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    numbers = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    return {"kty": "RSA", "use": "sig", "kid": kid, "x5t": kid, "n": numbers["n"], "e": numbers["e"]}
