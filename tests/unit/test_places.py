"""Addresses of data: one reading each, and none that leads out of what a policy allows (threat T10)."""

from __future__ import annotations

import posixpath
import tomllib
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.places import (
    MAX_SEGMENT,
    MAX_SEGMENTS,
    MAX_TEXT,
    Place,
    PlaceError,
    below,
    parse,
    text_of,
    within,
)

HOSTILE = tomllib.loads((Path(__file__).parent / "backends" / "hostile_uris.toml").read_text("utf-8"))
PREFIXES = [parse(text) for text in HOSTILE["policy"]["inputs"]]
ROWS = {**HOSTILE["malformed"], **HOSTILE["elsewhere"]}

STORAGE = "https://contosodata.blob.core.windows.net/fraud"
WORKSPACE = (
    "/subscriptions/6f1b2c3d-0000-4000-8000-00000000005a/resourceGroups/ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/fraud"
)
DATASTORE = f"{WORKSPACE}/datastores/claims/paths"
DATA = f"{WORKSPACE}/data/claims"


@pytest.mark.parametrize("text", HOSTILE["malformed"].values(), ids=HOSTILE["malformed"].keys())
def test_t10_it_is_no_address(text: str) -> None:
    """T10: refused before any policy is asked, in fixed words that quote nothing."""
    with pytest.raises(PlaceError) as caught:
        parse(text)
    said = str(caught.value)
    assert said == said.strip()
    assert said
    assert not any(word in said for word in ("contoso", "secret", "x.csv", "evil", "c2VjcmV0", "%", "claims"))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a backslash", "has a backslash"),
        ("a signature", "has a query, a signature"),
        ("a fragment", "has a query, a signature \\(SAS\\) or a fragment"),
        ("user information before the host", "has user information"),
        ("another port", "names no account .* without a port"),
        ("another host", "names no account"),
        ("no container", "names no container"),
        ("a host in capitals", "must have the account in lower case"),
        ("a wildcard", "has a wildcard; a folder holds all"),
        ("dot segments out of the folder", "has a dot segment"),
        ("encoded dots", "has a dot segment"),
        ("dots full-width, encoded", "has a character that is not in Unicode's normal form"),
        ("an encoded slash", "has a character that is not taken"),
        ("dots encoded twice", "has a character that is not taken"),
        ("dots as overlong UTF-8", "has a percent-encoding that is no UTF-8"),
        ("an encoded letter", "is not percent-encoded in the one way"),
        ("an empty segment", "has an empty segment"),
        ("a blank", "is empty, or has white space"),
        ("a line feed at the end", ".* a control character"),
        ("a letter that is not encoded", ".* or a letter to be percent-encoded"),
        ("no address at all", "is empty"),
        ("an address of 2,049 characters", "is too long"),
        ("Azure ML's own scheme", "is none of the forms"),
        ("plain http", "is none of the forms"),
        ("a datastore without a path", "is no ARM id"),
    ],
)
def test_whoever_meant_well_learns_what_is_wrong(name: str, said: str) -> None:
    """The words fit what the address tries, so that a colleague can mend it."""
    with pytest.raises(PlaceError, match=f"^(?:{said})"):
        parse(HOSTILE["malformed"][name])


@pytest.mark.parametrize("text", HOSTILE["elsewhere"].values(), ids=HOSTILE["elsewhere"].keys())
def test_t10_it_lies_elsewhere(text: str) -> None:
    """T10: an address like any other, and outside of every prefix of the policy."""
    place = parse(text)
    assert not any(within(place, prefix) for prefix in PREFIXES)


def test_the_table_is_as_long_as_it_says() -> None:
    """T10: at least 80 ways, no two alike, against prefixes of all three forms that let something in."""
    assert len(ROWS) == len(HOSTILE["malformed"]) + len(HOSTILE["elsewhere"])
    assert len(set(ROWS.values())) == len(ROWS) >= 80
    assert {prefix.kind for prefix in PREFIXES} == {"storage", "datastore", "data"}
    for text in (f"{STORAGE}/in/x.csv", f"{DATASTORE}/in/x.csv", f"{DATA}/versions/1"):
        assert sum(within(parse(text), prefix) for prefix in PREFIXES) == 1


