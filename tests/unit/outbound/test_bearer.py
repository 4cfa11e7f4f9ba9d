"""Which tokens the gate shows to others (threats E11, F19)."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.outbound.bearer import BadToken, expiry

ML = "https://ml.azure.com/.default"
GRAPH = "https://graph.microsoft.com/.default"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
END = 2_000_000_000


def jwt(payload: object) -> str:
    """Return a token of three parts that nobody signed."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part(payload)}.c2ln"


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        (ML, "https://ml.azure.com"),
        (ML, "https://ml.azure.com/"),
        ("https://ml.azure.us//.default", "https://ml.azure.us/"),
        (ML, "HTTPS://ML.azure.com"),
        (GRAPH, "https://graph.microsoft.com"),
        (GRAPH, GRAPH_APP),
        ("https://graph.microsoft.us/.default", GRAPH_APP),
        ("https://microsoftgraph.chinacloudapi.cn/.default", GRAPH_APP),
        (ML, "11111111-2222-3333-4444-555555555555"),
    ],
)
def test_a_token_for_the_scopes_resource_is_taken(scope: str, audience: str) -> None:
    """E11: the resource by its URL with or without a slash, or by an application id."""
    assert expiry(jwt({"aud": audience}), END, scope=scope) == END


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        (ML, "https://graph.microsoft.com"),
        (ML, GRAPH_APP),
        (GRAPH, "https://ml.azure.com"),
        (GRAPH, "11111111-2222-3333-4444-555555555555"),
        (ML, "https://ml.azure.com.evil.example"),
        (ML, "https://management.azure.com"),
        (ML, "https://ml.azure.com/.default"),
        (ML, ""),
        (ML, ["https://ml.azure.com"]),
        (ML, 7),
    ],
)
def test_a_token_for_another_resource_is_refused(scope: str, audience: object) -> None:
    """E11, F19: a token of the wrong audience is never shown to anybody."""
    with pytest.raises(BadToken, match="audience"):
        expiry(jwt({"aud": audience}), END, scope=scope)


def test_a_token_that_is_no_jwt_is_taken_as_it_is() -> None:
    """A token is opaque to its client; only what claims to be a JWT is looked into."""
    for token in ("EwBwA8l6BAAU+opaque/~token==", "tok-https://ml.azure.com", "a.b.c", "token.for.ml"):
        assert expiry(token, END, scope=ML) == END


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "a b",
        "a\r\nx-evil: 1",
        "a\n",
        "tök",
        "a\x00",
        None,
        b"abc",
        7,
        "eyJhbGciOiJSUzI1NiJ9.W10.c",
        "eyJhbGciOiJSUzI1NiJ9.x.c",
    ],
)
def test_what_is_no_bearer_token_is_refused(token: object) -> None:
    """F19, I01: nothing that could end a header, and no JWT without claims."""
    with pytest.raises(BadToken):
        expiry(token, END, scope=ML)


def test_the_earlier_end_counts() -> None:
    """F19: a token that ends before the endpoint says so ends when it says itself."""
    assert expiry(jwt({"aud": "https://ml.azure.com", "exp": 5}), END, scope=ML) == 5
    assert expiry(jwt({"aud": "https://ml.azure.com", "exp": END + 5}), END, scope=ML) == END


@pytest.mark.parametrize("end", [float("nan"), float("inf")])
def test_an_end_that_is_no_time_is_refused(end: float) -> None:
    """A token is never kept for ever."""
    with pytest.raises(BadToken):
        expiry("opaque", end, scope=ML)


@given(st.text() | st.binary() | st.none(), st.floats())
def test_every_token_is_taken_or_bad(token: object, end: float) -> None:
    """P10: no token leads to any other error, and none is good for longer than said."""
    try:
        assert expiry(token, end, scope=ML) <= end
    except BadToken as bad:
        assert not isinstance(token, str) or len(token) < 5 or token not in str(bad)
