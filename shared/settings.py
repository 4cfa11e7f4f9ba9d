"""The settings, and the only reader of the environment (docs/settings.md has the table)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from shared.ids import guid
from shared.loopback import is_loopback
from shared.ports import Fault

ROOT: Final = Path(__file__).resolve().parent.parent
"""The folder of function_app.py: a relative policy path starts here, since the worker changes its folder."""

DEFAULT_AUTHORITY: Final = "https://login.microsoftonline.com"
DEFAULT_GRAPH: Final = "https://graph.microsoft.com"
_IN_AZURE: Final = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "WEBSITE_POD_NAME", "CONTAINER_APP_NAME")

_REDIS: Final = (
    "must be rediss://[:password@]host[:port][/database]; without a password the gate's identity signs in"
)
_DATABASE: Final = re.compile(r"|/|/[0-9]{1,3}")
_LEAST_SECRET: Final = 32
"""Characters: a secret that signs is not to be guessed."""
_UNRESOLVED: Final = "@microsoft.keyvault("
"""What App Service leaves in place of a secret that it could not fetch (Use Key Vault references as app settings)."""

_UNSEALED: Final = (
    "is required in Azure with GROUPGATE_JOBS=on: without it whoever has a key of the Functions host could start jobs "
    "in anybody's name; make one with: openssl rand -base64 48"
)

IdentityMode = Literal["easyauth", "token", "both"]
CredentialMode = Literal["managed-identity", "developer"]
HttpMode = Literal["classic", "stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says, checked; `faults` is not empty when the gate must refuse everything."""

    policy_path: Path
    tenant_id: str
    identity: IdentityMode
    audiences: frozenset[str]
    authority: str
    graph_url: str
    credential: CredentialMode
    http: HttpMode
    audit: str
    """`log` or `file:PATH`."""
    allow_http: bool
    redis_url: str | None = field(repr=False)
    """Where limits are counted for all instances together, with its password; None where each counts for itself."""
    jobs: bool
    """Whether Durable Functions are there, and batch endpoints with them."""
    jobs_secret: str | None = field(repr=False)
    """What seals stored jobs and signs what is told of their end; None where neither is done."""
    client_id: str | None
    instance: str
    """The platform's name for this instance, for audit records; `local` outside Azure."""
    platform_auth_enabled: Callable[[], bool]
    """Whether App Service Authentication is on *now*: asked anew for each request (threat S01)."""
    faults: tuple[Fault, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read `env` (the process's environment by default). Never raises: what is wrong stands in `faults`."""
        reader = _Reader(os.environ if env is None else env)
        in_azure = any(reader.text(name) for name in _IN_AZURE)
        allow_http = reader.flag("GROUPGATE_ALLOW_HTTP")
        if in_azure and allow_http:
            reader.fault("GROUPGATE_ALLOW_HTTP", "is for loopback addresses on a laptop; remove it in Azure")
        identity: IdentityMode = reader.choice("GROUPGATE_IDENTITY", "easyauth", "token", "both")
        credential: CredentialMode = reader.choice("GROUPGATE_CREDENTIAL", "managed-identity", "developer")
        if in_azure and credential == "developer":
            reader.fault(
                "GROUPGATE_CREDENTIAL", "developer credentials are refused in Azure; use managed-identity"
            )
        http: HttpMode = reader.choice("GROUPGATE_HTTP", "classic", "stream")
        audiences = frozenset(
            part.strip() for part in reader.text("GROUPGATE_AUDIENCE").split(",") if part.strip()
        )
        if identity != "easyauth" and not audiences:
            reader.fault(
                "GROUPGATE_AUDIENCE",
                f"is required with GROUPGATE_IDENTITY={identity}: the audiences of your API",
            )
        jobs = reader.jobs()
        return cls(
            policy_path=reader.policy_path(),
            tenant_id=reader.id("GROUPGATE_TENANT_ID", required=True) or "",
            identity=identity,
            audiences=audiences,
            authority=reader.url("GROUPGATE_AUTHORITY", DEFAULT_AUTHORITY, allow_http=allow_http),
            graph_url=reader.url("GROUPGATE_GRAPH_URL", DEFAULT_GRAPH, allow_http=allow_http),
            credential=credential,
            http=http,
            audit=reader.audit(in_azure=in_azure),
            allow_http=allow_http,
            redis_url=reader.redis_url(allow_http=allow_http),
            jobs=jobs,
            jobs_secret=reader.jobs_secret(required=in_azure and jobs),
            client_id=reader.id("AZURE_CLIENT_ID", required=False),
            instance=next(filter(None, map(reader.text, _IN_AZURE)), "local"),
            platform_auth_enabled=lambda: reader.raw("WEBSITE_AUTH_ENABLED").lower() == "true",
            faults=tuple(reader.faults),
        )


class _Reader:
    """Reads single settings and collects what is wrong with them; an empty value is an unset one."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.faults: list[Fault] = []

    def fault(self, name: str, message: str) -> None:
        self.faults.append(Fault(place=name, message=message))

    def raw(self, name: str) -> str:
        return self._env.get(name, "")

    def text(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def flag(self, name: str) -> bool:
        value = self.text(name).lower()
        if value not in ("", "true", "false"):
            self.fault(name, "must be true or false")
        return value == "true"

    def choice[T: str](self, name: str, default: T, *others: T) -> T:
        value = self.text(name)
        for option in (default, *others):
            if value == option:
                return option
        if value:
            self.fault(name, f"must be one of: {', '.join((default, *others))}")
        return default

    def id(self, name: str, *, required: bool) -> str | None:
        value = self.text(name)
        if not value:
            if required:
                self.fault(name, "is required: the id of your Entra tenant")
            return None
        canonical = guid(value)
        if canonical is None:
            self.fault(name, "must be an id such as 6f1b2c3d-0000-4000-8000-000000000001")
        return canonical

    def url(self, name: str, default: str, *, allow_http: bool) -> str:
        value = self.text(name) or default
        wrong = base_url_fault(value, allow_http=allow_http)
        if wrong:
            self.fault(name, wrong)
        return value.rstrip("/")

    def policy_path(self) -> Path:
        value = self.text("GROUPGATE_POLICY") or "policy.toml"
        if "://" in value:
            self.fault("GROUPGATE_POLICY", "a policy at a URL is not built yet; give a file")
        return ROOT / value

    def audit(self, *, in_azure: bool) -> str:
        value = self.text("GROUPGATE_AUDIT") or "log"
        if value == "log":
            return value
        if not value.startswith("file:") or value == "file:":
            self.fault("GROUPGATE_AUDIT", "must be log or file:PATH")
        elif in_azure:
            self.fault("GROUPGATE_AUDIT", "a file does not outlive the instance in Azure; use log")
        return value

    def redis_url(self, *, allow_http: bool) -> str | None:
        value = self.text("GROUPGATE_REDIS_URL")
        wrong = redis_url_fault(value, allow_http=allow_http) if value else None
        if wrong:
            self.fault("GROUPGATE_REDIS_URL", wrong)
        return value or None

    def jobs(self) -> bool:
        value = self.text("GROUPGATE_JOBS").lower()
        if value not in ("", "off", "on"):
            self.fault("GROUPGATE_JOBS", "must be on or off")
        # A slip in the value must not take the functions from under jobs that run: only `off` is off.
        return value not in ("", "off")

    def jobs_secret(self, *, required: bool) -> str | None:
        value = self.text("GROUPGATE_JOBS_SECRET")
        wrong = secret_fault(value) if value else _UNSEALED if required else None
        if wrong:
            self.fault("GROUPGATE_JOBS_SECRET", wrong)
            return None  # nothing is ever signed with what is no secret
        return value or None


def secret_fault(secret: str) -> str | None:
    """Return what is wrong with a secret that signs, None for nothing. The text never tells a part of it."""
    if secret.lower().startswith(_UNRESOLVED):
        return (
            "is a Key Vault reference that App Service could not resolve: look at it in the app's settings in the "
            "portal, and give the app's identity leave to read the secret"
        )
    if len(secret) < _LEAST_SECRET:
        return f"must have at least {_LEAST_SECRET} characters, such as those of: openssl rand -base64 48"
    return None if secret.isprintable() else "must have no control characters"


def redis_url_fault(url: str, *, allow_http: bool) -> str | None:
    """Return what is wrong with the address of Redis, None when it is `rediss://[[user]:password@]host[:port][/db]`.

    Plain `redis://` is for loopback where `allow_http` permits it. The text never tells a part of the address.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return _REDIS
    plain = url.isascii() and not any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url)
    if not plain or not host or "?" in url or "#" in url or not _DATABASE.fullmatch(parts.path):
        return _REDIS
    if parts.username and not parts.password:
        return "has a user name and no password; leave both out to sign in with the gate's identity"
    if parts.scheme == "redis":
        if not is_loopback(host):
            return "must be rediss:// (TLS)"
        return (
            None if allow_http else "must be rediss:// (redis:// to loopback needs GROUPGATE_ALLOW_HTTP=true)"
        )
    return None if parts.scheme == "rediss" else _REDIS


def base_url_fault(url: str, *, allow_http: bool) -> str | None:
    """Return what is wrong with a base URL, None when it is https (or http to loopback where that is allowed)."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return "must be a plain https URL"
    if not host or not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
        return "must be a plain https URL"
    if parts.username is not None or "?" in url or "#" in url:
        return "must have no user name, query or fragment"
    if parts.scheme == "http" and not (allow_http and is_loopback(host)):
        return "must be https (http is for loopback addresses with GROUPGATE_ALLOW_HTTP=true)"
    return None if parts.scheme in ("http", "https") else "must be an https URL"
