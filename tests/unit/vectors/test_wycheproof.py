"""Wycheproof's signature and key vectors against the step of key and signature (threat S20, S22)."""

from __future__ import annotations

import json
from typing import Any

from shared.identity import keyset
from shared.identity.keyset import KeySet, KeySetFault
from shared.identity.token import verified_payload
from shared.problem import Unauthenticated
from tests.unit.vectors.corpora import VECTORS, needs_vectors

pytestmark = needs_vectors

SIGNATURES_ACCEPTED = {33, 259, 260, 261, 262, 263, 345, 349}
KEYS_ACCEPTED = {5}

# Its modulus has the fingerprint of a library that made weak primes (ROCA). Keys come from the configured tenant alone,
# which makes them itself; finding such keys is the work of who makes them.
KEYS_EXCEPTED = {7}


def accepted(file: str) -> tuple[set[int], int]:
    """Return the test cases whose token verifies with the group's own key or key set, and how many cases there are."""
    taken, count = set(), 0
    for group in json.loads((VECTORS / "wycheproof" / file).read_bytes())["testGroups"]:
        keys = known(group.get("public") or group["private"])
        for case in group["tests"]:
            count += 1
            if keys is not None and verifies(case["jws"], keys):
                taken.add(case["tcId"])
    return taken, count


def known(given: dict[str, Any]) -> KeySet | None:
    """Return the usable keys when `given`, a key or a key set, is all that the verifier knows.

    The rule that a set of mixed kinds is refused and the rule that other kinds are dropped while the rest serve (Entra
    may add a kind of key at any time) meet where nothing usable is left: such a set is refused as a whole.
    """
    try:
        return keyset.parse(given if "keys" in given else {"keys": [given]})
    except KeySetFault:
        return None


def verifies(token: str, keys: KeySet) -> bool:
    try:
        verified_payload(token, keys)
    except Unauthenticated:
        return False
    return True


def test_exactly_the_rs256_signatures_are_accepted() -> None:
    """S20: every invalid vector is refused, and so are the valid ones of other algorithms."""
    assert accepted("json_web_signature_test.json") == (SIGNATURES_ACCEPTED, 401)


def test_exactly_the_sound_key_is_accepted() -> None:
    """S22: weak, ambiguous, mixed, symmetric and mislabelled keys are refused; one exception is documented above."""
    taken, count = accepted("json_web_key_test.json")
    assert taken - KEYS_EXCEPTED == KEYS_ACCEPTED
    assert count == 26
