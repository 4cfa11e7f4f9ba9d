"""One service of Azure, read and never changed: pages, patience, bounds. The only importer of requests.

Nothing but GET is sent, and the POSTs of READ_POSTS, which read too. TLS is always verified and no redirect is followed.
The proxies of the environment are obeyed, for an operator's workstation may know no other way out: TLS goes through them
untouched, so they see no token. Its `.netrc` is not, and nothing on loopback goes through a proxy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, urlsplit

import requests

from shared import retryafter
from shared.bypass.collect.answers import Json, Unreadable, listed, one, refused
from shared.bypass.collect.patience import Patience
from shared.bypass.collect.tokens import SignInFault
from shared.loopback import is_loopback_url

Query = Mapping[str, str]

READ_POSTS: Final = frozenset({"/v1.0/directoryObjects/getByIds"})
EVENTUAL: Final = {"ConsistencyLevel": "eventual"}
"""What Graph wants with a cast or a count. Such answers come from an index that may be some minutes behind."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of one answer; the longest known one, all role definitions of a tenant, has a few MiB."""
MAX_PAGES: Final = 5_000
CONNECT_TIMEOUT: Final = 10.0
READ_TIMEOUT: Final = 60.0
ANSWER_TIMEOUT: Final = 180.0
"""Seconds that one whole answer may take."""
TRIES: Final = 6
PATIENT: Final = 2
"""Calls of which every try is made; then the service is taken to be away, until it answers once."""

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""What may be otherwise a little later. Every call reads, so each may be made again."""
_DIGITS: Final = 9
"""Of a number of members."""
_NOTHING: Final[Query] = {}


class _Passing(Exception):
    """An attempt that may go better when it is made again, in `after` seconds if the service says when."""

    def __init__(self, fault: Unreadable, *, after: int | None = None) -> None:
        super().__init__(fault.why)
        self.fault: Final = fault
        self.after: Final = after


class _Bearer(requests.auth.AuthBase):
    """Says who asks. As an `auth` it also keeps requests from putting a password of `.netrc` in its place."""

    def __init__(self, token: str) -> None:
        self._token: Final = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Service:
    """Azure Resource Manager, or Microsoft Graph. Every method raises Unreadable, and nothing else."""

    def __init__(self, base: str, token: Callable[[], str], patience: Patience) -> None:
        """Take `base`, the address without a slash at its end. Nothing is opened yet."""
        self.base: Final = base
        self._token: Final = token
        self._patience: Final = patience
        self._session: Final = requests.Session()
        self._session.trust_env = not is_loopback_url(base)
        self._given_up = 0
        """Calls in a row whose every try failed."""
        self._session.headers["User-Agent"] = "groupgate-bypass"

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def get(self, path: str, query: Query = _NOTHING) -> Json:
        """Return the object at `path`, an undecoded path that begins with a slash."""
        return one(self._answer("GET", self._url(path), query=query))

    def items(
        self, path: str, query: Query = _NOTHING, *, headers: Mapping[str, str] | None = None
    ) -> Iterator[Json]:
        """Yield what the list at `path` holds, page by page; what was yielded before Unreadable stands."""
        url, seen = self._url(path), set[str]()
        while True:
            page = one(self._answer("GET", url, query=query, headers=headers))
            yield from listed(page)
            links = [
                link for link in map(page.get, ("nextLink", "@odata.nextLink")) if link not in (None, "")
            ]
            if not links:
                return
            seen.add(url)
            # It carries its own query, with the place to go on from.
            url, query = self._following(links[0], seen), _NOTHING

    def count(self, path: str) -> int:
        """Return the number that the plain text at `path` is."""
        text = self._answer("GET", self._url(path), headers={**EVENTUAL, "Accept": "text/plain"})
        digits = text.removeprefix(b"\xef\xbb\xbf").strip()
        if not digits.isdigit() or len(digits) > _DIGITS:
            raise Unreadable("the answer is not a number")
        return int(digits)

    def posted(self, path: str, body: Json) -> list[Json]:
        """Return what the POST at `path`, one of READ_POSTS, reads."""
        if path not in READ_POSTS:
            raise ValueError(f"{path} is none of the POSTs that read")
        return listed(one(self._answer("POST", self._url(path), body=body)))

    def _url(self, path: str) -> str:
        return self.base + quote(path, safe="/()$-._~")

    def _following(self, link: object, seen: set[str]) -> str:
        """Return the address of the next page: with this service, and none that was there before."""
        if not isinstance(link, str):
            raise Unreadable("the address of the next page is not text")
        try:
            parts, own = urlsplit(link), urlsplit(self.base)
            same = (parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)) == (
                *(own.scheme, own.hostname),
                own.port or _PORTS.get(own.scheme),
            )
        except ValueError:
            same, parts = False, urlsplit("")
        if not same or "@" in parts.netloc:
            raise Unreadable("the next page is said to be at another address")
        if link in seen:
            raise Unreadable("the pages go in a circle")
        if len(seen) >= MAX_PAGES:
            raise Unreadable(f"there are more than {MAX_PAGES} pages")
        return link

    def _answer(
        self,
        method: str,
        url: str,
        *,
        query: Query = _NOTHING,
        headers: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> bytes:
        """Return the bytes of the 200 that came, now or after some waiting."""
        most = TRIES if self._given_up < PATIENT else 1
        tries = 0
        while True:
            tries += 1
            try:
                data = self._once(method, url, query=query, headers=headers, body=body)
            except _Passing as passing:
                fault = passing.fault
                wait = float(2 ** (tries - 1) if passing.after is None else passing.after)
                if tries == most:
                    end = f", {tries} times" if tries > 1 else ""
                elif self._patience.wait(wait, fault.why):
                    continue
                else:
                    end = f"; waiting {wait:.0f} s more would be too long"
                self._given_up += 1
                raise Unreadable(f"{fault.why}{end}", status=fault.status, code=fault.code) from passing
            self._given_up = 0
            return data

    def _once(
        self, method: str, url: str, *, query: Query, headers: Mapping[str, str] | None, body: Json | None
    ) -> bytes:
        try:
            auth = _Bearer(self._token())
        except SignInFault as fault:
            raise Unreadable(f"no token: {fault.why}") from fault
        try:
            with self._session.request(
                method,
                url,
                params=query or None,
                headers=headers,
                json=body,
                auth=auth,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as response:
                data = _read(response)
        except requests.exceptions.SSLError as error:
            raise Unreadable("the service's certificate could not be verified") from error
        except requests.exceptions.ProxyError as error:
            raise _Passing(Unreadable("the proxy of the environment could not be reached")) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise _Passing(Unreadable("the connection failed")) from error
        except requests.exceptions.Timeout as error:
            raise _Passing(Unreadable("no answer in time")) from error
        except requests.exceptions.RequestException as error:
            raise Unreadable(f"the call failed ({type(error).__name__})") from error
        if response.status_code == 200:
            return data
        found = refused(response.status_code, data)
        if found.status in _PASSING:
            after = retryafter.parse(response.headers.get("Retry-After"), now=time.time())
            raise _Passing(found, after=after)
        raise found


_PORTS: Final = {"https": 443, "http": 80}


def _read(response: requests.Response) -> bytes:
    """Return the body, bounded in length and time."""
    parts, length, ends = [], 0, time.monotonic() + ANSWER_TIMEOUT
    for part in response.iter_content(16 * 1024):
        length += len(part)
        if length > MAX_BYTES:
            raise Unreadable(f"the answer is longer than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > ends:
            raise _Passing(Unreadable("the answer does not end"))
        parts.append(part)
    return b"".join(parts)
