"""Stand-in for the messages between host and worker (FunctionRpc): plain objects instead of protobuf ones.

Microsoft's worker library builds its answers with whatever message classes its caller hands it, and reads requests by
attribute, so nothing here needs protobuf. What a message does not set reads as None. Not verified: the limits of the wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

type Value = tuple[str, Any]
"""A TypedData value: its kind (``http``, ``string``, ``json``, ``bytes``, ``int``, ``double``) and its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpIn:
    """A request as an HTTP trigger gets it; every mapping has one string for each name."""

    params: Mapping[str, str]
    method: str = ""
    url: str = ""
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOut:
    """An answer as an HTTP function gives it; cookies are whole ``Set-Cookie`` values."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes


class Message:
    """Any message: fields by keyword."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class TypedData:
    """A value of one kind, or none at all."""

    def __init__(self, **kind: Any) -> None:
        self.__dict__.update(kind)

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802  # the worker calls protobuf's name
        """Return the kind, or None."""
        return next(iter(self.__dict__), None)


class ParameterBinding(Message):
    """A named input or output."""

    def WhichOneof(self, _: str) -> str:  # noqa: N802  # the worker calls protobuf's name
        """Return that the value itself is here, never in shared memory."""
        return "data"


class StatusResult(Message):
    """Outcome of a request to the worker."""

    Failure, Success, Cancelled = 0, 1, 2


class BindingInfo(Message):
    """Description of a binding."""

    undefined, out, inout = 0, 1, 2


class SameSite:
    """Values of a cookie's attribute; the member ``None`` means that it was not set."""

    Lax, Strict, ExplicitNone = 1, 2, 3


setattr(SameSite, "None", 0)  # a keyword cannot be written as an attribute


class RpcHttpCookie(Message):
    """A cookie of an answer."""

    SameSite = SameSite


_PLAIN = (
    "FunctionLoadResponse",
    "FunctionMetadataResponse",
    "InvocationResponse",
    "NullableBool",
    "NullableDouble",
    "NullableString",
    "NullableTimestamp",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcHttp",
    "RpcRetryOptions",
    "Timestamp",
    "WorkerInitResponse",
    "WorkerMetadata",
)
PROTOS = SimpleNamespace(
    BindingInfo=BindingInfo,
    ParameterBinding=ParameterBinding,
    RpcHttpCookie=RpcHttpCookie,
    StatusResult=StatusResult,
    TypedData=TypedData,
    **{name: type(name, (Message,), {}) for name in _PLAIN},
)


def encode(value: Value | None) -> TypedData:
    """Turn a value into the message that the worker reads."""
    if value is None:
        return TypedData()
    kind, content = value
    if isinstance(content, HttpIn):
        content = SimpleNamespace(
            method=content.method,
            url=content.url,
            headers=content.headers,
            params=content.params,
            query=content.query,
            body=TypedData(bytes=content.body) if content.body else TypedData(),
        )
    return TypedData(**{kind: content})


def decode(data: TypedData | None) -> Value | None:
    """Turn a message of the worker into a value; an ``http`` one holds an HttpOut."""
    kind = None if data is None else data.WhichOneof("data")
    if kind is None:
        return None
    content = getattr(data, kind)
    if kind != "http":
        return kind, content
    body = decode(content.body)
    raw = b"" if body is None else body[1]
    answer = HttpOut(
        status=int(content.status_code),
        headers=content.headers,
        cookies=tuple(_cookie(cookie) for cookie in content.cookies or ()),
        body=raw.encode() if isinstance(raw, str) else raw,
    )
    return kind, answer


def _cookie(cookie: RpcHttpCookie) -> str:
    # ASP.NET Core escapes the value.
    parts = [f"{cookie.name}={quote(cookie.value, safe='')}"]
    if cookie.expires is not None:
        expires = datetime.fromtimestamp(cookie.expires.value.seconds, UTC)
        parts.append(f"expires={format_datetime(expires, usegmt=True)}")
    if cookie.max_age is not None:
        parts.append(f"max-age={int(cookie.max_age.value)}")
    if cookie.domain is not None and cookie.domain.value:
        parts.append(f"domain={cookie.domain.value}")
    if cookie.path is not None and cookie.path.value:
        parts.append(f"path={cookie.path.value}")
    if cookie.secure is not None and cookie.secure.value:
        parts.append("secure")
    if cookie.same_site:
        parts.append(f"samesite={('lax', 'strict', 'none')[cookie.same_site - 1]}")
    if cookie.http_only is not None and cookie.http_only.value:
        parts.append("httponly")
    return "; ".join(parts)
