"""Tokens that somebody made or changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib

import pytest
from cryptography.hazmat.primitives import serialization

from shared.identity.token import MAX_TOKEN
from tests.unit.identity.fakes_entra import (
    HEADER,
    FixedKeys,
    claims,
    jwk,
    private_key,
    token,
    unpadded,
)
from tests.unit.identity.fakes_principal import (
    OTHER_OID,
)
from tests.unit.identity.fakes_verifier import INVALID, reason, verifier

HEADERS: dict[str, dict[str, object] | bytes] = {
    "alg none": {**HEADER, "alg": "none"},
    "alg None": {**HEADER, "alg": "None"},
    "alg RS384": {**HEADER, "alg": "RS384"},
    "alg PS256": {**HEADER, "alg": "PS256"},
    "alg rs256": {**HEADER, "alg": "rs256"},
    "alg absent": {"typ": "JWT", "kid": "key-1"},
    "alg as a list": {**HEADER, "alg": ["RS256"]},
    "alg null": {**HEADER, "alg": None},
    "typ of a proof of possession": {**HEADER, "typ": "dpop+jwt"},
    "typ of a nested token": {**HEADER, "typ": "JWE"},
    "typ empty": {**HEADER, "typ": ""},
    "typ null": {**HEADER, "typ": None},
    "typ as a number": {**HEADER, "typ": 1},
    "kid absent": {"typ": "JWT", "alg": "RS256"},
    "kid as a number": {**HEADER, "kid": 1},
    "kid as a list": {**HEADER, "kid": ["key-1"]},
    "kid null": {**HEADER, "kid": None},
    "kid as a path": {**HEADER, "kid": "../../../../dev/null"},
    "kid as SQL": {**HEADER, "kid": "' UNION SELECT 'key-1"},
    "kid as an address": {**HEADER, "kid": "https://evil.example/jwks.json"},
    "kid in other case": {**HEADER, "kid": "KEY-1"},
    "kid with a NUL": {**HEADER, "kid": "key-1\0"},
    "jku": {**HEADER, "jku": "https://evil.example/jwks.json"},
    "jwk of its own": {**HEADER, "jwk": jwk("key-1")},
    "x5u": {**HEADER, "x5u": "https://evil.example/cert.pem"},
    "x5c": {**HEADER, "x5c": ["MIIB"]},
    "crit of something unknown": {**HEADER, "crit": ["urn:example"], "urn:example": True},
    "crit that is empty": {**HEADER, "crit": []},
    "b64 false": {**HEADER, "b64": False, "crit": ["b64"]},
    "b64 false without crit": {**HEADER, "b64": False},
    "b64 true": {**HEADER, "b64": True},
    "zip": {**HEADER, "zip": "DEF"},
    "enc": {**HEADER, "enc": "A256GCM"},
    "a nested token": {**HEADER, "cty": "JWT"},
    "alg twice": b'{"typ":"JWT","alg":"none","alg":"RS256","kid":"key-1"}',
    "kid twice": b'{"typ":"JWT","alg":"RS256","kid":"key-2","kid":"key-1"}',
    "kid twice, once escaped": b'{"typ":"JWT","alg":"RS256","\\u006bid":"key-2","kid":"key-1"}',
    "a byte order mark": b'\xef\xbb\xbf{"typ":"JWT","alg":"RS256","kid":"key-1"}',
    "a list": b'["RS256"]',
    "trailing data": b'{"typ":"JWT","alg":"RS256","kid":"key-1"}{}',
    "deep nesting": b'{"alg":"RS256","kid":"key-1","x":' + b"[" * 3_000 + b"]" * 3_000 + b"}",
    "no JSON": b"RS256",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
async def test_a_forged_header_is_refused(header: dict[str, object] | bytes) -> None:
    """S20: although key-1 itself signed it."""
    assert await reason(token(claims(), header=header)) is INVALID


async def test_a_signature_made_with_the_public_key_is_refused() -> None:
    """S20: HS256 with the RSA public key as its secret, in each form that libraries print."""
    public = private_key("key-1").public_key()
    for form in (
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk("key-1")).encode(),
    ):
        for alg in ("HS256", "RS256"):
            head = (
                unpadded(json.dumps({**HEADER, "alg": alg}).encode())
                + "."
                + unpadded(json.dumps(claims()).encode())
            )
            mac = hmac.new(form, head.encode(), hashlib.sha256).digest()
            assert await reason(f"{head}.{unpadded(mac)}") is INVALID


def resigned(spoil: object) -> str:
    """Return a good token, spoiled in its text."""
    assert callable(spoil)
    spoiled = spoil(token(claims()))
    assert isinstance(spoiled, str)
    return spoiled


SPOILED = {
    "another signature": lambda text: (
        text[:-8] + ("AAAAAAAA" if not text.endswith("AAAAAAAA") else "BBBBBBBB")
    ),
    "no signature": lambda text: text.rpartition(".")[0] + ".",
    "no signature and no dot": lambda text: text.rpartition(".")[0],
    "another payload": lambda text: text.replace(
        text.split(".")[1], unpadded(json.dumps(claims(oid=OTHER_OID)).encode())
    ),
    "no payload": lambda text: text.replace(text.split(".")[1], ""),
    "four parts": lambda text: text + ".e30",
    "five parts, as an encrypted token": lambda text: text + ".e30.e30",
    "two tokens": lambda text: text + text,
    "padding": lambda text: text + "=",
    "white space": lambda text: text[:30] + " " + text[30:],
    "a line feed at the end": lambda text: text + "\n",
    "the standard alphabet": lambda text: text[:-4] + "+/+/",
    "JSON serialisation": lambda text: json.dumps({"payload": text.split(".")[1], "signatures": []}),
    "a NUL": lambda text: text + "\0",
    "letters that are not ASCII": lambda text: text + "\u00e9",
    "half a surrogate pair": lambda text: text + "\ud800",
    "nothing": lambda _text: "",
    "dots": lambda _text: "..",
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
async def test_a_token_changed_in_any_place_is_refused(spoil: object) -> None:
    """S20: and remembering the good one does not help it."""
    by = verifier()
    await by.verify(token(claims()))
    assert await reason(resigned(spoil), by=by) is INVALID


async def test_left_over_bits_are_refused() -> None:
    """S20: one text for one signature; 256 bytes leave four bits over."""
    good = token(claims())
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = good[:-1] + letters[letters.index(good[-1]) + 1]
    assert base64.urlsafe_b64decode(other.split(".")[2] + "==") == base64.urlsafe_b64decode(
        good.split(".")[2] + "=="
    )
    assert await reason(other) is INVALID


async def test_another_tenants_key_is_refused() -> None:
    """S20, S22: a signature counts by the key that `kid` names, whoever else is trusted."""
    by = verifier(keys=FixedKeys("key-1", "key-2"))
    assert await reason(token(claims(), signed_by="key-2"), by=by) is INVALID
    assert (
        await reason(token(claims(), header={**HEADER, "kid": "key-3"}, signed_by="key-3"), by=by) is INVALID
    )


async def test_a_compressed_payload_is_refused() -> None:
    """S20: nothing is inflated."""
    assert await reason(token(zlib.compress(json.dumps(claims()).encode()))) is INVALID


async def test_a_token_inside_a_token_is_refused() -> None:
    """S20: the payload of a nested token is no claims."""
    assert await reason(token(token(claims()).encode())) is INVALID


async def test_a_large_token_is_refused_and_two_hundred_groups_are_not() -> None:
    """S20: above 16 KiB nothing is looked at; Entra's largest token is below."""
    groups = [f"11111111-aaaa-4bbb-8ccc-{number:012}" for number in range(200)]
    text = token(claims(groups=groups))
    assert len(text) < MAX_TOKEN
    assert len((await verifier().verify(text)).groups) == 200
    assert await reason(token(claims(x="x" * 12_000))) is INVALID
