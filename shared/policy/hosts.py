"""Which upstream addresses a policy may name (threat T01): the address is a constant of the policy, and a plain one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from shared.loopback import is_loopback
from shared.policy.checks import show

_SEGMENT: Final = r"/[A-Za-z0-9_~:@!$&'()*+,;=-][A-Za-z0-9._~:@!$&'()*+,;=-]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One kind of address that a policy may name."""

    hosts: tuple[str, ...]
    """Azure's own hosts of this kind: what they end in, or a whole name where no dot stands in front."""
    own: str
    """What such a host is called, in messages."""
    called: str
    """What the address is, in messages."""
    path: re.Pattern[str]
    """What its path must be."""
    wants: str
    """What a message says of any other path."""


_INFERENCE: Final = (".inference.ml.azure.com", ".inference.ml.azure.us", ".inference.ml.azure.cn")
"""Endpoints in the public cloud, in US Government and in China (How to use a custom DNS server)."""
_PLAIN_PATH: Final = "plain segments, no dots in front, no slash at the end"

ONLINE: Final = Service(
    hosts=_INFERENCE,
    own="Azure inference host",
    called="the endpoint's scoring URI",
    path=re.compile(rf"(?!.*/(?i:jobs)$)(?:{_SEGMENT})+"),
    wants=f"needs the path of the scoring URI, usually /score: {_PLAIN_PATH}; "
    'one that ends in /jobs is of a batch endpoint (kind = "batch")',
)
"""Managed online endpoints. The scoring URI of a batch endpoint would start jobs that nobody has looked at (threat T10)."""

BATCH: Final = Service(
    hosts=_INFERENCE,
    own="Azure inference host",
    called="the endpoint's scoring URI",
    path=re.compile(rf"(?:{_SEGMENT})*/jobs"),
    wants=f"needs the path of a batch endpoint's scoring URI, which ends in /jobs: {_PLAIN_PATH}",
)
"""Batch endpoints (protocols, 5.1)."""

RESOURCE: Final = Service(
    hosts=tuple(
        f".{service}.azure.{cloud}"
        for cloud in ("com", "us", "cn")
        for service in ("openai", "services.ai", "cognitiveservices")
    ),
    own="Azure inference host",
    called="the resource's address",
    path=re.compile("/?"),
    wants="must be the resource's address alone, with no path: the gate adds its own",
)
"""Foundry and Azure OpenAI resources in the same three clouds (protocols, 6.1; those beyond the public one unverified)."""

_CLOUDS: Final = (
    (".azure.com", "management.azure.com"),
    (".azure.us", "management.usgovcloudapi.net"),
    (".azure.cn", "management.chinacloudapi.cn"),
)
MANAGEMENT: Final = Service(
    hosts=tuple(host for _, host in _CLOUDS),
    own="host of Azure Resource Manager",
    called="the address of Azure Resource Manager",
    path=re.compile("/?"),
    wants="must be the address alone, with no path: the gate adds its own",
)
"""Azure Resource Manager of the three clouds (those beyond the public one unverified)."""

NOTIFIED: Final = Service(
    hosts=(),
    own="host of Azure",
    called="the address that is told",
    path=re.compile(rf"(?:{_SEGMENT})*/?"),
    wants="must have a plain path: no empty segments, no dots in front",
)
"""Whoever is told the end of a job."""

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ODD_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""What resolvers read as an IPv4 address in an unusual notation (WHATWG URL, "ends in a number")."""
_PLATFORM: Final = frozenset({ip_address("168.63.129.16"), ip_address("fd00:ec2::254")})
"""Addresses at which clouds talk to their own machines, beside the link-local ones."""
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
    return None if service.path.fullmatch(parts.path) else service.wants


def _place_fault(host: str, port: int | None, allowed: frozenset[str], service: Service) -> str | None:
    if host in allowed:
        return None
    if any(host.endswith(known) if known.startswith(".") else host == known for known in service.hosts):
        return None if port is None else "must leave out the port: Azure's endpoints listen on 443"
    known = ", ".join(f"*{one}" if one.startswith(".") else one for one in service.hosts)
    foreign = f"no {service.own} ({known}) and " if known else ""
    return f"names the host {show(host)}, which is {foreign}not in [hosts] allow"


def _scheme_fault(scheme: str, host: str, *, allow_http: bool) -> str | None:
    if scheme == "https":
        return None
    if not is_loopback(host):
        return "must be https"
    return None if allow_http else "must be https (http to loopback needs GROUPGATE_ALLOW_HTTP=true)"


def management(url: str) -> str:
    """Return the address of Azure Resource Manager for an endpoint at `url`: that of its cloud, or of a stand-in beside it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return f"{parts.scheme}://{parts.netloc}"
    return f"https://{next((there for cloud, there in _CLOUDS if host.endswith(cloud)), _CLOUDS[0][1])}"


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
