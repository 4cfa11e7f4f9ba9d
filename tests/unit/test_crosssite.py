"""Whether another site's page used the caller's session."""

from __future__ import annotations

import pytest

from shared.crosssite import is_cross_site
from shared.model import Headers

COOKIE = ("Cookie", "AppServiceAuthSession=x")
HOST = ("Host", "gate.example.org")

CROSS = {
    "another site": [("Sec-Fetch-Site", "cross-site")],
    "another host of the same site": [("Sec-Fetch-Site", "same-site")],
    "a word that nobody knows": [("Sec-Fetch-Site", "Same-Origin ")],
    "no word": [("Sec-Fetch-Site", "")],
    "two words": [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    "the word outweighs the origin": [
        ("Sec-Fetch-Site", "cross-site"),
        ("Origin", "https://gate.example.org"),
    ],
    "another origin": [("Origin", "https://evil.example")],
    "an origin that starts alike": [("Origin", "https://gate.example.org.evil.example")],
    "an origin that ends alike": [("Origin", "https://evil-gate.example.org")],
    "an origin at another port": [("Origin", "https://gate.example.org:8443")],
    "a plain origin": [("Origin", "http://gate.example.org")],
    "no origin to tell": [("Origin", "null")],
    "an empty origin": [("Origin", "")],
    "two origins": [("Origin", "https://gate.example.org"), ("Origin", "https://evil.example")],
}
OWN = {
    "the gate's own page": [("Sec-Fetch-Site", "same-origin")],
    "what the person typed": [("Sec-Fetch-Site", "none")],
    "the gate's own origin": [("Origin", "https://gate.example.org")],
    "no browser's headers at all": [],
}


@pytest.mark.parametrize("more", CROSS.values(), ids=CROSS.keys())
def test_a_cookie_sent_for_another_site_is_refused(more: list[tuple[str, str]]) -> None:
    """S23: where a cookie signed the caller in, the browser must say that it was for this gate."""
    assert is_cross_site(Headers([COOKIE, HOST, *more]))


@pytest.mark.parametrize("more", [*CROSS.values(), *OWN.values()])
def test_a_bearer_or_no_cookie_is_no_session(more: list[tuple[str, str]]) -> None:
    """S23: no other site's page can add Authorization, and without a cookie nothing was added for it."""
    assert not is_cross_site(Headers([COOKIE, HOST, ("Authorization", "Bearer x"), *more]))
    assert not is_cross_site(Headers([HOST, *more]))


@pytest.mark.parametrize("more", OWN.values(), ids=OWN.keys())
def test_the_gates_own_pages_may_use_it(more: list[tuple[str, str]]) -> None:
    """S23: same origin."""
    assert not is_cross_site(Headers([COOKIE, HOST, *more]))


@pytest.mark.parametrize("host", ["localhost", "localhost:7071", "127.0.0.1:7071", "[::1]", "[::1]:7071"])
def test_loopback_may_be_plain(host: str) -> None:
    """S19: on a laptop the gate's own origin is http, and only that very one."""
    assert not is_cross_site(Headers([COOKIE, ("Host", host), ("Origin", f"http://{host}")]))
    assert is_cross_site(Headers([COOKIE, ("Host", host), ("Origin", "http://evil.test")]))
    assert is_cross_site(Headers([COOKIE, ("Host", "evil.test:7071"), ("Origin", "http://evil.test:7071")]))


def test_without_a_host_nothing_is_own() -> None:
    """S23: an origin that cannot be compared counts as another."""
    assert is_cross_site(Headers([COOKIE, ("Origin", "https://gate.example.org")]))