ROOT = WORKSPACE.lower()
TAKEN = {
    "a file": (f"{STORAGE}/in/x.csv", "storage", STORAGE, ("in", "x.csv"), False),
    "a folder": (f"{STORAGE}/in/", "storage", STORAGE, ("in",), True),
    "a folder without its slash": (f"{STORAGE}/in", "storage", STORAGE, ("in",), False),
    "a container": (f"{STORAGE}/", "storage", STORAGE, (), True),
    "a container without a slash": (STORAGE, "storage", STORAGE, (), True),
    "a data lake": (
        "https://abc.dfs.core.windows.net/0-9/x",
        "storage",
        "https://abc.dfs.core.windows.net/0-9",
        ("x",),
        False,
    ),
    "US Government": (
        "https://abc.blob.core.usgovcloudapi.net/abc/x",
        "storage",
        "https://abc.blob.core.usgovcloudapi.net/abc",
        ("x",),
        False,
    ),
    "China": (
        "https://abc.dfs.core.chinacloudapi.cn/abc/x",
        "storage",
        "https://abc.dfs.core.chinacloudapi.cn/abc",
        ("x",),
        False,
    ),
    "encoded as it has to be": (
        f"{STORAGE}/date%3D2026-01-01/caf%C3%A9%20%281%29%2Ba~b_c%2Cd.csv",
        "storage",
        STORAGE,
        ("date=2026-01-01", "café (1)+a~b_c,d.csv"),
        False,
    ),
    "other alphabets, with marks": (
        f"{STORAGE}/{quote('数据')}/{quote('हिन्दी')}",
        "storage",
        STORAGE,
        ("数据", "हिन्दी"),
        False,
    ),
    "names that begin with a dot": (f"{STORAGE}/.amlignore", "storage", STORAGE, (".amlignore",), False),
    "a path in a datastore": (
        f"{DATASTORE}/in/x.csv",
        "datastore",
        f"{ROOT}/datastores/claims",
        ("in", "x.csv"),
        False,
    ),
    "a whole datastore": (f"{DATASTORE}/", "datastore", f"{ROOT}/datastores/claims", (), True),
    "a whole datastore without a slash": (DATASTORE, "datastore", f"{ROOT}/datastores/claims", (), True),
    "registered data": (f"{DATA}/versions/2026.1", "data", f"{ROOT}/data", ("claims", "2026.1"), False),
    "registered data of every version": (DATA, "data", f"{ROOT}/data", ("claims",), False),
}


@pytest.mark.parametrize(("text", "kind", "root", "path", "folder"), TAKEN.values(), ids=TAKEN.keys())
def test_it_is_an_address(text: str, kind: str, root: str, path: tuple[str, ...], folder: bool) -> None:
    """The three forms of protocols 5.1, and what each is made of."""
    place = parse(text)
    assert (place.kind, place.root, place.path, place.folder) == (kind, root, path, folder)
    assert parse(text_of(place)) == place


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (f"{STORAGE}/in/x%20y.csv", f"{STORAGE}/in/x%20y.csv"),
        (f"{STORAGE}/in/", f"{STORAGE}/in/"),
        (STORAGE, f"{STORAGE}/"),
        (DATASTORE, f"{DATASTORE}/"),
        (f"{DATASTORE.upper()}/In/X.csv", f"{DATASTORE}/In/X.csv"),
        (f"{DATASTORE.lower()}/In/", f"{DATASTORE}/In/"),
        (f"{WORKSPACE.upper()}/DATA/Claims/VERSIONS/1a", f"{WORKSPACE}/data/Claims/versions/1a"),
        (DATA, DATA),
        (
            f"{DATASTORE.replace('/ml/', '/resourceGroups/')}/in",
            f"{DATASTORE.replace('/ml/', '/resourcegroups/')}/in",
        ),
    ],
)
def test_it_has_one_spelling(text: str, canonical: str) -> None:
    """ARM ids compare without regard to case: written as Azure writes their words, names in lower case."""
    assert text_of(parse(text)) == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(
    ("text", "prefix", "inside"),
    [
        ("/in", "/in", True),
        ("/in/", "/in", True),
        ("/in/x", "/in", True),
        ("/in/x/y/", "/in", True),
        ("/in/", "/in/", True),
        ("/in/x", "/in/", True),
        ("/in", "/in/", False),
        ("/input", "/in", False),
        ("/in.csv", "/in", False),
        ("/In", "/in", False),
        ("/x/in", "/in", False),
        ("/", "/in", False),
        ("/in", "/in/x", False),
        ("/in", "/", True),
        ("/", "/", True),
    ],
)
def test_a_prefix_holds_what_is_below_it(text: str, prefix: str, inside: bool) -> None:
    """T10: segment by segment and by letter case; a folder does not hold the file of its name beside it."""
    for root in (STORAGE, DATASTORE):
        assert within(parse(root + text), parse(root + prefix)) is inside
    assert not within(parse(STORAGE + text), parse(DATASTORE + prefix))


def test_registered_data_is_held_by_its_name() -> None:
    """T10: without a version every version, with one only that; never a name that begins alike."""
    one, other = parse(f"{DATA}/versions/1"), parse(f"{DATA}/versions/10")
    assert within(one, parse(DATA))
    assert within(one, one)
    assert not within(other, one)
    assert not within(parse(DATA), one)
    assert not within(parse(f"{DATA}2/versions/1"), parse(DATA))


