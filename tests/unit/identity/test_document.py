"""The principal document: one shape, one encoding, and bounds."""

from __future__ import annotations

import base64
import json
import time

import pytest

from shared.identity.claims import Claims
from shared.identity.document import MAX_CLAIMS, MAX_HEADER, MAX_VALUE, parse_header, parse_principal
from shared.problem import Unauthenticated
from tests.unit.identity.fakes_principal import GROUP, OID, TENANT, compact, document, encoded, user

WHOLE = document(user())


def refused(data: bytes) -> None:
    for header in (base64.b64encode(data).decode(), base64.b64encode(data).decode().rstrip("=")):
        with pytest.raises(Unauthenticated):
            parse_header(header)


SHAPES: dict[str, object] = {
    "Static Web Apps, signed in": {
        "identityProvider": "aad",
        "userId": OID,
        "userDetails": "ada@example.org",
        "userRoles": ["anonymous", "authenticated"],
    },
    "Static Web Apps, with claims": {
        "identityProvider": "aad",
        "userId": OID,
        "userDetails": "ada@example.org",
        "userRoles": ["authenticated", GROUP],
        "claims": [{"typ": "groups", "val": GROUP}],
    },
    "Static Web Apps, anonymous": {"userRoles": ["anonymous"]},
    "Static Web Apps, in an envelope": {"clientPrincipal": {"identityProvider": "aad", "userId": OID}},
    "both shapes in one": {**WHOLE, "userId": OID},
    "an unknown member": {**WHOLE, "extra": 1},
    "a member in other case": {**WHOLE, "Auth_Typ": "aad"},
    "no claims": {"auth_typ": "aad"},
    "no auth_typ": {"claims": []},
    "claims as an object": {"auth_typ": "aad", "claims": {"oid": OID}},
    "a claim as a pair": {"auth_typ": "aad", "claims": [["oid", OID]]},
    "a claim with one member more": {"auth_typ": "aad", "claims": [{"typ": "oid", "val": OID, "x": ""}]},
    "a claim without a value": {"auth_typ": "aad", "claims": [{"typ": "oid"}]},
    "a value that is a number": {"auth_typ": "aad", "claims": [{"typ": "iat", "val": 1}]},
    "a value that is a list": {"auth_typ": "aad", "claims": [{"typ": "groups", "val": [GROUP]}]},
    "a value that is null": {"auth_typ": "aad", "claims": [{"typ": "groups", "val": None}]},
    "name_typ that is null": {**WHOLE, "name_typ": None},
    "auth_typ that is a list": {**WHOLE, "auth_typ": ["aad"]},
    "a list around it": [WHOLE],
    "a string of it": json.dumps(WHOLE),
    "null": None,
}


@pytest.mark.parametrize("value", SHAPES.values(), ids=SHAPES.keys())
def test_another_shape_is_refused(value: object) -> None:
    """S04, S09: the shape of Static Web Apps, and any other that is not the documented one."""
    refused(compact(value))
    refused(json.dumps(value, indent=1).encode())


BYTES = {
    "auth_typ twice": b'{"auth_typ":"github","auth_typ":"aad","claims":[]}',
    "auth_typ twice, once escaped": b'{"auth\\u005ftyp":"github","auth_typ":"aad","claims":[]}',
    "claims twice": b'{"auth_typ":"aad","claims":[{"typ":"oid","val":"a"}],"claims":[]}',
    "claims twice, the first empty": b'{"auth_typ":"aad","claims":[],"claims":[{"typ":"oid","val":"a"}]}',
    "typ twice in a claim": b'{"auth_typ":"aad","claims":[{"typ":"name","typ":"oid","val":"a"}]}',
    "val twice in a claim": b'{"auth_typ":"aad","claims":[{"typ":"oid","val":"a","val":"b"}]}',
    "val twice, once escaped": b'{"auth_typ":"aad","claims":[{"typ":"oid","val":"a","v\\u0061l":"b"}]}',
    "name_typ twice": b'{"auth_typ":"aad","claims":[],"name_typ":"a","name_typ":"b"}',
    "val twice beside an escaped quote": b'{"auth_typ":"aad","claims":[{"typ":"o\\"","val":"a","val":"b"}]}',
    "a byte order mark": b"\xef\xbb\xbf" + compact(WHOLE),
    "UTF-16": compact(WHOLE).decode().encode("utf-16"),
    "invalid UTF-8": compact(WHOLE).replace(b"Ada", b"\xff\xfe"),
    "a surrogate in UTF-8": compact(WHOLE).replace(b"Ada", b"\xed\xa0\x80"),
    "half a surrogate pair": compact(WHOLE).replace(b"Ada", b"\\ud800"),
    "trailing data": compact(WHOLE) + b"x",
    "a second document": compact(WHOLE) * 2,
    "a trailing NUL": compact(WHOLE) + b"\0",
    "an unknown NaN": b'{"auth_typ":"aad","claims":[],"x":NaN}',
    "deep nesting": b'{"auth_typ":"aad","claims":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "deep nesting in an unknown member": b'{"auth_typ":"aad","claims":[],"x":'
    + b"[" * 20_000
    + b"]" * 20_000
    + b"}",
    "nothing": b"",
}


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES.keys())
def test_hostile_bytes_are_refused(data: bytes) -> None:
    """S09: what two readers could read differently, or one reader not at all."""
    refused(data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:40] + " " + text[40:],
        lambda text: text[:40] + "\n" + text[40:],
        lambda text: text[:40] + "=" + text[41:],
        lambda text: text[:40] + "-" + text[41:],
        lambda text: text[:40] + "_" + text[41:],
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text + "AAAA",
        lambda text: text + "=",
        lambda text: text + "====",
        lambda text: text.rstrip("=") + "A",
        lambda text: text + "," + text,
        lambda text: text + ", " + text,
        lambda text: text[:-4] + "\u0131" + text[-3:],
        lambda text: text[:40] + "\ud800" + text[41:],
        lambda text: text[:40] + "\0" + text[41:],
        lambda text: "data:application/json;base64," + text,
    ],
)
def test_loose_base64_is_refused(spoil: object) -> None:
    """S09, S08: no white space, no other alphabet, no junk, nothing after the padding, no second header."""
    assert callable(spoil)
    with pytest.raises(Unauthenticated):
        parse_header(spoil(encoded(user())))


