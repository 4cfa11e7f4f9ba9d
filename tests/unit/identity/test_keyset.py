"""Which keys of a set may verify."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.identity.keyset import MAX_KEYS, KeySetFault, parse
from tests.unit.identity.fakes_entra import jwk, unpadded

EC = {"kty": "EC", "use": "sig", "kid": "ec", "crv": "P-256", "x": "AQAB", "y": "AQAB"}
OCT = {"kty": "oct", "use": "sig", "kid": "oct", "alg": "HS256", "k": "AQAB"}


def number(value: int) -> str:
    return unpadded(value.to_bytes((value.bit_length() + 7) // 8))


_SMALL = rsa.generate_private_key(public_exponent=65_537, key_size=1024).public_key().public_numbers().n
_N = int.from_bytes(base64.urlsafe_b64decode(str(jwk("key-1")["n"]) + "=="))

DROPPED: dict[str, dict[str, object]] = {
    "an elliptic-curve key": EC,
    "a symmetric key": OCT,
    "a key for encryption": jwk("key-1", use="enc"),
    "a key of another algorithm": jwk("key-1", alg="RS384"),
    "a key for PS256": jwk("key-1", alg="PS256"),
    "key_ops without verify": jwk("key-1", use=None, key_ops=["encrypt"]),
    "key_ops for signing": jwk("key-1", key_ops=["sign"]),
    "key_ops as text": jwk("key-1", key_ops="verify"),
    "use null": {**jwk("key-1"), "use": None},
    "a private key": jwk("key-1", d="AQAB"),
    "half a private key": jwk("key-1", p="AQAB"),
    "an RSA key with a secret": jwk("key-1", k="AQAB"),
    "kty in other case": jwk("key-1", kty="rsa"),
    "no kty": jwk("key-1", kty=None),
    "no kid": jwk("key-1", kid=None),
    "an empty kid": jwk("key-1", kid=""),
    "1,024 bits": jwk("key-1", n=number(_SMALL)),
    "16,384 bits": jwk("key-1", n=number(2**16_383 + 1)),
    "an even modulus": jwk("key-1", n=number(_N + 1)),
    "exponent 1": jwk("key-1", e="AQ"),
    "exponent 2": jwk("key-1", e="Ag"),
    "an even exponent": jwk("key-1", e=number(65_538)),
    "a huge exponent": jwk("key-1", e=number(2**64 + 1)),
    "no modulus": jwk("key-1", n=None),
    "no exponent": jwk("key-1", e=None),
    "a modulus with padding": jwk("key-1", n=str(jwk("key-1")["n"]) + "=="),
    "a modulus in the standard alphabet": jwk("key-1", n="+/" * 171),
    "a modulus as a number": jwk("key-1", n=_N),
    "an empty modulus": jwk("key-1", n=""),
}


@pytest.mark.parametrize("key", DROPPED.values(), ids=DROPPED.keys())
def test_a_key_that_must_not_verify_is_dropped_and_the_rest_serve(key: dict[str, object]) -> None:
    """S22, the ruling "Keys": alone it spoils the set, among others it is left out."""
    with pytest.raises(KeySetFault):
        parse({"keys": [key]})
    assert set(parse({"keys": [key, jwk("key-2")]}).keys) == {"key-2"}


def test_a_key_that_is_dropped_takes_nobodys_kid() -> None:
    """The ruling "Keys": a key of another type or use is dropped, and one with the same `kid` serves."""
    others = [{**EC, "kid": "key-1"}, {"kid": "key-1"}, {**jwk("key-2", kid="key-1"), "use": "enc"}]
    assert set(parse({"keys": [*others, jwk("key-1")]}).keys) == {"key-1"}


@pytest.mark.parametrize("other", [jwk("key-1"), jwk("key-2", kid="key-1")], ids=["equal", "another"])
def test_two_keys_with_one_kid_spoil_the_set(other: dict[str, object]) -> None:
    """S22: poisoned, whether the two are the same key or not."""
    with pytest.raises(KeySetFault):
        parse({"keys": [jwk("key-1"), other, jwk("key-3")]})


DOCUMENTS: list[dict[str, object]] = [
    {},
    {"keys": None},
    {"keys": {}},
    {"keys": []},
    {"keys": "key-1"},
    {"keys": [None]},
    {"keys": [jwk("key-1"), []]},
    {"keys": [jwk("key-1"), {**jwk("key-2"), "kid": 1}]},
    {"keys": [jwk("key-1"), *({"kid": str(number)} for number in range(MAX_KEYS))]},
    {"keys": [{**jwk("key-1"), "kid": str(number)} for number in range(1_000)]},
    jwk("key-1"),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_no_key_set_is_refused(document: dict[str, object]) -> None:
    """S22: nor a thousand keys."""
    with pytest.raises(KeySetFault):
        parse(document)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"alg": "RS256"},
        {"use": None},
        {"use": None, "key_ops": ["verify"]},
        {"x5c": ["MII"], "issuer": "x"},
    ],
)
def test_a_signing_key_serves(changed: dict[str, object]) -> None:
    """Entra's own keys name no algorithm and carry certificates, which are not looked at."""
    assert parse({"keys": [jwk("key-1", **changed)], "other": 1}).keys["key-1"].key_size == 2048
