"""What counts as this machine: 127.0.0.0/8, ::1 and `localhost`, and no other spelling of them (ruling "Loopback")."""

from __future__ import annotations

from ipaddress import IPv4Address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Say whether `host`, a name or an address without brackets or port, is this machine."""
    if host in ("localhost", "::1"):
        return True
    try:
        return IPv4Address(host).is_loopback
    except ValueError:
        return False


def is_loopback_url(url: str) -> bool:
    """Say whether `url` points at this machine."""
    return is_loopback(urlsplit(url).hostname or "")
