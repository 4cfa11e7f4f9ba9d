"""Whether a page of another site made the browser send a request with the caller's session cookie (threat S23)."""

from __future__ import annotations

import re
from typing import Final

from shared.model import Ambiguous, Headers

_BEARER: Final = re.compile(r"bearer +[^ ]", re.IGNORECASE | re.ASCII)
_OWN: Final = frozenset({"same-origin", "none"})
_PLAIN_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_cross_site(headers: Headers) -> bool:
    """Say whether a cookie may have signed the caller in for another site's page; the gate then refuses with 403.

    Only a browser adds a cookie by itself, and no page of another site can add `Authorization` without asking first
    (CORS), so a request with `Authorization` or without a cookie is not looked at. Of the others, `Sec-Fetch-Site`
    decides (W3C Fetch Metadata: `same-origin`, or `none` for what the person typed), and in browsers that lack it,
    `Origin`, which must be this host's own. A header that came twice, or an `Origin` that cannot be compared, counts
    as cross-site.
    """
    if headers.joined("cookie") is None or _BEARER.match(headers.joined("authorization") or ""):
        return False
    try:
        site, origin, host = map(headers.get, ("sec-fetch-site", "origin", "host"))
    except Ambiguous:
        return True
    if site is not None:
        return site not in _OWN
    return origin is not None and not _is_own(origin, host)


def _is_own(origin: str, host: str | None) -> bool:
    """Say whether `origin` (RFC 6454, section 7) is `https` on this host, or plain `http` on loopback."""
    if not host:
        return False
    lower = host.lower()
    name = lower if lower.endswith("]") else lower.rpartition(":")[0] or lower
    return origin == f"https://{lower}" or (origin == f"http://{lower}" and name in _PLAIN_HOSTS)
