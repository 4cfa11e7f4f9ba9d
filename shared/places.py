"""Where the data of batch jobs lies: one canonical form for every address that a job may read or write. Pure.

A job reads and writes with the gate's own identity, so what is taken is small, and has one reading (threat T10). Three
forms (protocols, 5.1): a storage URL, a path in a datastore, and registered data by its ARM id. Of paths, each segment
is percent-encoded exactly as `urllib.parse.quote` would do it; what decodes to a dot segment, a slash or another
encoding is refused, however often one decodes, and whether or not Azure decodes at all: that is not verified for
datastores, and both readings lie in the same folder.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

import msgspec

MAX_TEXT: Final = 2048
"""Characters of an address as it is written."""
MAX_SEGMENTS: Final = 64
"""Segments of its path."""
MAX_SEGMENT: Final = 255
"""Characters of a segment, decoded."""

_VISIBLE: Final = re.compile(r"[!-~]+")
_STORAGE: Final = "https://"
_ACCOUNT: Final = re.compile(
    r"[a-z0-9]{3,24}\.(?:blob|dfs)\.core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)"
)
"""Blob and Data Lake hosts of one account are two places: what is allowed at one has not been allowed at the other."""
_CONTAINER: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""Naming and referencing containers, blobs, and metadata. `$root`, `$web` and `$logs` are not taken."""
_ARM: Final = "/subscriptions/"
_WORKSPACE: Final = (
    r"/subscriptions/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"/resourcegroups/[a-z0-9_()-](?:[a-z0-9_().-]{0,88}[a-z0-9_()-])?"
    r"/providers/microsoft\.machinelearningservices/workspaces/[a-z0-9][a-z0-9_-]{0,32}"
)
_DATASTORE: Final = re.compile(
    rf"(?P<root>{_WORKSPACE}/datastores/[a-z0-9_][a-z0-9_-]{{0,254}})/paths(?:/(?P<path>.*))?",
    re.IGNORECASE | re.ASCII,
)
_ASSET: Final = r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9_-])?"
_DATA: Final = re.compile(
    rf"(?P<root>{_WORKSPACE}/data)/(?P<name>{_ASSET})(?:/versions/(?P<version>{_ASSET}))?",
    re.IGNORECASE | re.ASCII,
)
_SPELLINGS: Final = (
    ("/resourcegroups/", "/resourceGroups/"),
    ("/providers/microsoft.machinelearningservices/", "/providers/Microsoft.MachineLearningServices/"),
)
"""The fixed words of ARM ids as Azure itself writes them, for readers that mind letter case after all."""
_PUNCTUATION: Final = frozenset(" -._~=+,()")
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"})
_MARKS: Final = frozenset({"Mn", "Mc"})


class PlaceError(ValueError):
    """The text is no address that the gate takes; its message says why, and quotes nothing of it."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One canonical address: two texts that mean the same place make equal ones."""

    kind: Literal["storage", "datastore", "data"]
    root: str
    """Up to where callers may not vary it by letter case: account and container, or the ARM id, in lower case."""
    path: tuple[str, ...] = ()
    """Decoded segments below `root`; none is empty, a dot segment, or spells one. Of registered data: name, version."""
    folder: bool = False
    """Whether it was written with a slash at its end; the root itself always is one."""


def parse(text: str) -> Place:
    """Return the place that `text` means; raise PlaceError, whose message follows on the address's own place or name.

    ARM ids compare without regard to letter case, up to the datastore's name. Paths compare with it, and so do names and
    versions of registered data: whether Azure tells these apart by case is not verified, so here they differ. Registered
    data without a version is a prefix for policies.
    """
    if len(text) > MAX_TEXT:
        raise PlaceError("is too long")
    if "*" in text:
        raise PlaceError("has a wildcard; a folder holds all that lies below it")
    if not _VISIBLE.fullmatch(text):
        raise PlaceError(
            "is empty, or has white space, a control character or a letter to be percent-encoded"
        )
    if "\\" in text:
        raise PlaceError("has a backslash")
    if "?" in text or "#" in text:
        raise PlaceError("has a query, a signature (SAS) or a fragment; an address alone is taken")
    if text.startswith(_STORAGE):
        return _storage(text.removeprefix(_STORAGE))
    if text[: len(_ARM)].lower() == _ARM:
        return _arm(text)
    raise PlaceError(
        "is none of the forms that are taken: an https URL of Azure Blob or Data Lake storage, the ARM id of a "
        "datastore with /paths/, or the ARM id of registered data"
    )