def test_one_document_has_one_text() -> None:
    """S09: bits left over in the last character would make two texts for one principal."""
    text = next(text for pad in ("", "x", "xx") if (text := encoded(user(name=pad))).endswith("=="))
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = text[:-3] + last[last.index(text[-3]) + 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(text)
    with pytest.raises(Unauthenticated):
        parse_header(other)


@pytest.mark.parametrize("filling", ["", "x", "xx"])
def test_missing_padding_is_added(filling: str) -> None:
    """Protocols 1.1: the platform may drop it; some of it is as wrong as too much."""
    text = encoded(user(name=filling))
    assert parse_header(text.rstrip("=")) == parse_header(text)
    if text.endswith("=="):
        with pytest.raises(Unauthenticated):
            parse_header(text[:-1])


def test_a_caller_in_two_hundred_groups_fits() -> None:
    """Fact 13: a cap below 20 KB would break real callers."""
    groups = [("groups", f"11111111-aaaa-4bbb-8ccc-{number:012}") for number in range(200)]
    text = encoded([*user(), *groups])
    assert len(text) > 17_000
    assert len(parse_header(text).claims.all("groups")) == 201


def test_the_bounds_hold() -> None:
    """S09: 64 KiB of base64, 2,000 claims, 4 KiB a value; what is at the bound passes."""
    minimal = {"auth_typ": "aad", "claims": []}
    assert parse_principal(compact(document([("x", "")] * MAX_CLAIMS)))
    assert parse_principal(compact(document([("x", "v" * MAX_VALUE)])))
    for data in (document([("x", "")] * (MAX_CLAIMS + 1)), document([("x", "v" * (MAX_VALUE + 1))])):
        with pytest.raises(Unauthenticated):
            parse_principal(compact(data))
    padded = json.dumps(minimal).encode().ljust(MAX_HEADER // 4 * 3)
    assert len(base64.b64encode(padded)) == MAX_HEADER
    assert parse_header(base64.b64encode(padded).decode())
    with pytest.raises(Unauthenticated):
        parse_header(base64.b64encode(padded + b"   ").decode())


@pytest.mark.parametrize(
    "text",
    [
        "A" * 1_000_000,
        base64.b64encode(b'{"claims":[' * 4_000).decode(),
        "=" * MAX_HEADER,
        "," * MAX_HEADER,
        base64.b64encode(b'[[[[[[[[["' + b'\\"' * 24_000).decode(),
    ],
)
def test_the_worst_header_costs_little(text: str) -> None:
    """S09, B8: 20 ms at most, whatever comes."""
    began = time.process_time()
    with pytest.raises(Unauthenticated):
        parse_header(text)
    assert time.process_time() - began < 0.02


@pytest.mark.parametrize("indent", [None, 2], ids=["spaces", "lines"])
def test_white_space_and_escapes_change_nothing(indent: int | None) -> None:
    """Lawful JSON that the platform does not write is read all the same."""
    said = parse_principal(json.dumps(WHOLE, indent=indent).encode())
    assert said == parse_principal(compact(WHOLE))
    assert said == parse_principal(compact(WHOLE).replace(b"auth_typ", b"\\u0061uth_typ"))
    assert said.auth_typ == "aad"
    assert said.claims.one("tid") == TENANT


def test_escaped_quotes_are_lawful() -> None:
    """Protocols 1.2 B: an overage marker carries JSON in a string."""
    pairs = [*user(groups=None), ("_claim_names", '{"groups":"src1"}')]
    said = parse_principal(compact(document(pairs)))
    assert said.claims == Claims.of(pairs)
    assert said.claims.overage


def test_the_last_two_members_may_be_absent() -> None:
    """They are ignored (threat S10), so their absence is no fault."""
    assert parse_principal(b'{"claims":[{"val":"a","typ":"oid"}],"auth_typ":"aad"}').claims == Claims.of(
        [("oid", "a")]
    )
