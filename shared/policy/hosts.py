"""Which upstream addresses a policy may name (threat T01): the address is a constant of the policy, and a plain one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from shared.loopback import is_loopback
from shared.policy.checks import show


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One kind of address that a policy may name."""

    suffixes: tuple[str, ...]
    """What Azure's own hosts of this kind end in."""
    called: str
    """What the address is, in messages."""
    path: bool
    """Whether it has a path; else the gate adds one of its own."""


ONLINE: Final = Service(
    suffixes=(".inference.ml.azure.com", ".inference.ml.azure.us", ".inference.ml.azure.cn"),
    called="the endpoint's scoring URI",
    path=True,
)
"""Managed online endpoints in the public cloud, in US Government and in China (How to use a custom DNS server)."""

RESOURCE: Final = Service(
    suffixes=tuple(
        f".{service}.azure.{cloud}"
        for cloud in ("com", "us", "cn")
        for service in ("openai", "services.ai", "cognitiveservices")
    ),
    called="the resource's address",
    path=False,
)
"""Foundry and Azure OpenAI resources in the same three clouds (protocols, 6.1; those beyond the public one unverified)."""

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ODD_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""What resolvers read as an IPv4 address in an unusual notation (WHATWG URL, "ends in a number")."""
_PLATFORM: Final = frozenset({ip_address("168.63.129.16"), ip_address("fd00:ec2::254")})
"""Addresses at which clouds talk to their own machines, beside the link-local ones."""
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~:@!$&'()*+,;=-][A-Za-z0-9._~:@!$&'()*+,;=-]*)+")
_MOST: Final = 1024
_MOST_NAME: Final = 253


def host_fault(host: str) -> str | None:
    """Return what is wrong with an entry of `[hosts] allow`: an exact host name or address, without a port."""
    address = _address(host)
    if address is None:
        return _name_fault(host)
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    if (
        address.is_unspecified
        or address.is_multicast
        or address.is_link_local
        or mapped
        or address in _PLATFORM
    ):
        return "is no address of a model"
    return None if str(address) == host else f"must be written {address}"


def _name_fault(host: str) -> str | None:
    if "*" in host:
        return "has a wildcard; name each host in full"
    if not host.isascii():
        return "must be ASCII; write an international name in its xn-- form"
    if any(mark in host for mark in "/:@"):
        return "must be a host name alone: no scheme, port, user or path"
    if len(host) > _MOST_NAME or not _HOST.fullmatch(host.lower()) or _ODD_NUMBER.fullmatch(host.lower()):
        return "is no host name, such as models.contoso.com"
    return None if host == host.lower() else f"must be written in lower case: {host.lower()}"


def url_fault(url: str, service: Service, *, allow_http: bool, allowed: frozenset[str]) -> str | None:
    """Return what is wrong with the address of an endpoint or model; `allowed` is `[hosts] allow`."""
    if len(url) > _MOST or not url.isascii() or any(c <= " " or c in '\\"<>^`{|}%\x7f' for c in url):
        return "must be a plain URL: ASCII, no spaces, backslashes or percent signs"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return f"is no URL; copy {service.called}"
    return (
        _shape_fault(url, parts, host, port, service)
        or _place_fault(host, port, allowed, service)
        or _scheme_fault(parts.scheme, host, allow_http=allow_http)
    )


def _shape_fault(url: str, parts: SplitResult, host: str, port: int | None, service: Service) -> str | None:
    """Say where the URL is not what it says: it must be scheme, host, port and path, put together again unchanged."""
    shown = f"[{host}]" if ":" in host else host
    plain = f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{parts.path}"
    if parts.scheme not in ("https", "http") or not host:
        return f"must be {service.called}, beginning with https://"
    if "@" in parts.netloc or "?" in url or "#" in url:
        return "must have no user name, password, query or fragment"
    if url != plain or port == 0:
        return f"must be written plainly: {plain}"
    wrong = host_fault(host)
    if wrong is not None:
        return f"names the host {show(host)}, which {wrong}"
    return _path_fault(parts.path, service)


def _path_fault(path: str, service: Service) -> str | None:
    if not service.path:
        return (
            None
            if path in {"", "/"}
            else f"must be {service.called} alone, with no path: the gate adds its own"
        )
    if _PATH.fullmatch(path):
        return None
    return "needs the path of the scoring URI, usually /score: plain segments, no dots in front, no slash at the end"


def _place_fault(host: str, port: int | None, allowed: frozenset[str], service: Service) -> str | None:
    if host in allowed:
        return None
    if host.endswith(service.suffixes):
        return None if port is None else "must leave out the port: Azure's endpoints listen on 443"
    known = ", ".join(f"*{suffix}" for suffix in service.suffixes)
    return f"names the host {show(host)}, which is no Azure inference host ({known}) and not in [hosts] allow"


def _scheme_fault(scheme: str, host: str, *, allow_http: bool) -> str | None:
    if scheme == "https":
        return None
    if not is_loopback(host):
        return "must be https"
    return None if allow_http else "must be https (http to loopback needs GROUPGATE_ALLOW_HTTP=true)"


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
