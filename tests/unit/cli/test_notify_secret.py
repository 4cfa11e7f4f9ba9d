"""`groupgate notify-secret`: what the receiver of a job's end checks the signature with."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from shared.cli.main import main

SECRET = "a secret of more than thirty-two characters"
URL = "https://hooks.contoso.com/jobs"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give each test the one setting that counts."""
    monkeypatch.setenv("GROUPGATE_JOBS_SECRET", SECRET)
    return monkeypatch


def printed(url: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["notify-secret", url]) == 0
    line, end = capsys.readouterr().out.split("\n")
    assert end == ""
    return line


def test_the_secret_is_made_of_the_apps_own_and_the_receivers_host(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Standard Webhooks: `whsec_` and base64 of a key of at least 24 bytes; nothing else is printed."""
    told = printed(URL, capsys)
    key = hmac.digest(SECRET.encode(), b"notify:hooks.contoso.com", hashlib.sha256)
    assert told == f"whsec_{base64.b64encode(key).decode()}"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://hooks.contoso.com/another/path", True),
        ("https://HOOKS.contoso.com:8443/jobs", True),
        ("https://hooks.contoso.com.evil.example/jobs", False),
        ("https://hooks.contoso.org/jobs", False),
    ],
)
def test_each_host_has_a_secret_of_its_own(
    other: str, same: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A receiver cannot sign in another's place; path, port and letter case make no other receiver."""
    assert (printed(URL, capsys) == printed(other, capsys)) is same


@pytest.mark.parametrize(
    "url", ["hooks.contoso.com", "", "https://", "https:///jobs", "ftp://hooks.contoso.com/", "https://[/"]
)
def test_what_is_no_address_is_an_error(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and a sentence; no secret of nobody is printed."""
    assert main(["notify-secret", url]) == 2
    told = capsys.readouterr()
    assert (told.out, "URL must be an address" in told.err) == ("", True)


@pytest.mark.parametrize(
    ("value", "words"), [("", "is not set here"), ("short", "must have at least 32 characters")]
)
def test_without_a_secret_of_the_apps_there_is_none(
    value: str, words: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, the setting is named and its value is not told."""
    environment.setenv("GROUPGATE_JOBS_SECRET", value)
    assert main(["notify-secret", URL]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "GROUPGATE_JOBS_SECRET" in told.err
    assert words in told.err
    assert not value or value not in told.err


def test_no_other_setting_and_no_policy_is_needed(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The receiver's owner may hold the secret alone."""
    for name in ("GROUPGATE_TENANT_ID", "GROUPGATE_POLICY"):
        environment.delenv(name, raising=False)
    assert printed(URL, capsys).startswith("whsec_")
