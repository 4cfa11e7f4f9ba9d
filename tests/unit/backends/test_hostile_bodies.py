"""The hostile bodies against parsing, checking and estimating: threats T06, T07, T08 and T09."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shared.backends import fields, multipart, tokens
from shared.problem import AskedWrongly, Slug
from shared.strictjson import StrictJsonError, parse_object
from tests.unit.backends.hostile_bodies import HOSTILE, TRANSCRIPTIONS, Hostile


def answer(hostile: Hostile) -> int:
    """Return the status that the order of the checks gives: the carrier, the text, the model, the fields, the ids."""
    essence, _, parameters = hostile.content_type.partition(";")
    wanted = "multipart/form-data" if hostile.operation == TRANSCRIPTIONS else "application/json"
    if essence != wanted or hostile.headers:
        return 415
    if wanted == "application/json" and parameters:
        return 400
    try:
        values = parsed(hostile)
        if values.get("model") != "gpt":
            return 400
        fields.check(hostile.operation, values, frozenset())
        ids = fields.stored_ids(hostile.operation, values)
        tokens.estimate(hostile.operation, values, default_max_tokens=1024)
    except StrictJsonError:
        return 400
    except AskedWrongly as wrong:
        assert wrong.slug is Slug.INVALID_REQUEST
        assert wrong.detail
        assert "secret" not in wrong.detail
        assert "evil" not in wrong.detail
        return wrong.status
    return 404 if ids else 200


def parsed(hostile: Hostile) -> Mapping[str, object]:
    if hostile.operation == TRANSCRIPTIONS:
        return multipart.parse(hostile.body, hostile.content_type).values
    return parse_object(hostile.body, max_depth=64).values


@pytest.mark.parametrize("hostile", HOSTILE, ids=[hostile.id for hostile in HOSTILE])
def test_it_does_not_get_through(hostile: Hostile) -> None:
    """T06, T07, T08, T09: each is answered as the table says."""
    assert answer(hostile) == hostile.status


def test_the_table_is_what_it_seems() -> None:
    """Every row says something of its own."""
    assert len({hostile.id for hostile in HOSTILE}) == len(HOSTILE) >= 80