def within(place: Place, prefix: Place) -> bool:
    """Say whether `place` is `prefix` or lies below it, segment by segment: `in` holds `in/x`, never `input`.

    A prefix that is a folder (`in/`) does not hold the file `in` beside it.
    """
    if (place.kind, place.root) != (prefix.kind, prefix.root):
        return False
    if place.path[: len(prefix.path)] != prefix.path:
        return False
    return len(place.path) > len(prefix.path) or place.folder or not prefix.folder


def text_of(place: Place) -> str:
    """Return the one canonical spelling: `parse` makes an equal place of it."""
    root = place.root
    if place.kind == "storage":
        return f"{root}/{_encoded(place)}"
    for lower, usual in _SPELLINGS:
        root = root.replace(lower, usual)
    if place.kind == "datastore":
        return f"{root}/paths/{_encoded(place)}"
    return f"{root}/{'/versions/'.join(place.path)}"


def below(place: Place, *segments: str, folder: bool) -> Place:
    """Return the place so many decoded `segments` below; raise PlaceError where there is none, or it grows too long."""
    if place.kind == "data":
        raise PlaceError("is registered data, and nothing lies below it")
    for segment in segments:
        _check(segment)
    found = Place(kind=place.kind, root=place.root, path=(*place.path, *segments), folder=folder)
    if len(found.path) > MAX_SEGMENTS or len(text_of(found)) > MAX_TEXT:
        raise PlaceError("is too long")
    return found


def _storage(text: str) -> Place:
    host, _, rest = text.partition("/")
    if "@" in host:
        raise PlaceError("has user information")
    if not _ACCOUNT.fullmatch(host):
        if _ACCOUNT.fullmatch(host.lower()):
            raise PlaceError("must have the account in lower case")
        raise PlaceError(
            "names no account of Azure Blob or Data Lake storage, in lower case and without a port"
        )
    container, _, path = rest.partition("/")
    if not _CONTAINER.fullmatch(container):
        if _CONTAINER.fullmatch(container.lower()):
            raise PlaceError("must have the container in lower case")
        raise PlaceError("names no container")
    segments, folder = _path(path)
    return Place(kind="storage", root=f"{_STORAGE}{host}/{container}", path=segments, folder=folder)


def _arm(text: str) -> Place:
    if found := _DATASTORE.fullmatch(text):
        segments, folder = _path(found["path"] or "")
        return Place(kind="datastore", root=found["root"].lower(), path=segments, folder=folder)
    if found := _DATA.fullmatch(text):
        named = (found["name"], *((found["version"],) if found["version"] else ()))
        for segment in named:
            _check(segment)
        return Place(kind="data", root=found["root"].lower(), path=named)
    raise PlaceError("is no ARM id of a path in a workspace's datastore, or of registered data")


def _path(text: str) -> tuple[tuple[str, ...], bool]:
    """Return the decoded segments, and whether it is a folder's."""
    if not text:
        return (), True
    folder = text.endswith("/")
    segments = text.removesuffix("/").split("/")
    if len(segments) > MAX_SEGMENTS:
        raise PlaceError("is too long")
    return tuple(map(_decoded, segments)), folder


def _decoded(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise PlaceError("has a percent-encoding that is no UTF-8") from None
    _check(text)
    if quote(text, safe="") != segment:
        raise PlaceError(
            "is not percent-encoded in the one way that is taken: letters, digits and -._~ never, all else always, "
            "in capital hex digits"
        )
    return text


def _encoded(place: Place) -> str:
    path = "/".join(quote(segment, safe="") for segment in place.path)
    return f"{path}/" if path and place.folder else path


def _check(segment: str) -> None:
    """Raise PlaceError unless a decoded segment can be read in one way only."""
    if not segment:
        raise PlaceError("has an empty segment")
    if len(segment) > MAX_SEGMENT:
        raise PlaceError("is too long")
    # A dot or blank at the end is dropped by file systems of Windows: `..` and `.` are told by the same rule.
    if ".." in segment or segment[-1] in ". " or segment[0] == " ":
        raise PlaceError("has a dot segment, two dots in a row, or a segment with a blank or dot at its end")
    # NFKC and not only NFC: else a full-width dot or slash is one to whoever normalises later.
    if not unicodedata.is_normalized("NFKC", segment):
        raise PlaceError("has a character that is not in Unicode's normal form NFKC")
    joins = False
    for character in segment:
        category = unicodedata.category(character)
        letter = category in _LETTERS
        # A mark after a dot could be dropped by a reader, and leave a dot segment.
        if not letter and not (joins and category in _MARKS) and character not in _PUNCTUATION:
            raise PlaceError(
                "has a character that is not taken, such as an encoded slash, percent sign or colon"
            )
        joins = letter or category in _MARKS
