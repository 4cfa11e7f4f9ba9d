"""`groupgate notify-secret URL`: the secret by which the receiver at URL tells that a job's end was told by this gate."""

from __future__ import annotations

import argparse
import sys
from typing import Final
from urllib.parse import urlsplit

from shared.jobs.notify import secret_for
from shared.settings import Settings

ERROR: Final = 2
_SETTING: Final = "GROUPGATE_JOBS_SECRET"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("url", metavar="URL", help="the address that a rule's notify names; its host counts")


def run(arguments: argparse.Namespace) -> int:
    """Print the secret and return 0; return 2 where there is none to make it of, or URL is no address."""
    settings = Settings.from_env()
    wrong = next((fault for fault in settings.faults if fault.place == _SETTING), None)
    if settings.jobs_secret is None:
        missing = f"{_SETTING}: is not set here; give it the value that the app has"
        return _fail(str(wrong) if wrong is not None else missing)
    host = _host(arguments.url)
    if host is None:
        return _fail("URL must be an address such as https://hooks.contoso.com/jobs")
    print(secret_for(settings.jobs_secret, host))
    return 0


def _fail(why: str) -> int:
    print(f"groupgate notify-secret: {why}", file=sys.stderr)
    return ERROR


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return host if parts.scheme in ("https", "http") and host else None
