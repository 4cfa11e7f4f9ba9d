"""Signing in to Redis over TLS, and as the gate's own identity: Entra's tokens, renewed and refused."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.model import Reason
from shared.outbound.redis import PAUSE, SCOPE, RedisFault, RedisStore
from shared.problem import Undecidable
from tests.fakes import FakeClock
from tests.redis_server import RedisServer, redis_server

OID = "44444444-0000-4000-8000-000000000001"


def a_token(number: int = 1, **claims: Any) -> str:
    """Return what a managed identity gets, as far as this side of it looks."""
    parts = [{"alg": "RS256"}, {"aud": "https://redis.azure.com", "oid": OID, "n": number, **claims}]
    return ".".join(
        [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts] + ["c2ln"]
    )


class Identity:
    """A ports.Tokens whose token the test sets; a dropped one is followed by `next`."""

    def __init__(self, token: str | Exception) -> None:
        self.current = token
        self.next: str | None = None
        self.asked: list[str] = []
        self.dropped: list[str] = []

    async def token(self, scope: str) -> str:
        self.asked.append(scope)
        if isinstance(self.current, Exception):
            raise self.current
        return self.current

    def drop(self, scope: str, token: str) -> None:
        self.dropped.append(token)
        if self.next is not None:
            self.current = self.next


@contextmanager
def letting_in(server: RedisServer, token: str) -> Iterator[Any]:
    """Let in the user `OID` with `token` and nobody else; give a client that stays signed in."""
    with server.admin as admin:
        admin.ping()
        accept(admin, token)
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">nobody knows")
        yield admin


def accept(admin: Any, token: str) -> None:
    admin.execute_command("ACL", "SETUSER", OID, "reset", "on", f">{token}", "~*", "+@all")


def store_of(server: RedisServer, identity: Identity, clock: FakeClock | None = None) -> RedisStore:
    """Return a store that signs in as the gate, without TLS: what is tested here is the sign-in."""
    return RedisStore(clock or FakeClock(), host="127.0.0.1", port=server.port, tls=False, tokens=identity)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test's own."""
    with redis_server() as server:
        yield server


async def test_the_gates_identity_signs_in_with_its_token(server: RedisServer) -> None:
    """User name is the token's `oid`, password the token itself, of the scope for Azure's Redis."""
    identity = Identity(a_token())
    store = store_of(server, identity)
    with letting_in(server, a_token()) as admin:
        assert await store.command("SET", "a", "1") == b"OK"
        assert OID in {client["user"] for client in admin.client_list()}
    assert set(identity.asked) == {SCOPE}
    await store.close()


async def test_a_new_token_gets_a_new_connection(server: RedisServer) -> None:
    """No connection outlives the token that it was opened with."""
    identity = Identity(a_token(1))
    store = store_of(server, identity)
    with letting_in(server, a_token(1)) as admin:
        await store.command("SET", "a", "1")
        before = admin.info("stats")["total_connections_received"]
        await store.command("GET", "a")
        assert admin.info("stats")["total_connections_received"] == before
        accept(admin, a_token(2))
        identity.current = a_token(2)
        assert await store.command("GET", "a") == b"1"
        assert admin.info("stats")["total_connections_received"] == before + 1
        assert identity.dropped == []
    await store.close()


async def test_a_refused_token_is_dropped_and_another_is_tried_at_once(server: RedisServer) -> None:
    """F19, F34: the caller does not notice that a token was revoked, where there is another one."""
    identity = Identity(a_token(1))
    identity.next = a_token(2)
    store = store_of(server, identity)
    with letting_in(server, a_token(2)):
        assert await store.command("SET", "a", "1") == b"OK"
    assert identity.dropped == [a_token(1)]
    await store.close()


async def test_f34_an_identity_that_is_not_let_in_is_a_fault(server: RedisServer) -> None:
    """F34: without an access policy for the gate nothing is counted; when it is given one, counting begins."""
    identity, clock = Identity(a_token(1)), FakeClock()
    store = store_of(server, identity, clock)
    with letting_in(server, a_token(2)) as admin:
        with pytest.raises(RedisFault, match="AuthenticationError"):
            await store.command("SET", "a", "1")
        accept(admin, a_token(1))
        clock.move(PAUSE)
        assert await store.command("SET", "a", "1") == b"OK"
    await store.close()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(Undecidable(Reason.CREDENTIAL_UNAVAILABLE), id="no token"),
        pytest.param("opaque", id="a token that is no JWT"),
        pytest.param("a.b.c", id="a JWT that cannot be read"),
        pytest.param(a_token(oid=None), id="a token without an object id"),
        pytest.param(a_token(oid=7), id="an object id that is none"),
        pytest.param(a_token(oid=""), id="an empty object id"),
    ],
)
async def test_f34_without_a_usable_token_nobody_signs_in(
    server: RedisServer, token: str | Exception
) -> None:
    """F34: a gate that cannot say who it is does not go on as nobody."""
    store = store_of(server, Identity(token))
    with pytest.raises(RedisFault):
        await store.command("SET", "a", "1")
    with server.admin as admin:
        assert admin.dbsize() == 0
    await store.close()


def test_only_tls_without_a_password_is_for_the_identity() -> None:
    """The token goes over TLS only, and not where the URL says who signs in."""
    identity = Identity(a_token())

    def of(url: str) -> Any:
        return RedisStore.at(url, clock=FakeClock(), tokens=identity)._tokens

    assert of("rediss://contoso.redis.cache.windows.net:6380") is identity
    assert of("rediss://:password@contoso.redis.cache.windows.net:6380") is None
    assert of("redis://127.0.0.1:6379") is None


def a_certificate(folder: Path, name: str) -> tuple[str, str]:
    """Write a certificate for `name` that vouches for itself; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    other: x509.GeneralName = (
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([other]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


@contextmanager
def tls_server(certificate: str, key: str) -> Iterator[RedisServer]:
    options = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    with redis_server(*options, "--tls-auth-clients", "no", tls=True) as server:
        yield server


async def test_tls_is_spoken_with_a_server_that_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over rediss:// the identity's token goes to the server whose certificate the system trusts."""
    certificate, key = a_certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    with tls_server(certificate, key) as server, letting_in(server, a_token()):
        store = RedisStore.at(server.url, clock=FakeClock(), tokens=Identity(a_token()))
        assert await store.command("SET", "a", "1") == b"OK"
        assert await store.command("GET", "a") == b"1"
        await store.close()


@pytest.mark.parametrize(
    ("name", "trusted"),
    [
        pytest.param("127.0.0.1", False, id="nobody vouches for it"),
        pytest.param("other.example", True, id="it is another server's"),
    ],
)
async def test_t17_an_unproven_server_is_not_told_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    """T17: TLS is always verified, by issuer and by name; nothing is sent to whom it does not prove."""
    certificate, key = a_certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
    with tls_server(certificate, key) as server, letting_in(server, a_token()) as admin:
        store = RedisStore.at(server.url, clock=FakeClock(), tokens=Identity(a_token()))
        with pytest.raises(RedisFault, match="ConnectionError"):
            await store.command("SET", "a", "1")
        assert OID not in {client["user"] for client in admin.client_list()}
        await store.close()