@pytest.mark.parametrize(
    "segment",
    ["", ".", "..", "...", "a..b", "a.", "a ", " a", "a/b", "a\\b", "a%2Fb", "a:b", "a?b", "a\n", "．．", "\ud800", "e\u0301", "a" * 256],
)  # fmt: skip
def test_t10_nothing_that_leads_away_is_put_below_a_place(segment: str) -> None:
    """T10: what the gate itself puts below a place is held to the same rules as what is read."""
    with pytest.raises(PlaceError):
        below(parse(f"{STORAGE}/out"), segment, folder=True)


def test_what_is_put_below_a_place_is_written_after_it() -> None:
    """A folder or a file, below a container or a datastore; registered data holds nothing."""
    assert text_of(below(parse(STORAGE), "a b", "c", folder=True)) == f"{STORAGE}/a%20b/c/"
    assert text_of(below(parse(f"{DATASTORE}/out/"), "x.csv", folder=False)) == f"{DATASTORE}/out/x.csv"
    for text in (DATA, f"{DATA}/versions/1"):
        with pytest.raises(PlaceError):
            below(parse(text), "x", folder=False)


def test_addresses_are_bounded() -> None:
    """D08: as long, and as deep, as stated and no further, whoever writes them."""
    longest = f"{STORAGE}/" + "/".join(["a" * MAX_SEGMENT] * 7)
    longest += "/" + "a" * (MAX_TEXT - len(longest) - 1)
    deepest = STORAGE + "/a" * MAX_SEGMENTS
    for text in (longest, deepest, f"{STORAGE}/{'a' * MAX_SEGMENT}"):
        place = parse(text)
        assert text_of(place) == text
    for text in (f"{longest}a", f"{deepest}/a", f"{STORAGE}/{'a' * (MAX_SEGMENT + 1)}"):
        with pytest.raises(PlaceError, match="too long"):
            parse(text)
    for text in (longest, deepest):
        with pytest.raises(PlaceError, match="too long"):
            below(parse(text), "a", folder=False)


_LAWFUL = st.sampled_from(["a", "/a", "a/", "b.csv", "/in/", "%3D", "%C3%A9", "~", "-"])
_HOSTILE = st.sampled_from(
    [*"./\\%:?#@;&= \x00", "..", "%2e", "%2E", "%2F", "%5C", "%25", "%C0%AE", "%EF%BC%8E", "//", "/../", "/..",
     "é", "．", "／", "%E2%80%A5", "\u0301", "%CC%81"]
)  # fmt: skip
_ADDRESSES = st.builds(
    lambda begun, pieces: begun + "".join(pieces),
    st.sampled_from(
        [STORAGE, f"{STORAGE}/in", f"{STORAGE}/in/", f"{DATASTORE}/in/", DATASTORE, f"{DATA}/versions/"]
    ),
    st.lists(_LAWFUL | _LAWFUL | _HOSTILE | st.text(max_size=2), max_size=4),
)
_SEGMENT = st.text(
    st.sampled_from("abcXYZ019 -._~=+,()é数ñ") | st.characters(codec="utf-8"), min_size=1, max_size=12
)


def readings(text: str) -> list[str]:
    """Return the text as readers take it who decode never, once, or again and again, each with dots resolved."""
    found = [text]
    while (decoded := unquote(found[-1])) != found[-1]:
        found.append(decoded)
    return [posixpath.normpath(one) + ("/" if one.endswith("/") else "") for one in found]


@settings(max_examples=300)
@given(_ADDRESSES)
def test_t10_nothing_that_is_inside_can_be_read_as_outside(text: str) -> None:
    """T10: whatever is within a prefix begins with it, decoded never, once or often, dot segments followed or not."""
    try:
        place = parse(text)
    except PlaceError:
        return
    assert parse(text_of(place)) == place
    for prefix in HOSTILE["policy"]["inputs"]:
        if within(place, parse(prefix)):
            begin = posixpath.normpath(prefix) + "/"
            assert all((reading.rstrip("/") + "/").startswith(begin) for reading in readings(text))
            assert text_of(place) == text


@given(st.sampled_from([STORAGE, DATASTORE]), st.lists(_SEGMENT, min_size=1, max_size=5), st.booleans())
def test_what_is_written_is_read_back(root: str, segments: list[str], folder: bool) -> None:
    """Every place that can be made has one text, which means it and nothing else."""
    try:
        place = below(parse(root), *segments, folder=folder)
    except PlaceError:
        return
    text = text_of(place)
    assert text.isascii()
    assert (
        parse(text) == place == Place(kind=place.kind, root=place.root, path=tuple(segments), folder=folder)
    )
    assert within(place, parse(root))
    if folder:
        assert not within(parse(text.removesuffix("/") + "x"), place)


@given(st.text(max_size=60) | st.text(max_size=60).map(lambda text: f"{STORAGE}/{text}"))
def test_any_text_is_a_place_or_the_one_error(text: str) -> None:
    """Total: whatever comes, nothing else is raised."""
    try:
        place = parse(text)
    except PlaceError:
        return
    assert parse(text_of(place)) == place
