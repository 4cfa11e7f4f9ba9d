"""Key sets (RFC 7517): the RSA keys in them that may verify an RS256 signature, by `kid`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from shared.identity import base64url

ALGORITHM: Final = "RS256"
MAX_KEYS: Final = 100
"""Entra publishes about ten; a thousand is no key set of a tenant (threat S22)."""
_MIN_BITS: Final = 2_048
_MAX_BITS: Final = 8_192
"""Beyond this, one check of a signature costs milliseconds."""
_MAX_EXPONENT: Final = 2**32
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class KeySetFault(ValueError):
    """The document is no key set, or none that can be trusted as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeySet:
    """Verification keys by `kid`; one fetch makes one KeySet, and it is compared by identity."""

    keys: Mapping[str, RSAPublicKey]


def parse(document: Mapping[str, object]) -> KeySet:
    """Return the usable keys of a JWK Set; raise KeySetFault when it cannot be trusted or none is left.

    Keys of another type, use or algorithm are dropped and the rest serve (ruling "Keys"): so are keys that are too
    weak and keys that publish their private half. Two usable keys with one `kid` spoil the whole set: a signature would
    be judged by whichever came last.
    """
    keys = document.get("keys")
    if not isinstance(keys, list) or len(keys) > MAX_KEYS or not all(isinstance(key, dict) for key in keys):
        raise KeySetFault("not a key set")
    usable: dict[str, RSAPublicKey] = {}
    for key in keys:
        kid, public = key.get("kid"), _usable(key)
        if public is None or kid is None or kid == "":
            continue
        if not isinstance(kid, str) or kid in usable:
            raise KeySetFault("one kid, two keys")
        usable[kid] = public
    if not usable:
        raise KeySetFault("no key for RS256")
    return KeySet(keys=usable)


def _usable(key: Mapping[str, object]) -> RSAPublicKey | None:
    """Return the public key of a JWK, None when it must not verify RS256 signatures."""
    operations = key.get("key_ops", ["verify"])
    if (
        key.get("kty") != "RSA"
        or key.get("use", "sig") != "sig"
        or key.get("alg", ALGORITHM) != ALGORITHM
        or not isinstance(operations, list)
        or "verify" not in operations
        or not _PRIVATE.isdisjoint(key)
    ):
        return None
    try:
        modulus, exponent = _integer(key.get("n")), _integer(key.get("e"))
        if not _MIN_BITS <= modulus.bit_length() <= _MAX_BITS or not 3 <= exponent < _MAX_EXPONENT:
            return None
        if modulus % 2 == 0 or exponent % 2 == 0:
            return None
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None


def _integer(text: object) -> int:
    """Return a Base64urlUInt (RFC 7518, section 2), 0 for what is no text at all; raise ValueError."""
    return int.from_bytes(base64url.decode(text if isinstance(text, str) else ""))
