"""JSONTestSuite against the strict parser, and in the principal header."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.model import Reason
from shared.problem import Unauthenticated
from shared.strictjson import StrictJsonError, loads
from tests.unit.identity.fakes_principal import gatekeeper, headers
from tests.unit.vectors.corpora import files, needs_vectors

pytestmark = needs_vectors

PARSING = files("jsontestsuite/test_parsing")
TRANSFORM = files("jsontestsuite/test_transform")
DUPLICATES = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
DEEP = 500
"""The suite's lawful files nest up to this deep."""

DRESSINGS: dict[str, Callable[[str], str]] = {
    "standard": str,
    "without padding": lambda text: text.rstrip("="),
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "with white space and line breaks": lambda text: (
        "\r\n ".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\n"
    ),
    "with trailing data": lambda text: text + "!trailing",
}


def accepts(data: bytes) -> bool:
    """Say whether the parser takes `data`, with a depth limit that leaves the suite's own files room."""
    try:
        loads(data, max_depth=DEEP)
    except StrictJsonError:
        return False
    return True


def named(path: Path) -> str:
    return path.stem


def test_the_corpus_is_whole() -> None:
    """318 files: 95 lawful, 188 not, 35 that are free; and 22 that readers change."""
    assert [sum(path.name.startswith(kind) for path in PARSING) for kind in ("y_", "n_", "i_")] == [
        95,
        188,
        35,
    ]
    assert len(TRANSFORM) == 22


@pytest.mark.parametrize("path", [path for path in PARSING if path.name.startswith("y_")], ids=named)
def test_lawful_files_are_accepted(path: Path) -> None:
    """All but the two that say a name twice, which are refused on purpose."""
    assert accepts(path.read_bytes()) is (path.name not in DUPLICATES)


@pytest.mark.parametrize("path", [path for path in PARSING if path.name.startswith("n_")], ids=named)
def test_unlawful_files_are_refused(path: Path) -> None:
    """S09: all of them, also with room for depth, and with the one error."""
    assert not accepts(path.read_bytes())


@pytest.mark.parametrize("path", [path for path in PARSING if path.name.startswith("i_")], ids=named)
def test_files_that_are_free_are_answered_alike(path: Path) -> None:
    """S09: never in another encoding, never with half a surrogate pair or an infinite number."""
    data = path.read_bytes()
    assert accepts(data) is accepts(data)
    try:
        value = loads(data, max_depth=DEEP)
    except StrictJsonError:
        return
    assert not data.startswith(b"\xef\xbb\xbf")
    data.decode("utf-8", "strict")
    text = repr(value)
    text.encode("utf-8", "strict")
    assert "inf" not in text
    assert "nan" not in text


def test_of_the_free_files_only_sound_numbers_and_depth_are_taken() -> None:
    """The choice is written down, so that a change of it is seen."""
    assert {path.stem for path in PARSING if path.name.startswith("i_") and accepts(path.read_bytes())} == {
        "i_number_double_huge_neg_exp",
        "i_number_real_underflow",
        "i_number_too_big_neg_int",
        "i_number_too_big_pos_int",
        "i_number_very_big_negative_int",
        "i_structure_500_nested_arrays",
    }


@pytest.mark.parametrize("path", TRANSFORM, ids=named)
def test_files_that_readers_change(path: Path) -> None:
    """T07: names said twice and raw invalid code points are refused."""
    refused = path.stem.startswith("object_same_key") or (
        path.stem.startswith("string_")
        and path.stem.endswith(("_invalid_codepoint", "_invalid_codepoints"))
        and "escaped" not in path.stem
    )
    if refused:
        assert not accepts(path.read_bytes())


@pytest.mark.parametrize("dress", DRESSINGS.values(), ids=DRESSINGS.keys())
@pytest.mark.parametrize("path", PARSING + TRANSFORM, ids=named)
async def test_no_file_is_a_principal(path: Path, dress: Callable[[str], str]) -> None:
    """S09: 401 in five dressings, with one reason, within 20 ms of work."""
    data = path.read_bytes()  # noqa: ASYNC240 - a test's own file
    given = headers(dress(base64.b64encode(data).decode()))
    costs = []
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(Unauthenticated) as refused:
            await gatekeeper().authenticate(given)
        costs.append(time.process_time() - began)
        assert refused.value.status == 401
        # An empty file makes an empty header, which is none.
        assert refused.value.reason in (Reason.PRINCIPAL_MALFORMED, Reason.PRINCIPAL_MISSING)
    # The best of three: a garbage collection of the whole test run may fall into one.
    assert min(costs) < 0.02
